"""Compile kernels before they are needed: what a command needs first, in several processes, the rest behind.

Kernels come in *units*, each a few public functions and all that these call; units come in *groups*, each what one kind
of work needs::

    load     hashes, sketches and seeds of texts, and their style vectors
    search   what a query computes
    jobs     duplicates, passages, kinship and authorship
    frames   what only `kinprint.polars` calls

:func:`compile` leaves machine code in Numba's cache and says so in a stamp beside it, by which :func:`compiled` knows
without Numba that there is nothing to do. :func:`load` gets the code into this process. What is in no group, or was not
compiled ahead, is compiled when it is called first.

``python -m kinprint.kernels.warm UNIT ...`` compiles some units; without names, those that come in, one a line.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Final

from .cache import folder
from .sources import digest_of_all
from .units import GROUPS, UNITS

if TYPE_CHECKING:
    import subprocess

_COMMAND: Final = [sys.executable, "-m", "kinprint.kernels.warm"]


def _of(groups: Iterable[str]) -> list[str]:
    wanted = set(groups)
    if not wanted <= set(GROUPS):
        raise ValueError(f"groups are {', '.join(GROUPS)}, not {', '.join(sorted(wanted - set(GROUPS)))}")
    return [name for name, unit in UNITS.items() if unit.group in wanted]


# ---- stamps ----


def _processor() -> str:
    """What machine code depends on beside the sources: the processor, as far as it can be told without LLVM."""
    known = [os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_IDENTIFIER", "")]
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if not line.strip():
                    break  # the others are alike
                if line.startswith(("model name", "flags", "Features", "CPU part")):
                    known.append(line)
    except OSError:
        pass
    return "\n".join(known)


def _numba_version() -> str:
    """Version of Numba, read from its file: importing it takes longer than all else that a command does."""
    found = find_spec("numba")
    places = found.submodule_search_locations if found else None
    if not places:
        return ""
    source = Path(places[0], "_version.py").read_text(encoding="utf-8")
    version = re.search(r"[\"']version[\"']:\s*[\"']([^\"']+)", source)
    return version.group(1) if version else source


def _stamp() -> str:
    """Equal for two processes that can use the same machine code."""
    variables = sorted(
        f"{name}={value}" for name, value in os.environ.items() if name.startswith(("NUMBA_CPU", "NUMBA_OPT"))
    )
    parts = (digest_of_all(), _numba_version(), sys.version, sys.platform, _processor(), *variables)
    return sha256("\0".join(parts).encode()).hexdigest()


def _missing(names: Iterable[str]) -> list[str]:
    """Units without a stamp of the present sources and machine."""
    place = folder()
    if place is None:
        return list(names)
    stamp = _stamp()

    def stamped(name: str) -> bool:
        try:
            return (place / f"kernels-{name}.stamp").read_text(encoding="ascii") == stamp
        except OSError:
            return False

    return [name for name in names if not stamped(name)]


def _set_stamp(name: str) -> None:
    place = folder()
    if place is None:
        return
    aside = place / f"kernels-{name}.stamp.{os.getpid()}"
    try:
        aside.write_text(_stamp(), encoding="ascii")
        aside.replace(place / f"kernels-{name}.stamp")
    except OSError:
        aside.unlink(missing_ok=True)


# ---- compiling and loading ----


def compiled(groups: Iterable[str] = GROUPS) -> bool:
    """Whether all kernels of some groups are compiled for this machine, so that they only have to be loaded.

    Reads files and imports no Numba: some milliseconds. A cache that was removed in part may be reported as whole; what
    is missing then compiles when it is called.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    return not _missing(_of(groups))


