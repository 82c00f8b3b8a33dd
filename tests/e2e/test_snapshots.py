"""Snapshots of a real server: taken while a stream writes, moved, served, restored, refused when damaged."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningServer, start_server, stop_server
from contract.wire import refusal
from kinprint.client import (
    AlreadyExistsError,
    Client,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapshotProgress,
    connect,
)
from kinprint.client.cli.app import app
from kinprint.v1 import snapshot_pb2, snapshot_pb2_grpc
from typer.testing import CliRunner

TEXT = "The harbour lamp number {} was lit before the ferry came in from the islands of the north."


def rows(first: int, count: int) -> list[dict[str, str]]:
    return [{"id": f"r{k}", "response": TEXT.format(k), "model": "m"} for k in range(first, first + count)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningServer]:
    server = start_server(tmp_path / "data", "none", tmp_path / "log", "--lazy")
    yield server
    assert stop_server(server) == 0


@pytest.fixture
def client(running: RunningServer) -> Iterator[Client]:
    with connect(running.address) as made:
        yield made


def texts(client: Client, corpus: str) -> dict[str, str]:
    return {row.id: row.response for row in client.list(corpus)}


def only(root: Path, pattern: str) -> Path:
    (found,) = root.glob(pattern)
    return found


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.unlink()  # the snapshot's name for it; the corpus keeps its own
    path.write_bytes(content)


def test_taken_while_a_stream_writes(running: RunningServer, client: Client, tmp_path: Path) -> None:
    acknowledged = 0
    enough, done = threading.Event(), threading.Event()

    def endless() -> Iterator[dict[str, str]]:
        number = 0
        while not done.is_set():
            number += 1
            yield {"id": f"s{number}", "response": TEXT.format(number)}

    def load() -> None:
        def progress(report: Any) -> None:
            nonlocal acknowledged
            acknowledged = report.stored
            if acknowledged > 500:
                enough.set()

        with connect(running.address) as other:
            other.upsert("stream", endless(), create=True, progress=progress)

    writer = threading.Thread(target=load)
    writer.start()
    try:
        assert enough.wait(120)
        names = []
        least = []
        for _ in range(3):
            least.append(acknowledged)
            names.append(client.create_snapshot().name)
    finally:
        done.set()
        writer.join(120)
    assert acknowledged > least[-1]
    for name, fewest in zip(names, least, strict=True):
        assert client.verify_snapshot(name).ok
        there = texts_of(running.data / "snapshots" / name, tmp_path)
        assert len(there) >= fewest
        # Rows are sent in order, and batches commit in order: what is there is a beginning.
        assert set(there) == {f"s{k}" for k in range(1, len(there) + 1)}
        told = next(one for one in client.list_snapshots() if one.name == name)
        assert told.corpora[0].transcripts == len(there)


def texts_of(directory: Path, tmp_path: Path) -> dict[str, str]:
    """What a data directory holds, served by a server of its own."""
    server = start_server(directory, "none", tmp_path / "other-log", "--lazy")
    try:
        with connect(server.address) as other:
            return {row.id: row.response for corpus in other.list_corpora() for row in other.list(corpus.name)}
    finally:
        assert stop_server(server) == 0


def test_restored_after_it_was_deleted(client: Client) -> None:
    client.upsert("news", rows(0, 40), create=True)
    before = texts(client, "news")
    told: list[SnapshotProgress] = []
    made = client.create_snapshot("first", progress=told.append)
    assert any("news" in progress.step for progress in told)
    assert (made.name, [held.transcripts for held in made.corpora]) == ("first", [40])
    client.delete_corpus("news")
    told.clear()
    restored = client.restore_snapshot("first", "news", progress=told.append)
    assert len({progress.step for progress in told}) > 1
    assert (restored.name, restored.transcripts) == ("news", 40)
    assert texts(client, "news") == before
    assert client.search(TEXT.format(7), corpus="news").hits[0].id == "r7"
    client.upsert("news", rows(40, 5))
    assert client.restore_snapshot("first", "news", as_name="copy").transcripts == 40
    with pytest.raises(AlreadyExistsError, match="CORPUS_EXISTS"):
        client.restore_snapshot("first", "news")
    assert client.restore_snapshot("first", "news", replace=True).transcripts == 40
    assert sorted(corpus.name for corpus in client.list_corpora()) == ["copy", "news"]


def test_a_snapshot_moved_elsewhere_is_served_and_restored_from(
    running: RunningServer, client: Client, tmp_path: Path
) -> None:
    client.upsert("news", rows(0, 40), create=True)
    before = texts(client, "news")
    client.create_snapshot("first")
    shutil.copytree(running.data / "snapshots" / "first", tmp_path / "backup")
    client.delete_snapshot("first")
    client.delete_corpus("news")
    assert texts_of(tmp_path / "backup", tmp_path) == before
    shutil.copytree(tmp_path / "backup", running.data / "snapshots" / "back")
    assert [(one.name, one.problem) for one in client.list_snapshots()] == [("back", "")]
    assert client.restore_snapshot("back", "news").transcripts == 40
    assert texts(client, "news") == before


def test_a_flipped_bit_is_refused_by_file_name(running: RunningServer, client: Client) -> None:
    client.upsert("news", rows(0, 40), create=True)
    client.create_snapshot("first")
    root = running.data / "snapshots" / "first"
    file = only(root, "corpora/news-*/record/*.parquet")
    flip(file)
    name = file.relative_to(root).as_posix()
    report = client.verify_snapshot("first")
    assert not report.ok
    assert [found.file for found in report.findings] == [name]
    client.delete_corpus("news")
    with pytest.raises(FailedPreconditionError, match="SNAPSHOT_DAMAGED") as refused:
        client.restore_snapshot("first", "news")
    assert name in refused.value.message
    assert refused.value.metadata["file"] == name
    assert not list(client.list_corpora())
    assert not list((running.data / "corpora").glob(".*"))


def test_a_purge_says_which_snapshots_hold_the_corpus(client: Client) -> None:
    client.upsert("news", rows(0, 10), create=True)
    client.upsert("other", rows(0, 10), create=True)
    client.create_snapshot("both")
    client.create_snapshot("alone", ["other"])
    steps: list[str] = []
    done = client.purge("news", ["r1"], progress=lambda progress: steps.append(progress.step))
    assert (done.erased, done.held_by_snapshots, done.snapshots) == (1, 1, ("both",))
    assert "both" in steps[-1]
    assert client.purge("other").snapshots == ("alone", "both")
    client.restore_snapshot("both", "news", as_name="again")
    assert client.purge("again").snapshots == ("both",)
    client.delete_snapshot("both")
    assert client.purge("news").held_by_snapshots == 0


def test_what_is_refused(running: RunningServer, client: Client) -> None:
    client.upsert("news", rows(0, 3), create=True)
    client.create_snapshot("first")
    for name in (".hidden", "a/b", "../corpora", "x" * 64):
        with pytest.raises(InvalidArgumentError):
            client.create_snapshot(name)
        for call in (client.delete_snapshot, client.verify_snapshot):
            with pytest.raises(NotFoundError, match="SNAPSHOT_NOT_FOUND"):
                call(name)
    with pytest.raises(AlreadyExistsError, match="SNAPSHOT_EXISTS"):
        client.create_snapshot("first")
    with pytest.raises(NotFoundError, match="CORPUS_NOT_FOUND"):
        client.create_snapshot("second", ["nowhere"])
    with pytest.raises(InvalidArgumentError):
        client.create_snapshot("second", ["news"] * 101)
    with pytest.raises(NotFoundError, match="CORPUS_NOT_FOUND"):
        client.restore_snapshot("first", "nowhere")
    with pytest.raises(InvalidArgumentError, match="CORPUS_NAME_INVALID"):
        client.restore_snapshot("first", "news", as_name="no name")
    for call in (client.delete_snapshot, client.verify_snapshot):
        with pytest.raises(InvalidArgumentError, match="FIELD_MISSING"):
            call("")
    with pytest.raises(InvalidArgumentError, match="FIELD_MISSING"):
        client.restore_snapshot("first", "")
    assert sorted(path.name for path in (running.data / "snapshots").iterdir()) == ["first"]
    with grpc.insecure_channel(running.address) as channel:
        stub = snapshot_pb2_grpc.SnapshotServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.DeleteSnapshot(snapshot_pb2.DeleteSnapshotRequest(name="nowhere"))
        told = refusal(failed.value)
        assert (told.code, told.reason) == ("NOT_FOUND", "SNAPSHOT_NOT_FOUND")


def test_one_that_is_served_is_left_alone(running: RunningServer, client: Client, tmp_path: Path) -> None:
    client.upsert("news", rows(0, 3), create=True)
    client.create_snapshot("first")
    server = start_server(running.data / "snapshots" / "first", "none", tmp_path / "other-log", "--lazy")
    try:
        with pytest.raises(FailedPreconditionError, match="SNAPSHOT_BUSY"):
            client.delete_snapshot("first")
        with pytest.raises(FailedPreconditionError, match="SNAPSHOT_BUSY"):
            client.restore_snapshot("first", "news", as_name="copy")
    finally:
        assert stop_server(server) == 0
    assert client.restore_snapshot("first", "news", as_name="copy").transcripts == 3
    assert client.delete_snapshot("first") > 0


def command(address: str, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, [*arguments, "--server", address])
    assert done.exit_code == code, done.output
    return done.stdout


def test_commands(running: RunningServer, client: Client) -> None:
    client.upsert("news", rows(0, 40), create=True)
    address = running.address
    assert "no snapshots yet" in command(address, "snapshot", "list")
    assert "snapshot first is taken: 1 corpus, 40 transcripts" in command(address, "snapshot", "create", "first")
    made = json.loads(command(address, "snapshot", "create", "--corpus", "news", "--json"))
    assert made["corpora"][0]["transcripts"] == 40
    assert made["left_out"] == []
    listed = json.loads(command(address, "snapshot", "list", "--json"))["snapshots"]
    assert [one["name"] for one in listed] == ["first", made["name"]]
    assert "news (40)" in command(address, "snapshot", "list")
    assert "all is as it was written" in command(address, "snapshot", "verify", "first")
    assert json.loads(command(address, "snapshot", "verify", "first", "--json"))["ok"] is True
    restored = command(address, "snapshot", "restore", "first", "--corpus", "news", "--as", "copy")
    assert "corpus copy is restored from snapshot first: 40 transcripts" in restored
    command(address, "snapshot", "restore", "first", "--corpus", "news", code=1)
    command(address, "snapshot", "restore", "first", "--corpus", "news", "--replace", code=2)  # it would have to ask
    told = command(address, "snapshot", "restore", "first", "--corpus", "news", "--replace", "--yes", "--json")
    assert json.loads(told)["transcripts"] == 40
    purged = json.loads(command(address, "purge", "--corpus", "news", "--json"))
    assert purged["snapshots"] == sorted(["first", made["name"]])
    flip(only(running.data / "snapshots" / "first", "corpora/news-*/record/*.parquet"))
    assert "DAMAGED corpora/news-" in command(address, "snapshot", "verify", "first", code=1)
    command(address, "snapshot", "delete", "first", code=2)
    assert "first is deleted" in command(address, "snapshot", "delete", "first", "--yes")
    gone = json.loads(command(address, "snapshot", "delete", made["name"], "--yes", "--json"))
    assert gone["freed_bytes"] > 0
    assert client.list_snapshots() == []
