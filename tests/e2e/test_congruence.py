"""The same calls give the same answers: embedded and remote server, sync and asyncio client."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fast_tier import await_fast
from kinprint.client import (
    AsyncClient,
    Client,
    Filter,
    KinprintError,
    SearchQuery,
    Transcript,
    TranscriptRef,
    aconnect,
    as_dict,
    connect,
)

ALOUD = (
    "Reading aloud slows the eye down to the speed of the voice, and at that speed mistakes that silent "
    "reading glides over become audible: a missing word, a sentence that never ends, a claim without support."
)
TIDES = (
    "The moon pulls the near side of the ocean harder than the far side, so the water swells in two bulges, "
    "and the turning earth carries every harbour through both of them in little more than a day."
)
CHINESE = "朗读会让眼睛慢下来,慢到声音的速度,于是默读时一滑而过的错误就听得见了:漏掉的字、没有尽头的句子。"

ROWS = [
    Transcript(ALOUD, id="aloud", model="anna", prompt_id="p1", prompt="Why read aloud?", account_id="k1"),
    Transcript(ALOUD, id="aloud-again", model="bert", prompt_id="p1", prompt="Why read aloud?"),
    Transcript(
        ALOUD.replace("audible", "plain to hear") + " That is why editors do it.",
        id="aloud-edited",
        model="carl",
        prompt="Why read aloud?",
        created_at=datetime(2026, 3, 1, 12, 30, 0, 123456, UTC),
        metadata={"source": "forum", "score": "0.5"},
    ),
    Transcript(TIDES, id="tides", model="anna", prompt="Why are there two tides a day?", language="en"),
    Transcript(CHINESE, id="zh", model="dora", prompt="为什么要朗读?", language="zh"),
    Transcript(f"<think>Two bulges.</think>{TIDES} Low water follows.", id="tides-thought", model="carl", turn=0),
    Transcript("", id="empty", model="dora"),
    Transcript("nul\0byte and emoji 🌊 stay as they are", id="odd", system_prompt="Be odd.", conversation_id="c"),
]
BAD_ROWS: list[Any] = [
    {"response": "lone \ud800 surrogate", "transcript_id": "bad-surrogate"},
    {"response": None, "transcript_id": "bad-none"},
    {"response": "x" * (1 << 20) + "y", "transcript_id": "bad-long"},
    {"response": "fine", "transcript_id": "i" * 600},
]
CHANNELS = ("copy", "style", "semantic")


class Awaited:
    """An asyncio client behind synchronous calls, so that one case runs on both."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: AsyncClient) -> None:
        self._loop = loop
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def collect(items: Any) -> list[Any]:
            return [item async for item in items]

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.isawaitable(result):
                result = self._loop.run_until_complete(result)
            if not isinstance(result, (list, dict)) and hasattr(result, "__aiter__"):
                source = result
                result = self._loop.run_until_complete(collect(source))
                if hasattr(source, "summary"):
                    return result, source.summary
            return result

        return call


class Clients:
    """Four ways to the same rows."""

    def __init__(self, ways: dict[str, Any]) -> None:
        self.ways = ways


@pytest.fixture(scope="module")
def clients(
    server: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, session_cache: Path
) -> Iterator[Clients]:
    embedded = tmp_path_factory.mktemp("embedded") / "data"
    loop = asyncio.new_event_loop()
    with (
        mock.patch.dict(os.environ, KINPRINT_CACHE=str(session_cache)),
        connect(server.address) as remote_sync,
        connect(embedded, model=tiny_model) as embedded_sync,
    ):
        remote_aio = loop.run_until_complete(aconnect(server.address))
        embedded_aio = loop.run_until_complete(aconnect(embedded))
        ways: dict[str, Any] = {
            "remote sync": remote_sync,
            "remote aio": Awaited(loop, remote_aio),
            "embedded sync": embedded_sync,
            "embedded aio": Awaited(loop, embedded_aio),
        }
        # Each server is loaded once, by another kind of client.
        for way in ("remote aio", "embedded sync"):
            report = ways[way].upsert("congruence", [*ROWS, *BAD_ROWS], channels=CHANNELS)
            assert (report.created, report.failed, report.rows) == (len(ROWS), len(BAD_ROWS), 12)
            # Made behind: until then one server may be further than the other.
            await_fast(ways[way], "congruence")
        yield Clients(ways)
        loop.run_until_complete(remote_aio.close())
        loop.run_until_complete(embedded_aio.close())
    loop.close()


