"""Words of texts, counted: what Delta compares.

A word is a maximal run of letters, combining marks and numbers of the folded text (see
:mod:`kinprint.kernels.fold`), with apostrophes (U+0027 or U+2019, which count as the same) between two of them. A
letter of a script without spaces is a word by itself, with the marks on it. Punctuation and symbols are in no word.
Words are told apart by :func:`kinprint.kernels.hashing.hash_bytes` of their UTF-8.

Counts are integers, so that no result depends on the number of threads or on how texts are put into calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, room_for_hashes
from kinprint.kernels.copy.shingle import Workspace, find_words, folded_text, hash_words, larger_size, workspace
from kinprint.kernels.fold import BUFFER, CHUNK
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.unicode import MARK, SPACELESS, code_class, decode
from numpy.typing import NDArray

_APOSTROPHE = np.uint8(0x27)
_BLOCK = 1 << 24  # bytes of text whose words are in memory at a time
_STRIPS = 16  # pieces of a block, each tallied by one thread


class Counts(NamedTuple):
    """How often each word occurs: a sum over texts, exact, that may be put together in any order."""

    hashes: NDArray[np.uint64]
    """uint64[d]: the distinct words, in the order of their hashes."""
    counts: NDArray[np.int64]
    """int64[d]: the occurrences of each, at least 1."""

    @property
    def total(self) -> int:
        """Occurrences of all words."""
        return int(self.counts.sum())

    def merge(self, other: Counts) -> Counts:
        """Counts of the texts of both."""
        if not self.hashes.size:
            return other
        hashes, counts = _merged(frozen(self.hashes), frozen(self.counts), frozen(other.hashes), frozen(other.counts))
        return Counts(hashes, counts)

    def most_frequent(self, k: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The ``k`` most frequent words, or all where there are fewer; see :func:`most_frequent`.

        Raises
        ------
        ValueError
            If ``k`` is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, and is {k}")
        hashes, counts = self
        if k < counts.size:
            least = np.partition(counts, counts.size - k)[counts.size - k] if k else counts.max() + 1
            kept = counts >= least
            hashes, counts = hashes[kept], counts[kept]
        order = np.lexsort((hashes, -counts))[:k]
        return hashes[order], counts[order]


# ---- words ----


@kernel
def find_all(work: Workspace, length: int) -> int:
    """Leave the hashes of the words of a folded text in ``work.words``; their number.

    First those of scripts with spaces, then the letters of scripts without, each in the order of the text.
    """
    text = work.buffer
    edges = work.edges
    m, places, _, _, _ = find_words(work, length)
    # Runs with an apostrophe between them become one; U+2019 takes three bytes, so what follows it moves back.
    kept = 0
    i = 0
    while i < m:
        start = edges[i]
        end = edges[i + 1]
        stop = end  # where in the text the word ends, before anything moves
        i += 2
        while i < m:
            after = edges[i]
            if not (
                (after == stop + 1 and text[stop] == _APOSTROPHE)
                or (after == stop + 3 and text[stop] == 0xE2 and text[stop + 1] == 0x80 and text[stop + 2] == 0x99)
            ):
                break
            stop = edges[i + 1]
            text[end] = _APOSTROPHE
            end += 1
            if end == after:
                end = stop
            else:
                for p in range(after, stop):
                    text[end] = text[p]
                    end += 1
            i += 2
        edges[kept] = start
        edges[kept + 1] = end
        kept += 2
    last = -1  # where the last letter of a script without spaces ended, with its marks
    for q in range(places):
        place = work.places[q]
        cp, width = decode(text, place, length)
        cls = code_class(cp)
        if cls == SPACELESS:
            edges[kept] = place
            edges[kept + 1] = place + width
            kept += 2
            last = place + width
        elif cls == MARK and place == last:
            last = place + width
            edges[kept - 1] = last
    hash_words(text, edges, kept // 2, work.words)
    return kept // 2


@parallel_kernel(CHUNK)
def _totals(
    first: int, last: int, addresses: NDArray[np.uint64], lengths: NDArray[np.int64], totals: NDArray[np.int64]
) -> None:
    """Number of words of each text, int64[n]."""
    work = workspace(BUFFER)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        totals[i] = find_all(work, length)


@kernel
def _tally(hashes: NDArray[np.uint64], counts: NDArray[np.int64], n: int) -> int:
    """Add up the counts, all positive, of equal hashes among the first ``n``, in place.

    Leaves the distinct hashes, in no particular order, and their sums at the front; returns their number.
    """
    size = 1024
    keys = np.empty(size, np.uint64)
    sums = np.zeros(size, np.int64)
    used = 0
    for i in range(n):
        h = hashes[i]
        slot = np.int64(h & np.uint64(size - 1))
        while sums[slot] != 0 and keys[slot] != h:
            slot = (slot + 1) & (size - 1)
        if sums[slot] == 0:
            keys[slot] = h
            used += 1
        sums[slot] += counts[i]
        if 2 * used > size:
            old_keys = keys
            old_sums = sums
            size *= 4
            keys = np.empty(size, np.uint64)
            sums = np.zeros(size, np.int64)
            for q in range(old_keys.size):
                if old_sums[q] != 0:
                    slot = np.int64(old_keys[q] & np.uint64(size - 1))
                    while sums[slot] != 0:
                        slot = (slot + 1) & (size - 1)
                    keys[slot] = old_keys[q]
                    sums[slot] = old_sums[q]
    d = 0
    for q in range(size):
        if sums[q] != 0:
            hashes[d] = keys[q]
            counts[d] = sums[q]
            d += 1
    return d


@kernel
def _strip(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    first: int,
    last: int,
    hashes: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> int:
    """Words of texts first .. last-1 to ``hashes``, tallied where ``counts`` has room for it; the number left."""
    work = workspace(BUFFER)
    o = 0
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        m = find_all(work, length)
        for q in range(m):
            hashes[o + q] = work.words[q]
        o += m
    if counts.size == 0:
        return o
    counts[:] = 1
    return _tally(hashes, counts, o)


@parallel_kernel()
def _strips(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    bounds: NDArray[np.int64],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    counts: NDArray[np.int64],
    left: NDArray[np.int64],
) -> None:
    """:func:`_strip` of texts ``bounds[s] .. bounds[s + 1] - 1`` from their places on; the numbers left to ``left``.

    ``counts`` is as long as ``hashes``, or empty: then nothing is tallied.
    """
    for s in range(first, last):
        start = places[bounds[s]]
        stop = places[bounds[s + 1]]
        left[s] = _strip(
            addresses, lengths, bounds[s], bounds[s + 1], hashes[start:stop], counts[min(start, counts.size) : stop]
        )


@kernel
def _gathered(
    hashes: NDArray[np.uint64], counts: NDArray[np.int64], starts: NDArray[np.int64], left: NDArray[np.int64]
) -> int:
    """Close the gaps between tallied strips and tally them as one; the number of distinct hashes."""
    o = 0
    for s in range(starts.size):
        for q in range(starts[s], starts[s] + left[s]):
            hashes[o] = hashes[q]
            counts[o] = counts[q]
            o += 1
    return _tally(hashes, counts, o)


@kernel
def _merged(
    hashes_a: NDArray[np.uint64],
    counts_a: NDArray[np.int64],
    hashes_b: NDArray[np.uint64],
    counts_b: NDArray[np.int64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Two sorted tables as one; equal hashes have their counts added."""
    hashes = np.empty(hashes_a.size + hashes_b.size, np.uint64)
    counts = np.empty(hashes.size, np.int64)
    i = 0
    j = 0
    o = 0
    while i < hashes_a.size or j < hashes_b.size:
        if j == hashes_b.size or (i < hashes_a.size and hashes_a[i] < hashes_b[j]):
            hashes[o] = hashes_a[i]
            counts[o] = counts_a[i]
            i += 1
        elif i == hashes_a.size or hashes_b[j] < hashes_a[i]:
            hashes[o] = hashes_b[j]
            counts[o] = counts_b[j]
            j += 1
        else:
            hashes[o] = hashes_a[i]
            counts[o] = counts_a[i] + counts_b[j]
            i += 1
            j += 1
        o += 1
    return hashes[:o].copy(), counts[:o].copy()


