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

One file: the families write to one vector, whose comparison is of the same version.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import check_texts, frozen
from kinprint.kernels.jit import kernel, parallel_kernel, regrouping_kernel
from kinprint.kernels.style.tokens import (
    ATTACHED,
    F_AFTER,
    F_BEFORE,
    T_LINE,
    T_NUMBER,
    T_ODD_SPACE,
    T_SPACELESS,
    T_SYMBOL,
    T_WORD,
    count_lengths,
    decode_window,
    finish,
    mix,
    tail_start,
    tokenise,
    trimmed_end,
)
from kinprint.kernels.style.tokens import TAIL as TAIL
from kinprint.kernels.style.tokens import WINDOW as WINDOW
from kinprint.kernels.style.traits import TRAITS as TRAITS
from kinprint.kernels.style.traits import traits as traits
from kinprint.kernels.unicode import DIGIT, SPACE, SPACELESS, is_line_end, is_word_class
from numpy.typing import NDArray

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
SCALE: Final = 127.0
"""Length of one family in the quantised vector."""
PRIOR_COUNT: Final = 30
"""Corpora with fewer texts than this are scaled partly by the neutral prior (see :func:`scaler`)."""
FLOOR: Final = 0.25
"""Least deviation of a dimension, as a share of the neutral deviation of its family."""
OPENING: Final = 5

# Scratch is allocated once for so many texts.
_CHUNK = 64
# Vectors that are compared sooner than a second thread is woken.
_ROWS = 4096
_KEYS = 4 * WINDOW + 64
_TABLE = 1 << 16


class Stats(NamedTuple):
    """Sums over style vectors, exact in integers: merging in any order gives the same.

    count: texts summed; blank ones (zero vectors) are left out, since they say nothing of style.
    total: int64[512], sum of each dimension.
    squares: int64[512], sum of squares of each dimension.
    """

    count: np.int64  # type: ignore[assignment]  # shadows tuple.count, which nobody needs here
    total: NDArray[np.int64]
    squares: NDArray[np.int64]


@kernel
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


@kernel
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


@kernel
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


@kernel
def _emit_opening(keys, masks, k, out, m):  # type: ignore[no-untyped-def]
    h = np.uint64(61)
    for i in range(min(OPENING, k)):
        h = mix(h, keys[i])
        out[m] = finish(h)
        out[m + 1] = finish(mix(np.uint64(63), masks[i]))
        m += 2
    return m


@kernel
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


@kernel
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
        bucket = np.int64(((h >> np.uint64(32)) * np.uint64(width)) >> np.uint64(32))
        if (h >> np.uint64(29)) & np.uint64(1):
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


@kernel
def _histogram(counts, start, end, low, out):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for j in range(start, end):
        total += counts[j]
    if total == 0:
        return
    for j in range(start, end):
        out[low + j] = np.int8(np.rint(SCALE * np.sqrt(np.float64(counts[j]) / np.float64(total))))


@parallel_kernel(_CHUNK)
def _style_vectors(low, high, data, offsets, out):  # type: ignore[no-untyped-def]
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
    out = np.zeros((offsets.size - 1, DIM), np.int8)
    _style_vectors(len(out), frozen(data), frozen(offsets), out)
    return out


@kernel
def _is_blank(vector):  # type: ignore[no-untyped-def]
    seen = np.int32(0)
    for j in range(vector.size):
        seen |= np.int32(vector[j])
    return seen == 0


@kernel
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
    count, total, squares = _stats(frozen(vectors))
    return Stats(np.int64(count), total, squares)


def merge(a: Stats, b: Stats) -> Stats:
    """Sums over the texts of ``a`` and of ``b``."""
    return Stats(np.int64(a.count + b.count), a.total + b.total, a.squares + b.squares)


def subtract(a: Stats, b: Stats) -> Stats:
    """Sums over the texts of ``a`` without those of ``b``, which are among them."""
    return Stats(np.int64(a.count - b.count), a.total - b.total, a.squares - b.squares)


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


@kernel
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


@regrouping_kernel
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


@parallel_kernel(_ROWS)
def _scores(low, high, z, vectors, mean, inv_std, out):  # type: ignore[no-untyped-def]
    for i in range(low, high):
        out[i] = _row_score(z, vectors[i], mean, inv_std)


@parallel_kernel(_ROWS)
def _scores_at(low, high, z, vectors, rows, mean, inv_std, out):  # type: ignore[no-untyped-def]
    for i in range(low, high):
        out[i] = _row_score(z, vectors[rows[i]], mean, inv_std)


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
    scale = frozen(mean), frozen(inv_std)
    z = _standardise(frozen(query), *scale)
    out = np.empty(len(vectors), np.float32)
    _scores(out.size, frozen(z), frozen(vectors), *scale, out)
    return out


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
    scale = frozen(mean), frozen(inv_std)
    z = _standardise(frozen(query), *scale)
    out = np.empty(rows.size, np.float32)
    _scores_at(out.size, frozen(z), frozen(vectors), frozen(rows), *scale, out)
    return out


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
    scale = frozen(mean), frozen(inv_std)
    product = _standardise(frozen(query), *scale) * _standardise(frozen(other), *scale)
    return np.array(
        [product[BOUNDS[f] : BOUNDS[f + 1]].sum(dtype=np.float64) for f in range(len(FAMILIES))], np.float32
    )
