"""Shared spans: the stretches of equal folded tokens that two texts have in common, for evidence.

A text is the row of its folded tokens (:mod:`~kinprint.kernels.copy.tokens`), so that a span goes on however lines are
wrapped, words are capitalised, punctuated or spelt in Unicode; :func:`differences` tells what of it there is. A span
is *maximal* in a text if no longer stretch of tokens around it occurs in the other. Every such span of both texts is
found, by matching statistics (Chang, Lawler 1994) over the suffix automaton of the other text's tokens (Blumer et al.
1985). Both are linear in the lengths of the texts whatever they hold: a million repeats of one word are no
harder than prose, nothing is cut off, and nothing is sampled. What a text full of repeats does not get is every
alignment: a stretch of one text that occurs many times in the other is reported once, with the first place where it
occurs; a repeated stretch that is maximal in the other text too is reported from there as well, for each place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.copy.automaton import both_matches
from kinprint.kernels.copy.differences import differences_of
from kinprint.kernels.copy.tokens import Row, equal_tokens, larger_row, opens, row_of, tokens_in
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.unicode import MARK, SPACELESS, SYMBOL, code_class, decode
from numpy.typing import NDArray

MIN_WORDS = 3
MIN_SPACELESS = 5
"""A span must hold a shingle's worth of text: so many words or spaceless code points."""


# ---- tokens as small numbers ----


@kernel
def _row(text: NDArray[np.uint8]) -> tuple[Row, int]:
    """A text's tokens, and their number."""
    size = BUFFER + text.size + text.size // 4
    while True:
        row = row_of(size)
        n = tokens_in(text, 0, text.size, row)
        if n >= 0:
            return row, n
        size = larger_row(row, text.size)


