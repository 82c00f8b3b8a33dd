"""Match: candidates and scores of a query, channel by channel.

Every channel gives the best `top` rows over all corpora searched, ordered by score, then corpus and id,
so that equal searches give equal answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import overlap, seeds, shingle
from kinprint.kernels.style import stylometry
from kinprint.server.corpus.index import Filter, Part, Place, View
from kinprint.server.embed import SentencePair, align
from kinprint.server.store.columns import encode_texts
from kinprint.server.store.segment import CopyChunk, SemanticChunk
from numpy.typing import NDArray

#: Candidates that are verified where the best are worth little, those with most shared seeds first; more when more
#: hits are asked for.
VERIFIED = 128
#: Shingles of a query up to which it is a fragment, whose few seeds say little: eight times as many are verified.
FRAGMENT = 64
#: Candidates that are verified at once.
AT_ONCE = 128
#: Standard errors that a candidate beyond these is given the benefit of, and the score from which on it matters.
BENEFIT, WORTH = 3.0, 0.2
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


@dataclass(frozen=True, slots=True)
class CopySearch:
    """What a search of the copy channel found, and how much it looked at."""

    matches: list[CopyMatch]
    #: Texts that share a seed with the query, identical ones counted once.
    candidates: int
    #: Of these, how many were compared with it exactly.
    verified: int
    #: Distinct shingles of the query.
    shingles: int


@dataclass(frozen=True, eq=False, slots=True)
class _Candidates:
    """Groups of identical texts of one chunk that share seeds with the query, most first."""

    view: View
    number: int
    part: Part
    chunk: CopyChunk
    #: Rows that may be returned, bool[n]; None: all.
    mask: NDArray[np.bool_] | None
    groups: NDArray[np.int64]
    counts: NDArray[np.uint32]

    def members(self, group: int) -> NDArray[np.int64]:
        """Rows of a group that may be returned."""
        order, starts = self.chunk.grouping
        rows = self.chunk.rows[order[starts[group] : starts[group + 1]]]
        return rows if self.mask is None else rows[self.mask[rows]]


def search_copy(query: Query, views: Sequence[View], rows: Filter, top: int, min_score: float | None) -> CopySearch:
    """Rows that share text with the query; score = max(Jaccard, containment of the query), both exact.

    Candidates share a seed with the query, so a row that holds eight words of it in a row is one for certain.  They
    are compared exactly in the order of their shared seeds, until none is left that could, by the seeds that it
    shares, be among the best `top`: `BENEFIT` standard errors more than expected, a mistake in about a thousand.
    Where not even the best `top` share a fifth of the query, `VERIFIED` are looked at and no more.
    """
    data, offsets = query.buffers
    shingles, _indptr, flags = shingle.shingle_sets(data, offsets)
    if len(shingles) == 0:
        return CopySearch([], 0, 0, 0)
    found = _Found(query, top, max(min_score or 0.0, 0.0), len(shingles))
    sources = [c for c in _copy_candidates(shingles, views, rows) if len(c.groups)]
    source = np.repeat(np.arange(len(sources)), [len(c.groups) for c in sources])
    counts = np.concatenate([c.counts for c in sources]) if sources else np.zeros(0, np.uint32)
    groups = np.concatenate([c.groups for c in sources]) if sources else np.zeros(0, np.int64)
    order = np.argsort(-counts.astype(np.int64), kind="stable") if len(sources) > 1 else np.arange(len(counts))
    verified = 0
    budget = max(VERIFIED if len(shingles) > FRAGMENT else 8 * VERIFIED, 8 * top)
    while verified < len(order):
        enough = verified >= budget
        if verified and not found.may_improve(int(counts[order[verified]]), enough):
            break
        batch = order[verified : verified + AT_ONCE]
        verified += len(batch)
        parts = [(sources[k], groups[batch[source[batch] == k]]) for k in np.unique(source[batch])]
        texts = Texts.joined([c.part.segment.texts.take(c.chunk.rows[c.chunk.representatives[g]]) for c, g in parts])
        shared, sizes = overlap.query_overlap_of(shingles, texts, np.arange(len(texts)))
        end = 0
        for candidates, some in parts:
            begin, end = end, end + len(some)
            found.add(candidates, some, shared[begin:end], sizes[begin:end])
    chosen = _best(found.rows, top)
    text_hash = None
    if any(found.details[tag][:2] == (len(shingles), len(shingles)) for *_, tag in chosen):
        text_hash = shingle.text_hashes(data, offsets)[0]
    best = [
        CopyMatch(
            view,
            place,
            name,
            score,
            shared=found.details[tag][0],
            query_size=len(shingles),
            match_size=found.details[tag][1],
            identical=text_hash is not None and bool((found.details[tag][2] == text_hash).all()),
            one_shingle=bool(flags[0] & shingle.WHOLE_TEXT),
        )
        for view, place, name, score, tag in chosen
    ]
    return CopySearch(best, len(order), verified, len(shingles))


class _Found:
    """Rows found so far, and what it takes to be among the best."""

    def __init__(self, query: Query, top: int, floor: float, size: int) -> None:
        self.rows: list[tuple[View, int, int, float, int]] = []
        self.details: list[tuple[int, int, NDArray[np.uint64]]] = []
        self._query, self._top, self._floor, self._size = query, top, floor, size
        self._scores = np.zeros(0)
        self._bar = floor

    def may_improve(self, count: int, enough: bool) -> bool:
        """Whether a candidate with so many shared seeds could be among the best; where none of these is worth much,
        until `enough` were looked at.
        """
        if self._bar < WORTH:
            return not enough
        return bool(seeds.estimated_shared(count, BENEFIT) >= self._bar * self._size)

    def add(
        self,
        candidates: _Candidates,
        groups: NDArray[np.int64],
        shared: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        """Note verified groups; of a score that cannot be among the best no more rows than are asked for."""
        scores = np.maximum(shared / (self._size + sizes - shared), shared / self._size)
        good = np.flatnonzero((scores > 0) & (scores >= self._bar))
        good = good[np.argsort(-scores[good], kind="stable")]
        own = None
        if self._query.itself is not None and self._query.itself[0] == candidates.view.corpus:
            own = candidates.view.locate([self._query.itself[1]])[0]
        room = self._top + 1
        last_score = -1.0
        kept = []
        for g in good:
            score = float(scores[g])
            if room <= 0 and score < last_score:
                break
            members = candidates.members(int(groups[g]))
            if own is not None and own.part == candidates.number:
                members = members[members != own.row]
            self.rows += [(candidates.view, candidates.number, int(row), score, len(self.details)) for row in members]
            chunk = candidates.chunk
            text_hash = chunk.text_hashes[chunk.representatives[groups[g]]]
            self.details.append((int(shared[g]), int(sizes[g]), text_hash))
            room -= len(members)
            last_score = score
            kept += [score] * len(members)
        self._scores = np.concatenate((self._scores, kept))
        if len(self._scores) >= self._top:
            self._scores = np.partition(self._scores, -self._top)[-self._top :]
            self._bar = max(self._floor, float(self._scores[0]))


def _copy_candidates(shingles: NDArray[np.uint64], views: Sequence[View], rows: Filter) -> Iterator[_Candidates]:
    for view in views:
        for number, part in enumerate(view.parts):
            mask = None if rows.empty and part.living == len(part.segment) else rows.mask(part)
            for chunk in part.segment.copy:
                found, counts = seeds.query(part.segment.seeds(chunk), shingles)
                groups = found.astype(np.int64)
                if mask is not None:
                    order, starts = chunk.grouping
                    passing = np.concatenate(([0], np.cumsum(mask[chunk.rows[order]])))
                    some = passing[starts[groups + 1]] > passing[starts[groups]]
                    groups, counts = groups[some], counts[some]
                yield _Candidates(view, number, part, chunk, mask, groups, counts)


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
    vector = stylometry.style_vectors(data, offsets)[0]
    _total, mean, inverse = style_scale(views)
    found: list[tuple[View, int, int, float, int]] = []
    vectors: list[NDArray[np.int8]] = []
    for view, number, part, mask in _targets(views, rows, query):
        for chunk in part.segment.style:
            positions = np.flatnonzero(mask[chunk.rows])
            if len(positions) == 0:
                continue
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
