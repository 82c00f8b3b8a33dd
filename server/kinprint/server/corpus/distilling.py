"""Distilling: the fast tier's table fitted to sentences of a corpus; a run in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kinprint.server.corpus.view import View
from kinprint.server.progress import Progress


@dataclass(frozen=True, slots=True)
class Distilled:
    """A table that was fitted, in a folder of that name of the corpus, and its worth on what it did not see."""

    digest: str
    sentences: int
    held_out: int
    cosine_before: float
    cosine_after: float
    recall_before: float
    recall_after: float


def distil(view: View, model: str, table: str, folder: str, sentences: int) -> Iterator[Progress | Distilled]:
    raise NotImplementedError
    yield
