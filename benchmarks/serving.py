"""Serving: searches alone, beside a load and beside long runs; loading; the first answer of a command.

    make bench-serving DATA=transcripts.parquet
    .venv/bin/python benchmarks/serving.py transcripts.parquet --quick                         # to try the program
    .venv/bin/python benchmarks/serving.py transcripts.parquet --json before.json              # on one version
    .venv/bin/python benchmarks/serving.py transcripts.parquet --before before.json            # and on another

Needs a Parquet file with a column `response`; `model`, `prompt_id`, `prompt` and `language` are loaded too. Where it
has too few rows, answers are repeated with many of their words replaced. Everything goes through the client and the
command line, so the program measures whichever version Python finds: put that version on PYTHONPATH.

--only runs some of the sections; with --json the others are taken from what an earlier run wrote there, and with --work
the rows and the loaded directory of that run are used again (one folder for each version). --report measures nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serving_report
import serving_rows
from kinprint.client import KinprintError
from serving_clients import CLIENTS
from timing import (
    Sampler,
    Server,
    forget_peak,
    holder,
    machine,
    memory,
    peak,
    running,
    serving,
    usage_by_thread,
    wait_quiet,
)

CHANNELS = ("copy", "style")
TOP = 10
WARM = 40
"""Queries that are made first, untimed."""
JOBS = ((0.1, True), (0.7, False)) * 3
"""Threshold, and whether no pair may be missed, of the runs that go on at once."""
SECTIONS = ("load", "search", "loading", "jobs", "start", "peers")

Figures = dict[str, Any]


class Bench:
    """What all sections need."""

    def __init__(self, work: Path, arguments: argparse.Namespace) -> None:
        self.work = work
        self.rows: int = arguments.rows
        self.queries: int = arguments.queries
        self.repeats: int = arguments.repeats
        self.starts: int = arguments.starts
        self.seconds: float = arguments.seconds
        self.deadline: float = arguments.deadline

    @property
    def data(self) -> Path:
        """The directory with the rows loaded."""
        return self.work / "data"

    @property
    def loaded(self) -> bool:
        """Whether a load into it has ended."""
        return (self.work / "loaded").exists()


# ---- client processes ----


def start_client(name: str, *arguments: Any) -> subprocess.Popen[str]:
    """Start a function of :mod:`serving_clients` in a process of its own."""
    command = [sys.executable, __file__, "--client", json.dumps([name, *arguments])]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> Any:
    """What a client process measured, when it has ended.

    Raises:
        SystemExit: it failed.
    """
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a client ended with {process.returncode}")
    return json.loads(told.splitlines()[-1])


def client(name: str, *arguments: Any) -> Any:
    """Run a client process to its end."""
    return result_of(start_client(name, *arguments))


@contextlib.contextmanager
def meanwhile(*clients: tuple[Any, ...]) -> Iterator[list[Figures]]:
    """Client processes that work while the `with` block runs; the list has their figures after it."""
    found: list[Figures] = []
    processes = [start_client(*one) for one in clients]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"a client ended with {process.wait()} before it began")
        yield found
    finally:
        for process in processes:
            process.terminate()
    found += [result_of(process) for process in processes]


def searches(bench: Bench, server: Server, warm: int = WARM) -> Figures:
    """Latencies by channel; the first `warm` searches are not timed."""
    arguments = (TOP, bench.queries, warm, bench.seconds)
    return {channel: client("search", server.address, str(bench.work), channel, *arguments) for channel in CHANNELS}


# ---- sections ----


def load(bench: Bench) -> Figures:
    """Load the rows into empty directories; the last one is kept for the other sections."""
    runs = []
    for i in range(bench.repeats):
        data = bench.data if i == bench.repeats - 1 else bench.work / f"load-{i}"
        runs.append(load_once(bench, data))
        if data != bench.data:
            shutil.rmtree(data)
    return {"runs": runs}


def load_once(bench: Bench, data: Path) -> Figures:
    """Load the rows into an empty directory, and wait until the server has nothing left to do."""
    shutil.rmtree(data, ignore_errors=True)
    (bench.work / "loaded").unlink(missing_ok=True)
    data.mkdir()
    with serving(data) as server:
        wait_quiet(server.pid)
        forget_peak(server.pid)
        idle, before, threads = memory(server.pid), server.usage(), usage_by_thread(server.pid)
        with Sampler(server.pid) as sampler:
            loaded = client("load", server.address, str(bench.work), "bench")
            acknowledged = server.usage().since(before)
            settled = wait_quiet(server.pid)
        steady, all_of_it = memory(server.pid), server.usage().since(before)
        by_thread = {name: cpu - threads.get(name, 0.0) for name, cpu in usage_by_thread(server.pid).items()}
        figures = {
            "client": loaded,
            "server": acknowledged._asdict(),
            "server_settled": all_of_it._asdict(),
            "threads": dict(sorted(by_thread.items(), key=lambda one: -one[1])[:6]),
            "settled": settled,
            "idle": idle._asdict(),
            "peak": {**sampler.most._asdict(), "high_water": peak(server.pid)},
            "steady": steady._asdict(),
        }
    if data == bench.data:
        (bench.work / "loaded").touch()
    return figures


def search(bench: Bench, server: Server) -> Figures:
    """Searches and nothing else."""
    return searches(bench, server)


def loading(bench: Bench, server: Server) -> Figures:
    """Searches while another client loads into other corpora of the server."""
    before = server.usage()
    with meanwhile(("keep_loading", server.address, str(bench.work), "other-")) as others:
        found = searches(bench, server, warm=1)
    used = server.usage().since(before)
    for corpus in others[0]["corpora"]:
        with contextlib.suppress(KinprintError):
            server.client.delete_corpus(corpus, timeout=300.0)
    return {**found, "load": others[0], "server_cpu": used.cpu}


def jobs(bench: Bench, server: Server) -> Figures:
    """Searches while other clients find near-duplicates in the corpus."""
    before = server.usage()
    runs = [("keep_finding", server.address, threshold, exact, bench.deadline) for threshold, exact in JOBS]
    with Sampler(server.pid) as sampler, meanwhile(*runs) as others:
        found = searches(bench, server, warm=1)
    used = server.usage().since(before)
    # What goes on although nobody waits for it any more.
    after = wait_quiet(server.pid)
    told = [{"threshold": t, "exact": exact, **other} for (t, exact), other in zip(JOBS, others, strict=True)]
    return {**found, "runs": told, "server_cpu": used.cpu, "peak": sampler.most._asdict(), "busy_after": after}


def start(bench: Bench) -> Figures:
    """Commands on a directory without a server, and the same again."""
    text, name = some_row(bench)
    commands = {
        "search": ("search", "--text", text, "--corpus", "bench"),
        "info": ("info",),
        "get": ("get", "--corpus", "bench", "--id", name),
    }
    lingers = end_server(bench.data)
    took: dict[str, dict[str, list[float]]] = {}
    # Once untimed, for what is compiled and for the pages; and for its memory.
    command_peak, server_peak = most_memory(bench.data, commands["search"])
    for command, arguments in commands.items():
        took[command] = {"first": [], "second": []}
        for _ in range(bench.starts):
            end_server(bench.data, lingers)
            for which in took[command].values():
                which.append(run_command(bench.data, arguments))
    end_server(bench.data, lingers)
    return {"commands": took, "lingers": lingers, "command_peak": command_peak, "server_peak": server_peak}


def some_row(bench: Bench) -> tuple[str, str]:
    """A fragment of a stored answer, and the id of a row."""
    import polars as pl

    asked = pl.read_parquet(bench.work / "queries.parquet")
    text = asked.filter(pl.col("kind") == "fragment")["text"][0]
    with serving(bench.data) as server:
        return text, next(name for row in server.client.list("bench") if (name := row.id) is not None)


def kinprint(*arguments: str) -> list[str]:
    """A command line; that of the interpreter's environment, as people run it."""
    script = Path(sys.executable).with_name("kinprint")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "kinprint.client.cli"]), *arguments]


