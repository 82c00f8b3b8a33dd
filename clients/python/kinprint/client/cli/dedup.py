"""`kinprint dedup`: all near-duplicate pairs, clusters, or what is left without duplicates."""

from __future__ import annotations

import contextlib
import heapq
from itertools import compress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from kinprint.client.cli.columns import (
    CLUSTERS,
    CLUSTERS_OF_SEVERAL,
    KEPT,
    KEPT_OF_SEVERAL,
    PAIRS,
    PAIRS_OF_SEVERAL,
    Schema,
)
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import (
    DataOption,
    JsonOption,
    OutOption,
    QuietOption,
    SeeThroughOption,
    ServerOption,
    fail,
    guarded,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.sync import Client
from kinprint.client.types import DuplicatesProgress, DuplicatesSummary, Link, as_dict
from kinprint.client.wording import counted
from kinprint.installed import importing
from rich.markup import escape
from rich.table import Table

Kind = Literal["pairs", "clusters", "keep"]

_SHOWN = 20
# Pairs that are held to be written in order; more are written as they come, in bounded memory.
_SORTED_UP_TO = 1_000_000


@guarded
def dedup(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Files to look through instead of a corpus, of any kind that load reads; needs no server.",
        ),
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
    see_through: SeeThroughOption = False,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Only pairs with this other corpus (of files: with this other file); may be repeated.",
        ),
    ] = None,
    clusters: Annotated[
        bool, typer.Option("--clusters", help="Write id, cluster, is_representative for every row.")
    ] = False,
    keep_first: Annotated[
        bool,
        typer.Option("--keep-first", help="Write one row of each cluster: its id, or, of files, the whole row."),
    ] = False,
    link: Annotated[
        Link | None,
        typer.Option(
            "--link",
            metavar="star|component",
            help="What holds a cluster together: its representative, which is alike to every member (star), or a chain "
            "of pairs (component). With --keep-first star, with --clusters component, unless it is given.",
        ),
    ] = None,
    expand: Annotated[
        bool, typer.Option("--expand", help="List every pair of identical answers and of their copies.")
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
    """Find all near-duplicate pairs of a corpus, within and between several, or of files.

    Written are id_a, id_b, jaccard, containment_a, containment_b (of
    several corpora also corpus_a, corpus_b), sorted by id up to a million
    pairs; with --clusters id, cluster (the smallest id in it) and
    is_representative; with --keep-first the representatives alone. With
    --json and no --out they are listed under "found" (of --keep-first as
    clusters).

    Files that are no tables with a response column, such as chats, are
    read as load reads them, and every answer in them is a row.
    """
    if not 0.1 <= threshold <= 1.0:
        fail(f"--threshold must be between 0.1 and 1, not {threshold}")
    if clusters and keep_first:
        fail("--clusters and --keep-first are two kinds of output: choose one")
    if (clusters or keep_first) and (against or expand):
        fail("--against and --expand go with pairs: leave out --clusters and --keep-first")
    if link and not (clusters or keep_first):
        fail("--link goes with --clusters and --keep-first")
    if files and corpora:
        fail("give either files or --corpus, not both")
    if not files and not corpora:
        fail("say what to look through: --corpus NAME, or files")
    kind: Kind = "clusters" if clusters else "keep" if keep_first else "pairs"
    held_by: Link = link or ("star" if keep_first else "component")
    shown = None if json_output and output is None else _SHOWN
    names, others = corpora or [], against or []
    if files:
        if server or data:
            fail("files are looked through without a server: leave out --server and --data")
        with importing("kinprint dedup FILE", "cli", "kernels"):
            from kinprint.client.cli.dedup_files import dedup_files

        totals, first = dedup_files(
            files,
            [Path(name) for name in others],
            text,
            id_column,
            threshold,
            exact,
            see_through,
            expand,
            kind,
            None if kind == "pairs" else held_by,
            output,
            quiet,
            shown=shown,
            sorted_up_to=_SORTED_UP_TO,
        )
    else:
        if text or id_column:
            fail("--text and --id name columns of files: leave them out with --corpus")
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(open_client(server, data))
            bar = stack.enter_context(ProgressReport("looking for duplicates", quiet=quiet))

            def report(progress: DuplicatesProgress) -> None:
                bar.update(progress.share, progress.step)

            options = {"threshold": threshold, "exact": exact, "see_through": see_through, "progress": report}
            if kind == "pairs":
                totals, first = _pairs(client, names, others, options, expand, output, shown)
            else:
                totals, first = _clusters(client, names, options, held_by, kind == "keep", output, shown)
    if output is not None and totals.pairs > _SORTED_UP_TO:
        warn(f"more than {_SORTED_UP_TO:,} pairs: written as they came, not sorted")
    if kind != "pairs":
        _warn_of_chains(totals, threshold, held_by)
    if json_output:
        made = {**as_dict(totals), "threshold": threshold, "exact": exact, "out": str(output) if output else None}
        if kind != "pairs":
            made["link"] = held_by
        if shown is None:
            columns = _names_of(kind, several=not files and len(names) + len(others) > 1)
            if kind == "pairs" and totals.pairs <= _SORTED_UP_TO:
                first.sort(key=_by_id)
            made["found"] = [dict(zip(columns, row, strict=True)) for row in first]
        print_json(made)
        return
    _show(first, kind, totals, threshold, output)


def _by_id(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Order of pairs: by corpus, where it is known, and id."""
    return (*row[5:6], row[0], *row[6:7], row[1])


def _names_of(kind: Kind, several: bool) -> list[str]:
    """Columns of what is listed without a file."""
    if kind == "pairs":
        return list(PAIRS_OF_SEVERAL if several else PAIRS)
    return list(CLUSTERS_OF_SEVERAL if several else CLUSTERS)


def _warn_of_chains(totals: DuplicatesSummary, threshold: float, link: Link) -> None:
    least = totals.least_similarity
    if link == "component" and least is not None and least < threshold:
        sampled = "" if totals.least_is_exact else " or less"
        warn(
            f"the largest cluster holds {totals.largest_cluster:,} texts, two of which have a Jaccard of "
            f"{least:.2f}{sampled}: chains of pairs lead from one to the other. With --link star every member is over "
            "the threshold to its representative"
        )


def _pairs(
    client: Client,
    corpora: list[str],
    against: list[str],
    options: dict[str, Any],
    expand: bool,
    output: Path | None,
    shown: int | None,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    schema = PAIRS if len(corpora) + len(against) == 1 else PAIRS_OF_SEVERAL
    first: list[tuple[Any, ...]] = []
    held: list[tuple[Any, ...]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        search = stack.enter_context(client.find_duplicates(corpora, against=against, expand=expand, **options))
        holding = writer is not None
        for pairs in search:
            if shown is None:
                first += [row if schema is PAIRS_OF_SEVERAL else row[:5] for row in pairs.rows()]
                continue
            if writer is None:
                # The first by id, as a file's are, whichever are found first.
                held = heapq.nsmallest(shown, [*held, *pairs.rows()], key=_by_id)
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
            held.sort(key=_by_id)
            _write(writer, held)
        elif shown is not None and writer is None:
            several = schema is PAIRS_OF_SEVERAL
            first = [((f"{row[5]}/{row[0]}", f"{row[6]}/{row[1]}") if several else row[:2]) + row[2:5] for row in held]
    return totals, first


def _clusters(
    client: Client,
    corpora: list[str],
    options: dict[str, Any],
    link: Link,
    keep: bool,
    output: Path | None,
    shown: int | None,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    several = len(corpora) > 1
    schema: Schema = (KEPT_OF_SEVERAL if several else KEPT) if keep else (CLUSTERS_OF_SEVERAL if several else CLUSTERS)
    first: list[tuple[Any, ...]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(TableWriter(output, schema)) if output is not None else None
        search = stack.enter_context(client.find_clusters(corpora, link=link, **options))
        for batch in search:
            if writer is not None:
                columns = {name: getattr(batch, name) for name in schema}
                if keep:
                    columns = {
                        name: list(compress(column, batch.is_representative)) for name, column in columns.items()
                    }
                writer.write_columns(columns)
            elif shown is None:
                names = list(CLUSTERS_OF_SEVERAL if several else CLUSTERS)
                first += zip(*(getattr(batch, name) for name in names), strict=True)
            elif len(first) < shown:
                ids = [f"{c}/{i}" for c, i in zip(batch.corpus, batch.id, strict=True)] if several else batch.id
                leaders = (
                    [f"{c}/{i}" for c, i in zip(batch.cluster_corpus, batch.cluster, strict=True)]
                    if several
                    else batch.cluster
                )
                joined = [(i, c) for i, c, r in zip(ids, leaders, batch.is_representative, strict=True) if not r]
                first += joined[: shown - len(first)]
        totals = search.summary
        assert totals is not None, "a search that ends without an error has its totals"
    return totals, first


def _show(
    first: list[tuple[Any, ...]], kind: Kind, totals: DuplicatesSummary, threshold: float, output: Path | None
) -> None:
    where = f", written to {escape(str(output))}" if output is not None else ""
    of_all = f"at Jaccard {threshold} or more among {totals.rows:,} texts"
    if first:
        table = Table()
        for column in ("a", "b") if kind == "pairs" else ("duplicate", "of"):
            table.add_column(column, overflow="fold")
        for column in ("Jaccard", "of a", "of b") if kind == "pairs" else ():
            table.add_column(column, justify="right")
        for row in first:
            table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell)) for cell in row))
        out.print(table)
    if kind == "pairs":
        if output is None and totals.pairs > len(first):
            out.print(f"and {totals.pairs - len(first):,} more: write them all with --out pairs.parquet")
        out.print(f"{counted(totals.pairs, 'pair')} {of_all} ({totals.distinct:,} distinct){where}", soft_wrap=True)
        return
    copies = totals.rows - totals.clusters
    if output is None and copies > len(first):
        out.print(f"and {copies - len(first):,} more")
    if kind == "clusters":
        hint = "" if output is not None else "; write all with --out clusters.parquet"
        out.print(
            f"{totals.clusters:,} clusters {of_all}: {copies:,} are duplicates of another{where}{hint}", soft_wrap=True
        )
        return
    hint = "" if output is not None else "; write what remains with --out kept.parquet"
    blank = f" (not counting {totals.blank:,} blank)" if totals.blank else ""
    out.print(
        f"{totals.clusters:,} of {totals.rows:,} texts remain{blank}: {copies:,} are duplicates of another "
        f"at Jaccard {threshold} or more{where}{hint}",
        soft_wrap=True,
    )


def _write(writer: TableWriter, rows: list[tuple[Any, ...]]) -> None:
    names = list(PAIRS_OF_SEVERAL)
    step = 100_000
    for start in range(0, len(rows), step):
        columns = zip(*rows[start : start + step], strict=True)
        writer.write_columns(dict(zip(names, columns, strict=True)))
