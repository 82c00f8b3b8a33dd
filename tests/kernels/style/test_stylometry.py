"""Style vectors against their plain-Python reference, and the properties that comparison relies on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.reference import stylometry as reference
from kinprint.kernels.style import stylometry, tokens
from numpy.typing import NDArray

SAMPLES = [
    "",
    " \n\t\u3000\u200b",
    "a",
    "!!!",
    "42",
    "\u0301",
    "The quick brown fox doesn't jump; it WALKS over 3.14 lazy dogs... Really?! Yes.",
    "# Heading\n\n1. First item\n2. Second item\n\n- **Bold** text\n  - nested\n* star\n• bullet\n---\nDone!",
    "Sure — here's “an answer”:\r\n\r\n```python\r\nprint('x')\r\n```\r\nHope that helps! 😊👨‍👩‍👧 🎉🎉",
    "当然可以！以下是一些建议：\n\n1、**保持冷静**，但是不要放弃。\n2、多喝水……然而，这并不够。",
    "นี่คือข้อความภาษาไทย ไม่มีช่องว่าง ระหว่างคำ",
    "यह हिन्दी का एक वाक्य है। क्या यह ठीक है?",
    "هذا نص عربي، وفيه علامات ترقيم؟ نعم.",
    "これは日本語の文章です。カタカナもあります！",
    "Narrow\u202fno-break\u00a0spaces\tand tabs  twice   thrice\u2028line",
    "word " * 3000 + "end of it.",
    "\n".join(f"{i}) item, number {i}!" for i in range(700)) + "\n\n**Bye** now",
    " " * 9000 + "late start" + " " * 9000,
    "漢" * 5000 + "。終",
]

ALPHABET = st.one_of(
    st.sampled_from("aZé0٣ .,!?;:'’\"#*_-–—•●\n\r\t()[]`。，、！？…।؟ \u00a0\u202f\u3000\u2028\u200d\ufe0f\u0301"),
    st.sampled_from("ABCdefghß漢字的了かなカナไทยิ้မြकिषيع한국😊🎉👩🏽🇫🇷①½"),
    st.characters(codec="utf-8"),
)
PHRASES = [
    "The ",
    "word",
    "Longer ",
    "WORDS ",
    "don't",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "## ",
    "**",
    ". ",
    ", ",
    "? ",
]
PHRASES += ["。", "漢字", "的"]
TEXTS = st.lists(ALPHABET, max_size=60).map("".join) | st.lists(st.sampled_from(PHRASES), max_size=60).map("".join)


def arrow(texts: list[str], start: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts in Arrow's layout, ``start`` bytes of something else before them."""
    encoded = [b"\xff" * start, *(text.encode() for text in texts)]
    offsets = np.cumsum([len(e) for e in encoded]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def vectors(texts: list[str]) -> NDArray[np.int8]:
    return stylometry.style_vectors(*arrow(texts))


def assert_as_reference(texts: list[str]) -> None:
    data, offsets = arrow(texts, 3)
    got = stylometry.style_vectors(data, offsets)
    read = stylometry.traits(data, offsets)
    for i, text in enumerate(texts):
        assert got[i].tolist() == reference.style_vector(text), text[:80]
        np.testing.assert_allclose(read[i], reference.traits(text), rtol=1e-5, err_msg=text[:80])


def test_samples_equal_the_reference() -> None:
    assert_as_reference(SAMPLES)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_any_text_equals_the_reference(texts: list[str]) -> None:
    assert_as_reference(texts)


@settings(max_examples=15, deadline=None)
@given(TEXTS, st.integers(4085, 4105), st.integers(0, 300))
def test_both_sides_of_the_window_equal_the_reference(text: str, before: int, after: int) -> None:
    assert_as_reference([("ab c, " * 700)[:before] + text + "x" * after + text])


def test_half_octave_classes() -> None:
    half_octave: Callable[[int], int] = tokens.half_octave.py_func  # type: ignore[attr-defined]
    got = [int(half_octave(x)) for x in range(1, 3000)]
    assert got == [reference.half_octave(x) for x in range(1, 3000)]


def test_golden_vectors() -> None:
    """A change of any bit needs a new VERSION: stored vectors would no longer compare."""
    digest = hashlib.sha256(vectors(SAMPLES).tobytes()).hexdigest()
    assert (stylometry.SCHEME, stylometry.VERSION) == ("style512", 1)
    assert digest == "30b02c7551b06c88ad96ea204d2edd3928fca2097c23d00aceda29ea340f1728"


def test_no_texts() -> None:
    data, offsets = arrow([])
    assert stylometry.style_vectors(data, offsets).shape == (0, stylometry.DIM)
    assert stylometry.traits(data, offsets).shape == (0, len(stylometry.TRAITS))
    empty = np.empty((0, stylometry.DIM), np.int8)
    mean, inv_std = stylometry.scaler(stylometry.stats(empty))
    assert stylometry.scores(vectors(["x"])[0], empty, mean, inv_std).shape == (0,)


def test_writable_and_read_only_arrays_agree() -> None:
    data, offsets = arrow(SAMPLES)
    frozen = offsets.copy()
    frozen.flags.writeable = False
    assert np.array_equal(stylometry.style_vectors(data.copy(), offsets), stylometry.style_vectors(data, frozen))


def test_a_vector_does_not_depend_on_its_neighbours() -> None:
    together = vectors(SAMPLES * 3)
    for i, text in enumerate(SAMPLES):
        alone = vectors([text])[0]
        assert np.array_equal(together[i], alone)
        assert np.array_equal(together[i + 2 * len(SAMPLES)], alone)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.text(" \n\r\t\u3000\u200b", max_size=5))
