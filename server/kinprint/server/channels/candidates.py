"""Candidates of a semantic search: which rows may be among the best, and how each is compared.

See `kinprint.server.channels.semantic` for the two tiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kinprint.kernels.embed import align
from kinprint.kernels.embed.pool import RowVectors
from kinprint.server.channels import nearest, unrelated
from kinprint.server.channels.calibration import Calibration
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.channels.protocol import Limits, Query, Target
from kinprint.server.store.columns import text_buffers
from numpy.typing import NDArray

#: Rows that are compared, by accurate and by fast vectors, at least and for each hit that is asked for.
ACCURATE_ROWS, FAST_ROWS, ROWS_EACH = 1024, 128, 4
#: Of the rows that sentences vote for, those that are compared before it is asked which others may stand higher.
FIRST_ROWS = 128
#: Nearest sentences of each sentence of the query that vote for their rows.
VOTERS = 1000
#: Sentences of a chunk, and products of these with the query's, up to which all its rows are aligned instead: reading
#: each sentence once is what a vote without an inverted file costs, too.
ALIGNED_SENTENCES, ALIGNED_PRODUCTS = 100_000, 8_000_000


@dataclass(frozen=True, eq=False)
class SemanticChunk:
    """Sentence vectors of some rows: the accurate tier.

    rows int64[m] ascending; codes int8[s, width], directions of their sentences, text after text (see
    `EmbeddingSpace.encode`), and scales float32[s] that make them unit vectors; starts int64[m + 1], where each text's
    sentences begin; `inverted` over the sentences, which only what was published has, and only where there are enough.
    `model` is the digest of the model; "" where a generation of format 2 was read.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    starts: NDArray[np.int64]
    model: str = ""
    inverted: nearest.Inverted | None = None

    @property
    def vectors(self) -> RowVectors:
        """The sentences, as the kernels take them."""
        return RowVectors(self.codes, self.scales)

    def mean_at(self, position: int) -> NDArray[np.float32]:
        """Unit mean of the sentences of the text at a position, float32[width]."""
        return mean_of(nearest.directions(self.at(position)))

    def at(self, position: int) -> NDArray[np.int8]:
        """Codes of the sentences of the text at a position."""
        return self.codes[self.starts[position] : self.starts[position + 1]]


def calibration_of(meaning: Meaning, tier: Tier) -> Calibration:
    """What scores of a tier are read by: the corpus' own calibration, else that of the background texts."""
    found = meaning.calibration(tier)
    if found is not None:
        return found
    if tier == "accurate":
        assert meaning.space is not None
        return unrelated.of_space(meaning.space)
    assert meaning.table is not None
    return unrelated.of_table(meaning.table)


class Sides:
    """The query's sentence vectors as each corpus has those of its rows, made once."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._made: dict[tuple[Tier, int], NDArray[np.float32]] = {}

    def of(self, meaning: Meaning, tier: Tier) -> NDArray[np.float32]:
        """Unit vectors float32[k, d] for a tier that the corpus has."""
        key = tier, id(meaning.space if tier == "accurate" else meaning.table)
        if key not in self._made:
            if tier == "accurate":
                assert meaning.space is not None
                assert self._query.sentences is not None
                self._made[key] = meaning.space.project(self._query.sentences)
            else:
                assert meaning.table is not None
                self._made[key] = meaning.table.sentences(*self._query.buffers)[0]
        return self._made[key]


# ---- candidates ----


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Rows int64[m] of the target of that number, compared by one tier: scores float32[m], standings float64[m], and
    numbers of sentences int64[m].
    """

    number: int
    tier: Tier
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    standings: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def at(self, places: NDArray[Any]) -> Scores:
        """Some of them."""
        arrays = (self.rows, self.scores, self.standings, self.lengths)
        return Scores(self.number, self.tier, *(array[places] for array in arrays))


@dataclass(frozen=True, slots=True, eq=False)
class _Voted:
    """Rows of a chunk that sentences voted for, by their positions int64[m], and the highest standing that each can
    have, float64[m].
    """

    number: int
    chunk: SemanticChunk
    positions: NDArray[np.int64]
    bounds: NDArray[np.float64]


def _least(standings: Sequence[NDArray[np.floating[Any]]], top: int) -> float:
    """The `top`-th best of all, -inf where there are fewer."""
    every = np.concatenate(standings) if standings else np.zeros(0)
    return float(np.partition(every, len(every) - top)[len(every) - top]) if len(every) > top else -np.inf


def best_of(scored: Sequence[Scores], top: int) -> list[Scores]:
    """The `top` best, ties of the last place included."""
    least = _least([some.standings for some in scored], top)
    return [some.at(some.standings >= least) for some in scored]


