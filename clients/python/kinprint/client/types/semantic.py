"""The semantic channel: how far its accurate tier is filled, and what fitting its fast one gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kinprint.client.types.server import Coverage

FillState = Literal["off", "waiting", "running", "paused", "complete", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Fill:
    """How far a corpus is filled: `accurate` and `fast` are the rows of each tier, None where the server told none.

    `rows_per_second` is the rate of the accurate tier, lately, and `seconds_left` what is left at that rate: 0 and None
    unless it runs. `most_rows_per_second` is the bound that was asked for, 0 for none. `problem` says what it waits
    for, or why it failed; "" otherwise.
    """

    corpus: str
    state: FillState
    accurate: Coverage | None
    fast: Coverage | None
    rows_per_second: float
    seconds_left: float | None
    most_rows_per_second: float
    problem: str

    @property
    def active(self) -> bool:
        """Whether it runs, or will as soon as what it waits for is there."""
        return self.state in ("running", "waiting")


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What a fit of the fast tier is worth on rows that it did not see, `held_out` of them.

    `cosine_before` and `cosine_after` are means over held-out sentences, of their fast vectors to their accurate ones.
    `recall_before` and `recall_after` are shares, 0 to 1, of the ten nearest rows by accurate vectors that are among
    the hundred nearest by fast ones.
    """

    table_digest: str
    sentences: int
    held_out: int
    cosine_before: float
    cosine_after: float
    recall_before: float
    recall_after: float
