"""Work on many items, spread over threads: who takes which items, and what happens when one fails.

A kernel releases the interpreter, so that plain threads run it side by side. Each takes a run of items, and another one
when that is done, so that threads which the system holds up hold up nothing else. There is one pool a process; the
caller works along. Few items, or a thread that works by itself (see :mod:`~kinprint.kernels.turn`), wake nobody.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

from .turn import on_calling_thread, stay_on_calling_thread, turn

RUNS: Final = 4
"""Runs that a thread takes on average, so that all end at about the same time."""


class _Pool:
    """Helpers of the thread that has the turn; made when first needed, and anew where they are too few."""

    def __init__(self) -> None:
        self._size = 0
        self._threads: ThreadPoolExecutor | None = None

    def of(self, size: int) -> ThreadPoolExecutor:
        """So many helpers or more."""
        if self._threads is None or self._size < size:
            if self._threads is not None:
                self._threads.shutdown(wait=False)
            self._size = size
            self._threads = ThreadPoolExecutor(size, "kinprint-kernel", initializer=stay_on_calling_thread)
        return self._threads

    def forget(self) -> None:
        """Threads do not survive a fork."""
        self._size, self._threads = 0, None


_pool = _Pool()
_threads: int | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def threads() -> int:
    """Threads that a parallel kernel called now runs on, for those who divide work or scratch among them."""
    if on_calling_thread():
        return 1
    if _threads is None:
        # Numba reads its variables, NUMBA_NUM_THREADS and others, and knows the cores that this process may run on.
        from numba import config

        return int(getattr(config, "NUMBA_NUM_THREADS"))  # noqa: B009  (set when Numba is imported)
    return _threads


def set_threads(count: int | None) -> None:
    """Use so many threads from now on; None for what NUMBA_NUM_THREADS says, or the cores at hand.

    Raises
    ------
    ValueError
        If there is not one thread.
    """
    global _threads
    if count is not None and count < 1:
        raise ValueError(f"threads must be at least 1, not {count}")
    _threads = count


class _Runs:
    """Hands out the items 0 .. count - 1 in runs of whole grains."""

    def __init__(self, work: Callable[[int, int], None], count: int, grain: int, workers: int) -> None:
        self._work = work
        self._count = count
        grains = -(-count // grain)
        self._run = grain * max(1, grains // (RUNS * workers))
        self._next = 0
        self._lock = threading.Lock()

    def _take(self) -> int:
        with self._lock:
            first = self._next
            self._next = first + self._run
        return first

    def go(self) -> None:
        """Take runs until there are no more; after a failure there are none."""
        try:
            while (first := self._take()) < self._count:
                self._work(first, min(self._count, first + self._run))
        except BaseException:
            self._next = self._count
            raise


def spread(work: Callable[[int, int], None], count: int, grain: int = 1) -> None:
    """Call ``work(first, last)`` for runs of the items 0 .. ``count - 1`` that make up all of them.

    Parameters
    ----------
    work
        Works on the items ``first .. last - 1``, for any multiples of ``grain`` (or ``last == count``), with equal
        results whatever the runs are.
    count
        Number of items; for none nothing is called.
    grain
        Items that are not worth being divided.

    Raises
    ------
    BaseException
        What ``work`` raises, once every thread is done.
    """
    workers = min(threads(), -(-count // grain))
    if workers <= 1:
        if count > 0:
            work(0, count)
        return
    with turn():
        runs = _Runs(work, count, grain, workers)
        helpers = [_pool.of(workers - 1).submit(runs.go) for _ in range(workers - 1)]
        try:
            runs.go()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()
