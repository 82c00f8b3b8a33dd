"""Sparse features for telling authors apart: how a text is put together, counted in hashed ranges.

A text becomes one row of a compressed sparse matrix. Each family of features has its own range of columns
(:data:`SLICES`), so that families can be weighted, and left out, apart:

``characters``
    character 3-, 4- and 5-grams, case kept, digits as ``0``, a run of white space as one character. Where a letter of a
    script without spaces is in them: 1-, 2- and 3-grams.
``words``
    1-, 2- and 3-grams of words as written, with the marks and line ends between them.
``masked``
    2-, 3- and 4-grams in which a word longer than four code points is replaced by length class, capitalisation and
    last two code points (text distortion, Stamatatos 2018; see :mod:`kinprint.kernels.style.tokens` for the mask).
``punctuation``
    1- to 6-grams over marks, line ends, list markers, headings and emoji, words between them collapsed; and, a line at
    a time, what the line begins and ends with.
``edges``
    how the text opens (prefixes of its first eight tokens, as written and masked) and closes.
``rhythm``
    lengths of words, clauses, sentences and lines in logarithmic classes, and of the whole text; not hashed.

Features are hashed into their range without signs: collisions add up counts, which a linear classifier with more texts
than collisions bears well (Weinberger et al. 2009; Shi et al. 2009, "Hash kernels for structured data"). Values are
counts, so that they are exact; :func:`weigh` turns them into weights.

Text is read from its first :data:`WINDOW` code points, and its closing from the last :data:`TAIL` of them or, in a
longer text, of the text. What lies between counts only in the length class of the text. No case folding and no
normalisation: bring texts of different sources to one form before.

:mod:`kinprint.kernels.reference.authorship` is the same in plain Python.

One file: every family writes to the same row, and all are one version.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.style.tokens import (
    ATTACHED,
    T_LINE,
    T_NUMBER,
    T_ODD_SPACE,
    T_SPACELESS,
    T_SYMBOL,
    count_lengths,
    decode_window,
    finish,
    half_octave,
    mix,
    tail_start,
    tokenise,
    trimmed_end,
)
from kinprint.kernels.unicode import DIGIT, SPACE, SPACELESS, is_line_end
from numpy.typing import NDArray

SCHEME: Final = "authorship"
VERSION: Final = 1
"""Columns of two versions do not compare."""
FAMILIES: Final = ("characters", "words", "masked", "punctuation", "edges", "rhythm")
"""The families of features, in the order of their ranges."""
BITS: Final = (17, 17, 16, 15, 14, 8)
"""Each family has a range of so many bits."""
BOUNDS: Final = tuple(int(b) for b in np.cumsum([0, *(1 << bits for bits in BITS)]))
"""Family ``f`` holds the columns from ``BOUNDS[f]`` up to ``BOUNDS[f + 1]``."""
DIM: Final = BOUNDS[-1]
"""Number of columns."""
SLICES: Final = {name: slice(BOUNDS[f], BOUNDS[f + 1]) for f, name in enumerate(FAMILIES)}
"""Range of each family."""
WINDOW: Final = 16_384
"""Code points, from the start of a text, that features are read from."""
TAIL: Final = 256
"""Code points at the end of a text longer than :data:`WINDOW` in which its closing is read."""
OPENING: Final = 8
CLOSING: Final = 6
_SEED_LENGTHS = 64  # columns of the rhythm histograms; those of whole-text measures follow
_CHUNK = 16
_PER_CODE_POINT = 14
_SPARE = 512
_BLOCK = 1 << 21
_BOUNDS = np.array(BOUNDS, np.int64)
_SHIFTS = np.array([64 - b for b in BITS], np.uint64)


class Features(NamedTuple):
    """Compressed sparse rows, one a text; a row's columns are in order of first occurrence, each once."""

    indptr: NDArray[np.int64]
    """int64[n + 1]."""
    indices: NDArray[np.int32]
    """int32[nnz], columns in ``0 .. DIM - 1``; families in their order."""
    data: NDArray[np.float32]
    """float32[nnz], counts or weights."""

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Some of the rows, in the order of ``rows`` int64[r]."""
        if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= len(self.indptr) - 1):
            raise IndexError(f"row numbers must lie in [0, {len(self.indptr) - 1})")
        return Features(*_take(frozen(self.indptr), frozen(self.indices), frozen(self.data), frozen(rows)))


@kernel
def _characters(cps, classes, n, out):  # type: ignore[no-untyped-def]
    """Hashes of character n-grams; returns their number, at most 3 for each of ``n + 2`` places."""
    while n > 0 and classes[n - 1] == SPACE:
        n -= 1
    m = 0
    h1 = h2 = h3 = h4 = np.uint64(0)  # hashes of the grams of 1 .. 4 code points that end at the last place
    since = np.int64(9)  # places since a letter of a script without spaces
    places = np.int64(0)
    i = np.int64(-1)
    while i <= n:
        cp = np.int64(0x0A)
        since += 1
        if 0 <= i < n:
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
                since = np.int64(0)
            elif c == DIGIT:
                cp = np.int64(0x30)
        i += 1
        places += 1
        h5 = mix(h4, cp)
        h4 = mix(h3, cp)
        h3 = mix(h2, cp)
        h2 = mix(h1, cp)
        h1 = mix(np.uint64(11), cp)
        if since < 3:
            if since == 0:
                out[m] = h1
                m += 1
            if since < 2 and places > 1:
                out[m] = h2
                m += 1
        if places > 2:
            out[m] = h3
            m += 1
        if since > 3 and places > 3:
            out[m] = h4
            m += 1
        if since > 4 and places > 4:
            out[m] = h5
            m += 1
    return m


@kernel
def _words(kinds, keys, k, out):  # type: ignore[no-untyped-def]
    """Hashes of 1-, 2- and 3-grams of tokens as written; returns their number."""
    m = 0
    a = b = np.uint64(1)
    for i in range(k):
        if kinds[i] == T_ODD_SPACE:
            continue
        x = keys[i]
        if kinds[i] <= T_NUMBER:
            out[m] = mix(np.uint64(21), x)
            m += 1
        out[m] = mix(mix(np.uint64(22), b), x)
        out[m + 1] = mix(mix(mix(np.uint64(23), a), b), x)
        m += 2
        a = b
        b = x
    return m


@kernel
def _masked(kinds, masks, k, out):  # type: ignore[no-untyped-def]
    """Hashes of 2-, 3- and 4-grams of masked tokens; returns their number."""
    m = 0
    a = b = c = np.uint64(1)
    for i in range(k):
        if kinds[i] == T_ODD_SPACE:
            continue
        x = masks[i]
        h = mix(mix(np.uint64(31), x), c)
        out[m] = h
        h = mix(h, b)
        out[m + 1] = h
        out[m + 2] = mix(h, a)
        m += 3
        a = b
        b = c
        c = x
    return m


@kernel
def _punctuation(kinds, masks, k, out):  # type: ignore[no-untyped-def]
    """Hashes of 1- to 6-grams of marks, and of the beginning and end of every line; returns their number.

    A number opens a symbol of its own where no word stands before it (``1.`` of a list).
    """
    m = 0
    s1 = s2 = s3 = s4 = s5 = np.uint64(1)
    run = False
    begin = 0
    for i in range(k + 1):
        symbol = np.uint64(2)
        if i == k or kinds[i] >= T_LINE:
            if i > begin:
                out[m] = mix(np.uint64(36), masks[begin])
                out[m + 1] = mix(np.uint64(37), masks[i - 1])
                out[m + 2] = mix(mix(np.uint64(38), masks[begin]), masks[i - 1])
                m += 3
            begin = i + 1
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
                    out[m] = mix(np.uint64(35), symbol)
                    m += 1
                    symbol = np.uint64(41)
        h = mix(np.uint64(34), symbol)
        out[m] = h
        h = mix(h, s1)
        out[m + 1] = h
        h = mix(h, s2)
        out[m + 2] = h
        h = mix(h, s3)
        out[m + 3] = h
        h = mix(h, s4)
        out[m + 4] = h
        out[m + 5] = mix(h, s5)
        m += 6
        s5 = s4
        s4 = s3
        s3 = s2
        s2 = s1
        s1 = symbol
    return m


@kernel
def _opening(keys, masks, k, out):  # type: ignore[no-untyped-def]
    """Hashes of the growing prefixes of a text, and of where each of its first tokens stands; their number."""
    m = 0
    h = np.uint64(61)
    g = np.uint64(62)
    for i in range(min(OPENING, k)):
        h = mix(h, keys[i])
        g = mix(g, masks[i])
        out[m] = h
        out[m + 1] = g
        out[m + 2] = mix(np.uint64(63), keys[i])
        m += 3
    return m


@kernel
def _closing(kinds, keys, masks, k, out, m):  # type: ignore[no-untyped-def]
    """Hashes of the growing suffixes, of the last tokens, and of the start of the last line; new number."""
    h = np.uint64(64)
    g = np.uint64(65)
    for i in range(min(CLOSING, k)):
        h = mix(h, keys[k - 1 - i])
        g = mix(g, masks[k - 1 - i])
        out[m] = h
        out[m + 1] = g
        out[m + 2] = mix(np.uint64(66), keys[k - 1 - i])
        m += 3
    if k == 0:
        return m
    i = k - 1
    while i > 0 and kinds[i - 1] < T_LINE:
        i -= 1
    h = np.uint64(67)
    for q in range(i, min(i + 3, k)):
        h = mix(h, keys[q])
        out[m] = h
        m += 1
    return m


@kernel
def _measures(kinds, k, length, out):  # type: ignore[no-untyped-def]
    """Columns, within the rhythm range, of measures of the whole text, each with every class up to its own.

    ``length`` is in bytes. So a linear classifier can put a threshold anywhere. Returns their number.
    """
    lines = np.int64(0)
    paragraphs = np.int64(0)
    spaceless = np.int64(0)
    words = np.int64(0)
    for i in range(k):
        if kinds[i] == T_LINE:
            lines += 1
        elif kinds[i] > T_LINE:
            paragraphs += 1
        elif kinds[i] == T_SPACELESS:
            spaceless += 1
        elif kinds[i] <= T_NUMBER:
            words += 1
    m = 0
    place = np.int64(_SEED_LENGTHS)
    for value, classes in ((length, 40), (words, 32), (spaceless, 32), (lines, 20), (paragraphs, 20)):
        if value > 0:
            for q in range(min(half_octave(value), classes - 1) + 1):
                out[m] = place + q
                m += 1
        place += classes
    return m


@kernel
def _count(features, m, family, tally, indices, data, o):  # type: ignore[no-untyped-def]
    """Counts of ``m`` hashes as entries from ``o`` on; returns the place after them. ``tally`` is left zero."""
    shift = _SHIFTS[family]
    low = _BOUNDS[family]
    start = o
    for q in range(m):
        bucket = np.int64(finish(features[q]) >> shift)
        if tally[bucket] == 0:
            indices[o] = bucket
            o += 1
        tally[bucket] += np.int32(1)
    for q in range(start, o):
        bucket = np.int64(indices[q])
        data[q] = np.float32(tally[bucket])
        tally[bucket] = 0
        indices[q] = np.int32(bucket + low)
    return o


@kernel
def _text(address, length, scratch, indices, data, o):  # type: ignore[no-untyped-def]
    """Entries of one text from ``o`` on; returns the place after them."""
    cps, classes, kinds, keys, masks, lengths, marks, flags, features, tally, counts = scratch
    text = memory(address, length)
    end = trimmed_end(text, 0, length)
    size, stop = decode_window(text, 0, end, WINDOW, cps, classes)
    k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
    if k == 0:
        return o
    m = _characters(cps, classes, size, features)
    o = _count(features, m, 0, tally, indices, data, o)
    m = _words(kinds, keys, k, features)
    o = _count(features, m, 1, tally, indices, data, o)
    m = _masked(kinds, masks, k, features)
    o = _count(features, m, 2, tally, indices, data, o)
    m = _punctuation(kinds, masks, k, features)
    o = _count(features, m, 3, tally, indices, data, o)
    count_lengths(kinds, lengths, marks, flags, k, counts)
    measures = _measures(kinds, k, np.int64(end), lengths)
    m = _opening(keys, masks, k, features)
    rhythm = measures
    # The rhythm goes behind the edges, but reads tokens that reading the closing may overwrite.
    columns = np.empty(rhythm, np.int32)
    for q in range(rhythm):
        columns[q] = lengths[q]
    if stop < end:
        size, stop = decode_window(text, tail_start(text, 0, end), end, TAIL, cps, classes)
        k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
    m = _closing(kinds, keys, masks, k, features, m)
    o = _count(features, m, 4, tally, indices, data, o)
    low = _BOUNDS[5]
    for q in range(_SEED_LENGTHS):
        if counts[q] > 0:
            indices[o] = np.int32(low + q)
            data[o] = np.float32(counts[q])
            o += 1
    for q in range(columns.size):
        indices[o] = np.int32(low + columns[q])
        data[o] = np.float32(1.0)
        o += 1
    return o


@kernel
def _scratch():  # type: ignore[no-untyped-def]
    return (
        np.empty(WINDOW, np.int32),
        np.empty(WINDOW, np.uint8),
        np.empty(WINDOW, np.uint8),
        np.empty(WINDOW, np.uint64),
        np.empty(WINDOW, np.uint64),
        np.empty(WINDOW + 256, np.int32),
        np.empty(WINDOW, np.int32),
        np.empty(WINDOW, np.uint8),
        np.empty(10 * WINDOW + 64, np.uint64),
        np.zeros(1 << 17, np.int32),
        np.empty(64, np.int64),
    )


@parallel_kernel(_CHUNK)
def _block(first, last, addresses, lengths, places, sizes, indices, data):  # type: ignore[no-untyped-def]
    """Entries of each text from its place on; ``sizes`` gets their numbers."""
    scratch = _scratch()
    for t in range(first, last):
        sizes[t] = _text(addresses[t], lengths[t], scratch, indices, data, places[t]) - places[t]


@parallel_kernel(_CHUNK)
def _packed(first, last, places, indptr, indices, data, out_indices, out_data):  # type: ignore[no-untyped-def]
    """The entries without the room between the texts."""
    for t in range(first, last):
        for q in range(indptr[t + 1] - indptr[t]):
            out_indices[indptr[t] + q] = indices[places[t] + q]
            out_data[indptr[t] + q] = data[places[t] + q]


@kernel
def _room(n):  # type: ignore[no-untyped-def]
    """Empty int32[n] and float32[n], allocated by Numba (see :func:`kinprint.kernels.arrow.room_for_hashes`)."""
    return np.empty(n, np.int32), np.empty(n, np.float32)


@kernel
def _take(indptr, indices, data, rows):  # type: ignore[no-untyped-def]
    out = np.zeros(rows.size + 1, np.int64)
    for r in range(rows.size):
        out[r + 1] = out[r] + indptr[rows[r] + 1] - indptr[rows[r]]
    out_indices = np.empty(out[-1], np.int32)
    out_data = np.empty(out[-1], np.float32)
    for r in range(rows.size):
        start = indptr[rows[r]]
        for q in range(out[r + 1] - out[r]):
            out_indices[out[r] + q] = indices[start + q]
            out_data[out[r] + q] = data[start + q]
    return out, out_indices, out_data


def features_of(texts: Texts) -> Features:
    """Counts of the features of ``n`` texts; a blank text (only white space and ignorable code points) has none."""
    n = len(texts)
    indptr = np.zeros(n + 1, np.int64)
    room = np.minimum(texts.lengths, WINDOW) * _PER_CODE_POINT + _SPARE
    ends = np.cumsum(room)
    parts_indices: list[NDArray[np.int32]] = []
    parts_data: list[NDArray[np.float32]] = []
    sizes = np.zeros(n, np.int64)
    room_of_block = max(_BLOCK, int(room.max(initial=0)))
    indices, data = _room(room_of_block)
    start = 0
    while start < n:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + room_of_block, "right")))
        some = slice(start, stop)
        places = ends[some] - room[some] - before
        where = frozen(texts.addresses[some]), frozen(texts.lengths[some]), frozen(places)
        _block(stop - start, *where, sizes[some], indices, data)
        packed = np.zeros(stop - start + 1, np.int64)
        np.cumsum(sizes[some], out=packed[1:])
        kept_indices, kept_data = _room(int(packed[-1]))
        rows = frozen(places), frozen(packed), frozen(indices), frozen(data)
        _packed(stop - start, *rows, kept_indices, kept_data)
        parts_indices.append(kept_indices)
        parts_data.append(kept_data)
        start = stop
    np.cumsum(sizes, out=indptr[1:])
    if len(parts_indices) == 1:
        return Features(indptr, parts_indices[0], parts_data[0])
    return Features(
        indptr,
        np.concatenate(parts_indices) if parts_indices else np.empty(0, np.int32),
        np.concatenate(parts_data) if parts_data else np.empty(0, np.float32),
    )


@kernel
def _document_frequencies(indptr, indices):  # type: ignore[no-untyped-def]
    out = np.zeros(DIM, np.int64)
    for q in range(indptr[0], indptr[-1]):
        out[indices[q]] += 1
    return out


def document_frequencies(features: Features) -> NDArray[np.int64]:
    """In how many of the rows each column occurs, int64[DIM]."""
    counted: NDArray[np.int64] = _document_frequencies(frozen(features.indptr), frozen(features.indices))
    return counted


@parallel_kernel(_CHUNK)
def _weigh(low, high, indptr, indices, data, weights, scale, out):  # type: ignore[no-untyped-def]
    for t in range(low, high):
        q = indptr[t]
        for f in range(_BOUNDS.size - 1):
            first = q
            squares = 0.0
            while q < indptr[t + 1] and indices[q] < _BOUNDS[f + 1]:
                w = (1.0 + np.log(data[q])) * weights[indices[q]]
                squares += w * w
                out[q] = w
                q += 1
            factor = scale[f] / np.sqrt(squares) if squares > 0.0 else 0.0
            for p in range(first, q):
                out[p] = np.float32(out[p] * factor)


def weigh(features: Features, weights: NDArray[np.float32], scale: NDArray[np.float32]) -> Features:
    """Counts turned into weights: 1 + log of the count, times the column's weight; each family scaled to a length.

    Parameters
    ----------
    features
        Counts.
    weights
        float32[DIM]: inverse document frequencies, say; zero leaves a column out.
    scale
        float32[len(FAMILIES)]: Euclidean length of each family in a row that has any of it.
    """
    if weights.dtype != np.float32 or weights.shape != (DIM,) or not weights.flags.c_contiguous:
        raise ValueError(f"weights must be a contiguous float32[{DIM}]")
    if scale.dtype != np.float32 or scale.shape != (len(FAMILIES),) or not scale.flags.c_contiguous:
        raise ValueError(f"scale must be a contiguous float32[{len(FAMILIES)}]")
    data = np.empty(features.data.size, np.float32)
    rows = frozen(features.indptr), frozen(features.indices), frozen(features.data)
    _weigh(len(features.indptr) - 1, *rows, frozen(weights), frozen(scale), data)
    return Features(features.indptr, features.indices, data)