def duplicates(client: Any, **options: Any) -> Any:
    search = client.find_duplicates("congruence", 0.5, **options)
    batches, summary = search if isinstance(search, tuple) else (list(search), search.summary)
    return sorted(row for batch in batches for row in batch.rows()), summary


def streamed(search: Any) -> Any:
    """All batches of a search as one table, and its totals."""
    batches, summary = search if isinstance(search, tuple) else (list(search), search.summary)
    tables = [as_dict(batch) for batch in batches]
    assert all(len({len(column) for column in table.values()}) == 1 for table in tables)
    return {name: [v for table in tables for v in table[name]] for name in (tables[0] if tables else ())}, summary


def clusters(client: Any, **options: Any) -> Any:
    return streamed(client.find_clusters("congruence", 0.5, **options))


def overlaps(client: Any, **options: Any) -> Any:
    return streamed(client.find_overlaps("congruence", "congruence", **options))


def between(client: Any) -> Any:
    """Duplicates and shared passages of two corpora, which are named."""
    client.upsert("congruence-other", [Transcript(f"Listen: {TIDES}", id="t", model="x"), Transcript(ALOUD, id="a")])
    pairs, summary = streamed(client.find_duplicates("congruence", 0.5, against="congruence-other"))
    spans, totals = streamed(client.find_overlaps(["congruence"], ["congruence-other"], every=True))
    assert {*pairs["corpus_a"], *spans["corpus_a"]} == {"congruence"}
    assert {*pairs["corpus_b"], *spans["corpus_b"]} == {"congruence-other"}
    both, _ = streamed(client.find_clusters(["congruence", "congruence-other"], 0.5))
    assert set(both["cluster_corpus"]) == {"congruence"}
    return sorted(zip(*pairs.values(), strict=True)), summary, spans, totals, both


def failure(call: Callable[[], Any]) -> Any:
    with pytest.raises(KinprintError) as caught:
        call()
    error = caught.value
    return type(error).__name__, error.code, error.reason, [item.field for item in error.field_violations]


def search(client: Any, *args: Any, **options: Any) -> Any:
    result = as_dict(client.search(*args, corpus=options.pop("corpus", "congruence"), **options))
    del result["timings"]
    return of_any_record(result)


def of_any_record(answer: Any) -> Any:
    """An answer without what is peculiar to the record of the server that gave it."""
    for state in answer["provenance"]["corpora"]:
        assert state.pop("record_version") > 0
        assert len(state.pop("record_entry")) == 64
    return answer


def many(client: Any) -> Any:
    queries = [SearchQuery(text=row.response, corpora=["congruence"]) for row in ROWS]
    queries.append(SearchQuery(text="lone \udfff", corpora=["congruence"]))
    outcomes = sorted(client.search_many(queries, window=3), key=lambda item: item.index)
    assert [item.index for item in outcomes] == list(range(len(queries)))
    return [
        (item.error.code, item.error.reason)
        if item.error is not None
        else [(hit.id, hit.score) for hit in item.result.hits]
        for item in outcomes
    ]


