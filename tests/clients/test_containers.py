"""What holds rows: JSON arrays, Arrow, archives, compressed files, directories, pipes, and text of any encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from kinprint.client.errors import InvalidArgumentError, SourceError
from kinprint.client.files.reader import FileReader, expand_paths
from kinprint.client.files.rows import RowError
from kinprint.client.types import Transcript

ROWS = [{"response": "a walk by the river", "model": "m"}, {"response": "rain, and then\nmore rain", "model": "n"}]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
ANSWERS = [row["response"] for row in ROWS]


def read(*names: str | Path, **options: Any) -> tuple[list[Transcript], list[tuple[int, str]], FileReader]:
    """Transcripts, (row, reason) of what cannot be read, and the reader."""
    reader = FileReader(expand_paths(names), **options)
    good, bad = [], []
    for row in reader:
        if isinstance(row.item, RowError):
            bad.append((row.row, row.item.reason))
        else:
            good.append(row.item)
    return good, bad, reader


def answers(*names: str | Path, **options: Any) -> list[str]:
    good, bad, _ = read(*names, **options)
    assert not bad
    return [row.response for row in good]


# ---- JSON ----


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n ".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps({"object": "list", "data": ROWS, "has_more": False}),
        json.dumps({"version": 2, "rows": ROWS}, indent=4),
        json.dumps({"title": "of one afternoon", "walks": ROWS}),
        json.dumps({"response": dict(enumerate(ANSWERS)), "model": {0: "m", 1: "n"}}),
        json.dumps({"columns": ["response", "model"], "index": [0, 1], "data": [list(r.values()) for r in ROWS]}),
    ],
    ids=["array", "indented array", "indented objects", "list", "indented list", "some list", "by column", "split"],
)
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_is_told_by_its_first_bytes(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_text(text)
    good, bad, reader = read(path)
    assert [(row.response, row.model) for row in good] == [(row["response"], row["model"]) for row in ROWS]
    assert not bad
    assert reader.fraction == 1.0


def test_what_stands_beside_the_rows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"object": "list", "data": ROWS, "has_more": False}))
    assert "object, has_more" in read(path)[2].notes[0]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]},
        {"response": "!", "sources": [{"page": 1}, {"page": 2}]},
        {"data": [{"page": 1}], "response": "!"},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_lists_within_a_row_are_no_rows(tmp_path: Path, row: dict[str, Any], indent: int | None) -> None:
    path = tmp_path / "row.json"
    if "data" in row:  # a row has its own columns first, which is how it is told
        row = dict(reversed(row.items()))
    path.write_text(json.dumps(row, indent=indent))
    assert answers(path) == ["!"]


def test_a_bad_element_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(
        b'[{"response": "one"}, {"response": }, 7, {"response": "lone \\ud800"},\n'
        b'{"response": "he said "yes and left"},\n{"response": "two \xff"}, ["three"], {"response": "four"}]'
    )
    good, bad, _ = read(path)
    assert [row.response for row in good] == ["one", "lone \ud800", "four"]
    assert bad == [
        (2, "INVALID_JSON"),
        (3, "NOT_AN_OBJECT"),
        (5, "INVALID_JSON"),
        (6, "INVALID_UTF8"),
        (7, "NOT_AN_OBJECT"),
    ]


def test_an_array_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    row = json.dumps({"response": "word " * 200, "notes": ['a "quoted" [bracket}', {"deep": [1, [2]]}]})
    path.write_text("[" + ",".join([row] * 5000) + "]")
    reader = FileReader([path])
    seen = iter(reader)
    next(seen)
    # What is read ahead is what columns are told by, no more.
    assert 0 <= reader.fraction < 0.5
    assert 1 + sum(1 for _ in seen) == 5000


def test_an_array_that_is_cut_short_gives_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS)[:-5])
    reader = iter(FileReader([path]))
    assert next(reader).row == 1
    with pytest.raises(SourceError, match="ends within an array"):
        next(reader)


# ---- compression and archives ----


def zstandard(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard,
}


@pytest.mark.parametrize("suffix", [*PACKERS, *(suffix.upper() for suffix in PACKERS)])
@pytest.mark.parametrize("parts", [1, 2], ids=["one part", "two parts"])
def test_compressed(tmp_path: Path, suffix: str, parts: int) -> None:
    path = tmp_path / f"rows.ndjson.{suffix}"
    path.write_bytes(PACKERS[suffix.lower()](LINES) * parts)
    assert answers(path) == ANSWERS * parts
    whole = PACKERS[suffix.lower()](LINES * 400)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SourceError, match=r"rows\.ndjson\.\w+: cannot be read"):
        read(path)
    path.write_bytes(b"neither of them")
    with pytest.raises(SourceError, match=r"rows\.ndjson\.\w+: cannot be read"):
        read(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_progress_counts_compressed_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.ndjson.{suffix}"
    rows = b"".join(json.dumps({"response": os.urandom(500).hex()}).encode() + b"\n" for _ in range(4000))
    path.write_bytes(PACKERS[suffix](rows))
    reader = FileReader([path])
    shares = [reader.fraction for _ in reader]
    assert shares == sorted(shares)
    assert 0.3 < shares[2000] < 0.95


def test_compressed_parquet(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet.gz").write_bytes(gzip.compress((tmp_path / "rows.parquet").read_bytes()))
    assert answers(tmp_path / "rows.parquet.gz") == ANSWERS


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "export.ZIP"
    frame = io.BytesIO()
    pl.DataFrame(ROWS).write_parquet(frame)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("page.html", "<p>")
        archive.writestr("user.json", '{"name": "somebody", "age": 7}')
        archive.writestr("conversations.json", json.dumps(ROWS))
        archive.writestr("more/lines.ndjson.gz", gzip.compress(LINES))
        archive.writestr("model=gpt-a/part.parquet", frame.getvalue())
        archive.writestr("__MACOSX/._conversations.json", b"\0\5\x16\7")
    good, bad, reader = read(path)
    assert [row.response for row in good] == ANSWERS * 3
    assert not bad
    assert [share.source for share in reader.shares] == [
        f"{path}/{name}" for name in ("conversations.json", "more/lines.ndjson.gz", "model=gpt-a/part.parquet")
    ]
    assert "page.html" in reader.notes[0]
    assert "user.json" in reader.notes[1]
    assert reader.fraction == 1.0
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match="not a readable zip archive"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("page.html", "<p>")
    with pytest.raises(SourceError, match=r"no .* file in this archive; there are page\.html"):
        read(path)


# ---- directories ----


def put(path: Path, data: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def test_what_is_hidden_or_describes_the_rest_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "rows.csv", "response\nthe text as it is now\n")
    put(tmp_path / ".ipynb_checkpoints/rows-checkpoint.csv", "response\nan older draft\n")
    put(tmp_path / "._rows.csv", b"\0\5\x16\7")
    put(tmp_path / "_temporary/0/rows.csv", "response\nhalf written\n")
    for name in ("_SUCCESS", "README.md", "LICENSE", ".rows.csv.crc", "part.csv.crc", "_metadata.parquet"):
        put(tmp_path / name, "no rows")
    put(tmp_path / "dataset_info.json", '{"features": {"response": {"dtype": "string"}}}')
    put(tmp_path / "notes/settings.json", '{"default": {}}')
    good, bad, reader = read(tmp_path)
    assert [row.response for row in good] == ["the text as it is now"]
    assert not bad
    assert len(reader.notes) == 2
    assert all(name in reader.notes[0] for name in ("README.md", "LICENSE", "_SUCCESS", "dataset_info.json"))
    assert "settings.json" in reader.notes[1]


def test_a_directory_without_rows_says_so(tmp_path: Path) -> None:
    put(tmp_path / "README.md", "nothing")
    with pytest.raises(SourceError, match=r"no .* file in this directory; there are README\.md"):
        read(tmp_path)
    put(tmp_path / "settings.json", '{"default": {}}')
    with pytest.raises(SourceError, match=r"settings\.json: no column 'response'"):
        read(tmp_path)


def test_partitions_are_columns(tmp_path: Path) -> None:
    for model, day in (("gpt-a", "2026-01-01"), ("b%2Fc", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / "out" / f"model={model}" / f"day={day}"
        folder.mkdir(parents=True)
        pl.DataFrame({"response": [f"of {model}"]}).write_parquet(folder / "0.parquet")
    expected = [("b/c", {}), ("gpt-a", {"day": "2026-01-01"})]
    for names in ([tmp_path / "out"], [tmp_path / "out/*/*/*.parquet"], sorted((tmp_path / "out").iterdir())):
        found = [(row.model, dict(row.metadata)) for row in read(*names)[0]]
        # A directory that is named itself is where one looks from.
        assert found == (expected if len(names) == 1 else [(None, item) for _, item in expected])


def test_a_column_of_the_file_goes_before_its_directory(tmp_path: Path) -> None:
    put(tmp_path / "model=a/rows.csv", "response,model\none,b\ntwo,\n")
    assert [row.model for row in read(tmp_path)[0]] == ["b", "a"]


def test_shards_may_have_other_columns(tmp_path: Path) -> None:
    pl.DataFrame({"response": ["one"], "turn": [1]}).write_parquet(tmp_path / "0.parquet")
    pl.DataFrame({"model": ["m"], "response": ["two"], "turn": ["2"]}).write_parquet(tmp_path / "1.parquet")
    good, _, reader = read(tmp_path)
    assert [(row.response, row.model, row.turn) for row in good] == [("one", None, 1), ("two", "m", 2)]
    assert [(Path(share.source).name, share.rows, share.skipped) for share in reader.shares] == [
        ("0.parquet", 1, 0),
        ("1.parquet", 1, 0),
    ]


def test_a_data_set_saved_by_datasets(tmp_path: Path) -> None:
    for split in ("train", "test"):
        names = [f"data-{part:05}-of-00002.arrow" for part in range(2)]
        for part, name in enumerate(names):
            put(tmp_path / split / "x", "")
            pl.DataFrame({"response": [f"{split} {part}"]}).write_ipc_stream(tmp_path / split / name)
        put(tmp_path / split / "state.json", json.dumps({"_data_files": [{"filename": name} for name in names]}))
        put(tmp_path / split / "dataset_info.json", json.dumps({"features": {"response": {"dtype": "string"}}}))
        pl.DataFrame({"response": ["filtered"]}).write_ipc_stream(tmp_path / split / "cache-0123456789abcdef.arrow")
        pl.DataFrame({"response": ["left over"]}).write_ipc_stream(tmp_path / split / "data-00000-of-00001.arrow")
    put(tmp_path / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    assert answers(tmp_path) == ["test 0", "test 1", "train 0", "train 1"]


@pytest.mark.parametrize("write", [pl.DataFrame.write_ipc, pl.DataFrame.write_ipc_stream])
def test_arrow(tmp_path: Path, write: Callable[[pl.DataFrame, Path], None]) -> None:
    path = tmp_path / "rows.arrow"
    write(pl.DataFrame(ROWS * 500), path)
    reader = FileReader([path])
    assert [row.item.response for row in reader if isinstance(row.item, Transcript)] == ANSWERS * 500
    assert reader.fraction == 1.0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"rows\.arrow: (not a readable Arrow file|cannot be read)"):
        read(path)


def test_a_delta_table_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "_delta_log/00000000000000000000.json", "{}")
    pl.DataFrame(ROWS).write_parquet(tmp_path / "part.parquet")
    with pytest.raises(SourceError, match=r"Delta table.*scan_delta"):
        read(tmp_path)


def test_a_link_to_a_directory_above_is_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "in/rows.csv", "response\none\n")
    (tmp_path / "in/up").symlink_to(tmp_path)
    assert answers(tmp_path) == ["one"]


@pytest.mark.parametrize("name", ["run[1].ndjson", "what*.ndjson", "who?.ndjson", "a b#c%41,d.ndjson", "[a].ndjson"])
def test_a_name_that_exists_is_a_file(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, '{"response": "this one"}\n')
    for other in ("run1.ndjson", "whatever.ndjson", "whom.ndjson", "a.ndjson"):
        put(tmp_path / other, '{"response": "another"}\n')
    assert answers(tmp_path / name) == ["this one"]


@pytest.mark.parametrize("suffix", ["xlsx", "xls", "ods"])
def test_spreadsheets_are_refused_with_the_way_out(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / f"book.{suffix}", b"PK\x03\x04")
    with pytest.raises(SourceError, match="CSV UTF-8"):
        read(tmp_path / f"book.{suffix}")


# ---- pipes ----


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]


def parquet() -> bytes:
    sink = io.BytesIO()
    pl.DataFrame(ROWS).write_parquet(sink)
    return sink.getvalue()


def arrow(write: Callable[[pl.DataFrame, io.BytesIO], None]) -> bytes:
    sink = io.BytesIO()
    write(pl.DataFrame(ROWS), sink)
    return sink.getvalue()


PIPED = {
    "ndjson": LINES,
    "array": json.dumps(ROWS).encode(),
    "gz": gzip.compress(LINES),
    "zst": zstandard(LINES),
    "csv": pl.DataFrame(ROWS).write_csv().encode(),
    "semicolons": pl.DataFrame(ROWS).write_csv(separator=";").encode(),
    "utf-16": LINES.decode().encode("utf-16"),
    "parquet": parquet(),
    "arrow file": arrow(pl.DataFrame.write_ipc),
    "arrow stream": arrow(pl.DataFrame.write_ipc_stream),
}


@pytest.mark.parametrize("kind", PIPED)
def test_standard_input_is_told_by_its_content(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin(PIPED[kind]))
    good, bad, reader = read("-")
    assert [row.response for row in good] == ANSWERS
    assert not bad
    assert [share.source for share in reader.shares] == ["standard input"]


def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(LINES),))
    writer.start()
    assert answers(path) == ANSWERS
    writer.join()


def test_an_archive_needs_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin(b"PK\x03\x04..."))
    with pytest.raises(SourceError, match="standard input: a zip archive or a spreadsheet"):
        read("-")


# ---- encodings ----


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["ndjson", "json", "csv"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str, kind: str) -> None:
    texts = ["Grüße, 日本語 🌊", "ÿ"]
    text = {
        "ndjson": "".join(json.dumps({"response": item}, ensure_ascii=False) + "\r\n" for item in texts),
        "json": json.dumps([{"response": item} for item in texts], ensure_ascii=False),
        "csv": "response\r\n" + "".join(f'"{item}"\r\n' for item in texts),
    }[kind]
    put(tmp_path / f"rows.{kind}", text.encode(encoding))
    assert answers(tmp_path / f"rows.{kind}") == texts
    # What is named counts where nothing is marked.
    assert answers(tmp_path / f"rows.{kind}", encoding="latin-1") == texts


def test_other_encodings_are_named(tmp_path: Path) -> None:
    put(tmp_path / "rows.csv", "response;model\nGrüße aus Köln;é\n".encode("latin-1"))
    (row,) = read(tmp_path / "rows.csv", encoding="latin-1")[0]
    assert (row.response, row.model) == ("Grüße aus Köln", "é")
    put(tmp_path / "rows.ndjson", '{"response": "Grüße"}\n'.encode("utf-16-le"))
    with pytest.raises(SourceError, match="--encoding utf-16-le"):
        read(tmp_path / "rows.ndjson")
    assert answers(tmp_path / "rows.ndjson", encoding="utf-16-le") == ["Grüße"]
    with pytest.raises(InvalidArgumentError, match="unknown encoding 'latin-17'"):
        read(tmp_path / "rows.ndjson", encoding="latin-17")


def test_bytes_that_an_encoding_lacks_cost_their_row(tmp_path: Path) -> None:
    put(tmp_path / "rows.ndjson", b'{"response": "one"}\n{"response": "\x81"}\n{"response": "\x80"}\n')
    good, bad, _ = read(tmp_path / "rows.ndjson", encoding="cp1252")
    assert [row.response for row in good] == ["one", "€"]
    assert bad == [(2, "INVALID_UTF8")]
    lone = '{"response": "one"}\n{"response": "\ud83d"}\n{"response": "two"}\n'
    put(tmp_path / "rows.ndjson", b"\xff\xfe" + lone.encode("utf-16-le", "surrogatepass"))
    good, bad, _ = read(tmp_path / "rows.ndjson")
    assert [row.response for row in good] == ["one", "two"]
    assert bad == [(2, "INVALID_UTF8")]


# ---- names ----


def test_a_file_whose_name_says_nothing_is_told_by_its_content(tmp_path: Path) -> None:
    for place, data in enumerate((LINES, gzip.compress(LINES), parquet(), json.dumps(ROWS).encode())):
        put(tmp_path / f"blob{place}", data)
        good, bad, reader = read(tmp_path / f"blob{place}")
        assert [row.response for row in good] == ANSWERS
        assert not bad
        assert reader.fraction == 1.0
    put(tmp_path / "notes.txt", "some notes")
    with pytest.raises(SourceError, match="unknown kind of file"):
        read(tmp_path / "notes.txt")


def test_a_pattern_passes_over_what_it_fits_by_chance(tmp_path: Path) -> None:
    put(tmp_path / "rows.ndjson", LINES)
    put(tmp_path / "README.md", "none")
    put(tmp_path / "dataset_info.json", "{}")
    good, _, reader = read(tmp_path / "*")
    assert [row.response for row in good] == ANSWERS
    assert "README.md, dataset_info.json" in reader.notes[0]
    with pytest.raises(SourceError, match="unknown kind of file"):
        read(tmp_path / "*.md")


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    put(tmp_path / "rows.ndjson", LINES)
    (tmp_path / "more.ndjson").symlink_to(tmp_path / "away.ndjson")
    assert "more.ndjson (a link to nothing)" in read(tmp_path)[2].notes[0]
