"""Exact set-similarity join: all pairs of shingle sets with a Jaccard similarity of at least a threshold.

Nothing is estimated, so nothing is missed. The method is of the AllPairs and PPJoin family (Chaudhuri, Ganti, Kaushik,
"A primitive operator for similarity joins in data cleaning", ICDE 2006; Bayardo, Ma, Srikant, "Scaling up all pairs
similarity search", WWW 2007; Xiao, Wang, Lin, Yu, "Efficient similarity joins for near duplicate detection", WWW 2008;
compared by Mann, Augsten, Bouros, "An empirical evaluation of set similarity join techniques", PVLDB 9(9), 2016):

1. Count in how many sets each shingle is, and order all shingles from rare to common.
2. Two sets with J >= t share one of the rarest ``size - ceil(t size) + 1`` shingles of each, its *prefix*. A shingle
   that is in one set only takes up a place there and leads nowhere. Where a text says enough of its own, its prefix
   holds nothing else, and the text is done.
3. Sets are ranked by size. Each looks up its prefix in an index of the sets of lower rank, of which the rarest
   ``size - ceil(2 t size / (1 + t)) + 1`` shingles suffice. The sizes of the two, and the places of the first shingle
   that they share, bound what they can share in all.
4. What remains is merged, which stops as soon as the pair has missed too much.

Frequencies are held in four bits, exact up to 4 and about doubling from there on (Morris, "Counting large numbers of
events in small registers", CACM 21(10), 1978): with any order of the shingles all pairs are found, and this one makes
few candidates. Shingles that fall on one counter look more common than they are; that costs candidates, never pairs.

Memory, beyond the sets and the pairs of a chunk: 36 bytes a set and 4 more for each thread, and 4 MiB for candidates;
for each shingle up to 1 byte of counters and 4 (1 - t) of prefixes; up to 12 for each shingle that is indexed, which
are at most (1 - t) / (1 + t) of all, and far fewer where many are in one set only. That is at most 5 bytes a shingle at
a threshold of .7, 7 at .5 and 15 at .1, where the sets themselves take 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy.prefixes import (
    SLACK,
    Prefixes,
    PrefixIndex,
    Ranks,
    Sets,
    fetch,
    first_from,
    index_of,
    least_shared,
    prefixes_of,
    ranks_of,
    set_at,
    share_of_pair,
    sides_of,
)
from kinprint.kernels.copy.sketch import check_sets
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.spread import threads
from numpy.typing import NDArray

CHUNK: Final = 1_000_000
"""Pairs that are handed out at once."""
_RUN: Final = 256
"""Sets that one thread takes at once, or fewer."""
_BATCH: Final = 1 << 19
"""Candidates for which there is room at once, more only if one set has more."""
_LONG: Final = 32
"""Postings from which the first of a sufficient size is searched for."""


class Pairs(NamedTuple):
    """p pairs of sets."""

    a: NDArray[np.int64]
    """int64[p]: row of the one set."""
    b: NDArray[np.int64]
    """int64[p]: row of the other set."""
    shared: NDArray[np.int64]
    """int64[p]: common shingles. The Jaccard similarity is ``shared / (size_a + size_b - shared)``."""


# ---- candidates ----


@parallel_kernel(_RUN)
def _rooms(
    first: int,
    last: int,
    ranks: Ranks,
    prefixes: Prefixes,
    index: PrefixIndex,
    low: float,
    sides: int,
    n_a: int,
    rooms: NDArray[np.int64],
) -> None:
    """``rooms`` int64[n]: of each rank, no less than its candidates."""
    shift = np.uint32(32 - index.bits)
    lists = np.uint64(sides)
    for r in range(first, last):
        other = np.uint64(sides - 1 if ranks.order[r] < n_a else 0)
        met = 0
        for k in range(np.uint64(prefixes.places[r]), np.uint64(prefixes.places[r + 1] - prefixes.singles[r])):
            postings = np.uint64(prefixes.entries[k] >> shift) * lists + other
            met += index.offsets[postings + np.uint64(1)] - index.offsets[postings]
        rooms[r] = 0
        if met > 0:
            rooms[r] = min(met, r - ranks.starts[least_shared(ranks.sizes[r], low)])


@kernel
def _candidates(
    ranks: Ranks,
    prefixes: Prefixes,
    index: PrefixIndex,
    low: float,
    sides: int,
    n_a: int,
    r: int,
    met: NDArray[np.int32],
    lists: NDArray[np.int64],
    found: NDArray[np.int64],
) -> int:
    """Write the lower ranks that may be similar to rank ``r`` to ``found``, each once; their number.

    ``met[other]`` is left at r + 1 for all that were met. ``lists`` has two places for every entry of the rank.
    """
    shift = np.uint32(32 - index.bits)
    other = np.uint64(sides - 1 if ranks.order[r] < n_a else 0)
    size = ranks.sizes[r]
    smallest = ranks.starts[least_shared(size, low)]
    singles = prefixes.singles[r]
    place = np.uint64(prefixes.places[r])
    entries = np.uint64(prefixes.places[r + 1] - prefixes.places[r] - singles)
    for k in range(entries):
        postings = np.uint64(prefixes.entries[place + k] >> shift) * np.uint64(sides) + other
        lists[k + k] = index.offsets[postings]
        lists[k + k + np.uint64(1)] = index.offsets[postings + np.uint64(1)]
        fetch(index.postings, index.offsets[postings])
    count = 0
    for k in range(entries):
        first, last = lists[k + k], lists[k + k + np.uint64(1)]
        if last - first > _LONG:
            first = first_from(index.postings, first, last, first, np.uint64(smallest) << np.uint64(32))
        check = np.uint64(prefixes.entries[place + k] & np.uint32(0xFFFF))
        for p in range(np.uint64(first), np.uint64(last)):
            posting = index.postings[p]
            y = np.int64(posting >> np.uint64(32))
            if y >= r:
                break
            if posting & np.uint64(0xFFFF) != check or y < smallest or met[y] == r + 1:
                continue
            met[y] = r + 1
            # This is the first shingle that both have, in both; what else they share comes after it.
            where = np.int64((posting >> np.uint64(16)) & np.uint64(0xFFFF))
            left = min(size - singles - np.int64(k), ranks.sizes[y] - where)
            if left >= least_shared(size + ranks.sizes[y], share_of_pair(low)):
                found[count] = y
                count += 1
    return count


# ---- pairs ----


@kernel
def _shared(x: NDArray[np.uint64], y: NDArray[np.uint64], least: int) -> int:
    """Common elements of two ascending arrays; -1 as soon as it is clear that they are fewer than ``least``."""
    spare_x = x.size - least
    spare_y = y.size - least
    i = 0
    j = 0
    count = 0
    while i < x.size and j < y.size:
        u = x[np.uint64(i)]
        v = y[np.uint64(j)]
        count += 1 if u == v else 0
        i += 1 if u <= v else 0
        j += 1 if v <= u else 0
        if i - count > spare_x or j - count > spare_y:
            return -1
    return count


@kernel
def _fetch_set(values: NDArray[np.uint64]) -> None:
    """The first lines of a set; the processor sees where this goes and fetches the others."""
    for k in range(0, 32, 8):
        fetch(values, k)


@kernel
def _find_run(
    sets: Sets,
    ranks: Ranks,
    prefixes: Prefixes,
    index: PrefixIndex,
    threshold: float,
    first: int,
    last: int,
    rooms: NDArray[np.int64],
    met: NDArray[np.int32],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Pairs of the ranks first .. last-1 with lower ones.

    Those of rank r are left from ``found[rooms[r] - rooms[first]]`` on, as lower rank << 32 | shared, ascending, and
    their number at ``counts[r - first]``.
    """
    low = threshold * SLACK
    sides, n_a = sides_of(sets)
    lists = np.empty(256, np.int64)
    for r in range(first, last):
        start, end = rooms[r] - rooms[first], rooms[r + 1] - rooms[first]
        count = 0
        if end > start:
            entries = prefixes.places[r + 1] - prefixes.places[r] - prefixes.singles[r]
            if 2 * entries > lists.size:
                lists = np.empty(4 * entries, np.int64)
            count = _candidates(ranks, prefixes, index, low, sides, n_a, r, met, lists, found[start:end])
        if count > 0:
            _fetch_set(set_at(sets, ranks.order[r]))
        for k in range(start, start + min(count, _RUN)):
            _fetch_set(set_at(sets, ranks.order[found[k]]))
        counts[r - first] = count
    for r in range(first, last):
        start = rooms[r] - rooms[first]
        count = 0
        for k in range(start, start + counts[r - first]):
            x = set_at(sets, ranks.order[r])
            y = set_at(sets, ranks.order[found[k]])
            shared = _shared(x, y, least_shared(x.size + y.size, share_of_pair(low)))
            if shared > 0 and shared / (x.size + y.size - shared) >= threshold:
                found[start + count] = (found[k] << 32) | shared
                count += 1
        if count > 1:
            found[start : start + count].sort()
        counts[r - first] = count


