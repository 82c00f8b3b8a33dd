"""Messages of SnapshotService."""

from __future__ import annotations

from kinprint.server.corpus.snapshots import Snapshot
from kinprint.server.corpus.verify import Finding, Report
from kinprint.server.services.messages.types import timestamp
from kinprint.v1 import snapshot_pb2


def snapshot_message(snapshot: Snapshot) -> snapshot_pb2.Snapshot:
    """A snapshot."""
    return snapshot_pb2.Snapshot(
        name=snapshot.name,
        created_at=timestamp(snapshot.created_at),
        kinprint_version=snapshot.kinprint,
        corpora=[
            snapshot_pb2.SnapshotCorpus(
                name=held.name, transcripts=held.transcripts, record_version=held.record_version
            )
            for held in snapshot.corpora
        ],
        left_out=snapshot.left_out,
        bytes=snapshot.size,
        own_bytes=snapshot.own,
        problem=snapshot.problem,
    )


def report_message(report: Report) -> snapshot_pb2.VerifySnapshotResponse:
    """The last message of a check."""
    return snapshot_pb2.VerifySnapshotResponse(
        step="done",
        done=True,
        ok=report.ok,
        findings=[_finding(found) for found in report.findings],
        corpora=report.corpora,
        files=report.files,
        bytes=report.bytes,
        rows=report.rows,
    )


def _finding(found: Finding) -> snapshot_pb2.SnapshotFinding:
    # Names of files need not be UTF-8.
    file, what = (text.encode(errors="replace").decode() for text in (found.file, found.what))
    return snapshot_pb2.SnapshotFinding(file=file, what=what, remedy=found.remedy, harmless=found.repaired)
