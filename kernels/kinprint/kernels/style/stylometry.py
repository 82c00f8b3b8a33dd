"""Style vectors: what stays of a text when its topic is taken away, and how alike two such vectors are.

A text becomes 512 signed bytes in five families, each with its own range of the vector (:data:`SLICES`):

``characters``
    character 3-grams, case kept, that touch a word boundary or a mark. Affixes and punctuation carry style,
    the inside of long words carries topic (Sapkota et al. 2015, "Not all character n-grams are created
    equal").
``words``
    1-grams and 2-grams of masked words: a word of at most four code points stays, a longer one is replaced by
    length class, capitalisation and last two code points, a number by its length (text distortion: Stamatatos
    2018, "Masking topic-related information to enhance authorship attribution", with length in the place of a
    frequency list, so that no language needs one). Scripts without spaces give the one and two code points at
    both edges of every unbroken run, where particles and conjunctions stand.
``punctuation``
    2-grams to 4-grams over marks, line ends, list markers, headings, bold marks and emoji, every stretch of
    words collapsed into one symbol.
``edges``
    how the text opens (its first five tokens) and closes (its last two, and how its last line starts).
``rhythm``
    histograms of the lengths of words, clauses, sentences and lines in logarithmic classes; not hashed.

Features are hashed with signs into their family's range (Weinberger et al. 2009), weighted by the square root
of their relative frequency (the Hellinger transform, so that frequent topic words weigh less), and every
family is scaled to unit length and to 127. Relative frequencies and unit length keep the length of a text
from counting.

Vectors are compared as Cosine Delta: the cosine of the vectors after z-scoring each dimension over a corpus
(Smith and Aldridge 2011, "Improving authorship attribution: optimizing Burrows' Delta method"; Evert et al.
2017, "Understanding and explaining Delta measures for authorship attribution").

Text comes in Arrow's layout: ``data`` uint8[bytes] of valid UTF-8, and ``offsets`` int64[n + 1], which may
start above zero. Arrays may be read-only and are never read past their end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

import numpy as np
from kinprint.kernels.arrow import check_texts
from kinprint.kernels.jit import parallel_kernel, prange
from kinprint.kernels.unicode import (
    DIGIT,
    IGNORABLE,
    MARK,
    PROPS_BLOCKS,
    PROPS_INDEX,
    PUNCT,
    SPACE,
    SPACELESS,
    UPPER,
    WORD,
    code_class,
    decode,
    is_line_end,
    is_word_class,
)
from numba import njit
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

DIM: Final = 512
"""Length of a style vector."""
SCHEME: Final = "style512"
VERSION: Final = 1
FAMILIES: Final = ("characters", "words", "punctuation", "edges", "rhythm")
"""The families of features, in the order of their ranges."""
BOUNDS: Final = (0, 64, 128, 384, 448, 512)
"""Family ``f`` holds the dimensions from ``BOUNDS[f]`` up to ``BOUNDS[f + 1]``."""
SLICES: Final = {name: slice(BOUNDS[f], BOUNDS[f + 1]) for f, name in enumerate(FAMILIES)}
"""Range of each family in a vector."""
WINDOW: Final = 4096
"""Code points, from the start of a text, that style is read from; the closing always comes from the end."""
TAIL: Final = 256
"""Code points at the end of a text longer than :data:`WINDOW` in which its closing is read."""
SCALE: Final = 127.0
"""Length of one family in the quantised vector."""
PRIOR_COUNT: Final = 30
"""Corpora with fewer texts than this are scaled partly by the neutral prior (see :func:`scaler`)."""
FLOOR: Final = 0.25
"""Least deviation of a dimension, as a share of the neutral deviation of its family."""
TRAITS: Final = (
    "words_per_sentence",
    "code_points_per_word",
    "commas_per_100_words",
    "exclamation_marks_per_100_words",
    "question_marks_per_100_words",
    "em_dashes_per_100_words",
    "emoji_per_100_words",
    "list_items_per_100_words",
    "bold_spans_per_100_words",
    "headings_per_100_words",
    "uppercase_share",
    "type_token_ratio",
)
"""Names of the columns that :func:`traits` returns."""

# Kinds of token. Everything up to T_NUMBER is a word for counting.
T_WORD: Final = 0
T_SPACELESS: Final = 1
T_NUMBER: Final = 2
T_MARK: Final = 3
T_SYMBOL: Final = 4
T_ODD_SPACE: Final = 5
T_LINE: Final = 6
T_PARAGRAPH: Final = 7

# Flags of a token.
F_BEFORE: Final = 1
"""White space stands before the token (or the text starts)."""
F_AFTER: Final = 2
"""White space stands after the token (or the text ends)."""
F_TIGHT: Final = 4
"""A letter or digit follows at once."""

SHORT_WORD: Final = 4
OPENING: Final = 5
TTR_WORDS: Final = 100

_M1 = np.uint64(0x9E3779B97F4A7C15)
_M2 = np.uint64(0xBF58476D1CE4E5B9)
_M3 = np.uint64(0x94D049BB133111EB)
_S29 = np.uint64(29)
_S32 = np.uint64(32)
# Most text is ASCII, which has no marks and no ignorable code points.
_ASCII_CLASSES = (PROPS_BLOCKS[PROPS_INDEX[0]] & 15).astype(np.uint8)
# Scratch is allocated once for so many texts.
_CHUNK = 64
_KEYS = 4 * WINDOW + 64
_TABLE = 1 << 16
ATTACHED: Final = 9
"""Class, in what :func:`decode_window` returns, of a combining mark on a spaceless letter."""


class Stats(NamedTuple):
    """Sums over style vectors, exact in integers: merging in any order gives the same.

    count: texts summed; blank ones (zero vectors) are left out, since they say nothing of style.
    total: int64[512], sum of each dimension.
    squares: int64[512], sum of squares of each dimension.
    """

    count: np.int64  # type: ignore[assignment]  # shadows tuple.count, which nobody needs here
    total: NDArray[np.int64]
    squares: NDArray[np.int64]


@njit(inline="always")
def mix(h, x):  # type: ignore[no-untyped-def]
    """One step of a running 64-bit hash: ``h`` with ``x`` mixed in."""
    h = (h ^ np.uint64(x)) * _M1
    return h ^ (h >> _S29)


@njit(inline="always")
def finish(h):  # type: ignore[no-untyped-def]
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches bucket and sign."""
    h = (h ^ (h >> np.uint64(30))) * _M2
    h = (h ^ (h >> np.uint64(27))) * _M3
    return h ^ (h >> np.uint64(31))


@njit(inline="always")
def _is_sentence_end(cp):  # type: ignore[no-untyped-def]
    """Full stops, exclamation and question marks of the larger scripts, and the ellipsis."""
    if cp < 0x80:
        return cp == 0x2E or cp == 0x21 or cp == 0x3F
    return (
        cp == 0x3002  # ideographic full stop
        or cp == 0xFF01
        or cp == 0xFF1F
        or cp == 0xFF0E
        or cp == 0xFF61
        or cp == 0x2026
        or cp == 0x061F
        or cp == 0x06D4
        or cp == 0x0964  # danda
        or cp == 0x0965
        or cp == 0x0589
        or cp == 0x1362
        or cp == 0x104B
        or cp == 0x17D4
        or cp == 0x0F0D
    )


@njit(inline="always")
def half_octave(x):  # type: ignore[no-untyped-def]
    """Logarithmic class of x >= 1, two classes an octave: 1, 2, 3, 4-5, 6-7, 8-11, ..."""
    k = 0
    y = x
    while y >= 4:
        y >>= 1
        k += 2
    return k + y - 1


@njit(nogil=True, cache=True)
def decode_window(data, start, end, limit, cps, classes):  # type: ignore[no-untyped-def]
    """Decode up to ``limit`` code points of ``data[start:end]``; returns (their number, byte after the last).

    Leading white space and ignorable code points are left out, a combining mark on a spaceless letter gets a
    class of its own, and CR LF is read as LF.
    """
    n = 0
    i = start
    previous = np.uint8(WORD)
    while i < end and n < limit:
        if data[i] < 0x80:
            byte = data[i]
            i += 1
            c = _ASCII_CLASSES[byte]
            if (c == SPACE and n == 0) or (byte == 0x0D and i < end and data[i] == 0x0A):
                continue
            cps[n] = byte
            classes[n] = c
            previous = c
            n += 1
            continue
        cp, width = decode(data, i, end)
        i += width
        c = code_class(cp)
        if c == IGNORABLE or (c == SPACE and n == 0):
            continue
        if c == MARK and previous in (SPACELESS, ATTACHED):
            c = np.uint8(ATTACHED)
        cps[n] = cp
        classes[n] = c
        previous = c
        n += 1
    return n, i