def many_forms(client: Any) -> Any:
    """Texts, mappings and queries, with arguments for all of those that name none of their own."""
    queries: list[Any] = [
        ALOUD,
        {"text": TIDES, "top": 1},
        {"id": "zh", "channels": "style"},
        SearchQuery(text=TIDES, corpora="congruence", top=2),
        {"text": ALOUD, "min_socre": 0.5},
        7,
    ]
    outcomes = sorted(
        client.search_many(queries, corpora="congruence", corpus="congruence", top=3), key=lambda item: item.index
    )
    found = [
        (item.error.reason, [violation.field for violation in item.error.field_violations])
        if item.error is not None
        else [(hit.channel, hit.id, hit.score) for hit in item.result.hits]
        for item in outcomes
    ]
    assert [len(item) for item in found[:4]] == [3, 1, 3, 2]
    assert {channel for channel, _, _ in found[2]} == {"style"}
    assert found[4:] == [("FIELD_INVALID", ["min_socre"]), ("FIELD_INVALID", ["query"])]
    return found


def named_once(client: Any) -> Any:
    """One name may stand for a list of it, wherever names are taken."""
    found = search(client, ALOUD, corpus=None, corpora="congruence", channels="copy", filter=Filter(models="anna"))
    assert found == search(client, ALOUD, channels=["copy"], filter=Filter(models=["anna"]))
    assert found["hits"]
    return found


def corpus(client: Any) -> Any:
    found = as_dict(client.get_corpus("congruence"))
    for name in ("created_at", "record_version", "disk_bytes"):
        del found[name]
    return found


def upsert_again(client: Any) -> Any:
    report = as_dict(client.upsert("congruence", ROWS, channels=CHANNELS))
    assert report["unchanged"] == len(ROWS)
    del report["seconds"]
    return report


CASES: dict[str, Callable[[Any], Any]] = {
    "upsert again": upsert_again,
    "corpus": corpus,
    "list": lambda c: as_dict(list(c.list("congruence", page_size=3))),
    "list filtered": lambda c: [t.id for t in c.list("congruence", filter=Filter(models=["anna", "dora"]))],
    "get": lambda c: as_dict([c.get("congruence", row.id) for row in ROWS]),
    "search copy": lambda c: search(c, ALOUD[20:150]),
    "search style": lambda c: search(c, ALOUD, channels=["style"], top=3),
    "search semantic": lambda c: search(c, TIDES, channels=["semantic"], top=3),
    "search fast tier": lambda c: search(c, TIDES, channels="semantic", tier="fast"),
    "search accurate tier": lambda c: search(c, TIDES, channels="semantic", tier="accurate"),
    "filling": lambda c: as_dict(c.get_fill("congruence")),
    "no such corpus to fill": lambda c: failure(lambda: c.start_fill("nothing-here")),
    "no such tier": lambda c: failure(lambda: search(c, TIDES, channels="semantic", tier="quick")),
    "search all": lambda c: search(c, TIDES, channels=list(CHANNELS)),
    "search by id": lambda c: search(c, id="aloud", channels=["copy"]),
    "search filtered": lambda c: search(c, ALOUD, filter=Filter(exclude_models=["anna"])),
    "search since": lambda c: search(c, ALOUD, filter=Filter(created_from=datetime(2026, 1, 1, tzinfo=UTC))),
    "search many": many,
    "search many in every form": many_forms,
    "search with names alone": named_once,
    "search without evidence": lambda c: search(c, ALOUD, channels=["copy", "style"], max_evidence=0),
    "search with some evidence": lambda c: search(c, ALOUD, channels=["copy", "semantic"], max_evidence=1),
    "too much evidence": lambda c: failure(lambda: search(c, ALOUD, max_evidence=-1)),
    "no jobs": lambda c: [job for job in c.jobs(active_only=True) if job.corpora == ("nothing-here",)],
    "no such job": lambda c: failure(lambda: c.get_job("nothing-here")),
    "no such job to cancel": lambda c: failure(lambda: c.cancel_job("nothing-here")),
    "compare texts": lambda c: of_any_record(as_dict(c.compare(ALOUD, ALOUD[:100] + TIDES, channels=list(CHANNELS)))),
    "compare stored": lambda c: of_any_record(
        as_dict(c.compare(TranscriptRef("congruence", "aloud"), TranscriptRef("congruence", "aloud-edited")))
    ),
    "fingerprint": lambda c: as_dict(c.fingerprint([ALOUD, CHINESE, ""], channels=list(CHANNELS))),
    "duplicates": duplicates,
    "duplicates expanded": lambda c: duplicates(c, expand=True),
    "duplicates exact": lambda c: duplicates(c, exact=True),
    "clusters": clusters,
    "clusters as stars": lambda c: clusters(c, link="star"),
    "clusters exact": lambda c: clusters(c, exact=True, filter=Filter(exclude_models=["bert"])),
    "overlaps": overlaps,
    "overlaps of models": lambda c: overlaps(
        c, filter=Filter(models=["anna"]), against_filter=Filter(models=["carl"]), min_tokens=6, unmarked=True
    ),
    "between corpora": between,
    "no such corpus": lambda c: failure(lambda: c.get_corpus("nothing-here")),
    "no such transcript": lambda c: failure(lambda: c.get("congruence", "nothing-here")),
    "no such corpus to search": lambda c: failure(lambda: search(c, "text", corpus="nothing-here")),
    "blank query": lambda c: failure(lambda: search(c, "  ")),
    "lone surrogate": lambda c: failure(lambda: search(c, "a\ud800b")),
    "too long": lambda c: failure(lambda: search(c, "a" * ((1 << 20) + 1))),
    "bad threshold": lambda c: failure(lambda: list(c.find_duplicates("congruence", 3.0))),
    "bad threshold of clusters": lambda c: failure(lambda: list(c.find_clusters("congruence", 0.0))),
    "corpus on both sides": lambda c: failure(lambda: list(c.find_duplicates("congruence", against=["congruence"]))),
    "nothing to compare with": lambda c: failure(lambda: list(c.find_overlaps("congruence", []))),
    "bad min tokens": lambda c: failure(lambda: list(c.find_overlaps("congruence", "congruence", min_tokens=10_001))),
    "no such corpus to compare with": lambda c: failure(lambda: list(c.find_overlaps("congruence", "nothing-here"))),
    "bad name": lambda c: failure(lambda: c.create_corpus("no/slashes")),
}


