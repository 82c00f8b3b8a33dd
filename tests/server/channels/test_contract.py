"""One contract for every channel: what it finds does not depend on how its chunks came about.

The same rows are held fresh, merged out of many pieces, saved and mapped, filled later than they were written, and
with rows that died before and after a merge; every channel must find, score and explain alike in all of them.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corpus_rows
import numpy as np
import polars as pl
import pytest
from corpus_rows import content_hashes, family, write
from kinprint.server.channels import CHANNELS, DEFAULT, EMBEDDED, FORMATS, schemes
from kinprint.server.channels.meaning import Meaning
from kinprint.server.channels.protocol import Cancelled, Comparison, Limits, Query
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import EVERYTHING, Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.corpus.view import View
from kinprint.server.embed import sentences_of
from kinprint.server.search.run import find
from kinprint.server.search.targets import targets
from kinprint.server.store.columns import text_buffers
from kinprint.server.store.record import SCHEMA
from kinprint.server.store.segment import merge_chunks, merge_segments
from kinprint.v1 import types_pb2
from numpy.typing import NDArray

ALL = tuple(CHANNELS)
#: How the same rows may come to be in an index.
WAYS = ("fresh", "in pieces", "filled later", "merged", "published", "published in turns", "reopened", "replayed")


def in_sentences(text: str) -> str:
    """A text of several sentences, cut every twelve words."""
    words = text.split()
    return " ".join(" ".join(words[k : k + 12]).capitalize() + "." for k in range(0, len(words), 12))


def rows_and_dead() -> tuple[list[Submission], list[str]]:
    """Rows of families of texts, some equal, some blank, and the ids of those that shall die."""
    chance = random.Random(3)
    texts = [*family(chance, 26, length=36), *family(chance, 8, length=24)]
    answers = [*map(in_sentences, texts), "word", "日本", "", " \n"]
    rows = [
        Submission(text, id=f"{n:03d}", language="en", model=chance.choice(["anna", "bert"]))
        for n, text in enumerate(answers)
    ]
    return rows, [row.id for row in rows[4::7]]


ROWS, DEAD = rows_and_dead()


def vectors(text: str) -> NDArray[np.float32]:
    """As a model would embed a text: a vector a sentence, which depends on that sentence alone."""
    return np.concatenate([corpus_rows.sentence_vectors(sentence, 1) for sentence in sentences_of(text)])


def embedded(corpus: Corpus, rows: Sequence[Submission]) -> None:
    """Embed those of the rows that are not blank."""
    hashes = dict(zip((r.id for r in rows), content_hashes(rows, corpus.name), strict=True))
    some = [row for row in rows if row.response.strip()]
    if some:
        made = [vectors(row.response) for row in some]
        starts = np.concatenate(([0], np.cumsum([len(v) for v in made]))).astype(np.int64)
        corpus.fill_embeddings(
            [r.id for r in some], [hashes[r.id] for r in some], np.concatenate(made), starts, corpus_rows.space()
        )


def made(folder: Path, way: str, dead: Sequence[str]) -> Corpus:
    """A corpus of ROWS without some, all channels filled."""
    corpus = Corpus.create(folder, "c", "")
    step = len(ROWS) if way == "fresh" else 9
    for start in range(0, len(ROWS), step):
        some = ROWS[start : start + step]
        write(corpus, some, () if way == "filled later" else DEFAULT)
        if way != "filled later":
            embedded(corpus, some)
        if way == "published in turns":
            corpus.publish()
    if way == "filled later":
        for first in (0, 1, 2):
            for channel in DEFAULT:
                write(corpus, ROWS[first::3], (channel,))
            embedded(corpus, ROWS[first::3])
    corpus.delete(dead)
    if way == "merged":
        parts = corpus.view.parts
        whole = merge_segments([p.segment for p in parts], [p.alive for p in parts], FORMATS)
        corpus.index.replace([dataclasses.replace(parts[0], segment=whole, alive=np.ones(len(whole), bool))])
    if way.startswith("published") or way == "reopened":
        corpus.publish()
    return Corpus.open(folder) if way in ("reopened", "replayed") else corpus


Views = dict[str, View]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Views:
    """ROWS in every way."""
    base = tmp_path_factory.mktemp("whole")
    return {way: made(base / way.replace(" ", "-"), way, ()).view for way in WAYS}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    """ROWS without DEAD in every way."""
    base = tmp_path_factory.mktemp("ways")
    return {way: made(base / way.replace(" ", "-"), way, DEAD).view for way in WAYS}


def queries() -> list[Query]:
    """Whole texts, a part of one, stored rows, and a text that is nowhere."""
    texts = [row.response for row in ROWS if row.response.strip()]
    asked = [*texts[::8], " ".join(texts[2].split()[5:25]), "never seen before at all"]
    made = [Query(text, "en") for text in asked]
    made += [Query(ROWS[n].response, "en", ("c", ROWS[n].id)) for n in (0, 8)]
    return [dataclasses.replace(q, sentences=corpus_rows.space().neutral(vectors(q.text))) for q in made]


def told(channel: str, query: Query, view: View, rows: Filter, limits: Limits) -> list[tuple[Any, ...]]:
    """Everything that a search says: ids, scores, texts, and evidence of the first."""
    matches = find(channel, query, [view], rows, limits).matches
    shown = [CHANNELS[channel].explain(query, match, 5) for match in matches[:4]]
    return [*((match.id, match.score, match.response) for match in matches), *shown]


def assert_alike(one: Any, other: Any) -> None:
    """Equal, but for the rounding of sums over batches of other sizes."""
    if dataclasses.is_dataclass(one):
        one, other = dataclasses.asdict(one), dataclasses.asdict(other)  # type: ignore[arg-type, call-overload]
    if isinstance(one, dict):
        one, other = list(one.items()), list(other.items())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for x, y in zip(one, other, strict=True):
            assert_alike(x, y)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-5)
    else:
        assert one == other


@pytest.mark.parametrize("way", [way for way in WAYS if way != "fresh"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_the_same_is_found_whichever_way_the_rows_came(whole: Views, views: Views, channel: str, way: str) -> None:
    sets = [whole, views]
    answers = 0
    for held in sets:
        for query in queries():
            for rows in (EVERYTHING, Filter(models=frozenset({"anna"}))):
                for limits in (Limits(3), Limits(1000, 0.3)):
                    expected = told(channel, query, held["fresh"], rows, limits)
                    assert_alike(told(channel, query, held[way], rows, limits), expected)
                    answers += len(expected)
    assert answers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_candidates_are_living_rows_that_have_the_channel(views: Views, channel: str, way: str) -> None:
    blank = {row.id for row in ROWS if not row.response.strip()}
    expected = {row.id for row in ROWS} - set(DEAD) - blank
    view = views[way]
    assert view.filled(channel) == len(expected) == view.fillable
    assert view.rows == len(ROWS) - len(DEAD)
    seen: set[str] = set()
    for query in queries():
        matches = find(channel, query, [view], EVERYTHING, Limits(1000)).matches
        ids = [match.id for match in matches]
        assert len(set(ids)) == len(ids)
        assert set(ids) <= expected
        assert query.itself is None or query.itself[1] not in ids
        assert [(-m.score, m.id) for m in matches] == sorted((-m.score, m.id) for m in matches)
        seen |= set(ids)
    assert len(seen) > len(expected) // 2


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_merged_chunk_is_one_that_is_built(views: Views, channel: str) -> None:
    """Array for array, so that nobody can tell how often rows were moved."""
    parts = views["in pieces"].parts
    assert len(parts) > 1
    merged = merge_segments([p.segment for p in parts], [p.alive for p in parts], FORMATS)
    again = merge_segments([merged], [np.ones(len(merged), bool)], FORMATS)
    (fresh,) = views["fresh"].parts
    one_piece = merge_segments([fresh.segment], [fresh.alive], FORMATS)
    assert merged.array("id").equals(one_piece.array("id"))
    for segment in (merged, again):
        (one,), (other,) = segment.of(channel), one_piece.of(channel)
        assert_same(one, other)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_saved_chunk_comes_back(views: Views, channel: str, tmp_path: Path) -> None:
    (part,) = views["fresh"].parts
    (chunk,) = part.segment.of(channel)
    CHANNELS[channel].save(tmp_path, chunk)
    names = [path.name for path in tmp_path.iterdir()]
    assert names
    assert all(name.startswith(f"{channel}-") for name in names)
    loaded = CHANNELS[channel].load(tmp_path)
    assert_same(loaded, chunk)
    assert isinstance(loaded.rows.base, np.memmap)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert CHANNELS[channel].load(empty) is None


def assert_same(one: Any, other: Any) -> None:
    """Chunks, array for array."""
    assert type(one) is type(other)
    for field in (field for field in dataclasses.fields(one) if field.compare):
        a, b = getattr(one, field.name), getattr(other, field.name)
        for x, y in zip(a, b, strict=True) if isinstance(a, tuple) else ((a, b),):
            if isinstance(x, np.ndarray) and x.dtype.kind == "f":
                np.testing.assert_allclose(x, y, atol=1e-3)  # embeddings round by the size of their batch
            else:
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("channel", CHANNELS)
def test_chunks_of_nothing(views: Views, channel: str) -> None:
    """Merging away every row of a chunk leaves an empty one."""
    (part,) = views["fresh"].parts
    (chunk,) = part.segment.of(channel)
    gone = merge_chunks(CHANNELS[channel], [chunk], [np.full(len(part.segment), -1, np.int64)])
    assert len(gone.rows) == 0
    again = merge_chunks(CHANNELS[channel], [gone, chunk])
    assert_same(again, chunk)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_text_resembles_itself_most(channel: str) -> None:
    space = corpus_rows.space()
    a, b = (row.response for row in ROWS[:2])
    sides = [Query(text, "en", sentences=space.neutral(vectors(text))) for text in (a, a, b)]
    found = [CHANNELS[channel].compare(sides[0], other, Comparison((), Meaning(space), 5)) for other in sides[1:]]
    name = {"copy": "jaccard", "style": "cosine_delta", "semantic": "alignment"}[channel]
    same, different = (getattr(evidence, name) for evidence in found)
    assert same == pytest.approx(1.0, abs=1e-5)
    assert different < same


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_search_that_nobody_waits_for_ends(views: Views, channel: str) -> None:
    with pytest.raises(Cancelled):
        find(channel, queries()[0], [views["in pieces"]], EVERYTHING, Limits(cancelled=lambda: True))


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_says_what_it_is(channel: str) -> None:
    one = CHANNELS[channel]
    assert one.name == channel
    assert types_pb2.Channel.Name(one.number) == f"CHANNEL_{channel.upper()}"
    assert set(one.needs) <= set(SCHEMA.names())
    assert one.column in one.needs
    assert (channel in DEFAULT) == one.default
    assert (channel in EMBEDDED) == one.embedded
    if one.embedded:
        with pytest.raises(NotImplementedError):
            one.fingerprint(*text_buffers(pl.Series(["text"])))
    else:
        columns = one.fingerprint(*text_buffers(pl.Series([ROWS[0].response, ROWS[1].response])))
        assert set(columns) >= {one.column}
        assert all(series.dtype == SCHEMA[name] and len(series) == 2 for name, series in columns.items())
        assert one.scheme
        assert one.scheme in one.schemes.values()


def test_the_register() -> None:
    assert ALL == ("copy", "style", "semantic"), "coverage is told in this order"
    assert len({channel.number for channel in CHANNELS.values()}) == len(CHANNELS)
    assert {name for channel in CHANNELS.values() for name in channel.schemes} == set(schemes())
    values = {number for number in types_pb2.Channel.values() if number}
    assert values == {channel.number for channel in CHANNELS.values()}


def test_targets_leave_out_the_query_and_what_does_not_pass(views: Views) -> None:
    view = views["in pieces"]
    rows = Filter(models=frozenset({"anna"}))
    living = [row for row in ROWS if row.id not in DEAD]
    own = next(row for row in living if row.model == "anna")
    for wanted, itself in ((EVERYTHING, None), (rows, None), (EVERYTHING, own.id), (rows, own.id)):
        query = Query("text", itself=None if itself is None else ("c", itself))
        found = []
        for target in targets(query, [view], wanted):
            ids = target.segment.array("id").to_pylist()
            everyone = np.arange(len(target.segment))
            passing = target.passing(everyone)
            found += [ids[k] for k in (everyone if passing is None else passing)]
        expected = [r.id for r in living if wanted.empty or r.model == "anna"]
        assert sorted(found) == [name for name in expected if name != itself]
