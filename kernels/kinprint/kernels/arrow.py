"""The Arrow layout of text that every public function takes: bytes and offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


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


def frozen(array: NDArray[T]) -> NDArray[T]:
    """A read-only view of ``array``.

    Numba compiles one version of a kernel for read-only and another for writable arrays. Public functions pass views
    from here, so that memory maps and ordinary arrays run the same machine code.
    """
    view = array.view()
    view.flags.writeable = False
    return view
