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
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.spread import threads
from kinprint.kernels.style.tokens import ATTACHED, decode_window, mix
from kinprint.kernels.unicode import (
    DIGIT,
    FOLD_SEQUENCES,
    MARK,
    PUNCT,
    SPACE,
    SYMBOL,
    UPPER,
    WORD,
    fold_entry,
    is_line_end,
    is_word_class,
)
from numpy.typing import NDArray

SCHEME: Final = "residual"
VERSION: Final = 1
FAMILIES: Final = ("characters", "words", "phrases", "punctuation", "openings")
"""Families of n-grams, in the order of the first axis of every sum."""
WINDOW: Final = 600
"""Code points of an answer that are read, from its start."""
OPENING: Final = 8
"""Most tokens of an opening."""
BOUND: Final = 4.0
"""Bound of one prompt's contribution, in root mean squares of that prompt."""

_F: Final = len(FAMILIES)
# Kinds of token; up to NUMBER and SPACELESS are words.
_LOWER, _CAPITAL, _NUMBER, _MARK, _LINE, _BLANK_LINE, _SPACELESS = 1, 2, 3, 4, 5, 6, 7
# Most keys of one text, per code point: 3 characters, 2 words, 3 phrases, 4 punctuation.
_KEYS: Final = 12 * WINDOW + OPENING
_DENSE: Final = 8
# An n-gram that every answer has weighs a little, so that two answers alone can be compared at all.
_SMOOTH: Final = 1.5
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
        _grams(strands, addresses, lengths, frozen(model), frozen(starts), models - joined, strands, gram)
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


# ---- n-grams ----


@kernel
def _lowered(h, cp):  # type: ignore[no-untyped-def]
    """Mix an upper-case code point into ``h`` as its case folding, which may be several code points."""
    if cp < 0x80:
        return mix(h, cp + 32)
    start, length = fold_entry(cp)
    if length == 0:
        return mix(h, cp)
    for k in range(start, start + length):
        h = mix(h, FOLD_SEQUENCES[k])
    return h


@kernel
def _tokens(cps, classes, n, keys, kinds):  # type: ignore[no-untyped-def]
    """Tokens of ``n`` code points: hash and kind of each; returns their number, at most ``n``."""
    k = 0
    i = 0
    while i < n:
        c = classes[i]
        if c == SPACE:
            ends = 0
            while i < n and classes[i] == SPACE:
                ends += is_line_end(cps[i])
                i += 1
            if ends > 0 and i < n:
                kinds[k] = _LINE if ends == 1 else _BLANK_LINE
                keys[k] = 900 + kinds[k]
                k += 1
            continue
        if is_word_class(c):
            h = np.uint64(7)
            digits = c == DIGIT
            capital = c == UPPER
            while i < n:
                c = classes[i]
                cp = cps[i]
                if c == UPPER:
                    h = _lowered(h, cp)
                elif is_word_class(c):
                    h = mix(h, cp)
                elif (
                    (cp == 0x27 or cp == 0x2019)
                    and i + 1 < n
                    and (classes[i + 1] == WORD or classes[i + 1] == UPPER or classes[i + 1] == MARK)
                ):
                    h = mix(h, 0x27)
                else:
                    break
                i += 1
            kinds[k] = _NUMBER if digits else (_CAPITAL if capital else _LOWER)
            keys[k] = h
        elif c in (PUNCT, SYMBOL):
            kinds[k] = _MARK
            keys[k] = mix(np.uint64(3), cps[i])
            i += 1
        else:
            kinds[k] = _SPACELESS
            h = mix(np.uint64(5), cps[i])
            i += 1
            while i < n and (classes[i] == ATTACHED or classes[i] == MARK):
                h = mix(h, cps[i])
                i += 1
            keys[k] = h
        k += 1
    return k


