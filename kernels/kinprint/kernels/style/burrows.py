"""Delta: the classical measures of authorship, for corpora without shared prompts.

The most frequent words of a corpus make a vocabulary (:func:`~kinprint.kernels.style.words.most_frequent`), texts or
groups of texts become relative frequencies of its words (:func:`frequencies`), and these are compared, scaled by their
deviation over a corpus (:func:`mean_and_sd`), with :func:`delta`:

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

Counts are integers, and sums of floats run in the order of the vocabulary, so that no result depends on the number of
threads or on how texts are put into calls. :mod:`kinprint.kernels.reference.burrows` is the same in plain Python.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.shingle import folded_text, larger_size, workspace
from kinprint.kernels.fold import BUFFER, CHUNK
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.style.words import find_all
from numpy.typing import NDArray

Kind = Literal["burrows", "eder", "cosine", "minmax"]
"""Names of the measures."""
KINDS: Final[tuple[Kind, ...]] = ("burrows", "eder", "cosine", "minmax")

_BURROWS = 0
_EDER = 1
_COSINE = 2
_CELLS = 1 << 20  # counts of single texts that are in memory before they go to their groups
TILE = 512  # rows whose distances are summed side by side


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


@parallel_kernel(CHUNK)
def _rows(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    rows: NDArray[np.int64],
    totals: NDArray[np.int64],
) -> None:
    """Add the words of each text to its row int64[n, k], and set ``totals`` int64[n] to the number of all its words."""
    work = workspace(BUFFER)
    top = keys.size - 1
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        m = find_all(work, length)
        totals[i] = m
        for q in range(m):
            h = work.words[q]
            s = np.int64(h & np.uint64(top))
            while slots[s] >= 0:
                if keys[s] == h:
                    rows[i, slots[s]] += 1
                    break
                s = (s + 1) & top


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
        _rows(n, frozen(texts.addresses), frozen(texts.lengths), keys, slots, counts, totals)
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
        _rows(len(some), frozen(some.addresses), frozen(some.lengths), keys, slots, of_texts, all_of_texts)
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
def distances_of(
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


@parallel_kernel()
def _delta(
    first: int, last: int, rows: NDArray[np.float64], table: NDArray[np.float64], kind: int, out: NDArray[np.float64]
) -> None:
    """Distances of rows float64[n, k] to those of a transposed table float64[k, m], to ``out`` float64[n, m].

    The items are tiles, row after row.
    """
    m = table.shape[1]
    columns = np.arange(rows.shape[1]).astype(np.int32)
    tiles = (m + TILE - 1) // TILE
    sums = np.empty(TILE, np.float64)
    norms = np.empty(TILE, np.float64)
    for unit in range(first, last):
        row = unit // tiles
        start = (unit % tiles) * TILE
        distances_of(rows[row], columns, table, kind, start, min(m, start + TILE), sums, norms, out[row])


def _check(name: str, values: NDArray[np.float64], k: int | None) -> None:
    if values.dtype != np.float64 or values.ndim != 2 or k not in (None, values.shape[1]):
        wanted = "n, k" if k is None else f"n, {k}"
        raise ValueError(f"{name} must be a float64[{wanted}], not {values.dtype}{list(values.shape)}")


def kind_number(kind: Kind) -> int:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    return KINDS.index(kind)


def scaled(
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
    number = kind_number(kind)
    left, right = scaled({"a": a, "b": b}, mean, sd, kind)
    out = np.empty((len(left), len(right)))
    tiles = -(-len(right) // TILE)
    _delta(len(left) * tiles, frozen(left), frozen(np.ascontiguousarray(right.T)), number, out)
    return out
