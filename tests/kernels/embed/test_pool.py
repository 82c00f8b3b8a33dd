"""Vectors from a table, against the same in plain Python, and to the bit however they are made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.embed import pool
from kinprint.kernels.reference import pool as reference
from kinprint.kernels.turn import calling_thread

RNG = np.random.default_rng(1)
DIM = 19
TABLE = pool.Table(RNG.integers(-127, 128, (50, DIM), np.int8), RNG.random(50, np.float32))
PLAIN = (TABLE.rows * TABLE.scale[:, np.newaxis].astype(np.float64)).tolist()


def packed(texts: list[list[list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sentences = [ids for text in texts for ids in text]
    ids = np.array([number for sentence in sentences for number in sentence], np.int32)
    return (
        ids,
        np.cumsum([0, *map(len, sentences)], dtype=np.int64),
        np.cumsum([0, *map(len, texts)], dtype=np.int64),
    )


@settings(deadline=None)
@given(st.lists(st.lists(st.lists(st.integers(0, 52), max_size=11), max_size=4), max_size=5))
def test_any_tokens(texts: list[list[list[int]]]) -> None:
    ids, offsets, starts = packed(texts)
    made = pool.sentence_vectors(ids, offsets, TABLE)
    expected = [reference.sentence_vector(ids, PLAIN) for text in texts for ids in text]
    np.testing.assert_allclose(made, np.reshape(expected, (-1, DIM)), atol=2e-6)
    rows, scale = pool.vectors_of_tokens(ids, offsets, starts, TABLE)
    for row, one, text in zip(rows, scale, texts, strict=True):
        vector = reference.text_vector(text, PLAIN)
        np.testing.assert_allclose(row * one, vector, atol=float(one) / 2 + 1e-5)
        if not any(number < 50 for ids in text for number in ids):
            assert one == 0
            assert not row.any()
        else:
            assert abs(row.astype(int)).max() == 127


def test_threads_and_batches_change_nothing() -> None:
    texts = [[RNG.integers(0, 50, k % 13).tolist()] * (k % 4) for k in range(900)]
    ids, offsets, starts = packed(texts)
    rows, scale = pool.vectors_of_tokens(ids, offsets, starts, TABLE)
    with calling_thread():
        alone = pool.vectors_of_tokens(ids, offsets, starts, TABLE)
        single = [pool.vectors_of_tokens(*packed([text]), TABLE) for text in texts]
    np.testing.assert_array_equal(rows, alone.rows)
    np.testing.assert_array_equal(scale, alone.scale)
    np.testing.assert_array_equal(rows, np.concatenate([one.rows for one in single]))
    np.testing.assert_array_equal(scale, np.concatenate([one.scale for one in single]))


@pytest.mark.parametrize("dim", [1, 7, 8, 64, 384])
def test_quantised_and_dots(dim: int) -> None:
    vectors = RNG.standard_normal((40, dim)).astype(np.float32)
    vectors[3] = 0
    made = pool.quantised(vectors)
    np.testing.assert_allclose(made.rows * made.scale[:, np.newaxis], vectors, atol=float(made.scale.max()) * 0.501)
    assert made.scale[3] == 0
    queries = RNG.standard_normal((3, dim)).astype(np.float32)
    which = np.array([5, 0, 5, 39])
    found = pool.dots(made, which, queries)
    plain = (made.rows * made.scale[:, np.newaxis])[which] @ queries.T
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-4)
    for k in range(3):
        np.testing.assert_array_equal(pool.dots(made, which[k:], queries[k : k + 1])[:, 0], found[k:, k])
    assert pool.dots(made, which[:0], queries).shape == (0, 3)


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="rows are 0"):
        pool.dots(TABLE, np.array([50]), np.zeros((1, DIM), np.float32))
    with pytest.raises(ValueError, match="queries must be"):
        pool.dots(TABLE, np.array([0]), np.zeros((1, DIM + 1), np.float32))
    with pytest.raises(ValueError, match="rows must be"):
        pool.sentence_vectors(*packed([])[:2], pool.Table(TABLE.rows.astype(np.int16), TABLE.scale))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale must be"):
        pool.sentence_vectors(*packed([])[:2], pool.Table(TABLE.rows, TABLE.scale[1:]))
