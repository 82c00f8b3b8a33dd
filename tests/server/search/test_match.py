"""Match: every channel's search against a scan of all rows by the definitions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import corpus_rows
import faiss
import numpy as np
import pytest
from corpus_rows import embed, family, stored, write
from kinprint.kernels.copy import seeds
from kinprint.kernels.reference import seeds as seeds_reference
from kinprint.kernels.reference import shingle as shingle_reference
from kinprint.kernels.reference import stylometry as style_reference
from kinprint.kernels.reference.fold import normalised_answer
from kinprint.kernels.style import stylometry
from kinprint.server.channels import CHANNELS, candidates, nearest
from kinprint.server.channels.copy import CopyMatch
from kinprint.server.channels.protocol import Found, Limits
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.embed import align
from kinprint.server.search.query import Query, stored_sentences
from kinprint.server.search.run import find

STYLE = CHANNELS["style"]


def search(channel: str, query: Query, views: Any, wanted: Filter, top: int, floor: float | None) -> Found[Any]:
    """One channel's search."""
    return find(channel, query, views, wanted, Limits(top, floor))


def search_copy(query: Query, views: Any, wanted: Filter, top: int, floor: float | None) -> Found[Any]:
    return search("copy", query, views, wanted, top, floor)


def search_style(query: Query, views: Any, wanted: Filter, top: int, floor: float | None) -> list[Any]:
    return search("style", query, views, wanted, top, floor).matches


def search_semantic(vectors: Any, query: Query, views: Any, wanted: Filter, top: int, floor: float | None) -> list[Any]:
    return search("semantic", replace(query, sentences=vectors), views, wanted, top, floor).matches


def style_scale(views: Any) -> Any:
    return STYLE.scale(part for view in views for part in view.parts)  # type: ignore[attr-defined]


SHORT = ["word", "two words", "日本", "!?", "Word "]
CHINESE = [
    "朗读会让眼睛慢下来,慢到声音的速度,于是默读时一滑而过的错误就听得见了",
    "朗读会让眼睛慢下来,慢到声音的速度,错误就听得见了",
]


@dataclass(frozen=True)
class Row:
    """What a test knows of a stored row."""

    corpus: str
    sent: Submission

    @property
    def key(self) -> tuple[str, str]:
        return self.corpus, self.sent.id


@dataclass(frozen=True)
class World:
    """Two corpora with parts on disk and in memory, dead rows, blank rows and rows without a channel."""

    corpora: list[Corpus]
    rows: dict[tuple[str, str], Row]
    channels: dict[tuple[str, str], set[str]]

    @property
    def views(self) -> list[Any]:
        return [c.view for c in self.corpora]

    def having(self, channel: str) -> list[Row]:
        """Living rows with a channel, in no order."""
        return [self.rows[key] for key, channels in self.channels.items() if channel in channels]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    chance = random.Random(11)
    corpora, rows = [], {}
    answers = [*family(chance, 45, length=40), *SHORT, *CHINESE, "", " \n"]
    for name in ("left", "right"):
        corpus = Corpus.create(tmp_path_factory.mktemp("match") / name, name, "")
        chance.shuffle(answers)
        sent = [
            Submission(
                answer,
                id=f"{chance.randrange(10**6):06d}-{n}",
                model=chance.choice([None, "anna", "bert", "carl"]),
                language=chance.choice(["en", "en-GB", "de"]),
                created_us=chance.choice([None, 1_000, 2_000, 3_000]),
            )
            for n, answer in enumerate(answers)
        ]
        third = len(sent) // 3
        for number, some in enumerate((sent[:third], sent[third : 2 * third], sent[2 * third :])):
            write(corpus, some, [("copy",), ("copy", "style"), ("style",)][number])
            if number < 2:
                corpus.publish()
        write(corpus, sent[-10:], ["copy"])
        doomed = [row.id for row in sent[::9]]
        corpus.delete(doomed)
        replaced = Submission(answers[3] + " and more", id=sent[1].id, language="en")
        write(corpus, [replaced])
        sent[1] = replaced
        hashes = corpus_rows.content_hashes(sent, name)
        some = [(r.id, h, r.response) for r, h in zip(sent, hashes, strict=True) if r.response.strip()]
        embed(corpus, some[::2])
        embed(corpus, some[1::4])
        corpora.append(corpus)
        rows |= {(name, row.id): Row(name, row) for row in sent}
    channels = {(c.name, name): row["channels"] for c in corpora for name, row in stored(c).items()}
    return World(corpora, rows, channels)


