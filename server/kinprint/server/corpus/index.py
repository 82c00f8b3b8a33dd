"""Index: which rows of a corpus are live, where they are, and what is filled.

The index is a tuple of parts, each an immutable segment with a mask of its living rows.  One writer at a
time replaces the tuple; readers take it once and see one consistent state.  Small fresh segments are
merged with their neighbours in size classes, so n rows written in any batches cost O(n log n) copies and
leave O(log n) parts.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from kinprint.kernels.style import stylometry
from kinprint.server.corpus.fingerprint import CHANNEL_COLUMNS
from kinprint.server.embed import EmbeddingSpace
from kinprint.server.store.columns import id_hashes
from kinprint.server.store.segment import (
    ROW_COLUMNS,
    Chunk,
    Segment,
    copy_chunk,
    merge_segments,
    semantic_chunk,
    style_chunk,
)
from numpy.typing import NDArray

CHANNELS = tuple(CHANNEL_COLUMNS)
#: Fresh parts of one size class that are merged, and the rows of the smallest class.
_FAN_IN, _TIER_ROWS = 8, 1_000


@dataclass(frozen=True, eq=False)
class Part:
    """A segment and which of its rows live, `alive` bool[n]."""

    segment: Segment
    alive: NDArray[np.bool_]

    @cached_property
    def living(self) -> int:
        """Number of living rows."""
        return int(self.alive.sum())

    @cached_property
    def fillable(self) -> int:
        """Living rows with an answer to match."""
        return int((self.alive & ~self.segment.blank).sum())

    def filled(self, channel: str) -> int:
        """Living rows with the channel."""
        return self._filled[channel]

    @cached_property
    def _filled(self) -> dict[str, int]:
        return {name: int((self.alive & self.segment.filled(name)).sum()) for name in CHANNELS}

    def without(self, rows: NDArray[np.int64]) -> Part:
        """The part with more rows dead."""
        alive = self.alive.copy()
        alive[rows] = False
        return Part(self.segment, alive)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is: `part` in the view it was looked up in, `row` in its segment."""

    part: int
    row: int


@dataclass(frozen=True, eq=False)
class View:
    """One consistent state of a corpus's index."""

    corpus: str
    parts: tuple[Part, ...]
    #: Space of the stored embeddings; None before the first.
    space: EmbeddingSpace | None = None

    @cached_property
    def rows(self) -> int:
        """Living transcripts."""
        return sum(p.living for p in self.parts)

    @cached_property
    def fillable(self) -> int:
        """Living transcripts whose answer is not blank."""
        return sum(p.fillable for p in self.parts)

    def filled(self, channel: str) -> int:
        """Living transcripts with the channel."""
        return sum(p.filled(channel) for p in self.parts)

    @cached_property
    def style_stats(self) -> stylometry.Stats:
        """Sums over every style vector in the index.

        Dead rows count until their segment is rewritten: they were as real a sample of writing.
        """
        total = stylometry.stats(np.zeros((0, stylometry.DIM), np.int8))
        for part in self.parts:
            for chunk in part.segment.style:
                total = stylometry.merge(total, chunk.stats)
        return total

    def counts(self, column: str) -> Counter[str | None]:
        """Living transcripts by the value of a text column; values without any are not there."""
        counts: Counter[str | None] = Counter()
        for part in self.parts:
            codes, values = part.segment.codes(column)
            found = np.bincount(codes[part.alive] + 1, minlength=len(values) + 1)
            for value, code in values.items():
                counts[value] += int(found[code + 1])
            counts[None] += int(found[0])
        return +counts

    def locate(self, ids: Sequence[str]) -> list[Place | None]:
        """Where each id lives; None where it does not."""
        hashes = id_hashes(ids)
        places: list[Place | None] = [None] * len(ids)
        for number, part in enumerate(self.parts):
            rows = part.segment.find(ids, hashes)
            for k in np.flatnonzero(rows >= 0):
                if part.alive[rows[k]]:
                    places[k] = Place(number, int(rows[k]))
        return places

    def row(self, place: Place) -> dict:
        """A row as Python values."""
        found: dict = self.parts[place.part].segment.table.slice(place.row, 1).to_pylist()[0]
        return found

    def value(self, place: Place, column: str) -> Any:
        """One field of a row as a Python value."""
        return self.parts[place.part].segment.array(column)[place.row].as_py()

    def channels_of(self, place: Place) -> list[str]:
        """Channels filled for a row."""
        segment = self.parts[place.part].segment
        return [name for name in CHANNELS if segment.filled(name)[place.row]]


def segment_of(frame: pl.DataFrame, space: EmbeddingSpace | None) -> Segment:
    """A segment from put rows of the record, ordered by seq here."""
    frame = frame.sort("seq")
    table = frame.select(ROW_COLUMNS).to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    chunks: dict[str, tuple[Chunk, ...]] = {}
    for channel in CHANNELS:
        made = _chunk(frame, channel, np.arange(frame.height), space)
        if made is not None:
            chunks[channel] = (made,)
    return Segment(table, **chunks)  # type: ignore[arg-type]


