"""Values as files and frames hold them: absent ones, NumPy's and pandas', JSON in a cell, times of every usual form."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from kinprint.client.files.plain import plain as plain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Numbers below are no times of an exchange with a model (1973), in whatever unit; above, the unit is told by
#: magnitude: what would lie beyond the year 5138 in one unit is meant in the next finer one.
_LEAST, _UNITS = 1e8, ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
#: Forms beside ISO 8601 and RFC 2822. Days and months as numbers with slashes are only read with the year in front.
_FORMS = (
    "%Y-%m-%d %H:%M:%S %Z",
    "%Y-%m-%d %H:%M:%S.%f %Z",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S.%f %z",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %Z %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%b %d, %Y %H:%M:%S",
    "%b %d, %Y, %I:%M:%S %p",
    "%b %d, %Y, %I:%M %p",
    "%B %d, %Y %H:%M:%S",
    "%B %d, %Y, %I:%M:%S %p",
    "%B %d, %Y, %I:%M %p",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d %b %Y %H:%M:%S",
    "%d %B %Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
)


def structured(value: Any) -> Any:
    """A list or mapping that a cell holds as JSON text (or as Python writes it); other values as they are."""
    value = plain(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        made = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value
    return made if isinstance(made, (list, dict)) else value


def read_time(value: Any) -> datetime | None:
    """The moment that a value tells, with a time zone; without one it is taken as UTC. None for absent values.

    Read are datetimes and dates, ISO 8601, RFC 2822 and further usual forms of text, numbers since 1970 in seconds,
    milliseconds, microseconds or nanoseconds (told apart by magnitude), and mappings such as {"$date": ...} and
    {"seconds", "nanos"}.

    Raises:
        ValueError: it tells none; the message says what it is.
    """
    value = plain(value)
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        # pandas' Timestamp is one, too, of a finer unit.
        made: datetime = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        return made if made.tzinfo is not None else made.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_number(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(part) is int for part in value):
        return _from_number(value[0]) + timedelta(microseconds=value[1] // 1000)  # seconds and nanoseconds
    raise ValueError(f"is {type(value).__name__} {str(value)[:40]!r}, no time")


def _from_number(value: int | float) -> datetime:
    size = abs(value)
    for limit, scale in _UNITS:
        if _LEAST <= size < limit:
            whole = int(value)
            # Whole numbers are divided as such: a double has no room for nanoseconds.
            if value == whole:
                return _EPOCH + timedelta(microseconds=whole * 1_000_000 // int(scale))
            return _EPOCH + timedelta(microseconds=round(value * (1e6 / scale)))
    raise ValueError(f"is the number {str(value)[:40]}, no plausible count of seconds, ms, us or ns since 1970")


def _from_text(text: str) -> datetime | None:
    if not text or text.lower() in ("nat", "nan", "none", "null"):
        return None
    if _NUMBER.fullmatch(text) and not (len(text) == 8 and text.isdigit()):
        return _from_number(int(text) if text.lstrip("+-").isdigit() else float(text))
    made = _parsed(text)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        pass
    for form in _FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"is {text[:40]!r}, no time that is known (ISO 8601 always is)")


def _from_mapping(value: Mapping[Any, Any]) -> datetime | None:
    for key in ("$date", "$numberLong", "value", "iso", "__time__"):
        if key in value:
            return read_time(value[key])
    for seconds, nanos in (("seconds", "nanos"), ("seconds", "nanoseconds"), ("_seconds", "_nanoseconds")):
        if seconds in value:
            made = read_time(int(value[seconds]))
            return None if made is None else made + timedelta(microseconds=int(value.get(nanos) or 0) // 1000)
    raise ValueError(f"is an object with {', '.join(map(str, list(value)[:4]))}, no time")
