"""A family tree as a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from kinprint.report import model_plots
from kinprint.report.pages import page
from kinprint.report.parts import check_format, number, words
from kinprint.report.sanitise import cleaned
from kinprint.report.tree import grow
from numpy.typing import NDArray

FORMAT = "kinprint-lineage"
VERSION = 1
CLOSEST = 3
"""Closest models that the table lists for each."""


def render_lineage(lineage: dict[str, Any]) -> bytes:
    """Family tree, matrix of scores and closest models as one self-contained HTML file, UTF-8.

    Args:
        lineage: `models` (n names), `scores` (n lists of n, null where there is none), `merges` (n - 1 rows as
            scipy.cluster.hierarchy.linkage gives them), `order` (leaf indices), `newick`, `cautions`, `corpus`.

    Returns:
        HTML; equal data gives equal bytes.

    Raises:
        NotAReport: the data says that it is something else, or of a newer version.
    """
    data: dict[str, Any] = cleaned(lineage)
    check_format(data, FORMAT, VERSION)
    models = words(data, "models")
    tree = grow(len(models), data.get("merges"), data.get("order"))
    order = list(tree.order) if tree else list(range(len(models)))
    scores = _scores(data.get("scores"), len(models))
    ranked = scores[np.ix_(order, order)] if scores is not None else None
    names = [models[at] for at in order]
    return page(
        "lineage.html",
        corpus=data.get("corpus"),
        models=names,
        cautions=words(data, "cautions"),
        tree=model_plots.family_tree(models, tree, {}) if tree else [],
        matrix=model_plots.matrix(names, ranked) if ranked is not None and len(models) > 1 else None,
        matrix_missing=ranked is not None and bool(np.isnan(ranked[~np.eye(len(models), dtype=bool)]).any()),
        matrix_named=len(models) <= model_plots.NAMED,
        closest=_closest(names, ranked) if ranked is not None else [],
        newick=data.get("newick"),
    )


def _scores(value: object, count: int) -> NDArray[np.float64] | None:
    """float64[count, count], nan where there is none; None when the rows are not that many or nothing is in them."""
    if not isinstance(value, list) or len(value) != count or count == 0:
        return None
    scores = np.full((count, count), np.nan)
    for at, row in enumerate(value):
        if not isinstance(row, list) or len(row) != count:
            return None
        for across, item in enumerate(row):
            found = number(item)
            scores[at, across] = np.nan if found is None else found
    off_diagonal = scores[~np.eye(count, dtype=bool)]
    return scores if np.isfinite(off_diagonal).any() else None


def _closest(models: list[str], scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """For each model the ones that score highest with it."""
    rows = []
    for at, model in enumerate(models):
        others = [
            (float(scores[at, across]), across)
            for across in range(len(models))
            if across != at and np.isfinite(scores[at, across])
        ]
        others.sort(key=lambda item: (-item[0], item[1]))
        rows.append(
            {
                "number": at + 1,
                "model": model,
                "closest": [
                    {"model": models[across], "number": across + 1, "score": score}
                    for score, across in others[:CLOSEST]
                ],
            }
        )
    return rows
