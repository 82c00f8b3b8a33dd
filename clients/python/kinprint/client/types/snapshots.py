"""Snapshots: corpora of a server as they were at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SnapshotCorpus:
    """A corpus as a snapshot holds it."""

    name: str
    transcripts: int
    record_version: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot.

    `left_out` are corpora that could not be opened when it was taken. `bytes` are those of its files, `own_bytes` those
    that nothing shares with it, which deleting it frees. `problem` says why it cannot be used, "" for one that can.
    """

    name: str
    created_at: datetime | None
    kinprint_version: str
    corpora: tuple[SnapshotCorpus, ...]
    left_out: tuple[str, ...]
    bytes: int
    own_bytes: int
    problem: str


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How far a snapshot, a restore or a check is: the step under way, and the share done (0: it cannot be told)."""

    step: str
    share: float


@dataclass(frozen=True, slots=True)
class SnapshotFinding:
    """What is wrong with a file of a snapshot; `harmless` where it is made again when the corpus is opened."""

    file: str
    what: str
    remedy: str
    harmless: bool


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """What a check of a snapshot found; `ok` where everything that cannot be made again is as it was written."""

    ok: bool
    findings: tuple[SnapshotFinding, ...]
    corpora: int
    files: int
    bytes: int
    rows: int
