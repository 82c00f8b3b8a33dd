"""What every command shares: where to connect, how failures are told, what goes to which stream.

Results go to standard output, everything else (progress, warnings, errors) to standard error. A command that
fails says why in a line or two and exits non-zero; KINPRINT_DEBUG=1 shows the traceback.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, Self, TypeVar

import typer
from kinprint.client.cli.starting import starting
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.errors import KinprintError, UpsertInterrupted
from kinprint.client.launch import duration
from kinprint.client.sync import Client, connect
from kinprint.client.types import ChannelName, as_dict
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from kinprint.client.cli.progress import ProgressReport

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)

ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="ADDR", help="Server: host:port or unix:/path (env KINPRINT_SERVER)."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data directory; a server that holds it is used, else one is started (env KINPRINT_DATA).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write to FILE: Parquet, CSV, TSV or NDJSON by extension."),
]
SeeThroughOption = Annotated[
    bool,
    typer.Option(
        "--see-through/--no-see-through",
        help="Match copies whose letters are disguised: invisible or look-alike ones, full width, set apart.",
    ),
]
CorpusOption = Annotated[str, typer.Option("--corpus", metavar="NAME", help="Name of the corpus.")]
CorporaOption = Annotated[
    list[str], typer.Option("--corpus", metavar="NAME", help="Name of a corpus; may be repeated.")
]
EmbeddingModelOption = Annotated[
    str,
    typer.Option(
        "--embedding-model",
        metavar="DIR|default|none",
        envvar="KINPRINT_MODEL",
        help="Embedding model of a server started for --data.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress.")]


class StartReport:
    """Says that a server starts, and how far it is, once that takes long enough to ask oneself."""

    _AFTER = 2.0

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = ExitStack()
        self._bar: ProgressReport | None = None

    def waited(self, seconds: float) -> None:
        """Seconds since the beginning."""
        if self._bar is None and seconds >= self._AFTER and not self._quiet:
            from kinprint.client.cli.progress import ProgressReport

            if not err.is_terminal:
                warn("starting a server for the data directory")
            self._bar = self._shown.enter_context(ProgressReport("starting a server"))

    def at(self, step: str, share: float) -> None:
        """The step under way, and the share of it that is done."""
        if self._bar is not None:
            self._bar.update(share or None, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()


class CommandError(KinprintError):
    """A command was called in a way that cannot work."""


def fail(message: str) -> NoReturn:
    """End the command with an error."""
    raise CommandError(message)


def warn(message: str) -> None:
    """A line on standard error."""
    err.print(escape(message), soft_wrap=True)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the failures that a person can act on into a line on standard error and an exit code."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader of our output (head, less) has gone: nothing to complain about.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except UpsertInterrupted as error:
            report = error.report
            warn(
                f"interrupted: {report.stored} of {report.rows} rows read are stored for good; "
                "the same command goes on from there"
            )
            raise typer.Exit(INTERRUPTED) from None
        except KeyboardInterrupt:
            warn("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (KinprintError, OSError) as error:
            if os.environ.get("KINPRINT_DEBUG") == "1":
                raise
            warn(f"kinprint: {error}")
            raise typer.Exit(1) from None
        except ModuleNotFoundError as error:
            if os.environ.get("KINPRINT_DEBUG") == "1" or (error.name or "").startswith("kinprint"):
                raise
            extra = "kernels" if error.name in ("numba", "numpy") else "polars"
            warn(f"kinprint: {error.name} is not installed: pip install 'kinprint[cli,{extra}]'")
            raise typer.Exit(1) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if os.environ.get("KINPRINT_DEBUG") == "1":
                raise
            warn(f"kinprint: unexpected {type(error).__name__}: {error} (KINPRINT_DEBUG=1 shows where)")
            raise typer.Exit(1) from None

    return wrapper


def resolve_target(server: str | None, data: Path | None) -> str | Path:
    """The server or the data directory that a command is to use; an option goes before the environment.

    Raises:
        CommandError: neither is given, or both.
    """
    if server and data:
        fail("give either --server or --data, not both")
    if not server and not data:
        server = os.environ.get("KINPRINT_SERVER") or None
        directory = os.environ.get("KINPRINT_DATA") or None
        if server and directory:
            fail("KINPRINT_SERVER and KINPRINT_DATA are both set: give --server or --data")
        data = Path(directory) if directory else None
    if server:
        return server
    if data:
        return data
    fail("say where: --data DIR for a data directory, or --server ADDR for a running server")


def needed_model(given: str, channels: Collection[ChannelName]) -> str | None:
    """The embedding model that a command needs: the one given, "default" where it uses any, else None."""
    return given if given != "default" or "semantic" in channels else None


@contextmanager
def open_client(
    server: str | None,
    data: Path | None,
    *,
    embedding_model: str | None = None,
    create: bool = False,
    timeout: float = 60.0,
) -> Iterator[Client]:
    """A client for the options of a command.

    Args:
        server: address of a server, as given.
        data: data directory, as given.
        embedding_model: the model that the command needs; None: whichever a running server has.
        create: make the data directory if it is not there.
        timeout: seconds that a call may take.
    """
    target = resolve_target(server, data)
    if not isinstance(target, Path):
        with connect(target, timeout=timeout) as client:
            yield client
        return
    wanted = starting.get()
    model = embedding_model
    if model not in (None, "default", "none"):
        model = str(Path(model).expanduser().absolute())
    directory = target.expanduser()
    with StartReport(quiet=wanted.quiet) as report:
        embedded = EmbeddedServer(
            directory,
            model=model,
            create=create,
            linger=wanted.linger,
            on_start=report.waited,
            on_progress=report.at,
        )
        client = connect(embedded, timeout=timeout)
    if embedded.started and wanted.linger is not None and not wanted.quiet:
        warn(
            f"a server for {directory} stays for {duration(wanted.linger)}; "
            f"kinprint stop --data {shlex.quote(str(directory))} ends it"
        )
    with client:
        yield client


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    text = json.dumps(as_dict(value), ensure_ascii=False, indent=2)
    # Text from a broken source may hold what this terminal's encoding lacks.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
