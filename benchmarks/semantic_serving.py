"""Sections of `semantic.py` on corpora, in process and behind a server: what is loaded, found, and what it is worth."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
import semantic_rows
from kinprint.client import KinprintError
from semantic_bench import Bench
from semantic_worker import Figures, Worker, WorkerError
from serving import meanwhile
from timing import Server, descendants, forget_peak, memory, peak, wait_quiet

WARM = 10
"""Queries that are made first, untimed."""
SETTLED = 3_600.0
"""Seconds after which a server that still works on what was loaded is no longer waited for."""


@contextmanager
def served(data: Path, model: str = "default") -> Iterator[Server]:
    """A server with a model, and its end."""
    data.mkdir(parents=True, exist_ok=True)
    server = Server(data, model, timeout=300.0)
    try:
        yield server
    finally:
        server.stop()


def _ready(bench: Bench, server: Server, client: Worker) -> None:
    """Wait until a server has its table: what is loaded from then on has the fast tier at once."""
    few = str(bench.work / "sample.parquet")
    client.ask("load", address=server.address, rows=few, corpus="ready", channels=["copy"])
    until = time.monotonic() + 300
    while time.monotonic() < until:
        fast = server.client.get_fill("ready").fast
        if fast is not None and fast.filled:
            break
        time.sleep(0.2)
    else:
        raise WorkerError(f"the server did not load its table: {server.client.get_fill('ready').problem}")
    server.client.delete_corpus("ready", timeout=300.0)
    wait_quiet(server.pid)


# ---- loading ----


def load(bench: Bench) -> Figures:
    """Section `load`: rows through a client into a server, until every row has the fast tier and its index."""
    figures: Figures = {"runs": []}
    with bench.corpora() as worker:
        files = {"answers of the files": bench.rows}
        if bench.sizes.million:
            files["made rows of about 165 words"] = _made_rows(bench, worker)
        for name, path in files.items():
            figures["runs"].append({"rows": name, "alone": worker.ask("fast_tier", rows=str(path))})
    for run, path in zip(figures["runs"], files.values(), strict=True):
        for model in ("default", "none"):
            run[model] = _load_once(bench, path, model)
    return figures


def _made_rows(bench: Bench, worker: Worker) -> Path:
    path = bench.work / f"made-{bench.sizes.million}.parquet"
    if not path.exists():
        source = max(bench.files, key=lambda file: file.stat().st_size)
        worker.ask("make_rows", source=str(source), out=str(path), rows=bench.sizes.million)
    return path


def _load_once(bench: Bench, rows: Path, model: str) -> Figures:
    data = bench.work / "data-load"
    shutil.rmtree(data, ignore_errors=True)
    with served(data, model) as server, bench.ours(module="semantic_clients") as client:
        if model != "none":
            _ready(bench, server, client)
        wait_quiet(server.pid)
        forget_peak(server.pid)
        before, started, now = server.usage(), time.perf_counter(), datetime.datetime.now()
        loaded = client.ask("load", address=server.address, rows=str(rows), corpus="bench", channels=["copy", "style"])
        wait_quiet(server.pid, SETTLED)
        settled = time.perf_counter() - started - 2.0  # of being quiet
        used = server.usage().since(before)
        fast = server.client.get_fill("bench").fast
        found = {
            "rows": loaded["rows"],
            "acknowledged": loaded["wall"],
            "indexed": _published(data, "bench", now) or loaded["wall"],
            "settled": max(settled, loaded["wall"]),
            "cpu": used.cpu,
            "written": used.written,
            "peak": peak(server.pid),
            "fast": 0.0 if fast is None else fast.share,
            "memory": memory(server.pid)._asdict(),
        }
    shutil.rmtree(data, ignore_errors=True)
    return found


def _published(data: Path, corpus: str, since: datetime.datetime) -> float | None:
    """Seconds after `since` (local time) until the server had last written a corpus' indexes; None: it never did."""
    told = re.compile(rf"^(\S+ \S+) INFO \S+ corpus {corpus}: published")
    lines = data.with_suffix(".log").read_text(encoding="utf-8", errors="replace").splitlines()
    times = [datetime.datetime.strptime(m[1], "%Y-%m-%d %H:%M:%S,%f") for line in lines if (m := told.match(line))]
    after = [(time - since).total_seconds() for time in times if time >= since]
    return after[-1] if after else None


