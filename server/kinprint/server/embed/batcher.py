"""`EmbedService`: one embedder shared by concurrent callers, searches before bulk work.

After the queue of text-embeddings-inference: a bounded queue, entries dropped when their caller has gone, and every
answer says how long it waited.  What runs at a time is a *group* of windows of equal length (`Embedder.groups`), a few
hundred tokens, so whoever searches waits for one group at most.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

import numpy as np
from kinprint.server.embed.grouping import POOL_TEXTS, Pool
from kinprint.server.embed.protocol import Embedder, TokenPlan
from kinprint.server.threads import contained
from kinprint.server.wording import counted
from numpy.typing import NDArray

#: Texts that are tokenised between two looks at what else waits.
_TEXTS_AT_ONCE = 64
#: Sentences of searches that may wait for a worker.
MOST_QUERIES = 4096


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
class EmbeddedBatch:
    """Many texts' answer: vectors float32 [n, dim] in the order given, and which texts were cut, bool [n]."""

    vectors: NDArray[np.float32]
    cut: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Request:
    """Texts of one caller, worked off piece by piece: first their tokens, then group after group.

    All but `texts`, `queued` and `future` change under the service's lock only.
    """

    texts: Sequence[str]
    future: Future[tuple[EmbeddedBatch, Timings]] = field(default_factory=Future)
    queued: float = field(default_factory=time.perf_counter)
    begun: float | None = None
    plans: list[TokenPlan] = field(default_factory=list)
    tokenising: bool = False
    pool: Pool | None = None
    next_group: int = 0
    running: int = 0
    over: bool = False
    tokenise_s: float = 0.0
    infer_s: float = 0.0

    @property
    def untouched(self) -> int:
        """Texts whose groups do not run yet."""
        if self.over:
            return 0
        if self.pool is None:
            return len(self.texts)
        left = sum(len(group) for group in self.pool.groups[self.next_group :])
        return min(len(self.texts), left)


#: A piece of work: of a request, either tokenising (None) or a group.
_Piece = tuple[_Request, NDArray[np.int64] | None]


