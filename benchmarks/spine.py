"""Load, restart and search as a corpus grows, over a real server; a peer for near-duplicate look-up beside it.

    make bench DATA=transcripts.parquet                 # 1k, 10k and 100k rows, 2,000 of them embedded
    .venv/bin/python benchmarks/spine.py transcripts.parquet --sizes 1000 10000 --semantic 200

Prints the report and, with --out, writes it.  Needs a Parquet file with a column `response`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import search_peers
from kinprint.client import ChannelName, Client
from kinprint.client import frames as kinprint_frames
from timing import Server, machine, peak, percentiles, quantiles, row

QUERIES = 200


def spine(frame: pl.DataFrame, sizes: Sequence[int], scratch: Path) -> list[str]:
    """Loading, memory, restart and search latency at each size."""
    lines = [
        "## Loading with `copy,style`, memory, restart",
        "",
        row("rows", "text MB", "load s", "rows/s", "server CPU s", "peak MB", "disk MB", "drain s", "restart s"),
        row(*["---:"] * 9),
    ]
    latency = [
        "## Search over gRPC, one client, top 10 with evidence, milliseconds",
        "",
        row("rows", "copy p50", "copy p99", "copy, one model of many p50", "style p50", "style p99"),
        row(*["---:"] * 6),
    ]
    for size in sizes:
        some = frame.head(size)
        data = scratch / f"spine-{size}"
        data.mkdir()
        server = Server(data, "none")
        before = server.usage()
        started = time.perf_counter()
        report = kinprint_frames.load(server.client, some.lazy(), "bench")
        seconds = time.perf_counter() - started
        if report.failed:
            print(f"{report.failed} rows refused: {dict(report.reasons)}", file=sys.stderr)
        cpu, most = server.usage().since(before).cpu, peak(server.pid)
        drain = server.stop()
        server = Server(data, "none")
        info = server.client.get_corpus("bench")
        text = some["response"].str.len_bytes().sum() / 1e6
        lines.append(
            row(
                f"{size:,}",
                f"{text:,.0f}",
                f"{seconds:.1f}",
                f"{report.rows / seconds:,.0f}",
                f"{cpu:.1f}",
                f"{most:,.0f}",
                f"{info.disk_bytes / 1e6:,.0f}",
                f"{drain:.1f}",
                f"{server.start_seconds:.1f}",
            )
        )
        texts = (
            some["response"]
            .filter(some["response"].str.len_chars() > 100)
            .sample(QUERIES, seed=1, with_replacement=True)
        )
        client = server.client
        model = info.models[0].value if info.models else None
        latency.append(row(f"{size:,}", *_latencies(client, texts.to_list(), model)))
        server.stop()
        print("\n".join(lines[-1:] + latency[-1:]), file=sys.stderr, flush=True)
    return [*lines, "", *latency, ""]


def _latencies(client: Client, texts: list[str], model: str | None) -> list[str]:
    from kinprint.client import Filter

    def search(channel: ChannelName, only: str | None = None) -> Callable[[int], object]:
        chosen = Filter(models=(only,)) if only is not None else None
        return lambda i: client.search(texts[i % len(texts)], corpus="bench", channels=(channel,), filter=chosen)

    copy = percentiles(search("copy"), QUERIES)
    filtered = percentiles(search("copy", model), QUERIES) if model is not None else (float("nan"),) * 2
    style = percentiles(search("style"), QUERIES)
    return [f"{x:.1f}" for x in (*copy, filtered[0], *style)]


def semantic(frame: pl.DataFrame, count: int, scratch: Path) -> list[str]:
    """Filling the semantic channel, and searching it."""
    data = scratch / "semantic"
    data.mkdir()
    server = Server(data, "default")
    before = server.usage()
    started = time.perf_counter()
    some = frame.head(count)
    kinprint_frames.load(server.client, some.lazy(), "bench", channels=("semantic",))
    seconds = time.perf_counter() - started
    cpu, most = server.usage().since(before).cpu, peak(server.pid)
    texts = some["response"].filter(some["response"].str.len_chars() > 100).to_list()

    def search(i: int) -> object:
        return server.client.search(texts[i % len(texts)], corpus="bench", channels=("semantic",))

    p50, p99 = percentiles(search, 50)
    server.stop()
    words = sum(len(t.split()) for t in texts) / max(len(texts), 1)
    return [
        "## The semantic channel",
        "",
        row("rows", "words a row", "load s", "rows/s", "server CPU s", "peak MB", "search p50 ms", "search p99 ms"),
        row(*["---:"] * 8),
        row(
            f"{count:,}", f"{words:.0f}", f"{seconds:.1f}", f"{count / seconds:.1f}", f"{cpu:.1f}",
            f"{most:,.0f}", f"{p50:.0f}", f"{p99:.0f}",
        ),
        "",
    ]  # fmt: skip


def peer(frame: pl.DataFrame, sizes: Sequence[int]) -> list[str]:
    """rensa's MinHash and LSH on the same texts, in process, without durability, evidence or spans."""
    if importlib.util.find_spec("rensa") is None:
        return ["rensa is not installed (`pip install rensa`), so no peer was run.", ""]
    lines = [
        "## A peer on the same texts: rensa, in process",
        "",
        "rensa's `RMinHash` (128 permutations, word 3-shingles made in Python) and `RMinHashLSH` (32 bands): keys of",
        "candidates, without scores, evidence, filters or a record, against everything above.",
        "",
        row("rows", "sketch and insert s", "rows/s", "query p50 ms", "query p99 ms"),
        row(*["---:"] * 5),
    ]

    for size in sizes:
        texts = frame["response"].head(size).to_list()
        # Five more, which warm up.
        queries = list(itertools.islice(itertools.cycle(texts[:: max(1, size // QUERIES)]), QUERIES + 5))
        found = search_peers.rensa(texts, queries, warm=5)
        seconds, (p50, p99) = found["build"], quantiles(found["ms"])
        lines.append(row(f"{size:,}", f"{seconds:.1f}", f"{size / seconds:,.0f}", f"{p50:.2f}", f"{p99:.2f}"))
    return [*lines, ""]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a Parquet file of transcripts")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--semantic", type=int, default=2_000, help="rows to embed; 0 leaves the channel out")
    parser.add_argument("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    # In an order that mixes models and prompts, the same in every run.
    frame = pl.read_parquet(arguments.data).sample(fraction=1, shuffle=True, seed=7)
    sizes = [s for s in arguments.sizes if s <= frame.height]
    columns = [c for c in ("model", "prompt_id", "prompt", "response", "language") if c in frame.columns]
    frame = frame.select(columns)
    scratch = Path(tempfile.mkdtemp(prefix="kinprint-bench-"))
    try:
        report = [
            "# Benchmarks",
            "",
            "Written by `benchmarks/spine.py`; real transcripts, a real server over a Unix socket, one client process",
            f"on the same machine: {machine()}.",
            "",
            *spine(frame, sizes, scratch),
            *peer(frame, sizes),
            *(semantic(frame, arguments.semantic, scratch) if arguments.semantic else []),
        ]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = "\n".join(report)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
