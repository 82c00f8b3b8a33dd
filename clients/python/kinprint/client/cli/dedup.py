"""`kinprint dedup`: all near-duplicate pairs, clusters, or what is left without duplicates."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import (
    CLUSTERS,
    CLUSTERS_OF_SEVERAL,
    KEPT,
    KEPT_OF_SEVERAL,
    PAIRS,
    PAIRS_OF_SEVERAL,
    Schema,
    TableWriter,
)
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
    warn,
)
from kinprint.client.sync import Client
from kinprint.client.types import DuplicatesProgress, DuplicatesSummary, as_dict
from rich.markup import escape
from rich.table import Table

_SHOWN = 20
# Pairs that are held to be written in order; more are written as they come, in bounded memory.
_SORTED_UP_TO = 1_000_000


@guarded
def dedup(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", help="Parquet, NDJSON or CSV instead of a corpus; needs no server."),
    ] = None,
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", metavar="NAME", help="Name of a corpus; may be repeated.")
    ] = None,
    server: ServerOption = None,
    data: DataOption = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Least Jaccard of a pair, 0.1 to 1.")] = 0.7,
    exact: Annotated[
        bool, typer.Option("--exact", help="Miss no pair; takes longer, and 8 bytes of memory a shingle.")
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Only pairs of a --corpus with this corpus (or of FILE with this file); may be repeated.",
        ),
    ] = None,
    clusters: Annotated[
        bool, typer.Option("--clusters", help="Write id, cluster, is_representative for every row.")
    ] = False,
    keep_first: Annotated[
        bool,
        typer.Option(
            "--keep-first", help="Write what is left with one row a cluster: ids, or, of FILE, its whole rows."
        ),
    ] = False,
    expand: Annotated[
        bool, typer.Option("--expand", help="List every pair of identical answers and of their copies.")
    ] = False,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="Column of FILE with the texts.")] = "response",
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="Column of FILE with the ids; else transcript_id, else row numbers."
        ),
    ] = None,
    output: OutOption = None,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find all near-duplicate pairs of a corpus, within and between several, or of files.

    Columns of the file: id_a, id_b, jaccard, containment_a, containment_b, and with several corpora corpus_a
    and corpus_b; sorted by id up to a million pairs. With --clusters: id, cluster (the smallest id in it),
    is_representative. With --keep-first: the representatives.
    """
    if not 0.1 <= threshold <= 1.0:
        fail(f"--threshold must be between 0.1 and 1, not {threshold}")
    if clusters + keep_first > 1:
        fail("--clusters and --keep-first are two kinds of output: choose one")
    if (clusters or keep_first) and (against or expand):
        fail("--against and --expand go with pairs only")
    if bool(files) == bool(corpora):
        fail("name what to look through: --corpus NAME, or files")
    kind = "clusters" if clusters else "keep" if keep_first else "pairs"
    if files:
        if server or data:
            fail("files are looked through without a server: leave --server and --data out")
        from kinprint.client.cli.dedup_files import dedup_files

        summary: dict[str, Any] = dedup_files(
            files, against or [], text, id_column, threshold, exact, expand, kind, output, quiet, show=not json_output
        )
        if json_output:
            print_json(summary)
        return
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(open_client(server, data))
        bar = stack.enter_context(ProgressReport("looking for duplicates", quiet=quiet))

        def report(progress: DuplicatesProgress) -> None:
            bar.update(progress.share, progress.step)

        names = corpora or []
        if kind == "pairs":
            totals, first = _pairs(client, names, against or [], threshold, exact, expand, output, report)
        else:
            totals, first = _clusters(client, names, threshold, exact, kind == "keep", output, report)
    if json_output:
        print_json({**as_dict(totals), "threshold": threshold, "exact": exact, "out": str(output) if output else None})
        return
    _show(first, kind, len(names) + len(against or []) > 1, totals, threshold, output)


