"""`kinprint corpora`, `get`, `export`, `delete`, `purge` and `info`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.columns import CORPORA, TRANSCRIPTS
from kinprint.client.cli.hits import shares
from kinprint.client.cli.load_view import watch_server
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.starting import OUTPUT
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    JsonOption,
    OutOption,
    QuietOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.errors import FailedPreconditionError
from kinprint.client.files.ndjson import transcript_row
from kinprint.client.sync import Client
from kinprint.client.types import CHANNELS, ChannelName, CorpusInfo, Filter, PurgeProgress, ServerLimits, as_dict
from kinprint.client.wording import counted
from rich.markup import escape
from rich.table import Table

_LISTED = 12


def _shares(corpus: CorpusInfo) -> dict[str, float]:
    """Shares as `shares` names them, of what is filled at all."""
    found = [*corpus.coverage, *([] if corpus.coverage_fast is None else [corpus.coverage_fast])]
    filled = {"semantic_fast" if item.tier == "fast" else item.channel for item in found if item.filled}
    return {name: share for name, share in shares(corpus).items() if name in filled}


def _listed(corpus: CorpusInfo) -> dict[str, Any]:
    """A corpus of a list as JSON, without what only the description of one corpus tells."""
    told = as_dict(corpus)
    return {key: told[key] for key in told if key not in ("models", "languages", "disk_bytes", "semantic")}


@guarded
def corpora(
    name: Annotated[str | None, typer.Argument(help="Show this one, with its models and languages.")] = None,
    server: ServerOption = None,
    data: DataOption = None,
    output: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the corpora, or describe one."""
    with open_client(server, data) as client:
        found = [client.get_corpus(name)] if name is not None else list(client.list_corpora())
    if output is not None:
        with TableWriter(output, CORPORA) as writer:
            for corpus in found:
                row: dict[str, Any] = {key: getattr(corpus, key, None) for key in CORPORA}
                row |= {name: _shares(corpus).get(name, 0.0) for name in (*CHANNELS, "semantic_fast")}
                writer.write(row)
    if json_output:
        print_json(found[0] if name is not None else {"corpora": [_listed(corpus) for corpus in found]})
        return
    if output is not None:
        return
    if name is not None:
        _show_corpus(found[0])
        return
    if not found:
        out.print("no corpora yet: kinprint load FILE... --corpus NAME")
        return
    table = Table()
    table.add_column("corpus")
    for column in ("transcripts", "blank", *CHANNELS):
        table.add_column(column, justify="right")
    table.add_column("created")
    for corpus in found:
        if corpus.unavailable:
            table.add_row(escape(corpus.name), "[red]unavailable[/red]", *["-"] * (len(CHANNELS) + 2))
            continue
        covered = _shares(corpus)
        created = f"{corpus.created_at:%Y-%m-%d %H:%M}" if corpus.created_at else "-"
        table.add_row(
            escape(corpus.name),
            f"{corpus.transcripts:,}",
            f"{corpus.blank:,}",
            *(_cell(covered, channel) for channel in CHANNELS),
            created,
        )
    out.print(table)
    if any("(" in _cell(_shares(corpus), "semantic") for corpus in found):
        out.print("[dim]semantic: rows of the accurate tier (of the fast tier)[/dim]")
    for corpus in found:
        if corpus.unavailable:
            warn(f"{corpus.name} is unavailable: {corpus.unavailable}")


def _cell(covered: Mapping[str, float], channel: ChannelName) -> str:
    """Share of the rows that have a channel; of the semantic one, while it is not complete, with its fast tier's."""
    text = f"{covered[channel]:.0%}" if channel in covered else "-"
    fast = covered.get("semantic_fast") if channel == "semantic" else None
    return text if fast is None or covered.get(channel) == 1.0 else f"{text} ({fast:.0%})"


def _meaning(corpus: CorpusInfo) -> list[tuple[str, str]]:
    """What the semantic channel searches, as rows of a table."""
    index = corpus.semantic
    if index is None:
        return []

    def inverted(count: int, what: str, recall: float | None) -> str:
        if not count:
            return f"none: all {what} are scanned"
        found = "" if recall is None else f", which give {recall:.1%} of the exact ten nearest (measured when built)"
        return f"over {count:,} {what}{found}"

    table = f"{index.table_name or 'unnamed'} ({index.table_digest[:12]})" if index.table_digest else "none yet"
    pairs = f"{index.calibration_pairs:,} unrelated pairs of this corpus"
    rows = [
        ("fast tier", table),
        ("  inverted files", inverted(index.indexed_rows, "rows", index.row_recall)),
        ("accurate tier", f"model {index.model_digest[:12]}" if index.model_digest else "no model yet"),
        ("  inverted files", inverted(index.indexed_sentences, "sentences", index.sentence_recall)),
        ("scores held against", pairs if index.calibration_pairs else "the background texts that ship with Kinprint"),
    ]
    return rows if index.table_digest or index.model_digest else []


