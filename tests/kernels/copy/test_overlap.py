"""Overlap of a query with stored texts, of pairs and of sets, against sets made by the reference."""

from __future__ import annotations

import numpy as np
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import overlap, shingle
from kinprint.kernels.reference import overlap as reference
from kinprint.kernels.reference import shingle as reference_shingle

small_sets = st.sets(st.one_of(st.integers(0, 60), st.integers(0, 2**64 - 1)), max_size=40)
large_sets = st.integers(0, 3).map(lambda n: set(range(n, 4000, n + 1)) if n else set())


def of(some: list[str]) -> Texts:
    """Texts in memory."""
    return Texts.from_offsets(*from_texts(some))


def layout(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and places of sets."""
    hashes = np.array([x for s in sets for x in sorted(s)], np.uint64)
    return hashes, np.cumsum([0, *map(len, sets)], dtype=np.int64)


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(texts, min_size=1, max_size=8), st.data())
def test_equals_reference(query: str, stored: list[str], draw: st.DataObject) -> None:
    rows = draw.draw(st.lists(st.integers(0, len(stored) - 1), max_size=10))
    wanted = shingle.shingle_sets(*from_texts([query]))[0]
    shared, sizes = overlap.query_overlap_of(wanted, of(stored), np.array(rows, np.int64))
    assert list(zip(shared.tolist(), sizes.tolist(), strict=True)) == reference.query_overlap(query, stored, rows)


def test_long_after_short_and_many_threads() -> None:
    rng = np.random.default_rng(5)
    stored = [" ".join(f"w{k}" for k in rng.integers(0, 400, size)) for size in (3, 9000, 40, 0, 2000) * 20]
    wanted, _, _ = shingle.shingle_sets(*from_texts([stored[1]]))
    rows = np.arange(len(stored))
    shared, sizes = overlap.query_overlap_of(wanted, of(stored), rows)
    hashes, indptr, _ = shingle.shingle_sets(*from_texts(stored))
    assert sizes.tolist() == np.diff(indptr).tolist()
    expected = [len(np.intersect1d(wanted, hashes[indptr[i] : indptr[i + 1]])) for i in rows]
    assert shared.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), st.data(), st.sampled_from(shingle.SHINGLINGS))
def test_pairs_equal_reference(stored: list[str], draw: st.DataObject, scheme: shingle.Shingling) -> None:
    rows = st.lists(st.tuples(*[st.integers(0, len(stored) - 1)] * 2), max_size=10)
    pairs = np.array(draw.draw(rows), np.int64).reshape(-1, 2)
    found = overlap.pair_overlap(of(stored), pairs[:, 0], pairs[:, 1], scheme)
    cut = reference_shingle.shingles if scheme == "w3c5" else reference_shingle.code_point_shingles
    sets = [set(cut(text)[0]) for text in stored]
    assert found.tolist() == [[len(sets[a] & sets[b]), len(sets[a]), len(sets[b])] for a, b in pairs]


def test_zero_is_a_shingle_like_any_other() -> None:
    table, size, has_zero, distinct = overlap._fill_table(np.array([0, 5, 0], np.uint64), 3, np.empty(0, np.uint64))
    assert has_zero
    assert distinct == 2
    assert sorted(table[:size][table[:size] != 0].tolist()) == [5]


def test_rows_out_of_range() -> None:
    with pytest.raises(ValueError, match="rows"):
        overlap.query_overlap_of(np.zeros(1, np.uint64), of(["a"]), np.array([1]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(small_sets, large_sets), min_size=1, max_size=6))
def test_intersections_equal_reference(sets: list[set[int]]) -> None:
    hashes, indptr = layout(sets)
    a, b = np.divmod(np.arange(len(sets) ** 2, dtype=np.int64), len(sets))
    found = overlap.intersections(hashes, indptr, a, b)
    assert found.tolist() == [reference.intersection(sets[i], sets[j]) for i, j in zip(a, b, strict=True)]


def test_gallop_over_very_unequal_sizes() -> None:
    generator = np.random.default_rng(3)
    large = set(generator.integers(0, 10**6, 100_000).tolist())
    for size in (1, 2, 100, 6000, 7000):
        small = set(generator.integers(0, 10**6, size).tolist())
        hashes, indptr = layout([small, large])
        zero, one = np.array([0]), np.array([1])
        assert overlap.intersections(hashes, indptr, zero, one).tolist() == [len(small & large)]
        assert overlap.intersections(hashes, indptr, one, zero).tolist() == [len(small & large)]


def test_no_pairs_of_sets() -> None:
    none = np.empty(0, np.int64)
    assert overlap.intersections(np.empty(0, np.uint64), np.zeros(1, np.int64), none, none).size == 0


def test_intersections_refuse_what_they_cannot_read() -> None:
    hashes, indptr = layout([{1, 2}, {2}])
    with pytest.raises(ValueError, match="rows must be in"):
        overlap.intersections(hashes, indptr, np.array([0]), np.array([2]))
    with pytest.raises(ValueError, match="one length"):
        overlap.intersections(hashes, indptr, np.array([0]), np.array([0, 1]))
    with pytest.raises(ValueError, match="indptr"):
        overlap.intersections(hashes, np.array([0, 4]), np.array([0]), np.array([0]))
