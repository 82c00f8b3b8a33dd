"""`EmbedService`: order, bounds, dropped callers, errors, closing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from kinprint.server.embed import (
    EmbeddingError,
    EmbedService,
    OnnxEmbedder,
    QueueFull,
    ServiceClosed,
    TokenPlan,
)
from kinprint.server.embed.protocol import Role
from numpy.typing import NDArray
from tiny_model import write_tiny_model

SECONDS = 20.0
"""More than any scenario takes: what has not come by then never comes."""


class Panic(BaseException):
    """As what a panic in Rust is to Python: no `Exception`."""


class GatedEmbedder(OnnxEmbedder):
    """The real thing, which waits for a gate before each inference and notes what came through."""

    def __init__(self, model_dir: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(model_dir)
        self.seen: list[tuple[str, Role]] = []

    def plan(self, text: str, role: Role = "passage") -> TokenPlan:
        if hasattr(self, "seen"):
            self.seen.append((text, role))
        if text == "poison":
            raise EmbeddingError("poison")
        if text == "panic":
            raise Panic("panic")
        return super().plan(text, role)

    def run(self, plan: TokenPlan) -> NDArray[np.float32]:
        assert self.gate.wait(10)
        return super().run(plan)


@pytest.fixture
def embedder(tmp_path: Path) -> GatedEmbedder:
    return GatedEmbedder(write_tiny_model(tmp_path, prompts={"query": "q: ", "passage": "p: "}))


async def _until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def _serving(embedder: GatedEmbedder, workers: int, **limits: int) -> AsyncIterator[EmbedService]:
    """A service that is closed in the end, with the gate open, so that no worker holds the closing up."""
    async with EmbedService(embedder, workers, **limits) as service:
        try:
            yield service
        finally:
            embedder.gate.set()


def _run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario, which fails when something that it awaits does not come."""

    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await scenario()

    asyncio.run(bounded())


def test_answers_are_the_embedders(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        texts = [f"text {i}" for i in range(50)] + ["long " * 1000]
        async with _serving(embedder, 2) as service:
            assert service.embedder is embedder
            batch = await service.embed_passages(texts)
            np.testing.assert_array_equal(batch.vectors, embedder.embed_passages(texts))
            assert batch.cut.tolist() == [False] * 50 + [True]
            vectors, cut, timings = await service.embed_search(["owl", "barn"])
            np.testing.assert_array_equal(vectors, embedder.embed_passages(["owl", "barn"]))
            assert not cut
            assert (await service.embed_search(["long " * 1000]))[1]
            assert min(timings.queue_s, timings.tokenise_s, timings.infer_s) >= 0
            assert (await service.embed_passages([])).vectors.shape == (0, 32)
            assert (await service.embed_passage("long " * 1000)).cut

    _run(scenario)


def test_searches_overtake_bulk(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            bulk = [asyncio.create_task(service.embed_passage(f"bulk {i}")) for i in range(5)]
            await _until(lambda: service.waiting == (0, 4))
            searches = [asyncio.create_task(service.embed_search([f"search {i}"])) for i in range(3)]
            await _until(lambda: service.waiting == (3, 4))
            embedder.gate.set()
            await asyncio.gather(*bulk, *searches)
            assert [text[:4] for text, _ in embedder.seen] == ["bulk"] + ["sear"] * 3 + ["bulk"] * 4

    _run(scenario)


def test_searches_fail_at_once_when_full_and_bulk_waits(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1, max_queries=2, max_bulk=3) as service:
            embedder.gate.clear()
            bulk = [asyncio.create_task(service.embed_passage(f"bulk {i}")) for i in range(8)]
            await _until(lambda: service.waiting == (0, 2))
            searches = [asyncio.create_task(service.embed_search([f"search {i}"])) for i in range(2)]
            await _until(lambda: service.waiting == (2, 2))
            with pytest.raises(QueueFull):
                await service.embed_search(["one too many"])
            assert service.waiting == (2, 2)
            # A caller who goes makes room at once.
            searches[0].cancel()
            await _until(lambda: service.waiting == (1, 2))
            extra = asyncio.create_task(service.embed_search(["fits now"]))
            await _until(lambda: service.waiting == (2, 2))
            embedder.gate.set()
            await asyncio.gather(*bulk, searches[1], extra)
            assert service.dropped == 1
            assert "search 0" not in [text for text, _ in embedder.seen]
            assert len(embedder.seen) == 10

    _run(scenario)


def test_a_cancelled_batch_leaves_nothing_behind(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            batch = asyncio.create_task(service.embed_passages([f"bulk {i}" for i in range(100)]))
            await _until(lambda: service.waiting == (0, 1))
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
            assert service.waiting == (0, 0)
            embedder.gate.set()
            await service.embed_search(["after"])
            assert [text for text, _ in embedder.seen] == ["bulk 0", "after"]

    _run(scenario)


def test_a_failing_text_fails_its_caller_only(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            with pytest.raises(EmbeddingError, match="poison"):
                await service.embed_search(["poison"])
            with pytest.raises(EmbeddingError, match="poison"):
                await service.embed_passages(["good", "poison", "good"])
            await service.embed_search(["fine"])

    _run(scenario)


def test_a_worker_outlives_whatever_a_text_raises(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            with pytest.raises(RuntimeError, match="Panic: panic"):
                await service.embed_search(["panic"])
            await service.embed_search(["fine"])

    _run(scenario)


def test_closing_fails_those_who_wait_and_finishes_those_who_run(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            running = asyncio.create_task(service.embed_search(["running"]))
            await _until(lambda: embedder.seen)
            waiting = asyncio.create_task(service.embed_passage("waiting"))
            await _until(lambda: service.waiting == (0, 1))
            closing = asyncio.create_task(service.close())
            with pytest.raises(ServiceClosed):
                await waiting
            assert not closing.done()
            embedder.gate.set()
            vectors, _, _ = await running
            assert vectors.shape == (1, 32)
            await closing
            await service.close()
            with pytest.raises(ServiceClosed):
                await service.embed_search(["late"])

    _run(scenario)


@pytest.mark.parametrize("name", ["workers", "max_queries", "max_bulk"])
def test_numbers_below_one_are_refused(embedder: GatedEmbedder, name: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EmbedService(embedder, **{name: 0})
