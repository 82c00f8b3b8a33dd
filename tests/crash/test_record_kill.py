"""kill -9 during appends: every batch that was acknowledged is there afterwards, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from kinprint.server.store.record import Record

ROUNDS = 12
ROWS = 20

WRITER = f"""
import sys
import polars as pl
from kinprint.server.store.record import Record
record = Record.open(sys.argv[1])
number = int(sys.argv[2])
print("open", flush=True)
while True:
    record.append(pl.DataFrame({{
        "id": [f"{{number}}-{{row}}" for row in range({ROWS})],
        "seq": [number] * {ROWS},
        "op": [0] * {ROWS},
        "response": [f"answer {{number}} {{row}} " * 40 for row in range({ROWS})],
    }}))
    print(number, flush=True)
    number += 1
"""


def test_acknowledged_batches_survive_kills(tmp_path: Path) -> None:
    table = tmp_path / "record"
    Record.create(table)
    chance = random.Random(20240229)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    acknowledged: set[int] = set()
    next_number = 0
    for _ in range(ROUNDS):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(table), str(next_number)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0.0, 0.35))
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read()
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        acknowledged.update(int(line) for line in told.splitlines(keepends=True) if line.endswith("\n"))

        record = Record.open(table)
        sizes = dict(record.read(columns=["seq"]).collect().group_by("seq").len().rows())
        assert acknowledged <= set(sizes)
        assert set(sizes.values()) <= {ROWS}  # a batch is there whole or not at all
        assert len(sizes) - len(acknowledged) <= ROUNDS  # at most the last of each round goes unacknowledged
        assert pl.scan_delta(table).select(pl.len()).collect().item() == ROWS * len(sizes)
        assert not (table / "_quarantine").exists()  # a killed process tears nothing: the kernel lives on
        next_number = max(sizes, default=-1) + 1
    assert len(acknowledged) > ROUNDS
    Record.open(table).append(pl.DataFrame({"id": ["end"], "seq": [10**9], "op": [0]}))
    assert Record.open(table).read(columns=["id"]).collect().height == ROWS * len(sizes) + 1
