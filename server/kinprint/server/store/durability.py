"""Making a Delta table durable, and finding out after a crash what is.

delta-rs writes data files and log entries without ``fsync``. After a power cut a log entry may
therefore be empty or cut short, and so may a data file that an intact entry names; a zero-length entry
even opens without an error, with rows missing. Two things answer this:

* Whoever commits calls `sync_version` for every version since the last durable one, then records that
  version in the *marker* (`write_marker`), and only then acknowledges it.
* `guard` runs before any writer starts. Versions above the marker were never acknowledged: from the
  first damaged one on, they are moved to ``_quarantine/``. Damage at or below the marker is a loss of
  acknowledged data, and raises `RecordDamaged` with nothing moved.

On disk, beside the Delta log (names that begin with ``_`` are ignored by Delta readers)::

    _kinprint_synced    two slots of 4096 bytes, written in turn, each one line of JSON:
                        {"format": "1", "version": 7, "entry": <sha256 of that log entry>,
                         "check": <sha256 of the three before>}
    _quarantine/        what the guard moved away: <UTC time>-<file name>

Two slots, because a write that a power cut tears must not take the last good one with it. The Delta
transaction protocol is https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from kinprint.server.store import content, digests
from kinprint.server.store.files import fsync_directory, fsync_file

__all__ = [
    "FORMAT",
    "MARKER_NAME",
    "RESTORE",
    "FormatTooNew",
    "GuardReport",
    "LogEntry",
    "Marker",
    "RecordDamaged",
    "check_active_files",
    "check_contents",
    "check_format",
    "check_rows",
    "checkpoints",
    "data_file",
    "entries",
    "entry_path",
    "guard",
    "log_directory",
    "parse_entry",
    "quarantine_directory",
    "read_entry",
    "read_marker",
    "sync_checkpoint",
    "sync_version",
    "write_marker",
]

FORMAT: Final = "1"
"""Version of the record's format that this program writes. The part before a dot is the major one."""

MARKER_NAME: Final = "_kinprint_synced"
_SLOT: Final = 4096
_ACTIONS: Final = frozenset({"add", "remove", "metaData", "protocol", "txn", "commitInfo", "cdc", "domainMetadata"})
_PUT: Final = 0
_PARQUET_MAGIC: Final = b"PAR1"
_ENTRY = re.compile(r"^(\d{20})\.json$")
_CHECKPOINT = re.compile(r"^(\d{20})\.checkpoint\.parquet$")

logger = logging.getLogger(__name__)


class RecordDamaged(RuntimeError):  # noqa: N818
    """Acknowledged data of a record is missing or unreadable.

    ``file`` is the damaged file. Nothing was moved or changed. The message says what to do."""

    def __init__(self, file: Path, what: str, remedy: str) -> None:
        self.file = file
        self.what = what
        self.remedy = remedy
        super().__init__(f"{file}: {what}. {remedy}")


class FormatTooNew(RuntimeError):  # noqa: N818
    """The record was written in a format newer than this program reads."""

    def __init__(self, path: Path, found: str, supported: str) -> None:
        self.path = path
        self.found = found
        self.supported = supported
        super().__init__(
            f"{path} has record format {found}; this program reads up to format {supported}. "
            f"Open it with a newer Kinprint."
        )


RESTORE: Final = "Restore this file from a backup, or the corpus from a snapshot (kinprint snapshot restore --replace)"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One Delta log entry, as far as the record needs it.

    ``added`` maps each added data file (its path as the log writes it) to its size in bytes;
    ``removed`` are the paths the entry takes out of the table; ``digest`` is the SHA-256 of the entry's
    bytes, in hexadecimal; ``format`` the table's ``kinprint.format`` if the entry sets it.
    """

    version: int
    added: Mapping[str, int]
    removed: frozenset[str]
    digest: str
    format: str | None


@dataclass(frozen=True, slots=True)
class Marker:
    """The newest version known to be durable, and the SHA-256 of its log entry in hexadecimal."""

    version: int
    entry: str
    format: str = FORMAT


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the guard found: the newest intact version (None: no table), and the files it moved away."""

    version: int | None
    quarantined: tuple[Path, ...]


