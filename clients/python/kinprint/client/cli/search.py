"""`kinprint search` and `kinprint compare`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from kinprint.client.cli.tables import HITS, TableWriter
from kinprint.client.cli.terminal import (
    CorporaOption,
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    OutOption,
    ServerOption,
    fail,
    guarded,
    needed_model,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.errors import FailedPreconditionError
from kinprint.client.sync import Client
from kinprint.client.types import (
    CHANNELS,
    ChannelName,
    CopyEvidence,
    Filter,
    Hit,
    SearchResult,
    SemanticEvidence,
    StyleEvidence,
    TranscriptRef,
    as_dict,
)
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

#: Share of the query's shingles below which a hit without a shared span says nothing.
_CHANCE = 0.05
_UNFILLED = ("CHANNEL_NOT_FILLED", "CHANNEL_UNAVAILABLE")
_STYLE_NOTE = "Likeness of style is a lead, not an attribution: many writers share habits."


def read_text(name: str) -> str:
    """The text of a file, or of standard input for "-".

    Raises:
        CommandError: it is not valid UTF-8; says where.
        OSError: it cannot be read.
    """
    data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = "standard input" if name == "-" else name
        fail(f"{where} is not valid UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}")


def parse_time(text: str | None, option: str) -> datetime | None:
    """A time from an option: ISO 8601, UTC unless it says otherwise.

    Raises:
        CommandError: it cannot be read.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} wants a date or time like 2026-03-01 or 2026-03-01T12:00:00Z, not {text!r}")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _channels(names: list[str]) -> list[ChannelName]:
    chosen: list[str] = []
    for name in (part.strip() for text in names for part in text.split(",")):
        if name == "all":
            chosen += CHANNELS
        elif name in CHANNELS:
            chosen.append(name)
        else:
            fail(f"unknown channel {name!r}; known: {', '.join(CHANNELS)}, all")
    return cast("list[ChannelName]", list(dict.fromkeys(chosen)))


