"""Where the seeds of two texts meet, and how far the match reaches: the passages of some texts of the first side.

See :mod:`~kinprint.kernels.copy.passages`, which builds the postings and hands out the texts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import grown, memory
from kinprint.kernels.copy.postings import GRAM, GUARANTEE, WINDOW, grams_of, scratch, tokens_of
from kinprint.kernels.copy.seeds import winnow
from kinprint.kernels.copy.shingle import folded_text, larger_size, workspace
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.hashing import finalise, load64
from kinprint.kernels.jit import kernel
from kinprint.kernels.unicode import SPACE, code_class, decode
from numpy.typing import NDArray

REPEATS: Final = 32
"""Pairs of places, by ``max_texts``, that a seed may make between one text and the other side."""


# ---- matches ----


@kernel
def _extend(a: NDArray[np.uint8], b: NDArray[np.uint8], p: int, q: int) -> tuple[int, int]:
    """Bytes that agree before and from places p of a and q of b on."""
    left = 0
    most = min(p, q)
    while left + 8 <= most and load64(a, p - left - 8) == load64(b, q - left - 8):
        left += 8
    while left < most and a[p - left - 1] == b[q - left - 1]:
        left += 1
    right = 0
    most = min(a.size - p, b.size - q)
    while right + 8 <= most and load64(a, p + right) == load64(b, q + right):
        right += 8
    while right < most and a[p + right] == b[q + right]:
        right += 1
    return left, right


@kernel
def _trim(text: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """The stretch cut to whole code points, without white space at its ends."""
    while start < end and (text[start] & 0xC0) == 0x80:
        start += 1
    if end < text.size:
        while end > start and (text[end] & 0xC0) == 0x80:
            end -= 1
    while start < end:
        cp, width = decode(text, start, end)
        if code_class(cp) != SPACE:
            break
        start += width
    while end > start:
        p = end - 1
        while p > start and (text[p] & 0xC0) == 0x80:
            p -= 1
        cp, _ = decode(text, p, end)
        if code_class(cp) != SPACE:
            break
        end = p
    return start, end


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
    """Hash table of (other text, diagonal) with the place to which its last stretch reaches; a stamp spares
    clearing.
    """

    keys: NDArray[np.uint64]
    ends: NDArray[np.int64]
    stamps: NDArray[np.uint32]


@kernel
def _reached(size: int) -> _Reached:
    return _Reached(np.empty(size, np.uint64), np.empty(size, np.int64), np.zeros(size, np.uint32))


@kernel
def _slot(table: _Reached, key: np.uint64, stamp: np.uint32) -> int:
    """Where a key is or belongs; the table's size is a power of two, and a place is always free."""
    mask = np.uint64(table.keys.size - 1)
    place = finalise(key) & mask
    while table.stamps[place] == stamp and table.keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return int(place)


@kernel
def _larger(table: _Reached, stamp: np.uint32) -> _Reached:
    larger = _reached(2 * table.keys.size)
    for k in range(table.keys.size):
        if table.stamps[k] == stamp:
            slot = _slot(larger, table.keys[k], stamp)
            larger.keys[slot] = table.keys[k]
            larger.ends[slot] = table.ends[k]
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
    own: NDArray[np.int64],
    by_place: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    low: int,
    high: int,
    found_by: int,
) -> int:
    """The posting that a passage of the whole tokens low .. high-1 is weighed by.

    A seed that some window within the passage chose is a seed of every text that has these tokens; the rarest of them
    tells best how rare the passage is, and never that it is rarer. Below :data:`GUARANTEE` tokens there may be none;
    then the most common of those at hand is taken.
    """
    rarest = np.int64(-1)
    common = np.int64(found_by)
    q = np.searchsorted(chosen, low)
    while q < chosen.size and chosen[q] + GRAM <= high:
        posting = own[by_place[q]]
        size = ends[posting] - begins[posting]
        if max(windows[q, 0], low) <= min(windows[q, 1], high - GUARANTEE):
            if rarest < 0 or size < ends[rarest] - begins[rarest]:
                rarest = posting
        elif size > ends[common] - begins[common]:
            common = posting
        q += 1
    return int(rarest) if rarest >= 0 else int(common)


