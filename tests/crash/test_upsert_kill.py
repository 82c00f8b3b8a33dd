"""kill -9 of a server under load: what it acknowledged is there when the next one starts, whole and once."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from conftest import RunningServer, start_server, stop_server
from kinprint.client import connect
from kinprint.v1 import transcript_pb2, transcript_pb2_grpc, types_pb2

pytestmark = pytest.mark.slow

CORPUS = "kill"
COPY, STYLE, SEMANTIC = types_pb2.CHANNEL_COPY, types_pb2.CHANNEL_STYLE, types_pb2.CHANNEL_SEMANTIC


def answer(number: int, row: int, version: int = 0) -> str:
    return f"Answer {row} of batch {number}, version {version}: " + " ".join(
        f"word{(number * 31 + row * 7 + k * (version + 1)) % 97}" for k in range(40)
    )


@dataclass
class Load:
    """A client that sends numbered batches without end and notes which were acknowledged."""

    address: str
    channels: list[int]
    rows: int
    first: int
    version: int = 0
    acknowledged: set[int] = field(default_factory=set)
    sent: int = 0
    error: grpc.RpcError | None = None

    def start(self) -> None:
        self._window = threading.Semaphore(4)
        self._closed = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait_for_acks(self, count: int) -> None:
        """Return when so many batches were acknowledged, or the stream has ended."""
        while len(self.acknowledged) < count and self._thread.is_alive():
            time.sleep(0.002)

    def join(self) -> None:
        self._closed.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _requests(self) -> Iterator[transcript_pb2.UpsertTranscriptsRequest]:
        request = transcript_pb2.UpsertTranscriptsRequest
        yield request(start=transcript_pb2.UpsertStart(corpus=CORPUS, create_corpus=True, channels=self.channels))
        sequence = 0
        while not self._closed.is_set():
            if not self._window.acquire(timeout=0.1):
                continue
            number = self.first + sequence
            sequence += 1
            self.sent = sequence
            yield request(
                batch=transcript_pb2.UpsertBatch(
                    sequence=sequence,
                    transcripts=[
                        types_pb2.Transcript(
                            id=f"{number}-{row}",
                            response=answer(number, row, self.version),
                            model=f"m{number % 3}",
                            language="en",
                        )
                        for row in range(self.rows)
                    ],
                )
            )
        yield request(stop=transcript_pb2.UpsertStop())

    def _run(self) -> None:
        with grpc.insecure_channel(self.address) as channel:
            stub = transcript_pb2_grpc.TranscriptServiceStub(channel)
            try:
                for message in stub.UpsertTranscripts(self._requests()):
                    if message.HasField("result"):
                        assert all(item.HasField("item") for item in message.result.items)
                        self._window.release()
                    if message.HasField("ack"):
                        self.acknowledged |= set(range(self.first, self.first + message.ack.sequence))
            except grpc.RpcError as error:
                self.error = error
            finally:
                self._closed.set()


@dataclass
class Held:
    """What a corpus must hold: the version of each acknowledged batch, and what may be there besides."""

    rows: int
    version: dict[int, int] = field(default_factory=dict)
    #: Batches that were sent and not acknowledged: each row has any of these versions, or is not there.
    open: dict[int, set[int | None]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    #: Rows that were deleted, and then sent again without an acknowledgement.
    unsure: set[str] = field(default_factory=set)

    def names(self, number: int) -> set[str]:
        return {f"{number}-{row}" for row in range(self.rows)}

    def note(self, load: Load) -> None:
        for number in range(load.first, load.first + load.sent):
            if number in load.acknowledged:
                self.version[number] = load.version
                self.open.pop(number, None)
                self.unsure -= self.names(number)
            else:
                self.open.setdefault(number, {self.version.pop(number, None)}).add(load.version)
                self.unsure |= self.deleted & self.names(number)
            self.deleted -= self.names(number)

    def check(self, found: dict[str, str]) -> None:
        for number, version in self.version.items():
            for row in range(self.rows):
                name = f"{number}-{row}"
                if name not in self.deleted:
                    assert found.pop(name) == answer(number, row, version)
        for number, versions in self.open.items():
            there = [row for row in range(self.rows) if f"{number}-{row}" in found]
            if None not in versions:
                missing = self.names(number) - self.deleted - self.unsure - {f"{number}-{row}" for row in there}
                assert missing == set()
            for row in there:
                texts = {answer(number, row, v) for v in versions if v is not None}
                assert found.pop(f"{number}-{row}") in texts
        assert found == {}, "rows that nobody sent, or that were deleted"


def listed(address: str) -> dict[str, str]:
    """All rows by id; an id that is listed twice fails."""
    with connect(address) as client:
        found: dict[str, str] = {}
        for row in client.list(CORPUS):
            assert row.id not in found
            found[row.id] = row.response
        return found


def kill(server: RunningServer) -> None:
    server.process.send_signal(signal.SIGKILL)
    assert server.process.wait(30) == -signal.SIGKILL


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start a server on the test's data directory; whatever still runs at the end is killed."""
    started: list[RunningServer] = []

    def run(model: Path | str = "none") -> RunningServer:
        server = start_server(tmp_path / "data", model, tmp_path / f"log-{len(started)}")
        started.append(server)
        return server

    yield run
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(30)


