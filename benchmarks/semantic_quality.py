"""How near the fast tier of meaning comes to the accurate one.

    .venv/bin/python benchmarks/semantic_quality.py transcripts.parquet [others.parquet ...] [--out FILE]

Transcripts need the columns `prompt_id`, `response`, `language`.  Of every file and language, some prompts are drawn by
a fixed seed and all or a few of their answers, cut to their first sentences.  Three questions:

- *Unseen*: of the ten answers that lie nearest by accurate vectors (mean of the sentences), what share is among the
  hundred nearest by the default table's?
- *Own*: the same with a table that was fitted to the sentences of one half of the prompts, for answers to the others.
- *Translations* of the sample corpus, both directions, hidden among all those answers: their rank by fast text
  vectors, by votes of the nearest fast sentences, by alignment of fast sentences; and the same by accurate vectors.

The default table has seen none of these texts.  Accurate vectors are kept in `--work` and read again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from kinprint.server.embed import OnnxEmbedder, align, build_default_model, load_space, sentences_of
from kinprint.server.embed.distil import distil_corpus, load_table
from kinprint.server.embed.space import EmbeddingSpace, sentence_starts
from kinprint.server.embed.static import StaticTable
from kinprint.server.embed.teacher import sentence_vectors
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0))
SEED = 11
FIRST_SENTENCES = 10
NEAR, WIDE = 10, 100
VOTES = 50


@dataclass(frozen=True)
class Corpus:
    """Answers of one language.

    Attributes:
        name: file and language.
        prompts: of each answer.
        sentences: of each answer.
        accurate: neutral accurate vectors of all sentences, float32 [s, dim].
        starts: int64 [n + 1], where each answer's sentences begin.
    """

    name: str
    prompts: NDArray[Any]
    sentences: list[list[str]]
    accurate: NDArray[np.float32]
    starts: NDArray[np.int64]

    @property
    def texts(self) -> NDArray[np.float32]:
        """Accurate vectors of the answers."""
        return pooled(self.accurate, self.starts)


def pooled(sentences: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Unit means, float32 [n, dim]; every text has a sentence."""
    sums = np.add.reduceat(sentences, starts[:-1], axis=0)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), np.float32)


