"""Plain-Python features of authorship, for tests: obvious, slow, and equal to the kernels count by count.

See :mod:`kinprint.kernels.style.authorship` for what is computed and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from kinprint.kernels.reference.stylometry import (
    ATTACHED,
    LINE_ENDS,
    LINES,
    WORDS,
    Char,
    Token,
    ends_sentence,
    finish,
    half_octave,
    mix,
    read,
    tokenise,
    trim,
)
from kinprint.kernels.unicode import DIGIT, SPACE, SPACELESS
from numpy.typing import NDArray

BITS = (17, 17, 16, 15, 14, 8)
WINDOW = 16_384
TAIL = 256


def characters(chars: Sequence[Char]) -> list[int]:
    """Hashes of the character n-grams."""
    chars = list(chars)
    while chars and chars[-1][1] == SPACE:
        chars.pop()
    stream: list[tuple[int, bool]] = [(0x0A, False)]
    i = 0
    while i < len(chars):
        cp, c = chars[i]
        j = i + 1
        if c == SPACE:
            while j < len(chars) and chars[j][1] == SPACE:
                j += 1
            run = [x for x, _ in chars[i:j]]
            stream.append((0x0A if any(x in LINE_ENDS for x in run) else run[-1], False))
        else:
            stream.append((0x30 if c == DIGIT else cp, c in (SPACELESS, ATTACHED)))
        i = j
    stream.append((0x0A, False))
    out = []
    for n in range(1, 6):
        for start in range(len(stream) - n + 1):
            gram = stream[start : start + n]
            spaceless = any(flag for _, flag in gram)
            if n == 3 or (spaceless and n < 3) or (not spaceless and n > 3):
                out.append(mix(11, *(cp for cp, _ in gram)))
    return out


def words(tokens: Sequence[Token]) -> list[int]:
    """Hashes of the n-grams of tokens as written."""
    kept = [t for t in tokens if t.kind != "odd space"]
    keys = [1, 1, *(t.key for t in kept)]
    out = [mix(21, t.key) for t in kept if t.kind in WORDS]
    for q in range(2, len(keys)):
        out += [mix(22, *keys[q - 1 : q + 1]), mix(23, *keys[q - 2 : q + 1])]
    return out


def masked(tokens: Sequence[Token]) -> list[int]:
    """Hashes of the n-grams of masked tokens, the last of which is mixed in first."""
    masks = [1, 1, 1, *(t.mask for t in tokens if t.kind != "odd space")]
    out = []
    for q in range(3, len(masks)):
        back = masks[q - 3 : q + 1][::-1]
        out += [mix(31, *back[:n]) for n in (2, 3, 4)]
    return out


def punctuation(tokens: Sequence[Token]) -> list[int]:
    """Hashes of the n-grams of marks, and of where lines begin and end."""
    out = []
    line: list[Token] = []
    for token in [*tokens, None]:
        if token is None or token.kind in LINES:
            if line:
                first, last = line[0].mask, line[-1].mask
                out += [mix(36, first), mix(37, last), mix(38, first, last)]
            line = []
        else:
            line.append(token)
    symbols = [1] * 5
    run = False
    for i, token in enumerate(tokens):
        if token.kind in WORDS:
            if run:
                continue
            alone = token.kind == "number"
            symbols.append(31 if alone else 21)
            run = not alone or (i + 1 < len(tokens) and tokens[i + 1].kind in WORDS)
        else:
            run = False
            if token.kind == "symbol":
                out.append(mix(35, token.mask))
            symbols.append(41 if token.kind == "symbol" else token.mask)
    symbols.append(2)
    for q in range(5, len(symbols)):
        back = symbols[q - 5 : q + 1][::-1]
        out += [mix(34, *back[:n]) for n in range(1, 7)]
    return out


def edges(opening: Sequence[Token], closing: Sequence[Token]) -> list[int]:
    """Hashes of how a text opens and closes."""
    out = []
    for i, token in enumerate(opening[:8]):
        some = opening[: i + 1]
        out += [mix(61, *(t.key for t in some)), mix(62, *(t.mask for t in some)), mix(63, token.key)]
    back = list(closing)[::-1]
    for i, token in enumerate(back[:6]):
        some = back[: i + 1]
        out += [mix(64, *(t.key for t in some)), mix(65, *(t.mask for t in some)), mix(66, token.key)]
    start = max((i + 1 for i, t in enumerate(closing[:-1]) if t.kind in LINES), default=0)
    last = closing[start : start + 3]
    return out + [mix(67, *(t.key for t in last[: i + 1])) for i in range(len(last))]


def rhythm(tokens: Sequence[Token], size: int) -> Counter[int]:
    """Columns of the rhythm range with their counts; ``size`` is the text in bytes."""
    counts: Counter[int] = Counter()
    clause = sentence = line = 0
    for token in [*tokens, Token("paragraph", 0, 0, 2, 0x0A, False, False, False)]:
        if token.kind in WORDS:
            if token.kind != "spaceless":
                counts[min(token.length, 16) - 1] += 1
            clause, sentence, line = clause + 1, sentence + 1, line + 1
        elif token.kind != "odd space":
            if clause:
                counts[16 + min(half_octave(clause), 13)] += 1
            clause = 0
            if ends_sentence(token):
                if sentence:
                    counts[30 + min(half_octave(sentence), 15)] += 1
                sentence = 0
            if token.kind in LINES:
                if line:
                    counts[46 + min(half_octave(line), 17)] += 1
                line = 0
    kinds = [t.kind for t in tokens]
    values = (
        (size, 40),
        (kinds.count("word") + kinds.count("number"), 32),
        (kinds.count("spaceless"), 32),
        (kinds.count("line"), 20),
        (kinds.count("paragraph"), 20),
    )
    place = 64
    for value, classes in values:
        if value > 0:
            for q in range(min(half_octave(value), classes - 1) + 1):
                counts[place + q] += 1
        place += classes
    return counts


def features(text: str) -> dict[int, int]:
    """Columns that a text has, with their counts."""
    inner = trim(text)
    # Bytes up to the end of the last code point that counts: what stands before the first one counts too.
    size = len(text[: text.rindex(inner) + len(inner)].encode()) if inner else 0
    text = inner
    chars, left = read(text, WINDOW)
    tokens = tokenise(chars)
    if not tokens:
        return {}
    closing = tokenise(read(text[-TAIL:], TAIL)[0]) if left else tokens
    found: dict[int, int] = {}
    low = 0
    hashed: list[Iterable[int]] = [
        characters(chars),
        words(tokens),
        masked(tokens),
        punctuation(tokens),
        edges(tokens, closing),
    ]
    for bits, hashes in zip(BITS, hashed, strict=False):
        for column, count in Counter(finish(h) >> (64 - bits) for h in hashes).items():
            found[low + column] = count
        low += 1 << bits
    for column, count in rhythm(tokens, size).items():
        found[low + column] = count
    return found


def separate(
    rows: NDArray[np.float64], target: Sequence[int], count: int, penalty: float, orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dual coordinate descent on dense rows float64[n, d], one class after the other; float64[d + 1, count]."""
    with_intercept = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros((with_intercept.shape[1], count))
    slack = 0.5 / penalty
    for c in range(count):
        sign = np.where(np.array(target) == c, 1.0, -1.0)
        dual = np.zeros(len(rows))
        for order in orders:
            for i in order:
                gradient = sign[i] * (with_intercept[i] @ weights[:, c]) - 1.0 + slack * dual[i]
                step = max(dual[i] - gradient / (with_intercept[i] @ with_intercept[i] + slack), 0.0) - dual[i]
                dual[i] += step
                weights[:, c] += sign[i] * step * with_intercept[i]
    return weights
