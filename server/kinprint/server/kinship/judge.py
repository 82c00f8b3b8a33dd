"""Kinship: a score for every pair of models, and what a background panel lets one say about it.

Without a panel there are scores and nothing else.  With a panel whose members answered the same prompts here, members
are normalised as in fitting (without the folds of both) and other models by all members: likelihood ratios, p-values
and verdicts hold.  Where the members are not here, the models of the corpus itself can be the cohort if they are many:
the panel's curve carries over, its null does not.  Fewer models are no background, and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.batches import Columns
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import ModelNotFound
from kinprint.server.kinship import crossfit, scores
from kinprint.server.kinship.answers import Answers, gather
from kinprint.server.kinship.calibration import SIZES, Calibration
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress, result_of
from numpy.typing import NDArray

DERIVED, KIN, UNRESOLVED, NO_BACKGROUND = "derived", "kin", "unresolved", "no_background"
MATCHED, BRIDGED, NONE = "matched", "bridged", "none"
#: Prompts that two models must share for a claim; with fewer they are compared through the panel, if at all.
LEAST_PROMPTS = SIZES[0]
#: Share of a panel's members, and of its prompts, that must be in a corpus for its null to hold there.
MEMBERS_SHARE, PROMPTS_SHARE = 0.8, 0.5
#: Models that a corpus must have to be its own cohort under a panel fitted elsewhere.
OWN_COHORT = 20
#: Under such a panel the score must be so many times higher for a verdict, and ratios reach half as far.
ELSEWHERE_MARGIN, ELSEWHERE_RANGE = 1.25, 0.5
#: What is not checked when a panel's members are here.
TRUST = (
    "only names of models and prompts are compared: that these are the answers that the panel was fitted on is trusted"
)
#: Pairs of a batch.
BATCH = 50_000


@dataclass(frozen=True, eq=False)
class Pairs(Columns):
    """Pairs, column by column; NaN where there is no number."""

    model_a: list[str]
    model_b: list[str]
    prompts: NDArray[np.int32]
    score: NDArray[np.float64]
    log10_lr: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_floor: NDArray[np.float64]
    verdict: list[str]
    basis: list[str]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run, and what may be said about it."""

    models: int
    prompts: int
    pairs: int
    answers: int
    left_out: dict[str, int]
    families: int
    panel_digest: str
    carries_over: list[str]
    does_not: list[str]
    cautions: list[str]
    matrix_models: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Background:
    """How far a panel reaches in a corpus: `here` (members and prompts are), `elsewhere`, or `none`."""

    kind: str
    carries_over: list[str]
    does_not: list[str]
    cautions: list[str]


@dataclass(frozen=True, eq=False)
class Scored:
    """All pairs of the models of a corpus.

    score float64[n, n] symmetric, NaN where there is none; shared int64[n, n]; across bool[n, n] says which scores are
    bridged.  mean float64[5, n, n] are the residual cosines with every model as reference, for maps and trees.
    """

    answers: Answers
    score: NDArray[np.float64]
    shared: NDArray[np.int64]
    across: NDArray[np.bool_]
    mean: NDArray[np.float64]
    background: Background


