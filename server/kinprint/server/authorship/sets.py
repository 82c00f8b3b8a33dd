"""Texts to attribute as they are sent, batch by batch: each by itself, or in a set by one author."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.server.corpus.normalise import split_reasoning
from kinprint.server.failures import InvalidField
from kinprint.server.limits import LIMITS
from numpy.typing import NDArray

#: Bytes of all texts of one attribution, which are held in memory.
MOST_BYTES = 1 << 30
#: Texts that are attributed at a time, more where a set has more.
AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Sent:
    """One text, the name of its set (None: it is one by itself), and its id."""

    text: str
    set_id: str | None = None
    id: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Submitted:
    """n texts and the set of each."""

    data: NDArray[np.uint8]
    """Bytes of all texts, UTF-8."""
    offsets: NDArray[np.int64]
    """int64[n + 1]: where each begins."""
    codes: NDArray[np.int64]
    """int64[n]: the set of each, from 0."""
    sets: int
    """How many sets there are."""

    def __len__(self) -> int:
        return len(self.codes)

    def parts(self) -> Iterator[tuple[Texts, NDArray[np.int64]]]:
        """Texts and their sets, some whole sets at a time, in their order."""
        texts = Texts.from_offsets(self.data, self.offsets)
        order = np.argsort(self.codes, kind="stable")
        ends = np.cumsum(np.bincount(self.codes, minlength=self.sets))
        begin = 0
        while begin < len(order):
            end = int(ends[np.searchsorted(ends, min(begin + AT_ONCE, len(order)))])
            chosen = order[begin:end]
            yield texts.take(chosen), self.codes[chosen]
            begin = end


class Sets:
    """Texts as they come in, with the set of each."""

    def __init__(self) -> None:
        #: set_id (None: a text by itself) and id of each set, in the order of their first text.
        self.ids: list[tuple[str | None, str]] = []
        self._data = bytearray()
        self._ends: list[int] = []
        self._codes: list[int] = []
        self._named: dict[str, int] = {}

    def __len__(self) -> int:
        """Texts so far."""
        return len(self._codes)

    def add(self, batch: Sequence[Sent], field: str = "batch.texts") -> None:
        """Take a batch, which came in `field` of a request; reasoning is split off.  Raises InvalidField."""
        if not 1 <= len(batch) <= LIMITS.max_batch_items:
            raise InvalidField(field, f"a batch holds 1 to {LIMITS.max_batch_items} texts", "BATCH_SIZE")
        for i, item in enumerate(batch):
            data = item.text.encode()
            if len(data) > LIMITS.max_text_bytes:
                raise InvalidField(
                    f"{field}[{i}].text",
                    f"text {len(self)} is longer than {LIMITS.max_text_bytes} bytes of UTF-8",
                    "TEXT_TOO_LONG",
                )
            for name, value in (("set_id", item.set_id or ""), ("id", item.id)):
                if len(value.encode()) > LIMITS.max_key_bytes:
                    raise InvalidField(
                        f"{field}[{i}].{name}",
                        f"{name} is longer than {LIMITS.max_key_bytes} bytes of UTF-8",
                        "FIELD_TOO_LONG",
                    )
            reasoning, answer = split_reasoning(item.text)
            data = data if reasoning is None else answer.encode()
            if len(self._data) + len(data) > MOST_BYTES:
                raise InvalidField(field, f"all texts together are more than {MOST_BYTES} bytes", "TOO_MANY_TEXTS")
            self._data += data
            self._ends.append(len(self._data))
            self._codes.append(self._code(item))

    def _code(self, item: Sent) -> int:
        if item.set_id is None:
            self.ids.append((None, item.id))
            return len(self.ids) - 1
        if item.set_id not in self._named:
            self._named[item.set_id] = len(self.ids)
            self.ids.append((item.set_id, ""))
        return self._named[item.set_id]

    def submitted(self) -> Submitted:
        """All texts; none can be added after."""
        offsets = np.zeros(len(self) + 1, np.int64)
        offsets[1:] = self._ends
        return Submitted(np.frombuffer(self._data, np.uint8), offsets, np.array(self._codes, np.int64), len(self.ids))
