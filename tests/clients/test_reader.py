"""Files to load, good and bad, of every kind."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.errors import SourceError
from kinprint.client.files.ndjson import parse_line, read_ndjson, write_ndjson
from kinprint.client.files.reader import FileReader, expand_paths, kind_of
from kinprint.client.files.rows import RowError
from kinprint.client.types import Transcript


def read(*paths: Path, **options: Any) -> tuple[list[Transcript], list[tuple[str, int, str]]]:
    """Transcripts, and (file name, row, reason) of the rows that cannot be read."""
    good, bad = [], []
    for row in FileReader(paths, **options):
        if isinstance(row.item, RowError):
            bad.append((Path(row.source).name, row.row, row.item.reason))
        else:
            good.append(row.item)
    return good, bad


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_bytes(
        b'\xef\xbb\xbf{"response": "one"}\n'
        b'{"response": "two \xff"}\n'
        b"\n"
        b'{"response": "three"\n'
        b"[1, 2]\n"
        b'{"response": 5}\n'
        b'{"response": null}\n'
        b'{"response": ""}\r\n'
        b'{"response": "nul \\u0000 byte", "created_at": 12}\n'
        b'{"response": "lone \\ud800"}\n'
        b'{"response": "cut sh'
    )
    good, bad = read(path)
    assert [row.response for row in good] == ["one", "", "lone \ud800"]
    assert bad == [
        ("rows.ndjson", 2, "INVALID_UTF8"),
        ("rows.ndjson", 4, "INVALID_JSON"),
        ("rows.ndjson", 5, "NOT_AN_OBJECT"),
        ("rows.ndjson", 6, "RESPONSE_NOT_TEXT"),
        ("rows.ndjson", 7, "MISSING_RESPONSE"),
        ("rows.ndjson", 9, "CREATED_AT_INVALID"),
        ("rows.ndjson", 11, "INVALID_JSON"),
    ]


def test_deep_nesting_and_long_numbers_are_bad_lines() -> None:
    for line in (b"[" * 200_000, b'{"response": ' + b"9" * 10_000 + b"}"):
        with pytest.raises(RowError) as caught:
            parse_line(line)
        assert caught.value.reason == "INVALID_JSON"


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(b'{"response": "packed"}\n' * 3)
    assert [row.response for row in read(path)[0]] == ["packed"] * 3
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])
    with pytest.raises(SourceError, match=r"rows\.jsonl\.gz: cannot be read"):
        read(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(SourceError, match=r"rows\.jsonl\.gz"):
        read(path)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(
        "\ufeffresponse,model,created_at,topic\r\n"
        '"two\nlines, and ""quotes""",m,2026-03-01,\r\n'
        ",m,,blank\r\n"
        "ünïcode 🌊,,,x\r\n"
        "short,m\r\n"
        "bad time,m,soon,\r\n".encode()
        + b"bytes \xff\xfe,m,,\r\n"
        + b"nul \x00 byte,m,,\r\n"
    )
    good, bad = read(path)
    assert [row.response for row in good] == [
        'two\nlines, and "quotes"',
        "",
        "ünïcode 🌊",
        "bytes \udcff\udcfe",
        "nul \0 byte",
    ]
    assert good[0].created_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert [row.model for row in good[:3]] == ["m", "m", None]
    assert [dict(row.metadata) for row in good[:3]] == [{}, {"topic": "blank"}, {"topic": "x"}]
    assert bad == [("rows.csv", 4, "COLUMN_COUNT"), ("rows.csv", 5, "CREATED_AT_INVALID")]


def test_tsv_and_messages_in_csv(tmp_path: Path) -> None:
    chat = json.dumps([{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
    path = tmp_path / "rows.tsv"
    path.write_text("messages\tid\n" + '"' + chat.replace('"', '""') + '"\t5\n')
    (row,) = read(path)[0]
    assert (row.id, row.conversation_id, row.turn, row.prompt, row.response) == (None, "5", 0, "?", "!")


def test_csv_that_ends_inside_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('response\nfine\n"never closed\nand on\n')
    good, bad = read(path)
    assert [row.response for row in good] == ["fine"]
    assert bad == [("rows.csv", 2, "INVALID_CSV")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "topic,output\na,b\n", "'output'"),
        ("rows.csv", "", "empty"),
        ("rows.csv", "response,response\na,b\n", "repeats"),
        ("rows.ndjson", '{"answer": "a"}\n' * 3, "'answer'"),
        ("rows.ndjson", '{"answer": "a"}\n' * 300, "'answer'"),
        ("rows.json", '[{"response": "a"},\n', "ends within an array"),
        ("rows.parquet", "PAR1 and no more", "not a readable Parquet file"),
        ("rows.parquet", "", "not a readable Parquet file"),
    ],
)
def test_files_that_are_something_else_say_so(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError) as caught:
        read(path)
    assert message in str(caught.value)
    assert name in str(caught.value)


def frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"response": ["a", "b", None, ""], **columns}, strict=False)


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame(
        transcript_id=[1, 2, 3, 4],
        created_at=[datetime(2026, 1, 1, 12, 0, 0, 5), None, None, None],
        metadata=[{"k": "v"}, {"k": None}, None, None],
        tags=[["x"], [], None, None],
        score=[0.5, None, 1.0, 2.0],
    ).write_parquet(path)
    good, bad = read(path, batch_rows=2)
    assert [row.id for row in good] == ["1", "2", "4"]
    assert good[0].created_at == datetime(2026, 1, 1, 12, 0, 0, 5, UTC)
    assert good[0].metadata == {"k": "v", "tags": '["x"]', "score": "0.5"}
    assert bad == [("rows.parquet", 3, "MISSING_RESPONSE")]


