"""Sentences of texts in memory, against the same in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.embed.sentences import CLOSERS, FULL_TERMINATORS, MARKUP, MOST, SHORTEST, TERMINATORS, sentences
from kinprint.kernels.reference import sentences as reference

CASES = (
    "",
    " \n\t ",
    "One sentence only",
    'He said "stop." Then he left. And so on...',
    "1. First thing to do\n2. Second thing\n\nAnd the rest. ok",
    "e.g. this one is cut. But vs. that one is not",
    "这是第一句。这是第二句！还有第三句？好的。」完",
    "Что это такое? Это предложение. и это нет.",
    "Wait?!... What (really?) *yes.* no",
    "a. b. c. d. Tail",
    "....... .)).)).)) x. Y",
    "Ends here.\u3000次の文です。",
    "Odd\x1cspace.\x1dThen\u2028more. \u00aah ok. Then",
    "Long enough one. \U0001d7cb end. \U0001f600 And",
)
PARTS = st.sampled_from(
    [
        *"abAB  \n\n.!?…。！？｡)*_\"'»」؟।\t\r\x1c\x85\u2028\u3000é\u00aaß中и\u0301\U0001d41a\U0001f600\U00020000",
        ". ",
        "word ",
        "Longer ",
    ]
)


def check(texts: list[str], most: int) -> None:
    data, offsets = from_texts(texts)
    made = sentences(Texts.from_offsets(data, offsets), most)
    whole = data.tobytes()
    for i, text in enumerate(texts):
        rows = slice(made.starts[i], made.starts[i + 1])
        expected = reference.grouped_spans(text, most)
        assert list(map(tuple, made.points[rows].tolist())) == expected
        pieces = [whole[offsets[i] + a : offsets[i] + b].decode() for a, b in made.spans[rows].tolist()]
        assert pieces == [text[a:b] for a, b in expected]


def test_cases() -> None:
    for most in (64, 1, 2, 3):
        check(list(CASES), most)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.one_of(st.lists(PARTS, max_size=60).map("".join), st.text(max_size=40)), max_size=5), st.integers(1, 9)
)
def test_any_texts(texts: list[str], most: int) -> None:
    check(texts, most)


@pytest.mark.parametrize("unit", [".", ".)", "a", "。", "Sentence one. ", "\n", ". ", "x.\n", "!?)) "])
def test_long_texts_take_linear_time(unit: str) -> None:
    text = unit * (400_000 // len(unit))
    made = sentences(Texts.from_offsets(*from_texts([text])))
    assert list(map(tuple, made.points.tolist())) == reference.grouped_spans(text)


def test_many_texts_on_several_threads() -> None:
    check([f"{case} Number {number}. " * (number % 5) for number in range(400) for case in CASES[2:5]], 8)


def test_none_at_most() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        sentences(Texts.from_offsets(*from_texts(["text"])), 0)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (MOST, SHORTEST, MARKUP) == (64, 5, "*_")
    assert FULL_TERMINATORS == "。！？｡"
    assert TERMINATORS == ".!?…؟۔।"
    assert CLOSERS == "\"'’“”»›)]」』）"