@pytest.mark.parametrize("name", CASES)
def test_every_way_gives_the_same_answer(clients: Clients, name: str) -> None:
    answers = {way: CASES[name](client) for way, client in clients.ways.items()}
    first = answers["remote sync"]
    for way, answer in answers.items():
        assert answer == first, way


def test_aconnect_and_searches_stand_in_async_with(clients: Clients) -> None:
    address = clients.ways["remote sync"].address

    async def main() -> None:
        async with aconnect(address) as client:
            assert isinstance(client, AsyncClient)
            async with client.find_duplicates("congruence", 0.5) as pairs:
                rows = [row async for batch in pairs for row in batch.rows()]
            assert rows
            assert pairs.summary is not None
        with pytest.raises(KinprintError, match="closed"):
            await client.server_info()
        async with await aconnect(address) as again, await again.find_clusters("congruence", 0.5) as found:
            assert [batch async for batch in found]
        alone = await aconnect(address)
        assert (await alone.get("congruence", "aloud")).id == "aloud"
        await alone.close()
        with pytest.raises(KinprintError):
            async with aconnect("127.0.0.1:9", timeout=1):
                raise AssertionError("nobody answers there")

    asyncio.run(main())


def test_answers_are_right_and_not_only_equal(clients: Clients) -> None:
    client: Client = clients.ways["embedded sync"]
    hits = client.search(ALOUD, corpus="congruence").hits
    assert {hit.id for hit in hits[:2]} == {"aloud", "aloud-again"}
    assert [hit.score for hit in hits[:2]] == [1.0, 1.0]
    assert hits[2].id == "aloud-edited"
    assert 0 < hits[2].score < 1
    stored = client.get("congruence", "tides-thought")
    assert stored.reasoning is not None
    assert "Two bulges." in stored.reasoning
    assert stored.response == f"{TIDES} Low water follows."
    assert client.get("congruence", "odd").response == ROWS[7].response
    assert client.get("congruence", "aloud-edited").created_at == ROWS[2].created_at
    assert dict(client.get("congruence", "aloud-edited").metadata) == ROWS[2].metadata


