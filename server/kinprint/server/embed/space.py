"""The space that texts are compared in: sentence vectors with background and language removed.

A text is its sentences.  One vector per text cannot tell a translation from another report of the same
event; sentence by sentence the two part (see `alignment`).  The mean of a text's sentence vectors finds
candidates, the alignment of the sentences ranks them.  Both scores are set beside those of unrelated texts,
so that they can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
from kinprint.server.embed.alignment import alignments
from kinprint.server.embed.background import (
    BackgroundPassage,
    background_passages,
    language_directions,
    remove_directions,
)
from kinprint.server.embed.default_model.build import cache_directory
from kinprint.server.embed.protocol import Embedder
from kinprint.server.embed.sentences import sentence_spans
from kinprint.server.store import files
from numpy.typing import NDArray

#: 1: without components; sentences of such a corpus are stored as float16 as the model gave them.
_FORMAT = 2
#: Dimensions kept of a stored sentence: alignments of translations keep their margins down to about 192 of 384.
COMPONENTS = 256
#: Sentences of one text at most; neighbours of longer texts are joined, so the whole text is covered.
MAX_SENTENCES = 64
#: Sentences of a query at which chance scores are measured.
QUERY_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, eq=False)
class BackgroundVectors:
    """Sentences of the background passages, as `EmbeddingSpace.encode` gives them, passage after passage.

    codes int8 [s, code_width]; starts int64 [passages + 1].
    """

    codes: NDArray[np.int8]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingSpace:
    """Where the texts of one model are compared.

    A corpus keeps the space of its first embedding beside its record, so that its vectors can be compared
    without measuring anything again, and never mix with those of another model.

    Attributes:
        digest: of the model; spaces of different models are never mixed.
        mean: float32 [dim], mean sentence vector over the background's languages.
        language_basis: float32 [k, dim], orthonormal directions that tell languages apart.
        unrelated: float64 [len(QUERY_SIZES), 2], mean and standard deviation of the alignment score of
            unrelated background texts, for queries of `QUERY_SIZES` sentences: short queries find a chance
            partner in a long text more easily.
        components: float32 [k, dim], orthonormal principal directions of the background's sentences, most variance
            first; sentences are stored by their coordinates along them.  Without them (format 1) k is dim.
        background: the background's sentences, by which scores are read where a corpus has too few rows to tell.
    """

    digest: str
    mean: NDArray[np.float32]
    language_basis: NDArray[np.float32]
    unrelated: NDArray[np.float64]
    components: NDArray[np.float32] | None = None
    background: BackgroundVectors | None = None

    @property
    def dim(self) -> int:
        """Columns of a vector."""
        return len(self.mean)

    @property
    def code_width(self) -> int:
        """Bytes of a stored sentence."""
        return self.dim if self.components is None else len(self.components)

    def project(self, neutral: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates of neutral vectors along the components: unit vectors float32 [..., code_width]."""
        if self.components is None:
            return neutral
        return _unit(neutral @ self.components.T)

    def encode(self, neutral: NDArray[np.float32]) -> NDArray[np.int8]:
        """What is stored of neutral sentence vectors [s, dim]: directions alone, int8 [s, code_width]."""
        projected = self.project(neutral)
        peak = np.abs(projected).max(axis=-1, keepdims=True)
        scaled = projected * (np.float32(127) / np.maximum(peak, np.float32(1e-9)))
        return np.asarray(np.rint(scaled), np.int8)

    def decode(self, codes: NDArray[np.int8]) -> NDArray[np.float32]:
        """Neutral vectors of stored sentences: unit vectors float32 [s, dim]."""
        unit = _unit(codes.astype(np.float32))
        return unit if self.components is None else np.asarray(unit @ self.components, np.float32)

    def neutral(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Sentence vectors [..., dim] without background and language: unit vectors float32."""
        return remove_directions(vectors, self.mean, self.language_basis)

    def pool(self, neutral: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """One unit vector per text: the mean of its sentences.

        Args:
            neutral: float32 [s, dim], sentences of n texts one after another.
            starts: int64 [n + 1]; text i has sentences `starts[i]:starts[i + 1]`, at least one.

        Returns:
            float32 [n, dim].
        """
        if len(starts) == 1:
            return np.zeros((0, self.dim), np.float32)
        pooled = np.add.reduceat(neutral.astype(np.float32), starts[:-1], axis=0)
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.ascontiguousarray(np.divide(pooled, norms, out=np.zeros_like(pooled), where=norms > 0))

    def unrelated_at(self, sentences: int) -> tuple[float, float]:
        """Mean and standard deviation of the score of unrelated texts, for a query of so many sentences.

        Interpolated over the logarithm of the number between `QUERY_SIZES`, constant beyond.
        """
        place = np.log2(max(sentences, 1))
        sizes = np.log2(QUERY_SIZES)
        mean, spread = (float(np.interp(place, sizes, self.unrelated[:, k])) for k in (0, 1))
        return mean, spread

    def save(self, path: Path) -> None:
        """Write to `path` (.npz), atomically and durably."""
        files.save_arrays(
            path,
            {
                "format": np.array(1 if self.components is None else _FORMAT, np.int64),
                "digest": np.array(self.digest),
                "mean": self.mean,
                "language_basis": self.language_basis,
                "unrelated": self.unrelated,
                **({} if self.components is None else {"components": self.components}),
                **(
                    {}
                    if self.background is None
                    else {"background_codes": self.background.codes, "background_starts": self.background.starts}
                ),
            },
        )

    @classmethod
    def load(cls, path: Path) -> EmbeddingSpace:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, or of a newer format.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if int(arrays["format"]) > _FORMAT:
                    raise ValueError(f"{path} was written by a newer Kinprint; upgrade")
                components = background = None
                if int(arrays["format"]) > 1:
                    components = arrays["components"]
                    if "background_codes" in arrays.files:
                        background = BackgroundVectors(arrays["background_codes"], arrays["background_starts"])
                return cls(
                    str(arrays["digest"]),
                    arrays["mean"],
                    arrays["language_basis"],
                    arrays["unrelated"],
                    components,
                    background,
                )
        except FileNotFoundError:
            raise
        except ValueError as error:
            raise ValueError(str(error) if str(path) in str(error) else f"{path} is damaged: {error}") from error
        except Exception as error:  # damaged archives raise nearly anything
            raise ValueError(f"{path} is damaged: {error!r}") from error


def grouped_spans(text: str, most: int = MAX_SENTENCES) -> list[tuple[int, int]]:
    """Half-open spans of the sentences of a text, in code points.

    Neighbours are joined where there are more than `most`, so the whole text is covered.  A blank text has
    none.
    """
    spans = sentence_spans(text)
    if len(spans) > most:
        firsts = [len(spans) * group // most for group in range(most + 1)]
        spans = [(spans[first][0], spans[after - 1][1]) for first, after in pairwise(firsts)]
    return spans


def sentences_of(text: str, most: int = MAX_SENTENCES) -> list[str]:
    """The texts of `grouped_spans`."""
    return [text[start:stop] for start, stop in grouped_spans(text, most)]


def sentence_starts(texts: Sequence[Sized]) -> NDArray[np.int64]:
    """Where each text's sentences begin when all are put one after another, int64 [n + 1]."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(t) for t in texts], out=starts[1:])
    return starts


def measure_space(embedder: Embedder, passages: Sequence[BackgroundPassage]) -> EmbeddingSpace:
    """The space of a model, from background passages (some seconds).

    Passages on different topics are unrelated, within and across languages.
    """
    split = [sentences_of(passage.text) for passage in passages]
    starts = sentence_starts(split)
    vectors = embedder.embed_passages([sentence for sentences in split for sentence in sentences])
    languages = [p.language for p, sentences in zip(passages, split, strict=True) for _ in sentences]
    mean, basis = language_directions(languages, vectors)
    space = EmbeddingSpace(embedder.digest, mean, basis, np.zeros((len(QUERY_SIZES), 2)))
    neutral = space.neutral(vectors)
    space = replace(space, components=principal_components(neutral), unrelated=_unrelated(passages, neutral, starts))
    return replace(space, background=BackgroundVectors(space.encode(neutral), starts))


def principal_components(neutral: NDArray[np.float32], most: int = COMPONENTS) -> NDArray[np.float32]:
    """Orthonormal directions of most variance around 0, float32 [min(most, dim), dim], by falling variance.

    In float64 with the sign of the largest coordinate made positive, so that the same vectors give the same bits.
    """
    wide = neutral.astype(np.float64)
    _, directions = np.linalg.eigh(wide.T @ wide)
    chosen = directions[:, ::-1].T[: min(most, neutral.shape[1])]
    largest = chosen[np.arange(len(chosen)), np.abs(chosen).argmax(axis=1)]
    return np.ascontiguousarray(chosen * np.sign(largest)[:, None], np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0), np.float32)


