"""The wire of the synchronous client: gRPC channels and streams, with threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import grpc
from kinprint.client import contract
from kinprint.client.access import Access
from kinprint.client.contract import Method, Request, Response
from kinprint.client.errors import UnavailableError, from_rpc_error
from kinprint.client.transport import Stubs, channel_options
from kinprint.v1 import info_pb2

T = TypeVar("T")
Opener = TypeVar("Opener", bound=Callable[..., Any])
Items = Iterable[T]

Lock = threading.Lock
sleep = time.sleep
# What gRPC raises for a channel that was closed.
ChannelClosedError = ValueError

# Seconds of silence on a stream before the server is asked for a sign of life, and how often it may miss.
IDLE = 30.0
PROBE = 10.0
MISSES = 3


def each(items: Items[T]) -> Iterator[T]:
    """An iterator over what a caller gave."""
    return iter(items)


def collected(items: Items[T]) -> list[T]:
    """All items, as a list."""
    return list(items)


def in_thread(function: Callable[[], T]) -> T:
    """Call a function that may take long."""
    return function()


def opening(function: Opener) -> Opener:
    """Mark a function that gives what a `with` statement takes."""
    return function


class Connection:
    """A channel with its stubs."""

    def __init__(self, address: str, access: Access) -> None:
        self.address = address
        self.metadata = access.metadata
        self.secure = access.credentials is not None
        credentials = access.credentials
        options = channel_options(address)
        self.channel = (
            grpc.insecure_channel(address, options=options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=options)
        )
        self.stubs = Stubs(self.channel)

    def call(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """The answer to one request."""
        answer: Response = self.stubs.of(method)(request, timeout=timeout, metadata=self.metadata)
        return answer

    def close(self) -> None:
        """Close the channel; calls on it end."""
        self.channel.close()


class Stream(Generic[Request, Response]):
    """A running streaming call, with a queue of requests and a watch over silence.

    The gRPC library drains the queue in a thread of its own, which `close` ends. When the server is silent
    for long, a second thread asks it for a sign of life and cancels the call if none comes: a dead network
    would otherwise look like a slow server for ever.
    """

    def __init__(
        self,
        connection: Connection,
        method: Method[Request, Response],
        request: Request | None,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._last = time.monotonic()
        self._dead = False
        self._closed = threading.Event()
        # A request given: a call with one request. None: a stream of requests.
        requests = iter(self._queue.get, None) if request is None else request
        self._call = connection.stubs.of(method)(requests, timeout=timeout, metadata=connection.metadata)
        self._watch = threading.Thread(target=self._watch_silence, name="kinprint-watch", daemon=True)
        self._watch.start()

    def send(self, request: Request) -> None:
        """Queue a request."""
        self._queue.put(request)

    def receive(self) -> Response | None:
        """The next message, None at the end of the stream."""
        try:
            message: Response | None = next(self._call, None)
        except grpc.RpcError as error:
            if self._dead:
                raise UnavailableError(f"the server at {self._connection.address} fell silent") from error
            raise from_rpc_error(error, self._connection.address, secure=self._connection.secure) from error
        self._last = time.monotonic()
        return message

    def close(self) -> None:
        """Cancel the call if it still runs."""
        self._closed.set()
        self._queue.put(None)
        self._call.cancel()
        self._watch.join()

    def _watch_silence(self) -> None:
        misses = 0
        while not self._closed.wait(IDLE):
            if time.monotonic() - self._last < IDLE:
                misses = 0
                continue
            try:
                self._connection.call(contract.GET_SERVER_INFO, info_pb2.GetServerInfoRequest(), PROBE)
                misses = 0
            except (grpc.RpcError, ChannelClosedError):
                misses += 1
            if misses >= MISSES:
                self._dead = True
                self._call.cancel()
                return
