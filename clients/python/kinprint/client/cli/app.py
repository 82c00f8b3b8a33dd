"""The `kinprint` command: which commands there are, and where each one lives."""

from __future__ import annotations

import sys

import typer
from kinprint.client.cli.corpora import corpora, delete, export, get, info, purge
from kinprint.client.cli.dedup import dedup
from kinprint.client.cli.load import load
from kinprint.client.cli.model import model_app, serve
from kinprint.client.cli.overlap import overlap
from kinprint.client.cli.search import compare, search

app = typer.Typer(
    name="kinprint",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Fingerprint similarity for LLM transcripts: where else does a text occur, and what resembles it.",
)
for command in (serve, load, search, compare, dedup, overlap, corpora, get, export, delete, purge, info):
    app.command()(command)
app.add_typer(model_app, name="model")


def run() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # Texts in every script: what a terminal's encoding lacks is escaped rather than fatal.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    app()
