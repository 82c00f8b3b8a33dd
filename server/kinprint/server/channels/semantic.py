"""The semantic channel: rows that say what the query says, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.server.channels.protocol import Channel, Comparison, Found, Limits, Match, Query, Target
from kinprint.server.channels.ranking import Scored, best
from kinprint.server.embed.alignment import Alignment, SentencePair, align
from kinprint.server.embed.space import EmbeddingSpace, grouped_spans
from kinprint.server.store import files
from kinprint.server.store.columns import binary_to_ragged
from kinprint.server.store.segment import Merging, Segment
from numpy.typing import NDArray

if TYPE_CHECKING:
    import faiss

#: Below this many vectors an exact scan is quicker than any index.
IVF_FROM = 100_000
#: Rows that pass a filter up to which just those are scanned.
FEW_ROWS = 20_000
#: Candidates whose sentences are aligned; more when more hits are asked for.
ALIGNED = 256
#: Candidates that are aligned between two looks at whether anybody still waits.
AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class SemanticChunk:
    """Embeddings of some rows, without background and language (see kinprint.server.embed.space).

    rows int64[m] ascending; vectors float32[m, dim], one unit vector a text, for finding candidates;
    sentences float16[s, dim], unit vectors of their sentences one text after another, for ranking them;
    starts int64[m + 1], where each text's sentences begin; `ivf`, an inverted file over `vectors`, which only what
    was published has, and only where there are enough: without it they are scanned.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    sentences: NDArray[np.float16]
    starts: NDArray[np.int64]
    ivf: faiss.Index | None = None

    def sentences_at(self, position: int) -> NDArray[np.float32]:
        """Sentence vectors of one text, float32[k, dim]."""
        return self.sentences[self.starts[position] : self.starts[position + 1]].astype(np.float32)

    @property
    def ivf_lists(self) -> int:
        """Number of inverted lists; 0 without an index."""
        if self.ivf is None:
            return 0
        import faiss  # here and below where there are vectors: a corpus without embeddings has no use for it

        return int(faiss.extract_index_ivf(self.ivf).nlist)


@dataclass(frozen=True, slots=True, eq=False)
class SemanticMatch(Match):
    """Adds the cosine of the whole texts, the paired sentences, and how many each text has."""

    cosine: float
    pairs: tuple[SentencePair, ...]
    query_sentences: int
    match_sentences: int


@dataclass(frozen=True, slots=True)
class SentenceMatch:
    """A sentence of the query and one of the match, each the other's nearest; half-open, in code points."""

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    cosine: float


@dataclass(frozen=True, slots=True)
class SemanticEvidence:
    """Aligned sentences, and the score beside that of unrelated texts."""

    alignment: float
    cosine: float
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
        """Standard deviations above unrelated texts."""
        return (self.alignment - self.background_mean) / self.background_sd


