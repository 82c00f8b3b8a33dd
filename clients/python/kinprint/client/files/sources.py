"""Which files names stand for: files, patterns, directories, the members of zip archives, standard input.

A directory is read as a person would read it. Hidden files, caches and what describes a data set are passed over; a
data set that Hugging Face `datasets` saved tells its files itself; `model=gpt-a/part.parquet` gives the rows of that
file the column `model`.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast
from urllib.parse import unquote

from kinprint.client.errors import SourceError
from kinprint.client.files.compression import READ_ERRORS, compression_of, compression_of_bytes, decompressed
from kinprint.client.files.compression import SUFFIXES as COMPRESSED
from kinprint.client.files.encoding import Prefixed

STANDARD_INPUT = "-"

_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".zip": "zip",
}
_SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"})
_BINARY = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow", b"PK\x03\x04": "zip"}
"""First bytes of kinds that are no text."""

_SIDE_FILES = frozenset(
    {
        "dataset_dict.json",
        "dataset_info.json",
        "dataset_infos.json",
        "state.json",
        "croissant.json",
        "datapackage.json",
        "package.json",
    }
)
"""Files of a known kind that describe the others in their directory."""

_CACHE = re.compile(r"cache-[0-9a-f]{8,}.*\.arrow|tmp[a-z0-9_]{8}")
"""What `datasets` keeps of steps that were worked out, beside a data set."""

_PARTITION = re.compile(r"([^=/]+)=(.*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_TOLD = 8
_HEAD = 8192


def kind_of(path: Path | Source) -> str | None:
    """ "parquet", "arrow", "ndjson", "csv", "tsv" or "zip" by the suffix before a compression's; None when unknown.

    "ndjson" is any kind of JSON: what a file holds is told by its first bytes, not by its name.
    """
    name = PurePosixPath(path.member) if isinstance(path, Source) and path.member else Path(path)
    suffixes = [suffix.lower() for suffix in name.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, or a member of a zip archive.

    Attributes:
        path: the file; `-` is standard input.
        member: name within the archive that `path` is.
        columns: columns that the directories above it give to all its rows.
        found: whether it was come across in a directory or archive, and not named itself.
        size: bytes of the file, of the decompressed member, 0 for a pipe.
    """

    path: Path
    member: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    found: bool = False
    size: int = 0

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        if str(self.path) == STANDARD_INPUT:
            return "standard input"
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def streams(self) -> bool:
        """Whether its content tells its kind: that of a pipe, which is read once, and of a file of any name."""
        return self.member is None and (kind_of(self) is None or not self.path.is_file())


class Sources(list[Source]):
    """Sources in the order in which they are read; `notes` says what was passed over."""

    def __init__(self, sources: Iterable[Source] = (), notes: Iterable[str] = ()) -> None:
        super().__init__(sources)
        self.notes = list(notes)


def expand_paths(names: Iterable[str | Path]) -> Sources:
    """The files that names stand for: files, patterns, directories (searched through, sorted), archives, `-`.

    A name that exists is that file, whatever characters it has.

    Raises:
        SourceError: nothing is there, or a file is of an unknown kind.
    """
    sources = Sources()
    for name in names:
        if str(name) == STANDARD_INPUT:
            sources.append(Source(Path(STANDARD_INPUT)))
            continue
        path = Path(name).expanduser()
        if not os.path.lexists(path) and glob.has_magic(str(path)):
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                raise SourceError(f"{path}: no file matches")
            # What lies above the first part of a pattern is one place, as a directory is.
            fixed = [not glob.has_magic(part) for part in path.parts]
            root = Path(*path.parts[: fixed.index(False)])
            sources.extend(_matched([Path(match) for match in matches], root, sources.notes))
            continue
        sources.extend(_named(path, sources.notes, {}))
    return sources


def _matched(paths: list[Path], root: Path, notes: list[str]) -> list[Source]:
    """What a pattern fits; a file of another kind is no error if there are others."""
    sources: list[Source] = []
    passed: list[str] = []
    for path in paths:
        if path.is_file() and (kind_of(path) is None or _is_side_file(path.name)):
            passed.append(str(path.relative_to(root)))
            continue
        sources += _named(path, notes, _partitions(path.relative_to(root).parent))
    if not sources:
        return _named(paths[0], notes, {})
    if passed:
        notes.append(f"{root}: passed over what holds no rows: {_some(passed)}")
    return sources


def source_of(item: Path | Source) -> list[Source]:
    """The sources of a path as it is, without any search: one, or the members of an archive."""
    return [item] if isinstance(item, Source) else _named(item, [], {})


