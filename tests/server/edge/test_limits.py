"""Budgets, quotas and deadlines by themselves."""

from __future__ import annotations

import asyncio
import time

import pytest
from kinprint.server.edge.quotas import Quotas
from kinprint.server.failures import DeadlineExceeded, RateExceeded
from kinprint.server.limits import Budget, check_deadline


def test_a_budget_is_given_out_in_turn() -> None:
    async def run() -> None:
        budget = Budget(100)
        first = budget.try_take(60)
        assert first is not None
        assert budget.try_take(50) is None
        large = asyncio.create_task(budget.take(90))
        await asyncio.sleep(0)
        assert budget.waiting == 1
        assert budget.try_take(10) is None, "a small one must not overtake for ever"
        small = asyncio.create_task(budget.take(10))
        await asyncio.sleep(0)
        assert not large.done()
        first.release()
        first.release()
        leases = [await large, await small]
        assert budget.held == 100
        for lease in leases:
            lease.release()
        assert (budget.held, budget.waiting) == (0, 0)

    asyncio.run(run())


def test_what_is_larger_than_the_budget_comes_alone() -> None:
    async def run() -> None:
        budget = Budget(10)
        one = budget.try_take(1)
        assert one is not None
        large = asyncio.create_task(budget.take(50))
        await asyncio.sleep(0)
        assert not large.done()
        one.release()
        assert (await large) is not None
        assert budget.held == 50

    asyncio.run(run())


@pytest.mark.parametrize("given", [False, True])
def test_who_goes_while_waiting_holds_nothing(given: bool) -> None:
    async def run() -> None:
        budget = Budget(10)
        lease = budget.try_take(10)
        assert lease is not None
        waiting = asyncio.create_task(budget.take(4))
        other = asyncio.create_task(budget.take(8))
        await asyncio.sleep(0)
        if given:
            lease.release()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not given:
            lease.release()
        await asyncio.wait_for(other, 1)
        assert budget.held == 8

    asyncio.run(run())


def test_a_rate_is_of_each_caller() -> None:
    quotas = Quotas("2/minute", "")
    quotas.take("a", 1)
    quotas.take("a", 1)
    with pytest.raises(RateExceeded) as caught:
        quotas.take("a", 1)
    assert caught.value.reason == "RATE_EXCEEDED"
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 120
    quotas.take("b", 1)


def test_bytes_count_and_what_is_refused_does_not() -> None:
    quotas = Quotas("3/hour", "100/hour")
    quotas.take("a", 90)
    with pytest.raises(RateExceeded):
        quotas.take("a", 20)
    quotas.take("a", 10)
    with pytest.raises(RateExceeded):
        quotas.take("a", 1)
    with pytest.raises(RateExceeded):
        quotas.take("a", 1)
    # Larger than all of it: taken once, alone.
    quotas.take("b", 10_000)
    with pytest.raises(RateExceeded):
        quotas.take("b", 1)


def test_no_rate_is_no_quota() -> None:
    assert not Quotas("", "")


def test_messages_wait_for_what_comes_soon() -> None:
    async def run() -> float:
        quotas = Quotas("5/second", "")
        began = time.monotonic()
        for _ in range(8):
            await quotas.take_patiently("a", 1)
        return time.monotonic() - began

    assert asyncio.run(run()) >= 0.1

    async def refused() -> None:
        quotas = Quotas("1/hour", "")
        await quotas.take_patiently("a", 1)
        with pytest.raises(RateExceeded):
            await quotas.take_patiently("a", 1)

    asyncio.run(refused())


def test_a_deadline_that_passed_is_told() -> None:
    check_deadline(None)
    check_deadline(time.monotonic() + 10)
    with pytest.raises(DeadlineExceeded):
        check_deadline(time.monotonic() - 0.001)
