"""Folded tokens: a text as the row of words and spaceless code points that are shingled, and where each stands in it.

The tokens are those of the folded text (:mod:`~kinprint.kernels.fold`), found as shingling finds them, so that case,
white space, punctuation and Unicode form make no difference between two rows of tokens; the places are bytes of the
text as it is stored. Two tokens are equal if their folded bytes are; hashes only spare comparing most others.

Places keep to graphemes as far as a stretch of tokens needs it (UAX #29): combining marks, variation selectors, joiners
and skin tones after a token belong to it; and it is known of each token whether a grapheme ends with it, which is not
so between the emoji of a joined sequence, the halves of a flag, a base of a spaceless script and its mark, and tokens
that one code point folds to. Words are never divided, so neither are syllables of Hangul nor conjuncts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from kinprint.kernels.copy.shingle import Workspace, find_words, hash_words, workspace
from kinprint.kernels.fold import fold_places
from kinprint.kernels.hashing import CODE_POINT_SHINGLE_1, CODE_POINT_SHINGLE_2, finalise, load64, multiply_fold
from kinprint.kernels.jit import inlined, kernel
from kinprint.kernels.unicode import FOLDS, MARK, NOT_BOUNDARY, PUNCT, SPACE, SPACELESS, SYMBOL, decode, properties
from numpy.typing import NDArray

_JOINER = 0x200D


class Row(NamedTuple):
    """Scratch of one thread for the tokens of a text, in order (see :func:`row_of`)."""

    work: Workspace
    """The folded text, in its buffer."""
    low: NDArray[np.int32]
    """Begin of each token in the folded text."""
    high: NDArray[np.int32]
    """End of each token in the folded text."""
    hashes: NDArray[np.uint64]
    """64-bit hash of each token's folded bytes."""
    begins: NDArray[np.int32]
    """First byte of each token in the text as it is stored."""
    ends: NDArray[np.int32]
    """Byte after the last, with what extends its last grapheme."""
    closes: NDArray[np.bool_]
    """Whether a grapheme ends where the token ends, and no later token begins before."""
    at: NDArray[np.int32]
    source: NDArray[np.int32]
    until: NDArray[np.int32]
    """Where the folded text came from, see :func:`~kinprint.kernels.fold.fold_places`."""


@kernel
def row_of(size: int) -> Row:
    """Scratch for texts whose folded form has up to ``size - 176`` bytes."""
    n = size + 2
    return Row(
        workspace(size),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.uint64),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.bool_),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )


