"""A million rows: duplicates of a frame, search in process, and one answer given a million times.

    .venv/bin/python benchmarks/million.py transcripts.parquet --out docs/benchmarks-million.md
    .venv/bin/python benchmarks/million.py transcripts.parquet --rows 20000                       # a quick look

Needs a Parquet file with a column `response`. The rows are pieces of about 165 words cut from it, edited so much that
two rows with a source in common are no near-duplicates, and among them copies that are. Each part is a process of its
own. `peak` is the most memory that was resident; it counts the pages of mapped files, which the system takes back when
it needs them. `held` is the most that was not of files, sampled every 20 ms: what the process cannot do without.

With --work the files stay, and --parts runs some of the parts on what an earlier run left.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from timing import header, machine, row

WORDS = (150, 180)
"""Fewest and most words of a row before it is edited."""
EDITS = (0.05, 0.50)
"""Least and greatest share of the words that are edited in a row."""
COPIES, COPY_EDITS = 0.05, (0.01, 0.15)
"""Share of the rows that are edited copies of other rows, and least and greatest share of their words edited."""
IDENTICAL = 0.01
"""Share of the rows that are other rows again."""
HELD_OUT = 50
"""One response in so many is no row's source."""
BATCH = 50_000
"""Rows that are made at once."""
LOADED = 20_000
"""Rows that are committed at once."""
THRESHOLD = 0.7
TOP = 10
QUERIES = {"near": 500, "fragment": 500, "absent": 200}
NEAR_EDITS = 0.05
FRAGMENT = (8, 12)
WARM_UP = 20
SEED = 11


# ---- what a process takes ----


class Meter:
    """Time and memory of this process from `with` on; memory in MB."""

    def __init__(self) -> None:
        self.base = _status("RssAnon")
        self.held = self.base
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._end.wait(0.02):
            self.held = max(self.held, _status("RssAnon"))

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._end.set()
        self._thread.join()
        self.held = max(self.held, _status("RssAnon"))

    def figures(self) -> dict[str, float]:
        """Everything, for the report."""
        return {
            "wall": self.wall,
            "cpu": self.cpu,
            "peak": _status("VmHWM"),
            "held": self.held,
            "base": self.base,
        }


