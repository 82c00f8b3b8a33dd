"""Fingerprints of rows that an older pipeline wrote: made anew from the texts, whatever the record holds of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from corpus_rows import content_hashes, embed, stored, submission, write
from kinprint.kernels.reference import shingle as shingle_reference
from kinprint.kernels.reference import sketch as sketch_reference
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.protocol import Query
from kinprint.server.corpus import corpus as corpus_module
from kinprint.server.corpus import replay as replay_module
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.fingerprint import fingerprint, refreshed, refreshed_fill
from kinprint.server.corpus.normalise import PIPELINE, Submission, normalise
from kinprint.server.corpus.plan import aligned
from kinprint.server.search import duplicates
from kinprint.server.search.run import find
from kinprint.server.store.record import DELETE, FILL, PUT, SCHEMA

ANSWERS = [
    "the first answer tells of rivers and bridges, at some length and in no hurry",
    "another one speaks about candles and windows, and it is shorter",
    "短い答え、でも十分に長い文章です。",
    "word",
]


def old_rows(
    corpus: Corpus, rows: Sequence[Submission], channels: Iterable[str] = ("copy", "style"), op: int = PUT
) -> pl.DataFrame:
    """Rows of the record as an older pipeline would have them: its sketches, hashes and prompt keys are other ones."""
    made = normalise(corpus.name, list(rows), Counter()).frame
    n = made.height
    garbage = np.random.default_rng(n)
    blank = made["text_hash"].is_null()
    first = corpus.next_seq(n)
    columns: dict[str, Any] = {"seq": range(first, first + n), "op": [op] * n, "pipeline": [PIPELINE - 1] * n}
    columns["text_hash"] = [None if b else garbage.bytes(16) for b in blank]
    if "copy" in channels:
        # The same for all: whoever went by it would find all rows alike.
        columns["sketch"] = [None if b else bytes(range(256)) * 2 for b in blank]
        columns["shingles"] = [None if b else 7 for b in blank]
    if "style" in channels:
        vectors = fingerprint(made["response"], ("style",))["style"]
        columns["style"] = [None if b else v for b, v in zip(blank, vectors, strict=True)]
    frame = made.with_columns(
        *(pl.Series(name, values, dtype=SCHEMA[name]) for name, values in columns.items()),
        pl.when(pl.col("prompt_id").is_null() & pl.col("prompt_key").is_not_null())
        .then(pl.lit("prompt-old"))
        .otherwise(pl.col("prompt_key"))
        .alias("prompt_key"),
    )
    if op == FILL:
        frame = frame.select("id", "content_hash", "text_hash", *columns.keys() - {"text_hash"})
    return aligned([frame])


def put_old(corpus: Corpus, rows: Sequence[Submission], **options: Any) -> None:
    corpus.record.append(old_rows(corpus, rows, **options))


def check_fresh(corpus: Corpus) -> None:
    """Whatever the index holds of a row is what its texts give now."""
    for part in corpus.view.parts:
        rows = part.segment.table.to_pylist()
        sent = [
            Submission(r["response"], id=r["id"], prompt=r["prompt"], prompt_id=r["prompt_id"], language="en")
            for r in rows
        ]
        made = normalise(corpus.name, sent, Counter()).frame
        for name in ("text_hash", "prompt_key"):
            assert [row[name] for row in rows] == made[name].to_list()
        for chunk in part.segment.of("copy"):
            for k, row in enumerate(chunk.rows.tolist()):
                text = rows[row]["response"]
                assert chunk.text_hashes[k].tolist() == list(shingle_reference.text_hash(text))
                assert chunk.signatures[k].tolist() == sketch_reference.sketch(shingle_reference.shingle_set(text)[0])


def pairs(corpora: Sequence[Corpus], **options: Any) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for message in duplicates.find_duplicates([c.view for c in corpora], 0.5, **options):
        if isinstance(message, duplicates.Pairs):
            found |= zip(zip(message.id_a, message.id_b, strict=True), message.jaccard.tolist(), strict=True)
    return found


def hits(corpus: Corpus, text: str, **fields: Any) -> list[tuple[str, float, bool]]:
    found = find("copy", Query(text), [corpus.view], Filter(**fields)).matches
    return [(hit.id, hit.score, hit.identical) for hit in found]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """An empty corpus; rows of an older pipeline go straight into its record."""
    return Corpus.create(tmp_path / "c", "c", "")


def test_old_rows_are_read_anew(corpus: Corpus) -> None:
    rows = [submission(text, id=f"{n}", prompt="Tell  ME", model="m") for n, text in enumerate(ANSWERS)]
    rows += [submission(ANSWERS[0].upper(), id="named", prompt="Tell me", prompt_id="p7")]
    rows += [submission(" \n", id="blank", prompt="Tell me"), submission("and one without a prompt", id="none")]
    put_old(corpus, rows)
    again = Corpus.open(corpus.folder)
    found = stored(again)
    assert {k: v["response"] for k, v in found.items()} == {row.id: row.response for row in rows}
    assert {k: v["channels"] for k, v in found.items()} == {
        row.id: set() if row.id == "blank" else {"copy", "style"} for row in rows
    }
    check_fresh(again)
    assert found["named"]["prompt_key"] == "p7"
    assert found["none"]["prompt_key"] is None
    assert found["0"]["prompt_key"] == found["blank"]["prompt_key"] == found["1"]["prompt_key"] != "prompt-old"
    assert again.view.filled("copy") == len(rows) - 1
    # Nothing is alike but what is alike.
    assert pairs([again]) == {("0", "named"): 1.0}
    assert hits(again, ANSWERS[0]) == [("0", 1.0, True), ("named", 1.0, True)]
    assert hits(again, " ".join(ANSWERS[1].split()[1:9])) == [("1", 1.0, False)]
    assert hits(again, "Word") == [("3", 1.0, True)]
    key = normalise("c", [submission("x", prompt="tell me")], Counter()).frame["prompt_key"][0]
    assert [i for i, *_ in hits(again, ANSWERS[0], prompt_keys=frozenset({key}))] == ["0"]
    # The record keeps what it was given.
    assert again.record.read(columns=["pipeline"]).collect()["pipeline"].unique().to_list() == [PIPELINE - 1]


def test_new_rows_meet_old_ones(corpus: Corpus) -> None:
    put_old(corpus, [submission(text, id=f"old-{n}", prompt="Tell me") for n, text in enumerate(ANSWERS)])
    again = Corpus.open(corpus.folder)
    write(again, [submission(text.title(), id=f"new-{n}", prompt="tell ME") for n, text in enumerate(ANSWERS)])
    every = stored(again)
    assert len({row["prompt_key"] for row in every.values()}) == 1
    for number, text in enumerate(ANSWERS):
        assert hits(again, text) == [(f"new-{number}", 1.0, True), (f"old-{number}", 1.0, True)]
        assert every[f"new-{number}"]["text_hash"] == every[f"old-{number}"]["text_hash"]
    expected = {(f"new-{n}", f"old-{n}"): 1.0 for n in range(len(ANSWERS))}
    for options in ({}, {"exact": True}, {"expand": True}):
        assert pairs([again], **options) == expected
    # In one segment, identical answers of both are one candidate.
    again.publish()
    (part,) = again.view.parts
    (chunk,) = part.segment.of("copy")
    assert len(chunk.representatives) == len(ANSWERS)
    check_fresh(again)
    mapped = Corpus.open(corpus.folder)
    assert mapped.fresh_rows == 0
    assert stored(mapped) == stored(again)
    assert pairs([mapped]) == expected
    # What is sent again unchanged stays as it is.
    rows = [submission(text, id=f"old-{n}", prompt="Tell me") for n, text in enumerate(ANSWERS)]
    assert write(mapped, rows).outcomes == ["UNCHANGED"] * len(rows)


def test_old_fills_are_made_anew(corpus: Corpus) -> None:
    rows = [submission(text, id=f"{n}") for n, text in enumerate(ANSWERS)]
    changed = submission("what the third answer was changed to, later on", id="2")
    put_old(corpus, rows[:3], channels=["style"])
    put_old(corpus, rows[:3], channels=["copy"], op=FILL)
    put_old(corpus, rows[3:], channels=[])
    put_old(corpus, rows[3:], channels=["copy", "style"], op=FILL)
    put_old(corpus, [changed], channels=["style"])
    again = Corpus.open(corpus.folder)
    check_fresh(again)
    channels = {name: row["channels"] for name, row in stored(again).items()}
    # The fill of an answer that was replaced since is nobody's.
    assert channels == {"0": {"copy", "style"}, "1": {"copy", "style"}, "2": {"style"}, "3": {"copy", "style"}}
    assert pairs([again]) == {}
    assert hits(again, ANSWERS[1]) == [("1", 1.0, True)]
    assert hits(again, ANSWERS[2]) == hits(again, changed.response) == []
    # New fills beside them, and an embedding, which an old fill may hold as well.
    write(again, [changed], ["copy"])
    embed(again, [("0", content_hashes(rows[:1], "c")[0], ANSWERS[0])])
    last = Corpus.open(corpus.folder)
    check_fresh(last)
    assert stored(last)["2"]["channels"] == {"copy", "style"}
    assert stored(last)["0"]["channels"] == {"copy", "style", "semantic"}
    assert hits(last, changed.response) == [("2", 1.0, True)]


def test_old_fills_of_rows_that_are_gone(corpus: Corpus) -> None:
    """Of rows deleted since, of none at all, and of those alone."""
    row = submission(ANSWERS[0], id="a")
    put_old(corpus, [row], channels=["style"])
    put_old(corpus, [row], channels=["copy"], op=FILL)
    put_old(corpus, [submission(ANSWERS[1], id="nobody")], channels=["copy"], op=FILL)
    gone = pl.DataFrame({"id": ["a"], "seq": [corpus.next_seq(1)], "op": [DELETE], "pipeline": [PIPELINE - 1]})
    corpus.record.append(aligned([gone.cast({"op": pl.Int8, "pipeline": pl.Int32})]))
    assert stored(Corpus.open(corpus.folder)) == {}
    put_old(corpus, [submission("", id="a")], channels=["style"])
    again = Corpus.open(corpus.folder)
    assert stored(again)["a"]["channels"] == set()
    write(again, [row], ["style"])
    # The same answer under the same id: the fill is its own again.
    assert stored(Corpus.open(corpus.folder))["a"]["channels"] == {"copy", "style"}
    check_fresh(Corpus.open(corpus.folder))


def test_old_rows_outlive_compaction_and_purge(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "COMPACT_FROM", 2)
    for n, text in enumerate(ANSWERS):
        put_old(corpus, [submission(text, id=f"{n}", prompt="Tell me")], channels=["style"])
        put_old(corpus, [submission(text, id=f"{n}", prompt="Tell me")], channels=["copy"], op=FILL)
    again = Corpus.open(corpus.folder)
    expected = stored(again)
    again.compact()
    assert len(again.record.snapshot().files) < 2 * len(ANSWERS)
    for reopened in (again, Corpus.open(corpus.folder)):
        assert stored(reopened) == expected
        check_fresh(reopened)
    again.purge(["1"], lambda _: None)
    del expected["1"]
    for reopened in (again, Corpus.open(corpus.folder)):
        assert stored(reopened) == expected
        check_fresh(reopened)
        assert hits(reopened, ANSWERS[0]) == [("0", 1.0, True)]


def test_a_generation_of_an_older_pipeline_is_made_anew(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an upgrade meets it: record, index and all were written by the version before."""
    rows = [submission(text, id=f"{n}") for n, text in enumerate(ANSWERS)]
    with monkeypatch.context() as past:
        past.setattr(corpus_module, "PIPELINE", PIPELINE - 1)
        past.setattr(replay_module, "refreshed", lambda puts: puts)
        put_old(corpus, rows)
        before = Corpus.open(corpus.folder)
        before.publish()
        assert before.view.parts[0].segment.of("copy")[0].signatures[0].tobytes() == bytes(range(256)) * 2
    told: list[str] = []
    again = Corpus.open(corpus.folder, told.append)
    assert told
    check_fresh(again)
    again.publish()
    told.clear()
    check_fresh(Corpus.open(corpus.folder, told.append))
    assert not told


