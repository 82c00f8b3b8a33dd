"""How long a server takes to be ready: with many transcripts in one corpus, and with many corpora.

    .venv/bin/python benchmarks/starts.py --rows 1000000 --corpora 800

From the start of the process until it takes calls, the page cache of the machine warm and kernels compiled: after
an orderly end, when indexes are published, and after `kill -9`, when the end of the record is replayed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from timing import Server, header, machine, row

_TEXT = "river stone market evening letter window garden engine paper silver winter bridge candle orchard signal"
WORDS = tuple(_TEXT.split(" "))


def rows(count: int, words: int, first: int = 0) -> Iterator[dict[str, str]]:
    """Transcripts of as many words."""
    chance = random.Random(first)
    for number in range(first, first + count):
        text = " ".join(chance.choice(WORDS) + str(chance.randrange(50)) for _ in range(words))
        yield {"id": str(number), "response": text, "model": f"m{number % 7}", "language": "en"}


def started(data: Path) -> Server:
    """A server that takes calls."""
    return Server(data, timeout=600.0)


def measured(data: Path, name: str, sought: str) -> list[str]:
    """Line of a table: seconds of three starts after an orderly end, and of one after a kill."""
    times = []
    for _ in range(3):
        server = started(data)
        times.append(server.start_seconds)
        began = time.perf_counter()
        server.client.search(corpora=[sought], text=next(rows(1, 60))["response"])
        first = time.perf_counter() - began
        server.stop()
    server = started(data)
    server.client.upsert(sought, rows(5000, 60, first=10**9))
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server = started(data)
    killed = server.start_seconds
    server.stop()
    return [row(name, f"{min(times):.1f}", f"{max(times):.1f}", f"{killed:.1f}", f"{first * 1000:.0f}")]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="transcripts of one corpus")
    parser.add_argument("--corpora", type=int, nargs="*", default=[800])
    parser.add_argument("--words", type=int, default=60, help="of a transcript")
    arguments = parser.parse_args()
    print(f"Seconds to ready, {machine()}.\n")
    print("\n".join(header("data", "least", "most", "after kill -9", "first search, ms", text=1)))
    with tempfile.TemporaryDirectory(prefix="kinprint-starts-") as scratch:
        for count in arguments.rows:
            data = Path(scratch) / f"rows-{count}"
            server = started(data)
            server.client.upsert("c", rows(count, arguments.words), channels=("copy", "style"))
            server.stop(600.0)
            print("\n".join(measured(data, f"{count:,} transcripts", "c")), flush=True)
            shutil.rmtree(data)
        for count in arguments.corpora:
            data = Path(scratch) / f"corpora-{count}"
            server = started(data)
            for number in range(count):
                server.client.upsert(f"c{number:04}", rows(20, arguments.words))
            server.stop(600.0)
            print("\n".join(measured(data, f"{count:,} corpora", "c0000")), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