@njit(nogil=True, cache=True)
def tokenise(cps, classes, n, kinds, keys, masks, lengths, marks, flags):  # type: ignore[no-untyped-def]
    """Tokens of ``n`` code points; returns their number (at most ``n``).

    Per token: kind, hash of the token as written, hash of its mask, length in code points (line ends for
    lines), first code point and flags. White space at the end of the text gives no token.
    """
    k = 0
    i = 0
    space = F_BEFORE
    while n > 0 and classes[n - 1] == SPACE:
        n -= 1
    while i < n:
        cp = np.int64(cps[i])
        c = classes[i]
        if c == SPACE:
            j = i
            lines = 0
            indent = 0
            while j < n and classes[j] == SPACE:
                if is_line_end(cps[j]):
                    lines += 1
                    indent = 0
                else:
                    indent += 1
                j += 1
            if lines > 0:
                kinds[k] = T_LINE if lines == 1 else T_PARAGRAPH
                key = mix(mix(np.uint64(500), min(lines, 3)), min(3, (indent + 1) >> 1))
                keys[k] = key
                masks[k] = key
                lengths[k] = lines
                marks[k] = 0x0A
                flags[k] = 0
                k += 1
            else:
                for q in range(i, j):
                    if cps[q] != 0x20:
                        key = mix(np.uint64(700), cps[q])
                        kinds[k] = T_ODD_SPACE
                        keys[k] = key
                        masks[k] = key
                        lengths[k] = 1
                        marks[k] = cps[q]
                        flags[k] = 0
                        k += 1
            space = F_BEFORE
            i = j
            continue
        flag = space
        space = 0
        if c == SPACELESS:
            key = mix(np.uint64(200), cp)
            kinds[k] = T_SPACELESS
            j = i + 1
            while j < n and classes[j] == ATTACHED:
                key = mix(key, cps[j])
                j += 1
            length = j - i
        elif is_word_class(c):
            j = i
            key = np.uint64(100)
            length = 0
            upper = 0
            digits = 0
            last = np.int64(0)
            before_last = np.int64(0)
            while j < n:
                d = classes[j]
                if is_word_class(d):
                    upper += d == UPPER
                    digits += d == DIGIT
                elif not (
                    (cps[j] == 0x27 or cps[j] == 0x2019)
                    and j > i
                    and j + 1 < n
                    and (classes[j + 1] == WORD or classes[j + 1] == UPPER)
                ):
                    break
                key = mix(key, cps[j])
                before_last = last
                last = np.int64(cps[j])
                length += 1
                j += 1
            mask = key
            kinds[k] = T_WORD
            if digits == length:
                kinds[k] = T_NUMBER
                mask = mix(np.uint64(300), min(length, 5))
            elif length > SHORT_WORD:
                if upper == 0:
                    shape = 0
                elif upper == 1 and c == UPPER:
                    shape = 1
                elif upper == length:
                    shape = 2
                else:
                    shape = 3
                if length <= 6:
                    size = 0
                elif length <= 8:
                    size = 1
                elif length <= 11:
                    size = 2
                else:
                    size = 3
                mask = mix(mix(mix(np.uint64(400), size * 4 + shape), before_last), last)
            masks[k] = mask
        else:
            kinds[k] = T_MARK if c == PUNCT else T_SYMBOL
            j = i + 1
            while j < n and cps[j] == cp:
                j += 1
            length = j - i
            key = mix(mix(np.uint64(600), cp), min(length, 4))
        if j >= n or classes[j] == SPACE:
            flag |= F_AFTER
        elif is_word_class(classes[j]):
            flag |= F_TIGHT
        keys[k] = key
        if kinds[k] == T_SPACELESS:
            masks[k] = key
        elif kinds[k] == T_MARK or kinds[k] == T_SYMBOL:
            masks[k] = mix(key, 1 + (flag & (F_BEFORE | F_AFTER)))
        lengths[k] = length
        marks[k] = cp
        flags[k] = flag
        k += 1
        i = j
    return k


@njit(nogil=True, cache=True)
def _emit_characters(cps, classes, n, out):  # type: ignore[no-untyped-def]
    """Character 3-grams that hold a letter's neighbour other than a letter; returns their number.

    A run of white space counts as one character: a line end if it holds one, else its first code point.
    Digits count as ``0``. The ends of the text count as line ends. No 3-gram holds a spaceless letter.
    """
    m = 0
    a = np.int64(0)
    b = np.int64(0x0A)
    kind_a = 3  # 0 other, 1 letter or digit, 2 spaceless, 3 nothing
    kind_b = 0
    i = 0
    while n > 0 and classes[n - 1] == SPACE:
        n -= 1
    while i <= n:
        kind = 0
        cp = np.int64(0x0A)
        if i < n:
            cp = np.int64(cps[i])
            c = classes[i]
            if c == SPACE:
                while i + 1 < n and classes[i + 1] == SPACE:
                    if is_line_end(cps[i]):
                        cp = np.int64(0x0A)
                    i += 1
                if is_line_end(cps[i]):
                    cp = np.int64(0x0A)
            elif c in (SPACELESS, ATTACHED):
                kind = 2
            elif is_word_class(c):
                kind = 1
                if c == DIGIT:
                    cp = np.int64(0x30)
        i += 1
        if kind_a < 2 and kind_b < 2 and kind < 2 and kind_a + kind_b + kind < 3:
            out[m] = finish(mix(mix(mix(np.uint64(11), a), b), cp))
            m += 1
        a = b
        kind_a = kind_b
        b = cp
        kind_b = kind
    return m


@njit(nogil=True, cache=True)
def _emit_words(kinds, masks, flags, k, out):  # type: ignore[no-untyped-def]
    """Masked word 1-grams and 2-grams, and edges of spaceless runs; returns their number."""
    m = 0
    previous = np.uint64(1)
    for i in range(k):
        kind = kinds[i]
        if kind in (T_WORD, T_NUMBER):
            out[m] = finish(mix(np.uint64(21), masks[i]))
            out[m + 1] = finish(mix(mix(np.uint64(22), previous), masks[i]))
            m += 2
            previous = masks[i]
        elif kind == T_SPACELESS:
            first = i == 0 or kinds[i - 1] != T_SPACELESS or flags[i] & F_BEFORE
            last = i + 1 == k or kinds[i + 1] != T_SPACELESS or flags[i] & F_AFTER
            if first:
                out[m] = finish(mix(np.uint64(23), masks[i]))
                m += 1
                if not last:
                    out[m] = finish(mix(mix(np.uint64(24), masks[i]), masks[i + 1]))
                    m += 1
            if last:
                out[m] = finish(mix(np.uint64(25), masks[i]))
                m += 1
                if not first:
                    out[m] = finish(mix(mix(np.uint64(26), masks[i - 1]), masks[i]))
                    m += 1
            previous = np.uint64(1)
        elif kind != T_ODD_SPACE:
            previous = np.uint64(1)
    return m


