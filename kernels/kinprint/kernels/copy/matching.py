"""Where the seeds of two texts meet, and how far the match reaches: the passages of some texts of the first side.

See :mod:`~kinprint.kernels.copy.passages`, which builds the postings and hands out the texts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import grown, memory
from kinprint.kernels.copy.differences import differences_of
from kinprint.kernels.copy.extend import extend, pair_of
from kinprint.kernels.copy.postings import GRAM, GUARANTEE, WINDOW, grams_of, scratch
from kinprint.kernels.copy.seeds import winnow
from kinprint.kernels.copy.tokens import larger_row, opens, row_of, tokens_in
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.hashing import finalise
from kinprint.kernels.jit import kernel
from numpy.typing import NDArray

REPEATS: Final = 32
"""Pairs of places, by ``max_texts``, that a seed may make between one text and the other side."""


# ---- what to compare ----


@kernel
def runs_of(
    hashes: NDArray[np.uint64],
    texts: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    texts_from: NDArray[np.int32],
) -> None:
    """For every posting, where its run of equal hashes begins and ends, and the texts from it to the end of its run."""
    n = hashes.size
    for i in range(n - 1, -1, -1):
        if i + 1 < n and hashes[i + 1] == hashes[i]:
            ends[i] = ends[i + 1]
            texts_from[i] = texts_from[i + 1] + (1 if texts[i] != texts[i + 1] else 0)
        else:
            ends[i] = i + 1
            texts_from[i] = 1
    for i in range(n):
        begins[i] = begins[i - 1] if i > 0 and hashes[i - 1] == hashes[i] else i


@kernel
def by_text(texts: NDArray[np.int32], limit: int, indptr: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """The postings of each text below ``limit``, in the order of their hashes: ``order[indptr[t]:indptr[t + 1]]``."""
    for i in range(texts.size):
        if texts[i] < limit:
            indptr[texts[i] + 1] += 1
    for t in range(limit):
        indptr[t + 1] += indptr[t]
    at = indptr[:-1].copy()
    for i in range(texts.size):
        t = texts[i]
        if t < limit:
            order[at[t]] = i
            at[t] += 1


class _Own(NamedTuple):
    """Seeds of one text, and what of the other side each is to be compared with."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    """Postings ``low .. high - 1``; none where the seed is alone or passed over."""
    first: NDArray[np.int64]
    repeats: NDArray[np.int64]
    """Those from ``first`` on, so many, are the text's own."""


@kernel
def _own(size: int) -> _Own:
    return _Own(np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64))


@kernel
def _look_up(
    texts: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    texts_from: NDArray[np.int32],
    own: NDArray[np.int64],
    first_other: int,
    max_texts: int,
    out: _Own,
) -> tuple[int, int]:
    """Fill ``out`` for the postings ``own`` of a text, in the order of their hashes: (seeds to compare, passed
    over).
    """
    wanted = 0
    skipped = 0
    k = 0
    while k < own.size:
        begin = begins[own[k]]
        end = ends[own[k]]
        n = 1  # postings of one text and hash are next to each other
        while k + n < own.size and begins[own[k + n]] == begin:
            n += 1
        others = 0
        places = 0
        if first_other > 0:  # texts are in order within a run: the other side is its tail
            low, high = begin, end
            while low < high:
                middle = (low + high) >> 1
                if texts[middle] < first_other:
                    low = middle + 1
                else:
                    high = middle
            begin = low
            others = texts_from[begin] if begin < end else 0
            places = end - begin
        else:
            others = texts_from[begin] - 1
            places = end - begin - n
        over = others > max_texts or n * places > REPEATS * max_texts
        if over:
            skipped += n
        elif others > 0:
            wanted += n
        for q in range(k, k + n):
            out.low[q] = begin
            out.high[q] = begin if over or others == 0 else end
            out.first[q] = own[k]
            out.repeats[q] = n
        k += n
    return wanted, skipped


class _Reached(NamedTuple):
    """Hash set of (other text and place there, seed) that lie in a stretch which was found; a stamp spares clearing."""

    keys: NDArray[np.uint64]
    seeds: NDArray[np.int64]
    stamps: NDArray[np.uint32]


@kernel
def _reached(size: int) -> _Reached:
    return _Reached(np.empty(size, np.uint64), np.empty(size, np.int64), np.zeros(size, np.uint32))


@kernel
def _slot(table: _Reached, key: np.uint64, seed: int, stamp: np.uint32) -> int:
    """Where a key is or belongs; the table's size is a power of two, and a place is always free."""
    mask = np.uint64(table.keys.size - 1)
    place = finalise(key ^ (np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15))) & mask
    while table.stamps[place] == stamp and (table.keys[place] != key or table.seeds[place] != seed):
        place = (place + np.uint64(1)) & mask
    return int(place)


