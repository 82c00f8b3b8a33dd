"""One writing process per data directory.

The holder keeps an advisory lock (``flock(2)``) on ``<data>/LOCK`` and writes into that file who it is
and where it can be reached. The kernel drops the lock when the process ends, however it ends, so the
text of a dead holder may remain in the file: only the lock says whether anybody holds the directory.

``flock`` is local to one machine on most network file systems: it does not guard a data directory that
several machines mount.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kinprint.server.store.files import replacing

__all__ = ["DATA_FORMAT", "DataFormatError", "DirectoryHeld", "DirectoryLock", "Holder", "read_holder"]

DATA_FORMAT: Final = 1
"""The layout of a data directory that this program writes and reads."""

_LOCK_NAME: Final = "LOCK"
_FORMAT_NAME: Final = "kinprint.json"
# ``read_holder`` takes the lock in shared mode for microseconds, so one refusal proves nothing yet.
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a data directory.

    ``pid`` is None when the lock is held but its holder has not written (or not finished writing) who
    it is. ``started`` is an ISO 8601 time in UTC. ``address`` is a gRPC target such as
    ``unix:/run/kinprint.sock``, or None until the holder listens.
    """

    pid: int | None
    started: str | None
    address: str | None


class DirectoryHeld(RuntimeError):  # noqa: N818
    """Another process (or another lock in this one) holds the data directory."""

    def __init__(self, pid: int | None, address: str | None, path: Path) -> None:
        self.pid = pid
        self.address = address
        self.path = path
        where = f" and listens on {address}" if address else ""
        who = f"process {pid}" if pid is not None else "a process that has not named itself"
        super().__init__(f"{path} is held by {who}{where}; one process at a time may write to it")


class DataFormatError(RuntimeError):
    """``<data>/kinprint.json`` is unreadable, or names a layout newer than this program knows."""


class DirectoryLock:
    """Holds a data directory for this process.

    The directory and its format file are created on the first `acquire`. Usable as a context manager.
    The lock does not pass to child processes (the descriptor is close-on-exec); a child made by
    ``fork`` without ``exec`` would share it, so children must be spawned.
    """

    def __init__(self, data_dir: str | os.PathLike[str]) -> None:
        self.path = Path(data_dir)
        self._fd: int | None = None
        self._holder: Holder | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock now."""
        return self._fd is not None

    def acquire(self) -> None:
        """Take the lock, or raise.

        Raises
        ------
        DirectoryHeld
            If somebody else holds it.
        DataFormatError
            If the directory was written by a newer program, or its format file is damaged.
        """
        if self._fd is not None:
            raise RuntimeError(f"this lock already holds {self.path}")
        self.path.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt + 1 == _ATTEMPTS:
                        holder = _parse(fd)
                        raise DirectoryHeld(holder.pid, holder.address, self.path) from None
                    time.sleep(_PAUSE_S)
            _check_format(self.path)
            holder = Holder(os.getpid(), datetime.now(UTC).isoformat(timespec="milliseconds"), None)
            _write(fd, holder)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._holder = holder

    def set_address(self, address: str | None) -> None:
        """Publish where the holder listens. Raises RuntimeError when the lock is not held."""
        if self._fd is None or self._holder is None:
            raise RuntimeError(f"the lock on {self.path} is not held")
        self._holder = Holder(self._holder.pid, self._holder.started, address)
        _write(self._fd, self._holder)

    def release(self) -> None:
        """Give the lock back. Does nothing when it is not held."""
        if self._fd is None:
            return
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = None
        self._holder = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_holder(data_dir: str | os.PathLike[str]) -> Holder | None:
    """Who holds ``data_dir``, or None if nobody does (or there is no such directory)."""
    try:
        fd = os.open(Path(data_dir) / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _parse(fd)
                # A new holder needs a moment to write its name over that of a dead one.
                if holder.pid is not None and _alive(holder.pid):
                    return holder
                if attempt + 1 < _ATTEMPTS:
                    time.sleep(_PAUSE_S)
                continue
            return None
        return _parse(fd)
    finally:
        os.close(fd)


def _write(fd: int, holder: Holder) -> None:
    text = json.dumps({"pid": holder.pid, "started": holder.started, "address": holder.address})
    line = text.encode() + b"\n"
    # One write, then the cut: a reader stops at the first line end and never sees half a line.
    os.pwrite(fd, line, 0)
    os.ftruncate(fd, len(line))


def _parse(fd: int) -> Holder:
    line, _, _ = os.pread(fd, 65536, 0).partition(b"\n")
    try:
        fields = json.loads(line)
        return Holder(int(fields["pid"]), fields.get("started"), fields.get("address"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Holder(None, None, None)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_format(data_dir: Path) -> None:
    path = data_dir / _FORMAT_NAME
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        with replacing(path) as file:
            file.write(json.dumps({"format": DATA_FORMAT}).encode() + b"\n")
        return
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataFormatError(f"{path} does not say which format the directory has: {text!r}") from error
    if not isinstance(found, int) or found > DATA_FORMAT:
        raise DataFormatError(f"{path} says format {found}; this program knows up to {DATA_FORMAT}")
