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
    Characters,
    Vocabulary,
    code_at,
    pair_place,
)
from kinprint.kernels.jit import inlined, kernel
from kinprint.kernels.unicode import decode
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

LONG_CLUSTER: Final = 6
"""Grapheme clusters of so many bytes are normalised code point by code point."""

_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_TWO: Final = np.uint64(2)
_THREE: Final = np.uint64(3)
_FOUR: Final = np.uint64(4)
_S8: Final = np.uint64(8)
_S32: Final = np.uint64(32)
_BYTE: Final = np.uint64(0xFF)
_BASE: Final = np.uint64(0xFFFFFF)
_ROOT: Final = np.uint64(ROOT)


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
    # Unsigned, since Numba looks at the sign of every other index.
    end = np.uint64(n)
    at = np.uint64(0)
    while at < end:
        lead = word[at]
        width = _ONE
        if lead >= 0xC0:
            width = _TWO if lead < 0xE0 else (_THREE if lead < 0xF0 else _FOUR)
            width = min(width, end - at)
        till_here = best[at]
        after = at + width
        single = False
        base = _ROOT
        to = at
        while to < end:
            c = np.uint64(word[to])
            unit = units[base ^ c]
            if unit & _BYTE != c:
                break
            to += _ONE
            ends = unit >> _S32
            base = (unit >> _S8) & _BASE
            if ends != _ZERO:
                score = scores[ends - _ONE] + till_here
                # Of equal ones the first stays, as in the library.
                if score > best[to]:
                    best[to] = score
                    piece[to] = np.int32(ends - _ONE)
                    start[to] = np.int32(at)
                single |= to == after
        if not single:
            score = vocabulary.unknown_score + till_here
            if score > best[after]:
                best[after] = score
                piece[after] = unknown
                start[after] = np.int32(at)
        at = after
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


@inlined
def opened(word: NDArray[np.uint8], n: int) -> int:
    """Begin a part with ``▁`` where nothing is in it; its length."""
    if n == 0:
        word[0] = 0xE2
        word[1] = 0x96
        word[2] = 0x81
        n = 3
    return n


@kernel
def _marks(text: NDArray[np.uint8], i: int, after: int, end: int, characters: Characters) -> tuple[int, int]:
    """The code point after the one at byte ``i``, and the byte after all that join it; -1 in place of the code point
    where none does, or the cluster is a long one.
    """
    second = -1
    while after < end and after - i < LONG_CLUSTER:
        mark, width, flags = code_at(characters, text, after, end)
        if not flags & JOINS:
            break
        if second < 0:
            second = mark
        after += width
    return (second if after - i < LONG_CLUSTER else -1), after


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
    # In variables of their own: reading an array out of a tuple costs more than the rest of a step does.
    flags_of, blocks, places, replacements = characters.flags, characters.blocks, characters.places, characters.data
    special_first = vocabulary.special_first
    n = 0
    spaced = state == SPACE  # whether the part is nothing but a space
    if spaced:
        n = opened(word, n)
    inner = True
    before = 0
    i = begin
    while i < end:
        byte = text[i]
        if special_first[byte] and _spells_special(text, i, end, vocabulary):
            return o, LEAVE, False
        cp = int(np.int64(byte))
        width = 1
        if byte >= 0x80:
            cp, width = decode(text, i, end)
        flags = int(np.int64(flags_of[blocks[cp >> 7], cp & 127]))
        marked = False  # whether another joins it; nothing in ASCII does
        if flags & (MAPS | PAIRS) and i + width < end and text[i + width] >= 0x80:
            mark, _ = decode(text, i + width, end)
            marked = flags_of[blocks[mark >> 7], mark & 127] & JOINS != 0
        if flags == 0 or (flags == PAIRS and not marked):
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
        if marked and not flags & CONTROL:
            # A cluster of fewer than 6 bytes is looked up as a whole, and a longer one code point by code point; a
            # whole whose beginning is replaced is replaced by that alone.
            second, after_cluster = _marks(text, i, after, end, characters)
            if second >= 0:
                # Whether the cluster begins here at all depends on more than the flags say.
                if flags & JOINS or before & BEFORE:
                    return o, LEAVE, False
                if before & JOINS and (cp >= 0x900 or cp == 0xA9 or cp == 0xAE):
                    return o, LEAVE, False
                place = pair_place(characters, cp, second)
                if flags & MAPS:
                    place = int(np.int64(places[blocks[cp >> 7], cp & 127]))
                if place >= 0:
                    after = after_cluster
                    flags |= JOINS
        if place < 0 and flags & MAPS:
            place = int(np.int64(places[blocks[cp >> 7], cp & 127]))
        if place < 0:
            n = opened(word, n)
            for k in range(width):
                word[n + k] = text[i + k]
            n += width
            spaced = False
        else:
            first = place >> 8
            for k in range(first, first + (place & 0xFF)):
                c = replacements[k]
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
