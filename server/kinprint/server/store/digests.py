"""Digests of files: what is stored is what is answered.

A file that lasts has a 128-bit digest (XXH3, not keyed: it tells damage, not forgery) beside its name where that is
kept: in a generation's manifest, in the *digest log* of a record, in the file itself where that is JSON. It is compared
when a file is first mapped or read in a process, and by the scrub (`kinprint.server.corpus.scrub`).

The digest log of a record is ``_kinprint_digests`` (Delta readers ignore names that begin with ``_``)::

    kinprint-digests 1
    <digest of the file, 32 hex> <check of this line, 8 hex> <name relative to the table, percent-encoded>

It is appended to and not flushed at each commit: a power cut may take its last lines, or tear one. A line whose check
does not fit counts as missing, and a file without a line is checked row by row, by content hash, before it gets one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import xxhash
from kinprint.server.store.files import replacing

_LOG_NAME: Final = "_kinprint_digests"
_HEADER: Final = "kinprint-digests 1"
_BLOCK: Final = 4 << 20
#: Files read at once: hashing is faster than a disk, and does not hold the interpreter.
_AT_ONCE: Final = 4
#: Files that a process remembers to have compared.
_MOST_KNOWN: Final = 1 << 17


DIFFERS: Final = "is not the one that was written (its digest differs)"


class Damaged(ValueError):  # noqa: N818
    """A file is not the one that was written.  ``file`` names it."""

    def __init__(self, file: Path, what: str = DIFFERS) -> None:
        super().__init__(f"{file}: this file {what}")
        self.file = file
        self.what = what


def digest_of(data: bytes) -> str:
    """XXH3-128 of some bytes, 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(data)


def digest_of_file(path: Path) -> str:
    """XXH3-128 of a file, 32 hex digits.  Raises OSError."""
    made = xxhash.xxh3_128()
    room = bytearray(_BLOCK)
    view = memoryview(room)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(room):
            made.update(view[:count])
    return made.hexdigest()


# ---- compared once a process ----

_turn = threading.Lock()
_known: dict[tuple[int, int], tuple[int, int, str]] = {}


def _stamp(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns


def trust(path: Path, digest: str) -> None:
    """Note that this process wrote a file, or has compared it.  Raises OSError."""
    stat = os.stat(path)
    with _turn:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()  # files that have gone are among them; the others are compared once more
        _known[stat.st_dev, stat.st_ino] = (*_stamp(stat), digest)


def verify(path: Path, digest: str) -> None:
    """Compare a file with its digest, unless this process has, and nobody wrote to it since.

    Raises Damaged; OSError.
    """
    stat = os.stat(path)
    with _turn:
        if _known.get((stat.st_dev, stat.st_ino)) == (*_stamp(stat), digest):
            return
    verify_again(path, digest)


def verify_again(path: Path, digest: str) -> None:
    """Compare a file with its digest.  Raises Damaged; OSError."""
    if digest_of_file(path) != digest:
        raise Damaged(path)
    trust(path, digest)


def verify_all(expected: Mapping[Path, str]) -> None:
    """Compare some files, several at once.  Raises Damaged for the first by name that differs; OSError."""
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(expected)))) as pool:
        for done in [pool.submit(verify, path, expected[path]) for path in sorted(expected)]:
            done.result()


# ---- the digest log of a record ----


def _check(digest: str, name: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{digest} {name}".encode())[:8]


def _line(name: str, digest: str) -> str:
    quoted = quote(name)
    return f"{digest} {_check(digest, quoted)} {quoted}\n"


def log_path(table: Path) -> Path:
    """The digest log of a record."""
    return table / _LOG_NAME


def read_log(table: Path) -> dict[str, str]:
    """Digests of a record's files by name relative to it; what no intact line tells is not there."""
    try:
        lines = log_path(table).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines[1:]:
        try:
            digest, check, quoted = line.decode("ascii").split(" ")
        except ValueError:
            continue
        if len(digest) == 32 and check == _check(digest, quoted):
            found[unquote(quoted)] = digest
    return found


def append_log(table: Path, made: Mapping[str, str]) -> None:
    """Note digests of files.  Raises OSError."""
    path = log_path(table)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        begin = f"{_HEADER}\n" if size == 0 else "" if os.pread(fd, 1, size - 1) == b"\n" else "\n"  # a torn line
        os.write(fd, (begin + "".join(_line(name, digest) for name, digest in made.items())).encode("ascii"))
    finally:
        os.close(fd)


def note(table: Path, names: Iterable[str]) -> None:
    """Take the digests of files that this process has just written, and note them.  Raises OSError."""
    made = {name: digest_of_file(table / name) for name in names}
    append_log(table, made)
    for name, digest in made.items():
        trust(table / name, digest)


def keep_log(table: Path, names: Iterable[str]) -> None:
    """Let go of lines of files that are not among these, durably.  Raises OSError."""
    known, stay = read_log(table), set(names)
    with replacing(log_path(table)) as out:
        out.write(f"{_HEADER}\n".encode("ascii"))
        for name, digest in known.items():
            if name in stay:
                out.write(_line(name, digest).encode("ascii"))
