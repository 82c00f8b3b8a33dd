"""Shingles: the set elements by which texts are compared, and the hash of the whole normalised answer.

Two ways to cut a text, named by their scheme:

``w3c5``
    the default. The words of a text give word 3-shingles, its spaceless code points (scripts that put no space between
    words, and symbols such as emoji) give code-point 5-shingles.
``c5``
    code-point 5-shingles of the whole normalised answer, spaces and punctuation included.

Each shingle is hashed to 64 bits, in a domain of its own. ``docs/copy.md`` states the rules;
:mod:`kinprint.kernels.reference.shingle` is the same in plain Python.

One file: each step leaves its result in one workspace for the next.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory, room_for_hashes
from kinprint.kernels.fold import BUFFER, CHUNK, PAD, SEGMENT, fold_text
from kinprint.kernels.hashing import (
    CODE_POINT_SHINGLE_1,
    CODE_POINT_SHINGLE_2,
    HIGH_BYTES,
    LOW_BYTES,
    MULTIPLIER_1,
    MULTIPLIER_3,
    WHOLE_WORDS_1,
    WHOLE_WORDS_2,
    WORD_SEED_1,
    WORD_SEED_2,
    copy_bytes,
    finalise,
    hash_bytes,
    hash_text,
    high_mask,
    load64,
    load64_at,
    multiply_fold,
    population,
    trailing_zeros,
    word_mask,
)
from kinprint.kernels.hashing import WHOLE_TEXT as WHOLE_TEXT_SEED
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.unicode import DIGIT, MARK, SPACELESS, SYMBOL, UPPER, WORD, code_class, decode
from numpy.typing import NDArray

BLANK: Final = 1
"""Flag: the text is empty or holds only white space and ignorable code points; it has no shingle."""
WHOLE_TEXT: Final = 2
"""Flag: too short for any shingle; its one shingle is a hash of the whole text."""

Shingling = Literal["w3c5", "c5"]
"""Names of the schemes of shingling."""
SHINGLINGS: Final[tuple[Shingling, ...]] = ("w3c5", "c5")

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_TAIL = np.uint64((1 << 63) - 1)
_HEAD = np.uint64((1 << 42) - 1)
_FIVE_BYTES = np.uint64((1 << 40) - 1)


class Workspace(NamedTuple):
    """Scratch of one thread (see :func:`workspace`)."""

    buffer: NDArray[np.uint8]
    """Folded text."""
    scratch: NDArray[np.int32]
    """For normalising a segment."""
    edges: NDArray[np.int32]
    """Bytes where words begin and end, in turn."""
    words: NDArray[np.uint64]
    """Hashes of the words."""
    points: NDArray[np.uint64]
    """Hashes of the code-point shingles of a text that has words as well."""
    places: NDArray[np.int32]
    """Bytes where spaceless code points begin."""
    hashes: NDArray[np.uint64]
    """Hashes of the shingles: of the words, then of the spaceless code points."""


@kernel
def workspace(size: int) -> Workspace:
    """Scratch for folded texts of up to ``size - 80`` bytes.

    Kernels take a workspace and never return one, since a tuple of arrays made for each text costs more than
    shingling it; the loop over texts replaces it by a larger one where :func:`folded_text` says so.
    """
    return Workspace(
        np.empty(size, np.uint8),
        np.empty(SEGMENT, np.int32),
        np.empty(size + 128, np.int32),
        np.empty(size + 2, np.uint64),
        np.empty(size // 2 + 2, np.uint64),
        np.empty(size // 2 + 2, np.int32),
        np.empty(size + 2, np.uint64),
    )


@kernel
def folded_text(work: Workspace, address: np.uint64, length: int, normalised: bool) -> int:
    """Leave the normalised answer of a text in the workspace's buffer; its bytes, or -1 if there is no room.

    With ``normalised`` the text is taken to be its own normalised answer, and only copied.
    """
    text = memory(address, length)
    if not normalised:
        return fold_text(text, 0, length, work.buffer, work.scratch, True)
    if work.buffer.size < length + PAD:
        return -1
    copy_bytes(text, work.buffer, length)
    return length


@kernel
def larger_size(work: Workspace, length: int) -> int:
    """Size of the workspace to try next when one had no room for a text of ``length`` bytes."""
    return max(2 * work.buffer.size, length + length // 4 + 4 * BUFFER)


@kernel
def find_words(work: Workspace, length: int) -> tuple[int, int, int, np.uint64, np.uint64]:
    """Edges of the words of a folded text, and the hashes of its code-point shingles.

    Fills ``work.edges`` with begin and end of each word, ``work.places`` with the begin of each spaceless code point
    and ``work.points`` with hashes; returns (edges, spaceless code points, hashes, head, tail), where head and tail
    hold the last five spaceless code points. The text need not be folded; upper case makes words like lower case.

    64 bytes at a time become a mask of bytes that belong to words: by vector comparisons for ASCII, code point by
    code point for the rest, which is where spaceless code points are seen as well. The edges in the mask are
    the words, so that no word has to wait for the end of the one before it to be found.
    """
    text = work.buffer
    edges_out = work.edges
    points = work.points
    places = work.places
    m = 0
    spaceless = 0
    found = 0
    spaceless_end = -1  # where the last spaceless code point ended
    head = np.uint64(0)  # the last five spaceless code points, 21 bits each: two in head, three in tail
    tail = np.uint64(0)
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
                    places[spaceless] = p
                    spaceless += 1
                    head = ((head << np.uint64(21)) | (tail >> np.uint64(42))) & _HEAD
                    tail = ((tail << np.uint64(21)) | np.uint64(cp)) & _TAIL
                    if spaceless >= 5:
                        points[found] = _window(head, tail)
                        found += 1
                if k + width > 64:
                    seen = p + width
                    if is_word:
                        spill = (_ONE << np.uint64(k + width - 64)) - _ONE
        edges = mask ^ ((mask << _ONE) | carry)
        carry = mask >> np.uint64(63)
        # Eight at a time and a few too many, which the next block writes over: fewer branches to mispredict.
        k = m
        m += population(edges)
        while k < m:
            for q in range(8):
                edges_out[k + q] = base + trailing_zeros(edges)
                edges &= edges - _ONE
            k += 8
        base += 64
    return m, spaceless, found, head, tail


@kernel
def _window(head: np.uint64, tail: np.uint64) -> np.uint64:
    """Hash of five code points, two in ``head`` and three in ``tail``."""
    return finalise(multiply_fold(tail ^ CODE_POINT_SHINGLE_1, head ^ CODE_POINT_SHINGLE_2))


@kernel
def hash_words(text: NDArray[np.uint8], edges: NDArray[np.int32], count: int, out: NDArray[np.uint64]) -> None:
    """Hashes of ``count`` words, whose begins and ends alternate in ``edges``; ``hash_bytes`` of each."""
    for i in range(count):
        start = np.uint64(edges[2 * i])
        n = np.uint64(edges[2 * i + 1]) - start
        if n <= np.uint64(16):
            x = load64_at(text, start) & LOW_BYTES[n]
            y = load64_at(text, start + np.uint64(8)) & HIGH_BYTES[n]
            out[i] = multiply_fold(WORD_SEED_1 ^ x, WORD_SEED_2 ^ n ^ y)
        else:
            out[i] = hash_bytes(text, int(edges[2 * i]), int(edges[2 * i + 1]))


@kernel
def _word_shingles(words: NDArray[np.uint64], count: int, out: NDArray[np.uint64]) -> None:
    """Hashes of each three words in a row, ``out[:count - 2]``; apart from the loop over words, so that it
    vectorises.
    """
    for i in range(count - 2):
        a = words[i]
        b = words[i + 1]
        v = ((a << np.uint64(23)) | (a >> np.uint64(41))) + ((b << np.uint64(46)) | (b >> np.uint64(18)))
        v += words[i + 2]
        v ^= v >> np.uint64(32)
        v *= MULTIPLIER_3
        out[i] = v ^ (v >> np.uint64(29))


@kernel
def _whole_text(
    work: Workspace, length: int, words: int, spaceless: int, head: np.uint64, tail: np.uint64
) -> np.uint64:
    """The one shingle of a text with at most two words and four spaceless code points."""
    if words == 0 and spaceless == 0:
        first, second = hash_text(work.buffer, length)
        return finalise(multiply_fold(first ^ WHOLE_TEXT_SEED, second ^ MULTIPLIER_1))
    before = work.words[words - 2] if words > 1 else np.uint64(0)
    previous = work.words[words - 1] if words > 0 else np.uint64(0)
    v = multiply_fold(before ^ WHOLE_WORDS_1, previous ^ WHOLE_WORDS_2)
    w = multiply_fold(tail ^ CODE_POINT_SHINGLE_1, head ^ CODE_POINT_SHINGLE_2)
    return finalise(multiply_fold(v ^ np.uint64(words), w ^ WHOLE_TEXT_SEED))


@kernel
def shingle_words(work: Workspace, length: int) -> tuple[int, int, int]:
    """Scheme ``w3c5``: shingle the folded text ``work.buffer[:length]``, white space collapsed.

    Leaves hashes in ``work.hashes``, first those of words, then those of code points, each in the order of the text,
    repeats kept. Returns (word shingles, code-point shingles, flags); a whole-text shingle counts as a word shingle.
    """
    if length == 0:
        return 0, 0, BLANK
    m, spaceless, found, head, tail = find_words(work, length)
    words = m // 2
    hash_words(work.buffer, work.edges, words, work.words)
    of_words = max(0, words - 2)
    _word_shingles(work.words, words, work.hashes)
    # Loops in place of slices here and below: see grown() in arrow.py.
    for k in range(found):
        work.hashes[of_words + k] = work.points[k]
    if of_words + found > 0:
        return of_words, found, 0
    work.hashes[0] = _whole_text(work, length, words, spaceless, head, tail)
    return 1, 0, WHOLE_TEXT


@kernel
def shingle_code_points(work: Workspace, length: int) -> tuple[int, int, int]:
    """Scheme ``c5``: as :func:`shingle_words`, of every code point; no word shingles but a whole-text one."""
    if length == 0:
        return 0, 0, BLANK
    text = work.buffer
    out = work.hashes
    high = np.uint64(0)
    for base in range(0, length - 63, 64):
        high |= high_mask(text, base)
    for p in range(length - length % 64, length):
        high |= np.uint64(text[p] >> 7)
    if high == 0:
        for p in range(length - 4):
            v = (load64(text, p) & _FIVE_BYTES) * MULTIPLIER_1
            v ^= v >> np.uint64(32)
            v *= MULTIPLIER_3
            out[p] = v ^ (v >> np.uint64(29))
        if length >= 5:
            return 0, length - 4, 0
    else:
        m = 0
        count = 0
        ascii_run = 0
        head = np.uint64(0)
        tail = np.uint64(0)
        p = 0
        while p < length:
            cp, width = decode(text, p, length)
            p += width
            count += 1
            ascii_run = ascii_run + 1 if cp < 128 else 0
            head = ((head << np.uint64(21)) | (tail >> np.uint64(42))) & _HEAD
            tail = ((tail << np.uint64(21)) | np.uint64(cp)) & _TAIL
            if count >= 5:
                if ascii_run >= 5:
                    out[m] = finalise((load64(text, p - 5) & _FIVE_BYTES) * MULTIPLIER_1)
                else:
                    out[m] = _window(head, tail)
                m += 1
        if m > 0:
            return 0, m, 0
    first, second = hash_text(text, length)
    out[0] = finalise(multiply_fold(first ^ WHOLE_TEXT_SEED, second ^ MULTIPLIER_1))
    return 1, 0, WHOLE_TEXT


@kernel
def shingle_text(work: Workspace, length: int, scheme: int) -> tuple[int, int, int]:
    """Shingle by the scheme of that place in :data:`SHINGLINGS`; see :func:`shingle_words`."""
    if scheme == 0:
        return shingle_words(work, length)
    return shingle_code_points(work, length)


@kernel
def sort_unique(values: NDArray[np.uint64], m: int, scratch: NDArray[np.uint64]) -> int:
    """Sort ``values[:m]``, well mixed hashes, in place and drop repeats; the number left.

    Hashes are spread evenly, so that their high bits are nearly their place: one pass puts each into the bucket of
    its high bits and a sort by insertion mends the rest, in linear time. A bucket that holds far more than its
    share, as crafted hashes could fill it, is sorted as usual. ``scratch`` has room for m.
    """
    if m < 32:
        for i in range(1, m):
            v = values[i]
            j = i
            while j > 0 and values[j - 1] > v:
                values[j] = values[j - 1]
                j -= 1
            values[j] = v
    else:
        bits = 5
        while (1 << bits) < m and bits < 16:
            bits += 1
        shift = np.uint64(64 - bits)
        counts = np.zeros((1 << bits) + 1, np.int32)
        for i in range(m):
            counts[np.int64(values[i] >> shift) + 1] += 1
        for b in range(1 << bits):
            counts[b + 1] += counts[b]
        for i in range(m):
            v = values[i]
            bucket = np.int64(v >> shift)
            scratch[counts[bucket]] = v
            counts[bucket] += 1
        start = 0
        for b in range(1 << bits):
            end = int(counts[b])
            if end - start > 48:
                scratch[start:end].sort()
            else:
                for i in range(start + 1, end):
                    v = scratch[i]
                    j = i
                    while j > start and scratch[j - 1] > v:
                        scratch[j] = scratch[j - 1]
                        j -= 1
                    scratch[j] = v
            start = end
        for i in range(m):
            values[i] = scratch[i]
    kept = min(m, 1)
    for i in range(1, m):
        if values[i] != values[kept - 1]:
            values[kept] = values[i]
            kept += 1
    return kept


@parallel_kernel(CHUNK)
def _sets(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    scheme: int,
    places: NDArray[np.int64],
    out: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> None:
    """Sets of texts first .. last-1 to ``out`` from ``places`` on, their sizes to ``sizes``, and their flags."""
    work = workspace(BUFFER)
    spare = np.empty(BUFFER, np.uint64)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        a, b, flag = shingle_text(work, length, scheme)
        if spare.size < a + b:
            spare = np.empty(2 * (a + b), np.uint64)
        m = sort_unique(work.hashes, a + b, spare)
        for k in range(m):
            out[places[i] + k] = work.hashes[k]
        sizes[i] = m
        flags[i] = flag


@parallel_kernel(CHUNK)
def _counts(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    scheme: int,
    distinct: bool,
    counts: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> None:
    work = workspace(BUFFER)
    spare = np.empty(BUFFER, np.uint64)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        a, b, flag = shingle_text(work, length, scheme)
        counts[i] = a + b
        if distinct:
            if spare.size < a + b:
                spare = np.empty(2 * (a + b), np.uint64)
            counts[i] = sort_unique(work.hashes, a + b, spare)
        flags[i] = flag


@kernel
def _compact(hashes: NDArray[np.uint64], places: NDArray[np.int64], indptr: NDArray[np.int64]) -> None:
    """Close the gaps that dropped repeats left; runs forward, where nothing yet to be moved can be overwritten."""
    for i in range(indptr.size - 1):
        shift = places[i] - indptr[i]
        if shift > 0:
            for k in range(indptr[i], indptr[i + 1]):
                hashes[k] = hashes[k + shift]


@parallel_kernel(CHUNK)
def _text_hashes(
    first: int, last: int, addresses: NDArray[np.uint64], lengths: NDArray[np.int64], out: NDArray[np.uint64]
) -> None:
    work = workspace(BUFFER)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        a, b = hash_text(work.buffer, length)
        out[i, 0] = a
        out[i, 1] = b


def scheme_number(shingles: Shingling) -> int:
    """Place of a scheme in :data:`SHINGLINGS`, by which kernels know it.

    Raises
    ------
    ValueError
        If there is no such scheme.
    """
    if shingles not in SHINGLINGS:
        raise ValueError(f"shingles must be one of {', '.join(SHINGLINGS)}, not {shingles!r}")
    return SHINGLINGS.index(shingles)


def sets_of(
    texts: Texts, shingles: Shingling = "w3c5"
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]:
    """The set of shingle hashes of every text.

    Texts are gone through twice where the count of their shingles is not known, so that memory holds the result alone.

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
        If there is no such scheme.
    """
    scheme = scheme_number(shingles)
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    n = len(texts)
    places = np.zeros(n + 1, np.int64)
    indptr = np.zeros(n + 1, np.int64)
    flags = np.empty(n, np.uint8)
    _counts(n, addresses, lengths, scheme, False, places[1:], flags)
    np.cumsum(places, out=places)
    hashes = room_for_hashes(int(places[-1]))
    _sets(n, addresses, lengths, scheme, places, hashes, indptr[1:], flags)
    np.cumsum(indptr, out=indptr)
    _compact(hashes, places, indptr)
    # A copy only where repeats took up much; otherwise their room stays behind the array.
    hashes = hashes[: indptr[-1]].copy() if indptr[-1] < 0.9 * hashes.size else hashes[: indptr[-1]]
    return hashes, indptr, flags


def counts_of(texts: Texts, shingles: Shingling = "w3c5", distinct: bool = True) -> NDArray[np.int64]:
    """Number of shingles of every text, distinct ones or all: int64[n].

    Raises
    ------
    ValueError
        If there is no such scheme.
    """
    counts = np.empty(len(texts), np.int64)
    flags = np.empty(len(texts), np.uint8)
    scheme = scheme_number(shingles)
    _counts(len(texts), frozen(texts.addresses), frozen(texts.lengths), scheme, distinct, counts, flags)
    return counts


def hashes_of(texts: Texts) -> NDArray[np.uint64]:
    """128-bit hash of every normalised answer: uint64[n, 2]; see :func:`text_hashes`."""
    out = np.empty((len(texts), 2), np.uint64)
    _text_hashes(len(texts), frozen(texts.addresses), frozen(texts.lengths), out)
    return out


def shingle_sets(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]:
    """:func:`sets_of` texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout.
    """
    return sets_of(Texts.from_offsets(data, offsets))


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
    return hashes_of(Texts.from_offsets(data, offsets))
