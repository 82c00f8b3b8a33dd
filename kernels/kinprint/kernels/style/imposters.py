"""General Imposters: is a text nearer to a candidate than to others, over and over again, whatever the words?

Koppel and Winter 2014, "Determining if two documents are written by the same author"; Kestemont et al. 2016,
"Authenticating the writings of Julius Caesar". Distances are those of :mod:`~kinprint.kernels.style.burrows`.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.style.burrows import TILE, Kind, distances_of, kind_number, scaled
from numpy.typing import NDArray

_ROUND = 16  # iterations a thread takes at a time
_WINS = 1 << 22  # tallies of wins in memory at a time
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@kernel
def _scrambled(x: np.uint64) -> np.uint64:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators")."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _stream(seed: np.uint64, iteration: int, purpose: int) -> np.uint64:
    """State at which the random numbers of an iteration begin: SplitMix64 goes on from it by steps of _GOLDEN."""
    return _scrambled(_scrambled(seed) + _GOLDEN * np.uint64(2 * iteration + purpose + 1))


@kernel
def _below(x: np.uint64, n: int) -> int:
    """A number from 0 to n - 1, n < 2^32, out of a random one; uneven by n / 2^32 at most."""
    return np.int64(((x >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))  # type: ignore[return-value]


@kernel
def _draw_columns(state: np.uint64, k: int, columns: NDArray[np.int32]) -> None:
    """As many of k columns as there is room for, none twice, in order (selection sampling: Knuth, TAOCP 2, 3.4.2 S)."""
    taken = 0
    for j in range(k):
        state += _GOLDEN
        if _below(_scrambled(state), k - j) < columns.size - taken:
            columns[taken] = j
            taken += 1
            if taken == columns.size:
                return


@kernel
def _shuffle(state: np.uint64, order: NDArray[np.int64]) -> None:
    """A random order of 0 .. m-1 (Fisher and Yates; TAOCP 2, 3.4.2 P, forward)."""
    for i in range(order.size):
        order[i] = i
    for i in range(order.size - 1):
        state += _GOLDEN
        j = i + _below(_scrambled(state), order.size - i)
        order[i], order[j] = order[j], order[i]


@kernel
def _round(
    x: NDArray[np.float64],
    table: NDArray[np.float64],
    kind: int,
    authors: NDArray[np.int64],
    pool_authors: NDArray[np.int64],
    takes: NDArray[np.int64],
    features: int,
    first: int,
    last: int,
    seed: np.uint64,
    wins: NDArray[np.int64],
) -> None:
    """Iterations first .. last-1 for one query: in how many of them each candidate wins, added to ``wins`` int64[c]."""
    rows = table.shape[1]
    texts = authors.size
    columns = np.empty(features, np.int32)
    order = np.empty(pool_authors.size, np.int64)
    near = np.empty(rows, np.float64)
    best = np.empty(takes.size, np.float64)
    sums = np.empty(TILE, np.float64)
    norms = np.empty(TILE, np.float64)
    for iteration in range(first, last):
        _draw_columns(_stream(seed, iteration, 0), table.shape[0], columns)
        _shuffle(_stream(seed, iteration, 1), order)
        for start in range(0, rows, TILE):
            distances_of(x, columns, table, kind, start, min(rows, start + TILE), sums, norms, near)
        best[:] = np.inf
        for t in range(texts):
            if near[t] < best[authors[t]]:
                best[authors[t]] = near[t]
        for c in range(takes.size):
            left = takes[c]
            for o in order:
                if pool_authors[o] == c:
                    continue
                if near[texts + o] <= best[c]:
                    break
                left -= 1
                if left == 0:
                    wins[c] += 1
                    break


@parallel_kernel()
def _wins(
    first_unit: int,
    last_unit: int,
    queries: NDArray[np.float64],
    table: NDArray[np.float64],
    kind: int,
    authors: NDArray[np.int64],
    pool_authors: NDArray[np.int64],
    takes: NDArray[np.int64],
    features: int,
    iterations: int,
    seed: np.uint64,
    wins: NDArray[np.int64],
) -> None:
    """Wins of every candidate for every query in every :data:`_ROUND` iterations, added to int64[q, rounds, c].

    The items are rounds, query after query.
    """
    rounds = wins.shape[1]
    for unit in range(first_unit, last_unit):
        q = unit // rounds
        r = unit % rounds
        first = r * _ROUND
        last = min(iterations, first + _ROUND)
        _round(queries[q], table, kind, authors, pool_authors, takes, features, first, last, seed, wins[q, r])


def _share_of(share: float, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """That share of each number, rounded half up, at least 1."""
    return np.asarray(np.maximum(1, np.floor(share * n + 0.5)), np.int64)


def imposters(
    queries: NDArray[np.float64],
    candidates: NDArray[np.float64],
    pool: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    *,
    authors: NDArray[np.int64] | None = None,
    pool_authors: NDArray[np.int64] | None = None,
    kind: Kind = "cosine",
    iterations: int = 100,
    features: float = 0.5,
    imposters: float = 0.5,
    seed: int = 0,
) -> NDArray[np.float64]:
    """General Imposters: how often each query is nearer to a candidate than to every imposter.

    Each iteration draws some of the words and, out of the pool, some imposters, both without replacement. The
    candidate wins where the nearest of its texts is nearer than the nearest imposter; a tie goes to the imposter.

    Values are scaled once, by ``mean`` and ``sd``; ``stylo`` scales those of each iteration anew. For ``eder``, ranks
    are those among the words drawn. An iteration draws by ``seed`` and its number alone: all queries and candidates
    are put to the same draws, and a score does not depend on what else is in the call, or on the number of threads.

    Parameters
    ----------
    queries, candidates, pool
        float64[q, k], float64[t, k], float64[m, k]: frequencies of the same k words, the most frequent first. The
        queries themselves should not be among the others.
    mean, sd
        float64[k], as for :func:`delta`.
    authors
        int64[t]: whose each text of ``candidates`` is, numbered 0 .. c-1, each with at least one text; without it,
        each text is a candidate of its own.
    pool_authors
        int64[m]: whose each text of ``pool`` is. Texts of a candidate are not imposters to it, so that the texts of
        all candidates can be given as the pool. Other numbers, such as -1, are nobody's; so are all without it.
    kind
        One of :data:`KINDS`.
    iterations
        At least 1.
    features, imposters
        Shares in (0, 1] of the words and of the candidate's imposters that an iteration draws; rounded to a number of
        at least 1.
    seed
        In [0, 2^64).

    Returns
    -------
    float64[q, c]
        Share of the iterations that each candidate wins, in [0, 1].

    Raises
    ------
    ValueError
        As :func:`delta`; on a share, seed, or number of iterations out of range; where a candidate has no text or no
        imposter.
    """
    number = kind_number(kind)
    values = scaled({"queries": queries, "candidates": candidates, "pool": pool}, mean, sd, kind)
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, and are {iterations}")
    if not (0.0 < features <= 1.0 and 0.0 < imposters <= 1.0):
        raise ValueError(f"features and imposters must lie in (0, 1], and are {features} and {imposters}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed must lie in [0, 2^64), and is {seed}")
    authors = np.arange(len(candidates)) if authors is None else authors
    pool_authors = np.full(len(pool), -1, np.int64) if pool_authors is None else pool_authors
    for name, ids, n in (("authors", authors, len(candidates)), ("pool_authors", pool_authors, len(pool))):
        if ids.dtype != np.int64 or ids.shape != (n,):
            raise ValueError(f"{name} must be an int64[{n}], not {ids.dtype}{list(ids.shape)}")
    c = int(authors.max()) + 1 if authors.size else 0
    if authors.size and (int(authors.min()) < 0 or np.unique(authors).size < c):
        raise ValueError("candidates must be numbered 0 .. c-1, each with at least one text")
    own = np.bincount(pool_authors[(pool_authors >= 0) & (pool_authors < c)], minlength=c)
    others = (len(pool) - own).astype(np.int64)
    if c and int(others.min()) < 1:
        raise ValueError(f"candidate {int(others.argmin())} has no imposter")
    table = frozen(np.ascontiguousarray(np.concatenate(values[1:]).T))
    takes = frozen(_share_of(imposters, others))
    drawn = int(_share_of(features, np.array([mean.size]))[0])
    numbers = frozen(np.ascontiguousarray(authors)), frozen(np.ascontiguousarray(pool_authors))
    out = np.zeros((len(queries), c))
    step = max(1, _WINS // (max(c, 1) * (1 + iterations // _ROUND)))
    for start in range(0, len(queries) if c else 0, step):
        some = frozen(values[0][start : start + step])
        wins = np.zeros((len(some), -(-iterations // _ROUND), c), np.int64)
        units = wins.shape[0] * wins.shape[1]
        _wins(units, some, table, number, *numbers, takes, drawn, iterations, np.uint64(seed), wins)
        out[start : start + step] = wins.sum(axis=1) / iterations
    return out
