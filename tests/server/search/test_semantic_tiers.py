"""Two tiers in one corpus: vectors made at once, behind, with another table, with a second model."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import corpus_rows
import numpy as np
import pytest
from corpus_rows import content_hashes, submission, write
from kinprint.server.channels import CHANNELS, candidates, nearest
from kinprint.server.channels.protocol import Cancelled, Limits, Query
from kinprint.server.corpus import backfill, vectors
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import EVERYTHING, Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.embed import sentences_of
from kinprint.server.failures import ChannelNotFilled, CorpusDamaged, ModelMismatch, ModelNotFilled
from kinprint.server.search import calibrate
from kinprint.server.search.models import compare_models
from kinprint.server.search.run import covered, find

WORDS = corpus_rows.WORDS


def rows_of(count: int, seed: int = 0, prompts: int = 40) -> list[Submission]:
    chance = random.Random(seed)
    made = []
    for n in range(count):
        sentences = [" ".join(chance.choices(WORDS, k=8)).capitalize() + "." for _ in range(chance.randint(1, 5))]
        text = " ".join(sentences)
        made.append(submission(text, id=f"r{n:04d}", model=f"m{n % 3}", prompt_id=f"p{n % prompts}"))
    return made


def embedded(corpus: Corpus, rows: list[Submission], into: Any = None) -> None:
    """Sentence by sentence, as the spans of a text have them."""
    hashes = content_hashes(rows, corpus.name)
    made = [np.concatenate([corpus_rows.sentence_vectors(s, 1) for s in sentences_of(r.response)]) for r in rows]
    starts = np.concatenate(([0], np.cumsum([len(v) for v in made]))).astype(np.int64)
    corpus.fill_embeddings([r.id for r in rows], hashes, np.concatenate(made), starts, into or corpus_rows.space())


def ids(corpus: Corpus, query: Query, top: int = 5, rows: Filter = EVERYTHING) -> list[str]:
    return [match.id for match in find("semantic", query, [corpus.view], rows, Limits(top)).matches]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "c", "c", "")


def test_rows_are_found_by_fast_vectors_as_soon_as_they_are_stored(corpus: Corpus) -> None:
    rows = rows_of(60)
    corpus.adopt_table(corpus_rows.table())
    write(corpus, [*rows, submission(" \n", id="blank")])
    assert corpus.view.filled("fast") == corpus.view.fillable == 60
    for row in rows[::7]:
        (match, *_) = find("semantic", Query(row.response, "en", tier="fast"), [corpus.view]).matches
        assert (match.id, match.tier) == (row.id, "fast")
        assert match.score == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("published", [False, True])
def test_a_text_that_repeats_a_sentence_is_the_first_match_of_itself(corpus: Corpus, published: bool) -> None:
    sentences = [
        f"{a} {b} {c} went along slowly.".capitalize() for a, b, c in zip(WORDS, WORDS[5:], WORDS[9:], strict=False)
    ][:5]
    refrain = " ".join(sentences[k] for k in (0, 1, 0, 2, 0, 3))
    rows = [
        submission(" ".join(sentences[:1] * 4), id="four"),
        submission(sentences[0], id="once"),
        submission(refrain, id="refrain"),
    ]
    corpus.adopt_table(corpus_rows.table())
    write(corpus, rows)
    embedded(corpus, rows)
    if published:
        corpus.publish()
    for row in rows:
        raw = np.concatenate([corpus_rows.sentence_vectors(part, 1) for part in sentences_of(row.response)])
        for tier in ("fast", "accurate"):
            query = Query(row.response, "en", sentences=corpus_rows.space().neutral(raw), tier=tier)
            match = find("semantic", query, [corpus.view]).matches[0]
            assert (match.id, match.tier) == (row.id, tier)
            assert match.score == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("published", [False, True])
def test_rows_stored_before_the_table_are_made_behind(corpus: Corpus, published: bool) -> None:
    rows = rows_of(50)
    write(corpus, rows)
    if published:
        corpus.publish()
    assert corpus.backfill(lambda: False) == 0
    with pytest.raises(ChannelNotFilled, match="fast tier"):
        covered(("semantic",), [corpus.view], "fast")
    corpus.adopt_table(corpus_rows.table())
    assert corpus.view.filled("fast") == 0
    assert corpus.backfill(lambda: True) == 0
    assert corpus.backfill(lambda: False) == 50
    assert corpus.backfill(lambda: False) == 0
    assert ids(corpus, Query(rows[3].response, "en", tier="fast"), 1) == ["r0003"]
    fresh = ids(corpus, Query(rows[9].response, "en", tier="fast"), 20)
    corpus.publish()
    again = Corpus.open(corpus.folder)
    again.adopt_table(corpus_rows.table())
    assert again.view.filled("fast") == 50
    assert ids(again, Query(rows[9].response, "en", tier="fast"), 20) == fresh


def test_another_table_takes_the_place_of_the_first(corpus: Corpus) -> None:
    rows = rows_of(40)
    corpus.adopt_table(corpus_rows.table(0))
    write(corpus, rows[:20])
    corpus.publish()
    corpus.adopt_table(corpus_rows.table(1))
    assert corpus.view.filled("fast") == 0, "vectors of two tables never meet"
    write(corpus, rows[20:])
    assert corpus.view.filled("fast") == 20
    assert corpus.backfill(lambda: False) == 20
    chunks = [chunk for part in corpus.view.parts for chunk in part.segment.of("fast")]
    assert {chunk.table for chunk in chunks} == {corpus_rows.table(1).digest}
    corpus.publish()
    old = Corpus.open(corpus.folder)
    old.adopt_table(corpus_rows.table(0))
    assert old.view.filled("fast") == 0
    assert old.backfill(lambda: False) == 40


def test_a_table_fitted_to_a_corpus_is_installed_and_kept(corpus: Corpus) -> None:
    write(corpus, rows_of(10))
    corpus.adopt_table(corpus_rows.table(0))
    fitted = corpus_rows.table(5)
    fitted.save(corpus.tables / "five")
    corpus.install_table("five")
    assert corpus.meaning.table is not None
    assert corpus.meaning.table.digest == fitted.digest
    again = Corpus.open(corpus.folder)
    found = again.fitted_table()
    assert found is not None
    assert found.digest == fitted.digest
    again.adopt_usual(corpus_rows.table(0))
    assert again.meaning.table is None, "its own is loaded instead"
    (corpus.tables / "five" / "table.json").write_text("{")
    assert again.fitted_table() is None


def test_each_row_is_compared_by_the_best_that_it_has(corpus: Corpus) -> None:
    rows = rows_of(60)
    corpus.adopt_table(corpus_rows.table())
    write(corpus, rows)
    embedded(corpus, rows[:30])
    space = corpus_rows.space()

    def asked(row: Submission, tier: Any = None) -> Query:
        raw = np.concatenate([corpus_rows.sentence_vectors(s, 1) for s in sentences_of(row.response)])
        return Query(row.response, "en", sentences=space.neutral(raw), tier=tier)

    for row, tier in ((rows[4], "accurate"), (rows[44], "fast")):
        (match, *others) = find("semantic", asked(row), [corpus.view], limits=Limits(200)).matches
        assert (match.id, match.tier) == (row.id, tier)
        assert {m.tier for m in [match, *others]} == {"accurate", "fast"}
        standings = [m.worth.standing for m in [match, *others]]
        assert standings == sorted(standings, reverse=True)
    assert set(ids(corpus, asked(rows[4], "accurate"), 200)) <= {row.id for row in rows[:30]}
    with pytest.raises(ValueError, match="not embedded"):
        find("semantic", Query(rows[4].response, "en", tier="accurate"), [corpus.view])
    covers = covered(("semantic",), [corpus.view])
    assert [(c.tier, c.filled, c.fillable) for c in covers] == [("accurate", 30, 60), ("fast", 60, 60)]
    evidence = CHANNELS["semantic"].explain(asked(rows[44]), match, 5)
    assert evidence.tier == "fast"
    assert evidence.sentences
    for pair in evidence.sentences:
        assert pair.query_text == rows[44].response[pair.query_start : pair.query_end]
        assert pair.match_text == match.response[pair.match_start : pair.match_end]
        assert pair.cosine == pytest.approx(1, abs=1e-3)


def test_indexes_are_built_behind_and_found_again(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "INDEX_FROM", 400)
    rows = rows_of(900)
    corpus.adopt_table(corpus_rows.table())
    write(corpus, rows)
    embedded(corpus, rows)
    assert corpus.index_vectors(lambda: False) == 0, "what is not published is scanned"
    corpus.publish()
    before = corpus.view
    assert corpus.index_vectors(lambda: False) == 2
    assert corpus.index_vectors(lambda: False) == 0
    again = Corpus.open(corpus.folder)
    again.adopt_table(corpus_rows.table())
    for state in (corpus, again):
        (part,) = state.view.parts
        assert part.segment.folder is not None, "the segment stays the one on disk"
        assert [chunk.inverted.measured.vectors for chunk in part.segment.of("fast")] == [900]
        assert ids(state, Query(rows[5].response, "en", tier="fast"), 1) == ["r0005"]
    assert all(chunk.inverted is None for part in before.parts for chunk in part.segment.of("fast"))
    # A publish that leaves the segment as it is takes its indexes along.
    write(again, rows_of(3, seed=9, prompts=3)[:1])
    again.publish()
    sizes = {len(c.rows): c.inverted is not None for p in again.view.parts for c in p.segment.of("fast")}
    assert sizes.get(900, True)


def test_a_corpus_is_calibrated_on_its_own_rows(corpus: Corpus) -> None:
    rows = rows_of(500)
    corpus.adopt_table(corpus_rows.table())
    write(corpus, rows[:200])
    assert calibrate.calibrated(corpus.view, "fast") is None, "too few rows to tell"
    assert calibrate.calibrated(corpus.view, "accurate") is None
    write(corpus, rows[200:])
    made = calibrate.calibrated(corpus.view, "fast")
    assert made is not None
    assert (made.source, made.rows) == ("corpus", 500)
    assert made.pairs > 10_000
    assert len(made.same_prompt["same"]) > calibrate.LEAST_ROWS
    assert all(len(found) >= 50 for size, found in made.extremes.items() if size < 3)
    whole = Corpus.create(corpus.folder.with_name("d"), "d", "")
    whole.adopt_table(corpus_rows.table())
    write(whole, [dataclasses.replace(row) for row in rows])
    whole.publish()
    again = calibrate.calibrated(whole.view, "fast")
    assert again is not None
    assert {k: v.tolist() for k, v in again.same_prompt.items()}.keys() == made.same_prompt.keys()
    corpus.calibrate("fast", made)
    for state in (corpus, Corpus.open(corpus.folder)):
        state.adopt_table(corpus_rows.table())
        assert state.meaning.calibration("fast") is not None
    (match, *_) = find("semantic", Query(rows[7].response, "en", tier="fast"), [corpus.view]).matches
    assert match.id == "r0007"
    assert match.worth.source == "corpus"
    assert match.worth.p_value == match.worth.p_floor < 0.02
    other = Corpus.open(corpus.folder)
    other.adopt_table(corpus_rows.table(1))
    assert other.meaning.calibration("fast") is None, "scores of another table are worth something else"
    with pytest.raises(Cancelled):
        calibrate.calibrated(corpus.view, "fast", lambda: True)


def test_a_second_model_is_filled_compared_and_switched_to(corpus: Corpus) -> None:
    rows = rows_of(80, prompts=10)
    first, second = corpus_rows.space(0), corpus_rows.space(1)
    write(corpus, rows)
    embedded(corpus, rows, first)
    with pytest.raises(ModelNotFilled):
        compare_models(corpus.view, 20)
    with pytest.raises(ModelNotFilled):
        corpus.switch_models()
    with pytest.raises(ModelMismatch):
        embedded(corpus, rows[:5], second)
    corpus.begin_second(first)
    assert corpus.meaning.second is None, "it is the model that the corpus has"
    corpus.begin_second(second)
    corpus.begin_second(second)
    with pytest.raises(ModelMismatch):
        corpus.begin_second(corpus_rows.space(2))
    embedded(corpus, rows[:50], second)
    assert (corpus.view.filled("semantic"), corpus.view.filled("second")) == (80, 50)
    with pytest.raises(ModelNotFilled, match="50 of the 80"):
        corpus.switch_models()
    found = compare_models(corpus.view, 20)
    assert (found.first.digest, found.second.digest) == (first.digest, second.digest)
    assert (found.first.filled, found.second.filled, found.queries) == (80, 50, 20)
    assert 0 < found.agreement <= 1
    assert found.first.same_prompt_auc is not None
    corpus.publish()
    reopened = Corpus.open(corpus.folder)
    assert (reopened.view.filled("semantic"), reopened.view.filled("second")) == (80, 50)
    replayed = fresh_index(reopened)
    assert (replayed.view.filled("semantic"), replayed.view.filled("second")) == (80, 50)
    embedded(replayed, rows[50:], second)
    replayed.switch_models()
    for state in (replayed, Corpus.open(corpus.folder), fresh_index(replayed)):
        assert state.space is not None
        assert (state.space.digest, state.meaning.second) == (second.digest, None)
        assert (state.view.filled("semantic"), state.view.filled("second")) == (80, 0)
    assert embeddings_of(replayed) == {second.digest: 80}


def test_a_second_model_is_dropped(corpus: Corpus) -> None:
    rows = rows_of(20)
    write(corpus, rows)
    embedded(corpus, rows)
    with pytest.raises(ModelNotFilled):
        corpus.drop_second()
    corpus.begin_second(corpus_rows.space(1))
    embedded(corpus, rows, corpus_rows.space(1))
    corpus.drop_second()
    for state in (corpus, fresh_index(corpus)):
        assert state.meaning.second is None
        assert (state.view.filled("semantic"), state.view.filled("second")) == (20, 0)
    assert embeddings_of(corpus) == {corpus_rows.space().digest: 20}


def fresh_index(corpus: Corpus) -> Corpus:
    """The corpus opened without its indexes on disk."""
    import shutil

    shutil.rmtree(corpus.generations, ignore_errors=True)
    return Corpus.open(corpus.folder)


def embeddings_of(corpus: Corpus) -> dict[str, int]:
    """Fills with an embedding in the record, by the model that they name."""
    import polars as pl

    record = corpus.record
    frame = record.read(record.snapshot().files, ["model", "embedding", "op"]).collect()
    counts = frame.filter((pl.col("op") == 2) & pl.col("embedding").is_not_null())["model"].value_counts()
    return dict(counts.iter_rows())


def test_blocks_do_not_change_what_is_made(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(30)
    write(corpus, rows)
    monkeypatch.setattr(backfill, "BLOCK", 7)
    corpus.adopt_table(corpus_rows.table())
    corpus.backfill(lambda: False)
    (part,) = corpus.view.parts
    merged = np.concatenate([chunk.codes[np.argsort(chunk.rows)] for chunk in part.segment.of("fast")])
    together = Corpus.create(corpus.folder.with_name("d"), "c", "")
    together.adopt_table(corpus_rows.table())
    write(together, rows)
    (whole,) = together.view.parts
    (chunk,) = whole.segment.of("fast")
    np.testing.assert_array_equal(merged, chunk.codes)


def test_a_drop_that_is_cut_short_leaves_no_vectors_to_the_next_model(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(20)
    write(corpus, rows)
    embedded(corpus, rows)
    corpus.begin_second(corpus_rows.space(1))
    embedded(corpus, rows, corpus_rows.space(1))
    corpus.publish()

    def cut_short(condition: str) -> None:
        raise OSError("killed here")

    monkeypatch.setattr(corpus, "_erase_embeddings", cut_short)
    with pytest.raises(OSError, match="killed here"):
        corpus.drop_second()
    again = Corpus.open(corpus.folder)
    assert (again.meaning.second, again.view.filled("second")) == (None, 0)
    again.begin_second(corpus_rows.space(2))
    assert again.view.filled("second") == 0
    with pytest.raises(ModelNotFilled):
        again.switch_models()
    third = Corpus.open(corpus.folder)
    assert third.view.filled("second") == 0
    embedded(third, rows, corpus_rows.space(2))
    third.switch_models("some/where")
    chunks = [chunk for part in third.view.parts for chunk in part.segment.of("semantic")]
    assert {chunk.model for chunk in chunks} == {corpus_rows.space(2).digest}
    assert vectors.read_models(third.folder)["directory"] == "some/where"


def test_an_index_that_is_built_while_its_rows_are_purged_stays_away(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "INDEX_FROM", 400)
    rows = rows_of(900)
    corpus.adopt_table(corpus_rows.table())
    write(corpus, rows)
    corpus.publish()
    build = nearest.build

    def purged_meanwhile(codes: Any) -> Any:
        made = build(codes)
        monkeypatch.setattr(nearest, "build", build)
        corpus.purge([row.id for row in rows[:300]], lambda _: None)
        return made

    monkeypatch.setattr(nearest, "build", purged_meanwhile)
    corpus.index_vectors(lambda: False)
    again = Corpus.open(corpus.folder)
    again.adopt_table(corpus_rows.table())
    for state in (corpus, again):
        for part in state.view.parts:
            for chunk in part.segment.of("fast"):
                assert chunk.inverted is None or chunk.inverted.measured.vectors == len(chunk.codes)
        assert ids(state, Query(rows[500].response, "en", tier="fast"), 1) == ["r0500"]


@pytest.mark.parametrize("name", ["calibration-fast.npz", "second-embedding-space.npz"])
def test_damaged_files_that_can_be_made_again_harm_nobody(corpus: Corpus, name: str) -> None:
    rows = rows_of(5)
    write(corpus, rows)
    embedded(corpus, rows)
    (corpus.folder / name).write_bytes(b"PK\x03\x04 torn")
    assert Corpus.open(corpus.folder).view.filled("semantic") == 5


def test_a_damaged_note_of_models_is_told(corpus: Corpus) -> None:
    (corpus.folder / "models.json").write_text('{"for')
    with pytest.raises(CorpusDamaged, match=r"models\.json"):
        Corpus.open(corpus.folder)


@pytest.mark.parametrize("aligned", [0, 1 << 40])
def test_votes_and_looking_at_every_row_leave_out_what_does_not_pass(
    corpus: Corpus, aligned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "ALIGNED_SENTENCES", aligned)
    rows = rows_of(120)
    write(corpus, rows)
    embedded(corpus, rows)
    space = corpus_rows.space()
    for row in rows[::17]:
        raw = np.concatenate([corpus_rows.sentence_vectors(part, 1) for part in sentences_of(row.response)])
        query = Query(row.response, "en", sentences=space.neutral(raw), tier="accurate")
        assert ids(corpus, query, 1) == [row.id]
        itself = dataclasses.replace(query, itself=("c", row.id))
        without = ids(corpus, itself, 200)
        assert row.id not in without
        assert set(without) == set(ids(corpus, query, 200)) - {row.id}
        others = Filter(models=frozenset({"m1"}))
        assert set(ids(corpus, itself, 200, others)) <= {r.id for r in rows if r.model == "m1"} - {row.id}


def test_what_cannot_stand_high_enough_is_left_out_and_nothing_else(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(150)
    write(corpus, rows)
    embedded(corpus, rows)
    monkeypatch.setattr(candidates, "ALIGNED_SENTENCES", 0)
    monkeypatch.setattr(candidates, "ROWS_EACH", 1)
    compared: list[int] = []
    aligned = candidates._aligned

    def counted(side: Any, chunk: Any, positions: Any) -> Any:
        compared.append(len(positions))
        return aligned(side, chunk, positions)

    monkeypatch.setattr(candidates, "_aligned", counted)
    space = corpus_rows.space()
    numbers = {3: 0, 1 << 40: 0}
    for row, sentences in ((row, n) for row in rows[::11] for n in (1, 2, 9)):
        raw = np.concatenate([corpus_rows.sentence_vectors(part, 1) for part in sentences_of(row.response)[:sentences]])
        query = Query(row.response, "en", sentences=space.neutral(raw), tier="accurate")
        found = []
        for first in numbers:
            monkeypatch.setattr(candidates, "FIRST_ROWS", first)
            compared.clear()
            matches = find("semantic", query, [corpus.view], EVERYTHING, Limits(3)).matches
            found.append([(match.id, match.score) for match in matches])
            numbers[first] += sum(compared)
        assert found[0] == found[1]
    assert numbers[3] < numbers[1 << 40]
