"""`kinprint dedup`: all near-duplicate pairs."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import typer
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import PAIRS, PAIRS_OF_SEVERAL, TableWriter
from kinprint.client.cli.terminal import (
    CorporaOption,
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
    warn,
)
from kinprint.client.types import DuplicatesProgress, as_dict
from rich.markup import escape
from rich.table import Table

_SHOWN = 20
# Pairs that are held to be written in order; more are written as they come, in bounded memory.
_SORTED_UP_TO = 1_000_000


@guarded
def dedup(
    corpora: CorporaOption,
    server: ServerOption = None,
    data: DataOption = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Least Jaccard of a pair, 0.1 to 1.")] = 0.7,
    expand: Annotated[
        bool, typer.Option("--expand", help="List every pair of identical answers and of their copies.")
    ] = False,
    output: OutOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find all near-duplicate pairs of a corpus, or within and between several.

    Columns of the file: id_a, id_b, jaccard, containment_a, containment_b, and with several corpora corpus_a
    and corpus_b; sorted by id up to a million pairs.
    """
    if not 0.1 <= threshold <= 1.0:
        fail(f"--threshold must be between 0.1 and 1, not {threshold}")
    schema = PAIRS if len(corpora) == 1 else PAIRS_OF_SEVERAL
    first: list[tuple[Any, ...]] = []
    held: list[tuple[Any, ...]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        client = stack.enter_context(open_client(server, data))
        bar = stack.enter_context(ProgressReport("looking for duplicates", quiet=quiet))

        def show(progress: DuplicatesProgress) -> None:
            bar.update(progress.share, progress.step)

        search = stack.enter_context(client.find_duplicates(corpora, threshold, expand=expand, progress=show))
        holding = writer is not None
        for pairs in search:
            if writer is None:
                first += list(pairs.rows())[: max(0, _SHOWN - len(first))]
                continue
            if holding:
                held += pairs.rows()
                if len(held) > _SORTED_UP_TO:
                    holding = False
                    _write(writer, held)
                    held = []
            else:
                writer.write_columns({name: getattr(pairs, name) for name in schema})
        summary = search.summary
        assert summary is not None, "a search that ends without an error has its totals"
        if writer is not None and held:
            held.sort(key=lambda row: (row[5], row[0], row[6], row[1]))
            _write(writer, held)
    if output is not None and summary.pairs > _SORTED_UP_TO:
        warn(f"more than {_SORTED_UP_TO:,} pairs: written as they came, not sorted")
    if json_output:
        print_json({**as_dict(summary), "threshold": threshold, "out": str(output) if output else None})
        return
    if output is None and first:
        table = Table()
        for column in ("a", "b"):
            table.add_column(column, overflow="fold")
        for column in ("Jaccard", "of a", "of b"):
            table.add_column(column, justify="right")
        for id_a, id_b, jaccard, of_a, of_b, corpus_a, corpus_b in first:
            names = (id_a, id_b) if len(corpora) == 1 else (f"{corpus_a}/{id_a}", f"{corpus_b}/{id_b}")
            table.add_row(escape(names[0]), escape(names[1]), f"{jaccard:.3f}", f"{of_a:.3f}", f"{of_b:.3f}")
        out.print(table)
        if summary.pairs > len(first):
            out.print(f"and {summary.pairs - len(first):,} more: write them all with --out pairs.parquet")
    where = f", written to {escape(str(output))}" if output is not None else ""
    out.print(
        f"{summary.pairs:,} pairs at Jaccard {threshold} or more among {summary.rows:,} answers "
        f"({summary.distinct:,} distinct){where}",
        soft_wrap=True,
    )


def _write(writer: TableWriter, rows: list[tuple[Any, ...]]) -> None:
    names = list(PAIRS_OF_SEVERAL)
    step = 100_000
    for start in range(0, len(rows), step):
        columns = zip(*rows[start : start + step], strict=True)
        writer.write_columns(dict(zip(names, columns, strict=True)))
