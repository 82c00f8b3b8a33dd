"""LSH banding by definition."""

from __future__ import annotations

from itertools import combinations

from .sketch import EMPTY


def _share_a_band(a: list[int], b: list[int], bands: int, rows: int) -> bool:
    if a[0] == EMPTY or b[0] == EMPTY:
        return False
    return any(a[k * rows : (k + 1) * rows] == b[k * rows : (k + 1) * rows] for k in range(bands))


def query(signatures: list[list[int]], signature: list[int], bands: int, rows: int) -> list[int]:
    """Texts that agree with ``signature`` in all rows of some band."""
    return [i for i, other in enumerate(signatures) if _share_a_band(signature, other, bands, rows)]


def candidate_pairs(signatures: list[list[int]], bands: int, rows: int) -> set[tuple[int, int]]:
    """All pairs that agree in all rows of some band."""
    pairs = combinations(range(len(signatures)), 2)
    return {(i, j) for i, j in pairs if _share_a_band(signatures[i], signatures[j], bands, rows)}
