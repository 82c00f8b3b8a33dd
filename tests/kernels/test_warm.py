"""Everything is compiled before the first request."""

from __future__ import annotations

import numpy as np
from kinprint.kernels.arrow import Texts, from_texts, frozen
from kinprint.kernels.copy import lsh, shingle, sketch, spans
from kinprint.kernels.style import authorship, residual
from kinprint.kernels.style import burrows as delta
from kinprint.kernels.warm import warm


def test_nothing_is_left_to_compile() -> None:
    warm()
    kernels = [sketch._sketch, sketch._similarity, shingle._sets, lsh._query, lsh._pairs, spans._spans]
    kernels += [delta._totals, delta._strips, delta._gathered, delta._merged, delta._slots, delta._rows, delta._add]
    kernels += [delta._delta, delta._wins, residual._grams, residual._moments, residual._add]
    kernels += [authorship._block, authorship._packed, authorship._take, authorship._document_frequencies]
    kernels += [authorship._weigh, authorship._separate, authorship._margins, authorship._shares]
    before = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    data, offsets = from_texts(["one two three four", "one two three five"])
    for texts in (data, data.copy()):
        result = sketch.sketch(texts, offsets)
        sketch.similarity(result.signatures[0], result.signatures)
        shingle.shingle_sets(texts, offsets)
        lsh.query(lsh.build(result.signatures, 32, 4), result.signatures[0])
        list(lsh.candidate_pairs(result.signatures, 32, 4))
        spans.shared_spans(texts, texts)
        words, _ = delta.most_frequent(Texts.from_offsets(texts, offsets), 3)
        counts = delta.count_words(Texts.from_offsets(texts, offsets))
        counts.merge(counts)
        delta.hashes_of(Texts.from_offsets(texts, offsets))
        delta.frequencies(Texts.from_offsets(texts, offsets), words, np.zeros(2, np.int64))
        shares = delta.frequencies(Texts.from_offsets(texts, offsets), words)
        for values in (shares, frozen(shares)):
            moments = delta.mean_and_sd(values)
            delta.delta(values, values, *moments)
            delta.imposters(values, values, values, *moments)
        features = authorship.features_of(Texts.from_offsets(texts, offsets))
        authorship.document_frequencies(features)
        weights, scale = np.ones(authorship.DIM, np.float32), np.ones(len(authorship.FAMILIES), np.float32)
        rows = authorship.weigh(features, weights, scale).take(np.arange(2))
        classifiers = authorship.separate(rows, np.zeros(2, np.int32), 1, 1.0, np.array([[1, 0]]))
        authorship.margins(rows, classifiers, 1)
        authorship.shares(rows, classifiers, 1)
        who = np.arange(2)
        for some in (who, frozen(who)):
            grams = residual.prompt_grams(Texts.from_offsets(texts, offsets), some, np.array([0, 2]), 2)
            sums, panel = residual.accumulate(grams, some < 2)
            spread = residual.Grams(frozen(np.repeat(grams.gram, 2, axis=0))[::2], grams.present)
            residual.accumulate(spread, frozen(some < 2), sums, rows=some > 0)
            old = panel._replace(mean=panel.mean[..., :1], norm=panel.norm[..., :1])
            residual.accumulate(grams, some < 1, sums, joined=(old, 1))
    assert [len(kernel.signatures) for kernel in kernels] == before  # type: ignore[attr-defined]
    assert all(count == 1 for count in before)
