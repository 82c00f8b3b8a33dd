"""Passages of stored answers: ids, offsets, marks and rarity, against the definitions over the server's views."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from corpus_rows import WORDS, write
from kinprint.kernels.copy import marks
from kinprint.kernels.copy.differences import CASE, UNICODE_FORM, WHITE_SPACE
from kinprint.kernels.reference import passages as reference
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import Submission, prompt_keys
from kinprint.server.progress import Progress
from kinprint.server.search.passages import MARKS, Options, Spans, Totals, find_overlaps

PHRASE = "it was a bright cold day in april and the clocks were striking thirteen, so they said"
OTHER = "nobody who has seen the sea by night forgets how still the harbour lay below the town"
CHINESE = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏"
LICENCE = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
    "documentation files (the Software), to deal in the Software without restriction"
)
CODE = "for row in rows:\n    total = total + row\nprint the total of all the rows that were read\n"


@dataclass(frozen=True)
class Row:
    """One passage as it was sent."""

    corpus_a: int
    id_a: str
    corpus_b: int
    id_b: str
    start_a: int
    end_a: int
    start_b: int
    end_b: int
    tokens: int
    texts: int
    bits: float = field(compare=False)
    mark: str
    counts: tuple[int, ...]
    differences: int


def run(
    corpora: Sequence[Corpus], against: Sequence[Corpus] | None = None, *args: Any, **options: Any
) -> tuple[list[Row], Totals]:
    """Every passage between two sides, by default one and the same, and the totals."""
    rows: list[Row] = []
    totals, share = None, 0.0
    others = corpora if against is None else against
    run = find_overlaps([c.view for c in corpora], [c.view for c in others], Options(**options), *args)
    for message in run:
        assert totals is None, "totals come last"
        if isinstance(message, Totals):
            totals = message
        elif isinstance(message, Progress):
            assert share <= message.share <= 1.0
            share = message.share
        else:
            assert isinstance(message, Spans)
            columns = [c if isinstance(c, list) else c.tolist() for c in (getattr(message, n) for n in FIELDS)]
            rows += [
                Row(*some[:10], bits=some[10], mark=MARKS[some[11]], counts=tuple(some[12]), differences=some[13])
                for some in zip(*columns, strict=True)
            ]
    assert totals is not None
    assert totals.spans == len(rows)
    assert totals.texts_with_spans == len({(r.corpus_a, r.id_a) for r in rows})
    return rows, totals


FIELDS = (
    "corpus_a",
    "id_a",
    "corpus_b",
    "id_b",
    "start_a",
    "end_a",
    "start_b",
    "end_b",
    "tokens",
    "texts",
    "bits",
    "mark",
    "counts",
    "differences",
)


def made(folder: Path, name: str, *rows: Submission) -> Corpus:
    """A corpus with half of its rows on disk."""
    corpus = Corpus.create(folder / name, name, "")
    half = len(rows) // 2
    if half:
        write(corpus, rows[:half])
        corpus.publish()
    write(corpus, rows[half:])
    return corpus


def row(name: str, text: str, **fields: Any) -> Submission:
    return Submission(text, id=name, **{"language": "en", **fields})


@dataclass(frozen=True)
class World:
    """Two corpora with parts on disk and in memory, dead rows, blank ones, prompts, models."""

    corpora: list[Corpus]
    sent: dict[str, Submission]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    chance = random.Random(31)
    stretches = [" ".join(chance.sample(WORDS, k)) for k in (13, 16, 20)] + [CHINESE[:15], "👍🏽 " + CHINESE[9:]]
    sent: dict[str, Submission] = {}
    corpora = []
    for name in ("left", "right"):
        rows = []
        for n in range(11):
            some = [chance.choice(stretches) if chance.random() < 0.5 else chance.choice(WORDS) for _ in range(4)]
            repeat = f"Please repeat: {chance.choice(stretches)}"
            prompt = chance.choice([None, "", "Say it.", "say  IT.", repeat, "Other"])
            model = chance.choice([None, "anna", "bert", "carl"])
            key = chance.choice([None, None, "p1"])
            rows.append(row(f"{name}-{n:02d}", "; ".join(some), prompt=prompt, model=model, prompt_id=key))
        rows.append(row(f"{name}-blank", " \n", model="anna"))
        corpus = made(tmp_path_factory.mktemp("passages"), name, *rows)
        corpus.delete([f"{name}-{n:02d}" for n in (1, 7)])
        write(corpus, [replaced := row(f"{name}-03", f"«{stretches[1]}» \r\n {stretches[3]}", model="bert")])
        sent |= {r.id: r for r in rows if r.id not in (f"{name}-01", f"{name}-07")} | {replaced.id: replaced}
        corpora.append(corpus)
    return World(corpora, sent)


class Side:
    """Living rows of some corpora that are not blank and pass, in the order in which the index holds them."""

    def __init__(self, world: World, corpora: Sequence[Corpus], first: int, model: str | None, but: str | None) -> None:
        self.keys = [
            (first + n, name)
            for n, corpus in enumerate(corpora)
            for part in corpus.view.parts
            for name, alive in zip(part.segment.array("id").to_pylist(), part.alive, strict=True)
            if alive and world.sent[name].response.strip()
            if model in (None, world.sent[name].model)
            if but is None or world.sent[name].model != but
        ]
        self.rows = [world.sent[name] for _, name in self.keys]


def codes(values: Sequence[str | None]) -> list[int]:
    known = sorted({v for v in values if v is not None})
    return [-1 if v is None else known.index(v) for v in values]


def background(world: World, corpora: Sequence[Corpus], *sides: Side) -> list[Submission]:
    """Living rows of the corpora that are on neither side."""
    on_sides = {r.id for side in sides for r in side.rows}
    return [r for r in Side(world, corpora, 0, None, None).rows if r.id not in on_sides]


def expected(a: Side, b: Side, same: bool, others: Sequence[Submission] = (), **options: Any) -> tuple[list[Row], int]:
    """All of it by the reference kernels; `others` are the background of rarity."""
    every = a.rows if same else [*a.rows, *b.rows]
    keys = a.keys if same else [*a.keys, *b.keys]
    texts = [r.response for r in every]
    settings: dict[str, Any] = {"min_tokens": 12, "max_texts": 2000, "every": False} | options
    found, skipped = reference.passages(texts, 0 if same else len(a.rows), **settings)
    counted = [*every, *others]
    prompts = [r.prompt_id or prompt_keys([r.prompt or None])[0] for r in counted]
    models = codes([r.model for r in counted])
    counts = reference.counts([r.response for r in counted], found, models, codes(prompts))
    licences = Path(marks.__file__).with_name("licences.txt").read_text(encoding="utf-8")
    rows = []
    for p, count in zip(found, counts, strict=True):
        sides = ((p.a, p.start_a, p.bytes), (p.b, p.start_b, p.bytes_b))
        piece = texts[p.a].encode()[p.start_a : p.start_a + p.bytes].decode()
        mark = ""
        if reference.share_within(piece, licences) >= 0.5:
            mark = "licence"
        if reference.looks_like_code(texts[p.a], p.start_a, p.start_a + p.bytes):
            mark = "code"
        if any(reference.share_within(piece, every[t].prompt or "") >= 0.5 for t in (p.a, p.b)):
            mark = "prompt"
        where = [len(texts[t].encode()[:k].decode()) for t, start, size in sides for k in (start, start + size)]
        bits = 0.0 if mark else reference.bits(count)
        rows.append(Row(*keys[p.a], *keys[p.b], *where, p.tokens, p.texts, bits, mark, tuple(count), p.differences))
    return rows, skipped


def same_rows(found: Sequence[Row], wanted: Sequence[Row]) -> None:
    assert found == wanted
    assert [r.bits for r in found] == pytest.approx([r.bits for r in wanted])


@pytest.mark.parametrize("every", [False, True], ids=["once", "every"])
def test_one_corpus_and_several(world: World, every: bool) -> None:
    left, right = world.corpora
    marks = set()
    for corpora in ([left], [right], [left, right], [right, left]):
        side = Side(world, corpora, 0, None, None)
        wanted, _ = expected(side, side, True, every=every)
        found, totals = run(corpora, every=every)
        same_rows(found, wanted)
        assert (totals.texts, totals.against, totals.common_seeds) == (len(side.rows), len(side.rows), 0)
        marks |= {r.mark for r in found}
    assert marks == {"", "prompt"}


@pytest.mark.parametrize("every", [False, True], ids=["once", "every"])
def test_two_sides(world: World, every: bool) -> None:
    for a, b in (world.corpora, world.corpora[::-1]):
        sides = Side(world, [a], 0, None, None), Side(world, [b], 1, None, None)
        wanted, _ = expected(*sides, False, every=every)
        found, totals = run([a], [b], every=every)
        same_rows(found, wanted)
        assert (totals.texts, totals.against) == tuple(len(s.rows) for s in sides)
        assert {(r.corpus_a, r.corpus_b) for r in found} == {(0, 1)}


def test_filters(world: World) -> None:
    anna, bert = (Filter(models=frozenset({m})) for m in ("anna", "bert"))
    both = world.corpora
    side = Side(world, both, 0, "anna", None)
    neither = background(world, both, side)
    found, totals = run(both, both, anna, anna)
    same_rows(found, expected(side, side, True, neither)[0])
    assert totals.background == len(neither) > 0
    other = Side(world, both, 2, "bert", None)
    found, totals = run(both, both, anna, bert)
    neither = background(world, both, side, other)
    same_rows(found, expected(side, other, False, neither)[0])
    assert totals.background == len(neither) > 0
    # Rows that pass the first filter are on the first side alone.
    rest = Side(world, both, 2, None, "anna")
    found, totals = run(both, both, anna, Filter())
    same_rows(found, expected(side, rest, False)[0])
    assert (totals.texts, totals.against, totals.background) == (len(side.rows), len(rest.rows), 0)
    left, right = Side(world, both[:1], 0, "bert", None), Side(world, both[1:], 1, "anna", None)
    neither = background(world, both, left, right)
    same_rows(run(both[:1], both[1:], bert, anna)[0], expected(left, right, False, neither)[0])
    # In parts, too.
    same_rows(run(both[:1], both[1:], bert, anna, memory=2000)[0], expected(left, right, False, neither)[0])
    nobody = Filter(models=frozenset({"nobody"}))
    for filters in ((nobody, Filter()), (Filter(), nobody), (nobody, nobody)):
        found, totals = run(both[:1], both[1:], *filters)
        assert (found, totals.common_seeds) == ([], 0)
        assert 0 in (totals.texts, totals.against)


def test_options(world: World) -> None:
    side = Side(world, world.corpora, 0, None, None)
    for options in ({"min_tokens": 15}, {"max_texts": 3}, {"max_texts": 3, "min_tokens": 16, "every": True}):
        wanted, skipped = expected(side, side, True, **options)
        found, totals = run(world.corpora, **options)
        same_rows(found, wanted)
        assert totals.common_seeds == skipped
        assert ("max_texts" in options) == (skipped > 0)
    every, _ = run(world.corpora, every=True)
    rare = sorted(r.bits for r in every)[len(every) // 2]
    assert run(world.corpora, every=True, min_bits=rare)[0] == [r for r in every if r.bits >= rare]
    assert run(world.corpora, every=True, unmarked=True)[0] == [r for r in every if not r.mark]
    assert run(world.corpora, every=True, min_bits=99.0)[0] == []


def test_offsets_are_code_points(tmp_path: Path) -> None:
    a = f"👩‍👩‍👧‍👦 𐐀é 今日は: {CHINESE}！"
    b = f"{CHINESE}，👍🏽"
    corpora = [made(tmp_path, name, row(name, text)) for name, text in (("a", a), ("b", b))]
    ((found,), totals) = run(corpora[:1], corpora[1:])
    assert (found.id_a, found.id_b, found.tokens, found.texts) == ("a", "b", len(CHINESE), 1)
    assert a[found.start_a : found.end_a] == b[found.start_b : found.end_b] == CHINESE
    assert (totals.texts, totals.against) == (1, 1)


def test_marks(tmp_path: Path) -> None:
    """What the prompt, a licence or code brings about is no evidence, whichever side has the prompt."""
    pairs = {
        "": (PHRASE, {}, {}),
        "prompt": (OTHER, {"prompt": f"Repeat after me: “{OTHER}”"}, {}),
        "prompt-b": (OTHER.upper(), {}, {"prompt": f"Go on from here: {OTHER}"}),
        "half": (f"{PHRASE} {OTHER}".title(), {"prompt": PHRASE}, {"prompt": OTHER[:30]}),
        "licence": (LICENCE, {}, {}),
        "code": (f"\n```python\n{CODE}```\n", {}, {}),
        # The prompt goes first, then code.
        "prompt-code": (f"\n```\n{CODE.upper()}```\n", {"prompt": CODE}, {}),
    }
    found = []
    for name, (text, *both) in pairs.items():
        rows = [row(f"{name}-{k}", f"{name} number {k * 17} {text}, {k}", **fields) for k, fields in enumerate(both)]
        some, totals = run([made(tmp_path, f"c-{name}", *rows)])
        assert totals.texts == 2
        found += some
    marks = {name: {r.mark for r in found if r.id_a.rsplit("-", 1)[0] == name} for name in pairs}
    assert marks == {
        "": {""},
        "prompt": {"prompt"},
        "prompt-b": {"prompt"},
        "half": {"prompt" if reference.share_within(f"{PHRASE} {OTHER}", PHRASE) >= 0.5 else ""},
        "licence": {"licence"},
        "code": {"code"},
        "prompt-code": {"prompt"},
    }
    assert all((r.bits == 0) == bool(r.mark) for r in found)
    # Every passage comes from both of its answers.
    assert {(r.id_a, r.id_b) for r in found} == {(r.id_b, r.id_a) for r in found}


def test_what_is_reformatted_has_its_places_on_both_sides(tmp_path: Path) -> None:
    a = f"He wrote: {PHRASE} ❤\ufe0f"
    b = f"“{PHRASE.upper().replace(' ', chr(10))} ❤” is\nwhat he wrote"
    corpora = [made(tmp_path, name, row(name, text)) for name, text in (("a", a), ("b", b))]
    ((found,), _) = run(corpora[:1], corpora[1:])
    assert a[found.start_a : found.end_a] == f"{PHRASE} ❤\ufe0f"
    assert b[found.start_b : found.end_b] == b[1 : b.index("”")]
    assert found.differences == WHITE_SPACE | CASE | UNICODE_FORM
    assert found.mark == ""


def test_bits(tmp_path: Path) -> None:
    """Rare is what other models do not say, least of all to the same prompt."""
    words = [f"{w}{n}" for n in range(50) for w in WORDS[:30]]
    chance = random.Random(1)

    def text(n: int, *within: str) -> str:
        return " ".join([*chance.sample(words, 20), f"{n}", *within, f"{n * 31}", *chance.sample(words, 20)])

    rows = [row(f"u{n:03d}", text(n), model="m0", prompt_id=f"p{n}") for n in range(100)]
    rows += [row(f"x{n}", text(n, PHRASE), model=f"m{n}", prompt_id="q") for n in (1, 2)]
    rows += [row(f"y{n}", text(n, OTHER), model=f"m{n}", prompt_id="r") for n in (1, 2, 3, 4)]
    rows += [row("y5", text(5, "not that"), model="m5", prompt_id="r")]
    corpus = made(tmp_path, "c", *rows)
    found = {(r.id_a, r.id_b): r for r in run([corpus], every=True)[0]}
    assert len(found) == 2 + 4 * 3
    once = found["x1", "x2"]
    assert once.counts == (0, 103, 0, 0)  # less the three answers of each of the two models, y1 and y2 among them
    assert once.bits == pytest.approx(math.log2(2 * 104))
    often = found["y1", "y2"]
    assert often.counts == (2, 103, 2, 3)
    assert often.bits == pytest.approx(-math.log2((2 + 2.5 / 104) / 4))


def test_a_cancelled_run_ends(tmp_path: Path) -> None:
    corpus = made(tmp_path, "c", *(row(f"{n}", f"{n} {PHRASE}") for n in range(30)))
    views = [corpus.view]
    messages = list(find_overlaps(views, views, Options(), Filter(), Filter(), lambda: True))
    assert all(isinstance(m, Progress) for m in messages)
    run = find_overlaps(views, views, Options())
    assert isinstance(next(run), Progress)
    run.close()  # type: ignore[attr-defined]


def test_nothing_at_all(tmp_path: Path) -> None:
    empty, blank = made(tmp_path, "empty"), made(tmp_path, "blank", row("a", ""), row("b", " "))
    for corpora, against in (([], []), ([empty], [empty]), ([empty], [blank]), ([blank], [blank])):
        found, totals = run(corpora, against)
        assert found == []
        assert totals == Totals(0, 0, 0, 0, 0, 0)
