"""Seeds by definition: every window is looked at, every text is asked for its seeds."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.kernels.copy.seeds import WINDOW
from kinprint.kernels.reference.fold import normalised_answer
from kinprint.kernels.reference.shingle import point_shingles, shingle_set, shingles, word_shingles


def winnowed(hashes: Sequence[int], window: int) -> list[int]:
    """Places of the least hash of each window, the last of equal ones; all hashes are one window if there are fewer."""
    chosen = set()
    for begin in range(max(1, len(hashes) - window + 1) if hashes else 0):
        part = hashes[begin : begin + window]
        chosen.add(begin + max(k for k, h in enumerate(part) if h == min(part)))
    return sorted(chosen)


def seeds(text: str) -> set[int]:
    """Keys of the seeds of a text, the high halves: of its word shingles and of its code-point shingles."""
    answer = normalised_answer(text)
    rows = [word_shingles(answer), point_shingles(answer)]
    if not any(rows):
        rows = [shingles(text)[0]]  # one for the whole text, or none
    return {row[k] >> 32 for row in rows for k in winnowed(row, WINDOW)}


def query(texts: Sequence[str], wanted: str) -> list[tuple[int, int]]:
    """(text, shingles of the query whose key is that of one of its seeds) of those that have any, most first."""
    keys = [shingle >> 32 for shingle in shingle_set(wanted)[0]]
    counts = [sum(key in found for key in keys) for found in map(seeds, texts)]
    return sorted(((i, count) for i, count in enumerate(counts) if count), key=lambda c: (-c[1], c[0]))


def merge(indexes: Sequence[Sequence[set[int]]], names: Sequence[Sequence[int]], texts: int) -> list[set[int]]:
    """Seeds of the texts of several indexes under their new numbers; -1: left out."""
    made: list[set[int]] = [set() for _ in range(texts)]
    for index, some in zip(indexes, names, strict=True):
        for found, name in zip(index, some, strict=True):
            if name >= 0:
                made[name] |= found
    return made
