"""What the calls of the lineage service take and return: frozen dataclasses, and the files they make.

Names and meanings are those of `proto/kinprint/v1/lineage.proto`; `None` stands for "none" wherever the contract has
NaN or leaves a field out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from kinprint.client.errors import FailedPreconditionError, InvalidArgumentError
from kinprint.client.types import Matrix

Verdict = Literal["derived", "kin", "unresolved", "no_background"]
Basis = Literal["matched", "bridged", "none"]

PANEL_BYTES = 2 << 20
"""Most bytes of a panel."""
PANEL_FORMAT = "kinprint-panel"
PANEL_VERSION = 1
"""Newest version of panels that this client can describe."""


@dataclass(frozen=True, slots=True)
class PanelMember:
    """A model of a background, its family, and tags of what it shares with models of other families."""

    model: str
    family: str
    shares_with: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PanelEdge:
    """A relation that is known beforehand: `model` came from `related_to` (fine_tune, prompt_variant, ...)."""

    model: str
    related_to: str
    relation: str


@dataclass(frozen=True, slots=True)
class PanelSize:
    """What a background tells of pairs with so many prompts in common.

    A verdict is given from the score `threshold` on, which `power_derived` of the derived pairs and `power_kin` of all
    pairs of one family reach. `rates` holds the share of derived pairs found (None: too few pairs to tell) by share of
    unrelated pairs found with them.
    """

    prompts: int
    draws: int
    null_pairs: int
    log10_lr_min: float
    log10_lr_max: float
    threshold: float
    cllr: float
    cllr_min: float
    power_derived: float
    power_kin: float
    rates: Mapping[float, float | None]


@dataclass(frozen=True, slots=True)
class PanelSuspect:
    """A pair that was given as unrelated and scores as kin do."""

    model_a: str
    model_b: str
    score: float


@dataclass(frozen=True, slots=True)
class PanelSummary:
    """What a panel holds; `independent_families` is what its p-values count.

    `suspects` were given as unrelated and score as kin do: what they share may be missing from the list of families.
    """

    digest: str
    version: int
    kinprint: str
    scheme: str
    corpus: str
    members: tuple[PanelMember, ...]
    families: int
    independent_families: int
    prompts: int
    unrelated_pairs: int
    kin_pairs: int
    derived_pairs: int
    derived_from: str
    sizes: tuple[PanelSize, ...]
    bridged: PanelSize | None
    suspects: tuple[PanelSuspect, ...]
    cautions: tuple[str, ...]


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file, which appears under its name when it is complete."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()


@dataclass(frozen=True)
class PanelFile:
    """A panel, as `fit_panel` makes it and the other calls take it: JSON that is a file of its own."""

    data: bytes

    @cached_property
    def contents(self) -> dict[str, Any]:
        """The JSON object.

        Raises:
            InvalidArgumentError: this is no panel, or one that was changed (reason PANEL_DAMAGED).
            FailedPreconditionError: a newer version of Kinprint made it (reason FORMAT_TOO_NEW).
        """
        try:
            found = json.loads(self.data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("format") != PANEL_FORMAT:
            raise InvalidArgumentError("this is no Kinprint panel", reason="PANEL_DAMAGED")
        version = found.get("version")
        if not isinstance(version, int):
            raise InvalidArgumentError("the panel names no version", reason="PANEL_DAMAGED")
        if version > PANEL_VERSION:
            raise FailedPreconditionError(
                f"the panel has version {version} of the format, made by Kinprint {found.get('kinprint', '?')}; "
                f"this one knows version {PANEL_VERSION}: use the newer one",
                reason="FORMAT_TOO_NEW",
            )
        if found.get("digest") != _digest({name: found[name] for name in found if name != "digest"}):
            raise InvalidArgumentError(
                "the panel was changed or is not whole: its digest does not match", reason="PANEL_DAMAGED"
            )
        return found

    @cached_property
    def summary(self) -> PanelSummary:
        """What the panel holds, read without a server.

        Raises:
            InvalidArgumentError: this is no panel, or one that was changed (reason PANEL_DAMAGED).
            FailedPreconditionError: a newer version of Kinprint made it (reason FORMAT_TOO_NEW).
        """
        contents = self.contents
        try:
            return _summary(contents)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgumentError(f"the panel is damaged ({error!r})", reason="PANEL_DAMAGED") from None

    def save(self, path: str | Path) -> None:
        """Write the panel to a file, which appears when it is complete."""
        write_whole(path, self.data)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a panel from a file.

        Raises:
            OSError: it cannot be read.
            InvalidArgumentError: it is no panel (reason PANEL_DAMAGED).
            FailedPreconditionError: a newer version of Kinprint made it (reason FORMAT_TOO_NEW).
        """
        path = Path(path)
        with path.open("rb") as stream:
            panel = cls(stream.read(PANEL_BYTES + 1))
        if len(panel.data) > PANEL_BYTES:
            raise InvalidArgumentError(f"{path} is too large for a Kinprint panel", reason="PANEL_DAMAGED")
        try:
            _ = panel.summary
        except (InvalidArgumentError, FailedPreconditionError) as error:
            raise type(error)(f"{path}: {error.message}", reason=error.reason) from None
        return panel


PanelSource = PanelFile | bytes | str | Path
"""A panel as calls take it: from `fit_panel`, its bytes, or the path of its file."""


def _digest(panel: Mapping[str, Any]) -> str:
    """SHA-256 of a panel without its digest, in the form that panels are written in."""
    text = json.dumps(panel, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass") + b"\n").hexdigest()


def _summary(panel: Mapping[str, Any]) -> PanelSummary:
    scheme, pairs, bridged = panel["scheme"], panel["pairs"], panel.get("bridged")
    return PanelSummary(
        digest=panel["digest"],
        version=panel["version"],
        kinprint=panel["kinprint"],
        scheme=f"{scheme['name']}/{scheme['version']}",
        corpus=panel["corpus"],
        members=tuple(PanelMember(m["model"], m["family"], tuple(m["shares_with"])) for m in panel["members"]),
        families=panel["families"],
        independent_families=panel["independent_families"],
        prompts=panel["prompts"]["count"],
        unrelated_pairs=pairs["unrelated"],
        kin_pairs=pairs["kin"],
        derived_pairs=pairs["derived"],
        derived_from=panel["derived_from"],
        sizes=tuple(_size(size) for size in panel["sizes"]),
        bridged=None if bridged is None else _size(bridged),
        suspects=tuple(PanelSuspect(*suspect) for suspect in panel["suspects"]),
        cautions=tuple(panel["cautions"]),
    )


def _size(size: Mapping[str, Any]) -> PanelSize:
    return PanelSize(
        prompts=size["prompts"],
        draws=size["draws"],
        null_pairs=size["null_count"],
        log10_lr_min=size["log10_lr_min"],
        log10_lr_max=size["log10_lr_max"],
        threshold=size["threshold"],
        cllr=size["cllr"],
        cllr_min=size["cllr_min"],
        power_derived=size["power"]["derived"],
        power_kin=size["power"]["kin"],
        rates={float(rate): share for rate, share in sorted(size["tpr"].items(), key=lambda item: float(item[0]))},
    )


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


@dataclass(frozen=True)
class EvidenceFile:
    """The evidence on a pair of models: a JSON document, the same bytes for the same request on the same rows."""

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
