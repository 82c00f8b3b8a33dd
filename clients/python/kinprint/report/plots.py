"""Plots of one pair: where it lies among pairs of known relation, beside other models, and what would be found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kinprint.report.figure import DERIVED, FAINT, INK, KIN, QUIET, THIS, UNRELATED, WIDTH, Plot, plotting, tint
from kinprint.report.numbers import decimal, percent, whole
from kinprint.report.parts import figures, number, part, rows
from markupsafe import Markup
from matplotlib.axes import Axes

_GROUPS = (
    ("null", "unrelated_pairs", "Unrelated models", UNRELATED, ""),
    ("kin", "kin_pairs", "Related models", KIN, "////"),
    ("derived", "derived_pairs", "Derived models", DERIVED, "\\\\\\\\"),
)
"""Key, key of the number of pairs in the background, what the row is called, its colour and its hatching."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pairs of one known relation as a histogram."""

    title: str
    color: str
    hatch: str
    edges: list[float]
    counts: list[float]
    """Pairs in each bin, or their share of all."""
    pairs: float | None
    shares: bool

    @property
    def reach(self) -> tuple[float, float]:
        """From the first to the last edge of a bin that is not empty."""
        filled = [at for at, count in enumerate(self.counts) if count > 0]
        return self.edges[filled[0]], self.edges[filled[-1] + 1]


def groups(distribution: dict[str, Any], background: dict[str, Any]) -> list[Group]:
    """The histograms that hold pairs, unrelated first.

    Counts that sum to one are shares, since pairs may have weights; the background then says how many pairs there are.
    """
    found = []
    for key, number_key, title, color, hatch in _GROUPS:
        histogram = part(distribution, key)
        edges = [edge for edge in figures(histogram, "edges") if edge is not None]
        counts = [count or 0.0 for count in figures(histogram, "counts")]
        rising = all(low < high for low, high in pairwise(edges))
        if counts and len(edges) == len(counts) + 1 and rising and sum(counts) > 0:
            shares = abs(sum(counts) - 1.0) < 1e-3 and any(count % 1 for count in counts)
            pairs = number(background.get(number_key)) if shares else sum(counts)
            found.append(Group(title, color, hatch, edges, counts, pairs, shares))
    return found


def _pairs(group: Group) -> str:
    return "number of pairs not stated" if group.pairs is None else f"{whole(group.pairs)} pairs"