class SemanticChannel(Channel[SemanticChunk, SemanticMatch, SemanticEvidence]):
    """The mean of a text's sentence vectors finds candidates, the alignment of the sentences scores them."""

    name: ClassVar[str] = "semantic"
    number: ClassVar[int] = 2
    column: ClassVar[str] = "embedding"
    default: ClassVar[bool] = False
    embedded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("embedding",)

    def build(
        self, rows: NDArray[np.int64], columns: pl.DataFrame, texts: Texts, space: EmbeddingSpace | None
    ) -> SemanticChunk:
        """Chunk from the sentences of each text, float16[k, dim] a value, as the model gave them.

        Raises ValueError without a space, and when a value is no whole number of vectors of this space.
        """
        if space is None:
            raise ValueError("the record holds embeddings, and the corpus lacks their embedding-space.npz")
        vectors, starts = binary_to_ragged(columns["embedding"], "<f2", space.dim)
        neutral = space.neutral(vectors.astype(np.float32))
        return SemanticChunk(rows, space.pool(neutral, starts), neutral.astype(np.float16), starts)

    def merge(self, chunks: Sequence[SemanticChunk], merging: Merging) -> SemanticChunk:
        """See Channel."""
        counts = merging.gather(np.diff(c.starts) for c in chunks)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        vectors = merging.gather(c.vectors for c in chunks)
        if merging.sources is None:
            return SemanticChunk(merging.rows, vectors, np.concatenate([c.sentences for c in chunks]), starts)
        # Sentences move text by text; they are long runs, so slices beat an index per sentence.
        pieces = [c.sentences[c.starts[k] : c.starts[k + 1]] for c in chunks for k in range(len(c.rows))]
        moved = [pieces[k] for k in merging.sources]
        sentences = np.concatenate(moved) if moved else chunks[0].sentences[:0]
        return SemanticChunk(merging.rows, vectors, sentences, starts)

    def save(self, folder: Path, chunk: SemanticChunk) -> None:
        """Writes the inverted file, too, which is trained here where there are enough vectors."""
        for name in ("rows", "vectors", "sentences", "starts"):
            files.save_array(folder / f"semantic-{name}.npy", getattr(chunk, name))
        index = _inverted_file(chunk.vectors) if chunk.ivf is None else chunk.ivf
        if index is not None:
            import faiss

            faiss.write_index(index, str(folder / "semantic.faiss"))
            files.fsync_file(folder / "semantic.faiss")

    def load(self, folder: Path) -> SemanticChunk | None:
        """See Channel."""
        if not (folder / "semantic-rows.npy").exists():
            return None
        ivf = None
        if (folder / "semantic.faiss").exists():
            import faiss

            ivf = faiss.read_index(str(folder / "semantic.faiss"), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        rows, vectors, sentences, starts = (
            files.map_array(folder / f"semantic-{name}.npy") for name in ("rows", "vectors", "sentences", "starts")
        )
        return SemanticChunk(rows, vectors, sentences, starts, ivf)

    def search(self, query: Query, targets: Sequence[Target], limits: Limits) -> Found[SemanticMatch]:
        """Rows that say what the query says; score = alignment of their sentences.

        The mean of the sentences finds candidates (exactly, or through the inverted file and then exactly), and the
        alignment scores them.  Raises ValueError when the query has no vectors.
        """
        neutral = query.sentences
        if neutral is None:
            raise ValueError("the query's sentences are not embedded")
        floor = 0.0 if limits.min_score is None else limits.min_score
        depth = max(ALIGNED, 4 * limits.top)
        candidates: list[tuple[float, Target, SemanticChunk, int]] = []
        for target in targets:
            if target.space is None:
                continue
            pooled = target.space.pool(neutral, np.array([0, len(neutral)]))
            for chunk in target.segment.of(self.name):
                limits.check()
                positions = _nearest(pooled, chunk, target.passing(chunk.rows), depth)
                # Row by row: a product of matrices rounds a row by where it stands among the others.
                cosines = (chunk.vectors[positions] * pooled[0]).sum(axis=1)
                candidates += [(float(c), target, chunk, int(p)) for c, p in zip(cosines, positions, strict=True)]
        candidates.sort(key=lambda c: -c[0])
        found: list[Scored] = []
        details: list[tuple[float, tuple[SentencePair, ...], int]] = []
        for number, (cosine, target, chunk, position) in enumerate(candidates[:depth]):
            if number % AT_ONCE == 0:
                limits.check()
            aligned = align(neutral, chunk.sentences_at(position))
            if aligned.score > floor or (limits.min_score is not None and aligned.score == floor):
                found.append(Scored(target, int(chunk.rows[position]), aligned.score, len(details)))
                details.append((cosine, aligned.pairs, int(chunk.starts[position + 1] - chunk.starts[position])))
        return Found(
            [
                SemanticMatch(
                    row.target, row.row, name, row.score, *details[row.tag][:2], len(neutral), details[row.tag][2]
                )
                for row, name in best(found, limits.top)
            ]
        )

    def stored_sentences(self, segment: Segment, row: int) -> NDArray[np.float32] | None:
        """Sentence vectors of a stored row, as `search` takes them; None where they are not filled."""
        for chunk in segment.of(self.name):
            position = int(np.searchsorted(chunk.rows, row))
            if position < len(chunk.rows) and chunk.rows[position] == row:
                found: NDArray[np.float32] = chunk.sentences_at(position)
                return found
        return None

    def explain(self, query: Query, match: SemanticMatch, spans: int) -> SemanticEvidence:
        """Which sentences of two texts say the same, best first."""
        space = match.target.space
        assert space is not None  # it has embeddings
        language: str | None = match.target.segment.array("language")[match.row].as_py()
        return _evidence(query, match.response, language, Alignment(match.score, match.pairs), match.cosine, space)

    def compare(self, a: Query, b: Query, comparison: Comparison) -> SemanticEvidence:
        """See Channel.  Raises ValueError when a text has no vectors, or nobody says in which space."""
        left, right, space = a.sentences, b.sentences, comparison.space
        if left is None or right is None or space is None:
            raise ValueError("the texts' sentences are not embedded")
        whole = [space.pool(v, np.array([0, len(v)]))[0] for v in (left, right)]
        found = _evidence(a, b.text, b.language, align(left, right), float(whole[0] @ whole[1]), space)
        return replace(found, truncated=a.truncated or b.truncated)


def _evidence(
    query: Query, text: str, language: str | None, alignment: Alignment, cosine: float, space: EmbeddingSpace
) -> SemanticEvidence:
    query_spans, match_spans = grouped_spans(query.text), grouped_spans(text)
    mean, spread = space.unrelated_at(len(query_spans))
    pairs = [
        SentenceMatch(*query_spans[pair.left], *match_spans[pair.right], pair.cosine)
        for pair in sorted(alignment.pairs, key=lambda pair: -pair.cosine)
    ]
    return SemanticEvidence(
        alignment=alignment.score,
        cosine=cosine,
        background_mean=mean,
        background_sd=spread,
        query_sentences=len(query_spans),
        match_sentences=len(match_spans),
        sentences=pairs,
        query_language=query.language,
        match_language=language,
        truncated=query.truncated,
    )


def _inverted_file(vectors: NDArray[np.float32]) -> faiss.Index | None:
    """Inverted-file index over vectors when there are enough of them, else None (exact scan)."""
    if len(vectors) < IVF_FROM:
        return None
    import faiss

    lists = int(4 * np.sqrt(len(vectors)))
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).choice(len(vectors), min(len(vectors), lists * 64), replace=False)
    index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
    for start in range(0, len(vectors), 65_536):
        index.add(np.ascontiguousarray(vectors[start : start + 65_536]))
    return index


