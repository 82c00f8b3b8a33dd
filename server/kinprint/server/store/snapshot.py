"""Files of a corpus taken into another folder: by hard link where nothing changes them in place, else by copy.

What a record and its indexes are made of is written once, or replaced by a rename, and may have two names: data files,
log entries, checkpoints, generations, tables, `corpus.json` and its like. Three files of a record are written to where
they stand, so that each side needs its own: the marker and the digest log, which are made anew here, and
``_last_checkpoint``, which is copied. Where a file system has no hard links, or not across this border, or no more of
them for a file, all is copied.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from kinprint.server.store import digests, durability, files
from kinprint.server.store.record import Snapshot, opened

#: What `link(2)` says where there is another way: other file system, none that links, too many links.
_NO_LINK: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_BLOCK: Final = 4 << 20
_HINT: Final = "_last_checkpoint"


@dataclass(frozen=True, slots=True)
class _Copy:
    source: Path
    target: Path


class Taking:
    """Files on their way from one folder to another.

    look: called before each file, and while one is copied; what it raises ends the work.
    """

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self._look = look
        self._later: list[_Copy] = []

    def take(self, source: Path, target: Path) -> None:
        """Give a file that does not change any more a second name; where that is refused, `finish` copies it.

        Raises OSError.
        """
        self._look()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._later.append(_Copy(source, target))

    def finish(self) -> None:
        """Copy what could not be linked, durably.

        Raises FileNotFoundError where a file has gone meanwhile; OSError.
        """
        for item in self._later:
            self._copy(item.source, item.target)
        self._later = []

    def _copy(self, source: Path, target: Path) -> None:
        with open(source, "rb", buffering=0) as read, open(target, "xb", buffering=0) as written:
            while block := read.read(_BLOCK):
                self._look()
                rest = memoryview(block)
                while rest:  # an unbuffered file may take a part
                    rest = rest[written.write(rest) :]
            os.fsync(written.fileno())


def state_of(table: Path) -> Snapshot:
    """The durable version of a record that no process writes to, as its marker and log tell it; nothing is changed.

    Raises digests.Damaged where they do not; OSError, DeltaError.
    """
    marker = durability.read_marker(table)
    if marker is None:
        raise digests.Damaged(table / durability.MARKER_NAME, "does not say which version of the record is durable")
    actions = pl.DataFrame(opened(table, marker.version).get_add_actions(flatten=True))
    return Snapshot(marker.version, tuple(sorted(actions["path"].to_list())), marker.entry)


def settings(folder: Path) -> list[str]:
    """Names of the small files that lie in a corpus' own folder: what it is called, its models and calibrations."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in (".json", ".npz") and not path.name.startswith(".") and path.is_file()
    )


def take_corpus(
    source: Path, target: Path, state: Snapshot, table: str | None, taking: Taking, *, leave: tuple[str, ...] = ()
) -> None:
    """Take the files of a corpus as of `state` into `target`, which is made; `Taking.finish` has to follow.

    Of an open corpus its turn to write is held.  `table` is the fitted table in use; `leave` names settings that are
    not taken.  Raises OSError.
    """
    target.mkdir()
    for name in settings(source):
        if name not in leave:
            taking.take(source / name, target / name)
    if table is not None:
        _take_tree(source / "tables" / table, target / "tables" / table, taking)
    _take_record(source / "record", target / "record", state, taking)
    generations = source / "generations"
    numbers = [int(path.name) for path in generations.iterdir() if path.name.isdigit()] if generations.is_dir() else []
    if numbers:
        newest = str(max(numbers))
        _take_tree(generations / newest, target / "generations" / newest, taking)


def _take_record(source: Path, target: Path, state: Snapshot, taking: Taking) -> None:
    log = durability.log_directory(source)
    names = [
        durability.relative(source, path)
        for version, path in (*durability.entries(source).items(), *durability.checkpoints(source).items())
        if version <= state.version
    ]
    data = [durability.relative(source, durability.data_file(source, name)) for name in state.files]
    for name in (*names, *data):
        taking.take(source / name, target / name)
    known = digests.read_log(source)
    # Log entries of a version before there were digests; a data file without one is compared row by row.
    known |= {name: digests.digest_of_file(source / name) for name in names if name not in known}
    digests.append_log(target, {name: known[name] for name in (*names, *data) if name in known})
    files.fsync_file(digests.log_path(target))
    durability.write_marker(target, durability.Marker(state.version, state.entry_digest))
    if (log / _HINT).exists():
        hint = durability.log_directory(target) / _HINT
        hint.write_bytes((log / _HINT).read_bytes())
        files.fsync_file(hint)


def _take_tree(source: Path, target: Path, taking: Taking) -> None:
    """Take a folder whole, without what is half built in it (`.NAME`, `NAME.PID.new`)."""
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.suffix == ".new":
            continue
        if path.is_dir():
            _take_tree(path, target / path.name, taking)
        else:
            taking.take(path, target / path.name)


def flush_folders(root: Path) -> None:
    """Flush a folder and all below it.  Raises OSError."""
    for folder, _below, _names in os.walk(root):
        files.fsync_directory(Path(folder))


def sizes(root: Path) -> tuple[int, int]:
    """Bytes of the files below a folder, and of those among them that have no other name."""
    every = own = 0
    for folder, _below, names in os.walk(root):
        for name in names:
            try:
                found = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            every += found.st_size
            own += found.st_size if found.st_nlink == 1 else 0
    return every, own
