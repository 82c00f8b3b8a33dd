"""How two stretches of equal folded tokens differ: white space, case, punctuation, Unicode form, or not at all.

Told from the two texts as they are stored, token by token and gap by gap:

- *case*: other letters of a token are capitals (General_Category Lu, Lt);
- *Unicode form*: a token is spelt with other code points even so, composed or decomposed, of compatibility, with
  joiners, soft hyphens or variation selectors; or a gap has other ignorable code points, or punctuation of which only
  the form is another;
- *white space*: the white space of a gap is another, or stands elsewhere among the punctuation;
- *punctuation*: whatever else a gap holds is other, also after folding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.jit import inlined, kernel
from kinprint.kernels.unicode import (
    DECOMPOSITION_SEQUENCES,
    FOLD_SEQUENCES,
    FOLDS,
    IGNORABLE,
    MARK,
    SPACE,
    UPPER,
    code_class,
    decode,
    decomposition_entry,
    fold_entry,
    properties,
)
from numpy.typing import NDArray

WHITE_SPACE: Final = 1
CASE: Final = 2
PUNCTUATION: Final = 4
UNICODE_FORM: Final = 8
ALL: Final = WHITE_SPACE | CASE | PUNCTUATION | UNICODE_FORM
DIFFERENCES: Final = ("white space", "case", "punctuation", "Unicode form")
"""Names of the bits, from the least on."""

_PUNCT_PART = 0
_SPACE_PART = 1
_IGNORABLE_PART = 2


@kernel
def _same(a: NDArray[np.uint8], p: int, p_end: int, b: NDArray[np.uint8], q: int, q_end: int) -> bool:
    if p_end - p != q_end - q:
        return False
    for k in range(p_end - p):  # noqa: SIM110  (compiled)
        if a[p + k] != b[q + k]:
            return False
    return True


@inlined
def _of_compatibility(cp: int) -> bool:
    """Capitals whose small letter folds to something else: full-width, mathematical, letter-like and a few more."""
    return (
        0xFF21 <= cp <= 0xFF3A
        or 0x1D400 <= cp <= 0x1D7FF
        or 0x2100 <= cp <= 0x214F
        or 0x01C4 <= cp <= 0x01CC
        or 0x01F1 <= cp <= 0x01F3
        or cp == 0x1E9E
        or cp == 0x03F4
        or cp == 0x03F9
    )


@kernel
def _next_key(text: NDArray[np.uint8], p: int, end: int, first: int, left: int) -> tuple[int, int, int, int]:
    """The next code point of a token without its case: (code point or -1, p, and what of a mapping is left)."""
    if left > 0:
        return int(FOLD_SEQUENCES[first]), p, first + 1, left - 1
    if p >= end:
        return -1, p, 0, 0
    cp, width = decode(text, p, end)
    p += width
    bits = properties(cp)
    if (bits & 15) == UPPER and (bits & FOLDS) != 0 and not _of_compatibility(cp):
        first, left = fold_entry(cp)
        return int(FOLD_SEQUENCES[first]), p, first + 1, left - 1
    return cp, p, 0, 0


@kernel
def _letters(cp: int) -> int:
    """Code points other than marks that a code point comes to, folded and decomposed."""
    first = 0
    count = 1
    mapped = (properties(cp) & FOLDS) != 0
    if mapped:
        first, count = fold_entry(cp)
    found = 0
    for k in range(count):
        if mapped:
            cp = int(FOLD_SEQUENCES[first + k])
        if 0xAC00 <= cp < 0xD7A4:
            found += 2 if (cp - 0xAC00) % 28 == 0 else 3
            continue
        start, length = decomposition_entry(cp)
        if length == 0:
            found += 1 if code_class(cp) != MARK else 0
        for m in range(length):
            found += 1 if code_class(int(DECOMPOSITION_SEQUENCES[start + m])) != MARK else 0
    return found


@kernel
def _next_capital(text: NDArray[np.uint8], p: int, end: int, letters: int) -> tuple[int, int, int]:
    """Letters before the next capital of a token, or -1; where to go on, and the letters up to there."""
    while p < end:
        cp, width = decode(text, p, end)
        p += width
        before = letters
        letters += _letters(cp)
        if code_class(cp) == UPPER:
            return before, p, letters
    return -1, p, letters


@kernel
def _of_tokens(a: NDArray[np.uint8], p: int, p_end: int, b: NDArray[np.uint8], q: int, q_end: int) -> int:
    """Differences of two equal tokens that are not spelt alike."""
    form = 0
    i = p
    j = q
    first_i = 0
    left_i = 0
    first_j = 0
    left_j = 0
    while True:
        x, i, first_i, left_i = _next_key(a, i, p_end, first_i, left_i)
        y, j, first_j, left_j = _next_key(b, j, q_end, first_j, left_j)
        if x != y:
            form = UNICODE_FORM
            break
        if x < 0:
            break
    letters_i = 0
    letters_j = 0
    while True:
        x, p, letters_i = _next_capital(a, p, p_end, letters_i)
        y, q, letters_j = _next_capital(b, q, q_end, letters_j)
        if x != y:
            return form | CASE
        if x < 0:
            return form


@inlined
def _part(kind: int) -> int:
    """To which of the parts of a gap a code point of a class belongs."""
    return _SPACE_PART if kind == SPACE else _IGNORABLE_PART if kind == IGNORABLE else _PUNCT_PART


@kernel
def _next_of(text: NDArray[np.uint8], p: int, end: int, part: int) -> tuple[int, int]:
    """The next code point of a part of a gap, or -1, and where to go on."""
    while p < end:
        cp, width = decode(text, p, end)
        p += width
        if _part(properties(cp) & 15) == part:
            return cp, p
    return -1, p


@kernel
def _next_folded(text: NDArray[np.uint8], p: int, end: int, first: int, left: int) -> tuple[int, int, int, int]:
    """The next code point of a gap's punctuation, folded, or -1; as :func:`_next_key`."""
    while True:
        while left > 0:
            cp = int(FOLD_SEQUENCES[first])
            first += 1
            left -= 1
            if code_class(cp) != SPACE:
                return cp, p, first, left
        cp, p = _next_of(text, p, end, _PUNCT_PART)
        if cp < 0 or (properties(cp) & FOLDS) == 0:
            return cp, p, 0, 0
        first, left = fold_entry(cp)


