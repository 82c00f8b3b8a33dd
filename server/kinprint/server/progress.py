"""Progress of long runs: what a run yields on its way, and how one run stands within another."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    step: str
    share: float


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
