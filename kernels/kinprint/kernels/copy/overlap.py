"""Exact sizes of intersections: of texts, from the texts themselves, and of shingle sets.

Jaccard similarity is ``k / (size_a + size_b - k)`` and the containment of a in b is ``k / size_a``, where k is the
intersection found here; nothing is estimated.

Texts are verified as the candidates of a search and of a search for duplicates, in one pass, nothing sorted, nothing
copied. Each text is shingled into a scratch hash table that drops repeats, and each new shingle is looked up in a hash
table of the other text's. Both tables use linear probing at a load of at most one half; shingle hashes are well mixed,
so their low bits are the place. A generation stamp spares clearing between texts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.shingle import Shingling, folded_text, larger_size, scheme_number, shingle_text, workspace
from kinprint.kernels.copy.sketch import check_sets
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

CHUNK: Final = 16
"""Texts that one thread takes at once."""
PAIR_CHUNK: Final = 128
"""Pairs that one thread takes at once."""

_GALLOP = 16
"""Ratio of sizes from which a gallop through the larger set beats a merge of both."""


@kernel
def _table_size(entries: int) -> int:
    """Power of two that holds ``entries`` at a load of at most one half."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@kernel
def _fill_table(
    values: NDArray[np.uint64], m: int, table: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], int, bool, int]:
    """Hash table of ``values[:m]`` in ``table`` or in a larger one: (table, its size, whether 0 is there, values).

    Zero marks an empty place, so a zero hash is noted apart.
    """
    size = _table_size(m)
    if table.size < size:
        table = np.empty(size, np.uint64)
    table[:size] = 0
    mask = np.uint64(size - 1)
    has_zero = False
    distinct = 0
    for k in range(m):
        value = values[k]
        if value == 0:
            has_zero = True
            continue
        place = value & mask
        while table[place] != 0 and table[place] != value:
            place = (place + np.uint64(1)) & mask
        distinct += 1 if table[place] == 0 else 0
        table[place] = value
    return table, size, has_zero, distinct + (1 if has_zero else 0)


class _Seen(NamedTuple):
    """Scratch set of the shingles of one text; a place counts if it bears the stamp of the text."""

    values: NDArray[np.uint64]
    stamps: NDArray[np.uint32]
    #: uint32[1]: the present stamp.
    stamp: NDArray[np.uint32]


@kernel
def _new_seen(size: int) -> _Seen:
    return _Seen(np.zeros(size, np.uint64), np.zeros(size, np.uint32), np.zeros(1, np.uint32))


@kernel
def _common(
    table: NDArray[np.uint64], size: int, has_zero: bool, hashes: NDArray[np.uint64], m: int, seen: _Seen
) -> tuple[int, int]:
    """(shared, distinct) of ``hashes[:m]`` with a table of :func:`_fill_table`; ``seen`` has room for m."""
    need = _table_size(m)
    seen.stamp[0] += np.uint32(1)
    stamp = seen.stamp[0]
    one = np.uint64(1)
    wanted_mask = np.uint64(size - 1)
    # Of a scratch grown by a long text a short one uses the head only, which stays in the cache.
    mask = np.uint64(need - 1)
    distinct = 0
    common = 0
    for k in range(m):
        value = hashes[k]
        place = value & mask
        while seen.stamps[place] == stamp and seen.values[place] != value:
            place = (place + one) & mask
        if seen.stamps[place] == stamp:
            continue
        seen.stamps[place] = stamp
        seen.values[place] = value
        distinct += 1
        if value == 0:
            common += 1 if has_zero else 0
            continue
        place = value & wanted_mask
        while table[place] != 0 and table[place] != value:
            place = (place + one) & wanted_mask
        common += 1 if table[place] == value else 0
    return common, distinct


