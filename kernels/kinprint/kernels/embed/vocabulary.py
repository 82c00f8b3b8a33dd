"""What a Unigram tokenizer knows, as arrays that kernels read: a trie of pieces, and how code points are normalised.

Pieces lie in a double array (Aoe, *An efficient digital search algorithm by using a double-array structure*, IEEE
Transactions on Software Engineering 15, 1989) over bytes, one 64-bit unit a node: the unit of the child by byte ``c``
stands at ``base ^ c``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.jit import kernel
from kinprint.kernels.unicode import decode
from numpy.typing import NDArray

# What a code point may be, beyond one that stands for itself; see :class:`Characters`.
MAPS: Final = 1
"""It is replaced by something else."""
PAIRS: Final = 2
"""With the code point after it, it may be replaced by something else."""
JOINS: Final = 4
"""It stands in one grapheme cluster with what precedes it."""
BEFORE: Final = 8
"""It stands in one grapheme cluster with what follows it."""
CONTROL: Final = 16
"""Nothing joins it."""
LEFT: Final = 32
"""Texts with it are left to the library."""

ROOT: Final = 256
"""Base of the trie's root."""
_NOBODY = np.uint64(0xFF)
"""A unit that no byte of UTF-8 reaches."""
_CODE_POINTS = 0x110000
_BLOCK = 128
_OPEN = 64
"""How far before the last unit a place for a node's children is looked for: a fifth of the units stays empty, and
building takes a twelfth of the time that filling all of them would take.
"""
_MOST_UNITS = 1 << 24


class Characters(NamedTuple):
    """How code points are normalised, in blocks of 128 of them."""

    blocks: NDArray[np.uint16]
    """uint16[8704]: block of each 128 code points."""
    flags: NDArray[np.uint8]
    """uint8[blocks, 128]: :data:`MAPS` ... :data:`LEFT`."""
    places: NDArray[np.uint32]
    """uint32[blocks, 128]: ``start << 8 | length`` in ``data`` of what a code point is replaced by."""
    pairs: NDArray[np.uint64]
    """uint64[p], sorted: ``first << 21 | second`` of the pairs that are replaced."""
    pair_places: NDArray[np.uint32]
    """uint32[p]: as ``places``."""
    data: NDArray[np.uint8]
    """UTF-8 of all replacements."""
    growth: int
    """Bytes that one byte of text becomes at most."""


class Vocabulary(NamedTuple):
    """A Unigram tokenizer (Kudo, *Subword Regularization*, ACL 2018)."""

    units: NDArray[np.uint64]
    """The trie: ``(id + 1) << 32 | base << 8 | byte``, 0 in place of ``id + 1`` where no piece ends."""
    scores: NDArray[np.float64]
    """float64[pieces]: logarithms of their probabilities."""
    unknown: int
    """Id of a code point that is no piece; several in a row are one token."""
    unknown_score: float
    special: NDArray[np.uint8]
    """UTF-8 of the special tokens, which are looked for in the text as it is written."""
    special_offsets: NDArray[np.int64]
    special_first: NDArray[np.bool_]
    """bool[256]: bytes that special tokens begin with."""
    characters: Characters


# ---- building ----


@kernel
def _close_front(free: NDArray[np.bool_], at: int) -> int:
    """First free place from ``at``."""
    while at < free.size and not free[at]:
        at += 1
    return at


