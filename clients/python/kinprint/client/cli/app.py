"""The `kinprint` command: which commands there are, and where each one lives.

A command's module is imported when the command is called, so that none waits for the libraries of another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from kinprint.client.cli.help import Command, Group
from kinprint.client.cli.starting import with_common_options

#: Name of each command, its module and function (or group) under `kinprint.client.cli`, and its line in the list. A
#: test holds these lines against those of the commands themselves.
COMMANDS = {
    "serve": ("model:serve", "Serve a data directory over gRPC until SIGTERM or Ctrl-C, which let running calls end."),
    "stop": ("stop:stop", "End the server of a data directory, and wait until the directory is free."),
    "load": ("load:load", "Load transcripts from files into a corpus."),
    "search": ("search:search", "Find where a text occurs, and what resembles it."),
    "fill": ("fill:fill", "Fill the accurate tier of the semantic channel, behind whatever else goes on."),
    "compare": ("compare:compare", "Compare two texts or stored transcripts, with the spans that they share."),
    "dedup": ("dedup:dedup", "Find all near-duplicate pairs of a corpus, within and between several, or of files."),
    "overlap": (
        "overlap:overlap",
        "Find which answers of a corpus, or of files, stand, in part and word for word, in answers of another.",
    ),
    "kinship": ("kinship:kinship", "Score all pairs of models of a corpus, and say which are derived or kin."),
    "attribute": ("attribute:attribute", "Find which model of a corpus wrote each text of FILE, or that none did."),
    "evidence": ("evidence:evidence", "Write the evidence for and against model B descending from model A."),
    "lineage": ("lineage:lineage", "Arrange the models of a corpus in a tree by how alike they write."),
    "corpora": ("corpora:corpora", "List the corpora, or describe one."),
    "get": ("corpora:get", "Show one transcript."),
    "export": ("corpora:export", "Write a corpus to a file that `kinprint load` reads back."),
    "delete": ("corpora:delete", "Delete transcripts by id, or a whole corpus."),
    "purge": (
        "corpora:purge",
        "Really erase what was deleted or replaced, and the given transcripts, from record and indexes.",
    ),
    "verify": (
        "verify:verify",
        "Check every file of a data directory against its digest, and every row against its content hash.",
    ),
    "sign": ("sign:sign", "Sign files with Ed25519: FILE.sig says that the holder of the key vouched for these bytes."),
    "snapshot": ("snapshots:snapshot_app", "Corpora as they were at a moment: taken and restored while serving."),
    "jobs": ("jobs:jobs", "List the long runs of a server, or describe or cancel one."),
    "info": ("corpora:info", "Describe the server: versions, limits, model, threads."),
    "keys": ("keys:keys_app", "API keys of a data directory."),
    "config": ("operating:config_app", "Settings of a server, and where each comes from."),
    "audit": ("operating:audit_app", "The audit log of a server."),
    "panel": ("panel:panel_app", "Backgrounds that kinship is held against."),
    "model": ("model:model_app", "Embedding models, and fitting the fast tier of the semantic channel."),
}


#: What the list shows commands under.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Texts in, texts out": ("load", "export", "get", "delete", "purge"),
    "Where else does it occur, what resembles it": ("search", "compare", "dedup", "overlap", "fill"),
    "Whose is it, which models are kin": ("attribute", "kinship", "evidence", "lineage", "panel"),
    "Corpora and models": ("corpora", "info", "snapshot", "model"),
    "Servers": ("serve", "stop", "jobs", "keys", "config", "audit"),
    "Whether files are what they were": ("verify", "sign"),
}


def _placeholder() -> None:
    """Stands for a command in the list of all."""


class _Commands(Group):
    """Commands that are placeholders until one is called."""

    sections = {name: section for section, names in SECTIONS.items() for name in names}  # noqa: RUF012
    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.sections)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = super().get_command(ctx, cmd_name)
        return known if known is None or self._listing else load_command(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


@cache
def load_command(name: str) -> Any:
    """The command of a name, with its module; made once, since a group's commands are changed in place."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found: Callable[..., None] | typer.Typer = getattr(import_module(f"kinprint.client.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        found.info.cls = Group
        found.rich_markup_mode = None
        for command in found.registered_commands:
            command.cls = Command
            if command.callback is not None:
                command.callback = with_common_options(command.callback)
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=Command)(with_common_options(found))
    return typer.main.get_command(alone)


def _tell_version(asked: bool) -> None:
    if asked:
        from kinprint.installed import version

        print(f"kinprint {version()}")
        raise typer.Exit


app = typer.Typer(
    name="kinprint",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(_placeholder)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fingerprint similarity for LLM transcripts: where else does a text occur, and who wrote it."""


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # Texts in every script: what a terminal's encoding lacks is escaped rather than fatal.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    app()
