"""The outermost interceptor: counts every call, its bytes and its outcome, and tells whoever wants to know.

It stands outside of the guard, so that what is refused there is counted, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, Protocol

import grpc
from kinprint.server.edge.call import CALL, Call
from kinprint.server.state import State

_OWN = "/kinprint.v1."
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_Answering = Callable[..., AsyncGenerator[Any, None]]


class Observer(Protocol):
    """Is told of calls; on the event loop, so it must not wait."""

    def began(self, call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """A call was taken."""

    def asked(self, call: Call, request: Any) -> None:
        """A request came, the only one or one of a stream."""

    def sent(self, call: Call, size: int) -> None:
        """An answer of so many bytes goes out; that of a call with one answer, after it has ended."""

    def ended(self, call: Call, code: str, seconds: float) -> None:
        """A call ended with a status."""


class _Sized:
    """A request with its bytes."""

    __slots__ = ("message", "size")

    def __init__(self, message: Any, size: int) -> None:
        self.message = message
        self.size = size


class Meter(grpc.aio.ServerInterceptor):
    """See the module's text."""

    def __init__(self, state: State, observers: Sequence[Observer]) -> None:
        self._state = state
        self._observers = tuple(observers)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        # Of what a handler holds, gRPC's types know only the synchronous kind.
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OWN):
            return handler  # type: ignore[no-any-return]
        rpc = method.removeprefix(_OWN)
        decode = _sizing(handler.request_deserializer)
        encode = self._counting(handler.response_serializer)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(rpc, handler.stream_stream), decode, encode)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._answering(rpc, handler.unary_stream), decode, encode)
        return grpc.unary_unary_rpc_method_handler(self._unary(rpc, handler.unary_unary), decode, encode)

    @contextmanager
    def _counted(
        self, rpc: str, context: grpc.aio.ServicerContext[Any, Any], streaming: bool = False
    ) -> Iterator[Call]:
        call = Call(rpc, streaming)
        CALL.set(call)
        for observer in self._observers:
            observer.began(call, context)
        code = "OK"
        try:
            yield call
        except (asyncio.CancelledError, GeneratorExit):
            left = context.time_remaining()
            if not call.complete:
                code = "CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED"
            raise
        except BaseException:
            code = _CODES.get(_status(context), "UNKNOWN")
            raise
        finally:
            call.end()
            self._state.answered[code] += 1
            seconds = time.monotonic() - call.began
            for observer in self._observers:
                observer.ended(call, code, seconds)

    def _asked(self, call: Call, request: _Sized) -> Any:
        call.took(request.size)
        for observer in self._observers:
            observer.asked(call, request.message)
        return request.message

    def _counting(self, serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        def encode(message: Any) -> bytes:
            data = serialize(message)
            call = CALL.get()
            if call is not None:
                call.messages_out += 1
                call.bytes_out += len(data)
                for observer in self._observers:
                    observer.sent(call, len(data))
            return data

        return encode

    def _unary(self, rpc: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(request: _Sized, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._counted(rpc, context) as call:
                return await behaviour(self._asked(call, request), context)

        return run

    def _answering(self, rpc: str, behaviour: _Answering) -> _Answering:
        async def run(request: _Sized, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[Any, None]:
            with self._counted(rpc, context) as call:
                async with aclosing(behaviour(self._asked(call, request), context)) as responses:
                    async for response in responses:
                        yield response

        return run

    def _streaming(self, rpc: str, behaviour: _Answering) -> _Answering:
        async def read(call: Call, requests: AsyncIterator[_Sized]) -> AsyncIterator[Any]:
            async for request in requests:
                yield self._asked(call, request)

        async def run(
            requests: AsyncIterator[_Sized], context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncGenerator[Any, None]:
            with self._counted(rpc, context, streaming=True) as call:
                async with aclosing(behaviour(read(call, requests), context)) as responses:
                    async for response in responses:
                        yield response

        return run


def _status(context: Any) -> int:
    """Number of the status that a call was ended with."""
    code = context.code()
    return int(code.value[0] if isinstance(code, grpc.StatusCode) else code or 0)


def _sizing(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], _Sized]:
    return lambda data: _Sized(deserialize(data), len(data))
