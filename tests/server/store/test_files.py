"""Files that last: flushed before they get their name, and their folder after it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from flushes import Step, recorded_steps
from kinprint.server.store import files


def test_a_file_is_flushed_before_its_name_and_its_folder_after(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    with recorded_steps() as steps:
        files.write_json(path, {"a": 1})
    scratch = tmp_path / f"small.{os.getpid()}.new"
    assert steps == [Step("flush", scratch), Step("rename", path), Step("flush", tmp_path)]
    with recorded_steps() as steps:
        files.save_arrays(tmp_path / "some.npz", {"x": np.arange(3)})
    assert [step.kind for step in steps] == ["flush", "rename", "flush"]


def test_files_of_a_folder_that_is_renamed_later_are_flushed(tmp_path: Path) -> None:
    with recorded_steps() as steps:
        files.save_array(tmp_path / "a.npy", np.arange(5))
        files.write_table(tmp_path / "rows.arrow", pa.table({"x": [1, 2]}))
    assert steps == [Step("flush", tmp_path / "a.npy"), Step("flush", tmp_path / "rows.arrow")]


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    files.write_json(path, {"a": 1})

    def half() -> None:
        with files.replacing(path) as out:
            out.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        half()
    assert files.read_json(path) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["small.json"]


def test_json_that_was_changed_is_not_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    files.write_json(path, {"a": 1, "b": [None, "ü"]})
    assert files.read_json(path) == {"a": 1, "b": [None, "ü"]}
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    with pytest.raises(ValueError, match=r"small\.json is damaged: its digest"):
        files.read_json(path)
    for content, why in (("[]", "no JSON object"), ("{", "damaged"), ("\udcff", "damaged")):
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ValueError, match=why):
            files.read_json(path)
    path.write_text(json.dumps({"a": 3}))  # of a version before there were digests
    assert files.read_json(path) == {"a": 3}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="no file"):
        files.read_json(tmp_path / "pipe.json")
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "none.json")


def test_a_table_is_one_batch_of_rows(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2, 3]})
    files.write_table(tmp_path / "rows.arrow", table)
    mapped = files.map_table(tmp_path / "rows.arrow")
    assert mapped.column("x").to_pylist() == [1, 2, 3]
    assert mapped.column("x").num_chunks == 1
    files.write_table(tmp_path / "none.arrow", table.slice(0, 0))
    assert files.map_table(tmp_path / "none.arrow").num_rows == 0


def test_arrays_are_mapped_copy_on_write(tmp_path: Path) -> None:
    files.save_array(tmp_path / "a.npy", np.arange(6).reshape(2, 3).T)
    mapped = files.map_array(tmp_path / "a.npy")
    assert isinstance(mapped.base, np.memmap)
    mapped[0, 0] = 99
    np.testing.assert_array_equal(files.load_array(tmp_path / "a.npy"), np.arange(6).reshape(2, 3).T)