@kernel
def _larger(table: _Reached, stamp: np.uint32) -> _Reached:
    larger = _reached(2 * table.keys.size)
    for k in range(table.keys.size):
        if table.stamps[k] == stamp:
            slot = _slot(larger, table.keys[k], int(table.seeds[k]), stamp)
            larger.keys[slot] = table.keys[k]
            larger.seeds[slot] = table.seeds[k]
            larger.stamps[slot] = stamp
    return larger


@kernel
def _order(found: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Order of stretches of one text, rows (start, end, other, start there): by start, longest first, other,
    start there.
    """
    keys = np.empty(n, np.uint64)
    for k in range(n):
        keys[k] = (np.uint64(found[k, 2]) << np.uint64(32)) | np.uint64(found[k, 3])
    by_other = np.argsort(keys, kind="mergesort")
    for k in range(n):
        r = by_other[k]
        keys[k] = (np.uint64(found[r, 0]) << np.uint64(32)) | np.uint64((1 << 32) - 1 - found[r, 1])
    return by_other[np.argsort(keys, kind="mergesort")]


@kernel
def _holders(found: NDArray[np.int64], order: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """How many texts hold each stretch: those with a stretch that begins no later and ends no earlier.

    In the order of :func:`_order` all that begin no later have been met, so that it takes only the furthest end of each
    text so far, counted in a Fenwick tree (1994) over the ends.
    """
    n = order.size
    others = np.sort(found[:n, 2])
    ends = np.sort(found[:n, 1])
    furthest = np.full(n, -1, np.int64)
    tree = np.zeros(n + 1, np.int64)
    total = 0
    i = 0
    while i < n:
        start = found[order[i], 0]
        end = found[order[i], 1]
        rank = np.searchsorted(ends, end)
        j = i
        while j < n and found[order[j], 0] == start and found[order[j], 1] == end:
            who = np.searchsorted(others, found[order[j], 2])
            before = furthest[who]
            if before < rank:
                furthest[who] = rank
                if before < 0:
                    total += 1
                else:
                    p = before + 1
                    while p <= n:
                        tree[p] -= 1
                        p += p & -p
                p = rank + 1
                while p <= n:
                    tree[p] += 1
                    p += p & -p
            j += 1
        holders = total
        p = rank
        while p > 0:
            holders -= tree[p]
            p -= p & -p
        while i < j:
            out[order[i]] = holders
            i += 1


@kernel
def _windows(
    grams: NDArray[np.uint64], count: int, chosen: NDArray[np.int32], m: int, windows: NDArray[np.int32]
) -> None:
    """The first and last window that chose each seed, int32[m, 2]; see :func:`~kinprint.kernels.copy.seeds.winnow`."""
    for q in range(m):
        windows[q, 0] = 0
        if q > 0:  # chosen when it came into the window, or else when the one before it went out
            if grams[chosen[q]] <= grams[chosen[q - 1]]:
                windows[q, 0] = max(0, chosen[q] - WINDOW + 1)
            else:
                windows[q, 0] = chosen[q - 1] + 1
            windows[q - 1, 1] = windows[q, 0] - 1
    if m > 0:
        windows[m - 1, 1] = max(0, count - WINDOW)


@kernel
def _weighed_by(
    chosen: NDArray[np.int32],
    windows: NDArray[np.int32],
    seeds: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    low: int,
    high: int,
    found_by: int,
) -> int:
    """The posting that a passage of the tokens low .. high-1 is weighed by.

    A seed that some window within the passage chose is a seed of every text that has these tokens; the rarest of them
    tells best how rare the passage is, and never that it is rarer. Below :data:`GUARANTEE` tokens there may be none;
    then the most common of those at hand is taken.
    """
    rarest = np.int64(-1)
    common = np.int64(found_by)
    q = np.searchsorted(chosen, low)
    while q < chosen.size and chosen[q] + GRAM <= high:
        posting = seeds[q]
        size = ends[posting] - begins[posting]
        if max(windows[q, 0], low) <= min(windows[q, 1], high - GUARANTEE):
            if rarest < 0 or size < ends[rarest] - begins[rarest]:
                rarest = posting
        elif size > ends[common] - begins[common]:
            common = posting
        q += 1
    return int(rarest) if rarest >= 0 else int(common)


@kernel
def _seeds_by_place(
    own: NDArray[np.int64],
    places: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    grams: NDArray[np.uint64],
    chosen: NDArray[np.int32],
) -> NDArray[np.int64]:
    """For each token that begins a seed, in order, the place in ``own`` of the posting that it is."""
    by_place = np.argsort(places[own], kind="mergesort")
    for q in range(by_place.size):
        r = q  # tokens that came from one code point have one place
        while hashes[own[by_place[r]]] != grams[chosen[q]]:
            r += 1
        held = by_place[q]
        by_place[q] = by_place[r]
        by_place[r] = held
    return by_place


@kernel
def find_in_chunk(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    texts: NDArray[np.int32],
    places: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    texts_from: NDArray[np.int32],
    indptr: NDArray[np.int64],
    order: NDArray[np.int64],
    first: int,
    last: int,
    first_other: int,
    max_texts: int,
    min_tokens: int,
    every: bool,
    skipped: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Passages of texts first .. last-1, rows (a, b, start a, start b, bytes in a, tokens, texts, seed, bytes in b,
    differences).
    """
    out = np.empty((256, 10), np.int64)
    filled = 0
    row = row_of(BUFFER)
    other_row = row_of(BUFFER)
    spare = scratch(BUFFER + 2)
    pair = pair_of(BUFFER + 2)
    seeds = _own(256)
    table = _reached(1024)
    stamp = np.uint32(0)
    # Start, end, other, start there, seed, first token, token after the last, bytes there, differences.
    found = np.empty((64, 9), np.int64)
    for i in range(first, last):
        own = order[indptr[i] : indptr[i + 1]]
        if seeds.low.size < own.size:
            seeds = _own(2 * own.size)
        wanted, over = _look_up(texts, begins, ends, texts_from, own, first_other, max_texts, seeds)
        skipped[0] += over
        if wanted == 0:
            continue
        text = memory(addresses[i], lengths[i])
        tokens = tokens_in(text, 0, text.size, row)
        while tokens < 0:
            row = row_of(larger_row(row, text.size))
            tokens = tokens_in(text, 0, text.size, row)
        if spare.grams.size < tokens:
            spare = scratch(2 * tokens)
        if pair.begins.size < tokens:
            pair = pair_of(2 * tokens)
        count = grams_of(row.hashes, tokens, GRAM, spare.grams)
        m = winnow(spare.grams, 0, count, WINDOW, spare.chosen)
        by_place = _seeds_by_place(own, places, hashes, spare.grams, spare.chosen)
        stamp += np.uint32(1)
        used = 0
        n = 0
        for q in range(m):
            k = by_place[q]
            j = seeds.low[k]
            while j < seeds.high[k]:
                if j == seeds.first[k]:
                    j += seeds.repeats[k]
                    continue
                other = np.int64(texts[j])
                there = int(places[j])
                j += 1
                key = (np.uint64(other) << np.uint64(32)) | np.uint64(there)
                if table.stamps[_slot(table, key, q, stamp)] == stamp:
                    continue  # another seed of a stretch that was found already
                other_text = memory(addresses[other], lengths[other])
                room = 1
                while room > 0:  # one call in place of two, which would be compiled twice into this
                    room = extend(text, row, tokens, int(spare.chosen[q]), GRAM, other_text, there, other_row, pair)
                    if room > 0:
                        other_row = row_of(room)
                low = int(pair.reach[0])
                high = int(pair.reach[1])
                r = q + 1
                while r < m and spare.chosen[r] + GRAM <= high:
                    if 2 * used >= table.keys.size:
                        table = _larger(table, stamp)
                    key = (np.uint64(other) << np.uint64(32)) | np.uint64(pair.begins[spare.chosen[r]])
                    slot = _slot(table, key, r, stamp)
                    if table.stamps[slot] != stamp:
                        table.keys[slot] = key
                        table.seeds[slot] = r
                        table.stamps[slot] = stamp
                        used += 1
                    r += 1
                while low < high and not (opens(row, low) and pair.opens[low]):
                    low += 1
                while low < high and not (row.closes[high - 1] and pair.closes[high - 1]):
                    high -= 1
                if high - low < min_tokens:
                    continue
                if n == found.shape[0]:
                    found = grown(found, n, 2 * n)
                found[n, 0] = row.begins[low]
                found[n, 1] = row.ends[high - 1]
                found[n, 2] = other
                found[n, 3] = pair.begins[low]
                found[n, 4] = own[k]
                found[n, 5] = low
                found[n, 6] = high
                found[n, 7] = pair.ends[high - 1] - pair.begins[low]
                found[n, 8] = differences_of(
                    text, row.begins, row.ends, low, other_text, pair.begins, pair.ends, low, high - low
                )
                n += 1
        if n == 0:
            continue
        by = _order(found, n)
        holders = np.empty(n, np.int64)
        _holders(found, by, holders)
        windows = np.empty((m, 2), np.int32)
        _windows(spare.grams, count, spare.chosen, m, windows)
        weighed = own[by_place]
        if filled + n > out.shape[0]:
            out = grown(out, filled, 2 * (filled + n))
        reach = np.int64(-1)
        for q in range(n):
            f = found[by[q]]
            if not every and f[1] <= reach:
                continue  # it lies within one before it
            reach = f[1]
            out[filled, 0] = i
            out[filled, 1] = f[2]
            out[filled, 2] = f[0]
            out[filled, 3] = f[3]
            out[filled, 4] = f[1] - f[0]
            out[filled, 5] = f[6] - f[5]
            out[filled, 6] = holders[by[q]]
            out[filled, 7] = _weighed_by(spare.chosen[:m], windows, weighed, begins, ends, f[5], f[6], f[4])
            out[filled, 8] = f[7]
            out[filled, 9] = f[8]
            filled += 1
    return out[:filled].copy()
