"""The innermost interceptor: takes calls as far as the server has room for them, and the caller may send them.

Refused with RetryInfo is what would wait for long: a queue that grows is a wait that grows (`kinprint.server.turns`).
Messages of a stream that is open wait in the transport instead (`services/streams.py`), which tells the sender to wait.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from kinprint.server.edge.audit import AuditLog
from kinprint.server.edge.call import CALL
from kinprint.server.edge.caller import caller_name
from kinprint.server.edge.quotas import Quotas
from kinprint.server.failures import Overloaded, TooManyStreams
from kinprint.server.limits import DEADLINE, check_deadline
from kinprint.server.state import State
from kinprint.server.wording import counted

_OWN = "/kinprint.v1."
#: Services that say how the server is: an operator asks them when it is overloaded.
_ALWAYS = ("/kinprint.v1.InfoService/", "/kinprint.v1.JobService/")
#: Seconds after which a refused call may be tried again.
_RETRY = 0.5
_Answering = Callable[..., AsyncGenerator[Any, None]]


class Admission(grpc.aio.ServerInterceptor):
    """See the module's text."""

    def __init__(self, state: State, audit: AuditLog | None = None) -> None:
        self._state = state
        self._audit = audit
        capacity = state.config.capacity
        self._quotas = Quotas(capacity.rate, capacity.bytes_rate)
        self._turns = state.turns

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
        decode, encode = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(handler.stream_stream), decode, encode)
        always = method.startswith(_ALWAYS)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._answering(handler.unary_stream), decode, encode)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, always), decode, encode)

    def _begin(self, context: grpc.aio.ServicerContext[Any, Any], always: bool = False) -> None:
        """What holds for every call.  Raises DeadlineExceeded, AuditUnavailable."""
        if self._audit is not None and not always:
            self._audit.check()
        left = context.time_remaining()
        # Of a call without a deadline gRPC tells an infinite or a very long one.
        deadline = None if left is None or left > 1e9 else time.monotonic() + left
        DEADLINE.set(deadline)
        check_deadline(deadline)

    def _lease(self) -> None:
        """Bytes of the only request of a call, held until it ends.  Raises Overloaded."""
        call = CALL.get()
        if call is None or not call.size:
            return
        lease = self._state.inflight.try_take(call.size)
        if lease is None:
            raise Overloaded(
                f"requests of {self._state.inflight.held} bytes are in work, which is the most; try again in a moment",
                retry_after=_RETRY,
            )
        call.hold(lease)

    @contextmanager
    def _counted(self, always: bool) -> Iterator[None]:
        if always:
            yield
            return
        if self._state.unary_calls >= self._state.config.capacity.calls:
            raise Overloaded(
                f"{self._state.unary_calls} calls are under way, which is the most; try again in a moment",
                retry_after=_RETRY,
            )
        self._lease()
        self._state.unary_calls += 1
        try:
            yield
        finally:
            self._state.unary_calls -= 1

    def _unary(self, behaviour: Callable[..., Awaitable[Any]], always: bool) -> Callable[..., Awaitable[Any]]:
        async def run(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self._begin(context, always)
            if self._quotas and not always:
                self._quotas.take(caller_name(), _size())
            with self._counted(always):
                if always:
                    return await behaviour(request, context)
                turn = await self._turns.take()
                try:
                    check_deadline(DEADLINE.get())
                    return await behaviour(request, context)
                finally:
                    turn.end()

        return run

    def _answering(self, behaviour: _Answering) -> _Answering:
        async def run(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncGenerator[Any, None]:
            self._begin(context)
            if self._quotas:
                self._quotas.take(caller_name(), _size())
            # Their number is bounded by the queue of long runs; their bytes count as those of others.
            self._lease()
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response

        return run

    def _streaming(self, behaviour: _Answering) -> _Answering:
        async def allowed(requests: AsyncIterator[Any], caller: str) -> AsyncIterator[Any]:
            async for request in requests:
                await self._quotas.take_patiently(caller, _size())
                yield request

        async def run(
            requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncGenerator[Any, None]:
            self._begin(context)
            state = self._state
            if state.streams >= state.config.capacity.streams:
                raise TooManyStreams(
                    f"{counted(state.streams, 'stream of requests is', 'streams of requests are')} open, which is the "
                    "most; close one, or try again later",
                    retry_after=2 * _RETRY,
                )
            state.streams += 1
            try:
                admitted = allowed(requests, caller_name()) if self._quotas else requests
                async with aclosing(behaviour(admitted, context)) as responses:
                    async for response in responses:
                        yield response
            finally:
                state.streams -= 1

        return run


def _size() -> int:
    call = CALL.get()
    return call.size if call is not None else 0
