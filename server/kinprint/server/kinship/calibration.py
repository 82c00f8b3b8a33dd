"""Calibration: what a score means at one number of prompts.

From cross-fitted scores of pairs whose relation is known come the null distribution, log-likelihood ratios by ridge
logistic regression on asinh(score / 3), the score from which a verdict is given, and the power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from kinprint.server.kinship import checked
from kinprint.server.kinship.labels import Labels
from kinprint.server.statistics import cllr, cllr_min
from numpy.typing import NDArray

#: Numbers of prompts that a calibration is fitted for, and the whole set.
SIZES = (10, 25, 50, 100, 200, 400, 800, 1600)
#: A verdict needs a score so many times the largest of the clean pairs.
MARGIN = 1.3
#: log10 of the likelihood ratio, derived against other kin, from which a verdict says `derived` rather than `kin`.
DERIVED_LR = 0.5
#: Values of a null that are stored; more are thinned to quantiles below the largest `NULL_TAIL`.
NULL_VALUES, NULL_TAIL = 4_000, 2_000


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a score means at one number of prompts.

    null, derived and kin are scores of pairs, ascending, all draws pooled (null thinned when there are many, with
    `null_count` clean pairs behind it).  `curve` and `kin_curve` are (intercept, slope) of natural log-likelihood
    ratios on asinh(score / 3): derived against unrelated, and derived against other kin.
    """

    prompts: int
    draws: int
    curve: tuple[float, float]
    kin_curve: tuple[float, float] | None
    log10_lr_min: float
    log10_lr_max: float
    threshold: float
    null: NDArray[np.float64]
    null_weight: NDArray[np.float64]
    null_count: int
    derived: NDArray[np.float64]
    kin: NDArray[np.float64]
    cllr: float
    cllr_min: float
    tpr: dict[str, float | None]
    power: dict[str, float]

    def log10_lr(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derived against unrelated, base 10, within the validated range; NaN where the score is."""
        raw = (self.curve[0] + self.curve[1] * transform(score)) / math.log(10)
        return np.asarray(np.clip(raw, self.log10_lr_min, self.log10_lr_max))

    def p_value(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of clean pairs that score at least as high, counting this one: never below 1 / (K + 1)."""
        tail = np.concatenate((np.cumsum(self.null_weight[::-1])[::-1], [0.0]))
        above = tail[np.searchsorted(self.null, score, "left")]
        p = (1.0 + self.null_count * np.minimum(above, 1.0)) / (1.0 + self.null_count)
        return np.where(np.isnan(score), np.nan, p)

    @property
    def p_floor(self) -> float:
        """1 / (K + 1)."""
        return 1.0 / (1.0 + self.null_count)

    def is_derived(self, score: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a score is `DERIVED_LR` orders of magnitude more likely of derived pairs than of other kin."""
        if self.kin_curve is None:
            return np.ones_like(score, np.bool_)
        return np.asarray(self.kin_curve[0] + self.kin_curve[1] * transform(score) >= DERIVED_LR * math.log(10))

    def as_json(self) -> dict[str, Any]:
        """As a panel's bytes hold it."""
        return {
            "prompts": self.prompts,
            "draws": self.draws,
            "curve": {"intercept": self.curve[0], "slope": self.curve[1]},
            "kin_curve": (
                None if self.kin_curve is None else {"intercept": self.kin_curve[0], "slope": self.kin_curve[1]}
            ),
            "log10_lr_min": self.log10_lr_min,
            "log10_lr_max": self.log10_lr_max,
            "threshold": self.threshold,
            "null": _rounded(self.null),
            "null_weight": [float(w) for w in self.null_weight] if len(np.unique(self.null_weight)) > 1 else None,
            "null_count": self.null_count,
            "derived": _rounded(self.derived),
            "kin": _rounded(self.kin),
            "cllr": self.cllr,
            "cllr_min": self.cllr_min,
            "tpr": self.tpr,
            "power": self.power,
        }

    @classmethod
    def of_json(cls, c: dict[str, Any]) -> Calibration:
        """From what `as_json` made.  Raises LookupError, TypeError or ValueError for anything else."""
        null = checked.ascending(c["null"], "null")
        if len(null) == 0:
            raise ValueError("null is empty")
        weight = c["null_weight"]
        low, high = checked.number(c["log10_lr_min"], "log10_lr_min"), checked.number(c["log10_lr_max"], "log10_lr_max")
        if low > high:
            raise ValueError("log10_lr_min lies above log10_lr_max")
        return cls(
            prompts=checked.whole(c["prompts"], "prompts", 1),
            draws=checked.whole(c["draws"], "draws", 1),
            curve=_curve(c["curve"], "curve"),
            kin_curve=checked.optional(c["kin_curve"], "kin_curve", _curve),
            log10_lr_min=low,
            log10_lr_max=high,
            threshold=checked.number(c["threshold"], "threshold"),
            null=null,
            null_weight=(
                np.full(len(null), 1 / len(null))
                if weight is None
                else checked.shares(weight, "null_weight", len(null))
            ),
            null_count=checked.whole(c["null_count"], "null_count", 1),
            derived=checked.ascending(c["derived"], "derived"),
            kin=checked.ascending(c["kin"], "kin"),
            cllr=checked.number(c["cllr"], "cllr"),
            cllr_min=checked.number(c["cllr_min"], "cllr_min"),
            tpr=checked.mapped(c["tpr"], "tpr", lambda value, name: checked.optional(value, name, checked.share)),
            power=checked.mapped(c["power"], "power", checked.share),
        )


def _curve(value: Any, name: str) -> tuple[float, float]:
    return checked.number(value["intercept"], f"{name}.intercept"), checked.number(value["slope"], f"{name}.slope")


def transform(score: Any) -> Any:
    """asinh(score / 3): scores of kin are heavy-tailed."""
    return np.arcsinh(np.asarray(score, np.float64) / 3.0)


def calibrate(
    z: NDArray[np.float64], labels: Labels, prompts: int, *, use: NDArray[np.bool_] | None = None
) -> Calibration | None:
    """Fit one calibration from scores float64[draws, n, n]; None without scores of both kinds.

    `use` bool[n, n] restricts it to some pairs: what is fitted on part of the families can be tried on the others.
    """
    upper = np.triu(np.ones(z.shape[1:], np.bool_), 1)
    if use is not None:
        upper &= use
    derived_mask = labels.derived if labels.derived.any() else closest(z.mean(0), labels)

    def pooled(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = z[:, upper & mask].ravel()
        return values[np.isfinite(values)]

    null, derived = pooled(labels.unrelated), pooled(derived_mask)
    others = pooled(labels.kin & ~derived_mask)
    clean = int((upper & labels.unrelated & np.isfinite(z).all(0)).sum())
    positives = int((upper & derived_mask).sum())
    if len(null) < 2 or len(derived) < 2 or clean == 0:
        return None
    curve = _logistic(derived, null)
    kin_curve = _logistic(derived, others) if len(others) >= 2 else None
    high = math.log10(clean + 1)
    low = -math.log10(positives + 1)
    threshold = MARGIN * max(float(null.max()), 1.0)
    lr_derived, lr_null = (
        np.clip(curve[0] + curve[1] * transform(v), low * math.log(10), high * math.log(10)) for v in (derived, null)
    )
    least_cost = cllr_min(derived, null)
    null = np.sort(null)
    weight = np.full(len(null), 1 / len(null))
    if len(null) > NULL_VALUES:
        low_part, tail = null[:-NULL_TAIL], null[-NULL_TAIL:]
        groups = NULL_VALUES - NULL_TAIL
        # The upper end of each group: thinning may only make a p-value larger.
        ends = np.ceil(np.arange(1, groups + 1) * len(low_part) / groups).astype(np.int64)
        weight = np.concatenate((np.diff(np.concatenate(([0], ends))), np.ones(NULL_TAIL))) / len(null)
        null = np.concatenate((low_part[ends - 1], tail))
    return Calibration(
        prompts=prompts,
        draws=len(z),
        curve=curve,
        kin_curve=kin_curve,
        log10_lr_min=low,
        log10_lr_max=high,
        threshold=threshold,
        null=np.round(null, 4),
        null_weight=weight,
        null_count=clean,
        derived=np.round(np.sort(derived), 4).astype(np.float64),
        kin=np.round(np.sort(others), 4).astype(np.float64),
        cllr=cllr(lr_derived, lr_null),
        cllr_min=least_cost,
        tpr={str(a): _tpr(derived, null, weight, a, clean) for a in (0.01, 0.001)},
        power={
            "derived": float((derived >= threshold).mean()),
            "kin": float((np.concatenate((derived, others)) >= threshold).mean()),
        },
    )


def closest(z: NDArray[np.float64], labels: Labels) -> NDArray[np.bool_]:
    """The closer half of each family's pairs, bool[n, n]: they stand in for derived pairs where none are named."""
    out = np.zeros_like(labels.kin)
    for f in np.unique(labels.family):
        members = np.flatnonzero(labels.family == f)
        pairs = [(i, j) for k, i in enumerate(members) for j in members[:k] if np.isfinite(z[i, j])]
        pairs.sort(key=lambda p: -z[p])
        for i, j in pairs[: (len(pairs) + 1) // 2]:
            out[i, j] = out[j, i] = True
    return out


def _tpr(
    positive: NDArray[np.float64], null: NDArray[np.float64], weight: NDArray[np.float64], rate: float, clean: int
) -> float | None:
    """Share of positives above the score that a share `rate` of the null exceeds; None below the floor."""
    if rate < 1 / (clean + 1):
        return None
    above = np.cumsum(weight[::-1])[::-1]
    kept = null[above > rate + 1e-12]
    return float((positive > (kept.max() if len(kept) else null.min())).mean())


def _logistic(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[float, float]:
    """(intercept, slope) of the log odds at equal prior on asinh(score / 3), ridge."""
    from sklearn.linear_model import LogisticRegression

    x = transform(np.concatenate((positive, negative)))[:, None]
    y = np.concatenate((np.ones(len(positive)), np.zeros(len(negative))))
    model = LogisticRegression(C=10.0, class_weight="balanced").fit(x, y)
    return round(float(model.intercept_[0]), 6), round(max(0.0, float(model.coef_[0, 0])), 6)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in np.round(values, 4)]
