"""Fast Similarity Sketching by definition."""

from __future__ import annotations

from collections.abc import Iterable

from kinprint.kernels import hashing

_U64 = (1 << 64) - 1
_U32 = (1 << 32) - 1
SLOTS = 128
EMPTY = 0xFFFFFFFF


def sketch(shingles: Iterable[int]) -> list[int]:
    """128 slots of a set of shingle hashes: the round in the top 2 bits, a value of 30."""
    elements = set(shingles)
    slots = [EMPTY] * SLOTS
    if not elements:
        return slots
    for element in elements:
        bin_0 = element >> 57
        slots[bin_0] = min(slots[bin_0], (element & _U32) >> 2)
        again = ((element ^ int(hashing.ROUND_SEED)) * int(hashing.MULTIPLIER_1)) & _U64
        bin_1 = again >> 57
        slots[bin_1] = min(slots[bin_1], (1 << 30) | (((again >> 25) & _U32) >> 2))
    for j in range(SLOTS):
        if slots[j] == EMPTY:
            multiplier, addend = int(hashing.SLOT_MULTIPLIERS[j]), int(hashing.SLOT_ADDENDS[j])
            least = min(((element >> 32) * multiplier + addend) & _U32 for element in elements)
            slots[j] = (2 << 30) | (least >> 2)
    return slots


def similarity(a: list[int], b: list[int]) -> float:
    """Share of equal slots; 0 where a text is blank."""
    if a[0] == EMPTY:
        return 0.0
    return sum(x == y for x, y in zip(a, b, strict=True)) / SLOTS


def pack(slots: list[int], bits: int) -> bytes:
    """The low bits of each slot, slot after slot, low bits first."""
    value = 0
    for j, slot in enumerate(slots):
        value |= (slot & ((1 << bits) - 1)) << (j * bits)
    return value.to_bytes(SLOTS * bits // 8, "little")


def packed_similarity(a: bytes, b: bytes, bits: int) -> float:
    """Share of equal slots less what chance explains; 0 where a text is blank."""
    if set(a) == {0xFF} or set(b) == {0xFF}:
        return 0.0
    x, y = int.from_bytes(a, "little"), int.from_bytes(b, "little")
    mask = (1 << bits) - 1
    equal = sum((x >> (j * bits)) & mask == (y >> (j * bits)) & mask for j in range(SLOTS))
    return max(0.0, (equal / SLOTS - 2.0**-bits) / (1 - 2.0**-bits))