@pytest.mark.parametrize(
    ("columns", "column", "wanted"),
    [
        ({"response": [1, 2]}, "response", "text"),
        ({"response": ["a"], "prompt": [1.5]}, "prompt", "text"),
        ({"response": ["a"], "created_at": [True]}, "created_at", "timestamp"),
        ({"response": ["a"], "transcript_id": [True]}, "transcript_id", "integer"),
        ({"output": ["a"]}, "response", "'output'"),
    ],
)
def test_parquet_columns_of_a_wrong_type(
    tmp_path: Path, columns: dict[str, list[Any]], column: str, wanted: str
) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame(columns).write_parquet(path)
    with pytest.raises(SourceError) as caught:
        read(path)
    assert column in str(caught.value)
    assert wanted in str(caught.value)


def test_a_time_that_python_has_none_for_costs_its_own_value_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    far = pl.Series([0, 300_000_000_000_000_000, 1_767_225_600_000_000], dtype=pl.Int64).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"response": ["a", "b", "c"], "seen_at": far, "created_at": far.reverse()})
    frame = frame.with_columns(many=pl.Series([[1], None, [2]]), when=pl.struct(far.alias("at")))
    frame.write_parquet(path)
    good, bad = read(path)
    assert [row.response for row in good] == ["a", "c"]
    assert bad == [("rows.parquet", 2, "CREATED_AT_INVALID")]
    assert [row.metadata["seen_at"] for row in good] == ["1970-01-01 00:00:00", "2026-01-01 00:00:00"]
    metadata = frame.drop("created_at")
    metadata.write_parquet(path)
    good, bad = read(path)
    assert [row.response for row in good] == ["a", "b", "c"]
    assert "11476" in good[1].metadata["seen_at"]
    assert good[2].metadata["when"] == '{"at": "2026-01-01 00:00:00"}'
    assert not bad


def test_forms_of_tools_are_read_from_parquet_and_csv(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    parquet, csv = tmp_path / "a.parquet", tmp_path / "b.csv"
    pl.DataFrame({"conversation_id": ["k"], "model": ["m"], "conversation": [chat]}).write_parquet(parquet)
    shares = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "It is."}]
    pl.DataFrame({"id": ["k"], "conversations": [str(shares)]}).write_csv(csv)
    reader = FileReader([parquet, csv])
    assert [(row.item.prompt, row.item.response) for row in reader] == [("Why?", "Because."), ("Why?", "It is.")]
    assert list(reader.mapper.account.presets) == ["lmsys", "sharegpt"]


def test_truncated_parquet_names_the_file_and_keeps_the_rows_before(tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.parquet", tmp_path / "b.parquet"
    frame().write_parquet(whole)
    cut.write_bytes(whole.read_bytes()[:-20])
    reader = iter(FileReader([whole, cut]))
    assert [row.row for row in (next(reader), next(reader), next(reader), next(reader))] == [1, 2, 3, 4]
    with pytest.raises(SourceError, match=r"b\.parquet"):
        next(reader)


def test_rename(tmp_path: Path) -> None:
    csv, parquet, lines = tmp_path / "a.csv", tmp_path / "b.parquet", tmp_path / "c.ndjson"
    csv.write_text("output\nx\n")
    pl.DataFrame({"output": ["y"]}).write_parquet(parquet)
    lines.write_text('{"output": "z"}\n')
    good, bad = read(csv, parquet, lines, rename={"output": "response"})
    assert [row.response for row in good] == ["x", "y", "z"]
    assert not bad
    csv.write_text("output,model\n,m\nx,m\n")
    assert [row.response for row in read(csv, rename={"output": "response"})[0]] == ["", "x"]
    with pytest.raises(SourceError, match="no column 'outpt' to rename"):
        read(csv, rename={"outpt": "response"})


def test_paths(tmp_path: Path) -> None:
    for name in ("b.csv", "a.ndjson", "notes.txt", "deep/c.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [source.path.relative_to(tmp_path).as_posix() for source in expand_paths([tmp_path])]
    assert names == ["a.ndjson", "b.csv", "deep/c.parquet"]
    assert [source.path for source in expand_paths([str(tmp_path / "*.csv")])] == [tmp_path / "b.csv"]
    for bad in ("notes.txt", "none.csv", "*.pq"):
        with pytest.raises(SourceError):
            expand_paths([str(tmp_path / bad)])
    assert [kind_of(Path(name)) for name in ("x.CSV", "x.jsonl.gz", "x.gz", "x")] == [
        "csv",
        "ndjson",
        None,
        None,
    ]


def test_the_fraction_reaches_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_text('{"response": "x"}\n' * 500)
    reader = FileReader([path, path])
    shares = [reader.fraction for _ in reader]
    assert shares == sorted(shares)
    assert reader.fraction == 1.0
    assert reader.rows == 1000


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(
        st.builds(
            Transcript,
            response=TEXT,
            id=TEXT.filter(bool),
            model=st.none() | TEXT,
            prompt=st.none() | TEXT,
            turn=st.none() | st.integers(0, 9),
            created_at=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),
            metadata=st.dictionaries(TEXT, TEXT, max_size=3),
        ),
        max_size=5,
    )
)
def test_ndjson_keeps_everything(tmp_path_factory: pytest.TempPathFactory, rows: list[Transcript]) -> None:
    path = tmp_path_factory.mktemp("ndjson") / "rows.ndjson"
    assert write_ndjson(path, rows) == len(rows)
    assert [row.item for row in read_ndjson(path)] == rows
