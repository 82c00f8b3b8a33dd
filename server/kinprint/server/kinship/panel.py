"""Panels: a fitted background, as data, and as the bytes that a caller keeps.

`fit.py` makes one, `judge.py` uses it.  The bytes are canonical JSON with a digest over all the rest; what a newer
Kinprint wrote, or one with other features, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.failures import PanelDamaged, PanelOtherPipeline, PanelTooNew
from kinprint.server.kinship import checked
from kinprint.server.kinship.calibration import Calibration
from kinprint.server.kinship.crossfit import folds_of
from kinprint.server.kinship.labels import Member
from numpy.typing import NDArray

FORMAT = "kinprint-panel"
VERSION = 1
#: Families below which no p-value is given, and no panel is fitted.
P_FAMILIES = 20


@dataclass(frozen=True, eq=False)
class Panel:
    """A fitted background; see the module's text."""

    corpus: str
    members: tuple[Member, ...]
    families: int
    independent_families: int
    prompts: tuple[str, ...]
    pairs: dict[str, int]
    derived_from: str
    sizes: tuple[Calibration, ...]
    bridged: Calibration | None
    suspects: tuple[tuple[str, str, float], ...]
    cautions: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    kinprint: str = ""

    def size_for(self, prompts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Place in `sizes` for so many prompts: of the largest size not above it; -1 below the smallest."""
        return np.searchsorted([c.prompts for c in self.sizes], prompts, "right") - 1

    def calibration(self, prompts: int) -> Calibration | None:
        """The one for so many prompts, as `size_for`; None below the smallest."""
        place = int(self.size_for(np.array(prompts)))
        return self.sizes[place] if place >= 0 else None

    def folds(self, models: Sequence[str]) -> NDArray[np.int64]:
        """Fold of each model as in fitting, int64[n]; models that are no members share one of their own, the last."""
        names = sorted({m.family for m in self.members})
        family = np.array([names.index(m.family) for m in self.members], np.int64)
        fold = folds_of(family, int(self.parameters["seed"]), int(self.parameters["folds"]))
        of_model = {m.model: int(f) for m, f in zip(self.members, fold, strict=True)}
        return np.array([of_model.get(m, int(fold.max()) + 1) for m in models], np.int64)

    @property
    def gives_p(self) -> bool:
        """Whether there are families enough for p-values."""
        return self.families >= P_FAMILIES

    @property
    def digest(self) -> str:
        """SHA-256 over everything but itself, hexadecimal."""
        return _digest(self._document())

    def to_bytes(self) -> bytes:
        """Canonical JSON with a newline at the end."""
        document = self._document()
        return _canonical({**document, "digest": _digest(document)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Panel:
        """Read a panel.  Raises PanelDamaged, PanelTooNew or PanelOtherPipeline."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise ValueError("it is of another format")
            if int(document["version"]) > VERSION:
                raise PanelTooNew(
                    f"the panel has format version {document['version']}, this Kinprint reads up to {VERSION}: "
                    "update Kinprint, or fit the panel again"
                )
            digest = document.pop("digest")
            if digest != _digest(document):
                raise ValueError("its digest does not match its content")
            if document["scheme"] != scheme():
                raise PanelOtherPipeline(
                    f"the panel was fitted with {_named(document['scheme'])}, this Kinprint compares with "
                    f"{_named(scheme())}; scores of the two are on different scales: fit the panel again"
                )
            return _read(document)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise PanelDamaged(f"this is no panel that can be read: {error}; fit it again") from error

    def summary(self) -> dict[str, Any]:
        """The panel without its lists of scores, prompts and members."""
        document = self._document()
        for calibration in [*document["sizes"], *([document["bridged"]] if document["bridged"] else [])]:
            for name in ("null", "null_weight", "derived", "kin"):
                del calibration[name]
        del document["prompts"]["keys"]
        document["members"] = len(self.members)
        return {**document, "digest": self.digest}

    def _document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "kinprint": self.kinprint,
            "scheme": scheme(),
            "corpus": self.corpus,
            "members": [
                {"model": m.model, "family": m.family, "shares_with": list(m.shares_with)} for m in self.members
            ],
            "families": self.families,
            "independent_families": self.independent_families,
            "prompts": {"count": len(self.prompts), "digest": prompts_digest(self.prompts), "keys": list(self.prompts)},
            "pairs": self.pairs,
            "derived_from": self.derived_from,
            "sizes": [c.as_json() for c in self.sizes],
            "bridged": None if self.bridged is None else self.bridged.as_json(),
            "suspects": [list(s) for s in self.suspects],
            "cautions": list(self.cautions),
            "parameters": self.parameters,
        }


def _read(document: dict[str, Any]) -> Panel:
    """The panel of a document.  Raises ValueError, LookupError or TypeError for what no `fit` writes."""
    members = checked.listed(document["members"], "members", _member)
    if not members or len({m.model for m in members}) < len(members):
        raise ValueError("members are none, or not distinct")
    prompts = checked.listed(document["prompts"]["keys"], "prompts", checked.text)
    if len(set(prompts)) < len(prompts):
        raise ValueError("prompts are not distinct")
    sizes = checked.listed(document["sizes"], "sizes", lambda value, _: Calibration.of_json(value))
    if not sizes or any(a.prompts >= b.prompts for a, b in pairwise(sizes)):
        raise ValueError("sizes are none, or do not ascend")
    pairs = checked.mapped(document["pairs"], "pairs", checked.whole)
    parameters = dict(document["parameters"])
    checked.whole(parameters["seed"], "seed", most=2**63 - 1)
    checked.whole(parameters["folds"], "folds", 2, 10_000)
    checked.number(parameters["margin"], "margin", 1e-3, 1e3)
    for name in ("unrelated", "kin", "derived"):
        pairs[name]  # read when a dossier is made
    families = checked.whole(document["families"], "families", 1)
    return Panel(
        corpus=checked.text(document["corpus"], "corpus"),
        members=members,
        families=families,
        independent_families=checked.whole(document["independent_families"], "independent_families", most=families),
        prompts=prompts,
        pairs=pairs,
        derived_from=checked.text(document["derived_from"], "derived_from"),
        sizes=sizes,
        bridged=checked.optional(document["bridged"], "bridged", lambda value, _: Calibration.of_json(value)),
        suspects=checked.listed(document["suspects"], "suspects", _suspect),
        cautions=checked.listed(document["cautions"], "cautions", checked.text),
        parameters=parameters,
        kinprint=checked.text(document["kinprint"], "kinprint"),
    )


def _member(value: Any, name: str) -> Member:
    shared = checked.listed(value["shares_with"], "shares_with", checked.text)
    return Member(checked.text(value["model"], "model"), checked.text(value["family"], "family"), shared)


def _suspect(value: Any, name: str) -> tuple[str, str, float]:
    a, b, score = value
    return checked.text(a, name), checked.text(b, name), checked.number(score, name)


def scheme() -> dict[str, Any]:
    """What the scores are made of."""
    return {
        "name": residual.SCHEME,
        "version": residual.VERSION,
        "families": list(residual.FAMILIES),
        "window": residual.WINDOW,
    }


def prompts_digest(keys: Sequence[str]) -> str:
    """SHA-256 over the sorted prompt keys."""
    return hashlib.sha256(json.dumps(sorted(keys), ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def _named(what: dict[str, Any]) -> str:
    return f"{what.get('name')}/{what.get('version')}"


def _canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()
