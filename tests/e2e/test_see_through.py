"""Disguises seen through, asked for in every way: client, frames, command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from kinprint.client import Client, CopyEvidence, Transcript, connect
from kinprint.client import frames as kp
from kinprint.client.cli.app import app
from typer.testing import CliRunner

TEXT = (
    "Most dense bread is underproofed, since the yeast had too little time to fill the dough with gas, so let it rise "
    "until it has almost doubled, whatever the clock says."
)
DISGUISED = TEXT.translate(str.maketrans("aceo", "асео"))


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    with connect(server.address) as connected:
        rows = [Transcript(TEXT, id="plain", language="en"), Transcript(DISGUISED, id="disguised", language="en")]
        connected.upsert("disguises", rows, channels=["copy"])
        yield connected


def told(evidence: Any) -> tuple[str, ...]:
    assert isinstance(evidence, CopyEvidence)
    return evidence.disguises


@pytest.mark.parametrize("text", [TEXT, DISGUISED])
def test_searches_find_both_and_name_the_disguise(client: Client, text: str) -> None:
    hits = {hit.id: hit for hit in client.search(text, corpus="disguises").hits}
    other = "disguised" if text == TEXT else "plain"
    assert {name: hit.score for name, hit in hits.items()} == {"plain": 1.0, "disguised": 1.0}
    assert {name: told(hit.evidence) for name, hit in hits.items() if told(hit.evidence)} == {other: ("confusable",)}
    (outcome,) = client.search_many([{"text": text, "see_through": False}], corpus="disguises", min_score=0.5)
    assert outcome.result is not None
    assert [hit.id for hit in outcome.result.hits] == ["plain" if text == TEXT else "disguised"]


def test_comparisons_and_duplicates(client: Client) -> None:
    seen, unseen = (client.compare(TEXT, DISGUISED, channels="copy", see_through=see).copy for see in (True, False))
    assert seen is not None
    assert unseen is not None
    assert (seen.jaccard, seen.disguises, seen.identical) == (1.0, ("confusable",), False)
    assert unseen.jaccard < 0.5
    assert unseen.disguises == ()
    for see, pairs in ((True, 1), (False, 0)):
        with client.find_duplicates("disguises", see_through=see) as search:
            assert sum(len(batch.id_a) for batch in search) == pairs
        assert kp.scan_duplicates(client, "disguises", see_through=see).collect().height == pairs


def test_frames(client: Client) -> None:
    frame = kp.search_frame(client, pl.DataFrame({"text": [TEXT]}), "disguises", text="text")
    assert dict(zip(frame["id"], frame["disguises"].to_list(), strict=True)) == {
        "plain": [],
        "disguised": ["confusable"],
    }


def test_the_command_line(client: Client, server: Any, tmp_path: Any) -> None:
    run = CliRunner()
    where = ["--server", server.address]
    search = ["search", "--corpus", "disguises", "--text", DISGUISED, "--min-score", "0.5", *where]
    found = json.loads(run.invoke(app, [*search, "--json"]).stdout)
    assert {hit["id"]: hit["evidence"]["disguises"] for hit in found["hits"]} == {
        "plain": ["confusable"],
        "disguised": [],
    }
    found = json.loads(run.invoke(app, [*search, "--no-see-through", "--json"]).stdout)
    assert [hit["id"] for hit in found["hits"]] == ["disguised"]
    compare = ["compare", f"text:{TEXT}", f"text:{DISGUISED}", "--channel", "copy", *where]
    assert "disguised: confusable" in " ".join(run.invoke(app, compare).stdout.split())
    file = tmp_path / "texts.ndjson"
    file.write_text("".join(json.dumps({"response": text}) + "\n" for text in (TEXT, DISGUISED)))
    for options, pairs in (([], 0), (["--see-through"], 1)):
        for source in ([str(file)], ["--corpus", "disguises", *where]):
            assert json.loads(run.invoke(app, ["dedup", *source, *options, "--json"]).stdout)["pairs"] == pairs