def reach(answers: Answers, panel: Panel | None) -> Background:
    """What of a panel holds for these answers."""
    n = len(answers.models)
    if panel is None:
        return Background(
            "none",
            [],
            [],
            [
                (f"{n} models are no background" if n < OWN_COHORT else "no panel was given")
                + ": no likelihood ratio, no p-value, no verdict. Fit a panel (kinprint panel fit) on models of known "
                "families that answered the same prompts"
            ],
        )
    members = {m.model for m in panel.members} & set(answers.models)
    prompts = set(panel.prompts) & set(answers.prompts)
    share_members, share_prompts = len(members) / len(panel.members), len(prompts) / max(1, len(panel.prompts))
    counted = (
        f"{len(members)} of the panel's {len(panel.members)} models and {len(prompts)} of its {len(panel.prompts)} "
        "prompts are in this corpus"
    )
    cautions = list(panel.cautions)
    others = n - len(members)
    if others > len(members):
        cautions.append(
            f"{others} models here are no members, more than the {len(members)} that are: if many are kin, what "
            "they have in common is taken for what everybody says"
        )
    if share_members >= MEMBERS_SHARE and share_prompts >= PROMPTS_SHARE:
        carries = [counted, "reference, cohort, likelihood ratios and verdicts carry over"]
        if panel.gives_p:
            carries.append("the null carries over: p-values hold")
            return Background("here", carries, [TRUST], cautions)
        return Background("here", carries, [TRUST, f"no p-values: {panel.families} families are too few"], cautions)
    if n >= OWN_COHORT:
        return Background(
            "elsewhere",
            [
                "the curve from score to likelihood ratio and the order of scores, as fitted on other prompts, with "
                f"the range cut to {ELSEWHERE_RANGE:g} of the validated one (in log10)",
                f"a verdict needs {ELSEWHERE_MARGIN:g} times the panel's threshold",
            ],
            [
                counted,
                "the null: p-values are not given, since unrelated models on other prompts may score otherwise",
                f"the cohort: the {n} models of this corpus take its place; if most are kin, scores are too low",
            ],
            cautions,
        )
    return Background(
        "none",
        [],
        [
            counted,
            "nothing: the members are not here to compare with, and the "
            f"{n} models of this corpus are fewer than the {OWN_COHORT} that could take their place",
        ],
        [f"{n} models are no background: no likelihood ratio, no p-value, no verdict", *cautions],
    )


