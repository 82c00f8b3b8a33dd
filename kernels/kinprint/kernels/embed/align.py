"""Alignment scores of many texts at once: sentences pair up where each is the other's nearest.

The score of a query with q sentences and a text with m is twice the sum of the pairs' cosines over
``q + min(m, 2 q)`` (Artetxe and Schwenk, *Margin-based Parallel Corpus Mining*, ACL 2019, mine pairs so). Of cosines
that are equal but for rounding (:data:`ROUNDING`) the earliest counts whose sentence has no partner yet, so that a text
that repeats a sentence aligns with itself. Without sentences on either side the score is 0.

Sentences are int8 with a scale. A query is rounded to 16 bits, so that its products with them are sums of whole
numbers: exact, in whatever order, alone and beside others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.embed.pool import RowVectors
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

ROUNDING = 1.0 / 1024
"""Cosines no farther apart than this are equal: what int8 makes of two sentences that say the same."""


@kernel
def _nearest(
    cosines: NDArray[np.float32],
    first: int,
    last: int,
    right: NDArray[np.int64],
    best: NDArray[np.float32],
    final: NDArray[np.int64],
    top: NDArray[np.float32],
) -> None:
    """For query sentences, the one among the rows ``first .. last - 1`` that each pairs with (its place in the text, -1
    for none) and the cosine, which without a pair is the highest.

    `final` int64[q] and `top` float32[m] are room to work in.
    """
    q = cosines.shape[1]
    for i in range(q):
        right[i] = -1
    for j in range(first, last):
        highest = np.float32(-np.inf)
        for i in range(q):
            cosine = cosines[j, i]
            if right[i] < 0 or np.float64(cosine) > np.float64(best[i]) + ROUNDING:
                right[i] = j - first
                best[i] = cosine
            best[i] = max(best[i], cosine)
            if np.float64(cosine) >= np.float64(best[i]) - ROUNDING:
                final[i] = j - first
            highest = max(highest, cosine)
        top[j - first] = highest
    for i in range(q if last > first else 0):
        nearest, right[i] = right[i], -1
        for j in range(nearest, final[i] + 1):
            cosine = cosines[first + j, i]
            if np.float64(cosine) >= max(np.float64(best[i]), np.float64(top[j])) - ROUNDING:
                right[i] = j
                best[i] = cosine
                top[j] = np.inf  # taken
                break


@kernel
def _score(right: NDArray[np.int64], best: NDArray[np.float32], m: int) -> np.float32:
    q = right.size
    if q == 0 or m == 0:
        return np.float32(0)
    total = 0.0
    for i in range(q):
        if right[i] >= 0:
            total += np.float64(best[i])
    return np.float32(2.0 * total / (q + min(m, 2 * q)))


@kernel
def _most(first: NDArray[np.int64], last: NDArray[np.int64], low: int, high: int) -> int:
    most = 0
    for c in range(low, high):
        most = max(most, last[c] - first[c])
    return most


@parallel_kernel(grain=32)
def _scores_of(
    low: int,
    high: int,
    cosines: NDArray[np.float32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    q = cosines.shape[1]
    right, best, final = np.empty(q, np.int64), np.empty(q, np.float32), np.empty(q, np.int64)
    top = np.empty(_most(first, last, low, high), np.float32)
    for c in range(low, high):
        _nearest(cosines, first[c], last[c], right, best, final, top)
        out[c] = _score(right, best, last[c] - first[c])


@kernel
def _cosines(
    queries: NDArray[np.int16],
    query_scale: NDArray[np.float64],
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    dim = queries.shape[1]
    for j in range(first, last):
        row = rows[j]
        row_scale = np.float64(scale[j])
        for i in range(queries.shape[0]):
            query = queries[i]
            total = np.int32(0)
            for k in range(dim):
                total = np.int32(total + np.int32(np.int32(query[k]) * np.int32(row[k])))
            out[j - first, i] = np.float32(np.float64(total) * (row_scale * query_scale[i]))


@parallel_kernel(grain=32)
def _scores(
    low: int,
    high: int,
    queries: NDArray[np.int16],
    query_scale: NDArray[np.float64],
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    q = queries.shape[0]
    most = _most(first, last, low, high)
    right, best, final = np.empty(q, np.int64), np.empty(q, np.float32), np.empty(q, np.int64)
    top = np.empty(most, np.float32)
    cosines = np.empty((most, q), np.float32)
    for c in range(low, high):
        m = last[c] - first[c]
        _cosines(queries, query_scale, rows, scale, first[c], last[c], cosines)
        _nearest(cosines, 0, m, right, best, final, top)
        out[c] = _score(right, best, m)


# ---- public ----


class Query(NamedTuple):
    """Sentences of a query, rounded (see :func:`query`)."""

    rows: NDArray[np.int16]
    """int16[q, dim]."""
    scale: NDArray[np.float64]
    """float64[q]: a sentence is its row times this."""


class Pairs(NamedTuple):
    """Sentences of a query and of a text that are each other's nearest, in the order of the query."""

    left: NDArray[np.int64]
    """int64[p]: sentences of the query."""
    right: NDArray[np.int64]
    """int64[p]: of the text."""
    cosines: NDArray[np.float32]


