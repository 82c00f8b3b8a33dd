"""Turns of calls: first come first served, short waits where the queue stands, long calls in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kinprint.server import turns as module
from kinprint.server.failures import Overloaded
from kinprint.server.turns import Turns


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def whole() -> None:
            await test(*arguments, **named)

        asyncio.run(whole())

    return run


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@on_loop
async def test_turns_are_given_in_the_order_of_their_asking() -> None:
    turns = Turns(2, 10)
    first, second = await turns.take(), await turns.take()
    order: list[int] = []

    async def ask(number: int) -> None:
        turn = await turns.take()
        order.append(number)
        turn.end()

    tasks = [asyncio.create_task(ask(number)) for number in range(4)]
    await settle()
    assert turns.waiting == 4
    assert order == []
    second.end()
    second.end()  # once is enough
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    first.end()
    assert turns.waiting == 0


@on_loop
async def test_more_than_may_wait_is_refused_at_once() -> None:
    turns = Turns(1, 1)
    turn = await turns.take()
    waits = asyncio.create_task(turns.take())
    await settle()
    with pytest.raises(Overloaded) as refused:
        await turns.take()
    assert refused.value.retry_after == module.RETRY
    turn.end()
    (await waits).end()


@on_loop
async def test_a_burst_is_answered_and_a_queue_that_stands_is_cut_short() -> None:
    now = 0.0
    turns = Turns(1, 100, clock=lambda: now)
    assert turns.patience() == module.BURST
    turn = await turns.take()
    waiting = [asyncio.create_task(turns.take())]
    await settle()
    now = module.INTERVAL / 2
    assert turns.patience() == module.BURST
    now = module.INTERVAL * 1.5
    assert turns.patience() == module.LEAST
    late = asyncio.create_task(turns.take())
    with pytest.raises(Overloaded):
        await late
    assert turns.waiting == 1  # who came while it did not stand waits on
    turn.end()
    (await waiting[0]).end()
    now += module.CALM / 2  # nobody waits, but a refusal is not long ago
    assert turns.patience() < module.BURST / 10
    now += module.CALM
    assert turns.patience() == module.BURST


@on_loop
async def test_patience_grows_with_what_calls_take() -> None:
    now = 0.0
    turns = Turns(1, 100, clock=lambda: now)
    for _ in range(200):
        turn = await turns.take()
        now += 0.06
        turn.end()
    held = await turns.take()
    waits = asyncio.create_task(turns.take())
    await settle()
    now += 2 * module.INTERVAL
    assert turns.patience() == pytest.approx(module.PART * 0.06, rel=1e-3)
    held.end()
    (await waits).end()


@on_loop
async def test_a_long_call_keeps_nobody_waiting() -> None:
    turns = Turns(1, 10)
    long = await turns.take()
    began = time.monotonic()
    (await turns.take()).end()
    assert time.monotonic() - began >= module.LONG / 2
    long.end()  # its place was given back already, and is not given twice
    one = await turns.take()
    other = asyncio.create_task(turns.take())
    await settle()
    assert not other.done()
    one.end()
    (await other).end()


@on_loop
async def test_who_goes_gives_up_its_place() -> None:
    turns = Turns(1, 10)
    turn = await turns.take()
    gone, stays = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await settle()
    gone.cancel()
    turn.end()  # before the cancelled one has noticed
    with contextlib.suppress(asyncio.CancelledError):
        (await gone).end()
    (await asyncio.wait_for(stays, 5)).end()
    given = await turns.take()
    late = asyncio.create_task(turns.take())
    await settle()
    given.end()
    late.cancel()  # at the same moment as its turn came
    with contextlib.suppress(asyncio.CancelledError):
        await late
    (await asyncio.wait_for(turns.take(), 5)).end()


def test_there_is_a_place_at_least() -> None:
    with pytest.raises(ValueError, match="no place"):
        Turns(0, 1)
