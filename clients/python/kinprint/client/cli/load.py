"""`kinprint load`: files into a corpus."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from kinprint.client.cli.fill import fill_command
from kinprint.client.cli.load_told import preview as show_preview
from kinprint.client.cli.load_told import tell_account
from kinprint.client.cli.model import ensure_default_model
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.terminal import (
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    guarded,
    needed_model,
    open_client,
    print_json,
    resolve_target,
    warn,
)
from kinprint.client.errors import KinprintError, SourceError
from kinprint.client.files.reader import FileReader, FileShare, expand_paths
from kinprint.client.files.rows import SourceRow
from kinprint.client.files.shapes import Mapper, as_told, parse_map
from kinprint.client.sync import Client
from kinprint.client.types import CHANNELS, ChannelName, Fill, LoadReport, as_dict
from kinprint.client.wording import counted

_SHOWN = 5
_LISTED = 20
_USUAL = "copy,style"
#: Seconds without a further fast vector after which a load does not wait for the rest, and between two looks.
_PATIENCE, _POLL = 2.5, 0.1


def parse_channels(text: str) -> list[ChannelName]:
    """Channels of a comma-separated list.

    Raises:
        CommandError: an unknown channel, or none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in CHANNELS:
            fail(f"unknown channel {name!r}; known: {', '.join(CHANNELS)}")
    if not names:
        fail("--channels names no channel")
    return cast("list[ChannelName]", list(dict.fromkeys(names)))


def parse_rename(pairs: list[str]) -> dict[str, str]:
    """OLD=NEW pairs.

    Raises:
        CommandError: a pair without "=".
    """
    renames: dict[str, str] = {}
    for pair in pairs:
        old, mark, new = pair.partition("=")
        if not (mark and old and new):
            fail(f"--rename wants OLD=NEW, not {pair!r}")
        renames[old] = new
    return renames


class _UntilError:
    """Rows of a reader up to the first file that cannot be read, which is kept for later."""

    def __init__(self, reader: FileReader, limit: int | None) -> None:
        self._rows = itertools.islice(reader, limit)
        self.error: SourceError | None = None

    def __iter__(self) -> Iterator[SourceRow]:
        try:
            yield from self._rows
        except SourceError as error:
            self.error = error