@kernel
def _ngrams(data, cps, classes, keys, kinds, line, out, bounds):  # type: ignore[no-untyped-def]
    """Write the keys of every family of one text to ``out``; family f is ``out[bounds[f]:bounds[f + 1]]``."""
    n, _ = decode_window(data, 0, data.size, WINDOW, cps, classes)
    while n > 0 and classes[n - 1] == SPACE:
        n -= 1
    o = 0
    bounds[0] = 0
    # characters: a run of white space is one character
    m = 0
    for i in range(n):
        space = classes[i] == SPACE
        if space and i > 0 and classes[i - 1] == SPACE:
            continue
        line[m] = np.uint64(0x20) if space else np.uint64(cps[i])
        m += 1
    for i in range(m - 2):
        h = mix(mix(mix(np.uint64(11), line[i]), line[i + 1]), line[i + 2])
        out[o] = h
        o += 1
        if i + 3 < m:
            h = mix(h, line[i + 3])
            out[o] = h
            o += 1
            if i + 4 < m:
                out[o] = mix(h, line[i + 4])
                o += 1
    bounds[1] = o
    tokens = _tokens(cps, classes, n, keys, kinds)
    # words
    w = 0
    for i in range(tokens):
        if kinds[i] <= _NUMBER or kinds[i] == _SPACELESS:
            line[w] = keys[i]
            w += 1
    for i in range(w):
        h = mix(np.uint64(21), line[i])
        out[o] = h
        o += 1
        if i + 1 < w:
            out[o] = mix(h, line[i + 1])
            o += 1
    bounds[2] = o
    # phrases
    for i in range(w - 2):
        h = mix(mix(mix(np.uint64(51), line[i]), line[i + 1]), line[i + 2])
        out[o] = h
        o += 1
        if i + 3 < w:
            h = mix(h, line[i + 3])
            out[o] = h
            o += 1
            if i + 4 < w:
                out[o] = mix(h, line[i + 4])
                o += 1
    bounds[3] = o
    # punctuation: a stretch of words is one symbol, and a capitalised word one of its own
    p = 0
    for i in range(tokens):
        kind = kinds[i]
        if kind in (_LOWER, _SPACELESS):
            symbol = np.uint64(1)
        elif kind == _CAPITAL:
            symbol = np.uint64(2)
        elif kind == _NUMBER:
            symbol = np.uint64(3)
        else:
            symbol = keys[i]
        if symbol == 1 and p > 0 and line[p - 1] == 1:
            continue
        line[p] = symbol
        p += 1
    for i in range(p):
        h = np.uint64(41)
        for q in range(i, min(i + 4, p)):
            h = mix(h, line[q])
            out[o] = h
            o += 1
    bounds[4] = o
    # openings
    h = np.uint64(61)
    for i in range(min(OPENING, tokens)):
        h = mix(h, keys[i])
        out[o] = h
        o += 1
    bounds[5] = o


# ---- inner products ----


@parallel_kernel()
def _grams(first, last, addresses, lengths, model, starts, counted, strands, gram):  # type: ignore[no-untyped-def]
    """gram float32[prompts, 5, models, models]; models from ``counted`` on do not count for rarity."""
    for t in range(first, last):
        _grams_of(t, strands, addresses, lengths, model, starts, counted, gram)


