"""The lock on a data directory: one holder, known to others, gone when its process is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
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
