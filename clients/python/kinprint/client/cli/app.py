"""The `kinprint` command: which commands there are, and where each one lives."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from kinprint.client.cli.attribute import attribute
from kinprint.client.cli.compare import compare
from kinprint.client.cli.corpora import corpora, delete, export, get, info, purge
from kinprint.client.cli.dedup import dedup
from kinprint.client.cli.evidence import evidence
from kinprint.client.cli.jobs import jobs
from kinprint.client.cli.kinship import kinship
from kinprint.client.cli.lineage import lineage
from kinprint.client.cli.load import load
from kinprint.client.cli.model import model_app, serve
from kinprint.client.cli.overlap import overlap
from kinprint.client.cli.panel import panel_app
from kinprint.client.cli.search import search

app = typer.Typer(
    name="kinprint",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Fingerprint similarity for LLM transcripts: where else does a text occur, and who wrote it.",
)
commands: tuple[Callable[..., None], ...] = (
    *(serve, load, search, compare, dedup, overlap),
    *(kinship, attribute, evidence, lineage),
    *(corpora, get, export, delete, purge, jobs, info),
)
for command in commands:
    app.command()(command)
app.add_typer(panel_app, name="panel")
app.add_typer(model_app, name="model")


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # Texts in every script: what a terminal's encoding lacks is escaped rather than fatal.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    app()