@guarded
def load(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Parquet, Arrow, JSON, NDJSON, CSV, TSV, also .gz .bz2 .xz .zst .zip; patterns, directories; - is "
            "standard input.",
        ),
    ],
    corpus: Annotated[
        str | None, typer.Option("--corpus", metavar="NAME", help="Name of the corpus; all but --preview need it.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    channels: Annotated[
        str | None,
        typer.Option(
            "--channels",
            help="Channels to fill: copy, style, semantic; comma-separated. Default: copy, style and the fast tier of "
            "semantic; with semantic the load ends when its accurate tier is filled, too.",
        ),
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Rename a column; repeatable.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", metavar="NAME", help="Encoding of text files that are not UTF-8, e.g. latin-1."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="What the files are, where that is not recognised: sharegpt, otel ..."
        ),
    ] = None,
    paths_of: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=PATH,...",
            help="Where columns stand in nested rows, by JMESPath: response=body.choices[0].text; repeatable.",
        ),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Show the first rows as they would be stored, and counts; write nothing."),
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many rows.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any row was skipped.")] = False,
    embedding_model: EmbeddingModelOption = "default",
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Load transcripts from files into a corpus.

    Columns: response (required), transcript_id, model, prompt_id, prompt, language, account_id, created_at,
    system_prompt, conversation_id, turn, reasoning; or messages in role/content form. Any further column
    becomes metadata. Chats, logs and training sets of many tools are recognised (docs/your-data.md); --preview
    shows what would become of a file, without a corpus or a server.

    Loading the same rows again changes nothing, so an interrupted load goes on when the command is repeated.
    """
    wanted = parse_channels(_USUAL if channels is None else channels)
    mapper = Mapper(preset, parse_map(paths_of or []), parse_rename(rename or []))
    if corpus is None and not preview:
        raise typer.BadParameter("name the corpus to load into", param_hint="--corpus")
    paths = expand_paths(files)
    if preview:
        reader = FileReader(paths, mapper=mapper, encoding=encoding)
        raise typer.Exit(show_preview(reader, limit, as_json=json_output, quiet=quiet))
    assert corpus is not None
    target = resolve_target(server, data)
    if "semantic" in wanted and isinstance(target, Path) and embedding_model == "default":
        ensure_default_model(target, quiet=quiet)
    reader = FileReader(paths, encoding=encoding, mapper=mapper)
    rows = _UntilError(reader, limit)
    with (
        open_client(server, data, embedding_model=needed_model(embedding_model, wanted), create=True) as client,
        ProgressReport(f"loading into {corpus}", quiet=quiet) as bar,
    ):

        def show(report: LoadReport) -> None:
            rate = report.rows / max(report.seconds, 1e-9)
            # Rows are confirmed some batches after they were read; the share follows the confirmed ones.
            share = reader.fraction * (report.stored + report.failed) / max(report.rows, 1)
            if limit is not None:
                share = max(share, (report.stored + report.failed) / limit)
            bar.update(min(share, 1.0), f"{report.stored + report.failed:,} rows, {rate:,.0f} rows/s")

        report = client.upsert(corpus, rows, channels=wanted, progress=show)
        fast = await_fast(client, corpus, bar) if channels is None else None
    if json_output:
        print_json({**_as_json(report, reader), "account": as_told(mapper.account)})
    else:
        print(summary(report))
        if len(reader.shares) > 1:
            print("\n".join(file_lines(reader.shares, report)))
    for note in reader.notes:
        warn(f"note: {note}")
    tell_account(mapper.account, quiet=quiet)
    tell_cut(report)
    tell_skipped(report)
    if fast is not None:
        fill = fill_command(corpus, server, data)
        tell_fast(fast, f"{fill} fills it" if embedding_model == "none" else f"{fill} --status tells how far it is")
    if rows.error is not None:
        warn(f"kinprint: {rows.error}")
        if report.stored:
            warn(f"{counted(report.stored, 'row')} read before that {'is' if report.stored == 1 else 'are'} stored")
        raise typer.Exit(1)
    if report.failed and (strict or not report.stored):
        raise typer.Exit(1)
    sys.stdout.flush()


def await_fast(client: Client, corpus: str, bar: ProgressReport) -> Fill | None:
    """Wait while the fast tier grows: where its table had yet to be loaded, it catches up within seconds.

    Returns:
        How far it is, None when it is complete, or the server does not tell.
    """
    grown, last, possible = time.monotonic(), -1, True
    while True:
        try:
            found = client.get_fill(corpus)
            if last < 0:
                possible = "semantic" in client.server_info().channels
        except KinprintError:
            return None  # a load is no failure because of what it does not fill itself
        if found.fast is None or found.fast.filled >= found.fast.fillable:
            return None
        if found.fast.filled > last:
            grown, last = time.monotonic(), found.fast.filled
        elif not possible or time.monotonic() - grown > _PATIENCE:
            return found
        bar.update(found.fast.share, "fast tier of semantic")
        time.sleep(_POLL)


def tell_fast(found: Fill, remedy: str) -> None:
    """Say on standard error what the fast tier lacks, why, and what fills it."""
    assert found.fast is not None
    count = f"{found.fast.filled:,} of {found.fast.fillable:,} rows"
    why = f": {found.problem}" if found.problem else ""
    warn(f"{found.corpus} can be searched by meaning in {count} so far{why}; {remedy}")


def file_lines(shares: Sequence[FileShare], report: LoadReport) -> list[str]:
    """A line on each of the first files: what it gave, and what of it was skipped."""
    lines = []
    for share in shares[:_LISTED]:
        skipped = report.failed_by_source.get(share.source, 0)
        lines.append(f"  {share.source}: {share.rows:,} rows" + (f", {skipped:,} skipped" if skipped else ""))
    if len(shares) > _LISTED:
        lines.append(f"  and {len(shares) - _LISTED:,} more files (--json lists all)")
    return lines


def _as_json(report: LoadReport, reader: FileReader) -> dict[str, object]:
    data: dict[str, object] = as_dict(report)
    failed = report.failed_by_source
    del data["failed_by_source"]
    data["files"] = [
        {"file": share.source, "rows": share.rows, "skipped": failed.get(share.source, 0)} for share in reader.shares
    ]
    data["notes"] = reader.notes
    data["stored"] = report.stored
    data["reasons"] = {reason.lower(): count for reason, count in report.reasons.items()}
    data["errors"] = [
        {"where": item.where, "id": item.id, "reason": item.reason.lower(), "message": item.message}
        for item in report.errors
    ]
    return data


def summary(report: LoadReport) -> str:
    """A line or two on what a load did."""
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (report.created, "new"),
            (report.replaced, "replaced"),
            (report.filled, "with a channel added"),
            (report.unchanged, "unchanged"),
            (report.superseded, "replaced within the load"),
            (report.failed, "skipped"),
        )
        if count
    ]
    rate = report.rows / max(report.seconds, 1e-9)
    text = (
        f"{report.corpus}: {counted(report.rows, 'row')} in {report.seconds:.1f} s ({rate:,.0f} rows/s): "
        f"{', '.join(parts) or 'nothing'}"
    )
    notes = [
        f"{count:,} {word}"
        for count, word in (
            (report.repeated_ids, "with an id that the load had already written (the last one stands)"),
            (
                report.earlier_ids,
                f"stored under an id of an earlier rule, which they keep (new ids: rule {report.id_rule})",
            ),
            (report.blank, "blank answers (stored, never matched)"),
            (report.truncated, "too long to embed whole"),
        )
        if count
    ]
    return "\n  ".join([text, *notes])


def tell_cut(report: LoadReport) -> None:
    """Say on standard error which metadata was cut."""
    if report.cut:
        told = ", ".join(f"{key} of {count:,} rows" for key, count in list(report.cut.items())[:_SHOWN])
        warn(f"metadata longer than the server takes was cut: {told}")


def tell_skipped(report: LoadReport) -> None:
    """Say on standard error how many rows were skipped, why, and where the first ones are."""
    if not report.failed:
        return
    reasons = sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))
    warn(
        f"{counted(report.failed, 'row')} skipped: " + ", ".join(f"{count:,} {name.lower()}" for name, count in reasons)
    )
    for item in report.errors[:_SHOWN]:
        warn(f"  {item.where}: {item.message}")
    if report.failed > _SHOWN:
        warn(f"  and {report.failed - _SHOWN:,} more")
