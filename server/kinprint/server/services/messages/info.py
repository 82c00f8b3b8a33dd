"""Messages of InfoService."""

from __future__ import annotations

from dataclasses import asdict

from google.protobuf import duration_pb2
from kinprint.server.edge.load import Load
from kinprint.server.embed.batcher import MOST_QUERIES
from kinprint.server.jobs.registry import WAITING
from kinprint.server.limits import Capacity
from kinprint.v1 import info_pb2


def server_limits(capacity: Capacity) -> info_pb2.ServerLimits:
    """What one server takes at a time."""
    return info_pb2.ServerLimits(
        max_calls=capacity.calls,
        max_streams=capacity.streams,
        max_inflight_bytes=capacity.inflight_bytes,
        max_gathered_bytes=capacity.gathered_bytes,
        max_corpora=capacity.corpora,
        max_waiting_sentences=MOST_QUERIES,
        max_waiting_jobs=WAITING,
        rate=capacity.rate,
        bytes_rate=capacity.bytes_rate,
    )


def server_load(load: Load) -> info_pb2.ServerLoad:
    """What it does at the moment."""
    values = asdict(load)
    lag = duration_pb2.Duration()
    lag.FromNanoseconds(int(values.pop("loop_lag") * 1e9))
    return info_pb2.ServerLoad(loop_lag=lag, **values)
