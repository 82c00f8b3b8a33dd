"""Files of every kind as frames of the columns that they have."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import kinprint.polars as kp
import polars as pl
import pytest
from kinprint.client.errors import SourceError

ROWS = [{"id": 1, "response": "the ferry left late"}, {"id": 2, "response": 'a "quiet" crossing,\nand rain'}]
TEXTS = [row["response"] for row in ROWS]


def write(folder: Path) -> dict[str, Path]:
    frame = pl.DataFrame(ROWS)
    files = {
        name: folder / name
        for name in (
            "rows.parquet",
            "rows.arrow",
            "stream.arrow",
            "rows.ndjson",
            "rows.ndjson.gz",
            "rows.json",
            "rows.csv",
            "semicolons.csv",
            "rows.zip",
            "utf-16.ndjson",
            "run[1].ndjson",
            "run*.csv",
            "rows.parquet.gz",
        )
    }
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    frame.write_parquet(files["rows.parquet"])
    frame.write_ipc(files["rows.arrow"])
    frame.write_ipc_stream(files["stream.arrow"])
    for name in ("rows.ndjson", "run[1].ndjson"):
        files[name].write_text(lines)
    files["rows.ndjson.gz"].write_bytes(gzip.compress(lines.encode()))
    files["utf-16.ndjson"].write_text(lines, encoding="utf-16")
    files["rows.json"].write_text(json.dumps(ROWS, indent=1))
    for name in ("rows.csv", "run*.csv"):
        frame.write_csv(files[name])
    frame.write_csv(files["semicolons.csv"], separator=";")
    with zipfile.ZipFile(files["rows.zip"], "w") as archive:
        archive.writestr("rows.json", json.dumps(ROWS))
    files["rows.parquet.gz"].write_bytes(gzip.compress(files["rows.parquet"].read_bytes()))
    return files


def test_every_kind_gives_its_rows(tmp_path: Path) -> None:
    files = write(tmp_path)
    (tmp_path / "run1.ndjson").write_text('{"response": "another file"}\n')
    for name, path in files.items():
        notes: list[str] = []
        frame = kp.scan_files(path, noted=notes.append)
        assert isinstance(frame, pl.LazyFrame)
        found = frame.collect()
        assert found["response"].to_list() == TEXTS, name
        assert found["id"].cast(pl.Int64).to_list() == [1, 2], name
        assert frame.collect().equals(found), name  # again
        assert frame.filter(pl.col("id").cast(pl.Int64) == 2).select("response").collect().item() == TEXTS[1], name
        assert frame.head(1).collect().height == 1, name
        assert frame.select(pl.len()).collect().item() == 2, name
        assert len(notes) == (name == "semicolons.csv")


def test_files_are_put_together_by_the_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "model=kite").mkdir()
    pl.DataFrame({"response": ["a"]}).write_parquet(tmp_path / "model=kite/0.parquet")
    (tmp_path / "rows.json").write_text('[{"response": "b", "turn": 1}]')
    assert kp.scan_files(tmp_path).collect().to_dicts() == [
        {"response": "a", "model": "kite", "turn": None},
        {"response": "b", "model": None, "turn": 1},
    ]


@pytest.mark.parametrize(
    ("name", "text", "row"),
    [
        ("rows.json", '[{"response": "a"}, {"response": }, {"response": "b"}]', 2),
        ("rows.csv", 'response,id\na,1\n"never closed,2\nb,3\n', 2),
    ],
)
def test_a_bad_row_is_an_error_or_told(tmp_path: Path, name: str, text: str, row: int) -> None:
    path = tmp_path / name
    path.write_text(text)
    told: list[tuple[Any, ...]] = []
    frame = kp.scan_files(path, skipped=lambda *item: told.append(item[:2]))
    assert frame.collect()["response"].to_list() == ["a", "b"]
    assert told == [(str(path), row)]
    with pytest.raises((SourceError, pl.exceptions.ComputeError), match=rf"{name}:{row}"):
        kp.scan_files(path).collect()


def test_what_is_left_out_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(",response\n0,a\n")
    with pytest.warns(UserWarning, match="an index without a name"):
        frame = kp.scan_files(tmp_path / "rows.csv")
    assert frame.collect_schema().names() == ["response"]


def test_dedup_of_scanned_files(tmp_path: Path) -> None:
    text = "the old ferry went slowly past the grey harbour wall while nobody on the quay looked up"
    (tmp_path / "rows.json").write_text(json.dumps([{"response": text}, {"response": text.upper()}]))
    assert kp.dedup(kp.scan_files(tmp_path)).collect().height == 1
