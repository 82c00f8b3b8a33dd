"""Match: candidates and scores of a query, channel by channel.

Every channel gives the best `top` rows over all corpora searched, ordered by score, then corpus and id,
so that equal searches give equal answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from kinprint.kernels import overlap, shingle, sketch, slots, stylometry
from kinprint.server.embed import SentencePair, align
from kinprint.server.pipeline.index import Filter, Part, Place, View
from kinprint.server.store.columns import encode_texts, text_buffers
from kinprint.server.store.segment import SCAN_GROUPS, CopyChunk, SemanticChunk
from kinprint.server.threads import kernels
from numpy.typing import NDArray

#: Equal sketch slots (of 128) that make a row a candidate, in small and in large chunks: two find a pair of
#: Jaccard .05 with probability .99, a pair of .1 surely.
SLOTS_SMALL, SLOTS_LARGE = 1, 2
#: Rows that pass a filter up to which just those are scanned.
FEW_ROWS = 20_000
#: Semantic candidates whose sentences are aligned; more when more hits are asked for.
ALIGNED = 256


@dataclass(frozen=True, slots=True)
class Query:
    """A text to search for: the answer alone, reasoning split off.

    `itself` names the stored transcript that the text comes from, which is never its own hit.
    """

    text: str
    language: str | None = None
    itself: tuple[str, str] | None = None

    @property
    def buffers(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Bytes and offsets, as the kernels take them."""
        return encode_texts([self.text])


@dataclass(frozen=True, slots=True)
class Match:
    """A row that resembles the query: where it is and its score."""

    view: View
    place: Place
    id: str
    score: float


@dataclass(frozen=True, slots=True)
class CopyMatch(Match):
    """Adds the sizes behind the score: |A and B|, |A|, |B| in distinct shingles.

    `identical`: the normalised texts are equal.  `one_shingle`: the query is shorter than one shingle and was
    compared as a whole.
    """

    shared: int
    query_size: int
    match_size: int
    identical: bool
    one_shingle: bool


@dataclass(frozen=True, slots=True)
class SemanticMatch(Match):
    """Adds the cosine of the whole texts, the paired sentences, and how many each text has."""

    cosine: float
    pairs: tuple[SentencePair, ...]
    query_sentences: int
    match_sentences: int


@dataclass(frozen=True, slots=True)
class StyleMatch(Match):
    """Adds the query's and the match's style vector, int8[512] each."""

    query_vector: NDArray[np.int8]
    vector: NDArray[np.int8]


def _targets(views: Sequence[View], rows: Filter, query: Query) -> Iterator[tuple[View, int, Part, NDArray[np.bool_]]]:
    """Parts to search with the rows that may be returned."""
    for view in views:
        own = None
        if query.itself is not None and query.itself[0] == view.corpus:
            own = view.locate([query.itself[1]])[0]
        for number, part in enumerate(view.parts):
            mask = rows.mask(part)
            if own is not None and own.part == number:
                mask = mask.copy()
                mask[own.row] = False
            yield view, number, part, mask


def _best(found: list[tuple[View, int, int, float, int]], top: int) -> list[tuple[View, Place, str, float, int]]:
    """The `top` best of (view, part, row, score, tag), ties by corpus and id."""
    found.sort(key=lambda f: -f[3])
    if len(found) > top:
        floor = found[top - 1][3]
        found = [f for f in found if f[3] >= floor]
    named = [
        (view, Place(number, row), view.parts[number].segment.array("id")[row].as_py(), score, tag)
        for view, number, row, score, tag in found
    ]
    named.sort(key=lambda f: (-f[3], f[0].corpus, f[2]))
    return named[:top]


# ---- copy ----


