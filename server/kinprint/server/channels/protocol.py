"""What a channel is.

A channel is one way in which texts resemble each other: what it makes of a text, how it keeps that for many texts, how
it finds and scores those that resemble a query, and what it shows a person for it.  Everything peculiar to a channel
is in its class; everyone else goes through `kinprint.server.channels.CHANNELS`.

What a channel makes of texts passes through three forms::

    record columns      one value a row, in the record: the truth        fingerprint, or the embedder
    chunk               arrays over some rows of a segment, in memory    build, merge
    files               the same arrays, mapped                          save, load

and `search`, `explain` and `compare` read chunks, whichever way they came about.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.store.columns import encode_texts
from kinprint.server.store.segment import Chunk, Merging, Segment
from numpy.typing import NDArray


class Living(Protocol):
    """A segment and which of its rows live: a part of a view, or a target."""

    @property
    def segment(self) -> Segment:
        """The rows."""

    @property
    def alive(self) -> NDArray[np.bool_] | None:
        """Living ones, bool[n]; None: all."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A text to search for: the answer alone, reasoning split off.

    `itself` names the stored transcript, (corpus, id), that the text comes from, which is never its own hit.
    """

    text: str
    language: str | None = None
    itself: tuple[str, str] | None = None
    #: Vectors float32[k, dim] of its sentences, background and language removed; for channels that are `embedded`.
    sentences: NDArray[np.float32] | None = None
    #: Whether a sentence was cut before it was embedded.
    truncated: bool = False
    #: Vectors that a semantic search goes by; None: each row by the best that it has.
    tier: Tier | None = None
    #: Whether disguises of letters are undone, on both sides, before texts are matched; for the copy channel.
    see_through: bool = True

    @property
    def buffers(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Bytes and offsets, as the kernels take them."""
        return encode_texts([self.text])


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A segment to search, and which of its rows may be returned."""

    corpus: str
    #: Which of the views searched, and which of its parts.
    view: int
    part: int
    segment: Segment
    #: Living rows that pass the filter, bool[n]; None: all of them do.
    mask: NDArray[np.bool_] | None = None
    #: The row that the query itself is.
    own: int | None = None
    #: Living rows, whether or not they pass, bool[n]; None: all.
    alive: NDArray[np.bool_] | None = None
    #: What the semantic channel of the corpus goes by.
    meaning: Meaning = field(default_factory=Meaning)
    #: Living rows of the whole corpus that have each tier of the semantic channel.
    tiers: Mapping[Tier, int] = field(default_factory=dict)

    def passing(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Positions in `rows` of those that may be returned; None: all of them."""
        if self.mask is None:
            if self.own is None:
                return None
            return np.flatnonzero(rows != self.own)
        passing = self.mask[rows]
        if self.own is not None:
            passing &= rows != self.own
        return np.flatnonzero(passing)


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A row that resembles the query: where it is, and its score."""

    target: Target
    row: int
    id: str
    score: float

    @property
    def response(self) -> str:
        """The answer of the row."""
        text: str = self.target.segment.array("response")[self.row].as_py()
        return text


M = TypeVar("M", bound=Match)
C = TypeVar("C", bound=Chunk)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a search gives, and when it ends early."""

    #: Most matches.
    top: int = 10
    #: Least score of a match; None leaves that to the channel.
    min_score: float | None = None
    #: Asked now and then, between pieces of work of some milliseconds; a search that is told yes raises `Cancelled`.
    cancelled: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Raise Cancelled when nobody waits any more."""
        if self.cancelled():
            raise Cancelled


class Cancelled(Exception):  # noqa: N818  (nobody is told)
    """The caller has gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Found(Generic[M]):
    """What a search found: best first, ties by corpus and id."""

    matches: list[M]
    #: How much it looked at, for QueryInfo: by the name of the field there.
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Stored texts by which evidence on two texts is weighed."""

    parts: Sequence[Living] = ()
    #: Rows that are one of the two texts themselves: (which of the parts, row).
    own: Sequence[tuple[int, int]] = ()
    #: Models of the two, as far as they are known.
    models: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What two texts are compared against and with."""

    #: Parts whose living rows set the scale of scores, where they are relative to something.
    parts: Sequence[Living] = ()
    #: Vectors of the semantic channel, and what their scores are worth.
    meaning: Meaning = field(default_factory=Meaning)
    #: Most spans listed.
    spans: int = 100
    #: What evidence is weighed by.
    background: Background = field(default_factory=Background)


