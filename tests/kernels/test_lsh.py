"""LSH banding against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels import lsh
from kinprint.kernels.reference import lsh as reference
from kinprint.kernels.sketch import EMPTY


def signatures(n: int, seed: int, values: int = 3) -> np.ndarray:
    """Rows of few values, so that bands collide; every fifth blank."""
    out = np.random.default_rng(seed).integers(0, values, (n, 128)).astype(np.uint32)
    out[4::5] = EMPTY
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 999), st.sampled_from(lsh.BANDINGS), st.integers(1, 50))
def test_pairs_and_queries_equal_reference(n: int, seed: int, banding: tuple[int, int], chunk: int) -> None:
    matrix = signatures(n, seed)
    bands, rows = banding
    plain = matrix.tolist()
    parts = list(lsh.candidate_pairs(matrix, bands, rows, chunk))
    assert all(0 < len(part) <= chunk for part in parts)
    pairs = [tuple(pair) for part in parts for pair in part.tolist()]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == reference.candidate_pairs(plain, bands, rows)
    index = lsh.build(matrix, bands, rows)
    for row in matrix[:6]:
        found = lsh.query(index, row)
        assert found.tolist() == reference.query(plain, row.tolist(), bands, rows)


@pytest.mark.parametrize("n", [10, 5000])
def test_index_layout(n: int) -> None:
    matrix = signatures(n, 1, values=2)
    index = lsh.build(matrix, 64, 2)
    present = np.flatnonzero(matrix[:, 0] != EMPTY)
    assert index.keys.shape == index.ids.shape == (64, present.size)
    assert index.keys.dtype == np.uint64
    assert index.ids.dtype == np.int32
    for keys, ids in zip(index.keys, index.ids, strict=True):
        assert (keys[1:] >= keys[:-1]).all()
        assert (ids[1:] > ids[:-1])[keys[1:] == keys[:-1]].all()
        assert np.array_equal(np.sort(ids), present)


def test_radix_sort_of_many_keys_equals_numpy() -> None:
    matrix = np.random.default_rng(0).integers(0, 2**32 - 1, (5000, 128), np.uint32)
    matrix[2500:] = matrix[:2500]
    index = lsh.build(matrix, 16, 8)
    for keys, ids in zip(index.keys, index.ids, strict=True):
        assert np.array_equal(keys, np.sort(keys))
        assert np.array_equal(np.sort(ids), np.arange(5000))
    (pairs,) = lsh.candidate_pairs(matrix, 16, 8)
    assert np.array_equal(pairs[np.argsort(pairs[:, 0])], np.c_[np.arange(2500), np.arange(2500, 5000)])
    assert lsh.query(index, matrix[7]).tolist() == [7, 2507]


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
    index = lsh.build(matrix, 16, 8)
    assert index.keys.shape == (16, 0)
    assert lsh.query(index, matrix[0]).size == 0
    assert lsh.query(lsh.build(matrix[:0], 32, 4), np.zeros(128, np.uint32)).size == 0


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
        lsh.build(matrix, 33, 4)
    with pytest.raises(ValueError, match="uint32"):
        lsh.build(matrix.astype(np.int64), 16, 8)
    with pytest.raises(ValueError, match="chunk"):
        lsh.candidate_pairs(matrix, 16, 8, 0)
    with pytest.raises(ValueError, match="name the rows"):
        lsh.query(lsh.build(matrix, 10, 4), matrix[0])
    assert 0 in lsh.query(lsh.build(matrix, 10, 4), matrix[0], rows=4)
