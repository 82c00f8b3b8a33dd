"""A frame of any size as a file that is mapped into memory: pages, which the system takes back when it needs them."""

from __future__ import annotations

import errno
import io
import mmap
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
from numpy.typing import NDArray

BATCH: Final = 4096
"""Rows of a record batch; some are in memory while they are written."""

_WIDE: Final = (pl.Int128, pl.UInt128)
"""Types that PyArrow does not read; they are spooled as text."""


def spooled(frame: pl.LazyFrame, columns: list[str], directory: str | Path | None) -> pl.DataFrame:
    """Some columns of a frame, evaluated once by the streaming engine and kept in a file without a name.

    The file goes when the result does and all that was taken from it (see `detached`), or the process, in whatever way.

    Args:
        frame: what to evaluate.
        columns: names of columns, each once.
        directory: where the file is; None: where `tempfile` puts files, which `TMPDIR` says.

    Raises:
        OSError: there is no such directory, or no room in it.
    """
    schema = frame.collect_schema()
    wide = [name for name in columns if schema[name] in _WIDE]
    # Selectors take names as they are; pl.col would read one that begins with ^ and ends with $ as a pattern.
    selected = frame.select(cs.by_name(columns)).with_columns(cs.by_name(wide).cast(pl.String))
    with tempfile.TemporaryFile(dir=directory, prefix="kinprint-") as file:
        try:
            selected.sink_ipc(file, compression="uncompressed", record_batch_size=BATCH, engine="streaming")
        except OSError as error:
            if error.errno == errno.ENOSPC or "No space left" in str(error):
                error.add_note(f"in {directory or tempfile.gettempdir()}; TMPDIR or spool_dir= names another directory")
            raise
        pages = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    table = pa.ipc.open_file(pages).read_all()
    mapped = pl.DataFrame(table)
    return mapped.with_columns(mapped[name].cast(schema[name]) for name in wide)


def detached(frame: pl.DataFrame) -> pl.DataFrame:
    """A copy that shares no memory with a spool."""
    if frame.width == 0:
        return frame
    copy = io.BytesIO()
    frame.write_ipc(copy)
    copy.seek(0)
    return pl.read_ipc(copy)


def spilled(array: NDArray[Any], directory: str | Path | None = None) -> NDArray[Any]:
    """The array mapped from a file without a name, which goes with it.

    Raises:
        OSError: there is no such directory, or no room in it.
    """
    if array.size == 0:
        return array
    with tempfile.TemporaryFile(dir=directory, prefix="kinprint-") as file:
        array.tofile(file)
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)
