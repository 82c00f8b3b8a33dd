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
from collections.abc import Sequence
from dataclasses import dataclass
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


def background_passages() -> list[BackgroundPassage]:
    """The passages that ship with the package."""
    file = resources.files("kinprint.server.embed").joinpath("background_texts.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    return [BackgroundPassage(**passage) for passage in document["passages"]]


def language_directions(
    languages: Sequence[str], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What vectors of many languages have in common, and what tells their languages apart.

    Args:
        languages: of each vector.
        vectors: float32 [n, dim], unit length.

    Returns:
        The mean of the languages' means, float32 [dim], so that each language counts the same; and the span of
        those means around it, float32 [k, dim], orthonormal.

    Raises:
        ValueError: another number of languages than of vectors, or none.
    """
    if len(languages) != len(vectors) or len(vectors) == 0:
        raise ValueError(f"{len(languages)} languages but {len(vectors)} vectors")
    names = np.array(languages)
    means = np.stack([vectors[names == name].mean(axis=0, dtype=np.float32) for name in sorted(set(languages))])
    mean = means.mean(axis=0).astype(np.float32)
    _, strengths, directions = np.linalg.svd(means - mean, full_matrices=False)
    # Means of n languages span n - 1 directions; a small model must keep most of its own for content.
    rank = min(len(means) - 1, vectors.shape[1] // 8, int((strengths > _SMALLEST_SPREAD).sum()))
    return mean, directions[:rank].astype(np.float32)


def remove_directions(
    vectors: NDArray[np.floating], mean: NDArray[np.float32], basis: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Subtract `mean` [dim] and what lies in the span of `basis` [k, dim], orthonormal.

    Returns:
        Unit vectors, float32 [..., dim]; a vector of which nothing remains becomes zero, similar to nothing.
    """
    moved = vectors - mean
    moved = moved - (moved @ basis.T) @ basis
    norms = np.linalg.norm(moved, axis=-1, keepdims=True)
    unit = np.divide(moved, norms, out=np.zeros_like(moved), where=norms > 0)
    return np.asarray(unit, dtype=np.float32)
