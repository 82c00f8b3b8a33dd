"""What commands share about servers that they start: how long one stays, and what is said meanwhile."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer
from kinprint.client import launch

LingerOption = Annotated[
    str,
    typer.Option(
        "--linger",
        metavar="TIME",
        envvar="KINPRINT_LINGER",
        help="How long a server that is started here stays after the last call: seconds, or 90s, 5m, 1h. "
        "0: it ends with the command.",
    ),
]


@dataclass(frozen=True, slots=True)
class Starting:
    """How a command wants its server.

    Attributes:
        linger: seconds that it stays without a call; None: it ends with the command.
        quiet: nothing is to be said about it.
    """

    linger: float | None = launch.LINGER
    quiet: bool = False


starting: ContextVar[Starting] = ContextVar("starting", default=Starting())  # noqa: B039  (frozen)


def with_linger(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with an option --linger after its --data, if it has that and connects."""
    signature = inspect.signature(command)
    if "data" not in signature.parameters or "server" not in signature.parameters:
        return command
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters.append(parameter.replace(annotation=hints[name]))
        if name == "data":
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters.append(
                inspect.Parameter("linger", kind, default=f"{launch.LINGER:.0f}", annotation=LingerOption)
            )

    def run(*arguments: Any, linger: str, **named: Any) -> Any:
        try:
            seconds = launch.seconds(linger)
        except ValueError as error:
            raise typer.BadParameter(f"--linger: {error}") from None
        token = starting.set(Starting(seconds or None, bool(named.get("quiet"))))
        try:
            return command(*arguments, **named)
        finally:
            starting.reset(token)

    # Without `functools.wraps`, whose `__wrapped__` would show the signature of the command itself.
    functools.update_wrapper(run, command)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
