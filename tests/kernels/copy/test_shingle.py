"""Shingle sets and text hashes against their definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import unicodedata2  # type: ignore[import-not-found]
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import from_texts
from kinprint.kernels.copy import shingle
from kinprint.kernels.reference import shingle as reference
from kinprint.kernels.spread import set_threads


def sets(*given_texts: str) -> list[set[int]]:
    hashes, indptr, _ = shingle.shingle_sets(*from_texts(given_texts))
    return [set(hashes[a:b].tolist()) for a, b in pairwise(indptr)]


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, max_size=4))
def test_equals_reference(many: list[str]) -> None:
    layout = from_texts(many)
    hashes, indptr, flags = shingle.shingle_sets(*layout)
    whole = shingle.text_hashes(*layout)
    for i, text in enumerate(many):
        expected, expected_flags = reference.shingle_set(text)
        assert hashes[indptr[i] : indptr[i + 1]].tolist() == sorted(expected)
        assert flags[i] == expected_flags
        assert tuple(whole[i].tolist()) == reference.text_hash(text)


@pytest.mark.parametrize("word", ["a", "abcdefgh", "abcdefghi", "é", "привет", "x" * 16, "y" * 17, "é" * 40])
def test_words_at_every_place_of_a_block(word: str) -> None:
    given_texts = [f"{'z' * n} {word} {word}s {word}" for n in range(150)]
    assert sets(*given_texts) == [reference.shingle_set(text)[0] for text in given_texts]


@pytest.mark.parametrize("unit", ["你", "ก็", "é", "😀", "a\u0323"])
def test_code_points_across_the_edges_of_blocks(unit: str) -> None:
    given_texts = ["." * n + unit * 30 + " end of text" for n in range(70)]
    assert sets(*given_texts) == [reference.shingle_set(text)[0] for text in given_texts]


def test_what_does_not_matter() -> None:
    base = "The café is open, said Anna. Très bien!"
    for other in (
        base.upper(),
        unicodedata2.normalize("NFD", base),
        base.replace(" ", "\r\n"),
        base.replace(" ", "\xa0"),
        base.replace(" ", "\u3000\t"),
        base.replace("café", "ca\u00adf\u200dé"),
        f"\n {base} ",
    ):
        assert sets(base) == sets(other), other
        assert np.array_equal(shingle.text_hashes(*from_texts([base])), shingle.text_hashes(*from_texts([other])))


def test_punctuation_matters_to_the_exact_tier_only() -> None:
    base, other = "one, two three four", "one two three - four!"
    assert sets(base) == sets(other)
    hashes = shingle.text_hashes(*from_texts([base, other]))
    assert not np.array_equal(hashes[0], hashes[1])


def test_spaces_between_spaceless_letters_do_not_matter() -> None:
    assert sets("今天天气很好我们") == sets("今天 天气，\n很好 abc 我们")


def test_number_of_shingles() -> None:
    given_texts = ["a b c d", "a b c", "a b", "你好世界人类", "你好世界人", "你好", "!!!", "", " \u200b\n", "\u0301"]
    assert [len(s) for s in sets(*given_texts)] == [2, 1, 1, 2, 1, 1, 1, 0, 0, 1]


def test_flags() -> None:
    _, _, flags = shingle.shingle_sets(*from_texts(["a b c", "a b", "!!!", "", "\u3000\u200b", "你好世界"]))
    assert flags.tolist() == [0, 2, 2, 1, 1, 2]


def test_whole_text_shingles_differ() -> None:
    given_texts = ["a", "b", "a b", "b a", "ab", "你", "你好", "a 你", "!", "!!", "b !", "ก", "a a"]
    (_, *_), every = given_texts, [next(iter(s)) for s in sets(*given_texts)]
    assert every[1] == every[10]  # punctuation only separates
    assert len(set(every)) == len(given_texts) - 1


def test_domains_differ() -> None:
    words, letters = sets("a b c d e", "你好世界人")
    assert not words & letters


def test_long_text_beyond_the_first_buffers() -> None:
    text = " ".join(f"w{i}" for i in range(20_000)) + "你好世界" * 3000
    assert sets("a", text, "b c d") == [reference.shingle_set(t)[0] for t in ("a", text, "b c d")]


def test_threads_make_no_difference() -> None:
    layout = from_texts([f"text number {i} of {i % 7} and more" * (i % 5) for i in range(500)])
    one_by_one = []
    try:
        for threads in (1, 3):
            set_threads(threads)
            one_by_one.append(shingle.shingle_sets(*layout))
    finally:
        set_threads(None)
    for result in one_by_one[1:]:
        for k in range(3):
            assert np.array_equal(one_by_one[0][k], result[k])


def test_no_texts() -> None:
    hashes, indptr, flags = shingle.shingle_sets(np.empty(0, np.uint8), np.zeros(1, np.int64))
    assert (hashes.size, indptr.tolist(), flags.size) == (0, [0], 0)
    assert shingle.text_hashes(np.empty(0, np.uint8), np.zeros(1, np.int64)).shape == (0, 2)


def test_hashes_are_well_mixed() -> None:
    hashes, _, _ = shingle.shingle_sets(
        *from_texts([" ".join(f"w{i}" for i in range(20_000)), "".join(map(chr, range(0x4E00, 0x8E00)))])
    )
    assert np.unique(hashes).size == hashes.size == 20_000 - 2 + 0x4000 - 4
    bits = (hashes[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(hashes.size)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (shingle.BLANK, shingle.WHOLE_TEXT) == (1, 2)
    assert shingle.SHINGLINGS == ("w3c5", "c5")
