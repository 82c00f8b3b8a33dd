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
    for, or why it failed; "" otherwise. `second_model` is the digest of a model that is filled beside the first, ""
    without one, and `second_filled` counts the rows that have its vectors.
    """

    corpus: str
    state: FillState
    accurate: Coverage | None
    fast: Coverage | None
    rows_per_second: float
    seconds_left: float | None
    most_rows_per_second: float
    problem: str
    second_model: str = ""
    second_filled: int = 0

    @property
    def active(self) -> bool:
        """Whether it runs, or will as soon as what it waits for is there."""
        return self.state in ("running", "waiting")


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What a fit of the fast tier is worth on sentences that it did not see, `held_out` of them.

    `cosine_before` and `cosine_after` are means over held-out sentences, of their fast vectors to their accurate ones.
    `recall_before` and `recall_after` are shares, 0 to 1, of the ten nearest held-out sentences by accurate vectors
    that are among the hundred nearest by fast ones; None for fewer than 200 held-out sentences.
    """

    table_digest: str
    sentences: int
    held_out: int
    cosine_before: float
    cosine_after: float
    recall_before: float | None
    recall_after: float | None


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """How one of two models of a corpus finds; `filled` counts the rows that have its vectors.

    `same_prompt_auc` is the chance, 0.5 to 1, that another answer to the same prompt scores higher than an answer to
    another one, `same_prompt_share` the mean share of the ten best that answer the prompt of the query; None where
    prompts do not repeat.
    """

    digest: str
    filled: int
    same_prompt_auc: float | None
    same_prompt_share: float | None


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The model that a corpus is searched by (`first`) and the one beside it, on the same `queries` stored answers.

    `agreement` is the mean share of the ten best of the first that are among the ten best of the second.
    """

    first: ModelQuality
    second: ModelQuality
    queries: int
    agreement: float
