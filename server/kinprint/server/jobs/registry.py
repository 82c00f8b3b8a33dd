"""Which jobs run, wait and have ended. Used from the event loop alone; what blocks runs in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from kinprint.server.failures import (
    Failure,
    JobCancelled,
    JobDied,
    JobMemory,
    JobNotFound,
    JobQueueFull,
    Unavailable,
)
from kinprint.server.jobs.runner import Worker, WorkerDied
from kinprint.server.progress import Progress
from kinprint.server.store.disk import storage_failure
from kinprint.server.wording import counted

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Jobs that may wait for a place.
WAITING = 64
#: Ended jobs that are remembered, and for how long, seconds.
REMEMBERED, REMEMBERED_SECONDS = 100, 3600.0
#: Seconds between two looks at a job's memory.
LOOK_SECONDS = 0.1
#: Seconds that an idle worker is kept for the next job: to start one takes a second.
IDLE_SECONDS = 60.0
#: Seconds that a job may wait for its caller to read on while others wait for a place.
STALL_SECONDS = 120.0
#: Share of its limit that a process must have held for its death to be blamed on memory.
_NEAR = 0.8

#: Characters of an id that was asked for which a refusal repeats.
_SHOWN = 64

_PINS = re.compile(r"j-[0-9a-f]{12}")


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(slots=True)
class Job:
    """One long run; see Job in proto/. `owner`: name of the principal that asked for it."""

    id: str
    kind: str
    corpora: tuple[str, ...]
    caller: str
    memory_limit: int
    state: JobState = JobState.QUEUED
    queue_place: int = 0
    step: str = ""
    share: float = 0.0
    memory: int = 0
    most_memory: int = 0
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    problem: str = ""
    pid: int = 0
    owner: str = ""


@dataclass(eq=False, slots=True)
class _Held:
    """A job with what drives it."""

    job: Job
    #: Set when its place has changed, it may run, or it was cancelled.
    news: asyncio.Event = field(default_factory=asyncio.Event)
    #: What the caller is told when the job was ended from outside.
    ended: Failure | None = None
    worker: Worker | None = None
    #: Most bytes that its process held beyond what it held before the run.
    grown: int = 0
    #: Since when its caller has not taken what was made for it; None while it waits for more.
    unread: float | None = None


def _problem(error: Exception) -> str:
    """What a failed job is listed with, to all callers: what was not foreseen may quote a text of one of them."""
    if isinstance(error, Failure):
        return error.message
    return f"internal error ({type(error).__name__}); the server's log has the details"


@dataclass(frozen=True, slots=True)
class Request:
    """A run: `function(*arguments, **named)` is a generator of `Progress` and results, importable by name.

    kind, corpora: what is shown of it.
    """

    kind: str
    corpora: Sequence[str]
    function: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


class Jobs:
    """The jobs of one server.

    Parameters
    ----------
    folder
        Where files are pinned for workers; made when needed.
    places
        Jobs that run at once.
    memory
        Bytes of memory of its own that each may hold; 0: no limit.
    """

    def __init__(self, folder: Path, *, places: int, memory: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._folder = folder
        self._places = places
        self._memory = memory
        self._idle_seconds = idle_seconds
        self._threads = ThreadPoolExecutor(2 * places + 2, "kinprint-job")
        self._running: list[_Held] = []
        self._waiting: deque[_Held] = deque()
        self._ended: deque[Job] = deque(maxlen=REMEMBERED)
        self._idle: list[tuple[Worker, asyncio.TimerHandle]] = []
        self._closed = False

    # ---- what others see ----

    def list(self, *, active_only: bool = False) -> list[Job]:
        """Jobs that run or wait, oldest first, then those that ended lately, newest first; copies."""
        active = sorted((held.job for held in (*self._running, *self._waiting)), key=lambda job: job.created_at)
        lately = datetime.now(UTC).timestamp() - REMEMBERED_SECONDS
        ended = [job for job in reversed(self._ended) if job.ended_at is not None and job.ended_at.timestamp() > lately]
        return [replace(job) for job in (active if active_only else [*active, *ended])]

    def counts(self) -> tuple[int, int]:
        """How many run and how many wait; for any thread."""
        return len(self._running), len(self._waiting)

    def get(self, identifier: str) -> Job:
        """A job, as a copy. Raises JobNotFound."""
        for job in self.list():
            if job.id == identifier:
                return job
        raise self.missing(identifier)

    @staticmethod
    def missing(identifier: str) -> JobNotFound:
        """What is told of a job that is not there."""
        asked = repr(identifier) if len(identifier) <= _SHOWN else f"{identifier[:_SHOWN]!r}..."
        return JobNotFound(
            f"there is no job {asked} (ended ones are remembered for an hour); see: kinprint jobs", field="id"
        )

    def cancel(self, identifier: str) -> Job:
        """End a job that runs or waits. Raises JobNotFound."""
        for held in (*self._running, *self._waiting):
            if held.job.id == identifier:
                self._end(held, JobCancelled("the job was cancelled; run it again if that was a mistake"))
        return self.get(identifier)

    @staticmethod
    def _end(held: _Held, told: Failure) -> None:
        held.ended = told
        held.news.set()
        if held.worker is not None:
            held.worker.kill()

    def clear_pins(self) -> None:
        """Remove what a server that was killed left pinned; for a worker thread, at the start."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if _PINS.fullmatch(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)

    # ---- running ----

    async def run(
        self, request: Request, translate: Callable[[Any], Iterable[T]], *, caller: str = "", owner: str = ""
    ) -> AsyncGenerator[T, None]:
        """What a run yields, each translated in a thread; first, while it waits, its place in the queue.

        `caller` is shown; `owner` is the principal whose job it is. The run ends when this iterator is closed or
        cancelled. Raises what the run raises, JobQueueFull, JobMemory, JobCancelled, JobDied, StorageFull, Unavailable.
        """
        held = self._admit(request, caller, owner)
        job = held.job
        outcome, problem = JobState.CANCELLED, "its caller has gone, or its deadline has passed"
        try:
            async with aclosing(self._place(held)) as places:
                async for progress in places:
                    for message in translate(progress):
                        yield message
            async with aclosing(self._drive(held, request, translate)) as messages:
                async for message in messages:
                    yield message
            outcome, problem = JobState.FINISHED, ""
        except JobCancelled:
            problem = "it was cancelled by its id"
            raise
        except Exception as error:
            outcome, problem = JobState.FAILED, _problem(error)
            raise
        finally:
            self._release(held, outcome, problem)
            logger.info(
                "job %s %s ended: %s%s", job.id, job.kind, outcome.name.lower(), f", {problem}" if problem else ""
            )

    def _admit(self, request: Request, caller: str, owner: str) -> _Held:
        if self._closed:
            raise _shutting_down()
        if len(self._waiting) >= WAITING:
            raise JobQueueFull(
                f"{counted(len(self._running), 'job runs', 'jobs run')} and {len(self._waiting)} wait, which is the "
                "most; try again later, or end some: kinprint jobs",
                retry_after=5.0,
            )
        identifier = f"j-{secrets.token_hex(6)}"
        held = _Held(Job(identifier, request.kind, tuple(request.corpora), caller, self._memory, owner=owner))
        self._waiting.append(held)
        self._hand_out()
        return held

    def _hand_out(self) -> None:
        """Give free places to those that wait longest, and tell the others where they are."""
        while self._waiting and len(self._running) < self._places:
            held = self._waiting.popleft()
            held.job.state, held.job.queue_place = JobState.RUNNING, 0
            held.job.started_at = datetime.now(UTC)
            self._running.append(held)
            held.news.set()
        for place, held in enumerate(self._waiting, 1):
            if held.job.queue_place != place:
                held.job.queue_place = place
                held.job.step = f"waiting for a place, {place - 1} before it" if place > 1 else "next to run"
                held.news.set()

    async def _place(self, held: _Held) -> AsyncGenerator[Progress, None]:
        """Wait for a place; yields the place in the queue whenever it changes."""
        while held.job.state is JobState.QUEUED:
            held.news.clear()
            yield Progress(held.job.step, 0.0)
            await held.news.wait()
            self._check(held)

    @staticmethod
    def _check(held: _Held) -> None:
        """Raise what the caller is told when the job was ended from outside."""
        if held.ended is not None:
            raise held.ended

    async def _drive(
        self, held: _Held, request: Request, translate: Callable[[Any], Iterable[T]]
    ) -> AsyncGenerator[T, None]:
        job = held.job
        loop = asyncio.get_running_loop()
        worker = held.worker = await self._worker(held)
        self._check(held)
        job.pid, job.step = worker.pid, "starting"
        watching = asyncio.create_task(self._watch(held, worker))

        def following() -> list[T] | None:
            made = worker.receive()
            if made is None:
                return None
            if isinstance(made.value, Progress):
                job.step, job.share = made.value.step, made.value.share
            return list(translate(made.value))

        def begin() -> None:
            try:
                worker.begin(
                    request.function,
                    request.arguments,
                    request.named,
                    folder=self._folder / job.id,
                    memory=self._memory,
                )
            except OSError as error:
                raise storage_failure("cannot hand the corpora to a job", error) from error

        try:
            await loop.run_in_executor(self._threads, begin)
            while (messages := await loop.run_in_executor(self._threads, following)) is not None:
                for message in messages:
                    held.unread = time.monotonic()
                    yield message
                held.unread = None
            job.share = 1.0
        except MemoryError as error:
            raise self._too_large(held, str(error)) from error
        except WorkerDied as error:
            self._check(held)
            if job.memory_limit and held.grown >= _NEAR * job.memory_limit:
                raise self._too_large(held) from error
            logger.exception("job %s died", job.id)
            raise JobDied(f"the job ended unexpectedly: {error}; run it again, and report it if it stays so") from error
        finally:
            watching.cancel()

    @staticmethod
    def _too_large(held: _Held, wanted: str = "") -> JobMemory:
        told = f"it held {_mebibytes(held.grown)}" + (f", then: {wanted}" if wanted else "")
        return JobMemory(
            f"the job needs more than the {_mebibytes(held.job.memory_limit)} that one may have ({told}); ask for "
            "fewer rows (a filter, fewer corpora), or start the server with a larger --job-memory"
        )

    async def _watch(self, held: _Held, worker: Worker) -> None:
        """Note the memory of a worker, and end it when it holds more than it may."""
        job = held.job
        while True:
            job.memory = worker.memory()
            job.most_memory = max(job.most_memory, job.memory)
            if worker.base_memory is not None:  # what it holds before, every run needs
                held.grown = max(held.grown, job.memory - worker.base_memory)
                if job.memory_limit and held.grown > job.memory_limit:
                    worker.kill()
                    return
            if self._waiting and held.unread is not None and time.monotonic() - held.unread > STALL_SECONDS:
                held.ended = JobCancelled(
                    f"the job was ended: its answers were not read for {STALL_SECONDS:.0f} s while others waited"
                )
                self._release(held, JobState.CANCELLED, "its answers were not read while others waited")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _worker(self, held: _Held) -> Worker:
        """An idle worker, or a new one."""
        while self._idle:
            worker, timer = self._idle.pop()
            timer.cancel()
            if worker.alive:
                return worker
            self._let_go(worker)
        starting = asyncio.get_running_loop().run_in_executor(self._threads, Worker)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(lambda made: self._let_go(made.result()) if made.exception() is None else None)
            raise
        except OSError as error:
            raise JobDied(f"cannot start a process for the job: {error}") from error

    def _release(self, held: _Held, outcome: JobState, problem: str) -> None:
        """Give back the place of a job, and its worker if it is fit for another. Never waits."""
        if held in self._running:
            self._running.remove(held)
        elif held in self._waiting:
            self._waiting.remove(held)
        else:  # it was given back before
            return
        job, worker = held.job, held.worker
        held.worker = None
        job.state, job.problem, job.ended_at = outcome, problem, datetime.now(UTC)
        job.queue_place = job.pid = 0
        job.memory = job.most_memory
        self._ended.append(job)
        if worker is not None:
            if worker.reusable and worker.alive and not self._closed and len(self._idle) < self._places:
                self._keep(worker)
            else:
                self._let_go(worker)
        self._hand_out()

    def _keep(self, worker: Worker) -> None:
        def end() -> None:
            self._idle = [(kept, timer) for kept, timer in self._idle if kept is not worker]
            self._let_go(worker)

        self._idle.append((worker, asyncio.get_running_loop().call_later(self._idle_seconds, end)))

    def _let_go(self, worker: Worker) -> None:
        worker.kill()  # at once; what is left to do waits for the process
        try:
            self._threads.submit(worker.close)
        except RuntimeError:  # the threads have been shut down
            worker.close()

    def refuse(self) -> None:
        """End every job, those that wait too, and take no more: the server shuts down."""
        self._closed = True
        for held in (*self._running, *self._waiting):
            self._end(held, _shutting_down())

    async def close(self) -> None:
        """End every job and worker."""
        self.refuse()
        deadline = time.monotonic() + 2.0
        while (self._running or self._waiting) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for worker, timer in self._idle:
            timer.cancel()
            self._let_go(worker)
        self._idle = []
        await asyncio.to_thread(self._threads.shutdown)


def _shutting_down() -> Unavailable:
    return Unavailable("the server is shutting down; ask again, or the next server", retry_after=1.0)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def default_places(cores: int) -> int:
    """Jobs that run at once unless told otherwise: half the cores, at least 1."""
    return max(1, cores // 2)


def default_memory(places: int) -> int:
    """Bytes that a job may hold unless told otherwise: half of the machine's memory, shared by the places."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
    return total // 2 // places
