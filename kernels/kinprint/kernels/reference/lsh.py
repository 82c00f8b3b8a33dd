"""LSH banding by definition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from kinprint.kernels.reference.sketch import EMPTY


def shares_a_band(a: list[int], b: list[int], bands: int, rows: int) -> bool:
    """Whether two signatures agree in all rows of some band; a blank one agrees with none."""
    if a[0] == EMPTY or b[0] == EMPTY:
        return False
    return any(a[k * rows : (k + 1) * rows] == b[k * rows : (k + 1) * rows] for k in range(bands))


def agreements(a: list[int], b: list[int]) -> int:
    """Slots in which two signatures agree."""
    return sum(x == y for x, y in zip(a, b, strict=True))


def candidate_pairs(
    signatures: list[list[int]], bands: int, rows: int, least: int = 1, labels: Sequence[int] | None = None
) -> set[tuple[int, int]]:
    """All pairs that agree in all rows of some band and in ``least`` slots or more, and differ in their labels."""
    return {
        (i, j)
        for i, j in combinations(range(len(signatures)), 2)
        if (labels is None or labels[i] != labels[j])
        and shares_a_band(signatures[i], signatures[j], bands, rows)
        and agreements(signatures[i], signatures[j]) >= least
    }
