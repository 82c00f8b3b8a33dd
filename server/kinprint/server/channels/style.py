"""The style channel: rows written like the query, whatever they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import nearest, stylometry
from kinprint.server.channels.protocol import Channel, Comparison, Found, Limits, Living, Match, Query, Target
from kinprint.server.channels.ranking import Scored, best, top_of
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.store import files
from kinprint.server.store.columns import binary_to_rows, encode_texts, rows_to_binary
from kinprint.server.store.segment import Merging, check_rows
from numpy.typing import NDArray

#: How far a scale may move, in lengths and in parts of them, before lengths are taken anew: within this the bounds that
#: are made of old ones let in few vectors that are not among the nearest.
FAR, APART = 0.25, 1.05


class Scale(NamedTuple):
    """What style is measured against: sums over some texts, and the mean and inverse deviation that they give."""

    stats: stylometry.Stats
    mean: NDArray[np.float32]
    inverse: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StyleChunk:
    """Style vectors of some rows: rows int64[m] ascending, vectors int8[m, 512], and sums over them."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.int8]
    stats: stylometry.Stats
    #: Lengths of the vectors on the scale of the last search, or one close to it; none before the first.
    _lengths: list[nearest.Lengths] = field(default_factory=list, compare=False, repr=False)

    #: The mask of living rows last asked for, what it says of `rows`, and the sums over those; none before the first.
    _living: list[tuple[NDArray[np.bool_], NDArray[np.bool_], stylometry.Stats]] = field(
        default_factory=list, compare=False, repr=False
    )

    def living(self, alive: NDArray[np.bool_] | None) -> stylometry.Stats:
        """Sums over the vectors of living rows, `alive` bool[rows of the segment]; None: all live.

        A mask that differs from the last one in a few rows costs the vectors of these.
        """
        if alive is None:
            return self.stats
        mask, before, known = next(iter(self._living), (None, None, self.stats))
        if mask is alive:
            return known
        here = alive[self.rows]
        before = np.ones(len(self.rows), bool) if before is None else before
        back, gone = np.flatnonzero(here & ~before), np.flatnonzero(before & ~here)
        if len(back):
            known = stylometry.merge(known, stylometry.stats(self.vectors[back]))
        if len(gone):
            known = stylometry.subtract(known, stylometry.stats(self.vectors[gone]))
        self._living[:] = [(alive, here, known)]
        return known

    def lengths(self, scale: Scale) -> nearest.Lengths:
        """Lengths of the vectors, on a scale close to this one."""
        for known in self._lengths:
            low, high, shift = nearest.drift(known, scale.mean, scale.inverse)
            if shift <= FAR and high <= APART * low:
                return known
        made = nearest.lengths(self.vectors, scale.mean, scale.inverse)
        self._lengths[:] = [made]
        return made


@dataclass(frozen=True, eq=False)
class _Asked:
    """A query in the terms of this channel."""

    text: str
    vector: NDArray[np.int8]
    scale: Scale

    @cached_property
    def traits(self) -> NDArray[np.float32]:
        """Readable habits, float32[12]."""
        found: NDArray[np.float32] = stylometry.traits(*encode_texts([self.text]))[0]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class StyleMatch(Match):
    """Adds the match's style vector, int8[512], and what it was compared with."""

    vector: NDArray[np.int8]
    asked: _Asked


@dataclass(frozen=True, slots=True)
class StyleEvidence:
    """Cosine Delta, what each family of features adds, and readable habits of both texts."""

    cosine_delta: float
    families: list[tuple[str, float]]
    traits: list[tuple[str, float, float]]
    reference_rows: int


