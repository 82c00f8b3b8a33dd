"""Two models of one corpus, compared by what they find for the same stored answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.meaning import Meaning
from kinprint.server.channels.protocol import Limits, Query
from kinprint.server.corpus.filter import EVERYTHING
from kinprint.server.corpus.view import Part, Place, View
from kinprint.server.failures import ModelNotFilled
from kinprint.server.search.query import stored_sentences
from kinprint.server.search.targets import targets
from kinprint.server.statistics import auc

#: Hits that are compared, and those that are looked through for answers to other prompts.
BEST, LOOKED_THROUGH = 10, 100


@dataclass(frozen=True, slots=True)
class Quality:
    """How one model finds; shares are None where no prompt of a query has another answer."""

    digest: str
    filled: int
    same_prompt_auc: float | None
    same_prompt_share: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two models differ; `agreement` is the mean share of the ten best that they have in common."""

    first: Quality
    second: Quality
    queries: int
    agreement: float


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    id: str
    score: float
    same_prompt: bool


def compare_models(view: View, queries: int, cancelled: Callable[[], bool] = lambda: False) -> Comparison:
    """Search a corpus by both of its models, with rows that both have.

    Copies of a query do not count.  Raises ModelNotFilled without a second model or rows that both have; Cancelled.
    """
    meaning = view.meaning
    if meaning.space is None or meaning.second is None:
        raise ModelNotFilled(
            f"corpus {view.corpus!r} has no second model to compare with; fill one with: "
            f"kinprint fill --corpus {view.corpus} --second DIR"
        )
    places = [
        (number, int(row))
        for number, part in enumerate(view.parts)
        for row in np.flatnonzero(part.alive & part.segment.filled("semantic") & part.segment.filled("second"))
    ]
    if not places:
        raise ModelNotFilled(f"no row of corpus {view.corpus!r} has vectors of both models yet")
    # Both search the rows that both have, so that neither wins by having more.
    first = _of_model(view, "semantic", Meaning(meaning.space))
    second = _of_model(view, "second", Meaning(meaning.second))
    chosen = np.random.default_rng(0).permutation(len(places))[:queries]
    found = [[_hits(side, Place(*places[k]), cancelled) for k in chosen.tolist()] for side in (first, second)]
    common = [
        len({hit.id for hit in a[:BEST]} & {hit.id for hit in b[:BEST]}) / max(len(a[:BEST]), 1)
        for a, b in zip(*found, strict=True)
    ]
    return Comparison(
        _quality(meaning.space.digest, view.filled("semantic"), found[0]),
        _quality(meaning.second.digest, view.filled("second"), found[1]),
        len(chosen),
        float(np.mean(common)),
    )


def _of_model(view: View, name: str, meaning: Meaning) -> View:
    """The rows that both models have, with the vectors of one of them."""
    parts = []
    for part in view.parts:
        both = part.segment.filled("semantic") & part.segment.filled("second")
        kept = part.segment if name == "semantic" else part.segment.renamed(name, "semantic")
        parts.append(Part(kept, part.alive & both))
    return replace(view, parts=tuple(parts), meaning=meaning)


def _hits(view: View, place: Place, cancelled: Callable[[], bool]) -> list[_Hit]:
    segment, row = view.parts[place.part].segment, place.row
    text_hash, prompt = (segment.array(name)[row].as_py() for name in ("text_hash", "prompt_key"))
    query = Query(
        segment.array("response")[row].as_py(),
        segment.array("language")[row].as_py(),
        (view.corpus, segment.array("id")[row].as_py()),
        sentences=stored_sentences(view, place),
        tier="accurate",
    )
    limits = Limits(LOOKED_THROUGH, -1.0, cancelled)
    matches = CHANNELS["semantic"].search(query, targets(query, [view], EVERYTHING), limits).matches
    hits = []
    for match in matches:
        its = match.target.segment
        if its.array("text_hash")[match.row].as_py() != text_hash:
            same = prompt is not None and its.array("prompt_key")[match.row].as_py() == prompt
            hits.append(_Hit(match.id, match.score, same))
    return hits


def _quality(digest: str, filled: int, found: list[list[_Hit]]) -> Quality:
    with_answers = [hits for hits in found if any(hit.same_prompt for hit in hits)]
    pooled = [hit for hits in with_answers for hit in hits]
    same = np.array([hit.score for hit in pooled if hit.same_prompt])
    other = np.array([hit.score for hit in pooled if not hit.same_prompt])
    area = float(auc(same, other)) if len(same) and len(other) else None
    shares = [sum(hit.same_prompt for hit in hits[:BEST]) / len(hits[:BEST]) for hits in with_answers]
    return Quality(digest, filled, area, float(np.mean(shares)) if shares else None)
