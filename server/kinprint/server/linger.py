"""The end of a server that nobody told to: after some time without a call, or with its data directory."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from kinprint.server.state import State
from kinprint.server.store.lock import DirectoryLock

logger = logging.getLogger(__name__)

#: Seconds between looks at whether the data directory is still there.
_LOOK = 1.0


async def until_lost(state: State, lock: DirectoryLock) -> None:
    """Return when the data directory or its LOCK has been removed: another server may hold it by now."""
    while not lock.lost():
        await asyncio.sleep(_LOOK)
    logger.error("%s, or the LOCK in it, was removed under this server, which ends", lock.path)
    state.draining.set()


async def until_unused(state: State, seconds: float) -> None:
    """Return when nobody has called for `seconds`.

    A call that runs, such as an open stream, is use, and so is what goes on behind the calls: building the table of
    tokens, filling a corpus. From the moment of the decision no call is taken any more, so
    that whoever has had an answer can count on `seconds` more.
    """
    while True:
        # On the event loop, where calls are counted: nothing comes between this look and the decision.
        left = seconds if state.calls or state.busy else state.idle_since + seconds - time.monotonic()
        if left <= 0:
            logger.info("no call for %.0f s", seconds)
            break
        await asyncio.sleep(min(left, _LOOK))
    state.draining.set()


def let_go_of_stderr() -> None:
    """Log to the file of the data directory alone, and send there what native code writes to standard error.

    Standard error is for the command that waits for the start: it has gone soon, and nobody empties what it left.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            os.dup2(handler.stream.fileno(), 2)
        else:
            root.removeHandler(handler)
