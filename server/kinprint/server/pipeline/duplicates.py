"""Duplicates: all near-duplicate pairs within and between corpora.

Identical answers (equal normalised text) are collapsed first; their group is represented by its smallest
(corpus, id).  Representatives go through the band index, every candidate pair is verified by exact
Jaccard, and pairs come out in chunks, so that memory holds sketches and one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute
from kinprint.kernels import jaccard, lsh, shingle
from kinprint.server.pipeline.index import Filter, View
from kinprint.server.store.columns import text_buffers
from kinprint.server.threads import kernels
from numpy.typing import NDArray

#: Pairs that are verified, and sent, at once.
CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs, column by column; corpora as positions among the corpora asked for."""

    corpus_a: NDArray[np.int32]
    id_a: list[str]
    corpus_b: NDArray[np.int32]
    id_b: list[str]
    jaccard: NDArray[np.float64]
    containment_a: NDArray[np.float64]
    containment_b: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run; see DuplicatesFinished in proto/."""

    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    step: str
    share: float


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows considered, sorted by (corpus, id), so that comparing positions compares ids."""

    corpus: NDArray[np.int32]
    ids: pa.Array
    responses: pa.ChunkedArray
    #: Position in `responses` of each row.
    source: NDArray[np.int64]
    signatures: NDArray[np.uint32]
    text_hashes: NDArray[np.uint64]
    blank: int


def _gather(views: Sequence[View], rows: Filter) -> _Rows:
    ids, responses, corpora, signatures, hashes, sources = [], [], [], [], [], []
    base = blank = 0
    for number, view in enumerate(views):
        for part in view.parts:
            mask = rows.mask(part)
            blank += int((mask & part.segment.blank).sum())
            responses.append(part.segment.array("response"))
            for chunk in part.segment.copy:
                positions = np.flatnonzero(mask[chunk.rows])
                chosen = chunk.rows[positions]
                ids.append(part.segment.array("id").take(pa.array(chosen)))
                corpora.append(np.full(len(chosen), number, np.int32))
                signatures.append(chunk.signatures[positions])
                hashes.append(chunk.text_hashes[positions])
                sources.append(chosen + base)
            base += len(part.segment)
    all_ids = pa.concat_arrays(ids) if ids else pa.array([], pa.large_string())
    corpus = np.concatenate(corpora) if corpora else np.zeros(0, np.int32)
    order = _sorted_by_id(corpus, all_ids)
    return _Rows(
        corpus=corpus[order],
        ids=all_ids.take(pa.array(order)),
        responses=pa.chunked_array(responses, pa.large_string()),
        source=(np.concatenate(sources) if sources else np.zeros(0, np.int64))[order],
        signatures=(np.concatenate(signatures) if signatures else np.zeros((0, 128), np.uint32))[order],
        text_hashes=(np.concatenate(hashes) if hashes else np.zeros((0, 2), np.uint64))[order],
        blank=blank,
    )


def _sorted_by_id(corpus: NDArray[np.int32], ids: pa.Array) -> NDArray[np.int64]:
    """Order by corpus, then id; UTF-8 bytes and code points order alike."""
    table = pa.table({"corpus": corpus, "id": ids})
    order = pa.compute.sort_indices(table, sort_keys=[("corpus", "ascending"), ("id", "ascending")])
    return np.asarray(order.to_numpy()).astype(np.int64)


