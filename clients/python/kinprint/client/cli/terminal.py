"""What every command shares: where to connect, how failures are told, what goes to which stream.

Results go to standard output, everything else (progress, warnings, errors) to standard error. A command that
fails says why in a line or two and exits with 1, or with 2 where it was called in a way that cannot work;
KINPRINT_DEBUG=1 shows the traceback. Control characters of stored text are shown as escapes.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, Self, TypeVar

import typer
from kinprint import installed
from kinprint.client.cli.starting import OUTPUT, SERVER, starting
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.errors import DeadlineExceededError, KinprintError, UpsertInterrupted
from kinprint.client.launch import duration
from kinprint.client.sync import Client, connect
from kinprint.client.types import ChannelName, as_dict
from kinprint.client.wording import counted
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kinprint.client.cli.progress import ProgressReport
    from kinprint.client.contract import Method

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED = 130
MISUSED = 2
#: Seconds of silence after which a command says what it is at.
SILENCE = 2.0
#: Seconds that a server may take to say that it is there.
_GREETING = 60.0


#: What a terminal would obey rather than show: C0 but line feed and tab, DEL, C1.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROLS_OF_JSON = re.compile(r"[\x7f-\x9f]")


def visible(text: str) -> str:
    """`text` with its control characters as escapes, as Python writes them; the CR of a CRLF is left out."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, or stands in a table, comes by here."""
        return super().render_str(visible(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich does, but no cell of a table is cut: names go on in the next line, figures stay whole."""
        for table in objects:
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
                    column.no_wrap = column.no_wrap or column.justify == "right"
        super().print(*objects, **options)

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


# No codes of emoji either: a text that says :bug: says that.
out = _Console(highlight=False, emoji=False)
err = _Console(stderr=True, highlight=False, emoji=False)

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="ADDR",
        help="Server: host:port or unix:/path (env KINPRINT_SERVER).",
        rich_help_panel=SERVER,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data directory; a server that holds it is used, else one is started (env KINPRINT_DATA).",
        rich_help_panel=SERVER,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.", rich_help_panel=OUTPUT)]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write to FILE: Parquet, CSV, TSV or NDJSON by extension; -: NDJSON to standard output.",
        rich_help_panel=OUTPUT,
    ),
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
        rich_help_panel=SERVER,
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OUTPUT)]


class StartReport:
    """Says that a server starts, and how far it is, once that takes long enough to ask oneself."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = ExitStack()
        self._bar: ProgressReport | None = None

    def waited(self, seconds: float) -> None:
        """Seconds since the beginning."""
        if self._bar is None and seconds >= SILENCE and not self._quiet:
            from kinprint.client.cli.progress import ProgressReport

            title = "starting a server" if err.is_terminal else "starting a server for the data directory"
            self._bar = self._shown.enter_context(ProgressReport(title, waited=seconds))

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
    """A command cannot come to its end; it exits with 1."""


class Misused(CommandError):  # noqa: N818
    """A command was called in a way that cannot work; it exits with 2."""


def fail(message: str) -> NoReturn:
    """End a command that was called in a way that cannot work: exit code 2."""
    raise Misused(message)


def give_up(message: str) -> NoReturn:
    """End a command that was called well and cannot come to its end: exit code 1."""
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
                f"interrupted: {report.stored:,} of {counted(report.rows, 'row')} read stored for good; "
                "the same command goes on from there"
            )
            raise typer.Exit(INTERRUPTED) from None
        except KeyboardInterrupt:
            warn("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except DeadlineExceededError:
            limit = starting.get().timeout
            after = "" if limit is None else f" after {duration(limit)}"
            warn(f"kinprint: the server did not answer{after}: give it longer with --timeout, or leave that out")
            raise typer.Exit(1) from None
        except (KinprintError, OSError) as error:
            if os.environ.get("KINPRINT_DEBUG") == "1":
                raise
            warn(f"kinprint: {error}")
            raise typer.Exit(MISUSED if isinstance(error, Misused) else 1) from None
        except ModuleNotFoundError as error:
            if os.environ.get("KINPRINT_DEBUG") == "1" or (error.name or "").startswith("kinprint"):
                raise
            told = str(error)
            warn(f"kinprint: {told if 'pip install' in told else installed.lacking(error, 'cli')}")
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
) -> Iterator[Client]:
    """A client for the options of a command.

    Args:
        server: address of a server, as given.
        data: data directory, as given.
        embedding_model: the model that the command needs; None: whichever a running server has.
        create: make the data directory if it is not there.
    """
    target = resolve_target(server, data)
    wanted = starting.get()
    if not isinstance(target, Path):
        with connect(target, timeout=wanted.timeout or _GREETING) as client:
            client.timeout = wanted.timeout
            with told_while_waiting(client, quiet=wanted.quiet):
                yield client
        return
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
        client = connect(embedded, timeout=wanted.timeout or _GREETING)
    if embedded.started and wanted.linger is not None and not wanted.quiet:
        warn(
            f"a server for {directory} stays for {duration(wanted.linger)}; "
            f"kinprint stop --data {shlex.quote(str(directory))} ends it"
        )
    with client:
        client.timeout = wanted.timeout
        with told_while_waiting(client, quiet=wanted.quiet):
            yield client


@contextmanager
def told_while_waiting(client: Client, *, quiet: bool) -> Iterator[None]:
    """Say what is waited for where a call of `client` takes long, unless its progress is shown."""
    if quiet:
        yield
        return
    call = client._unary

    def told(method: Method[Any, Any], request: Any, timeout: float | None) -> Any:
        with waiting(f"waiting for the server ({method.name})"):
            return call(method, request, timeout)

    client._unary = told  # type: ignore[method-assign]
    yield


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is waited for once that takes long enough to ask oneself."""
    # The library of progress bars is imported when there is something to show.
    done = threading.Event()

    def tell() -> None:
        if done.wait(SILENCE):
            return
        from kinprint.client.cli.progress import ProgressReport

        if not ProgressReport.shown:
            with ProgressReport(what, waited=SILENCE):
                done.wait()

    thread = threading.Thread(target=tell, name="kinprint-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON that a terminal may be shown."""
    text = json.dumps(as_dict(value), ensure_ascii=False, indent=indent)
    # DEL and C1, which JSON leaves as they are, and a terminal may obey; they stand in strings alone.
    return _CONTROLS_OF_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    text = json_text(value, indent=2)
    # Text from a broken source may hold what this terminal's encoding lacks.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
