"""What is acknowledged is on the disk before, and a torn marker leaves the one before it."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from flushes import recorded_steps
from kinprint.server.store import durability
from kinprint.server.store.durability import MARKER_NAME, Marker, read_marker, write_marker
from kinprint.server.store.record import Record

SLOT = 4096


def append(record: Record, number: int) -> None:
    record.append(pl.DataFrame({"id": [f"r{number}"], "seq": [number], "op": [0], "response": ["text"]}))


def slots(table: Path) -> list[int | None]:
    """The version in each slot of the marker."""
    content = (table / MARKER_NAME).read_bytes()
    assert len(content) == 2 * SLOT
    lines = [content[start : start + SLOT].partition(b"\n")[0] for start in (0, SLOT)]
    return [json.loads(line)["version"] if line.startswith(b"{") else None for line in lines]


def tear(table: Path, version: int) -> None:
    """Leave half of the slot that holds a version."""
    content = bytearray((table / MARKER_NAME).read_bytes())
    start = slots(table).index(version) * SLOT
    content[start + 40 : start + SLOT] = bytes(SLOT - 40)
    (table / MARKER_NAME).write_bytes(content)


@pytest.mark.parametrize("versions", [(0, 1, 2, 3), (1, 3), (2, 4), (1, 3, 4), (2, 4, 5, 7, 9, 10), (1, 3, 5, 6)])
def test_a_torn_marker_leaves_the_one_before_it(tmp_path: Path, versions: tuple[int, ...]) -> None:
    """Versions jump where a start takes over several, or maintenance made some."""
    write_marker(tmp_path, Marker(versions[0], "e"))
    for before, version in pairwise(versions):
        write_marker(tmp_path, Marker(version, "e"))
        assert read_marker(tmp_path) == Marker(version, "e")
        whole = (tmp_path / MARKER_NAME).read_bytes()
        tear(tmp_path, version)
        assert read_marker(tmp_path) == Marker(before, "e")
        (tmp_path / MARKER_NAME).write_bytes(whole)


def test_a_marker_is_flushed_and_so_is_its_name(tmp_path: Path) -> None:
    with recorded_steps() as steps:
        write_marker(tmp_path, Marker(0, "e"))
    marker = tmp_path / MARKER_NAME
    assert steps.place("flush", marker) > steps.last("write", marker)
    assert steps.place("flush", tmp_path) > steps.place("flush", marker)
    with recorded_steps() as steps:
        write_marker(tmp_path, Marker(1, "e"))
    assert [step.kind for step in steps] == ["write", "flush"]


def test_a_marker_that_says_something_else_than_its_check_is_none(tmp_path: Path) -> None:
    write_marker(tmp_path, Marker(4, "e"))
    path = tmp_path / MARKER_NAME
    for field, other in (("4", "5"), ('"e"', '"f"'), ('"format": "1"', '"format": "2"')):
        write_marker(tmp_path, Marker(4, "e"))
        content = path.read_bytes()
        assert field.encode() in content
        path.write_bytes(content.replace(field.encode(), other.encode(), 1))
        assert read_marker(tmp_path) is None
        path.unlink()


def test_versions_taken_over_at_a_start_are_durable_before_they_are_marked(tmp_path: Path) -> None:
    table = tmp_path / "record"
    record = Record.create(table)
    append(record, 1)
    kept = (table / MARKER_NAME).read_bytes()
    append(record, 2)
    append(record, 3)
    (table / MARKER_NAME).write_bytes(kept)  # as after a kill between the commit and its acknowledgement
    files = [durability.data_file(table, name) for v in (2, 3) for name in durability.read_entry(table, v).added]
    assert len(files) == 2
    with recorded_steps() as steps:
        assert Record.open(table).version == 3
    marked = steps.place("write", table / MARKER_NAME)
    entries = [durability.entry_path(table, version) for version in (2, 3)]
    for path in (*files, *entries, table, durability.log_directory(table)):
        assert steps.place("flush", path) < marked, path
    assert steps.place("flush", table / MARKER_NAME) > marked


def test_a_new_record_is_durable_to_the_folder_that_was_there(tmp_path: Path) -> None:
    table = tmp_path / "a" / "b" / "record"
    with recorded_steps() as steps:
        Record.create(table)
    marked = steps.place("write", table / MARKER_NAME)
    log = durability.log_directory(table)
    for path in (durability.entry_path(table, 0), log, table, table.parent, table.parent.parent, tmp_path):
        assert steps.place("flush", path) < marked, path
    assert tmp_path.parent not in steps.of("flush")


def test_a_checkpoint_is_durable_with_the_hint_that_names_it(tmp_path: Path) -> None:
    table = tmp_path / "record"
    record = Record.create(table)
    append(record, 1)
    with recorded_steps() as steps:
        record._make_checkpoint(1)
    log = durability.log_directory(table)
    folder = steps.last("flush", log)
    for path in (durability.checkpoints(table)[1], log / "_last_checkpoint"):
        assert steps.place("flush", path) < folder


def test_what_is_quarantined_is_moved_durably(tmp_path: Path) -> None:
    table = tmp_path / "record"
    record = Record.create(table)
    kept = (table / MARKER_NAME).read_bytes()
    append(record, 1)
    append(record, 2)
    (table / MARKER_NAME).write_bytes(kept)
    durability.entry_path(table, 1).write_bytes(b"")
    with recorded_steps() as steps:
        report = durability.guard(table)
    place = durability.quarantine_directory(table)
    assert report.version == 0
    assert steps.of("rename") == list(report.quarantined)
    # The newest goes first: a crash in the middle leaves a log without a hole.
    names = [path.name.split("-", 1)[1] for path in report.quarantined if path.suffix == ".json"]
    assert names == [f"{2:020d}.json", f"{1:020d}.json"]
    for number, step in enumerate(steps):
        if step.kind == "rename":
            came_from = durability.log_directory(table) if step.path.suffix == ".json" else table
            assert came_from in (after.path for after in steps[number + 1 :] if after.kind == "flush")
    assert steps.last("flush", place) > steps.last("rename", report.quarantined[-1])
    assert steps.last("flush", table) > steps.last("rename", report.quarantined[-1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \0\n",
        b"{",
        b"[]",
        b"{}",
        b"3",
        b'{"other": {}}',
        b'{"add": {"path": "a", "size": 1}, "other": {}}',
        b'{"add": {"path": "a"}}',
        b'{"add": {"size": 1}}',
        b'{"add": {"path": "a", "size": null}}',
        b'{"add": []}',
        b'{"add": null}',
        b'{"remove": {}}',
        b'{"remove": []}',
        b'{"metaData": 3}',
        b'{"add": {"path": "a", "size": 1, "deletionVector": {"x": 1}}}',
    ],
)
def test_a_log_entry_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        durability.parse_entry(3, content)


def test_a_log_entry_is_read_line_by_line() -> None:
    lines = (
        {"commitInfo": {}},
        {"metaData": {"configuration": {"kinprint.format": "1"}}},
        {"add": {"path": "a%20b", "size": 7, "deletionVector": None}},
        {"remove": {"path": "c"}},
        {"add": {"path": "d", "size": "8"}},
    )
    content = b"\n\n".join(json.dumps(line).encode() for line in lines) + b"\n"
    entry = durability.parse_entry(3, content)
    assert (entry.version, entry.added, entry.removed) == (3, {"a%20b": 7, "d": 8}, frozenset("c"))
    assert (entry.format, entry.digest) == ("1", hashlib.sha256(content).hexdigest())
    assert durability.parse_entry(0, b'{"metaData": {}}').format is None
    assert durability.data_file(Path("t"), "a%20b") == Path("t") / "a b"


@pytest.mark.parametrize(
    ("found", "fits"), [("1", True), ("1.9", True), ("0", True), ("2", False), ("x", False), ("", False)]
)
def test_newer_major_formats_are_refused(found: str, fits: bool) -> None:
    if fits:
        durability.check_format(Path("t"), found)
    else:
        with pytest.raises(durability.FormatTooNew, match="newer Kinprint"):
            durability.check_format(Path("t"), found)
