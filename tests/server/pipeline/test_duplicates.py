"""Duplicates: all pairs, against every pair compared by the definitions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import pytest
from corpus_rows import family, stored, write
from kinprint.kernels import lsh
from kinprint.kernels.reference import lsh as lsh_reference
from kinprint.kernels.reference import shingle as reference
from kinprint.kernels.reference import sketch as sketch_reference
from kinprint.server.pipeline import duplicates
from kinprint.server.pipeline.corpus import Corpus
from kinprint.server.pipeline.duplicates import Pairs, Progress, Totals, find_duplicates
from kinprint.server.pipeline.index import Filter
from kinprint.server.pipeline.normalise import Submission

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
    """All rows and all pairs by definition."""

    def __init__(self, corpora: Sequence[Corpus], model: str | None = None) -> None:
        self.texts: dict[Key, str] = {
            (n, name): row["response"]
            for n, corpus in enumerate(corpora)
            for name, row in stored(corpus).items()
            if "copy" in row["channels"] and model in (None, row["model"])
        }
        self.keys = sorted(self.texts)
        self.groups: dict[tuple[int, int], list[Key]] = {}
        for key in self.keys:
            self.groups.setdefault(reference.text_hash(self.texts[key]), []).append(key)
        self.first = sorted(group[0] for group in self.groups.values())
        self.group_of = {group[0]: group for group in self.groups.values()}
        self.sets = {key: reference.shingle_set(self.texts[key])[0] for key in self.first}

    def candidates(self, threshold: float) -> list[Pair]:
        """Pairs of groups that share a band."""
        bands, rows = lsh.choose_bands(threshold)
        sketches = [sketch_reference.sketch(self.sets[key]) for key in self.first]
        pairs = lsh_reference.candidate_pairs(sketches, bands, rows)
        return [(self.first[i], self.first[j]) for i, j in pairs]

    def sizes(self, a: Key, b: Key) -> tuple[float, float, float]:
        x, y = self.sets[a], self.sets[b]
        shared = len(x & y)
        return shared / len(x | y), shared / len(x), shared / len(y)

    def pairs(self, threshold: float, expand: bool) -> dict[Pair, tuple[float, float, float]]:
        found: dict[Pair, tuple[float, float, float]] = {}
        for group in self.groups.values():
            inside = combinations(group, 2) if expand else ((group[0], other) for other in group[1:])
            found |= dict.fromkeys(inside, (1.0, 1.0, 1.0))
        for a, b in self.candidates(threshold):
            score, in_a, in_b = self.sizes(a, b)
            if score < threshold:
                continue
            for x, y in product(self.group_of[a], self.group_of[b]) if expand else [(a, b)]:
                found[min(x, y), max(x, y)] = (score, in_a, in_b) if x < y else (score, in_b, in_a)
        return found


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
        found, totals = run(some, 0.7, rows=wanted)
        assert found.keys() == every.pairs(0.7, False).keys()
        assert totals.rows == len(every.texts)
    found, totals = run(corpora, 0.7, rows=Filter(models=frozenset({"nobody"})))
    assert (found, totals.rows, totals.distinct, totals.blank) == ({}, 0, 0, 0)


@pytest.mark.parametrize("expand", [False, True])
def test_small_chunks_change_nothing(corpora: list[Corpus], expand: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, totals = run(corpora, 0.6, expand=expand)
    monkeypatch.setattr(duplicates, "CHUNK", 3)
    assert run(corpora, 0.6, expand=expand) == (whole, totals)


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
        found, totals = run(views, 0.5)
        assert found == {}
        assert (totals.pairs, totals.rows, totals.candidates) == (0, 0, 0)


def test_cancelled_runs_end(corpora: list[Corpus], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "CHUNK", 1)
    asked = 0

    def after_a_while() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    messages = list(find_duplicates([c.view for c in corpora], 0.5, cancelled=after_a_while))
    verified = [m for m in messages if isinstance(m, Pairs) and m.jaccard[0] < 1]
    assert len(verified) <= 3
