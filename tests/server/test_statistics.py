"""Statistics: each against its definition, and against the library that has it."""

from __future__ import annotations

import math
import sys
from subprocess import run

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.server.statistics import auc, calibration_error, cllr, cllr_min, holm, log_softmax

CHANCE = np.random.default_rng(5)


def test_cost_of_likelihood_ratios() -> None:
    zeros = np.zeros(5)
    assert cllr(zeros, zeros) == pytest.approx(1.0)
    assert cllr(np.full(5, 30.0), np.full(5, -30.0)) == pytest.approx(0.0, abs=1e-9)
    assert cllr(np.full(5, -5.0), np.full(5, 5.0)) > 5
    assert cllr_min(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == pytest.approx(0.0, abs=1e-5)
    assert cllr_min(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(1.0, abs=0.2)


def test_cllr_is_the_mean_of_two_log_losses() -> None:
    from sklearn.metrics import log_loss

    positive, negative = CHANCE.normal(1.0, 2.0, 300), CHANCE.normal(-1.0, 2.0, 70)
    posterior = 1.0 / (1.0 + np.exp(-np.concatenate((positive, negative))))
    truth = np.repeat([1, 0], (len(positive), len(negative)))
    balanced = np.repeat([0.5 / len(positive), 0.5 / len(negative)], (len(positive), len(negative)))
    expected = log_loss(truth, posterior, sample_weight=balanced) / math.log(2)
    assert cllr(positive, negative) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(cllr(positive, np.zeros(0)))
    assert math.isnan(cllr_min(np.zeros(0), negative))


def test_no_monotone_change_makes_a_cost_less_than_the_least() -> None:
    positive, negative = CHANCE.normal(1.0, 2.0, 300), CHANCE.normal(-1.0, 2.0, 70)
    least = cllr_min(positive, negative)
    assert least == pytest.approx(cllr_min(np.exp(positive / 5), np.exp(negative / 5)), rel=1e-9)
    for slope in (0.1, 0.5, 1.0, 2.0):
        for offset in (-1.0, 0.0, 1.0):
            assert least <= cllr(slope * positive + offset, slope * negative + offset) + 1e-6


def test_holms_correction_by_hand() -> None:
    p = np.array([0.04, 0.01, np.nan, 0.03])
    np.testing.assert_allclose(holm(p), [0.06, 0.03, np.nan, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert holm(np.zeros(0)).shape == (0,)


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p: list[float]) -> None:
    """Holm 1979: in order of p, reject while p <= level / (tests that are left)."""
    corrected = holm(np.array(p))
    for level in (0.01, 0.05, 0.5):
        rejected = set()
        for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
            if p[k] * (len(p) - rank) > level:
                break
            rejected.add(k)
        assert rejected == {k for k in range(len(p)) if corrected[k] <= level}


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_auc_is_the_chance_to_be_above(positive: list[int], negative: list[int]) -> None:
    from sklearn.metrics import roc_auc_score

    found = auc(np.array(positive, float), np.array(negative, float))
    wins = sum((a > b) + 0.5 * (a == b) for a in positive for b in negative)
    assert found == pytest.approx(wins / len(positive) / len(negative), rel=1e-12)
    truth = [1] * len(positive) + [0] * len(negative)
    assert found == pytest.approx(roc_auc_score(truth, positive + negative), abs=1e-12)
    assert auc(np.array(positive), np.array(positive)) == 0.5


def test_auc_of_nothing_is_not_known() -> None:
    assert math.isnan(auc(np.zeros(0), np.ones(3)))
    assert math.isnan(auc(np.zeros(3), np.ones(0)))


def test_log_softmax_sums_to_one_and_keeps_differences() -> None:
    x = CHANCE.normal(0.0, 50.0, (40, 7))
    x[0] = [1e6, 0.0, 0.0, 0.0, 0.0, 0.0, -1e6]
    found = log_softmax(x)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found - found[:, :1], x - x[:, :1], rtol=1e-12, atol=1e-9)
    assert log_softmax(np.zeros((0, 3))).shape == (0, 3)


def test_error_of_calibration_by_hand() -> None:
    # Sure to 0.8 of class 0 and right in three of four; sure to 0.6 that it is none of them, and right.
    probabilities = np.array([[0.8, 0.1, 0.1]] * 4 + [[0.2, 0.2, 0.6]] * 2)
    truth = np.array([0, 0, 0, 1, -1, -1])
    found = calibration_error(probabilities, truth, np.ones(6))
    assert found == pytest.approx((4 * abs(0.8 - 0.75) + 2 * abs(0.6 - 1.0)) / 6)
    assert calibration_error(probabilities, truth, np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.4)


def test_libraries_are_loaded_when_used() -> None:
    code = (
        "import sys, kinprint.server.statistics;"
        "import kinprint.server.kinship.fit, kinprint.server.kinship.judge, kinprint.server.kinship.tree;"
        "import kinprint.server.kinship.dossier.document;"
        "heavy = {'sklearn', 'scipy.stats', 'scipy.special', 'scipy.sparse', 'scipy.cluster', 'scipy.spatial'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
