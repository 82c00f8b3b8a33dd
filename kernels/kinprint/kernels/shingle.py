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
from .fold import BUFFER, CHUNK, SEGMENT, folded
from .hashing import (
    CODE_POINT_SHINGLE_1,
    CODE_POINT_SHINGLE_2,
    MULTIPLIER_1,
    MULTIPLIER_2,
    WORD_SEED,
    WORD_SHINGLE_1,
    WORD_SHINGLE_2,
    WORD_SHINGLE_3,
    finalise,
    hash_bytes,
    hash_text,
    high_mask,
    load64,
    multiply_fold,
    trailing_zeros,
    word_mask,
)
from .hashing import (
    WHOLE_TEXT as WHOLE_TEXT_SEED,
)
from .jit import kernel, parallel_kernel, prange
from .unicode import DIGIT, MARK, SPACELESS, SYMBOL, UPPER, WORD, code_class, decode

BLANK: Final = 1
"""Flag: the text is empty or holds only white space and ignorable code points; it has no shingle."""
WHOLE_TEXT: Final = 2
"""Flag: too short for any shingle; its one shingle is a hash of the whole text."""

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_TAIL = np.uint64((1 << 63) - 1)
_HEAD = np.uint64((1 << 42) - 1)


@kernel
def shingle_text(text: NDArray[np.uint8], length: int, out: NDArray[np.uint64]) -> tuple[int, int]:
    """Hash the shingles of one folded text, white space collapsed.

    ``text[:length]`` is what :func:`~kinprint.kernels.fold.fold_text` left, with room behind it to read; ``out`` needs
    ``length // 2 + 2`` places. Returns (number of shingles, flags); repeated shingles are repeated.

    64 bytes at a time become a mask of bytes that belong to words: by vector comparisons for ASCII, code point by
    code point for the rest, which is where spaceless code points are seen as well. The edges in the mask are
    the words, so that no word has to wait for the end of the one before it to be found.
    """
    if length == 0:
        return 0, BLANK
    m = 0
    words = 0
    spaceless = 0
    spaceless_end = -1  # where the last spaceless code point ended
    previous = np.uint64(0)  # hash of the last word, and of the one before
    before = np.uint64(0)
    head = np.uint64(0)  # the last five spaceless code points, 21 bits each: two in head, three in tail
    tail = np.uint64(0)
    start = -1  # of the word that the mask is within
    carry = np.uint64(0)  # the last bit of the mask before
    spill = np.uint64(0)  # bits of the next mask, of a word's code point that straddles the edge
    seen = 0  # bytes before this one are parts of code points already looked at
    base = 0
    while base <= length:
        mask = word_mask(text, base)
        other = high_mask(text, base)
        if length - base < 64:
            valid = (_ONE << np.uint64(length - base)) - _ONE
            mask &= valid
            other &= valid
        if other != 0:
            mask |= spill
            spill = np.uint64(0)
            if seen > base:
                other &= _FULL << np.uint64(seen - base)
            while other != 0:
                k = trailing_zeros(other)
                p = base + k
                cp, width = decode(text, p, length)
                bits = ((_ONE << np.uint64(width)) - _ONE) << np.uint64(k)
                other &= ~bits
                cls = code_class(cp)
                is_word = cls in (WORD, DIGIT, UPPER)
                is_spaceless = cls in (SPACELESS, SYMBOL)
                if cls == MARK:
                    is_spaceless = p == spaceless_end
                    is_word = (carry if k == 0 else (mask >> np.uint64(k - 1)) & _ONE) != 0
                if is_word:
                    mask |= bits
                if is_spaceless:
                    spaceless_end = p + width
                    spaceless += 1
                    head = ((head << np.uint64(21)) | (tail >> np.uint64(42))) & _HEAD
                    tail = ((tail << np.uint64(21)) | np.uint64(cp)) & _TAIL
                    if spaceless >= 5:
                        out[m] = finalise(multiply_fold(tail ^ CODE_POINT_SHINGLE_1, head ^ CODE_POINT_SHINGLE_2))
                        m += 1
                if k + width > 64:
                    seen = p + width
                    if is_word:
                        spill = (_ONE << np.uint64(k + width - 64)) - _ONE
        edges = mask ^ ((mask << _ONE) | carry)
        carry = mask >> np.uint64(63)
        while edges != 0:
            p = base + trailing_zeros(edges)
            edges &= edges - _ONE
            if start < 0:
                start = p
                continue
            # hash_bytes, without a branch on whether the word is longer than eight bytes.
            n = p - start
            if n <= 16:
                x = load64(text, start) & (_FULL >> np.uint64(64 - 8 * min(n, 8)))
                y = load64(text, start + 8) & (_FULL >> np.uint64(64 - 8 * max(n - 8, 1)))
                h = multiply_fold(WORD_SEED ^ x, MULTIPLIER_1)
                longer = multiply_fold(h ^ y, MULTIPLIER_1)
                h = (longer if n > 8 else h) ^ (np.uint64(n) * MULTIPLIER_2)
            else:
                h = hash_bytes(text, start, p)
            start = -1
            words += 1
            if words >= 3:
                v = multiply_fold(before ^ WORD_SHINGLE_1, previous ^ WORD_SHINGLE_2)
                out[m] = finalise(multiply_fold(v ^ h, WORD_SHINGLE_3) + h)
                m += 1
            before = previous
            previous = h
        base += 64
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


