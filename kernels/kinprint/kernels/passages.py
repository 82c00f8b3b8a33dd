"""Passages: which texts stand, in part, in which others, byte for byte, and how rare each shared stretch is.

Here a text is a row of *tokens*, as it is stored (not folded): its words and its spaceless code points, in the order in
which they stand. Each :data:`GRAM` tokens in a row are hashed, and of every :data:`WINDOW` such hashes the least is a
seed (winnowing, see :mod:`~kinprint.kernels.seeds`), so that two texts with :data:`GUARANTEE` tokens in common, byte for
byte, have a seed in common for certain. Seeds of both sets of texts are sorted once; where texts of both sides meet, the
match is extended to both sides as far as bytes agree, and trimmed to whole code points and tokens' worth of text. What is
found is exact; what is shorter than :data:`GUARANTEE` tokens is found by luck and left out.

A seed that stands in very many texts is a common phrase, and every pair of texts that have it would be looked at. Seeds of
more than ``max_texts`` texts of the other side are therefore passed over, and counted; a passage is lost by it only if all
of its seeds are such.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .arrow import Texts, frozen, memory
from .fold import BUFFER
from .hashing import CODE_POINT_SHINGLE_1, CODE_POINT_SHINGLE_2, finalise, load64, multiply_fold
from .jit import kernel, parallel_kernel, prange
from .overlap import pair_overlap
from .seeds import winnow
from .shingle import Workspace, find_words, folded_text, hash_words, larger_size, workspace
from .unicode import SPACE, code_class, decode

GRAM: Final = 8
"""Tokens that are hashed together."""
WINDOW: Final = 5
"""Hashes in a row of which one is a seed."""
GUARANTEE: Final = GRAM + WINDOW - 1
"""Tokens of a passage that is found for certain."""
MAX_TEXTS: Final = 2_000
"""Texts of the other side that a seed may stand in, by default."""
VERSION: Final = 1
"""Raised whenever the seeds of any text change."""

_CHUNK = 64


class Postings(NamedTuple):
    """Seeds of n texts, sorted by hash, then text, then place."""

    hashes: NDArray[np.uint64]
    """uint64[m]."""
    texts: NDArray[np.int32]
    """int32[m]."""
    places: NDArray[np.int32]
    """int32[m]: the byte where the first token of the seed begins."""


class Passages(NamedTuple):
    """p shared stretches, ordered by text, then place."""

    a: NDArray[np.int64]
    """Text that holds it, a row of the first side."""
    b: NDArray[np.int64]
    """Text of the other side that holds it as well."""
    start_a: NDArray[np.int64]
    """First byte in a."""
    start_b: NDArray[np.int64]
    """First byte in b."""
    bytes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    """Words and spaceless code points that begin in it."""
    texts: NDArray[np.int64]
    """Texts of the other side that were found to hold all of it."""
    seed: NDArray[np.int64]
    """The posting of its rarest seed, by which it is weighed."""

    @classmethod
    def joined(cls, parts: list[Passages]) -> Passages:
        """Several tables as one."""
        if not parts:
            return cls(*(np.empty(0, np.int64) for _ in cls._fields))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


# ---- tokens and seeds of one text ----


@kernel
def _tokens(work: Workspace, length: int, starts: NDArray[np.int32], hashes: NDArray[np.uint64]) -> int:
    """Begin and hash of every token of the text in the workspace, in the order of the text; their number."""
    edges, spaceless, _, _, _ = find_words(work, length)
    words = edges // 2
    hash_words(work.buffer, work.edges, words, work.words)
    if spaceless == 0:
        for i in range(words):
            starts[i] = work.edges[2 * i]
            hashes[i] = work.words[i]
        return words
    i = 0
    j = 0
    n = 0
    while i < words or j < spaceless:
        if j == spaceless or (i < words and work.edges[2 * i] < work.places[j]):
            starts[n] = work.edges[2 * i]
            hashes[n] = work.words[i]
            i += 1
        else:
            cp, _ = decode(work.buffer, work.places[j], length)
            starts[n] = work.places[j]
            hashes[n] = finalise(multiply_fold(np.uint64(cp) ^ CODE_POINT_SHINGLE_1, CODE_POINT_SHINGLE_2))
            j += 1
        n += 1
    return n


@kernel
def _grams(tokens: NDArray[np.uint64], count: int, size: int, out: NDArray[np.uint64]) -> int:
    """Hashes of each ``size`` tokens in a row; their number."""
    n = count - size + 1
    for i in range(n):
        h = np.uint64(0)
        for j in range(size):
            v = tokens[i + j]
            turn = np.uint64(7 * j)
            h += (v << turn) | (v >> ((np.uint64(64) - turn) & np.uint64(63)))
        out[i] = finalise(h)
    return max(0, n)


class _Scratch(NamedTuple):
    """Scratch of one thread for tokens."""

    starts: NDArray[np.int32]
    tokens: NDArray[np.uint64]
    grams: NDArray[np.uint64]
    chosen: NDArray[np.int32]


@kernel
def _scratch(size: int) -> _Scratch:
    return _Scratch(
        np.empty(size, np.int32), np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.int32)
    )


@kernel
def _posting_chunk(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    first: int,
    last: int,
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    packed: NDArray[np.uint64],
) -> None:
    """Count the seeds of texts first .. last-1, or, with room in ``hashes``, write them."""
    work = workspace(BUFFER)
    spare = _scratch(BUFFER + 2)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], True)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], True)
        if spare.starts.size < length + 2:
            spare = _scratch(2 * length + 2)
        n = _tokens(work, length, spare.starts, spare.tokens)
        m = winnow(spare.grams, 0, _grams(spare.tokens, n, GRAM, spare.grams), WINDOW, spare.chosen)
        if hashes.size > 0:
            for k in range(m):
                hashes[offsets[i] + k] = spare.grams[spare.chosen[k]]
                packed[offsets[i] + k] = (np.uint64(i) << np.uint64(32)) | np.uint64(spare.starts[spare.chosen[k]])
        counts[i] = m


@parallel_kernel
def _posting_pass(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    packed: NDArray[np.uint64],
) -> None:
    n = addresses.size
    for c in prange((n + _CHUNK - 1) // _CHUNK):
        last = min(n, (c + 1) * _CHUNK)
        _posting_chunk(addresses, lengths, c * _CHUNK, last, offsets, counts, hashes, packed)


@kernel
def _sort_pairs(
    hashes: NDArray[np.uint64], packed: NDArray[np.uint64], spare_h: NDArray[np.uint64], spare_p: NDArray[np.uint64]
) -> None:
    """Sort by hash, stably: radix by the top 44 bits, then insertion among the few that agree in these."""
    a, b = hashes, spare_h
    x, y = packed, spare_p
    n = hashes.size
    for shift in (20, 31, 42, 53):
        bits = np.uint64(shift)
        counts = np.zeros(2049, np.int64)
        for i in range(n):
            counts[np.int64((a[i] >> bits) & np.uint64(2047)) + 1] += 1
        for d in range(2048):
            counts[d + 1] += counts[d]
        for i in range(n):
            d = np.int64((a[i] >> bits) & np.uint64(2047))
            k = counts[d]
            b[k] = a[i]
            y[k] = x[i]
            counts[d] = k + 1
        a, b = b, a
        x, y = y, x
    for i in range(1, n):
        h = hashes[i]
        p = packed[i]
        j = i
        while j > 0 and hashes[j - 1] > h:
            hashes[j] = hashes[j - 1]
            packed[j] = packed[j - 1]
            j -= 1
        hashes[j] = h
        packed[j] = p


@kernel
def _unpack(packed: NDArray[np.uint64], texts: NDArray[np.int32], places: NDArray[np.int32]) -> None:
    for i in range(packed.size):
        texts[i] = np.int32(packed[i] >> np.uint64(32))
        places[i] = np.int32(packed[i] & np.uint64(0xFFFFFFFF))


def postings(texts: Texts) -> Postings:
    """Seeds of texts, sorted: 16 bytes a seed, about 850 a text of 165 words, and twice that while it is made.

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
    offsets = np.zeros(n + 1, np.int64)
    none = np.empty(0, np.uint64)
    _posting_pass(addresses, lengths, offsets, counts, none, none)
    np.cumsum(counts, out=offsets[1:])
    hashes, packed = np.empty(offsets[-1], np.uint64), np.empty(offsets[-1], np.uint64)
    if hashes.size:
        _posting_pass(addresses, lengths, offsets, counts, hashes, packed)
        _sort_pairs(hashes, packed, np.empty_like(hashes), np.empty_like(packed))
    made = Postings(hashes, np.empty(hashes.size, np.int32), np.empty(hashes.size, np.int32))
    _unpack(packed, made.texts, made.places)
    return made


