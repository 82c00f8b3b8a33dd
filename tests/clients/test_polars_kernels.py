"""Kernels as Polars expressions and frames: against the kernels themselves, and against definitions in plain Python."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import kinprint.polars as kp
import numpy as np
import polars as pl
import pytest
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import shingle
from kinprint.kernels.copy import sketch as sketching
from kinprint.kernels.reference import shingle as reference
from polars.io.plugins import register_io_source
from polars.testing import assert_frame_equal, assert_series_equal

ROOT = Path(__file__).parents[2]

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "the QUICK brown fox\n jumps over the lazy dog.",
    "你好世界你好世界, e\u0301té",
    None,
    " \u200d\n",
    "",
    "x",
    "Grüße aus dem Süden, und ein paar Wörter mehr, damit es Schindeln gibt.",
    None,
    "🙂🙂🙂🙂🙂🙂",
]
COLUMN = pl.Series("response", TEXTS, dtype=pl.String)


def values(expression: pl.Expr, frame: pl.DataFrame | pl.LazyFrame) -> list[Any]:
    return frame.lazy().select(expression.alias("out")).collect().to_series().to_list()


# ---- expressions ----


@pytest.mark.parametrize("shingles", shingle.SHINGLINGS)
@pytest.mark.parametrize("bits", kp.SKETCH_BITS)
def test_sketches_are_those_of_the_kernels(bits: int, shingles: shingle.Shingling) -> None:
    texts = Texts.from_offsets(*from_texts([text or "" for text in TEXTS]))
    rows = sketching.sketch_texts(texts, shingles).signatures
    data = rows if bits == 32 else sketching.pack(rows, bits, shingles).data
    expected = [None if text is None else data[i].tobytes() for i, text in enumerate(TEXTS)]
    frame = COLUMN.to_frame()
    assert values(pl.col("response").kinprint.sketch(bits, shingles), frame) == expected
    assert values(kp.sketch("response", bits=bits, shingles=shingles), frame) == expected
    made = COLUMN.kinprint.sketch(bits=bits, shingles=shingles)
    assert made.dtype == pl.Binary
    assert made.name == "response"
    assert made.to_list() == expected
    assert {len(value) for value in expected if value is not None} == {16 * bits}
    assert expected[4] == expected[5] == b"\xff" * 16 * bits, "a blank text has a sketch"


def test_the_scheme_goes_along() -> None:
    assert kp.scheme() == str(sketching.Scheme())
    packed = sketching.pack(np.zeros((1, 128), np.uint32), 8, "c5")
    assert kp.scheme(8, "c5") == str(packed.scheme)
    assert sketching.Scheme.parse(kp.scheme(bits=2)).bits == 2


def test_hashes_are_those_that_a_server_stores() -> None:
    from kinprint.server.corpus.normalise import Submission, normalise

    rows = [Submission(text) for text in TEXTS if text is not None]
    stored = normalise("c", rows, Counter()).frame["text_hash"]
    frame = COLUMN.to_frame()
    made = frame.select(kp.content_hash("response")).to_series()
    assert made.dtype == pl.Binary
    assert made.filter(COLUMN.is_not_null()).to_list() == stored.to_list()
    assert [i for i, value in enumerate(made.to_list()) if value is None] == [3, 4, 5, 8]
    first, second = reference.text_hash(TEXTS[0] or "")
    assert made[0] == made[1] == first.to_bytes(8, "little") + second.to_bytes(8, "little")
    assert_series_equal(COLUMN.kinprint.content_hash(), made)


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("shingles", shingle.SHINGLINGS)
def test_shingle_counts_are_those_of_the_reference(shingles: shingle.Shingling, distinct: bool) -> None:
    column = pl.Series("response", [*TEXTS, "one two three one two three one two three"])
    cut = reference.shingles if shingles == "w3c5" else reference.code_point_shingles
    lists = [None if text is None else cut(text)[0] for text in column.to_list()]
    expected = [None if found is None else len(set(found) if distinct else found) for found in lists]
    made = column.to_frame().select(kp.shingle_count("response", distinct=distinct, shingles=shingles)).to_series()
    assert made.dtype == pl.Int64
    assert made.to_list() == expected
    assert_series_equal(column.kinprint.shingle_count(distinct, shingles), made)


@pytest.mark.parametrize("bits", kp.SKETCH_BITS)
def test_similarity_is_that_of_the_kernels(bits: int) -> None:
    sketches = COLUMN.to_frame().select(kp.sketch("response", bits=bits)).to_series()
    known = COLUMN.is_not_null().to_list()
    rows = np.array([list(value) for value in sketches.drop_nulls()], np.uint8)
    if bits == 32:
        expected = sketching.similarity(rows.view(np.uint32)[0], rows.view(np.uint32))
    else:
        scheme = sketching.Scheme(bits=bits)
        expected = sketching.packed_similarity(sketching.Packed(rows[:1], scheme), sketching.Packed(rows, scheme))
    made = sketches.to_frame().select(kp.similarity("response", sketches[0])).to_series()
    assert made.dtype == pl.Float32
    assert made.filter(known).to_list() == expected.tolist()
    assert made.is_not_null().to_list() == known
    assert made[0] == made[1] == 1.0
    assert made[4] == 0.0
    assert_series_equal(sketches.kinprint.similarity(sketches[0]), made)


EXPRESSIONS: dict[str, Callable[[str | pl.Expr], pl.Expr]] = {
    "sketch": kp.sketch,
    "packed": lambda text: kp.sketch(text, bits=4),
    "content_hash": kp.content_hash,
    "shingle_count": kp.shingle_count,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_contexts(name: str) -> None:
    expression = EXPRESSIONS[name]("response")
    frame = pl.DataFrame({"group": ["a", "b"] * 5, "response": COLUMN})
    expected = values(expression, frame)
    dtype = frame.lazy().select(expression).collect_schema()["response"]
    assert dtype == frame.select(expression).schema["response"]

    in_chunks = pl.concat([frame[:3], frame[3:3], frame[3:4], frame[4:]], rechunk=False)
    assert in_chunks.n_chunks() > 1
    assert values(expression, in_chunks) == expected
    assert values(expression, frame[2:9]) == expected[2:9], "a slice is read from where it begins"
    streamed = in_chunks.lazy().select(expression).collect(engine="streaming")
    assert streamed.to_series().to_list() == expected
    assert values(expression, frame.lazy().filter(pl.col("group") == "b")) == expected[1::2]

    grouped = frame.group_by("group", maintain_order=True).agg(expression)
    assert grouped["response"].to_list() == [expected[0::2], expected[1::2]]
    grouped = frame.lazy().group_by("group").agg(expression.first()).sort("group").collect(engine="streaming")
    assert grouped["response"].to_list() == expected[:2]
    over = frame.select(expression.last().over("group"))
    assert over.to_series().to_list() == expected[-2:] * 5
    nested = frame.select(pl.col("response").implode().list.eval(EXPRESSIONS[name](pl.element())))
    assert nested.to_series().to_list() == [expected]

    nulls = pl.DataFrame({"response": [None, None]})
    assert frame.clear().select(expression).schema == {"response": dtype}
    assert nulls.select(expression).to_series().to_list() == [None, None]
    assert nulls.select(expression).schema == {"response": dtype}


def test_literals_and_expressions() -> None:
    frame = pl.DataFrame({"a": ["one two", "x"], "b": ["three", "y z"]})
    assert values(kp.shingle_count(pl.lit("one two three four")), frame) == [2]
    joined = kp.shingle_count(pl.concat_str("a", "b", separator=" "))
    assert frame.with_columns(n=kp.shingle_count(pl.lit("one two three four")), m=joined).rows() == [
        ("one two", "three", 2, 1),
        ("x", "y z", 2, 1),
    ]


def test_more_rows_than_are_worked_on_at_once() -> None:
    n = 150_000
    frame = pl.LazyFrame({"i": np.arange(n)}).select(
        response=pl.when(pl.col("i") % 1000 != 7).then(pl.format("text {} of many", pl.col("i") % 5000))
    )
    made = frame.select(kp.content_hash("response"), n=kp.shingle_count("response")).collect()
    assert made["n"].null_count() == made["response"].null_count() == n // 1000
    assert made["response"].n_unique() == 5000 - 5 + 1
    assert made["response"].head(5000).equals(made["response"].tail(5000))
    assert frame.select(kp.content_hash("response")).collect(engine="streaming").equals(made.select("response"))


def test_from_many_threads_at_once() -> None:
    frame = pl.DataFrame({"response": [f"some text {i} and a few words more" for i in range(3000)]})
    lazy = [frame.lazy().select(expression("response").alias(name)) for name, expression in EXPRESSIONS.items()]
    expected = [one.collect() for one in lazy]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for made, wanted in zip(pool.map(pl.LazyFrame.collect, lazy), expected, strict=True):
                assert_frame_equal(made, wanted)
    for made, wanted in zip(pl.collect_all(lazy, engine="streaming"), expected, strict=True):
        assert_frame_equal(made, wanted)
    together = frame.lazy().select(expression("response").alias(name) for name, expression in EXPRESSIONS.items())
    assert_frame_equal(together.collect(), pl.concat(expected, how="horizontal"))


def test_what_cannot_be_fingerprinted() -> None:
    with pytest.raises(ValueError, match="bits must be one of 32, 1, 2, 4, 8, 16, not 3"):
        kp.sketch("response", bits=3)
    for make in (kp.sketch, kp.shingle_count, lambda text, shingles: kp.scheme(shingles=shingles)):
        with pytest.raises(ValueError, match="shingles must be one of w3c5, c5, not 'w2'"):
            make("response", shingles="w2")
    with pytest.raises(ValueError, match="a sketch has 16, 32, 64, 128, 256, 512 bytes, not 3"):
        kp.similarity("response", b"abc")
    numbers = pl.DataFrame({"n": [1, 2]})
    for expression in (kp.sketch("n"), kp.content_hash("n"), kp.shingle_count("n")):
        with pytest.raises(ValueError, match="column 'n' is Int64, not String"):
            numbers.select(expression)
        with pytest.raises(ValueError, match="column 'n' is Int64, not String"):
            numbers.lazy().select(expression).collect(engine="streaming")
    with pytest.raises(ValueError, match="column 'n' is Int64, not Binary"):
        numbers.select(kp.similarity("n", bytes(512)))
    with pytest.raises(ValueError, match="sketches of 512 and of 16 bytes cannot be compared"):
        pl.DataFrame({"s": [bytes(16)]}).select(kp.similarity("s", bytes(512)))


# ---- near-duplicates, by definition ----


def made_up(seed: int, rows: int = 60) -> list[str | None]:
    """Texts of which many are like others, some the same up to case, some blank and some null."""
    rng = random.Random(seed)
    words = [f"w{k}" for k in range(400)]
    out: list[str | None] = []
    for _ in range(rows):
        choice = rng.random()
        known = [text for text in out if text and text.strip()]
        if choice < 0.1:
            out.append(rng.choice([None, "", " \n", "\u200d"]))
        elif choice < 0.35 or not known:
            out.append(" ".join(rng.choices(words, k=rng.randint(1, 60))))
        elif choice < 0.55:
            out.append(rng.choice(["{}", " {}\n", "{} "]).format(rng.choice(known).upper()))
        else:
            some = rng.choice(known).split()
            for _ in range(rng.randint(1, 6)):
                some[rng.randrange(len(some))] = rng.choice(words)
            out.append(" ".join(some[: rng.randint(max(1, len(some) - 8), len(some))]))
    return out


Pair = tuple[Any, Any, float, float, float]


def sets_and_hashes(texts: list[str | None], shingles: str) -> tuple[list[set[int]], list[tuple[int, int]]]:
    cut = reference.shingles if shingles == "w3c5" else reference.code_point_shingles
    return [set(cut(text or "")[0]) for text in texts], [reference.text_hash(text or "") for text in texts]


def by_definition(
    texts: list[str | None], ids: list[Any], threshold: float, expand: bool, shingles: str = "w3c5"
) -> set[Pair]:
    """All pairs, from all pairs of sets."""
    sets, hashes = sets_and_hashes(texts, shingles)
    order = sorted((i for i in range(len(texts)) if sets[i]), key=lambda i: ids[i])
    first: dict[tuple[int, int], int] = {}
    for i in order:
        first.setdefault(hashes[i], i)
    found = set()
    for i, j in combinations(order, 2):
        same = hashes[i] == hashes[j]
        both_first = first[hashes[i]] == i and first[hashes[j]] == j
        if not (expand or (first[hashes[i]] == i if same else both_first)):
            continue
        shared = len(sets[i] & sets[j])
        jaccard = shared / len(sets[i] | sets[j])
        if jaccard >= threshold:
            found.add((ids[i], ids[j], jaccard, shared / len(sets[i]), shared / len(sets[j])))
    return found


def smallest_of_cluster(ids: list[Any], pairs: set[Pair]) -> dict[Any, Any]:
    cluster = {one: one for one in ids}
    changed = True
    while changed:
        changed = False
        for a, b, *_ in pairs:
            least = min(cluster[a], cluster[b])
            changed |= cluster[a] != least or cluster[b] != least
            cluster[a] = cluster[b] = least
    return cluster


def id_columns(n: int) -> dict[str, list[Any]]:
    shuffled = random.Random(n).sample(range(10 * n), n)
    return {
        "ascending": list(range(n)),
        "integers": [number - 5 * n for number in shuffled],
        "text": [f"{'aZé你😀'[number % 5]}-{number}-and-more-than-twelve-bytes" for number in shuffled],
        "bytes": [number.to_bytes(3, "little") for number in shuffled],
    }


def both(frame: pl.DataFrame) -> Iterator[pl.DataFrame | pl.LazyFrame]:
    """A frame in memory and one that is read in batches."""
    yield frame
    yield pl.concat([frame[:7].lazy(), frame[7:].lazy()])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [None, "ascending", "integers", "text", "bytes"])
@pytest.mark.parametrize("expand", [False, True])
def test_pairs_by_definition(seed: int, kind: str | None, expand: bool) -> None:
    texts = made_up(seed)
    ids = id_columns(len(texts))[kind or "ascending"]
    threshold = (0.3, 0.5, 0.7, 1.0)[seed]
    expected = by_definition(texts, ids, threshold, expand)
    assert len(expected) > 5
    data: dict[str, Any] = {"response": texts} if kind is None else {"response": texts, "id": ids}
    for frame in both(pl.DataFrame(data)):
        for exact in (True, False):
            options: dict[str, Any] = {"threshold": threshold, "exact": exact, "expand": expand}
            made = kp.dedup(frame, id=None if kind is None else "id", **options).lazy().collect()
            assert made.columns == ["id_a", "id_b", "jaccard", "containment_a", "containment_b"]
            rows = set(made.rows())
            assert len(rows) == made.height, "each pair once"
            if exact:
                assert rows == expected
            else:
                assert rows <= expected
                assert {pair for pair in expected - rows if pair[2] > threshold + 0.1} == set()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [None, "integers", "text", "bytes"])
def test_clusters_and_what_is_kept_by_definition(seed: int, kind: str | None) -> None:
    texts = made_up(seed)
    ids = id_columns(len(texts))[kind or "ascending"]
    threshold = (0.3, 0.5, 0.7, 1.0)[seed]
    cluster = smallest_of_cluster(ids, by_definition(texts, ids, threshold, True))
    assert 5 < len(set(cluster.values())) < len(texts) - 5
    data = pl.DataFrame({"response": texts, "id": ids, "number": range(len(texts))})
    for frame in both(data):
        named: dict[str, Any] = {"id": None if kind is None else "id", "threshold": threshold, "exact": True}
        made = kp.dedup(frame, output="clusters", **named).lazy().collect()
        assert made.columns == ["id", "cluster", "is_representative"]
        assert made.rows() == [(one, cluster[one], cluster[one] == one) for one in ids]
        kept = kp.dedup(frame, output="keep", link="component", **named).lazy().collect()
        assert_frame_equal(kept, data.filter([cluster[one] == one for one in ids]))
        by_sketches = kp.dedup(frame, output="clusters", **{**named, "exact": False}).lazy().collect()
        assert_frame_equal(by_sketches, made)  # of these texts, sketches miss no pair that matters


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("expand", [False, True])
def test_pairs_against_another_frame(exact: bool, expand: bool) -> None:
    texts = made_up(11, 80)
    mine, theirs = texts[::2], texts[1::2]
    my_ids, their_ids = id_columns(40)["text"], id_columns(40)["text"][::-1]
    expected = set()
    (sets_a, hashes_a), (sets_b, hashes_b) = sets_and_hashes(mine, "w3c5"), sets_and_hashes(theirs, "w3c5")

    def firsts(ids: list[str], hashes: list[tuple[int, int]]) -> set[int]:
        smallest = {h: min(ids[k] for k in range(40) if hashes[k] == h) for h in hashes}
        return {k for k in range(40) if expand or ids[k] == smallest[hashes[k]]}

    for i, j in product(firsts(my_ids, hashes_a), firsts(their_ids, hashes_b)):
        shared = len(sets_a[i] & sets_b[j])
        if shared and shared / len(sets_a[i] | sets_b[j]) >= 0.5:
            jaccard = shared / len(sets_a[i] | sets_b[j])
            expected.add((my_ids[i], their_ids[j], jaccard, shared / len(sets_a[i]), shared / len(sets_b[j])))
    assert len(expected) > 5
    left, right = (pl.DataFrame({"response": some, "id": ids}) for some, ids in ((mine, my_ids), (theirs, their_ids)))
    for frame, other in product(both(left), both(right)):
        made = kp.dedup(frame, id="id", threshold=0.5, exact=exact, expand=expand, against=other).lazy().collect()
        assert len(set(made.rows())) == made.height
        assert set(made.rows()) == expected
    numbered = kp.dedup(left, threshold=0.5, exact=exact, expand=expand, against=right)
    assert numbered.schema["id_b"] == pl.Int64
    assert numbered["id_a"].is_in(range(40)).all()
    assert numbered["id_b"].is_in(range(40)).all()


def test_pairs_of_code_point_shingles() -> None:
    texts = made_up(3)
    expected = by_definition(texts, list(range(60)), 0.6, False, "c5")
    made = kp.dedup(pl.DataFrame({"response": texts}), threshold=0.6, exact=True, shingles="c5")
    assert set(made.rows()) == expected


def test_without_rows() -> None:
    empty = pl.DataFrame(schema={"id": pl.String, "response": pl.String})
    for frame in (empty, empty.lazy()):
        for exact in (True, False):
            for output, schema in (
                ("pairs", {"id_a": pl.String, "id_b": pl.String, **dict.fromkeys(SHARES, pl.Float64)}),
                ("clusters", {"id": pl.String, "cluster": pl.String, "is_representative": pl.Boolean}),
                ("keep", dict(empty.schema)),
            ):
                made = kp.dedup(frame, id="id", output=output, exact=exact)
                assert made.lazy().collect_schema() == schema
                assert made.lazy().collect().schema == schema
                assert made.lazy().collect().height == 0
        assert kp.dedup(frame, id="id", against=empty).lazy().collect().height == 0
    nothing = pl.DataFrame({"response": [None, None]})
    for frame in (nothing, nothing.lazy()):
        assert kp.dedup(frame, output="keep").lazy().collect().equals(nothing)
        assert kp.dedup(frame).lazy().collect().height == 0


SHARES = ("jaccard", "containment_a", "containment_b")

# ---- near-duplicates, as a LazyFrame ----

SOME = pl.DataFrame({"id": [f"row-{i:03}" for i in range(60)], "response": made_up(5), "number": range(60)})


def namespaced(frame: pl.DataFrame | pl.LazyFrame, *args: Any, **options: Any) -> Any:
    return frame.kinprint.dedup(*args, **options)


def test_the_namespaces() -> None:
    expected = kp.dedup(SOME, id="id", threshold=0.5)
    assert expected.height > 5
    assert_frame_equal(namespaced(SOME, "response", "id", threshold=0.5), expected)
    lazy = namespaced(SOME.lazy(), "response", "id", threshold=0.5)
    assert isinstance(lazy, pl.LazyFrame)
    assert "kinprint.dedup pairs" in lazy.explain()
    assert_frame_equal(lazy.collect(), expected)
    with pytest.raises(ValueError, match="no column 'response'"):
        namespaced(SOME.select("id"))


def test_a_lazy_result_is_like_any_other(tmp_path: Path) -> None:
    pairs = kp.dedup(SOME.lazy(), id="id", threshold=0.5)
    kept = kp.dedup(SOME.lazy(), id="id", threshold=0.5, output="keep")
    all_pairs, all_kept = pairs.collect(), kept.collect()
    for engine in ("in-memory", "streaming"):
        same = pl.col("jaccard") == 1.0

        def collected(frame: pl.LazyFrame, engine: Any = engine) -> pl.DataFrame:
            return frame.collect(engine=engine)

        assert_frame_equal(collected(pairs.filter(same)), all_pairs.filter(same))
        assert_frame_equal(collected(pairs.select("id_b", "id_a")), all_pairs.select("id_b", "id_a"))
        assert_frame_equal(collected(pairs.filter(same).select("id_b")), all_pairs.filter(same).select("id_b"))
        assert_frame_equal(collected(pairs.head(3)), all_pairs.head(3))
        assert_frame_equal(collected(pairs.slice(2, 3)), all_pairs.slice(2, 3))
        assert_frame_equal(collected(pairs.filter(same).head(2)), all_pairs.filter(same).head(2))
        assert collected(pairs.select(pl.len())).item() == all_pairs.height
        assert collected(kept.with_row_index().select("index")).height == all_kept.height
        assert_frame_equal(collected(kept.select("number")), all_kept.select("number"))
        odd = pl.col("number") % 2 == 1
        assert_frame_equal(collected(kept.filter(odd).select("id")), all_kept.filter(odd).select("id"))
        named = pairs.join(SOME.lazy().select(id_a="id", number="number"), on="id_a", maintain_order="left")
        assert collected(named)["number"].to_list() == [int(one[4:]) for one in all_pairs["id_a"]]
        assert collected(pl.concat([pairs, pairs])).height == 2 * all_pairs.height
    pairs.sink_parquet(tmp_path / "pairs.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "pairs.parquet"), all_pairs)


def test_a_source_is_read_once_and_nothing_before_it_is_asked_for() -> None:
    asked = []

    def source(*_: Any) -> Iterator[pl.DataFrame]:
        asked.append(1)
        yield SOME[:30]
        yield SOME[30:].sample(fraction=1.0, shuffle=True)

    frame = register_io_source(source, schema=SOME.schema)
    for output in ("pairs", "clusters", "keep"):
        made = kp.dedup(frame, id="id", output=output)
        assert asked == []
        kept = made.collect()
        assert asked == [1]
        asked.clear()
    assert set(kept["id"]) == set(kp.dedup(SOME, id="id", output="keep")["id"])


def test_columns_of_every_type_are_kept() -> None:
    wide = pl.DataFrame(
        {
            "response": ["one two three four", "ONE two three four", None],
            "key": pl.Series([3, 1, 2], dtype=pl.UInt128),
            "wide": pl.Series([-(2**100), None, 7], dtype=pl.Int128),
            "enum": pl.Series(["b", "a", None], dtype=pl.Enum(["b", "a"])),
            "category": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "list": [[1, 2], [], None],
            "struct": [{"a": "x", "b": [1.5]}, {"a": None, "b": None}, None],
            "array": pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int8, 2)),
            "decimal": [Decimal("1.25"), Decimal("2.5"), None],
            "day": [date(2026, 1, 1), date(2026, 1, 2), None],
            "span": [timedelta(1), timedelta(2), None],
            "bytes": [b"\x00", b"\xff", None],
            "^odd.*$": ["p", "q", None],
            "nothing": [None, None, None],
        }
    )
    for frame in (wide, wide.lazy()):
        made = kp.dedup(frame, id="key", output="keep").lazy().collect()
        assert_frame_equal(made, wide[1:])
        assert kp.dedup(frame, id="key").lazy().collect().rows() == [(1, 3, 1.0, 1.0, 1.0)]
    for column in ("enum", "category"):
        pairs = wide[:2].lazy().kinprint.dedup(id=column).collect()
        assert pairs.schema["id_a"] == pl.String
        assert len(pairs) == 1
        assert pairs["id_a"][0] < pairs["id_b"][0], "categories order as text"


def test_progress() -> None:
    told: list[kp.Run] = []
    made = kp.dedup(SOME.lazy(), id="id", threshold=0.5, progress=told.append).collect()
    assert [run.step for run in told[:2]] == ["reading", "sketching"]
    assert told[-1].pairs == made.height
    assert told[-1].rows == sum(bool(reference.shingles(text or "")[0]) for text in SOME["response"])
    assert 0.99 < told[-1].expected_recall < 1.0
    assert all(before.share <= after.share for before, after in pairwise(told))
    # What is called may use kernels itself.
    kp.dedup(SOME, progress=lambda _: SOME.lazy().select(kp.sketch("response")).collect(engine="streaming"))


# ---- what is wrong ----


def test_arguments_that_are_wrong() -> None:
    for frame in (SOME, SOME.lazy()):
        for options, message in (
            ({"text": "answer"}, "the frame has no column 'answer'; it has id, response, number"),
            ({"id": "key"}, "the frame has no column 'key'; it has id, response, number"),
            ({"text": "number"}, "column 'number' of the frame is Int64, not String"),
            ({"threshold": 0.0}, r"threshold must be in \(0, 1\], not 0.0"),
            ({"threshold": 1.5}, r"threshold must be in \(0, 1\], not 1.5"),
            ({"output": "groups"}, "output must be one of pairs, clusters, keep, not 'groups'"),
            ({"shingles": "w2"}, "shingles must be one of w3c5, c5, not 'w2'"),
            ({"expand": True, "output": "keep"}, "expand= goes with output='pairs', not 'keep'"),
            ({"against": SOME, "output": "clusters"}, "against= goes with output='pairs', not 'clusters'"),
            ({"id": "id", "against": SOME.lazy().drop("id")}, "the frame in against= has no column 'id'"),
        ):
            with pytest.raises(ValueError, match=message):
                kp.dedup(frame, **options)
    with pytest.raises(ValueError, match="column 'half' of the frame is Float64: ids are text, bytes or integers"):
        kp.dedup(SOME.with_columns(half=0.5), id="half")


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_ids_that_are_wrong(engine: Any) -> None:
    for ids, message in (
        (["b", "a", "b"], "column 'id' has the id 'b' in rows 0 and 2"),
        ([5, 6, 6], "column 'id' has the id 6 in rows 1 and 2"),
        (["a", None, "b"], "column 'id' has no id in row 1"),
        ([None, None, None], "column 'id' has no id in row 0"),
    ):
        frame = pl.DataFrame({"id": ids, "response": ["x", "y", "z"]})
        with pytest.raises(ValueError, match=message):
            kp.dedup(frame, id="id")
        lazy = kp.dedup(frame.lazy(), id="id")
        with pytest.raises(ValueError, match=message):
            lazy.collect(engine=engine)
        with pytest.raises(ValueError, match=message):
            kp.dedup(SOME.select(pl.col("number").alias("id"), "response"), id="id", against=frame)


# ---- the spool ----


def spools(directory: Path) -> list[str]:
    """Files of a directory that this process holds, with or without a name."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    mapped = [line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    return [name for name in [*os.listdir(directory), *links, *mapped] if str(directory) in name]


needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at /proc")


@needs_proc
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("output", ["pairs", "clusters", "keep"])
def test_nothing_is_left_of_the_spool(output: Any, engine: Any, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(run: kp.Run) -> None:
        seen.append(len(spools(tmp_path)))
        assert os.listdir(tmp_path) == [], "the file has no name"

    made = kp.dedup(SOME.lazy(), id="id", output=output, spool_dir=tmp_path, progress=look)
    result = made.collect(engine=engine)
    assert max(seen) > 0
    assert spools(tmp_path) == [], "nothing of the result is in the spool"
    assert result.height > 0


@needs_proc
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_the_spool_after_an_error(error: type[BaseException], engine: Any, tmp_path: Path) -> None:
    def fail(run: kp.Run) -> None:
        if run.step == "sketching":
            assert spools(tmp_path)
            raise error("enough")

    with pytest.raises(error, match="enough"):
        kp.dedup(SOME.lazy(), spool_dir=tmp_path, progress=fail).collect(engine=engine)
    assert spools(tmp_path) == []


@needs_proc
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_nothing_is_left_of_the_spool_after_an_early_stop(engine: Any, tmp_path: Path) -> None:
    made = kp.dedup(SOME.lazy(), id="id", output="keep", spool_dir=tmp_path)
    assert made.head(1).collect(engine=engine).height == 1
    batches = made.collect_batches(chunk_size=1, lazy=True)
    assert next(iter(batches)).height > 0
    del batches
    deadline = time.monotonic() + 10
    while spools(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert spools(tmp_path) == []


def test_a_spool_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        kp.dedup(SOME.lazy(), spool_dir=tmp_path / "nowhere").collect()


# ---- processes ----


def run_python(code: str, *args: str, **environment: str) -> str:
    known = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=known, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neither_server_nor_grpc_is_imported() -> None:
    code = """
import sys
import kinprint.polars, polars as pl
frame = pl.DataFrame({"response": ["one two three four", "one two three four five"]})
frame.lazy().kinprint.dedup(threshold=0.5).collect()
print(*(name for name in sys.modules if name.startswith(("kinprint.server", "kinprint.client", "grpc"))))
"""
    assert run_python(code).split("\n") == ["", ""]


def test_one_thread_is_enough() -> None:
    code = """
import kinprint.polars, polars as pl
frame = pl.LazyFrame({"response": ["one two three four", "ONE two three four"] * 50})
for engine in "in-memory", "streaming":
    print(frame.kinprint.dedup(output="keep").with_columns(n=pl.col("response").kinprint.shingle_count())
          .collect(engine=engine).rows())
"""
    assert run_python(code, POLARS_MAX_THREADS="1") == "[('one two three four', 2)]\n" * 2


MEASURED = """
import json, sys, threading, time
import kinprint.polars, polars as pl

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.005)

path, folder = sys.argv[1:]
warm = pl.LazyFrame({"id": ["a", "b"], "response": ["one two three four", "one two three four five"]})
warm.kinprint.dedup(id="id", threshold=0.5).collect()
before = anonymous()
peak = [before]
threading.Thread(target=watch, daemon=True).start()
pairs = pl.scan_parquet(path).kinprint.dedup(id="id", spool_dir=folder)
pairs.sink_parquet(folder + "/pairs.parquet")
print(json.dumps(peak[0] - before))
"""


@needs_proc
@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """200,000 answers of 3 KB: 600 MB of text, which must not be in memory.

    What is measured is anonymous memory; the maximum that `getrusage` reports counts mapped pages of the spool too.
    """
    n, part = 200_000, 4000
    word = [(pl.col("i").hash(seed=k) % 50_000).cast(pl.String) for k in range(60)]
    text = pl.concat_str(word, separator=" ").repeat_by(10).list.join(" ")
    folder = tmp_path / "answers"
    folder.mkdir()
    for start in range(0, n, part):
        numbers = pl.DataFrame({"number": np.arange(start, start + part)})
        # Every tenth answer is the one before it, with something added.
        i = pl.when(pl.col("number") % 10 == 9).then(pl.col("number") - 1).otherwise(pl.col("number"))
        rows = numbers.with_columns(i=i).select(
            id=pl.format("answer-{}", pl.col("number").hash(seed=99)),
            response=pl.when(pl.col("i") == pl.col("number")).then(text).otherwise(text + pl.lit(" and more")),
        )
        rows.write_parquet(folder / f"{start:06}.parquet")
    size = pl.scan_parquet(folder).select(pl.col("response").str.len_bytes().sum()).collect().item()
    assert size > 600e6
    peak = json.loads(run_python(MEASURED, str(folder), str(tmp_path)))
    assert pl.read_parquet(tmp_path / "pairs.parquet").height >= n // 10
    assert peak < 400e6, f"{peak / n:.0f} bytes a row"


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "polars.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").symlink_to(ROOT / "sample")
    names: dict[str, Any] = {}
    exec(example, names)
    marked, kept = pl.read_parquet("marked.parquet"), pl.read_parquet("kept.parquet")
    assert marked["scheme"].unique().to_list() == [kp.scheme(bits=8)]
    assert marked["sketch"].bin.size().unique().to_list() == [128]
    assert 0 < names["pairs"].height < marked.height
    assert 0 < kept.height < marked.height


# ---- passages ----

QUOTED = "it was a bright cold day in april and the clocks were striking thirteen so they said to us"
PASSAGES = pl.DataFrame(
    {
        "key": ["a", "b", "c", "d", "e", "f"],
        "response": [
            f"First: {QUOTED}.",
            f"{QUOTED}; the end",
            " \n",
            None,
            f"He read “{QUOTED}” aloud.",
            "Nothing of it.",
        ],
        "model": ["x", "y", "x", "y", "z", None],
        "prompt": [None, "", None, None, f"Say: {QUOTED}", "x"],
        "prompt_id": [None, None, None, None, None, "p"],
    }
)
NAMED: dict[str, Any] = {"id": "key", "model": "model", "prompt": "prompt", "prompt_id": "prompt_id"}


def test_overlap_of_a_frame() -> None:
    told: list[kp.OverlapRun] = []
    made = PASSAGES.kinprint.overlap(every=True, progress=told.append, **NAMED)
    pairs = {(row["id_a"], row["id_b"]): row for row in made.to_dicts()}
    assert set(pairs) == {(a, b) for a in "abe" for b in "abe" if a != b}
    row = pairs["a", "b"]
    texts = dict(PASSAGES.select("key", "response").iter_rows())
    assert texts["a"][row["start_a"] : row["end_a"]] == texts["b"][row["start_b"] : row["end_b"]] == QUOTED
    assert (row["tokens"], row["length"], row["texts"], row["mark"]) == (19, len(QUOTED), 2, None)
    # Of a and b the others are e, which has it, and f.
    assert (row["others_with"], row["others"]) == (1, 2)
    assert row["bits"] == pytest.approx(1.0)
    assert pairs["a", "e"]["mark"] == pairs["e", "b"]["mark"] == "prompt"
    assert pairs["a", "e"]["bits"] == 0.0
    assert (told[-1].texts, told[-1].against, told[-1].background, told[-1].spans) == (4, 4, 0, 6)
    assert told[-1].step == "done"
    assert told[-1].held[0].in_memory


@pytest.mark.parametrize("memory", [1 << 30, 1])
def test_overlap_lazily_and_against_others(memory: int, tmp_path: Path) -> None:
    a, b, rest = PASSAGES[:1], PASSAGES[1:4], PASSAGES[4:].drop("key")
    eager = kp.overlap(a, b, background=rest, memory=memory, **NAMED)
    lazily = a.lazy().kinprint.overlap(b.lazy(), background=rest.lazy(), memory=memory, spool_dir=tmp_path, **NAMED)
    assert lazily.collect_schema() == eager.schema
    assert_frame_equal(lazily.collect(), eager)
    (row,) = eager.to_dicts()
    assert (row["id_a"], row["id_b"], row["others_with"], row["others"]) == ("a", "b", 1, 2)
    assert_frame_equal(lazily.select("bits", "id_b").collect(), eager.select("bits", "id_b"))
    # Without the background nobody else is known; row numbers are ids.
    (alone,) = kp.overlap(a, b, memory=memory).to_dicts()
    assert (alone["id_a"], alone["id_b"], alone["others"]) == (0, 0, 0)
    assert kp.overlap(a, b, min_bits=3.0).is_empty()
    assert kp.overlap(PASSAGES.clear(), b).is_empty()
    assert kp.overlap(a, PASSAGES[2:4]).is_empty()
    assert list(tmp_path.iterdir()) == []


def test_overlap_that_cannot_work_says_why() -> None:
    for options, message in (
        ({"min_tokens": 0}, "min_tokens must be at least 1"),
        ({"min_bits": float("nan")}, "min_bits must be a finite number"),
        ({"memory": 0}, "memory must be at least 1"),
        ({"model": "author"}, "the frame has no column 'author'"),
        ({"against": PASSAGES.drop("response")}, "against= has no column 'response'"),
        ({"background": PASSAGES.drop("response")}, "background= has no column 'response'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            kp.overlap(PASSAGES, **options)


def test_what_is_kept_goes_by_stars() -> None:
    chain = [" ".join(f"w{k}" for k in range(8 * i, 8 * i + 60)) for i in range(6)]
    frame = pl.DataFrame({"response": chain})
    told: list[kp.Run] = []
    kept = kp.dedup(frame, output="keep", progress=told.append)
    assert kept["response"].to_list() == chain[::2]
    assert (told[-1].clusters, told[-1].largest, told[-1].least_is_exact) == (3, 2, True)
    assert kp.dedup(frame, output="keep", link="component")["response"].to_list() == chain[:1]
    assert kp.dedup(frame, output="clusters")["cluster"].to_list() == [0] * 6
    stars = kp.dedup(frame.lazy(), output="clusters", link="star").collect()
    assert stars["cluster"].to_list() == [0, 0, 2, 2, 4, 4]
    with pytest.raises(ValueError, match="link must be component, star or None"):
        kp.dedup(frame, output="keep", link="chain")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="link= goes with"):
        kp.dedup(frame, link="star")