@njit(nogil=True, cache=True)
def _emit_punctuation(kinds, masks, k, out):  # type: ignore[no-untyped-def]
    """2-grams to 4-grams of marks, words between them collapsed, and each symbol; returns their number.

    A number opens a symbol of its own where no word stands before it (``1.`` of a list).
    """
    m = 0
    s1 = np.uint64(1)
    s2 = np.uint64(1)
    s3 = np.uint64(1)
    run = False
    for i in range(k + 1):
        symbol = np.uint64(2)
        if i < k:
            kind = kinds[i]
            if kind <= T_NUMBER:
                if run:
                    continue
                symbol = np.uint64(31) if kind == T_NUMBER else np.uint64(21)
                run = kind != T_NUMBER or (i + 1 < k and kinds[i + 1] <= T_NUMBER)
            else:
                run = False
                symbol = masks[i]
                if kind == T_SYMBOL:
                    out[m] = finish(mix(np.uint64(35), symbol))
                    m += 1
                    symbol = np.uint64(41)
        out[m] = finish(mix(mix(np.uint64(32), s1), symbol))
        out[m + 1] = finish(mix(mix(mix(np.uint64(33), s2), s1), symbol))
        out[m + 2] = finish(mix(mix(mix(mix(np.uint64(34), s3), s2), s1), symbol))
        m += 3
        s3 = s2
        s2 = s1
        s1 = symbol
    return m


@njit(nogil=True, cache=True)
def _emit_opening(keys, masks, k, out, m):  # type: ignore[no-untyped-def]
    h = np.uint64(61)
    for i in range(min(OPENING, k)):
        h = mix(h, keys[i])
        out[m] = finish(h)
        out[m + 1] = finish(mix(np.uint64(63), masks[i]))
        m += 2
    return m


@njit(nogil=True, cache=True)
def _emit_closing(kinds, masks, k, out, m):  # type: ignore[no-untyped-def]
    if k == 0:
        return m
    last = masks[k - 1]
    out[m] = finish(mix(np.uint64(64), last))
    m += 1
    if k > 1:
        out[m] = finish(mix(mix(np.uint64(65), masks[k - 2]), last))
        m += 1
    i = k - 1
    while i > 0 and kinds[i - 1] < T_LINE:
        i -= 1
    out[m] = finish(mix(np.uint64(66), masks[i]))
    return m + 1


@njit(nogil=True, cache=True)
def count_lengths(kinds, lengths, marks, flags, k, counts):  # type: ignore[no-untyped-def]
    """Histograms into ``counts`` int64[64]: words 16, clauses 14, sentences 16, lines 18."""
    counts[:] = 0
    clause = 0
    sentence = 0
    line = 0
    for i in range(k + 1):
        kind = kinds[i] if i < k else T_PARAGRAPH
        if kind <= T_NUMBER:
            if kind != T_SPACELESS:
                counts[min(lengths[i], 16) - 1] += 1
            clause += 1
            sentence += 1
            line += 1
            continue
        if kind == T_ODD_SPACE:
            continue
        if clause > 0:
            counts[16 + min(half_octave(clause), 13)] += 1
            clause = 0
        ends = kind >= T_LINE
        if kind == T_MARK and _is_sentence_end(marks[i]) and not flags[i] & F_TIGHT:
            ends = True
        if ends and sentence > 0:
            counts[30 + min(half_octave(sentence), 15)] += 1
            sentence = 0
        if kind >= T_LINE and line > 0:
            counts[46 + min(half_octave(line), 17)] += 1
            line = 0


@njit(nogil=True, cache=True)
def _hash_family(keys, m, low, high, table, tally, used, sums, out):  # type: ignore[no-untyped-def]
    """Count ``m`` features, hash them with signs into ``out[low:high]``, scale to unit length times SCALE.

    Weights are square roots in fixed point (8 bits), so that sums are exact and do not depend on the order.
    ``tally`` must be all zero and is left so.
    """
    if m == 0:
        return
    bits = 4
    while (1 << bits) < 2 * m:
        bits += 1
    top = (1 << bits) - 1
    distinct = 0
    for q in range(m):
        h = keys[q]
        s = np.int64(h & np.uint64(top))
        while tally[s] != 0 and table[s] != h:
            s = (s + 1) & top
        if tally[s] == 0:
            table[s] = h
            used[distinct] = s
            distinct += 1
        tally[s] += 1
    width = high - low
    sums[:width] = 0
    for q in range(distinct):
        s = used[q]
        h = table[s]
        weight = np.int64(256)
        if tally[s] > 1:
            weight = np.int64(np.rint(np.sqrt(np.float64(tally[s])) * 256.0))
        tally[s] = 0
        bucket = np.int64(((h >> _S32) * np.uint64(width)) >> _S32)
        if (h >> _S29) & np.uint64(1):
            weight = -weight
        sums[bucket] += weight
    squares = np.int64(0)
    for j in range(width):
        squares += sums[j] * sums[j]
    if squares == 0:
        return
    norm = np.sqrt(np.float64(squares))
    for j in range(width):
        out[low + j] = np.int8(np.rint(np.float64(sums[j]) * SCALE / norm))


