"""Where a parallel kernel runs: on every core, one kernel at a time, or on the thread that calls it.

A parallel kernel spreads over every core, so that two at once gain nothing; and Numba's work queue, the one threading
layer that it has on every platform, ends the process when two threads enter it. `jit.parallel_kernel` takes the turn
around each call, re-entrantly; nobody else has to know.

A thread that answers queries would wait for its turn as long as somebody's long run takes, to work on a handful of
texts. In :func:`calling_thread` the same kernels run on that thread alone, as if they were not parallel: such threads
work side by side, and wait neither for one another nor for a parallel kernel.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Mode(threading.local):
    """What a thread has asked for."""

    calling = False


_turn = threading.RLock()
_mode = _Mode()


def turn() -> threading.RLock:
    """The turn of this process, as a context manager."""
    return _turn


def on_calling_thread() -> bool:
    """Whether parallel kernels that this thread calls run on it alone."""
    return _mode.calling


@contextmanager
def calling_thread() -> Iterator[None]:
    """Run the parallel kernels that this thread calls meanwhile on this thread alone."""
    before = _mode.calling
    _mode.calling = True
    try:
        yield
    finally:
        _mode.calling = before


def stay_on_calling_thread() -> None:
    """As :func:`calling_thread`, from now on: for the initializer of a thread pool."""
    _mode.calling = True
