"""Rows of files as they stand there, mappings of column to value, read in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from kinprint.client.errors import SourceError
from kinprint.client.files.compression import READ_ERRORS
from kinprint.client.files.csv_rows import CsvRows, HeaderError
from kinprint.client.files.encoding import Prefixed, as_utf8, check_encoding
from kinprint.client.files.json_rows import JsonRows, form_of
from kinprint.client.files.ndjson import objects_of
from kinprint.client.files.plain import plain_row
from kinprint.client.files.rows import RowError
from kinprint.client.files.sources import Opened, Source, kind_of, local_file, open_source, source_of

# Rows, and characters of text in them, that are looked at to know the columns of a file that has no header.
_OF_LINES = (".jsonl", ".ndjson")
_SAMPLE_ROWS, _SAMPLE_CHARACTERS = 1000, 16 << 20
_FIRST_LINE, _SECOND_LINE = 1 << 20, 1 << 12
_DELIMITERS = {"csv": ",", "tsv": "\t"}

_Row = tuple[int, Mapping[str, Any] | RowError]


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its file has it, or why it cannot be read.

    Attributes:
        source: the file's name.
        row: its number there, from 1; of lines the line's number.
        item: values by column.
    """

    source: str
    row: int
    item: Mapping[str, Any] | RowError


@dataclass(slots=True)
class FileShare:
    """What one file gave so far.

    Attributes:
        source: its name.
        rows: what was made of its rows, with those that could not be read.
        skipped: those that could not be read.
    """

    source: str
    rows: int = 0
    skipped: int = 0