def _named(path: Path, notes: list[str], columns: Mapping[str, str | None]) -> list[Source]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise SourceError(f"{path}: {what}") from None
    if stat.S_ISDIR(mode):
        return _directory(path, notes, columns)
    if not stat.S_ISREG(mode):
        return [Source(path, columns=columns)]
    kind = kind_of(path)
    if kind == "zip":
        return _archive(path, notes, columns, found=False)
    if kind is None and (path.suffix.lower() in _SPREADSHEETS or not _is_known_content(path)):
        raise SourceError(f"{path}: {_unknown(path)}")
    return [Source(path, columns=columns, size=path.stat().st_size)]


def _is_known_content(path: Path) -> bool:
    """Whether the first bytes of a file, whose name says nothing, are those of a kind or a compression."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    return (
        compression_of_bytes(head) is not None
        or any(head.startswith(magic) for magic, kind in _BINARY.items() if kind != "zip")
        or head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    )


def _unknown(path: Path) -> str:
    if path.suffix.lower() in _SPREADSHEETS:
        return (
            "a spreadsheet, which is not read: save the sheet as 'CSV UTF-8', or convert it with "
            f"polars.read_excel({path.name!r}).write_parquet({path.stem + '.parquet'!r})"
        )
    return f"unknown kind of file; known: {', '.join(_KINDS)}, also with {', '.join(COMPRESSED)}"


# ---- directories ----


@dataclass
class _Walk:
    """A search of one directory: what was found, and what was passed over."""

    root: Path
    sources: list[Source] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def visit(self, folder: Path, columns: Mapping[str, str | None], notes: list[str]) -> None:
        place = folder.stat()
        if (place.st_dev, place.st_ino) in self.seen:  # a link to a directory above
            return
        self.seen.add((place.st_dev, place.st_ino))
        entries = sorted(item.name for item in os.scandir(folder))
        if "_delta_log" in entries:
            raise SourceError(
                f"{folder}: a Delta table, whose directory keeps rows that were deleted, too; give its current rows: "
                f"polars.scan_delta({str(folder)!r}).sink_parquet('rows.parquet')"
            )
        listed = _listed_files(folder) if "state.json" in entries else None
        for name in entries:
            path = folder / name
            if name.startswith("."):
                continue
            if path.is_dir():
                if name.startswith("_") and "=" not in name:  # of the job that wrote the others
                    continue
                self.visit(path, {**columns, **_partitions(Path(name))}, notes)
                continue
            if not path.is_file():
                if path.is_symlink():
                    self.passed.append(f"{path.relative_to(self.root).as_posix()} (a link to nothing)")
                continue
            kind = kind_of(path)
            if kind is None or _is_side_file(name) or (listed is not None and kind == "arrow" and name not in listed):
                self.passed.append(path.relative_to(self.root).as_posix())
            elif kind == "zip":
                self.sources += _archive(path, notes, columns, found=True)
            else:
                self.sources.append(Source(path, columns=columns, found=True, size=path.stat().st_size))


def _is_side_file(name: str) -> bool:
    return name.startswith("_") or name in _SIDE_FILES or _CACHE.fullmatch(name) is not None


def _directory(path: Path, notes: list[str], columns: Mapping[str, str | None]) -> list[Source]:
    walk = _Walk(path)
    try:
        walk.visit(path, columns, notes)
    except OSError as error:
        raise SourceError(f"{path}: cannot be searched: {error}") from error
    if not walk.sources:
        seen = f"; there are {_some(walk.passed)}" if walk.passed else ""
        raise SourceError(f"{path}: no Parquet, Arrow, JSON, NDJSON, CSV or TSV file in this directory{seen}")
    if walk.passed:
        notes.append(f"{path}: passed over what holds no rows: {_some(walk.passed)}")
    return walk.sources


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _listed_files(folder: Path) -> frozenset[str] | None:
    """The files that a data set saved by `datasets` is made of; None where its `state.json` is something else."""
    try:
        state = json.loads((folder / "state.json").read_bytes())
        return frozenset(str(item["filename"]) for item in state["_data_files"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _partitions(path: Path) -> dict[str, str | None]:
    """The columns that names of directories, `column=value`, stand for."""
    found: dict[str, str | None] = {}
    for part in path.parts:
        match = _PARTITION.fullmatch(part)
        if match is not None:
            value = unquote(match[2])
            found[unquote(match[1])] = None if value == _NO_VALUE else value
    return found


# ---- archives ----


def _archive(path: Path, notes: list[str], columns: Mapping[str, str | None], *, found: bool) -> list[Source]:
    sources, passed = [], []
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except READ_ERRORS as error:
        raise SourceError(f"{path}: not a readable zip archive: {error}") from error
    for info in members:
        name = PurePosixPath(info.filename)
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
        if info.is_dir() or hidden:
            continue
        source = Source(path, info.filename, {**columns, **_partitions(Path(*name.parent.parts))}, True, info.file_size)
        kind = kind_of(source)
        if kind in (None, "zip") or _is_side_file(name.name):
            passed.append(info.filename)
            continue
        if info.flag_bits & 1:
            raise SourceError(f"{source}: encrypted; unpack the archive first")
        sources.append(source)
    if not sources and not found:
        seen = f"; there are {_some(passed)}" if passed else ""
        raise SourceError(f"{path}: no Parquet, Arrow, JSON, NDJSON, CSV or TSV file in this archive{seen}")
    if passed:
        notes.append(f"{path}: passed over what holds no rows: {_some(passed)}")
    # One after the other as they lie, which reads the archive from its beginning to its end.
    return sources


# ---- opening ----


@dataclass
class Opened:
    """A source that is read.

    Attributes:
        stream: its bytes, decompressed.
        kind: as `kind_of` tells it, by content where the name says nothing.
    """

    stream: IO[bytes]
    kind: str
    _raw: IO[bytes]
    _size: int

    @property
    def share(self) -> float | None:
        """Share of the bytes that was read, 0 to 1; None of a pipe."""
        if not self._size:
            return None
        try:
            return min(1.0, self._raw.tell() / self._size)
        except (OSError, ValueError):
            return None


@contextlib.contextmanager
def open_source(source: Source) -> Iterator[Opened]:
    """Open a source, decompressed while it is read.

    Raises:
        SourceError: its kind cannot be told, or it is a spreadsheet or archive that came through a pipe.
        InvalidArgumentError: `.zst`, and nothing that is installed reads it.
    """
    with contextlib.ExitStack() as stack:
        if str(source.path) == STANDARD_INPUT:
            raw = cast(IO[bytes], sys.stdin.buffer)
        elif source.member is not None:
            archive = stack.enter_context(zipfile.ZipFile(source.path))
            raw = stack.enter_context(archive.open(source.member))
        else:
            raw = stack.enter_context(source.path.open("rb"))
        if not source.streams:
            name = Path(source.member) if source.member is not None else source.path
            stream = decompressed(raw, compression_of(name), str(source))
            yield Opened(stream, kind_of(source) or "ndjson", raw, source.size)
            return
        stream, head = _peeked(raw)
        suffix = compression_of_bytes(head)
        if suffix is not None:
            stream, head = _peeked(decompressed(stream, suffix, str(source)))
        yield Opened(stream, _kind_of_bytes(head, source), raw, source.size)


def _peeked(raw: IO[bytes]) -> tuple[IO[bytes], bytes]:
    """A stream that begins where `raw` stands, and the first bytes of it."""
    head = b""
    while len(head) < _HEAD and (data := raw.read1(_HEAD - len(head)) if hasattr(raw, "read1") else raw.read(1)):
        head += data
        if b"\n" in head:
            break
    return cast(IO[bytes], Prefixed(head, raw)), head


def _kind_of_bytes(head: bytes, source: Source) -> str:
    for magic, kind in _BINARY.items():
        if head.startswith(magic):
            if kind == "zip":
                raise SourceError(f"{source}: a zip archive or a spreadsheet, which no pipe can give: name its file")
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text[2:].replace(b"\0", b"")
    return "ndjson" if text.lstrip()[:1] in (b"{", b"[") or not text.strip() else "csv"


@contextlib.contextmanager
def local_file(source: Source, opened: Opened | None = None) -> Iterator[Path]:
    """A source as a plain file, for formats that are not read from the beginning to the end.

    What is compressed, within an archive or comes through a pipe lies in a temporary file meanwhile.

    Args:
        source: the file.
        opened: the same, where it has been opened.
    """
    if opened is not None:
        with _spooled(opened.stream) as path:
            yield path
        return
    name = Path(source.member) if source.member is not None else source.path
    if source.member is None and not source.streams and compression_of(name) is None:
        yield source.path
        return
    with open_source(source) as opened, _spooled(opened.stream) as path:
        yield path


@contextlib.contextmanager
def _spooled(stream: IO[bytes]) -> Iterator[Path]:
    """The rest of a stream as a temporary file."""
    with tempfile.NamedTemporaryFile(prefix="kinprint-") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
        yield Path(file.name)
