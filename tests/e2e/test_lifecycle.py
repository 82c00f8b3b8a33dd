"""A server's life: start, refuse, drain, start again, run out of disk, meet what another version wrote."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from contract.wire import (
    ALL,
    COPY,
    DEADLINE,
    SEMANTIC,
    STYLE,
    OpenStream,
    Stubs,
    batch,
    described,
    expect,
    get,
    listed,
    refused,
    row,
    search,
    start,
    upsert,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kinprint.client import KinprintError, connect
from kinprint.client.embedded import read_lock
from kinprint.server.store import files
from kinprint.v1 import info_pb2, match_pb2, types_pb2
from tiny_model import write_tiny_model

OWL = (
    "An owl hears a mouse under a hand of snow because its ears sit at different heights, and the sound "
    "that reaches one a little later tells it how far up the mouse is."
)
BREAD = "A dough that rises slowly in a cold room tastes of more than yeast. Fold it twice and bake it early."
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# A server that is starting does not listen for a moment: knock often.
_IMPATIENT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)


class Server:
    """A server process on a data directory, spoken to through its Unix socket."""

    def __init__(self, data: Path, log: Path, *options: str, model: Path | str = "none", **popen: Any) -> None:
        self.data, self.log = data, log
        command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(data), "--model", str(model)]
        with log.open("wb") as stream:
            self.process = subprocess.Popen([*command, *options], stderr=stream, **popen)

        self.address = f"unix:{self.data / 'kinprint.sock'}"

    def watch(self) -> Iterator[int]:
        """Health states of the whole server, from its first."""
        with grpc.insecure_channel(self.address, options=_IMPATIENT) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            for answer in stub.Watch(request, wait_for_ready=True, timeout=240.0):
                yield answer.status

    def ready(self) -> Stubs:
        """Stubs, once it is SERVING."""
        states = self.watch()
        assert SERVING in states, self.text()
        states.close()
        return Stubs(self.address)

    def text(self) -> str:
        return self.log.read_text()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(DEADLINE)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that do not outlive the test."""
    made: list[Server] = []

    def start_one(data: Path, *options: str, **others: Any) -> Server:
        made.append(Server(data, tmp_path / f"log-{len(made)}", *options, **others))
        return made[-1]

    yield start_one
    for server in made:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def failing(server: Server, code: int = 1) -> str:
    """What a server that could not start says last; never a traceback."""
    assert server.process.wait(240) == code, server.text()
    text = server.text()
    assert "Traceback" not in text
    assert text.splitlines()[-1].startswith("error: ")
    return text.splitlines()[-1]


