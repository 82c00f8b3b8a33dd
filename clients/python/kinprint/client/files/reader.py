"""Files to load: Parquet, NDJSON, CSV and TSV, read in bounded memory, row by row.

A bad row becomes a `SourceRow` with a `RowError` and is counted by the upsert; a file that cannot be read at
all raises `SourceError`, which names it.
"""

from __future__ import annotations

import csv
import glob
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kinprint.client.errors import SourceError
from kinprint.client.files.compression import SUFFIXES as COMPRESSED
from kinprint.client.files.compression import open_binary
from kinprint.client.files.ndjson import numbered_lines, parse_line
from kinprint.client.files.rows import RowError, SourceRow
from kinprint.client.files.shapes import Mapper

_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "tsv",
}
_FIELD_BYTES = 64 << 20


def kind_of(path: Path) -> str | None:
    """ "parquet", "ndjson", "csv" or "tsv" by the suffix before a compression's; None when unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def expand_paths(names: Iterable[str | Path]) -> list[Path]:
    """The files that names stand for: files, globs, and directories (searched through, sorted).

    Raises:
        SourceError: nothing is there, or a file is of an unknown kind.
    """
    paths: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(item for item in path.rglob("*") if item.is_file() and kind_of(item) is not None)
            if not found:
                raise SourceError(f"{path}: no Parquet, NDJSON, CSV or TSV file in this directory")
            paths += found
            continue
        if not path.exists() and glob.has_magic(str(path)):
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                raise SourceError(f"{path}: no file matches")
            paths += expand_paths(matches)
            continue
        if not path.exists():
            raise SourceError(f"{path}: no such file")
        if kind_of(path) is None:
            raise SourceError(f"{path}: unknown kind of file; known: {', '.join(_KINDS)}, also with .gz (not Parquet)")
        paths.append(path)
    return paths


class FileReader:
    """Rows of files, one after the other; iterate once.

    Args:
        paths: as `expand_paths` gives them.
        rename: columns to rename, old name to new.
        batch_rows: rows that a Parquet file is read in.
        mapper: what makes transcripts of the rows; None: one that recognises each file, with `rename`.

    `fraction` tells how far the reading is, 0 to 1, by bytes of the files; `rows` counts rows read.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        *,
        rename: Mapping[str, str] | None = None,
        batch_rows: int = 2000,
        mapper: Mapper | None = None,
    ) -> None:
        self._paths = list(paths)
        self.mapper = mapper if mapper is not None else Mapper(rename=rename)
        self._batch_rows = batch_rows
        self._sizes = [path.stat().st_size for path in self._paths]
        self._place = 0
        self._within = 0.0
        self.rows = 0

    @property
    def fraction(self) -> float:
        """Share of the bytes of all files that were read."""
        done = sum(self._sizes[: self._place])
        now = self._sizes[self._place] if self._place < len(self._sizes) else 0
        return min(1.0, (done + self._within * now) / max(sum(self._sizes), 1))

    def __iter__(self) -> Iterator[SourceRow]:
        for place, path in enumerate(self._paths):
            self._place, self._within = place, 0.0
            kind = kind_of(path)
            problem: SourceError | None = None
            self.mapper.begin(str(path))
            try:
                if kind == "parquet":
                    yield from self._parquet(path)
                elif kind == "ndjson":
                    yield from self._ndjson(path)
                else:
                    yield from self._csv(path, "\t" if kind == "tsv" else ",")
            except SourceError as error:
                problem = error
            except (OSError, EOFError) as error:
                problem = SourceError(f"{path}: cannot be read: {error}")
                problem.__cause__ = error
            # Rows that waited for the file to be recognised were read, even where it breaks off.
            yield from self.mapper.end(broken=problem is not None)
            if problem is not None:
                raise problem
        self._place, self._within = len(self._paths), 0.0

    def _of_row(self, name: str, number: int, row: Mapping[str, Any]) -> Iterator[SourceRow]:
        return self.mapper.rows(name, number, row)

    def _columns_known(self, path: Path, columns: list[str]) -> None:
        self.mapper.begin(str(path), columns)

    def _parquet(self, path: Path) -> Iterator[SourceRow]:
        try:
            from kinprint.client.files import parquet
        except ModuleNotFoundError as error:
            raise SourceError(f"{path}: reading Parquet needs {error.name}: pip install 'kinprint[polars]'") from error
        name = str(path)
        total, columns, batches = parquet.open_parquet(path, self._batch_rows, {})
        self._columns_known(path, columns)
        number = 0
        for frame in batches:
            for row in parquet.rows_of(frame):
                number += 1
                self.rows += 1
                yield from self._of_row(name, number, row)
            self._within = number / max(total, 1)

    def _ndjson(self, path: Path) -> Iterator[SourceRow]:
        name = str(path)
        with open_binary(path) as stream:
            for number, line in numbered_lines(stream):
                self.rows += 1
                if isinstance(line, RowError):
                    yield SourceRow(name, number, line)
                    continue
                if self.rows % 64 == 0:
                    self._within = self._position(path, stream)
                try:
                    row = parse_line(line)
                except RowError as error:
                    if number == 1 and line.startswith(b"["):
                        raise SourceError(
                            f"{path}: a JSON array, not one object a line; convert it with jq -c '.[]'"
                        ) from None
                    yield SourceRow(name, number, error)
                    continue
                yield from self._of_row(name, number, row)

    def _position(self, path: Path, stream: Any) -> float:
        # For gzip the position counts decompressed bytes; the raw file beneath it counts ours.
        raw = getattr(stream, "fileobj", None) or stream
        try:
            return float(raw.tell()) / max(self._sizes[self._place], 1)
        except (OSError, ValueError):
            return self._within

    def _csv(self, path: Path, delimiter: str) -> Iterator[SourceRow]:
        name = str(path)
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_BYTES))
        with open_binary(path) as binary:
            # Bytes that are not UTF-8 become lone surrogates, which cost their row and no other.
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            try:
                header = next(reader, None)
            except csv.Error as error:
                raise SourceError(f"{path}: the header cannot be read: {error}") from error
            if header is None:
                raise SourceError(f"{path}: the file is empty")
            repeated = {column for column in header if header.count(column) > 1}
            if repeated:
                raise SourceError(f"{path}: the header repeats {', '.join(sorted(repeated))}")
            self._columns_known(path, header)
            number = 0
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    number += 1
                    self.rows += 1
                    yield SourceRow(name, number, RowError("INVALID_CSV", f"line {reader.line_num}: {error}"))
                    continue
                if not cells:
                    continue
                number += 1
                self.rows += 1
                if number % 64 == 0:
                    self._within = self._position(path, binary)
                if len(cells) != len(header):
                    yield SourceRow(
                        name,
                        number,
                        RowError("COLUMN_COUNT", f"{len(cells)} cells under {len(header)} columns"),
                    )
                    continue
                # An empty cell is an absent value; an empty answer is an answer, though a blank one.
                row = {column: cell for column, cell in zip(header, cells, strict=True) if cell or column == "response"}
                if not row.get("response") and row.get("messages"):
                    row.pop("response", None)
                yield from self._of_row(name, number, row)
