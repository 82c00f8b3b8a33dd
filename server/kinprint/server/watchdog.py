"""Watches the event loop: how late it is, and where it stands when it is stuck."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

logger = logging.getLogger(__name__)

#: Seconds between two looks, and of lateness from which on the stack is logged.
LOOK_SECONDS, STUCK_SECONDS = 0.25, 1.0


class Watchdog:
    """See the module's text.  `run` is a task of the loop; a thread looks whether it still comes round.

    Attributes
    ----------
    lag
        Seconds that the loop was late at the last look.
    worst
        Most seconds that it was late since the start.
    stuck
        How often it was late by more than `STUCK_SECONDS`.
    """

    def __init__(self) -> None:
        self.lag = 0.0
        self.worst = 0.0
        self.stuck = 0
        self._beat = time.monotonic()
        self._ended = threading.Event()

    @property
    def silent(self) -> float:
        """Seconds since the loop came round; for any thread."""
        return max(0.0, time.monotonic() - self._beat - LOOK_SECONDS)

    async def run(self) -> None:
        """Watch until cancelled."""
        watched = threading.get_ident()
        thread = threading.Thread(target=self._watch, args=(watched,), name="kinprint-watchdog", daemon=True)
        self._beat = time.monotonic()
        thread.start()
        try:
            while True:
                before = time.monotonic()
                await asyncio.sleep(LOOK_SECONDS)
                self._beat = time.monotonic()
                self.lag = max(0.0, self._beat - before - LOOK_SECONDS)
                self.worst = max(self.worst, self.lag)
        finally:
            self._ended.set()

    def _watch(self, watched: int) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            if self.silent < STUCK_SECONDS:
                continue
            self.stuck += 1
            since = self._beat
            frame = sys._current_frames().get(watched)
            where = "".join(traceback.format_stack(frame)) if frame is not None else "(its thread has ended)\n"
            logger.warning("the event loop has stood still for %.1f s", self.silent)
            # Line by line: control characters of a message are escaped.
            for line in where.splitlines():
                logger.warning("  %s", line)
            while self._beat == since:
                if self._ended.wait(LOOK_SECONDS):
                    return
            logger.warning("the event loop goes on after %.1f s", self._beat - since)
