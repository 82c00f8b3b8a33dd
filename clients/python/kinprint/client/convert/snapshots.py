"""Messages of the service for snapshots."""

from __future__ import annotations

from collections.abc import Iterable

from kinprint.client.convert.base import check_text, strings, timestamp_from_proto
from kinprint.client.types import Snapshot, SnapshotCorpus, SnapshotFinding, SnapshotReport
from kinprint.v1 import snapshot_pb2


def create_snapshot_request(name: str, corpora: Iterable[str]) -> snapshot_pb2.CreateSnapshotRequest:
    """A `CreateSnapshotRequest`."""
    return snapshot_pb2.CreateSnapshotRequest(name=check_text(name, "name"), corpora=strings(corpora, "corpora"))


def list_snapshots_request() -> snapshot_pb2.ListSnapshotsRequest:
    """A `ListSnapshotsRequest`."""
    return snapshot_pb2.ListSnapshotsRequest()


def delete_snapshot_request(name: str) -> snapshot_pb2.DeleteSnapshotRequest:
    """A `DeleteSnapshotRequest`."""
    return snapshot_pb2.DeleteSnapshotRequest(name=check_text(name, "name"))


def verify_snapshot_request(name: str) -> snapshot_pb2.VerifySnapshotRequest:
    """A `VerifySnapshotRequest`."""
    return snapshot_pb2.VerifySnapshotRequest(name=check_text(name, "name"))


def restore_snapshot_request(
    name: str, corpus: str, as_name: str, replace: bool
) -> snapshot_pb2.RestoreSnapshotRequest:
    """A `RestoreSnapshotRequest`."""
    return snapshot_pb2.RestoreSnapshotRequest(
        name=check_text(name, "name"),
        corpus=check_text(corpus, "corpus"),
        as_name=check_text(as_name, "as_name"),
        replace=replace,
    )


def snapshot_from_proto(message: snapshot_pb2.Snapshot) -> Snapshot:
    """A snapshot."""
    return Snapshot(
        name=message.name,
        created_at=timestamp_from_proto(message, "created_at"),
        kinprint_version=message.kinprint_version,
        corpora=tuple(SnapshotCorpus(held.name, held.transcripts, held.record_version) for held in message.corpora),
        left_out=tuple(message.left_out),
        bytes=message.bytes,
        own_bytes=message.own_bytes,
        problem=message.problem,
    )


def report_from_proto(message: snapshot_pb2.VerifySnapshotResponse) -> SnapshotReport:
    """The last message of a check."""
    return SnapshotReport(
        ok=message.ok,
        findings=tuple(
            SnapshotFinding(found.file, found.what, found.remedy, found.harmless) for found in message.findings
        ),
        corpora=message.corpora,
        files=message.files,
        bytes=message.bytes,
        rows=message.rows,
    )
