"""`kinprint verify`: check a data directory, which `python -m kinprint.server verify` does."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.model import server_command
from kinprint.client.cli.terminal import JsonOption, QuietOption, guarded


@guarded
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Data directory.", show_default=False)],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend what can be mended without losing a row: indexes, scratch, digests that are missing. No server "
            "may hold the directory.",
        ),
    ] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check every file of a data directory against its digest, and every row against its content hash.

    Says by name what is damaged and what to do, and exits with 1 where something is that cannot be made again. A server
    may go on meanwhile. The directory needs no server for this.
    """
    arguments = ["verify", str(directory.expanduser())]
    arguments += ["--repair"] if repair else []
    arguments += ["--json"] if json_output else []
    done = subprocess.run(server_command(*arguments), stderr=subprocess.DEVNULL if quiet and json_output else None)
    raise typer.Exit(done.returncode)
