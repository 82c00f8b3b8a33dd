"""Verify, scrub and the reserve: damage is found and named, and what can be made again is."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from corpus_rows import submission, write
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.scrub import scrub
from kinprint.server.corpus.verify import verify
from kinprint.server.failures import CorpusUnavailable, StorageFailed, StorageFull
from kinprint.server.services.paging import seq_of, write_token
from kinprint.server.store import digests, durability
from kinprint.server.store.disk import is_full, storage_failure
from kinprint.server.store.durability import RecordDamaged
from kinprint.server.store.reserve import Reserve

TEXTS = [f"The harbour lamp number {k} was lit before the ferry came in from the islands." for k in range(30)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    catalog = Catalog(tmp_path / "data")
    catalog.open_all(lambda _: None)
    corpus = catalog.create("c")
    write(corpus, [submission(text, id=f"r{k}", model="m") for k, text in enumerate(TEXTS)])
    corpus.publish()
    write(corpus, [submission("An answer that came later than the others did.", id="late", model="m")])
    return tmp_path / "data"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.unlink()  # another file, as one that was not compared in this process
    path.write_bytes(content)


def folder_of(data: Path) -> Path:
    return next(path for path in (data / "corpora").iterdir())


def opened(data: Path) -> Corpus:
    catalog = Catalog(data)
    catalog.open_all(lambda _: None)
    return catalog.get("c")


def test_nothing_is_wrong_with_what_was_written(data: Path) -> None:
    report = verify(data)
    assert report.ok
    assert not report.findings
    assert report.corpora == 1
    assert report.rows == 31
    assert report.files >= 19


def test_a_damaged_index_is_named_and_made_again(data: Path) -> None:
    (array,) = folder_of(data).glob("generations/*/0/copy-hashes.npy")
    flip(array)
    (finding,) = verify(data).findings
    assert finding.file == str(array)
    assert finding.corpus == "c"
    assert "again" in finding.remedy
    assert verify(data, repair=True).ok
    assert not array.exists()
    assert opened(data).view.rows == 31
    shutil.rmtree(data)


def test_a_damaged_record_is_named_and_never_repaired(data: Path) -> None:
    file = max(folder_of(data).glob("record/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    flip(file)
    for repair in (False, True):
        report = verify(data, repair=repair)
        assert not report.ok
        assert [finding.file for finding in report.findings] == [str(file)]
    with pytest.raises(CorpusUnavailable, match=file.name):
        opened(data)


@pytest.mark.parametrize("name", ["corpus.json", "record/_delta_log/00000000000000000001.json"])
def test_what_describes_a_corpus_is_checked(data: Path, name: str) -> None:
    flip(folder_of(data) / name)
    report = verify(data)
    assert not report.ok
    assert name.rsplit("/", 1)[-1] in report.findings[0].file


def test_a_record_of_a_version_before_digests_gets_them(data: Path) -> None:
    log = digests.log_path(folder_of(data) / "record")
    log.unlink()
    report = verify(data)
    assert report.ok
    assert {finding.what for finding in report.findings} == {"has no digest yet"}
    assert not log.exists(), "nothing is changed unless it is asked for"
    verify(data, repair=True)
    assert not verify(data).findings


def test_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        verify(tmp_path / "nowhere")


def test_a_scrub_finds_what_a_disk_forgot(data: Path) -> None:
    corpus = opened(data)
    stop = threading.Event()
    assert scrub(corpus, stop, 1e12) >= 19
    (array,) = folder_of(data).glob("generations/*/0/style-vectors.npy")
    flip(array)
    scrub(corpus, stop, 1e12)
    assert not array.exists()
    assert corpus.view.rows == 31
    assert verify(data).ok
    flip(durability.data_file(corpus.record.path, corpus.record.snapshot().files[0]))
    with pytest.raises(RecordDamaged, match="backup"):
        scrub(corpus, stop, 1e12)


def test_a_corpus_that_is_set_aside_says_why(data: Path) -> None:
    catalog = Catalog(data)
    catalog.open_all(lambda _: None)
    catalog.set_aside(catalog.get("c"), "the file x is damaged")
    with pytest.raises(CorpusUnavailable, match="the file x is damaged"):
        catalog.get("c")
    assert "c" not in catalog.names()


def test_a_full_disk_is_told_from_others() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert is_full(full)
    assert is_full(RuntimeError("Io error: No space left on device (os error 28)"))
    wrapped = RuntimeError("append failed")
    wrapped.__cause__ = full
    assert is_full(wrapped)
    assert not is_full(OSError(errno.EROFS, "Read-only file system"))
    assert isinstance(storage_failure("x", wrapped), StorageFull)
    told = storage_failure("x", PermissionError("Permission denied"))
    assert isinstance(told, StorageFailed)
    assert "not full" in told.message


def test_a_reserve_is_real_blocks_and_is_given_up_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 1 << 20)
    assert reserve.fill()
    file = tmp_path / "RESERVE"
    assert file.stat().st_blocks * 512 >= 1 << 20
    assert file.stat().st_mode & 0o777 == 0o600
    assert reserve.release()
    assert not file.exists()
    assert not reserve.release()
    assert reserve.fill()


def test_two_folders_that_claim_one_name_are_told(data: Path) -> None:
    assert verify(data).ok
    (folder,) = (data / "corpora").iterdir()
    shutil.copytree(folder, folder.with_name("a-copy-of-it"))
    report = verify(data)
    assert not report.ok
    assert {found.file for found in report.findings} == {
        str(folder / "corpus.json"),
        str(data / "corpora" / "a-copy-of-it" / "corpus.json"),
    }
    first = next(found for found in report.findings if found.file.startswith(str(folder)))
    assert first.what == "says that this folder is corpus 'c', and so does that of a-copy-of-it"
    assert first.corpus == "c"
    shutil.rmtree(folder.with_name("a-copy-of-it"))
    assert verify(data).ok


def test_a_reserve_that_is_not_there_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kinprint.server.store.reserve")
    real = os.statvfs(tmp_path)
    room = SimpleNamespace(f_bavail=5, f_frsize=1 << 20, f_favail=real.f_favail)
    monkeypatch.setattr(os, "statvfs", lambda path: room)
    reserve = Reserve(tmp_path, 2 << 20)
    assert not reserve.fill()
    assert not reserve.fill()
    assert not reserve.held
    (told,) = [record.getMessage() for record in caplog.records]
    assert "RESERVE: 5 MiB are free, and it is made once 8 MiB and 4 inodes are" in told
    room.f_bavail = 100
    assert reserve.fill()
    assert reserve.held
    assert "is made" in caplog.records[-1].getMessage()
    assert reserve.release()
    assert not reserve.held
    caplog.clear()
    room.f_favail = 2
    assert not reserve.fill()
    assert "2 inodes are free" in caplog.records[0].getMessage()


def test_deletes_go_on_with_the_reserve(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = opened(data)
    append = corpus._append
    failures = [StorageFull("no space left")]
    failures[0].__cause__ = OSError(errno.ENOSPC, "No space left on device")

    def full_once(frame: object) -> None:
        if failures:
            raise failures.pop()
        append(frame)  # type: ignore[arg-type]

    monkeypatch.setattr(corpus, "_append", full_once)
    assert (data / "RESERVE").exists()
    assert corpus.delete(["r1"]) == (1, 0)
    assert not (data / "RESERVE").exists()
    corpus.settle()
    assert (data / "RESERVE").exists(), "made again when there is room"


def test_what_a_failed_publish_wrote_is_removed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinprint.server.store import files

    corpus = opened(data)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        corpus.publish(anew=True)
    assert not list(corpus.generations.glob(".new-*"))
    monkeypatch.undo()
    assert corpus.delete(["r1"]) == (1, 0)


@pytest.mark.parametrize("position", ["", "x", "-1", "1.5", "٣", "9" * 40])
def test_a_token_of_another_listing_is_refused(position: str) -> None:
    from kinprint.server.failures import InvalidField

    assert write_token(position, "s")
    with pytest.raises(InvalidField, match="another listing"):
        seq_of(position)
