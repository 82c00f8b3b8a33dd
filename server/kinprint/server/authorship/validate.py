"""Validation: simulated sets by known models and by families left out, and the calibration that comes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from kinprint.server.authorship.attributor import ERROR, PASSING, SIZES, Power, Size
from kinprint.server.authorship.margins import figures_of, fit_and_apply, profiles_of, stack_of
from kinprint.server.authorship.texts import FOLDS, Corpus
from kinprint.server.statistics import Floats, Ints, auc, calibration_error, cllr, log_softmax
from numpy.typing import NDArray

#: Sets that are simulated of a model and size, where there are few models.
_SETS = 100
#: Groups of families that are left out, one after the other.
_GROUPS = 5


@dataclass(frozen=True, eq=False, slots=True)
class Simulated:
    """Simulated sets."""

    figures: Floats
    """float64[s, 3]; empty where only the closed set is asked for."""
    total: Floats
    """float64[s, classes]: summed log-posteriors."""
    truth: Ints
    """int64[s]: class, -1 for a family left out."""
    strangers: int
    """Models of families left out that the sets are by."""


def feasible(corpus: Corpus) -> tuple[int, ...]:
    """Sizes of which most models have enough texts in half a fold."""
    own = np.bincount(corpus.model[corpus.model < corpus.models], minlength=corpus.models)
    room = float(np.median(own)) / (2 * FOLDS)
    return tuple(size for size in SIZES if size <= room * 0.8) or SIZES[:1]


def groups_of(corpus: Corpus, rng: np.random.Generator) -> tuple[list[Ints], bool]:
    """Families that are left out together, and whether they are those of the background.

    With enough of a background no known model needs to be left out.  Families of both sorts are never among them then.
    """
    known = np.unique(corpus.family[: corpus.models])
    others = np.setdiff1d(np.unique(corpus.family[corpus.models :]), known)
    enough = len(others) >= _GROUPS
    families = rng.permutation(others if enough else known)
    if not enough and len(families) < 2:
        return [], False
    return [np.sort(part) for part in np.array_split(families, min(_GROUPS, len(families)))], enough


def _sets_a_model(models: int) -> int:
    """Sets to simulate of each model and size: fewer where there are many models."""
    return max(8, min(_SETS, 20 * _SETS // models))


def _draws(rows: Ints, size: int, count: int, rng: np.random.Generator) -> Ints:
    """Sets of `size` rows without repetition, int64[at most count, size]; fewer where there are few rows."""
    if len(rows) < size:
        return np.zeros((0, size), np.int64)
    if size == 1:
        return rng.permutation(rows)[:count, None]
    return np.stack([rng.choice(rows, size, replace=False) for _ in range(count)])


def held_posteriors(corpus: Corpus, held: Floats, rows: Ints, check: Callable[[], None] = lambda: None) -> Floats:
    """Log-posteriors float64[n, m] of the texts `rows` by their held-out margins; never from a fit on their prompts."""
    m = corpus.models
    posterior = np.zeros((len(held), m))
    for fold in range(FOLDS):
        check()
        train, test = rows[corpus.fold[rows] != fold], rows[corpus.fold[rows] == fold]
        posterior[test] = stack_of(held[train], corpus.model[train], m).log_posteriors(held[test])
    return posterior


def known_sets(corpus: Corpus, posterior: Floats, rows: Ints, size: int, rng: np.random.Generator) -> Simulated:
    """Sets of known models, of texts with log-posteriors from `held_posteriors`."""
    m = corpus.models
    total, truth = [], []
    for c in range(m):
        sets = _draws(rows[corpus.model[rows] == c], size, (4 if size == 1 else 1) * _sets_a_model(m), rng)
        total.append(posterior[sets].sum(axis=1))
        truth.append(np.full(len(sets), c, np.int64))
    return Simulated(np.zeros((0, 3)), np.concatenate(total), np.concatenate(truth), 0)


def left_out_sets(
    corpus: Corpus,
    families: Ints,
    fold: int,
    sizes: tuple[int, ...],
    rng: np.random.Generator,
    check: Callable[[], None] = lambda: None,
) -> dict[int, Simulated]:
    """Sets by the remaining known models and by families that nothing was learnt from, all of one fold of prompts.

    Distributions are taken from one half of the fold and sets from the other, and the other way round.
    """
    out = np.isin(corpus.family, families)
    classes = np.flatnonzero(~out[: corpus.models]).astype(np.int64)
    train = corpus.rows((corpus.fold != fold) & ~out[corpus.model])
    asked = (corpus.model < corpus.models) | out[corpus.model]
    test = corpus.rows((corpus.fold == fold) & asked)
    margins = fit_and_apply(corpus, train, classes, test, rng, check)
    place = np.full(len(corpus.family), -1, np.int64)
    place[classes] = np.arange(len(classes))
    truth, half = place[corpus.model[test]], corpus.half[test]
    most = _sets_a_model(len(classes))
    found: dict[int, Simulated] = {}
    parts: dict[int, list[Simulated]] = {size: [] for size in sizes}
    for side in (False, True):
        check()
        base = np.flatnonzero((half != side) & (truth >= 0))
        if len(np.unique(truth[base])) < len(classes):
            continue
        stack = stack_of(margins[base], truth[base], len(classes))
        profiles = profiles_of(margins[base], truth[base], len(classes))
        posterior = stack.log_posteriors(margins)
        strangers = np.unique(corpus.model[test[truth < 0]])
        for size in sizes:
            sets, labels, strange = [], [], 0
            for c in range(len(classes)):
                drawn = _draws(np.flatnonzero((half == side) & (truth == c)), size, most, rng)
                sets.append(drawn)
                labels.append(np.full(len(drawn), c, np.int64))
            each = max(_SETS // 4, most * len(classes) // (2 * max(len(strangers), 1)))
            for code in strangers:
                own = np.flatnonzero(corpus.model[test] == code)
                drawn = _draws(own, size, each, rng)
                strange += len(drawn) > 0
                sets.append(drawn)
                labels.append(np.full(len(drawn), -1, np.int64))
            drawn = np.concatenate(sets)
            if len(drawn) == 0:
                continue
            mean, total = margins[drawn].mean(axis=1), posterior[drawn].sum(axis=1)
            parts[size].append(Simulated(figures_of(mean, total, profiles), total, np.concatenate(labels), strange))
    for size, some in parts.items():
        if some:
            found[size] = Simulated(
                np.concatenate([s.figures for s in some]),
                np.concatenate([s.total for s in some]),
                np.concatenate([s.truth for s in some]),
                max(s.strangers for s in some),
            )
    return found


def _temperature(total: Floats, truth: Ints) -> float:
    """Power of the posteriors that makes the truth most likely."""
    grid = np.exp(np.linspace(math.log(0.01), math.log(2.0), 60))
    at = np.arange(len(truth))
    losses = [-float(log_softmax(total * t)[at, truth].mean()) for t in grid]
    return float(grid[int(np.argmin(losses))])


def _detector(sets: list[Simulated]) -> Floats:
    """Logistic regression of "by a known model" on the figures, both sorts weighing alike: float64[4]."""
    figures = np.concatenate([s.figures for s in sets])
    known = np.concatenate([s.truth for s in sets]) >= 0
    if known.all() or not known.any():
        return np.zeros(4)
    from sklearn.linear_model import LogisticRegression

    mean, deviation = figures.mean(axis=0), np.maximum(figures.std(axis=0), 1e-6)
    fitted = LogisticRegression(C=1.0, class_weight="balanced", max_iter=500).fit((figures - mean) / deviation, known)
    weights = np.asarray(fitted.coef_[0], np.float64) / deviation
    return np.append(weights, float(fitted.intercept_[0]) - float(weights @ mean))


def probabilities_of(posterior: Floats, known: Floats, prior_unknown: float) -> Floats:
    """float64[s, m + 1] that sum to one; the last column is "none of these"."""
    odds = math.log((1.0 - prior_unknown) / prior_unknown) + known
    share = 1.0 / (1.0 + np.exp(-odds))
    return np.concatenate([posterior * share[:, None], 1.0 - share[:, None]], axis=1)


def log_ratios(probabilities: Floats, prior_unknown: float) -> Floats:
    """Natural-log likelihood ratio of each answer against all others."""
    m = probabilities.shape[1] - 1
    prior = np.append(np.full(m, (1.0 - prior_unknown) / m), prior_unknown)
    p = np.clip(probabilities, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(p / (1.0 - p)) - np.log(prior / (1.0 - prior)))


def cost_of(ratios: Floats, truth: Ints) -> float:
    """Cllr of natural-log likelihood ratios float64[n, m] over the known models' columns; truth int64[n]."""
    same = truth[:, None] == np.arange(ratios.shape[1])[None]
    return cllr(ratios[same], ratios[~same])