def log_directory(table: Path) -> Path:
    """The directory of the Delta log."""
    return table / "_delta_log"


def quarantine_directory(table: Path) -> Path:
    """Where the guard puts what it takes out of the table. It need not exist."""
    return table / "_quarantine"


def entry_path(table: Path, version: int) -> Path:
    """The file of one log entry."""
    return log_directory(table) / f"{version:020d}.json"


def data_file(table: Path, name: str) -> Path:
    """The data file that the log calls ``name`` (the log percent-encodes paths)."""
    return table / unquote(name)


def entries(table: Path) -> dict[int, Path]:
    """The log entries on disk, by version, in ascending order."""
    return _numbered(table, _ENTRY)


def checkpoints(table: Path) -> dict[int, Path]:
    """The checkpoints on disk, by version, in ascending order."""
    return _numbered(table, _CHECKPOINT)


def _numbered(table: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    try:
        names = os.listdir(log_directory(table))
    except FileNotFoundError:
        return {}
    found = ((pattern.match(name), name) for name in sorted(names))
    return {int(match[1]): log_directory(table) / name for match, name in found if match}


def parse_entry(version: int, content: bytes) -> LogEntry:
    """Parse one log entry. Raises ValueError if it is empty, cut short or not JSON lines."""
    if not content.strip(b"\0 \r\n\t"):
        raise ValueError("empty" if not content else "nothing but zeros and blanks")
    added: dict[str, int] = {}
    removed: set[str] = set()
    format_: str | None = None
    for line in content.splitlines():
        if not line.strip():
            continue
        action: Any = json.loads(line)
        if not isinstance(action, dict) or not action or not action.keys() <= _ACTIONS:
            raise ValueError("a line is not a Delta action")
        try:
            if "add" in action:
                if action["add"].get("deletionVector"):
                    raise ValueError("deletion vectors are not supported in a record")
                added[action["add"]["path"]] = int(action["add"]["size"])
            elif "remove" in action:
                removed.add(action["remove"]["path"])
            elif "metaData" in action:
                format_ = action["metaData"].get("configuration", {}).get("kinprint.format")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"an action lacks a field: {error!r}") from error
    return LogEntry(version, added, frozenset(removed), hashlib.sha256(content).hexdigest(), format_)


def read_entry(table: Path, version: int) -> LogEntry:
    """Read and parse one log entry. Raises FileNotFoundError, or ValueError if it is damaged."""
    return parse_entry(version, entry_path(table, version).read_bytes())


def relative(table: Path, path: Path) -> str:
    """Name of a file of the table, as the digest log has it."""
    return path.relative_to(table).as_posix()


def sync_version(table: Path, version: int) -> LogEntry:
    """Make one committed version durable: its data files, its log entry, and both directories; note their digests.

    Raises OSError from the file system; ValueError if the entry is damaged.
    """
    entry = read_entry(table, version)
    for name in entry.added:
        fsync_file(data_file(table, name))
    for directory in {data_file(table, name).parent for name in entry.added}:
        fsync_directory(directory)
    fsync_file(entry_path(table, version))
    fsync_directory(log_directory(table))
    written = [*(data_file(table, name) for name in entry.added), entry_path(table, version)]
    digests.note(table, (relative(table, path) for path in written))
    return entry


def sync_checkpoint(table: Path, version: int) -> None:
    """Make the checkpoint of ``version``, and the hint that names the newest one, durable."""
    fsync_file(checkpoints(table)[version])
    digests.note(table, [relative(table, checkpoints(table)[version])])
    fsync_file(log_directory(table) / "_last_checkpoint")
    fsync_directory(log_directory(table))


def _check_sum(format_: str, version: int, entry: str) -> str:
    return hashlib.sha256(f"{format_}\n{version}\n{entry}".encode()).hexdigest()


