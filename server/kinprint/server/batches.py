"""Rows that a long run yields: typed columns where they are made and read, Arrow record batches in between."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa

C = TypeVar("C", bound="Columns")


class Columns:
    """Base of dataclasses whose fields are columns of one length n: lists of text, NumPy arrays [n] or [n, k].

    They pickle as a record batch, so that between processes numbers are not copied, and text goes as one buffer.
    """

    __slots__ = ()

    def to_arrow(self) -> pa.RecordBatch:
        """The columns under the names of the fields; a matrix as a fixed-size list."""
        columns = {f.name: _array(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return pa.record_batch(columns)

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch) -> Self:
        """The same columns again."""
        return cls(*(_values(batch.column(f.name)) for f in fields(cls)))  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_arrow())


def _restored(kind: type[C], batch: pa.RecordBatch) -> C:
    return kind.from_arrow(batch)


def _array(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray):
        if values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        return pa.array(values)
    return pa.array(values, pa.large_string())


def _values(column: pa.Array) -> Any:
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    if pa.types.is_large_string(column.type):
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False)
