"""The hashed baseline: the first prototype of the kinship scores, which `kinship.py` measures beside them.

For each prompt, character 3- to 5-grams, words (1- and 2-grams) and the grammar of punctuation (1- to 4-grams of marks,
with every stretch of lower-case words as one symbol) of the first 600 code points of each answer are hashed with a sign
into 4,096 buckets (Weinberger et al. 2009), weighted by ``log(1 + tf) log((1 + n) / (1 + df))`` with ``df`` among the
``n`` answers to the prompt, and scaled to unit length.  The mean of all answers is taken away, residuals are scaled
again, and their cosines averaged over the prompts that two models share.  The score of a pair is the mean over the
three families of the symmetric normalisation by a cohort, of which the top quarter is left out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

FAMILIES = ("characters", "words", "punctuation")
WINDOW = 600
BUCKETS = 4096
TRIM = 0.25
#: Code points from here on are classed as symbols.
_POINTS = 0x30000
_SPACE, _LETTER, _DIGIT, _MARK, _LINE, _IDEOGRAPH = range(6)
_LOWER, _CAPITAL, _NUMBER, _SYMBOL, _BREAK, _BLANK, _SPACELESS = range(1, 8)


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Class and lower case of every code point."""
    classes, lower = np.full(_POINTS, _MARK, np.uint8), np.arange(_POINTS, dtype=np.uint32)
    for point in range(_POINTS):
        if 0xD800 <= point < 0xE000:
            continue
        letter = chr(point)
        category = unicodedata.category(letter)
        if letter == "\n":
            classes[point] = _LINE
        elif letter.isspace():
            classes[point] = _SPACE
        elif 0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x9FFF or point >= 0x20000:
            classes[point] = _IDEOGRAPH
        elif category[0] in "LM":
            classes[point] = _LETTER
        elif category[0] == "N":
            classes[point] = _DIGIT
        if category == "Lu" and len(letter.lower()) == 1:
            lower[point] = ord(letter.lower())
    return classes, lower


_CLASSES, _LOWERED = _tables()


