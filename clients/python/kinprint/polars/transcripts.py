"""Files of chats, logs and training sets as a frame of transcripts, read as `kinprint load` reads them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl


class SkippedRowsWarning(UserWarning):
    """Rows of files that hold no transcript, or none that can be read."""


def scan_transcripts(
    source: str | Path | Sequence[str | Path],
    *,
    preset: str | None = None,
    map: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    batch_rows: int = 2000,
    encoding: str | None = None,
) -> pl.LazyFrame:
    """The transcripts of files, one row each (`TRANSCRIPT_SCHEMA` of `kinprint.client.schemas`), in their order.

    Args:
        source: files, globs or directories, of every kind and form that docs/your-data.md names.
        preset: what the files are; None: recognised by their first rows.
        map: JMESPath expressions by column, for rows that no preset knows.
        rename: columns to rename first, old name to new.
        batch_rows: rows of the frames that the LazyFrame reads.
        encoding: of files of text without a byte order mark; None: UTF-8.

    Files are read when the LazyFrame is collected, in bounded memory. Rows that cannot be read are left out, with a
    `SkippedRowsWarning` that counts them by reason. `transcript_id` is null where the files name none.

    Raises:
        SourceError: a file is not there, or preset and map are none; when collected: a file cannot be read or is not
            recognised.
    """
    # Expressions and dedup do without the client, which is imported when files are read.
    from kinprint.client.files.lazy import lazy_frame
    from kinprint.client.files.ndjson import transcript_row
    from kinprint.client.files.reader import FileReader, expand_paths
    from kinprint.client.files.rows import RowError
    from kinprint.client.files.shapes import Mapper
    from kinprint.client.schemas import TRANSCRIPT_SCHEMA

    Mapper(preset, map, rename)  # refuses what cannot be meant, at once
    paths = expand_paths([source] if isinstance(source, (str, Path)) else source)

    def batches() -> Iterator[pl.DataFrame]:
        reasons: dict[str, int] = {}
        first = ""
        rows: list[dict[str, object]] = []
        reader = FileReader(paths, mapper=Mapper(preset, map, rename), encoding=encoding)
        for row in reader:
            if isinstance(row.item, RowError):
                reasons[row.item.reason] = reasons.get(row.item.reason, 0) + 1
                first = first or f"{row.source}:{row.row}: {row.item.message}"
                continue
            made = transcript_row(row.item)
            made["metadata"] = [{"key": key, "value": value} for key, value in made["metadata"].items()]
            rows.append(made)
            if len(rows) >= batch_rows:
                yield pl.DataFrame(rows, schema=TRANSCRIPT_SCHEMA)
                rows = []
        yield pl.DataFrame(rows, schema=TRANSCRIPT_SCHEMA)
        for note in reader.notes:
            warnings.warn(note, stacklevel=2)
        if reasons:
            told = ", ".join(f"{count:,} {reason.lower()}" for reason, count in sorted(reasons.items()))
            warnings.warn(f"rows skipped: {told}; the first is {first}", SkippedRowsWarning, stacklevel=2)

    return lazy_frame(TRANSCRIPT_SCHEMA, batches)
