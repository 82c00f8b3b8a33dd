"""Folded tokens and their places against their definition, and where texts may be cut."""

from __future__ import annotations

import numpy as np
import pytest
from copy_texts import texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinprint.kernels.copy import tokens
from kinprint.kernels.reference import shingle
from kinprint.kernels.reference import tokens as reference
from kinprint.kernels.reference.fold import normalised_answer


def array(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def found(text: str, start: int = 0, end: int | None = None) -> list[tuple[str, int, int, bool]]:
    """(folded text, begin, end, closes) of each token."""
    data = array(text).copy()
    size = 256
    while True:
        row = tokens.row_of(size)
        n = tokens.tokens_in(data, start, data.size if end is None else end, row)
        if n >= 0:
            break
        size = tokens.larger_row(row, data.size)
    folded = row.work.buffer.tobytes()
    columns = (c[:n].tolist() for c in (row.low, row.high, row.begins, row.ends, row.closes))
    return [(folded[low:high].decode(), *rest) for low, high, *rest in zip(*columns, strict=True)]


@settings(max_examples=400, deadline=None)
@given(texts)
@example("½½x a½")
@example("\u0301e\u00ad\u0301x")
@example("🇩🇪🇫🇷🇮 🇹")
@example("👩‍👩‍👧‍👦❤️👍🏽x\u200d")
def test_equals_reference(text: str) -> None:
    rows = found(text)
    assert rows == [(t.text, t.begin, t.end, t.closes) for t in reference.tokens(text)]
    # They are the tokens that are shingled.
    words, spaceless = shingle.tokens(normalised_answer(text))
    assert sorted(row[0] for row in rows) == sorted(words + spaceless)


@settings(max_examples=400, deadline=None)
@given(texts, st.data())
def test_a_text_may_be_cut_where_it_is_said(text: str, draw: st.DataObject) -> None:
    data = array(text).copy()
    at = draw.draw(st.integers(0, data.size))
    before, after = tokens.cut_before(data, at), tokens.cut_after(data, at)
    assert 0 <= before <= at <= after <= data.size
    whole = found(text)
    for cut in (before, after):
        assert found(text, 0, cut) + found(text, cut) == whole


@pytest.mark.parametrize(
    ("unit", "by_unit", "more"),
    [
        ("word ", 1, 0),
        ("e\u0301", 0, 1),
        ("你", 1, 0),
        ("👍🏽", 1, 0),
        ("🇩🇪", 2, 0),
        ("-", 0, 0),
        ("\n", 0, 0),
        ("\u0301", 0, 0),
        ("\u200d", 0, 0),
        ("½", 1, 1),
    ],
)
def test_a_million_bytes_of_one_thing_stay_linear(unit: str, by_unit: int, more: int) -> None:
    count = 1_000_000 // len(unit.encode())
    assert len(found(unit * count)) == by_unit * count + more


def test_places_are_those_of_the_original() -> None:
    text = "\ufeffThe “Ｆｕｌｌ” soft\u00adware, ﬁt for ½ OF cafe\u0301s"
    pieces = [(t[0], text.encode()[t[1] : t[2]].decode()) for t in found(text)]
    assert pieces == [
        ("the", "The"),
        ("full", "Ｆｕｌｌ"),
        ("software", "soft\u00adware"),
        ("fit", "ﬁt"),
        ("for", "for"),
        ("1", "½"),
        ("2", "½"),
        ("of", "OF"),
        ("cafés", "cafe\u0301s"),
    ]
