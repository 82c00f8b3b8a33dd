"""Kinship, attribution, evidence and trees of models.

Names and meanings are those of `proto/kinprint/v1/lineage.proto`; `None` stands for "none" wherever the contract has
NaN or leaves a field out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from kinprint.client.files.whole import write_whole
from kinprint.client.types.base import Matrix
from kinprint.client.types.provenance import Provenance

Verdict = Literal["derived", "kin", "unresolved", "no_background"]
Basis = Literal["matched", "bridged", "none"]


@dataclass(frozen=True, slots=True)
class KinshipPairs:
    """A batch of pairs of models, column by column; all lists have one length."""

    model_a: list[str]
    model_b: list[str]
    prompts: list[int]
    score: list[float | None]
    log10_lr: list[float | None]
    p_value: list[float | None]
    p_floor: list[float | None]
    verdict: list[Verdict]
    basis: list[Basis]

    def __len__(self) -> int:
        return len(self.model_a)


@dataclass(frozen=True, slots=True)
class KinshipSummary:
    """Totals of a search for kinship; `families` is 0 where nothing is concluded, `panel_digest` empty without a panel.

    `carries_over` and `does_not_carry_over` say in plain sentences what of the panel holds for these rows.
    """

    models: int
    prompts: int
    pairs: int
    answers: int
    left_out: Mapping[str, int]
    families: int
    panel_digest: str
    carries_over: tuple[str, ...]
    does_not_carry_over: tuple[str, ...]
    cautions: tuple[str, ...]
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class UnknownText:
    """A text whose author is sought. Texts of one `set_id` are attributed together; None: by itself, as `id`."""

    text: str
    set_id: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible author of a set; `model` is None for "none of these"."""

    model: str | None
    log10_lr: float
    probability: float


@dataclass(frozen=True, slots=True)
class AttributedSet:
    """A set of texts with all possible authors, most probable first.

    `texts` counts what was sent; of these `counted` are distinct and long enough, and `beyond` were not looked at,
    since the set is larger than any that could be validated. `abstained` is True when no model is named; `reason`
    then says why: NO_USABLE_TEXT, MAY_BE_UNKNOWN, TOO_CLOSE or NO_POWER.
    """

    set_id: str | None
    id: str
    texts: int
    counted: int
    too_short: int
    repeated: int
    beyond: int
    abstained: bool
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def model(self) -> str | None:
        """The model that is named; None when none is."""
        return None if self.abstained or not self.candidates else self.candidates[0].model

    def rows(self) -> Iterator[tuple[str, int, str | None, float, float, bool, str | None]]:
        """Rows of (set_id or id, rank, model, log10_lr, probability, abstained, reason or None), ranks from 1."""
        name = self.id if self.set_id is None else self.set_id
        for rank, found in enumerate(self.candidates, 1):
            yield name, rank, found.model, found.log10_lr, found.probability, self.abstained, self.reason or None


@dataclass(frozen=True, slots=True)
class AttributionPower:
    """What the answers are worth for sets of `size` texts, measured on texts of the corpus that were held out.

    Of known models: `accuracy` (most probable model right), `named` (not abstained), `correct` (of those named). Of
    models of families held out: `false_names` (named all the same). `auc` tells known from unknown; `cllr` is in bits.
    None: there was nothing to measure it on.
    """

    size: int
    sets: int
    accuracy: float
    named: float
    correct: float | None
    unknown_sets: int
    false_names: float | None
    auc: float | None
    cllr: float | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True)
class AttributionModel:
    """A model that can be named, with the texts of it that were learnt from and those that there were."""

    model: str
    texts_used: int
    texts_given: int


@dataclass(frozen=True, slots=True)
class AttributionSummary:
    """Totals of an attribution, and how far to believe it; `left_out` are models that cannot be named, and why."""

    sets: int
    named: int
    texts: int
    models: tuple[AttributionModel, ...]
    left_out: Mapping[str, str]
    power: tuple[AttributionPower, ...]
    prior_unknown: float
    notes: tuple[str, ...]
    provenance: Provenance | None = None


@dataclass(frozen=True)
class EvidenceFile:
    """The evidence on a pair of models: a JSON document, the same bytes for the same request on the same record."""

    data: bytes

    @cached_property
    def report(self) -> dict[str, Any]:
        """The document as a dict; format "kinprint-evidence"."""
        found: dict[str, Any] = json.loads(self.data)
        return found

    def save(self, path: str | Path) -> None:
        """Write the document to a file, which appears when it is complete."""
        write_whole(path, self.data)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The models of a corpus in a tree.

    `scores` is square, float64, in the order of `models` (NaN: not comparable); `order` names the leaves from one side
    of the tree to the other, as positions in `models`; `merges` are the joins as SciPy's linkage has them, float64.
    """

    models: tuple[str, ...]
    scores: Matrix
    newick: str
    order: tuple[int, ...]
    merges: Matrix
    cautions: tuple[str, ...] = field(default=())
    provenance: Provenance | None = None
