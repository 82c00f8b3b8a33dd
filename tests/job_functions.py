"""Runs for tests of jobs: a worker imports them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from kinprint.server.failures import InvalidField
from kinprint.server.progress import Progress


def count(n: int, pause: float = 0.0) -> Iterator[Any]:
    """0 to n - 1, with progress."""
    for k in range(n):
        yield Progress(f"number {k}", k / n)
        yield k
        time.sleep(pause)


def echo(*values: Any, **named: Any) -> Iterator[Any]:
    """What it is given."""
    yield values, named


def describe(views: list[Any]) -> Iterator[Any]:
    """Corpus, rows, and texts of views."""
    for view in views:
        texts = [text for part in view.parts for text in part.segment.array("response").to_pylist()]
        yield view.corpus, view.rows, sorted(texts), [part.segment.folder is None for part in view.parts]


def where() -> Iterator[Any]:
    """Process, niceness."""
    yield os.getpid(), os.getpriority(os.PRIO_PROCESS, 0)


def noisy() -> Iterator[Any]:
    """Prints, as a library may."""
    print("noise on standard output", flush=True)
    os.write(1, b"more noise")
    yield "quiet"


def refuse() -> Iterator[Any]:
    """Raises a failure that the caller is told."""
    yield Progress("about to refuse", 0.5)
    raise InvalidField("threshold", "no such threshold", "FIELD_INVALID")


def fail_oddly() -> Iterator[Any]:
    """Raises what does not pickle."""

    class Odd(Exception):  # noqa: N818
        pass

    raise Odd("odd")
    yield


def die() -> Iterator[Any]:
    """Ends the process."""
    yield Progress("about to die", 0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def hold(size: int, pause: float = 0.0) -> Iterator[Any]:
    """Holds `size` bytes, piece by piece."""
    pieces = []
    for _ in range(size >> 20):
        pieces.append(np.ones(1 << 20, np.uint8))
        time.sleep(pause)
    yield len(pieces)


def ask_for(size: int) -> Iterator[Any]:
    """Asks for `size` bytes at once."""
    yield len(np.ones(size, np.uint8))


def spin() -> Iterator[Any]:
    """Works without end, without looking at anything."""
    yield Progress("spinning", 0.0)
    while True:
        sum(range(1000))
