"""Everything is compiled before the first request."""

from __future__ import annotations

from kinprint.kernels import lsh, shingle, sketch, spans
from kinprint.kernels.arrow import from_texts
from kinprint.kernels.warm import warm


def test_nothing_is_left_to_compile() -> None:
    warm()
    kernels = [sketch._sketch, sketch._similarity, shingle._sets, lsh._query, lsh._pairs, spans._spans]
    before = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    data, offsets = from_texts(["one two three four", "one two three five"])
    for texts in (data, data.copy()):
        result = sketch.sketch(texts, offsets)
        sketch.similarity(result.signatures[0], result.signatures)
        shingle.shingle_sets(texts, offsets)
        lsh.query(lsh.build(result.signatures, 32, 4), result.signatures[0])
        list(lsh.candidate_pairs(result.signatures, 32, 4))
        spans.shared_spans(texts, texts)
    assert [len(kernel.signatures) for kernel in kernels] == before  # type: ignore[attr-defined]
    assert all(count == 1 for count in before)
