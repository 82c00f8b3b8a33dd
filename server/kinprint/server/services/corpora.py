"""CorpusService."""

from __future__ import annotations

from typing import Any

import grpc
from kinprint.server.edge.visible import visible
from kinprint.server.services.messages.corpora import describe
from kinprint.server.services.paging import read_token, write_token
from kinprint.server.state import State
from kinprint.v1 import corpus_pb2, corpus_pb2_grpc


class CorpusService(corpus_pb2_grpc.CorpusServiceServicer):
    """Creates, describes and deletes corpora."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def CreateCorpus(  # noqa: N802
        self, request: corpus_pb2.CreateCorpusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> corpus_pb2.CreateCorpusResponse:
        catalog = visible(self._state)
        catalog.check_room(request.name, self._state.config.capacity.corpora)
        corpus = await self._state.change(lambda: catalog.create(request.name, request.description))
        return corpus_pb2.CreateCorpusResponse(corpus=await self._state.read(lambda: describe(corpus, detailed=True)))

    async def GetCorpus(  # noqa: N802
        self, request: corpus_pb2.GetCorpusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> corpus_pb2.GetCorpusResponse:
        corpus = visible(self._state).get(request.name, "name")
        return corpus_pb2.GetCorpusResponse(corpus=await self._state.read(lambda: describe(corpus, detailed=True)))

    async def ListCorpora(  # noqa: N802
        self, request: corpus_pb2.ListCorporaRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> corpus_pb2.ListCorporaResponse:
        size = min(request.page_size or 100, 1000)
        after = read_token(request.page_token, "corpora")
        catalog = visible(self._state)

        def read() -> corpus_pb2.ListCorporaResponse:
            problems = catalog.unavailable
            known = sorted({*catalog.names(), *problems})
            names = [name for name in known if after is None or name > after]
            corpora = [
                corpus_pb2.Corpus(name=name, unavailable=problems[name])
                if name in problems
                else describe(catalog.get(name), detailed=False)
                for name in names[:size]
            ]
            token = write_token(names[size - 1], "corpora") if len(names) > size else ""
            return corpus_pb2.ListCorporaResponse(corpora=corpora, next_page_token=token)

        return await self._state.read(read)

    async def DeleteCorpus(  # noqa: N802
        self, request: corpus_pb2.DeleteCorpusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> corpus_pb2.DeleteCorpusResponse:
        corpus = visible(self._state).deletable(request.name)
        rows = await self._state.change(lambda: visible(self._state).delete(request.name))
        if corpus is not None:
            self._state.forget(corpus)
        return corpus_pb2.DeleteCorpusResponse(transcripts=rows)