def read_marker(table: Path) -> Marker | None:
    """The newest intact slot of the marker, or None if there is none."""
    return max(_slots(table).values(), key=lambda marker: marker.version, default=None)


def _slots(table: Path) -> dict[int, Marker]:
    """The intact slots of the marker, by where each begins."""
    try:
        content = (table / MARKER_NAME).read_bytes()
    except FileNotFoundError:
        return {}
    found: dict[int, Marker] = {}
    for start in (0, _SLOT):
        line, _, _ = content[start : start + _SLOT].partition(b"\n")
        try:
            fields = json.loads(line)
            marker = Marker(int(fields["version"]), str(fields["entry"]), str(fields["format"]))
            intact = fields["check"] == _check_sum(marker.format, marker.version, marker.entry)
        except (ValueError, KeyError, TypeError):
            continue  # a slot never written, or torn: the other one counts
        if intact:
            found[start] = marker
    return found


def write_marker(table: Path, marker: Marker) -> None:
    """Record durably that ``marker.version`` and everything below it is durable. Raises OSError.

    The slot that holds the newest version is left alone, so an interrupted write loses nothing. Versions may jump.
    """
    fields = {"format": marker.format, "version": marker.version, "entry": marker.entry}
    fields["check"] = _check_sum(marker.format, marker.version, marker.entry)
    line = json.dumps(fields).encode() + b"\n"
    path = table / MARKER_NAME
    known = path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not known or os.fstat(fd).st_size < 2 * _SLOT:
            # Real blocks from the start: a full disk must not be able to stop a later marker.
            os.pwrite(fd, b"\0" * (2 * _SLOT), 0)
        slots = _slots(table)
        newest = max(slots, key=lambda start: slots[start].version, default=_SLOT)
        same = newest in slots and slots[newest].version == marker.version
        os.pwrite(fd, line.ljust(_SLOT, b"\0"), newest if same else _SLOT - newest)
        os.fsync(fd)
    finally:
        os.close(fd)
    if not known:
        fsync_directory(table)


def check_format(path: Path, found: str) -> None:
    """Raise FormatTooNew if ``found`` (such as ``"2"`` or ``"1.4"``) is of a newer major version."""
    major = found.partition(".")[0]
    if not major.isdigit() or int(major) > int(FORMAT):
        raise FormatTooNew(path, found, FORMAT)


def _damage_of_data(path: Path, size: int, *, decode: bool) -> str | None:
    """What is wrong with a data file, or None. ``decode`` reads all of it, not only its two ends."""
    try:
        with open(path, "rb") as file:
            actual = os.fstat(file.fileno()).st_size
            if actual != size:
                return f"has {actual} bytes where the log says {size}"
            head = file.read(4)
            file.seek(-4, os.SEEK_END)
            if head != _PARQUET_MAGIC or file.read(4) != _PARQUET_MAGIC:
                return "is not a Parquet file (its first or last bytes are wrong)"
        if decode:
            with pq.ParquetFile(path) as parquet:
                for _ in parquet.iter_batches(batch_size=16_384):
                    pass
    except FileNotFoundError:
        return "is missing"
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


def check_active_files(table: Path, files: Mapping[str, int]) -> None:
    """Check that every file of ``files`` (name to bytes) exists, has its size and ends like Parquet.

    Raises RecordDamaged for the first that does not. The contents between the two ends are not read:
    zstd reports damage there when the rows are.
    """
    for name, size in files.items():
        damage = _damage_of_data(data_file(table, name), size, decode=False)
        if damage is not None:
            raise RecordDamaged(data_file(table, name), f"this data file {damage}", RESTORE)