@njit(nogil=True, cache=True)
def _histogram(counts, start, end, low, out):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for j in range(start, end):
        total += counts[j]
    if total == 0:
        return
    for j in range(start, end):
        out[low + j] = np.int8(np.rint(SCALE * np.sqrt(np.float64(counts[j]) / np.float64(total))))


@njit(nogil=True, cache=True)
def trimmed_end(data, start, end):  # type: ignore[no-untyped-def]
    """``end`` moved back before white space and ignorable code points."""
    while end > start:
        i = end - 1
        while i > start and data[i] & 0xC0 == 0x80:
            i -= 1
        cp, _ = decode(data, i, end)
        c = code_class(cp)
        if c != SPACE and c != IGNORABLE:
            break
        end = i
    return end


@njit(nogil=True, cache=True)
def tail_start(data, start, end):  # type: ignore[no-untyped-def]
    """Byte at which the last TAIL code points of ``data[start:end]`` begin."""
    i = end
    seen = 0
    while i > start and seen < TAIL:
        i -= 1
        if data[i] & 0xC0 != 0x80:
            seen += 1
    return i


@njit(nogil=True, cache=True)
def _style_vectors_of(data, offsets, low, high, out):  # type: ignore[no-untyped-def]
    """Rows ``low`` to ``high`` of the result."""
    cps = np.empty(WINDOW, np.int32)
    classes = np.empty(WINDOW, np.uint8)
    kinds = np.empty(WINDOW, np.uint8)
    keys = np.empty(WINDOW, np.uint64)
    masks = np.empty(WINDOW, np.uint64)
    lengths = np.empty(WINDOW, np.int32)
    marks = np.empty(WINDOW, np.int32)
    flags = np.empty(WINDOW, np.uint8)
    features = np.empty(_KEYS, np.uint64)
    table = np.empty(_TABLE, np.uint64)
    tally = np.zeros(_TABLE, np.int32)
    used = np.empty(_KEYS, np.int64)
    sums = np.empty(DIM, np.int64)
    counts = np.empty(64, np.int64)
    for t in range(low, high):
        row = out[t]
        start = offsets[t]
        end = trimmed_end(data, start, offsets[t + 1])
        size, stop = decode_window(data, start, end, WINDOW, cps, classes)
        k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
        if k == 0:
            continue
        m = _emit_characters(cps, classes, size, features)
        _hash_family(features, m, BOUNDS[0], BOUNDS[1], table, tally, used, sums, row)
        m = _emit_words(kinds, masks, flags, k, features)
        _hash_family(features, m, BOUNDS[1], BOUNDS[2], table, tally, used, sums, row)
        m = _emit_punctuation(kinds, masks, k, features)
        _hash_family(features, m, BOUNDS[2], BOUNDS[3], table, tally, used, sums, row)
        count_lengths(kinds, lengths, marks, flags, k, counts)
        _histogram(counts, 0, 16, BOUNDS[4], row)
        _histogram(counts, 16, 30, BOUNDS[4], row)
        _histogram(counts, 30, 46, BOUNDS[4], row)
        _histogram(counts, 46, 64, BOUNDS[4], row)
        m = _emit_opening(keys, masks, k, features, 0)
        if stop < end:
            size, stop = decode_window(data, tail_start(data, start, end), end, TAIL, cps, classes)
            k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
        m = _emit_closing(kinds, masks, k, features, m)
        _hash_family(features, m, BOUNDS[3], BOUNDS[4], table, tally, used, sums, row)


@parallel_kernel
def _style_vectors(data, offsets):  # type: ignore[no-untyped-def]
    n = offsets.size - 1
    out = np.zeros((n, DIM), np.int8)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        _style_vectors_of(data, offsets, chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), out)
    return out


