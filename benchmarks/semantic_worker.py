"""Processes that measure for `semantic.py`: a task is a line of JSON, its answer another.

Ours and those of other libraries are driven in the same way, so that they can take turns within one run. Others have
an interpreter of their own, without Kinprint: this module needs the standard library alone.

Threads are bounded twice: by what each library reads from its environment, and by the cores that the process may use.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

_POOLS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "LANCE_CPU_THREADS",
    "POLARS_MAX_THREADS",
    "KINPRINT_THREADS",
)

Figures = dict[str, Any]
Task = Callable[..., Any]


class WorkerError(RuntimeError):
    """A task failed, or its process ended; the text says how."""


class Clock:
    """Wall and CPU seconds of this process while the `with` block runs."""

    wall = cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def figures(self, **more: Any) -> Figures:
        """Both, and whatever else is known of the block."""
        return {"wall": self.wall, "cpu": self.cpu, **more}


def peak() -> float:
    """Most memory that was resident in this process so far, MB of 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def texts_of(path: str) -> Any:
    """What a file of JSON holds."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def serve(tasks: Mapping[str, Task]) -> None:
    """Do tasks until standard input ends."""
    # What libraries print goes elsewhere.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"answer": tasks[asked["task"]](**asked["arguments"])}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A process that does tasks, one after the other.

    Args:
        python: its interpreter.
        module: its tasks, a module beside this one with `TASKS`.
        threads: cores that it may use, and threads of each library.
        log: where what it prints goes.
    """

    def __init__(self, python: str, module: str, threads: int, log: Path) -> None:
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        environment = os.environ | dict.fromkeys(_POOLS, str(threads))
        # Nothing is ever fetched, and no tokenizer brings threads beyond those given.
        environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        environment |= {"TOKENIZERS_PARALLELISM": "false" if threads == 1 else "true"}
        # Ours finds whichever version of Kinprint is measured.
        places = [str(Path(__file__).parent), *(sys.path[1:] if python == sys.executable else [])]
        environment["PYTHONPATH"] = os.pathsep.join(places)
        self._log = log.open("ab")
        self._name = f"{module} ({threads} threads)"
        program = f"import semantic_worker, {module}; semantic_worker.serve({module}.TASKS)"
        self._process = subprocess.Popen(
            [python, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip

    def ask(self, task: str, **arguments: Any) -> Any:
        """The answer to a task.  Raises WorkerError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"task": task, "arguments": arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise WorkerError(f"{self._name} ended with {self._process.wait()} at {task}; see {self._log.name}")
        answer = json.loads(line)
        if "failed" in answer:
            raise WorkerError(f"{self._name}, {task}: {answer['failed']}")
        return answer["answer"]

    def end(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextlib.contextmanager
def working(python: str, module: str, threads: int, log: Path) -> Iterator[Worker]:
    """A worker, and its end."""
    worker = Worker(python, module, threads, log)
    try:
        yield worker
    finally:
        worker.end()