FILTERS = {
    "all": Filter(),
    "model": Filter(models=frozenset({"anna"})),
    "not": Filter(exclude_models=frozenset({"anna", "bert"})),
    "language": Filter(languages=frozenset({"en"})),
    "time": Filter(created_from_us=2_000, created_before_us=3_000),
    "nobody": Filter(models=frozenset({"nobody"})),
}


def passes(row: Submission, wanted: Filter) -> bool:
    return (
        (not wanted.models or row.model in wanted.models)
        and row.model not in wanted.exclude_models
        and (not wanted.languages or (row.language or "").split("-")[0] in wanted.languages)
        and (wanted.created_from_us is None or (row.created_us or -1) >= wanted.created_from_us)
        and (wanted.created_before_us is None or (row.created_us or 10**9) < wanted.created_before_us)
    )


def queries(world: World) -> Iterator[Query]:
    chance = random.Random(5)
    for row in chance.sample(world.having("copy"), 5):
        yield Query(row.sent.response)
        yield Query(row.sent.response, itself=row.key)
        yield Query(" ".join(row.sent.response.split()[5:30]))
    for text in (*SHORT, *CHINESE, "never seen before at all", "", "  \n", "…"):
        yield Query(text)


# ---- copy ----


class CopyScan:
    """Copy search by definition: the reference kernels over every row."""

    def __init__(self, world: World) -> None:
        self.rows = world.having("copy")
        self.sets = {r.key: shingle_reference.shingle_set(r.sent.response)[0] for r in self.rows}
        self.seeds = {r.key: seeds_reference.seeds(r.sent.response) for r in self.rows}
        self.asked: dict[str, list[tuple[Row, float]]] = {}

    def candidates(self, text: str) -> list[tuple[Row, float]]:
        """Every row of which a seed is among the shingles of the text, with its score."""
        if text not in self.asked:
            asked, _flags = shingle_reference.shingle_set(text)
            keys = {shingle >> 32 for shingle in asked}
            made = self.asked[text] = []
            for row in self.rows:
                if keys & self.seeds[row.key]:
                    shared = len(asked & self.sets[row.key])
                    made.append((row, max(shared / len(asked | self.sets[row.key]), shared / len(asked))))
        return self.asked[text]

    def search(self, query: Query, wanted: Filter, min_score: float = 0.0) -> list[tuple[float, tuple[str, str]]]:
        """All hits, best first, ties by corpus and id."""
        scored = [
            (score, row.key)
            for row, score in self.candidates(query.text)
            if row.key != query.itself and passes(row.sent, wanted) and score > 0 and score >= min_score
        ]
        return sorted(scored, key=lambda s: (-s[0], s[1]))


@pytest.fixture(scope="module")
def copy_scan(world: World) -> CopyScan:
    return CopyScan(world)


def check_copy(found: list[CopyMatch], scan: CopyScan, query: Query) -> None:
    """The sizes behind every score, and the evidence made of them."""
    asked, flags = shingle_reference.shingle_set(query.text)
    by_key = {row.key: row for row in scan.rows}
    assert asked or not found
    for hit in found:
        row = by_key[hit.target.corpus, hit.id]
        other = scan.sets[row.key]
        assert (hit.shared, hit.query_size, hit.match_size) == (len(asked & other), len(asked), len(other))
        same = shingle_reference.text_hash(query.text) == shingle_reference.text_hash(row.sent.response)
        assert hit.identical == same
        assert hit.one_shingle == bool(flags)
        assert hit.response == row.sent.response
        shown = CHANNELS["copy"].explain(query, hit, 5)
        assert hit.score == max(shown.jaccard, shown.containment_query)
        for span in shown.spans:
            shared = query.text[span.query_start : span.query_end]
            theirs = row.sent.response[span.match_start : span.match_end]
            assert shingle_reference.tokens(normalised_answer(shared)) == shingle_reference.tokens(
                normalised_answer(theirs)
            )
            assert (span.differences == 0) == (shared == theirs)
            assert shared.startswith(span.text)