def _frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Read-only view: Numba compiles writable and read-only arrays apart, so kernels see one kind only."""
    view = array.view()
    view.flags.writeable = False
    return view


def _check_vectors(vectors: NDArray[np.int8]) -> None:
    if vectors.dtype != np.int8 or vectors.ndim != 2 or vectors.shape[1] != DIM or not vectors.flags.c_contiguous:
        raise ValueError(f"vectors must be a contiguous int8[n, {DIM}]")


def _check_scaled(query: NDArray[np.int8], mean: NDArray[np.float32], inv_std: NDArray[np.float32]) -> None:
    if query.dtype != np.int8 or query.shape != (DIM,) or not query.flags.c_contiguous:
        raise ValueError(f"a query must be a contiguous int8[{DIM}]")
    for name, array in (("mean", mean), ("inv_std", inv_std)):
        if array.dtype != np.float32 or array.shape != (DIM,) or not array.flags.c_contiguous:
            raise ValueError(f"{name} must be a contiguous float32[{DIM}]")


def style_vectors(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int8]:
    """Style vectors of ``n`` texts.

    :param data: uint8[bytes], UTF-8.
    :param offsets: int64[n + 1], text ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    :returns: int8[n, 512]; a blank text (only white space and ignorable code points) gives zeros.
    :raises ValueError: on other dtypes or dimensions, or when offsets fall or leave ``data``.

    Style is read from the first :data:`WINDOW` code points, white space and ignorable code points at both
    ends not counted; the closing of a longer text from its last :data:`TAIL`. The cost of a text is thereby
    bounded.
    """
    check_texts(data, offsets)
    result: NDArray[np.int8] = _style_vectors(_frozen(data), _frozen(offsets))
    return result


@njit(nogil=True, cache=True)
def _is_blank(vector):  # type: ignore[no-untyped-def]
    seen = np.int32(0)
    for j in range(vector.size):
        seen |= np.int32(vector[j])
    return seen == 0


@njit(nogil=True, cache=True)
def _stats(vectors):  # type: ignore[no-untyped-def]
    count = np.int64(0)
    total = np.zeros(DIM, np.int64)
    squares = np.zeros(DIM, np.int64)
    for i in range(vectors.shape[0]):
        row = vectors[i]
        if _is_blank(row):
            continue
        count += 1
        for j in range(DIM):
            v = np.int64(row[j])
            total[j] += v
            squares[j] += v * v
    return count, total, squares


def stats(vectors: NDArray[np.int8]) -> Stats:
    """Sums over the rows of ``vectors`` int8[n, 512], blank ones left out.

    :raises ValueError: on another dtype or shape.
    """
    _check_vectors(vectors)
    count, total, squares = _stats(_frozen(vectors))
    return Stats(np.int64(count), total, squares)


def merge(a: Stats, b: Stats) -> Stats:
    """Sums over the texts of ``a`` and of ``b``."""
    return Stats(np.int64(a.count + b.count), a.total + b.total, a.squares + b.squares)


def _neutral_deviation() -> NDArray[np.float64]:
    """Deviation of each dimension when nothing is known: length SCALE spread evenly over a family's range."""
    out = np.empty(DIM, np.float64)
    for low, high in pairwise(BOUNDS):
        out[low:high] = SCALE / np.sqrt(high - low)
    return out


