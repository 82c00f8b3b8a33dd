"""From failures to google.rpc statuses."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from kinprint.server import failures
from kinprint.server.edge.call import CALL
from kinprint.server.embed import EmbeddingError, QueueFull
from kinprint.v1.google_rpc import error_details_pb2, status_pb2

logger = logging.getLogger(__name__)

DOMAIN = "kinprint"
_DETAILS_KEY = "grpc-status-details-bin"
#: Of gRPC itself (A6, "Client retry design").
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: Bytes of a message; it is sent up to three times, in metadata of which peers take 8 KiB in all.
_MOST = 1500


def failure_of(error: BaseException) -> failures.Failure:
    """The failure that a caller is told for any exception; what was not foreseen is logged whole."""
    if isinstance(error, failures.Failure):
        return error
    if isinstance(error, QueueFull):
        return failures.QueueFull(f"{error}; try again in a moment", retry_after=0.5)
    if isinstance(error, EmbeddingError):
        return failures.InvalidField("text", f"the text cannot be embedded: {error}", "TEXT_NOT_EMBEDDABLE")
    logger.error("unexpected failure", exc_info=error)
    return failures.Failure(f"internal error ({type(error).__name__}); the server's log has the details")


def told(failure: failures.Failure) -> str:
    """Message of a failure as it is sent.

    One that quotes a caller's megabyte would not fit into a status, and one that quotes its control characters would
    write on the terminal of whoever reads it.
    """
    return _fitted(failure.message, _MOST)


def _fitted(text: str, most: int) -> str:
    """A text without control characters, of at most `most` bytes in a status."""
    if len(text) > 4 * most:  # to look at each character of a megabyte would hold up the event loop
        text = text[: 2 * most] + text[-2 * most :]
    return _cut(plain(text), most)


def plain(text: str) -> str:
    """A text without control characters, which are escaped as Python does."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _size(text: str) -> int:
    """Bytes of a text in a status, where what is not printable ASCII takes three for each of its own."""
    data = text.encode(errors="replace")
    return len(data) + 2 * sum(byte < 0x20 or byte > 0x7E or byte == 0x25 for byte in data)


def _cut(text: str, most: int) -> str:
    """A text of at most `most` bytes in a status: its beginning and its end."""
    if _size(text) <= most:
        return text
    spare = most - 10  # of the dots between them
    head = _longest(text, lambda count: text[:count], spare * 2 // 3)
    tail = _longest(text, lambda count: text[len(text) - count :], spare // 3)
    return f"{head} … {tail}"


def _longest(text: str, part: Callable[[int], str], most: int) -> str:
    """The longest part, of so many characters, that takes at most `most` bytes."""
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(part(middle)) <= most else (low, middle - 1)
    return part(low)


def code_of(failure: failures.Failure) -> grpc.StatusCode:
    """Status code of a failure."""
    return grpc.StatusCode[failure.code]


def status_of(error: BaseException) -> status_pb2.Status:
    """The google.rpc.Status of an exception, with ErrorInfo, field violations and RetryInfo."""
    failure = failure_of(error)
    message = told(failure)
    status = status_pb2.Status(code=code_of(failure).value[0], message=message)

    def add(message: Message) -> None:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.append(packed)

    add(error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=failure.metadata))
    if failure.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_fitted(failure.field, _MOST // 4), description=message
        )
        add(error_details_pb2.BadRequest(field_violations=[violation]))
    if failure.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(failure.retry_after * 1e9))
        add(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _pushback(failure: failures.Failure) -> str:
    """What a gRPC client that repeats calls by itself is told: after how many ms, or that it is of no use.

    Whoever was refused in one moment does not come back in one.
    """
    if not isinstance(failure, failures.Overloaded) or failure.retry_after is None:
        return "-1"
    return str(round(1000 * failure.retry_after * random.uniform(0.5, 1.5)))


async def abort(context: grpc.aio.ServicerContext, error: BaseException) -> NoReturn:
    """End the RPC with the status of an exception."""
    if isinstance(error, asyncio.CancelledError):
        raise error
    failure = failure_of(error)
    if (call := CALL.get()) is not None:
        call.reason = failure.reason
    status = status_of(failure)
    trailers: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if code_of(failure) is grpc.StatusCode.RESOURCE_EXHAUSTED:
        trailers.append((_PUSHBACK_KEY, _pushback(failure)))
    await context.abort(code_of(failure), told(failure), tuple(trailers))
    raise AssertionError("abort returned")
