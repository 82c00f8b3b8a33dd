"""LSH banding against its definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy import lsh
from kinprint.kernels.copy.sketch import EMPTY
from kinprint.kernels.reference import lsh as reference
from kinprint.kernels.reference.dedup import components
from kinprint.kernels.spread import set_threads


def signatures(n: int, seed: int, values: int = 3) -> np.ndarray:
    """Rows of few values, so that bands collide; every fifth blank."""
    out = np.random.default_rng(seed).integers(0, values, (n, 128)).astype(np.uint32)
    out[4::5] = EMPTY
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 999), st.sampled_from(lsh.BANDINGS), st.integers(1, 50))
def test_pairs_equal_reference(n: int, seed: int, banding: tuple[int, int], chunk: int) -> None:
    matrix = signatures(n, seed)
    bands, rows = banding
    plain = matrix.tolist()
    parts = list(lsh.candidate_pairs(matrix, bands, rows, chunk))
    assert all(0 < len(part) <= chunk for part in parts)
    pairs = [tuple(pair) for part in parts for pair in part.tolist()]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == reference.candidate_pairs(plain, bands, rows)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(0, 999),
    st.integers(1, 3),
    st.sampled_from([*lsh.BANDINGS, (5, 2)]),
    st.integers(1, 50),
    st.integers(1, 128),
    st.integers(1, 5),
)
def test_least_and_labels_equal_reference(
    n: int, seed: int, values: int, banding: tuple[int, int], chunk: int, least: int, sides: int
) -> None:
    matrix = signatures(n, seed, values)
    plain = matrix.tolist()
    labels = np.random.default_rng(seed).integers(0, sides, n).astype(np.int32)
    for known in (None, labels):
        parts = list(lsh.candidate_pairs(matrix, *banding, chunk, least=least, labels=known))
        assert all(0 < len(part) <= chunk for part in parts)
        pairs = [tuple(pair) for part in parts for pair in part.tolist()]
        assert len(pairs) == len(set(pairs))
        expected = reference.candidate_pairs(plain, *banding, least, None if known is None else known.tolist())
        assert set(pairs) == expected


def linked(
    matrix: np.ndarray,
    banding: tuple[int, int],
    accepts: Callable[[int, int], bool],
    chunk: int = 4_000_000,
    least: int = 1,
    only: np.ndarray | None = None,
) -> tuple[list[int], list[tuple[int, int]]]:
    """Components by the pairs that :func:`lsh.linking_pairs` asks about, and these pairs."""
    asked: list[tuple[int, int]] = []
    parents = list(range(len(matrix)))

    def roots() -> np.ndarray:
        for i in range(len(parents)):
            while parents[parents[i]] != parents[i]:
                parents[i] = parents[parents[i]]
        return np.array(parents, np.int32)

    for part in lsh.linking_pairs(matrix, *banding, roots, chunk, least=least, only=only):
        assert 0 < len(part) <= chunk
        for a, b in part.tolist():
            assert a < b
            asked.append((a, b))
            if accepts(a, b):
                x, y = sorted((roots()[a], roots()[b]))
                parents[y] = int(x)
    return roots().tolist(), asked


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 999),
    st.integers(1, 4),
    st.sampled_from([*lsh.BANDINGS, (5, 2)]),
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([1, 40, 60, 128]),
    st.integers(1, 4),
)
def test_links_make_the_components_of_all_pairs(
    n: int, seed: int, values: int, banding: tuple[int, int], chunk: int, least: int, part: int
) -> None:
    """Whichever candidates are accepted, here one in ``part``."""
    matrix = signatures(n, seed, values)

    def accepts(a: int, b: int) -> bool:
        return (a * 31 + b * 17 + seed) % part == 0

    found, asked = linked(matrix, banding, accepts, chunk, least)
    assert len(asked) == len(set(asked))
    candidates = reference.candidate_pairs(matrix.tolist(), *banding, least)
    assert set(asked) <= candidates
    assert found == components(n, (pair for pair in candidates if accepts(*pair)))


@pytest.mark.parametrize("banding", lsh.BANDINGS)
def test_equal_rows_are_linked_by_as_many_comparisons(banding: tuple[int, int]) -> None:
    matrix = np.repeat(np.arange(3 * 128, dtype=np.uint32).reshape(3, 128), 500, 0)
    found, asked = linked(matrix, banding, lambda a, b: True)
    assert found == [0] * 500 + [500] * 500 + [1000] * 500
    assert len(asked) == 3 * 499


def nearly_equal(n: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.where(generator.random((n, 128)) < 0.1, generator.integers(2**32, size=(n, 128)), 1).astype(np.uint32)


def test_rows_that_are_nearly_equal_are_linked_by_few_comparisons() -> None:
    found, asked = linked(nearly_equal(1000), (32, 4), lambda a, b: True)
    assert found == [0] * 1000
    assert len(asked) < 1500


@pytest.mark.parametrize("accepted", [0.5, 0.1])
def test_rejected_pairs_do_not_bring_all_others(accepted: float) -> None:
    """Where a share of the pairs is accepted, a text needs some multiple of 1 / share comparisons."""
    verdicts = np.random.default_rng(1).random((600, 600)) < accepted
    found, asked = linked(nearly_equal(600), (32, 4), lambda a, b: bool(verdicts[a, b]))
    assert found == [0] * 600
    assert len(asked) < 600 * 8 / accepted


def test_every_pair_is_asked_about_once_if_none_is_accepted() -> None:
    matrix = np.concatenate((nearly_equal(60), signatures(40, 5)))
    found, asked = linked(matrix, (32, 4), lambda a, b: False, chunk=100)
    assert found == list(range(100))
    assert len(asked) == len(set(asked))
    assert set(asked) == reference.candidate_pairs(matrix.tolist(), 32, 4)


def test_only_some_rows_are_looked_at() -> None:
    matrix = signatures(60, 6)
    only = np.arange(1, 60, 3)
    pairs = {tuple(pair) for part in lsh.candidate_pairs(matrix, 32, 4, only=only) for pair in part.tolist()}
    expected = {pair for pair in reference.candidate_pairs(matrix.tolist(), 32, 4) if set(pair) <= set(only.tolist())}
    assert pairs == expected
    assert linked(matrix, (32, 4), lambda a, b: True, only=only)[0] == components(60, expected)


def test_threads_make_no_difference() -> None:
    matrix = signatures(600, 3)
    labels = np.random.default_rng(0).integers(0, 2, 600).astype(np.int32)

    def everything() -> Iterable[np.ndarray]:
        yield from lsh.candidate_pairs(matrix, 32, 4, 1000, least=45)
        yield from lsh.candidate_pairs(matrix, 32, 4, 1000, labels=labels)
        yield np.array(linked(matrix, (32, 4), lambda a, b: (a + b) % 7 == 0)[1])

    results = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            results.append(list(everything()))
    finally:
        set_threads(None)
    assert len(results[0]) == len(results[1]) > 3
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_least_agreements_lose_next_to_nothing(threshold: float) -> None:
    def short(least: int) -> float:
        """Probability that a pair at the threshold agrees in fewer slots."""
        return sum(comb(128, k) * threshold**k * (1 - threshold) ** (128 - k) for k in range(least))

    least = lsh.least_agreements(threshold)
    assert 1 <= least <= 128
    assert least == 1 or short(least) < 3e-6
    assert short(least + 1) >= 3e-6


def test_least_agreements_of_equal_texts() -> None:
    assert lsh.least_agreements(1.0) == 128
    assert [lsh.least_agreements(k / 100) for k in range(1, 101)] == sorted(
        lsh.least_agreements(k / 100) for k in range(1, 101)
    )


def test_pairs_among_many_keys() -> None:
    matrix = np.random.default_rng(0).integers(0, 2**32 - 1, (5000, 128), np.uint32)
    matrix[2500:] = matrix[:2500]
    for _, keys, ids in lsh._sorted_bands(frozen(matrix), lsh._present(matrix), 16, 8):
        assert np.array_equal(keys, np.sort(keys))
        assert np.array_equal(np.sort(ids), np.arange(5000))
    (pairs,) = lsh.candidate_pairs(matrix, 16, 8)
    assert np.array_equal(pairs[np.argsort(pairs[:, 0])], np.c_[np.arange(2500), np.arange(2500, 5000)])


def test_many_equal_texts_come_in_chunks() -> None:
    matrix = np.tile(np.arange(128, dtype=np.uint32), (700, 1))
    parts = list(lsh.candidate_pairs(matrix, 16, 8, chunk=1000))
    assert [len(part) for part in parts[:-1]] == [1000] * (len(parts) - 1)
    pairs = np.concatenate(parts)
    assert len(np.unique(pairs, axis=0)) == len(pairs) == 700 * 699 // 2
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_chunks_beyond_the_first_buffer() -> None:
    matrix = np.tile(np.arange(128, dtype=np.uint32), (800, 1))
    parts = list(lsh.candidate_pairs(matrix, 16, 8))
    assert [len(part) for part in parts] == [800 * 799 // 2]
    assert len(np.unique(parts[0], axis=0)) == len(parts[0])


def test_blank_texts_are_in_no_band() -> None:
    matrix = np.full((5, 128), EMPTY, np.uint32)
    assert list(lsh.candidate_pairs(matrix, 16, 8)) == []
    assert list(lsh.candidate_pairs(matrix[:0], 32, 4)) == []


@pytest.mark.parametrize(
    ("threshold", "banding"),
    [(1.0, (16, 8)), (0.95, (16, 8)), (0.8, (32, 4)), (0.7, (32, 4)), (0.6, (42, 3)), (0.5, (64, 2)), (0.1, (64, 2))],
)
def test_choice_of_bands(threshold: float, banding: tuple[int, int]) -> None:
    assert lsh.choose_bands(threshold) == banding
    if threshold > 0.33:
        assert lsh.recall(threshold, *banding) >= lsh.RECALL


def test_refuses() -> None:
    matrix = signatures(3, 0)
    for threshold in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            lsh.choose_bands(threshold)
    with pytest.raises(ValueError, match="128"):
        lsh.candidate_pairs(matrix, 33, 4)
    with pytest.raises(ValueError, match="uint32"):
        lsh.candidate_pairs(matrix.astype(np.int64), 16, 8)
    with pytest.raises(ValueError, match="chunk"):
        lsh.candidate_pairs(matrix, 16, 8, 0)
    for labels in (np.zeros(3), np.zeros(2, np.int32)):
        with pytest.raises(ValueError, match=r"labels must be int32\[3\]"):
            lsh.candidate_pairs(matrix, 16, 8, labels=labels)
    for arguments, message in (((33, 4), "128"), ((16, 8, matrix.__len__, 0), "chunk")):
        with pytest.raises(ValueError, match=message):
            lsh.linking_pairs(matrix, *arguments[:2], *(arguments[2:] or (lambda: None,)))  # type: ignore[arg-type]


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert lsh.BANDINGS == ((16, 8), (32, 4), (42, 3), (64, 2))
    assert (lsh.RECALL, int(EMPTY)) == (0.999, 0xFFFFFFFF)
    assert [lsh.choose_bands(t) for t in (0.9, 0.7, 0.5, 0.35, 0.1)] == [(16, 8), (32, 4), (64, 2), (64, 2), (64, 2)]
    assert lsh.recall(0.7, 16, 8) == pytest.approx(1 - (1 - 0.7**8) ** 16)
