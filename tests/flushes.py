"""What a process asks the disk for, and in what order: writes to where a file stands, flushes, renames, removals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Step(NamedTuple):
    """One of `write`, `flush`, `rename` (of the new name) and `remove`, and of what."""

    kind: str
    path: Path


class Steps(list[Step]):
    """Steps in their order."""

    def place(self, kind: str, path: Path) -> int:
        """Where a step is for the first time.  Raises ValueError where it is not."""
        return self.index(Step(kind, path))

    def last(self, kind: str, path: Path) -> int:
        """Where a step is for the last time.  Raises ValueError where it is not."""
        return len(self) - 1 - self[::-1].index(Step(kind, path))

    def of(self, kind: str) -> list[Path]:
        """What one kind of steps was done to."""
        return [step.path for step in self if step.kind == kind]


def _path_of(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


@contextmanager
def recorded_steps() -> Iterator[Steps]:
    """Record steps while the block lasts; all of them are done as well."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not tell which file a descriptor is of")
    steps = Steps()
    fsync, pwrite, rename, replace, unlink = os.fsync, os.pwrite, os.rename, os.replace, os.unlink

    def flush(descriptor: int) -> None:
        steps.append(Step("flush", _path_of(descriptor)))
        fsync(descriptor)

    def write(descriptor: int, data: bytes, offset: int) -> int:
        steps.append(Step("write", _path_of(descriptor)))
        return pwrite(descriptor, data, offset)

    def renamed(source: Any, target: Any, **options: Any) -> None:
        rename(source, target, **options)
        steps.append(Step("rename", Path(target)))

    def replaced(source: Any, target: Any, **options: Any) -> None:
        replace(source, target, **options)
        steps.append(Step("rename", Path(target)))

    def removed(path: Any, **options: Any) -> None:
        unlink(path, **options)
        if "dir_fd" not in options or options["dir_fd"] is None:
            steps.append(Step("remove", Path(path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", flush)
        patch.setattr(os, "pwrite", write)
        patch.setattr(os, "rename", renamed)
        patch.setattr(os, "replace", replaced)
        patch.setattr(os, "unlink", removed)
        yield steps
