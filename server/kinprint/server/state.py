"""What services share: catalog, writers, embedder, executors, and whether the server takes requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kinprint.server.config import ServerConfig
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.writer import Writer
from kinprint.server.embed import (
    EmbeddingSpace,
    EmbedService,
    ModelDirectoryError,
    OnnxEmbedder,
    WeightsError,
    build_default_model,
    default_model_directory,
    load_space,
)
from kinprint.server.embed.default_model.build import is_built
from kinprint.server.failures import ChannelUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ModelHolder:
    """The embedding model: loaded at the start, at the first use, or never.  Use from one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._service: EmbedService | None = None
        self._space: EmbeddingSpace | None = None
        self._loading: asyncio.Task[None] | None = None
        self._problem: str | None = "the server was started with --model none" if config.model == "none" else None

    @property
    def space(self) -> EmbeddingSpace | None:
        """The loaded model's space; None before it is loaded."""
        return self._space

    @property
    def service(self) -> EmbedService | None:
        """The loaded model; None before."""
        return self._service

    @property
    def available(self) -> bool:
        """Whether a model is loaded, or can be at the first use."""
        return self._service is not None or self._problem is None

    def load(self) -> tuple[OnnxEmbedder, EmbeddingSpace]:
        """Load the model (building the default one when it is missing); for a worker thread."""
        # Sentences are short; a longer one is a group of sentences of a very long text.
        embedder = OnnxEmbedder(self._directory(), threads=1, max_windows=2)
        return embedder, load_space(embedder)

    def adopt(self, embedder: OnnxEmbedder, space: EmbeddingSpace) -> None:
        """Take a loaded model; from the event loop."""
        self._service = EmbedService(embedder, workers=self._config.cores)
        self._space = space
        logger.info("model %s (%s) is loaded, %d dimensions", embedder.name, embedder.digest[:12], embedder.dim)

    def fail(self, problem: str) -> None:
        """Note why there is no model."""
        self._problem = problem
        logger.warning("no embedding model, so the semantic channel is off: %s", problem)

    async def require(self) -> tuple[EmbedService, EmbeddingSpace]:
        """The embedder and its space, loaded now if they have not been.  Raises ChannelUnavailable."""
        if self._service is not None and self._space is not None:
            return self._service, self._space
        if self._problem is not None:
            raise ChannelUnavailable(
                f"the semantic channel is not available: {self._problem}; "
                "run 'kinprint model build' and start the server with --model default, or give --model DIR"
            )
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_now())
        await asyncio.shield(self._loading)
        return await self.require()

    async def _load_now(self) -> None:
        try:
            embedder, space = await asyncio.to_thread(self.load)
        except (ModelDirectoryError, WeightsError, OSError, RuntimeError) as error:
            self.fail(str(error))
            return
        self.adopt(embedder, space)

    def _directory(self) -> Path:
        if self._config.model != "default":
            return Path(self._config.model)
        directory = default_model_directory()
        if not is_built(directory):
            logger.info("building the default embedding model, once (about 90 MB to fetch)")
            last = -1

            def report(step: str, share: float) -> None:
                nonlocal last
                if int(share * 10) != last:
                    last = int(share * 10)
                    logger.info("model: %s (%d %%)", step, round(share * 100))

            return build_default_model(progress=report)
        return directory


@dataclass
class Context:
    """Shared by all services of one server."""

    config: ServerConfig
    catalog: Catalog
    model: ModelHolder
    #: Searches and reads.
    readers: ThreadPoolExecutor
    #: Commits, publishes, purges.
    writers_pool: ThreadPoolExecutor
    started: float = field(default_factory=time.monotonic)
    serving: bool = False
    #: Calls of our services under way.
    calls: int = 0
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: dict[int, Writer] = field(default_factory=dict)
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    def writer(self, corpus: Corpus) -> Writer:
        """The one writer of a corpus."""
        if id(corpus) not in self._writers:
            self._writers[id(corpus)] = Writer(corpus, self.writers_pool)
        return self._writers[id(corpus)]

    def forget(self, corpus: Corpus) -> None:
        """Drop the writer of a deleted corpus."""
        self._writers.pop(id(corpus), None)

    async def read(self, work: Callable[[], T]) -> T:
        """Run a search or read in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, work)

    async def change(self, work: Callable[[], T]) -> T:
        """Run a write in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.writers_pool, work)

    def background(self, work: Callable[[], None]) -> None:
        """Run a change whose failure is only worth a line in the log (publishing indexes)."""

        async def run() -> None:
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
