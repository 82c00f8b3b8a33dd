"""What all calls stand on: one connection, made anew when the server of a data directory goes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
from kinprint.client import contract
from kinprint.client.access import Access
from kinprint.client.aio.results import AsyncResultStream, Batch, Summary
from kinprint.client.contract import Method, Request, Response
from kinprint.client.convert import server as convert
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.errors import CancelledError, KinprintError, UnavailableError, from_rpc_error
from kinprint.client.transport import check_size
from kinprint.client.types import DuplicatesProgress, Limits, ServerInfo
from kinprint.client.wire.aio import ChannelClosedError, Connection, Lock, Stream, in_thread

_REESTABLISH = 3


class AsyncCalls:
    """A connection, and the ways to call over it."""

    def __init__(
        self,
        connection: Connection,
        embedded: EmbeddedServer | None,
        *,
        timeout: float | None,
        retry_deadline: float,
        access: Access,
    ) -> None:
        self.timeout = timeout
        self._connection = connection
        self._embedded = embedded
        self._retry_deadline = retry_deadline
        self._access = access
        self._lock = Lock()
        self._closed = False
        self._limits: Limits | None = None

    @property
    def address(self) -> str:
        """Address of the server in use."""
        return self._connection.address

    async def close(self) -> None:
        """Close the connection; a server that this client started drains and exits."""
        async with self._lock:
            if self._closed:
                return
            self._closed = True
            await self._connection.close()
            if self._embedded is not None:
                await in_thread(self._embedded.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """What the server is: versions, limits, model, threads."""
        response = await self._unary(contract.GET_SERVER_INFO, convert.server_info_request(), timeout)
        info = convert.server_info_from_proto(response)
        self._limits = info.limits
        return info

    async def _reestablish(self, failed: Connection) -> bool:
        """Find or start another server for the directory; False when the target is an address."""
        if self._embedded is None:
            return False
        async with self._lock:
            if self._closed:
                return False
            if self._connection is failed:
                address = await in_thread(self._embedded.address)
                await failed.close()
                self._connection = Connection(address, self._access)
        return True

    async def _unary(self, method: Method[Request, Response], request: Request, timeout: float | None) -> Response:
        """The answer to one request; one that changes nothing is sent again when the server of a directory went."""
        if not method.repeatable and self._embedded is not None:
            # The holder may have gone since the last call: find out by a call that can be repeated.
            await self._unary(contract.GET_SERVER_INFO, convert.server_info_request(), timeout)
        check_size(request, self._limits)
        for attempt in range(_REESTABLISH):
            self._check_open()
            connection = self._connection
            try:
                return await connection.call(method, request, self.timeout if timeout is None else timeout)
            except grpc.RpcError as error:
                problem = from_rpc_error(error, connection.address, secure=connection.secure)
                again = method.repeatable and isinstance(problem, (UnavailableError, CancelledError))
                if not again or attempt + 1 == _REESTABLISH or not await self._reestablish(connection):
                    raise problem from error
            except ChannelClosedError as error:
                # It was closed while another call made the connection anew.
                if connection is self._connection:
                    raise KinprintError(str(error)) from error
        raise UnavailableError(f"the server at {self.address} does not stay up")

    def _check_open(self) -> None:
        if self._closed:
            raise KinprintError("the client is closed")

    def _open(
        self, method: Method[Request, Response], request: Request | None, timeout: float | None
    ) -> Stream[Request, Response]:
        """A streaming call; without a request, one that takes a stream of them."""
        self._check_open()
        return Stream(self._connection, method, request, timeout)

    async def _run(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout: float | None,
        kind: str,
        convert_batch: Callable[[Any], Batch],
        convert_summary: Callable[[Any], Summary],
        progress: Callable[[DuplicatesProgress], None] | None,
    ) -> AsyncResultStream[Batch, Summary]:
        """A run over whole corpora, whose messages of `kind` are its batches."""
        check_size(request, self._limits)
        await self.server_info()
        return AsyncResultStream(self._open(method, request, timeout), kind, convert_batch, convert_summary, progress)
