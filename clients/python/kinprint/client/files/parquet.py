"""Parquet and Arrow files and other frames of transcripts, read in batches (extra `polars`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
from kinprint.client.errors import SourceError
from kinprint.client.files.rows import ID_COLUMNS, TEXT_COLUMNS

_SLICE = 256
"""Rows that are Python objects at once."""
INDEX_COLUMN = re.compile(r"__index_level_\d+__|Unnamed: \d+")
"""Names that pandas gives to an index without one, in files."""
_ARROW_FILE = b"ARROW1"


def open_parquet(path: Path, batch_rows: int, name: str) -> tuple[int, pl.Schema, Iterator[pl.DataFrame]]:
    """Rows, columns, and the batches of a Parquet file; `name` stands for it in errors.

    Raises:
        SourceError: the file is damaged.
    """
    try:
        # The name stands for itself: Polars would expand *, ? and [ in it, and find columns in names of directories.
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = scan.collect_schema()
        total = int(scan.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SourceError(f"{name}: not a readable Parquet file: {_first_line(error)}") from error
    return total, schema, _collected(scan, batch_rows, name)


def open_arrow(stream: IO[bytes], name: str) -> tuple[pl.Schema, Iterator[pl.DataFrame]]:
    """Columns and batches of an Arrow IPC file or stream, as Feather and Hugging Face `datasets` write them.

    Args:
        stream: the open file, which can be sought in.
        name: stands for it in errors.

    Raises:
        SourceError: the file is damaged.
    """
    try:
        is_file = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
        stream.seek(0)
        batches: Iterator[Any]
        if is_file:
            opened = pa.ipc.open_file(stream)
            batches = (opened.get_batch(place) for place in range(opened.num_record_batches))
        else:
            opened = pa.ipc.open_stream(stream)
            batches = iter(opened)
        empty = pl.DataFrame(opened.schema.empty_table())
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{name}: not a readable Arrow file: {_first_line(error)}") from error
    return empty.schema, _framed(batches, name)


def _framed(batches: Iterator[Any], name: str) -> Iterator[pl.DataFrame]:
    try:
        for batch in batches:
            yield pl.DataFrame(batch)
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SourceError(f"{name}: cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _collected(frame: pl.LazyFrame, batch_rows: int, name: str) -> Iterator[pl.DataFrame]:
    try:
        yield from frame.collect_batches(chunk_size=batch_rows, maintain_order=True, lazy=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SourceError(f"{name}: cannot be read: {_first_line(error)}") from error


def batches_of(frame: pl.LazyFrame, batch_rows: int, name: str) -> Iterator[pl.DataFrame]:
    """The rows of a frame, in order, in frames of `batch_rows`; `name` stands for it in errors.

    Raises:
        SourceError: it cannot be read, or a column has a type that transcripts cannot have.
    """
    check_schema(frame.collect_schema(), name)
    yield from _collected(frame, batch_rows, name)


def rows_of(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of a frame, by column; a value that Python has no object for, such as the year 11476, as text."""
    for part in frame.iter_slices(_SLICE):
        try:
            rows = part.rows()
        except (ValueError, OverflowError):
            rows = list(zip(*(_values(column) for column in part.iter_columns()), strict=True))
        for row in rows:
            yield dict(zip(part.columns, row, strict=True))


def _values(column: pl.Series) -> list[Any]:
    """The values of a column, those out of Python's range as text."""
    try:
        return column.to_list()
    except (ValueError, OverflowError):
        pass
    return [_value(column.slice(row, 1)) for row in range(len(column))]


def _value(one: pl.Series) -> Any:
    """The value of a column of one row, as text if it is out of Python's range; within a value all times are, then."""
    try:
        return one.to_list()[0]
    except (ValueError, OverflowError):
        pass
    if one.dtype in (pl.Datetime, pl.Date):
        return one.cast(pl.String)[0]
    if one.dtype == pl.Duration:
        return one.dt.to_string()[0]
    text = _with_leaves(one.dtype, lambda dtype: pl.Int64() if dtype == pl.Duration else pl.String())
    try:
        return one.cast(text).to_list()[0]
    except pl.exceptions.PolarsError:
        return None


def _with_leaves(dtype: Any, change: Callable[[Any], Any]) -> Any:
    """A nested type with its types of time changed."""
    if isinstance(dtype, pl.List):
        return pl.List(_with_leaves(dtype.inner, change))
    if isinstance(dtype, pl.Array):
        return pl.List(_with_leaves(dtype.inner, change))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _with_leaves(field.dtype, change) for field in dtype.fields})
    return change(dtype) if dtype in (pl.Datetime, pl.Date, pl.Duration) else dtype


def check_schema(schema: Mapping[str, pl.DataType], name: str) -> None:
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
