"""Compile kernels before the first request needs them."""

from __future__ import annotations

import numpy as np
from kinprint.kernels import fold
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import dedup, jaccard, lsh, overlap, passages, seeds, shingle, sketch, spans
from kinprint.kernels.style import authorship, nearest, residual, stylometry
from kinprint.kernels.style import burrows as delta

_TEXTS = ("The quick brown fox jumps over the lazy dog.", "THE QUICK BROWN FOX", "你好世界你好世界", "e\u0301", "")
_PASSAGE = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen 世界"


def warm() -> None:
    """Compile every kernel, or load it from the cache: what a server runs, and what only programs call."""
    warm_served()
    delta.warm()


def warm_served() -> None:
    """Run every public function that a server calls once on a few words, so that its machine code is there.

    A first run compiles for one to three minutes of CPU time; later processes load the result in about a second. Public
    functions hand read-only views to their kernels, so that one version serves writable arrays and memory maps alike.
    """
    data, offsets = from_texts(_TEXTS)
    texts = Texts.from_offsets(data, offsets)
    fold.fold(data, offsets)
    shingle.sets_of(Texts.joined([texts] * 20))  # many texts and few go different ways
    hashes, indptr, _ = shingle.sets_of(texts)
    shingle.hashes_of(texts)
    shingle.counts_of(texts)
    signatures = sketch.sketch_texts(texts).signatures
    sketch.sketch_hashes(hashes, indptr)
    packed = sketch.pack(signatures, 8)
    sketch.packed_similarity(packed._replace(data=packed.data[:1]), packed)
    rows = np.arange(len(signatures), dtype=np.int64)
    sketch.similarity(signatures[0], signatures)
    sketch.similarity_at(signatures[0], signatures, rows)
    seeded = seeds.build(texts)
    seeds.query(seeds.merge([seeded], [np.arange(seeded.texts, dtype=np.int32)], seeded.texts), hashes[: indptr[1]])
    bands, rows_of_band = lsh.choose_bands(0.7)
    lsh.query(lsh.build(signatures, bands, rows_of_band), signatures[0])
    jaccard.intersections(hashes, indptr, rows, rows)
    jaccard.query_intersections(hashes[: indptr[1]], hashes, indptr)
    overlap.query_overlap_of(hashes[: indptr[1]], texts, rows)
    for exact in (False, True):
        dedup.pairs(texts, exact=exact)
        dedup.clusters(texts, exact=exact)
    grams = residual.prompt_grams(texts, rows, np.array([0, len(rows)]), len(rows), joined=1)
    sums, panel = residual.accumulate(grams, rows < 3)
    old = panel._replace(mean=panel.mean[..., :-1], norm=panel.norm[..., :-1])
    residual.accumulate(grams, rows < 3, sums, rows=rows > 0, joined=(old, 1))
    authorship.warm()
    stylometry.warm()
    nearest.warm()
    left, right = (Texts.from_offsets(*from_texts([_PASSAGE + end])) for end in (".", "!"))
    index = passages.Index(Texts.joined([left, right]), 1)
    codes = np.zeros(2, np.int32)
    for found in index.find():
        passages.bits(index.counts(found.passages, codes, codes))
        passages.looks_like_code(index.texts, found.passages)
        stretch = passages.stretches(index.texts, found.passages)
        passages.share_within(stretch, left, np.zeros(len(stretch), np.int64))
        spans.codepoint_places(index.texts, found.passages.a, found.passages.start_a, found.passages.bytes)
    twice = np.concatenate((data, data))
    spans.codepoint_offsets(data, spans.shared_spans(data, twice)[:, 0])
