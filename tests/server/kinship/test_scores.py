"""Scores: normalisation by a cohort, worked by hand and by its definition, and what must not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kin_answers import arranged, result
from kinprint.kernels.style import residual
from kinprint.server.kinship import scores
from kinprint.server.kinship.scores import MIN_PROMPTS, Compared, bridge, compare, normalise, profile
from lineage_corpus import make_models, make_rows
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ANSWERS = arranged(make_rows(make_models(4, 2), 9))


def symmetric(values: Floats) -> Floats:
    """Means [f, n, n] with the diagonal that sums have."""
    out = values + np.swapaxes(values, 1, 2)
    for family in out:
        np.fill_diagonal(family, 0.0)
    return out


def drawn(seed: int, n: int, families: int = 5) -> Floats:
    return symmetric(np.random.default_rng(seed).normal(size=(families, n, n)))


def everyone(n: int) -> NDArray[np.bool_]:
    return np.ones(n, np.bool_)


def shared_by_all(n: int, prompts: int = 100) -> NDArray[np.int64]:
    return np.full((n, n), prompts, np.int64)


def by_definition(mean: Floats, shared: NDArray[np.int64], cohort: list[bool]) -> Floats:
    """Normalisation in plain Python."""
    n = len(cohort)
    total = np.zeros((n, n))
    for family in mean:
        kept = []
        for i in range(n):
            row = sorted(family[i, j] for j in range(n) if cohort[j] and j != i and shared[i, j] >= MIN_PROMPTS)
            kept.append(row[: len(row) - max(1, round(scores.TRIM * len(row)))] if len(row) >= 4 else row)
        squares = [sum((x - sum(row) / len(row)) ** 2 for x in row) if row else 0.0 for row in kept]
        free = [max(len(row) - 1, 0) for row in kept]
        pooled = sum(squares) / max(1, sum(free))
        for i in range(n):
            usual = [int(shared[i, j]) for j in range(n) if cohort[j] and j != i]
            for j in range(n):
                variance = (squares[i] + scores.PRIOR_MODELS * pooled) / (free[i] + scores.PRIOR_MODELS)
                if usual and shared[i, j] < 0.9 * np.median(usual):
                    variance += max(0.0, 1 / max(int(shared[i, j]), 1) - 1 / max(1.0, float(np.median(usual))))
                one = math.nan if not kept[i] else family[i, j] - sum(kept[i]) / len(kept[i])
                one = one / math.sqrt(variance) if variance > 0 else one * 0.0
                total[i, j] += one / 2
                total[j, i] += one / 2
    total /= len(mean)
    total[shared < MIN_PROMPTS] = np.nan
    np.fill_diagonal(total, np.nan)
    return total


def test_three_models_by_hand() -> None:
    mean = np.array([[[0.0, 1.0, 3.0], [1.0, 0.0, 5.0], [3.0, 5.0, 0.0]]])
    # Scores 1 3, 1 5 and 3 5: means 2, 3 and 4; squares 2, 8 and 2, pooled 12 / 3 = 4 with the weight of five.
    sd = [math.sqrt((2 + 5 * 4) / 6), math.sqrt((8 + 5 * 4) / 6), math.sqrt((2 + 5 * 4) / 6)]
    z = normalise(mean, shared_by_all(3), everyone(3))
    assert z[0, 1] == pytest.approx(((1 - 2) / sd[0] + (1 - 3) / sd[1]) / 2)
    assert z[0, 2] == pytest.approx(((3 - 2) / sd[0] + (3 - 4) / sd[2]) / 2)
    assert z[1, 2] == pytest.approx(((5 - 3) / sd[1] + (5 - 4) / sd[2]) / 2)
    assert np.isnan(np.diagonal(z)).all()


@given(st.integers(0, 10**6), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_normalisation_is_its_definition(seed: int, n: int) -> None:
    chance = np.random.default_rng(seed)
    mean = drawn(seed, n, 2)
    shared = np.triu(chance.choice([0, 2, 3, 10, 40, 100], (n, n)), 1)
    shared = shared + shared.T + np.diag(np.full(n, 100))
    cohort = chance.random(n) < 0.8
    expected = by_definition(mean, shared, cohort.tolist())
    np.testing.assert_allclose(normalise(mean, shared, cohort), expected, rtol=1e-9, atol=1e-9)


def test_scores_are_symmetric_and_invariant_under_relabelling() -> None:
    mean, shared = drawn(1, 14), np.random.default_rng(2).integers(0, 30, (14, 14))
    shared = np.minimum(shared, shared.T)
    cohort = np.random.default_rng(3).random(14) < 0.7
    z = normalise(mean, shared, cohort)
    assert np.array_equal(z, z.T, equal_nan=True)
    order = np.random.default_rng(4).permutation(14)
    relabelled = normalise(mean[:, order][:, :, order], shared[np.ix_(order, order)], cohort[order])
    np.testing.assert_allclose(relabelled, z[np.ix_(order, order)], rtol=1e-12)


def test_too_few_shared_prompts_give_no_score() -> None:
    shared = shared_by_all(6)
    shared[0, 1] = shared[1, 0] = MIN_PROMPTS - 1
    shared[2, :] = shared[:, 2] = 0
    z = normalise(drawn(1, 6), shared, everyone(6))
    assert np.isnan(z[0, 1])
    assert np.isnan(z[2]).all()
    assert np.isfinite(z[0, 3:]).all()


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-300, 1e9]), min_size=5 * n * n, max_size=5 * n * n),
            st.lists(st.sampled_from([0, 1, 3, 10, 1000]), min_size=n * n, max_size=n * n),
            st.lists(st.booleans(), min_size=n, max_size=n),
        )
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_few_models_have_finite_scores_or_none(drawn: tuple[list[float], list[int], list[bool]], noise: bool) -> None:
    values, prompts, cohort = drawn
    n = len(cohort)
    mean = symmetric(np.array(values).reshape(5, n, n))
    shared = np.array(prompts).reshape(n, n)
    with np.errstate(over="ignore"):
        z = normalise(mean, np.minimum(shared, shared.T), np.array(cohort), noise=noise)
    assert not np.isinf(z).any()
    assert np.array_equal(z, z.T, equal_nan=True)


def test_two_models_alone_score_nothing() -> None:
    z = normalise(drawn(1, 2), shared_by_all(2), everyone(2))
    assert z[0, 1] == 0.0


def test_equal_models_score_nothing() -> None:
    assert np.all(normalise(np.ones((5, 6, 6)), shared_by_all(6), everyone(6))[~np.eye(6, dtype=bool)] == 0)


def test_the_nearest_models_do_not_hide_behind_each_other() -> None:
    mean = drawn(1, 10)
    mean[:, 0, 1] = mean[:, 1, 0] = 10.0
    before = normalise(mean, shared_by_all(10), everyone(10))
    mean[:, 0, 1] = mean[:, 1, 0] = 1000.0
    after = normalise(mean, shared_by_all(10), everyone(10))
    rest = np.ones((10, 10), np.bool_)
    rest[0, 1] = rest[1, 0] = False
    np.testing.assert_array_equal(after[rest], before[rest])
    assert after[0, 1] > 50 * before[0, 1] > 0


def test_a_pair_that_shares_fewer_prompts_has_a_wider_deviation() -> None:
    n = 12
    mean, shared = drawn(1, n, 1), shared_by_all(n)
    mean[0, 0, 1] = mean[0, 1, 0] = 20.0
    usual = normalise(mean, shared, everyone(n))
    shared[0, 1] = shared[1, 0] = 5
    fewer = normalise(mean, shared, everyone(n))
    assert 0 < fewer[0, 1] < usual[0, 1]
    # One of eleven differs, so that the usual number stays 100: sd^2 gains 1/5 - 1/100.
    kept = [np.sort(np.delete(mean[0, i], i))[:8] for i in range(n)]
    squares = [((row - row.mean()) ** 2).sum() for row in kept]
    pooled = sum(squares) / (7 * n)
    variance = [(one + 5 * pooled) / 12 + 1 / 5 - 1 / 100 for one in squares]
    expected = [(20 - kept[i].mean()) / math.sqrt(variance[i]) for i in (0, 1)]
    assert fewer[0, 1] == pytest.approx(sum(expected) / 2)
    same = normalise(mean, shared, everyone(n), noise=False)
    assert same[0, 1] == pytest.approx(usual[0, 1]), "where the mean is of no sum over prompts"
    shared[0, 1] = shared[1, 0] = 95
    np.testing.assert_array_equal(normalise(mean, shared, everyone(n)), usual)


def test_only_the_rows_that_are_wanted_and_only_with_a_cohort() -> None:
    n = 8
    mean, shared, rows = drawn(1, n), shared_by_all(n), np.arange(n) < 3
    z = normalise(mean, shared, ~rows, rows)
    assert np.isfinite(z[:3, :3][~np.eye(3, dtype=bool)]).all()
    assert np.isnan(z[3:]).all()
    assert np.isnan(normalise(mean, shared, np.zeros(n, np.bool_))).all()
    # A cohort that shares no prompts with a model is none for it.
    shared[0, 3:] = shared[3:, 0] = 0
    z = normalise(mean, shared, ~rows, rows)
    assert np.isnan(z[0]).all()
    assert np.isfinite(z[1, 2])


# ---- comparing ----


def test_a_comparison_is_the_same_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    n = len(ANSWERS.models)
    (whole,) = result(compare(ANSWERS, everyone(n)))
    assert isinstance(whole, Compared)
    monkeypatch.setattr(scores, "BLOCK_BYTES", 2 * 5 * n * n * 4)
    blocks = [grams.present.shape[0] for _, grams in scores.blocks(ANSWERS)]
    assert blocks == [2, 2, 2, 2, 1]
    (other,) = result(compare(ANSWERS, everyone(n)))
    np.testing.assert_array_equal(other.shared, whole.shared)
    np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-12)
    assert np.abs(whole.mean).max() <= residual.BOUND


def test_answers_of_relatives_compare_highest() -> None:
    n = len(ANSWERS.models)
    (made,) = result(compare(ANSWERS, everyone(n)))
    z = normalise(made.mean, made.shared, everyone(n))
    assert [int(np.nanargmax(row)) for row in z] == [k ^ 1 for k in range(n)]


def test_a_cancelled_comparison_ends_without_a_result() -> None:
    assert result(compare(ANSWERS, everyone(len(ANSWERS.models)), cancelled=lambda: True)) == []


def test_nothing_is_compared() -> None:
    for none in (arranged([]), ANSWERS.subset(np.zeros(0, np.int64))):
        n = len(none.models)
        (made,) = result(compare(none, everyone(n)))
        assert made.mean.shape == (5, n, n)
        assert not made.shared.any()


# ---- bridging ----


def test_a_bridge_is_the_correlation_over_models_known_to_both() -> None:
    chance = np.random.default_rng(1)
    left, right = chance.normal(size=(5, 6, 12)), chance.normal(size=(5, 4, 12))
    known_left, known_right = np.ones((6, 12), np.bool_), np.ones((4, 12), np.bool_)
    known_left[0, :3] = False
    known_right[1, 2:6] = False
    a, b = profile(left, known_left), profile(right, known_right)
    found = bridge(a, b)
    for i in range(6):
        for j in range(4):
            both = known_left[i] & known_right[j]
            for f in range(5):
                expected = np.corrcoef(a.values[f, i, both], b.values[f, j, both])[0, 1] if both.sum() >= 8 else 0.0
                assert found[f, i, j] == pytest.approx(expected, abs=1e-9)
    assert not found[:, 0, 1].any(), "six models are too few"
    np.testing.assert_allclose(a.values[:, known_left[:, 5], 5].std(1), 1.0)
    assert np.all(a.values[:, 0, :3] == 0)


def test_a_bridge_of_few_or_equal_models_says_nothing() -> None:
    chance = np.random.default_rng(1)
    few = profile(chance.normal(size=(5, 3, 7)), np.ones((3, 7), np.bool_))
    assert not bridge(few, few).any()
    flat = profile(np.ones((5, 3, 20)), np.ones((3, 20), np.bool_))
    assert not bridge(flat, flat).any()
    one = profile(chance.normal(size=(5, 3, 20)), np.ones((3, 20), np.bool_))
    np.testing.assert_allclose(bridge(one, one)[:, range(3), range(3)], 1.0)
