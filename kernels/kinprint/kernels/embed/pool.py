"""Vectors of texts from a table of token vectors.

A sentence is the sum of its tokens' vectors, at length 1; a text is the sum of its sentences, at length 1, kept as
int8 with one scale. The table holds the weights of the tokens already. A sentence or a text without any token in the
table is a vector of zeros.

Every sum has one order (tokens and sentences as they stand; squares in eight partial sums), and no multiplication is
fused with an addition, so that a text's vector depends on its bytes alone: not on the texts beside it, on threads or on
the processor.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.embed import tokens
from kinprint.kernels.embed.sentences import MOST, classes, find
from kinprint.kernels.embed.stretch import room
from kinprint.kernels.embed.vocabulary import Vocabulary
from kinprint.kernels.jit import kernel, parallel_kernel, regrouping_kernel
from kinprint.kernels.spread import spread
from numpy.typing import NDArray

_GRAIN: Final = 64
_F0: Final = np.float32(0)


class Table(NamedTuple):
    """A vector for every token."""

    rows: NDArray[np.int8]
    """int8[tokens, dim]."""
    scale: NDArray[np.float32]
    """float32[tokens]: the vector of a token is its row times this."""

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> Table:
        """The table of token vectors float32[tokens, dim]: each row by its largest value, symmetrically."""
        return cls(*quantised(vectors))


class RowVectors(NamedTuple):
    """Vectors of n texts."""

    rows: NDArray[np.int8]
    """int8[n, dim]."""
    scale: NDArray[np.float32]
    """float32[n]: the unit vector of a text is its row times this; 0 where a text has no token in the table."""


# ---- one text ----


@kernel
def _squares(x: NDArray[np.float32]) -> np.float32:
    """Sum of squares, in one order."""
    a = b = c = d = e = f = g = h = _F0
    n = x.size - x.size % 8
    for k in range(0, n, 8):
        a += x[k] * x[k]
        b += x[k + 1] * x[k + 1]
        c += x[k + 2] * x[k + 2]
        d += x[k + 3] * x[k + 3]
        e += x[k + 4] * x[k + 4]
        f += x[k + 5] * x[k + 5]
        g += x[k + 6] * x[k + 6]
        h += x[k + 7] * x[k + 7]
    for k in range(n, x.size):
        a += x[k] * x[k]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@kernel
def _sum_tokens(
    ids: NDArray[np.int32],
    first: int,
    last: int,
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Sum of the vectors of ``ids[first:last]``, one after another; four at a time, so that ``out`` is read less."""
    dim = out.size
    for k in range(dim):
        out[k] = _F0
    q = first
    while q + 4 <= last:
        t0, t1, t2, t3 = np.int64(ids[q]), np.int64(ids[q + 1]), np.int64(ids[q + 2]), np.int64(ids[q + 3])
        if max(max(t0, t1), max(t2, t3)) >= rows.shape[0]:
            break
        s0, s1, s2, s3 = scale[t0], scale[t1], scale[t2], scale[t3]
        for k in range(dim):
            x = out[k] + s0 * np.float32(rows[t0, k])
            x = x + s1 * np.float32(rows[t1, k])
            x = x + s2 * np.float32(rows[t2, k])
            out[k] = x + s3 * np.float32(rows[t3, k])
        q += 4
    while q < last:
        token = np.int64(ids[q])
        if token < rows.shape[0]:
            s = scale[token]
            for k in range(dim):
                out[k] = out[k] + s * np.float32(rows[token, k])
        q += 1


@kernel
def _factor(x: NDArray[np.float32]) -> np.float32:
    """What makes ``x`` a unit vector; 0 for one without a length."""
    length = np.sqrt(_squares(x))
    return np.float32(1) / length if length > _F0 else _F0


@kernel
def _quantise(x: NDArray[np.float32], factor: np.float32, out: NDArray[np.int8]) -> np.float32:
    """Round ``factor * x`` to int8; returns the scale."""
    largest = _F0
    for k in range(x.size):
        largest = max(largest, abs(x[k]))
    if not largest > _F0 or factor == _F0:
        for k in range(x.size):
            out[k] = 0
        return _F0
    up = np.float32(127) / largest
    for k in range(x.size):
        out[k] = np.int8(np.rint(x[k] * up))
    return largest * factor / np.float32(127)


