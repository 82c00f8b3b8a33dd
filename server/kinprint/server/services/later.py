"""A service that a lazy server imports when it is first called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from importlib import import_module
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from kinprint.server.state import State


class Later:
    """Stands for a service until one of its methods is called; to gRPC it looks the same.

    Args:
        state: what the service is made with.
        place: `module:class` under `kinprint.server.services`.
        descriptor: its methods.
    """

    def __init__(self, state: State, place: str, descriptor: ServiceDescriptor) -> None:
        self._state = state
        self._place = place
        self._made: Any = None
        self._turn = asyncio.Lock()
        for method in descriptor.methods:
            setattr(
                self, method.name, self._stream(method.name) if method.server_streaming else self._unary(method.name)
            )

    async def _service(self) -> Any:
        async with self._turn:
            if self._made is None:
                module, _, name = self._place.partition(":")
                # In a thread: it takes a tenth of a second that other calls do not wait.
                found = await asyncio.to_thread(import_module, f"kinprint.server.services.{module}")
                self._made = getattr(found, name)(self._state)
        return self._made

    def _unary(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            return await getattr(await self._service(), name)(request, context)

        return call

    def _stream(self, name: str) -> Callable[..., AsyncGenerator[Any, None]]:
        async def call(request: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(getattr(await self._service(), name)(request, context)) as answers:
                async for answer in answers:
                    yield answer

        return call