def _unrelated(
    passages: Sequence[BackgroundPassage], neutral: NDArray[np.float32], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean and deviation of the score of unrelated texts by size of query; see `EmbeddingSpace.unrelated`.

    Texts of the length of an answer are made of three passages of one language; two texts without a
    common topic are unrelated.
    """
    topics = sorted({passage.topic for passage in passages})
    languages = sorted({passage.language for passage in passages})
    where = {(p.language, p.topic): i for i, p in enumerate(passages)}
    texts: list[NDArray[np.float32]] = []
    groups: list[int] = []
    for language in languages:
        for group in range(0, len(topics), 3):
            places = [where[language, t] for t in topics[group : group + 3] if (language, t) in where]
            if places:
                texts.append(np.concatenate([neutral[starts[i] : starts[i + 1]] for i in places]))
                groups.append(group)
    everything, ends, of = np.concatenate(texts), sentence_starts(texts), np.array(groups)
    rows = []
    for size in QUERY_SIZES:
        scores = np.concatenate(
            [alignments(text[:size], everything, ends)[of != own] for text, own in zip(texts, groups, strict=True)]
        ).astype(np.float64)
        rows.append((float(scores.mean()), max(float(scores.std()), 1e-6)))
    return np.array(rows)


def load_space(embedder: Embedder, cache: Path | None = None) -> EmbeddingSpace:
    """The space of a model: measured once, then read from the cache.

    Args:
        embedder: the model; its digest names the cached file.
        cache: directory for the file; `spaces` in Kinprint's cache if None.

    Raises:
        OSError: the cache cannot be written.
    """
    directory = cache_directory() / "spaces" if cache is None else Path(cache)
    texts = resources.files("kinprint.server.embed").joinpath("background_texts.json").read_bytes()
    stamp = hashlib.sha256(bytes([_FORMAT]) + texts).hexdigest()[:16]
    path = directory / f"{embedder.digest[:32]}-{stamp}.npz"
    try:
        space = EmbeddingSpace.load(path)
        if space.digest == embedder.digest and space.dim == embedder.dim:
            return space
    except (OSError, ValueError):
        pass  # none yet, or damaged: measured again
    space = measure_space(embedder, background_passages())
    directory.mkdir(parents=True, exist_ok=True)
    space.save(path)
    return space
