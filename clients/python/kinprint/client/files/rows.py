"""Rows of files and frames (mappings of column to value) become transcripts.

Columns that are known are read as the contract has them, `messages` is taken apart by
`kinprint.client.files.chat`, and every further column becomes metadata. A row that cannot be read raises
`RowError` with a stable reason; nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from kinprint.client.files.chat import Turn, read_messages
from kinprint.client.files.languages import UnknownLanguageError, language_code
from kinprint.client.files.values import plain, read_time
from kinprint.client.types import Transcript

TEXT_COLUMNS = ("prompt", "response", "reasoning", "system_prompt", "language", "model")
ID_COLUMNS = ("transcript_id", "prompt_id", "account_id", "conversation_id")
KNOWN_COLUMNS = (*TEXT_COLUMNS, *ID_COLUMNS, "created_at", "turn", "messages", "metadata")
_KNOWN = frozenset(KNOWN_COLUMNS)
# Names that other datasets give to the answer.
_RESPONSE_SYNONYMS = ("output", "answer", "completion", "generation", "text", "content", "assistant", "reply")
#: Names that other data sets give to further columns; offered, never taken by themselves.
_SYNONYMS = {
    **dict.fromkeys(("answer", "completion", "output", "generation", "reply", "model_response"), "response"),
    **dict.fromkeys(("question", "query", "instruction", "input", "user_prompt", "prompt_text"), "prompt"),
    **dict.fromkeys(("model_name", "model_id", "modelname", "llm", "generator", "engine"), "model"),
    **dict.fromkeys(("lang", "language_code", "locale"), "language"),
    **dict.fromkeys(("timestamp", "time", "date", "datetime", "created", "createdat", "tstamp"), "created_at"),
    **dict.fromkeys(("user", "user_id", "account", "customer_id", "username"), "account_id"),
    **dict.fromkeys(("system", "system_message", "systemprompt"), "system_prompt"),
    **dict.fromkeys(("session_id", "thread_id", "chat_id", "conversation"), "conversation_id"),
    **dict.fromkeys(("reasoning_content", "thinking", "thoughts"), "reasoning"),
}


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
    near = [lower["response"]] if "response" in lower else []
    near += [lower[name] for name in _RESPONSE_SYNONYMS if name in lower]
    near += [lower[name] for name in get_close_matches("response", list(lower), n=2, cutoff=0.6)]
    text = f"no column 'response' (or 'messages'); found: {', '.join(columns) or 'none'}"
    if near:
        others = [f"{old}={new}" for old, new in near_names(columns).items() if new != "response" and old != near[0]]
        renames = " ".join(f"--rename {pair}" for pair in (f"{near[0]}=response", *others))
        text += f". Did you mean {near[0]!r}? Then rename it to 'response' ({renames})"
    else:
        text += ". --map response=PATH names where the answer is (docs/your-data.md)"
    return text


def near_names(columns: list[str]) -> dict[str, str]:
    """Columns that are no known ones but look like one that is absent: name found, name that may have been meant."""
    absent = [name for name in KNOWN_COLUMNS if name not in columns]
    near: dict[str, str] = {}
    for column in columns:
        if column in _KNOWN:
            continue
        folded = re.sub(r"[^a-z]+", "_", column.strip().lower()).strip("_")
        meant = folded if folded in absent else _SYNONYMS.get(folded)
        if meant is None:
            meant = next(iter(get_close_matches(folded, absent, n=1, cutoff=0.85)), None)
        if meant in absent and meant not in near.values():
            near[column] = meant
    return near


def transcripts_of_row(
    row: Mapping[str, Any], *, id_alias: bool = False, left: Counter[str] | None = None
) -> list[Transcript]:
    """The transcripts of a row: one, or one for each assistant turn of its `messages`.

    Args:
        row: values by column. Ids may be integers; `created_at` is what `read_time` reads; `language` a tag or a name.
        id_alias: read a column `id` as `transcript_id`, as the dicts that callers build have it. In files a
            plain `id` is metadata, since it often names the prompt and not the row; of rows with `messages` it is
            the conversation's.
        left: counts what of the row was left out, by kind.

    Raises:
        RowError: the row cannot be read.
    """
    transcript_id = _id(row, "transcript_id")
    if id_alias and transcript_id is None:
        transcript_id = _id(row, "id")
    response = plain(row.get("response"))
    messages = plain(row.get("messages"))
    if response is None and messages is None:
        raise RowError("MISSING_RESPONSE", "the row has no response")
    if response is not None and not isinstance(response, str):
        raise RowError("RESPONSE_NOT_TEXT", f"response is {type(response).__name__}, not text")
    used_id = id_alias
    turns: list[Turn] = []
    conversation_id = _id(row, "conversation_id")
    prompt = _text(row, "prompt")
    system_prompt = _text(row, "system_prompt")
    size = 0
    if messages is not None:
        try:
            turns, context = read_messages(messages)
        except ValueError as error:
            raise RowError("MESSAGES_INVALID", str(error)) from None
        size = context.messages
        if left is not None:
            left.update(context.left)
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
            elif transcript_id is None and row_id is not None:
                used_id = False  # the conversation has a name, and this is another one
    prompt_id = _id(row, "prompt_id")
    language, told = _language(row.get("language"))
    metadata = _metadata(row, used_id, ("turn",) if turns and response is None else ())
    if told is not None:
        metadata["language"] = told
        if left is not None:
            left["names of languages that are not known (kept as metadata, the language is detected)"] += 1
    common: dict[str, Any] = {
        "model": _text(row, "model"),
        "language": language,
        "account_id": _id(row, "account_id"),
        "created_at": _time(row.get("created_at")),
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
                metadata=_stringified(metadata),
                **common,
            )
        ]
    aligned = {name for name, value in metadata.items() if _one_a_message(value, size)}
    made = []
    for turn in turns:
        own = {**common}
        if turn.model is not None:
            own["model"] = turn.model
        if turn.created_at is not None:
            own["created_at"] = turn.created_at
        if turn.language is not None:
            own["language"] = _language(turn.language)[0] or own["language"]
        mine = {name: value[turn.place] if name in aligned else value for name, value in metadata.items()}
        made.append(
            Transcript(
                response=turn.response,
                id=None if transcript_id is None else f"{transcript_id}#{turn.turn}",
                # Later turns answer another prompt; their key comes from its text.
                prompt_id=prompt_id if turn.turn == 0 else None,
                prompt=turn.prompt,
                system_prompt=turn.system_prompt if turn.system_prompt is not None else system_prompt,
                turn=turn.turn,
                reasoning=turn.reasoning,
                metadata=_stringified({**turn.extra, **mine}),
                **own,
            )
        )
    return made


def _one_a_message(value: Any, size: int) -> bool:
    """Whether a list tells something of each message (its moderation): then each turn gets its own."""
    return (
        isinstance(value, (list, tuple))
        and size > 1
        and len(value) == size
        and all(one is None or isinstance(one, Mapping) for one in value)
    )


def source_rows(
    source: str, number: int, row: Mapping[str, Any], *, left: Counter[str] | None = None
) -> Iterator[SourceRow]:
    """The transcripts of row `number` of `source`, or the reason why it cannot be read."""
    try:
        transcripts = transcripts_of_row(row, left=left)
    except RowError as error:
        yield SourceRow(source, number, error)
        return
    for transcript in transcripts:
        yield SourceRow(source, number, transcript)


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is None or type(value) is str:
        return value
    value = plain(value)
    if value is None or isinstance(value, str):
        return value
    if column == "model" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(f"{column.upper()}_NOT_TEXT", f"{column} is {type(value).__name__}, not text")


def _language(value: Any) -> tuple[str | None, str | None]:
    """(tag, None), or (None, the name) where the name of a language is not known."""
    value = plain(value)
    if value is None:
        return None, None
    if not isinstance(value, str):
        return None, str(value)
    try:
        return language_code(value), None
    except UnknownLanguageError:
        return None, value


def _id(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is None or type(value) is str:
        return value or None
    value = plain(value)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with gaps, as pandas keeps it
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, UUID):
        return str(value)
    raise RowError(f"{column.upper()}_NOT_TEXT", f"{column} is {type(value).__name__}, not text or integer")


def _turn(value: Any) -> int | None:
    value = plain(value)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise RowError("TURN_INVALID", f"turn is {value[:40]!r}, not an integer") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31:
        return value
    raise RowError("TURN_INVALID", f"turn is {str(value)[:40]!r}, not a 32-bit integer")


def _time(value: Any) -> datetime | None:
    try:
        return read_time(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise RowError("CREATED_AT_INVALID", f"created_at {error}") from None


def _metadata(row: Mapping[str, Any], id_used: bool, further: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of `metadata` and of every column without a field of its own; absent ones are left out."""
    metadata: dict[str, Any] = {}
    given = plain(row.get("metadata"))
    if given is not None:
        for key, value in metadata_items(given):
            value = plain(value)
            if value is not None:
                metadata[str(key)] = value
    for column, value in row.items():
        if (column in _KNOWN and column not in further) or (column == "id" and id_used):
            continue
        value = plain(value)
        if value is not None:
            metadata[column] = value
    return metadata


def metadata_items(value: Any) -> list[tuple[Any, Any]]:
    """Keys and values of a metadata column: a mapping, one as JSON text, or the pairs of an Arrow map."""
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


def _stringified(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: _stringify(value) for key, value in metadata.items() if value is not None}


def _stringify(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)
