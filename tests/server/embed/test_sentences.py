"""Cutting a text into sentences: where, and in a time that grows no faster than the text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.embed.sentences import sentences
from kinprint.server.embed.sentences import sentence_spans
from kinprint.server.embed.space import grouped_spans

_CLOSERS = "\"'\u2019\u201c\u201d\u00bb\u203a)\\]\u300d\u300f\uff09"
_SPACED_END = re.compile(rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSERS}*_]*(?=\s)")
_ANY_END = re.compile(rf"[\u3002\uff01\uff1f\uff61]+[{_CLOSERS}]*|\n+|{_SPACED_END.pattern}")


def reference(text: str) -> list[tuple[int, int]]:
    """The rule as one reads it, quadratic on some texts."""
    edges = []
    for match in _ANY_END.finditer(text):
        following = text[match.end() : match.end() + 2].lstrip()
        if not following[:1].islower() or "\n" in match.group():
            edges.append(match.end())
    spans: list[tuple[int, int]] = []
    begin = 0
    for end in [*edges, len(text)]:
        start = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
        stop = begin + len(text[begin:end].rstrip())
        if stop - start < 5 and end != len(text):
            continue
        begin = end
        if start >= stop:
            continue
        if stop - start < 5 and spans:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


@given(st.text(st.sampled_from(".!?…؟。！｡\"')*_»  \n\n\t aBcdÉ漢字"), max_size=60))
def test_spans_are_those_of_the_rule(text: str) -> None:
    assert sentence_spans(text) == reference(text)


@settings(deadline=None)
@given(st.text(st.sampled_from(".!?…؟。！｡\"')*_»  \n\n\t aBcdÉ漢字"), max_size=60), st.integers(1, 64))
def test_kernel_cuts_the_same_sentences(text: str, most: int) -> None:
    made = sentences(Texts.from_offsets(*from_texts([text])), most)
    assert list(map(tuple, made.points.tolist())) == grouped_spans(text, most)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "." * n + "x end",
        lambda n: " \n" * (n // 2) + "text",
        lambda n: "a" + " \n" * (n // 2) + "text",
        lambda n: '."' * (n // 2),
        lambda n: "。" * n,
        lambda n: "a\n" * (n // 2),
    ],
)
def test_work_grows_no_faster_than_the_text(make: Callable[[int], str]) -> None:
    """Counted, not timed: lines of the module that run on a text, and on one four times as long."""

    def lines(text: str) -> int:
        count = 0

        def trace(frame, event, argument):  # type: ignore[no-untyped-def]
            nonlocal count
            count += event == "line"
            return trace

        sys.settrace(trace)
        try:
            sentence_spans(text)
        finally:
            sys.settrace(None)
        return count

    assert lines(make(16_000)) <= 4.2 * lines(make(4_000)) + 100


def test_a_run_of_terminators_is_looked_at_once() -> None:
    # A regular expression that looks at it again from each of its characters would take hours here.
    text = "." * (1 << 20) + "x end"
    assert sentence_spans(text) == [(0, len(text))]
