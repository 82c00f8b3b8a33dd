"""What streaming RPCs share: requests that end when the server drains, and long runs that end with their caller."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc
from kinprint.server.edge.call import CALL
from kinprint.server.edge.principal import ANONYMOUS, LOCAL, current
from kinprint.server.failures import InvalidField, Unavailable
from kinprint.server.jobs.registry import Request
from kinprint.server.limits import Lease
from kinprint.server.progress import Progress, Stopped
from kinprint.server.state import State
from kinprint.server.threads import contained

Message = TypeVar("Message")
T = TypeVar("T")

#: Seconds between two messages that tell the same step of a work.
_TELL_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """What a work returned."""

    value: T


async def told(work: Callable[[Callable[[str, float], None]], T]) -> AsyncGenerator[Progress | Ended[T], None]:
    """Do a work of minutes in a thread of its own; yields what it tells, step and share, and then what it returns.

    What it calls to tell raises Stopped once the caller has gone.
    """
    steps: asyncio.Queue[Progress] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    gone = threading.Event()
    last, before = "", 0.0

    def tell(step: str, share: float) -> None:
        nonlocal last, before
        if gone.is_set():
            raise Stopped
        now = time.monotonic()
        if step != last or now - before >= _TELL_EVERY:
            last, before = step, now
            with contextlib.suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(steps.put_nowait, Progress(step, share))

    def run() -> T | None:
        try:
            return work(tell)
        except Stopped:
            return None  # nobody reads it

    # Its own thread, and not one of those that writes and searches wait for.
    task: asyncio.Future[T | None] = asyncio.ensure_future(asyncio.to_thread(contained, run))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        while not task.done() or not steps.empty():
            following = asyncio.ensure_future(steps.get())
            either: set[asyncio.Future[Any]] = {task, following}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                yield following.result()
            else:
                following.cancel()
        yield Ended(await asyncio.shield(task))  # type: ignore[arg-type]  # it was not stopped
    finally:
        gone.set()


class Incoming(Generic[Message]):
    """Requests of a stream, one after another. An asynchronous context manager.

    `hold` waits until the server has room for the bytes of the last one: meanwhile the stream is not read, which makes
    its sender wait. Whoever has done with a request gives its bytes back by `let_go`; what is left goes back when the
    call ends.
    """

    def __init__(self, state: State, requests: AsyncIterator[Message], advice: str) -> None:
        self._iterator = aiter(requests)
        self._draining = asyncio.ensure_future(state.draining.wait())
        self._state = state
        self._advice = advice
        self._following: asyncio.Future[Message | None] | None = None

    async def next(self) -> Message | None:
        """The next request; None when the client has closed its side.

        Raises Unavailable, with the advice, when the server drains first.
        """
        self._following = asyncio.ensure_future(anext(self._iterator, None))
        await asyncio.wait({self._following, self._draining}, return_when=asyncio.FIRST_COMPLETED)
        if not self._following.done():
            raise Unavailable(f"the server is shutting down; {self._advice}", retry_after=1.0)
        return self._following.result()

    async def hold(self) -> Lease | None:
        """What the last request holds of the server's budget, as soon as there is room; None outside of a call."""
        call = CALL.get()
        if call is None:
            return None
        lease = await self._state.inflight.take(call.size)
        call.hold(lease)
        return lease

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draining.cancel()
        if self._following is not None and not self._following.done():
            self._following.cancel()
            await asyncio.wait({self._following})


def let_go(lease: Lease | None) -> None:
    """Give back what a request held of the server's budget."""
    call = CALL.get()
    if lease is not None and call is not None:
        call.let_go(lease)


def _caller(peer: str) -> str:
    """Who calls, for people: of a Unix socket gRPC tells nothing but that it is one."""
    return "this machine" if peer.startswith("unix") else peer


def protocol_error(message: str) -> InvalidField:
    """The failure of a stream whose messages come in another order than the contract says."""
    return InvalidField("message", message, "STREAM_PROTOCOL")


async def long_run(
    state: State,
    context: grpc.aio.ServicerContext[Any, Any],
    asked: Callable[[], Request],
    translate: Callable[[Any], Iterable[Message]],
) -> AsyncGenerator[Message, None]:
    """The messages of a run in a process of its own; see `kinprint.server.jobs`.

    `asked` reads the request, in a thread; what the run yields is translated in a thread, too.
    """
    request = await state.read(asked)
    owner = current()
    caller = _caller(context.peer()) + ("" if owner in (LOCAL, ANONYMOUS) else f", {owner.name}")
    async with aclosing(state.jobs.run(request, translate, caller=caller, owner=owner.name)) as messages:
        async for message in messages:
            yield message
