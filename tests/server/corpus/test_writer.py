"""The writer: fills wait for nobody's batch, indexes are published while streams are open, deletes count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import corpus_rows
import numpy as np
import pytest
from corpus_rows import batch_of, stored, submission
from kinprint.server.corpus import corpus as corpus_module
from kinprint.server.corpus import writer as writer_module
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.writer import Writer
from kinprint.server.failures import CorpusBusy, CorpusNotFound


class Embedder:
    """Stands for the embedding service: vectors of the texts alone, at once or when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()

    async def require(self) -> Any:
        return self, corpus_rows.space()

    async def embed_passages(self, sentences: list[str]) -> Any:
        await self.let.wait()
        vectors = np.concatenate([corpus_rows.sentence_vectors(sentence, 1) for sentence in sentences])
        return SimpleNamespace(vectors=vectors, cut=np.zeros(len(sentences), bool))


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


@asynccontextmanager
async def writing(corpus: Corpus) -> AsyncIterator[Writer]:
    with ThreadPoolExecutor(2) as executor:
        writer = Writer(corpus, executor)
        yield writer
        await writer.drain()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(tmp_path)
    made.open_all(lambda _: None)
    return made


def rows(count: int, first: int = 0) -> list[Any]:
    return [submission(f"answer number {n} of a few words", id=f"{n:04d}") for n in range(first, first + count)]


def generations(corpus: Corpus) -> list[str]:
    return sorted(p.name for p in corpus.generations.iterdir()) if corpus.generations.is_dir() else []


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


def test_a_batch_does_not_wait_for_fills_to_gather(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FILL_PAUSE_SECONDS", 20.0)
    corpus = catalog.create("c")

    async def work() -> None:
        embedder = Embedder()
        async with writing(corpus) as writer:
            waiting = asyncio.create_task(writer.store(batch_of(corpus, rows(3), ["semantic"]), embedder.require))
            await until(lambda: bool(writer._fills))
            for first in range(3, 30, 3):
                started = time.monotonic()
                await writer.store(batch_of(corpus, rows(3, first)), embedder.require)
                assert time.monotonic() - started < 10
            assert not waiting.done()
            monkeypatch.setattr(writer_module, "FILL_PAUSE_SECONDS", 0.0)
            await writer.store(batch_of(corpus, rows(1, 50)), embedder.require)
            await waiting

    run(work)
    assert corpus.view.filled("semantic") == 3
    assert corpus.view.rows == 31


def test_fills_are_not_held_back_by_batches_for_ever(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FILL_LATEST_SECONDS", 0.2)
    corpus = catalog.create("c")

    async def work() -> None:
        embedder = Embedder()
        async with writing(corpus) as writer:
            waiting = asyncio.create_task(writer.store(batch_of(corpus, rows(3), ["semantic"]), embedder.require))
            batches = [asyncio.create_task(writer.store(batch_of(corpus, rows(1, 100)), embedder.require))]
            first = 101
            while not waiting.done():
                batches.append(asyncio.create_task(writer.store(batch_of(corpus, rows(1, first)), embedder.require)))
                first += 1
                await asyncio.sleep(0.01)
                if all(task.done() for task in batches):
                    continue
            await asyncio.gather(*batches)

    run(work)
    assert corpus.view.filled("semantic") == 3


def test_an_idle_stream_holds_back_no_publishing(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(corpus_module, "PUBLISH_FROM", 5)
    corpus = catalog.create("c")
    corpus.attach()  # and never says a word

    async def work() -> None:
        async with writing(corpus) as writer:
            await writer.store(batch_of(corpus, rows(4)), Embedder().require)
            await asyncio.sleep(0.3)
            assert generations(corpus) == []
            await writer.store(batch_of(corpus, rows(4, 10)), Embedder().require)
            await until(lambda: corpus.fresh_rows == 0)

    run(work)
    assert generations(corpus) == ["1"]
    assert len(stored(Corpus.open(corpus.folder))) == 8


def test_indexes_are_published_by_rows_while_batches_come(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FRESH_ROWS", 50)
    monkeypatch.setattr(corpus_module, "PUBLISH_FROM", 10)
    corpus = catalog.create("c")

    async def work() -> None:
        async with writing(corpus) as writer:
            for first in range(0, 200, 20):
                await writer.store(batch_of(corpus, rows(20, first)), Embedder().require)
                assert corpus.fresh_rows < 70

    run(work)
    assert generations(corpus) != []
    assert len(stored(corpus)) == len(stored(Corpus.open(corpus.folder))) == 200


def test_indexes_are_published_by_time_while_batches_come(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUIET_SECONDS", 20.0)
    monkeypatch.setattr(writer_module, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(corpus_module, "PUBLISH_FROM", 1)
    corpus = catalog.create("c")

    async def work() -> None:
        async with writing(corpus) as writer:
            first = 0
            while not generations(corpus):
                await writer.store(batch_of(corpus, rows(1, first)), Embedder().require)
                first += 1

    run(work)


def test_deletes_count_towards_compaction(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(corpus_module, "COMPACT_FROM", 6)
    corpus = catalog.create("c")

    async def work() -> None:
        async with writing(corpus) as writer:
            await writer.store(batch_of(corpus, rows(30)), Embedder().require)
            for n in range(8):
                assert await writer.delete([f"{n:04d}", "nobody"]) == (1, 1)
            assert len(corpus.record.snapshot().files) == 9
            await until(lambda: len(corpus.record.snapshot().files) == 1)

    run(work)
    assert len(stored(corpus)) == len(stored(Corpus.open(corpus.folder))) == 22


def test_a_generation_that_is_mostly_dead_is_written_anew(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(corpus_module, "PUBLISH_FROM", 16)
    corpus = catalog.create("c")

    async def work() -> None:
        async with writing(corpus) as writer:
            await writer.store(batch_of(corpus, rows(30)), Embedder().require)
            corpus.publish()
            await writer.delete([f"{n:04d}" for n in range(14)])
            await asyncio.sleep(0.4)
            assert generations(corpus) == ["1"]
            await writer.delete(["0014", "0015"])
            await until(lambda: generations(corpus) == ["2"])

    run(work)
    (part,) = corpus.view.parts
    assert len(part.segment) == part.living == 14
    assert len(stored(Corpus.open(corpus.folder))) == 14


def test_an_idle_stream_does_not_keep_a_corpus(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "IDLE_SECONDS", 0.5)
    corpus = catalog.create("c")
    corpus.attach()
    with pytest.raises(CorpusBusy):
        catalog.delete("c")

    async def work() -> None:
        embedder = Embedder()
        async with writing(corpus) as writer:
            embedder.let.clear()
            waiting = asyncio.create_task(writer.store(batch_of(corpus, rows(3), ["semantic"]), embedder.require))
            await asyncio.sleep(0.7)
            with pytest.raises(CorpusBusy):
                catalog.delete("c")  # a batch is under way, however long it takes
            embedder.let.set()
            await waiting
            with pytest.raises(CorpusBusy):
                catalog.delete("c")
            await asyncio.sleep(0.7)
            assert catalog.delete("c") == 3
            assert catalog.names() == []
            with pytest.raises(CorpusNotFound, match="deleted"):
                await writer.store(batch_of(corpus, rows(3)), embedder.require)
            with pytest.raises(CorpusNotFound, match="deleted"):
                await writer.delete(["0001"])
            corpus.settle()
            assert not corpus.folder.exists()
            again = catalog.create("c")
            assert again.view.rows == 0
        assert corpus.detach()

    run(work)
