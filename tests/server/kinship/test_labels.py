"""Labels: which pairs are unrelated, kin and derived, and how many families are clean of each other."""

from __future__ import annotations

import numpy as np
from kinprint.server.kinship.labels import DERIVED, ENSEMBLE, Edge, Member, independent, label
from numpy.typing import NDArray


def pairs_in(mask: NDArray[np.bool_]) -> set[tuple[int, int]]:
    assert np.array_equal(mask, mask.T)
    assert not mask.diagonal().any()
    return {(int(i), int(j)) for i, j in np.argwhere(np.triu(mask))}


def test_labels_of_pairs() -> None:
    members = [
        Member("a1", "a", ("base",)),
        Member("a2", "a"),
        Member("b1", "b", ("base", "data")),
        Member("c1", "c", ("data",)),
        Member("d1", "d", (ENSEMBLE,)),
        Member("e1", "e"),
    ]
    edges = [
        Edge("e1", "c1; a2 ;unknown", "fine_tune"),
        Edge("b1", "b1", "rewriter"),
        Edge("a1", "e1", "friend_of"),
        Edge("nobody", "a1", "fine_tune"),
        Edge("b1", "e1", "kin"),
    ]
    names = [m.model for m in members]
    labels = label(names, members, edges)
    assert pairs_in(labels.derived) == {(3, 5), (1, 5)}
    assert pairs_in(labels.kin) == {(0, 1), (3, 5), (1, 5), (2, 5)}
    # Not a1 b1 (base), b1 c1 (data), anything with d1, what is kin, nor a1 e1, which are related in some way.
    assert pairs_in(labels.unrelated) == {(0, 3), (1, 2), (1, 3)}
    assert labels.family.tolist() == [0, 0, 1, 2, 3, 4]
    assert [pairs_in(label(names, members, [Edge("c1", "e1", r)]).derived) for r in DERIVED] == [{(3, 5)}] * 4


def test_independent_families_are_clean_of_each_other() -> None:
    def count(*tags: tuple[str, ...]) -> int:
        members = [Member(f"m{k}", f"f{k}", t) for k, t in enumerate(tags)]
        labels = label([m.model for m in members], members)
        return independent(labels.family, labels.unrelated)

    assert count((), (), ()) == 3
    assert count(("x",), ("x",), ("x",)) == 1
    assert count(("x",), ("x",), ("y",), ("y",), ()) == 3
    # A hub shares with each of three that share nothing with each other: these three are taken.
    assert count(("x", "y", "z"), ("x",), ("y",), ("z",)) == 3
    assert count() == 0