def keys_of(found: Found[CopyMatch]) -> list[tuple[float, tuple[str, str]]]:
    return [(hit.score, (hit.target.corpus, hit.id)) for hit in found.matches]


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_copy_search_is_a_scan_of_all_rows(world: World, copy_scan: CopyScan, wanted: Filter) -> None:
    for query in queries(world):
        expected = copy_scan.search(query, wanted)
        for top in (1, 4, 1000):
            found = search_copy(query, world.views, wanted, top, None)
            assert keys_of(found) == expected[:top]
            assert found.counts["shingles"] == len(shingle_reference.shingle_set(query.text)[0])
        assert (
            found.counts["copy_verified"]
            == found.counts["copy_candidates"]
            == groups_that_pass(world, copy_scan, query.text, wanted)
        )
        if wanted.empty:
            check_copy(found.matches[::3], copy_scan, query)


def groups_that_pass(world: World, scan: CopyScan, text: str, wanted: Filter) -> int:
    """Identical answers of one chunk count once, and only if one of them may be returned."""
    rows = {row.key for row, _ in scan.candidates(text) if passes(row.sent, wanted)}
    found = set()
    for view in world.views:
        for number, part in enumerate(view.parts):
            names = part.segment.array("id").to_pylist()
            for k, chunk in enumerate(part.segment.of("copy")):
                for row, text_hash in zip(chunk.rows.tolist(), chunk.text_hashes.tolist(), strict=True):
                    if part.alive[row] and (view.corpus, names[row]) in rows:
                        found.add((view.corpus, number, k, *text_hash))
    return len(found)


def test_copy_floor(world: World, copy_scan: CopyScan) -> None:
    for query in queries(world):
        for floor in (0.0, 0.3, 0.5, 1.0):
            found = search_copy(query, world.views, Filter(), 50, floor)
            assert keys_of(found) == copy_scan.search(query, Filter(), floor)[:50]


def test_likely_copies_are_always_candidates(world: World, copy_scan: CopyScan) -> None:
    """Without the seeds in between: whatever has eight words in a row is found, and so is whatever shares 20 shingles,
    however they are strewn: with 2 of 7 shingles as seeds, all but about a thousandth of it.
    """
    runs = {key: list(zip(*(words[k:] for k in range(8)), strict=False)) for key, words in folded_words(world).items()}
    for row in copy_scan.rows[::2]:
        query = Query(row.sent.response)
        matches = search_copy(query, world.views, Filter(), 1000, None).matches
        found = {(h.target.corpus, h.id) for h in matches}
        mine = copy_scan.sets[row.key]
        assert {key for key, other in copy_scan.sets.items() if len(mine & other) >= 20} <= found
        assert {key for key in copy_scan.sets if set(runs[row.key]) & set(runs[key])} <= found


def folded_words(world: World) -> dict[tuple[str, str], list[str]]:
    return {row.key: row.sent.response.casefold().split() for row in world.having("copy")}


FRAGMENTS = {
    "Latin": ("abcdefghijklmnopqrstuvwxyzéß", 8),
    "Cyrillic": ("абвгдежзийклмнопрстуфхцчшщъыьэюя", 8),
    "Chinese": ("天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜", 10),
}


