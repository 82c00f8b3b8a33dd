"""Sight: a text as it is matched, with or without its disguises, and where what was found stands in the text itself."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import disguise
from numpy.typing import NDArray


class Sight:
    """A text and what is seen of it: the text itself, or, with `through`, what it is without its disguises."""

    def __init__(self, original: str, through: bool) -> None:
        self.original, self._through = original, through

    @cached_property
    def encoded(self) -> NDArray[np.uint8]:
        """UTF-8 of the text itself."""
        return np.frombuffer(self.original.encode(), np.uint8)

    @cached_property
    def cleaned(self) -> disguise.Cleaned | None:
        """The text without its disguises; None where it has none, or they are not looked for."""
        if not self._through:
            return None
        if self.original.isascii():
            texts = Texts.from_offsets(self.encoded, np.array([0, self.encoded.size]))
            if not disguise.suspects(texts)[0]:
                return None
        found = disguise.clean(self.encoded)
        return found if len(found.edits) else None

    @property
    def data(self) -> NDArray[np.uint8]:
        """UTF-8 of what is seen."""
        return self.encoded if self.cleaned is None else self.cleaned.data

    @property
    def text(self) -> str:
        """What is seen."""
        return self.original if self.cleaned is None else self.cleaned.data.tobytes().decode()

    def places(self, stretches: NDArray[np.int64]) -> NDArray[np.int64]:
        """Begins and ends int64[k, 2] in bytes of the text itself, of stretches of what is seen."""
        if self.cleaned is None:
            return stretches
        begins = self.cleaned.places(stretches[:, 0], ends=False)
        return np.stack((begins, self.cleaned.places(stretches[:, 1], ends=True)), axis=1)

    def edits(self, begin: int, end: int) -> list[tuple[int, bytes]]:
        """Kinds of what was undone in a stretch of what is seen, and what stood there, in order."""
        if self.cleaned is None:
            return []
        all_edits = self.cleaned.edits
        first = int(np.searchsorted(all_edits[:, 0], begin, "left"))
        last = int(np.searchsorted(all_edits[:, 0], end, "left"))
        return [(int(kind), self.encoded[a:b].tobytes()) for _, _, a, b, kind in all_edits[first:last].tolist()]


def undone(a: Sight, b: Sight, stretches: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of the disguises without which two texts are equal in some stretches, and with which they are not.

    `stretches` int64[k, 4] are places in what is seen of both.  A disguise that both texts have alike changes nothing.
    Where there is no stretch, the disguises that change shingles are named.
    """
    if a.cleaned is None and b.cleaned is None:
        return ()
    bits = 0
    if not len(stretches):
        for side in (a, b):
            bits |= side.cleaned.kinds & disguise.OUTLIVE_FOLDING if side.cleaned is not None else 0
    for begin_a, end_a, begin_b, end_b in stretches.tolist():
        left, right = a.edits(begin_a, end_a), b.edits(begin_b, end_b)
        for bit in disguise.KINDS.values():
            if bits & bit == 0 and [e for e in left if e[0] & bit] != [e for e in right if e[0] & bit]:
                bits |= bit
    return tuple(name for name, bit in disguise.KINDS.items() if bits & bit)
