"""Texts as they are sent: what is refused, reasoning is split off, and sets stay together in the order they came."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from kin_answers import strings
from kinprint.server.authorship import sets as sending
from kinprint.server.authorship.sets import Sent, Sets
from kinprint.server.failures import InvalidField
from kinprint.server.limits import LIMITS


def test_texts_of_a_set_may_come_in_any_batch() -> None:
    sets = Sets()
    sets.add([Sent("one", "a"), Sent("two", id="x"), Sent("three", "b")])
    sets.add([Sent("<think>why</think>four", "a"), Sent("", id="y"), Sent("日本", "b")])
    assert len(sets) == 6
    assert sets.ids == [("a", ""), (None, "x"), ("b", ""), (None, "y")]
    submitted = pickle.loads(pickle.dumps(sets.submitted()))
    assert (len(submitted), submitted.sets) == (6, 4)
    ((texts, codes),) = submitted.parts()
    assert strings(texts) == ["one", "four", "two", "three", "日本", ""]
    assert codes.tolist() == [0, 0, 1, 2, 2, 3]


def test_sets_are_never_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 5)
    chance = np.random.default_rng(1)
    names = [f"s{k}" for k in chance.integers(0, 12, 100)] + ["long"] * 20
    sets = Sets()
    sets.add([Sent(f"text {k}", name) for k, name in enumerate(names)])
    parts = [(strings(texts), codes) for texts, codes in sets.submitted().parts()]
    assert len(parts) > 3
    assert all(not set(a[1]) & set(b[1]) for a, b in pairwise(parts))
    found = [(sets.ids[code][0], text) for texts, codes in parts for text, code in zip(texts, codes, strict=True)]
    assert sorted(found) == sorted((name, f"text {k}") for k, name in enumerate(names))
    assert [code for _, codes in parts for code in codes] == sorted(code for _, codes in parts for code in codes)


def test_nothing_sent_has_no_parts() -> None:
    assert list(Sets().submitted().parts()) == []


@pytest.mark.parametrize(
    ("batch", "field", "reason"),
    [
        ([], "batch.texts", "BATCH_SIZE"),
        ([Sent("x")] * (LIMITS.max_batch_items + 1), "batch.texts", "BATCH_SIZE"),
        ([Sent("x"), Sent("é" * (LIMITS.max_text_bytes // 2 + 1))], "batch.texts[1].text", "TEXT_TOO_LONG"),
        ([Sent("x", "é" * LIMITS.max_key_bytes)], "batch.texts[0].set_id", "FIELD_TOO_LONG"),
        ([Sent("x", None, "y" * (LIMITS.max_key_bytes + 1))], "batch.texts[0].id", "FIELD_TOO_LONG"),
    ],
)
def test_what_is_refused(batch: list[Sent], field: str, reason: str) -> None:
    with pytest.raises(InvalidField) as caught:
        Sets().add(batch)
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_all_texts_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_BYTES", 10)
    sets = Sets()
    sets.add([Sent("12345"), Sent("67890")])
    with pytest.raises(InvalidField) as caught:
        sets.add([Sent("1")])
    assert caught.value.reason == "TOO_MANY_TEXTS"
