"""Backfill: what is made behind publishing: fast vectors of rows that lack them, and indexes over vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.channels import FAST, nearest
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray

#: What has inverted files over its vectors.
INDEXED = ("fast", "semantic", "second")
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


def index_vectors(index: CorpusIndex, stop: Callable[[], bool]) -> int:
    """Build the inverted files that published segments lack, and write them beside what they index; how many.

    A segment that is merged or unlinked meanwhile is passed over.
    """
    made = 0
    passed: list[Segment] = []
    while not stop():
        segment, name, chunk = _without_index(index, passed)
        if segment is None:
            break
        assert segment.folder is not None
        inverted = nearest.build(chunk.codes)
        try:
            nearest.save(Path(segment.folder), name, inverted)
        except FileNotFoundError:  # its generation has gone
            passed.append(segment)
            continue
        if index.add_index(segment, name, dataclasses.replace(chunk, inverted=inverted)):
            made += 1
        else:
            passed.append(segment)
    return made


def _without_index(index: CorpusIndex, passed: Sequence[Segment]) -> tuple[Segment | None, str, Any]:
    """A published segment, the kind of a chunk of it that should have an inverted file and has none, and the chunk."""
    for part in index.view.parts:
        segment = part.segment
        if segment.folder is None or any(segment is other for other in passed):
            continue
        for name in INDEXED:
            chunks = segment.of(name)
            if len(chunks) == 1 and chunks[0].inverted is None and len(chunks[0].codes) >= nearest.INDEX_FROM:
                return segment, name, chunks[0]
    return None, "", None
