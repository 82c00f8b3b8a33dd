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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.server.channels import nearest
from kinprint.server.channels.calibration import Worth
from kinprint.server.channels.candidates import (
    Scores,
    SemanticChunk,
    Sides,
    best_of,
    calibration_of,
    mean_of,
    scored,
    vectors_of,
)
from kinprint.server.channels.fast import FastChunk
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.channels.protocol import Channel, Comparison, Found, Limits, Match, Query, Target
from kinprint.server.channels.ranking import Scored, best
from kinprint.server.embed.alignment import Alignment
from kinprint.server.embed.alignment import align as align_pair
from kinprint.server.embed.space import EmbeddingSpace, grouped_spans
from kinprint.server.store import files
from kinprint.server.store.columns import binary_to_ragged, encode_texts
from kinprint.server.store.segment import Merging, Segment, check_rows, check_starts
from numpy.typing import NDArray

_ARRAYS = ("rows", "codes", "scales", "starts")
#: Code points of a sentence that are shown.
SHOWN = 300


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
        check_rows(self.name, rows)
        check_starts(f"{self.name}-starts.npy", starts, len(rows), len(codes))
        if len(scales) != len(codes):
            raise ValueError(f"{self.name}-codes.npy and {self.name}-scales.npy differ in length")
        model = str(files.read_json(folder / f"{self.name}-model.json")["model"])
        return SemanticChunk(rows, codes, scales, starts, model, nearest.load(folder, self.name, codes))

    def _load_float16(self, folder: Path) -> SemanticChunk:
        """Chunk of a generation of format 2: neutral sentence vectors in float16, rounded here."""
        rows, sentences, starts = (
            files.map_array(folder / f"{self.name}-{name}.npy") for name in ("rows", "sentences", "starts")
        )
        check_rows(self.name, rows)
        check_starts(f"{self.name}-starts.npy", starts, len(rows), len(sentences))
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
        sides = Sides(query)
        corpora = len({target.corpus for target in targets})
        found: list[Scored] = []
        tagged: list[tuple[Scores, int]] = []
        for some in best_of(scored(query, sides, targets, limits), limits.top):
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
        left, right = Sides(query).of(target.meaning, match.tier), vectors_of(target, match.row, match.tier)
        language: str | None = target.segment.array("language")[match.row].as_py()
        aligned = replace(align_pair(left, right), score=match.score)
        cosine = float(mean_of(left) @ mean_of(right))
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
        cosine = float(mean_of(left) @ mean_of(right))
        made = _evidence(a, b.text, b.language, aligned, cosine, tier, worth, meaning)
        return replace(made, truncated=a.truncated or b.truncated)


class SecondModel(SemanticChannel):
    """Chunks of a model that is filled beside the one that a corpus is searched by; no channel of its own."""

    name: ClassVar[str] = "second"


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
