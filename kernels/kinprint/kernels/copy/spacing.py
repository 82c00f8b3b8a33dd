"""Letters set apart: which single letters are one word, written so that no program finds it.

A text is cut into units: words, punctuation code by code point, and what else there is. A *stretch* is a run of units
none of which is a word of two letters or more. In a stretch

- letters with the same white space between each two make a group, and wider white space parts groups;
- or letters with one mark of :data:`MARKS` between each two, always the same, do.

A group that is a word says that its stretch is written so, and all of its groups are joined.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.jit import kernel
from kinprint.kernels.unicode import (
    DIGIT,
    IGNORABLE,
    MARK,
    PUNCT,
    SPACE,
    UPPER,
    WORD,
    code_class,
    is_line_end,
)
from numpy.typing import NDArray

LEAST: Final = 4
"""Letters of a group that is a word; of these three are different and not all follow one another in the alphabet."""
LEAST_DOTTED: Final = 5
"""The same with full stops: abbreviations are written with them. In capitals it takes two more."""
WIDEST: Final = 3
"""White space between the letters of a word at most, in code points."""
MARKS: Final = np.array([0x2E, 0x2D, 0x5F, 0x2A, 0xB7, 0x2022, 0x7E], np.int32)
"""Marks set between letters: . - _ * middle dot, bullet, ~"""
_LETTER, _DIGIT, _LONG, _PUNCT, _BREAK = range(5)


@kernel
def _units(now: NDArray[np.int32], shown: NDArray[np.int64], m: int, units: NDArray[np.int64]) -> int:
    """Units int64[u, 4]: kind, first and end place in ``shown``, white space before it (-1: with a line end)."""
    u = 0
    k = 0
    white = 0
    line = False
    while k < m:
        cp = int(now[shown[k]])
        c = code_class(cp)
        if c == SPACE:
            white += 1
            line |= is_line_end(cp)
            k += 1
            continue
        first = k
        kind = _BREAK
        k += 1
        if c in (WORD, UPPER, DIGIT):
            kind = _DIGIT if c == DIGIT else _LETTER
            while k < m:
                c = code_class(int(now[shown[k]]))
                if c in (WORD, UPPER, DIGIT):
                    kind = _LONG
                elif c != MARK and c != IGNORABLE:
                    break
                k += 1
        elif c == PUNCT:
            kind = _PUNCT
        units[u, 0] = kind
        units[u, 1] = first
        units[u, 2] = k
        units[u, 3] = -1 if line else white
        white = 0
        line = False
        u += 1
    return u


@kernel
def _is_word(
    now: NDArray[np.int32],
    shown: NDArray[np.int64],
    units: NDArray[np.int64],
    first: int,
    end: int,
    step: int,
    least: int,
) -> bool:
    """Whether the letters among the units ``first, first + step, ...`` make a word of ``least`` letters."""
    letters = 0
    follow = 0
    different = 0
    before = -1
    one = -1
    two = -1
    for k in range(first, end, step):
        if units[k, 0] != _LETTER:
            before = -1
            continue
        cp = int(now[shown[units[k, 1]]])
        letters += 1
        follow += 1 if cp == before + 1 else 0
        if cp != one and cp != two:
            different += 1
            two = one
            one = cp
        before = cp
    return letters >= least and different >= 3 and follow < letters - 1


@kernel
def _all_upper(
    now: NDArray[np.int32], shown: NDArray[np.int64], units: NDArray[np.int64], first: int, end: int, step: int
) -> bool:
    for k in range(first, end, step):
        if units[k, 0] == _LETTER and code_class(int(now[shown[units[k, 1]]])) != UPPER:
            return False
    return True


@kernel
def _join_spaced(
    now: NDArray[np.int32],
    shown: NDArray[np.int64],
    units: NDArray[np.int64],
    first: int,
    end: int,
    kinds: NDArray[np.uint8],
    kind: np.uint8,
) -> bool:
    """Join the letters of the stretch ``units[first:end]`` that have white space between them."""
    gap = WIDEST + 1
    letters = 0
    for k in range(first, end):
        if units[k, 0] == _LETTER:
            letters += 1
            if k > first and units[k - 1, 0] == _LETTER and 0 < units[k, 3] < gap:
                gap = units[k, 3]
    if gap > WIDEST or 5 * letters < 3 * (end - first):
        return False
    found = False
    start = first
    for k in range(first + 1, end + 1):
        if k < end and units[k, 3] == gap and units[k, 0] <= _DIGIT and units[k - 1, 0] <= _DIGIT:
            continue
        if _is_word(now, shown, units, start, k, 1, LEAST):
            found = True
            break
        start = k
    if not found:
        return False
    for k in range(first + 1, end):
        if units[k, 3] < gap:
            continue  # none, or a line end
        place = units[k, 1] - 1
        for _ in range(units[k, 3]):
            i = shown[place]
            # Wider white space parts words: one space of it is left.
            if units[k, 3] == gap or place > units[k, 1] - units[k, 3]:
                now[i] = -1
                kinds[i] |= kind
            elif now[i] != 0x20:
                now[i] = 0x20
                kinds[i] |= kind
            place -= 1
    return True


@kernel
def _is_mark(cp: int) -> bool:
    found = False
    for mark in MARKS:
        found |= mark == cp
    return found


@kernel
def _chain(units: NDArray[np.int64], now: NDArray[np.int32], shown: NDArray[np.int64], first: int, end: int) -> int:
    """End of the chain of letters with one mark between each two that begins at a unit; ``first`` where none does."""
    if units[first, 0] > _DIGIT or first + 2 >= end or units[first + 1, 0] != _PUNCT:
        return first
    mark = now[shown[units[first + 1, 1]]]
    if not _is_mark(int(mark)):
        return first
    k = first
    while (
        k + 2 < end
        and units[k + 1, 0] == _PUNCT
        and now[shown[units[k + 1, 1]]] == mark
        and units[k + 1, 3] == 0
        and units[k + 2, 0] <= _DIGIT
        and units[k + 2, 3] == 0
    ):
        k += 2
    return k + 1 if k > first else first


@kernel
def _join_marked(
    now: NDArray[np.int32],
    shown: NDArray[np.int64],
    units: NDArray[np.int64],
    first: int,
    end: int,
    kinds: NDArray[np.uint8],
    kind: np.uint8,
) -> bool:
    """Join the letters of the stretch ``units[first:end]`` that have a mark between them."""
    mark = -1
    k = first
    while k < end and mark < 0:
        stop = _chain(units, now, shown, k, end)
        if stop > k:
            sign = int(now[shown[units[k + 1, 1]]])
            least = LEAST_DOTTED if sign == 0x2E else LEAST
            if sign == 0x2E and _all_upper(now, shown, units, k, stop, 2):
                least += 2
            if _is_word(now, shown, units, k, stop, 2, least):
                mark = sign
        k = max(stop, k + 1)
    if mark < 0:
        return False
    k = first
    while k < end:
        stop = _chain(units, now, shown, k, end)
        if stop > k and now[shown[units[k + 1, 1]]] == mark:
            for j in range(k + 1, stop, 2):
                i = shown[units[j, 1]]
                now[i] = -1
                kinds[i] |= kind
        k = max(stop, k + 1)
    return True


@kernel
def join_letters(
    now: NDArray[np.int32], shown: NDArray[np.int64], m: int, kinds: NDArray[np.uint8], kind: np.uint8
) -> bool:
    """Leave out what stands between the letters of words; whether anything did.

    ``now[shown[:m]]`` are the code points of a text. What is left out becomes -1, and gets the bit ``kind``.
    """
    units = np.empty((m, 4), np.int64)
    u = _units(now, shown, m, units)
    changed = False
    first = 0
    while first < u:
        if units[first, 0] > _DIGIT:
            first += 1
            continue
        end = first + 1
        while end < u and units[end, 0] != _LONG and units[end, 0] != _BREAK:
            end += 1
        if end - first >= LEAST:
            joined = _join_spaced(now, shown, units, first, end, kinds, kind)
            changed |= joined or _join_marked(now, shown, units, first, end, kinds, kind)
        first = end
    return changed