def calibrate(
    size: int, closed: Simulated, groups: list[Simulated], m: int, prior_unknown: float, limit: float
) -> tuple[Size, Power]:
    """Calibration for sets of one size, and what it achieves where the families were left out of it too.

    The ratio of "known" is supported up to one more than the number of models that were left out: their sets are not
    independent of each other.  Other ratios are supported up to one more than the number of sets that share no text, or
    up to `limit`, that of smaller sets, if it is larger.
    """
    temperature = _temperature(closed.total, closed.truth)
    posterior = np.exp(log_softmax(closed.total * temperature))
    right = posterior.argmax(axis=1) == closed.truth
    accuracy = float(right.mean())
    # Chance, plus three deviations of the mean over sets that share no text.
    independent = max(len(closed.truth) / size, m)
    powerless = accuracy <= 1.0 / m + 3.0 * math.sqrt((1.0 / m) * (1.0 - 1.0 / m) / independent)
    least_posterior = math.inf if powerless else _least(posterior.max(axis=1), right)

    detector = _detector(groups) if groups else np.zeros(4)
    ratios, probabilities, truths, costs, errors = [], [], [], [], []
    known_limit = math.log(1.0 + sum(s.strangers for s in groups))
    limit = max(limit, math.log(1.0 + independent))
    for g, sets in enumerate(groups):
        others = [s for k, s in enumerate(groups) if k != g]
        fitted = _detector(others) if others else np.zeros(4)
        ratio = sets.figures @ fitted[:3] + fitted[3]
        within = np.exp(log_softmax(sets.total * temperature))
        probability = probabilities_of(within, np.clip(ratio, -known_limit, known_limit), prior_unknown)
        weight = np.where(sets.truth < 0, prior_unknown, 1.0 - prior_unknown)
        for side in (True, False):
            weight[(sets.truth < 0) == side] /= max(int(((sets.truth < 0) == side).sum()), 1)
        ratios.append(ratio)
        truths.append(sets.truth)
        probabilities.append(probability.max(axis=1))
        costs.append(cost_of(np.clip(log_ratios(probability, prior_unknown)[:, :-1], -limit, limit), sets.truth))
        errors.append(calibration_error(probability, sets.truth, weight))
    known = np.concatenate([r[t >= 0] for r, t in zip(ratios, truths, strict=True)] or [np.zeros(0)])
    unknown = np.concatenate([r[t < 0] for r, t in zip(ratios, truths, strict=True)] or [np.zeros(0)])
    told_apart = auc(known, unknown)
    blind = not len(unknown) or not told_apart > 0.5
    least_known = math.inf if blind else float(np.quantile(unknown, 1.0 - PASSING)) + 1e-9
    passed, hit = [], []
    for sets, ratio in zip(groups, ratios, strict=True):
        own = sets.truth >= 0
        within = np.exp(log_softmax(sets.total[own] * temperature))
        enough = (ratio[own] >= least_known) & (within.max(axis=1) >= least_posterior)
        passed.append(enough)
        hit.append((within.argmax(axis=1) == sets.truth[own])[enough])
    named = np.concatenate(passed) if passed else np.zeros(1, np.bool_)
    hits = np.concatenate(hit) if hit else np.zeros(0, np.bool_)
    power = Power(
        size=size,
        sets=len(closed.truth),
        accuracy=accuracy,
        named=float(named.mean()),
        correct=float(hits.mean()) if len(hits) else math.nan,
        unknown_sets=len(unknown),
        false_names=float((unknown >= least_known).mean()) if len(unknown) else math.nan,
        auc=told_apart,
        cllr=float(np.mean(costs)) if costs else math.nan,
        calibration_error=float(np.mean(errors)) if errors else math.nan,
    )
    return Size(size, temperature, detector, least_known, least_posterior, known_limit, limit), power


def _least(sure: Floats, right: NDArray[np.bool_]) -> float:
    """Least posterior, at least one half, from which on no more than `ERROR` of the answers are wrong."""
    order = np.argsort(-sure, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    fine = np.flatnonzero(wrong <= ERROR)
    return max(0.5, float(sure[order[fine[-1]]])) if len(fine) else math.inf
