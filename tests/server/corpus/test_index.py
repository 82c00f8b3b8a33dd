"""Index: whatever is written in whatever order, it holds what a plain dictionary would."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import corpus_rows
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kinprint.server.channels import CHANNELS, schemes
from kinprint.server.corpus import index as index_module
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.corpus.normalise import PIPELINE, Submission
from kinprint.server.corpus.replay import replay
from kinprint.server.store import generation

IDS = ("a", "b", "ä", "日本", "long-" + "x" * 60, "t-1")
ANSWERS = (
    "the first of the answers, which is a whole sentence",
    "quite another thing is said here, at some length",
    "短い答え、でも十分に長い文章です。",
    "word",
    "",
    " \n ",
)
MODELS = (None, "anna", "bert")
LANGUAGES = ("en", "en-GB", "de")
TIMES = (None, 0, 1_000_000, 2_000_000)

rows = st.builds(
    lambda name, answer, model, language, account, time, prompt: Submission(
        answer, id=name, model=model, language=language, account_id=account, created_us=time, prompt_id=prompt
    ),
    st.sampled_from(IDS),
    st.sampled_from(ANSWERS),
    st.sampled_from(MODELS),
    st.sampled_from(LANGUAGES),
    st.sampled_from([None, "x"]),
    st.sampled_from(TIMES),
    st.sampled_from([None, "p1", "p2"]),
)
channel_sets = st.sets(st.sampled_from(["copy", "style"])).map(frozenset)


class Model:
    """What the corpus should hold: id -> (row as sent, channels)."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Submission, set[str]]] = {}
        #: Channels that a row's content ever had under its id: a replay may bring those back.
        self.ever: dict[str, set[str]] = {}

    def put(self, row: Submission, channels: frozenset[str]) -> None:
        fillable = set(channels) if row.response.strip() else set()
        known = self.rows.get(row.id)
        self.rows[row.id] = (row, (known[1] | fillable) if known is not None and known[0] == row else fillable)
        self._note(row.id)

    def fill(self, name: str, row: Submission, channel: str) -> None:
        self.ever.setdefault(repr((name, row)), set()).add(channel)
        if name in self.rows and self.rows[name][0] == row and row.response.strip():
            self.rows[name][1].add(channel)
            self._note(name)

    def _note(self, name: str) -> None:
        row, channels = self.rows[name]
        self.ever.setdefault(repr((name, row)), set()).update(channels)

    def reopened(self, found: dict[str, dict[str, Any]]) -> None:
        """Take over channels that came back with content that was stored before."""
        for name, (row, channels) in self.rows.items():
            back = found[name]["channels"] - channels
            assert back <= self.ever[repr((name, row))]
            channels |= back


def passes(row: Submission, wanted: Filter) -> bool:
    """A filter by definition."""
    language = (row.language or "").lower()
    lower = {tag.lower() for tag in wanted.languages}
    return (
        (not wanted.models or row.model in wanted.models)
        and row.model not in wanted.exclude_models
        and (not wanted.languages or language in lower or language.split("-")[0] in lower)
        and (not wanted.account_ids or row.account_id in wanted.account_ids)
        and (not wanted.prompt_keys or row.prompt_id in wanted.prompt_keys)
        and (
            wanted.created_from_us is None or (row.created_us is not None and row.created_us >= wanted.created_from_us)
        )
        and (
            wanted.created_before_us is None
            or (row.created_us is not None and row.created_us < wanted.created_before_us)
        )
    )


FILTERS = (
    Filter(),
    Filter(models=frozenset({"anna"})),
    Filter(models=frozenset({"anna", "bert", "nobody"})),
    Filter(models=frozenset({"nobody"})),
    Filter(exclude_models=frozenset({"anna"})),
    Filter(languages=frozenset({"EN"})),
    Filter(languages=frozenset({"en-gb"})),
    Filter(languages=frozenset({"de", "fr"})),
    Filter(account_ids=frozenset({"x"})),
    Filter(prompt_keys=frozenset({"p1", "p2"}), models=frozenset({"bert"})),
    Filter(created_from_us=0),
    Filter(created_before_us=1_000_000),
    Filter(created_from_us=1_000_000, created_before_us=2_000_001, exclude_models=frozenset({"bert"})),
)


