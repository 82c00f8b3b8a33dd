"""What one caller may ask for in a time: requests and their bytes, by the library `limits`, in memory."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kinprint.server.failures import RateExceeded

if TYPE_CHECKING:
    from limits import RateLimitItem

#: Seconds that a message of a stream waits for its turn; beyond them the stream ends, and says when to come again.
_PATIENCE = 2.0


class Quotas:
    """Rates and quotas of the callers of one server.

    Parameters
    ----------
    rate
        Requests, "100/second; 100000/day"; empty: no limit.
    bytes_rate
        Their bytes, written the same way.
    """

    def __init__(self, rate: str, bytes_rate: str) -> None:
        self._requests: list[RateLimitItem] = []
        self._bytes: list[RateLimitItem] = []
        if not rate and not bytes_rate:
            return
        # Most servers have none, and a start should be quick.
        from limits import parse_many
        from limits.storage import MemoryStorage
        from limits.strategies import SlidingWindowCounterRateLimiter

        self._requests = parse_many(rate) if rate else []
        self._bytes = parse_many(bytes_rate) if bytes_rate else []
        # A window that slides by two counters: its memory does not grow with the rate.
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def __bool__(self) -> bool:
        return bool(self._requests or self._bytes)

    def take(self, caller: str, size: int) -> None:
        """Count a request of `size` bytes.  Raises RateExceeded; then nothing of it is counted."""
        wanted = [(item, 1) for item in self._requests]
        # More than the whole of a quota could never come through: it takes all there is.
        wanted += [(item, min(max(size, 1), item.amount)) for item in self._bytes]
        for item, cost in wanted:
            if not self._limiter.test(item, caller, cost=cost):
                raise self._refusal(item, caller)
        for item, cost in wanted:
            self._limiter.hit(item, caller, cost=cost)

    async def take_patiently(self, caller: str, size: int) -> None:
        """As `take`, for a message of a stream: waits where its turn is soon."""
        while True:
            try:
                self.take(caller, size)
            except RateExceeded as refused:
                if refused.retry_after is None or refused.retry_after > _PATIENCE:
                    raise
                await asyncio.sleep(refused.retry_after)
            else:
                return

    def _refusal(self, item: RateLimitItem, caller: str) -> RateExceeded:
        reset = self._limiter.get_window_stats(item, caller).reset_time
        what = "bytes of requests" if item in self._bytes else "requests"
        return RateExceeded(
            f"{caller} may send {what} at {item}; try again later",
            retry_after=min(max(reset - time.time(), 0.05), float(item.get_expiry())),
        )
