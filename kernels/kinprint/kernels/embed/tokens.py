"""Unigram tokenisation as Hugging Face's `tokenizers` does it: equal ids on every text.

There, a text is cut at special tokens that it spells out, normalised by a table of SentencePiece (grapheme cluster by
grapheme cluster, runs of spaces as one), cut before every space, which becomes ``▁``, and each part is split into the
pieces whose scores have the largest sum. Here, a text is walked *stretch* by stretch, between white space of ASCII.
Short stretches are remembered with their tokens; the others are normalised and split by dynamic programming over the
trie, in time linear in their length.

What a kernel leaves to the library is named as regions of the text: whole stretches with the white space before them,
so that the tokens of a text are those of its parts, one after another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, grown, memory
from kinprint.kernels.embed.stretch import CLOSED, LEAVE, NO_ROOM, SPACE, START, Room, opened, room, split, stretch
from kinprint.kernels.embed.vocabulary import PAIRS, Vocabulary, code_at
from kinprint.kernels.hashing import HIGH_BYTES, LOW_BYTES, MULTIPLIER_1, MULTIPLIER_3, load64, trailing_zeros
from kinprint.kernels.jit import kernel
from kinprint.kernels.spread import spread
from numpy.typing import NDArray

REMEMBERED_BYTES: Final = 32
"""Longest stretch that is remembered."""
REMEMBERED_TOKENS: Final = 6
"""Most tokens of a stretch that is remembered."""
_SETS: Final = 1 << 16
_GRAIN: Final = 64
"""Texts that are not worth being divided among threads."""

_B21: Final = np.uint64(0x2121212121212121)
_B80: Final = np.uint64(0x8080808080808080)
_H2: Final = np.uint64(0x94D049BB133111EB)
_H3: Final = np.uint64(0xD6E8FEB86659FD93)
_LOW32: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)


@kernel
def _is_space(byte: np.uint8) -> bool:
    return bool(byte == 0x20 or byte == 0x0A or byte == 0x0D or byte == 0x09)


@kernel
def _last_word(text: NDArray[np.uint8], i: int) -> np.uint64:
    """As `load64`, with zeros for what is past the end of the text."""
    n = text.size
    if i + 8 <= n:
        return load64(text, i)
    if i >= n:
        return np.uint64(0)
    if n >= 8:
        return load64(text, n - 8) >> np.uint64(8 * (i + 8 - n))
    word = np.uint64(0)
    for k in range(i, n):
        word |= np.uint64(text[k]) << np.uint64(8 * (k - i))
    return word


@kernel
def _stretch_end(text: NDArray[np.uint8], i: int, end: int) -> int:
    """First byte of white space from ``i``, or ``end``."""
    while i + 8 <= text.size:
        x = load64(text, i)
        low = (x - _B21) & ~x & _B80  # the lowest set bit is at the first byte below 0x21
        if low == 0:
            i += 8
            if i >= end:
                return end
            continue
        i += trailing_zeros(low) >> 3
        if i >= end:
            return end
        if _is_space(text[i]):
            return i
        i += 1
    while i < end and not _is_space(text[i]):
        i += 1
    return min(i, end)


@kernel
def _region_end(text: NDArray[np.uint8], i: int, end: int, vocabulary: Vocabulary) -> int:
    """First place from ``i``, the end of a stretch, before white space that has a code point like any other before it.

    Only there is the white space a space of its own, whatever comes before.
    """
    while i < end:
        k = i - 1
        while k > 0 and text[k] & 0xC0 == 0x80:
            k -= 1
        if code_at(vocabulary.characters, text, k, end)[2] & ~PAIRS == 0:
            return i
        while i < end and _is_space(text[i]):
            i += 1
        i = _stretch_end(text, i, end)
    return end


@kernel
def _recalled(
    cache: NDArray[np.uint64],
    slot: int,
    n: int,
    k0: np.uint64,
    k1: np.uint64,
    k2: np.uint64,
    k3: np.uint64,
    out: NDArray[np.int32],
    o: int,
) -> int:
    """Append the tokens of a stretch of ``n`` bytes that is remembered; their number, 0 for one that is not.

    A place is one line of the processor's cache: bytes and tokens in number, 32 bytes, 6 tokens.
    """
    for s in range(slot, slot + 2):
        head = cache[s, 0]
        if (
            head & np.uint64(0xFF) == np.uint64(n)
            and cache[s, 1] == k0
            and cache[s, 2] == k1
            and cache[s, 3] == k2
            and cache[s, 4] == k3
        ):
            for k in range(3):
                two = cache[s, 5 + k]
                out[o + 2 * k] = np.int32(two & _LOW32)
                out[o + 2 * k + 1] = np.int32(two >> _S32)
            return int(np.int64(head >> np.uint64(8)))
    return 0


@kernel
def _remember(
    cache: NDArray[np.uint64],
    slot: int,
    n: int,
    k0: np.uint64,
    k1: np.uint64,
    k2: np.uint64,
    k3: np.uint64,
    out: NDArray[np.int32],
    o: int,
    after: int,
) -> None:
    """Remember that the tokens of a stretch are ``out[o:after]``."""
    line, older = cache[slot], cache[slot + 1]
    for k in range(8):
        older[k] = line[k]
    line[0] = np.uint64(n) | np.uint64(after - o) << np.uint64(8)
    line[1] = k0
    line[2] = k1
    line[3] = k2
    line[4] = k3
    for k in range(3):
        two = np.uint64(0)
        if o + 2 * k < after:
            two = np.uint64(out[o + 2 * k])
        if o + 2 * k + 1 < after:
            two |= np.uint64(out[o + 2 * k + 1]) << _S32
        line[5 + k] = two


@kernel
def tokenise(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    vocabulary: Vocabulary,
    cache: NDArray[np.uint64],
    work: Room,
    out: NDArray[np.int32],
    o: int,
    regions: NDArray[np.int64],
    r: int,
) -> tuple[int, int]:
    """Append the tokens of ``text[begin:end]`` to ``out`` at ``o``, and its regions to ``regions`` at ``r``.

    Returns the places after them; (:data:`NO_ROOM`, 0) where an array is too small. ``text`` may be read to its end.
    """
    first = o
    state = START
    cut = begin  # where a region may begin, and the place of the tokens after it
    cut_o = o
    i = begin
    while i < end:
        if _is_space(text[i]):
            if state == CLOSED:
                cut = i
                cut_o = o
            state = SPACE
            i += 1
            continue
        if o + 8 > out.size or r >= regions.shape[0]:
            return NO_ROOM, 0
        stop = _stretch_end(text, i, end)
        n = stop - i
        k0 = np.uint64(0)
        k1 = np.uint64(0)
        k2 = np.uint64(0)
        k3 = np.uint64(0)
        slot = 0
        if n <= REMEMBERED_BYTES:
            if i + REMEMBERED_BYTES <= text.size:
                k0 = load64(text, i) & LOW_BYTES[min(n, 8)]
                if n > 8:
                    k1 = load64(text, i + 8) & HIGH_BYTES[min(n, 16)]
                    if n > 16:
                        k2 = load64(text, i + 16) & LOW_BYTES[n - 16]
                        k3 = load64(text, i + 24) & HIGH_BYTES[n - 16]
            else:
                k0 = _last_word(text, i) & LOW_BYTES[min(n, 8)]
                if n > 8:
                    k1 = _last_word(text, i + 8) & HIGH_BYTES[min(n, 16)]
                    if n > 16:
                        k2 = _last_word(text, i + 16) & LOW_BYTES[n - 16]
                        k3 = _last_word(text, i + 24) & HIGH_BYTES[n - 16]
            h = k0 * MULTIPLIER_1 ^ k1 * MULTIPLIER_3 ^ k2 * _H2 ^ k3 * _H3
            h = (h ^ (h >> np.uint64(29))) * MULTIPLIER_3
            slot = 2 * int(np.int64((h >> _S32) & np.uint64((cache.shape[0] >> 1) - 1)))
            count = _recalled(cache, slot, n, k0, k1, k2, k3, out, o)
            if count > 0:
                o += count
                state = CLOSED
                i = stop
                continue
        after, next_state, inner = stretch(text, i, stop, state, vocabulary, work, out, o)
        if next_state == NO_ROOM:
            return NO_ROOM, 0
        if next_state == LEAVE:
            o = cut_o
            stop = _region_end(text, stop, end, vocabulary)
            regions[r, 1] = cut
            regions[r, 2] = stop
            regions[r, 3] = o - first
            r += 1
            cut = stop
            state = CLOSED
            i = stop
            continue
        if inner and n <= REMEMBERED_BYTES and after - o <= REMEMBERED_TOKENS:
            _remember(cache, slot, n, k0, k1, k2, k3, out, o, after)
        o = after
        state = next_state
        i = stop
    if state == SPACE:
        if o + 8 > out.size:
            return NO_ROOM, 0
        o = split(work, opened(work.word, 0), vocabulary, out, o)
    return o, r


@kernel
def longer(ids: NDArray[np.int32], filled: int, size: int) -> NDArray[np.int32]:
    """Room for ``size`` ids, with the first ``filled`` in it."""
    larger = np.empty(size, np.int32)
    for i in range(filled):
        larger[i] = ids[i]
    return larger


@kernel
def _encode(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    vocabulary: Vocabulary,
    cache: NDArray[np.uint64],
    offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int64], int, int]:
    """Ids of some texts, their regions, and the numbers of both; ``offsets[i + 1]`` is the number of ids of text i."""
    total = 0
    for i in range(first, last):
        total += lengths[i]
    out = np.empty(total // 3 + 256, np.int32)
    regions = np.empty((16, 4), np.int64)
    work = room(1 << 14, 1 << 12)
    o = 0
    r = 0
    for i in range(first, last):
        text = memory(addresses[i], lengths[i])
        while True:
            after, regions_after = tokenise(text, 0, lengths[i], vocabulary, cache, work, out, o, regions, r)
            if after >= 0:
                break
            # Each array may be the one that is too small: all grow.
            out = longer(out, o, out.size + out.size // 2 + lengths[i])
            work = room(4 * work.word.size, 4 * work.best.size)
            regions = grown(regions, r, 4 * regions.shape[0])
        for k in range(r, regions_after):
            regions[k, 0] = i
        offsets[i + 1] = after - o
        o = after
        r = regions_after
    return out, regions, o, r


@kernel
def _splice(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    regions: NDArray[np.int64],
    more: NDArray[np.int32],
    more_offsets: NDArray[np.int64],
    out: NDArray[np.int32],
    out_offsets: NDArray[np.int64],
) -> None:
    o = 0
    r = 0
    out_offsets[0] = 0
    for i in range(offsets.size - 1):
        k = offsets[i]
        while r < regions.shape[0] and regions[r, 0] == i:
            until = offsets[i] + regions[r, 3]
            while k < until:
                out[o] = ids[k]
                o += 1
                k += 1
            for q in range(more_offsets[r], more_offsets[r + 1]):
                out[o] = more[q]
                o += 1
            r += 1
        while k < offsets[i + 1]:
            out[o] = ids[k]
            o += 1
            k += 1
        out_offsets[i + 1] = o


# ---- public ----


class Caches:
    """Stretches with their tokens, by which texts of one vocabulary are tokenised faster, and never otherwise.

    A thread borrows one and gives it back, so that no two write to the same. One takes 8 MiB; of the stretches that
    fall into one place, the two seen last stay.
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint64]] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self) -> Iterator[NDArray[np.uint64]]:
        """A cache for the calling thread: uint64[slots, 8]."""
        with self._lock:
            cache = self._free.pop() if self._free else None
        if cache is None:
            cache = np.zeros((2 * _SETS, 8), np.uint64)
        try:
            yield cache
        finally:
            with self._lock:
                self._free.append(cache)


