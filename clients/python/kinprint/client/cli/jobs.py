"""`kinprint jobs`: the long runs of a server, whoever asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from kinprint.client.cli.columns import JOBS
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    DataOption,
    JsonOption,
    OutOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.types import Job, as_dict
from kinprint.client.wording import counted
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


@guarded
def jobs(
    job_id: Annotated[str | None, typer.Argument(metavar="ID", help="Show this one, with all that is known.")] = None,
    server: ServerOption = None,
    data: DataOption = None,
    cancel: Annotated[
        list[str] | None,
        typer.Option("--cancel", metavar="ID", help="End this job; may be repeated. Its caller is told so."),
    ] = None,
    active: Annotated[bool, typer.Option("--active", help="Leave out jobs that have ended.")] = False,
    output: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the long runs of a server, or describe or cancel one.

    Those that run or wait come first, oldest first, then those that ended
    lately. A job ends by itself when its caller has gone.
    """
    if cancel and (job_id is not None or active):
        fail("--cancel names the jobs to end: leave out ID and --active")
    if job_id is not None and active:
        fail("--active goes with the list: leave out ID")
    with open_client(server, data) as client:
        if cancel:
            found = [client.cancel_job(name) for name in dict.fromkeys(cancel)]
        elif job_id is not None:
            found = [client.get_job(job_id)]
        else:
            found = client.jobs(active_only=active)
    if output is not None:
        with TableWriter(output, JOBS) as writer:
            for job in found:
                writer.write({name: getattr(job, name) for name in JOBS})
    if json_output:
        print_json(found[0] if job_id is not None else {"jobs": [as_dict(job) for job in found]})
    elif output is not None:
        warn(f"{counted(len(found), 'job')} written to {output}")
    elif job_id is not None:
        _show(found[0])
    elif cancel:
        for job in found:
            out.print(escape(_after_cancel(job)), soft_wrap=True)
    elif not found:
        out.print("no jobs run or wait" if active else "no jobs")
    else:
        _list(found)


def _after_cancel(job: Job) -> str:
    if job.active:
        return f"{job.id} ({job.kind}) is being cancelled"
    return f"{job.id} ({job.kind}) is {job.state}" + (f": {job.problem}" if job.problem else "")


def _list(found: Sequence[Job]) -> None:
    # Caller, corpora and what went wrong can be long: they share a column, so that 80 columns are enough.
    table = Table(box=SIMPLE_HEAD, expand=False)
    table.add_column("job")
    table.add_column("state")
    table.add_column("memory", justify="right")
    table.add_column("time", justify="right")
    table.add_column("what, for whom", overflow="fold")
    now = datetime.now(UTC)
    for job in found:
        lines = [
            f"[bold]{escape(job.kind)}[/bold] {escape(', '.join(job.corpora))}",
            f"[dim]{escape(job.caller)}[/dim]",
        ]
        if job.problem:
            lines.append(escape(job.problem))
        memory = f"{job.memory_bytes / 1e6:,.0f} MB" if job.memory_bytes else "-"
        table.add_row(escape(job.id), escape(_standing(job)), memory, _duration(job, now), "\n".join(lines))
    out.print(table)


def _standing(job: Job) -> str:
    """The state, and how far it is."""
    if job.state == "queued":
        return f"queued, place {job.queue_place}"
    if job.state == "running":
        return f"{job.share:.0%} {job.step}".rstrip()
    return job.state


def _duration(job: Job, now: datetime) -> str:
    """How long it runs, ran, or waits."""
    begun = job.started_at or job.created_at
    if begun is None:
        return "-"
    seconds = max(0.0, ((job.ended_at or now) - begun).total_seconds())
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes >= 60 else f"{minutes}:{left:02}"


def _show(job: Job) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    limit = f" of at most {job.memory_limit_bytes / 1e6:,.0f} MB" if job.memory_limit_bytes else ""
    rows: list[tuple[str, Any]] = [
        ("job", job.id),
        ("kind", job.kind),
        ("corpora", ", ".join(job.corpora)),
        ("state", _standing(job)),
        ("for", job.caller),
        ("memory", f"{job.memory_bytes / 1e6:,.0f} MB{limit}" if job.memory_bytes or limit else ""),
        ("process", str(job.pid) if job.pid else ""),
    ]
    rows += [
        (label, f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "")
        for label, moment in (("asked for", job.created_at), ("started", job.started_at), ("ended", job.ended_at))
    ]
    rows.append(("why", job.problem))
    for label, value in rows:
        if value:
            table.add_row(label, escape(value))
    out.print(table)
