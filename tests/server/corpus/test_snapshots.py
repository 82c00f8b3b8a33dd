"""Snapshots of a catalog: complete in themselves, untouched by what comes after, refused when damaged, never half."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus_rows
import pytest
from corpus_rows import submission, write
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.snapshots import Snapshots
from kinprint.server.corpus.verify import verify
from kinprint.server.failures import (
    CorpusBusy,
    CorpusExists,
    CorpusNotFound,
    CorpusTooNew,
    CorpusUnavailable,
    InvalidField,
    SnapshotBusy,
    SnapshotDamaged,
    SnapshotExists,
    SnapshotNotFound,
    StorageFailed,
    StorageFull,
)
from kinprint.server.progress import Stopped
from kinprint.server.store import digests, durability, files, maintenance
from kinprint.server.store import snapshot as store
from kinprint.server.store.lock import DirectoryLock
from kinprint.server.store.record import Record

TEXTS = [f"The harbour lamp number {k} was lit before the ferry came in from the islands." for k in range(30)]

FLIPS = 40


def quiet(step: str, share: float) -> None:
    assert step
    assert 0 <= share <= 1


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(tmp_path / "data")
    made.open_all(lambda _: None)
    corpus = made.create("News")
    write(corpus, [submission(text, id=f"r{k}", model="m") for k, text in enumerate(TEXTS)])
    corpus.publish()
    write(corpus, [submission("An answer that came later than the others did.", id="late", model="m")])
    write(made.create("empty"), [])
    return made


@pytest.fixture
def snapshots(catalog: Catalog, tmp_path: Path) -> Snapshots:
    return Snapshots(catalog, tmp_path / "data")


def restore(snapshots: Snapshots, name: str, corpus: str, as_name: str = "", replace: bool = False) -> Corpus:
    return snapshots.restore(name, corpus, as_name, replace_there=replace, tell=quiet)[0]


def reopened(data: Path) -> Catalog:
    catalog = Catalog(data)
    catalog.open_all(lambda _: None)
    return catalog


def ids(corpus: Corpus) -> set[str]:
    view = corpus.view
    stored = [(part.segment.table["id"].to_pylist(), part.alive) for part in view.parts]
    return {name for names, alive in stored for name, lives in zip(names, alive, strict=True) if lives}


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): digests.digest_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def place(snapshots: Snapshots, name: str, corpus: str = "news") -> Path:
    (found,) = (snapshots.root / name / "corpora").glob(f"{corpus}-*")
    return found


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.unlink()  # the snapshot's own, not what it shares
    path.write_bytes(content)


def data_files(folder: Path) -> list[Path]:
    return sorted((folder / "record").glob("*.parquet"))


def test_a_snapshot_is_a_data_directory(snapshots: Snapshots, tmp_path: Path) -> None:
    made = snapshots.create("first", [], quiet)
    assert made.name == "first"
    assert [(held.name, held.transcripts) for held in made.corpora] == [("News", 31), ("empty", 0)]
    assert not made.left_out
    assert not made.problem
    assert verify(snapshots.root / "first").ok
    moved = tmp_path / "elsewhere"
    shutil.copytree(snapshots.root / "first", moved)
    there = reopened(moved)
    assert ids(there.get("News")) == {f"r{k}" for k in range(30)} | {"late"}
    assert there.get("News").generation_number == 1  # mapped, not made again
    assert not ids(there.get("empty"))
    write(there.get("News"), [submission("one more", id="more")])
    assert len(ids(reopened(moved).get("News"))) == 32


def test_files_that_do_not_change_are_shared(snapshots: Snapshots, catalog: Catalog) -> None:
    made = snapshots.create("first", ["News"], quiet)
    folder = place(snapshots, "first")
    alone = {path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1}
    assert alone == {"_kinprint_synced", "_kinprint_digests"}
    assert made.own < 50_000
    assert made.size > made.own
    live = catalog.get("News").folder
    for path in data_files(live):
        assert os.path.samestat(path.stat(), (folder / "record" / path.name).stat())


def test_what_comes_after_changes_no_snapshot(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    before = contents(snapshots.root / "first")
    corpus = catalog.get("News")
    write(corpus, [submission(f"and another one, {k}", id=f"n{k}") for k in range(20)])
    corpus.delete(["r1", "r2"])
    corpus.publish()
    maintenance.run_compact(corpus.record, small_files=0)
    corpus.rebuild()
    corpus.purge(["r3"], lambda _: None)
    write(corpus, [submission("after the purge", id="after")])
    assert contents(snapshots.root / "first") == before
    assert verify(snapshots.root / "first").ok
    catalog.delete("News")
    assert contents(snapshots.root / "first") == before
    assert len(ids(reopened(snapshots.root / "first").get("News"))) == 31


def test_what_is_restored_changes_no_snapshot_either(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    before = contents(snapshots.root / "first")
    catalog.delete("News")
    corpus = restore(snapshots, "first", "News")
    assert catalog.get("News") is corpus
    assert len(ids(corpus)) == 31
    write(corpus, [submission("written to what was restored", id="new")])
    corpus.delete(["r1"])
    corpus.publish()
    maintenance.run_compact(corpus.record, small_files=0)
    corpus.rebuild()
    corpus.purge(["r2"], lambda _: None)
    assert contents(snapshots.root / "first") == before
    again = reopened(snapshots.root.parent)
    assert ids(again.get("News")) == ids(corpus) == {"late", "new", *(f"r{k}" for k in range(30) if k not in (1, 2))}
    assert verify(snapshots.root.parent).ok


def test_restored_under_another_name(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    with pytest.raises(CorpusExists):
        restore(snapshots, "first", "News")
    with pytest.raises(CorpusExists):
        restore(snapshots, "first", "News", "empty")
    copy = restore(snapshots, "first", "News", "Copy")
    assert copy.earlier_names == ("News",)
    copy.delete(["late"])
    assert "late" in ids(catalog.get("News"))
    again = reopened(snapshots.root.parent)
    assert ids(again.get("Copy")) == {f"r{k}" for k in range(30)}
    assert again.get("Copy").created_at == again.get("News").created_at
    assert snapshots.holding(again.get("Copy")) == ["first"]
    assert snapshots.holding(again.create("other")) == []


def test_replacing_takes_the_old_one_away(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    old = catalog.get("News")
    write(old, [submission("not in the snapshot", id="gone")])
    old.attach()
    with old.in_use(), pytest.raises(CorpusBusy):
        restore(snapshots, "first", "News", replace=True)
    old.detach()
    made, replaced = snapshots.restore("first", "News", "", replace_there=True, tell=quiet)
    assert replaced is old
    assert "gone" not in ids(made)
    with pytest.raises(CorpusNotFound):
        write(old, [submission("x", id="x")])
    folders = sorted(path.name for path in catalog.root.iterdir())
    assert len(folders) == 2
    assert old.folder.name not in folders
    assert ids(reopened(snapshots.root.parent).get("News")) == ids(made)


def test_a_damaged_corpus_is_replaced_and_its_files_are_kept(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    folder = catalog.get("News").folder
    (folder / "corpus.json").unlink()
    (folder / "corpus.json").write_text("{")
    again = reopened(snapshots.root.parent)
    assert again.unavailable
    anew = Snapshots(again, snapshots.root.parent)
    assert anew.create("second", [], quiet).left_out == ("news",)
    with pytest.raises(CorpusUnavailable):
        anew.create("third", ["News"], quiet)
    with pytest.raises(CorpusUnavailable):
        restore(anew, "first", "News")
    assert len(ids(restore(anew, "first", "News", replace=True))) == 31
    assert not again.unavailable
    assert (again.root / f".replaced-{folder.name}" / "record").is_dir()
    final = reopened(snapshots.root.parent)
    assert len(ids(final.get("News"))) == 31
    assert not final.unavailable


def test_replacing_moves_aside_what_claims_the_name_and_nothing_else(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    folder = catalog.get("News").folder
    shutil.copytree(folder, folder.with_name("news-00000001"))  # which of the two is meant cannot be told
    other = catalog.create("news").folder  # another corpus, though its folder reads alike
    write(catalog.get("news"), [submission("of another corpus", id="x")])
    (other / "record" / durability.MARKER_NAME).unlink()
    shutil.rmtree(other / "record" / "_delta_log")
    again = reopened(snapshots.root.parent)
    rival = max(folder.name, "news-00000001")
    assert sorted(again.unavailable) == ["News", "news", rival]
    assert len(ids(restore(Snapshots(again, snapshots.root.parent), "first", "News", replace=True))) == 31
    assert list(again.unavailable) == ["news"]
    assert len(list(again.root.glob(".replaced-*"))) == 2
    final = reopened(snapshots.root.parent)
    assert len(ids(final.get("News"))) == 31
    assert list(final.unavailable) == ["news"]
    assert other.is_dir()


@pytest.mark.parametrize("moved", [False, True])
def test_an_old_corpus_that_cannot_be_moved_away(
    snapshots: Snapshots, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    snapshots.create("first", [], quiet)
    write(catalog.get("News"), [submission("not in the snapshot", id="fresh")])
    retire = Corpus.retire

    def failing(corpus: Corpus, folder: Path) -> int:
        if moved:
            retire(corpus, folder)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Corpus, "retire", failing)
    with pytest.raises(StorageFailed):
        restore(snapshots, "first", "News", replace=True)
    again = reopened(snapshots.root.parent)
    assert ("fresh" in ids(again.get("News"))) is not moved
    assert not again.unavailable
    assert not list(again.root.glob(".*"))


@pytest.mark.parametrize(
    "which",
    [
        "record/*.parquet",
        "record/_delta_log/00000000000000000001.json",
        "record/_kinprint_synced",
        "corpus.json",
    ],
)
def test_damage_is_refused_by_the_name_of_the_file(snapshots: Snapshots, catalog: Catalog, which: str) -> None:
    snapshots.create("first", [], quiet)
    file = sorted(place(snapshots, "first").glob(which))[0]
    if which.endswith("synced"):
        file.write_bytes(bytes(file.stat().st_size))
    else:
        flip(file)
    below = file.relative_to(snapshots.root / "first").as_posix()
    report = snapshots.verify("first", quiet)
    assert not report.ok
    assert [found.file for found in report.findings if not found.repaired] == [below]
    folders = sorted(catalog.root.iterdir())
    for replace in (False, True):
        with pytest.raises(SnapshotDamaged) as refused:
            restore(snapshots, "first", "News", "" if replace else "copy", replace)
        assert below in refused.value.message
        assert refused.value.metadata == {"file": below}
    assert sorted(catalog.root.iterdir()) == folders
    assert len(ids(catalog.get("News"))) == 31
    restore(snapshots, "first", "empty", "other")  # the rest is whole


def test_damaged_indexes_are_made_again(snapshots: Snapshots) -> None:
    snapshots.create("first", [], quiet)
    flip(place(snapshots, "first") / "generations" / "1" / "0" / "rows.arrow")
    report = snapshots.verify("first", quiet)
    assert report.ok
    assert [found.repaired for found in report.findings] == [True]
    assert len(ids(restore(snapshots, "first", "News", "copy"))) == 31


def test_what_is_missing_is_found(snapshots: Snapshots) -> None:
    snapshots.create("first", [], quiet)
    data_files(place(snapshots, "first"))[0].unlink()
    with pytest.raises(SnapshotDamaged, match="is missing"):
        restore(snapshots, "first", "News", "copy")
    shutil.rmtree(place(snapshots, "first"))
    assert not snapshots.verify("first", quiet).ok
    with pytest.raises(SnapshotDamaged, match="is missing"):
        restore(snapshots, "first", "News", "copy")


def test_a_snapshot_without_its_description_is_none(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.create("first", [], quiet)
    (snapshots.root / "first" / "snapshot.json").rename(tmp_path / "kept")
    (listed,) = snapshots.all()
    assert (listed.name, listed.corpora) == ("first", ())
    assert "missing" in listed.problem
    assert not snapshots.verify("first", quiet).ok
    with pytest.raises(SnapshotDamaged):
        restore(snapshots, "first", "News", "copy")
    content = (tmp_path / "kept").read_text()
    (snapshots.root / "first" / "snapshot.json").write_text(content.replace('"News"', '"Mews"'))
    with pytest.raises(SnapshotDamaged, match="digest"):
        restore(snapshots, "first", "News", "copy")
    told = files.read_json(tmp_path / "kept")
    files.write_json(snapshots.root / "first" / "snapshot.json", {**told, "format": 9})
    with pytest.raises(CorpusTooNew, match="upgrade"):
        restore(snapshots, "first", "News", "copy")
    held = told["corpora"][0]
    for wrong in (
        {"corpora": 3},
        {"corpora": [{**held, "transcripts": -1}]},
        {"corpora": [{**held, "name": "\x1b[31m"}]},
        {"corpora": [{**held, "settings": [1]}]},
        {"corpora": [{}]},
        {"created_at": "yesterday"},
        {"left_out": ["\ud800"]},
        {"format": "one"},
    ):
        files.write_json(snapshots.root / "first" / "snapshot.json", {**told, **wrong})
        assert "damaged" in snapshots.all()[0].problem, wrong
        with pytest.raises(SnapshotDamaged):
            restore(snapshots, "first", "News", "copy")


def test_names(snapshots: Snapshots) -> None:
    for name in (".x", "a/b", "..", "x" * 64, "a b"):
        with pytest.raises(InvalidField):
            snapshots.create(name, [], quiet)
        with pytest.raises(SnapshotNotFound):
            snapshots.delete(name)
    with pytest.raises(InvalidField):
        snapshots.delete("")
    snapshots.create("first", [], quiet)
    for name in ("first", "FIRST"):
        with pytest.raises(SnapshotExists):
            snapshots.create(name, [], quiet)
    with pytest.raises(CorpusNotFound):
        snapshots.create("second", ["nowhere"], quiet)
    made = [snapshots.create("", ["empty"], quiet).name for _ in range(3)]
    assert len(set(made)) == 3
    assert [one.name for one in snapshots.all()] == ["first", *made]
    for asked, kind in (("", InvalidField), ("nowhere", CorpusNotFound)):
        with pytest.raises(kind):
            restore(snapshots, "first", asked)
    with pytest.raises(InvalidField):
        restore(snapshots, "first", "News", "no name")
    with pytest.raises(SnapshotNotFound, match="first"):
        restore(snapshots, "nowhere", "News")


def test_deleting(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    snapshots.create("second", [], quiet)

    def busy(step: str, share: float) -> None:
        with pytest.raises(SnapshotBusy):
            snapshots.delete("first")

    assert snapshots.verify("first", busy).ok
    with DirectoryLock(snapshots.root / "first"):
        with pytest.raises(SnapshotBusy):
            snapshots.delete("first")
        with pytest.raises(SnapshotBusy):
            restore(snapshots, "first", "News", "copy")
    assert snapshots.delete("first") > 0
    assert [one.name for one in snapshots.all()] == ["second"]
    assert sorted(path.name for path in snapshots.root.iterdir()) == ["second"]
    with pytest.raises(SnapshotNotFound):
        snapshots.delete("first")
    assert len(ids(catalog.get("News"))) == 31
    assert verify(snapshots.root / "second").ok


def test_a_linked_snapshot_is_somebody_elses(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.create("first", [], quiet)
    (snapshots.root / "first").rename(tmp_path / "backup")
    (snapshots.root / "linked").symlink_to(tmp_path / "backup")
    assert len(ids(restore(snapshots, "linked", "News", "copy"))) == 31
    assert snapshots.delete("linked") == 0
    assert (tmp_path / "backup" / "snapshot.json").exists()


# ---- what fails on the way ----


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1 << 30) -> list[int]:
    left = [times]
    link = os.link

    def refused(*arguments: Any, **named: Any) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        link(*arguments, **named)

    monkeypatch.setattr(store.os, "link", refused)
    return left


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_are_copied_where_links_are_refused(
    snapshots: Snapshots, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_links(monkeypatch, number)
    made = snapshots.create("first", [], quiet)
    assert made.own == made.size
    assert verify(snapshots.root / "first").ok
    assert len(ids(restore(snapshots, "first", "News", "copy"))) == 31
    assert all(path.stat().st_nlink == 1 for path in catalog.get("copy").folder.rglob("*") if path.is_file())


def test_writes_go_on_while_files_are_copied(
    snapshots: Snapshots, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch, errno.EXDEV)
    corpus = catalog.get("News")
    copy = store.Taking.finish
    done: list[int] = []

    def slow(taking: store.Taking) -> None:
        if not done:  # from another thread, as a client's writes are
            thread = threading.Thread(target=lambda: write(corpus, [submission("meanwhile", id="while")]))
            thread.start()
            thread.join(30)
            assert not thread.is_alive()
            # What is copied is merged away: the corpus has to be taken anew, with what is there then.
            maintenance.run_compact(corpus.record, small_files=0)
        done.append(1)
        copy(taking)

    monkeypatch.setattr(store.Taking, "finish", slow)
    snapshots.create("first", ["News"], quiet)
    assert len(done) == 2
    assert "while" in ids(reopened(snapshots.root / "first").get("News"))
    assert verify(snapshots.root / "first").ok


def _failing_at(call: int, error: BaseException) -> Callable[[str, float], None]:
    left = [call]

    def tell(step: str, share: float) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise error

    return tell


@pytest.mark.parametrize("call", [1, 5, 20])
def test_nothing_stays_of_what_was_ended(snapshots: Snapshots, catalog: Catalog, call: int) -> None:
    with pytest.raises(Stopped):
        snapshots.create("first", [], _failing_at(call, Stopped()))
    assert not list(snapshots.root.iterdir())
    snapshots.create("first", [], quiet)
    folders = sorted(catalog.root.iterdir())
    with pytest.raises(Stopped):
        snapshots.restore("first", "News", "copy", replace_there=False, tell=_failing_at(call, Stopped()))
    assert sorted(catalog.root.iterdir()) == folders
    snapshots.delete("first")


def test_a_full_disk(snapshots: Snapshots, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots.create("before", [], quiet)
    folders = sorted(catalog.root.iterdir())
    with monkeypatch.context() as patch:

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(store.durability, "write_marker", full)
        with pytest.raises(StorageFull, match="no snapshot"):
            snapshots.create("first", [], quiet)
        with pytest.raises(StorageFull, match="not restored"):
            restore(snapshots, "before", "News", "copy")
    assert [path.name for path in snapshots.root.iterdir()] == ["before"]
    assert sorted(catalog.root.iterdir()) == folders
    snapshots.create("first", [], quiet)


def test_what_a_crash_left_is_removed_and_nothing_else(snapshots: Snapshots) -> None:
    snapshots.create("first", [], quiet)
    for name in (".new-second", ".deleted-third-0123abcd", ".trash", "not a snapshot"):
        (snapshots.root / name).mkdir()
    snapshots.clear()
    assert sorted(path.name for path in snapshots.root.iterdir()) == [".trash", "first", "not a snapshot"]
    assert [one.name for one in snapshots.all()] == ["first"]


def test_a_restore_that_was_cut_short(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    old = catalog.get("News").folder
    write(catalog.get("News"), [submission("not in the snapshot", id="fresh")])
    fresh = old.with_name("news-00000000")
    waiting = old.with_name(f".restored-{fresh.name}")
    # Before the old one was moved away: that stays.
    shutil.copytree(place(snapshots, "first"), waiting)
    again = reopened(snapshots.root.parent)
    assert "fresh" in ids(again.get("News"))
    assert not again.unavailable
    assert not waiting.exists()
    # After it: the new one counts.
    shutil.copytree(place(snapshots, "first"), waiting)
    old.rename(old.with_name(f".deleted-{old.name}"))
    again = reopened(snapshots.root.parent)
    assert again.get("News").folder == fresh
    assert len(ids(again.get("News"))) == 31
    assert sorted(path.name.partition("-")[0] for path in again.root.iterdir()) == ["empty", "news"]


def test_a_corpus_deleted_meanwhile_is_left_out(snapshots: Snapshots, catalog: Catalog) -> None:
    def deleting(step: str, share: float) -> None:
        if "empty" not in catalog.names():
            return
        catalog.delete("empty")

    made = snapshots.create("first", [], deleting)
    assert [held.name for held in made.corpora] == ["News"]
    assert verify(snapshots.root / "first").corpora == 1


def test_the_record_alone_tells_its_state(snapshots: Snapshots, catalog: Catalog) -> None:
    snapshots.create("first", [], quiet)
    table = place(snapshots, "first") / "record"
    before = contents(table)
    state = store.state_of(table)
    live = catalog.get("News").record.snapshot()
    assert state == live
    assert contents(table) == before
    assert Record.open(table).snapshot() == live
    assert durability.read_marker(table) == durability.Marker(live.version, live.entry_digest)


def test_vectors_models_and_tables_are_in_it(snapshots: Snapshots, catalog: Catalog) -> None:
    corpus = catalog.get("News")
    rows = [submission(text, id=f"r{k}", model="m") for k, text in enumerate(TEXTS)]
    corpus_rows.embed(
        corpus,
        [
            (row.id, digest, row.response)
            for row, digest in zip(rows, corpus_rows.content_hashes(rows, "News"), strict=True)
        ],
    )
    corpus.tables.mkdir()
    corpus_rows.table(5).save(corpus.tables / "five")
    corpus.install_table("five")
    (corpus.tables / ".checkpoints").mkdir()
    corpus.backfill(lambda: False)
    corpus.publish()
    made = snapshots.create("first", [], quiet)
    settings = {held.name: held.settings for held in made.corpora}["News"]
    assert settings == ("corpus.json", "embedding-space.npz", "fitted-table.json")
    folder = place(snapshots, "first")
    assert [path.name for path in (folder / "tables").iterdir()] == ["five"]
    for opened in (reopened(snapshots.root / "first").get("News"), restore(snapshots, "first", "News", "copy")):
        assert opened.view.filled("semantic") == 30
        assert opened.view.filled("fast") == 31
        assert opened.space is not None
        assert opened.space.digest == corpus_rows.space().digest
        table = opened.fitted_table()
        assert table is not None
        assert table.name == "table-5"
    flip(folder / "embedding-space.npz")
    with pytest.raises(SnapshotDamaged, match=r"embedding-space\.npz"):
        restore(snapshots, "first", "News", "other")


def test_random_damage_is_refused_or_makes_no_difference(snapshots: Snapshots, catalog: Catalog) -> None:
    corpus = catalog.get("News")
    before = corpus_rows.stored(corpus)
    chance = random.Random(20261129)
    refused = 0
    for number in range(FLIPS):
        snapshots.create("first", ["News"], quiet)
        every = [path for path in (snapshots.root / "first").rglob("*") if path.is_file() and path.stat().st_size]
        path = chance.choice(sorted(every))
        content = bytearray(path.read_bytes())
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)) :]
        else:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.unlink()
        path.write_bytes(content)
        name = f"copy{number}"
        try:
            made = restore(snapshots, "first", "News", name)
        except (SnapshotDamaged, CorpusTooNew):
            refused += 1
        else:
            assert corpus_rows.stored(made) == before, path
            catalog.delete(name)
        snapshots.delete("first")
    assert 0 < refused < FLIPS
    assert catalog.names() == ["News", "empty"]
    assert len(list(catalog.root.iterdir())) == 2
