"""Cross-fitting: folds keep families together."""

from __future__ import annotations

import numpy as np
from kinprint.server.kinship.crossfit import FOLDS, folds_of


def test_folds_keep_families_together() -> None:
    family = np.array([0] * 9 + [1] * 2 + list(range(2, 30)) + [5, 7, 7])
    fold = folds_of(family, 3)
    assert all(len(set(fold[family == f])) == 1 for f in range(30))
    assert set(fold) == set(range(FOLDS))
    sizes = np.bincount(fold)
    assert sizes.max() == 9, "the largest family alone"
    assert sorted(sizes)[-2] - sizes.min() <= 2
    assert np.array_equal(fold, folds_of(family, 3))
    assert not np.array_equal(fold, folds_of(family, 4))
    assert sorted(folds_of(np.arange(4), 0).tolist()) == [0, 1, 2, 3]
