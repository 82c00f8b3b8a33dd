"""Disguises: what is done to letters so that a copy reads the same to people and differently to programs.

====================  ===========================================================================================
``zero_width``        code points that nothing is drawn for, in or at a word
``confusable``        letters of other scripts that look the same (UTS #39), within a script
``full_width``        letters and digits in full width, mathematical, circled, squared or superscript form
``spaced_letters``    letters set apart by spaces, or by one mark between each two: ``c o p y``, ``c-o-p-y``
====================  ===========================================================================================

:func:`clean` undoes them and tells what it changed and where, so that spans found in a cleaned text are offsets of
the text itself. Texts are matched by what cleaning makes of both sides; nothing that is stored changes.

Folding undoes zero-width code points and other forms by itself: only the other two make other shingles, and
:func:`suspects` finds the few texts that may have them, at the speed of memory for ASCII.
``docs/copy.md`` states the rules; :mod:`kinprint.kernels.reference.disguise` is the same in plain Python.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.copy.scripts import same_script
from kinprint.kernels.copy.spacing import join_letters
from kinprint.kernels.hashing import high_mask, population, word_mask
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.lookalikes import (
    EAST_ASIAN,
    IN_WORD,
    LATIN,
    LIKE_ANY,
    LIKE_LATIN,
    NONE,
    OTHER,
    UNSEEN,
    letter_bits,
    plain_form,
    script_of,
)
from kinprint.kernels.unicode import (
    DIGIT,
    FOLDS,
    IGNORABLE,
    code_class,
    decode,
    encode,
    properties,
)
from numpy.typing import NDArray

VERSION: Final = 1
"""Raised whenever cleaning gives a text other shingles."""
ZERO_WIDTH: Final = 1
CONFUSABLE: Final = 2
FULL_WIDTH: Final = 4
SPACED_LETTERS: Final = 8
KINDS: Final = {
    "zero_width": ZERO_WIDTH,
    "confusable": CONFUSABLE,
    "full_width": FULL_WIDTH,
    "spaced_letters": SPACED_LETTERS,
}
"""Bit of each kind by its name."""
OUTLIVE_FOLDING: Final = CONFUSABLE | SPACED_LETTERS
"""Kinds that make other shingles."""

_ONE = np.uint64(1)


class Cleaned(NamedTuple):
    """A text without its disguises."""

    data: NDArray[np.uint8]
    """uint8[m]: UTF-8."""
    edits: NDArray[np.int64]
    """int64[e, 5], in order: begin and end of what was changed in the cleaned text and in the text, in bytes, and the
    bits of its kinds. What lies between two edits is the same in both."""

    @property
    def kinds(self) -> int:
        """Bits of all kinds that were undone."""
        return int(np.bitwise_or.reduce(self.edits[:, 4])) if len(self.edits) else 0

    def places(self, offsets: NDArray[np.int64], *, ends: bool) -> NDArray[np.int64]:
        """Byte offsets of the text for those of the cleaned one, of any shape: of begins or of ends of stretches.

        A stretch takes no more of what was left out than stands within it.
        """
        if not len(self.edits):
            return offsets
        if ends:
            # The last edit that begins before the place; what is left out at the place lies outside.
            k = np.searchsorted(self.edits[:, 0], offsets, "left") - 1
            edit = self.edits[np.maximum(k, 0)]
            place = np.where(offsets < edit[..., 1], edit[..., 3], offsets - edit[..., 1] + edit[..., 3])
        else:
            # The last edit that begins at the place or before it; one left out just here lies outside.
            k = np.searchsorted(self.edits[:, 0], offsets, "right") - 1
            edit = self.edits[np.maximum(k, 0)]
            place = np.where(offsets < edit[..., 1], edit[..., 2], offsets - edit[..., 1] + edit[..., 3])
        return np.asarray(np.where(k < 0, offsets, place))


# ---- cleaning ----


@kernel
def _is_invisible(cp: int) -> bool:
    """Whether a default-ignorable code point may be a disguise: no soft hyphen and no variation selector is."""
    return not (cp == 0xAD or 0x180B <= cp <= 0x180F or 0xFE00 <= cp <= 0xFE0F or 0xE0100 <= cp <= 0xE01EF)


@kernel
def _is_direction(cp: int) -> bool:
    """Whether a code point only tells the direction of what surrounds it, as is honest at the edge of a word."""
    return cp == 0x61C or 0x200E <= cp <= 0x200F or 0x202A <= cp <= 0x202E or 0x2066 <= cp <= 0x2069


@kernel
def _is_drawn_letter(cp: int) -> bool:
    """Whether a code point is a digit, or a letter of a script in which nothing invisible has a meaning."""
    if cp < 0:
        return False
    return script_of(cp) != NONE or code_class(cp) == DIGIT


@kernel
def _points(
    text: NDArray[np.uint8], begins: NDArray[np.int64], now: NDArray[np.int32], kinds: NDArray[np.uint8]
) -> int:
    """Code points of a text, letters in their plain form and nothing invisible at letters; their number.

    Fills ``begins`` with the byte where each begins, ``now`` with what it becomes, -1 for those left out, and
    ``kinds`` with what was undone.
    """
    n = 0
    p = 0
    length = text.size
    while p < length:
        cp, width = decode(text, p, length)
        begins[n] = p
        now[n] = cp
        kinds[n] = 0
        if cp >= 0x80 and (properties(cp) & FOLDS) != 0:
            plain = plain_form(cp)
            if plain != cp:
                now[n] = plain
                kinds[n] = FULL_WIDTH
        n += 1
        p += width
    begins[n] = length
    i = 0
    before = -1
    while i < n:
        if now[i] < 0x80 or code_class(int(now[i])) != IGNORABLE:
            before = int(now[i])
            i += 1
            continue
        end = i
        while end < n and now[end] >= 0x80 and code_class(int(now[end])) == IGNORABLE:
            end += 1
        left = _is_drawn_letter(before)
        right = end < n and _is_drawn_letter(int(now[end]))
        for k in range(i, end):
            cp = int(now[k])
            at_word = (left or right) and (left == right or not _is_direction(cp))
            if at_word and _is_invisible(cp):
                now[k] = -1
                kinds[k] = ZERO_WIDTH
        i = end
    return n


@kernel
def _clean(text: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """See :func:`clean`."""
    begins = np.empty(text.size + 1, np.int64)
    now = np.empty(text.size, np.int32)
    kinds = np.empty(text.size, np.uint8)
    n = _points(text, begins, now, kinds)
    shown = np.empty(n, np.int64)
    m = 0
    for i in range(n):
        if now[i] >= 0:
            shown[m] = i
            m += 1
    if join_letters(now, shown, m, kinds, np.uint8(SPACED_LETTERS)):
        kept = 0
        for k in range(m):
            if now[shown[k]] >= 0:
                shown[kept] = shown[k]
                kept += 1
        m = kept
    same_script(now, shown, m, kinds, np.uint8(CONFUSABLE))
    count = 0
    for i in range(n):
        if kinds[i] != 0:
            count += 1
    edits = np.empty((count, 5), np.int64)
    out = np.empty(4 * n, np.uint8)
    o = 0
    e = 0
    for i in range(n):
        start = o
        if kinds[i] == 0:
            for p in range(begins[i], begins[i + 1]):
                out[o] = text[p]
                o += 1
            continue
        if now[i] >= 0:
            o = encode(int(now[i]), out, o)
        edits[e, 0] = start
        edits[e, 1] = o
        edits[e, 2] = begins[i]
        edits[e, 3] = begins[i + 1]
        edits[e, 4] = kinds[i]
        e += 1
    return out[:o].copy(), edits


def clean(data: NDArray[np.uint8]) -> Cleaned:
    """A text without its disguises, and what was changed.

    Parameters
    ----------
    data : uint8[nbytes]
        UTF-8.

    Raises
    ------
    ValueError
        If ``data`` is no contiguous uint8[nbytes].
    """
    if data.dtype != np.uint8 or data.ndim != 1 or not data.flags.c_contiguous:
        raise ValueError(f"data must be a contiguous uint8[nbytes], not {data.dtype}{list(data.shape)}")
    return Cleaned(*_clean(frozen(data)))


# ---- finding the texts that need it ----


@kernel
def _spread_letters(text: NDArray[np.uint8], base: int) -> bool:
    """Whether four ASCII words of one letter stand one, two or three bytes apart in ``text[base:base + 64]``."""
    words = word_mask(text, base)
    single = words & ~(words << _ONE) & ~(words >> _ONE)
    for step in range(2, 5):
        pairs = single & (single >> np.uint64(step))
        if (pairs & (pairs >> np.uint64(2 * step))) != 0:
            return True
    return False


@kernel
def _look(text: NDArray[np.uint8], start: int, end: int) -> tuple[bool, bool, int]:
    """(whether it may have to be cleaned, whether it has a word of Latin look-alikes, weight of others) of a stretch.

    May have to: two scripts in a word, or four words of one letter each. The weight counts Greek and Cyrillic letters
    that look like no others, less two for each Latin letter that is not ASCII.
    """
    p = start
    size = 0  # code points of the present word
    script = NONE  # of its letters
    alike = False  # all of them look like Latin ones
    words_alike = False
    foreign = 0
    singles = 0  # words of one letter in a row
    gap = 0  # code points since the last one
    while p < end:
        cp, width = decode(text, p, end)
        p += width
        bits = letter_bits(cp)
        if bits & UNSEEN != 0:
            continue
        if bits & IN_WORD != 0:
            size += 1
            s = bits & 7
            if s == NONE or s == EAST_ASIAN:  # noqa: SIM109  (`in` compiles to a loop)
                continue
            if script == NONE:
                script = s
                alike = s != LATIN
            elif s != script:
                return True, True, 0
            if s != LATIN:
                alike &= bits & LIKE_LATIN != 0
                foreign += 1 if bits & LIKE_ANY == 0 and s != OTHER else 0
            elif cp >= 0x80:
                foreign -= 2
            continue
        if size > 0:
            words_alike |= alike
            singles = (singles + 1 if gap <= 3 else 1) if size == 1 else 0
            if singles >= 4:
                return True, True, 0
            size = 0
            script = NONE
            alike = False
            gap = 0
        gap += 1
    if size > 0:
        words_alike |= alike
        if size == 1 and gap <= 3 and singles >= 3:
            return True, True, 0
    return False, words_alike, foreign


@kernel
def _is_suspect(text: NDArray[np.uint8]) -> bool:
    length = text.size
    if length < 64:
        may, alike, foreign = _look(text, 0, length)
        if may or not alike:
            return may
        latin = 0
        for p in range(length):
            latin += 1 if text[p] < 0x80 and script_of(int(text[p])) == LATIN else 0
        return 2 * latin >= foreign
    latin = 0
    foreign = 0
    words_alike = False
    looked = 0  # bytes before this one were looked at one by one
    base = 0
    while True:
        block = min(base, length - 64)
        if high_mask(text, block) == 0:
            if _spread_letters(text, block):
                return True
        elif block + 64 > looked:
            # From before what is not ASCII to behind it, as long as there is more of it.
            start = max(looked, block - 32)
            while start > 0 and (text[start] & 0xC0) == 0x80:
                start -= 1
            end = block + 64
            while end + 64 <= length and high_mask(text, end) != 0:
                end += 64
            end = min(length, end + 32)
            if length - end < 64:
                end = length
            may, alike, some = _look(text, start, end)
            if may:
                return True
            words_alike |= alike
            foreign += some
            looked = end
        latin += population(word_mask(text, block))
        if block == length - 64:
            break
        base += 48
    # The script of a text is Latin only if it has as many letters of its own as Greek and as Cyrillic have.
    return words_alike and 2 * latin >= foreign


@parallel_kernel(64)
def _suspects(
    first: int, last: int, addresses: NDArray[np.uint64], lengths: NDArray[np.int64], out: NDArray[np.bool_]
) -> None:
    """Texts first .. last-1."""
    for i in range(first, last):
        out[i] = _is_suspect(memory(addresses[i], lengths[i]))


def suspects(texts: Texts) -> NDArray[np.bool_]:
    """Texts that cleaning may give other shingles, bool[n]: all that it does, and few others."""
    out = np.empty(len(texts), np.bool_)
    _suspects(len(texts), frozen(texts.addresses), frozen(texts.lengths), out)
    return out


def without_disguises(texts: Texts) -> tuple[Texts, NDArray[np.int64]]:
    """Texts with those that cleaning gives other shingles cleaned, and which these are, int64[k], ascending.

    The others are where they were.
    """
    rows, made = [], []
    for row in np.flatnonzero(suspects(texts)).tolist():
        found = clean(texts.data(row))
        if found.kinds & OUTLIVE_FOLDING:
            rows.append(row)
            made.append(found.data)
    if not rows:
        return texts, np.zeros(0, np.int64)
    changed = np.array(rows, np.int64)
    addresses, lengths = texts.addresses.copy(), texts.lengths.copy()
    addresses[changed] = [data.ctypes.data for data in made]
    lengths[changed] = [data.size for data in made]
    return Texts(addresses, lengths, (texts.owner, made)), changed
