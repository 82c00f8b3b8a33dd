"""What commands share about servers: how long one that they start stays, how long a call may take, what is said
meanwhile."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer
from kinprint.client import launch

#: Sections that help shows options in.
SERVER, OUTPUT, FILTERS = "Server", "Output", "Filters"

LingerOption = Annotated[
    str,
    typer.Option(
        "--linger",
        metavar="TIME",
        envvar="KINPRINT_LINGER",
        help="How long a server that is started here stays after the last call: seconds, or 90s, 5m, 1h. "
        "0: it ends with the command.",
        rich_help_panel=SERVER,
    ),
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="How long a call may take: seconds, or 90s, 5m, 1h. Default: no limit. Runs that show progress have none.",
        rich_help_panel=SERVER,
    ),
]
_QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=OUTPUT)]


@dataclass(frozen=True, slots=True)
class Starting:
    """How a command wants its server.

    Attributes:
        linger: seconds that it stays without a call; None: it ends with the command.
        quiet: nothing is to be said about it.
        timeout: seconds that a call may take; None: no limit.
    """

    linger: float | None = launch.LINGER
    quiet: bool = False
    timeout: float | None = None


starting: ContextVar[Starting] = ContextVar("starting", default=Starting())  # noqa: B039  (frozen)


def with_common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with options --linger and --timeout after its --data, and --quiet, if it has --data and connects."""
    signature = inspect.signature(command)
    if "data" not in signature.parameters or "server" not in signature.parameters:
        return command
    hints = get_type_hints(command, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters.append(parameter.replace(annotation=hints[name]))
        if name == "data":
            parameters += [
                inspect.Parameter("linger", kind, default=f"{launch.LINGER:.0f}", annotation=LingerOption),
                inspect.Parameter("timeout", kind, default=None, annotation=TimeoutOption),
            ]
    takes_quiet = "quiet" in signature.parameters
    if not takes_quiet:
        parameters.append(inspect.Parameter("quiet", kind, default=False, annotation=_QuietOption))

    def run(*arguments: Any, linger: str, timeout: str | None, quiet: bool, **named: Any) -> Any:
        if str(named.get("output")) == "-" and named.get("json_output"):
            raise typer.BadParameter("--json and --out - both write to standard output: choose one")
        seconds = _seconds("--linger", linger)
        limit = None if timeout is None else _seconds("--timeout", timeout)
        token = starting.set(Starting(seconds or None, quiet, limit or None))
        try:
            return command(*arguments, **named, **({"quiet": quiet} if takes_quiet else {}))
        finally:
            starting.reset(token)

    # Without `functools.wraps`, whose `__wrapped__` would show the signature of the command itself.
    functools.update_wrapper(run, command)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _seconds(option: str, text: str) -> float:
    """A duration that an option gives.  Raises BadParameter."""
    try:
        return launch.seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