def score_models(
    answers: Answers, panel: Panel | None, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Progress | Scored]:
    """Score all pairs; the `Scored` comes last."""
    n = len(answers.models)
    background = reach(answers, panel)
    everyone = np.ones(n, np.bool_)
    here = panel is not None and background.kind == "here"
    compared = yield from result_of(scores.compare(answers, everyone, cancelled=cancelled))
    if compared is None:
        return
    mean, shared = compared.mean, compared.shared
    across = np.zeros((n, n), np.bool_)
    if panel is None or not here:
        score = scores.normalise(mean, shared, everyone) if n >= 2 else np.full((n, n), np.nan)
        yield Scored(answers, score, shared, across, mean, background)
        return
    fold = panel.folds(answers.models)
    members = np.isin(answers.models, [m.model for m in panel.members])
    score = crossfit.without_folds(mean, shared, fold, members, cancelled)
    few = (shared < LEAST_PROMPTS) & ~np.eye(n, dtype=np.bool_)
    if few.any() and panel.bridged is not None:
        enough = np.median(shared[:, members], axis=1) >= LEAST_PROMPTS
        sums = residual.Sums(mean * np.maximum(shared, 1), shared)
        across = few & enough[:, None] & enough[None, :]
        for a, b, cohort, rows in crossfit.configurations(fold):
            between = ((fold == a)[:, None] & (fold == b)[None, :]) | ((fold == b)[:, None] & (fold == a)[None, :])
            if (across & between).any():
                z = crossfit.bridged(sums, sums, sums, cohort & members, rows)
                score[across & between] = (0.5 * (z + z.T))[across & between]
    yield Scored(answers, score, shared, across, mean, background)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a panel says of scores, an array each, in the order of the pairs given."""

    log10_lr: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_floor: NDArray[np.float64]
    threshold: NDArray[np.float64]
    verdict: list[str]
    basis: list[str]


def judge(
    score: NDArray[np.float64],
    shared: NDArray[np.int64],
    across: NDArray[np.bool_],
    panel: Panel | None,
    background: Background,
) -> Judged:
    """Likelihood ratio, p-value and verdict of pairs, one-dimensional arrays of the same length."""
    n = len(score)
    lr, p, floor, threshold = (np.full(n, np.nan) for _ in range(4))
    basis = np.where(np.isnan(score), NONE, np.where(across, BRIDGED, MATCHED))
    if panel is None or background.kind == "none":
        return Judged(lr, p, floor, threshold, [NO_BACKGROUND] * n, basis.tolist())
    verdict = np.full(n, UNRESOLVED, object)
    elsewhere = background.kind == "elsewhere"
    for calibration, chosen in _calibrations(score, shared, across, panel):
        z = score[chosen]
        ratio = np.clip(calibration.log10_lr(z), *limits(calibration, background))
        bar = calibration.threshold
        if elsewhere:
            bar *= ELSEWHERE_MARGIN
        elif panel.gives_p:
            p[chosen] = calibration.p_value(z)
            floor[chosen] = calibration.p_floor
        lr[chosen] = ratio
        threshold[chosen] = bar
        reached = z >= bar
        verdict[chosen] = np.where(reached, np.where(calibration.is_derived(z), DERIVED, KIN), UNRESOLVED)
    return Judged(lr, p, floor, threshold, verdict.tolist(), basis.tolist())


def limits(calibration: Calibration, background: Background) -> tuple[float, float]:
    """Least and largest log10 likelihood ratio that is given."""
    share = ELSEWHERE_RANGE if background.kind == "elsewhere" else 1.0
    return calibration.log10_lr_min * share, calibration.log10_lr_max * share


def _calibrations(
    score: NDArray[np.float64], shared: NDArray[np.int64], across: NDArray[np.bool_], panel: Panel
) -> Iterator[tuple[Calibration, NDArray[np.int64]]]:
    """Each calibration with the positions of the pairs that it holds for."""
    known = ~np.isnan(score)
    if panel.bridged is not None and (across & known).any():
        yield panel.bridged, np.flatnonzero(across & known)
    which = panel.size_for(shared)
    for k, calibration in enumerate(panel.sizes):
        chosen = np.flatnonzero(known & ~across & (which == k))
        if len(chosen):
            yield calibration, chosen


def find_kinship(
    view: View,
    panel: Panel | None,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    models: Sequence[str] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Pairs | Totals]:
    """Score all pairs of models of a corpus, best first; `Totals` comes last.

    With `models` only pairs among these are listed; all models of the corpus take part in the comparison all the same.
    Raises ModelNotFound.
    """
    yield Progress("gathering answers", 0.0)
    answers, _ = gather(view, rows, cancelled)
    if cancelled():
        return
    for name in models:
        if name not in answers.models:
            raise ModelNotFound(
                f"no answers of model {name!r} that can be compared in corpus {view.corpus!r}; `kinprint corpora "
                f"--corpus {view.corpus}` lists its models"
            )
    scored = yield from result_of(score_models(answers, panel, cancelled))
    if scored is None:
        return
    names = answers.models
    wanted = np.array([not models or m in models for m in names], np.bool_)
    a, b = np.nonzero(np.triu(wanted[:, None] & wanted[None, :], 1))
    score = scored.score[a, b]
    order = np.argsort(np.where(np.isnan(score), np.inf, -score), kind="stable")
    a, b, score = a[order], b[order], score[order]
    judged = judge(score, scored.shared[a, b], scored.across[a, b], panel, scored.background)
    for start in range(0, len(a), BATCH):
        some = slice(start, start + BATCH)
        yield Pairs(
            [names[i] for i in a[some]],
            [names[j] for j in b[some]],
            scored.shared[a, b][some].astype(np.int32),
            score[some],
            judged.log10_lr[some],
            judged.p_value[some],
            judged.p_floor[some],
            judged.verdict[some],
            judged.basis[some],
        )
    yield Totals(
        models=len(names),
        prompts=len(answers.prompts),
        pairs=len(a),
        answers=len(answers.texts),
        left_out=answers.left_out,
        families=panel.families if panel is not None and scored.background.kind != "none" else 0,
        panel_digest="" if panel is None else panel.digest,
        carries_over=scored.background.carries_over,
        does_not=scored.background.does_not,
        cautions=[*scored.background.cautions, *_cautions(answers, scored)],
        matrix_models=list(names),
    )


def _cautions(answers: Answers, scored: Scored) -> list[str]:
    out = []
    pairs = np.triu(np.ones_like(scored.across), 1)
    if scored.across[pairs].any():
        out.append(
            f"{int(scored.across[pairs].sum())} pairs share fewer than {LEAST_PROMPTS} prompts and were compared "
            "through the panel, which finds far fewer kin"
        )
    without = int((np.isnan(scored.score) & pairs).sum())
    if without:
        out.append(f"{without} pairs share too few prompts to be compared")
    boilerplate = answers.left_out.get("boilerplate", 0)
    if boilerplate > 0.2 * max(1, len(answers.texts) + boilerplate):
        out.append(
            f"{boilerplate} of {len(answers.texts) + boilerplate} answers give the same words to several prompts "
            "(refusals, greetings) and were left out"
        )
    return out
