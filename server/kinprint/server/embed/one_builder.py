"""What is built once a machine is built by one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_builder(directory: Path, report: Callable[[str, float], None]) -> Iterator[None]:
    """Hold the lock beside a directory that is to be built; `report` hears of it where another process holds it.

    Raises:
        OSError: the lock's file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(directory.parent / f".{directory.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        report(f"another process builds {directory.name}; waiting for it", 0.0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