def _pairs(
    client: Client,
    corpora: list[str],
    against: list[str],
    threshold: float,
    exact: bool,
    expand: bool,
    output: Path | None,
    report: Any,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    schema = PAIRS if len(corpora) + len(against) == 1 else PAIRS_OF_SEVERAL
    first: list[tuple[Any, ...]] = []
    held: list[tuple[Any, ...]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        search = stack.enter_context(
            client.find_duplicates(corpora, threshold, exact=exact, against=against, expand=expand, progress=report)
        )
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
        totals = search.summary
        assert totals is not None, "a search that ends without an error has its totals"
        if writer is not None and held:
            held.sort(key=lambda row: (row[5], row[0], row[6], row[1]))
            _write(writer, held)
    if output is not None and totals.pairs > _SORTED_UP_TO:
        warn(f"more than {_SORTED_UP_TO:,} pairs: written as they came, not sorted")
    return totals, first


def _clusters(
    client: Client,
    corpora: list[str],
    threshold: float,
    exact: bool,
    keep: bool,
    output: Path | None,
    report: Any,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    several = len(corpora) > 1
    schema: Schema = (KEPT_OF_SEVERAL if several else KEPT) if keep else (CLUSTERS_OF_SEVERAL if several else CLUSTERS)
    first: list[tuple[Any, ...]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        search = stack.enter_context(client.find_clusters(corpora, threshold, exact=exact, progress=report))
        for batch in search:
            columns = {name: getattr(batch, name) for name in (CLUSTERS_OF_SEVERAL if several else CLUSTERS)}
            if keep:
                kept = columns["is_representative"]
                columns = {
                    name: [value for value, stays in zip(columns[name], kept, strict=True) if stays] for name in schema
                }
            if writer is not None:
                writer.write_columns(columns)
            elif not keep and len(first) < _SHOWN:
                ids = [f"{c}/{i}" for c, i in zip(batch.corpus, batch.id, strict=True)] if several else batch.id
                names = (
                    [f"{c}/{i}" for c, i in zip(batch.cluster_corpus, batch.cluster, strict=True)]
                    if several
                    else batch.cluster
                )
                joined = [(i, c) for i, c, r in zip(ids, names, batch.is_representative, strict=True) if not r]
                first += joined[: _SHOWN - len(first)]
        totals = search.summary
        assert totals is not None, "a search that ends without an error has its totals"
    return totals, first


def _show(
    first: list[tuple[Any, ...]],
    kind: str,
    several: bool,
    totals: DuplicatesSummary,
    threshold: float,
    output: Path | None,
) -> None:
    where = f", written to {escape(str(output))}" if output is not None else ""
    if first:
        table = Table()
        if kind == "pairs":
            for column in ("a", "b"):
                table.add_column(column, overflow="fold")
            for column in ("Jaccard", "of a", "of b"):
                table.add_column(column, justify="right")
            for id_a, id_b, jaccard, of_a, of_b, corpus_a, corpus_b in first:
                names = (f"{corpus_a}/{id_a}", f"{corpus_b}/{id_b}") if several else (id_a, id_b)
                table.add_row(escape(names[0]), escape(names[1]), f"{jaccard:.3f}", f"{of_a:.3f}", f"{of_b:.3f}")
        else:
            for column in ("duplicate", "of"):
                table.add_column(column, overflow="fold")
            for name, cluster in first:
                table.add_row(escape(name), escape(cluster))
        out.print(table)
    if kind == "pairs":
        if output is None and totals.pairs > len(first):
            out.print(f"and {totals.pairs - len(first):,} more: write them all with --out pairs.parquet")
        out.print(
            f"{totals.pairs:,} pairs at Jaccard {threshold} or more among {totals.rows:,} answers "
            f"({totals.distinct:,} distinct){where}",
            soft_wrap=True,
        )
        return
    dropped = totals.rows - totals.clusters
    if output is None and dropped > len(first):
        out.print(f"and {dropped - len(first):,} more: write them all with --out clusters.parquet")
    out.print(
        f"{totals.clusters:,} clusters at Jaccard {threshold} or more among {totals.rows:,} answers: "
        f"{dropped:,} are duplicates of another{where}",
        soft_wrap=True,
    )


def _write(writer: TableWriter, rows: list[tuple[Any, ...]]) -> None:
    names = list(PAIRS_OF_SEVERAL)
    step = 100_000
    for start in range(0, len(rows), step):
        columns = zip(*rows[start : start + step], strict=True)
        writer.write_columns(dict(zip(names, columns, strict=True)))
