"""What the cosines of unrelated texts look like under a model, so that scores can be read.

Sentence embeddings crowd into a narrow cone: raw cosines of unrelated texts under multilingual-e5-small sit
between .7 and .8. Subtracting the mean of many unrelated vectors removes the common component (Mu and
Viswanath, All-but-the-Top, ICLR 2018, without their second step), after which unrelated texts are near 0.
What remains of the language itself makes texts of one language look alike; projecting out the span of the
languages' means removes it without being told the language (Yang, Yang, Cer and Darve, A Simple and Effective
Method to Eliminate the Self Language Bias in Multilingual Representations, EMNLP 2021). The means come from
short passages on everyday topics in 16 languages, written for this purpose.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
from numpy.typing import NDArray

_SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True, slots=True)
class BackgroundPassage:
    """One background text. Passages of one topic, also in several languages, say the same thing."""

    language: str
    topic: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The vectors of the background passages, summed up.

    Attributes:
        mean: float32 [dim], the mean of the languages' means, so that each language counts the same.
        language_means: float32 [dim] by ISO 639-1 code.
        unrelated_mean: mean of the cosines, centred on `mean`, of passages on different topics, within and
            across languages.
        unrelated_sd: their standard deviation.
        neutral_unrelated_mean: the same mean with the language removed, see `remove_language`.
        neutral_unrelated_sd: their standard deviation.
        language_basis: float32 [k, dim], orthonormal, the span of the languages' means around `mean`.
        texts: how many passages or sentences there are.
    """

    mean: NDArray[np.float32]
    language_means: dict[str, NDArray[np.float32]]
    unrelated_mean: float
    unrelated_sd: float
    neutral_unrelated_mean: float
    neutral_unrelated_sd: float
    language_basis: NDArray[np.float32]
    texts: int

    def centre(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """`centre` on `mean`: unit vectors float32 [..., dim]."""
        return centre(vectors, self.mean)

    def remove_language(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Subtract `mean` and what lies in `language_basis`: unit vectors float32 [..., dim].

        Cosines of the results compare texts across languages on the footing of texts in one language.
        """
        return remove_directions(vectors, self.mean, self.language_basis)

    def standardise(self, cosines: NDArray[np.float32], *, neutral: bool = False) -> NDArray[np.float32]:
        """Cosines in standard deviations above those of unrelated texts, same shape.

        Args:
            cosines: of centred vectors, or of vectors without language if `neutral`.
            neutral: which.
        """
        mean = self.neutral_unrelated_mean if neutral else self.unrelated_mean
        spread = self.neutral_unrelated_sd if neutral else self.unrelated_sd
        return np.asarray((cosines - mean) / spread, dtype=np.float32)


def centre(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract `mean` and normalise again.

    Args:
        vectors: float32 [..., dim].
        mean: float32 [dim], or [..., dim] for a mean of each vector's own.

    Returns:
        Unit vectors, float32 [..., dim]; a vector equal to the mean becomes zero, similar to nothing.
    """
    return _unit_rows(vectors - mean)


def remove_directions(
    vectors: NDArray[np.floating], mean: NDArray[np.float32], basis: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Subtract `mean` [dim] and what lies in the span of `basis` [k, dim], orthonormal.

    Returns:
        Unit vectors, float32 [..., dim].
    """
    moved = vectors - mean
    return _unit_rows(np.asarray(moved - (moved @ basis.T) @ basis))


def _unit_rows(moved: NDArray[np.floating]) -> NDArray[np.float32]:
    norms = np.linalg.norm(moved, axis=-1, keepdims=True)
    unit = np.divide(moved, norms, out=np.zeros_like(moved), where=norms > 0)
    return np.asarray(unit, dtype=np.float32)


def background_passages() -> list[BackgroundPassage]:
    """The passages that ship with the package."""
    file = resources.files("kinprint.server.embed").joinpath("background_texts.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    return [BackgroundPassage(**passage) for passage in document["passages"]]


def measure_background(passages: list[BackgroundPassage], vectors: NDArray[np.float32]) -> Background:
    """`Background` of passages and their unit vectors, float32 [len(passages), dim].

    Raises:
        ValueError: fewer than two topics, or another number of vectors than of passages.
    """
    if len(passages) != len(vectors):
        raise ValueError(f"{len(passages)} passages but {len(vectors)} vectors")
    languages = np.array([passage.language for passage in passages])
    topics = np.array([passage.topic for passage in passages])
    if len(set(topics)) < 2:
        raise ValueError("unrelated passages need at least two topics")
    language_means = {
        str(language): vectors[languages == language].mean(axis=0, dtype=np.float32)
        for language in sorted(set(languages))
    }
    mean = np.stack(list(language_means.values())).mean(axis=0).astype(np.float32)
    spread = np.stack(list(language_means.values())) - mean
    _, strengths, directions = np.linalg.svd(spread, full_matrices=False)
    # Means of n languages span n - 1 directions; a small model must keep most of its own for content.
    rank = min(len(language_means) - 1, vectors.shape[1] // 8, int((strengths > _SMALLEST_SPREAD).sum()))
    background = Background(
        mean=mean,
        language_means=language_means,
        unrelated_mean=0.0,
        unrelated_sd=1.0,
        neutral_unrelated_mean=0.0,
        neutral_unrelated_sd=1.0,
        language_basis=directions[:rank].astype(np.float32),
        texts=len(passages),
    )
    unrelated = np.triu(topics[:, np.newaxis] != topics[np.newaxis, :])
    centred = _cosines(background.centre(vectors))[unrelated]
    neutral = _cosines(background.remove_language(vectors))[unrelated]
    return replace(
        background,
        unrelated_mean=float(centred.mean()),
        unrelated_sd=float(centred.std()),
        neutral_unrelated_mean=float(neutral.mean()),
        neutral_unrelated_sd=float(neutral.std()),
    )


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(vectors @ vectors.T, dtype=np.float64)
