"""The files of an audit log: JSON lines, each of which holds the digest of the one before.

    FILE.000001 (oldest) ... FILE.000007, FILE (newest)

A line is an object whose last two keys are `prev`, the digest of the line before it (of the first: 64 zeros), and
`digest`, SHA-256 over the bytes of the line up to the comma before that key.  Whoever changes, removes or adds a line
in the middle breaks the chain there; whoever cuts off its end, or writes all of it anew, is found out by a digest that
was kept elsewhere (`verify --head`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kinprint.server.wording import counted

FIRST = "0" * 64
#: Longest line that is read: one of ours names at most some hundred corpora and digests.
_LONGEST = 1 << 20
_END = b', "digest": "'


class ChainDamaged(RuntimeError):  # noqa: N818
    """The newest file of an audit log does not end in one of our lines; the message says what to do."""


def line_of(entry: Mapping[str, Any], number: int, prev: str) -> tuple[bytes, str]:
    """The bytes of a line, with its newline, and its digest."""
    body = json.dumps({"n": number, **entry, "prev": prev}, ensure_ascii=False)[:-1].encode()
    digest = hashlib.sha256(body).hexdigest()
    return body + _END + digest.encode() + b'"}\n', digest


def _parts(path: Path) -> list[Path]:
    """The files of a log that were put aside, oldest first."""
    pattern = re.compile(re.escape(path.name) + r"\.(\d{6,})")
    found = [(int(m[1]), entry) for entry in path.parent.iterdir() if (m := pattern.fullmatch(entry.name))]
    return [entry for _, entry in sorted(found)]


class ChainFile:
    """The newest file of a log, open for appending.  Used from one thread.

    A line that was cut off by a crash is removed: nobody was told that it is durable.

    Parameters
    ----------
    path
        The file; made if missing.
    most
        Bytes from which on it is put aside.

    Raises OSError, ChainDamaged.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._number, self._prev = 0, FIRST
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _parts(path)
        if aside and not (path.exists() and path.stat().st_size):
            self._number, self._prev, _ = _end_of(aside[-1])
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        #: Bytes of a line that was cut off, removed at the start.
        self.removed = 0
        try:
            if size := os.fstat(self._fd).st_size:
                self._number, self._prev, whole = _end_of(path, missing=(self._number, self._prev))
                if whole < size:
                    self.removed = size - whole
                    os.ftruncate(self._fd, whole)
            os.fsync(self._fd)
            _sync_folder(path.parent)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add lines; durable on return.  Raises OSError; then nothing of them stays."""
        if os.fstat(self._fd).st_size >= self._most:
            self._rotate()
        begin = os.fstat(self._fd).st_size
        number, prev = self._number, self._prev
        data = bytearray()
        for entry in entries:
            number += 1
            line, prev = line_of(entry, number, prev)
            data += line
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, begin)
            raise
        self._number, self._prev = number, prev

    def _rotate(self) -> None:
        aside = _parts(self._path)
        following = int(aside[-1].name.rpartition(".")[2]) + 1 if aside else 1
        if self._path.exists():  # else it was put aside by a try that failed after that
            os.rename(self._path, self._path.with_name(f"{self._path.name}.{following:06d}"))
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(self._fd)
        self._fd = fd
        _sync_folder(self._path.parent)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _end_of(path: Path, missing: tuple[int, str] = (0, FIRST)) -> tuple[int, str, int]:
    """Number and digest of the last whole line of a file, and the bytes up to its end.  Raises ChainDamaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        # A line that was cut off, and the whole one before it.
        file.seek(max(0, size - 2 * _LONGEST))
        data = file.read()
    end = data.rfind(b"\n") + 1
    if not end:
        if size <= _LONGEST:
            return *missing, 0
        raise ChainDamaged(f"{path} holds no line of an audit log; move it elsewhere")
    line = data[data.rfind(b"\n", 0, end - 1) + 1 : end]
    try:
        held = _checked(line)
    except ValueError as error:
        raise ChainDamaged(
            f"the last line of {path} is none of an audit log ({error}); see: kinprint audit verify {path}, and move "
            "the file elsewhere to begin another chain"
        ) from error
    return held["n"], held["digest"], size - len(data) + end


def _checked(line: bytes) -> dict[str, Any]:
    """A line as it was written.  Raises ValueError where it is not."""
    body, found, end = line.rpartition(_END)
    if not found or not line.endswith(b'"}\n'):
        raise ValueError("it is no line of an audit log")
    digest = end[:-3].decode("ascii", "replace")
    if hashlib.sha256(body).hexdigest() != digest:
        raise ValueError("its digest is that of other bytes")
    try:
        held = json.loads(line)
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(held.get("n"), int) or not isinstance(held.get("prev"), str):
        raise ValueError("it has no place in a chain")
    return held  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a chain is worth.

    Attributes
    ----------
    lines
        Lines that fit, from the oldest on.
    files
        Files that were read.
    begins
        Number of the oldest line; more than 1 where older files were taken away.
    head
        Digest of the last line that fits.
    problem
        What is wrong with the first line that does not fit; None when all do.
    file, line
        Where that is; lines count from 1.
    """

    lines: int
    files: int
    begins: int
    head: str
    problem: str | None = None
    file: str = ""
    line: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """For people."""
        if self.problem is not None:
            before = counted(self.lines, "line before it fits", "lines before it fit")
            return f"{self.file}, line {self.line}: {self.problem} ({before})"
        if not self.lines:
            return f"{counted(self.files, 'file')} without a line"
        older = f"; lines 1 to {self.begins - 1} are in files that are not here" if self.begins > 1 else ""
        lines, files = counted(self.lines, "line"), counted(self.files, "file")
        return f"{lines} in {files} {'fits' if self.lines == 1 else 'fit'}{older}; head {self.head}"


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            yield line


def verify(path: Path, head: str | None = None) -> Verified:
    """Follow the chain of a log through all of its files; with `head`, it must hold the line of that digest.

    Raises FileNotFoundError where there is no such log.
    """
    files = [*_parts(path), *([path] if path.exists() else [])]
    if not files:
        raise FileNotFoundError(path)
    lines, begins, number, prev, met = 0, 0, 0, FIRST, head is None

    def broken(problem: str, file: Path, line: int) -> Verified:
        return Verified(lines, len(files), begins, prev, problem, str(file), line)

    for file in files:
        place = 0
        for place, line in enumerate(_lines(file), 1):
            try:
                held = _checked(line)
            except ValueError as error:
                cut_off = file is files[-1] and not line.endswith(b"\n")
                return broken(f"it was cut off ({error})" if cut_off else str(error), file, place)
            if not lines:
                begins = held["n"]
                if begins == 1 and held["prev"] != FIRST:
                    return broken("it is called the first and names one before it", file, place)
            elif held["prev"] != prev:
                return broken("the line before it is another than the one that it was written after", file, place)
            elif held["n"] != number + 1:
                return broken(f"it has number {held['n']} where {number + 1} was due", file, place)
            lines, number, prev = lines + 1, held["n"], held["digest"]
            met = met or held["digest"] == head
    if not met:
        problem = f"the line of digest {head} is not there: the log was cut off or written anew"
        return broken(problem, files[-1], place + 1)
    return Verified(lines, len(files), begins, prev)
