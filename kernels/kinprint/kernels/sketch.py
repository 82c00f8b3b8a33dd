"""Sketches: 128 slots of 32 bits a text, by Fast Similarity Sketching, and the similarity they estimate.

S. Dahlgaard, M. B. T. Knudsen, M. Thorup, "Fast Similarity Sketching", FOCS 2017 (arXiv:1704.04370). Round by round
each shingle is hashed afresh to one of k bins and a value; a bin keeps the least (round, value) it has seen; rounds
stop once all bins are filled. A slot agrees between two texts with probability equal to the Jaccard similarity of
their shingle sets, as in k-permutation MinHash, at a cost of O(n + k log k) for n shingles, and concentrated at
least as well.

A slot holds the round in its top 6 bits, the value in the other 26. The paper gives up random bins after k rounds and
then fills bin by bin; here that happens after 63 rounds, in one last round that hashes every shingle to every bin
still empty. By symmetry the shingle that wins a bin stays uniform over the union of two sets, so that the estimate
stays unbiased; only texts of a few shingles ever come so far.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrow import check_texts, frozen
from .fold import BUFFER, CHUNK, SEGMENT, folded
from .hashing import MULTIPLIER_1, MULTIPLIER_2, MULTIPLIER_3, finalise, hash_text
from .hashing import SEED as SEED
from .jit import kernel, parallel_kernel, prange
from .shingle import shingle_text

SCHEME: Final = "fss128-w3c5"
"""Name of the scheme: Fast Similarity Sketching, 128 slots, word 3-shingles and code-point 5-shingles."""
VERSION: Final = 1
"""Raised whenever the sketch of any text changes; sketches of different versions must not be compared."""
SLOTS: Final = 128
EMPTY: Final = np.uint32(0xFFFFFFFF)
"""Every slot of a blank text, and no slot of any other."""

_ROUNDS = 63


class Sketches(NamedTuple):
    """What one pass over n texts yields."""

    signatures: NDArray[np.uint32]
    """uint32[n, 128]; a blank text has :data:`EMPTY` throughout."""
    text_hashes: NDArray[np.uint64]
    """uint64[n, 2], as :func:`~kinprint.kernels.shingle.text_hashes`."""
    sizes: NDArray[np.int32]
    """int32[n]: shingles of each text, repeats counted."""
    flags: NDArray[np.uint8]
    """uint8[n]: 0, BLANK or WHOLE_TEXT."""


@kernel
def sketch_shingles(hashes: NDArray[np.uint64], m: int, slots: NDArray[np.uint32]) -> None:
    """Sketch the shingle hashes ``hashes[:m]`` (repeats do no harm) into ``slots`` uint32[128]."""
    for j in range(SLOTS):
        slots[j] = EMPTY
    if m == 0:
        return
    for t in range(m):
        h = hashes[t]
        b = h >> np.uint64(57)  # unsigned: an index that Numba need not check for below zero
        slots[b] = min(slots[b], np.uint32(np.uint32(h) >> np.uint32(6)))
    for r in range(1, _ROUNDS):
        empty = 0
        for j in range(SLOTS):
            empty += 1 if slots[j] == EMPTY else 0
        if empty == 0:
            return
        seed = np.uint64(r) * MULTIPLIER_2
        base = np.uint32(r << 26)
        for t in range(m):
            h = (hashes[t] ^ seed) * MULTIPLIER_1
            h ^= h >> np.uint64(32)
            h *= MULTIPLIER_3
            b = h >> np.uint64(57)
            slots[b] = min(slots[b], np.uint32(base | (np.uint32(h) >> np.uint32(6))))
    base = np.uint32(_ROUNDS << 26)
    for j in range(SLOTS):
        if slots[j] == EMPTY:
            seed = np.uint64(_ROUNDS + j) * MULTIPLIER_2
            least = np.uint32(EMPTY - np.uint32(1))
            for t in range(m):
                v = np.uint32(finalise((hashes[t] ^ seed) * MULTIPLIER_1))
                least = min(least, np.uint32(base | (v >> np.uint32(6))))
            slots[j] = least


@kernel
def _sketch_chunk(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    signatures: NDArray[np.uint32],
    text_hashes: NDArray[np.uint64],
    sizes: NDArray[np.int32],
    flags: NDArray[np.uint8],
) -> None:
    buffer = np.empty(BUFFER, np.uint8)
    scratch = np.empty(SEGMENT, np.int32)
    hashes = np.empty(BUFFER // 2 + 2, np.uint64)
    for i in range(first, last):
        buffer, length = folded(data, offsets[i], offsets[i + 1], buffer, scratch, True)
        if hashes.size < length // 2 + 2:
            hashes = np.empty(length, np.uint64)
        a, b = hash_text(buffer, length)
        text_hashes[i, 0] = a
        text_hashes[i, 1] = b
        m, flag = shingle_text(buffer, length, hashes)
        sketch_shingles(hashes, m, signatures[i])
        sizes[i] = m
        flags[i] = flag


@parallel_kernel
def _sketch(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint8]]:
    n = offsets.size - 1
    signatures = np.empty((n, SLOTS), np.uint32)
    text_hashes = np.empty((n, 2), np.uint64)
    sizes = np.empty(n, np.int32)
    flags = np.empty(n, np.uint8)
    for c in prange((n + CHUNK - 1) // CHUNK):
        _sketch_chunk(data, offsets, c * CHUNK, min(n, (c + 1) * CHUNK), signatures, text_hashes, sizes, flags)
    return signatures, text_hashes, sizes, flags


def sketch(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Sketches:
    """Sketch every text in one pass.

    Parameters
    ----------
    data, offsets
        Texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1]; fewer than 2^31 shingles a text.

    Returns
    -------
    Sketches

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout.
    """
    check_texts(data, offsets)
    return Sketches(*_sketch(frozen(data), frozen(offsets)))


@parallel_kernel
def _similarity(query: NDArray[np.uint32], signatures: NDArray[np.uint32]) -> NDArray[np.float32]:
    n = signatures.shape[0]
    out = np.zeros(n, np.float32)
    if query[0] == EMPTY:
        return out
    for i in prange(n):
        equal = 0
        for j in range(SLOTS):
            equal += 1 if signatures[i, j] == query[j] else 0
        out[i] = np.float32(equal / SLOTS)
    return out


@kernel
def _similarity_at(
    query: NDArray[np.uint32], signatures: NDArray[np.uint32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    out = np.zeros(rows.size, np.float32)
    if query[0] == EMPTY:
        return out
    for r in range(rows.size):
        i = rows[r]
        equal = 0
        for j in range(SLOTS):
            equal += 1 if signatures[i, j] == query[j] else 0
        out[r] = np.float32(equal / SLOTS)
    return out


def check_signatures(signatures: NDArray[np.uint32]) -> None:
    """Raise ValueError unless ``signatures`` is a C-contiguous uint32[n, 128]."""
    if (
        signatures.dtype != np.uint32
        or signatures.ndim != 2
        or signatures.shape[1] != SLOTS
        or not signatures.flags.c_contiguous
    ):
        raise ValueError(
            f"signatures must be a contiguous uint32[n, {SLOTS}], not {signatures.dtype}{list(signatures.shape)}"
        )


def check_signature(signature: NDArray[np.uint32]) -> None:
    """Raise ValueError unless ``signature`` is a C-contiguous uint32[128]."""
    if signature.dtype != np.uint32 or signature.shape != (SLOTS,) or not signature.flags.c_contiguous:
        raise ValueError(
            f"a signature must be a contiguous uint32[{SLOTS}], not {signature.dtype}{list(signature.shape)}"
        )


def similarity(query: NDArray[np.uint32], signatures: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Estimated Jaccard similarity of one text with each of n: the share of equal slots.

    Its standard error is about sqrt(J (1 - J) / 128), at most .044. A blank text has no shingles and scores 0 against
    everything, blank texts included.

    Parameters
    ----------
    query : uint32[128]
    signatures : uint32[n, 128]

    Returns
    -------
    float32[n], in [0, 1]

    Raises
    ------
    ValueError
        If a shape or dtype differs.
    """
    check_signature(query)
    check_signatures(signatures)
    return _similarity(frozen(query), frozen(signatures))


def similarity_at(
    query: NDArray[np.uint32], signatures: NDArray[np.uint32], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """:func:`similarity` with ``signatures[rows]`` only, without a copy of them: float32[r] for ``rows`` int64[r].

    Raises
    ------
    ValueError
        If a shape or dtype differs, or a row is not in ``signatures``.
    """
    check_signature(query)
    check_signatures(signatures)
    if rows.dtype != np.int64 or rows.ndim != 1:
        raise ValueError(f"rows must be int64[r], not {rows.dtype}{list(rows.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() >= signatures.shape[0]):
        raise ValueError(f"rows must be in 0..{signatures.shape[0] - 1}")
    return _similarity_at(frozen(query), frozen(signatures), frozen(np.ascontiguousarray(rows)))
