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

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy.sketch import check_sets
from kinprint.kernels.hashing import MULTIPLIER_1, trailing_zeros
from kinprint.kernels.jit import kernel, parallel_kernel, prange
from llvmlite import ir
from numba import extending, get_num_threads, types
from numpy.typing import NDArray

CHUNK: Final = 1_000_000
"""Pairs that are handed out at once."""

_SLACK: Final = 1.0 - 1e-9
"""Filters take the threshold for this much less, so that rounding loses no pair; the last comparison is exact."""
_TOP: Final = 15
"""Largest frequency class."""
_SINGLE: Final = 1
"""Shingles of this frequency class or a lower one are in no pair."""
_WAITING: Final = 2048
"""Counters that are known ahead of the one that is raised."""
_AHEAD: Final = 64
"""Counters that are fetched into the cache ahead of the one that is needed."""
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


class _Sets(NamedTuple):
    """Both collections: set i is row i of a or, from n_a on, row i - n_a of b. A self-join has an empty b."""

    hashes_a: NDArray[np.uint64]
    indptr_a: NDArray[np.int64]
    hashes_b: NDArray[np.uint64]
    indptr_b: NDArray[np.int64]


class _Ranks(NamedTuple):
    """The n sets in the order of size, then number."""

    order: NDArray[np.int32]
    """int32[n]: the set of each rank."""
    of_set: NDArray[np.int32]
    """int32[n]: the rank of each set."""
    sizes: NDArray[np.int64]
    """int64[n]: size by rank."""
    starts: NDArray[np.int64]
    """int64[largest size + 2]: the first rank of that size or a larger one."""


class _Prefixes(NamedTuple):
    """The prefix of each rank, rare first.

    Of a shingle only the upper 32 bits of its hash are kept, which is enough: they determine the counter and thereby
    the order, so that sets of such halves (with repeats) share at least as much as the sets, and all bounds hold.
    """

    places: NDArray[np.int64]
    """int64[n + 1]: where the entries of each rank begin; there is room for the whole prefix."""
    singles: NDArray[np.int32]
    """int32[n]: with how many shingles that are in one set only the prefix begins; they have no entry."""
    entries: NDArray[np.uint32]
    """uint32: the other shingles of the prefix."""


class _Index(NamedTuple):
    """Which ranks have a shingle in the indexed part of their prefix.

    The first ``bits`` bits of a shingle name its list; with two collections each has a list of its own, side by side.
    """

    bits: int
    """16 to 32."""
    offsets: NDArray[np.int64]
    """int64[lists + 1]: where each list begins."""
    postings: NDArray[np.uint64]
    """uint64, ascending in each list: the rank (32 bits), the place in its prefix (16 bits, at most 65535), and the
    lower 16 of the 32 bits of the shingle."""


# ---- what Numba lacks ----


def _intrinsic(body: Callable[..., Any]) -> Any:
    """Numba's own annotation of an intrinsic is that of its body, not of its call."""
    return extending.intrinsic(body)


