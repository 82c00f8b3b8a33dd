"""Generations: what fits is mapped, what does not is thrown away and made again, nothing wrong is ever served."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus_rows
import numpy as np
import pytest
from corpus_rows import content_hashes, embed, stored, submission, write
from flushes import recorded_steps
from kinprint.server.channels import CHANNELS, nearest, schemes
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.failures import GenerationTooNew
from kinprint.server.store import files, generation
from kinprint.server.store.generation import Fingerprints, open_newest


def fill(corpus: Corpus, first: int, count: int) -> None:
    """Rows with all channels, one of them blank."""
    rows = [submission(f"answer {n} tells of rivers and bridges", id=f"{n:03d}") for n in range(first, first + count)]
    rows.append(submission("", id=f"blank-{first}"))
    write(corpus, rows)
    hashes = content_hashes(rows, corpus.name)
    embed(corpus, [(r.id, h, r.response) for r, h in zip(rows[:-1], hashes[:-1], strict=True)])


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A published corpus of two segments, the first with dead rows, all channels."""
    corpus = Corpus.create(tmp_path / "c", "c", "")
    fill(corpus, 0, 40)
    corpus.publish()
    fill(corpus, 100, 8)
    corpus.delete(["003", "007"])
    corpus.publish()
    assert len(corpus.view.parts) == 2
    return corpus


def root(corpus: Corpus) -> Path:
    return corpus.folder / "generations"


