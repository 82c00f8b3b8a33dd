"""Shared spans: the byte-exact stretches that two texts have in common, for evidence.

A span is *maximal* in a text if no longer stretch of that text around it occurs in the other. Every such span of
both texts is found, by matching statistics (Chang, Lawler 1994) over the suffix automaton of the other text (Blumer
et al. 1985). Both are linear in the lengths of the texts whatever they hold: a million repeats of one word are no
harder than prose, nothing is cut off, and nothing is sampled. What a text full of repeats does not get is every
alignment: a stretch of one text that occurs many times in the other is reported once, with the first place where it
occurs; a repeated stretch that is maximal in the other text too is reported from there as well, for each place.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, grown, memory
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.unicode import DIGIT, MARK, SPACE, SPACELESS, SYMBOL, UPPER, WORD, code_class, decode
from numpy.typing import NDArray

MIN_WORDS = 3
MIN_SPACELESS = 5
"""A span must hold a shingle's worth of text: so many words or spaceless code points."""


@kernel
def _automaton(
    text: NDArray[np.uint8],
) -> tuple[
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.uint8],
    NDArray[np.int32],
    NDArray[np.int32],
]:
    """Suffix automaton of ``text`` (fewer than 2^29 bytes): at most 2n states and 3n transitions.

    Returns ``length``, ``link``, ``first_end`` (end of the first occurrence) and ``edges`` (head of a linked list of
    transitions) for every state, ``next_edge``, ``label`` and ``target`` for every transition, and ``root`` int32[256],
    the transitions of state 0, which are too many for a list.
    """
    n = text.size
    length = np.zeros(2 * n + 2, np.int32)
    link = np.full(2 * n + 2, -1, np.int32)
    first_end = np.zeros(2 * n + 2, np.int32)
    edges = np.full(2 * n + 2, -1, np.int32)
    next_edge = np.empty(3 * n + 4, np.int32)
    label = np.empty(3 * n + 4, np.uint8)
    target = np.empty(3 * n + 4, np.int32)
    root = np.full(256, -1, np.int32)
    states = 1
    transitions = 0
    last = 0
    for i in range(n):
        byte = text[i]
        current = states
        states += 1
        length[current] = length[last] + 1
        first_end[current] = i + 1
        p = last
        q = -1
        edge = -1
        while p > 0:
            edge = edges[p]
            while edge >= 0 and label[edge] != byte:
                edge = next_edge[edge]
            if edge >= 0:
                q = target[edge]
                break
            next_edge[transitions] = edges[p]
            label[transitions] = byte
            target[transitions] = current
            edges[p] = transitions
            transitions += 1
            p = link[p]
        if p == 0:
            q = root[byte]
            if q < 0:
                root[byte] = current
        if q < 0:
            link[current] = 0
        elif length[p] + 1 == length[q]:
            link[current] = q
        else:
            clone = states
            states += 1
            length[clone] = length[p] + 1
            link[clone] = link[q]
            first_end[clone] = first_end[q]
            copied = edges[q]
            while copied >= 0:
                next_edge[transitions] = edges[clone]
                label[transitions] = label[copied]
                target[transitions] = target[copied]
                edges[clone] = transitions
                transitions += 1
                copied = next_edge[copied]
            while p > 0:
                edge = edges[p]
                while edge >= 0 and label[edge] != byte:
                    edge = next_edge[edge]
                if edge < 0 or target[edge] != q:
                    break
                target[edge] = clone
                p = link[p]
            if p == 0 and root[byte] == q:
                root[byte] = clone
            link[q] = clone
            link[current] = clone
        last = current
    return length, link, first_end, edges, next_edge, label, target, root


@kernel
def _matches(text: NDArray[np.uint8], other: NDArray[np.uint8], min_bytes: int) -> NDArray[np.int64]:
    """Maximal stretches of ``text`` that occur in ``other``: int64[m, 3] rows (start, end, start in other)."""
    length, link, first_end, edges, next_edge, label, target, root = _automaton(other)
    out = np.empty((16, 3), np.int64)
    m = 0
    state = 0
    matched = 0
    for i in range(text.size + 1):
        step = -1
        if i < text.size:
            byte = text[i]
            if state == 0:
                step = root[byte]
            else:
                edge = edges[state]
                while edge >= 0 and label[edge] != byte:
                    edge = next_edge[edge]
                if edge >= 0:
                    step = target[edge]
        if step >= 0:
            state = step
            matched += 1
            continue
        if matched >= min_bytes:
            if m == out.shape[0]:
                out = grown(out, m, 4 * m)
            out[m, 0] = i - matched
            out[m, 1] = i
            out[m, 2] = first_end[state] - matched
            m += 1
        if i == text.size:
            break
        while state > 0 and step < 0:
            state = link[state]
            if state == 0:
                step = root[byte]
            else:
                edge = edges[state]
                while edge >= 0 and label[edge] != byte:
                    edge = next_edge[edge]
                if edge >= 0:
                    step = target[edge]
        if step >= 0:
            matched = length[state] + 1
            state = step
        else:
            matched = 0
    return out[:m]


