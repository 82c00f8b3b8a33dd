"""Panels: a background population of models, and what their scores say about the score of a pair.

A panel is data: models of known families that answered the prompts of a corpus.  `fit` scores every pair of its members
as if both were unknown: the families are split into folds, and a pair of two folds is normalised by members of the
other folds alone (cross-fitting).  Pairs of families that share nothing give the null, pairs of one family the
positives.  Done for random subsets of the prompts, this gives for each number of prompts

- the null distribution of the score, hence empirical p-values, never below 1 / (K + 1) over K clean pairs;
- log-likelihood ratios by ridge logistic regression on asinh(score / 3) with equal weight of both classes (Brummer and
  du Preez 2006), bounded by what so many pairs can show (after Vergeer et al. 2016);
- the score from which a verdict is given, above every clean pair of the background;
- the power: the share of derived and of kin pairs that reach it; and Cllr, the cost of the likelihood ratios.

Tests of a pair by its prompts (t-tests, permutations within prompts) are no alternative: unrelated models are not
exchangeable, and such tests are wrong by an order of magnitude.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import PanelDamaged, PanelOtherPipeline, PanelTooNew, PanelUnfit
from kinprint.server.kinship import scores
from kinprint.server.kinship.answers import Answers, gather
from kinprint.server.progress import Progress, result_of
from numpy.typing import NDArray

FORMAT = "kinprint-panel"
VERSION = 1
#: Numbers of prompts that a calibration is fitted for, and the whole set.
SIZES = (10, 25, 50, 100, 200, 400, 800, 1600)
#: Independent draws of prompts per size, where there are enough prompts.
DRAWS = 8
FOLDS = 10
#: Families below which no p-value is given, and no panel is fitted.
P_FAMILIES = 20
LEAST_FAMILIES = 4
LEAST_MODELS = 8
#: Fewer derived pairs than this are pointed out.
FEW_DERIVED = 10
#: A verdict needs a score so many times the largest of the clean pairs.
MARGIN = 1.3
#: log10 of the likelihood ratio, derived against other kin, from which a verdict says `derived` rather than `kin`.
DERIVED_LR = 0.5
#: Relations of a lineage that make a pair derived.
DERIVED = ("fine_tune", "prompt_variant", "best_of_n", "rewriter")
#: Relation of a lineage that makes a pair kin without making it derived.
KIN_RELATION = "kin"
#: A member with this tag mixes models and makes no clean pair.
ENSEMBLE = "ensemble"
#: Values of a null that are stored; more are thinned to quantiles below the largest `NULL_TAIL`.
NULL_VALUES, NULL_TAIL = 4_000, 2_000
#: Suspect pairs that a panel lists.
SUSPECTS = 50
#: Bytes of inner products that a fit holds.
FIT_BYTES = 3 << 29


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the background, its family, and all that it may share with models of other families."""

    model: str
    family: str
    shares_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A known relation between two models."""

    model: str
    related_to: str
    relation: str


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
            return cls(
                corpus=document["corpus"],
                members=tuple(Member(m["model"], m["family"], tuple(m["shares_with"])) for m in document["members"]),
                families=document["families"],
                independent_families=document["independent_families"],
                prompts=tuple(document["prompts"]["keys"]),
                pairs=document["pairs"],
                derived_from=document["derived_from"],
                sizes=tuple(_read_calibration(c) for c in document["sizes"]),
                bridged=None if document["bridged"] is None else _read_calibration(document["bridged"]),
                suspects=tuple((a, b, s) for a, b, s in document["suspects"]),
                cautions=tuple(document["cautions"]),
                parameters=document["parameters"],
                kinprint=document["kinprint"],
            )
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
            "sizes": [_calibration(c) for c in self.sizes],
            "bridged": None if self.bridged is None else _calibration(self.bridged),
            "suspects": [list(s) for s in self.suspects],
            "cautions": list(self.cautions),
            "parameters": self.parameters,
        }


def scheme() -> dict[str, Any]:
    """What the scores are made of."""
    return {
        "name": residual.SCHEME,
        "version": residual.VERSION,
        "families": list(residual.FAMILIES),
        "window": residual.WINDOW,
    }


def transform(score: Any) -> Any:
    """asinh(score / 3): scores of kin are heavy-tailed."""
    return np.arcsinh(np.asarray(score, np.float64) / 3.0)


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


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(v) for v in np.round(values, 4)]


def _calibration(c: Calibration) -> dict[str, Any]:
    return {
        "prompts": c.prompts,
        "draws": c.draws,
        "curve": {"intercept": c.curve[0], "slope": c.curve[1]},
        "kin_curve": None if c.kin_curve is None else {"intercept": c.kin_curve[0], "slope": c.kin_curve[1]},
        "log10_lr_min": c.log10_lr_min,
        "log10_lr_max": c.log10_lr_max,
        "threshold": c.threshold,
        "null": _rounded(c.null),
        "null_weight": [float(w) for w in c.null_weight] if len(np.unique(c.null_weight)) > 1 else None,
        "null_count": c.null_count,
        "derived": _rounded(c.derived),
        "kin": _rounded(c.kin),
        "cllr": c.cllr,
        "cllr_min": c.cllr_min,
        "tpr": c.tpr,
        "power": c.power,
    }


def _read_calibration(c: dict[str, Any]) -> Calibration:
    null = np.array(c["null"], np.float64)
    return Calibration(
        prompts=c["prompts"],
        draws=c["draws"],
        curve=(c["curve"]["intercept"], c["curve"]["slope"]),
        kin_curve=None if c["kin_curve"] is None else (c["kin_curve"]["intercept"], c["kin_curve"]["slope"]),
        log10_lr_min=c["log10_lr_min"],
        log10_lr_max=c["log10_lr_max"],
        threshold=c["threshold"],
        null=null,
        null_weight=np.full(len(null), 1 / len(null)) if c["null_weight"] is None else np.array(c["null_weight"]),
        null_count=c["null_count"],
        derived=np.array(c["derived"], np.float64),
        kin=np.array(c["kin"], np.float64),
        cllr=c["cllr"],
        cllr_min=c["cllr_min"],
        tpr=c["tpr"],
        power=c["power"],
    )


# ---- fitting ----


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of the pairs of members, bool[n, n] each, symmetric, nothing on the diagonal."""

    unrelated: NDArray[np.bool_]
    kin: NDArray[np.bool_]
    derived: NDArray[np.bool_]
    family: NDArray[np.int64]


