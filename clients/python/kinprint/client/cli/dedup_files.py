"""`kinprint dedup FILE...`: duplicates in files, without a server (extra `kernels`)."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kinprint.polars as kp
import polars as pl
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import check_target
from kinprint.client.cli.terminal import INTERRUPTED, fail, warn
from kinprint.client.files.reader import expand_paths, kind_of
from kinprint.client.types import DuplicatesSummary

# CSV is taken as text, so that a row that is kept is written as it was.
_READERS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    "parquet": pl.scan_parquet,
    "ndjson": lambda path: pl.scan_ndjson(path, infer_schema_length=None),
    "csv": lambda path: pl.scan_csv(path, infer_schema=False),
    "tsv": lambda path: pl.scan_csv(path, infer_schema=False, separator="\t"),
}
_WRITERS: dict[str, Callable[[pl.LazyFrame, Path], Any]] = {
    "parquet": lambda frame, path: frame.sink_parquet(path),
    "ndjson": lambda frame, path: frame.sink_ndjson(path),
    "csv": lambda frame, path: frame.sink_csv(path),
    "tsv": lambda frame, path: frame.sink_csv(path, separator="\t"),
}


def dedup_files(
    files: Sequence[Path],
    against: Sequence[Path],
    text: str,
    id_column: str | None,
    threshold: float,
    exact: bool,
    see_through: bool,
    expand: bool,
    kind: kp.Output,
    output: Path | None,
    quiet: bool,
    *,
    shown: int,
    sorted_up_to: int,
) -> tuple[DuplicatesSummary, list[tuple[Any, ...]]]:
    """Write what `kinprint.polars.dedup` finds to `output`, or return the first `shown` rows of it.

    Pairs are sorted by id up to `sorted_up_to`. Without `output` the rows of clusters are (id, cluster) of those that
    are no representatives.
    """
    if output is not None:
        target = check_target(output)
    elif kind == "keep":
        kind = "clusters"  # which tell what would be left out
    try:
        sides = [_scan(paths) for paths in (files, against) if paths]
        if id_column is None and all("transcript_id" in schema for side in sides for _, _, schema in side):
            id_column = "transcript_id"
        for path, _, schema in (item for side in sides for item in side):
            _check_columns(path, schema, text, id_column)
        # Columns that one of several files lacks are null.
        frames = [pl.concat([frame for _, frame, _ in side], how="diagonal_relaxed") for side in sides]
        with contextlib.ExitStack() as stack:
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
                against=frames[1] if against else None,
                progress=report,
            )
            if output is not None:
                _check_nesting(output, target, found.collect_schema())
            # What is written lies beside its place, so that it can be moved there when it is complete.
            beside = output.absolute().parent if output is not None else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=beside, prefix=".kinprint-")))
            raw, made = folder / "found", folder / "made"
            _interruptible(lambda: found.sink_parquet(raw))
            rows = sum(frame.select(pl.len()).collect().item() for frame in frames)
            result = pl.scan_parquet(raw)
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
            )
            if output is None:
                if kind == "clusters":
                    result = result.filter(~pl.col("is_representative")).select("id", "cluster")
                return totals, result.head(shown).collect().rows()
            if kind == "pairs" or target != "parquet":
                _WRITERS[target](result, made)
            else:
                made = raw
            os.replace(made, output)
            return totals, []
    except (ValueError, pl.exceptions.PolarsError) as error:
        fail(_reason(error))
    except KeyboardInterrupt:
        # The files are gone; the thread that still works on them would hold up an ordinary exit.
        warn("interrupted")
        os._exit(INTERRUPTED)


def _interruptible(work: Callable[[], Any]) -> None:
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


def _scan(paths: Sequence[Path]) -> list[tuple[Path, pl.LazyFrame, pl.Schema]]:
    found = []
    for path in expand_paths(paths):
        try:
            frame = _READERS[str(kind_of(path))](path)
            found.append((path, frame, frame.collect_schema()))
        except (pl.exceptions.PolarsError, OSError) as error:
            fail(f"{path}: cannot be read: {_reason(error)}")
    return found


def _check_columns(path: Path, schema: pl.Schema, text: str, id_column: str | None) -> None:
    for column, option in ((text, "--text"), (id_column, "--id")):
        if column is not None and column not in schema:
            fail(f"{path}: no column {column!r}; found: {', '.join(schema)} ({option} COLUMN names another)")


def _check_nesting(output: Path, kind: str, schema: pl.Schema) -> None:
    nested = [name for name, dtype in schema.items() if dtype.is_nested() or dtype == pl.Binary]
    if nested and kind in ("csv", "tsv"):
        fail(f"{output}: column {nested[0]!r} is {schema[nested[0]]}, which has no place in CSV: write to .parquet")


def _reason(error: Exception) -> str:
    """What went wrong, without the frames of Python that Polars wraps around an error of its sources."""
    cause: BaseException | None = error.__cause__ or error.__context__
    if isinstance(error, pl.exceptions.PolarsError) and isinstance(cause, ValueError):
        return str(cause)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
