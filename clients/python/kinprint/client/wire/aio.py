"""The wire of the asyncio client: gRPC channels and streams, with tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar

import grpc
import grpc.aio
from kinprint.client import contract
from kinprint.client.access import Access
from kinprint.client.contract import Method, Request, Response
from kinprint.client.errors import UnavailableError, from_rpc_error
from kinprint.client.transport import Stubs, channel_options
from kinprint.client.wire.sync import IDLE, MISSES, PROBE
from kinprint.v1 import info_pb2

T = TypeVar("T")
P = ParamSpec("P")
Items = Iterable[T] | AsyncIterable[T]

Lock = asyncio.Lock
sleep = asyncio.sleep
# What gRPC raises for a channel that was closed.
ChannelClosedError = grpc.aio.UsageError


async def each(items: Items[T]) -> AsyncIterator[T]:
    """An iterator over what a caller gave."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def collected(items: AsyncIterable[T]) -> list[T]:
    """All items, as a list."""
    return [item async for item in items]


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function that may take long."""
    return await asyncio.to_thread(function)


class _Opened(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


Opened = TypeVar("Opened", bound=_Opened)


class Opening(Coroutine[Any, Any, Opened]):
    """A coroutine that stands in `async with` as well: it is awaited there, and what it gives is entered."""

    def __init__(self, coroutine: Coroutine[Any, Any, Opened]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        """Of a coroutine."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Of a coroutine."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Of a coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Opened]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> Opened:
        self._opened = await self._coroutine
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)


def opening(function: Callable[P, Coroutine[Any, Any, Opened]]) -> Callable[P, Opening[Opened]]:
    """Make what a function gives stand in `async with`, awaited or not."""

    @functools.wraps(function)
    def begin(*args: P.args, **kwargs: P.kwargs) -> Opening[Opened]:
        return Opening(function(*args, **kwargs))

    return begin


class Connection:
    """A channel with its stubs."""

    def __init__(self, address: str, access: Access) -> None:
        self.address = address
        self.metadata = access.metadata
        self.secure = access.credentials is not None
        credentials = access.credentials
        options = channel_options(address)
        self.channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        self.stubs = Stubs(self.channel)

    async def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """The answer to one request."""
        answer: Response = await self.stubs.of(method)(request, timeout=timeout, metadata=self.metadata)
        return answer

    async def close(self) -> None:
        """Close the channel; calls on it end."""
        await self.channel.close()


class Stream(Generic[Request, Response]):
    """A running streaming call, with a queue of requests and a watch over silence (as in `wire.sync`)."""

    def __init__(
        self,
        connection: Connection,
        method: Method[Request, Response],
        request: Request | None,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[Request | None] = asyncio.Queue()
        self._last = time.monotonic()
        self._dead = False
        requests = self._requests() if request is None else request
        self._call = connection.stubs.of(method)(requests, timeout=timeout, metadata=connection.metadata)
        self._watch = asyncio.create_task(self._watch_silence())

    async def _requests(self) -> AsyncIterator[Request]:
        # Writing beside reading: a server that waits for us to read must not keep us from reading.
        while (request := await self._queue.get()) is not None:
            yield request

    def send(self, request: Request) -> None:
        """Queue a request."""
        self._queue.put_nowait(request)

    async def receive(self) -> Response | None:
        """The next message, None at the end of the stream."""
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            if self._dead:
                raise UnavailableError(f"the server at {self._connection.address} fell silent") from error
            raise from_rpc_error(error, self._connection.address, secure=self._connection.secure) from error
        self._last = time.monotonic()
        return None if message is grpc.aio.EOF else message

    async def close(self) -> None:
        """Cancel the call if it still runs."""
        self._queue.put_nowait(None)
        self._call.cancel()
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch

    async def _watch_silence(self) -> None:
        misses = 0
        while True:
            await asyncio.sleep(IDLE)
            if time.monotonic() - self._last < IDLE:
                misses = 0
                continue
            try:
                await self._connection.call(contract.GET_SERVER_INFO, info_pb2.GetServerInfoRequest(), PROBE)
                misses = 0
            except (grpc.RpcError, ChannelClosedError):
                misses += 1
            if misses >= MISSES:
                self._dead = True
                self._call.cancel()
                return
