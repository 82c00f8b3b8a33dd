"""The n-grams of answers, and the inner products of the answers to one prompt: steps 1 and 2 of residuals.

See :mod:`~kinprint.kernels.style.residual`, whose families, weights and version these are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.arrow import memory
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.style.tokens import ATTACHED, decode_window, mix
from kinprint.kernels.unicode import (
    DIGIT,
    FOLD_SEQUENCES,
    MARK,
    PUNCT,
    SPACE,
    SYMBOL,
    UPPER,
    WORD,
    fold_entry,
    is_line_end,
    is_word_class,
)

FAMILY_COUNT: Final = 5
"""Characters, words, phrases, punctuation and openings."""
WINDOW: Final = 600
"""Code points of an answer that are read, from its start."""
OPENING: Final = 8
"""Most tokens of an opening."""

# Kinds of token; up to NUMBER and SPACELESS are words.
_LOWER, _CAPITAL, _NUMBER, _MARK, _LINE, _BLANK_LINE, _SPACELESS = 1, 2, 3, 4, 5, 6, 7

# Most keys of one text, per code point: 3 characters, 2 words, 3 phrases, 4 punctuation.
_KEYS: Final = 12 * WINDOW + OPENING
_DENSE: Final = 8

# An n-gram that every answer has weighs a little, so that two answers alone can be compared at all.
_SMOOTH: Final = 1.5


# ---- n-grams ----


@kernel
def _lowered(h, cp):  # type: ignore[no-untyped-def]
    """Mix an upper-case code point into ``h`` as its case folding, which may be several code points."""
    if cp < 0x80:
        return mix(h, cp + 32)
    start, length = fold_entry(cp)
    if length == 0:
        return mix(h, cp)
    for k in range(start, start + length):
        h = mix(h, FOLD_SEQUENCES[k])
    return h


@kernel
def _tokens(cps, classes, n, keys, kinds):  # type: ignore[no-untyped-def]
    """Tokens of ``n`` code points: hash and kind of each; returns their number, at most ``n``."""
    k = 0
    i = 0
    while i < n:
        c = classes[i]
        if c == SPACE:
            ends = 0
            while i < n and classes[i] == SPACE:
                ends += is_line_end(cps[i])
                i += 1
            if ends > 0 and i < n:
                kinds[k] = _LINE if ends == 1 else _BLANK_LINE
                keys[k] = 900 + kinds[k]
                k += 1
            continue
        if is_word_class(c):
            h = np.uint64(7)
            digits = c == DIGIT
            capital = c == UPPER
            while i < n:
                c = classes[i]
                cp = cps[i]
                if c == UPPER:
                    h = _lowered(h, cp)
                elif is_word_class(c):
                    h = mix(h, cp)
                elif (
                    (cp == 0x27 or cp == 0x2019)
                    and i + 1 < n
                    and (classes[i + 1] == WORD or classes[i + 1] == UPPER or classes[i + 1] == MARK)
                ):
                    h = mix(h, 0x27)
                else:
                    break
                i += 1
            kinds[k] = _NUMBER if digits else (_CAPITAL if capital else _LOWER)
            keys[k] = h
        elif c in (PUNCT, SYMBOL):
            kinds[k] = _MARK
            keys[k] = mix(np.uint64(3), cps[i])
            i += 1
        else:
            kinds[k] = _SPACELESS
            h = mix(np.uint64(5), cps[i])
            i += 1
            while i < n and (classes[i] == ATTACHED or classes[i] == MARK):
                h = mix(h, cps[i])
                i += 1
            keys[k] = h
        k += 1
    return k


@kernel
def _ngrams(data, cps, classes, keys, kinds, line, out, bounds):  # type: ignore[no-untyped-def]
    """Write the keys of every family of one text to ``out``; family f is ``out[bounds[f]:bounds[f + 1]]``."""
    n, _ = decode_window(data, 0, data.size, WINDOW, cps, classes)
    while n > 0 and classes[n - 1] == SPACE:
        n -= 1
    o = 0
    bounds[0] = 0
    # characters: a run of white space is one character
    m = 0
    for i in range(n):
        space = classes[i] == SPACE
        if space and i > 0 and classes[i - 1] == SPACE:
            continue
        line[m] = np.uint64(0x20) if space else np.uint64(cps[i])
        m += 1
    for i in range(m - 2):
        h = mix(mix(mix(np.uint64(11), line[i]), line[i + 1]), line[i + 2])
        out[o] = h
        o += 1
        if i + 3 < m:
            h = mix(h, line[i + 3])
            out[o] = h
            o += 1
            if i + 4 < m:
                out[o] = mix(h, line[i + 4])
                o += 1
    bounds[1] = o
    tokens = _tokens(cps, classes, n, keys, kinds)
    # words
    w = 0
    for i in range(tokens):
        if kinds[i] <= _NUMBER or kinds[i] == _SPACELESS:
            line[w] = keys[i]
            w += 1
    for i in range(w):
        h = mix(np.uint64(21), line[i])
        out[o] = h
        o += 1
        if i + 1 < w:
            out[o] = mix(h, line[i + 1])
            o += 1
    bounds[2] = o
    # phrases
    for i in range(w - 2):
        h = mix(mix(mix(np.uint64(51), line[i]), line[i + 1]), line[i + 2])
        out[o] = h
        o += 1
        if i + 3 < w:
            h = mix(h, line[i + 3])
            out[o] = h
            o += 1
            if i + 4 < w:
                out[o] = mix(h, line[i + 4])
                o += 1
    bounds[3] = o
    # punctuation: a stretch of words is one symbol, and a capitalised word one of its own
    p = 0
    for i in range(tokens):
        kind = kinds[i]
        if kind in (_LOWER, _SPACELESS):
            symbol = np.uint64(1)
        elif kind == _CAPITAL:
            symbol = np.uint64(2)
        elif kind == _NUMBER:
            symbol = np.uint64(3)
        else:
            symbol = keys[i]
        if symbol == 1 and p > 0 and line[p - 1] == 1:
            continue
        line[p] = symbol
        p += 1
    for i in range(p):
        h = np.uint64(41)
        for q in range(i, min(i + 4, p)):
            h = mix(h, line[q])
            out[o] = h
            o += 1
    bounds[4] = o
    # openings
    h = np.uint64(61)
    for i in range(min(OPENING, tokens)):
        h = mix(h, keys[i])
        out[o] = h
        o += 1
    bounds[5] = o


# ---- inner products ----


@parallel_kernel()
def inner_products(first, last, addresses, lengths, model, starts, counted, strands, gram):  # type: ignore[no-untyped-def]
    """gram float32[prompts, 5, models, models]; models from ``counted`` on do not count for rarity."""
    for t in range(first, last):
        _grams_of(t, strands, addresses, lengths, model, starts, counted, gram)


@kernel
def _grams_of(t, strands, addresses, lengths, model, starts, counted, gram):  # type: ignore[no-untyped-def]
    """Every ``strands``-th prompt from ``t`` on, in one workspace: touching new memory for each would cost more."""
    prompts = starts.size - 1
    most = 0
    for p in range(prompts):
        most = max(most, starts[p + 1] - starts[p])
    cps = np.empty(WINDOW, np.int32)
    classes = np.empty(WINDOW, np.uint8)
    tokens = np.empty(WINDOW, np.uint64)
    kinds = np.empty(WINDOW, np.uint8)
    line = np.empty(WINDOW, np.uint64)
    bounds = np.empty((most, FAMILY_COUNT + 1), np.int64)
    keys = np.empty((most, _KEYS), np.uint64)
    size = 1024
    while size < 8 * WINDOW * most:
        size *= 2
    table = np.zeros(size, np.int32)
    room = 4 * WINDOW * most + 1
    entry_key = np.empty(room, np.uint64)
    entry_df = np.empty(room, np.int32)
    entry_has = np.empty(room, np.int32)
    entry_tf = np.empty(room, np.int32)
    entry_last = np.empty(room, np.int32)
    entry_start = np.empty(room + 1, np.int64)
    used = np.empty(4 * WINDOW * most, np.int32)
    counts = np.empty(4 * WINDOW * most, np.int32)
    ends = np.empty(most + 1, np.int64)
    posting_text = np.empty(4 * WINDOW * most, np.int32)
    posting_weight = np.empty(4 * WINDOW * most, np.float32)
    dense = np.zeros(most, np.float32)
    # Thousands of products add up: in single precision equal answers would differ by more than residuals may.
    local = np.empty((most, most), np.float64)
    norms = np.empty(most, np.float64)
    for p in range(t, prompts, strands):
        first = starts[p]
        n = starts[p + 1] - first
        if n == 0:
            continue
        n_counted = 0
        for a in range(n):
            _ngrams(
                memory(addresses[first + a], lengths[first + a]),
                cps, classes, tokens, kinds, line, keys[a], bounds[a],
            )  # fmt: skip
            if model[first + a] < counted:
                n_counted += 1
        for f in range(FAMILY_COUNT):
            total = 0
            for a in range(n):
                total += bounds[a, f + 1] - bounds[a, f]
            used_size = np.int64(1024)
            while used_size < 2 * total:
                used_size *= 2
            mask = np.uint64(used_size - 1)
            table[:used_size] = 0
            entries = 0
            s = 0
            ends[0] = 0
            for a in range(n):
                begin = s
                counts_here = model[first + a] < counted
                for i in range(bounds[a, f], bounds[a, f + 1]):
                    h = keys[a, i]
                    z = np.int64(((h * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(20)) & mask)
                    e = table[z]
                    while e != 0 and entry_key[e] != h:
                        z = np.int64((np.uint64(z) + np.uint64(1)) & mask)
                        e = table[z]
                    if e == 0:
                        entries += 1
                        e = np.int32(entries)
                        table[z] = e
                        entry_key[e] = h
                        entry_df[e] = 0
                        entry_has[e] = 0
                        entry_last[e] = -1
                    if entry_last[e] != a:
                        entry_last[e] = a
                        entry_tf[e] = 0
                        entry_has[e] += 1
                        if counts_here:
                            entry_df[e] += 1
                        used[s] = e
                        s += 1
                    entry_tf[e] += 1
                for q in range(begin, s):
                    counts[q] = entry_tf[used[q]]
                ends[a + 1] = s
            # Postings of the n-grams that more than one answer has; the others only make vectors longer.
            c = np.int64(0)
            for e in range(1, entries + 1):
                entry_start[e] = c
                if entry_has[e] > 1:
                    c += entry_has[e]
            for a in range(n):
                own = 0 if model[first + a] < counted else 1
                squares = 0.0
                for q in range(ends[a], ends[a + 1]):
                    e = used[q]
                    rarity = np.log((_SMOOTH + n_counted + own) / (1.0 + entry_df[e] + own))
                    weight = np.log(1.0 + counts[q]) * rarity
                    squares += weight * weight
                    if entry_has[e] > 1:
                        # Filled behind its start, text by text; moved back below.
                        place = entry_start[e]
                        posting_text[place] = a
                        posting_weight[place] = weight
                        entry_start[e] = place + 1
                norms[a] = 1.0 / np.sqrt(squares) if squares > 0.0 else 0.0
            for a in range(n):
                for b in range(a + 1):
                    local[a, b] = 0.0
            for e in range(1, entries + 1):
                has = entry_has[e]
                if has < 2:
                    continue
                end = entry_start[e]
                begin = end - has
                only_new = counted < gram.shape[2]
                if has * _DENSE > n:
                    for i in range(begin, end):
                        dense[posting_text[i]] = posting_weight[i] * norms[posting_text[i]]
                    for i in range(begin, end):
                        a = posting_text[i]
                        if only_new and model[first + a] < counted:
                            continue
                        weight_a = dense[a]
                        row = local[a]
                        for b in range(a):
                            row[b] += weight_a * dense[b]
                    for i in range(begin, end):
                        dense[posting_text[i]] = 0.0
                else:
                    for i in range(begin, end):
                        a = posting_text[i]
                        if only_new and model[first + a] < counted:
                            continue
                        weight_a = posting_weight[i] * norms[a]
                        row = local[a]
                        for j in range(begin, i):
                            row[posting_text[j]] += weight_a * np.float32(posting_weight[j] * norms[posting_text[j]])
            for a in range(n):
                i = model[first + a]
                for b in range(a):
                    j = model[first + b]
                    gram[p, f, i, j] = local[a, b]
                    gram[p, f, j, i] = local[a, b]
                gram[p, f, i, i] = 1.0 if norms[a] > 0.0 else 0.0
