"""Index: which rows of a corpus are live, where they are, and what is filled.

The index is a tuple of parts, each an immutable segment with a mask of its living rows.  One writer at a
time replaces the tuple; readers take it once and see one consistent state.  Small fresh segments are
merged with their neighbours in size classes, so n rows written in any batches cost O(n log n) copies and
leave O(log n) parts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from kinprint.kernels.arrow import Texts
from kinprint.server.channels import CHANNELS, FAST, FORMATS, SECOND, Channel
from kinprint.server.channels.calibration import Calibration
from kinprint.server.channels.fast import FastChunk
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.corpus.view import Part, View
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.embed.static import StaticTable
from kinprint.server.store.columns import id_hashes
from kinprint.server.store.segment import ROW_COLUMNS, Chunk, Segment, lookup_of, merge_segments
from numpy.typing import NDArray

#: Fresh parts of one size class that are merged, and the rows of the smallest class.
_FAN_IN, _TIER_ROWS = 8, 1_000


def segment_of(frame: pl.DataFrame, meaning: Meaning, hashes: NDArray[np.uint64] | None = None) -> Segment:
    """A segment from put rows of the record, ordered by seq here.  `hashes` are those of the ids, if they are known.

    Its rows have fast vectors where the corpus has a table; else they are made behind (see `corpus.backfill`).
    """
    if not frame["seq"].is_sorted():
        order = frame["seq"].arg_sort()
        frame, hashes = frame[order], None if hashes is None else hashes[order.to_numpy()]
    table = frame.select(ROW_COLUMNS).to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    bare = Segment(table) if hashes is None else Segment(table, stored_lookup=lookup_of(hashes))
    rows = np.arange(frame.height)
    made = {name: _chunk(channel, frame, rows, bare.texts, meaning.space) for name, channel in CHANNELS.items()}
    if meaning.table is not None and not bare.blank.all():
        made[FAST.name] = FAST.build(np.flatnonzero(~bare.blank), bare.array("response"), meaning.table)
    return bare.with_chunks({name: chunk for name, chunk in made.items() if chunk is not None})


def _chunk(
    channel: Channel[Any, Any, Any],
    frame: pl.DataFrame,
    rows: NDArray[np.int64],
    texts: Texts,
    space: EmbeddingSpace | None,
) -> Chunk | None:
    """Chunk of one channel from those rows of `frame` that have it; None when none has.

    `rows` are those of the segment whose answers `texts` are.
    """
    if any(column not in frame.columns for column in channel.needs):
        return None
    mask = frame.select(pl.all_horizontal(pl.col(column).is_not_null() for column in channel.needs)).to_series()
    if not mask.any():
        return None
    columns = frame.select(channel.needs)
    if not mask.all():
        rows, columns = rows[mask.to_numpy()], columns.filter(mask)
    chunk: Chunk = channel.build(rows, columns, texts, space)
    return chunk


class CorpusIndex:
    """The index of one corpus.  `apply` and `publish` take turns; `view` may be read at any time."""

    def __init__(self, corpus: str, parts: Iterable[Part] = (), meaning: Meaning | None = None) -> None:
        self._view = View(corpus, tuple(parts), meaning or Meaning())
        self._turn = threading.RLock()

    @property
    def view(self) -> View:
        """The present state."""
        return self._view

    @property
    def turn(self) -> threading.RLock:
        """Held by whoever replaces the state."""
        return self._turn

    def replace(self, parts: Iterable[Part]) -> None:
        """Swap in a new state."""
        with self._turn:
            self._view = replace(self._view, parts=tuple(p for p in parts if p.living))

    def set_space(self, space: EmbeddingSpace) -> None:
        """Note the space of the embeddings that follow."""
        with self._turn:
            self._view = replace(self._view, meaning=replace(self._view.meaning, space=space))

    def set_second(self, space: EmbeddingSpace | None) -> None:
        """Have a second model beside the first, or, with None, none any more."""
        with self._turn:
            parts = self._view.parts
            if space is None:
                parts = tuple(
                    Part(p.segment.without(SECOND.name), p.alive) if p.segment.of(SECOND.name) else p for p in parts
                )
            self._view = replace(self._view, parts=parts, meaning=replace(self._view.meaning, second=space))

    def switch_models(self, untagged: str | None) -> None:
        """Search by the second model from here on, and let the vectors of the first go."""
        with self._turn:
            parts = tuple(
                Part(p.segment.renamed(SECOND.name, "semantic"), p.alive)
                if p.segment.of(SECOND.name) or p.segment.of("semantic")
                else p
                for p in self._view.parts
            )
            meaning = self._view.meaning
            measured: dict[Tier, Calibration] = {t: c for t, c in meaning.measured.items() if t != "accurate"}
            meaning = replace(meaning, space=meaning.second, second=None, untagged=untagged, measured=measured)
            self._view = replace(self._view, parts=parts, meaning=meaning)

    def set_calibration(self, tier: Tier, calibration: Calibration) -> None:
        """Read the scores of a tier by this from here on."""
        with self._turn:
            meaning = self._view.meaning
            measured = {**meaning.measured, tier: calibration}
            self._view = replace(self._view, meaning=replace(meaning, measured=measured))

    def set_table(self, table: StaticTable) -> None:
        """Go by a table of tokens; chunks made with another one are let go."""
        with self._turn:
            parts = tuple(
                Part(part.segment.without(FAST.name), part.alive)
                if any(chunk.table != table.digest for chunk in part.segment.of(FAST.name))
                else part
                for part in self._view.parts
            )
            self._view = replace(self._view, parts=parts, meaning=replace(self._view.meaning, table=table))

    def add_chunk(self, segment: Segment, chunk: FastChunk) -> Segment | None:
        """Give rows of a segment their fast vectors; the segment that has them.

        None when the segment is not there any more, or the corpus goes by another table.
        """
        with self._turn:
            table = self.meaning.table
            for number, part in enumerate(self._view.parts):
                if part.segment is segment and table is not None and table.digest == chunk.table:
                    made = segment.with_chunk(FAST, chunk)
                    parts = list(self._view.parts)
                    parts[number] = Part(made, part.alive)
                    self.replace(parts)
                    return made
            return None

    def add_index(self, segment: Segment, name: str, chunk: Chunk) -> bool:
        """Have a segment searched through the index of its one chunk of a kind; False when it is not there any more."""
        with self._turn:
            for number, part in enumerate(self._view.parts):
                if part.segment is segment:
                    parts = list(self._view.parts)
                    parts[number] = Part(segment.with_index(name, chunk), part.alive)
                    self.replace(parts)
                    return True
            return False

    @property
    def meaning(self) -> Meaning:
        """What the semantic channel goes by."""
        return self._view.meaning

    def put(self, frame: pl.DataFrame) -> None:
        """Add put rows with distinct ids; rows of the same id that live so far die."""
        if frame.is_empty():
            return
        with self._turn:
            ids = frame["id"].to_list()
            hashes = id_hashes(ids)
            parts = self._kill(ids, hashes)
            segment = segment_of(frame, self.meaning, hashes)
            parts.append(Part(segment, np.ones(len(segment), bool)))
            self.replace(_merge_fresh(parts))

    def delete(self, ids: Sequence[str]) -> None:
        """Let rows die."""
        with self._turn:
            self.replace(self._kill(ids))

    def fill(self, frame: pl.DataFrame, second: bool = False) -> None:
        """Add channel columns to rows with the same id and content hash; others are ignored.

        `second`: the embeddings are those of the second model.
        """
        if frame.is_empty():
            return
        with self._turn:
            parts = list(self._view.parts)
            frame = frame.unique(["id", "content_hash"], keep="last", maintain_order=True)
            places = self._view.locate(frame["id"].to_list())
            hashes = frame["content_hash"].to_list()
            by_part: dict[int, list[tuple[int, int]]] = {}
            for i, place in enumerate(places):
                if place is None:
                    continue
                segment = parts[place.part].segment
                if segment.array("content_hash")[place.row].as_py() == hashes[i]:
                    by_part.setdefault(place.part, []).append((place.row, i))
            for number, pairs in by_part.items():
                pairs.sort()
                rows = np.array([r for r, _ in pairs], np.int64)
                parts[number] = _filled(parts[number], rows, frame[[i for _, i in pairs]], self.meaning, second)
            self.replace(parts)

    def _kill(self, ids: Sequence[str], hashes: NDArray[np.uint64] | None = None) -> list[Part]:
        parts = list(self._view.parts)
        dead: dict[int, list[int]] = {}
        for place in self._view.locate(ids, hashes):
            if place is not None:
                dead.setdefault(place.part, []).append(place.row)
        for number, rows in dead.items():
            parts[number] = parts[number].without(np.array(rows, np.int64))
        return parts


def _filled(part: Part, rows: NDArray[np.int64], frame: pl.DataFrame, meaning: Meaning, second: bool) -> Part:
    """A part with the channels that `frame` has for some of its rows, and that these have not yet."""
    segment = part.segment
    if "text_hash" not in frame.columns or frame["text_hash"].null_count():
        taken = segment.array("text_hash").take(pa.array(rows))
        frame = frame.with_columns(pl.Series("text_hash", taken.to_pylist(), dtype=pl.Binary))
    for channel in (SECOND,) if second else CHANNELS.values():
        new = ~segment.filled(channel.name)[rows]
        some = frame if new.all() else frame.filter(pl.Series(new))
        space = meaning.second if second else meaning.space
        chunk = _chunk(channel, some, rows[new], segment.texts, space)
        if chunk is not None:
            segment = segment.with_chunk(channel, chunk)
    return part if segment is part.segment else Part(segment, part.alive)


def _tier(part: Part) -> int:
    """Size class of a fresh part: 0 below _FAN_IN * _TIER_ROWS rows, one more for each factor _FAN_IN."""
    return max(0, int(math.log(max(len(part.segment), 1) / _TIER_ROWS, _FAN_IN)))


def _merge_fresh(parts: list[Part]) -> list[Part]:
    """Merge the newest in-memory parts when _FAN_IN of them have one size class.

    A search looks at each part, so they must be few; a merge copies, so it must be rare.
    """
    while True:
        tail: list[Part] = []
        for part in reversed(parts):
            if part.segment.folder is not None or (tail and _tier(part) > _tier(tail[-1])):
                break
            tail.append(part)
        if len(tail) < _FAN_IN:
            return parts
        tail.reverse()
        merged = merge_segments([p.segment for p in tail], [p.alive for p in tail], FORMATS)
        parts = [*parts[: -len(tail)], Part(merged, np.ones(len(merged), bool))]