@kernel
def _grams_of(t, strands, addresses, lengths, model, starts, counted, gram):  # type: ignore[no-untyped-def]
    """Every ``strands``-th prompt from ``t`` on, in one workspace: touching new memory for each would cost more."""
    prompts = starts.size - 1
    most = 0
    for p in range(prompts):
        most = max(most, starts[p + 1] - starts[p])
    cps = np.empty(WINDOW, np.int32)
    classes = np.empty(WINDOW, np.uint8)
    tokens = np.empty(WINDOW, np.uint64)
    kinds = np.empty(WINDOW, np.uint8)
    line = np.empty(WINDOW, np.uint64)
    bounds = np.empty((most, _F + 1), np.int64)
    keys = np.empty((most, _KEYS), np.uint64)
    size = 1024
    while size < 8 * WINDOW * most:
        size *= 2
    table = np.zeros(size, np.int32)
    room = 4 * WINDOW * most + 1
    entry_key = np.empty(room, np.uint64)
    entry_df = np.empty(room, np.int32)
    entry_has = np.empty(room, np.int32)
    entry_tf = np.empty(room, np.int32)
    entry_last = np.empty(room, np.int32)
    entry_start = np.empty(room + 1, np.int64)
    used = np.empty(4 * WINDOW * most, np.int32)
    counts = np.empty(4 * WINDOW * most, np.int32)
    ends = np.empty(most + 1, np.int64)
    posting_text = np.empty(4 * WINDOW * most, np.int32)
    posting_weight = np.empty(4 * WINDOW * most, np.float32)
    dense = np.zeros(most, np.float32)
    # Thousands of products add up: in single precision equal answers would differ by more than residuals may.
    local = np.empty((most, most), np.float64)
    norms = np.empty(most, np.float64)
    for p in range(t, prompts, strands):
        first = starts[p]
        n = starts[p + 1] - first
        if n == 0:
            continue
        n_counted = 0
        for a in range(n):
            _ngrams(
                memory(addresses[first + a], lengths[first + a]),
                cps, classes, tokens, kinds, line, keys[a], bounds[a],
            )  # fmt: skip
            if model[first + a] < counted:
                n_counted += 1
        for f in range(_F):
            total = 0
            for a in range(n):
                total += bounds[a, f + 1] - bounds[a, f]
            used_size = np.int64(1024)
            while used_size < 2 * total:
                used_size *= 2
            mask = np.uint64(used_size - 1)
            table[:used_size] = 0
            entries = 0
            s = 0
            ends[0] = 0
            for a in range(n):
                begin = s
                counts_here = model[first + a] < counted
                for i in range(bounds[a, f], bounds[a, f + 1]):
                    h = keys[a, i]
                    z = np.int64(((h * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(20)) & mask)
                    e = table[z]
                    while e != 0 and entry_key[e] != h:
                        z = np.int64((np.uint64(z) + np.uint64(1)) & mask)
                        e = table[z]
                    if e == 0:
                        entries += 1
                        e = np.int32(entries)
                        table[z] = e
                        entry_key[e] = h
                        entry_df[e] = 0
                        entry_has[e] = 0
                        entry_last[e] = -1
                    if entry_last[e] != a:
                        entry_last[e] = a
                        entry_tf[e] = 0
                        entry_has[e] += 1
                        if counts_here:
                            entry_df[e] += 1
                        used[s] = e
                        s += 1
                    entry_tf[e] += 1
                for q in range(begin, s):
                    counts[q] = entry_tf[used[q]]
                ends[a + 1] = s
            # Postings of the n-grams that more than one answer has; the others only make vectors longer.
            c = np.int64(0)
            for e in range(1, entries + 1):
                entry_start[e] = c
                if entry_has[e] > 1:
                    c += entry_has[e]
            for a in range(n):
                own = 0 if model[first + a] < counted else 1
                squares = 0.0
                for q in range(ends[a], ends[a + 1]):
                    e = used[q]
                    rarity = np.log((_SMOOTH + n_counted + own) / (1.0 + entry_df[e] + own))
                    weight = np.log(1.0 + counts[q]) * rarity
                    squares += weight * weight
                    if entry_has[e] > 1:
                        # Filled behind its start, text by text; moved back below.
                        place = entry_start[e]
                        posting_text[place] = a
                        posting_weight[place] = weight
                        entry_start[e] = place + 1
                norms[a] = 1.0 / np.sqrt(squares) if squares > 0.0 else 0.0
            for a in range(n):
                for b in range(a + 1):
                    local[a, b] = 0.0
            for e in range(1, entries + 1):
                has = entry_has[e]
                if has < 2:
                    continue
                end = entry_start[e]
                begin = end - has
                only_new = counted < gram.shape[2]
                if has * _DENSE > n:
                    for i in range(begin, end):
                        dense[posting_text[i]] = posting_weight[i] * norms[posting_text[i]]
                    for i in range(begin, end):
                        a = posting_text[i]
                        if only_new and model[first + a] < counted:
                            continue
                        weight_a = dense[a]
                        row = local[a]
                        for b in range(a):
                            row[b] += weight_a * dense[b]
                    for i in range(begin, end):
                        dense[posting_text[i]] = 0.0
                else:
                    for i in range(begin, end):
                        a = posting_text[i]
                        if only_new and model[first + a] < counted:
                            continue
                        weight_a = posting_weight[i] * norms[a]
                        row = local[a]
                        for j in range(begin, i):
                            row[posting_text[j]] += weight_a * np.float32(posting_weight[j] * norms[posting_text[j]])
            for a in range(n):
                i = model[first + a]
                for b in range(a):
                    j = model[first + b]
                    gram[p, f, i, j] = local[a, b]
                    gram[p, f, j, i] = local[a, b]
                gram[p, f, i, i] = 1.0 if norms[a] > 0.0 else 0.0


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
