"""`kinprint search`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from kinprint.client.cli.columns import HITS
from kinprint.client.cli.hits import hit_row, shares, show_hits
from kinprint.client.cli.starting import FILTERS
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    CorporaOption,
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    OutOption,
    SeeThroughOption,
    ServerOption,
    fail,
    guarded,
    needed_model,
    open_client,
    print_json,
    warn,
)
from kinprint.client.cli.texts import parse_channels, parse_tier, parse_time, read_text
from kinprint.client.errors import FailedPreconditionError, NotFoundError
from kinprint.client.sync import Client
from kinprint.client.types import Filter, SearchResult, as_dict
from kinprint.client.wording import counted

_UNFILLED = ("CHANNEL_NOT_FILLED", "CHANNEL_UNAVAILABLE")


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
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; repeatable.", rich_help_panel=FILTERS)
    ] = None,
    not_model: Annotated[
        list[str] | None, typer.Option("--not-model", help="Not this model.", rich_help_panel=FILTERS)
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option("--language", help="Only this language.", rich_help_panel=FILTERS)
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", help="Only this account.", rich_help_panel=FILTERS)
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Created at or after (ISO 8601).", rich_help_panel=FILTERS)
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Created before (ISO 8601).", rich_help_panel=FILTERS)
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Least score of a hit.", rich_help_panel=FILTERS)
    ] = None,
    max_evidence: Annotated[
        int | None,
        typer.Option("--max-evidence", min=0, max=1000, help="Hits per channel with evidence. Default: 10."),
    ] = None,
    tier: Annotated[
        str,
        typer.Option(
            "--tier",
            metavar="auto|fast|accurate",
            help="Vectors that --channel semantic goes by. auto: of each row the best that it has.",
        ),
    ] = "auto",
    see_through: SeeThroughOption = True,
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
    chosen = parse_channels(channel or ["copy"])
    chosen_tier = parse_tier(tier)
    if chosen_tier is not None and "semantic" not in chosen:
        fail(f"--tier {tier} goes with --channel semantic")
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
                    max_evidence=max_evidence,
                    tier=chosen_tier if name == "semantic" else None,
                    see_through=see_through,
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
            coverage |= shares(result)
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
        "tier": tier,
        "see_through": see_through,
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
        told = [as_dict(result.provenance) for result in results]
        found = {"query": named, "coverage": coverage, "hits": [hit_row(hit) for hit in hits], "provenance": told}
        print_json(found)
    elif output is None:
        show_hits(hits, coverage, chosen)
    else:
        warn(f"{counted(len(hits), 'hit')} written to {output}")


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
    corpus = corpora[0]
    try:
        client.get(corpus, given)
    except NotFoundError as error:
        if error.reason == "CORPUS_NOT_FOUND":
            raise
        return corpus, given.removeprefix(f"{corpus}/")
    return corpus, given
