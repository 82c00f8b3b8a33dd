"""Exact overlap of a query with stored texts, from the texts themselves: one pass, nothing sorted, nothing copied.

This verifies the candidates of a search. Each text is shingled into a scratch hash table that drops repeats, and each
new shingle is looked up in a hash table of the query's. Both tables use linear probing at a load of at most one half;
shingle hashes are well mixed, so their low bits are the place. A generation stamp spares clearing between texts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .arrow import check_texts, frozen
from .fold import BUFFER, SEGMENT, folded
from .jit import kernel, parallel_kernel, prange
from .shingle import shingle_text

CHUNK: Final = 16
"""Texts that one thread takes at once."""


@kernel
def _table_size(entries: int) -> int:
    """Power of two that holds ``entries`` at a load of at most one half."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@kernel
def _query_table(query: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash table uint64[size] of ``query``; zero marks an empty place, so a zero hash is looked up apart."""
    size = _table_size(query.size)
    table = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    for value in query:
        place = value & mask
        while table[place] != 0 and table[place] != value:
            place = (place + np.uint64(1)) & mask
        table[place] = value
    return table


@kernel
def _chunk(
    table: NDArray[np.uint64],
    has_zero: bool,
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
    first: int,
    last: int,
    shared: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Overlap of the texts ``rows[first:last]``."""
    buffer = np.empty(BUFFER, np.uint8)
    scratch = np.empty(SEGMENT, np.int32)
    hashes = np.empty(BUFFER // 2 + 2, np.uint64)
    seen = np.zeros(16, np.uint64)
    stamps = np.zeros(16, np.uint32)
    stamp = np.uint32(0)
    one = np.uint64(1)
    wanted_mask = np.uint64(table.size - 1)
    for r in range(first, last):
        i = rows[r]
        buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
        if hashes.size < length // 2 + 2:
            hashes = np.empty(length, np.uint64)
        m, _ = shingle_text(buffer, length, hashes)
        size = _table_size(m)
        if size > seen.size:
            seen = np.zeros(size, np.uint64)
            stamps = np.zeros(size, np.uint32)
            stamp = np.uint32(0)
        stamp += np.uint32(1)
        mask = np.uint64(seen.size - 1)
        distinct = 0
        common = 0
        for k in range(m):
            value = hashes[k]
            place = value & mask
            while stamps[place] == stamp and seen[place] != value:
                place = (place + one) & mask
            if stamps[place] == stamp:
                continue
            stamps[place] = stamp
            seen[place] = value
            distinct += 1
            if value == 0:
                common += 1 if has_zero else 0
                continue
            place = value & wanted_mask
            while table[place] != 0 and table[place] != value:
                place = (place + one) & wanted_mask
            common += 1 if table[place] == value else 0
        shared[r] = common
        sizes[r] = distinct


@parallel_kernel
def _overlap(
    query: NDArray[np.uint64], data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n = rows.size
    shared = np.empty(n, np.int64)
    sizes = np.empty(n, np.int64)
    table = _query_table(query)
    has_zero = query.size > 0 and query[0] == 0
    for c in prange((n + CHUNK - 1) // CHUNK):
        _chunk(table, has_zero, data, offsets, rows, c * CHUNK, min(n, (c + 1) * CHUNK), shared, sizes)
    return shared, sizes


def query_overlap(
    query: NDArray[np.uint64], data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Common shingles of a query with some texts, and how many distinct ones each text has.

    Parameters
    ----------
    query : uint64[q]
        Distinct shingles, ascending, from :func:`~kinprint.kernels.shingle.shingle_sets`.
    data, offsets
        Texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].
    rows : int64[r]
        Which texts, in 0..n-1, in any order.

    Returns
    -------
    shared, sizes : int64[r]
        |A and B| and |B| for the query A and each text B.

    Raises
    ------
    ValueError
        If a shape, a dtype or a row does not fit.
    """
    check_texts(data, offsets)
    if query.dtype != np.uint64 or query.ndim != 1:
        raise ValueError(f"query must be uint64[q], not {query.dtype}{list(query.shape)}")
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError(f"rows must be int64[r], not {rows.dtype}{list(rows.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() >= offsets.size - 1):
        raise ValueError(f"rows must be in 0..{offsets.size - 2}")
    return _overlap(frozen(np.ascontiguousarray(query)), frozen(data), frozen(offsets), frozen(rows))
