"""The synchronous client."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc
from kinprint.client import convert, convert_lineage
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.errors import (
    CancelledError,
    KinprintError,
    UnavailableError,
    UpsertError,
    UpsertInterrupted,
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
from kinprint.client.transport import Stubs, Target, channel_options, check_size, parse_target
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

Batch = TypeVar("Batch")
Summary = TypeVar("Summary")

_REESTABLISH = 3
# Seconds of silence on a stream before the server is asked for a sign of life, and how often it may miss.
_IDLE = 30.0
_PROBE = 10.0
_MISSES = 3


class _Connection:
    """A channel with its stubs."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        options = channel_options()
        self.channel = (
            grpc.insecure_channel(address, options=options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=options)
        )
        self.stubs = Stubs(self.channel)

    def close(self) -> None:
        self.channel.close()


class _Stream:
    """A running streaming call, with a queue of requests and a watch over silence.

    The gRPC library drains the queue in a thread of its own, which `close` ends. When the server is silent
    for long, a second thread asks it for a sign of life and cancels the call if none comes: a dead network
    would otherwise look like a slow server for ever.
    """

    def __init__(self, connection: _Connection, method: Callable[..., Any], request: Any, timeout: float | None):
        self._connection = connection
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._last = time.monotonic()
        self._dead = False
        self._closed = threading.Event()
        # A request given: a call with one request. None: a stream of requests.
        requests = iter(self._queue.get, None) if request is None else request
        self._call = method(requests, timeout=timeout)
        self._watch = threading.Thread(target=self._watch_silence, name="kinprint-watch", daemon=True)
        self._watch.start()

    def send(self, request: Any) -> None:
        self._queue.put(request)

    def receive(self) -> Any | None:
        """The next message, None at the end of the stream."""
        try:
            message = next(self._call, None)
        except grpc.RpcError as error:
            if self._dead:
                raise UnavailableError(f"the server at {self._connection.address} fell silent") from error
            raise from_rpc_error(error, self._connection.address) from error
        self._last = time.monotonic()
        return message

    def close(self) -> None:
        self._closed.set()
        self._queue.put(None)
        self._call.cancel()
        self._watch.join()

    def _watch_silence(self) -> None:
        misses = 0
        while not self._closed.wait(_IDLE):
            if time.monotonic() - self._last < _IDLE:
                misses = 0
                continue
            try:
                self._connection.stubs.info.GetServerInfo(convert.server_info_request(), timeout=_PROBE)
                misses = 0
            except (grpc.RpcError, ValueError):  # ValueError: the channel was closed meanwhile
                misses += 1
            if misses >= _MISSES:
                self._dead = True
                self._call.cancel()
                return


def _names(corpora: str | Sequence[str]) -> list[str]:
    return [corpora] if isinstance(corpora, str) else [*corpora]


def _itself(message: Any) -> Any:
    return message


class ResultStream(Generic[Batch, Summary]):
    """A running search: iterate over it for batches of what it finds.

    `summary` is set when the iteration has ended. Closing it, or leaving its `with` block, cancels the
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

    def __iter__(self) -> Iterator[Batch]:
        try:
            while (message := self._stream.receive()) is not None:
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
            self.close()

    def close(self) -> None:
        """Cancel the search if it still runs."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


DuplicateSearch = ResultStream[DuplicatePairs, DuplicatesSummary]
ClusterSearch = ResultStream[DuplicateClusters, DuplicatesSummary]
OverlapSearch = ResultStream[OverlapSpans, OverlapsSummary]
KinshipSearch = ResultStream[KinshipPairs, KinshipSummary]
AttributionStream = ResultStream[list[AttributedSet], AttributionSummary]


