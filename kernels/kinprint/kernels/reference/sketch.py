"""Fast Similarity Sketching by definition."""

from __future__ import annotations

from collections.abc import Iterable

from kinprint.kernels import hashing

from .shingle import finalise

_U64 = (1 << 64) - 1
SLOTS = 128
ROUNDS = 63
EMPTY = 0xFFFFFFFF


def _rehash(h: int, seed: int) -> int:
    h = ((h ^ seed) * int(hashing.MULTIPLIER_1)) & _U64
    h ^= h >> 32
    return (h * int(hashing.MULTIPLIER_3)) & _U64


def sketch(shingles: Iterable[int]) -> list[int]:
    """128 slots of a set of shingle hashes."""
    elements = set(shingles)
    slots = [EMPTY] * SLOTS
    if not elements:
        return slots
    for r in range(ROUNDS):
        if EMPTY not in slots:
            return slots
        seed = (r * int(hashing.MULTIPLIER_2)) & _U64
        for element in elements:
            h = element if r == 0 else _rehash(element, seed)
            value = (r << 26) | ((h & 0xFFFFFFFF) >> 6)
            slots[h >> 57] = min(slots[h >> 57], value)
    for j in range(SLOTS):
        if slots[j] == EMPTY:
            seed = ((ROUNDS + j) * int(hashing.MULTIPLIER_2)) & _U64
            values = []
            for element in elements:
                h = finalise(((element ^ seed) * int(hashing.MULTIPLIER_1)) & _U64)
                values.append((ROUNDS << 26) | ((h & 0xFFFFFFFF) >> 6))
            slots[j] = min(EMPTY - 1, *values) if len(values) > 1 else min(EMPTY - 1, values[0])
    return slots


def similarity(a: list[int], b: list[int]) -> float:
    """Share of equal slots; 0 where a text is blank."""
    if a[0] == EMPTY:
        return 0.0
    return sum(x == y for x, y in zip(a, b, strict=True)) / SLOTS
