"""Seeds: a few shingles of every text, chosen so that a shared stretch shares one, and an index of them.

Winnowing (S. Schleimer, D. S. Wilkerson, A. Aiken, "Winnowing: local algorithms for document fingerprinting", SIGMOD
2003): of every :data:`WINDOW` shingles in a row the one with the least hash is a seed. About 2 of 7 shingles are, the
choice depends on the neighbours alone, and two texts that have :data:`WINDOW` shingles in a row in common, which is
eight words or ten spaceless code points, have a seed in common for certain.

The index keeps the seeds of many texts. A query looks *all* its shingles up, so that a stored text which holds eight
words of it in a row is found for certain, however long either is; a query too short for that is found in a text that
has one of its few shingles as a seed. The number of seeds met, times 7 / 2, estimates the number of shared shingles.
It costs about 8 bytes a seed, 370 a text of 165 words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.shingle import Workspace, folded_text, larger_size, shingle_words, workspace
from kinprint.kernels.fold import BUFFER, CHUNK
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

WINDOW: Final = 6
"""Shingles in a row of which one is a seed: three words each, six of them span eight words."""
DENSITY: Final = 2 / (WINDOW + 1)
"""Share of the shingles that are seeds, on average."""
ROOM: Final = 8
"""Bytes of a text that make room for a seed: prose has one in twenty bytes, scripts without spaces one in ten."""
VERSION: Final = 1
"""Raised whenever the seeds of any text change."""


class SeedIndex(NamedTuple):
    """Seeds of n texts, by key."""

    keys: NDArray[np.uint32]
    """uint32[m], ascending: the high half of each seed."""
    ids: NDArray[np.int32]
    """int32[m]: the text of each; ascending where keys are equal."""
    starts: NDArray[np.int64]
    """int64[2^b + 1]: where the keys with each of the values of their top b bits begin."""
    texts: int
    """n."""


@kernel
def winnow(hashes: NDArray[np.uint64], first: int, last: int, window: int, chosen: NDArray[np.int32]) -> int:
    """Places of the seeds among ``hashes[first:last]`` to ``chosen``, ascending; their number.

    Of equal hashes in a window the last counts, and fewer than ``window`` hashes have one seed.
    """
    n = last - first
    if n <= 0:
        return 0
    count = 0
    best = -1
    for end in range(min(window, n), n + 1):
        begin = max(0, end - window)
        if best < begin:
            best = begin
            for k in range(begin + 1, end):
                if hashes[first + k] <= hashes[first + best]:
                    best = k
        elif hashes[first + end - 1] <= hashes[first + best]:
            best = end - 1
        if count == 0 or chosen[count - 1] != first + best:
            chosen[count] = first + best
            count += 1
    return count


@kernel
def _seeds(work: Workspace, length: int, chosen: NDArray[np.int32]) -> int:
    """Distinct keys of the seeds of the folded text in the workspace, ascending, left in ``work.words``; their
    number.
    """
    of_words, of_points, _ = shingle_words(work, length)
    a = winnow(work.hashes, 0, of_words, WINDOW, chosen)
    b = winnow(work.hashes, of_words, of_words + of_points, WINDOW, chosen[a:])
    keys = work.words  # no longer needed, and with room for a shingle at every byte
    for k in range(a + b):
        keys[k] = work.hashes[chosen[k]] >> np.uint64(32)
    keys[: a + b].sort()
    kept = 0
    for k in range(a + b):
        if kept == 0 or keys[k] != keys[kept - 1]:
            keys[kept] = keys[k]
            kept += 1
    return kept


@parallel_kernel(CHUNK)
def _all_seeds(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    out: NDArray[np.uint64],
) -> None:
    """Count the seeds of texts first .. last-1; write (key << 32 | text) for each to ``out[starts[i]:starts[i + 1]]``,
    where there is room for all of a text's.
    """
    work = workspace(BUFFER)
    chosen = np.empty(BUFFER + 2, np.int32)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        if chosen.size < length + 2:
            chosen = np.empty(2 * length + 2, np.int32)
        m = _seeds(work, length, chosen)
        if m <= starts[i + 1] - starts[i]:
            for k in range(m):
                out[starts[i] + k] = (work.words[k] << np.uint64(32)) | np.uint64(i)
        counts[i] = m


@kernel
def _close_up(postings: NDArray[np.uint64], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Move the ``counts[i]`` postings from each of ``starts`` up to those before; how many there are."""
    end = 0
    for i in range(counts.size):
        for k in range(counts[i]):
            postings[end + k] = postings[starts[i] + k]
        end += counts[i]
    return end


