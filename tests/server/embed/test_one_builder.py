"""`only_builder`: who waits is told so, and who need not wait hears nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from filelock import FileLock
from kinprint.server.embed.one_builder import only_builder


def test_who_need_not_wait_hears_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with only_builder(tmp_path / "table", lambda step, _: told.append(step)):
            assert (tmp_path / ".table.lock").exists()
    assert told == []


def test_who_waits_is_told_and_goes_on(tmp_path: Path) -> None:
    held, heard = threading.Event(), threading.Event()

    def build() -> None:
        with FileLock(tmp_path / ".table.lock"):
            held.set()
            assert heard.wait(10)

    other = threading.Thread(target=build)
    other.start()
    assert held.wait(10)
    told: list[tuple[str, float]] = []

    def hear(step: str, share: float) -> None:
        told.append((step, share))
        heard.set()

    with only_builder(tmp_path / "table", hear):
        assert heard.is_set()
    other.join()
    assert told == [("another process builds table; waiting for it", 0.0)]


def test_a_failed_build_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="failed"), only_builder(tmp_path / "table", lambda *_: None):
        raise ValueError("failed")
    with FileLock(tmp_path / ".table.lock").acquire(blocking=False):
        pass
