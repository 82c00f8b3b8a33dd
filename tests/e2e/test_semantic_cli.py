"""Filling and searching the two tiers of meaning from the command line and the client, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fast_tier import await_fast
from kinprint.client import Client, FailedPreconditionError, InvalidArgumentError, NotFoundError, aconnect, connect
from kinprint.client import frames as kp
from kinprint.client.cli import terminal
from kinprint.client.cli.app import app
from tiny_model import write_tiny_model
from typer.testing import CliRunner, Result

RUNNER = CliRunner()
TOPICS = ["the tide", "dense bread", "reading aloud", "a fjord", "the night train", "old maps", "wet wool", "a kite"]
VERBS = ["rises slowly", "needs more time", "slows the eye down", "was cut by ice", "leaves at nine", "shows no roads"]
ROWS = 200


def answer(number: int) -> str:
    """An answer of four sentences, of its own number."""
    topics = [TOPICS[(number * step + step) % len(TOPICS)] for step in (1, 3, 5, 7)]
    verbs = [VERBS[(number // step) % len(VERBS)] for step in (1, 2, 4, 8)]
    said = [f"In case {number} {topic} {verb}." for topic, verb in zip(topics, verbs, strict=True)]
    return " ".join(said)


def run(*arguments: object) -> Result:
    return RUNNER.invoke(app, [*map(str, arguments)])


def ok(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, (done.stdout, done.stderr, done.exception)
    return done.stdout


def ok_json(*arguments: object) -> Any:
    return json.loads(ok(*arguments, "--json"))


def refused(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code in (1, 2), (done.stdout, done.stderr, done.exception)
    return done.stderr


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are not folded."""
    monkeypatch.setattr(terminal.out, "_width", 400)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.ndjson"
    path.write_text(
        "".join(
            json.dumps({"transcript_id": f"r{number}", "model": f"m{number % 3}", "response": answer(number)}) + "\n"
            for number in range(ROWS)
        )
    )
    return path


@pytest.fixture(scope="module")
def client(server: Any, rows: Path) -> Iterator[Client]:
    """A client of a server whose corpus "tiers" has every row in the accurate tier, and "behind" none."""
    with connect(server.address) as connected:
        for corpus in ("tiers", "behind"):
            kp.load(connected, rows, corpus)
        fill = ("fill", "--corpus", "tiers", "--server", server.address, "--wait", "--quiet")
        assert f"every row is filled, {ROWS:,} of {ROWS:,} rows" in ok(*fill)
        yield connected


def test_filling_is_started_paused_and_seen_to_its_end(client: Client, server: Any) -> None:
    fill = ("fill", "--corpus", "behind", "--server", server.address)
    before = ok_json(*fill, "--status")
    assert (before["state"], before["accurate"]["filled"]) == ("off", 0)
    assert before["coverage"]["semantic"] == 0.0
    started = ok_json(*fill, "--rate", 1)
    assert started["state"] in ("waiting", "running")
    assert started["most_rows_per_second"] == 1.0
    paused = ok_json(*fill, "--pause")
    assert paused["state"] == "paused"
    assert "paused" in ok(*fill, "--status")
    assert paused["accurate"]["filled"] < ROWS
    assert "behind is not filled: it was paused" not in ok(*fill, "--status")
    told = ok(*fill)
    assert told.count("\n") == 1
    assert "--status tells how far it is" in told
    done = ok_json(*fill, "--wait", "--quiet")
    assert (done["state"], done["accurate"]["filled"], done["coverage"]["semantic"]) == ("complete", ROWS, 1.0)
    assert "every row is filled" in ok(*fill)


def test_the_fast_tier_is_searched_by_itself_and_beside_the_other(client: Client, server: Any) -> None:
    await_fast(client, "tiers")
    search = ("search", "--corpus", "tiers", "--server", server.address, "--text", answer(41), "--channel", "semantic")
    found = ok_json(*search, "--tier", "fast")
    assert found["coverage"] == {"semantic_fast": 1.0}
    assert {hit["evidence"]["tier"] for hit in found["hits"]} == {"fast"}
    assert found["hits"][0]["id"] == "r41"
    assert found["hits"][0]["evidence"]["pairs"]
    both = ok_json(*search)
    assert both["coverage"] == {"semantic": 1.0, "semantic_fast": 1.0}
    assert {hit["evidence"]["tier"] for hit in both["hits"]} == {"accurate"}
    assert both["hits"][0]["id"] == "r41"
    shown = ok(*search, "--tier", "fast")
    assert "fast tier, 4 of 4 sentences pair up" in shown


