"""`kinprint lineage`: the models of a corpus in a tree by likeness."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.evidence import renderer
from kinprint.client.cli.models import (
    ModelsOption,
    PanelOption,
    check_models,
    listed,
    load_panel,
    models_of,
    progress_bar,
    say,
)
from kinprint.client.cli.tables import TableWriter, check_place, check_target
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
)
from kinprint.client.files.whole import write_whole
from kinprint.client.types import Filter, Lineage, as_dict
from kinprint.client.wording import counted
from rich.markup import escape
from rich.tree import Tree

_NEWICK = (".nwk", ".newick", ".tree")
_HTML = (".html", ".htm")
_TABLES = (".parquet", ".pq", ".csv", ".tsv", ".ndjson", ".jsonl")


@guarded
def lineage(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    panel: PanelOption = None,
    model: ModelsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write to FILE: .html (a picture), .nwk (Newick), or the scores as a table.",
        ),
    ] = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Arrange the models of a corpus in a tree by how alike they write.

    Any models whatever make a tree: it shows who is nearest to whom, and is no
    evidence that two of them are related ('kinprint kinship' weighs that).
    A table has a row and a column for each model, in the order of the leaves.
    """
    kind = _kind(output) if output is not None else None
    render = renderer("render_lineage") if kind == "html" else None
    background = load_panel(panel)
    with open_client(server, data) as client:
        known = models_of(client, corpus)
        check_models(model or (), known, corpus)
        wanted = Filter(models=tuple(model)) if model else None
        with progress_bar("arranging models", quiet=quiet) as report:
            found = client.find_lineage(corpus, panel=background, filter=wanted, progress=report)
    if output is not None:
        if render is not None:
            write_whole(output, render(plain(found, corpus)))
        elif kind == "newick":
            write_whole(output, (found.newick.rstrip() + "\n").encode())
        else:
            _write_matrix(output, found)
    if json_output:
        print_json({**plain(found, corpus), "out": str(output) if output else None})
        return
    if output is None:
        out.print(_tree(found))
    where = f", written to {output}" if output is not None else ""
    say(
        f"{counted(len(found.models), 'model')} in a tree by likeness{where}",
        *listed("note", found.cautions),
    )


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return check_target(path)
    if suffix not in (*_HTML, *_NEWICK):
        fail(f"{path}: write to .html, .nwk, .parquet, .csv, .tsv or .ndjson")
    check_place(path)
    return "html" if suffix in _HTML else "newick"


def _rows(found: Lineage) -> list[list[float | None]]:
    """Scores as lists; None where two models cannot be compared."""
    return [[None if math.isnan(value) else value for value in row] for row in found.scores.tolist()]


def plain(found: Lineage, corpus: str) -> dict[str, Any]:
    """A tree as plain data."""
    return {
        "corpus": corpus,
        "models": list(found.models),
        "scores": _rows(found),
        "newick": found.newick,
        "order": list(found.order),
        "merges": found.merges.tolist(),
        "cautions": list(found.cautions),
        "provenance": None if found.provenance is None else as_dict(found.provenance),
    }


def _write_matrix(path: Path, found: Lineage) -> None:
    names = [found.models[place] for place in found.order]
    first = "model"
    while first in names:
        first += "_"
    scores = _rows(found)
    with TableWriter(path, {first: "string", **dict.fromkeys(names, "float64")}) as writer:
        for place in found.order:
            row = scores[place]
            writer.write({first: found.models[place]} | {found.models[k]: row[k] for k in found.order})


def _tree(found: Lineage) -> Tree:
    """The tree for a terminal: a node a join with its distance, a leaf a model."""
    count = len(found.models)
    merges = found.merges.tolist()
    root = Tree("")
    waiting = [(root, count + len(merges) - 1 if merges else 0)] if count else []
    while waiting:
        branch, node = waiting.pop()
        if node < count:
            branch.add(escape(found.models[node]))
            continue
        left, right, distance, _ = merges[node - count]
        joined = branch.add(f"[dim]{distance:.3f}[/dim]")
        # Leaves first, so that what is joined late stands beside it and not below all.
        waiting += sorted(((joined, int(left)), (joined, int(right))), key=lambda item: item[1], reverse=True)
    return root.children[0] if root.children else root
