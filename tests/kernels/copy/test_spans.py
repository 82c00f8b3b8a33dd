"""Shared spans against their definition, and against texts made to be hard."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.copy import automaton, spans
from kinprint.kernels.reference import spans as reference
from kinprint.kernels.reference import tokens as folded


def array(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def found(a: str, b: str, min_weight: int = 24) -> list[tuple[int, ...]]:
    return [tuple(row) for row in spans.shared_spans(array(a), array(b), min_weight).tolist()]


def check(a: str, b: str, rows: list[tuple[int, ...]]) -> None:
    """Whatever is listed has the same words, begins and ends with one, and is whole code points."""
    x, y = a.encode(), b.encode()
    for a_start, a_end, b_start, b_end in rows:
        one, other = (folded.tokens(piece.decode()) for piece in (x[a_start:a_end], y[b_start:b_end]))
        assert [t.text for t in one] == [t.text for t in other]
        assert one[0].begin == other[0].begin == 0
        assert (one[-1].end, other[-1].end) == (a_end - a_start, b_end - b_start)


@settings(max_examples=300, deadline=None)
@given(texts, texts, texts, texts, texts, st.sampled_from([1, 3, 6, 24]))
def test_equals_reference(common: str, a: str, b: str, c: str, d: str, min_weight: int) -> None:
    left, right = a + common + b, c + common + d
    rows = found(left, right, min_weight)
    assert rows == reference.shared_spans(left, right, min_weight)
    check(left, right, rows)


@settings(max_examples=300, deadline=None)
@given(st.text("ab ", max_size=60), st.text("ab ", max_size=60), st.sampled_from([1, 3, 6, 12]))
def test_repeats_equal_reference(a: str, b: str, min_weight: int) -> None:
    assert found(a, b, min_weight) == reference.shared_spans(a, b, min_weight)


CODES = st.lists(st.integers(0, 5), max_size=30)


@settings(max_examples=300, deadline=None)
@given(CODES, CODES, CODES, CODES)
def test_cutting_texts_down_changes_nothing(common: list[int], a: list[int], b: list[int], c: list[int]) -> None:
    """Repeats of long stretches, next to each other and with others between, in both texts."""
    for left, right in ((common + a + common + b, c + common + common), (a + common + b + a, a + common), (a, a)):
        x, y = np.array(left, np.int32), np.array(right, np.int32)
        cut, whole = automaton.both_matches(x, y), (automaton.matches_of(x, y), automaton.matches_of(y, x))
        for some, every in zip(cut, whole, strict=True):
            assert some.tolist() == every.tolist()


WORDS = st.lists(st.sampled_from(["one ", "TWO ", "three\n", "“four” ", "é", "ab", "日本語", "."]), max_size=40).map(
    "".join
)


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS, st.sampled_from([18, 24, 30]))
def test_repeats_of_stretches_equal_reference(common: str, a: str, b: str, c: str, min_weight: int) -> None:
    for left, right in ((common + a + common + b, c + common + common), (a + common + b + a, a + common), (a, a)):
        assert found(left, right, min_weight) == reference.shared_spans(left, right, min_weight)


STRETCH = (
    "It’s said that the café “by the sea” opened in spring - with one window, two doors and a view; nobody knew then "
    "how long it would last, nor who had paid for the paint, the chairs or the long table under the fig tree. "
) * 3
AROUND = "Quite another beginning. {} And then an end that the other text has not got."


def wrapped(text: str, words: int) -> str:
    some = text.split()
    return "\n".join(" ".join(some[k : k + words]) for k in range(0, len(some), words))


REFORMATTED = {
    "eight words a line": lambda text: wrapped(text, 8),
    "lines ended by CR LF": lambda text: wrapped(text, 9).replace("\n", "\r\n"),
    "straight quotes": lambda text: text.replace("’", "'").replace("“", '"').replace("”", '"'),
    "no-break spaces": lambda text: text.replace(" ", "\xa0"),
    "a list": lambda text: "- " + wrapped(text, 12).replace("\n", "\n- "),
    "emphasis": lambda text: text.replace("window", "**window**").replace("long table", "_long table_"),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "soft hyphens": lambda text: text.replace("op", "o\u00adp"),
    "upper case": str.upper,
    "zero-width spaces at line ends": lambda text: wrapped(text, 8).replace("\n", "\u200b\n"),
}


@pytest.mark.parametrize("how", REFORMATTED)
def test_a_reformatted_stretch_is_one_span(how: str) -> None:
    a, b = f"Before it. {STRETCH} After it.", AROUND.format(REFORMATTED[how](STRETCH.strip()))
    (row,) = found(a, b)
    check(a, b, [row])
    assert len(folded.tokens(a.encode()[row[0] : row[1]].decode())) >= 120
    assert a.encode()[row[0] : row[1]].decode() == STRETCH.strip(". ")


def test_spans_begin_and_end_with_words() -> None:
    a, b = "the dough went into the oven at noon", "he dough went into the oven at noonday"
    (row,) = found(a, b)
    assert a.encode()[row[0] : row[1]].decode() == "dough went into the oven at"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("👩‍👩‍👧", "👩‍👩‍👦"),  # joined
        ("🇩🇪🇫🇷", "🇩🇰🇫🇷"),  # flags
        ("กิ", "กี"),  # a base and its mark
        ("か\u3099", "か"),
    ],
)
def test_graphemes_are_not_cut(a: str, b: str) -> None:
    words = "the dough went into the oven at noon"
    for left, right in ((f"{words} {a}", f"{words} {b}"), (f"{a} {words}", f"{b} {words}")):
        (row,) = found(left, right)
        assert left.encode()[row[0] : row[1]].decode().strip("🇫🇷 ") == words
    # What only adds to a grapheme belongs to it.
    (row,) = found(f"{words} ❤\ufe0f!", f"{words} ❤ and")
    assert f"{words} ❤\ufe0f!".encode()[row[0] : row[1]].decode() == f"{words} ❤\ufe0f"


def test_a_quoted_sentence() -> None:
    quote = "the mitochondrion is the powerhouse of the cell"
    a = f"As we all know, {quote}. So there."
    b = f"Biology says: {quote}! Every textbook has it."
    (row,) = found(a, b)
    assert a.encode()[row[0] : row[1]].decode() == quote
    check(a, b, [row])


def test_a_quote_that_occurs_twice_is_found_twice() -> None:
    quote = "four score and seven years ago our fathers"
    rows = found(f"1 {quote} 2", f"a {quote} b, c {quote} d")
    assert len(rows) == 2
    assert {row[:2] for row in rows} == {(2, 2 + len(quote))}


def test_weight_of_spaceless_text() -> None:
    assert found("甲乙丙丁戊己庚辛", "x甲乙丙丁戊己庚辛y") == [(0, 24, 1, 25)]
    assert found("甲乙丙丁戊己庚", "x甲乙丙丁戊己庚y") == []


def test_rules_and_long_words_are_not_evidence() -> None:
    assert found("-" * 100, "-" * 100) == []
    assert found("Donaudampfschifffahrtsgesellschaft", "Donaudampfschifffahrtsgesellschaft") == []


def test_code_points_are_not_cut() -> None:
    # U+00E9 and U+00E8 share their first byte, U+4E00 and U+6E00 their last ones.
    a, b = "one two three four five six é", "one two three four five six è"
    (row,) = found(a, b)
    assert a.encode()[row[0] : row[1]].decode() == "one two three four five six"
    a, b = "一 one two three four five six", "渀 one two three four five six"
    (row,) = found(a, b)
    assert a.encode()[row[0] : row[1]].decode() == "one two three four five six"


@pytest.mark.parametrize("unit", ["word ", "buffalo bison ", "a", "你", "a b c "])
def test_many_repeats_stay_linear(unit: str) -> None:
    a, b = unit * 60_000, "start " + unit * 50_000 + "end"
    rows = found(a, b)
    if unit == "a":
        assert rows == []
        return
    assert max(row[1] - row[0] for row in rows) >= len((unit * 50_000).strip().encode())
    x, y = a.encode(), b.encode()
    assert all(x[r[0] : r[1]] == y[r[2] : r[3]] for r in rows[:5])


def test_many_marks_and_spaces_stay_linear() -> None:
    assert found("a" + "\u0301" * 100_000, "b" + "\u0301" * 100_000) == []
    tail = "once upon a time there was a fox"
    assert len(found(" " * 200_000 + tail, " " * 150_000 + tail)) == 1


def test_empty_texts() -> None:
    assert found("", "") == []
    assert found("one two three four five six", "") == []


def test_refuses() -> None:
    with pytest.raises(ValueError, match="uint8"):
        spans.shared_spans(np.zeros(3, np.int64), array("a"))
    with pytest.raises(ValueError, match="min_weight"):
        spans.shared_spans(array("a"), array("a"), 0)


@settings(max_examples=200, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_codepoint_offsets(text: str, random: object) -> None:
    positions = [len(text[:i].encode()) for i in range(len(text) + 1)]
    order = list(range(len(positions)))
    random.shuffle(order)  # type: ignore[attr-defined]
    given_offsets = np.array([positions[i] for i in order], np.int64)
    assert spans.codepoint_offsets(array(text), given_offsets).tolist() == order


def test_codepoint_offsets_refuses() -> None:
    with pytest.raises(ValueError, match="byte_offsets"):
        spans.codepoint_offsets(array("abc"), np.array([4]))
    assert spans.codepoint_offsets(array(""), np.array([0])).tolist() == [0]


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (spans.MIN_WORDS, spans.MIN_SPACELESS) == (3, 5)
