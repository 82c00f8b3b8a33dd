"""Filter: which rows a search, a listing or a comparison may take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from kinprint.server.corpus.view import Part
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows that a search may return; fields are joined by AND, values of one field by OR."""

    models: frozenset[str] = frozenset()
    exclude_models: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    account_ids: frozenset[str] = frozenset()
    prompt_keys: frozenset[str] = frozenset()
    created_from_us: int | None = None
    created_before_us: int | None = None

    @property
    def empty(self) -> bool:
        """True if every row passes."""
        return self == Filter()

    def mask(self, part: Part) -> NDArray[np.bool_]:
        """Living rows of a part that pass, bool[n]."""
        segment = part.segment
        mask = part.alive
        if self.empty:
            return mask
        mask = mask.copy()
        for column, wanted in (
            ("model", self.models),
            ("account_id", self.account_ids),
            ("prompt_key", self.prompt_keys),
        ):
            if wanted:
                mask &= _has(segment, column, wanted)
        if self.exclude_models:
            mask &= ~_has(segment, "model", self.exclude_models)
        if self.languages:
            values = segment.codes("language")[1]
            lower = {w.lower() for w in self.languages}
            tags = {v for v in values if v is not None and (v.lower() in lower or v.lower().split("-")[0] in lower)}
            mask &= _has(segment, "language", tags)
        if self.created_from_us is not None or self.created_before_us is not None:
            created, known = segment.created_us
            mask &= known
            if self.created_from_us is not None:
                mask &= created >= self.created_from_us
            if self.created_before_us is not None:
                mask &= created < self.created_before_us
        return mask


EVERYTHING = Filter()
"""Lets every row pass."""


def _has(segment: Segment, column: str, wanted: Collection[str]) -> NDArray[np.bool_]:
    codes, values = segment.codes(column)
    chosen = [values[w] for w in wanted if w in values]
    if not chosen:
        return np.zeros(len(codes), bool)
    if len(chosen) == 1:
        return np.asarray(codes == chosen[0])
    return np.isin(codes, chosen)
