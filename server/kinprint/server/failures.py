"""All refusals: what can go wrong, in terms that a caller can act on.

Any room raises these.  Each class holds what is told beside its message, as plain data: `reason`, the stable word of
google.rpc.ErrorInfo, and `code`, the name of the gRPC status; `edge/errors.py` makes a status of them.  All reasons
are listed in `proto/kinprint/v1/types.proto`; a test keeps the two alike.  The message says what to do.

A failure crosses the border of a process whole: it pickles with its message, field, retry_after and reason.

Not here are errors that no caller of an RPC is told as such: those of the data directory and its record, which end a
start or make a corpus unavailable (`store/durability.py`, `store/record.py`, `store/lock.py`), and those of an
embedder, which `edge/errors.py` translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: Reasons of InvalidField: what is wrong with the field that it names.
FIELD_REASONS = frozenset(
    {
        "BATCH_SIZE",
        "CHANNEL_UNKNOWN",
        "CORPUS_NAME_INVALID",
        "FIELD_INVALID",
        "FIELD_MISSING",
        "FIELD_TOO_LONG",
        "ID_INVALID",
        "LANGUAGE_INVALID",
        "MESSAGE_MALFORMED",
        "METADATA_TOO_LARGE",
        "PAGE_TOKEN_INVALID",
        "STREAM_PROTOCOL",
        "TEXT_BLANK",
        "TEXT_NOT_EMBEDDABLE",
        "TEXT_TOO_LONG",
        "TIME_OUT_OF_RANGE",
        "TOO_FEW_TEXTS",
        "TOO_MANY_TEXTS",
    }
)


class Failure(Exception):  # noqa: N818  (what a caller is told, not a bug)
    """Base of every failure that a caller is told about; by itself, a fault of the server.

    message: what is wrong and what to do.  field: path of the field of the request that is at fault.
    retry_after: seconds after which the same call may succeed.
    """

    reason = "INTERNAL"
    code = "INTERNAL"
    #: Further facts, for programs: `metadata` of google.rpc.ErrorInfo.
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by calling the class again, whose parameters differ from class to class.
        return _restored, (type(self), self.message), self.__dict__


def _restored(kind: type[Failure], message: str) -> Failure:
    return kind.__new__(kind, message)


# ---- the request ----


class InvalidField(Failure):
    """A field of the request is missing, too long or malformed; `reason` is one of FIELD_REASONS."""

    reason = "FIELD_INVALID"
    code = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str, reason: str = "FIELD_INVALID") -> None:
        super().__init__(message, field=field)
        self.reason = reason


# ---- the caller ----


class CredentialsMissing(Failure):
    """The call bears neither an API key nor a token, and needs one."""

    reason = "CREDENTIALS_MISSING"
    code = "UNAUTHENTICATED"


class CredentialsInvalid(Failure):
    """The key or token is none of this server's."""

    reason = "CREDENTIALS_INVALID"
    code = "UNAUTHENTICATED"


class CredentialsExpired(Failure):
    """The key or token was good once, and its time is over."""

    reason = "CREDENTIALS_EXPIRED"
    code = "UNAUTHENTICATED"


class CredentialsRevoked(Failure):
    """The key was taken back."""

    reason = "CREDENTIALS_REVOKED"
    code = "UNAUTHENTICATED"


class RoleTooLow(Failure):
    """The caller's role does not cover the call."""

    reason = "ROLE_TOO_LOW"
    code = "PERMISSION_DENIED"


class CorpusForbidden(Failure):
    """The caller may not create a corpus of that name."""

    reason = "CORPUS_FORBIDDEN"
    code = "PERMISSION_DENIED"


# ---- corpora and their rows ----


class CorpusNotFound(Failure):
    """No corpus of that name."""

    reason = "CORPUS_NOT_FOUND"
    code = "NOT_FOUND"


class CorpusExists(Failure):
    """The name is taken."""

    reason = "CORPUS_EXISTS"
    code = "ALREADY_EXISTS"


class CorpusBusy(Failure):
    """A stream writes to the corpus."""

    reason = "CORPUS_BUSY"
    code = "FAILED_PRECONDITION"


class CorpusUnavailable(Failure):
    """The corpus is there and could not be opened; the others were."""

    reason = "CORPUS_UNAVAILABLE"
    code = "FAILED_PRECONDITION"


class CorpusDamaged(Failure):
    """The file that describes a corpus cannot be read; a caller is told that the corpus is unavailable, and why."""

    reason = "CORPUS_DAMAGED"
    code = "FAILED_PRECONDITION"


class SnapshotNotFound(Failure):
    """No snapshot of that name."""

    reason = "SNAPSHOT_NOT_FOUND"
    code = "NOT_FOUND"


class SnapshotExists(Failure):
    """The name is taken."""

    reason = "SNAPSHOT_EXISTS"
    code = "ALREADY_EXISTS"


class SnapshotBusy(Failure):
    """The snapshot is being read, or another server serves it."""

    reason = "SNAPSHOT_BUSY"
    code = "FAILED_PRECONDITION"


