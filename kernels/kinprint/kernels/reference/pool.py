"""Vectors of texts from a table of token vectors, in plain Python: see :mod:`kinprint.kernels.embed.pool`.

In 64-bit floating point, so that the kernels' results are near these, not equal to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt


def unit(vector: Sequence[float]) -> list[float]:
    """The vector at length 1; zeros for one without a length."""
    length = sqrt(sum(x * x for x in vector))
    return [x / length if length > 0 else 0.0 for x in vector]


def sentence_vector(ids: Sequence[int], table: Sequence[Sequence[float]]) -> list[float]:
    """Unit vector of a sentence: the sum of its tokens'."""
    return unit([sum(table[i][k] for i in ids if i < len(table)) for k in range(len(table[0]))])


def text_vector(sentences: Sequence[Sequence[int]], table: Sequence[Sequence[float]]) -> list[float]:
    """Unit vector of a text: the sum of its sentences'."""
    vectors = [sentence_vector(ids, table) for ids in sentences]
    return unit([sum(vector[k] for vector in vectors) for k in range(len(table[0]))])
