"""Cuts a text into sentences, in any script, without a model or a language.

A rule of the kind of Unicode Standard Annex 29: a sentence ends after a terminator and its closing quotes,
where white space and no lower-case letter follow (or at once after a full-width terminator), and at a line
end. Abbreviations before a capital are cut wrongly; for aligning two texts that costs little.
"""

from __future__ import annotations

import re

_CLOSERS = "\"'\u2019\u201c\u201d\u00bb\u203a)\\]\u300d\u300f\uff09"
_TERMINATORS = r".!?\u2026\u061f\u06d4\u0964"
# Possessive, and never begun within a run of terminators: a run is looked at once, whatever follows it.
_SPACED_END = rf"(?<![{_TERMINATORS}])[{_TERMINATORS}]++[{_CLOSERS}*_]*+(?=\s)"
_ANY_END = re.compile(rf"[\u3002\uff01\uff1f\uff61]++[{_CLOSERS}]*+|\n++|{_SPACED_END}")
_MINIMUM = 5


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open spans of the sentences, in code points, surrounding white space left out.

    Pieces of fewer than 5 code points (list numbers, interjections) join the sentence after them, the last
    one the sentence before it. A text without visible characters has none.
    """
    ends = []
    for match in _ANY_END.finditer(text):
        following = text[match.end() : match.end() + 2].lstrip()
        if not following[:1].islower() or "\n" in match.group():
            ends.append(match.end())
    ends.append(len(text))
    spans: list[tuple[int, int]] = []
    begin = start = stop = looked = 0
    for end in ends:
        # `start`, `stop`: text[begin:end] without surrounding white space. Both only move on, so that each character
        # is looked at a bounded number of times, however many ends it takes to make a sentence.
        while start < end and text[start].isspace():
            start += 1
        last = end
        while last > looked and text[last - 1].isspace():
            last -= 1
        if last > looked:
            stop = last
        looked = end
        visible = stop - start if start < end else 0
        if visible < _MINIMUM and end != len(text):
            continue
        begin = end
        if not visible:
            start = begin
            continue
        if visible < _MINIMUM and spans:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
        start = begin
    return spans
