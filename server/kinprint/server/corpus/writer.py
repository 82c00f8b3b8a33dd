"""Writer: many upsert streams, one writer per corpus, group commit, and indexes on disk when it is time.

Batches of concurrent streams wait in one queue per corpus; the writer takes what is there and commits it
at once, so that a durable write costs the same for one batch as for many.  Embeddings come afterwards in
their own tasks and are committed as fills, so they never hold back what is cheap.

The corpus is settled (published and compacted, where that is worth it) when nobody has written for a moment, and now
and then while somebody does: by rows, so that what memory holds stays bounded, and by time.  Streams that are open and
say nothing have no part in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.plan import Batch, BatchOutcome
from kinprint.server.embed import EmbeddingSpace, EmbedService, sentence_starts, sentences_of
from kinprint.server.threads import contained
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Rows committed at once at most; bounds the memory of a group.
GROUP_ROWS = 8_192
#: A fill must not stay long in memory before it is durable, nor cost a commit for each batch: so long it waits for
#: others, and so long at most while batches go before it.
FILL_PAUSE_SECONDS, FILL_LATEST_SECONDS = 0.25, 2.0
#: Seconds without a write after which a corpus is settled, and after which it is settled at the latest.
QUIET_SECONDS, SETTLE_SECONDS = 2.0, 300.0
#: Rows in memory alone from which on they are published while writing goes on.
FRESH_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Stored:
    """A durable batch: outcome by row, and how many texts were embedded only in part."""

    outcome: BatchOutcome
    truncated: int


@dataclass(frozen=True, slots=True)
class Unfilled:
    """Stored rows, none of them blank, that lack their embedding."""

    ids: Sequence[str]
    content_hashes: Sequence[bytes]
    responses: Sequence[str]


@dataclass(slots=True)
class _Fill:
    ids: Sequence[str]
    content_hashes: Sequence[bytes]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64]
    space: EmbeddingSpace


class Writer:
    """The one writer of a corpus.  Use from one event loop."""

    def __init__(self, corpus: Corpus, executor: Executor) -> None:
        self.corpus = corpus
        self._executor = executor
        self._batches: deque[tuple[Batch, asyncio.Future[BatchOutcome]]] = deque()
        self._fills: list[tuple[_Fill, asyncio.Future[None]]] = []
        self._first_fill = 0.0
        self._batch_came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._written = self._settled = time.monotonic()

    async def store(
        self, batch: Batch, embedder: Callable[[], Awaitable[tuple[EmbedService, EmbeddingSpace]]]
    ) -> Stored:
        """Commit a batch with all its channels; it is durable on return.

        `embedder` is called when a row needs an embedding.  Raises StorageFull, ModelMismatch,
        ChannelUnavailable; CorpusNotFound when the corpus was deleted.
        """
        with self.corpus.in_use():
            outcome = await self._stored(batch)
            truncated = await self._embedded(batch, outcome, embedder) if outcome.to_embed else 0
        return Stored(outcome, truncated)

    def _stored(self, batch: Batch) -> asyncio.Future[BatchOutcome]:
        done: asyncio.Future[BatchOutcome] = asyncio.get_running_loop().create_future()
        self._batches.append((batch, done))
        self._batch_came.set()
        self._wake()
        return done

    async def _embedded(
        self,
        batch: Batch,
        outcome: BatchOutcome,
        embedder: Callable[[], Awaitable[tuple[EmbedService, EmbeddingSpace]]],
    ) -> int:
        """Embed what still lacks it, and commit that; how many texts were cut."""
        service, space = await embedder()
        frame = batch.rows.frame[outcome.to_embed]
        rows = Unfilled(frame["id"].to_list(), frame["content_hash"].to_list(), frame["response"].to_list())
        return await self._fill_rows(rows, service, space)

    async def fill(self, rows: Unfilled, service: EmbedService, space: EmbeddingSpace) -> None:
        """Embed rows that were stored earlier; durable on return.  Raises as `store`.

        It does not keep the corpus from being deleted.
        """
        await self._fill_rows(rows, service, space)

    async def _fill_rows(self, rows: Unfilled, service: EmbedService, space: EmbeddingSpace) -> int:
        """Embed rows and commit that; how many texts were cut."""
        loop = asyncio.get_running_loop()
        second = self.corpus.meaning.second
        if second is None or second.digest != space.digest:
            self.corpus.check_space(space)
        texts = await loop.run_in_executor(None, lambda: [sentences_of(text) for text in rows.responses])
        starts = sentence_starts(texts)
        embedded = await service.embed_passages([sentence for text in texts for sentence in text])
        fill = _Fill(rows.ids, rows.content_hashes, embedded.vectors, np.diff(starts), space)
        filled: asyncio.Future[None] = loop.create_future()
        if not self._fills:
            self._first_fill = time.monotonic()
        self._fills.append((fill, filled))
        self._wake()
        await filled
        return int(np.logical_or.reduceat(embedded.cut, starts[:-1]).sum())

    async def delete(self, ids: Sequence[str]) -> tuple[int, int]:
        """Delete transcripts; (deleted, not found).  Durable on return.  Raises as `store`."""
        with self.corpus.in_use():
            work = partial(self.corpus.delete, ids)
            found = await asyncio.get_running_loop().run_in_executor(self._executor, contained, work)
        self._note_write()
        return found

    # ---- commits ----

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Commit until nothing waits."""
        while self._batches or self._fills:
            waited = time.monotonic() - self._first_fill if self._fills else 0.0
            if self._batches and waited < FILL_LATEST_SECONDS:
                group: list[tuple[Batch, asyncio.Future[BatchOutcome]]] = []
                rows = 0
                while self._batches and (not group or rows + self._batches[0][0].rows.frame.height <= GROUP_ROWS):
                    group.append(self._batches.popleft())
                    rows += group[-1][0].rows.frame.height
                await self._commit([f for _, f in group], partial(self.corpus.write, [b for b, _ in group]))
                if self.corpus.fresh_rows >= FRESH_ROWS:
                    await self._settle()
            elif not self._batches and waited < FILL_PAUSE_SECONDS:
                self._batch_came.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._batch_came.wait(), FILL_PAUSE_SECONDS - waited)
            else:
                fills, self._fills = self._fills, []
                await self._commit([f for _, f in fills], partial(self._fill, [x for x, _ in fills]))

    def _fill(self, fills: Sequence[_Fill]) -> list[None]:
        for digest in dict.fromkeys(f.space.digest for f in fills):
            some = [f for f in fills if f.space.digest == digest]
            self.corpus.fill_embeddings(
                [i for f in some for i in f.ids],
                [h for f in some for h in f.content_hashes],
                np.concatenate([f.vectors for f in some]),
                np.concatenate(([0], np.cumsum(np.concatenate([f.counts for f in some])))),
                some[0].space,
            )
        return [None] * len(fills)

    async def _commit(self, waiting: Sequence[asyncio.Future[T]], work: Callable[[], Sequence[T]]) -> None:
        """Run `work` in a thread and hand its results, or its failure, to who waits."""
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._executor, contained, work)
        except Exception as error:  # handed on to every stream of the group
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in zip(waiting, results, strict=True):
            if not future.done():
                future.set_result(result)
        self._note_write()

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        if self._settling is not None:
            self._settling.cancel()  # what it has begun in its thread goes on, and holds the turn of writing till then
        while self._task is not None and not self._task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self._task)

    # ---- settling ----

    def _note_write(self) -> None:
        self._written = time.monotonic()
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_later())

    async def _settle_later(self) -> None:
        """Settle when it is quiet, or when it was not for long."""
        while True:
            now = time.monotonic()
            wait = min(self._written + QUIET_SECONDS, self._settled + SETTLE_SECONDS) - now
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        await self._settle()

    async def _settle(self) -> None:
        self._settled = time.monotonic()
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, contained, self.corpus.settle)
        except Exception:
            logger.exception(
                "corpus %s could not be settled; the record is whole, and it is tried again later", self.corpus.name
            )
