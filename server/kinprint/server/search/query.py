"""Query: what is searched for, and what was understood of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.copy import shingle
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.protocol import Query
from kinprint.server.corpus.normalise import is_blank, split_reasoning
from kinprint.server.corpus.view import Place, View
from kinprint.server.failures import InvalidField
from kinprint.server.store.columns import encode_texts
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """What was understood of a query; see QueryInfo in proto/.  What a channel counts is 0 until it searched."""

    code_points: int
    language: str | None = None
    #: (corpus, id), when the query is a stored transcript.
    transcript: tuple[str, str] | None = None
    reasoning_removed: bool = False
    shingles: int = 0
    copy_candidates: int = 0
    copy_verified: int = 0


def given(text: str, field: str, language: str | None) -> tuple[Query, QueryInfo]:
    """A text as it came, reasoning split off.  Raises InvalidField, naming `field`, when nothing is left of it."""
    reasoning, answer = split_reasoning(text)
    _refuse_blank(answer, field)
    return Query(answer, language), QueryInfo(len(answer), language, reasoning_removed=reasoning is not None)


def stored(view: View, place: Place, field: str, language: str | None) -> tuple[Query, QueryInfo]:
    """The answer of a stored transcript; its own language where none is given.  Raises InvalidField as `given`."""
    text: str = view.value(place, "response")
    itself = view.corpus, str(view.value(place, "id"))
    _refuse_blank(text, field)
    known = language or view.value(place, "language")
    return Query(text, known, itself), QueryInfo(len(text), known, itself)


def _refuse_blank(text: str, field: str) -> None:
    if len(blank_of([text])):
        raise InvalidField(
            field,
            "the text is empty or blank (after the reasoning is split off), so it matches nothing",
            "TEXT_BLANK",
        )


def blank_of(texts: Sequence[str]) -> NDArray[np.int64]:
    """Positions of the texts that hold nothing to match."""
    return np.flatnonzero(is_blank(shingle.text_hashes(*encode_texts(texts))))


def stored_sentences(view: View, place: Place) -> NDArray[np.float32] | None:
    """Sentence vectors of a stored row, as a query has them; None where they are not filled."""
    if view.space is None:
        return None
    semantic = CHANNELS["semantic"]
    found: NDArray[np.float32] | None = semantic.stored_sentences(  # type: ignore[attr-defined]
        view.parts[place.part].segment, place.row, view.space
    )
    return found


__all__ = ["Query", "QueryInfo", "blank_of", "given", "stored", "stored_sentences"]
