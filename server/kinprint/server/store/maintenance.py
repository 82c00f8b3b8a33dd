"""Compaction and erasure of a record, in a process of their own.

``python -m kinprint.server.store.maintenance compact PATH`` merges small data files, makes a checkpoint,
and removes data files and log entries that nobody needs any more.
``... purge PATH`` erases rows for good. Both print one JSON object: the version, and what was done.

A process of their own, because the memory that these need in delta-rs and Arrow does not go back to the
system: `run_compact` and `run_purge` start it, wait, and take over the new version. Appends to the same
`Record` wait meanwhile; reads go on. The process holds the table's maintenance lock, so when the server
dies, the next one that opens the table waits until this is done.

Every step leaves a valid table behind: new data files are durable before the log entry that names them,
the entry and its checkpoint are durable before anything they replace is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from kinprint.server.failures import MaintenanceFailed
from kinprint.server.store import digests, durability, files
from kinprint.server.store.disk import plain
from kinprint.server.store.location import seen_by_delta
from kinprint.server.store.lock import read_holder
from kinprint.server.store.record import (
    FILL,
    NO_HOOKS,
    PUT,
    REQUIRED,
    ROW_GROUP_ROWS,
    STATISTICS_COLUMNS,
    Record,
    Snapshot,
    maintenance_lock,
    recover,
    scan_files,
    writer_properties,
)

__all__ = [
    "SMALL_FILES",
    "Maintained",
    "compact",
    "erase_superseded",
    "purge",
    "run_compact",
    "run_purge",
]

SMALL_FILES: Final = 200
"""Small data files from which on `compact` merges them."""

SMALL_BYTES: Final = 16 << 20
"""Size below which a data file counts as small."""

MERGED_BYTES: Final = 128 << 20
"""Size that merged data files aim at."""

_ERROR: Final = re.compile(r"[A-Za-z_][\w.]*(Error|Damaged|Busy|NotFound|TooNew|Mismatch|Exit)\b")
_KEY: Final = ("id", "seq", "op", "content_hash")  # identifies a row for erasure


class Maintained(NamedTuple):
    """What a maintenance run did.

    ``snapshot`` is the newest version now, ``erased`` the number of rows that were erased, ``removed`` the
    number of files (data, log, quarantine) that were unlinked.
    """

    snapshot: Snapshot
    erased: int
    removed: int


def compact(
    path: str | os.PathLike[str],
    keep: Collection[str] = (),
    keep_versions: Collection[int] = (),
    *,
    small_files: int = SMALL_FILES,
) -> Maintained:
    """Merge small data files if there are more than ``small_files``, and clean up.

    ``keep`` names data files that somebody still reads (a generation being built, an open scan): they
    stay on disk although the newest version no longer has them. Other data files outside the newest
    version are removed, left-overs of failed appends included, and log entries below the newest
    version, except those from the lowest of ``keep_versions`` on (versions whose ``entry_digest`` somebody
    will ask for). No row is dropped.

    Call it in the process that holds the table's data directory, or use `run_compact`.
    """
    table = Path(path).absolute()
    with maintenance_lock(table):
        before = recover(table)
        durability.check_contents(table, before.files)
        sizes = [durability.data_file(table, name).stat().st_size for name in before.files]
        if sum(size < SMALL_BYTES for size in sizes) > small_files:
            with seen_by_delta(table, before.files) as seen:
                DeltaTable(seen).optimize.compact(
                    target_size=MERGED_BYTES,
                    max_concurrent_tasks=1,
                    writer_properties=writer_properties(),
                    post_commithook_properties=NO_HOOKS,
                )
        after = recover(table)
        removed = _clean_up(table, after, keep, keep_from=min(keep_versions, default=after.version))
        return Maintained(after, 0, removed)


def purge(
    path: str | os.PathLike[str],
    ids: Collection[str] | None = None,
    *,
    predicate: str | None = None,
) -> Maintained:
    """Erase rows: afterwards no file under ``path`` holds them.

    Parameters
    ----------
    ids
        Every row of these ids is erased, their deletes and fills included.
    predicate
        A condition in Polars SQL over columns of the record, such as ``account_id = 'a17'``. Rows that
        meet it are erased; so are the fills of puts that are erased, and, where the newest row of an
        id meets it, all rows of that id: nothing older comes back in its place.

    Exactly one of the two is given. Whole quarantine, left-overs of failed appends, data files and log
    entries of older versions are removed, for they may hold the rows as well; so there is no ``keep``, and
    generations that were built from the record have to be rebuilt by the caller. Blocks of a removed file
    are freed, not overwritten: what a device or a file-system snapshot keeps of them is beyond this.

    Raises
    ------
    ValueError
        If not exactly one of ``ids`` and ``predicate`` is given, or the predicate is not one.
    """
    if (ids is None) == (predicate is None):
        raise ValueError("give ids or a predicate, and not both")
    table = Path(path).absolute()
    with maintenance_lock(table):
        before = recover(table)
        durability.check_contents(table, before.files)
        rows = scan_files(table, before.files)
        if ids is not None:
            wanted = pl.LazyFrame({"id": pl.Series(list(ids), dtype=pl.String)})
            doomed = rows.select(_KEY).join(wanted, on="id", how="semi")
        else:
            assert predicate is not None
            doomed = _doomed_by(rows, predicate)
        return _erase(table, before, doomed)


def erase_superseded(path: str | os.PathLike[str]) -> Maintained:
    """Erase every row that no longer counts.

    Of each id stay the newest put and the fills with its content hash; ids whose newest row is a delete
    vanish, and fills without a put. Otherwise like `purge`.
    """
    table = Path(path).absolute()
    with maintenance_lock(table):
        before = recover(table)
        durability.check_contents(table, before.files)
        rows = scan_files(table, before.files).select(_KEY)
        return _erase(table, before, _superseded(rows))


def _heads(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The row that counts for each id: the highest seq; on a tie a delete, then the highest hash."""
    return (
        rows.filter(pl.col("op") != FILL)
        .select(_KEY)
        .group_by("id")
        .agg(pl.col("seq", "op", "content_hash").sort_by("seq", "op", "content_hash").last())
    )


