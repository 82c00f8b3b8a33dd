"""Texts of one file that stand, in part, in texts of another: shared passages beside checks for contamination.

    .venv/bin/python benchmarks/contamination.py transcripts.parquet --out docs/benchmarks-contamination.md
    .venv/bin/python benchmarks/contamination.py transcripts.parquet --documents 200 --items 50     # a quick look

Needs a Parquet file with the columns `response` and `prompt_id`; prompts are split in two halves by a fixed seed.
*Items*, as of a test set, are answers to one half. *Documents*, as of a training set, are answers to the other half,
put together to `--words` words. Into one document each the beginning of an item is planted, of as many words as make 1,
5 or 20 % of the document, or the whole of a shorter item: as it is; wrapped at eight words a line; in capitals; with
typographic quotes, dashes and no-break spaces. As many items again are planted nowhere.

*Found* is the share of planted items that are found in their document, *false* the share of the others that are found
in any, by:

- 13-grams: one of an item's runs of 13 words (lower case, letters and digits) stands in a document; Brown et al.,
  "Language Models are Few-Shot Learners", 2020, appendix C;
- 8-grams, 70 %: that share of an item's runs of 8 words does; Chowdhery et al., "PaLM", 2022, section 8;
- 50 characters: one of three runs of 50 characters, drawn from an item without spaces and symbols, does; OpenAI, "GPT-4
  Technical Report", 2023, appendix C;
- passages: `kinprint.polars.overlap`, of 12 words or more; and of these the ones with 8 bits or more.

The first three are written here, in plain Python with hash tables. Seconds are CPU time of the process.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import kinprint.polars as kp
import numpy as np
import polars as pl

SHARES = (0.01, 0.05, 0.20)
"""Share of a document that is planted."""
WORD = re.compile(r"[^\W_]+")
BITS = 8.0
SEED = 12

Pairs = set[tuple[int, int]]
"""(item, document)."""


def wrapped(text: str) -> str:
    """Eight words a line."""
    words = text.split()
    return "\n".join(" ".join(words[k : k + 8]) for k in range(0, len(words), 8))


def typographic(text: str) -> str:
    """Quotes, dashes and spaces as word processors set them."""
    text = re.sub(r'"([^"]*)"', "“\\1”", text).replace("'", "’").replace(" - ", " – ")
    return text.replace(" ", "\xa0")


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "wrapped": wrapped,
    "capitals": str.upper,
    "typographic": typographic,
}


@dataclass(frozen=True)
class World:
    """Items, documents, and what stands where."""

    items: list[str]
    documents: list[str]
    planted: dict[int, int]
    """Document of each item that is planted."""


def world(data: Path, documents: int, items: int, words: int, share: float, change: Callable[[str], str]) -> World:
    """The same answers whatever is planted."""
    chance = np.random.default_rng(SEED)
    frame = pl.read_parquet(data, columns=["response", "prompt_id"]).drop_nulls()
    prompts = frame["prompt_id"].unique().sort()
    of_items = prompts.gather(chance.permutation(len(prompts))[: len(prompts) // 2])
    sides = [frame.filter(pl.col("prompt_id").is_in(of_items.implode()) == side)["response"] for side in (True, False)]
    long = sides[0].filter(sides[0].str.count_matches(r"\S+") >= 60)
    planted_words = round(words * share)
    if len(long) < 2 * items:
        sys.exit(f"{data}: {2 * items} answers of 60 words or more are needed, there are {len(long)}")
    texts = long.gather(chance.permutation(len(long))[: 2 * items]).to_list()
    filling = sides[1].gather(chance.permutation(len(sides[1])))
    made: list[str] = []
    held: list[str] = []
    count = 0
    for text in filling:
        held.append(text)
        count += len(text.split())
        if count >= words:
            made.append("\n\n".join(held))
            held, count = [], 0
        if len(made) == documents:
            break
    if len(made) < max(items, documents):
        sys.exit(f"{data}: its answers make {len(made)} documents of {words} words, and {documents} are wanted")
    for k in range(items):
        whole = made[k].split(" ")
        at = int(chance.integers(len(whole)))
        piece = change(" ".join(texts[k].split(" ")[:planted_words]))
        made[k] = " ".join(whole[:at]) + "\n" + piece + "\n" + " ".join(whole[at:])
    return World(texts, made, {k: k for k in range(items)})


def grams(text: str, n: int) -> set[int]:
    """Hashes of the runs of n words of a text."""
    words = WORD.findall(text.lower())
    return {hash(tuple(words[k : k + n])) for k in range(len(words) - n + 1)}


def by_grams(world: World, n: int, share: float) -> Pairs:
    """Items of which a share of the runs of n words (0: one of them) stands in a document."""
    of = [grams(text, n) for text in world.items]
    found: Pairs = set()
    for d, text in enumerate(world.documents):
        there = grams(text, n)
        found |= {(i, d) for i, some in enumerate(of) if some and len(some & there) >= max(1.0, share * len(some))}
    return found


def by_characters(world: World) -> Pairs:
    """Items of which one of three runs of 50 characters stands in a document."""
    chance = np.random.default_rng(SEED)
    plain = [re.sub(r"[\W_]+", "", text) for text in world.items]
    drawn = [[text[k : k + 50] for k in chance.integers(0, max(1, len(text) - 50), 3)] for text in plain]
    documents = [re.sub(r"[\W_]+", "", text) for text in world.documents]
    return {(i, d) for d, text in enumerate(documents) for i, some in enumerate(drawn) if any(s in text for s in some)}


def by_passages(world: World, bits: float) -> Pairs:
    """Items that share a passage with a document."""
    items, documents = (pl.DataFrame({"response": texts}) for texts in (world.items, world.documents))
    found = kp.overlap(items, documents, every=True, min_bits=bits)
    return set(found.select("id_a", "id_b").iter_rows())


METHODS: dict[str, Callable[[World], Pairs]] = {
    "13-grams": lambda w: by_grams(w, 13, 0.0),
    "8-grams, 70 %": lambda w: by_grams(w, 8, 0.7),
    "50 characters": by_characters,
    "passages": lambda w: by_passages(w, 0.0),
    f"passages, {BITS:.0f} bits": lambda w: by_passages(w, BITS),
}


def rows(arguments: argparse.Namespace) -> list[str]:
    """The lines of the table."""
    made = ["| planted | change | method | found | false | CPU s |", "|---|---|---|---|---|---|"]
    by_passages(World(["a b c"], ["d e f"], {}), 0.0)  # kernels are compiled before anything is timed
    for share in SHARES:
        for change, changed in CHANGES.items():
            some = world(arguments.data, arguments.documents, arguments.items, arguments.words, share, changed)
            for name, method in METHODS.items():
                before = time.process_time()
                found = method(some)
                seconds = time.process_time() - before
                right = sum(pair in found for pair in some.planted.items())
                false = len({i for i, _ in found if i not in some.planted})
                line = f"| {share:.0%} | {change} | {name} | {right / arguments.items:.3f} |"
                made.append(f"{line} {false / arguments.items:.3f} | {seconds:.1f} |")
                print(made[-1], flush=True)
    return made


def main(command: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Parquet file with response and prompt_id")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--items", type=int, default=300, help="items planted, and as many that are not")
    parser.add_argument("--words", type=int, default=2000, help="words of a document")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args(command)
    lines = rows(arguments)
    if arguments.out is not None:
        head = [
            "# Shared passages beside checks for contamination",
            "",
            f"{arguments.items:,} items planted and as many not, in {arguments.documents:,} documents of "
            f"{arguments.words:,} words; {platform.processor() or platform.machine()}, Python "
            f"{platform.python_version()}.",
            "What is measured, and how, stands in `benchmarks/contamination.py`.",
            "",
        ]
        arguments.out.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
