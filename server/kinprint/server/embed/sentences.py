"""Cuts a text into sentences, in any script, without a model or a language.

A rule of the kind of Unicode Standard Annex 29: a sentence ends after a terminator and its closing quotes,
where white space and no lower-case letter follow (or at once after a full-width terminator), and at a line
end. Abbreviations before a capital are cut wrongly; for aligning two texts that costs little.
"""

from __future__ import annotations

import re

_CLOSERS = "\"'\u2019\u201c\u201d\u00bb\u203a)\\]\u300d\u300f\uff09"
_SPACED_END = re.compile(rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSERS}*_]*(?=\s)")
_ANY_END = re.compile(rf"[\u3002\uff01\uff1f\uff61]+[{_CLOSERS}]*|\n+|{_SPACED_END.pattern}")
_MINIMUM = 5


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open spans of the sentences, in code points, surrounding white space left out.

    Pieces of fewer than 5 code points (list numbers, interjections) join the sentence after them, the last
    one the sentence before it. A text without visible characters has none.
    """
    edges = [0]
    for match in _ANY_END.finditer(text):
        following = text[match.end() : match.end() + 2].lstrip()
        if not following[:1].islower() or "\n" in match.group():
            edges.append(match.end())
    edges.append(len(text))
    spans: list[tuple[int, int]] = []
    begin = 0
    for end in edges[1:]:
        start, stop = _strip(text, begin, end)
        if stop - start < _MINIMUM and end != len(text):
            continue
        begin = end
        if start == stop:
            continue
        if stop - start < _MINIMUM and spans:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


def _strip(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop
