"""`kinprint dedup FILE...`: duplicates in files, without a server (extra `kernels`).

A table with a column of answers is looked through where it lies, and whole rows of it are kept. What is not one, as
chats are, is read as `kinprint load` reads it, and the answers that are found in it are its rows.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kinprint.polars as kp
import polars as pl
from kinprint.client.cli.columns import TRANSCRIPTS
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import TableWriter, check_target
from kinprint.client.cli.terminal import INTERRUPTED, fail, give_up, warn
from kinprint.client.errors import SourceError
from kinprint.client.files.reader import FileReader, expand_paths, kind_of
from kinprint.client.files.rows import RowError
from kinprint.client.files.sources import Source
from kinprint.client.types import DuplicatesSummary, as_dict
from kinprint.client.wording import counted

_WRITERS: dict[str, Callable[[pl.LazyFrame, Path], Any]] = {
    "parquet": lambda frame, path: frame.sink_parquet(path),
    "ndjson": lambda frame, path: frame.sink_ndjson(path),
    "csv": lambda frame, path: frame.sink_csv(path),
    "tsv": lambda frame, path: frame.sink_csv(path, separator="\t"),
}


# Metadata as text, which has a place in a file of any kind.
_ANSWERS = {**TRANSCRIPTS, "metadata": "json"}
_TEXT = "response"
# The answer without the reasoning before it, as a server takes it in: to the last closing tag, or all if none closes.
_ANSWER = "_kinprint_answer"
_TOLD = 5
_REASONING = (r"(?is)\A.*</\s*think(?:ing)?\s*>\s*", r"(?is)\A\s*<\s*think(?:ing)?\s*>.*\z")


def dedup_files(
    files: Sequence[Path],
    against: Sequence[Path],
    text: str | None,
    id_column: str | None,
    threshold: float,
    exact: bool,
    see_through: bool,
    expand: bool,
    kind: kp.Output,
    link: kp.Link | None,
    output: Path | None,
    quiet: bool,
    *,
    shown: int | None,
    sorted_up_to: int,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    """Write what `kinprint.polars.dedup` finds to `output`, or return the first `shown` rows of it (None: all).

    Pairs are sorted by id up to `sorted_up_to`. Without `output` the rows of clusters are (id, cluster) of those that
    are no representatives.
    """
    if output is not None:
        target = check_target(output)
    elif kind == "keep":
        kind = "clusters"  # which tell what would be left out
    try:
        with contextlib.ExitStack() as stack:
            frames, text, id_column = frames_of([list(p) for p in (files, against) if p], text, id_column, stack)
            bar = stack.enter_context(ProgressReport("looking for duplicates", quiet=quiet))
            run = kp.Run()

            def report(now: kp.Run) -> None:
                nonlocal run
                run = now
                bar.update(now.share, now.step)

            found = kp.dedup(
                frames[0],
                text,
                id_column,
                threshold=threshold,
                exact=exact,
                see_through=see_through,
                expand=expand,
                output=kind,
                link=link,
                against=frames[1] if against else None,
                progress=report,
            )
            if kind == "keep":
                found = found.drop(_ANSWER, strict=False)
            if output is not None:
                _check_nesting(output, target, found.collect_schema())
            # What is written lies beside its place, so that it can be moved there when it is complete.
            beside = output.absolute().parent if output is not None else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=beside, prefix=".kinprint-")))
            raw, made = folder / "found", folder / "made"
            interruptible(lambda: found.sink_parquet(raw))
            rows = sum(frame.select(pl.len()).collect().item() for frame in frames)
            result = pl.scan_parquet(raw, glob=False)
            if kind == "pairs":
                kept = 0
                if run.pairs <= sorted_up_to:
                    result = result.sort("id_a", "id_b")
            else:
                some = result.filter("is_representative") if kind == "clusters" else result
                kept = some.select(pl.len()).collect().item()
            blank = rows - run.rows
            totals = DuplicatesSummary(
                pairs=run.pairs,
                rows=run.rows,
                distinct=run.distinct,
                candidates=run.candidates,
                expected_recall=run.expected_recall,
                blank=blank,
                clusters=max(0, kept - blank),  # a blank row is alike to none
                largest_cluster=run.largest,
                least_similarity=run.least_similarity,
                least_is_exact=run.least_is_exact,
            )
            if output is None:
                if kind == "clusters" and shown is not None:
                    result = result.filter(~pl.col("is_representative")).select("id", "cluster")
                if kind == "clusters":
                    result = _without_blank(result, frames[0], text, id_column)
                return totals, (result if shown is None else result.head(shown)).collect().rows()
            if kind == "pairs" or target != "parquet":
                _WRITERS[target](result, made)
            else:
                made = raw
            os.replace(made, output)
            return totals, []
    except (ValueError, pl.exceptions.PolarsError) as error:
        give_up(reason_of(error))
    except KeyboardInterrupt:
        # The files are gone; the thread that still works on them would hold up an ordinary exit.
        warn("interrupted")
        os._exit(INTERRUPTED)


def _without_blank(clusters: pl.LazyFrame, frame: pl.LazyFrame, text: str, id_column: str | None) -> pl.LazyFrame:
    """Clusters by id, without the rows that are blank, as a server lists them."""
    ids = pl.col(id_column) if id_column is not None else pl.int_range(pl.len(), dtype=pl.Int64)
    # A null's hash is null as well, and so is a blank text's.
    blank = frame.select(id=ids, hash=pl.col(text).kinprint.content_hash()).filter(pl.col("hash").is_null())  # type: ignore[attr-defined]
    return clusters.join(blank, on="id", how="anti").sort("id")


def interruptible(work: Callable[[], Any]) -> None:
    """Do some work of Polars on another thread: here it would keep Ctrl-C to itself until it has a result."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    finally:
        signal.signal(signal.SIGINT, before)
    if failed:
        raise failed[0]


