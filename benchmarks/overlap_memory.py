"""What an overlap of many answers holds: bytes a row in the file of its postings, memory, and CPU time.

    .venv/bin/python benchmarks/overlap_memory.py transcripts.parquet --rows 40000 --memory 64 2048

Needs a Parquet file with a column `response`. Its answers are cut into pieces of 1,000 characters, each of which is
compared with all others. `--memory` are MiB for postings: where they do not fit, they go through a file, in parts. Each
is run in a process of its own. *Anonymous* is the most memory that is no file's, above what the process had before it;
mapped files are the system's to take back.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import kinprint.polars as kp
import polars as pl

PIECE = 1000


def anonymous() -> int:
    """Bytes of memory that is no file's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


def cut(data: Path, rows: int, out: Path) -> int:
    """Pieces of answers, each with its number; how many there are."""
    texts = pl.scan_parquet(data).select("response").drop_nulls().collect()["response"]
    most = int(texts.str.len_chars().max() or 0)  # type: ignore[arg-type]
    pieces = pl.concat([texts.str.slice(start, PIECE) for start in range(0, most, PIECE)])
    pieces = pieces.filter(pieces.str.len_chars() == PIECE).head(rows)
    pl.DataFrame({"response": pieces}).with_row_index("row").write_parquet(out)
    return len(pieces)


def measure(path: Path, rows: int, memory: int) -> None:
    """Print one line of the table."""
    kp.overlap(pl.DataFrame({"response": ["a b c"]}))  # kernels are there before anything is measured
    runs: list[kp.OverlapRun] = []
    before = anonymous()
    most = before
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, anonymous())

    def report(run: kp.OverlapRun) -> None:
        runs[:] = [run]

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, cpu = time.monotonic(), time.process_time()
    found = kp.overlap(pl.scan_parquet(path), id="row", memory=memory << 20, progress=report)
    spans = found.select(pl.len()).collect().item()
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    ended.set()
    watcher.join()
    (held,) = runs[0].held
    print(
        f"| {rows:,} | {memory:,} | {'memory' if held.in_memory else 'file'} | {held.blocks} | {spans:,} | "
        f"{held.postings / rows:.1f} | {held.kept / rows:,.0f} | {(most - before) / (1 << 20):,.0f} | {cpu:.1f} | "
        f"{seconds:.1f} |",
        flush=True,
    )


def main(command: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Parquet file with a column response")
    parser.add_argument("--rows", type=int, default=40_000, help="pieces, at most")
    parser.add_argument("--memory", type=int, nargs="+", default=[64, 2048], help="MiB for postings")
    arguments = parser.parse_args(command)
    print("| rows | MiB | postings in | blocks | passages | seeds a row ", end="")
    print("| file bytes a row | anonymous MiB | CPU s | wall s |\n" + "|---" * 10 + "|", flush=True)
    with tempfile.TemporaryDirectory(prefix="kinprint-") as folder:
        path = Path(folder) / "pieces.parquet"
        rows = cut(arguments.data, arguments.rows, path)
        for memory in arguments.memory:
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(path, rows, memory))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
