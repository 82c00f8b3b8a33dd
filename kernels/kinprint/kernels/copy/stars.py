"""Stars: clusters whose every member is over the threshold to its representative.

A connected component joins texts through others: a, b and c are one if a is like b and b like c, however unlike a and
c are, and at the size of a data set such chains put what has nothing in common into one cluster. A *star* cannot: rows
are gone through in their order, as J. A. Hartigan's leader algorithm does ("Clustering Algorithms", 1975, chapter 3;
for sequences CD-HIT, Li and Godzik 2006). A row that is over the threshold to a representative before it joins the most
similar of these, of equals the first; one that is not is a representative itself. So

- every member is over the threshold t to its representative, and no two representatives are (of the pairs that were
  looked at); two members have a Jaccard similarity of 2 t - 1 or more, since 1 - J is a metric (Levandowsky and Winter
  1971);
- the cluster of a row depends on the rows before it alone: rows that are added after all others change nothing for
  these.

Every star lies within a component, so that what is alone needs no further look, and the others are looked at component
by component. A row is compared with representatives that it shares a band with: with the latest
:data:`CROWD` of each band at most, and of all these exactly with the :data:`LOOKS` whose sketches agree most. So a
row's cost has a bound, whatever the size of its component. A component takes up to 16 bytes a band and row while it is
looked at, which is 512 bytes a row of the largest at a threshold of .7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy.lsh import agreements, band_key
from kinprint.kernels.hashing import finalise
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

BLOCK: Final = 64
"""Rows of a component that are compared with each other before their representatives are known."""
TOGETHER: Final = 8192
"""Rows of small components that are looked at together."""
CROWD: Final = 128
"""Representatives of one band that a row is compared with by sketch, at most: the latest ones."""
LOOKS: Final = 64
"""Representatives, outside its block, that a row is compared with exactly, at most."""

Similarities = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Exact Jaccard similarities of pairs of rows."""


class Bands(NamedTuple):
    """How sketches are cut, see :mod:`~kinprint.kernels.copy.lsh`."""

    bands: int
    rows: int
    least: int
    """Slots in which a pair must agree."""


class _Buckets(NamedTuple):
    """Representatives of a large component by the keys of their bands; each row of it has a place."""

    keys: NDArray[np.uint32]
    """uint32[bands, m]: keys of all rows."""
    heads: NDArray[np.int32]
    """int32[bands, 2^k]: the latest representative whose key hashes there; -1: none."""
    before: NDArray[np.int32]
    """int32[bands, m]: the one before it."""


@parallel_kernel(1024)
def _keys(
    first: int,
    last: int,
    signatures: NDArray[np.uint32],
    members: NDArray[np.int64],
    rows: int,
    keys: NDArray[np.uint32],
) -> None:
    for i in range(first, last):
        for b in range(keys.shape[0]):
            keys[b, i] = np.uint32(band_key(signatures[members[i]], b, rows) >> np.uint64(32))


@kernel
def _slot(key: np.uint32, size: int) -> int:
    return int(finalise(np.uint64(key)) & np.uint64(size - 1))


@kernel
def _share_a_band(a: NDArray[np.uint32], b: NDArray[np.uint32], bands: int, rows: int) -> bool:
    for band in range(bands):
        same = True
        for r in range(band * rows, (band + 1) * rows):
            if a[r] != b[r]:
                same = False
                break
        if same:
            return True
    return False


@kernel
def _within(
    signatures: NDArray[np.uint32],
    members: NDArray[np.int64],
    starts: NDArray[np.int64],
    joined: NDArray[np.bool_],
    bands: int,
    rows: int,
    least: int,
) -> NDArray[np.int64]:
    """Candidate pairs (i, j), i < j, of places within each run ``starts[k]..starts[k + 1]``, i not joined: by j."""
    out = np.empty((1024, 2), np.int64)
    n = 0
    for k in range(starts.size - 1):
        for j in range(starts[k], starts[k + 1]):
            for i in range(starts[k], j):
                if joined[i]:
                    continue
                a = signatures[members[i]]
                b = signatures[members[j]]
                if agreements(a, b) < least or not _share_a_band(a, b, bands, rows):
                    continue
                if n == out.shape[0]:
                    larger = np.empty((2 * n, 2), np.int64)
                    larger[:n] = out
                    out = larger
                out[n, 0] = i
                out[n, 1] = j
                n += 1
    return out[:n]