class EmbedService:
    """Runs an embedder in threads. Use from one event loop; `async with` closes it.

    Searches always go first: every worker looks for them before it takes the next group of bulk work, and one more
    thread does nothing else, so that they need not even wait for a group.  Bulk callers take turns, group by group.
    The embedder's inference releases the interpreter lock, so `workers` up to the number of cores helps.

    Args:
        embedder: thread-safe.
        workers: threads for everything, at least 1.
        max_queries: most sentences of searches that may wait for a worker; one more fails at once.
        max_bulk: most bulk texts that are in work at a time; more wait for their turn.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(
        self, embedder: Embedder, workers: int = 1, *, max_queries: int = MOST_QUERIES, max_bulk: int = 16 * POOL_TEXTS
    ) -> None:
        if workers < 1 or max_queries < 1 or max_bulk < 1:
            raise ValueError("workers, max_queries and max_bulk must be at least 1")
        self._embedder = embedder
        self._max_queries = max_queries
        self._most_texts = min(max_bulk, POOL_TEXTS)
        self._bulk_room = asyncio.Semaphore(max(1, max_bulk // self._most_texts))
        self._queries: deque[_Request] = deque()
        # The first one's turn is next.
        self._bulk: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0
        self._threads = [
            threading.Thread(target=self._work, args=(number < workers,), name=f"kinprint-embed-{number}", daemon=True)
            for number in range(workers + 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def embedder(self) -> Embedder:
        """The shared embedder."""
        return self._embedder

    @property
    def waiting(self) -> tuple[int, int]:
        """Sentences of searches and bulk texts that wait for a worker."""
        with self._changed:
            return sum(r.untouched for r in self._queries), sum(r.untouched for r in self._bulk)

    @property
    def dropped(self) -> int:
        """Texts that were not embedded because their caller had gone."""
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
            Unit vectors float32 [n, dim], whether a text was cut, and where the time went (wait until work began,
            tokenising and inference summed over threads).

        Raises:
            QueueFull: too many searches wait already.
            ServiceClosed: the service is closed, or closes before the texts' turn.
            EmbeddingError: a text cannot be embedded.
        """
        batch, timings = await self._answer(_Request(list(texts)), self._queries)
        return batch.vectors, bool(batch.cut.any()), timings

    async def embed_passages(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embed many stored texts, after all searches; the first failure cancels the rest and is raised.

        Many at a time are cheaper: their sentences fill groups of equal length.

        Raises:
            ServiceClosed: as for `embed_search`.
            EmbeddingError: a text cannot be embedded.
        """
        vectors = np.empty((len(texts), self._embedder.dim), dtype=np.float32)
        cut = np.zeros(len(texts), bool)
        for begin in range(0, len(texts), self._most_texts):
            part = texts[begin : begin + self._most_texts]
            async with self._bulk_room:
                batch, _ = await self._answer(_Request(list(part)), self._bulk)
            vectors[begin : begin + len(part)] = batch.vectors
            cut[begin : begin + len(part)] = batch.cut
        return EmbeddedBatch(vectors, cut)

    async def close(self) -> None:
        """Refuse new texts, fail those that wait with `ServiceClosed`, let running groups finish.

        A caller whose last groups are running gets an answer.  Returns when the threads have ended. Closing twice does
        nothing more.
        """
        with self._changed:
            self._closed = True
            waiting = [request for request in (*self._queries, *self._bulk) if request.untouched]
            given_up = [request for request in waiting if self._end(request)]
            self._changed.notify_all()
        for request in given_up:
            _settle(request, ServiceClosed("the embedding service was closed"))
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _answer(self, request: _Request, queue: deque[_Request]) -> tuple[EmbeddedBatch, Timings]:
        with self._changed:
            if self._closed:
                raise ServiceClosed("the embedding service is closed")
            waiting = sum(r.untouched for r in self._queries)
            if queue is self._queries and waiting + len(request.texts) > self._max_queries:
                raise QueueFull(
                    f"{counted(waiting, 'sentence waits', 'sentences wait')} for the embedding model already"
                )
            if request.texts:
                queue.append(request)
                self._changed.notify_all()
        if not request.texts:
            empty = np.empty((0, self._embedder.dim), np.float32)
            return EmbeddedBatch(empty, np.zeros(0, bool)), Timings(0.0, 0.0, 0.0)
        try:
            return await asyncio.wrap_future(request.future)
        except asyncio.CancelledError:
            with self._changed:
                self._dropped += request.untouched
                self._end(request)
            raise

    def _end(self, request: _Request) -> bool:
        """Take a request out of its queue; what runs of it is finished for nobody.  Under the lock.

        Returns whether it was not over before: whoever ends it settles it.
        """
        if request.over:
            return False
        request.over = True
        for queue in (self._queries, self._bulk):
            if request in queue:
                queue.remove(request)
        return True

    # ---- workers ----

    def _work(self, bulk: bool) -> None:
        while (piece := self._next(bulk)) is not None:
            request, group = piece
            try:
                # A panic of the tokenizer's is no Exception.
                contained(partial(self._run, request, group))
            except Exception as error:  # The caller gets it; the worker lives on for the others.
                with self._changed:
                    first = self._end(request)
                if first:
                    _settle(request, error)

    def _next(self, bulk: bool) -> _Piece | None:
        """The next piece of work, searches first; None when the service has closed."""
        with self._changed:
            while not self._closed:
                for request in self._queries:
                    if _has_piece(request):
                        return self._take(request)
                for _ in range(len(self._bulk) if bulk else 0):
                    request = self._bulk[0]
                    self._bulk.rotate(-1)
                    if _has_piece(request):
                        return self._take(request)
                self._changed.wait()
            return None

    def _take(self, request: _Request) -> _Piece:
        if request.begun is None:
            request.begun = time.perf_counter()
        request.running += 1
        if request.pool is None:
            request.tokenising = True
            return request, None
        group = request.pool.groups[request.next_group]
        request.next_group += 1
        return request, group

    def _run(self, request: _Request, group: NDArray[np.int64] | None) -> None:
        started = time.perf_counter()
        if group is None:
            begin = len(request.plans)
            plans = self._embedder.plan_many(request.texts[begin : begin + _TEXTS_AT_ONCE], "passage")
            pool = None
            if begin + len(plans) == len(request.texts):
                pool = Pool(self._embedder, [*request.plans, *plans])
            with self._changed:
                request.plans.extend(plans)
                request.pool = pool
                request.tokenising = False
                request.tokenise_s += time.perf_counter() - started
                request.running -= 1
                self._changed.notify_all()
            return
        assert request.pool is not None
        vectors = self._embedder.run_windows(request.pool.windows_of(group))
        request.pool.put(group, vectors)
        with self._changed:
            request.infer_s += time.perf_counter() - started
            request.running -= 1
            last = not request.running and request.next_group == len(request.pool.groups)
            done = last and self._end(request)
        if done:
            assert request.begun is not None
            timings = Timings(request.begun - request.queued, request.tokenise_s, request.infer_s)
            try:
                vectors = request.pool.vectors()
            except ValueError as error:
                _settle(request, error)
                return
            _settle(request, (EmbeddedBatch(vectors, np.array([p.cut for p in request.plans], bool)), timings))


def _has_piece(request: _Request) -> bool:
    """Whether a worker can do something for it now."""
    if request.pool is None:
        return not request.tokenising
    return request.next_group < len(request.pool.groups)


def _settle(request: _Request, outcome: tuple[EmbeddedBatch, Timings] | Exception) -> None:
    """Hand over an answer or a failure, unless the caller has gone."""
    if not request.future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        request.future.set_exception(outcome)
    else:
        request.future.set_result(outcome)
