"""The record: what is appended comes back, damage is told from a torn tail, no text leaks into the log."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.server.store import digests, durability
from kinprint.server.store import record as records
from kinprint.server.store.durability import FormatTooNew
from kinprint.server.store.record import (
    DELETE,
    FILL,
    PUT,
    SCHEMA,
    STATISTICS_COLUMNS,
    Record,
    RecordBusy,
    RecordDamaged,
    RecordExists,
    RecordNotFound,
    RecordWriteError,
    SchemaMismatch,
    conform,
)
from polars.testing import assert_frame_equal


def batch(number: int, rows: int = 3, text: str = "some answer") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"{number}-{row}" for row in range(rows)],
            "seq": range(number * 1000, number * 1000 + rows),
            "op": pl.Series([PUT] * rows, dtype=pl.Int8),
            "response": [f"{text} {number} {row}" for row in range(rows)],
            "content_hash": [number.to_bytes(8, "little") + row.to_bytes(8, "little") for row in range(rows)],
        }
    )


def ids(record: Record) -> set[str]:
    return set(record.read(columns=["id"]).collect()["id"])


def entry(path: Path, version: int) -> Path:
    return durability.entry_path(path, version)


def data_file(record: Record, version: int) -> Path:
    (name,) = durability.read_entry(record.path, version).added
    return record.path / name


def unmark(path: Path, version: int) -> None:
    """Set the marker back to ``version``, as if the process had died before it acknowledged more."""
    (path / "_kinprint_synced").unlink()
    durability.write_marker(path, durability.Marker(version, durability.read_entry(path, version).digest))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "corpus" / "record"


def test_all_columns_come_back(table: Path) -> None:
    row = {
        "id": "a",
        "seq": 2**62,
        "op": PUT,
        "model": "m",
        "prompt_key": "k",
        "prompt_id": "p",
        "prompt": "frage",
        "response": "日本語 \0 answer",
        "language": "de",
        "created_at": datetime(2024, 2, 29, 1, 2, 3, 456789, UTC),
        "account_id": "acc",
        "metadata": {"key": "value", "": "empty", "null": None},
        "system_prompt": "s",
        "conversation_id": "c",
        "turn": -1,
        "reasoning": "r",
        "content_hash": bytes(range(16)),
        "pipeline": 7,
        "sketch": bytes(512),
        "text_hash": b"\xff" * 16,
        "shingles": 12,
        "style": b"\x80" * 512,
        "embedding": bytes(4 * 384),
    }
    assert list(row) == list(SCHEMA)
    frame = pl.DataFrame([row, {**row, "id": "b", "metadata": {}}, {"id": "c", "seq": 1, "op": DELETE}], SCHEMA)
    record = Record.create(table)
    commit = record.append(frame)
    assert commit.version == record.version == 1
    assert commit.files == record.snapshot().files
    assert_frame_equal(record.read().collect(), frame)
    assert_frame_equal(record.read().collect(engine="streaming"), frame)
    assert_frame_equal(Record.open(table).read().collect(), frame)
    assert_frame_equal(pl.scan_delta(table).collect(), frame)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.none() | st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_texts_and_metadata_come_back(rows: list[tuple[str, dict[str, str | None] | None]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        record = Record.create(Path(place) / "t")
        frame = pl.DataFrame(
            {
                "id": [str(number) for number in range(len(rows))],
                "seq": range(len(rows)),
                "op": [PUT] * len(rows),
                "prompt": [text for text, _ in rows],
                "metadata": pl.Series([data for _, data in rows], dtype=SCHEMA["metadata"]),
            }
        )
        record.append(frame)
        assert_frame_equal(Record.open(record.path).read().collect(), conform(frame))


def test_empty_record(table: Path) -> None:
    record = Record.create(table)
    snapshot = record.snapshot()
    assert snapshot.version == 0
    assert snapshot.files == ()
    assert record.read().collect().schema == SCHEMA
    assert record.append(pl.DataFrame(schema=SCHEMA)) == (0, ())
    assert Record.open(table).snapshot() == snapshot
    with pytest.raises(RecordExists):
        Record.create(table)


def test_missing_record(table: Path) -> None:
    with pytest.raises(RecordNotFound):
        Record.open(table)
    table.mkdir(parents=True)
    with pytest.raises(RecordNotFound):
        Record.open(table)
    write_deltalake(table, pl.DataFrame({"x": [1]}))
    with pytest.raises(RecordNotFound, match="not a record"):
        Record.open(table)


def test_snapshot_names_versions_files_and_digests(table: Path) -> None:
    record = Record.create(table)
    commits = [record.append(batch(number)) for number in range(4)]
    snapshot = record.snapshot()
    assert sorted(snapshot.files) == sorted(name for commit in commits for name in commit.files)
    assert snapshot.entry_digest == record.entry_digest(4)
    assert record.entry_digest(5) is None
    assert record.entry_digest(-1) is None
    assert len({record.entry_digest(version) for version in range(5)}) == 5
    again = Record.open(table)
    assert set(again.snapshot().files) == set(snapshot.files)
    assert again.snapshot().entry_digest == snapshot.entry_digest
    part = again.read(files=commits[2].files, columns=["response", "id"]).collect()
    assert part.columns == ["response", "id"]
    assert part["id"].to_list() == ["2-0", "2-1", "2-2"]
    with pytest.raises(SchemaMismatch):
        record.read(columns=["nope"])


def test_checkpoints_are_made_and_the_table_stays_readable(table: Path) -> None:
    record = Record.create(table)
    for number in range(51):
        record.append(batch(number, rows=1))
    assert list(durability.checkpoints(table)) == [50]
    assert len(ids(Record.open(table))) == 51
    assert pl.scan_delta(table).select(pl.len()).collect().item() == 51


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        ({"id": ["a"], "seq": [1]}, "op is missing"),
        ({"id": ["a"], "seq": [1], "op": [3]}, "op is neither"),
        ({"id": [None], "seq": [1], "op": [0]}, "null"),
        ({"id": ["a"], "seq": [1], "op": [0], "extra": [1]}, "extra"),
        ({"id": ["a"], "seq": [1], "op": [0], "response": [b"x"]}, "response"),
        ({"id": ["a"], "seq": [1], "op": [0], "content_hash": [b"x"]}, "16 bytes"),
        ({"id": ["a"], "seq": [1], "op": [300]}, "fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused(table: Path, frame: dict[str, list[object]], what: str) -> None:
    record = Record.create(table)
    with pytest.raises(SchemaMismatch, match=what):
        record.append(pl.DataFrame(frame))
    assert record.version == 0
    assert Record.open(table).version == 0


def test_files_of_later_and_earlier_schemas_can_be_read(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    later = batch(2).with_columns(pl.lit(1.5).alias("perplexity"))
    write_deltalake(table, later, mode="append", schema_mode="merge")
    fields = DeltaTable(table).schema().fields
    assert len(fields) == len(SCHEMA) + 1
    record.refresh()
    rows = record.read().sort("seq").collect()
    assert rows.columns == list(SCHEMA)
    assert rows["id"].to_list() == ["1-0", "1-1", "1-2", "2-0", "2-1", "2-2"]
    record.append(batch(3))
    assert len(ids(Record.open(table))) == 9


def test_newer_formats_are_refused_before_anything_is_touched(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    content = entry(table, 0).read_text()
    name = durability.relative(table, entry(table, 0))
    entry(table, 0).write_text(content.replace('"kinprint.format":"1"', '"kinprint.format":"2"'))
    digests.note(table, [name])
    entry(table, 2).write_bytes(b"")  # a torn tail, which must stay where it is
    with pytest.raises(FormatTooNew) as caught:
        Record.open(table)
    assert caught.value.found == "2"
    assert caught.value.supported == "1"
    assert "2" in str(caught.value)
    assert entry(table, 2).exists()
    entry(table, 0).write_text(content.replace('"kinprint.format":"1"', '"kinprint.format":"1.9"'))
    digests.note(table, [name])
    assert Record.open(table).version == 1  # minor versions are compatible


def test_statistics_stay_with_the_named_columns(table: Path) -> None:
    record = Record.create(table)
    record.append(
        batch(1, text="SECRETANSWER").with_columns(
            pl.lit("SECRETPROMPT").alias("prompt"),
            pl.lit("SECRETACCOUNT").alias("account_id"),
            pl.Series("metadata", [{"SECRETKEY": "SECRETVALUE"}] * 3, dtype=SCHEMA["metadata"]),
        )
    )
    record._make_checkpoint(1)
    for file in (table / "_delta_log").iterdir():
        text = str(pl.read_parquet(file).to_dicts()) if file.suffix == ".parquet" else file.read_text()
        assert "SECRET" not in text
    action = json.loads(entry(table, 1).read_text().splitlines()[-1])
    assert set(json.loads(action["add"]["stats"])["minValues"]) <= set(STATISTICS_COLUMNS)
    with pq.ParquetFile(data_file(record, 1)) as parquet:
        group = parquet.metadata.row_group(0)
        for number in range(group.num_columns):
            column = group.column(number)
            named = column.path_in_schema in STATISTICS_COLUMNS
            assert named or column.statistics is None or not column.statistics.has_min_max
            assert column.compression == "ZSTD"
        footer = parquet.metadata.serialized_size
    assert b"SECRET" not in data_file(record, 1).read_bytes()[-footer:]


@pytest.mark.parametrize("damage", ["empty", "half", "zeros", "garbage"])
def test_torn_unacknowledged_entry_is_quarantined(table: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    record = Record.create(table)
    record.append(batch(1))
    record.append(batch(2))
    record.append(batch(3))
    content = entry(table, 2).read_bytes()
    torn = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "zeros": b"\0" * len(content),
        "garbage": b"{]\n",
    }
    entry(table, 2).write_bytes(torn[damage])
    unmark(table, 1)
    with caplog.at_level(logging.WARNING):
        opened = Record.open(table)
    assert opened.version == 1
    assert ids(opened) == {"1-0", "1-1", "1-2"}
    quarantined = sorted(path.name.split("-", 1)[1] for path in (table / "_quarantine").iterdir())
    assert f"{2:020d}.json" in quarantined
    assert f"{3:020d}.json" in quarantined
    assert "unacknowledged version 2" in caplog.text
    opened.append(batch(4))
    assert ids(Record.open(table)) == {"1-0", "1-1", "1-2", "4-0", "4-1", "4-2"}
    assert pl.scan_delta(table).select(pl.len()).collect().item() == 6


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros", "middle"])
def test_torn_unacknowledged_data_is_quarantined(table: Path, damage: str) -> None:
    record = Record.create(table)
    record.append(batch(1))
    record.append(batch(2, rows=500))
    path = data_file(record, 2)
    damage_file(path, damage)
    unmark(table, 1)
    opened = Record.open(table)
    assert opened.version == 1
    assert not path.exists()
    assert ids(opened) == {"1-0", "1-1", "1-2"}
    opened.append(batch(3))
    assert len(ids(Record.open(table))) == 6


def damage_file(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
        return
    middle = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "half": content[:middle],
            "zeros": b"\0" * len(content),
            "middle": content[: middle - 500] + b"\0" * 1000 + content[middle + 500 :],
        }[damage]
    )


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("which", ["entry", "data"])
def test_damaged_acknowledged_version_refuses_to_open(table: Path, damage: str, version: int, which: str) -> None:
    record = Record.create(table)
    for number in range(1, 4):
        record.append(batch(number))
    path = entry(table, version) if which == "entry" else data_file(record, version)
    damage_file(path, damage)
    files = sorted(str(file) for file in table.rglob("*"))
    with pytest.raises(RecordDamaged) as caught:
        Record.open(table)
    assert caught.value.file == path
    assert str(path) in str(caught.value)
    assert "Restore" in str(caught.value)
    assert sorted(str(file) for file in table.rglob("*")) == files


def test_replaced_acknowledged_entry_refuses_to_open(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    entry(table, 1).write_bytes(entry(table, 1).read_bytes().replace(b"WRITE", b"WROTE"))
    with pytest.raises(RecordDamaged, match="acknowledged"):
        Record.open(table)


def test_older_marker_adopts_intact_versions(table: Path) -> None:
    record = Record.create(table)
    for number in range(1, 6):
        record.append(batch(number))
    unmark(table, 2)
    opened = Record.open(table)
    assert opened.version == 5
    assert len(ids(opened)) == 15
    marker = durability.read_marker(table)
    assert marker is not None
    assert marker.version == 5
    assert not (table / "_quarantine").exists()


def test_lost_marker(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    (table / "_kinprint_synced").unlink()
    assert Record.open(table).version == 1  # all intact: taken as it is
    (table / "_kinprint_synced").write_bytes(b"\0" * 8192)
    entry(table, 1).write_bytes(b"")
    with pytest.raises(RecordDamaged, match="marker"):
        Record.open(table)
    assert entry(table, 1).exists()


def test_torn_marker_slot_falls_back_to_the_other(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    record.append(batch(2))
    marker = table / "_kinprint_synced"
    content = bytearray(marker.read_bytes())
    assert len(content) == 8192
    content[40:4096] = b"\0" * 4056  # version 2 is in slot 0
    marker.write_bytes(content)
    found = durability.read_marker(table)
    assert found is not None
    assert found.version == 1
    assert Record.open(table).version == 2


def test_torn_checkpoint_is_quarantined_when_the_log_is_whole(table: Path) -> None:
    record = Record.create(table)
    for number in range(52):
        record.append(batch(number, rows=1))
    path = durability.checkpoints(table)[50]
    path.write_bytes(path.read_bytes()[:100])
    opened = Record.open(table)
    assert opened.version == 52
    assert len(ids(opened)) == 52
    assert not path.exists()
    opened.append(batch(52))
    assert Record.open(table).version == 53


def test_torn_creation_starts_anew(table: Path) -> None:
    Record.create(table)
    (table / "_kinprint_synced").unlink()
    entry(table, 0).write_bytes(b"")
    with pytest.raises(RecordNotFound):
        Record.open(table)
    record = Record.create(table)
    record.append(batch(1))
    assert Record.open(table).version == 1


def test_readers_and_a_writer_together(table: Path) -> None:
    record = Record.create(table)
    failures: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            snapshot = record.snapshot()
            rows = record.read(snapshot.files, ["id"]).collect().height
            if rows != 3 * snapshot.version or record.entry_digest(snapshot.version) != snapshot.entry_digest:
                failures.append(f"{rows} rows at version {snapshot.version}")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        record.append(batch(number))
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert record.version == 30


FULL = """
import resource, signal, sys
import polars as pl
from kinprint.server.store.record import Record, RecordWriteError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
record = Record.open(sys.argv[1])
noise = [__import__("random").Random(n).randbytes(3000).hex() for n in range(200)]
ids = [f"big{n}" for n in range(200)]
big = pl.DataFrame({"id": ids, "seq": range(200), "op": [0] * 200, "response": noise})
small = pl.DataFrame({"id": ["small"], "seq": [1], "op": [0]})
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in (100, 9000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        record.append(big)
    except RecordWriteError as error:
        print("refused", str(error)[:60].replace(chr(10), " "))
    assert record.read(columns=["id"]).collect().height == 3
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
record.append(small)
record.append(big)
assert record.read(columns=["id"]).collect().height == 204
"""


def test_failed_write_is_told_and_leaves_the_table_usable(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(table)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") == 3, done.stdout
    opened = Record.open(table)
    assert opened.version == 3
    assert len(ids(opened)) == 204
    active = set(opened.snapshot().files)
    assert {path.name for path in table.iterdir() if not path.name.startswith("_")} == active


@pytest.mark.parametrize("failing", range(1, 6))
def test_failed_flush_is_never_acknowledged(table: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    record = Record.create(table)
    record.append(batch(1))
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(RecordWriteError):
            record.append(batch(2))
    # Only the fifth, that of the marker, comes after the rows are durable: they stay then.
    assert record.version == (2 if failing == 5 else 1)
    assert len(ids(record)) == 3 * record.version
    assert pl.scan_delta(table).select(pl.len()).collect().item() == 3 * record.version
    record.append(batch(3))
    assert len(ids(record)) == len(ids(Record.open(table))) == (9 if failing == 5 else 6)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tiny"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this system does not allow mounts")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk(tiny_disk: Path) -> None:
    record = Record.create(tiny_disk / "t")
    noise = os.urandom(400_000).hex()
    kept = 0

    def fill_the_disk() -> None:
        nonlocal kept
        for number in range(50):
            record.append(batch(number, rows=1).with_columns(pl.lit(noise).alias("prompt")))
            kept += 1

    with pytest.raises(RecordWriteError):
        fill_the_disk()
    assert 0 < kept < 50
    assert len(ids(record)) == kept
    assert record.version == kept
    ballast = [path for path in (tiny_disk / "t").iterdir() if path.name.startswith("part-")]
    assert len(ballast) == kept  # nothing half-written is left to keep the disk full
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    record.append(batch(99))
    opened = Record.open(tiny_disk / "t")
    assert len(ids(opened)) == kept + 3


def test_fill_rows_carry_channels_only(table: Path) -> None:
    record = Record.create(table)
    record.append(batch(1, rows=1))
    record.append(
        pl.DataFrame(
            {
                "id": ["1-0"],
                "seq": [5000],
                "op": [FILL],
                "content_hash": [batch(1, rows=1)["content_hash"][0]],
                "embedding": [bytes(16)],
            }
        )
    )
    rows = record.read().sort("seq").collect()
    assert rows["op"].to_list() == [PUT, FILL]
    assert rows["embedding"].to_list() == [None, bytes(16)]
    assert rows["response"].to_list()[1] is None


def test_refresh_keeps_maintenance_out(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of a process which outlived the one that started it."""
    opened = Record.create(table)
    opened.append(batch(1))
    looked = 0

    def recover(path: Path) -> Any:
        nonlocal looked
        looked += 1
        with pytest.raises(RecordBusy), records.maintenance_lock(path, patience_s=0.0):
            pass
        return real(path)

    real = records.recover
    monkeypatch.setattr(records, "recover", recover)
    assert opened.refresh().version == 1
    with opened.exclusive():
        pass
    assert Record.open(table).version == 1
    assert looked == 3
    with records.maintenance_lock(table, patience_s=0.0):
        pass  # and it is given back


def test_a_failed_append_takes_away_what_it_left_and_nothing_else(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the table lie files that an older generation is built from, and the table's own files are as fresh."""
    opened = Record.create(table)
    opened.append(batch(1))
    active = data_file(opened, 1)
    kept, other = table / "part-00000-kept-c000.zstd.parquet", table / "other.parquet"
    for path in (kept, other):
        path.write_bytes(b"PAR1 kept")
    os.utime(kept, (0, time.time() - 10))
    later = time.time() + 60
    for path in (active, other):
        os.utime(path, (later, later))
    before = {path.name for path in table.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(durability, "fsync_file", fail)
        with pytest.raises(RecordWriteError):
            opened.append(batch(2))
    assert {path.name for path in table.iterdir()} == before
    assert not entry(table, 2).exists()
    assert ids(Record.open(table)) == {"1-0", "1-1", "1-2"}
