"""Scores of kinship: from answers to the same prompts to a number for every pair of models.

Residual cosines per prompt (`kinprint.kernels.style.residual`) are averaged over the prompts that two models share,
normalised by what each of the two scores with a cohort, and averaged over the families of n-grams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.kinship.answers import Answers
from kinprint.server.progress import Progress
from numpy.typing import NDArray

#: Share of a cohort, from the top, that may be kin of a model and is left out of its mean and deviation.
TRIM = 0.25
#: A deviation over few models is drawn towards the one over all pairs, with the weight of so many models.
PRIOR_MODELS = 5.0
#: Fewer shared prompts give no score by shared prompts.
MIN_PROMPTS = 3
#: Bytes of inner products held at once.
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Compared:
    """Sums over all prompts: `mean` float64[5, n, n] per shared prompt, `shared` int64[n, n]."""

    mean: NDArray[np.float64]
    shared: NDArray[np.int64]


def blocks(answers: Answers) -> Iterator[tuple[float, residual.Grams]]:
    """Inner products, block of prompts by block of prompts, with the share of prompts done."""
    n = len(answers.models)
    prompts = len(answers.prompts)
    step = int(max(1, min(64, BLOCK_BYTES // max(1, len(residual.FAMILIES) * n * n * 4))))
    for begin in range(0, prompts, step):
        end = min(prompts, begin + step)
        first, last = answers.starts[begin], answers.starts[end]
        grams = residual.prompt_grams(
            answers.texts.take(np.arange(first, last)),
            answers.model[first:last],
            answers.starts[begin : end + 1] - first,
            n,
        )
        yield end / prompts, grams


def compare(
    answers: Answers,
    reference: NDArray[np.bool_],
    step: str = "comparing answers",
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Compared]:
    """Compare all models; `reference` bool[n] says whose answers make what a prompt has in common."""
    n = len(answers.models)
    sums = residual.Sums(np.zeros((len(residual.FAMILIES), n, n)), np.zeros((n, n), np.int64))
    for share, grams in blocks(answers):
        if cancelled():
            return
        sums, _ = residual.accumulate(grams, reference, sums)
        yield Progress(step, share)
    yield Compared(sums.mean(), sums.shared)


def normalise(
    mean: NDArray[np.float64],
    shared: NDArray[np.int64],
    cohort: NDArray[np.bool_],
    rows: NDArray[np.bool_] | None = None,
    *,
    noise: bool = True,
) -> NDArray[np.float64]:
    """Symmetric score normalisation, float64[n, n]: ((s - mu_i) / sd_i + (s - mu_j) / sd_j) / 2, mean over families.

    mu_i and sd_i are over the cohort (bool[n]) without i itself and without the top quarter of i's scores, among whom
    its kin may be (Reynolds, Quatieri and Dunn 2000 for the normalisation by a cohort; trimmed for contamination).  A
    pair that shares fewer prompts than the cohort does has a wider deviation, by the variance of a mean: one prompt's
    contribution has unit variance by construction (`noise=False`: `mean` is of no such sum).  NaN where a pair shares
    fewer than `MIN_PROMPTS` prompts, or one of the two has no cohort or is not among `rows`.
    """
    n = mean.shape[-1]
    wanted = np.ones(n, np.bool_) if rows is None else rows
    index = np.flatnonzero(wanted)
    enough = shared >= MIN_PROMPTS
    total = np.zeros((n, n))
    for scores in mean:
        x = np.where(enough & cohort[None, :], scores, np.nan)
        np.fill_diagonal(x, np.nan)
        mu_all = np.full(n, np.nan)
        var_all = np.full(n, np.nan)
        mu_all[index], var_all[index] = trimmed(x[index])
        extra: NDArray[np.float64] | float = 0.0
        if noise:
            usual = _usual(shared, cohort)
            extra = np.maximum(0.0, 1.0 / np.maximum(shared, 1) - 1.0 / np.maximum(usual, 1)[:, None])
            extra = np.where(shared < 0.9 * usual[:, None], extra, 0.0)
        sd = np.sqrt(var_all[:, None] + extra)
        left = (scores - mu_all[:, None]) / np.where(sd > 0, sd, np.inf)
        total += left
    total = 0.5 * (total + total.T) / len(mean)
    total[~enough] = np.nan
    np.fill_diagonal(total, np.nan)
    return total


def trimmed(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each row of float64[r, c] without NaN and without its top quarter, if it has four values.

    The variances are drawn towards the one pooled over all rows.  The mean of a row without a value is NaN.
    """
    x = np.sort(x, axis=1)  # NaN last
    count = (~np.isnan(x)).sum(1)
    keep = np.where(count >= 4, count - np.maximum(1, np.round(TRIM * count)).astype(np.int64), count)
    inside = np.arange(x.shape[1])[None, :] < keep[:, None]
    mu = np.where(inside, x, 0.0).sum(1) / np.maximum(keep, 1)
    squares = np.where(inside, (x - mu[:, None]) ** 2, 0.0)
    freedom = np.maximum(keep - 1, 0)
    pooled = squares.sum() / max(1, int(freedom.sum()))
    variance = squares.sum(1) / np.maximum(freedom, 1)
    variance = (freedom * variance + PRIOR_MODELS * pooled) / (freedom + PRIOR_MODELS)
    return np.where(keep >= 1, mu, np.nan), variance


