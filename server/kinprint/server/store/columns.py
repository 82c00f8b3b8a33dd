"""Between Arrow or Polars columns and the NumPy arrays that kernels take, without Python loops."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def text_buffers(
    column: pl.Series | pa.Array | pa.ChunkedArray,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes and offsets of a text column: `data uint8[nbytes]`, `offsets int64[n + 1]`.

    Zero-copy for one-chunk LargeUtf8; Polars' string views are gathered once, in Rust.  Nulls read as
    empty texts.
    """
    if isinstance(column, pl.Series):
        column = column.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())
    n = len(column)
    _validity, offsets, data = column.buffers()
    if n == 0 or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(n + 1, np.int64)
    starts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + n + 1]
    if data is None:
        return np.zeros(0, np.uint8), starts
    return np.frombuffer(data, np.uint8), starts


def encode_texts(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes and offsets of a few Python strings (queries; not for bulk)."""
    encoded = [t.encode() for t in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def rows_to_binary(matrix: NDArray) -> pl.Series:
    """One little-endian binary value per row of `matrix [n, d]`."""
    matrix = np.ascontiguousarray(matrix)
    n, width = matrix.shape[0], matrix.itemsize * int(np.prod(matrix.shape[1:]))
    offsets = np.arange(n + 1, dtype=np.int64) * width
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(matrix.view(np.uint8).reshape(-1))]
    )
    return pl.Series(pl.from_arrow(array))


def binary_to_rows(column: pl.Series, dtype: np.dtype | type, width: int) -> NDArray:
    """Inverse of `rows_to_binary` for a column without nulls: a matrix [n, width].

    Raises ValueError when a value has another length: the row was written by another pipeline.
    """
    n = len(column)
    data, offsets = _binary_buffers(column)
    expected = width * np.dtype(dtype).itemsize
    lengths = np.diff(offsets)
    if not (lengths == expected).all():
        raise ValueError(f"expected {expected} bytes a row, found {int(lengths[lengths != expected][0])}")
    return data.view(dtype).reshape(n, width)


def _binary_buffers(column: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes of all values and the n + 1 offsets into the column's buffer."""
    if len(column) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    array = array.cast(pa.large_binary())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(column) + 1]
    return np.frombuffer(array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]], offsets


def ragged_to_binary(matrix: NDArray, starts: NDArray[np.int64]) -> pl.Series:
    """One little-endian binary value per group of rows `matrix[starts[i]:starts[i + 1]]`."""
    matrix = np.ascontiguousarray(matrix)
    offsets = np.ascontiguousarray(starts, np.int64) * (matrix.itemsize * matrix.shape[1])
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(starts) - 1,
        [None, pa.py_buffer(offsets), pa.py_buffer(matrix.view(np.uint8).reshape(-1))],
    )
    return pl.Series(pl.from_arrow(array))


def binary_to_ragged(column: pl.Series, dtype: np.dtype | str, width: int) -> tuple[NDArray, NDArray[np.int64]]:
    """Inverse of `ragged_to_binary` for a column without nulls: (matrix [s, width], starts int64[n + 1]).

    Raises ValueError when a value is no whole number of rows.
    """
    data, offsets = _binary_buffers(column)
    row = width * np.dtype(dtype).itemsize
    starts = (offsets - offsets[0]) // row
    if ((offsets - offsets[0]) % row != 0).any():
        raise ValueError(f"a value is no whole number of rows of {row} bytes")
    return data.view(dtype).reshape(-1, width), starts


def map_column(values: Iterable[Mapping[str, str]]) -> pl.Series:
    """Map column of string pairs; an empty mapping reads as null."""
    offsets: list[int | None] = []
    keys: list[str] = []
    items: list[str] = []
    for value in values:
        offsets.append(len(keys) if value else None)
        keys.extend(value)
        items.extend(value.values())
    offsets.append(len(keys))
    pairs = pa.array(keys, pa.string()), pa.array(items, pa.string())
    return pl.Series(pl.from_arrow(pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), *pairs)))


def id_hashes(ids: Iterable[str]) -> NDArray[np.uint64]:
    """64-bit hash per id, for look-ups that verify the id itself afterwards."""
    digest = b"".join(hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(digest, np.uint64)
