"""Every recognised form in every container that can hold it: the same transcripts, wherever rows stand."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kinprint.client.files.reader import FileReader
from kinprint.client.files.rows import RowError

SAMPLES = Path(__file__).parent.parent / "data" / "shapes"
FORMS = sorted(path.name for path in SAMPLES.iterdir() if path.suffix != ".csv")


def read(path: Path) -> tuple[list[Any], list[str]]:
    """Transcripts or reasons, and the presets that were recognised."""
    reader = FileReader([path])
    items = [row.item.reason if isinstance(row.item, RowError) else row.item for row in reader]
    return items, list(reader.mapper.account.presets)


def rows_of(name: str) -> list[Any]:
    text = (SAMPLES / name).read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        found: list[Any] = json.loads(text)
        return found
    return [json.loads(line) for line in text.splitlines()]


def zipped(rows: list[Any]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("export/conversations.json", json.dumps(rows))
        archive.writestr("export/user.json", '{"name": "somebody"}')
    return sink.getvalue()


CONTAINERS: dict[str, Callable[[list[Any]], bytes]] = {
    "lines.jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "array.json": lambda rows: json.dumps(rows).encode(),
    "indented.json": lambda rows: json.dumps(rows, indent=2).encode(),
    "objects.json": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows).encode(),
    "list.json": lambda rows: json.dumps({"object": "list", "data": rows, "has_more": False}).encode(),
    "array.json.gz": lambda rows: gzip.compress(json.dumps(rows).encode()),
    "array.zip": zipped,
    "utf-16.json": lambda rows: json.dumps(rows, ensure_ascii=False).encode("utf-16"),
}


@pytest.mark.parametrize("name", FORMS)
def test_rows_are_the_same_in_every_container(tmp_path: Path, name: str) -> None:
    rows = rows_of(name)
    expected = read(SAMPLES / name)
    for container, pack in CONTAINERS.items():
        path = tmp_path / container
        path.write_bytes(pack(rows))
        assert read(path) == expected, container


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_row_alone_is_a_row(tmp_path: Path, name: str, indent: int | None) -> None:
    line, document = tmp_path / "row.jsonl", tmp_path / "row.json"
    for row in rows_of(name):
        # Two lines are lines, whatever the second one is.
        line.write_text(json.dumps(row) + "\n{\n")
        document.write_text(json.dumps(row, indent=indent))
        try:
            expected = [item for item in read(line)[0] if item != "INVALID_JSON"]
        except Exception as error:
            with pytest.raises(type(error)):
                read(document)
            continue
        assert read(document)[0] == expected
