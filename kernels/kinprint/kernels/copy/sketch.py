"""Sketches: 128 slots of 32 bits a text, by Fast Similarity Sketching, and the similarity they estimate.

S. Dahlgaard, M. B. T. Knudsen, M. Thorup, "Fast Similarity Sketching", FOCS 2017 (arXiv:1704.04370). In a round of the
first kind each shingle is hashed afresh to one of k bins and a value; a bin keeps the least value of the first round
that reaches it. In the last round each shingle is hashed to every bin that is still empty. By symmetry the shingle
that wins a bin is uniform over the union of two sets, so that a slot agrees between two texts with probability equal
to the Jaccard similarity of their shingle sets, as in k-permutation MinHash, and concentrated at least as well.

The paper goes on with rounds of the first kind until all bins are filled, k rounds at most; here there are two, and
then the last. That is a choice of speed: a last round costs one pass over the shingles for each empty bin, which
vectorises, and a text of 160 shingles has ten of these left. The number of rounds is the same for all texts, so the
argument holds.

A slot holds the round in its top 2 bits, the value in the other 30.

One file: a sketch, its packed form and both comparisons are one scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, room_for_hashes
from kinprint.kernels.copy.shingle import (
    SHINGLINGS,
    Shingling,
    folded_text,
    larger_size,
    scheme_number,
    shingle_text,
    workspace,
)
from kinprint.kernels.fold import BUFFER, CHUNK
from kinprint.kernels.hashing import MULTIPLIER_1, ROUND_SEED, SLOT_ADDENDS, SLOT_MULTIPLIERS, hash_text
from kinprint.kernels.hashing import SEED as SEED
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

VERSION: Final = 2
"""Raised whenever the sketch of any text changes; sketches of different versions must not be compared."""
SLOTS: Final = 128
EMPTY: Final = np.uint32(0xFFFFFFFF)
"""Every slot of a blank text, and no slot of any other."""
ROWS: Final = 8192
"""Sketches that are compared sooner than a second thread is woken."""
PACKED_BITS: Final = (1, 2, 4, 8, 16)
"""Bits a slot that :func:`pack` offers."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a sketch was made with; sketches compare only if this is equal."""

    shingles: Shingling = "w3c5"
    """Scheme of shingling: word 3-shingles with code-point 5-shingles, or code-point 5-shingles of everything."""
    slots: int = SLOTS
    bits: int = 32
    """Bits kept of a slot; fewer than 32 in the packed form."""
    seed: int = SEED
    version: int = VERSION

    @property
    def name(self) -> str:
        """For example ``fss128-w3c5``, or ``fss128-w3c5-b8`` packed."""
        return f"fss{self.slots}-{self.shingles}" + ("" if self.bits == 32 else f"-b{self.bits}")

    def __str__(self) -> str:
        """Everything, for example ``fss128-w3c5/2/6b696e7072696e74``: name, version, seed in hexadecimal."""
        return f"{self.name}/{self.version}/{self.seed:x}"

    @classmethod
    def parse(cls, label: str) -> Scheme:
        """The scheme of a label that ``str`` made.

        Raises
        ------
        ValueError
            If it is none, or of a newer version than this one.
        """
        try:
            name, version, seed = label.split("/")
            method, shingles, *packed = name.split("-")
            bits = int(packed[0].removeprefix("b")) if packed else 32
            scheme = cls(shingles, int(method.removeprefix("fss")), bits, int(seed, 16), int(version))  # type: ignore[arg-type]
        except ValueError:
            scheme = None
        if scheme is None or str(scheme) != label or scheme.shingles not in SHINGLINGS:
            raise ValueError(f"{label!r} is no sketch scheme")
        if scheme.version > VERSION:
            raise ValueError(f"sketches {label!r} are of version {scheme.version}, this Kinprint knows up to {VERSION}")
        return scheme


def check_comparable(a: Scheme, b: Scheme) -> None:
    """Raise ValueError unless sketches of the two schemes may be compared."""
    if a != b:
        raise ValueError(f"sketches of {a} and of {b} cannot be compared: make both with one scheme")


