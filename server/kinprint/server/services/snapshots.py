"""SnapshotService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.edge.call import complete
from kinprint.server.edge.principal import current
from kinprint.server.failures import RoleTooLow
from kinprint.server.services.messages.corpora import describe
from kinprint.server.services.messages.snapshots import report_message, snapshot_message
from kinprint.server.services.streams import Ended, told
from kinprint.server.state import State
from kinprint.v1 import snapshot_pb2, snapshot_pb2_grpc


def _require_keeper() -> None:
    """Raise RoleTooLow for an administrator of some corpora: snapshots hold others, too."""
    principal = current()
    if not principal.keeper:
        raise RoleTooLow(
            f"snapshots hold all corpora: they need the role admin without a binding to corpora, and {principal.name} "
            "is bound; ask whoever runs the server for another key (kinprint keys create --role admin)"
        )


class SnapshotService(snapshot_pb2_grpc.SnapshotServiceServicer):
    """Takes, lists, checks, restores and deletes snapshots."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def CreateSnapshot(  # noqa: N802
        self, request: snapshot_pb2.CreateSnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[snapshot_pb2.CreateSnapshotResponse]:
        _require_keeper()
        name, corpora = request.name, list(request.corpora)
        work = told(lambda tell: self._state.snapshots.create(name, corpora, tell))
        async with aclosing(work) as steps:
            async for step in steps:
                if isinstance(step, Ended):
                    message = snapshot_message(step.value)
                    complete()
                    yield snapshot_pb2.CreateSnapshotResponse(step="done", share=1.0, snapshot=message)
                else:
                    yield snapshot_pb2.CreateSnapshotResponse(step=step.step, share=step.share)

    async def ListSnapshots(  # noqa: N802
        self, request: snapshot_pb2.ListSnapshotsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> snapshot_pb2.ListSnapshotsResponse:
        _require_keeper()
        found = await self._state.read(self._state.snapshots.all)
        return snapshot_pb2.ListSnapshotsResponse(snapshots=map(snapshot_message, found))

    async def DeleteSnapshot(  # noqa: N802
        self, request: snapshot_pb2.DeleteSnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> snapshot_pb2.DeleteSnapshotResponse:
        _require_keeper()
        freed = await self._state.change(lambda: self._state.snapshots.delete(request.name))
        return snapshot_pb2.DeleteSnapshotResponse(freed_bytes=freed)

    async def VerifySnapshot(  # noqa: N802
        self, request: snapshot_pb2.VerifySnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[snapshot_pb2.VerifySnapshotResponse]:
        _require_keeper()
        async with aclosing(told(lambda tell: self._state.snapshots.verify(request.name, tell))) as steps:
            async for step in steps:
                if isinstance(step, Ended):
                    complete()
                    yield report_message(step.value)
                else:
                    yield snapshot_pb2.VerifySnapshotResponse(step=step.step)

    async def RestoreSnapshot(  # noqa: N802
        self, request: snapshot_pb2.RestoreSnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[snapshot_pb2.RestoreSnapshotResponse]:
        _require_keeper()

        def restore(tell: Callable[[str, float], None]) -> Corpus:
            made, replaced = self._state.snapshots.restore(
                request.name, request.corpus, request.as_name, replace_there=request.replace, tell=tell
            )
            if replaced is not None:
                self._state.forget(replaced)
            return made

        async with aclosing(told(restore)) as steps:
            async for step in steps:
                if isinstance(step, Ended):
                    self._state.filler.look()
                    described = await self._state.read(partial(describe, step.value, detailed=True))
                    complete()
                    yield snapshot_pb2.RestoreSnapshotResponse(step="done", share=1.0, corpus=described)
                else:
                    yield snapshot_pb2.RestoreSnapshotResponse(step=step.step, share=step.share)