def check_contents(table: Path, names: Iterable[str]) -> None:
    """Check that data files are those that were written, unless this process has done so.

    A file without a digest, of a version before there were any or of the last moments before a power cut, is read whole
    and its rows are compared with their content hashes; then it gets one.  Raises RecordDamaged.
    """
    expected: dict[Path, str] = {}
    unknown: list[Path] = []
    known = digests.read_log(table)
    for path in (data_file(table, name) for name in names):
        digest = known.get(relative(table, path))
        if digest is None:
            unknown.append(path)
        else:
            expected[path] = digest
    try:
        digests.verify_all(expected)
        for path in unknown:
            check_rows(path)
        if unknown:
            digests.note(table, [relative(table, path) for path in unknown])
    except digests.Damaged as error:
        raise RecordDamaged(error.file, f"this data file {error.what}", RESTORE) from error
    except FileNotFoundError as error:
        raise RecordDamaged(Path(error.filename or table), "this data file is missing", RESTORE) from error
    except OSError as error:
        if unknown:  # a full or read-only disk: they are looked at again next time
            logger.warning("digests of %s could not be noted: %s", table, error)
        else:
            raise


def check_rows(path: Path) -> int:
    """Rows of a data file.  Raises digests.Damaged unless it can be read and its puts are what their hashes say."""
    count = 0
    try:
        with pq.ParquetFile(path) as parquet:
            hashed = {"op", *content.COLUMNS} <= set(parquet.schema_arrow.names)
            for batch in parquet.iter_batches(batch_size=16_384):
                count += batch.num_rows
                rows = pl.DataFrame(batch)
                if hashed and (wrong := content.wrong_rows(rows.filter(pl.col("op") == _PUT))):
                    raise digests.Damaged(path, f"holds {len(wrong)} rows that are not what their content hash says")
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as error:
        if isinstance(error, digests.Damaged | FileNotFoundError):
            raise
        raise digests.Damaged(path, f"cannot be read: {error}") from error
    return count


def guard(table: Path) -> GuardReport:
    """Bring a table back to its last intact version after a crash. Call before any writer starts.

    Must not run while another process writes to the table: a commit in flight would look torn.

    Raises
    ------
    RecordDamaged
        If something at or below the last durable version is damaged. Nothing was changed then.
    FormatTooNew
        If the marker or a log entry names a newer major format. Nothing was changed then.
    """
    marker = read_marker(table)
    if marker is not None:
        check_format(table, marker.format)
    log = entries(table)
    synced = marker.version if marker is not None else -1
    if not log and not checkpoints(table):
        if marker is not None:
            raise RecordDamaged(log_directory(table), "the log is empty", RESTORE)
        return GuardReport(None, ())

    known = digests.read_log(table)
    base, torn_checkpoints = _newest_intact_checkpoint(table, known)
    for version in (version for version in log if version > base):
        try:
            found = read_entry(table, version).format
        except ValueError:
            continue  # judged below, in its place in the chain
        if found is not None:
            check_format(table, found)
    tip = max([*log, base])
    bad: tuple[int, Path, str] | None = None
    for version in range(base + 1, tip + 1):
        damaged, damage = _damage_of_version(table, version, known, decode=version > synced)
        if damage is not None:
            bad = (version, damaged, damage)
            break
    last = bad[0] - 1 if bad is not None else tip

    if last < synced:
        if bad is None:
            what = f"the log ends before version {synced}, which was acknowledged"
            raise RecordDamaged(entry_path(table, last + 1), what, RESTORE)
        raise RecordDamaged(bad[1], f"this file of acknowledged version {bad[0]} {bad[2]}", RESTORE)
    if marker is not None and synced in log and _digest(log[synced]) != marker.entry:
        raise RecordDamaged(log[synced], "this log entry is not the one that was acknowledged", RESTORE)
    if last >= 0 and last not in log:
        raise RecordDamaged(entry_path(table, last), "the newest log entry is missing", RESTORE)
    if bad is not None and marker is None and bad[0] > 0:
        raise RecordDamaged(
            bad[1],
            f"this file of version {bad[0]} {bad[2]}, and without the marker {MARKER_NAME} nobody can say "
            f"whether that version was acknowledged",
            f"Restore the file or the marker from a backup, or move version {bad[0]} and those above it "
            f"out of {log_directory(table)} by hand to give them up.",
        )

    torn = dict(torn_checkpoints)
    # Newest first, checkpoints before entries: a crash in the middle leaves a log without a hole.
    moves: list[tuple[Path, str]] = []
    for version, path in sorted(checkpoints(table).items(), reverse=True):
        if path in torn:
            moves.append((path, f"checkpoint cannot be read ({torn[path]}); the log is complete without it"))
        elif version > last:
            moves.append((path, f"checkpoint of unacknowledged version {version}"))
    moved = {path for path, _ in moves}
    hint = log_directory(table) / "_last_checkpoint"
    if hint.exists() and not _hint_holds(hint, (v for v, path in checkpoints(table).items() if path not in moved)):
        moves.append((hint, "it is torn or names no intact checkpoint; readers list the log instead"))
    if bad is not None:
        for version in sorted((v for v in log if v > last), reverse=True):
            why = f"{bad[1].name} {bad[2]}" if version == bad[0] else f"follows damaged version {bad[0]}"
            moves.append((log[version], f"unacknowledged version {version}: {why}"))
            moves += [(path, f"data of unacknowledged version {version}") for path in _files_of(table, version)]
    quarantined = _quarantine(table, moves)
    return GuardReport(last if last >= 0 else None, quarantined)


