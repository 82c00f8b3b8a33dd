"""Spans: the stretches that two texts share, as evidence shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from kinprint.kernels.copy import spans
from kinprint.server.channels.seeing import Sight, undone
from numpy.typing import NDArray

#: Code points of a shared span that are quoted; its offsets are always whole.
SPAN_TEXT = 500


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of folded tokens that stands in both texts; half-open, in code points, the text as the query has it."""

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    text: str
    #: Bits of `kinprint.kernels.copy.differences.DIFFERENCES`; 0 where both texts have it byte for byte.
    differences: int = 0
    #: Rarity by the stored texts that were searched; None where nothing tells.
    bits: float | None = None


def shared_spans(query: Sight, match: Sight, most: int) -> tuple[list[Span], int, tuple[str, ...]]:
    """The `most` longest shared spans, how many more there are, and which disguises were undone for them."""
    a, b = query.data, match.data
    found = spans.shared_spans(a, b)
    shown = found[:most]
    differences = spans.differences(a, b, shown).tolist()
    query_points = _code_points(query, shown[:, :2]).tolist()
    match_points = _code_points(match, shown[:, 2:]).tolist()
    listed = [
        Span(begin, end, match_begin, match_end, query.original[begin : min(end, begin + SPAN_TEXT)], differs)
        for (begin, end), (match_begin, match_end), differs in zip(query_points, match_points, differences, strict=True)
    ]
    return listed, len(found) - len(listed), undone(query, match, found)


def _code_points(sight: Sight, stretches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Begins and ends int64[k, 2] in code points of a text, of stretches of what is seen of it in bytes."""
    places = sight.places(stretches)
    if len(sight.original) == sight.encoded.size:
        return places
    return spans.codepoint_offsets(sight.encoded, np.ascontiguousarray(places).reshape(-1)).reshape(places.shape)