def test_a_load_tells_nothing_where_the_fast_tier_is_complete(client: Client, server: Any, rows: Path) -> None:
    await_fast(client, "tiers")
    done = run("load", rows, "--corpus", "quick", "--server", server.address, "--quiet")
    assert done.exit_code == 0
    assert "by meaning" not in done.stderr
    assert ok_json("fill", "--corpus", "quick", "--server", server.address, "--status")["coverage"] == {
        "semantic": 0.0,
        "semantic_fast": 1.0,
    }
    assert "- (100%)" in ok("corpora", "--server", server.address)
    found = ok_json("search", "--corpus", "quick", "--server", server.address, "--text", answer(3), "--channel", "all")
    assert found["coverage"] == {"copy": 1.0, "semantic": 0.0, "semantic_fast": 1.0, "style": 1.0}


def test_the_fast_tier_is_fitted_to_a_corpus(client: Client, server: Any) -> None:
    await_fast(client, "behind")
    before = client.get_corpus("behind").semantic
    assert before is not None
    steps: list[float] = []
    report = client.distil("behind", sentences=1000, progress=lambda progress: steps.append(progress.share))
    assert steps
    assert report.table_digest != before.table_digest
    assert report.held_out > 0
    await_fast(client, "behind")
    after = client.get_corpus("behind").semantic
    assert after is not None
    assert after.table_digest == report.table_digest
    found = client.search(answer(5), corpus="behind", channels="semantic", tier="fast", top=1)
    assert [hit.id for hit in found.hits] == ["r5"]
    text = ok("model", "distil", "--corpus", "behind", "--server", server.address, "--sentences", 1000, "--quiet")
    assert "held out" in text
    assert "none-such" in refused("model", "distil", "--corpus", "none-such", "--server", server.address)


def test_a_second_model_takes_the_place_of_the_first(client: Client, server: Any, rows: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=1)
    place = ("--corpus", "models", "--server", server.address)
    ok("load", rows, *place, "--channels", "semantic")
    assert "MODEL_NOT_FILLED" in refused("model", "compare", *place)
    assert "every row is filled" in ok("fill", *place, "--second", other, "--wait", "--quiet")
    fill = client.get_fill("models")
    assert fill.second_filled == ROWS
    assert f"second model {fill.second_model[:12]}: {ROWS} rows" in ok("fill", *place, "--status")
    found = ok_json("model", "compare", *place, "--queries", 20)
    assert found["queries"] == 20
    assert found["second"]["digest"] == fill.second_model != found["first"]["digest"]
    assert 0 < found["agreement"] <= 1
    assert "among the ten best of the second" in ok("model", "compare", *place)
    assert "first is dropped" in ok("model", "switch", *place)
    index = client.get_corpus("models").semantic
    assert index is not None
    assert index.model_digest == fill.second_model
    # The record goes on by what is left of its files.
    client.upsert("models", [{"transcript_id": "later", "response": answer(ROWS)}], channels=("copy", "style"))
    assert client.get_corpus("models").transcripts == ROWS + 1
    assert "MODEL_NOT_FILLED" in refused("model", "drop", *place)


def test_a_corpus_that_is_not_there_is_not_filled(client: Client, server: Any) -> None:
    for option in ("--status", "--pause", "--wait"):
        assert "none-such" in refused("fill", "--corpus", "none-such", "--server", server.address, option)
    for call in (client.get_fill, client.start_fill, client.pause_fill):
        with pytest.raises(NotFoundError):
            call("none-such")
    with pytest.raises(InvalidArgumentError):
        client.start_fill("tiers", most_rows_per_second=-1.0)
    with pytest.raises(InvalidArgumentError) as caught:
        client.distil("tiers", sentences=999)
    assert [item.field for item in caught.value.field_violations] == ["sentences"]


