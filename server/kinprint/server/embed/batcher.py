"""`EmbedService`: one embedder shared by concurrent callers, searches before bulk work.

After the queue of text-embeddings-inference: a bounded queue, entries dropped when their caller has gone,
and every answer says how long it waited. Texts are not padded together: on a CPU a batch of one is fastest
per text, and its vector depends on nothing but the text (see `kinprint.server.embed.onnx`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import numpy as np
from kinprint.server.embed.protocol import Embedder, Role
from kinprint.server.threads import contained
from numpy.typing import NDArray


class QueueFull(RuntimeError):  # noqa: N818  (after queue.Full: a state more than a fault)
    """As many searches wait already as may; try again after a moment."""


class ServiceClosed(RuntimeError):  # noqa: N818
    """The service is closed or closing, and does not embed this text."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where an answer's time went, in seconds."""

    queue_s: float
    tokenise_s: float
    infer_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """One text's answer.

    Attributes:
        vector: float32 [dim], unit norm.
        timings: where the time went.
        tokens: tokens of the text.
        cut: whether the text was too long to be embedded whole.
    """

    vector: NDArray[np.float32]
    timings: Timings
    tokens: int
    cut: bool


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedBatch:
    """Many texts' answer: vectors float32 [n, dim] in the order given, and which texts were cut, bool [n]."""

    vectors: NDArray[np.float32]
    cut: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Entry:
    text: str
    role: Role
    future: Future[Embedded]
    queued: float


class EmbedService:
    """Runs an embedder in threads. Use from one event loop; `async with` closes it.

    Searches always go first, so bulk work stands still while searches keep all workers busy. The embedder's
    inference releases the interpreter lock, so `workers` up to the number of cores helps.

    Args:
        embedder: thread-safe.
        workers: threads, at least 1.
        max_queries: most sentences of searches that may wait for a worker; one more fails at once.
        max_bulk: most bulk texts that may wait or run; more wait for their turn.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, embedder: Embedder, workers: int = 1, *, max_queries: int = 4096, max_bulk: int = 64) -> None:
        if workers < 1 or max_queries < 1 or max_bulk < 1:
            raise ValueError("workers, max_queries and max_bulk must be at least 1")
        self._embedder = embedder
        self._max_queries = max_queries
        self._bulk_room = asyncio.Semaphore(max_bulk)
        # Keyed by identity: an entry whose caller has gone is taken out at once, wherever it stands.
        self._queries: OrderedDict[int, _Entry] = OrderedDict()
        self._bulk: OrderedDict[int, _Entry] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"kinprint-embed-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def embedder(self) -> Embedder:
        """The shared embedder."""
        return self._embedder

    @property
    def waiting(self) -> tuple[int, int]:
        """Searches and bulk texts that wait for a worker."""
        with self._changed:
            return len(self._queries), len(self._bulk)

    @property
    def dropped(self) -> int:
        """Entries taken out of the queue because their caller had gone."""
        with self._changed:
            return self._dropped

    async def __aenter__(self) -> EmbedService:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def embed_search(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], bool, Timings]:
        """Embed the sentences of a search before all bulk work.

        Stored and sought texts are compared like with like, so both take the passage's prompt.

        Returns:
            Unit vectors float32 [n, dim], whether a text was cut, and where the time went (longest wait,
            tokenising and inference summed).

        Raises:
            QueueFull: too many searches wait already.
            ServiceClosed: the service is closed, or closes before the texts' turn.
            EmbeddingError: a text cannot be embedded.
        """
        entries = self._submit(texts, "passage", self._queries)
        try:
            answers = await asyncio.gather(*(self._answer(entry) for entry in entries))
        except BaseException:
            for entry in entries:
                self._drop(entry)
            raise
        vectors = np.empty((len(answers), self._embedder.dim), dtype=np.float32)
        for row, answer in enumerate(answers):
            vectors[row] = answer.vector
        timings = Timings(
            max((a.timings.queue_s for a in answers), default=0.0),
            sum(a.timings.tokenise_s for a in answers),
            sum(a.timings.infer_s for a in answers),
        )
        return vectors, any(a.cut for a in answers), timings

    async def embed_passage(self, text: str) -> Embedded:
        """Embed one stored text, after all searches; waits while the bulk queue is full.

        Raises:
            ServiceClosed: as for `embed_search`.
            EmbeddingError: the text cannot be embedded.
        """
        async with self._bulk_room:
            (entry,) = self._submit([text], "passage", self._bulk)
            return await self._answer(entry)

    async def embed_passages(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embed many stored texts. The first failure cancels the rest and is raised."""
        vectors = np.empty((len(texts), self._embedder.dim), dtype=np.float32)
        remaining = iter(enumerate(texts))
        cut = np.zeros(len(texts), bool)

        async def feed() -> None:
            # The feeders share one iterator: a text gets its task only when a feeder is free.
            for row, text in remaining:
                answer = await self.embed_passage(text)
                vectors[row] = answer.vector
                cut[row] = answer.cut

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(texts), 2 * len(self._threads))):
                    group.create_task(feed())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return EmbeddedBatch(vectors, cut)

    async def close(self) -> None:
        """Refuse new texts, fail those that wait with `ServiceClosed`, let running ones finish.

        Returns when the threads have ended. Closing twice does nothing more.
        """
        with self._changed:
            self._closed = True
            waiting = [*self._queries.values(), *self._bulk.values()]
            self._queries.clear()
            self._bulk.clear()
            self._changed.notify_all()
        for entry in waiting:
            if entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(ServiceClosed("the embedding service was closed"))
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _submit(self, texts: Sequence[str], role: Role, queue: OrderedDict[int, _Entry]) -> list[_Entry]:
        entries = [_Entry(text, role, Future(), time.perf_counter()) for text in texts]
        with self._changed:
            if self._closed:
                raise ServiceClosed("the embedding service is closed")
            if queue is self._queries and len(queue) + len(entries) > self._max_queries:
                raise QueueFull(f"{len(queue)} sentences wait for the embedding model already")
            for entry in entries:
                queue[id(entry)] = entry
            self._changed.notify(len(entries))
        return entries

    async def _answer(self, entry: _Entry) -> Embedded:
        try:
            return await asyncio.wrap_future(entry.future)
        except asyncio.CancelledError:
            self._drop(entry)
            raise

    def _drop(self, entry: _Entry) -> None:
        """Take an entry out whose caller has gone; one that runs already is finished for nobody."""
        with self._changed:
            gone = self._queries.pop(id(entry), None) or self._bulk.pop(id(entry), None)
            self._dropped += gone is not None

    def _next(self) -> _Entry | None:
        """The next entry, searches first; None when the service has closed."""
        with self._changed:
            while not self._closed:
                queue = self._queries or self._bulk
                if queue:
                    return queue.popitem(last=False)[1]
                self._changed.wait()
            return None

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            if not entry.future.set_running_or_notify_cancel():
                with self._changed:
                    self._dropped += 1
                continue
            try:
                entry.future.set_result(contained(partial(self._embed, entry)))
            except Exception as error:  # The caller gets it; the worker lives on for the others.
                entry.future.set_exception(error)

    def _embed(self, entry: _Entry) -> Embedded:
        started = time.perf_counter()
        plan = self._embedder.plan(entry.text, entry.role)
        planned = time.perf_counter()
        vector = self._embedder.run(plan)
        done = time.perf_counter()
        timings = Timings(started - entry.queued, planned - started, done - planned)
        return Embedded(vector, timings, plan.tokens, plan.cut)
