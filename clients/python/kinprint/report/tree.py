"""Where the leaves and branches of a tree are, from the merges of a hierarchical clustering."""

from __future__ import annotations

from dataclasses import dataclass

from kinprint.report.parts import number


@dataclass(frozen=True, slots=True)
class Branch:
    """One merge: two lines along the height axis, joined by one across it."""

    height: float
    lower: tuple[float, float]
    """Position and height of one child."""
    upper: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tree:
    """Leaves from the first to the last, and the branches between them."""

    order: tuple[int, ...]
    branches: tuple[Branch, ...]


def grow(models: int, merges: object, order: object) -> Tree | None:
    """The tree of `models` leaves, or None when the merges do not describe one.

    Args:
        models: how many leaves.
        merges: rows as scipy.cluster.hierarchy.linkage gives them: two nodes, height, number of leaves.
        order: leaf indices from the first to the last; one that is no permutation is replaced by the tree's own.
    """
    if models < 2 or not isinstance(merges, list) or len(merges) != models - 1:
        return None
    children: list[tuple[int, int, float]] = []
    used: set[int] = set()
    for at, row in enumerate(merges):
        left, right, height = (
            (number(row[0]), number(row[1]), number(row[2])) if isinstance(row, list) and len(row) >= 3 else (None,) * 3
        )
        if left is None or right is None or height is None:
            return None
        pair = (int(left), int(right))
        if pair[0] == pair[1] or any(not 0 <= node < models + at or node in used for node in pair):
            return None
        used.update(pair)
        children.append((*pair, height))
    leaves = order if isinstance(order, list) and sorted(map(str, order)) == sorted(map(str, range(models))) else None
    ranked = tuple(int(leaf) for leaf in leaves) if leaves else _own_order(models, children)
    base = min(0.0, *(height for _, _, height in children), 0.0)
    places = {leaf: (float(place), base) for place, leaf in enumerate(ranked)}
    branches = []
    for at, (left_node, right_node, height) in enumerate(children):
        lower, upper = sorted((places[left_node], places[right_node]))
        branches.append(Branch(height, lower, upper))
        places[models + at] = ((lower[0] + upper[0]) / 2, height)
    return Tree(ranked, tuple(branches))


def _own_order(models: int, children: list[tuple[int, int, float]]) -> tuple[int, ...]:
    ranked: list[int] = []
    waiting = [models + len(children) - 1]
    while waiting:
        node = waiting.pop()
        if node < models:
            ranked.append(node)
        else:
            left, right, _ = children[node - models]
            waiting += (right, left)
    return tuple(ranked)
