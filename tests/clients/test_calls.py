"""Connections that break, and streams that end before they have said all: what is sent again, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from kinprint.client import Client, SearchQuery, Transcript, UnavailableError, UpsertError
from kinprint.client.access import Access
from kinprint.client.contract import METHODS
from kinprint.client.sync import calls, match, transcripts
from kinprint.v1 import match_pb2, snapshot_pb2, transcript_pb2

#: What changes nothing: calls that may reach a server twice.
REPEATABLE = {
    "GetServerInfo",
    "GetCorpus",
    "ListCorpora",
    "GetTranscript",
    "ListTranscripts",
    "Fingerprint",
    "Search",
    "Compare",
    "InspectPanel",
    "ListJobs",
    "GetJob",
    "GetFill",
    "CompareModels",
    "ListSnapshots",
}


class Gone(grpc.RpcError):
    """What gRPC raises when nobody is there."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "gone"


class Server:
    """Connections to a server that goes away at each call of some methods."""

    def __init__(self, gone: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self.gone, self.code = gone, code
        self.asked: list[str] = []
        self.made = 0

    def connection(self, address: str, _access: Access) -> Any:
        self.made += 1
        return Connected(self, address)

    # of an `EmbeddedServer`

    def address(self) -> str:
        return "unix:/next"

    def close(self) -> None:
        """Nothing runs."""


class Connected:
    secure = False

    def __init__(self, server: Server, address: str) -> None:
        self.server, self.address = server, address

    def call(self, method: Any, _request: Any, _timeout: float | None) -> Any:
        self.server.asked.append(method.name)
        if method.name == self.server.gone:
            raise Gone(self.server.code)
        return method.response()

    def close(self) -> None:
        """There is no channel."""


def client_of(server: Server, monkeypatch: pytest.MonkeyPatch, *, embedded: bool = True) -> Client:
    monkeypatch.setattr(calls, "Connection", server.connection)
    first: Any = Connected(server, "unix:/first")
    access = Access()
    held: Any = server if embedded else None
    return Client(first, held, timeout=1.0, retry_deadline=0.0, access=access)


def test_what_may_be_sent_again_is_named_one_by_one() -> None:
    assert {method.name for method in METHODS if method.repeatable} == REPEATABLE


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_call_that_changes_something_is_sent_once(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode) -> None:
    server = Server("DeleteTranscripts", code)
    client = client_of(server, monkeypatch)
    with pytest.raises(Exception, match="gone"):
        client.delete("c", ["a"])
    # Before it, whether anybody is there is found out by a call that may be repeated.
    assert server.asked == ["GetServerInfo", "DeleteTranscripts"]
    assert server.made == 0


def test_a_call_that_changes_nothing_goes_to_the_next_server(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("GetCorpus")
    client = client_of(server, monkeypatch)
    with pytest.raises(UnavailableError, match="gone"):
        client.get_corpus("c")
    assert server.asked == ["GetCorpus"] * 3
    assert (server.made, client.address) == (2, "unix:/next")


@pytest.mark.parametrize(
    ("code", "embedded"), [(grpc.StatusCode.UNAVAILABLE, False), (grpc.StatusCode.DEADLINE_EXCEEDED, True)]
)
def test_others_are_sent_once(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, embedded: bool) -> None:
    """To an address gRPC itself repeats, by the service config; what takes too long takes too long again."""
    server = Server("GetCorpus", code)
    client = client_of(server, monkeypatch, embedded=embedded)
    with pytest.raises(Exception, match="gone"):
        client.get_corpus("c")
    assert (server.asked, server.made) == (["GetCorpus"], 0)


# ---- streams ----


class Said:
    """A stream whose messages are known beforehand; None ends it."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = [*messages, None]
        self.sent: list[Any] = []
        self.closed = False

    def send(self, request: Any) -> None:
        self.sent.append(request)

    def receive(self) -> Any:
        return self.messages.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Client, list[Said]]]]:
    """A client whose streams say what they are given, one after the other."""

    def make(*each: list[Any], deadline: float = 60.0) -> tuple[Client, list[Said]]:
        client = client_of(Server(""), monkeypatch)
        client._retry_deadline = deadline
        opened = [Said(messages) for messages in each]
        left = iter(opened)
        monkeypatch.setattr(client, "_open", lambda *_: next(left))
        for module in (match, transcripts):
            monkeypatch.setattr(module, "sleep", lambda _seconds: None)
        return client, opened

    return make  # type: ignore[return-value]


def test_results_that_end_without_their_totals_are_no_results(streams: Any) -> None:
    pairs = match_pb2.FindDuplicatesResponse(pairs=match_pb2.DuplicatePairs())
    progress = match_pb2.FindDuplicatesResponse(progress=match_pb2.DuplicatesProgress(step="x", share=0.5))
    finished = match_pb2.FindDuplicatesResponse(finished=match_pb2.DuplicatesFinished())
    client, (cut, whole) = streams([pairs, progress], [pairs, progress, finished])
    with client.find_duplicates("c") as found, pytest.raises(UnavailableError, match="without its totals"):
        list(found)
    assert (found.summary, cut.closed) == (None, True)
    with client.find_duplicates("c") as found:
        assert len(list(found)) == 1
    assert found.summary is not None
    assert whole.closed


def test_a_purge_or_a_restore_that_ends_early_says_so(streams: Any) -> None:
    client, (purge, restore) = streams(
        [transcript_pb2.PurgeTranscriptsResponse(step="rewriting")], [snapshot_pb2.RestoreSnapshotResponse(step="x")]
    )
    with pytest.raises(UnavailableError, match="run it again"):
        client.purge("c", ["a"])
    with pytest.raises(UnavailableError, match="RestoreSnapshot ended without its last message"):
        client.restore_snapshot("s", "c")
    assert purge.closed
    assert restore.closed


def test_searches_without_an_answer_are_sent_again_and_in_their_order(streams: Any) -> None:
    def answer(tag: int) -> Any:
        return match_pb2.StreamSearchResponse(tag=tag, response=match_pb2.SearchResponse())

    client, (first, second) = streams([answer(1), answer(1)], [answer(2), answer(0), answer(3)])
    found = list(client.search_many([SearchQuery(text=f"q{k}", corpora=["c"]) for k in range(4)], window=3))
    assert [outcome.index for outcome in found] == [1, 2, 0, 3]
    assert [request.tag for request in first.sent] == [0, 1, 2, 3]
    assert [(request.tag, request.search.query.text) for request in second.sent] == [(0, "q0"), (2, "q2"), (3, "q3")]
    client, (first,) = streams([answer(1)], deadline=0.0)
    with pytest.raises(UnavailableError, match="ended the stream of searches early"):
        list(client.search_many(["q0", "q1"], corpus="c"))
    assert first.closed


def test_an_upsert_whose_stream_ends_goes_on_with_what_has_no_result(streams: Any) -> None:
    limits = transcript_pb2.Limits(
        max_text_bytes=1000, max_message_bytes=4000, max_batch_items=1, max_metadata_bytes=100, max_inflight_batches=8
    )

    def reply(**message: Any) -> Any:
        return transcript_pb2.UpsertTranscriptsResponse(**message)

    def result(sequence: int, name: str) -> Any:
        stored = transcript_pb2.UpsertedItem(id=name, outcome=transcript_pb2.UPSERT_OUTCOME_CREATED)
        items = [transcript_pb2.UpsertItemResult(item=stored)]
        return reply(result=transcript_pb2.UpsertResult(sequence=sequence, items=items))

    begun, done = (
        reply(started=transcript_pb2.UpsertStarted(limits=limits)),
        reply(finished=transcript_pb2.UpsertFinished()),
    )
    rows = [Transcript("text", id=name) for name in "abcd"]
    client, (first, second) = streams(
        [begun, result(2, "b")], [begun, *(result(k, name) for k, name in enumerate("acd", 1)), done]
    )
    report = client.upsert("c", rows)
    assert (report.created, report.reconnects) == (4, 1)
    assert [row.id for request in first.sent for row in request.batch.transcripts] == list("abcd")
    assert [row.id for request in second.sent for row in request.batch.transcripts] == list("acd")
    client, _ = streams([begun], deadline=0.0)
    with pytest.raises(UpsertError, match="shuts down") as caught:
        client.upsert("c", rows)
    assert (caught.value.report.stored, caught.value.report.unfinished) == (0, 4)
