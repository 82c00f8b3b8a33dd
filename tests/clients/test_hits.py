"""Hits as tables and rows, with evidence and without."""

from __future__ import annotations

import pytest
from kinprint.client import CopyEvidence, Hit, Span
from kinprint.client.cli import terminal
from kinprint.client.cli.hits import hit_row, show_hits, why

COPY = CopyEvidence(0.5, 0.75, 0.6, 6, 8, 10, False, False, (Span(0, 9, 3, 12, "reading [a"),), 1)


def hit(rank: int, evidence: CopyEvidence | None) -> Hit:
    return Hit("copy", rank, "news", f"id{rank}", "anna", 1 / rank, "en", None, None, None, evidence, "How it [begins]")


def test_a_hit_without_evidence_shows_how_its_text_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "width", 100)
    show_hits([hit(1, COPY), hit(2, None)], {"copy": 1.0}, ["copy"])
    first, second = capsys.readouterr().out.split("id1")[1].split("id2")
    assert "Jaccard 0.50, 75% of the query, at least 9 code points in 2 spans: “reading [a”" in first
    assert "begins" not in first
    assert "“How it [begins]”" in second
    assert "Jaccard" not in second


def test_no_evidence_is_null_for_machines() -> None:
    assert hit_row(hit(1, None))["evidence"] is None
    assert hit_row(hit(1, COPY))["evidence"]["jaccard"] == 0.5
    assert why(None) == ""
