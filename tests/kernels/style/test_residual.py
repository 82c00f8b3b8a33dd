"""Prompt-wise residuals against their definition, and what must not change their numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pytest
from copy_texts import PIECES
from copy_texts import texts as many_scripts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts, frozen
from kinprint.kernels.reference import residual as reference
from kinprint.kernels.spread import set_threads
from kinprint.kernels.style import ngrams, residual
from kinprint.kernels.style.residual import BOUND, FAMILIES, WINDOW, Grams, Reference, Sums
from numpy.typing import NDArray

F = len(FAMILIES)
Prompt: TypeAlias = dict[int, str]
"""Answers to one prompt, by model."""

SAMPLES = [
    "",
    " \n\t\u3000",
    "\x00",
    "\x00a\x00b\x00\x00a",
    "a",
    "ab",
    "...!?",
    "The quick brown fox. It jumps, twice: 12 times!\n\n- one\n- two",
    "Don't don’t DON'T don''t 'tis rock'n’roll ’n’ l’été d'1'2 dogs'",
    "a'\u0301b a\u0301'b \u0301a '\u0301",
    "世界，你好。日本語のテキスト",
    "ที่นี่ ไม่มีช่องว่าง ก่\u0301ก่",
    "か\u3099ﾊﾟ①½ ﬁn ﷺ",
    "mixed世界words ไทยand русский ЯЗЫК हिन्दी की भाषा مرحبا بالعالم",
    "one😀two👍🏽three 🇫🇷 a©b ©\u0301c 👩‍👩‍👧‍👦",
    "ΣΑΣ Straße STRASSE ſ İSTANBUL ǅ Ꭰꭰ 𝐀 𐐀 ẞ",
    "one\r\ntwo\r\n\r\nthree\rfour\u2028five\x85six\x0bseven\n \n eight\r\n",
    "\ufeff\u200b  zero\u200dwidth\u00ad \u2060\n",
    "a  b \u00a0 c",
    "1st 2 x3 ٣٤ Ⅷ",
    "I Am The LORD, I am",
    "x" * 700,
    "é😀世" * 300,
]
WORDS = ["the", "of", "and", "to", "in", "Sure,", "is", "it.", "that", "don't", "The", "世", "界", "ที่"]
WORDS += ["\n\n", "\n- ", "1.", "!"]

proses = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)
joined_pieces = st.lists(st.sampled_from([*PIECES, "'", "’", "\r\n", "A", "b"]), max_size=30).map("".join)
texts = st.one_of(proses, proses, many_scripts, joined_pieces)


def of(some: Sequence[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


@contextmanager
def threads(count: int) -> Iterator[None]:
    set_threads(count)
    try:
        yield
    finally:
        set_threads(None)


# ---- n-grams ----


def kernel_ngrams(text: str) -> list[Counter[int]]:
    """Hashes of the n-grams of each family, as the kernel finds them."""
    keys, bounds = np.empty(ngrams._KEYS, np.uint64), np.empty(F + 1, np.int64)
    work = [np.empty(WINDOW, dtype) for dtype in (np.int32, np.uint8, np.uint64, np.uint8, np.uint64)]
    find: Callable[..., None] = ngrams._ngrams
    find(np.array(list(text.encode()), np.uint8), *work, keys, bounds)
    return [Counter(keys[a:b].tolist()) for a, b in pairwise(bounds)]


def assert_ngrams(text: str) -> None:
    wanted = reference.ngrams(text)
    for family, found in zip(FAMILIES, kernel_ngrams(text), strict=True):
        assert found == Counter(reference.gram_hash(family, gram) for gram in wanted[family]), (family, text)


@pytest.mark.parametrize("text", SAMPLES)
def test_ngrams_of_samples(text: str) -> None:
    assert_ngrams(text)
    assert_ngrams(text * 40)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_ngrams_equal_the_reference(text: str) -> None:
    assert_ngrams(text)


@settings(max_examples=25, deadline=None)
@given(st.lists(texts, min_size=20, max_size=60).map("".join))
def test_ngrams_of_long_texts_equal_the_reference(text: str) -> None:
    assert_ngrams(text)


def test_no_hash_stands_for_two_ngrams() -> None:
    rng = random.Random(3)
    grams: set[tuple[str, reference.Gram]] = set()
    for text in [*SAMPLES, *("".join(rng.choices(PIECES, k=200)) for _ in range(60))]:
        grams.update((family, gram) for family, some in reference.ngrams(text).items() for gram in some)
    assert len(grams) > 50000
    for family in FAMILIES:
        mine = [gram for name, gram in grams if name == family]
        assert len({reference.gram_hash(family, gram) for gram in mine}) == len(mine)


def spelled(item: reference.Item) -> str:
    """A token of the reference as text."""
    return {905: "\n", 906: "\n\n"}.get(item[0]) or "".join(map(chr, item[1:]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t STOP, it's 9 o'clock!", "don't stop it's 9 o'clock"),
        ("dogs' 'n' ''cause x''y", "dogs n cause x y"),
        ("Straße STRASSE ẞ İI", "straße strasse ss i\u0307i"),
        ("世界and ที่ か\u3099", "世 界 and ที่ か\u3099"),
        ("a😀b a\x00b a_b 3.14", "a b a b a b 3 14"),
        ("cafe\u0301 café so\u00adft", "cafe\u0301 café soft"),
    ],
)
def test_what_a_word_is(text: str, words: str) -> None:
    found = reference.ngrams(text)["words"]
    assert [spelled(gram[0]) for gram in found if len(gram) == 1] == words.split()
    assert_ngrams(text)


def test_what_the_families_are() -> None:
    text = "Well, the Old man\r\n\r\nate 2 fish!"
    found = reference.ngrams(text)
    strings = ["".join(chr(item[0]) for item in gram) for gram in found["characters"]]
    assert strings[:3] == ["Wel", "ell", "ll,"]
    assert "n a" in strings  # a run of white space is a space
    assert {len(s) for s in strings} == {3, 4, 5}
    assert [" ".join(map(spelled, gram)) for gram in found["phrases"] if len(gram) == 5] == [
        "well the old man ate",
        "the old man ate 2",
        "old man ate 2 fish",
    ]
    lower, capital, number = reference.LOWER_CASE, reference.CAPITAL, reference.NUMBER
    comma, full = (3, ord(",")), (3, ord("!"))
    symbols = [capital, comma, lower, capital, lower, reference.BLANK_LINE, lower, number, lower, full]
    assert [gram[0] for gram in found["punctuation"] if len(gram) == 1] == symbols
    assert [len(gram) for gram in found["openings"]] == list(range(1, 9))
    assert list(map(spelled, found["openings"][-1])) == ["well", ",", "the", "old", "man", "\n\n", "ate", "2"]
    assert_ngrams(text)


@pytest.mark.parametrize("piece", ["a", "é", "世", "ที่", "😀", "ab ", "A, ", "word\n", "x\u0301"])
def test_only_the_window_counts(piece: str) -> None:
    text = (piece * 10000)[:10000]
    assert_ngrams(text)
    first = text[:WINDOW]
    assert kernel_ngrams(text) == kernel_ngrams(first)
    for after in ("", "!", " and more", "\n\nQuite another text. " * 400, "\u0301", "'s", "\x00", "世界" * 5000):
        assert kernel_ngrams(first + after) == kernel_ngrams(first)
    assert kernel_ngrams(text[: WINDOW - 1] + "Z") != kernel_ngrams(text[: WINDOW - 1])
    # White space at the start, joiners and the CR of CR LF are not in the window.
    assert kernel_ngrams("\n " + "\u200b" * 900 + first[:1] + "\u00ad" * 700 + first[1:]) == kernel_ngrams(first)
    lines = "ab\n" * 300
    assert kernel_ngrams(lines.replace("\n", "\r\n")) == kernel_ngrams(lines)


def test_what_follows_the_window_changes_no_product() -> None:
    rng = random.Random(8)
    some = ["".join(rng.choices(PIECES, k=900)) for _ in range(6)]
    starts, model = np.array([0, 6]), np.arange(6)
    whole = residual.prompt_grams(of([text + "!" for text in some]), model, starts, 6).gram
    other = residual.prompt_grams(of([text + "?" * i * 2000 for i, text in enumerate(some)]), model, starts, 6).gram
    np.testing.assert_array_equal(whole, other)


# ---- a corpus, computed both ways ----


@dataclass
class Corpus:
    """Prompts whose answers are of models 0 .. models-1, and whose reference some of these are."""

    prompts: list[Prompt]
    models: int
    panel: list[int]

    @property
    def members(self) -> NDArray[np.bool_]:
        return np.isin(np.arange(self.models), self.panel)

    def grams(self, prompts: slice = slice(None), joined: int = 0) -> Grams:
        some = [sorted(prompt.items()) for prompt in self.prompts[prompts]]
        told = [text for prompt in some for _, text in prompt]
        model = np.array([model for prompt in some for model, _ in prompt], np.int64)
        starts = np.cumsum([0, *map(len, some)])
        return residual.prompt_grams(of(told), model, starts, self.models, joined=joined)

    def sums(self, sums: Sums | None = None, **options: Any) -> tuple[Sums, Reference]:
        return residual.accumulate(self.grams(), self.members, sums, **options)

    def renamed(self, order: Sequence[int]) -> Corpus:
        """Model ``i`` becomes ``order[i]``."""
        prompts = [{order[model]: text for model, text in prompt.items()} for prompt in self.prompts]
        return Corpus(prompts, self.models, [order[model] for model in self.panel])

    def without(self, last: int) -> Corpus:
        """Without the last so many models."""
        models = self.models - last
        prompts = [{m: text for m, text in prompt.items() if m < models} for prompt in self.prompts]
        return Corpus(prompts, models, [m for m in self.panel if m < models])


@st.composite
def corpora(draw: st.DrawFn, least: int = 1, most: int = 7, joined: int = 0) -> Corpus:
    models = draw(st.integers(least, most))
    shared = draw(st.lists(texts, min_size=1, max_size=3))
    answers = st.one_of(texts, st.tuples(st.sampled_from(shared), texts).map("".join), st.sampled_from(shared))
    prompts = draw(st.lists(st.dictionaries(st.integers(0, models - 1), answers, max_size=models), max_size=4))
    return Corpus(prompts, models, sorted(draw(st.sets(st.integers(0, models - 1 - joined)))))


def prose_corpus(prompts: int, models: int, seed: int, panel: Iterable[int] | None = None, words: int = 40) -> Corpus:
    """Models with habits of their own; a few answers are missing."""
    rng = random.Random(seed)
    vocabulary = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el", "ir", "ot", "us")]
    habits = [rng.choices(vocabulary, k=8) for _ in range(models)]
    out = []
    for _ in range(prompts):
        topic = rng.choices(vocabulary, k=12)
        told = {m: " ".join(rng.choices(topic + habits[m], k=words)) + rng.choice(".!?") for m in range(models)}
        out.append({m: text for m, text in told.items() if rng.random() < 0.9})
    return Corpus(out, models, list(range(models) if panel is None else panel))


def assert_finite(sums: Sums, kept: Reference) -> None:
    for values in (*sums, sums.mean(), *kept):
        assert np.isfinite(values).all()


def assert_sums(found: Sums, kept: Reference, wanted: tuple[list[Any], list[Any]]) -> None:
    """Equal to 1e-4 of the sum, and to what single precision leaves of a residual shorter than its vector."""
    assert_finite(found, kept)
    longest = np.max(kept.norm, axis=2, initial=0.0) ** 2
    room = 2e-6 * (kept.scale * longest).sum(axis=0)
    total = np.array(wanted[0])
    error = np.abs(found.total - total) - 1e-4 * np.abs(total) - room[:, None, None]
    assert (error <= 1e-9).all(), error.max()
    np.testing.assert_array_equal(found.shared, wanted[1])


@settings(max_examples=150, deadline=None)
@given(corpora(), st.integers(0, 2))
def test_grams_equal_the_reference(corpus: Corpus, joined: int) -> None:
    joined = min(joined, corpus.models)
    later = range(corpus.models - joined, corpus.models)
    found = corpus.grams(joined=joined)
    assert found.gram.shape == (len(corpus.prompts), F, corpus.models, corpus.models)
    assert [values.dtype for values in found] == [np.float32, np.bool_]
    computed = np.ones((corpus.models, corpus.models), np.bool_)
    if joined:  # only these are
        computed[: later[0], : later[0]] = np.eye(later[0], dtype=np.bool_)
    for p, answers in enumerate(corpus.prompts):
        assert np.flatnonzero(found.present[p]).tolist() == sorted(answers)
        for f, family in enumerate(FAMILIES):
            vectors = reference.vectors(answers, family, later)
            wanted = np.where(computed, reference.products(vectors, corpus.models), 0.0)
            np.testing.assert_allclose(found.gram[p, f], wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.gram, found.gram.transpose(0, 1, 3, 2))
    assert np.isin(np.diagonal(found.gram, axis1=2, axis2=3), (0.0, 1.0)).all()


@settings(max_examples=150, deadline=None)
@given(corpora())
def test_sums_equal_the_reference(corpus: Corpus) -> None:
    sums, kept = corpus.sums()
    assert [values.dtype for values in sums] == [np.float64, np.int64]
    assert all(values.dtype == np.float32 for values in kept)
    assert_sums(sums, kept, reference.sums(corpus.prompts, corpus.models, corpus.panel))
    # Symmetric to the last bit, nothing of a model with itself, bounded.
    np.testing.assert_array_equal(sums.total, sums.total.transpose(0, 2, 1))
    np.testing.assert_array_equal(sums.shared, sums.shared.T)
    assert (np.diagonal(sums.total, axis1=1, axis2=2) == 0).all()
    assert (np.abs(sums.total) <= BOUND * sums.shared).all()
    np.testing.assert_array_equal(sums.mean() * np.maximum(sums.shared, 1), sums.total * 1.0)


def test_many_models_equal_the_reference() -> None:
    """N-grams of few among many go another way than those of many."""
    rng = random.Random(5)
    corpus = prose_corpus(3, 26, 5, range(0, 26, 2), words=18)
    corpus.prompts.append({m: "".join(rng.choices(PIECES, k=25)) for m in range(26)})
    grams = corpus.grams()
    for p, answers in enumerate(corpus.prompts):
        for f, family in enumerate(FAMILIES):
            wanted = reference.products(reference.vectors(answers, family), corpus.models)
            np.testing.assert_allclose(grams.gram[p, f], wanted, rtol=0, atol=1e-6)
    assert_sums(*corpus.sums(), reference.sums(corpus.prompts, corpus.models, corpus.panel))


def test_long_answers_equal_the_reference() -> None:
    rng = random.Random(6)
    pieces = [*PIECES, *WORDS * 4]
    prompts = [{m: "".join(rng.choices(pieces, k=10_000))[:10_000] for m in range(5)} for _ in range(2)]
    corpus = Corpus(prompts, 5, [0, 1, 2, 4])
    assert_sums(*corpus.sums(), reference.sums(corpus.prompts, corpus.models, corpus.panel))


# ---- what must not matter ----


def test_threads_and_blocks() -> None:
    corpus = prose_corpus(11, 9, 1, range(6))
    with threads(1):
        grams = corpus.grams()
        whole, kept = corpus.sums()
    with threads(2):
        np.testing.assert_array_equal(corpus.grams().gram, grams.gram)
        for a, b in zip((*corpus.sums()[0], *corpus.sums()[1]), (*whole, *kept), strict=True):
            np.testing.assert_array_equal(a, b)
    for bounds in ([0, 4, 11], [0, 0, 1, 2, 9, 11, 11], list(range(12))):
        blocks = [corpus.grams(slice(a, b)) for a, b in pairwise(bounds)]
        np.testing.assert_array_equal(np.concatenate([block.gram for block in blocks]), grams.gram)
        parts = [residual.accumulate(block, corpus.members) for block in blocks]
        for i, values in enumerate(kept):
            np.testing.assert_array_equal(np.concatenate([part[1][i] for part in parts]), values)
        # Added one to the other the sums are the same to the last bit; merged in any order, but for rounding.
        so_far: Sums | None = None
        for block in blocks:
            before = None if so_far is None else Sums(so_far.total.copy(), so_far.shared.copy())
            given_to = so_far
            so_far, _ = residual.accumulate(block, corpus.members, given_to)
            if before is not None and given_to is not None:
                np.testing.assert_array_equal(given_to.total, before.total)
                np.testing.assert_array_equal(given_to.shared, before.shared)
        assert so_far is not None
        merged = parts[-1][0]
        for part, _ in parts[:-1]:
            merged = residual.merge(part, merged)
        np.testing.assert_array_equal(so_far.total, whole.total)
        np.testing.assert_allclose(merged.total, whole.total, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(so_far.shared, whole.shared)
        np.testing.assert_array_equal(merged.shared, whole.shared)


@settings(max_examples=60, deadline=None)
@given(corpora(), st.randoms(use_true_random=False), st.integers(0, 4))
def test_order_of_prompts(corpus: Corpus, rng: random.Random, cut: int) -> None:
    whole, _ = corpus.sums()
    order = rng.sample(range(len(corpus.prompts)), len(corpus.prompts))
    shuffled = Corpus([corpus.prompts[p] for p in order], corpus.models, corpus.panel)
    np.testing.assert_array_equal(shuffled.grams().gram, corpus.grams().gram[order])
    parts = [residual.accumulate(shuffled.grams(s), corpus.members)[0] for s in (slice(0, cut), slice(cut, None))]
    for sums in (shuffled.sums()[0], residual.merge(*parts), residual.merge(*parts[::-1])):
        np.testing.assert_allclose(sums.total, whole.total, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(sums.shared, whole.shared)


@settings(max_examples=80, deadline=None)
@given(corpora(), st.randoms(use_true_random=False))
def test_names_of_models(corpus: Corpus, rng: random.Random) -> None:
    order = rng.sample(range(corpus.models), corpus.models)
    found, kept = corpus.renamed(order).sums()
    square = np.ix_(range(F), order, order)
    renamed = Sums(found.total[square], found.shared[np.ix_(order, order)])
    wanted, before = corpus.sums()
    assert_sums(renamed, kept, (wanted.total.tolist(), wanted.shared.tolist()))
    np.testing.assert_allclose(kept.mean[:, :, order], before.mean, atol=1e-6)
    np.testing.assert_allclose(kept.centre, before.centre, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(corpora(), st.integers(0, 6))
def test_an_absent_model_is_nothing(corpus: Corpus, at: int) -> None:
    """A model that answers nothing, of the reference or not, changes no number of the others."""
    at = min(at, corpus.models)
    order = [m + (m >= at) for m in range(corpus.models)]
    wider = Corpus([{order[m]: t for m, t in p.items()} for p in corpus.prompts], corpus.models + 1, [])
    wanted, _ = corpus.sums()
    for panel in ([order[m] for m in corpus.panel], [at, *(order[m] for m in corpus.panel)]):
        wider.panel = panel
        found, kept = wider.sums()
        np.testing.assert_array_equal(found.total[np.ix_(range(F), order, order)], wanted.total)
        assert (found.total[:, at] == 0).all()
        assert (found.total[:, :, at] == 0).all()
        assert (found.shared[at] == 0).all()
        assert_finite(found, kept)


# ---- some rows ----


@settings(max_examples=60, deadline=None)
@given(corpora(), st.sets(st.integers(0, 6)))
def test_rows_are_those_of_the_whole(corpus: Corpus, chosen: set[int]) -> None:
    rows = np.isin(np.arange(corpus.models), sorted(chosen))
    either = rows[:, None] | rows[None, :]
    whole, kept = corpus.sums()
    found, kept_too = corpus.sums(rows=rows)
    np.testing.assert_array_equal(found.total, np.where(either, whole.total, 0))
    np.testing.assert_array_equal(found.shared, np.where(either, whole.shared, 0))
    for a, b in zip(kept, kept_too, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_leave_other_pairs_alone() -> None:
    corpus = prose_corpus(5, 7, 2, range(5))
    rows = np.isin(np.arange(7), [2, 6])
    either = rows[:, None] | rows[None, :]
    before, _ = corpus.sums()
    after, _ = corpus.sums(before, rows=rows)
    np.testing.assert_array_equal(after.total[:, ~either], before.total[:, ~either])
    np.testing.assert_array_equal(after.shared[~either], before.shared[~either])
    np.testing.assert_allclose(after.total[:, either], 2 * before.total[:, either], rtol=1e-12)
    np.testing.assert_array_equal(after.shared[either], 2 * before.shared[either])
    # Rows one after the other, each pair once, give the whole.
    none, _ = corpus.sums(rows=np.zeros(7, np.bool_))
    assert not none.total.any()
    assert not none.shared.any()


# ---- models that join later ----


def widened(sums: Sums, by: int) -> Sums:
    """Room for models that join."""
    return Sums(np.pad(sums.total, ((0, 0), (0, by), (0, by))), np.pad(sums.shared, (0, by)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2).flatmap(lambda k: st.tuples(st.just(k), corpora(k + 1, 7, k))))
def test_joined_models_equal_the_reference(case: tuple[int, Corpus]) -> None:
    """Pairs without a joined model keep their numbers; the others have those of the frozen reference."""
    count, corpus = case
    old = corpus.models - count
    before, frozen_panel = corpus.without(count).sums()
    grams = corpus.grams(joined=count)
    found, kept = residual.accumulate(grams, corpus.members, widened(before, count), joined=(frozen_panel, count))
    np.testing.assert_array_equal(found.total[:, :old, :old], before.total)
    np.testing.assert_array_equal(found.shared[:old, :old], before.shared)
    np.testing.assert_array_equal(found.total, found.total.transpose(0, 2, 1))
    np.testing.assert_array_equal(kept.mean[:, :, :old], frozen_panel.mean)
    np.testing.assert_array_equal(kept.norm[:, :, :old], frozen_panel.norm)
    np.testing.assert_array_equal(kept.centre, frozen_panel.centre)
    np.testing.assert_array_equal(kept.scale, frozen_panel.scale)
    assert_sums(found, kept, reference.sums(corpus.prompts, corpus.models, corpus.panel, range(old, corpus.models)))


@pytest.mark.parametrize("models", [8, 30])
def test_joining_together_or_one_by_one(models: int) -> None:
    corpus = prose_corpus(6, models + 2, 9, range(models - 2), words=15)
    before, panel = corpus.without(2).sums()
    together, kept = residual.accumulate(corpus.grams(joined=2), corpus.members, widened(before, 2), joined=(panel, 2))
    first = corpus.without(1)
    one, kept_one = residual.accumulate(first.grams(joined=1), first.members, widened(before, 1), joined=(panel, 1))
    # The second counts the first among those that joined, against the reference that was frozen before both.
    last = np.arange(models + 2) == models + 1
    both, kept_both = residual.accumulate(
        corpus.grams(joined=2), corpus.members, widened(one, 1), rows=last, joined=(panel, 2)
    )
    np.testing.assert_allclose(both.total, together.total, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(both.shared, together.shared)
    np.testing.assert_allclose(kept_one.norm, kept.norm[:, :, :-1], rtol=1e-5)
    np.testing.assert_array_equal(kept_both.norm, kept.norm)
    # Joining block by block of prompts is the same as well.
    so_far = widened(before, 2)
    for s in (slice(0, 2), slice(2, 6)):
        part = Reference(*(values[s] for values in panel))
        so_far, _ = residual.accumulate(corpus.grams(s, joined=2), corpus.members, so_far, joined=(part, 2))
    np.testing.assert_array_equal(so_far.total, together.total)


def test_a_joined_vector_is_what_it_would_have_been() -> None:
    """Of the model that joins, not of the others, whose n-grams it does not make less rare."""
    corpus = prose_corpus(1, 6, 3, range(5))
    answers = corpus.prompts[0] | {5: "ba be bi bo bu"}
    for family in FAMILIES:
        there, later = reference.vectors(answers, family), reference.vectors(answers, family, [5])
        assert later[5] == there[5]
        old = reference.vectors({m: t for m, t in answers.items() if m != 5}, family)
        assert {m: later[m] for m in old} == old


def test_those_who_join_nobody() -> None:
    """All models joined: there is no reference, and every answer counts for itself."""
    corpus = Corpus([{0: "a b c d", 1: "a b c d", 2: "x"}, {}], 3, [])
    panel = corpus.sums()[1]
    empty = panel._replace(mean=panel.mean[..., :0], norm=panel.norm[..., :0])
    found, kept = residual.accumulate(corpus.grams(joined=3), corpus.members, joined=(empty, 3))
    assert_sums(found, kept, reference.sums(corpus.prompts, 3, [], range(3)))
    assert found.total[0, 0, 1] > 0


# ---- hardly anything ----


@pytest.mark.parametrize("models", [0, 1, 2, 5])
@pytest.mark.parametrize("prompts", [0, 1, 3])
def test_nothing_said(models: int, prompts: int) -> None:
    for answers in ({}, dict.fromkeys(range(models), ""), dict.fromkeys(range(models), " \n\u200b")):
        corpus = Corpus([dict(answers)] * prompts, models, list(range(models)))
        grams = corpus.grams()
        assert grams.gram.shape == (prompts, F, models, models)
        assert not grams.gram.any()
        sums, kept = corpus.sums()
        assert_finite(sums, kept)
        assert not sums.total.any()
        assert not sums.mean().any()
        assert (sums.shared == (prompts if answers else 0)).all()


@pytest.mark.parametrize("models", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("panel", [0, 1, 2, 3, 40])
def test_equal_answers(models: int, panel: int) -> None:
    """With a mean, nothing is left of equal answers; without, they are as alike as can be."""
    rng = random.Random(models)
    long_answer = " ".join("".join(rng.choices("abcdefghij", k=rng.randrange(2, 9))) for _ in range(300))
    members = list(range(min(models, panel)))
    for answer in ("Paris.", "世界", "a", "!", long_answer, "The same. " * 90):
        corpus = Corpus([dict.fromkeys(range(models), answer)] * 2, models, members)
        grams = corpus.grams()
        there = [bool(reference.ngrams(answer)[family]) for family in FAMILIES]
        for f in range(F):
            np.testing.assert_allclose(grams.gram[:, f], float(there[f]), atol=1e-6)
        sums, kept = corpus.sums()
        assert_finite(sums, kept)
        if len(members) >= 3:
            assert not sums.total.any()  # not even what rounding leaves
        elif models > 1:
            off = ~np.eye(models, dtype=np.bool_)
            assert ((sums.total[:, off] > 0).all(axis=1) == there).all()
    if models < 5:
        answers = {**dict.fromkeys(range(models), long_answer), models: "x y z"}
        one_off = Corpus([answers], models + 1, [*members, models])
        assert_sums(*one_off.sums(), reference.sums([answers], models + 1, one_off.panel))


def test_short_residuals_are_kept() -> None:
    """One answer among many that are equal moves the mean a little; what that leaves of the others counts."""
    corpus = Corpus([{**dict.fromkeys(range(20), "It is Paris, sure."), 20: "Lyon, I say!"}], 21, list(range(21)))
    sums, kept = corpus.sums()
    assert (kept.norm[0, :, 0] > 10).all()  # a squared length below a hundredth
    assert (sums.total[:, 0, 1] > 0.9).all()
    assert_sums(sums, kept, reference.sums(corpus.prompts, 21, corpus.panel))


def test_small_references() -> None:
    corpus = prose_corpus(4, 6, 7)
    for panel in ([], [1], [1, 4], [0, 2, 5]):
        corpus.panel = panel
        sums, kept = corpus.sums()
        assert_sums(sums, kept, reference.sums(corpus.prompts, 6, panel))
        answered = [sum(m in prompt for m in panel) for prompt in corpus.prompts]
        assert (kept.mean.any(axis=2) == (np.array(answered) >= 3)[:, None]).all()
        if not panel:
            np.testing.assert_allclose(kept.scale, 1 / 0.15, rtol=1e-6)
    # One and two models alone.
    for models in (1, 2):
        alone = prose_corpus(4, models, 7)
        assert_sums(*alone.sums(), reference.sums(alone.prompts, models, alone.panel))


def test_a_bound_on_each_prompt() -> None:
    """No prompt counts more than the bound, however alike two answers are in what nobody else says."""
    others = {m: f"{'abcdefghijklmnopqrstuvwxyz'[m]}{m} " * 20 for m in range(20)}
    corpus = Corpus([others | {20: "Quite so, old chap! " * 5, 21: "Quite so, old chap! " * 5}], 22, list(range(22)))
    sums, _ = corpus.sums()
    assert (sums.total[[0, 1, 2, 4], 20, 21] > 3.5).all()
    assert (sums.total < BOUND).all()


def test_shared_habits_are_found() -> None:
    """Models with a habit in common are alike, whatever the prompts are about."""
    rng = random.Random(12)
    corpus = prose_corpus(30, 8, 12)
    for prompt in corpus.prompts:
        for m, tell in ((0, "well to be sure"), (5, "well to be sure"), (3, "so it goes"), (6, "so it goes")):
            if m in prompt:
                words = prompt[m].split()
                words.insert(rng.randrange(10), tell)
                prompt[m] = " ".join(words)
    mean = corpus.sums()[0].mean()
    for f in (0, 1, 2):
        pairs = [(mean[f, i, j], i, j) for i in range(8) for j in range(i)]
        assert {(i, j) for _, i, j in sorted(pairs)[-2:]} == {(5, 0), (6, 3)}


# ---- what is refused ----


@pytest.mark.parametrize(
    ("model", "starts", "models", "options", "why"),
    [
        ([0, 1], [0, 3], 2, {}, "model must be"),
        ([[0, 1, 2]], [0, 3], 3, {}, "model must be"),
        ([0, 1, 2], [0, 2], 3, {}, "starts go from 0 to 3"),
        ([0, 1, 2], [1, 3], 3, {}, "starts go from 0 to 3"),
        ([0, 1, 2], [], 3, {}, "starts go from 0 to 3"),
        ([0, 1, 2], [[0, 3]], 3, {}, "starts go from 0 to 3"),
        ([0, 1, 2], [0, 2, 1, 3], 3, {}, "must not decrease"),
        ([0, 1, 2], [0, 4, 3], 3, {}, "must not decrease"),
        ([0, 1, 3], [0, 3], 3, {}, "models must be in 0..2"),
        ([-1, 1, 2], [0, 3], 3, {}, "models must be in 0..2"),
        ([0, 2, 1], [0, 3], 3, {}, "must ascend"),
        ([0, 1, 1], [0, 3], 3, {}, "must ascend"),
        ([0, 1, 1], [0, 1, 3], 3, {}, "must ascend"),
        ([0, 1, 2], [0, 3], 3, {"joined": 4}, "joined must be in"),
        ([0, 1, 2], [0, 3], 3, {"joined": -1}, "joined must be in"),
    ],
)
def test_what_grams_refuse(model: Any, starts: Any, models: int, options: Mapping[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        residual.prompt_grams(of(["a", "b", "c"]), np.array(model), np.array(starts, np.int64), models, **options)


def test_starts_may_repeat() -> None:
    grams = residual.prompt_grams(of(["a b", "c", "a b"]), np.array([1, 0, 1]), np.array([0, 0, 1, 3, 3, 3]), 2)
    assert grams.present.tolist() == [[False, False], [False, True], [True, True], [False, False], [False, False]]
    assert not grams.gram[[0, 3, 4]].any()
    assert grams.gram[2, 1].tolist() == [[1, 0], [0, 1]]


def test_what_accumulate_refuses() -> None:
    corpus = prose_corpus(2, 5, 0)
    grams, panel = corpus.grams(), corpus.members
    sums, kept = residual.accumulate(grams, panel)
    two_later = corpus.without(2).sums()[1]
    three = np.arange(5) < 3
    with pytest.raises(ValueError, match="reference must be"):
        residual.accumulate(grams, panel[:4])
    with pytest.raises(ValueError, match="rows must be"):
        residual.accumulate(grams, panel, rows=panel[:4])
    for other in (corpus.without(1).sums()[0], widened(sums, 1), Sums(sums.total[:4], sums.shared)):
        with pytest.raises(ValueError, match="sums must be over 5 models"):
            residual.accumulate(grams, panel, other)
    with pytest.raises(ValueError, match="add up"):
        residual.merge(sums, widened(sums, 1))
    for count in (-1, 0, 1, 3, 6):
        with pytest.raises(ValueError, match="reference is of other"):
            residual.accumulate(grams, three, joined=(two_later, count))
    with pytest.raises(ValueError, match="reference is of other"):
        residual.accumulate(corpus.grams(slice(0, 1), joined=2), three, joined=(two_later, 2))
    for broken in (
        two_later._replace(norm=kept.norm),
        two_later._replace(norm=two_later.norm[..., :1]),
        two_later._replace(centre=kept.centre[:1]),
        two_later._replace(scale=kept.scale[:, :1]),
    ):
        with pytest.raises(ValueError, match="reference is of other"):
            residual.accumulate(corpus.grams(joined=2), three, joined=(broken, 2))
    with pytest.raises(ValueError, match="no part of the reference"):
        residual.accumulate(corpus.grams(joined=2), np.arange(5) < 4, joined=(two_later, 2))


def test_read_only_and_spread_out_arrays() -> None:
    corpus = prose_corpus(4, 5, 1, range(4))
    whole, kept = corpus.sums()
    grams = corpus.grams()
    read_only = Grams(frozen(grams.gram), frozen(grams.present))
    found, _ = residual.accumulate(read_only, frozen(corpus.members), Sums(frozen(whole.total), frozen(whole.shared)))
    np.testing.assert_allclose(found.total, 2 * whole.total)
    every_second = Grams(np.repeat(grams.gram, 2, axis=0)[::2], grams.present)
    found, kept_too = residual.accumulate(every_second, np.repeat(corpus.members, 2)[::2])
    np.testing.assert_array_equal(found.total, whole.total)
    np.testing.assert_array_equal(kept_too.norm, kept.norm)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (BOUND, WINDOW, residual.OPENING) == (4.0, 600, 8)
    assert FAMILIES == ("characters", "words", "phrases", "punctuation", "openings")
    assert (residual.SCHEME, residual.VERSION) == ("residual", 1)