def test_white_space_around_a_text_does_not_count(text: str, blank: str) -> None:
    assert np.array_equal(*vectors([text, blank + text + blank]))


def test_line_ends_of_any_system_are_one() -> None:
    text = "One, two.\n\nThree:\n- four\n"
    assert np.array_equal(*vectors([text, text.replace("\n", "\r\n")]))


def test_families_have_unit_length() -> None:
    got = vectors(["Well, this is it: a text of some length, with a few marks. And an end!"]).astype(float)
    for name, part in stylometry.SLICES.items():
        expected = stylometry.SCALE * (2.0 if name == "rhythm" else 1.0)  # four histograms of unit length
        assert np.linalg.norm(got[0, part]) == pytest.approx(expected, rel=0.05)


def test_length_does_not_rule() -> None:
    text = "However, it is not so. But we may see, in time, what comes of it!\n\n"
    one, many = vectors([text * 4, text * 40]).astype(float)
    assert one @ many / np.linalg.norm(one) / np.linalg.norm(many) > 0.97


def test_the_closing_is_read_from_the_end_of_a_long_text() -> None:
    body = "word and " * 2000
    a, b = vectors([body + "end.", body + "end! 😊"])
    edges = stylometry.SLICES["edges"]
    assert not np.array_equal(a[edges], b[edges])
    a[edges] = b[edges]
    assert np.array_equal(a, b)


ROWS = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.booleans()), min_size=1, max_size=12)


def random_vectors(rows: list[tuple[int, bool]]) -> NDArray[np.int8]:
    out = np.zeros((len(rows), stylometry.DIM), np.int8)
    for i, (seed, blank) in enumerate(rows):
        if not blank:
            out[i] = np.random.default_rng(seed).integers(-127, 128, stylometry.DIM)
    return out


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 12))
def test_stats_merge_in_any_order(rows: list[tuple[int, bool]], cut: int) -> None:
    matrix = random_vectors(rows)
    whole = stylometry.stats(matrix)
    for a, b in ((matrix[:cut], matrix[cut:]), (matrix[cut:], matrix[:cut])):
        merged = stylometry.merge(stylometry.stats(a.copy()), stylometry.stats(b.copy()))
        assert merged.count == whole.count
        assert np.array_equal(merged.total, whole.total)
        assert np.array_equal(merged.squares, whole.squares)
    kept = matrix[matrix.any(axis=1)].astype(np.int64)
    assert whole.count == len(kept)
    assert np.array_equal(whole.total, kept.sum(0))
    assert np.array_equal(whole.squares, (kept**2).sum(0))


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_scores_equal_the_reference(rows: list[tuple[int, bool]]) -> None:
    matrix = random_vectors(rows)
    mean, inv_std = stylometry.scaler(stylometry.stats(matrix))
    for query in matrix[:3]:
        got = stylometry.scores(query, matrix, mean, inv_std)
        expected = [reference.score(query.tolist(), row.tolist(), mean.tolist(), inv_std.tolist()) for row in matrix]
        np.testing.assert_allclose(got, expected, atol=2e-5)
        assert np.all(np.abs(got) <= 1)
        order = np.arange(len(matrix), dtype=np.int64)[::-1].copy()
        picked = stylometry.scores_at(query, matrix, order, mean, inv_std)
        np.testing.assert_allclose(picked, got[order], atol=1e-6)
        for i, row in enumerate(matrix):
            parts = stylometry.contributions(query, row, mean, inv_std)
            assert parts.shape == (len(stylometry.FAMILIES),)
            assert parts.sum() == pytest.approx(got[i], abs=1e-5)


def test_blank_scores_zero_and_self_scores_one() -> None:
    matrix = vectors(SAMPLES)
    mean, inv_std = stylometry.scaler(stylometry.stats(matrix))
    for i, query in enumerate(matrix):
        got = stylometry.scores(query, matrix, mean, inv_std)
        assert got[0] == got[1] == 0
        assert got[i] == pytest.approx(1.0 if query.any() else 0.0, abs=1e-5)


