"""Corpora that `semantic.py` searches, made in process, and what is measured on them without a server.

Driven by `semantic_worker`. Accurate vectors of many rows take hours, so only some rows have their own; where a corpus
is to have them all, for its size and its speed, the sentence vectors of the fast tier stand in for those of the others:
they lie in the same space and have, by and large, the same neighbourhoods. Whatever is told of such a corpus says so.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kinprint.server import threads

threads.configure()

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
from kinprint.kernels.embed import align  # noqa: E402
from kinprint.server.channels import CHANNELS  # noqa: E402
from kinprint.server.channels.calibration import SIZES, Calibration, size_class  # noqa: E402
from kinprint.server.channels.meaning import Tier  # noqa: E402
from kinprint.server.channels.protocol import Limits, Query  # noqa: E402
from kinprint.server.channels.semantic import SemanticChannel, calibration_of  # noqa: E402
from kinprint.server.corpus.corpus import Corpus  # noqa: E402
from kinprint.server.corpus.filter import EVERYTHING  # noqa: E402
from kinprint.server.corpus.normalise import Submission, normalise  # noqa: E402
from kinprint.server.corpus.plan import Batch  # noqa: E402
from kinprint.server.corpus.view import View  # noqa: E402
from kinprint.server.embed import OnnxEmbedder, load_space, sentences_of  # noqa: E402
from kinprint.server.embed.alignment import alignments  # noqa: E402
from kinprint.server.embed.space import EmbeddingSpace, grouped_spans, sentence_starts  # noqa: E402
from kinprint.server.embed.static import StaticTable  # noqa: E402
from kinprint.server.embed.teacher import sentence_vectors  # noqa: E402
from kinprint.server.search.calibrate import calibrated  # noqa: E402
from kinprint.server.search.run import find  # noqa: E402
from kinprint.server.search.targets import targets  # noqa: E402
from kinprint.server.store.columns import encode_texts  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from semantic_worker import Clock, Figures, peak, texts_of  # noqa: E402

BATCH = 10_000
"""Rows that are written, and filled, at once."""
TIERS: tuple[Tier, ...] = ("fast", "accurate")


class _Known:
    """What is loaded once in a process."""

    embedder: OnnxEmbedder
    space: EmbeddingSpace
    table: StaticTable


def load(model: str, table: str) -> None:
    """Load model and table; before every other task."""
    _Known.embedder = OnnxEmbedder(Path(model), threads=1, max_windows=2)
    _Known.space = load_space(_Known.embedder)
    _Known.table = StaticTable.load(Path(table))


# ---- accurate vectors ----


class Accurate(NamedTuple):
    """Vectors of the sentences of some rows as the model gives them: row `ids[i]` has `starts[i]:starts[i + 1]`."""

    ids: list[str]
    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]

    def of(self, place: int) -> NDArray[np.float32]:
        """Those of one row."""
        return self.vectors[self.starts[place] : self.starts[place + 1]]


def accurate_vectors(rows: str, ids: str, work: str) -> Figures:
    """Embed the rows that are named in a file, sentence by sentence; what was embedded before is read."""
    names = texts_of(ids)
    frame = pl.read_parquet(rows, columns=["id", "response"])
    known = dict(frame.filter(pl.col("id").is_in(names)).iter_rows())
    texts = [sentences_of(known[name]) for name in names]
    distinct = list(dict.fromkeys(sentence for text in texts for sentence in text))
    place = {sentence: k for k, sentence in enumerate(distinct)}
    told = -1

    def report(share: float) -> None:
        nonlocal told
        if int(share * 20) > told:
            told = int(share * 20)
            print(f"accurate vectors: {share:.0%}", flush=True)

    with Clock() as clock:
        # Part by part, so that a part that was embedded for fewer rows is not embedded again for more.
        parts = [distinct[k : k + 8_192] for k in range(0, len(distinct), 8_192)]
        cores = len(os.sched_getaffinity(0))
        done = 0
        made = []
        for part in parts:
            made.append(sentence_vectors(_Known.embedder, part, Path(work) / "vectors", lambda _: None, cores))
            done += len(part)
            report(done / len(distinct))
    vectors = np.concatenate(made)
    order = np.array([place[sentence] for text in texts for sentence in text], np.int64)
    np.save(Path(work) / "accurate.npy", vectors[order])
    np.save(Path(work) / "accurate-starts.npy", sentence_starts(texts))
    return clock.figures(rows=len(names), sentences=len(order), distinct=len(distinct))


def _accurate(work: Path) -> Accurate:
    vectors = np.load(work / "accurate.npy", mmap_mode="r")
    return Accurate(texts_of(str(work / "accurate.json")), vectors, np.load(work / "accurate-starts.npy"))


# ---- building ----


def _folder(data: Path, name: str) -> Path:
    return data / "corpora" / f"{name}-00000000"


def build(data: str, name: str, rows: str, work: str, accurate: str, most: int = 0, calibrate: bool = True) -> Figures:
    """Make a corpus of the rows of a file.

    `accurate`: "none", "own" for those that have vectors of their own, or "all", where up to `most` others get those of
    the fast tier. Every row has fast vectors. No other channel is filled.
    """
    folder = _folder(Path(data), name)
    done = Path(data) / f"{name}.json"
    if done.exists():
        return dict(texts_of(str(done)))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.create(folder, name, "")
    corpus.adopt_table(_Known.table)
    known = _accurate(Path(work)) if accurate != "none" else None
    filling = None if known is None else _Filling(corpus, known, most if accurate == "all" else 0)
    count = sentences = 0
    with Clock() as clock:
        for frame in pl.scan_parquet(rows).collect_batches(chunk_size=BATCH, maintain_order=True):
            written = _write(corpus, frame)
            count += written.height
            if filling is not None:
                sentences += filling.fill(written, frame)
    with Clock() as publishing:
        corpus.publish()
    figures: Figures = {
        "rows": count,
        "sentences": sentences,
        "write": clock.figures(),
        "publish": publishing.figures(),
    }
    figures["filled"] = {tier: corpus.view.filled("semantic" if tier == "accurate" else tier) for tier in TIERS}
    figures["indexes"] = {n: _measured(corpus.view, n) for n in ("fast", "semantic")}
    if calibrate:
        figures["calibration"] = {}
        for tier in TIERS:
            with Clock() as clock:
                made = calibrated(corpus.view, tier)
            if made is not None:
                corpus.calibrate(tier, made)
                figures["calibration"][tier] = clock.figures(pairs=made.pairs)
    figures["disk"] = _disk(folder)
    figures["peak"] = peak()
    done.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def _write(corpus: Corpus, frame: pl.DataFrame) -> pl.DataFrame:
    """Store rows; what is stored of each: id and content hash, in the order of `frame`."""
    some = [
        Submission(
            row["response"],
            id=row["id"],
            model=row.get("model"),
            prompt_id=row.get("prompt_id"),
            language=row.get("language"),
        )
        for row in frame.iter_rows(named=True)
    ]
    made = normalise(corpus.name, some, Counter())
    corpus.write([Batch(made, frozenset(), 2**62)])
    return made.frame.select("id", "content_hash")


class _Filling:
    """Gives rows accurate vectors: their own, or, up to so many rows, those of the fast tier in their place."""

    def __init__(self, corpus: Corpus, known: Accurate, most: int) -> None:
        self._corpus = corpus
        self._known = known
        self._place = {name: k for k, name in enumerate(known.ids)}
        self._left = most

    def fill(self, written: pl.DataFrame, frame: pl.DataFrame) -> int:
        """Fill rows that were written; how many sentences they got."""
        texts = dict(zip(frame["id"], frame["response"], strict=True))
        ids, hashes = [], []
        for name, digest in written.iter_rows():
            if name in self._place or self._left > 0:
                self._left -= name not in self._place
                ids.append(name)
                hashes.append(digest)
        if not ids:
            return 0
        others = [name for name in ids if name not in self._place]
        stands: dict[str, NDArray[np.float32]] = {}
        if others:
            vectors, starts = _Known.table.sentences(*encode_texts(texts[name] for name in others))
            stands = {name: _as_given(vectors[starts[k] : starts[k + 1]]) for k, name in enumerate(others)}
        parts = [stands[name] if name in stands else self._known.of(self._place[name]) for name in ids]
        firsts = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
        self._corpus.fill_embeddings(ids, hashes, np.concatenate(parts), firsts, _Known.space)
        return int(firsts[-1])


def _as_given(neutral: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a model would have to give so that its neutral vectors are these; any one where there is none."""
    some = neutral.copy()
    some[~some.any(axis=1), 0] = 1
    return np.asarray(some + _Known.space.mean, np.float32)