# ---- searching ----


def search(bench: Bench) -> Figures:
    """Section `search`."""
    figures: Figures = {"builds": {}}
    with bench.corpora() as worker:
        figures["embedded"] = bench.embedded(worker)
        accurate = {"real": "own", "full": "all"}
        for name, which in accurate.items():
            figures["builds"][name] = bench.build(worker, "data", name, which, most=10**9)
        tiny = str(bench.work / "sample.parquet")
        figures["builds"]["tiny"] = bench.build(worker, "data-tiny", "full", "own", rows=tiny)
        if bench.sizes.million:
            rows = str(_made_rows(bench, worker))
            most = bench.sizes.million_accurate
            figures["builds"]["million"] = bench.build(worker, "data-million", "full", "all", rows=rows, most=most)
        data = str(bench.work / "data")
        asked = {
            "queries": str(bench.queries),
            "answers": str(bench.work / "answers.json"),
            "count": bench.sizes.recall_queries,
        }
        figures["recall"] = {name: worker.ask("recall", data=data, name=name, **asked) for name in accurate}
        figures["relatives"] = {
            kind: worker.ask(
                "ranks", data=data, name="real", pairs=semantic_rows.relations(kind), tiers=["fast", "accurate", None]
            )
            for kind in ("translation", "paraphrase", "light_edit", "partial_copy")
        }
    figures["served"] = {}
    for name, folder in (("tiny", "data-tiny"), ("rows", "data"), ("million", "data-million")):
        if (bench.work / folder).exists() and (name != "million" or bench.sizes.million):
            figures["served"][name] = _search_served(bench, bench.work / folder)
    return figures


def _search_served(bench: Bench, data: Path) -> Figures:
    """Latencies of the tiers, and memory once they have been searched."""
    with served(data) as server, bench.ours(module="semantic_clients") as client:
        wait_quiet(server.pid, 300)
        _adopted(server)
        found: Figures = {"start": server.start_seconds, "memory": {"at the start": _memory(server)}, "tiers": {}}
        for number, tier in enumerate(("fast", None, "accurate")):
            count = bench.sizes.queries
            found["tiers"][tier or "auto"] = client.ask(
                "search", address=server.address, corpus="full", queries=str(bench.queries), tier=tier,
                first=number * (count + WARM), count=count, warm=WARM, seconds=bench.sizes.seconds,
            )  # fmt: skip
            found["memory"][f"after {tier or 'auto'}"] = _memory(server)
    return found