@kernel
def _add(x: NDArray[np.float32], factor: np.float32, total: NDArray[np.float32]) -> None:
    for k in range(total.size):
        total[k] = total[k] + factor * x[k]


# ---- many ----


@kernel
def _from_texts(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    most: int,
    kinds: NDArray[np.uint8],
    vocabulary: Vocabulary,
    cache: NDArray[np.uint64],
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    out: NDArray[np.int8],
    out_scale: NDArray[np.float32],
    left: NDArray[np.bool_],
) -> None:
    """Text by text: sentences, tokens, vectors; ``left`` where the library is needed for a token."""
    dim = rows.shape[1]
    sentence = np.empty(dim, np.float32)
    total = np.empty(dim, np.float32)
    spans = np.empty((256, 4), np.int64)
    regions = np.empty((1, 4), np.int64)
    ids = np.empty(1 << 12, np.int32)
    work = room(1 << 14, 1 << 12)
    for i in range(first, last):
        text = memory(addresses[i], lengths[i])
        count = find(text, most, kinds, spans)
        while count < 0:
            spans = np.empty((8 * spans.shape[0], 4), np.int64)
            count = find(text, most, kinds, spans)
        for k in range(dim):
            total[k] = _F0
        for s in range(count):
            begin, end = spans[s, 0], spans[s, 1]
            filled = 0
            regions_filled = 0
            while True:
                filled, regions_filled = tokens.tokenise(text, begin, end, vocabulary, cache, work, ids, 0, regions, 0)
                if filled >= 0:
                    break
                if ids.size < end - begin + 64:
                    ids = np.empty(4 * ids.size, np.int32)
                work = room(4 * work.word.size, 4 * work.best.size)
                regions = np.empty((4 * regions.shape[0], 4), np.int64)
            if regions_filled > 0:
                left[i] = True
                break
            _sum_tokens(ids, 0, filled, rows, scale, sentence)
            _add(sentence, _factor(sentence), total)
        out_scale[i] = _quantise(total, _factor(total), out[i])


@parallel_kernel(grain=_GRAIN)
def _from_tokens(
    first: int,
    last: int,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    out: NDArray[np.int8],
    out_scale: NDArray[np.float32],
) -> None:
    dim = rows.shape[1]
    sentence = np.empty(dim, np.float32)
    total = np.empty(dim, np.float32)
    for i in range(first, last):
        for k in range(dim):
            total[k] = _F0
        for s in range(starts[i], starts[i + 1]):
            _sum_tokens(ids, offsets[s], offsets[s + 1], rows, scale, sentence)
            _add(sentence, _factor(sentence), total)
        out_scale[i] = _quantise(total, _factor(total), out[i])


