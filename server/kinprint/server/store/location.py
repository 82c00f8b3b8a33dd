"""Where delta-rs finds a table: at the table's own path, or in a view of it where that path is none that it reads.

delta-rs turns a path into a URL and back more than once: ``%41`` in it becomes ``A``, a backslash a separator, and at
``[ ] ^ |`` it panics.  It resolves links first, so that none leads around this.  What does is a *view*: a folder under
a path that it reads, whose ``_delta_log`` is a link to that of the table.  delta-rs commits to the table's own log;
data files that it writes into the view are moved to the table before anything is acknowledged.  A crash in between
leaves a log entry whose data files are missing, which the guard puts aside as every other torn version.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

__all__ = ["UnusablePath", "check_path", "readable", "seen_by_delta"]

_LOG = "_delta_log"
#: Characters that delta-rs refuses or takes for others, and what it would decode.
_MISREAD = re.compile(r"[\[\]^|\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")
#: Where a view may be, beside the usual folder for temporary files.
_PLACES = ("/tmp", "/var/tmp")


class UnusablePath(OSError):  # noqa: N818
    """No data can be at this path; the message says why."""


def readable(path: Path) -> bool:
    """Whether delta-rs finds what is at a path, links resolved."""
    return _MISREAD.search(os.path.realpath(path)) is None


def check_path(path: Path) -> None:
    """Refuse a data directory that its libraries could not read.

    Raises
    ------
    UnusablePath
        If the path, links resolved, is not valid UTF-8.
    """
    try:
        os.path.realpath(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UnusablePath(
            f"the path {os.fsencode(path)!r} is not valid UTF-8, which the libraries that write the record need: "
            "give the directory another name"
        ) from None


@contextlib.contextmanager
def seen_by_delta(table: Path, data: Sequence[str] = ()) -> Iterator[Path]:
    """The path under which delta-rs is to open ``table``, for the time of the block.

    Parameters
    ----------
    table
        Directory of the table; it must exist.
    data
        Data files that delta-rs has to read, as the log calls them.

    At the end of a block that raises nothing, what was written into a view is in the table (not yet durable).

    Raises
    ------
    UnusablePath
        If there is nowhere to put a view.
    """
    if readable(table):
        yield table
        return
    view = Path(tempfile.mkdtemp(prefix="kinprint-view-", dir=_place()))  # this user's alone
    try:
        (table / _LOG).mkdir(exist_ok=True)
        (view / _LOG).symlink_to(os.path.realpath(table / _LOG))
        for name in data:
            (view / unquote(name)).symlink_to(os.path.realpath(table / unquote(name)))
        yield view
        for item in os.scandir(view):
            if not item.is_symlink():
                shutil.move(item.path, table / item.name)
    finally:
        shutil.rmtree(view, ignore_errors=True)


def _place() -> str:
    for place in (tempfile.gettempdir(), *_PLACES):
        if os.access(place, os.W_OK | os.X_OK) and readable(Path(place)):
            return place
    raise UnusablePath(
        "delta-rs cannot read a path with [ ] ^ | \\ or %41, and there is no folder for temporary files under another: "
        "set TMPDIR to one, or rename the data directory"
    )
