"""Margins: classes fitted some at a time are those of all at once."""

from __future__ import annotations

import numpy as np
import pytest
from authors import known_of
from kinprint.server.authorship import margins
from kinprint.server.authorship.margins import learn, rarity_of, weighted_by
from kinprint.server.authorship.texts import features


@pytest.mark.parametrize("backed", [False, True])
def test_classifiers_do_not_depend_on_how_many_are_fitted_at_a_time(
    monkeypatch: pytest.MonkeyPatch, backed: bool
) -> None:
    known = known_of(list(range(19)), range(4))
    counts = features(known.texts)
    weighted = weighted_by(counts, rarity_of(counts))
    target = np.where(known.model < 18, known.model, -1).astype(np.int32)

    def fitted(threads: int) -> list[np.ndarray]:
        monkeypatch.setattr(margins, "pool_sizes", lambda: {"numba": threads})
        own = np.flatnonzero(backed | (target >= 0)).astype(np.int64)
        return list(learn(weighted.take(own), target[own], 18, backed, np.random.default_rng(3)))

    for few, many in zip(fitted(1), fitted(4), strict=True):
        assert few.shape[0] == 3
        np.testing.assert_array_equal(few, many)
