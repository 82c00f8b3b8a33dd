"""`kinprint model` and `kinprint serve`: both hand over to `python -m kinprint.server`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.terminal import JsonOption, fail, guarded, warn
from kinprint.client.embedded import find_holder


def server_command(*arguments: str) -> list[str]:
    """The command line of the server.

    Raises:
        CommandError: the server is not installed.
    """
    if importlib.util.find_spec("kinprint.server") is None:
        fail("this needs the server: pip install 'kinprint[server]'")
    return [sys.executable, "-m", "kinprint.server", *arguments]


def ensure_default_model(directory: Path, *, quiet: bool = False) -> None:
    """Build the default embedding model unless it is there, or a running server holds `directory`.

    Raises:
        CommandError: it cannot be built.
    """
    if find_holder(directory) is not None:
        return
    if subprocess.run(server_command("model", "path"), capture_output=True).returncode == 0:
        return
    warn("building the default embedding model, once (kinprint model build)")
    done = subprocess.run(
        server_command("model", "build"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
    )
    if done.returncode != 0:
        detail = f": {done.stderr.strip()}" if done.stderr else ""
        fail(f"the default embedding model could not be built{detail}")


model_app = typer.Typer(no_args_is_help=True, help="The default embedding model.")


@model_app.command("build")
@guarded
def build(
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to build it.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Build the default embedding model into the user's cache (or DIR), and print where it is."""
    arguments = ["model", "build"]
    if out is not None:
        arguments += ["--out", str(out)]
    if json_output:
        arguments.append("--json")
    _run(arguments)


@model_app.command("path")
@guarded
def path() -> None:
    """Print the directory of the default embedding model; exits with 1 when it was not built."""
    _run(["model", "path"])


def _run(arguments: list[str]) -> None:
    code = subprocess.run(server_command(*arguments)).returncode
    if code != 0:
        # A signal ends the child with a negative code.
        raise typer.Exit(code if code > 0 else 128 - code)


@guarded
def serve(
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Data directory; made if missing (env KINPRINT_DATA)."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen", metavar="ADDR", help="host:port or unix:/path; may be repeated. Always: a Unix socket in DIR."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR|default|none", help="Embedding model. Default: default.")
    ] = None,
    lazy_model: Annotated[
        bool, typer.Option("--lazy-model", help="Load the embedding model when it is first needed.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Long runs at once. Default: half the cores.")
    ] = None,
    job_memory: Annotated[
        str | None,
        typer.Option(
            "--job-memory",
            metavar="SIZE",
            help="Memory that a long run may hold, such as 8G; 0: no limit. Default: half of the machine's, shared.",
        ),
    ] = None,
) -> None:
    """Serve a data directory over gRPC until SIGTERM or Ctrl-C, which let running calls end."""
    directory = data or (Path(os.environ["KINPRINT_DATA"]) if os.environ.get("KINPRINT_DATA") else None)
    if directory is None:
        fail("say what to serve: --data DIR")
    command = server_command("serve", "--data", str(directory))
    for address in listen or []:
        command += ["--listen", address]
    if model is not None:
        command += ["--model", model]
    if lazy_model:
        command.append("--lazy-model")
    if jobs is not None:
        command += ["--jobs", str(jobs)]
    if job_memory is not None:
        command += ["--job-memory", job_memory]
    sys.stdout.flush()
    sys.stderr.flush()
    # The server takes over this process: signals and the exit code are its own.
    os.execv(command[0], command)