def check(corpus: Corpus, model: Model) -> None:
    """Everything that can be asked of the view, against the model."""
    view = corpus.view
    found = corpus_rows.stored(corpus)
    assert {k: (v["response"], v["channels"]) for k, v in found.items()} == {
        k: (row.response, channels) for k, (row, channels) in model.rows.items()
    }
    assert view.rows == len(model.rows)
    assert view.fillable == sum(bool(row.response.strip()) for row, _ in model.rows.values())
    for channel in CHANNELS:
        assert view.filled(channel) == sum(channel in channels for _, channels in model.rows.values())
    asked = [*IDS, "never", IDS[0]]
    for name, place in zip(asked, view.locate(asked), strict=True):
        assert (place is not None) == (name in model.rows)
        if place is not None:
            row, channels = model.rows[name]
            got = view.row(place)
            assert (got["id"], got["response"], got["model"]) == (name, row.response, row.model)
            assert (got["language"], got["account_id"]) == (row.language, row.account_id)
            assert set(view.channels_of(place)) == channels
    for wanted in FILTERS:
        passing = set()
        for part in view.parts:
            mask = wanted.mask(part)
            assert not (mask & ~part.alive).any()
            ids = part.segment.array("id")
            passing |= {ids[int(k)].as_py() for k in np.flatnonzero(mask)}
        assert passing == {name for name, (row, _) in model.rows.items() if passes(row, wanted)}
    for part in view.parts:
        assert (np.diff(part.segment.seqs) > 0).all(), "pages of a listing go by seq"
        for channel in CHANNELS:
            chunks = [chunk.rows for chunk in part.segment.of(channel)]
            joined = np.concatenate(chunks) if chunks else np.zeros(0, np.int64)
            assert len(np.unique(joined)) == len(joined), "a row is in a channel twice"
            for chunk_rows in chunks:
                assert (np.diff(chunk_rows) > 0).all()


