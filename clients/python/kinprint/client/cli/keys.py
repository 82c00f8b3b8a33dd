"""`kinprint keys`: API keys of a data directory, made by `python -m kinprint.server`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.model import server_command
from kinprint.client.cli.terminal import JsonOption, fail, guarded

keys_app = typer.Typer(no_args_is_help=True, help="API keys of a data directory.")

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data directory (env KINPRINT_DATA); a server may run.")
]


@keys_app.command("create")
@guarded
def create(
    role: Annotated[str, typer.Option("--role", metavar="read|write|admin", help="What it may do.")] = "read",
    corpus: Annotated[
        list[str] | None,
        typer.Option("--corpus", metavar="NAME", help="Bind it to this corpus; may be repeated. Without: to none."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="When it ends: 90d, 12h, or 2027-01-31T12:00:00Z.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What it is for.")] = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make an API key, and print it: it is shown this once.

    As soon as there is one, every call over TCP needs a key. The Unix socket in
    the data directory, which its owner alone may open, needs none.
    """
    arguments = ["--role", role]
    for one in corpus or ():
        arguments += [f"--corpus={one}"]
    if expires is not None:
        arguments += [f"--expires={expires}"]
    if name is not None:
        arguments += [f"--name={name}"]
    _run("create", arguments, data, json_output)


@keys_app.command("list")
@guarded
def show(data: DataOption = None, json_output: JsonOption = False) -> None:
    """List the API keys, without their secrets."""
    _run("list", [], data, json_output)


@keys_app.command("revoke")
@guarded
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="Its id, as the list shows it.")],
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Take an API key back; a running server refuses it within a second."""
    _run("revoke", [key], data, json_output)


def _run(action: str, arguments: list[str], data: Path | None, json_output: bool) -> None:
    directory = data or (Path(os.environ["KINPRINT_DATA"]) if os.environ.get("KINPRINT_DATA") else None)
    if directory is None:
        fail("say whose keys: --data DIR")
    command = server_command("keys", action, "--data", str(directory.expanduser()), *arguments)
    code = subprocess.run([*command, "--json"] if json_output else command).returncode
    if code != 0:
        # A signal ends the child with a negative code.
        raise typer.Exit(code if code > 0 else 128 - code)
