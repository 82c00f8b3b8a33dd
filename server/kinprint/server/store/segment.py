"""Segments: immutable runs of transcripts with their fingerprints, in memory or memory-mapped.

A segment holds its rows as one Arrow table, ordered by the time of their last write, and per channel a
tuple of *chunks*.  A chunk covers some of the rows, so that a channel may be filled later than the row
was written, and a fill never rewrites what is there.  What a chunk holds is its channel's affair: here a
channel is what can merge, save and load its chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from kinprint.kernels.arrow import Texts
from kinprint.server.store.columns import id_hashes, text_buffers
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


class Chunk(Protocol):
    """What a channel knows of some rows of a segment."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the segment, ascending, int64[m]; the chunk's arrays go by position among them."""


@dataclass(frozen=True, eq=False, slots=True)
class Merging:
    """How the rows of several chunks become those of one: `rows` int64[m] ascending.

    `sources` int64[m] tells where each stood when the chunks' rows are put one after another; None: just so.
    """

    rows: NDArray[np.int64]
    sources: NDArray[np.int64] | None

    def gather(self, arrays: Iterable[NDArray]) -> NDArray:
        """One array out of one a chunk, with the rows along the first axis."""
        joined = np.concatenate(list(arrays))
        return joined if self.sources is None else joined[self.sources]


def check_rows(name: str, rows: NDArray[np.int64], *arrays: NDArray) -> None:
    """Raise ValueError unless `rows` ascends from 0 and each of some arrays has as many: kernels check no bounds."""
    if rows.ndim != 1 or rows.dtype != np.int64 or (len(rows) and rows[0] < 0) or (rows[1:] <= rows[:-1]).any():
        raise ValueError(f"rows of {name} do not ascend")
    if any(len(array) != len(rows) for array in arrays):
        raise ValueError(f"arrays of {name} differ in length")


def check_starts(name: str, starts: NDArray[np.int64], count: int, end: int) -> None:
    """Raise ValueError unless `starts` has count + 1 places that rise from 0 to `end`."""
    good = starts.ndim == 1 and starts.dtype == np.int64 and len(starts) == count + 1
    if not good or starts[0] != 0 or starts[-1] != end or (starts[1:] < starts[:-1]).any():
        raise ValueError(f"places of {name} are no places of {end} items")


def check_places(name: str, places: NDArray[np.signedinteger[Any]], end: int) -> None:
    """Raise ValueError unless every place lies in 0 .. end - 1."""
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < end:
        raise ValueError(f"{name} names items that are not there")


class ChunkFormat(Protocol):
    """What this package asks of a channel."""

    @property
    def name(self) -> str:
        """Name of the channel."""

    def merge(self, chunks: Sequence[Any], merging: Merging) -> Chunk:
        """One chunk out of several."""

    def save(self, folder: Path, chunk: Any) -> None:
        """Write a chunk to a segment's folder, each file named after the channel, flushed.  Raises OSError."""

    def load(self, folder: Path) -> Chunk | None:
        """Map what `save` wrote; None where the channel is not there.  Raises OSError, ValueError, EOFError."""


Formats = Mapping[str, ChunkFormat]


