"""Margins: linear classifiers of hashed features, what they say of a text, and how that is distributed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from kinprint.kernels.style import authorship
from kinprint.kernels.style.authorship import Features
from kinprint.server.authorship.attributor import MOST_SHARED, Profiles, Stack, columns_told
from kinprint.server.authorship.texts import Corpus
from kinprint.server.statistics import Floats, Ints
from kinprint.server.threads import available_cores, pool_sizes
from numpy.typing import NDArray

#: Length of each family of features in a text.
_SCALE = np.array([1.0, 1.0, 1.0, 1.0, 0.7, 0.5], np.float32)
_SCALE /= np.float32(np.linalg.norm(_SCALE))
#: Weight of an error, and passes over the texts.
_PENALTY, _EPOCHS = 2.0, 6
#: Classes that the kernel fits in one pass over the texts, on one thread.
_TOGETHER = 8


def rarity_of(counts: Features) -> NDArray[np.float32]:
    """Inverse document frequencies of n texts, float32[DIM]; what occurs once is left out."""
    found = authorship.document_frequencies(counts)
    n = len(counts.indptr) - 1
    return np.where(found >= 2, np.log(n / np.maximum(found, 1)) + 1.0, 0.0).astype(np.float32)


def weighted_by(counts: Features, rarity: NDArray[np.float32]) -> Features:
    """Counts weighed by rarity, each family scaled to its length."""
    return authorship.weigh(counts, rarity, _SCALE)


def _fit(
    weighted: Features, target: NDArray[Any], count: int, rng: np.random.Generator, check: Callable[[], None]
) -> NDArray[np.float32]:
    """Classifiers of `count` classes, some classes at a time: each is fitted apart from the others anyway."""
    orders = np.stack([rng.permutation(len(target)) for _ in range(_EPOCHS)]).astype(np.int64)
    some = _TOGETHER * (pool_sizes()["numba"] or available_cores())  # a round of all threads
    parts = []
    for first in range(0, count, some):
        check()
        own = np.where((target >= first) & (target < first + some), target - first, -1).astype(np.int32)
        parts.append(authorship.separate(weighted, own, min(some, count - first), _PENALTY, orders))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def learn(
    weighted: Features,
    target: NDArray[np.int32],
    count: int,
    backed: bool,
    rng: np.random.Generator,
    check: Callable[[], None] = lambda: None,
) -> tuple[NDArray[np.float32], ...]:
    """Classifiers of the models against each other, and, if they are `backed`, against the background (-1) as well.

    A background model may be much like a known one.  That must weigh in what is known, but not in which model it is.
    """
    own = np.flatnonzero(target >= 0).astype(np.int64)
    among = _fit(weighted.take(own) if backed else weighted, target[own], count, rng, check)
    return (among, _fit(weighted, target, count, rng, check)) if backed else (among,)


def margins_of(weighted: Features, weights: tuple[NDArray[np.float32], ...], count: int) -> Floats:
    """Margins, float64[n, w]: `m` among the models; with a background `m` more against it; shares of families last.

    Shares are those of the margins among the models, and are left out where there are many models.
    """
    parts = [authorship.margins(weighted, w, count) for w in weights]
    if count <= MOST_SHARED:
        parts.append(authorship.shares(weighted, weights[0], count).reshape(len(parts[0]), -1))
    return np.concatenate(parts, axis=1).astype(np.float64)


def fit_and_apply(
    corpus: Corpus,
    train: Ints,
    classes: Ints,
    test: Ints,
    rng: np.random.Generator,
    check: Callable[[], None] = lambda: None,
) -> Floats:
    """Margins of the texts `test` for `classes`, learnt from the texts `train` (columns as in `margins_of`).

    `check` is called now and then, and may raise.
    """
    place = np.full(len(corpus.family), -1, np.int32)
    place[classes] = np.arange(len(classes))
    counts = corpus.counts.take(train)
    rarity = rarity_of(counts)
    check()
    weighted = weighted_by(counts, rarity)
    del counts  # half of what was just taken
    weights = learn(weighted, place[corpus.model[train]], len(classes), corpus.backed, rng, check)
    del weighted
    check()
    return margins_of(weighted_by(corpus.counts.take(test), rarity), weights, len(classes))


def width(count: int, backed: bool) -> int:
    """Columns of margins (see `margins_of`)."""
    return count * (1 + backed + (len(authorship.FAMILIES) if count <= MOST_SHARED else 0))


def _whole(margins: Floats, count: int) -> Floats:
    """The columns that are margins and no shares."""
    return margins[..., : -len(authorship.FAMILIES) * count] if count <= MOST_SHARED else margins


def stack_of(margins: Floats, model: NDArray[Any], count: int) -> Stack:
    """The regression from margins float64[n, w] of texts whose models int[n] are known, without fits on themselves."""
    from sklearn.linear_model import LogisticRegression

    if count == 1:
        return Stack(np.zeros((1, columns_told(margins, 1).shape[1])), np.zeros(1))
    fitted = LogisticRegression(C=1.0, max_iter=500).fit(columns_told(margins, count), model)
    weights, intercept = np.asarray(fitted.coef_, np.float64), np.asarray(fitted.intercept_, np.float64)
    if count == 2:
        weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
    return Stack(weights, intercept)


def profiles_of(margins: Floats, model: NDArray[Any], count: int) -> Profiles:
    """Mean and inverse covariance of the margins of each model's texts, shrunk to the diagonal."""
    margins = _whole(margins, count)
    width = margins.shape[1]
    mean, precision = np.zeros((count, width)), np.zeros((count, width, width))
    for c in range(count):
        own = margins[model == c]
        mean[c] = own.mean(axis=0)
        spread = (own - mean[c]).T @ (own - mean[c]) / max(len(own) - 1, 1)
        shrink = max(0.05, width / (width + len(own)))
        spread = (1.0 - shrink) * spread + np.diag(shrink * np.diag(spread) + 1e-4)
        precision[c] = np.linalg.inv(spread)
    return Profiles(mean, precision)


def figures_of(mean: Floats, total: Floats, profiles: Profiles) -> Floats:
    """Three figures of sets, float64[s, 3], of mean margins float64[s, w] and summed log-posteriors float64[s, m].

    The margin of the most probable model, its lead over the next, and how far the margins are from what they are for
    the model that they are nearest to (log of the Mahalanobis distance).
    """
    top = total.argmax(axis=1)
    mean = _whole(mean, total.shape[1])
    rest = mean[:, -total.shape[1] :].copy()  # those against the background, if there is one
    own = rest[np.arange(len(mean)), top]
    rest[np.arange(len(mean)), top] = -np.inf
    lead = own - rest.max(axis=1) if total.shape[1] > 1 else np.zeros(len(mean))
    distance = np.full(len(mean), np.inf)
    for centre, precision in zip(profiles.mean, profiles.precision, strict=True):
        away = mean - centre
        np.minimum(distance, ((away @ precision) * away).sum(axis=1), out=distance)
    return np.stack([own, lead, -np.log(np.maximum(distance, 1e-9))], axis=1)