def _newest_intact_checkpoint(table: Path, known: Mapping[str, str]) -> tuple[int, list[tuple[Path, str]]]:
    torn: list[tuple[Path, str]] = []
    for version, path in reversed(checkpoints(table).items()):
        try:
            if (digest := known.get(relative(table, path))) is not None:
                digests.verify(path, digest)
            pl.read_parquet(path, glob=False)  # a path may hold what reads as a pattern
        except (pl.exceptions.PolarsError, OSError, digests.Damaged) as error:
            torn.append((path, str(error).splitlines()[0] if str(error) else type(error).__name__))
            continue
        return version, torn
    return -1, torn


def _differs(path: Path, digest: str) -> bool:
    try:
        digests.verify(path, digest)
    except digests.Damaged:
        return True
    return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _damage_of_version(table: Path, version: int, known: Mapping[str, str], *, decode: bool) -> tuple[Path, str | None]:
    path = entry_path(table, version)
    try:
        entry = read_entry(table, version)
    except FileNotFoundError:
        return path, "is missing"
    except ValueError as error:
        return path, f"is not a valid log entry ({error})"
    if not decode and (digest := known.get(relative(table, path))) is not None and _differs(path, digest):
        return path, digests.DIFFERS
    if decode:
        for name, size in entry.added.items():
            file = data_file(table, name)
            damage = _damage_of_data(file, size, decode=True)
            if damage is None and (digest := known.get(relative(table, file))) is not None and _differs(file, digest):
                damage = digests.DIFFERS
            if damage is not None:
                return file, damage
    return path, None


def _files_of(table: Path, version: int) -> list[Path]:
    try:
        added = read_entry(table, version).added
    except ValueError:
        return []  # the torn entry itself: what it named stays behind as files outside the table
    return [path for name in added if (path := data_file(table, name)).exists()]


def _hint_holds(hint: Path, versions: Iterable[int]) -> bool:
    try:
        return json.loads(hint.read_bytes())["version"] in set(versions)
    except (ValueError, KeyError, TypeError):
        return False


def _quarantine(table: Path, moves: list[tuple[Path, str]]) -> tuple[Path, ...]:
    if not moves:
        return ()
    place = quarantine_directory(table)
    place.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    moved: list[Path] = []
    for path, why in moves:
        target = place / f"{stamp}-{path.name}"
        os.rename(path, target)
        fsync_directory(path.parent)
        moved.append(target)
        logger.warning("quarantined %s as %s: %s", path, target, why)
    fsync_directory(place)
    fsync_directory(table)
    return tuple(moved)
