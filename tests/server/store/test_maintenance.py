"""Compaction keeps every row, erasure leaves no trace of what it erased, and both survive a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from flushes import Step, recorded_steps
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.server.failures import MaintenanceFailed
from kinprint.server.store import durability, maintenance
from kinprint.server.store.lock import DirectoryLock
from kinprint.server.store.maintenance import (
    compact,
    erase_superseded,
    purge,
    run_compact,
    run_purge,
)
from kinprint.server.store.record import DELETE, FILL, PUT, SCHEMA, Record, RecordBusy, maintenance_lock


def rows(*given_rows: tuple[str, int, int, str | None]) -> pl.DataFrame:
    """Rows from (id, seq, op, text); the hash follows from the text."""
    return pl.DataFrame(
        {
            "id": [row[0] for row in given_rows],
            "seq": [row[1] for row in given_rows],
            "op": pl.Series([row[2] for row in given_rows], dtype=pl.Int8),
            "response": [None if row[2] != PUT else row[3] for row in given_rows],
            "reasoning": [row[3] if row[2] == FILL else None for row in given_rows],
            "content_hash": [None if row[3] is None else row[3].encode().ljust(16)[:16] for row in given_rows],
        },
        schema_overrides={"response": pl.String, "reasoning": pl.String, "content_hash": pl.Binary},
    )


def contents(record: Record) -> list[tuple[str, int, int]]:
    return sorted(record.read(columns=["id", "seq", "op"]).collect().rows())


def traces(table: Path, words: set[str]) -> list[str]:
    """Files under ``table`` in which one of ``words`` occurs, Parquet decoded, others as bytes."""
    found = []
    for file in table.rglob("*"):
        if not file.is_file():
            continue
        text = file.read_bytes().decode("utf-8", "replace")
        if text.startswith("PAR1") and file.suffix == ".parquet":
            text += repr(pl.read_parquet(file).to_dicts())
        if any(word in text for word in words):
            found.append(str(file))
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "record"


def filled(table: Path, batches: int = 12) -> Record:
    record = Record.create(table)
    for number in range(batches):
        record.append(rows((f"a{number}", 2 * number, PUT, f"text{number:03}a"), ("b", 2 * number + 1, PUT, "bb")))
    return record


def test_compact_merges_small_files_and_keeps_rows(table: Path) -> None:
    record = filled(table)
    before = contents(record)
    assert compact(table, small_files=12).removed == 12  # only log entries
    record.refresh()
    assert len(record.snapshot().files) == 12
    done = compact(table, small_files=11)
    snapshot = record.refresh()
    assert snapshot == done.snapshot
    assert len(snapshot.files) == 1
    assert contents(record) == before
    assert contents(Record.open(table)) == before
    assert pl.scan_delta(table).select(pl.len()).collect().item() == 24
    parquet = [path.name for path in table.iterdir() if path.suffix == ".parquet"]
    assert parquet == list(snapshot.files)
    assert list(durability.entries(table)) == [snapshot.version]
    record.append(rows(("c", 100, PUT, "c")))
    assert len(contents(Record.open(table))) == 25


def test_compact_keeps_files_and_entries_that_are_still_read(table: Path) -> None:
    record = filled(table)
    old = record.snapshot()
    digests = {version: record.entry_digest(version) for version in (7, 12)}
    lazy = record.read(old.files[:5])
    compact(table, old.files[:5], [7, 12], small_files=3)
    record.refresh()
    assert lazy.collect().height == 10
    assert {version: record.entry_digest(version) for version in (7, 12)} == digests
    assert record.entry_digest(6) is None
    assert Record.open(table).version == record.version
    compact(table)
    with pytest.raises((OSError, pl.exceptions.PolarsError)):
        lazy.collect()
    assert record.entry_digest(7) is None


def test_compact_removes_left_overs_of_failed_appends(table: Path) -> None:
    filled(table)
    stray = table / "part-00000-lost-c000.zstd.parquet"
    half = table / "part-00000-half-c000.zstd.parquet#1"
    stray.write_bytes(b"PAR1 lost")
    half.write_bytes(b"PAR1 half")
    compact(table)
    assert not stray.exists()
    assert not half.exists()
    assert len(contents(Record.open(table))) == 24


def test_purge_of_ids_leaves_no_trace(table: Path) -> None:
    record = filled(table)
    record.append(
        rows(
            ("SECRETID", 100, PUT, "SECRETOLD"),
            ("SECRETID", 101, PUT, "SECRETNEW"),
            ("SECRETID", 102, FILL, "SECRETNEW"),
            ("zz", 103, PUT, "stays"),
        )
    )
    record.append(rows(("SECRETID", 110, DELETE, None)))
    quarantine = durability.quarantine_directory(table)
    quarantine.mkdir()
    (quarantine / "20240101-part.parquet").write_bytes(b"SECRETOLD")
    (table / "part-00000-x.parquet#1").write_bytes(b"SECRETOLD")
    compact(table, record.snapshot().files)  # several generations of files and log entries
    record.refresh()
    assert traces(table, {"SECRETID", "SECRETOLD", "SECRETNEW"})
    before = [row for row in contents(record) if row[0] != "SECRETID"]
    done = purge(table, ["SECRETID", "not there"])
    assert done.erased == 4
    record.refresh()
    assert contents(record) == before
    assert traces(table, {"SECRET"}) == []
    assert contents(Record.open(table)) == before
    assert "stays" in record.read(columns=["response"]).collect()["response"].to_list()
    assert purge(table, ["SECRETID"]).erased == 0
    record.refresh()
    record.append(rows(("SECRETID", 200, PUT, "back")))
    assert len(contents(Record.open(table))) == len(before) + 1


def test_purge_of_everything_leaves_an_empty_table(table: Path) -> None:
    record = filled(table)
    done = purge(table, predicate="seq >= 0")
    assert done.erased == 24
    assert done.snapshot.files == ()
    record.refresh()
    assert record.read().collect().is_empty()
    record.append(rows(("a", 1, PUT, "x")))
    assert contents(Record.open(table)) == [("a", 1, PUT)]


def test_purge_by_predicate_does_not_bring_older_rows_back(table: Path) -> None:
    record = Record.create(table)
    record.append(rows(("a", 1, PUT, "old"), ("b", 2, PUT, "BAD"), ("c", 3, PUT, "BAD"), ("d", 4, PUT, "fine")))
    record.append(rows(("a", 5, PUT, "BAD"), ("b", 6, PUT, "new"), ("b", 7, FILL, "new"), ("b", 8, FILL, "BAD")))
    record.append(rows(("c", 9, FILL, "BAD"), ("d", 10, FILL, "fine")))
    done = purge(table, predicate="response = 'BAD'")
    record.refresh()
    assert contents(record) == [("b", 6, PUT), ("b", 7, FILL), ("d", 4, PUT), ("d", 10, FILL)]
    assert done.erased == 6
    assert traces(table, {"BAD", "response ="}) == []


@pytest.mark.parametrize("predicate", ["nonsense ===", "no_such_column = 1", "seq"])
def test_purge_refuses_what_is_no_condition(table: Path, predicate: str) -> None:
    record = filled(table, 2)
    with pytest.raises(ValueError, match="condition"):
        purge(table, predicate=predicate)
    assert Record.open(table).snapshot() == record.snapshot()
    with pytest.raises(ValueError, match="both"):
        purge(table)


def surviving(log: list[tuple[str, int, int, str | None]]) -> list[tuple[str, int, int]]:
    """The rule of `erase_superseded`, one id at a time."""
    kept = []
    for name in {row[0] for row in log}:
        heads = [row for row in log if row[0] == name and row[2] != FILL]
        if not heads:
            continue
        head = max(heads, key=lambda row: row[1])
        if head[2] == DELETE:
            continue
        kept.append(head[:3])
        kept += [row[:3] for row in log if row[0] == name and row[2] == FILL and row[3] == head[3]]
    return sorted(kept)


operation = st.tuples(st.sampled_from("abc"), st.sampled_from([PUT, PUT, DELETE, FILL]), st.sampled_from(["x", "y"]))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(operation, min_size=1, max_size=5), min_size=1, max_size=4), st.randoms())
def test_erase_superseded_leaves_what_counts(batches: list[list[tuple[str, int, str]]], chance: random.Random) -> None:
    count = sum(map(len, batches))
    order = list(range(count))
    chance.shuffle(order)  # rows need not arrive in the order of seq
    sequence = iter(order)
    log: list[tuple[str, int, int, str | None]] = []
    with tempfile.TemporaryDirectory() as place:
        record = Record.create(Path(place) / "t")
        for batch in batches:
            part = [(name, next(sequence), op, None if op == DELETE else text) for name, op, text in batch]
            log += part
            record.append(rows(*part))
        done = erase_superseded(record.path)
        record.refresh()
        assert contents(record) == surviving(log)
        assert done.erased == count - len(contents(record))


def test_run_compact_and_run_purge_take_over_the_new_version(table: Path) -> None:
    record = filled(table)
    snapshot = run_compact(record, small_files=5)
    assert record.snapshot() == snapshot
    assert len(snapshot.files) == 1
    record.append(rows(("c", 100, PUT, "SECRET"), ("line\nbreak", 101, PUT, "SECRET")))
    snapshot = run_purge(record, ["c", "line\nbreak"])
    assert record.snapshot() == snapshot
    assert traces(table, {"SECRET"}) == []
    run_purge(table)  # by path: only the newest "b" stays
    record.refresh()
    assert len(contents(record)) == 13


def test_failed_maintenance_says_why_and_leaves_the_record_open(table: Path) -> None:
    record = filled(table, 3)
    with pytest.raises(MaintenanceFailed, match="condition"):
        run_purge(record, predicate="no_such_column = 1")
    record.append(rows(("c", 100, PUT, "c")))
    assert len(contents(record)) == 7


def test_command_line(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(table)
    assert maintenance.main(["compact", str(table), "--small-files", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 1
    listed = tmp_path / "ids"
    listed.write_text("a1\na2\n")
    assert maintenance.main(["purge", str(table), "--ids-from", str(listed)]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == 2
    assert maintenance.main(["purge", str(table), "--where", "id = 'a3'"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == 1
    assert maintenance.main(["purge", str(table)]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == 11
    assert len(contents(Record.open(table))) == 10


def test_command_line_refuses_a_directory_that_another_process_holds(tmp_path: Path) -> None:
    table = tmp_path / "corpora" / "c" / "record"
    filled(table, 1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    # A shell in between, so that the holder is not the parent.
    script = f"{sys.executable} -m kinprint.server.store.maintenance compact {table}; exit $?"
    with DirectoryLock(tmp_path):
        done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "held by process" in done.stderr
        run_compact(table)  # its own child may


def test_one_maintenance_at_a_time(table: Path) -> None:
    filled(table, 1)
    with (
        maintenance_lock(table),
        pytest.raises(RecordBusy),
        maintenance_lock(table, patience_s=0.1),
    ):
        pass


@pytest.mark.parametrize("action", ["compact", "purge"])
def test_killed_maintenance_leaves_a_valid_table(table: Path, action: str) -> None:
    record = filled(table, 20)
    before = contents(record)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    code = (
        "import sys\n"
        "from kinprint.server.store import maintenance\n"
        "print('ready', flush=True)\n"
        f"maintenance.{'compact' if action == 'compact' else 'purge'}(sys.argv[1], "
        f"{'small_files=1' if action == 'compact' else '[sys.argv[2]]'})\n"
    )
    chance = random.Random(5)
    gone: set[str] = set()
    for number in range(2):
        victim = f"a{number}"
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(table), victim],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        record = Record.open(table)
        now = contents(record)
        if action == "purge" and victim not in {row[0] for row in now}:
            gone.add(victim)
        assert now == [row for row in before if row[0] not in gone]
        record.append(rows((f"n{number}", 1000 + number, PUT, "new")))
        before = sorted([*before, (f"n{number}", 1000 + number, PUT)])
    purge(table, ["a0", "a1"])
    assert traces(table, {f"text00{number}a" for number in range(2)}) == []
    assert contents(Record.open(table)) == [row for row in before if row[0] not in {f"a{n}" for n in range(2)}]


def test_erased_rows_keep_their_neighbours_columns(table: Path) -> None:
    record = Record.create(table)
    frame = rows(("a", 1, PUT, "x"), ("b", 2, PUT, "y"), ("c", 3, PUT, "z")).with_columns(
        pl.Series("metadata", [{"k": "1"}, None, {"k": None, "l": ""}], dtype=SCHEMA["metadata"]),
        pl.lit(bytes(512)).alias("sketch"),
        pl.datetime(2024, 1, 2, 3, 4, 5, 678, time_zone="UTC").alias("created_at"),
    )
    record.append(frame)
    before = record.read().filter(pl.col("id") != "b").collect()
    purge(table, ["b"])
    record.refresh()
    assert record.read().collect().equals(before)
    assert pl.scan_delta(table).collect().equals(before)


def test_of_rows_with_one_number_the_delete_counts(table: Path) -> None:
    """And of two puts the one with the higher hash, in whichever order they were written."""
    record = Record.create(table)
    record.append(rows(("gone", 5, DELETE, None), ("back", 8, PUT, "new"), ("twice", 9, PUT, "b")))
    record.append(rows(("gone", 5, PUT, "text"), ("back", 7, DELETE, None), ("twice", 9, PUT, "a")))
    record.append(rows(("gone", 6, FILL, "text"), ("twice", 10, FILL, "b"), ("twice", 11, FILL, "a")))
    assert erase_superseded(table).erased == 6
    record.refresh()
    assert contents(record) == [("back", 8, PUT), ("twice", 9, PUT), ("twice", 10, FILL)]
    assert record.read(columns=["response"]).collect()["response"].drop_nulls().sort().to_list() == ["b", "new"]


def test_purge_by_predicate_looks_at_the_delete_of_a_tie(table: Path) -> None:
    """The newest row of the id is its delete, which does not meet the condition: its fill stays."""
    record = Record.create(table)
    record.append(rows(("a", 5, PUT, "BAD"), ("b", 6, PUT, "BAD")))
    record.append(rows(("a", 5, DELETE, None), ("a", 7, FILL, "other"), ("b", 7, FILL, "other")))
    purge(table, predicate="response = 'BAD'")
    record.refresh()
    assert contents(record) == [("a", 5, DELETE), ("a", 7, FILL)]


def test_nothing_is_removed_before_what_replaces_it_is_durable(table: Path) -> None:
    record = filled(table, 4)
    with recorded_steps() as steps:
        done = compact(table, small_files=1)
    record.refresh()
    log = durability.log_directory(table)
    first = steps.index(next(step for step in steps if step.kind == "remove"))
    (merged,) = done.snapshot.files
    version = done.snapshot.version
    replacing = (table / merged, durability.entry_path(table, version), durability.checkpoints(table)[version])
    for path in (*replacing, log / "_last_checkpoint", log, table, table / durability.MARKER_NAME):
        assert steps.place("flush", path) < first, path
    gone = steps.of("remove")
    data = max(steps.last("remove", path) for path in gone if path.parent == table)
    entries = [path for path in gone if path.parent == log]
    assert Step("flush", table) in steps[data : steps.place("remove", entries[0])]
    assert steps.last("flush", log) > steps.last("remove", entries[-1])
    # Oldest first: a crash in the middle leaves a log without a hole.
    assert len(entries) == 5
    assert entries == sorted(entries)
    assert min(steps.place("remove", path) for path in entries) > data


def test_rewritten_files_are_durable_before_the_log_names_them(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(table, 3)
    quarantine = durability.quarantine_directory(table)
    quarantine.mkdir()
    (quarantine / "20240101-part.parquet").write_bytes(b"a1")
    with recorded_steps() as steps:
        real = DeltaTable.create_write_transaction

        def commit(self: DeltaTable, *given: Any, **named: Any) -> None:
            steps.append(Step("commit", table))
            real(self, *given, **named)

        monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
        done = purge(table, ["a1"])
    committed = steps.place("commit", table)
    before = {step.path for step in steps[:committed] if step.kind == "flush"}
    fresh = [name for name in done.snapshot.files if table / name in before]
    assert len(fresh) == 1
    assert steps.place("flush", table) < committed
    assert steps.last("flush", quarantine) > steps.place("remove", quarantine / "20240101-part.parquet")
