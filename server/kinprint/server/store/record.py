"""The record: one Delta Lake table per corpus, the source of truth for its transcripts.

Every change is an appended row. A *put* carries a transcript, a *delete* takes an id away, a *fill*
adds a channel (a sketch, a style profile, an embedding) that was computed later to the put with the same
id and content hash. Per id the row with the highest ``seq`` counts; nothing is updated in place.

`Record.append` returns when the rows are durable, so an answer sent to a client after it holds across a
power cut. The Delta log is the write-ahead log: no second one is kept. How durability is reached, and
what happens after a crash, is told in `kinprint.server.store.durability`; compaction and erasure are in
`kinprint.server.store.maintenance`.

One file: the schema, appending, reading and recovery are one account of what a table is at each moment.

One `Record` may be used by one appending thread (more take turns) and any number of reading threads.
One process at a time may append to a table: hold the `DirectoryLock` of the data directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import polars as pl
from deltalake import (
    ColumnProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError
from deltalake.schema import MapType, PrimitiveType
from kinprint.server.store import digests, durability, files
from kinprint.server.store.disk import READ_ONLY
from kinprint.server.store.durability import FORMAT, FormatTooNew, RecordDamaged
from kinprint.server.store.location import readable, seen_by_delta

__all__ = [
    "DELETE",
    "DELTA_SCHEMA",
    "FILL",
    "FORMAT",
    "PUT",
    "SCHEMA",
    "STATISTICS_COLUMNS",
    "Commit",
    "FormatTooNew",
    "Record",
    "RecordBusy",
    "RecordDamaged",
    "RecordExists",
    "RecordNotFound",
    "RecordWriteError",
    "SchemaMismatch",
    "Snapshot",
    "empty_frame",
]

logger = logging.getLogger(__name__)

PUT: Final = 0
"""``op`` of a row that carries a transcript."""
DELETE: Final = 1
"""``op`` of a row that takes an id away."""
FILL: Final = 2
"""``op`` of a row that adds channel columns to the put with the same id and content hash."""

SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "seq": pl.Int64(),
        "op": pl.Int8(),
        "model": pl.String(),
        "prompt_key": pl.String(),
        "prompt_id": pl.String(),
        "prompt": pl.String(),
        "response": pl.String(),
        "language": pl.String(),
        "created_at": pl.Datetime("us", "UTC"),
        "account_id": pl.String(),
        "metadata": pl.Map(pl.String(), pl.String()),
        "system_prompt": pl.String(),
        "conversation_id": pl.String(),
        "turn": pl.Int32(),
        "reasoning": pl.String(),
        "content_hash": pl.Binary(),
        "pipeline": pl.Int32(),
        "sketch": pl.Binary(),
        "text_hash": pl.Binary(),
        "shingles": pl.Int32(),
        "style": pl.Binary(),
        "embedding": pl.Binary(),
    }
)
"""Columns of format 1, in order, as Polars types.

``id``, ``seq`` and ``op`` are never null. ``content_hash`` and ``text_hash`` have 16 bytes, ``sketch``
512 (128 little-endian uint32), ``style`` 512 (int8), ``embedding`` as many a sentence as the corpus'
space says (int8 coordinates, sentence after sentence; little-endian float16 where the space is of
format 1). ``model`` of a fill that carries an embedding is the digest of the embedding model; null: the
first that the corpus had. ``metadata`` is a Delta ``map<string,string>``: Polars reads and writes it as
``pl.Map``, so it needs no encoding of its own, and any other Delta reader sees a map.
"""

REQUIRED: Final = ("id", "seq", "op")
STATISTICS_COLUMNS: Final = ("id", "seq", "op", "created_at")
"""The only columns whose smallest and largest values are written to the log and to Parquet footers.