SCHEME: Final = Scheme().name
"""Name of the default scheme: Fast Similarity Sketching, 128 slots, word 3-shingles and code-point 5-shingles."""


class Sketches(NamedTuple):
    """What one pass over n texts yields."""

    signatures: NDArray[np.uint32]
    """uint32[n, 128]; a blank text has :data:`EMPTY` throughout."""
    text_hashes: NDArray[np.uint64]
    """uint64[n, 2], as :func:`~kinprint.kernels.copy.shingle.text_hashes`; uint64[0, 2] unless asked for."""
    sizes: NDArray[np.int32]
    """int32[n]: shingles of each text, repeats counted."""
    flags: NDArray[np.uint8]
    """uint8[n]: 0, BLANK or WHOLE_TEXT."""
    scheme: Scheme
    """What the signatures were made with."""


class Bins(NamedTuple):
    """Scratch of one thread for making sketches."""

    values: NDArray[np.uint32]
    """uint32[256]: two bins a slot, so that neighbouring shingles rarely wait for each other."""
    empty: NDArray[np.int64]
    """int64[132]: slots still empty."""
    folded: NDArray[np.uint32]
    """uint32[m]: the high half of each shingle."""


@kernel
def new_bins(m: int) -> Bins:
    """Scratch for texts of up to m shingles."""
    return Bins(np.empty(2 * SLOTS, np.uint32), np.empty(SLOTS + 4, np.int64), np.empty(m, np.uint32))


@kernel
def sketch_set(hashes: NDArray[np.uint64], m: int, slots: NDArray[np.uint32], bins: Bins) -> None:
    """Sketch the shingle hashes ``hashes[:m]`` (repeats do no harm) into ``slots`` uint32[128].

    ``bins`` must have room for m.
    """
    if m == 0:
        for j in range(SLOTS):
            slots[j] = EMPTY
        return
    values = bins.values
    even = m - m % 2
    for j in range(2 * SLOTS):
        values[j] = EMPTY
    for t in range(0, even, 2):
        a = hashes[t]
        b = hashes[t + 1]
        i = a >> np.uint64(57)  # unsigned: an index that Numba need not check for below zero
        j = (b >> np.uint64(57)) + np.uint64(SLOTS)
        values[i] = min(values[i], np.uint32(a))
        values[j] = min(values[j], np.uint32(b))
    if even < m:
        a = hashes[even]
        values[a >> np.uint64(57)] = min(values[a >> np.uint64(57)], np.uint32(a))
    left = 0
    for k in range(SLOTS):
        least = min(values[k], values[SLOTS + k])
        slots[k] = EMPTY if least == EMPTY else least >> np.uint32(2)
        left += 1 if least == EMPTY else 0
    if left == 0:
        return

    for k in range(2 * SLOTS):
        values[k] = EMPTY
    for t in range(0, even, 2):
        a = (hashes[t] ^ ROUND_SEED) * MULTIPLIER_1
        b = (hashes[t + 1] ^ ROUND_SEED) * MULTIPLIER_1
        i = a >> np.uint64(57)
        j = (b >> np.uint64(57)) + np.uint64(SLOTS)
        values[i] = min(values[i], np.uint32(a >> np.uint64(25)))
        values[j] = min(values[j], np.uint32(b >> np.uint64(25)))
    if even < m:
        a = (hashes[even] ^ ROUND_SEED) * MULTIPLIER_1
        values[a >> np.uint64(57)] = min(values[a >> np.uint64(57)], np.uint32(a >> np.uint64(25)))
    for k in range(SLOTS):
        least = min(values[k], values[SLOTS + k])
        slots[k] = min(slots[k], EMPTY if least == EMPTY else np.uint32(1 << 30) | (least >> np.uint32(2)))

    empty = bins.empty
    left = 0
    for k in range(SLOTS):
        empty[left] = k
        left += 1 if slots[k] == EMPTY else 0
    if left == 0:
        return
    for k in range(left, left + 3):  # whole groups of four
        empty[k] = empty[left - 1]
    folded = bins.folded
    for t in range(m):
        folded[t] = np.uint32(hashes[t] >> np.uint64(32))
    for k in range(0, left, 4):
        k0, k1, k2, k3 = empty[k], empty[k + 1], empty[k + 2], empty[k + 3]
        m0, m1, m2, m3 = SLOT_MULTIPLIERS[k0], SLOT_MULTIPLIERS[k1], SLOT_MULTIPLIERS[k2], SLOT_MULTIPLIERS[k3]
        a0, a1, a2, a3 = SLOT_ADDENDS[k0], SLOT_ADDENDS[k1], SLOT_ADDENDS[k2], SLOT_ADDENDS[k3]
        r0 = EMPTY
        r1 = EMPTY
        r2 = EMPTY
        r3 = EMPTY
        for t in range(m):
            x = folded[t]
            r0 = min(r0, np.uint32(x * m0 + a0))
            r1 = min(r1, np.uint32(x * m1 + a1))
            r2 = min(r2, np.uint32(x * m2 + a2))
            r3 = min(r3, np.uint32(x * m3 + a3))
        slots[k0] = np.uint32(1 << 31) | (r0 >> np.uint32(2))
        slots[k1] = np.uint32(1 << 31) | (r1 >> np.uint32(2))
        slots[k2] = np.uint32(1 << 31) | (r2 >> np.uint32(2))
        slots[k3] = np.uint32(1 << 31) | (r3 >> np.uint32(2))