@kernel
def _sets_chunk(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    places: NDArray[np.int64],
    out: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> None:
    """Sets of texts first .. last-1 to ``out`` from ``places`` on, their sizes to ``sizes``, and their flags.

    An empty ``out`` asks for the number of shingles instead of the size of the set, which spares the sorting.
    """
    buffer = np.empty(BUFFER, np.uint8)
    scratch = np.empty(SEGMENT, np.int32)
    hashes = np.empty(BUFFER // 2 + 2, np.uint64)
    for i in range(first, last):
        buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
        if hashes.size < length // 2 + 2:
            hashes = np.empty(length, np.uint64)
        m, flag = shingle_text(buffer, length, hashes)
        if out.size > 0:
            m = _sort_unique(hashes, m)
            out[places[i] : places[i] + m] = hashes[:m]
        sizes[i] = m
        flags[i] = flag


@parallel_kernel
def _sets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    places: NDArray[np.int64],
    out: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> None:
    n = offsets.size - 1
    for c in prange((n + CHUNK - 1) // CHUNK):
        _sets_chunk(data, offsets, c * CHUNK, min(n, (c + 1) * CHUNK), places, out, sizes, flags)


@kernel
def _compact(hashes: NDArray[np.uint64], places: NDArray[np.int64], indptr: NDArray[np.int64]) -> None:
    """Close the gaps that dropped repeats left; runs forward, where nothing yet to be moved can be overwritten."""
    for i in range(indptr.size - 1):
        shift = places[i] - indptr[i]
        if shift > 0:
            for k in range(indptr[i], indptr[i + 1]):
                hashes[k] = hashes[k + shift]


@kernel
def _text_hashes_chunk(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], first: int, last: int, out: NDArray[np.uint64]
) -> None:
    buffer = np.empty(BUFFER, np.uint8)
    scratch = np.empty(SEGMENT, np.int32)
    for i in range(first, last):
        buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
        a, b = hash_text(buffer, length)
        out[i, 0] = a
        out[i, 1] = b


@parallel_kernel
def _text_hashes(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    n = offsets.size - 1
    out = np.empty((n, 2), np.uint64)
    for c in prange((n + CHUNK - 1) // CHUNK):
        _text_hashes_chunk(data, offsets, c * CHUNK, min(n, (c + 1) * CHUNK), out)
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
    n = offsets.size - 1
    places = np.zeros(n + 1, np.int64)
    indptr = np.zeros(n + 1, np.int64)
    flags = np.empty(n, np.uint8)
    _sets(data, offsets, places, np.empty(0, np.uint64), places[1:], flags)
    np.cumsum(places, out=places)
    hashes = np.empty(places[-1], np.uint64)
    _sets(data, offsets, places, hashes, indptr[1:], flags)
    np.cumsum(indptr, out=indptr)
    _compact(hashes, places, indptr)
    # A copy only where repeats took up much; otherwise their room stays behind the array.
    hashes = hashes[: indptr[-1]].copy() if indptr[-1] < 0.9 * hashes.size else hashes[: indptr[-1]]
    return hashes, indptr, flags


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
