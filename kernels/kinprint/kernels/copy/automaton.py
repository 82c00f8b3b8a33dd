"""Where two rows of numbers have stretches in common: a suffix automaton, and matching statistics over it.

See :mod:`~kinprint.kernels.copy.spans`, which makes the numbers of tokens and spans of the matches.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import grown
from kinprint.kernels.hashing import finalise
from kinprint.kernels.jit import kernel
from numpy.typing import NDArray

GRAM = 3
"""Tokens of the stretches by which two texts are cut down to what they may share, and of the least match."""


# ---- the automaton ----


@kernel
def _edge(
    state: int, code: int, table: NDArray[np.int32], origin: NDArray[np.int32], label: NDArray[np.int32]
) -> tuple[int, np.uint64]:
    """The transition of a state by a token, or -1 and the place in the table where it belongs."""
    mask = np.uint64(table.size - 1)
    place = finalise((np.uint64(state) << np.uint64(32)) | np.uint64(code)) & mask
    while table[place] >= 0:
        t = int(table[place])
        if origin[t] == state and label[t] == code:
            return t, place
        place = (place + np.uint64(1)) & mask
    return -1, place


@kernel
def _automaton(
    text: NDArray[np.int32],
) -> tuple[
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
]:
    """Suffix automaton of ``text`` (fewer than 2^29 tokens): at most 2n states and 3n transitions.

    Returns ``length``, ``link`` and ``first_end`` (end of the first occurrence) of every state, and ``table``,
    ``origin``, ``label`` and ``target`` of the transitions: a hash table (:func:`_edge`), since a common word may be
    followed by thousands of others.
    """
    n = text.size
    length = np.zeros(2 * n + 2, np.int32)
    link = np.full(2 * n + 2, -1, np.int32)
    first_end = np.zeros(2 * n + 2, np.int32)
    edges = np.full(2 * n + 2, -1, np.int32)  # the last transition of each state, by which the others are linked
    next_edge = np.empty(3 * n + 4, np.int32)
    origin = np.empty(3 * n + 4, np.int32)
    label = np.empty(3 * n + 4, np.int32)
    target = np.empty(3 * n + 4, np.int32)
    size = 16
    while size < 2 * (3 * n + 4):
        size *= 2
    table = np.full(size, -1, np.int32)
    states = 1
    transitions = 0
    last = 0
    for i in range(n):
        code = int(text[i])
        current = states
        states += 1
        length[current] = length[last] + 1
        first_end[current] = i + 1
        p = last
        q = -1
        while p >= 0:
            edge, place = _edge(int(p), code, table, origin, label)
            if edge >= 0:
                q = int(target[edge])
                break
            table[place] = transitions
            next_edge[transitions] = edges[p]
            origin[transitions] = p
            label[transitions] = code
            target[transitions] = current
            edges[p] = transitions
            transitions += 1
            p = int(link[p])
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
            copied = int(edges[q])
            while copied >= 0:
                _, place = _edge(clone, int(label[copied]), table, origin, label)
                table[place] = transitions
                next_edge[transitions] = edges[clone]
                origin[transitions] = clone
                label[transitions] = label[copied]
                target[transitions] = target[copied]
                edges[clone] = transitions
                transitions += 1
                copied = int(next_edge[copied])
            while p >= 0:
                edge, _ = _edge(p, code, table, origin, label)
                if edge < 0 or target[edge] != q:
                    break
                target[edge] = clone
                p = int(link[p])
            link[q] = clone
            link[current] = clone
        last = current
    return length, link, first_end, table, origin, label, target


@kernel
def matches_of(text: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int64]:
    """Maximal stretches of ``text`` of :data:`GRAM` tokens or more that occur in ``other``: int64[m, 3] rows (start,
    end, start in other).
    """
    length, link, first_end, table, origin, label, target = _automaton(other)
    out = np.empty((16, 3), np.int64)
    m = 0
    state = 0
    matched = 0
    for i in range(text.size + 1):
        step = -1
        code = int(text[i]) if i < text.size else 0
        if i < text.size:
            edge, _ = _edge(state, code, table, origin, label)
            if edge >= 0:
                step = int(target[edge])
        if step >= 0:
            state = step
            matched += 1
            continue
        if matched >= GRAM:
            if m == out.shape[0]:
                out = grown(out, m, 4 * m)
            out[m, 0] = i - matched
            out[m, 1] = i
            out[m, 2] = first_end[state] - matched
            m += 1
        if i == text.size:
            break
        while state > 0 and step < 0:
            state = int(link[state])
            edge, _ = _edge(state, code, table, origin, label)
            if edge >= 0:
                step = int(target[edge])
        if step >= 0:
            matched = int(length[state]) + 1
            state = step
        else:
            matched = 0
    return out[:m]


# ---- cutting down ----


@kernel
def _grams(text: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Hashes of the stretches of :data:`GRAM` tokens, by where they begin; none is 0."""
    n = text.size - GRAM + 1
    out = np.empty(max(n, 0), np.uint64)
    for i in range(n):
        h = np.uint64(0)
        for k in range(GRAM):
            h = finalise(h ^ np.uint64(text[i + k] + 1)) * np.uint64(0x9E3779B97F4A7C15)
        out[i] = h if h != 0 else np.uint64(1)
    return out


@kernel
def _common(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where stretches of :data:`GRAM` tokens begin that the other text has, too: bool[n] of each text.

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
    text: NDArray[np.int32], begins: NDArray[np.bool_], between: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The tokens of a text that lie in common stretches, with one ``between`` each two, and where each stood."""
    kept = np.empty(text.size, np.int32)
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
def _shortened(
    a: NDArray[np.int32], b: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Both texts cut down to what they have in common: tokens, and where each stood."""
    in_a, in_b = _common(a, b)
    short_a, where_a = _cut(a, in_a, a.size + b.size)
    short_b, where_b = _cut(b, in_b, a.size + b.size + 1)
    return short_a, where_a, short_b, where_b


def _whole_places(
    found: NDArray[np.int64], where: NDArray[np.int64], where_other: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Matches of texts that were cut down, by their places in the whole ones."""
    start = where[found[:, 0]]
    return np.stack((start, start + found[:, 1] - found[:, 0], where_other[found[:, 2]]), axis=1)


def both_matches(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """:func:`matches_of` of ``a`` in ``b`` and of ``b`` in ``a``.

    An automaton takes many times longer to build than a text to read. So texts are first cut down to the stretches
    that they have in common, with numbers between that no token has, another in each: a match of as many tokens,
    and every place where it occurs, lies within such stretches, and ends there or not as it would in the whole texts.
    """
    if a.size >= GRAM and np.array_equal(a, b):
        whole = np.array([[0, a.size, 0]], np.int64)
        return whole, whole
    short_a, where_a, short_b, where_b = _shortened(a, b)
    forward, backward = matches_of(short_a, short_b), matches_of(short_b, short_a)
    return _whole_places(forward, where_a, where_b), _whole_places(backward, where_b, where_a)