def test_clusters_and_overlaps_are_right(clients: Clients) -> None:
    client: Client = clients.ways["embedded sync"]
    found, summary = clusters(client)
    named = dict(zip(found["id"], found["cluster"], strict=True))
    assert named == {
        "aloud": "aloud",
        "aloud-again": "aloud",
        "aloud-edited": "aloud",
        "odd": "odd",
        "tides": "tides",
        "tides-thought": "tides",
        "zh": "zh",
    }
    assert (summary.clusters, summary.blank, summary.rows) == (4, 1, 7)
    spans, totals = overlaps(client)
    assert totals.texts_with_spans == 5
    stored = {row.id: row.response for row in client.list("congruence")}
    for place, (a, b) in enumerate(zip(spans["id_a"], spans["id_b"], strict=True)):
        text = stored[a][spans["start_a"][place] : spans["end_a"][place]]
        assert text == stored[b][spans["start_b"][place] : spans["end_b"][place]]
        assert len(text) > 50


def test_a_search_that_is_left_says_nothing_of_its_totals(clients: Clients) -> None:
    client: Client = clients.ways["remote sync"]
    with client.find_overlaps("congruence", "congruence") as search:
        next(iter(search))
    assert search.summary is None
    told: list[float] = []
    list(client.find_clusters("congruence", progress=lambda progress: told.append(progress.share)))
    assert told == sorted(told)
    assert told[0] == 0


def test_errors_of_rows_name_row_reason_and_field(clients: Clients) -> None:
    for client in clients.ways.values():
        report = client.upsert("congruence-errors", BAD_ROWS)
        assert [(error.row, error.reason) for error in report.errors[:3]] == [
            (0, "INVALID_UTF8"),
            (1, "MISSING_RESPONSE"),
            (2, "TEXT_TOO_LONG"),
        ]
        assert "response" in report.errors[0].message
        assert report.failed == len(BAD_ROWS)
        assert report.unfinished == 0


def test_writing_and_erasing(clients: Clients) -> None:
    answers = []
    for client in clients.ways.values():
        name = "congruence-writes"
        client.create_corpus(name, "short-lived")
        first = client.upsert(name, ({"response": text, "model": "m"} for text in (ALOUD, ALOUD, TIDES)))
        again = client.upsert(name, [{"response": text, "model": "m"} for text in (ALOUD, ALOUD, TIDES)])
        ids = [item.id for item in client.list(name)]
        assert len(set(ids)) == 3
        replaced = client.upsert(name, [Transcript(TIDES, id=ids[0], model="m")])
        deleted = client.delete(name, [ids[1], "nothing-here"])
        purged = client.purge(name, [ids[2]])
        left = [(item.id, item.response) for item in client.list(name)]
        removed = client.delete_corpus(name)
        answers.append(
            (
                (first.created, again.unchanged, replaced.replaced),
                (deleted.deleted, deleted.not_found),
                purged.erased,
                left,
                removed,
                failure(functools.partial(client.get_corpus, name)),
            )
        )
    assert answers[0][0] == (3, 3, 1)
    assert answers[0][1] == (1, 1)
    assert all(answer == answers[0] for answer in answers)


def test_a_second_client_uses_the_server_that_holds_the_directory(tmp_path: Path, tiny_model: Path) -> None:
    first = connect(tmp_path / "data", model=tiny_model)
    with connect(tmp_path / "data") as second:
        assert second.address == first.address
        assert second.server_info().pid == first.server_info().pid
        first.upsert("c", [Transcript(ALOUD, id="a")])
        pid = first.server_info().pid
        # The server goes away with the client that started it; the other one starts its own.
        first.close()
        assert second.get("c", "a").response == ALOUD
        assert second.server_info().pid != pid
        assert second.upsert("c", [Transcript(TIDES, id="b")]).created == 1
    assert not (tmp_path / "data" / "kinprint.sock").exists()
