"""Where a target points, and the gRPC channel options that every client uses."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from kinprint.client.access import is_local
from kinprint.client.contract import METHODS, SERVICES, Method
from kinprint.client.errors import InvalidArgumentError
from kinprint.client.types import Limits
from kinprint.v1 import (
    corpus_pb2_grpc,
    info_pb2_grpc,
    job_pb2_grpc,
    lineage_pb2_grpc,
    match_pb2_grpc,
    semantic_pb2_grpc,
    snapshot_pb2_grpc,
    transcript_pb2_grpc,
)

SEND_BYTES = 4 << 20
# A single transcript may be as large as a message, and a page or a search carries more than one.
RECEIVE_BYTES = 16 << 20

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "vsock:", "xds:")


@dataclass(frozen=True, slots=True)
class Target:
    """Either the `address` of a server, or the data `directory` to serve."""

    address: str | None = None
    directory: Path | None = None


def parse_target(target: str | Path) -> Target:
    """Tell an address from a data directory.

    A `Path` is a directory. A string is an address when it has a gRPC scheme (`unix:`, `dns:`, `ipv4:`, ...);
    else a directory when it holds a path separator, starts with `.` or `~`, or exists as a directory; else an
    address when it reads `host:port`. For a directory named like an address, write `./localhost:50051`.

    Raises:
        InvalidArgumentError: none of these.
    """
    if isinstance(target, Path):
        return Target(directory=target.expanduser())
    if not isinstance(target, str) or not target:
        raise InvalidArgumentError("the target must be a server's address or a data directory")
    if target.startswith(_SCHEMES):
        return Target(address=target)
    separators = {os.sep, os.altsep or os.sep}
    if target[0] in ".~" or any(mark in target for mark in separators) or Path(target).is_dir():
        return Target(directory=Path(target).expanduser())
    if _HOST_PORT.fullmatch(target):
        return Target(address=target)
    raise InvalidArgumentError(
        f"{target!r} is neither an address nor an existing directory: write host:port for a server, "
        f"./{target} for a data directory"
    )


def service_config() -> str:
    """gRPC service config: calls that change nothing are sent again when the server is UNAVAILABLE or overloaded.

    An overloaded server tells when (`grpc-retry-pushback-ms`); of what else is exhausted, that it is of no use.
    """
    names = [
        {"service": f"kinprint.v1.{SERVICES[method.service]}", "method": method.name}
        for method in METHODS
        if method.repeatable
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


def channel_options(address: str) -> list[tuple[str, str | int]]:
    """Options of the channel to an address."""
    return [
        # A proxy that the environment names for the network does not reach this machine.
        *([("grpc.enable_http_proxy", 0)] if is_local(address) else []),
        ("grpc.max_send_message_length", SEND_BYTES),
        ("grpc.max_receive_message_length", RECEIVE_BYTES),
        ("grpc.service_config", service_config()),
        ("grpc.enable_retries", 1),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5000),
    ]


def check_size(request: Message, limits: Limits | None) -> None:
    """Refuse a request that the transport would not carry, with words that help.

    Raises:
        InvalidArgumentError: reason TEXT_TOO_LONG.
    """
    size = request.ByteSize()
    if size > SEND_BYTES:
        texts = "" if limits is None else f", and a text at most {limits.max_text_bytes} bytes of UTF-8"
        raise InvalidArgumentError(
            f"the request is {size} bytes; a message holds at most {SEND_BYTES}{texts}", reason="TEXT_TOO_LONG"
        )


class Stubs:
    """The services of the contract on one channel, of the sync or the asyncio API."""

    def __init__(self, channel: Any) -> None:
        # The generated stubs carry no types.
        self.info: Any = info_pb2_grpc.InfoServiceStub(channel)  # type: ignore[no-untyped-call]
        self.corpora: Any = corpus_pb2_grpc.CorpusServiceStub(channel)  # type: ignore[no-untyped-call]
        self.transcripts: Any = transcript_pb2_grpc.TranscriptServiceStub(channel)  # type: ignore[no-untyped-call]
        self.match: Any = match_pb2_grpc.MatchServiceStub(channel)  # type: ignore[no-untyped-call]
        self.lineage: Any = lineage_pb2_grpc.LineageServiceStub(channel)  # type: ignore[no-untyped-call]
        self.jobs: Any = job_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        self.semantic: Any = semantic_pb2_grpc.SemanticServiceStub(channel)  # type: ignore[no-untyped-call]
        self.snapshots: Any = snapshot_pb2_grpc.SnapshotServiceStub(channel)  # type: ignore[no-untyped-call]

    def of(self, method: Method[Any, Any]) -> Any:
        """The multi-callable of a call."""
        return getattr(getattr(self, method.service), method.name)
