"""JSON texts that are not one object a line: arrays of rows of any size, and objects that hold such an array.

Rows are cut out by their brackets and parsed one by one. A streaming parser would end at the first fault and take all
rows after it along, and the usual ones turn half of a surrogate pair into a question mark without a word; here a bad
row costs itself, as it does with one object a line.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, Literal

from kinprint.client.files.ndjson import MAX_LINE_BYTES, parse_line
from kinprint.client.files.rows import KNOWN_COLUMNS, RowError

Form = Literal["lines", "values"]

_CHUNK = 1 << 18
# No string of valid JSON has a raw line end, so that a stray quotation mark is over where its line is.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"|["{}\[\]]', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\\n]|\\[^\n])*+', re.DOTALL)
# Up to the next bracket, or to a quotation mark that closes nowhere in sight.
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"[^"{}\[\]]*+)*+(["{}\[\]])', re.DOTALL)
_BETWEEN = b" \t\r\n,"
_CLOSER = {b"{": b"}", b"[": b"]"}

_ROW_LISTS = frozenset(
    [
        "data",
        "rows",
        "items",
        "results",
        "records",
        "examples",
        "instances",
        "entries",
        "samples",
        "transcripts",
        "answers",
        "responses",
        "completions",
        "generations",
        "predictions",
        "requests",
        "chats",
        "threads",
        "logs",
        "traces",
        "train",
        "test",
        "validation",
        "dev",
        "eval",
    ]
)
"""Members of an object under which interfaces and exports keep their rows."""

_PARTS_OF_A_ROW = frozenset(
    [
        "messages",
        "conversations",
        "conversation",
        "choices",
        "candidates",
        "contents",
        "content",
        "parts",
        "input",
        "output",
        "tools",
        "tool_calls",
        "functions",
        "turns",
        "mapping",
        "resourcespans",
        "resourcelogs",
        "scopespans",
        "spans",
        "observations",
        "events",
        "attachments",
    ]
)
"""Members that are lists of objects, too, and belong to one row."""

_MARKS_OF_A_ROW = frozenset({*KNOWN_COLUMNS, "choices", "candidates", "contents"}) - {"metadata", "model", "language"}


def form_of(head: bytes, whole: bool, of_lines: bool = False, as_given: bool = False) -> Form:
    """How a JSON text is laid out: one object a line, or values that go over lines (arrays, objects).

    Args:
        head: its first bytes, the first line in full unless that is very long.
        whole: whether these are all of it.
        of_lines: whether its name says so (.jsonl, .ndjson): then what is cut short on its only line is a bad row.
        as_given: whether an object on the only line of such a file is a row itself, whatever lists it holds.
    """
    text = head.lstrip()
    if text[:1] == b"[":
        return "values"
    if text[:1] != b"{":
        return "lines"
    first, newline, rest = text.partition(b"\n")
    if not newline and not whole:
        # A line of many megabytes: an object that begins with a list of rows, or else a long row.
        return "values" if _holds_a_list(text) else "lines"
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        # A row that is cut short is followed by the next one; an object over several lines by its members.
        next_row = rest.lstrip()[:1] == b"{" or (of_lines and not rest.strip())
        return "lines" if first.strip() != b"{" and next_row else "values"
    return "lines" if rest.strip() or (of_lines and as_given) else "values"


class JsonRows:
    """The rows of a JSON text, numbered from 1; iterate once.

    A row is an element of an array, an element of the list of rows within an object, or an object that has none. One
    value may follow another, as `jq .` writes them.

    Args:
        stream: the text as UTF-8.

    Attributes:
        beside: names of the members beside lists of rows, which belong to no row.

    Raises:
        EOFError: the text ends within an array or object; iterating raises it, after the rows before.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._text = _Text(stream)
        self.beside: dict[str, None] = {}

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
        for number, row in enumerate(self._values(), 1):
            if isinstance(row, bytes):
                try:
                    yield number, parse_line(row)
                except RowError as error:
                    yield number, error
            else:
                yield number, row

    def _values(self) -> Iterator[bytes | dict[str, Any] | RowError]:
        while (between := self._text.until_value()) is not None:
            if between:
                yield _stray(between)
            token = self._text.token()
            if token == b"[":
                yield from self._elements()
            elif token == b"{":
                yield from self._object()

    def _elements(self) -> Iterator[bytes | RowError]:
        """Elements of the array that was just opened."""
        while True:
            between = self._text.until_value()
            if between is None:
                raise EOFError("the file ends within an array")
            if between:
                yield _stray(between)
            token = self._text.token()
            if token == b"]":
                return
            if token in _CLOSER:
                yield self._text.value(token)

    def _object(self) -> Iterator[bytes | dict[str, Any] | RowError]:
        """Rows of the object that was just opened."""
        members: dict[str, None] = {}
        lists = []
        self._text.keep()
        while (name := _next_list(self._text, members)) is not None:
            lists.append(name)
            self._text.drop()
            yield from self._elements()
        if lists:
            self.beside.update(dict.fromkeys(name for name in members if name not in lists))
            return
        whole = self._text.kept()
        if isinstance(whole, RowError):
            yield whole
            return
        try:
            value = parse_line(whole)
        except RowError as error:
            yield error
            return
        name, rows = rows_within(value)
        if name:
            self.beside.update(dict.fromkeys(member for member in members if member != name))
        for row in rows:
            yield row if isinstance(row, dict) else _stray(json.dumps(row).encode())


