"""Tables to files: Parquet, CSV, TSV or NDJSON by extension, written in bounded memory; `-` is standard output.

A file appears under its name when it is complete; a run that fails leaves none.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kinprint.client.cli.columns import Schema
from kinprint.client.cli.terminal import fail, json_text, out
from kinprint.client.types import as_dict

_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
_BUFFER_ROWS = 2000
_BUFFER_BYTES = 16 << 20


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    if name == "time":
        return pa.timestamp("us", tz="UTC")
    if name == "map":
        return pa.map_(pa.string(), pa.string())
    if name == "json":
        return pa.string()
    return getattr(pa, name)()


#: Written to standard output, as NDJSON.
STDOUT = Path("-")


def check_target(path: Path, *, stdout: bool = False) -> str:
    """The kind of file that `path` is to be, by its extension: "parquet", "csv", "tsv" or "ndjson".

    Args:
        path: where the rows go.
        stdout: whether that may be standard output.

    Raises:
        CommandError: the extension is unknown, or no file can be there.
    """
    if path == STDOUT:
        return "ndjson" if stdout else fail("this is not written to standard output: name a file with --out")
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        fail(f"{path}: write to .parquet, .csv, .tsv, .ndjson or .jsonl")
    check_place(path)
    return kind


def check_place(path: Path) -> None:
    """Check that a file can be written at `path`.

    Raises:
        CommandError: it cannot.
    """
    if path.is_dir():
        fail(f"{path} is a directory")
    if not path.absolute().parent.is_dir():
        fail(f"{path}: there is no directory {path.absolute().parent}")
    if not os.access(path.absolute().parent, os.W_OK):
        fail(f"{path}: the directory {path.absolute().parent} cannot be written to")


class TableWriter:
    """Writes rows (mappings with the columns of `schema`) to `path`; a context manager.

    The partial file is made by the first write, or at the end if there is none: by then `__exit__`, which removes it,
    is sure to be called. One made by `__enter__` would stay if Ctrl-C came between that and the body of the `with`.

    Raises:
        CommandError: the extension is unknown.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        self._schema = schema
        self.rows = 0
        self._buffer: list[Mapping[str, Any]] = []
        self._bytes = 0
        self._kind = check_target(path, stdout=True)
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._opened = False
        self._parquet: Any = None
        self._stream: io.TextIOWrapper | None = None
        self._csv: Any = None
        self._csv_quoted: Any = None

    def __enter__(self) -> Self:
        return self

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        if self._path == STDOUT:
            # The rows are the result now: what is said about them goes where progress goes.
            out.file = sys.stderr
            self._stream = sys.stdout  # type: ignore[assignment]
        elif self._kind == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            self._arrow = pa.schema([(name, _arrow_type(kind)) for name, kind in self._schema.items()])
            self._parquet = pq.ParquetWriter(self._partial, self._arrow, compression="zstd")
        else:
            self._stream = self._partial.open("w", encoding="utf-8", newline="")
            if self._kind != "ndjson":
                delimiter = "\t" if self._kind == "tsv" else ","
                self._csv = csv.writer(self._stream, delimiter=delimiter, lineterminator="\n")
                # Python quotes a lone carriage return, which ends a row elsewhere, from 3.11.9 and 3.12.3 on only.
                self._csv_quoted = csv.writer(
                    self._stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
                )
                self._csv.writerow(self._schema)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        self._open()
        self.rows += 1
        if self._stream is not None:
            if self._kind == "ndjson":
                data = {name: as_dict(row.get(name)) for name in self._schema}
                data = {name: value for name, value in data.items() if value is not None and value != {}}
                text = json_text(data) if self._path == STDOUT else json.dumps(data, ensure_ascii=False)
                self._stream.write(text + "\n")
            else:
                cells = [_cell(row.get(name)) for name in self._schema]
                has_cr = any(isinstance(cell, str) and "\r" in cell for cell in cells)
                (self._csv_quoted if has_cr else self._csv).writerow(cells)
            return
        self._buffer.append(row)
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(self._buffer) >= _BUFFER_ROWS or self._bytes >= _BUFFER_BYTES:
            self._flush()

    def write_columns(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write many rows, column by column."""
        self._open()
        names = list(self._schema)
        if self._parquet is None:
            for values in zip(*(columns[name] for name in names), strict=True):
                self.write(dict(zip(names, values, strict=True)))
            return
        import pyarrow as pa

        self._flush()
        arrays = [pa.array(columns[field.name], type=field.type) for field in self._arrow]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._arrow))
        self.rows += len(columns[names[0]])

    def _flush(self) -> None:
        if not self._buffer:
            return
        import pyarrow as pa

        arrays = []
        for field in self._arrow:
            kind = self._schema[field.name]
            values: list[Any] = [row.get(field.name) for row in self._buffer]
            if kind == "map":
                values = [None if value is None else list(value.items()) for value in values]
            elif kind == "json":
                values = [None if value is None else _json(value) for value in values]
            arrays.append(pa.array(values, type=field.type))
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._arrow))
        self._buffer, self._bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._open()
                self._flush()
            if self._parquet is not None:
                self._parquet.close()
            if self._path == STDOUT:
                sys.stdout.flush()
            elif self._stream is not None:
                self._stream.close()
            if kind is None and self._path != STDOUT:
                os.replace(self._partial, self._path)
        finally:
            with suppress(FileNotFoundError):
                self._partial.unlink()


def _json(value: Any) -> str:
    return json.dumps(as_dict(value), ensure_ascii=False)


def _cell(value: Any) -> Any:
    if value is None or value == {}:
        return ""
    if isinstance(value, (str, int, float)):
        return value
    data = as_dict(value)
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
