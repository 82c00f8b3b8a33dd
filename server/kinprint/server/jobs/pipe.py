"""Messages between a server and its workers: pickles whose arrays and Arrow buffers travel beside them, uncopied.

Both ends are processes of one server and of one version; nobody else can reach the pipe.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import Any

_COUNT = struct.Struct("<I")
_SIZE = struct.Struct("<Q")
#: Bytes asked of the system at once; a pipe holds 64 KiB anyway.
_AT_ONCE = 1 << 20


class PipeClosed(EOFError):  # noqa: N818 - says what happened
    """The other end has gone."""


def send(fd: int, message: Any) -> None:
    """Write one message; blocks while the other end does not read. Raises PipeClosed."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    try:
        _write(fd, memoryview(_COUNT.pack(len(parts)) + b"".join(_SIZE.pack(part.nbytes) for part in parts)))
        for part in parts:
            _write(fd, part)
    except (BrokenPipeError, OSError) as error:
        raise PipeClosed("the other process has gone") from error


def receive(fd: int) -> Any:
    """Read one message; blocks until it is whole. Raises PipeClosed at the end of the stream."""
    (count,) = _COUNT.unpack(_read(fd, _COUNT.size))
    sizes = [_SIZE.unpack(_read(fd, _SIZE.size))[0] for _ in range(count)]
    head, *buffers = [_read(fd, size) for size in sizes]
    return pickle.loads(head, buffers=buffers)


def _write(fd: int, data: memoryview) -> None:
    data = data.cast("B")
    while data.nbytes:
        data = data[os.write(fd, data[:_AT_ONCE]) :]


def _read(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        got = os.readv(fd, [view[done : done + _AT_ONCE]])
        if got == 0:
            raise PipeClosed("the other process has gone")
        done += got
    return data
