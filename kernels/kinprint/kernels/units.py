"""The units of kernels that are compiled together, and what runs each: every public function once, on a few words.

Public functions hand read-only views to kernels, so that one version serves all arrays. Which group needs a unit, and
what the groups are for, is in :mod:`~kinprint.kernels.warm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

GROUPS: Final = ("load", "search", "jobs", "frames")
"""Names of the groups, from the most urgent to the least."""
_WORDS: Final = (
    "The quick brown fox jumps over the lazy dog.",
    "THE QUICK BROWN FOX",
    "你好世界你好世界",
    "e\u0301",
    "",
)
_PASSAGE: Final = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen 世界"
)


class Unit(NamedTuple):
    """Kernels that are compiled together."""

    group: str
    run: Callable[[], object]
    """Calls every public function of the unit once, on a few words."""
    seconds: float
    """About how much processor time compiling takes, beyond what it comes after; for order and progress alone."""
    after: tuple[str, ...] = ()
    """Units that share kernels with this one, so that no two processes compile the same."""


def _texts():  # type: ignore[no-untyped-def]
    from kinprint.kernels.arrow import Texts, from_texts

    return Texts.from_offsets(*from_texts(_WORDS))


def _hashes() -> None:
    from kinprint.kernels.copy import shingle

    shingle.hashes_of(_texts())


def _shingles() -> None:
    from kinprint.kernels.copy import shingle

    shingle.shingle_text(shingle.workspace(4096), 0, 0)


def _sketches() -> None:
    from kinprint.kernels.copy import sketch

    sketch.sketch_texts(_texts())


def _seeds() -> None:
    import numpy as np
    from kinprint.kernels.copy import seeds

    index = seeds.build(_texts())
    seeds.merge([index], [np.arange(index.texts, dtype=np.int32)], index.texts)


def _disguises() -> None:
    from kinprint.kernels.arrow import Texts, from_texts
    from kinprint.kernels.copy import disguise

    disguise.without_disguises(Texts.from_offsets(*from_texts(["c o p y", *_WORDS])))


def _style() -> None:
    from kinprint.kernels.arrow import from_texts
    from kinprint.kernels.style import stylometry

    stylometry.stats(stylometry.style_vectors(*from_texts(_WORDS)))


def _vocabulary():  # type: ignore[no-untyped-def]
    import numpy as np
    from kinprint.kernels.embed import vocabulary

    flags = np.zeros(0x110000, np.uint8)
    characters = vocabulary.characters(flags, {0xA0: b" "}, {(0x65, 0x301): "é".encode()})
    return vocabulary.vocabulary([b"<unk>", b"e"], np.zeros(2), 0, 10.0, [b"<unk>"], characters)


def _sentences() -> None:
    from kinprint.kernels.embed import sentences

    sentences.sentences(_texts())


def _tokens() -> None:
    import numpy as np
    from kinprint.kernels.arrow import Texts, from_texts
    from kinprint.kernels.embed import tokens

    made = tokens.encode(Texts.from_offsets(*from_texts(["<unk> e"])), _vocabulary(), tokens.Caches())
    tokens.splice(made, np.zeros(1, np.int32), np.array([0, 1]))


def _table():  # type: ignore[no-untyped-def]
    import numpy as np
    from kinprint.kernels.embed import pool

    return pool.Table.of(np.ones((2, 8), np.float32))


def _rows() -> None:
    import numpy as np
    from kinprint.kernels.embed import pool, tokens

    pool.row_vectors(_texts(), _vocabulary(), tokens.Caches(), _table())
    pool.vectors_of_tokens(np.zeros(1, np.int32), np.array([0, 1]), np.array([0, 1]), _table())


def _overlap() -> None:
    import numpy as np
    from kinprint.kernels.copy import overlap, shingle

    texts = _texts()
    hashes, indptr, _ = shingle.sets_of(texts)
    overlap.query_overlap_of(hashes[: indptr[1]], texts, np.arange(len(texts)))
    overlap.intersections(hashes, indptr, np.zeros(1, np.int64), np.ones(1, np.int64))


def _meeting() -> None:
    from kinprint.kernels.copy import certain, seeds, shingle

    seeds.query(seeds.build(_texts()), shingle.sets_of(_texts())[0])
    certain.certain_seeds(_texts())


def _scores() -> None:
    import numpy as np
    from kinprint.kernels.style import stylometry

    vectors = np.ones((2, stylometry.DIM), np.int8)
    scale = stylometry.scaler(stylometry.stats(vectors))
    stylometry.scores(vectors[0], vectors, *scale)
    stylometry.scores_at(vectors[0], vectors, np.zeros(1, np.int64), *scale)
    stylometry.contributions(vectors[0], vectors[1], *scale)


def _nearest() -> None:
    import numpy as np
    from kinprint.kernels.style import nearest, stylometry

    vectors = np.ones((2, stylometry.DIM), np.int8)
    scale = stylometry.scaler(stylometry.stats(vectors))
    lengths = nearest.lengths(vectors, *scale)
    nearest.nearest(nearest.weights(vectors[0], *scale), vectors, lengths, *scale, 1)


def _alignment() -> None:
    import numpy as np
    from kinprint.kernels.embed import align, pool

    vectors = pool.sentence_vectors(np.zeros(1, np.int32), np.array([0, 1]), _table())
    pool.dots(_table(), np.zeros(1, np.int64), vectors)
    asked, sentences = align.query(vectors), pool.RowVectors(*_table())
    align.scores(asked, sentences, np.zeros(1, np.int64), np.ones(1, np.int64))
    cosines = align.cosines(asked, sentences, 0, 1)
    align.scores_of(cosines, np.array([0, 1]))
    align.pairs_of(cosines)


def _traits() -> None:
    from kinprint.kernels.arrow import from_texts
    from kinprint.kernels.style import traits

    traits.traits(*from_texts(_WORDS))


def _spans() -> None:
    import numpy as np
    from kinprint.kernels.copy import spans

    data = np.frombuffer(f"{_PASSAGE} {_PASSAGE}".encode(), np.uint8)
    found = spans.shared_spans(data, data[::-1][::-1].copy())
    spans.shared_spans(data, np.concatenate((data, data)))
    spans.differences(data, data, found)
    spans.codepoint_offsets(data, found[:, 0])


def _pairs() -> None:
    from kinprint.kernels.arrow import Texts
    from kinprint.kernels.copy import dedup

    texts = Texts.joined([_texts()] * 2)
    dedup.pairs(texts)
    dedup.clusters(texts)


def _stars() -> None:
    from kinprint.kernels.arrow import Texts, from_texts
    from kinprint.kernels.copy import dedup, stars

    # More than fit a block, all alike: each with a word of its own.
    many = [f"{_PASSAGE} and word{i}" for i in range(stars.BLOCK + 2)]
    dedup.clusters(Texts.from_offsets(*from_texts(many)), link="star")


def _join() -> None:
    from kinprint.kernels.copy import dedup

    dedup.pairs(_texts(), exact=True)


def _passages() -> None:
    import numpy as np
    from kinprint.kernels.arrow import Texts, from_texts
    from kinprint.kernels.copy import marks, partitions, passages, spans

    texts = Texts.from_offsets(*from_texts([_PASSAGE + end for end in (".", "!")]))
    codes = np.zeros(2, np.int32)
    for step in partitions.find(partitions.Sides(texts, 1, 2, codes, codes)):
        if isinstance(step, partitions.Found):
            found = step.passages
            passages.bits(step.counts)
            marks.marks_of(texts, found, texts, np.zeros(2, np.int64))
            spans.codepoint_places(texts, found.a, found.start_a, found.bytes)


def _residual() -> None:
    import numpy as np
    from kinprint.kernels.style import residual

    texts = _texts()
    rows = np.arange(len(texts))
    grams = residual.prompt_grams(texts, rows, np.array([0, len(rows)]), len(rows), joined=1)
    residual.accumulate(grams, rows < 3)


def _features() -> None:
    import numpy as np
    from kinprint.kernels.style import features

    made = features.features_of(_texts())
    features.document_frequencies(made)
    ones = np.ones(features.DIM, np.float32), np.ones(len(features.FAMILIES), np.float32)
    features.weigh(made, *ones).take(np.zeros(1, np.int64))


def _classifiers() -> None:
    import numpy as np
    from kinprint.kernels.style import authorship

    rows = authorship.Features(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32))
    weights = authorship.separate(rows, np.zeros(1, np.int32), 1, 1.0, np.zeros((1, 1), np.int64))
    authorship.margins(rows, weights, 1)
    authorship.shares(rows, weights, 1)


def _frames() -> None:
    import numpy as np
    from kinprint.kernels.copy import sketch

    signatures = np.zeros((2, sketch.SLOTS), np.uint32)
    sketch.similarity(signatures[0], signatures)
    packed = sketch.pack(signatures, 8)
    sketch.packed_similarity(packed._replace(data=packed.data[:1]), packed)


UNITS: Final = {
    "hashes": Unit("load", _hashes, 6),
    "shingles": Unit("load", _shingles, 4),
    "style": Unit("load", _style, 8),
    "sketches": Unit("load", _sketches, 4, ("hashes", "shingles")),
    "seeds": Unit("load", _seeds, 3, ("hashes", "shingles")),
    "disguises": Unit("load", _disguises, 6),
    "sentences": Unit("load", _sentences, 3),
    "tokens": Unit("load", _tokens, 14),
    "rows": Unit("load", _rows, 7, ("sentences", "tokens")),
    "overlap": Unit("search", _overlap, 6, ("hashes", "shingles")),
    "meeting": Unit("search", _meeting, 1, ("seeds", "overlap")),
    "scores": Unit("search", _scores, 2, ("style",)),
    "nearest": Unit("search", _nearest, 2, ("style",)),
    "traits": Unit("search", _traits, 2, ("style",)),
    "alignment": Unit("search", _alignment, 2, ("rows",)),
    "spans": Unit("search", _spans, 25, ("hashes", "shingles")),
    "pairs": Unit("jobs", _pairs, 8, ("overlap",)),
    "stars": Unit("jobs", _stars, 4, ("pairs",)),
    "join": Unit("jobs", _join, 5, ("overlap", "pairs")),
    "passages": Unit("jobs", _passages, 40, ("seeds", "pairs", "spans")),
    "residual": Unit("jobs", _residual, 6, ("style",)),
    "features": Unit("jobs", _features, 6, ("style",)),
    "classifiers": Unit("jobs", _classifiers, 3, ("features",)),
    "frames": Unit("frames", _frames, 2),
}
"""Every unit by its name."""
