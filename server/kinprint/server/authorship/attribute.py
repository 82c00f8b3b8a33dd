"""Attribution: the known models ranked as authors of sets of texts.

`attribute` answers with what was learnt before; `run` does all of it, from the answers of a corpus to the rankings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import authorship
from kinprint.kernels.style.authorship import Features
from kinprint.server.authorship.attributor import (
    MAY_BE_UNKNOWN,
    NEAR_COPY,
    NO_POWER,
    NO_USABLE_TEXT,
    TOO_CLOSE,
    Attributor,
    Power,
    Ranked,
    Ranking,
    Size,
)
from kinprint.server.authorship.labelled import known_answers
from kinprint.server.authorship.margins import figures_of, margins_of, weighted_by
from kinprint.server.authorship.sets import Submitted
from kinprint.server.authorship.texts import AT_ONCE, distinct, features, usable
from kinprint.server.authorship.train import train
from kinprint.server.authorship.validate import log_ratios, probabilities_of
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import InvalidField
from kinprint.server.progress import Progress, result_of
from kinprint.server.statistics import Floats, Ints, log_softmax
from numpy.typing import NDArray

#: Share of the time that learning takes.
LEARNING = 0.9


@dataclass(frozen=True, eq=False, slots=True)
class Totals:
    """What an attribution was made of, and how far it can be trusted; fields as in `Attributor`."""

    sets: int
    """Sets that were asked about."""
    named: int
    """Sets of which a model is named as the author."""
    texts: int
    """Texts in all of them."""
    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    texts_given: NDArray[np.int64]
    texts_used: NDArray[np.int64]
    background_used: int
    power: tuple[Power, ...]
    prior_unknown: float
    notes: tuple[str, ...]
    scheme: str


def run(
    view: View,
    rows: Filter,
    submitted: Submitted,
    models: Collection[str] = (),
    families: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | list[Ranking] | Totals]:
    """Learn from the rows of a corpus, then rank its models as authors of sets of texts; the `Totals` come last.

    Parameters
    ----------
    view, rows
        Answers to learn from, see `known_answers`.
    submitted
        The sets; the rankings of some of them at a time, by ascending code, are yielded as they are ready.
    models
        Models that may be named; none: all of the corpus.  The others are a background.
    families
        Family of a model, where it is known.
    seed
        Every choice at random depends on it alone.
    cancelled
        Asked now and then; once it says so the run ends without `Totals`.

    Raises
    ------
    InvalidField
        If the corpus does not hold enough to learn from (TOO_FEW_TEXTS).
    """
    known, background = known_answers(view, rows, frozenset(models), families)
    learning = train(known, background=background, seed=seed, cancelled=cancelled)
    attributor = yield from result_of(learning, LEARNING)
    if attributor is None:
        return
    named = done = 0
    for texts, codes in submitted.parts():
        if cancelled():
            return
        rankings = attribute(attributor, texts, codes)
        yield rankings
        named += sum(not ranking.abstained for ranking in rankings)
        done += len(texts)
        yield Progress("attributing", LEARNING + (1 - LEARNING) * done / len(submitted))
    yield Totals(
        sets=submitted.sets,
        named=named,
        texts=len(submitted),
        names=attributor.names,
        left_out=attributor.left_out,
        texts_given=attributor.texts_given,
        texts_used=attributor.texts_used,
        background_used=attributor.background_used,
        power=attributor.power,
        prior_unknown=attributor.prior_unknown,
        notes=attributor.notes,
        scheme=attributor.scheme,
    )


def attribute(attributor: Attributor, texts: Texts, sets: NDArray[np.int64]) -> list[Ranking]:
    """Rank the known models as authors of sets of texts, each set by one author.

    Parameters
    ----------
    attributor
        From `train`.
    texts
        n texts.
    sets
        int64[n]: the set of each.

    Returns
    -------
    One ranking a set, by ascending code.
    """
    if sets.shape != (len(texts),):
        raise InvalidField("sets", f"sets must give one code a text: {len(texts)}, not {sets.size}")
    rankings: list[Ranking] = []
    order = np.argsort(sets, kind="stable").astype(np.int64)
    codes, starts = np.unique(sets[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    first = 0
    while first < len(codes):  # features of many texts are large: so many sets at once as have `AT_ONCE` texts
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + AT_ONCE, "right")))
        rows = order[starts[first] : ends[last - 1]]
        rankings += _rankings(attributor, texts.take(rows), codes[first:last], starts[first:last] - starts[first])
        first = last
    return rankings


def _rankings(attributor: Attributor, texts: Texts, codes: Ints, starts: Ints) -> list[Ranking]:
    """Rankings of sets whose texts stand one set after the other, each from its start on."""
    counts = features(texts)
    fine = usable(counts)
    weighted = weighted_by(counts, attributor.rarity)
    margins = margins_of(weighted, attributor.weights, len(attributor.names))
    posterior = attributor.stack.log_posteriors(margins)
    rankings = []
    largest = attributor.sizes[-1].size
    for code, given in zip(codes, np.split(np.arange(len(texts)), starts[1:]), strict=True):
        rows = given[fine[given]].astype(np.int64)
        kept = rows[distinct(texts.take(rows), np.zeros(len(rows), np.int32))].astype(np.int64)
        kept, beyond = _apart(weighted, kept, largest)
        short = len(given) - len(rows)
        tally = (len(given), len(kept), short, len(rows) - len(kept) - beyond, beyond)
        rankings.append(_ranking(attributor, int(code), tally, margins[kept], posterior[kept]))
    return rankings


def _apart(weighted: Features, rows: Ints, largest: int) -> tuple[Ints, int]:
    """The first `largest` of the rows that are no near copies of one before, and how many were not looked at.

    No more than four times as many rows as can be kept are compared with each other.
    """
    from scipy.sparse import csr_matrix

    looked = rows[: 4 * largest]
    some = weighted.take(looked)
    matrix = csr_matrix((some.data, some.indices, some.indptr), (len(looked), authorship.DIM))
    products = np.asarray((matrix @ matrix.T).todense(), np.float64)
    length = np.sqrt(np.maximum(np.diag(products), 1e-12))
    near = products >= NEAR_COPY * length[:, None] * length[None]
    kept: list[int] = []
    for place in range(len(looked)):
        if len(kept) == largest:
            return rows[kept], len(rows) - place
        if not near[place, kept].any():
            kept.append(place)
    return rows[kept], len(rows) - len(looked)


def _between(sizes: tuple[Size, ...], n: int) -> Size:
    """Calibration of sets of `n` texts, between the two validated sizes around it, in the logarithm of the size.

    Thresholds are those of the smaller size or of the larger, whichever is stricter.
    """
    if n <= sizes[0].size:
        return sizes[0]
    if n >= sizes[-1].size:
        return sizes[-1]
    k = next(i for i in range(len(sizes)) if sizes[i].size > n)
    low, high = sizes[k - 1], sizes[k]
    if low.size == n:
        return low
    w = math.log(n / low.size) / math.log(high.size / low.size)
    return Size(
        n,
        math.exp((1 - w) * math.log(low.temperature) + w * math.log(high.temperature)),
        (1 - w) * low.detector + w * high.detector,
        max(low.least_known, high.least_known),
        max(low.least_posterior, high.least_posterior),
        min(low.known_limit, high.known_limit),
        min(low.limit, high.limit),
    )


def _ranking(
    attributor: Attributor, code: int, tally: tuple[int, int, int, int, int], margins: Floats, posterior: Floats
) -> Ranking:
    names = attributor.names
    m = len(names)
    prior = attributor.prior_unknown
    given, counted, short, repeated, beyond = tally
    if counted == 0:
        probabilities, ratios = np.append(np.full(m, (1.0 - prior) / m), prior), np.zeros(m + 1)
        reason = NO_USABLE_TEXT
    else:
        size = _between(attributor.sizes, counted)
        total = posterior.sum(axis=0)[None]
        figures = figures_of(margins.mean(axis=0)[None], total, attributor.profiles)
        known = figures @ size.detector[:3] + size.detector[3]
        within = np.exp(log_softmax(total * size.temperature))
        probabilities = probabilities_of(within, np.clip(known, -size.known_limit, size.known_limit), prior)[0]
        ratios = np.clip(log_ratios(probabilities[None], prior)[0], -size.limit, size.limit) / math.log(10.0)
        if math.isinf(size.least_known) or math.isinf(size.least_posterior):
            reason = NO_POWER
        elif float(known[0]) < size.least_known:
            reason = MAY_BE_UNKNOWN
        elif float(within.max()) < size.least_posterior:
            reason = TOO_CLOSE
        else:
            reason = ""
    order = np.argsort(-probabilities[:m], kind="stable")
    return Ranking(
        set=code,
        texts=given,
        counted=counted,
        too_short=short,
        repeated=repeated,
        beyond=beyond,
        ranked=tuple(Ranked(names[c], float(ratios[c]), float(probabilities[c])) for c in order),
        none_of_these=float(probabilities[m]),
        none_log10_lr=float(ratios[m]),
        abstained=bool(reason),
        reason=reason,
    )
