"""Words, Delta measures and General Imposters by definition."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from kinprint.kernels import unicode
from kinprint.kernels.reference.fold import fold
from kinprint.kernels.reference.shingle import code_class, word_hash

_U64 = (1 << 64) - 1
_WORD_CLASSES = (unicode.WORD, unicode.DIGIT, unicode.UPPER)


def words(text: str) -> list[str]:
    """The words of scripts with spaces, then the letters of scripts without, each in order."""
    folded = fold(text).replace("\u2019", "'")
    spaced: list[str] = []
    spaceless: list[str] = []
    kind = "other"
    for i, char in enumerate(folded):
        cls = code_class(ord(char))
        if cls == unicode.MARK:
            if kind == "word":
                spaced[-1] += char
            elif kind == "spaceless":
                spaceless[-1] += char
        elif cls in _WORD_CLASSES:
            if kind == "word":
                spaced[-1] += char
            else:
                spaced.append(char)
            kind = "word"
        elif cls == unicode.SPACELESS:
            spaceless.append(char)
            kind = "spaceless"
        elif char == "'" and kind == "word" and code_class(ord(folded[i + 1 : i + 2] or " ")) in _WORD_CLASSES:
            spaced[-1] += char
        else:
            kind = "other"
    return spaced + spaceless


def count_words(texts: Sequence[str]) -> Counter[int]:
    """Occurrences of the hash of every word."""
    return Counter(word_hash(word) for text in texts for word in words(text))


def most_frequent(texts: Sequence[str], k: int) -> list[tuple[int, int]]:
    """Hash and occurrences of the most frequent words; ties in the order of their hashes."""
    return sorted(count_words(texts).items(), key=lambda item: (-item[1], item[0]))[:k]


def frequencies(texts: Sequence[str], vocabulary: Sequence[int], groups: Sequence[int]) -> list[list[float]]:
    """Share of each word of the vocabulary in all words of each group."""
    out = []
    for group in range(max(groups, default=-1) + 1):
        found = count_words([text for text, g in zip(texts, groups, strict=True) if g == group])
        out.append([found[word] / max(found.total(), 1) for word in vocabulary])
    return out


def mean_and_sd(rows: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Mean and sample deviation of each column."""
    columns = list(zip(*rows, strict=True))
    return [fmean(c) for c in columns], [stdev(c) if len(set(c)) > 1 else 0.0 for c in columns]


def scaled(row: Sequence[float], mean: Sequence[float], sd: Sequence[float], kind: str) -> list[float]:
    """z-scores, or for minmax frequencies over deviations; zero where there is no deviation."""
    shift = [0.0] * len(mean) if kind == "minmax" else mean
    return [(x - m) / s if s > 0 else 0.0 for x, m, s in zip(row, shift, sd, strict=True)]


def added(values: Iterable[float]) -> float:
    """Their sum, rounded at each step; ``sum`` compensates for that since Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total


def distance(a: Sequence[float], b: Sequence[float], kind: str) -> float:
    """Distance of scaled values."""
    k = len(a)
    pairs = list(zip(a, b, strict=True))
    if kind == "burrows":
        return added(abs(x - y) for x, y in pairs) / k
    if kind == "eder":
        return added((k - rank + 1) / k * abs(x - y) for rank, (x, y) in enumerate(pairs, 1)) / k
    if kind == "minmax":
        greater = added(max(pair) for pair in pairs)
        return max(0.0, 1.0 - added(min(pair) for pair in pairs) / greater) if greater > 0 else 1.0
    length = math.sqrt(added(x * x for x in a)) * math.sqrt(added(y * y for y in b))
    return max(0.0, 1.0 - added(x * y for x, y in pairs) / length) if length > 0 else 1.0


def delta(
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    mean: Sequence[float],
    sd: Sequence[float],
    kind: str,
) -> list[list[float]]:
    """Distances of all rows of a to all rows of b."""
    return [[distance(scaled(x, mean, sd, kind), scaled(y, mean, sd, kind), kind) for y in b] for x in a]


class _Random:
    """SplitMix64, begun anew for each iteration and purpose."""

    def __init__(self, seed: int, iteration: int, purpose: int) -> None:
        self._state = self._scrambled(self._scrambled(seed) + (2 * iteration + purpose + 1) * 0x9E3779B97F4A7C15)

    @staticmethod
    def _scrambled(x: int) -> int:
        x &= _U64
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _U64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _U64
        return x ^ (x >> 31)

    def below(self, n: int) -> int:
        """A number in 0 .. n-1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _U64
        return ((self._scrambled(self._state) >> 32) * n) >> 32


def _share_of(share: float, n: int) -> int:
    return max(1, math.floor(share * n + 0.5))


def drawn_columns(seed: int, iteration: int, k: int, features: float) -> list[int]:
    """The words of an iteration, in the order of the vocabulary."""
    random = _Random(seed, iteration, 0)
    wanted = _share_of(features, k)
    out: list[int] = []
    for j in range(k):
        if len(out) < wanted and random.below(k - j) < wanted - len(out):
            out.append(j)
    return out


def shuffled_pool(seed: int, iteration: int, m: int) -> list[int]:
    """The order in which an iteration draws imposters."""
    random = _Random(seed, iteration, 1)
    order = list(range(m))
    for i in range(m - 1):
        j = i + random.below(m - i)
        order[i], order[j] = order[j], order[i]
    return order


def imposters(
    query: Sequence[float],
    candidates: Sequence[Sequence[float]],
    pool: Sequence[Sequence[float]],
    others: Sequence[int],
    kind: str,
    iterations: int,
    features: float,
    share: float,
    seed: int,
) -> float:
    """Share of the iterations in which the nearest candidate text is nearer than the nearest imposter drawn.

    All values are scaled; ``others`` numbers the texts of the pool that are not the candidate's.
    """
    wins = 0
    for iteration in range(iterations):
        columns = drawn_columns(seed, iteration, len(query), features)
        order = [i for i in shuffled_pool(seed, iteration, len(pool)) if i in others]
        drawn = order[: _share_of(share, len(others))]
        x = [query[j] for j in columns]
        candidate = min(distance(x, [row[j] for j in columns], kind) for row in candidates)
        imposter = min(distance(x, [pool[i][j] for j in columns], kind) for i in drawn)
        wins += candidate < imposter
    return wins / iterations
