"""Rows and queries of `serving.py`, drawn from a file of transcripts; the same file and seed give the same bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl

SEED = 19
HELD_OUT = 50
"""One answer in so many is no row: of these come the queries that are in no row."""
EDITS = (0.15, 0.50)
"""Least and greatest share of the words replaced in a row that repeats an answer, so that it is no near-duplicate."""
SHARED_EVERY = 41
"""One row in so many begins with :data:`BOILERPLATE`."""
BOILERPLATE = (
    "Before you read on, please keep in mind that this answer was written by an automatic assistant, that it may "
    "hold mistakes, and that nobody should rely on it alone for decisions about health, money or the law. "
)
NEAR_EDITS = 0.05
"""Share of the words replaced in every other query that is a stored answer."""
FRAGMENT = 40
"""Words of a fragment."""
KINDS = {
    "near": f"a stored answer, every other one with {NEAR_EDITS:.0%} of its words replaced",
    "fragment": f"{FRAGMENT} words of a stored answer",
    "absent": "an answer held out",
    "shared": f"what one row in {SHARED_EVERY} begins with, every other one followed by {FRAGMENT // 2} words of a row",
}
COLUMNS = ("model", "prompt_id", "prompt", "response", "language")

# Letters of scripts without spaces are words by themselves.
_SPACELESS = r"\u3040-\u30ff\u3400-\u9fff"
_PIECES = re.compile(rf"[{_SPACELESS}]|\s+|[^\s{_SPACELESS}]+")


def edited(text: str, share: float, rng: np.random.Generator) -> str:
    """A text with a share of its words replaced by others of it."""
    pieces = _PIECES.findall(text)
    words = [i for i, piece in enumerate(pieces) if not piece.isspace()]
    if len(words) < 2:
        return text
    count = max(1, round(share * len(words)))
    places, sources = rng.choice(words, count, replace=False), rng.choice(words, count)
    new = [pieces[source] for source in sources]
    for place, piece in zip(places, new, strict=True):
        pieces[place] = piece
    return "".join(pieces)


def cut(text: str, words: int, rng: np.random.Generator) -> str:
    """Successive words of a text, all of it when it has no more."""
    pieces = _PIECES.findall(text)
    places = [i for i, piece in enumerate(pieces) if not piece.isspace()]
    if len(places) <= words:
        return text
    first = int(rng.integers(len(places) - words + 1))
    return "".join(pieces[places[first] : places[first + words - 1] + 1])


def make(data: Path, count: int, queries: int, work: Path) -> None:
    """Write `rows.parquet` and `queries.parquet` (kind, text) into `work`, unless they are there already.

    Raises:
        SystemExit: the file has no usable answers.
    """
    stamp = json.dumps({"bytes": data.stat().st_size, "rows": count, "queries": queries, "seed": SEED})
    stamped = work / "rows.json"
    if stamped.exists() and stamped.read_text(encoding="utf-8") == stamp:
        return
    columns = [c for c in COLUMNS if c in pl.read_parquet_schema(data)]
    if "response" not in columns:
        raise SystemExit(f"{data.name} has no column 'response'")
    frame = pl.read_parquet(data, columns=columns).filter(pl.col("response").str.strip_chars() != "")
    # In an order that mixes models and prompts.
    frame = frame.sample(fraction=1, shuffle=True, seed=SEED)
    held_out = pl.int_range(pl.len()) % HELD_OUT == 0
    absent, frame = frame.filter(held_out)["response"].to_list(), frame.filter(~held_out)
    if not frame.height or not absent:
        raise SystemExit(f"{data.name} has no answers")
    rng = np.random.default_rng(SEED)
    rows = frame.select(pl.all().gather(pl.int_range(count, eager=True) % frame.height))
    answers = [
        (BOILERPLATE if i % SHARED_EVERY == 0 else "")
        + (text if i < frame.height else edited(text, rng.uniform(*EDITS), rng))
        for i, text in enumerate(rows["response"])
    ]
    rows.with_columns(pl.Series("response", answers)).write_parquet(work / "rows.parquet", row_group_size=10_000)
    drawn(answers, absent, queries, rng).write_parquet(work / "queries.parquet")
    stamped.write_text(stamp, encoding="utf-8")


def drawn(answers: list[str], absent: list[str], count: int, rng: np.random.Generator) -> pl.DataFrame:
    """So many queries, all kinds in turn."""
    usable = [i for i, text in enumerate(answers) if len(text) >= 200] or list(range(len(answers)))
    made: list[tuple[str, str]] = []
    for i in range(count):
        kind, other = list(KINDS)[i % len(KINDS)], i // len(KINDS) % 2 == 1
        text = answers[int(rng.choice(usable))]
        if kind == "near":
            made.append((kind, edited(text, NEAR_EDITS, rng) if other else text))
        elif kind == "fragment":
            made.append((kind, cut(text, FRAGMENT, rng)))
        elif kind == "absent":
            made.append((kind, absent[int(rng.integers(len(absent)))]))
        else:
            made.append((kind, BOILERPLATE + (cut(text, FRAGMENT // 2, rng) if other else "")))
    return pl.DataFrame(made, schema=["kind", "text"], orient="row")