@parallel_kernel(grain=_GRAIN)
def _sentence_vectors(
    first: int,
    last: int,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for s in range(first, last):
        sentence = out[s]
        _sum_tokens(ids, offsets[s], offsets[s + 1], rows, scale, sentence)
        factor = _factor(sentence)
        for k in range(sentence.size):
            sentence[k] = sentence[k] * factor


@parallel_kernel(grain=1024)
def _quantised(
    first: int, last: int, vectors: NDArray[np.float32], out: NDArray[np.int8], scale: NDArray[np.float32]
) -> None:
    for i in range(first, last):
        scale[i] = _quantise(vectors[i], np.float32(1), out[i])


@regrouping_kernel
def _dots(
    rows: NDArray[np.int8],
    scale: NDArray[np.float32],
    which: NDArray[np.int64],
    queries: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    dim = rows.shape[1]
    wide = np.empty(dim, np.float32)
    for c in range(which.size):
        row = rows[which[c]]
        for k in range(dim):
            wide[k] = np.float32(row[k])
        for i in range(queries.shape[0]):
            query = queries[i]
            total = _F0
            for k in range(dim):
                total += query[k] * wide[k]
            out[c, i] = total * scale[which[c]]


# ---- public ----


def _check(table: Table) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    rows, scale = table
    if rows.dtype != np.int8 or rows.ndim != 2 or not rows.flags.c_contiguous:
        raise ValueError(f"rows must be a contiguous int8[n, dim], not {rows.dtype}{list(rows.shape)}")
    if scale.dtype != np.float32 or scale.shape != rows.shape[:1] or not scale.flags.c_contiguous:
        raise ValueError(f"scale must be float32[{len(rows)}], not {scale.dtype}{list(scale.shape)}")
    return frozen(rows), frozen(scale)


def row_vectors(
    texts: Texts, vocabulary: Vocabulary, caches: tokens.Caches, table: Table, most: int = MOST
) -> tuple[RowVectors, NDArray[np.int64]]:
    """Vectors of texts in one pass: sentences (at most ``most`` of each), tokens, vectors.

    Returns
    -------
    The vectors, and int64[k]: texts of which the tokens are not known here, in order. What stands for these means
    nothing; :func:`vectors_of_tokens` makes them.

    Raises
    ------
    ValueError
        If the table is none, or ``most`` below 1.
    """
    rows, scale = _check(table)
    if most < 1:
        raise ValueError("most must be at least 1")
    n = len(texts)
    out, out_scale = np.empty((n, rows.shape[1]), np.int8), np.empty(n, np.float32)
    left = np.zeros(n, np.bool_)
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    arguments = (addresses, lengths, most, classes(), vocabulary)

    def work(first: int, last: int) -> None:
        with caches.borrowed() as cache:
            _from_texts(first, last, *arguments, cache, rows, scale, out, out_scale, left)

    spread(work, n, _GRAIN)
    return RowVectors(out, out_scale), np.flatnonzero(left)


def vectors_of_tokens(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], starts: NDArray[np.int64], table: Table
) -> RowVectors:
    """Vectors of n texts whose sentences are tokenised: those of :func:`row_vectors`, to the bit.

    Parameters
    ----------
    ids
        int32[t], none negative; those beyond the table count for nothing.
    offsets
        int64[s + 1]: sentence i has the tokens ``ids[offsets[i]:offsets[i + 1]]``.
    starts
        int64[n + 1]: text i has the sentences ``starts[i]:starts[i + 1]``.
    table
        Of the tokens.
    """
    rows, scale = _check(table)
    n = len(starts) - 1
    out, out_scale = np.empty((n, rows.shape[1]), np.int8), np.empty(n, np.float32)
    _from_tokens(n, frozen(ids), frozen(offsets), frozen(starts), rows, scale, out, out_scale)
    return RowVectors(out, out_scale)


def sentence_vectors(ids: NDArray[np.int32], offsets: NDArray[np.int64], table: Table) -> NDArray[np.float32]:
    """Unit vectors float32[s, dim] of sentences; see :func:`vectors_of_tokens` for the arguments."""
    rows, scale = _check(table)
    out = np.empty((len(offsets) - 1, rows.shape[1]), np.float32)
    _sentence_vectors(len(out), frozen(ids), frozen(offsets), rows, scale, out)
    return out


def quantised(vectors: NDArray[np.float32]) -> RowVectors:
    """Vectors float32[n, dim], finite, as int8 and a scale a row, symmetrically by the row's largest value."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    out, scale = np.empty(vectors.shape, np.int8), np.empty(len(vectors), np.float32)
    _quantised(len(vectors), frozen(vectors), out, scale)
    return RowVectors(out, scale)


def dots(rows: RowVectors | Table, which: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products float32[c, q] of some rows with queries; each the same whatever else is asked for.

    Parameters
    ----------
    rows
        int8[n, dim] and float32[n]; may be mapped files.
    which
        int64[c]: rows, each below n.
    queries
        float32[q, dim].

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    data, scale = _check(Table(*rows))
    queries = np.ascontiguousarray(queries, np.float32)
    which = np.ascontiguousarray(which, np.int64)
    if queries.ndim != 2 or queries.shape[1] != data.shape[1]:
        raise ValueError(f"queries must be float32[q, {data.shape[1]}], not {list(queries.shape)}")
    if which.size and not 0 <= int(which.min()) <= int(which.max()) < len(data):
        raise ValueError(f"rows are 0 .. {len(data) - 1}")
    out = np.empty((which.size, len(queries)), np.float32)
    _dots(data, scale, frozen(which), frozen(queries), out)
    return out