def _status(name: str) -> float:
    """A figure of this process in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024 / 1e6


# ---- making rows ----


class Source(NamedTuple):
    """All responses as one stream of words, each with the white space after it."""

    vocabulary: pa.LargeStringArray
    stream: NDArray[np.int32]
    """int32[w]: numbers of words in the vocabulary, response after response."""
    spots: NDArray[np.int64]
    """Where a row may begin, so that it lies within one response."""


class Rows(NamedTuple):
    """Rows as words: row i has tokens[starts[i]:starts[i + 1]]."""

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]


def source_of(responses: pl.Series) -> Source:
    """Cut responses into words."""
    words = responses.str.strip_chars().str.extract_all(r"\S+\s*")
    # Of scripts that are written without spaces too little would be left in a row.
    words = words.filter((words.list.len() >= WORDS[1]) & (responses.str.len_bytes() < 12 * words.list.len()))
    flat = words.explode().to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    ends = np.cumsum(words.list.len().to_numpy().astype(np.int64))
    spots = [np.arange(b, e - WORDS[1] + 1) for b, e in zip(np.append(0, ends[:-1]), ends, strict=True)]
    if not spots:
        raise SystemExit(f"no response has {WORDS[1]} words")
    stream = flat.indices.to_numpy().astype(np.int32)
    return Source(flat.dictionary.cast(pa.large_string()), stream, np.concatenate(spots))


def taken(stream: NDArray[np.int32], first: NDArray[np.int64], lengths: NDArray[np.int64]) -> Rows:
    """The stretches of a stream that begin at `first`."""
    starts = np.append(0, np.cumsum(lengths))
    return Rows(stream[np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)], starts)


def edited(rows: Rows, rates: NDArray[np.float64], source: Source, rng: np.random.Generator) -> Rows:
    """A share of the words of each row, and one at least, replaced, deleted, or followed by another, each as often."""
    lengths = np.diff(rows.starts)
    draws = rng.random(len(rows.tokens), np.float32) / np.repeat(rates, lengths).astype(np.float32)
    untouched = np.minimum.reduceat(draws, rows.starts[:-1]) >= 1
    draws[rows.starts[:-1][untouched]] = 0
    what = np.minimum(draws * 3, 3).astype(np.int8)  # 3: nothing
    new = source.stream[rng.integers(len(source.stream), size=int((what != 3).sum()))]
    replaced, followed = what == 0, what == 2
    tokens = rows.tokens.copy()
    tokens[replaced] = new[: replaced.sum()]
    counts = np.array([1, 0, 2, 1])[what]
    ends = np.cumsum(counts)
    out = np.repeat(tokens, counts)
    out[ends[followed] - 1] = new[len(new) - followed.sum() :]
    return Rows(out, np.append(0, ends[rows.starts[1:] - 1]))


def own_rows(source: Source, batch: int, count: int) -> Rows:
    """Rows of a batch that are no copies; the same whenever they are asked for."""
    rng = np.random.default_rng([SEED, 0, batch])
    lengths = rng.integers(WORDS[0], WORDS[1] + 1, count)
    first = source.spots[rng.integers(len(source.spots), size=count)]
    return edited(taken(source.stream, first, lengths), rng.uniform(*EDITS, count), source, rng)


def some_rows(rows: Rows, which: NDArray[np.int64]) -> Rows:
    """Rows by number."""
    return taken(rows.tokens, rows.starts[which], np.diff(rows.starts)[which])


def texts_of(rows: Rows, source: Source) -> pl.Series:
    """Rows as text: the words are taken one after the other, so that their bytes are those of the rows already."""
    words = pc.take(source.vocabulary, pa.array(rows.tokens))
    _, offsets, data = words.buffers()
    starts = np.frombuffer(offsets, np.int64)[rows.starts]
    return pl.Series(pa.LargeStringArray.from_buffers(len(starts) - 1, pa.py_buffer(starts), data)).str.strip_chars()


def batches(source: Source, rows: int) -> Iterator[pl.DataFrame]:
    """All rows, id and response, a batch at a time. Copies are of rows of a batch chosen at random."""
    count = -(-rows // BATCH)
    sizes = [min(BATCH, rows - b * BATCH) for b in range(count)]
    copies, again = ([round(share * size) for size in sizes] for share in (COPIES, IDENTICAL))
    own = [size - c - a for size, c, a in zip(sizes, copies, again, strict=True)]
    for b, size in enumerate(sizes):
        rng = np.random.default_rng([SEED, 1, b])
        other = int(rng.integers(count))
        sources = own_rows(source, other, own[other])
        which = rng.integers(own[other], size=copies[b] + again[b])
        near = edited(some_rows(sources, which[: copies[b]]), rng.uniform(*COPY_EDITS, copies[b]), source, rng)
        parts = (own_rows(source, b, own[b]), near, some_rows(sources, which[copies[b] :]))
        texts = pl.concat([texts_of(part, source) for part in parts])
        # Neither their order nor their ids tell rows apart.
        yield pl.DataFrame({"id": ids(rng, size), "response": texts.gather(rng.permutation(size))})


def ids(rng: np.random.Generator, count: int) -> pl.Series:
    """Ids of 32 hexadecimal digits, in no order."""
    return pl.Series([rng.bytes(16) for _ in range(count)], dtype=pl.Binary).bin.encode("hex")


def make(work: Path, data: Path, rows: int) -> dict[str, Any]:
    """Part 1: rows; then, untimed, queries and identical rows."""
    # In an order that mixes models and prompts, the same in every run.
    responses = pl.read_parquet(data, columns=["response"])["response"].drop_nulls()
    responses = responses.sample(fraction=1, shuffle=True, seed=7)
    held_out = pl.int_range(len(responses), eager=True) % HELD_OUT == 0
    out = work / "rows.parquet"
    text = words = 0
    with Meter() as meter:
        source = source_of(responses.filter(~held_out))
        writer = None
        for frame in batches(source, rows):
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table)
            text += int(frame["response"].str.len_bytes().sum())
            words += int(frame["response"].str.count_matches(r"\S+").sum())
        assert writer is not None
        writer.close()
    queries(out, source, source_of(responses.filter(held_out)), rows).write_parquet(work / "queries.parquet")
    write_identical(out, work / "identical.parquet", rows)
    return {**meter.figures(), "text": text, "words": words, "file": out.stat().st_size, "spots": len(source.spots)}


def queries(path: Path, source: Source, held_out: Source, rows: int) -> pl.DataFrame:
    """Queries of all kinds: kind, text, and the id of the row that each is of, null where it is of none."""
    rng = np.random.default_rng([SEED, 2])
    chosen = np.unique(rng.integers(rows, size=QUERIES["near"] + QUERIES["fragment"]))
    some = pl.scan_parquet(path).with_row_index().filter(pl.col("index").is_in(chosen.tolist())).collect()
    some = some.sample(fraction=1, shuffle=True, seed=SEED)
    made: list[tuple[str, str, str | None]] = []
    for name, text in some.select("id", "response").iter_rows():
        words = text.split(" ")
        if len(made) < QUERIES["near"]:
            at = rng.choice(len(words), round(NEAR_EDITS * len(words)), replace=False)
            for k, new in zip(at, rng.integers(len(source.stream), size=len(at)), strict=True):
                words[k] = source.vocabulary[int(source.stream[new])].as_py().strip()
            made.append(("near", " ".join(words), name))
        else:
            # Between spaces there may be two words (don't), or none (bullets).
            length, start = int(rng.integers(FRAGMENT[0], FRAGMENT[1] + 1)), int(rng.integers(len(words) // 2))
            fragment = re.compile(rf"(?:\w+\W+){{{length - 1}}}\w+").search(" ".join(words[start:]))
            if fragment is not None:
                made.append(("fragment", fragment.group(), name))
    first = held_out.spots[rng.integers(len(held_out.spots), size=QUERIES["absent"])]
    absent = texts_of(taken(held_out.stream, first, rng.integers(WORDS[0], WORDS[1] + 1, len(first))), held_out)
    made += [("absent", text, None) for text in absent]
    return pl.DataFrame(made, schema=["kind", "text", "id"], orient="row")


def write_identical(path: Path, out: Path, rows: int) -> None:
    """One of the rows so many times, with other ids."""
    text = pl.scan_parquet(path).head(1).collect()["response"][0]
    rng = np.random.default_rng([SEED, 3])
    schema = pa.schema({"id": pa.large_string(), "response": pa.large_string()})
    with pq.ParquetWriter(out, schema) as writer:
        for start in range(0, rows, BATCH):
            some = ids(rng, min(BATCH, rows - start))
            frame = pl.DataFrame({"id": some, "response": pl.repeat(text, len(some), eager=True)})
            writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


# ---- duplicates of a frame ----


def duplicates(work: Path, file: str, output: Any) -> dict[str, Any]:
    """Parts 2 and 4: near-duplicates of a file, to a file."""
    import kinprint.polars

    out = work / f"{output}.parquet"
    spool = 0.0
    run = kinprint.polars.Run()
    reached: dict[str, float] = {}
    warm_up(work, file, output)
    with Meter() as meter:
        started = time.perf_counter()

        def progress(now: kinprint.polars.Run) -> None:
            nonlocal run, spool
            run = now
            step = now.step.partition(" (")[0]
            reached[step] = time.perf_counter() - started
            if not spool and step == "sketching":
                spool = mapped_bytes(work)

        found = kinprint.polars.dedup(
            pl.scan_parquet(work / file), id="id", threshold=THRESHOLD, output=output, progress=progress, spool_dir=work
        )
        found.sink_parquet(out)
    result = pl.scan_parquet(out)
    if output == "clusters":
        size = result.filter("is_representative").select(pl.len()).collect().item()
    else:
        size = result.select(pl.len()).collect().item()
    return {
        **meter.figures(),
        "found": size,
        "distinct": run.distinct,
        "candidates": run.candidates,
        "spool": spool,
        "read": reached.get("reading", 0.0),
        "sketched": reached["sketching"],
    }


def warm_up(work: Path, file: str, output: Any) -> None:
    """Load what is compiled, so that it counts neither as time nor as memory of the rows."""
    import kinprint.polars

    few = pl.scan_parquet(work / file).head(200)
    texts = pl.concat([few, few.with_columns("response", id=pl.col("id") + "-")])
    kinprint.polars.dedup(texts, id="id", threshold=THRESHOLD, output=output, spool_dir=work).collect()


def mapped_bytes(folder: Path) -> float:
    """Size of what is mapped from files without a name in a folder."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        lines = [line.split() for line in maps if str(folder) in line and "(deleted)" in line]
    return float(sum(int(end, 16) - int(start, 16) for start, _, end in (line[0].partition("-") for line in lines)))


