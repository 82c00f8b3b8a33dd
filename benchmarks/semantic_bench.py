"""What all sections of `semantic.py` need: sizes, files, workers, and what is made once and used again."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import semantic_rows
from semantic_worker import Worker, working

Figures = dict[str, Any]
CORES = len(os.sched_getaffinity(0))
TOKENS = 32
"""Most tokens of a query."""


class Bench:
    """Sizes from the command line, and a folder in which everything lies that takes long to make."""

    def __init__(self, work: Path, arguments: argparse.Namespace) -> None:
        self.work = work
        self.sizes = arguments
        self.peers_python: str | None = arguments.peers
        self.files: list[Path] = arguments.data

    # ---- workers ----

    @contextmanager
    def ours(self, threads: int = CORES, module: str = "semantic_tasks") -> Iterator[Worker]:
        """A worker of ours."""
        with working(sys.executable, module, threads, self.work / f"{module}.log") as worker:
            yield worker

    @contextmanager
    def corpora(self) -> Iterator[Worker]:
        """A worker with model and table loaded."""
        self.prepare_rows()
        with self.ours(module="semantic_corpora") as worker:
            worker.ask("load", model=self.model, table=self.table)
            yield worker

    @contextmanager
    def peers(self, threads: int = CORES) -> Iterator[Worker | None]:
        """A worker of other libraries; None where there is no interpreter for them."""
        if self.peers_python is None:
            yield None
            return
        with working(self.peers_python, "semantic_peers", threads, self.work / "semantic_peers.log") as worker:
            yield worker

    # ---- what is made once ----

    @cached_property
    def model(self) -> str:
        """Directory of the default model."""
        with self.ours() as worker:
            return str(worker.ask("model"))

    @cached_property
    def table(self) -> str:
        """Directory of its table, which takes a minute or two to make."""
        with self.ours() as worker:
            return str(worker.ask("table", directory=self.model)["directory"])

    @cached_property
    def shape(self) -> Figures:
        """Sizes of the model, and its prompt."""
        with self.ours() as worker:
            return dict(worker.ask("shape", directory=self.model))

    @cached_property
    def frame(self) -> pl.DataFrame:
        """All answers."""
        return semantic_rows.read(self.files)

    @cached_property
    def drawn(self) -> semantic_rows.Rows:
        """Rows, those with accurate vectors among them, and answers held out."""
        return semantic_rows.draw(self.frame, self.sizes.rows, self.sizes.accurate_rows)

    @property
    def rows(self) -> Path:
        """File of the rows."""
        return self.work / "rows.parquet"

    @property
    def queries(self) -> Path:
        """File of short queries: language and text."""
        return self.work / "queries.json"

    def prepare_rows(self) -> None:
        """Write rows and what is held out, unless they are there; what was made of others is removed."""
        made_with = {
            "model": _digest(Path(self.model) / "SOURCE.json"),
            "table": _digest(Path(self.table) / "table.json"),
            "files": [path.stat().st_size for path in self.files],
        }
        million = {"rows": self.sizes.million, "accurate": self.sizes.million_accurate}
        self._stamped("million.json", made_with | million, "data-million")
        stamp = made_with | {"rows": self.sizes.rows, "accurate": self.sizes.accurate_rows}
        others = ("accurate.npy", "queries.json", "accurate-figures.json")
        if self._stamped("rows.json", stamp, "data", "data-tiny", "calibration", *others):
            return
        self.drawn.rows.write_parquet(self.rows, row_group_size=20_000)
        self.drawn.held_out.write_parquet(self.work / "held-out.parquet")
        semantic_rows.sample().write_parquet(self.work / "sample.parquet")
        semantic_rows.write_json(self.work / "accurate.json", self.drawn.accurate)
        answers = semantic_rows.answers(self.drawn.held_out, 200)
        semantic_rows.write_json(self.work / "answers.json", answers)
        semantic_rows.write_json(self.work / "rows.json", stamp)

    def _stamped(self, name: str, stamp: Figures, *of: str) -> bool:
        """Whether files and folders of the work folder were made with what `stamp` says; else they are removed."""
        path = self.work / name
        if path.exists() and json.loads(path.read_text(encoding="utf-8")) == stamp:
            return True
        path.unlink(missing_ok=True)
        for one in of:
            shutil.rmtree(self.work / one, ignore_errors=True)
            (self.work / one).unlink(missing_ok=True)
        if name == "million.json":
            semantic_rows.write_json(path, stamp)
        return False

    def embedded(self, worker: Worker) -> Figures:
        """Have accurate vectors made, of the rows that get their own, and queries; what it took."""
        path = self.work / "accurate-figures.json"
        if not path.exists() or not (self.work / "accurate.npy").exists():
            arguments = {"rows": str(self.rows), "ids": str(self.work / "accurate.json"), "work": str(self.work)}
            semantic_rows.write_json(path, worker.ask("accurate_vectors", **arguments))
        if not self.queries.exists():
            held_out = str(self.work / "held-out.parquet")
            worker.ask("queries", held_out=held_out, out=str(self.queries), count=2_000, tokens=TOKENS)
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def build(self, worker: Worker, data: str, name: str, accurate: str, **more: Any) -> Figures:
        """Have a corpus made in a data directory of the work folder, unless it is there."""
        self.embedded(worker)
        arguments = {"rows": str(self.rows), "work": str(self.work), "accurate": accurate} | more
        return dict(worker.ask("build", data=str(self.work / data), name=name, **arguments))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def interleaved(contestants: Mapping[str, Callable[[int], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """What each measured, round by round, all of them in each round, so that a busy moment hits them alike.

    One that fails is left out of the rounds that follow.
    """
    found: dict[str, list[Figures]] = {name: [] for name in contestants}
    out: set[str] = set()
    for number in range(rounds):
        for name, run in contestants.items():
            if name in out:
                continue
            try:
                found[name].append(run(number))
            except RuntimeError as error:
                print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
                out.add(name)
    return {name: rounds for name, rounds in found.items() if rounds}


def rates(rounds: list[Figures]) -> Figures:
    """Texts a second, of CPU and of wall: in the best round, and in the median one."""
    cpu, wall = ([one["texts"] / max(one[kind], 1e-9) for one in rounds] for kind in ("cpu", "wall"))
    return {
        "cpu": max(cpu),
        "wall": max(wall),
        "cpu_median": statistics.median(cpu),
        "wall_median": statistics.median(wall),
        "rounds": len(rounds),
    }


def processor() -> Figures:
    """What this runs on, and whether it multiplies int8 without saturating (VNNI)."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(known.get("flags", "").split())
    return {
        "name": known.get("model name", platform.machine()),
        "model": f"family {known.get('cpu family', '?')} model {known.get('model', '?')}",
        "cores": CORES,
        "vnni": bool(flags & {"avx512_vnni", "avx_vnni"}),
        "amx": "amx_int8" in flags,
    }