def _measured(view: View, name: str) -> list[Figures]:
    """Inverted files of a tier, with the recall that was measured when they were built."""
    return [
        {"vectors": m.vectors, "lists": m.lists, "probes": m.probes, "recall": m.recall}
        for part in view.parts
        for chunk in part.segment.of(name)
        if (m := chunk.inverted.measured if chunk.inverted is not None else None) is not None
    ]


def _disk(folder: Path) -> dict[str, float]:
    """MB by what they are for; files of several names count once."""
    seen: dict[int, tuple[str, int]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            kind = "record"
            if "generations" in path.relative_to(folder).parts:
                kind = next((k for k in ("fast", "semantic") if path.name.startswith(k)), "rows")
            seen[path.stat().st_ino] = (kind, path.stat().st_size)
    total: dict[str, float] = {}
    for kind, size in seen.values():
        total[kind] = total.get(kind, 0.0) + size / 1e6
    return total


def _opened(data: str, name: str) -> Corpus:
    corpus = Corpus.open(_folder(Path(data), name))
    corpus.adopt_table(_Known.table)
    return corpus


# ---- queries ----


def queries(held_out: str, out: str, count: int, tokens: int) -> int:
    """Write sentences of answers that no row has, each of at most so many tokens and no less than a quarter of that.

    One of an answer, as many languages as there are in turn.
    """
    frame = pl.read_parquet(held_out).unique("response", maintain_order=True)
    by: dict[str, Iterator[str]] = {}
    for (language,), some in frame.group_by("language", maintain_order=True):
        by[str(language)] = iter(some["response"].to_list())
    found: list[tuple[str, str]] = []
    random = np.random.default_rng(0)
    while by and len(found) < count:
        for language in list(by):
            text = next(by[language], None)
            if text is None:
                del by[language]
                continue
            pieces = sentences_of(text)
            sentence = pieces[int(random.integers(len(pieces)))] if pieces else ""
            ids, _ = _Known.table.tokens(*encode_texts([sentence]))
            if tokens // 4 <= len(ids) <= tokens - 2:
                found.append((language, sentence))
    Path(out).write_text(json.dumps(found), encoding="utf-8")
    return len(found)


def _query(text: str, language: str | None, tier: Tier | None, itself: tuple[str, str] | None = None) -> Query:
    """As a server makes it of a text."""
    if tier == "fast":
        return Query(text, language, itself, tier=tier)
    vectors = _Known.space.neutral(_Known.embedder.embed_passages(sentences_of(text)))
    return Query(text, language, itself, sentences=vectors, tier=tier)


# ---- recall ----


def recall(data: str, name: str, queries: str, answers: str, count: int) -> Figures:
    """Share of the ten hits of an exact search by accurate vectors that the search gives.

    For short queries and whole answers, neither of them stored, where every row has vectors of its own; and for stored
    rows by their stored vectors, which never find themselves. Exact: the score of every row.
    """
    view = _opened(data, name).view
    figures: Figures = {"rows": view.filled("semantic")}
    asked: dict[str, Iterator[Query]] = {"stored rows": _stored_queries(view, count)}
    if name == "real":
        asked["sentences"] = (_query(text, None, "accurate") for _, text in texts_of(queries)[:count])
        asked["answers"] = (_query(text, None, "accurate") for text in texts_of(answers)[:count])
    for kind, some in asked.items():
        shares = []
        for query in some:
            found = find("semantic", query, [view], EVERYTHING, Limits(10, min_score=-1.0)).matches
            exact = np.sort(_exact(view, query))[::-1][:10]
            least = exact[-1] - 1e-5
            shares.append(sum(hit.worth.standing >= least for hit in found) / len(exact))
        if shares:
            figures[kind] = {"queries": len(shares), "recall": float(np.mean(shares)), "worst": min(shares)}
    return figures


def _stored_queries(view: View, count: int) -> Iterator[Query]:
    """Rows with accurate vectors as queries, spread evenly over the corpus."""
    channel = CHANNELS["semantic"]
    assert isinstance(channel, SemanticChannel)
    places = [(k, int(row)) for k, part in enumerate(view.parts) for c in part.segment.of("semantic") for row in c.rows]
    for number, row in places[:: max(1, len(places) // count)][:count]:
        segment = view.parts[number].segment
        vectors = channel.stored_sentences(segment, row, _Known.space)
        name, text, language = (segment.array(column)[row].as_py() for column in ("id", "response", "language"))
        yield Query(text, language, (view.corpus, name), sentences=vectors, tier="accurate")


def _exact(view: View, query: Query) -> NDArray[np.float64]:
    """Standing of every row that has accurate vectors."""
    assert query.sentences is not None
    side = _Known.space.project(query.sentences)
    asked = align.query(side)
    made = []
    for target in targets(query, [view], EVERYTHING):
        calibration = calibration_of(target.meaning, "accurate")
        codes, values = target.segment.codes("language")
        names = {code: language for language, code in values.items()}
        for chunk in target.segment.of("semantic"):
            scores = align.scores(asked, chunk.vectors, chunk.starts[:-1], chunk.starts[1:]).astype(np.float64)
            other = np.ones(len(chunk.rows), bool) if target.own is None else chunk.rows != target.own
            for code in np.unique(codes[chunk.rows]).tolist():
                # A standing is a line in the score.
                zero, one = (calibration.standing(s, len(side), query.language, names.get(code)) for s in (0.0, 1.0))
                made.append(zero + (one - zero) * scores[(codes[chunk.rows] == code) & other])
    return np.concatenate(made)


# ---- relatives ----


def ranks(data: str, name: str, pairs: list[list[str]], tiers: list[str | None]) -> Figures:
    """Rank of each related row of the sample among all, both directions; copies of either do not count.

    By tier; 0: not among the first 200. With the p-values of what was found.
    """
    view = _opened(data, name).view
    ids = list(dict.fromkeys(itertools.chain(*pairs)))
    rows = dict(zip(ids, (view.row(place) for place in view.locate(ids) if place is not None), strict=True))
    figures: Figures = {"rows": view.rows, "accurate": view.filled("semantic")}
    for tier in tiers:
        found, p_values, same = [], [], []
        for one, other in pairs:
            for query, wanted in ((one, other), (other, one)):
                text, language = rows[query]["response"], rows[query]["language"]
                asked = _query(text, language, tier, (view.corpus, query))  # type: ignore[arg-type]
                hits = find("semantic", asked, [view], EVERYTHING, Limits(200)).matches
                copies = (text, rows[wanted]["response"])
                hits = [hit for hit in hits if hit.id == wanted or hit.response not in copies]
                at = next((k for k, hit in enumerate(hits) if hit.id == wanted), None)
                found.append(0 if at is None else at + 1)
                if at is not None:
                    p_values.append(hits[at].worth.p_value)
                    same.append(hits[at].worth.same_prompt_p)
        figures[str(tier or "auto")] = {
            "ranks": found,
            "first": sum(rank == 1 for rank in found),
            "of": len(found),
            "p_values": p_values,
            "same_prompt_p": same,
        }
    return figures


# ---- calibration ----


def calibration(rows: str, work: str, pair_queries: int, searches: int) -> Figures:
    """How often unrelated texts get p-values of .01: calibrated on one half of the prompts, told for the other.

    Pairs are of two texts of the other half; searches are for texts of the other half in a corpus of the first, where
    nothing answers their prompts.
    """
    known = _accurate(Path(work))
    frame = pl.DataFrame({"id": known.ids, "place": range(len(known.ids))})
    frame = frame.join(pl.read_parquet(rows), on="id", maintain_order="left")
    prompts = frame["prompt_id"].unique().sort().to_list()
    random = np.random.default_rng(5)
    mine = {prompts[k] for k in random.permutation(len(prompts))[::2].tolist()}
    first, other = (frame.filter(pl.col("prompt_id").is_in(mine) ^ flip) for flip in (False, True))
    data = Path(work) / "calibration"
    first.drop("place").write_parquet(Path(work) / "calibration-rows.parquet")
    build(str(data), "half", str(Path(work) / "calibration-rows.parquet"), work, "own")
    corpus = _opened(str(data), "half")
    figures: Figures = {"rows": first.height, "others": other.height, "tiers": {}}
    for tier in TIERS:
        made = corpus.meaning.calibration(tier)
        if made is None:
            figures["tiers"][tier] = {"too few rows": corpus.view.filled("semantic")}
            continue
        vectors = [_sentences_of(row, tier, known) for row in other.iter_rows(named=True)]
        pairs = _unrelated_pairs(other, vectors, made, tier, pair_queries, random)
        figures["tiers"][tier] = {
            "pairs": pairs,
            "searches": _unrelated_searches(corpus.view, other, tier, searches, random),
        }
    return figures


def _sentences_of(row: dict[str, Any], tier: Tier, known: Accurate) -> NDArray[np.float32]:
    if tier == "fast":
        return _Known.table.sentences(*encode_texts([row["response"]]))[0]
    return _Known.space.project(_Known.space.neutral(known.of(row["place"])))


def _sizes(sentences: int, random: np.random.Generator) -> list[int]:
    """A number of sentences of each class that a text is long enough for."""
    bounds = (0, *SIZES, 64)
    return [
        int(random.integers(low + 1, min(high, sentences) + 1))
        for low, high in itertools.pairwise(bounds)
        if low < sentences
    ]


def _unrelated_pairs(
    frame: pl.DataFrame,
    vectors: list[NDArray[np.float32]],
    calibration: Calibration,
    tier: Tier,
    count: int,
    random: np.random.Generator,
) -> list[Figures]:
    """Of pairs of texts with different prompts, by languages and size of query: how many, and how many are unlikely."""
    starts = np.concatenate(([0], np.cumsum([len(v) for v in vectors]))).astype(np.int64)
    everything = np.concatenate(vectors)
    languages, prompts = frame["language"].to_numpy(), frame["prompt_id"].to_numpy()
    texts = frame["response"].to_numpy()
    totals: dict[tuple[int, str, str], NDArray[np.int64]] = {}
    for i in _of_each_language(languages, count, random):
        unrelated = (prompts != prompts[i]) & (texts != texts[i])
        for size in _sizes(len(vectors[i]), random):
            begin = int(random.integers(0, len(vectors[i]) - size + 1))
            scores = alignments(vectors[i][begin : begin + size], everything, starts)
            mean, spread = _Known.space.unrelated_at(size)
            for language in np.unique(languages).tolist():
                some = scores[unrelated & (languages == language)]
                stratum = calibration.stratum(size, languages[i], language)
                as_high = len(stratum) - np.searchsorted(stratum, some, "left")
                unlikely = int(((1 + as_high) / (1 + len(stratum)) <= 0.01).sum())
                far = int(((some - mean) / spread >= 3).sum()) if tier == "accurate" else 0
                key = size_class(size), str(languages[i]), str(language)
                totals[key] = totals.get(key, np.zeros(3, np.int64)) + np.array([len(some), unlikely, far])
    return [
        {"size": size, "query": query, "match": match, "pairs": int(n), "unlikely": int(p), "z3": int(z)}
        for (size, query, match), (n, p, z) in sorted(totals.items())
    ]


def _of_each_language(languages: NDArray[Any], count: int, random: np.random.Generator) -> list[int]:
    """Places of so many texts, as many of each language as there are."""
    order = random.permutation(len(languages)).tolist()
    by: dict[str, list[int]] = {}
    for k in order:
        by.setdefault(str(languages[k]), []).append(k)
    turns = itertools.zip_longest(*(by[language] for language in sorted(by)))
    return [k for turn in turns for k in turn if k is not None][:count]


def _unrelated_searches(
    view: View, frame: pl.DataFrame, tier: Tier | None, count: int, random: np.random.Generator
) -> list[Figures]:
    """Of searches for parts of texts whose prompts no row answers: how often the best hit is unlikely."""
    channel = CHANNELS["semantic"]
    space = _Known.space
    made = []
    texts, languages = frame["response"].to_list(), frame["language"].to_numpy()
    spans = [grouped_spans(text) for text in texts]
    bounds = (0, *SIZES, 64)
    for low, high in itertools.pairwise(bounds):
        able = [k for k in range(len(texts)) if len(spans[k]) > low]
        if not able:
            continue
        p_values, z3 = [], 0
        for k in (able[j] for j in _of_each_language(languages[able], count, random)):
            size = int(random.integers(low + 1, min(high, len(spans[k])) + 1))
            begin = int(random.integers(0, len(spans[k]) - size + 1))
            text = texts[k][spans[k][begin][0] : spans[k][begin + size - 1][1]]
            query = _query(text, str(languages[k]), tier)
            hits = channel.search(query, targets(query, [view], EVERYTHING), Limits(10, min_score=-1.0)).matches
            if hits:
                p_values.append(hits[0].worth.p_value)
                mean, spread = space.unrelated_at(size)
                z3 += max((hit.score - mean) / spread for hit in hits) >= 3
        made.append(
            {
                "size": size_class(low + 1),
                "searches": len(p_values),
                "unlikely": sum(p <= 0.01 for p in p_values),
                "below .1": sum(p <= 0.1 for p in p_values),
                "z3": int(z3),
            }
        )
    return made


def unrelated_searches(data: str, name: str, held_out: str, tier: str | None, count: int) -> list[Figures]:
    """The same in a corpus, for answers to prompts that were held out."""
    frame = pl.read_parquet(held_out)
    view = _opened(data, name).view
    return _unrelated_searches(view, frame, tier, count, np.random.default_rng(6))  # type: ignore[arg-type]


# ---- rows ----


def make_rows(source: str, out: str, rows: int) -> int:
    """Write rows of about 165 words, pieces of answers of which many words are replaced; as `million.py` makes them."""
    import million
    import pyarrow.parquet as pq

    responses = pl.read_parquet(source, columns=["response"])["response"].drop_nulls()
    responses = responses.sample(fraction=1, shuffle=True, seed=7)
    scratch = Path(out).with_suffix(".unfinished")
    writer = None
    for frame in million.batches(million.source_of(responses), rows):
        table = frame.with_columns(language=pl.lit("en")).to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(scratch, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    scratch.rename(out)
    return rows


# ---- an index alone ----


def fast_tier(rows: str) -> Figures:
    """Fast vectors and index of the rows of a file, and nothing else of a load."""
    from kinprint.server.channels import nearest

    codes: list[NDArray[np.int8]] = []
    with Clock() as vectors:
        for frame in pl.scan_parquet(rows).select("response").collect_batches(chunk_size=BATCH, maintain_order=True):
            made_codes, _ = _Known.table.rows(*encode_texts(frame["response"].to_list()))
            codes.append(made_codes)
    everything = np.concatenate(codes)
    with Clock() as indexing:
        made = nearest.build(everything)
    return {
        "rows": len(everything),
        "vectors": vectors.figures(),
        "index": indexing.figures(),
        "recall": None if made is None else made.measured.recall,
    }


TASKS = {
    "load": load,
    "accurate_vectors": accurate_vectors,
    "build": build,
    "queries": queries,
    "recall": recall,
    "ranks": ranks,
    "calibration": calibration,
    "unrelated_searches": unrelated_searches,
    "fast_tier": fast_tier,
    "make_rows": make_rows,
}
