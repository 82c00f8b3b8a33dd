"""The best of many scores, so that equal searches give equal answers: by score, then corpus and id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from kinprint.server.channels.protocol import Target
from numpy.typing import NDArray


class Scored(NamedTuple):
    """A row with its score; `tag` is whatever tells the caller which it is."""

    target: Target
    row: int
    score: float
    tag: int


def best(found: Sequence[Scored], top: int) -> list[tuple[Scored, str]]:
    """The `top` best with their ids; ids are read of those that may be among them alone."""
    some = sorted(found, key=lambda f: -f.score)
    if len(some) > top:
        floor = some[top - 1].score
        some = [f for f in some if f.score >= floor]
    named = [(f, f.target.segment.array("id")[f.row].as_py()) for f in some]
    named.sort(key=lambda f: (-f[0].score, f[0].target.corpus, f[1]))
    return named[:top]


def top_of(scores: NDArray[np.float32], top: int, min_score: float | None) -> NDArray[np.int64]:
    """Positions of the best scores, ties of the last place included, best first.

    A least score of 0 leaves out 0 itself: nothing in common is no hit.
    """
    if min_score is None:
        positions = np.arange(len(scores))
    else:
        positions = np.flatnonzero(scores > min_score if min_score == 0 else scores >= min_score)
    if len(positions) > top:
        values = scores[positions]
        floor = np.partition(values, len(values) - top)[len(values) - top]
        positions = positions[values >= floor]
    return positions[np.argsort(-scores[positions], kind="stable")]
