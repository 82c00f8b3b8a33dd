"""Corpus: outcomes of writes, embeddings that come late, models that do not fit, and erasure that erases."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import corpus_rows
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from corpus_rows import batch_of, content_hashes, embed, stored, submission, write
from kinprint.server.corpus import corpus as corpus_module
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import PIPELINE, Submission
from kinprint.server.failures import CorpusTooNew, ModelMismatch, StorageFailed
from kinprint.server.store import files
from kinprint.server.store.record import DELETE, FILL, PUT

ONE = "the first answer, about rivers and bridges"
TWO = "the second answer, about candles and windows"
THREE = "the third answer, about an orchard in winter"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "c", "c", "what it is for")


def operations(corpus: Corpus) -> list[tuple[str, int]]:
    """(id, op) of every row in the record, in the order of their writing."""
    frame = corpus.record.read(columns=["id", "op", "seq"]).collect().sort("seq")
    return list(zip(frame["id"], frame["op"], strict=True))


def embed_rows(corpus: Corpus, rows: list[Submission], **options: Any) -> None:
    hashes = content_hashes(rows, corpus.name)
    embed(corpus, [(row.id, h, row.response) for row, h in zip(rows, hashes, strict=True)], **options)


def test_outcomes_one_by_one(corpus: Corpus) -> None:
    a, b = submission(ONE, id="a"), submission(TWO, id="b")
    assert write(corpus, [a, b]).outcomes == ["CREATED", "CREATED"]
    assert write(corpus, [a, b]).outcomes == ["UNCHANGED", "UNCHANGED"]
    assert write(corpus, [submission(THREE, id="a"), b]).outcomes == ["REPLACED", "UNCHANGED"]
    # Any stored field counts as content.
    assert write(corpus, [submission(TWO, id="b", metadata={"k": "v"})]).outcomes == ["REPLACED"]
    assert corpus.delete(["a", "a", "nobody"]) == (1, 1)
    assert write(corpus, [a]).outcomes == ["CREATED"]
    assert operations(corpus) == [("a", PUT), ("b", PUT), ("a", PUT), ("b", PUT), ("a", DELETE), ("a", PUT)]
    assert {k: v["response"] for k, v in stored(corpus).items()} == {"a": ONE, "b": TWO}
    assert stored(Corpus.open(corpus.folder)) == stored(corpus)


def test_nothing_new_makes_no_version(corpus: Corpus) -> None:
    write(corpus, [submission(ONE, id="a")])
    before = corpus.record.version
    write(corpus, [submission(ONE, id="a")])
    write(corpus, [])
    corpus.delete(["nobody"])
    assert corpus.write([]) == []
    assert corpus.record.version == before


def test_filling_another_channel_changes_nothing_else(corpus: Corpus) -> None:
    rows = [submission(ONE, id="a", model="m", metadata={"k": "v"}), submission("", id="blank")]
    assert write(corpus, rows, ["copy"]).outcomes == ["CREATED", "CREATED"]
    before = stored(corpus)
    assert before["a"]["channels"] == {"copy"}
    outcome = write(corpus, rows, ["style"])
    assert outcome.outcomes == ["FILLED", "UNCHANGED"]  # a blank answer has no channel to fill
    assert outcome.to_embed == []
    after = stored(corpus)
    assert after["a"]["channels"] == {"copy", "style"}
    assert after["blank"]["channels"] == set()
    for name in before:
        assert after[name] | {"channels": None} == before[name] | {"channels": None}
    (fill,) = corpus.record.read().filter(pl.col("op") == FILL).collect().to_dicts()
    assert (fill["id"], fill["sketch"], fill["response"], len(fill["style"])) == ("a", None, None, 512)
    assert write(corpus, rows, ["style", "copy"]).outcomes == ["UNCHANGED", "UNCHANGED"]
    assert stored(Corpus.open(corpus.folder)) == after
    assert corpus.view.filled("copy") == corpus.view.filled("style") == corpus.view.fillable == 1


def test_a_fill_is_the_same_as_asking_at_once(corpus: Corpus, tmp_path: Path) -> None:
    rows = [submission(text, id=str(n)) for n, text in enumerate((ONE, TWO, THREE))]
    write(corpus, rows, ["style"])
    write(corpus, rows, ["copy"])
    other = Corpus.create(tmp_path / "other", "c", "")
    write(other, rows, ["copy", "style"])
    for late, at_once in zip(corpus.view.parts, other.view.parts, strict=True):
        (a,), (b,) = late.segment.of("copy"), at_once.segment.of("copy")
        assert (a.rows == b.rows).all()
        assert (a.signatures == b.signatures).all()
        assert (a.text_hashes == b.text_hashes).all()
        (c,), (d,) = late.segment.of("style"), at_once.segment.of("style")
        assert (c.vectors == d.vectors).all()


def test_repeats_within_a_batch(corpus: Corpus) -> None:
    outcome = write(corpus, [submission(t, id="a") for t in (ONE, TWO, THREE)] + [submission(ONE, id="b")])
    assert outcome.outcomes == ["SUPERSEDED", "SUPERSEDED", "CREATED", "CREATED"]
    assert outcome.repeated_ids == 2
    assert {k: v["response"] for k, v in stored(corpus).items()} == {"a": THREE, "b": ONE}


def test_repeats_over_batches_of_one_commit(corpus: Corpus) -> None:
    """Each batch meets what the one before it wrote, as if they had come one by one."""
    started = corpus.next_seq(0)
    batches = [
        batch_of(corpus, [submission(ONE, id="a"), submission(ONE, id="b")], started=started),
        batch_of(corpus, [submission(THREE, id="c")], started=started),
        batch_of(corpus, [submission(TWO, id="a")], started=started),
        batch_of(corpus, [submission(TWO, id="a"), submission(ONE, id="b")], ["semantic", "copy"], started=started),
    ]
    outcomes = corpus.write(batches)
    assert [o.outcomes for o in outcomes] == [
        ["CREATED", "CREATED"],
        ["CREATED"],
        ["REPLACED"],
        ["FILLED", "FILLED"],
    ]
    assert [o.repeated_ids for o in outcomes] == [0, 0, 1, 2]
    # Whoever asked for an embedding is the one that has it made.
    assert [o.to_embed for o in outcomes] == [[], [], [], [0, 1]]
    assert {k: v["response"] for k, v in stored(corpus).items()} == {"a": TWO, "b": ONE, "c": THREE}
    assert {k: v["channels"] for k, v in stored(corpus).items()} == {name: {"copy", "style"} for name in "abc"}


def test_a_row_asked_for_twice_is_embedded_for_the_one_that_asked(corpus: Corpus) -> None:
    wants, does_not = (
        batch_of(corpus, [submission(ONE, id="a")], channels) for channels in (["copy", "semantic"], ["copy"])
    )
    first, second = corpus.write([wants, does_not])
    assert (first.outcomes, first.to_embed) == (["CREATED"], [0])
    assert (second.outcomes, second.to_embed) == (["UNCHANGED"], [])


def test_batches_that_share_nothing_are_one_commit(corpus: Corpus) -> None:
    before = corpus.record.version
    corpus.write(
        [
            batch_of(corpus, [submission(f"{ONE} {n}", id=str(n))], channels)
            for n, channels in enumerate([(), ("copy",), ("style",), ("copy", "style"), ("copy", "semantic")])
        ]
    )
    assert corpus.record.version == before + 1
    assert [stored(corpus)[str(n)]["channels"] for n in range(5)] == [
        set(),
        {"copy"},
        {"style"},
        {"copy", "style"},
        {"copy"},
    ]
    assert stored(Corpus.open(corpus.folder)) == stored(corpus)


def test_rows_of_another_stream_are_no_repeats(corpus: Corpus) -> None:
    write(corpus, [submission(ONE, id="a")])
    started = corpus.next_seq(0)
    (first,) = corpus.write([batch_of(corpus, [submission(TWO, id="a")], started=started)])
    (second,) = corpus.write([batch_of(corpus, [submission(THREE, id="a")], started=started)])
    assert (first.repeated_ids, second.repeated_ids) == (0, 1)


def test_sequence_numbers_are_given_once(corpus: Corpus) -> None:
    taken: list[range] = []

    def take() -> None:
        for n in range(300):
            first = corpus.next_seq(n % 4)
            taken.append(range(first, first + n % 4))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [n for numbers in taken for n in numbers]
    assert len(set(numbers)) == len(numbers)


def test_embeddings_that_come_late(corpus: Corpus) -> None:
    """What was deleted or replaced while its embedding was being made stays as it is."""
    rows = [submission(text, id=name) for name, text in zip("abc", (ONE, TWO, THREE), strict=True)]
    assert write(corpus, rows, ["copy", "semantic"]).to_embed == [0, 1, 2]
    hashes = content_hashes(rows, corpus.name)
    corpus.delete(["a"])
    write(corpus, [submission(THREE, id="b")], ["copy"])
    embed(corpus, [(r.id, h, r.response) for r, h in zip(rows, hashes, strict=True)])
    assert {k: v["channels"] for k, v in stored(corpus).items()} == {"b": {"copy"}, "c": {"copy", "semantic"}}
    # Nothing of the others went to the record either.
    fills = corpus.record.read(columns=["id", "op", "embedding"]).filter(pl.col("op") == FILL).collect()
    assert fills["id"].to_list() == ["c"]
    assert stored(Corpus.open(corpus.folder)) == stored(corpus)


def test_one_row_embedded_for_two_streams_at_once(corpus: Corpus) -> None:
    rows = [submission(ONE, id="a"), submission(TWO, id="b")]
    write(corpus, rows, ["semantic"])
    hashes = content_hashes(rows, corpus.name)
    twice = [(r.id, h, r.response) for r, h in zip(rows, hashes, strict=True)] * 2
    embed(corpus, twice)
    embed(corpus, twice)
    assert corpus.view.filled("semantic") == 2
    for state in (corpus, Corpus.open(corpus.folder)):
        listed = [int(r) for part in state.view.parts for chunk in part.segment.of("semantic") for r in chunk.rows]
        assert sorted(listed) == [0, 1]


def test_embeddings_come_back_as_they_were(corpus: Corpus) -> None:
    rows = [submission(text, id=name) for name, text in zip("abc", (ONE, TWO, THREE), strict=True)]
    write(corpus, rows, ["copy"])
    embed_rows(corpus, rows[:1])
    embed_rows(corpus, rows[1:])
    space = corpus_rows.space()

    def check(state: Corpus) -> None:
        seen = {}
        for part in state.view.parts:
            for chunk in part.segment.of("semantic"):
                for position, row in enumerate(chunk.rows):
                    seen[part.segment.array("id")[int(row)].as_py()] = space.decode(chunk.at(position))
        assert set(seen) == {"a", "b", "c"}
        for row in rows:
            neutral = space.neutral(corpus_rows.sentence_vectors(row.response))
            np.testing.assert_allclose(seen[row.id], neutral, atol=1e-2)

    check(corpus)
    check(Corpus.open(corpus.folder))
    corpus.publish()
    check(corpus)
    check(Corpus.open(corpus.folder))


def test_another_model_is_refused(corpus: Corpus) -> None:
    rows = [submission(ONE, id="a"), submission(TWO, id="b")]
    write(corpus, rows, ["copy"])
    corpus.check_space(corpus_rows.space(5))  # nothing embedded yet: any model will do
    embed_rows(corpus, rows[:1])
    for state in (corpus, Corpus.open(corpus.folder)):
        assert state.space is not None
        assert state.space.digest == corpus_rows.space().digest
        state.check_space(corpus_rows.space())
        with pytest.raises(ModelMismatch, match="0000000"):
            state.check_space(corpus_rows.space(5))
        version = state.record.version
        with pytest.raises(ModelMismatch):
            embed_rows(state, rows[1:], into=corpus_rows.space(5))
        assert state.record.version == version
        assert state.view.filled("semantic") == 1


def test_the_fills_of_the_present_content_survive_a_merge_of_files(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one file with fills of older content, the fill that fits is the one that counts."""
    for text in (ONE, TWO, THREE, ONE, TWO):
        row = submission(text, id="a")
        write(corpus, [row], ["copy"])
        embed_rows(corpus, [row])
        write(corpus, [row], ["style"])
    expected = stored(corpus)
    assert expected["a"]["channels"] == {"copy", "style", "semantic"}
    from kinprint.server.store import maintenance

    maintenance.run_compact(corpus.record, small_files=1)
    assert len(corpus.record.snapshot().files) == 1
    assert stored(Corpus.open(corpus.folder)) == expected