def _superseded(rows: pl.LazyFrame) -> pl.LazyFrame:
    heads = _heads(rows).rename({"seq": "head_seq", "op": "head_op", "content_hash": "head_hash"})
    same = pl.col("content_hash").eq_missing(pl.col("head_hash"))
    stays = (
        (pl.col("head_op") == PUT)
        & same
        & ((pl.col("op") == FILL) | ((pl.col("op") == PUT) & (pl.col("seq") == pl.col("head_seq"))))
    )
    return rows.join(heads, on="id", how="left").filter(~stays.fill_null(False)).select(_KEY)


def _doomed_by(rows: pl.LazyFrame, predicate: str) -> pl.LazyFrame:
    try:
        condition = pl.sql_expr(predicate)
        met = rows.filter(condition).select(_KEY).collect(engine="streaming").lazy()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"not a condition over the record's columns: {predicate!r} ({error})") from error
    keys = rows.select(_KEY)
    whole = _heads(keys).join(met, on=_KEY, how="semi", nulls_equal=True).select("id")
    rest = keys.join(whole, on="id", how="anti")
    puts = rest.filter(pl.col("op") == PUT).join(met, on=_KEY, how="anti", nulls_equal=True)
    lost = met.filter(pl.col("op") == PUT).join(puts, on=["id", "content_hash"], how="anti", nulls_equal=True)
    fills = rest.filter(pl.col("op") == FILL).join(lost, on=["id", "content_hash"], how="semi", nulls_equal=True)
    return pl.concat([met, keys.join(whole, on="id", how="semi"), fills]).unique()


def _erase(table: Path, before: Snapshot, doomed: pl.LazyFrame) -> Maintained:
    keys = doomed.unique().collect(engine="streaming")
    actions: list[AddAction | RemoveAction] = []
    erased = 0
    for name in before.files if keys.height else ():
        here = scan_files(table, [name]).select(_KEY).join(keys.lazy(), on=_KEY, how="semi", nulls_equal=True)
        count = here.select(pl.len()).collect(engine="streaming").item()
        if not count:
            continue
        erased += count
        replacement = _rewrite(table, name, keys)
        now = int(time.time() * 1000)
        size = durability.data_file(table, name).stat().st_size
        actions.append(RemoveAction(name, True, now, size, {}))
        if replacement is not None:
            actions.append(replacement)
    if actions:
        files.fsync_directory(table)
        with seen_by_delta(table) as seen:
            delta = DeltaTable(seen)
            delta.create_write_transaction(actions, "append", delta.schema(), post_commithook_properties=NO_HOOKS)
    after = recover(table)
    return Maintained(after, erased, _clean_up(table, after, (), keep_from=after.version, everything=True))


