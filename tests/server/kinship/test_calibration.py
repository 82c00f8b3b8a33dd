"""Calibration: p-values, likelihood ratios, thresholds and power are those of their definition."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from kin_answers import calibrations, many
from kinprint.server.kinship import calibration
from kinprint.server.kinship.calibration import MARGIN, NULL_TAIL, NULL_VALUES, Calibration, calibrate
from kinprint.server.kinship.labels import Labels, Member, label
from numpy.typing import NDArray

SCORES = np.unique(np.concatenate((np.linspace(-50, 50, 400), [-1e9, 0.0, 1e9])))


def test_derived_pairs_stand_out_and_power_grows_with_prompts() -> None:
    for c in many().sizes[1:]:
        assert np.median(c.derived) > c.null.max()
        assert c.cllr < 0.3
        assert c.cllr_min <= c.cllr + 1e-9
        assert c.power["derived"] >= 0.5
    assert many().sizes[-1].power["derived"] >= many().sizes[0].power["derived"]


def test_the_threshold_is_above_every_clean_pair() -> None:
    for c in calibrations():
        assert c.threshold >= MARGIN * c.null.max() - 1e-3
        assert c.threshold >= MARGIN
        assert c.power["derived"] == np.mean(c.derived >= c.threshold)


def test_p_values_fall_and_never_below_their_floor() -> None:
    for c in calibrations():
        p = c.p_value(SCORES)
        assert np.all(np.diff(p) <= 0)
        assert p[-1] == pytest.approx(c.p_floor)
        assert np.all(p >= 1 / (c.null_count + 1) - 1e-15)
        assert p[0] == pytest.approx(1.0)
        assert np.all(p <= 1.0)
        assert np.isnan(c.p_value(np.array([np.nan]))).all()


def test_a_p_value_is_the_share_of_clean_pairs_that_score_as_high() -> None:
    c = many().sizes[-1]
    assert len(c.null) == c.null_count == 24 * 23 // 2 - 4
    for score in (-1.0, 0.0, 2.5, float(c.null[-1]), float(c.null[5])):
        expected = (1 + sum(x >= score for x in c.null.tolist())) / (1 + c.null_count)
        assert c.p_value(np.array([score]))[0] == pytest.approx(expected)


def test_likelihood_ratios_rise_within_their_range() -> None:
    for c in calibrations():
        lr = c.log10_lr(SCORES)
        assert np.all(np.diff(lr) >= 0)
        assert np.all((c.log10_lr_min <= lr) & (lr <= c.log10_lr_max))
        assert c.log10_lr_min < 0 < c.log10_lr_max <= np.log10(c.null_count + 1) + 1e-12
        assert np.isnan(c.log10_lr(np.array([np.nan]))).all()
        assert c.log10_lr(np.array([c.threshold]))[0] > 0


def drawn(seed: int, n: int, draws: int) -> tuple[NDArray[np.float64], Labels]:
    """Scores of n models in families of two, kin a little higher."""
    chance = np.random.default_rng(seed)
    members = [Member(f"m{k:02d}", f"f{k // 2:02d}") for k in range(n)]
    labels = label([m.model for m in members], members)
    z = chance.normal(size=(draws, n, n)) + 3.0 * labels.kin
    z = np.round(z, 4)
    return np.triu(z, 1) + np.swapaxes(np.triu(z, 1), 1, 2), labels


def test_a_thinned_null_never_makes_a_p_value_smaller() -> None:
    z, labels = drawn(1, 26, 30)
    thinned = calibrate(z, labels, 10)
    assert thinned is not None
    upper = np.triu(labels.unrelated, 1)
    whole = np.sort(z[:, upper].ravel())
    assert len(whole) > 2 * NULL_VALUES
    assert len(thinned.null) == NULL_VALUES
    assert thinned.null_count == upper.sum()
    scores = np.concatenate((whole[::37], whole[-NULL_TAIL::10], np.linspace(-6, 6, 500)))
    share = (len(whole) - np.searchsorted(whole, scores, "left")) / len(whole)
    exact = (1 + thinned.null_count * share) / (1 + thinned.null_count)
    p = thinned.p_value(scores)
    assert np.all(p >= exact - 1e-9)
    assert np.all(p <= exact + 1e-3), "and little larger"
    tail = scores >= whole[-NULL_TAIL]
    np.testing.assert_allclose(p[tail], exact[tail], rtol=1e-9)


def test_a_calibration_can_be_restricted_to_some_pairs() -> None:
    z, labels = drawn(2, 20, 3)
    inside = labels.family < 5
    use = inside[:, None] & inside[None, :]
    part = calibrate(z, labels, 10, use=use)
    masks = (labels.unrelated, labels.kin, labels.derived)
    cut = Labels(*(m[np.ix_(inside, inside)] for m in masks), labels.family[inside])
    alone = calibrate(z[:, inside][:, :, inside], cut, 10)
    assert part is not None
    assert alone is not None
    assert part.null_count == alone.null_count == 40
    np.testing.assert_array_equal(part.null, alone.null)
    np.testing.assert_array_equal(part.derived, alone.derived)
    assert part.curve == alone.curve
    assert part.threshold == alone.threshold
    assert calibrate(z, labels, 10, use=np.zeros_like(use)) is None
    assert calibrate(z, labels, 10, use=labels.unrelated) is None, "no positives"


def test_scores_that_are_missing_are_left_out() -> None:
    z, labels = drawn(3, 20, 2)
    holes = z.copy()
    holes[0, 0, :] = holes[0, :, 0] = np.nan
    found = calibrate(holes, labels, 10)
    whole = calibrate(z, labels, 10)
    assert found is not None
    assert whole is not None
    assert found.null_count == whole.null_count - 18
    assert np.isfinite(found.null).all()
    assert calibrate(np.full_like(z, np.nan), labels, 10) is None


def test_rates_below_the_floor_are_not_stated() -> None:
    tpr = {c.null_count: c.tpr for c in calibrations()}
    for count, rates in tpr.items():
        assert (rates["0.001"] is None) == (count < 999)
        assert (rates["0.01"] is None) == (count < 99)
        assert all(0.0 <= rate <= 1.0 for rate in rates.values() if rate is not None)


def test_a_rate_is_the_share_of_derived_pairs_above_so_many_clean_ones() -> None:
    c = many().sizes[-1]
    bar = sorted(c.null.tolist())[-1 - int(0.01 * len(c.null))]
    assert c.tpr["0.01"] == pytest.approx(np.mean(c.derived > bar), abs=1 / len(c.derived) + 1e-9)


def test_golden_constants() -> None:
    """Tests take some of these from what they test."""
    assert calibration.SIZES == (10, 25, 50, 100, 200, 400, 800, 1600)
    assert (MARGIN, calibration.DERIVED_LR) == (1.3, 0.5)
    assert (NULL_VALUES, NULL_TAIL) == (4_000, 2_000)
    np.testing.assert_allclose(calibration.transform([3.0, -3.0, 0.0]), [0.881373587, -0.881373587, 0.0])


def made(**changes: Any) -> Calibration:
    """A calibration whose curves are asinh(score / 3) themselves."""
    values: dict[str, Any] = {
        "prompts": 10,
        "draws": 1,
        "curve": (0.0, 1.0),
        "kin_curve": (0.0, 1.0),
        "log10_lr_min": -0.5,
        "log10_lr_max": 0.75,
        "threshold": 2.0,
        "null": np.array([-1.0, 0.5, 1.0]),
        "null_weight": np.array([0.5, 0.25, 0.25]),
        "null_count": 3,
        "derived": np.array([1.5, 4.0]),
        "kin": np.array([0.25]),
        "cllr": 0.2,
        "cllr_min": 0.1,
        "tpr": {"0.01": None, "0.001": 0.5},
        "power": {"derived": 0.5, "kin": 0.25},
    }
    return Calibration(**values | changes)


def test_ratios_are_those_of_the_curve_within_the_range() -> None:
    score = 3 * np.sinh(np.log(10) * np.array([-2.0, -0.5, 0.25, 0.75, 3.0]))
    np.testing.assert_allclose(made().log10_lr(score), [-0.5, -0.5, 0.25, 0.75, 0.75])
    shifted = made(curve=(math.log(10) * 0.25, 1.0))
    np.testing.assert_allclose(shifted.log10_lr(score[2:3]), [0.5])


def test_derived_rather_than_kin_takes_half_an_order_of_magnitude() -> None:
    bar = 3 * math.sinh(0.5 * math.log(10))
    assert made().is_derived(np.array([bar - 1e-9, bar + 1e-9, np.nan])).tolist() == [False, True, False]
    assert made(kin_curve=(-0.1, 1.0)).is_derived(np.array([bar + 1e-9])).tolist() == [False]
    assert made(kin_curve=None).is_derived(np.array([-9.0, 9.0])).tolist() == [True, True]


def test_weights_of_a_thinned_null_count() -> None:
    p = made().p_value(np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5]))
    np.testing.assert_allclose(p, (1 + 3 * np.array([1.0, 1.0, 0.5, 0.5, 0.25, 0.0])) / 4)
    assert made().p_floor == 0.25


def test_what_a_panel_holds_comes_back() -> None:
    told = made().as_json()
    back = Calibration.of_json(json.loads(json.dumps(told)))
    assert back.as_json() == told
    assert told["curve"] == told["kin_curve"] == {"intercept": 0.0, "slope": 1.0}
    even = made(null_weight=np.full(3, 1 / 3), kin_curve=None).as_json()
    assert even["null_weight"] is even["kin_curve"] is None
    np.testing.assert_allclose(Calibration.of_json(even).null_weight, [1 / 3] * 3)
    assert Calibration.of_json(even | {"log10_lr_min": 0.75}).log10_lr_min == 0.75
    for change in ({"null": []}, {"log10_lr_min": 0.76}, {"prompts": 0}, {"null_count": 0}, {"draws": 0}):
        with pytest.raises(ValueError, match=r".") as refused:
            Calibration.of_json(told | change)
        assert next(iter(change)) in str(refused.value)


def test_the_closer_half_of_a_family_stands_in_for_derived_pairs() -> None:
    labels = label(list("abcdef"), [Member(name, family) for name, family in zip("abcdef", "xxxxyy", strict=True)])
    z = np.zeros((6, 6))
    for k, (i, j) in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        z[i, j] = z[j, i] = k
    z[4, 5] = z[5, 4] = -7.0
    z[2, 3] = z[3, 2] = np.nan
    found = calibration.closest(z, labels)
    assert {(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(found)), strict=True)} == {
        (0, 3),
        (1, 2),
        (1, 3),
        (4, 5),
    }
    assert (found == found.T).all()


def test_limits_of_a_calibration_are_those_of_its_pairs() -> None:
    z, labels = drawn(4, 12, 2)
    found = calibrate(z, labels, 25)
    assert found is not None
    clean, kin = 12 * 11 // 2 - 6, 6
    derived = calibration.closest(z.mean(0), labels)
    positives = int(np.triu(derived).sum())
    assert (found.prompts, found.draws, found.null_count, positives) == (25, 2, clean, kin)
    assert found.log10_lr_max == pytest.approx(math.log10(clean + 1))
    assert found.log10_lr_min == pytest.approx(-math.log10(positives + 1))
    assert found.threshold == pytest.approx(1.3 * found.null.max(), abs=1e-3)
    assert len(found.null) == 2 * clean
    assert found.kin_curve is None  # every pair of kin stands in for a derived one
    assert found.curve[1] > 0


def test_a_true_positive_rate_by_hand() -> None:
    null, even = np.arange(1.0, 11.0), np.full(10, 0.1)
    positive = np.array([7.0, 8.0, 9.0, 11.0])
    # 9 and 10 are the share of 0.2; what scores above 8 is above them or one of them.
    assert calibration._tpr(positive, null, even, 0.2, 99) == 0.5
    assert calibration._tpr(positive, null, even, 1.0, 99) == 1.0
    assert calibration._tpr(positive, null, even, 0.01, 99) == 0.25
    assert calibration._tpr(positive, null, even, 0.01, 98) is None, "below 1 / 99"
    heavy = np.array([0.05] * 9 + [0.55])
    assert calibration._tpr(positive, null, heavy, 0.5, 99) == 0.25


def test_a_curve_is_even_where_the_two_kinds_are_and_never_falls() -> None:
    intercept, slope = calibration._logistic(np.array([3.0, 4.0, 5.0]), -np.array([3.0, 4.0, 5.0]))
    assert intercept == pytest.approx(0.0, abs=1e-5)
    assert slope > 1
    weighed, same = calibration._logistic(np.array([3.0, 4.0, 5.0]), -np.tile([3.0, 4.0, 5.0], 50))
    assert abs(weighed) < 1  # as many of one kind as of the other, whatever their numbers
    assert same > slope  # and more of them hold the ridge less
    assert calibration._logistic(np.array([-4.0, -3.0]), np.array([3.0, 4.0]))[1] == 0.0
