"""NDJSON: one JSON object a line, read line by line so that a bad line costs only itself."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from kinprint.client.files.compression import open_binary
from kinprint.client.files.rows import RowError, SourceRow, source_rows
from kinprint.client.types import Transcript, as_dict

# No limit of the server lets a longer line through; it keeps a file without line ends out of memory.
MAX_LINE_BYTES = 64 << 20


def parse_line(line: bytes) -> dict[str, Any]:
    """The object of one line, or of another stretch of JSON.

    Raises:
        RowError: invalid UTF-8 (INVALID_UTF8), invalid JSON (INVALID_JSON), or JSON that is no object
            (NOT_AN_OBJECT).
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("INVALID_UTF8", f"byte 0x{line[error.start]:02x} at offset {error.start} is not UTF-8") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError("INVALID_JSON", f"not JSON: {error or 'nested too deeply'}") from None
    if not isinstance(value, dict):
        raise RowError("NOT_AN_OBJECT", f"the row is a JSON {type(value).__name__}, not an object")
    return value


def numbered_lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | RowError]]:
    """Lines that are not blank, numbered from 1 (blank lines count), without their end and without a BOM."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES)
            yield number, RowError("LINE_TOO_LONG", f"the line is longer than {MAX_LINE_BYTES} bytes")
            continue
        line = line.strip(b" \t\r\n")
        if line:
            yield number, line


def objects_of(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """The objects of lines, each with its line number; lines that cannot be read as errors."""
    for number, line in numbered_lines(stream):
        if isinstance(line, RowError):
            yield number, line
            continue
        try:
            yield number, parse_line(line)
        except RowError as error:
            yield number, error


def read_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """The objects of a file (also `.gz`), each with its line number; lines that cannot be read as errors."""
    with open_binary(Path(path)) as stream:
        yield from objects_of(stream)


def read_ndjson(path: str | Path) -> Iterator[SourceRow]:
    """Transcripts of an NDJSON file, for `upsert`; lines that cannot be read are counted there."""
    name = str(path)
    for number, item in read_objects(path):
        if isinstance(item, RowError):
            yield SourceRow(name, number, item)
            continue
        yield from source_rows(name, number, item)


def transcript_row(transcript: Transcript) -> dict[str, Any]:
    """The columns of a transcript, named as `load` reads them."""
    return {
        "transcript_id": transcript.id,
        "model": transcript.model,
        "prompt_id": transcript.prompt_id,
        "prompt": transcript.prompt,
        "response": transcript.response,
        "language": transcript.language,
        "account_id": transcript.account_id,
        "created_at": transcript.created_at,
        "system_prompt": transcript.system_prompt,
        "conversation_id": transcript.conversation_id,
        "turn": transcript.turn,
        "reasoning": transcript.reasoning,
        "metadata": dict(transcript.metadata),
    }


def write_ndjson(path: str | Path, items: Iterable[Any]) -> int:
    """Write transcripts, other results or mappings, one JSON object a line; returns how many.

    Transcripts get the columns that `load` and `read_ndjson` read; absent values are left out.
    """
    count = 0
    with Path(path).open("w", encoding="utf-8", newline="\n") as stream:
        for item in items:
            row = transcript_row(item) if isinstance(item, Transcript) else item
            data = as_dict(row)
            if isinstance(item, Transcript) or not isinstance(item, Mapping):
                data = {key: value for key, value in data.items() if value is not None and value != {}}
            stream.write(json.dumps(data, ensure_ascii=False) + "\n")
            count += 1
    return count
