"""SemanticService."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.distilling import Distilled, distil
from kinprint.server.corpus.filling import wish_of
from kinprint.server.edge.principal import Role, current
from kinprint.server.edge.visible import visible
from kinprint.server.failures import InvalidField, ModelNotFilled
from kinprint.server.jobs.registry import Request
from kinprint.server.progress import Progress
from kinprint.server.search.models import compare_models
from kinprint.server.services.messages.semantic import comparison_message, distil_message, fill_message
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
        corpus = visible(self._state).get(request.corpus)
        model = request.model
        if model:
            current().require(Role.ADMIN, "filling a second model")
            if model != "default" and not await self._state.read(lambda: os.path.isdir(model)):
                raise InvalidField("model", f"there is no model directory {model} on the server", "FIELD_INVALID")
            if corpus.space is None:
                raise ModelNotFilled(
                    f"corpus {corpus.name!r} has no model yet; fill its first one: kinprint fill --corpus {corpus.name}"
                )
            _service, space = await self._state.embedder(model)
            if space.digest == corpus.space.digest:
                raise InvalidField("model", "it is the model that the corpus goes by already", "FIELD_INVALID")
            await self._state.change(lambda: corpus.begin_second(space))
        else:
            self._state.model.check()
            if corpus.space is not None:
                await self._state.embedder_of([corpus])
        await self._state.filler.start(corpus, most, model)
        return semantic_pb2.StartFillResponse(fill=await self._fill(corpus))

    async def PauseFill(  # noqa: N802
        self, request: semantic_pb2.PauseFillRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.PauseFillResponse:
        corpus = visible(self._state).get(request.corpus)
        await self._state.filler.pause(corpus)
        return semantic_pb2.PauseFillResponse(fill=await self._fill(corpus))

    async def GetFill(  # noqa: N802
        self, request: semantic_pb2.GetFillRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.GetFillResponse:
        return semantic_pb2.GetFillResponse(fill=await self._fill(visible(self._state).get(request.corpus)))

    async def _fill(self, corpus: Corpus) -> semantic_pb2.Fill:
        waiting = self._state.tables.problem
        return await self._state.read(lambda: fill_message(corpus, self._state.filler.progress(corpus), waiting))

    async def CompareModels(  # noqa: N802
        self, request: semantic_pb2.CompareModelsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.CompareModelsResponse:
        queries = request.queries or 200
        if not 10 <= queries <= 1000:
            raise InvalidField("queries", "queries lies between 10 and 1000", "FIELD_INVALID")
        view = visible(self._state).get(request.corpus).view
        gone = threading.Event()
        try:
            return await self._state.read(lambda: comparison_message(compare_models(view, queries, gone.is_set)))
        finally:
            gone.set()

    async def SwitchModel(  # noqa: N802
        self, request: semantic_pb2.SwitchModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.SwitchModelResponse:
        corpus = visible(self._state).get(request.corpus)
        second = await self._state.read(lambda: wish_of(corpus).second)
        directory = second if second and second != self._state.config.model else None
        await self._state.change(lambda: corpus.switch_models(directory))
        await self._state.filler.forget_second(corpus)
        return semantic_pb2.SwitchModelResponse(fill=await self._fill(corpus))

    async def DropModel(  # noqa: N802
        self, request: semantic_pb2.DropModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> semantic_pb2.DropModelResponse:
        corpus = visible(self._state).get(request.corpus)
        await self._state.filler.forget_second(corpus)
        await self._state.change(corpus.drop_second)
        return semantic_pb2.DropModelResponse(fill=await self._fill(corpus))

    async def Distil(  # noqa: N802
        self, request: semantic_pb2.DistilRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[semantic_pb2.DistilResponse]:
        sentences = request.sentences or _SENTENCES
        if not _LEAST_SENTENCES <= sentences <= _MOST_SENTENCES:
            raise InvalidField(
                "sentences", f"sentences lies between {_LEAST_SENTENCES} and {_MOST_SENTENCES}", "FIELD_INVALID"
            )
        corpus = visible(self._state).get(request.corpus)
        model = await self._state.model.directory_of_loaded()
        table = await self._state.filler.table_of(corpus) or await self._state.tables.require()

        def asked() -> Request:
            view = corpus.view
            arguments = (view, str(model), str(table.directory), str(corpus.tables), sentences)
            return Request("Distil", [view.corpus], distil, arguments, {})

        def translate(made: Progress | Distilled) -> Iterable[semantic_pb2.DistilResponse]:
            if isinstance(made, Distilled):
                corpus.install_table(made.name)
            yield distil_message(made)

        async for message in long_run(self._state, context, asked, translate):
            yield message
        self._state.filler.look()
