"""Unigram tokenisation in plain Python: see :mod:`kinprint.kernels.embed.tokens`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tokenizer:
    """A Unigram model with its normalisation."""

    pieces: Sequence[str]
    scores: Sequence[float]
    unknown: int
    penalty: float
    special: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Code points, and pairs of them, with what they are replaced by."""
    joins: Collection[str] = ()
    """Code points that stand in one grapheme cluster with what precedes them."""
    controls: Collection[str] = ()
    """Code points that stand in a cluster of their own."""

    def tokenise(self, text: str) -> list[int]:
        """Ids of a text."""
        ids: list[int] = []
        contents = "|".join(re.escape(one) for one in sorted(self.special, key=len, reverse=True))
        for part in re.split(f"({contents})", text) if contents else [text]:
            if part in self.special:
                ids.append(self.special[part])
                continue
            whole = re.sub(" {2,}", " ", self.normalise(part)).replace(" ", "\u2581")
            if whole and not whole.startswith("\u2581"):
                whole = f"\u2581{whole}"
            for word in re.findall("\u2581[^\u2581]*", whole):
                ids.extend(self.split(word))
        return ids

    def clusters(self, text: str) -> Iterator[str]:
        """Grapheme clusters of a text."""
        cluster = ""
        for char in text:
            if cluster and (char not in self.joins or cluster in self.controls):
                yield cluster
                cluster = ""
            cluster += char
        if cluster:
            yield cluster

    def normalise(self, text: str) -> str:
        """The text with what is replaced: a short cluster by what its beginning stands for, others by code point."""
        made = []
        for cluster in self.clusters(text):
            starts = [cluster[:1], cluster[:2]] if len(cluster.encode()) < 6 else []
            whole = next((self.replaced[start] for start in starts if start in self.replaced), None)
            made.append("".join(self.replaced.get(char, char) for char in cluster) if whole is None else whole)
        return "".join(made)

    def split(self, word: str) -> list[int]:
        """The pieces of the largest sum of scores; of equal sums the one whose last piece is the longest."""
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        unknown_score = min(self.scores) - self.penalty
        best: list[tuple[float, int, int]] = [(0.0, 0, -1)] + [(-math.inf, 0, -1)] * len(word)
        for stop in range(1, len(word) + 1):
            for start in range(stop):
                number = ids.get(word[start:stop])
                score = self.scores[number] if number is not None else unknown_score
                if number is None:
                    if stop - start > 1:
                        continue
                    number = self.unknown
                if best[start][0] + score > best[stop][0]:
                    best[stop] = (best[start][0] + score, start, number)
        found: list[int] = []
        stop = len(word)
        while stop:
            _, stop, number = best[stop]
            if number != self.unknown or not found or found[-1] != self.unknown:
                found.append(number)
        return found[::-1]