def frames_of(
    sides: list[list[Path]], text: str | None, id_column: str | None, stack: contextlib.ExitStack
) -> tuple[list[pl.LazyFrame], str, str | None]:
    """A frame of each side, and the columns of text and id in all of them."""
    paths = [expand_paths(side) for side in sides]
    for side in paths:
        for note in side.notes:
            warn(f"note: {note}")
    left_out: dict[tuple[str, int], str] = {}  # a file may be read more than once
    stack.callback(_tell_left_out, left_out)
    is_table = text is not None or id_column is not None
    tables = [[_table(source, is_table, left_out) for source in side] for side in paths]
    every = [table for side in tables for table in side]
    if text is None and id_column is None and any(table is None or not table.has_answers for table in every):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kinprint-")))
        return _read(paths, folder)
    known = [[table for table in side if table is not None] for side in tables]
    named = [table for side in known for table in side]
    if id_column is None and all("transcript_id" in table.schema for table in named):
        id_column = "transcript_id"
    for table in named:
        _check_columns(table.path, table.schema, text or _TEXT, id_column)
    # Columns that one of several files lacks are null.
    frames = [pl.concat([table.frame for table in side], how="diagonal_relaxed") for side in known]
    if text is None:
        return [with_answers(frame) for frame in frames], _ANSWER, id_column
    return frames, text, id_column


def with_answers(frame: pl.LazyFrame) -> pl.LazyFrame:
    answer = pl.col(_TEXT).cast(pl.String)
    for reasoning in _REASONING:
        answer = answer.str.replace(reasoning, "")
    return frame.with_columns(answer.alias(_ANSWER))


@dataclass(frozen=True)
class _Table:
    """A file that Polars reads, row by row."""

    path: Source
    frame: pl.LazyFrame
    schema: pl.Schema

    @property
    def has_answers(self) -> bool:
        return self.schema.get(_TEXT) in (pl.String, pl.Null)


def _table(source: Source, named: bool, left_out: dict[tuple[str, int], str]) -> _Table | None:
    """A file as a table; None where it is none, unless columns of it are `named`."""

    def skip(name: str, row: int, reason: str) -> None:
        left_out[name, row] = reason

    try:
        frame = kp.scan_source(source, skipped=skip, noted=lambda note: warn(f"note: {note}"))
        return _Table(source, frame, frame.collect_schema())
    except (SourceError, pl.exceptions.PolarsError, OSError) as error:
        if named or kind_of(source) == "parquet":
            give_up(f"{source}: cannot be read: {reason_of(error)}")
        return None


def _tell_left_out(left_out: dict[tuple[str, int], str]) -> None:
    """Say on standard error which rows could not be read."""
    if not left_out:
        return
    warn(f"{counted(len(left_out), 'row')} cannot be read and {'is' if len(left_out) == 1 else 'are'} left out")
    for (name, row), reason in itertools.islice(left_out.items(), _TOLD):
        warn(f"  {name}:{row}: {reason}")
    if len(left_out) > _TOLD:
        warn(f"  and {len(left_out) - _TOLD:,} more")


def _read(sides: Sequence[Sequence[Source]], folder: Path) -> tuple[list[pl.LazyFrame], str, str | None]:
    """The answers in files of any shape, as loading them finds them."""
    frames = []
    ids = True
    refused: Counter[str] = Counter()
    for number, paths in enumerate(sides):
        spool = folder / f"{number}.parquet"
        with TableWriter(spool, _ANSWERS) as writer:
            for row in _rows(paths, refused):
                ids = ids and row["transcript_id"] is not None
                writer.write(row)
        frames.append(pl.scan_parquet(spool, glob=False))
    if refused:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in refused.most_common())
        count = counted(refused.total(), "row")
        warn(f"{count} could not be read and {'is' if refused.total() == 1 else 'are'} left out: {reasons}")
    return [with_answers(frame) for frame in frames], _ANSWER, "transcript_id" if ids else None


def _rows(paths: Sequence[Source], refused: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in FileReader(paths):
        if isinstance(row.item, RowError):
            refused[row.item.reason] += 1
            continue
        values = as_dict(row.item)
        yield {
            **values,
            "transcript_id": row.item.id,
            "created_at": row.item.created_at,
            "metadata": values["metadata"] or None,
        }


def _check_columns(path: Source, schema: pl.Schema, text: str, id_column: str | None) -> None:
    for column, option in ((text, "--text"), (id_column, "--id")):
        if column is not None and column not in schema:
            fail(f"{path}: no column {column!r}; found: {', '.join(schema)} ({option} COLUMN names another)")


def _check_nesting(output: Path, kind: str, schema: pl.Schema) -> None:
    nested = [name for name, dtype in schema.items() if dtype.is_nested() or dtype == pl.Binary]
    if nested and kind in ("csv", "tsv"):
        fail(f"{output}: column {nested[0]!r} is {schema[nested[0]]}, which has no place in CSV: write to .parquet")


def reason_of(error: Exception) -> str:
    """What went wrong, without the frames of Python that Polars wraps around an error of its sources."""
    cause: BaseException | None = error.__cause__ or error.__context__
    if isinstance(error, pl.exceptions.PolarsError) and isinstance(cause, ValueError):
        return str(cause)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
