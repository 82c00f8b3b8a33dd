"""Prompt-wise residuals: how alike models are in what is *their own* in the answers to one prompt.

Two answers to one prompt share what the prompt asks for. What is left when that is taken away is what a model brings:
turns of phrase, the order of things, marks, examples it likes. For each prompt and family of n-grams this module

1. reads the first :data:`WINDOW` code points of every answer, which takes the length of answers out of the comparison;
2. weighs each n-gram by ``log(1 + tf) * log((1.5 + n) / (1 + df))`` with ``df`` of the ``n`` answers to *that* prompt
   that have it, so that what every answer says to the prompt weighs nothing (tf-idf: Sparck Jones 1972, with the
   prompt as the collection), and scales the answer's vector to unit length (:func:`prompt_grams`: all inner products
   of those vectors, exact, without hashing into buckets);
3. subtracts the mean of a reference panel's vectors and scales to unit length again: the residual. On inner products
   this is double centring (:func:`accumulate`; the residual vectors themselves are never formed);
4. divides the cosines of residuals by their root mean square over the prompt, so that a prompt with one right answer
   does not drown the others, bounds each by ``c x / sqrt(c^2 + x^2)`` with ``c`` = :data:`BOUND`, and adds them up.

Families (:data:`FAMILIES`) are character 3- to 5-grams, words (1- and 2-grams), phrases (3- to 5-grams of words),
punctuation (1- to 4-grams of marks, line ends, numbers and capitalised words, which are one symbol each, with every
stretch of other words as one symbol) and openings (the first one to eight tokens). Words are lower-cased, letters of
scripts without spaces are words, and classes come from the pinned Unicode tables: no list of any language is needed.

Sums over prompts add up in any grouping (:func:`merge`). With a frozen reference (:class:`Reference`) a model joins
later without anything about the others being computed again: its own vector is what it would be if it had been there,
while the vectors of the others, their mean and the scale stay as they are (``joined`` in :func:`prompt_grams`). What it
gets does not depend on who else joins, nor on when.

Scheme ``residual``, :data:`VERSION`: any change of a number is a new version, because calibrations hold for one only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.spread import threads
from kinprint.kernels.style.ngrams import OPENING as OPENING
from kinprint.kernels.style.ngrams import WINDOW as WINDOW
from kinprint.kernels.style.ngrams import inner_products
from numpy.typing import NDArray

SCHEME: Final = "residual"
VERSION: Final = 1
FAMILIES: Final = ("characters", "words", "phrases", "punctuation", "openings")
"""Families of n-grams, in the order of the first axis of every sum."""
BOUND: Final = 4.0
"""Bound of one prompt's contribution, in root mean squares of that prompt."""
_F: Final = len(FAMILIES)

# The root mean square of a prompt with few pairs is drawn towards a usual one.
_PRIOR_PAIRS: Final = 10.0
_PRIOR_RMS: Final = 0.15


class Grams(NamedTuple):
    """Inner products of the unit vectors of answers, per prompt.

    gram: float32[prompts, 5, models, models], symmetric; 1 on the diagonal where there is an n-gram, 0 where a model
        has no answer or its answer has no n-gram of the family. With ``joined`` only the rows and columns of the joined
        models and the diagonal are filled.
    present: bool[prompts, models], who answered.
    """

    gram: NDArray[np.float32]
    present: NDArray[np.bool_]


class Reference(NamedTuple):
    """What a later model has to be compared with, per prompt: sums over the reference panel, frozen.

    mean: float32[prompts, 5, models], inner product of each model's vector with the panel's mean vector.
    centre: float32[prompts, 5], squared length of the mean vector.
    norm: float32[prompts, 5, models], inverse length of each residual; 0 where there is none.
    scale: float32[prompts, 5], inverse root mean square of the cosines of residuals.
    """

    mean: NDArray[np.float32]
    centre: NDArray[np.float32]
    norm: NDArray[np.float32]
    scale: NDArray[np.float32]


class Sums(NamedTuple):
    """Sums over prompts; those of disjoint sets of prompts add up (:func:`merge`).

    total: float64[5, models, models], bounded residual cosines, symmetric, 0 on the diagonal.
    shared: int64[models, models], prompts that both answered.
    """

    total: NDArray[np.float64]
    shared: NDArray[np.int64]

    def mean(self) -> NDArray[np.float64]:
        """Mean per shared prompt, float64[5, models, models]; 0 where no prompt is shared."""
        return np.asarray(self.total / np.maximum(self.shared, 1))


