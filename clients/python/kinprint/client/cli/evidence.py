"""`kinprint evidence`: the evidence for and against one model descending from another."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.models import PanelOption, check_models, listed, load_panel, models_of, progress_bar, say
from kinprint.client.cli.tables import check_place
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    give_up,
    guarded,
    open_client,
    out,
    print_json,
)
from kinprint.client.files.whole import write_whole
from rich.markup import escape
from rich.table import Table


def renderer(name: str) -> Callable[[dict[str, Any]], bytes]:
    """A function of `kinprint.report`.

    Raises:
        CommandError: what it needs is not installed.
    """
    for needed in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(needed) is None:
            give_up(f"writing HTML needs {needed}, which is not installed: pip install 'kinprint[report]'")
    import kinprint.report as reports

    found: Callable[[dict[str, Any]], bytes] = getattr(reports, name)
    return found


def split_pair(text: str, known: Sequence[str]) -> tuple[str, str]:
    """The models of "B2:A2"; either name may hold colons.

    Raises:
        CommandError: these are no two models, or it can be read in two ways.
    """
    places = [i for i, mark in enumerate(text) if mark == ":"]
    pairs = [(text[:i], text[i + 1 :]) for i in places if text[:i] and text[i + 1 :]]
    if not pairs:
        fail(f"--also wants SUBJECT:SOURCE, not {text!r}")
    fitting = [pair for pair in pairs if set(pair) <= set(known)]
    if len(fitting) > 1:
        fail(f"--also {text!r} can be read in {len(fitting)} ways")
    return fitting[0] if fitting else pairs[0]


@guarded
def evidence(
    corpus: CorpusOption,
    subject: Annotated[str, typer.Option("--subject", metavar="B", help="Model that may have come from the other.")],
    source: Annotated[str, typer.Option("--source", metavar="A", help="Model that it may have come from.")],
    server: ServerOption = None,
    data: DataOption = None,
    panel: PanelOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="B2:A2",
            help="Further pair that was to be tested from the start; p-values are corrected. May be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to FILE: .html for people, or .json.")
    ] = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Write the evidence for and against model B descending from model A.

    An HTML file stands alone and can be read without a network. The JSON is the
    same for the same record, panel and question, byte for byte.
    """
    render = None
    if output is not None:
        kind = output.suffix.lower()
        if kind not in (".html", ".htm", ".json"):
            fail(f"{output}: write to .html or .json")
        check_place(output)
        render = renderer("render") if kind != ".json" else None
    background = load_panel(panel)
    if subject == source:
        fail("--subject and --source name the same model")
    with open_client(server, data) as client:
        known = models_of(client, corpus)
        check_models((subject, source), known, corpus)
        pairs = [split_pair(text, known) for text in also or ()]
        check_models((name for pair in pairs for name in pair), known, corpus, "--also: ")
        with progress_bar("gathering evidence", quiet=quiet) as report:
            found = client.build_evidence(corpus, subject, source, panel=background, also=pairs, progress=report)
    document = found.report
    if output is not None:
        write_whole(output, found.data if render is None else render(document))
    if json_output:
        print_json(document)
        return
    _show(document)
    if output is not None:
        say(f"written to {output}")
    else:
        say("write all of it with --out report.html or --out report.json")


def _show(report: Mapping[str, Any]) -> None:
    statement = report["statement"]
    out.print(f"[bold]{escape(statement['headline'])}[/bold]", soft_wrap=True)
    table = Table()
    table.add_column("question", overflow="fold")
    for column in ("score", "log10 LR", "p", "least p"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for item in report["hypotheses"]:
        table.add_row(
            escape(item["question"]),
            _number(item["score"], ".3f"),
            _number(item["log10_lr"], ".2f"),
            _number(item["p_holm"] if item["p_holm"] is not None else item["p_value"], ".2g"),
            _number(item["p_floor"], ".2g"),
            "not answered" if item["abstained"] else escape(str(item["verdict"]).replace("_", " ")),
        )
    out.print(table)
    say(
        *listed("may be said", statement["may_say"]),
        *listed("may not be said", statement["may_not_say"]),
    )
    background = report["background"]
    if background is None:
        say("there is no background: no likelihood ratio, no p-value, no verdict")
        return
    say(
        *listed("carries over", background["carries_over"]),
        *listed("does not carry over", background["does_not"]),
        *listed("note", background["cautions"]),
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
