"""Lineage: a tree and a matrix of all models of a corpus, for looking at.

The tree joins models by average linkage on 1 - s of their mean residual cosines, normalised per model.  It describes
who resembles whom and says nothing of who came from whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.kinship.answers import gather
from kinprint.server.kinship.calibration import transform
from kinprint.server.kinship.judge import Scored, score_models
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress, result_of
from numpy.typing import NDArray

CAUTION = "the tree shows resemblance, not descent: who came from whom, and whether anybody did, it cannot say"


@dataclass(frozen=True, eq=False)
class Lineage:
    """models by name; scores float64[n, n]; merges float64[n - 1, 4] as SciPy's linkage; order of the leaves."""

    models: list[str]
    scores: NDArray[np.float64]
    tree: str
    order: list[int]
    merges: NDArray[np.float64]
    cautions: list[str]


def find_lineage(
    view: View,
    panel: Panel | None = None,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Lineage]:
    """Tree and matrix of the models of a corpus; the `Lineage` comes last."""
    yield Progress("gathering answers", 0.0)
    answers, _ = gather(view, rows, cancelled)
    if cancelled():
        return
    scored = yield from result_of(score_models(answers, panel, cancelled))
    if scored is not None:
        yield lineage_of(scored)


def lineage_of(scored: Scored) -> Lineage:
    """The tree of scores that are there already."""
    models = list(scored.answers.models)
    merges, order = tree_of(scored.score)
    cautions = [CAUTION, *scored.background.cautions]
    return Lineage(models, scored.score, newick(models, merges), order, merges, cautions)


def tree_of(score: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[int]]:
    """(linkage float64[n - 1, 4], order of the leaves) of symmetric scores float64[n, n]; NaN counts as the lowest.

    Distance is the best score less the pair's, on the scale asinh(score / 3), so that a few near copies do not flatten
    everything else; average linkage (Sokal and Michener 1958), leaves in optimal order (Bar-Joseph et al. 2001).
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    n = len(score)
    if n < 2:
        return np.zeros((0, 4)), list(range(n))
    x = transform(score)
    known = x[~np.isnan(x)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    distance = high - np.where(np.isnan(x), low, x)
    distance = 0.5 * (distance + distance.T) + 1e-9
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    merges = hierarchy.linkage(condensed, "average", optimal_ordering=n <= 500)
    return np.asarray(merges), [int(i) for i in hierarchy.leaves_list(merges)]


def newick(models: list[str], merges: NDArray[np.float64]) -> str:
    """The tree in Newick format, names quoted as the format asks, branch lengths of an ultrametric tree."""
    nodes = [(_quoted(m), 0.0) for m in models]
    for left, right, height, _ in merges:
        parts = [f"{nodes[int(k)][0]}:{max(0.0, height / 2 - nodes[int(k)][1]):.6g}" for k in (left, right)]
        nodes.append((f"({','.join(parts)})", height / 2))
    return (nodes[-1][0] if nodes else "") + ";"


def _quoted(name: str) -> str:
    return "'" + " ".join(name.split()).replace("'", "''") + "'"