@parallel_kernel(CHUNK)
def _sketch(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    scheme: int,
    normalised: bool,
    signatures: NDArray[np.uint32],
    text_hashes: NDArray[np.uint64],
    sizes: NDArray[np.int32],
    flags: NDArray[np.uint8],
) -> None:
    work = workspace(BUFFER)
    bins = new_bins(BUFFER)
    for i in range(first, last):
        length = folded_text(work, addresses[i], lengths[i], normalised)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], normalised)
        if text_hashes.shape[0] > 0:
            a, b = hash_text(work.buffer, length)
            text_hashes[i, 0] = a
            text_hashes[i, 1] = b
        of_words, of_points, flag = shingle_text(work, length, scheme)
        m = of_words + of_points
        if m > bins.folded.size:
            bins = new_bins(2 * m)
        sketch_set(work.hashes, m, signatures[i], bins)
        sizes[i] = m
        flags[i] = flag


@parallel_kernel(CHUNK)
def _sketch_hashes(
    first: int, last: int, hashes: NDArray[np.uint64], indptr: NDArray[np.int64], signatures: NDArray[np.uint32]
) -> None:
    bins = new_bins(BUFFER)
    for i in range(first, last):
        m = indptr[i + 1] - indptr[i]
        if m > bins.folded.size:
            bins = new_bins(2 * m)
        sketch_set(hashes[indptr[i] : indptr[i + 1]], m, signatures[i], bins)


