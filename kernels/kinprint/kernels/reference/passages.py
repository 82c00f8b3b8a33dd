"""Passages by definition: every diagonal of every two texts, every window, every seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2
from typing import NamedTuple

from kinprint.kernels.copy.matching import REPEATS
from kinprint.kernels.copy.postings import GRAM, WINDOW
from kinprint.kernels.reference.differences import differences
from kinprint.kernels.reference.seeds import winnowed
from kinprint.kernels.reference.shingle import _U64, _rotated, finalise, shingle_set
from kinprint.kernels.reference.tokens import Token, shrunk, tokens


class Passage(NamedTuple):
    """A stretch that stands in texts a and b."""

    a: int
    b: int
    start_a: int
    start_b: int
    bytes: int
    tokens: int
    texts: int
    bytes_b: int
    differences: int
    #: The seed that it is weighed by.
    seed: int


def _grams(some: Sequence[Token]) -> list[int]:
    return [
        finalise(sum(_rotated(some[i + j].hash, 7 * j) for j in range(GRAM)) & _U64)
        for i in range(len(some) - GRAM + 1)
    ]


def _seeds(some: Sequence[Token]) -> list[tuple[int, int]]:
    """(hash, number of the token where it begins) of the seeds of a text, in order."""
    grams = _grams(some)
    return [(grams[k], k) for k in winnowed(grams, WINDOW)]


def seeds(text: str) -> list[tuple[int, int]]:
    """(hash, byte where it begins) of the seeds of a text, in order."""
    some = tokens(text)
    return [(seed, some[k].begin) for seed, k in _seeds(some)]


def common(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(begin in a, begin in b, number) of the runs in which two rows agree, as long as they can be."""
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


def passages(
    texts: Sequence[str], second: int, min_tokens: int, max_texts: int, every: bool
) -> tuple[list[Passage], int]:
    """All passages, as the kernel lists them, and how many seeds were passed over."""
    cut = [tokens(text) for text in texts]
    own = [_seeds(some) for some in cut]
    rows_of = [[t.text for t in some] for some in cut]
    sizes: dict[int, int] = {}
    for seeds_of in own:
        for seed, _ in seeds_of:
            sizes[seed] = sizes.get(seed, 0) + 1
    made, skipped = [], 0
    for i in range(second or len(texts)):
        others = [j for j in range(second, len(texts)) if j != i]
        over = {seed for seed, _ in own[i] if _common(seed, i, others, own, max_texts)}
        skipped += sum(seed in over for seed, _ in own[i])
        rows = []
        for j in others:
            there = set(own[j])
            for start, start_there, size in common(rows_of[i], rows_of[j]):
                by = start_there - start
                lying = [(seed, k) for seed, k in own[i] if start <= k <= start + size - GRAM]
                hits = [seed for seed, k in lying if seed not in over and (seed, k + by) in there]
                if not hits:
                    continue
                first, first_there, n = shrunk(cut[i], start, cut[j], start_there, size)
                if n < min_tokens:
                    continue
                x, y = cut[i][first : first + n], cut[j][first_there : first_there + n]
                rows.append(
                    Passage(
                        i,
                        j,
                        x[0].begin,
                        y[0].begin,
                        x[-1].end - x[0].begin,
                        n,
                        0,
                        y[-1].end - y[0].begin,
                        differences(texts[i], x, texts[j], y),
                        _weight(x, own[i], hits[0], sizes),
                    )
                )
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


def _weight(some: Sequence[Token], own: Sequence[tuple[int, int]], hit: int, sizes: dict[int, int]) -> int:
    """The rarest seed of the passage's tokens by themselves; without any, the most common that it lies upon."""
    grams = _grams(some)
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