@kernel
def _earlier(
    signatures: NDArray[np.uint32],
    members: NDArray[np.int64],
    first: int,
    last: int,
    buckets: _Buckets,
    rows: int,
    least: int,
    crowd: int,
    looks: int,
) -> NDArray[np.int64]:
    """Candidate pairs (representative, j) of the places first .. last-1 of one component: by j."""
    bands = buckets.keys.shape[0]
    out = np.empty(((last - first) * looks, 2), np.int64)
    met = np.empty(bands * crowd, np.int64)
    n = 0
    for j in range(first, last):
        b = signatures[members[j]]
        k = 0
        for band in range(bands):
            key = buckets.keys[band, j]
            at = buckets.heads[band, _slot(key, buckets.heads.shape[1])]
            seen = 0
            while at >= 0 and seen < crowd:
                if buckets.keys[band, at] == key:
                    seen += 1
                    met[k] = at
                    k += 1
                at = buckets.before[band, at]
        met[:k].sort()
        kept = 0
        known = np.int64(-1)
        for q in range(k):
            place = met[q]
            if place == known:
                continue
            known = place
            a = signatures[members[place]]
            equal = agreements(a, b)
            if equal < least or not _share_a_band(a, b, bands, rows):
                continue
            # Those that agree most come first, of equals the first. What is written over was read already.
            met[kept] = place | (np.int64(a.size - equal) << 32)
            kept += 1
        if kept > looks:
            met[:kept].sort()
            kept = looks
        for q in range(kept):
            out[n, 0] = met[q] & np.int64(0xFFFFFFFF)
            out[n, 1] = j
            n += 1
    return out[:n]


@kernel
def _join(
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    similarity: NDArray[np.float64],
    threshold: float,
    leaders: NDArray[np.int64],
    best: NDArray[np.float64],
) -> None:
    """Join each place j to the most similar of the representatives i, of equals the first."""
    for k in range(i.size):
        s = similarity[k]
        if s < threshold:
            continue
        if s > best[j[k]] or (s == best[j[k]] and i[k] < leaders[j[k]]):
            best[j[k]] = s
            leaders[j[k]] = i[k]


@kernel
def _settle(
    first: int,
    last: int,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    similarity: NDArray[np.float64],
    threshold: float,
    leaders: NDArray[np.int64],
    best: NDArray[np.float64],
) -> None:
    """Decide on the places first .. last-1 in their order; pairs, i < j, are in the order of j."""
    k = 0
    for place in range(first, last):
        while k < j.size and j[k] == place:
            s = similarity[k]
            # Only what is decided already can be a representative, and i < j is.
            better = s > best[place] or (s == best[place] and i[k] < leaders[place])
            if better and s >= threshold and leaders[i[k]] == i[k]:
                best[place] = s
                leaders[place] = i[k]
            k += 1
        if leaders[place] < 0:
            leaders[place] = place
            best[place] = 1.0


@kernel
def _insert(leaders: NDArray[np.int64], first: int, last: int, buckets: _Buckets) -> None:
    for place in range(first, last):
        if leaders[place] == place:
            for band in range(buckets.keys.shape[0]):
                slot = _slot(buckets.keys[band, place], buckets.heads.shape[1])
                buckets.before[band, place] = buckets.heads[band, slot]
                buckets.heads[band, slot] = place


class Stars(NamedTuple):
    """A star of each of n rows."""

    first: NDArray[np.int64]
    """int64[n]: the representative of each row, the first of its star."""
    similarity: NDArray[np.float64]
    """float64[n]: Jaccard similarity to it; 1 for the representative itself."""


