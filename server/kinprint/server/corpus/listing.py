"""Rows of a corpus by id, and page by page."""

from __future__ import annotations

import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import Place, View
from kinprint.server.failures import InvalidField, TranscriptNotFound


def find(view: View, identifier: str, field: str) -> Place:
    """Where a transcript is.  Raises TranscriptNotFound, InvalidField without an id."""
    if not identifier:
        raise InvalidField(field, f"{field} names no transcript", "FIELD_MISSING")
    place = view.locate([identifier])[0]
    if place is None:
        raise TranscriptNotFound(f"there is no transcript {identifier!r} in corpus {view.corpus!r}", field=field)
    return place


def page(view: View, rows: Filter, after_seq: int, size: int) -> tuple[list[Place], bool]:
    """The next rows in the order of their last write, and whether more follow."""
    found: list[tuple[int, Place]] = []
    for number, part in enumerate(view.parts):
        start = int(np.searchsorted(part.segment.seqs, after_seq, "right"))
        if start == len(part.segment):
            continue
        passing = np.flatnonzero(rows.mask(part)[start:])[: size + 1] + start
        found += [(int(part.segment.seqs[row]), Place(number, int(row))) for row in passing]
    found.sort(key=lambda item: item[0])
    return [place for _seq, place in found[:size]], len(found) > size
