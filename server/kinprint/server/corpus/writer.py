"""Ingest: many upsert streams, one writer per corpus, group commit.

Batches of concurrent streams wait in one queue per corpus; the writer takes what is there and commits it
at once, so that a durable write costs the same for one batch as for many.  Embeddings come afterwards in
their own tasks and are committed as fills, so they never hold back what is cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.plan import Batch, BatchOutcome
from kinprint.server.embed import EmbeddingSpace, EmbedService, sentence_starts, sentences_of
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Rows committed at once at most; bounds the memory of a group.
GROUP_ROWS = 8_192
#: A fill must not stay long in memory before it is durable, nor cost a commit for each batch.
FILL_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Stored:
    """A durable batch: outcome by row, and how many texts were embedded only in part."""

    outcome: BatchOutcome
    truncated: int


@dataclass(slots=True)
class _Fill:
    ids: list[str]
    content_hashes: list[bytes]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64]
    space: EmbeddingSpace


class Writer:
    """The one writer of a corpus.  Use from one event loop."""

    def __init__(self, corpus: Corpus, executor: Executor) -> None:
        self.corpus = corpus
        self._executor = executor
        self._batches: list[tuple[Batch, asyncio.Future[BatchOutcome]]] = []
        self._fills: list[tuple[_Fill, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def store(
        self, batch: Batch, embedder: Callable[[], Awaitable[tuple[EmbedService, EmbeddingSpace]]]
    ) -> Stored:
        """Commit a batch with all its channels; it is durable on return.

        `embedder` is called when a row needs an embedding.  Raises StorageFull, ModelMismatch,
        ChannelUnavailable.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[BatchOutcome] = loop.create_future()
        self._batches.append((batch, done))
        self._wake()
        outcome = await done
        truncated = 0
        if outcome.to_embed:
            service, space = await embedder()
            self.corpus.check_space(space)
            frame = batch.rows.frame[outcome.to_embed]
            texts = await loop.run_in_executor(None, lambda: [sentences_of(text) for text in frame["response"]])
            starts = sentence_starts(texts)
            embedded = await service.embed_passages([sentence for text in texts for sentence in text])
            truncated = int(np.logical_or.reduceat(embedded.cut, starts[:-1]).sum())
            fill = _Fill(
                frame["id"].to_list(),
                frame["content_hash"].to_list(),
                embedded.vectors,
                np.diff(starts),
                space,
            )
            filled: asyncio.Future[None] = loop.create_future()
            self._fills.append((fill, filled))
            self._wake()
            await filled
        return Stored(outcome, truncated)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Commit until nothing waits."""
        while self._batches or self._fills:
            if self._batches:
                group: list[tuple[Batch, asyncio.Future[BatchOutcome]]] = []
                rows = 0
                while self._batches and (not group or rows + self._batches[0][0].rows.frame.height <= GROUP_ROWS):
                    group.append(self._batches.pop(0))
                    rows += group[-1][0].rows.frame.height
                await self._commit([f for _, f in group], partial(self.corpus.write, [b for b, _ in group]))
            elif self._fills:
                await asyncio.sleep(FILL_PAUSE_SECONDS)
                fills, self._fills = self._fills, []
                await self._commit([f for _, f in fills], partial(self._fill, [x for x, _ in fills]))

    def _fill(self, fills: Sequence[_Fill]) -> list[None]:
        self.corpus.fill_embeddings(
            [i for f in fills for i in f.ids],
            [h for f in fills for h in f.content_hashes],
            np.concatenate([f.vectors for f in fills]),
            np.concatenate(([0], np.cumsum(np.concatenate([f.counts for f in fills])))),
            fills[0].space,  # one server has one model
        )
        return [None] * len(fills)

    async def _commit(self, waiting: Sequence[asyncio.Future[T]], work: Callable[[], Sequence[T]]) -> None:
        """Run `work` in a thread and hand its results, or its failure, to who waits."""
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except Exception as error:  # handed on to every stream of the group
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(waiting, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._task is not None and not self._task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self._task)
