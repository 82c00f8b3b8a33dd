"""Shingles: the set elements by which texts are compared, and the hash of the whole normalised answer.

The words of a text give word 3-shingles, its spaceless code points (scripts that put no space between words, and
symbols such as emoji) give code-point 5-shingles; each is hashed to 64 bits in a domain of its own. ``docs/copy.md``
states the rules; :mod:`kinprint.kernels.reference.shingle` is the same in plain Python.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .arrow import check_texts, frozen
from .fold import CHUNK, folded
from .hashing import (
    CODE_POINT_SHINGLE_1,
    CODE_POINT_SHINGLE_2,
    MULTIPLIER_1,
    MULTIPLIER_2,
    WHOLE_TEXT as WHOLE_TEXT_SEED,
    WORD_SEED,
    WORD_SHINGLE_1,
    WORD_SHINGLE_2,
    WORD_SHINGLE_3,
    finalise,
    hash_bytes,
    hash_text,
    load64,
    multiply_fold,
    trailing_zeros,
)
from .jit import kernel, parallel_kernel, prange
from .unicode import DIGIT, MARK, SPACELESS, SYMBOL, UPPER, WORD, code_class, decode

BLANK: Final = 1
"""Flag: the text is empty or holds only white space and ignorable code points; it has no shingle."""
WHOLE_TEXT: Final = 2
"""Flag: too short for any shingle; its one shingle is a hash of the whole text."""

_HIGH = np.uint64(0x8080808080808080)
_LOW7 = np.uint64(0x7F7F7F7F7F7F7F7F)
_WINDOW = np.uint64((1 << 63) - 1)
_TAIL = np.uint64((1 << 42) - 1)


@kernel
def _not_word(x: np.uint64) -> np.uint64:
    """High bit of each byte of ``x`` that is not one of a-z 0-9, the word characters of folded ASCII."""
    y = x & _LOW7
    letter = (y + np.uint64(0x1F1F1F1F1F1F1F1F)) & ~(y + np.uint64(0x0505050505050505))
    digit = (y + np.uint64(0x5050505050505050)) & ~(y + np.uint64(0x4646464646464646))
    return (~(letter | digit) | x) & _HIGH


@kernel
def shingle_text(text: NDArray[np.uint8], length: int, out: NDArray[np.uint64]) -> tuple[int, int]:
    """Hash the shingles of one folded text, white space collapsed, in the order in which they end.

    ``text[:length]`` is what :func:`~kinprint.kernels.fold.fold_text` left, with spaces behind it; ``out`` needs
    ``length // 2 + 2`` places. Returns (number of shingles, flags); repeated shingles are repeated.
    """
    if length == 0:
        return 0, BLANK
    m = 0
    words = 0
    spaceless = 0
    previous = np.uint64(0)  # hash of the last word, and of the one before
    before = np.uint64(0)
    head = np.uint64(0)  # the last five spaceless code points, 21 bits each: two in head, three in tail
    tail = np.uint64(0)
    follows_spaceless = False
    p = 0
    while p < length:
        byte = text[p]
        is_word = False
        cp = 0
        width = 1
        if byte < 0x80:
            is_word = (0x61 <= byte <= 0x7A) or (0x30 <= byte <= 0x39)
        else:
            cp, width = decode(text, p, length)
            cls = code_class(cp)
            is_word = cls == WORD or cls == DIGIT or cls == UPPER
            if cls == SPACELESS or cls == SYMBOL or (cls == MARK and follows_spaceless):
                follows_spaceless = True
                p += width
                spaceless += 1
                head = ((head << np.uint64(21)) | (tail >> np.uint64(42))) & _TAIL
                tail = ((tail << np.uint64(21)) | np.uint64(cp)) & _WINDOW
                if spaceless >= 5:
                    out[m] = finalise(
                        multiply_fold(tail ^ CODE_POINT_SHINGLE_1, head ^ CODE_POINT_SHINGLE_2)
                    )
                    m += 1
                continue
        follows_spaceless = False
        if not is_word:
            p += width
            continue
        start = p
        h = WORD_SEED
        while True:
            x = load64(text, p)
            stop = _not_word(x)
            if stop != 0:
                break
            h = multiply_fold(h ^ x, MULTIPLIER_1)
            p += 8
        # The text ends in spaces, so that a stop is always found.
        k = trailing_zeros(stop) >> 3
        if k > 0:
            h = multiply_fold(
                h ^ (x & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * k))), MULTIPLIER_1
            )
            p += k
        if text[p] >= 0x80 and p < length:
            # Not ASCII: walk to the end of the word, and hash it again as a whole.
            while p < length:
                byte = text[p]
                if byte < 0x80:
                    if not ((0x61 <= byte <= 0x7A) or (0x30 <= byte <= 0x39)):
                        break
                    p += 1
                    continue
                cp, width = decode(text, p, length)
                cls = code_class(cp)
                if not (cls == WORD or cls == MARK or cls == DIGIT or cls == UPPER):
                    break
                p += width
            h = hash_bytes(text, start, p)
        else:
            h ^= np.uint64(p - start) * MULTIPLIER_2
        words += 1
        if words >= 3:
            v = multiply_fold(before ^ WORD_SHINGLE_1, previous ^ WORD_SHINGLE_2)
            out[m] = finalise(multiply_fold(v ^ h, WORD_SHINGLE_3) + h)
            m += 1
        before = previous
        previous = h
    if m > 0:
        return m, 0
    # At most two words and four spaceless code points, or none at all.
    if words == 0 and spaceless == 0:
        first, second = hash_text(text, length)
        out[0] = finalise(multiply_fold(first ^ WHOLE_TEXT_SEED, second ^ MULTIPLIER_1))
    else:
        v = multiply_fold(before ^ WHOLE_TEXT_SEED, previous ^ WORD_SHINGLE_2)
        w = multiply_fold(tail ^ CODE_POINT_SHINGLE_1, head ^ CODE_POINT_SHINGLE_2)
        out[0] = finalise(multiply_fold(v ^ np.uint64(words), w ^ WHOLE_TEXT_SEED))
    return 1, WHOLE_TEXT


@parallel_kernel
def _count(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    n = offsets.size - 1
    indptr = np.zeros(n + 1, np.int64)
    flags = np.zeros(n, np.uint8)
    for c in prange((n + CHUNK - 1) // CHUNK):
        buffer = np.empty(4096, np.uint8)
        scratch = np.empty(256, np.int32)
        hashes = np.empty(2048, np.uint64)
        for i in range(c * CHUNK, min(n, (c + 1) * CHUNK)):
            buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
            if hashes.size < length // 2 + 2:
                hashes = np.empty(length, np.uint64)
            m, flag = shingle_text(buffer, length, hashes)
            indptr[i + 1] = _sort_unique(hashes, m)
            flags[i] = flag
    for i in range(n):
        indptr[i + 1] += indptr[i]
    return indptr, flags


@kernel
def _sort_unique(values: NDArray[np.uint64], m: int) -> int:
    """Sort ``values[:m]`` in place, repeats dropped; the number left."""
    if m == 0:
        return 0
    values[:m].sort()
    kept = 1
    for i in range(1, m):
        if values[i] != values[kept - 1]:
            values[kept] = values[i]
            kept += 1
    return kept


@parallel_kernel
def _fill(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], indptr: NDArray[np.int64]
) -> NDArray[np.uint64]:
    n = offsets.size - 1
    out = np.empty(indptr[n], np.uint64)
    for c in prange((n + CHUNK - 1) // CHUNK):
        buffer = np.empty(4096, np.uint8)
        scratch = np.empty(256, np.int32)
        hashes = np.empty(2048, np.uint64)
        for i in range(c * CHUNK, min(n, (c + 1) * CHUNK)):
            buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
            if hashes.size < length // 2 + 2:
                hashes = np.empty(length, np.uint64)
            m, _ = shingle_text(buffer, length, hashes)
            m = _sort_unique(hashes, m)
            out[indptr[i] : indptr[i] + m] = hashes[:m]
    return out


@parallel_kernel
def _text_hashes(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    n = offsets.size - 1
    out = np.empty((n, 2), np.uint64)
    for c in prange((n + CHUNK - 1) // CHUNK):
        buffer = np.empty(4096, np.uint8)
        scratch = np.empty(256, np.int32)
        for i in range(c * CHUNK, min(n, (c + 1) * CHUNK)):
            buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
            first, second = hash_text(buffer, length)
            out[i, 0] = first
            out[i, 1] = second
    return out


def shingle_sets(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]:
    """The set of shingle hashes of every text.

    Parameters
    ----------
    data, offsets
        Texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].

    Returns
    -------
    hashes : uint64[m]
        Shingle hashes, sorted and without repeats within each text.
    indptr : int64[n + 1]
        Text ``i`` has ``hashes[indptr[i]:indptr[i + 1]]``.
    flags : uint8[n]
        0, :data:`BLANK` (no shingle) or :data:`WHOLE_TEXT` (one shingle that stands for the whole text).

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout.
    """
    check_texts(data, offsets)
    data, offsets = frozen(data), frozen(offsets)
    indptr, flags = _count(data, offsets)
    return _fill(data, offsets, indptr), indptr, flags


def text_hashes(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """128-bit hash of every normalised answer: folded, white space collapsed and trimmed, punctuation kept.

    Equal for two texts exactly if their normalised answers are (but for a chance of 2^-128). Not cryptographic. Every
    blank text has the hash of the empty text.

    Parameters
    ----------
    data, offsets
        Texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].

    Returns
    -------
    uint64[n, 2]

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout.
    """
    check_texts(data, offsets)
    return _text_hashes(frozen(data), frozen(offsets))
