"""What all conversions share: checked texts and numbers, names of channels, times, filters, matrices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from kinprint.client.errors import FieldViolation, InvalidArgumentError
from kinprint.client.types import CHANNELS, TIERS, ChannelName, Filter, Matrix, TierName
from kinprint.v1 import types_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TO_CHANNEL: dict[str, types_pb2.Channel] = {
    "copy": types_pb2.CHANNEL_COPY,
    "semantic": types_pb2.CHANNEL_SEMANTIC,
    "style": types_pb2.CHANNEL_STYLE,
}
FROM_CHANNEL: dict[int, ChannelName] = {number: cast(ChannelName, name) for name, number in _TO_CHANNEL.items()}
_TO_TIER: dict[str, types_pb2.Tier] = {"fast": types_pb2.TIER_FAST, "accurate": types_pb2.TIER_ACCURATE}
FROM_TIER: dict[int, TierName] = {number: cast(TierName, name) for name, number in _TO_TIER.items()}
_DTYPES = {
    types_pb2.DATA_TYPE_FLOAT32: "float32",
    types_pb2.DATA_TYPE_UINT32: "uint32",
    types_pb2.DATA_TYPE_INT8: "int8",
    types_pb2.DATA_TYPE_UINT64: "uint64",
    types_pb2.DATA_TYPE_FLOAT64: "float64",
}


def invalid(field: str, description: str, reason: str = "FIELD_INVALID") -> InvalidArgumentError:
    """The error for a field of a request that is wrong."""
    return InvalidArgumentError(
        f"{field}: {description}", reason=reason, field_violations=[FieldViolation(field, description)]
    )


def check_text(value: Any, field: str) -> str:
    """`value`, if it is text that UTF-8 can hold.

    Raises:
        InvalidArgumentError: not a string (reason FIELD_INVALID), or with a lone surrogate (INVALID_UTF8).
    """
    if not isinstance(value, str):
        raise invalid(field, f"must be a string, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid(field, surrogate(error), "INVALID_UTF8") from None
    return value


def surrogate(error: UnicodeEncodeError) -> str:
    """What is wrong with a text that UTF-8 cannot hold, and where."""
    point = ord(error.object[error.start])
    # Readers of text files stand U+DC80 to U+DCFF for bytes that are no UTF-8 (PEP 383).
    byte = f" (byte 0x{point - 0xDC00:02x}, where a file is not UTF-8)" if 0xDC80 <= point <= 0xDCFF else ""
    return f"lone surrogate U+{point:04X}{byte} at code point {error.start}"


def channels_to_proto(channels: Iterable[str], field: str = "channels") -> list[types_pb2.Channel]:
    """Numbers of channel names.

    Raises:
        InvalidArgumentError: an unknown name.
    """
    if isinstance(channels, str):
        channels = (channels,)
    numbers = []
    for name in channels:
        if name not in _TO_CHANNEL:
            raise invalid(field, f"unknown channel {name!r}; known: {', '.join(CHANNELS)}")
        numbers.append(_TO_CHANNEL[name])
    return numbers


def channels_from_proto(numbers: Iterable[int]) -> tuple[ChannelName, ...]:
    """Names of channel numbers; those of a newer server are left out."""
    return tuple(FROM_CHANNEL[number] for number in numbers if number in FROM_CHANNEL)


def tier_to_proto(tier: str | None, field: str = "tier") -> types_pb2.Tier:
    """Number of a tier's name; None: both.

    Raises:
        InvalidArgumentError: an unknown name.
    """
    if tier is None:
        return types_pb2.TIER_UNSPECIFIED
    if tier not in _TO_TIER:
        raise invalid(field, f"unknown tier {tier!r}; known: {', '.join(TIERS)}; None: both")
    return _TO_TIER[tier]


def timestamp_to_proto(value: datetime, field: str) -> Timestamp:
    """A Timestamp; a time without zone is taken as UTC."""
    if not isinstance(value, datetime):
        raise invalid(field, f"must be a datetime, not {type(value).__name__}")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    seconds, micros = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def timestamp_from_proto(message: Message, field: str) -> datetime | None:
    """The UTC time of a Timestamp field, None when it is not set."""
    if not message.HasField(field):
        return None
    stamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def optional(message: Message, field: str) -> Any:
    """The value of an optional field, None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def strings(values: Iterable[str], field: str) -> list[str]:
    """Strings that UTF-8 can hold; one alone is taken for a list of it."""
    if isinstance(values, str):
        values = (values,)
    return [check_text(value, field) for value in values]


def filter_to_proto(value: Filter | None) -> types_pb2.Filter | None:
    """A `kinprint.v1.Filter`, None for None."""
    if value is None:
        return None
    message = types_pb2.Filter(
        models=strings(value.models, "filter.models"),
        exclude_models=strings(value.exclude_models, "filter.exclude_models"),
        languages=strings(value.languages, "filter.languages"),
        account_ids=strings(value.account_ids, "filter.account_ids"),
        prompt_keys=strings(value.prompt_keys, "filter.prompt_keys"),
    )
    if value.created_from is not None:
        message.created_from.CopyFrom(timestamp_to_proto(value.created_from, "filter.created_from"))
    if value.created_before is not None:
        message.created_before.CopyFrom(timestamp_to_proto(value.created_before, "filter.created_before"))
    return message


def count(value: int, field: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise invalid(field, "must be a whole number, 0 or more")
    return value


def matrix_from_proto(value: types_pb2.Matrix) -> Matrix:
    """A matrix."""
    return Matrix(bytes(value.data), _DTYPES[value.dtype], value.rows, value.columns)
