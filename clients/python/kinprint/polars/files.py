"""Files of any kind that `kinprint load` reads, as frames of the columns that they have."""

from __future__ import annotations

import glob
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from kinprint.client.files.raw import RawRow
    from kinprint.client.files.sources import Source

_BATCH: Final = 4096
"""Rows of a batch of those that Python reads."""
_POLARS_DECOMPRESSES: Final = (None, ".gz", ".zst")

Skipped = Callable[[str, int, str], None]
"""Called with a file, the number of a row in it, and why that cannot be read."""


Noted = Callable[[str], None]
"""Called with what was passed over or decided."""


def _warn(note: str) -> None:
    warnings.warn(note, stacklevel=3)


def scan_files(
    paths: str | Path | Sequence[str | Path],
    *,
    encoding: str | None = None,
    skipped: Skipped | None = None,
    noted: Noted = _warn,
) -> pl.LazyFrame:
    """The rows of files, as they stand there, one after the other; columns that a file lacks are null.

    Parquet, Arrow and NDJSON are scanned by Polars. CSV (all its columns are text), JSON arrays, members of archives
    and pipes are read in batches, as `kinprint load` reads them: what is no NDJSON or Parquet yet lies in a temporary
    file meanwhile, which goes when the frame does.

    Args:
        paths: names of files, patterns, directories, `-`, as for `kinprint load`. A name that exists is that file,
            whatever characters it has.
        encoding: of text without a byte order mark; None: UTF-8.
        skipped: called for each row that cannot be read and is left out, whenever the frame is collected; None: the
            first one is an error.
        noted: called with what was passed over or decided, such as a column without a name that is left out; else
            these are warnings.

    Raises:
        SourceError: nothing is there, or a file cannot be read. So do frames when they are collected.
    """
    from kinprint.client.files.sources import expand_paths

    names = [paths] if isinstance(paths, str | Path) else paths
    sources = expand_paths(names)
    for note in sources.notes:
        noted(note)
    frames = [scan_source(source, encoding=encoding, skipped=skipped, noted=noted) for source in sources]
    return pl.concat(frames, how="diagonal_relaxed")


def scan_source(
    source: Source, *, encoding: str | None = None, skipped: Skipped | None = None, noted: Noted = _warn
) -> pl.LazyFrame:
    """One file of those that `expand_paths` found, as `scan_files` has it."""
    from kinprint.client.files.compression import compression_of
    from kinprint.client.files.sources import kind_of

    kind = None if source.streams else kind_of(source)
    plain = source.member is None and kind is not None
    suffix = compression_of(source.path)
    if kind == "parquet" and plain and suffix is None:
        # The name stands for itself: Polars would expand *, ? and [ in it.
        frame = pl.scan_parquet(source.path, glob=False, hive_partitioning=False)
    elif kind == "arrow" and plain and suffix is None and _starts_with(source.path, b"ARROW1"):
        frame = pl.scan_ipc(source.path, glob=False, hive_partitioning=False)
    elif kind == "ndjson" and plain and encoding is None and suffix in _POLARS_DECOMPRESSES and _is_lines(source):
        frame = pl.scan_ndjson(glob.escape(str(source.path)), infer_schema_length=None)
    elif kind in ("csv", "tsv"):
        return _scan_table(source, encoding, skipped, noted)
    else:
        return _scan_spooled(source, encoding, skipped, noted)
    schema = frame.collect_schema()
    given = [pl.lit(value, pl.String).alias(name) for name, value in source.columns.items() if name not in schema]
    return frame.with_columns(given)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _is_lines(source: Source) -> bool:
    """Whether a file of JSON is UTF-8 with one object a line."""
    from kinprint.client.files.json_rows import form_of
    from kinprint.client.files.sources import open_source

    with open_source(source) as opened:
        head = opened.stream.readline(1 << 20)
        after = opened.stream.readline(1 << 12)
    return form_of(head + after, not after) == "lines" and not head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb"))


class _Rows:
    """The rows of one file; what cannot be read is told or an error."""

    def __init__(self, source: Source, encoding: str | None, skipped: Skipped | None) -> None:
        from kinprint.client.files.raw import RowReader

        class Reader(RowReader):
            def _columns_known(self, path: Path, columns: list[str]) -> None:
                known.extend(columns)

        known: list[str] = []
        self.columns = known
        """Its columns, as soon as there is a row."""
        self._reader = Reader([source], encoding=encoding)
        self._skipped = skipped

    @property
    def notes(self) -> list[str]:
        """What was passed over or decided so far."""
        return self._reader.notes

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        from kinprint.client.errors import SourceError
        from kinprint.client.files.rows import RowError

        raw: RawRow
        for raw in self._reader.raw_rows():
            if not isinstance(raw.item, RowError):
                yield raw.item
            elif self._skipped is None:
                raise SourceError(f"{raw.source}:{raw.row}: {raw.item.message}")
            else:
                self._skipped(raw.source, raw.row, raw.item.message)


def _scan_table(source: Source, encoding: str | None, skipped: Skipped | None, noted: Noted) -> pl.LazyFrame:
    """A CSV file as a frame of text, read again each time it is collected."""
    from kinprint.client.files.lazy import lazy_frame

    first = _Rows(source, encoding, lambda *_: None)
    next(iter(first), None)
    for note in first.notes:
        noted(note)
    schema = pl.Schema(dict.fromkeys(first.columns, pl.String()))

    def batches() -> Iterator[pl.DataFrame]:
        for rows in _chunks(_Rows(source, encoding, skipped)):
            yield pl.DataFrame([[row.get(name) for row in rows] for name in schema], schema=schema)

    return lazy_frame(schema, batches, is_pure=True)


def _scan_spooled(source: Source, encoding: str | None, skipped: Skipped | None, noted: Noted) -> pl.LazyFrame:
    """What Polars does not read itself, as a temporary file that it does."""
    from kinprint.client.files.lazy import lazy_frame

    file = tempfile.NamedTemporaryFile(mode="wb", prefix="kinprint-", suffix=".ndjson")  # noqa: SIM115
    rows = _Rows(source, encoding, skipped)
    for row in rows:
        # Half a surrogate pair has no UTF-8; as an escape it would end the scan.
        text = json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace")
        file.write(text + b"\n")
    file.flush()
    for note in rows.notes:
        noted(note)
    if not file.tell():
        return pl.LazyFrame()
    frame = pl.scan_ndjson(file.name, infer_schema_length=None)
    schema = frame.collect_schema()

    def batches() -> Iterator[pl.DataFrame]:
        _ = file  # which lives as long as this
        yield from frame.collect_batches(maintain_order=True, lazy=True)

    return lazy_frame(schema, batches, is_pure=True)


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    held: list[Mapping[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) >= _BATCH:
            yield held
            held = []
    if held:
        yield held