def rows_within(value: dict[str, Any]) -> tuple[str, list[Any]]:
    """The rows of an object: those of its one list of objects, of a table that pandas wrote, or the object itself.

    Returns:
        The name of the list ("" if it is the object itself), and the rows.
    """
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return "data", [dict(zip(map(str, columns), row, strict=False)) for row in data]
    if not _MARKS_OF_A_ROW.isdisjoint(value) and not _is_by_column(value):
        return "", [value]
    if _is_by_column(value):
        keys = list(next(iter(value.values())))
        return "", [{column: cells[key] for column, cells in value.items()} for key in keys]
    lists = [
        name
        for name, member in value.items()
        if isinstance(member, list) and member and all(isinstance(item, Mapping) for item in member)
    ]
    if len(lists) == 1 and lists[0].lower() not in _PARTS_OF_A_ROW:
        return lists[0], value[lists[0]]
    return "", [value]


def _is_by_column(value: Mapping[str, Any]) -> bool:
    """Whether it is a table by column, `{"response": {"0": ..., "1": ...}}`, as pandas writes one by default."""
    first = next(iter(value.values()), None)
    return (
        isinstance(first, dict)
        and "0" in first
        and all(isinstance(member, dict) and member.keys() == first.keys() for member in value.values())
    )


def _stray(text: bytes) -> RowError:
    return RowError("NOT_AN_OBJECT", f"{text[:40].decode('utf-8', 'replace')!r} is no object")


def _holds_a_list(text: bytes) -> bool:
    """Whether an object, of which the beginning is here, has a list of rows as far as it goes."""
    found = _Text(io.BytesIO(text))
    found.token()
    try:
        return _next_list(found, {}) is not None
    except EOFError:
        return False


def _next_list(text: _Text, members: dict[str, None]) -> str | None:
    """Go on within an object to where a list of rows opens; its name, None at the end of the object."""
    name = ""
    while (token := text.token()) != b"}":
        if token.startswith(b'"'):
            if text.peek() == b":":
                name = _string(token)
                members[name] = None
        elif token == b"[" and text.peek() == b"{" and _is_row_list(name, members):
            return name
        elif token in _CLOSER:
            text.skip(token)
    return None


def _is_row_list(name: str, members: Mapping[str, None]) -> bool:
    return name.lower() in _ROW_LISTS and _MARKS_OF_A_ROW.isdisjoint(members)


def _string(token: bytes) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return ""