def test_compaction_keeps_the_generation(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "COMPACT_FROM", 4)
    for n in range(6):
        write(corpus, [submission(f"{ONE} {n}", id=str(n % 4))])
    corpus.delete(["3"])
    expected = stored(corpus)
    corpus.settle()
    assert stored(corpus) == expected
    told: list[str] = []
    again = Corpus.open(corpus.folder, told.append)
    assert stored(again) == expected
    assert told == []  # mapped, nothing replayed
    write(again, [submission(TWO, id="new")])
    assert stored(Corpus.open(corpus.folder)) == stored(again)


def test_a_crash_between_compaction_and_its_note_brings_nothing_back(corpus: Corpus) -> None:
    """The merged file is not in the manifest, and holds puts of rows that were deleted in a file that is."""
    from kinprint.server.store import maintenance

    write(corpus, [submission(ONE, id="a"), submission(TWO, id="b")])
    write(corpus, [submission(THREE, id="a")])
    corpus.delete(["b"])
    corpus.publish()
    maintenance.run_compact(corpus.record, small_files=1)
    again = Corpus.open(corpus.folder)
    assert {k: v["response"] for k, v in stored(again).items()} == {"a": THREE}


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writes beyond this size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 60, 500, 1_500])
def test_a_write_that_fails_changes_nothing(corpus: Corpus, size: int) -> None:
    """Whether the data file, the log entry or the note of what is durable cannot be written."""
    write(corpus, [submission(ONE, id="a")])
    before = stored(corpus)
    with files_of_at_most(size), pytest.raises(StorageFailed):
        write(corpus, [submission(TWO, id="a"), submission(THREE, id="b")])
    with files_of_at_most(size), pytest.raises(StorageFailed):
        corpus.delete(["a"])
    with files_of_at_most(size), pytest.raises(StorageFailed):
        embed_rows(corpus, [submission(ONE, id="a")])
    assert stored(corpus) == before
    assert stored(Corpus.open(corpus.folder)) == before
    assert write(corpus, [submission(TWO, id="b")]).outcomes == ["CREATED"]
    embed_rows(corpus, [submission(ONE, id="a")])
    assert stored(Corpus.open(corpus.folder)) == stored(corpus)
    assert set(stored(corpus)) == {"a", "b"}


