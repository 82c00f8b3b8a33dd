"""What the programs here share: a server as a process, its CPU and memory, percentiles, tables.

Linux alone: CPU and memory are read from /proc, so that a server is measured from outside, with the processes that it
has started. Memory is in MB of 10^6 bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from kinprint.client import Client

_TICK = os.sysconf("SC_CLK_TCK")
_QUIET_SHARE, _QUIET_SECONDS = 0.03, 2.0
"""A process that used less than this share of a core for so long has nothing left to do."""


class Usage(NamedTuple):
    """What processes took so far."""

    user: float
    """CPU seconds."""
    system: float
    """CPU seconds in the kernel of the operating system."""
    written: float
    """MB handed to the file system's disk."""

    @property
    def cpu(self) -> float:
        """CPU seconds, of both kinds."""
        return self.user + self.system

    def since(self, before: Usage) -> Usage:
        """What was taken after `before`."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


class Memory(NamedTuple):
    """Memory of processes together, MB."""

    resident: float
    """All pages in memory, those of mapped files included, which the system takes back when it needs them."""
    held: float
    """Pages that are of no file (RssAnon): what the processes cannot do without."""


def descendants(pid: int) -> list[int]:
    """A process and all that it started, as far as they run."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += [int(child) for child in (task / "children").read_text().split()]
    return found


def usage(pid: int) -> Usage:
    """CPU and writing of a process, of those it started, and of those it started that have ended."""
    user, system, written = 0.0, 0.0, 0.0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            user += (int(fields[11]) + int(fields[13])) / _TICK
            system += (int(fields[12]) + int(fields[14])) / _TICK
            lines = Path(f"/proc/{one}/io").read_text().splitlines()
            written += next(int(line.split()[1]) for line in lines if line.startswith("write_bytes")) / 1e6
    return Usage(user, system, written)


def usage_by_thread(pid: int) -> dict[str, float]:
    """CPU seconds of the threads that run, by name without the number; threads of Python have its own."""
    found: dict[str, float] = defaultdict(float)
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(OSError):
                    name, _, rest = (task / "stat").read_text().rpartition(")")
                    fields = rest.split()
                    name = name.partition("(")[2].rstrip("-0123456789")
                    found[name] += (int(fields[11]) + int(fields[12])) / _TICK
    return dict(found)


def _status(pid: int, *names: str) -> list[float]:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    # A process that is ending has none of these.
    return [float(lines.get(name, "0 kB").split()[0]) * 1024 / 1e6 for name in names]


def memory(pid: int) -> Memory:
    """Memory of a process and those it started; mapped pages that they share count once for each."""
    resident, held = 0.0, 0.0
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            rss, anonymous = _status(one, "VmRSS", "RssAnon")
            resident, held = resident + rss, held + anonymous
    return Memory(resident, held)


def peak(pid: int) -> float:
    """Most memory that was resident in a process itself (VmHWM), 0 when it has gone."""
    with contextlib.suppress(OSError):
        return _status(pid, "VmHWM")[0]
    return 0.0


def forget_peak(pid: int) -> None:
    """Let `peak` count from now on."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def wait_quiet(pid: int, most: float = 120.0) -> float:
    """Wait until a process and those it started do nothing; seconds until then, `most` when they never stopped."""
    started = busy = time.perf_counter()
    before = usage(pid).cpu
    while (now := time.perf_counter()) - started < most:
        time.sleep(0.1)
        used = usage(pid).cpu
        if used - before > _QUIET_SHARE * (now - busy + 0.1):
            before, busy = used, time.perf_counter()
        elif now - busy >= _QUIET_SECONDS:
            return busy - started
    return most


class Sampler:
    """The most memory of a process and those it started while the `with` block runs, sampled every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most = memory(pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._end.wait(0.02):
            self.most = Memory(*map(max, self.most, memory(self._pid)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def holder(data: Path) -> tuple[int, str] | None:
    """Process and address of the server that a data directory names as its own; it may be gone."""
    try:
        lock = json.loads((data / "LOCK").read_text(encoding="utf-8").partition("\n")[0])
        return int(lock["pid"]), str(lock["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(pid: int) -> bool:
    """Whether a process runs."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Server:
    """A server process on a data directory, and a client of it."""

    def __init__(self, data: Path, model: str = "none", timeout: float = 60.0, options: Sequence[str] = ()) -> None:
        self.data = data
        command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(data), "--model", model]
        command += options
        started = time.perf_counter()
        self._log = open(data.with_suffix(".log"), "ab")  # noqa: SIM115  (closed by stop)
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self.client = self._wait(timeout)
        self.start_seconds = time.perf_counter() - started
        self.pid = self.client.server_info().pid

    def _wait(self, timeout: float) -> Client:
        # Not above: programs that measure their own memory import this module for its tables.
        from kinprint.client import KinprintError, connect

        while self._process.poll() is None:
            found = holder(self.data)
            if found is not None and running(found[0]):
                with contextlib.suppress(KinprintError):
                    client = connect(found[1], timeout=timeout)
                    self.address = found[1]
                    return client
            time.sleep(0.02)
        raise SystemExit(f"the server ended; see {self._log.name}")

    def usage(self) -> Usage:
        """What the server took so far."""
        return usage(self.pid)

    def stop(self, most: float = 120.0) -> float:
        """Drain; seconds it took. A server that has not ended after `most` seconds is killed."""
        started = time.perf_counter()
        self.client.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(most)
        except subprocess.TimeoutExpired:
            print(f"the server did not end within {most:.0f} s of SIGTERM and was killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()
        self._log.close()
        return time.perf_counter() - started


@contextlib.contextmanager
def serving(data: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """A server, and its end."""
    server = Server(data, options=options)
    try:
        yield server
    finally:
        server.stop()


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """Median, and the value that one in a hundred is above."""
    ordered = sorted(times)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def percentiles(call: Callable[[int], object], count: int) -> tuple[float, float]:
    """(p50, p99) in milliseconds of `count` calls, after a few to warm up."""
    for i in range(min(5, count)):
        call(i)
    times = []
    for i in range(count):
        started = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - started) * 1000)
    return quantiles(times)


def machine() -> str:
    """What a run was made on."""
    return f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, Python {platform.python_version()}"


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(str(c) for c in cells) + " |"


def header(*cells: str, text: int = 0) -> list[str]:
    """Head of a Markdown table, all columns but the first `text` aligned to the right."""
    return [row(*cells), row(*["---"] * text, *["---:"] * (len(cells) - text))]
