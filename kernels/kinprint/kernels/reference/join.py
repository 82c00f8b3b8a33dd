"""Set-similarity joins by definition."""

from __future__ import annotations

from itertools import combinations


def similar(a: set[int], b: set[int], threshold: float) -> bool:
    """Whether the Jaccard similarity is at least ``threshold``; nothing is similar to an empty set."""
    shared = len(a & b)
    return shared > 0 and shared / len(a | b) >= threshold


def self_join(sets: list[set[int]], threshold: float) -> list[tuple[int, int, int]]:
    """(row, later row, common elements) of all similar pairs, by the larger set, then the smaller: by size, then
    row.
    """
    by_size = sorted(range(len(sets)), key=lambda i: (len(sets[i]), i))
    pairs = [(x, y) for y, x in combinations(by_size, 2) if similar(sets[x], sets[y], threshold)]
    rank = {i: r for r, i in enumerate(by_size)}
    pairs.sort(key=lambda pair: (rank[pair[0]], rank[pair[1]]))
    return [(min(pair), max(pair), len(sets[pair[0]] & sets[pair[1]])) for pair in pairs]


def join(a: list[set[int]], b: list[set[int]], threshold: float) -> list[tuple[int, int, int]]:
    """(row in a, row in b, common elements) of all similar pairs, in the order of a self-join of a and b together."""
    pairs = self_join([*a, *b], threshold)
    return [(i, j - len(a), shared) for i, j, shared in pairs if i < len(a) <= j]