def query(vectors: NDArray[np.float32]) -> Query:
    """Unit vectors float32[q, dim] of a query's sentences, rounded to at most 16 bits (an error of some 1e-5).

    Raises
    ------
    ValueError
        If it is no matrix, or has more than 2 ** 16 columns.
    """
    if vectors.ndim != 2 or vectors.shape[1] > 1 << 16:
        raise ValueError(f"a query is float32[q, dim], not {list(vectors.shape)}")
    # No sum of products with int8 leaves 32 bits.
    largest = min((1 << 15) - 1, ((1 << 31) - 1) // (128 * max(1, vectors.shape[1])))
    wide = vectors.astype(np.float64)
    scale = np.abs(wide).max(axis=1, initial=0.0) / largest
    rows = np.rint(np.divide(wide, scale[:, np.newaxis], out=np.zeros_like(wide), where=scale[:, np.newaxis] > 0))
    return Query(frozen(np.ascontiguousarray(rows.astype(np.int16))), frozen(scale))


def _ranges(
    first: NDArray[np.int64], last: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, last = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(last, np.int64)
    if first.ndim != 1 or first.shape != last.shape:
        raise ValueError(f"first and last must be int64[c], not {list(first.shape)} and {list(last.shape)}")
    if first.size and (int(first.min()) < 0 or int(last.max()) > rows or bool((first > last).any())):
        raise ValueError(f"ranges must lie within the {rows} sentences")
    return frozen(first), frozen(last)


def _fits(asked: Query, sentences: RowVectors) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    rows, scale = sentences
    if rows.dtype != np.int8 or rows.ndim != 2 or rows.shape[1] != asked.rows.shape[1] or not rows.flags.c_contiguous:
        raise ValueError(f"sentences must be a contiguous int8[s, {asked.rows.shape[1]}], not {list(rows.shape)}")
    if scale.dtype != np.float32 or scale.shape != rows.shape[:1] or not scale.flags.c_contiguous:
        raise ValueError(f"scale must be float32[{len(rows)}], not {scale.dtype}{list(scale.shape)}")
    return frozen(rows), frozen(scale)


def scores(
    asked: Query, sentences: RowVectors, first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Alignment scores float32[c] of a query with c texts; each is the same whatever else is asked for.

    Parameters
    ----------
    asked
        See :func:`query`.
    sentences
        Unit vectors of all sentences, int8[s, dim] and float32[s]; may be mapped files.
    first, last
        int64[c]: text i has the sentences ``first[i] .. last[i] - 1``.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    rows, scale = _fits(asked, sentences)
    first, last = _ranges(first, last, len(rows))
    out = np.empty(first.size, np.float32)
    _scores(first.size, *asked, rows, scale, first, last, out)
    return out


def cosines(asked: Query, sentences: RowVectors, first: int, last: int) -> NDArray[np.float32]:
    """Cosines float32[m, q] of the sentences ``first .. last - 1`` with a query's; the arguments of :func:`scores`."""
    rows, scale = _fits(asked, sentences)
    _ranges(np.array([first]), np.array([last]), len(rows))
    out = np.empty((last - first, len(asked.rows)), np.float32)
    _cosines(*asked, rows, scale, first, last, out)
    return out


def scores_of(cosines: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Alignment scores float32[c] where the cosines are known.

    Parameters
    ----------
    cosines
        float32[s, q]: of the sentences of c texts, one text after another, with those of the query.
    starts
        int64[c + 1]: text i has the sentences ``starts[i]:starts[i + 1]``.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    first, last = _ranges(starts[:-1], starts[1:], len(cosines))
    out = np.empty(first.size, np.float32)
    _scores_of(first.size, frozen(np.ascontiguousarray(cosines, np.float32)), first, last, out)
    return out


def pairs_of(cosines: NDArray[np.float32]) -> Pairs:
    """Pairs of one text by the cosines float32[m, q] of its sentences with those of a query."""
    m, q = cosines.shape
    right, best, final = np.empty(q, np.int64), np.empty(q, np.float32), np.empty(q, np.int64)
    _nearest(frozen(np.ascontiguousarray(cosines, np.float32)), 0, m, right, best, final, np.empty(m, np.float32))
    paired = np.flatnonzero(right >= 0)
    return Pairs(paired, right[paired], best[paired])