def of_pairs(n: int, a: NDArray[np.int64], b: NDArray[np.int64], similarity: NDArray[np.float64]) -> Stars:
    """Stars of n rows by all pairs, a < b, that are over the threshold, in any order, each once."""
    order = np.lexsort((a, b))
    first, best = np.full(n, -1, np.int64), np.zeros(n)
    rows_a, rows_b = (frozen(np.ascontiguousarray(column[order])) for column in (a, b))
    _settle(0, n, rows_a, rows_b, np.ascontiguousarray(similarity[order]), 0.0, first, best)
    return Stars(first, best)


def of_components(
    signatures: NDArray[np.uint32],
    roots: NDArray[np.int64],
    cut: Bands,
    threshold: float,
    similarities: Similarities,
    *,
    only: NDArray[np.int64],
    crowd: int = CROWD,
    looks: int = LOOKS,
) -> Iterator[tuple[int, Stars | None]]:
    """Stars within the components of the pairs that share a band and are over the threshold.

    Parameters
    ----------
    signatures : uint32[n, 128]
    roots : int64[n]
        The component of each row.
    cut
        How its pairs were sought.
    threshold
        In (0, 1].
    similarities
        Compares rows exactly.
    only : int64[m], ascending
        Rows that are looked at; the others are alone.
    crowd, looks
        See the module's text.

    Yields
    ------
    (pairs compared, Stars or None)
        The number since the one before; the stars, once, at the end.
    """
    n = signatures.shape[0]
    sizes = np.bincount(roots[only], minlength=n) if n else np.zeros(0, np.int64)
    some = only[sizes[roots[only]] > 1]
    members = some[np.argsort(roots[some], kind="stable")]
    m = len(members)
    changes = np.flatnonzero(np.diff(roots[members])) + 1
    starts = np.concatenate(([0], changes, [m])).astype(np.int64) if m else np.zeros(1, np.int64)
    leaders, best = np.full(m, -1, np.int64), np.zeros(m)
    sketches, rows = frozen(signatures), frozen(members)

    def within(runs: NDArray[np.int64]) -> int:
        joined = leaders >= 0
        found = _within(sketches, rows, runs, joined, cut.bands, cut.rows, cut.least)
        i, j = (frozen(np.ascontiguousarray(c)) for c in found.T)
        _settle(int(runs[0]), int(runs[-1]), i, j, similarities(members[i], members[j]), threshold, leaders, best)
        return len(found)

    at = 0
    while at < len(starts) - 1:
        if starts[at + 1] - starts[at] <= BLOCK:
            # Small components, as many as there is room for, up to the next large one.
            end = max(at + 1, int(np.searchsorted(starts, starts[at] + TOGETHER, "right")) - 1)
            large = np.flatnonzero(np.diff(starts[at : end + 1]) > BLOCK)
            end = at + int(large[0]) if len(large) else end
            yield within(starts[at : end + 1]), None
            at = end
            continue
        begin, end_of = int(starts[at]), int(starts[at + 1])
        own = frozen(members[begin:end_of])
        size = end_of - begin
        keys = np.empty((cut.bands, size), np.uint32)
        _keys(size, sketches, own, cut.rows, keys)
        buckets = _Buckets(
            frozen(keys),
            np.full((cut.bands, 1 << (size - 1).bit_length()), -1, np.int32),
            np.full((cut.bands, size), -1, np.int32),
        )
        of, by = leaders[begin:end_of], best[begin:end_of]
        for first in range(0, size, BLOCK):
            last = min(size, first + BLOCK)
            found = _earlier(sketches, own, first, last, buckets, cut.rows, cut.least, crowd, looks)
            i, j = (frozen(np.ascontiguousarray(c)) for c in found.T)
            _join(i, j, similarities(own[i], own[j]), threshold, of, by)
            inner = _within(sketches, own, np.array([first, last]), of >= 0, cut.bands, cut.rows, cut.least)
            i, j = (frozen(np.ascontiguousarray(c)) for c in inner.T)
            _settle(first, last, i, j, similarities(own[i], own[j]), threshold, of, by)
            _insert(of, first, last, buckets)
            yield len(found) + len(inner), None
        of += begin
        at += 1
    first_rows, similarity = np.arange(n, dtype=np.int64), np.ones(n)
    first_rows[members], similarity[members] = members[leaders], best
    yield 0, Stars(first_rows, similarity)
