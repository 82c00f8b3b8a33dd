"""The nearest style vectors: nobody who is among them is left out, on the scale of the lengths and on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.reference import nearest as reference
from kinprint.kernels.style import nearest, stylometry
from numpy.typing import NDArray

DIM = stylometry.DIM


def styled(chance: np.random.Generator, n: int) -> NDArray[np.int8]:
    """Vectors as texts have them: families of length 127, many dimensions of them 0, and a blank one now and then."""
    vectors = np.zeros((n, DIM), np.int8)
    for low, high in zip(stylometry.BOUNDS[:-1], stylometry.BOUNDS[1:], strict=True):
        some = chance.standard_normal((n, high - low)) * (chance.random((n, high - low)) < 0.3)
        some[:, 0] += 0.1
        vectors[:, low:high] = np.trunc(127 * some / np.linalg.norm(some, axis=1, keepdims=True))
    vectors[chance.random(n) < 0.05] = 0
    if n > 3:
        vectors[-1] = vectors[0]  # a tie
    return vectors


def scale_of(vectors: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return stylometry.scaler(stylometry.stats(vectors))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 6))
def test_equals_reference(seed: int, n: int, top: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = styled(chance, n)
    mean, inverse = scale_of(vectors)
    lengths = nearest.lengths(vectors, mean, inverse)
    exact = [reference.length(v, mean.tolist(), inverse.tolist()) for v in vectors.tolist()]
    np.testing.assert_allclose(lengths.values, exact, rtol=1e-5)
    rows = np.flatnonzero(chance.random(n) < 0.7)
    for query in (vectors[0], styled(chance, 1)[0], np.zeros(DIM, np.int8)):
        weighed = nearest.weights(query, mean, inverse)
        for some in (None, rows):
            found = nearest.nearest(weighed, vectors, lengths, mean, inverse, top, some).tolist()
            assert found == sorted(set(found))
            listed = list(range(n)) if some is None else some.tolist()
            wanted = reference.nearest(query.tolist(), vectors.tolist(), mean.tolist(), inverse.tolist(), top, listed)
            assert set(wanted) <= set(found) <= set(listed)


@pytest.mark.parametrize("moved", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("least", [None, 0.0, 0.25])
def test_nobody_is_left_out_and_few_are_let_in(moved: float, least: float | None) -> None:
    """Against the exact scores of all, with lengths of a scale of so many other texts."""
    chance = np.random.default_rng(7)
    vectors = styled(chance, 3000)
    others = np.concatenate((vectors, styled(chance, 1 + int(3000 * moved))))
    mean, inverse = scale_of(others)
    lengths = nearest.lengths(vectors, *(scale_of(vectors) if moved else (mean, inverse)))
    rows = np.flatnonzero(chance.random(len(vectors)) < 0.3)
    taken = 0
    for query in (*vectors[:3000:500], *styled(chance, 5)):
        weighed = nearest.weights(query, mean, inverse)
        for some in (None, rows):
            listed = np.arange(len(vectors)) if some is None else some
            scores = stylometry.scores_at(query, vectors, listed, mean, inverse)
            for top in (1, 10, 100):
                found = nearest.nearest(weighed, vectors, lengths, mean, inverse, top, some, least)
                floor = np.sort(scores)[-top]
                wanted = listed[(scores >= floor) & (scores >= (-2.0 if least is None else least))]
                assert set(wanted.tolist()) <= set(found.tolist())
                taken = max(taken, len(found) - len(wanted))
    assert taken < (50 if moved < 0.1 else 600)


def test_a_scale_that_stays_moves_nothing() -> None:
    vectors = styled(np.random.default_rng(1), 50)
    scale = scale_of(vectors)
    known = nearest.lengths(vectors, *scale)
    assert nearest.drift(known, *scale) == (1.0, 1.0, 0.0)
    other = scale_of(vectors[:30])
    low, high, shift = nearest.drift(known, *other)
    there = nearest.lengths(vectors, *other).values
    some = known.values > 0
    assert (there[some] >= low * (known.values[some] - shift) - 1e-4).all()
    assert (there[some] <= high * (known.values[some] + shift) + 1e-4).all()


def test_no_vector_is_larger_than_is_reckoned_with() -> None:
    full = np.zeros((1, DIM), np.int8)
    for low, high in zip(stylometry.BOUNDS[:-1], stylometry.BOUNDS[1:], strict=True):
        full[:, low:high] = round(127 / np.sqrt(high - low))
    assert int(np.abs(full.astype(np.int64)).sum()) < nearest.LARGEST
    assert nearest.STEPS * 127 * DIM < 2**31


def test_refuses() -> None:
    vectors = styled(np.random.default_rng(1), 5)
    scale = scale_of(vectors)
    known, weighed = nearest.lengths(vectors, *scale), nearest.weights(vectors[0], *scale)
    with pytest.raises(ValueError, match="vectors"):
        nearest.nearest(weighed, vectors.astype(np.int16), known, *scale, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths"):
        nearest.nearest(weighed, vectors[:3], known, *scale, 1)
    with pytest.raises(ValueError, match="top"):
        nearest.nearest(weighed, vectors, known, *scale, 0)
    with pytest.raises(ValueError, match="rows"):
        nearest.nearest(weighed, vectors, known, *scale, 1, np.zeros(2, np.int32))  # type: ignore[arg-type]
    for rows in ([-1], [5]):
        with pytest.raises(IndexError, match="rows"):
            nearest.nearest(weighed, vectors, known, *scale, 1, np.array(rows))
    with pytest.raises(ValueError, match="query"):
        nearest.weights(vectors[:1], *scale)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (nearest.STEPS, nearest.LARGEST, nearest.HALF) == (16_383, 6_500.0, 256)
    assert stylometry.BOUNDS == (0, 64, 128, 384, 448, 512)
