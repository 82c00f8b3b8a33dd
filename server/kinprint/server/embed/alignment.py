"""Is one text a translation of the other, or do they only tell of the same thing?

One vector per text cannot say: two reports of one event in one language lie closer together than a report
and its translation. Sentence by sentence the two cases part: a translation has a counterpart for nearly every
sentence, another report only for some. Sentences pair up when each is the other's nearest (as in bitext
mining, Artetxe and Schwenk, ACL 2019), after what marks their language has been removed
(`EmbeddingSpace.neutral`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from kinprint.kernels.embed import align as kernels
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Sentence `left` of the first text and `right` of the second, each the other's nearest."""

    left: int
    right: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two texts' paired sentences.

    Attributes:
        score: twice the sum of the pairs' cosines over the number of sentences in both texts, at most 1; the
            second text counts at most twice the sentences of the first, so that a short query is not drowned
            by a long answer that says it. A sentence without a partner counts 0, so the score falls when
            sentences were merged, split or left out.
        pairs: in the order of the first text.
    """

    score: float
    pairs: tuple[SentencePair, ...]


def align(left: NDArray[np.float32], right: NDArray[np.float32]) -> Alignment:
    """Pair the sentences of two texts that are each other's nearest.

    Symmetric between texts of which neither has more than twice the sentences of the other; of cosines
    that are equal but for rounding the earliest counts whose sentence has no partner yet.

    Args:
        left: the query: unit vectors float32 [n, dim], from `EmbeddingSpace.neutral`.
        right: the same of the other text, [m, dim].

    Returns:
        The alignment; without sentences on either side the score is 0.
    """
    if len(left) == 0 or len(right) == 0:
        return Alignment(0.0, ())
    found = kernels.pairs_of(right @ left.T)
    pairs = tuple(map(SentencePair, found.left.tolist(), found.right.tolist(), found.cosines.tolist()))
    counted = len(left) + min(len(right), 2 * len(left))
    return Alignment(2.0 * sum(pair.cosine for pair in pairs) / counted, pairs)


def alignments(
    query: NDArray[np.float32], sentences: NDArray[np.float32], starts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of `align` of a query's sentences [q, d] with each of n texts, float32 [n].

    `sentences` float32 [s, d], unit vectors text after text; text i has those at `starts[i]:starts[i + 1]`.
    """
    return kernels.scores_of(sentences @ query.T, starts)
