"""Targets: addresses and data directories."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kinprint.client import EmbeddedServerError, InvalidArgumentError, UnavailableError, connect
from kinprint.client.embedded import find_holder, read_lock
from kinprint.client.transport import parse_target, service_config


@pytest.mark.parametrize(
    "target",
    ["localhost:50051", "127.0.0.1:1", "[::1]:50051", "unix:/tmp/x", "dns:///h:1", "my-host.example:80"],
)
def test_addresses(target: str) -> None:
    assert parse_target(target).address == target


@pytest.mark.parametrize("target", ["./data", "a/b", ".", "~/kinprint", "/tmp", Path("data")])
def test_directories(target: str | Path) -> None:
    assert parse_target(target).directory == Path(target).expanduser()


def test_an_existing_directory_goes_before_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "host:1").mkdir()
    assert parse_target("host:1").directory == Path("host:1")
    assert parse_target("host:2").address == "host:2"


@pytest.mark.parametrize("target", ["data", "", "host:", "host:port"])
def test_what_is_neither_is_refused_with_both_ways_to_write_it(target: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_target(target)


def test_only_calls_that_change_nothing_are_sent_again() -> None:
    (config,) = json.loads(service_config())["methodConfig"]
    methods = {name["method"] for name in config["name"]}
    assert {"Search", "GetTranscript", "GetServerInfo"} <= methods
    assert not methods & {
        "UpsertTranscripts",
        "DeleteCorpus",
        "DeleteTranscripts",
        "CreateCorpus",
        "PurgeTranscripts",
    }
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]


def test_nobody_at_the_address() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        connect("127.0.0.1:9", timeout=3)


def test_a_directory_that_must_exist(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no data directory"):
        connect(tmp_path / "none", create=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmbeddedServerError, match="not a directory"):
        connect(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 0}', '{"pid": "x", "address": "unix:/x"}'])
def test_a_lock_that_says_nothing_useful_names_no_holder(tmp_path: Path, text: str) -> None:
    (tmp_path / "LOCK").write_text(text)
    assert find_holder(tmp_path) is None


def test_the_first_line_of_the_lock_counts(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text('{"pid": 1, "address": null}\n{"old"')
    assert read_lock(tmp_path) == {"pid": 1, "address": None}


def test_the_library_needs_grpcio_and_protobuf_alone() -> None:
    program = """
import sys
import kinprint.client
optional = {"numpy", "numba", "polars", "pyarrow", "typer", "click", "rich", "grpc_status"}
found = optional & {name.split(".")[0] for name in sys.modules}
assert not found, found
"""
    subprocess.run([sys.executable, "-c", program], check=True)
