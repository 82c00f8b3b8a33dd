"""Seeds and their index, against their definition, and what winnowing promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from copy_texts import PIECES, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import seeds, shingle
from kinprint.kernels.reference import seeds as reference
from kinprint.kernels.spread import set_threads

FEW_WORDS = st.lists(st.sampled_from(["a", "b", "c", "的", "是", "."]), max_size=60).map(" ".join)
"""Texts with many repeated shingles."""
NUMBERS = st.lists(st.integers(0, 5) | st.integers(0, 2**64 - 1), max_size=60)
SCRIPTS = {
    "Latin": "abcdefghijklmnopqrstuvwxyzäöüß",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Devanagari": "कखगघचछजझटठडढणतथदधनपफबभमयरलव",
}
SPACELESS_SCRIPTS = {
    "Chinese": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏",
    "Japanese": "あいうえおかきくけこさしすせそアイウエオ日本語",
    "Thai": "กขคงจฉชซญฎฏฐณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
    "emoji": "😀😁😂🤣😃😄😅😆😉😊😋😎😍😘🥰🔥💧🌍🌲🚗",
}


@contextmanager
def threads(count: int) -> Iterator[None]:
    set_threads(count)
    try:
        yield
    finally:
        set_threads(None)


def indexed(some: list[str]) -> seeds.SeedIndex:
    return seeds.build(Texts.from_offsets(*from_texts(some)))


def met(index: seeds.SeedIndex, wanted: str) -> list[tuple[int, int]]:
    ids, counts = seeds.query(index, shingle.shingle_sets(*from_texts([wanted]))[0])
    assert (ids.dtype, counts.dtype) == (np.int32, np.uint32)
    return list(zip(ids.tolist(), counts.tolist(), strict=True))


def keys_of(index: seeds.SeedIndex) -> list[set[int]]:
    """Keys of every text; none comes twice, and keys and texts are in order."""
    postings = list(zip(index.keys.tolist(), index.ids.tolist(), strict=True))
    assert postings == sorted(set(postings))
    return [{key for key, text in postings if text == i} for i in range(index.texts)]


@settings(deadline=None)
@given(NUMBERS, st.integers(1, 8))
def test_winnowing_equals_reference(hashes: list[int], window: int) -> None:
    rows = np.array([7, *hashes, 0], np.uint64)  # what lies around it takes no part
    chosen = np.empty(len(rows), np.int32)
    count = seeds.winnow(rows, 1, len(rows) - 1, window, chosen)
    assert (chosen[:count] - 1).tolist() == reference.winnowed(hashes, window)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts | FEW_WORDS, max_size=8), texts | FEW_WORDS)
def test_equals_reference(stored: list[str], wanted: str) -> None:
    index = indexed(stored)
    assert keys_of(index) == [reference.seeds(text) for text in stored]
    assert (np.diff(index.starts) >= 0).all()
    assert (index.starts[0], index.starts[-1], index.texts) == (0, len(index.keys), len(stored))
    for text in (wanted, *stored):
        assert met(index, text) == reference.query(stored, text)


@settings(max_examples=100, deadline=None)
@given(texts, texts, texts, texts, st.sampled_from([*SCRIPTS, *SPACELESS_SCRIPTS]), st.data())
def test_a_shared_run_shares_a_seed(a: str, b: str, c: str, d: str, script: str, draw: st.DataObject) -> None:
    """Eight words or ten spaceless code points, whatever stands around them."""
    if script in SCRIPTS:
        word = st.text(SCRIPTS[script], min_size=1, max_size=12)
        run = " " + " ".join(draw.draw(st.lists(word, min_size=8, max_size=8))) + " "
    else:
        # Symbols that fold, or marks and joiners around the run, could change what it consists of.
        run = draw.draw(st.text(SPACELESS_SCRIPTS[script], min_size=10, max_size=10))
        a, b, c, d = (f"{text} . " if k % 2 == 0 else f" . {text}" for k, text in enumerate((a, b, c, d)))
    wanted, stored = a + run + b, c + run + d
    assert any(i == 1 for i, _ in met(indexed(["something else altogether", stored]), wanted))


@pytest.mark.parametrize("script", [*SCRIPTS, *SPACELESS_SCRIPTS])
def test_a_fragment_finds_a_long_text_among_many(script: str) -> None:
    chance = random.Random(4)
    letters = {**SCRIPTS, **SPACELESS_SCRIPTS}[script]
    spaceless = script in SPACELESS_SCRIPTS
    words = [*letters] if spaceless else ["".join(chance.choices(letters, k=chance.randint(3, 8))) for _ in range(3000)]

    def some(size: int) -> list[str]:
        return chance.choices(words, k=size)

    join = "" if spaceless else " "
    stored = [some(60) for _ in range(2000)]
    stored[1234] = some(30_000)
    index = indexed([join.join(text) for text in stored])
    size = 10 if spaceless else 8
    for start in (0, 1, 17, 12_345, 30_000 - size):
        ids = [i for i, _ in met(index, join.join(stored[1234][start : start + size]))]
        assert 1234 in ids
        assert len(ids) < 20


def test_the_share_of_shingles_that_are_seeds() -> None:
    """What the estimate of shared shingles stands on."""
    chance = np.random.default_rng(9)
    text = " ".join(map(str, chance.integers(0, 10**6, 20_000)))
    count = len(indexed([text]).keys)
    assert abs(count - seeds.DENSITY * 19_998) < 4 * np.sqrt(19_998 * seeds.DENSITY * (1 - seeds.DENSITY))
    estimate = seeds.estimated_shared(np.array([0, 1, 100], np.uint32))
    assert estimate.tolist() == pytest.approx([0, 3.5, 350])
    more = seeds.estimated_shared(np.array([0, 1, 100], np.uint32), 3)
    for k, count in zip(more.tolist(), (0, 1, 100), strict=True):
        mean, error = k * seeds.DENSITY, np.sqrt(k * seeds.DENSITY * (1 - seeds.DENSITY))
        assert mean - 3 * error == pytest.approx(count, abs=1e-9)


@pytest.mark.parametrize(
    ("stored", "wanted", "alike"),
    [
        (["word", "two words", "日本", "!?", ""], "Word ", [0]),
        (["word", "two words", "日本", "!?", ""], "two  WORDS", [1]),
        (["word", "two words", "日本", "!?", ""], "!?", [3]),
        (["word", "two words", "日本", "!?", "  "], " \n", []),
        (["日本語", "日本"], "日本", [1]),
    ],
)
def test_texts_shorter_than_a_shingle_are_found_whole(stored: list[str], wanted: str, alike: list[int]) -> None:
    assert [i for i, _ in met(indexed(stored), wanted)] == alike


def test_nothing_to_search() -> None:
    for stored in ([], ["", " ", "\u200b"]):
        index = indexed(stored)
        assert index.keys.size == 0
        assert met(index, "some words that nobody wrote here at all") == []
    index = indexed(["some words that somebody wrote here"])
    assert seeds.query(index, np.empty(0, np.uint64))[0].size == 0


def test_a_seed_of_thousands_of_texts() -> None:
    notice = "this one sentence is at the end of every single answer here"
    stored = [f"answer {n} {n * n} {n * 7} {n % 5} {notice}" for n in range(5000)]
    index = indexed(stored)
    assert sorted(i for i, _ in met(index, notice)) == list(range(5000))
    found = met(index, stored[77])
    assert len(found) == 5000
    assert dict(found)[77] == len(reference.seeds(stored[77]))
    assert found == sorted(found, key=lambda f: (-f[1], f[0]))


def test_equal_counts_go_by_text_and_maps_are_taken() -> None:
    index = indexed(["the same text over and over again"] * 300)
    for array in index[:3]:
        array.flags.writeable = False  # type: ignore[union-attr]
    assert [i for i, _ in met(index, "the same text over and over again")] == list(range(300))


@pytest.mark.parametrize("unit", ["word ", "a©", "©", "你", "x", "1 2 3 4 5 6 7 ", "e\u0301 "])
def test_a_huge_text(unit: str) -> None:
    """Longer than any buffer to begin with, and dense in shingles."""
    huge = unit * ((1 << 20) // len(unit.encode()))
    index = indexed(["before", huge, "after", huge + " end"])
    found = keys_of(index)
    assert found[1] <= found[3] | {key for key in found[1] if unit == "x"}
    assert {i for i, _ in met(index, huge)} >= {1}


@pytest.mark.parametrize("size", [600, 1338, 4000])
def test_more_seeds_than_half_the_bytes(size: int) -> None:
    """Of equal shingles in a row each is a seed, and words and symbols in turn have two shingles every three bytes."""
    text = "a©" * size
    rows = reference.word_shingles(text), reference.point_shingles(text)
    assert sum(len(reference.winnowed(row, seeds.WINDOW)) for row in rows) > len(text.encode()) // 2 + 64
    assert keys_of(indexed([text])) == [reference.seeds(text)]


def test_threads_change_nothing() -> None:
    chance = np.random.default_rng(2)
    stored = ["".join(chance.choice(PIECES, chance.integers(0, 400))) for _ in range(700)]
    made = []
    for count in (1, 2):
        with threads(count):
            made.append(indexed(stored))
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(texts | FEW_WORDS, max_size=5), max_size=4), st.randoms(use_true_random=False))
def test_merging_equals_building(stored: list[list[str]], chance: random.Random) -> None:
    """With texts left out, equal ones brought together, and the rest in any order."""
    indexes = [indexed(some) for some in stored]
    kept = [text for some in stored for text in some if chance.random() < 0.8]
    order = list(dict.fromkeys(chance.sample(kept, len(kept))))
    numbers = {text: k for k, text in enumerate(order)}
    names = [[numbers.get(text, -1) for text in some] for some in stored]
    merged = seeds.merge(indexes, [np.array(some, np.int32) for some in names], len(order))
    built = indexed(order)
    for one, other in zip(merged, built, strict=True):
        np.testing.assert_array_equal(one, other)
    found = [[reference.seeds(text) for text in some] for some in stored]
    assert keys_of(merged) == reference.merge(found, names, len(order))


def test_merging_refuses() -> None:
    index = indexed(["some words", "other words"])
    for wrong in (np.zeros(3, np.int32), np.zeros(2, np.int64), np.full(2, 5, np.int32)):
        with pytest.raises(ValueError, match="names"):
            seeds.merge([index], [wrong], 5)


def test_refuses() -> None:
    index = indexed(["some words"])
    for wrong in (np.zeros(3, np.int64), np.zeros((1, 3), np.uint64)):
        with pytest.raises(ValueError, match="shingles"):
            seeds.query(index, wrong)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (seeds.WINDOW, seeds.VERSION) == (6, 1)
    assert round(seeds.DENSITY, 9) == 0.285714286
