"""How many hits get evidence, asked for in every way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from kinprint.client import Client, Transcript, connect
from kinprint.client import frames as kp
from kinprint.client.cli.app import app
from typer.testing import CliRunner

TEXT = (
    "Most dense bread is underproofed: the yeast had too little time to fill the dough with gas, so let it rise until "
    "it has almost doubled, whatever the clock says, and check that the yeast still foams in warm water."
)
ROWS = 12
CHANNELS = ("copy", "style", "semantic")


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    with connect(server.address) as connected:
        rows = [Transcript(f"{TEXT} Batch {number} was no different.", id=f"r{number:02}") for number in range(ROWS)]
        connected.upsert("evidence", rows, channels=CHANNELS)
        yield connected


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("asked", "told"), [(None, 10), (0, 0), (1, 1), (3, 3), (1000, ROWS)])
def test_the_best_hits_get_evidence(client: Client, channel: Any, asked: int | None, told: int) -> None:
    least = -1.0 if channel == "style" else None
    hits = client.search(TEXT, corpus="evidence", channels=channel, top=ROWS, min_score=least, max_evidence=asked).hits
    assert len(hits) == ROWS
    assert [hit.evidence is not None for hit in hits] == [rank < told for rank in range(ROWS)]
    assert all(hit.snippet for hit in hits)


def test_hits_are_the_same_with_evidence_and_without(client: Client) -> None:
    found = [
        [(hit.channel, hit.id, hit.score) for hit in result.hits]
        for result in (
            client.search(TEXT, corpus="evidence", channels=CHANNELS, top=5, max_evidence=asked)
            for asked in (None, 0, 2)
        )
    ]
    assert found[0] == found[1] == found[2]


def test_many_searches_and_frames(client: Client) -> None:
    outcomes = list(client.search_many([TEXT, {"text": TEXT, "max_evidence": 2}], corpus="evidence", max_evidence=0))
    told = {item.index: sum(hit.evidence is not None for hit in item.result.hits) for item in outcomes if item.result}
    assert told == {0: 0, 1: 2}
    frame = kp.search_frame(client, pl.DataFrame({"text": [TEXT]}), "evidence", text="text", top=4, max_evidence=1)
    assert frame["jaccard"].is_null().to_list() == [False, True, True, True]


def test_the_command_line(client: Client, server: Any) -> None:
    command = ["search", "--server", server.address, "--corpus", "evidence", "--text", TEXT, "--max-evidence", "1"]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert [hit["evidence"] is not None for hit in json.loads(done.stdout)["hits"]] == [True] + [False] * 9
    assert "Jaccard" in CliRunner().invoke(app, command).stdout