def search_copy(
    query: Query, views: Sequence[View], rows: Filter, top: int, min_score: float | None
) -> list[CopyMatch]:
    """Rows that share text with the query; score = max(Jaccard, containment of the query), both exact."""
    data, offsets = query.buffers
    with kernels():
        shingles, _indptr, flags = shingle.shingle_sets(data, offsets)
        made = sketch.sketch(data, offsets)
    if len(shingles) == 0:
        return []
    found: list[tuple[View, int, int, float, int]] = []
    sizes: list[tuple[int, int, bool]] = []
    for view, number, part, mask in _targets(views, rows, query):
        for chunk in part.segment.copy:
            groups = _candidate_groups(chunk, made.signatures[0], mask)
            if len(groups) == 0:
                continue
            representatives = chunk.rows[chunk.representatives[groups]]
            shared, match_sizes = _verify(part, representatives, shingles)
            scores = np.maximum(shared / (len(shingles) + match_sizes - shared), shared / len(shingles))
            floor = max(min_score if min_score is not None else 0.0, 0.0)
            good = np.flatnonzero((scores > 0) & (scores >= floor))
            good = good[np.argsort(-scores[good], kind="stable")]
            room = top + 1
            order, starts = chunk.grouping
            last_score = -1.0
            for g in good:
                score = float(scores[g])
                if room <= 0 and score < last_score:
                    break
                members = chunk.rows[order[starts[groups[g]] : starts[groups[g] + 1]]]
                members = members[mask[members]]
                found += [(view, number, int(row), score, len(sizes)) for row in members]
                same = chunk.text_hashes[chunk.representatives[groups[g]]] == made.text_hashes[0]
                sizes.append((int(shared[g]), int(match_sizes[g]), bool(same.all())))
                room -= len(members)
                last_score = score
    return [
        CopyMatch(
            view,
            place,
            name,
            score,
            shared=sizes[tag][0],
            query_size=len(shingles),
            match_size=sizes[tag][1],
            identical=sizes[tag][2],
            one_shingle=bool(flags[0] & shingle.WHOLE_TEXT),
        )
        for view, place, name, score, tag in _best(found, top)
    ]


