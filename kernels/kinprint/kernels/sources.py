"""What a module of kernels is made from: its source and that of the kernels that are compiled into it.

Numba looks at a kernel's own file only when it decides whether cached machine code is stale, while LLVM puts the code
of helpers from other modules into it. :mod:`~kinprint.kernels.jit` therefore adds the digest from here to what is
looked at.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_TABLES: Final = HERE / "tables" / "unicode.npz"
_NOT_COMPILED: Final = {HERE / f"{name}.py" for name in ("cache", "sources", "spread", "turn", "units", "warm")}
_IMPORTS: Final = re.compile(r"^from (?:kinprint\.kernels\.|\.)([\w.]+) import ", re.MULTILINE)


@cache
def _contents(path: Path) -> tuple[bytes, frozenset[Path]]:
    """Digest of a file, and the files of ours that it imports; the Unicode tables are one of those."""
    data = path.read_bytes()
    if path.suffix != ".py":
        return sha256(data).digest(), frozenset()
    names = _IMPORTS.findall(data.decode())
    found = {HERE.joinpath(*name.split(".")).with_suffix(".py") for name in names}
    if path.name == "unicode.py":
        found.add(_TABLES)
    return sha256(data).digest(), frozenset(other for other in found - _NOT_COMPILED if other.exists())


@cache
def digest(path: Path) -> str:
    """Digest of a module of kernels and of all that it imports from this package, directly or not."""
    seen: set[Path] = set()
    waiting = {path}
    while waiting:
        one = waiting.pop()
        seen.add(one)
        waiting |= _contents(one)[1] - seen
    state = sha256()
    for one in sorted(seen):
        state.update(one.name.encode() + _contents(one)[0])
    return state.hexdigest()


def digest_of_all() -> str:
    """Digest of every module of kernels."""
    state = sha256()
    for folder in (HERE, HERE / "copy", HERE / "style"):
        for path in sorted(folder.glob("*.py")):
            if path not in _NOT_COMPILED:
                state.update(path.name.encode() + _contents(path)[0])
    state.update(_contents(_TABLES)[0])
    return state.hexdigest()
