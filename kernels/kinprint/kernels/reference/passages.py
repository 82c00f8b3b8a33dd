"""Passages by definition: every diagonal of every two texts, every window, every seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2
from typing import NamedTuple

from kinprint.kernels import hashing, unicode
from kinprint.kernels.copy.matching import REPEATS
from kinprint.kernels.copy.postings import GRAM, WINDOW
from kinprint.kernels.reference.seeds import winnowed
from kinprint.kernels.reference.shingle import (
    _U64,
    _WORD_CLASSES,
    _rotated,
    code_class,
    finalise,
    multiply_fold,
    shingle_set,
    word_hash,
)
from kinprint.kernels.reference.spans import _trim


class Token(NamedTuple):
    """A word or a spaceless code point of a text: its bytes ``begin .. end - 1``."""

    begin: int
    end: int
    hash: int


class Passage(NamedTuple):
    """A stretch that stands in texts a and b."""

    a: int
    b: int
    start_a: int
    start_b: int
    bytes: int
    tokens: int
    texts: int
    #: The seed that it is weighed by.
    seed: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text as it is stored, in order."""
    found: list[Token] = []
    kind = "separator"
    p = 0
    for char in text:
        cls = code_class(ord(char))
        if cls != unicode.MARK:
            word = cls in _WORD_CLASSES
            before, kind = (
                kind,
                ("word" if word else "spaceless" if cls in (unicode.SPACELESS, unicode.SYMBOL) else "separator"),
            )
        else:
            before = kind
        end = p + len(char.encode())
        if kind == "word" and before == "word":
            found[-1] = found[-1]._replace(end=end)
        elif kind != "separator":
            found.append(Token(p, end, 0))
        p = end
    data = text.encode()
    return [t._replace(hash=_hash(data[t.begin : t.end].decode())) for t in found]


def _hash(token: str) -> int:
    if code_class(ord(token[0])) in _WORD_CLASSES:
        return word_hash(token)
    point = ord(token) ^ int(hashing.CODE_POINT_SHINGLE_1)
    return finalise(multiply_fold(point, int(hashing.CODE_POINT_SHINGLE_2)))


def _grams(some: Sequence[Token]) -> list[int]:
    return [
        finalise(sum(_rotated(some[i + j].hash, 7 * j) for j in range(GRAM)) & _U64)
        for i in range(len(some) - GRAM + 1)
    ]


def seeds(text: str) -> list[tuple[int, int]]:
    """(hash, byte where it begins) of the seeds of a text, in order."""
    found = tokens(text)
    grams = _grams(found)
    return [(grams[k], found[k].begin) for k in winnowed(grams, WINDOW)]


def common(a: bytes, b: bytes) -> Iterator[tuple[int, int, int]]:
    """(begin in a, begin in b, bytes) of the stretches in which two texts agree, as long as they can be."""
    for diagonal in range(-len(a) + 1, len(b)):
        run = 0
        first = max(0, -diagonal)
        last = min(len(a), len(b) - diagonal)
        for p in range(first, last + 1):
            if p < last and a[p] == b[p + diagonal]:
                run += 1
            elif run:
                yield p - run, p - run + diagonal, run
                run = 0


def trimmed(text: bytes, start: int, end: int) -> tuple[int, int]:
    """A stretch cut to whole code points, without white space at its ends."""
    return _trim(text, start, end)


