"""Hits as tables and rows, with evidence and without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kinprint.client import CopyEvidence, Hit, SemanticEvidence, SentenceMatch, Span
from kinprint.client.cli import terminal
from kinprint.client.cli.hits import hit_row, show_hits, why

PAIRS = (
    SentenceMatch(0, 9, 0, 9, 0.91, "It rains.", "Il pleut."),
    SentenceMatch(10, 30, 10, 30, 0.8, "We [stay] at home, " + "all of us, " * 9, "Nous restons chez nous."),
    SentenceMatch(31, 40, 31, 40, 0.7, "The third.", "Le troisième."),
)
MEANING = SemanticEvidence(
    alignment=0.6,
    cosine=0.7,
    background_mean=0.1,
    background_sd=0.05,
    z=10.0,
    query_language="en",
    match_language="fr",
    truncated=False,
    query_sentences=4,
    match_sentences=5,
    sentences=PAIRS,
    tier="accurate",
    percentile=0.9998,
    p_value=0.002,
    p_floor=0.001,
    same_prompt_p=0.05,
    same_prompt_floor=0.01,
    calibration="corpus",
)
COPY = CopyEvidence(0.5, 0.75, 0.6, 6, 8, 10, False, False, (Span(0, 9, 3, 12, "reading [a"),), 1)


def meant(**changes: Any) -> str:
    """The line on evidence that differs from `MEANING` in something."""
    return why(replace(MEANING, **changes))


def hit(rank: int, evidence: CopyEvidence | None) -> Hit:
    return Hit("copy", rank, "news", f"id{rank}", "anna", 1 / rank, "en", None, None, None, evidence, "How it [begins]")


def test_a_hit_without_evidence_shows_how_its_text_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 100)
    show_hits([hit(1, COPY), hit(2, None)], {"copy": 1.0}, ["copy"])
    first, second = capsys.readouterr().out.split("id1")[1].split("id2")
    assert "Jaccard 0.50, 75% of the query, at least 9 code points in 2 spans: “reading [a”" in first
    assert "begins" not in first
    assert "“How it [begins]”" in second
    assert "Jaccard" not in second


def test_how_a_span_differs_is_told() -> None:
    other = replace(COPY, spans=(replace(COPY.spans[0], differences=("white_space", "unicode_form")),))
    assert why(other) == why(COPY) + " (other white space, Unicode form)"


def test_no_evidence_is_null_for_machines() -> None:
    assert hit_row(hit(1, None))["evidence"] is None
    assert hit_row(hit(1, COPY))["evidence"]["jaccard"] == 0.5
    assert why(None) == ""


def test_a_likeness_of_meaning_is_told_as_a_chance() -> None:
    assert meant() == (
        "accurate tier, 3 of 4 sentences pair up, en to fr; "
        "p 0.002: one in 500 searches of unrelated text finds as much; above 99.98% of unrelated pairs; "
        "p 0.05: one in 20 pairs of answers to one prompt is as alike"
    )
    assert "standard" not in meant() + why(MEANING, compared=True)
    assert "sd" not in meant().split()


def test_the_least_chance_that_can_be_told_is_a_bound() -> None:
    least = "p ≤ 0.001: at most one in 1,000 searches of unrelated text finds as much"
    assert least in meant(p_value=0.001)
    assert least in meant(p_value=0.0)
    assert "at most" not in meant(p_value=0.0011).split(";")[1]
    # A bound stays one when it is rounded.
    assert "at most one in 340 searches" in meant(p_value=0.0, p_floor=1 / 349)
    assert "at most 25% of searches of unrelated text find as much" in meant(p_value=0.25, p_floor=0.25)
    assert "p ≤ 0.01: at most one in 100 pairs of answers to one prompt is as alike" in meant(same_prompt_p=0.01)


def test_what_is_common_is_told_in_percent() -> None:
    assert "p 0.37: 37% of searches of unrelated text find as much" in meant(p_value=0.37)
    assert "above 95% of unrelated pairs" in meant(percentile=0.953)
    assert "above all unrelated pairs measured" in meant(percentile=1.0)
    assert "above 99.9999% of unrelated pairs" in meant(percentile=0.999999)


def test_what_was_not_measured_is_not_told() -> None:
    bare = meant(tier=None, percentile=None, p_value=None, p_floor=None, same_prompt_p=None, calibration=None)
    assert bare == "3 of 4 sentences pair up, en to fr"
    assert "too few unrelated pairs were measured" in meant(p_value=1.0, p_floor=1.0)


def test_a_comparison_of_two_texts_speaks_of_one_pair() -> None:
    text = why(MEANING, compared=True)
    assert "p 0.002: one in 500 unrelated pairs is as alike" in text
    assert "searches" not in text


def test_a_hit_by_meaning_shows_its_two_best_pairs_of_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 300)
    found = replace(hit(1, None), channel="semantic", evidence=MEANING)
    show_hits([found], {"semantic": 0.25, "semantic_fast": 1.0}, ["semantic"])
    text = capsys.readouterr().out
    assert "semantic (accurate tier of 25% of the rows, fast tier of 100%)" in text
    assert "0.91  “It rains.” ~ “Il pleut.”" in text
    assert "“We [stay] at home," in text
    assert "…” ~ “Nous restons chez nous.”" in text
    assert "The third." not in text
    assert "begins" not in text
    # A server that sends no sentences: how the text begins.
    show_hits([replace(found, evidence=replace(MEANING, sentences=()))], {"semantic_fast": 1.0}, ["semantic"])
    text = capsys.readouterr().out
    assert "semantic (fast tier of 100% of the rows)" in text
    assert "begins" in text
    show_hits([found], {"semantic": 1.0, "semantic_fast": 1.0}, ["semantic"])
    text = capsys.readouterr().out
    assert "tier of" not in text
    assert "texts that ship with Kinprint" not in text
    background = replace(found, evidence=replace(MEANING, calibration="background"))
    show_hits([background, background], {"semantic": 1.0}, ["semantic"])
    assert capsys.readouterr().out.count("texts that ship with Kinprint") == 1
