"""TranscriptService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any

import grpc
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.listing import find, page
from kinprint.server.edge.call import complete
from kinprint.server.edge.principal import current
from kinprint.server.edge.visible import visible
from kinprint.server.failures import InvalidField
from kinprint.server.progress import Stopped
from kinprint.server.services.messages import types as convert
from kinprint.server.services.paging import read_token, seq_of, write_token
from kinprint.server.services.streams import Ended, told
from kinprint.server.services.upsert import UpsertStream
from kinprint.server.state import State
from kinprint.server.wording import counted
from kinprint.v1 import transcript_pb2, transcript_pb2_grpc, types_pb2

#: Text of a page; the message around it stays below the limit.
_PAGE_BYTES = 3 << 20
_MOST_IDS = 10_000


class TranscriptService(transcript_pb2_grpc.TranscriptServiceServicer):
    """Writes and reads transcripts."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def UpsertTranscripts(  # noqa: N802
        self,
        requests: AsyncIterator[transcript_pb2.UpsertTranscriptsRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[transcript_pb2.UpsertTranscriptsResponse]:
        async with aclosing(UpsertStream(self._state).run(requests)) as responses:
            async for response in responses:
                yield response

    async def GetTranscript(  # noqa: N802
        self, request: transcript_pb2.GetTranscriptRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> transcript_pb2.GetTranscriptResponse:
        corpus = visible(self._state).get(request.corpus)

        def read() -> types_pb2.Transcript:
            view = corpus.view
            place = find(view, request.id, "id")
            return convert.transcript(view.row(place), view.channels_of(place))

        return transcript_pb2.GetTranscriptResponse(transcript=await self._state.read(read))

    async def ListTranscripts(  # noqa: N802
        self, request: transcript_pb2.ListTranscriptsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> transcript_pb2.ListTranscriptsResponse:
        corpus = visible(self._state).get(request.corpus)
        size = min(request.page_size or 100, 1000)

        def read() -> transcript_pb2.ListTranscriptsResponse:
            rows = convert.row_filter(request.filter)
            scope = f"{corpus.folder.name} {request.filter.SerializeToString(deterministic=True).hex()}"
            after = read_token(request.page_token, scope)
            view = corpus.view
            places, more = page(view, rows, seq_of(after), size)
            response = transcript_pb2.ListTranscriptsResponse()
            total, last = 0, None
            for place in places:
                message = convert.transcript(view.row(place), view.channels_of(place))
                total += message.ByteSize()
                if last is not None and total > _PAGE_BYTES:
                    more = True
                    break
                response.transcripts.append(message)
                last = int(view.parts[place.part].segment.seqs[place.row])
            if more and last is not None:
                response.next_page_token = write_token(str(last), scope)
            return response

        return await self._state.read(read)

    async def DeleteTranscripts(  # noqa: N802
        self, request: transcript_pb2.DeleteTranscriptsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> transcript_pb2.DeleteTranscriptsResponse:
        corpus = visible(self._state).get(request.corpus)
        if not 1 <= len(request.ids) <= _MOST_IDS:
            raise InvalidField("ids", f"give 1 to {_MOST_IDS} ids", "FIELD_INVALID" if request.ids else "FIELD_MISSING")
        ids = list(request.ids)
        deleted, missing = await self._state.writer(corpus).delete(ids)
        return transcript_pb2.DeleteTranscriptsResponse(deleted=deleted, not_found=missing)

    async def PurgeTranscripts(  # noqa: N802
        self, request: transcript_pb2.PurgeTranscriptsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[transcript_pb2.PurgeTranscriptsResponse]:
        corpus = visible(self._state).get(request.corpus)
        if len(request.ids) > _MOST_IDS:
            raise InvalidField("ids", f"give at most {_MOST_IDS} ids", "FIELD_INVALID")
        ids = list(request.ids)
        done: Ended[int] | None = None

        def purge(tell: Callable[[str, float], None]) -> int:
            # From its first step on it comes to its end, whether anybody reads how far it is or not.
            def progress(step: str) -> None:
                with suppress(Stopped):
                    tell(step, 0.0)

            return corpus.purge(ids, progress)

        async with aclosing(told(purge)) as steps:
            async for step in steps:
                if isinstance(step, Ended):
                    done = step
                else:
                    yield transcript_pb2.PurgeTranscriptsResponse(step=step.step)
        assert done is not None
        last = await self._purged(corpus, done.value)
        complete()
        yield last

    async def _purged(self, corpus: Corpus, erased: int) -> transcript_pb2.PurgeTranscriptsResponse:
        """The last message of a purge: with the snapshots that hold what it erased still."""
        held = await self._state.read(lambda: self._state.snapshots.holding(corpus))
        names = held if current().keeper else []
        step = "done"
        if held:
            which = ", ".join(names) or "ask who runs the server"
            step += f"; {counted(len(held), 'snapshot holds', 'snapshots hold')} the corpus as it was before ({which})"
        return transcript_pb2.PurgeTranscriptsResponse(
            step=step,
            done=True,
            erased=erased,
            record_version=corpus.record.version,
            held_by_snapshots=len(held),
            snapshots=names,
        )
