"""What can go wrong, in terms a caller can act on.

The pipeline raises these; `services/errors.py` turns them into google.rpc statuses.  `reason` is stable
and documented in proto/, the message says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Failure(Exception):  # noqa: N818  (what a caller is told, not a bug)
    """Base of every failure that a caller is told about."""

    reason = "INTERNAL"
    #: Further facts, for programs: `metadata` of google.rpc.ErrorInfo.
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after


class InvalidField(Failure):
    """A field of the request is missing, too long or malformed."""

    def __init__(self, field: str, message: str, reason: str = "FIELD_INVALID") -> None:
        super().__init__(message, field=field)
        self.reason = reason


class CorpusNotFound(Failure):
    """No corpus of that name."""

    reason = "CORPUS_NOT_FOUND"


class CorpusExists(Failure):
    """The name is taken."""

    reason = "CORPUS_EXISTS"


class CorpusBusy(Failure):
    """A stream writes to the corpus."""

    reason = "CORPUS_BUSY"


class CorpusUnavailable(Failure):
    """The corpus is there and could not be opened; the others were."""

    reason = "CORPUS_UNAVAILABLE"


class TranscriptNotFound(Failure):
    """No transcript of that id."""

    reason = "TRANSCRIPT_NOT_FOUND"


class ModelNotFound(Failure):
    """No row of the corpus has the model."""

    reason = "MODEL_NOT_FOUND"


class ChannelNotFilled(Failure):
    """No row of the searched corpora has the channel."""

    reason = "CHANNEL_NOT_FILLED"


class ChannelUnavailable(Failure):
    """The server cannot compute the channel."""

    reason = "CHANNEL_UNAVAILABLE"


class QueueFull(Failure):
    """Too many requests wait for the embedder."""

    reason = "QUEUE_FULL"


class StorageFull(Failure):
    """The disk is full or cannot be written."""

    reason = "DISK_FULL"


class ModelMismatch(Failure):
    """Stored embeddings were made by another model than the one loaded."""

    reason = "MODEL_MISMATCH"


class Unavailable(Failure):
    """The server starts or drains."""

    reason = "NOT_SERVING"
