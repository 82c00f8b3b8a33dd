"""What two spellings of the same words differ in."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.copy import spans
from kinprint.kernels.copy.differences import ALL, CASE, DIFFERENCES, PUNCTUATION, UNICODE_FORM, WHITE_SPACE
from kinprint.kernels.reference import differences as reference
from kinprint.kernels.reference.tokens import tokens

TEXT = "The dough “rose” slowly, then Émile’s café opened: one window, two doors - and a fine view of the harbour."


def array(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TEXT, 0),
        (TEXT.replace(" ", "\n", 3), WHITE_SPACE),
        (TEXT.replace(" ", "  ", 3), WHITE_SPACE),
        (TEXT.replace(" ", "\xa0"), WHITE_SPACE),
        (TEXT.replace(" ", "\r\n"), WHITE_SPACE),
        (TEXT.replace(", ", " ,"), WHITE_SPACE),
        (TEXT.upper(), CASE),
        (TEXT.lower(), CASE),
        (TEXT.replace("“", '"').replace("”", '"').replace("’", "'"), PUNCTUATION),
        (TEXT.replace("rose", "**rose**"), PUNCTUATION),
        (TEXT.replace("fine", "_fine_"), PUNCTUATION),
        (TEXT.replace("slowly, then", "slowly,\n- then"), WHITE_SPACE | PUNCTUATION),
        (unicodedata.normalize("NFD", TEXT), UNICODE_FORM),
        (unicodedata.normalize("NFD", TEXT.upper()), CASE | UNICODE_FORM),
        (TEXT.replace("harb", "har\u00adb"), UNICODE_FORM),
        (TEXT.replace(" ", " \u200b"), UNICODE_FORM),
        (TEXT.replace(":", "："), UNICODE_FORM),
        (TEXT.replace("fine", "ﬁne"), UNICODE_FORM),
        (TEXT.replace("one", "ｏｎｅ"), UNICODE_FORM),
        (TEXT.upper().replace("CAFÉ", "cafe\u0301 ").replace("-", "—"), ALL),
    ],
)
def test_each_kind_by_itself_and_together(other: str, expected: int) -> None:
    a, b = array(TEXT), array(other)
    found = spans.shared_spans(a, b)
    assert len(found) == 1, [TEXT.encode()[s:e].decode() for s, e, *_ in found]
    assert spans.differences(a, b, found).tolist() == [expected]
    assert spans.differences(b, a, found[:, [2, 3, 0, 1]]).tolist() == [expected]


def test_names() -> None:
    bits = {"white space": WHITE_SPACE, "case": CASE, "punctuation": PUNCTUATION, "Unicode form": UNICODE_FORM}
    assert bits == {name: 1 << k for k, name in enumerate(DIFFERENCES)}


CHANGES = {
    " ": [" ", "\n", "\xa0", " \u200b", " - ", "\t "],
    "e": ["e", "E", "e\u00ad", "é", "ｅ"],
    "s": ["s", "S", "ſ"],
    "ß": ["ß", "SS", "ẞ", "ss"],
    ",": [",", "，", ";", "", "…", "..."],
    "f": ["f", "F", "\U0001d41f"],
    "ü": ["ü", "u\u0308", "Ü", "U\u0308"],
}


@settings(max_examples=200, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_equals_reference(text: str, random: object) -> None:
    text = f"so, the fünf großen Füße were {text} left, said she, for ever"
    other = "".join(random.choice(CHANGES.get(c, [c])) for c in text)  # type: ignore[attr-defined]
    a, b = array(text), array(other)
    found = spans.shared_spans(a, b, 1)
    x, y = tokens(text), tokens(other)
    expected = []
    for begin, end, begin_b, end_b in found.tolist():
        some = [
            [t for t in row if low <= t.begin and t.end <= high]
            for row, low, high in ((x, begin, end), (y, begin_b, end_b))
        ]
        expected.append(reference.differences(text, some[0], other, some[1]))
    assert spans.differences(a, b, found).tolist() == expected


def test_refuses() -> None:
    a = array("one two three four five six seven")
    with pytest.raises(ValueError, match="int64"):
        spans.differences(a, a, np.zeros((1, 3), np.int64))
    with pytest.raises(ValueError, match="shared"):
        spans.differences(a, a, np.array([[0, 5, 0, 5]]))
