"""Jobs: the long runs of a server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

JobState = Literal["queued", "running", "finished", "cancelled", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Job:
    """One long run, such as FindDuplicates, in a process of its own.

    `queue_place` counts from 1 among those that wait, 0 unless it waits; `share` is how much is done (0 to 1), `step`
    what it does now. `memory_bytes` is what its process holds itself, of one that has ended the most it held;
    `memory_limit_bytes` the most it may hold, 0 for no limit. `problem` says why it failed or was cancelled, "" for
    one that did not; `pid` is 0 unless it runs.
    """

    id: str
    kind: str
    corpora: tuple[str, ...]
    state: JobState
    queue_place: int
    caller: str
    step: str
    share: float
    memory_bytes: int
    memory_limit_bytes: int
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    problem: str
    pid: int

    @property
    def active(self) -> bool:
        """Whether it runs or waits."""
        return self.state in ("queued", "running")
