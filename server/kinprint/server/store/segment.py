"""Segments: immutable runs of transcripts with their fingerprints, in memory or memory-mapped.

A segment holds its rows as one Arrow table, ordered by the time of their last write, and per channel a
tuple of *chunks*.  A chunk covers some of the rows, so that a channel may be filled later than the row
was written, and a fill never rewrites what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import faiss
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import seeds
from kinprint.kernels.style import stylometry
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.store.columns import binary_to_ragged, binary_to_rows, id_hashes, text_buffers
from numpy.typing import NDArray

#: Columns of a segment's table.
ROW_COLUMNS = (
    "id",
    "seq",
    "model",
    "prompt_key",
    "prompt_id",
    "prompt",
    "response",
    "language",
    "created_at",
    "account_id",
    "metadata",
    "system_prompt",
    "conversation_id",
    "turn",
    "reasoning",
    "content_hash",
    "text_hash",
)
SKETCH_WIDTH = 128
#: Below this many vectors an exact scan is quicker than any index.
IVF_FROM = 100_000


@dataclass(frozen=True, eq=False)
class CopyChunk:
    """Sketches of some rows.

    rows int64[m] ascending, signatures uint32[m, 128], text_hashes uint64[m, 2].
    Equal texts form a *group*; `order` lists the chunk's positions group by group, `starts` where each
    group begins, so that a million equal answers are one candidate.
    """

    rows: NDArray[np.int64]
    signatures: NDArray[np.uint32]
    text_hashes: NDArray[np.uint64]
    stored_seeds: seeds.SeedIndex | None = None

    @cached_property
    def grouping(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(order int64[m], starts int64[groups + 1])."""
        order = np.lexsort((self.rows, self.text_hashes[:, 1], self.text_hashes[:, 0]))
        hashes = self.text_hashes[order]
        first = np.ones(len(order), bool)
        first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
        starts = np.append(np.flatnonzero(first), len(order))
        return order, starts

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """Position of the first member of each group, int64[groups]."""
        order, starts = self.grouping
        return order[starts[:-1]]


