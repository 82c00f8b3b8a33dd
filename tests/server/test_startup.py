"""Calls that need kernels which are compiled behind."""

from __future__ import annotations

import asyncio

import pytest
from kinprint.server.failures import Unavailable
from kinprint.server.startup import Startup


def test_a_call_waits_for_kernels_that_are_compiled_behind() -> None:
    async def calls() -> None:
        startup, ending = Startup(), asyncio.Event()
        await startup.until_compiled("search", ending)  # nothing was put off
        startup.put_off(("search", "jobs"))
        waiting = asyncio.create_task(startup.until_compiled("search", ending))
        await asyncio.sleep(0)
        startup.compiled(("jobs",))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        startup.compiled(("search", "load"))
        await asyncio.wait_for(waiting, 5.0)
        await startup.until_compiled("search", ending)

    asyncio.run(calls())


def test_a_server_that_ends_lets_the_waiting_go() -> None:
    async def calls() -> None:
        startup, ending = Startup(), asyncio.Event()
        startup.put_off(("search",))
        waiting = asyncio.create_task(startup.until_compiled("search", ending))
        await asyncio.sleep(0)
        ending.set()
        with pytest.raises(Unavailable, match="shutting down"):
            await asyncio.wait_for(waiting, 5.0)

    asyncio.run(calls())
