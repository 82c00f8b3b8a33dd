"""The sample corpus, as `make demo` loads it: every borrowing that its table names is found."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import RunningServer, start_server, stop_server
from kinprint.client import Client, Hit, connect, read_ndjson
from kinprint.server.embed import default_model_directory
from kinprint.server.embed.default_model.build import is_built

SAMPLE = Path(__file__).parents[2] / "sample"
FILES = sorted((SAMPLE / "transcripts").glob("*.ndjson"))
with (SAMPLE / "relations.csv").open(encoding="utf-8", newline="") as table:
    RELATIONS = list(csv.DictReader(table))
COPIED = [r for r in RELATIONS if r["relation"] in ("copy", "partial_copy", "light_edit")]


def name_of(relation: dict[str, str]) -> str:
    return f"{relation['relation']}-{relation['transcript_id']}"


def load(client: Client, corpus: str, *channels: str) -> None:
    report = client.upsert(corpus, itertools.chain.from_iterable(map(read_ndjson, FILES)), channels=channels)
    assert (report.failed, report.repeated_ids, report.created) == (0, 0, 264)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    """A client of a server that holds the sample in the copy and style channels."""
    with connect(server.address) as made:
        load(made, "sample", "copy", "style")
        yield made


def best(client: Client, identifier: str, channel: str, top: int = 10) -> list[Hit]:
    return list(client.search(id=identifier, corpus="sample", channels=[channel], top=top).hits)


def test_the_table_names_rows_of_the_sample() -> None:
    rows = {}
    for file in FILES:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert row["transcript_id"] not in rows
            rows[row["transcript_id"]] = row
    assert len(rows) == 264
    assert len({row["prompt_id"] for row in rows.values()}) >= 40
    assert len({row["model"] for row in rows.values()}) == 6
    assert len(FILES) >= 5
    for relation in RELATIONS:
        taken, source = rows[relation["transcript_id"]], rows[relation["source_transcript_id"]]
        assert taken["model"] != source["model"]
        if relation["relation"] == "copy":
            assert taken["response"] == source["response"]


@pytest.mark.parametrize("relation", COPIED, ids=name_of)
def test_every_copy_is_found_first(client: Client, relation: dict[str, str]) -> None:
    taken, source = relation["transcript_id"], relation["source_transcript_id"]
    first = best(client, taken, "copy")[0]
    assert first.id == source
    assert taken in [hit.id for hit in best(client, source, "copy")]
    left, right = client.get("sample", taken).response, client.get("sample", source).response
    assert first.evidence.spans
    for span in first.evidence.spans:
        same = left[span.query_start : span.query_end] == right[span.match_start : span.match_end]
        assert same == (not span.differences)
    if relation["relation"] == "copy":
        assert first.evidence.identical
        assert first.score == 1.0


def test_near_duplicates_of_the_sample_are_the_copies_and_the_edits(client: Client) -> None:
    found = client.find_duplicates("sample", threshold=0.5)
    pairs = {frozenset(row[:2]): row[2] for batch in found for row in batch.rows()}
    named = {frozenset((r["transcript_id"], r["source_transcript_id"])): r["relation"] for r in COPIED}
    for pair, relation in named.items():
        if relation == "copy":
            assert pairs[pair] == 1.0
    # Nothing else in the sample is nearly the same text.
    assert set(pairs) <= set(named)


def test_style_finds_the_author_more_often_than_chance(client: Client) -> None:
    """Six authors: the nearest by style shares the author in a sixth of the cases by chance."""
    borrowed = {r[key] for r in RELATIONS for key in ("transcript_id", "source_transcript_id")}
    own = [t for t in client.list("sample") if t.id not in borrowed]
    right = sum(best(client, t.id, "style", top=1)[0].model == t.model for t in own)
    assert right > 0.5 * len(own)


@pytest.mark.model
@pytest.mark.slow
def test_every_translation_is_found_first(tmp_path: Path) -> None:
    if not is_built(default_model_directory()):
        pytest.skip("the default model is not built: kinprint model build")
    server = start_server(tmp_path / "data", "default", tmp_path / "log")
    try:
        with connect(server.address) as client:
            load(client, "sample", "semantic")
            check_translations(lambda identifier: best(client, identifier, "semantic"))
    finally:
        stop_server(server)


def check_translations(search: Callable[[str], list[Hit]]) -> None:
    missed = []
    for relation in RELATIONS:
        if relation["relation"] != "translation":
            continue
        for one, other in (("transcript_id", "source_transcript_id"), ("source_transcript_id", "transcript_id")):
            hits = [hit.id for hit in search(relation[one])]
            if hits[0] != relation[other]:
                missed.append((relation[one], relation[other], hits[:4]))
    assert missed == []
