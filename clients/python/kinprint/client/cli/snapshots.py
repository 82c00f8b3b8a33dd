"""`kinprint snapshot`: corpora as they were at a moment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.terminal import (
    DataOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.types import Snapshot, SnapshotProgress, as_dict
from kinprint.client.wording import counted
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

snapshot_app = typer.Typer(
    no_args_is_help=True, help="Corpora as they were at a moment: taken and restored while serving."
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the snapshot.", show_default=False)]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@snapshot_app.command("create")
@guarded
def create(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Its name. Default: the time.", show_default=False)
    ] = "",
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", metavar="NAME", help="Only this corpus; may be repeated.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Take a snapshot of all corpora, or of some, while searches and writes go on.

    It lies in the data directory of the server under snapshots/NAME, is complete
    in itself, and shares by hard links what does not change. Copy it elsewhere to
    have a backup; 'kinprint serve --data' serves it.
    """
    with open_client(server, data) as client, ProgressReport("taking a snapshot", quiet=quiet) as bar:
        made = client.create_snapshot(name, corpus or (), progress=_shown(bar))
    if json_output:
        print_json(made)
    else:
        rows = counted(sum(held.transcripts for held in made.corpora), "transcript")
        count = f"{counted(len(made.corpora), 'corpus', 'corpora')}, {rows}"
        out.print(escape(f"snapshot {made.name} is taken: {count}, {_bytes(made)}"), soft_wrap=True)
    if made.left_out:
        warn(f"not in it, since they could not be opened: {', '.join(made.left_out)}")


@snapshot_app.command("list")
@guarded
def show(server: ServerOption = None, data: DataOption = None, json_output: JsonOption = False) -> None:
    """List the snapshots, oldest first, with their age and size."""
    with open_client(server, data) as client:
        found = client.list_snapshots()
    if json_output:
        print_json({"snapshots": [as_dict(snapshot) for snapshot in found]})
        return
    if not found:
        out.print("no snapshots yet: kinprint snapshot create")
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column("snapshot")
    table.add_column("age", justify="right")
    table.add_column("size", justify="right")
    table.add_column("its own", justify="right")
    table.add_column("corpora", overflow="fold")
    now = datetime.now(UTC)
    for one in found:
        held = escape(", ".join(f"{corpus.name} ({corpus.transcripts:,})" for corpus in one.corpora))
        if one.problem:
            held = f"[red]{escape(one.problem)}[/red]"
        table.add_row(escape(one.name), _age(one, now), _mega(one.bytes), _mega(one.own_bytes), held)
    out.print(table)


@snapshot_app.command("delete")
@guarded
def delete(
    name: NameArgument,
    yes: YesOption = False,
    server: ServerOption = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete a snapshot, for good."""
    if not yes:
        _ask(f"Delete snapshot {name} for good?", "nothing was deleted")
    with open_client(server, data) as client:
        freed = client.delete_snapshot(name)
    if json_output:
        print_json({"snapshot": name, "freed_bytes": freed})
    else:
        out.print(escape(f"snapshot {name} is deleted; {_mega(freed)} are free again"), soft_wrap=True)


@snapshot_app.command("verify")
@guarded
def verify(
    name: NameArgument,
    server: ServerOption = None,
    data: DataOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Compare every file of a snapshot with its digest, and every row with its content hash.

    Exits with 1 where something is damaged that cannot be made again. One that was
    copied elsewhere is checked by 'kinprint verify DIR'.
    """
    with open_client(server, data) as client, ProgressReport(f"checking {name}", quiet=quiet) as bar:
        report = client.verify_snapshot(name, progress=_shown(bar))
    if json_output:
        print_json({"snapshot": name, **as_dict(report)})
    else:
        for found in report.findings:
            mark = "" if found.harmless else "DAMAGED "
            out.print(escape(f"{mark}{found.file}: {found.what}. {found.remedy}"), soft_wrap=True)
        state = "all is as it was written" if report.ok else "DAMAGED: see above"
        number = (counted(report.corpora, "corpus", "corpora"), counted(report.files, "file"), _mega(report.bytes))
        counts = ", ".join((*number, counted(report.rows, "row")))
        out.print(escape(f"{name}: {counts}: {state}"), soft_wrap=True)
    if not report.ok:
        raise typer.Exit(1)


@snapshot_app.command("restore")
@guarded
def restore(
    name: NameArgument,
    corpus: Annotated[str, typer.Option("--corpus", metavar="NAME", help="The corpus in it.", show_default=False)],
    as_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name that it gets. Default: its own.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the corpus of that name, which is deleted.")
    ] = False,
    yes: YesOption = False,
    server: ServerOption = None,
    data: DataOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Bring a corpus of a snapshot into the server, once its files were checked."""
    target = as_name or corpus
    if replace and not yes:
        _ask(f"Delete what corpus {target} holds now, for good?", "nothing was restored")
    with open_client(server, data) as client, ProgressReport(f"restoring {target}", quiet=quiet) as bar:
        made = client.restore_snapshot(name, corpus, as_name=as_name, replace=replace, progress=_shown(bar))
    if json_output:
        print_json(made)
    else:
        out.print(
            escape(f"corpus {made.name} is restored from snapshot {name}: {counted(made.transcripts, 'transcript')}"),
            soft_wrap=True,
        )


def _shown(bar: ProgressReport) -> Callable[[SnapshotProgress], None]:
    return lambda progress: bar.update(progress.share or None, progress.step)


def _ask(question: str, otherwise: str) -> None:
    """Go on when the user agrees."""
    if not sys.stdin.isatty():
        fail(f"{question} Say so with --yes")
    if not typer.confirm(question, err=True):
        warn(f"{otherwise} (--yes goes on without asking)")
        raise typer.Exit(1)


def _mega(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _bytes(snapshot: Snapshot) -> str:
    return f"{_mega(snapshot.bytes)}, {_mega(snapshot.own_bytes)} of it its own"


def _age(snapshot: Snapshot, now: datetime) -> str:
    """How long ago it was taken, roughly."""
    if snapshot.created_at is None:
        return "-"
    seconds = max(0.0, (now - snapshot.created_at).total_seconds())
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
