"""One parallel kernel at a time.

A parallel kernel spreads over every core, so that two at once gain nothing; and Numba's work queue, the one threading
layer that it has on every platform, ends the process when two threads enter it. `jit.parallel_kernel` takes the turn
around each call, re-entrantly; nobody else has to know.
"""

from __future__ import annotations

import threading

_turn = threading.RLock()


def turn() -> threading.RLock:
    """The turn of this process, as a context manager."""
    return _turn