# ---- search ----


def load(work: Path) -> dict[str, Any]:
    """Part 3: a corpus as the server makes it, and its indexes on disk."""
    from kinprint.server.channels.protocol import Limits, Query
    from kinprint.server.corpus.corpus import Corpus
    from kinprint.server.corpus.normalise import Submission, normalise
    from kinprint.server.corpus.plan import Batch
    from kinprint.server.search.run import find

    folder = work / "corpus"
    shutil.rmtree(folder, ignore_errors=True)
    with Meter() as meter:
        corpus = Corpus.create(folder, "bench", "")
        started = corpus.next_seq(1)
        occurrences: Counter[bytes] = Counter()
        for some in pq.ParquetFile(work / "rows.parquet").iter_batches(LOADED):
            columns = some.to_pydict()
            sent = [
                Submission(text, id=name, model="bench", language="en")
                for name, text in zip(columns["id"], columns["response"], strict=True)
            ]
            rows = normalise("bench", sent, occurrences)
            corpus.write([Batch(rows, frozenset({"copy"}), started)])
        written = time.perf_counter()
        corpus.publish()
        published = time.perf_counter() - written
    sizes: Counter[str] = Counter()
    for path in (folder / "generations").rglob("*"):
        if path.is_file():
            sizes[path.name] += path.stat().st_size
    record = sum(path.stat().st_size for path in (folder / "record").rglob("*") if path.is_file())
    # Compiled here if need be, so that the process to come finds machine code, as it would in use.
    first_text = pl.read_parquet(work / "queries.parquet")["text"][0]
    find("copy", Query(first_text), [corpus.view], limits=Limits(TOP))
    return {**meter.figures(), "publish": published, "sizes": dict(sizes), "record": record}


