"""Near-duplicate kernels beside their peers: sketching, finding pairs, exact joins, shared spans.

    .venv/bin/pip install --group bench                                                                     # the peers
    .venv/bin/python benchmarks/copy_channel.py transcripts.parquet --rows 20000 120000 --out docs/benchmarks-copy.md
    .venv/bin/python benchmarks/copy_channel.py transcripts.parquet --rows 5000 --repeat 1 --tables be    # a quick look

Needs a Parquet file with a column `response`. The texts are pieces of about 165 words cut from it; one in ten is an
edited copy of another, one in fifty holds a span of another. Every measurement is a process of its own, since thread
pools read their size at import: it loads the texts in the form that its library takes, runs once on 300 of them, and is
timed on all. Processes alternate (A, B, C, A, B, C), so that a busy neighbour or a warm CPU troubles all alike; with
one thread a process is held to one core, for not every pool can be told its size.

Recall and precision are counted against a join that misses nothing, written here once more and compared with brute
force on 2,000 of the texts in every run. Each library is held to its own definition of a word.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import math
import mmap
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

WORDS = (150, 180)
"""Fewest and most words of a text."""
EDITED, PARTIAL = 0.10, 0.02
"""Shares of the rows that are edited copies of other rows, and that hold a span of another row."""
RATES = (1, 20)
"""Least and greatest rate of edits, in percent of the words."""
SPAN = 60
"""Words of a span that is copied."""
THRESHOLD = 0.7
BANDS, BAND_ROWS = 32, 4
"""Recall .9998 at a Jaccard of .7, .9882 at .6; the same for all peers."""
SLOTS = 128
BACKED = 1 << 30
"""Bytes that every process touches and gives back before it measures."""
WARM_UP = 300
CHECKED = 2_000
"""Rows of which all pairs are counted by brute force."""
PEERS = ("daft", "gaoya", "rensa", "datasketch", "xxhash", "pydivsufsort")

Timed = Callable[[], Any]
Make = Callable[[pl.Series], Timed]


# ---- the corpus ----


def make_corpus(responses: Sequence[str], rows: int, seed: int) -> pl.DataFrame:
    """`rows` texts in random order: id, text, kind ('own', 'edit', 'partial'), src, rate.

    No two texts have the same words, so that nothing depends on how an engine lists identical texts.
    """
    rng = np.random.default_rng([seed, rows])
    edits, partials = int(rows * EDITED), int(rows * PARTIAL)
    own = rows - edits - partials
    pieces = cut(responses, own + partials, rng)
    bases, hosts = pieces[:own], pieces[own:]
    vocabulary = [word.rstrip() for piece in bases[:5_000] for word in piece]
    seen = {plain_words(joined(piece)) for piece in bases}
    texts = [(joined(piece), "own", -1, 0) for piece in bases]
    for k in range(edits + partials):
        while True:
            src = int(rng.integers(own))
            if k < edits:
                rate = int(rng.integers(RATES[0], RATES[1] + 1))
                words, kind = edited(bases[src], rate / 100, vocabulary, rng), "edit"
            else:
                rate, kind = 0, "partial"
                words = spliced(hosts[k - edits], bases[src], rng)
            text = joined(words)
            key = plain_words(text)
            if key not in seen:
                break
        seen.add(key)
        texts.append((text, kind, src, rate))
    order = rng.permutation(rows)
    place = np.empty(rows, np.int64)
    place[order] = np.arange(rows)
    chosen = [texts[i] for i in order]
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "text": [t[0] for t in chosen],
            "kind": [t[1] for t in chosen],
            "src": [int(place[t[2]]) if t[2] >= 0 else -1 for t in chosen],
            "rate": [t[3] for t in chosen],
        }
    )


def cut(responses: Sequence[str], count: int, rng: np.random.Generator) -> list[list[str]]:
    """`count` pieces, each a list of words with the white space after them, all different.

    They overlap only as far as they must to be enough.
    """
    lengths = np.array([len(response.split()) for response in responses])
    step = 165
    while step > 50 and ((lengths - WORDS[1]) // step + 1)[lengths >= WORDS[1]].sum() < 1.05 * count:
        step -= 5
    pieces: list[list[str]] = []
    seen: set[str] = set()
    for i in rng.permutation(np.flatnonzero(lengths >= WORDS[1])):
        if len(pieces) >= count:
            break
        response = re.findall(r"\S+\s*", responses[i])
        spare = len(response) - WORDS[1]
        start = int(rng.integers(max(spare, 0) % step + 1))
        while start <= spare:
            piece = response[start : start + int(rng.integers(WORDS[0], WORDS[1] + 1))]
            start += step
            text = joined(piece)
            # Tables of rules and symbols are left out: they are hardly text.
            if not spaceless(text) and (key := plain_words(text)) not in seen and key.count(" ") >= WORDS[0] // 2:
                seen.add(key)
                pieces.append(piece)
    if len(pieces) < count:
        raise SystemExit(f"there are {len(pieces):,} pieces of {WORDS[0]} to {WORDS[1]} words; {count:,} are needed")
    # Neighbours are not to be told by their places.
    return [pieces[i] for i in rng.permutation(len(pieces))[:count]]


def joined(words: Iterable[str]) -> str:
    """Words with the white space after them as a text."""
    return "".join(words).strip()


def edited(words: Sequence[str], rate: float, vocabulary: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A share of the words replaced, deleted, or followed by another, each as often."""
    out = list(words)
    for _ in range(max(1, round(rate * len(words)))):
        at, what = int(rng.integers(len(out))), int(rng.integers(3))
        new = vocabulary[int(rng.integers(len(vocabulary)))]
        if what == 0:
            out[at] = new + out[at][len(out[at].rstrip()) :]
        elif what == 1:
            del out[at]
        else:
            out.insert(at, new + " ")
    return out


