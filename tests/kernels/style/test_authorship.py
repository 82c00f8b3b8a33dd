"""Features of authorship against their plain-Python reference, and the linear classifiers on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.reference import authorship as reference
from kinprint.kernels.style import authorship, features

SAMPLES = [
    "",
    " \n\t\u3000\u200b",
    "a",
    "\x00",
    "nul\x00inside\x00\x00",
    "!!!",
    "42",
    "\u0301",
    "The quick brown fox doesn't jump; it WALKS over 3.14 lazy dogs... Really?! Yes.",
    "# Heading\n\n1. First item\n2. Second item\n\n- **Bold** text\n  - nested\n* star\n• bullet\n---\nDone!",
    "Sure — here’s “an answer”:\r\n\r\n```python\r\nprint('x')\r\n```\r\nHope that helps! 😊👨‍👩‍👧 🎉🎉",
    "  \n当然可以！以下是一些建议：\n\n1、**保持冷静**，但是不要放弃。\n2、多喝水……然而，这并不够。 ",
    "นี่คือข้อความภาษาไทย ไม่มีช่องว่าง ระหว่างคำ",
    "هذا نص عربي، وفيه علامات ترقيم؟ نعم ١٢٣.",
    "यह हिन्दी का एक वाक्य है। क्या यह ठीक है?",
    "Narrow\u202fno-break\u00a0spaces\tand tabs  twice   thrice\u2028line",
    "word " * 6000 + "end of it.",
    "漢" * 20_000 + "。終",
    "\n".join(f"{i}) item, number {i}!" for i in range(2500)) + "\n\n**Bye** now",
]
ALPHABET = st.one_of(
    st.sampled_from("aZé0٣ .,!?;:'’\"#*_-–—•\x00\n\r\t()[]`。，、！…।؟ \u00a0\u3000\u2028\u200d\ufe0f\u0301"),
    st.sampled_from("ABCdefghß漢字的了かなカナไทยိကિषيع한국😊🎉👩🏽🇫🇷①½"),
    st.characters(codec="utf-8"),
)
PHRASES = ["The ", "word", "Longer ", "don't", "\n", "\n\n", "- ", "1. ", "## ", "**", ". ", ", ", "。", "漢字", "的"]
TEXTS = st.lists(ALPHABET, max_size=60).map("".join) | st.lists(st.sampled_from(PHRASES), max_size=60).map("".join)


def texts_of(some: list[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


def assert_as_reference(some: list[str]) -> None:
    found = authorship.features_of(texts_of(some))
    assert found.indptr.dtype == np.int64
    assert found.indices.dtype == np.int32
    assert found.data.dtype == np.float32
    for i, text in enumerate(some):
        row = slice(int(found.indptr[i]), int(found.indptr[i + 1]))
        columns, counts = found.indices[row].tolist(), found.data[row].tolist()
        assert len(set(columns)) == len(columns)
        family = np.searchsorted(authorship.BOUNDS, columns, "right")
        assert np.all(np.diff(family) >= 0)
        assert dict(zip(columns, counts, strict=True)) == reference.features(text), text[:80]


def test_samples_as_reference() -> None:
    assert_as_reference(SAMPLES)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_as_reference(some: list[str]) -> None:
    assert_as_reference(some)


def test_no_texts_and_blank_texts_have_no_features() -> None:
    assert authorship.features_of(texts_of([])).indptr.tolist() == [0]
    assert authorship.features_of(texts_of(["", " \n", "\u200b"])).indptr.tolist() == [0, 0, 0, 0]


def test_a_long_text_counts_in_its_window_its_closing_and_its_length() -> None:
    body = "one two, three. " * 65_536
    found = authorship.features_of(texts_of([body + "The end.", body + "That is all!"]))
    a, b = (set(found.indices[found.indptr[i] : found.indptr[i + 1]].tolist()) for i in (0, 1))
    different = np.array(sorted(a ^ b))
    assert len(different)
    assert np.all((different >= authorship.BOUNDS[4]) & (different < authorship.BOUNDS[5]))
    shorter = authorship.features_of(texts_of([body[: len(body) // 4] + "The end."]))
    assert set(shorter.indices.tolist()) < a


def test_texts_do_not_depend_on_those_around_them() -> None:
    together = authorship.features_of(texts_of(SAMPLES * 3))
    rows = np.arange(len(SAMPLES), dtype=np.int64)[::-1].copy()
    alone = authorship.features_of(texts_of(SAMPLES[::-1]))
    for found, expected in zip(together.take(rows), alone, strict=True):
        assert np.array_equal(found, expected)


def test_weights_have_the_length_of_their_family() -> None:
    found = authorship.features_of(texts_of(SAMPLES[6:12]))
    weights = np.ones(authorship.DIM, np.float32)
    weights[: authorship.BOUNDS[1]] = 0.0
    scale = np.array([1, 2, 3, 4, 5, 6], np.float32)
    weighed = authorship.weigh(found, weights, scale)
    for i in range(6):
        row = slice(int(found.indptr[i]), int(found.indptr[i + 1]))
        family = np.searchsorted(authorship.BOUNDS, weighed.indices[row], "right") - 1
        for f in range(1, 6):
            if np.any(family == f):
                assert np.linalg.norm(weighed.data[row][family == f]) == pytest.approx(scale[f], rel=1e-5)
        assert not weighed.data[row][family == 0].any()


def test_document_frequencies_count_rows() -> None:
    found = authorship.features_of(texts_of(["one two", "one one", ""]))
    frequencies = authorship.document_frequencies(found)
    assert frequencies.sum() == len(found.indices)
    assert frequencies.max() == 2


@pytest.mark.parametrize("classes", [1, 3, 9])
def test_classifiers_as_reference(classes: int) -> None:
    rng = np.random.default_rng(classes)
    words = [f"w{c}x{k}" for c in range(classes) for k in range(4)]
    target = rng.integers(-1, classes, 40).astype(np.int32)
    some = [" ".join(rng.choice(words, 6)) + f" {'' if t < 0 else words[4 * t]}" for t in target]
    counts = authorship.features_of(texts_of(some))
    rows = authorship.weigh(counts, np.ones(authorship.DIM, np.float32), np.full(6, 0.4, np.float32))
    orders = np.stack([rng.permutation(40) for _ in range(8)])
    weights = authorship.separate(rows, target, classes, 2.0, orders)
    got = authorship.margins(rows, weights, classes)
    shares = authorship.shares(rows, weights, classes)
    intercept = weights[:, -1].reshape(-1)[:classes]
    np.testing.assert_allclose(shares.sum(axis=1) + intercept, got, atol=1e-4)
    used = np.unique(rows.indices)
    dense = np.zeros((40, len(used)))
    for i in range(40):
        row = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
        dense[i, np.searchsorted(used, rows.indices[row])] = rows.data[row]
    expected = reference.separate(dense, target.tolist(), classes, 2.0, orders)
    np.testing.assert_allclose(got, np.column_stack([dense, np.ones(40)]) @ expected, atol=5e-3)


def test_what_does_not_fit_is_refused() -> None:
    rows = authorship.features_of(texts_of(["one two"]))
    with pytest.raises(ValueError, match="weights"):
        authorship.weigh(rows, np.ones(3, np.float32), np.ones(6, np.float32))
    with pytest.raises(ValueError, match="target"):
        authorship.separate(rows, np.zeros(2, np.int32), 1, 1.0, np.zeros((1, 1), np.int64))
    with pytest.raises(ValueError, match="orders"):
        authorship.separate(rows, np.zeros(1, np.int32), 1, 1.0, np.full((1, 1), 7))
    with pytest.raises(ValueError, match="classes"):
        authorship.margins(rows, np.zeros((1, authorship.DIM + 1, 8), np.float32), 9)
    with pytest.raises(IndexError):
        rows.take(np.array([1]))


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert features.FAMILIES == ("characters", "words", "masked", "punctuation", "edges", "rhythm")
    assert features.BITS == (17, 17, 16, 15, 14, 8)
    assert authorship.BOUNDS == (0, 131_072, 262_144, 327_680, 360_448, 376_832, 377_088)
    assert authorship.DIM == 377_088
    assert (features.WINDOW, features.TAIL, features.OPENING, features.CLOSING) == (16_384, 256, 8, 6)
    assert (features.SCHEME, features.VERSION) == ("authorship", 1)
