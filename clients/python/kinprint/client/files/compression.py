"""Opens files that may be compressed: gzip, bzip2, xz and Zstandard, by suffix or by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from kinprint.client.errors import InvalidArgumentError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

READ_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,  # a method of compression within a zip that this Python lacks
)
"""What reading a damaged file raises, whatever it is compressed with."""

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def compression_of(path: Path) -> str | None:
    """The suffix of `path` in lower case, None if it is none of a compression's."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else None


def compression_of_bytes(head: bytes) -> str | None:
    """The suffix that fits a file's first bytes, None if they are those of no compression."""
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)


def decompressed(raw: IO[bytes], suffix: str | None, name: str) -> IO[bytes]:
    """What `raw` holds, decompressed while it is read; `raw.tell()` goes on telling how far that is.

    Args:
        raw: a binary stream; None as `suffix` returns it as it is.
        suffix: one of `SUFFIXES`.
        name: stands for the file in errors.

    Raises:
        InvalidArgumentError: Zstandard, and nothing that is installed reads it.
    """
    if suffix is None:
        return raw
    if suffix == ".zst":
        return cast(IO[bytes], io.BufferedReader(_Zstandard(_zstandard(name)(raw)), 1 << 20))
    opened: Any = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}[suffix]
    return cast(IO[bytes], opened(fileobj=raw, mode="rb") if suffix == ".gz" else opened(raw, "rb"))


def open_binary(path: Path) -> IO[bytes]:
    """A binary stream over a file, decompressed if its suffix says that it is compressed.

    Raises:
        InvalidArgumentError: a `.zst` file, and nothing that is installed reads it.
        OSError: the file cannot be opened.
    """
    suffix = compression_of(path)
    if suffix == ".zst":
        _zstandard(str(path))
    return decompressed(path.open("rb"), suffix, str(path))


def _zstandard(name: str) -> Callable[[IO[bytes]], Any]:
    """What opens a Zstandard stream: Python's own module from 3.14 on, PyArrow before."""
    try:
        return cast(Callable[[IO[bytes]], Any], importlib.import_module("compression.zstd").ZstdFile)
    except ModuleNotFoundError:
        pass
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise InvalidArgumentError(
            f"{name}: reading .zst needs Python 3.14 or PyArrow: pip install 'kinprint[polars]', "
            "or decompress it first (zstd -d)"
        ) from None
    return lambda raw: pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")


class _Zstandard(io.RawIOBase):
    """A Zstandard stream whose errors are those of files, whoever reads it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError):
            raise
        except Exception as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)
