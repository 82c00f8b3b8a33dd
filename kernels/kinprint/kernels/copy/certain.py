"""Seeds of a stretch that every text which holds it has.

Of every :data:`~kinprint.kernels.copy.seeds.WINDOW` shingles in a row one is a seed. Whichever a window within the
stretch chose is one wherever the stretch stands; of a stretch that is shorter than a window, none is for certain.
"""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.seeds import WINDOW, winnow
from kinprint.kernels.copy.shingle import folded_text, larger_size, shingle_words, workspace
from kinprint.kernels.fold import BUFFER
from kinprint.kernels.jit import kernel
from numpy.typing import NDArray


@kernel
def _certain(
    addresses: NDArray[np.uint64], lengths: NDArray[np.int64], indptr: NDArray[np.int64], out: NDArray[np.uint32]
) -> None:
    work = workspace(BUFFER)
    chosen = np.empty(BUFFER + 2, np.int32)
    n = 0
    for i in range(addresses.size):
        length = folded_text(work, addresses[i], lengths[i], False)
        while length < 0:
            work = workspace(larger_size(work, lengths[i]))
            length = folded_text(work, addresses[i], lengths[i], False)
        if chosen.size < length + 2:
            chosen = np.empty(2 * length + 2, np.int32)
        of_words, of_points, _ = shingle_words(work, length)
        first = 0
        for count in (of_words, of_points):
            if count >= WINDOW:
                for k in range(winnow(work.hashes, first, first + count, WINDOW, chosen)):
                    if n < out.size:
                        out[n] = np.uint32(work.hashes[chosen[k]] >> np.uint64(32))
                    n += 1
            first += count
        indptr[i + 1] = n


def certain_seeds(stretches: Texts) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Keys of the certain seeds of stretches, as :class:`~kinprint.kernels.copy.seeds.SeedIndex` has them.

    Words that a stretch cuts make shingles of their own: it should begin and end at edges of words.

    Returns
    -------
    keys, indptr : uint32[m], int64[n + 1]
        Those of stretch i are ``keys[indptr[i]:indptr[i + 1]]``; some may be repeated.
    """
    indptr = np.zeros(len(stretches) + 1, np.int64)
    keys = np.empty(int(stretches.lengths.sum()) // 4 + 16, np.uint32)
    addresses, lengths = frozen(stretches.addresses), frozen(stretches.lengths)
    _certain(addresses, lengths, indptr, keys)
    if indptr[-1] > keys.size:
        keys = np.empty(int(indptr[-1]), np.uint32)
        _certain(addresses, lengths, indptr, keys)
    return keys[: indptr[-1]], indptr
