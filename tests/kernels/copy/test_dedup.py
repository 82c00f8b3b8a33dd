"""Duplicates against their definition, over many scripts, and where many texts are alike."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import dedup, lsh, shingle, sketch, stars
from kinprint.kernels.reference import dedup as reference
from kinprint.kernels.reference import lsh as reference_lsh
from kinprint.kernels.reference.fold import normalised_answer
from kinprint.kernels.spread import set_threads

WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "42",
    "Ünïcode",
    "don't",
    "привет",
    "你好世界",
    "😀",
    "สวัสดี",
)


@st.composite
def near_equal(draw: st.DrawFn) -> list[str]:
    """A few sentences, and copies of them with words changed, dropped and put in, in any order."""
    sentences = draw(st.lists(st.lists(st.sampled_from(WORDS), min_size=3, max_size=25), min_size=1, max_size=4))
    out = []
    for sentence in draw(st.lists(st.sampled_from(sentences), max_size=14)):
        words = list(sentence)
        for place, word in draw(st.dictionaries(st.integers(0, 24), st.sampled_from(WORDS), max_size=3)).items():
            words[place : place + draw(st.integers(0, 1))] = [word][: draw(st.integers(0, 1))]
        out.append(draw(st.sampled_from([" ", " ", "  ", "\xa0", "\r\n", ", "])).join(words))
    return out


several = st.one_of(
    near_equal(),
    st.lists(texts, max_size=6),
    st.tuples(near_equal(), st.lists(texts, max_size=4)).map(lambda both: [*both[0], *both[1]]),
    st.lists(texts, min_size=1, max_size=4).flatmap(lambda few: st.lists(st.sampled_from(few), max_size=12)),
)
"""Texts of which some are alike or the same."""
thresholds = st.one_of(st.sampled_from([1.0, 0.9, 0.7, 0.5, 0.3, 0.01]), st.floats(0.01, 1.0))
schemes = st.sampled_from(shingle.SHINGLINGS)


def arrow(strings: Sequence[str]) -> Texts:
    return Texts.from_offsets(*from_texts(strings))


def table(parts: Iterator[dedup.Pairs]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Pairs as the reference gives them; each comes once, the smaller row first."""
    found = [tuple(map(int, row)) for part in parts for row in zip(*part, strict=True)]
    assert all(row[0] < row[1] for row in found)
    assert len({row[:2] for row in found}) == len(found)
    return {row[:2]: row[2:] for row in found}  # type: ignore[misc]


def candidates(
    strings: Sequence[str], threshold: float, scheme: shingle.Shingling, sides: Sequence[int] | None = None
) -> set[tuple[int, int]]:
    """Pairs of first rows that the bands of their sketches make candidates."""
    signatures = sketch.sketch_texts(arrow(strings), scheme).signatures.tolist()
    bands, rows = lsh.choose_bands(threshold)
    found = reference_lsh.candidate_pairs(signatures, bands, rows, lsh.least_agreements(threshold))
    firsts = set(reference.first_rows(strings, sides))
    return {pair for pair in found if firsts.issuperset(pair)}


@contextmanager
def threads(count: int) -> Iterator[None]:
    set_threads(count)
    try:
        yield
    finally:
        set_threads(None)


# ---- against the definition ----