@guarded
def search(
    corpora: CorporaOption,
    standard_input: Annotated[
        str | None, typer.Argument(metavar="-", help="- reads the text from standard input.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    text: Annotated[str | None, typer.Option("--text", help="The text to look for.")] = None,
    file: Annotated[str | None, typer.Option("--file", metavar="F", help="A file with the text (UTF-8), or -.")] = None,
    transcript_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="A stored transcript: its id, or corpus/id.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", help="copy, semantic, style or all; may be repeated. Default: copy."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=1000, help="Most hits per channel.")] = 10,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")] = None,
    not_model: Annotated[list[str] | None, typer.Option("--not-model", help="Not this model.")] = None,
    language: Annotated[list[str] | None, typer.Option("--language", help="Only this language.")] = None,
    account: Annotated[list[str] | None, typer.Option("--account", help="Only this account.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Created at or after (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Created before (ISO 8601).")] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Least score of a hit.")] = None,
    embedding_model: EmbeddingModelOption = "default",
    output: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find where a text occurs, and what resembles it."""
    given_sources = {"--text": text, "--file": file, "--id": transcript_id, "-": standard_input}
    sources = [name for name, value in given_sources.items() if value is not None]
    if len(sources) != 1:
        given = f"not {' and '.join(sources)}" if sources else "none is given"
        fail(f"give one of --text, --file, --id or - (standard input); {given}")
    if standard_input not in (None, "-"):
        fail(f"unexpected {standard_input!r}: give the text with --text, or a file with --file")
    if file is not None or standard_input is not None:
        text = read_text(file or "-")
    chosen = _channels(channel or ["copy"])
    everything = any("all" in name.split(",") for name in channel or [])
    named: dict[str, Any] = {}
    query_corpus: str | None = None
    if transcript_id is not None:
        query_corpus, transcript_id = split_id(transcript_id, corpora)
    row_filter = Filter(
        models=model or (),
        exclude_models=not_model or (),
        languages=language or (),
        account_ids=account or (),
        created_from=parse_time(since, "--since"),
        created_before=parse_time(until, "--until"),
    )
    results: list[SearchResult] = []
    coverage: dict[str, float] = {}
    unfilled: list[FailedPreconditionError] = []
    with open_client(server, data, embedding_model=needed_model(embedding_model, chosen)) as client:
        if transcript_id is not None and query_corpus is None:
            query_corpus, transcript_id = _locate(client, transcript_id, corpora)
        for name in chosen:
            try:
                result = client.search(
                    text,
                    id=transcript_id,
                    corpus=query_corpus,
                    corpora=corpora,
                    channels=[name],
                    top=top,
                    filter=row_filter,
                    min_score=min_score,
                )
            except FailedPreconditionError as error:
                if error.reason not in _UNFILLED:
                    raise
                if error.reason == "CHANNEL_NOT_FILLED":  # ends with the command that fills it; here it has a target
                    error.message += f" --data {data}" if data else f" --server {server}" if server else ""
                if not everything:
                    raise
                unfilled.append(error)
                coverage[name] = 0.0
                continue
            results.append(result)
            coverage |= {item.channel: item.share for item in result.coverage}
    if unfilled and not results:
        raise unfilled[0]
    for problem in unfilled:
        warn(f"note: {problem.message}")
    hits = [hit for result in results for hit in result.hits]
    info = results[0].query
    named = {
        "source": {"--text": "text", "--file": "file", "--id": "id", "-": "stdin"}[sources[0]],
        "corpora": corpora,
        "channels": chosen,
        "top": top,
        "code_points": info.code_points,
        "shingles": max(result.query.shingles for result in results),
        "language": info.language,
        "transcript": as_dict(info.transcript),
        "reasoning_removed": info.reasoning_removed,
        "seconds": sum(result.timings.total_seconds for result in results),
    }
    if output is not None:
        with TableWriter(output, HITS) as writer:
            for hit in hits:
                writer.write({**hit_row(hit), "created_at": hit.created_at})
    if json_output:
        print_json({"query": named, "coverage": coverage, "hits": [hit_row(hit) for hit in hits]})
    elif output is None:
        show_hits(hits, coverage, chosen)
    else:
        warn(f"{len(hits)} hits written to {output}")


def split_id(given: str, corpora: list[str]) -> tuple[str | None, str]:
    """The corpus and the id that `--id` names; corpus None when only the server can tell.

    With one corpus the whole text is the id, so ids may hold slashes.
    """
    if len(corpora) == 1:
        prefix = f"{corpora[0]}/"
        return (None, given) if given.startswith(prefix) else (corpora[0], given)
    corpus, mark, rest = given.partition("/")
    if not mark or corpus not in corpora:
        fail(f"several corpora are searched: say which one has the id, as --id CORPUS/{given}")
    return corpus, rest


def _locate(client: Client, given: str, corpora: list[str]) -> tuple[str, str]:
    from kinprint.client.errors import NotFoundError

    corpus = corpora[0]
    try:
        client.get(corpus, given)
    except NotFoundError as error:
        if error.reason == "CORPUS_NOT_FOUND":
            raise
        return corpus, given.removeprefix(f"{corpus}/")
    return corpus, given


def hit_row(hit: Hit) -> dict[str, Any]:
    """A hit as the JSON output has it."""
    return {
        "channel": hit.channel,
        "rank": hit.rank,
        "id": hit.id,
        "corpus": hit.corpus,
        "model": hit.model,
        "score": hit.score,
        "evidence": as_dict(hit.evidence) if hit.evidence is not None else {},
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


def why(hit: Hit | None, evidence: Any = None) -> str:
    """A line on what a person can check."""
    found = evidence if hit is None else hit.evidence
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
            lines = f"[bold]{escape(label)}[/bold]  {escape(hit.model or '-')}\n{escape(why(hit))}"
            if name != "copy" and hit.snippet:
                lines += f"\n[dim]“{escape(shorten(hit.snippet, 100))}”[/dim]"
            table.add_row(str(hit.rank), f"{hit.score:.3f}", lines)
        out.print(table)
        if name == "style":
            out.print(f"[dim]{_STYLE_NOTE}[/dim]")


@guarded
def compare(
    a: Annotated[
        str,
        typer.Argument(help="A file, - (standard input), text:WORDS, id:ID or id:CORPUS/ID (see --corpus)."),
    ],
    b: Annotated[str, typer.Argument(help="The same.")],
    server: ServerOption = None,
    data: DataOption = None,
    corpus: Annotated[str | None, typer.Option("--corpus", help="Corpus of id:ID.")] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", help="copy, semantic, style or all. Default: what there is."),
    ] = None,
    embedding_model: EmbeddingModelOption = "default",
    json_output: JsonOption = False,
) -> None:
    """Compare two texts or stored transcripts, with the spans that they share."""
    if a == "-" and b == "-":
        fail("standard input can be one of the two texts, not both")
    left, right = (_compared(value, corpus) for value in (a, b))
    chosen = _channels(channel) if channel else []
    with open_client(server, data, embedding_model=needed_model(embedding_model, chosen)) as client:
        result = client.compare(left, right, channels=chosen)
    if json_output:
        print_json({name: as_dict(getattr(result, name)) for name in CHANNELS if getattr(result, name)})
        return
    table = Table()
    table.add_column("channel")
    table.add_column("score", justify="right")
    table.add_column("why", overflow="fold")
    if result.copy is not None:
        score = max(result.copy.jaccard, result.copy.containment_query)
        table.add_row("copy", f"{score:.3f}", escape(why(None, result.copy)))
    if result.semantic is not None:
        table.add_row("semantic", f"{result.semantic.alignment:.3f}", escape(why(None, result.semantic)))
    if result.style is not None:
        table.add_row("style", f"{result.style.cosine_delta:.3f}", escape(why(None, result.style)))
    out.print(table)
    if result.copy is not None and not result.copy.identical:
        for span in result.copy.spans[:10]:
            place = f"{span.query_start}-{span.query_end} = {span.match_start}-{span.match_end}"
            out.print(f"  {place}  “{escape(shorten(span.text, 100))}”", soft_wrap=True)
    if result.style is not None:
        out.print(f"[dim]{_STYLE_NOTE}[/dim]")


def _compared(value: str, corpus: str | None) -> str | TranscriptRef:
    if value.startswith("text:"):
        return value.removeprefix("text:")
    if value.startswith("id:"):
        name = value.removeprefix("id:")
        if corpus is not None:
            return TranscriptRef(corpus, name)
        home, mark, rest = name.partition("/")
        if not mark:
            fail(f"say which corpus has {name!r}: id:CORPUS/{name}, or --corpus")
        return TranscriptRef(home, rest)
    if value != "-" and not Path(value).expanduser().is_file():
        fail(f"no file {value!r}; for a text write text:..., for a stored transcript id:CORPUS/ID")
    return read_text(value)