def environment() -> dict[str, str]:
    """The environment without what says which server is meant."""
    return {name: value for name, value in os.environ.items() if name not in ("KINPRINT_DATA", "KINPRINT_SERVER")}


def run_command(data: Path, arguments: tuple[str, ...], watch: bool = False) -> float:
    """Seconds that a command takes from its start to its end.

    Raises:
        SystemExit: it failed.
    """
    # Files and no pipes: a server that stays would keep a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        done = subprocess.run(
            kinprint(*arguments, "--data", str(data)), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=environment(), check=False,
        )  # fmt: skip
        took = time.perf_counter() - started
        if done.returncode:
            err.seek(0)
            raise SystemExit(f"kinprint {arguments[0]} ended with {done.returncode}: {err.read().decode()[-400:]}")
    return took


def most_memory(data: Path, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Most MB resident in a command and in the server that it starts."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            kinprint(*arguments, "--data", str(data)), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=environment(),
        )  # fmt: skip
        command_peak = server_peak = 0.0
        while process.poll() is None:
            command_peak = max(command_peak, peak(process.pid))
            found = holder(data)
            if found is not None:
                server_peak = max(server_peak, peak(found[0]))
            time.sleep(0.01)
    return command_peak, server_peak


def end_server(data: Path, stop: bool = True) -> bool:
    """End the server that a command left on a directory; whether there is a command for it."""
    known = False
    if stop:
        command = kinprint("stop", "--data", str(data))
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        known = "No such command" not in done.stderr
    found = holder(data)
    begun = time.perf_counter()
    while found is not None and running(found[0]):
        if time.perf_counter() - begun > 60:
            raise SystemExit(f"the server {found[0]} does not end")
        if time.perf_counter() - begun > 30:
            os.kill(found[0], signal.SIGTERM)
            time.sleep(1)
        time.sleep(0.02)
    return known