def newest(corpus: Corpus) -> Path:
    return max((p for p in root(corpus).iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def reopened(corpus: Corpus) -> tuple[Corpus, bool]:
    """The corpus opened anew, and whether a generation was of use."""
    told: list[str] = []
    again = Corpus.open(corpus.folder, told.append)
    return again, not told


def edit_manifest(corpus: Corpus, **changes: Any) -> None:
    path = newest(corpus) / "manifest.json"
    files.write_json(path, files.read_json(path) | changes)


def test_a_published_corpus_is_mapped(corpus: Corpus) -> None:
    expected = stored(corpus)
    again, mapped = reopened(corpus)
    assert mapped
    assert stored(again) == expected
    for part in again.view.parts:
        assert part.segment.folder == str(newest(corpus) / Path(str(part.segment.folder)).name)
        assert isinstance(part.segment.of("copy")[0].signatures.base, np.memmap)
    assert again.fresh_rows == 0


def test_rows_after_the_generation_are_replayed(corpus: Corpus) -> None:
    write(corpus, [submission("changed since", id="001"), submission("new since", id="new")])
    corpus.delete(["002"])
    expected = stored(corpus)
    again, mapped = reopened(corpus)
    assert not mapped
    assert stored(again) == expected
    assert again.fresh_rows == 2  # only those: the rest is mapped


def test_nothing_new_is_not_published_again(corpus: Corpus) -> None:
    before = newest(corpus)
    corpus.publish()
    again, _ = reopened(corpus)
    again.publish()
    assert newest(corpus) == before


def test_unchanged_segments_are_links(corpus: Corpus) -> None:
    files = {p.name: p.stat().st_ino for p in (newest(corpus) / "0").iterdir()}
    readers = corpus.view
    dead_before = np.load(newest(corpus) / "0" / "dead.npy").tolist()
    corpus.delete(["011"])
    write(corpus, [submission("one more", id="more")])
    corpus.publish()
    again = {p.name: p.stat().st_ino for p in (newest(corpus) / "0").iterdir()}
    assert set(again) == set(files)
    # What died since is a file of its own; a hard link to the old one would change both generations.
    assert {name for name in files if files[name] != again[name]} == {"dead.npy"}
    assert len(np.load(newest(corpus) / "0" / "dead.npy")) == len(dead_before) + 1
    assert [p.name for p in root(corpus).iterdir()] == [newest(corpus).name]
    # Whoever still reads the generation before keeps its pages.
    (place,) = readers.locate(["011"])
    assert place is not None
    assert readers.row(place)["response"].startswith("answer 11 ")


def test_copies_where_the_file_system_has_no_links(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write(corpus, [submission("one more", id="more")])
    corpus.publish()
    again, mapped = reopened(corpus)
    assert mapped
    assert stored(again) == stored(corpus)


def names_of_files(corpus: Corpus) -> list[str]:
    return sorted(str(p.relative_to(newest(corpus))) for p in newest(corpus).rglob("*") if p.is_file())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_a_little(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


DAMAGES: list[Callable[[Path], None]] = [cut, cut_a_little, empty, garble, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_any_damaged_file_means_a_rebuild(
    corpus: Corpus, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    expected = stored(corpus)
    for name in names_of_files(corpus):
        kept = tmp_path / "kept"
        shutil.copytree(root(corpus), kept)
        # Not through a hard link to the copy.
        damaged = newest(corpus) / name
        content = damaged.read_bytes()
        damaged.unlink()
        damaged.write_bytes(content)
        damage(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            again, mapped = reopened(corpus)
        assert not mapped, f"{name} was not missed"
        assert stored(again) == expected, name
        assert any("discarding generation" in r.message for r in caplog.records)
        assert not any(root(corpus).iterdir())
        shutil.rmtree(root(corpus))
        kept.rename(root(corpus))


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "nonsense", '{"format": "1"}', '{"format": null}'])
def test_a_manifest_that_is_none(corpus: Corpus, content: str) -> None:
    expected = stored(corpus)
    (newest(corpus) / "manifest.json").write_text(content)
    again, mapped = reopened(corpus)
    assert not mapped
    assert stored(again) == expected


def test_generations_of_another_record_are_discarded(corpus: Corpus, tmp_path: Path) -> None:
    """As after restoring the record, or the whole folder, from a backup of another time."""
    other = Corpus.create(tmp_path / "other", "other", "")
    for n in range(corpus.record.version):
        write(other, [submission(f"foreign {n}", id=f"{n}")])
    assert other.record.version == corpus.record.version
    other.publish()
    shutil.rmtree(root(corpus))
    shutil.copytree(root(other), root(corpus))
    again, mapped = reopened(corpus)
    assert not mapped
    assert stored(again) == stored(corpus)


def test_a_generation_ahead_of_the_record_is_discarded(corpus: Corpus, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(corpus.folder, backup)
    expected = stored(corpus)
    fill(corpus, 200, 3)
    corpus.publish()
    # The record goes back, the generation stays.
    shutil.rmtree(corpus.folder / "record")
    shutil.copytree(backup / "record", corpus.folder / "record")
    again, mapped = reopened(corpus)
    assert not mapped
    assert stored(again) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"record_version": 10**6},
        {"record_version": -1},
        {"record_entry": "0" * 64},
        {"files": ["part-nowhere.parquet"]},
        {"fingerprints": {}},
        {"format": generation.OLDEST - 1},
        {"segments": [{"rows": 1, "dead": 0}, {"rows": 1, "dead": 0}]},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_manifest_that_does_not_fit(corpus: Corpus, changes: dict[str, Any]) -> None:
    expected = stored(corpus)
    edit_manifest(corpus, **changes)
    again, mapped = reopened(corpus)
    assert not mapped
    assert stored(again) == expected


@pytest.mark.parametrize("key", ["pipeline", "model", "sketch", "seeds", "style"])
def test_other_fingerprints_mean_a_rebuild(corpus: Corpus, key: str) -> None:
    made = Fingerprints(PIPELINE, corpus_rows.space().digest, schemes())
    assert open_newest(root(corpus), corpus.record, made, CHANNELS) is not None
    edit_manifest(corpus, fingerprints=made.as_json() | {key: "other"})
    assert open_newest(root(corpus), corpus.record, made, CHANNELS) is None
    assert not any(root(corpus).iterdir())


def test_a_newer_format_is_refused_and_kept(corpus: Corpus) -> None:
    edit_manifest(corpus, format=generation.FORMAT + 1)
    before = names_of_files(corpus)
    with pytest.raises(GenerationTooNew, match="upgrade"):
        Corpus.open(corpus.folder)
    assert names_of_files(corpus) == before


def test_what_a_crash_leaves(corpus: Corpus) -> None:
    """A half-written generation, an older one that was not removed, one without a manifest."""
    expected = stored(corpus)
    current = newest(corpus)
    number = int(current.name)
    shutil.copytree(current, root(corpus) / f".new-{number + 1}")
    (root(corpus) / f".new-{number + 1}" / "manifest.json").unlink()
    shutil.copytree(current, root(corpus) / str(number - 1))
    shutil.copytree(current, root(corpus) / str(number + 1))
    (root(corpus) / str(number + 1) / "manifest.json").unlink()
    again, mapped = reopened(corpus)
    assert mapped
    assert stored(again) == expected
    fill(again, 300, 2)
    again.publish()
    assert [p.name for p in root(corpus).iterdir()] == [str(number + 1)]
    assert stored(reopened(again)[0]) == stored(again)


def test_a_half_noted_compaction(corpus: Corpus) -> None:
    """`manifest.new` beside the manifest: the note of a compaction was cut short."""
    (newest(corpus) / "manifest.new").write_text('{"format": 2, "rec')
    again, mapped = reopened(corpus)
    assert mapped
    write(again, [submission("one more", id="more")])
    again.publish()
    assert stored(reopened(again)[0]) == stored(again)


def test_publishing_on_a_full_disk_keeps_the_old_one(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(corpus, 200, 5)
    expected = stored(corpus)
    before = newest(corpus)
    real = files.save_array
    calls = 0

    def full(path: Path, array: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        real(path, array)

    monkeypatch.setattr(files, "save_array", full)
    with pytest.raises(OSError, match="No space"):
        corpus.publish()
    monkeypatch.undo()
    assert newest(corpus) == before
    assert stored(corpus) == stored(reopened(corpus)[0]) == expected
    corpus.publish()
    assert [p.name for p in root(corpus).iterdir()] == [str(int(before.name) + 1)]
    assert stored(reopened(corpus)[0]) == expected


def test_everything_dead_leaves_an_empty_generation(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    corpus.publish()
    fill(corpus, 0, 5)
    corpus.publish()
    corpus.delete(list(stored(corpus)))
    corpus.publish()
    again, mapped = reopened(corpus)
    assert mapped
    assert stored(again) == {}
    assert not list(newest(corpus).glob("*/"))
    fill(again, 0, 5)
    assert stored(reopened(again)[0]) == stored(again)


def test_all_arrays_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the indexes that only large corpora have."""
    monkeypatch.setattr(nearest, "INDEX_FROM", 40)
    corpus = Corpus.create(tmp_path / "c", "c", "")
    fill(corpus, 0, 60)
    (before,) = (p.segment for p in corpus.view.parts)
    corpus.publish()
    assert corpus.index_vectors(lambda: False) == 1
    assert {"copy-seed-keys.npy", "semantic.faiss"} <= {Path(n).name for n in names_of_files(corpus)}
    (after,) = (p.segment for p in reopened(corpus)[0].view.parts)
    assert after.table.equals(before.table)
    for a, b in ((before.lookup, after.lookup), (before.of("copy")[0].seeds, after.of("copy")[0].seeds)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    for name in ("rows", "signatures", "text_hashes", "order", "starts"):
        np.testing.assert_array_equal(getattr(before.of("copy")[0], name), getattr(after.of("copy")[0], name))
    np.testing.assert_array_equal(before.of("style")[0].vectors, after.of("style")[0].vectors)
    assert before.of("style")[0].stats.count == after.of("style")[0].stats.count
    np.testing.assert_array_equal(before.of("style")[0].stats.total, after.of("style")[0].stats.total)
    np.testing.assert_array_equal(before.of("style")[0].stats.squares, after.of("style")[0].stats.squares)
    for name in ("rows", "codes", "scales", "starts"):
        np.testing.assert_array_equal(getattr(before.of("semantic")[0], name), getattr(after.of("semantic")[0], name))
    assert before.of("semantic")[0].model == after.of("semantic")[0].model
    assert after.of("semantic")[0].inverted.measured.lists > 0


def test_several_chunks_of_a_channel_become_one(tmp_path: Path) -> None:
    """Channels that were filled piece by piece."""
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [submission(f"answer number {n} tells of rivers", id=f"{n:03d}") for n in range(60)]
    write(corpus, rows, [])
    hashes = content_hashes(rows, "c")
    for some in (slice(0, 60, 2), slice(1, 40, 4), slice(3, 12, 4)):
        write(corpus, rows[some], ["copy"])
        write(corpus, rows[some], ["style"])
        embed(corpus, [(r.id, h, r.response) for r, h in zip(rows[some], hashes[some], strict=True)])
    assert any(len(p.segment.of("copy")) > 1 for p in corpus.view.parts)
    expected = stored(corpus)
    corpus.publish()
    assert stored(corpus) == stored(reopened(corpus)[0]) == expected
    (part,) = corpus.view.parts
    assert [len(part.segment.of(c)) for c in ("copy", "style", "semantic")] == [1, 1, 1]


def test_all_of_a_generation_is_durable_before_it_has_its_name(corpus: Corpus) -> None:
    before = newest(corpus)
    old = {str(path.relative_to(before)): path.stat().st_ino for path in before.rglob("*.*")}
    write(corpus, [submission("one more", id="more")])
    corpus.delete(["011"])
    with recorded_steps() as steps:
        corpus.publish()
    number = int(newest(corpus).name)
    scratch = root(corpus) / f".new-{number}"
    named = steps.place("rename", newest(corpus))
    flushed = {step.path for step in steps[:named] if step.kind == "flush"}
    written = 0
    for path in newest(corpus).rglob("*"):
        place = scratch / path.relative_to(newest(corpus))
        if path.is_file() and path.name != "manifest.json":
            linked = old.get(str(path.relative_to(newest(corpus)))) == path.stat().st_ino
            assert linked != (place in flushed), path
            written += not linked
        elif path.is_dir():
            assert place in flushed, path
    assert written > 5
    assert steps.place("rename", scratch / "manifest.json") < named
    assert scratch in flushed
    assert steps.last("flush", root(corpus)) > named


def test_segments_are_rewritten_once_most_of_them_is_dead(tmp_path: Path) -> None:
    def segment() -> tuple[int, int, int]:
        (entry,) = files.read_json(newest(corpus) / "manifest.json")["segments"]
        return entry["rows"], entry["dead"], (newest(corpus) / "0" / "rows.arrow").stat().st_ino

    corpus = Corpus.create(tmp_path / "c", "c", "")
    write(corpus, [submission(f"answer {n} tells of rivers", id=f"{n:03d}") for n in range(40)])
    corpus.publish()
    rows, dead, first = segment()
    assert (rows, dead) == (40, 0)
    corpus.delete([f"{n:03d}" for n in range(20)])
    corpus.publish()
    assert segment() == (40, 20, first)  # half of it: it stays where it is
    corpus.delete(["020"])
    corpus.publish()
    rows, dead, again = segment()
    assert (rows, dead) == (19, 0)
    assert again != first
    assert sorted(stored(reopened(corpus)[0])) == [f"{n:03d}" for n in range(21, 40)]
