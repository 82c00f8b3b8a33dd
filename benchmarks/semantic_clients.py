"""What clients of a server do in `semantic.py`: load, and search; driven by `semantic_worker`."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import Any

import polars as pl
from kinprint.client import ChannelName, KinprintError, TierName, connect
from kinprint.client.frames import load as load_frame
from semantic_worker import Clock, Figures, texts_of

PATIENCE = 600.0


def load(address: str, rows: str, corpus: str, channels: list[ChannelName], most: int = 0) -> Figures:
    """Load the rows of a file, `most` of them where that is given."""
    frame = pl.scan_parquet(rows)
    with connect(address, timeout=PATIENCE) as client, Clock() as clock:
        report = load_frame(client, frame.head(most) if most else frame, corpus, channels=channels)
    return clock.figures(rows=report.stored, failed=dict(report.reasons))


def search(
    address: str, corpus: str, queries: str, first: int, count: int, warm: int, tier: TierName | None, seconds: float
) -> Figures:
    """Ask `count` new queries of a file from `first` on, each when the one before is answered; some before, untimed.

    Evidence of the ten hits is part of the answer.  No further query is made after so many seconds.
    """
    texts: list[tuple[str, str]] = texts_of(queries)
    asked = [texts[k % len(texts)][1] for k in range(first, first + warm + count)]
    times: list[float] = []
    server: list[float] = []
    failed: Counter[str] = Counter()
    with connect(address, timeout=PATIENCE) as client:

        def ask(text: str) -> Any:
            return client.search(text, corpus=corpus, channels=["semantic"], top=10, tier=tier)

        for text in asked[:warm]:
            with contextlib.suppress(KinprintError):
                ask(text)
        begun = time.perf_counter()
        tiers: Counter[str] = Counter()
        for text in asked[warm:]:
            started = time.perf_counter()
            if started - begun > seconds and len(times) >= 4:
                break
            try:
                found = ask(text)
                server.append(found.timings.total_seconds * 1000)
                tiers.update(hit.evidence.tier for hit in found.hits if hit.evidence is not None)
            except KinprintError as error:
                failed[type(error).__name__] += 1
            times.append((time.perf_counter() - started) * 1000)
    return {"ms": times, "server_ms": server, "failed": dict(failed), "tiers": dict(tiers)}


TASKS = {"load": load, "search": search}
