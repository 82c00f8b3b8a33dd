"""Progress of long runs: what a run yields on its way, how one run stands within another, and how it ends early."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    step: str
    share: float


class Stopped(Exception):  # noqa: N818  (no error: it was asked for)
    """Raised inside a step of a run that is cancelled.  The run catches it, and ends without a result."""


def stop_if(cancelled: Callable[[], bool]) -> Callable[[], None]:
    """What a step calls now and then: it raises `Stopped` once the run is cancelled."""

    def check() -> None:
        if cancelled():
            raise Stopped

    return check


def result_of(run: Iterator[Progress | T], share: float = 1.0) -> Generator[Progress, None, T | None]:
    """Pass on the progress of a run that is the first `share` of another, and return what it yields at last.

    None if the run ended without a result, as one that is cancelled does.
    """
    found: T | None = None
    for made in run:
        if isinstance(made, Progress):
            yield Progress(made.step, share * made.share)
        else:
            found = made
    return found