@kernel
def find_in_chunk(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
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
    """Passages of texts first .. last-1, rows (a, b, start a, start b, bytes, tokens, texts, seed)."""
    out = np.empty((256, 8), np.int64)
    filled = 0
    work = workspace(BUFFER)
    spare = scratch(BUFFER + 2)
    seeds = _own(256)
    table = _reached(1024)
    stamp = np.uint32(0)
    found = np.empty((64, 7), np.int64)  # start, end, other, start there, seed, first token, token after the last
    for i in range(first, last):
        own = order[indptr[i] : indptr[i + 1]]
        if seeds.low.size < own.size:
            seeds = _own(2 * own.size)
        wanted, over = _look_up(texts, begins, ends, texts_from, own, first_other, max_texts, seeds)
        skipped[0] += over
        if wanted == 0:
            continue
        text = memory(addresses[i], lengths[i])
        length = folded_text(work, addresses[i], lengths[i], True)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], True)
        if spare.starts.size < length + 2:
            spare = scratch(2 * length + 2)
        tokens, edges = tokens_of(work, length, spare.starts, spare.tokens)
        starts = spare.starts[:tokens]
        by_place = np.argsort(places[own], kind="mergesort")
        stamp += np.uint32(1)
        used = 0
        n = 0
        for q in range(own.size):
            k = by_place[q]
            place = int(places[own[k]])
            j = seeds.low[k]
            while j < seeds.high[k]:
                if j == seeds.first[k]:
                    j += seeds.repeats[k]
                    continue
                other = np.int64(texts[j])
                there = int(places[j])
                j += 1
                key = (np.uint64(other) << np.uint64(32)) | np.uint64(there - place + (1 << 31))
                slot = _slot(table, key, stamp)
                if table.stamps[slot] == stamp:
                    if place < table.ends[slot]:
                        continue  # another seed of a stretch that was found already
                else:
                    if 2 * used >= table.keys.size:
                        table = _larger(table, stamp)
                        slot = _slot(table, key, stamp)
                    table.keys[slot] = key
                    table.stamps[slot] = stamp
                    used += 1
                left, right = _extend(text, memory(addresses[other], lengths[other]), place, there)
                table.ends[slot] = place + right
                start, end = _trim(text, place - left, place + right)
                low = np.searchsorted(starts, start)
                high = np.searchsorted(starts, end)
                if high - low < min_tokens:
                    continue
                if n == found.shape[0]:
                    found = grown(found, n, 2 * n)
                found[n, 0] = start
                found[n, 1] = end
                found[n, 2] = other
                found[n, 3] = start - place + there
                found[n, 4] = own[k]
                found[n, 5] = low
                found[n, 6] = high
                n += 1
        if n == 0:
            continue
        by = _order(found, n)
        holders = np.empty(n, np.int64)
        _holders(found, by, holders)
        count = grams_of(spare.tokens, tokens, GRAM, spare.grams)
        m = winnow(spare.grams, 0, count, WINDOW, spare.chosen)
        windows = np.empty((m, 2), np.int32)
        _windows(spare.grams, count, spare.chosen, m, windows)
        if filled + n > out.shape[0]:
            out = grown(out, filled, 2 * (filled + n))
        reach = np.int64(-1)
        for q in range(n):
            f = found[by[q]]
            if not every and f[1] <= reach:
                continue  # it lies within one before it
            reach = f[1]
            # Whether the last token is cut: an odd number of edges before the end puts it into a word or at its end.
            before = np.searchsorted(work.edges[:edges], f[1])
            cut = before % 2 == 1 and work.edges[before] != f[1]
            whole = f[6] - 1 if cut else f[6]
            out[filled, 0] = i
            out[filled, 1] = f[2]
            out[filled, 2] = f[0]
            out[filled, 3] = f[3]
            out[filled, 4] = f[1] - f[0]
            out[filled, 5] = f[6] - f[5]
            out[filled, 6] = holders[by[q]]
            out[filled, 7] = _weighed_by(spare.chosen[:m], windows, own, by_place, begins, ends, f[5], whole, f[4])
            filled += 1
    return out[:filled].copy()