@kernel
def _part_differs(
    a: NDArray[np.uint8], p: int, p_end: int, b: NDArray[np.uint8], q: int, q_end: int, part: int
) -> bool:
    while True:
        x, p = _next_of(a, p, p_end, part)
        y, q = _next_of(b, q, q_end, part)
        if x != y:
            return True
        if x < 0:
            return False


@kernel
def _folded_differs(a: NDArray[np.uint8], p: int, p_end: int, b: NDArray[np.uint8], q: int, q_end: int) -> bool:
    first_p = 0
    left_p = 0
    first_q = 0
    left_q = 0
    while True:
        x, p, first_p, left_p = _next_folded(a, p, p_end, first_p, left_p)
        y, q, first_q, left_q = _next_folded(b, q, q_end, first_q, left_q)
        if x != y:
            return True
        if x < 0:
            return False


@kernel
def _of_gaps(a: NDArray[np.uint8], p: int, p_end: int, b: NDArray[np.uint8], q: int, q_end: int) -> int:
    """Differences of what stands between two tokens, where it is not the same."""
    found = 0
    for part in range(3):  # one call in place of three, which would be compiled three times into this
        if not _part_differs(a, p, p_end, b, q, q_end, part):
            continue
        if part == _SPACE_PART:
            found |= WHITE_SPACE
        elif part == _PUNCT_PART and _folded_differs(a, p, p_end, b, q, q_end):
            found |= PUNCTUATION
        else:
            found |= UNICODE_FORM
    return found if found != 0 else WHITE_SPACE


@kernel
def differences_of(
    a: NDArray[np.uint8],
    begins_a: NDArray[np.int32],
    ends_a: NDArray[np.int32],
    i: int,
    b: NDArray[np.uint8],
    begins_b: NDArray[np.int32],
    ends_b: NDArray[np.int32],
    j: int,
    count: int,
) -> int:
    """How ``count`` tokens of a from i on differ from the equal ones of b from j on, bits of :data:`ALL`."""
    if count == 0 or _same(
        a, int(begins_a[i]), int(ends_a[i + count - 1]), b, int(begins_b[j]), int(ends_b[j + count - 1])
    ):
        return 0
    found = 0
    for k in range(count):
        p = int(begins_a[i + k])
        p_end = int(ends_a[i + k])
        q = int(begins_b[j + k])
        q_end = int(ends_b[j + k])
        if not _same(a, p, p_end, b, q, q_end):
            found |= _of_tokens(a, p, p_end, b, q, q_end)
        if k + 1 < count:
            p = p_end
            q = q_end
            p_end = max(p, int(begins_a[i + k + 1]))
            q_end = max(q, int(begins_b[j + k + 1]))
            if not _same(a, p, p_end, b, q, q_end):
                found |= _of_gaps(a, p, p_end, b, q, q_end)
        if found == ALL:
            break
    return found
