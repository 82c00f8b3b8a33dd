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
from kinprint.kernels.embed.vocabulary import (
    BEFORE,
    CONTROL,
    JOINS,
    LEFT,
    MAPS,
    PAIRS,
    ROOT,
    Vocabulary,
    flags_of,
    pair_place,
    place_of,
)
from kinprint.kernels.hashing import HIGH_BYTES, LOW_BYTES, MULTIPLIER_1, MULTIPLIER_3, load64, trailing_zeros
from kinprint.kernels.jit import inlined, kernel
from kinprint.kernels.spread import spread
from kinprint.kernels.unicode import decode
from numpy.typing import NDArray

REMEMBERED_BYTES: Final = 32
"""Longest stretch that is remembered."""
REMEMBERED_TOKENS: Final = 6
"""Most tokens of a stretch that is remembered."""
_SETS: Final = 1 << 16
_GRAIN: Final = 64
"""Texts that are not worth being divided among threads."""

# States between stretches.
_START: Final = 0
"""Nothing of the text has come yet."""
_SPACE: Final = 1
"""A space has come, and nothing after it."""
_CLOSED: Final = 2
"""All that has come is tokens."""
# What a stretch may end in instead.
_LEAVE: Final = -1
"""The library has to do it."""
NO_ROOM: Final = -2
"""An array is too small."""

_B21: Final = np.uint64(0x2121212121212121)
_B80: Final = np.uint64(0x8080808080808080)
_H2: Final = np.uint64(0x94D049BB133111EB)
_H3: Final = np.uint64(0xD6E8FEB86659FD93)
_LOW32: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)


class Room(NamedTuple):
    """Scratch of one thread (see :func:`room`)."""

    word: NDArray[np.uint8]
    """What is split next, normalised."""
    best: NDArray[np.float64]
    """Score of the best split up to each byte."""
    piece: NDArray[np.int32]
    """Its last piece, and where that begins."""
    start: NDArray[np.int32]


@kernel
def room(size: int, nodes: int) -> Room:
    """Scratch for stretches that are ``size`` bytes normalised, each part of them fewer than ``nodes``."""
    return Room(np.empty(size, np.uint8), np.empty(nodes, np.float64), np.empty(nodes, np.int32), np.empty(nodes, np.int32))


@kernel
def _split(work: Room, n: int, vocabulary: Vocabulary, out: NDArray[np.int32], o: int) -> int:
    """Append the tokens of ``work.word[:n]`` to ``out`` at ``o``; the place after them. Needs ``n`` places."""
    units, scores = vocabulary.units, vocabulary.scores
    word, best, piece, start = work.word, work.best, work.piece, work.start
    unknown = vocabulary.unknown
    for i in range(1, n + 1):
        best[i] = -np.inf
    best[0] = 0.0
    i = 0
    while i < n:
        lead = word[i]
        width = 1
        if lead >= 0xC0:
            width = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
            width = min(width, n - i)
        till_here = best[i]
        single = False
        base = np.int64(ROOT)
        k = i
        while k < n:
            c = np.int64(word[k])
            unit = np.int64(units[base ^ c])
            if unit & 0xFF != c:
                break
            k += 1
            ends = unit >> 32
            if ends != 0:
                score = scores[ends - 1] + till_here
                # Of equal ones the first stays, as in the library.
                if score > best[k]:
                    best[k] = score
                    piece[k] = ends - 1
                    start[k] = i
                single |= k - i == width
            base = (unit >> 8) & 0xFFFFFF
        if not single:
            score = vocabulary.unknown_score + till_here
            k = i + width
            if score > best[k]:
                best[k] = score
                piece[k] = unknown
                start[k] = i
        i += width
    count = 0
    k = n
    while k > 0:
        token = piece[k]
        if token != unknown or count == 0 or out[o + count - 1] != unknown:
            out[o + count] = token
            count += 1
        k = np.int64(start[k])
    low = o
    high = o + count - 1
    while low < high:
        token = out[low]
        out[low] = out[high]
        out[high] = token
        low += 1
        high -= 1
    return o + count


@kernel
def _spells_special(text: NDArray[np.uint8], i: int, end: int, vocabulary: Vocabulary) -> bool:
    """Whether a special token is spelled out at byte ``i``."""
    offsets = vocabulary.special_offsets
    for s in range(offsets.size - 1):
        n = offsets[s + 1] - offsets[s]
        if i + n <= end:
            k = 0
            while k < n and text[i + k] == vocabulary.special[offsets[s] + k]:
                k += 1
            if k == n:
                return True
    return False


@inlined
def _open(word, n):  # type: ignore[no-untyped-def]
    """Begin a part with ``▁``."""
    if n == 0:
        word[0] = 0xE2
        word[1] = 0x96
        word[2] = 0x81
        n = 3
    return n


