"""How a server process imports: quickly, and without what it has no use for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType


@contextmanager
def importing() -> Iterator[None]:
    """Around the imports of a process: they make no garbage to look for, and what they leave stays for good.

    Looking for it took a seventh of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def absent(package: str) -> Iterator[None]:
    """Meanwhile a package cannot be imported, unless it was before."""
    finder = _Absent(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def leave_out_what_is_not_used() -> None:
    """Have libraries find out now, and quickly, that others which they have a use for are not there.

    Whoever imports those later gets them.
    """
    # PyArrow looks for pandas with the first list or row that it converts: half a second, to know that it was given
    # no data frame.
    with absent("pandas"):
        import pyarrow as pa

        pa.array([0])
    # Numba looks for the linear algebra of SciPy before it loads its first kernel. No kernel uses any.
    with absent("scipy.linalg"):
        import numba.np.arraymath  # noqa: F401


class _Absent(MetaPathFinder):
    """Finds that there is no such package."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == self._package:
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
