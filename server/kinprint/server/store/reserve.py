"""A reserve: blocks of a disk that are kept for what must go on when it is full.

Deletes and purges free what a full disk needs, and take a little room for it themselves; a clean end writes too. The
file ``RESERVE`` of a data directory holds that room, and is given up when one of these finds the disk full. It is made
again when there is room.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Final

from kinprint.server.store.files import fsync_directory

logger = logging.getLogger(__name__)

BYTES: Final = 8 << 20
_NAME: Final = "RESERVE"
#: Times the reserve that has to be free before it is made again, so that it never takes the last room itself.
_ROOM: Final = 4


class Reserve:
    """The reserve of a data directory."""

    def __init__(self, data_dir: Path, size: int = BYTES) -> None:
        self._path = data_dir / _NAME
        self._size = size
        self._turn = threading.Lock()
        #: Why there is none, as it was told last; None while it is there.
        self._missing: str | None = None

    @property
    def held(self) -> bool:
        """Whether the room is there now."""
        try:
            return self._path.stat().st_blocks * 512 >= self._size
        except OSError:
            return False

    def fill(self) -> bool:
        """Have the reserve, where there is room for it; whether it is there."""
        with self._turn:
            if self.held:
                self._missing = None
                return True
            try:
                free = os.statvfs(self._path.parent)
                room, files = free.f_bavail * free.f_frsize, free.f_favail
                if room < _ROOM * self._size or 0 < files < _ROOM:
                    left = f"{room / (1 << 20):,.0f} MiB are" if room < _ROOM * self._size else f"{files} inodes are"
                    self._tell(
                        f"{left} free, and it is made once {_ROOM * self._size >> 20} MiB and {_ROOM} inodes are; "
                        "until then deletes and purges may fail when the disk is full, so free space now"
                    )
                    return False
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(fd, 0, self._size)
                finally:
                    os.close(fd)
                fsync_directory(self._path.parent)
            except OSError as error:
                self._tell(str(error))
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)
                return False
            if self._missing is not None:
                logger.info("the reserve at %s is made", self._path)
                self._missing = None
            return True

    def _tell(self, why: str) -> None:
        """Say that there is no reserve: once, and not after each commit on a disk that stays as full."""
        if self._missing is None:
            logger.warning("there is no reserve at %s: %s", self._path, why)
        self._missing = why

    def release(self) -> bool:
        """Give the room up; whether there was any."""
        with self._turn:
            try:
                self._path.unlink()
                fsync_directory(self._path.parent)
            except OSError:
                return False
            logger.warning("the disk of %s is full: its reserve is used for what has to go on", self._path.parent)
            return True
