"""Duplicates: all near-duplicate pairs within and between corpora, or the clusters that they make.

Rows of all corpora are put in the order of (corpus, id); `kinprint.kernels.copy.dedup` does the rest, as it does for
frames without a server.  What is held is a sketch a row; texts are read where they are mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import dedup
from kinprint.server.batches import Columns
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.progress import Progress
from numpy.typing import NDArray

#: Rows of clusters that are sent at once.
ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Pairs(Columns):
    """Pairs, column by column; corpora as positions among the corpora asked for."""

    corpus_a: NDArray[np.int32]
    id_a: list[str]
    corpus_b: NDArray[np.int32]
    id_b: list[str]
    jaccard: NDArray[np.float64]
    containment_a: NDArray[np.float64]
    containment_b: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clusters(Columns):
    """Rows with the cluster of each, named by its first row; corpora as positions among the corpora asked for."""

    corpus: NDArray[np.int32]
    id: list[str]
    cluster_corpus: NDArray[np.int32]
    cluster: list[str]
    is_representative: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run; see DuplicatesFinished in proto/."""

    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int
    clusters: int = 0
    largest_cluster: int = 0
    least_similarity: float | None = None
    least_is_exact: bool = True


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows considered, sorted by (corpus, id), so that comparing positions compares ids."""

    corpus: NDArray[np.int32]
    ids: pa.Array
    fingerprints: dedup.Rows
    #: Rows whose answer is blank; they are not among the others.
    blank: int


def _gather(views: Sequence[View], rows: Filter, see_through: bool) -> _Rows:
    ids, texts, corpora, signatures, hashes = [], [], [], [], []
    blank = 0
    for number, view in enumerate(views):
        for part in view.parts:
            mask = rows.mask(part)
            blank += int((mask & part.segment.blank).sum())
            for chunk in part.segment.of("copy"):
                positions = np.flatnonzero(mask[chunk.rows])
                chosen = chunk.rows[positions]
                ids.append(part.segment.array("id").take(pa.array(chosen)))
                texts.append(part.segment.texts.take(chosen))
                corpora.append(np.full(len(chosen), number, np.int32))
                signatures.append(chunk.signatures[positions])
                hashes.append(chunk.text_hashes[positions])
    all_ids = pa.concat_arrays(ids) if ids else pa.array([], pa.large_string())
    corpus = np.concatenate(corpora) if corpora else np.zeros(0, np.int32)
    order = _sorted_by_id(corpus, all_ids)
    fingerprints = dedup.Rows(
        Texts.joined(texts).take(order),
        (np.concatenate(signatures) if signatures else np.zeros((0, 128), np.uint32))[order],
        (np.concatenate(hashes) if hashes else np.zeros((0, 2), np.uint64))[order],
        np.zeros(len(order), np.bool_),
    )
    return _Rows(
        corpus=corpus[order],
        ids=all_ids.take(pa.array(order)),
        fingerprints=dedup.without_disguises(fingerprints) if see_through else fingerprints,
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
    *,
    exact: bool = False,
    see_through: bool = False,
    between: int | None = None,
) -> Iterator[Progress | Pairs | Totals]:
    """All pairs with Jaccard >= threshold, each once, smaller (corpus, id) first; `Totals` comes last.

    With `between` only pairs of one of the first so many corpora and one of the others; with `see_through` answers are
    compared without their disguises (`kernels.copy.disguise`).
    """
    yield Progress("gathering sketches", 0.0)
    every = _gather(views, rows, see_through)
    run = dedup.Run()
    sides = None if between is None else (every.corpus >= between).astype(np.int32)
    found = dedup.find_pairs(every.fingerprints, threshold, exact=exact, expand=expand, sides=sides, run=run)
    told = run.step
    while True:
        pairs = next(found, None)
        if cancelled():
            return
        if run.step != told:
            told = run.step
            yield Progress(run.step, run.share)
        if pairs is None:
            break
        if len(pairs.a):
            yield _named(every, pairs)
    yield Totals(run.pairs, run.rows, run.distinct, run.candidates, run.expected_recall, every.blank)


def find_clusters(
    views: Sequence[View],
    threshold: float,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    cancelled: Callable[[], bool] = lambda: False,
    *,
    exact: bool = False,
    link: dedup.Link = "component",
    see_through: bool = False,
) -> Iterator[Progress | Clusters | Totals]:
    """The cluster of every row, sorted by (corpus, id); `Totals` comes last.

    A cluster is a connected component of the pairs with Jaccard >= threshold, or a star of them, and is named by its
    smallest (corpus, id).
    """
    yield Progress("gathering sketches", 0.0)
    every = _gather(views, rows, see_through)
    run = dedup.Run()
    steps = dedup.find_clusters(every.fingerprints, threshold, exact=exact, link=link, run=run)
    told, last = run.step, np.zeros(0, np.int64)
    while True:
        step = next(steps, None)
        if cancelled():
            return
        if step is None:
            break
        last = step
        if run.step != told:
            told = run.step
            yield Progress(run.step, run.share)
    own = np.arange(len(every.corpus))
    for start in range(0, len(own), ROWS):
        some = slice(start, start + ROWS)
        yield Clusters(
            every.corpus[some],
            every.ids.slice(start, ROWS).to_pylist(),
            every.corpus[last[some]],
            every.ids.take(pa.array(last[some])).to_pylist(),
            last[some] == own[some],
        )
    yield Totals(
        0,
        run.rows,
        run.distinct,
        run.candidates,
        run.expected_recall,
        every.blank,
        run.clusters,
        run.largest,
        run.least_similarity,
        run.least_is_exact,
    )


def _named(every: _Rows, pairs: dedup.Pairs) -> Pairs:
    return Pairs(
        every.corpus[pairs.a],
        every.ids.take(pa.array(pairs.a)).to_pylist(),
        every.corpus[pairs.b],
        every.ids.take(pa.array(pairs.b)).to_pylist(),
        pairs.jaccard,
        pairs.containment_a,
        pairs.containment_b,
    )