GRAM = 16
"""Bytes of the stretches by which two texts are cut down to what they may share; even a short span has as many."""


@kernel
def _grams(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hashes of the stretches of :data:`GRAM` bytes, by where they begin; none is 0."""
    n = text.size - GRAM + 1
    out = np.empty(max(n, 0), np.uint64)
    last = np.zeros(8, np.uint64)  # the eight bytes up to each of the last eight places
    eight = np.uint64(0)
    for i in range(text.size):
        eight = (eight >> np.uint64(8)) | (np.uint64(text[i]) << np.uint64(56))
        before = last[i & 7]
        last[i & 7] = eight
        if i >= GRAM - 1:
            h = (before * np.uint64(0x9E3779B97F4A7C15)) ^ (eight * np.uint64(0xC2B2AE3D27D4EB4F))
            h = (h ^ (h >> np.uint64(32))) * np.uint64(0xFF51AFD7ED558CCD)
            h ^= h >> np.uint64(29)
            out[i - GRAM + 1] = h if h != 0 else np.uint64(1)
    return out


@kernel
def _common(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where stretches of :data:`GRAM` bytes begin that the other text has, too: bool[n] of each text.

    Two stretches of one hash pass for equal: that leaves in what need not be looked at, and leaves nothing out.
    """
    ours = _grams(a)
    theirs = _grams(b)
    size = 16
    while size < 2 * ours.size:
        size *= 2
    table = np.zeros(size, np.uint64)
    met = np.zeros(size, np.bool_)
    places = np.empty(ours.size, np.int64)
    mask = np.uint64(size - 1)
    for i in range(ours.size):
        place = ours[i] & mask
        while table[place] != 0 and table[place] != ours[i]:
            place = (place + np.uint64(1)) & mask
        table[place] = ours[i]
        places[i] = place
    in_a = np.zeros(a.size, np.bool_)
    in_b = np.zeros(b.size, np.bool_)
    for i in range(theirs.size):
        place = theirs[i] & mask
        while table[place] != 0 and table[place] != theirs[i]:
            place = (place + np.uint64(1)) & mask
        if table[place] != 0:
            met[place] = True
            in_b[i] = True
    for i in range(ours.size):
        in_a[i] = met[places[i]]
    return in_a, in_b


@kernel
def _cut(
    text: NDArray[np.uint8], begins: NDArray[np.bool_], between: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a text that lie in common stretches, with a byte ``between`` each two, and where each byte stood."""
    kept = np.empty(text.size, np.uint8)
    where = np.empty(text.size, np.int64)
    m = 0
    end = 0
    for i in range(text.size):
        if begins[i]:
            end = i + GRAM
        if i < end:
            kept[m] = text[i]
        elif m > 0 and where[m - 1] == i - 1 and kept[m - 1] != between:
            kept[m] = between
        else:
            continue
        where[m] = i
        m += 1
    return kept[:m], where[:m]


@kernel
def _both_matches(
    a: NDArray[np.uint8], b: NDArray[np.uint8], min_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """:func:`_matches` of ``a`` in ``b`` and of ``b`` in ``a``.

    An automaton takes many times longer to build than a text to read. So texts are first cut down to the stretches
    that they have in common, with bytes between that no text in UTF-8 holds, another in each: a match of as many bytes,
    and every place where it occurs, lies within such stretches, and ends there or not as it would in the whole texts.
    """
    if a.size == b.size and a.size >= min_bytes and bool(np.all(a == b)):
        whole = np.array([[0, a.size, 0]], np.int64)
        return whole, whole.copy()
    if min_bytes < GRAM:
        return _matches(a, b, min_bytes), _matches(b, a, min_bytes)
    in_a, in_b = _common(a, b)
    short_a, where_a = _cut(a, in_a, 0xFF)
    short_b, where_b = _cut(b, in_b, 0xFE)
    forward = _matches(short_a, short_b, min_bytes)
    backward = _matches(short_b, short_a, min_bytes)
    for k in range(forward.shape[0]):
        length = forward[k, 1] - forward[k, 0]
        forward[k, 0] = where_a[forward[k, 0]]
        forward[k, 1] = forward[k, 0] + length
        forward[k, 2] = where_b[forward[k, 2]]
    for k in range(backward.shape[0]):
        length = backward[k, 1] - backward[k, 0]
        backward[k, 0] = where_b[backward[k, 0]]
        backward[k, 1] = backward[k, 0] + length
        backward[k, 2] = where_a[backward[k, 2]]
    return forward, backward


@kernel
def _measure(
    text: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """What it takes to trim and weigh any span of a text in constant time, for every byte offset p in 0..n.

    - ``sums`` int32[n + 1, 3]: weight, begun words and spaceless code points among the code points that end at or
      before p;
    - ``begin`` int32[n + 1]: first byte at or after p that begins a code point other than white space, or n;
    - ``finish`` int32[n + 1]: end of the last such code point that ends at or before p, or 0;
    - ``inside`` bool[n + 1]: the code point that begins at p goes on with a word.
    """
    n = text.size
    sums = np.zeros((n + 1, 3), np.int32)
    begin = np.full(n + 1, n, np.int32)
    finish = np.zeros(n + 1, np.int32)
    inside = np.zeros(n + 1, np.bool_)
    kind = SPACE
    weight = 0
    words = 0
    spaceless = 0
    visible = 0
    p = 0
    while p < n:
        cp, width = decode(text, p, n)
        cls = code_class(cp)
        if cls == MARK:
            inside[p] = kind == WORD
        else:
            is_word = cls in (WORD, DIGIT, UPPER)
            inside[p] = is_word and kind == WORD
            words += 1 if is_word and kind != WORD else 0
            kind = WORD if is_word else (SPACELESS if cls in (SPACELESS, SYMBOL) else SPACE)
        for k in range(p + 1, p + width):
            finish[k] = visible
        if cls != SPACE:
            begin[p] = p
            visible = p + width
        weight += 3 if kind == SPACELESS else 1
        spaceless += 1 if kind == SPACELESS else 0
        p += width
        finish[p] = visible
        sums[p, 0] = weight
        sums[p, 1] = words
        sums[p, 2] = spaceless
    for k in range(n - 1, -1, -1):
        if begin[k] == n:
            begin[k] = begin[k + 1]
    return sums, begin, finish, inside


@kernel
def _spans(a: NDArray[np.uint8], b: NDArray[np.uint8], min_weight: int) -> NDArray[np.int64]:
    # The least bytes a code point takes for its weight: two for three (a symbol such as U+00A9).
    min_bytes = max(1, 2 * min_weight // 3)
    forward, backward = _both_matches(a, b, min_bytes)
    if forward.shape[0] + backward.shape[0] == 0:
        return np.empty((0, 4), np.int64)
    sums, begin, finish, inside = _measure(a)
    out = np.empty((forward.shape[0] + backward.shape[0], 4), np.int64)
    m = 0
    for k in range(out.shape[0]):
        if k < forward.shape[0]:
            start, end, other = forward[k, 0], forward[k, 1], forward[k, 2]
        else:
            r = k - forward.shape[0]
            other, start = backward[r, 0], backward[r, 2]
            end = start + backward[r, 1] - other
        first = np.int64(begin[start])
        last = np.int64(finish[end])
        if last <= first or sums[last, 0] - sums[first, 0] < min_weight:
            continue
        words = sums[last, 1] - sums[first, 1] + (1 if inside[first] else 0)
        if words < MIN_WORDS and sums[last, 2] - sums[first, 2] < MIN_SPACELESS:
            continue
        out[m, 0] = first
        out[m, 1] = last
        out[m, 2] = other + first - start
        out[m, 3] = other + last - start
        m += 1
    return out[:m]


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


def shared_spans(a: NDArray[np.uint8], b: NDArray[np.uint8], min_weight: int = 24) -> NDArray[np.int64]:
    """Byte-exact stretches that two texts share, longest first.

    Parameters
    ----------
    a, b : uint8[]
        Two texts, UTF-8, as stored (not folded): case and punctuation count.
    min_weight
        Least weight of a span: its code points, spaceless ones (see :mod:`~kinprint.kernels.unicode`) counting three. A
        span must also hold three words or five spaceless code points, so that rules and indentation are not evidence.

    Returns
    -------
    int64[m, 4]
        Rows (a_start, a_end, b_start, b_end), half-open byte offsets on code-point boundaries of both texts, without
        white space at either end; ordered by length descending, then a_start, then b_start. None lies within another.
        Every stretch of either text that occurs in the other and is heavy enough lies within one of them, white space
        at its ends aside; see the module's text for repeats.

    Raises
    ------
    ValueError
        If a text is no uint8[] or is 512 MiB or longer, or ``min_weight`` is below 1.

    Notes
    -----
    Time and memory are linear: about 100 bytes of memory for each byte of the longer text.
    """
    _check_text("a", a)
    _check_text("b", b)
    if min_weight < 1:
        raise ValueError(f"min_weight must be at least 1, not {min_weight}")
    spans = _spans(frozen(a), frozen(b), min_weight)
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
