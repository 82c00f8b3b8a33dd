"""Pins: the state of a corpus that another process opens as it was.

Segments that are mapped from files are linked into a folder of the job, so that a publish, a purge or the deletion of
the corpus meanwhile takes nothing away; the folder is removed as soon as the worker has mapped them. Rows that only
memory holds go through the pipe.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.meaning import Meaning
from kinprint.server.corpus.view import Part, View
from kinprint.server.store import generation
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PinnedPart:
    """A part of a view: the folder that its segment is mapped from, or the segment, and its living rows, bool[n]."""

    folder: str | None
    segment: Segment | None
    alive: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PinnedView:
    """A view that crosses to another process."""

    corpus: str
    parts: tuple[PinnedPart, ...]
    meaning: Meaning


def pin(value: Any, folder: Path) -> Any:
    """Arguments of a run with each view in them pinned; files are linked under `folder`, which is made when needed."""
    if isinstance(value, View):
        return _pin_view(value, folder)
    if isinstance(value, list | tuple):
        return type(value)(pin(item, folder) for item in value)
    return value


def unpin(value: Any) -> Any:
    """Arguments of a run with each pinned view opened; their files may be unlinked afterwards."""
    if isinstance(value, PinnedView):
        return _open_view(value)
    if isinstance(value, list | tuple):
        return type(value)(unpin(item) for item in value)
    return value


def _pin_view(view: View, folder: Path) -> PinnedView:
    parts = []
    for part in view.parts:
        if part.segment.folder is None:
            parts.append(PinnedPart(None, _without_caches(part.segment), part.alive))
            continue
        folder.mkdir(parents=True, exist_ok=True)
        linked = folder / str(sum(1 for _ in folder.iterdir()))
        generation.link_folder(Path(part.segment.folder), linked)
        parts.append(PinnedPart(str(linked), None, part.alive))
    return PinnedView(view.corpus, tuple(parts), view.meaning.without_table())


def _open_view(pinned: PinnedView) -> View:
    parts = []
    for part in pinned.parts:
        segment = part.segment if part.folder is None else generation.map_segment(Path(part.folder), CHANNELS)
        assert segment is not None
        parts.append(Part(segment, part.alive))
    return View(pinned.corpus, tuple(parts), pinned.meaning)


def _without_caches(segment: Segment) -> Segment:
    """The segment without what it has computed of itself, part of which are addresses in this process."""
    kept = {f.name: getattr(segment, f.name) for f in dataclasses.fields(segment) if not f.name.startswith("_")}
    # No run goes by fast vectors, nor by those of a second model.
    kept["chunks"] = {name: chunks for name, chunks in segment.chunks.items() if name in CHANNELS}
    return Segment(**kept)
