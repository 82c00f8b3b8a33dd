"""Raw gRPC for the contract tests: generated stubs, statuses unpacked, upsert streams message by message."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from kinprint.v1 import (
    corpus_pb2,
    corpus_pb2_grpc,
    info_pb2_grpc,
    lineage_pb2_grpc,
    match_pb2,
    match_pb2_grpc,
    transcript_pb2,
    transcript_pb2_grpc,
    types_pb2,
)
from kinprint.v1.google_rpc import error_details_pb2, status_pb2

COPY, SEMANTIC, STYLE = types_pb2.CHANNEL_COPY, types_pb2.CHANNEL_SEMANTIC, types_pb2.CHANNEL_STYLE
ALL = (COPY, SEMANTIC, STYLE)

DEADLINE = 60.0
"""Seconds after which a call that hangs fails; no test measures time."""


class Stubs:
    """The five services over one channel with gRPC's own default options."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        self.corpora = corpus_pb2_grpc.CorpusServiceStub(self.channel)
        self.transcripts = transcript_pb2_grpc.TranscriptServiceStub(self.channel)
        self.match = match_pb2_grpc.MatchServiceStub(self.channel)
        self.lineage = lineage_pb2_grpc.LineageServiceStub(self.channel)
        self.info = info_pb2_grpc.InfoServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()


@dataclass(frozen=True)
class Refusal:
    """A status as a caller sees it."""

    code: str
    reason: str
    domain: str
    fields: tuple[str, ...]
    message: str
    retry_after: float | None


def unpack(status: status_pb2.Status, code: grpc.StatusCode | None = None) -> Refusal:
    """A google.rpc.Status with its details."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    delay = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        if detail.Unpack(retry):
            delay = retry.retry_delay.ToTimedelta().total_seconds()
    name = next(c.name for c in grpc.StatusCode if c.value[0] == status.code)
    assert code is None or code.name == name
    return Refusal(name, info.reason, info.domain, tuple(v.field for v in bad.field_violations), status.message, delay)


def refusal(error: grpc.RpcError) -> Refusal:
    """What a failed call ended with; the status in the trailers must agree with the call's own."""
    packed = [v for k, v in error.trailing_metadata() or () if k == "grpc-status-details-bin"]
    if not packed:
        return Refusal(error.code().name, "", "", (), error.details() or "", None)
    status = status_pb2.Status.FromString(packed[0])
    assert status.message == error.details()
    return unpack(status, error.code())


