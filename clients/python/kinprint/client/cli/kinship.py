"""`kinprint kinship`: how alike the models of a corpus write, and which are kin."""

from __future__ import annotations

import contextlib
from collections import Counter
from itertools import islice
from typing import Any

from kinprint.client.cli.columns import KINSHIP
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
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    JsonOption,
    OutOption,
    QuietOption,
    ServerOption,
    guarded,
    open_client,
    out,
    print_json,
)
from kinprint.client.types import as_dict
from kinprint.client.wording import counted
from rich.markup import escape
from rich.table import Table

_SHOWN = 20
VERDICTS = ("derived", "kin", "unresolved", "no_background")
_HEADS = {"model_a": "a", "model_b": "b", "log10_lr": "log10 LR", "p_value": "p"}
_FORMS = {"score": ".2f", "log10_lr": ".2f", "p_value": ".2g"}


@guarded
def kinship(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    panel: PanelOption = None,
    model: ModelsOption = None,
    output: OutOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Score all pairs of models of a corpus, and say which are derived or kin.

    Written are model_a, model_b, prompts (that both answered), score, log10_lr
    (of a derived against an unrelated pair), p_value, p_floor (the least that
    the panel can give), verdict (derived, kin, unresolved, no_background) and
    basis (matched, bridged, none). Without --panel pairs are scored, and nothing
    is concluded.
    """
    background = load_panel(panel)
    verdicts: Counter[str] = Counter()
    best: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, KINSHIP)) if output is not None else None
        client = stack.enter_context(open_client(server, data))
        if model:
            check_models(model, models_of(client, corpus), corpus)
        report = stack.enter_context(progress_bar("comparing models", quiet=quiet))
        search = stack.enter_context(client.find_kinship(corpus, panel=background, models=model or (), progress=report))
        for pairs in search:
            verdicts.update(pairs.verdict)
            columns = {name: getattr(pairs, name) for name in KINSHIP}
            if writer is not None:
                writer.write_columns(columns)
            some = zip(*columns.values(), strict=True)  # best first
            best += [dict(zip(columns, row, strict=True)) for row in islice(some, max(0, _SHOWN - len(best)))]
        totals = search.summary
        assert totals is not None, "a search that ends without an error has its totals"
    if json_output:
        counts = {name: verdicts[name] for name in VERDICTS}
        print_json({**as_dict(totals), "verdicts": counts, "out": str(output) if output else None, "top": best})
        return
    if output is None and best:
        _show(best)
        if totals.pairs > len(best):
            say(f"the {len(best)} closest of {totals.pairs:,} pairs: write them all with --out pairs.parquet")
    where = f", written to {output}" if output is not None else ""
    left_out = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in totals.left_out.items() if count]
    say(
        f"{counted(totals.pairs, 'pair')} of {counted(totals.models, 'model')} on {counted(totals.prompts, 'prompt')} "
        f"({counted(totals.answers, 'answer')}){where}",
        f"left out: {', '.join(left_out)}" if left_out else "",
    )
    if totals.families:
        told = ", ".join(f"{verdicts[name]:,} {name.replace('_', ' ')}" for name in VERDICTS if verdicts[name])
        say(
            f"{told}; unresolved does not mean unrelated" if verdicts["unresolved"] else told,
            f"background: {totals.families:,} families, panel {totals.panel_digest[:12]}",
        )
    elif not any("no background" in caution for caution in totals.cautions):
        say(
            f"{counted(totals.models, 'model is', 'models are')} no background: "
            "no likelihood ratio, no p-value, no verdict"
        )
    say(
        *listed("carries over", totals.carries_over),
        *listed("does not carry over", totals.does_not_carry_over),
        *listed("note", totals.cautions),
    )


def _show(rows: list[dict[str, Any]]) -> None:
    """The closest pairs; columns that say nothing of any of them are left out."""
    columns = ["model_a", "model_b", "prompts"]
    columns += [name for name in ("score", "log10_lr", "p_value") if any(row[name] is not None for row in rows)]
    columns += [
        name
        for name, usual in (("verdict", "no_background"), ("basis", "matched"))
        if {usual} != {row[name] for row in rows}
    ]
    table = Table()
    for name in columns:
        numeric = name in _FORMS or name == "prompts"
        table.add_column(_HEADS.get(name, name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name], _FORMS.get(name)) for name in columns))
    out.print(table)


def _cell(value: Any, form: str | None) -> str:
    if value is None:
        return "-"
    return format(value, form) if form else escape(str(value))