def find_duplicates(
    views: Sequence[View],
    threshold: float,
    expand: bool = False,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Pairs | Totals]:
    """All pairs with Jaccard >= threshold, each once, smaller (corpus, id) first; `Totals` comes last."""
    yield Progress("gathering sketches", 0.0)
    every = _gather(views, rows)
    n = len(every.source)
    # lexsort is stable, so the first of each group is its smallest (corpus, id).
    order = np.lexsort((np.arange(n), every.text_hashes[:, 1], every.text_hashes[:, 0]))
    sorted_hashes = every.text_hashes[order]
    first = np.ones(n, bool)
    first[1:] = (sorted_hashes[1:] != sorted_hashes[:-1]).any(axis=1)
    starts = np.append(np.flatnonzero(first), n)
    representatives = order[starts[:-1]]
    by_id = np.argsort(representatives)  # representatives in order of their ids
    members = [(starts[g], starts[g + 1]) for g in by_id] if expand else None
    total = 0
    for chunk in _identical(every, order, starts, expand):
        total += len(chunk.id_a)
        yield chunk
    representatives = representatives[by_id]
    bands, band_rows = lsh.choose_bands(threshold)
    recall = lsh.recall(threshold, bands, band_rows)
    with kernels():
        signatures = np.ascontiguousarray(every.signatures[representatives])
    candidates = 0
    pending = iter(lsh.candidate_pairs(signatures, bands, band_rows, chunk=CHUNK * 4))
    seen = 0
    while True:
        with kernels():
            pairs = next(pending, None)
        if pairs is None or cancelled():
            break
        candidates += len(pairs)
        seen += 1
        yield Progress(f"verifying ({candidates:,} candidate pairs so far)", min(0.95, 0.1 + seen / (seen + bands)))
        for start in range(0, len(pairs), CHUNK):
            some = pairs[start : start + CHUNK]
            for found in _verified(every, representatives, some, threshold, order, members):
                total += len(found.id_a)
                yield found
            if cancelled():
                return
    yield Progress("done", 1.0)
    yield Totals(total, n, len(representatives), candidates, recall, every.blank)


def _identical(every: _Rows, order: NDArray[np.int64], starts: NDArray[np.int64], expand: bool) -> Iterator[Pairs]:
    """Pairs of identical answers: each with the first of its group, or all with all."""

    def chunks(a: NDArray[np.int64], b: NDArray[np.int64]) -> Iterator[Pairs]:
        for start in range(0, len(b), CHUNK):
            some = slice(start, start + CHUNK)
            ones = np.ones(len(b[some]))
            yield _pairs(every, a[some], b[some], ones, ones, ones)

    sizes = np.diff(starts)
    first = np.repeat(starts[:-1], sizes)
    later = np.flatnonzero(np.arange(len(order)) != first)
    yield from chunks(order[first[later]], order[later])
    if not expand:
        return
    for g in np.flatnonzero(sizes > 2):
        group = order[starts[g] : starts[g + 1]]
        for k in range(1, len(group) - 1):
            yield from chunks(np.full(len(group) - k - 1, group[k]), group[k + 1 :])


def _verified(
    every: _Rows,
    representatives: NDArray[np.int64],
    pairs: NDArray[np.int64],
    threshold: float,
    order: NDArray[np.int64],
    members: list[tuple[int, int]] | None,
) -> Iterator[Pairs]:
    involved, flat = np.unique(pairs.reshape(-1), return_inverse=True)
    texts = every.responses.take(pa.array(every.source[representatives[involved]]))
    with kernels():
        hashes, indptr, _flags = shingle.shingle_sets(*text_buffers(texts))
        a, b = np.ascontiguousarray(flat[0::2]), np.ascontiguousarray(flat[1::2])
        shared = jaccard.intersections(hashes, indptr, a, b)
    sizes = np.diff(indptr)
    union = sizes[a] + sizes[b] - shared
    score = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
    keep = np.flatnonzero(score >= threshold)
    if len(keep) == 0:
        return
    left, right = representatives[pairs[keep, 0]], representatives[pairs[keep, 1]]
    in_a, in_b = shared[keep] / sizes[a[keep]], shared[keep] / sizes[b[keep]]
    if members is None:
        yield _pairs(every, left, right, score[keep], in_a, in_b)
        return
    for k, (i, j) in enumerate(pairs[keep]):
        group_a, group_b = order[slice(*members[i])], order[slice(*members[j])]
        for x in group_a:
            for start in range(0, len(group_b), CHUNK):
                y = group_b[start : start + CHUNK]
                swap = y < x
                lo, hi = np.where(swap, y, x), np.where(swap, x, y)
                ca = np.where(swap, in_b[k], in_a[k])
                cb = np.where(swap, in_a[k], in_b[k])
                yield _pairs(every, lo, hi, np.full(len(y), score[keep][k]), ca, cb)


def _pairs(
    every: _Rows,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    score: NDArray[np.float64],
    in_a: NDArray[np.float64],
    in_b: NDArray[np.float64],
) -> Pairs:
    return Pairs(
        every.corpus[a],
        every.ids.take(pa.array(a)).to_pylist(),
        every.corpus[b],
        every.ids.take(pa.array(b)).to_pylist(),
        score,
        in_a,
        in_b,
    )
