"""Files that last: everything that is written below a data directory, the record's own table aside, is written here.

A file that replaces another is written beside it, flushed, renamed over it, and its folder is flushed: after a crash
there is the old one or the new one, and after the return the new one.  Files of a folder that is itself renamed into
place need no names of their own: `save_array` and `write_table` write and flush.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import xxhash
from numpy.typing import NDArray


def fsync_file(path: Path) -> None:
    """Flush one file's data and metadata to the device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_directory(path: Path) -> None:
    """Flush a directory, so that the names created, renamed or removed in it are durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file, open for writing, that takes the place of `path` when the block ends without an error.

    Until then it lies beside it, with the suffix `.new`; an error removes it.  Several processes may replace one file
    (what a cache directory holds), so the name bears the process.  Raises OSError.
    """
    scratch = path.with_name(f"{path.stem}.{os.getpid()}.new")
    try:
        with open(scratch, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


_CHECK = "check"


def _check_of(value: Mapping[str, Any]) -> str:
    told = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return xxhash.xxh3_128_hexdigest(told)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Put a JSON object in the place of `path`, durably, with a digest of itself as `check`.  Raises OSError."""
    kept = json.loads(json.dumps(value))  # as it will be read
    with replacing(path) as out:
        out.write(json.dumps({**kept, _CHECK: _check_of(kept)}, indent=1).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote, or an earlier version did, without a digest.

    Raises OSError; ValueError, naming the file, where it is damaged or holds no object.
    """
    if not path.is_file() and path.exists():  # a pipe would be waited for
        raise ValueError(f"{path} is no file")
    try:
        found = json.loads(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    check = found.pop(_CHECK, None)
    if check is not None and check != _check_of(found):
        raise ValueError(f"{path} is damaged: its digest is not that of its content")
    return found


def save_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Put an .npz of some arrays in the place of `path`, durably.  Raises OSError."""
    with replacing(path) as out:
        np.savez(out, **arrays)  # type: ignore[arg-type]


def save_array(path: Path, array: NDArray) -> None:
    """Write and flush an .npy in a folder that is not in its place yet.  Raises OSError."""
    with open(path, "wb") as out:
        np.save(out, np.ascontiguousarray(array), allow_pickle=False)
        out.flush()
        os.fsync(out.fileno())


def map_array(path: Path) -> NDArray:
    """Map what `save_array` wrote.  Raises OSError; ValueError or EOFError where it is damaged.

    Copy-on-write: pages are shared with the file, and kernels compile for one array type.
    """
    array: NDArray = np.load(path, mmap_mode="c", allow_pickle=False)
    return np.asarray(array)


def spilled(array: NDArray[Any]) -> NDArray[Any]:
    """The array mapped from a file without a name, which goes with it; it lies where `TMPDIR` says.

    Pages of it are the system's, to take back when it needs them.  Raises OSError.
    """
    if array.size == 0:
        return array
    with tempfile.TemporaryFile(prefix="kinprint-") as file:
        array.tofile(file)
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)


def load_array(path: Path) -> NDArray:
    """Read what `save_array` wrote.  Raises as `map_array`."""
    array: NDArray = np.load(path, allow_pickle=False)
    return array


def write_table(path: Path, table: pa.Table) -> None:
    """Write and flush a table as Arrow IPC, one record batch, in a folder that is not in its place yet."""
    with pa.OSFile(str(path), "wb") as out:
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=max(1, table.num_rows))
        out.flush()
    fsync_file(path)


def map_table(path: Path) -> pa.Table:
    """Map what `write_table` wrote.  Raises OSError, pyarrow.ArrowException."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


__all__ = [
    "fsync_directory",
    "fsync_file",
    "load_array",
    "map_array",
    "map_table",
    "read_json",
    "replacing",
    "save_array",
    "save_arrays",
    "write_json",
    "write_table",
]