def test_a_newer_format_is_refused(corpus: Corpus) -> None:
    write(corpus, [submission(ONE, id="a")])
    path = corpus.folder / "corpus.json"
    meta = files.read_json(path)
    files.write_json(path, meta | {"format": corpus_module.FORMAT + 1})
    with pytest.raises(CorpusTooNew, match="upgrade"):
        Corpus.open(corpus.folder)
    files.write_json(path, meta)
    row = (
        corpus.record.read().collect().with_columns(pl.lit(PIPELINE + 1, pl.Int32).alias("pipeline"), pl.col("seq") + 1)
    )
    corpus.record.append(row)
    with pytest.raises(CorpusTooNew, match=f"pipeline {PIPELINE + 1}"):
        Corpus.open(corpus.folder)


def test_name_and_description_come_back(corpus: Corpus) -> None:
    again = Corpus.open(corpus.folder)
    assert (again.name, again.description, again.created_at) == ("c", "what it is for", corpus.created_at)


def test_concurrent_writers_and_readers(corpus: Corpus) -> None:
    """Several threads write and delete while others read: every view is whole, and all of it is kept."""
    problems: list[BaseException] = []
    done = threading.Event()

    def produce(number: int) -> None:
        try:
            for step in range(4):
                rows = [submission(f"{ONE} {number} {step} {k}", id=f"{number}-{step}-{k}") for k in range(5)]
                write(corpus, rows)
                corpus.delete([f"{number}-{step}-0"])
                if step == 2:
                    corpus.publish()
        except BaseException as error:
            problems.append(error)

    def consume() -> None:
        try:
            while not done.is_set():
                view = corpus.view
                names = [f"{n}-{s}-{k}" for n in range(3) for s in range(4) for k in range(5)]
                for name, place in zip(names, view.locate(names), strict=True):
                    assert place is None or view.row(place)["id"] == name
                assert view.filled("copy") == view.rows
                done.wait(0.005)
        except BaseException as error:
            problems.append(error)

    writers = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
    reader = threading.Thread(target=consume)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert problems == []
    expected = {f"{n}-{s}-{k}" for n in range(3) for s in range(4) for k in range(1, 5)}
    assert set(stored(corpus)) == expected
    assert set(stored(Corpus.open(corpus.folder))) == expected