def peers(bench: Bench) -> Figures:
    """Other ways to the same neighbours, in process."""
    with serving(bench.data) as server:
        found = {"numpy": client("style_peer", server.address, str(bench.work), TOP, WARM)}
    for name in ("rensa", "datasketch"):
        peer = client("copy_peer", name, str(bench.work), WARM)
        if peer is not None:
            found[name] = peer
    return found


# ---- the run ----


def version() -> str:
    """The version measured, with the commit of its source where that is known."""
    from importlib.metadata import version as installed

    import kinprint.client

    source = Path(kinprint.client.__file__).parent
    done = subprocess.run(
        ["git", "-C", str(source), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    commit = done.stdout.strip()
    return installed("kinprint") + (f" ({commit})" if commit else "")


def measure(bench: Bench, sections: list[str], keep: Any) -> None:
    """Run sections; `keep(name, figures)` is called after each."""

    def done(name: str, figures: Figures, started: float) -> None:
        keep(name, {**figures, "took": time.perf_counter() - started})
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    if "load" in sections:
        started = time.perf_counter()
        done("load", load(bench), started)
    elif not bench.loaded:
        load_once(bench, bench.data)
    served = {"search": search, "loading": loading, "jobs": jobs}
    if set(sections) & set(served):
        with serving(bench.data) as server:
            for name, section in served.items():
                if name in sections:
                    wait_quiet(server.pid)
                    started = time.perf_counter()
                    done(name, section(bench, server), started)
    for name, section_alone in {"start": start, "peers": peers}.items():
        if name in sections:
            started = time.perf_counter()
            done(name, section_alone(bench), started)


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a Parquet file of transcripts")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=400, help="searches of each channel; the kinds take turns")
    parser.add_argument("--seconds", type=float, default=60.0, help="time after which no further search is made")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds that a search for duplicates may take")
    parser.add_argument("--repeats", type=int, default=3, help="loads")
    parser.add_argument("--starts", type=int, default=5, help="first and second commands")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, of {','.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="2,000 rows, 40 searches, one load: to try the program")
    parser.add_argument("--work", type=Path, help="keep rows and directories here; 100,000 rows take about 2 GB")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--before", type=Path, help="figures of another version, to stand beside these")
    parser.add_argument("--report", action="store_true", help="measure nothing: write the report of --json")
    parser.add_argument("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    if arguments.report and arguments.json is None:
        parser.error("--report needs the figures: --json FILE")
    if not arguments.report and arguments.data is None:
        parser.error("name the transcripts")
    unknown = set(arguments.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if arguments.quick:
        arguments.rows, arguments.queries, arguments.repeats, arguments.starts = 2_000, 40, 1, 1
        arguments.seconds, arguments.deadline = 10.0, 2.0
    return arguments


def run(arguments: argparse.Namespace) -> Figures:
    """Measure the sections asked for; the others are those of --json."""
    settings = {name: getattr(arguments, name) for name in ("rows", "queries", "seconds", "deadline")}
    settings["bytes"] = arguments.data.stat().st_size
    figures: Figures = {"version": version(), "machine": machine(), **settings, "sections": {}}
    if arguments.json and arguments.json.exists():
        earlier = json.loads(arguments.json.read_text(encoding="utf-8"))
        if all(earlier.get(name) == figures[name] for name in ("version", *settings)):
            figures["sections"] = earlier["sections"]
    work = (arguments.work or Path(tempfile.mkdtemp(prefix="kinprint-bench-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)

    def keep(name: str, of: Figures) -> None:
        figures["sections"][name] = of
        if arguments.json:
            arguments.json.write_text(json.dumps(figures), encoding="utf-8")

    try:
        serving_rows.make(arguments.data, arguments.rows, arguments.queries + WARM, work)
        measure(Bench(work, arguments), arguments.only.split(","), keep)
    finally:
        if arguments.work is None:
            shutil.rmtree(work, ignore_errors=True)
    return figures


def main() -> int:
    """Run the benchmark."""
    if sys.argv[1:2] == ["--client"]:
        name, *more = json.loads(sys.argv[2])
        print(json.dumps(CLIENTS[name](*more)))
        return 0
    arguments = parsed()
    # Told to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.report else run(arguments)
    before = json.loads(arguments.before.read_text(encoding="utf-8")) if arguments.before else None
    text = serving_report.report(figures, before)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
