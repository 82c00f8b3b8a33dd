"""`kinprint fill`: the accurate tier of the semantic channel, filled behind."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.hits import shares
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.starting import starting
from kinprint.client.cli.terminal import (
    INTERRUPTED,
    CorpusOption,
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    give_up,
    guarded,
    needed_model,
    open_client,
    out,
    print_json,
    resolve_target,
    warn,
)
from kinprint.client.types import ChannelName, Coverage, Fill, as_dict
from rich.markup import escape

#: Seconds between two looks at how far it is.
_POLL = 0.5


@guarded
def fill(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every row is filled; Ctrl-C leaves it going.")
    ] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Stop until the next fill; what is filled stays.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Tell how far it is, and start nothing.")] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N", min=0.0, help="Most rows a second. Default, and 0: as many as there is time."
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(
            "--second",
            metavar="DIR|default",
            help="Fill a second model beside the first, see 'kinprint model compare'. DIR is on the server's machine.",
        ),
    ] = None,
    embedding_model: EmbeddingModelOption = "default",
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fill the accurate tier of the semantic channel, behind whatever else goes on.

    Returns at once: the server goes on by itself, over restarts, until every
    row is filled, those that come later, too. Searches go first and use what
    is filled so far, and the fast tier for the rest.
    """
    given = [name for name, on in (("--wait", wait), ("--pause", pause), ("--status", status)) if on]
    if len(given) > 1:
        fail(f"give one of --wait, --pause and --status, not {' and '.join(given)}")
    if rate is not None and (pause or status):
        fail(f"--rate goes with starting: leave out {given[0]}")
    if second is not None and (pause or status):
        fail(f"--second goes with starting: leave out {given[0]}")
    if second is not None and second != "default":
        second = str(Path(second).expanduser().absolute())
    # To pause, to look or to fill a second model needs none in particular: whichever a running server has.
    channels: list[ChannelName] = [] if pause or status or second is not None else ["semantic"]
    model = needed_model(embedding_model, channels)
    with open_client(server, data, embedding_model=model) as client:
        if status:
            found = client.get_fill(corpus)
        elif pause:
            found = client.pause_fill(corpus)
        else:
            found = client.start_fill(corpus, most_rows_per_second=rate or 0.0, model=second)
        if wait:
            found = _wait(found, lambda: client.get_fill(corpus), server, data, quiet=quiet)
    if json_output:
        print_json(fill_row(found))
    elif status or pause:
        for line in describe(found):
            out.print(escape(line), soft_wrap=True)
    elif found.state == "complete" or (wait and _empty(found)):
        out.print(escape(f"{corpus}: every row is filled, {_count(found.accurate)}"), soft_wrap=True)
    elif found.state != "failed":
        out.print(escape(f"{describe(found)[0]}; {_goes_on(corpus, server, data)}"), soft_wrap=True)
    if found.state == "failed" and not status:
        give_up(f"{corpus} is not filled: {found.problem or 'the server did not tell why'}")
    if wait and found.state != "complete" and not _empty(found):
        give_up(f"{corpus} is not filled: it was {'paused' if found.state == 'paused' else 'stopped'} meanwhile")


def fill_row(found: Fill) -> dict[str, object]:
    """How far a corpus is filled, as the JSON output has it."""
    return {**as_dict(found), "coverage": shares(found)}


def _count(covered: Coverage | None) -> str:
    return "rows" if covered is None else f"{covered.filled:,} of {covered.fillable:,} rows"


def _empty(found: Fill) -> bool:
    """Whether there is nothing to wait for: no row has an answer that can be filled."""
    return found.accurate is not None and not found.accurate.fillable


def _time(seconds: float) -> str:
    """A stretch of time, roughly."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _pace(found: Fill) -> str:
    """The rate, and the time that is left at it; "" unless it runs."""
    if not found.rows_per_second:
        return ""
    left = "" if found.seconds_left is None else f", {_time(found.seconds_left)} left"
    return f"{found.rows_per_second:,.1f} rows/s{left}"


def describe(found: Fill) -> list[str]:
    """Where filling a corpus stands, for people: a line, then one for the fast tier and one for what is in the way."""
    words = {
        "off": "nobody asked for the rest",
        "waiting": "waiting",
        "running": "filling",
        "paused": "paused",
        "complete": "complete",
        "failed": "failed",
        "unknown": "in a state that this version does not know",
    }
    covered = found.accurate
    share = "" if covered is None else f" ({covered.share:.0%})"
    pace = _pace(found)
    first = f"{found.corpus}: accurate tier {_count(covered)}{share}, {words[found.state]}"
    lines = [first + (f" at {pace}" if pace else "")]
    if found.fast is not None:
        lines.append(f"  fast tier {_count(found.fast)} ({found.fast.share:.0%})")
    if found.second_model:
        lines.append(f"  second model {found.second_model[:12]}: {found.second_filled:,} rows")
    if found.most_rows_per_second:
        lines.append(f"  at most {found.most_rows_per_second:g} rows a second")
    if found.problem:
        lines.append(f"  {found.problem}")
    return lines


def fill_command(corpus: str, server: str | None, data: Path | None) -> str:
    """The command that fills a corpus."""
    place = f" --data {shlex.quote(str(data))}" if data else f" --server {shlex.quote(server)}" if server else ""
    return f"kinprint fill --corpus {shlex.quote(corpus)}{place}"


def _goes_on(corpus: str, server: str | None, data: Path | None) -> str:
    """Who goes on when this command has ended, and how to look."""
    if isinstance(resolve_target(server, data), Path) and starting.get().linger is None:
        # Nothing stays that could fill: what is noted in the directory counts for the next server.
        return "it goes on whenever a server holds the directory (kinprint serve)"
    return f"it goes on behind; {fill_command(corpus, server, data)} --status tells how far it is"


def _wait(found: Fill, look: Callable[[], Fill], server: str | None, data: Path | None, *, quiet: bool) -> Fill:
    """Show how far it is until it ends in whatever way."""
    try:
        with ProgressReport(f"filling {found.corpus}", quiet=quiet) as bar:
            while found.active and not _empty(found):
                share = None if found.accurate is None else found.accurate.share
                bar.update(share, f"{_count(found.accurate)}, {_pace(found) or found.problem or found.state}")
                time.sleep(_POLL)
                found = look()
    except KeyboardInterrupt:
        warn(f"interrupted: {_count(found.accurate)} are filled; {_goes_on(found.corpus, server, data)}")
        raise typer.Exit(INTERRUPTED) from None
    return found
