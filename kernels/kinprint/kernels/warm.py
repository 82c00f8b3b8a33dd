"""Compile every kernel of the copy channel before the first request needs it."""

from __future__ import annotations

import numpy as np

from . import fold, jaccard, lsh, overlap, shingle, sketch, slots, spans
from .arrow import from_texts

_TEXTS = ("The quick brown fox jumps over the lazy dog.", "THE QUICK BROWN FOX", "你好世界你好世界", "e\u0301", "")


def warm() -> None:
    """Run every public function once on a few words, so that its machine code is compiled, or loaded from the cache.

    A first run compiles for about a minute of CPU time; later processes load the result in about a second. Public
    functions hand read-only views to their kernels, so that one version serves writable arrays and memory maps alike.
    """
    data, offsets = from_texts(_TEXTS)
    fold.fold(data, offsets)
    hashes, indptr, _ = shingle.shingle_sets(data, offsets)
    shingle.text_hashes(data, offsets)
    signatures = sketch.sketch(data, offsets).signatures
    rows = np.arange(len(signatures), dtype=np.int64)
    sketch.similarity(signatures[0], signatures)
    sketch.similarity_at(signatures[0], signatures, rows)
    slots.query(slots.build(signatures), signatures[0], 1)
    bands, rows_of_band = lsh.choose_bands(0.7)
    lsh.query(lsh.build(signatures, bands, rows_of_band), signatures[0])
    for _ in lsh.candidate_pairs(signatures, bands, rows_of_band):
        pass
    jaccard.intersections(hashes, indptr, rows, rows)
    jaccard.query_intersections(hashes[: indptr[1]], hashes, indptr)
    overlap.query_overlap(hashes[: indptr[1]], data, offsets, rows)
    twice = np.concatenate((data, data))
    spans.codepoint_offsets(data, spans.shared_spans(data, twice)[:, 0])
