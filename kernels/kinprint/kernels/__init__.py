"""Kinprint's kernels: NumPy arrays in, NumPy arrays out, compiled by Numba.

The copy channel answers whether a text, or part of it, stands somewhere else. It computes, in this order::

    arrow      the layout of texts, and the addresses of texts that kernels read in place
    unicode    code-point classes and tables of one pinned Unicode version
    fold       NFKC_Casefold                     text -> folded text
    shingle    word and code-point shingles      folded text -> 64-bit hashes; exact hash of a text
    sketch     Fast Similarity Sketching         shingles -> 128 x uint32; similarity of sketches
    lsh        banding                           sketches -> candidates
    lsh_index  banding, online                   look-up, insertion and deletion, one sketch at a time
    seeds      winnowing                         shingles -> seeds; index of texts that share a stretch
    overlap    exact intersections               texts -> shared shingles, distinct shingles
    jaccard    exact intersections               shingle sets -> shared shingles
    join       exact join                        shingle sets -> all pairs above a threshold
    dedup      duplicates                        texts -> near-duplicate pairs, clusters
    spans      shared spans                      two texts -> the stretches they share, byte for byte
    passages   shared passages                   two sets of texts -> stretches, and how rare each is

The style and kinship channels answer who wrote a text, and which authors are kin::

    stylometry  style vectors                    texts -> 512 x int8; Cosine Delta; measures for people to read
    delta       Delta and General Imposters      words -> frequencies -> distances, shares of wins
    residual    prompt-wise residuals            answers to shared prompts -> how alike models are in their own ways

``hashing`` and ``jit`` serve these. ``reference`` has the same definitions in plain Python, for tests. Kernels trust
their input; the public functions above them check it. All release the GIL, and no result depends on the number of
threads. ``warm.warm()`` compiles the copy channel, ``delta`` and ``residual`` ahead of the first call,
``stylometry.warm()`` style vectors.
"""

from __future__ import annotations

from kinprint.kernels import fold, unicode, warm
from kinprint.kernels.copy import dedup, jaccard, join, lsh, lsh_index, overlap, passages, seeds, shingle, sketch, spans
from kinprint.kernels.style import burrows as delta
from kinprint.kernels.style import residual

__all__ = [
    "dedup",
    "delta",
    "fold",
    "jaccard",
    "join",
    "lsh",
    "lsh_index",
    "overlap",
    "passages",
    "residual",
    "seeds",
    "shingle",
    "sketch",
    "spans",
    "unicode",
    "warm",
]
