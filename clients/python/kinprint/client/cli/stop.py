"""`kinprint stop`: end the server of a data directory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client import launch
from kinprint.client.cli.terminal import JsonOption, fail, give_up, guarded, out, print_json
from rich.markup import escape

_POLL = 0.02


@guarded
def stop(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Data directory (env KINPRINT_DATA).")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="How long to wait for the end.")
    ] = 60.0,
    json_output: JsonOption = False,
) -> None:
    """End the server of a data directory, and wait until the directory is free.

    Calls that run are let to their end first, for up to half a minute. Exits with 1 when no server holds the
    directory, or when it does not end in time.
    """
    named = data or (Path(os.environ["KINPRINT_DATA"]) if os.environ.get("KINPRINT_DATA") else None)
    if named is None:
        fail("say whose server to end: --data DIR")
    directory = named.expanduser()
    if not directory.is_dir():
        fail(f"no data directory at {directory}")
    deadline = time.monotonic() + timeout
    told: int | None = None
    while launch.held(directory):
        holder = launch.read_holder(directory)
        if holder is not None and told is None:
            told = holder.pid
            if not launch.is_server(told, directory):
                if not launch.held(directory):
                    told = None
                    break
                give_up(
                    f"{directory} is held, and process {told}, which its LOCK names, is no Kinprint server that has it "
                    "open (it may run in a container, or another program may hold the file): end the holder there"
                )
            try:
                os.kill(told, signal.SIGTERM)
            except PermissionError:
                give_up(f"process {told}, which holds {directory}, is another user's")
            except ProcessLookupError:
                told = None
        elif holder is not None and told != holder.pid:
            break  # it has ended, and the next one holds the directory
        if time.monotonic() > deadline:
            who = f"process {told}" if told is not None else "whatever holds it and does not say so"
            give_up(f"{directory} is still held by {who} after {timeout:g} s")
        time.sleep(_POLL)
    if told is None:
        give_up(f"no server holds {directory}")
    if json_output:
        print_json({"data": str(directory), "pid": told})
    else:
        out.print(escape(f"the server for {directory} (process {told}) has ended"), soft_wrap=True)