def search(work: Path) -> dict[str, Any]:
    """Part 3: search the corpus, mapped anew."""
    from kinprint.server.channels.protocol import Limits, Query
    from kinprint.server.corpus.corpus import Corpus
    from kinprint.server.search.run import find

    asked = pl.read_parquet(work / "queries.parquet")
    figures: dict[str, Any] = {"kinds": {}}
    with Meter() as meter:
        started = time.perf_counter()
        corpus = Corpus.open(work / "corpus")
        view = corpus.view
        figures["open"] = time.perf_counter() - started
        started = time.perf_counter()
        find("copy", Query(asked["text"][0]), [view], limits=Limits(TOP))
        figures["first"] = time.perf_counter() - started
        for (kind,), some in asked.group_by("kind", maintain_order=True):
            for text in some["text"].tail(WARM_UP):
                find("copy", Query(text), [view], limits=Limits(TOP))
            times, results = [], []
            cpu = time.process_time()
            for text in some["text"]:
                started = time.perf_counter()
                result = find("copy", Query(text), [view], limits=Limits(TOP))
                times.append((time.perf_counter() - started) * 1000)
                results.append(result)
            figures["kinds"][kind] = {
                "queries": len(times),
                "cpu": (time.process_time() - cpu) * 1000 / len(times),
                "p50": statistics.median(times),
                "p99": sorted(times)[int(len(times) * 0.99)],
                "candidates": statistics.median(r.counts["copy_candidates"] for r in results),
                "verified": statistics.median(r.counts["copy_verified"] for r in results),
                "score": statistics.median(r.matches[0].score if r.matches else 0.0 for r in results),
                "right": statistics.mean(right(kind, *pair, view) for pair in zip(results, some["id"], strict=True)),
            }
    return {**figures, **meter.figures(), "segments": len(view.parts)}


def right(kind: str, result: Any, name: str | None, view: Any) -> bool:
    """Whether the first hit is what it should be; of identical rows any will do."""
    if not result.matches:
        return kind == "absent"
    best = result.matches[0]
    if kind == "absent":
        return bool(best.score < THRESHOLD)
    if kind == "fragment":
        return bool(best.shared == best.query_size)
    from kinprint.server.corpus.view import Place

    assert name is not None
    place = view.locate([name])[0]
    return bool(
        best.id == name or view.value(Place(best.target.part, best.row), "text_hash") == view.value(place, "text_hash")
    )