def _axes(plot: Plot, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes with margins in inches."""
    width, height = plot.figure.get_size_inches()
    return plot.figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )


def _pad(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    room = (high - low) * share or 1.0
    return low - room, high + room


def distribution(data: dict[str, Any], background: dict[str, Any]) -> Markup | None:
    """Three histograms under one another on one scale, with this pair and the threshold as lines; None without any."""
    found = groups(data, background)
    score, threshold = number(data.get("score")), number(data.get("threshold"))
    if not found:
        return None
    marks = [mark for mark in (score, threshold) if mark is not None]
    low, high = _pad(
        min([group.reach[0] for group in found] + marks), max([group.reach[1] for group in found] + marks), 0.04
    )
    row, gap, top, bottom, left = 0.72, 0.16, 0.5, 0.5, 1.45
    with plotting():
        plot = Plot("distribution", top + bottom + len(found) * row + (len(found) - 1) * gap)
        height = plot.figure.get_size_inches()[1]
        for at, group in enumerate(found):
            base = bottom + (len(found) - 1 - at) * (row + gap)
            axes = plot.figure.add_axes((left / WIDTH, base / height, 1 - (left + 0.45) / WIDTH, row / height))
            axes.stairs(
                group.counts,
                group.edges,
                fill=True,
                facecolor=tint(group.color),
                edgecolor=group.color,
                hatch=group.hatch,
            )
            axes.stairs(group.counts, group.edges, color=group.color, linewidth=0.9)
            tallest = max(group.counts)
            axes.set(xlim=(low, high), ylim=(0, tallest * 1.06), yticks=[0, tallest])
            axes.set_yticklabels(["0", percent(tallest) if group.shares else whole(tallest)])
            axes.yaxis.tick_right()
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=2)
            for mark, color, dashes, width in ((threshold, INK, (4, 3), 0.9), (score, THIS, (), 1.8)):
                if mark is not None:
                    # Over the gap as well, so that the three rows have one line.
                    line = axes.axvline(mark, 0, 1 + gap / row, color=color, linewidth=width, clip_on=False, zorder=5)
                    if dashes:
                        line.set_dashes(dashes)
            label: dict[str, Any] = {"ha": "right", "va": "center", "transform": axes.transAxes}
            axes.text(-0.03, 0.6, group.title, weight="bold", **label)
            axes.text(-0.03, 0.36, _pairs(group), color=QUIET, **label)
            if at < len(found) - 1:
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("Score of a pair (further right: more alike)")
            if at == 0:
                middle = (low + high) / 2
                left_of = score is not None and threshold is not None and threshold <= score
                for mark, text, color, weight, lift, leftward in (
                    (score, f"this pair: {decimal(score)}", THIS, "bold", 0.3, (score or 0.0) > middle),
                    (threshold, f"threshold: {decimal(threshold)}", INK, "normal", 0.12, left_of),
                ):
                    if mark is None:
                        continue
                    line = axes.axvline(mark, 1, 1 + (lift + 0.08) / row, color=color, clip_on=False)
                    line.set(linewidth=1.8 if color == THIS else 0.9, linestyle="-" if color == THIS else "--")
                    if (mark - low) / (high - low) < 0.2:
                        leftward = False
                    axes.text(
                        mark, 1 + lift / row, f"{text} " if leftward else f" {text}", color=color, weight=weight,
                        ha="right" if leftward else "left", va="center", transform=axes.get_xaxis_transform(),
                    )  # fmt: skip
        reach = "; ".join(
            f"{group.title}, {_pairs(group)}: scores between {decimal(group.reach[0])} and {decimal(group.reach[1])}"
            for group in found
        )
        return plot.svg(
            "Scores of pairs whose relation is known, with this pair marked",
            f"{reach}. This pair scores {decimal(score)}; the threshold is {decimal(threshold)}.",
        )


def controls(data: list[dict[str, Any]], source: str, threshold: float | None) -> Markup | None:
    """One dot a model on the scale of the score, the source as a filled diamond; None when there is nothing to show.

    Args:
        data: rows with `model` and `score`, in the order to show them in.
    """
    shown = [(str(row.get("model")), number(row.get("score"))) for row in data]
    scored = [(model, score) for model, score in shown if score is not None]
    if not scored:
        return None
    row, left, bottom = 0.215, 2.5, 0.45
    with plotting():
        plot = Plot("controls", bottom + 0.3 + row * len(scored))
        axes = _axes(plot, left, bottom, 0.25, 0.25)
        marks = [score for _, score in scored] + ([threshold] if threshold is not None else [])
        axes.set(xlim=_pad(min(marks), max(marks)), ylim=(len(scored) - 0.5, -0.5), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=FAINT, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.set_xlabel("Score beside the subject (further right: more alike)")
        start = axes.get_xlim()[0]
        for at, (model, score) in enumerate(scored):
            mine = model == source
            axes.plot([start, score], [at, at], color=THIS if mine else FAINT, linewidth=1.2 if mine else 0.8, zorder=2)
            axes.plot(
                [score],
                [at],
                marker="D" if mine else "o",
                markersize=6 if mine else 5,
                color=THIS if mine else "white",
                markeredgecolor=THIS if mine else QUIET,
                zorder=3,
            )
            axes.text(
                -0.02,
                at,
                plot.label(f"{model} (source)" if mine else model, 36),
                ha="right",
                va="center",
                weight="bold" if mine else "normal",
                transform=axes.get_yaxis_transform(),
            )
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=0.9, linestyle="--", zorder=1)
            axes.text(
                threshold, 1.01, f"threshold: {decimal(threshold)}", ha="center", va="bottom",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        best = scored[0]
        return plot.svg(
            "Scores of the subject with each other model",
            f"{len(scored)} models, the best first. Highest: {best[0]} with {decimal(best[1])}. "
            f"The source, {source}, is the filled diamond.",
        )


def power(data: list[dict[str, Any]], prompts: float | None) -> Markup | None:
    """Share of derived pairs found against the number of prompts, with this pair's number; None without any."""
    lines = []
    for key, title, marker, dashes, color in (
        ("detected", "above the threshold", "o", "-", KIN),
        ("tpr_at_1_percent", "found, at 1 false alarm in 100 unrelated pairs", "s", "--", DERIVED),
    ):
        points = sorted(
            (at, share)
            for row in data
            if (at := number(row.get("prompts"))) is not None and at > 0 and (share := number(row.get(key))) is not None
        )
        if points:
            lines.append((title, marker, dashes, color, points))
    if not lines:
        return None
    sizes = sorted({at for *_, points in lines for at, _ in points})
    with plotting():
        plot = Plot("power", 2.75)
        axes = _axes(plot, 0.65, 0.5, 0.25, 0.55)
        for title, marker, dashes, color, points in lines:
            axes.plot(
                [at for at, _ in points], [100 * share for _, share in points], marker=marker, linestyle=dashes,
                color=color, markersize=4.5, linewidth=1.3, label=title,
            )  # fmt: skip
        here = [prompts] if prompts is not None and prompts > 0 else []
        low, high = min(sizes + here), max(sizes + here)
        if high / low >= 8:
            axes.set_xscale("log")
            axes.set_xlim(low / 1.15, high * 1.15)
        else:
            axes.set_xlim(*_pad(low, high))
        kept = [size for at, size in enumerate(sizes) if at == 0 or size / sizes[at - 1] >= 1.2 or high / low < 8]
        axes.set_xticks(kept[:: max(1, len(kept) // 10)])
        axes.set_xticklabels([whole(size) for size in kept[:: max(1, len(kept) // 10)]])
        axes.minorticks_off()
        axes.set(ylim=(0, 103), yticks=[0, 25, 50, 75, 100])
        axes.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.grid(axis="y", color=FAINT, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.set_xlabel("Prompts that both models answered")
        axes.set_ylabel("Derived pairs found")
        if here:
            at = here[0]
            axes.axvline(at, color=THIS, linewidth=1.6)
            right = axes.transData.transform((at, 0))[0] > axes.bbox.x0 + axes.bbox.width * 0.72
            text = f"this pair: {whole(at)} prompts"
            axes.text(
                at, 1.01, f"{text} " if right else f" {text}", color=THIS, weight="bold", va="bottom",
                ha="right" if right else "left", transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.08), ncols=2, frameon=False, borderaxespad=0, handlelength=3.2
        )
        ends = "; ".join(
            f"{title}: {percent(points[0][1])} at {whole(points[0][0])} prompts, {percent(points[-1][1])} at "
            f"{whole(points[-1][0])}"
            for title, *_, points in lines
        )
        return plot.svg("Share of derived pairs found, by number of prompts", f"{ends}.")


def same_scale(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the controls, the best first, those without a score last."""
    return sorted(rows(data, "controls"), key=lambda row: -(number(row.get("score")) or float("-inf")))
