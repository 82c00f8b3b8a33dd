"""Servers that commands start: they stay for the next command, give way, and end when nobody needs them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from contract.wire import OpenStream, Stubs, batch, row, start
from kinprint.client import connect, launch
from kinprint.client.embedded import find_holder
from kinprint.client.launch import Holder

KINPRINT = [sys.executable, "-m", "kinprint.client.cli"]
OWL = "An owl hears a mouse under a hand of snow because its ears sit at different heights on its head."
DEADLINE = 240.0
"""Seconds after which something that does not happen fails a test; the first start on a machine compiles kernels."""


def until(happened: Callable[[], Any]) -> Any:
    """The first true value of a function that is called again and again."""
    deadline = time.monotonic() + DEADLINE
    while not (value := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [*KINPRINT, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run a command to its end; what it wrote to standard output and standard error."""
    process = begin(*arguments)
    output, told = process.communicate(timeout=DEADLINE)
    assert process.returncode == code, told
    assert "Traceback" not in told
    return output, told


def pid(data: Path) -> int:
    """The process that answers a command on the directory."""
    return int(json.loads(command("info", "--data", data, "--json")[0])["pid"])


def holder(data: Path) -> Holder:
    """Who holds the directory."""
    found = launch.read_holder(data)
    assert found is not None
    return found


def free(data: Path) -> bool:
    return not launch.held(data)


