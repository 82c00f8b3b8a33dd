"""`kinprint compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.hits import BACKGROUND_NOTE, STYLE_NOTE, differing, sentence_pairs, shorten, why
from kinprint.client.cli.terminal import (
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    SeeThroughOption,
    ServerOption,
    fail,
    guarded,
    needed_model,
    open_client,
    out,
    print_json,
)
from kinprint.client.cli.texts import parse_channels, read_text
from kinprint.client.types import CHANNELS, TranscriptRef, as_dict
from rich.markup import escape
from rich.table import Table


@guarded
def compare(
    a: Annotated[
        str,
        typer.Argument(help="A file, - (standard input), text:WORDS, id:ID or id:CORPUS/ID (see --corpus)."),
    ],
    b: Annotated[str, typer.Argument(help="The same.")],
    server: ServerOption = None,
    data: DataOption = None,
    corpus: Annotated[str | None, typer.Option("--corpus", help="Corpus of id:ID.")] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", help="copy, semantic, style or all. Default: what there is."),
    ] = None,
    see_through: SeeThroughOption = True,
    embedding_model: EmbeddingModelOption = "default",
    json_output: JsonOption = False,
) -> None:
    """Compare two texts or stored transcripts, with the spans that they share."""
    if a == "-" and b == "-":
        fail("standard input can be one of the two texts, not both")
    left, right = (_compared(value, corpus) for value in (a, b))
    chosen = parse_channels(channel) if channel else []
    with open_client(server, data, embedding_model=needed_model(embedding_model, chosen)) as client:
        result = client.compare(left, right, channels=chosen, see_through=see_through)
    if json_output:
        print_json({name: as_dict(getattr(result, name)) for name in CHANNELS if getattr(result, name)})
        return
    table = Table()
    table.add_column("channel")
    table.add_column("score", justify="right")
    table.add_column("why", overflow="fold")
    if result.copy is not None:
        score = max(result.copy.jaccard, result.copy.containment_query)
        table.add_row("copy", f"{score:.3f}", escape(why(result.copy)))
    if result.semantic is not None:
        table.add_row("semantic", f"{result.semantic.score:.3f}", escape(why(result.semantic, compared=True)))
    if result.style is not None:
        table.add_row("style", f"{result.style.cosine_delta:.3f}", escape(why(result.style)))
    out.print(table)
    if result.copy is not None and not result.copy.identical:
        for span in result.copy.spans[:10]:
            place = f"{span.query_start}-{span.query_end} = {span.match_start}-{span.match_end}"
            out.print(f"  {place}  “{escape(shorten(span.text, 100))}”{differing(span.differences)}", soft_wrap=True)
    for line in sentence_pairs(result.semantic):
        out.print(f"  {escape(line)}", soft_wrap=True)
    if result.semantic is not None and result.semantic.calibration == "background":
        out.print(f"[dim]{BACKGROUND_NOTE}[/dim]", soft_wrap=True)
    if result.style is not None:
        out.print(f"[dim]{STYLE_NOTE}[/dim]")


def _compared(value: str, corpus: str | None) -> str | TranscriptRef:
    if value.startswith("text:"):
        return value.removeprefix("text:")
    if value.startswith("id:"):
        name = value.removeprefix("id:")
        if corpus is not None:
            return TranscriptRef(corpus, name)
        home, mark, rest = name.partition("/")
        if not mark:
            fail(f"say which corpus has {name!r}: id:CORPUS/{name}, or --corpus")
        return TranscriptRef(home, rest)
    if value != "-" and not Path(value).expanduser().is_file():
        fail(f"no file {value!r}; for a text write text:..., for a stored transcript id:CORPUS/ID")
    return read_text(value)