def _chunk(frame: pl.DataFrame, channel: str, rows: NDArray[np.int64], space: EmbeddingSpace | None) -> Chunk | None:
    """Chunk of one channel from those rows of `frame` that have it; None when none has."""
    column = CHANNEL_COLUMNS[channel]
    if column not in frame.columns:
        return None
    present = frame[column].is_not_null()
    if channel == "copy":
        present &= frame["text_hash"].is_not_null()
    mask = present.to_numpy()
    if not mask.any():
        return None
    some = frame.filter(present) if not mask.all() else frame
    rows = rows[mask]
    if channel == "copy":
        return copy_chunk(rows, some["sketch"], some["text_hash"])
    if channel == "style":
        return style_chunk(rows, some["style"])
    if space is None:
        raise ValueError("the record holds embeddings, and the corpus lacks their embedding-space.npz")
    return semantic_chunk(rows, some["embedding"], space)


class CorpusIndex:
    """The index of one corpus.  `apply` and `publish` take turns; `view` may be read at any time."""

    def __init__(self, corpus: str, parts: Iterable[Part] = (), space: EmbeddingSpace | None = None) -> None:
        self._view = View(corpus, tuple(parts), space)
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
            self._view = View(self._view.corpus, tuple(p for p in parts if p.living), self._view.space)

    def set_space(self, space: EmbeddingSpace) -> None:
        """Note the space of the embeddings that follow."""
        with self._turn:
            self._view = View(self._view.corpus, self._view.parts, space)

    @property
    def space(self) -> EmbeddingSpace | None:
        """Space of the stored embeddings; None before the first."""
        return self._view.space

    def put(self, frame: pl.DataFrame) -> None:
        """Add put rows with distinct ids; rows of the same id that live so far die."""
        if frame.is_empty():
            return
        with self._turn:
            parts = self._kill(frame["id"].to_list())
            segment = segment_of(frame, self.space)
            parts.append(Part(segment, np.ones(len(segment), bool)))
            self.replace(_merge_fresh(parts))

    def delete(self, ids: Sequence[str]) -> None:
        """Let rows die."""
        with self._turn:
            self.replace(self._kill(ids))

    def fill(self, frame: pl.DataFrame) -> None:
        """Add channel columns to rows with the same id and content hash; others are ignored."""
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
                part = parts[number]
                segment = part.segment
                pairs.sort()
                rows = np.array([r for r, _ in pairs], np.int64)
                some = frame[[i for _, i in pairs]]
                if "text_hash" not in some.columns or some["text_hash"].null_count():
                    taken = segment.array("text_hash").take(pa.array(rows))
                    some = some.with_columns(pl.Series("text_hash", taken.to_pylist(), dtype=pl.Binary))
                for channel in CHANNELS:
                    chunk = _chunk(some, channel, rows, self.space)
                    if chunk is None:
                        continue
                    new = ~segment.filled(channel)[chunk.rows]
                    if new.all():
                        segment = segment.with_chunk(channel, chunk)
                    elif new.any():
                        again = _chunk(some.filter(pl.Series(new)), channel, rows[new], self.space)
                        if again is not None:
                            segment = segment.with_chunk(channel, again)
                if segment is not part.segment:
                    parts[number] = Part(segment, part.alive)
            self.replace(parts)

    def _kill(self, ids: Sequence[str]) -> list[Part]:
        parts = list(self._view.parts)
        dead: dict[int, list[int]] = {}
        for place in self._view.locate(ids):
            if place is not None:
                dead.setdefault(place.part, []).append(place.row)
        for number, rows in dead.items():
            parts[number] = parts[number].without(np.array(rows, np.int64))
        return parts


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
        merged = merge_segments([p.segment for p in tail], [p.alive for p in tail])
        parts = [*parts[: -len(tail)], Part(merged, np.ones(len(merged), bool))]


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows that a search may return; fields are joined by AND, values of one field by OR."""

    models: frozenset[str] = frozenset()
    exclude_models: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    account_ids: frozenset[str] = frozenset()
    prompt_keys: frozenset[str] = frozenset()
    created_from_us: int | None = None
    created_before_us: int | None = None

    @property
    def empty(self) -> bool:
        """True if every row passes."""
        return self == Filter()

    def mask(self, part: Part) -> NDArray[np.bool_]:
        """Living rows of a part that pass, bool[n]."""
        segment = part.segment
        mask = part.alive
        if self.empty:
            return mask
        mask = mask.copy()
        for column, wanted in (
            ("model", self.models),
            ("account_id", self.account_ids),
            ("prompt_key", self.prompt_keys),
        ):
            if wanted:
                mask &= _has(segment, column, wanted)
        if self.exclude_models:
            mask &= ~_has(segment, "model", self.exclude_models)
        if self.languages:
            values = segment.codes("language")[1]
            lower = {w.lower() for w in self.languages}
            tags = {v for v in values if v is not None and (v.lower() in lower or v.lower().split("-")[0] in lower)}
            mask &= _has(segment, "language", tags)
        if self.created_from_us is not None or self.created_before_us is not None:
            created, known = segment.created_us
            mask &= known
            if self.created_from_us is not None:
                mask &= created >= self.created_from_us
            if self.created_before_us is not None:
                mask &= created < self.created_before_us
        return mask


def _has(segment: Segment, column: str, wanted: Collection[str]) -> NDArray[np.bool_]:
    codes, values = segment.codes(column)
    chosen = [values[w] for w in wanted if w in values]
    if not chosen:
        return np.zeros(len(codes), bool)
    if len(chosen) == 1:
        return np.asarray(codes == chosen[0])
    return np.isin(codes, chosen)


__all__ = ["CHANNELS", "CorpusIndex", "Filter", "Part", "Place", "View", "segment_of"]