@pytest.fixture(autouse=True)
def _linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_LINGER", "10m")
    monkeypatch.setenv("KINPRINT_MODEL", "none")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.ndjson"
    path.write_text(json.dumps({"transcript_id": "owl", "response": OWL}) + "\n")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Place of a data directory that is not there yet; what holds it in the end is ended."""
    place = tmp_path / "data"
    yield place
    if launch.held(place):
        os.kill(until(lambda: launch.read_holder(place)).pid, signal.SIGKILL)
        until(lambda: free(place))


@pytest.fixture
def lingering(data: Path, rows: Path) -> Path:
    """A data directory with one row, and a lingering server."""
    command("load", rows, "--corpus", "c", "--data", data, "--quiet")
    return data


def test_a_server_stays_for_the_next_command_and_stop_ends_it(data: Path, rows: Path) -> None:
    told = command("load", rows, "--corpus", "c", "--data", data)[1]
    assert f"a server for {data} stays for 10 min; kinprint stop --data {data} ends it" in told
    first = holder(data)
    assert (first.linger, first.model, first.serving) == (600.0, "none", True)
    output, told = command("search", "--corpus", "c", "--data", data, "--text", OWL, "--json")
    assert json.loads(output)["hits"][0]["id"] == "owl"
    assert told == ""
    assert pid(data) == first.pid
    assert str(first.pid) in command("stop", "--data", data)[0]
    assert free(data)
    assert "no server holds" in command("stop", "--data", data, code=1)[1]
    # Stopped in order: what was written is there, and quiet is quiet.
    output, told = command("export", "--corpus", "c", "--data", data, "--out", data / "out.ndjson", "--quiet")
    assert told == ""
    assert json.loads((data / "out.ndjson").read_text())["transcript_id"] == "owl"
    assert holder(data).pid != first.pid


def test_stop_says_why_it_cannot(tmp_path: Path) -> None:
    assert "no data directory" in command("stop", "--data", tmp_path / "nothing", code=2)[1]
    assert "--data DIR" in command("stop", code=2)[1]
    assert "no server holds" in command("stop", "--data", tmp_path, code=1)[1]


def test_stop_ends_any_server(data: Path) -> None:
    server = begin("serve", "--data", data, "--model", "none")
    until(lambda: find_holder(data))
    told = json.loads(command("stop", "--data", data, "--json")[0])
    assert told == {"data": str(data), "pid": server.pid}
    assert server.wait(DEADLINE) == 0


def test_without_linger_a_server_ends_with_its_command(data: Path, rows: Path) -> None:
    told = command("load", rows, "--corpus", "c", "--data", data, "--linger", "0")[1]
    assert "stays" not in told
    assert free(data)
    assert "no duration" in command("info", "--data", data, "--linger", "soon", code=2)[1]


def test_an_unused_server_ends_by_itself_and_an_open_stream_is_use(data: Path, rows: Path) -> None:
    command("load", rows, "--corpus", "c", "--data", data, "--linger", "1s")
    stubs = Stubs(until(lambda: find_holder(data)))
    stream = OpenStream(stubs).send(start("c"))
    time.sleep(2.5)
    assert launch.held(data)
    stream.send(batch(1, row("a", OWL)))
    assert stream.next("ack").sequence == 1
    stream.abandon()
    stubs.close()
    until(lambda: free(data))
    assert "no call for 1 s" in (data / "server.log").read_text()
    assert len(command("export", "--corpus", "c", "--data", data, "--out", data / "out.csv")[0]) > 0


def test_a_server_ends_with_its_directory(lingering: Path) -> None:
    lock = os.open(lingering / "LOCK", os.O_RDONLY)
    kept = lingering.with_name("kept")
    os.mkdir(kept)
    os.link(lingering / "LOCK", kept / "LOCK")  # still the file that the server has locked
    os.close(lock)
    shutil.rmtree(lingering)
    until(lambda: free(kept))
    assert not lingering.exists()


def test_nothing_is_acknowledged_once_the_lock_is_gone(data: Path) -> None:
    process = begin("serve", "--data", data, "--model", "none")
    try:
        stubs = Stubs(until(lambda: find_holder(data)))
        stream = OpenStream(stubs).send(start("c"), batch(1, row("a", OWL)))
        assert stream.next("ack").sequence == 1
        (data / "LOCK").unlink()  # the server looks once a second, and a batch may come before it does
        stream.send(batch(2, row("b", OWL)))
        with pytest.raises(grpc.RpcError) as ended:
            stream.next("ack")
        assert "was removed under the server" in ended.value.details() or "shutting down" in ended.value.details()
        stubs.close()
    finally:
        process.communicate(timeout=DEADLINE)
    assert process.returncode != 0


def test_serve_takes_the_directory_over(lingering: Path) -> None:
    before = holder(lingering)
    server = begin("serve", "--data", lingering, "--model", "none")
    try:
        until(lambda: (found := launch.read_holder(lingering)) and found.pid == server.pid and found.serving)
        assert holder(lingering).linger is None
        assert pid(lingering) == server.pid != before.pid
        # That one stays: a second is refused as ever.
        second = begin("serve", "--data", lingering, "--model", "none")
        assert "is held by process" in second.communicate(timeout=DEADLINE)[1]
        assert second.returncode == 3
    finally:
        server.terminate()
        assert server.wait(DEADLINE) == 0
        server.communicate()


def test_a_client_uses_a_lingering_server_and_leaves_it(lingering: Path) -> None:
    before = holder(lingering).pid
    with connect(lingering, model="none") as client:
        assert client.server_info().pid == before
    assert pid(lingering) == before


def test_another_model_takes_the_directory_over(lingering: Path, tiny_model: Path) -> None:
    before = holder(lingering).pid
    with connect(lingering, model=tiny_model) as client:
        assert client.server_info().pid != before
        assert client.fingerprint([OWL], channels=["semantic"])
    # A client's own server ends with it.
    assert free(lingering)
    command("search", "--corpus", "c", "--data", lingering, "--text", OWL, "--embedding-model", "none")
    first = holder(lingering)
    command("search", "--corpus", "c", "--data", lingering, "--text", OWL, "--embedding-model", tiny_model)
    second = holder(lingering)
    assert second.pid != first.pid
    assert (second.model, second.linger) == (str(tiny_model), 600.0)
    # Who needs no model takes the server as it is.
    assert pid(lingering) == second.pid


def test_two_commands_at_once_on_a_new_directory_share_one_server(data: Path, rows: Path) -> None:
    both = [begin("load", rows, "--corpus", name, "--data", data) for name in ("one", "two")]
    told = [process.communicate(timeout=DEADLINE)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("stays for" in text for text in told) == 1
    assert (data / "server.log").read_text().count(" serving ") == 1
    listed = json.loads(command("corpora", "--data", data, "--json")[0])["corpora"]
    assert [corpus["name"] for corpus in listed] == ["one", "two"]


def test_after_a_crash_the_next_command_starts_another(lingering: Path) -> None:
    before = holder(lingering).pid
    os.kill(before, signal.SIGKILL)
    until(lambda: free(lingering))
    output, told = command("get", "--corpus", "c", "--id", "owl", "--data", lingering, "--json")
    assert json.loads(output)["response"] == OWL
    assert "stays for" in told
    assert holder(lingering).pid != before


def test_an_interrupted_start_leaves_no_server(data: Path, rows: Path) -> None:
    process = begin("load", rows, "--corpus", "c", "--data", data)
    until(lambda: (data / "LOCK").exists())
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told
    until(lambda: free(data))


def test_a_failed_start_is_told(lingering: Path) -> None:
    command("stop", "--data", lingering)
    (lingering / "kinprint.json").write_text('{"format": 99}')
    told = command("info", "--data", lingering, code=1)[1]
    assert "format 99" in told
    assert free(lingering)


def test_a_command_that_is_used_wrongly_leaves_no_server(lingering: Path) -> None:
    command("stop", "--data", lingering)
    command("search", "--corpus", "c", "--data", lingering, "--no-such-option", code=2)
    until(lambda: free(lingering))