def label(models: Sequence[str], members: Sequence[Member], edges: Sequence[Edge] = ()) -> Labels:
    """Label the pairs of `models`, all of which are members.

    Unrelated: of two families, without a common tag, neither an ensemble, and not joined by an edge of any relation.
    Kin: of one family, or joined by an edge of the relation `kin` or of one of `DERIVED`.  Derived: joined by one of
    `DERIVED`.
    """
    by_name = {m.model: m for m in members}
    chosen = [by_name[m] for m in models]
    names = sorted({m.family for m in chosen})
    family = np.array([names.index(m.family) for m in chosen], np.int64)
    tags = [frozenset(m.shares_with) for m in chosen]
    n = len(models)
    unrelated = np.zeros((n, n), np.bool_)
    for i in range(n):
        for j in range(i):
            clean = family[i] != family[j] and not tags[i] & tags[j] and ENSEMBLE not in tags[i] | tags[j]
            unrelated[i, j] = unrelated[j, i] = clean
    kin = family[:, None] == family[None, :]
    np.fill_diagonal(kin, False)
    derived = np.zeros((n, n), np.bool_)
    related = np.zeros((n, n), np.bool_)
    position = {m: i for i, m in enumerate(models)}
    for edge in edges:
        for other in edge.related_to.split(";"):
            if edge.model in position and other.strip() in position and edge.model != other.strip():
                i, j = position[edge.model], position[other.strip()]
                related[i, j] = related[j, i] = True
                if edge.relation in DERIVED:
                    derived[i, j] = derived[j, i] = True
                if edge.relation in (*DERIVED, KIN_RELATION):
                    kin[i, j] = kin[j, i] = True
    return Labels(unrelated & ~kin & ~related, kin, derived, family)


