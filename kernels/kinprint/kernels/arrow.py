"""The Arrow layout of text that every public function takes, and the addresses that every kernel reads.

Arrow keeps text as bytes with offsets (LargeUtf8, Utf8) or as 16-byte views into several buffers (StringView, which
is what Polars holds). Kernels read either in place: a :class:`Texts` names the address and the length of each text,
so that no layout is ever turned into another and nothing is copied or padded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numba
import numpy as np
from kinprint.kernels.jit import kernel
from numba import extending, types
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False, slots=True)
class Texts:
    """n texts in memory that belongs to somebody else."""

    addresses: NDArray[np.uint64]
    """uint64[n]: where each text begins."""
    lengths: NDArray[np.int64]
    """int64[n]: its bytes of UTF-8. Nulls have none."""
    owner: object
    """Keeps the memory alive."""

    def __len__(self) -> int:
        return int(self.addresses.size)

    def take(self, rows: slice | NDArray[np.int64]) -> Texts:
        """Some of the texts, in the order of ``rows``; no bytes move."""
        return Texts(np.ascontiguousarray(self.addresses[rows]), np.ascontiguousarray(self.lengths[rows]), self.owner)

    def data(self, row: int) -> NDArray[np.uint8]:
        """Bytes of one text, uint8[length], where they are; good for as long as the owner is."""
        return _mapped(int(self.addresses[row]), int(self.lengths[row]), np.uint8)

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Several collections as one; no bytes move."""
        if len(parts) == 1:
            return parts[0]
        addresses = np.concatenate([p.addresses for p in parts]) if parts else np.empty(0, np.uint64)
        lengths = np.concatenate([p.lengths for p in parts]) if parts else np.empty(0, np.int64)
        return cls(addresses, lengths, [p.owner for p in parts])

    @classmethod
    def from_offsets(cls, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Texts:
        """Texts of Arrow's LargeUtf8: ``data`` uint8[nbytes], ``offsets`` int64[n + 1] (see :func:`check_texts`)."""
        check_texts(data, offsets)
        addresses = offsets[:-1].astype(np.uint64) + np.uint64(data.ctypes.data)
        return cls(addresses, np.diff(offsets), data)

    @classmethod
    def from_arrow(cls, column: Any) -> Texts:
        """Texts of anything that speaks the Arrow C data interface: a Polars Series, an Arrow array.

        Utf8, LargeUtf8 and StringView, in any number of chunks, are read where they are. Nulls read as empty texts.

        Raises
        ------
        TypeError
            If ``column`` is no Arrow column, or holds no text.
        """
        if hasattr(column, "__arrow_c_stream__"):
            schema, arrays = _stream(column.__arrow_c_stream__())
        elif hasattr(column, "__arrow_c_array__"):
            capsules = column.__arrow_c_array__()
            pointers = (_pointer(capsules[0], b"arrow_schema"), _pointer(capsules[1], b"arrow_array"))
            schema = ctypes.cast(pointers[0], ctypes.POINTER(_Schema)).contents.format.decode()
            arrays = [_Owned(ctypes.cast(pointers[1], ctypes.POINTER(_Array)).contents, capsules)]
        else:
            raise TypeError(f"a {type(column).__name__} is no Arrow column")
        if schema not in _READERS:
            raise TypeError(f"the column holds {schema!r} (Arrow format), not text")
        pieces = [_READERS[schema](owned.array) for owned in arrays]
        if len(pieces) == 1:
            return cls(*pieces[0], arrays)
        addresses = [a for a, _ in pieces] or [np.empty(0, np.uint64)]
        lengths = [n for _, n in pieces] or [np.empty(0, np.int64)]
        return cls(np.concatenate(addresses), np.concatenate(lengths), arrays)


def from_texts(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Arrow layout of a few Python strings, for examples and tests; frames have their buffers already."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def check_texts(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """Refuse anything that would make a kernel read out of bounds.

    ``data`` is uint8[nbytes], ``offsets`` int64[n + 1], both one-dimensional and C-contiguous (read-only maps are
    fine); offsets do not decrease and stay within ``data``; they may start above 0. That ``data`` is valid UTF-8 is the
    caller's word: Arrow guarantees it, and on anything else results are unspecified but memory-safe.

    Raises
    ------
    ValueError
        If one of these does not hold.
    """
    if data.dtype != np.uint8 or data.ndim != 1 or not data.flags.c_contiguous:
        raise ValueError(f"data must be a contiguous uint8[nbytes], not {data.dtype}{list(data.shape)}")
    if offsets.dtype != np.int64 or offsets.ndim != 1 or offsets.size == 0 or not offsets.flags.c_contiguous:
        raise ValueError(f"offsets must be a contiguous int64[n + 1], not {offsets.dtype}{list(offsets.shape)}")
    if offsets[0] < 0 or offsets[-1] > data.size or bool(np.any(offsets[1:] < offsets[:-1])):
        raise ValueError(f"offsets must not decrease and must stay within 0..{data.size}")


@kernel
def grown(rows: NDArray[np.int64], filled: int, size: int) -> NDArray[np.int64]:
    """Room for ``size`` rows of a table int64[n, k], with the first ``filled`` in it.

    A loop in place of slices, for which Numba compiles the text of an error as well, which takes seconds.
    """
    larger = np.empty((size, rows.shape[1]), np.int64)
    for i in range(filled):
        for j in range(rows.shape[1]):
            larger[i, j] = rows[i, j]
    return larger


def frozen(array: NDArray[T]) -> NDArray[T]:
    """A read-only view of ``array``.

    Numba compiles one version of a kernel for read-only and another for writable arrays. Public functions pass views
    from here, so that memory maps and ordinary arrays run the same machine code.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@kernel
def room_for_hashes(n: int) -> NDArray[np.uint64]:
    """An empty uint64[n], allocated by Numba.

    NumPy asks the system for large pages where an array is large, and the system may compact its memory before it gives
    them. That took half as long again as the sketching of the texts whose sketches the array was for.
    """
    return np.empty(n, np.uint64)


# ---- reading memory ----


def _intrinsic(body: Callable[..., Any]) -> Any:
    """Numba's own annotation of an intrinsic is that of its body, not of its call."""
    return extending.intrinsic(body)


def _as_pointer(typingctx: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.uint64), codegen


_pointer_to: Callable[[np.uint64], Any] = _intrinsic(_as_pointer)


@kernel
def memory(address: np.uint64, length: int) -> NDArray[np.uint8]:
    """The bytes at an address as uint8[length], for kernels; they are never written."""
    view: NDArray[np.uint8] = numba.carray(  # type: ignore[attr-defined]
        _pointer_to(address), (length,), np.uint8
    )
    return view


# ---- the Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html) ----


class _Schema(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private_data", ctypes.c_void_p),
    )


class _Stream(ctypes.Structure):
    _fields_ = (
        ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
        ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private_data", ctypes.c_void_p),
    )


class _Owned:
    """An exported array: released when the last reader is gone, or with the capsule it came in."""

    def __init__(self, array: _Array, capsules: object = None) -> None:
        self.array = array
        self._address = ctypes.addressof(array)
        self._capsules = capsules

    def __del__(self) -> None:
        if self._capsules is None and self.array.release:
            self.array.release(self._address)


def _pointer(capsule: object, name: bytes) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(get(capsule, name))


def _stream(capsule: object) -> tuple[str, list[_Owned]]:
    """Arrow format and chunks of an exported stream."""
    address = _pointer(capsule, b"arrow_array_stream")
    stream = ctypes.cast(address, ctypes.POINTER(_Stream)).contents
    schema = _Schema()
    if stream.get_schema(address, ctypes.addressof(schema)):
        raise TypeError(f"the column cannot be read: {stream.get_last_error(address)!r}")
    kind = schema.format.decode()
    schema.release(ctypes.addressof(schema))
    chunks: list[_Owned] = []
    while True:
        array = _Array()
        if stream.get_next(address, ctypes.addressof(array)):
            raise TypeError(f"the column cannot be read: {stream.get_last_error(address)!r}")
        if not array.release:
            return kind, chunks
        chunks.append(_Owned(array))


def _mapped(address: int | None, count: int, dtype: type[np.generic]) -> NDArray[Any]:
    """``count`` values at an address; none where Arrow leaves a buffer out."""
    if not address or count == 0:
        return np.zeros(count, dtype)
    size = count * np.dtype(dtype).itemsize
    memory_at = memoryview((ctypes.c_char * size).from_address(address)).cast("B")
    found: NDArray[Any] = np.frombuffer(memory_at, np.dtype(dtype))
    return found


def _nulls(array: _Array) -> NDArray[np.bool_] | None:
    """Which of the texts are null, bool[n]; None when none is."""
    address = array.buffers[0]
    if not address or array.null_count == 0:
        return None
    bits = _mapped(address, (array.offset + array.length + 7) // 8, np.uint8)
    valid = np.unpackbits(bits, bitorder="little")[array.offset : array.offset + array.length]
    return np.asarray(valid == 0)


def _offset_texts(array: _Array, dtype: type[np.signedinteger]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    if array.length == 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    offsets = _mapped(array.buffers[1], array.offset + array.length + 1, dtype)[array.offset :]
    addresses = offsets[:-1].astype(np.uint64) + np.uint64(array.buffers[2] or 0)
    lengths = np.diff(offsets).astype(np.int64, copy=False)
    nulls = _nulls(array)
    return addresses, lengths if nulls is None else np.where(nulls, 0, lengths)


@kernel
def _views(
    views: NDArray[np.uint32],
    base: np.uint64,
    buffers: NDArray[np.uint64],
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
) -> None:
    """Addresses of views uint32[4 n]: the length, then 12 bytes of text, or its prefix, buffer and offset."""
    for i in range(addresses.size):
        n = np.int64(views[4 * i])
        lengths[i] = n
        if n <= 12:
            addresses[i] = base + np.uint64(16 * i + 4)
        elif views[4 * i + 2] < buffers.size:
            addresses[i] = buffers[views[4 * i + 2]] + np.uint64(views[4 * i + 3])
        else:  # a null, which may hold anything
            addresses[i] = base
            lengths[i] = 0


def _view_texts(array: _Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    n = array.length
    addresses, lengths = np.empty(n, np.uint64), np.empty(n, np.int64)
    if n == 0:
        return addresses, lengths
    views = _mapped(array.buffers[1], 4 * (array.offset + n), np.uint32)[4 * array.offset :]
    # The last buffer holds the sizes of those between it and the views.
    buffers = np.array([array.buffers[k] or 0 for k in range(2, array.n_buffers - 1)], np.uint64)
    base = np.uint64(int(array.buffers[1]) + 16 * array.offset)
    _views(frozen(views), base, frozen(buffers), addresses, lengths)
    nulls = _nulls(array)
    if nulls is not None:
        lengths[nulls] = 0
    return addresses, lengths


_READERS: dict[str, Callable[[_Array], tuple[NDArray[np.uint64], NDArray[np.int64]]]] = {
    "u": lambda array: _offset_texts(array, np.int32),
    "U": lambda array: _offset_texts(array, np.int64),
    "vu": _view_texts,
}
