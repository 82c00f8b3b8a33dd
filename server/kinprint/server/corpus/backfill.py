"""Backfill: fast vectors of rows that were stored before the corpus had its table, or with another one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from kinprint.server.channels import FAST
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray

#: Rows made between two looks at whether to go on.
BLOCK = 8_192


def missing(segment: Segment) -> NDArray[np.int64]:
    """Rows of a segment that have an answer to match and no fast vector."""
    return np.flatnonzero(~segment.blank & ~segment.filled(FAST.name))


def fast_vectors(index: CorpusIndex, stop: Callable[[], bool]) -> int:
    """Make the fast vectors that rows of an index lack; how many were made.

    Each block is made outside of any turn and then added to its segment.  A segment that was merged or published
    meanwhile is left, and what replaced it is looked at in turn.
    """
    made = 0
    while not stop():
        table = index.meaning.table
        if table is None:
            return made
        segment = next((p.segment for p in index.view.parts if len(missing(p.segment))), None)
        if segment is None:
            return made
        responses = segment.array("response")
        rows = missing(segment)
        for start in range(0, len(rows), BLOCK):
            if stop():
                return made
            some = rows[start : start + BLOCK]
            added = index.add_chunk(segment, FAST.build(some, responses, table))
            if added is None:
                break
            made += len(some)
            segment = added
    return made
