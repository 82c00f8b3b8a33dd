"""The semantic channel: who said the same thing, in any language?

Texts are compared sentence by sentence: two texts' sentences pair up where each is the other's nearest, and the score
says how much of both is paired (see `kinprint.server.embed.alignment`).  Two tiers bring up the rows that are compared:

* *accurate*: sentence vectors of the embedding model.  The nearest sentences of each sentence of the query vote for
  their rows, which finds a translation among thousands where the mean of a text's vectors does not;
* *fast*: one vector a row from a table of tokens (`channels.fast`), which every row has.

Both sets are united, and each row is compared by the best vectors that it has.  Hits are ordered by their standing
among unrelated texts (`channels.calibration`), which makes different tiers and languages comparable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.embed import align
from kinprint.kernels.embed.pool import RowVectors
from kinprint.server.channels import nearest, unrelated
from kinprint.server.channels.calibration import Calibration, Worth
from kinprint.server.channels.fast import FastChunk
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.channels.protocol import Channel, Comparison, Found, Limits, Match, Query, Target
from kinprint.server.channels.ranking import Scored, best
from kinprint.server.embed.alignment import Alignment
from kinprint.server.embed.alignment import align as align_pair
from kinprint.server.embed.space import EmbeddingSpace, grouped_spans
from kinprint.server.store import files
from kinprint.server.store.columns import binary_to_ragged, encode_texts, text_buffers
from kinprint.server.store.segment import Merging, Segment
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
_ARRAYS = ("rows", "codes", "scales", "starts")
#: Code points of a sentence that are shown.
SHOWN = 300


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
        return _mean(nearest.directions(self.at(position)))

    def at(self, position: int) -> NDArray[np.int8]:
        """Codes of the sentences of the text at a position."""
        return self.codes[self.starts[position] : self.starts[position + 1]]


@dataclass(frozen=True, slots=True, eq=False)
class SemanticMatch(Match):
    """Adds whose vectors were compared, and what the score is worth."""

    tier: Tier
    worth: Worth


@dataclass(frozen=True, slots=True)
class SentenceMatch:
    """A sentence of the query and one of the match, each the other's nearest; half-open, in code points.

    The texts are cut for display.
    """

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    cosine: float
    query_text: str
    match_text: str


@dataclass(frozen=True, slots=True)
class SemanticEvidence:
    """Aligned sentences, and the score beside those of unrelated texts."""

    alignment: float
    cosine: float
    tier: Tier
    worth: Worth
    background_mean: float
    background_sd: float
    query_sentences: int
    match_sentences: int
    sentences: list[SentenceMatch]
    query_language: str | None
    match_language: str | None
    truncated: bool

    @property
    def z(self) -> float:
        """Standard deviations above unrelated background texts."""
        return (self.alignment - self.background_mean) / self.background_sd


class SemanticChannel(Channel[SemanticChunk, SemanticMatch, SemanticEvidence]):
    """Says which rows say the same, by the vectors of both tiers; its own chunks are those of the accurate one."""

    name: ClassVar[str] = "semantic"
    number: ClassVar[int] = 2
    column: ClassVar[str] = "embedding"
    default: ClassVar[bool] = False
    embedded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("embedding",)

    # ---- what it makes ----

    def build(
        self, rows: NDArray[np.int64], columns: pl.DataFrame, texts: Texts, space: EmbeddingSpace | None
    ) -> SemanticChunk:
        """Chunk from the sentences of each text, as the corpus' space stores them.

        Raises ValueError without a space, and when a value is no whole number of vectors of this space.
        """
        if space is None:
            raise ValueError("the record holds embeddings, and the corpus lacks their embedding-space.npz")
        if space.components is not None:
            codes, starts = binary_to_ragged(columns["embedding"], np.dtype(np.int8), space.code_width)
            return SemanticChunk(rows, codes, nearest.scales_of(codes), starts, space.digest)
        # Corpora that began before format 2 keep what the model gave, as float16.
        vectors, starts = binary_to_ragged(columns["embedding"], "<f2", space.dim)
        codes = space.encode(space.neutral(vectors.astype(np.float32)))
        return SemanticChunk(rows, codes, nearest.scales_of(codes), starts, space.digest)

    def merge(self, chunks: Sequence[SemanticChunk], merging: Merging) -> SemanticChunk:
        """See Channel."""
        counts = merging.gather(np.diff(c.starts) for c in chunks)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        codes, scales = np.concatenate([c.codes for c in chunks]), np.concatenate([c.scales for c in chunks])
        if merging.sources is not None:
            bases = np.cumsum([0, *(len(c.codes) for c in chunks)])
            begins = np.concatenate([c.starts[:-1] + base for c, base in zip(chunks, bases[:-1], strict=True)])
            begins = begins[merging.sources]
            places = np.repeat(begins - starts[:-1], counts) + np.arange(starts[-1])
            codes, scales = codes[places], scales[places]
        models = {chunk.model for chunk in chunks} - {""}
        if len(models) > 1:
            raise ValueError("vectors of different models do not mix")
        return SemanticChunk(merging.rows, codes, scales, starts, models.pop() if models else "")

    def save(self, folder: Path, chunk: SemanticChunk) -> None:
        """Write a chunk, and its inverted file where it has one."""
        for name in _ARRAYS:
            files.save_array(folder / f"{self.name}-{name}.npy", getattr(chunk, name))
        files.write_json(folder / f"{self.name}-model.json", {"model": chunk.model})
        nearest.save(folder, self.name, chunk.inverted)

    def load(self, folder: Path) -> SemanticChunk | None:
        """See Channel."""
        if not (folder / f"{self.name}-rows.npy").exists():
            return None
        if not (folder / f"{self.name}-codes.npy").exists():
            return self._load_float16(folder)
        rows, codes, scales, starts = (files.map_array(folder / f"{self.name}-{name}.npy") for name in _ARRAYS)
        model = str(json.loads((folder / f"{self.name}-model.json").read_text(encoding="utf-8"))["model"])
        return SemanticChunk(rows, codes, scales, starts, model, nearest.load(folder, self.name, codes))

    def _load_float16(self, folder: Path) -> SemanticChunk:
        """Chunk of a generation of format 2: neutral sentence vectors in float16, rounded here."""
        rows, sentences, starts = (
            files.map_array(folder / f"{self.name}-{name}.npy") for name in ("rows", "sentences", "starts")
        )
        codes = np.empty(sentences.shape, np.int8)
        for start in range(0, len(codes), nearest.BLOCK):
            some = slice(start, start + nearest.BLOCK)
            codes[some] = nearest.quantised(sentences[some].astype(np.float32)).rows
        return SemanticChunk(rows, codes, nearest.scales_of(codes), starts)

    # ---- what it finds ----

    def search(self, query: Query, targets: Sequence[Target], limits: Limits) -> Found[SemanticMatch]:
        """Rows that say what the query says; score = alignment of their sentences, order = standing.

        Raises ValueError when accurate vectors are asked for and the query has none.
        """
        if query.tier == "accurate" and query.sentences is None:
            raise ValueError("the query's sentences are not embedded")
        sides = _Sides(query)
        corpora = len({target.corpus for target in targets})
        found: list[Scored] = []
        tagged: list[tuple[_Scores, int]] = []
        for some in _best_of(_scored(query, sides, targets, limits), limits.top):
            target = targets[some.number]
            for place, (row, standing) in enumerate(zip(some.rows.tolist(), some.standings.tolist(), strict=True)):
                found.append(Scored(target, row, standing, len(tagged)))
                tagged.append((some, place))
        matches = []
        for hit, name in best(found, limits.top):
            some, place = tagged[hit.tag]
            tier, score = some.tier, float(some.scores[place])
            worth = calibration_of(hit.target.meaning, tier).worth(
                score,
                len(sides.of(hit.target.meaning, tier)),
                query.language,
                hit.target.segment.array("language")[hit.row].as_py(),
                max(hit.target.tiers.get(tier, 0), 2),
                corpora,
                int(some.lengths[place]),
            )
            matches.append(SemanticMatch(hit.target, hit.row, name, score, tier, worth))
        return Found(matches)

    def stored_sentences(self, segment: Segment, row: int, space: EmbeddingSpace) -> NDArray[np.float32] | None:
        """Sentence vectors of a stored row, as `search` takes them; None where they are not filled."""
        for chunk in segment.of(self.name):
            position = int(np.searchsorted(chunk.rows, row))
            if position < len(chunk.rows) and chunk.rows[position] == row:
                return space.decode(chunk.at(position))
        return None

    def explain(self, query: Query, match: SemanticMatch, spans: int) -> SemanticEvidence:
        """Which sentences of two texts say the same, best first."""
        target = match.target
        left, right = _Sides(query).of(target.meaning, match.tier), _vectors_of(target, match.row, match.tier)
        language: str | None = target.segment.array("language")[match.row].as_py()
        aligned = replace(align_pair(left, right), score=match.score)
        cosine = float(_mean(left) @ _mean(right))
        return _evidence(query, match.response, language, aligned, cosine, match.tier, match.worth, target.meaning)

    def compare(self, a: Query, b: Query, comparison: Comparison) -> SemanticEvidence:
        """See Channel.  Raises ValueError when neither tier has vectors of both texts."""
        meaning = comparison.meaning
        if a.sentences is not None and b.sentences is not None and meaning.space is not None:
            tier: Tier = "accurate"
            left, right = meaning.space.project(a.sentences), meaning.space.project(b.sentences)
        elif meaning.table is not None:
            tier = "fast"
            left, right = (meaning.table.sentences(*encode_texts([text.text]))[0] for text in (a, b))
        else:
            raise ValueError("the texts' sentences are not embedded")
        aligned = align_pair(left, right)
        worth = calibration_of(meaning, tier).worth(
            aligned.score, len(left), a.language, b.language, 1, match_sentences=len(right)
        )
        cosine = float(_mean(left) @ _mean(right))
        made = _evidence(a, b.text, b.language, aligned, cosine, tier, worth, meaning)
        return replace(made, truncated=a.truncated or b.truncated)


class SecondModel(SemanticChannel):
    """Chunks of a model that is filled beside the one that a corpus is searched by; no channel of its own."""

    name: ClassVar[str] = "second"


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


class _Sides:
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
class _Scores:
    """Rows int64[m] of the target of that number, compared by one tier: scores float32[m], standings float64[m], and
    numbers of sentences int64[m].
    """

    number: int
    tier: Tier
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    standings: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def at(self, places: NDArray[Any]) -> _Scores:
        """Some of them."""
        arrays = (self.rows, self.scores, self.standings, self.lengths)
        return _Scores(self.number, self.tier, *(array[places] for array in arrays))


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


def _best_of(scored: Sequence[_Scores], top: int) -> list[_Scores]:
    """The `top` best, ties of the last place included."""
    least = _least([some.standings for some in scored], top)
    return [some.at(some.standings >= least) for some in scored]


def _scored(query: Query, sides: _Sides, targets: Sequence[Target], limits: Limits) -> list[_Scores]:
    """Rows that may be among the best, compared by the best vectors that each has: those whose every sentence is looked
    at, those that sentences vote for and those near by fast vectors.
    """
    made: list[_Scores] = []
    voted: list[_Voted] = []
    near: list[tuple[int, NDArray[np.int64], NDArray[np.float32]]] = []
    depth, fast_depth = (max(least, ROWS_EACH * limits.top) for least in (ACCURATE_ROWS, FAST_ROWS))

    def compared(number: int, tier: Tier, rows: NDArray[np.int64], scores: NDArray[np.float32], lengths: Any) -> None:
        enough = scores > 0 if limits.min_score is None else scores >= limits.min_score
        if not enough.all():
            rows, scores, lengths = rows[enough], scores[enough], lengths[enough]
        target = targets[number]
        standings = _standings(query, len(sides.of(target.meaning, tier)), target, tier, rows, scores)
        made.append(_Scores(number, tier, rows, scores, standings, lengths))

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
                    made[-1:] = _best_of(made[-1:], limits.top)
                    continue
                positions, highest = _votes(side, chunk, passing, depth)
                bounds = _standings(query, len(side), target, "accurate", chunk.rows[positions], highest)
                voted.append(_Voted(number, chunk, positions, bounds))
        if query.tier != "accurate" and target.meaning.table is not None:
            pooled = _mean(sides.of(target.meaning, "fast"))
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
    query: Query, sides: _Sides, target: Target, rows: NDArray[np.int64], limits: Limits
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


def _vectors_of(target: Target, row: int, tier: Tier) -> NDArray[np.float32]:
    """Sentence vectors of a row, as `Target.side` gives those of the query."""
    if tier == "accurate":
        for chunk in target.segment.of("semantic"):
            position = int(np.searchsorted(chunk.rows, row))
            if position < len(chunk.rows) and chunk.rows[position] == row:
                return nearest.directions(chunk.at(position))
    table = target.meaning.table
    assert table is not None  # the row was compared by it
    return table.sentences(*text_buffers(target.segment.array("response").slice(row, 1)))[0]


def _mean(sentences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit mean of unit vectors [k, d], float32 [d]."""
    total = sentences.sum(axis=0)
    norm = float(np.linalg.norm(total))
    return np.asarray(total / norm if norm > 0 else total, np.float32)