@pytest.mark.parametrize("script", FRAGMENTS)
def test_a_fragment_finds_the_long_answer_that_holds_it(script: str, tmp_path: Path) -> None:
    """Eight words, or ten spaceless code points, of one of thousands of answers, of up to 30,000 words."""
    chance = random.Random(6)
    letters, size = FRAGMENTS[script]
    space = "" if script == "Chinese" else " "
    words = ["".join(chance.choices(letters, k=chance.randint(3, 8))) for _ in range(4000)] if space else [*letters]
    answers = [chance.choices(words, k=60) for _ in range(2500)]
    long = {500: 30_000, 1700: 30_000, 2499: 3_000}
    for n, length in long.items():
        answers[n] = chance.choices(words, k=length)
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [Submission(space.join(answer), id=f"{n:04d}", language="en") for n, answer in enumerate(answers)]
    write(corpus, rows[:1000], ["copy"])
    corpus.publish()
    write(corpus, rows[1000:], ["copy"])
    for view in (corpus.view, Corpus.open(corpus.folder).view):
        for n, length in long.items():
            for start in (0, 1, length // 2, length - size - 3, length - size):
                asked = space.join(answers[n][start : start + size])
                if space:
                    asked = f"«{asked.upper()}»!"
                found = search_copy(Query(asked), [view], Filter(), 3, None)
                assert (found.matches[0].id, found.matches[0].score) == (f"{n:04d}", 1.0)
                assert found.counts["copy_candidates"] < 200


def test_the_best_of_very_many_candidates(tmp_path: Path) -> None:
    """A search stops long before all texts that share a seed were compared, and has the best of them."""
    chance = random.Random(7)
    vocabulary = [f"word{k}" for k in range(3000)]
    notice = chance.sample(vocabulary, 14)
    source = chance.choices(vocabulary, k=200)
    answers = []
    for n in range(3000):
        start, size = chance.randrange(190), chance.choice([0] * 10 + [10, 20, 50, 120])
        middle = source[start : start + size] if n % 3 else chance.choices(vocabulary, k=size)
        answers.append([*chance.choices(vocabulary, k=40), *middle, *chance.choices(vocabulary, k=40), *notice])
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [Submission(" ".join(a), id=f"{n:04d}", language="en") for n, a in enumerate(answers)]
    write(corpus, rows, ["copy"])
    sets = [set(zip(a, a[1:], a[2:], strict=False)) for a in answers]
    stopped = 0
    for asked in ([*source, *notice], [*source[50:120], *notice], [*notice, *answers[0][:30]]):
        mine = set(zip(asked, asked[1:], asked[2:], strict=False))
        scores = sorted(((-len(mine & s) / len(mine), f"{n:04d}") for n, s in enumerate(sets)))
        for top in (1, 5, 20):
            found = search_copy(Query(" ".join(asked)), [corpus.view], Filter(), top, None)
            assert [(-hit.score, hit.id) for hit in found.matches] == scores[:top]
            assert found.counts["copy_candidates"] == 3000
            stopped += found.counts["copy_verified"] < 1000
    assert stopped >= 6


def test_a_row_is_not_its_own_hit_but_its_copies_are(tmp_path: Path) -> None:
    text = "an answer that was given word for word more than once by several"
    corpus, twin = (Corpus.create(tmp_path / n, n, "") for n in ("a", "b"))
    for c in (corpus, twin):
        write(c, [Submission(text, id=f"copy-{n}", language="en") for n in range(3)])
    query = Query(text, itself=("a", "copy-1"))
    found = search_copy(query, [corpus.view, twin.view], Filter(), 10, None).matches
    keys = [(h.target.corpus, h.id) for h in found]
    assert keys == [("a", "copy-0"), ("a", "copy-2"), ("b", "copy-0"), ("b", "copy-1"), ("b", "copy-2")]
    assert all(h.score == 1.0 and h.identical for h in found)


def test_ties_of_identical_answers_go_by_corpus_and_id(tmp_path: Path) -> None:
    """Also when the group is larger than what is asked for, over parts, and with some of it filtered out."""
    text = "an answer that everyone gives in exactly the same words as it happens"
    chance = random.Random(2)
    corpora = []
    for name in ("z", "a"):
        corpus = Corpus.create(tmp_path / name, name, "")
        names = [f"id-{n:02d}" for n in range(30)]
        chance.shuffle(names)
        for start in (0, 10, 20):
            rows = [
                Submission(text, id=i, language="en", model="odd" if int(i[3:]) % 2 else "even")
                for i in names[start : start + 10]
            ]
            write(corpus, rows)
            if start == 0:
                corpus.publish()
        corpora.append(corpus)
    views = [c.view for c in corpora]
    found = search_copy(Query(text), views, Filter(), 5, None).matches
    assert [(h.target.corpus, h.id) for h in found] == [("a", f"id-{n:02d}") for n in range(5)]
    odd = search_copy(Query(text), views, Filter(models=frozenset({"odd"})), 20, None).matches
    assert [(h.target.corpus, h.id) for h in odd] == [
        *(("a", f"id-{n:02d}") for n in range(1, 30, 2)),
        *(("z", f"id-{n:02d}") for n in range(1, 11, 2)),
    ]


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_settled_search_verifies_no_more(tmp_path: Path, shuffled: bool) -> None:
    """Thousands of answers that hold the query whole: the first by corpus and id are listed, and few were read."""
    chance = random.Random(3)
    vocabulary = [f"word{k}" for k in range(2000)]
    sentence = " ".join(chance.sample(vocabulary, 20))
    views = []
    sent = 0
    for name in ("z", "b", "a"):
        corpus = Corpus.create(tmp_path / name, name, "")
        names = [f"{n:04d}" for n in range(800)]
        if shuffled:
            chance.shuffle(names)
        rows = []
        for i in names:
            own = " ".join(chance.choices(vocabulary, k=chance.randrange(5, 60)))
            text = sentence if int(i) % 50 == 7 else f"{own} {sentence} {own.upper()}"
            # Every third row of the corpora holds most of the sentence alone.
            if int(i) % 3 == 0:
                text = text.replace(sentence, " ".join(sentence.split()[3:]))
            rows.append(Submission(text, id=i, language="en", model="odd" if int(i) % 2 else "even"))
        for start in range(0, 800, 300):
            write(corpus, rows[start : start + 300], ["copy"])
            if start == 300:
                corpus.publish()
        sent += len(rows)
        views.append(corpus.view)
    whole = [(c, f"{n:04d}") for c in "abz" for n in range(800) if n % 3]
    for top in (1, 10, 40):
        for wanted, keys in (
            (Filter(), whole),
            (Filter(models=frozenset({"odd"})), [k for k in whole if int(k[1]) % 2]),
        ):
            found = search_copy(Query(sentence), views, wanted, top, None)
            assert keys_of(found) == [(1.0, key) for key in keys[:top]]
            assert found.counts["copy_candidates"] > sent // 3
            assert found.counts["copy_verified"] < 500
    itself = Query(sentence, itself=("a", "0001"))
    assert keys_of(search_copy(itself, views, Filter(), 10, None)) == [(1.0, key) for key in whole[1:11]]


def test_seeds_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    """With dead rows and identical answers, in chunks that were filled one after the other."""
    chance = random.Random(4)
    corpus = Corpus.create(tmp_path / "c", "c", "")
    answers = [*family(chance, 60), *SHORT, *CHINESE]
    rows = [Submission(a, id=f"{n:02d}", language="en") for n, a in enumerate(answers)]
    write(corpus, rows, ["style"])
    for some in (rows[:50], rows[50:55], rows[55:]):
        write(corpus, some, ["copy"])
    corpus.delete([row.id for row in rows[::7]])
    (part,) = corpus.view.parts
    assert len(part.segment.of("copy")) > 1
    fresh = [keys_of(search_copy(Query(a), [corpus.view], Filter(), 10, None)) for a in answers]
    assert any(fresh)
    corpus.publish()
    again = Corpus.open(corpus.folder)
    (part,) = again.view.parts
    (chunk,) = part.segment.of("copy")
    stored_seeds = chunk.seeds
    assert isinstance(stored_seeds.keys.base, np.memmap)
    built = seeds.build(part.segment.texts.take(chunk.rows[chunk.representatives]))
    for one, other in zip(stored_seeds, built, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [keys_of(search_copy(Query(a), [again.view], Filter(), 10, None)) for a in answers] == fresh


def test_seeds_outlive_fills_of_other_channels(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [Submission(f"answer {n} of quite a few words", id=f"{n}", language="en") for n in range(8)]
    write(corpus, rows, ["copy"])
    (before,) = corpus.view.parts
    built = before.segment.of("copy")[0].seeds
    write(corpus, rows[:4], ["style"])
    (after,) = corpus.view.parts
    assert after.segment is not before.segment
    assert after.segment.of("copy")[0].seeds is built


# ---- style ----


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_style_search_is_a_scan_of_all_rows(world: World, wanted: Filter) -> None:
    rows = world.having("style")
    vectors = {r.key: style_reference.style_vector(r.sent.response) for r in rows}
    stats, mean, inverse = style_scale(world.views)
    assert stats.count >= len(rows)
    for query in list(queries(world))[::4]:
        if not query.text.strip():
            continue
        asked = style_reference.style_vector(query.text)
        scored = [
            (style_reference.score(asked, vectors[r.key], mean.tolist(), inverse.tolist()), r.key)
            for r in rows
            if r.key != query.itself and passes(r.sent, wanted)
        ]
        exact = {key: score for score, key in scored}
        for top, floor in ((5, None), (1000, None), (1000, 0.2)):
            found = search_style(query, world.views, wanted, top, floor)
            keys = [(h.target.corpus, h.id) for h in found]
            assert len(set(keys)) == len(keys)
            for hit, key in zip(found, keys, strict=True):
                assert hit.score == pytest.approx(exact[key], abs=1e-4)
                assert hit.vector.tolist() == vectors[key]
            scores = [h.score for h in found]
            assert scores == sorted(scores, reverse=True)
            allowed = [s for s, _ in scored if floor is None or s >= floor + 1e-4]
            assert len(found) >= min(top, len(allowed))
            expected = sorted(allowed, reverse=True)[:top]
            assert scores[: len(expected)] == pytest.approx(expected, abs=1e-4)


def test_style_stats_are_those_of_living_rows(world: World) -> None:
    for view in world.views:
        every = [c.vectors[p.alive[c.rows]] for p in view.parts for c in p.segment.of("style")]
        whole = stylometry.stats(np.concatenate(every))
        stats = STYLE.stats(view.parts)
        assert stats.count == whole.count
        np.testing.assert_array_equal(stats.total, whole.total)
        np.testing.assert_array_equal(stats.squares, whole.squares)


# ---- semantic ----


def neutral_sentences(text: str) -> Any:
    """Sentences of a query, as a semantic search takes them."""
    return corpus_rows.space().neutral(corpus_rows.sentence_vectors(text))


def semantic_scan(
    world: World, text: str, query: Query, wanted: Filter, floor: float | None
) -> list[tuple[float, tuple[str, str]]]:
    space = corpus_rows.space()

    def sentences(answer: str) -> Any:
        return space.decode(space.encode(space.neutral(corpus_rows.sentence_vectors(answer))))

    asked = neutral_sentences(text)
    scored = [
        (align(asked, sentences(r.sent.response)).score, r.key)
        for r in world.having("semantic")
        if r.key != query.itself and passes(r.sent, wanted)
    ]
    return [s for s in scored if (s[0] >= floor if floor is not None else s[0] > 0)]


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_semantic_search_is_a_scan_of_all_rows(world: World, wanted: Filter) -> None:
    chance = random.Random(9)
    for row in chance.sample(world.having("semantic"), 4):
        text = row.sent.response
        vectors = neutral_sentences(text)
        for query in (Query(text), Query(text, itself=row.key)):
            for top, floor in ((3, None), (1000, None), (1000, 0.4)):
                expected = {k: s for s, k in semantic_scan(world, text, query, wanted, floor)}
                found = search_semantic(vectors, query, world.views, wanted, top, floor)
                assert len(found) == min(top, len(expected))
                for hit in found:
                    key = hit.target.corpus, hit.id
                    assert hit.score == pytest.approx(expected[key], abs=1e-3)
                scores = sorted(expected.values(), reverse=True)[:top]
                assert [h.score for h in found] == pytest.approx(scores, abs=1e-3)


def test_the_inverted_file_finds_what_the_exact_scan_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "INDEX_FROM", 500)
    monkeypatch.setattr(candidates, "ACCURATE_ROWS", 20)
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [Submission(f"answer {n} of many", id=f"{n:04d}", language="en", model=f"m{n % 3}") for n in range(600)]
    write(corpus, rows, [])
    hashes = corpus_rows.content_hashes(rows, "c")
    embed(corpus, [(r.id, h, r.response) for r, h in zip(rows, hashes, strict=True)])
    fresh = corpus.view
    corpus.publish()
    assert corpus.index_vectors(lambda: False) == 1
    mapped = Corpus.open(corpus.folder).view
    ((scanned,),) = (part.segment.of("semantic") for part in fresh.parts)
    assert scanned.inverted is None, "what is fresh is scanned exactly"
    ((chunk,),) = (part.segment.of("semantic") for part in mapped.parts)
    assert isinstance(faiss.downcast_index(chunk.inverted.index), faiss.IndexIVFPQFastScan)
    measured = chunk.inverted.measured
    assert (measured.vectors, measured.recall >= 0.9) == (len(chunk.codes), True)

    def keys(view: Any, row: Submission, wanted: Filter, top: int = 5) -> list[str]:
        vectors = neutral_sentences(row.response)
        return [h.id for h in search_semantic(vectors, Query(row.response), [view], wanted, top, None)]

    agreed = compared = 0
    for few in (20_000, 0):
        monkeypatch.setattr(nearest, "FEW", few)
        for wanted in (Filter(), Filter(models=frozenset({"m1"}))):
            for row in rows[1::60]:
                exact = keys(fresh, row, wanted)
                found = keys(mapped, row, wanted)
                if wanted.empty or row.model == "m1":
                    assert found[0] == exact[0] == row.id
                assert all(not wanted.models or int(name) % 3 == 1 for name in found)
                assert len(found) == len(exact)
                agreed += len(set(found) & set(exact))
                compared += len(exact)
    assert agreed >= 0.9 * compared


def test_a_stored_row_is_its_own_query(world: World) -> None:
    """Its stored sentences are those that embedding its text again would give."""
    filled = {row.key for row in world.having("semantic")}
    for view in world.views:
        ids = [name for corpus, name in world.rows if corpus == view.corpus]
        for name, place in zip(ids, view.locate(ids), strict=True):
            if place is None:
                continue
            found = stored_sentences(view, place)
            assert (found is not None) == ((view.corpus, name) in filled)
            if found is not None:
                response = world.rows[view.corpus, name].sent.response
                np.testing.assert_allclose(found, neutral_sentences(response), atol=1e-2)


def test_corpora_without_embeddings_are_passed_over(world: World, tmp_path: Path) -> None:
    plain = Corpus.create(tmp_path / "plain", "plain", "")
    write(plain, [Submission("some answer", id="x", language="en")])
    row = world.having("semantic")[0]
    vectors = neutral_sentences(row.sent.response)
    alone = search_semantic(vectors, Query(row.sent.response), world.views, Filter(), 5, None)
    both = search_semantic(vectors, Query(row.sent.response), [plain.view, *world.views], Filter(), 5, None)
    assert [h.id for h in both] == [h.id for h in alone]
    assert search_semantic(vectors, Query("x"), [plain.view], Filter(), 5, None) == []