def _rewrite(table: Path, name: str, keys: pl.DataFrame) -> AddAction | None:
    """Write the rows of one data file that stay into a new one, durably. None if none stay."""
    fresh = f"part-00000-{uuid4()}-c000.zstd.parquet"
    target = table / fresh
    rows = 0
    extremes: list[pl.DataFrame] = []
    writer: pq.ParquetWriter | None = None
    schema: pa.Schema | None = None
    try:
        with pq.ParquetFile(durability.data_file(table, name)) as source:
            for batch in source.iter_batches(batch_size=ROW_GROUP_ROWS):
                kept = pl.DataFrame(batch).join(keys, on=_KEY, how="anti", nulls_equal=True, maintain_order="left")
                if kept.is_empty():
                    continue
                part = kept.to_arrow(compat_level=pl.CompatLevel.oldest())
                if writer is None:
                    schema = pa.schema([field.with_nullable(field.name not in REQUIRED) for field in part.schema])
                    writer = pq.ParquetWriter(
                        target,
                        schema,
                        compression="zstd",
                        compression_level=3,
                        write_statistics=list(STATISTICS_COLUMNS),
                        write_page_checksum=True,
                    )
                writer.write_table(part.cast(schema), row_group_size=ROW_GROUP_ROWS)
                rows += kept.height
                extremes.append(kept.select("id", "seq", "op"))
        if writer is not None:
            writer.close()
    except BaseException:
        with contextlib.suppress(Exception):
            if writer is not None:
                writer.close()
        target.unlink(missing_ok=True)  # half of a file would keep a full disk full
        raise
    if writer is None:
        return None
    files.fsync_file(target)
    return AddAction(fresh, target.stat().st_size, {}, int(time.time() * 1000), True, _statistics(extremes, rows))


def _statistics(parts: Sequence[pl.DataFrame], rows: int) -> str:
    """Delta file statistics of the columns that have them, except ``created_at``.

    The protocol cuts times to milliseconds there; to leave statistics out is always allowed.
    """
    kept = pl.concat(parts)
    names = [name for name in STATISTICS_COLUMNS if name in kept.columns]
    return json.dumps(
        {
            "numRecords": rows,
            "minValues": {name: kept[name].min() for name in names},
            "maxValues": {name: kept[name].max() for name in names},
            "nullCount": dict.fromkeys(names, 0),
        }
    )


def _clean_up(table: Path, newest: Snapshot, keep: Collection[str], *, keep_from: int, everything: bool = False) -> int:
    """Checkpoint ``newest``, then remove what it does not need. Returns how many files were removed.

    Log entries from version ``keep_from`` on stay. ``everything`` also empties the quarantine.
    """
    with seen_by_delta(table) as seen:
        DeltaTable(seen).create_checkpoint()
    durability.sync_checkpoint(table, newest.version)
    removed = 0
    stay = {durability.data_file(table, name) for name in (*newest.files, *keep)}
    for file in _files_under(table):
        if file not in stay:
            file.unlink()
            removed += 1
    files.fsync_directory(table)

    log = durability.log_directory(table)
    needed = {
        durability.entry_path(table, newest.version),
        durability.checkpoints(table)[newest.version],
        log / "_last_checkpoint",
        *(path for version, path in durability.entries(table).items() if version >= keep_from),
    }
    # Oldest first: a crash in the middle leaves a log without a hole above its oldest entry.
    for file in sorted(path for path in log.iterdir() if path.is_file() and path not in needed):
        file.unlink()
        removed += 1
    files.fsync_directory(log)
    kept = (path for path in (*stay, *needed) if path.exists())
    digests.keep_log(table, [durability.relative(table, path) for path in kept])

    quarantine = durability.quarantine_directory(table)
    if everything and quarantine.is_dir():
        for file in sorted(quarantine.iterdir()):
            file.unlink()
            removed += 1
        files.fsync_directory(quarantine)
    return removed


def _files_under(table: Path) -> Iterator[Path]:
    """Files in the table that are not its own (those begin with ``_``): data, and halves of data files."""
    for directory, below, names in os.walk(table):
        if Path(directory) == table:
            below[:] = [name for name in below if not name.startswith(("_", "."))]
            names = [name for name in names if not name.startswith("_")]
        for name in names:
            yield Path(directory) / name