def _nearest(
    pooled: NDArray[np.float32], chunk: SemanticChunk, passing: NDArray[np.int64] | None, top: int
) -> NDArray[np.int64]:
    """Positions in the chunk of about the `top` nearest vectors that pass; None: all do."""
    allowed = len(chunk.rows) if passing is None else len(passing)
    if allowed == 0:
        return np.zeros(0, np.int64)
    import faiss

    if passing is not None and (allowed < FEW_ROWS or chunk.ivf is None):
        _scores, labels = faiss.knn(
            pooled,
            np.ascontiguousarray(chunk.vectors[passing]),
            min(top, allowed),
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        return np.asarray(passing[labels[0][labels[0] >= 0]], np.int64)
    if chunk.ivf is None:
        _scores, labels = faiss.knn(pooled, chunk.vectors, min(top, allowed), metric=faiss.METRIC_INNER_PRODUCT)
    else:
        selector = None
        if passing is not None:
            bits = np.zeros(len(chunk.rows), np.bool_)
            bits[passing] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[arg-type, call-arg]
        # Twice what is asked for, re-scored exactly: 8-bit codes disturb the order of near ties.
        parameters = faiss.SearchParametersIVF(nprobe=max(16, chunk.ivf_lists // 16), sel=selector)  # type: ignore[call-arg]
        _scores, labels = chunk.ivf.search(pooled, min(2 * top + 16, allowed), params=parameters)
    return np.asarray(labels[0][labels[0] >= 0], np.int64)