def _ranges(starts: NDArray[np.int64], positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All places `starts[p]:starts[p + 1]` of some positions, one after another, and where each position's begin."""
    counts = starts[positions + 1] - starts[positions]
    begins = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return np.repeat(starts[positions] - begins[:-1], counts) + np.arange(begins[-1]), begins


def _evidence(
    query: Query,
    text: str,
    language: str | None,
    alignment: Alignment,
    cosine: float,
    tier: Tier,
    worth: Worth,
    meaning: Meaning,
) -> SemanticEvidence:
    query_spans, match_spans = grouped_spans(query.text), grouped_spans(text)
    mean, spread = meaning.space.unrelated_at(len(query_spans)) if meaning.space is not None else (0.0, 1.0)
    pairs = [
        SentenceMatch(
            *query_spans[pair.left],
            *match_spans[pair.right],
            pair.cosine,
            query.text[slice(*query_spans[pair.left])][:SHOWN],
            text[slice(*match_spans[pair.right])][:SHOWN],
        )
        for pair in sorted(alignment.pairs, key=lambda pair: -pair.cosine)
    ]
    return SemanticEvidence(
        alignment=alignment.score,
        cosine=cosine,
        tier=tier,
        worth=worth,
        background_mean=mean,
        background_sd=spread,
        query_sentences=len(query_spans),
        match_sentences=len(match_spans),
        sentences=pairs,
        query_language=query.language,
        match_language=language,
        truncated=query.truncated,
    )


__all__ = [
    "FastChunk",
    "SecondModel",
    "SemanticChannel",
    "SemanticChunk",
    "SemanticEvidence",
    "SemanticMatch",
    "SentenceMatch",
    "calibration_of",
]