def _candidate_groups(chunk: CopyChunk, signature: NDArray[np.uint32], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Groups of equal texts that may share text with the query and have a row that passes, int64[c]."""
    order, starts = chunk.grouping
    passing = mask[chunk.rows]
    allowed = int(passing.sum())
    if allowed == 0:
        return np.zeros(0, np.int64)
    total = len(starts) - 1
    least = SLOTS_SMALL if total <= SCAN_GROUPS else SLOTS_LARGE
    few = allowed < FEW_ROWS and allowed < len(passing)
    if few:
        positions = np.flatnonzero(passing[order])
        groups = np.unique(np.searchsorted(starts, positions, "right") - 1)
    elif total <= SCAN_GROUPS:
        groups = np.arange(total)
    else:
        return _with_passing_member(slots.query(chunk.slots, signature, least), order, starts, passing)
    with kernels():
        similar = sketch.similarity_at(signature, chunk.signatures, chunk.representatives[groups])
    groups = groups[similar * sketch.SLOTS >= least - 0.5]
    return groups if few else _with_passing_member(groups, order, starts, passing)


def _with_passing_member(
    groups: NDArray[np.int64], order: NDArray[np.int64], starts: NDArray[np.int64], passing: NDArray[np.bool_]
) -> NDArray[np.int64]:
    if passing.all():
        return groups
    return np.array([g for g in groups if passing[order[starts[g] : starts[g + 1]]].any()], np.int64)


def _verify(
    part: Part, rows: NDArray[np.int64], shingles: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(|A and B|, |B|) of the query's shingles with the answers of `rows`, exact."""
    data, offsets = text_buffers(part.segment.array("response"))
    with kernels():
        return overlap.query_overlap(shingles, data, offsets, rows)


# ---- style ----


def style_scale(views: Iterable[View]) -> tuple[stylometry.Stats, NDArray[np.float32], NDArray[np.float32]]:
    """Sums over the searched corpora and the mean and inverse deviation that they give."""
    total = stylometry.stats(np.zeros((0, stylometry.DIM), np.int8))
    for view in views:
        total = stylometry.merge(total, view.style_stats)
    mean, inverse = stylometry.scaler(total)
    return total, mean, inverse


def search_style(
    query: Query, views: Sequence[View], rows: Filter, top: int, min_score: float | None
) -> list[StyleMatch]:
    """Rows written like the query: Cosine Delta over z-scored style vectors."""
    data, offsets = query.buffers
    with kernels():
        vector = stylometry.style_vectors(data, offsets)[0]
        _total, mean, inverse = style_scale(views)
    found: list[tuple[View, int, int, float, int]] = []
    vectors: list[NDArray[np.int8]] = []
    for view, number, part, mask in _targets(views, rows, query):
        for chunk in part.segment.style:
            positions = np.flatnonzero(mask[chunk.rows])
            if len(positions) == 0:
                continue
            with kernels():
                if len(positions) == len(chunk.rows):
                    scores = stylometry.scores(vector, chunk.vectors, mean, inverse)
                else:
                    scores = stylometry.scores_at(vector, chunk.vectors, positions, mean, inverse)
            for k in _top_of(scores, top, min_score):
                found.append((view, number, int(chunk.rows[positions[k]]), float(scores[k]), len(vectors)))
                vectors.append(chunk.vectors[positions[k]])
    return [
        StyleMatch(view, place, name, score, vector, vectors[tag])
        for view, place, name, score, tag in _best(found, top)
    ]


# ---- semantic ----


def search_semantic(
    neutral: NDArray[np.float32],
    query: Query,
    views: Sequence[View],
    rows: Filter,
    top: int,
    min_score: float | None,
) -> list[SemanticMatch]:
    """Rows that say what the query says, in any language.

    `neutral` float32[k, dim] are the vectors of the query's sentences, background and language removed.  The
    mean of the sentences finds candidates (exactly, or through the inverted file and then exactly), and the
    alignment of the sentences scores them.
    """
    floor = 0.0 if min_score is None else min_score
    depth = max(ALIGNED, 4 * top)
    found: list[tuple[View, int, int, float, int]] = []
    details: list[tuple[float, tuple[SentencePair, ...], int]] = []
    candidates: list[tuple[float, View, int, SemanticChunk, int]] = []
    for view, number, _part, mask in _targets(views, rows, query):
        space = view.space
        if space is None:
            continue
        pooled = space.pool(neutral, np.array([0, len(neutral)]))
        for chunk in view.parts[number].segment.semantic:
            positions = _nearest(pooled, chunk, mask[chunk.rows], depth)
            cosines = chunk.vectors[positions] @ pooled[0]
            candidates += [(float(c), view, number, chunk, int(p)) for c, p in zip(cosines, positions, strict=True)]
    candidates.sort(key=lambda c: -c[0])
    for cosine, view, number, chunk, position in candidates[:depth]:
        aligned = align(neutral, chunk.sentences_at(position))
        if aligned.score > floor or (min_score is not None and aligned.score == floor):
            found.append((view, number, int(chunk.rows[position]), aligned.score, len(details)))
            details.append((cosine, aligned.pairs, int(chunk.starts[position + 1] - chunk.starts[position])))
    return [
        SemanticMatch(view, place, name, score, *details[tag][:2], len(neutral), details[tag][2])
        for view, place, name, score, tag in _best(found, top)
    ]


def stored_sentences(view: View, place: Place) -> NDArray[np.float32] | None:
    """Sentence vectors of a stored row, as `search_semantic` takes them; None where they are not filled."""
    for chunk in view.parts[place.part].segment.semantic:
        position = int(np.searchsorted(chunk.rows, place.row))
        if position < len(chunk.rows) and chunk.rows[position] == place.row:
            return chunk.sentences_at(position)
    return None


def _nearest(
    pooled: NDArray[np.float32], chunk: SemanticChunk, passing: NDArray[np.bool_], top: int
) -> NDArray[np.int64]:
    """Positions in the chunk of about the `top` nearest passing vectors."""
    allowed = int(passing.sum())
    if allowed == 0:
        return np.zeros(0, np.int64)
    if allowed < len(passing) and (allowed < FEW_ROWS or chunk.ivf is None):
        positions = np.flatnonzero(passing)
        _scores, labels = faiss.knn(
            pooled,
            np.ascontiguousarray(chunk.vectors[positions]),
            min(top, allowed),
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        return np.asarray(positions[labels[0][labels[0] >= 0]], np.int64)
    if chunk.ivf is None:
        _scores, labels = faiss.knn(pooled, chunk.vectors, min(top, allowed), metric=faiss.METRIC_INNER_PRODUCT)
    else:
        # Twice what is asked for, re-scored exactly: 8-bit codes disturb the order of near ties.
        selector = None if allowed == len(passing) else faiss.IDSelectorBitmap(np.packbits(passing, bitorder="little"))  # type: ignore[arg-type, call-arg]
        parameters = faiss.SearchParametersIVF(nprobe=max(16, chunk.ivf_lists // 16), sel=selector)  # type: ignore[call-arg]
        _scores, labels = chunk.ivf.search(pooled, min(2 * top + 16, allowed), params=parameters)
    return np.asarray(labels[0][labels[0] >= 0], np.int64)


def _top_of(scores: NDArray[np.float32], top: int, min_score: float | None) -> NDArray[np.int64]:
    """Positions of the best scores, ties of the last place included."""
    positions = (
        np.arange(len(scores))
        if min_score is None
        else np.flatnonzero(scores > min_score if min_score == 0 else scores >= min_score)
    )
    if len(positions) > top:
        values = scores[positions]
        floor = np.partition(values, len(values) - top)[len(values) - top]
        positions = positions[values >= floor]
    return positions[np.argsort(-scores[positions], kind="stable")]
