"""`EmbedService`: order, bounds, fairness, dropped callers, errors, closing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
    batcher,
)
from kinprint.server.embed.protocol import Role
from numpy.typing import NDArray
from tiny_model import write_tiny_model

SECONDS = 20.0
"""More than any scenario takes: what has not come by then never comes."""


class Panic(BaseException):
    """As what a panic in Rust is to Python: no `Exception`."""


class GatedEmbedder(OnnxEmbedder):
    """The real thing, which waits for a gate before each group and notes what came through."""

    def __init__(self, model_dir: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        # First texts of groups that need no open gate.
        self.free: set[str] = set()
        super().__init__(model_dir)
        self.texts: dict[bytes, str] = {}
        self.planned: list[str] = []
        self.ran: list[list[str]] = []

    def plan_many(self, texts: Sequence[str], role: Role = "passage") -> list[TokenPlan]:
        if "poison" in texts:
            raise EmbeddingError("poison")
        if "panic" in texts:
            raise Panic("panic")
        plans = super().plan_many(texts, role)
        if hasattr(self, "planned"):
            self.planned += texts
            for plan, text in zip(plans, texts, strict=True):
                self.texts |= {window.tobytes(): text for window in plan.windows}
        return plans

    def run_windows(self, windows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        group = [self.texts[window.tobytes()] for window in windows]
        self.ran.append(group)
        end = time.monotonic() + 10
        while not (self.gate.is_set() or group[0] in self.free):
            assert time.monotonic() < end
            time.sleep(0.001)
        if "sour" in group:
            raise EmbeddingError("sour")
        return super().run_windows(windows)


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


def _different(count: int, first: int = 10) -> list[str]:
    """Texts of as many lengths, so that each is a group of its own."""
    return ["b" * (first + i) for i in range(count)]


def test_answers_are_the_embedders(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        texts = [f"text {i}" for i in range(50)] + ["long " * 1000] + ["text 3"] * 200
        async with _serving(embedder, 2) as service:
            assert service.embedder is embedder
            batch = await service.embed_passages(texts)
            np.testing.assert_array_equal(batch.vectors, embedder.embed_passages(texts))
            assert batch.cut.tolist() == [False] * 50 + [True] + [False] * 200
            vectors, cut, timings = await service.embed_search(["owl", "barn"])
            np.testing.assert_array_equal(vectors, embedder.embed_passages(["owl", "barn"]))
            assert not cut
            assert (await service.embed_search(["long " * 1000]))[1]
            assert min(timings.queue_s, timings.tokenise_s, timings.infer_s) >= 0
            assert (await service.embed_passages([])).vectors.shape == (0, 32)
            assert (await service.embed_search([]))[0].shape == (0, 32)
            assert service.waiting == (0, 0)

    _run(scenario)


def test_equal_lengths_run_together_and_equal_texts_once(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            texts = ["aaaa", "bbb", "cccc", "aaaa", "dddd"]
            await service.embed_passages(texts)
            assert embedder.ran == [["aaaa", "cccc", "dddd"], ["bbb"]]

    _run(scenario)


def test_a_search_waits_for_no_group_and_overtakes_the_others(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            texts = _different(6)
            bulk = asyncio.create_task(service.embed_passages(texts))
            await _until(lambda: embedder.ran)
            assert service.waiting == (0, 5)
            searches = [asyncio.create_task(service.embed_search([f"search {i}"])) for i in range(3)]
            # Bulk holds the one worker; the searches' own thread takes the first of them all the same.
            await _until(lambda: len(embedder.ran) == 2)
            assert service.waiting == (2, 5)
            assert [group[0] for group in embedder.ran] == [texts[-1], "search 0"]
            # The one worker is let go, group by group: it takes both other searches before it returns to bulk.
            for number, ended in enumerate([texts[-1], "search 1", "search 2"], start=3):
                embedder.free.add(ended)
                await _until(lambda most=number: len(embedder.ran) == most)
            assert [group[0] for group in embedder.ran[2:]] == ["search 1", "search 2", texts[-2]]
            embedder.gate.set()
            await asyncio.gather(bulk, *searches)

    _run(scenario)


def test_bulk_callers_take_turns(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            first = asyncio.create_task(service.embed_passages(_different(20)))
            await _until(lambda: embedder.ran)
            second = asyncio.create_task(service.embed_passages(["x", "xx", "xxx"]))
            await _until(lambda: service.waiting == (0, 22))
            embedder.gate.set()
            await asyncio.gather(first, second)
            # The later caller's three groups came between the earlier one's.
            assert max(place for place, group in enumerate(embedder.ran) if "x" in group[0]) <= 10

    _run(scenario)


def test_bulk_work_in_hand_is_bounded(embedder: GatedEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1, max_bulk=8) as service:
            embedder.gate.clear()
            tasks = [asyncio.create_task(service.embed_passages(_different(20, 20 * i + 1))) for i in range(3)]
            await _until(lambda: embedder.ran)
            await asyncio.sleep(0.05)
            assert len(embedder.planned) == 8
            assert service.waiting == (0, 7)
            embedder.gate.set()
            for i, task in enumerate(tasks):
                texts = _different(20, 20 * i + 1)
                np.testing.assert_array_equal((await task).vectors, embedder.embed_passages(texts))

    _run(scenario)


def test_searches_fail_at_once_when_too_many_wait(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1, max_queries=2) as service:
            embedder.gate.clear()
            running = [asyncio.create_task(service.embed_search([f"running {i}"])) for i in range(2)]
            await _until(lambda: len(embedder.ran) == 2)
            searches = [asyncio.create_task(service.embed_search([f"search {i}"])) for i in range(2)]
            await _until(lambda: service.waiting == (2, 0))
            with pytest.raises(QueueFull):
                await service.embed_search(["one too many"])
            assert service.waiting == (2, 0)
            # A caller who goes makes room at once.
            searches[0].cancel()
            await _until(lambda: service.waiting == (1, 0))
            extra = asyncio.create_task(service.embed_search(["fits now"]))
            await _until(lambda: service.waiting == (2, 0))
            embedder.gate.set()
            await asyncio.gather(*running, searches[1], extra)
            assert service.dropped == 1
            assert ["search 0"] not in embedder.ran

    _run(scenario)


def test_a_cancelled_batch_leaves_nothing_behind(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            batch = asyncio.create_task(service.embed_passages(_different(90)))
            await _until(lambda: embedder.ran)
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
            assert service.waiting == (0, 0)
            assert service.dropped == 89
            embedder.gate.set()
            await service.embed_search(["after"])
            assert [group[0] for group in embedder.ran[1:]] == ["after"]

    _run(scenario)


def test_a_batch_is_cancelled_while_its_tokens_are_made(
    embedder: GatedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "_TEXTS_AT_ONCE", 1)

    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            batch = asyncio.create_task(service.embed_passages(_different(4000, 1)))
            await _until(lambda: len(embedder.planned) > 3)
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
            await service.embed_passages(["after"])
            assert embedder.ran == [["after"]]
            assert len(embedder.planned) < 4000

    _run(scenario)


def test_a_failing_text_fails_its_caller_only(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            with pytest.raises(EmbeddingError, match="poison"):
                await service.embed_search(["poison"])
            for bad in ("poison", "sour"):
                with pytest.raises(EmbeddingError, match=bad):
                    await service.embed_passages(["good", bad, "better", "best of all"])
            await service.embed_search(["fine"])
            assert service.waiting == (0, 0)

    _run(scenario)


def test_a_worker_outlives_whatever_a_text_raises(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            for _ in range(3):
                with pytest.raises(RuntimeError, match="Panic: panic"):
                    await service.embed_search(["panic"])
            await service.embed_search(["fine"])

    _run(scenario)


def test_closing_fails_those_who_wait_and_finishes_those_who_run(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        async with _serving(embedder, 1) as service:
            embedder.gate.clear()
            running = asyncio.create_task(service.embed_passages(["running"]))
            await _until(lambda: embedder.ran)
            waiting = asyncio.create_task(service.embed_passages(["waiting"]))
            await _until(lambda: service.waiting == (0, 1))
            closing = asyncio.create_task(service.close())
            with pytest.raises(ServiceClosed):
                await waiting
            assert not closing.done()
            embedder.gate.set()
            assert (await running).vectors.shape == (1, 32)
            await closing
            await service.close()
            with pytest.raises(ServiceClosed):
                await service.embed_search(["late"])

    _run(scenario)


def test_many_callers_at_once_get_what_each_would_get_alone(embedder: GatedEmbedder) -> None:
    async def scenario() -> None:
        random = np.random.default_rng(3)
        lots = [["w" * int(n) + f" {i % 7}" for n in random.integers(1, 40, 30)] for i in range(24)]
        async with _serving(embedder, 3, max_bulk=50) as service:
            bulk = [service.embed_passages(texts) for texts in lots[::2]]
            searches = [service.embed_search(texts) for texts in lots[1::2]]
            batches, found = await asyncio.gather(asyncio.gather(*bulk), asyncio.gather(*searches))
        for texts, batch in zip(lots[::2], batches, strict=True):
            np.testing.assert_array_equal(batch.vectors, embedder.embed_passages(texts))
        for texts, (vectors, _, _) in zip(lots[1::2], found, strict=True):
            np.testing.assert_array_equal(vectors, embedder.embed_passages(texts))

    _run(scenario)


@pytest.mark.parametrize("name", ["workers", "max_queries", "max_bulk"])
def test_numbers_below_one_are_refused(embedder: GatedEmbedder, name: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EmbedService(embedder, **{name: 0})
