"""Messages of the service for transcripts."""

from __future__ import annotations

from collections.abc import Iterable

from kinprint.client.convert.base import (
    channels_from_proto,
    check_text,
    count,
    invalid,
    optional,
    strings,
    surrogate,
    timestamp_from_proto,
    timestamp_to_proto,
)
from kinprint.client.types import PurgeProgress, Transcript
from kinprint.v1 import transcript_pb2, types_pb2

_TEXT_FIELDS = (
    "model",
    "prompt_id",
    "prompt",
    "language",
    "account_id",
    "system_prompt",
    "conversation_id",
    "reasoning",
)


def transcript_to_proto(transcript: Transcript) -> types_pb2.Transcript:
    """A `kinprint.v1.Transcript`, without the fields that only the server sets.

    Raises:
        InvalidArgumentError: a field has the wrong type (FIELD_INVALID) or a lone surrogate (INVALID_UTF8);
            the violation names it.
    """
    message = types_pb2.Transcript()
    field = "response"
    try:
        message.response = transcript.response
        if transcript.id is not None:
            field = "id"
            message.id = transcript.id
        for field in _TEXT_FIELDS:
            value = getattr(transcript, field)
            if value is not None:
                setattr(message, field, value)
        if transcript.turn is not None:
            field = "turn"
            message.turn = transcript.turn
        if transcript.metadata:
            field = "metadata"
            for key, value in transcript.metadata.items():
                message.metadata[key] = value
    except UnicodeEncodeError as error:
        where = field if field != "metadata" else "a metadata key or value"
        raise invalid(field, f"{surrogate(error)} of {where}: not valid Unicode text", "INVALID_UTF8") from None
    except (TypeError, ValueError) as error:
        raise invalid(field, str(error)) from None
    if transcript.created_at is not None:
        message.created_at.CopyFrom(timestamp_to_proto(transcript.created_at, "created_at"))
    return message


def transcript_from_proto(message: types_pb2.Transcript) -> Transcript:
    """The dataclass of a stored transcript."""
    return Transcript(
        response=message.response,
        id=message.id,
        model=optional(message, "model"),
        prompt_id=optional(message, "prompt_id"),
        prompt=optional(message, "prompt"),
        language=optional(message, "language"),
        account_id=optional(message, "account_id"),
        created_at=timestamp_from_proto(message, "created_at"),
        metadata=dict(message.metadata),
        system_prompt=optional(message, "system_prompt"),
        conversation_id=optional(message, "conversation_id"),
        turn=optional(message, "turn"),
        reasoning=optional(message, "reasoning"),
        prompt_key=optional(message, "prompt_key"),
        content_hash=bytes(message.content_hash),
        channels=channels_from_proto(message.channels),
    )


def purge_progress_from_proto(message: transcript_pb2.PurgeTranscriptsResponse) -> PurgeProgress:
    """A message of a running purge."""
    return PurgeProgress(
        message.step,
        message.done,
        message.erased,
        message.record_version,
        message.held_by_snapshots,
        tuple(message.snapshots),
    )


def get_transcript_request(corpus: str, transcript_id: str) -> transcript_pb2.GetTranscriptRequest:
    """A `GetTranscriptRequest`."""
    return transcript_pb2.GetTranscriptRequest(corpus=check_text(corpus, "corpus"), id=check_text(transcript_id, "id"))


def list_transcripts_request(
    corpus: str, row_filter: types_pb2.Filter | None, page_size: int, page_token: str
) -> transcript_pb2.ListTranscriptsRequest:
    """A `ListTranscriptsRequest`; `row_filter` is a message already, shared by all pages."""
    return transcript_pb2.ListTranscriptsRequest(
        corpus=check_text(corpus, "corpus"),
        filter=row_filter,
        page_size=count(page_size, "page_size"),
        page_token=page_token,
    )


def delete_transcripts_request(corpus: str, ids: Iterable[str]) -> transcript_pb2.DeleteTranscriptsRequest:
    """A `DeleteTranscriptsRequest`."""
    return transcript_pb2.DeleteTranscriptsRequest(corpus=check_text(corpus, "corpus"), ids=strings(ids, "ids"))


def purge_request(corpus: str, ids: Iterable[str]) -> transcript_pb2.PurgeTranscriptsRequest:
    """A `PurgeTranscriptsRequest`."""
    return transcript_pb2.PurgeTranscriptsRequest(corpus=check_text(corpus, "corpus"), ids=strings(ids, "ids"))