def spliced(host: Sequence[str], other: Sequence[str], rng: np.random.Generator) -> list[str]:
    """`host` with SPAN of its words replaced by SPAN words of `other`."""
    at, start = int(rng.integers(len(host) - SPAN + 1)), int(rng.integers(len(other) - SPAN + 1))
    return [*host[:at], *other[start : start + SPAN - 1], other[start + SPAN - 1].rstrip() + " ", *host[at + SPAN :]]


# ---- definitions of a word, and the truth ----


class _Classes(dict[int, "str | None"]):
    """For str.translate: separators and symbols become spaces. Filled in as code points are met."""

    def __missing__(self, point: int) -> str | None:
        category = unicodedata.category(chr(point))
        if category == "Cf" or 0xFE00 <= point <= 0xFE0F:
            self[point] = None  # default-ignorable
        elif category[0] in "PZ" or category in ("Sk", "Sm", "Sc", "So", "Cc"):
            self[point] = " "
        else:
            self[point] = chr(point)
        return self[point]


class _Symbols(dict[int, "str | None"]):
    """For str.translate: nothing stays but symbols."""

    def __missing__(self, point: int) -> str | None:
        self[point] = chr(point) if unicodedata.category(chr(point)) == "So" else None
        return self[point]


_CLASSES, _SYMBOLS = _Classes(), _Symbols()


def folded(text: str) -> str:
    """NFKC_Casefold, as far as Python's standard library has it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def plain_words(text: str) -> str:
    """Kinprint's words, from docs/copy.md, with single spaces between them."""
    return " ".join(folded(text).translate(_CLASSES).split())


def split_words(text: str) -> str:
    """What white space separates, case and punctuation kept: what rensa is given."""
    return " ".join(text.split())


def ascii_words(text: str) -> str:
    """gaoya's words: what white space and punctuation of ASCII separate, case kept."""
    return " ".join(filter(None, re.split(r"[!-/:-@\[-`{-~\t\n\f\r ]", text)))


def space_words(text: str) -> str:
    """Daft's words: what single spaces separate. A line break is within a word, two spaces have an empty one."""
    return text


def spaceless(text: str) -> bool:
    """Whether a script without case is in the text; the plain definitions here are not for those without spaces."""
    return not text.isascii() and any(unicodedata.category(c) in ("Lo", "Lm", "Nl") for c in folded(text))


WORDS_OF: dict[str, Callable[[str], str]] = {
    "kinprint": plain_words,
    "split": split_words,
    "ascii": ascii_words,
    "spaces": space_words,
}


class Sets(NamedTuple):
    """Sets of shingles: row i has values[starts[i]:starts[i + 1]], ascending."""

    values: NDArray[np.uint64]
    starts: NDArray[np.int64]


def shingle_sets(texts: Sequence[str], definition: str) -> Sets:
    """Word 3-shingles of all texts, as the numbers of their three words; no hash, so no collision.

    Kinprint's also has 5-shingles of the symbols (emoji), which are told apart by the top bit.
    """
    words = pl.Series([WORDS_OF[definition](t) for t in texts], dtype=pl.String).str.split(" ")
    counts = words.list.len().to_numpy().astype(np.int64)
    numbers = words.explode().rank("dense").to_numpy().astype(np.uint64)
    assert int(numbers.max()) < 1 << 21
    packed = (numbers[:-2] << np.uint64(42)) | (numbers[1:-1] << np.uint64(21)) | numbers[2:]
    ends = np.cumsum(counts)
    row = np.repeat(np.arange(len(texts)), counts)
    within = row[:-2] == row[2:]
    values, rows = packed[within], row[:-2][within]
    if definition == "kinprint":
        alphabet: dict[str, int] = {}
        extra: list[tuple[int, int]] = []
        for i, text in enumerate(texts):
            symbols = "" if text.isascii() else folded(text).translate(_SYMBOLS)
            for k in range(len(symbols) - 4):
                number = 1 << 63
                for j, symbol in enumerate(symbols[k : k + 5]):
                    number |= alphabet.setdefault(symbol, len(alphabet)) << (12 * j)
                extra.append((i, number))
        assert len(alphabet) < 1 << 12
        if extra:
            values = np.concatenate([values, np.array([number for _, number in extra], np.uint64)])
            rows = np.concatenate([rows, np.array([i for i, _ in extra], np.int64)])
            by_row = np.argsort(rows, kind="stable")
            values, rows = values[by_row], rows[by_row]
    starts = np.searchsorted(rows, np.arange(len(texts) + 1))
    assert len(ends) == len(texts)
    kept = _sort_distinct(values, starts)
    return Sets(values[: kept[-1]].copy(), kept)


@njit
def _sort_distinct(values, starts):  # type: ignore[no-untyped-def]
    """Sort each row and drop repeats, in place; where the rows begin then."""
    kept = np.zeros_like(starts)
    at = 0
    for i in range(starts.size - 1):
        row = np.sort(values[starts[i] : starts[i + 1]])
        for k in range(row.size):
            if k == 0 or row[k] != row[k - 1]:
                values[at] = row[k]
                at += 1
        kept[i + 1] = at
    return kept


def exact_join(sets: Sets, threshold: float) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """All pairs (see :func:`pair_codes`) with Jaccard >= threshold, and their Jaccard, by a plain prefix filter.

    Two sets with J >= t share one of their rarest n - ceil(t n) + 1 elements. Those are listed, sets that share one are
    candidates, and candidates are counted.
    """
    values, starts = sets
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    rarity = np.empty(len(counts), np.int64)
    rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    elements = rarity[number]
    sizes = np.diff(starts)
    lengths = np.where(sizes > 0, sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1, 0)
    listed, rows = _prefixes(elements, starts, lengths, counts[np.argsort(counts, kind="stable")])
    order = np.argsort(listed, kind="stable")
    listed, rows = listed[order], rows[order]
    total = _candidates(listed, rows, sizes, threshold, np.empty(0, np.uint64))
    codes = np.empty(total, np.uint64)
    _candidates(listed, rows, sizes, threshold, codes)
    codes = np.unique(codes)
    similarity = _jaccard(values, starts, codes)
    keep = similarity >= threshold
    return codes[keep], similarity[keep]