def test_a_hit_says_what_it_is_worth_and_shows_the_sentences_that_paired(client: Client, server: Any) -> None:
    text = answer(41)
    search = ("search", "--corpus", "tiers", "--server", server.address, "--text", text, "--channel", "semantic")
    found = ok_json(*search, "--tier", "accurate")
    assert found["query"]["tier"] == "accurate"
    assert found["coverage"] == {"semantic": 1.0}
    first = found["hits"][0]
    told = first["evidence"]
    assert first["id"] == "r41"
    assert told["tier"] == "accurate"
    assert told["score"] == told["alignment"] == first["score"]
    assert 0 < told["p_floor"] <= told["p_value"] <= 1
    assert 0 <= told["percentile"] <= 1
    assert told["calibration"] in ("corpus", "background")
    assert "same_prompt_p" in told
    assert told["pairs"] == told["sentences"]
    assert len(told["pairs"]) == 4
    for pair in told["pairs"]:
        assert pair["query_text"] == text[pair["query_start"] : pair["query_end"]]
        assert pair["match_text"] == text[pair["match_start"] : pair["match_end"]]
    shown = ok(*search, "--tier", "accurate")
    assert "accurate tier, 4 of 4 sentences pair up" in shown
    assert "“In case 41 " in shown
    assert "standard deviation" not in shown
    assert "alike" in ok("compare", f"text:{text}", f"text:{answer(42)}", "--server", server.address)


def test_tiers_in_the_client_in_streams_and_in_frames(client: Client, server: Any) -> None:
    text = answer(7)
    alone = client.search(text, corpus="tiers", channels="semantic", tier="accurate")
    assert [item.tier for item in alone.coverage] == ["accurate"]
    assert alone.coverage_fast is None
    both = client.search(text, corpus="tiers", channels="semantic")
    assert both.coverage_fast is not None
    many = list(client.search_many([text], corpus="tiers", channels="semantic", tier="accurate"))
    assert many[0].result is not None
    assert many[0].result.hits == alone.hits
    frame = kp.search_frame(
        client, pl.DataFrame({"t": [text]}), "tiers", text="t", channels="semantic", tier="accurate", top=3
    )
    row = frame.row(0, named=True)
    assert (row["id"], row["tier"]) == ("r7", "accurate")
    assert row["pairs"][0]["query_text"].startswith("In case 7")
    assert row["p_value"] >= row["p_floor"] > 0

    async def asked() -> Any:
        async with aconnect(server.address) as other:
            fill = await other.get_fill("tiers")
            result = await other.search(text, corpus="tiers", channels="semantic", tier="accurate")
            return fill, result

    fill, result = asyncio.run(asked())
    assert (fill.state, fill.accurate.filled) == ("complete", ROWS)
    assert result.hits == alone.hits


def test_info_tells_what_meaning_is_searched_by(client: Client, server: Any) -> None:
    text = ok("info", "--corpus", "tiers", "--server", server.address)
    assert f"{ROWS} of {ROWS} filled" in text
    assert "semantic, accurate" in text
    assert "semantic, fast" in text
    told = ok_json("info", "--corpus", "tiers", "--server", server.address)
    assert told["semantic"]["model_digest"]
    assert [item["channel"] for item in told["coverage"]] == ["copy", "style", "semantic"]
    assert told["coverage_fast"]["channel"] == "semantic"


def test_a_load_without_a_model_says_in_a_line_what_fills_the_rest(rows: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    load = ("load", rows, "--corpus", "bare", "--data", data, "--embedding-model", "none", "--quiet")
    done = run(*load)
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if "by meaning" in line)
    assert f"0 of {ROWS} rows" in line
    assert f"kinprint fill --corpus bare --data {data} fills it" in line
    # Who asks for channels by name knows what is not filled.
    assert "by meaning" not in run(*load, "--channels", "copy").stderr
    bare = ("--corpus", "bare", "--data", data, "--embedding-model", "none")
    assert "CHANNEL_UNAVAILABLE" in refused("fill", *bare)
    assert ok_json("fill", *bare, "--status")["state"] == "off"
    with connect(data, model="none") as offline, pytest.raises(FailedPreconditionError):
        offline.start_fill("bare")
