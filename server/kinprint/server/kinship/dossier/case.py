"""The case: two models, all that was computed of them, and small questions that several sections ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.kinship.answers import Answers
from kinprint.server.kinship.calibration import Calibration
from kinprint.server.kinship.judge import Judged, Scored
from kinprint.server.kinship.panel import Panel
from numpy.typing import NDArray

#: Other models that are listed beside the source, models on the map and in the tree, spans shown.
CONTROLS, MAPPED, SPANS = 20, 40, 12
#: Code points of context on each side of a span, and of a span shown.
CONTEXT, SPAN_TEXT = 80, 600
#: Seed of the sample of prompts and other models whose features are counted.
SEED = 0


@dataclass(frozen=True, eq=False)
class Case:
    """What every section needs; `judged` is of the pair itself first, then of the further pairs named beforehand."""

    view: View
    rows: Filter
    subject: str
    source: str
    panel: Panel | None
    answers: Answers
    places: list[tuple[int, int]]
    scored: Scored
    #: Subject and source, as places among the models of `answers`.
    i: int
    j: int
    judged: Judged

    @property
    def score(self) -> float:
        """Score of the pair; NaN where there is none."""
        return float(self.scored.score[self.i, self.j])

    @property
    def prompts(self) -> int:
        """Prompts that the two have in common."""
        return int(self.scored.shared[self.i, self.j])

    @property
    def elsewhere(self) -> bool:
        """Whether the background was measured on other prompts."""
        return self.scored.background.kind == "elsewhere"

    def calibration(self) -> Calibration | None:
        """What the panel says of so many prompts; None where it says nothing."""
        if self.panel is None or self.scored.background.kind == "none":
            return None
        if self.scored.across[self.i, self.j]:
            return self.panel.bridged
        return self.panel.calibration(self.prompts)

    def row(self, answer: int) -> tuple[int, int]:
        """(part, row) of an answer."""
        return self.places[int(self.answers.place[answer])]

    def value(self, answer: int, column: str) -> Any:
        """What the row of an answer has in a column."""
        number, row = self.row(answer)
        return self.view.parts[number].segment.array(column)[row].as_py()

    def of(self, model: int) -> NDArray[np.int64]:
        """The answers of a model."""
        return np.flatnonzero(self.answers.model == model)


def dates(case: Case, answers: NDArray[np.int64]) -> dict[str, str] | None:
    """First and last date of answers, ISO 8601 in UTC; None where none is dated."""
    times = []
    for k in answers:
        number, row = case.row(k)
        micros, known = case.view.parts[number].segment.created_us
        if known[row]:
            times.append(int(micros[row]))
    if not times:
        return None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (epoch + timedelta(microseconds=t) for t in (min(times), max(times)))
    return {"first": first.isoformat(timespec="seconds"), "last": last.isoformat(timespec="seconds")}


def rank_of_source(case: Case) -> tuple[int, int]:
    """Place of the source among the models by likeness to the subject, from 1, and how many there are."""
    row = np.delete(case.scored.score[case.i], case.i)
    row = row[np.isfinite(row)]
    return 1 + int((row > case.score).sum()), len(row)


def nearest(case: Case) -> list[int]:
    """Subject, source and the models nearest to either, by name."""
    best = np.fmax(case.scored.score[case.i], case.scored.score[case.j])
    best[[case.i, case.j]] = np.inf
    order = np.argsort(np.where(np.isnan(best), np.inf, -best), kind="stable")
    return sorted(int(k) for k in order[:MAPPED])


def fields_of(rows: Filter) -> dict[str, Any]:
    """A filter, field by field."""
    return {name: getattr(rows, name) for name in rows.__dataclass_fields__}