class RowReader:
    """Rows of files, one after the other, as they stand there.

    Args:
        paths: as `expand_paths` gives them, or paths.
        batch_rows: rows that a Parquet file is read in.
        encoding: of text without a byte order mark; None: UTF-8.

    Attributes:
        rows: rows read so far.
        notes: what was passed over or decided, a line each.
        shares: what each file gave, in the order of files.

    Raises:
        SourceError: a file cannot be read; `raw_rows` raises it, after the rows before.
        InvalidArgumentError: there is no such encoding.
    """

    def __init__(self, paths: Iterable[Path | Source], *, batch_rows: int = 2000, encoding: str | None = None) -> None:
        self.notes: list[str] = list(getattr(paths, "notes", ()))
        self._sources = [source for item in paths for source in source_of(item)]
        self._batch_rows = batch_rows
        self._encoding = check_encoding(encoding)
        # Columns of CSV in which an empty cell is a value.
        self._answers: Container[str] = ("response",)
        # Whether paths into the rows are given, so that these are taken as they stand.
        self._as_given = False
        self._place = 0
        self._within = 0.0
        self.rows = 0
        self.shares: list[FileShare] = []
        self._passed: list[SourceError] = []

    @property
    def fraction(self) -> float:
        """Share of the bytes of all files that were read, 0 to 1; a pipe counts for none."""
        sizes = [source.size for source in self._sources]
        now = sizes[self._place] if self._place < len(sizes) else 0
        if not sum(sizes):
            return self._place / max(len(sizes), 1)
        return min(1.0, (sum(sizes[: self._place]) + self._within * now) / sum(sizes))

    def raw_rows(self) -> Iterator[RawRow]:
        """The rows of all files; once."""
        for source in self._each():
            for raw in self._raw(source):
                self.shares[-1].rows += 1
                self.shares[-1].skipped += isinstance(raw.item, RowError)
                yield raw

    def _each(self) -> Iterator[Source]:
        """The files; the last of `shares` is that of the one under way."""
        for place, source in enumerate(self._sources):
            self._place, self._within = place, 0.0
            self.shares.append(FileShare(str(source)))
            yield source
        self._place, self._within = len(self._sources), 0.0
        if self._passed and not self.shares:
            raise self._passed[0]

    def _raw(self, source: Source) -> Iterator[RawRow]:
        """The rows of a file; what cannot be read raises SourceError, after the rows before it."""
        try:
            yield from self._source(source)
        except READ_ERRORS as error:
            raise SourceError(f"{source}: cannot be read: {error}") from error

    def _pass_over(self, source: Source, error: SourceError) -> bool:
        """Whether a file was just come across and holds something else, as `error` says; it is told, then."""
        is_json = ".json" in (suffix.lower() for suffix in Path(source.member or source.path).suffixes)
        if not (source.found and is_json) or self.shares[-1].rows or isinstance(error.__cause__, READ_ERRORS):
            return False
        self.shares.pop()
        self._passed.append(error)
        self.notes.append(f"passed over {error}")
        return True

    def _columns_known(self, path: Path, columns: list[str]) -> None:
        """Called once for each file, before its rows, with the columns that it has; may raise SourceError."""

    def _types_known(self, source: Source, schema: Mapping[str, Any]) -> None:
        """Called after that for a frame, with the types of its columns; may raise SourceError."""

    # ---- one file ----

    def _source(self, source: Source) -> Iterator[RawRow]:
        kind = None if source.streams else kind_of(source)
        if kind in ("parquet", "arrow"):
            with local_file(source) as path:
                yield from self._frames(source, kind, path)
            return
        with open_source(source) as opened:
            if opened.kind in ("parquet", "arrow"):  # through a pipe
                with local_file(source, opened) as path:
                    yield from self._frames(source, opened.kind, path)
            elif opened.kind == "ndjson":
                yield from self._json(source, opened)
            else:
                yield from self._csv(source, opened)

    def _columns(self, source: Source, columns: Iterable[str]) -> None:
        """Tell the columns of a file, those of its directories among them."""
        self._columns_known(Path(str(source)), list(dict.fromkeys([*columns, *source.columns])))

    def _rows(self, source: Source, rows: Iterable[_Row], opened: Opened | None = None) -> Iterator[RawRow]:
        name = str(source)
        for number, row in rows:
            self.rows += 1
            if opened is not None and self.rows % 64 == 0:
                self._within = opened.share or self._within
            if isinstance(row, RowError):
                yield RawRow(name, number, row)
                continue
            row = plain_row(row)
            if source.columns:
                # What a file says itself goes before what its directory says.
                row = {**row, **{key: value for key, value in source.columns.items() if row.get(key) is None}}
            yield RawRow(name, number, row)

    # ---- frames: Parquet and Arrow ----

    def _frames(self, source: Source, kind: str, path: Path) -> Iterator[RawRow]:
        try:
            from kinprint.client.files import parquet
        except ModuleNotFoundError as error:
            raise SourceError(
                f"{source}: reading {kind.capitalize()} needs {error.name}: pip install 'kinprint[polars]'"
            ) from error
        with path.open("rb") as stream:
            if kind == "parquet":
                total, schema, batches = parquet.open_parquet(path, self._batch_rows, str(source))
            else:
                total, (schema, batches) = None, parquet.open_arrow(stream, str(source))
            index = [column for column in schema if parquet.INDEX_COLUMN.fullmatch(column)]
            if index:
                self.notes.append(f"{source}: {', '.join(index)}, an index without a name, is left out")
            self._columns(source, [column for column in schema if column not in index])
            self._types_known(source, schema)
            done, size = 0, max(path.stat().st_size, 1)
            for frame in batches:
                yield from self._rows(source, enumerate(parquet.rows_of(frame.drop(index)), done + 1))
                done += frame.height
                self._within = min(1.0, stream.tell() / size if total is None else done / max(total, 1))

    # ---- text: JSON, CSV ----

    def _json(self, source: Source, opened: Opened) -> Iterator[RawRow]:
        text = as_utf8(opened.stream, self._encoding, str(source))
        head, whole = _first_lines(text)
        stream = cast(IO[bytes], io.BufferedReader(Prefixed(head, text), 1 << 18))
        suffixes = Path(source.member or source.path).suffixes
        of_lines = not {suffix.lower() for suffix in suffixes}.isdisjoint(_OF_LINES)
        if form_of(head, whole, of_lines, self._as_given) == "lines":
            yield from self._rows(source, self._sampled(source, objects_of(stream)), opened)
            return
        rows = JsonRows(stream)
        yield from self._rows(source, self._sampled(source, iter(rows)), opened)
        if rows.beside:
            names = ", ".join(rows.beside)
            self.notes.append(f"{source}: left out what stands beside its list of rows: {names}")

    def _sampled(self, source: Source, rows: Iterator[_Row]) -> Iterator[_Row]:
        """The rows, after the columns of the first ones were told."""
        held: list[_Row] = []
        columns: dict[str, None] = {}
        size = 0
        failed: Exception | None = None
        try:
            for number, row in rows:
                held.append((number, row))
                if not isinstance(row, RowError):
                    columns.update(dict.fromkeys(row))
                    size += sum(len(value) for value in row.values() if isinstance(value, str))
                if len(held) >= _SAMPLE_ROWS or size > _SAMPLE_CHARACTERS:
                    break
        except READ_ERRORS as error:
            failed = error  # after the rows before it
        if columns:
            self._columns(source, columns)
        if failed is not None:
            yield from held
            raise failed
        yield from chain(held, rows)

    def _csv(self, source: Source, opened: Opened) -> Iterator[RawRow]:
        text = as_utf8(opened.stream, self._encoding, str(source))
        usual = _DELIMITERS[opened.kind]
        try:
            rows = CsvRows(text, usual, self._answers)
        except HeaderError as error:
            raise SourceError(f"{source}: {error}") from error
        self.notes += [f"{source}: {line}" for line in rows.dropped]
        if rows.delimiter != usual:
            self.notes.append(f"{source}: its cells are divided by {rows.delimiter!r}")
        self._columns(source, rows.columns)
        yield from self._rows(source, rows, opened)


def _first_lines(stream: IO[bytes]) -> tuple[bytes, bool]:
    """The first line that is not blank, what follows it as far as it tells the next one, and whether that is all."""
    head = b""
    while not head.strip() and (line := stream.readline(_FIRST_LINE)):
        head += line
    if not head.endswith(b"\n"):
        return head, len(head) < _FIRST_LINE
    after = b""
    while not after.strip() and len(after) < _SECOND_LINE and (line := stream.readline(_SECOND_LINE)):
        after += line
    return head + after, not after
