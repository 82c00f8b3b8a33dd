"""Damaged files of every kind that comes from outside: each is read, in part perhaps, or refused with clear words.

    .venv/bin/python benchmarks/fuzz_files.py --cases 20000

Transcripts as Parquet, NDJSON, JSON, CSV and gzip, and model directories get flipped bits, cuts, doubled and
zeroed stretches, and stretches of other files. A case fails when the process that reads it ends, takes longer than a
minute, or raises anything else than the errors that tell a user what to do.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import outcomes

_CASES_A_PROCESS = 500
_SECONDS = 60.0
ROWS = [
    {
        "transcript_id": f"r{i}",
        "prompt": f"tell me of {i}",
        "response": f'an answer, "quoted", of\nlines: {i} ä 雨 ' * 5,
        "model": f"m{i % 3}",
        "created_at": "2026-03-01T12:00:00Z",
        "turn": i,
        "note": None if i % 2 else i * 1.5,
    }
    for i in range(40)
]
CHATS = [
    {"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"an answer {i}"}]}
    for i in range(40)
]


def write(folder: Path) -> None:
    """Whole files of every kind, a folder a kind."""
    import polars as pl

    folder.mkdir()
    files = folder / "files"
    files.mkdir()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (files / "rows.ndjson").write_text(lines, encoding="utf-8")
    (files / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHATS), encoding="utf-8")
    (files / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (files / "rows.ndjson.gz").write_bytes(gzip.compress(lines.encode()))
    frame = pl.DataFrame(ROWS)
    frame.write_parquet(files / "rows.parquet")
    frame.drop("note").write_csv(files / "rows.csv")
    frame.drop("note").write_csv(files / "rows.tsv", separator="\t")
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from tiny_model import write_tiny_model

    write_tiny_model(folder / "model", prompts={"query": "query: ", "passage": "passage: "})


def damage(path: Path, chance: random.Random, others: bytes) -> str:
    """Spoil a file; what was done."""
    content = bytearray(path.read_bytes())
    at = chance.randrange(max(len(content), 1))
    length = min(chance.choice((1, 4, 64, 1000)), len(content) - at)
    kind = chance.choice(("bit", "bit", "bits", "cut", "zeros", "twice", "gone", "other", "empty"))
    if kind in ("bit", "bits"):
        for _ in range(1 if kind == "bit" else chance.randrange(2, 40)):
            bit = chance.randrange(len(content) * 8)
            content[bit // 8] ^= 1 << (bit % 8)
    elif kind == "cut":
        del content[at:]
    elif kind == "zeros":
        content[at : at + length] = bytes(length)
    elif kind == "twice":
        content[at:at] = content[at : at + length]
    elif kind == "gone":
        del content[at : at + length]
    elif kind == "other":
        begin = chance.randrange(len(others))
        content[at : at + length] = others[begin : begin + length]
    else:
        content.clear()
    path.write_bytes(content)
    return f"{kind} at {at}"


def read_rows(path: Path) -> str:
    """Read a file of transcripts as a load does."""
    from kinprint.client.errors import SourceError
    from kinprint.client.files.reader import FileReader, expand_paths
    from kinprint.client.types import Transcript

    try:
        found = [row.item for row in FileReader(expand_paths([path]))]
    except SourceError as error:
        return "refused" if str(path) in str(error) else f"FAULT: the file is not named: {error}"
    return "read" if all(isinstance(item, Transcript) for item in found) else "read in part"


def load_model(folder: Path) -> str:
    """Load a model as a server does, and embed with it."""
    import numpy as np
    from kinprint.server.embed.directory import ModelDirectoryError
    from kinprint.server.embed.onnx import EmbeddingError, OnnxEmbedder

    try:
        vectors = OnnxEmbedder(folder, threads=1).embed_passages(["a text of some words", "雨"])
    except (ModelDirectoryError, EmbeddingError):
        return "refused"
    return "read" if np.isfinite(vectors).all() else "FAULT: vectors that are no numbers"


def run_cases(template: Path, first: int, last: int, seed: int) -> None:
    """Cases first .. last - 1, two JSON lines each: that it begins, and what became of it."""
    from kinprint.server import threads

    threads.configure()
    targets: list[tuple[Path, Path, Callable[[Path], str]]] = [
        (path, path, read_rows) for path in sorted((template / "files").iterdir())
    ]
    model = template / "model"
    targets += [(path, model, load_model) for path in sorted(model.rglob("*")) if path.is_file()]
    others = (template / "files" / "rows.parquet").read_bytes()
    with tempfile.TemporaryDirectory(prefix="kinprint-fuzz-files-") as scratch:
        for case in range(first, last):
            chance = random.Random(f"{seed} {case}")
            file, whole, read = targets[case % len(targets)]
            copy = Path(scratch) / str(case) / whole.name
            copy.parent.mkdir()
            (shutil.copytree if whole.is_dir() else shutil.copy)(whole, copy)
            what = damage(copy / file.relative_to(whole) if whole.is_dir() else copy, chance, others)
            told: dict[str, Any] = {"case": case, "file": file.relative_to(template).as_posix(), "what": what}
            print(json.dumps(told), flush=True)
            try:
                outcome = read(copy)
            except BaseException as error:  # a panic of a library's Rust is no Exception
                outcome = f"FAULT: {type(error).__name__}: {error}"[:300]
            print(json.dumps({"case": case, "outcome": outcome}), flush=True)
            shutil.rmtree(copy.parent)


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["--run"]:
        template, first, last, seed = sys.argv[2:]
        run_cases(Path(template), int(first), int(last), int(seed))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kinprint-fuzz-files-") as scratch:
        write(Path(scratch) / "whole")
        command = [__file__, "--run", str(Path(scratch) / "whole")]
        found = outcomes(
            command,
            arguments.cases,
            arguments.seed,
            a_process=_CASES_A_PROCESS,
            workers=arguments.workers,
            crashed="FAULT",
            seconds=_SECONDS,
        )
    faults = [case for case in found if case["outcome"].startswith("FAULT")]
    for case in faults[:40]:
        print(case["file"], case["what"], case["outcome"], case.get("why", ""))
    counts = Counter(case["outcome"].partition(":")[0] for case in found)
    print(f"{len(found):,} cases in {time.monotonic() - started:.0f} s: {dict(counts)}")
    return 1 if faults or len(found) != arguments.cases else 0


if __name__ == "__main__":
    raise SystemExit(main())
