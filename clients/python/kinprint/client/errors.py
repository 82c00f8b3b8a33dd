"""Errors of the client, built from the `google.rpc.Status` that the server sends along.

`except KinprintError` catches everything; the subclasses follow the gRPC codes and are also the built-in
exception a caller would expect (`LookupError`, `ValueError`, `ConnectionError`, `TimeoutError`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from kinprint.client.handshake import advice
from kinprint.client.wording import counted
from kinprint.v1.google_rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from kinprint.client.types import LoadReport

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request and what is wrong with it."""

    field: str
    description: str


class KinprintError(Exception):
    """Anything that a call to Kinprint can fail with.

    Attributes:
        message: what happened, and what to do where that is known.
        code: name of the gRPC code ("NOT_FOUND", ...), or "CLIENT" when no server was involved.
        reason: stable word from the server's ErrorInfo ("CORPUS_NOT_FOUND", ...), "" when there is none.
        field_violations: fields of the request that are wrong.
        retry_after: seconds to wait before trying again, when the server said so.
        metadata: further facts of the ErrorInfo.
    """

    default_code = "CLIENT"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        field_violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.field_violations = tuple(field_violations)
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        parts = [self.message]
        parts += [
            f"{item.field}: {item.description}"
            for item in self.field_violations
            if item.description not in self.message
        ]
        text = "; ".join(parts)
        return f"{text} [{self.reason}]" if self.reason and self.reason not in text else text


class InvalidArgumentError(KinprintError, ValueError):
    """The request is wrong; sending it again will not help. `field_violations` says where."""

    default_code = "INVALID_ARGUMENT"


class NotFoundError(KinprintError, LookupError):
    """No such corpus or transcript."""

    default_code = "NOT_FOUND"


class AlreadyExistsError(KinprintError):
    """The name is taken."""

    default_code = "ALREADY_EXISTS"


class UnauthenticatedError(KinprintError):
    """The server wants an API key or token, and got none, or none that is good."""

    default_code = "UNAUTHENTICATED"


class PermissionDeniedError(KinprintError, PermissionError):
    """The key's role or its corpora do not cover the call."""

    default_code = "PERMISSION_DENIED"


class FailedPreconditionError(KinprintError):
    """The server cannot do this now, for example because a channel was never filled."""

    default_code = "FAILED_PRECONDITION"


class ResourceExhaustedError(KinprintError):
    """A queue or the disk is full."""

    default_code = "RESOURCE_EXHAUSTED"


class UnavailableError(KinprintError, ConnectionError):
    """No server answers at the address, or it starts or drains."""

    default_code = "UNAVAILABLE"


class DeadlineExceededError(KinprintError, TimeoutError):
    """The call took longer than its timeout."""

    default_code = "DEADLINE_EXCEEDED"


class CancelledError(KinprintError):
    """The call was cancelled."""

    default_code = "CANCELLED"


class AbortedError(KinprintError):
    """The server ended the call, for example because its job was cancelled (reason JOB_CANCELLED)."""

    default_code = "ABORTED"


class InternalError(KinprintError):
    """The server failed in a way that it did not expect; its log says more."""

    default_code = "INTERNAL"


class EmbeddedServerError(KinprintError):
    """The server of a data directory could not be found or started."""


class SourceError(KinprintError):
    """A file that cannot be read, or holds something else than transcripts. The message names it."""


def _durable(report: LoadReport) -> str:
    """How far an upsert came that failed; nothing where it had not begun."""
    if not report.rows:
        return ""
    return f" ({report.stored:,} of {counted(report.rows, 'row')} stored for good; run the same upsert again to go on)"


class UpsertError(KinprintError):
    """An upsert stopped before its end; `report` says which rows are durable, the cause is chained.

    Running the same upsert again goes on where it stopped: rows already stored change nothing.
    """

    def __init__(self, cause: KinprintError, report: LoadReport) -> None:
        super().__init__(
            f"{cause.message}{_durable(report)}",
            code=cause.code,
            reason=cause.reason,
            field_violations=cause.field_violations,
            retry_after=cause.retry_after,
            metadata=cause.metadata,
        )
        self.report = report


class UpsertInterrupted(KeyboardInterrupt):
    """Ctrl-C during an upsert; `report` says which rows are durable."""

    def __init__(self, report: LoadReport) -> None:
        told = (
            f"{report.stored:,} of {counted(report.rows, 'row')} stored for good" if report.rows else "no row was sent"
        )
        super().__init__(f"interrupted: {told}")
        self.report = report


_BY_CODE: dict[str, type[KinprintError]] = {
    kind.default_code: kind
    for kind in (
        InvalidArgumentError,
        NotFoundError,
        AlreadyExistsError,
        UnauthenticatedError,
        PermissionDeniedError,
        FailedPreconditionError,
        ResourceExhaustedError,
        UnavailableError,
        DeadlineExceededError,
        CancelledError,
        AbortedError,
        InternalError,
    )
}
_BY_CODE["OUT_OF_RANGE"] = InvalidArgumentError
_BY_CODE["UNKNOWN"] = InternalError
_BY_CODE["DATA_LOSS"] = InternalError
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def from_status(status: status_pb2.Status) -> KinprintError:
    """The error for a `google.rpc.Status` message, as batches and streams carry them."""
    code = _NAMES.get(status.code, "UNKNOWN")
    reason = ""
    retry_after: float | None = None
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
            metadata.update(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations += [FieldViolation(item.field, item.description) for item in bad.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return _BY_CODE.get(code, KinprintError)(
        status.message or code,
        code=code,
        reason=reason,
        field_violations=violations,
        retry_after=retry_after,
        metadata=metadata,
    )


def _by_way_of(target: str) -> str:
    """The proxy that gRPC goes by, where one is set; it reads these variables in this order."""
    from kinprint.client.access import is_local  # which needs the errors

    name = next((name for name in ("grpc_proxy", "https_proxy", "http_proxy") if os.environ.get(name)), None)
    if name is None or is_local(target):
        return ""
    return f" (through the proxy of {name}; no_grpc_proxy=HOST goes without)"


def from_rpc_error(error: Any, target: str = "", *, secure: bool = False) -> KinprintError:
    """The error for a failed call (`grpc.RpcError` of the sync or asyncio API); `secure`: the channel speaks TLS."""
    trailers = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in trailers or ():
        if key == _DETAILS_KEY:
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break  # a proxy mangled the details: code and message below still tell what happened
    code = error.code().name if hasattr(error, "code") and error.code() is not None else "UNKNOWN"
    message = (error.details() if hasattr(error, "details") else None) or code
    if code == "INTERNAL" and message == "Internal error from Core":
        # How asyncio's gRPC tells that the connection went away in the middle of sending.
        code = "UNAVAILABLE"
    if code == "UNAVAILABLE" and target:
        local = target.startswith("unix")
        what = "" if local else advice(message, secure=secure)
        told = f"{what} ({message})" if what else message
        message = f"no Kinprint server answers at {target}{_by_way_of(target)}: {told}"
    elif code == "UNIMPLEMENTED":
        message = f"the server at {target} does not know this call (another version?): {message}"
    elif code == "DEADLINE_EXCEEDED":
        message = f"the call took longer than its timeout; pass a larger timeout= ({message})"
    return _BY_CODE.get(code, KinprintError)(message, code=code)
