"""Distilling: the fast tier's table fitted to sentences of a corpus; a run in a process of its own (see `jobs`)."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.corpus.view import View
from kinprint.server.failures import CorpusNotFound, InvalidField
from kinprint.server.progress import Progress

#: Distinct sentences without which a corpus has nothing to teach.
LEAST_SENTENCES = 200
#: Sentences taken of one answer at most, so that a few long ones do not stand for all.
_OF_ONE = 4
#: Where accurate vectors of a fit that was ended wait for the next, in the folder of the corpus' tables.
_CHECKPOINTS = ".checkpoints"


@dataclass(frozen=True, slots=True)
class Distilled:
    """A table that was fitted, in the corpus' folder of tables under `name`, and its worth on what it did not see."""

    name: str
    digest: str
    sentences: int
    held_out: int
    cosine_before: float
    cosine_after: float
    recall_before: float | None
    recall_after: float | None


def distil(view: View, model: str, table: str, tables: str, sentences: int) -> Iterator[Progress | Distilled]:
    """Fit a table to a corpus.

    `model` and `table` are the directories to start from, `tables` the folder for the new one.  Raises InvalidField
    where there are too few distinct sentences.
    """
    from kinprint.server.embed import OnnxEmbedder, load_space
    from kinprint.server.embed.distil import distil_corpus
    from kinprint.server.embed.static import StaticTable

    yield Progress("choosing sentences", 0.0)
    texts = sampled_sentences(view, sentences)
    if len(texts) < LEAST_SENTENCES:
        raise InvalidField(
            "corpus",
            f"corpus {view.corpus!r} has {len(texts)} distinct sentences; {LEAST_SENTENCES} are needed for a fit",
            "TOO_FEW_TEXTS",
        )
    yield Progress("loading the embedding model", 0.0)
    embedder = OnnxEmbedder(Path(model), threads=1, max_windows=2)
    space = load_space(embedder)
    start = StaticTable.load(Path(table))
    checkpoints = Path(tables) / _CHECKPOINTS
    if not Path(tables).parent.is_dir():
        raise CorpusNotFound(f"corpus {view.corpus!r} was deleted", field="corpus")
    checkpoints.mkdir(parents=True, exist_ok=True)
    made: list[Any] = []
    told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()

    def fit() -> None:
        try:
            made.append(
                distil_corpus(
                    start,
                    texts,
                    embedder,
                    space,
                    lambda step, share: told.put(Progress(step, share)),
                    checkpoints,
                    sentences=sentences,
                )
            )
        except BaseException as error:  # raised below, where the caller is
            made.append(error)
        finally:
            told.put(None)

    threading.Thread(target=fit, name="kinprint-distil", daemon=True).start()
    while (progress := told.get()) is not None:
        yield progress
    (result,) = made
    if isinstance(result, BaseException):
        raise result
    if not checkpoints.is_dir():  # with its corpus; what is written now would stay for ever
        raise CorpusNotFound(f"corpus {view.corpus!r} was deleted", field="corpus")
    name = result.digest[:32]
    result.save(Path(tables) / name)
    shutil.rmtree(checkpoints, ignore_errors=True)
    yield _report(name, result.digest, result.fitted)


def _report(name: str, digest: str, fitted: Mapping[str, Any]) -> Distilled:
    held_out = fitted["held_out"]
    before, after = held_out["before"], held_out["after"]
    return Distilled(
        name,
        digest,
        fitted["sentences"],
        held_out["sentences"],
        before["cosine"],
        after["cosine"],
        before["found"],
        after["found"],
    )


def sampled_sentences(view: View, count: int) -> list[str]:
    """Distinct sentences of answers in the order of their content hashes: by chance, and the same for the same rows."""
    from kinprint.server.embed import sentences_of

    places: list[tuple[bytes, int, int]] = []
    for number, part in enumerate(view.parts):
        hashes = part.segment.array("content_hash")
        rows = np.flatnonzero(part.alive & ~part.segment.blank).tolist()
        places += [(hashes[row].as_py(), number, row) for row in rows]
    places.sort()
    found: dict[str, None] = {}
    for digest, number, row in places:
        if len(found) >= count:
            break
        sentences = sentences_of(view.parts[number].segment.array("response")[row].as_py())
        # Anywhere in the answer: openings are alike everywhere.
        order = np.random.default_rng(int.from_bytes(digest[:8], "little")).permutation(len(sentences))[:_OF_ONE]
        found.update(dict.fromkeys(sentences[k] for k in order.tolist()))
    return list(found)[:count]
