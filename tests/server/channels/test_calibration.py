"""What a score is worth: p-values that hold, floors that say how much was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.server.channels.calibration import (
    CLASSES,
    LEAST_PAIRS,
    LEAST_SEARCHES,
    Calibration,
    Pairs,
    extremes_of,
    size_class,
)
from numpy.typing import NDArray


def scores(count: int, seed: int = 0, middle: float = 0.0) -> NDArray[np.float32]:
    return np.sort(np.random.default_rng(seed).normal(middle, 0.1, count).astype(np.float32))


def of(strata: dict[str, NDArray[np.float32]], **more: object) -> Calibration:
    return Calibration("d", "corpus", 1000, strata, **more)  # type: ignore[arg-type]


def test_sizes_fall_into_classes() -> None:
    assert [size_class(n) for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 64)] == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert CLASSES == 6


def test_the_narrowest_stratum_with_enough_pairs_counts() -> None:
    wide, same, pair = scores(5000), scores(LEAST_PAIRS, 1, 0.2), scores(LEAST_PAIRS, 2, 0.4)
    strata = {"0": wide, "0/same": same, "0/en/en": pair, "0/de/de": pair[:10], "0/cross": wide[:10]}
    made = of(strata)
    assert made.stratum(1, "en-GB", "en") is pair
    assert made.stratum(1, "de", "de") is same
    assert made.stratum(1, None, None) is same
    assert made.stratum(1, "en", "de") is wide
    assert len(made.stratum(2, "en", "en")) == 0


@given(st.lists(st.floats(-1, 1, width=32), min_size=LEAST_PAIRS, max_size=600), st.floats(-1, 1, width=32))
def test_p_values_count_what_is_as_high(values: list[float], score: float) -> None:
    found = of({"0": np.sort(np.array(values, np.float32))}).worth(score, 1, None, None, rows=1)
    as_high = sum(np.float32(value) >= np.float32(score) for value in values)
    assert found.p_value == pytest.approx((1 + as_high) / (1 + len(values)))
    assert found.p_floor == pytest.approx(1 / (1 + len(values)))
    assert found.percentile == pytest.approx(1 - as_high / len(values))
    assert found.p_value >= found.p_floor


def test_a_pair_of_unrelated_texts_is_rarely_significant() -> None:
    made = of({"0": scores(20_000), "0/same": scores(20_000)})
    fresh = np.random.default_rng(7).normal(0, 0.1, 20_000)
    below = np.mean([made.worth(float(s), 1, "en", "en", rows=1).p_value <= 0.01 for s in fresh])
    assert 0.005 <= below <= 0.02


def test_the_best_of_many_is_measured_against_the_best_of_many() -> None:
    """Of unrelated searches one in a hundred has a best hit at .01, however many rows were searched."""
    chance = np.random.default_rng(3)
    pairs = scores(20_000)
    made = of({"0": pairs})
    best = chance.normal(0, 0.1, (500, 1000)).max(axis=1)
    standings = [(1, made.standing(float(b), 1, None, None)) for b in best]
    made = of({"0": pairs}, extremes=extremes_of(standings))
    fresh = np.random.default_rng(4).normal(0, 0.1, (4000, 1000)).max(axis=1)
    found = [made.worth(float(s), 1, None, None, rows=1000).p_value for s in fresh]
    assert 0.004 <= np.mean(np.array(found) <= 0.01) <= 0.02
    assert min(found) == pytest.approx(1 / 501)


def test_more_rows_or_corpora_than_were_measured_raise_it_in_proportion() -> None:
    made = of({"0": scores(5000)}, extremes={0: np.linspace(3, 5, 99).astype(np.float32)})
    once = made.worth(2.0, 1, None, None, rows=1000)
    assert once.p_value == once.p_floor == pytest.approx(0.01)
    assert made.worth(2.0, 1, None, None, rows=10).p_value == once.p_value
    assert made.worth(2.0, 1, None, None, rows=5000).p_value == pytest.approx(0.05)
    assert made.worth(2.0, 1, None, None, rows=1000, corpora=3).p_floor == pytest.approx(0.03)
    assert made.worth(2.0, 1, None, None, rows=10**9).p_value == 1.0


def test_without_searches_the_number_of_rows_bounds_it() -> None:
    few = {0: np.linspace(3, 5, LEAST_SEARCHES - 1).astype(np.float32)}
    found = of({"0": scores(9999)}, extremes=few).worth(2.0, 1, None, None, rows=20)
    assert found.p_value == found.p_floor == pytest.approx(20 / 10_000)


def test_where_nothing_was_measured_nothing_is_claimed() -> None:
    found = Calibration("d", "background", 0, {}).worth(0.99, 3, "en", "de", rows=10)
    assert (found.p_value, found.p_floor, found.percentile, found.same_prompt_p) == (1.0, 1.0, 0.0, None)


def test_answers_to_one_prompt_have_their_own() -> None:
    made = of({"0": scores(5000)}, same_prompt={"same": scores(99, 1, 0.5), "cross": scores(10)})
    found = made.worth(2.0, 1, "en", "en", rows=1)
    assert (found.same_prompt_p, found.same_prompt_floor) == (pytest.approx(0.01), pytest.approx(0.01))
    assert made.worth(2.0, 1, "en", "de", rows=1).same_prompt_p is None


def test_standing_compares_strata() -> None:
    made = of({"0/same": scores(5000, 1, 0.3), "0/cross": scores(5000, 2, 0.0), "0": scores(5000)})
    same, cross = made.standing(0.5, 1, "en", "en"), made.standing(0.5, 1, "en", "de")
    assert 1.5 < same < 2.5
    assert cross > 4


def test_pairs_are_kept_by_stratum() -> None:
    pairs = Pairs()
    pairs.add(3, "en", np.array(["en", "de", ""]), np.array([0.3, 0.1, 0.2], np.float32))
    strata = pairs.strata()
    assert strata["2/same"].tolist() == [np.float32(0.3)]
    assert strata["2/cross"].tolist() == [np.float32(0.1), np.float32(0.2)]
    assert strata["2/en/de"].tolist() == [np.float32(0.1)]
    assert strata["2"].tolist() == strata["0"].tolist() == strata["5"].tolist()


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = of({"0": scores(10), "0/en/de": scores(5)}, extremes={3: scores(4)}, same_prompt={"same": scores(3)})
    made.save(tmp_path / "c.npz")
    again = Calibration.load(tmp_path / "c.npz")
    assert (again.digest, again.source, again.rows) == ("d", "corpus", 1000)
    assert {k: v.tolist() for k, v in again.strata.items()} == {k: v.tolist() for k, v in made.strata.items()}
    assert again.extremes[3].tolist() == made.extremes[3].tolist()
    assert again.same_prompt["same"].tolist() == made.same_prompt["same"].tolist()
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match="damaged"):
        Calibration.load(tmp_path / "c.npz")
