"""The most similar style vectors by definition: every score, sorted."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.kernels.reference import stylometry


def length(vector: Sequence[int], mean: Sequence[float], inv_std: Sequence[float]) -> float:
    """Length of a vector on a scale; 0 for a blank one."""
    if not any(vector):
        return 0.0
    return float(sum(((v - m) * i) ** 2 for v, m, i in zip(vector, mean, inv_std, strict=True)) ** 0.5)


def nearest(
    query: Sequence[int],
    vectors: Sequence[Sequence[int]],
    mean: Sequence[float],
    inv_std: Sequence[float],
    top: int,
    rows: Sequence[int],
) -> list[int]:
    """The ``top`` rows of largest score, ties by row."""
    scores = {row: stylometry.score(query, vectors[row], mean, inv_std) for row in rows}
    return sorted(rows, key=lambda row: (-scores[row], row))[:top]