@settings(max_examples=150, deadline=None)
@given(several, thresholds, schemes, st.booleans(), st.booleans(), st.data())
def test_pairs_equal_reference(
    strings: list[str], threshold: float, scheme: shingle.Shingling, exact: bool, expand: bool, draw: st.DataObject
) -> None:
    """In exact mode all pairs; otherwise exactly those whose sketches share a band."""
    rows = dedup.rows_of(arrow(strings), scheme)
    n = len(strings)
    sides = draw.draw(st.one_of(st.none(), st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    run = dedup.Run()
    as_array = None if sides is None else np.array(sides, np.int32)
    found = table(dedup.find_pairs(rows, threshold, exact=exact, expand=expand, sides=as_array, run=run))
    looked_at = None if exact else candidates(strings, threshold, scheme, sides)
    expected = reference.pairs(strings, threshold, expand=expand, sides=sides, candidates=looked_at, scheme=scheme)
    assert found == expected
    firsts = reference.first_rows(strings, sides)
    assert run.rows == sum(first is not None for first in firsts)
    assert run.distinct == len(set(firsts) - {None})
    assert run.pairs == len(found)
    assert run.share == 1.0
    if exact:
        assert run.expected_recall == 1.0
    else:
        across = [pair for pair in looked_at or () if sides is None or sides[pair[0]] != sides[pair[1]]]
        assert run.candidates == len(across)
        assert run.expected_recall == lsh.recall(threshold, *lsh.choose_bands(threshold))


@settings(max_examples=150, deadline=None)
@given(several, thresholds, schemes, st.booleans())
def test_clusters_equal_reference(strings: list[str], threshold: float, scheme: shingle.Shingling, exact: bool) -> None:
    run = dedup.Run()
    rows = dedup.rows_of(arrow(strings), scheme)
    *progress, found = dedup.find_clusters(rows, threshold, exact=exact, run=run)
    assert all(part.size == 0 for part in progress)
    assert found.dtype == np.int64
    looked_at = None if exact else candidates(strings, threshold, scheme)
    assert found.tolist() == reference.clusters(strings, threshold, candidates=looked_at, scheme=scheme)
    assert run.share == 1.0


@settings(max_examples=150, deadline=None)
@given(several, thresholds, schemes, st.booleans())
def test_stars_equal_reference(strings: list[str], threshold: float, scheme: shingle.Shingling, exact: bool) -> None:
    run = dedup.Run()
    rows = dedup.rows_of(arrow(strings), scheme)
    *progress, found = dedup.find_clusters(rows, threshold, exact=exact, link="star", run=run)
    assert all(part.size == 0 for part in progress)
    looked_at = None if exact else candidates(strings, threshold, scheme)
    expected = reference.clusters(strings, threshold, candidates=looked_at, scheme=scheme, link="star")
    assert found.tolist() == expected
    answers = [i for i, first in enumerate(reference.first_rows(strings)) if first is not None]
    sizes = Counter(expected[i] for i in answers)
    assert run.clusters == len(sizes)
    assert run.largest == max(sizes.values(), default=0)
    if run.largest > 1:
        of = min(first for first, size in sizes.items() if size == run.largest)
        members = [i for i in answers if expected[i] == of]
        assert run.least_is_exact
        assert run.least_similarity == reference.least_similarity(strings, members, scheme)
        assert run.least_similarity >= 2 * threshold - 1 - 1e-12
    else:
        assert run.least_similarity is None


@settings(max_examples=60, deadline=None)
@given(several, thresholds, st.booleans(), st.data())
def test_a_star_is_a_matter_of_what_comes_before(
    strings: list[str], threshold: float, exact: bool, draw: st.DataObject
) -> None:
    """Texts that come after all others leave the stars of these as they were."""
    n = draw.draw(st.integers(0, len(strings)))
    some, every = (
        dedup.clusters(arrow(many), threshold, exact=exact, link="star").tolist() for many in (strings[:n], strings)
    )
    assert every[:n] == some


@settings(max_examples=60, deadline=None)
@given(several, thresholds, schemes)
def test_tables_of_all_that_was_found(strings: list[str], threshold: float, scheme: shingle.Shingling) -> None:
    found = dedup.pairs(arrow(strings), threshold, exact=True, shingles=scheme)
    expected = reference.pairs(strings, threshold, scheme=scheme)
    assert table(iter([found])) == expected
    for row, jaccard, in_a, in_b in zip(
        zip(*found, strict=True), found.jaccard, found.containment_a, found.containment_b, strict=True
    ):
        _, _, shared, size_a, size_b = map(int, row)
        assert jaccard == shared / (size_a + size_b - shared) >= threshold
        assert (in_a, in_b) == (shared / size_a, shared / size_b)
    first = dedup.clusters(arrow(strings), threshold, exact=True, shingles=scheme)
    assert first.tolist() == reference.clusters(strings, threshold, scheme=scheme)


@settings(max_examples=60, deadline=None)
@given(several, thresholds, st.booleans(), st.randoms())
def test_order_of_texts_makes_no_difference(strings: list[str], threshold: float, exact: bool, random: object) -> None:
    shuffled = list(strings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def named(many: list[str]) -> tuple[Counter, Counter]:
        answers = [normalised_answer(text) for text in many]
        found = table(dedup.find_pairs(dedup.rows_of(arrow(many)), threshold, exact=exact))
        first = dedup.clusters(arrow(many), threshold, exact=exact).tolist()
        members: dict[int, list[str]] = {}
        for row, answer in zip(first, answers, strict=True):
            members.setdefault(row, []).append(answer)
        return (
            Counter(frozenset((answers[a], answers[b])) for a, b in found),
            Counter(tuple(sorted(cluster)) for cluster in members.values()),
        )

    assert named(strings) == named(shuffled)


@pytest.mark.parametrize("exact", [False, True])
def test_pairs_of_equal_sets_are_always_found(exact: bool) -> None:
    """Punctuation keeps answers apart, but not their shingles: no recall below 1 at J = 1."""
    generator = np.random.default_rng(0)
    plain = [" ".join(f"w{k}" for k in generator.integers(0, 10_000, 30)) for _ in range(300)]
    strings = [*plain, *(text.replace(" ", ", ") for text in plain)]
    found = dedup.pairs(arrow(strings), 1.0, exact=exact)
    assert sorted(zip(found.a.tolist(), found.b.tolist(), strict=True)) == [(i, 300 + i) for i in range(300)]
    assert (found.jaccard == 1.0).all()
    assert dedup.clusters(arrow(strings), 1.0, exact=exact).tolist() == [*range(300), *range(300)]


def test_approximate_finds_what_is_well_above_the_threshold() -> None:
    generator = np.random.default_rng(1)
    strings = []
    for _ in range(400):
        words = [f"w{k}" for k in generator.integers(0, 5000, 60)]
        strings.append(" ".join(words))
        for place in generator.integers(0, 60, generator.integers(0, 8)):
            words[place] = "other"
        strings.append(" ".join(words))
    exact = table(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.5, exact=True))
    found = table(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.5))
    assert found.items() <= exact.items()
    high = {pair for pair, (shared, a, b) in exact.items() if shared / (a + b - shared) > 0.6}
    assert len(high) > 200
    assert high <= found.keys()


# ---- what the texts are ----

PASSAGES = {
    "english": "The committee met on Tuesday to discuss the new library, and agreed to open it before the winter.",
    "chinese": "委员会星期二开会讨论新的图书馆，大家一致同意应当在冬天到来之前开放，并且邀请所有居民参加。",
    "japanese": "委員会は火曜日に新しい図書館について話し合い、冬が来る前に開館することで全員が一致しました。",
    "thai": "คณะกรรมการประชุมเมื่อวันอังคารเพื่อหารือเกี่ยวกับห้องสมุดแห่งใหม่",
    "arabic": "اجتمعت اللجنة يوم الثلاثاء لمناقشة المكتبة الجديدة واتفق الجميع على افتتاحها قبل حلول الشتاء",
    "hindi": "समिति की बैठक मंगलवार को नए पुस्तकालय पर चर्चा करने के लिए हुई और सभी सहमत थे कि इसे जल्दी खुलना चाहिए",
    "ukrainian": "Комітет зібрався у вівторок обговорити нову бібліотеку, і всі погодилися відкрити її до зими.",
    "emoji": "😀😃😄😁😆😅😂🤣🥲😊😇🙂🙃😉😌😍🥰😘😗😙😚😋😛😝😜🤪🤨🧐🤓😎🥸🤩🥳😏😒😞😔😟😕🙁",
    "mixed": "Die Ausschußsitzung 委员会开会讨论新的图书馆 было решено открыть её 😀😃😄 with every résumé.",
}
"""Each with a copy whose last words differ, which are alike; no two passages are."""


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("scheme", shingle.SHINGLINGS)
def test_scripts(exact: bool, scheme: shingle.Shingling) -> None:
    names = list(PASSAGES)
    changed = [text[: -len(text) // 12] + " 9 x" for text in PASSAGES.values()]
    strings = [*PASSAGES.values(), *changed]
    found = table(dedup.find_pairs(dedup.rows_of(arrow(strings), scheme), 0.6, exact=exact))
    assert found == reference.pairs(strings, 0.6, scheme=scheme)
    assert {names[a] for a, b in found if b == a + len(names)} == set(names)
    assert len(found) == len(names)
    first = dedup.clusters(arrow(strings), 0.6, exact=exact, shingles=scheme)
    assert first.tolist() == [*range(len(names)), *range(len(names))]


@pytest.mark.parametrize("name", PASSAGES)
def test_one_answer_written_in_several_ways(name: str) -> None:
    """Composition, kinds and runs of white space, line ends and ignorable code points make no difference."""
    text = f"{PASSAGES[name]} Café, naïve Å and 각 tail"
    spaced = text.replace(" ", "  ")
    ways = [
        text,
        unicodedata.normalize("NFD", text),
        unicodedata.normalize("NFC", text),
        text.replace(" ", "\xa0"),
        text.replace(" ", "\u3000"),
        text.replace(" ", "\r\n"),
        text.replace(" ", "\n"),
        spaced.replace(" ", "\t"),
        f"\r\n {text}\u3000\u200b\n",
        text.replace("a", "\u00ada"),
        text.upper().lower() if name in {"english", "ukrainian"} else text,
    ]
    strings = ["something else entirely, of five words", *ways]
    run = dedup.Run()
    found = table(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.7, run=run))
    assert sorted(found) == [(1, k) for k in range(2, len(strings))]
    assert all(shared == a == b for shared, a, b in found.values())
    assert (run.rows, run.distinct, run.candidates) == (len(strings), 2, 0)
    assert dedup.clusters(arrow(strings), 0.7).tolist() == [0] + [1] * len(ways)


@pytest.mark.parametrize("exact", [False, True])
def test_blank_texts_match_nothing(exact: bool) -> None:
    blanks = ["", " ", "\u3000", "\r\n", "\u200b\ufeff", "\xa0"]
    strings = [*blanks, "a text that is not blank", *blanks, "a text that is not blank"]
    run = dedup.Run()
    rows = dedup.rows_of(arrow(strings))
    assert rows.blank.tolist() == [True] * 6 + [False] + [True] * 6 + [False]
    found = table(dedup.find_pairs(rows, 0.1, exact=exact, expand=True, run=run))
    assert list(found) == [(6, 13)]
    assert (run.rows, run.distinct, run.pairs) == (2, 1, 1)
    assert dedup.clusters(arrow(strings), 0.1, exact=exact).tolist() == [*range(13), 6]
    for nothing in (blanks, [], [""]):
        sides = np.arange(len(nothing), dtype=np.int32) % 2
        assert table(dedup.find_pairs(dedup.rows_of(arrow(nothing)), 0.5, exact=exact)) == {}
        assert table(dedup.find_pairs(dedup.rows_of(arrow(nothing)), 0.5, exact=exact, sides=sides)) == {}
        assert dedup.clusters(arrow(nothing), 0.5, exact=exact).tolist() == list(range(len(nothing)))
        assert len(dedup.pairs(arrow(nothing)).jaccard) == 0


@pytest.mark.parametrize("exact", [False, True])
def test_texts_of_a_mebibyte(exact: bool) -> None:
    generator = np.random.default_rng(2)
    words = [f"w{k}" for k in generator.integers(0, 100_000, 200_000)]
    long = " ".join(words)[: 1 << 20]
    spaceless = "".join(map(chr, generator.integers(0x4E00, 0x9FA0, (1 << 20) // 3)))
    strings = [
        long,
        spaceless,
        "short and alike to nothing",
        long.replace("w7", "v7"),
        spaceless[:-1000],
        " ".join(reversed(words)),
        "a " * (1 << 19),
        "x" * (1 << 20),
        "a a a",
    ]
    assert max(len(text.encode()) for text in strings[:5]) == 1 << 20
    found = table(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.5, exact=exact))
    assert found.keys() == {(0, 3), (1, 4), (6, 8)}
    hashes, indptr, _ = shingle.shingle_sets(*from_texts(strings))
    sets = [hashes[indptr[i] : indptr[i + 1]] for i in range(len(strings))]
    for (a, b), counts in found.items():
        assert counts == (len(np.intersect1d(sets[a], sets[b])), len(sets[a]), len(sets[b]))
    assert found[6, 8] == (1, 1, 1)


# ---- many that are alike ----


@pytest.mark.parametrize("exact", [False, True])
def test_thousands_of_identical_texts(exact: bool) -> None:
    n = 20_000
    strings = ["The very same answer, again and again."] * n
    run = dedup.Run()
    rows = dedup.rows_of(arrow(strings))
    parts = list(dedup.find_pairs(rows, 0.7, exact=exact, run=run))
    assert max(len(part.a) for part in parts) <= dedup.CHUNK
    found = dedup.Pairs.joined(parts)
    assert np.array_equal(found.a, np.zeros(n - 1))
    assert np.array_equal(found.b, np.arange(1, n))
    assert (found.jaccard == 1.0).all()
    assert (run.rows, run.distinct, run.candidates, run.pairs) == (n, 1, 0, n - 1)
    assert not dedup.clusters(arrow(strings), 0.7, exact=exact).any()


def test_expansion_of_many_identical_texts() -> None:
    """Every pair of 600 copies of one text and 400 of another that is like it."""
    answer = "one two three four five six seven eight nine ten"
    kinds = np.random.default_rng(3).permutation([0] * 600 + [1] * 400)
    strings = [answer + " eleven" * int(kind) for kind in kinds]
    run = dedup.Run()
    parts = list(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.7, expand=True, run=run))
    assert max(len(part.a) for part in parts) <= dedup.CHUNK
    assert len(parts) < 15
    found = dedup.Pairs.joined(parts)
    assert run.pairs == len(found.a) == 1000 * 999 // 2
    assert len(np.unique(found.a * 1000 + found.b)) == len(found.a)
    assert (found.a < found.b).all()
    assert np.array_equal(found.size_a, 8 + kinds[found.a])
    assert np.array_equal(found.size_b, 8 + kinds[found.b])
    assert np.array_equal(found.shared, np.where(kinds[found.a] & kinds[found.b], 9, 8))


@pytest.mark.parametrize("expand", [False, True])
def test_sides_of_many_identical_texts(expand: bool) -> None:
    strings = ["The very same answer, again and again."] * 300
    sides = np.random.default_rng(4).integers(0, 2, 300).astype(np.int32)
    sides[:2] = 1, 0
    for exact in (False, True):
        rows = dedup.rows_of(arrow(strings))
        found = table(dedup.find_pairs(rows, 0.7, exact=exact, expand=expand, sides=sides))
        if expand:
            assert len(found) == sides.sum() * (300 - sides.sum())
            assert all(sides[a] != sides[b] for a, b in found)
        else:
            assert list(found) == [(0, 1)]


def templates(n: int) -> list[str]:
    """Letters that differ in a name and a number."""
    body = " ".join(f"word{k % 37}x{k}" for k in range(120))
    return [f"Dear customer {i}, {body} with regards from agent {i * 7919 % 10_007}" for i in range(n)]


def test_thousands_of_near_equal_texts_in_one_cluster() -> None:
    """All 12 million pairs are near-duplicates; a few looks for each text find the cluster."""
    strings = templates(5000)
    run = dedup.Run()
    *_, first = dedup.find_clusters(dedup.rows_of(arrow(strings)), 0.8, run=run)
    assert not first.any()
    assert run.distinct == 5000
    assert run.candidates < 5 * 5000


@pytest.mark.parametrize("exact", [False, True])
def test_all_pairs_of_near_equal_texts(exact: bool) -> None:
    strings = templates(400)
    run = dedup.Run()
    parts = list(dedup.find_pairs(dedup.rows_of(arrow(strings)), 0.8, exact=exact, run=run))
    assert len(table(iter(parts))) == 400 * 399 // 2
    assert run.pairs == 400 * 399 // 2


@pytest.mark.parametrize("exact", [False, True])
def test_threads_make_no_difference(exact: bool) -> None:
    generator = np.random.default_rng(5)
    vocabulary = [f"w{k}" for k in range(12)]
    strings = [" ".join(generator.choice(vocabulary, generator.integers(0, 30))) for _ in range(300)]
    strings += [text + " more" for text in strings] + templates(50)
    sides = (np.arange(len(strings)) % 2).astype(np.int32)
    results = []
    for count in (1, 2):
        with threads(count):
            rows = dedup.rows_of(arrow(strings))
            results.append(
                (
                    table(dedup.find_pairs(rows, 0.5, exact=exact)),
                    table(dedup.find_pairs(rows, 0.5, exact=exact, sides=sides)),
                    dedup.clusters(arrow(strings), 0.5, exact=exact).tolist(),
                    dedup.clusters(arrow(strings), 0.5, exact=exact, link="star").tolist(),
                )
            )
    assert results[0] == results[1]
    assert len(results[0][0]) > 300


def chain(n: int, step: int = 8, width: int = 60) -> list[str]:
    """Texts of which each is like its neighbours, and unlike those further away."""
    return [" ".join(f"w{k}" for k in range(step * i, step * i + width)) for i in range(n)]


@pytest.mark.parametrize("exact", [False, True])
def test_a_chain_is_one_component_and_many_stars(exact: bool) -> None:
    strings = chain(300)
    whole, run = dedup.Run(), dedup.Run()
    rows = dedup.rows_of(arrow(strings))
    *_, component = dedup.find_clusters(rows, 0.7, exact=exact, run=whole)
    *_, star = dedup.find_clusters(rows, 0.7, exact=exact, link="star", run=run)
    assert not component.any()
    assert (whole.clusters, whole.largest, whole.least_is_exact) == (1, 300, False)
    assert whole.least_similarity == 0.0
    # Neighbours have 50 of 66 shingles in common, the next but one 42 of 74: by twos, each with the one before.
    assert star.tolist() == [i - i % 2 for i in range(300)]
    assert (run.clusters, run.largest, run.least_similarity) == (150, 2, 50 / 66)


def test_stars_of_a_large_component_are_those_of_all_pairs() -> None:
    """Blocks, buckets and batches make no difference to what a row joins."""
    generator = np.random.default_rng(6)
    body = [f"w{k}" for k in range(60)]
    strings = []
    for _ in range(700):
        words = list(body)
        for place in generator.integers(0, 60, generator.integers(0, 9)):
            words[place] = f"v{generator.integers(0, 4)}"
        strings.append(" ".join(words))
    pairs = dedup.pairs(arrow(strings), 0.7)
    found = {(int(a), int(b)): float(s) for a, b, s in zip(pairs.a, pairs.b, pairs.jaccard, strict=True)}
    firsts = reference.first_rows(strings)
    distinct = {pair: s for pair, s in found.items() if all(firsts[i] == i for i in pair)}
    leaders = reference.stars(len(strings), distinct)
    run = dedup.Run()
    *_, star = dedup.find_clusters(dedup.rows_of(arrow(strings)), 0.7, link="star", run=run)
    assert star.tolist() == [leaders[first] for first in firsts]  # type: ignore[index]
    assert len(set(dedup.clusters(arrow(strings), 0.7).tolist())) < run.clusters
    assert run.largest > dedup.SMALL


def test_thousands_of_near_equal_texts_in_one_star() -> None:
    strings = templates(5000)
    run = dedup.Run()
    *_, first = dedup.find_clusters(dedup.rows_of(arrow(strings)), 0.8, link="star", run=run)
    assert not first.any()
    assert run.candidates < 7 * 5000
    assert (run.clusters, run.largest, run.least_is_exact) == (1, 5000, False)
    assert 0.6 <= run.least_similarity <= 1.0  # type: ignore[operator]


@pytest.mark.parametrize(("crowd", "looks"), [(1, 64), (128, 1), (2, 2)])
def test_every_member_is_like_its_representative_whatever_is_passed_over(crowd: int, looks: int) -> None:
    strings = chain(400, step=3)
    rows = dedup.rows_of(arrow(strings))
    roots = dedup.clusters(arrow(strings), 0.7)
    bands, band_rows = lsh.choose_bands(0.7)
    cut = stars.Bands(bands, band_rows, lsh.least_agreements(0.7))
    every = np.arange(400)
    *_, (_, made) = stars.of_components(
        rows.signatures,
        roots,
        cut,
        0.7,
        lambda a, b: dedup.similarities(rows, a, b),
        only=every,
        crowd=crowd,
        looks=looks,
    )
    assert made is not None
    assert np.array_equal(dedup.similarities(rows, made.first, every), made.similarity)
    assert (made.similarity >= 0.7).all()
    assert (made.first <= every).all()
    assert np.array_equal(made.first[made.first], made.first)


def test_progress() -> None:
    shares: list[float] = []
    strings = [f"a text of some words that is number {i}" for i in range(dedup.SKETCHED_AT_ONCE + 10)]
    rows = dedup.rows_of(arrow(strings), progress=shares.append)
    assert len(rows) == len(strings)
    assert 0.9 < shares[0] < shares[1] == 1.0
    assert np.array_equal(rows.signatures, sketch.sketch(*from_texts(strings)).signatures)


def test_refuses() -> None:
    rows = dedup.rows_of(arrow(["a b c d", "a b c e"]))
    for threshold in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold must be"):
            dedup.find_pairs(rows, threshold)
        with pytest.raises(ValueError, match="threshold must be"):
            dedup.find_clusters(rows, threshold)
    for sides in (np.zeros(1, np.int32), np.zeros(2, np.int64)):
        with pytest.raises(ValueError, match=r"sides must be int32\[2\]"):
            dedup.find_pairs(rows, 0.5, sides=sides)
    for side in (2, -1):
        with pytest.raises(ValueError, match="0 and 1"):
            dedup.find_pairs(rows, 0.5, sides=np.array([0, side], np.int32))
    with pytest.raises(ValueError, match="link must be"):
        dedup.find_clusters(rows, 0.5, link="chain")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shingles must be"):
        dedup.rows_of(arrow(["a"]), "w4")  # type: ignore[arg-type]
