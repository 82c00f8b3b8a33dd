"""What services share: catalog, writers, embedder, executors, and whether the server takes requests."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from kinprint.server.config import ServerConfig
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filling import Filler
from kinprint.server.corpus.snapshots import Snapshots
from kinprint.server.corpus.vectors import read_models
from kinprint.server.corpus.writer import Writer
from kinprint.server.embed import EmbeddingSpace, EmbedService
from kinprint.server.embed.holder import ModelHolder
from kinprint.server.embed.tables import Tables
from kinprint.server.jobs.registry import Jobs
from kinprint.server.limits import DEADLINE, Budget, check_deadline
from kinprint.server.search.calibrate import LEAST_ROWS, calibrated
from kinprint.server.startup import Startup
from kinprint.server.threads import contained
from kinprint.server.turns import Turns
from kinprint.server.watchdog import Watchdog

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Rows whose fast vectors a search waits for.
_AT_ONCE = 16_384


@dataclass
class State:
    """Shared by all services of one server."""

    config: ServerConfig
    catalog: Catalog
    model: ModelHolder
    tables: Tables
    jobs: Jobs
    #: Searches and reads.
    readers: ThreadPoolExecutor
    #: Commits, publishes, purges.
    writers_pool: ThreadPoolExecutor
    #: What is made behind the calls, at low priority.
    behind_pool: ThreadPoolExecutor
    started: float = field(default_factory=time.monotonic)
    startup: Startup = field(default_factory=Startup)
    serving: bool = False
    #: Calls of our services under way, and when the last one ended.
    calls: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    #: Whether the data directory is no longer this server's.
    lost: Callable[[], bool] = lambda: False
    #: Calls with one request, and with a stream of them, that were admitted and are under way.
    unary_calls: int = 0
    streams: int = 0
    #: Bytes of requests in work, and of texts that are gathered for one run.
    inflight: Budget = field(init=False)
    gathered: Budget = field(init=False)
    #: Whose turn it is of calls with one request.
    turns: Turns = field(init=False)
    #: Calls that ended by code, and rows stored by what became of them, since the start.
    answered: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    watchdog: Watchdog = field(default_factory=Watchdog)
    filler: Filler = field(init=False)
    snapshots: Snapshots = field(init=False)
    #: Models that are filled beside the server's own.
    second_models: dict[str, ModelHolder] = field(default_factory=dict)
    _writers: dict[int, Writer] = field(default_factory=dict)
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.inflight = Budget(self.config.capacity.inflight_bytes)
        self.gathered = Budget(self.config.capacity.gathered_bytes)
        self.turns = Turns(max(2, self.config.cores), self.config.capacity.calls)
        self.snapshots = Snapshots(self.catalog, self.config.data_dir)
        self.filler = Filler(
            self.catalog,
            self.writer,
            self.embedder,
            self.embedder_of,
            self.tables,
            calibrated,
            LEAST_ROWS,
            self.behind_pool,
        )

    async def embedder(self, model: str = "") -> tuple[EmbedService, EmbeddingSpace]:
        """A model, "default" or a directory, loaded now if it was not; "": the server's own.

        Raises ChannelUnavailable.
        """
        if not model or model == self.config.model:
            return await self.model.require()
        if model not in self.second_models:
            self.second_models[model] = ModelHolder(dataclasses.replace(self.config, model=model))
        return await self.second_models[model].require()

    async def embedder_of(self, corpora: Sequence[Corpus]) -> tuple[EmbedService, EmbeddingSpace]:
        """The model that some corpora go by, loaded now if it was not: the server's own, or the one switched to.

        Raises ModelMismatch when they go by different ones, or one that the server does not have; ChannelUnavailable.
        """
        filled = [corpus for corpus in corpora if corpus.space is not None]
        own = self.model.space
        for corpus in filled[:1]:
            assert corpus.space is not None
            if own is not None and own.digest == corpus.space.digest:
                break  # every search comes by here, and hardly any corpus was ever switched
            directory = (await self.read(partial(read_models, corpus.folder)))["directory"]
            if directory is not None:
                service, space = await self.embedder(directory)
                if space.digest == corpus.space.digest:
                    for other in filled:
                        other.check_space(space)
                    return service, space
        service, space = await self.model.require()
        for corpus in filled:
            corpus.check_space(space)
        return service, space

    async def with_tables(self, corpora: Sequence[Corpus]) -> None:
        """Have corpora go by their table of tokens, where there is one that only needs to be loaded.

        Where few rows lack their fast vectors these are made now, so that what was just stored is found.
        """
        for corpus in corpora:
            if corpus.meaning.table is None and (table := await self.filler.table_of(corpus)) is not None:
                await self.change(partial(corpus.adopt_table, table))
                self.filler.look()
            view = corpus.view
            if corpus.meaning.table is not None and 0 < view.fillable - view.filled("fast") <= _AT_ONCE:
                await self.change(partial(corpus.backfill, lambda: False))

    @property
    def busy(self) -> bool:
        """Whether something goes on behind the calls that a server should see to its end."""
        return self.tables.building or self.filler.busy

    def writer(self, corpus: Corpus) -> Writer:
        """The one writer of a corpus."""
        if id(corpus) not in self._writers:
            self._writers[id(corpus)] = Writer(corpus, self.writers_pool)
        return self._writers[id(corpus)]

    def forget(self, corpus: Corpus) -> None:
        """Drop the writer of a deleted corpus."""
        self._writers.pop(id(corpus), None)

    async def read(self, work: Callable[[], T]) -> T:
        """Run a search or read in a worker thread.

        Raises DeadlineExceeded where the deadline of the call passes before a thread is free.
        """
        deadline = DEADLINE.get()
        if deadline is None:
            return await _within(self.readers, work)

        def begin() -> T:
            check_deadline(deadline)
            return work()

        check_deadline(deadline)
        return await _within(self.readers, begin)

    async def change(self, work: Callable[[], T]) -> T:
        """Run a write in a worker thread.  Raises DeadlineExceeded where the deadline of the call has passed."""
        check_deadline(DEADLINE.get())
        return await _within(self.writers_pool, work)

    def background(self, work: Callable[[], None]) -> None:
        """Run a change whose failure is only worth a line in the log (publishing indexes)."""

        async def run() -> None:
            DEADLINE.set(None)  # of a task of its own, whose call may be over
            try:
                await self.change(work)
            except Exception:
                logger.exception("background work failed; the record is whole, and it is tried again later")

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def drain_writers(self) -> None:
        """Wait until every accepted batch is durable."""
        for writer in list(self._writers.values()):
            await writer.drain()
        if self._background:
            await asyncio.wait(set(self._background))


async def _within(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run work in a thread of a pool, with the caller's context: what it looks up is for the same principal."""
    inside = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(pool, contained, partial(inside, work))