@njit
def _prefixes(elements, starts, lengths, counts):  # type: ignore[no-untyped-def]
    """Rarest elements of each set that are not in this set alone, and the rows they are of."""
    out = np.empty(lengths.sum(), np.int64)
    rows = np.empty(out.size, np.int64)
    at = 0
    for i in range(lengths.size):
        row = np.sort(elements[starts[i] : starts[i + 1]])
        for k in range(lengths[i]):
            if counts[row[k]] > 1:
                out[at] = row[k]
                rows[at] = i
                at += 1
    return out[:at].copy(), rows[:at].copy()


@njit
def _candidates(listed, rows, sizes, threshold, codes):  # type: ignore[no-untyped-def]
    """Pairs of sets that share a listed element and could be alike by size; how many, and as many as there is room."""
    found = 0
    first = 0
    while first < listed.size:
        last = first + 1
        while last < listed.size and listed[last] == listed[first]:
            last += 1
        for x in range(first, last):
            for y in range(first, x):
                a, b = rows[y], rows[x]  # a < b: the sort was stable
                if min(sizes[a], sizes[b]) >= threshold * max(sizes[a], sizes[b]) - 1e-9:
                    if found < codes.size:
                        codes[found] = (np.uint64(b) << np.uint64(32)) | np.uint64(a)
                    found += 1
        first = last
    return found


@njit
def _jaccard(values, starts, codes):  # type: ignore[no-untyped-def]
    """Jaccard similarity of pairs of sets, by merging them."""
    out = np.empty(codes.size, np.float64)
    for p in range(codes.size):
        i, j = np.int64(codes[p] >> np.uint64(32)), np.int64(codes[p] & np.uint64(0xFFFFFFFF))
        x, y, shared = starts[i], starts[j], 0
        while x < starts[i + 1] and y < starts[j + 1]:
            if values[x] == values[y]:
                shared += 1
                x += 1
                y += 1
            elif values[x] < values[y]:
                x += 1
            else:
                y += 1
        out[p] = shared / (starts[i + 1] - starts[i] + starts[j + 1] - starts[j] - shared)
    return out


def pair_codes(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.uint64]:
    """Pairs of rows as numbers, the larger row in the upper half; ascending, each once, none of a row with itself."""
    high, low = np.maximum(a, b).astype(np.uint64), np.minimum(a, b).astype(np.uint64)
    return np.unique(((high << np.uint64(32)) | low)[high != low])


def brute_force(sets: Sequence[set[Any]], threshold: float) -> dict[tuple[int, int], float]:
    """Jaccard of all pairs that reach the threshold: every pair counted, without a filter."""
    holders = defaultdict(list)
    for i, members in enumerate(sets):
        for member in members:
            holders[member].append(i)
    shared = np.zeros((len(sets), len(sets)), np.int32)
    for rows in holders.values():
        if len(rows) > 1:
            shared[np.ix_(rows, rows)] += 1
    sizes = np.array([len(s) for s in sets])
    similarity = shared / np.maximum(sizes[:, None] + sizes[None, :] - shared, 1)
    x, y = np.nonzero(np.triu(similarity >= threshold, 1))
    return {(int(a), int(b)): float(similarity[a, b]) for a, b in zip(x, y, strict=True)}