def _prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), byte)
        shape = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], shape)
        # To be written, to stay, data.
        builder.call(fetch, [pointer, *(ir.Constant(number, flag) for flag in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def _class_mask(typingctx: Any, classes: Any, start: Any, wanted: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 64)
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        block = builder.load(builder.bitcast(builder.gep(struct.data, [args[1]]), vector.as_pointer()))
        block.align = 1
        none = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(none, args[2], ir.Constant(ir.IntType(32), 0))
        all_wanted = builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))
        return builder.bitcast(builder.icmp_unsigned("==", block, all_wanted), ir.IntType(64))

    return types.uint64(classes, types.int64, types.uint8), codegen


_fetch: Callable[[NDArray[Any], int | np.int64], None] = _intrinsic(_prefetch)
"""Bring an element of an array into the cache, and nothing else; the index may be out of bounds."""
_mask: Callable[[NDArray[np.uint8], int, np.uint8], np.uint64] = _intrinsic(_class_mask)
"""Bit k set where ``classes[start + k]`` is the wanted one, k < 64; these 64 must exist."""


# ---- sets and their ranks ----


@kernel
def _set(sets: _Sets, i: int) -> NDArray[np.uint64]:
    n_a = sets.indptr_a.size - 1
    if i < n_a:
        return sets.hashes_a[sets.indptr_a[i] : sets.indptr_a[i + 1]]
    return sets.hashes_b[sets.indptr_b[i - n_a] : sets.indptr_b[i - n_a + 1]]


@kernel
def _sides(sets: _Sets) -> tuple[int, int]:
    """(number of collections to keep apart, number of sets in the first)."""
    return (2 if sets.indptr_b.size > 1 else 1), sets.indptr_a.size - 1


@kernel
def _rank(sets: _Sets) -> _Ranks:
    """Counting sort by size."""
    n = sets.indptr_a.size + sets.indptr_b.size - 2
    size_of = np.empty(n, np.int64)
    for i in range(n):
        size_of[i] = _set(sets, i).size
    starts = np.zeros((size_of.max() if n > 0 else 0) + 2, np.int64)
    for i in range(n):
        starts[size_of[i] + 1] += 1
    for size in range(starts.size - 1):
        starts[size + 1] += starts[size]
    following = starts.copy()
    order = np.empty(n, np.int32)
    of_set = np.empty(n, np.int32)
    sizes = np.empty(n, np.int64)
    for i in range(n):
        r = following[size_of[i]]
        following[size_of[i]] = r + 1
        order[r] = i
        of_set[i] = r
        sizes[r] = size_of[i]
    return _Ranks(order, of_set, sizes, starts)


@kernel
def _least(total: int, share: float) -> int:
    """The least count, of 1 or more, that is at least ``share`` of ``total``."""
    return max(1, int(np.ceil(share * total)))


@kernel
def _of_pair(low: float) -> float:
    """The share of both sizes together that two sets have in common if their Jaccard similarity is ``low``."""
    return low / (1.0 + low)


# ---- how common each shingle is ----


@kernel
def _split(values: NDArray[np.uint64], first: int, last: int, guess: int, bound: np.uint64) -> int:
    """First place in ``first .. last`` from which ascending values are at least ``bound``; fast if near ``guess``."""
    reach = 8
    while reach * reach < 2 * (last - first):
        reach *= 2
    low = max(first, guess - reach)
    high = min(last, guess + reach)
    if (low > first and values[low - 1] >= bound) or (high < last and values[high] < bound):
        low, high = first, last
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _raise(counters: NDArray[np.uint8], waiting: NDArray[np.uint64], count: int, odds: NDArray[np.uint64]) -> None:
    """Raise the counters ``waiting[:count] >> 16`` where the dice, the lower 16 bits, are below the odds of
    their value.
    """
    last = np.uint64(waiting.size - 1)
    for k in range(np.uint64(count)):
        _fetch(counters, np.int64(waiting[min(k + np.uint64(_AHEAD), last)] >> np.uint64(17)))
        counter = waiting[k]
        place = counter >> np.uint64(17)
        shift = np.uint8((counter >> np.uint64(14)) & np.uint64(4))
        byte = counters[place]
        raised = (counter & np.uint64(0xFFFF)) < odds[(byte >> shift) & np.uint8(15)]
        counters[place] = byte + (np.uint8(raised) << shift)


@kernel
def _count_part(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    counters: NDArray[np.uint8],
    bits: int,
    odds: NDArray[np.uint64],
    part: int,
    part_bits: int,
) -> None:
    """Count the shingles whose first ``part_bits`` bits are ``part``: one run in each set, and counters that no other
    part has."""
    n = indptr.size - 1
    parts = 1 << part_bits
    begin = np.uint64(part) << np.uint64(64 - part_bits)
    end = np.uint64(part + 1) << np.uint64(64 - part_bits)
    shift = np.uint64(64 - bits)
    waiting = np.zeros(_WAITING, np.uint64)
    filled = 0
    for i in range(n):
        start, size = indptr[i], indptr[i + 1] - indptr[i]
        first, last = start, start + size
        # Hashes are evenly spread, so that the run is about where it would be if they were exactly so.
        soon = indptr[min(i + 4, n)]
        if part > 0:
            _fetch(hashes, soon + size * part // parts)
            first = _split(hashes, first, last, start + size * part // parts, begin)
        if part + 1 < parts:
            _fetch(hashes, soon + size * (part + 1) // parts)
            last = _split(hashes, first, last, start + size * (part + 1) // parts, end)
        dice = (np.uint64(i + 1) * MULTIPLIER_1) >> np.uint64(48)
        while first < last:
            some = min(last - first, _WAITING - filled)
            for k in range(some):
                waiting[np.uint64(filled + k)] = ((hashes[np.uint64(first + k)] >> shift) << np.uint64(16)) | dice
            first += some
            filled += some
            if filled == _WAITING:
                _raise(counters, waiting, _WAITING - _AHEAD, odds)
                # What has been fetched and not been raised waits for the next.
                waiting[:_AHEAD] = waiting[_WAITING - _AHEAD :]
                filled = _AHEAD
    _raise(counters, waiting, filled, odds)


@parallel_kernel
def _count(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    counters: NDArray[np.uint8],
    bits: int,
    odds: NDArray[np.uint64],
    part_bits: int,
) -> None:
    for part in prange(1 << part_bits):
        _count_part(hashes, indptr, counters, bits, odds, part, part_bits)


def _odds(least: int, most: int) -> NDArray[np.uint64]:
    """uint64[16]: of 65536, the chances of a counter of each value to be raised; none unless in ``least .. most
    - 1``.
    """
    odds = np.zeros(_TOP + 1, np.uint64)
    for value in range(least, most):
        odds[value] = 1 << (16 - max(value - 3, 0))
    return odds


def _frequencies(sets: _Sets) -> tuple[NDArray[np.uint8], int]:
    """Frequency classes of all shingles, two a byte, by the first bits of the hash; and the number of these bits."""
    a, b = (sets.hashes_a, sets.indptr_a), (sets.hashes_b, sets.indptr_b)
    shingles = int(max(indptr[-1] - indptr[0] for _, indptr in (a, b)))
    bits = min(max(shingles.bit_length(), 16), 32)
    counters = np.zeros(1 << (bits - 1), np.uint8)
    part_bits = min((get_num_threads() - 1).bit_length(), 8)
    if _sides(sets)[0] == 1:
        _count(*a, counters, bits, _odds(0, _TOP), part_bits)
    else:
        # 1 is a shingle of a alone; those that are only in b stay 0.
        _count(*a, counters, bits, _odds(0, 1), part_bits)
        _count(*b, counters, bits, _odds(1, _TOP), part_bits)
        _count(*a, counters, bits, _odds(2, _TOP), part_bits)
    return counters, bits


# ---- prefixes ----


@kernel
def _prefix_places(sizes: NDArray[np.int64], low: float) -> NDArray[np.int64]:
    places = np.zeros(sizes.size + 1, np.int64)
    for r in range(sizes.size):
        places[r + 1] = places[r] + (sizes[r] - _least(sizes[r], low) + 1 if sizes[r] > 0 else 0)
    return places


@kernel
def _prefix_run(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    first: int,
    last: int,
    ranks: NDArray[np.int32],
    counters: NDArray[np.uint8],
    bits: int,
    prefixes: _Prefixes,
) -> None:
    """Prefixes of the rows first .. last-1 of one collection."""
    shift = np.uint64(64 - bits)
    end = np.uint64(indptr[last] - 1)
    classes = np.empty(1024, np.uint8)
    for i in range(first, last):
        start, size = indptr[i], indptr[i + 1] - indptr[i]
        if size == 0:
            continue
        padded = (size + 63) & ~63
        if padded > classes.size:
            classes = np.empty(2 * padded, np.uint8)
        for k in range(np.uint64(size)):
            at = np.uint64(start) + k
            _fetch(counters, np.int64(hashes[min(at + np.uint64(_AHEAD), end)] >> (shift + np.uint64(1))))
            counter = hashes[at] >> shift
            byte = counters[counter >> np.uint64(1)]
            classes[k] = (byte >> np.uint8((counter & np.uint64(1)) << np.uint64(2))) & np.uint8(15)
        classes[size:padded] = _TOP + 1
        singles = 0
        for k in range(size):
            singles += 1 if classes[k] <= _SINGLE else 0
        r = ranks[i]
        place = prefixes.places[r]
        length = prefixes.places[r + 1] - place
        prefixes.singles[r] = min(singles, length)
        left = length - singles
        frequency = _SINGLE
        while left > 0:
            frequency += 1
            for block in range(0, padded, 64):
                mask = _mask(classes, block, np.uint8(frequency))
                while mask != 0 and left > 0:
                    prefixes.entries[place] = np.uint32(hashes[start + block + trailing_zeros(mask)] >> np.uint64(32))
                    mask &= mask - np.uint64(1)
                    place += 1
                    left -= 1


@parallel_kernel
def _prefix_rows(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    ranks: NDArray[np.int32],
    counters: NDArray[np.uint8],
    bits: int,
    prefixes: _Prefixes,
) -> None:
    n = indptr.size - 1
    for run in prange((n + _RUN - 1) // _RUN):
        _prefix_run(hashes, indptr, run * _RUN, min(n, (run + 1) * _RUN), ranks, counters, bits, prefixes)


def _prefixes(sets: _Sets, ranks: _Ranks, low: float) -> _Prefixes:
    counters, bits = _frequencies(sets)
    places = _prefix_places(ranks.sizes, low)
    prefixes = _Prefixes(places, np.zeros(ranks.sizes.size, np.int32), np.empty(places[-1], np.uint32))
    n_a = sets.indptr_a.size - 1
    _prefix_rows(sets.hashes_a, sets.indptr_a, ranks.of_set[:n_a], counters, bits, prefixes)
    _prefix_rows(sets.hashes_b, sets.indptr_b, ranks.of_set[n_a:], counters, bits, prefixes)
    return prefixes


# ---- the index ----


@kernel
def _indexed(ranks: _Ranks, prefixes: _Prefixes, low: float, r: int) -> int:
    """How many entries of rank ``r`` a set of its size or a larger one may have to meet."""
    size = ranks.sizes[r]
    if size == 0:
        return 0
    return max(0, int(size - _least(2 * size, _of_pair(low)) + 1 - prefixes.singles[r]))


@kernel
def _index(ranks: _Ranks, prefixes: _Prefixes, low: float, sides: int, n_a: int) -> _Index:
    n = ranks.sizes.size
    total = 0
    for r in range(n):
        total += _indexed(ranks, prefixes, low, r)
    bits = 16
    while bits < 32 and (4 << bits) < total:
        bits += 1
    shift = np.uint32(32 - bits)
    lists = np.uint64(sides)
    # Lengths are counted two lists on, and the list before is where the next posting goes: so each ends at its begin.
    offsets = np.zeros((sides << bits) + 2, np.int64)
    for r in range(n):
        place = np.uint64(prefixes.places[r])
        side = np.uint64(sides - 1 if ranks.order[r] >= n_a else 0)
        for k in range(place, place + np.uint64(_indexed(ranks, prefixes, low, r))):
            offsets[np.uint64(prefixes.entries[k] >> shift) * lists + side + np.uint64(2)] += 1
    for k in range(2, offsets.size):
        offsets[k] += offsets[k - 1]
    postings = np.empty(total, np.uint64)
    for r in range(n):
        place = np.uint64(prefixes.places[r])
        side = np.uint64(sides - 1 if ranks.order[r] >= n_a else 0)
        singles = np.uint64(prefixes.singles[r])
        for k in range(np.uint64(_indexed(ranks, prefixes, low, r))):
            entry = prefixes.entries[place + k]
            following = np.uint64(entry >> shift) * lists + side + np.uint64(1)
            at = offsets[following]
            offsets[following] = at + 1
            where = min(singles + k, np.uint64(0xFFFF))
            check = np.uint64(entry & np.uint32(0xFFFF))
            postings[np.uint64(at)] = (np.uint64(r) << np.uint64(32)) | (where << np.uint64(16)) | check
    return _Index(bits, offsets, postings)


# ---- candidates ----


@parallel_kernel
def _rooms(ranks: _Ranks, prefixes: _Prefixes, index: _Index, low: float, sides: int, n_a: int) -> NDArray[np.int64]:
    """int64[n]: of each rank, no less than its candidates."""
    n = ranks.sizes.size
    rooms = np.empty(n, np.int64)
    shift = np.uint32(32 - index.bits)
    lists = np.uint64(sides)
    for run in prange((n + _RUN - 1) // _RUN):
        for r in range(run * _RUN, min(n, (run + 1) * _RUN)):
            other = np.uint64(sides - 1 if ranks.order[r] < n_a else 0)
            met = 0
            for k in range(np.uint64(prefixes.places[r]), np.uint64(prefixes.places[r + 1] - prefixes.singles[r])):
                postings = np.uint64(prefixes.entries[k] >> shift) * lists + other
                met += index.offsets[postings + np.uint64(1)] - index.offsets[postings]
            rooms[r] = 0
            if met > 0:
                rooms[r] = min(met, r - ranks.starts[_least(ranks.sizes[r], low)])
    return rooms


@kernel
def _candidates(
    ranks: _Ranks,
    prefixes: _Prefixes,
    index: _Index,
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
    smallest = ranks.starts[_least(size, low)]
    singles = prefixes.singles[r]
    place = np.uint64(prefixes.places[r])
    entries = np.uint64(prefixes.places[r + 1] - prefixes.places[r] - singles)
    for k in range(entries):
        postings = np.uint64(prefixes.entries[place + k] >> shift) * np.uint64(sides) + other
        lists[k + k] = index.offsets[postings]
        lists[k + k + np.uint64(1)] = index.offsets[postings + np.uint64(1)]
        _fetch(index.postings, index.offsets[postings])
    count = 0
    for k in range(entries):
        first, last = lists[k + k], lists[k + k + np.uint64(1)]
        if last - first > _LONG:
            first = _split(index.postings, first, last, first, np.uint64(smallest) << np.uint64(32))
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
            if left >= _least(size + ranks.sizes[y], _of_pair(low)):
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
        _fetch(values, k)


@kernel
def _find_run(
    sets: _Sets,
    ranks: _Ranks,
    prefixes: _Prefixes,
    index: _Index,
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
    low = threshold * _SLACK
    sides, n_a = _sides(sets)
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
            _fetch_set(_set(sets, ranks.order[r]))
        for k in range(start, start + min(count, _RUN)):
            _fetch_set(_set(sets, ranks.order[found[k]]))
        counts[r - first] = count
    for r in range(first, last):
        start = rooms[r] - rooms[first]
        count = 0
        for k in range(start, start + counts[r - first]):
            x = _set(sets, ranks.order[r])
            y = _set(sets, ranks.order[found[k]])
            shared = _shared(x, y, _least(x.size + y.size, _of_pair(low)))
            if shared > 0 and shared / (x.size + y.size - shared) >= threshold:
                found[start + count] = (found[k] << 32) | shared
                count += 1
        if count > 1:
            found[start : start + count].sort()
        counts[r - first] = count


@parallel_kernel
def _find(
    sets: _Sets,
    ranks: _Ranks,
    prefixes: _Prefixes,
    index: _Index,
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
    for strand in prange(strands):
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
    ranks: _Ranks,
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


def _batches(sets: _Sets, threshold: float) -> Iterator[Pairs]:
    """All pairs, as many at a time as there is room for candidates."""
    low = threshold * _SLACK
    sides, n_a = _sides(sets)
    ranks = _rank(sets)
    n = ranks.sizes.size
    prefixes = _prefixes(sets, ranks, low)
    index = _index(ranks, prefixes, low, sides, n_a)
    rooms = np.zeros(n + 1, np.int64)
    np.cumsum(_rooms(ranks, prefixes, index, low, sides, n_a), out=rooms[1:])
    met = np.zeros((get_num_threads(), n), np.int32)
    found = np.empty(0, np.int64)
    first = 0
    while rooms[first] < rooms[n]:
        # As many ranks as there is room for, and always one that has candidates.
        last = int(np.searchsorted(rooms, rooms[first] + _BATCH, "right")) - 1
        last = max(last, int(np.searchsorted(rooms, rooms[first], "right")))
        if found.size < rooms[last] - rooms[first]:
            found = np.empty(max(rooms[last] - rooms[first], _BATCH), np.int64)
        counts = np.empty(last - first, np.int64)
        _find(sets, ranks, prefixes, index, threshold, first, last, rooms, met, found, counts)
        yield _rows(ranks, sides, n_a, first, rooms, found, counts)
        first = last


def _pairs(sets: _Sets, threshold: float, chunk: int) -> Iterator[Pairs]:
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
) -> _Sets:
    for hashes, indptr in collections:
        check_sets(hashes, indptr)
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    none = (np.empty(0, np.uint64), np.zeros(1, np.int64))
    (hashes_a, indptr_a), (hashes_b, indptr_b) = (*collections, none)[:2]
    sets = _Sets(frozen(hashes_a), frozen(indptr_a), frozen(hashes_b), frozen(indptr_b))
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
