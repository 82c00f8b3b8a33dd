"""Run: one search, from the views and the query to its hits with what a person can check.

::

    targets                     parts of the views with the rows that may be returned
    Channel.search              the best rows of each channel, with their scores
    Hit                         what is shown of a row
    Channel.explain             evidence, of as many hits as are asked for

Nothing here waits or knows how the answer travels: a caller who has the query's sentence vectors, where a channel needs
them, runs it in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from kinprint.server.channels import CHANNELS, FAST
from kinprint.server.channels.meaning import Tier
from kinprint.server.channels.protocol import Background, Cancelled, Found, Limits, Match
from kinprint.server.corpus.filter import EVERYTHING, Filter
from kinprint.server.corpus.view import Place, View
from kinprint.server.failures import ChannelNotFilled
from kinprint.server.search.query import Query, QueryInfo
from kinprint.server.search.targets import targets

#: Code points of a snippet.
SNIPPET = 160


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to search for, where, and how much to give; see SearchRequest in proto/."""

    query: Query
    info: QueryInfo
    views: Sequence[View]
    channels: Sequence[str] = ("copy",)
    rows: Filter = EVERYTHING
    top: int = 10
    min_score: float | None = None
    #: Most spans listed a hit.
    max_spans: int = 20
    #: Hits a channel, best first, that get evidence.
    max_evidence: int = 10


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of some corpora a channel covers."""

    channel: str
    filled: int
    fillable: int
    #: Tier of the semantic channel.
    tier: Tier | None = None

    @property
    def share(self) -> float:
        """Of the rows that can have the channel; 1 where there are none."""
        return self.filled / self.fillable if self.fillable else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A row that resembles the query, as it is shown."""

    channel: str
    #: Place within its channel, from 1.
    rank: int
    view: View
    place: Place
    id: str
    score: float
    model: str | None
    language: str | None
    account_id: str | None
    prompt_key: str | None
    created_at: datetime | None
    #: Beginning of the answer, white space collapsed.
    snippet: str
    #: What the channel's `explain` gives; None beyond `max_evidence`.
    evidence: Any


@dataclass(frozen=True, slots=True, eq=False)
class SearchOutcome:
    """Hits by channel, in the order asked for, and rank."""

    info: QueryInfo
    coverage: list[Coverage]
    hits: list[Hit]


def coverage(views: Sequence[View], channel: str, tier: Tier | None = None) -> Coverage:
    """How much of some corpora a channel, or the fast tier of the semantic one, covers."""
    stored = FAST.name if tier == "fast" else channel
    return Coverage(channel, sum(v.filled(stored) for v in views), sum(v.fillable for v in views), tier)


def coverages(views: Sequence[View], channel: str, tier: Tier | None = None) -> list[Coverage]:
    """Coverage of a channel, tier by tier where it has several; of one `tier` alone where that is given."""
    if channel != "semantic":
        return [coverage(views, channel)]
    tiers: tuple[Tier, ...] = ("accurate", "fast") if tier is None else (tier,)
    return [coverage(views, channel, t) for t in tiers]


def covered(channels: Sequence[str], views: Sequence[View], tier: Tier | None = None) -> list[Coverage]:
    """Coverage of each channel.  Raises ChannelNotFilled when there is something to find and none of it has one."""
    found = []
    for channel in channels:
        covers = coverages(views, channel, tier)
        if not any(cover.filled for cover in covers) and covers[0].fillable:
            names = ", ".join(v.corpus for v in views)
            remedy = _remedy(channel, tier, views[0].corpus)
            raise ChannelNotFilled(
                f"no transcript of {names} has the {_described(channel, tier)}; {remedy}",
                field="channels",
            )
        found += covers
    return found


def _described(channel: str, tier: Tier | None) -> str:
    return f"{tier} tier of the {channel} channel" if channel == "semantic" and tier else f"{channel} channel"


def _remedy(channel: str, tier: Tier | None, corpus: str) -> str:
    if channel != "semantic":
        return f"fill it with: kinprint load FILE... --corpus {corpus} --channels {channel}"
    if tier == "fast":
        return f"it is made when the embedding model and its table are built: kinprint fill --corpus {corpus} --status"
    return f"fill it with: kinprint fill --corpus {corpus}"


def run_search(request: SearchRequest, cancelled: Callable[[], bool] = lambda: False) -> SearchOutcome:
    """Search, channel by channel.

    `cancelled` is asked between pieces of work of some milliseconds.  Raises ChannelNotFilled when there is something
    to find in the corpora and none of it has a channel that was asked for; Cancelled.
    """
    covers = covered(request.channels, request.views, request.query.tier)
    limits = Limits(request.top, request.min_score, cancelled)
    info = request.info
    hits: list[Hit] = []
    for channel in request.channels:
        found = find(channel, request.query, request.views, request.rows, limits)
        info = replace(info, **dict[str, Any](found.counts))
        for rank, match in enumerate(found.matches, 1):
            limits.check()
            evidence = None
            if rank <= request.max_evidence:
                evidence = CHANNELS[channel].explain(request.query, match, request.max_spans)
                background = background_of(request.views, request.query, match)
                evidence = CHANNELS[channel].weighed(evidence, request.query, background)
            hits.append(_hit(channel, rank, match, request.views, evidence))
    return SearchOutcome(info, covers, hits)


def find(
    channel: str,
    query: Query,
    views: Sequence[View],
    rows: Filter = EVERYTHING,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> Found[Any]:
    """The best rows of one channel."""
    return CHANNELS[channel].search(query, targets(query, views, rows), limits)


def background_of(views: Sequence[View], *texts: Query | Match) -> Background:
    """What evidence on two texts is weighed by: the stored texts of the views."""
    first = np.cumsum([0, *(len(view.parts) for view in views)]).tolist()
    own: list[tuple[int, int]] = []
    for text in texts:
        if isinstance(text, Match):
            own.append((first[text.target.view] + text.target.part, text.row))
            continue
        for number, view in enumerate(views):
            if text.itself is not None and text.itself[0] == view.corpus:
                place = view.locate([text.itself[1]])[0]
                own += [(first[number] + place.part, place.row)] if place is not None else []
    parts = [part for view in views for part in view.parts]
    models = (parts[part].segment.array("model")[row].as_py() for part, row in own)
    return Background(parts, own, frozenset(model for model in models if model is not None))


def _hit(channel: str, rank: int, match: Match, views: Sequence[View], evidence: Any) -> Hit:
    segment = match.target.segment

    def value(column: str) -> Any:
        return segment.array(column)[match.row].as_py()

    return Hit(
        channel=channel,
        rank=rank,
        view=views[match.target.view],
        place=Place(match.target.part, match.row),
        id=match.id,
        score=match.score,
        model=value("model"),
        language=value("language"),
        account_id=value("account_id"),
        prompt_key=value("prompt_key"),
        created_at=value("created_at"),
        snippet=snippet(match.response),
        evidence=evidence,
    )


def snippet(text: str) -> str:
    """Beginning of a text for display, white space collapsed."""
    short = " ".join(text[: SNIPPET * 4].split())
    return short if len(short) <= SNIPPET else short[: SNIPPET - 1] + "…"


__all__ = [
    "Cancelled",
    "Coverage",
    "Hit",
    "SearchOutcome",
    "SearchRequest",
    "coverage",
    "coverages",
    "covered",
    "find",
    "run_search",
    "snippet",
]
