"""Exact set-similarity join: all pairs of shingle sets with a Jaccard similarity of at least a threshold.

Nothing is estimated, so nothing is missed. The method is the AllPairs and PPJoin family (Chaudhuri, Ganti, Kaushik,
"A primitive operator for similarity joins in data cleaning", ICDE 2006; Bayardo, Ma, Srikant, "Scaling up all pairs
similarity search", WWW 2007; Xiao, Wang, Lin, Yu, "Efficient similarity joins for near duplicate detection", WWW 2008;
compared by Mann, Augsten, Bouros, "An empirical evaluation of set similarity join techniques", VLDB 2016):

1. Count in how many sets each shingle is, and order all shingles from rare to common.
2. Two sets with J >= t share one of their rarest ``size - ceil(t size) + 1`` shingles: the *prefix*. A shingle that is in
   one set only takes a place in the prefix and leads nowhere; where a text says anything of its own, its prefix soon
   holds no other, and the text is done.
3. Sets are ranked by size. Each looks up its prefix in an index of the sets that are smaller, of which a prefix of
   ``size - ceil(2 t size / (1 + t)) + 1`` suffices. Size and place in the prefix bound what two sets can share.
4. What remains is counted by a merge that stops as soon as the pair has missed too much.

Frequencies are kept in four bits each, exact up to 4 and then about doubling (Morris, "Counting large numbers of events
in small registers", CACM 1978): any order of shingles finds all pairs, this one finds few candidates. Two shingles that
fall on one counter look more common than they are, which costs a candidate and no pair.

Memory, beyond the sets and the pairs of a chunk: 36 bytes a set and 4 more a thread; up to a byte a shingle for the counters;
and for the shingles in prefixes that are in two sets or more, 4 bytes, and 12 where they are indexed. With no shingle
in one set only that makes 5 bytes a shingle at a threshold of .7 and 15 at .1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir
from numba import extending, get_num_threads, get_thread_id, types
from numpy.typing import NDArray

from .arrow import frozen
from .hashing import MULTIPLIER_1, trailing_zeros
from .jit import kernel, parallel_kernel, prange
from .sketch import check_sets

CHUNK: Final = 4_000_000
"""Pairs that are handed out at once."""

_SLACK = 1.0 - 1e-9
"""Filters work with a threshold lower by this, so that no rounding loses a pair; the last comparison is exact."""
_BLOCK = 2048
"""Shingles whose counters are gathered before any is touched."""
_AHEAD = 64
"""How many counters before its turn one is fetched into the cache."""
_TEXTS = 256
"""Sets that one thread takes at once."""
_BATCH = 1 << 19
"""Candidates for which room is made at once, if no single set has more."""
_TOP = 15
"""Largest frequency class."""
_SINGLE = 1
"""Shingles of this frequency class or below are in no pair."""


class Pairs(NamedTuple):
    """Pairs of sets and what they share; int64[p] each."""

    a: NDArray[np.int64]
    """Row of the one set."""
    b: NDArray[np.int64]
    """Row of the other: a later one (:func:`self_join`), or one of the second collection (:func:`join`)."""
    shared: NDArray[np.int64]
    """Common shingles; Jaccard is ``shared / (size_a + size_b - shared)``."""


class _Sets(NamedTuple):
    """Both collections; that of a self-join has an empty second. Set i is row i of a, or row i - n_a of b."""

    hashes_a: NDArray[np.uint64]
    indptr_a: NDArray[np.int64]
    hashes_b: NDArray[np.uint64]
    indptr_b: NDArray[np.int64]


class _Ranks(NamedTuple):
    """The n sets by size, then number."""

    #: int32[n]: set of each rank.
    order: NDArray[np.int32]
    #: int32[n]: rank of each set.
    rank: NDArray[np.int32]
    #: int64[n]: size by rank.
    sizes: NDArray[np.int64]
    #: int64[largest + 2]: first rank of at least that size.
    starts: NDArray[np.int64]


class _Prefixes(NamedTuple):
    """Prefixes of all sets, without the shingles that are in one set only; they come first."""

    #: int64[n + 1]: where the prefix of each rank begins; it has room for all.
    places: NDArray[np.int64]
    #: int64[n]: how many of its shingles are in one set only, at most all.
    singles: NDArray[np.int32]
    #: uint32: the upper halves of the others, rare first. They stand for the shingle: two that agree here are one.
    entries: NDArray[np.uint32]


class _Index(NamedTuple):
    """Which sets have a shingle in their prefix: for each collection, lists by the first bits of the shingle."""

    #: int64[lists + 1]: where each list begins.
    offsets: NDArray[np.int64]
    #: uint64, ascending within a list: rank (32 bits), place in the prefix (16, at most 65535), shingle's low 16 bits.
    postings: NDArray[np.uint64]
    #: First bits of a shingle that tell its list.
    bits: int


def _prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(fetch, [pointer, ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def _class_mask(typingctx: Any, classes: Any, index: Any, wanted: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 64)
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        block = builder.load(builder.bitcast(builder.gep(struct.data, [args[1]]), vector.as_pointer()))
        block.align = 1
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        same = builder.icmp_unsigned("==", block, builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask))
        return builder.bitcast(same, ir.IntType(64))

    return types.uint64(classes, types.int64, types.uint8), codegen


class_mask: Callable[[NDArray[np.uint8], int, np.uint8], np.uint64] = extending.intrinsic(_class_mask)  # type: ignore
"""Bit k set where ``classes[i + k]``, k < 64, is the wanted one; these 64 must exist."""
prefetch: Callable[[NDArray[np.uint8], int], None] = extending.intrinsic(_prefetch)  # type: ignore[arg-type,assignment]
"""Bring element ``i`` of an array into the cache, soon to be written; out of bounds it does nothing."""


@kernel
def _set(sets: _Sets, i: int) -> NDArray[np.uint64]:
    n = sets.indptr_a.size - 1
    if i < n:
        return sets.hashes_a[sets.indptr_a[i] : sets.indptr_a[i + 1]]
    return sets.hashes_b[sets.indptr_b[i - n] : sets.indptr_b[i - n + 1]]


@kernel
def _least(total: int, share: float) -> int:
    """The least whole number, of 1 or more, that is at least ``share`` of ``total``."""
    return max(1, int(np.ceil(share * total)))


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
def _raise(table: NDArray[np.uint8], slots: NDArray[np.uint64], count: int, odds: NDArray[np.uint64]) -> None:
    """Raise the counters ``slots[:count] >> 16`` where the lower 16 bits, the dice, are below the odds of their value."""
    last = np.uint64(slots.size - 1)
    for k in range(np.uint64(0), np.uint64(count)):
        ahead = slots[min(k + np.uint64(_AHEAD), last)]
        prefetch(table, np.int64(ahead >> np.uint64(17)))
        slot = slots[k]
        place = slot >> np.uint64(17)
        shift = np.uint8((slot >> np.uint64(14)) & np.uint64(4))
        byte = table[place]
        raised = (slot & np.uint64(0xFFFF)) < odds[(byte >> shift) & np.uint8(15)]
        table[place] = byte + (np.uint8(raised) << shift)


@kernel
def _count_part(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    table: NDArray[np.uint8],
    bits: int,
    odds: NDArray[np.uint64],
    part: int,
    part_bits: int,
) -> None:
    """Count the shingles whose first ``part_bits`` bits are ``part``; they have a part of the table to themselves."""
    shift = np.uint64(64 - bits)
    parts = 1 << part_bits
    begin = np.uint64(part) << np.uint64(64 - part_bits)
    end = np.uint64(part + 1) << np.uint64(64 - part_bits)
    n = indptr.size - 1
    # Counters are fetched a while before their turn; the last _AHEAD slots wait for those that come after.
    slots = np.zeros(_BLOCK, np.uint64)
    filled = 0
    for i in range(n):
        first, last = indptr[i], indptr[i + 1]
        if parts > 1:
            size = last - first
            following = indptr[min(i + 4, n)] - first
            if part > 0:
                prefetch(hashes, first + following + size * part // parts)
                first = _split(hashes, first, last, first + size * part // parts, begin)
            if part + 1 < parts:
                prefetch(hashes, indptr[i] + following + size * (part + 1) // parts)
                last = _split(hashes, first, last, indptr[i] + size * (part + 1) // parts, end)
        dice = (np.uint64(i + 1) * MULTIPLIER_1) >> np.uint64(48)
        while first < last:
            some = min(last - first, _BLOCK - filled)
            for k in range(some):
                slots[np.uint64(filled + k)] = ((hashes[np.uint64(first + k)] >> shift) << np.uint64(16)) | dice
            first += some
            filled += some
            if filled == _BLOCK:
                _raise(table, slots, _BLOCK - _AHEAD, odds)
                slots[:_AHEAD] = slots[_BLOCK - _AHEAD :]
                filled = _AHEAD
    _raise(table, slots, filled, odds)


@parallel_kernel
def _count(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    table: NDArray[np.uint8],
    bits: int,
    odds: NDArray[np.uint64],
    part_bits: int,
) -> None:
    for part in prange(1 << part_bits):
        _count_part(hashes, indptr, table, bits, odds, part, part_bits)


def _odds(least: int, most: int) -> NDArray[np.uint64]:
    """uint64[16]: for counters of each value, the chance in 65536 of being raised: none outside ``least .. most - 1``."""
    odds = np.zeros(16, np.uint64)
    for value in range(least, most):
        odds[value] = 65536 >> max(value - 3, 0)
    return frozen(odds)


def _frequencies(sets: _Sets, threads: int) -> tuple[NDArray[np.uint8], int]:
    """Frequency classes of all shingles, two a byte by the first bits of the hash, and the number of these bits."""
    shingles = int(max(indptr[-1] - indptr[0] for indptr in (sets.indptr_a, sets.indptr_b)))
    bits = min(max(shingles.bit_length(), 16), 32)
    table = np.zeros(1 << (bits - 1), np.uint8)
    part_bits = min((threads - 1).bit_length(), 8)
    a, b = (sets.hashes_a, sets.indptr_a), (sets.hashes_b, sets.indptr_b)
    if sets.indptr_b.size == 1:
        _count(*a, table, bits, _odds(0, _TOP), part_bits)
    else:
        # 1: in a. 2 and above: in both.
        _count(*a, table, bits, _odds(0, 1), part_bits)
        _count(*b, table, bits, _odds(1, _TOP), part_bits)
        _count(*a, table, bits, _odds(2, _TOP), part_bits)
    return table, bits


# ---- ranks and prefixes ----


@kernel
def _ranks(sets: _Sets) -> _Ranks:
    """Counting sort by size."""
    n_a = sets.indptr_a.size - 1
    n = n_a + sets.indptr_b.size - 1
    of_set = np.empty(n, np.int64)
    largest = 0
    for i in range(n):
        of_set[i] = _set(sets, i).size
        largest = max(largest, of_set[i])
    starts = np.zeros(largest + 2, np.int64)
    for i in range(n):
        starts[of_set[i] + 1] += 1
    for size in range(largest + 1):
        starts[size + 1] += starts[size]
    order = np.empty(n, np.int32)
    rank = np.empty(n, np.int32)
    sizes = np.empty(n, np.int64)
    next_rank = starts.copy()
    for i in range(n):
        r = next_rank[of_set[i]]
        next_rank[of_set[i]] = r + 1
        order[r] = i
        rank[i] = r
        sizes[r] = of_set[i]
    return _Ranks(order, rank, sizes, starts)


@kernel
def _prefix_places(sizes: NDArray[np.int64], low: float) -> NDArray[np.int64]:
    places = np.zeros(sizes.size + 1, np.int64)
    for r in range(sizes.size):
        places[r + 1] = places[r] + (sizes[r] - _least(sizes[r], low) + 1 if sizes[r] > 0 else 0)
    return places


@kernel
def _prefix_chunk(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    first: int,
    last: int,
    rank: NDArray[np.int32],
    table: NDArray[np.uint8],
    bits: int,
    prefixes: _Prefixes,
) -> None:
    """Prefixes of the rows first .. last-1 of one collection."""
    shift = np.uint64(64 - bits)
    end = np.uint64(indptr[last] - 1)
    classes = np.empty(1024, np.uint8)
    for i in range(first, last):
        start = indptr[i]
        size = indptr[i + 1] - start
        if size == 0:
            continue
        blocks = (size + 63) >> 6
        if blocks << 6 > classes.size:
            classes = np.empty(blocks << 7, np.uint8)
        r = rank[i]
        place = prefixes.places[r]
        length = prefixes.places[r + 1] - place
        for k in range(np.uint64(size)):
            at = np.uint64(start) + k
            ahead = hashes[min(at + np.uint64(_AHEAD), end)] >> shift
            prefetch(table, np.int64(ahead >> np.uint64(1)))
            slot = hashes[at] >> shift
            classes[k] = (table[slot >> np.uint64(1)] >> np.uint8((slot & np.uint64(1)) << np.uint64(2))) & np.uint8(15)
        classes[size : blocks << 6] = 255
        singles = 0
        for k in range(size):
            singles += 1 if classes[k] <= _SINGLE else 0
        prefixes.singles[r] = min(singles, length)
        left = length - singles
        wanted = np.uint8(_SINGLE + 1)
        while left > 0:
            for block in range(blocks):
                mask = class_mask(classes, block << 6, wanted)
                while mask != 0 and left > 0:
                    k = start + (block << 6) + trailing_zeros(mask)
                    mask &= mask - np.uint64(1)
                    prefixes.entries[place] = np.uint32(hashes[k] >> np.uint64(32))
                    place += 1
                    left -= 1
            wanted += np.uint8(1)


@parallel_kernel
def _prefix_rows(
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    rank: NDArray[np.int32],
    table: NDArray[np.uint8],
    bits: int,
    prefixes: _Prefixes,
) -> None:
    n = indptr.size - 1
    for c in prange((n + _TEXTS - 1) // _TEXTS):
        _prefix_chunk(hashes, indptr, c * _TEXTS, min(n, (c + 1) * _TEXTS), rank, table, bits, prefixes)


def _prefixes(sets: _Sets, ranks: _Ranks, low: float, threads: int) -> _Prefixes:
    table, bits = _frequencies(sets, threads)
    n, n_a = ranks.sizes.size, sets.indptr_a.size - 1
    places = _prefix_places(ranks.sizes, low)
    prefixes = _Prefixes(places, np.zeros(n, np.int32), np.empty(places[-1], np.uint32))
    _prefix_rows(sets.hashes_a, sets.indptr_a, ranks.rank[:n_a], table, bits, prefixes)
    _prefix_rows(sets.hashes_b, sets.indptr_b, ranks.rank[n_a:], table, bits, prefixes)
    return prefixes


# ---- the index ----


@kernel
def _indexed(ranks: _Ranks, prefixes: _Prefixes, pair_share: float, r: int) -> int:
    """How many entries of the prefix of rank ``r`` another set, of its size or larger, may meet."""
    size = ranks.sizes[r]
    if size == 0:
        return 0
    return max(0, size - _least(2 * size, pair_share) + 1 - prefixes.singles[r])


@kernel
def _build_index(ranks: _Ranks, prefixes: _Prefixes, pair_share: float, n_a: int, sides: int) -> _Index:
    n = ranks.sizes.size
    total = 0
    for r in range(n):
        total += _indexed(ranks, prefixes, pair_share, r)
    bits = 16
    while bits < 32 and (1 << bits) < total // 2:
        bits += 1
    shift = np.uint32(32 - bits)
    two_sides = np.uint64(sides)
    # Counted two places on, so that filling the lists leaves each place at the begin of its list.
    offsets = np.zeros((sides << bits) + 2, np.int64)
    for r in range(n):
        side = np.uint64(sides - 1 if ranks.order[r] >= n_a else 0)
        place = np.uint64(prefixes.places[r])
        for k in range(place, place + np.uint64(_indexed(ranks, prefixes, pair_share, r))):
            offsets[np.uint64(prefixes.entries[k] >> shift) * two_sides + side + np.uint64(2)] += 1
    total = 0
    for k in range(2, offsets.size):
        total += offsets[k]
        offsets[k] = total
    postings = np.empty(total, np.uint64)
    for r in range(n):
        side = np.uint64(sides - 1 if ranks.order[r] >= n_a else 0)
        place = np.uint64(prefixes.places[r])
        singles = np.uint64(prefixes.singles[r])
        for k in range(np.uint64(_indexed(ranks, prefixes, pair_share, r))):
            entry = prefixes.entries[place + k]
            after = np.uint64(entry >> shift) * two_sides + side + np.uint64(1)
            where = min(k + singles, np.uint64(0xFFFF)) << np.uint64(16)
            at = offsets[after]
            offsets[after] = at + 1
            postings[np.uint64(at)] = (np.uint64(r) << np.uint64(32)) | where | np.uint64(entry & np.uint32(0xFFFF))
    return _Index(offsets, postings, bits)


# ---- candidates and pairs ----


@parallel_kernel
def _room(
    ranks: _Ranks, prefixes: _Prefixes, index: _Index, low: float, n_a: int, sides: int
) -> NDArray[np.int64]:
    """int64[n]: at most how many candidates each rank has."""
    n = ranks.sizes.size
    room = np.empty(n, np.int64)
    shift = np.uint32(32 - index.bits)
    two_sides = np.uint64(sides)
    for c in prange((n + _TEXTS - 1) // _TEXTS):
        for r in range(c * _TEXTS, min(n, (c + 1) * _TEXTS)):
            other = np.uint64(sides - 1 if ranks.order[r] < n_a else 0)
            place = np.uint64(prefixes.places[r])
            met = 0
            for k in range(place, np.uint64(prefixes.places[r + 1] - prefixes.singles[r])):
                bucket = np.uint64(prefixes.entries[k] >> shift) * two_sides + other
                met += index.offsets[bucket + np.uint64(1)] - index.offsets[bucket]
            room[r] = 0
            if met > 0:
                room[r] = min(met, r - ranks.starts[_least(ranks.sizes[r], low)])
    return room


@kernel
def _shared(x: NDArray[np.uint64], y: NDArray[np.uint64], least: int) -> int:
    """Common elements of two ascending arrays, or -1 as soon as they are seen to be fewer than ``least``."""
    spare_x = x.size - least
    spare_y = y.size - least
    i = 0
    j = 0
    k = 0
    while i < x.size and j < y.size:
        u = x[np.uint64(i)]
        v = y[np.uint64(j)]
        k += 1 if u == v else 0
        i += 1 if u <= v else 0
        j += 1 if v <= u else 0
        if i - k > spare_x or j - k > spare_y:
            return -1
    return k


@kernel
def _candidates(
    sets: _Sets,
    ranks: _Ranks,
    prefixes: _Prefixes,
    index: _Index,
    low: float,
    r: int,
    stamps: NDArray[np.int32],
    lists: NDArray[np.int64],
    found: NDArray[np.int64],
) -> int:
    """Write the smaller ranks that may be similar to rank ``r`` to ``found``; their number."""
    n_a = sets.indptr_a.size - 1
    sides = 2 if sets.indptr_b.size > 1 else 1
    pair_share = low / (1.0 + low)
    x = ranks.order[r]
    size = ranks.sizes[r]
    smallest = _least(size, low)
    begin = ranks.starts[smallest]
    shift = np.uint32(32 - index.bits)
    two_sides = np.uint64(sides)
    other = np.uint64(sides - 1 if x < n_a else 0)
    singles = prefixes.singles[r]
    place = np.uint64(prefixes.places[r])
    entries = prefixes.places[r + 1] - prefixes.places[r] - singles
    for k in range(np.uint64(entries)):
        bucket = np.uint64(prefixes.entries[place + k] >> shift) * two_sides + other
        first = index.offsets[bucket]
        lists[k + k] = first
        lists[k + k + np.uint64(1)] = index.offsets[bucket + np.uint64(1)]
        prefetch(index.postings, first)
    count = 0
    for k in range(np.uint64(entries)):
        first, last = lists[k + k], lists[k + k + np.uint64(1)]
        if last - first > 32:
            first = _split(index.postings, first, last, first, np.uint64(begin) << np.uint64(32))
        check = np.uint64(prefixes.entries[place + k] & np.uint32(0xFFFF))
        for p in range(np.uint64(first), np.uint64(last)):
            posting = index.postings[p]
            y_rank = np.int64(posting >> np.uint64(32))
            if y_rank >= r:
                break
            if posting & np.uint64(0xFFFF) != check or y_rank < begin or stamps[y_rank] == r + 1:
                continue
            stamps[y_rank] = r + 1
            # All that the two share stands from here on, in both.
            y_size = ranks.sizes[y_rank]
            left = min(size - singles - np.int64(k), y_size - np.int64((posting >> np.uint64(16)) & np.uint64(0xFFFF)))
            if left >= _least(size + y_size, pair_share):
                found[count] = y_rank
                count += 1
    return count


@kernel
def _find_chunk(
    sets: _Sets,
    ranks: _Ranks,
    prefixes: _Prefixes,
    index: _Index,
    threshold: float,
    first: int,
    last: int,
    room: NDArray[np.int64],
    stamps: NDArray[np.int32],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Pairs of the ranks first .. last-1 with smaller ranks, each as smaller rank << 32 | shared, ascending.

    Those of rank r are ``counts[r - first]`` in ``found`` from ``room[r] - room[first]`` on.
    """
    low = threshold * _SLACK
    lists = np.empty(256, np.int64)
    for r in range(first, last):
        start, end = room[r] - room[first], room[r + 1] - room[first]
        counts[r - first] = 0
        if start == end:
            continue
        entries = prefixes.places[r + 1] - prefixes.places[r] - prefixes.singles[r]
        if 2 * entries > lists.size:
            lists = np.empty(4 * entries, np.int64)
        count = _candidates(sets, ranks, prefixes, index, low, r, stamps, lists, found[start:end])
        counts[r - first] = count
        if count > 0:
            x = _set(sets, ranks.order[r])
            for line in range(0, 32, 8):
                prefetch(x, line)
        for k in range(start, start + min(count, 64)):
            y = _set(sets, ranks.order[found[k]])
            for line in range(0, 32, 8):
                prefetch(y, line)
    for r in range(first, last):
        count = 0
        start = room[r] - room[first]
        if counts[r - first] > 0:
            x = _set(sets, ranks.order[r])
            for k in range(start, start + counts[r - first]):
                y = _set(sets, ranks.order[found[k]])
                shared = _shared(x, y, _least(x.size + y.size, low / (1.0 + low)))
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
    room: NDArray[np.int64],
    stamps: NDArray[np.int32],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """As :func:`_find_chunk`, on all threads; each has a row of ``stamps``, of what it met, to itself."""
    for c in prange((last - first + _TEXTS - 1) // _TEXTS):
        begin = first + c * _TEXTS
        end = min(last, begin + _TEXTS)
        place = room[begin] - room[first]
        _find_chunk(
            sets,
            ranks,
            prefixes,
            index,
            threshold,
            begin,
            end,
            room,
            stamps[get_thread_id()],
            found[place:],
            counts[begin - first :],
        )


@kernel
def _gather(
    ranks: _Ranks,
    n_a: int,
    sides: int,
    first: int,
    room: NDArray[np.int64],
    found: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> Pairs:
    """The pairs that :func:`_find` found, without gaps, ranks turned into rows."""
    total = counts.sum()
    a = np.empty(total, np.int64)
    b = np.empty(total, np.int64)
    shared = np.empty(total, np.int64)
    p = 0
    for c in range(counts.size):
        x = np.int64(ranks.order[first + c])
        start = room[first + c] - room[first]
        for k in range(start, start + counts[c]):
            y = np.int64(ranks.order[found[k] >> 32])
            a[p] = min(x, y)
            b[p] = max(x, y) - (n_a if sides == 2 else 0)
            shared[p] = found[k] & 0xFFFFFFFF
            p += 1
    return Pairs(a, b, shared)


def _batches(sets: _Sets, threshold: float) -> Iterator[Pairs]:
    threads = get_num_threads()
    low = threshold * _SLACK
    n_a = sets.indptr_a.size - 1
    sides = 2 if sets.indptr_b.size > 1 else 1
    ranks = _ranks(sets)
    prefixes = _prefixes(sets, ranks, low, threads)
    index = _build_index(ranks, prefixes, low / (1.0 + low), n_a, sides)
    room = np.zeros(ranks.sizes.size + 1, np.int64)
    room[1:] = _room(ranks, prefixes, index, low, n_a, sides)
    np.cumsum(room, out=room)
    stamps = np.zeros((threads, ranks.sizes.size), np.int32)
    found = np.empty(0, np.int64)
    first = 0
    while room[first] < room[-1]:
        last = int(np.searchsorted(room, room[first] + _BATCH, "right")) - 1
        last = max(last, int(np.searchsorted(room, room[first], "right")))
        if found.size < room[last] - room[first]:
            found = np.empty(max(room[last] - room[first], _BATCH), np.int64)
        counts = np.empty(last - first, np.int64)
        _find(sets, ranks, prefixes, index, threshold, first, last, room, stamps, found, counts)
        pairs = _gather(ranks, n_a, sides, first, room, found, counts)
        if pairs.a.size > 0:
            yield pairs
        first = last


def _pairs(sets: _Sets, threshold: float, chunk: int) -> Iterator[Pairs]:
    """All pairs, ``chunk`` at a time."""
    waiting: list[Pairs] = []
    filled = 0
    for batch in _batches(sets, threshold):
        waiting.append(batch)
        filled += batch.a.size
        if filled >= chunk:
            a, b, shared = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
            kept = filled % chunk
            for k in range(0, filled - kept, chunk):
                yield Pairs(a[k : k + chunk], b[k : k + chunk], shared[k : k + chunk])
            waiting = [Pairs(a[filled - kept :], b[filled - kept :], shared[filled - kept :])]
            filled = kept
    if filled > 0:
        yield Pairs(*(np.concatenate(parts) for parts in zip(*waiting, strict=True)))


def _check(threshold: float, chunk: int) -> None:
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")


def self_join(
    hashes: NDArray[np.uint64], indptr: NDArray[np.int64], threshold: float, chunk: int = CHUNK
) -> Iterator[Pairs]:
    check_sets(hashes, indptr)
    _check(threshold, chunk)
    return _pairs(_Sets(frozen(hashes), frozen(indptr), frozen(np.empty(0, np.uint64)), frozen(np.zeros(1, np.int64))), threshold, chunk)


def join(
    hashes_a: NDArray[np.uint64],
    indptr_a: NDArray[np.int64],
    hashes_b: NDArray[np.uint64],
    indptr_b: NDArray[np.int64],
    threshold: float,
    chunk: int = CHUNK,
) -> Iterator[Pairs]:
    check_sets(hashes_a, indptr_a)
    check_sets(hashes_b, indptr_b)
    _check(threshold, chunk)
    if indptr_b.size == 1: return iter(())
    return _pairs(_Sets(frozen(hashes_a), frozen(indptr_a), frozen(hashes_b), frozen(indptr_b)), threshold, chunk)
