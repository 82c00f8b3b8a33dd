"""The semantic channel beside other libraries: speed of both tiers, search among many rows, what scores are worth.

    make bench-semantic DATA="transcripts.parquet others.parquet" [PEERS=python] [WORK=folder] [JSON=out.json]
    .venv/bin/python benchmarks/semantic.py transcripts.parquet --work folder --quick            # to try the program
    .venv/bin/python benchmarks/semantic.py transcripts.parquet --work folder --only accurate,fast --json out.json

Transcripts are Parquet files with the columns `prompt_id`, `response`, `language`, and perhaps `model`. The larger and
the more varied in languages they are, the more is told; the sample corpus is always among the rows.

What takes long is kept in --work (accurate vectors, corpora, made rows) and used again by later runs; with --json, too,
the sections that are not asked for are those of an earlier run on the same version. --report measures nothing.

Other libraries run under --peers, an interpreter that has them:

    python -m venv peers
    peers/bin/pip install torch sentence-transformers fastembed onnx model2vec qdrant-client lancedb faiss-cpu

They read the model that is measured from its directory, and its weights as float32, which are written to --work;
nothing is fetched. Without --peers they are left out. All take turns within one run, round by round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import semantic_embedding
import semantic_report
import semantic_serving
from semantic_bench import CORES, Bench, processor
from serving import version
from timing import machine

Figures = dict[str, Any]
SECTIONS: dict[str, Callable[[Bench], Figures | None]] = {
    "accurate": semantic_embedding.accurate,
    "fast": semantic_embedding.fast,
    **semantic_serving.SECTIONS,
}
QUICK = {
    "rows": 2_500, "accurate_rows": 420, "million": 0, "texts": 4, "fast_texts": 300, "rounds": 2, "queries": 20,
    "recall_queries": 6, "pair_queries": 60, "unrelated_searches": 15, "flow_rows": 600, "flow_slow": 264,
    "seconds": 15.0, "filled_beside": 200, "quality_rows": 60,
}  # fmt: skip
"""Sizes with which a run takes a few minutes, and whose figures mean little."""


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", type=Path, nargs="*", help="Parquet files of transcripts")
    add("--work", type=Path, help="folder for what takes long to make; 100,000 rows take 4 GB, a million 30 GB")
    add("--only", default=",".join(SECTIONS), help=f"sections, of {','.join(SECTIONS)}")
    add("--peers", help="interpreter with the other libraries")
    add("--quick", action="store_true", help="small sizes, to try the program: " + str(QUICK))
    add("--rows", type=int, default=100_000, help="rows, as far as the files have so many")
    add("--accurate-rows", type=int, default=3_000, help="of these, rows with accurate vectors of their own")
    add("--million", type=int, default=1_000_000, help="made rows; 0: none")
    add(
        "--million-accurate",
        type=int,
        default=0,
        help="of these, rows with accurate vectors, those of the fast tier standing in",
    )
    add("--texts", type=int, default=32, help="answers of about 250 words")
    add("--fast-texts", type=int, default=4_000, help="texts of a language, thread count and round, for the fast tier")
    add("--threads", default="1,2", help="numbers of threads")
    add("--rounds", type=int, default=3, help="rounds in which all take turns")
    add("--queries", type=int, default=200, help="searches of each tier")
    add("--seconds", type=float, default=120.0, help="time after which no further search is made")
    add("--recall-queries", type=int, default=60, help="queries of either kind that are searched exactly, too")
    add("--pair-queries", type=int, default=400, help="texts that are compared with unrelated ones")
    add("--unrelated-searches", type=int, default=200, help="unrelated searches of each size of query")
    add("--filled-beside", type=int, default=3_000, help="rows whose accurate tier is filled while searches go on")
    add("--flow-rows", type=int, default=20_000, help="rows that are loaded end to end")
    add("--flow-slow", type=int, default=600, help="of these, rows that a model embeds; the rest in proportion")
    add("--quality-rows", type=int, default=2_000, help="answers of each language, for section quality")
    add("--json", type=Path, help="write the figures here")
    add("--report", action="store_true", help="measure nothing: write the report of --json")
    add("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    if arguments.report and arguments.json is None:
        parser.error("--report needs the figures: --json FILE")
    if not arguments.report and not arguments.data:
        parser.error("name the transcripts")
    if missing := [str(path) for path in arguments.data if not path.exists()]:
        parser.error(f"there is no {', '.join(missing)}")
    unknown = set(arguments.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if arguments.quick:
        vars(arguments).update(QUICK)
    arguments.threads = sorted({min(int(n), CORES) for n in str(arguments.threads).split(",")})
    return arguments


def run(arguments: argparse.Namespace) -> Figures:
    """Measure the sections asked for; the others are those of --json."""
    figures: Figures = {
        "version": version(),
        "machine": machine(),
        "processor": processor(),
        "files": [path.name for path in arguments.data],
        "sections": {},
    }
    if arguments.json and arguments.json.exists():
        earlier = json.loads(arguments.json.read_text(encoding="utf-8"))
        if earlier["version"] == figures["version"] and earlier["processor"] == figures["processor"]:
            figures["sections"] = earlier["sections"]
    with tempfile.TemporaryDirectory(prefix="kinprint-bench-") as scratch:
        work = (arguments.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work, arguments)
        for name, section in SECTIONS.items():
            if name not in arguments.only.split(","):
                continue
            started = time.perf_counter()
            try:
                found = section(bench)
            except RuntimeError as error:  # the other sections can be measured all the same
                print(f"{name} failed: {error}", file=sys.stderr, flush=True)
                continue
            took = time.perf_counter() - started
            if found is not None:
                sizes = {k: v for k, v in vars(arguments).items() if isinstance(v, int | float | list) and k != "data"}
                found |= {"took": took, "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "sizes": sizes}
                figures["sections"][name] = found
                if arguments.json:
                    arguments.json.write_text(json.dumps(figures), encoding="utf-8")
            print(f"{name}: {took:.0f} s", file=sys.stderr, flush=True)
    return json.loads(json.dumps(figures))  # type: ignore[no-any-return]  # keys as they are read from a file


def main() -> int:
    """Run the benchmark."""
    arguments = parsed()
    # Told to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.report else run(arguments)
    text = semantic_report.report(figures)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
