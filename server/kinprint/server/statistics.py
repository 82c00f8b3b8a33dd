"""Statistics that several rooms need, once: Cllr, Holm's correction, AUC, log-softmax, error of calibration.

By a library where one has it: scikit-learn and SciPy, imported where they are used, because they take a second to load
and most servers never need them.  Holm's correction is ours, since of our libraries none has it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def cllr(positive: Floats, negative: Floats) -> float:
    """Cost of natural log-likelihood ratios in bits (Brummer and du Preez 2006): 0 is perfect, 1 says nothing.

    `positive` are ratios of cases where the hypothesis is true, `negative` of others; NaN without either.
    """
    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    return float(0.5 * (np.logaddexp(0, -positive).mean() + np.logaddexp(0, negative).mean()) / math.log(2))


def cllr_min(positive: Floats, negative: Floats) -> float:
    """Cllr after the best monotone recalibration (pool adjacent violators); what is left cannot be calibrated away."""
    from sklearn.isotonic import IsotonicRegression

    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    x = np.concatenate((positive, negative))
    y = np.concatenate((np.ones(len(positive)), np.zeros(len(negative))))
    weight = np.where(y == 1, 0.5 / len(positive), 0.5 / len(negative))
    p = np.clip(IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=weight).predict(x), 1e-6, 1 - 1e-6)
    log_odds = np.log(p / (1 - p))
    return cllr(log_odds[y == 1], log_odds[y == 0])


def holm(p: Floats) -> Floats:
    """p-values corrected for all of them together (Holm 1979), in the order given; NaN stay and count for nothing."""
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    running = 0.0
    for rank, k in enumerate(known[np.argsort(p[known], kind="stable")]):
        running = max(running, min(1.0, float((len(known) - rank) * p[k])))
        out[k] = running
    return out


def auc(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """Chance that one of `positive` is above one of `negative`, ties counting half (Mann and Whitney 1947).

    NaN without either.  From SciPy's ranks and not scikit-learn's `roc_auc_score`, which adds up trapezia: sums of
    ranks are exact, so that samples that are alike give one half and nothing beside it.
    """
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    if n == 0 or m == 0:
        return math.nan
    above = rankdata(np.concatenate((positive, negative)))[:n].sum() - n * (n + 1) / 2
    return float(above / n / m)


def log_softmax(x: Floats) -> Floats:
    """Logarithm of the softmax over the last axis, float64[..., n] of float64[..., n]."""
    from scipy import special

    return np.asarray(special.log_softmax(x, axis=-1))


def calibration_error(probabilities: Floats, truth: Ints, weight: Floats, bins: int = 10) -> float:
    """Mean difference between stated and observed probability of the most probable answer, over equal bins of it.

    probabilities float64[n, m + 1] of m classes and, last, of none of them; truth int64[n], -1 for none; weight
    float64[n] of each case.  (Expected calibration error, Naeini et al. 2015.)
    """
    best = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    right = np.where(truth < 0, best == probabilities.shape[1] - 1, best == truth)
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    share = np.bincount(place, weight, bins)
    gap = np.abs(np.bincount(place, weight * sure, bins) - np.bincount(place, weight * right, bins))
    return float(gap.sum() / share.sum())
