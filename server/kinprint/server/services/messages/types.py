"""Between protobuf messages and the types of the rooms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from google.protobuf import timestamp_pb2
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.meaning import Tier
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.failures import InvalidField
from kinprint.server.limits import LIMITS
from kinprint.server.search import evidence
from kinprint.server.search.run import Coverage
from kinprint.v1 import match_pb2, transcript_pb2, types_pb2
from numpy.typing import NDArray

_NAMES: dict[int, str] = {channel.number: name for name, channel in CHANNELS.items()}
_DTYPES = {
    "f4": types_pb2.DATA_TYPE_FLOAT32,
    "u4": types_pb2.DATA_TYPE_UINT32,
    "i1": types_pb2.DATA_TYPE_INT8,
    "u8": types_pb2.DATA_TYPE_UINT64,
    "f8": types_pb2.DATA_TYPE_FLOAT64,
}
_EPOCH_LIMIT = 253_402_300_800
#: Channels that a request may name: more are a mistake, and would be gone through on the event loop.
_MOST_CHANNELS = 64


def channel_number(name: str) -> Any:
    """Enum value of a channel's name."""
    return CHANNELS[name].number


def channel_names(numbers: Sequence[int], default: tuple[str, ...]) -> tuple[str, ...]:
    """Names of channels, each once, in order; `default` when there is none.  Raises InvalidField."""
    names = []
    if len(numbers) > _MOST_CHANNELS:
        raise InvalidField("channels", f"name at most {_MOST_CHANNELS} channels, each once", "FIELD_INVALID")
    for number in numbers:
        if number not in _NAMES:
            raise InvalidField("channels", f"{number} is no channel; use copy, semantic or style", "CHANNEL_UNKNOWN")
        names.append(_NAMES[number])
    return tuple(dict.fromkeys(names)) or default


def matrix(array: NDArray) -> types_pb2.Matrix:
    """A NumPy matrix as little-endian bytes with dtype and shape."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return types_pb2.Matrix(
        data=little.tobytes(), dtype=_DTYPES[array.dtype.str[1:]], rows=array.shape[0], columns=array.shape[1]
    )


def microseconds(message: Any, field: str, path: str = "") -> int | None:
    """Microseconds since 1970 of an optional Timestamp field; `path` leads to the message."""
    if not message.HasField(field):
        return None
    stamp = getattr(message, field)
    if not -62_135_596_800 <= stamp.seconds < _EPOCH_LIMIT or not 0 <= stamp.nanos < 1_000_000_000:
        raise InvalidField(path + field, f"{field} lies outside the years 1 to 9999", "TIME_OUT_OF_RANGE")
    return int(stamp.seconds * 1_000_000 + stamp.nanos // 1000)


def timestamp(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Timestamp of a time in UTC."""
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def submission(message: types_pb2.Transcript) -> Submission:
    """A transcript as sent.  Raises InvalidField for a time out of range, and for metadata of more keys than bytes."""
    if len(message.metadata) > LIMITS.max_metadata_bytes:
        raise InvalidField(
            "metadata",
            f"metadata has {len(message.metadata)} keys; {LIMITS.max_metadata_bytes} bytes are allowed",
            "METADATA_TOO_LARGE",
        )
    return Submission(
        response=message.response,
        id=message.id,
        model=_optional(message, "model"),
        prompt_id=_optional(message, "prompt_id"),
        prompt=_optional(message, "prompt"),
        language=_optional(message, "language"),
        account_id=_optional(message, "account_id"),
        created_us=microseconds(message, "created_at"),
        metadata=dict(message.metadata),
        system_prompt=_optional(message, "system_prompt"),
        conversation_id=_optional(message, "conversation_id"),
        turn=_optional(message, "turn"),
        reasoning=_optional(message, "reasoning"),
    )


_PLAIN = (
    "model",
    "prompt_id",
    "prompt",
    "language",
    "account_id",
    "system_prompt",
    "conversation_id",
    "turn",
    "reasoning",
    "prompt_key",
)


def transcript(row: Mapping[str, Any], channels: Iterable[str]) -> types_pb2.Transcript:
    """A stored row as a message."""
    metadata = row["metadata"] or {}
    return types_pb2.Transcript(
        id=row["id"],
        response=row["response"],
        metadata=dict(metadata),
        created_at=timestamp(row["created_at"]),
        content_hash=row["content_hash"],
        channels=[channel_number(name) for name in channels],
        **{name: row[name] for name in _PLAIN if row[name] is not None},
    )


def _distinct(values: Sequence[str]) -> frozenset[str]:
    """Values, some at a time: a hundred thousand in one go would hold the interpreter lock for a tenth of a second."""
    distinct: set[str] = set()
    for start in range(0, len(values), 2000):
        distinct.update(values[start : start + 2000])
    return frozenset(distinct)


def row_filter(message: types_pb2.Filter, field: str = "filter") -> Filter:
    """A filter of rows, which `field` of the request holds."""
    return Filter(
        models=_distinct(message.models),
        exclude_models=_distinct(message.exclude_models),
        languages=_distinct(message.languages),
        account_ids=_distinct(message.account_ids),
        prompt_keys=_distinct(message.prompt_keys),
        created_from_us=microseconds(message, "created_from", f"{field}."),
        created_before_us=microseconds(message, "created_before", f"{field}."),
    )


