"""Training: the power that is stated, determinism, caps, and what nothing can be learnt from."""

from __future__ import annotations

import numpy as np
import pytest
from authors import PROMPTS, asked, known_of, texts_of, trained, usual, written
from kin_answers import result
from kinprint.server.authorship.attribute import attribute
from kinprint.server.authorship.attributor import ERROR, NO_POWER, Known
from kinprint.server.authorship.train import train
from kinprint.server.failures import InvalidField
from numpy.typing import NDArray


def test_power_grows_with_the_set() -> None:
    power = usual(0).power
    assert [p.size for p in power] == sorted({p.size for p in power})
    assert power[-1].accuracy >= power[0].accuracy
    assert all(0.0 <= p.false_names <= ERROR for p in power)


def test_equal_input_gives_equal_answers() -> None:
    known = known_of([0, 1, 2], range(30))
    first, second = trained(known, seed=5), trained(known, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))
    assert first.power == second.power
    assert asked(first, [0, 9], 2, 0) == asked(second, [0, 9], 2, 0)


def test_swapped_labels_name_nobody() -> None:
    known = known_of([0, 1, 2, 3], range(PROMPTS))
    labels: NDArray[np.int32] = np.random.default_rng(3).permutation(known.model)
    attributor = trained(Known(known.texts, labels, known.names, known.prompt))
    assert attributor.power[0].accuracy < 0.4
    answers = asked(attributor, [0, 1, 2, 3], 5, 0)
    assert np.mean([a.abstained for a in answers]) >= 0.9
    assert max(a.ranked[0].probability for a in answers) < 0.7


def test_caps_are_told() -> None:
    attributor = trained(known_of([0, 1, 2], range(40)), per_model=25)
    assert attributor.texts_given.tolist() == [40] * 3
    assert attributor.texts_used.tolist() == [25] * 3
    assert any("25" in note for note in attributor.notes)


def test_one_family_alone_is_never_named() -> None:
    attributor = trained(known_of([0, 1], range(30), families=[3, 3]))
    assert all(a.reason == NO_POWER for a in asked(attributor, [0, 1], 2, 0, each=2))


def test_models_with_few_answers_are_left_out_and_named() -> None:
    whole = known_of([0, 1, 2], range(30))
    rows = np.flatnonzero((whole.model != 1) | (whole.prompt < 10))
    known = Known(whole.texts.take(rows), whole.model[rows], whole.names, whole.prompt[rows])
    attributor = trained(known)
    assert attributor.names == ("author-0", "author-2")
    assert attributor.left_out[0][0] == "author-1"


def test_what_nothing_can_be_learnt_from_is_refused() -> None:
    with pytest.raises(InvalidField, match="two models"):
        trained(known_of([0], range(30)))
    with pytest.raises(InvalidField, match="two models"):
        trained(Known(texts_of([]), np.zeros(0, np.int32), (), np.zeros(0, np.int64)))
    same = [written(0, 0, 0)] * 60
    with pytest.raises(InvalidField, match="two models"):
        trained(Known(texts_of(same), np.repeat([0, 1], 30).astype(np.int32), ("a", "b"), np.full(60, -1, np.int64)))
    with pytest.raises(InvalidField, match="one code a text"):
        trained(Known(texts_of(same), np.zeros(2, np.int32), ("a", "b"), np.zeros(60, np.int64)))
    with pytest.raises(InvalidField, match="one code a text"):
        attribute(usual(0), texts_of(["one"]), np.zeros(2, np.int64))


def test_a_cancelled_training_ends() -> None:
    assert result(train(known_of([0, 1], range(30)), cancelled=lambda: True)) == []