def test_start_refuse_drain_and_start_again(launch: Callable[..., Server], tmp_path: Path, tiny_model: Path) -> None:
    data = tmp_path / "data"
    first = launch(data, model=tiny_model)
    states = first.watch()
    assert next(states) == NOT_SERVING
    stubs = Stubs(first.address)
    request = info_pb2.GetServerInfoRequest()
    early = refused(lambda: stubs.info.GetServerInfo(request, timeout=DEADLINE))
    expect(early, "UNAVAILABLE", "NOT_SERVING")
    assert early.retry_after
    assert next(states) == SERVING

    # One process a directory.
    held = failing(launch(data), code=3)
    assert str(first.process.pid) in held
    assert "kinprint.sock" in held
    assert stubs.info.GetServerInfo(request, timeout=DEADLINE).pid == first.process.pid

    batches = [[row(f"{b}-{k}", f"Row {b} {k}. {OWL}", model="m") for k in range(20)] for b in range(8)]
    stream = OpenStream(stubs).send(start("c", ALL), *(batch(k, *rows) for k, rows in enumerate(batches[:5], 1)))
    acked = stream.next("ack").sequence
    queries: queue.Queue[Any] = queue.Queue()
    searches = stubs.match.StreamSearch(iter(queries.get, None), timeout=DEADLINE)
    asked = match_pb2.SearchRequest(query=match_pb2.TextSource(text=OWL), corpora=["c"])
    queries.put(match_pb2.StreamSearchRequest(tag=9, search=asked))
    assert next(searches).response.hits
    first.process.send_signal(signal.SIGTERM)
    resume = stream.next("shutting_down").resume_from
    assert acked < resume <= 6
    assert stream.rest() == []
    assert stream.call.code() is grpc.StatusCode.OK
    left = expect(refused(lambda: searches), "UNAVAILABLE", "NOT_SERVING")
    assert left.retry_after
    queries.put(None)
    assert next(states) == NOT_SERVING
    states.close()
    assert first.process.wait(DEADLINE) == 0
    assert "Traceback" not in first.text()
    assert not (data / "kinprint.sock").exists()

    second = launch(data, model=tiny_model)
    stubs = second.ready()
    before = {t.id for t in listed(stubs, "c")}
    assert before == {r.id for rows in batches[: resume - 1] for r in rows}
    done = upsert(stubs, "c", *batches[resume - 1 :], channels=ALL)
    assert done.finished.failed == done.finished.replaced == 0
    assert sorted(t.id for t in listed(stubs, "c")) == sorted(r.id for rows in batches for r in rows)
    coverage = [c for c in described(stubs, "c").coverage if c.tier != types_pb2.TIER_FAST]
    assert {c.channel: c.filled for c in coverage} == dict.fromkeys(ALL, 160)
    expected = answers(stubs)
    assert second.stop() == 0

    # Killed, with nothing published: everything comes back from the record.
    third = launch(data, model=tiny_model)
    assert answers(third.ready()) == expected
    third.process.kill()
    third.process.wait()

    # Without a model, what does not need one goes on.
    fourth = launch(data)
    stubs = fourth.ready()
    assert list(stubs.info.GetServerInfo(request, timeout=DEADLINE).channels) == [COPY, STYLE]
    assert not stubs.info.GetServerInfo(request, timeout=DEADLINE).HasField("model")
    check_semantic(stubs, "CHANNEL_UNAVAILABLE")
    calls: list[Callable[[], Any]] = [
        lambda: upsert(stubs, "new", [row("a", OWL)], channels=[SEMANTIC]),
        lambda: stubs.match.Fingerprint(match_pb2.FingerprintRequest(texts=["a"], channels=[2]), timeout=DEADLINE),
        lambda: stubs.match.Compare(compare_request(SEMANTIC), timeout=DEADLINE),
    ]
    for call in calls:
        found = expect(refused(call), "FAILED_PRECONDITION", "CHANNEL_UNAVAILABLE")
        assert "--model" in found.message
    compared = stubs.match.Compare(compare_request(), timeout=DEADLINE)
    assert compared.HasField("copy")
    assert not compared.HasField("semantic")
    assert fourth.stop() == 0

    # With another model, its vectors are never mixed with those that are stored.
    fifth = launch(data, model=write_tiny_model(tmp_path / "other", seed=7))
    stubs = fifth.ready()
    check_semantic(stubs, "MODEL_MISMATCH")
    assert answers(stubs, COPY, STYLE) == {c: expected[c] for c in (COPY, STYLE)}
    assert upsert(stubs, "c", [row("more", BREAD)]).outcomes == ["CREATED"]
    assert upsert(stubs, "new", [row("a", OWL)], channels=ALL).outcomes == ["CREATED"]
    assert fifth.stop() == 0


def answers(stubs: Stubs, *channels: int) -> dict[int, list[tuple[str, float]]]:
    """Ids and scores of a search, by channel."""
    found = search(stubs, f"Row 3 7. {OWL}", "c", channels=channels or ALL, top=50)
    result: dict[int, list[tuple[str, float]]] = {}
    for hit in found.hits:
        result.setdefault(hit.channel, []).append((hit.id, round(hit.score, 5)))
    assert result[COPY][0] == ("3-7", 1.0)
    return result


def check_semantic(stubs: Stubs, reason: str) -> None:
    """Searching and filling stored embeddings is refused, and what is stored stays."""
    expect(refused(lambda: search(stubs, OWL, "c", channels=[SEMANTIC])), "FAILED_PRECONDITION", reason)
    expect(refused(lambda: upsert(stubs, "c", [row("x", BREAD)], channels=[SEMANTIC])), "FAILED_PRECONDITION", reason)
    assert {(c.channel, c.tier): c.filled for c in described(stubs, "c").coverage}[
        SEMANTIC, types_pb2.TIER_ACCURATE
    ] == 160
    assert search(stubs, OWL, "c", top=1).hits


def compare_request(*channels: int) -> match_pb2.CompareRequest:
    a, b = match_pb2.TextSource(text=OWL), match_pb2.TextSource(text=BREAD)
    return match_pb2.CompareRequest(a=a, b=b, channels=channels)


