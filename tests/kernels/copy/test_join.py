"""The exact join against its definition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinprint.kernels.copy import join
from kinprint.kernels.reference import join as reference
from kinprint.kernels.spread import set_threads

THRESHOLDS = (0.1, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.8, 0.9, 0.999, 1.0)
SPREADS = {
    "even": lambda x: (x + 1) * 0x9E3779B97F4A7C15 % 2**64,
    "equal upper halves": lambda x: x,
    "equal lower halves": lambda x: x << 58 | 1,
    "pairs with equal upper halves": lambda x: ((x // 2 + 1) * 0x9E3779B97F4A7C15 % 2**64) & ~1 | x & 1,
}
"""How small numbers become hashes: as they should be, and as they should not."""

few_sets = st.lists(st.sets(st.integers(0, 12), max_size=12), max_size=12)
thresholds = st.one_of(st.sampled_from(THRESHOLDS), st.floats(0.01, 1.0))


def layout(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    hashes = np.array([x for s in sets for x in sorted(s)], np.uint64)
    return hashes, np.cumsum([0, *map(len, sets)], dtype=np.int64)


def listed(chunks: Iterator[join.Pairs]) -> list[tuple[int, int, int]]:
    return [row for pairs in chunks for row in zip(*(part.tolist() for part in pairs), strict=True)]


def related_sets(seed: int, count: int, largest: int) -> list[set[int]]:
    """Random sets; half of them copies of earlier ones, a little or much edited; with common elements and rare ones."""
    random = np.random.default_rng(seed)
    sets: list[set[int]] = []
    for i in range(count):
        if i % 2 and sets:
            source = sorted(sets[random.integers(len(sets))])
            kept = random.random(len(source)) >= random.choice([0, 0.01, 0.05, 0.2, 0.5])
            new = [x for x, keep in zip(source, kept, strict=True) if keep]
            new += random.integers(0, 2**64, random.integers(0, 1 + len(source) // 10), np.uint64).tolist()
        else:
            size = int(random.integers(0, largest))
            new = random.integers(0, 2**64, size, np.uint64).tolist()
            new += [SPREADS["even"](int(x)) for x in random.zipf(1.2, size) % 1000]
        sets.append({int(x) for x in new})
    return sets


@settings(max_examples=150, deadline=None)
@given(few_sets, thresholds, st.sampled_from(sorted(SPREADS)))
def test_self_join_equals_reference(small: list[set[int]], threshold: float, spread: str) -> None:
    sets = [{SPREADS[spread](x) for x in s} for s in small]
    assert listed(join.self_join(*layout(sets), threshold)) == reference.self_join(sets, threshold)


@settings(max_examples=150, deadline=None)
@given(few_sets, few_sets, thresholds, st.sampled_from(sorted(SPREADS)))
@example([], [{1}], 0.5, "even")
@example([{1}], [], 0.5, "even")
@example([{1}], [{1}], 1.0, "even")
def test_join_equals_reference(a: list[set[int]], b: list[set[int]], threshold: float, spread: str) -> None:
    sets_a, sets_b = ([{SPREADS[spread](x) for x in s} for s in small] for small in (a, b))
    found = listed(join.join(*layout(sets_a), *layout(sets_b), threshold))
    assert found == reference.join(sets_a, sets_b, threshold)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_related_sets(threshold: float) -> None:
    sets = related_sets(1, 300, 200)
    pairs = reference.self_join(sets, threshold)
    assert pairs
    assert listed(join.self_join(*layout(sets), threshold)) == pairs
    a, b = sets[:100], sets[100:]
    assert listed(join.join(*layout(a), *layout(b), threshold)) == reference.join(a, b, threshold)
    assert listed(join.join(*layout(b), *layout(a), threshold)) == reference.join(b, a, threshold)


def test_pairs_exactly_at_the_threshold_are_found() -> None:
    spread = SPREADS["even"]
    for union in range(1, 19):
        for shared in range(1, union + 1):
            # All ways to divide what is not shared.
            sets = []
            for left in range(union - shared + 1):
                base = 1000 * left
                sets.append({spread(base + k) for k in range(shared + left)})
                sets.append({spread(base + k) for k in [*range(shared), *range(shared + left, union)]})
            found = {(i, j) for i, j, _ in listed(join.self_join(*layout(sets), shared / union))}
            assert found == {(i, i + 1) for i in range(0, len(sets), 2)}
            above = float(np.nextafter(shared / union, 2.0))
            if above <= 1.0:
                assert listed(join.self_join(*layout(sets), above)) == []


@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_chunks_batches_and_threads_change_nothing(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = related_sets(2, 1500, 60)
    hashes, indptr = layout(sets)
    half = int(indptr.size // 2)
    sides = (hashes, indptr[: half + 1], hashes, indptr[half:])
    expected = listed(join.self_join(hashes, indptr, threshold))
    expected_sides = listed(join.join(*sides, threshold))
    assert expected
    for chunk in (1, 7, len(expected), len(expected) + 1):
        sizes = [pairs.a.size for pairs in join.self_join(hashes, indptr, threshold, chunk)]
        assert sizes[:-1] == [chunk] * (len(sizes) - 1)
        assert 0 < sizes[-1] <= chunk
        assert listed(join.self_join(hashes, indptr, threshold, chunk)) == expected
    try:
        for some in range(1, 5):
            set_threads(some)
            assert listed(join.self_join(hashes, indptr, threshold)) == expected
            assert listed(join.join(*sides, threshold)) == expected_sides
    finally:
        set_threads(None)
    for batch in (1, 100):
        monkeypatch.setattr(join, "_BATCH", batch)
        assert listed(join.self_join(hashes, indptr, threshold)) == expected


@pytest.mark.parametrize("threshold", [0.1, 0.7, 1.0])
def test_identical_sets(threshold: float) -> None:
    count = 1500
    hashes, indptr = layout([{SPREADS["even"](k) for k in range(20)}] * count)
    chunks = list(join.self_join(hashes, indptr, threshold, 100_000))
    assert max(pairs.a.size for pairs in chunks) == 100_000
    a, b, shared = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    assert np.array_equal(np.column_stack((b, a)), np.argwhere(np.tri(count, k=-1)))
    assert np.all(shared == 20)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_elements_common_to_all_sets(threshold: float) -> None:
    random = np.random.default_rng(4)
    common = {SPREADS["even"](k) for k in range(10)}
    own = [set(random.integers(0, 2**64, size, np.uint64).tolist()) for size in random.integers(0, 100, 300)]
    sets = [common | s for s in own]
    assert listed(join.self_join(*layout(sets), threshold)) == reference.self_join(sets, threshold)


@pytest.mark.parametrize("threshold", [0.1, 0.7, 1.0])
def test_very_long_sets_beside_short_ones(threshold: float) -> None:
    # With places in the prefix that no 16 bits hold.
    long = [SPREADS["even"](k) for k in range(100_000)]
    sets = [set(long), set(long[:20_000]), set(long[100:]), set(long[:5]), set(long[:6]), set(long), {1}, set()]
    sets += [set(long[k : k + 50]) for k in range(0, 1000, 5)]
    assert listed(join.self_join(*layout(sets), threshold)) == reference.self_join(sets, threshold)


def test_reads_read_only_arrays_and_only_the_sets_named() -> None:
    sets = related_sets(3, 50, 40)
    hashes, indptr = layout(sets)
    hashes.flags.writeable = False
    indptr.flags.writeable = False
    assert listed(join.self_join(hashes, indptr, 0.5)) == reference.self_join(sets, 0.5)
    assert listed(join.self_join(hashes, indptr[10:31], 0.5)) == reference.self_join(sets[10:30], 0.5)


def test_nothing() -> None:
    none = layout([])
    empty = layout([set(), set(), set()])
    some = layout([{1}, {2}])
    for sets in (none, empty, some):
        assert list(join.self_join(*sets, 0.1)) == []
        assert list(join.join(*sets, *none, 0.1)) == []
        assert list(join.join(*none, *sets, 0.1)) == []
        assert list(join.join(*sets, *empty, 0.1)) == []
        assert list(join.join(*empty, *sets, 0.1)) == []


def test_refuses_what_it_cannot_read() -> None:
    hashes, indptr = layout([{1, 2}, {2}])
    for threshold in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            join.self_join(hashes, indptr, threshold)
        with pytest.raises(ValueError, match="threshold"):
            join.join(hashes, indptr, hashes, indptr, threshold)
    with pytest.raises(ValueError, match="chunk"):
        join.self_join(hashes, indptr, 0.5, 0)
    with pytest.raises(ValueError, match="hashes"):
        join.self_join(hashes.astype(np.int64), indptr, 0.5)
    with pytest.raises(ValueError, match="hashes"):
        join.join(hashes, indptr, np.repeat(hashes, 2)[::2], indptr, 0.5)
    with pytest.raises(ValueError, match="indptr"):
        join.self_join(hashes[:2], indptr, 0.5)
    with pytest.raises(ValueError, match="indptr"):
        join.join(hashes, indptr, hashes, indptr[::-1].copy(), 0.5)
    with pytest.raises(ValueError, match="indptr"):
        join.join(hashes, indptr.astype(np.int32), hashes, indptr, 0.5)