# ---- erasure ----


def decoded(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file under a folder as bytes, and the values in it where the format hides them."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        yield path, raw
        if path.suffix == ".parquet":
            try:
                table = pq.read_table(io.BytesIO(raw))
            except pa.ArrowInvalid:
                continue
            yield path, str(pq.ParquetFile(io.BytesIO(raw)).metadata.to_dict()).encode()
        elif path.suffix == ".arrow":
            table = pa.ipc.open_file(raw).read_all()
        else:
            continue
        for row in table.to_pylist():
            for value in row.values():
                if value is not None:
                    yield path, value if isinstance(value, bytes) else str(value).encode()


def traces(folder: Path, needles: dict[str, bytes]) -> set[tuple[str, str]]:
    """Which needles are in which files."""
    found = set()
    for path, data in decoded(folder):
        for name, needle in needles.items():
            if needle in data:
                found.add((name, path.name))
    return found


def needles_of(rows: dict[str, str]) -> dict[str, bytes]:
    """Text, and every fingerprint, that erasing these rows must take away."""
    from kinprint.server.corpus.fingerprint import fingerprint

    space = corpus_rows.space()
    needles: dict[str, bytes] = {}
    for name, text in rows.items():
        made = fingerprint(pl.Series([text]), ["copy", "style"])
        codes = space.encode(space.neutral(corpus_rows.sentence_vectors(text)))
        needles |= {
            f"{name} id": name.encode(),
            f"{name} text": text.encode(),
            f"{name} beginning": text[:20].encode(),
            f"{name} sketch": made["sketch"][0],
            f"{name} style": made["style"][0],
            f"{name} embedding": codes.tobytes(),
            f"{name} note": f"note of {name}".encode(),
            f"{name} prompt": f"prompt of {name}".encode(),
        }
    return needles


@pytest.mark.parametrize("published", [False, True], ids=["fresh", "published"])
def test_purge_leaves_no_trace(corpus: Corpus, published: bool) -> None:
    chance = random.Random(1)
    texts = {
        name: " ".join(chance.choices(corpus_rows.WORDS, k=40))
        for name in ("keep-1", "keep-2", "replaced-old", "deleted-row", "purged-row", "purged-old")
    }

    def put(name: str, text: str, label: str) -> None:
        row = submission(
            texts[text], id=name, metadata={"note": f"note of {label}"}, prompt=f"prompt of {label}", model="m"
        )
        write(corpus, [row])
        embed_rows(corpus, [row])

    put("keep-1", "replaced-old", "replaced-old")
    put("deleted-row", "deleted-row", "deleted-row")
    put("purged-row", "purged-old", "purged-old")
    if published:
        corpus.publish()
    put("keep-1", "keep-1", "keep-1")
    put("keep-2", "keep-2", "keep-2")
    put("purged-row", "purged-row", "purged-row")
    corpus.delete(["deleted-row"])
    if published:
        corpus.publish()

    gone = needles_of({k: v for k, v in texts.items() if not k.startswith("keep")})
    # An id names the transcript that was purged, not the content that was replaced under a kept id.
    del gone["replaced-old id"], gone["purged-old id"]
    kept = needles_of({k: v for k, v in texts.items() if k.startswith("keep")})
    before = traces(corpus.folder, gone)
    assert {name for name, _ in before} >= {name for name in gone if "pooled" not in name}  # the search can see

    progress: list[str] = []
    assert corpus.purge(["purged-row", "never-there"], progress.append) == 1
    assert progress
    assert traces(corpus.folder, gone) == set()
    assert {name for name, _ in traces(corpus.folder, kept)} == set(kept)
    expected = stored(corpus)
    assert {k: (v["response"], v["channels"]) for k, v in expected.items()} == {
        "keep-1": (texts["keep-1"], {"copy", "style", "semantic"}),
        "keep-2": (texts["keep-2"], {"copy", "style", "semantic"}),
    }
    again = Corpus.open(corpus.folder)
    assert stored(again) == expected
    assert write(again, [submission(ONE, id="purged-row")]).outcomes == ["CREATED"]
    assert traces(corpus.folder, {"old": texts["purged-row"].encode()}) == set()


def test_purge_of_everything(corpus: Corpus) -> None:
    write(corpus, [submission(ONE, id="a"), submission(TWO, id="b")])
    corpus.publish()
    assert corpus.purge(["a", "b"], lambda _: None) == 2
    assert traces(corpus.folder, {"one": ONE.encode(), "two": TWO.encode()}) == set()
    assert stored(corpus) == stored(Corpus.open(corpus.folder)) == {}
    assert write(corpus, [submission(ONE, id="a")]).outcomes == ["CREATED"]
    corpus.publish()
    assert set(stored(Corpus.open(corpus.folder))) == {"a"}


def test_late_embeddings_of_purged_content_are_not_stored(corpus: Corpus) -> None:
    row = submission(ONE, id="a")
    write(corpus, [row], ["copy", "semantic"])
    (digest,) = content_hashes([row], corpus.name)
    write(corpus, [submission(TWO, id="a")])
    corpus.purge([], lambda _: None)
    embed(corpus, [("a", digest, ONE)])
    needle = corpus_rows.sentence_vectors(ONE).astype("<f2").tobytes()
    assert traces(corpus.folder, {"embedding": needle}) == set()


def test_searches_go_on_during_a_purge(corpus: Corpus) -> None:
    write(corpus, [submission(f"{ONE} {n}", id=str(n)) for n in range(50)])
    corpus.publish()
    counts: list[int] = []
    corpus.purge(["0"], lambda _step: counts.append(corpus.view.rows))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(corpus.view.rows)

    reader = threading.Thread(target=read)
    reader.start()
    corpus.purge(["1"], lambda _step: None)
    done.set()
    reader.join()
    assert set(counts) <= {50, 49, 48}
    assert corpus.view.rows == 48


def test_disk_bytes_counts_links_once(corpus: Corpus) -> None:
    write(corpus, [submission(f"{ONE} {n}", id=str(n)) for n in range(20)])
    corpus.publish()
    generation = corpus.folder / "generations" / "1" / "0" / "rows.arrow"
    before = corpus.disk_bytes()
    os.link(generation, corpus.folder / "another-name")
    assert corpus.disk_bytes() == before >= generation.stat().st_size
