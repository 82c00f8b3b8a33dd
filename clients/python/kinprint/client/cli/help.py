"""How commands tell what they take: plain text of at most 80 columns, options by what they are about, examples last.

Typer's own boxes give an option five columns; at 80 that leaves a third of the line for what it does, and longer words
are cut.  Here nothing is: an option that is too long for its column has what it does on the next line.  The section of
an option is its `rich_help_panel`.
"""

from __future__ import annotations

import re
from typing import Any

from kinprint.client.cli.examples import EXAMPLES
from typer.core import TyperCommand, TyperGroup

#: Sections of options, in the order in which they are shown; those without one come first.
SECTIONS = ("Options", "Filters", "Output", "Server")
_WIDTH = 80


#: Names of types as Typer shows them, and what stands for a value in their place.
_TYPES = (("<list[str]>", "TEXT"), ("<str>", "TEXT"), ("<path>", "PATH"))
_NUMBERS = re.compile(r"<(?:int|float)(?: range)?>")


def _shown(parameter: Any, name: str) -> str:
    """The left column for a parameter: an argument is called by its name alone."""
    if parameter.param_type_name == "argument":
        return name.partition(" <")[0]
    for told, value in _TYPES:
        name = name.replace(told, value)
    return _NUMBERS.sub("N", name)


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{name: [] for name in SECTIONS}}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        usual = "Arguments" if parameter.param_type_name == "argument" else SECTIONS[0]
        name = getattr(parameter, "rich_help_panel", None) or usual
        # Help texts have one paragraph; the line breaks in it are those of the source.
        sections.setdefault(name, []).append((_shown(parameter, record[0]), " ".join(record[1].split())))
    for name, records in sections.items():
        if records:
            with formatter.section(name):
                formatter.write_dl(records)


def _write_examples(ctx: Any, formatter: Any) -> None:
    _, _, name = ctx.command_path.partition(" ")
    if lines := EXAMPLES.get(name):
        with formatter.section("Examples"):
            for line in lines:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _narrow(ctx: Any) -> None:
    """Lines are no longer than this, however wide the terminal is, and no longer than that."""
    ctx.max_content_width = _WIDTH


class Command(TyperCommand):
    """A command with such a help."""

    def get_help(self, ctx: Any) -> str:
        """As Click's."""
        _narrow(ctx)
        return super().get_help(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then options by section."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples."""
        _write_examples(ctx, formatter)


class Group(TyperGroup):
    """Commands with such a help, listed by what they are for."""

    #: Section of each command, by its name; those that are not in it come first.
    sections: dict[str, str] = {}  # noqa: RUF012  (replaced by subclasses, never changed)

    def get_help(self, ctx: Any) -> str:
        """As Click's."""
        _narrow(ctx)
        return super().get_help(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands by section, then options."""
        listed: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                first = (command.help or "").strip().split("\n\n")[0]
                listed.setdefault(self.sections.get(name, "Commands"), []).append((name, " ".join(first.split())))
        for section, records in listed.items():
            with formatter.section(section):
                formatter.write_dl(records)
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples."""
        _write_examples(ctx, formatter)
