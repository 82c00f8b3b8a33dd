"""One writing process per data directory.

The holder keeps an advisory lock (``flock(2)``) on ``<data>/LOCK`` and writes into that file who it is
and where it can be reached. The kernel drops the lock when the process ends, however it ends, so the
text of a dead holder may remain in the file: only the lock says whether anybody holds the directory.

``flock`` is local to one machine on most network file systems: it does not guard a data directory that
several machines mount.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kinprint.server.store.disk import READ_ONLY, is_full
from kinprint.server.store.files import read_json, write_json

logger = logging.getLogger(__name__)

__all__ = ["DATA_FORMAT", "DataFormatError", "DirectoryHeld", "DirectoryLock", "Holder", "check_format", "read_holder"]

DATA_FORMAT: Final = 1
"""The layout of a data directory that this program writes and reads."""

_LOCK_NAME: Final = "LOCK"
_FORMAT_NAME: Final = "kinprint.json"
# ``read_holder`` takes the lock in shared mode for microseconds, so one refusal proves nothing yet.
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 0.01
_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a data directory.

    ``pid`` is None when the lock is held but its holder has not written (or not finished writing) who
    it is. ``started`` is an ISO 8601 time in UTC. ``address`` is a gRPC target such as
    ``unix:/run/kinprint.sock``, or None until the holder listens; ``serving`` is whether it takes requests.
    ``linger`` is None, or after how many seconds without a call the holder ends by itself: such a holder gives
    way to one that asks. ``model`` is the embedding model that it was started with.
    """

    pid: int | None
    started: str | None
    address: str | None
    serving: bool = False
    linger: float | None = None
    model: str | None = None


class DirectoryHeld(RuntimeError):  # noqa: N818
    """Another process (or another lock in this one) holds the data directory."""

    def __init__(self, holder: Holder, path: Path) -> None:
        self.holder = holder
        self.pid = holder.pid
        self.address = holder.address
        self.path = path
        where = f" and listens on {holder.address}" if holder.address else ""
        who = f"process {holder.pid}" if holder.pid is not None else "a process that has not named itself"
        super().__init__(f"{path} is held by {who}{where}; one process at a time may write to it")


class DataFormatError(RuntimeError):
    """``<data>/kinprint.json`` is unreadable, or names a layout newer than this program knows."""