class IndexMachine(RuleBasedStateMachine):
    """Write, delete, fill, publish, compact away and reopen a corpus on disk."""

    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="kinprint-index-"))
        self.corpus = Corpus.create(self.base / "c", "c", "")
        self.model = Model()
        self.seen: list[Submission] = []

    def teardown(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    @rule(batch=st.lists(rows, min_size=1, max_size=5), channels=channel_sets)
    def put(self, batch: list[Submission], channels: frozenset[str]) -> None:
        corpus_rows.write(self.corpus, batch, channels)
        for row in {row.id: row for row in batch}.values():
            self.model.put(row, channels)
            self.seen.append(row)

    @rule(pick=st.lists(st.integers(0, 50), min_size=1, max_size=3), channels=channel_sets)
    def put_again(self, pick: list[int], channels: frozenset[str]) -> None:
        """The same content once more: nothing changes but channels that were missing."""
        again = {self.seen[p % len(self.seen)].id: self.seen[p % len(self.seen)] for p in pick if self.seen}
        if again:
            corpus_rows.write(self.corpus, again.values(), channels)
            for row in again.values():
                self.model.put(row, channels)

    @rule(names=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def delete(self, names: list[str]) -> None:
        living = {name for name in names if name in self.model.rows}
        gone, missing = self.corpus.delete(names)
        assert (gone, missing) == (len(living), len(set(names)) - len(living))
        for name in living:
            del self.model.rows[name]

    @rule(pick=st.lists(st.integers(0, 50), min_size=1, max_size=4))
    def embed(self, pick: list[int]) -> None:
        """Embeddings arrive, some for content that was replaced or deleted meanwhile, some twice."""
        chosen = [self.seen[p % len(self.seen)] for p in pick if self.seen]
        chosen = [row for row in chosen if row.response.strip()]
        if chosen:
            hashes = corpus_rows.content_hashes(chosen, "c")
            arrived = [(r.id, h, r.response) for r, h in zip(chosen, hashes, strict=True)]
            corpus_rows.embed(self.corpus, arrived)
            for row in chosen:
                self.model.fill(row.id, row, "semantic")

    @rule()
    def publish(self) -> None:
        self.corpus.publish()
        assert self.corpus.fresh_rows == 0

    @rule(rebuild=st.booleans())
    def reopen(self, rebuild: bool) -> None:
        if rebuild:
            shutil.rmtree(self.base / "c" / "generations", ignore_errors=True)
        self.corpus = Corpus.open(self.base / "c")
        self.model.reopened(corpus_rows.stored(self.corpus))

    @invariant()
    def holds_the_same(self) -> None:
        check(self.corpus, self.model)


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(
    max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A corpus of some thirty commits, and what it holds."""
    chance = random.Random(8)
    corpus = Corpus.create(tmp_path_factory.mktemp("replay") / "c", "c", "")
    names = [f"row-{n}" for n in range(12)]
    for step in range(32):
        some = chance.sample(names, 3)
        if step % 7 == 6:
            corpus.delete(some)
            continue
        sent = [corpus_rows.submission(f"version {step} of the answer {name}", id=name) for name in some]
        corpus_rows.write(corpus, sent, ("copy",) if step % 2 else ("copy", "style"))
        if step % 5 == 0:
            hashes = corpus_rows.content_hashes(sent, "c")
            arrived = [(r.id, h, r.response) for r, h in zip(sent, hashes, strict=True)]
            corpus_rows.embed(corpus, arrived)
    return corpus.folder, corpus_rows.stored(corpus)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_files_in_a_replay_changes_nothing(
    many_files: tuple[Path, dict[str, dict[str, Any]]], chance: random.Random
) -> None:
    folder, expected = many_files
    corpus = Corpus.open(folder)
    files = list(corpus.record.snapshot().files)
    chance.shuffle(files)
    corpus.index = CorpusIndex("c", meaning=corpus.meaning)
    replay(corpus.index, corpus.record, files)
    assert corpus_rows.stored(corpus) == expected
    corpus.publish()
    assert corpus_rows.stored(corpus) == expected
    shutil.rmtree(corpus.folder / "generations")
    for part in corpus.view.parts:
        assert (np.diff(part.segment.seqs) > 0).all(), "pages of a listing go by seq"


def test_fresh_parts_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_TIER_ROWS", 2)
    import polars as pl
    from kinprint.server.corpus.normalise import normalise

    index = CorpusIndex("c")
    from collections import Counter

    alive: set[str] = set()
    for n in range(120):
        sent = [Submission(f"answer number {n} {k}", id=f"{n}-{k}", language="en") for k in range(2)]
        frame = normalise("c", sent, Counter()).frame.with_columns(
            pl.Series("seq", [2 * n, 2 * n + 1], dtype=pl.Int64),
        )
        index.put(frame)
        alive |= {row.id for row in sent}
        if n % 10 == 9:
            gone = [f"{n - 5}-0", f"{n}-1"]
            index.delete(gone)
            alive -= set(gone)
    view = index.view
    assert view.rows == len(alive)
    assert len(view.parts) <= 8 * 4
    assert all(place is not None for place in view.locate(sorted(alive)))
    for part in view.parts:
        assert (np.diff(part.segment.seqs) > 0).all()


def test_a_reader_keeps_the_state_it_took(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    corpus_rows.write(corpus, [corpus_rows.submission("one answer", id="a"), corpus_rows.submission("two", id="b")])
    before = corpus.view
    corpus_rows.write(corpus, [corpus_rows.submission("changed answer", id="a")])
    corpus.delete(["b"])
    corpus.publish()
    places = before.locate(["a", "b"])
    assert [before.row(p)["response"] for p in places if p is not None] == ["one answer", "two"]
    assert before.rows == 2
    assert (corpus.view.rows, corpus.view.locate(["b"])) == (1, [None])


def test_colliding_id_hashes_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinprint.server.corpus import view
    from kinprint.server.store import segment

    def four_values(ids: Any) -> np.ndarray:
        return np.array([len(i) % 4 for i in ids], np.uint64)

    monkeypatch.setattr(segment, "id_hashes", four_values)
    monkeypatch.setattr(view, "id_hashes", four_values)
    monkeypatch.setattr(index_module, "id_hashes", four_values)
    corpus = Corpus.create(tmp_path / "c", "c", "")
    names = [f"id{n}" for n in range(40)]
    corpus_rows.write(corpus, [corpus_rows.submission(f"answer of {n}", id=n) for n in names])
    corpus.delete(names[::2])
    corpus.publish()
    for reopened in (corpus, Corpus.open(corpus.folder)):
        places = reopened.view.locate(names)
        assert [p is None for p in places] == [True, False] * 20
        assert [reopened.view.row(p)["id"] for p in places if p is not None] == names[1::2]


def test_sequence_numbers_never_fall_even_when_the_clock_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step of the clock a new row must still win over a delete that is in no segment."""
    corpus = Corpus.create(tmp_path / "c", "c", "")
    corpus_rows.write(corpus, [corpus_rows.submission("kept", id="other")])
    corpus_rows.write(corpus, [corpus_rows.submission("first", id="a")])
    corpus.delete(["a"])
    corpus.publish()
    corpus = Corpus.open(corpus.folder)
    newest = corpus.record.read(columns=["seq"]).collect()["seq"].max()
    monkeypatch.setattr("kinprint.server.corpus.corpus.time.time_ns", lambda: 1_000)
    corpus_rows.write(corpus, [corpus_rows.submission("second", id="a")])
    written = corpus.record.read(columns=["seq"]).collect()["seq"]
    assert written.max() > newest
    assert written.n_unique() == len(written)
    monkeypatch.undo()
    shutil.rmtree(corpus.folder / "generations")
    corpus = Corpus.open(corpus.folder)
    assert corpus_rows.stored(corpus)["a"]["response"] == "second"


def test_segments_are_merged_and_rewritten_on_disk(tmp_path: Path) -> None:
    """Publishing after every few rows leaves few segments, none of them mostly dead."""
    corpus = Corpus.create(tmp_path / "c", "c", "")
    model = Model()
    chance = random.Random(3)
    for step in range(12):
        for n in range(3):
            row = Submission(f"step {step} number {n} says so", id=f"{chance.randrange(20)}", language="en")
            corpus_rows.write(corpus, [row])
            model.put(row, frozenset({"copy", "style"}))
        corpus.publish()
        assert {k: v["response"] for k, v in corpus_rows.stored(corpus).items()} == {
            k: row.response for k, (row, _) in model.rows.items()
        }
    assert len(corpus.view.parts) <= 8
    assert all(part.living * 2 >= len(part.segment) for part in corpus.view.parts)
    assert [p.name for p in (corpus.folder / "generations").iterdir()] == ["12"]
    made = generation.Fingerprints(PIPELINE, None, schemes())
    manifest = generation.open_newest(corpus.folder / "generations", corpus.record, made, CHANNELS)
    assert manifest is not None
    assert sum(int(a.sum()) for a in manifest.alive) == len(model.rows)
