"""One stretch of a text without white space of ASCII: normalised as the library does it, and split into pieces.

A stretch is several *parts* where its code points are replaced by spaces; ``▁`` stands for the space before a part.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.embed.vocabulary import (
    BEFORE,
    CONTROL,
    JOINS,
    LEFT,
    MAPS,
    PAIRS,
    ROOT,
    Vocabulary,
    code_at,
    pair_place,
    place_of,
)
from kinprint.kernels.jit import kernel
from numpy.typing import NDArray

# States between stretches.
START: Final = 0
"""Nothing of the text has come yet."""
SPACE: Final = 1
"""A space has come, and nothing after it."""
CLOSED: Final = 2
"""All that has come is tokens."""
# What a stretch may end in instead.
LEAVE: Final = -1
"""The library has to do it."""
NO_ROOM: Final = -2
"""An array is too small."""


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
    return Room(
        np.empty(size, np.uint8), np.empty(nodes, np.float64), np.empty(nodes, np.int32), np.empty(nodes, np.int32)
    )


@kernel
def split(work: Room, n: int, vocabulary: Vocabulary, out: NDArray[np.int32], o: int) -> int:
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
        k = int(np.int64(start[k]))
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


@kernel
def opened(word: NDArray[np.uint8], n: int) -> int:
    """Begin a part with ``▁`` where nothing is in it; its length."""
    if n == 0:
        word[0] = 0xE2
        word[1] = 0x96
        word[2] = 0x81
        n = 3
    return n


@kernel
def stretch(
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

    Returns the place after them, the state after the stretch (or :data:`LEAVE`, :data:`NO_ROOM`) and whether the
    stretch is all between two spaces as well: then its tokens are the same wherever it stands.
    """
    characters = vocabulary.characters
    word = work.word
    if (end - begin + 1) * characters.growth + 8 > word.size:
        return o, NO_ROOM, False
    n = 0
    spaced = state == SPACE  # whether the part is nothing but a space
    if spaced:
        n = opened(word, n)
    inner = True
    before = 0
    i = begin
    while i < end:
        byte = text[i]
        if vocabulary.special_first[byte] and _spells_special(text, i, end, vocabulary):
            return o, LEAVE, False
        cp, width, flags = code_at(characters, text, i, end)
        # Nothing in ASCII joins what precedes it.
        if flags == 0 or (flags == PAIRS and (i + width >= end or text[i + width] < 0x80)):
            n = opened(word, n)
            for k in range(width):
                word[n + k] = text[i + k]
            n += width
            spaced = False
            before = flags
            i += width
            continue
        if flags & LEFT:
            return o, LEAVE, False
        place = -1
        after = i + width
        if flags & (MAPS | PAIRS) and not flags & CONTROL:
            # A cluster of fewer than 6 bytes is looked up as a whole, and a longer one code point by code point; a
            # whole whose beginning is replaced is replaced by that alone.
            second = -1
            j = after
            while j < end and j - i < 6:
                mark, mark_width, mark_flags = code_at(characters, text, j, end)
                if not mark_flags & JOINS:
                    break
                if second < 0:
                    second = mark
                j += mark_width
            if second >= 0 and j - i < 6:
                # Whether the cluster begins here at all depends on more than the flags say.
                if flags & JOINS or before & BEFORE:
                    return o, LEAVE, False
                if before & JOINS and (cp >= 0x900 or cp == 0xA9 or cp == 0xAE):
                    return o, LEAVE, False
                place = place_of(characters, cp) if flags & MAPS else pair_place(characters, cp, second)
                if place >= 0:
                    after = j
                    flags |= JOINS
        if place < 0 and flags & MAPS:
            place = place_of(characters, cp)
        if place < 0:
            n = opened(word, n)
            for k in range(width):
                word[n + k] = text[i + k]
            n += width
            spaced = False
        else:
            first = place >> 8
            for k in range(first, first + (place & 0xFF)):
                c = characters.data[k]
                if c != 0x20:
                    n = opened(word, n)
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
                    o = split(work, n, vocabulary, out, o)
                n = opened(word, 0)
                spaced = True
        before = flags
        i = after
    if n == 0:
        return o, START, False
    if spaced:
        return o, SPACE, False
    if n >= work.best.size or o + n > out.size:
        return o, NO_ROOM, False
    return split(work, n, vocabulary, out, o), CLOSED, inner