# ---- what another version wrote, or what is damaged ----


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one small corpus, and no server."""
    base = tmp_path_factory.mktemp("written")
    server = Server(base / "data", base / "log")
    stubs = server.ready()
    upsert(stubs, "c", [row("a", OWL), row("b", BREAD)])
    assert server.stop() == 0
    return base / "data"


def edit(path: Path, **changes: Any) -> None:
    files.write_json(path, files.read_json(path) | changes)


def newer_directory(data: Path) -> None:
    edit(data / "kinprint.json", format=99)


def newer_corpus(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    edit(path, format=99)


def newer_record(data: Path) -> None:
    (path,) = data.glob("corpora/*/record/_delta_log/00000000000000000000.json")
    path.write_text(path.read_text().replace('"kinprint.format":"1"', '"kinprint.format":"99"'))


def damaged_corpus(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    path.write_text('{"format": 1, "na')


def test_a_newer_data_directory_is_refused_and_left_alone(
    launch: Callable[..., Server], written: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(written, data)
    newer_directory(data)
    before = _bytes_of(data)
    assert "format 99" in failing(launch(data))
    assert _bytes_of(data) == before


def _bytes_of(folder: Path) -> dict[Path, bytes]:
    own = {"server.log", "LOCK"}
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in own)
    return {p.relative_to(folder): p.read_bytes() for p in files}


def lost_description(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    path.unlink()


def dangling_link(data: Path) -> None:
    (folder,) = data.glob("corpora/*")
    folder.rename(data / "elsewhere")
    folder.symlink_to(data / "not-mounted")


def lost_record(data: Path) -> None:
    (path,) = data.glob("corpora/*/record")
    path.rename(data / "elsewhere")


def odd_name(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    edit(path, name=["a"])


def odd_description(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    edit(path, description=5)


def pipe(data: Path) -> None:
    (path,) = data.glob("corpora/*/corpus.json")
    path.unlink()
    os.mkfifo(path)


CHANGES = {
    "odd name": (odd_name, "corpus.json"),
    "odd description": (odd_description, "corpus.json"),
    "pipe": (pipe, "corpus.json"),
    "newer corpus": (newer_corpus, "format 99"),
    "newer record": (newer_record, "99"),
    "damaged corpus": (damaged_corpus, "corpus.json"),
    "lost description": (lost_description, "restore"),
    "dangling link": (dangling_link, "not-mounted"),
    "lost record": (lost_record, "record"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_cannot_be_read_is_listed_and_left_alone_and_the_rest_is_served(
    launch: Callable[..., Server], written: Path, tmp_path: Path, name: str
) -> None:
    change, told = CHANGES[name]
    data = tmp_path / "data"
    shutil.copytree(written, data)
    change(data)
    for other in ("backup", "lost+found", ".snapshot"):
        (data / "corpora" / other).mkdir()
        (data / "corpora" / other / "notes.txt").write_text("an operator's")
    (data / "corpora" / "README").write_text("an operator's")
    before = _bytes_of(data)
    server = launch(data)
    stubs = server.ready()
    upsert(stubs, "other", [row("a", OWL)])
    with connect(data) as client:
        corpora = {corpus.name: corpus for corpus in client.list_corpora()}
        assert set(corpora) == {"c", "other"}
        assert told in corpora["c"].unavailable
        assert corpora["other"].unavailable == ""
        assert corpora["other"].transcripts == 1
        for use in (
            lambda: client.get_corpus("c"),
            lambda: client.search(OWL, corpora=["c"]),
            lambda: client.upsert("c", [{"id": "a", "response": OWL}]),
            lambda: client.create_corpus("c"),
        ):
            with pytest.raises(KinprintError, match="unavailable") as refused:
                use()
            assert refused.value.reason == "CORPUS_UNAVAILABLE"
            assert told in str(refused.value)
            assert "kinprint delete --corpus c --all" in str(refused.value)
        after = _bytes_of(data)
        assert {path: after.get(path) for path in before} == before
        assert client.delete_corpus("c") == 0
        assert [corpus.name for corpus in client.list_corpora()] == ["other"]
        assert client.create_corpus("c").transcripts == 0
    assert server.stop() == 0
    after = _bytes_of(data)
    kept = {path for path in before if path.name == "notes.txt" or path.name == "README"}
    assert len(kept) == 4
    assert {path: after.get(path) for path in kept} == {path: before[path] for path in kept}
    assert not [path for path in (data / "corpora").iterdir() if path.name.startswith(".deleted")]


def test_of_two_folders_with_one_corpus_the_named_one_is_served(
    launch: Callable[..., Server], written: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(written, data)
    (folder,) = data.glob("corpora/*")
    shutil.copytree(folder, data / "corpora" / "a-copy-of-it")
    server = launch(data)
    server.ready()
    with connect(data) as client:
        corpora = {corpus.name: corpus for corpus in client.list_corpora()}
        assert corpora["c"].transcripts == 2
        assert folder.name in corpora["a-copy-of-it"].unavailable
    assert server.stop() == 0
    assert (data / "corpora" / "a-copy-of-it" / "corpus.json").exists()


def test_of_two_folders_with_one_corpus_neither_is_served_where_both_may_be_it(
    launch: Callable[..., Server], written: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(written, data)
    (folder,) = data.glob("corpora/*")
    shutil.copytree(folder, data / "corpora" / "c-00000000")
    server = launch(data)
    server.ready()
    with connect(data) as client:
        corpora = {corpus.name: corpus.unavailable for corpus in client.list_corpora()}
        other = max(folder.name, "c-00000000")  # the first of them has the corpus's name
        assert set(corpora) == {"c", other}
        assert all("c-00000000" in told and folder.name in told for told in corpora.values())
        with pytest.raises(KinprintError, match="which of them is meant") as refused:
            client.delete_corpus("c")
        assert refused.value.reason == "CORPUS_UNAVAILABLE"
        assert client.delete_corpus(other) == 0
        assert not (data / "corpora" / other).exists()
    assert server.stop() == 0
    again = launch(data)
    again.ready()
    with connect(data) as client:
        assert [corpus.transcripts for corpus in client.list_corpora()] == [2]
        assert client.delete_corpus("c") == 2
    assert again.stop() == 0


def test_a_linked_corpus_is_deleted_where_it_is(launch: Callable[..., Server], written: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(written, data)
    (folder,) = data.glob("corpora/*")
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    server = launch(data)
    server.ready()
    with connect(data) as client:
        assert client.delete_corpus("c") == 2
    assert server.stop() == 0
    assert not elsewhere.exists()
    assert list((data / "corpora").iterdir()) == []


def test_only_what_was_named_for_removal_is_removed(
    launch: Callable[..., Server], written: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(written, data)
    (folder,) = data.glob("corpora/*")
    for name in (".new-c-0123abcd", ".deleted-c-0123abcd", ".deleted-mine", ".trash"):
        shutil.copytree(folder, data / "corpora" / name)
    server = launch(data)
    server.ready()
    assert server.stop() == 0
    assert {p.name for p in (data / "corpora").iterdir()} == {folder.name, ".deleted-mine", ".trash"}


# ---- directories ----


def test_a_path_too_long_for_a_socket(launch: Callable[..., Server], tmp_path: Path) -> None:
    data = tmp_path / ("long-" * 20) / "データ"
    server = launch(data)
    while read_lock(data) is None or "serving" not in server.text():
        assert server.process.poll() is None, server.text()
        time.sleep(0.1)
    with connect(data) as client:
        assert client.address.startswith(f"unix:{tempfile.gettempdir()}")
        assert client.server_info().pid == server.process.pid
        client.upsert("c", [{"id": "a", "response": OWL}])
        address = Path(client.address.removeprefix("unix:"))
    assert address.is_socket()
    assert (address.stat().st_mode & 0o077) == 0
    assert server.stop() == 0
    assert not address.exists()


@pytest.mark.parametrize("name", ["notes#1", "what?", "a,b", "run[1]", "per%41cent", "A%20B", "back\\slash"])
def test_a_path_that_means_something_in_an_address(launch: Callable[..., Server], tmp_path: Path, name: str) -> None:
    server = launch(tmp_path / name)
    while read_lock(tmp_path / name) is None or "serving" not in server.text():
        assert server.process.poll() is None, server.text()
        time.sleep(0.1)
    with connect(tmp_path / name) as client:
        assert client.server_info().pid == server.process.pid
        assert client.upsert("c", [{"id": "a", "response": OWL}]).created == 1
        assert client.search(OWL, corpus="c").hits[0].id == "a"
    assert server.stop() == 0
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == [name]


def test_a_path_that_is_no_text_is_refused_at_once(launch: Callable[..., Server], tmp_path: Path) -> None:
    data = tmp_path / os.fsdecode(b"caf\xe9")
    server = launch(data)
    assert server.process.wait(DEADLINE) == 1
    assert "is not valid UTF-8" in server.text()
    assert not data.exists()


FORKING = """
import os, sys, time
from kinprint.client import connect
client = connect(sys.argv[1], model="none")
pid = client.server_info().pid
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
print(pid, flush=True)
os._exit(0)
"""


def test_a_forked_process_does_not_keep_a_client_s_server(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            number = int(process.stdout.readline())
            assert process.wait(DEADLINE) == 0
            until = time.monotonic() + DEADLINE
            while Path(f"/proc/{number}").exists() and time.monotonic() < until:
                time.sleep(0.1)
            assert not Path(f"/proc/{number}").exists()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system in memory, where the machine lets us."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mount-{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("cannot mount a file system here")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_directory(
    launch: Callable[..., Server], mounted: Callable[[str], Path], written: Path, tmp_path: Path
) -> None:
    place = mounted("size=40m")
    shutil.copytree(written, place / "data")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    server = launch(place / "data", "--listen", f"unix:{tmp_path / 'own.sock'}")
    server.address = f"unix:{tmp_path / 'own.sock'}"
    stubs = server.ready()
    assert search(stubs, OWL, "c", top=1).hits, "what is stored is served"
    found = refused(lambda: upsert(stubs, "c", [row("more", OWL)]))
    expect(found, "INTERNAL", "DISK_FAILED")
    assert "not full" in found.message
    assert server.stop() == 0
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    empty = place / "empty"
    empty.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    assert "Read-only" in failing(launch(empty))


def test_other_reasons_not_to_start(launch: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    assert str(file) in failing(launch(file))
    empty = tmp_path / "empty-model"
    empty.mkdir()
    assert str(empty) in failing(launch(tmp_path / "one", model=empty))
    assert "cannot listen" in failing(launch(tmp_path / "two", "--listen", "256.0.0.1:http", "--insecure"))


def test_a_full_disk(launch: Callable[..., Server], mounted: Callable[[str], Path]) -> None:
    place = mounted("size=24m")
    ballast = place / "ballast"
    ballast.write_bytes(bytes(12 << 20))
    data = place / "data"
    server = launch(data)
    stubs = server.ready()
    acked: dict[str, str] = {}
    failure = None
    for number in range(400):
        # Hardly compressible, so that the disk fills soon.
        rows = [row(f"{number}-{k}", f"{number} {k} {os.urandom(4000).hex()}") for k in range(40)]
        try:
            upsert(stubs, "c", rows)
        except grpc.RpcError as error:
            failure = error
            break
        acked |= {r.id: r.response for r in rows}
    assert failure is not None
    assert acked
    found = refused(lambda: upsert(stubs, "c", rows))
    expect(found, "RESOURCE_EXHAUSTED", "DISK_FULL")
    assert "free space" in found.message
    check_all(stubs, acked)
    found = refused(lambda: upsert(stubs, "another", rows))
    expect(found, "RESOURCE_EXHAUSTED", "DISK_FULL")

    ballast.unlink()
    assert set(upsert(stubs, "c", rows).outcomes) <= {"CREATED", "UNCHANGED"}
    acked |= {r.id: r.response for r in rows}
    assert upsert(stubs, "another", [row("a", OWL)]).outcomes == ["CREATED"]
    check_all(stubs, acked)
    server.process.kill()
    server.process.wait()
    again = launch(data)
    stubs = again.ready()
    check_all(stubs, acked)
    assert get(stubs, "another", "a").response == OWL
    assert again.stop() == 0


def check_all(stubs: Stubs, rows: dict[str, str]) -> None:
    kept: list[types_pb2.Transcript] = listed(stubs, "c")
    assert {t.id: t.response for t in kept} == rows
    assert len(kept) == len(rows)
    some = list(rows)[len(rows) // 2]
    assert search(stubs, rows[some], "c", top=1).hits[0].id == some


# ---- the parent ----


def test_a_server_ends_with_its_standard_input(launch: Callable[..., Server], tmp_path: Path) -> None:
    server = launch(tmp_path / "data", "--exit-with-stdin", stdin=subprocess.PIPE)
    stubs = server.ready()
    server.process.stdin.write(b"anything\n")
    server.process.stdin.flush()
    assert upsert(stubs, "c", [row("a", OWL)]).outcomes == ["CREATED"]
    server.process.stdin.close()
    assert server.process.wait(DEADLINE) == 0
    # Input that is at its end already is closed too.
    assert launch(tmp_path / "data", "--exit-with-stdin", stdin=subprocess.DEVNULL).process.wait(240) == 0
    closed = launch(tmp_path / "data", "--exit-with-stdin", preexec_fn=lambda: os.close(0))
    assert closed.process.wait(240) == 0
    assert "Traceback" not in closed.text()


def test_a_server_that_starts_can_be_ended(launch: Callable[..., Server], tmp_path: Path) -> None:
    server = launch(tmp_path / "data")
    assert next(server.watch()) == NOT_SERVING
    assert server.stop() == 0
    assert "Traceback" not in server.text()
    assert launch(tmp_path / "data").ready()


def test_an_open_health_watch_does_not_hold_the_drain(launch: Callable[..., Server], tmp_path: Path) -> None:
    server = launch(tmp_path / "data", "--drain-seconds", "600")
    states = server.watch()
    assert SERVING in states
    assert server.stop() == 0
    states.close()
