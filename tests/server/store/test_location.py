"""Tables at paths that delta-rs cannot read: they work as any other, and leave nothing elsewhere."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import polars as pl
import pytest
from kinprint.server.corpus.verify import verify  # noqa: F401  (its reading of a log is that of `opened`)
from kinprint.server.store import location, maintenance
from kinprint.server.store.record import PUT, Record, opened

ODD = ["run[1]", "a^b", "a|b", "per%41cent", "A%20B", "back\\slash", "line\nend", "tab\tstop"]
PLAIN = ["notes#1", "what?", "a,b", "A B", "100%", "a{b}", "a*b", "ünï", "é", 'quo"te']


def rows(*ids: str) -> pl.DataFrame:
    """A put for each id."""
    return pl.DataFrame(
        {
            "id": list(ids),
            "seq": pl.Series(range(len(ids)), dtype=pl.Int64),
            "op": pl.Series([PUT] * len(ids), dtype=pl.Int8),
            "response": [f"an answer called {name}" for name in ids],
            "content_hash": [name.encode().ljust(16, b"0") for name in ids],
        }
    )


@pytest.mark.parametrize("name", [*ODD, *PLAIN])
def test_a_table_works_wherever_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = tmp_path / "views"
    views.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(views))
    path = tmp_path / name / "record"
    record = Record.create(path)
    for number in range(4):
        record.append(rows(f"r{number}"))
    assert location.readable(path) is (name in PLAIN)
    again = Record.open(path)
    assert again.version == 4
    assert again.read(columns=["id"]).collect().to_series().sort().to_list() == ["r0", "r1", "r2", "r3"]
    assert opened(path).get_add_actions(flatten=True).num_rows == 4

    maintained = maintenance.compact(path, small_files=1)
    assert len(maintained.snapshot.files) == 1
    maintenance.purge(path, ["r2"])
    left = Record.open(path)
    assert left.read(columns=["id"]).collect().to_series().sort().to_list() == ["r0", "r1", "r3"]
    left.append(rows("r5"))
    assert Record.open(path).read().collect().height == 4
    assert os.listdir(views) == []
    assert [p.name for p in tmp_path.iterdir() if p.name != "views"] == [name]


def test_a_failed_append_leaves_nothing_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record.create(tmp_path / "run[1]" / "record")
    record.append(rows("a"))
    before = sorted(record.path.rglob("*.parquet"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(location.shutil, "move", full)
    with pytest.raises(RuntimeError, match="No space left"):
        record.append(rows("b"))
    monkeypatch.undo()
    assert sorted(record.path.rglob("*.parquet")) == before
    assert Record.open(record.path).version == 1
    record.append(rows("b"))
    assert Record.open(record.path).read().collect().height == 2


def test_a_path_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(location.UnusablePath, match="not valid UTF-8"):
        location.check_path(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    location.check_path(tmp_path / "run[1]")
