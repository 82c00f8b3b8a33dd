"""Servers that go away in the middle: uploads and streams of searches go on with the next one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinprint.client import SearchQuery, Transcript, UnavailableError, UpsertError, aconnect, connect

ROWS = 6000
TEXT = "The moon pulls the near side of the ocean harder than the far side, row {}, so the water swells in two bulges."


def rows(server_pid: int, number: signal.Signals, at: int) -> Iterator[Transcript]:
    """Rows, with a blow to the server in between."""
    for place in range(ROWS):
        if place == at:
            os.kill(server_pid, number)
        yield Transcript(TEXT.format(place), id=f"r{place}", language="en")


def check(report: Any, transcripts: int) -> None:
    assert report.reconnects >= 1
    assert (report.rows, report.stored, report.failed, report.unfinished) == (ROWS, ROWS, 0, 0)
    assert transcripts == ROWS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_upsert_outlives_its_server(tmp_path: Path, number: signal.Signals) -> None:
    with connect(tmp_path / "data", model="none") as client:
        pid = client.server_info().pid
        report = client.upsert("c", rows(pid, number, 3500))
        check(report, client.get_corpus("c").transcripts)
        assert client.server_info().pid != pid


def test_an_upsert_of_asyncio_outlives_its_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with aconnect(tmp_path / "data", model="none") as client:
            pid = (await client.server_info()).pid
            report = await client.upsert("c", rows(pid, signal.SIGKILL, 3500))
            check(report, (await client.get_corpus("c")).transcripts)

            queries = [SearchQuery(text=TEXT.format(place), corpora=["c"], top=1) for place in range(40)]
            pid = (await client.server_info()).pid
            found = []
            async for outcome in client.search_many(queries, window=4):
                if not found:
                    os.kill(pid, signal.SIGKILL)
                found.append(outcome)
            assert sorted(outcome.index for outcome in found) == list(range(40))
            assert all(outcome.result is not None and len(outcome.result.hits) == 1 for outcome in found)

    asyncio.run(main())


def test_searches_outlive_their_server(tmp_path: Path) -> None:
    with connect(tmp_path / "data", model="none") as client:
        client.upsert("c", [Transcript(TEXT.format(place), id=f"r{place}", language="en") for place in range(50)])
        queries = [SearchQuery(text=TEXT.format(place), corpora=["c"], top=1) for place in range(50)]
        pid = client.server_info().pid
        found = {}
        for outcome in client.search_many(queries, window=4):
            if not found:
                os.kill(pid, signal.SIGKILL)
            found[outcome.index] = outcome
        assert sorted(found) == list(range(50))
        assert all(outcome.error is None for outcome in found.values())


def test_an_upsert_whose_server_stays_away_tells_what_is_stored(tmp_path: Path) -> None:
    from conftest import start_server, stop_server

    server = start_server(tmp_path / "data", "none", tmp_path / "log")
    with connect(server.address, retry_deadline=1.0) as client:
        with pytest.raises(UpsertError) as caught:
            client.upsert("c", rows(server.process.pid, signal.SIGKILL, 5500))
        report = caught.value.report
        assert caught.value.code == "UNAVAILABLE"
        assert 0 < report.stored < ROWS
        assert report.stored + report.unfinished == report.rows
        with pytest.raises(UnavailableError):
            client.server_info(timeout=3)
    server.process.wait()
    again = start_server(tmp_path / "data", "none", tmp_path / "log")
    with connect(again.address) as client:
        assert client.get_corpus("c").transcripts >= report.stored
        rest = client.upsert("c", (Transcript(TEXT.format(n), id=f"r{n}", language="en") for n in range(ROWS)))
        assert rest.unchanged >= report.stored
        assert rest.created + rest.unchanged == ROWS
    assert stop_server(again) == 0
