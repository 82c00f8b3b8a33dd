"""Targets: the segments that a search goes through, with the rows of each that may be returned."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.server.channels.meaning import Tier
from kinprint.server.channels.protocol import Query, Target
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View


def targets(query: Query, views: Sequence[View], rows: Filter) -> list[Target]:
    """Every part of the views, in their order; the query itself is never returned."""
    made = []
    for number, view in enumerate(views):
        tiers: dict[Tier, int] = {"accurate": view.filled("semantic"), "fast": view.filled("fast")}
        own = None
        if query.itself is not None and query.itself[0] == view.corpus:
            own = view.locate([query.itself[1]])[0]
        for k, part in enumerate(view.parts):
            everyone = rows.empty and part.living == len(part.segment)
            made.append(
                Target(
                    corpus=view.corpus,
                    view=number,
                    part=k,
                    segment=part.segment,
                    mask=None if everyone else rows.mask(part),
                    own=own.row if own is not None and own.part == k else None,
                    meaning=view.meaning,
                    tiers=tiers,
                    alive=None if part.living == len(part.segment) else part.alive,
                )
            )
    return made
