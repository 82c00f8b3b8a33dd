"""Seeds of texts as they are stored: the least of every few hashes of eight tokens in a row, sorted, with their places.

A text is a row of folded *tokens* (:mod:`~kinprint.kernels.copy.tokens`). Each :data:`GRAM` tokens in a row are
hashed, and of every :data:`WINDOW` such hashes the least is a seed (winnowing, see
:mod:`~kinprint.kernels.copy.seeds`). Its place is where its first token begins in the text as it is stored.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory, room_for_hashes
from kinprint.kernels.copy.seeds import winnow
from kinprint.kernels.copy.tokens import larger_row, row_of, tokens_in
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.hashing import finalise
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

GRAM: Final = 8
"""Tokens that are hashed together."""
WINDOW: Final = 5
"""Hashes in a row of which one is a seed."""
GUARANTEE: Final = GRAM + WINDOW - 1
"""Tokens of a passage that is found for certain."""
_CHUNK = 64


class Postings(NamedTuple):
    """Seeds of n texts, sorted by hash, then text, then place."""

    hashes: NDArray[np.uint64]
    """uint64[m]."""
    texts: NDArray[np.int32]
    """int32[m]."""
    places: NDArray[np.int32]
    """int32[m]: the byte where the first token of the seed begins."""


# ---- seeds of one text ----


@kernel
def grams_of(tokens: NDArray[np.uint64], count: int, size: int, out: NDArray[np.uint64]) -> int:
    """Hashes of each ``size`` tokens in a row; their number."""
    n = count - size + 1
    for i in range(n):
        h = np.uint64(0)
        for j in range(size):
            v = tokens[i + j]
            turn = np.uint64(7 * j)
            h += (v << turn) | (v >> ((np.uint64(64) - turn) & np.uint64(63)))
        out[i] = finalise(h)
    return max(0, n)


class Scratch(NamedTuple):
    """Scratch of one thread for seeds."""

    grams: NDArray[np.uint64]
    chosen: NDArray[np.int32]


@kernel
def scratch(size: int) -> Scratch:
    return Scratch(np.empty(size, np.uint64), np.empty(size, np.int32))


@parallel_kernel(_CHUNK)
def _posting_pass(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    packed: NDArray[np.uint64],
) -> None:
    """Count the seeds of texts first .. last-1, or, with room in ``hashes``, write them."""
    row = row_of(BUFFER)
    spare = scratch(BUFFER + 2)
    for i in range(first, last):
        text = memory(addresses[i], lengths[i])
        n = tokens_in(text, 0, text.size, row)
        while n < 0:
            row = row_of(larger_row(row, text.size))
            n = tokens_in(text, 0, text.size, row)
        if spare.grams.size < n:
            spare = scratch(2 * n)
        m = winnow(spare.grams, 0, grams_of(row.hashes, n, GRAM, spare.grams), WINDOW, spare.chosen)
        if hashes.size > 0:
            for k in range(m):
                hashes[offsets[i] + k] = spare.grams[spare.chosen[k]]
                packed[offsets[i] + k] = (np.uint64(i) << np.uint64(32)) | np.uint64(row.begins[spare.chosen[k]])
        counts[i] = m


@kernel
def _sort_pairs(
    hashes: NDArray[np.uint64], packed: NDArray[np.uint64], spare_h: NDArray[np.uint64], spare_p: NDArray[np.uint64]
) -> None:
    """Sort by hash, stably: radix by the top 44 bits, then insertion among the few that agree in these."""
    a, b = hashes, spare_h
    x, y = packed, spare_p
    n = hashes.size
    for shift in (20, 31, 42, 53):
        bits = np.uint64(shift)
        counts = np.zeros(2049, np.int64)
        for i in range(n):
            counts[np.int64((a[i] >> bits) & np.uint64(2047)) + 1] += 1
        for d in range(2048):
            counts[d + 1] += counts[d]
        for i in range(n):
            digit = np.int64((a[i] >> bits) & np.uint64(2047))
            k = counts[digit]
            b[k] = a[i]
            y[k] = x[i]
            counts[digit] = k + 1
        a, b = b, a
        x, y = y, x
    for i in range(1, n):
        h = hashes[i]
        p = packed[i]
        j = i
        while j > 0 and hashes[j - 1] > h:
            hashes[j] = hashes[j - 1]
            packed[j] = packed[j - 1]
            j -= 1
        hashes[j] = h
        packed[j] = p


@kernel
def _unpack(packed: NDArray[np.uint64], texts: NDArray[np.int32], places: NDArray[np.int32]) -> None:
    for i in range(packed.size):
        texts[i] = np.int32(packed[i] >> np.uint64(32))
        places[i] = np.int32(packed[i] & np.uint64(0xFFFFFFFF))


def postings(texts: Texts) -> Postings:
    """Seeds of texts, sorted: 16 bytes a seed, about 850 a text of 165 words, and twice that while it is made.

    Raises
    ------
    ValueError
        If there are 2^31 texts or more.
    """
    n = len(texts)
    if n >= 2**31:
        raise ValueError(f"at most 2^31 - 1 texts, not {n}")
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    counts = np.zeros(n, np.int64)
    offsets = np.zeros(n + 1, np.int64)
    none = np.empty(0, np.uint64)
    _posting_pass(n, addresses, lengths, offsets, counts, none, none)
    np.cumsum(counts, out=offsets[1:])
    total = int(offsets[-1])
    hashes, packed = room_for_hashes(total), room_for_hashes(total)
    if hashes.size:
        _posting_pass(n, addresses, lengths, offsets, counts, hashes, packed)
        _sort_pairs(hashes, packed, room_for_hashes(total), room_for_hashes(total))
    made = Postings(hashes, np.empty(hashes.size, np.int32), np.empty(hashes.size, np.int32))
    _unpack(packed, made.texts, made.places)
    return made
