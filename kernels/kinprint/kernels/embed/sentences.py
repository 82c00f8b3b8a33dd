"""Cuts texts into sentences, in any script, without a model or a language.

A rule of the kind of Unicode Standard Annex 29: a sentence ends after a terminator and its closing quotes, where white
space and no lower-case letter follow (or at once after a full-width terminator), and at a line end. Pieces of fewer
than five code points (list numbers, interjections) join the sentence after them, the last one the sentence before it.
Neighbours are joined where a text has more sentences than are wanted, so that all of it is covered.

What is white space and what is lower case is what this Python says, as for
:mod:`kinprint.kernels.reference.sentences`, which is the same in plain Python.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, grown, memory
from kinprint.kernels.hashing import load64, trailing_zeros
from kinprint.kernels.jit import kernel
from kinprint.kernels.spread import spread
from kinprint.kernels.unicode import decode
from numpy.typing import NDArray

MOST: Final = 64
"""Sentences of one text at most."""
SHORTEST: Final = 5
"""Code points of a sentence that stands by itself."""
FULL_TERMINATORS: Final = "\u3002\uff01\uff1f\uff61"
"""They end a sentence whatever follows."""
TERMINATORS: Final = ".!?\u2026\u061f\u06d4\u0964"
CLOSERS: Final = "\"'\u2019\u201c\u201d\u00bb\u203a)]\u300d\u300f\uff09"
"""What may stand between a terminator and the end of its sentence."""
MARKUP: Final = "*_"
"""As :data:`CLOSERS`, after :data:`TERMINATORS` alone."""

_SPACE: Final = 1
_LOWER: Final = 2
_FULL: Final = 4
_TERMINATOR: Final = 8
_CLOSER: Final = 16
_MARKUP: Final = 32
_LINE: Final = 64
_GRAIN: Final = 64

_B01: Final = np.uint64(0x0101010101010101)
_B20: Final = _B01 * np.uint64(0x20)
_B80: Final = _B01 * np.uint64(0x80)
_MARKS: Final = _B01 * np.uint64(ord("!"))
_DOTS: Final = _B01 * np.uint64(ord("."))
_QUESTIONS: Final = _B01 * np.uint64(ord("?"))


@cache
def classes() -> NDArray[np.uint8]:
    """uint8[0x20000]: what a code point is; those beyond are nothing."""
    made = np.zeros(0x20000, np.uint8)
    for code in range(made.size):
        char = chr(code)
        made[code] = _SPACE * char.isspace() | _LOWER * char.islower()
    named = (
        (_FULL, FULL_TERMINATORS),
        (_TERMINATOR, TERMINATORS),
        (_CLOSER, CLOSERS),
        (_MARKUP, MARKUP),
        (_LINE, "\n"),
    )
    for bit, chars in named:
        made[[ord(char) for char in chars]] |= np.uint8(bit)
    return frozen(made)


@kernel
def _class_at(text: NDArray[np.uint8], i: int, kinds: NDArray[np.uint8]) -> tuple[int, int]:
    """Class and width of the code point at byte ``i``; (0, 0) at the end."""
    if i >= text.size:
        return 0, 0
    byte = text[i]
    if byte < 0x80:
        return int(np.int64(kinds[byte])), 1
    cp, width = decode(text, i, text.size)
    return int(np.int64(kinds[cp])) if cp < kinds.size else 0, width


@kernel
def find(text: NDArray[np.uint8], most: int, kinds: NDArray[np.uint8], spans: NDArray[np.int64]) -> int:
    """Leave the spans of a text's sentences in ``spans``, int64[s, 4]: bytes from and to, code points from and to.

    Returns their number, or -1 where there is no room for them. They are joined to ``most`` at most.
    """
    n = text.size
    count = 0
    i = 0
    point = 0
    # The sentence so far: its first visible code point, and what comes after the last visible one of the text.
    start = -1
    start_point = 0
    stop = 0
    stop_point = 0
    in_run = False  # whether the code point before is one of TERMINATORS
    while True:
        # Words of ASCII, with the spaces between them, eight bytes at a time: nothing in them ends a sentence.
        if start < 0:
            while i < n and text[i] == 0x20:
                i += 1
                point += 1
        begin = i
        while i + 8 <= n:
            x = load64(text, i)
            mark = x ^ _MARKS
            dot = x ^ _DOTS
            question = x ^ _QUESTIONS
            # The high bit of a byte that is below a space, "!", ".", "?" or not ASCII; the lowest of the bits is right.
            found = ((x - _B20) & ~x) | ((mark - _B01) & ~mark) | ((dot - _B01) & ~dot)
            found = (found | ((question - _B01) & ~question) | x) & _B80
            if found != 0:
                i += trailing_zeros(found) >> 3
                break
            i += 8
        if i > begin:
            point += i - begin
            if start < 0:
                start = begin
                start_point = point - (i - begin)
            last_visible = i
            while last_visible > begin and text[last_visible - 1] == 0x20:
                last_visible -= 1
            if last_visible > begin:
                stop = last_visible
                stop_point = point - (i - last_visible)
            in_run = False
        # One step: a code point, or an end with all that belongs to it.
        kind, width = _class_at(text, i, kinds)
        ends = width == 0
        spaced = False
        closing = 0
        wanted = 0
        if kind & _FULL:
            wanted, closing = _FULL, _CLOSER
            ends = True
        elif kind & _LINE:
            wanted = _LINE
            ends = True
        elif kind & _TERMINATOR and not in_run:
            wanted, closing = _TERMINATOR, _CLOSER | _MARKUP
            spaced = True
        in_run = kind & _TERMINATOR != 0
        if wanted == 0:
            if width != 0:
                if not kind & _SPACE:
                    if start < 0:
                        start = i
                        start_point = point
                    stop = i + width
                    stop_point = point + 1
                i += width
                point += 1
                continue
        else:
            while kind & wanted and width != 0:
                if not kind & _SPACE:
                    if start < 0:
                        start = i
                        start_point = point
                    stop = i + width
                    stop_point = point + 1
                i += width
                point += 1
                kind, width = _class_at(text, i, kinds)
            # Closers are taken only with the end: where there is none, what follows is looked at for itself.
            j = i
            j_point = point
            while kind & closing:
                j += width
                j_point += 1
                kind, width = _class_at(text, j, kinds)
            if spaced:
                ends = width != 0 and kind & _SPACE != 0
            if ends:
                in_run = False
                if j > i:
                    stop = j
                    stop_point = j_point
                    i = j
                    point = j_point
                if wanted != _LINE and width != 0:
                    if kind & _SPACE:
                        kind, width = _class_at(text, i + width, kinds)
                    ends = width == 0 or not kind & _LOWER
        if not ends:
            continue
        last = i >= n
        visible = stop_point - start_point if start >= 0 else 0
        if visible >= SHORTEST or last:
            if visible > 0:
                if visible < SHORTEST and count > 0:
                    spans[count - 1, 1] = stop
                    spans[count - 1, 3] = stop_point
                else:
                    if count == spans.shape[0]:
                        return -1
                    spans[count, 0] = start
                    spans[count, 1] = stop
                    spans[count, 2] = start_point
                    spans[count, 3] = stop_point
                    count += 1
            start = -1
        if last and wanted == 0:
            break
    if count <= most:
        return count
    for group in range(most):
        first = count * group // most
        after = count * (group + 1) // most
        spans[group, 0] = spans[first, 0]
        spans[group, 2] = spans[first, 2]
        spans[group, 1] = spans[after - 1, 1]
        spans[group, 3] = spans[after - 1, 3]
    return most


@kernel
def _spans(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    most: int,
    kinds: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], int]:
    """Spans of some texts and their number; ``starts[i + 1]`` is the number of text i."""
    out = np.empty((8 * (last - first) + 64, 4), np.int64)
    one = np.empty((256, 4), np.int64)
    o = 0
    for i in range(first, last):
        text = memory(addresses[i], lengths[i])
        count = find(text, most, kinds, one)
        while count < 0:
            one = np.empty((8 * one.shape[0], 4), np.int64)
            count = find(text, most, kinds, one)
        if o + count > out.shape[0]:
            out = grown(out, o, 2 * out.shape[0] + count)
        for k in range(count):
            for j in range(4):
                out[o + k, j] = one[k, j]
        o += count
        starts[i + 1] = count
    return out, o


class Sentences(NamedTuple):
    """Sentences of n texts, one text after another."""

    spans: NDArray[np.int64]
    """int64[s, 2]: first byte and byte after the last, from the beginning of their text."""
    points: NDArray[np.int64]
    """int64[s, 2]: the same in code points."""
    starts: NDArray[np.int64]
    """int64[n + 1]: text i has the sentences ``starts[i]:starts[i + 1]``; a blank one has none."""

    def texts(self, texts: Texts) -> Texts:
        """The sentences as texts, where they are in memory."""
        owners = np.repeat(np.arange(len(texts)), np.diff(self.starts))
        addresses = texts.addresses[owners] + self.spans[:, 0].astype(np.uint64)
        return Texts(addresses, self.spans[:, 1] - self.spans[:, 0], texts.owner)


def sentences(texts: Texts, most: int = MOST) -> Sentences:
    """Sentences of texts, at most ``most`` (at least 1) of each, surrounding white space left out.

    Raises
    ------
    ValueError
        If ``most`` is below 1.
    """
    if most < 1:
        raise ValueError("most must be at least 1")
    addresses, lengths, kinds = frozen(texts.addresses), frozen(texts.lengths), classes()
    starts = np.zeros(len(texts) + 1, np.int64)
    parts: dict[int, NDArray[np.int64]] = {}

    def work(first: int, last: int) -> None:
        spans, filled = _spans(first, last, addresses, lengths, most, kinds, starts)
        parts[first] = spans[:filled]

    spread(work, len(texts), _GRAIN)
    np.cumsum(starts, out=starts)
    found = np.concatenate([parts[first] for first in sorted(parts)]) if parts else np.empty((0, 4), np.int64)
    return Sentences(np.ascontiguousarray(found[:, :2]), np.ascontiguousarray(found[:, 2:]), starts)
