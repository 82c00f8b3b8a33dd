"""Delta and General Imposters: the classical measures of authorship, for corpora without shared prompts.

The words of a text are counted (:func:`count_words`), the most frequent ones of a corpus make a vocabulary
(:func:`most_frequent`), texts or groups of texts become relative frequencies of its words (:func:`frequencies`), and
these are compared, scaled by their deviation over a corpus (:func:`mean_and_sd`), with :func:`delta`:

``burrows``
    Burrows's Delta, the mean absolute difference of z-scores: Burrows 2002, "'Delta': a measure of stylistic difference
    and a guide to likely authorship".
``eder``
    Eder's Delta: the difference of the word of rank r of k counts (k - r + 1) / k, rank 1 being the most frequent; the
    mean, as in ``pydelta`` (F. Jannidis and others). Eder's own R package ``stylo`` computes (k - r + 2) / k
    (``(1 + n:1) / n``), and takes the sum: k times this measure plus Burrows's Delta.
``cosine``
    Cosine Delta, one minus the cosine of the z-scores: Smith and Aldridge 2011, "Improving authorship attribution:
    optimizing Burrows' Delta method"; Evert et al. 2017, "Understanding and explaining Delta measures for authorship
    attribution".
``minmax``
    Ruzicka distance, one minus the sum of the lesser over the sum of the greater values; of frequencies divided by
    their deviation, not centred (the "tf-std" space of Kestemont et al. 2016).

:func:`imposters` asks whether a text is nearer to a candidate than to others over and over again, each time with
some of the words and some of the others: Koppel and Winter 2014, "Determining if two documents are written by the same
author"; Kestemont et al. 2016, "Authenticating the writings of Julius Caesar".

A word is a maximal run of letters, combining marks and numbers of the folded text (see
:mod:`kinprint.kernels.fold`), with apostrophes (U+0027 or U+2019, which count as the same) between two of them. A
letter of a script without spaces is a word by itself, with the marks on it. Punctuation and symbols are in no word.
Words are told apart by :func:`kinprint.kernels.hashing.hash_bytes` of their UTF-8.

Counts are integers, and sums of floats run in the order of the vocabulary, so that no result depends on the number of
threads or on how texts are put into calls. :mod:`kinprint.kernels.reference.burrows` is the same in plain Python.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, from_texts, frozen, room_for_hashes
from kinprint.kernels.copy.shingle import Workspace, find_words, folded_text, hash_words, larger_size, workspace
from kinprint.kernels.fold import BUFFER, CHUNK
from kinprint.kernels.jit import kernel, parallel_kernel, prange
from kinprint.kernels.unicode import MARK, SPACELESS, code_class, decode
from numpy.typing import NDArray

Kind = Literal["burrows", "eder", "cosine", "minmax"]
"""Names of the measures."""
KINDS: Final[tuple[Kind, ...]] = ("burrows", "eder", "cosine", "minmax")

_BURROWS = 0
_EDER = 1
_COSINE = 2
_APOSTROPHE = np.uint8(0x27)
_BLOCK = 1 << 24  # bytes of text whose words are in memory at a time
_STRIPS = 16  # pieces of a block, each tallied by one thread
_CELLS = 1 << 20  # counts of single texts that are in memory before they go to their groups
_TILE = 512  # rows whose distances are summed side by side
_ROUND = 16  # iterations a thread takes at a time
_WINS = 1 << 22  # tallies of wins in memory at a time
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


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
def _words(work: Workspace, length: int) -> int:
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


@kernel
def _totals_chunk(
    addresses: NDArray[np.uint64], lengths: NDArray[np.int64], first: int, last: int, totals: NDArray[np.int64]
) -> None:
    work = workspace(BUFFER)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        totals[i] = _words(work, length)


@parallel_kernel
def _totals(addresses: NDArray[np.uint64], lengths: NDArray[np.int64], totals: NDArray[np.int64]) -> None:
    """Number of words of each text, int64[n]."""
    n = addresses.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        _totals_chunk(addresses, lengths, c * CHUNK, min(n, (c + 1) * CHUNK), totals)


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
        m = _words(work, length)
        hashes[o : o + m] = work.words[:m]
        o += m
    if counts.size == 0:
        return o
    counts[:] = 1
    return _tally(hashes, counts, o)


@parallel_kernel
def _strips(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    bounds: NDArray[np.int64],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """:func:`_strip` of texts ``bounds[s] .. bounds[s + 1] - 1`` from their places on; the numbers left.

    ``counts`` is as long as ``hashes``, or empty: then nothing is tallied.
    """
    strips = bounds.size - 1
    left = np.empty(strips, np.int64)
    for s in prange(strips):
        start = places[bounds[s]]
        stop = places[bounds[s + 1]]
        left[s] = _strip(
            addresses, lengths, bounds[s], bounds[s + 1], hashes[start:stop], counts[min(start, counts.size) : stop]
        )
    return left


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
    _totals(frozen(texts.addresses), frozen(texts.lengths), places[1:])
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
        _strips(addresses, lengths, frozen(_bounds(texts)), frozen(places), hashes, np.empty(0, np.int64))
    return hashes, places


def _count_block(texts: Texts) -> Counts:
    places = _places(texts)
    bounds = _bounds(texts)
    hashes = room_for_hashes(int(places[-1]))
    counts = np.empty(hashes.size, np.int64)
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    left = _strips(addresses, lengths, frozen(bounds), frozen(places), hashes, counts)
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


# ---- frequencies ----


@kernel
def _slots(vocabulary: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """A hash table of a vocabulary: keys, and the place of each in it, -1 where there is none."""
    size = 16
    while size < 4 * vocabulary.size:
        size *= 2
    keys = np.zeros(size, np.uint64)
    slots = np.full(size, -1, np.int32)
    for j in range(vocabulary.size):
        s = np.int64(vocabulary[j] & np.uint64(size - 1))
        while slots[s] >= 0:
            s = (s + 1) & (size - 1)
        keys[s] = vocabulary[j]
        slots[s] = j
    return keys, slots


@kernel
def _rows_chunk(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    first: int,
    last: int,
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    rows: NDArray[np.int64],
    totals: NDArray[np.int64],
) -> None:
    work = workspace(BUFFER)
    top = keys.size - 1
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        m = _words(work, length)
        totals[i] = m
        for q in range(m):
            h = work.words[q]
            s = np.int64(h & np.uint64(top))
            while slots[s] >= 0:
                if keys[s] == h:
                    rows[i, slots[s]] += 1
                    break
                s = (s + 1) & top


@parallel_kernel
def _rows(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    rows: NDArray[np.int64],
    totals: NDArray[np.int64],
) -> None:
    """Add the words of each text to its row int64[n, k], and set ``totals`` int64[n] to the number of all its words."""
    n = addresses.size
    for c in prange((n + CHUNK - 1) // CHUNK):
        _rows_chunk(addresses, lengths, c * CHUNK, min(n, (c + 1) * CHUNK), keys, slots, rows, totals)


@kernel
def _add(
    groups: NDArray[np.int64],
    rows: NDArray[np.int64],
    totals: NDArray[np.int64],
    out: NDArray[np.int64],
    out_totals: NDArray[np.int64],
) -> None:
    """Add each row to that of its group."""
    for i in range(groups.size):
        g = groups[i]
        out_totals[g] += totals[i]
        for j in range(rows.shape[1]):
            out[g, j] += rows[i, j]


def counts_in(
    texts: Texts, vocabulary: NDArray[np.uint64], groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Occurrences of the words of a vocabulary, and of all words, in every text or group of texts.

    Both are sums: those of a corpus that comes in parts may be added up in any order, and :func:`relative` be taken at
    the end.

    Parameters
    ----------
    texts
        n texts.
    vocabulary
        uint64[k]: hashes of words, each once.
    groups
        int64[n]: the group of each text, from 0; without it, each text is a group. There are as many groups as the
        greatest number says, those without a text included.

    Returns
    -------
    counts : int64[g, k]
        Occurrences of each word of the vocabulary.
    totals : int64[g]
        Occurrences of all words, also of those that are not in the vocabulary.

    Raises
    ------
    ValueError
        On another shape or dtype, a word that is twice in the vocabulary, or a negative group.
    """
    if vocabulary.dtype != np.uint64 or vocabulary.ndim != 1:
        raise ValueError(f"the vocabulary must be a uint64[k], not {vocabulary.dtype}{list(vocabulary.shape)}")
    if np.unique(vocabulary).size < vocabulary.size:
        raise ValueError("a word is twice in the vocabulary")
    n, k = len(texts), vocabulary.size
    table = _slots(frozen(np.ascontiguousarray(vocabulary)))
    keys, slots = frozen(table[0]), frozen(table[1])
    if groups is None:
        counts, totals = np.zeros((n, k), np.int64), np.zeros(n, np.int64)
        _rows(frozen(texts.addresses), frozen(texts.lengths), keys, slots, counts, totals)
        return counts, totals
    if groups.dtype != np.int64 or groups.shape != (n,):
        raise ValueError(f"groups must be an int64[{n}], not {groups.dtype}{list(groups.shape)}")
    if n and int(groups.min()) < 0:
        raise ValueError("groups must not be negative")
    size = int(groups.max()) + 1 if n else 0
    counts, totals = np.zeros((size, k), np.int64), np.zeros(size, np.int64)
    step = max(CHUNK, _CELLS // max(k, 1))
    for start in range(0, n, step):
        some = texts.take(slice(start, start + step))
        of_texts, all_of_texts = np.zeros((len(some), k), np.int64), np.zeros(len(some), np.int64)
        _rows(frozen(some.addresses), frozen(some.lengths), keys, slots, of_texts, all_of_texts)
        part = np.ascontiguousarray(groups[start : start + step])
        _add(frozen(part), frozen(of_texts), frozen(all_of_texts), counts, totals)
    return counts, totals


def relative(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts int64[g, k] as shares of ``totals`` int64[g]: float64[g, k]; zeros where a group has no words."""
    return np.asarray(counts / np.maximum(totals, 1)[:, None], np.float64)


def frequencies(
    texts: Texts, vocabulary: NDArray[np.uint64], groups: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Relative frequencies of the words of a vocabulary in every text or group of texts: float64[g, k].

    The share of a word in all words of the group, also those that are not in the vocabulary, so that a long text of a
    group weighs more than a short one; zeros where the group has no words. Parameters and errors are those of
    :func:`counts_in`.
    """
    return relative(*counts_in(texts, vocabulary, groups))


def mean_and_sd(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column of ``values`` float64[n, k]: float64[k] each.

    The deviation is that of a sample (divided by n - 1), as in ``stylo``. It is exactly zero where all values of a
    column are the same, which includes a single row; :func:`delta` then leaves the word out of account.

    Raises
    ------
    ValueError
        On another shape or dtype, or without rows.
    """
    _check("values", values, None)
    if not len(values):
        raise ValueError("there is no mean of no rows")
    constant = values.max(axis=0) == values.min(axis=0)
    mean = np.where(constant, values[0], values.mean(axis=0))
    sd = np.where(constant, 0.0, values.std(axis=0, ddof=min(1, len(values) - 1)))
    return mean, sd


# ---- distances ----


@kernel
def _distances(
    x: NDArray[np.float64],
    columns: NDArray[np.int32],
    table: NDArray[np.float64],
    kind: int,
    first: int,
    last: int,
    sums: NDArray[np.float64],
    norms: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Distances, over some of the columns, of a row to rows first .. last-1 of a table, to ``out[first:last]``.

    The table is transposed, float64[k, rows], so that sums of many rows run side by side, each in the order of the
    columns. ``sums`` and ``norms`` have room for last - first; ``columns`` is not empty.
    """
    width = last - first
    k = columns.size
    own = 0.0
    sums[:width] = 0.0
    norms[:width] = 0.0
    for j in range(k):
        v = x[columns[j]]
        values = table[columns[j], first:last]
        if kind <= _EDER:
            weight = 1.0 if kind == _BURROWS else (k - j) / k
            for i in range(width):
                sums[i] += weight * abs(v - values[i])
        elif kind == _COSINE:
            own += v * v
            for i in range(width):
                sums[i] += v * values[i]
                norms[i] += values[i] * values[i]
        else:
            for i in range(width):
                u = values[i]
                sums[i] += v if v < u else u
                norms[i] += u if v < u else v
    if kind <= _EDER:
        for i in range(width):
            out[first + i] = sums[i] / k
        return
    for i in range(width):
        whole = norms[i]
        if kind == _COSINE:
            whole = np.sqrt(own) * np.sqrt(whole)
        out[first + i] = max(0.0, 1.0 - sums[i] / whole) if whole > 0.0 else 1.0


@kernel
def _tile(
    x: NDArray[np.float64],
    columns: NDArray[np.int32],
    table: NDArray[np.float64],
    kind: int,
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> None:
    sums = np.empty(_TILE, np.float64)
    norms = np.empty(_TILE, np.float64)
    _distances(x, columns, table, kind, first, last, sums, norms, out)


@parallel_kernel
def _delta(rows: NDArray[np.float64], table: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """All distances of rows float64[n, k] to those of a transposed table float64[k, m]: float64[n, m]."""
    n = rows.shape[0]
    m = table.shape[1]
    out = np.empty((n, m), np.float64)
    columns = np.arange(rows.shape[1]).astype(np.int32)
    tiles = (m + _TILE - 1) // _TILE
    for unit in prange(n * tiles):
        row = unit // tiles
        first = (unit % tiles) * _TILE
        _tile(rows[row], columns, table, kind, first, min(m, first + _TILE), out[row])
    return out


def _check(name: str, values: NDArray[np.float64], k: int | None) -> None:
    if values.dtype != np.float64 or values.ndim != 2 or k not in (None, values.shape[1]):
        wanted = "n, k" if k is None else f"n, {k}"
        raise ValueError(f"{name} must be a float64[{wanted}], not {values.dtype}{list(values.shape)}")


def _kind_number(kind: Kind) -> int:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    return KINDS.index(kind)


def _scaled(
    tables: dict[str, NDArray[np.float64]], mean: NDArray[np.float64], sd: NDArray[np.float64], kind: Kind
) -> list[NDArray[np.float64]]:
    """Values as the measure takes them: z-scores, or for ``minmax`` shares of the deviation; 0 where that is 0."""
    k = mean.size
    if mean.dtype != np.float64 or mean.shape != (k,) or sd.dtype != np.float64 or sd.shape != (k,):
        raise ValueError(
            f"mean and sd must be float64[k], not {mean.dtype}{list(mean.shape)}, {sd.dtype}{list(sd.shape)}"
        )
    if not k:
        raise ValueError("there is no distance without words")
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd >= 0).all()):
        raise ValueError("mean and sd must be finite, and no sd negative")
    out = []
    for name, values in tables.items():
        _check(name, values, k)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite")
        if kind == "minmax" and (values < 0).any():
            raise ValueError(f"{name} must not be negative for minmax")
        centred = values if kind == "minmax" else values - mean
        out.append(np.divide(centred, sd, out=np.zeros(values.shape), where=sd > 0))
    return out


def delta(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    kind: Kind = "burrows",
) -> NDArray[np.float64]:
    """Distances of all rows of ``a`` to all rows of ``b``; the less, the more alike.

    Parameters
    ----------
    a, b
        float64[n, k], float64[m, k]: frequencies of words, the most frequent first (which matters for ``eder`` alone).
    mean, sd
        float64[k]: their mean and deviation over a corpus (see :func:`mean_and_sd`). A word whose deviation is zero
        has a z-score of zero whatever its frequency, so that it adds nothing; it still is one of the k words that a
        mean is taken over, and keeps its rank.
    kind
        One of :data:`KINDS`; the module says what they are.

    Returns
    -------
    float64[n, m]
        At least 0. At most 2 for ``cosine`` and 1 for ``minmax``; there, a text that has no direction (all its scaled
        values are zero) is at 1 from every text, itself included.

    Raises
    ------
    ValueError
        On another shape or dtype, no words, values that are not finite, a negative deviation, or for ``minmax`` a
        negative frequency.
    """
    number = _kind_number(kind)
    left, right = _scaled({"a": a, "b": b}, mean, sd, kind)
    return _delta(frozen(left), frozen(np.ascontiguousarray(right.T)), number)


# ---- General Imposters ----


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
    sums = np.empty(_TILE, np.float64)
    norms = np.empty(_TILE, np.float64)
    for iteration in range(first, last):
        _draw_columns(_stream(seed, iteration, 0), table.shape[0], columns)
        _shuffle(_stream(seed, iteration, 1), order)
        for start in range(0, rows, _TILE):
            _distances(x, columns, table, kind, start, min(rows, start + _TILE), sums, norms, near)
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


@parallel_kernel
def _wins(
    queries: NDArray[np.float64],
    table: NDArray[np.float64],
    kind: int,
    authors: NDArray[np.int64],
    pool_authors: NDArray[np.int64],
    takes: NDArray[np.int64],
    features: int,
    iterations: int,
    seed: np.uint64,
) -> NDArray[np.int64]:
    """Wins of every candidate for every query in every :data:`_ROUND` iterations: int64[q, rounds, c]."""
    n = queries.shape[0]
    rounds = (iterations + _ROUND - 1) // _ROUND
    wins = np.zeros((n, rounds, takes.size), np.int64)
    for unit in prange(n * rounds):
        q = unit // rounds
        r = unit % rounds
        first = r * _ROUND
        last = min(iterations, first + _ROUND)
        _round(queries[q], table, kind, authors, pool_authors, takes, features, first, last, seed, wins[q, r])
    return wins


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
    number = _kind_number(kind)
    scaled = _scaled({"queries": queries, "candidates": candidates, "pool": pool}, mean, sd, kind)
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
    table = frozen(np.ascontiguousarray(np.concatenate(scaled[1:]).T))
    takes = frozen(_share_of(imposters, others))
    drawn = int(_share_of(features, np.array([mean.size]))[0])
    numbers = frozen(np.ascontiguousarray(authors)), frozen(np.ascontiguousarray(pool_authors))
    out = np.zeros((len(queries), c))
    step = max(1, _WINS // (max(c, 1) * (1 + iterations // _ROUND)))
    for start in range(0, len(queries) if c else 0, step):
        some = frozen(scaled[0][start : start + step])
        wins = _wins(some, table, number, *numbers, takes, drawn, iterations, np.uint64(seed))
        out[start : start + step] = wins.sum(axis=1) / iterations
    return out


def warm() -> None:
    """Compile every kernel here; writable and read-only arrays share the one compilation."""
    texts = Texts.from_offsets(*from_texts(("The quick brown fox", "THE QUICK BROWN FOX", "你好世界", "e\u0301", "")))
    rows = np.arange(len(texts), dtype=np.int64)
    words, _ = most_frequent(texts, 8)
    hashes_of(texts)
    frequencies(texts, words, rows)
    shares = frequencies(texts, words)
    mean, sd = mean_and_sd(shares)
    delta(shares, shares, mean, sd)
    imposters(shares, shares, shares, mean, sd, pool_authors=rows, iterations=1)
    count_words(texts).merge(count_words(texts))
