"""Text of any encoding as UTF-8: a byte order mark says which, or the caller does."""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, cast

from kinprint.client.errors import InvalidArgumentError, SourceError

_CHUNK = 1 << 20
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD = 4096


def check_encoding(name: str | None) -> str | None:
    """Python's name of an encoding of text, None for UTF-8 or whatever a byte order mark says.

    Raises:
        InvalidArgumentError: there is no such encoding.
    """
    if name is None:
        return None
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except (LookupError, ValueError):
        raise InvalidArgumentError(
            f"unknown encoding {name!r}; for example: latin-1, cp1252, utf-16-le, shift_jis, gb18030"
        ) from None
    return None if found.name in ("utf-8", "utf-8-sig") else found.name


def as_utf8(stream: IO[bytes], encoding: str | None, name: str) -> io.BufferedReader:
    """The text of a stream as UTF-8 without a byte order mark.

    UTF-8 passes as it is, invalid bytes too: these cost their row and no other. What another encoding cannot be read
    as becomes invalid UTF-8, for the same end.

    Args:
        stream: binary, at its beginning.
        encoding: from `check_encoding`; a byte order mark goes before it.
        name: stands for the file in errors.

    Raises:
        SourceError: every other byte is zero: UTF-16 without a mark, which nobody named.
    """
    head = _read(stream, _HEAD)
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return _buffered(_Recoded(head[len(mark) :], stream, marked))
    if head.startswith(codecs.BOM_UTF8):
        return _buffered(Prefixed(head.removeprefix(codecs.BOM_UTF8), stream))
    if encoding is None and len(head) > 3 and head.count(0) * 3 > len(head):
        order = "be" if head[0] == 0 else "le"
        raise SourceError(
            f"{name}: this looks like UTF-16 without a byte order mark; name it: --encoding utf-16-{order}"
        )
    if encoding is None:
        return _buffered(Prefixed(head, stream))
    return _buffered(_Recoded(head, stream, encoding))


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, _CHUNK)


def _read(stream: IO[bytes], size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


class Prefixed(io.RawIOBase):
    """A stream with bytes put back before it."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            # What has come so far, where there is a choice: who types rows into a pipe waits for their answers.
            read = getattr(self._stream, "read1", self._stream.read)
            data = cast(bytes, read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, head: bytes, stream: IO[bytes], encoding: str) -> None:
        # Lone halves of surrogate pairs, and bytes that mean nothing, stay what they are and become invalid UTF-8.
        unicode = encoding.startswith(("utf-16", "utf-32"))
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if unicode else "surrogateescape")
        self._encoding = encoding
        self._stream = Prefixed(head, stream)
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            data = self._stream.read(_CHUNK) or b""
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeError as error:
                raise OSError(f"not {self._encoding}: {error}") from error
            self._ready = text.encode("utf-8", "surrogatepass")
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
