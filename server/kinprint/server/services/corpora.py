"""CorpusService."""

from __future__ import annotations

from typing import Any

import grpc
from kinprint.server.channels import CHANNELS
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.view import View
from kinprint.server.search.run import coverage
from kinprint.server.services.messages import types as convert
from kinprint.server.services.paging import read_token, write_token
from kinprint.server.state import State
from kinprint.v1 import corpus_pb2, corpus_pb2_grpc


def describe(corpus: Corpus, detailed: bool) -> corpus_pb2.Corpus:
    """A corpus as a message; counts per model and language and disk use only when `detailed`."""
    view = corpus.view
    message = corpus_pb2.Corpus(
        name=corpus.name,
        description=corpus.description,
        created_at=convert.timestamp(corpus.created_at),
        transcripts=view.rows,
        blank=view.rows - view.fillable,
        coverage=[convert.coverage(coverage([view], channel)) for channel in CHANNELS],
        record_version=corpus.record.version,
    )
    if detailed:
        message.models.extend(_counts(view, "model"))
        message.languages.extend(_counts(view, "language"))
        message.disk_bytes = corpus.disk_bytes()
    return message


def _counts(view: View, column: str) -> list[corpus_pb2.ValueCount]:
    ordered = sorted(view.counts(column).items(), key=lambda item: (-item[1], item[0] or ""))
    return [corpus_pb2.ValueCount(value=value, count=count) for value, count in ordered]


class CorpusService(corpus_pb2_grpc.CorpusServiceServicer):
    """Creates, describes and deletes corpora."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def CreateCorpus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        catalog = self._state.catalog
        corpus = await self._state.change(lambda: catalog.create(request.name, request.description))
        return corpus_pb2.CreateCorpusResponse(corpus=await self._state.read(lambda: describe(corpus, detailed=True)))

    async def GetCorpus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        corpus = self._state.catalog.get(request.name, "name")
        return corpus_pb2.GetCorpusResponse(corpus=await self._state.read(lambda: describe(corpus, detailed=True)))

    async def ListCorpora(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        size = min(request.page_size or 100, 1000)
        after = read_token(request.page_token, "corpora")
        catalog = self._state.catalog

        def read() -> Any:
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

    async def DeleteCorpus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        corpus = self._state.catalog.get(request.name, "name")
        rows = await self._state.change(lambda: self._state.catalog.delete(request.name))
        self._state.forget(corpus)
        return corpus_pb2.DeleteCorpusResponse(transcripts=rows)
