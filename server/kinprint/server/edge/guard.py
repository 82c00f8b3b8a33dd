"""Interceptor: refuses calls while the server does not serve, and tells a caller what is wrong with bytes
that are no message of the contract."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from kinprint.server.edge.errors import abort
from kinprint.server.failures import InvalidField, Unavailable
from kinprint.server.state import State

_OWN = "/kinprint."
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

    def __init__(self, state: State) -> None:
        self._state = state

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        # Of what a handler holds, gRPC's types know only the synchronous kind.
        handler: Any = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(_OWN):
            return handler  # type: ignore[no-any-return]
        decode = _tolerant(handler.request_deserializer)
        encode = handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(handler.stream_stream), decode, encode)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._answering(handler.unary_stream), decode, encode)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary), decode, encode)

    @contextmanager
    def _taken(self, request: Any = None) -> Iterator[None]:
        """Around a call that is taken: refuses it while the server does not serve, or when it is malformed."""
        if self._state.draining.is_set():
            raise Unavailable("the server is shutting down; retry, on another server if there is one", retry_after=1.0)
        if not self._state.serving:
            raise self._state.startup.refusal()
        if isinstance(request, _Malformed):
            raise _refusal(request)
        self._state.calls += 1
        try:
            yield
        finally:
            self._state.calls -= 1
            self._state.idle_since = time.monotonic()

    def _unary(self, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            try:
                with self._taken(request):
                    return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call

    def _answering(self, behaviour: _Answering) -> _Answering:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncGenerator[Any, None]:
            try:
                with self._taken(request):
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call

    def _streaming(self, behaviour: _Answering) -> _Answering:
        async def checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for request in requests:
                if isinstance(request, _Malformed):
                    raise _refusal(request)
                yield request

        async def call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncGenerator[Any, None]:
            try:
                with self._taken():
                    async with aclosing(behaviour(checked(requests), context)) as responses:
                        async for response in responses:
                            yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await abort(context, error)

        return call
