"""Inverted slots: which sketches share at least so many slots with a query's, exactly, without a scan.

Banding with one row a band, counted: every slot of the sketch is a sorted array of values with the texts beside it, a
query looks its 128 values up and counts how often it meets each text. The answer is that of comparing the query with
every sketch (each slot agrees with probability J, so s shared slots estimate J = s / 128), in time that grows with the
agreements, not with the texts. It finds weak likeness too, such as a paragraph inside a long answer, which bands of
several rows miss.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrow import frozen
from .jit import kernel, parallel_kernel, prange
from .sketch import EMPTY, SLOTS, check_signature, check_signatures

MAX_TEXTS: Final = np.iinfo(np.int32).max
"""Most texts in one index."""


class SlotIndex(NamedTuple):
    """The slots of n sketches, inverted. Blank sketches are in it and are never found."""

    values: NDArray[np.uint32]
    """uint32[128, n]: the value of every text in each slot, ascending."""
    ids: NDArray[np.int32]
    """int32[128, n]: the text of each value; ascending where values are equal."""


@parallel_kernel
def _build(signatures: NDArray[np.uint32], values: NDArray[np.uint32], ids: NDArray[np.int32]) -> None:
    """Fill ``values`` uint32[128, n] and ``ids`` int32[128, n] from ``signatures`` uint32[n, 128]."""
    n = signatures.shape[0]
    for slot in prange(SLOTS):
        packed = np.empty(n, np.uint64)
        for i in range(n):
            packed[i] = (np.uint64(signatures[i, slot]) << np.uint64(32)) | np.uint64(i)
        packed.sort()
        for i in range(n):
            values[slot, i] = np.uint32(packed[i] >> np.uint64(32))
            ids[slot, i] = np.int32(packed[i] & np.uint64(0xFFFFFFFF))


@kernel
def _count(values: NDArray[np.uint32], ids: NDArray[np.int32], query: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Slots in which each text agrees with ``query`` uint32[128]: uint8[n]."""
    n = values.shape[1]
    counts = np.zeros(n, np.uint8)
    for slot in range(SLOTS):
        wanted = query[slot]
        low, high = 0, n
        while low < high:
            middle = (low + high) >> 1
            if values[slot, middle] < wanted:
                low = middle + 1
            else:
                high = middle
        while low < n and values[slot, low] == wanted:
            counts[ids[slot, low]] += np.uint8(1)
            low += 1
    return counts


def build(signatures: NDArray[np.uint32]) -> SlotIndex:
    """Invert ``signatures`` uint32[n, 128].

    Raises
    ------
    ValueError
        If shape or dtype differ, or n exceeds :data:`MAX_TEXTS`.
    """
    check_signatures(signatures)
    n = signatures.shape[0]
    if n > MAX_TEXTS:
        raise ValueError(f"an index holds at most {MAX_TEXTS} texts, not {n}")
    index = SlotIndex(np.empty((SLOTS, n), np.uint32), np.empty((SLOTS, n), np.int32))
    _build(frozen(signatures), *index)
    return index


def query(index: SlotIndex, signature: NDArray[np.uint32], least: int) -> NDArray[np.int64]:
    """Texts that agree with ``signature`` uint32[128] in ``least`` slots or more: int64[c], ascending.

    A blank signature finds nothing.

    Raises
    ------
    ValueError
        If a shape or dtype differs, or ``least`` is not in 1..128.
    """
    check_signature(signature)
    if not 1 <= least <= SLOTS:
        raise ValueError(f"least must be in 1..{SLOTS}, not {least}")
    if index.values.shape != index.ids.shape or index.values.shape[0] != SLOTS:
        raise ValueError(f"an index has {SLOTS} slots, not {index.values.shape[0]}")
    if signature[0] == EMPTY:
        return np.empty(0, np.int64)
    return np.flatnonzero(_count(frozen(index.values), frozen(index.ids), frozen(signature)) >= least)
