"""SemanticService."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.distilling import Distilled, distil
from kinprint.server.failures import InvalidField
from kinprint.server.jobs.registry import Request
from kinprint.server.progress import Progress
from kinprint.server.services.messages.semantic import distil_message, fill_message
from kinprint.server.services.streams import long_run
from kinprint.server.state import State
from kinprint.v1 import semantic_pb2, semantic_pb2_grpc

#: Distinct sentences that a table is fitted on.
_SENTENCES, _LEAST_SENTENCES, _MOST_SENTENCES = 40_000, 1_000, 1_000_000


class SemanticService(semantic_pb2_grpc.SemanticServiceServicer):
    """Fills the accurate tier behind, and fits the fast one."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def StartFill(  # noqa: N802
        self, request: semantic_pb2.StartFillRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.StartFillResponse:
        most = request.most_rows_per_second
        if math.isnan(most) or most < 0:
            raise InvalidField("most_rows_per_second", "most_rows_per_second is 0 or more", "FIELD_INVALID")
        corpus = self._state.catalog.get(request.corpus)
        self._state.model.check()
        if corpus.space is not None and (loaded := self._state.model.space) is not None:
            corpus.check_space(loaded)
        await self._state.filler.start(corpus, most)
        return semantic_pb2.StartFillResponse(fill=await self._fill(corpus))

    async def PauseFill(  # noqa: N802
        self, request: semantic_pb2.PauseFillRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.PauseFillResponse:
        corpus = self._state.catalog.get(request.corpus)
        await self._state.filler.pause(corpus)
        return semantic_pb2.PauseFillResponse(fill=await self._fill(corpus))

    async def GetFill(  # noqa: N802
        self, request: semantic_pb2.GetFillRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.GetFillResponse:
        return semantic_pb2.GetFillResponse(fill=await self._fill(self._state.catalog.get(request.corpus)))

    async def _fill(self, corpus: Corpus) -> semantic_pb2.Fill:
        waiting = self._state.tables.problem
        return await self._state.read(lambda: fill_message(corpus, self._state.filler.progress(corpus), waiting))

    async def Distil(  # noqa: N802
        self, request: semantic_pb2.DistilRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[semantic_pb2.DistilResponse]:
        sentences = request.sentences or _SENTENCES
        if not _LEAST_SENTENCES <= sentences <= _MOST_SENTENCES:
            raise InvalidField(
                "sentences", f"sentences lies between {_LEAST_SENTENCES} and {_MOST_SENTENCES}", "FIELD_INVALID"
            )
        corpus = self._state.catalog.get(request.corpus)
        model = await self._state.model.directory_of_loaded()
        table = await self._state.filler.table_of(corpus) or await self._state.tables.require()

        def asked() -> Request:
            view = corpus.view
            arguments = (view, str(model), str(table.directory), str(corpus.folder), sentences)
            return Request("Distil", [view.corpus], distil, arguments, {})

        def translate(made: Progress | Distilled) -> Iterable[semantic_pb2.DistilResponse]:
            if isinstance(made, Distilled):
                corpus.install_table(made.digest)
            yield distil_message(made)

        async for message in long_run(self._state, context, asked, translate):
            yield message
        self._state.filler.look()
