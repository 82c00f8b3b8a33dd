"""What the guard lets by: nothing while the server starts or drains, nothing malformed, nobody of too low a role."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from kinprint.server.edge import guard
from kinprint.server.edge.guard import Guard
from kinprint.server.edge.principal import ANONYMOUS, Principal, Role, current
from kinprint.server.failures import Failure, InvalidField, RoleTooLow, Unavailable

SEARCH, DELETE = "/kinprint.v1.MatchService/Search", "/kinprint.v1.CorpusService/DeleteCorpus"
READER = Principal("reader", Role.READ, frozenset({"c"}))


class Authority:
    """Says who calls; `gone` once their key is revoked."""

    def __init__(self, principal: Principal) -> None:
        self.known, self.gone = principal, False

    async def principal(self, _context: Any) -> Principal:
        self.check(self.known)
        return self.known

    def check(self, _principal: Principal) -> None:
        if self.gone:
            raise RoleTooLow("revoked")


def state_of(**changes: Any) -> Any:
    refusal = lambda *, named: Unavailable(f"starting, named {named}", retry_after=0.5)  # noqa: E731
    values = {"draining": asyncio.Event(), "serving": True, "calls": 0, "idle_since": 0.0}
    return SimpleNamespace(**values | changes, startup=SimpleNamespace(refusal=refusal))


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures come out as they are, and not as a status of gRPC."""

    async def abort(_context: Any, error: Exception) -> None:
        raise error

    monkeypatch.setattr(guard, "abort", abort)


def handler_of(state: Any, principal: Principal, method: str, handler: Any, authority: Any = None) -> Any:
    async def continuation(_details: Any) -> Any:
        return handler

    made = Guard(state, authority or Authority(principal))
    details: Any = SimpleNamespace(method=method)
    return made.intercept_service(continuation, details)


def ask(state: Any, principal: Principal = ANONYMOUS, method: str = SEARCH, request: Any = "q") -> Any:
    """The answer to one request, or what it is refused with."""

    async def answer(given: Any, _context: Any) -> Any:
        assert state.calls == 1
        assert current() is principal
        return f"answer to {given}"

    async def run() -> Any:
        plain = grpc.unary_unary_rpc_method_handler(answer, lambda data: data, None)
        found = await handler_of(state, principal, method, plain)
        try:
            return await found.unary_unary(request, None)
        except Failure as refused:
            return refused

    return asyncio.run(run())


def test_a_call_is_counted_while_it_lasts() -> None:
    state = state_of()
    assert ask(state) == "answer to q"
    assert state.calls == 0
    assert state.idle_since > 0


def test_nothing_is_taken_while_the_server_drains() -> None:
    state = state_of()
    state.draining.set()
    refused = ask(state)
    assert isinstance(refused, Unavailable)
    assert (refused.reason, refused.retry_after) == ("NOT_SERVING", 1.0)
    assert "shutting down" in refused.message
    assert state.calls == 0
    state.serving = False
    assert "shutting down" in ask(state).message  # and not that it starts


@pytest.mark.parametrize(("principal", "named"), [(ANONYMOUS, True), (READER, False)])
def test_nothing_is_taken_while_the_server_starts(principal: Principal, named: bool) -> None:
    refused = ask(state_of(serving=False), principal)
    assert (refused.message, refused.retry_after) == (f"starting, named {named}", 0.5)


def test_roles_are_asked_for_before_anything_else_is_told() -> None:
    state = state_of(serving=False)
    refused = ask(state, READER, DELETE)
    assert isinstance(refused, RoleTooLow)
    assert "DeleteCorpus needs the role admin" in refused.message
    assert isinstance(ask(state_of(), READER, "/kinprint.v1.MatchService/NotInTheTable"), RoleTooLow)


def test_bytes_that_are_no_message_are_refused_by_name() -> None:
    decode = guard._tolerant(lambda data: data.decode("utf-8"))
    assert decode(b"fine") == "fine"
    refused = ask(state_of(), request=decode(b"\xff"))
    assert isinstance(refused, InvalidField)
    assert (refused.reason, refused.field) == ("MESSAGE_MALFORMED", "")


def streamed(kind: str, requests: list[Any], revoke_after: int | None = None, **changes: Any) -> list[Any]:
    """What comes out of a streaming call, its refusal last; `revoke_after` answers the key is revoked."""
    authority, state = Authority(READER), state_of(**changes)

    async def echo(given: Any, _context: Any) -> Any:
        if kind == "answering":
            for k in range(3):
                yield f"{given} {k}"
        else:
            async for request in given:
                yield f"answer to {request}"

    async def each() -> Any:
        for request in requests:
            yield request

    async def run() -> list[Any]:
        if kind == "answering":
            plain = grpc.unary_stream_rpc_method_handler(echo, lambda data: data, None)
            found = await handler_of(state, READER, SEARCH, plain, authority)
            answers = found.unary_stream(requests[0], None)
        else:
            plain = grpc.stream_stream_rpc_method_handler(echo, lambda data: data, None)
            found = await handler_of(state, READER, SEARCH, plain, authority)
            answers = found.stream_stream(each(), None)
        out: list[Any] = []
        try:
            async for answer in answers:
                out.append(answer)
                authority.gone = len(out) == revoke_after
        except Failure as refused:
            out.append(refused)
        assert state.calls == 0
        return out

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["answering", "streaming"])
def test_streams_end_with_the_key_that_opened_them(kind: str) -> None:
    whole = streamed(kind, ["a", "b", "c"])
    assert len(whole) == 3
    assert all(isinstance(answer, str) for answer in whole)
    first, refused = streamed(kind, ["a", "b", "c"], revoke_after=1)
    assert first == whole[0]
    assert isinstance(refused, RoleTooLow)


@pytest.mark.parametrize("kind", ["answering", "streaming"])
def test_streams_are_not_opened_while_the_server_drains(kind: str) -> None:
    draining = asyncio.Event()
    draining.set()
    (refused,) = streamed(kind, ["a"], draining=draining)
    assert (refused.reason, refused.retry_after) == ("NOT_SERVING", 1.0)


def test_a_malformed_message_of_a_stream_ends_it() -> None:
    broken = guard._Malformed(ValueError("no"))
    first, refused = streamed("streaming", ["a", broken, "c"])
    assert first == "answer to a"
    assert refused.reason == "MESSAGE_MALFORMED"


def test_health_is_open_to_everybody() -> None:
    handler = object()
    state = state_of(serving=False)
    found = asyncio.run(handler_of(state, READER, "/grpc.health.v1.Health/Check", handler))
    assert found is handler
