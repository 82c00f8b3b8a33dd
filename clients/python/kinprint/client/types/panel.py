"""Panels: the background that makes a score mean something, as a file and as what it holds.

Names and meanings are those of `proto/kinprint/v1/lineage.proto`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from kinprint.client.errors import FailedPreconditionError, InvalidArgumentError
from kinprint.client.files.whole import write_whole

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