def passages(
    texts: Sequence[str], second: int, min_tokens: int, max_texts: int, every: bool
) -> tuple[list[Passage], int]:
    """All passages, as the kernel lists them, and how many seeds were passed over."""
    own = [seeds(text) for text in texts]
    data = [text.encode() for text in texts]
    cut = [tokens(text) for text in texts]
    sizes: dict[int, int] = {}
    for some in own:
        for seed, _ in some:
            sizes[seed] = sizes.get(seed, 0) + 1
    made, skipped = [], 0
    for i in range(second or len(texts)):
        others = [j for j in range(second, len(texts)) if j != i]
        over = {seed for seed, _ in own[i] if _common(seed, i, others, own, max_texts)}
        skipped += sum(seed in over for seed, _ in own[i])
        rows = []
        for j in others:
            there = set(own[j])
            for start, start_there, size in common(data[i], data[j]):
                hits = [
                    seed
                    for seed, p in own[i]
                    if start <= p < start + size and seed not in over and (seed, p - start + start_there) in there
                ]
                if not hits:
                    continue
                first, last = trimmed(data[i], start, start + size)
                begun = sum(first <= t.begin < last for t in cut[i])
                if begun >= min_tokens:
                    weight = _weight(cut[i], own[i], first, last, hits[0], sizes)
                    rows.append(Passage(i, j, first, first - start + start_there, last - first, begun, 0, weight))
        rows.sort(key=lambda r: (r.start_a, -r.bytes, r.b, r.start_b))
        kept = [r for k, r in enumerate(rows) if every or not any(_within(r, q) for q in rows[:k])]
        made += [r._replace(texts=len({q.b for q in rows if _within(r, q)})) for r in kept]
    return made, skipped


def _within(r: Passage, q: Passage) -> bool:
    return q.start_a <= r.start_a and r.start_a + r.bytes <= q.start_a + q.bytes


def _common(seed: int, i: int, others: Sequence[int], own: Sequence[Sequence[tuple[int, int]]], max_texts: int) -> bool:
    """Whether a seed of text i is passed over."""
    places = {j: sum(other == seed for other, _ in own[j]) for j in (i, *others)}
    elsewhere = [places[j] for j in others if places[j]]
    return len(elsewhere) > max_texts or places[i] * sum(elsewhere) > REPEATS * max_texts


def _weight(
    cut: Sequence[Token],
    own: Sequence[tuple[int, int]],
    first: int,
    last: int,
    hit: int,
    sizes: dict[int, int],
) -> int:
    """The rarest seed of the passage's whole tokens by themselves; without any, the most common that it lies upon."""
    grams = _grams([t for t in cut if first <= t.begin and t.end <= last])
    if len(grams) >= WINDOW:
        return min((grams[k] for k in winnowed(grams, WINDOW)), key=lambda seed: sizes[seed])
    return max([hit, *(seed for seed, _ in own if seed in grams)], key=lambda seed: sizes[seed])


def counts(
    texts: Sequence[str], found: Sequence[Passage], models: Sequence[int], prompts: Sequence[int]
) -> list[list[int]]:
    """Texts of other models than those of a and b that have a passage's seed, and all; the same for a's prompt."""
    own = [{seed for seed, _ in seeds(text)} for text in texts]
    made = []
    for row in found:
        two = {models[row.a], models[row.b]} - {m for m in models if m < 0}
        others = [t for t in range(len(texts)) if t not in (row.a, row.b) and models[t] not in two]
        same = [t for t in others if prompts[t] == prompts[row.a] >= 0]
        made.append([n for some in (others, same) for n in (sum(row.seed in own[t] for t in some), len(some))])
    return made


def bits(count: Sequence[int]) -> float:
    """Rarity of one passage, from its counts."""
    at_large = (count[0] + 0.5) / (count[1] + 1)
    if not count[2]:
        return -log2(at_large)
    return -log2(max(at_large, (count[2] + at_large) / (count[3] + 1)))


def looks_like_code(text: str, start: int, end: int) -> bool:
    """Whether half of a stretch, in bytes, stands in a fenced block, or a fifth is symbols of code."""
    data = text.encode()
    inside, p = False, 0
    fenced = [False] * len(data)
    for line in data.split(b"\n"):
        for k in range(len(line)):
            if line[k:].startswith(b"```") and not line[:k].strip(b" \t"):
                inside = not inside
            fenced[p + k] = inside
        p += len(line) + 1
    visible = [k for k in range(start, end) if data[k] > 0x20]
    symbols = [k for k in visible if chr(data[k]) in '{}[]()<>=;_|&$#@^~+*/"\\`']
    return 2 * sum(fenced[k] for k in visible) >= len(visible) or 5 * len(symbols) >= len(visible)


def share_within(stretch: str, source: str) -> float:
    """Share of the shingles of a stretch that its source has."""
    mine = shingle_set(stretch)[0]
    return len(mine & shingle_set(source)[0]) / max(1, len(mine))
