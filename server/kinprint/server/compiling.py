"""Whether this machine has the machine code of the kernels, without importing any of them to find out.

Asking Numba costs the import of every kernel, most of a second; a note beside the cache saves it. The note is bound to
what Numba's cache is bound to: the sources, the libraries and the processor. Where it does not hold, nothing goes
wrong: kernels are asked, and what is missing is compiled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_NOTE = "compiled.json"


def compiled(groups: Sequence[str]) -> bool:
    """Whether all kernels of the groups are compiled."""
    note = _read_note()
    return note is not None and set(groups) <= set(note["groups"])


def compile(groups: Sequence[str], processes: int, progress: Callable[[int, int], None]) -> None:
    """Compile the kernels of the groups.

    Args:
        groups: "load", "search" and "jobs", as `kinprint.kernels.warm` names them.
        processes: how many to compile in at once.
        progress: called with the number of kernels that are done and of all; what it raises ends the work.
    """
    progress(0, 1)
    child = subprocess.Popen([sys.executable, "-c", "from kinprint.kernels.warm import warm_served; warm_served()"])
    try:
        while True:
            try:
                code = child.wait(0.5)
            except subprocess.TimeoutExpired:
                progress(0, 1)
            else:
                break
    except BaseException:
        child.kill()
        child.wait()
        raise
    if code != 0:
        raise RuntimeError(f"compiling ended with code {code}")
    _write_note(groups)
    progress(1, 1)


def load(groups: Sequence[str]) -> None:
    """Load the machine code of the groups into this process, compiling what is missing."""
    from kinprint.kernels.warm import warm_served

    warm_served()
    if not compiled(groups):
        _write_note(groups)


def _kernels_folder() -> Path:
    found = find_spec("kinprint.kernels")
    if found is None or found.origin is None:
        raise RuntimeError("kinprint.kernels is not installed")
    return Path(found.origin).parent


def _files(folder: Path, suffix: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path), suffix)
            elif entry.name.endswith(suffix):
                yield entry


def _bound_to(folder: Path) -> str:
    """A digest of what machine code depends on."""
    facts: list[Any] = [sys.version, platform.machine(), sorted(k + v for k, v in os.environ.items() if "NUMBA_C" in k)]
    for name in ("numba", "llvmlite"):
        with contextlib.suppress(PackageNotFoundError):
            facts.append(version(name))
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as text:
        # One processor's entry: model and features.
        facts += sorted({line for line in text if line.startswith(("model name", "flags", "Features", "CPU part"))})
    for entry in _files(folder, ".py"):
        state = entry.stat()
        facts.append((entry.path, state.st_mtime_ns, state.st_size))
    return hashlib.blake2b(repr(sorted(map(repr, facts))).encode(), digest_size=16).hexdigest()


def _count(folder: Path) -> int:
    """Indexes of Numba's cache beside the sources; 0 where it is kept elsewhere."""
    return sum(1 for _ in _files(folder, ".nbi"))


def _read_note() -> dict[str, Any] | None:
    try:
        folder = _kernels_folder()
        note: dict[str, Any] = json.loads((folder / "__pycache__" / _NOTE).read_text(encoding="utf-8"))
        holds = note["bound_to"] == _bound_to(folder) and note["files"] <= _count(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if holds and isinstance(note.get("groups"), list) else None


def _write_note(groups: Sequence[str]) -> None:
    folder = _kernels_folder()
    known = _read_note()
    note = {
        "bound_to": _bound_to(folder),
        "files": _count(folder),
        "groups": sorted({*groups, *(known["groups"] if known else ())}),
    }
    place = folder / "__pycache__" / _NOTE
    aside = place.with_name(f"{_NOTE}.{os.getpid()}")
    with contextlib.suppress(OSError):  # not ours to write: the next start asks again
        aside.write_text(json.dumps(note), encoding="utf-8")
        os.replace(aside, place)