class _Text:
    """JSON text as strings and brackets, with the bytes of a value kept while it is gone through.

    Raises:
        EOFError: the text ends where something is missing.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._start: int | None = None
        """Where what is kept begins; None: nothing is."""
        self._lost = False
        """Whether what was to be kept became too long."""

    def _more(self) -> bool:
        """Read on; False at the end."""
        if self._start is not None and len(self._buffer) - self._start > MAX_LINE_BYTES:
            self._start, self._lost = None, True
        begin = self._at if self._start is None else self._start
        # As much as is there already, so that a long string is searched through a few times only.
        data = self._stream.read(max(_CHUNK, len(self._buffer) - begin))
        self._buffer = self._buffer[begin:] + data
        self._at -= begin
        self._start = None if self._start is None else 0
        return bool(data)

    def token(self) -> bytes:
        """The next string or bracket, which is gone past."""
        while True:
            match = _TOKEN.search(self._buffer, self._at)
            if match is not None and (match[0] != b'"' or self._buffer.find(b"\n", match.end()) >= 0):
                self._at = match.end()
                if match[0] != b'"':
                    return match[0]
                continue  # never closed within its line
            if match is None:
                self._at = len(self._buffer)
            elif len(self._buffer) - match.start() > MAX_LINE_BYTES:
                self._at = match.end()
                return self._rest_of_string()
            past = 0 if match is None else match.end() - self._at  # reading on moves what is in the buffer
            if not self._more():
                if match is None:
                    raise EOFError("the file ends within an array or object")
                self._at += past

    def _rest_of_string(self) -> bytes:
        """Go past a string that is too long to keep, to where it ends; an empty one stands for it."""
        self._start, self._lost = None, self._lost or self._start is not None
        while True:
            match = _IN_STRING.match(self._buffer, self._at)
            assert match is not None
            self._at = match.end()
            end = self._buffer[self._at : self._at + 1]
            if end in (b'"', b"\n") or self._buffer[self._at : self._at + 2] == b"\\\n":
                self._at += end == b'"'
                return b'""'
            if not self._more():
                raise EOFError("the file ends within a string")

    def peek(self) -> bytes:
        """The next byte that is no white space; empty at the end. Nothing is gone past but white space."""
        while True:
            while self._at < len(self._buffer):
                byte = self._buffer[self._at : self._at + 1]
                if byte not in b" \t\r\n":
                    return byte
                self._at += 1
            if not self._more():
                return b""

    def until_value(self) -> bytes | None:
        """Go to the next bracket or string; what stands before it, None where nothing more comes."""
        passed = b""
        while True:
            match = _TOKEN.search(self._buffer, self._at)
            end = len(self._buffer) if match is None else match.start()
            if len(passed) < 80:
                passed += self._buffer[self._at : end]
            self._at = end
            if match is not None:
                if match[0].startswith(b'"'):
                    passed += self.token()[:80]
                    continue
                return passed.strip(_BETWEEN)
            if not self._more():
                if passed.strip(_BETWEEN):
                    raise EOFError(f"the file ends with {passed[:40].decode('utf-8', 'replace')!r}")
                return None

    def keep(self) -> None:
        """Keep what comes, from the bracket on that was just gone past."""
        self._start, self._lost = self._at - 1, False

    def drop(self) -> None:
        """Keep nothing any more."""
        self._start, self._lost = None, False

    def kept(self) -> bytes | RowError:
        """What was kept, or that it was too long."""
        start, lost = self._start, self._lost
        self.drop()
        if lost or start is None:
            return RowError("LINE_TOO_LONG", f"the row is longer than {MAX_LINE_BYTES} bytes")
        return self._buffer[start : self._at]

    def value(self, opener: bytes) -> bytes | RowError:
        """The array or object that `opener` has just opened."""
        self.keep()
        self.skip(opener)
        return self.kept()

    def skip(self, opener: bytes) -> None:
        """Go past the array or object that `opener` has just opened.

        A bracket of the wrong kind closes what it fits, further out; one that fits nothing here closes all, and
        stays for what is around.
        """
        open_ = [_CLOSER[opener]]
        while open_:
            match = _BRACKET.match(self._buffer, self._at)
            if match is not None and match[1] != b'"':
                token = match[1]
                self._at = match.end()
            else:
                token = self.token()
                if token.startswith(b'"'):
                    continue
            if token in _CLOSER:
                open_.append(_CLOSER[token])
                continue
            if token not in open_:
                self._at -= 1
                return
            while open_.pop() != token:
                pass
