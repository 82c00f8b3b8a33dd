"""What native code writes to standard error, as lines of the log: Rust's panics, and gRPC's C core.

Both write to descriptor 2 whatever Python's logging does, and would stand between lines of JSON.  Here that descriptor
is a pipe, and a thread logs what comes out of it.  The log itself goes to the standard error of before.

A line may quote what the code failed at, such as a text: of a panic only thread and place are logged, and of other
lines those that are known to quote nothing; `KINPRINT_DEBUG=1` logs all of them.  Not logged is what the process writes
as it dies by a signal: nobody reads the pipe any more.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import re
import sys
import threading
from typing import IO

from kinprint.server.logs import visible

logger = logging.getLogger("native")

#: Bytes that the pipe holds where the system allows it; what comes while it is full is lost, and nobody waits.
_HELD = 1 << 20
_LONGEST = 4096
#: As the C core writes: level, date, time, thread, place.
_CORE = re.compile(r"(?P<level>[IWEF])\d{4} [\d:.]+\s+\d+ (?P<message>\S+:\d+\].*)")
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
#: As Rust writes; older versions put the message, which may quote a text, before the place.
_PANIC = re.compile(r"thread '(?P<thread>[^']*)'.* panicked at (?:.*, )?(?P<place>[\w./\\-]+:\d+:\d+)")


def quiet_core(log_format: str) -> None:
    """Have gRPC's C core say errors alone, or nothing at all where lines are for programs.  Before gRPC is imported.

    A port that strangers can reach is scanned, and each scan is a failed handshake.  GRPC_VERBOSITY overrides it.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE" if log_format == "json" else "ERROR")


def told(line: str) -> tuple[int, str]:
    """Level and message of a line that native code wrote."""
    if (core := _CORE.match(line)) is not None:
        return _LEVELS[core["level"]], core["message"]
    if os.environ.get("KINPRINT_DEBUG") == "1":
        return logging.WARNING, line
    if (panic := _PANIC.match(line)) is not None:
        return logging.ERROR, f"thread {panic['thread']!r} panicked at {panic['place']}"
    return logging.WARNING, "a line of native code, which may quote a text, is withheld; KINPRINT_DEBUG=1 logs it"


def take_over_stderr() -> IO[str]:
    """Log what is written to descriptor 2 from now on; what stands for standard error, for the log and for Python.

    Called once, before threads write.
    """
    original = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    source, sink = os.pipe()
    with contextlib.suppress(OSError, AttributeError):  # less is allowed; another system
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _HELD)
    os.set_blocking(sink, False)  # a panic may hold the interpreter's lock, which the reader needs
    sys.stderr.flush()
    os.dup2(sink, 2)
    os.close(sink)
    sys.stderr = original
    reader = threading.Thread(target=_read, args=(source,), name="kinprint-native-log", daemon=True)
    reader.start()

    def give_back() -> None:
        os.dup2(original.fileno(), 2)  # the pipe has no other end, so that the reader comes to its own
        reader.join(1.0)

    atexit.register(give_back)
    return original


def _read(source: int) -> None:
    with os.fdopen(source, "rb") as pipe:
        while line := pipe.readline(_LONGEST):
            text = line.decode(errors="replace").rstrip()
            if text:
                level, message = told(text)
                logger.log(level, "%s", visible(message))
