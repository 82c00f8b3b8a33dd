"""What several groups of types share: names of channels, matrices, and any result as plain data."""

from __future__ import annotations

import dataclasses
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ChannelName = Literal["copy", "semantic", "style"]
CHANNELS: tuple[ChannelName, ...] = ("copy", "semantic", "style")
TierName = Literal["fast", "accurate"]
TIERS: tuple[TierName, ...] = ("fast", "accurate")
_TYPECODES = {"float32": "f", "uint32": "I", "int8": "b", "uint64": "Q", "float64": "d"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A dense row-major matrix: little-endian bytes, `dtype` float32, float64, uint32, int8 or uint64."""

    data: bytes
    dtype: str
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (self.rows, self.columns)

    def tolist(self) -> list[list[Any]]:
        """The matrix as lists of Python numbers, without NumPy."""
        values: array[Any] = array(_TYPECODES[self.dtype])
        values.frombytes(self.data)
        if sys.byteorder == "big":
            values.byteswap()
        width = self.columns
        return [values[row * width : (row + 1) * width].tolist() for row in range(self.rows)]

    def numpy(self) -> NDArray[np.generic]:
        """The matrix as a read-only NumPy array over the same memory.

        Raises:
            ModuleNotFoundError: NumPy is not installed.
        """
        import numpy

        dtype = numpy.dtype(self.dtype).newbyteorder("<")
        return numpy.frombuffer(self.data, dtype=dtype).reshape(self.rows, self.columns)


def as_dict(value: Any) -> Any:
    """Plain data of a result: dataclasses become dicts, times ISO 8601 strings, bytes hexadecimal.

    Properties that a class names in `also` follow its fields.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (*(item.name for item in dataclasses.fields(value)), *getattr(value, "also", ()))
        return {name: as_dict(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): as_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_dict(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value
