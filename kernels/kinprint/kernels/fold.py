"""Folding: Unicode NFKC_Casefold of UTF-8 text, streamed, with a fast path for ASCII.

toNFKC_Casefold (The Unicode Standard, 3.13, D148): map every code point by NFKC_Casefold (compatibility
decomposition, full case folding, default-ignorable code points removed), then bring the result to NFC.

ASCII goes through 64 bytes at a time. Other code points are looked up
one by one; most are *boundaries*, which canonical composition cannot reach across (UAX #15, 9.1). A stretch from one
boundary to the next is normalised only if it holds something that may compose or stands in the wrong canonical order;
nearly all text in NFC never does. So the cost of normalisation falls on text that needs it.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.hashing import (
    high_mask,
    load64,
    lower_block,
    lower_spaced_block,
    space_mask,
    store64,
    trailing_zeros,
)
from kinprint.kernels.jit import kernel, parallel_kernel
from kinprint.kernels.unicode import (
    DECOMPOSITION_SEQUENCES,
    FOLD_SEQUENCES,
    FOLDS,
    MAYBE,
    NOT_BOUNDARY,
    SPACE,
    combining_class,
    composite,
    decode,
    decomposition_entry,
    encode,
    fold_entry,
    properties,
)
from numpy.typing import NDArray

PAD = 80
"""Bytes that stay free behind a folded text, so that kernels may read blocks of 64 that begin anywhere in it."""
_ROOM = 96
"""Room for whatever one code point folds to: the longest mapping has 18 code points (U+FDFA)."""
SEGMENT = 256
"""Code points of scratch to begin with; longer segments allocate their own."""
BUFFER = 4096
"""Bytes of a buffer to begin with; :func:`folded` replaces it by a larger one when a text needs it."""
CHUNK = 64
"""Texts a thread takes at a time."""

_HIGH = np.uint64(0x8080808080808080)


@kernel
def _reorder(points: NDArray[np.int32], start: int, end: int) -> None:
    """Stable sort of ``points[start:end]``, all with ccc > 0, by combining class (UAX #15, D108-D109)."""
    if end - start <= 16:
        for i in range(start + 1, end):
            cp = points[i]
            ccc = combining_class(cp)
            j = i
            while j > start and combining_class(points[j - 1]) > ccc:
                points[j] = points[j - 1]
                j -= 1
            points[j] = cp
        return
    # Counting sort: a text of a million shuffled marks must not take quadratic time.
    counts = np.zeros(257, np.int64)
    for i in range(start, end):
        counts[combining_class(points[i]) + 1] += 1
    for c in range(256):
        counts[c + 1] += counts[c]
    copy = points[start:end].copy()
    for i in range(copy.size):
        ccc = combining_class(copy[i])
        points[start + counts[ccc]] = copy[i]
        counts[ccc] += 1


@kernel
def _normalise(out: NDArray[np.uint8], start: int, end: int, room: int, scratch: NDArray[np.int32]) -> int:
    """Bring ``out[start:end]``, one segment, to NFC in place; its new end, or -1 if ``out[:room]`` is too small."""
    points = scratch
    if 4 * (end - start) > points.size:
        points = np.empty(4 * (end - start), np.int32)
    n = 0
    p = start
    while p < end:
        cp, width = decode(out, p, end)
        p += width
        if 0xAC00 <= cp < 0xD7A4:  # Hangul syllable decomposition (The Unicode Standard, 3.12)
            index = cp - 0xAC00
            points[n] = 0x1100 + index // 588
            points[n + 1] = 0x1161 + (index % 588) // 28
            n += 2
            if index % 28 != 0:
                points[n] = 0x11A7 + index % 28
                n += 1
        else:
            first, length = decomposition_entry(cp)
            if length == 0:
                points[n] = cp
                n += 1
            for k in range(length):
                points[n] = DECOMPOSITION_SEQUENCES[first + k]
                n += 1
    i = 0
    while i < n:
        if combining_class(points[i]) == 0:
            i += 1
            continue
        j = i + 1
        while j < n and combining_class(points[j]) != 0:
            j += 1
        _reorder(points, i, j)
        i = j
    kept = 0
    starter = -1
    last = 0
    for i in range(n):
        cp = int(points[i])
        ccc = combining_class(cp)
        if starter >= 0 and (kept == starter + 1 or last < ccc):
            whole = composite(int(points[starter]), cp)
            if whole >= 0:
                points[starter] = whole
                continue
        if ccc == 0:
            starter = kept
        last = ccc
        points[kept] = cp
        kept += 1
    if start + 4 * kept > room:
        return -1
    o = start
    for i in range(kept):
        o = encode(int(points[i]), out, o)
    return o


@kernel
def fold_text(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    out: NDArray[np.uint8],
    scratch: NDArray[np.int32],
    collapse: bool,
) -> int:
    """Fold ``data[start:end]`` into ``out``; the folded length in bytes, or -1.

    With ``collapse`` each run of white space becomes one space and the ends are trimmed. -1 means that ``out`` is too
    small (it needs at least ``end - start + 176`` bytes to begin with; mappings can lengthen a text by a factor of
    11); nothing else can fail.
    """
    room = out.size - PAD
    o = 0
    p = start
    segment = 0  # where in out the last boundary code point begins
    last = 0  # combining class of the last code point of the segment
    dirty = False  # the segment must be normalised
    if end - start + _ROOM > room:
        return -1
    while p < end:
        if data[p] < 0x80 and p + 8 <= end:
            if dirty:
                o = _normalise(out, segment, o, room - (end - p) - _ROOM, scratch)
                if o < 0:
                    return -1
                dirty = False
            began = p
            space = collapse and (o == 0 or out[o - 1] == 0x20)
            # 64 bytes at a time, up to what is not ASCII or goes on with a run of white space. All are written, and
            # what comes after that place is written over.
            while p + 64 <= end:
                stop = high_mask(data, p)
                blank = np.uint64(0)
                if collapse:
                    blank = space_mask(data, p)
                    stop |= blank & ((blank << np.uint64(1)) | np.uint64(space))
                    lower_spaced_block(data, p, out, o)
                else:
                    lower_block(data, p, out, o)
                if stop == 0:
                    p += 64
                    o += 64
                    space = (blank >> np.uint64(63)) != 0
                    continue
                k = trailing_zeros(stop)
                if k > 0:
                    space = ((blank >> np.uint64(k - 1)) & np.uint64(1)) != 0
                p += k
                o += k
                if data[p] >= 0x80:
                    break
                while p < end and (data[p] == 0x20 or 9 <= data[p] <= 13):
                    p += 1
            while p + 8 <= end:
                x = load64(data, p)
                if (x & _HIGH) != 0:
                    break
                # Bytes are below 0x80, so that none of these sums carries into its neighbour.
                upper = (
                    (x + np.uint64(0x3F3F3F3F3F3F3F3F)) & ~(x + np.uint64(0x2525252525252525)) & _HIGH
                )  # 'A' <= x <= 'Z'
                x |= upper >> np.uint64(2)
                p += 8
                if collapse:
                    blank = ~((x ^ np.uint64(0x2020202020202020)) + np.uint64(0x7F7F7F7F7F7F7F7F)) & _HIGH
                    control = (
                        (x + np.uint64(0x7777777777777777)) & ~(x + np.uint64(0x7272727272727272)) & _HIGH
                    )  # 9 <= x <= 13
                    x ^= (x ^ np.uint64(0x2020202020202020)) & ((control >> np.uint64(7)) * np.uint64(0xFF))
                    blank |= control
                    before = blank << np.uint64(8)
                    if space:
                        before |= np.uint64(0x80)
                    if (blank & before) != 0:
                        for _ in range(8):
                            byte = np.uint8(x & np.uint64(0xFF))
                            x >>= np.uint64(8)
                            white = byte == 0x20
                            out[o] = byte
                            if not (white and space):
                                o += 1
                            space = white
                        continue
                    space = (blank >> np.uint64(63)) != 0
                store64(out, o, x)
                o += 8
            if p > began:
                segment = max(o - 1, 0)
                last = 0
                continue
        if not dirty:
            # Code points that stay as they are, and that nothing before or after them can change.
            copied = p
            while p < end and data[p] >= 0x80:
                cp, width = decode(data, p, end)
                bits = properties(cp)
                if (bits & (FOLDS | NOT_BOUNDARY)) != 0 or (bits & 15) == SPACE:
                    break
                segment = o
                o = encode(cp, out, o)
                p += width
            if p > copied:
                last = 0
                continue
        cp, width = decode(data, p, end)
        p += width
        if o + _ROOM + (end - p) > room:
            return -1
        bits = properties(cp)
        first = 0
        count = 1
        mapped = (bits & FOLDS) != 0
        if mapped:
            first, count = fold_entry(cp)
        for k in range(count):
            if mapped:
                cp = int(FOLD_SEQUENCES[first + k])
                bits = properties(cp)
            if (bits & NOT_BOUNDARY) == 0:
                if dirty:
                    o = _normalise(out, segment, o, room - (end - p) - _ROOM, scratch)
                    if o < 0:
                        return -1
                    dirty = False
                last = 0
                if collapse and (bits & 15) == SPACE:
                    if o == 0 or out[o - 1] == 0x20:
                        segment = max(o - 1, 0)
                        continue
                    cp = 0x20
                segment = o
            else:
                ccc = bits >> 8
                if (bits & MAYBE) != 0 or (ccc != 0 and last > ccc):
                    dirty = True
                last = ccc
            o = encode(cp, out, o)
    if dirty:
        o = _normalise(out, segment, o, room, scratch)
        if o < 0:
            return -1
    if collapse and o > 0 and out[o - 1] == 0x20:
        o -= 1
    return o


@kernel
def fold_places(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    out: NDArray[np.uint8],
    scratch: NDArray[np.int32],
    at: NDArray[np.int32],
    source: NDArray[np.int32],
    until: NDArray[np.int32],
) -> tuple[int, int]:
    """As :func:`fold_text`, white space as it is, with where everything came from: (bytes, runs), or (-1, 0).

    The folded text from byte ``at[r]`` on, up to the next run, came from byte ``source[r]`` on: byte by byte where
    ``until[r]`` is -1; otherwise as a whole from the bytes up to ``until[r]``, which are one code point or those that
    are composed with each other. What folds to nothing lies in no run. A run takes a code point at least, so that
    arrays of ``end - start + 1`` have room for all.
    """
    room = out.size - PAD
    o = 0
    p = start
    segment = 0  # where in out the last boundary code point begins, and where it came from
    segment_source = start
    last = 0  # combining class of the last code point of the segment
    dirty = False  # the segment must be normalised
    runs = 0
    plain = False  # the last run goes on byte by byte
    if end - start + _ROOM > room:
        return -1, 0
    while p < end:
        if data[p] < 0x80:
            if dirty:
                o = _normalise(out, segment, o, room - (end - p) - _ROOM, scratch)
                if o < 0:
                    return -1, 0
                dirty = False
            if not plain:
                at[runs] = o
                source[runs] = p
                until[runs] = -1
                runs += 1
                plain = True
            while p + 64 <= end:
                high = high_mask(data, p)
                lower_block(data, p, out, o)
                k = trailing_zeros(high)
                p += k
                o += k
                if high != 0:
                    break
            while p < end and data[p] < 0x80:
                byte = data[p]
                out[o] = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
                p += 1
                o += 1
            segment = o - 1
            segment_source = p - 1
            last = 0
            continue
        began = p
        cp, width = decode(data, p, end)
        p += width
        if o + _ROOM + (end - p) > room:
            return -1, 0
        bits = properties(cp)
        mapped = (bits & FOLDS) != 0
        first = 0
        count = 1
        if mapped:
            first, count = fold_entry(cp)
        # What is not UTF-8 comes out as U+FFFD, of another width.
        whole = mapped or width != (2 if cp < 0x800 else 3 if cp < 0x10000 else 4)
        if whole:
            plain = False
        for k in range(count):
            if mapped:
                cp = int(FOLD_SEQUENCES[first + k])
                bits = properties(cp)
            if (bits & NOT_BOUNDARY) == 0:
                if dirty:
                    o = _normalise(out, segment, o, room - (end - p) - _ROOM, scratch)
                    if o < 0:
                        return -1, 0
                    dirty = False
                last = 0
                segment = o
                segment_source = began
                if k == 0 and not plain:
                    at[runs] = o
                    source[runs] = began
                    until[runs] = p if whole else -1
                    runs += 1
                    plain = not whole
            else:
                ccc = bits >> 8
                if (bits & MAYBE) != 0 or (ccc != 0 and last > ccc):
                    dirty = True
                last = ccc
                plain = False
                if k == 0:  # it belongs with what came before
                    if runs == 0 or (until[runs - 1] < 0 and at[runs - 1] < segment):
                        at[runs] = segment
                        source[runs] = segment_source if runs > 0 else began
                        runs += 1
                    until[runs - 1] = p
            o = encode(cp, out, o)
    if dirty:
        o = _normalise(out, segment, o, room, scratch)
        if o < 0:
            return -1, 0
    return o, runs


@kernel
def folded(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    buffer: NDArray[np.uint8],
    scratch: NDArray[np.int32],
    collapse: bool,
) -> tuple[NDArray[np.uint8], int]:
    """:func:`fold_text` into ``buffer``, or into a larger one when it is too small: ``(buffer used, length)``."""
    need = end - start + (end - start) // 4 + PAD + 2 * _ROOM
    if buffer.size < need:
        buffer = np.empty(need + need // 2, np.uint8)
    length = fold_text(data, start, end, buffer, scratch, collapse)
    while length < 0:
        buffer = np.empty(buffer.size * 3, np.uint8)
        length = fold_text(data, start, end, buffer, scratch, collapse)
    return buffer, length


@parallel_kernel(CHUNK)
def _fold(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    out: NDArray[np.uint8],
    out_offsets: NDArray[np.int64],
    write: bool,
) -> None:
    """Fold texts first .. last-1: to their places in ``out``, or only their lengths to ``out_offsets``."""
    buffer = np.empty(BUFFER, np.uint8)
    scratch = np.empty(SEGMENT, np.int32)
    for i in range(first, last):
        buffer, length = folded(memory(addresses[i], lengths[i]), 0, lengths[i], buffer, scratch, False)
        if write:
            out[out_offsets[i] : out_offsets[i + 1]] = buffer[:length]
        else:
            out_offsets[i + 1] = length


def fold(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Folded texts: toNFKC_Casefold of each, at :data:`~kinprint.kernels.unicode.UNICODE_VERSION`.

    Parameters
    ----------
    data, offsets
        Texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].

    Returns
    -------
    tuple
        The folded texts in the same layout, offsets from 0. Texts are folded twice, so that the memory needed is
        the result and one text a thread.

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout (see :func:`~kinprint.kernels.arrow.check_texts`).
    """
    texts = Texts.from_offsets(data, offsets)
    addresses, lengths = frozen(texts.addresses), frozen(texts.lengths)
    out_offsets = np.zeros(offsets.size, np.int64)
    _fold(len(texts), addresses, lengths, np.empty(0, np.uint8), out_offsets, False)
    np.cumsum(out_offsets, out=out_offsets)
    out = np.empty(out_offsets[-1], np.uint8)
    _fold(len(texts), addresses, lengths, out, out_offsets, True)
    return out, out_offsets
