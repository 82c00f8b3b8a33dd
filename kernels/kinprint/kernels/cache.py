"""Where machine code is kept between processes: a folder that can be written to, found without Numba.

Numba keeps it beside the sources, or in the user's cache where these are read-only.  Where neither can be written to
(an image that is mounted read-only, an account without a home), it refuses; a folder for temporary files that is this
user's alone takes its place then, since machine code is run as it lies there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

__all__ = ["folder", "settle", "temporary"]

_BESIDE = Path(__file__).parent / "__pycache__"
_VARIABLE = "NUMBA_CACHE_DIR"


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(place, os.W_OK)


def _of_user() -> Path | None:
    """The folder of the user's cache, whether it is there or not; None where there is no home."""
    with contextlib.suppress(RuntimeError):  # neither HOME nor an entry in the list of users
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "kinprint")
    return None


def _usual() -> Path | None:
    """The folder that needs no setting."""
    places = (_BESIDE, _of_user())
    return next((place for place in places if place is not None and _writable(place)), None)


def _temporary() -> Path:
    import tempfile

    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir(), f"kinprint-{owner}", "kernels")


def _private(place: Path) -> bool:
    """Make a folder that nobody else can write to; whether it is one."""
    try:
        for folder in (place.parent, place):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            found = folder.lstat()
            ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if not stat.S_ISDIR(found.st_mode) or not ours or stat.S_IMODE(found.st_mode) & 0o077:
                return False
    except OSError:
        return False
    return os.access(place, os.W_OK)


def settle() -> None:
    """See to it that Numba finds a folder, in this process and those that it starts."""
    if os.environ.get(_VARIABLE) or _usual() is not None:
        return
    place = _temporary()
    if _private(place):
        os.environ[_VARIABLE] = str(place)
        if (config := sys.modules.get("numba.core.config")) is not None:
            config.CACHE_DIR = str(place)  # type: ignore[attr-defined]  # it has read the variable already


def folder() -> Path | None:
    """The folder, in which stamps lie beside machine code; None: nothing is kept."""
    settle()
    named = os.environ.get(_VARIABLE)
    if not named:
        return _usual()
    return Path(named) if _writable(Path(named)) else None


def temporary() -> Path | None:
    """The folder, where it is one for temporary files, which may be emptied at any time."""
    found = folder()
    return found if found == _temporary() else None