# ---- the report ----


def mb(count: float) -> str:
    """Bytes as MB."""
    return f"{count / 1e6:,.0f}"


def share(least_and_greatest: tuple[float, float]) -> str:
    """A range of shares in words."""
    return "{:.0%} to {:.0%}".format(*least_and_greatest)


def resources(of: dict[str, float]) -> tuple[str, ...]:
    """CPU, peak and held memory of a process."""
    return f"{of['cpu']:.1f}", f"{of['peak']:,.0f}", f"{of['held']:,.0f}"


Measure = Callable[..., dict[str, Any]]


def part_1(measure: Measure, rows: int) -> list[str]:
    """Rows are made."""
    of = measure("make")
    return [
        "## 1. Making the rows",
        "",
        f"Pieces of responses, {share(EDITS)} of their words replaced, deleted or followed by others. Of the rows",
        f"{COPIES:.0%} are copies of others, {share(COPY_EDITS)} of their words edited, and {IDENTICAL:.0%} are others",
        "again. Written to Parquet batch by batch, on one core.",
        "",
        *header("rows", "text MB", "words a row", "file MB", "wall s", "rows/s", "CPU s", "peak MB", "held MB"),
        row(
            f"{rows:,}", mb(of["text"]), f"{of['words'] / rows:.0f}", mb(of["file"]), f"{of['wall']:.1f}",
            f"{rows / of['wall']:,.0f}", *resources(of),
        ),
        "",
    ]  # fmt: skip


DEDUP = ("wall s", "rows/s", "CPU s", "peak MB", "held MB", "bytes a row")


def dedup_cells(of: dict[str, float], rows: int) -> tuple[str, ...]:
    """What :data:`DEDUP` names."""
    a_row = (of["held"] - of["base"]) * 1e6 / rows
    return f"{of['wall']:.1f}", f"{rows / of['wall']:,.0f}", *resources(of), f"{a_row:,.0f}"


def part_2(measure: Measure, rows: int) -> list[str]:
    """Duplicates of the rows."""
    made = {output: measure("duplicates", "rows.parquet", output) for output in ("pairs", "clusters")}
    return [
        f"## 2. Duplicates without a server, Jaccard >= {THRESHOLD}",
        "",
        "`pl.scan_parquet(...)`, `kinprint.polars.dedup(id=...)`, sunk to Parquet; every pair is verified. Bytes a",
        "row: the memory held beyond what was held after import.",
        "",
        *header("output", *DEDUP, text=1),
        *(row(output, *dedup_cells(of, rows)) for output, of in made.items()),
        "",
        *header("output", "distinct", "candidates", "found", "spool MB", "sketched after s", text=1),
        *(
            row(
                output, f"{of['distinct']:,}", f"{of['candidates']:,}", f"{of['found']:,}", mb(of["spool"]),
                f"{of['sketched']:.1f}",
            )
            for output, of in made.items()
        ),
        "",
    ]  # fmt: skip


RIGHT = {
    "near": f"a row, {NEAR_EDITS:.0%} of its words replaced",
    "fragment": f"{FRAGMENT[0]} to {FRAGMENT[1]} words of a row",
    "absent": "a piece of a response held out",
}


