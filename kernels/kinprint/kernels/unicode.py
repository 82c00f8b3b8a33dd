"""Unicode tables of one pinned version, and the accessors that kernels inline.

The tables ship with the package (``tables/unicode.npz``, written by ``tools/unicode_tables.py``), so that a
fingerprint never depends on the Unicode version of the running Python. They are two-stage tries over blocks of
128 code points, small enough for the L2 cache; Numba freezes them into the compiled kernels.

Classes follow General_Category and White_Space. :data:`SPACELESS` are the letters of scripts that put no space
between words (Han, Hiragana, Katakana, Bopomofo, Yi, Tangut, Nushu, Khitan, Jurchen, Seal, Thai, Lao, Khmer,
Myanmar, Tibetan, the Tai scripts, Ahom, Balinese, Javanese).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.archive import load_tables
from kinprint.kernels.jit import inlined, kernel
from numpy.typing import NDArray

UNICODE_VERSION: Final = "18.0.0"
"""Version of the Unicode Character Database behind every table."""

SPACE: Final = 0
"""White_Space."""
PUNCT: Final = 1
"""General_Category P*, Sk, Sm, Sc, Z* or Cc, and not white space."""
WORD: Final = 2
"""Letters other than upper case, numbers other than decimal digits, and whatever no other class takes."""
SPACELESS: Final = 3
"""Letters of scripts written without spaces between words."""
IGNORABLE: Final = 4
"""Default_Ignorable_Code_Point: joiners, variation selectors, soft hyphen, direction marks."""
MARK: Final = 5
"""Combining marks (M*): they take the class of what they follow."""
SYMBOL: Final = 6
"""General_Category So: emoji, dingbats; treated as spaceless."""
DIGIT: Final = 7
"""General_Category Nd; treated as word."""
UPPER: Final = 8
"""General_Category Lu or Lt; treated as word."""

_WORD_CLASSES: Final = (1 << WORD) | (1 << UPPER) | (1 << DIGIT) | (1 << MARK)

FOLDS: Final = 1 << 4
"""Property bit: NFKC_Casefold changes this code point."""
NOT_BOUNDARY: Final = 1 << 5
"""Property bit: canonical composition may reach back across this code point (ccc > 0 or NFC_Quick_Check not Yes)."""
MAYBE: Final = 1 << 6
"""Property bit: it may compose with what precedes it (NFC_Quick_Check=Maybe)."""


_tables = load_tables("unicode.npz", UNICODE_VERSION)
PROPS_INDEX: Final = _tables["props_index"]
"""uint8[8704]: block of each 128 code points in :data:`PROPS_BLOCKS`."""
PROPS_BLOCKS: Final = _tables["props_blocks"]
"""uint16[blocks, 128]: bits 0-3 class, 4 FOLDS, 5 NOT_BOUNDARY, 6 MAYBE, 8-15 Canonical_Combining_Class."""
FOLD_INDEX: Final = _tables["fold_index"]
FOLD_BLOCKS: Final = _tables["fold_blocks"]
"""uint32[blocks, 128]: ``(length << 16) | start`` into :data:`FOLD_SEQUENCES`."""
FOLD_SEQUENCES: Final = _tables["fold_sequences"]
"""int32: the NFKC_Casefold mappings, one after the other."""
DECOMPOSITION_INDEX: Final = _tables["decomposition_index"]
DECOMPOSITION_BLOCKS: Final = _tables["decomposition_blocks"]
"""uint32[blocks, 128]: as :data:`FOLD_BLOCKS`, full canonical decomposition; Hangul syllables are not in it."""
DECOMPOSITION_SEQUENCES: Final = _tables["decomposition_sequences"]
PAIR_KEYS: Final = _tables["pair_keys"]
"""uint64, sorted: ``(first << 32) | second`` of every primary composite outside Hangul."""
PAIR_VALUES: Final = _tables["pair_values"]
"""int32: the composite of the pair at the same place in :data:`PAIR_KEYS`."""
del _tables


@inlined
def properties(cp: int) -> int:
    """Property bits of a code point (see :data:`PROPS_BLOCKS`); ``cp`` in [0, 0x10FFFF]."""
    return int(PROPS_BLOCKS[PROPS_INDEX[cp >> 7], cp & 127])


@inlined
def code_class(cp: int) -> np.uint8:
    """Class of a code point, one of :data:`SPACE` ... :data:`UPPER`, as uint8; ``cp`` in [0, 0x10FFFF]."""
    return np.uint8(PROPS_BLOCKS[PROPS_INDEX[cp >> 7], cp & 127] & 15)


@inlined
def is_line_end(cp: int) -> bool:
    """Whether a code point ends a line: LF, CR, NEL, LINE SEPARATOR or PARAGRAPH SEPARATOR."""
    return cp == 0x0A or cp == 0x0D or cp == 0x85 or cp == 0x2028 or cp == 0x2029


@inlined
def is_word_class(c: np.uint8) -> bool:
    """Whether a class (:func:`code_class`) is of words written with spaces: WORD, UPPER, DIGIT or MARK."""
    return (_WORD_CLASSES >> int(c)) & 1 != 0


@kernel
def combining_class(cp: int) -> int:
    """Canonical_Combining_Class of a code point, int64 in [0, 255]."""
    return int(PROPS_BLOCKS[PROPS_INDEX[cp >> 7], cp & 127] >> 8)


@inlined
def decode(data: NDArray[np.uint8], i: int, end: int) -> tuple[int, int]:
    """Decode the UTF-8 code point that starts at byte ``i`` of ``data`` (uint8[]).

    Returns ``(code point, width in bytes)``, both int64, without reading at or past ``end``. The text is taken to
    be valid; on a byte that cannot start a code point, or one cut short by ``end``, it gives (U+FFFD, 1).
    """
    b0 = int(data[i])
    if b0 < 0x80:
        return b0, 1
    if b0 < 0xE0:
        if b0 >= 0xC0 and i + 1 < end:
            return ((b0 & 0x1F) << 6) | (int(data[i + 1]) & 0x3F), 2
    elif b0 < 0xF0:
        if i + 2 < end:
            return ((b0 & 0x0F) << 12) | ((int(data[i + 1]) & 0x3F) << 6) | (int(data[i + 2]) & 0x3F), 3
    elif i + 3 < end:
        cp = (
            ((b0 & 0x07) << 18)
            | ((int(data[i + 1]) & 0x3F) << 12)
            | ((int(data[i + 2]) & 0x3F) << 6)
            | (int(data[i + 3]) & 0x3F)
        )
        if cp <= 0x10FFFF:
            return cp, 4
    return 0xFFFD, 1


@inlined
def encode(cp: int, out: NDArray[np.uint8], o: int) -> int:
    """Write ``cp`` as UTF-8 to ``out`` (uint8[]) at ``o``; returns the place after it. Needs 4 bytes of room."""
    if cp < 0x80:
        out[o] = cp
        return o + 1
    if cp < 0x800:
        out[o] = 0xC0 | (cp >> 6)
        out[o + 1] = 0x80 | (cp & 0x3F)
        return o + 2
    if cp < 0x10000:
        out[o] = 0xE0 | (cp >> 12)
        out[o + 1] = 0x80 | ((cp >> 6) & 0x3F)
        out[o + 2] = 0x80 | (cp & 0x3F)
        return o + 3
    out[o] = 0xF0 | (cp >> 18)
    out[o + 1] = 0x80 | ((cp >> 12) & 0x3F)
    out[o + 2] = 0x80 | ((cp >> 6) & 0x3F)
    out[o + 3] = 0x80 | (cp & 0x3F)
    return o + 4


@kernel
def fold_entry(cp: int) -> tuple[int, int]:
    """``(start, length)`` in :data:`FOLD_SEQUENCES` of a code point whose properties have :data:`FOLDS`."""
    entry = int(FOLD_BLOCKS[FOLD_INDEX[cp >> 7], cp & 127])
    return entry & 0xFFFF, entry >> 16


@kernel
def decomposition_entry(cp: int) -> tuple[int, int]:
    """``(start, length)`` in :data:`DECOMPOSITION_SEQUENCES`; length 0 where a code point is its own decomposition."""
    entry = int(DECOMPOSITION_BLOCKS[DECOMPOSITION_INDEX[cp >> 7], cp & 127])
    return entry & 0xFFFF, entry >> 16


@kernel
def composite(first: int, second: int) -> int:
    """Primary composite of two code points, Hangul included (The Unicode Standard, 3.12); -1 when there is none."""
    if 0x1100 <= first < 0x1113 and 0x1161 <= second < 0x1176:
        return int(0xAC00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28)
    if 0xAC00 <= first < 0xD7A4 and 0x11A7 < second < 0x11C3 and (first - 0xAC00) % 28 == 0:
        return int(first + second - 0x11A7)
    key = (np.uint64(first) << np.uint64(32)) | np.uint64(second)
    low = 0
    high = PAIR_KEYS.size
    while low < high:
        middle = (low + high) >> 1
        if PAIR_KEYS[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < PAIR_KEYS.size and PAIR_KEYS[low] == key:
        return int(PAIR_VALUES[low])
    return -1
