"""Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from kinprint.client.cli.terminal import err, warn
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY = 10.0


class ProgressReport:
    """Shows how far a job is.

    Args:
        title: what is done, a few words.
        quiet: show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._bar: Progress | None = None
        self._plain = not quiet and not err.is_terminal
        self._told = time.monotonic()
        if not quiet and err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(title, total=1.0, note="")

    def update(self, fraction: float | None, note: str) -> None:
        """Share done (None when it cannot be told), and a few words."""
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, total=None if fraction is None else 1.0, note=note)
        elif self._plain and time.monotonic() - self._told >= _PLAIN_EVERY:
            self._told = time.monotonic()
            share = "" if fraction is None else f" {fraction:.0%}"
            warn(f"{self._title}:{share} {note}")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
