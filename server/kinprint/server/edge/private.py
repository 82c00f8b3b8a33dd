"""Files and folders that are their owner's alone."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

#: Folders 0700 and files 0600, of everything that this process and those that it starts make.
UMASK = 0o077


class NotPrivate(OSError):  # noqa: N818
    """A folder that must be this user's alone is not; the message says what to do."""


def keep_private(data: Path) -> None:
    """Close a data directory to other users, whatever lies in it: they cannot pass its uppermost folder."""
    found = data.stat()
    if not stat.S_IMODE(found.st_mode) & UMASK:
        return
    try:
        data.chmod(0o700)
    except OSError as error:
        logger.warning(
            "other users of this machine may read %s, and it cannot be closed to them (%s); run, as its owner: "
            "chmod -R go-rwx %s",
            data,
            error.strerror,
            data,
        )
    else:
        logger.info("%s was open to other users of this machine; it is its owner's alone now (0700)", data)


def private_folder(folder: Path) -> None:
    """Make a folder in a place where anybody may, or check that it is ours alone.  Raises NotPrivate, OSError."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{folder} is no folder: somebody else may have put it there; remove it")
    if found.st_uid != os.getuid():
        raise NotPrivate(
            f"{folder} belongs to another user (id {found.st_uid}), who could stand in for this server; have it "
            "removed, or set TMPDIR to a folder of your own"
        )
    if stat.S_IMODE(found.st_mode) & UMASK:
        raise NotPrivate(f"{folder} is open to other users of this machine; run: chmod 700 {folder}")