def test_acknowledged_rows_survive_kills(start: Callable[..., RunningServer]) -> None:
    chance = random.Random(20261122)
    held = Held(rows=20)
    first = 0
    for round_number in range(8):
        server = start()
        if round_number:
            held.check(listed(server.address))
        # Every other round writes over batches that are there already.
        again = round_number % 2 == 1
        load = Load(server.address, [COPY, STYLE], held.rows, 0 if again else first, version=round_number)
        load.start()
        load.wait_for_acks(chance.randint(1, 6))
        time.sleep(chance.uniform(0.0, 0.1))
        if round_number in (2, 4, 6):
            doomed = [f"{chance.choice(sorted(held.version))}-{row}" for row in range(3)]
            with connect(server.address) as client:
                client.delete(CORPUS, doomed)
            held.deleted |= set(doomed)
        kill(server)
        load.join()
        assert load.error is not None
        assert load.acknowledged
        held.note(load)
        first = max(first, load.first + load.sent)
    server = start()
    held.check(listed(server.address))
    with connect(server.address) as client:
        number = max(held.version)
        hit = client.search(answer(number, 3, held.version[number]), corpus=CORPUS).hits[0]
        assert (hit.id, hit.score) == (f"{number}-3", 1.0)
    assert stop_server(server) == 0


def test_repeating_what_was_not_acknowledged_gives_every_row_once(start: Callable[..., RunningServer]) -> None:
    chance = random.Random(7)
    held = Held(rows=25)
    resume = 0
    for _ in range(2):
        server = start()
        load = Load(server.address, [COPY], held.rows, resume)
        load.start()
        load.wait_for_acks(chance.randint(2, 5))
        kill(server)
        load.join()
        held.note(load)
        resume = max(load.acknowledged, default=resume - 1) + 1
    server = start()
    load = Load(server.address, [COPY], held.rows, resume)
    load.start()
    load.wait_for_acks(8)
    load.join()
    assert load.error is None
    held.note(load)
    assert held.open == {}
    assert set(held.version) == set(range(max(held.version) + 1))
    held.check(listed(server.address))


def test_deletes_survive_kills(start: Callable[..., RunningServer]) -> None:
    server = start()
    load = Load(server.address, [COPY, STYLE], 50, 0)
    load.start()
    load.wait_for_acks(8)
    load.join()
    held = Held(50)
    held.note(load)
    names = [f"{number}-{row}" for number in held.version for row in range(50)]
    chance = random.Random(3)
    chance.shuffle(names)
    for _ in range(2):
        deleted: list[str] = []
        unsure: set[str] = set()
        address = server.address

        def delete(address: str = address, deleted: list[str] = deleted, unsure: set[str] = unsure) -> None:
            with grpc.insecure_channel(address) as channel:
                stub = transcript_pb2_grpc.TranscriptServiceStub(channel)
                while names:
                    some = [names.pop() for _ in range(5)]
                    try:
                        stub.DeleteTranscripts(transcript_pb2.DeleteTranscriptsRequest(corpus=CORPUS, ids=some))
                    except grpc.RpcError:  # the server is gone; these five may be deleted or not
                        unsure.update(some)
                        return
                    deleted += some

        thread = threading.Thread(target=delete)
        thread.start()
        while len(deleted) < 20:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        kill(server)
        thread.join(60)
        held.deleted |= set(deleted)
        server = start()
        found = listed(server.address)
        held.deleted |= {name for name in unsure if name not in found}
        held.check(found)


def test_kills_during_a_publish(start: Callable[..., RunningServer], tmp_path: Path) -> None:
    """The end of a load with many rows publishes indexes; killed there, the next start is none the worse."""
    held = Held(rows=400)
    first = 0
    generations: list[Path] = []
    for moment in (0.0, 0.02):
        server = start()
        if first:
            held.check(listed(server.address))
        load = Load(server.address, [COPY, STYLE], held.rows, first)
        load.start()
        load.wait_for_acks(4)
        (corpus,) = (tmp_path / "data" / "corpora").iterdir()
        before = set(corpus.glob("generations/*"))
        load.join()
        assert load.error is None
        held.note(load)
        assert held.open == {}
        deadline = time.monotonic() + 20
        while set(corpus.glob("generations/*")) <= before and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(moment)
        kill(server)
        generations += sorted(corpus.glob("generations/*"))
        first = max(held.version) + 1
    assert generations, "no kill came after a publish had begun"
    server = start()
    held.check(listed(server.address))
    assert not list(corpus.glob("generations/.new-*"))
    assert stop_server(server) == 0


def test_kills_during_a_semantic_fill(start: Callable[..., RunningServer], tiny_model: Path) -> None:
    """An acknowledged batch has its embeddings; others have them all or can be given them afterwards."""
    chance = random.Random(5)
    held = Held(rows=20)
    first = 0
    for _ in range(2):
        server = start(tiny_model)
        load = Load(server.address, [COPY, SEMANTIC], held.rows, first)
        load.start()
        load.wait_for_acks(chance.randint(1, 3))
        time.sleep(chance.uniform(0.0, 0.3))
        kill(server)
        load.join()
        assert load.acknowledged
        held.note(load)
        first += load.sent
    server = start(tiny_model)
    found = listed(server.address)
    held.check(dict(found))
    with connect(server.address) as client:
        coverage = {c.channel: c for c in client.get_corpus(CORPUS).coverage}
        assert coverage["semantic"].filled >= len(held.version) * held.rows
        for number in chance.sample(sorted(held.version), 3):
            for row in (0, held.rows - 1):
                assert "semantic" in client.get(CORPUS, f"{number}-{row}").channels
    # The same batches once more: nothing is written but the embeddings that are missing.
    again = Load(server.address, [COPY, SEMANTIC], held.rows, 0)
    again.start()
    again.wait_for_acks(first)
    again.join()
    assert again.error is None
    with connect(server.address) as client:
        coverage = {c.channel: c for c in client.get_corpus(CORPUS).coverage}
        assert coverage["semantic"].filled == coverage["copy"].filled == len(listed(server.address))
