"""Tokens over Arrow buffers, against the same in plain Python."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.embed import tokens, vocabulary
from kinprint.kernels.reference.unigram import Tokenizer

REPLACED = {
    **dict.fromkeys("\t\n\r\u00a0", " "),
    "\x01": "",
    "ﬁ": "fi",
    "½": "1/2",
    "\ufdfa": "long and wide",
    "\u00a8": " \u0308",
    "e\u0301": "é",
    "A\u030a": "Å",
}
CONTROLS = "\t\n\r\x01"
JOINS = "\u0301\u030a\u0308\u200d"
PIECES = [
    "<unk>",
    "<s>",
    "\u2581",
    *"abcdefghijklmno/12éÅ中文世界\U0001f600",
    "\u2581a",
    "ab",
    "abc",
    "bc",
    "\u2581abc",
    "中文",
    "fi",
    "cc",
]
SCORES = [0.0, 0.0, *(-2.0 - 0.25 * (k % 7) for k in range(len(PIECES) - 2))]
REFERENCE = Tokenizer(PIECES, SCORES, 0, 10.0, {"<s>": 1}, REPLACED, JOINS, CONTROLS)
TEXTS = st.lists(
    st.sampled_from(
        [
            *"aabbccefg \n\u00a0\x01ﬁ½\ufdfa\u00a8\u0301\u030aAÅé中文世z\U0001f600",
            "e\u0301",
            "<s>",
            "<",
            "abc",
            " ab ",
            "q" * 30,
        ]
    ),
    max_size=40,
).map("".join)


def made() -> vocabulary.Vocabulary:
    flags = np.zeros(0x110000, np.uint8)
    flags[[ord(c) for c in JOINS]] = vocabulary.JOINS
    flags[[ord(c) for c in CONTROLS]] = vocabulary.CONTROL
    characters = vocabulary.characters(
        flags,
        {ord(k): v.encode() for k, v in REPLACED.items() if len(k) == 1},
        {(ord(k[0]), ord(k[1])): v.encode() for k, v in REPLACED.items() if len(k) == 2},
    )
    return vocabulary.vocabulary([p.encode() for p in PIECES], np.array(SCORES), 0, 10.0, [b"<s>"], characters)


VOCABULARY = made()
CACHES = tokens.Caches()


def encode(texts: list[str]) -> list[list[int]]:
    """Ids of texts, with those of the regions by the reference."""
    data, offsets = from_texts(texts)
    found = tokens.encode(Texts.from_offsets(data, offsets), VOCABULARY, CACHES)
    regions = [data[offsets[row] + a : offsets[row] + b].tobytes().decode() for row, a, b, _ in found.regions.tolist()]
    more = [REFERENCE.tokenise(region) for region in regions]
    flat = np.array([number for ids in more for number in ids], np.int32)
    ids, starts = tokens.splice(found, flat, np.cumsum([0, *map(len, more)], dtype=np.int64))
    return [ids[a:b].tolist() for a, b in pairwise(starts)]


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXTS, max_size=5))
def test_any_texts(texts: list[str]) -> None:
    assert encode(texts) == [REFERENCE.tokenise(text) for text in texts]


def test_what_goes_to_the_library() -> None:
    data, offsets = from_texts(["a <s> b", "ab cc", "a\u00a0 <s>c d<s>  "])
    found = tokens.encode(Texts.from_offsets(data, offsets), VOCABULARY, CACHES)
    assert found.regions.tolist() == [[0, 1, 5, 1], [2, 0, 8, 0], [2, 8, 13, 0]]


def test_many_texts_on_several_threads() -> None:
    texts = [f"abc {'ab' * (k % 40)} 中文{k} <s>a" * (k % 3) for k in range(1000)]
    assert encode(texts) == [REFERENCE.tokenise(text) for text in texts]


def test_long_word_is_split_as_a_whole() -> None:
    (ids,) = encode(["abc" * 100_000])
    assert (
        ids == [PIECES.index("\u2581abc")] + ids[1:2] * 99_999 if ids[1] == PIECES.index("abc") else len(ids) > 99_999
    )


def test_repeated_pieces_and_equal_scores() -> None:
    characters = vocabulary.characters(np.zeros(0x110000, np.uint8), {}, {})
    pieces = ["<unk>", "\u2581", "a", "aa", "a", ""]
    again = vocabulary.vocabulary(
        [p.encode() for p in pieces], np.array([0.0, 0, -1, -2, -1, -5]), 0, 10.0, [], characters
    )
    found = tokens.encode(Texts.from_offsets(*from_texts(["aaa", ""])), again, tokens.Caches())
    assert found.ids.tolist() == Tokenizer(pieces[:5], [0.0, 0, -1, -2, -1], 0, 10.0).tokenise("aaa")
    assert found.offsets.tolist() == [0, len(found.ids), len(found.ids)]


def test_bytes_that_are_no_text_stay_in_bounds() -> None:
    rng = np.random.default_rng(5)
    for size in range(200):
        data = rng.integers(0, 256, size, np.uint8)
        found = tokens.encode(Texts.from_offsets(data, np.array([0, size])), VOCABULARY, CACHES)
        assert len(found.ids) <= 20 * size + 1


@pytest.mark.parametrize(
    ("scores", "unknown"), [([0.0], 0), ([0.0, math.nan], 0), ([0.0, math.inf], 0), ([0.0, 1.0], 2)]
)
def test_no_vocabulary(scores: list[float], unknown: int) -> None:
    characters = vocabulary.characters(np.zeros(0x110000, np.uint8), {}, {})
    with pytest.raises(ValueError, match="finite"):
        vocabulary.vocabulary([b"a", b"b"], np.array(scores), unknown, 10.0, [], characters)


def test_no_characters() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        vocabulary.characters(np.zeros(0x110000, np.uint8), {65: b"a" * 256}, {})