@kernel
def _sort_pass(source: NDArray[np.uint64], target: NDArray[np.uint64], shift: int) -> None:
    """One pass of a stable radix sort, by the 11 bits from ``shift`` on."""
    counts = np.zeros(2049, np.int64)
    bits = np.uint64(shift)
    for i in range(source.size):
        counts[np.int64((source[i] >> bits) & np.uint64(2047)) + 1] += 1
    for b in range(2048):
        counts[b + 1] += counts[b]
    for i in range(source.size):
        digit = np.int64((source[i] >> bits) & np.uint64(2047))
        target[counts[digit]] = source[i]
        counts[digit] += 1


@kernel
def _split(
    postings: NDArray[np.uint64], keys: NDArray[np.uint32], ids: NDArray[np.int32], starts: NDArray[np.int64], bits: int
) -> None:
    """Halves of sorted postings, and where the keys with each prefix of ``bits`` bits begin."""
    shift = np.uint64(64 - bits)
    at = 0
    for i in range(postings.size):
        keys[i] = np.uint32(postings[i] >> np.uint64(32))
        ids[i] = np.int32(postings[i] & np.uint64(0xFFFFFFFF))
        prefix = int(postings[i] >> shift)
        while at <= prefix:
            starts[at] = i
            at += 1
    while at < starts.size:
        starts[at] = postings.size
        at += 1


