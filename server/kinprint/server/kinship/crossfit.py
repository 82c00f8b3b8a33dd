"""Cross-fitting: the score of a pair, normalised by models that are of neither one's fold.

Families are split into folds, and a family stays together.  So the pairs of a background are scored as pairs of two
unknown models are: neither model, nor any relative of it, is in the cohort that says what is usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.kinship import scores
from numpy.typing import NDArray

FOLDS = 10


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
