"""Fingerprints of a column of text, as columns: Series in, Series out, without a Python object for any row.

Text is read where Polars keeps it. Columns are worked on in pieces, which bounds scratch memory and lets several
threads take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import shingle
from kinprint.kernels.copy import sketch as sketching
from kinprint.kernels.copy.shingle import Shingling, scheme_number
from kinprint.kernels.copy.sketch import PACKED_BITS, SLOTS, Packed, Scheme
from numpy.typing import NDArray

PIECE: Final = 65_536
"""Rows that are worked on at once."""
SKETCH_BITS: Final = (32, *PACKED_BITS)
"""Bits a slot on offer."""

_BITS_OF_BYTES: Final = {SLOTS * bits // 8: bits for bits in SKETCH_BITS}


def scheme(bits: int = 32, shingles: Shingling = "w3c5") -> str:
    """Label of what sketches are made with, to be stored beside them: they compare only where it is equal.

    ``kinprint.kernels.copy.sketch.Scheme.parse`` reads it.

    Raises:
        ValueError: ``bits`` or ``shingles`` is not on offer.
    """
    check_scheme(bits, shingles)
    return str(Scheme(shingles, bits=bits))


def check_scheme(bits: int, shingles: Shingling) -> None:
    """Raise ValueError unless sketches of that kind are on offer."""
    scheme_number(shingles)
    if bits not in SKETCH_BITS:
        raise ValueError(f"bits must be one of {', '.join(map(str, SKETCH_BITS))}, not {bits}")


def sketch_column(series: pl.Series, bits: int, shingles: Shingling) -> pl.Series:
    """Sketches of texts as Binary, little-endian: see `sketch`."""
    check_scheme(bits, shingles)
    return _in_pieces(_texts(series), partial(_sketch_piece, bits=bits, shingles=shingles))


def content_hash_column(series: pl.Series) -> pl.Series:
    """Hashes of normalised answers as Binary of 16 bytes: see `content_hash`."""
    return _in_pieces(_texts(series), _content_hash_piece)


def shingle_count_column(series: pl.Series, distinct: bool, shingles: Shingling) -> pl.Series:
    """Shingles of texts as Int64: see `shingle_count`."""
    scheme_number(shingles)
    return _in_pieces(_texts(series), partial(_shingle_count_piece, distinct=distinct, shingles=shingles))


def similarity_column(series: pl.Series, other: bytes) -> pl.Series:
    """Similarity of sketches with one sketch as Float32: see `similarity`."""
    check_sketch(other)
    if series.dtype not in (pl.Binary, pl.Null):
        raise ValueError(f"column {series.name!r} is {series.dtype}, not Binary: similarity is of sketches")
    return _in_pieces(series.cast(pl.Binary), partial(_similarity_piece, other=other))


def check_sketch(value: bytes) -> None:
    """Raise ValueError unless the value has the length of a sketch."""
    if len(value) not in _BITS_OF_BYTES:
        sizes = ", ".join(map(str, sorted(_BITS_OF_BYTES)))
        raise ValueError(f"a sketch has {sizes} bytes, not {len(value)}")


def _texts(series: pl.Series) -> pl.Series:
    if series.dtype not in (pl.String, pl.Null):
        raise ValueError(f"column {series.name!r} is {series.dtype}, not String: cast it to text first")
    return series.cast(pl.String)


def _in_pieces(series: pl.Series, column_of: Callable[[pl.Series], pl.Series]) -> pl.Series:
    pieces = [column_of(series.slice(start, PIECE)) for start in range(0, max(1, len(series)), PIECE)]
    return pl.concat(pieces, rechunk=False)


def _sketch_piece(series: pl.Series, bits: int, shingles: Shingling) -> pl.Series:
    made: NDArray[Any] = sketching.sketch_texts(Texts.from_arrow(series), shingles, text_hashes=False).signatures
    if bits < 32:
        made = sketching.pack(made, bits, shingles).data
    return _binary(series.name, made, _valid(series))


def _content_hash_piece(series: pl.Series) -> pl.Series:
    hashes = shingle.hashes_of(Texts.from_arrow(series))
    present = ~is_blank(hashes)
    return _binary(series.name, hashes, None if bool(present.all()) else present)


def _shingle_count_piece(series: pl.Series, distinct: bool, shingles: Shingling) -> pl.Series:
    counts = shingle.counts_of(Texts.from_arrow(series), shingles, distinct)
    return _with_nulls(pl.Series(series.name, counts), _valid(series))


def _similarity_piece(series: pl.Series, other: bytes) -> pl.Series:
    valid = _valid(series)
    rows = _rows(series.drop_nulls(), len(other))
    bits = _BITS_OF_BYTES[len(other)]
    query = np.frombuffer(other, np.uint8)
    if bits == 32:
        found = sketching.similarity(query.view(np.uint32), rows.view(np.uint32))
    else:
        # What the shingles were, the bytes do not say; both are taken to be of one scheme.
        kind = Scheme(bits=bits)
        found = sketching.packed_similarity(Packed(query[np.newaxis], kind), Packed(rows, kind))
    out = found
    if valid is not None:
        out = np.zeros(len(series), np.float32)
        out[valid] = found
    return _with_nulls(pl.Series(series.name, out), valid)


def is_blank(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the normalised answers with these hashes uint64[n, 2] are empty, bool[n]; calls a kernel."""
    return np.asarray((hashes == _hash_of_blank()).all(axis=1))


@cache
def _hash_of_blank() -> NDArray[np.uint64]:
    """The hash of every blank text, uint64[1, 2]."""
    return shingle.hashes_of(Texts.from_offsets(np.zeros(0, np.uint8), np.zeros(2, np.int64)))


def _valid(series: pl.Series) -> NDArray[np.bool_] | None:
    """Which values are there, bool[n]; None when all are."""
    return series.is_not_null().to_numpy() if series.null_count() else None


def _with_nulls(series: pl.Series, valid: NDArray[np.bool_] | None) -> pl.Series:
    if valid is None:
        return series
    return series.to_frame().select(pl.when(pl.Series(valid)).then(pl.col(series.name)).alias(series.name)).to_series()


def _binary(name: str, rows: NDArray[Any], valid: NDArray[np.bool_] | None) -> pl.Series:
    """One little-endian value a row of ``rows`` [n, d]; null where ``valid`` bool[n] says so."""
    rows = np.ascontiguousarray(rows)
    n, width = len(rows), rows.itemsize * rows.shape[1]
    offsets = np.arange(n + 1, dtype=np.int64) * width
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(rows.view(np.uint8).reshape(-1))]
    return pl.Series(name, pa.LargeBinaryArray.from_buffers(pa.large_binary(), n, buffers))


def _rows(series: pl.Series, width: int) -> NDArray[np.uint8]:
    """Values of a Binary column without nulls as uint8[n, width]; ValueError where one has another length."""
    sizes = series.bin.size()
    other = sizes.filter(sizes != width)
    if len(other):
        raise ValueError(f"column {series.name!r}: sketches of {width} and of {other[0]} bytes cannot be compared")
    if len(series) == 0:
        return np.empty((0, width), np.uint8)
    array = series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(array.buffers()[1], np.int64)
    data = np.frombuffer(array.buffers()[2], np.uint8)
    first = int(offsets[array.offset])
    return data[first : first + len(series) * width].reshape(-1, width)
