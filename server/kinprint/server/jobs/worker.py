"""The worker process: ``python -m kinprint.server.jobs.worker``, started by `kinprint.server.jobs.runner`.

Takes one run after another from standard input, and answers on what was standard output. It ends when its standard
input does: nobody waits for it then.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import pickle
import queue
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kinprint.server import threads
from kinprint.server.jobs import pipe

#: Niceness of a worker: what it gets beside a busy server is a thirtieth of a core.
NICENESS = 15


@dataclass(frozen=True, slots=True)
class Run:
    """What a worker is asked to do: `function(*arguments, **named)` is a generator; views among these are pinned.

    memory: bytes that the run may allocate beyond what the process holds when it begins; 0: no limit.
    """

    function: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    memory: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The worker has mapped what it needs. memory: bytes of its own that it holds before it begins."""

    memory: int


@dataclass(frozen=True, slots=True)
class Made:
    """Something that the run yielded."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The run raised. Of an exception that does not pickle, a RuntimeError with its text."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Finished:
    """The run ended. reusable: whether the process is fit for another."""

    reusable: bool


#: Memory of its own that a worker may keep between two runs, bytes; beyond it a fresh one is started.
_KEPT = 512 << 20
#: Bytes beyond a run's memory that may be asked for, at least, before the request fails.
_MARGIN = 1 << 30


def _requests() -> queue.SimpleQueue[Run]:
    """Runs as they come, read by a thread that ends the process when the server has gone."""
    waiting: queue.SimpleQueue[Run] = queue.SimpleQueue()

    def read() -> None:
        while True:
            try:
                message = pipe.receive(0)
            except pipe.PipeClosed:
                os._exit(0)
            except BaseException as error:
                waiting.put(Run(_raise, (error,), {}, 0))
            else:
                waiting.put(message)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return waiting


def _raise(error: BaseException) -> Iterator[Any]:
    raise error
    yield


def _serve(out: int) -> None:
    from kinprint.server.jobs import pins

    requests = _requests()
    while True:
        run = requests.get()
        try:
            arguments, named = pins.unpin(run.arguments), {key: pins.unpin(v) for key, v in run.named.items()}
            pipe.send(out, Opened(own_memory(os.getpid())))
            _limit(run.memory)
            for value in run.function(*arguments, **named):
                pipe.send(out, Made(value))
        except pipe.PipeClosed:
            os._exit(0)
        except BaseException as error:
            _limit(0)  # to tell it takes memory, too
            pipe.send(out, Failed(_picklable(_lack_of_memory(error) or error)))
        del run
        arguments = named = None  # type: ignore[assignment]
        _limit(0)
        gc.collect()
        pipe.send(out, Finished(own_memory(os.getpid()) < _KEPT))


def _limit(memory: int) -> None:
    """Let allocations fail that go far beyond `memory` bytes from here on; 0: never.

    What a process holds the server looks at, and ends it beyond its limit. Here a single request that could never be
    met fails, with the size in its error. Not closer: a thread that cannot be started leaves some libraries waiting.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held = _status(os.getpid(), "VmData")
    soft = held + memory + max(memory, _MARGIN) if memory and held is not None else resource.RLIM_INFINITY
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _lack_of_memory(error: BaseException) -> MemoryError | None:
    """The MemoryError behind an error, whatever a library made of it; None where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return MemoryError(str(cause))
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return MemoryError(str(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def _picklable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        logging.getLogger(__name__).exception("a run failed", exc_info=error)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _status(pid: int, *names: str) -> int | None:
    """Sum of fields of /proc/<pid>/status, bytes; None where the system has none."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            lines = [line.split() for line in status]
    except OSError:
        return None
    found = [int(line[1]) * 1024 for line in lines if line and line[0].rstrip(":") in names]
    return sum(found) if found else None


def own_memory(pid: int) -> int:
    """Bytes of memory that a process alone holds, swapped ones included; 0 where the system does not tell."""
    return _status(pid, "RssAnon", "VmSwap") or 0


def main() -> None:
    """Serve until standard input ends."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    # What a library prints must not stand among the answers.
    out = os.dup(1)
    os.dup2(2, 1)
    threads.configure()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    _serve(out)


if __name__ == "__main__":
    # Under its own name, so that messages unpickle as the classes that the server knows.
    from kinprint.server.jobs import worker

    worker.main()
