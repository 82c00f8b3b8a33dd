"""`kinprint panel`: the background that kinship is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.models import (
    check_models,
    listed,
    load_panel,
    models_of,
    near_names,
    progress_bar,
    read_edges,
    read_members,
    say,
)
from kinprint.client.cli.tables import check_place
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    JsonOption,
    QuietOption,
    ServerOption,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.types import PanelSize, PanelSummary, as_dict
from rich.table import Table

panel_app = typer.Typer(no_args_is_help=True, help="Backgrounds that kinship is held against.")


@panel_app.command("fit")
@guarded
def fit(
    corpus: CorpusOption,
    families: Annotated[
        Path,
        typer.Option("--families", metavar="FILE", help="CSV: model, family and, if known, shares_with (a;b)."),
    ],
    output: Annotated[Path, typer.Option("--out", "-o", metavar="PANEL", help="File to write the panel to.")],
    server: ServerOption = None,
    data: DataOption = None,
    lineage: Annotated[
        Path | None,
        typer.Option("--lineage", metavar="FILE", help="CSV of known relations: model, related_to, relation."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fit a panel on a corpus whose models have known families.

    Models of one family, or with a common tag in shares_with, are no unrelated
    pair. Relations named fine_tune, prompt_variant, best_of_n and rewriter make
    derived pairs. In both files a column corpus, if it names this corpus, keeps
    rows of other corpora out; further columns are passed over.
    """
    check_place(output)
    members = read_members(families, corpus)
    names = {member.model for member in members}
    edges = read_edges(lineage, corpus) if lineage is not None else []
    kept = [edge for edge in edges if {edge.model, edge.related_to} <= names]
    with open_client(server, data) as client:
        known = models_of(client, corpus)
        if not names & set(known):
            check_models(names, known, corpus, f"{families}: ")
        with progress_bar("fitting the panel", quiet=quiet) as report:
            panel = client.fit_panel(corpus, members, kept, seed=seed, progress=report)
    panel.save(output)
    if len(kept) < len(edges):
        warn(f"{len(edges) - len(kept)} of {len(edges)} relations are of models that are not in {families}: left out")
    if missing := sorted(names - set(known)):
        told = near_names(missing, sorted(set(known) - names))
        warn(f"{len(missing)} of {len(names)} models in {families} have no answers here and are passed over: {told}")
    if others := len(set(known) - names):
        warn(f"{others} of {len(known)} models of corpus {corpus!r} are not in {families}: left out")
    if json_output:
        print_json({**as_dict(panel.summary), "out": str(output)})
        return
    _describe(panel.summary)
    say(f"written to {output} ({len(panel.data):,} bytes)")


@panel_app.command("show")
@guarded
def show(
    panel: Annotated[Path, typer.Argument(metavar="PANEL", help="A file that 'kinprint panel fit' made.")],
    json_output: JsonOption = False,
) -> None:
    """Show what a panel holds; needs no server."""
    found = load_panel(panel)
    assert found is not None, "there is a path"
    if json_output:
        print_json(found.summary)
        return
    _describe(found.summary)


def _describe(panel: PanelSummary) -> None:
    table = Table()
    for column in ("prompts", "null", "LR to", "Cllr", "verdict", "derived", "kin"):
        table.add_column(column, justify="right")
    rates = sorted({rate for size in panel.sizes for rate in size.rates}, reverse=True)
    for rate in rates:
        table.add_column(f"at {rate:.1%}".replace(".0%", "%"), justify="right")
    for size in panel.sizes:
        table.add_row(str(size.prompts), *_cells(size, rates))
    if panel.bridged is not None:
        table.add_row("bridged", *_cells(panel.bridged, rates))
    out.print(table)
    say(
        "null: unrelated pairs; LR to: largest log10 likelihood ratio; verdict: the score from which one is given, and "
        "the shares of derived and kin pairs that reach it; at 1%: share of derived pairs found beside 1% of the "
        "unrelated"
    )
    origin = "known relations" if panel.derived_from == "lineage" else "the closer half of each family's pairs"
    say(
        f"{len(panel.members):,} models of {panel.families:,} families ({panel.independent_families:,} independent) on "
        f"{panel.prompts:,} prompts of corpus {panel.corpus}; {panel.scheme}, Kinprint {panel.kinprint}",
        f"{panel.unrelated_pairs:,} unrelated pairs, {panel.kin_pairs:,} kin, {panel.derived_pairs:,} derived "
        f"({origin})",
        *listed("note", panel.cautions),
        f"digest {panel.digest}",
    )


def _cells(size: PanelSize, rates: list[float]) -> list[str]:
    return [
        f"{size.null_pairs:,}",
        f"{size.log10_lr_max:.1f}",
        f"{size.cllr:.3f}",
        f"{size.threshold:.2f}",
        f"{size.power_derived:.0%}",
        f"{size.power_kin:.0%}",
        *("-" if (found := size.rates.get(rate)) is None else f"{found:.0%}" for rate in rates),
    ]
