"""Alignment scores of many texts, against the same in plain Python."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.embed import align, pool
from kinprint.kernels.reference import align as reference
from kinprint.kernels.turn import calling_thread


def check(cosines: list[np.ndarray], q: int) -> None:
    whole = np.concatenate([np.empty((0, q), np.float32), *cosines])
    starts = np.cumsum([0, *map(len, cosines)], dtype=np.int64)
    made = align.scores_of(whole, starts)
    assert made.tolist() == [np.float32(reference.score(one.tolist())) for one in cosines]
    for one in cosines:
        pairs = align.pairs_of(one)
        assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == reference.pairs(one.tolist())
        assert pairs.cosines.tolist() == [one[j, i] for i, j in reference.pairs(one.tolist())]


@settings(deadline=None)
@given(st.data(), st.integers(0, 5))
def test_any_cosines(data: Any, q: int) -> None:
    # Few values, so that many are equal.
    sizes = data.draw(st.lists(st.integers(0, 12), max_size=5))
    values = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.2505, 0.251, 0.2515, 0.5, 0.5 + 1 / 1024, 1.0])
    cosines = [
        np.array([[data.draw(values) for _ in range(q)] for _ in range(m)], np.float32).reshape(m, q) for m in sizes
    ]
    check(cosines, q)


@pytest.mark.parametrize("dim", [1, 17, 384, 1024])
def test_scores_of_sentences(dim: int) -> None:
    rng = np.random.default_rng(dim)
    starts = np.cumsum([0, *rng.integers(0, 20, 200)], dtype=np.int64)
    vectors = rng.standard_normal((starts[-1], dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sentences = pool.quantised(vectors)
    asked = align.query(vectors[3:9] + np.float32(0.01))
    found = align.scores(asked, sentences, starts[:-1], starts[1:])
    plain = (asked.rows * asked.scale[:, np.newaxis]) @ (sentences.rows * sentences.scale[:, np.newaxis]).T.astype(
        float
    )
    for i, (first, last) in enumerate(pairwise(starts)):
        cosines = align.cosines(asked, sentences, int(first), int(last))
        np.testing.assert_allclose(cosines, plain[:, first:last].T, rtol=1e-6, atol=1e-7)
        assert found[i] == np.float32(reference.score(cosines.tolist()))
    with calling_thread():
        backwards = align.scores(asked, sentences, starts[:-1][::-1], starts[1:][::-1])
    np.testing.assert_array_equal(backwards[::-1], found)
    one = align.query(vectors[3:4] + np.float32(0.01))
    np.testing.assert_array_equal(one.rows, asked.rows[:1])


@pytest.mark.parametrize("said", [[0, 0, 0, 0], [0, 1, 0, 2, 0, 3], [2, 2, 1, 1, 2, 0] * 10])
def test_a_text_that_repeats_sentences_aligns_with_itself(said: list[int]) -> None:
    different = np.random.default_rng(0).standard_normal((4, 384)).astype(np.float32)
    different /= np.linalg.norm(different, axis=1, keepdims=True)
    vectors = different[said]
    asked, sentences = align.query(vectors), pool.quantised(vectors)
    cosines = align.cosines(asked, sentences, 0, len(said))
    pairs = align.pairs_of(cosines)
    assert pairs.left.tolist() == pairs.right.tolist() == list(range(len(said)))
    (score,) = align.scores(asked, sentences, np.array([0]), np.array([len(said)]))
    assert score > 0.999
    # Said once it is not the same as said often.
    assert reference.score(cosines[:1].tolist()) < 0.5


def test_sentences_that_differ_by_rounding_pair_one_by_one() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1, 384)) + 1e-4 * rng.standard_normal((60, 384))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pairs = align.pairs_of(align.cosines(align.query(vectors), pool.quantised(vectors), 0, 60))
    assert pairs.left.tolist() == pairs.right.tolist() == list(range(60))


def test_largest_products_are_exact() -> None:
    for dim in (3, 516, 4096, 1 << 16):
        asked = align.query(np.full((1, dim), -1.0, np.float32))
        sentences = pool.RowVectors(np.full((1, dim), -127, np.int8), np.ones(1, np.float32))
        assert align.cosines(asked, sentences, 0, 1)[0, 0] == np.float32(127 * dim)


def test_arrays_that_do_not_fit() -> None:
    sentences = pool.RowVectors(np.zeros((4, 8), np.int8), np.ones(4, np.float32))
    asked = align.query(np.zeros((2, 8), np.float32))
    assert align.scores(asked, sentences, np.array([0, 4]), np.array([4, 4])).tolist() == [0, 0]
    for first, last in (([0], [5]), ([-1], [2]), ([3], [2])):
        with pytest.raises(ValueError, match="within the 4"):
            align.scores(asked, sentences, np.array(first), np.array(last))
    with pytest.raises(ValueError, match=r"int64\[c\]"):
        align.scores(asked, sentences, np.array([0]), np.array([1, 2]))
    with pytest.raises(ValueError, match=r"contiguous int8\[s, 7\]"):
        align.scores(align.query(np.zeros((2, 7), np.float32)), sentences, np.array([0]), np.array([4]))
    with pytest.raises(ValueError, match=r"float32\[q, dim\]"):
        align.query(np.zeros(8, np.float32))