@parallel_kernel()
def _find(
    first_strand: int,
    last_strand: int,
    sets: Sets,
    ranks: Ranks,
    prefixes: Prefixes,
    index: PrefixIndex,
    threshold: float,
    first: int,
    last: int,
    rooms: NDArray[np.int64],
    met: NDArray[np.int32],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """As :func:`_find_run`, in as many strands as ``met`` has rows."""
    strands = met.shape[0]
    # A batch of few ranks with many candidates each is spread as well.
    run = max(1, min(_RUN, (last - first) // (8 * strands)))
    for strand in range(first_strand, last_strand):
        for begin in range(first + strand * run, last, strands * run):
            end = min(last, begin + run)
            place = rooms[begin] - rooms[first]
            strand_counts = counts[begin - first :]
            _find_run(
                sets,
                ranks,
                prefixes,
                index,
                threshold,
                begin,
                end,
                rooms,
                met[strand],
                found[place:],
                strand_counts,
            )


@kernel
def _rows(
    ranks: Ranks,
    sides: int,
    n_a: int,
    first: int,
    rooms: NDArray[np.int64],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> Pairs:
    """What :func:`_find` left, without gaps, and rows in place of ranks."""
    total = counts.sum()
    a = np.empty(total, np.int64)
    b = np.empty(total, np.int64)
    shared = np.empty(total, np.int64)
    p = 0
    for c in range(counts.size):
        x = np.int64(ranks.order[first + c])
        start = rooms[first + c] - rooms[first]
        for k in range(start, start + counts[c]):
            y = np.int64(ranks.order[found[k] >> 32])
            a[p] = min(x, y)
            b[p] = max(x, y) - (n_a if sides == 2 else 0)
            shared[p] = found[k] & 0xFFFFFFFF
            p += 1
    return Pairs(a, b, shared)


def _batches(sets: Sets, threshold: float) -> Iterator[Pairs]:
    """All pairs, as many at a time as there is room for candidates."""
    low = threshold * SLACK
    sides, n_a = sides_of(sets)
    ranks = ranks_of(sets)
    n = ranks.sizes.size
    prefixes = prefixes_of(sets, ranks, low)
    index = index_of(ranks, prefixes, low, sides, n_a)
    rooms = np.zeros(n + 1, np.int64)
    _rooms(n, ranks, prefixes, index, low, sides, n_a, rooms[1:])
    np.cumsum(rooms, out=rooms)
    met = np.zeros((threads(), n), np.int32)
    found = np.empty(0, np.int64)
    first = 0
    while rooms[first] < rooms[n]:
        # As many ranks as there is room for, and always one that has candidates.
        last = int(np.searchsorted(rooms, rooms[first] + _BATCH, "right")) - 1
        last = max(last, int(np.searchsorted(rooms, rooms[first], "right")))
        if found.size < rooms[last] - rooms[first]:
            found = np.empty(max(rooms[last] - rooms[first], _BATCH), np.int64)
        counts = np.empty(last - first, np.int64)
        _find(len(met), sets, ranks, prefixes, index, threshold, first, last, rooms, met, found, counts)
        yield _rows(ranks, sides, n_a, first, rooms, found, counts)
        first = last


def _pairs(sets: Sets, threshold: float, chunk: int) -> Iterator[Pairs]:
    """All pairs, ``chunk`` at a time."""
    waiting: list[Pairs] = []
    filled = 0
    for batch in _batches(sets, threshold):
        waiting.append(batch)
        filled += batch.a.size
        if filled < chunk:
            continue
        pairs = Pairs(*(np.concatenate(parts) for parts in zip(*waiting, strict=True)))
        rest = filled - filled % chunk
        for k in range(0, rest, chunk):
            yield Pairs(*(part[k : k + chunk] for part in pairs))
        waiting = [Pairs(*(part[rest:].copy() for part in pairs))]
        filled -= rest
    if filled > 0:
        yield Pairs(*(np.concatenate(parts) for parts in zip(*waiting, strict=True)))


def _checked(
    collections: tuple[tuple[NDArray[np.uint64], NDArray[np.int64]], ...], threshold: float, chunk: int
) -> Sets:
    for hashes, indptr in collections:
        check_sets(hashes, indptr)
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    none = (np.empty(0, np.uint64), np.zeros(1, np.int64))
    (hashes_a, indptr_a), (hashes_b, indptr_b) = (*collections, none)[:2]
    sets = Sets(frozen(hashes_a), frozen(indptr_a), frozen(hashes_b), frozen(indptr_b))
    largest = max(int(np.diff(indptr).max(initial=0)) for _, indptr in collections)
    if max(indptr_a.size + indptr_b.size, largest) >= 1 << 31:
        raise ValueError("a join takes fewer than 2^31 sets, of fewer than 2^31 shingles each")
    return sets


def self_join(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], threshold: float, chunk: int = CHUNK
) -> Iterator[Pairs]:
    """All pairs of sets with a Jaccard similarity of at least ``threshold``, each once.

    Parameters
    ----------
    hashes, indptr
        Shingle sets as :func:`~kinprint.kernels.copy.shingle.shingle_sets` gives them: uint64[m], int64[n + 1]. Hashes
        ascend within a set and are not repeated there, and are well mixed; for others, respectively, results are
        unspecified and the join is slow. Read-only maps are fine, and nothing is copied.
    threshold
        In (0, 1]. A pair is wanted if ``shared / union >= threshold``, a division of float64.
    chunk
        Pairs at a time.

    Yields
    ------
    Pairs
        ``chunk`` pairs, fewer only the last time, with ``a < b``. They are in the order of their larger set and, within
        that, of their smaller one, where sets are ordered by size and then by row; the number of threads has no say. Of
        m identical sets these are m (m - 1) / 2 pairs, so collapse these first where they are not wanted. Empty sets
        are in no pair.

    Raises
    ------
    ValueError
        If a shape, a dtype, ``threshold`` or ``chunk`` does not fit, or there are 2^31 sets or more.
    """
    return _pairs(_checked(((hashes, indptr),), threshold, chunk), float(threshold), chunk)


def join(
    hashes_a: NDArray[np.uint64],
    indptr_a: NDArray[np.int64],
    hashes_b: NDArray[np.uint64],
    indptr_b: NDArray[np.int64],
    threshold: float,
    chunk: int = CHUNK,
) -> Iterator[Pairs]:
    """All pairs of a set in ``a`` and a set in ``b`` with a Jaccard similarity of at least ``threshold``.

    As :func:`self_join`, but that ``a`` and ``b`` of a pair are rows of the first and of the second collection, and
    that of two sets of one size that in ``a`` is ordered first. The collections may hold the same sets; nothing is
    compared within one of them.

    Raises
    ------
    ValueError
        If a shape, a dtype, ``threshold`` or ``chunk`` does not fit, or there are 2^31 sets or more.
    """
    sets = _checked(((hashes_a, indptr_a), (hashes_b, indptr_b)), threshold, chunk)
    if min(indptr_a.size, indptr_b.size) == 1:
        return iter(())
    return _pairs(sets, float(threshold), chunk)
