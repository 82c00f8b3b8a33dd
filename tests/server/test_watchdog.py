"""The watchdog sees a loop that stands still, and says where."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from kinprint.server.watchdog import Watchdog


def stand_still(seconds: float) -> None:
    time.sleep(seconds)


def test_where_the_loop_stands_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> Watchdog:
        watchdog = Watchdog()
        task = asyncio.create_task(watchdog.run())
        await asyncio.sleep(0.6)
        assert watchdog.stuck == 0
        stand_still(2.0)
        await asyncio.sleep(0.6)
        task.cancel()
        return watchdog

    with caplog.at_level(logging.WARNING):
        watchdog = asyncio.run(run())
    assert watchdog.stuck == 1
    assert watchdog.worst > 1.5
    assert watchdog.lag < 1.0
    assert "stand_still" in caplog.text
    assert "goes on" in caplog.text
