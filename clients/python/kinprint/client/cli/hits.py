"""Hits and their evidence, for people and for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.cli.terminal import out
from kinprint.client.types import ChannelName, CopyEvidence, Evidence, Hit, SemanticEvidence, StyleEvidence, as_dict
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

#: Share of the query's shingles below which a hit without a shared span says nothing.
_CHANCE = 0.05
STYLE_NOTE = "Likeness of style is a lead, not an attribution: many writers share habits."


def hit_row(hit: Hit) -> dict[str, Any]:
    """A hit as the JSON output has it."""
    return {
        "channel": hit.channel,
        "rank": hit.rank,
        "id": hit.id,
        "corpus": hit.corpus,
        "model": hit.model,
        "score": hit.score,
        "evidence": as_dict(hit.evidence),
        "language": hit.language,
        "account_id": hit.account_id,
        "created_at": as_dict(hit.created_at),
        "prompt_key": hit.prompt_key,
        "snippet": hit.snippet,
    }


def shorten(text: str, width: int) -> str:
    """`text` on one line, in at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def why(found: Evidence | None) -> str:
    """A line on what a person can check; "" where no evidence was asked for."""
    if isinstance(found, CopyEvidence):
        return _why_copy(found)
    if isinstance(found, SemanticEvidence):
        text = f"{len(found.sentences)} of {found.query_sentences} sentences pair up, "
        text += f"{found.z:.1f} sd above unrelated texts"
        if found.query_language and found.match_language and found.query_language != found.match_language:
            text += f", {found.query_language} to {found.match_language}"
        return text + (", part of a long text not compared" if found.truncated else "")
    if isinstance(found, StyleEvidence):
        leading = sorted(found.families, key=lambda item: -abs(item.contribution))[:3]
        text = ", ".join(f"{item.name} {item.contribution:+.2f}" for item in leading)
        for trait in found.traits[:2]:
            text += f"; {trait.name}: {trait.query_value:.3g} and {trait.match_value:.3g}"
        return text
    return ""


def _why_copy(found: CopyEvidence) -> str:
    if found.identical:
        return "the same text"
    shared = sum(span.query_end - span.query_start for span in found.spans)
    count = len(found.spans) + found.spans_omitted
    text = f"Jaccard {found.jaccard:.2f}, {found.containment_query:.0%} of the query"
    if found.spans:
        longest = max(found.spans, key=lambda span: span.query_end - span.query_start)
        more = "at least " if found.spans_omitted else ""
        text += f", {more}{shared:,} code points in {count} span{'s' if count != 1 else ''}"
        text += f": “{shorten(longest.text, 80)}”"
    elif found.containment_query < _CHANCE:
        text += ", no shared span: chance level"
    return text


def show_hits(hits: list[Hit], coverage: Mapping[str, float], channels: list[ChannelName]) -> None:
    """Hits as tables, one a channel."""
    for name in channels:
        share = coverage.get(name, 0.0)
        note = "" if share >= 1.0 else f" ({share:.0%} of the rows have this channel)"
        chosen = [hit for hit in hits if hit.channel == name]
        if not chosen:
            out.print(f"[bold]{name}[/bold]{note}: nothing found")
            continue
        # Ids and models can be long: they share a column with what is found, so that 80 columns are enough.
        table = Table(title=f"{name}{note}", title_justify="left", box=SIMPLE_HEAD, expand=False)
        for column in ("rank", "score"):
            table.add_column(column, justify="right")
        table.add_column("transcript, model, why", overflow="fold")
        several = len({hit.corpus for hit in hits}) > 1
        for hit in chosen:
            label = f"{hit.corpus}/{hit.id}" if several else hit.id
            lines = [f"[bold]{escape(label)}[/bold]  {escape(hit.model or '-')}"]
            if hit.evidence is not None:
                lines.append(escape(why(hit.evidence)))
            # The spans of a copy say more than how its text begins.
            if hit.snippet and not isinstance(hit.evidence, CopyEvidence):
                lines.append(f"[dim]“{escape(shorten(hit.snippet, 100))}”[/dim]")
            table.add_row(str(hit.rank), f"{hit.score:.3f}", "\n".join(lines))
        out.print(table)
        if name == "style":
            out.print(f"[dim]{STYLE_NOTE}[/dim]")
