"""Jobs: places, memory, cancellation, and what crosses between the processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import job_functions
import numpy as np
import pyarrow as pa
import pytest
from corpus_rows import submission, write
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.failures import (
    InvalidField,
    JobCancelled,
    JobDied,
    JobMemory,
    JobNotFound,
    JobQueueFull,
    Unavailable,
)
from kinprint.server.jobs import registry
from kinprint.server.jobs.registry import Jobs, JobState, Request
from kinprint.server.progress import Progress


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Jobs]:
    jobs = Jobs(folder, **{"places": 1, "memory": 0, **options})
    try:
        yield jobs
    finally:
        await jobs.close()


def request(function: Callable[..., Any], *arguments: Any, **named: Any) -> Request:
    return Request(function.__name__, ["c"], function, arguments, named)


async def results(jobs: Jobs, function: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
    async with aclosing(jobs.run(request(function, *arguments, **named), lambda made: [made])) as run:
        return [made async for made in run if not isinstance(made, Progress)]


async def drained(run: AsyncIterator[Any]) -> int:
    """Read a run to its end; how much came."""
    return len([made async for made in run])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)
    return found


def test_results_come_in_order_with_progress_and_translated_in_threads(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            run = jobs.run(request(job_functions.count, 3), lambda made: [made, made], caller="tests")
            made = [item async for item in run]
            numbers = [item for item in made if not isinstance(item, Progress)]
            assert numbers == [0, 0, 1, 1, 2, 2]
            assert Progress("number 1", 1 / 3) in made
            (job,) = jobs.list()
            assert (job.state, job.kind, job.corpora, job.caller) == (JobState.FINISHED, "count", ("c",), "tests")
            assert job.share == 1.0
            assert job.most_memory > 0
            assert job.created_at <= job.started_at <= job.ended_at  # type: ignore[operator]
            assert jobs.get(job.id) == job
            with pytest.raises(JobNotFound):
                jobs.get("j-nobody")

    asyncio.run(main())


def test_arrays_frames_and_failures_cross_whole(tmp_path: Path) -> None:
    async def main() -> None:
        array = np.arange(1_000_000, dtype=np.int32).reshape(1000, 1000)
        batch = pa.record_batch({"id": ["a", "\u00e9"], "n": [1, None]})
        async with opened(tmp_path) as jobs:
            ((values, named),) = await results(jobs, job_functions.echo, array, "x", frame=batch, nothing=np.zeros(0))
            np.testing.assert_array_equal(values[0], array)
            assert named["frame"].equals(batch)
            assert len(named["nothing"]) == 0
            assert await results(jobs, job_functions.noisy) == ["quiet"]
            with pytest.raises(InvalidField) as refused:
                await results(jobs, job_functions.refuse)
            assert (refused.value.field, refused.value.reason) == ("threshold", "FIELD_INVALID")
            with pytest.raises(RuntimeError, match="Odd: odd"):
                await results(jobs, job_functions.fail_oddly)
            assert jobs.list()[0].state is JobState.FAILED
            # All callers see it, and what was not foreseen may quote one's text.
            assert jobs.list()[0].problem == "internal error (RuntimeError); the server's log has the details"

    asyncio.run(main())


def test_a_worker_is_reused_at_low_priority_and_ended_when_idle(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, idle_seconds=1.0) as jobs:
            ((first, niceness),) = await results(jobs, job_functions.where)
            ((second, _),) = await results(jobs, job_functions.where)
            assert first == second != os.getpid()
            assert niceness >= 10
            await until(lambda: not alive(first))
            ((third, _),) = await results(jobs, job_functions.where)
            assert third != first
        assert not alive(third)

    asyncio.run(main())


def test_a_run_ends_at_once_when_nobody_listens(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            run = asyncio.create_task(results(jobs, job_functions.spin))
            job = await until(lambda: next((j for j in jobs.list() if j.step == "spinning"), None))
            begun = time.monotonic()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await until(lambda: not alive(job.pid))
            assert time.monotonic() - begun < 1.0
            assert jobs.get(job.id).state is JobState.CANCELLED
            # The place is free again.
            assert await results(jobs, job_functions.count, 1) == [0]

    asyncio.run(main())


def test_jobs_wait_their_turn_and_are_told_their_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            first = asyncio.create_task(results(jobs, job_functions.spin))
            await until(lambda: [j for j in jobs.list() if j.state is JobState.RUNNING])
            told: dict[str, list[str]] = {"b": [], "c": []}

            async def wait(name: str) -> None:
                async with aclosing(jobs.run(request(job_functions.count, 1), lambda made: [made])) as run:
                    async for made in run:
                        if isinstance(made, Progress):
                            told[name].append(made.step)

            waiting = [asyncio.create_task(wait("b"))]
            await until(lambda: told["b"])
            waiting.append(asyncio.create_task(wait("c")))
            await until(lambda: told["c"])
            states = [(j.state, j.queue_place) for j in jobs.list(active_only=True)]
            assert states == [(JobState.RUNNING, 0), (JobState.QUEUED, 1), (JobState.QUEUED, 2)]
            first.cancel()
            await asyncio.gather(*waiting)
            assert told["b"][0] == "next to run"
            assert told["c"][:2] == ["waiting for a place, 1 before it", "next to run"]

    asyncio.run(main())


def test_a_job_is_cancelled_by_its_id_running_or_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            runs = [asyncio.create_task(results(jobs, job_functions.spin)) for _ in range(2)]
            await until(lambda: len(jobs.list()) == 2 and jobs.list()[0].step == "spinning")
            running, waiting = jobs.list()
            jobs.cancel(waiting.id)
            with pytest.raises(JobCancelled):
                await runs[1]
            jobs.cancel(running.id)
            with pytest.raises(JobCancelled):
                await runs[0]
            assert {jobs.get(job.id).state for job in (running, waiting)} == {JobState.CANCELLED}
            assert jobs.cancel(running.id).state is JobState.CANCELLED  # of one that has ended nothing changes
            assert jobs.list(active_only=True) == []

    asyncio.run(main())


def test_one_whose_answers_are_not_read_gives_way_to_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "STALL_SECONDS", 0.5)

    async def main() -> None:
        async with opened(tmp_path) as jobs:
            run = jobs.run(request(job_functions.count, 100), lambda made: [made])
            await anext(run)
            await asyncio.sleep(1.0)  # nobody waits: it keeps its place
            assert await asyncio.wait_for(results(jobs, job_functions.count, 1), 30) == [0]
            with pytest.raises(JobCancelled, match="not read"):
                await drained(run)

    asyncio.run(main())


def test_a_server_that_shuts_down_says_so_to_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            runs = [asyncio.create_task(results(jobs, job_functions.spin)) for _ in range(2)]
            await until(lambda: len(jobs.list()) == 2 and jobs.list()[0].step == "spinning")
            jobs.refuse()
            told = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 10)
            assert [type(error) for error in told] == [Unavailable, Unavailable]
            with pytest.raises(Unavailable):
                await results(jobs, job_functions.count, 1)

    asyncio.run(main())


def test_more_than_may_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WAITING", 1)

    async def main() -> None:
        async with opened(tmp_path) as jobs:
            runs = [asyncio.create_task(results(jobs, job_functions.spin)) for _ in range(2)]
            await until(lambda: len(jobs.list()) == 2)
            with pytest.raises(JobQueueFull) as refused:
                await results(jobs, job_functions.count, 1)
            assert refused.value.retry_after
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("function", "arguments"), [(job_functions.hold, (400 << 20, 0.002)), (job_functions.ask_for, (2 << 30,))]
)
def test_a_job_that_needs_too_much_memory_says_what_it_wanted(
    tmp_path: Path, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    async def main() -> None:
        async with opened(tmp_path, memory=128 << 20) as jobs:
            with pytest.raises(JobMemory, match="more than the 128 MiB") as refused:
                await results(jobs, function, *arguments)
            assert "it held" in refused.value.message
            if function is job_functions.ask_for:
                assert "2.00 GiB" in refused.value.message
            assert jobs.list()[0].state is JobState.FAILED
            assert await results(jobs, job_functions.ask_for, 64 << 20) == [64 << 20]

    asyncio.run(main())


def test_a_worker_that_dies_is_told_and_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as jobs:
            with pytest.raises(JobDied, match="signal 9"):
                await results(jobs, job_functions.die)
            assert await results(jobs, job_functions.count, 1) == [0]

    asyncio.run(main())


def test_views_are_opened_as_they_were_whatever_happens_to_the_corpus(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "c-01234567", "c", "")
    write(corpus, [submission(f"the answer that is numbered {k}", id=f"r{k}") for k in range(20)])
    corpus.publish()
    write(corpus, [submission("an answer that only memory holds", id="fresh")])
    corpus.delete(["r0"])
    view = corpus.view
    expected = sorted([f"the answer that is numbered {k}" for k in range(20)] + ["an answer that only memory holds"])

    async def main() -> None:
        pins = tmp_path / "pins"
        async with opened(pins) as jobs:
            ((name, rows, texts, fresh),) = await results(jobs, job_functions.describe, [view])
            assert (name, rows) == ("c", 20)
            assert texts == expected  # dead rows stay in their segment
            assert fresh == [False, True]
            assert list(pins.iterdir()) == []  # nothing stays pinned
            blocking = asyncio.create_task(results(jobs, job_functions.count, 20, 0.05))
            await until(lambda: [j for j in jobs.list() if j.state is JobState.RUNNING])
            blocking.cancel()

    asyncio.run(main())


def test_what_a_killed_server_left_pinned_is_removed_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        for name in ("j-0123456789ab", "an-operators", "j-short"):
            (tmp_path / name).mkdir()
        async with opened(tmp_path) as jobs:
            jobs.clear_pins()
        assert {p.name for p in tmp_path.iterdir()} == {"an-operators", "j-short"}

    asyncio.run(main())