def _show_corpus(corpus: CorpusInfo) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    rows = [("corpus", corpus.name), ("description", corpus.description)]
    rows += [("transcripts", f"{corpus.transcripts:,}"), ("blank answers", f"{corpus.blank:,}")]
    for item in (*corpus.coverage, corpus.coverage_fast):
        if item is not None:
            label = f"{item.channel}, {item.tier}" if item.tier else item.channel
            rows.append((label, f"{item.filled:,} of {item.fillable:,} filled"))
    rows += _meaning(corpus)
    for label, counts in (("models", corpus.models), ("languages", corpus.languages)):
        text = ", ".join(f"{item.value or 'unknown'} {item.count:,}" for item in counts[:_LISTED])
        if len(counts) > _LISTED:
            text += f" and {len(counts) - _LISTED} more"
        rows.append((label, text))
    rows += [
        ("on disk", f"{corpus.disk_bytes / 1e6:,.1f} MB"),
        ("record version", str(corpus.record_version)),
    ]
    for label, value in rows:
        if value:
            table.add_row(label, escape(value))
    out.print(table)


@guarded
def get(
    corpus: CorpusOption,
    transcript_id: Annotated[str, typer.Option("--id", metavar="ID", help="Id of the transcript.")],
    server: ServerOption = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show one transcript."""
    with open_client(server, data) as client:
        transcript = client.get(corpus, transcript_id)
    if json_output:
        print_json(transcript)
        return
    for key, value in as_dict(transcript).items():
        if value in (None, "", {}, []) or key in ("prompt", "response", "reasoning", "system_prompt"):
            continue
        shown = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        shown = ", ".join(shown) if isinstance(shown, list) else shown
        out.print(f"[bold]{key}[/bold]: {escape(str(shown))}", soft_wrap=True)
    for key in ("system_prompt", "prompt", "reasoning", "response"):
        value = getattr(transcript, key)
        if value is not None:
            out.print(f"\n[bold]{key}[/bold]")
            out.print(escape(value), soft_wrap=True)


@guarded
def export(
    corpus: CorpusOption,
    output: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Parquet, CSV, TSV or NDJSON by extension; -: NDJSON to standard output.",
            rich_help_panel=OUTPUT,
        ),
    ],
    server: ServerOption = None,
    data: DataOption = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")] = None,
    language: Annotated[list[str] | None, typer.Option("--language", help="Only this language.")] = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Write a corpus to a file that `kinprint load` reads back.

    Parquet and NDJSON keep everything; in CSV and TSV an empty value and an absent one look the same.
    """
    row_filter = Filter(models=model or (), languages=language or ())
    with (
        open_client(server, data) as client,
        TableWriter(Path(output).expanduser(), TRANSCRIPTS) as writer,
        ProgressReport(f"exporting {corpus}", quiet=quiet) as bar,
    ):
        total = client.get_corpus(corpus).transcripts
        for transcript in client.list(corpus, filter=row_filter):
            writer.write(transcript_row(transcript))
            if writer.rows % 500 == 0:
                bar.update(min(1.0, writer.rows / max(total, 1)), f"{writer.rows:,} rows")
    if json_output:
        print_json({"corpus": corpus, "rows": writer.rows, "out": output})
    elif not (quiet and output == "-"):
        out.print(f"{counted(writer.rows, 'transcript')} written to {escape(output)}", soft_wrap=True)


@guarded
def delete(
    corpus: CorpusOption,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Id of a transcript; may be repeated.")
    ] = None,
    more_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="More ids.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Delete the whole corpus, for good.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete transcripts by id, or a whole corpus.

    Deleted transcripts are found no more; their text stays in the record's history until `kinprint purge`.
    Deleting a corpus erases it at once.
    """
    named = [*(ids or []), *(more_ids or [])]
    if whole == bool(named):
        fail("give the ids to delete with --id, or --all for the whole corpus")
    with open_client(server, data) as client:
        if whole:
            held = _held(client, corpus)
            if not yes and not sys.stdin.isatty():
                fail(f"{corpus} holds {held}; delete it with all it holds with --yes")
            if not yes and not typer.confirm(f"Delete {corpus} with {held} for good?", err=True):
                warn("nothing was deleted (--yes deletes without asking)")
                raise typer.Exit(1)
            removed = client.delete_corpus(corpus)
            result: dict[str, Any] = {"corpus": corpus, "deleted": removed, "not_found": 0}
            text = f"{corpus} is deleted with {counted(removed, 'transcript') if removed else held}"
        else:
            report = client.delete(corpus, named)
            result = {"corpus": corpus, "deleted": report.deleted, "not_found": report.not_found}
            text = f"{counted(report.deleted, 'transcript')} deleted"
            if report.not_found:
                text += f", {counted(report.not_found, 'id')} {'was' if report.not_found == 1 else 'were'} not there"
    if json_output:
        print_json(result)
    else:
        out.print(escape(text))
    if not whole and not result["deleted"]:
        raise typer.Exit(1)


def _held(client: Client, corpus: str) -> str:
    """What a corpus holds, for people; of one that cannot be opened only that it is so."""
    try:
        return counted(client.get_corpus(corpus).transcripts, "transcript")
    except FailedPreconditionError as error:
        if error.reason != "CORPUS_UNAVAILABLE":
            raise
        return "an unknown number of transcripts (it cannot be opened)"


@guarded
def purge(
    corpus: CorpusOption,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Erase this transcript too; repeatable.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Really erase what was deleted or replaced, and the given transcripts, from record and indexes."""
    with (
        open_client(server, data) as client,
        ProgressReport(f"purging {corpus}", quiet=quiet) as bar,
    ):

        def show(progress: PurgeProgress) -> None:
            bar.update(None, progress.step)

        result = client.purge(corpus, ids or (), progress=show)
    if json_output:
        told = {name: getattr(result, name) for name in ("erased", "record_version", "held_by_snapshots", "snapshots")}
        print_json({"corpus": corpus, **told})
    else:
        out.print(
            f"{escape(corpus)} is purged: {counted(result.erased, 'live transcript')} erased, with everything deleted "
            "or replaced before",
            soft_wrap=True,
        )
    if result.held_by_snapshots:
        named = f" ({', '.join(result.snapshots)}): kinprint snapshot delete NAME" if result.snapshots else ""
        warn(
            f"{counted(result.held_by_snapshots, 'snapshot holds', 'snapshots hold')} {corpus} as it was before{named}"
        )


def _at_a_time(limits: ServerLimits | None) -> str:
    """What the server takes at a time, for people."""
    if limits is None:
        return ""
    told = [
        f"{limits.max_calls:,} calls",
        f"{limits.max_streams:,} streams",
        f"{limits.max_inflight_bytes >> 20:,} MiB of requests",
        f"{limits.max_corpora:,} corpora",
    ]
    told += [f"{limits.rate} a caller"] if limits.rate else []
    told += [f"{limits.bytes_rate} (bytes) a caller"] if limits.bytes_rate else []
    return ", ".join(told)


@guarded
def info(
    corpus: Annotated[
        str | None, typer.Option("--corpus", metavar="NAME", help="Describe this corpus in place of the server.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch", metavar="SECONDS", min=0.1, help="Show what it does, every so many seconds, until Ctrl-C."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Describe the server: versions, limits, model, threads.

    Or, with --corpus, a corpus: how far each channel is filled, what its
    indexes hold and how much of the exact results they find. Or, with
    --watch, what the server does at the moment, again and again.
    """
    if watch is not None and corpus is not None:
        fail("--watch shows the server; leave --corpus away")
    with open_client(server, data) as client:
        if watch is not None:
            watch_server(client, watch, as_json=json_output)
            return
        if corpus is not None:
            described = client.get_corpus(corpus)
            if json_output:
                print_json(described)
            else:
                _show_corpus(described)
            return
        facts = client.server_info()
        address = client.address
    if json_output:
        print_json({**as_dict(facts), "address": address})
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    model = facts.model
    rows: list[tuple[str, str]] = [
        ("Kinprint", facts.version),
        ("address", address),
        ("process", str(facts.pid)),
        ("channels", ", ".join(facts.channels)),
        ("sketches", facts.sketch_scheme),
        ("style", facts.style_scheme),
        (
            "embedding model",
            f"{model.name}, {model.dimensions} columns" if model is not None else "none loaded",
        ),
        ("Unicode", facts.unicode_version),
        ("formats", ", ".join(facts.formats)),
        ("longest text", f"{facts.limits.max_text_bytes:,} bytes"),
        ("threads", ", ".join(f"{name} {count}" for name, count in facts.thread_pools.items())),
        ("libraries", ", ".join(f"{name} {version}" for name, version in facts.libraries.items())),
        ("corpora", str(facts.corpora)),
        ("at a time", _at_a_time(facts.server_limits)),
    ]
    for label, value in rows:
        if value:
            table.add_row(label, escape(value))
    out.print(table)
