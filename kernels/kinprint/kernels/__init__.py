"""Kinprint's kernels: NumPy arrays in, NumPy arrays out, compiled by Numba.

The copy channel answers whether a text, or part of it, stands somewhere else. It computes, in this order::

    arrow      the layout of texts: UTF-8 bytes and offsets
    unicode    code-point classes and tables of one pinned Unicode version
    fold       NFKC_Casefold                          text -> folded text
    shingle    word and code-point shingles           folded text -> sets of 64-bit hashes; exact hash of a text
    sketch     Fast Similarity Sketching              shingles -> 128 x uint32; similarity of sketches
    lsh        banding                                sketches -> candidates
    jaccard    exact intersections                    shingle sets -> Jaccard similarity, containment
    spans      shared spans                           two texts -> the stretches they share, byte for byte

``hashing`` and ``jit`` serve these. ``reference`` has the same definitions in plain Python, for tests. Kernels trust
their input; the public functions above them check it. All release the GIL, and no result depends on the number of
threads. ``warm.warm()`` compiles everything ahead of the
first call. The style channel's kernels are in ``stylometry``.
"""

from __future__ import annotations

from . import fold, jaccard, lsh, shingle, sketch, spans, unicode, warm

__all__ = ["fold", "jaccard", "lsh", "shingle", "sketch", "spans", "unicode", "warm"]