class DirectoryLock:
    """Holds a data directory for this process.

    The directory and its format file are created on the first `acquire`. Usable as a context manager.
    The lock does not pass to child processes (the descriptor is close-on-exec); a child made by
    ``fork`` without ``exec`` would share it, so children must be spawned.

    ``linger`` and ``model`` are told to others: see `Holder`.
    """

    def __init__(
        self, data_dir: str | os.PathLike[str], *, linger: float | None = None, model: str | None = None
    ) -> None:
        self.path = Path(data_dir)
        self._linger = linger
        self._model = model
        self._fd: int | None = None
        self._holder: Holder | None = None
        #: Whether the directory can be read and not written.
        self.read_only = False

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
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.read_only = False
        try:
            fd = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in READ_ONLY or not (self.path / _LOCK_NAME).exists():
                raise
            fd = os.open(self.path / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
            self.read_only = True  # what is stored can be served all the same
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt + 1 == _ATTEMPTS:
                        raise DirectoryHeld(_parse(fd), self.path) from None
                    time.sleep(_PAUSE_S)
            check_format(self.path, write=True)
            if not os.path.samestat(os.fstat(fd), os.stat(self.path / _LOCK_NAME)):
                raise DirectoryHeld(Holder(None, None, None), self.path)  # the file was replaced meanwhile
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            holder = Holder(os.getpid(), started, None, linger=self._linger, model=self._model)
            self._tell(fd, holder)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._holder = holder

    def take_over(self, patience: float) -> None:
        """As `acquire`, and a lingering holder is told to end and given `patience` seconds for it.

        Raises
        ------
        DirectoryHeld
            If the holder is none that lingers, or does not end in time.
        DataFormatError
            As `acquire`.
        """
        deadline = time.monotonic() + patience
        told: int | None = None
        while True:
            try:
                return self.acquire()
            except DirectoryHeld as held:
                pid = held.holder.pid
                # One that ends forgets what it was before the lock is free.
                lingers = held.holder.linger is not None or (told is not None and pid in (None, told))
                if not lingers or time.monotonic() > deadline:
                    raise
                if pid is not None and pid != told:
                    if not _is_server(pid, self.path):
                        raise
                    told = pid
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGTERM)
            time.sleep(_PAUSE_S)

    def set_address(self, address: str | None, *, serving: bool = True) -> None:
        """Publish where the holder listens, and whether it takes requests there by now.

        Raises RuntimeError when the lock is not held.
        """
        if self._fd is None or self._holder is None:
            raise RuntimeError(f"the lock on {self.path} is not held")
        self._holder = replace(self._holder, address=address, serving=serving and address is not None)
        self._tell(self._fd, self._holder)

    def _tell(self, fd: int, holder: Holder) -> None:
        """Write who holds the directory.  On a disk that takes nothing, others have to be told the address."""
        try:
            if not self.read_only:
                _write(fd, holder)
        except OSError as error:
            if not is_full(error):
                raise
            logger.warning("the disk of %s is full: its LOCK does not say who holds it", self.path)

    def lost(self) -> bool:
        """Whether what is held is no longer the lock of the directory: that was removed, or the file was."""
        if self._fd is None:
            return True
        try:
            return not os.path.samestat(os.fstat(self._fd), os.stat(self.path / _LOCK_NAME))
        except OSError:
            return True

    def release(self) -> None:
        """Give the lock back. Does nothing when it is not held."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            _put(self._fd, b"\n")
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


def _is_server(pid: int, directory: Path) -> bool:
    """Whether a process is a Kinprint server that has the LOCK of a directory open.

    The number in a LOCK may be that of a process that has ended, given to another since, or count in the process ids of
    a container: no process is signalled that is not recognised.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return b"kinprint.server" in listed.stdout
    if b"kinprint.server" not in command:
        return False
    try:
        lock = os.stat(directory / "LOCK")
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return True  # another user's, whom no signal of ours reaches
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), lock):
                return True
    return False


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
    _put(fd, json.dumps(asdict(holder)).encode() + b"\n")


def _put(fd: int, line: bytes) -> None:
    # One write: a reader stops at the first line end and never sees half a line. The file keeps its block, which a full
    # disk would not give back.
    os.pwrite(fd, line.ljust(_BLOCK, b" "), 0)


def _parse(fd: int) -> Holder:
    line, _, _ = os.pread(fd, 65536, 0).partition(b"\n")
    try:
        fields = json.loads(line)
        address = fields.get("address")
        # Holders of the version before publish their address when they serve.
        serving = bool(fields.get("serving", address is not None))
        return Holder(
            int(fields["pid"]), fields.get("started"), address, serving, fields.get("linger"), fields.get("model")
        )
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


def check_format(data_dir: Path, *, write: bool = False) -> None:
    """Raise DataFormatError unless this program reads the directory's layout; `write`: note it where it is not yet."""
    path = data_dir / _FORMAT_NAME
    try:
        found = read_json(path)["format"]
    except FileNotFoundError:
        if write:
            write_json(path, {"format": DATA_FORMAT})
        return
    except (ValueError, KeyError) as error:
        raise DataFormatError(
            f"{path} does not say which format the directory has ({error}); restore it from a backup, or, where this "
            "Kinprint wrote the directory, remove it: the next start writes it anew"
        ) from error
    if not isinstance(found, int) or found > DATA_FORMAT:
        raise DataFormatError(f"{path} says format {found}; this program knows up to {DATA_FORMAT}")


def note_keys(data_dir: Path) -> None:
    """Note in ``kinprint.json`` that API keys were made: a file of keys that goes opens nothing.

    Raises OSError; ValueError where it is damaged.
    """
    path = data_dir / _FORMAT_NAME
    told = read_json(path) if path.exists() else {"format": DATA_FORMAT}
    if not told.get("keys"):
        write_json(path, {**told, "keys": True})


def keys_made(data_dir: Path) -> bool:
    """Whether API keys were ever made for a directory; so too where that cannot be told, which opens nothing."""
    try:
        return bool(read_json(data_dir / _FORMAT_NAME).get("keys"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
