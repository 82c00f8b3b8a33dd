"""The asyncio client: the calls of `kinprint.client.sync`, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc
import grpc.aio
from kinprint.client import convert, convert_lineage
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.errors import (
    CancelledError,
    KinprintError,
    UnavailableError,
    UpsertError,
    from_rpc_error,
    from_status,
)
from kinprint.client.lineage import (
    AttributedSet,
    AttributionSummary,
    EvidenceFile,
    KinshipPairs,
    KinshipSummary,
    Lineage,
    PanelEdge,
    PanelFile,
    PanelMember,
    PanelSource,
    PanelSummary,
    UnknownText,
)
from kinprint.client.rows import SourceRow
from kinprint.client.transport import Stubs, channel_options, check_size, parse_target
from kinprint.client.types import (
    ChannelName,
    Comparison,
    CorpusInfo,
    DeleteReport,
    DuplicateClusters,
    DuplicatePairs,
    DuplicatesProgress,
    DuplicatesSummary,
    Filter,
    Fingerprints,
    Limits,
    LoadReport,
    OverlapSpans,
    OverlapsSummary,
    PurgeProgress,
    SearchOutcome,
    SearchQuery,
    SearchResult,
    ServerInfo,
    Transcript,
    TranscriptRef,
)
from kinprint.client.upsert import Progress, RetryClock, StreamEndedError, UpsertSession, is_retryable
from kinprint.v1 import match_pb2

T = TypeVar("T")
Batch = TypeVar("Batch")
Summary = TypeVar("Summary")

_REESTABLISH = 3
_IDLE = 30.0
_PROBE = 10.0
_MISSES = 3


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class _Connection:
    """A channel with its stubs."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        options = channel_options()
        self.channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        self.stubs = Stubs(self.channel)

    async def close(self) -> None:
        await self.channel.close()


class _Stream:
    """A running streaming call, with a queue of requests and a watch over silence (see `sync._Stream`)."""

    def __init__(self, connection: _Connection, method: Callable[..., Any], request: Any, timeout: float | None):
        self._connection = connection
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._last = time.monotonic()
        self._dead = False
        self._call = method(self._requests() if request is None else request, timeout=timeout)
        self._watch = asyncio.create_task(self._watch_silence())

    async def _requests(self) -> AsyncIterator[Any]:
        # Writing beside reading: a server that waits for us to read must not keep us from reading.
        while (request := await self._queue.get()) is not None:
            yield request

    def send(self, request: Any) -> None:
        self._queue.put_nowait(request)

    async def receive(self) -> Any | None:
        """The next message, None at the end of the stream."""
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            if self._dead:
                raise UnavailableError(f"the server at {self._connection.address} fell silent") from error
            raise from_rpc_error(error, self._connection.address) from error
        self._last = time.monotonic()
        return None if message is grpc.aio.EOF else message

    async def close(self) -> None:
        self._queue.put_nowait(None)
        self._call.cancel()
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch

    async def _watch_silence(self) -> None:
        misses = 0
        while True:
            await asyncio.sleep(_IDLE)
            if time.monotonic() - self._last < _IDLE:
                misses = 0
                continue
            try:
                await self._connection.stubs.info.GetServerInfo(convert.server_info_request(), timeout=_PROBE)
                misses = 0
            except (grpc.RpcError, grpc.aio.UsageError):
                misses += 1
            if misses >= _MISSES:
                self._dead = True
                self._call.cancel()
                return


def _names(corpora: str | Sequence[str]) -> list[str]:
    return [corpora] if isinstance(corpora, str) else [*corpora]


def _itself(message: Any) -> Any:
    return message