class Tokens(NamedTuple):
    """Tokens of n texts."""

    ids: NDArray[np.int32]
    """int32[t]: ids, one text after another."""
    offsets: NDArray[np.int64]
    """int64[n + 1]: text i has ``ids[offsets[i]:offsets[i + 1]]``."""
    regions: NDArray[np.int64]
    """int64[r, 4]: parts that are missing: text, first byte, byte after the last, and the number of ids of the text
    before it. In the order of the texts.
    """


def encode(texts: Texts, vocabulary: Vocabulary, caches: Caches) -> Tokens:
    """Tokens of texts, but for some regions, which are to be put in (:func:`splice`)."""
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    offsets = np.zeros(len(texts) + 1, np.int64)
    parts: dict[int, tuple[NDArray[np.int32], NDArray[np.int64]]] = {}

    def work(first: int, last: int) -> None:
        with caches.borrowed() as cache:
            ids, regions, filled, missing = _encode(first, last, addresses, lengths, vocabulary, cache, offsets)
        parts[first] = ids[:filled], regions[:missing]

    spread(work, len(texts), _GRAIN)
    np.cumsum(offsets, out=offsets)
    found = [parts[first] for first in sorted(parts)]
    if len(found) == 1:
        return Tokens(found[0][0], offsets, found[0][1])
    ids = np.concatenate([p for p, _ in found]) if found else np.empty(0, np.int32)
    regions = np.concatenate([p for _, p in found]) if found else np.empty((0, 4), np.int64)
    return Tokens(ids, offsets, regions)


def splice(
    tokens: Tokens, more: NDArray[np.int32], more_offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Ids int32[t] and offsets int64[n + 1] with the tokens of the regions put in.

    Parameters
    ----------
    tokens
        What :func:`encode` returned.
    more
        int32[m]: ids of the regions, in their order.
    more_offsets
        int64[r + 1]: region i has ``more[more_offsets[i]:more_offsets[i + 1]]``.
    """
    if len(tokens.regions) == 0:
        return tokens.ids, tokens.offsets
    out = np.empty(tokens.ids.size + more.size, np.int32)
    offsets = np.empty_like(tokens.offsets)
    _splice(
        frozen(tokens.ids),
        frozen(tokens.offsets),
        frozen(tokens.regions),
        frozen(more),
        frozen(more_offsets),
        out,
        offsets,
    )
    return out, offsets