def merge(a: Sums, b: Sums) -> Sums:
    """Sums over the prompts of both; the models are the same, in the same order."""
    if a.total.shape != b.total.shape:
        raise ValueError(f"sums over {a.total.shape[1]} and {b.total.shape[1]} models do not add up")
    return Sums(a.total + b.total, a.shared + b.shared)


def prompt_grams(
    texts: Texts, model: NDArray[np.int64], starts: NDArray[np.int64], models: int, *, joined: int = 0
) -> Grams:
    """Inner products of the answers to each of some prompts.

    Parameters
    ----------
    texts: the answers, prompt by prompt; an empty one counts as given but has no n-gram.
    model: int64[len(texts)], model of each answer in 0..models-1, ascending within a prompt, none twice.
    starts: int64[prompts + 1], where each prompt's answers begin in ``texts``.
    models: how many models there are.
    joined: the last so many models have joined later: rarity is counted over the others (and the joined answer
        itself), so that nothing about those changes, and only products with joined models are computed.

    Raises
    ------
    ValueError
        If shapes do not fit, or models are out of range or not ascending within a prompt.
    """
    model = np.ascontiguousarray(model, np.int64)
    starts = np.ascontiguousarray(starts, np.int64)
    n = len(texts)
    if model.shape != (n,) or starts.ndim != 1 or starts.size == 0 or starts[0] != 0 or starts[-1] != n:
        raise ValueError(f"model must be int64[{n}] and starts go from 0 to {n}")
    if np.any(np.diff(starts) < 0):
        raise ValueError("starts must not decrease")
    if not 0 <= joined <= models:
        raise ValueError(f"joined must be in 0..{models}, not {joined}")
    if n:
        if model.min() < 0 or model.max() >= models:
            raise ValueError(f"models must be in 0..{models - 1}")
        first = np.zeros(n, np.bool_)
        first[starts[:-1][starts[:-1] < n]] = True
        if np.any((np.diff(model) <= 0) & ~first[1:]):
            raise ValueError("models must ascend within a prompt, none twice")
    prompts = starts.size - 1
    gram = np.zeros((prompts, _F, models, models), np.float32)
    present = np.zeros((prompts, models), np.bool_)
    present[np.repeat(np.arange(prompts), np.diff(starts)), model] = True
    if n:
        strands = max(1, min(threads(), prompts))
        addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
        inner_products(strands, addresses, lengths, frozen(model), frozen(starts), models - joined, strands, gram)
    return Grams(gram, present)


def accumulate(
    grams: Grams,
    reference: NDArray[np.bool_],
    sums: Sums | None = None,
    *,
    rows: NDArray[np.bool_] | None = None,
    joined: tuple[Reference, int] | None = None,
) -> tuple[Sums, Reference]:
    """Residual cosines of some prompts, added to ``sums``.

    Parameters
    ----------
    grams: of :func:`prompt_grams`.
    reference: bool[models], whose answers make the mean and the scale of each prompt. A prompt that fewer than three of
        them answered is not centred: there is nothing to take away from.
    sums: to add to; None starts from zero. It is not changed.
    rows: bool[models], rows to compute; the sums of pairs with neither model among them stay what they were.
    joined: (reference, k) when the grams were made with ``joined=k``: the frozen reference of the other models. Where
        models join one after the other, k counts all that joined, and ``rows`` names the new ones.

    Returns
    -------
    The sums, and the reference of these prompts for models that join later.

    Raises
    ------
    ValueError
        If shapes do not fit, or a joined model is of the reference.
    """
    prompts, _, models, _ = grams.gram.shape
    reference = np.ascontiguousarray(reference, np.bool_)
    if reference.shape != (models,):
        raise ValueError(f"reference must be bool[{models}]")
    wanted = np.ones(models, np.bool_) if rows is None else np.ascontiguousarray(rows, np.bool_)
    if wanted.shape != (models,):
        raise ValueError(f"rows must be bool[{models}]")
    if sums is not None and (sums.total.shape != (_F, models, models) or sums.shared.shape != (models, models)):
        raise ValueError(f"sums must be over {models} models")
    mean = np.zeros((prompts, _F, models), np.float32)
    centre = np.zeros((prompts, _F), np.float32)
    norm = np.zeros((prompts, _F, models), np.float32)
    scale = np.zeros((prompts, _F), np.float32)
    first_new = models
    if joined is not None:
        frozen_reference, count = joined
        first_new = models - count
        shapes = [(prompts, _F, first_new), (prompts, _F), (prompts, _F, first_new), (prompts, _F)]
        if [values.shape for values in frozen_reference] != shapes:
            raise ValueError(f"the reference is of other prompts or not of {first_new} models")
        if reference[first_new:].any():
            raise ValueError("a model that joins later is no part of the reference")
        mean[:, :, :first_new] = frozen_reference.mean
        norm[:, :, :first_new] = frozen_reference.norm
        centre[:] = frozen_reference.centre
        scale[:] = frozen_reference.scale
        wanted = wanted.copy()
        wanted[:first_new] = False
    total = np.zeros((_F, models, models)) if sums is None else sums.total.copy()
    if prompts:
        gram = frozen(np.ascontiguousarray(grams.gram, np.float32))
        _moments(prompts * _F, gram, frozen(reference), first_new, joined is not None, mean, centre, norm, scale)
        _add(models, gram, frozen(mean), frozen(centre), frozen(norm), frozen(scale), frozen(wanted), total)
        _mirror(frozen(wanted), total)
    here = grams.present.astype(np.int64)
    shared = np.asarray(here.T @ here, np.int64)
    shared[~(wanted[:, None] | wanted[None, :])] = 0
    if sums is not None:
        shared += sums.shared
    return Sums(total, shared), Reference(mean, centre, norm, scale)


