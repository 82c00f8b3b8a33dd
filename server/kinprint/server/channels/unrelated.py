"""Scores of pairs of texts in bulk, which calibrations are measured with, and that of the background texts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from kinprint.server.channels.calibration import CLASSES, SIZES, Calibration, Pairs
from kinprint.server.embed.alignment import alignments
from kinprint.server.embed.background import background_passages
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.embed.static import StaticTable
from kinprint.server.store.columns import encode_texts
from numpy.typing import NDArray

#: Passages of one language that are put together, so that a text has the length of an answer.
_TOGETHER = 3


def windows(count: int) -> list[slice]:
    """Of a text with so many sentences, the first few that make a query of each class of sizes."""
    return [slice(0, size) for size in (*SIZES, 2 * SIZES[-1])[:CLASSES] if size <= count]


def of_space(space: EmbeddingSpace) -> Calibration:
    """Scores of the background texts under a model; without strata for spaces that do not keep their vectors."""
    background = space.background
    if background is None:
        moments = [space.unrelated_at(size) for size in (*SIZES, 2 * SIZES[-1])]
        return Calibration(space.digest, "background", 0, {}, moments=moments)
    return _once(space.digest, lambda: (space.project(space.decode(background.codes)), background.starts))


def of_table(table: StaticTable) -> Calibration:
    """The same under a table of tokens."""
    return _once(table.digest, lambda: table.sentences(*encode_texts(p.text for p in background_passages())))


_made: dict[str, Calibration] = {}
_turn = threading.Lock()


def _once(digest: str, vectors: Callable[[], tuple[NDArray[np.float32], NDArray[np.int64]]]) -> Calibration:
    with _turn:
        if digest not in _made:
            _made[digest] = _measured(digest, *vectors())
        return _made[digest]


def _measured(digest: str, vectors: NDArray[np.float32], starts: NDArray[np.int64]) -> Calibration:
    """Passages, alone and put together, against texts of other topics in all languages."""
    passages = background_passages()
    topics = sorted({p.topic for p in passages})
    group = {topic: k // _TOGETHER for k, topic in enumerate(topics)}
    by_text: dict[tuple[str, int], list[int]] = {}
    for i, passage in enumerate(passages):
        by_text.setdefault((passage.language, group[passage.topic]), []).append(i)
    pieces = [np.concatenate([vectors[starts[i] : starts[i + 1]] for i in places]) for places in by_text.values()]
    ends = np.cumsum([0, *(len(piece) for piece in pieces)])
    everything = np.concatenate(pieces)
    languages = np.array([language for language, _ in by_text])
    groups = np.array([k for _, k in by_text])
    pairs = Pairs()
    for (language, own), query in zip(by_text, pieces, strict=True):
        other = groups != own
        for window in windows(len(query)):
            scores = alignments(query[window], everything, ends)
            pairs.add(window.stop, language, languages[other], scores[other])
    return Calibration(digest, "background", 0, pairs.strata())