def check_truth(frame: pl.DataFrame, definition: str) -> int:
    """Compare the join with brute force on some rows and their sources; how many pairs both have.

    Brute force takes Kinprint's shingles from the plain-Python reference of its kernels, so that the definition written
    here is checked as well, and of the others sets of strings.
    """
    copies = frame.filter(pl.col("kind") != "own").head(CHECKED // 2)
    rows = pl.concat([copies["id"], copies["src"]]).unique().sort()
    texts = frame["text"].gather(rows).to_list()
    codes, similarity = exact_join(shingle_sets(texts, definition), THRESHOLD)
    found = {(int(c) & 0xFFFFFFFF, int(c) >> 32): float(j) for c, j in zip(codes, similarity, strict=True)}
    if definition == "kinprint":
        from kinprint.kernels.reference import shingle as reference

        expected = brute_force([reference.shingle_set(t)[0] for t in texts], THRESHOLD)
    else:
        words = [WORDS_OF[definition](t).split(" ") for t in texts]
        expected = brute_force([set(zip(w, w[1:], w[2:], strict=False)) for w in words], THRESHOLD)
    if found.keys() != expected.keys() or any(not math.isclose(found[p], expected[p]) for p in found):
        raise SystemExit(f"the exact join ({definition}) and brute force differ on {len(texts):,} texts")
    return len(found)


# ---- the engines: each takes texts, makes them ready, and returns what is to be timed ----


def ours_words(texts: pl.Series) -> Timed:
    """The text as it is; the column is read in place, and that is timed too."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import sketch

    return lambda: sketch.sketch_texts(arrow.Texts.from_arrow(texts), text_hashes=False)


def ours_normalised(texts: pl.Series) -> Timed:
    """The text is normalised already."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import sketch

    return lambda: sketch.sketch_texts(arrow.Texts.from_arrow(texts), normalised=True, text_hashes=False)


def ours_chars(texts: pl.Series) -> Timed:
    """Code-point 5-shingles."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import sketch

    return lambda: sketch.sketch_texts(arrow.Texts.from_arrow(texts), shingles="c5", normalised=True, text_hashes=False)


def ours_pairs(texts: pl.Series) -> Timed:
    """Sketches, bands, exact counts."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import dedup

    def run() -> NDArray[np.uint64]:
        pairs = dedup.pairs(arrow.Texts.from_arrow(texts), threshold=THRESHOLD)
        return pair_codes(pairs.a, pairs.b)

    return run


def ours_exact(texts: pl.Series) -> Timed:
    """Nothing is estimated."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import dedup

    def run() -> NDArray[np.uint64]:
        pairs = dedup.pairs(arrow.Texts.from_arrow(texts), threshold=THRESHOLD, exact=True)
        return pair_codes(pairs.a, pairs.b)

    return run


def _daft_frame(texts: pl.Series) -> Any:
    # Daft works on whole batches; the single one that a column makes would keep one core busy, whatever there are.
    import daft
    import pyarrow as pa

    return daft.from_arrow(pa.table({"text": texts.to_arrow()})).into_batches(2_500).collect()


def _daft_minhash(frame: Any) -> Any:
    # The fastest of its hash functions; murmurhash3 and the other xxhashes are 3 to 15 % slower.
    sketches = frame["text"].minhash(num_hashes=SLOTS, ngram_size=3, hash_function="xxhash3_64")
    return frame.select(sketches.alias("sketch")).collect()


def daft_words(texts: pl.Series) -> Timed:
    """A frame that is in memory already to one of sketches."""
    frame = _daft_frame(texts)
    return lambda: _daft_minhash(frame)


def daft_pairs(texts: pl.Series) -> Timed:
    """Daft has no join of sketches: bands are joined by Polars. Candidates, not verified."""
    frame, rows = _daft_frame(texts), len(texts)

    def run() -> NDArray[np.uint64]:
        column = _daft_minhash(frame).to_arrow()["sketch"]
        slots = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
        words = slots.view(np.uint64).reshape(rows, BANDS, -1)
        keys = np.repeat(np.arange(BANDS, dtype=np.uint64)[None], rows, axis=0)
        for k in range(words.shape[2]):
            keys = (keys ^ words[:, :, k]) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(32)
        bands = pl.DataFrame({"key": keys.ravel(), "row": np.repeat(np.arange(rows, dtype=np.uint32), BANDS)})
        bands = bands.filter(pl.col("key").is_duplicated())
        pairs = bands.join(bands, on="key").filter(pl.col("row") < pl.col("row_right"))
        return pair_codes(pairs["row"].to_numpy(), pairs["row_right"].to_numpy())

    return run


def _gaoya(analyser: str, size: int, bands: int, band_rows: int, threshold: float) -> Any:
    from gaoya.minhash import MinHashStringIndex

    # 16-bit hashes take as long as 32-bit ones, 64-bit ones longer. "vec" is the fastest container.
    return MinHashStringIndex(32, threshold, bands, band_rows, None, analyser, False, (size, size), "vec")


def _gaoya_sketch(texts: pl.Series, analyser: str, size: int) -> Timed:
    # gaoya sketches only as it inserts: one band of all slots is a sketch and little more (a tenth less than 32 x 4).
    documents, ids = texts.to_list(), list(range(len(texts)))

    def run() -> Any:
        index = _gaoya(analyser, size, 1, SLOTS, 0.5)
        index.par_bulk_insert_docs(ids, documents)
        return index

    return run


def gaoya_words(texts: pl.Series) -> Timed:
    """Word 3-shingles, cut by gaoya."""
    return _gaoya_sketch(texts, "word", 3)


def gaoya_chars(texts: pl.Series) -> Timed:
    """Character 5-shingles, cut by gaoya."""
    return _gaoya_sketch(texts, "char", 5)


def gaoya_pairs(texts: pl.Series) -> Timed:
    """Insert all, then query all, which sketches them again: its queries take texts only.

    What it returns is filtered by the estimate, not verified. At a threshold of .7 that would lose half of the pairs
    there; at .6 it keeps nearly all.
    """
    documents, ids = texts.to_list(), list(range(len(texts)))

    def run() -> NDArray[np.uint64]:
        index = _gaoya("word", 3, BANDS, BAND_ROWS, 0.6)
        index.par_bulk_insert_docs(ids, documents)
        return listed_pairs(index.par_bulk_query(documents))

    return run


def word_triples(texts: Iterable[str]) -> Iterator[list[str]]:
    """Word 3-shingles for libraries that take shingles, the fastest way in Python that was found.

    Made as they are consumed: a list of all of them costs as much again, in memory and in garbage collection.
    """
    for text in texts:
        words = text.split()
        yield list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def char_fives(texts: Iterable[str]) -> Iterator[list[str]]:
    """Character 5-shingles in the same way."""
    for text in texts:
        yield [text[i : i + 5] for i in range(len(text) - 4)]


def rensa_words(texts: pl.Series) -> Timed:
    """One matrix of all sketches, the full-set path (rho samples positions and is another sketch)."""
    from rensa import RMinHash

    documents = texts.to_list()
    return lambda: RMinHash.digest_matrix_from_token_sets(word_triples(documents), SLOTS, 42)


def rensa_chars(texts: pl.Series) -> Timed:
    """rensa cuts no shingles itself: a str is a set of single characters to it."""
    from rensa import RMinHash

    documents = texts.to_list()
    return lambda: RMinHash.digest_matrix_from_token_sets(char_fives(documents), SLOTS, 42)


def rensa_pairs(texts: pl.Series) -> Timed:
    """Its queries take sketch objects, not the matrix. Candidates, not verified."""
    from rensa import RMinHash, RMinHashLSH

    documents = texts.to_list()

    def run() -> NDArray[np.uint64]:
        sketches = RMinHash.from_token_sets(word_triples(documents), SLOTS, 42)
        index = RMinHashLSH(threshold=THRESHOLD, num_perm=SLOTS, num_bands=BANDS)
        index.insert_many(sketches)
        return listed_pairs(index.query_all(sketches))

    return run


def datasketch_words(texts: pl.Series) -> Timed:
    """`bulk` shares the permutations of all sketches; affine32 is its fastest scheme, xxh32 the fastest hash."""
    from datasketch import MinHash
    from xxhash import xxh32_intdigest

    documents = [text.encode() for text in texts.to_list()]

    def run() -> Any:
        split = (document.split() for document in documents)
        shingles = (list(map(b" ".join, zip(w, w[1:], w[2:], strict=False))) for w in split)
        return MinHash.bulk(shingles, num_perm=SLOTS, hashfunc=xxh32_intdigest, scheme="affine32")

    return run


def listed_pairs(found: Sequence[Sequence[int]]) -> NDArray[np.uint64]:
    """Pairs from a list of neighbours for each row."""
    counts = np.fromiter(map(len, found), np.int64, len(found))
    others = np.fromiter(chain.from_iterable(found), np.int64, int(counts.sum()))
    return pair_codes(np.repeat(np.arange(len(found)), counts), others)


# Of hashes that are made already.


def ours_hashes(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> Timed:
    """The kernel alone."""
    from kinprint.kernels.copy import sketch

    return lambda: sketch.sketch_hashes(hashes, starts)


def rensa_hashes(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> Timed:
    """The kernel alone, read from the same buffers."""
    from rensa import RMinHash

    offsets = starts.astype(np.uint64)  # its buffers are unsigned
    return lambda: RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, SLOTS, 42)


def ours_slots(made: Any) -> NDArray[np.uint32]:
    """Sketches as a matrix."""
    return np.asarray(made)


def rensa_slots(made: Any) -> NDArray[np.uint32]:
    """Sketches as a matrix."""
    return np.array(made.to_rows(), np.uint32)


# Of shared spans.


def ours_spans(texts: pl.Series) -> tuple[Timed, Callable[[Any, NDArray[np.uint64]], float]]:
    """(build the index of seeds of all texts, (that index, planted pairs) -> share of the pairs found)."""
    from kinprint.kernels import arrow
    from kinprint.kernels.copy import passages

    def build() -> Any:
        return passages.Index(arrow.Texts.from_arrow(texts))

    def recall(index: Any, planted: NDArray[np.uint64]) -> float:
        parts = [found.passages for found in index.find(every=True, max_texts=len(texts))]
        found = passages.Passages.joined(parts)
        return float(np.isin(planted, pair_codes(found.a, found.b)).mean()) if len(planted) else 1.0

    return build, recall


def suffix_array(texts: pl.Series) -> Timed:
    """Suffix array and longest common prefixes of all bytes in a row, from which every shared span can be read."""
    import pydivsufsort

    data = np.frombuffer("".join(texts.to_list()).encode(), np.uint8).copy()  # it refuses what is read-only

    def run() -> Any:
        suffixes = pydivsufsort.divsufsort(data)
        return suffixes, pydivsufsort.kasai(data, suffixes)

    return run


WORD_ENGINES: dict[str, Make] = {"kinprint": ours_words, "daft": daft_words}
NORMALISED_ENGINES: dict[str, Make] = {
    "kinprint": ours_normalised,
    "daft": daft_words,
    "gaoya": gaoya_words,
    "rensa": rensa_words,
    "datasketch": datasketch_words,
}
CHAR_ENGINES: dict[str, Make] = {"kinprint": ours_chars, "gaoya": gaoya_chars, "rensa": rensa_chars}
PAIR_ENGINES: dict[str, Make] = {
    "kinprint": ours_pairs,
    "daft": daft_pairs,
    "rensa": rensa_pairs,
    "gaoya": gaoya_pairs,
}
EXACT_ENGINES: dict[str, Make] = {"kinprint": ours_exact, "rensa": rensa_pairs}
HASH_ENGINES = {"kinprint": (ours_hashes, ours_slots), "rensa": (rensa_hashes, rensa_slots)}
DEFINITION = {"kinprint": "kinprint", "daft": "spaces", "rensa": "split", "gaoya": "ascii"}
"""Which words each engine's pairs are held to."""
NEEDS = {"datasketch": ("datasketch", "xxhash"), "suffix array": ("pydivsufsort",)}


# ---- one measurement, in a process of its own ----


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    table: str
    engine: str
    threads: int
    rows: int
    corpus: str
    """Path of the texts."""
    column: str = "text"
    sets: str = ""
    """Path of sets of hashes, where they are the input."""
    out: str = ""
    """Where to leave the pairs."""


@dataclass(frozen=True)
class Figures:
    """What came of it; memory in MB."""

    cpu: float = math.nan
    wall: float = math.nan
    peak: float = math.nan
    rise: float = math.nan
    """Peak less what was resident with the texts loaded."""
    more: dict[str, float] = field(default_factory=dict)
    error: str = ""


def child(job: Job) -> Figures:
    """Measure `job` in this process."""
    frame = pl.read_parquet(job.corpus)
    copies = frame.filter(pl.col("kind") == "edit").head(WARM_UP // 2)
    texts = frame[job.column]
    # Copies with their sources, so that no step is left out for want of pairs.
    few = texts.gather(pl.concat([copies["id"], copies["src"]]).unique().sort())
    texts = texts.head(job.rows)
    planted = pair_codes(*(frame.filter(pl.col("kind") == "partial")[c].to_numpy() for c in ("id", "src")))
    del frame
    if job.table == "d":
        return _child_hashes(job)
    if job.table == "g":
        return _child_spans(job, few, texts, planted)
    make = {
        "a": WORD_ENGINES,
        "b": NORMALISED_ENGINES,
        "c": CHAR_ENGINES,
        "e": PAIR_ENGINES,
        "f": EXACT_ENGINES,
    }[job.table][job.engine]
    make(few)()
    result, figures = timed(make(texts))
    if job.out:
        np.save(job.out, result)
    return figures


def timed(run: Timed) -> tuple[Any, Figures]:
    """Run once."""
    gc.collect()
    # Memory that is touched for the first time may first have to come from a virtual machine's host, which takes longer
    # than what is measured here.
    with mmap.mmap(-1, BACKED) as block:
        for place in range(0, BACKED, mmap.PAGESIZE):
            block[place] = 1
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    except OSError:
        print("the peak of memory counts from the start of the process", file=sys.stderr)
    before = _status("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = _status("VmHWM")
    return result, Figures(cpu, wall, peak, peak - before)


def _status(name: str) -> float:
    """A figure of this process in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def _child_hashes(job: Job) -> Figures:
    """Kernel alone, and how well its sketches estimate."""
    make, slots = HASH_ENGINES[job.engine]
    with np.load(job.sets) as stored:
        hashes, starts = stored["hashes"], stored["starts"]
    make(hashes[: starts[WARM_UP]].copy(), starts[: WARM_UP + 1].copy())()
    _, figures = timed(make(hashes, starts))
    if job.threads == 1:
        for size, similarity in ACCURACY:
            mine, truth = estimates(size, similarity, make, slots)
            errors = mine - truth
            figures.more[f"{size} {similarity} bias"] = float(errors.mean())
            figures.more[f"{size} {similarity} rmse"] = float(np.sqrt((errors**2).mean()))
    return figures


ACCURACY = [(size, similarity) for size in (20, 163, 1051) for similarity in (0.5, 0.8)]
TRIALS = 1_000


def overlap_of(size: int, similarity: float) -> tuple[int, float]:
    """(common elements, exact Jaccard) of two sets of `size` with a Jaccard about `similarity`."""
    common = round(2 * size * similarity / (1 + similarity))
    return common, common / (2 * size - common)


def estimates(size: int, similarity: float, make: Any, slots: Any) -> tuple[NDArray[np.float64], float]:
    """Estimates for TRIALS pairs of random sets, and the exact Jaccard of all of them."""
    rng = np.random.default_rng([size, round(similarity * 100)])
    common, truth = overlap_of(size, similarity)
    rows = []
    for _ in range(TRIALS):
        union = rng.integers(0, 1 << 64, 2 * size - common, np.uint64)
        # In random order: a sketch that looks at the first elements only must gain nothing by it.
        rows += [rng.permutation(union[:size]), rng.permutation(np.concatenate([union[:common], union[size:]]))]
    matrix = slots(make(np.concatenate(rows), np.arange(len(rows) + 1, dtype=np.int64) * size)())
    return (matrix[0::2] == matrix[1::2]).mean(axis=1), truth


def _child_spans(job: Job, few: pl.Series, texts: pl.Series, planted: NDArray[np.uint64]) -> Figures:
    if job.engine != "kinprint":
        suffix_array(few)()
        return timed(suffix_array(texts))[1]
    build, recall = ours_spans(few)
    recall(build(), planted[:0])
    build, recall = ours_spans(texts)
    index, figures = timed(build)
    figures.more["recall"] = recall(index, planted)
    return figures


def measure(job: Job) -> Figures:
    """Start a process that measures `job`."""
    size = str(job.threads)
    pools = ("RAYON", "POLARS_MAX", "NUMBA_NUM", "OMP_NUM", "OPENBLAS_NUM", "MKL_NUM")
    threads = {f"{p}_THREADS" if "_" in p else f"{p}_NUM_THREADS": size for p in pools}
    # Threads that wait without spinning: one busy neighbour must not decide a measurement.
    threads |= {"NUMBA_THREADING_LAYER": "workqueue", "OMP_WAIT_POLICY": "PASSIVE"}
    quiet = {"DAFT_PROGRESS_BAR": "0", "DAFT_ANALYTICS_ENABLED": "0", "SCARF_NO_ANALYTICS": "true", "DO_NOT_TRACK": "1"}
    cores = sorted(os.sched_getaffinity(0))[-job.threads :]
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(asdict(job))],
        env={**os.environ, **threads, **quiet},
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return Figures(error=reason)
    return Figures(**json.loads(lines[-1]))


# ---- tables ----


@dataclass(frozen=True)
class Corpus:
    """One size of the texts with all that belongs to it."""

    rows: int
    path: Path
    folder: Path

    def truth(self, definition: str) -> NDArray[np.uint64]:
        """Pairs that reach the threshold."""
        path = self.folder / f"truth-{self.rows}-{definition}.npy"
        if not path.exists():
            say(f"{self.rows:,} texts: all pairs of '{definition}' words by the exact join")
            frame = pl.read_parquet(self.path)
            check_truth(frame, definition)
            codes, _ = exact_join(shingle_sets(frame["text"].to_list(), definition), THRESHOLD)
            np.save(path, codes)
        return np.asarray(np.load(path))

    def sets(self) -> Path:
        """Shingles as well mixed hashes."""
        path = self.folder / f"sets-{self.rows}.npz"
        if not path.exists():
            values, starts = shingle_sets(pl.read_parquet(self.path)["text"].to_list(), "kinprint")
            x = values + np.uint64(0x9E3779B97F4A7C15)  # splitmix64
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            np.savez(path, hashes=x ^ (x >> np.uint64(31)), starts=starts)
        return path


@dataclass(frozen=True)
class Bench:
    """What the command line asks for."""

    corpora: list[Corpus]
    threads: list[int]
    repeat: int
    folder: Path

    def run(self, jobs: Sequence[Job]) -> dict[Job, list[Figures]]:
        """Measure all jobs in turn, `repeat` times over."""
        results: dict[Job, list[Figures]] = {job: [] for job in jobs}
        for i in range(self.repeat):
            for job in jobs:
                if missing(job.engine):
                    continue
                figures = measure(job)
                results[job].append(figures)
                shown = figures.error or f"CPU {figures.cpu:.3f} s, wall {figures.wall:.3f} s"
                say(f"{job.table} {job.engine}, {job.rows:,} rows, {job.threads} threads, {i + 1}: {shown}")
        return results


def missing(engine: str) -> bool:
    """Whether a package that the engine needs is not installed."""
    needs = ("kinprint",) if engine == "kinprint" else NEEDS.get(engine, (engine,))
    return any(importlib.util.find_spec(name) is None for name in needs)


def say(line: str) -> None:
    """Progress, on the other stream than the report."""
    print(line, file=sys.stderr, flush=True)


def row(*cells: object) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(str(c) for c in cells) + " |"


HEAD = ("engine", "threads", "rows", "CPU s, min", "median", "wall s, min", "median", "µs a text", "peak MB", "rise MB")
RATIO = ("peer / ours", "target")


def table(
    results: dict[Job, list[Figures]],
    targets: Callable[[Job], float | None],
    more: Sequence[str] = (),
    cells: Callable[[Job], Sequence[str]] = lambda job: (),
) -> list[str]:
    """Figures of each job, and the ratio to ours at the same threads: CPU with one thread, wall with more."""
    head = (*HEAD, *RATIO, *more)
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    per_text: dict[Job, float] = {}
    for job, runs in results.items():
        good = [r for r in runs if not r.error]
        if not good:
            reason = "not installed" if missing(job.engine) else (runs[0].error if runs else "not run")
            lines.append(row(job.engine, job.threads, f"{job.rows:,}", reason, *[""] * (len(head) - 4)))
            continue
        cpu, wall = [r.cpu for r in good], [r.wall for r in good]
        per_text[job] = min(cpu if job.threads == 1 else wall) / job.rows
        same = (j for j in per_text if j.engine == "kinprint" and j.threads == job.threads)
        # Tables with several sizes compare within a size; a slow peer's fewer rows compare by the text.
        own = sorted(same, key=lambda j: abs(j.rows - job.rows))
        ratio = f"{per_text[job] / per_text[own[0]]:.1f}" if own and job.engine != "kinprint" else ""
        target = targets(job)
        lines.append(
            row(
                job.engine,
                job.threads,
                f"{job.rows:,}",
                f"{min(cpu):.3f}",
                f"{statistics.median(cpu):.3f}",
                f"{min(wall):.3f}",
                f"{statistics.median(wall):.3f}",
                f"{per_text[job] * 1e6:.2f}",
                f"{max(r.peak for r in good):,.0f}",
                f"{max(r.rise for r in good):,.0f}",
                ratio,
                "" if target is None else f"{target:g}",
                *cells(job),
            )
        )
    return lines


def fixed(**targets: float) -> Callable[[Job], float | None]:
    """The same target for every number of threads."""
    return lambda job: targets.get(job.engine)


def sketch_table(
    bench: Bench, name: str, engines: dict[str, Make], column: str, slow: Sequence[str], **targets: float
) -> list[str]:
    """Text to sketch, on the largest corpus; slow peers on fewer rows."""
    corpus, least = bench.corpora[-1], bench.corpora[0].rows
    jobs = [
        Job(name, engine, threads, least if engine in slow else corpus.rows, str(corpus.path), column)
        for threads in bench.threads
        for engine in engines
    ]
    return table(bench.run(jobs), fixed(**targets))


def table_a(bench: Bench) -> list[str]:
    """Text as it is to sketch."""
    return [
        "## a. Text to sketch, word 3-shingles, the text as it is",
        "",
        "128 slots. Kinprint folds the text (NFKC_Casefold) and separates words by Unicode class; Daft takes it as it",
        "is and separates at spaces.",
        "",
        *sketch_table(bench, "a", WORD_ENGINES, "text", (), daft=6),
    ]


def table_b(bench: Bench) -> list[str]:
    """Normalised text to sketch."""
    return [
        "## b. Text to sketch, word 3-shingles, the text normalised already",
        "",
        "Lower case, letters and digits, single spaces: all engines see the same words. rensa and datasketch take",
        "shingles, which Python cuts; gaoya sketches as it inserts into an index of one band.",
        "",
        *sketch_table(
            bench, "b", NORMALISED_ENGINES, "plain", ("datasketch",), daft=12, gaoya=25, rensa=45, datasketch=200
        ),
    ]


def table_c(bench: Bench) -> list[str]:
    """Normalised text to sketch by characters."""
    return [
        "## c. Text to sketch, code-point 5-shingles, the text normalised already",
        "",
        *sketch_table(bench, "c", CHAR_ENGINES, "plain", ("gaoya", "rensa"), gaoya=100, rensa=140),
    ]


def table_d(bench: Bench) -> list[str]:
    """Hashes to sketch, and accuracy."""
    corpus = bench.corpora[-1]
    jobs = [
        Job("d", engine, threads, corpus.rows, str(corpus.path), sets=str(corpus.sets()))
        for threads in bench.threads
        for engine in HASH_ENGINES
    ]
    results = bench.run(jobs)
    lines = [
        "## d. Hashes of shingles to sketch",
        "",
        "The same two arrays, hashes and where the sets begin, for both.",
        "",
        *table(results, fixed(rensa=2)),
        "",
        f"Error of the estimated Jaccard on {TRIALS:,} pairs of random sets; theory: sqrt(J (1 - J) / {SLOTS}).",
        "",
        row("set size", "Jaccard", "theory", *(f"{e} {what}" for e in HASH_ENGINES for what in ("bias", "RMSE"))),
        row(*["---:"] * (3 + 2 * len(HASH_ENGINES))),
    ]
    more = {job.engine: runs[0].more for job, runs in results.items() if runs and runs[0].more and not runs[0].error}
    for size, similarity in ACCURACY:
        _, truth = overlap_of(size, similarity)
        cells = [
            f"{more[e][f'{size} {similarity} {what}']:{'+' if what == 'bias' else ''}.4f}" if e in more else ""
            for e in HASH_ENGINES
            for what in ("bias", "rmse")
        ]
        lines.append(row(f"{size:,}", f"{truth:.3f}", f"{math.sqrt(truth * (1 - truth) / SLOTS):.4f}", *cells))
    return lines


PAIR_TARGETS = {1: {"daft": 6, "rensa": 15, "gaoya": 20}, 2: {"daft": 10, "rensa": 25, "gaoya": 18}}


def quality(bench: Bench, job: Job) -> tuple[str, ...]:
    """(pairs, recall, precision) of what a job left."""
    corpus = next(c for c in bench.corpora if c.rows == job.rows)
    found, truth = np.load(job.out), corpus.truth(DEFINITION[job.engine])
    hits = int(np.isin(found, truth).sum())
    return f"{len(found):,}", f"{hits / max(len(truth), 1):.4f}", f"{hits / max(len(found), 1):.4f}"


def pair_jobs(bench: Bench, name: str, engines: Iterable[str], corpora: Iterable[Corpus]) -> list[Job]:
    """Jobs that leave pairs."""
    return [
        Job(
            name, engine, threads, corpus.rows, str(corpus.path),
            out=str(bench.folder / f"pairs-{name}-{engine}-{threads}-{corpus.rows}.npy"),
        )
        for corpus in corpora
        for threads in bench.threads
        for engine in engines
    ]  # fmt: skip


def table_e(bench: Bench) -> list[str]:
    """Text to pairs."""
    results = bench.run(pair_jobs(bench, "e", PAIR_ENGINES, bench.corpora))
    return [
        f"## e. Text to near-duplicate pairs, Jaccard >= {THRESHOLD}",
        "",
        f"The text as it is; sketches, {BANDS} bands of {BAND_ROWS}, pairs. Kinprint also verifies every pair exactly,",
        "and its figures include that; the peers do not (Daft, rensa: candidates; gaoya: filtered by the estimate).",
        "",
        *table(
            results,
            lambda job: PAIR_TARGETS.get(job.threads, {}).get(job.engine),
            ("pairs", "recall", "precision"),
            lambda job: quality(bench, job),
        ),
    ]


def table_f(bench: Bench) -> list[str]:
    """Exact join beside an approximate one."""
    results = bench.run(pair_jobs(bench, "f", EXACT_ENGINES, bench.corpora[-1:]))
    return [
        f"## f. Exact join, Jaccard >= {THRESHOLD}, beside rensa's approximate one",
        "",
        "Kinprint estimates nothing and should miss nothing; wanted are a peak of 1,200 MB at most, a recall of .999",
        "and a precision of 1.",
        "",
        *table(results, fixed(rensa=4), ("pairs", "recall", "precision"), lambda job: quality(bench, job)),
    ]


def table_g(bench: Bench) -> list[str]:
    """Shared spans."""
    corpus, largest = bench.corpora[0], bench.corpora[-1]
    jobs = [Job("g", engine, 1, corpus.rows, str(corpus.path)) for engine in ("kinprint", "suffix array")]
    results = bench.run(jobs)
    found = results if largest is corpus else bench.run([Job("g", "kinprint", 1, largest.rows, str(largest.path))])
    recalls = [f"{r.more['recall']:.4f}" for r in next(iter(found.values())) if not r.error]
    return [
        f"## g. Spans of {SPAN} words that two texts share",
        "",
        "Building the index of seeds, beside a suffix array with its longest common prefixes (divsufsort, Kasai) of",
        "the same bytes.",
        "",
        *table(results, lambda job: 20 if job.engine == "suffix array" else None),
        "",
        f"Recall of the {int(largest.rows * PARTIAL):,} planted copies among {largest.rows:,} texts: "
        f"{recalls[0] if recalls else 'failed'}; .995 is wanted.",
    ]


TABLES: dict[str, Callable[[Bench], list[str]]] = {
    "a": table_a,
    "b": table_b,
    "c": table_c,
    "d": table_d,
    "e": table_e,
    "f": table_f,
    "g": table_g,
}


def machine() -> list[str]:
    """What this was measured on."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = []
    for name in ("kinprint", "numpy", "numba", "polars", "pyarrow", *PEERS):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name}: not installed")
    cores = len(os.sched_getaffinity(0))
    return [
        f"{cores} cores, {model}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()};",
        ", ".join(versions) + ".",
    ]


def prepare(responses: Sequence[str], rows: int, seed: int, folder: Path) -> Corpus:
    """Write the texts of one size."""
    say(f"{rows:,} texts")
    frame = make_corpus(responses, rows, seed)
    plain = pl.Series("plain", [plain_words(t) for t in frame["text"]])
    path = folder / f"texts-{rows}.parquet"
    # In one piece, as a frame in memory mostly is.
    frame.with_columns(plain).rechunk().write_parquet(path)
    return Corpus(rows, path, folder)


def numbers(text: str) -> list[int]:
    """Numbers with commas or spaces between them."""
    return [int(part) for part in re.split(r"[,\s]+", text.strip())]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a Parquet file of transcripts")
    parser.add_argument("--rows", type=numbers, nargs="+", default=[[20_000, 120_000]], help="sizes, ascending")
    parser.add_argument("--threads", type=numbers, nargs="+", default=[[1, 2]])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tables", default="".join(TABLES), help="some of the letters %(default)s")
    parser.add_argument("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    sizes = sorted(chain.from_iterable(arguments.rows))
    absent = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if absent:
        say(f"not installed, so left out: {', '.join(absent)}; `pip install --group bench` installs the peers")
    column = pl.read_parquet(arguments.data, columns=["response"])["response"].drop_nulls()
    responses = column.unique(maintain_order=True).to_list()
    if os.getloadavg()[0] > 0.5:
        say("others are at work on this machine: wall times with several threads will be theirs as well")
    folder = Path(tempfile.mkdtemp(prefix="kinprint-bench-"))
    try:
        corpora = [prepare(responses, rows, arguments.seed, folder) for rows in sizes]
        del column, responses
        bench = Bench(corpora, list(chain.from_iterable(arguments.threads)), arguments.repeat, folder)
        report = [
            "# Near-duplicate kernels beside their peers",
            "",
            "Written by `benchmarks/copy_channel.py`, which says how it measures; real transcripts.",
            *machine(),
            "",
            f"Runs of each, taken in turns: {arguments.repeat}. The ratio is of the least times, CPU with one thread",
            "and wall with more, for one text. Peak is the process's resident memory, rise what it gained after the",
            "texts were loaded.",
        ]
        if absent:
            report += ["", f"Not installed: {', '.join(absent)} (`pip install --group bench`)."]
        for letter, make in TABLES.items():
            if letter in arguments.tables:
                report += ["", *make(bench)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = "\n".join(report) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(asdict(child(Job(**json.loads(sys.argv[2]))))))
        sys.exit(0)
    sys.exit(main())
