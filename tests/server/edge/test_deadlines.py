"""Work whose caller waits no more is not begun."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from kinprint.server.failures import DeadlineExceeded
from kinprint.server.limits import DEADLINE
from kinprint.server.state import State


def _state() -> Any:
    return SimpleNamespace(readers=ThreadPoolExecutor(1), writers_pool=ThreadPoolExecutor(1))


@pytest.mark.parametrize("kind", ["read", "change"])
def test_nothing_begins_after_the_deadline(kind: str) -> None:
    begun: list[int] = []

    async def run() -> None:
        DEADLINE.set(time.monotonic() - 1)
        await getattr(State, kind)(_state(), lambda: begun.append(1))

    with pytest.raises(DeadlineExceeded):
        asyncio.run(run())
    assert not begun


def test_a_deadline_that_passes_in_the_queue_counts() -> None:
    begun: list[int] = []

    async def run() -> None:
        state, gate = _state(), threading.Event()
        first = asyncio.ensure_future(State.read(state, gate.wait))
        await asyncio.sleep(0)
        DEADLINE.set(time.monotonic() + 0.05)
        second = asyncio.ensure_future(State.read(state, lambda: begun.append(1)))
        await asyncio.sleep(0.1)
        gate.set()
        await first
        await second

    with pytest.raises(DeadlineExceeded):
        asyncio.run(run())
    assert not begun


def test_who_goes_while_queued_has_nothing_begun() -> None:
    begun: list[int] = []

    async def run() -> None:
        state, gate = _state(), threading.Event()
        first = asyncio.ensure_future(State.read(state, gate.wait))
        second = asyncio.ensure_future(State.read(state, lambda: begun.append(1)))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.05)  # until the thread's queue knows
        gate.set()
        await first
        state.readers.shutdown()

    asyncio.run(run())
    assert not begun