def scaler(stats: Stats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and inverse deviation by which :func:`scores` puts vectors on one scale.

    :returns: ``(mean float32[512], inv_std float32[512])``.

    With ``n`` texts and ``w = min(1, n / 30)`` the mean is ``w`` times theirs and the variance ``w`` times
    theirs plus ``1 - w`` times the neutral one (a family of length 127 spread evenly over its range, mean
    zero). So a score exists from the first text on, turns from a plain cosine into Cosine Delta as texts
    come, and from 30 texts on depends on them alone. No deviation is taken below a quarter of the neutral
    one, so that a feature which hardly varies in a corpus cannot rule the score of the one text that shows
    it.
    """
    neutral = _neutral_deviation()
    n = float(stats.count)
    weight = min(1.0, n / PRIOR_COUNT)
    mean = stats.total / max(n, 1.0)
    variance = np.maximum(stats.squares / max(n, 1.0) - mean * mean, 0.0)
    deviation = np.sqrt(weight * variance + (1.0 - weight) * neutral * neutral)
    deviation = np.maximum(deviation, FLOOR * neutral)
    return (weight * mean).astype(np.float32), (1.0 / deviation).astype(np.float32)


@njit(nogil=True, cache=True)
def _standardise(vector, mean, inv_std):  # type: ignore[no-untyped-def]
    """z-scored vector of unit length, float32[512]; zeros for a blank one."""
    z = np.zeros(DIM, np.float32)
    if _is_blank(vector):
        return z
    norm = 0.0
    for j in range(DIM):
        z[j] = (np.float32(vector[j]) - mean[j]) * inv_std[j]
        norm += np.float64(z[j]) * np.float64(z[j])
    if norm > 0.0:
        scale = np.float32(1.0 / np.sqrt(norm))
        for j in range(DIM):
            z[j] *= scale
    return z


# Sums may be regrouped so that they run in vector registers; NaN and infinity keep their meaning.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _row_score(z, row, mean, inv_std):  # type: ignore[no-untyped-def]
    dot = np.float32(0.0)
    norm = np.float32(0.0)
    seen = np.int32(0)
    for j in range(DIM):
        seen |= np.int32(row[j])
        v = (np.float32(row[j]) - mean[j]) * inv_std[j]
        dot += z[j] * v
        norm += v * v
    if seen == 0 or norm <= np.float32(0.0):
        return np.float32(0.0)
    return min(np.float32(1.0), max(np.float32(-1.0), dot / np.sqrt(norm)))


@parallel_kernel
def _scores(query, vectors, mean, inv_std):  # type: ignore[no-untyped-def]
    z = _standardise(query, mean, inv_std)
    n = vectors.shape[0]
    out = np.empty(n, np.float32)
    for i in prange(n):
        out[i] = _row_score(z, vectors[i], mean, inv_std)
    return out


@parallel_kernel
def _scores_at(query, vectors, rows, mean, inv_std):  # type: ignore[no-untyped-def]
    z = _standardise(query, mean, inv_std)
    n = rows.size
    out = np.empty(n, np.float32)
    for i in prange(n):
        out[i] = _row_score(z, vectors[rows[i]], mean, inv_std)
    return out


def scores(
    query: NDArray[np.int8],
    vectors: NDArray[np.int8],
    mean: NDArray[np.float32],
    inv_std: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Cosine Delta of ``query`` int8[512] against every row of ``vectors`` int8[n, 512].

    :param mean: float32[512], from :func:`scaler`, as is ``inv_std``.
    :returns: float32[n] in [-1, 1]; zero wherever the query or the row is blank.
    :raises ValueError: on another dtype or shape.
    """
    _check_scaled(query, mean, inv_std)
    _check_vectors(vectors)
    result: NDArray[np.float32] = _scores(_frozen(query), _frozen(vectors), _frozen(mean), _frozen(inv_std))
    return result


def scores_at(
    query: NDArray[np.int8],
    vectors: NDArray[np.int8],
    rows: NDArray[np.int64],
    mean: NDArray[np.float32],
    inv_std: NDArray[np.float32],
) -> NDArray[np.float32]:
    """:func:`scores` of the rows numbered ``rows`` int64[r] only, float32[r].

    :raises ValueError: on another dtype or shape.
    :raises IndexError: when a row number is not in [0, n).
    """
    _check_scaled(query, mean, inv_std)
    _check_vectors(vectors)
    if rows.dtype != np.int64 or rows.ndim != 1 or not rows.flags.c_contiguous:
        raise ValueError("rows must be a contiguous int64[r]")
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= vectors.shape[0]):
        raise IndexError(f"row numbers must lie in [0, {vectors.shape[0]})")
    result: NDArray[np.float32] = _scores_at(
        _frozen(query), _frozen(vectors), _frozen(rows), _frozen(mean), _frozen(inv_std)
    )
    return result


