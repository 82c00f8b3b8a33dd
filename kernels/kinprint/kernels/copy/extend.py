"""How far two texts go on with equal tokens from a place that they share, without cutting the other one up whole.

The other text is cut into tokens in windows that grow with the match, so that a short phrase of a long text costs what
the phrase does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from kinprint.kernels.copy.tokens import Row, cut_after, cut_before, equal_tokens, larger_row, opens, tokens_in
from kinprint.kernels.hashing import load64
from kinprint.kernels.jit import inlined, kernel
from numpy.typing import NDArray

_AROUND = 64
"""Bytes beside the place that are looked at first."""


class Pair(NamedTuple):
    """The tokens of another text that are equal to those of a text, by the number of the latter's."""

    begins: NDArray[np.int32]
    ends: NDArray[np.int32]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    """As in :class:`~kinprint.kernels.copy.tokens.Row`; defined from ``reach[0]`` up to ``reach[1]`` - 1."""
    reach: NDArray[np.int64]


@kernel
def pair_of(size: int) -> Pair:
    """Scratch for texts of up to so many tokens."""
    return Pair(
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.bool_),
        np.empty(size, np.bool_),
        np.zeros(2, np.int64),
    )


@inlined
def _keep(pair: Pair, k: int, row: Row, j: int) -> None:
    pair.begins[k] = row.begins[j]
    pair.ends[k] = row.ends[j]
    pair.opens[k] = opens(row, j)
    pair.closes[k] = row.closes[j]


@kernel
def _seed_in(a: Row, i: int, size: int, row: Row, n: int, there: int) -> int:
    """The token of a window that begins at byte ``there`` and goes on as a does from token i on; -1 if none does."""
    j = int(np.searchsorted(row.begins[:n], there))
    while j + size <= n and row.begins[j] == there:
        k = 0
        while k < size and equal_tokens(a, i + k, row, j + k):
            k += 1
        if k == size:
            return j
        j += 1
    return -1


@kernel
def _is_same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    if a.size != b.size:
        return False
    k = 0
    while k + 8 <= a.size:
        if load64(a, k) != load64(b, k):
            return False
        k += 8
    while k < a.size:
        if a[k] != b[k]:
            return False
        k += 1
    return True


@kernel
def extend(
    own: NDArray[np.uint8],
    a: Row,
    count: int,
    i: int,
    size: int,
    text: NDArray[np.uint8],
    there: int,
    row: Row,
    pair: Pair,
) -> int:
    """Fill ``pair`` with the longest run of equal tokens around token i of a and byte ``there`` of another text.

    ``a`` holds the ``count`` tokens of the text ``own``.

    ``size`` tokens are to be equal from there on; where they are not, as two rows of tokens may have one hash, nothing
    is: ``pair.reach`` is [i, i). Returns 0, or the size that ``row`` must have to go on.
    """
    if there == a.begins[i] and _is_same(own, text):  # answers that many give are not cut up for each of them
        for k in range(count):
            _keep(pair, k, a, k)
        pair.reach[0] = 0
        pair.reach[1] = count
        return 0
    pair.reach[0] = i
    pair.reach[1] = i
    span = int(a.ends[i + size - 1] - a.begins[i])
    low = cut_before(text, max(0, there - _AROUND))
    high = cut_after(text, min(text.size, there + span + _AROUND))
    n = tokens_in(text, low, high, row)
    if n < 0:
        return larger_row(row, high - low)
    seed = _seed_in(a, i, size, row, n, there)
    width = _AROUND
    while seed < 0 and high < text.size and (n < size or row.begins[n - size] < there):
        # The same words take up more room there, so that the window may not hold them.
        width *= 4
        high = cut_after(text, min(text.size, high + width))
        n = tokens_in(text, low, high, row)
        if n < 0:
            return larger_row(row, high - low)
        seed = _seed_in(a, i, size, row, n, there)
    if seed < 0:
        return 0
    # To the left, in this window and in those before it.
    k = i
    j = seed
    begin = low
    width = 2 * _AROUND
    while True:
        while k > 0 and j > 0 and equal_tokens(a, k - 1, row, j - 1):
            k -= 1
            j -= 1
            _keep(pair, k, row, j)
        if k == 0 or j > 0 or begin == 0:
            break
        end = begin
        begin = cut_before(text, max(0, begin - width))
        width *= 2
        j = tokens_in(text, begin, end, row)
        if j < 0:
            return larger_row(row, end - begin)
    left = k
    # To the right; the first window is there no more if another has been looked at.
    if begin < low:
        n = tokens_in(text, low, high, row)
    k = i
    j = seed
    width = 2 * _AROUND
    while True:
        while k < count and j < n and equal_tokens(a, k, row, j):
            _keep(pair, k, row, j)
            k += 1
            j += 1
        if k == count or j < n or high == text.size:
            break
        low = high
        high = cut_after(text, min(text.size, high + width))
        width *= 2
        n = tokens_in(text, low, high, row)
        if n < 0:
            return larger_row(row, high - low)
        j = 0
    pair.reach[0] = left
    pair.reach[1] = k
    return 0