def buffers(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as UTF-8 and offsets."""
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0] + [len(one) for one in encoded])


def fast(table: StaticTable, sentences: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Fast vectors of sentences that are cut already, float32 [s, dim]."""
    flat = [sentence for text in sentences for sentence in text]
    rows, scales = table.rows(*buffers(flat))
    vectors = rows * scales[:, np.newaxis]
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


def without_reasoning(text: str) -> str:
    """What follows a block of reasoning."""
    return text.rpartition("</think>")[2].strip()


def drawn(path: Path, rows: int, per_prompt: int) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Of each language in a file: prompts and sentences of about `rows` answers."""
    frame = pl.read_parquet(path, columns=["prompt_id", "response", "language"]).filter(
        pl.col("response").str.len_chars() > 100
    )
    found = {}
    for language in sorted(frame["language"].unique().to_list()):
        own = frame.filter(pl.col("language") == language)
        prompts = sorted(own["prompt_id"].unique().to_list())
        random = np.random.default_rng(SEED)
        keys: list[str] = []
        texts: list[list[str]] = []
        for prompt in (prompts[i] for i in random.permutation(len(prompts))):
            answers = own.filter(pl.col("prompt_id") == prompt)["response"].to_list()
            for i in random.permutation(len(answers))[:per_prompt]:
                sentences = sentences_of(without_reasoning(answers[i]))[:FIRST_SENTENCES]
                if sentences:
                    keys.append(prompt)
                    texts.append(sentences)
            if len(texts) >= rows:
                break
        found[language] = (keys, texts)
    return found


def embedded(
    name: str, keys: Sequence[Any], texts: list[list[str]], embedder: OnnxEmbedder, space: EmbeddingSpace, work: Path
) -> Corpus:
    """A corpus with its accurate vectors."""
    distinct = list(dict.fromkeys(sentence for text in texts for sentence in text))
    place = {sentence: i for i, sentence in enumerate(distinct)}
    began = time.perf_counter()
    vectors = space.neutral(sentence_vectors(embedder, distinct, work, lambda _: None, CORES))
    print(f"{name}: {len(texts)} texts, {len(distinct)} sentences, {time.perf_counter() - began:.0f} s", flush=True)
    order = np.array([place[sentence] for text in texts for sentence in text])
    return Corpus(name, np.array(keys), texts, vectors[order], sentence_starts(texts))


def recall(
    accurate: NDArray[np.float32], made: NDArray[np.float32], queries: NDArray[np.int64], near: int, wide: int
) -> float:
    """Share of the accurate `near` nearest among the fast `wide` nearest, over the queries."""
    shares = []
    for begin in range(0, len(queries), 512):
        part = queries[begin : begin + 512]
        best = []
        for vectors, count in ((accurate, near), (made, wide)):
            cosines = vectors[part] @ vectors.T
            cosines[np.arange(len(part)), part] = -2
            best.append(np.argpartition(-cosines, count, axis=1)[:, :count])
        shares += [np.isin(a, f).mean() for a, f in zip(*best, strict=True)]
    return float(np.mean(shares))


def found_in(corpus: Corpus, table: StaticTable, queries: NDArray[np.int64]) -> list[float]:
    """Recall among the 50 and the 100 nearest, that among 100 when half of the corpus's mean is taken from each text,
    and the cosine of the queries' sentences to the accurate ones."""
    sentences = fast(table, corpus.sentences)
    texts = pooled(sentences, corpus.starts)
    own = np.zeros(len(sentences), bool)
    for query in queries:
        own[corpus.starts[query] : corpus.starts[query + 1]] = True
    cosine = float((sentences[own] * corpus.accurate[own]).sum(axis=1).mean())
    centred = texts - texts.mean(axis=0) / 2
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    found = [recall(corpus.texts, texts, queries, NEAR, wide) for wide in (WIDE // 2, WIDE)]
    return [*found, recall(corpus.texts, centred, queries, NEAR, WIDE), cosine]


def votes(
    query: NDArray[np.float32], sentences: NDArray[np.float32], owners: NDArray[np.int64], texts: int
) -> NDArray[np.float64]:
    """Each text's sum, over the query's sentences, of its best sentence among the nearest `VOTES`."""
    total = np.zeros(texts)
    for cosines in query @ sentences.T:
        best = np.argpartition(-cosines, VOTES)[:VOTES]
        one = np.zeros(texts)
        np.maximum.at(one, owners[best], cosines[best])
        total += one
    return total


def translation_ranks(
    ids: Sequence[str],
    texts: Sequence[Sequence[str]],
    relations: Sequence[tuple[str, str]],
    sentences: NDArray[np.float32],
    starts: NDArray[np.int64],
) -> dict[str, list[int]]:
    """Rank of each translation, both directions, by text vectors, votes and alignment; the sample's texts are first.

    Copies of the query and of the translation do not count.
    """
    spans = list(pairwise(starts.tolist()))
    owners = np.repeat(np.arange(len(spans)), np.diff(starts))
    whole = pooled(sentences, starts)
    place = {name: i for i, name in enumerate(ids)}
    ranks: dict[str, list[int]] = {"text vectors": [], "votes": [], "alignment": []}
    for one, other in relations:
        for query, wanted in ((place[one], place[other]), (place[other], place[one])):
            asked = sentences[slice(*spans[query])]
            copies = [
                i
                for i, text in enumerate(texts)
                if i != wanted and list(text) in (list(texts[query]), list(texts[wanted]))
            ]
            scores = {
                "text vectors": whole @ whole[query],
                "votes": votes(asked, sentences, owners, len(spans)),
                "alignment": np.array([align(asked, sentences[first:last]).score for first, last in spans]),
            }
            for way, score in scores.items():
                score[copies] = -2
                ranks[way].append(int((score > score[wanted]).sum()) + 1)
    return ranks


def sample() -> tuple[list[str], list[list[str]], list[tuple[str, str]]]:
    """Ids, sentences and translations of the sample corpus."""
    rows = [
        json.loads(line)
        for path in sorted((ROOT / "sample" / "transcripts").glob("*.ndjson"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    with (ROOT / "sample" / "relations.csv").open(encoding="utf-8", newline="") as file:
        relations = [
            (row["transcript_id"], row["source_transcript_id"])
            for row in csv.DictReader(file)
            if row["relation"] == "translation"
        ]
    return [row["transcript_id"] for row in rows], [sentences_of(row["response"]) for row in rows], relations


def table_of(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def measure(args: argparse.Namespace, embedder: Any, space: EmbeddingSpace, table: StaticTable) -> str:
    """The report."""
    corpora = [
        embedded(f"{path.stem} {language}", keys, texts, embedder, space, args.work)
        for path in args.files
        for language, (keys, texts) in drawn(path, args.rows, args.per_prompt).items()
    ]
    ids, split, relations = sample()
    hidden = embedded("sample", ids, split, embedder, space, args.work)
    header = ["corpus", "table", "answers", "queries", "top 10 in fast 50", "in 100", "in 100, centred", "cosine"]
    rows: list[list[Any]] = []
    tables = {"default": table}
    for corpus in [*corpora, hidden]:
        everything = np.arange(len(corpus.sentences))
        rows.append([corpus.name, "default", len(everything), len(everything), *found_in(corpus, table, everything)])
    for corpus in corpora:
        names = np.unique(corpus.prompts)
        seen = np.isin(corpus.prompts, names[np.random.default_rng(SEED).permutation(len(names))[::2]])
        learned = [s for text, own in zip(corpus.sentences, seen, strict=True) if own for s in text]
        fitted = distil_corpus(table, learned, embedder, space, None, args.work)
        queries = np.flatnonzero(~seen)
        tables[f"fitted to {corpus.name}"] = fitted
        for name, one in (("default", table), ("fitted", fitted)):
            rows.append([f"{corpus.name}, unseen half", name, len(seen), len(queries), *found_in(corpus, one, queries)])
    report = table_of(header, rows)
    texts = [*hidden.sentences, *(text for corpus in corpora for text in corpus.sentences)]
    starts = sentence_starts(texts)
    ways: dict[str, Callable[[], NDArray[np.float32]]] = {
        "accurate": lambda: np.concatenate([hidden.accurate, *(corpus.accurate for corpus in corpora)])
    }
    ways |= {name: (lambda one=one: fast(one, texts)) for name, one in tables.items()}
    ranks = []
    for name, make in ways.items():
        for way, places in translation_ranks(ids, texts, relations, make(), starts).items():
            first, within = sum(rank == 1 for rank in places), sum(rank <= WIDE for rank in places)
            row = [name, way, f"{first} of {len(places)}", f"{within} of {len(places)}"]
            ranks.append([*row, int(np.median(places)), max(places)])
    title = ["vectors", "by", "first", f"in {WIDE}", "median rank", "worst"]
    return f"{report}\nTranslations among {len(texts):,} texts, {starts[-1]:,} sentences:\n\n{table_of(title, ranks)}"


def main() -> None:
    """Parse arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="Parquet with prompt_id, response, language")
    parser.add_argument("--rows", type=int, default=2000, help="answers of each file and language")
    parser.add_argument("--per-prompt", type=int, default=12, help="answers of one prompt at most")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="folder for accurate vectors")
    parser.add_argument("--out", type=Path, help="write the report there too")
    args = parser.parse_args()
    directory = build_default_model()
    embedder = OnnxEmbedder(directory, threads=1, max_windows=2)
    space = load_space(embedder)
    table = load_table(embedder, space, directory)
    report = measure(args, embedder, space, table)
    print(report)
    if args.out:
        args.out.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
