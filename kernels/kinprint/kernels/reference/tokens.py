"""Folded tokens by definition: every code point folded by itself, every segment composed, every grapheme looked at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import unicodedata2  # type: ignore[import-not-found]
from kinprint.kernels import hashing, unicode
from kinprint.kernels.reference.shingle import _WORD_CLASSES, code_class, finalise, multiply_fold, word_hash

_EXTENDERS = [
    range(0x200C, 0x200E),
    range(0xFE00, 0xFE10),
    range(0x1F3FB, 0x1F400),
    range(0xE0020, 0xE0080),
    range(0xE0100, 0xE01F0),
    range(0x034F, 0x0350),
    range(0x180B, 0x180E),
    range(0x180F, 0x1810),
    range(0x17B4, 0x17B6),
]


class Token(NamedTuple):
    """A word or a spaceless code point: its folded text and its bytes ``begin .. end - 1`` of the text as stored."""

    text: str
    begin: int
    end: int
    spaceless: bool
    #: A grapheme begins with it.
    opens: bool
    #: A grapheme ends with it.
    closes: bool

    @property
    def hash(self) -> int:
        """64-bit hash of the folded text."""
        if not self.spaceless:
            return word_hash(self.text)
        point = ord(self.text) ^ int(hashing.CODE_POINT_SHINGLE_1)
        return finalise(multiply_fold(point, int(hashing.CODE_POINT_SHINGLE_2)))


def mapped(char: str) -> list[str]:
    """What one code point folds to."""
    cp = ord(char)
    if not int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127]) & unicode.FOLDS:
        return [char]
    entry = int(unicode.FOLD_BLOCKS[unicode.FOLD_INDEX[cp >> 7], cp & 127])
    start, length = entry & 0xFFFF, entry >> 16
    return [chr(c) for c in unicode.FOLD_SEQUENCES[start : start + length]]


def _is_boundary(char: str) -> bool:
    cp = ord(char)
    return not int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127]) & unicode.NOT_BOUNDARY


def folded(text: str) -> list[tuple[str, int, int]]:
    """The folded text, code point by code point, with the bytes that each came from."""
    segments: list[list[tuple[str, int, int]]] = []
    p = 0
    for char in text:
        end = p + len(char.encode())
        for piece in mapped(char):
            if _is_boundary(piece) or not segments:
                segments.append([])
            segments[-1].append((piece, p, end))
        p = end
    # Segments that one code point made parts of came from the same bytes.
    blocks: list[list[list[tuple[str, int, int]]]] = []
    for segment in segments:
        if blocks and blocks[-1][-1][-1][1] == segment[0][1]:
            blocks[-1].append(segment)
        else:
            blocks.append([segment])
    made = []
    for block in blocks:
        begin, end = block[0][0][1], max(item[2] for segment in block for item in segment)
        for segment in block:
            made += [(c, begin, end) for c in unicodedata2.normalize("NFC", "".join(item[0] for item in segment))]
    return made


def _extends(char: str) -> bool:
    return code_class(ord(char)) == unicode.MARK or any(ord(char) in some for some in _EXTENDERS)


def _regional(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


def grapheme_boundary(text: str, i: int) -> bool:
    """Whether a grapheme begins before code point i, which does not follow a line end."""
    if i in (0, len(text)):
        return True
    before, after = text[i - 1], text[i]
    flags = 0
    while flags < i and _regional(text[i - 1 - flags]):
        flags += 1
    return not (
        _extends(after)
        or (before == "\u200d" and code_class(ord(after)) == unicode.SYMBOL)
        or (_regional(after) and flags % 2 == 1)
    )


def tokens(text: str) -> list[Token]:
    """The folded tokens of a text, in order."""
    found: list[tuple[str, int, int, bool]] = []
    kind = "separator"
    for char, begin, end in folded(text):
        cls = code_class(ord(char))
        before = kind
        if cls != unicode.MARK:
            kind = "separator"
            if cls in _WORD_CLASSES:
                kind = "word"
            elif cls in (unicode.SPACELESS, unicode.SYMBOL):
                kind = "spaceless"
        if kind == before == "word":
            found[-1] = (found[-1][0] + char, found[-1][1], end, False)
        elif kind != "separator":
            found.append((char, begin, end, kind == "spaceless"))
    places = [0, *accumulate(len(char.encode()) for char in text)]
    number = {place: i for i, place in enumerate(places)}
    made: list[Token] = []
    for k, (folded_text, begin, own_end, spaceless) in enumerate(found):
        following = found[k + 1][1] if k + 1 < len(found) else places[-1]
        end = own_end
        while end < following and _extends(text[number[end]]):
            end = places[number[end] + 1]
        closes = following >= end and grapheme_boundary(text, number[end])
        opens = k == 0 or made[-1].closes or begin > made[-1].end
        made.append(Token(folded_text, begin, end, spaceless, opens, closes))
    return made


def shrunk(a: Sequence[Token], i: int, b: Sequence[Token], j: int, n: int) -> tuple[int, int, int]:
    """A run of n tokens from i and j on, cut back to where graphemes begin and end in both texts."""
    while n and not (a[i].opens and b[j].opens):
        i, j, n = i + 1, j + 1, n - 1
    while n and not (a[i + n - 1].closes and b[j + n - 1].closes):
        n -= 1
    return i, j, n
