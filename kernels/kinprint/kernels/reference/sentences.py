"""Cutting texts into sentences, in plain Python: see :mod:`kinprint.kernels.embed.sentences`."""

from __future__ import annotations

import re
from itertools import pairwise

from kinprint.kernels.embed.sentences import CLOSERS, FULL_TERMINATORS, MARKUP, MOST, SHORTEST, TERMINATORS

_CLOSERS, _TERMINATORS = re.escape(CLOSERS), re.escape(TERMINATORS)
# Possessive, and never begun within a run of terminators: a run is looked at once, whatever follows it.
_SPACED_END = rf"(?<![{_TERMINATORS}])[{_TERMINATORS}]++[{_CLOSERS}{re.escape(MARKUP)}]*+(?=\s)"
_ANY_END = re.compile(rf"[{FULL_TERMINATORS}]++[{_CLOSERS}]*+|\n++|{_SPACED_END}")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open spans of all sentences, in code points."""
    ends = []
    for match in _ANY_END.finditer(text):
        following = text[match.end() : match.end() + 2].lstrip()
        if not following[:1].islower() or "\n" in match.group():
            ends.append(match.end())
    ends.append(len(text))
    spans: list[tuple[int, int]] = []
    begin = 0
    for end in ends:
        piece = text[begin:end]
        visible = len(piece.strip())
        if visible < SHORTEST and end != len(text):
            continue
        start = begin + len(piece) - len(piece.lstrip())
        if visible and visible < SHORTEST and spans:
            spans[-1] = (spans[-1][0], start + visible)
        elif visible:
            spans.append((start, start + visible))
        begin = end
    return spans


def grouped_spans(text: str, most: int = MOST) -> list[tuple[int, int]]:
    """As :func:`sentence_spans`, neighbours joined where there are more than ``most``."""
    spans = sentence_spans(text)
    if len(spans) > most:
        firsts = [len(spans) * group // most for group in range(most + 1)]
        spans = [(spans[first][0], spans[after - 1][1]) for first, after in pairwise(firsts)]
    return spans
