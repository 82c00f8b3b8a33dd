"""`kinprint config` and `kinprint audit`: the server's own, which these hand over to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.model import server_command
from kinprint.client.cli.terminal import JsonOption, guarded

config_app = typer.Typer(no_args_is_help=True, help="Settings of a server, and where each comes from.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log of a server.")


@config_app.callback()
def _config() -> None:
    """Settings of a server, and where each comes from."""


@audit_app.callback()
def _audit() -> None:
    """The audit log of a server."""


def _run(*arguments: str) -> None:
    done = subprocess.run(server_command(*arguments))
    if done.returncode != 0:
        sys.exit(done.returncode)


@config_app.command("show")
@guarded
def show(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML. Default: KINPRINT_CONFIG.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Data directory.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Print what `kinprint serve` would go by, with the source of each setting and secrets hidden."""
    arguments = ["serve", "--print-config"]
    if config is not None:
        arguments += ["--config", str(config)]
    if data is not None:
        arguments += ["--data", str(data)]
    if json_output:
        arguments.append("--json")
    _run(*arguments)


@audit_app.command("verify")
@guarded
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The newest file; older ones beside it are read, too.")],
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="DIGEST", help="The log must hold the line of this digest, kept from before."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Check the chain of an audit log; names the first line that does not fit, and exits with 1 where one does not."""
    arguments = ["audit", "verify", str(file)]
    if head is not None:
        arguments += ["--head", head]
    if json_output:
        arguments.append("--json")
    _run(*arguments)
