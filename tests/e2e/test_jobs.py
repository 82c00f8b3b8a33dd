"""Long runs over gRPC: they end with their caller, leave searches alone, and can be seen and cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningServer, start_server, stop_server
from kinprint.client import AbortedError, Client, Job, KinprintError, ResourceExhaustedError, connect

TEXT = "Every one of these answers is the same from its first word to its last, so that each pair of them is a pair."


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("jobs")
    server = start_server(base / "data", tiny_model, base / "log", "--jobs", "1", "--job-memory", "300M")
    with connect(server.address) as client:
        # Four million pairs: a caller that does not read keeps the run going for as long as a test wants.
        client.upsert("same", ({"id": f"r{k:05d}", "response": TEXT} for k in range(3_000)))
    yield server
    assert stop_server(server) == 0


@pytest.fixture
def client(served: RunningServer) -> Iterator[Client]:
    with connect(served.address) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def running(client: Client) -> Job | None:
    return next((job for job in client.jobs(active_only=True) if job.state == "running" and job.pid), None)


class Begun:
    """A run of which the first pairs have come, and which waits for its reader."""

    def __init__(self, client: Client, corpus: str = "same", **options: Any) -> None:
        self._run = client.find_duplicates(corpus, threshold=0.5, expand=True, **options)
        self._pairs = iter(self._run)
        self._first = len(next(self._pairs))

    def count(self) -> int:
        """Read the rest; the number of all pairs."""
        return self._first + sum(len(pairs) for pairs in self._pairs)

    def close(self) -> None:
        """Let go of the run."""
        self._run.close()


def begin(client: Client, corpus: str = "same", **options: Any) -> Begun:
    return Begun(client, corpus, **options)


def test_a_run_is_seen_and_a_search_goes_on_beside_it(client: Client) -> None:
    run = begin(client)
    job = running(client)
    assert job is not None
    assert (job.kind, list(job.corpora)) == ("FindDuplicates", ["same"])
    assert job.memory_limit_bytes == 300 << 20
    assert client.get_job(job.id).id == job.id
    assert client.search(TEXT, corpus="same").hits[0].score == 1.0
    run.close()


def test_it_ends_within_a_second_after_its_caller_has_gone(client: Client) -> None:
    run = begin(client)
    job = running(client)
    assert job is not None
    run.close()
    begun = time.monotonic()
    until(lambda: not alive(job.pid))
    assert time.monotonic() - begun < 2.0  # a second, and room for a busy machine
    assert client.get_job(job.id).state == "cancelled"


def test_it_ends_when_its_deadline_has_passed(client: Client) -> None:
    run = begin(client, timeout=15.0)
    job = running(client)
    assert job is not None
    until(lambda: not alive(job.pid), 25.0)
    with pytest.raises(KinprintError):
        run.count()
    assert client.get_job(job.id).state == "cancelled"


def test_it_is_cancelled_by_its_id_and_its_caller_is_told(client: Client) -> None:
    run = begin(client)
    job = running(client)
    assert job is not None
    client.cancel_job(job.id)
    with pytest.raises(AbortedError) as refused:
        run.count()
    assert refused.value.reason == "JOB_CANCELLED"
    assert client.get_job(job.id).state == "cancelled"


def test_one_that_waits_is_told_its_place(client: Client) -> None:
    steps: list[str] = []
    first = begin(client)
    second = client.find_duplicates("same", threshold=0.5, progress=lambda p: steps.append(p.step))
    waiting = until(lambda: [j for j in client.jobs(active_only=True) if j.state == "queued"])
    assert waiting[0].queue_place == 1
    first.close()
    assert sum(len(pairs) for pairs in second) == 2_999
    assert steps[0] == "next to run"


def test_one_that_needs_too_much_memory_says_so(tmp_path: Path, tiny_model: Path) -> None:
    server = start_server(tmp_path / "data", tiny_model, tmp_path / "log", "--job-memory", "16M")
    with connect(server.address) as client:
        # Exact search holds eight bytes a shingle of every text, seven million here, and more while it joins them.
        texts = (" ".join(f"w{k * 7919 + i}" for i in range(60_000)) for k in range(120))
        client.upsert("big", ({"id": f"r{k}", "response": text} for k, text in enumerate(texts)), channels=["copy"])
        with pytest.raises(ResourceExhaustedError) as refused:
            list(client.find_duplicates("big", threshold=0.1, exact=True))
        assert refused.value.reason == "JOB_MEMORY"
        assert "--job-memory" in str(refused.value)
        assert client.search("w0 w1 w2 w3 w4 w5 w6 w7 w8 w9", corpus="big").hits
    assert stop_server(server) == 0


def test_deleting_the_corpus_takes_nothing_from_a_run(client: Client) -> None:
    client.upsert("gone", ({"id": f"r{k}", "response": TEXT} for k in range(1_500)))
    run = begin(client, "gone")
    client.delete_corpus("gone")
    assert run.count() == 1_500 * 1_499 // 2


def test_workers_end_with_a_server_that_is_killed(tmp_path: Path, tiny_model: Path) -> None:
    server = start_server(tmp_path / "data", tiny_model, tmp_path / "log")
    client = connect(server.address)
    client.upsert("same", ({"id": f"r{k}", "response": TEXT} for k in range(3_000)))
    run = begin(client)
    job = running(client)
    assert job is not None
    server.process.kill()
    server.process.wait()
    until(lambda: not alive(job.pid))
    with pytest.raises(KinprintError):
        run.count()
    client.close()


def test_a_caller_that_is_killed_takes_its_run_along(served: RunningServer, client: Client) -> None:
    code = (
        "import sys, time\nfrom kinprint.client import connect\n"
        f"run = connect({served.address!r}).find_duplicates('same', threshold=0.5, expand=True)\n"
        "pairs = iter(run)\nnext(pairs)\nprint('begun', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "begun\n"
        job = running(client)
        assert job is not None
        caller.send_signal(signal.SIGKILL)
    until(lambda: not alive(job.pid), 5.0)


def test_an_unknown_job(client: Client) -> None:
    with pytest.raises(KinprintError) as refused:
        client.get_job("j-nobody")
    assert refused.value.reason == "JOB_NOT_FOUND"