class Channel(ABC, Generic[C, M, E]):
    """A channel, by what it makes and reads: chunks C, matches M, evidence E.

    Methods are pure, hold no state between calls and may be called from several threads.
    """

    #: On the command line, in files and in evidence.
    name: ClassVar[str]
    #: In the contract: the value of `kinprint.v1.Channel`.
    number: ClassVar[int]
    #: Record column whose presence says that a row has the channel.
    column: ClassVar[str]
    #: Whether a load that names no channel fills it.
    default: ClassVar[bool] = True
    #: Whether its column is made by the embedding model, long after the row was stored, and its queries need vectors.
    embedded: ClassVar[bool] = False
    #: Version of the pipeline (see `corpus.normalise`) that changed the column last: older ones are made anew.
    since: ClassVar[int] = 1
    #: Record columns that a row's chunk is built from.
    needs: ClassVar[tuple[str, ...]]
    #: Name and version of what it makes; fingerprints compare only if it is equal.  Empty where the model says so.
    scheme: ClassVar[str] = ""

    @property
    def schemes(self) -> dict[str, str]:
        """Everything that saved chunks depend on, by its name in a generation's manifest."""
        return {}

    # ---- what it makes ----

    def fingerprint(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> dict[str, pl.Series]:
        """Record columns of some texts, none of them blank; not for channels that are `embedded`.

        `data` uint8[bytes] of UTF-8, `offsets` int64[n + 1].
        """
        raise NotImplementedError(f"the {self.name} channel is filled by the embedder")

    @abstractmethod
    def build(self, rows: NDArray[np.int64], columns: pl.DataFrame, texts: Texts, space: EmbeddingSpace | None) -> C:
        """Chunk of some rows of a segment, ready to be searched.

        `rows` int64[m] ascending; `columns` has the record columns `needs`, m rows without nulls; `texts` are the
        answers of the whole segment.  Raises ValueError when a value is not what this channel makes.
        """

    @abstractmethod
    def merge(self, chunks: Sequence[C], merging: Merging) -> C:
        """One chunk out of several; the same, array for array, as `build` gives for its rows."""

    @abstractmethod
    def save(self, folder: Path, chunk: C) -> None:
        """Write a chunk to a segment's folder, in files named after the channel, flushed.  Raises OSError."""

    @abstractmethod
    def load(self, folder: Path) -> C | None:
        """Map what `save` wrote; None where the channel is not there.  Raises OSError, ValueError, EOFError."""

    def prepare(self, parts: Sequence[Living]) -> None:
        """Make what the first search of these parts, together, would otherwise wait for."""

    # ---- what it finds ----

    @abstractmethod
    def search(self, query: Query, targets: Sequence[Target], limits: Limits) -> Found[M]:
        """The best `limits.top` rows over all targets.  Raises Cancelled."""

    @abstractmethod
    def explain(self, query: Query, match: M, spans: int) -> E:
        """What a person can check behind the score of a match; of shared spans at most so many."""

    def weighed(self, evidence: E, query: Query, background: Background) -> E:
        """Evidence with what stored texts say about its worth, where scores do not say that already."""
        return evidence

    @abstractmethod
    def compare(self, a: Query, b: Query, comparison: Comparison) -> E:
        """The same for two texts, of which neither needs to be stored."""

    def stats(self, parts: Iterable[Living]) -> Any:
        """What scores are relative to: sums over living rows, which do not depend on how these are cut into segments.

        None where scores stand for themselves.
        """
        return None
