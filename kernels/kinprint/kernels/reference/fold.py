"""Folding by definition: toNFKC_Casefold (The Unicode Standard, 3.13), white space collapsed where asked."""

from __future__ import annotations

import re

import unicodedata2  # type: ignore[import-not-found]
from kinprint.kernels import unicode

_WHITE_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def fold(text: str) -> str:
    """Map each code point by NFKC_Casefold, then NFC."""
    out: list[str] = []
    for char in text:
        cp = ord(char)
        bits = int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127])
        if bits & unicode.FOLDS:
            entry = int(unicode.FOLD_BLOCKS[unicode.FOLD_INDEX[cp >> 7], cp & 127])
            start, length = entry & 0xFFFF, entry >> 16
            out.extend(chr(c) for c in unicode.FOLD_SEQUENCES[start : start + length])
        else:
            out.append(char)
    return str(unicodedata2.normalize("NFC", "".join(out)))


def normalised_answer(text: str) -> str:
    """Folded, runs of white space as one space, trimmed."""
    return _WHITE_SPACE.sub(" ", fold(text)).strip(" ")
