"""Exact sizes of intersections of shingle sets: Jaccard similarity and containment without estimation.

With ``size = indptr[i + 1] - indptr[i]``, Jaccard is ``k / (size_a + size_b - k)`` and the containment of a in b is
``k / size_a``, where k is the intersection found here.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy.sketch import check_sets
from kinprint.kernels.jit import kernel, parallel_kernel, prange
from numpy.typing import NDArray

_GALLOP = 16
"""Ratio of sizes from which a gallop through the larger set beats a merge of both."""


@kernel
def _intersection(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> int:
    """Common elements of two ascending arrays without repeats."""
    if a.size > b.size:
        a, b = b, a
    count = 0
    j = 0
    if a.size * _GALLOP < b.size:
        # Exponential search from where the last one ended (Bentley, Yao 1976).
        for i in range(a.size):
            value = a[i]
            step = 1
            low = j
            high = j
            while high < b.size and b[high] < value:
                low = high + 1
                high += step
                step *= 2
            high = min(high, b.size)
            while low < high:
                middle = (low + high) >> 1
                if b[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            j = low
            if j == b.size:
                break
            if b[j] == value:
                count += 1
                j += 1
        return count
    i = 0
    while i < a.size and j < b.size:
        x = a[i]
        y = b[j]
        count += 1 if x == y else 0
        i += 1 if x <= y else 0
        j += 1 if y <= x else 0
    return count


@parallel_kernel
def _intersections(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.int64]:
    out = np.empty(a.size, np.int64)
    for p in prange(a.size):
        i = a[p]
        j = b[p]
        out[p] = _intersection(hashes[indptr[i] : indptr[i + 1]], hashes[indptr[j] : indptr[j + 1]])
    return out


@parallel_kernel
def _query_intersections(
    query: NDArray[np.uint64], hashes: NDArray[np.uint64], indptr: NDArray[np.int64]
) -> NDArray[np.int64]:
    n = indptr.size - 1
    out = np.empty(n, np.int64)
    for i in prange(n):
        out[i] = _intersection(query, hashes[indptr[i] : indptr[i + 1]])
    return out


def intersections(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Common shingles of the texts ``a[p]`` and ``b[p]`` for every pair p, parallel over pairs.

    Parameters
    ----------
    hashes, indptr
        Shingle sets as :func:`~kinprint.kernels.copy.shingle.shingle_sets` gives them: uint64[m], int64[n + 1].
    a, b : int64[p]
        Rows, in 0..n-1.

    Returns
    -------
    int64[p]

    Raises
    ------
    ValueError
        If a shape or dtype differs, or a row is out of range.
    """
    check_sets(hashes, indptr)
    n = indptr.size - 1
    for rows in (a, b):
        if rows.dtype != np.int64 or rows.ndim != 1 or rows.size != a.size:
            raise ValueError(f"a and b must be int64[p] of one length, not {rows.dtype}{list(rows.shape)}")
        if rows.size and (rows.min() < 0 or rows.max() >= n):
            raise ValueError(f"rows must be in 0..{n - 1}")
    rows_a, rows_b = frozen(np.ascontiguousarray(a)), frozen(np.ascontiguousarray(b))
    return _intersections(frozen(hashes), frozen(indptr), rows_a, rows_b)


def query_intersections(
    query: NDArray[np.uint64], hashes: NDArray[np.uint64], indptr: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Common shingles of one set with each of n: int64[n]; parallel over texts.

    ``query`` is uint64[q], ascending and without repeats, as are the sets in ``hashes``.

    Raises
    ------
    ValueError
        If a shape or dtype differs, or ``query`` is not strictly ascending.
    """
    check_sets(hashes, indptr)
    if query.dtype != np.uint64 or query.ndim != 1 or not query.flags.c_contiguous:
        raise ValueError(f"query must be a contiguous uint64[q], not {query.dtype}{list(query.shape)}")
    if bool(np.any(query[1:] <= query[:-1])):
        raise ValueError("query must be strictly ascending")
    return _query_intersections(frozen(query), frozen(hashes), frozen(indptr))