def refused(call: Callable[[], Any]) -> Refusal:
    """Run a call that must fail; streams are read to their end."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return refusal(error)
    raise AssertionError("the call succeeded")


def expect(found: Refusal, code: str, reason: str, *fields: str) -> Refusal:
    """Check code, reason, domain and violated fields of a refusal, and that it says something."""
    assert (found.code, found.reason, found.domain) == (code, reason, "kinprint"), found
    assert found.fields == fields, found
    assert len(found.message) > 10, found
    return found


def start(corpus: str, channels: Sequence[int] = (), create: bool = True) -> Any:
    """The first message of an upsert stream."""
    return transcript_pb2.UpsertTranscriptsRequest(
        start=transcript_pb2.UpsertStart(corpus=corpus, create_corpus=create, channels=channels)
    )


def batch(sequence: int, *rows: types_pb2.Transcript) -> Any:
    """A batch of an upsert stream."""
    return transcript_pb2.UpsertTranscriptsRequest(
        batch=transcript_pb2.UpsertBatch(sequence=sequence, transcripts=rows)
    )


def stop() -> Any:
    """The last message of an upsert stream."""
    return transcript_pb2.UpsertTranscriptsRequest(stop=transcript_pb2.UpsertStop())


def row(identifier: str, response: str, **fields: Any) -> types_pb2.Transcript:
    """A transcript."""
    return types_pb2.Transcript(id=identifier, response=response, **fields)


@dataclass(frozen=True)
class Upserted:
    """All answers of one upsert stream, which ended well."""

    started: Any
    #: Item results of each batch, by sequence.
    results: dict[int, list[Any]]
    acks: list[int]
    finished: Any

    @property
    def items(self) -> list[Any]:
        return [item for sequence in sorted(self.results) for item in self.results[sequence]]

    @property
    def outcomes(self) -> list[str]:
        """Outcome of each item, without the prefix; the reason where it was refused."""
        names = []
        for item in self.items:
            if item.WhichOneof("result") == "error":
                names.append(unpack(item.error).reason)
            else:
                names.append(transcript_pb2.UpsertOutcome.Name(item.item.outcome).removeprefix("UPSERT_OUTCOME_"))
        return names

    @property
    def ids(self) -> list[str]:
        return [item.item.id for item in self.items]


def upsert(
    stubs: Stubs, corpus: str, *batches: Iterable[types_pb2.Transcript], channels: Sequence[int] = ()
) -> Upserted:
    """Run a whole upsert stream and check the order of its answers."""
    messages = [start(corpus, channels)]
    messages += [batch(k, *rows) for k, rows in enumerate(batches, 1)]
    answers = list(stubs.transcripts.UpsertTranscripts(iter([*messages, stop()]), timeout=DEADLINE))
    kinds = [a.WhichOneof("message") for a in answers]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    results: dict[int, list[Any]] = {}
    acks: list[int] = []
    for answer in answers:
        if answer.HasField("result"):
            assert answer.result.sequence not in results
            results[answer.result.sequence] = list(answer.result.items)
        elif answer.HasField("ack"):
            # An ack never runs ahead of the results it covers, and only rises.
            assert set(range(1, answer.ack.sequence + 1)) <= set(results)
            assert not acks or answer.ack.sequence > acks[-1]
            acks.append(answer.ack.sequence)
    assert sorted(results) == list(range(1, len(batches) + 1))
    assert not batches or acks[-1] == len(batches)
    return Upserted(answers[0].started, results, acks, answers[-1].finished)


class OpenStream:
    """An upsert stream that is driven message by message."""

    def __init__(self, stubs: Stubs) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        self.call = stubs.transcripts.UpsertTranscripts(self._sent(), timeout=DEADLINE)

    def _sent(self) -> Iterator[Any]:
        while (message := self._requests.get()) is not None:
            yield message

    def send(self, *messages: Any) -> OpenStream:
        for message in messages:
            self._requests.put(message)
        return self

    def half_close(self) -> OpenStream:
        self._requests.put(None)
        return self

    def next(self, kind: str) -> Any:
        """The next answer of a kind; others are passed over."""
        for answer in self.call:
            if answer.WhichOneof("message") == kind:
                return getattr(answer, kind)
        raise AssertionError(f"the stream ended before {kind}")

    def rest(self) -> list[str]:
        """Kinds of all further answers."""
        return [answer.WhichOneof("message") for answer in self.call]

    def abandon(self) -> None:
        """Break the stream as a lost client does."""
        self.call.cancel()
        self._requests.put(None)


def search(stubs: Stubs, text: str, *corpora: str, **fields: Any) -> Any:
    """Search for a text."""
    request = match_pb2.SearchRequest(query=match_pb2.TextSource(text=text), corpora=corpora, **fields)
    return stubs.match.Search(request, timeout=DEADLINE)


def get(stubs: Stubs, corpus: str, identifier: str) -> types_pb2.Transcript:
    """Read one transcript."""
    request = transcript_pb2.GetTranscriptRequest(corpus=corpus, id=identifier)
    return stubs.transcripts.GetTranscript(request, timeout=DEADLINE).transcript


def listed(stubs: Stubs, corpus: str, page_size: int = 1000, **fields: Any) -> list[types_pb2.Transcript]:
    """All transcripts of a corpus, page by page."""
    rows: list[types_pb2.Transcript] = []
    token = ""
    while True:
        page = stubs.transcripts.ListTranscripts(
            transcript_pb2.ListTranscriptsRequest(corpus=corpus, page_size=page_size, page_token=token, **fields),
            timeout=DEADLINE,
        )
        rows += page.transcripts
        token = page.next_page_token
        if not token:
            return rows


def described(stubs: Stubs, corpus: str) -> corpus_pb2.Corpus:
    """GetCorpus."""
    return stubs.corpora.GetCorpus(corpus_pb2.GetCorpusRequest(name=corpus), timeout=DEADLINE).corpus
