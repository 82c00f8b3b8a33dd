"""Plots of many models: the similarity map, the family tree, and the matrix of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kinprint.report.figure import FAINT, INK, KIN, QUIET, THIS, WIDTH, Plot, plotting
from kinprint.report.numbers import decimal
from kinprint.report.sanitise import columns, shortened
from kinprint.report.tree import Tree
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

LEAVES = 42
"""Leaves in one part of a tree, so that a part fits a page of A4 or Letter."""
NAMED = 40
"""Models whose names fit beside a matrix; more are numbered."""
VALUED = 12
"""Models whose scores fit into the cells of a matrix."""
_LETTER = 0.068
"""Inches that a letter of 8 points takes, on average."""
_SCALE = LinearSegmentedColormap.from_list("kinprint", ["#e3edf5", "#9dbfdc", "#3f7fb5", "#0b2f55"])


def similarity_map(
    models: Sequence[str], x: Sequence[float | None], y: Sequence[float | None],
    families: Sequence[str | None] | None, subject: str, source: str,
) -> tuple[Markup, int, int] | None:  # fmt: skip
    """Models as points, alike ones near each other; also how many points there are and how many are named.

    Names are placed where they fit, the subject's and the source's first. Thin lines join the models of a family.
    """
    points = [
        (model, float(across), float(up), families[at] if families and at < len(families) else None)
        for at, (model, across, up) in enumerate(zip(models, x, y, strict=False))
        if across is not None and up is not None
    ]
    if len(points) < 2:
        return None
    side = 4.1
    with plotting():
        plot = Plot("map", side)
        axes = plot.figure.add_axes((0.02, 0.02, 0.96, 0.96))
        width, height = WIDTH * 0.96, side * 0.96
        low_x, high_x = min(p[1] for p in points), max(p[1] for p in points)
        low_y, high_y = min(p[2] for p in points), max(p[2] for p in points)
        scale = min((width - 2.6) / ((high_x - low_x) or 1), (height - 0.7) / ((high_y - low_y) or 1))
        middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
        axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT)
        placed = [
            (model, width / 2 + (across - middle_x) * scale, height / 2 + (up - middle_y) * scale, family)
            for model, across, up, family in points
        ]
        kin: dict[str, list[tuple[float, float]]] = {}
        for _, across, up, family in placed:
            if family:
                kin.setdefault(family, []).append((across, up))
        for members in kin.values():
            if len(members) > 1:
                center = (sum(m[0] for m in members) / len(members), sum(m[1] for m in members) / len(members))
                for across, up in members:
                    axes.plot([center[0], across], [center[1], up], color=FAINT, linewidth=0.9, zorder=1)
        boxes = [(across - 0.06, up - 0.06, across + 0.06, up + 0.06) for _, across, up, _ in placed]
        named = 0
        ranked = sorted(range(len(placed)), key=lambda at: (placed[at][0] not in (subject, source), at))
        for at in ranked:
            model, across, up, _ = placed[at]
            role = "subject" if model == subject else "source" if model == source else ""
            axes.plot(
                [across], [up], marker={"subject": "*", "source": "D"}.get(role, "o"),
                markersize={"subject": 11, "source": 6.5}.get(role, 4.5), color=THIS if role else "white",
                markeredgecolor="white" if role == "subject" else THIS if role else QUIET,
                markeredgewidth=0.4 if role == "subject" else 0.9, zorder=4 if role else 3,
            )  # fmt: skip
            text = shortened(f"{model} ({role})" if role else model, 40 if role else 26)
            length = columns(text) * _LETTER * (1.12 if role else 1)
            where = _free(across, up, length, boxes, width, height)
            if where is None and role:
                where = _far(across, up, length, boxes, width, height)
                left, bottom, right, top = where[1]
                end = (min(max(across, left), right), min(max(up, bottom), top))
                axes.plot([across, end[0]], [up, end[1]], color=THIS, linewidth=0.6, zorder=4)
            if where is None:
                continue
            anchor, box = where
            boxes.append(box)
            named += 1
            axes.text(
                box[0] if anchor == "left" else box[2] if anchor == "right" else (box[0] + box[2]) / 2,
                (box[1] + box[3]) / 2, plot.label(text, 60), ha=anchor, va="center", fontsize=8,
                weight="bold" if role else "normal", color=THIS if role else INK, zorder=5,
            )  # fmt: skip
        description = f"{len(points)} models as points; points near each other stand for models that answer alike. "
        places = {model: (across, up) for model, across, up, _ in placed}
        if subject in places and source in places:
            nearer = sum(
                math.dist(places[subject], place) < math.dist(places[subject], places[source])
                for model, place in places.items()
                if model not in (subject, source)
            )
            description += f"{nearer} of the other models are nearer to the subject than the source is."
        return plot.svg("Similarity map of the models", description), len(points), named


def _free(
    across: float, up: float, length: float, boxes: list[tuple[float, float, float, float]], width: float, height: float
) -> tuple[str, tuple[float, float, float, float]] | None:
    """Where a name of this length fits beside a point: its anchor and box, or None."""
    half = 0.075
    for anchor, left, middle in (
        ("left", across + 0.1, up),
        ("right", across - 0.1 - length, up),
        ("center", across - length / 2, up + 0.16),
        ("center", across - length / 2, up - 0.16),
        ("left", across + 0.06, up + 0.15),
        ("left", across + 0.06, up - 0.15),
        ("right", across - 0.06 - length, up + 0.15),
        ("right", across - 0.06 - length, up - 0.15),
    ):
        box = (left, middle - half, left + length, middle + half)
        inside = box[0] > 0.03 and box[2] < width - 0.03 and box[1] > 0.03 and box[3] < height - 0.03
        if inside and not _taken(box, boxes):
            return anchor, box
    return None


def _far(
    across: float, up: float, length: float, boxes: list[tuple[float, float, float, float]], width: float, height: float
) -> tuple[str, tuple[float, float, float, float]]:
    """The free place nearest to a point, on a grid, for a name that a line then joins to the point."""
    half, edge = 0.075, 0.08
    places = [
        (left, bottom, left + length, bottom + 2 * half)
        for left in np.arange(edge, max(edge, width - edge - length) + 0.01, 0.1).tolist()
        for bottom in np.arange(edge, height - edge - 2 * half, 0.1).tolist()
    ]
    places.sort(
        key=lambda box: (
            _taken(box, boxes),
            math.dist((across, up), (min(max(across, box[0]), box[2]), min(max(up, box[1]), box[3]))),
            box,
        )
    )
    return "left", places[0]


def _taken(box: tuple[float, float, float, float], boxes: list[tuple[float, float, float, float]]) -> bool:
    return any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in boxes)


def family_tree(models: Sequence[str], tree: Tree, roles: Mapping[str, str]) -> list[Markup]:
    """The tree with its root at the left and a numbered name at each leaf, in parts that each fit a page.

    Args:
        roles: what a model is in this report ("subject", "source"), shown beside its name.
    """
    parts = math.ceil(len(models) / LEAVES)
    size = math.ceil(len(models) / parts)
    plots = []
    top = max(branch.height for branch in tree.branches)
    base = min(0.0, *(end[1] for branch in tree.branches for end in (branch.lower, branch.upper)), 0.0)
    room = (top - base) or 1.0
    with plotting():
        for at in range(parts):
            first, last = at * size, min((at + 1) * size, len(models)) - 1
            row, bottom, above = 0.185 if size <= 30 else 0.168, 0.5, 0.08
            plot = Plot(f"tree-{at + 1}", bottom + above + row * (last - first + 1))
            height = plot.figure.get_size_inches()[1]
            axes = plot.figure.add_axes((0.02, bottom / height, 0.56, 1 - (bottom + above) / height))
            axes.set(xlim=(top + 0.03 * room, base), ylim=(last + 0.5, first - 0.5), yticks=[])
            axes.spines["left"].set_visible(False)
            axes.set_xlabel("Height at which two branches join (further left: less alike)")
            axes.grid(axis="x", color=FAINT, linewidth=0.35)
            axes.set_axisbelow(True)
            for branch in tree.branches:
                (low, low_height), (high, high_height) = branch.lower, branch.upper
                if high < first - 0.5 or low > last + 0.5:
                    continue
                axes.plot(
                    [low_height, branch.height, branch.height, high_height], [low, low, high, high],
                    color=KIN, linewidth=1.1, solid_joinstyle="miter",
                )  # fmt: skip
            for place in range(first, last + 1):
                model = models[tree.order[place]]
                role = roles.get(model, "")
                name = f"{shortened(model, 24 if role else 34)} ({role})" if role else model
                style: dict[str, Any] = {
                    "va": "center",
                    "weight": "bold" if role else "normal",
                    "color": THIS if role else INK,
                }
                axes.text(
                    1.065, place, str(place + 1), ha="right", transform=axes.get_yaxis_transform(),
                    **{**style, "color": QUIET}, fontsize=8,
                )  # fmt: skip
                axes.text(1.085, place, plot.label(name, 36), transform=axes.get_yaxis_transform(), **style, fontsize=8)
            which = f", part {at + 1} of {parts}" if parts > 1 else ""
            plots.append(
                plot.svg(
                    f"Family tree of {len(models)} models{which}",
                    f"Models {first + 1} to {last + 1} in the order of the tree; neighbours are alike. Names in order: "
                    + ", ".join(shortened(models[leaf], 60) for leaf in tree.order[first : last + 1])
                    + ".",
                )
            )
    return plots


def matrix(models: Sequence[str], scores: NDArray[np.float64]) -> Markup:
    """Scores of all pairs, darker for more alike, in the order given; hatched where a pair has no score.

    Args:
        models: n names, already in the order of the tree.
        scores: float64[n, n] in the same order; nan where there is none. The diagonal is not shown.
    """
    count = len(models)
    shown = scores.copy()
    np.fill_diagonal(shown, np.nan)
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    # A few near copies score far above all others; a square root then keeps the others apart.
    skewed = finite.size and (float(np.median(finite)) - low) / (high - low) < 0.25
    norm = PowerNorm(0.5, low, high) if skewed else Normalize(low, high)
    names = count <= NAMED
    left = min(2.3, max(0.4, 0.3 + _LETTER * max(columns(shortened(model, 28)) for model in models))) if names else 0.45
    side = min(WIDTH - left - 0.95, 0.62 * count)
    with plotting():
        plot = Plot("matrix", side + 0.45)
        height = side + 0.45
        axes = plot.figure.add_axes((left / WIDTH, 0.07 / height, side / WIDTH, side / height))
        axes.set_facecolor("white")
        axes.add_patch(
            Rectangle((-0.5, -0.5), count, count, facecolor="white", edgecolor=QUIET, hatch="//////", linewidth=0)
        )
        image = axes.imshow(np.ma.masked_invalid(shown), cmap=_SCALE, norm=norm, interpolation="none", zorder=2)
        for at in range(count):
            axes.add_patch(Rectangle((at - 0.5, at - 0.5), 1, 1, facecolor="#e4e5e7", edgecolor="none", zorder=3))
        axes.xaxis.tick_top()
        axes.tick_params(length=2 if not names else 0, pad=2)
        for spine in axes.spines.values():
            spine.set(visible=True, color=QUIET, zorder=5)
        every = 1 if names else 5 if count <= 100 else 10
        ticks = [at for at in range(count) if at == 0 or (at + 1) % every == 0]
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.set_xticklabels([str(at + 1) for at in ticks], fontsize=8 if count <= 24 else 6.5)
        cell = 72 * side / count
        if names:
            axes.set_yticklabels([])
            size = min(8.0, cell * 0.85)
            style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": size}
            style["transform"] = axes.get_yaxis_transform()
            for at, model in enumerate(models):
                axes.text(-0.06 / side, at, str(at + 1), color=QUIET, **style)
                axes.text(-0.26 / side, at, plot.label(model, 28), **style)
        else:
            axes.set_yticklabels([str(at + 1) for at in ticks], fontsize=6.5)
        if count <= VALUED:
            for at, across in np.argwhere(np.isfinite(shown)):
                value = float(shown[at, across])
                dark = float(norm(value)) > 0.55
                axes.text(
                    across, at, decimal(value, 1 if max(abs(low), abs(high)) >= 10 else 2), ha="center", va="center",
                    fontsize=8 if count <= 9 else 7, color="white" if dark else INK, zorder=4,
                )  # fmt: skip
        bar = plot.figure.add_axes(
            (
                (left + side + 0.2) / WIDTH,
                (0.07 + side - min(side, 2.4)) / height,
                0.13 / WIDTH,
                min(side, 2.4) / height,
            )
        )
        plot.figure.colorbar(image, cax=bar)
        bar.tick_params(labelsize=8, length=2)
        bar.set_title("score", fontsize=8, loc="left")
        missing = int(np.isnan(shown).sum()) - count
        return plot.svg(
            f"Matrix of the scores of {count} models",
            f"Scores of the pairs run from {decimal(low)} to {decimal(high)}. "
            + (f"{missing // 2} pairs have no score and are hatched. " if missing else "")
            + "The table of closest models below holds the highest figures.",
        )