def new_sketches(n: int, shingles: Shingling = "w3c5", *, text_hashes: bool = True) -> Sketches:
    """Room for the sketches of n texts, for :func:`sketch_texts`."""
    return Sketches(
        room_for_hashes(n * SLOTS // 2).view(np.uint32).reshape(n, SLOTS),
        room_for_hashes(2 * n if text_hashes else 0).reshape(-1, 2),
        np.empty(n, np.int32),
        np.empty(n, np.uint8),
        Scheme(shingles),
    )


def sketch_texts(
    texts: Texts,
    shingles: Shingling = "w3c5",
    *,
    normalised: bool = False,
    text_hashes: bool = True,
    out: Sketches | None = None,
) -> Sketches:
    """Sketch every text in one pass, from the bytes where they are.

    Parameters
    ----------
    texts
        Fewer than 2^31 shingles a text.
    shingles
        Scheme of shingling, of :data:`~kinprint.kernels.copy.shingle.SHINGLINGS`.
    normalised
        The texts are their own normalised answers already, and folding is left out. Of others the result would not
        compare with anything.
    text_hashes
        Whether to hash the normalised answers as well.
    out
        Where to write, from :func:`new_sketches` of as many texts, or slices of it; else made here.

    Raises
    ------
    ValueError
        If there is no such scheme, or ``out`` does not fit.
    """
    number = scheme_number(shingles)
    if out is None:
        out = new_sketches(len(texts), shingles, text_hashes=text_hashes)
    if len(out.signatures) != len(texts) or out.scheme != Scheme(shingles):
        raise ValueError(f"out has room for {len(out.signatures)} sketches of {out.scheme}, not for {len(texts)}")
    _sketch(len(texts), frozen(texts.addresses), frozen(texts.lengths), number, normalised, *out[:4])
    return out


def sketch(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Sketches:
    """:func:`sketch_texts` of texts in Arrow layout: UTF-8 bytes uint8[nbytes], int64[n + 1].

    Raises
    ------
    ValueError
        If the arrays are not in Arrow layout.
    """
    return sketch_texts(Texts.from_offsets(data, offsets))


def sketch_hashes(hashes: NDArray[np.uint64], indptr: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Sketches of sets of hashes that are made already: uint32[n, 128].

    Parameters
    ----------
    hashes : uint64[m]
        Well mixed hashes, as :func:`~kinprint.kernels.copy.shingle.sets_of` gives them; repeats do no harm.
    indptr : int64[n + 1]
        Set ``i`` is ``hashes[indptr[i]:indptr[i + 1]]``.

    Raises
    ------
    ValueError
        If a shape or dtype differs.
    """
    check_sets(hashes, indptr)
    signatures = room_for_hashes((indptr.size - 1) * SLOTS // 2).view(np.uint32).reshape(-1, SLOTS)
    _sketch_hashes(len(signatures), frozen(hashes), frozen(indptr), signatures)
    return signatures


def check_sets(hashes: NDArray[np.uint64], indptr: NDArray[np.int64]) -> None:
    """Raise ValueError unless the arrays are sets of hashes: uint64[m], and int64[n + 1] that stays within them."""
    if hashes.dtype != np.uint64 or hashes.ndim != 1 or not hashes.flags.c_contiguous:
        raise ValueError(f"hashes must be a contiguous uint64[m], not {hashes.dtype}{list(hashes.shape)}")
    if indptr.dtype != np.int64 or indptr.ndim != 1 or indptr.size == 0 or not indptr.flags.c_contiguous:
        raise ValueError(f"indptr must be a contiguous int64[n + 1], not {indptr.dtype}{list(indptr.shape)}")
    if indptr[0] < 0 or indptr[-1] > hashes.size or bool(np.any(indptr[1:] < indptr[:-1])):
        raise ValueError(f"indptr must not decrease and must stay within 0..{hashes.size}")


@parallel_kernel(ROWS)
def _similarity(
    first: int, last: int, query: NDArray[np.uint32], signatures: NDArray[np.uint32], out: NDArray[np.float32]
) -> None:
    for i in range(first, last):
        equal = 0
        for j in range(SLOTS):
            equal += 1 if signatures[i, j] == query[j] else 0
        out[i] = np.float32(equal / SLOTS)


def check_signatures(signatures: NDArray[np.uint32]) -> None:
    """Raise ValueError unless ``signatures`` is a C-contiguous uint32[n, 128]."""
    if (
        signatures.dtype != np.uint32
        or signatures.ndim != 2
        or signatures.shape[1] != SLOTS
        or not signatures.flags.c_contiguous
    ):
        raise ValueError(
            f"signatures must be a contiguous uint32[n, {SLOTS}], not {signatures.dtype}{list(signatures.shape)}"
        )


def check_signature(signature: NDArray[np.uint32]) -> None:
    """Raise ValueError unless ``signature`` is a C-contiguous uint32[128]."""
    if signature.dtype != np.uint32 or signature.shape != (SLOTS,) or not signature.flags.c_contiguous:
        raise ValueError(
            f"a signature must be a contiguous uint32[{SLOTS}], not {signature.dtype}{list(signature.shape)}"
        )


def similarity(query: NDArray[np.uint32], signatures: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Estimated Jaccard similarity of one text with each of n: the share of equal slots.

    Its standard error is about sqrt(J (1 - J) / 128), at most .044. A blank text has no shingles and scores 0 against
    everything, blank texts included.

    Parameters
    ----------
    query : uint32[128]
    signatures : uint32[n, 128]

    Returns
    -------
    float32[n], in [0, 1]

    Raises
    ------
    ValueError
        If a shape or dtype differs.
    """
    check_signature(query)
    check_signatures(signatures)
    out = np.zeros(len(signatures), np.float32)
    if query[0] != EMPTY:
        _similarity(len(signatures), frozen(query), frozen(signatures), out)
    return out


# ---- packed: b bits a slot ----


class Packed(NamedTuple):
    """Sketches with the low b bits of every slot (b-bit minwise hashing: P. Li, A. C. Koenig, WWW 2010)."""

    data: NDArray[np.uint8]
    """uint8[n, 16 b]: slot after slot, low bits first; all ones for a blank text, and for no other."""
    scheme: Scheme
    """With the bits kept."""


@parallel_kernel(ROWS)
def _pack(first: int, last: int, signatures: NDArray[np.uint32], bits: int, out: NDArray[np.uint8]) -> None:
    mask = np.uint32((1 << bits) - 1)
    for i in range(first, last):
        for j in range(SLOTS):
            value = signatures[i, j] & mask
            place = j * bits
            out[i, place >> 3] |= np.uint8((value << np.uint32(place & 7)) & np.uint32(0xFF))
            if bits == 16:
                out[i, (place >> 3) + 1] = np.uint8(value >> np.uint32(8))


@kernel
def _is_blank(row: NDArray[np.uint8]) -> bool:
    for byte in row:  # noqa: SIM110  (compiled)
        if byte != 0xFF:
            return False
    return True


@parallel_kernel(ROWS)
def _packed_similarity(
    first: int, last: int, query: NDArray[np.uint8], data: NDArray[np.uint8], bits: int, out: NDArray[np.float32]
) -> None:
    if _is_blank(query):
        return
    chance = 1.0 / (1 << bits)
    per_byte = max(1, 8 // bits)
    mask = (1 << min(bits, 8)) - 1
    for i in range(first, last):
        if _is_blank(data[i]):
            continue
        equal = 0
        if bits == 16:
            for j in range(SLOTS):
                same = query[2 * j] == data[i, 2 * j] and query[2 * j + 1] == data[i, 2 * j + 1]
                equal += 1 if same else 0
        else:
            for k in range(query.size):
                differs = query[k] ^ data[i, k]
                for q in range(per_byte):
                    equal += 1 if ((differs >> (q * bits)) & mask) == 0 else 0
        out[i] = np.float32(max(0.0, (equal / SLOTS - chance) / (1.0 - chance)))


def pack(signatures: NDArray[np.uint32], bits: int, shingles: Shingling = "w3c5") -> Packed:
    """Keep ``bits`` (1, 2, 4, 8 or 16) of each slot: 16, 32, 64, 128 or 256 bytes a text instead of 512.

    Raises
    ------
    ValueError
        If ``signatures`` is no uint32[n, 128] or the number of bits is not on offer.
    """
    check_signatures(signatures)
    if bits not in PACKED_BITS:
        raise ValueError(f"bits must be one of {', '.join(map(str, PACKED_BITS))}, not {bits}")
    scheme_number(shingles)
    out = np.zeros((len(signatures), SLOTS * bits // 8), np.uint8)
    _pack(len(signatures), frozen(signatures), bits, out)
    return Packed(out, Scheme(shingles, bits=bits))


def packed_similarity(query: Packed, packed: Packed) -> NDArray[np.float32]:
    """Estimated Jaccard similarity of one packed sketch (``query`` holds one) with n others: float32[n] in [0, 1].

    Slots that agree by chance, one in 2^b, are taken off: (share - 2^-b) / (1 - 2^-b), at least 0. The standard error
    is that of the full sketch times about sqrt((J + 2^-b) / (J (1 - 2^-b))).

    Raises
    ------
    ValueError
        If the schemes differ, or ``query`` does not hold just one sketch.
    """
    check_comparable(query.scheme, packed.scheme)
    if query.data.shape[0] != 1:
        raise ValueError(f"the query must be one sketch, not {query.data.shape[0]}")
    out = np.zeros(len(packed.data), np.float32)
    _packed_similarity(len(out), frozen(query.data[0]), frozen(packed.data), packed.scheme.bits, out)
    return out
