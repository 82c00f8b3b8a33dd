"""LSH banding over sketches: which texts are worth an exact comparison.

Rows of slots are grouped into bands; two texts are candidates if any band agrees in all its rows, which happens with
probability 1 - (1 - J^rows)^bands (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4). Blank texts are in
no band.

:func:`candidate_pairs` finds all pairs of a set of sketches, :func:`linking_pairs` enough of them to find what hangs
together, both a few bands at a time.

One file: all pairs and linking pairs share the sorted bands and how pairs are taken from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy.sketch import EMPTY, SLOTS, check_signatures
from kinprint.kernels.hashing import BAND_SEED, MULTIPLIER_1, finalise, multiply_fold
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

BANDINGS: Final = ((16, 8), (32, 4), (42, 3), (64, 2))
"""(bands, rows) on offer, from the fewest false candidates to the most."""
KEY_BYTES: Final = 16 << 20
"""Memory for the keys and ids of bands that are worked off in one pass over the sketches, for few texts."""
BANDS_AT_ONCE: Final = 8
"""Bands that are worked off in one pass at least, however many texts there are."""
RECALL: Final = 0.999
"""What :func:`choose_bands` asks for at the threshold."""


def recall(threshold: float, bands: int, rows: int) -> float:
    """Probability that two texts of Jaccard similarity ``threshold`` become candidates."""
    return float(1.0 - (1.0 - threshold**rows) ** bands)


def choose_bands(threshold: float) -> tuple[int, int]:
    """The ``(bands, rows)`` of :data:`BANDINGS` with the fewest false candidates that finds at least
    :data:`RECALL` of the pairs at ``threshold``; below about .32, where none does, the one that finds most.

    Raises
    ------
    ValueError
        If ``threshold`` is not in (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    for bands, rows in BANDINGS:
        if recall(threshold, bands, rows) >= RECALL:
            return bands, rows
    return BANDINGS[-1]


@kernel
def band_key(signature: NDArray[np.uint32], band: int, rows: int) -> np.uint64:
    """64-bit key of one band of a signature uint32[128]; equal where all its slots are."""
    h = BAND_SEED + np.uint64(band)
    end = (band + 1) * rows
    for j in range(band * rows, end - 1, 2):
        both = np.uint64(signature[j]) | (np.uint64(signature[j + 1]) << np.uint64(32))
        h = multiply_fold(h ^ both, MULTIPLIER_1)
    if rows % 2 == 1:
        h = multiply_fold(h ^ np.uint64(signature[end - 1]), MULTIPLIER_1)
    return finalise(h)


@parallel_kernel(1024)
def _band_keys(
    first: int,
    last: int,
    signatures: NDArray[np.uint32],
    present: NDArray[np.int32],
    first_band: int,
    rows: int,
    keys: NDArray[np.uint32],
) -> None:
    """High halves of the keys of some bands in a row, uint32[bands, n], in one pass over the sketches."""
    for i in range(first, last):
        signature = signatures[present[i]]
        for b in range(keys.shape[0]):
            keys[b, i] = np.uint32(band_key(signature, first_band + b, rows) >> np.uint64(32))


@kernel
def _sort_short(keys: NDArray[np.uint32], ids: NDArray[np.int32]) -> None:
    """Stable radix sort of ``keys`` in place, ``ids`` along with them; four passes of eight bits."""
    n = keys.size
    a, b = keys, np.empty(n, np.uint32)
    x, y = ids, np.empty(n, np.int32)
    counts = np.zeros((4, 256), np.int64)
    for i in range(n):
        k = a[i]
        for d in range(4):
            counts[d, np.int64((k >> np.uint32(8 * d)) & np.uint32(255))] += 1
    for d in range(4):
        shift = np.uint32(8 * d)
        total = 0
        for v in range(256):
            count = int(counts[d, v])
            counts[d, v] = total
            total += count
        for i in range(n):
            k = a[i]
            digit = np.int64((k >> shift) & np.uint32(255))
            place = counts[d, digit]
            counts[d, digit] = place + 1
            b[place] = k
            y[place] = x[i]
        a, b = b, a
        x, y = y, x


@kernel
def _crowded(keys: NDArray[np.uint32], present: NDArray[np.int32], ids: NDArray[np.int32]) -> int:
    """Texts whose key another text may share, to ``ids``, and their keys in place, sorted by key; their number.

    Most texts are alone with their key. A table of places, seen once or more often, finds these in two passes, so that
    only the rest is sorted; a place that two keys share costs a text sorted in vain, and nothing else.
    """
    n = keys.size
    bits = 10
    while (1 << bits) < 8 * n and bits < 30:
        bits += 1
    shift = np.uint32(32 - bits)
    seen = np.zeros(1 << bits, np.uint8)
    for i in range(n):
        place = keys[i] >> shift
        seen[place] = 1 if seen[place] == 0 else 2
    kept = 0
    for i in range(n):
        key = keys[i]
        if seen[key >> shift] == 2:
            keys[kept] = key
            ids[kept] = present[i]
            kept += 1
    _sort_short(keys[:kept], ids[:kept])
    return kept


@parallel_kernel()
def _crowded_bands(
    first: int,
    last: int,
    keys: NDArray[np.uint32],
    present: NDArray[np.int32],
    ids: NDArray[np.int32],
    kept: NDArray[np.int64],
) -> None:
    """:func:`_crowded` of each band."""
    for b in range(first, last):
        kept[b] = _crowded(keys[b], present, ids[b])


@kernel
def agreements(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    """Slots in which two signatures uint32[128] agree."""
    equal = 0
    for j in range(SLOTS):
        equal += 1 if a[j] == b[j] else 0
    return equal


@kernel
def _by_label(keys: NDArray[np.uint32], ids: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
    """Within each run of equal keys, order ``ids`` by label, then id."""
    n = keys.size
    start = 0
    while start < n:
        end = start + 1
        while end < n and keys[end] == keys[start]:
            end += 1
        if end - start > 1:
            packed = np.empty(end - start, np.uint64)
            for k in range(start, end):
                packed[k - start] = (np.uint64(labels[ids[k]]) << np.uint64(32)) | np.uint64(ids[k])
            packed.sort()
            for k in range(start, end):
                ids[k] = np.int32(packed[k - start] & np.uint64(0xFFFFFFFF))
        start = end


@kernel
def _share_first_in(a: NDArray[np.uint32], b: NDArray[np.uint32], band: int, rows: int) -> bool:
    """Whether two signatures agree in a band and in none before it: the slots themselves decide."""
    for r in range(band * rows, (band + 1) * rows):
        if a[r] != b[r]:
            return False
    for earlier in range(band):
        same = True
        for r in range(earlier * rows, (earlier + 1) * rows):
            if a[r] != b[r]:
                same = False
                break
        if same:
            return False
    return True


@kernel
def _pairs(
    signatures: NDArray[np.uint32],
    keys: NDArray[np.uint32],
    ids: NDArray[np.int32],
    labels: NDArray[np.int32],
    band: int,
    rows: int,
    least: int,
    at: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Fill ``out`` with pairs of one sorted band, going on from ``at`` = (group start, first, second), which is left
    where it stopped; group start == keys.size says that the band is done. Returns the number of pairs written.

    With ``labels`` only pairs of different labels count, and the members of a group are in the order of their
    labels.
    """
    n = keys.size
    group = at[0]
    x = at[1]
    y = at[2]
    k = 0
    while group < n:
        end = group + 1
        while end < n and keys[end] == keys[group]:
            end += 1
        while x < end:
            i = np.int64(ids[x])
            if labels.size > 0 and y == x + 1:
                while y < end and labels[ids[y]] == labels[i]:
                    y += 1
            while y < end:
                if k == out.shape[0]:
                    at[0] = group
                    at[1] = x
                    at[2] = y
                    return k
                j = np.int64(ids[y])
                y += 1
                if agreements(signatures[i], signatures[j]) < least:
                    continue
                # A pair is reported in the first band that it agrees in.
                if _share_first_in(signatures[i], signatures[j], band, rows):
                    out[k, 0] = min(i, j)
                    out[k, 1] = max(i, j)
                    k += 1
            x += 1
            y = x + 1
        group = end
        x = end
        y = end + 1
    at[0] = n
    return k


@kernel
def _links(
    signatures: NDArray[np.uint32],
    keys: NDArray[np.uint32],
    ids: NDArray[np.int32],
    labels: NDArray[np.int32],
    reach: int,
    band: int,
    rows: int,
    least: int,
    at: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """As :func:`_pairs`, those pairs of different labels that are ``reach`` to ``2 reach - 1`` places apart.

    ``at`` is (group start, member, step, members of the largest group that had several labels). If more than half of
    a group has one label, its other members are gone through alone, for partners on both sides.
    """
    n = keys.size
    group = at[0]
    x = at[1]
    step = at[2]
    k = 0
    while group < n:
        end = group + 1
        while end < n and keys[end] == keys[group]:
            end += 1
        # The label of more than half of the members, if there is one (R. S. Boyer, J S. Moore, "MJRTY", 1981).
        most = labels[ids[group]]
        votes = 0
        several = False
        for m in range(group, end):
            label = labels[ids[m]]
            several = several or label != labels[ids[group]]
            if votes == 0:
                most = label
            votes += 1 if label == most else -1
        if not several or end - group <= reach:
            group = end
            x = end
            step = 0
            continue
        at[3] = max(at[3], end - group)
        while x < end:
            i = np.int64(ids[x])
            if labels[i] == most:
                x += 1
                continue
            while step < 2 * reach:
                if k == out.shape[0]:
                    at[0] = group
                    at[1] = x
                    at[2] = step
                    return k
                after = step % 2 == 0
                y = x + reach + step // 2 if after else x - reach - step // 2
                step += 1
                if y < group or y >= end:
                    continue
                j = np.int64(ids[y])
                # A pair of two such members is the earlier one's.
                if labels[j] == labels[i] or not (after or labels[j] == most):
                    continue
                if agreements(signatures[i], signatures[j]) < least:
                    continue
                if _share_first_in(signatures[i], signatures[j], band, rows):
                    out[k, 0] = min(i, j)
                    out[k, 1] = max(i, j)
                    k += 1
            x += 1
            step = 0
        group = end
    at[0] = n
    return k


def _present(signatures: NDArray[np.uint32], only: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """Texts that are in bands: not blank, and among ``only``."""
    if signatures.shape[0] >= 2**31:
        raise ValueError(f"at most 2^31 - 1 texts, not {signatures.shape[0]}")
    if only is not None:
        return np.asarray(only[signatures[only, 0] != EMPTY], np.int32)
    return np.flatnonzero(signatures[:, 0] != EMPTY).astype(np.int32)


def _check_banding(bands: int, rows: int) -> None:
    if bands < 1 or rows < 1 or bands * rows > SLOTS:
        raise ValueError(f"{bands} bands of {rows} rows do not fit {SLOTS} slots")


def least_agreements(threshold: float) -> int:
    """Slots, of 128, below which a pair is hardly of Jaccard similarity ``threshold`` or more.

    The most for which a pair at the threshold falls short with a probability below 3e-6, by the binomial distribution,
    and at least 1. A look at two sketches costs a hundredth of a comparison of two texts.
    """
    short = 0.0
    least = 0
    while True:
        short += math.comb(SLOTS, least) * threshold**least * (1.0 - threshold) ** (SLOTS - least)
        if short >= 3e-6:
            return max(1, least)
        least += 1


def candidate_pairs(
    signatures: NDArray[np.uint32],
    bands: int,
    rows: int,
    chunk: int = 4_000_000,
    *,
    least: int = 1,
    labels: NDArray[np.int32] | None = None,
    only: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """All pairs of texts that share a band, each once, in arrays of at most ``chunk`` pairs.

    Eight bands or more are worked off at a time, and a pair is passed over if an earlier band has already found it, so
    that memory stays at 64 bytes a text, about 16 more a text and thread, and 16 a pair of the chunk, however many
    pairs there are. Their number has no limit: m equal texts are m (m - 1) / 2 pairs; drop exact duplicates by
    ``text_hashes`` first where those are not wanted.

    Parameters
    ----------
    signatures : uint32[n, 128]
    bands, rows
        ``bands * rows`` at most 128; see :func:`choose_bands`.
    chunk
        Most pairs in one array.
    least
        Slots in which a pair must agree, see :func:`least_agreements`.
    labels : int32[n], not negative
        Only pairs of texts with different labels are wanted.
    only : int64[m], ascending
        Only pairs of these texts are wanted.

    Yields
    ------
    int64[p, 2]
        Rows ``(i, j)`` with i < j; 0 < p <= ``chunk``. The order does not depend on the number of threads.

    Raises
    ------
    ValueError
        If a shape, a dtype, the banding, ``labels`` or ``chunk`` does not fit.
    """
    check_signatures(signatures)
    _check_banding(bands, rows)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    if labels is not None and (labels.dtype != np.int32 or labels.shape != signatures.shape[:1]):
        raise ValueError(f"labels must be int32[{signatures.shape[0]}], not {labels.dtype}{list(labels.shape)}")
    return _candidate_pairs(frozen(signatures), _present(signatures, only), bands, rows, chunk, least, labels)


class _Chunks:
    """Collects pairs into arrays of a bounded size."""

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        self._buffer = np.empty((min(chunk, 1 << 16), 2), np.int64)
        self._filled = 0

    def of_band(
        self, fill: Callable[[NDArray[np.int64], NDArray[np.int64]], int], at: NDArray[np.int64], size: int
    ) -> Iterator[NDArray[np.int64]]:
        """Whole chunks of what ``fill(at, out)`` finds until ``at[0]`` is ``size``."""
        while at[0] < size:
            self._filled += fill(at, self._buffer[self._filled :])
            if self._filled == len(self._buffer):
                if self._filled == self._chunk:
                    yield from self.rest()
                    continue
                larger = np.empty((min(self._chunk, 4 * self._filled), 2), np.int64)
                larger[: self._filled] = self._buffer
                self._buffer = larger

    def rest(self) -> Iterator[NDArray[np.int64]]:
        """What is left, if anything."""
        if self._filled:
            yield self._buffer[: self._filled].copy()
            self._filled = 0


def _sorted_bands(
    signatures: NDArray[np.uint32], present: NDArray[np.int32], bands: int, rows: int
) -> Iterator[tuple[int, NDArray[np.uint32], NDArray[np.int32]]]:
    """(band, keys, ids) of every band in turn: the texts that may share their key, sorted by it."""
    at_once = min(bands, max(BANDS_AT_ONCE, KEY_BYTES // (8 * max(1, present.size))))
    keys = np.empty((at_once, present.size), np.uint32)
    ids = np.empty((at_once, present.size), np.int32)
    for first in range(0, bands, at_once):
        some = keys[: min(at_once, bands - first)]
        kept = np.zeros(len(some), np.int64)
        _band_keys(present.size, signatures, present, first, rows, some)
        _crowded_bands(len(some), some, present, ids, kept)
        for b, count in enumerate(kept.tolist()):
            yield first + b, keys[b, :count], ids[b, :count]


_NO_LABELS = np.empty(0, np.int32)


def _candidate_pairs(
    signatures: NDArray[np.uint32],
    present: NDArray[np.int32],
    bands: int,
    rows: int,
    chunk: int,
    least: int,
    labels: NDArray[np.int32] | None,
) -> Iterator[NDArray[np.int64]]:
    chunks = _Chunks(chunk)
    known = _NO_LABELS if labels is None else labels
    for band, keys, ids in _sorted_bands(signatures, present, bands, rows):
        if labels is not None:
            _by_label(keys, ids, labels)
        fill = partial(_pairs, signatures, keys, ids, known, band, rows, least)
        yield from chunks.of_band(fill, np.array([0, 0, 1], np.int64), keys.size)
    yield from chunks.rest()


def linking_pairs(
    signatures: NDArray[np.uint32],
    bands: int,
    rows: int,
    roots: Callable[[], NDArray[np.int32]],
    chunk: int = 4_000_000,
    *,
    least: int = 1,
    only: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Pairs enough to find the connected components of what :func:`candidate_pairs` would yield.

    ``roots`` says, whenever it is called, to which component each text belongs by the pairs that were yielded and
    accepted so far: int32[n]. Each group of texts with one key is gone through in rounds: neighbours first, then texts
    2 and 3 places apart, 4 to 7, and so on. A round leaves out pairs within a component, so that m texts that are all
    alike take m - 1 comparisons instead of m (m - 1) / 2, and few more where a share of the pairs is rejected. What
    was yielded must be accepted or rejected before the next array is asked for.

    Arguments, results and errors are otherwise those of :func:`candidate_pairs`.
    """
    check_signatures(signatures)
    _check_banding(bands, rows)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    return _linking_pairs(frozen(signatures), _present(signatures, only), bands, rows, roots, chunk, least)


def _linking_pairs(
    signatures: NDArray[np.uint32],
    present: NDArray[np.int32],
    bands: int,
    rows: int,
    roots: Callable[[], NDArray[np.int32]],
    chunk: int,
    least: int,
) -> Iterator[NDArray[np.int64]]:
    chunks = _Chunks(chunk)
    for band, keys, ids in _sorted_bands(signatures, present, bands, rows):
        reach, members = 1, 2
        while reach < members:
            at = np.zeros(4, np.int64)
            fill = partial(_links, signatures, keys, ids, roots(), reach, band, rows, least)
            yield from chunks.of_band(fill, at, keys.size)
            yield from chunks.rest()
            reach, members = 2 * reach, int(at[3])