class StyleChannel(Channel[StyleChunk, StyleMatch, StyleEvidence]):
    """Cosine Delta over style vectors, z-scored over the corpora searched."""

    name: ClassVar[str] = "style"
    number: ClassVar[int] = 3
    column: ClassVar[str] = "style"
    needs: ClassVar[tuple[str, ...]] = ("style",)
    scheme: ClassVar[str] = f"{stylometry.SCHEME}/{stylometry.VERSION}"

    @property
    def schemes(self) -> dict[str, str]:
        """See Channel."""
        return {"style": self.scheme}

    def fingerprint(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> dict[str, pl.Series]:
        """Column style."""
        return {"style": rows_to_binary(stylometry.style_vectors(data, offsets))}

    def build(
        self, rows: NDArray[np.int64], columns: pl.DataFrame, texts: Texts, space: EmbeddingSpace | None
    ) -> StyleChunk:
        """See Channel."""
        vectors = binary_to_rows(columns["style"], np.int8, stylometry.DIM)
        check_rows("style", rows, vectors)
        return StyleChunk(rows, vectors, stylometry.stats(vectors))

    def merge(self, chunks: Sequence[StyleChunk], merging: Merging) -> StyleChunk:
        """See Channel."""
        vectors = merging.gather(c.vectors for c in chunks)
        whole = len(vectors) == sum(len(c.rows) for c in chunks)
        merged = StyleChunk(
            merging.rows, vectors, _merged(c.stats for c in chunks) if whole else stylometry.stats(vectors)
        )
        for known in [known for c in chunks for known in c._lengths[:1]][:1]:
            # The scale of searches, as far as it is known here, so that the next one need not take lengths.
            merged._lengths.append(nearest.lengths(vectors, known.mean, known.inv_std))
        return merged

    def save(self, folder: Path, chunk: StyleChunk) -> None:
        """See Channel."""
        files.save_array(folder / "style-rows.npy", chunk.rows)
        files.save_array(folder / "style-vectors.npy", chunk.vectors)
        stats = chunk.stats
        files.save_array(
            folder / "style-stats.npy",
            np.stack([np.full(stylometry.DIM, stats.count), stats.total, stats.squares]),
        )

    def load(self, folder: Path) -> StyleChunk | None:
        """See Channel."""
        if not (folder / "style-rows.npy").exists():
            return None
        count, total, squares = files.load_array(folder / "style-stats.npy")
        rows, vectors = (files.map_array(folder / f"style-{name}.npy") for name in ("rows", "vectors"))
        check_rows("style", rows, vectors)
        return StyleChunk(rows, vectors, stylometry.Stats(count[0], total, squares))

    def prepare(self, parts: Sequence[Living]) -> None:
        """Takes the lengths of all vectors on the scale that the parts give."""
        scale = self.scale(parts)
        for part in parts:
            for chunk in part.segment.of(self.name):
                chunk.lengths(scale)

    def stats(self, parts: Iterable[Living]) -> stylometry.Stats:
        """Sums over the style vectors of the living rows of some parts: the same however indexes were made."""
        return _merged(chunk.living(part.alive) for part in parts for chunk in part.segment.of(self.name))

    def scale(self, parts: Iterable[Living]) -> Scale:
        """The scale that the living rows of some parts give; a plain cosine where there are none."""
        total = self.stats(parts)
        return Scale(total, *stylometry.scaler(total))

    def search(self, query: Query, targets: Sequence[Target], limits: Limits) -> Found[StyleMatch]:
        """Rows written like the query; score = Cosine Delta over z-scored style vectors."""
        vector = stylometry.style_vectors(*query.buffers)[0]
        scale = self.scale(targets)
        asked = _Asked(query.text, vector, scale)
        found: list[Scored] = []
        vectors: list[NDArray[np.int8]] = []
        weighed = nearest.weights(vector, scale.mean, scale.inverse)
        for target in targets:
            for chunk in target.segment.of(self.name):
                limits.check()
                near = nearest.nearest(
                    weighed,
                    chunk.vectors,
                    chunk.lengths(scale),
                    scale.mean,
                    scale.inverse,
                    limits.top,
                    target.passing(chunk.rows),
                    limits.min_score,
                )
                scores = stylometry.scores_at(vector, chunk.vectors, near, scale.mean, scale.inverse)
                for k in top_of(scores, limits.top, limits.min_score):
                    at = near[k]
                    found.append(Scored(target, int(chunk.rows[at]), float(scores[k]), len(vectors)))
                    vectors.append(chunk.vectors[at])
        return Found(
            [
                StyleMatch(row.target, row.row, name, row.score, vectors[row.tag], asked)
                for row, name in best(found, limits.top)
            ]
        )

    def explain(self, query: Query, match: StyleMatch, spans: int) -> StyleEvidence:
        """What makes two texts alike in style, in families of features and in readable habits."""
        return _evidence(match.asked, match.response, match.vector, match.score)

    def compare(self, a: Query, b: Query, comparison: Comparison) -> StyleEvidence:
        """See Channel."""
        vectors = stylometry.style_vectors(*encode_texts([a.text, b.text]))
        scale = self.scale(comparison.parts)
        score = float(stylometry.scores(vectors[0], vectors[1:2], scale.mean, scale.inverse)[0])
        return _evidence(_Asked(a.text, vectors[0], scale), b.text, vectors[1], score)


def _merged(several: Iterable[stylometry.Stats]) -> stylometry.Stats:
    zeros = np.zeros(stylometry.DIM, np.int64)
    total = stylometry.Stats(np.int64(0), zeros, zeros)
    for some in several:
        total = stylometry.merge(total, some)
    return total


def _evidence(asked: _Asked, text: str, vector: NDArray[np.int8], score: float) -> StyleEvidence:
    shares = stylometry.contributions(asked.vector, vector, asked.scale.mean, asked.scale.inverse)
    traits = stylometry.traits(*encode_texts([text]))[0]
    return StyleEvidence(
        cosine_delta=score,
        families=[(name, float(s)) for name, s in zip(stylometry.FAMILIES, shares, strict=True)],
        traits=[(name, float(a), float(b)) for name, a, b in zip(stylometry.TRAITS, asked.traits, traits, strict=True)],
        reference_rows=int(asked.scale.stats.count),
    )