def part_3(measure: Measure, rows: int) -> list[str]:
    """Search in process."""
    loaded = measure("load")
    of = measure("search")
    sizes = loaded["sizes"]
    kinds = of["kinds"]
    return [
        "## 3. Search in process",
        "",
        f"Rows are normalised and written to a corpus {LOADED:,} at a time, as the server does it, for `copy` alone;",
        "then its indexes are published. Each commit is on disk before the next begins.",
        "",
        *header("rows", "wall s", "rows/s", "of which publish s", "CPU s", "peak MB", "held MB", "record MB"),
        row(
            f"{rows:,}", f"{loaded['wall']:.1f}", f"{rows / loaded['wall']:,.0f}", f"{loaded['publish']:.1f}",
            *resources(loaded), mb(loaded["record"]),
        ),
        "",
        "What was published, in files that are mapped:",
        "",
        *header("file", "MB", "bytes a row", text=1),
        *(row(name, f"{size / 1e6:,.1f}", f"{size / rows:,.1f}") for name, size in sorted(sizes.items())),
        row("all", f"{sum(sizes.values()) / 1e6:,.1f}", f"{sum(sizes.values()) / rows:,.1f}"),
        "",
        "The corpus opened by another process:",
        "",
        *header("segments", "open ms", "first search ms", "CPU s", "peak MB", "held MB", "held after import MB"),
        row(
            of["segments"], f"{of['open'] * 1000:,.0f}", f"{of['first'] * 1000:,.0f}", *resources(of),
            f"{of['base']:,.0f}",
        ),
        "",
        f"The best {TOP} of all rows, one query after the other, pages warm. Right: the first hit is the row or one",
        "identical to it; of a fragment, that it holds all shingles of the fragment, as others may; of a text that is",
        f"in no row, that nothing scores {THRESHOLD} or more.",
        "",
        *header("query", "queries", "p50 ms", "p99 ms", "CPU ms", "candidates", "verified", "score", "right", text=1),
        *(
            row(
                RIGHT[kind], k["queries"], f"{k['p50']:.2f}", f"{k['p99']:.2f}", f"{k['cpu']:.2f}",
                f"{k['candidates']:,.0f}", f"{k['verified']:,.0f}", f"{k['score']:.3f}", f"{k['right']:.1%}",
            )
            for kind, k in kinds.items()
        ),
        "",
        "CPU: mean; candidates, verified, score of the first hit: medians.",
        "",
    ]  # fmt: skip


def part_4(measure: Measure, rows: int) -> list[str]:
    """The same row again and again."""
    of = measure("duplicates", "identical.parquet", "clusters")
    return [
        "## 4. One answer as every row",
        "",
        "Clusters of a file in which one row stands as often as there are rows.",
        "",
        *header("rows", *DEDUP, "spool MB", "clusters"),
        row(f"{rows:,}", *dedup_cells(of, rows), mb(of["spool"]), f"{of['found']:,}"),
        "",
    ]


PARTS = {1: part_1, 2: part_2, 3: part_3, 4: part_4}
JOBS: dict[str, Measure] = {"make": make, "duplicates": duplicates, "load": load, "search": search}


def in_process(work: Path, job: str, *more: object) -> dict[str, Any]:
    """Run a job in a process of its own, whose thread pools are as large as there are cores."""
    cores = str(len(os.sched_getaffinity(0)))
    pools = {"NUMBA_THREADING_LAYER": "workqueue", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    pools |= dict.fromkeys(("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS"), cores)
    command = [sys.executable, __file__, "--child", json.dumps([job, str(work), *more])]
    done = subprocess.run(command, env={**os.environ, **pools}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job} ended with {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{job}: {figures['wall']:.1f} s", file=sys.stderr, flush=True)
    return figures


def child(job: str, work: str, *more: Any) -> None:
    """Run a job in this process."""
    print(json.dumps(JOBS[job](Path(work), *more)))


def report(data: Path, rows: int, parts: Sequence[int], work: Path) -> str:
    """All parts."""

    def measure(job: str, *more: object) -> dict[str, Any]:
        return in_process(work, job, *((str(data), rows) if job == "make" else more))

    lines = [
        f"# {rows:,} rows",
        "",
        f"Written by `benchmarks/million.py`: {machine()}.",
        "Each measurement is a process of its own. Peak: the most memory resident, pages of mapped files included,",
        "which the system takes back when it needs them. Held: the most that was not of files.",
        "",
    ]
    for part in parts:
        lines += PARTS[part](measure, rows)
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark."""
    if sys.argv[1:2] == ["--child"]:
        child(*json.loads(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a Parquet file of transcripts")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, nargs="+", choices=sorted(PARTS), default=sorted(PARTS))
    parser.add_argument("--work", type=Path, help="keep the files here; a million rows take about 8 GB")
    parser.add_argument("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="kinprint-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        text = report(arguments.data.resolve(), arguments.rows, sorted(set(arguments.parts)), work.resolve())
    finally:
        if arguments.work is None:
            shutil.rmtree(work, ignore_errors=True)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
