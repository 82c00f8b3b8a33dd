"""The embedding model of a server: loaded at the start, at the first use, or never."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from kinprint.server.config import ServerConfig
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


class ModelHolder:
    """The embedding model: loaded at the start, at the first use, or never.  Use from one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._service: EmbedService | None = None
        self._space: EmbeddingSpace | None = None
        self._loading: asyncio.Task[None] | None = None
        self._problem: str | None = None
        if config.model == "none":
            self._problem = (
                "the server was started without a model (--model none, or a client's --embedding-model none); stop it "
                "with 'kinprint stop' and leave that option out: the default model is built at its first use; or name "
                "a model's directory with that option"
            )

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

    def check(self) -> None:
        """Raise ChannelUnavailable when there is no model and none can be loaded."""
        if self._service is None and self._problem is not None:
            raise ChannelUnavailable(f"the semantic channel is not available: {self._problem}")

    async def directory_of_loaded(self) -> Path:
        """Directory of the model, which is loaded now if it was not.  Raises ChannelUnavailable."""
        await self.require()
        return default_model_directory() if self._config.model == "default" else Path(self._config.model)

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
        self._problem = (
            f"{problem}; mend that and start the server anew, or name another model's directory with --model DIR"
        )
        logger.warning("no embedding model, so the semantic channel is off: %s", problem)

    async def require(self) -> tuple[EmbedService, EmbeddingSpace]:
        """The embedder and its space, loaded now if they have not been.  Raises ChannelUnavailable."""
        if self._service is not None and self._space is not None:
            return self._service, self._space
        self.check()
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
