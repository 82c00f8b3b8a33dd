"""Flip bits and cut files of a data directory, and see what is answered.

    .venv/bin/python benchmarks/bitflips.py --cases 10000

A corpus is written, published, written to and deleted from again, so that there is something in every kind of file.
Then one bit of one file is flipped, or the file is cut there, the directory is opened, and everything that it answers
is compared with what was written: all rows, searches in every channel, counts. A case is `intact` (the same answers),
`refused` (the corpus is unavailable, and the message names a file), `SILENT` (other answers, or a refusal that names
nothing) or `CRASHED` (the process ended, or raised what is no refusal).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cases import outcomes as of_cases

#: Files that say nothing of what is stored.
_APART = ("LOCK", "server.log", "_kinprint_maintenance.lock")
_CASES_A_PROCESS = 100
_TEXT = (
    "river stone market evening letter window garden engine paper silver winter bridge candle orchard signal harbour "
    "mountain teacher kitchen journey pattern morning library weather council shadow copper meadow question answer"
)
WORDS = tuple(_TEXT.split(" "))


def write(data: Path, rows: int) -> None:
    """A data directory with one corpus: two generations' worth of rows, some replaced, some deleted, a fresh tail."""
    import numpy as np
    from kinprint.server.corpus.catalog import Catalog
    from kinprint.server.corpus.normalise import Submission, normalise
    from kinprint.server.corpus.plan import Batch
    from kinprint.server.embed import EmbeddingSpace, sentences_of

    chance = random.Random(7)

    def text() -> str:
        return " ".join(" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(4))

    def batch(numbers: list[int]) -> Batch:
        sent = [
            Submission(
                text(),
                id=f"row-{k}",
                model=f"m{k % 3}",
                prompt=f"prompt {k % 40}",
                account_id=f"a{k % 5}",
                created_us=1_700_000_000_000_000 + k,
                metadata={"source": f"s{k % 2}"},
                language="en",
            )
            for k in numbers
        ]
        return Batch(normalise("flips", sent, Counter()), frozenset({"copy", "style"}), 2**62)

    catalog = Catalog(data)
    catalog.open_all(lambda _: None)
    corpus = catalog.create("flips")
    numbers = np.random.default_rng(3)
    basis = np.linalg.qr(numbers.standard_normal((32, 1)))[0].T.astype(np.float32)
    components = np.linalg.qr(numbers.standard_normal((32, 32)))[0].astype(np.float32)
    space = EmbeddingSpace("5" * 64, np.zeros(32, np.float32), basis, np.tile([0.2, 0.1], (4, 1)), components)
    for part in np.array_split(np.arange(rows), 5):
        corpus.write([batch(part.tolist())])
    view = corpus.view
    some = [f"row-{k}" for k in range(0, rows, 2)]
    places = [place for place in view.locate(some) if place is not None]
    texts = [sentences_of(view.value(place, "response")) for place in places]
    vectors = numbers.standard_normal((sum(map(len, texts)), 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.concatenate(([0], np.cumsum([len(t) for t in texts]))).astype(np.int64)
    corpus.fill_embeddings(some, [view.value(place, "content_hash") for place in places], vectors, starts, space)
    corpus.publish()
    corpus.delete([f"row-{k}" for k in range(0, rows, 7)])
    corpus.publish()
    corpus.write([batch(list(range(rows - 20, rows + 20)))])
    corpus.delete([f"row-{rows + 3}"])
    corpus.record._make_checkpoint(corpus.record.version)


def answers(data: Path) -> tuple[str, Any]:
    """("answered", everything that is answered) or ("refused", why)."""
    import numpy as np
    from kinprint.server.channels.protocol import Limits, Query
    from kinprint.server.corpus.catalog import Catalog
    from kinprint.server.corpus.filter import EVERYTHING
    from kinprint.server.search.run import find
    from kinprint.server.store.lock import DataFormatError, check_format

    try:
        check_format(data)
    except DataFormatError as error:
        return "refused", str(error)
    catalog = Catalog(data)
    catalog.open_all(lambda _: None)
    if catalog.unavailable:
        return "refused", json.dumps(catalog.unavailable)
    view = catalog.get("flips").view
    rows = []
    for part in view.parts:
        table = part.segment.table.filter(_mask(part.alive))
        rows += [{**row, "content_hash": row["content_hash"].hex()} for row in table.to_pylist()]
    rows.sort(key=lambda row: row["id"])
    told: dict[str, Any] = {"rows": repr(rows), "counts": sorted(view.counts("model").items(), key=str)}
    for k in range(0, len(rows), max(1, len(rows) // 6)):
        query = Query(rows[k]["response"], "en")
        for channel in ("copy", "style"):
            hits = find(channel, query, [view], EVERYTHING, Limits(5)).matches
            told[f"{channel} {k}"] = [(hit.id, round(float(hit.score), 6)) for hit in hits]
    if view.space is not None:
        told["space"] = view.space.digest
        sentences = np.random.default_rng(1).standard_normal((3, 32)).astype(np.float32)
        sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
        query = Query(rows[0]["response"], "en", sentences=sentences, tier="accurate")
        hits = find("semantic", query, [view], EVERYTHING, Limits(5, min_score=-1.0)).matches
        told["semantic"] = [(hit.id, round(float(hit.score), 5)) for hit in hits]
        told["filled"] = {channel: view.filled(channel) for channel in ("copy", "style", "semantic")}
    return "answered", told


def _mask(alive: Any) -> Any:
    import pyarrow as pa

    return pa.array(alive)


def damaged(path: Path, chance: random.Random) -> str:
    """Flip a bit of a file, or, once in ten times, cut it; what was done."""
    content = bytearray(path.read_bytes())
    if chance.random() < 0.1:
        at = chance.randrange(len(content))
        path.write_bytes(content[:at])
        return f"cut at {at}"
    bit = chance.randrange(len(content) * 8)
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)
    return f"bit {bit}"


def run_cases(template: Path, first: int, last: int, seed: int) -> None:
    """Cases first .. last - 1, one JSON line each to standard output; before each a line that it begins."""
    from kinprint.server import threads

    threads.configure()
    logging.disable(logging.CRITICAL)
    _, right = answers(_fresh(template))
    right = json.loads(json.dumps(right))
    names = sorted(p.relative_to(template).as_posix() for p in template.rglob("*") if p.is_file())
    names = [name for name in names if name.rsplit("/", 1)[-1] not in _APART and (template / name).stat().st_size]
    # Half of the cases by file, so that small ones get their share, and half by byte.
    weights = [(template / name).stat().st_size for name in names]
    for case in range(first, last):
        chance = random.Random(f"{seed} {case}")
        name = chance.choice(names) if case % 2 else chance.choices(names, weights)[0]
        data = _fresh(template)
        what = damaged(data / name, chance)
        print(json.dumps({"case": case, "file": name, "what": what}), flush=True)
        try:
            state, found = answers(data)
        except Exception as error:
            print(json.dumps({"case": case, "outcome": "CRASHED", "why": repr(error)[:300]}), flush=True)
            continue
        if state == "answered":
            found = json.loads(json.dumps(found))
            other = [key for key in right if found.get(key) != right[key]]
            outcome, why = ("SILENT", str(other)) if other else ("intact", "")
        else:
            named = str(data) in found
            outcome, why = ("refused" if named else "SILENT"), found.replace(str(data), "")
        print(json.dumps({"case": case, "outcome": outcome, "why": why[:300]}), flush=True)


_SCRATCH: list[Path] = []


def _fresh(template: Path) -> Path:
    """A copy of the directory under a path of its own: digests are compared once a process and inode."""
    if _SCRATCH:
        shutil.rmtree(_SCRATCH.pop(), ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="kinprint-flips-")) / "data"
    _SCRATCH.append(folder.parent)
    shutil.copytree(template, folder)
    return folder


def outcomes(template: Path, cases: int, seed: int, workers: int = 2) -> list[dict[str, Any]]:
    """What became of some cases: their number, file, what was done, outcome and why."""
    command = [__file__, "--run", str(template)]
    return of_cases(command, cases, seed, a_process=_CASES_A_PROCESS, workers=workers, crashed="CRASHED")


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["--run"]:
        template, first, last, seed = sys.argv[2:]
        try:
            run_cases(Path(template), int(first), int(last), int(seed))
        finally:
            for folder in _SCRATCH:
                shutil.rmtree(folder, ignore_errors=True)
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--json", type=Path, help="write every case here")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kinprint-flips-") as scratch:
        template = Path(scratch) / "data"
        template.mkdir()
        write(template, arguments.rows)
        found = outcomes(template, arguments.cases, arguments.seed, arguments.workers)
    if arguments.json:
        arguments.json.write_text(json.dumps(found), encoding="utf-8")
    counts = Counter(case["outcome"] for case in found)
    for case in found:
        if case["outcome"] in ("SILENT", "CRASHED"):
            print(case["outcome"], case["file"], case["what"], case["why"])
    print(f"{len(found)} cases in {time.monotonic() - started:.0f} s: {dict(counts)}")
    return 1 if counts["SILENT"] or counts["CRASHED"] or len(found) != arguments.cases else 0


if __name__ == "__main__":
    raise SystemExit(main())