def build(texts: Texts) -> SeedIndex:
    """Index the seeds of texts, in memory of about three times the index, or of the texts where that is more.

    Raises
    ------
    ValueError
        If there are 2^31 texts or more.
    """
    n = len(texts)
    if n >= 2**31:
        raise ValueError(f"at most 2^31 - 1 texts, not {n}")
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    counts = np.zeros(n, np.int64)
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(lengths // ROOM + 16, out=starts[1:])
    postings = np.empty(starts[-1], np.uint64)
    _all_seeds(n, addresses, lengths, starts, counts, postings)
    if (counts <= np.diff(starts)).all():
        postings = postings[: _close_up(postings, starts, counts)]
    else:  # texts of many symbols or of letters that fold to several: now their seeds are counted
        np.cumsum(counts, out=starts[1:])
        postings = np.empty(starts[-1], np.uint64)
        _all_seeds(n, addresses, lengths, starts, counts, postings)
    spare = np.empty_like(postings)
    for shift in (31, 42, 53):  # texts are in their order already, and keep it where keys are equal
        _sort_pass(postings, spare, shift)
        postings, spare = spare, postings
    del spare
    return _index_of(postings, n)


def _index_of(postings: NDArray[np.uint64], texts: int) -> SeedIndex:
    """The index of postings (key << 32 | text), ascending, each once."""
    bits = max(1, min(28, int(postings.size).bit_length() - 3))
    index = SeedIndex(
        np.empty(postings.size, np.uint32),
        np.empty(postings.size, np.int32),
        np.empty((1 << bits) + 1, np.int64),
        texts,
    )
    _split(postings, index.keys, index.ids, index.starts, bits)
    return index


@kernel
def _renumber(
    keys: NDArray[np.uint32], ids: NDArray[np.int32], names: NDArray[np.int32], out: NDArray[np.uint64], at: int
) -> int:
    """Postings with other numbers of texts to ``out`` from ``at`` on, those below 0 left out; where they end."""
    for i in range(keys.size):
        name = names[ids[i]]
        if name >= 0:
            out[at] = (np.uint64(keys[i]) << np.uint64(32)) | np.uint64(name)
            at += 1
    return at


def merge(indexes: Sequence[SeedIndex], names: Sequence[NDArray[np.int32]], texts: int) -> SeedIndex:
    """One index out of several, without reading a text again: what :func:`build` gives for the texts that remain.

    Parameters
    ----------
    names
        For each index int32[texts of it]: the number that each of its texts has in the new one, or -1 for a text that
        is left out. Texts that get one number are one that has the seeds of all of them.
    texts
        Texts of the new index.

    Raises
    ------
    ValueError
        If the names of an index are not one a text, or a number is not below ``texts``.
    """
    for index, some in zip(indexes, names, strict=True):
        if some.dtype != np.int32 or some.shape != (index.texts,):
            raise ValueError(f"names must be int32[{index.texts}], not {some.dtype}{list(some.shape)}")
        if some.size and some.max() >= texts:
            raise ValueError(f"names must be below {texts}, not {some.max()}")
    postings = np.empty(sum(index.keys.size for index in indexes), np.uint64)
    end = 0
    for index, some in zip(indexes, names, strict=True):
        end = _renumber(frozen(index.keys), frozen(index.ids), frozen(some), postings, end)
    postings = postings[:end]
    postings.sort()
    if end:
        again = np.flatnonzero(postings[1:] == postings[:-1])
        if again.size:  # equal texts of several indexes
            postings = np.delete(postings, again)
    return _index_of(postings, texts)


@kernel
def _meet(
    keys: NDArray[np.uint32], ids: NDArray[np.int32], starts: NDArray[np.int64], texts: int, query: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Texts that have keys of the query, as (2^32 - 1 - number of keys << 32 | text), in no order.

    They are counted in a hash table with room for twice the postings met, so that a query costs what it meets, not
    what there is; in a table of all texts where that is no larger.
    """
    bits = 0
    while (1 << (bits + 1)) < starts.size:
        bits += 1
    shift = np.uint64(64 - bits)
    first = np.empty(query.size, np.int64)
    last = np.empty(query.size, np.int64)
    total = 0
    for q in range(query.size):
        wanted = np.uint32(query[q] >> np.uint64(32))
        prefix = np.int64(query[q] >> shift)
        k = starts[prefix]
        end = starts[prefix + 1]
        while k < end and keys[k] < wanted:
            k += 1
        first[q] = k
        while k < end and keys[k] == wanted:
            k += 1
        last[q] = k
        total += k - first[q]
    size = 16
    while size < 2 * total:
        size *= 2
    direct = size >= texts
    if direct:
        size = texts
    table = np.full(size, -1, np.int32)
    met = np.empty(min(total, texts), np.uint64)
    found = 0
    mask = np.uint32(size - 1)
    for q in range(query.size):
        for k in range(first[q], last[q]):
            i = ids[k]
            place = np.int64(i)
            if not direct:
                mixed = np.uint32(i) * np.uint32(0x9E3779B1)
                place = np.int64((mixed ^ (mixed >> np.uint32(15))) & mask)
                while table[place] >= 0 and np.int32(met[table[place]] & np.uint64(0xFFFFFFFF)) != i:
                    place = np.int64((place + 1) & mask)
            if table[place] < 0:
                table[place] = found
                met[found] = (np.uint64(0xFFFFFFFF) << np.uint64(32)) | np.uint64(i)
                found += 1
            met[table[place]] -= np.uint64(1) << np.uint64(32)
    return met[:found]


def query(index: SeedIndex, shingles: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Texts that share a seed with a query, by the number of seeds.

    Parameters
    ----------
    shingles : uint64[q]
        Distinct shingles of the query, from :func:`~kinprint.kernels.copy.shingle.sets_of`.

    Returns
    -------
    ids, counts : int32[c], uint32[c]
        Texts and how many of their seeds are among the shingles; most first, then by text.

    Raises
    ------
    ValueError
        If a dtype or shape does not fit.
    """
    if shingles.dtype != np.uint64 or shingles.ndim != 1:
        raise ValueError(f"shingles must be uint64[q], not {shingles.dtype}{list(shingles.shape)}")
    arrays = frozen(index.keys), frozen(index.ids), frozen(index.starts)
    met = _meet(*arrays, index.texts, frozen(np.ascontiguousarray(shingles)))
    met.sort()
    counts = np.uint64(0xFFFFFFFF) - (met >> np.uint64(32))
    return (met & np.uint64(0xFFFFFFFF)).astype(np.int32), counts.astype(np.uint32)


def estimated_shared(counts: NDArray[np.uint32] | int, errors: float = 0.0) -> NDArray[np.float64]:
    """Shared shingles that so many shared seeds speak for, or that many standard errors more: float64.

    A text that shares k shingles meets about k * 2 / 7 seeds, with a standard error of at most
    sqrt(k * 2 / 7 * 5 / 7).
    """
    spread = errors * np.sqrt(DENSITY * (1.0 - DENSITY))
    root = (spread + np.sqrt(spread**2 + 4.0 * DENSITY * np.asarray(counts, np.float64))) / (2.0 * DENSITY)
    return np.asarray(root**2)