def _adopted(server: Server) -> None:
    """Wait until a server that was started on a corpus goes by its table."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        with suppress(KinprintError):
            server.client.search("Is it there?", corpus="full", channels=["semantic"], tier="fast", timeout=60.0)
            return
        time.sleep(0.5)
    raise WorkerError("the server did not load its table")


def _memory(server: Server) -> Figures:
    """MB: held (of no file), and mapped (of files, which the system takes back when it needs the room)."""
    found = memory(server.pid)
    return {"held": found.held, "mapped": found.resident - found.held, "processes": len(descendants(server.pid))}


# ---- what scores are worth ----


def calibration(bench: Bench) -> Figures:
    """Section `calibration`."""
    sizes = bench.sizes
    with bench.corpora() as worker:
        bench.embedded(worker)
        arguments = {"rows": str(bench.rows), "work": str(bench.work)}
        figures: Figures = worker.ask(
            "calibration", pair_queries=sizes.pair_queries, searches=sizes.unrelated_searches, **arguments
        )
        bench.build(worker, "data", "real", "own")
        held_out = str(bench.work / "held-out.parquet")
        figures["at size"] = {
            tier or "auto": worker.ask(
                "unrelated_searches", data=str(bench.work / "data"), name="real", held_out=held_out, tier=tier,
                count=sizes.unrelated_searches,
            )
            for tier in ("fast", None)
        }  # fmt: skip
        figures["rows at size"] = pl.scan_parquet(bench.rows).select(pl.len()).collect().item()
    return figures


# ---- searching while something else goes on ----


def busy(bench: Bench) -> Figures:
    """Section `busy`: searches alone, beside a load at full speed, and beside filling of the accurate tier."""
    with bench.corpora() as worker:
        bench.build(worker, "data", "full", "all", most=10**9)
    figures: Figures = {"rows": pl.scan_parquet(bench.rows).select(pl.len()).collect().item()}
    with served(bench.work / "data") as server, bench.ours(module="semantic_clients") as client:
        wait_quiet(server.pid, 300)
        _adopted(server)
        first = 0

        def ask(tier: str | None, warm: int) -> Figures:
            nonlocal first
            found = client.ask(
                "search", address=server.address, corpus="full", queries=str(bench.queries), tier=tier, first=first,
                count=bench.sizes.queries, warm=warm, seconds=bench.sizes.seconds,
            )  # fmt: skip
            first += bench.sizes.queries + warm
            return dict(found)

        tiers = ("fast", None)
        figures["alone"] = {tier or "auto": ask(tier, WARM) for tier in tiers}
        with meanwhile(("keep_loading", server.address, str(bench.work), "other-")) as others:
            figures["loading"] = {tier or "auto": ask(tier, 1) for tier in tiers}
        figures["load"] = others[0]
        for corpus in others[0]["corpora"]:
            with suppress(KinprintError):
                server.client.delete_corpus(corpus, timeout=300.0)
        most = bench.sizes.filled_beside
        client.ask("load", address=server.address, rows=str(bench.rows), corpus="filled", channels=["copy"], most=most)
        wait_quiet(server.pid, 300)
        before = server.usage()
        server.client.start_fill("filled")
        started = time.perf_counter()
        figures["filling"] = {tier or "auto": ask(tier, 1) for tier in tiers}
        took = time.perf_counter() - started
        fill = server.client.pause_fill("filled")
        used = server.usage().since(before)
        filled = 0 if fill.accurate is None else fill.accurate.filled
        figures["fill"] = {"rows": filled, "of": most, "wall": took, "cpu": used.cpu, "state": fill.state}
        wait_quiet(server.pid, 300)
        server.client.delete_corpus("filled", timeout=300.0)
    return figures


# ---- end to end ----

FLOWS = (
    ("sentence_transformers", "sentence-transformers", "faiss"),
    ("fastembed", "fastembed", "qdrant"),
    ("model2vec", "model2vec", "lancedb"),
)


def flow(bench: Bench) -> Figures:
    """Section `flow`: the same rows loaded and searched by us and by what a user would put together."""
    bench.prepare_rows()
    pairs = semantic_rows.relations("translation")
    everything = pl.read_parquet(bench.rows)
    related = pl.col("id").is_in([name for pair in pairs for name in pair])
    # Translations are looked for, so they are among the rows, however few these are.
    some = everything.filter(related)
    frame = pl.concat([some, everything.filter(~related).head(bench.sizes.flow_rows - some.height)])
    rows = bench.work / "flow.parquet"
    frame.write_parquet(rows)
    ids = frame["id"].to_list()
    with bench.corpora() as worker:
        bench.embedded(worker)
    queries = json.loads(bench.queries.read_text(encoding="utf-8"))[: bench.sizes.queries]
    figures: Figures = {"rows": frame.height, "ours": _our_flow(bench, rows, pairs), "peers": {}}
    with bench.peers() as peers:
        if peers is None:
            return figures
        figures["versions"] = peers.ask("versions")
    prompt = bench.shape["prompt"]
    with bench.ours() as ours:
        ours.ask("write_fp32", directory=bench.model, out=str(bench.work / "fp32"))
        tokenizer = ours.ask("load_fast", directory=bench.table)["tokenizer"]
        ours.ask("write_table", out=str(bench.work / "table.npy"))
    models = {
        "sentence_transformers": {"model": str(bench.work / "fp32"), "window": 256},
        "fastembed": {"model": str(bench.work / "int8"), "window": 256},
        "model2vec": {"table": str(bench.work / "table.npy"), "tokenizer": tokenizer},
    }
    relations = [[ids.index(one), ids.index(other)] for one, other in pairs]
    for load_name, library, store in FLOWS:
        before = "" if library == "model2vec" else prompt
        texts = semantic_rows.write_json(bench.work / "flow.json", [before + t for t in frame["response"].to_list()])
        asked = semantic_rows.write_json(bench.work / "flow-queries.json", [before + text for _, text in queries])
        most = frame.height if library == "model2vec" else bench.sizes.flow_slow
        try:
            with bench.peers() as peers:
                assert peers is not None
                if library == "fastembed":
                    peers.ask("export_int8", fp32=str(bench.work / "fp32"), out=str(bench.work / "int8"))
                peers.ask(f"load_{load_name}", **models[load_name])
                figures["peers"][f"{library} + {store}"] = peers.ask(
                    "flow", library=library, store=store, texts=str(texts), queries=str(asked), rows=frame.height,
                    most=max(most, 264), relations=relations, work=str(bench.work),
                )  # fmt: skip
        except WorkerError as error:
            print(f"{library} + {store} is left out: {error}", flush=True)
    (bench.work / "table.npy").unlink(missing_ok=True)
    return figures


def _our_flow(bench: Bench, rows: Path, pairs: list[tuple[str, str]]) -> Figures:
    """Fast tier of all rows; accurate tier of as many as peers embed, the time of the rest in proportion."""
    data = bench.work / "data-flow"
    shutil.rmtree(data, ignore_errors=True)
    found: Figures = {}
    with served(data) as server, bench.ours(module="semantic_clients") as client:
        _ready(bench, server, client)
        for kind, channels, most in (
            ("fast", ["copy", "style"], 0),
            ("accurate", ["copy", "style", "semantic"], max(bench.sizes.flow_slow, 264)),
        ):
            before, started = server.usage(), time.perf_counter()
            loaded = client.ask(
                "load", address=server.address, rows=str(rows), corpus=kind, channels=channels, most=most
            )
            # What is embedded is in proportion to the rows; what is done afterwards is not.
            total = max(bench.sizes.flow_rows, loaded["rows"]) if most else loaded["rows"]
            scale = total / loaded["rows"]
            cpu = server.usage().since(before).cpu
            wait_quiet(server.pid, SETTLED)
            wall = max(time.perf_counter() - started - 2.0 - loaded["wall"], 0) + loaded["wall"] * scale
            cpu = cpu * scale + server.usage().since(before).cpu - cpu
            asked = client.ask(
                "search", address=server.address, corpus=kind, queries=str(bench.queries), first=0,
                tier=None if most else "fast", count=bench.sizes.queries, warm=WARM, seconds=bench.sizes.seconds,
            )  # fmt: skip
            found[kind] = {
                "rows": total,
                "embedded": loaded["rows"],
                "wall": wall,
                "cpu": cpu,
                "ms": asked["ms"],
                "ranks": _ranks(server, kind, pairs),
                "peak": peak(server.pid),
            }
    shutil.rmtree(data, ignore_errors=True)
    return found


def _ranks(server: Server, corpus: str, pairs: list[tuple[str, str]]) -> list[int]:
    """Rank of each translation by a search for the stored row, both directions; copies do not count."""
    texts = {row["id"]: row["response"] for row in semantic_rows.sample().iter_rows(named=True)}
    found = []
    for one, other in pairs:
        for query, wanted in ((one, other), (other, one)):
            made = server.client.search(
                id=query, corpus=corpus, channels=["semantic"], top=200, max_evidence=0, timeout=300.0
            )
            copies = (texts[query], texts[wanted])
            ids = [hit.id for hit in made.hits if hit.id == wanted or texts.get(hit.id or "") not in copies]
            found.append(ids.index(wanted) + 1 if wanted in ids else 0)
    return found


def quality(bench: Bench) -> Figures | None:
    """Section `quality`: the report of `semantic_quality.py`, where it is there."""
    program = Path(__file__).with_name("semantic_quality.py")
    if not program.exists():
        return None
    out = bench.work / "quality.md"
    command: list[Any] = [sys.executable, program, *bench.files, "--rows", bench.sizes.quality_rows]
    command += ["--work", bench.work / "quality", "--out", out]
    subprocess.run([str(part) for part in command], check=True)
    return {"report": out.read_text(encoding="utf-8")}


SECTIONS = {
    "load": load,
    "search": search,
    "calibration": calibration,
    "busy": busy,
    "flow": flow,
    "quality": quality,
}
