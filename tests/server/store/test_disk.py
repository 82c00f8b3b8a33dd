"""What a failed write is told as: a full disk by any of its names, or another failure."""

from __future__ import annotations

import errno

import pytest
from kinprint.server.failures import StorageFailed, StorageFull
from kinprint.server.store.disk import is_full, plain, storage_failure


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        RuntimeError("Generic error: No space left on device"),
        RuntimeError("write failed (os error 28)"),
        RuntimeError("Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_known_by_any_of_its_names(error: Exception) -> None:
    assert is_full(error)
    wrapped = ValueError("append failed")
    wrapped.__cause__ = error
    assert is_full(wrapped)
    beside = ValueError("append failed")
    beside.__context__ = error
    assert is_full(beside)
    told = storage_failure("cannot load", wrapped, "then load again")
    assert isinstance(told, StorageFull)
    assert told.message == "cannot load: append failed; free space, then load again"


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, "x"), OSError(errno.EROFS, "x"), RuntimeError("error 128")])
def test_other_failures_are_no_full_disk(error: Exception | None) -> None:
    assert not is_full(error)


def test_causes_in_a_circle_end() -> None:
    one, other = RuntimeError("a"), RuntimeError("b")
    one.__cause__, other.__cause__ = other, one
    assert not is_full(one)


def test_another_failure_says_that_the_disk_is_not_full() -> None:
    told = storage_failure("cannot load", OSError(errno.EIO, "Input/output\n  error"))
    assert isinstance(told, StorageFailed)
    assert "cannot load: [Errno 5] Input/output error; the disk is not full" in told.message
    assert told.message.endswith("then retry")
    assert storage_failure("cannot load", OSError()).message.startswith("cannot load; the disk is not full")


def test_colours_of_a_library_are_left_out() -> None:
    assert plain("\x1b[31merror\x1b[0m of \x1bX") == "error of X"
