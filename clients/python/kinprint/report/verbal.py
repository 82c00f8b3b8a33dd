"""Likelihood ratios in words, after ENFSI's guideline (2015), and never beyond the range that was validated."""

from __future__ import annotations

from dataclasses import dataclass

from kinprint.report.numbers import times

SCALE: tuple[tuple[float, str], ...] = (
    (6.0, "extremely strong support"),
    (4.0, "very strong support"),
    (3.0, "strong support"),
    (2.0, "moderately strong support"),
    (1.0, "moderate support"),
    (0.30102999566398120, "weak support"),
)
"""Lower bounds as log10 of the ratio (the last is a ratio of 2), and the words."""

EVEN = "no support for either side"


@dataclass(frozen=True, slots=True)
class Support:
    """A likelihood ratio as it may be put in words."""

    log10: float
    """What may be claimed: the ratio, brought back to the edge of the validated range when it lies outside."""
    words: str
    """The level of the verbal scale, "" where no range was validated."""
    sentence: str
    at_edge: bool
    """The ratio lies on or outside the edge of the range."""


def _level(log10: float) -> str:
    return next((words for bound, words in SCALE if abs(log10) >= bound), "")


def table() -> list[tuple[str, str, str]]:
    """The scale as ratio, log10 and words, the weakest first."""
    bounds = [(f"{10**low:,.0f}", f"{low:.1f}".removesuffix(".0"), words) for low, words in reversed(SCALE)]
    rows = [("1 to 2", "0 to 0.3", EVEN)]
    for at, (ratio, log10, words) in enumerate(bounds):
        if at + 1 < len(bounds):
            rows.append((f"{ratio} to {bounds[at + 1][0]}", f"{log10} to {bounds[at + 1][1]}", words))
        else:
            rows.append((f"over {ratio}", f"over {log10}", words))
    return rows


def support(log10: float, validated: tuple[float, float] | None, if_so: str, if_not: str) -> Support:
    """A ratio in words.

    Args:
        log10: log10 of the likelihood ratio.
        validated: the range of log10 ratios on which the method was validated; None gives no verbal level.
        if_so: the hypothesis above the line, as a clause: "if the subject was derived from the source".
        if_not: the hypothesis below the line, as a clause.
    """
    low, high = validated if validated is not None else (log10, log10)
    claimed = min(max(log10, low), high)
    at_edge = validated is not None and (log10 <= low or log10 >= high)
    level = _level(claimed)
    if not level:
        words = EVEN
        sentence = f"Findings like these are about as probable {if_so} as {if_not}."
    else:
        more = "more" if claimed > 0 else "less"
        words = level if claimed > 0 else f"{level} for the opposite"
        sentence = f"Findings like these are about {times(abs(claimed))} times {more} probable {if_so} than {if_not}."
    if at_edge:
        sentence += " This is the edge of what was validated; nothing beyond it may be claimed."
    if validated is None:
        words = ""
        sentence += " No range was validated for this figure, so no verbal level is given."
    return Support(claimed, words, sentence, at_edge)
