"""Opens files that may be compressed, by their suffix."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path
from typing import IO, cast

from kinprint.client.errors import InvalidArgumentError

SUFFIXES = (".gz", ".zst")


def open_binary(path: Path) -> IO[bytes]:
    """A binary stream over a plain, `.gz`, or (from Python 3.14 on) `.zst` file.

    Raises:
        InvalidArgumentError: a `.zst` file, and this Python cannot read it.
        OSError: the file cannot be opened.
    """
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        try:
            zstd = importlib.import_module("compression.zstd")
        except ModuleNotFoundError:
            raise InvalidArgumentError(
                f"{path}: reading .zst needs Python 3.14; decompress it first (zstd -d {path.name})"
            ) from None
        return cast(IO[bytes], zstd.open(path, "rb"))
    return path.open("rb")
