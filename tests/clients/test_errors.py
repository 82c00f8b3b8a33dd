"""Errors of the client from google.rpc statuses."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from kinprint.client import errors
from kinprint.v1.google_rpc import error_details_pb2, status_pb2


def status(code: int, message: str, *details: Any) -> Any:
    packed = []
    for detail in details:
        wrapper = any_pb2.Any()
        wrapper.Pack(detail)
        packed.append(wrapper)
    return status_pb2.Status(code=code, message=message, details=packed)


class Failed(grpc.RpcError):
    """A failed call as grpc raises it."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: Any = ()) -> None:
        super().__init__()
        self._told = (code, details, trailers)

    def code(self) -> grpc.StatusCode:
        return self._told[0]

    def details(self) -> str:
        return self._told[1]

    def trailing_metadata(self) -> Any:
        return self._told[2]


RICH = status(
    3,
    "the request is wrong",
    error_details_pb2.ErrorInfo(reason="TEXT_TOO_LONG", domain="kinprint", metadata={"limit": "5"}),
    error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="text", description="too long")]
    ),
)


def test_details_become_attributes() -> None:
    error = errors.from_status(RICH)
    assert isinstance(error, errors.InvalidArgumentError)
    assert isinstance(error, ValueError)
    assert (error.code, error.reason, error.metadata) == ("INVALID_ARGUMENT", "TEXT_TOO_LONG", {"limit": "5"})
    assert error.field_violations == (errors.FieldViolation("text", "too long"),)
    assert str(error) == "the request is wrong; text: too long [TEXT_TOO_LONG]"


def test_details_travel_in_the_trailers() -> None:
    trailers = (("other", "x"), ("grpc-status-details-bin", RICH.SerializeToString()))
    error = errors.from_rpc_error(Failed(grpc.StatusCode.INVALID_ARGUMENT, "short", trailers))
    assert error.reason == "TEXT_TOO_LONG"


def test_mangled_details_leave_code_and_message() -> None:
    trailers = (("grpc-status-details-bin", b"\xff\xff"),)
    error = errors.from_rpc_error(Failed(grpc.StatusCode.NOT_FOUND, "gone", trailers))
    assert isinstance(error, errors.NotFoundError)
    assert error.message == "gone"


def test_a_retry_delay_is_in_seconds() -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
    assert errors.from_status(status(14, "draining", delay)).retry_after == 1.5


@pytest.mark.parametrize(
    ("code", "kind", "builtin"),
    [
        (grpc.StatusCode.NOT_FOUND, errors.NotFoundError, LookupError),
        (grpc.StatusCode.UNAVAILABLE, errors.UnavailableError, ConnectionError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceededError, TimeoutError),
        (grpc.StatusCode.ALREADY_EXISTS, errors.AlreadyExistsError, Exception),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.FailedPreconditionError, Exception),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhaustedError, Exception),
        (grpc.StatusCode.INTERNAL, errors.InternalError, Exception),
        (grpc.StatusCode.UNIMPLEMENTED, errors.KinprintError, Exception),
    ],
)
def test_codes_have_their_classes(code: grpc.StatusCode, kind: type, builtin: type) -> None:
    error = errors.from_rpc_error(Failed(code, "why"), "localhost:1")
    assert isinstance(error, kind)
    assert isinstance(error, builtin)
    assert error.code == code.name
    assert "why" in str(error)
