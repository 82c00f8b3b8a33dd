"""Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import ClassVar, Self

from kinprint.client.cli.terminal import SILENCE, err, visible, warn
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
        waited: seconds of silence before this.
    """

    #: How many of them show something now.
    shown: ClassVar[int] = 0

    def __init__(self, title: str, *, quiet: bool = False, waited: float = 0.0) -> None:
        self._title = visible(title)
        self._bar: Progress | None = None
        self._plain = not quiet and not err.is_terminal
        self._begun = time.monotonic() - waited
        self._news = ""
        self._ended = threading.Event()
        self._teller: threading.Thread | None = None
        if not quiet and err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=None if waited else 1.0, note="")

    def update(self, fraction: float | None, note: str) -> None:
        """Share done (None when it cannot be told), and a few words."""
        note = visible(note)
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, total=None if fraction is None else 1.0, note=note)
        self._news = ("" if fraction is None else f" {fraction:.0%}") + (f" {note}" if note else "")

    def _tell(self) -> None:
        """A line after two seconds, and one now and then, whether there are news or not."""
        pause = max(0.0, SILENCE - (time.monotonic() - self._begun))
        while not self._ended.wait(pause):
            warn(f"{self._title}:{self._news} ({time.monotonic() - self._begun:.0f} s)")
            pause = _PLAIN_EVERY

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        if self._plain:
            self._teller = threading.Thread(target=self._tell, name="kinprint-progress", daemon=True)
            self._teller.start()
        ProgressReport.shown += self._plain or self._bar is not None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ProgressReport.shown -= self._plain or self._bar is not None
        self._ended.set()
        if self._teller is not None:
            self._teller.join()
        if self._bar is not None:
            self._bar.stop()