# ---- matches ----


@kernel
def _extend(a: NDArray[np.uint8], b: NDArray[np.uint8], p: int, q: int) -> tuple[int, int]:
    """Bytes that agree before and from places p of a and q of b on."""
    left = 0
    most = min(p, q)
    while left + 8 <= most and load64(a, p - left - 8) == load64(b, q - left - 8):
        left += 8
    while left < most and a[p - left - 1] == b[q - left - 1]:
        left += 1
    right = 0
    most = min(a.size - p, b.size - q)
    while right + 8 <= most and load64(a, p + right) == load64(b, q + right):
        right += 8
    while right < most and a[p + right] == b[q + right]:
        right += 1
    return left, right


@kernel
def _trim(text: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """The stretch cut to whole code points, without white space at its ends."""
    while start < end and (text[start] & 0xC0) == 0x80:
        start += 1
    if end < text.size:
        while end > start and (text[end] & 0xC0) == 0x80:
            end -= 1
    while start < end:
        cp, width = decode(text, start, end)
        if code_class(cp) != SPACE:
            break
        start += width
    while end > start:
        p = end - 1
        while p > start and (text[p] & 0xC0) == 0x80:
            p -= 1
        cp, _ = decode(text, p, end)
        if code_class(cp) != SPACE:
            break
        end = p
    return start, end


@kernel
def _runs(hashes: NDArray[np.uint64], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """For every posting, where its run of equal hashes begins and ends."""
    n = hashes.size
    for i in range(n - 1, -1, -1):
        ends[i] = ends[i + 1] if i + 1 < n and hashes[i + 1] == hashes[i] else i + 1
    for i in range(n):
        begins[i] = begins[i - 1] if i > 0 and hashes[i - 1] == hashes[i] else i


@kernel
def _by_text(texts: NDArray[np.int32], limit: int, indptr: NDArray[np.int64], order: NDArray[np.int64]) -> None:
    """The postings of each text below ``limit``, in the order of their hashes: ``order[indptr[t]:indptr[t + 1]]``."""
    for i in range(texts.size):
        if texts[i] < limit:
            indptr[texts[i] + 1] += 1
    for t in range(limit):
        indptr[t + 1] += indptr[t]
    at = indptr[:-1].copy()
    for i in range(texts.size):
        t = texts[i]
        if t < limit:
            order[at[t]] = i
            at[t] += 1


@kernel
def _hits_of(
    texts: NDArray[np.int32],
    places: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    own: NDArray[np.int64],
    text: int,
    first_other: int,
    max_texts: int,
    skipped: NDArray[np.int64],
    hits: NDArray[np.int64],
) -> int:
    """Places where seeds of a text stand in texts of the other side: rows (text, diagonal, place, posting).

    Counts only, where ``hits`` has no rows. ``skipped[0]`` counts the seeds passed over.
    """
    m = 0
    for k in range(own.size):
        i = own[k]
        begin = begins[i]
        end = ends[i]
        if first_other > 0:  # texts are in order within a run: the other side is its tail
            low, high = begin, end
            while low < high:
                middle = (low + high) >> 1
                if texts[middle] < first_other:
                    low = middle + 1
                else:
                    high = middle
            begin = low
        if end - begin > max_texts:
            skipped[0] += 1
            continue
        for j in range(begin, end):
            if texts[j] == text:
                continue
            if hits.shape[0] > 0:
                hits[m, 0] = texts[j]
                hits[m, 1] = np.int64(places[j]) - np.int64(places[i])
                hits[m, 2] = places[i]
                hits[m, 3] = i
            m += 1
    return m


@kernel
def _sort_hits(hits: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """Order of hits by (text, diagonal, place)."""
    keys = np.empty(m, np.uint64)
    for k in range(m):
        keys[k] = (np.uint64(hits[k, 0]) << np.uint64(32)) | np.uint64(hits[k, 1] + (1 << 31))
    order = np.argsort(keys, kind="mergesort")
    # Hits of one text and diagonal are few; put them in the order of their places.
    for i in range(1, m):
        v = order[i]
        j = i
        while j > 0 and keys[order[j - 1]] == keys[v] and hits[order[j - 1], 2] > hits[v, 2]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = v
    return order


@kernel
def _maximal(found: NDArray[np.int64], m: int, kept: NDArray[np.int64]) -> int:
    """Of stretches of one text, rows (start, end, other, start there, seed, run, texts), those within no other.

    Of equal ones the first in the order of other texts stays. ``found[:, 6]`` gets the number of rows that hold each.
    """
    keys = np.empty(m, np.uint64)
    for k in range(m):
        keys[k] = (np.uint64(found[k, 0]) << np.uint64(32)) | np.uint64((1 << 32) - 1 - found[k, 1])
    order = np.argsort(keys, kind="mergesort")  # by start, longest first, then as found: by text
    count = 0
    reach = -1
    for i in range(m):
        k = order[i]
        if found[k, 1] > reach:
            kept[count] = k
            count += 1
            reach = found[k, 1]
    # Starts ascend and so do ends: a row holds a run of the kept stretches.
    for c in range(count):
        found[kept[c], 6] = 0
    for k in range(m):
        low, high = 0, count
        while low < high:
            middle = (low + high) >> 1
            if found[kept[middle], 0] < found[k, 0]:
                low = middle + 1
            else:
                high = middle
        while low < count and found[kept[low], 1] <= found[k, 1]:
            found[kept[low], 6] += 1
            low += 1
    return count


@kernel
def _passages_chunk(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    texts: NDArray[np.int32],
    places: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    indptr: NDArray[np.int64],
    order: NDArray[np.int64],
    first: int,
    last: int,
    first_other: int,
    max_texts: int,
    min_tokens: int,
    every: bool,
    skipped: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Passages of texts first .. last-1, rows (a, b, start a, start b, bytes, tokens, texts, seed)."""
    out = np.empty((256, 8), np.int64)
    filled = 0
    work = workspace(BUFFER)
    spare = _scratch(BUFFER + 2)
    nothing = np.empty((0, 4), np.int64)
    for i in range(first, last):
        own = order[indptr[i] : indptr[i + 1]]
        before = skipped[0]
        m = _hits_of(texts, places, begins, ends, own, i, first_other, max_texts, skipped, nothing)
        if m == 0:
            continue
        skipped[0] = before
        hits = np.empty((m, 4), np.int64)
        _hits_of(texts, places, begins, ends, own, i, first_other, max_texts, skipped, hits)
        by = _sort_hits(hits, m)
        text = memory(addresses[i], lengths[i])
        length = folded_text(work, addresses[i], lengths[i], True)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], True)
        if spare.starts.size < length + 2:
            spare = _scratch(2 * length + 2)
        tokens = _tokens(work, length, spare.starts, spare.tokens)
        found = np.empty((m, 7), np.int64)
        n = 0
        other = -1
        diagonal = np.int64(0)
        covered = -1
        for h in range(m):
            k = by[h]
            place = hits[k, 2]
            size = ends[hits[k, 3]] - begins[hits[k, 3]]
            if hits[k, 0] == other and hits[k, 1] == diagonal and place < covered:
                # Another seed of a stretch already found; the rarest one weighs it.
                if n > 0 and found[n - 1, 2] == other and found[n - 1, 5] > size and place >= found[n - 1, 0]:
                    found[n - 1, 4] = hits[k, 3]
                    found[n - 1, 5] = size
                continue
            other = hits[k, 0]
            diagonal = hits[k, 1]
            match = memory(addresses[other], lengths[other])
            left, right = _extend(text, match, place, place + diagonal)
            covered = place + right
            start, end = _trim(text, place - left, place + right)
            low = np.searchsorted(spare.starts[:tokens], start)
            high = np.searchsorted(spare.starts[:tokens], end)
            if high - low < min_tokens:
                continue
            found[n, 0] = start
            found[n, 1] = end
            found[n, 2] = other
            found[n, 3] = start + diagonal
            found[n, 4] = hits[k, 3]
            found[n, 5] = size
            found[n, 6] = 1
            n += 1
        kept = np.arange(n)
        count = n if every else _maximal(found, n, kept)
        if every:
            # All stretches, by text of the other side; how many hold each is told as without it.
            _maximal(found, n, np.empty(n, np.int64))
        if filled + count > out.shape[0]:
            larger = np.empty((2 * (filled + count), 8), np.int64)
            larger[:filled] = out[:filled]
            out = larger
        for c in range(count):
            f = found[kept[c]]
            low = np.searchsorted(spare.starts[:tokens], f[0])
            high = np.searchsorted(spare.starts[:tokens], f[1])
            out[filled, 0] = i
            out[filled, 1] = f[2]
            out[filled, 2] = f[0]
            out[filled, 3] = f[3]
            out[filled, 4] = f[1] - f[0]
            out[filled, 5] = high - low
            out[filled, 6] = f[6]
            out[filled, 7] = f[4]
            filled += 1
    return out[:filled].copy()


class Found(NamedTuple):
    """One step of :func:`find`."""

    passages: Passages
    texts: int
    """Texts of the first side looked at so far."""
    skipped: int
    """Seeds passed over so far, as common to too many texts."""


class Index:
    """Seeds of two sets of texts, or of one, between whose texts passages are sought.

    Parameters
    ----------
    texts
        Those of the first side, then those of the second.
    second
        Number of the first text of the second side; 0 if there is but one set.
    """

    def __init__(self, texts: Texts, second: int = 0) -> None:
        if not 0 <= second <= len(texts):
            raise ValueError(f"second must be in 0..{len(texts)}, not {second}")
        self.texts = texts
        self.second = second
        self.postings = postings(texts)
        self._begins = np.empty(self.postings.hashes.size, np.int64)
        self._ends = np.empty(self.postings.hashes.size, np.int64)
        _runs(frozen(self.postings.hashes), self._begins, self._ends)

    def find(
        self, *, min_tokens: int = GUARANTEE, max_texts: int = MAX_TEXTS, every: bool = False, at_once: int = 1024
    ) -> Iterator[Found]:
        """Passages of the texts of the first side that stand in others of the second.

        Parameters
        ----------
        min_tokens
            Least tokens of a passage; below :data:`GUARANTEE` more are found, but not all.
        max_texts
            Texts of the other side that a seed may stand in; see the module's text.
        every
            List each text of the other side that holds a passage. Otherwise each passage is listed once, longest
            first and those within it left out, with the first text that holds it and the number of those that do.
        at_once
            Texts of the first side looked at between two results.

        Raises
        ------
        ValueError
            If a number is below 1.
        """
        for name, value in (("min_tokens", min_tokens), ("max_texts", max_texts), ("at_once", at_once)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        return self._find(min_tokens, max_texts, every, at_once)

    def _find(self, min_tokens: int, max_texts: int, every: bool, at_once: int) -> Iterator[Found]:
        count = self.second or len(self.texts)
        indptr = np.zeros(count + 1, np.int64)
        order = np.empty(int((self.postings.texts < count).sum()), np.int64)
        _by_text(frozen(self.postings.texts), count, indptr, order)
        shared = (
            frozen(self.texts.addresses),
            frozen(self.texts.lengths),
            frozen(self.postings.texts),
            frozen(self.postings.places),
            frozen(self._begins),
            frozen(self._ends),
            frozen(indptr),
            frozen(order),
        )

        def look(first: int) -> tuple[NDArray[np.int64], int, int]:
            skipped = np.zeros(1, np.int64)
            last = min(count, first + at_once)
            rows = _passages_chunk(*shared, first, last, self.second, max_texts, min_tokens, every, skipped)
            return rows, last, int(skipped[0])

        total = 0
        threads = numba.get_num_threads()
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[tuple[NDArray[np.int64], int, int]]] = deque()
            coming = iter(range(0, count, at_once))
            try:
                while True:
                    for first in coming:
                        waiting.append(pool.submit(look, first))
                        if len(waiting) > threads:
                            break
                    if not waiting:
                        return
                    rows, last, skipped = waiting.popleft().result()
                    total += skipped
                    yield Found(Passages(*np.ascontiguousarray(rows.T)), last, total)
            finally:
                for future in waiting:
                    future.cancel()

    def counts(
        self, passages: Passages, models: NDArray[np.int32], prompts: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """How often each passage occurs in texts of neither of its two models.

        That is counted by its rarest seed, and so never too low.

        Parameters
        ----------
        models, prompts : int32[n]
            Code of the model and of the prompt of every text; negative where unknown. A text of an unknown model is
            another model's unless it is one of the two texts.

        Returns
        -------
        int64[p, 4]
            Other models' texts that have it and how many there are; the same among answers to the prompt of a.

        Raises
        ------
        ValueError
            If a shape or dtype does not fit.
        """
        for name, codes in (("models", models), ("prompts", prompts)):
            if codes.dtype != np.int32 or codes.shape != (len(self.texts),):
                raise ValueError(f"{name} must be int32[{len(self.texts)}], not {codes.dtype}{list(codes.shape)}")
        sizes = np.bincount(models[models >= 0]).astype(np.int64)
        by_prompt = np.argsort(prompts, kind="stable").astype(np.int64)
        return _counts(
            frozen(self.postings.texts),
            frozen(self._begins),
            frozen(self._ends),
            *(frozen(np.ascontiguousarray(column)) for column in (passages.a, passages.b, passages.seed)),
            frozen(models),
            frozen(prompts),
            frozen(sizes),
            frozen(by_prompt),
            frozen(prompts[by_prompt]),
        )


@parallel_kernel
def _counts(
    texts: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    seed: NDArray[np.int64],
    models: NDArray[np.int32],
    prompts: NDArray[np.int32],
    sizes: NDArray[np.int64],
    by_prompt: NDArray[np.int64],
    sorted_prompts: NDArray[np.int32],
) -> NDArray[np.int64]:
    out = np.zeros((a.size, 4), np.int64)
    for k in prange(a.size):
        i = a[k]
        j = b[k]
        model_i = models[i]
        model_j = models[j]
        prompt = prompts[i]
        before = -1
        for p in range(begins[seed[k]], ends[seed[k]]):
            t = np.int64(texts[p])
            if t == before or t == i or t == j:
                continue
            before = t
            model = models[t]
            if model >= 0 and (model == model_i or model == model_j):
                continue
            out[k, 0] += 1
            if prompt >= 0 and prompts[t] == prompt:
                out[k, 2] += 1
        out[k, 1] = models.size
        out[k, 1] -= sizes[model_i] if model_i >= 0 else 1
        if model_j != model_i or model_j < 0:
            out[k, 1] -= sizes[model_j] if model_j >= 0 else 1
        if prompt >= 0:
            low = np.searchsorted(sorted_prompts, prompt)
            while low < sorted_prompts.size and sorted_prompts[low] == prompt:
                t = by_prompt[low]
                low += 1
                model = models[t]
                if t == i or t == j or (model >= 0 and (model == model_i or model == model_j)):
                    continue
                out[k, 3] += 1
    return out


def bits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rarity of passages, float64[p], from :meth:`Index.counts`: -log2 of how likely an unrelated text has one.

    In the corpus at large that is (c + 1/2) / (n + 1), after Krichevsky and Trofimov (1981), for c of n texts of other
    models; so a passage never seen elsewhere has log2(2 (n + 1)) bits, and no more, however long it is. Where other
    models' answers to the same prompt have it as well, their share, (c' + p) / (n' + 1) with the corpus's p as one
    observation more, takes its place if it is larger: what the prompt draws out of everybody is no evidence.
    """
    at_large = (counts[:, 0] + 0.5) / (counts[:, 1] + 1.0)
    by_prompt = (counts[:, 2] + at_large) / (counts[:, 3] + 1.0)
    likely = np.where(counts[:, 2] > 0, np.maximum(at_large, by_prompt), at_large)
    return np.asarray(-np.log2(likely))


# ---- what is no evidence ----


@kernel
def _is_code_symbol(byte: np.uint8) -> bool:
    """One of {}[]()<>=;_|&$#@^~+*/" and the backslash and backquote."""
    for symbol in b"{}[]()<>=;_|&$#@^~+*/\"\\`":
        if byte == symbol:
            return True
    return False


@parallel_kernel
def _code(
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.bool_],
) -> None:
    for k in prange(rows.size):
        text = memory(addresses[rows[k]], lengths[rows[k]])
        start = starts[k]
        end = start + sizes[k]
        fenced = 0
        symbols = 0
        visible = 0
        inside = False
        line = True  # at the begin of a line, white space aside
        p = 0
        while p < end:
            if line and p + 3 <= text.size and text[p] == 0x60 and text[p + 1] == 0x60 and text[p + 2] == 0x60:
                inside = not inside
            byte = text[p]
            if byte == 0x0A:
                line = True
            elif byte != 0x20 and byte != 0x09:
                line = False
            if p >= start and byte > 0x20:
                visible += 1
                fenced += 1 if inside else 0
                symbols += 1 if _is_code_symbol(byte) else 0
            p += 1
        out[k] = 2 * fenced > visible or 5 * symbols > visible


def looks_like_code(texts: Texts, passages: Passages) -> NDArray[np.bool_]:
    """Passages of which half stands in a fenced code block of a, or a fifth are symbols of code: bool[p]."""
    out = np.zeros(len(passages.a), np.bool_)
    rows, starts, sizes = (np.ascontiguousarray(c) for c in (passages.a, passages.start_a, passages.bytes))
    _code(frozen(texts.addresses), frozen(texts.lengths), frozen(rows), frozen(starts), frozen(sizes), out)
    return out


def stretches(texts: Texts, passages: Passages) -> Texts:
    """The passages themselves, where they stand in a."""
    addresses = texts.addresses[passages.a] + passages.start_a.astype(np.uint64)
    return Texts(addresses, passages.bytes, texts.owner)


def share_within(stretch: Texts, sources: Texts, source: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each stretch's shingles that its source has, float64[p]: how much of it is quoted.

    ``source`` int64[p] is a row of ``sources``, or negative where there is none.
    """
    out = np.zeros(len(stretch))
    known = np.flatnonzero(source >= 0)
    if known.size == 0:
        return out
    both = Texts(
        np.concatenate((sources.addresses, stretch.addresses)),
        np.concatenate((sources.lengths, stretch.lengths)),
        (sources.owner, stretch.owner),
    )
    known = known[np.argsort(source[known], kind="stable")]
    counts = pair_overlap(both, source[known], known + len(sources))
    out[known] = counts[:, 0] / np.maximum(counts[:, 2], 1)
    return out
