"""Failed writes: whether the disk is full, or read-only, damaged or gone, and what a caller is told."""

from __future__ import annotations

import errno
import re

from kinprint.server.failures import Failure, StorageFailed, StorageFull

_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x1b")


def plain(text: str) -> str:
    """A text of a library without the codes that colour it on a terminal."""
    return _CODES.sub("", text)


READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Of a file that may be read and not written."""


def is_full(error: BaseException | None) -> bool:
    """Whether a failure, or what it came from, is that of a full disk: blocks, inodes or quota."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        told = str(error)  # of libraries that hand no number on
        if "No space left on device" in told or "(os error 28)" in told or "Disk quota exceeded" in told:
            return True
        error = error.__cause__ or error.__context__
    return False


def storage_failure(what: str, error: BaseException, then: str = "then retry") -> Failure:
    """The failure for what could not be written, and what to do: free space, or mend the disk, `then` ..."""
    words = " ".join(plain(str(error)).split())
    told = f"{what}: {words}" if words else what
    if is_full(error):
        return StorageFull(f"{told}; free space, {then}")
    return StorageFailed(f"{told}; the disk is not full: look whether it is there, whole and writable, {then}")
