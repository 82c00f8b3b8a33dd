"""Plain-Python counterpart of :mod:`kinprint.kernels.slots`: compares the query with every sketch."""

from __future__ import annotations

from collections.abc import Sequence


def query(signatures: Sequence[Sequence[int]], signature: Sequence[int], least: int) -> list[int]:
    """Positions of the sketches that agree with ``signature`` in ``least`` slots or more."""
    if signature[0] == 0xFFFFFFFF:
        return []
    return [
        i for i, other in enumerate(signatures) if sum(a == b for a, b in zip(signature, other, strict=True)) >= least
    ]
