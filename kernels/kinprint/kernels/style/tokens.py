"""What style is read from: the code points of a text in a window, and the tokens that they make.

A token is a word, a letter of a script without spaces, a number, a run of one mark or symbol, odd white space, or one
or several line ends. Each has a hash as it is written and a *mask*, in which a word longer than :data:`SHORT_WORD` code
points is replaced by length class, capitalisation and last two code points, so that topic goes and form stays.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.jit import inlined, kernel
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

WINDOW: Final = 4096
"""Code points, from the start of a text, that style is read from; the closing always comes from the end."""
TAIL: Final = 256
"""Code points at the end of a text longer than :data:`WINDOW` in which its closing is read."""

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
_M1 = np.uint64(0x9E3779B97F4A7C15)
_M2 = np.uint64(0xBF58476D1CE4E5B9)
_M3 = np.uint64(0x94D049BB133111EB)
_S29 = np.uint64(29)

# Most text is ASCII, which has no marks and no ignorable code points.
_ASCII_CLASSES = (PROPS_BLOCKS[PROPS_INDEX[0]] & 15).astype(np.uint8)
ATTACHED: Final = 9
"""Class, in what :func:`decode_window` returns, of a combining mark on a spaceless letter."""


@inlined
def mix(h, x):  # type: ignore[no-untyped-def]
    """One step of a running 64-bit hash: ``h`` with ``x`` mixed in."""
    h = (h ^ np.uint64(x)) * _M1
    return h ^ (h >> _S29)


@inlined
def finish(h):  # type: ignore[no-untyped-def]
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches bucket and sign."""
    h = (h ^ (h >> np.uint64(30))) * _M2
    h = (h ^ (h >> np.uint64(27))) * _M3
    return h ^ (h >> np.uint64(31))


@inlined
def is_sentence_end(cp):  # type: ignore[no-untyped-def]
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


@inlined
def half_octave(x):  # type: ignore[no-untyped-def]
    """Logarithmic class of x >= 1, two classes an octave: 1, 2, 3, 4-5, 6-7, 8-11, ..."""
    k = 0
    y = x
    while y >= 4:
        y >>= 1
        k += 2
    return k + y - 1


@kernel
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


@kernel
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


@kernel
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
        if kind == T_MARK and is_sentence_end(marks[i]) and not flags[i] & F_TIGHT:
            ends = True
        if ends and sentence > 0:
            counts[30 + min(half_octave(sentence), 15)] += 1
            sentence = 0
        if kind >= T_LINE and line > 0:
            counts[46 + min(half_octave(line), 17)] += 1
            line = 0


@kernel
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


@kernel
def tail_start(data, start, end):  # type: ignore[no-untyped-def]
    """Byte at which the last TAIL code points of ``data[start:end]`` begin."""
    i = end
    seen = 0
    while i > start and seen < TAIL:
        i -= 1
        if data[i] & 0xC0 != 0x80:
            seen += 1
    return i
