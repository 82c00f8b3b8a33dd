"""Which of many style vectors are most like one: bounds for all of them, in one pass over their bytes.

The score of two texts (:func:`~kinprint.kernels.style.stylometry.scores`) is the cosine of their vectors once these are
put on a scale: each dimension less its mean, times its inverse deviation. Of a stored vector that takes two sums, one
with the query and one with itself. The second is the same for every query on one scale, and changes little from one
scale to the next as a corpus grows; so it is kept (:func:`lengths`), and bounded where the scale has moved
(:func:`drift`). What is left for a query is one product of whole numbers, as fast as memory is read; :func:`nearest`
gives the few vectors that may be among the nearest, for these to be scored exactly.

Half of the bytes are enough for most vectors: by the lengths of the other half no product of it can bring them among
the best that are known so far (by Cauchy and Schwarz), and it is not read.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.jit import kernel
from kinprint.kernels.style.stylometry import DIM
from numpy.typing import NDArray

HALF: Final = DIM // 2
"""Dimensions that are read of every vector."""
STEPS: Final = 16_383
"""Largest weight: 512 products of it with a byte stay within 32 bits."""
LARGEST: Final = 6_500.0
"""No style vector has a larger sum of absolute values: five families of length 127, on 512 dimensions."""


class Weights(NamedTuple):
    """A query on a scale, as what each byte of a stored vector adds to their product."""

    steps: NDArray[np.int16]
    """int16[512]."""
    unit: float
    """What a step stands for."""
    offset: float
    """What the means add, to be taken from every product, as is ``first_offset`` from one of the first half."""
    first_offset: float
    rest: float
    """Length of the other half of the scaled query, at length 1."""
    error: float
    """By how much a product may be off, at most, because weights are whole steps."""


class Lengths(NamedTuple):
    """Lengths of some vectors on a scale."""

    mean: NDArray[np.float32]
    """float32[512]: the scale, as is ``inv_std``."""
    inv_std: NDArray[np.float32]
    values: NDArray[np.float32]
    """float32[n]; 0 for a blank vector."""
    rest: NDArray[np.float32]
    """float32[n]: of the other half."""


def weights(query: NDArray[np.int8], mean: NDArray[np.float32], inv_std: NDArray[np.float32]) -> Weights:
    """The weights of a query int8[512] on a scale from :func:`~kinprint.kernels.style.stylometry.scaler`.

    Raises
    ------
    ValueError
        If a dtype or shape does not fit.
    """
    if query.dtype != np.int8 or query.shape != (DIM,):
        raise ValueError(f"a query must be int8[{DIM}], not {query.dtype}{list(query.shape)}")
    scaled = (query.astype(np.float64) - mean) * inv_std
    length = float(np.linalg.norm(scaled))
    if length == 0.0 or not query.any():
        return Weights(np.zeros(DIM, np.int16), 1.0, 0.0, 0.0, 0.0, 0.0)
    scaled /= length
    exact = scaled * inv_std
    unit = float(np.abs(exact).max()) / STEPS
    steps = np.round(exact / unit).astype(np.int16)
    offsets = exact * mean
    rest = float(np.linalg.norm(scaled[HALF:]))
    return Weights(steps, unit, float(offsets.sum()), float(offsets[:HALF].sum()), rest, 0.5 * unit * LARGEST)


@kernel
def _lengths(
    vectors: NDArray[np.int8],
    mean: NDArray[np.float32],
    inv_std: NDArray[np.float32],
    out: NDArray[np.float32],
    rest: NDArray[np.float32],
) -> None:
    sums = np.zeros(16, np.float32)
    for i in range(vectors.shape[0]):
        row = vectors[i]
        seen = np.int32(0)
        total = np.float32(0.0)
        second = np.float32(0.0)
        for half in range(2):
            sums[:] = 0
            for block in range(half * HALF, half * HALF + HALF, 16):  # side by side, for vector registers
                for k in range(16):
                    v = (np.float32(row[block + k]) - mean[block + k]) * inv_std[block + k]
                    sums[k] += v * v
                    seen |= np.int32(row[block + k])
            second = np.float32(0.0)
            for k in range(16):
                second += sums[k]
            total += second
        out[i] = np.sqrt(total) if seen != 0 else np.float32(0.0)
        rest[i] = np.sqrt(second)


def lengths(vectors: NDArray[np.int8], mean: NDArray[np.float32], inv_std: NDArray[np.float32]) -> Lengths:
    """Lengths of the rows of ``vectors`` int8[n, 512] on a scale.

    Raises
    ------
    ValueError
        If a dtype or shape does not fit.
    """
    _check_vectors(vectors)
    out, rest = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    _lengths(frozen(vectors), frozen(mean), frozen(inv_std), out, rest)
    return Lengths(mean, inv_std, out, rest)


def drift(known: Lengths, mean: NDArray[np.float32], inv_std: NDArray[np.float32]) -> tuple[float, float, float]:
    """What becomes of lengths on another scale: a length ``l`` lies between ``low * (l - shift)`` and
    ``high * (l + shift)``; (low, high, shift).
    """
    if known.mean is mean and known.inv_std is inv_std:
        return 1.0, 1.0, 0.0
    ratio = inv_std.astype(np.float64) / known.inv_std
    shift = np.linalg.norm((known.mean.astype(np.float64) - mean) * known.inv_std)
    return float(ratio.min()), float(ratio.max()), float(shift)


@kernel
def _nearest(
    vectors: NDArray[np.int8],
    rows: NDArray[np.int64],
    every: bool,
    steps: NDArray[np.int16],
    numbers: tuple[float, float, float, float, float],
    values: NDArray[np.float32],
    rests: NDArray[np.float32],
    moved: tuple[float, float, float],
    least_score: float,
    top: int,
) -> NDArray[np.int64]:
    unit, offset, first_offset, rest, error = numbers
    low, high, shift = moved
    n = vectors.shape[0] if every else rows.size
    products = np.empty(n, np.float32)
    best = np.full(top, -np.inf)  # the largest lower bounds, the least of them first: a heap
    for r in range(n):
        i = r if every else rows[r]
        row = vectors[i]
        total = np.int32(0)
        for j in range(HALF):
            # Numba would add in 64 bits, which no processor does sixteen at a time.
            total = np.int32(total + np.int32(row[j]) * np.int32(steps[j]))
        floor = max(best[0], least_score) - 1e-4
        if floor > 0.0:
            upper = total * unit - first_offset + rest * high * (np.float64(rests[i]) + shift) + error
            if upper < floor * low * (np.float64(values[i]) - shift):
                products[r] = -np.inf
                continue
        for j in range(HALF, DIM):
            total = np.int32(total + np.int32(row[j]) * np.int32(steps[j]))
        product = total * unit - offset
        products[r] = product
        length = values[i]
        lower = 0.0
        if length > 0.0:
            shift_by = shift if product > error else -shift
            length = max((high if product > error else low) * (length + shift_by), 1e-3)
            if product - error <= best[0] * length:
                continue
            lower = (product - error) / length
        if lower > best[0]:
            place = 0
            while True:
                child = 2 * place + 1
                if child >= top:
                    break
                if child + 1 < top and best[child + 1] < best[child]:
                    child += 1
                if best[child] >= lower:
                    break
                best[place] = best[child]
                place = child
            best[place] = lower
    floor = max(best[0], least_score) - 1e-4  # beyond any rounding, here and in the exact score
    found = np.empty(n, np.int64)
    count = 0
    for r in range(n):
        i = r if every else rows[r]
        upper = products[r] + error
        length = values[i]
        if length > 0.0:
            length = low * (length - shift) if upper > 0.0 else high * (length + shift)
            among = upper >= floor * max(length, 1e-3)
        else:
            among = floor <= 0.0
        if among:
            found[count] = i
            count += 1
    return found[:count].copy()


def nearest(
    weighed: Weights,
    vectors: NDArray[np.int8],
    known: Lengths,
    mean: NDArray[np.float32],
    inv_std: NDArray[np.float32],
    top: int,
    rows: NDArray[np.int64] | None = None,
    least_score: float | None = None,
) -> NDArray[np.int64]:
    """Rows of ``vectors`` int8[n, 512] that may be among the ``top`` most like a query, int64[k]; a few more than that.

    Whatever is not among them has ``top`` rows before it, or a score below the least one.

    Parameters
    ----------
    weighed
        The query on the scale ``mean``, ``inv_std``.
    known
        Lengths of all n vectors, on that scale or another.
    rows
        int64[r], ascending: the only rows to look at. None: all.

    Raises
    ------
    ValueError
        If a dtype or shape does not fit, or ``top`` is below 1.
    IndexError
        If a row is not in 0..n-1.
    """
    _check_vectors(vectors)
    if known.values.shape != (len(vectors),):
        raise ValueError(f"{len(vectors)} vectors need as many lengths, not {known.values.shape}")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    some = np.empty(0, np.int64) if rows is None else rows
    if some.dtype != np.int64 or some.ndim != 1:
        raise ValueError(f"rows must be int64[r], not {some.dtype}{list(some.shape)}")
    if some.size and (some.min() < 0 or some.max() >= len(vectors)):
        raise IndexError(f"rows must lie in 0..{len(vectors) - 1}")
    return _nearest(
        frozen(vectors),
        frozen(some),
        rows is None,
        frozen(weighed.steps),
        (weighed.unit, weighed.offset, weighed.first_offset, weighed.rest, weighed.error),
        frozen(known.values),
        frozen(known.rest),
        drift(known, mean, inv_std),
        -np.inf if least_score is None else least_score,
        top,
    )


def _check_vectors(vectors: NDArray[np.int8]) -> None:
    if vectors.dtype != np.int8 or vectors.ndim != 2 or vectors.shape[1] != DIM or not vectors.flags.c_contiguous:
        raise ValueError(f"vectors must be a contiguous int8[n, {DIM}], not {vectors.dtype}{list(vectors.shape)}")
