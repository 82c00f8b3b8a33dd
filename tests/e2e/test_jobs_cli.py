"""Jobs seen and ended from the client and the command line, on a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kinprint.client import AbortedError, Client, Job, NotFoundError, Transcript, connect
from kinprint.client.cli import terminal
from kinprint.client.cli.app import app
from typer.testing import CliRunner

ROWS = 1500
TEXT = "The same answer many times over, so that to list every pair of its copies takes a caller who reads them all."
RUNNER = CliRunner()


def run(*arguments: object, code: int = 0) -> str:
    done = RUNNER.invoke(app, ["jobs", *map(str, arguments)])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done.stdout if code == 0 else done.stderr


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are not folded."""
    monkeypatch.setattr(terminal.out, "_width", 200)


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    with connect(server.address) as connected:
        connected.upsert("jobs", [Transcript(TEXT, id=f"r{number}") for number in range(ROWS)], channels=("copy",))
        yield connected


def held(client: Client) -> Any:
    """A run that goes on until its caller reads what it found, which is more than fits on the way."""
    return client.find_duplicates("jobs", 0.9, expand=True)


def own(client: Client) -> Job | None:
    return next((job for job in client.jobs(active_only=True) if job.corpora == ("jobs",)), None)


def test_a_job_is_listed_described_and_cancelled(client: Client, server: Any, tmp_path: Path) -> None:
    with held(client) as search:
        batches = iter(search)
        assert len(next(batches)) > 0
        job: Job = until(lambda: own(client))
        assert (job.kind, job.state, job.active) == ("FindDuplicates", "running", True)
        assert job.pid > 0
        assert job.created_at is not None
        assert job.started_at is not None
        assert job.ended_at is None

        listed = json.loads(run("--server", server.address, "--active", "--json"))["jobs"]
        assert job.id in [item["id"] for item in listed]
        text = run("--server", server.address)
        assert job.id in text
        assert "FindDuplicates" in text
        assert "MB" in text
        path = tmp_path / "jobs.parquet"
        run("--server", server.address, "--out", path)
        row = pl.read_parquet(path).filter(pl.col("id") == job.id).row(0, named=True)
        assert (row["kind"], row["state"], row["corpora"]) == ("FindDuplicates", "running", '["jobs"]')
        described = json.loads(run(job.id, "--server", server.address, "--json"))
        assert (described["id"], described["corpora"]) == (job.id, ["jobs"])
        assert str(described["pid"]) in run(job.id, "--server", server.address)

        assert job.id in run("--cancel", job.id, "--server", server.address)
        with pytest.raises(AbortedError) as caught:
            for _ in batches:
                pass
        assert caught.value.reason == "JOB_CANCELLED"
    ended = until(lambda: found if not (found := client.get_job(job.id)).active else None)
    assert ended.state == "cancelled"
    assert ended.problem
    assert ended.ended_at is not None
    assert ended.pid == 0
    assert "cancelled" in run("--cancel", job.id, "--server", server.address)
    assert job.id not in [item.id for item in client.jobs(active_only=True)]


def test_a_job_whose_caller_has_gone_ends(client: Client) -> None:
    with held(client) as search:
        batches = iter(search)
        next(batches)
        job: Job = until(lambda: own(client))
    ended = until(lambda: found if not (found := client.get_job(job.id)).active else None)
    assert ended.state == "cancelled"


def test_jobs_that_are_not_there_and_options_that_do_not_go_together(client: Client, server: Any) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.get_job("j-none")
    assert caught.value.reason == "JOB_NOT_FOUND"
    assert "j-none" in run("j-none", "--server", server.address, code=1)
    assert "j-none" in run("--cancel", "j-none", "--server", server.address, code=1)
    assert "--cancel" in run("x", "--cancel", "y", "--server", server.address, code=2)
    assert "--active" in run("x", "--active", "--server", server.address, code=2)
