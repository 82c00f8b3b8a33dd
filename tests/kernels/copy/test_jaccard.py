"""Exact intersections against Python sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.copy import jaccard
from kinprint.kernels.reference.jaccard import intersection

small_sets = st.sets(st.one_of(st.integers(0, 60), st.integers(0, 2**64 - 1)), max_size=40)
large_sets = st.integers(0, 3).map(lambda n: set(range(n, 4000, n + 1)) if n else set())


def layout(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    hashes = np.array([x for s in sets for x in sorted(s)], np.uint64)
    return hashes, np.cumsum([0, *map(len, sets)], dtype=np.int64)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(small_sets, large_sets), min_size=1, max_size=6))
def test_equals_reference(sets: list[set[int]]) -> None:
    hashes, indptr = layout(sets)
    a, b = np.divmod(np.arange(len(sets) ** 2, dtype=np.int64), len(sets))
    found = jaccard.intersections(hashes, indptr, a, b)
    assert found.tolist() == [intersection(sets[i], sets[j]) for i, j in zip(a, b, strict=True)]
    query = np.array(sorted(sets[0]), np.uint64)
    assert jaccard.query_intersections(query, hashes, indptr).tolist() == [intersection(sets[0], s) for s in sets]


def test_gallop_over_very_unequal_sizes() -> None:
    generator = np.random.default_rng(3)
    large = set(generator.integers(0, 10**6, 100_000).tolist())
    for size in (1, 2, 100, 6000, 7000):
        small = set(generator.integers(0, 10**6, size).tolist())
        hashes, indptr = layout([small, large])
        zero, one = np.array([0]), np.array([1])
        assert jaccard.intersections(hashes, indptr, zero, one).tolist() == [len(small & large)]
        assert jaccard.intersections(hashes, indptr, one, zero).tolist() == [len(small & large)]


def test_nothing() -> None:
    none = np.empty(0, np.int64)
    assert jaccard.intersections(np.empty(0, np.uint64), np.zeros(1, np.int64), none, none).size == 0
    assert jaccard.query_intersections(np.empty(0, np.uint64), np.empty(0, np.uint64), np.zeros(1, np.int64)).size == 0


def test_refuses_what_it_cannot_read() -> None:
    hashes, indptr = layout([{1, 2}, {2}])
    with pytest.raises(ValueError, match="rows must be in"):
        jaccard.intersections(hashes, indptr, np.array([0]), np.array([2]))
    with pytest.raises(ValueError, match="one length"):
        jaccard.intersections(hashes, indptr, np.array([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="ascending"):
        jaccard.query_intersections(np.array([2, 1], np.uint64), hashes, indptr)
    with pytest.raises(ValueError, match="indptr"):
        jaccard.query_intersections(hashes[:2], hashes, np.array([0, 4]))