def test_scaler_moves_from_the_prior_to_the_corpus() -> None:
    neutral = np.repeat([127 / 8, 127 / 16, 127 / 8], [128, 256, 128])
    mean, inv_std = stylometry.scaler(stylometry.stats(np.zeros((1, 512), np.int8)))
    assert not mean.any()
    np.testing.assert_allclose(1 / inv_std, neutral, rtol=1e-6)
    matrix = np.random.default_rng(5).integers(-40, 41, (30, 512)).astype(np.int8)
    mean, inv_std = stylometry.scaler(stylometry.stats(matrix))
    np.testing.assert_allclose(mean, matrix.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(1 / inv_std, np.maximum(matrix.std(0), neutral / 4), rtol=1e-5)
    half_mean, _ = stylometry.scaler(stylometry.stats(matrix[:15].copy()))
    np.testing.assert_allclose(half_mean, matrix[:15].mean(0) / 2, rtol=1e-5, atol=1e-6)
    still = np.full((50, 512), 7, np.int8)
    np.testing.assert_allclose(1 / stylometry.scaler(stylometry.stats(still))[1], neutral / 4, rtol=1e-6)


def test_traits_of_a_known_text() -> None:
    text = "# Title\n\nHello, world! Is it so? Yes — yes.\n\n- **Bold** one 😊\n2. two\n"
    got = dict(zip(stylometry.TRAITS, stylometry.traits(*arrow([text]))[0].tolist(), strict=True))
    words = 12  # Title Hello world Is it so Yes yes Bold one 2 two
    assert got["commas_per_100_words"] == pytest.approx(100 / words)
    assert got["exclamation_marks_per_100_words"] == pytest.approx(100 / words)
    assert got["question_marks_per_100_words"] == pytest.approx(100 / words)
    assert got["em_dashes_per_100_words"] == pytest.approx(100 / words)
    assert got["emoji_per_100_words"] == pytest.approx(100 / words)
    assert got["list_items_per_100_words"] == pytest.approx(200 / words)
    assert got["bold_spans_per_100_words"] == pytest.approx(100 / words)
    assert got["headings_per_100_words"] == pytest.approx(100 / words)
    assert got["type_token_ratio"] == 1.0
    # Title | Hello world | Is it so | Yes yes | Bold one | 2 | two
    assert got["words_per_sentence"] == pytest.approx(words / 7)


def test_one_writer_is_told_from_another() -> None:
    """Three invented habits on three topics each: the nearest other text shares the habit, not the topic."""
    topics = [
        ["rivers", "water", "valleys", "rain"],
        ["engines", "pistons", "fuel", "gears"],
        ["poems", "verses", "rhyme", "metre"],
    ]
    texts = []
    for a, b, c, d in topics:
        texts.append(f"Sure! Here's a list:\n\n- **{a}**: about {b}\n- **{c}**: about {d}\n\nHope that helps! 😊")
        texts.append(f"Well, {a} are, as it happens, like {b}; and {c}, though rarely, like {d}; so it goes.")
        texts.append(f"{a.upper()}. {b.upper()}. Why? {c.upper()}. And {d.upper()}. What then? Nothing.")
    matrix = vectors(texts)
    mean, inv_std = stylometry.scaler(stylometry.stats(matrix))
    for i, query in enumerate(matrix):
        got = stylometry.scores(query, matrix, mean, inv_std)
        got[i] = -2
        assert int(got.argmax()) % 3 == i % 3


def test_wrong_arguments_are_refused() -> None:
    data, offsets = arrow(["text"])
    matrix = vectors(["text"])
    mean, inv_std = stylometry.scaler(stylometry.stats(matrix))
    with pytest.raises(ValueError, match="offsets"):
        stylometry.style_vectors(data, np.array([0, 9], np.int64))
    with pytest.raises(ValueError, match="data"):
        stylometry.traits(data.astype(np.int8), offsets)
    with pytest.raises(ValueError, match="vectors"):
        stylometry.stats(matrix[:, :100])
    with pytest.raises(ValueError, match="query"):
        stylometry.scores(matrix[0, :9], matrix, mean, inv_std)
    with pytest.raises(ValueError, match="inv_std"):
        stylometry.scores(matrix[0], matrix, mean, inv_std.astype(np.float64))
    with pytest.raises(IndexError):
        stylometry.scores_at(matrix[0], matrix, np.array([1], np.int64), mean, inv_std)
    with pytest.raises(IndexError):
        stylometry.scores_at(matrix[0], matrix, np.array([-1], np.int64), mean, inv_std)
