"""A server that is asked for five times what it can do: what it admits stays quick, its memory flat, and it recovers.

    .venv/bin/python benchmarks/overload.py --seconds 60

Searches arrive at a fixed rate, whether or not others have been answered. First one after the other (`unloaded`); then
at five times the most that the server does with its places full (`overload`), when what is too much is refused at once
with RESOURCE_EXHAUSTED and RetryInfo; then one after the other again, from the moment the rate falls.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import grpc
from kinprint.v1 import match_pb2, match_pb2_grpc
from timing import serving

_TEXT = "river stone market evening letter window garden engine paper silver winter bridge candle orchard signal"
WORDS = tuple(_TEXT.split(" "))


def text(chance: random.Random, words: int = 120) -> str:
    """An answer."""
    return " ".join(chance.choice(WORDS) + str(chance.randrange(50)) for _ in range(words)) + "."


def held(pid: int) -> float:
    """MB of memory that a process holds by itself."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    return 0.0


def quantile(values: list[float], share: float) -> float:
    """Quantile in ms; NaN of none."""
    return 1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Caller:
    """Searches over one channel."""

    def __init__(self, channel: grpc.aio.Channel, queries: list[str]) -> None:
        self._stub = match_pb2_grpc.MatchServiceStub(channel)
        self._queries = queries
        self.times: list[float] = []
        self.codes: Counter[str] = Counter()
        self.details: Counter[str] = Counter()
        #: Most seconds that a call was sent too late, because the caller itself had no core.
        self.late = 0.0

    async def ask(self, number: int) -> None:
        """One search."""
        request = match_pb2.SearchRequest(corpora=["c"], top=10)
        request.query.text = self._queries[number % len(self._queries)]
        began = time.perf_counter()
        try:
            await self._stub.Search(request, timeout=30.0)
        except grpc.aio.AioRpcError as error:
            self.codes[error.code().name] += 1
            self.details[(error.details() or "")[:80]] += 1
        else:
            self.codes["OK"] += 1
            self.times.append(time.perf_counter() - began)

    async def one_by_one(self, seconds: float) -> float:
        """Ask without a pause; answers a second."""
        began, number = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            await self.ask(number)
            number += 1
        return len(self.times) / (time.perf_counter() - began)

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Ask at a fixed rate, whatever becomes of it."""
        began = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while (now := time.perf_counter() - began) < seconds:
            self.late = max(self.late, now - number / rate)
            while number < now * rate:
                task = asyncio.create_task(self.ask(number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.sleep(0.002)
        if tasks:
            await asyncio.wait(tasks)


async def measured(address: str, pid: int, queries: list[str], seconds: float) -> None:
    """Print the figures."""
    async with grpc.aio.insecure_channel(address) as channel:
        warm = Caller(channel, queries)
        await warm.one_by_one(3.0)
        peace = Caller(channel, queries)
        await peace.one_by_one(10.0)
        callers = [Caller(channel, queries) for _ in range(2 * (os.cpu_count() or 1))]
        most = sum(await asyncio.gather(*(caller.one_by_one(8.0) for caller in callers)))
        before = held(pid)
        load = Caller(channel, queries)
        await load.at_rate(5 * most, seconds)
        after_load = held(pid)
        recovered = Caller(channel, queries)
        await recovered.one_by_one(5.0)
    p99, loaded = quantile(peace.times, 0.99), quantile(load.times, 0.99)
    print(
        f"most: {most:.0f} searches/s; asked for {5 * most:.0f}/s during {seconds:.0f} s, "
        f"sent {load.late:.2f} s late at most"
    )
    print("| | answered | refused | p50 ms | p99 ms |\n| --- | ---: | ---: | ---: | ---: |")
    for name, caller in (("unloaded", peace), ("overload, admitted", load), ("the 5 s after it", recovered)):
        refused = sum(caller.codes.values()) - caller.codes["OK"]
        print(
            f"| {name} | {caller.codes['OK']:,} | {refused:,} | {quantile(caller.times, 0.5):.1f} "
            f"| {quantile(caller.times, 0.99):.1f} |"
        )
    print(f"p99 of what was admitted is {loaded / p99:.1f}x the unloaded one; codes under load: {dict(load.codes)}")
    print(load.details.most_common(4))
    print(f"memory held: {before:.0f} MB before, {after_load:.0f} MB after")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--calls", type=int, default=256, help="calls that the server takes at once, waiting or not")
    parser.add_argument("--words", type=int, default=3000, help="of a query: long, so that not asking takes the cores")
    parser.add_argument("--rows", type=int, default=20_000)
    arguments = parser.parse_args()
    chance = random.Random(0)
    with (
        tempfile.TemporaryDirectory(prefix="kinprint-overload-", dir="/tmp/ov") as scratch,
        serving(Path(scratch) / "data", ["--limit", f"calls={arguments.calls}"]) as server,
    ):
        rows = ({"response": text(chance), "model": f"m{k % 5}", "language": "en"} for k in range(arguments.rows))
        server.client.upsert("c", rows)
        time.sleep(4.0)  # what is settled behind a load
        queries = [text(chance, arguments.words) for _ in range(200)]
        asyncio.run(measured(server.address, server.pid, queries, arguments.seconds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