class Client:
    """A connection to Kinprint; made by `connect`. Safe to share between threads.

    Every call takes `timeout`, seconds, which replaces the client's own; long streams (`upsert`,
    `find_duplicates`, `find_kinship`, `purge`, `search_many`) have none unless given, since they show progress, and
    notice by themselves when the server is gone. Every call may raise the subclasses of `KinprintError`.

    Args: see `connect`.
    """

    def __init__(
        self,
        target: str | Path | EmbeddedServer,
        *,
        timeout: float = 30.0,
        model: str | Path = "default",
        start_timeout: float = 600.0,
        retry_deadline: float = 120.0,
        create: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        on_start: Callable[[float], None] | None = None,
    ) -> None:
        self.timeout = timeout
        self._retry_deadline = retry_deadline
        self._credentials = credentials
        self._lock = threading.Lock()
        self._closed = False
        self._limits: Limits | None = None
        self._embedded: EmbeddedServer | None = None
        parsed = Target() if isinstance(target, EmbeddedServer) else parse_target(target)
        if isinstance(target, EmbeddedServer):
            self._embedded = target
            address = target.address()
        elif parsed.directory is not None:
            self._embedded = EmbeddedServer(
                parsed.directory,
                model=str(model),
                start_timeout=start_timeout,
                create=create,
                on_start=on_start,
            )
            address = self._embedded.address()
        else:
            assert parsed.address is not None
            address = parsed.address
        self._connection = _Connection(address, credentials)

    # Connection

    @property
    def address(self) -> str:
        """Address of the server in use."""
        return self._connection.address

    def close(self) -> None:
        """Close the connection; a server that this client started drains and exits."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._connection.close()
            if self._embedded is not None:
                self._embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reestablish(self, failed: _Connection) -> bool:
        """Find or start another server for the directory; False when the target is an address."""
        if self._embedded is None:
            return False
        with self._lock:
            if self._closed:
                return False
            if self._connection is failed:
                address = self._embedded.address()
                failed.close()
                self._connection = _Connection(address, self._credentials)
        return True

    def _unary(self, service: str, method: str, request: Any, timeout: float | None, *, idempotent: bool = True) -> Any:
        if not idempotent and self._embedded is not None:
            # The holder may have gone since the last call: find out by a call that can be repeated.
            self._unary("info", "GetServerInfo", convert.server_info_request(), timeout)
        check_size(request, self._limits)
        for attempt in range(_REESTABLISH):
            self._check_open()
            connection = self._connection
            call = getattr(getattr(connection.stubs, service), method)
            try:
                return call(request, timeout=self.timeout if timeout is None else timeout)
            except grpc.RpcError as error:
                problem = from_rpc_error(error, connection.address)
                again = idempotent and isinstance(problem, (UnavailableError, CancelledError))
                if not again or attempt + 1 == _REESTABLISH or not self._reestablish(connection):
                    raise problem from error
            except ValueError as error:
                # grpc raises it for a channel that another thread closed while re-establishing.
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

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """What the server is: versions, limits, model, threads."""
        response = self._unary("info", "GetServerInfo", convert.server_info_request(), timeout)
        info = convert.server_info_from_proto(response)
        self._limits = info.limits
        return info

    def create_corpus(self, name: str, description: str = "", *, timeout: float | None = None) -> CorpusInfo:
        """Create an empty corpus.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        request = convert.create_corpus_request(name, description)
        response = self._unary("corpora", "CreateCorpus", request, timeout, idempotent=False)
        return convert.corpus_from_proto(response.corpus)

    def get_corpus(self, name: str, *, timeout: float | None = None) -> CorpusInfo:
        """Describe a corpus, with its models, languages and size on disk.

        Raises:
            NotFoundError: there is none of that name.
        """
        response = self._unary("corpora", "GetCorpus", convert.get_corpus_request(name), timeout)
        return convert.corpus_from_proto(response.corpus)

    def list_corpora(self, *, page_size: int = 100, timeout: float | None = None) -> Iterator[CorpusInfo]:
        """All corpora by name, page by page."""
        token = ""
        while True:
            request = convert.list_corpora_request(page_size, token)
            response = self._unary("corpora", "ListCorpora", request, timeout)
            for corpus in response.corpora:
                yield convert.corpus_from_proto(corpus)
            token = response.next_page_token
            if not token:
                return

    def delete_corpus(self, name: str, *, timeout: float | None = None) -> int:
        """Delete a corpus for good; returns how many transcripts it held."""
        request = convert.delete_corpus_request(name)
        response = self._unary("corpora", "DeleteCorpus", request, timeout, idempotent=False)
        return int(response.transcripts)

    # Transcripts

    def upsert(
        self,
        corpus: str,
        transcripts: Iterable[Transcript | Mapping[str, Any] | SourceRow],
        *,
        channels: Sequence[ChannelName] = (),
        create: bool = True,
        progress: Progress | None = None,
        max_errors: int = 100,
        timeout: float | None = None,
    ) -> LoadReport:
        """Store transcripts; the same ids again replace, the same rows again change nothing.

        Rows are sent in batches (at most 500 rows or 1 MiB) with a bounded number on their way, so any
        iterable works in bounded memory. When the server goes away, the batches that it did not confirm are
        sent again, for at most `retry_deadline` seconds without progress.

        Args:
            corpus: name of the corpus.
            transcripts: `Transcript` objects, or mappings with the columns that `kinprint load` takes
                (`id` stands for `transcript_id`).
            channels: channels to fill; empty: copy and style.
            create: create the corpus if it is not there.
            progress: called with the report so far after each batch.
            max_errors: failed rows listed in the report; all are counted.
            timeout: seconds for each stream, None for no limit.

        Returns:
            What became of the rows. A row that cannot be stored is counted and does not stop the others.

        Raises:
            UpsertError: it could not go on; carries the report.
            UpsertInterrupted: Ctrl-C; a KeyboardInterrupt that carries the report.
        """
        session = UpsertSession(corpus, channels, create=create, progress=progress, max_errors=max_errors)
        source = iter(transcripts)
        clock = RetryClock(self._retry_deadline)
        try:
            while True:
                self._check_open()
                connection = self._connection
                try:
                    self._upsert_stream(session, source, clock, timeout)
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
                time.sleep(delay)
                self._reestablish(connection)
        except KinprintError as error:
            raise UpsertError(error, session.report()) from error
        except KeyboardInterrupt:
            raise UpsertInterrupted(session.report()) from None
        if session.source_error is not None:
            # What the source gave before it failed is stored by now.
            raise session.source_error
        return session.report()

    def _upsert_stream(
        self,
        session: UpsertSession,
        source: Iterator[Any],
        clock: RetryClock,
        timeout: float | None,
    ) -> None:
        stream = self._open("transcripts", "UpsertTranscripts", None, timeout)
        try:
            stream.send(session.start_request())
            self._receive(stream, session, clock)
            while True:
                while session.wants_rows:
                    try:
                        session.add(next(source))
                    except StopIteration:
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
                self._receive(stream, session, clock)
                if delay := session.take_delay():
                    time.sleep(delay)
            stream.send(session.stop_request())
            while not session.finished:
                self._receive(stream, session, clock)
        finally:
            stream.close()

    @staticmethod
    def _receive(stream: _Stream, session: UpsertSession, clock: RetryClock) -> None:
        message = stream.receive()
        if message is None:
            raise StreamEndedError
        session.receive(message)
        clock.progress()

    def get(self, corpus: str, transcript_id: str, *, timeout: float | None = None) -> Transcript:
        """Read one transcript.

        Raises:
            NotFoundError: no such corpus or transcript.
        """
        request = convert.get_transcript_request(corpus, transcript_id)
        return convert.transcript_from_proto(self._unary("transcripts", "GetTranscript", request, timeout).transcript)

    def list(
        self,
        corpus: str,
        *,
        filter: Filter | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> Iterator[Transcript]:
        """The transcripts of a corpus in the order of their last write, page by page."""
        row_filter = convert.filter_to_proto(filter)
        token = ""
        while True:
            request = convert.list_transcripts_request(corpus, row_filter, page_size, token)
            response = self._unary("transcripts", "ListTranscripts", request, timeout)
            for message in response.transcripts:
                yield convert.transcript_from_proto(message)
            token = response.next_page_token
            if not token:
                return

    def delete(self, corpus: str, ids: Iterable[str], *, timeout: float | None = None) -> DeleteReport:
        """Delete transcripts by id, any number; ids that are not there are counted."""
        deleted = not_found = 0
        pending = [ids] if isinstance(ids, str) else [*ids]
        for start in range(0, len(pending), 10_000):
            request = convert.delete_transcripts_request(corpus, pending[start : start + 10_000])
            response = self._unary("transcripts", "DeleteTranscripts", request, timeout, idempotent=False)
            deleted += response.deleted
            not_found += response.not_found
        return DeleteReport(deleted, not_found)

    def purge(
        self,
        corpus: str,
        ids: Iterable[str] = (),
        *,
        progress: Callable[[PurgeProgress], None] | None = None,
        timeout: float | None = None,
    ) -> PurgeProgress:
        """Really erase the given transcripts (at most 10,000) and all that was deleted or replaced earlier.

        Returns:
            The last message: `erased` counts transcripts that were still live.
        """
        self.server_info()
        stream = self._open("transcripts", "PurgeTranscripts", convert.purge_request(corpus, ids), timeout)
        try:
            while (message := stream.receive()) is not None:
                step = convert.purge_progress_from_proto(message)
                if progress is not None:
                    progress(step)
                if step.done:
                    return step
        finally:
            stream.close()
        raise UnavailableError("the purge ended without its last message; run it again")

    # Matching

    def fingerprint(
        self, texts: Sequence[str], *, channels: Sequence[ChannelName] = (), timeout: float | None = None
    ) -> Fingerprints:
        """Fingerprints of 1 to 1000 texts, without storing anything; channels empty: copy and style."""
        request = convert.fingerprint_request(texts, channels)
        return convert.fingerprints_from_proto(self._unary("match", "Fingerprint", request, timeout))

    def search(
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
        """The transcripts whose answers resemble a text, or the stored transcript `id`, best first.

        Args:
            text: the text to look for.
            id: or the id of a stored transcript; `corpus` says where it is, when several are searched.
            corpus: corpus to search, and home of `id`.
            corpora: corpora to search, in place of `corpus`.
            channels: channels to search; empty: copy. Scores of different channels are never mixed.
            top: most hits per channel, 1 to 1000.
            filter: rows that may be returned.
            min_score: least score of a hit.
            max_spans: most spans of a copy hit, 0 for 20.
            query_language: language of the text, when known.
            timeout: seconds.

        Raises:
            FailedPreconditionError: a channel was never filled (the message says how to fill it).
        """
        query = SearchQuery(text, id, corpus, corpora, channels, top, filter, min_score, max_spans, query_language)
        return convert.search_result_from_proto(self._unary("match", "Search", convert.search_request(query), timeout))

    def search_many(
        self, queries: Iterable[SearchQuery], *, window: int = 64, timeout: float | None = None
    ) -> Iterator[SearchOutcome]:
        """Search for many texts over one stream; answers come as they are ready, each with its index.

        A query that fails gives an outcome with `error` and the others go on. At most `window` queries are on
        their way at once. When the server goes away, unanswered queries are sent again.
        """
        source = enumerate(queries)
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
                        index, query = next(source, (-1, None))
                        if query is None:
                            exhausted = True
                            break
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
                    message = stream.receive()
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
                time.sleep(delay)
                self._reestablish(connection)
            finally:
                stream.close()

    def compare(
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
        return convert.comparison_from_proto(self._unary("match", "Compare", request, timeout))

    def find_duplicates(
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
    ) -> DuplicateSearch:
        """All near-duplicate pairs within and between corpora, streamed in batches.

        Args:
            corpora: one name or several.
            threshold: least Jaccard of a pair, 0.1 to 1.
            exact: miss no pair; takes longer, and 8 bytes of memory a shingle.
            against: names of other corpora; only pairs between the two sides are sought.
            expand: list every pair of identical answers, not only those with the smallest id of the group.
            filter: rows to consider.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        names, others = _names(corpora), _names(against)
        request = convert.duplicates_request(names, threshold, filter, expand=expand, exact=exact, against=others)
        self.server_info()
        stream = self._open("match", "FindDuplicates", request, timeout)
        named = partial(convert.pairs_from_proto, corpora=[*names, *others])
        return ResultStream(stream, "pairs", named, convert.summary_from_proto, progress)

    def find_clusters(
        self,
        corpora: str | Sequence[str],
        threshold: float = 0.7,
        *,
        exact: bool = False,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> ClusterSearch:
        """The cluster of every row that is not blank, streamed in batches, ordered by corpus and id.

        Clusters are the connected components of the near-duplicate pairs; two rows of one need not be alike
        themselves. Arguments as in `find_duplicates`.
        """
        names = _names(corpora)
        request = convert.duplicates_request(names, threshold, filter, exact=exact, clusters=True)
        self.server_info()
        stream = self._open("match", "FindDuplicates", request, timeout)
        named = partial(convert.clusters_from_proto, corpora=names)
        return ResultStream(stream, "clusters", named, convert.summary_from_proto, progress)

    def find_overlaps(
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
    ) -> OverlapSearch:
        """Which answers stand, in part and byte for byte, in others, streamed in batches.

        Args:
            corpora: one name or several (side A).
            against: names of the corpora to compare with (side B); the same names compare every answer with all
                others.
            min_tokens: least words (or code points, in scripts without spaces) of a passage; 0 means 12.
            min_bits: least rarity of a passage.
            max_texts: seeds in more texts of side B than this are passed over as common phrases; 0 means 2000.
            every: list each answer of side B that holds a passage, not only the first.
            unmarked: leave out passages that are marked as no evidence.
            filter: rows of side A to consider.
            against_filter: rows of side B to consider; on the same corpora, those of side A are left out.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
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
        self.server_info()
        stream = self._open("match", "FindOverlaps", request, timeout)
        named = partial(convert.spans_from_proto, corpora=names, against=others)
        return ResultStream(stream, "spans", named, convert.overlaps_summary_from_proto, progress)

    # Lineage

    def fit_panel(
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
        """Fit a panel: what unrelated, kin and derived models of a corpus look like beside one another.

        Args:
            corpus: name of the corpus.
            members: the models of the background, with their families; those without answers here are passed over,
                and the panel's cautions say so.
            edges: relations known beforehand; none: the closer half of each family's pairs stands for derived pairs.
            filter: rows to consider.
            seed: seed of the draws; the same seed on the same rows gives the same panel.
            progress: called as the fit goes on.
            timeout: seconds for the whole run, None for no limit.

        Raises:
            FailedPreconditionError: these models allow no background (reason PANEL_UNFIT); the message says why.
        """
        request = convert_lineage.fit_panel_request(corpus, members, edges, filter, seed)
        run = self._start(
            "FitPanel", request, timeout, "chunk", bytes, convert_lineage.panel_summary_from_proto, progress
        )
        with run:
            return PanelFile(b"".join(run))

    def inspect_panel(self, panel: PanelSource, *, timeout: float | None = None) -> PanelSummary:
        """What a panel holds, after the server has checked that it can use it.

        Raises:
            InvalidArgumentError: this is no panel, or was changed (reason PANEL_DAMAGED).
            FailedPreconditionError: a newer version made it (FORMAT_TOO_NEW), or one with other features
                (PIPELINE_MISMATCH): fit it again.
        """
        request = convert_lineage.inspect_panel_request(panel)
        return convert_lineage.panel_summary_from_proto(
            self._unary("lineage", "InspectPanel", request, timeout).summary
        )

    def find_kinship(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        models: Sequence[str] = (),
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> KinshipSearch:
        """How alike all pairs of models of a corpus write, best first, streamed in batches.

        Args:
            corpus: name of the corpus.
            panel: the background: from `fit_panel`, its bytes, or the path of its file. Without one pairs are
                scored, and nothing is concluded.
            models: only pairs among these.
            filter: rows to consider.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert_lineage.kinship_request(corpus, panel, models, filter)
        convert_pairs, convert_summary = convert_lineage.kinship_from_proto, convert_lineage.kinship_summary_from_proto
        return self._start("FindKinship", request, timeout, "pairs", convert_pairs, convert_summary, progress)

    def attribute(
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
    ) -> AttributionStream:
        """Which model of a corpus wrote each of some texts or sets of texts, or that none of them did.

        The texts are sent before this returns; the sets come as lists of `AttributedSet`, in the order of their first
        text. `summary` of the stream says how far to believe them.

        Args:
            corpus: name of the corpus with the answers of the known models.
            texts: `UnknownText`s; a plain string is a set of its own, with its place from 0 as id.
            panel: gives the families of the models.
            models: name only these; the other models of the corpus show what an unknown author looks like.
            filter: rows of the corpus to learn from.
            seed: seed of the draws.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        start = convert_lineage.attribute_start(corpus, panel, models, filter, seed)
        check_size(start, self._limits)
        self.server_info()
        stream = self._open("lineage", "Attribute", None, timeout)
        try:
            stream.send(start)
            limits = convert_lineage.started_limits(self._answer(stream, "started").started)
            waiting = 0
            for batch in convert_lineage.attribute_batches(texts, limits):
                while waiting >= limits.max_inflight_batches:
                    self._answer(stream, "received")
                    waiting -= 1
                stream.send(batch)
                waiting += 1
            stream.send(convert_lineage.attribute_stop())
        except BaseException:
            stream.close()
            raise
        convert_sets, convert_summary = convert_lineage.sets_from_proto, convert_lineage.attribution_summary_from_proto
        return ResultStream(stream, "sets", convert_sets, convert_summary, progress)

    @staticmethod
    def _answer(stream: _Stream, kind: str) -> Any:
        """The next message, which is to be of one kind."""
        message = stream.receive()
        if message is None or message.WhichOneof("message") != kind:
            raise UnavailableError("the server ended the stream of texts early")
        return message

    def build_evidence(
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
        """The evidence for and against one model descending from another, as a JSON document.

        Args:
            corpus: name of the corpus with answers of both.
            subject: the model that may have come from the other.
            source: the model that it may have come from.
            panel: the background; without one there are scores and examples, and nothing is concluded.
            also: further pairs (subject, source) that were to be tested from the start; p-values are corrected for
                them.
            filter: rows to consider.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert_lineage.evidence_request(corpus, subject, source, panel, also, filter)
        with self._start("BuildEvidence", request, timeout, "chunk", bytes, _itself, progress) as run:
            return convert_lineage.evidence_from_proto(list(run))

    def find_lineage(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> Lineage:
        """The models of a corpus in a tree by likeness, which is no evidence that any of them are related.

        Args:
            corpus: name of the corpus.
            panel: the background; scores are then those of `find_kinship` with it.
            filter: rows to consider; may name models.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert_lineage.lineage_request(corpus, panel, filter)
        with self._start("FindLineage", request, timeout, "scores", _itself, _itself, progress) as run:
            scores = list(run)
        return convert_lineage.lineage_from_proto(scores, run.summary)

    def _start(
        self,
        method: str,
        request: Any,
        timeout: float | None,
        kind: str,
        convert_batch: Callable[[Any], Batch],
        convert_summary: Callable[[Any], Summary],
        progress: Callable[[DuplicatesProgress], None] | None,
    ) -> ResultStream[Batch, Summary]:
        """A run of the lineage service."""
        check_size(request, self._limits)
        self.server_info()
        stream = self._open("lineage", method, request, timeout)
        return ResultStream(stream, kind, convert_batch, convert_summary, progress)


def connect(
    target: str | Path | EmbeddedServer,
    *,
    timeout: float = 30.0,
    model: str | Path = "default",
    start_timeout: float = 600.0,
    retry_deadline: float = 120.0,
    create: bool = True,
    credentials: grpc.ChannelCredentials | None = None,
    on_start: Callable[[float], None] | None = None,
) -> Client:
    """Connect to a server, or serve a data directory.

    Args:
        target: `"host:port"`, `"unix:/path"`, `"dns:///..."`: a server's address. A `Path`, or a string with
            a path separator, starting with `.` or `~`, or naming an existing directory: a data directory. If
            a server holds it, that one is used; else one is started as a child process (needs the extra
            `server`) and stopped by `close`.
        timeout: seconds that a call may take, unless it says otherwise.
        model: for a server started here: directory of the embedding model, "default" or "none".
        start_timeout: seconds that a server started here may take to be ready.
        retry_deadline: seconds without progress after which an upsert gives up.
        create: make the data directory if it is not there.
        credentials: for a TLS server.
        on_start: called with the seconds waited so far while a server starts.

    Raises:
        UnavailableError: no server answers at the address.
        EmbeddedServerError: the directory cannot be served; says why.
    """
    client = Client(
        target,
        timeout=timeout,
        model=model,
        start_timeout=start_timeout,
        retry_deadline=retry_deadline,
        create=create,
        credentials=credentials,
        on_start=on_start,
    )
    try:
        client.server_info()
    except BaseException:
        client.close()
        raise
    return client
