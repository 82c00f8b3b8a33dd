"""Delta measures and General Imposters against their definitions, and against faststylometry."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from copy_texts import PIECES
from copy_texts import texts as many_scripts
from faststylometry import Corpus
from faststylometry.burrows_delta import calculate_burrows_delta
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts, frozen
from kinprint.kernels.reference import burrows as reference
from kinprint.kernels.reference.shingle import word_hash
from kinprint.kernels.spread import set_threads
from kinprint.kernels.style import burrows as delta
from kinprint.kernels.style import imposters as draws
from kinprint.kernels.style import words as words_of
from kinprint.kernels.style.burrows import KINDS, Kind
from kinprint.kernels.style.imposters import imposters
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAMPLES = [
    "",
    " \n\t\u3000",
    "\x00",
    "\x00a\x00b\x00\x00a",
    "...!?",
    "'",
    "''a''b'c'",
    "Don't don’t DON'T don''t 'tis rock'n’roll ’n’ l’été d'1'2",
    "’" * 40 + "a’b" * 40 + "x’",
    "a'\u0301b a\u0301'b \u0301a",
    "世界，你好。日本語のテキスト",
    "ที่นี่ ไม่มีช่องว่าง",
    "か\u3099ﾊﾟ①½ ﬁn ﷺ",
    "mixed世界words ไทยand русский язык हिन्दी की भाषा مرحبا بالعالم",
    "one😀two👍🏽three 🇫🇷 a©b ©\u0301c",
    "ΣΑΣ Straße STRASSE ſ",
    "x" * 70 + "'" + "y" * 70,
    "é" * 200 + "’" + "è" * 200,
    "a" * 63 + "’s " + "b" * 59 + "’s",
]
WORDS = ["the", "of", "and", "to", "a", "in", "it", "is", "was", "that", "don't", "don’t", "The", "世", "界", "ที่", "é"]

quoted = st.lists(st.sampled_from([*PIECES, "'", "’", "'", "’", "a", "b"]), max_size=40).map("".join)
proses = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)
texts = st.one_of(proses, many_scripts, quoted)


def of(some: Sequence[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


def as_counter(counts: words_of.Counts) -> Counter[int]:
    assert (np.diff(counts.hashes.astype(object)) > 0).all()
    return Counter(dict(zip(counts.hashes.tolist(), counts.counts.tolist(), strict=True)))


def rows_of(n: int, k: int, seed: int, *, constant: int = 0) -> Floats:
    """Frequencies, some of them zero; ``constant`` columns have one value."""
    rng = np.random.default_rng(seed)
    out = rng.random((n, k)) * (rng.random((n, k)) < 0.8) / k
    out[:, :constant] = 0.1
    return out


@contextmanager
def threads(count: int) -> Iterator[None]:
    set_threads(count)
    try:
        yield
    finally:
        set_threads(None)


# ---- words ----


def assert_words(some: Sequence[str]) -> None:
    hashes, indptr = words_of.hashes_of(of(some))
    assert len(indptr) == len(some) + 1
    for i, text in enumerate(some):
        wanted = [word_hash(word) for word in reference.words(text)]
        assert hashes[indptr[i] : indptr[i + 1]].tolist() == wanted, text


def test_words_of_samples() -> None:
    assert_words(SAMPLES)
    assert_words(SAMPLES[::-1] * 9)
    assert_words(["".join(SAMPLES) * 30])
    assert_words([])


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=5))
def test_any_words_equal_the_reference(some: list[str]) -> None:
    assert_words(some)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t STOP, 'tis 9 o'clock!", ["don't", "stop", "tis", "9", "o'clock"]),
        ("naïve cafe\u0301 ﬁve", ["naïve", "café", "five"]),
        ("世界 and ที่", ["and", "世", "界", "ที่"]),
        ("a\x00b 😀 c©d -- _", ["a", "b", "c", "d"]),
        ("dogs' 'n' 'cause", ["dogs", "n", "cause"]),
    ],
)
def test_what_a_word_is(text: str, words: list[str]) -> None:
    assert reference.words(text) == words
    assert words_of.hashes_of(of([text]))[0].tolist() == [word_hash(word) for word in words]


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=6), st.integers(0, 12))
def test_counts_equal_the_reference(some: list[str], k: int) -> None:
    counts = words_of.count_words(of(some))
    assert as_counter(counts) == reference.count_words(some)
    assert counts.total == reference.count_words(some).total()
    hashes, found = words_of.most_frequent(of(some), k)
    assert (hashes.dtype, found.dtype) == (np.uint64, np.int64)
    assert list(zip(hashes.tolist(), found.tolist(), strict=True)) == reference.most_frequent(some, k)


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, max_size=8), st.randoms(use_true_random=False), st.lists(st.integers(0, 8), max_size=3))
def test_counts_merge_in_any_order(some: list[str], rng: random.Random, cuts: list[int]) -> None:
    whole = words_of.count_words(of(some))
    shuffled = some.copy()
    rng.shuffle(shuffled)
    bounds = [0, *sorted(cuts), len(shuffled)]
    parts = [words_of.count_words(of(shuffled[a:b])) for a, b in pairwise(bounds)]
    rng.shuffle(parts)
    while len(parts) > 1:
        i = rng.randrange(len(parts) - 1)
        parts[i : i + 2] = [parts[i].merge(parts[i + 1])]
    for got, wanted in zip(parts[0], whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_many_words_in_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(4)
    some = [" ".join(f"w{int(rng.paretovariate(0.4)) % 9973}" for _ in range(rng.randrange(60))) for _ in range(500)]
    some += [" ".join(f"v{i}" for i in range(6000))]
    wanted = reference.count_words(some)
    for block in (1 << 24, 1, 3000):
        monkeypatch.setattr(words_of, "_BLOCK", block)
        for count in (1, 2):
            with threads(count):
                assert as_counter(words_of.count_words(of(some))) == wanted
    hashes, counts = words_of.most_frequent(of(some), 100)
    assert list(zip(hashes.tolist(), counts.tolist(), strict=True)) == reference.most_frequent(some, 100)


def test_ties_are_broken_by_hash() -> None:
    some = ["d c b a", "a b c d"]
    hashes, counts = words_of.most_frequent(of(some), 3)
    assert hashes.tolist() == sorted(map(word_hash, "abcd"))[:3]
    assert counts.tolist() == [2, 2, 2]
    assert words_of.most_frequent(of(some), 9)[0].size == 4
    assert words_of.most_frequent(of(some), 0)[0].size == 0
    assert words_of.most_frequent(of([]), 3)[0].size == 0
    with pytest.raises(ValueError, match="negative"):
        words_of.most_frequent(of(some), -1)
    with pytest.raises(ValueError, match="negative"):
        words_of.count_words(of(some)).most_frequent(-1)


# ---- frequencies ----


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, st.integers(0, 3)), max_size=8), st.integers(0, 8), st.lists(texts, max_size=3))
def test_frequencies_equal_the_reference(some: list[tuple[str, int]], k: int, others: list[str]) -> None:
    told = [text for text, _ in some]
    groups = [group for _, group in some]
    vocabulary, _ = words_of.most_frequent(of(told + others), k)
    single = delta.frequencies(of(told), vocabulary)
    assert single.shape == (len(told), vocabulary.size)
    assert single.tolist() == reference.frequencies(told, vocabulary.tolist(), list(range(len(told))))
    grouped = delta.frequencies(of(told), vocabulary, np.array(groups, np.int64))
    assert grouped.tolist() == reference.frequencies(told, vocabulary.tolist(), groups)


def test_frequencies_in_parts_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(2)
    some = [" ".join(rng.choices(WORDS, k=rng.randrange(9))) for _ in range(300)]
    groups = np.array([rng.randrange(7) for _ in some], np.int64)
    vocabulary, _ = words_of.most_frequent(of(some), 9)
    whole = delta.counts_in(of(some), vocabulary, groups)
    monkeypatch.setattr(delta, "_CELLS", 1)
    for got, wanted in zip(delta.counts_in(of(some), vocabulary, groups), whole, strict=True):
        np.testing.assert_array_equal(got, wanted)
    first, second = (delta.counts_in(of(some[a::2]), vocabulary, groups[a::2]) for a in (0, 1))
    np.testing.assert_array_equal(delta.relative(first[0] + second[0], first[1] + second[1]), delta.relative(*whole))
    order = np.random.default_rng(0).permutation(len(some))
    shuffled = delta.counts_in(of([some[i] for i in order]), vocabulary, groups[order])
    np.testing.assert_array_equal(shuffled[0], whole[0])
    singles = delta.counts_in(of(some), vocabulary)
    np.testing.assert_array_equal(singles[0][groups == 3].sum(axis=0), whole[0][3])


def test_frequencies_of_nothing() -> None:
    vocabulary = np.array([word_hash("a"), 0], np.uint64)
    assert delta.frequencies(of(["", "b", "a \x00 a b c"]), vocabulary).tolist() == [[0, 0], [0, 0], [0.5, 0]]
    assert delta.frequencies(of([]), vocabulary).shape == (0, 2)
    assert delta.frequencies(of([]), vocabulary, np.empty(0, np.int64)).shape == (0, 2)
    assert delta.frequencies(of(["a"]), vocabulary[:0]).shape == (1, 0)
    assert delta.frequencies(of(["a"]), vocabulary, np.array([2])).tolist() == [[0, 0], [0, 0], [1, 0]]


def test_mean_and_sd_equal_the_reference() -> None:
    for n, constant in ((1, 0), (2, 0), (9, 3)):
        rows = rows_of(n, 12, n, constant=constant)
        for got, wanted in zip(delta.mean_and_sd(rows), reference.mean_and_sd(rows.tolist()), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-300)
    # The rounded mean of equal values need not be one of them; their deviation is zero all the same.
    mean, sd = delta.mean_and_sd(np.full((3, 2), 0.1))
    assert sd.tolist() == [0, 0]
    assert mean.tolist() == [0.1, 0.1]


# ---- distances ----


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(0, 999),
    st.sampled_from(KINDS),
)
def test_distances_equal_the_reference(n: int, m: int, k: int, constant: int, seed: int, kind: Kind) -> None:
    rows = rows_of(n + m + 3, k, seed, constant=min(k, constant))
    a, b = rows[:n], rows[n : n + m]
    mean, sd = delta.mean_and_sd(rows)
    got = delta.delta(a, b, mean, sd, kind)
    assert got.shape == (n, m)
    wanted = reference.delta(a.tolist(), b.tolist(), mean.tolist(), sd.tolist(), kind)
    assert got.tolist() == [row[:m] for row in wanted]  # to the last bit: sums run in the same order
    assert (got >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows(kind: Kind) -> None:
    rows = rows_of(1300, 7, 5)
    mean, sd = delta.mean_and_sd(rows)
    with threads(1):
        got = delta.delta(rows[:3], rows, mean, sd, kind)
    with threads(2):
        np.testing.assert_array_equal(delta.delta(rows[:3], rows, mean, sd, kind), got)
        np.testing.assert_array_equal(delta.delta(rows, rows[:3], mean, sd, kind), got.T)
    wanted = reference.delta(rows[:3].tolist(), rows.tolist(), mean.tolist(), sd.tolist(), kind)
    assert got.tolist() == wanted


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from(KINDS))
def test_order_of_rows_and_columns(seed: int, kind: Kind) -> None:
    rows = rows_of(9, 11, seed)
    mean, sd = delta.mean_and_sd(rows)
    got = delta.delta(rows, rows, mean, sd, kind)
    np.testing.assert_array_equal(got, got.T)
    order = np.random.default_rng(seed).permutation(9)
    np.testing.assert_array_equal(delta.delta(rows[order], rows, mean, sd, kind), got[order])
    np.testing.assert_array_equal(delta.delta(rows, rows[order], mean, sd, kind), got[:, order])
    columns = np.random.default_rng(seed).permutation(11)
    other = delta.delta(np.ascontiguousarray(rows[:, columns]), rows[:, columns], mean[columns], sd[columns], kind)
    if kind != "eder":
        np.testing.assert_allclose(other, got, rtol=1e-12, atol=1e-12)


def test_definitions_by_hand() -> None:
    a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[3.0, 1.0, 3.0], [5.0, 2.0, 3.0]])
    mean, sd = np.zeros(3), np.array([2.0, 0.5, 1.0])
    by_kind = {kind: delta.delta(a, b, mean, sd, kind)[0] for kind in KINDS}
    # Scaled: (0.5, 4, 3), (1.5, 2, 3) and (2.5, 4, 3).
    np.testing.assert_allclose(by_kind["burrows"], [(1 + 2) / 3, 2 / 3])
    np.testing.assert_allclose(by_kind["eder"], [(3 / 3 * 1 + 2 / 3 * 2) / 3, (3 / 3 * 2) / 3])
    np.testing.assert_allclose(by_kind["cosine"][0], 1 - 17.75 / np.sqrt(25.25 * 15.25))
    np.testing.assert_allclose(by_kind["minmax"], [1 - 5.5 / 8.5, 1 - 7.5 / 9.5])


def test_eder_as_stylo_computes_it() -> None:
    """stylo of May 2024, dist.eder: ``dist(t(t(x) * ((1+n:1)/n)), method = "manhattan")``; ``:`` binds before ``+``.

    So its weights are (k - r + 2) / k, and it takes the sum. That is k times ours, and Burrows's Delta once more.
    """
    rows = rows_of(6, 8, 1)
    mean, sd = delta.mean_and_sd(rows)
    weighted = (rows - mean) / sd * ((1 + np.arange(8, 0, -1)) / 8)
    stylo = np.abs(weighted[:, None] - weighted[None]).sum(axis=2)
    ours = 8 * delta.delta(rows, rows, mean, sd, "eder") + delta.delta(rows, rows, mean, sd, "burrows")
    np.testing.assert_allclose(ours, stylo, rtol=1e-12, atol=1e-12)


def test_constant_columns_and_single_rows() -> None:
    rows = rows_of(5, 6, 3)
    mean, sd = delta.mean_and_sd(rows)
    for kind in KINDS:
        padded = np.concatenate((rows, np.full((5, 2), 0.1)), axis=1)
        got = delta.delta(padded, padded, *delta.mean_and_sd(padded), kind)
        wanted = delta.delta(rows, rows, mean, sd, kind)
        if kind == "burrows":
            wanted = wanted * 6 / 8
        if kind != "eder":  # whose ranks change
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
        # Away from the corpus a constant word says as little as in it.
        padded[0, 6:] = 0.7
        with_constant = np.append(mean, [0.1, 0.1]), np.append(sd, [0.0, 0.0])
        np.testing.assert_allclose(delta.delta(padded, padded, *with_constant, kind), got, rtol=1e-12, atol=1e-12)
    # One author: every word is constant, and nobody differs; a text without direction is far from all.
    one = delta.mean_and_sd(rows[:1])
    assert (delta.delta(rows, rows, *one, "burrows") == 0).all()
    assert (delta.delta(rows, rows, *one, "eder") == 0).all()
    assert (delta.delta(rows, rows, *one, "cosine") == 1).all()
    assert (delta.delta(rows, rows, *one, "minmax") == 1).all()


def test_a_text_at_the_mean() -> None:
    rows = rows_of(4, 5, 8)
    mean, sd = delta.mean_and_sd(rows)
    assert delta.delta(mean[None], rows, mean, sd, "cosine").tolist() == [[1, 1, 1, 1]]
    assert delta.delta(np.zeros((1, 5)), rows, mean, sd, "minmax").tolist() == [[1, 1, 1, 1]]


def test_what_distances_refuse() -> None:
    rows = rows_of(3, 4, 0)
    mean, sd = delta.mean_and_sd(rows)
    call: Callable[..., Any] = delta.delta
    for arguments, why in [
        ((rows, rows, mean, sd, "manhattan"), "kind must be one of"),
        ((rows[0], rows, mean, sd), "a must be"),
        ((rows, rows[:, :3], mean, sd), "b must be"),
        ((rows, rows.astype(np.float32), mean, sd), "b must be"),
        ((rows, rows, mean[:3], sd), "mean and sd"),
        ((rows, rows, mean[None], sd), "mean and sd"),
        ((rows, rows, mean, -sd), "no sd negative"),
        ((rows, rows, mean, sd * np.nan), "finite"),
        ((rows + np.inf, rows, mean, sd), "finite"),
        ((rows, -rows, mean, sd, "minmax"), "negative"),
        ((rows[:, :0], rows[:, :0], mean[:0], sd[:0]), "without words"),
    ]:
        with pytest.raises(ValueError, match=why):
            call(*arguments)
    with pytest.raises(ValueError, match="no rows"):
        delta.mean_and_sd(rows[:0])
    with pytest.raises(ValueError, match="values must be"):
        delta.mean_and_sd(rows[0])


def test_what_counting_refuses() -> None:
    some, words = of(["a b", "c"]), np.array([1, 2], np.uint64)
    call: Callable[..., Any] = delta.frequencies
    for arguments, why in [
        ((some, words.astype(np.int64)), "the vocabulary must be"),
        ((some, words[None]), "the vocabulary must be"),
        ((some, np.array([1, 1], np.uint64)), "twice"),
        ((some, words, np.array([0])), "groups must be"),
        ((some, words, np.array([0, 1], np.int32)), "groups must be"),
        ((some, words, np.array([0, -1])), "negative"),
    ]:
        with pytest.raises(ValueError, match=why):
            call(*arguments)


# ---- General Imposters ----


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
    st.integers(1, 40),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from(KINDS),
)
def test_scores_equal_the_reference(
    k: int, m: int, features: float, share: float, iterations: int, seed: int, kind: Kind
) -> None:
    rows = rows_of(m + 8, k, seed % 1000)
    mean, sd = delta.mean_and_sd(rows)
    queries, candidates, pool = rows[:2], rows[2:6], rows[6:]
    options: dict[str, Any] = {"kind": kind, "iterations": iterations, "features": features, "imposters": share}
    got = imposters(queries, candidates, pool, mean, sd, seed=seed, **options)
    owned = imposters(queries, candidates, pool, mean, sd, seed=seed, authors=np.array([1, 0, 1, 1]), **options)
    scaled = [reference.scaled(row, mean.tolist(), sd.tolist(), kind) for row in rows.tolist()]
    arguments = (scaled[6:], range(len(pool)), kind, iterations, features, share, seed)
    for q in range(2):
        for c in range(4):
            assert got[q, c] == reference.imposters(scaled[q], [scaled[2 + c]], *arguments)
        assert owned[q, 0] == reference.imposters(scaled[q], [scaled[3]], *arguments)
        assert owned[q, 1] == reference.imposters(scaled[q], [scaled[i] for i in (2, 4, 5)], *arguments)


def test_draws() -> None:
    k, m = 21, 13
    columns = np.empty(8, np.int32)
    order = np.empty(m, np.int64)
    seen, firsts = np.zeros(k), np.zeros(m)
    for iteration in range(3000):
        # What a kernel returns to Python is an int, which the next one would take for an int64.
        draws._draw_columns(np.uint64(draws._stream(np.uint64(5), iteration, 0)), k, columns)
        draws._shuffle(np.uint64(draws._stream(np.uint64(5), iteration, 1)), order)
        assert columns.tolist() == reference.drawn_columns(5, iteration, k, 8 / 21)
        assert order.tolist() == reference.shuffled_pool(5, iteration, m)
        seen[columns] += 1
        firsts[order[:6]] += 1
    # Each word is drawn in 8 of 21 iterations and each imposter in 6 of 13: within five standard errors.
    assert np.abs(seen / 3000 - 8 / 21).max() < 5 * np.sqrt(8 / 21 * 13 / 21 / 3000)
    assert np.abs(firsts / 3000 - 6 / 13).max() < 5 * np.sqrt(6 / 13 * 7 / 13 / 3000)


def test_scores_do_not_depend_on_company_or_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(700, 15, 2)
    mean, sd = delta.mean_and_sd(rows)
    queries, candidates, pool = rows[:20], rows[20:30], rows[30:]
    with threads(1):
        got = imposters(queries, candidates, pool, mean, sd, seed=3)
    assert got.shape == (20, 10)
    assert 0 < got.mean() < 1
    with threads(2):
        np.testing.assert_array_equal(imposters(queries, candidates, pool, mean, sd, seed=3), got)
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(imposters(queries[order], candidates, pool, mean, sd, seed=3), got[order])
    order = np.random.default_rng(1).permutation(10)
    np.testing.assert_array_equal(imposters(queries, candidates[order], pool, mean, sd, seed=3), got[:, order])
    np.testing.assert_array_equal(imposters(queries[:1], candidates[4:5], pool, mean, sd, seed=3), got[:1, 4:5])
    np.testing.assert_array_equal(imposters(frozen(queries), candidates, pool, mean, sd, seed=3), got)
    monkeypatch.setattr(draws, "_WINS", 1)
    np.testing.assert_array_equal(imposters(queries, candidates, pool, mean, sd, seed=3), got)
    assert (imposters(queries, candidates, pool, mean, sd, seed=4) != got).any()


@pytest.mark.parametrize("kind", KINDS)
def test_all_imposters_in_any_order(kind: Kind) -> None:
    rows = rows_of(30, 10, 6)
    mean, sd = delta.mean_and_sd(rows)
    got = imposters(rows[:4], rows[4:8], rows[8:], mean, sd, kind=kind, imposters=1.0)
    np.testing.assert_array_equal(imposters(rows[:4], rows[4:8], rows[:7:-1], mean, sd, kind=kind, imposters=1.0), got)
    # With all words as well, every iteration is the same: is the candidate nearer than all others?
    whole = imposters(rows[:4], rows[4:8], rows[8:], mean, sd, kind=kind, imposters=1.0, features=1.0)
    near = delta.delta(rows[:4], rows[4:8], mean, sd, kind)
    least = delta.delta(rows[:4], rows[8:], mean, sd, kind).min(axis=1, keepdims=True)
    np.testing.assert_array_equal(whole, (near < least).astype(np.float64))


def test_own_texts_are_no_imposters() -> None:
    rows = rows_of(14, 9, 4)
    mean, sd = delta.mean_and_sd(rows)
    authors = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 1])
    scaled = [reference.scaled(row, mean.tolist(), sd.tolist(), "cosine") for row in rows.tolist()]
    queries, known = rows[:2], rows[2:]
    for share in (0.1, 0.5, 1.0):
        got = imposters(queries, known, known, mean, sd, authors=authors, pool_authors=authors, imposters=share)
        for q in range(2):
            for c in range(3):
                own = [scaled[2 + i] for i in np.flatnonzero(authors == c)]
                others = np.flatnonzero(authors != c).tolist()
                assert got[q, c] == reference.imposters(
                    scaled[q], own, scaled[2:], others, "cosine", 100, 0.5, share, 0
                )
    assert (got.sum(axis=1) <= 1 + 1e-12).all()  # against all others, only one can be the nearest
    apart = imposters(queries, known, known, mean, sd, authors=authors, imposters=1.0)
    assert (apart == 0).all()  # each text meets itself among the imposters, and a tie goes to the imposter


def test_authors_are_told_apart() -> None:
    rng = np.random.default_rng(9)
    base = rng.dirichlet(np.full(60, 3.0), 8)
    texts_of = [rng.multinomial(2500, base[a], 4) / 2500 for a in range(8)]
    pool = np.concatenate([part[:3] for part in texts_of])
    authors = np.repeat(np.arange(8), 3)
    queries = np.concatenate([part[3:] for part in texts_of])
    mean, sd = delta.mean_and_sd(pool)
    for kind in KINDS:
        got = imposters(queries, pool, pool, mean, sd, authors=authors, pool_authors=authors, kind=kind)
        assert np.diag(got).min() > 0.9
        assert (got - np.diag(np.diag(got))).max() < 0.5
        assert (delta.delta(queries, pool, mean, sd, kind).argmin(axis=1) // 3).tolist() == list(range(8))


def test_what_imposters_refuse() -> None:
    rows = rows_of(6, 4, 0)
    mean, sd = delta.mean_and_sd(rows)
    call: Callable[..., Any] = imposters
    for options, why in [
        ({"iterations": 0}, "iterations"),
        ({"features": 0.0}, "features and imposters"),
        ({"imposters": 1.1}, "features and imposters"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 64}, "seed"),
        ({"kind": "x"}, "kind"),
        ({"authors": np.array([0])}, "authors must be"),
        ({"authors": np.array([0, 2])}, "numbered"),
        ({"authors": np.array([-1, 0])}, "numbered"),
        ({"pool_authors": np.zeros(2, np.int64)}, "pool_authors must be"),
        ({"pool_authors": np.full(3, 1)}, "candidate 1 has no imposter"),
    ]:
        with pytest.raises(ValueError, match=why):
            call(rows[:1], rows[1:3], rows[3:], mean, sd, **options)
    with pytest.raises(ValueError, match="candidate 0 has no imposter"):
        call(rows[:1], rows[1:3], rows[:0], mean, sd)
    single = np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="candidate 0 has no imposter"):  # a corpus of one author
        call(rows[:1], rows[3:], rows[3:], mean, sd, authors=single, pool_authors=single)
    with pytest.raises(ValueError, match="pool must be"):
        call(rows[:1], rows[1:3], rows[3:, :3], mean, sd)
    assert call(rows[:0], rows[1:3], rows[3:], mean, sd).shape == (0, 2)
    assert call(rows[:2], rows[:0], rows[3:], mean, sd).shape == (2, 0)


# ---- a peer ----


@pytest.mark.parametrize("seed", range(4))
def test_burrows_as_faststylometry_computes_it(seed: int) -> None:
    """faststylometry 1.0.5 pools an author's books, and scales by the deviation (n - 1) over the authors."""
    rng = random.Random(seed)
    vocabulary = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el", "ir", "ot", "us")]
    train: list[tuple[str, str, list[str]]] = []
    test: list[tuple[str, str, list[str]]] = []
    for author in ("austen", "bronte", "carroll", "dickens", "eliot"):
        weights = [rng.gammavariate(2, 1) / (i + 1) for i in range(len(vocabulary))]
        for book in ("one", "two", "three"):
            tokens = rng.choices(vocabulary, weights, k=rng.randrange(400, 1500))
            (test if book == "three" else train).append((author, book, tokens))
    books = [" ".join(tokens) for _, _, tokens in train]
    # Words that are equally frequent have another order there, so the cut is made where none are.
    _, counts = words_of.most_frequent(of(books), len(vocabulary))
    k = next(k for k in range(50, 0, -1) if counts[k - 1] != counts[k])
    words, _ = words_of.most_frequent(of(books), k)

    known, asked = (Corpus(*(list(column) for column in zip(*some, strict=True))) for some in (train, test))
    theirs = calculate_burrows_delta(known, asked, vocab_size=k, tok_match_pattern="")
    assert {word_hash(word) for word in known.top_tokens} == set(words.tolist())

    authors = [author for author, _, _ in train]
    names = sorted(set(authors))
    of_authors = delta.frequencies(of(books), words, np.array([names.index(author) for author in authors]))
    of_asked = delta.frequencies(of([" ".join(tokens) for _, _, tokens in test]), words)
    mean, sd = delta.mean_and_sd(of_authors)
    assert (sd > 0).all()  # where it is 0, faststylometry divides by it
    ours = delta.delta(of_authors, of_asked, mean, sd, "burrows")
    assert theirs.index.tolist() == names
    columns = [f"{author} - {book}" for author, book, _ in test]
    np.testing.assert_allclose(ours, theirs[columns].to_numpy(), rtol=0, atol=1e-9)
    assert ours.argmin(axis=0).tolist() == [names.index(author) for author, _, _ in test]
