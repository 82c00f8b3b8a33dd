"""Rows of files and frames (mappings of column to value) become transcripts.

Columns that are known are read as the contract has them, `messages` is taken apart by
`kinprint.client.files.chat`, and every further column becomes metadata. A row that cannot be read raises
`RowError` with a stable reason; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any

from kinprint.client.files.chat import Turn, read_messages
from kinprint.client.types import Transcript

TEXT_COLUMNS = ("prompt", "response", "reasoning", "system_prompt", "language", "model")
ID_COLUMNS = ("transcript_id", "prompt_id", "account_id", "conversation_id")
KNOWN_COLUMNS = (*TEXT_COLUMNS, *ID_COLUMNS, "created_at", "turn", "messages", "metadata")
_KNOWN = frozenset(KNOWN_COLUMNS)
# Names that other datasets give to the answer.
_RESPONSE_SYNONYMS = ("output", "answer", "completion", "generation", "text", "content", "assistant", "reply")


class RowError(Exception):
    """A row that cannot become a transcript. `reason` is stable, in upper case like the server's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row with where it came from: a file's name and the row's number, from 1.

    `item` is what `upsert` takes, or the reason why the source could not read the row.
    """

    source: str
    row: int
    item: Transcript | RowError


def missing_response_hint(columns: list[str]) -> str:
    """What to say about columns that hold neither `response` nor `messages`."""
    lower = {name.lower(): name for name in columns}
    near = [lower[name] for name in _RESPONSE_SYNONYMS if name in lower]
    near += [lower[name] for name in get_close_matches("response", list(lower), n=2, cutoff=0.6)]
    text = f"no column 'response' (or 'messages'); found: {', '.join(columns) or 'none'}"
    if near:
        text += f". Did you mean {near[0]!r}? Then rename it to 'response' (--rename {near[0]}=response)"
    return text


def transcripts_of_row(row: Mapping[str, Any], *, id_alias: bool = False) -> list[Transcript]:
    """The transcripts of a row: one, or one for each assistant turn of its `messages`.

    Args:
        row: values by column. Ids may be integers; `created_at` a datetime, date or ISO 8601 string.
        id_alias: read a column `id` as `transcript_id`, as the dicts that callers build have it. In files a
            plain `id` is metadata, since it often names the prompt and not the row.

    Raises:
        RowError: the row cannot be read.
    """
    transcript_id = _id(row, "transcript_id")
    if id_alias and transcript_id is None:
        transcript_id = _id(row, "id")
    response = row.get("response")
    messages = row.get("messages")
    if response is None and messages is None:
        raise RowError("MISSING_RESPONSE", "the row has no response")
    if response is not None and not isinstance(response, str):
        raise RowError("RESPONSE_NOT_TEXT", f"response is {type(response).__name__}, not text")
    used_id = id_alias
    turns: list[Turn] = []
    conversation_id = _id(row, "conversation_id")
    prompt = _text(row, "prompt")
    system_prompt = _text(row, "system_prompt")
    if messages is not None:
        try:
            turns, context = read_messages(messages)
        except ValueError as error:
            raise RowError("MESSAGES_INVALID", str(error)) from None
        if response is not None:
            # The messages are what was said before the answer, not a conversation to take apart.
            prompt = context.prompt if prompt is None else prompt
            system_prompt = context.system_prompt if system_prompt is None else system_prompt
        else:
            if not turns:
                raise RowError("NO_ASSISTANT_TURN", "the messages hold no assistant turn with text")
            used_id = True
            row_id = transcript_id if transcript_id is not None else _id(row, "id")
            if conversation_id is None:
                conversation_id = row_id if row_id is not None else turns[0].conversation_id
            transcript_id = row_id
    prompt_id = _id(row, "prompt_id")
    common: dict[str, Any] = {
        "model": _text(row, "model"),
        "language": _text(row, "language"),
        "account_id": _id(row, "account_id"),
        "created_at": _time(row.get("created_at")),
        "metadata": _metadata(row, used_id),
        "conversation_id": conversation_id,
    }
    if response is not None:
        return [
            Transcript(
                response=response,
                id=transcript_id,
                prompt_id=prompt_id,
                prompt=prompt,
                system_prompt=system_prompt,
                turn=_turn(row.get("turn")),
                reasoning=_text(row, "reasoning"),
                **common,
            )
        ]
    return [
        Transcript(
            response=turn.response,
            id=None if transcript_id is None else f"{transcript_id}#{turn.turn}",
            # Later turns answer another prompt; their key comes from its text.
            prompt_id=prompt_id if turn.turn == 0 else None,
            prompt=turn.prompt,
            system_prompt=turn.system_prompt if turn.system_prompt is not None else system_prompt,
            turn=turn.turn,
            reasoning=turn.reasoning,
            **common,
        )
        for turn in turns
    ]


def source_rows(source: str, number: int, row: Mapping[str, Any]) -> Iterator[SourceRow]:
    """The transcripts of row `number` of `source`, or the reason why it cannot be read."""
    try:
        transcripts = transcripts_of_row(row)
    except RowError as error:
        yield SourceRow(source, number, error)
        return
    for transcript in transcripts:
        yield SourceRow(source, number, transcript)


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value
    if column in ("model", "language") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"{column.upper()}_NOT_TEXT", f"{column} is {type(value).__name__}, not text")


def _id(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"{column.upper()}_NOT_TEXT", f"{column} is {type(value).__name__}, not text or integer")


def _turn(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise RowError("TURN_INVALID", f"turn is {value[:40]!r}, not an integer") from None
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31:
        return value
    raise RowError("TURN_INVALID", f"turn is {str(value)[:40]!r}, not a 32-bit integer")


def _time(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise RowError("CREATED_AT_INVALID", f"created_at is {value[:40]!r}, not ISO 8601") from None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    raise RowError(
        "CREATED_AT_INVALID",
        f"created_at is {type(value).__name__} {str(value)[:40]!r}: give a timestamp or ISO 8601 text "
        "(the unit of a number is not told)",
    )


def _metadata(row: Mapping[str, Any], id_used: bool) -> dict[str, str]:
    metadata: dict[str, str] = {}
    given = row.get("metadata")
    if given is not None:
        for key, value in _metadata_items(given):
            if value is not None:
                metadata[str(key)] = _stringify(value)
    for column, value in row.items():
        if value is None or column in _KNOWN or (column == "id" and id_used):
            continue
        metadata[column] = _stringify(value)
    return metadata


def _metadata_items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        # Text that is no JSON object is a column of that name like any other.
        return list(parsed.items()) if isinstance(parsed, dict) else [("metadata", value)] if value else []
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list):
        # An Arrow map: a list of key and value, as structs or as pairs.
        items: list[tuple[Any, Any]] = []
        for entry in value:
            if isinstance(entry, Mapping) and "key" in entry and "value" in entry:
                items.append((entry["key"], entry["value"]))
            elif isinstance(entry, (list, tuple)) and len(entry) == 2:
                items.append((entry[0], entry[1]))
            else:
                return [("metadata", value)]
        return items
    return [("metadata", value)]


def _stringify(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)