Statistics of a text column hold the beginnings of texts, which would outlive their erasure.
"""

_FIXED_BYTES: Final[Mapping[str, int]] = {"content_hash": 16, "text_hash": 16, "sketch": 512, "style": 512}
_MAP = MapType(PrimitiveType("string"), PrimitiveType("string"), value_contains_null=True)
_DELTA_TYPES: Final[Mapping[pl.DataType, PrimitiveType | MapType]] = {
    pl.String(): PrimitiveType("string"),
    pl.Int64(): PrimitiveType("long"),
    pl.Int32(): PrimitiveType("integer"),
    pl.Int8(): PrimitiveType("byte"),
    pl.Binary(): PrimitiveType("binary"),
    pl.Datetime("us", "UTC"): PrimitiveType("timestamp"),
    pl.Map(pl.String(), pl.String()): _MAP,
}
DELTA_SCHEMA: Final = Schema(
    [Field(name, _DELTA_TYPES[dtype], nullable=name not in REQUIRED) for name, dtype in SCHEMA.items()]
)
"""`SCHEMA` as a Delta schema."""

ROW_GROUP_ROWS: Final = 16_384
"""Rows in a Parquet row group: what a streaming reader holds at once (about 64 MiB with an embedding)."""

_CHECKPOINT_EVERY: Final = 50  # commits; without it commit latency grows with the length of the log
_MAINTENANCE_LOCK: Final = "_kinprint_maintenance.lock"
_MAINTENANCE_PATIENCE_S: Final = 60.0
_TABLE_PROPERTIES: Final[Mapping[str, str]] = {
    "kinprint.format": FORMAT,
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS_COLUMNS),
    # Log entries are removed by maintenance alone, after the checkpoint that replaces them is durable.
    "delta.enableExpiredLogCleanup": "false",
}
NO_HOOKS: Final = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
"""Checkpoints are made by the record, which flushes them; never by delta-rs on its own."""


def writer_properties(level: int = 3) -> WriterProperties:
    """How data files are written: zstd, no statistics outside `STATISTICS_COLUMNS`, no dictionaries.

    Dictionaries do not pay for columns whose values differ by row, and the rest compresses as well.  Appends use level
    1, which takes two thirds of the time and 3 % more room; maintenance rewrites with level 3.
    """
    return WriterProperties(
        compression="ZSTD",
        compression_level=level,
        max_row_group_size=ROW_GROUP_ROWS,
        default_column_properties=ColumnProperties(statistics_enabled="NONE"),
        column_properties={name: ColumnProperties(statistics_enabled="CHUNK") for name in STATISTICS_COLUMNS},
    )


class RecordNotFound(RuntimeError):  # noqa: N818
    """There is no record at this path."""


class RecordExists(RuntimeError):  # noqa: N818
    """There is a record at this path already."""


class RecordBusy(RuntimeError):  # noqa: N818
    """A maintenance run of an earlier process is still at work on this table."""


class RecordWriteError(RuntimeError):
    """An append failed (disk full, I/O error) and was not acknowledged.

    The table can still be read. Repeat the append when the cause is gone; repeating is safe even where
    the failed one did leave its rows, because readers drop repeats by id and content hash.
    """


class SchemaMismatch(ValueError):  # noqa: N818
    """Rows do not fit `SCHEMA`: an unknown column, a wrong type, a null or a length not allowed."""


class Commit(NamedTuple):
    """An acknowledged append: the version it made, and the data files it added (relative paths)."""

    version: int
    files: tuple[str, ...]


class Snapshot(NamedTuple):
    """A durable version of the table.

    ``files`` are the active data files as the log names them, relative to the table and sorted;
    ``entry_digest`` is the SHA-256 of the version's log entry, in hexadecimal. Together they say whether
    a generation built earlier belongs to this table and what it lacks.
    """

    version: int
    files: tuple[str, ...]
    entry_digest: str


def empty_frame() -> pl.DataFrame:
    """A frame of `SCHEMA` without rows."""
    return pl.DataFrame(schema=SCHEMA)


class Record:
    """A corpus's Delta table. Make one with `create` or `open`."""

    def __init__(self, path: Path, snapshot: Snapshot) -> None:
        """Not for callers: use `create` or `open`."""
        self._path = path
        self._writing = threading.RLock()
        self._snapshot = snapshot  # replaced whole, never changed: readers take it without the lock
        self._table: DeltaTable | None = None
        self._readable = readable(path)
        self._checked: set[str] = set()
        self._checkpoint = max(durability.checkpoints(path), default=0)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make an empty record at ``path`` (and the directories above it), durably.

        Raises
        ------
        RecordExists
            If there is one already.
        RecordWriteError
            If it cannot be written.
        """
        table = Path(path).absolute()
        existing = next(parent for parent in table.parents if parent.exists())
        try:
            table.mkdir(parents=True, exist_ok=True)
            with maintenance_lock(table):
                if durability.guard(table).version is not None:
                    raise RecordExists(f"there is a record at {table} already")
                with seen_by_delta(table) as seen:
                    DeltaTable.create(
                        seen,
                        DELTA_SCHEMA,
                        configuration=dict(_TABLE_PROPERTIES),
                        raise_if_key_not_exists=False,
                        post_commithook_properties=NO_HOOKS,
                    )
                entry = durability.sync_version(table, 0)
                for directory in (table, *table.parents):
                    files.fsync_directory(directory)
                    if directory == existing:
                        break
                durability.write_marker(table, durability.Marker(0, entry.digest))
        except (DeltaError, OSError) as error:
            raise RecordWriteError(f"cannot create a record at {table}: {error}") from error
        return cls(table, Snapshot(0, (), entry.digest))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open the record at ``path``, after bringing it back to its last intact version.

        Unacknowledged versions that a crash tore are moved to ``_quarantine/`` with a warning in the log;
        intact ones above the last acknowledged version are kept and made durable.

        Raises
        ------
        RecordNotFound
            If there is no record.
        RecordDamaged
            If acknowledged data is missing or unreadable. Nothing was changed then.
        FormatTooNew
            If a newer Kinprint wrote it. Nothing was changed then.
        RecordBusy
            If maintenance started by an earlier process does not end within a minute.
        """
        table = Path(path).absolute()
        if not durability.log_directory(table).is_dir():
            raise RecordNotFound(f"there is no record at {table}")
        with maintenance_lock(table):
            return cls(table, recover(table))

    @property
    def path(self) -> Path:
        """The table's directory."""
        return self._path

    @property
    def version(self) -> int:
        """The newest durable version."""
        return self._snapshot.version

    def snapshot(self) -> Snapshot:
        """The newest durable version with its active files. Never one that is still being written."""
        return self._snapshot

    def entry_digest(self, version: int) -> str | None:
        """SHA-256 of the log entry of ``version``, in hexadecimal.

        None if that version is not durable yet, never was, or its entry has been cleaned up.
        """
        current = self._snapshot
        if version == current.version:
            return current.entry_digest
        if version > current.version or version < 0:
            return None
        try:
            return hashlib.sha256(durability.entry_path(self._path, version).read_bytes()).hexdigest()
        except FileNotFoundError:
            return None

    def read(self, files: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Scan data files lazily: every row as written, deletes, fills and superseded puts included.

        Parameters
        ----------
        files
            Which files, as a `Snapshot` or a `Commit` names them. None: all of the newest version.
        columns
            Which columns of `SCHEMA`, in this order. None: all.

        A column that a file lacks is null there; columns of later formats are ignored. Nothing is read
        until the frame is collected; ``collect(engine="streaming")`` holds a few row groups at a time.
        Rows come in no promised order. A file that maintenance has meanwhile removed raises on collect.

        Raises
        ------
        RecordDamaged
            If a file is not the one that was written. Each is looked at once a process.
        """
        names = self._snapshot.files if files is None else files
        wanted = list(SCHEMA) if columns is None else list(columns)
        unknown = [name for name in wanted if name not in SCHEMA]
        if unknown:
            raise SchemaMismatch(f"the record has no column {', '.join(unknown)}")
        # A replay reads file by file: the digest log is gone through for those alone that were not looked at.
        if fresh := [name for name in names if name not in self._checked]:
            durability.check_contents(self._path, fresh)
            self._checked.update(fresh)
        return scan_files(self._path, names).select(wanted)

    def append(self, frame: pl.DataFrame) -> Commit:
        """Append rows. When this returns they are durable.

        ``frame`` has columns of `SCHEMA` in any order; nullable ones may be absent. Integers of other
        widths are accepted where their values fit. A frame without rows makes no version.

        Raises
        ------
        SchemaMismatch
            If the rows do not fit. Nothing was written.
        RecordWriteError
            If they could not be written or made durable: not acknowledged, see there.
        """
        rows = conform(frame)
        with self._writing:
            if rows.is_empty():
                return Commit(self._snapshot.version, ())
            before = self._snapshot
            began = time.time()
            try:
                with self._handle() as table:
                    wider = len(table.schema().fields) > len(SCHEMA)  # a later minor format added columns
                    write_deltalake(
                        table,
                        rows,
                        mode="append",
                        schema_mode="merge" if wider else None,
                        writer_properties=writer_properties(1),
                        post_commithook_properties=NO_HOOKS,
                    )
                after, files = self._sync_from(before)
            except (DeltaError, OSError, ValueError) as error:
                self._table = None
                self._roll_back(before, began)
                raise RecordWriteError(f"append to {self._path} failed: {error}") from error
            if after.version == before.version:
                self._table = None
                raise RecordWriteError(f"append to {self._path} made no new version")
            # The rows are durable from here on, and may not be rolled back any more.
            self._snapshot = after
            try:
                durability.write_marker(self._path, durability.Marker(after.version, after.entry_digest))
            except OSError as error:
                raise RecordWriteError(
                    f"the rows are in {self._path}, but could not be marked as durable: {error}"
                ) from error
            if after.version - self._checkpoint >= _CHECKPOINT_EVERY:
                self._make_checkpoint(after.version)
            return Commit(after.version, files)

    def refresh(self) -> Snapshot:
        """Take over what maintenance in another process did, as `open` would, and return the newest version.

        Raises what `open` raises.
        """
        with self._writing:
            self._table = None
            with maintenance_lock(self._path):
                self._snapshot = recover(self._path)
            self._checkpoint = max(durability.checkpoints(self._path), default=0)
            return self._snapshot

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold back appends, so that another process may change the table; `refresh` at the end."""
        with self._writing:
            self._table = None
            try:
                yield
            finally:
                self.refresh()

    @contextlib.contextmanager
    def _handle(self) -> Iterator[DeltaTable]:
        """The table as delta-rs has it open; kept between calls where it is open under its own path."""
        if not self._readable:
            with seen_by_delta(self._path) as seen:
                yield DeltaTable(seen)
            return
        if self._table is None:
            self._table = DeltaTable(self._path)
        yield self._table

    def _sync_from(self, before: Snapshot) -> tuple[Snapshot, tuple[str, ...]]:
        """Make every version above ``before`` durable; the snapshot after it, and the files it added."""
        files = before.files
        added: list[str] = []
        version, digest = before.version, before.entry_digest
        while durability.entry_path(self._path, version + 1).exists():
            entry = durability.sync_version(self._path, version + 1)
            if entry.removed:
                files = tuple(name for name in files if name not in entry.removed)
                added = [name for name in added if name not in entry.removed]
            files += tuple(entry.added)
            added += entry.added
            version, digest = entry.version, entry.digest
        return Snapshot(version, tuple(sorted(files)), digest), tuple(added)

    def _roll_back(self, before: Snapshot, began: float) -> None:
        """Take versions above ``before`` off the log again, and away what the failed append wrote.

        Such a version was never acknowledged. After a failed fsync the kernel may report success on the
        next one although the data was lost, so it must not be offered a second time: its rows have to be
        written anew. Half-written files would keep a full disk full.
        """
        for above, path in sorted(durability.entries(self._path).items(), reverse=True):
            if above <= before.version:
                break
            try:
                path.unlink()
                files.fsync_directory(durability.log_directory(self._path))
            except OSError:
                logger.exception("could not take failed version %d off %s", above, self._path)
                return  # its data files must stay as long as it does
        active = set(before.files)
        log = durability.log_directory(self._path)
        for place, mark in ((self._path, "part-"), (log, "_commit_")):
            try:
                items = list(os.scandir(place))
            except OSError:
                logger.exception("could not look for what a failed append left in %s", place)
                continue
            for item in items:
                # A clock tick of slack; older files outside the table may be kept for a generation.
                fresh = item.stat().st_mtime >= began - 0.05
                if fresh and item.name.startswith(mark) and item.name not in active:
                    try:
                        os.unlink(item.path)
                    except OSError:
                        logger.exception("could not remove %s, left by a failed append", item.path)

    def _make_checkpoint(self, version: int) -> None:
        try:
            with self._handle() as table:
                table.create_checkpoint()
            durability.sync_checkpoint(self._path, version)
        except (DeltaError, OSError, KeyError) as error:
            # The rows are safe without it: the next append tries again.
            logger.warning("no checkpoint of %s at version %d: %s", self._path, version, error)
        else:
            self._checkpoint = version
        self._table = None


def opened(table: Path, version: int | None = None) -> DeltaTable:
    """A table at a version (None: the newest), to be asked what its log says; its data is not read through it."""
    with seen_by_delta(table) as seen:
        return DeltaTable(seen, version=version)


def scan_files(table: Path, names: Sequence[str]) -> pl.LazyFrame:
    """Scan data files of a record lazily as `SCHEMA`."""
    if not names:
        return empty_frame().lazy()
    return pl.scan_parquet(
        [durability.data_file(table, name) for name in names],
        schema=SCHEMA,
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
    )


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with all columns of `SCHEMA`, in its order and types. Raises SchemaMismatch."""
    unknown = [name for name in frame.columns if name not in SCHEMA]
    if unknown:
        raise SchemaMismatch(f"the record has no column {', '.join(unknown)}")
    columns: list[pl.Expr] = []
    for name, dtype in SCHEMA.items():
        if name not in frame.columns:
            if name in REQUIRED:
                raise SchemaMismatch(f"column {name} is missing")
            columns.append(pl.lit(None, dtype=dtype).alias(name))
            continue
        found = frame.schema[name]
        if found == dtype:
            columns.append(pl.col(name))
        elif found == pl.Null() or (found.is_integer() and dtype.is_integer()):
            columns.append(pl.col(name).cast(dtype, strict=True))
        else:
            raise SchemaMismatch(f"column {name} is {found}, expected {dtype}")
    try:
        rows = frame.select(columns) if frame.width else empty_frame()
    except pl.exceptions.InvalidOperationError as error:
        raise SchemaMismatch(f"an integer does not fit its column: {error}") from error
    for name in REQUIRED:
        if rows[name].null_count():
            raise SchemaMismatch(f"column {name} has a null")
    if not rows["op"].is_in([PUT, DELETE, FILL]).all():
        raise SchemaMismatch("op is neither put (0) nor delete (1) nor fill (2)")
    for name, size in _FIXED_BYTES.items():
        if not (rows[name].bin.size() == size).all():
            raise SchemaMismatch(f"column {name} has a value that is not {size} bytes long")
    return rows


def recover(table: Path) -> Snapshot:
    """Run the start-up guard, check the active files, make the newest version durable and return it.

    The caller holds `maintenance_lock`. Raises as `Record.open`.
    """
    unmarked = durability.read_marker(table) is None
    report = durability.guard(table)
    if report.version is None:
        raise RecordNotFound(f"there is no record at {table}")
    if unmarked:
        _refuse_shortened(table, report.version)
    try:
        delta = opened(table)
    except DeltaError as error:
        raise RecordDamaged(
            durability.log_directory(table),
            f"the log cannot be read: {error}",
            "Restore it from a backup or a replica.",
        ) from error
    found = delta.metadata().configuration.get("kinprint.format")
    if found is None:
        raise RecordNotFound(f"{table} is a Delta table, but not a record")
    durability.check_format(table, found)
    protocol = delta.protocol()
    if protocol.min_reader_version > 1:
        raise FormatTooNew(table, f"Delta reader {protocol.min_reader_version}", f"{FORMAT} (Delta reader 1)")
    actions = pl.DataFrame(delta.get_add_actions(flatten=True))
    sizes: dict[str, int] = dict(zip(actions["path"].to_list(), actions["size_bytes"].to_list(), strict=True))
    durability.check_active_files(table, sizes)
    version = delta.version()
    marker = durability.read_marker(table)
    first = marker.version + 1 if marker is not None else 0
    for above in range(first, version + 1):
        if durability.entry_path(table, above).exists():
            durability.sync_version(table, above)
    digest = hashlib.sha256(durability.entry_path(table, version).read_bytes()).hexdigest()
    if marker is None or marker.version != version:
        durability.write_marker(table, durability.Marker(version, digest))
    return Snapshot(version, tuple(sorted(sizes)), digest)


def _refuse_shortened(table: Path, newest: int) -> None:
    """Raise RecordDamaged where a log without its marker ends before a version that the digest log tells of."""
    log = durability.log_directory(table)
    names = (Path(name) for name in digests.read_log(table))
    known = [int(name.stem) for name in names if name.parent.name == log.name and name.stem.isdigit()]
    if known and max(known) > newest:
        missing = durability.entry_path(table, max(known))
        raise RecordDamaged(
            missing, "this log entry is missing, and so is the marker of the record", durability.RESTORE
        )


@contextlib.contextmanager
def maintenance_lock(table: Path, patience_s: float = _MAINTENANCE_PATIENCE_S) -> Iterator[None]:
    """Keep out other maintenance of this table, which may outlive the process that started it.

    Raises RecordBusy if it is not free within ``patience_s`` seconds.
    """
    try:
        fd = os.open(table / _MAINTENANCE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        fd = os.open(table / _MAINTENANCE_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise RecordBusy(f"maintenance of {table} is still running") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(fd)
