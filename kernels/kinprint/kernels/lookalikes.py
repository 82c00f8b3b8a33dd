"""Tables of letters that look like others, or are others in another form, and the accessors that kernels call.

They ship with the package (``tables/disguises.npz``, written by ``tools/disguise_tables.py``): the classes of
confusables.txt (UTS #39) between the letters of different scripts, and the compatibility forms of letters and digits.
Numba freezes them into the compiled kernels. :mod:`~kinprint.kernels.copy.disguise` says where they are used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.archive import load_tables
from kinprint.kernels.jit import inlined, kernel
from numpy.typing import NDArray

CONFUSABLES_VERSION: Final = "15.1.0"
"""Version of Unicode's confusables.txt and Scripts.txt behind the tables."""

NONE: Final = 0
"""No letter, or one of a script that nobody writes another one with."""
LATIN: Final = 1
GREEK: Final = 2
CYRILLIC: Final = 3
OTHER: Final = 4
"""Letters of other alphabets written from left to right: Armenian, Cherokee, Coptic, Lisu and others."""
EAST_ASIAN: Final = 5
"""Letters of Han, Kana, Hangul and Bopomofo."""


LIKE_LATIN: Final = 8
"""Bit: it looks like a Latin letter."""
LIKE_ANY: Final = 16
"""Bit: it looks like a letter of another script."""
IN_WORD: Final = 32
"""Bit: a letter or digit of scripts that put spaces between words, in whatever form."""
UNSEEN: Final = 64
"""Bit: a mark or a default-ignorable code point."""


_tables = load_tables("disguises.npz", CONFUSABLES_VERSION)
LETTER_INDEX: Final = _tables["letter_index"]
LETTER_BLOCKS: Final = _tables["letter_blocks"]
"""uint8[blocks, 128]: bits 0-2 the script of a letter, then :data:`LIKE_LATIN` and on."""
LOOK_KEYS: Final = _tables["look_keys"]
"""int32[k], ascending: letters that look like one of another script."""
LOOK_VALUES: Final = _tables["look_values"]
"""int32[k, 3]: the Latin, Greek and Cyrillic letter that each looks like; 0: none."""
FORM_KEYS: Final = _tables["form_keys"]
"""int32[m], ascending: letters and digits in full width, mathematical, circled, squared or superscript form."""
FORM_VALUES: Final = _tables["form_values"]
"""int32[m]: the letter or digit itself."""
del _tables


@inlined
def letter_bits(cp: int) -> int:
    """Bits of a code point (see :data:`LETTER_BLOCKS`); ``cp`` in [0, 0x10FFFF]."""
    return int(LETTER_BLOCKS[LETTER_INDEX[cp >> 7], cp & 127])


@kernel
def script_of(cp: int) -> int:
    """Script of a code point, or of the letter that it is a form of: :data:`NONE` ... :data:`EAST_ASIAN`."""
    return int(LETTER_BLOCKS[LETTER_INDEX[cp >> 7], cp & 127] & 7)


@kernel
def _place(keys: NDArray[np.int32], cp: int) -> int:
    """Place of a code point among ascending keys; -1 where it is not there."""
    low = 0
    high = keys.size
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < cp:
            low = middle + 1
        else:
            high = middle
    return low if low < keys.size and keys[low] == cp else -1


@kernel
def look_alikes(cp: int) -> int:
    """Place of a letter in :data:`LOOK_VALUES`; -1 where it looks like no letter of another script."""
    return _place(LOOK_KEYS, cp)


@kernel
def plain_form(cp: int) -> int:
    """The letter or digit that a code point is another form of; itself where it is none."""
    place = _place(FORM_KEYS, cp)
    return int(FORM_VALUES[place]) if place >= 0 else cp