@kernel
def _stretch(
    text: NDArray[np.uint8],
    begin: int,
    end: int,
    state: int,
    vocabulary: Vocabulary,
    work: Room,
    out: NDArray[np.int32],
    o: int,
) -> tuple[int, int, bool]:
    """Append the tokens of one stretch.

    Returns the place after them, the state after the stretch (or :data:`_LEAVE`, :data:`NO_ROOM`) and whether the
    stretch is all between two spaces as well: then its tokens are the same wherever it stands.
    """
    characters = vocabulary.characters
    word = work.word
    if (end - begin + 1) * characters.growth + 8 > word.size:
        return o, NO_ROOM, False
    n = 0
    spaced = state == _SPACE  # whether the part is nothing but a space
    if spaced:
        n = _open(word, n)
    inner = True
    before = 0
    i = begin
    while i < end:
        byte = text[i]
        if vocabulary.special_first[byte] and _spells_special(text, i, end, vocabulary):
            return o, _LEAVE, False
        cp = np.int64(byte)
        width = 1
        if byte >= 0x80:
            cp, width = decode(text, i, end)
        flags = flags_of(characters, cp)
        # Nothing in ASCII joins what precedes it.
        if flags == 0 or (flags == PAIRS and (i + width >= end or text[i + width] < 0x80)):
            n = _open(word, n)
            for k in range(width):
                word[n + k] = text[i + k]
            n += width
            spaced = False
            before = flags
            i += width
            continue
        if flags & LEFT:
            return o, _LEAVE, False
        place = -1
        after = i + width
        if flags & (MAPS | PAIRS) and not flags & CONTROL:
            # A cluster of fewer than 6 bytes is looked up as a whole, and a longer one code point by code point; a
            # whole whose beginning is replaced is replaced by that alone.
            second = -1
            j = after
            while j < end and j - i < 6:
                mark, mark_width = decode(text, j, end)
                if not flags_of(characters, mark) & JOINS:
                    break
                if second < 0:
                    second = mark
                j += mark_width
            if second >= 0 and j - i < 6:
                # Whether the cluster begins here at all depends on more than the flags say.
                if flags & JOINS or before & BEFORE:
                    return o, _LEAVE, False
                if before & JOINS and (cp >= 0x900 or cp == 0xA9 or cp == 0xAE):
                    return o, _LEAVE, False
                place = place_of(characters, cp) if flags & MAPS else pair_place(characters, cp, second)
                if place >= 0:
                    after = j
                    flags |= JOINS
        if place < 0 and flags & MAPS:
            place = place_of(characters, cp)
        if place < 0:
            n = _open(word, n)
            for k in range(width):
                word[n + k] = text[i + k]
            n += width
            spaced = False
        else:
            first = place >> 8
            for k in range(first, first + (place & 0xFF)):
                c = characters.data[k]
                if c != 0x20:
                    n = _open(word, n)
                    word[n] = c
                    n += 1
                    spaced = False
                    continue
                inner = False
                if spaced:
                    continue
                if n > 0:
                    if n >= work.best.size or o + n > out.size:
                        return o, NO_ROOM, False
                    o = _split(work, n, vocabulary, out, o)
                n = _open(word, 0)
                spaced = True
        before = flags
        i = after
    if n == 0:
        return o, _START, False
    if spaced:
        return o, _SPACE, False
    if n >= work.best.size or o + n > out.size:
        return o, NO_ROOM, False
    return _split(work, n, vocabulary, out, o), _CLOSED, inner


@inlined
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 0x20 or byte == 0x0A or byte == 0x0D or byte == 0x09


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
        cp, _ = decode(text, k, end)
        if flags_of(vocabulary.characters, cp) & ~PAIRS == 0:
            return i
        while i < end and _is_space(text[i]):
            i += 1
        i = _stretch_end(text, i, end)
    return end


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
    state = _START
    cut = begin  # where a region may begin, and the place of the tokens after it
    cut_o = o
    i = begin
    while i < end:
        if _is_space(text[i]):
            if state == _CLOSED:
                cut = i
                cut_o = o
            state = _SPACE
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
            slot = 2 * np.int64((h >> _S32) & np.uint64((cache.shape[0] >> 1) - 1))
            found = False
            for s in range(slot, slot + 2):
                if (
                    cache[s, 0] & np.uint64(0xFF) == np.uint64(n)
                    and cache[s, 1] == k0
                    and cache[s, 2] == k1
                    and cache[s, 3] == k2
                    and cache[s, 4] == k3
                ):
                    for k in range(3):
                        two = cache[s, 5 + k]
                        out[o + 2 * k] = np.int32(two & _LOW32)
                        out[o + 2 * k + 1] = np.int32(two >> _S32)
                    o += np.int64(cache[s, 0] >> np.uint64(8))
                    found = True
                    break
            if found:
                state = _CLOSED
                i = stop
                continue
        after, next_state, inner = _stretch(text, i, stop, state, vocabulary, work, out, o)
        if next_state == NO_ROOM:
            return NO_ROOM, 0
        if next_state == _LEAVE:
            o = cut_o
            stop = _region_end(text, stop, end, vocabulary)
            regions[r, 1] = cut
            regions[r, 2] = stop
            regions[r, 3] = o - first
            r += 1
            cut = stop
            state = _CLOSED
            i = stop
            continue
        if inner and n <= REMEMBERED_BYTES and after - o <= REMEMBERED_TOKENS:
            for k in range(8):
                cache[slot + 1, k] = cache[slot, k]
            cache[slot, 0] = np.uint64(n) | np.uint64(after - o) << np.uint64(8)
            cache[slot, 1] = k0
            cache[slot, 2] = k1
            cache[slot, 3] = k2
            cache[slot, 4] = k3
            for k in range(3):
                two = np.uint64(0)
                if o + 2 * k < after:
                    two = np.uint64(out[o + 2 * k])
                if o + 2 * k + 1 < after:
                    two |= np.uint64(out[o + 2 * k + 1]) << _S32
                cache[slot, 5 + k] = two
        o = after
        state = next_state
        i = stop
    if state == _SPACE:
        if o + 8 > out.size:
            return NO_ROOM, 0
        o = _split(work, _open(work.word, 0), vocabulary, out, o)
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
