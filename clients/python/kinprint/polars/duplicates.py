"""Near-duplicates of a frame, without a server and with the same results.

The steps and their meaning are those of :mod:`kinprint.kernels.copy.dedup`: here rows are put in the order of their
ids, text that is not in memory is spooled to a file and mapped, and results are turned into frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import numpy as np
import polars as pl
import polars.selectors as cs
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import dedup as kernels
from kinprint.kernels.copy.dedup import Link as Link
from kinprint.kernels.copy.dedup import Pairs, Rows
from kinprint.kernels.copy.dedup import Run as Run
from kinprint.kernels.copy.disguise import without_disguises
from kinprint.kernels.copy.shingle import Shingling, hashes_of, scheme_number
from kinprint.kernels.copy.sketch import SLOTS, sketch_texts
from kinprint.polars.columns import PIECE, is_blank
from kinprint.polars.spool import detached, spooled
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

Output = Literal["pairs", "clusters", "keep"]
"""What `dedup` is asked for."""
Progress = Callable[[Run], None]
"""Called now and then with what was counted so far, the step under way and the share done."""

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
T = TypeVar("T")

_OUTPUTS: Final[tuple[Output, ...]] = ("pairs", "clusters", "keep")
_BATCH: Final = 65_536
"""Rows of a batch of results."""
_FEW: Final = 4096
"""Smaller tables of pairs are put together."""
_SKETCHED: Final = 0.1
"""Share of a run that is done when everything is sketched, by guess."""


# ---- rows in the order of their ids ----


class Job(Protocol):
    """What comes, in batches, of a call."""

    @property
    def schema(self) -> pl.Schema:
        """Columns of the result."""

    @property
    def name(self) -> str:
        """What plans call it."""

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Some columns of the result."""


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of one frame, and their order: *places*, by id, are what kernels call rows."""

    frame: pl.DataFrame
    texts: Texts
    ids: pl.Series | None
    """None: row numbers are the ids."""
    order: NDArray[np.int64] | None
    """int64[n]: the row at each place; None: rows are in order."""

    def __len__(self) -> int:
        return len(self.texts)

    def rows_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places if self.order is None else self.order[places]

    def id_column(self, name: str, rows: NDArray[np.int64]) -> pl.Series:
        return pl.Series(name, rows) if self.ids is None else self.ids.gather(rows).alias(name)

    def places(self) -> NDArray[np.int64]:
        """The place of each row, int64[n]."""
        places = np.arange(len(self), dtype=np.int64)
        if self.order is not None:
            places[self.order] = np.arange(len(self), dtype=np.int64)
        return places


def side_of(frame: pl.DataFrame, text: str, id: str | None) -> Side:
    """The rows of a frame; ValueError where an id is missing or comes twice."""
    texts = Texts.from_arrow(frame[text].cast(pl.String))
    if id is None:
        return Side(frame, texts, None, None)
    ids = frame[id].rechunk()  # many rows are gathered, many times
    if isinstance(ids.dtype, (pl.Categorical, pl.Enum)):
        ids = ids.cast(pl.String)
    return Side(frame, texts, ids, _order(ids))


def _order(ids: pl.Series) -> NDArray[np.int64] | None:
    """Rows by id, None if they are in order; ValueError where an id is missing or comes twice."""
    if ids.null_count():
        row = int(ids.is_null().arg_true()[0])
        raise ValueError(f"column {ids.name!r} has no id in row {row}: every row needs one, or leave out id=")
    if bool((ids.slice(1) > ids.head(max(0, len(ids) - 1))).all()):
        return None
    order = ids.arg_sort()
    ordered = ids.gather(order)
    same = (ordered.slice(1) == ordered.head(len(ids) - 1)).arg_true()
    if len(same):
        place = int(same[0])
        first, second = sorted((order[place], order[place + 1]))
        raise ValueError(f"column {ids.name!r} has the id {ordered[place]!r} in rows {first} and {second}")
    return order.to_numpy().astype(np.int64)


class _Work:
    """A run under way: its counts, and who is told of them."""

    def __init__(self, progress: Progress | None) -> None:
        self.run = Run()
        self._progress = progress

    def tell(self, step: str, share: float) -> None:
        self.run.step, self.run.share = step, share
        if self._progress is not None:
            self._progress(replace(self.run))

    def each(self, results: Iterator[T]) -> Iterator[T]:
        """Results of a generator of kernel calls, each told of, and the end, by when all is counted."""
        for result in results:
            self.tell(self.run.step, self.run.share)
            yield result
        self.tell(self.run.step, self.run.share)


def _fingerprinted(sides: list[Side], shingles: Shingling, exact: bool, work: _Work) -> Rows:
    """Rows of all sides, one after the other, each by place; without sketches for exact mode, which looks at none.

    Texts are read in the order in which they lie in their file, whatever the order of their ids, so that the file is
    read from its beginning to its end.
    """
    n = sum(map(len, sides))
    signatures = np.empty((n, 0 if exact else SLOTS), np.uint32)
    text_hashes = np.empty((n, 2), np.uint64)
    blank = np.empty(n, np.bool_)
    parts = []
    done = 0
    for side in sides:
        places = side.places()
        places += done
        for start in range(0, len(side), PIECE):
            piece = slice(start, start + PIECE)
            at = places[piece]
            some = side.texts.take(piece)
            if exact:
                text_hashes[at] = hashes_of(some)
                blank[at] = is_blank(text_hashes[at])
            else:
                made = sketch_texts(some, shingles)
                signatures[at], text_hashes[at], blank[at] = made.signatures, made.text_hashes, made.sizes == 0
            work.tell("hashing" if exact else "sketching", _SKETCHED * (done + start + len(at)) / n)
        done += len(side)
        parts.append(side.texts if side.order is None else side.texts.take(side.order))
    texts = parts[0]
    if len(parts) > 1:
        addresses, lengths = ([getattr(part, name) for part in parts] for name in ("addresses", "lengths"))
        texts = Texts(np.concatenate(addresses), np.concatenate(lengths), [part.owner for part in parts])
    return Rows(texts, signatures, text_hashes, blank, shingles)


# ---- what is called ----


@dataclass(frozen=True, eq=False)
class _Job:
    """The arguments of `dedup`, checked, and what comes of them."""

    frame: pl.DataFrame | pl.LazyFrame
    text: str
    id: str | None
    threshold: float
    exact: bool
    see_through: bool
    expand: bool
    output: Output
    link: Link
    against: pl.DataFrame | pl.LazyFrame | None
    shingles: Shingling
    progress: Progress | None
    spool_dir: str | Path | None
    schema: pl.Schema
    """Columns of the result."""

    @property
    def name(self) -> str:
        """What plans call it."""
        return f"kinprint.dedup {self.output}"

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Some columns of the result."""
        names = list(dict.fromkeys(columns))
        in_memory = isinstance(self.frame, pl.DataFrame) and not isinstance(self.against, pl.LazyFrame)
        for found in self._frames(names):
            part = columns_of(found, names)
            yield part if in_memory else detached(part)

    def _frames(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        work = _Work(self.progress)
        work.tell("reading", 0.0)
        side = self._side(self.frame, names if self.output == "keep" else ())
        if self.output == "pairs":
            other = None if self.against is None else self._side(self.against)
            return self._pairs(side, other, work)
        first = self._representatives(side, work)
        return _cluster_frames(side, first) if self.output == "clusters" else _kept_frames(side, first)

    def _side(self, frame: pl.DataFrame | pl.LazyFrame, others: Sequence[str] = ()) -> Side:
        keys = [self.text] if self.id is None else [self.id, self.text]
        columns = list(dict.fromkeys([*keys, *others]))
        if isinstance(frame, pl.LazyFrame):
            frame = spooled(frame, columns, self.spool_dir)
        side = side_of(frame, self.text, self.id)
        return replace(side, texts=without_disguises(side.texts)[0]) if self.see_through else side

    def _pairs(self, a: Side, b: Side | None, work: _Work) -> Iterator[pl.DataFrame]:
        rows = _fingerprinted([a] if b is None else [a, b], self.shingles, self.exact, work)
        sides = None if b is None else np.repeat(np.array([0, 1], np.int32), [len(a), len(b)])
        found = kernels.find_pairs(
            rows, self.threshold, exact=self.exact, expand=self.expand, sides=sides, run=work.run
        )
        return _pair_frames(a, b, _gathered(work.each(found)))

    def _representatives(self, side: Side, work: _Work) -> NDArray[np.int64]:
        """The row that represents each row, int64[n]."""
        rows = _fingerprinted([side], self.shingles, self.exact, work)
        first = np.arange(len(side), dtype=np.int64)
        steps = kernels.find_clusters(rows, self.threshold, exact=self.exact, link=self.link, run=work.run)
        for found in work.each(steps):
            first = found  # the last one is the result
        return first if side.order is None else side.order[first[side.places()]]


def _pair_frames(a: Side, b: Side | None, tables: Iterable[Pairs]) -> Iterator[pl.DataFrame]:
    # With two sides a pair's first row is of the first, since these come first.
    of_b, before_b = (a, 0) if b is None else (b, len(a))
    for table in tables:
        yield pl.DataFrame(
            [
                a.id_column("id_a", a.rows_at(table.a)),
                of_b.id_column("id_b", of_b.rows_at(table.b - before_b)),
                pl.Series("jaccard", table.jaccard),
                pl.Series("containment_a", table.containment_a),
                pl.Series("containment_b", table.containment_b),
            ]
        )


def _gathered(tables: Iterable[Pairs]) -> Iterator[Pairs]:
    """Small tables put together, large ones as they come, empty ones left out."""
    held: list[Pairs] = []
    count = 0
    for table in tables:
        if len(table.a):
            held.append(table)
            count += len(table.a)
        if count >= _FEW:
            yield Pairs.joined(held)
            held, count = [], 0
    if held:
        yield Pairs.joined(held)


def _cluster_frames(side: Side, first: NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    for start in range(0, len(side), _BATCH):
        some = first[start : start + _BATCH]
        rows = np.arange(start, start + len(some), dtype=np.int64)
        yield pl.DataFrame(
            [
                side.id_column("id", rows),
                side.id_column("cluster", some),
                pl.Series("is_representative", some == rows),
            ]
        )


def _kept_frames(side: Side, first: NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    kept = pl.Series(first == np.arange(len(side)))
    for start in range(0, len(side), _BATCH):
        yield side.frame.slice(start, _BATCH).filter(kept.slice(start, _BATCH))


def dedup(
    frame: Frame,
    text: str = "response",
    id: str | None = None,
    *,
    threshold: float = 0.7,
    exact: bool = False,
    see_through: bool = False,
    expand: bool = False,
    output: Output = "pairs",
    link: Link | None = None,
    against: pl.DataFrame | pl.LazyFrame | None = None,
    shingles: Shingling = "w3c5",
    progress: Progress | None = None,
    spool_dir: str | Path | None = None,
) -> Frame:
    """Near-duplicates: rows whose texts have a Jaccard similarity of at least `threshold`.

    Of a LazyFrame the result is one too. It is worked out whenever it is collected, and comes in batches: the frame is
    evaluated once, by the streaming engine, and what is needed of it spooled to a file that is mapped into memory. Of
    a DataFrame the result is a DataFrame, and its text is read where it is.

    Blank and null texts are like nothing. Of identical answers the one with the smallest id represents the others.

    Args:
        frame: the texts.
        text: column of text.
        id: column of ids, each once: text, bytes or integers. They order by their bytes, or as numbers. Without one
            the row number, from 0, is the id.
        threshold: least similarity, in (0, 1].
        exact: miss no pair. Otherwise candidates come from sketches, and about 1 in 1000 pairs at the threshold is
            missed, far fewer above it; every pair listed is verified all the same.
        see_through: compare texts without disguises of letters: zero-width code points, look-alikes of other scripts,
            full-width forms, letters set apart.
        expand: list every pair of identical answers, and every pair of their copies. Otherwise each identical answer
            is paired once, with its representative, and only that one with others.
        output:
            "pairs": `id_a`, `id_b`, `jaccard`, `containment_a`, `containment_b`, id_a < id_b, in no set order.
            "clusters": `id`, `cluster`, `is_representative`: every row, in its order; its cluster is named by the
            smallest id in it.
            "keep": the rows that represent their cluster, with all columns, in their order.
        link: what holds a cluster together. "star": every row has that similarity to the representative of its
            cluster: it joins the most similar one with a smaller id, or is one. "component": a chain of pairs, so that
            two rows of one need not be alike at all. None: "star" of what is kept, so that nothing goes without
            something like it that stays, and "component" of clusters.
        against: another frame with the same two columns. Only pairs between the two are listed, then, `id_a` of
            `frame` and `id_b` of the other, which may have the same ids; identical answers are collapsed within each.
        shingles: "w3c5" or "c5", see `sketch`.
        progress: called with a `Run` now and then, from the thread that does the work.
        spool_dir: directory of the spool; None: the directory for temporary files.

    Raises:
        ValueError: an argument or a column is not what it should be; when collected, an id is missing or comes twice.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if link not in (None, "component", "star"):
        raise ValueError(f"link must be component, star or None, not {link!r}")
    if link is not None and output == "pairs":
        raise ValueError("link= goes with output='clusters' and output='keep', not 'pairs'")
    if output not in _OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(_OUTPUTS)}, not {output!r}")
    for name, used in (("expand", expand), ("against", against is not None)):
        if used and output != "pairs":
            raise ValueError(f"{name}= goes with output='pairs', not {output!r}")
    scheme_number(shingles)
    schema = _result_schema(frame, against, text, id, output)
    held_by: Link = link or ("star" if output == "keep" else "component")
    how = threshold, exact, see_through, expand, output
    job = _Job(frame, text, id, *how, held_by, against, shingles, progress, spool_dir, schema)
    if isinstance(frame, pl.DataFrame):
        return eager(job)
    return lazy(job)


def _result_schema(
    frame: pl.DataFrame | pl.LazyFrame,
    against: pl.DataFrame | pl.LazyFrame | None,
    text: str,
    id: str | None,
    output: Output,
) -> pl.Schema:
    """Columns of the result; ValueError where a column is missing or is not what it should be."""
    schema = checked(frame, text, id, "the frame")
    of_b = of_a = id_type(schema, id)
    if against is not None:
        of_b = id_type(checked(against, text, id, "the frame in against="), id)
    if output == "keep":
        return schema
    if output == "clusters":
        return pl.Schema({"id": of_a, "cluster": of_a, "is_representative": pl.Boolean()})
    shares = dict.fromkeys(("jaccard", "containment_a", "containment_b"), pl.Float64())
    return pl.Schema({"id_a": of_a, "id_b": of_b, **shares})


def checked(frame: pl.DataFrame | pl.LazyFrame, text: str, id: str | None, name: str) -> pl.Schema:
    """The frame's schema; ValueError where a column is missing or is not what it should be."""
    schema = frame.collect_schema()
    for column in (text, id):
        if column is not None and column not in schema:
            raise ValueError(f"{name} has no column {column!r}; it has {', '.join(schema) or 'none'}")
    if schema[text] not in (pl.String, pl.Null):
        raise ValueError(f"column {text!r} of {name} is {schema[text]}, not String: cast it to text first")
    if id is not None:
        dtype = schema[id]
        text_like = isinstance(dtype, (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null))
        if not (text_like or dtype.is_integer()):
            raise ValueError(f"column {id!r} of {name} is {dtype}: ids are text, bytes or integers")
    return schema


def id_type(schema: pl.Schema, id: str | None) -> pl.DataType:
    """Type of the column of ids in results."""
    if id is None:
        return pl.Int64()
    dtype = schema[id]
    return pl.String() if isinstance(dtype, (pl.Categorical, pl.Enum)) else dtype


def columns_of(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Some columns; of none the number of rows is left."""
    return frame.select([frame[name] for name in names]) if names else frame.drop(cs.all())


def eager(job: Job) -> pl.DataFrame:
    """The whole result."""
    return pl.concat([job.schema.to_frame(), *job.batches(job.schema.names())])


def lazy(job: Job) -> pl.LazyFrame:
    """A LazyFrame that does the job whenever it is collected."""

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = job.schema.names() if with_columns is None else with_columns
        left = n_rows
        if left == 0:
            return
        for found in job.batches(names if predicate is None else [*names, *predicate.meta.root_names()]):
            part = found
            if left is not None:
                part = found.head(left)
                left -= part.height
            if predicate is not None:
                part = part.filter(predicate)
            yield columns_of(part, names)
            if left == 0:
                return

    return register_io_source(source, schema=job.schema, is_pure=True, explain_name=job.name)