@parallel_kernel(CHUNK)
def _query(
    first: int,
    last: int,
    table: NDArray[np.uint64],
    size: int,
    has_zero: bool,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    shared: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Overlap of the texts ``rows[first:last]``."""
    work = workspace(BUFFER)
    seen = _new_seen(16)
    for r in range(first, last):
        i = rows[r]
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        a, b, _ = shingle_text(work, length, 0)
        if _table_size(a + b) > seen.values.size:
            seen = _new_seen(_table_size(a + b))
        common, distinct = _common(table, size, has_zero, work.hashes, a + b, seen)
        shared[r] = common
        sizes[r] = distinct


@parallel_kernel(PAIR_CHUNK)
def _pairs(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    scheme: int,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Pairs first .. last-1 to ``out`` int64[p, 3]; a text that comes several times in a row in ``a`` is read once."""
    work = workspace(BUFFER)
    seen = _new_seen(16)
    table = np.empty(16, np.uint64)
    size = 1
    has_zero = False
    before = -1
    size_a = 0
    for p in range(first, last):
        if a[p] != before:
            before = a[p]
            length = folded_text(work, addresses[before], lengths[before], False)
            while length < 0:
                work = workspace(larger_size(work, lengths[before]))
                length = folded_text(work, addresses[before], lengths[before], False)
            x, y, _ = shingle_text(work, length, scheme)
            table, size, has_zero, size_a = _fill_table(work.hashes, x + y, table)
        length = folded_text(work, addresses[b[p]], lengths[b[p]], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[b[p]]))
            length = folded_text(work, addresses[b[p]], lengths[b[p]], False)
        x, y, _ = shingle_text(work, length, scheme)
        if _table_size(x + y) > seen.values.size:
            seen = _new_seen(_table_size(x + y))
        common, distinct = _common(table, size, has_zero, work.hashes, x + y, seen)
        out[p, 0] = common
        out[p, 1] = size_a
        out[p, 2] = distinct


def _check_rows(rows: NDArray[np.int64], count: int) -> None:
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError(f"rows must be int64[r], not {rows.dtype}{list(rows.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise ValueError(f"rows must be in 0..{count - 1}")


def query_overlap_of(
    query: NDArray[np.uint64], texts: Texts, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Common shingles of a query with some texts, and how many distinct ones each text has.

    Parameters
    ----------
    query : uint64[q]
        Distinct shingles of scheme ``w3c5``, from :func:`~kinprint.kernels.copy.shingle.sets_of`.
    texts
        Where the rows are.
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
    if query.dtype != np.uint64 or query.ndim != 1:
        raise ValueError(f"query must be uint64[q], not {query.dtype}{list(query.shape)}")
    _check_rows(rows, len(texts))
    table, size, has_zero, _ = _fill_table(frozen(np.ascontiguousarray(query)), query.size, np.empty(0, np.uint64))
    shared = np.empty(rows.size, np.int64)
    sizes = np.empty(rows.size, np.int64)
    where = frozen(texts.addresses), frozen(texts.lengths), frozen(np.ascontiguousarray(rows))
    _query(rows.size, frozen(table), size, has_zero, *where, shared, sizes)
    return shared, sizes


def pair_overlap(
    texts: Texts, a: NDArray[np.int64], b: NDArray[np.int64], shingles: Shingling = "w3c5"
) -> NDArray[np.int64]:
    """Common shingles and sizes of pairs of texts.

    Cheapest with equal values of ``a`` next to each other.

    Parameters
    ----------
    texts
        Where the rows are.
    a, b : int64[p]
        Rows, in 0..n-1.
    shingles
        Scheme of shingling.

    Returns
    -------
    int64[p, 3]
        |A and B|, |A| and |B|, in distinct shingles.

    Raises
    ------
    ValueError
        If a shape, a dtype, a row or the scheme does not fit.
    """
    _check_rows(a, len(texts))
    _check_rows(b, len(texts))
    if a.size != b.size:
        raise ValueError(f"a and b must be of one length, not {a.size} and {b.size}")
    rows_a, rows_b = frozen(np.ascontiguousarray(a)), frozen(np.ascontiguousarray(b))
    out = np.empty((a.size, 3), np.int64)
    _pairs(a.size, frozen(texts.addresses), frozen(texts.lengths), scheme_number(shingles), rows_a, rows_b, out)
    return out


# ---- sets ----


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


@kernel
def _intersections(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.int64]:
    out = np.empty(a.size, np.int64)
    for p in range(a.size):
        i = a[p]
        j = b[p]
        out[p] = _intersection(hashes[indptr[i] : indptr[i + 1]], hashes[indptr[j] : indptr[j + 1]])
    return out


def intersections(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Common shingles of the texts ``a[p]`` and ``b[p]`` for every pair p.

    Parameters
    ----------
    hashes, indptr
        Shingle sets as :func:`~kinprint.kernels.copy.shingle.sets_of` gives them: uint64[m], int64[n + 1].
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
