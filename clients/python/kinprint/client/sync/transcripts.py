# Generated from kinprint/client/aio/transcripts.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on transcripts: storing, reading, deleting and erasing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kinprint.client import contract
from kinprint.client.convert import transcripts as convert
from kinprint.client.convert.base import filter_to_proto
from kinprint.client.errors import KinprintError, UnavailableError, UpsertError, UpsertInterrupted
from kinprint.client.files.rows import SourceRow
from kinprint.client.sync.calls import Calls
from kinprint.client.types import ChannelName, DeleteReport, Filter, LoadReport, PurgeProgress, Transcript
from kinprint.client.upsert import Progress, RetryClock, StreamEndedError, UpsertSession, is_retryable
from kinprint.client.wire.sync import Items, Stream, each, sleep
from kinprint.v1 import transcript_pb2

_DELETED_AT_ONCE = 10_000


class TranscriptCalls(Calls):
    """Calls on transcripts."""

    def upsert(
        self,
        corpus: str,
        transcripts: Items[Transcript | Mapping[str, Any] | SourceRow],
        *,
        channels: ChannelName | Sequence[ChannelName] = (),
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
        source = each(transcripts)
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
                sleep(delay)
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
        self, session: UpsertSession, source: Iterator[Any], clock: RetryClock, timeout: float | None
    ) -> None:
        stream = self._open(contract.UPSERT, None, timeout)
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
                    sleep(delay)
            stream.send(session.stop_request())
            while not session.finished:
                self._receive(stream, session, clock)
        finally:
            stream.close()

    @staticmethod
    def _receive(
        stream: Stream[transcript_pb2.UpsertTranscriptsRequest, transcript_pb2.UpsertTranscriptsResponse],
        session: UpsertSession,
        clock: RetryClock,
    ) -> None:
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
        response = self._unary(contract.GET_TRANSCRIPT, request, timeout)
        return convert.transcript_from_proto(response.transcript)

    def list(
        self,
        corpus: str,
        *,
        filter: Filter | None = None,
        page_size: int = 500,
        timeout: float | None = None,
    ) -> Iterator[Transcript]:
        """The transcripts of a corpus in the order of their last write, page by page."""
        row_filter = filter_to_proto(filter)
        token = ""
        while True:
            request = convert.list_transcripts_request(corpus, row_filter, page_size, token)
            response = self._unary(contract.LIST_TRANSCRIPTS, request, timeout)
            for message in response.transcripts:
                yield convert.transcript_from_proto(message)
            token = response.next_page_token
            if not token:
                return

    def delete(self, corpus: str, ids: Iterable[str], *, timeout: float | None = None) -> DeleteReport:
        """Delete transcripts by id, any number; ids that are not there are counted."""
        deleted = not_found = 0
        pending = [ids] if isinstance(ids, str) else [*ids]
        for start in range(0, len(pending), _DELETED_AT_ONCE):
            request = convert.delete_transcripts_request(corpus, pending[start : start + _DELETED_AT_ONCE])
            response = self._unary(contract.DELETE_TRANSCRIPTS, request, timeout)
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
        stream = self._open(contract.PURGE, convert.purge_request(corpus, ids), timeout)
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
