"""`kinprint overlap`: which answers stand, in part, in others."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.columns import SPANS
from kinprint.client.cli.hits import differing
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    DataOption,
    JsonOption,
    OutOption,
    QuietOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
)
from kinprint.client.types import DuplicatesProgress, Filter, OverlapSpans, OverlapsSummary, as_dict
from rich.markup import escape
from rich.table import Table

_SHOWN = 20
# What a file says of a span that both answers have byte for byte.
IDENTICAL = "identical"
# Code points of a span that are shown.
_WIDTH = 80


@guarded
def overlap(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Files to look through instead of a corpus; needs no server."),
    ] = None,
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", metavar="NAME", help="Name of a corpus; may be repeated.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Name of a corpus to compare with (of files: another file; without it each answer is compared with "
            "all others); may be repeated.",
        ),
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only answers of this model; repeatable.")] = None,
    against_model: Annotated[
        list[str] | None, typer.Option("--against-model", help="Compare with answers of this model; repeatable.")
    ] = None,
    min_tokens: Annotated[
        int,
        typer.Option("--min-tokens", min=1, max=10_000, help="Least words (or code points, without spaces) of a span."),
    ] = 12,
    min_bits: Annotated[float, typer.Option("--min-bits", help="Least rarity of a span in bits.")] = 0.0,
    max_texts: Annotated[
        int,
        typer.Option("--max-texts", min=1, help="Pass over phrases that more answers of the other side have."),
    ] = 2000,
    every: Annotated[
        bool, typer.Option("--every", help="List each answer that holds a span, not only the first.")
    ] = False,
    unmarked: Annotated[
        bool, typer.Option("--unmarked", help="Leave out prompt echoes, code and licence notices.")
    ] = False,
    text: Annotated[
        str | None, typer.Option("--text", metavar="COLUMN", help="Column of FILE with the texts; else response.")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="Column of FILE with the ids; else transcript_id, else row numbers from 0."
        ),
    ] = None,
    output: OutOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find which answers of a corpus, or of files, stand, in part and word for word, in answers of another.

    White space, case, punctuation and Unicode form make no difference.

    A corpus may be compared with itself: every answer with all others, or
    those of --model with those of --against-model.

    Written are id_a, id_b, start_a, end_a, start_b, end_b, length (code
    points), tokens, bits (how rare the span is), texts (answers of the other
    side that hold it), mark (prompt, code or licence: no evidence, 0 bits),
    differences (white_space, case, punctuation, unicode_form, or identical),
    others_with, others, prompt_others_with, prompt_others (counts that the
    bits are made of), corpus_a, corpus_b (not of files). Bits are counted in
    all answers of the corpora or files, whatever --model says.
    """
    if files and corpora:
        fail("give either files or --corpus, not both")
    options: dict[str, Any] = {
        "min_tokens": min_tokens,
        "min_bits": min_bits,
        "max_texts": max_texts,
        "every": every,
        "unmarked": unmarked,
    }
    shown: list[dict[str, Any]] = []
    if files:
        if server or data:
            fail("files are looked through without a server: leave out --server and --data")
        from kinprint.client.cli.overlap_files import overlap_files

        schema = {name: kind for name, kind in SPANS.items() if not name.startswith("corpus_")}
        others = [Path(name) for name in against or []]
        of_files, shown = overlap_files(
            files,
            others,
            text,
            id_column,
            model or [],
            against_model or [],
            options,
            output,
            schema,
            quiet,
            shown=_SHOWN,
        )
        _report(of_files, shown, several=False, output=output, json_output=json_output)
        return
    if text or id_column:
        fail("--text and --id name columns of files: leave them out with --corpus")
    if not corpora or not against:
        raise typer.BadParameter("say what to compare: --corpus NAME --against NAME, or files")
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, SPANS)) if output is not None else None
        client = stack.enter_context(open_client(server, data))
        bar = stack.enter_context(ProgressReport("looking for shared spans", quiet=quiet))

        def report(progress: DuplicatesProgress) -> None:
            bar.update(progress.share, progress.step)

        search = stack.enter_context(
            client.find_overlaps(
                corpora,
                against,
                **options,
                filter=Filter(models=tuple(model)) if model else None,
                against_filter=Filter(models=tuple(against_model)) if against_model else None,
                progress=report,
            )
        )
        for spans in search:
            columns = _columns(spans)
            if writer is not None:
                writer.write_columns(columns)
            else:
                shown = sorted(shown + _rows(columns), key=lambda row: (-row["bits"], -row["tokens"]))[:_SHOWN]
        totals = search.summary
        assert totals is not None, "a search that ends without an error has its totals"
        for row in shown:
            answer = client.get(row["corpus_a"], row["id_a"]).response
            row["text"] = answer[row["start_a"] : row["end_a"]]
    several = len(corpora) + len(against) > 1 and [*corpora] != [*against]
    _report(totals, shown, several=several, output=output, json_output=json_output)


def _report(
    totals: OverlapsSummary, shown: list[dict[str, Any]], *, several: bool, output: Path | None, json_output: bool
) -> None:
    if json_output:
        print_json({**as_dict(totals), "out": str(output) if output else None, "top": shown})
        return
    if shown:
        table = Table()
        for column in ("bits", "tokens", "texts"):
            table.add_column(column, justify="right")
        for column in ("mark", "a", "b", "span"):
            table.add_column(column, overflow="fold")
        for row in shown:
            names = [f"{row[f'corpus_{side}']}/{row[f'id_{side}']}" if several else row[f"id_{side}"] for side in "ab"]
            names = [str(name) for name in names]
            counts = (f"{row['bits']:.1f}", str(row["tokens"]), str(row["texts"]), row["mark"] or "")
            differences = [] if row["differences"] == IDENTICAL else row["differences"].split(", ")
            table.add_row(*counts, *map(escape, names), escape(_short(row["text"])) + differing(differences))
        out.print(table)
        if totals.spans > len(shown):
            out.print(f"the rarest of {totals.spans:,} spans: write them all with --out spans.parquet")
    where = f", written to {escape(str(output))}" if output is not None else ""
    common = f"; {totals.common_seeds:,} common phrases passed over" if totals.common_seeds else ""
    out.print(
        f"{totals.spans:,} spans: {totals.texts_with_spans:,} of {totals.texts:,} answers share one with "
        f"{totals.against:,} others{common}{where}",
        soft_wrap=True,
    )


def _short(text: str) -> str:
    """The first words of a span, on one line."""
    return textwrap.shorten(text, _WIDTH, placeholder=" …") if " " in text[:_WIDTH] else text[:_WIDTH]


def _columns(spans: OverlapSpans) -> dict[str, list[Any]]:
    lengths = [end - start for start, end in zip(spans.start_a, spans.end_a, strict=True)]
    differences = [", ".join(some) or IDENTICAL for some in spans.differences]
    made: dict[str, list[Any]] = {"length": lengths, "differences": differences}
    return {name: made[name] if name in made else getattr(spans, name) for name in SPANS}


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
