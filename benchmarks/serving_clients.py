"""The client processes of `serving.py`: each function runs in a process of its own and returns what it measured.

A process that works until it is told to stop prints `ready` once it is under way, and ends at SIGTERM.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
from kinprint.client import (
    ChannelName,
    CopyEvidence,
    DeadlineExceededError,
    KinprintError,
    SearchResult,
    connect,
)

PATIENCE = 120.0
"""Seconds after which a search counts as failed; its time counts nevertheless."""
BATCH = 2_000
LEAST = 4
"""Queries that are made even if the time is up."""


def _told_to_stop() -> Callable[[], bool]:
    stop = False

    def told(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, told)
    return lambda: stop


def _ready() -> None:
    print("ready", flush=True)


def _cpu() -> tuple[float, float]:
    times = os.times()
    return times.user + times.children_user, times.system + times.children_system


def search(
    address: str, work: str, channel: ChannelName, top: int, count: int, warm: int, seconds: float
) -> dict[str, Any]:
    """The first `count` queries, each as soon as the one before is answered; `warm` others come before, untimed.

    No further query is made after `seconds`, nor an untimed one after a quarter of them. Returns, by query: `kind`,
    `ms` until the result is a Python object, `server_ms` by the server's own clock, `hits`, `score` of the first hit,
    `answer` (a digest of ids, scores and spans); and `failed`, by the name of the error.
    """
    asked = pl.read_parquet(Path(work) / "queries.parquet")
    found: dict[str, list[Any]] = {name: [] for name in ("kind", "ms", "server_ms", "hits", "score", "answer")}
    failed: Counter[str] = Counter()
    with connect(address, timeout=PATIENCE) as client:

        def ask(text: str) -> SearchResult:
            return client.search(text, corpus="bench", channels=[channel], top=top)

        end = time.perf_counter() + seconds / 4
        for text in asked["text"].slice(count, warm):
            with contextlib.suppress(KinprintError):
                ask(text)
            if time.perf_counter() > end:
                break
        cpu = time.process_time()
        begun = time.perf_counter()
        for kind, text in asked.head(count).iter_rows():
            started = time.perf_counter()
            if started - begun > seconds and len(found["ms"]) >= LEAST:
                break
            result = None
            try:
                result = ask(text)
            except KinprintError as error:
                failed[type(error).__name__] += 1
            found["ms"].append((time.perf_counter() - started) * 1000)
            found["kind"].append(kind)
            found["server_ms"].append(None if result is None else result.timings.total_seconds * 1000)
            found["hits"].append(0 if result is None else len(result.hits))
            found["score"].append(result.hits[0].score if result is not None and result.hits else None)
            found["answer"].append(None if result is None else _digest(result))
        wall = time.perf_counter() - begun
    return {**found, "failed": dict(failed), "client_cpu": time.process_time() - cpu, "wall": wall}


def _digest(result: SearchResult) -> str:
    told: list[Any] = []
    for hit in result.hits:
        spans = hit.evidence.spans if isinstance(hit.evidence, CopyEvidence) else ()
        places = [(span.query_start, span.query_end, span.match_start, span.match_end) for span in spans]
        told.append((hit.id, round(hit.score, 5), places))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def _frames() -> Any:
    """The module of frames, under the name that it has in the version at hand."""
    try:
        return importlib.import_module("kinprint.client.frames")
    except ModuleNotFoundError:
        return importlib.import_module("kinprint.client.polars")


def load(address: str, work: str, corpus: str) -> dict[str, Any]:
    """Load the rows with `copy,style`. Returns wall seconds, rows, and CPU seconds and peak MB of this process."""
    kinprint_frames = _frames()
    with connect(address, timeout=PATIENCE) as client:
        before, started = _cpu(), time.perf_counter()
        frame = pl.scan_parquet(Path(work) / "rows.parquet")
        report = kinprint_frames.load(client, frame, corpus, channels=("copy", "style"))
        wall, after = time.perf_counter() - started, _cpu()
    return {
        "wall": wall,
        "rows": report.stored,
        "failed": dict(report.reasons),
        "user": after[0] - before[0],
        "system": after[1] - before[1],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def keep_loading(address: str, work: str, prefix: str) -> dict[str, Any]:
    """Load the rows at full speed into one new corpus after the other until told to stop."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinprint_frames = _frames()
    stop = _told_to_stop()
    ready = functools.cache(_ready)
    file = pq.ParquetFile(Path(work) / "rows.parquet")

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in file.iter_batches(BATCH):
            if stop():
                return
            yield batch
            ready()

    corpora: list[str] = []
    started, rows = time.perf_counter(), 0
    with connect(address, timeout=PATIENCE) as client:
        while not stop():
            corpora.append(f"{prefix}{len(corpora) + 1}")
            reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches())
            rows += kinprint_frames.load(client, reader, corpora[-1], channels=("copy", "style")).stored
    return {"rows": rows, "wall": time.perf_counter() - started, "corpora": corpora}


def keep_finding(address: str, threshold: float, exact: bool, deadline: float) -> NoReturn:
    """Find the near-duplicate pairs of the corpus again and again until told to stop.

    Tells, as it ends, how the runs ended (`finished`, `deadline`, or the name of the error) and how many pairs came.
    """

    ended: Counter[str] = Counter()
    pairs = 0

    def told(*_: object) -> None:
        # At once, whatever the client waits for, as a caller does that is killed.
        os.write(1, json.dumps({"ended": {**ended, "stopped": 1}, "pairs": pairs}).encode() + b"\n")
        os._exit(0)

    signal.signal(signal.SIGTERM, told)
    ready = functools.cache(_ready)
    while True:
        try:
            with connect(address, timeout=PATIENCE) as client:
                while True:
                    with client.find_duplicates("bench", threshold, exact=exact, timeout=deadline) as run:
                        ready()
                        for batch in run:
                            pairs += len(batch)
                    ended["finished"] += 1
        except DeadlineExceededError:
            ended["deadline"] += 1
        except KinprintError as error:
            ended[type(error).__name__] += 1
            time.sleep(error.retry_after or 0.2)
        ready()


def style_peer(address: str, work: str, top: int, warm: int) -> dict[str, Any]:
    """Peer of style: NumPy over all vectors. The vectors are the server's own, of the rows and of the queries."""
    import search_peers

    rows = pl.read_parquet(Path(work) / "rows.parquet", columns=["response"])["response"]
    asked = pl.read_parquet(Path(work) / "queries.parquet")["text"]
    with connect(address, timeout=PATIENCE) as client:
        vectors = search_peers.style_vectors(client, rows)
        queries = search_peers.style_vectors(client, asked)
    return search_peers.numpy_style(vectors, queries, top, warm)


def copy_peer(name: str, work: str, warm: int) -> dict[str, Any] | None:
    """Peer of copy, None when it is not installed."""
    import search_peers

    rows = pl.read_parquet(Path(work) / "rows.parquet", columns=["response"])["response"]
    asked = pl.read_parquet(Path(work) / "queries.parquet")["text"]
    try:
        return search_peers.LSH[name](rows.to_list(), asked.to_list(), warm)
    except ImportError:
        return None


CLIENTS: dict[str, Callable[..., dict[str, Any] | None]] = {
    "search": search,
    "load": load,
    "keep_loading": keep_loading,
    "keep_finding": keep_finding,
    "style_peer": style_peer,
    "copy_peer": copy_peer,
}