def _usual(shared: NDArray[np.int64], cohort: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Prompts that a model usually shares with the cohort: the median, float64[n]."""
    if not cohort.any():
        return np.ones(len(shared))
    x = shared[:, cohort].astype(np.float64)
    own = np.flatnonzero(cohort)
    x[own, np.arange(len(own))] = np.nan
    if x.shape[1] == 1:
        return np.nan_to_num(x[:, 0], nan=1.0)
    return np.asarray(np.nanmedian(x, axis=1))


@dataclass(frozen=True, eq=False)
class Profile:
    """How models resemble those of a cohort: values float64[5, n, c], columns of mean 0 and deviation 1."""

    values: NDArray[np.float64]
    known: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> Profile:
        """The profiles of some models."""
        return Profile(self.values[:, rows], self.known[rows])


def profile(mean: NDArray[np.float64], known: NDArray[np.bool_]) -> Profile:
    """Profiles from mean residual cosines float64[5, n, c] with a cohort, known bool[n, c]."""
    count = np.maximum(known.sum(0), 1)
    mu = np.where(known, mean, 0.0).sum(1, keepdims=True) / count
    sd = np.sqrt(np.where(known, (mean - mu) ** 2, 0.0).sum(1, keepdims=True) / count)
    return Profile(np.where(known, (mean - mu) / np.where(sd > 0, sd, np.inf), 0.0), known.astype(np.float64))


def bridge(a: Profile, b: Profile) -> NDArray[np.float64]:
    """Correlation of two profiles over the cohort, float64[5, n, m]: for models that answered no common prompts.

    Two models that resemble the same others in the same measure are alike, whatever prompts that was seen on; the
    cohort's answers to the prompts of both are the bridge.  Zero where fewer than eight models are known to both.
    """
    out = np.zeros((len(a.values), a.values.shape[1], b.values.shape[1]))
    count = a.known @ b.known.T
    for f in range(len(out)):
        x, y = a.values[f], b.values[f]
        sum_x, sum_y = x @ b.known.T, a.known @ y.T
        square_x, square_y = (x * x) @ b.known.T, a.known @ (y * y).T
        covariance = x @ y.T - sum_x * sum_y / np.maximum(count, 1)
        variance = (square_x - sum_x**2 / np.maximum(count, 1)) * (square_y - sum_y**2 / np.maximum(count, 1))
        usable = (count >= 8) & (variance > 1e-12)
        out[f] = np.where(usable, covariance / np.sqrt(np.maximum(variance, 1e-12)), 0.0)
    return out
