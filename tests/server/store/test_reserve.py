"""The reserve: real blocks, made where there is room for several of it, and given up once."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flushes import Step, recorded_steps
from kinprint.server.store import reserve as reserves
from kinprint.server.store.reserve import Reserve

SIZE = 1 << 16


@pytest.mark.parametrize(
    ("blocks", "files", "made"),
    [(4 * 16, 4, True), (4 * 16 - 1, 4, False), (4 * 16, 3, False), (4 * 16, 0, True), (0, 4, False)],
)
def test_it_never_takes_the_last_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, files: int, made: bool
) -> None:
    """Blocks of 4 KiB, of which it has 16; file systems without a number of inodes tell 0 of them."""
    free: Any = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda _path: free)
    assert Reserve(tmp_path, SIZE).fill() is made
    assert (tmp_path / "RESERVE").exists() is made


def test_it_is_durable_and_private(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, SIZE)
    with recorded_steps() as steps:
        assert reserve.fill()
        assert reserve.fill()
    path = tmp_path / "RESERVE"
    assert steps == [Step("flush", tmp_path)]
    stat = path.stat()
    assert (stat.st_size, stat.st_mode & 0o777) == (SIZE, 0o600)
    assert stat.st_blocks * 512 >= SIZE
    with recorded_steps() as steps:
        assert reserve.release()
        assert not reserve.release()
    assert steps == [Step("remove", path), Step("flush", tmp_path)]
    assert reserves.BYTES == 8 << 20


def test_what_a_crash_left_half_made_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "RESERVE").write_bytes(b"x")
    assert Reserve(tmp_path, SIZE).fill()
    assert (tmp_path / "RESERVE").stat().st_size == SIZE


def test_a_disk_that_takes_nothing_has_no_reserve_and_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not Reserve(tmp_path, SIZE).fill()
    assert list(tmp_path.iterdir()) == []
    assert not Reserve(tmp_path / "none", SIZE).fill()
