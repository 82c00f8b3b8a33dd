"""Hits and their evidence, for people and for files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from kinprint.client.cli.terminal import out
from kinprint.client.types import (
    ChannelName,
    CopyEvidence,
    CorpusInfo,
    Difference,
    Evidence,
    Fill,
    Hit,
    SearchResult,
    SemanticEvidence,
    StyleEvidence,
    as_dict,
)
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

#: Share of the query's shingles below which a hit without a shared span says nothing.
_CHANCE = 0.05
#: Pairs of sentences shown for a hit, and code points of each sentence.
_PAIRS, _SENTENCE = 2, 60
#: From this chance on it is told in percent, below it as one in so many.
_COMMON = 0.1
BACKGROUND_NOTE = (
    "Scores are held against the texts that ship with Kinprint: this corpus has too few "
    "rows of its own, or they are not measured yet (that begins by itself after a load)."
)
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


def shares(found: SearchResult | CorpusInfo | Fill) -> dict[str, float]:
    """Share of the rows that each channel covers, by its name, of the semantic one that of its accurate tier.

    "semantic_fast" is the share of its fast tier. What the server did not tell is not there.
    """
    if isinstance(found, Fill):
        told = {} if found.accurate is None else {"semantic": found.accurate.share}
        fast = found.fast
    else:
        told = {item.channel: item.share for item in found.coverage}
        fast = found.coverage_fast
    return told if fast is None else {**told, "semantic_fast": fast.share}


def why(found: Evidence | None, *, compared: bool = False) -> str:
    """A line on what a person can check; "" where no evidence was asked for.

    Args:
        found: the evidence.
        compared: it is that of two texts, not of a search.
    """
    if isinstance(found, CopyEvidence):
        return _why_copy(found)
    if isinstance(found, SemanticEvidence):
        return _why_semantic(found, compared)
    if isinstance(found, StyleEvidence):
        leading = sorted(found.families, key=lambda item: -abs(item.contribution))[:3]
        text = ", ".join(f"{item.name} {item.contribution:+.2f}" for item in leading)
        for trait in found.traits[:2]:
            text += f"; {trait.name}: {trait.query_value:.3g} and {trait.match_value:.3g}"
        return text
    return ""


def _why_copy(found: CopyEvidence) -> str:
    disguised = f"; disguised: {', '.join(name.replace('_', ' ') for name in found.disguises)}"
    disguised = disguised if found.disguises else ""
    if found.identical:
        return f"the same text{disguised}"
    shared = sum(span.query_end - span.query_start for span in found.spans)
    count = len(found.spans) + found.spans_omitted
    text = f"Jaccard {found.jaccard:.2f}, {found.containment_query:.0%} of the query"
    if found.spans:
        longest = max(found.spans, key=lambda span: span.query_end - span.query_start)
        more = "at least " if found.spans_omitted else ""
        text += f", {more}{shared:,} code points in {count} span{'s' if count != 1 else ''}"
        text += f": “{shorten(longest.text, 80)}”{differing(longest.differences)}"
        told = [span.bits for span in found.spans if span.bits is not None]
        text += f", up to {max(told):.0f} bits" if told else ""
    elif found.containment_query < _CHANCE:
        text += ", no shared span: chance level"
    return text + disguised


def differing(differences: Iterable[Difference]) -> str:
    """How a stretch differs between two texts, in parentheses; nothing where it does not."""
    names = ", ".join(differences).replace("white_space", "white space").replace("unicode_form", "Unicode form")
    return f" (other {names})" if names else ""


def _why_semantic(found: SemanticEvidence, compared: bool) -> str:
    parts = [f"{found.tier} tier"] if found.tier else []
    parts.append(f"{len(found.sentences)} of {found.query_sentences} sentences pair up")
    if found.query_language and found.match_language and found.query_language != found.match_language:
        parts.append(f"{found.query_language} to {found.match_language}")
    if found.truncated:
        parts.append("part of a long text not compared")
    return "; ".join([", ".join(parts), *_worth(found, compared)])


def _worth(found: SemanticEvidence, compared: bool) -> list[str]:
    """What a score is worth, beside those of unrelated texts."""
    told = []
    unknown = found.p_floor is not None and found.p_floor >= 1.0
    if unknown:
        told.append("too few unrelated pairs were measured to tell its chance")
    elif found.p_value is not None:
        many = ("unrelated pairs", "is as alike", "are as alike")
        searches = ("searches of unrelated text", "finds as much", "find as much")
        told.append(_chance(found.p_value, found.p_floor, *(many if compared else searches)))
    if found.percentile is not None and not compared and not (unknown and found.percentile == 0.0):
        if found.percentile >= 1.0:
            told.append("above all unrelated pairs measured")
        else:
            told.append(f"above {_percent(found.percentile)} of unrelated pairs")
    if found.same_prompt_p is not None:
        answers = ("pairs of answers to one prompt", "is as alike", "are as alike")
        told.append(_chance(found.same_prompt_p, found.same_prompt_floor, *answers))
    return told


def _chance(p: float, floor: float | None, things: str, one: str, more: str) -> str:
    """A p-value in words: one in so many things does something, or a share of them do; "at most" where it is the least
    that can be told."""
    least = floor is not None and p <= floor
    p = max(p, floor or 0.0)
    if p <= 0.0:
        return "p 0"
    sign, bound = ("≤ ", "at most ") if least else ("", "")
    if p >= _COMMON:
        return f"p {sign}{p:.2g}: {bound}{p:.0%} of {things} {more}"
    return f"p {sign}{p:.2g}: {bound}one in {_rounded_down(1.0 / p):,} {things} {one}"


def _rounded_down(value: float) -> int:
    """The whole number of two digits that is no more: a bound on a chance stays one."""
    value *= 1.0 + 1e-9  # 1 / 0.01 may be a hair below 100
    step: int = 10 ** max(int(math.log10(value)) - 1, 0)
    return int(value // step) * step


def _percent(share: float) -> str:
    """A share below 1 in percent, with as many digits as keep it from reading 100%."""
    for digits in range(7):
        text = f"{share:.{digits}%}"
        if not text.startswith("100"):
            return text
    return "over 99.999999%"


def sentence_pairs(found: Evidence | None) -> list[str]:
    """The nearest pairs of sentences, a line each; none where the evidence has no texts."""
    if not isinstance(found, SemanticEvidence):
        return []
    pairs = [pair for pair in found.pairs if pair.query_text or pair.match_text][:_PAIRS]
    return [
        f"{pair.cosine:.2f}  “{shorten(pair.query_text, _SENTENCE)}” ~ “{shorten(pair.match_text, _SENTENCE)}”"
        for pair in pairs
    ]


def _covered(name: ChannelName, coverage: Mapping[str, float]) -> str:
    """How much of the corpora a channel covers, in brackets; "" when that is all."""
    share = coverage.get(name)
    fast = coverage.get("semantic_fast") if name == "semantic" else None
    if fast is None:
        share = share or 0.0
        return "" if share >= 1.0 else f" ({share:.0%} of the rows have this channel)"
    if share is None:
        return f" (fast tier of {fast:.0%} of the rows)"
    return "" if share >= 1.0 else f" (accurate tier of {share:.0%} of the rows, fast tier of {fast:.0%})"


def show_hits(hits: list[Hit], coverage: Mapping[str, float], channels: list[ChannelName]) -> None:
    """Hits as tables, one a channel."""
    for name in channels:
        note = _covered(name, coverage)
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
            pairs = sentence_pairs(hit.evidence)
            lines += [f"[dim]{escape(pair)}[/dim]" for pair in pairs]
            # The spans of a copy and paired sentences say more than how the text begins.
            if hit.snippet and not pairs and not isinstance(hit.evidence, CopyEvidence):
                lines.append(f"[dim]“{escape(shorten(hit.snippet, 100))}”[/dim]")
            table.add_row(str(hit.rank), f"{hit.score:.3f}", "\n".join(lines))
        out.print(table)
        if any(
            isinstance(hit.evidence, SemanticEvidence) and hit.evidence.calibration == "background" for hit in chosen
        ):
            out.print(f"[dim]{BACKGROUND_NOTE}[/dim]")
        if name == "style":
            out.print(f"[dim]{STYLE_NOTE}[/dim]")