def _places(texts: Texts) -> NDArray[np.int64]:
    """Where the words of each text begin among those of all, int64[n + 1]."""
    places = np.zeros(len(texts) + 1, np.int64)
    _totals(len(texts), frozen(texts.addresses), frozen(texts.lengths), places[1:])
    np.cumsum(places, out=places)
    return places


def _bounds(texts: Texts) -> NDArray[np.int64]:
    """Texts at which strips of about as many bytes begin, and their number: int64[s + 1]."""
    ends = np.cumsum(texts.lengths)
    cuts = np.arange(1, _STRIPS) * (int(ends[-1]) / _STRIPS)
    return np.unique(np.concatenate(([0], np.searchsorted(ends, cuts), [len(texts)]))).astype(np.int64)


def hashes_of(texts: Texts) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the words of every text, repeats kept.

    Texts are gone through twice, so that memory holds the result alone.

    Returns
    -------
    hashes : uint64[m]
        Within a text, first the words of scripts with spaces, then the letters of scripts without, each in order.
    indptr : int64[n + 1]
        Text ``i`` has ``hashes[indptr[i]:indptr[i + 1]]``.
    """
    places = _places(texts)
    hashes = room_for_hashes(int(places[-1]))
    if len(texts):
        addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
        bounds = _bounds(texts)
        left = np.empty(len(bounds) - 1, np.int64)
        none = np.empty(0, np.int64)
        _strips(len(left), addresses, lengths, frozen(bounds), frozen(places), hashes, none, left)
    return hashes, places


def _count_block(texts: Texts) -> Counts:
    places = _places(texts)
    bounds = _bounds(texts)
    hashes = room_for_hashes(int(places[-1]))
    counts = np.empty(hashes.size, np.int64)
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    left = np.empty(len(bounds) - 1, np.int64)
    _strips(len(left), addresses, lengths, frozen(bounds), frozen(places), hashes, counts, left)
    d = _gathered(hashes, counts, frozen(places[bounds[:-1]]), frozen(left))
    order = np.argsort(hashes[:d])
    return Counts(hashes[order], counts[order])


def count_words(texts: Texts) -> Counts:
    """Occurrences of every word of the texts.

    Memory holds the distinct words of all texts and the words of about 16 MiB of text at a time, or of one text. For a
    corpus that comes in parts, :meth:`Counts.merge` gives the counts of the whole, whatever the parts and their order.
    """
    ends = np.cumsum(texts.lengths)
    stack: list[Counts] = []
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK, "right")))
        stack.append(_count_block(texts.take(slice(start, stop))))
        # Like sizes are merged, so that no count is copied more often than the logarithm of the number of blocks.
        while len(stack) > 1 and stack[-2].hashes.size <= 2 * stack[-1].hashes.size:
            last = stack.pop()
            stack[-1] = stack[-1].merge(last)
        start = stop
    total = Counts(np.empty(0, np.uint64), np.empty(0, np.int64))
    while stack:
        total = total.merge(stack.pop())
    return total


def most_frequent(texts: Texts, k: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The ``k`` most frequent words of the texts, or all where there are fewer.

    Returns
    -------
    hashes : uint64[k]
        The most frequent first; of words equally frequent, the one with the lesser hash.
    counts : int64[k]
        The occurrences of each.

    Raises
    ------
    ValueError
        If ``k`` is negative.
    """
    if k < 0:
        raise ValueError(f"k must not be negative, and is {k}")
    return count_words(texts).most_frequent(k)
