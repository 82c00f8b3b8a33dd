"""Labels: what is known beforehand of the models of a background, and of every pair of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Relations of a lineage that make a pair derived.
DERIVED = ("fine_tune", "prompt_variant", "best_of_n", "rewriter")
#: Relation of a lineage that makes a pair kin without making it derived.
KIN_RELATION = "kin"
#: A member with this tag mixes models and makes no clean pair.
ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the background, its family, and all that it may share with models of other families."""

    model: str
    family: str
    shares_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A known relation between two models."""

    model: str
    related_to: str
    relation: str


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of the pairs of members, bool[n, n] each, symmetric, nothing on the diagonal."""

    unrelated: NDArray[np.bool_]
    kin: NDArray[np.bool_]
    derived: NDArray[np.bool_]
    family: NDArray[np.int64]


def label(models: Sequence[str], members: Sequence[Member], edges: Sequence[Edge] = ()) -> Labels:
    """Label the pairs of `models`, all of which are members.

    Unrelated: of two families, without a common tag, neither an ensemble, and not joined by an edge of any relation.
    Kin: of one family, or joined by an edge of the relation `kin` or of one of `DERIVED`.  Derived: joined by one of
    `DERIVED`.
    """
    by_name = {m.model: m for m in members}
    chosen = [by_name[m] for m in models]
    names = sorted({m.family for m in chosen})
    family = np.array([names.index(m.family) for m in chosen], np.int64)
    tags = [frozenset(m.shares_with) for m in chosen]
    n = len(models)
    unrelated = np.zeros((n, n), np.bool_)
    for i in range(n):
        for j in range(i):
            clean = family[i] != family[j] and not tags[i] & tags[j] and ENSEMBLE not in tags[i] | tags[j]
            unrelated[i, j] = unrelated[j, i] = clean
    kin = family[:, None] == family[None, :]
    np.fill_diagonal(kin, False)
    derived = np.zeros((n, n), np.bool_)
    related = np.zeros((n, n), np.bool_)
    position = {m: i for i, m in enumerate(models)}
    for edge in edges:
        for other in edge.related_to.split(";"):
            if edge.model in position and other.strip() in position and edge.model != other.strip():
                i, j = position[edge.model], position[other.strip()]
                related[i, j] = related[j, i] = True
                if edge.relation in DERIVED:
                    derived[i, j] = derived[j, i] = True
                if edge.relation in (*DERIVED, KIN_RELATION):
                    kin[i, j] = kin[j, i] = True
    return Labels(unrelated & ~kin & ~related, kin, derived, family)


def independent(family: NDArray[np.int64], unrelated: NDArray[np.bool_]) -> int:
    """Families of a set in which every two are clean of each other (found greedily, so at least so many exist)."""
    count = int(family.max()) + 1 if len(family) else 0
    clean = np.zeros((count, count), np.bool_)
    for a in range(count):
        for b in range(count):
            clean[a, b] = a != b and bool(unrelated[np.ix_(family == a, family == b)].all())
    chosen: list[int] = []
    for f in sorted(range(count), key=lambda f: -int(clean[f].sum())):
        if all(clean[f, c] for c in chosen):
            chosen.append(f)
    return len(chosen)