class AsyncResultStream(Generic[Batch, Summary]):
    """A running search: `async for` over it gives batches of what it finds.

    `summary` is set when the iteration has ended. Closing it, or leaving its `async with` block, cancels the
    search.
    """

    def __init__(
        self,
        stream: _Stream,
        kind: str,
        convert_batch: Callable[[Any], Batch],
        convert_summary: Callable[[Any], Summary],
        progress: Callable[[DuplicatesProgress], None] | None,
    ) -> None:
        self._stream = stream
        self._kind = kind
        self._convert_batch = convert_batch
        self._convert_summary = convert_summary
        self._progress = progress
        self.summary: Summary | None = None

    async def __aiter__(self) -> AsyncIterator[Batch]:
        try:
            while (message := await self._stream.receive()) is not None:
                kind = message.WhichOneof("message")
                if kind == self._kind:
                    yield self._convert_batch(getattr(message, kind))
                elif kind == "progress" and self._progress is not None:
                    self._progress(DuplicatesProgress(message.progress.step, message.progress.share))
                elif kind == "finished":
                    self.summary = self._convert_summary(message.finished)
            if self.summary is None:
                raise UnavailableError("the search ended without its totals")
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel the search if it still runs."""
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


AsyncDuplicateSearch = AsyncResultStream[DuplicatePairs, DuplicatesSummary]
AsyncClusterSearch = AsyncResultStream[DuplicateClusters, DuplicatesSummary]
AsyncOverlapSearch = AsyncResultStream[OverlapSpans, OverlapsSummary]
AsyncKinshipSearch = AsyncResultStream[KinshipPairs, KinshipSummary]
AsyncAttributionStream = AsyncResultStream[list[AttributedSet], AttributionSummary]


class AsyncClient:
    """A connection to Kinprint for asyncio; made by `aconnect`.

    The calls, their arguments and their errors are those of `kinprint.client.Client`; iterators become
    asynchronous ones, and `upsert` and `search_many` take asynchronous iterables too.
    """

    def __init__(
        self,
        connection: _Connection,
        embedded: EmbeddedServer | None,
        *,
        timeout: float,
        retry_deadline: float,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        self.timeout = timeout
        self._connection = connection
        self._embedded = embedded
        self._retry_deadline = retry_deadline
        self._credentials = credentials
        self._lock = asyncio.Lock()
        self._closed = False
        self._limits: Limits | None = None

    # Connection

    @property
    def address(self) -> str:
        """Address of the server in use."""
        return self._connection.address

    async def close(self) -> None:
        """Close the connection; a server that this client started drains and exits."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            await self._connection.close()
            if self._embedded is not None:
                await asyncio.to_thread(self._embedded.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _reestablish(self, failed: _Connection) -> bool:
        if self._embedded is None:
            return False
        async with self._lock:
            if self._closed:
                return False
            if self._connection is failed:
                address = await asyncio.to_thread(self._embedded.address)
                await failed.close()
                self._connection = _Connection(address, self._credentials)
        return True

    async def _unary(
        self, service: str, method: str, request: Any, timeout: float | None, *, idempotent: bool = True
    ) -> Any:
        if not idempotent and self._embedded is not None:
            # The holder may have gone since the last call: find out by a call that can be repeated.
            await self._unary("info", "GetServerInfo", convert.server_info_request(), timeout)
        check_size(request, self._limits)
        for attempt in range(_REESTABLISH):
            self._check_open()
            connection = self._connection
            call = getattr(getattr(connection.stubs, service), method)
            try:
                return await call(request, timeout=self.timeout if timeout is None else timeout)
            except grpc.RpcError as error:
                problem = from_rpc_error(error, connection.address)
                again = idempotent and isinstance(problem, (UnavailableError, CancelledError))
                if not again or attempt + 1 == _REESTABLISH or not await self._reestablish(connection):
                    raise problem from error
            except grpc.aio.UsageError as error:
                # The channel was closed by another task while re-establishing.
                if connection is self._connection:
                    raise KinprintError(str(error)) from error
        raise UnavailableError(f"the server at {self.address} does not stay up")

    def _check_open(self) -> None:
        if self._closed:
            raise KinprintError("the client is closed")

    def _open(self, service: str, method: str, request: Any, timeout: float | None) -> _Stream:
        self._check_open()
        connection = self._connection
        return _Stream(connection, getattr(getattr(connection.stubs, service), method), request, timeout)

    # Server and corpora

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """What the server is: versions, limits, model, threads."""
        response = await self._unary("info", "GetServerInfo", convert.server_info_request(), timeout)
        info = convert.server_info_from_proto(response)
        self._limits = info.limits
        return info

    async def create_corpus(self, name: str, description: str = "", *, timeout: float | None = None) -> CorpusInfo:
        """Create an empty corpus."""
        request = convert.create_corpus_request(name, description)
        response = await self._unary("corpora", "CreateCorpus", request, timeout, idempotent=False)
        return convert.corpus_from_proto(response.corpus)

    async def get_corpus(self, name: str, *, timeout: float | None = None) -> CorpusInfo:
        """Describe a corpus, with its models, languages and size on disk."""
        response = await self._unary("corpora", "GetCorpus", convert.get_corpus_request(name), timeout)
        return convert.corpus_from_proto(response.corpus)

    async def list_corpora(self, *, page_size: int = 100, timeout: float | None = None) -> AsyncIterator[CorpusInfo]:
        """All corpora by name, page by page."""
        token = ""
        while True:
            request = convert.list_corpora_request(page_size, token)
            response = await self._unary("corpora", "ListCorpora", request, timeout)
            for corpus in response.corpora:
                yield convert.corpus_from_proto(corpus)
            token = response.next_page_token
            if not token:
                return

    async def delete_corpus(self, name: str, *, timeout: float | None = None) -> int:
        """Delete a corpus for good; returns how many transcripts it held."""
        request = convert.delete_corpus_request(name)
        response = await self._unary("corpora", "DeleteCorpus", request, timeout, idempotent=False)
        return int(response.transcripts)

    # Transcripts

    async def upsert(
        self,
        corpus: str,
        transcripts: Iterable[Transcript | Mapping[str, Any] | SourceRow]
        | AsyncIterable[Transcript | Mapping[str, Any] | SourceRow],
        *,
        channels: Sequence[ChannelName] = (),
        create: bool = True,
        progress: Progress | None = None,
        max_errors: int = 100,
        timeout: float | None = None,
    ) -> LoadReport:
        """Store transcripts; see `Client.upsert`. Cancelling the task ends the stream."""
        session = UpsertSession(corpus, channels, create=create, progress=progress, max_errors=max_errors)
        source = _each(transcripts)
        clock = RetryClock(self._retry_deadline)
        try:
            while True:
                self._check_open()
                connection = self._connection
                try:
                    await self._upsert_stream(session, source, clock, timeout)
                    break
                except StreamEndedError:
                    problem: KinprintError = UnavailableError("the server shuts down")
                except KinprintError as error:
                    if not is_retryable(error):
                        raise
                    problem = error
                session.broken()
                delay = clock.next_delay(problem.retry_after)
                if delay is None:
                    raise problem
                await asyncio.sleep(delay)
                await self._reestablish(connection)
        except KinprintError as error:
            raise UpsertError(error, session.report()) from error
        if session.source_error is not None:
            # What the source gave before it failed is stored by now.
            raise session.source_error
        return session.report()

    async def _upsert_stream(
        self, session: UpsertSession, source: AsyncIterator[Any], clock: RetryClock, timeout: float | None
    ) -> None:
        stream = self._open("transcripts", "UpsertTranscripts", None, timeout)
        try:
            stream.send(session.start_request())
            await self._receive(stream, session, clock)
            while True:
                while session.wants_rows:
                    try:
                        session.add(await anext(source))
                    except StopAsyncIteration:
                        session.source_done()
                    except Exception as error:
                        session.source_done(error)
                request = session.next_request()
                if request is not None:
                    stream.send(request)
                    if session.has_room:
                        continue
                if session.drained:
                    break
                await self._receive(stream, session, clock)
                if delay := session.take_delay():
                    await asyncio.sleep(delay)
            stream.send(session.stop_request())
            while not session.finished:
                await self._receive(stream, session, clock)
        finally:
            await stream.close()

    @staticmethod
    async def _receive(stream: _Stream, session: UpsertSession, clock: RetryClock) -> None:
        message = await stream.receive()
        if message is None:
            raise StreamEndedError
        session.receive(message)
        clock.progress()

    async def get(self, corpus: str, transcript_id: str, *, timeout: float | None = None) -> Transcript:
        """Read one transcript."""
        request = convert.get_transcript_request(corpus, transcript_id)
        response = await self._unary("transcripts", "GetTranscript", request, timeout)
        return convert.transcript_from_proto(response.transcript)

    async def list(
        self,
        corpus: str,
        *,
        filter: Filter | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> AsyncIterator[Transcript]:
        """The transcripts of a corpus in the order of their last write, page by page."""
        row_filter = convert.filter_to_proto(filter)
        token = ""
        while True:
            request = convert.list_transcripts_request(corpus, row_filter, page_size, token)
            response = await self._unary("transcripts", "ListTranscripts", request, timeout)
            for message in response.transcripts:
                yield convert.transcript_from_proto(message)
            token = response.next_page_token
            if not token:
                return

    async def delete(self, corpus: str, ids: Iterable[str], *, timeout: float | None = None) -> DeleteReport:
        """Delete transcripts by id, any number; ids that are not there are counted."""
        deleted = not_found = 0
        pending = [ids] if isinstance(ids, str) else [*ids]
        for start in range(0, len(pending), 10_000):
            request = convert.delete_transcripts_request(corpus, pending[start : start + 10_000])
            response = await self._unary("transcripts", "DeleteTranscripts", request, timeout, idempotent=False)
            deleted += response.deleted
            not_found += response.not_found
        return DeleteReport(deleted, not_found)

    async def purge(
        self,
        corpus: str,
        ids: Iterable[str] = (),
        *,
        progress: Callable[[PurgeProgress], None] | None = None,
        timeout: float | None = None,
    ) -> PurgeProgress:
        """Really erase the given transcripts and all that was deleted or replaced earlier."""
        await self.server_info()
        stream = self._open("transcripts", "PurgeTranscripts", convert.purge_request(corpus, ids), timeout)
        try:
            while (message := await stream.receive()) is not None:
                step = convert.purge_progress_from_proto(message)
                if progress is not None:
                    progress(step)
                if step.done:
                    return step
        finally:
            await stream.close()
        raise UnavailableError("the purge ended without its last message; run it again")

    # Matching

    async def fingerprint(
        self, texts: Sequence[str], *, channels: Sequence[ChannelName] = (), timeout: float | None = None
    ) -> Fingerprints:
        """Fingerprints of 1 to 1000 texts, without storing anything; channels empty: copy and style."""
        request = convert.fingerprint_request(texts, channels)
        return convert.fingerprints_from_proto(await self._unary("match", "Fingerprint", request, timeout))

    async def search(
        self,
        text: str | None = None,
        *,
        id: str | None = None,
        corpus: str | None = None,
        corpora: Sequence[str] = (),
        channels: Sequence[ChannelName] = (),
        top: int = 10,
        filter: Filter | None = None,
        min_score: float | None = None,
        max_spans: int = 0,
        query_language: str | None = None,
        timeout: float | None = None,
    ) -> SearchResult:
        """The transcripts whose answers resemble a text or a stored transcript; see `Client.search`."""
        query = SearchQuery(text, id, corpus, corpora, channels, top, filter, min_score, max_spans, query_language)
        return convert.search_result_from_proto(
            await self._unary("match", "Search", convert.search_request(query), timeout)
        )

    async def search_many(
        self,
        queries: Iterable[SearchQuery] | AsyncIterable[SearchQuery],
        *,
        window: int = 64,
        timeout: float | None = None,
    ) -> AsyncIterator[SearchOutcome]:
        """Search for many texts over one stream; see `Client.search_many`."""
        source = _each(queries)
        count = 0
        waiting: dict[int, Any] = {}
        clock = RetryClock(self._retry_deadline)
        exhausted = False
        while not exhausted or waiting:
            self._check_open()
            connection = self._connection
            stream = self._open("match", "StreamSearch", None, timeout)
            try:
                for tag, search in waiting.items():
                    stream.send(match_pb2.StreamSearchRequest(tag=tag, search=search))
                while True:
                    while not exhausted and len(waiting) < max(window, 1):
                        query = await anext(source, None)
                        if query is None:
                            exhausted = True
                            break
                        index, count = count, count + 1
                        try:
                            request = convert.search_request(query)
                            check_size(request, self._limits)
                        except KinprintError as error:
                            yield SearchOutcome(index, None, error)
                            continue
                        waiting[index] = request
                        stream.send(match_pb2.StreamSearchRequest(tag=index, search=request))
                    if not waiting:
                        break
                    message = await stream.receive()
                    if message is None:
                        raise UnavailableError("the server ended the stream of searches early")
                    clock.progress()
                    if waiting.pop(message.tag, None) is None:
                        continue
                    if message.WhichOneof("result") == "error":
                        yield SearchOutcome(message.tag, None, from_status(message.error))
                    else:
                        yield SearchOutcome(message.tag, convert.search_result_from_proto(message.response), None)
            except KinprintError as error:
                delay = clock.next_delay(error.retry_after) if is_retryable(error) else None
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                await self._reestablish(connection)
            finally:
                await stream.close()

    async def compare(
        self,
        a: str | TranscriptRef,
        b: str | TranscriptRef,
        *,
        channels: Sequence[ChannelName] = (),
        max_spans: int = 0,
        timeout: float | None = None,
    ) -> Comparison:
        """Compare two texts or stored transcripts in every channel asked for (empty: all that there are)."""
        request = convert.compare_request(a, b, channels, max_spans)
        return convert.comparison_from_proto(await self._unary("match", "Compare", request, timeout))

    async def find_duplicates(
        self,
        corpora: str | Sequence[str],
        threshold: float = 0.7,
        *,
        exact: bool = False,
        against: str | Sequence[str] = (),
        expand: bool = False,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AsyncDuplicateSearch:
        """All near-duplicate pairs, streamed in batches; see `Client.find_duplicates`."""
        names, others = _names(corpora), _names(against)
        request = convert.duplicates_request(names, threshold, filter, expand=expand, exact=exact, against=others)
        await self.server_info()
        stream = self._open("match", "FindDuplicates", request, timeout)
        named = partial(convert.pairs_from_proto, corpora=[*names, *others])
        return AsyncResultStream(stream, "pairs", named, convert.summary_from_proto, progress)

    async def find_clusters(
        self,
        corpora: str | Sequence[str],
        threshold: float = 0.7,
        *,
        exact: bool = False,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AsyncClusterSearch:
        """The cluster of every row, streamed in batches; see `Client.find_clusters`."""
        names = _names(corpora)
        request = convert.duplicates_request(names, threshold, filter, exact=exact, clusters=True)
        await self.server_info()
        stream = self._open("match", "FindDuplicates", request, timeout)
        named = partial(convert.clusters_from_proto, corpora=names)
        return AsyncResultStream(stream, "clusters", named, convert.summary_from_proto, progress)

    async def find_overlaps(
        self,
        corpora: str | Sequence[str],
        against: str | Sequence[str],
        *,
        min_tokens: int = 0,
        min_bits: float = 0.0,
        max_texts: int = 0,
        every: bool = False,
        unmarked: bool = False,
        filter: Filter | None = None,
        against_filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AsyncOverlapSearch:
        """Which answers stand, in part, in others, streamed in batches; see `Client.find_overlaps`."""
        names, others = _names(corpora), _names(against)
        request = convert.overlaps_request(
            names,
            others,
            filter,
            against_filter,
            min_tokens=min_tokens,
            min_bits=min_bits,
            max_texts=max_texts,
            every=every,
            unmarked=unmarked,
        )
        await self.server_info()
        stream = self._open("match", "FindOverlaps", request, timeout)
        named = partial(convert.spans_from_proto, corpora=names, against=others)
        return AsyncResultStream(stream, "spans", named, convert.overlaps_summary_from_proto, progress)

    # Lineage

    async def fit_panel(
        self,
        corpus: str,
        members: Iterable[PanelMember],
        edges: Iterable[PanelEdge] = (),
        *,
        filter: Filter | None = None,
        seed: int = 0,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> PanelFile:
        """Fit a panel on models of known families; see `Client.fit_panel`."""
        request = convert_lineage.fit_panel_request(corpus, members, edges, filter, seed)
        run = await self._start(
            "FitPanel", request, timeout, "chunk", bytes, convert_lineage.panel_summary_from_proto, progress
        )
        async with run:
            return PanelFile(b"".join([chunk async for chunk in run]))

    async def inspect_panel(self, panel: PanelSource, *, timeout: float | None = None) -> PanelSummary:
        """What a panel holds, checked by the server; see `Client.inspect_panel`."""
        request = convert_lineage.inspect_panel_request(panel)
        return convert_lineage.panel_summary_from_proto(
            (await self._unary("lineage", "InspectPanel", request, timeout)).summary
        )

    async def find_kinship(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        models: Sequence[str] = (),
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AsyncKinshipSearch:
        """How alike all pairs of models write, streamed in batches; see `Client.find_kinship`."""
        request = convert_lineage.kinship_request(corpus, panel, models, filter)
        convert_pairs, convert_summary = convert_lineage.kinship_from_proto, convert_lineage.kinship_summary_from_proto
        return await self._start("FindKinship", request, timeout, "pairs", convert_pairs, convert_summary, progress)

    async def attribute(
        self,
        corpus: str,
        texts: Iterable[UnknownText | str],
        *,
        panel: PanelSource | None = None,
        models: Sequence[str] = (),
        filter: Filter | None = None,
        seed: int = 0,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AsyncAttributionStream:
        """Which model wrote some texts, or none of them; see `Client.attribute`."""
        start = convert_lineage.attribute_start(corpus, panel, models, filter, seed)
        check_size(start, self._limits)
        await self.server_info()
        stream = self._open("lineage", "Attribute", None, timeout)
        try:
            stream.send(start)
            limits = convert_lineage.started_limits((await self._answer(stream, "started")).started)
            waiting = 0
            for batch in convert_lineage.attribute_batches(texts, limits):
                while waiting >= limits.max_inflight_batches:
                    await self._answer(stream, "received")
                    waiting -= 1
                stream.send(batch)
                waiting += 1
            stream.send(convert_lineage.attribute_stop())
        except BaseException:
            await stream.close()
            raise
        convert_sets, convert_summary = convert_lineage.sets_from_proto, convert_lineage.attribution_summary_from_proto
        return AsyncResultStream(stream, "sets", convert_sets, convert_summary, progress)

    @staticmethod
    async def _answer(stream: _Stream, kind: str) -> Any:
        """The next message, which is to be of one kind."""
        message = await stream.receive()
        if message is None or message.WhichOneof("message") != kind:
            raise UnavailableError("the server ended the stream of texts early")
        return message

    async def build_evidence(
        self,
        corpus: str,
        subject: str,
        source: str,
        *,
        panel: PanelSource | None = None,
        also: Sequence[tuple[str, str]] = (),
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> EvidenceFile:
        """The evidence on a pair of models, as a JSON document; see `Client.build_evidence`."""
        request = convert_lineage.evidence_request(corpus, subject, source, panel, also, filter)
        async with await self._start("BuildEvidence", request, timeout, "chunk", bytes, _itself, progress) as run:
            return convert_lineage.evidence_from_proto([chunk async for chunk in run])

    async def find_lineage(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> Lineage:
        """The models of a corpus in a tree by likeness; see `Client.find_lineage`."""
        request = convert_lineage.lineage_request(corpus, panel, filter)
        async with await self._start("FindLineage", request, timeout, "scores", _itself, _itself, progress) as run:
            scores = [rows async for rows in run]
        return convert_lineage.lineage_from_proto(scores, run.summary)

    async def _start(
        self,
        method: str,
        request: Any,
        timeout: float | None,
        kind: str,
        convert_batch: Callable[[Any], Batch],
        convert_summary: Callable[[Any], Summary],
        progress: Callable[[DuplicatesProgress], None] | None,
    ) -> AsyncResultStream[Batch, Summary]:
        """A run of the lineage service."""
        check_size(request, self._limits)
        await self.server_info()
        stream = self._open("lineage", method, request, timeout)
        return AsyncResultStream(stream, kind, convert_batch, convert_summary, progress)


async def aconnect(
    target: str | Path,
    *,
    timeout: float = 30.0,
    model: str | Path = "default",
    start_timeout: float = 600.0,
    retry_deadline: float = 120.0,
    create: bool = True,
    credentials: grpc.ChannelCredentials | None = None,
    on_start: Callable[[float], None] | None = None,
) -> AsyncClient:
    """Connect to a server, or serve a data directory; arguments and errors are those of `connect`."""
    parsed = parse_target(target)
    embedded: EmbeddedServer | None = None
    if parsed.directory is not None:
        embedded = EmbeddedServer(
            parsed.directory, model=str(model), start_timeout=start_timeout, create=create, on_start=on_start
        )
        try:
            address = await asyncio.to_thread(embedded.address)
        except BaseException:
            embedded.close()
            raise
    else:
        assert parsed.address is not None
        address = parsed.address
    client = AsyncClient(
        _Connection(address, credentials),
        embedded,
        timeout=timeout,
        retry_deadline=retry_deadline,
        credentials=credentials,
    )
    try:
        await client.server_info()
    except BaseException:
        await client.close()
        raise
    return client