def load(groups: Iterable[str] = GROUPS) -> None:
    """Get the kernels of some groups into this process: from the cache, or compiled here where they are not in it.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    for name in _of(groups):
        UNITS[name].run()


def _run(name: str) -> None:
    from kinprint.kernels.turn import calling_thread

    with calling_thread():
        UNITS[name].run()
    _set_stamp(name)


class _Work:
    """Units that are left, handed to whoever is free: those first on which most depends."""

    def __init__(self, names: Sequence[str], progress: Callable[[int, int, str], None]) -> None:
        self._left = list(names)
        self._running: list[str] = []
        self._changed = threading.Condition()
        self._progress = progress
        self._total = sum(self._cost(name) for name in names)
        self._done = 0
        self._processes: list[subprocess.Popen[str]] = []
        self.failure = ""

    @staticmethod
    def _cost(name: str) -> int:
        return max(1, round(10 * UNITS[name].seconds))

    def _weight(self, name: str) -> int:
        """Cost of the longest chain that begins with a unit."""
        return self._cost(name) + max((self._weight(k) for k in self._left if name in UNITS[k].after), default=0)

    def _free(self) -> list[str]:
        busy = {*self._left, *self._running}
        return [name for name in self._left if not busy.intersection(UNITS[name].after)]

    def take(self) -> str | None:
        """A unit that can begin, once there is one; None when there are no more."""
        with self._changed:
            self._changed.wait_for(lambda: self.failure or not self._left or self._free())
            if self.failure or not self._left:
                return None
            name = max(self._free(), key=self._weight)
            self._left.remove(name)
            self._running.append(name)
            return name

    def done(self, name: str) -> None:
        """A unit that was taken is compiled."""
        with self._changed:
            self._running.remove(name)
            self._done += self._cost(name)
            self._changed.notify_all()

    def begin(self, process: subprocess.Popen[str]) -> None:
        """A process that is ended with the work."""
        with self._changed:
            self._processes.append(process)
            if self.failure:
                process.kill()

    def fail(self, reason: str) -> None:
        """Nothing else begins, and what is under way ends."""
        with self._changed:
            self.failure = self.failure or reason
            for process in self._processes:
                process.kill()
            self._changed.notify_all()

    def tell(self) -> None:
        """Report how far it is."""
        with self._changed:
            done, running = self._done, ", ".join(self._running)
        self._progress(done, self._total, running)


def _started(nice: int, errors: IO[str]) -> subprocess.Popen[str]:
    import subprocess  # here and below: what only compiling needs, whoever asks should not wait for

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    process = subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=environment)
    if nice and hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    return process


def _worker(work: _Work, nice: int, changed: SimpleQueue[None]) -> None:
    """Run a process that compiles one unit after the other, until there are none."""
    from tempfile import TemporaryFile

    process: subprocess.Popen[str] | None = None
    name: str | None = "kernels"
    with TemporaryFile("w+") as errors:
        try:
            while (name := work.take()) is not None:
                changed.put(None)
                if process is None:
                    process = _started(nice, errors)
                    work.begin(process)
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{name}\n")
                process.stdin.flush()
                if process.stdout.readline() != f"{name}\n":
                    raise OSError("the process ended")
                work.done(name)
        except OSError as error:
            errors.seek(0)
            work.fail(f"compiling {name}: {errors.read()[-2000:].strip() or error}")
        finally:
            if process is not None:
                with contextlib.suppress(OSError):
                    process.communicate()
            changed.put(None)


def compile(
    groups: Iterable[str] = GROUPS,
    *,
    processes: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    nice: int = 0,
) -> None:
    """Compile all kernels of some groups that are not compiled yet, in processes of their own.

    Parameters
    ----------
    groups
        Of :data:`GROUPS`.
    processes
        How many at once; the cores at hand by default.
    progress
        Called in this thread with the work done, the whole work, and names of what is being compiled: at each change,
        and twice a second. What it raises ends the work.
    nice
        How much nicer the processes are than this one: above 0 for what nobody waits for.

    Raises
    ------
    ValueError
        If there is no such group.
    RuntimeError
        If a process fails; the message says how.
    """
    names = _missing(_of(groups))
    if not names or folder() is None:
        return
    if processes is None:
        processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    changed: SimpleQueue[None] = SimpleQueue()
    work = _Work(names, progress)
    workers = [
        threading.Thread(target=_worker, args=(work, nice, changed), daemon=True)
        for _ in range(min(processes, len(names)))
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            with contextlib.suppress(Empty):
                changed.get(timeout=0.5)
            work.tell()
    except BaseException:
        work.fail("compiling was left")
        raise
    finally:
        for worker in workers:
            worker.join()
    if work.failure:
        raise RuntimeError(work.failure)
    work.tell()


def _main(names: Sequence[str]) -> None:
    for name in names or (line.strip() for line in sys.stdin):
        _run(name)
        print(name, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
