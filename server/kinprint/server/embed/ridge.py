"""Ridge regressions that give the same bits on any number of threads: fixed order, one thread of linear algebra each.

A sentence's vector is the mean of its tokens' vectors, so a table of token vectors is what a linear regression of
sentence vectors on token shares finds.  Few tokens occur often enough for that, so it starts from a table, and tokens
move away from it as far as their sentences pay for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096
_COLUMNS_AT_ONCE = 64
_STEPS = 20


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Linear algebra on one thread while the block runs: how sums are split decides their last bits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def fit_map(inputs: NDArray[np.float32], targets: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """The linear map from `inputs` [n, k] and a constant to `targets` [n, dim].

    Args:
        inputs: float32 [n, k].
        targets: float32 [n, dim].
        penalty: on the map's squares, in units of the inputs' mean sum of squares; the constant is free.

    Returns:
        float32 [k + 1, dim], the constant last.
    """
    k = inputs.shape[1]
    gram = np.zeros((k + 1, k + 1))
    right = np.zeros((k + 1, targets.shape[1]))
    for begin in range(0, len(inputs), _ROWS_AT_ONCE):
        part = inputs[begin : begin + _ROWS_AT_ONCE]
        x = np.ones((len(part), k + 1))
        x[:, :k] = part
        gram += x.T @ x
        right += x.T @ targets[begin : begin + _ROWS_AT_ONCE].astype(np.float64)
    gram[np.arange(k), np.arange(k)] += penalty * np.trace(gram[:k, :k]) / k
    return np.linalg.solve(gram, right).astype(np.float32)


def token_shares(sentences: Sequence[NDArray[np.integer[Any]]], vocabulary: int) -> Any:
    """Share of each token in each sentence, a sparse float32 matrix (scipy CSR) [n, vocabulary]."""
    from scipy import sparse

    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    starts = np.zeros(len(sentences) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    ids = np.concatenate(sentences) if len(sentences) else np.empty(0, np.int64)
    values = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    shares = sparse.csr_matrix((values, ids, starts), shape=(len(sentences), vocabulary))
    shares.sum_duplicates()
    return shares


def rescale(table: NDArray[np.float32], shares: Any, targets: NDArray[np.float32]) -> None:
    """Multiply `table` by the one factor by which its sentence vectors come nearest to `targets`, in place."""
    made = shares @ table
    squares = float(np.vdot(made, made))
    if squares > 0:
        table *= np.float32(float(np.vdot(made, targets)) / squares)


def fit_tokens(
    table: NDArray[np.float32], shares: Any, targets: NDArray[np.float32], penalty: float, threads: int
) -> None:
    """Move token vectors so that sentence vectors come nearer to their targets, in place.

    Minimises `|shares @ table - targets|^2 + penalty * |table - what it was|^2` by conjugate gradients, a fixed
    number of steps.  Tokens that are in no sentence stay.

    Args:
        table: float32 [vocabulary, dim]; changed.
        shares: of `token_shares`.
        targets: float32 [n, dim].
        penalty: in sentences that consist of a token.
        threads: how many work at once.
    """
    used = np.unique(shares.indices)
    few = shares[:, used].tocsr()
    turned = few.T.tocsr()

    def work(first: int) -> None:
        columns = slice(first, first + _COLUMNS_AT_ONCE)
        start = np.ascontiguousarray(table[used, columns])
        residual = turned @ (np.ascontiguousarray(targets[:, columns]) - few @ start)
        moved, direction = np.zeros_like(residual), residual.copy()
        squares = (residual * residual).sum(axis=0)
        for _ in range(_STEPS):
            applied = turned @ (few @ direction) + np.float32(penalty) * direction
            step = squares / np.maximum((direction * applied).sum(axis=0), np.float32(1e-20))
            moved += step * direction
            residual -= step * applied
            after = (residual * residual).sum(axis=0)
            direction = residual + after / np.maximum(squares, np.float32(1e-20)) * direction
            squares = after
        table[used, columns] = start + moved

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, table.shape[1], _COLUMNS_AT_ONCE)))