def folds_of(family: NDArray[np.int64], seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Fold of each model; a family stays together, and folds hold about equally many models."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(family)
    fold_of_family = np.zeros(len(sizes), np.int64)
    load = np.zeros(min(folds, len(sizes)), np.int64)
    for f in sorted(rng.permutation(len(sizes)).tolist(), key=lambda f: -int(sizes[f])):
        fold_of_family[f] = int(np.argmin(load))
        load[fold_of_family[f]] += sizes[f]
    return np.asarray(fold_of_family[family])


def independent(family: NDArray[np.int64], unrelated: NDArray[np.bool_]) -> int:
    """Families of a set in which every two are clean of each other (found greedily, so at least so many exist)."""
    count = int(family.max()) + 1 if len(family) else 0
    clean = np.zeros((count, count), np.bool_)
    for a in range(count):
        for b in range(count):
            clean[a, b] = a != b and bool(unrelated[np.ix_(family == a, family == b)].all())
    chosen: list[int] = []
    for f in sorted(range(count), key=lambda f: -int(clean[f].sum())):
        if all(clean[f, c] for c in chosen):
            chosen.append(f)
    return len(chosen)


def cross_fitted(
    grams: residual.Grams, fold: NDArray[np.int64], cancelled: Callable[[], bool] = lambda: False
) -> NDArray[np.float64]:
    """Scores of all pairs, each with a cohort without either model's fold, float64[n, n]; NaN where there is none.

    All models take part in what a prompt's answers have in common, as every model of a corpus does when it is scored:
    that needs no labels, and members are treated as others are.
    """
    n = len(fold)
    sums, _ = residual.accumulate(grams, np.ones(n, np.bool_))
    return without_folds(sums.mean(), sums.shared, fold, np.ones(n, np.bool_), cancelled, noise=False)


def without_folds(
    mean: NDArray[np.float64],
    shared: NDArray[np.int64],
    fold: NDArray[np.int64],
    members: NDArray[np.bool_],
    cancelled: Callable[[], bool] = lambda: False,
    *,
    noise: bool = True,
) -> NDArray[np.float64]:
    """Scores of all pairs, normalised by the members (bool[n]) that are in neither model's fold, float64[n, n]."""
    out = np.full((len(fold), len(fold)), np.nan)
    for a, b, cohort, rows in configurations(fold):
        if cancelled():
            break
        place(out, scores.normalise(mean, shared, cohort & members, rows, noise=noise), fold, a, b)
    return out


def cross_fitted_bridge(
    left: residual.Grams,
    right: residual.Grams,
    fold: NDArray[np.int64],
    cancelled: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64]:
    """As `cross_fitted`, for pairs that share no prompts: one model seen on `left`, the other on `right`."""
    n = len(fold)
    everyone = np.ones(n, np.bool_)
    one, _ = residual.accumulate(left, everyone)
    two, _ = residual.accumulate(right, everyone)
    both = residual.merge(one, two)
    out = np.full((n, n), np.nan)
    for a, b, cohort, rows in configurations(fold):
        if cancelled():
            break
        z = bridged(one, two, both, cohort, rows)
        place(out, 0.5 * (z + z.T), fold, a, b)
    return out


def bridged(
    one: residual.Sums, two: residual.Sums, panel: residual.Sums, cohort: NDArray[np.bool_], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Normalised bridged scores of the models `rows`, float64[n, n], NaN elsewhere.

    Row i is as seen in `one`, column j as in `two`, the models of the cohort (bool[n], none of them among `rows`) as in
    `panel`.
    """
    own = np.flatnonzero(cohort)
    index = np.flatnonzero(rows)
    column = np.full(len(cohort), -1, np.int64)
    column[own] = np.arange(len(own))

    def profile(sums: residual.Sums, of: NDArray[np.int64]) -> scores.Profile:
        known = (sums.shared >= scores.MIN_PROMPTS)[np.ix_(of, own)]
        inside = np.flatnonzero(column[of] >= 0)
        known[inside, column[of][inside]] = False
        return scores.profile(sums.mean()[:, of][:, :, own], known)

    # Columns are standardised over all models, those of the cohort over the cohort.
    everyone = np.arange(len(cohort))
    sides = [profile(sums, everyone).take(index) for sums in (one, two)]
    others = profile(panel, own)
    cross = scores.bridge(sides[0], sides[1])
    to_cohort = [scores.bridge(side, others) for side in sides]
    total = np.zeros(cross.shape[1:])
    for f in range(len(cross)):
        for axis, side in enumerate(to_cohort):
            mu, variance = (np.expand_dims(v, 1 - axis) for v in scores.trimmed(side[f]))
            total += 0.5 * (cross[f] - mu) / np.sqrt(np.where(variance > 0, variance, np.inf))
    out = np.full((len(cohort), len(cohort)), np.nan)
    out[np.ix_(index, index)] = total / len(cross)
    return out


def configurations(fold: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """(a, b, cohort, rows) for every two folds: rows are of a or b, the cohort of neither, bool[n] each."""
    for a in range(int(fold.max()) + 1):
        for b in range(a, int(fold.max()) + 1):
            rows = (fold == a) | (fold == b)
            yield a, b, ~rows, rows


def place(out: NDArray[np.float64], z: NDArray[np.float64], fold: NDArray[np.int64], a: int, b: int) -> None:
    """Copy the scores between folds a and b from `z` to `out`."""
    for x, y in ((a, b), (b, a)):
        cells = np.ix_(fold == x, fold == y)
        out[cells] = z[cells]


@dataclass(frozen=True, eq=False)
class Draws:
    """Cross-fitted scores of the members' pairs: for each number of prompts, float64[draws, n, n]."""

    sizes: dict[int, NDArray[np.float64]]
    bridged: NDArray[np.float64] | None


def fitted_prompts(models: int) -> int:
    """Most prompts that a fit on so many models uses; of more, some are drawn."""
    return max(1, FIT_BYTES // (len(residual.FAMILIES) * models * models * 4))


def draw(
    answers: Answers, fold: NDArray[np.int64], seed: int, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Progress | Draws]:
    """Score all pairs of the members on random subsets of the prompts."""
    n, prompts = len(answers.models), len(answers.prompts)
    order = np.random.default_rng(seed).permutation(prompts)
    chosen = answers.subset(order[: fitted_prompts(n)])
    grams, present = [], []
    for share, block in scores.blocks(chosen):
        if cancelled():
            return
        grams.append(block.gram)
        present.append(block.present)
        yield Progress("comparing answers", 0.3 * share)
    everything = residual.Grams(np.concatenate(grams), np.concatenate(present))
    prompts = len(chosen.prompts)
    # A size close to all prompts would be fitted on nearly the same scores twice.
    smaller = [s for s in SIZES if s < prompts and (s == SIZES[0] or 1.25 * s <= prompts)]
    plan = [(s, k) for s in (*smaller, prompts) for k in range(min(DRAWS, prompts // s))]
    work = sum(s for s, _ in plan) + 2 * prompts
    done = 0
    sizes: dict[int, list[NDArray[np.float64]]] = {}
    for size, k in plan:
        some = slice(k * size, (k + 1) * size)
        part = residual.Grams(everything.gram[some], everything.present[some])
        sizes.setdefault(size, []).append(cross_fitted(part, fold, cancelled))
        if cancelled():
            return
        done += size
        yield Progress(f"cross-fitting the background, {size} prompts", 0.3 + 0.7 * done / work)
    half = prompts // 2
    across = None
    if half >= SIZES[0] and n >= LEAST_MODELS:
        left, right = (
            residual.Grams(everything.gram[s], everything.present[s]) for s in (slice(half), slice(half, 2 * half))
        )
        across = cross_fitted_bridge(left, right, fold, cancelled)
        if cancelled():
            return
    yield Progress("fitting", 1.0)
    yield Draws({size: np.stack(found) for size, found in sizes.items()}, across)


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


def cllr(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Cost of natural log-likelihood ratios in bits (Brummer and du Preez 2006): 0 is perfect, 1 says nothing."""
    return float(0.5 * (np.logaddexp(0, -positive).mean() + np.logaddexp(0, negative).mean()) / math.log(2))


def cllr_min(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Cllr after the best monotone recalibration (pool adjacent violators)."""
    from sklearn.isotonic import IsotonicRegression

    x = np.concatenate((positive, negative))
    y = np.concatenate((np.ones(len(positive)), np.zeros(len(negative))))
    weight = np.where(y == 1, 0.5 / len(positive), 0.5 / len(negative))
    p = np.clip(IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=weight).predict(x), 1e-6, 1 - 1e-6)
    log_odds = np.log(p / (1 - p))
    return cllr(log_odds[y == 1], log_odds[y == 0])


def fit(
    view: View,
    members: Sequence[Member],
    edges: Sequence[Edge] = (),
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Panel]:
    """Fit a panel on the answers of a corpus; the `Panel` comes last.  Raises PanelUnfit."""
    yield Progress("gathering answers", 0.0)
    answers, _ = gather(view, rows, cancelled)
    if cancelled():
        return
    yield from fit_answers(answers, members, edges, view.corpus, seed, cancelled)


def fit_answers(
    answers: Answers,
    members: Sequence[Member],
    edges: Sequence[Edge] = (),
    corpus: str = "",
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Panel]:
    """As `fit`, on answers that are gathered already."""
    different: dict[str, Member] = {}
    for member in members:
        known = different.setdefault(member.model, member)
        if known.family != member.family:
            raise PanelUnfit(f"model {member.model!r} is in two families: {known.family!r} and {member.family!r}")
    present = [m for m in answers.models if m in different]
    missing = sorted(set(different) - set(present))
    few = answers.among(present).present.sum(0) if present else np.zeros(0)
    present = [m for m, count in zip(present, few, strict=True) if count >= SIZES[0]]
    thin = len(few) - len(present)
    families = {different[m].family for m in present}
    if len(present) < LEAST_MODELS or len(families) < LEAST_FAMILIES:
        raise PanelUnfit(
            f"{len(present)} members of {len(families)} families answered {SIZES[0]} prompts or more here "
            f"({len(missing)} named members have no answers); a background needs at least {LEAST_MODELS} models of "
            f"{LEAST_FAMILIES} families, and {P_FAMILIES} families before it gives p-values"
        )
    own = answers.among(present)
    asked = np.flatnonzero(np.diff(own.starts) >= max(3, len(present) // 4))
    own = own.subset(asked)
    if len(own.prompts) < SIZES[0]:
        raise PanelUnfit(
            f"only {len(own.prompts)} prompts were answered by a quarter of the members; at least {SIZES[0]} are needed"
        )
    labels = label(own.models, members, edges)
    fold = folds_of(labels.family, seed)
    if not labels.unrelated.any() or not labels.kin.any():
        what = "no two members are unrelated" if labels.kin.any() else "no family has two members"
        raise PanelUnfit(f"{what}: there is nothing to fit; check the columns family and shares_with")
    draws = yield from result_of(draw(own, fold, seed, cancelled))
    if draws is None:
        return
    fitted = tuple(c for s, z in draws.sizes.items() if (c := calibrate(z, labels, s)) is not None)
    if not fitted:
        raise PanelUnfit(
            "too few pairs have scores: the members answered too few prompts in common, or a single pair is named as "
            "derived"
        )
    across = None if draws.bridged is None else calibrate(draws.bridged[None], labels, len(own.prompts) // 2)
    named = bool(labels.derived.any())
    final = draws.sizes[max(draws.sizes)].mean(0)
    suspects = _suspects(own.models, final, labels)
    yield Panel(
        corpus=corpus,
        members=tuple(different[m] for m in own.models),
        families=len(families),
        independent_families=independent(labels.family, labels.unrelated),
        prompts=own.prompts,
        pairs={
            name: int(np.triu(mask, 1).sum())
            for name, mask in (("unrelated", labels.unrelated), ("kin", labels.kin), ("derived", labels.derived))
        },
        derived_from="lineage" if named else "closest_same_family",
        sizes=fitted,
        bridged=across,
        suspects=suspects[:SUSPECTS],
        cautions=_cautions(
            different, missing, thin, labels, own.models, len(families), named, suspects, answers, len(own.prompts)
        ),
        parameters={
            "seed": seed,
            "folds": int(fold.max()) + 1,
            "draws": DRAWS,
            "trim": scores.TRIM,
            "margin": MARGIN,
            "transform": "asinh(score/3)",
            "ridge_c": 10.0,
        },
        kinprint=importlib.metadata.version("kinprint"),
    )


def _suspects(models: Sequence[str], z: NDArray[np.float64], labels: Labels) -> tuple[tuple[str, str, float], ...]:
    """Clean pairs that score like the middle of the kin pairs: the list of families may miss what they share."""
    upper = np.triu(np.ones(z.shape, np.bool_), 1)
    kin = z[upper & labels.kin & np.isfinite(z)]
    if len(kin) == 0:
        return ()
    bar = max(float(np.median(kin)), 4.0)
    found = [
        (models[i], models[j], round(float(z[i, j]), 4)) for i, j in np.argwhere(upper & labels.unrelated & (z > bar))
    ]
    return tuple(sorted(found, key=lambda s: (-s[2], s[0], s[1])))


def _cautions(
    named_members: dict[str, Member],
    missing: Sequence[str],
    thin: int,
    labels: Labels,
    models: Sequence[str],
    families: int,
    named: bool,
    suspects: Sequence[tuple[str, str, float]],
    answers: Answers,
    prompts: int,
) -> tuple[str, ...]:
    out = []
    if families < P_FAMILIES:
        out.append(f"{families} families are fewer than {P_FAMILIES}: no p-values are given")
    if not any(m.shares_with for m in named_members.values()):
        out.append(
            "no member names what it shares with others: every two families count as unrelated, though they may share "
            "a base model or training data"
        )
    if not named:
        out.append(
            "no derived pairs were named: the closer half of each family's pairs stands in for them, so a likelihood "
            "ratio weighs closest family members, not proven derivation, against unrelated models"
        )
    count = int(np.triu(labels.derived, 1).sum())
    if named and count < FEW_DERIVED:
        out.append(
            f"only {count} derived pairs were named: likelihood ratios rest on so few, and some sizes may be missing"
        )
    if missing:
        out.append(f"{len(missing)} of the models in the list of families have no answers here: {_some(missing)}")
    if thin:
        out.append(f"{thin} members answered fewer than {SIZES[0]} prompts and were left out")
    if suspects:
        pairs = ", ".join(f"{a} and {b}" for a, b, _ in suspects[:3])
        more = ", ..." if len(suspects) > 3 else ""
        out.append(
            f"{len(suspects)} pairs listed as unrelated score like kin ({pairs}{more}): "
            "they may share a base or data that the list does not name. They stay in the null, which makes p-values "
            "and thresholds cautious"
        )
    if prompts > fitted_prompts(len(models)):
        out.append(f"the fit used {fitted_prompts(len(models)):,} of {prompts:,} prompts, drawn at random")
    mixed = [m for m in models if ENSEMBLE in named_members[m].shares_with]
    if mixed:
        out.append(f"{len(mixed)} members mix several models and make no clean pairs")
    boilerplate = answers.left_out.get("boilerplate", 0)
    if boilerplate:
        out.append(
            f"{boilerplate} answers that give the same words to several prompts (refusals, greetings) were left out"
        )
    return tuple(out)


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
