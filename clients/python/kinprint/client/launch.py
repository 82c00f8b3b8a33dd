"""Starting the server of a data directory, and reading who holds one.

The standard library alone, so that a command can start its server before it imports anything else.

`<directory>/LOCK` names the holder. Whether the directory is free is decided by the server alone, which takes the lock
or exits with code 3: what is read here is a hint.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HELD = 3
"""Exit code of a server whose directory is held by another."""

LINGER = 300.0
"""Seconds without a call after which a server that a command started ends by itself."""

_LOG_TAIL = 4000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a data directory, as its LOCK says.

    Attributes:
        pid: the process.
        address: where it listens, None before it does.
        serving: whether it takes requests.
        linger: seconds without a call after which it ends by itself; None: it stays until it is told to end.
        model: the embedding model that it was started with, None where an older version holds the directory.
    """

    pid: int
    address: str | None
    serving: bool
    linger: float | None
    model: str | None


def is_server(pid: int, directory: Path) -> bool:
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
        return _has_open(pid, directory / "LOCK")
    except PermissionError:
        return True  # another user's, whom no signal of ours reaches
    except OSError:
        return False


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open.  Raises OSError where that cannot be told."""
    wanted = os.stat(path)
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), wanted):
                return True
    return False


def read_lock(directory: Path) -> dict[str, Any] | None:
    """What `<directory>/LOCK` says, None when there is none or it is being written."""
    try:
        # The first line counts: a rewrite may leave the end of a longer text for a moment.
        lock = json.loads((directory / "LOCK").read_text(encoding="utf-8").partition("\n")[0])
    except (OSError, ValueError):
        return None
    return lock if isinstance(lock, dict) else None


def held(directory: Path) -> bool:
    """Whether a process holds the lock of a directory now."""
    import fcntl  # not on every system that a client of a remote server runs on

    try:
        fd = os.open(directory / "LOCK", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def read_holder(directory: Path) -> Holder | None:
    """Who holds a directory; None if nobody does, or it is about to say who it is."""
    lock = read_lock(directory)
    if lock is None or not isinstance(lock.get("pid"), int) or not held(directory):
        return None
    with contextlib.suppress(OSError):  # a process of a container, of another user, or on a system without /proc
        if not _has_open(lock["pid"], directory / "LOCK"):
            # The LOCK of a directory that this is a copy of, and its holder could not write over it.
            return None
    address, linger, model = lock.get("address"), lock.get("linger"), lock.get("model")
    if not isinstance(address, str):
        address = None
    return Holder(
        lock["pid"],
        address,
        # Holders of the version before publish their address when they serve.
        address is not None and bool(lock.get("serving", True)),
        float(linger) if isinstance(linger, (int, float)) else None,
        model if isinstance(model, str) else None,
    )


def seconds(text: str) -> float:
    """A duration: seconds, or a number with s, m or h.  Raises ValueError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write seconds, or for example 90s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def duration(value: float) -> str:
    """A duration for people."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if value >= size and value % size == 0:
            return f"{value / size:.0f} {unit}"
    return f"{value:g} s"


@dataclass(eq=False)
class Child:
    """A server process that was started here.

    Attributes:
        linger: None for a server that ends with this process; else it outlives it by so many seconds without a call.
        parent: the process that started it. One that is forked from that holds what it held, and may not end the
            server.
    """

    process: subprocess.Popen[bytes]
    linger: float | None
    log: IO[bytes] = field(repr=False)
    parent: int = field(default_factory=os.getpid)

    def log_tail(self) -> str:
        """The end of what it wrote to standard error."""
        if self.log.closed:
            return ""
        # Without a seek, which would move the place where the server writes, too.
        size = os.fstat(self.log.fileno()).st_size
        tail = os.pread(self.log.fileno(), _LOG_TAIL, max(0, size - _LOG_TAIL))
        return tail.decode("utf-8", "replace").strip()

    def let_go(self) -> None:
        """Leave a lingering server to itself."""
        self.log.close()
        # Nobody waits for it any more, and that is no mistake.
        self.process.returncode = self.process.returncode or 0

    def stop(self, grace: float) -> None:
        """Let it drain, and see to it that it has ended; seconds that it may take before it is killed."""
        if os.getpid() != self.parent:
            return
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        else:
            self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def usual_model() -> str:
    """The embedding model of a server whose command names none."""
    model = os.environ.get("KINPRINT_MODEL") or "default"
    return model if model in ("default", "none") else str(Path(model).expanduser().absolute())


def spawn(directory: Path, *, model: str, linger: float | None, take_over: bool) -> Child:
    """Start a server on a directory; `take_over` ends a lingering one that holds it.  Raises OSError."""
    # A file, not a pipe: nobody has to read it for the server to go on.
    log = tempfile.TemporaryFile(prefix="kinprint-server-")  # noqa: SIM115
    command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(directory), "--lazy", "--model", model]
    command += ["--exit-with-stdin"] if linger is None else ["--linger", repr(linger)]
    command.append("--take-over" if take_over else "--no-take-over")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if linger is None else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            # Ctrl-C is ours to handle.
            start_new_session=True,
        )
    except OSError:
        log.close()
        raise
    child = Child(process, linger, log)
    if process.stdin is not None:
        _tied.add(child)
    return child


#: Servers that end when their standard input closes.
_tied: weakref.WeakSet[Child] = weakref.WeakSet()


def _let_go_in_fork() -> None:
    """A process that was forked must not hold the pipe open that tells a server that its client has gone."""
    for child in list(_tied):
        if child.process.stdin is not None:
            with contextlib.suppress(OSError):
                child.process.stdin.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_fork)


# ---- ahead of the imports of a command ----

#: Commands that need a server for --data; all others do where they name a corpus.
_COMMANDS = frozenset(("compare", "corpora", "info", "jobs"))
_NO_SERVER = frozenset(("--help", "--server", "--version"))
_ahead: dict[Path, tuple[Child, str]] = {}


def _option(arguments: Sequence[str], name: str) -> str | None:
    """Value of an option as it stands last on a command line."""
    value = None
    for place, word in enumerate(arguments):
        if word == name and place + 1 < len(arguments):
            value = arguments[place + 1]
        elif word.startswith(name + "="):
            value = word.partition("=")[2]
    return value


def ahead(arguments: Sequence[str]) -> None:
    """Start the server that a command line is about to need, if that is plain to see; else do nothing.

    The command goes on importing meanwhile, and takes the server over with `claim`. Only on a data directory that is
    there and that nobody holds; a server that is not claimed ends with the process.
    """
    words = {word.partition("=")[0] for word in arguments}
    command = arguments[0] if arguments else ""
    if words & _NO_SERVER or command == "keys" or not ("--corpus" in words or command in _COMMANDS):
        return
    named = _option(arguments, "--data")
    if named is None and not os.environ.get("KINPRINT_SERVER"):
        named = os.environ.get("KINPRINT_DATA")
    if not named:
        return
    directory = Path(named).expanduser().absolute()
    try:
        linger = seconds(_option(arguments, "--linger") or os.environ.get("KINPRINT_LINGER") or str(LINGER))
    except ValueError:
        return
    if not (directory / "kinprint.json").exists() or held(directory):
        return
    model = _option(arguments, "--embedding-model") or usual_model()
    if model not in ("default", "none"):
        model = str(Path(model).expanduser().absolute())
    with contextlib.suppress(OSError):
        _ahead[directory] = spawn(directory, model=model, linger=linger or None, take_over=False), model
        atexit.register(_end_unclaimed)


def claim(directory: Path, *, model: str | None, linger: float | None) -> Child | None:
    """The server that was started ahead, if it is as wanted (`model` None: any); it is the caller's from now on."""
    found = _ahead.pop(directory, None)
    if found is None:
        return None
    child, its_model = found
    if child.linger == linger and model in (None, its_model):
        return child
    child.stop(10.0)
    return None


def _end_unclaimed() -> None:
    for child, _ in _ahead.values():
        if os.getpid() == child.parent:
            child.process.send_signal(signal.SIGTERM)
