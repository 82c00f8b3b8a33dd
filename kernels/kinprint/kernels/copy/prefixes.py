"""The prefixes of shingle sets, rare shingles first, and the index of them: steps 1 to 3 of the join.

See :mod:`~kinprint.kernels.copy.join`, which looks sets up in the index and compares what it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from kinprint.kernels.hashing import MULTIPLIER_1, trailing_zeros
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.spread import threads
from llvmlite import ir
from numba import extending, types
from numpy.typing import NDArray

_RUN: Final = 256
"""Sets that one thread takes at once, or fewer."""

SLACK: Final = 1.0 - 1e-9
"""Filters take the threshold for this much less, so that rounding loses no pair; the last comparison is exact."""
_TOP: Final = 15
"""Largest frequency class."""
_SINGLE: Final = 1
"""Shingles of this frequency class or a lower one are in no pair."""
_WAITING: Final = 2048
"""Counters that are known ahead of the one that is raised."""
_AHEAD: Final = 64
"""Counters that are fetched into the cache ahead of the one that is needed."""


class Sets(NamedTuple):
    """Both collections: set i is row i of a or, from n_a on, row i - n_a of b. A self-join has an empty b."""

    hashes_a: NDArray[np.uint64]
    indptr_a: NDArray[np.int64]
    hashes_b: NDArray[np.uint64]
    indptr_b: NDArray[np.int64]


class Ranks(NamedTuple):
    """The n sets in the order of size, then number."""

    order: NDArray[np.int32]
    """int32[n]: the set of each rank."""
    of_set: NDArray[np.int32]
    """int32[n]: the rank of each set."""
    sizes: NDArray[np.int64]
    """int64[n]: size by rank."""
    starts: NDArray[np.int64]
    """int64[largest size + 2]: the first rank of that size or a larger one."""


class Prefixes(NamedTuple):
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


class PrefixIndex(NamedTuple):
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


fetch: Callable[[NDArray[Any], int | np.int64], None] = _intrinsic(_prefetch)
"""Bring an element of an array into the cache, and nothing else; the index may be out of bounds."""
_mask: Callable[[NDArray[np.uint8], int, np.uint8], np.uint64] = _intrinsic(_class_mask)
"""Bit k set where ``classes[start + k]`` is the wanted one, k < 64; these 64 must exist."""


# ---- sets and their ranks ----


@kernel
def set_at(sets: Sets, i: int) -> NDArray[np.uint64]:
    n_a = sets.indptr_a.size - 1
    if i < n_a:
        return sets.hashes_a[sets.indptr_a[i] : sets.indptr_a[i + 1]]
    return sets.hashes_b[sets.indptr_b[i - n_a] : sets.indptr_b[i - n_a + 1]]


@kernel
def sides_of(sets: Sets) -> tuple[int, int]:
    """(number of collections to keep apart, number of sets in the first)."""
    return (2 if sets.indptr_b.size > 1 else 1), sets.indptr_a.size - 1


@kernel
def ranks_of(sets: Sets) -> Ranks:
    """Counting sort by size."""
    n = sets.indptr_a.size + sets.indptr_b.size - 2
    size_of = np.empty(n, np.int64)
    for i in range(n):
        size_of[i] = set_at(sets, i).size
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
    return Ranks(order, of_set, sizes, starts)


@kernel
def least_shared(total: int, share: float) -> int:
    """The least count, of 1 or more, that is at least ``share`` of ``total``."""
    return max(1, int(np.ceil(share * total)))


@kernel
def share_of_pair(low: float) -> float:
    """The share of both sizes together that two sets have in common if their Jaccard similarity is ``low``."""
    return low / (1.0 + low)


# ---- how common each shingle is ----


@kernel
def first_from(values: NDArray[np.uint64], first: int, last: int, guess: int, bound: np.uint64) -> int:
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
        fetch(counters, np.int64(waiting[min(k + np.uint64(_AHEAD), last)] >> np.uint64(17)))
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
            fetch(hashes, soon + size * part // parts)
            first = first_from(hashes, first, last, start + size * part // parts, begin)
        if part + 1 < parts:
            fetch(hashes, soon + size * (part + 1) // parts)
            last = first_from(hashes, first, last, start + size * (part + 1) // parts, end)
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
                for k in range(_AHEAD):
                    waiting[k] = waiting[_WAITING - _AHEAD + k]
                filled = _AHEAD
    _raise(counters, waiting, filled, odds)


@parallel_kernel()
def _count(
    first: int,
    last: int,
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    counters: NDArray[np.uint8],
    bits: int,
    odds: NDArray[np.uint64],
    part_bits: int,
) -> None:
    for part in range(first, last):
        _count_part(hashes, indptr, counters, bits, odds, part, part_bits)


def _odds(least: int, most: int) -> NDArray[np.uint64]:
    """uint64[16]: of 65536, the chances of a counter of each value to be raised; none unless in ``least .. most
    - 1``.
    """
    odds = np.zeros(_TOP + 1, np.uint64)
    for value in range(least, most):
        odds[value] = 1 << (16 - max(value - 3, 0))
    return odds


def _frequencies(sets: Sets) -> tuple[NDArray[np.uint8], int]:
    """Frequency classes of all shingles, two a byte, by the first bits of the hash; and the number of these bits."""
    a, b = (sets.hashes_a, sets.indptr_a), (sets.hashes_b, sets.indptr_b)
    shingles = int(max(indptr[-1] - indptr[0] for _, indptr in (a, b)))
    bits = min(max(shingles.bit_length(), 16), 32)
    counters = np.zeros(1 << (bits - 1), np.uint8)
    part_bits = min((threads() - 1).bit_length(), 8)
    if sides_of(sets)[0] == 1:
        _count(1 << part_bits, *a, counters, bits, _odds(0, _TOP), part_bits)
    else:
        # 1 is a shingle of a alone; those that are only in b stay 0.
        _count(1 << part_bits, *a, counters, bits, _odds(0, 1), part_bits)
        _count(1 << part_bits, *b, counters, bits, _odds(1, _TOP), part_bits)
        _count(1 << part_bits, *a, counters, bits, _odds(2, _TOP), part_bits)
    return counters, bits


# ---- prefixes ----


@kernel
def _prefix_places(sizes: NDArray[np.int64], low: float) -> NDArray[np.int64]:
    places = np.zeros(sizes.size + 1, np.int64)
    for r in range(sizes.size):
        places[r + 1] = places[r] + (sizes[r] - least_shared(sizes[r], low) + 1 if sizes[r] > 0 else 0)
    return places


@parallel_kernel(_RUN)
def _prefix_rows(
    first: int,
    last: int,
    hashes: NDArray[np.uint64],
    indptr: NDArray[np.int64],
    ranks: NDArray[np.int32],
    counters: NDArray[np.uint8],
    bits: int,
    prefixes: Prefixes,
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
            fetch(counters, np.int64(hashes[min(at + np.uint64(_AHEAD), end)] >> (shift + np.uint64(1))))
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


def prefixes_of(sets: Sets, ranks: Ranks, low: float) -> Prefixes:
    counters, bits = _frequencies(sets)
    places = _prefix_places(ranks.sizes, low)
    prefixes = Prefixes(places, np.zeros(ranks.sizes.size, np.int32), np.empty(places[-1], np.uint32))
    n_a = sets.indptr_a.size - 1
    _prefix_rows(n_a, sets.hashes_a, sets.indptr_a, ranks.of_set[:n_a], counters, bits, prefixes)
    _prefix_rows(sets.indptr_b.size - 1, sets.hashes_b, sets.indptr_b, ranks.of_set[n_a:], counters, bits, prefixes)
    return prefixes


# ---- the index ----


@kernel
def _indexed(ranks: Ranks, prefixes: Prefixes, low: float, r: int) -> int:
    """How many entries of rank ``r`` a set of its size or a larger one may have to meet."""
    size = ranks.sizes[r]
    if size == 0:
        return 0
    return max(0, int(size - least_shared(2 * size, share_of_pair(low)) + 1 - prefixes.singles[r]))


@kernel
def index_of(ranks: Ranks, prefixes: Prefixes, low: float, sides: int, n_a: int) -> PrefixIndex:
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
    return PrefixIndex(bits, offsets, postings)