@dataclass(frozen=True, eq=False)
class StyleChunk:
    """Style vectors of some rows: rows int64[m] ascending, vectors int8[m, 512]."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.int8]

    @cached_property
    def stats(self) -> stylometry.Stats:
        """Sums over the vectors; they merge across chunks exactly."""
        return stylometry.stats(self.vectors)


@dataclass(frozen=True, eq=False)
class SemanticChunk:
    """Embeddings of some rows, without background and language (see kinprint.server.embed.space).

    rows int64[m] ascending; vectors float32[m, dim], one unit vector a text, for finding candidates;
    sentences float16[s, dim], unit vectors of their sentences one text after another, for ranking them;
    starts int64[m + 1], where each text's sentences begin.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    sentences: NDArray[np.float16]
    starts: NDArray[np.int64]
    stored_ivf: faiss.Index | None = None

    def sentences_at(self, position: int) -> NDArray[np.float32]:
        """Sentence vectors of one text, float32[k, dim]."""
        return self.sentences[self.starts[position] : self.starts[position + 1]].astype(np.float32)

    @property
    def ivf_lists(self) -> int:
        """Number of inverted lists; 0 without an index."""
        return 0 if self.ivf is None else int(faiss.extract_index_ivf(self.ivf).nlist)

    @cached_property
    def ivf(self) -> faiss.Index | None:
        """Inverted-file index over `vectors` when there are enough of them, else None (exact scan)."""
        if self.stored_ivf is not None:
            return self.stored_ivf
        if len(self.rows) < IVF_FROM:
            return None
        lists = int(4 * np.sqrt(len(self.rows)))
        index = faiss.index_factory(self.vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        sample = np.random.default_rng(0).choice(len(self.rows), min(len(self.rows), lists * 64), replace=False)
        index.train(np.ascontiguousarray(self.vectors[np.sort(sample)]))
        for start in range(0, len(self.rows), 65_536):
            index.add(np.ascontiguousarray(self.vectors[start : start + 65_536]))
        return index


Chunk = CopyChunk | StyleChunk | SemanticChunk


@dataclass(frozen=True, eq=False)
class Segment:
    """An immutable run of rows; see the module's text.  `table` has one chunk per column."""

    table: pa.Table
    copy: tuple[CopyChunk, ...] = ()
    style: tuple[StyleChunk, ...] = ()
    semantic: tuple[SemanticChunk, ...] = ()
    #: Folder that the segment is mapped from; None while it is only in memory.
    folder: str | None = None
    stored_lookup: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
    _codes: dict[str, tuple[NDArray[np.int32], dict[str | None, int]]] = field(default_factory=dict)
    _seeds: dict[CopyChunk, seeds.SeedIndex] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def chunks(self, channel: str) -> tuple[Chunk, ...]:
        """Chunks of a channel by name."""
        found: tuple[Chunk, ...] = getattr(self, channel)
        return found

    def array(self, column: str) -> pa.Array:
        """A column as one Arrow array."""
        data = self.table.column(column)
        return data.chunk(0) if data.num_chunks == 1 else data.combine_chunks()

    @cached_property
    def texts(self) -> Texts:
        """The answers, as kernels read them: where they are."""
        return Texts.from_offsets(*text_buffers(self.array("response")))

    @cached_property
    def prompts(self) -> Texts:
        """The prompts, as kernels read them; empty where there is none."""
        return Texts.from_offsets(*text_buffers(self.array("prompt")))

    def seeds(self, chunk: CopyChunk) -> seeds.SeedIndex:
        """Index of the seeds of a chunk's groups; ids are group numbers."""
        if chunk.stored_seeds is not None:
            return chunk.stored_seeds
        if chunk not in self._seeds:
            rows = chunk.rows[chunk.representatives]
            self._seeds[chunk] = seeds.build(self.texts.take(rows))
        return self._seeds[chunk]

    @cached_property
    def seqs(self) -> NDArray[np.int64]:
        """Write sequence of every row, ascending, int64[n]."""
        return np.asarray(self.array("seq").to_numpy(zero_copy_only=True))

    @cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Rows whose answer is empty or blank: they have no text hash."""
        return np.asarray(pc.is_null(self.array("text_hash")).to_numpy(zero_copy_only=False))

    @cached_property
    def created_us(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Time of every row in microseconds since 1970 UTC, and whether it is known."""
        column = self.array("created_at")
        known = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False))
        micros = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(0)
        return np.asarray(micros.to_numpy(zero_copy_only=False)), known

    @cached_property
    def lookup(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hashes of the ids, ascending, and the row of each."""
        if self.stored_lookup is not None:
            return self.stored_lookup
        hashes = id_hashes(self.array("id").to_pylist())
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def codes(self, column: str) -> tuple[NDArray[np.int32], dict[str | None, int]]:
        """Dictionary codes int32[n] of a text column and the code of each value; -1 stands for null."""
        if column not in self._codes:
            encoded = self.array(column).dictionary_encode()
            codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int32)
            values: dict[str | None, int] = {v: i for i, v in enumerate(encoded.dictionary.to_pylist())}
            self._codes[column] = (codes, values)
        return self._codes[column]

    def find(self, ids: Sequence[str], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Row of each id, -1 where it is not here, int64[k].  `hashes` are `id_hashes(ids)`."""
        found = np.full(len(ids), -1, np.int64)
        if len(self) == 0:
            return found
        keys, rows = self.lookup
        first = np.searchsorted(keys, hashes, "left")
        possible = np.flatnonzero((first < len(keys)) & (keys[np.minimum(first, len(keys) - 1)] == hashes))
        if len(possible) == 0:
            return found
        last = np.searchsorted(keys, hashes, "right")
        column = self.array("id")
        for k in possible.tolist():
            for place in range(first[k], last[k]):
                if column[int(rows[place])].as_py() == ids[k]:
                    found[k] = rows[place]
                    break
        return found

    def filled(self, channel: str) -> NDArray[np.bool_]:
        """Which rows have the channel, bool[n]."""
        return self._filled[channel]

    @cached_property
    def _filled(self) -> dict[str, NDArray[np.bool_]]:
        masks = {}
        for channel in ("copy", "style", "semantic"):
            mask = np.zeros(len(self), bool)
            for chunk in self.chunks(channel):
                mask[chunk.rows] = True
            masks[channel] = mask
        return masks

    def with_chunk(self, channel: str, chunk: Chunk) -> Segment:
        """The segment with one more chunk; small neighbours are merged so that chunks stay few."""
        chunks = [*self.chunks(channel), chunk]
        while len(chunks) > 1 and len(chunks[-1].rows) * 2 >= len(chunks[-2].rows):
            newest = chunks.pop()
            chunks[-1] = merge_chunks([chunks[-1], newest])
        parts = {name: self.chunks(name) for name in ("copy", "style", "semantic")}
        parts[channel] = tuple(chunks)
        return Segment(
            self.table,
            **parts,  # type: ignore[arg-type]
            folder=None,
            stored_lookup=self.lookup,
            _codes=self._codes,
            _seeds={c: made for c, made in dict(self._seeds).items() if c in parts["copy"]},
        )


def merge_chunks(chunks: Sequence[Chunk], remap: Sequence[NDArray[np.int64]] | None = None) -> Chunk:
    """One chunk out of several of one channel.

    `remap[i]` int64[rows of the old segment] gives the new row of chunk i's rows, -1 for dropped ones.
    Without it the chunks belong to one segment already.
    """
    rows = []
    keeps: list[NDArray | slice] = []
    for i, chunk in enumerate(chunks):
        new = chunk.rows if remap is None else remap[i][chunk.rows]
        keep = new >= 0
        keeps.append(slice(None) if keep.all() else keep)
        rows.append(new[keep])
    all_rows = np.concatenate(rows)
    order = np.argsort(all_rows, kind="stable")
    straight = bool((order == np.arange(len(order))).all())

    def gather(arrays: Iterable[NDArray]) -> NDArray:
        joined = np.concatenate([a[k] for a, k in zip(arrays, keeps, strict=True)])
        return joined if straight else joined[order]

    all_rows = all_rows if straight else all_rows[order]
    first = chunks[0]
    if isinstance(first, CopyChunk):
        copies = [c for c in chunks if isinstance(c, CopyChunk)]
        return CopyChunk(all_rows, gather(c.signatures for c in copies), gather(c.text_hashes for c in copies))
    if isinstance(first, StyleChunk):
        return StyleChunk(all_rows, gather(c.vectors for c in chunks if isinstance(c, StyleChunk)))
    semantics = [c for c in chunks if isinstance(c, SemanticChunk)]
    counts = gather(np.diff(c.starts) for c in semantics)
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    # Sentences move text by text; they are long runs, so slices beat an index per sentence.
    pieces = [
        c.sentences[c.starts[k] : c.starts[k + 1]]
        for c, keep in zip(semantics, keeps, strict=True)
        for k in np.arange(len(c.rows))[keep]
    ]
    if not straight:
        pieces = [pieces[k] for k in order]
    sentences = np.concatenate(pieces) if pieces else semantics[0].sentences[:0]
    return SemanticChunk(all_rows, gather(c.vectors for c in semantics), sentences, starts)


def copy_chunk(rows: NDArray[np.int64], sketches: pl.Series, text_hashes: pl.Series) -> CopyChunk:
    """Chunk from the record's binary columns, both without nulls."""
    return CopyChunk(rows, binary_to_rows(sketches, np.uint32, SKETCH_WIDTH), binary_to_rows(text_hashes, np.uint64, 2))


def style_chunk(rows: NDArray[np.int64], vectors: pl.Series) -> StyleChunk:
    """Chunk from the record's binary column, without nulls."""
    return StyleChunk(rows, binary_to_rows(vectors, np.int8, stylometry.DIM))


def semantic_chunk(rows: NDArray[np.int64], embeddings: pl.Series, space: EmbeddingSpace) -> SemanticChunk:
    """Chunk from the record's binary column, without nulls: the sentences of each text, float16[k, dim].

    Raises ValueError when a value is no whole number of vectors of this space.
    """
    vectors, starts = binary_to_ragged(embeddings, "<f2", space.dim)
    neutral = space.neutral(vectors.astype(np.float32))
    return SemanticChunk(rows, space.pool(neutral, starts), neutral.astype(np.float16), starts)


def merge_segments(segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]]) -> Segment:
    """One segment with the living rows of several neighbours, ordered by seq."""
    remaps = []
    base = 0
    tables = []
    for segment, living in zip(segments, alive, strict=True):
        remap = np.full(len(segment), -1, np.int64)
        count = int(living.sum())
        remap[living] = np.arange(base, base + count)
        base += count
        remaps.append(remap)
        tables.append(segment.table if count == len(segment) else segment.table.filter(pa.array(living)))
    table = pa.concat_tables(tables).combine_chunks()
    seqs = table.column("seq").to_numpy()
    if (np.diff(seqs) < 0).any():  # a replay takes the files of the record as they come
        order = np.argsort(seqs, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        remaps = [np.where(remap >= 0, rank[remap], -1) for remap in remaps]
    parts: dict[str, tuple[Chunk, ...]] = {}
    for channel in ("copy", "style", "semantic"):
        chunks = [(c, r) for s, r in zip(segments, remaps, strict=True) for c in s.chunks(channel)]
        if chunks:
            merged = merge_chunks([c for c, _ in chunks], [r for _, r in chunks])
            parts[channel] = (merged,) if len(merged.rows) else ()
    return Segment(table, **parts)  # type: ignore[arg-type]
