"""View: one consistent state of a corpus's index, which readers take once and keep as long as they like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.meaning import Meaning
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.store.columns import id_hashes
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Part:
    """A segment and which of its rows live, `alive` bool[n]."""

    segment: Segment
    alive: NDArray[np.bool_]

    @cached_property
    def living(self) -> int:
        """Number of living rows."""
        return int(np.count_nonzero(self.alive))

    @cached_property
    def fillable(self) -> int:
        """Living rows with an answer to match."""
        return int(np.count_nonzero(self.alive & ~self.segment.blank))

    def filled(self, channel: str) -> int:
        """Living rows with the channel."""
        if channel not in self._filled:
            self._filled[channel] = int(np.count_nonzero(self.alive & self.segment.filled(channel)))
        return self._filled[channel]

    @cached_property
    def _filled(self) -> dict[str, int]:
        return {}

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
    #: What the semantic channel goes by.
    meaning: Meaning = field(default_factory=Meaning)

    @property
    def space(self) -> EmbeddingSpace | None:
        """Space of the stored embeddings; None before the first."""
        return self.meaning.space

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

    def locate(self, ids: Sequence[str], hashes: NDArray[np.uint64] | None = None) -> list[Place | None]:
        """Where each id lives; None where it does not.  `hashes` are `id_hashes(ids)`, made here if need be."""
        if hashes is None:
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