@njit(inline="always")
def _mix(h, x):  # type: ignore[no-untyped-def]
    h = (np.uint64(h) ^ np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@njit(inline="always")
def _class(classes, points, i):  # type: ignore[no-untyped-def]
    return classes[min(points[i], np.uint32(classes.size - 1))]


@njit(nogil=True, cache=True)
def _tokens(points, classes, lower, keys, kinds):  # type: ignore[no-untyped-def]
    """Hash and kind of each token; returns how many there are."""
    n = points.size
    i = 0
    k = 0
    while i < n:
        c = _class(classes, points, i)
        if c == _SPACE:
            i += 1
            continue
        start = i
        if c in (_LETTER, _DIGIT):
            h = np.uint64(7)
            while i < n:
                inside = _class(classes, points, i)
                apostrophe = points[i] == 0x27 or points[i] == 0x2019
                if apostrophe and i + 1 < n and _class(classes, points, i + 1) == _LETTER:
                    h = _mix(h, 0x27)
                elif inside in (_LETTER, _DIGIT):
                    h = _mix(h, lower[points[i]])
                else:
                    break
                i += 1
            capital = lower[points[start]] != points[start]
            kinds[k] = _NUMBER if c == _DIGIT else (_CAPITAL if capital else _LOWER)
            keys[k] = h
        elif c == _LINE:
            ends = 0
            while i < n and (_class(classes, points, i) == _LINE or _class(classes, points, i) == _SPACE):
                ends += _class(classes, points, i) == _LINE
                i += 1
            kinds[k] = _BREAK if ends == 1 else _BLANK
            keys[k] = np.uint64(900) + np.uint64(kinds[k])
        else:
            kinds[k] = _SPACELESS if c == _IDEOGRAPH else _SYMBOL
            keys[k] = _mix(np.uint64(5 if c == _IDEOGRAPH else 3), points[i])
            i += 1
        k += 1
    return k


@njit(nogil=True, cache=True)
def _grown(line, length, most, least, seed, out, o):  # type: ignore[no-untyped-def]
    """Write the hashes of all runs of ``least`` to ``most`` symbols of a line from ``out[o]`` on; returns the end."""
    for i in range(length):
        h = np.uint64(seed)
        for q in range(min(most, length - i)):
            h = _mix(h, line[i + q])
            if q + 1 >= least:
                out[o] = h
                o += 1
    return o


@njit(nogil=True, cache=True)
def _ngrams(points, classes, lower, line, keys, kinds, out, bounds):  # type: ignore[no-untyped-def]
    """Write the hashes of every family; family f is ``out[bounds[f]:bounds[f + 1]]``."""
    m = 0
    space = False
    for i in range(points.size):
        here = _class(classes, points, i) == _SPACE
        if not (here and space):
            line[m] = np.uint64(0x20) if here else np.uint64(points[i])
            m += 1
        space = here
    bounds[0] = 0
    bounds[1] = _grown(line, m, 5, 3, 11, out, 0)
    tokens = _tokens(points, classes, lower, keys, kinds)
    m = 0
    for i in range(tokens):
        if kinds[i] <= _NUMBER or kinds[i] == _SPACELESS:
            line[m] = keys[i]
            m += 1
    bounds[2] = _grown(line, m, 2, 1, 21, out, bounds[1])
    m = 0
    for i in range(tokens):
        kind = kinds[i]
        symbol = keys[i]
        if kind in (_LOWER, _SPACELESS):
            symbol = np.uint64(1)
        elif kind == _CAPITAL:
            symbol = np.uint64(2)
        elif kind == _NUMBER:
            symbol = np.uint64(3)
        if not (symbol == 1 and m > 0 and line[m - 1] == 1):
            line[m] = symbol
            m += 1
    bounds[3] = _grown(line, m, 4, 1, 41, out, bounds[2])


@njit(nogil=True, cache=True)
def _vectors(points, starts, classes, lower, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` float32[3, answers, buckets] with the weighted, signed sums of the answers to one prompt."""
    n = starts.size - 1
    room = points.size + 8
    line, keys = np.empty(room, np.uint64), np.empty(room, np.uint64)
    kinds = np.empty(room, np.uint8)
    hashes = np.empty(9 * points.size + 64, np.uint64)
    bounds = np.zeros((n, 4), np.int64)
    base = 0
    for a in range(n):
        _ngrams(points[starts[a] : starts[a + 1]], classes, lower, line, keys, kinds, hashes[base:], bounds[a])
        bounds[a] += base
        base = bounds[a, 3]
    for f in range(3):
        total = 0
        for a in range(n):
            total += bounds[a, f + 1] - bounds[a, f]
        size = 1024
        while size < 2 * total:
            size *= 2
        mask = np.uint64(size - 1)
        key, df = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        tf, last = np.zeros(size, np.int32), np.full(size, -1, np.int32)
        slots, counts, ends = np.empty(total, np.int64), np.empty(total, np.int32), np.zeros(n + 1, np.int64)
        s = 0
        for a in range(n):
            begin = s
            for i in range(bounds[a, f], bounds[a, f + 1]):
                h = hashes[i]
                z = np.int64(((h * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(20)) & mask)
                while key[z] != 0 and key[z] != h:
                    z = np.int64((np.uint64(z) + np.uint64(1)) & mask)
                key[z] = h
                if last[z] != a:
                    last[z] = a
                    tf[z] = 0
                    df[z] += 1
                    slots[s] = z
                    s += 1
                tf[z] += 1
            for q in range(begin, s):
                counts[q] = tf[slots[q]]
            ends[a + 1] = s
        for a in range(n):
            for q in range(ends[a], ends[a + 1]):
                h = key[slots[q]]
                sign = 1.0 if (h >> np.uint64(33)) & np.uint64(1) else -1.0
                weight = np.log(1.0 + counts[q]) * np.log((1.0 + n) / (1.0 + df[slots[q]]))
                out[f, a, np.int64(h >> np.uint64(40)) % out.shape[2]] += sign * weight


@njit(parallel=True, cache=True)
def _moments(gram, mean, centre, norm):  # type: ignore[no-untyped-def]
    """What double centring needs of each prompt: inner products with the mean vector, and residuals' lengths."""
    prompts, families, models, _ = gram.shape
    for pf in prange(prompts * families):
        p = pf // families
        f = pf % families
        g = gram[p, f]
        members = 0
        for j in range(models):
            members += g[j, j] > 0.0
        share = 1.0 / max(1, members)
        middle = 0.0
        for i in range(models):
            x = 0.0
            for j in range(models):
                x += g[i, j]
            mean[p, f, i] = x * share
            middle += x * share * share
        centre[p, f] = middle
        for i in range(models):
            left = g[i, i] - 2.0 * mean[p, f, i] + middle
            norm[p, f, i] = 1.0 / np.sqrt(left) if g[i, i] > 0.0 and left > 1e-6 else 0.0


@njit(parallel=True, cache=True)
def _add(gram, mean, centre, norm, total):  # type: ignore[no-untyped-def]
    """Add the cosines of residuals to ``total`` float64[3, models, models]."""
    prompts, families, models, _ = gram.shape
    for i in prange(models):
        for f in range(families):
            for p in range(prompts):
                own, middle, length = mean[p, f, i], centre[p, f], norm[p, f, i]
                for j in range(models):
                    x = ((gram[p, f, i, j] + middle) - (mean[p, f, j] + own)) * (norm[p, f, j] * length)
                    total[f, i, j] += x


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of unit vectors per prompt, and sums of residual vectors.

    gram float32[prompts, 3, n, n]; present bool[prompts, n]; profiles float32[2, 3, n, 4096] are sums of the residual
    vectors over the first and over the second half of the prompts.
    """

    gram: NDArray[np.float32]
    present: NDArray[np.bool_]
    profiles: NDArray[np.float32]

    def subset(self, prompts: slice) -> Products:
        """Some of the prompts."""
        return Products(self.gram[prompts], self.present[prompts], self.profiles)


def products(
    answers: Sequence[str], model: NDArray[np.int64], starts: NDArray[np.int64], models: int, threads: int
) -> Products:
    """Inner products of the answers to each prompt; prompt p has ``answers[starts[p]:starts[p + 1]]``, by `model`."""
    prompts = len(starts) - 1
    gram = np.zeros((prompts, len(FAMILIES), models, models), np.float32)
    present = np.zeros((prompts, models), np.bool_)
    halves = np.arange(prompts) >= prompts // 2

    def some(mine: NDArray[np.int64]) -> NDArray[np.float32]:
        profiles = np.zeros((2, len(FAMILIES), models, BUCKETS), np.float32)
        for p in mine:
            own = model[starts[p] : starts[p + 1]]
            parts = [_points(answers[a]) for a in range(starts[p], starts[p + 1])]
            bounds = np.concatenate(([0], np.cumsum([len(x) for x in parts]))).astype(np.int64)
            vectors = np.zeros((len(FAMILIES), len(own), BUCKETS), np.float32)
            if len(own):
                _vectors(np.concatenate(parts), bounds, _CLASSES, _LOWERED, vectors)
            present[p, own] = True
            for f, x in enumerate(vectors):
                _to_unit(x)
                gram[p, f, own[:, None], own[None, :]] = x @ x.T
                np.fill_diagonal(gram[p, f], np.round(gram[p, f].diagonal()))
                x -= x.mean(axis=0)
                _to_unit(x)
                profiles[int(halves[p]), f, own] += x
        return profiles

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(some, [np.arange(t, prompts, threads) for t in range(threads)]))
    return Products(gram, present, np.sum(parts, axis=0))


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text[:WINDOW].encode("utf-32-le", "replace"), np.uint32)


def _to_unit(x: NDArray[np.float32]) -> None:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x /= np.where(length > 1e-6, length, 1.0)


Configurations = Iterator[tuple[int, int, NDArray[np.bool_], NDArray[np.bool_]]]


def cross_fitted(found: Products, configurations: Configurations, place: Any) -> NDArray[np.float64]:
    """Scores float64[n, n]; `configurations` says for which rows which models are the cohort.

    `place(out, scores, a, b)` copies what holds for the configuration (a, b).  All models make the mean of a prompt.
    """
    similarity = _similarity(found)
    out = np.full(similarity.shape[1:], np.nan)
    for a, b, cohort, rows in configurations:
        place(out, normalised(similarity, cohort, rows), a, b)
    return out


def plain(found: Products) -> NDArray[np.float64]:
    """Scores float64[n, n] with all models as the cohort."""
    everyone = np.ones(found.gram.shape[-1], np.bool_)
    return normalised(_similarity(found), everyone, everyone)


def _similarity(found: Products) -> NDArray[np.float64]:
    """Mean cosines of residuals over shared prompts, float64[3, n, n]."""
    prompts, families, n, _ = found.gram.shape
    mean, norm = (np.zeros((prompts, families, n), np.float32) for _ in range(2))
    centre = np.zeros((prompts, families), np.float32)
    total = np.zeros((families, n, n))
    _moments(found.gram, mean, centre, norm)
    _add(found.gram, mean, centre, norm, total)
    here = found.present.astype(np.float32)
    return np.asarray(total / np.maximum(here.T @ here, 1))


def cross_fitted_profiles(found: Products, configurations: Configurations, place: Any) -> NDArray[np.float64]:
    """As `cross_fitted` for disjoint prompts: cosines of one half's sum of residuals with the other half's."""
    n = found.gram.shape[-1]
    unit = found.profiles.copy()
    for half in unit:
        for x in half:
            _to_unit(x)
    cosines = np.einsum("fid,fjd->fij", unit[0], unit[1], optimize=True).astype(np.float64)
    cosines = 0.5 * (cosines + cosines.transpose(0, 2, 1))
    out = np.full((n, n), np.nan)
    for a, b, cohort, rows in configurations:
        place(out, normalised(cosines, cohort, rows), a, b)
    return out


def normalised(
    similarity: NDArray[np.float64], cohort: NDArray[np.bool_], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean over families of ((s - mu_i) / sd_i + (s - mu_j) / sd_j) / 2, for the models `rows`; NaN elsewhere."""
    out = np.full(similarity.shape[1:], np.nan)
    index = np.flatnonzero(rows)
    total = np.zeros((len(index), len(index)))
    for s in similarity:
        mean, deviation = np.zeros((len(index), 1)), np.zeros((len(index), 1))
        for k, i in enumerate(index):
            x = np.sort(s[i, cohort & (np.arange(len(cohort)) != i)])
            x = x[: len(x) - max(1, round(TRIM * len(x)))]
            mean[k], deviation[k] = x.mean(), x.std(ddof=1)
        left = (s[np.ix_(index, index)] - mean) / deviation
        total += 0.5 * (left + left.T)
    out[np.ix_(index, index)] = total / len(similarity)
    np.fill_diagonal(out, np.nan)
    return out
