"""Files to load, whatever holds their rows, read in bounded memory, row by row.

`sources` tells which files there are and opens them; `ndjson`, `json_rows`, `csv_rows` and `parquet` take rows out of
them, as mappings of column to value (`raw`); `shapes` and `rows` make transcripts of these.

A bad row becomes a `SourceRow` with a `RowError` and is counted by the upsert; a file that cannot be read at
all raises `SourceError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kinprint.client.errors import SourceError
from kinprint.client.files.raw import FileShare as FileShare
from kinprint.client.files.raw import RowReader
from kinprint.client.files.rows import RowError, SourceRow
from kinprint.client.files.shapes import Mapper, NotRecognisedError
from kinprint.client.files.sources import Source
from kinprint.client.files.sources import expand_paths as expand_paths
from kinprint.client.files.sources import kind_of as kind_of


class FileReader(RowReader):
    """Transcripts of files, one after the other; iterate once.

    Args:
        paths: as `expand_paths` gives them, or paths.
        rename: columns to rename, old name to new.
        batch_rows: rows that a Parquet file is read in.
        encoding: of text without a byte order mark; None: UTF-8.
        mapper: what makes transcripts of the rows; None: one that recognises each file, with `rename`.

    `fraction` tells how far the reading is, 0 to 1, by bytes of the files; `rows` counts rows read; `notes` says what
    was passed over or decided; `shares` tells what each file gave.

    Raises:
        SourceError: a file cannot be read; iterating raises it, after the rows before.
        InvalidArgumentError: there is no such encoding.
    """

    def __init__(
        self,
        paths: Iterable[Path | Source],
        *,
        rename: Mapping[str, str] | None = None,
        batch_rows: int = 2000,
        encoding: str | None = None,
        mapper: Mapper | None = None,
    ) -> None:
        super().__init__(paths, batch_rows=batch_rows, encoding=encoding)
        self.mapper = mapper if mapper is not None else Mapper(rename=rename)
        self._as_given = self.mapper.has_paths
        renamed = (old for old, new in self.mapper.rename.items() if new == "response")
        self._answers = {"response", *renamed}

    def __iter__(self) -> Iterator[SourceRow]:
        for source in self._each():
            share = self.shares[-1]
            try:
                for row in self._rows_of(source):
                    share.rows += 1
                    share.skipped += isinstance(row.item, RowError)
                    yield row
            except SourceError as error:
                if not (isinstance(error, NotRecognisedError) and self._pass_over(source, error)):
                    raise

    def _rows_of(self, source: Source) -> Iterator[SourceRow]:
        self.mapper.begin(str(source))
        try:
            yield from self._mapped(source)
        except SourceError:
            # Rows that waited for the file to be recognised were read, even where it breaks off.
            yield from self.mapper.end(broken=True)
            raise
        yield from self.mapper.end()

    def _mapped(self, source: Source) -> Iterator[SourceRow]:
        for raw in self._raw(source):
            item = raw.item
            if isinstance(item, RowError):
                yield SourceRow(raw.source, raw.row, item)
                continue
            if item.get("response") == "" and item.get("messages"):
                # An empty answer in a table is none where the row has a conversation.
                item = {column: value for column, value in item.items() if column != "response"}
            yield from self._of_row(raw.source, raw.row, item)

    def _of_row(self, name: str, number: int, row: Mapping[str, Any]) -> Iterator[SourceRow]:
        return self.mapper.rows(name, number, row)

    def _columns_known(self, path: Path, columns: list[str]) -> None:
        self.mapper.begin(str(path), columns)

    def _types_known(self, source: Source, schema: Mapping[str, Any]) -> None:
        """Refuse a frame whose columns, as they are renamed, have types that cannot be meant."""
        from kinprint.client.files.parquet import check_schema

        renamed = self.mapper.rename
        check_schema({renamed.get(column, column): dtype for column, dtype in schema.items()}, str(source))
