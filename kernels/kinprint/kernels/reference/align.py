"""Alignment of a query with a text, in plain Python: see :mod:`kinprint.kernels.embed.align`."""

from __future__ import annotations

from collections.abc import Sequence

ROUNDING = 1.0 / 1024


def pairs(cosines: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Sentences of the query and of the text that are each other's nearest, each in one pair; row j has the cosines of
    the text's j.
    """
    found: list[tuple[int, int]] = []
    for i in range(len(cosines[0]) if cosines else 0):
        best = max(row[i] for row in cosines)
        taken = {j for _, j in found}
        least = [max(best, max(row)) - ROUNDING for row in cosines]
        alike = [j for j, row in enumerate(cosines) if row[i] >= least[j] and j not in taken]
        found += [(i, j) for j in alike[:1]]
    return found


def score(cosines: Sequence[Sequence[float]]) -> float:
    """Twice the sum of the pairs' cosines over the sentences that count."""
    if not cosines or not cosines[0]:
        return 0.0
    q = len(cosines[0])
    return 2.0 * sum(cosines[j][i] for i, j in pairs(cosines)) / (q + min(len(cosines), 2 * q))