@dataclass(frozen=True, eq=False)
class Segment:
    """An immutable run of rows; see the module's text.  `table` has one chunk per column."""

    table: pa.Table
    #: Chunks by the name of their channel; a channel that no row has is not there.
    chunks: Mapping[str, tuple[Chunk, ...]] = field(default_factory=dict)
    #: Folder that the segment is mapped from; None while it is only in memory.
    folder: str | None = None
    stored_lookup: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
    #: What is derived of the table alone, shared by the segments that have it in common.
    _derived: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def of(self, channel: str) -> tuple[Any, ...]:
        """Chunks of a channel by name."""
        return self.chunks.get(channel, ())

    def array(self, column: str) -> pa.Array:
        """A column as one Arrow array."""
        key = f"array {column}"
        found = self._derived.get(key)
        if found is None:
            data = self.table.column(column)
            found = self._derived[key] = data.chunk(0) if data.num_chunks == 1 else data.combine_chunks()
        return found

    def has_id_like(self, pattern: str) -> bool:
        """Whether a regular expression is found in an id."""
        key = f"ids like {pattern}"
        found: bool | None = self._derived.get(key)
        if found is None:
            found = bool(pc.any(pc.match_substring_regex(self.array("id"), pattern)).as_py())
            self._derived[key] = found
        return found

    @cached_property
    def texts(self) -> Texts:
        """The answers, as kernels read them: where they are."""
        found: Texts | None = self._derived.get("texts")
        if found is None:
            found = self._derived["texts"] = Texts.from_offsets(*text_buffers(self.array("response")))
        return found

    @cached_property
    def prompts(self) -> Texts:
        """The prompts, as kernels read them; empty where there is none."""
        return Texts.from_offsets(*text_buffers(self.array("prompt")))

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
        return lookup_of(id_hashes(self.array("id").to_pylist()))

    def codes(self, column: str) -> tuple[NDArray[np.int32], dict[str | None, int]]:
        """Dictionary codes int32[n] of a text column and the code of each value; -1 stands for null."""
        key = f"codes {column}"
        found: tuple[NDArray[np.int32], dict[str | None, int]] | None = self._derived.get(key)
        if found is None:
            encoded = self.array(column).dictionary_encode()
            codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int32)
            found = self._derived[key] = (codes, {v: i for i, v in enumerate(encoded.dictionary.to_pylist())})
        return found

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
        mask = self._filled.get(channel)
        if mask is None:
            mask = np.zeros(len(self), bool)
            for chunk in self.of(channel):
                mask[chunk.rows] = True
            self._filled[channel] = mask
        return mask

    @cached_property
    def _filled(self) -> dict[str, NDArray[np.bool_]]:
        return {}

    def with_chunks(self, chunks: Mapping[str, Chunk]) -> Segment:
        """The segment, which has no channel yet, with one chunk of each of some."""
        return Segment(
            self.table,
            {name: (chunk,) for name, chunk in chunks.items()},
            stored_lookup=self.stored_lookup,
            _derived=self._derived,
        )

    def without(self, name: str) -> Segment:
        """The segment without one kind of chunk."""
        chunks = {k: v for k, v in self.chunks.items() if k != name}
        return Segment(self.table, chunks, stored_lookup=self.lookup, _derived=self._derived)

    def with_index(self, name: str, chunk: Chunk) -> Segment:
        """The segment with its one chunk of a kind exchanged for one of the same rows, which has its index."""
        return Segment(
            self.table,
            {**self.chunks, name: (chunk,)},
            folder=self.folder,
            stored_lookup=self.stored_lookup,
            _derived=self._derived,
        )

    def renamed(self, name: str, to: str) -> Segment:
        """The segment with one kind of chunk in the place of another."""
        chunks = {k: v for k, v in self.chunks.items() if k not in (name, to)}
        if found := self.of(name):
            chunks[to] = found
        return Segment(self.table, chunks, stored_lookup=self.lookup, _derived=self._derived)

    def with_chunk(self, channel: ChunkFormat, chunk: Chunk) -> Segment:
        """The segment with one more chunk; small neighbours are merged so that chunks stay few."""
        chunks = [*self.of(channel.name), chunk]
        while len(chunks) > 1 and len(chunks[-1].rows) * 2 >= len(chunks[-2].rows):
            newest = chunks.pop()
            chunks[-1] = merge_chunks(channel, [chunks[-1], newest])
        return Segment(
            self.table,
            {**self.chunks, channel.name: tuple(chunks)},
            stored_lookup=self.lookup,
            _derived=self._derived,
        )


def lookup_of(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """`Segment.lookup` of rows whose ids have these hashes."""
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order


def merge_chunks(
    channel: ChunkFormat, chunks: Sequence[Chunk], remap: Sequence[NDArray[np.int64]] | None = None
) -> Chunk:
    """One chunk out of several of one channel.

    `remap[i]` int64[rows of the old segment] gives the new row of chunk i's rows, -1 for dropped ones.
    Without it the chunks belong to one segment already.
    """
    rows = np.concatenate([c.rows if remap is None else remap[i][c.rows] for i, c in enumerate(chunks)])
    order = np.argsort(rows, kind="stable")
    order = order[np.searchsorted(rows[order], 0) :]
    straight = len(order) == len(rows) and bool((order == np.arange(len(order))).all())
    return channel.merge(chunks, Merging(rows if straight else rows[order], None if straight else order))


def merge_segments(segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], channels: Formats) -> Segment:
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
    merged: dict[str, tuple[Chunk, ...]] = {}
    for name, channel in channels.items():
        chunks = [(c, r) for s, r in zip(segments, remaps, strict=True) for c in s.of(name)]
        if chunks:
            chunk = merge_chunks(channel, [c for c, _ in chunks], [r for _, r in chunks])
            if len(chunk.rows):
                merged[name] = (chunk,)
    return Segment(table, merged, stored_lookup=_merged_lookup(segments, remaps))


def _merged_lookup(
    segments: Sequence[Segment], remaps: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """`Segment.lookup` of segments whose rows got other numbers, -1 for those that are dropped."""
    rows = np.concatenate([remap[segment.lookup[1]] for segment, remap in zip(segments, remaps, strict=True)])
    hashes = np.concatenate([segment.lookup[0] for segment in segments])
    kept = rows >= 0
    order = np.lexsort((rows[kept], hashes[kept]))
    return hashes[kept][order], rows[kept][order]