def scored(query: Query, sides: Sides, targets: Sequence[Target], limits: Limits) -> list[Scores]:
    """Rows that may be among the best, compared by the best vectors that each has: those whose every sentence is looked
    at, those that sentences vote for and those near by fast vectors.
    """
    made: list[Scores] = []
    voted: list[_Voted] = []
    near: list[tuple[int, NDArray[np.int64], NDArray[np.float32]]] = []
    depth, fast_depth = (max(least, ROWS_EACH * limits.top) for least in (ACCURATE_ROWS, FAST_ROWS))

    def compared(number: int, tier: Tier, rows: NDArray[np.int64], scores: NDArray[np.float32], lengths: Any) -> None:
        enough = scores > 0 if limits.min_score is None else scores >= limits.min_score
        if not enough.all():
            rows, scores, lengths = rows[enough], scores[enough], lengths[enough]
        target = targets[number]
        standings = _standings(query, len(sides.of(target.meaning, tier)), target, tier, rows, scores)
        made.append(Scores(number, tier, rows, scores, standings, lengths))

    for number, target in enumerate(targets):
        limits.check()
        if query.tier != "fast" and query.sentences is not None and target.meaning.space is not None:
            side = sides.of(target.meaning, "accurate")
            for chunk in target.segment.of("semantic"):
                limits.check()
                passing = target.passing(chunk.rows)
                if len(chunk.codes) <= min(ALIGNED_SENTENCES, ALIGNED_PRODUCTS // max(len(side), 1)):
                    positions = np.arange(len(chunk.rows)) if passing is None else passing
                    compared(number, "accurate", chunk.rows[positions], *_aligned(side, chunk, positions))
                    made[-1:] = best_of(made[-1:], limits.top)
                    continue
                positions, highest = _votes(side, chunk, passing, depth)
                bounds = _standings(query, len(side), target, "accurate", chunk.rows[positions], highest)
                voted.append(_Voted(number, chunk, positions, bounds))
        if query.tier != "accurate" and target.meaning.table is not None:
            pooled = mean_of(sides.of(target.meaning, "fast"))
            for fast in target.segment.of("fast"):
                if fast.table == target.meaning.table.digest:
                    limits.check()
                    positions, cosines = fast.candidates(pooled, target.passing(fast.rows), fast_depth)
                    near.append((number, fast.rows[positions], cosines))

    # First those that may stand highest; then those that may stand higher than the last of the hits that these make.
    above = np.inf
    for most in (max(FIRST_ROWS, ROWS_EACH * limits.top), depth):
        least = _least([v.bounds for v in voted], most)
        if most == depth:
            least = max(least, _least([some.standings for some in made], limits.top))
        for v in voted:
            limits.check()
            positions = v.positions[(v.bounds >= least) & (v.bounds < above)]
            side = sides.of(targets[v.number].meaning, "accurate")
            compared(v.number, "accurate", v.chunk.rows[positions], *_aligned(side, v.chunk, positions))
        above = least
    known: dict[int, list[NDArray[np.int64]]] = {}
    for some in made:
        known.setdefault(some.number, []).append(some.rows)
    least = _least([cosines for _, _, cosines in near], fast_depth)
    for number, rows, cosines in near:
        rows = np.setdiff1d(rows[cosines >= least], np.concatenate(known.get(number, [np.zeros(0, np.int64)])))
        for tier, these, scores, lengths in _compared(query, sides, targets[number], rows, limits):
            compared(number, tier, these, scores, lengths)
    return made


def _votes(
    side: NDArray[np.float32], chunk: SemanticChunk, passing: NDArray[np.int64] | None, top: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions of the rows that most of the nearest sentences of the query's vote for, and the highest score that each
    can have.

    A sentence of the query gives each row the cosine of that row's nearest sentence among its `VOTERS` nearest. Where a
    row has none there, none of its sentences is nearer than the last of these.
    """
    # One row, that of the query itself, is left out afterwards: no list of all other sentences is made for it.
    all_but_one = passing is not None and len(passing) >= len(chunk.rows) - 1
    sentences = None if passing is None or all_but_one else _ranges(chunk.starts, passing)[0]
    if len(chunk.codes) == 0 or (sentences is not None and len(sentences) == 0):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    rows, cosines, more, others = [], [], [], 0.0
    for positions, values in nearest.nearest(side, chunk.vectors, chunk.inverted, sentences, VOTERS):
        owners = np.searchsorted(chunk.starts, positions, side="right") - 1
        distinct, first = np.unique(owners, return_index=True)  # best first: the first is its nearest
        other = max(float(values[-1]), 0.0) if len(values) >= VOTERS else 0.0
        rows.append(distinct)
        cosines.append(np.maximum(values[first], 0))
        more.append(np.maximum(values[first] - other, 0))
        others += other
    distinct, inverse = np.unique(np.concatenate(rows), return_inverse=True)
    votes = np.bincount(inverse, np.concatenate(cosines))
    sums = others + np.bincount(inverse, np.concatenate(more))
    if passing is not None and all_but_one:
        allowed = _among(distinct, passing)
        distinct, votes, sums = distinct[allowed], votes[allowed], sums[allowed]
    if len(votes) > top:
        kept = votes >= np.partition(votes, len(votes) - top)[len(votes) - top]
        distinct, sums = distinct[kept], sums[kept]
    lengths = chunk.starts[distinct + 1] - chunk.starts[distinct]
    # No more pairs than sentences on either side; see `kinprint.kernels.embed.align`.
    highest = 2 * np.minimum(sums, lengths) / (len(side) + np.minimum(lengths, 2 * len(side)))
    return distinct, highest.astype(np.float32)


def _among(some: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some numbers are among others that are far more."""
    if len(ascending) == 0:
        return np.zeros(len(some), bool)
    places = np.minimum(np.searchsorted(ascending, some), len(ascending) - 1)
    return np.asarray(ascending[places] == some)


# ---- comparing ----


def _aligned(
    side: NDArray[np.float32], chunk: SemanticChunk, positions: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Alignment scores of the rows at some positions, and their numbers of sentences."""
    first, last = chunk.starts[positions], chunk.starts[positions + 1]
    return align.scores(align.query(side), chunk.vectors, first, last), last - first


def _standings(
    query: Query, count: int, target: Target, tier: Tier, rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How the scores of some rows stand among those of unrelated texts, float64; `count` sentences have been sought."""
    calibration = calibration_of(target.meaning, tier)
    codes, values = target.segment.codes("language")
    names = {code: language for language, code in values.items()}
    spoken = codes[rows]
    made = scores.astype(np.float64)
    for code in np.unique(spoken).tolist():
        # A standing is a line in the score.
        zero, one = (calibration.standing(s, count, query.language, names.get(code)) for s in (0.0, 1.0))
        made[spoken == code] = zero + (one - zero) * made[spoken == code]
    return made


def _compared(
    query: Query, sides: Sides, target: Target, rows: NDArray[np.int64], limits: Limits
) -> list[tuple[Tier, NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]]:
    """Alignment scores of some rows of a target, by the best vectors that each has, and their numbers of sentences."""
    made: list[tuple[Tier, NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]] = []
    left = rows
    if query.tier != "fast" and query.sentences is not None and target.meaning.space is not None:
        side = sides.of(target.meaning, "accurate")
        for chunk in target.segment.of("semantic"):
            limits.check()
            some, positions, _ = np.intersect1d(chunk.rows, left, assume_unique=True, return_indices=True)
            if len(some):
                made.append(("accurate", some, *_aligned(side, chunk, positions)))
                left = np.setdiff1d(left, some, assume_unique=True)
    if query.tier != "accurate" and target.meaning.table is not None and len(left):
        limits.check()
        texts = target.segment.array("response").take(left)
        vectors, starts = target.meaning.table.sentences(*text_buffers(texts))
        asked = align.query(sides.of(target.meaning, "fast"))
        scores = align.scores(asked, nearest.quantised(vectors), starts[:-1], starts[1:])
        made.append(("fast", left, scores, np.diff(starts)))
    return made


def vectors_of(target: Target, row: int, tier: Tier) -> NDArray[np.float32]:
    """Sentence vectors of a row, as `Target.side` gives those of the query."""
    if tier == "accurate":
        for chunk in target.segment.of("semantic"):
            position = int(np.searchsorted(chunk.rows, row))
            if position < len(chunk.rows) and chunk.rows[position] == row:
                return nearest.directions(chunk.at(position))
    table = target.meaning.table
    assert table is not None  # the row was compared by it
    return table.sentences(*text_buffers(target.segment.array("response").slice(row, 1)))[0]


def mean_of(sentences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit mean of unit vectors [k, d], float32 [d]."""
    total = sentences.sum(axis=0)
    norm = float(np.linalg.norm(total))
    return np.asarray(total / norm if norm > 0 else total, np.float32)


def _ranges(starts: NDArray[np.int64], positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All places `starts[p]:starts[p + 1]` of some positions, one after another, and where each position's begin."""
    counts = starts[positions + 1] - starts[positions]
    begins = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return np.repeat(starts[positions] - begins[:-1], counts) + np.arange(begins[-1]), begins
