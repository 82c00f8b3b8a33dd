"""Who holds a directory, how long a server stays, and which command lines start one ahead."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from kinprint.client import launch
from kinprint.client.launch import Holder


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("0", 0.0, "0 s"),
        ("90", 90.0, "90 s"),
        ("90s", 90.0, "90 s"),
        ("1.5", 1.5, "1.5 s"),
        ("5m", 300.0, "5 min"),
        ("5 min", 300.0, "5 min"),
        ("2H", 7200.0, "2 h"),
    ],
)
def test_durations(text: str, value: float, told: str) -> None:
    assert launch.seconds(text) == value
    assert launch.duration(value) == told


@pytest.mark.parametrize("text", ["", "soon", "-1", "5 d", "nan", "1e3"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        launch.seconds(text)


def write_lock(data: Path, **fields: Any) -> None:
    data.mkdir(exist_ok=True)
    (data / "LOCK").write_text(json.dumps({"pid": os.getpid(), "started": "2026-11-28T12:00:00+00:00"} | fields) + "\n")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # As the version before writes it: an address is there from when it serves.
        ({"address": None}, (None, False, None, None)),
        ({"address": "unix:/k"}, ("unix:/k", True, None, None)),
        ({"address": "unix:/k", "serving": False, "linger": None, "model": "none"}, ("unix:/k", False, None, "none")),
        ({"address": "unix:/k", "serving": True, "linger": 300, "model": "/m"}, ("unix:/k", True, 300.0, "/m")),
    ],
)
def test_a_holder_is_read_while_the_lock_is_held(tmp_path: Path, fields: dict[str, Any], expected: Any) -> None:
    data = tmp_path / "data"
    assert launch.read_holder(data) is None
    write_lock(data, **fields)
    assert launch.read_holder(data) is None
    assert not launch.held(data)
    with open(data / "LOCK") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert launch.held(data)
        assert launch.read_holder(data) == Holder(os.getpid(), *expected)
    (data / "LOCK").write_text("{torn")
    assert launch.read_holder(data) is None


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been spawned."""
    asked: list[dict[str, Any]] = []

    def spawn(directory: Path, **options: Any) -> launch.Child:
        asked.append({"directory": directory, **options})
        raise OSError("not in this test")

    monkeypatch.setattr(launch, "spawn", spawn)
    monkeypatch.delenv("KINPRINT_LINGER")
    return asked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    (place / "kinprint.json").write_text('{"format": 1}')
    return place


def test_a_server_is_started_ahead_with_the_options_of_the_command(
    data: Path, spawned: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.ahead(["info", "--data", str(data)])
    launch.ahead(["search", "--corpus", "c", f"--data={data}", "--linger", "1m", "--embedding-model", "none"])
    monkeypatch.setenv("KINPRINT_DATA", str(data))
    monkeypatch.setenv("KINPRINT_LINGER", "0")
    monkeypatch.setenv("KINPRINT_MODEL", str(data / "model"))
    launch.ahead(["panel", "fit", "--corpus", "c"])
    usual = {"directory": data, "take_over": False}
    assert spawned == [
        {**usual, "model": "default", "linger": launch.LINGER},
        {**usual, "model": "none", "linger": 60.0},
        {**usual, "model": str(data / "model"), "linger": None},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--help",
        "info --data {data} --help",
        "info --data {data}/elsewhere",
        "info --data",
        "search --corpus c --server localhost:1 --data {data}",
        "dedup rows.parquet --data {data}",
        "panel show PANEL",
        "model path",
        "stop --data {data}",
        "serve --data {data}",
        "info --data {data} --linger soon",
    ],
)
def test_no_server_is_started_ahead(data: Path, spawned: list[dict[str, Any]], line: str) -> None:
    launch.ahead(line.format(data=data).split())
    assert spawned == []


def test_no_server_is_started_ahead_where_one_is(data: Path, spawned: list[dict[str, Any]]) -> None:
    write_lock(data)
    with open(data / "LOCK") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        launch.ahead(["info", "--data", str(data)])
    assert spawned == []
