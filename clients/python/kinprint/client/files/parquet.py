"""Parquet files and other frames of transcripts, read in batches (extra `polars`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from kinprint.client.errors import SourceError
from kinprint.client.files.rows import ID_COLUMNS, TEXT_COLUMNS


def open_parquet(
    path: Path, batch_rows: int, rename: Mapping[str, str]
) -> tuple[int, list[str], Iterator[pl.DataFrame]]:
    """Rows, column names as they are in the file, and the batches (renamed) of a Parquet file.

    Raises:
        SourceError: the file is damaged, or a column has a type that transcripts cannot have.
    """
    try:
        # The name stands for itself: Polars would expand *, ? and [ in it.
        scan = pl.scan_parquet(path, glob=False)
        columns = scan.collect_schema().names()
        total = int(scan.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path}: not a readable Parquet file: {_first_line(error)}") from error
    renamed = scan.rename({old: new for old, new in rename.items() if old in columns})
    return total, columns, batches_of(renamed, batch_rows, str(path))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def batches_of(frame: pl.LazyFrame, batch_rows: int, name: str) -> Iterator[pl.DataFrame]:
    """The rows of a frame, in order, in frames of `batch_rows`; `name` stands for it in errors.

    Raises:
        SourceError: it cannot be read, or a column has a type that transcripts cannot have.
    """
    check_schema(frame.collect_schema(), name)
    try:
        yield from frame.collect_batches(chunk_size=batch_rows, maintain_order=True, lazy=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{name}: cannot be read: {_first_line(error)}") from error


def check_schema(schema: pl.Schema, name: str) -> None:
    """Refuse columns whose type cannot be meant.

    Raises:
        SourceError: names the source, the column, its type and what it should be.
    """
    if "response" not in schema or schema["response"].is_nested():
        return  # not the project's columns: rows tell what they are
    for column, dtype in schema.items():
        textual = dtype in (pl.String, pl.Null, pl.Categorical) or isinstance(dtype, pl.Enum)
        wanted = ""
        if column in TEXT_COLUMNS:
            wanted = "" if textual or (column == "model" and dtype.is_integer()) or column == "language" else "text"
        elif column in ID_COLUMNS:
            wanted = "" if textual or dtype.is_numeric() else "text or integer"
        elif column == "created_at":
            known = textual or dtype.is_numeric() or dtype in (pl.Datetime, pl.Date, pl.Struct)
            wanted = "" if known else "a timestamp, a number of seconds or ISO 8601 text"
        elif column == "turn":
            wanted = "" if textual or dtype.is_numeric() else "integer"
        elif column == "messages":
            wanted = "" if textual or isinstance(dtype, pl.List) else "a list of {role, content}"
        if wanted:
            raise SourceError(f"{name}: column {column!r} is {dtype}, not {wanted}")


def rows_of(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of a frame as Python values.

    A time that Python has none for (after the year 9999, or before 1) becomes its text, so that it costs no more than
    its own value, and no row of another.
    """
    try:
        rows = frame.rows(named=True)
    except (OverflowError, ValueError, pl.exceptions.PolarsError):
        rows = _representable(frame).rows(named=True)
    yield from rows


def _representable(frame: pl.DataFrame) -> pl.DataFrame:
    columns = []
    for series in frame:
        try:
            series.to_list()
            columns.append(series)
        except (OverflowError, ValueError, pl.exceptions.PolarsError):
            columns.append(_one_by_one(series))
    return pl.DataFrame(columns)


def _one_by_one(series: pl.Series) -> pl.Series:
    values: list[Any] = []
    for place in range(len(series)):
        try:
            values.append(series[place])
        except (OverflowError, ValueError, pl.exceptions.PolarsError):
            values.append(_as_text(series.slice(place, 1)))
    return pl.Series(series.name, [value if value is not None else None for value in values], dtype=pl.Object)


def _as_text(one: pl.Series) -> str | None:
    """A value that cannot be had from Python, as Polars writes it."""
    try:
        text: str | None = one.cast(pl.String)[0]
        return text
    except pl.exceptions.PolarsError:
        return str(one.to_frame().write_ndjson()).strip()
