"""The lock on a data directory: one holder, known to others, gone when its process is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kinprint.server.store import lock as lock_module
from kinprint.server.store.files import read_json
from kinprint.server.store.lock import (
    DataFormatError,
    DirectoryHeld,
    DirectoryLock,
    check_format,
    keys_made,
    note_keys,
    read_holder,
)

HOLD = """
import sys, time
from kinprint.server.store.lock import DirectoryLock
lock = DirectoryLock(sys.argv[1])
lock.acquire()
lock.set_address("unix:/run/k.sock")
print("held", flush=True)
time.sleep(60)
"""


def start_holder(data: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_acquire_creates_directory_and_says_who_holds_it(tmp_path: Path) -> None:
    data = tmp_path / "a" / "b"
    assert read_holder(data) is None
    with DirectoryLock(data) as lock:
        assert lock.held
        holder = read_holder(data)
        assert holder is not None
        assert (holder.pid, holder.address) == (os.getpid(), None)
        lock.set_address("unix:/run/kinprint.sock")
        holder = read_holder(data)
        assert holder is not None
        assert holder.address == "unix:/run/kinprint.sock"
        lock.set_address("unix:/k")  # shorter than the one before
        holder = read_holder(data)
        assert holder is not None
        assert holder.address == "unix:/k"
        assert read_json(data / "kinprint.json") == {"format": 1}
        assert "check" in json.loads((data / "kinprint.json").read_text())
    assert not lock.held
    assert read_holder(data) is None


def test_second_lock_is_refused_and_first_keeps_it(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as first:
        first.set_address("unix:/x")
        with pytest.raises(DirectoryHeld) as caught:
            DirectoryLock(tmp_path).acquire()
        assert caught.value.pid == os.getpid()
        assert caught.value.address == "unix:/x"
        assert caught.value.path == tmp_path
        assert read_holder(tmp_path) is not None
        with pytest.raises(RuntimeError):
            first.acquire()
    with DirectoryLock(tmp_path):
        pass


def test_killed_holder_is_no_holder(tmp_path: Path) -> None:
    child = start_holder(tmp_path)
    try:
        holder = read_holder(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.address) == (child.pid, "unix:/run/k.sock")
        with pytest.raises(DirectoryHeld, match=str(child.pid)):
            DirectoryLock(tmp_path).acquire()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert b"unix:" in (tmp_path / "LOCK").read_bytes()  # the stale text is still there
    assert read_holder(tmp_path) is None
    with DirectoryLock(tmp_path):
        holder = read_holder(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


def test_lock_does_not_pass_to_child_processes(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        with DirectoryLock(tmp_path):
            pass
        child.communicate(b"\n")


def test_a_changed_format_file_is_noticed_and_one_without_a_digest_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "kinprint.json"
    path.write_text('{"format": 1}\n')  # as versions before wrote it
    check_format(tmp_path)
    assert not keys_made(tmp_path)
    note_keys(tmp_path)
    assert read_json(path) == {"format": 1, "keys": True}
    check_format(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                check_format(tmp_path)
            except DataFormatError as error:
                told = str(error)
            else:  # white space, or the name of the digest
                assert json.loads(bytes(changed))["format"] == 1
                continue
            assert str(path) in told
    for text in ("{", '{"format": 1, "check": "00"}', "[]"):
        path.write_text(text)
        assert keys_made(tmp_path), "a damaged file opens nothing"


@pytest.mark.parametrize("text", ['{"format": 2}', "", "{}", '{"format": "x"}'])
def test_unknown_format_is_refused_and_not_held(tmp_path: Path, text: str) -> None:
    (tmp_path / "kinprint.json").write_text(text)
    with pytest.raises(DataFormatError, match="format"):
        DirectoryLock(tmp_path).acquire()
    assert read_holder(tmp_path) is None
    assert (tmp_path / "kinprint.json").read_text() == text


def test_address_needs_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        DirectoryLock(tmp_path).set_address("unix:/x")


def test_a_lock_keeps_its_block_and_tells_all_that_it_knows(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, linger=30.0, model="tiny")
    assert not lock.held
    assert lock.lost()
    lock.acquire()
    path = tmp_path / "LOCK"
    assert path.stat().st_size == 4096
    assert path.stat().st_mode & 0o777 == 0o600
    holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.address, holder.serving, holder.linger, holder.model) == (None, False, 30.0, "tiny")
    assert datetime.fromisoformat(holder.started or "").tzinfo is UTC
    lock.set_address("unix:/x", serving=False)
    assert read_holder(tmp_path) == replace(holder, address="unix:/x")
    lock.set_address("unix:/x")
    assert read_holder(tmp_path) == replace(holder, address="unix:/x", serving=True)
    lock.set_address(None)
    assert read_holder(tmp_path) == holder
    lock.release()
    lock.release()
    assert (path.stat().st_size, path.read_bytes().strip()) == (4096, b"")


def test_a_lock_that_was_removed_or_exchanged_is_lost(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as lock:
        assert not lock.lost()
        (tmp_path / "LOCK").rename(tmp_path / "LOCK.old")
        assert lock.lost()
        (tmp_path / "LOCK").write_bytes(b"")
        assert lock.lost()
        (tmp_path / "LOCK").unlink()
        (tmp_path / "LOCK.old").rename(tmp_path / "LOCK")
        assert not lock.lost()


def test_a_file_that_is_exchanged_while_it_is_locked_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = lock_module.check_format

    def exchange(directory: Path, *, write: bool = False) -> None:
        real(directory, write=write)
        (tmp_path / "LOCK").unlink()
        (tmp_path / "LOCK").write_bytes(b"")

    monkeypatch.setattr(lock_module, "check_format", exchange)
    lock = DirectoryLock(tmp_path)
    with pytest.raises(DirectoryHeld, match="has not named itself"):
        lock.acquire()
    assert not lock.held


def test_a_holder_of_the_version_before_serves_once_it_has_an_address(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as lock:
        for address, serving in (("unix:/x", True), (None, False)):
            assert lock._fd is not None
            lock_module._put(lock._fd, json.dumps({"pid": os.getpid(), "address": address}).encode() + b"\n")
            assert read_holder(tmp_path) == lock_module.Holder(os.getpid(), None, address, serving)
        for text in (b"", b"[]", b"{", b'{"pid": "x"}', b'{"pid": null}', b"{}"):
            lock_module._put(lock._fd, text + b"\n")
            assert read_holder(tmp_path) == lock_module.Holder(None, None, None)


def test_only_a_holder_that_lingers_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(lock_module, "_is_server", lambda pid, _directory: pid == os.getpid())
    waiting = DirectoryLock(tmp_path)
    with DirectoryLock(tmp_path), monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
        with pytest.raises(DirectoryHeld):
            waiting.take_over(5.0)
    assert signal.SIGTERM not in {number for _, number in told}

    lingering = DirectoryLock(tmp_path, linger=1.0)
    lingering.acquire()

    def end(pid: int, number: int) -> None:
        told.append((pid, number))
        if number == signal.SIGTERM:
            lingering.release()

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", end)
        waiting.take_over(5.0)
    assert [number for _, number in told if number] == [signal.SIGTERM]
    assert waiting.held
    waiting.release()

    stubborn = DirectoryLock(tmp_path, linger=1.0)
    stubborn.acquire()
    told.clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
        with pytest.raises(DirectoryHeld):
            waiting.take_over(0.3)
        assert [number for _, number in told if number] == [signal.SIGTERM]  # once
        told.clear()
        patch.setattr(lock_module, "_is_server", lambda *_: False)
        with pytest.raises(DirectoryHeld):
            waiting.take_over(5.0)
        assert not [number for _, number in told if number]
    stubborn.release()


def test_no_process_that_is_no_server_is_taken_for_one(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path):
        assert not lock_module._is_server(os.getpid(), tmp_path)  # it has the LOCK open, and is none of ours
    program = "import sys; held = open(sys.argv[2]); print(flush=True); input()"
    held = subprocess.Popen(
        [sys.executable, "-c", program, "kinprint.server", str(tmp_path / "LOCK")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout is not None
    held.stdout.readline()
    try:
        assert lock_module._is_server(held.pid, tmp_path)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "LOCK").write_bytes(b"")
        assert not lock_module._is_server(held.pid, tmp_path / "other")
    finally:
        held.communicate(b"\n")
    assert not lock_module._is_server(held.pid, tmp_path)


def test_that_keys_were_made_is_kept_with_the_format(tmp_path: Path) -> None:
    assert not lock_module.keys_made(tmp_path)
    lock_module.note_keys(tmp_path)
    lock_module.note_keys(tmp_path)
    assert lock_module.keys_made(tmp_path)
    held = json.loads((tmp_path / "kinprint.json").read_text())
    assert len(held.pop("check")) == 32
    assert held == {"format": 1, "keys": True}
    lock_module.check_format(tmp_path)
    for text in (b"", b"[]", b"\xff"):
        (tmp_path / "kinprint.json").write_bytes(text)
        assert lock_module.keys_made(tmp_path)  # what cannot be told opens nothing
