"""Files that the command line writes: formats, failure, and the way back through `load`."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from kinprint.client.cli.columns import PAIRS, TRANSCRIPTS
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import CommandError
from kinprint.client.files.ndjson import transcript_row
from kinprint.client.files.reader import FileReader
from kinprint.client.types import Transcript

ROWS = [
    Transcript(
        'two\nlines, "quoted" 🌊 \0',
        id="a",
        model="m",
        prompt="",
        created_at=datetime(2026, 3, 1, 12, 0, 0, 123456, UTC),
        metadata={"ключ": "值", "model": "kept apart"},
        turn=0,
        reasoning="because",
    ),
    Transcript("", id="b"),
]


def write(path: Path) -> None:
    with TableWriter(path, TRANSCRIPTS) as writer:
        for row in ROWS:
            writer.write(transcript_row(row))


@pytest.mark.parametrize("suffix", [".parquet", ".ndjson", ".jsonl"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(path)
    assert [row.item for row in FileReader([path])] == ROWS


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_csv_reads_back_but_for_empty_values(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write(path)
    first, second = (row.item for row in FileReader([path]))
    assert isinstance(first, Transcript)
    assert (first.response, first.metadata, first.created_at) == (
        ROWS[0].response,
        ROWS[0].metadata,
        ROWS[0].created_at,
    )
    assert first.prompt is None
    assert second == ROWS[1]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("text", ["up the hill\rand down", "\r", "ends\r", "\r\n", "a\n\rb"])
def test_csv_keeps_carriage_returns(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"rows{suffix}"
    with TableWriter(path, TRANSCRIPTS) as writer:
        for id in ("before", "within", "after"):
            writer.write(transcript_row(Transcript(text if id == "within" else id, id=id)))
    assert [row.item for row in FileReader([path])] == [
        Transcript("before", id="before"),
        Transcript(text, id="within"),
        Transcript("after", id="after"),
    ]
    # Other readers see the same.
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t" if suffix == ".tsv" else ",", strict=True))
    assert [row["response"] for row in rows] == ["before", text, "after"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_no_rows_make_a_file_all_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pairs{suffix}"
    with TableWriter(path, PAIRS):
        pass
    if suffix == ".parquet":
        found = pl.read_parquet(path)
        assert found.columns == list(PAIRS)
        assert found.height == 0
    elif suffix == ".csv":
        assert next(csv.reader(path.open())) == list(PAIRS)
    else:
        assert path.read_text() == ""


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_columns_and_rows_mix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pairs{suffix}"
    row = {"id_a": "a", "id_b": "b", "jaccard": 0.5, "containment_a": 0.25, "containment_b": 1.0}
    with TableWriter(path, PAIRS) as writer:
        writer.write(row)
        writer.write_columns({name: [value] * 2 for name, value in row.items()})
    assert writer.rows == 3
    if suffix == ".parquet":
        assert pl.read_parquet(path).to_dicts() == [row] * 3
    elif suffix == ".ndjson":
        assert [json.loads(line) for line in path.read_text().splitlines()] == [row] * 3
    else:
        assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("suffix", [".parquet", ".ndjson"])
@pytest.mark.parametrize("rows", [0, 1])
def test_a_failure_leaves_no_file_and_no_rest(tmp_path: Path, suffix: str, rows: int) -> None:
    path = tmp_path / f"pairs{suffix}"
    path.write_text("before")

    def fail() -> None:
        with TableWriter(path, PAIRS) as writer:
            for _ in range(rows):
                writer.write_columns({name: [None] for name in PAIRS})
            assert len(list(tmp_path.iterdir())) == 1 + rows
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_there_is_no_file_until_its_end_is_sure_to_come(tmp_path: Path, suffix: str) -> None:
    # Ctrl-C right after `__enter__` skips `__exit__`.
    TableWriter(tmp_path / f"pairs{suffix}", PAIRS).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "none/rows.csv"])
def test_a_file_that_cannot_be_is_refused_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError):
        TableWriter(tmp_path / name, PAIRS)
