"""`kinprint attribute`: which model wrote the texts of a file."""

from __future__ import annotations

import contextlib
from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.columns import ATTRIBUTION, ATTRIBUTION_OF_SETS
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
    give_up,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.files.reader import FileReader, expand_paths
from kinprint.client.files.rows import RowError
from kinprint.client.types import AttributedSet, AttributionSummary, Transcript, UnknownText, as_dict
from kinprint.client.wording import counted
from rich.markup import escape
from rich.table import Table

_SHOWN = 20
_TOLD = 5
_REASONS = {
    "NO_USABLE_TEXT": "no text is long enough",
    "MAY_BE_UNKNOWN": "may be of none of these models",
    "TOO_CLOSE": "two or more models are too close to tell apart",
    "NO_POWER": "the corpus does not tell these models apart",
}
# Columns that transcripts hold by name; every other one is metadata.
_FIELDS = ("model", "prompt_id", "prompt", "language", "account_id", "conversation_id", "system_prompt", "turn")


@guarded
def attribute(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Texts: Parquet, NDJSON, CSV or TSV.")],
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN", help="Attribute the texts with one value in COLUMN together."),
    ] = None,
    panel: PanelOption = None,
    model: ModelsOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    output: OutOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find which model of a corpus wrote each text of FILE, or that none did.

    FILE has the columns that 'kinprint load' takes; response (or messages) is
    the text. With --by all texts that share a value have one author and are
    taken together, which tells far more than one text can.

    Written are set_id (with --by) or transcript_id (else the number of the row
    from 0), rank, model (null: none of these), log10_lr, probability, abstained
    and reason (null when the model of rank 1 is named as the author).
    """
    schema = ATTRIBUTION_OF_SETS if by is not None else ATTRIBUTION
    background = load_panel(panel)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        texts = _texts(file, by)
        client = stack.enter_context(open_client(server, data))
        known = models_of(client, corpus)
        check_models(model or (), known, corpus)
        texts = _short_enough(texts, client.server_info().limits.max_text_bytes)
        report = stack.enter_context(progress_bar("attributing", quiet=quiet))
        search = stack.enter_context(
            client.attribute(corpus, texts, panel=background, models=model or (), seed=seed, progress=report)
        )
        reasons: Counter[str] = Counter()
        beyond = 0
        shown: list[AttributedSet] = []
        for sets in search:
            reasons.update(found.reason for found in sets if found.abstained)
            beyond += sum(found.beyond for found in sets)
            if writer is not None:
                for found in sets:
                    columns = zip(*found.rows(), strict=True)
                    writer.write_columns(dict(zip(schema, columns, strict=True)))
            elif json_output:
                shown += sets
            else:
                shown += sets[: max(0, _SHOWN - len(shown))]
        totals = search.summary
        assert totals is not None, "a run that ends without an error has its totals"
    if json_output:
        told = {**as_dict(totals), "reasons": dict(reasons), "out": str(output) if output else None}
        print_json(told if output is not None else {**told, "results": [_brief(found) for found in shown]})
        return
    if shown:
        _show(shown, "set" if by is not None else "text")
        if totals.sets > len(shown):
            say(f"and {totals.sets - len(shown):,} more: write them all with --out authors.parquet")
    _summarise(totals, reasons, beyond, "sets" if by is not None else "texts", output)


def _texts(file: Path, by: str | None) -> list[UnknownText]:
    """The texts of a file with their sets; says what was left out.

    Raises:
        CommandError: no text is there, or no row has the column of sets.
        SourceError: the file cannot be read.
    """
    paths = expand_paths([file])
    texts: list[UnknownText] = []
    reasons: Counter[str] = Counter()
    columns: dict[str, None] = {}
    without = number = 0
    reader = FileReader(paths)
    for row in reader:
        if isinstance(row.item, RowError):
            reasons[row.item.reason.lower()] += 1
            continue
        transcript = row.item
        number += 1
        if by is None:
            name = transcript.id if transcript.id is not None else str(number - 1)
            texts.append(UnknownText(transcript.response, id=name))
            continue
        value = _value(transcript, by)
        if value is None:
            without += 1
            columns.update(dict.fromkeys((*(f for f in _FIELDS if _value(transcript, f)), *transcript.metadata)))
        else:
            texts.append(UnknownText(transcript.response, set_id=value))
    for note in reader.notes:
        warn(f"note: {note}")
    if reasons:
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        warn(f"{counted(reasons.total(), 'row')} of {file} skipped: {told}")
    if by is not None and without and not texts:
        near = get_close_matches(by, columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        give_up(f"{file}: no row has a value in the column {by!r} (--by); found: {', '.join(columns) or 'none'}{hint}")
    if without:
        warn(f"{counted(without, f'row of {file} has', f'rows of {file} have')} no {by}: left out")
    if not texts:
        give_up(f"{file}: no texts")
    return texts


def _value(transcript: Transcript, column: str) -> str | None:
    """A column of a row as text."""
    if column == "transcript_id":
        return transcript.id
    if column in _FIELDS:
        value = getattr(transcript, column)
        return None if value is None or value == "" else str(value)
    if column == "created_at":
        return None if transcript.created_at is None else transcript.created_at.isoformat()
    return transcript.metadata.get(column) or None


def _short_enough(texts: list[UnknownText], limit: int) -> list[UnknownText]:
    """Texts that the server takes.

    Raises:
        CommandError: there is none.
    """
    kept = [item for item in texts if len(item.text.encode("utf-8", "surrogatepass")) <= limit]
    if len(kept) < len(texts):
        warn(f"{counted(len(texts) - len(kept), 'text')} longer than {limit:,} bytes of UTF-8: left out")
    if not kept:
        give_up("no texts are left")
    return kept


def _brief(found: AttributedSet) -> dict[str, Any]:
    """A set with its most probable author, for machines."""
    first = found.candidates[0]
    return {
        "set_id": found.set_id,
        "id": found.id,
        "model": found.model,
        "abstained": found.abstained,
        "reason": found.reason or None,
        "texts": found.texts,
        "counted": found.counted,
        "most_probable": {"model": first.model, "log10_lr": first.log10_lr, "probability": first.probability},
    }


def _show(sets: list[AttributedSet], kind: str) -> None:
    table = Table()
    table.add_column(kind, overflow="fold")
    table.add_column("texts", justify="right")
    table.add_column("author", overflow="fold")
    table.add_column("most probable", overflow="fold")
    table.add_column("P", justify="right")
    table.add_column("log10 LR", justify="right")
    for found in sets:
        first = found.candidates[0]
        table.add_row(
            escape(found.id if found.set_id is None else found.set_id),
            f"{found.counted:,} of {found.texts:,}",
            escape(found.model or _word(found.reason)),
            escape(first.model or "none of these"),
            f"{first.probability:.3f}",
            f"{first.log10_lr:.2f}",
        )
    out.print(table)


def _word(reason: str) -> str:
    return f"({reason.lower().replace('_', ' ')})"


def _summarise(totals: AttributionSummary, reasons: Counter[str], beyond: int, kind: str, output: Path | None) -> None:
    where = f", written to {output}" if output is not None else ""
    say(f"{totals.named:,} of {totals.sets:,} {kind} named as by one of {len(totals.models):,} models{where}")
    for reason, count in reasons.most_common():
        say(f"{count:,} not named: {_REASONS.get(reason, reason)} {_word(reason)}")
    if beyond:
        say(
            f"{counted(beyond, 'text was', 'texts were')} not looked at: the corpus has too few to validate sets of "
            f"more than {totals.power[-1].size} texts"
        )
    for power in totals.power:
        texts = "one text" if power.size == 1 else f"{power.size} texts"
        right = "" if power.correct is None else f", {power.correct:.1%} of these rightly"
        wrong = "" if power.false_names is None else f"; of models held out {power.false_names:.1%} get a name"
        say(f"sets of {texts}, tried on the corpus itself: {power.named:.0%} get named{right}{wrong}")
    left_out = [f"{name} ({why})" for name, why in totals.left_out.items()]
    if left_out:
        more = f" and {len(left_out) - _TOLD} more" if len(left_out) > _TOLD else ""
        say(f"models that cannot be named: {', '.join(left_out[:_TOLD])}{more}")
    say(*listed("note", totals.notes))