# ---- residuals ----


@parallel_kernel()
def _moments(first, last, gram, reference, first_new, joining, mean, centre, norm, scale):  # type: ignore[no-untyped-def]
    """Fill mean, norm (of new models only when joining), centre and scale; see :class:`Reference`."""
    _, families, models, _ = gram.shape
    for pf in range(first, last):
        p = pf // families
        f = pf % families
        g = gram[p, f]
        members = 0
        for j in range(models):
            if reference[j] and g[j, j] > 0.0:
                members += 1
        centred = members >= 3
        share = 1.0 / members if centred else 0.0
        begin = first_new if joining else 0
        middle = 0.0
        for i in range(begin, models):
            if g[i, i] > 0.0:
                x = 0.0
                for j in range(models):
                    if reference[j]:
                        x += g[i, j]
                mean[p, f, i] = x * share
                if reference[i]:
                    middle += x * share * share
        if not joining:
            centre[p, f] = middle
        for i in range(begin, models):
            if g[i, i] > 0.0:
                left = g[i, i] - 2.0 * mean[p, f, i] + centre[p, f]
                norm[p, f, i] = 1.0 / np.sqrt(left) if left > 1e-6 else 0.0
        if joining:
            continue
        squares = 0.0
        pairs = 0
        for i in range(models):
            if reference[i] and norm[p, f, i] > 0.0:
                for j in range(i):
                    if reference[j] and norm[p, f, j] > 0.0:
                        x = (g[i, j] - mean[p, f, i] - mean[p, f, j] + centre[p, f]) * norm[p, f, i] * norm[p, f, j]
                        squares += x * x
                        pairs += 1
        scale[p, f] = 1.0 / np.sqrt((squares + _PRIOR_PAIRS * _PRIOR_RMS * _PRIOR_RMS) / (pairs + _PRIOR_PAIRS))


@parallel_kernel()
def _add(first, last, gram, mean, centre, norm, scale, wanted, total):  # type: ignore[no-untyped-def]
    """Add the bounded residual cosines of pairs with a wanted model to ``total`` float64[5, models, models]."""
    prompts, families, models, _ = gram.shape
    per_bound = np.float32(1.0 / (BOUND * BOUND))
    one = np.float32(1.0)
    for i in range(first, last):
        if not wanted[i]:
            continue
        for f in range(families):
            for p in range(prompts):
                own_mean = mean[p, f, i]
                own_norm = norm[p, f, i]
                if own_norm <= 0.0:
                    continue
                middle = centre[p, f]
                size = scale[p, f]
                row = gram[p, f, i]
                m = mean[p, f]
                v = norm[p, f]
                into = total[f, i]
                for j in range(models):
                    # The same whichever of the two is i, to the last bit.
                    x = ((row[j] + middle) - (m[j] + own_mean)) * (v[j] * own_norm) * size
                    into[j] += x / np.sqrt(one + x * x * per_bound)


@kernel
def _mirror(wanted, total):  # type: ignore[no-untyped-def]
    """Zeros on the diagonal of what :func:`_add` left, and its columns beside its rows."""
    families, models, _ = total.shape
    for i in range(models):
        for f in range(families):
            if wanted[i]:
                total[f, i, i] = 0.0
    for i in range(models):
        if wanted[i]:
            for j in range(models):
                if not wanted[j]:
                    for f in range(families):
                        total[f, j, i] = total[f, i, j]
