"""TranscriptService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import Place, View
from kinprint.server.failures import InvalidField, TranscriptNotFound
from kinprint.server.services.messages import types as convert
from kinprint.server.services.paging import read_token, write_token
from kinprint.server.services.upsert import UpsertStream
from kinprint.server.state import State
from kinprint.v1 import transcript_pb2, transcript_pb2_grpc

#: Text of a page; the message around it stays below the limit.
_PAGE_BYTES = 3 << 20
_MOST_IDS = 10_000


def find(view: View, identifier: str, field: str) -> Place:
    """Where a transcript is.  Raises TranscriptNotFound, InvalidField without an id."""
    if not identifier:
        raise InvalidField(field, f"{field} names no transcript", "FIELD_MISSING")
    place = view.locate([identifier])[0]
    if place is None:
        raise TranscriptNotFound(f"there is no transcript {identifier!r} in corpus {view.corpus!r}", field=field)
    return place


def page(view: View, rows: Filter, after_seq: int, size: int) -> tuple[list[Place], bool]:
    """The next rows in the order of their last write, and whether more follow."""
    found: list[tuple[int, Place]] = []
    for number, part in enumerate(view.parts):
        start = int(np.searchsorted(part.segment.seqs, after_seq, "right"))
        if start == len(part.segment):
            continue
        passing = np.flatnonzero(rows.mask(part)[start:])[: size + 1] + start
        found += [(int(part.segment.seqs[row]), Place(number, int(row))) for row in passing]
    found.sort(key=lambda item: item[0])
    return [place for _seq, place in found[:size]], len(found) > size


class TranscriptService(transcript_pb2_grpc.TranscriptServiceServicer):
    """Writes and reads transcripts."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def UpsertTranscripts(  # noqa: N802
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        async for response in UpsertStream(self._state).run(requests):
            yield response

    async def GetTranscript(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        corpus = self._state.catalog.get(request.corpus)

        def read() -> Any:
            view = corpus.view
            place = find(view, request.id, "id")
            return convert.transcript(view.row(place), view.channels_of(place))

        return transcript_pb2.GetTranscriptResponse(transcript=await self._state.read(read))

    async def ListTranscripts(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        corpus = self._state.catalog.get(request.corpus)
        rows = convert.row_filter(request.filter)
        size = min(request.page_size or 100, 1000)
        scope = f"{corpus.folder.name} {request.filter.SerializeToString(deterministic=True).hex()}"
        after = read_token(request.page_token, scope)

        def read() -> Any:
            view = corpus.view
            places, more = page(view, rows, int(after) if after is not None else -1, size)
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

    async def DeleteTranscripts(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        corpus = self._state.catalog.get(request.corpus)
        ids = list(request.ids)
        if not 1 <= len(ids) <= _MOST_IDS:
            raise InvalidField("ids", f"give 1 to {_MOST_IDS} ids", "FIELD_INVALID" if ids else "FIELD_MISSING")
        deleted, missing = await self._state.change(lambda: corpus.delete(ids))
        return transcript_pb2.DeleteTranscriptsResponse(deleted=deleted, not_found=missing)

    async def PurgeTranscripts(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        corpus = self._state.catalog.get(request.corpus)
        ids = list(request.ids)
        if len(ids) > _MOST_IDS:
            raise InvalidField("ids", f"give at most {_MOST_IDS} ids", "FIELD_INVALID")
        steps: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(step: str) -> None:
            loop.call_soon_threadsafe(steps.put_nowait, step)

        work = asyncio.ensure_future(self._state.change(lambda: corpus.purge(ids, tell)))
        while not work.done() or not steps.empty():
            following = asyncio.ensure_future(steps.get())
            await asyncio.wait({work, following}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                yield transcript_pb2.PurgeTranscriptsResponse(step=following.result())
            else:
                following.cancel()
        erased = await work
        yield transcript_pb2.PurgeTranscriptsResponse(
            step="done", done=True, erased=erased, record_version=corpus.record.version
        )