def run_compact(
    record: Record | str | os.PathLike[str],
    keep: Collection[str] = (),
    keep_versions: Collection[int] = (),
    *,
    small_files: int = SMALL_FILES,
) -> Snapshot:
    """`compact` in a process of its own. Returns the newest version.

    Give the open `Record` if this process has one: its appends wait, and it takes over the new version.

    Raises
    ------
    MaintenanceFailed
        If the process failed; its last words are in the message.
    """
    request = {"keep": sorted(keep), "keep_versions": sorted(keep_versions)}
    return _run(record, ["compact", "--small-files", str(small_files)], request)


def run_purge(
    record: Record | str | os.PathLike[str],
    ids: Collection[str] | None = None,
    *,
    predicate: str | None = None,
) -> Snapshot:
    """`purge` in a process of its own; with neither ids nor predicate, `erase_superseded`.

    What to erase goes through a pipe, not the command line, where every user could read it. Else as
    `run_compact`.
    """
    if ids is not None and predicate is not None:
        raise ValueError("give ids or a predicate, and not both")
    request = {"ids": None if ids is None else sorted(ids), "predicate": predicate}
    return _run(record, ["purge"], request)


def _run(record: Record | str | os.PathLike[str], arguments: list[str], request: dict[str, Any]) -> Snapshot:
    if isinstance(record, Record):
        with record.exclusive():
            _spawn(record.path, arguments, request)
        return record.snapshot()
    _spawn(Path(record), arguments, request)
    return Record.open(record).snapshot()


def _spawn(path: Path, arguments: list[str], request: dict[str, Any]) -> None:
    command = [
        sys.executable,
        "-m",
        __spec__.name if __spec__ else __name__,
        *arguments,
        str(path),
        "--request",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        lines = plain(done.stderr).strip().splitlines()
        # The last line of a traceback names the error, whose own words may go on below.
        at = max((k for k, line in enumerate(lines) if _ERROR.match(line)), default=len(lines) - 1)
        words = " ".join(lines[at:])[:800] if lines else "it said nothing"
        raise MaintenanceFailed(f"{arguments[0]} of {path} ended with status {done.returncode}: {words}")


def _refuse_if_held(table: Path) -> None:
    """Exit if a process other than this one and the one that started it holds the data directory."""
    for directory in table.parents:
        if not (directory / "kinprint.json").exists():
            continue
        holder = read_holder(directory)
        if holder is not None and holder.pid not in (os.getpid(), os.getppid()):
            raise SystemExit(f"{directory} is held by process {holder.pid}; stop it, or ask it to do this")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's description."""
    parser = argparse.ArgumentParser(prog="python -m kinprint.server.store.maintenance", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    compacting = actions.add_parser("compact", help="merge small data files and clean up")
    compacting.add_argument("--small-files", type=int, default=SMALL_FILES, help="merge if there are more")
    purging = actions.add_parser("purge", help="erase rows; without ids or condition, the superseded ones")
    which = purging.add_mutually_exclusive_group()
    which.add_argument("--ids-from", metavar="FILE", help="ids to erase, one to a line")
    which.add_argument("--where", metavar="CONDITION", help="erase rows that meet it (Polars SQL)")
    for action in (compacting, purging):
        action.add_argument("path", type=Path, metavar="PATH", help="the record's directory")
        action.add_argument(
            "--request",
            action="store_true",
            help="read the files to keep, or what to erase, as JSON from stdin",
        )
    options = parser.parse_args(arguments)
    _refuse_if_held(options.path.absolute())
    request: dict[str, Any] = json.load(sys.stdin) if options.request else {}
    if options.action == "compact":
        done = compact(
            options.path,
            request.get("keep", ()),
            request.get("keep_versions", ()),
            small_files=options.small_files,
        )
    else:
        ids = request.get("ids")
        predicate = request.get("predicate", options.where)
        if options.ids_from is not None:
            ids = Path(options.ids_from).read_text("utf-8").splitlines()
        if ids is None and predicate is None:
            done = erase_superseded(options.path)
        else:
            done = purge(options.path, ids, predicate=predicate)
    result = {"version": done.snapshot.version, "files": len(done.snapshot.files)}
    print(json.dumps({**result, "erased": done.erased, "removed": done.removed}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
