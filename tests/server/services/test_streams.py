"""Streams of requests: they end when the server drains, and give back what their requests held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from kinprint.server.failures import Unavailable
from kinprint.server.progress import Progress
from kinprint.server.services.streams import Ended, Incoming, told


async def each(*requests: str, then: asyncio.Event | None = None) -> AsyncIterator[str]:
    for request in requests:
        yield request
    if then is not None:
        await then.wait()


def test_requests_come_one_after_another_and_then_none() -> None:
    async def run() -> None:
        state: Any = SimpleNamespace(draining=asyncio.Event())
        async with Incoming(state, each("a", "b"), "go on elsewhere") as incoming:
            assert [await incoming.next() for _ in range(3)] == ["a", "b", None]

    asyncio.run(run())


def test_a_stream_that_waits_ends_when_the_server_drains() -> None:
    async def run() -> None:
        state: Any = SimpleNamespace(draining=asyncio.Event())
        never = asyncio.Event()
        async with Incoming(state, each("a", then=never), "go on elsewhere") as incoming:
            assert await incoming.next() == "a"
            asyncio.get_running_loop().call_soon(state.draining.set)
            with pytest.raises(Unavailable, match="shutting down; go on elsewhere") as caught:
                await asyncio.wait_for(incoming.next(), 10)
            assert (caught.value.reason, caught.value.retry_after) == ("NOT_SERVING", 1.0)

    asyncio.run(run())


def test_a_stream_that_opens_while_the_server_drains_ends_as_well() -> None:
    async def run() -> None:
        state: Any = SimpleNamespace(draining=asyncio.Event())
        state.draining.set()
        async with Incoming(state, each(then=asyncio.Event()), "x") as incoming:
            with pytest.raises(Unavailable):
                await asyncio.wait_for(incoming.next(), 10)

    asyncio.run(run())


def test_a_work_tells_its_steps_and_then_what_it_made() -> None:
    async def run() -> list[Any]:
        def work(tell: Any) -> str:
            tell("first", 0.0)
            tell("first", 0.1)  # too soon after the same step
            tell("second", 0.5)
            return "made"

        return [step async for step in told(work)]

    steps = asyncio.run(run())
    assert steps == [Progress("first", 0.0), Progress("second", 0.5), Ended("made")]


def test_what_a_work_raises_comes_out() -> None:
    async def run() -> None:
        def work(_tell: Any) -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            _ = [step async for step in told(work)]

    asyncio.run(run())