class SnapshotDamaged(Failure):
    """A file of the snapshot is not what was written; the message names it."""

    reason = "SNAPSHOT_DAMAGED"
    code = "FAILED_PRECONDITION"


class TranscriptNotFound(Failure):
    """No transcript of that id."""

    reason = "TRANSCRIPT_NOT_FOUND"
    code = "NOT_FOUND"


class ModelNotFound(Failure):
    """No row of the corpus has the model."""

    reason = "MODEL_NOT_FOUND"
    code = "NOT_FOUND"


class StorageFull(Failure):
    """The disk is full or cannot be written."""

    reason = "DISK_FULL"
    code = "RESOURCE_EXHAUSTED"


class StorageFailed(Failure):
    """The disk does not take what is written, and is not full: read-only, damaged, gone."""

    reason = "DISK_FAILED"
    code = "INTERNAL"


class MaintenanceFailed(StorageFailed):
    """The maintenance process failed.  The table is valid; run it again.

    After a failed purge, erased text may still be in files on disk.
    """


# ---- formats ----


class FormatTooNew(Failure):
    """A newer Kinprint wrote it."""

    reason = "FORMAT_TOO_NEW"
    code = "FAILED_PRECONDITION"


class CorpusTooNew(FormatTooNew):
    """A newer Kinprint wrote the corpus."""


class GenerationTooNew(FormatTooNew):
    """A newer Kinprint wrote the indexes."""


class PanelTooNew(FormatTooNew):
    """A newer Kinprint wrote the panel."""


# ---- channels and the embedder ----


class ChannelNotFilled(Failure):
    """No row of the searched corpora has the channel."""

    reason = "CHANNEL_NOT_FILLED"
    code = "FAILED_PRECONDITION"


class ChannelUnavailable(Failure):
    """The server cannot compute the channel."""

    reason = "CHANNEL_UNAVAILABLE"
    code = "FAILED_PRECONDITION"


class ModelNotFilled(Failure):
    """A corpus has no second model, or it is not filled far enough."""

    reason = "MODEL_NOT_FILLED"
    code = "FAILED_PRECONDITION"


class ModelMismatch(Failure):
    """Stored embeddings were made by another model than the one loaded."""

    reason = "MODEL_MISMATCH"
    code = "FAILED_PRECONDITION"


class QueueFull(Failure):
    """Too many requests wait for the embedder."""

    reason = "QUEUE_FULL"
    code = "RESOURCE_EXHAUSTED"


# ---- panels ----


class PanelUnfit(Failure):
    """The corpus cannot carry a panel."""

    reason = "PANEL_UNFIT"
    code = "FAILED_PRECONDITION"


class PanelDamaged(Failure):
    """The bytes are no panel, or not those that were written."""

    reason = "PANEL_DAMAGED"
    code = "INVALID_ARGUMENT"


class PanelOtherPipeline(Failure):
    """The panel was fitted with other features; its scores are on another scale."""

    reason = "PIPELINE_MISMATCH"
    code = "FAILED_PRECONDITION"


# ---- jobs ----


class JobNotFound(Failure):
    """No job of that id, or it ended some time ago."""

    reason = "JOB_NOT_FOUND"
    code = "NOT_FOUND"


class JobQueueFull(Failure):
    """Too many jobs wait."""

    reason = "JOB_QUEUE_FULL"
    code = "RESOURCE_EXHAUSTED"


class JobMemory(Failure):
    """The job needs more memory than one may have; the message says how much it wanted."""

    reason = "JOB_MEMORY"
    code = "RESOURCE_EXHAUSTED"


class JobCancelled(Failure):
    """The job was ended at somebody's wish."""

    reason = "JOB_CANCELLED"
    code = "ABORTED"


class JobDied(Failure):
    """The process of the job ended by itself."""

    reason = "JOB_DIED"
    code = "INTERNAL"


# ---- the server ----


class Unavailable(Failure):
    """The server starts or drains."""

    reason = "NOT_SERVING"
    code = "UNAVAILABLE"


class Overloaded(Failure):
    """The server does as much as it may at a time."""

    reason = "OVERLOADED"
    code = "RESOURCE_EXHAUSTED"


class TooManyStreams(Failure):
    """As many streams of requests are open as may be."""

    reason = "TOO_MANY_STREAMS"
    code = "RESOURCE_EXHAUSTED"


class TooManyCorpora(Failure):
    """The data directory holds as many corpora as it may."""

    reason = "TOO_MANY_CORPORA"
    code = "RESOURCE_EXHAUSTED"


class RateExceeded(Failure):
    """The caller asked for more in a time than it may."""

    reason = "RATE_EXCEEDED"
    code = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(Failure):
    """The caller's deadline passed before the work began."""

    reason = "DEADLINE_EXCEEDED"
    code = "DEADLINE_EXCEEDED"


class AuditUnavailable(Failure):
    """The audit log cannot be written, and nothing is done that it does not hold."""

    reason = "AUDIT_UNAVAILABLE"
    code = "UNAVAILABLE"
