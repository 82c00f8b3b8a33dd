"""Limits on requests and on what one server takes at a time; InfoService advertises both."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass

from kinprint.server.failures import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one request may hold; sizes are bytes of UTF-8."""

    max_text_bytes: int = 1 << 20
    max_message_bytes: int = 4 << 20
    max_batch_items: int = 1000
    max_metadata_bytes: int = 64 << 10
    max_inflight_batches: int = 16
    #: Ids, names of models and accounts, prompt ids.
    max_key_bytes: int = 512
    #: Rows a batch when embeddings are asked for: small enough for visible progress.
    embedding_batch_items: int = 32


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one server takes at a time, all callers together, and what one caller may ask for.

    calls: calls with one request that are under way at once; the server's descriptions are not counted.
    streams: calls with a stream of requests that are open at once.
    inflight_bytes: bytes of request messages that are in work at once.
    gathered_bytes: bytes of texts that attributions hold until all of theirs have come.
    corpora: corpora of the data directory.
    rate: requests of one caller, each message of a stream one, as `limits` writes them: "100/second; 100000/day".
        Empty: no limit.
    bytes_rate: the same for bytes of requests: "1000000000/day".
    """

    calls: int = 256
    streams: int = 64
    inflight_bytes: int = 256 << 20
    gathered_bytes: int = 2 << 30
    corpora: int = 10_000
    rate: str = ""
    bytes_rate: str = ""


#: When the caller of the current task stops waiting, on the clock of `time.monotonic`; None: never.
DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)


def check_deadline(deadline: float | None) -> None:
    """Raise DeadlineExceeded when it has passed: nobody waits for what would come."""
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded("the deadline of the call passed before its work began; pass a larger timeout")


class Lease:
    """Bytes of a budget that somebody holds until `release`, which may be called again."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self._size = size

    def release(self) -> None:
        """Give them back."""
        size, self._size = self._size, 0
        if size:
            self._budget._give_back(size)


class Budget:
    """Bytes that may be held at once, given out first come, first served.  Use from one event loop.

    One request that is larger than all of it is served when nobody else holds anything.

    Parameters
    ----------
    most
        Bytes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        #: Bytes that are held now.
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def _fits(self, size: int) -> bool:
        return self.held + size <= self.most or not self.held

    def try_take(self, size: int) -> Lease | None:
        """Bytes at once, or None: they are held by others, or others wait for them."""
        if self._waiting or not self._fits(size):
            return None
        self.held += size
        return Lease(self, size)

    async def take(self, size: int) -> Lease:
        """Bytes as soon as it is their turn."""
        lease = self.try_take(size)
        if lease is not None:
            return lease
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given at the same moment
                self._give_back(size)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._serve()
            raise
        return Lease(self, size)

    def _give_back(self, size: int) -> None:
        self.held -= size
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
                continue
            if not self._fits(size):
                return
            self._waiting.popleft()
            self.held += size
            turn.set_result(None)