@kernel
def larger_row(row: Row, length: int) -> int:
    """Size of the scratch to try next when one had no room for ``length`` bytes of a text."""
    return max(2 * row.work.buffer.size, length + length // 4 + 4096)


@inlined
def _extends(cp: int, bits: int) -> bool:
    """Whether a code point belongs to the grapheme before it, whatever that is (Grapheme_Extend, SpacingMark, ZWJ)."""
    return (
        (bits & 15) == MARK
        or 0x200C <= cp <= _JOINER
        or 0xFE00 <= cp <= 0xFE0F
        or 0x1F3FB <= cp <= 0x1F3FF
        or 0xE0020 <= cp <= 0xE007F
        or 0xE0100 <= cp <= 0xE01EF
        or cp == 0x034F
        or 0x180B <= cp <= 0x180D
        or cp == 0x180F
        or 0x17B4 <= cp <= 0x17B5
    )


@inlined
def _regional(cp: int) -> bool:
    return 0x1F1E6 <= cp <= 0x1F1FF


@kernel
def tokens_in(text: NDArray[np.uint8], start: int, end: int, row: Row) -> int:
    """Tokens of ``text[start:end]`` to ``row``, with places in the whole text; their number, or -1 if it has no room.

    ``start`` and ``end`` are the ends of the text, or clean cuts (see :func:`cut_before`): the tokens are those that
    the whole text has there.
    """
    if row.at.size < end - start + 2:
        return -1
    work = row.work
    length, runs = fold_places(text, start, end, work.buffer, work.scratch, row.at, row.source, row.until)
    if length < 0:
        return -1
    edges, spaceless, _, _, _ = find_words(work, length)
    words = edges // 2
    hash_words(work.buffer, work.edges, words, work.words)
    i = 0
    j = 0
    n = 0
    while i < words or j < spaceless:
        if j == spaceless or (i < words and work.edges[2 * i] < work.places[j]):
            row.low[n] = work.edges[2 * i]
            row.high[n] = work.edges[2 * i + 1]
            row.hashes[n] = work.words[i]
            i += 1
        else:
            cp, width = decode(work.buffer, work.places[j], length)
            row.low[n] = work.places[j]
            row.high[n] = work.places[j] + width
            row.hashes[n] = finalise(multiply_fold(np.uint64(cp) ^ CODE_POINT_SHINGLE_1, CODE_POINT_SHINGLE_2))
            j += 1
        n += 1
    _place(row, n, runs)
    _close(text, end, row, n)
    return n


@kernel
def _place(row: Row, n: int, runs: int) -> None:
    """Bytes of the text that the tokens came from."""
    first = 0
    last = 0
    for k in range(n):
        low = row.low[k]
        high = row.high[k]
        while first + 1 < runs and row.at[first + 1] <= low:
            first += 1
        row.begins[k] = row.source[first] + (low - row.at[first] if row.until[first] < 0 else 0)
        last = max(last, first)
        while last + 1 < runs and row.at[last + 1] < high:
            last += 1
        row.ends[k] = row.source[last] + high - row.at[last] if row.until[last] < 0 else row.until[last]


@kernel
def _close(text: NDArray[np.uint8], end: int, row: Row, n: int) -> None:
    """Extend the tokens over what belongs to their last grapheme, and find whether it ends with them."""
    flag = False  # the last token ends with the first half of a flag
    for k in range(n):
        p = int(row.ends[k])
        most = int(row.begins[k + 1]) if k + 1 < n else end
        if most >= p and (p == end or text[p] < 0x80):
            row.closes[k] = True
            flag = False
            continue
        last, width = decode(text, row.begins[k], p)
        single = row.begins[k] + width == p
        half = single and _regional(last)
        half = half and not (flag and row.begins[k] == row.ends[k - 1])
        if not single:
            last = 0
        while p < most:
            cp, width = decode(text, p, end)
            if not _extends(cp, properties(cp)):
                break
            last = cp
            half = False
            p += width
        row.ends[k] = p
        flag = half
        if most < p:
            row.closes[k] = False  # the next token came from the same code point
        elif p == end:
            row.closes[k] = True
        else:
            cp, _ = decode(text, p, end)
            bits = properties(cp)
            joined = last == _JOINER and (bits & 15) == SYMBOL
            row.closes[k] = not (joined or (half and _regional(cp)) or (most == p and _extends(cp, bits)))


@inlined
def opens(row: Row, k: int) -> bool:
    """Whether a grapheme begins where token k does, and no earlier token ends after that."""
    return k == 0 or row.closes[k - 1] or row.begins[k] > row.ends[k - 1]


@inlined
def equal_tokens(a: Row, i: int, b: Row, j: int) -> bool:
    """Whether two tokens have the same folded bytes."""
    # Put into the caller's code: to hand over two rows costs many times what there is to compare.
    return a.hashes[i] == b.hashes[j] and _equal_bytes(
        a.work.buffer, a.low[i], a.high[i], b.work.buffer, b.low[j], b.high[j]
    )


@kernel
def _equal_bytes(x: NDArray[np.uint8], p: int, p_end: int, y: NDArray[np.uint8], q: int, q_end: int) -> bool:
    n = p_end - p
    if q_end - q != n:
        return False
    k = 0
    while k + 8 <= n:
        if load64(x, p + k) != load64(y, q + k):
            return False
        k += 8
    while k < n:
        if x[p + k] != y[q + k]:
            return False
        k += 1
    return True


# ---- where a text may be cut ----


@kernel
def _clean(text: NDArray[np.uint8], p: int) -> bool:
    """Whether a code point begins at p before which the text may be cut: no token, grapheme or composition lies
    across.
    """
    if p == 0 or p == text.size:
        return True
    if (text[p] & 0xC0) == 0x80:
        return False
    cp, _ = decode(text, p, text.size)
    bits = properties(cp)
    kind = bits & 15
    if (bits & NOT_BOUNDARY) != 0 or _extends(cp, bits) or _regional(cp):
        return False
    if kind == SPACE:
        return True
    if (bits & FOLDS) != 0 or kind not in (PUNCT, SPACELESS, SYMBOL):
        return False
    # A joiner before it, U+200D in UTF-8.
    return not (p >= 3 and text[p - 3] == 0xE2 and text[p - 2] == 0x80 and text[p - 1] == 0x8D)


@kernel
def cut_before(text: NDArray[np.uint8], p: int) -> int:
    """The last place at or before byte p where a text may be cut so that the tokens of both parts are its own."""
    while not _clean(text, p):
        p -= 1
    return p


@kernel
def cut_after(text: NDArray[np.uint8], p: int) -> int:
    """The first such place at or after byte p."""
    while not _clean(text, p):
        p += 1
    return p
