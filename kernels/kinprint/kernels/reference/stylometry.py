"""Plain-Python style vectors, for tests: obvious, slow, and equal to the kernels bit by bit in integers.

See :mod:`kinprint.kernels.style.stylometry` for what is computed and why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

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
)

BOUNDS = (0, 64, 128, 384, 448, 512)
WINDOW = 4096
TAIL = 256
ATTACHED = 9
LINE_ENDS = {0x0A, 0x0D, 0x85, 0x2028, 0x2029}
SENTENCE_ENDS = {ord(c) for c in ".!?。！？．｡…؟۔।॥։።။។།"}
COMMAS = {ord(c) for c in ",，、،､"}
BULLETS = {ord(c) for c in "-*+–•‣●"}
MASK64 = (1 << 64) - 1

Char = tuple[int, int]
"""A code point and its class."""


class Token(NamedTuple):
    kind: str
    key: int
    mask: int
    length: int
    first: int
    before: bool
    after: bool
    tight: bool


def code_class(cp: int) -> int:
    return int(PROPS_BLOCKS[int(PROPS_INDEX[cp >> 7]), cp & 127]) & 15


def mix(h: int, *values: int) -> int:
    for x in values:
        h = ((h ^ x) * 0x9E3779B97F4A7C15) & MASK64
        h ^= h >> 29
    return h


def finish(h: int) -> int:
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK64
    return h ^ (h >> 31)


def wordlike(c: int) -> bool:
    return c in (WORD, UPPER, DIGIT, MARK)


def trim(text: str) -> str:
    """``text`` without white space and ignorable code points at both ends."""
    empty = (SPACE, IGNORABLE)
    inner = [i for i, ch in enumerate(text) if code_class(ord(ch)) not in empty]
    return text[inner[0] : inner[-1] + 1] if inner else ""


def read(text: str, limit: int) -> tuple[list[Char], str]:
    """The first ``limit`` code points that count, with classes, and the text left over."""
    chars: list[Char] = []
    for i, ch in enumerate(text):
        if len(chars) == limit:
            return chars, text[i:]
        c = code_class(ord(ch))
        if c == IGNORABLE or (c == SPACE and not chars):
            continue
        if c == MARK and chars and chars[-1][1] in (SPACELESS, ATTACHED):
            c = ATTACHED
        if ch == "\r" and text[i + 1 : i + 2] == "\n":
            continue
        chars.append((ord(ch), c))
    return chars, ""


def word_token(chars: Sequence[Char], before: bool, after: bool, tight: bool) -> Token:
    cps = [cp for cp, _ in chars]
    classes = [c for _, c in chars]
    key = mask = mix(100, *cps)
    kind = "word"
    size = len(cps)
    upper = classes.count(UPPER)
    if classes.count(DIGIT) == size:
        kind = "number"
        mask = mix(300, min(size, 5))
    elif size > 4:
        if upper == 0:
            shape = 0
        elif upper == 1 and classes[0] == UPPER:
            shape = 1
        else:
            shape = 2 if upper == size else 3
        size_class = sum(size > bound for bound in (6, 8, 11))
        mask = mix(400, size_class * 4 + shape, cps[-2], cps[-1])
    return Token(kind, key, mask, size, cps[0], before, after, tight)


def tokenise(chars: Sequence[Char]) -> list[Token]:
    chars = list(chars)
    while chars and chars[-1][1] == SPACE:
        chars.pop()
    tokens: list[Token] = []
    i = 0
    before = True
    while i < len(chars):
        cp, c = chars[i]
        j = i + 1
        if c == SPACE:
            while j < len(chars) and chars[j][1] == SPACE:
                j += 1
            blanks = [cp for cp, _ in chars[i:j]]
            lines = [q for q, blank in enumerate(blanks) if blank in LINE_ENDS]
            if lines:
                indent = len(blanks) - 1 - lines[-1]
                key = mix(500, min(len(lines), 3), min(3, (indent + 1) // 2))
                kind = "line" if len(lines) == 1 else "paragraph"
                tokens.append(Token(kind, key, key, len(lines), 0x0A, False, False, False))
            else:
                for blank in blanks:
                    if blank != 0x20:
                        key = mix(700, blank)
                        tokens.append(Token("odd space", key, key, 1, blank, False, False, False))
            before = True
            i = j
            continue
        if c == SPACELESS:
            while j < len(chars) and chars[j][1] == ATTACHED:
                j += 1
        elif wordlike(c):
            while j < len(chars):
                apostrophe = chars[j][0] in (0x27, 0x2019) and (j + 1 < len(chars) and chars[j + 1][1] in (WORD, UPPER))
                if not wordlike(chars[j][1]) and not apostrophe:
                    break
                j += 1
        else:
            while j < len(chars) and chars[j][0] == cp:
                j += 1
        after = j == len(chars) or chars[j][1] == SPACE
        tight = not after and wordlike(chars[j][1])
        if c == SPACELESS:
            key = mix(200, *(x for x, _ in chars[i:j]))
            tokens.append(Token("spaceless", key, key, j - i, cp, before, after, tight))
        elif wordlike(c):
            tokens.append(word_token(chars[i:j], before, after, tight))
        else:
            key = mix(600, cp, min(j - i, 4))
            mask = mix(key, 1 + before + 2 * after)
            kind = "mark" if c == PUNCT else "symbol"
            tokens.append(Token(kind, key, mask, j - i, cp, before, after, tight))
        before = False
        i = j
    return tokens


WORDS = ("word", "number", "spaceless")
LINES = ("line", "paragraph")


def character_features(chars: Sequence[Char]) -> list[int]:
    chars = list(chars)
    while chars and chars[-1][1] == SPACE:
        chars.pop()
    stream: list[tuple[int, str]] = [(0x0A, "other")]
    i = 0
    while i < len(chars):
        cp, c = chars[i]
        j = i + 1
        if c == SPACE:
            while j < len(chars) and chars[j][1] == SPACE:
                j += 1
            if any(x in LINE_ENDS for x, _ in chars[i:j]):
                cp = 0x0A
            stream.append((cp, "other"))
        elif c in (SPACELESS, ATTACHED):
            stream.append((cp, "spaceless"))
        elif wordlike(c):
            stream.append((0x30 if c == DIGIT else cp, "letter"))
        else:
            stream.append((cp, "other"))
        i = j
    stream.append((0x0A, "other"))
    out = []
    for triple in zip(stream, stream[1:], stream[2:], strict=False):
        sorts = [sort for _, sort in triple]
        if "spaceless" not in sorts and "other" in sorts:
            out.append(finish(mix(11, *(cp for cp, _ in triple))))
    return out


def word_features(tokens: Sequence[Token]) -> list[int]:
    out = []
    previous = 1
    for i, token in enumerate(tokens):
        if token.kind in ("word", "number"):
            out += [finish(mix(21, token.mask)), finish(mix(22, previous, token.mask))]
            previous = token.mask
            continue
        if token.kind == "spaceless":
            first = i == 0 or tokens[i - 1].kind != "spaceless" or token.before
            last = i + 1 == len(tokens) or tokens[i + 1].kind != "spaceless" or token.after
            if first:
                out.append(finish(mix(23, token.mask)))
                if not last:
                    out.append(finish(mix(24, token.mask, tokens[i + 1].mask)))
            if last:
                out.append(finish(mix(25, token.mask)))
                if not first:
                    out.append(finish(mix(26, tokens[i - 1].mask, token.mask)))
        if token.kind != "odd space":
            previous = 1
    return out


def punctuation_features(tokens: Sequence[Token]) -> list[int]:
    out = []
    symbols = [1, 1, 1]
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
                out.append(finish(mix(35, token.mask)))
            symbols.append(41 if token.kind == "symbol" else token.mask)
    symbols.append(2)
    for q in range(3, len(symbols)):
        out += [finish(mix(30 + n, *symbols[q - n + 1 : q + 1])) for n in (2, 3, 4)]
    return out


def opening_features(tokens: Sequence[Token]) -> list[int]:
    out = []
    for i, token in enumerate(tokens[:5]):
        out += [finish(mix(61, *(t.key for t in tokens[: i + 1]))), finish(mix(63, token.mask))]
    return out


def closing_features(tokens: Sequence[Token]) -> list[int]:
    if not tokens:
        return []
    out = [finish(mix(64, tokens[-1].mask))]
    if len(tokens) > 1:
        out.append(finish(mix(65, tokens[-2].mask, tokens[-1].mask)))
    start = max((i + 1 for i, t in enumerate(tokens[:-1]) if t.kind in LINES), default=0)
    out.append(finish(mix(66, tokens[start].mask)))
    return out


def half_octave(x: int) -> int:
    """Number of class bounds 2, 3, 4, 6, 8, 12, 16, ... that ``x`` reaches."""
    bounds = sorted([2**e for e in range(1, 40)] + [3 * 2**e for e in range(40)])
    return sum(x >= bound for bound in bounds)


def ends_sentence(token: Token) -> bool:
    return token.kind in LINES or (token.kind == "mark" and token.first in SENTENCE_ENDS and not token.tight)


def rhythm(tokens: Sequence[Token]) -> list[int]:
    end = Token("paragraph", 0, 0, 2, 0x0A, False, False, False)
    words = [0] * 16
    clauses = [0] * 14
    sentences = [0] * 16
    lines = [0] * 18
    clause = sentence = line = 0
    for token in [*tokens, end]:
        if token.kind in WORDS:
            if token.kind != "spaceless":
                words[min(token.length, 16) - 1] += 1
            clause, sentence, line = clause + 1, sentence + 1, line + 1
        elif token.kind != "odd space":
            if clause:
                clauses[min(half_octave(clause), 13)] += 1
            clause = 0
            if ends_sentence(token):
                if sentence:
                    sentences[min(half_octave(sentence), 15)] += 1
                sentence = 0
            if token.kind in LINES:
                if line:
                    lines[min(half_octave(line), 17)] += 1
                line = 0
    out = []
    for counts in (words, clauses, sentences, lines):
        total = sum(counts)
        out += [round(127.0 * math.sqrt(c / total)) if total else 0 for c in counts]
    return out


def hashed(features: Iterable[int], width: int) -> list[int]:
    sums = [0] * width
    for h, count in Counter(features).items():
        weight = round(math.sqrt(count) * 256.0)
        sums[((h >> 32) * width) >> 32] += -weight if (h >> 29) & 1 else weight
    squares = sum(s * s for s in sums)
    if squares == 0:
        return sums
    norm = math.sqrt(squares)
    return [round(s * 127.0 / norm) for s in sums]


def style_vector(text: str) -> list[int]:
    """512 integers in [-127, 127]."""
    text = trim(text)
    chars, rest = read(text, WINDOW)
    tokens = tokenise(chars)
    if not tokens:
        return [0] * BOUNDS[-1]
    widths = [high - low for low, high in pairwise(BOUNDS)]
    last = tokenise(read(text[-TAIL:], TAIL)[0]) if rest else tokens
    return [
        *hashed(character_features(chars), widths[0]),
        *hashed(word_features(tokens), widths[1]),
        *hashed(punctuation_features(tokens), widths[2]),
        *hashed(opening_features(tokens) + closing_features(last), widths[3]),
        *rhythm(tokens),
    ]


def score(query: Sequence[int], row: Sequence[int], mean: Sequence[float], inv_std: Sequence[float]) -> float:
    """Cosine Delta; zero when either vector is blank."""
    if not any(query) or not any(row):
        return 0.0
    a = [(x - m) * s for x, m, s in zip(query, mean, inv_std, strict=True)]
    b = [(x - m) * s for x, m, s in zip(row, mean, inv_std, strict=True)]
    norm = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0


def is_list_item(tokens: Sequence[Token], i: int) -> bool:
    token = tokens[i]
    if token.kind in ("mark", "symbol"):
        return token.length == 1 and token.first in BULLETS and token.after and i + 1 < len(tokens)
    if token.kind != "number" or token.after or i + 2 >= len(tokens):
        return False
    dot = tokens[i + 1]
    if dot.kind != "mark" or dot.length != 1:
        return False
    return dot.first == ord("、") or (dot.first in (ord("."), ord(")")) and dot.after)


def traits(text: str) -> list[float]:
    """The measures that ``TRAITS`` names."""
    chars, _ = read(trim(text), WINDOW)
    tokens = tokenise(chars)
    words = [t for t in tokens if t.kind in WORDS]
    spelled = [t.length for t in tokens if t.kind == "word"]

    sentences = 0
    running = False
    for token in [*tokens, Token("paragraph", 0, 0, 2, 0x0A, False, False, False)]:
        if token.kind in WORDS:
            running = True
        elif ends_sentence(token):
            sentences += running
            running = False

    def marks(code_points: Iterable[int]) -> int:
        wanted = set(code_points)
        return sum(t.length for t in tokens if t.kind == "mark" and t.first in wanted)

    starts = [i for i in range(len(tokens)) if i == 0 or tokens[i - 1].kind in LINES]
    headings = sum(
        tokens[i].first == ord("#") and tokens[i].length <= 6 and tokens[i].after and i + 1 < len(tokens)
        for i in starts
    )
    bold = sum(t.kind == "mark" and t.first in (ord("*"), ord("_")) and t.length in (2, 3) for t in tokens)
    counts = [
        marks(COMMAS),
        marks(map(ord, "!！")),
        marks(map(ord, "?？؟")),
        marks(map(ord, "—")),
        sum(t.length for t in tokens if t.kind == "symbol" and t.first >= 0x2600),
        sum(is_list_item(tokens, i) for i in starts),
        bold // 2,
        headings,
    ]
    upper = sum(c == UPPER for _, c in chars)
    cased = sum(c in (UPPER, WORD) for _, c in chars)
    first = [t.key for t in words[:100]]
    return [
        len(words) / sentences if sentences else 0.0,
        sum(spelled) / len(spelled) if spelled else 0.0,
        *(100.0 * count / len(words) if words else 0.0 for count in counts),
        upper / cased if cased else 0.0,
        len(set(first)) / len(first) if first else 0.0,
    ]
