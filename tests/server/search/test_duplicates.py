"""Duplicates: all pairs and the clusters of them, against every pair compared by the definitions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
from corpus_rows import family, stored, write
from kinprint.kernels.copy import dedup, lsh
from kinprint.kernels.reference import dedup as reference
from kinprint.kernels.reference import lsh as lsh_reference
from kinprint.kernels.reference import sketch as sketch_reference
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.progress import Progress
from kinprint.server.search import duplicates
from kinprint.server.search.duplicates import Clusters, Pairs, Totals, find_clusters, find_duplicates

Key = tuple[int, str]
Pair = tuple[Key, Key]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """Two corpora with parts on disk and in memory, dead rows, blank ones, and one without sketch."""
    chance = random.Random(21)
    made = []
    answers = [*family(chance, 80, length=90, kept=0.92), "", " \n", "word", "Word ", "日本", "!?", "!?"]
    for name in ("left", "right"):
        corpus = Corpus.create(tmp_path_factory.mktemp("duplicates") / name, name, "")
        chance.shuffle(answers)
        rows = [
            Submission(a, id=f"{chance.randrange(10**6)}", language="en", model=chance.choice(["anna", "bert"]))
            for a in answers
        ]
        write(corpus, rows[:40])
        corpus.publish()
        write(corpus, rows[40:])
        write(corpus, [Submission(answers[0], id="no-sketch", language="en")], ["style"])
        corpus.delete([row.id for row in rows[::10]])
        made.append(corpus)
    return made


class Everything:
    """All rows, in the order of (corpus, id), and all pairs and clusters by definition."""

    def __init__(self, corpora: Sequence[Corpus], model: str | None = None) -> None:
        rows = {
            (n, name): row["response"]
            for n, corpus in enumerate(corpora)
            for name, row in stored(corpus).items()
            if "copy" in row["channels"] and model in (None, row["model"])
        }
        self.keys: list[Key] = sorted(rows)
        self.texts = [rows[key] for key in self.keys]
        self.sets = reference.sets_of(self.texts)
        self.firsts = reference.first_rows(self.texts)
        self.first = [key for key, i, first in zip(self.keys, range(len(rows)), self.firsts, strict=True) if i == first]
        self.set_of = dict(zip(self.keys, self.sets, strict=True))

    def sides(self, between: int | None) -> list[int] | None:
        return None if between is None else [int(n >= between) for n, _ in self.keys]

    def candidates(self, threshold: float, between: int | None = None) -> set[tuple[int, int]]:
        """Pairs of distinct answers that share a band and agree in slots enough."""
        sides = self.sides(between)
        first = sorted({i for i in reference.first_rows(self.texts, sides) if i is not None})
        sketches = [sketch_reference.sketch(self.sets[i]) for i in first]
        labels = [sides[i] for i in first] if sides else None
        least = lsh.least_agreements(threshold)
        pairs = lsh_reference.candidate_pairs(sketches, *lsh.choose_bands(threshold), least, labels)
        return {(first[i], first[j]) for i, j in pairs}

    def sizes(self, a: Key, b: Key) -> tuple[float, float, float]:
        x, y = self.set_of[a], self.set_of[b]
        shared = len(x & y)
        return shared / len(x | y), shared / len(x), shared / len(y)

    def pairs(
        self, threshold: float, expand: bool = False, exact: bool = False, between: int | None = None
    ) -> dict[Pair, tuple[float, float, float]]:
        candidates = None if exact else self.candidates(threshold, between)
        sides = self.sides(between)
        found = reference.pairs(self.texts, threshold, expand=expand, sides=sides, candidates=candidates)
        return {
            (self.keys[i], self.keys[j]): (shared / (a + b - shared), shared / a, shared / b)
            for (i, j), (shared, a, b) in found.items()
        }

    def clusters(self, threshold: float, exact: bool = False, link: dedup.Link = "component") -> dict[Key, Key]:
        candidates = None if exact else self.candidates(threshold)
        found = reference.clusters(self.texts, threshold, candidates=candidates, link=link)
        return {key: self.keys[i] for key, i in zip(self.keys, found, strict=True)}


def run(corpora: Sequence[Corpus], threshold: float, **options: object) -> tuple[dict[Pair, tuple], Totals]:
    found: dict[Pair, tuple] = {}
    totals = None
    share = 0.0
    for message in find_duplicates([c.view for c in corpora], threshold, **options):  # type: ignore[arg-type]
        assert totals is None, "totals come last"
        if isinstance(message, Totals):
            totals = message
        elif isinstance(message, Progress):
            assert share <= message.share <= 1.0
            share = message.share
        else:
            assert isinstance(message, Pairs)
            columns = zip(
                zip(message.corpus_a.tolist(), message.id_a, strict=True),
                zip(message.corpus_b.tolist(), message.id_b, strict=True),
                zip(
                    message.jaccard.tolist(),
                    message.containment_a.tolist(),
                    message.containment_b.tolist(),
                    strict=True,
                ),
                strict=True,
            )
            for a, b, sizes in columns:
                assert a < b
                assert (a, b) not in found, "a pair came twice"
                found[a, b] = sizes
    assert totals is not None
    assert share == 1.0
    assert totals.pairs == len(found)
    return found, totals


@pytest.mark.parametrize("expand", [False, True], ids=["collapsed", "expanded"])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
def test_all_pairs(corpora: list[Corpus], threshold: float, expand: bool) -> None:
    every = Everything(corpora)
    found, totals = run(corpora, threshold, expand=expand)
    expected = every.pairs(threshold, expand)
    assert found.keys() == expected.keys()
    for pair, sizes in expected.items():
        assert found[pair] == pytest.approx(sizes)
    assert totals.rows == len(every.texts)
    assert totals.distinct == len(every.first)
    assert totals.candidates == len(every.candidates(threshold))
    assert totals.blank == sum(row["text_hash"] is None for corpus in corpora for row in stored(corpus).values())
    assert 0.9 <= totals.expected_recall <= 1.0
    if not expand:
        # Of identical answers each is paired once with the first, and only the first with others.
        first = set(every.first)
        assert all(a in first for a, _ in found)
        later = [b for _, b in found if b not in first]
        assert len(later) == len(set(later)) == len(every.keys) - len(first)


@pytest.mark.parametrize("expand", [False, True], ids=["collapsed", "expanded"])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.9, 1.0])
def test_exact_misses_nothing(corpora: list[Corpus], threshold: float, expand: bool) -> None:
    """Without sketches on either side: every two texts are compared."""
    every = Everything(corpora)
    found, totals = run(corpora, threshold, expand=expand, exact=True)
    expected = every.pairs(threshold, expand, exact=True)
    assert len(expected) > 20
    assert found.keys() == expected.keys()
    for pair, sizes in expected.items():
        assert found[pair] == pytest.approx(sizes)
    assert (totals.rows, totals.distinct, totals.expected_recall) == (len(every.texts), len(every.first), 1.0)


@pytest.mark.parametrize("expand", [False, True], ids=["collapsed", "expanded"])
@pytest.mark.parametrize("exact", [False, True], ids=["sketches", "exact"])
@pytest.mark.parametrize("model", [None, "anna"])
def test_between_two_sides(corpora: list[Corpus], exact: bool, expand: bool, model: str | None, tmp_path: Path) -> None:
    """Only pairs of one of the first corpora and one of the others, identical answers of both sides included."""
    third = Corpus.create(tmp_path / "third", "third", "")
    some = [row["response"] for row in stored(corpora[0]).values()][::4]
    write(third, [Submission(text, id=f"x{n}", language="en", model="anna") for n, text in enumerate(some)])
    rows = Filter() if model is None else Filter(models=frozenset({model}))
    for sides, between in ((corpora, 1), ([*corpora, third], 1), ([*corpora, third], 2)):
        every = Everything(sides, model)
        found, totals = run(sides, 0.6, expand=expand, exact=exact, between=between, rows=rows)
        expected = every.pairs(0.6, expand, exact, between)
        assert found.keys() == expected.keys()
        assert all(a < between <= b for (a, _), (b, _) in found)
        assert any(sizes[0] == 1 for sizes in found.values())
        for pair, sizes in expected.items():
            assert found[pair] == pytest.approx(sizes)
        assert totals.rows == len(every.texts)
        if not exact:
            assert totals.candidates == len(every.candidates(0.6, between))


def clusters(corpora: Sequence[Corpus], threshold: float, **options: object) -> tuple[dict[Key, Key], Totals]:
    """The cluster of every row, checked to come in order."""
    found: dict[Key, Key] = {}
    totals = None
    for message in find_clusters([c.view for c in corpora], threshold, **options):  # type: ignore[arg-type]
        assert totals is None, "totals come last"
        if isinstance(message, Totals):
            totals = message
        elif isinstance(message, Clusters):
            own = list(zip(message.corpus.tolist(), message.id, strict=True))
            named = list(zip(message.cluster_corpus.tolist(), message.cluster, strict=True))
            assert message.is_representative.tolist() == [a == b for a, b in zip(own, named, strict=True)]
            found |= zip(own, named, strict=True)
    assert totals is not None
    assert list(found) == sorted(found)
    assert totals.clusters == len(set(found.values()))
    return found, totals


@pytest.mark.parametrize("exact", [False, True], ids=["sketches", "exact"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_clusters(corpora: list[Corpus], threshold: float, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "ROWS", 50)
    every = Everything(corpora)
    found, totals = clusters(corpora, threshold, exact=exact)
    assert found == every.clusters(threshold, exact)
    assert (totals.pairs, totals.rows, totals.distinct) == (0, len(every.texts), len(every.first))
    assert totals.blank == sum(row["text_hash"] is None for corpus in corpora for row in stored(corpus).values())
    if not exact:
        assert totals.candidates <= 2 * len(every.candidates(threshold))


@pytest.mark.parametrize("exact", [False, True], ids=["sketches", "exact"])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_stars(corpora: list[Corpus], threshold: float, exact: bool) -> None:
    """Every row is over the threshold to the one that names its cluster, which has the smallest id in it."""
    every = Everything(corpora)
    found, totals = clusters(corpora, threshold, exact=exact, link="star")
    assert found == every.clusters(threshold, exact, "star")
    assert all(every.sizes(key, leader)[0] >= threshold for key, leader in found.items() if key != leader)
    assert all(leader <= key for key, leader in found.items())
    sizes = Counter(found.values())
    assert totals.largest_cluster == max(sizes.values())
    largest = min(leader for leader, size in sizes.items() if size == totals.largest_cluster)
    members = [key for key, leader in found.items() if leader == largest]
    least = min(every.sizes(a, b)[0] for a, b in combinations(members, 2))
    assert totals.least_is_exact
    assert totals.least_similarity == pytest.approx(least)


def test_clusters_of_some(corpora: list[Corpus]) -> None:
    for some, model in ((corpora[:1], None), (corpora[1:], "anna"), (corpora, "bert")):
        wanted = Filter() if model is None else Filter(models=frozenset({model}))
        for exact in (False, True):
            found, _ = clusters(some, 0.6, rows=wanted, exact=exact)
            assert found == Everything(some, model).clusters(0.6, exact)
    found, totals = clusters(corpora, 0.7, rows=Filter(models=frozenset({"nobody"})))
    assert (found, totals.clusters, totals.rows) == ({}, 0, 0)


def test_hardly_a_pair_is_missed(corpora: list[Corpus]) -> None:
    """Without the bands in between: nearly every pair at the threshold, all pairs well above it."""
    every = Everything(corpora)
    for threshold in (0.5, 0.7, 0.9):
        found, totals = run(corpora, threshold)
        alike = {pair: every.sizes(*pair)[0] for pair in combinations(every.first, 2)}
        true = {pair for pair, score in alike.items() if score >= threshold}
        assert len(true) > 3
        assert len(true & found.keys()) >= (totals.expected_recall - 0.05) * len(true)
        assert {pair for pair in true if alike[pair] >= min(threshold + 0.15, 0.97)} <= found.keys()


def test_one_corpus_and_filters(corpora: list[Corpus]) -> None:
    for some, model in ((corpora[:1], None), (corpora[1:], "anna"), (corpora, "bert")):
        every = Everything(some, model)
        wanted = Filter() if model is None else Filter(models=frozenset({model}))
        for exact in (False, True):
            found, totals = run(some, 0.7, rows=wanted, exact=exact)
            assert found.keys() == every.pairs(0.7, exact=exact).keys()
            assert totals.rows == len(every.texts)
    found, totals = run(corpora, 0.7, rows=Filter(models=frozenset({"nobody"})))
    assert (found, totals.rows, totals.distinct, totals.blank) == ({}, 0, 0, 0)


@pytest.mark.parametrize("expand", [False, True])
def test_small_chunks_change_nothing(corpora: list[Corpus], expand: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, totals = run(corpora, 0.6, expand=expand)
    groups, _ = clusters(corpora, 0.6)
    monkeypatch.setattr(dedup, "CHUNK", 3)
    assert run(corpora, 0.6, expand=expand) == (whole, totals)
    assert clusters(corpora, 0.6)[0] == groups


def test_identical_answers_are_paired_with_the_smallest_id(tmp_path: Path) -> None:
    """The smallest by code points, not by time, nor by number."""
    corpus = Corpus.create(tmp_path / "c", "c", "")
    text = "an answer of enough words to have several shingles, given again and again"
    edited = text + " indeed"
    for name in ("b", "10", "9", "ä", "a", "Z"):
        write(corpus, [Submission(text.upper() if name == "9" else text, id=name, language="en")])
    write(corpus, [Submission(edited, id="0-edited", language="en"), Submission(edited, id="y", language="en")])
    found, totals = run([corpus], 0.7)
    assert {(a, b) for (_, a), (_, b) in found} == {
        ("10", "9"),
        ("10", "Z"),
        ("10", "a"),
        ("10", "b"),
        ("10", "ä"),
        ("0-edited", "y"),
        ("0-edited", "10"),
    }
    assert (totals.rows, totals.distinct, totals.blank) == (8, 2, 0)
    sizes = found[(0, "0-edited"), (0, "10")]
    assert sizes[1] < sizes[2] == 1.0  # the edited answer holds the other and more
    expanded, _ = run([corpus], 0.7, expand=True)
    assert len(expanded) == 6 * 5 // 2 + 1 + 6 * 2


def test_blank_answers_are_no_duplicates(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    write(corpus, [Submission(t, id=f"{n}", language="en") for n, t in enumerate(("", " ", "\n", "\u200b", "x"))])
    found, totals = run([corpus], 0.5)
    assert (found, totals.rows, totals.blank) == ({}, 1, 4)


def test_nothing_at_all(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    for views in ([], [corpus]):
        for exact in (False, True):
            found, totals = run(views, 0.5, exact=exact)
            assert found == {}
            assert (totals.pairs, totals.rows, totals.candidates) == (0, 0, 0)
            assert run(views, 0.5, exact=exact, between=len(views))[0] == {}
            groups, totals = clusters(views, 0.5, exact=exact)
            assert (groups, totals.clusters) == ({}, 0)


@pytest.mark.parametrize("exact", [False, True], ids=["sketches", "exact"])
def test_cancelled_runs_end(corpora: list[Corpus], exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "CHUNK", 1)
    asked = 0

    def after_a_while() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    views = [c.view for c in corpora]
    messages = list(find_duplicates(views, 0.5, cancelled=after_a_while, exact=exact))
    verified = [m for m in messages if isinstance(m, Pairs) and m.jaccard[0] < 1]
    assert len(verified) <= 3
    assert not any(isinstance(m, Totals) for m in messages)
    messages = list(find_clusters(views, 0.5, cancelled=lambda: True, exact=exact))  # type: ignore[arg-type]
    assert all(isinstance(m, Progress) for m in messages)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01])
def test_refuses(threshold: float) -> None:
    for look in (find_duplicates, find_clusters):
        with pytest.raises(ValueError, match="threshold"):
            list(look([], threshold))  # type: ignore[operator]