def test_frames_of_both_and_of_neither(corpus: Corpus) -> None:
    old = old_rows(corpus, [submission(text, id=f"old-{n}", prompt="P") for n, text in enumerate(ANSWERS)])
    write(corpus, [submission(text, id=f"new-{n}", prompt="P") for n, text in enumerate(ANSWERS)])
    new = corpus.record.read().collect().select(SCHEMA.names())
    assert refreshed(new).equals(new)
    assert refreshed(new.clear()).equals(new.clear())
    both = refreshed(pl.concat([old[:2], new, old[2:]]))
    assert both.schema == new.schema
    assert sorted(both["id"]) == sorted([*old["id"], *new["id"]])
    made = ("pipeline", "text_hash", "sketch", "shingles", "prompt_key")
    assert both.filter(pl.col("id").str.starts_with("new")).sort("id").equals(new.sort("id"))
    fresh = both.filter(pl.col("id").str.starts_with("old")).sort("id")
    assert fresh.select(made).equals(new.sort("id").select(made))
    kept = [name for name in SCHEMA.names() if name not in made]
    assert fresh.select(kept).equals(old.sort("id").select(kept))
    fill = old_rows(corpus, [submission(ANSWERS[0], id="x")], op=FILL, channels=["copy"])
    anew = refreshed_fill(CHANNELS["copy"], fill, pl.Series([ANSWERS[0]]))
    assert anew.schema == fill.schema
    assert anew.select("text_hash", "sketch").equals(new.sort("id")[:1].select("text_hash", "sketch"))
    assert refreshed_fill(CHANNELS["copy"], fill.clear(), pl.Series([], dtype=pl.String)).is_empty()


def test_channels_are_what_they_are_by_themselves() -> None:
    rows = pl.Series([*ANSWERS, "x" * 100_000])
    both = fingerprint(rows, ("copy", "style"))
    assert set(both) == {"sketch", "shingles", "style"}
    for channels in (("copy",), ("style",), ()):
        for name, column in fingerprint(rows, channels).items():
            assert column.equals(both[name])
    for k, text in enumerate(rows):
        shingles = shingle_reference.shingle_set(text)[0]
        assert both["shingles"][k] == len(shingles)
        assert np.frombuffer(both["sketch"][k], "<u4").tolist() == sketch_reference.sketch(shingles)