@kernel
def _build(data: NDArray[np.uint8], offsets: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Units of sorted pieces without repetitions; none where there would be too many.

    Depth first, so that what is read after one another lies close.
    """
    size = 1 << 16
    units = np.full(size, _NOBODY, np.uint64)
    free = np.ones(size, np.bool_)
    used = np.zeros(size, np.bool_)  # as a base
    free[:ROOT] = False  # the empty children of a node without any
    used[:ROOT] = True
    front = ROOT
    top = ROOT
    count = offsets.size - 1
    # Nodes that wait for their children: first and last piece, depth, place of their unit (-1: the root).
    stack = np.empty((1 << 12, 4), np.int64)
    stack[0, 0] = 0
    stack[0, 1] = count
    stack[0, 2] = 0
    stack[0, 3] = -1
    waiting = 1
    labels = np.empty(256, np.int64)
    starts = np.empty(257, np.int64)
    while waiting > 0:
        waiting -= 1
        low, high, depth, place = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        if low < high and offsets[low + 1] - offsets[low] == depth:
            if place >= 0:
                units[place] |= np.uint64(ids[low] + 1) << np.uint64(32)
            low += 1
        if low == high:
            continue
        children = 0
        last = -1
        for i in range(low, high):
            c = int(np.int64(data[offsets[i] + depth]))
            if c != last:
                labels[children] = c
                starts[children] = i
                children += 1
                last = c
        starts[children] = high
        base = ROOT
        if place >= 0:
            base = -1
            front = _close_front(free, max(front, top - _OPEN))
            at = front
            while base < 0:
                if at + 512 >= size:
                    larger = 2 * size
                    if larger > _MOST_UNITS:
                        return np.empty(0, np.uint64)
                    more_units = np.full(larger, _NOBODY, np.uint64)
                    more_free = np.ones(larger, np.bool_)
                    more_used = np.zeros(larger, np.bool_)
                    for i in range(size):
                        more_units[i] = units[i]
                        more_free[i] = free[i]
                        more_used[i] = used[i]
                    units, free, used, size = more_units, more_free, more_used, larger
                if free[at]:
                    candidate = at ^ labels[0]
                    fits = candidate >= ROOT and not used[candidate]
                    for k in range(1, children):
                        if not fits:
                            break
                        fits = free[candidate ^ labels[k]]
                    if fits:
                        base = candidate
                at += 1
            units[place] |= np.uint64(base) << np.uint64(8)
        used[base] = True
        if waiting + children > stack.shape[0]:
            more = np.empty((2 * stack.shape[0] + children, 4), np.int64)
            for i in range(waiting):
                for j in range(4):
                    more[i, j] = stack[i, j]
            stack = more
        for k in range(children):
            child = base ^ labels[k]
            free[child] = False
            units[child] = np.uint64(labels[k])
            top = max(top, child)
        for k in range(children - 1, -1, -1):
            stack[waiting, 0] = starts[k]
            stack[waiting, 1] = starts[k + 1]
            stack[waiting, 2] = depth + 1
            stack[waiting, 3] = base ^ labels[k]
            waiting += 1
    return units[: (top | 255) + 1].copy()


def _packed(parts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def characters(
    flags: NDArray[np.uint8], single: Mapping[int, bytes], pairs: Mapping[tuple[int, int], bytes]
) -> Characters:
    """Normalisation of code points.

    Parameters
    ----------
    flags
        uint8[0x110000]: :data:`JOINS` ... :data:`LEFT`; the others are set here.
    single
        UTF-8 that a code point is replaced by.
    pairs
        UTF-8 that two code points in one grapheme cluster of fewer than 6 bytes are replaced by; the first is none of
        ``single``.

    Raises
    ------
    ValueError
        If a replacement is longer than 255 bytes.
    """
    flags = flags.copy()
    parts = [*single.values(), *pairs.values()]
    if max(map(len, parts), default=0) > 255:
        raise ValueError("a code point is replaced by more than 255 bytes")
    data, offsets = _packed(parts)
    packed = (offsets[:-1] << 8 | np.diff(offsets)).astype(np.uint32)
    places = np.zeros(_CODE_POINTS, np.uint32)
    codes = np.fromiter(single, np.int64, len(single))
    places[codes] = packed[: len(single)]
    flags[codes] |= MAPS
    keys = np.array([first << 21 | second for first, second in pairs], np.uint64)
    flags[[first for first, _ in pairs]] |= PAIRS
    order = np.argsort(keys)
    numbers: dict[bytes, int] = {}
    blocks = np.stack([flags.astype(np.uint32), places], axis=1).reshape(-1, _BLOCK, 2)
    index = np.array([numbers.setdefault(block.tobytes(), len(numbers)) for block in blocks], np.uint16)
    blocks = blocks[np.unique(index, return_index=True)[1]]
    growth = max((-(-len(to) // len(chr(code).encode())) for code, to in single.items()), default=1)
    pair_growth = max(
        (-(-len(to) // len((chr(a) + chr(b)).encode())) for (a, b), to in pairs.items()),
        default=1,
    )
    return Characters(
        frozen(index),
        frozen(np.ascontiguousarray(blocks[..., 0].astype(np.uint8))),
        frozen(np.ascontiguousarray(blocks[..., 1])),
        frozen(keys[order]),
        frozen(packed[len(single) :][order]),
        frozen(data),
        max(growth, pair_growth, 1),
    )


def vocabulary(
    pieces: Sequence[bytes],
    scores: NDArray[np.float64],
    unknown: int,
    penalty: float,
    special: Sequence[bytes],
    normalised: Characters,
) -> Vocabulary:
    """A tokenizer.

    Parameters
    ----------
    pieces
        UTF-8 of the pieces, in the order of their ids; of equal ones the last counts, empty ones are left out.
    scores
        float64[pieces], finite.
    unknown
        Id of what is no piece.
    penalty
        What is no piece scores so much less than the worst piece.
    special
        Tokens that are looked for in the text as it is written.
    normalised
        See :func:`characters`.

    Raises
    ------
    ValueError
        If there are too many pieces for the trie (some 2 million), if ``scores`` are not one finite number a piece, or
        ``unknown`` is none of the ids.
    """
    scores = np.ascontiguousarray(scores, np.float64)
    if scores.shape != (len(pieces),) or not np.isfinite(scores).all() or not 0 <= unknown < len(pieces):
        raise ValueError("scores must be one finite number for each piece, and the unknown one of the pieces")
    ids = {piece: number for number, piece in enumerate(pieces) if piece}
    ordered = sorted(ids)
    units = _build(*_packed(ordered), np.fromiter(map(ids.__getitem__, ordered), np.int64, len(ordered)))
    if units.size == 0:
        raise ValueError(f"{len(pieces)} pieces are too many")
    data, offsets = _packed([token for token in special if token])
    first = np.zeros(256, np.bool_)
    first[[token[0] for token in special if token]] = True
    return Vocabulary(
        frozen(units),
        frozen(scores),
        unknown,
        float(scores.min()) - penalty,
        frozen(data),
        frozen(offsets),
        frozen(first),
        normalised,
    )


# ---- reading ----


@kernel
def code_at(characters: Characters, text: NDArray[np.uint8], i: int, end: int) -> tuple[int, int, int]:
    """The code point at byte ``i`` of ``text``, its width, and what it is: :data:`MAPS` ... :data:`LEFT`."""
    cp = int(np.int64(text[i]))
    width = 1
    if cp >= 0x80:
        cp, width = decode(text, i, end)
    return cp, width, int(np.int64(characters.flags[characters.blocks[cp >> 7], cp & 127]))


@kernel
def pair_place(characters: Characters, first: int, second: int) -> int:
    """``start << 8 | length`` of what two code points are replaced by; -1 where they are not."""
    key = (np.uint64(first) << np.uint64(21)) | np.uint64(second)
    low = 0
    high = characters.pairs.size
    while low < high:
        middle = (low + high) >> 1
        if characters.pairs[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < characters.pairs.size and characters.pairs[low] == key:
        return int(characters.pair_places[low])
    return -1
