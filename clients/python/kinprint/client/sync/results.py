# Generated from kinprint/client/aio/results.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Running searches over whole corpora, as streams of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from kinprint.client.wire.sync import Stream

Batch = TypeVar("Batch")
Summary = TypeVar("Summary")


class ResultStream(Generic[Batch, Summary]):
    """A running search: iterating over it gives batches of what it finds.

    `summary` is set when the iteration has ended. Closing it, or leaving its `with` block, cancels the
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