def coverage(cover: Coverage) -> types_pb2.Coverage:
    """How much of some corpora a channel covers."""
    return types_pb2.Coverage(
        channel=channel_number(cover.channel),
        filled=cover.filled,
        fillable=cover.fillable,
        share=cover.share,
        tier=tier_number(cover.tier),
    )


_TIERS: Mapping[types_pb2.Tier, Tier | None] = {
    types_pb2.TIER_UNSPECIFIED: None,
    types_pb2.TIER_FAST: "fast",
    types_pb2.TIER_ACCURATE: "accurate",
}


def tier_number(tier: Tier | None) -> types_pb2.Tier:
    """A tier as the contract has it."""
    return next(number for number, name in _TIERS.items() if name == tier)


def tier_of(number: int, field: str = "tier") -> Tier | None:
    """A tier asked for; None: both.  Raises InvalidField for one that there is not."""
    for known, name in _TIERS.items():
        if known == number:
            return name
    raise InvalidField(field, f"no such tier: {number}", "FIELD_INVALID")


def limits() -> transcript_pb2.Limits:
    """The server's limits."""
    return transcript_pb2.Limits(
        max_text_bytes=LIMITS.max_text_bytes,
        max_message_bytes=LIMITS.max_message_bytes,
        max_batch_items=LIMITS.max_batch_items,
        max_metadata_bytes=LIMITS.max_metadata_bytes,
        max_inflight_batches=LIMITS.max_inflight_batches,
    )


#: The bit of each in `Span.differences` of the server is its number less one.
_DIFFERENCES: tuple[types_pb2.Difference, ...] = (
    types_pb2.DIFFERENCE_WHITE_SPACE,
    types_pb2.DIFFERENCE_CASE,
    types_pb2.DIFFERENCE_PUNCTUATION,
    types_pb2.DIFFERENCE_UNICODE_FORM,
)
_DISGUISES = {
    "zero_width": types_pb2.DISGUISE_ZERO_WIDTH,
    "confusable": types_pb2.DISGUISE_CONFUSABLE,
    "full_width": types_pb2.DISGUISE_FULL_WIDTH,
    "spaced_letters": types_pb2.DISGUISE_SPACED_LETTERS,
}


def copy_evidence(found: evidence.CopyEvidence) -> types_pb2.CopyEvidence:
    """Evidence of copying as a message."""
    return types_pb2.CopyEvidence(
        jaccard=found.jaccard,
        containment_query=found.containment_query,
        containment_match=found.containment_match,
        shared_shingles=found.shared,
        query_shingles=found.query_size,
        match_shingles=found.match_size,
        identical=found.identical,
        query_is_one_shingle=found.query_is_one_shingle,
        spans=[
            types_pb2.Span(
                query_start=s.query_start,
                query_end=s.query_end,
                match_start=s.match_start,
                match_end=s.match_end,
                text=s.text,
                differences=[d for d in _DIFFERENCES if s.differences >> (d - 1) & 1],
                bits=s.bits,
            )
            for s in found.spans
        ],
        spans_omitted=found.spans_omitted,
        disguises=[_DISGUISES[name] for name in found.disguises],
    )


def semantic_evidence(found: evidence.SemanticEvidence) -> types_pb2.SemanticEvidence:
    """Evidence of saying the same as a message."""
    return types_pb2.SemanticEvidence(
        alignment=found.alignment,
        cosine=found.cosine,
        background_mean=found.background_mean,
        background_sd=found.background_sd,
        z=found.z,
        query_language=found.query_language,
        match_language=found.match_language,
        truncated=found.truncated,
        query_sentences=found.query_sentences,
        match_sentences=found.match_sentences,
        tier=tier_number(found.tier),
        percentile=found.worth.percentile,
        p_value=found.worth.p_value,
        p_floor=found.worth.p_floor,
        same_prompt_p=found.worth.same_prompt_p,
        same_prompt_floor=found.worth.same_prompt_floor,
        calibration=types_pb2.CALIBRATION_SOURCE_CORPUS
        if found.worth.source == "corpus"
        else types_pb2.CALIBRATION_SOURCE_BACKGROUND,
        sentences=[
            types_pb2.SentenceMatch(
                query_start=s.query_start,
                query_end=s.query_end,
                match_start=s.match_start,
                match_end=s.match_end,
                cosine=s.cosine,
                query_text=s.query_text,
                match_text=s.match_text,
            )
            for s in found.sentences
        ],
    )


def style_evidence(found: evidence.StyleEvidence) -> types_pb2.StyleEvidence:
    """Evidence of writing alike as a message."""
    return types_pb2.StyleEvidence(
        cosine_delta=found.cosine_delta,
        families=[types_pb2.StyleFamily(name=n, contribution=c) for n, c in found.families],
        traits=[types_pb2.StyleTrait(name=n, query_value=a, match_value=b) for n, a, b in found.traits],
        reference_rows=found.reference_rows,
    )


def text_of(source: match_pb2.TextSource, field: str) -> str:
    """A text given in a request.  Raises InvalidField when it is too long or blank."""
    text: str = source.text
    if len(text.encode()) > LIMITS.max_text_bytes:
        raise InvalidField(
            field,
            f"the text is longer than {LIMITS.max_text_bytes} bytes of UTF-8; search for a part of it",
            "TEXT_TOO_LONG",
        )
    return text
