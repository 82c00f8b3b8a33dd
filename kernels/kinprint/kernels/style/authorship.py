"""Linear classifiers of authors, from the features of :mod:`~kinprint.kernels.style.features`.

One class against the rest: support vector machines with squared hinge loss, eight classes at a time, so that a row is
read once for all of them.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.jit import parallel_kernel
from kinprint.kernels.style.features import BOUNDS as BOUNDS
from kinprint.kernels.style.features import DIM as DIM
from kinprint.kernels.style.features import FAMILIES as FAMILIES
from kinprint.kernels.style.features import SCHEME as SCHEME
from kinprint.kernels.style.features import SLICES as SLICES
from kinprint.kernels.style.features import VERSION as VERSION
from kinprint.kernels.style.features import Features as Features
from kinprint.kernels.style.features import document_frequencies as document_frequencies
from kinprint.kernels.style.features import features_of as features_of
from kinprint.kernels.style.features import weigh as weigh
from numpy.typing import NDArray

_PLACES = np.array(BOUNDS, np.int64)
_TOGETHER = 8
# Rows that one thread takes at once.
_ROWS = 16
_TOLERANCE = 1e-3


@parallel_kernel()
def _separate(  # type: ignore[no-untyped-def]
    first_block, last_block, indptr, indices, data, target, penalty, orders, tolerance, weights
):
    n = target.size
    squares = np.empty(n, np.float32)
    for i in range(n):
        squares[i] = 1.0
        for q in range(indptr[i], indptr[i + 1]):
            squares[i] += data[q] * data[q]
    slack = np.float32(0.5 / penalty)
    for block in range(first_block, last_block):
        w = weights[block]
        first = block * _TOGETHER
        dual = np.zeros((n, _TOGETHER), np.float32)
        z = np.empty(_TOGETHER, np.float32)
        for epoch in range(orders.shape[0]):
            largest = np.float32(0.0)
            for o in range(n):
                i = orders[epoch, o]
                for c in range(_TOGETHER):
                    z[c] = w[DIM, c]
                for q in range(indptr[i], indptr[i + 1]):
                    row = w[indices[q]]
                    value = data[q]
                    for c in range(_TOGETHER):
                        z[c] += value * row[c]
                moved = False
                for c in range(_TOGETHER):
                    sign = np.float32(1.0) if target[i] == first + c else np.float32(-1.0)
                    gradient = sign * z[c] - np.float32(1.0) + slack * dual[i, c]
                    to = max(dual[i, c] - gradient / (squares[i] + slack), np.float32(0.0))
                    step = to - dual[i, c]
                    dual[i, c] = to
                    z[c] = sign * step
                    largest = max(largest, abs(step))
                    if step != np.float32(0.0):
                        moved = True
                if moved:
                    for q in range(indptr[i], indptr[i + 1]):
                        row = w[indices[q]]
                        value = data[q]
                        for c in range(_TOGETHER):
                            row[c] += value * z[c]
                    for c in range(_TOGETHER):
                        w[DIM, c] += z[c]
            if largest < tolerance:
                break


@parallel_kernel(_ROWS)
def _margins(low, high, indptr, indices, data, weights, count, out):  # type: ignore[no-untyped-def]
    z = np.empty(_TOGETHER, np.float32)
    for t in range(low, high):
        for block in range(weights.shape[0]):
            w = weights[block]
            for c in range(_TOGETHER):
                z[c] = w[DIM, c]
            for q in range(indptr[t], indptr[t + 1]):
                row = w[indices[q]]
                value = data[q]
                for c in range(_TOGETHER):
                    z[c] += value * row[c]
            for c in range(min(_TOGETHER, count - block * _TOGETHER)):
                out[t, block * _TOGETHER + c] = z[c]


def separate(
    features: Features, target: NDArray[np.int32], count: int, penalty: float, orders: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Linear classifiers of each class against the rest: support vector machines with squared hinge loss.

    Dual coordinate descent (Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear SVM"), of eight
    classes in one pass over the rows, so that a row is read once for all of them.

    Parameters
    ----------
    features
        Weights of n rows, each of about unit length.
    target
        int32[n], class of each row, in ``0 .. count - 1``.
    penalty
        Weight of an error, C; larger fits closer.
    orders
        int64[epochs, n]: the order in which each pass takes the rows. Passes end early when nothing moves any more.

    Returns
    -------
    float32[ceil(count / 8), DIM + 1, 8]: weights, the last row the intercept. Classes past ``count`` mean nothing.
    """
    n = len(features.indptr) - 1
    if target.dtype != np.int32 or target.shape != (n,) or count < 1:
        raise ValueError(f"target must be int32[{n}], with at least one class")
    if orders.dtype != np.int64 or orders.ndim != 2 or orders.shape[1] != n:
        raise ValueError(f"orders must be int64[epochs, {n}]")
    if orders.size and (int(orders.min()) < 0 or int(orders.max()) >= n):
        raise ValueError(f"orders must name rows in [0, {n})")
    rows = (frozen(features.indptr), frozen(features.indices), frozen(features.data))
    blocks = -(-count // _TOGETHER)
    weights = np.zeros((blocks, DIM + 1, _TOGETHER), np.float32)
    _separate(blocks, *rows, frozen(target), float(penalty), frozen(orders), _TOLERANCE, weights)
    return weights


def _check_classifiers(weights: NDArray[np.float32], count: int) -> None:
    if weights.dtype != np.float32 or weights.ndim != 3 or weights.shape[1:] != (DIM + 1, _TOGETHER):
        raise ValueError(f"weights must be float32[blocks, {DIM + 1}, {_TOGETHER}]")
    if not 0 < count <= weights.shape[0] * _TOGETHER:
        raise ValueError(f"weights hold {weights.shape[0] * _TOGETHER} classes, not {count}")


def margins(features: Features, weights: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Signed margins of n rows for the classifiers of :func:`separate`, float32[n, count]."""
    _check_classifiers(weights, count)
    rows = (frozen(features.indptr), frozen(features.indices), frozen(features.data))
    out = np.empty((len(features.indptr) - 1, count), np.float32)
    _margins(len(out), *rows, frozen(weights), count, out)
    return out


@parallel_kernel(_ROWS)
def _shares(low, high, indptr, indices, data, weights, count, out):  # type: ignore[no-untyped-def]
    for t in range(low, high):
        for block in range(weights.shape[0]):
            w = weights[block]
            first = block * _TOGETHER
            wide = min(_TOGETHER, count - first)
            q = indptr[t]
            for f in range(_PLACES.size - 1):
                row = out[t, f]
                while q < indptr[t + 1] and indices[q] < _PLACES[f + 1]:
                    for c in range(wide):
                        row[first + c] += data[q] * w[indices[q], c]
                    q += 1


def shares(features: Features, weights: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Share of each family in :func:`margins`, float32[n, len(FAMILIES), count]; with the intercept they sum to it."""
    _check_classifiers(weights, count)
    rows = (frozen(features.indptr), frozen(features.indices), frozen(features.data))
    out = np.zeros((len(features.indptr) - 1, len(FAMILIES), count), np.float32)
    _shares(len(out), *rows, frozen(weights), count, out)
    return out
