"""Running searches over whole corpora, as streams of batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from kinprint.client.errors import UnavailableError
from kinprint.client.types import (
    AttributedSet,
    AttributionSummary,
    DuplicateClusters,
    DuplicatePairs,
    DuplicatesProgress,
    DuplicatesSummary,
    KinshipPairs,
    KinshipSummary,
    OverlapSpans,
    OverlapsSummary,
)
from kinprint.client.wire.aio import Stream

Batch = TypeVar("Batch")
Summary = TypeVar("Summary")


class AsyncResultStream(Generic[Batch, Summary]):
    """A running search: `async for` over it gives batches of what it finds.

    `summary` is set when the iteration has ended. Closing it, or leaving its `async with` block, cancels the
    search.
    """

    def __init__(
        self,
        stream: Stream[Any, Any],
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