def contributions(
    query: NDArray[np.int8],
    other: NDArray[np.int8],
    mean: NDArray[np.float32],
    inv_std: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Share of each family in the score of ``query`` int8[512] against ``other`` int8[512].

    :returns: float32[5] in the order of :data:`FAMILIES`; they sum to the score, up to rounding.
    :raises ValueError: on another dtype or shape.
    """
    _check_scaled(query, mean, inv_std)
    _check_scaled(other, mean, inv_std)
    scale = _frozen(mean), _frozen(inv_std)
    product = _standardise(_frozen(query), *scale) * _standardise(_frozen(other), *scale)
    return np.array(
        [product[BOUNDS[f] : BOUNDS[f + 1]].sum(dtype=np.float64) for f in range(len(FAMILIES))], np.float32
    )


@njit(inline="always")
def _is_comma(cp):  # type: ignore[no-untyped-def]
    return cp == 0x2C or cp == 0xFF0C or cp == 0x3001 or cp == 0x060C or cp == 0xFF64


@njit(inline="always")
def _is_bullet(cp):  # type: ignore[no-untyped-def]
    if cp < 0x80:
        return cp == 0x2D or cp == 0x2A or cp == 0x2B
    return cp == 0x2013 or cp == 0x2022 or cp == 0x2023 or cp == 0x25CF


@njit(nogil=True, cache=True)
def _text_traits(  # type: ignore[no-untyped-def]
    cps, classes, size, kinds, keys, lengths, marks, flags, k, seen, out
):
    words = 0
    spelled = 0
    letters = 0
    sentences = 0
    sentence = 0
    commas = 0
    exclamations = 0
    questions = 0
    dashes = 0
    emoji = 0
    items = 0
    bold = 0
    headings = 0
    distinct = 0
    for i in range(k + 1):
        kind = kinds[i] if i < k else T_PARAGRAPH
        if kind <= T_NUMBER:
            sentence += 1
            if kind == T_WORD:
                spelled += 1
                letters += lengths[i]
            if words < TTR_WORDS:
                new = True
                for q in range(distinct):
                    if seen[q] == keys[i]:
                        new = False
                        break
                if new:
                    seen[distinct] = keys[i]
                    distinct += 1
            words += 1
        ends = kind >= T_LINE
        if kind == T_MARK:
            cp = marks[i]
            length = lengths[i]
            if _is_sentence_end(cp) and not flags[i] & F_TIGHT:
                ends = True
            if _is_comma(cp):
                commas += length
            elif cp == 0x21 or cp == 0xFF01:
                exclamations += length
            elif cp == 0x3F or cp == 0xFF1F or cp == 0x061F:
                questions += length
            elif cp == 0x2014:
                dashes += length
            elif (cp == 0x2A or cp == 0x5F) and (length == 2 or length == 3):
                bold += 1
        elif kind == T_SYMBOL and marks[i] >= 0x2600:
            emoji += lengths[i]
        if ends and sentence > 0:
            sentences += 1
            sentence = 0
        if i < k and (i == 0 or kinds[i - 1] >= T_LINE):
            if kind in (T_MARK, T_SYMBOL):
                if flags[i] & F_AFTER and i + 1 < k:
                    if marks[i] == 0x23 and lengths[i] <= 6:
                        headings += 1
                    elif lengths[i] == 1 and _is_bullet(marks[i]):
                        items += 1
            elif (
                kind == T_NUMBER
                and i + 2 < k
                and kinds[i + 1] == T_MARK
                and (marks[i + 1] == 0x2E or marks[i + 1] == 0x29 or marks[i + 1] == 0x3001)
                and lengths[i + 1] == 1
                and not flags[i] & F_AFTER
                and (flags[i + 1] & F_AFTER or marks[i + 1] == 0x3001)
            ):
                items += 1
    upper = 0
    cased = 0
    for i in range(size):
        c = classes[i]
        upper += c == UPPER
        cased += c in (UPPER, WORD)
    per = np.float32(100.0) / np.float32(words) if words > 0 else np.float32(0.0)
    out[0] = np.float32(words) / np.float32(sentences) if sentences > 0 else np.float32(0.0)
    out[1] = np.float32(letters) / np.float32(spelled) if spelled > 0 else np.float32(0.0)
    out[2] = np.float32(commas) * per
    out[3] = np.float32(exclamations) * per
    out[4] = np.float32(questions) * per
    out[5] = np.float32(dashes) * per
    out[6] = np.float32(emoji) * per
    out[7] = np.float32(items) * per
    out[8] = np.float32(bold >> 1) * per
    out[9] = np.float32(headings) * per
    out[10] = np.float32(upper) / np.float32(cased) if cased > 0 else np.float32(0.0)
    out[11] = np.float32(distinct) / np.float32(min(words, TTR_WORDS)) if words > 0 else np.float32(0.0)


@njit(nogil=True, cache=True)
def _traits_of(data, offsets, low, high, out):  # type: ignore[no-untyped-def]
    """Rows ``low`` to ``high`` of the result."""
    cps = np.empty(WINDOW, np.int32)
    classes = np.empty(WINDOW, np.uint8)
    kinds = np.empty(WINDOW, np.uint8)
    keys = np.empty(WINDOW, np.uint64)
    masks = np.empty(WINDOW, np.uint64)
    lengths = np.empty(WINDOW, np.int32)
    marks = np.empty(WINDOW, np.int32)
    flags = np.empty(WINDOW, np.uint8)
    seen = np.empty(TTR_WORDS, np.uint64)
    for t in range(low, high):
        end = trimmed_end(data, offsets[t], offsets[t + 1])
        size, _ = decode_window(data, offsets[t], end, WINDOW, cps, classes)
        k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
        if k > 0:
            _text_traits(cps, classes, size, kinds, keys, lengths, marks, flags, k, seen, out[t])


@parallel_kernel
def _traits(data, offsets):  # type: ignore[no-untyped-def]
    n = offsets.size - 1
    out = np.zeros((n, len(TRAITS)), np.float32)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        _traits_of(data, offsets, chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), out)
    return out


def traits(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Plain measures of style for people to read, in the columns that :data:`TRAITS` names.

    :param data: uint8[bytes], UTF-8; ``offsets`` int64[n + 1]. :returns: float32[n, 12], taken over the first
    :data:`WINDOW` code points. A letter of a script without spaces
        counts as one word, except in ``code_points_per_word``, which is over words and not numbers.
        Exclamation and question marks count one by one. ``uppercase_share`` is over letters and other word
        characters that are not decimal digits; ``type_token_ratio`` over the first 100 words, so that length
        does not lower it. A measure without its denominator (a text without words), and every measure of a
        blank text, is zero.
    :raises ValueError: on other dtypes or dimensions, or when offsets fall or leave ``data``.
    """
    check_texts(data, offsets)
    result: NDArray[np.float32] = _traits(_frozen(data), _frozen(offsets))
    return result


def warm() -> None:
    """Compile every kernel here; writable and read-only arrays share the one compilation."""
    data = np.frombuffer(b"A word, 1. two!", np.uint8)
    offsets = np.array([0, data.size], np.int64)
    vectors = style_vectors(data, offsets)
    traits(data, offsets)
    mean, inv_std = scaler(stats(vectors))
    scores(vectors[0], vectors, mean, inv_std)
    scores_at(vectors[0], vectors, np.zeros(1, np.int64), mean, inv_std)
    contributions(vectors[0], vectors[0], mean, inv_std)