@kernel
def _codes(a: Row, count_a: int, b: Row, count_b: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers from 0 on, one for each distinct token of two texts: int32 of each token of a, and of b."""
    size = 16
    while size < 2 * (count_a + count_b):
        size *= 2
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int32)
    firsts = np.empty(count_a + count_b, np.int32)  # where each distinct token was met: in a, or after it in b
    codes_a = np.empty(count_a, np.int32)
    codes_b = np.empty(count_b, np.int32)
    known = 0
    for k in range(count_a + count_b):
        in_a = k < count_a
        i = k if in_a else k - count_a
        place = (a.hashes[i] if in_a else b.hashes[i]) & mask
        while table[place] >= 0:
            first = int(firsts[table[place]])
            if in_a:
                equal = equal_tokens(a, first, a, i)
            elif first < count_a:
                equal = equal_tokens(a, first, b, i)
            else:
                equal = equal_tokens(b, first - count_a, b, i)
            if equal:
                break
            place = (place + np.uint64(1)) & mask
        if table[place] < 0:
            table[place] = known
            firsts[known] = k
            known += 1
        if in_a:
            codes_a[i] = table[place]
        else:
            codes_b[i] = table[place]
    return codes_a, codes_b


# ---- spans ----


@kernel
def _measure(row: Row, n: int) -> NDArray[np.int32]:
    """What the tokens before each hold: int32[n + 1, 3] of weight, words and spaceless code points.

    A word weighs its folded code points and one more for what stands between it and the next; a spaceless code point
    weighs three.
    """
    sums = np.zeros((n + 1, 3), np.int32)
    text = row.work.buffer
    for k in range(n):
        low = int(row.low[k])
        high = int(row.high[k])
        cp, _ = decode(text, low, high)
        # A mark is a token of its own after a spaceless code point alone.
        spaceless = code_class(cp) in (SPACELESS, SYMBOL, MARK)
        points = 0
        for p in range(low, high):
            points += 1 if (text[p] & 0xC0) != 0x80 else 0
        sums[k + 1, 0] = sums[k, 0] + (3 if spaceless else points + 1)
        sums[k + 1, 1] = sums[k, 1] + (0 if spaceless else 1)
        sums[k + 1, 2] = sums[k, 2] + (1 if spaceless else 0)
    return sums


class _Cut(NamedTuple):
    """The n tokens of one of two texts."""

    codes: NDArray[np.int32]
    """int32[n]: equal for equal tokens of either text."""
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    """[n] each, see :class:`~kinprint.kernels.copy.tokens.Row`."""
    sums: NDArray[np.int32]
    """int32[n + 1, 3], see :func:`_measure`."""


@kernel
def _part(row: Row, n: int, codes: NDArray[np.int32]) -> _Cut:
    opening = np.empty(n, np.bool_)
    for k in range(n):
        opening[k] = opens(row, k)
    return _Cut(codes, row.begins[:n].copy(), row.ends[:n].copy(), opening, row.closes[:n].copy(), _measure(row, n))


# Four kernels that are called one after the other, not one that calls the others: each is compiled with all that it
# calls. Texts come by their addresses, as passages have them, so that what cuts them is compiled once.


@kernel
def _tokens_of(address_a: np.uint64, length_a: int, address_b: np.uint64, length_b: int) -> tuple[_Cut, _Cut]:
    """The tokens of two texts."""
    row_a, count_a = _row(memory(address_a, length_a))
    row_b, count_b = _row(memory(address_b, length_b))
    codes_a, codes_b = _codes(row_a, count_a, row_b, count_b)
    return _part(row_a, count_a, codes_a), _part(row_b, count_b, codes_b)


@kernel
def _spans(
    a: _Cut, b: _Cut, forward: NDArray[np.int64], backward: NDArray[np.int64], min_weight: int
) -> NDArray[np.int64]:
    """What the matches hold of whole graphemes and weighs enough, in bytes: int64[m, 4]."""
    out = np.empty((forward.shape[0] + backward.shape[0], 4), np.int64)
    m = 0
    for k in range(out.shape[0]):
        if k < forward.shape[0]:
            i, end, j = forward[k, 0], forward[k, 1], forward[k, 2]
        else:
            r = k - forward.shape[0]
            j, i = backward[r, 0], backward[r, 2]
            end = i + backward[r, 1] - j
        while i < end and not (a.opens[i] and b.opens[j]):
            i += 1
            j += 1
        last = j + end - i
        while i < end and not (a.closes[end - 1] and b.closes[last - 1]):
            end -= 1
            last -= 1
        if i == end or a.sums[end, 0] - a.sums[i, 0] < min_weight:
            continue
        if a.sums[end, 1] - a.sums[i, 1] < MIN_WORDS and a.sums[end, 2] - a.sums[i, 2] < MIN_SPACELESS:
            continue
        out[m, 0] = a.begins[i]
        out[m, 1] = a.ends[end - 1]
        out[m, 2] = b.begins[j]
        out[m, 3] = b.ends[last - 1]
        m += 1
    return out[:m]


@kernel
def _differences(
    address_a: np.uint64,
    length_a: int,
    address_b: np.uint64,
    length_b: int,
    a: _Cut,
    b: _Cut,
    spans: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Differences of spans, -1 for what is none."""
    text_a = memory(address_a, length_a)
    text_b = memory(address_b, length_b)
    out = np.full(spans.shape[0], -1, np.int64)
    for k in range(spans.shape[0]):
        i = int(np.searchsorted(a.begins, spans[k, 0]))
        j = int(np.searchsorted(b.begins, spans[k, 2]))
        count = 0
        while (
            i + count < a.codes.size
            and j + count < b.codes.size
            and a.ends[i + count] <= spans[k, 1]
            and b.ends[j + count] <= spans[k, 3]
            and a.codes[i + count] == b.codes[j + count]
        ):
            count += 1
        if count == 0 or a.ends[i + count - 1] != spans[k, 1] or b.ends[j + count - 1] != spans[k, 3]:
            continue
        if a.begins[i] != spans[k, 0] or b.begins[j] != spans[k, 2]:
            continue
        out[k] = differences_of(text_a, a.begins, a.ends, i, text_b, b.begins, b.ends, j, count)
    return out


@kernel
def _contained(spans: NDArray[np.int64], order: NDArray[np.int64], key: int, drop: NDArray[np.bool_]) -> None:
    """Mark spans that lie within another, in both texts, among those with the same value in column ``key``.

    ``order`` sorts by that column, then by length, longest first. Two maximal spans can only come to lie within each
    other where trimming moved ends of both to one place, hence by equal columns.
    """
    n = order.size
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and spans[order[end], key] == spans[order[begin], key]:
            end += 1
        for x in range(begin, end):
            i = order[x]
            for y in range(begin, x):
                j = order[y]
                if spans[j, 1] - spans[j, 0] == spans[i, 1] - spans[i, 0]:
                    break  # the rest are no longer than i
                if (
                    spans[j, 0] <= spans[i, 0]
                    and spans[i, 1] <= spans[j, 1]
                    and spans[j, 2] <= spans[i, 2]
                    and spans[i, 3] <= spans[j, 3]
                ):
                    drop[i] = True
                    break
        begin = end


@kernel
def _codepoint_offsets(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    out = np.empty(offsets.size, np.int64)
    p = 0
    count = 0
    for k in range(order.size):
        stop = offsets[order[k]]
        while p < stop:
            count += 1 if (data[p] & 0xC0) != 0x80 else 0
            p += 1
        out[order[k]] = count
    return out


def _check_text(name: str, text: NDArray[np.uint8]) -> None:
    if text.dtype != np.uint8 or text.ndim != 1 or not text.flags.c_contiguous:
        raise ValueError(f"{name} must be a contiguous uint8[nbytes], not {text.dtype}{list(text.shape)}")
    if text.size >= 1 << 29:
        raise ValueError(f"{name} holds {text.size} bytes; texts must be below 512 MiB")


def _whereabouts(text: NDArray[np.uint8]) -> tuple[np.uint64, int]:
    return np.uint64(text.ctypes.data), text.size


def shared_spans(a: NDArray[np.uint8], b: NDArray[np.uint8], min_weight: int = 24) -> NDArray[np.int64]:
    """Stretches of equal folded tokens that two texts share, longest first.

    Parameters
    ----------
    a, b : uint8[]
        Two texts, UTF-8, as stored (not folded).
    min_weight
        Least weight of a span: the folded code points of its words and one more for each of them, and three for each
        spaceless code point (see :mod:`~kinprint.kernels.unicode`). A span must also hold three words or five
        spaceless code points.

    Returns
    -------
    int64[m, 4]
        Rows (a_start, a_end, b_start, b_end), half-open byte offsets of both texts as they are stored, which begin
        and end with tokens and cut no grapheme; ordered by length in a, longest first, then a_start, then b_start.
        None lies within another. Every stretch of tokens of either text that occurs in the other and is heavy enough
        lies within one of them, cut graphemes at its ends aside; see the module's text for repeats.

    Raises
    ------
    ValueError
        If a text is no uint8[] or is 512 MiB or longer, or ``min_weight`` is below 1.

    Notes
    -----
    Time and memory are linear: at most about 200 bytes of memory for each token that the texts share.
    """
    _check_text("a", a)
    _check_text("b", b)
    if min_weight < 1:
        raise ValueError(f"min_weight must be at least 1, not {min_weight}")
    cut_a, cut_b = _tokens_of(*_whereabouts(a), *_whereabouts(b))
    spans = _spans(cut_a, cut_b, *both_matches(cut_a.codes, cut_b.codes), min_weight)
    if len(spans) > 1:
        spans = spans[np.lexsort(spans.T[::-1])]
        fresh = np.ones(len(spans), np.bool_)
        fresh[1:] = (spans[1:] != spans[:-1]).any(axis=1)
        spans = spans[fresh]
        drop = np.zeros(len(spans), np.bool_)
        for key in range(4):
            _contained(spans, np.lexsort((spans[:, 0] - spans[:, 1], spans[:, key])), key, drop)
        spans = spans[~drop]
        spans = spans[np.lexsort((spans[:, 2], spans[:, 0], spans[:, 0] - spans[:, 1]))]
    return spans


def differences(a: NDArray[np.uint8], b: NDArray[np.uint8], spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """How the two sides of some shared spans differ: int64[m] of bits of
    :data:`~kinprint.kernels.copy.differences.DIFFERENCES`, 0 where they are equal byte for byte.

    Parameters
    ----------
    spans : int64[m, 4]
        Rows of :func:`shared_spans` of the same two texts.

    Raises
    ------
    ValueError
        If a text is no uint8[] or is 512 MiB or longer, or a row is no shared span of the texts.
    """
    _check_text("a", a)
    _check_text("b", b)
    if spans.dtype != np.int64 or spans.ndim != 2 or spans.shape[1] != 4:
        raise ValueError(f"spans must be int64[m, 4], not {spans.dtype}{list(spans.shape)}")
    where = *_whereabouts(a), *_whereabouts(b)
    found = _differences(*where, *_tokens_of(*where), frozen(np.ascontiguousarray(spans)))
    if bool((found < 0).any()):
        raise ValueError("spans must be shared by the two texts")
    return found


def codepoint_offsets(data: NDArray[np.uint8], byte_offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Byte offsets of a UTF-8 text as offsets in code points.

    Parameters
    ----------
    data : uint8[nbytes]
    byte_offsets : int64[k]
        In any order, each in 0..nbytes. One within a code point counts that code point.

    Returns
    -------
    int64[k]
        Number of code points that begin before each offset.

    Raises
    ------
    ValueError
        If a shape or dtype differs, or an offset is out of range.
    """
    _check_text("data", data)
    if byte_offsets.dtype != np.int64 or byte_offsets.ndim != 1:
        raise ValueError(f"byte_offsets must be int64[k], not {byte_offsets.dtype}{list(byte_offsets.shape)}")
    if byte_offsets.size and (byte_offsets.min() < 0 or byte_offsets.max() > data.size):
        raise ValueError(f"byte_offsets must be in 0..{data.size}")
    order = np.argsort(byte_offsets, kind="stable")
    return _codepoint_offsets(frozen(data), frozen(np.ascontiguousarray(byte_offsets)), order)


@parallel_kernel(64)
def _codepoint_places(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    for k in range(first, last):
        text = memory(addresses[rows[k]], lengths[rows[k]])
        before = 0
        for p in range(starts[k]):
            before += 1 if (text[p] & 0xC0) != 0x80 else 0
        within = 0
        for p in range(starts[k], starts[k] + sizes[k]):
            within += 1 if (text[p] & 0xC0) != 0x80 else 0
        out[k, 0] = before
        out[k, 1] = before + within


def codepoint_places(
    texts: Texts, rows: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begin and end, in code points, of stretches that are given in bytes: int64[k] each.

    Parameters
    ----------
    rows, starts, sizes : int64[k]
        The text of each stretch, its first byte and its bytes; whole code points.

    Raises
    ------
    ValueError
        If a stretch does not lie within its text.
    """
    if rows.size and (
        rows.min() < 0
        or rows.max() >= len(texts)
        or starts.min() < 0
        or sizes.min() < 0
        or bool(np.any(starts + sizes > texts.lengths[rows]))
    ):
        raise ValueError("a stretch does not lie within its text")
    out = np.empty((rows.size, 2), np.int64)
    where, begin, count = (frozen(np.ascontiguousarray(column)) for column in (rows, starts, sizes))
    _codepoint_places(rows.size, frozen(texts.addresses), frozen(texts.lengths), where, begin, count, out)
    return out[:, 0], out[:, 1]
