"""Interceptor: finds out who calls and whether they may, refuses calls while the server does not serve, and tells a
caller what is wrong with bytes that are no message of the contract.

Health is open to everybody. Of all else a caller without credentials learns nothing, not even how far a start is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from kinprint.server.edge.auth import Authority
from kinprint.server.edge.call import CALL
from kinprint.server.edge.errors import abort
from kinprint.server.edge.principal import Principal, Role, act_for
from kinprint.server.edge.roles import ROLES
from kinprint.server.failures import InvalidField, StorageFailed, Unavailable
from kinprint.server.state import State

_OWN = "/kinprint."
_OPEN = "/grpc.health."
_Answering = Callable[..., AsyncGenerator[Any, None]]


class _Malformed:
    """Stands for a message that could not be decoded."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        try:
            return deserialize(data)
        except (DecodeError, UnicodeDecodeError, ValueError) as error:
            return _Malformed(error)

    return decode


def _refusal(malformed: _Malformed) -> InvalidField:
    return InvalidField(
        "",
        "the request is no valid message of this RPC; strings must be valid UTF-8 without lone surrogates "
        f"({malformed.error})",
        "MESSAGE_MALFORMED",
    )


class Guard(grpc.aio.ServerInterceptor):
    """See the module's text."""

    def __init__(self, state: State, authority: Authority) -> None:
        self._state = state
        self._authority = authority

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        # Of what a handler holds, gRPC's types know only the synchronous kind.
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler  # type: ignore[no-any-return]
        decode, encode = handler.request_deserializer, handler.response_serializer
        if not method.startswith(_OWN):  # reflection
            known = self._known(handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(known, decode, encode)
        decode = _tolerant(decode)
        if handler.request_streaming:
            streaming = self._streaming(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(streaming, decode, encode)
        if handler.response_streaming:
            answering = self._answering(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(answering, decode, encode)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), decode, encode)

    async def _admitted(self, method: str, context: grpc.aio.ServicerContext) -> Principal:
        """Who calls; the rest of the call is theirs. Raises what `Authority.principal` does, RoleTooLow."""
        principal = await self._authority.principal(context)
        if (under_way := CALL.get()) is not None:
            under_way.caller = principal.name
        # A method that the table lacks is for nobody but administrators.
        principal.require(ROLES.get(method, Role.ADMIN), method.rpartition("/")[2])
        act_for(principal)
        return principal

    @contextmanager
    def _taken(self, principal: Principal, request: Any = None) -> Iterator[None]:
        """Around a call that is taken: refuses it while the server does not serve, or when it is malformed."""
        if self._state.draining.is_set():
            raise Unavailable("the server is shutting down; retry, on another server if there is one", retry_after=1.0)
        if not self._state.serving:
            # The steps of a start name corpora.
            raise self._state.startup.refusal(named=principal.keeper)
        if isinstance(request, _Malformed):
            raise _refusal(request)
        self._state.calls += 1
        try:
            yield
        finally:
            self._state.calls -= 1
            self._state.idle_since = time.monotonic()

    def _acknowledge(self, method: str) -> None:
        """Refuse to say that something was stored where another server may hold the directory by now.

        Raises StorageFailed.
        """
        if ROLES.get(method, Role.ADMIN) > Role.READ and self._state.lost():
            raise StorageFailed(
                "the data directory, or the LOCK in it, was removed under the server, which ends: what was sent is not "
                "stored; start a server on the directory that is meant, and send it again"
            )

    def _known(self, behaviour: _Answering) -> _Answering:
        """A service that is not ours, for whoever has any role."""

        async def call(requests: Any, context: grpc.aio.ServicerContext) -> AsyncGenerator[Any, None]:
            try:
                await self._authority.principal(context)
            except Exception as error:
                await abort(context, error)
            async with aclosing(behaviour(requests, context)) as responses:
                async for response in responses:
                    yield response

        return call

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            try:
                principal = await self._admitted(method, context)
                with self._taken(principal, request):
                    response = await behaviour(request, context)
                    self._acknowledge(method)
                    return response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call

    def _answering(self, method: str, behaviour: _Answering) -> _Answering:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncGenerator[Any, None]:
            try:
                principal = await self._admitted(method, context)
                with self._taken(principal, request):
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            self._authority.check(principal)
                            self._acknowledge(method)
                            yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call

    def _streaming(self, method: str, behaviour: _Answering) -> _Answering:
        async def checked(requests: AsyncIterator[Any], principal: Principal) -> AsyncIterator[Any]:
            async for request in requests:
                self._authority.check(principal)
                if isinstance(request, _Malformed):
                    raise _refusal(request)
                yield request

        async def call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncGenerator[Any, None]:
            try:
                principal = await self._admitted(method, context)
                with self._taken(principal):
                    async with aclosing(behaviour(checked(requests, principal), context)) as responses:
                        async for response in responses:
                            self._authority.check(principal)
                            self._acknowledge(method)
                            yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call
