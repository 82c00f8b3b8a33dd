"""Passages that texts of a frame share, without a server and with the same results.

Which passages there are and how rare they are is a matter of :mod:`kinprint.kernels.copy.partitions`: here text that is
not in memory is spooled to a file and mapped, and results are turned into frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import partitions, passages, spans
from kinprint.kernels.copy.differences import DIFFERENCES
from kinprint.kernels.copy.marks import MARKS, marks_of
from kinprint.kernels.copy.shingle import hashes_of
from kinprint.polars.columns import PIECE, is_blank
from kinprint.polars.duplicates import Frame, Side, checked, columns_of, eager, id_type, lazy, side_of
from kinprint.polars.spool import detached, spilled, spooled
from numpy.typing import NDArray

_AT_ONCE: Final = 1024
"""Texts of the frame that are looked at between two batches; fewer where each may have very many passages."""
_AT_ONCE_EVERY: Final = 64
_TOLD: Final = tuple(
    ", ".join(name.lower().replace(" ", "_") for bit, name in enumerate(DIFFERENCES) if some >> bit & 1) or "identical"
    for some in range(1 << len(DIFFERENCES))
)
"""What bits of differences are called."""
_COUNTS: Final = ("others_with", "others", "prompt_others_with", "prompt_others")


@dataclass(slots=True)
class OverlapRun:
    """What a search for passages has counted so far."""

    texts: int = 0
    """Texts of the frame that are not blank."""
    against: int = 0
    """Texts that they are compared with."""
    background: int = 0
    """Further texts, which tell how rare a passage is."""
    spans: int = 0
    """Passages found."""
    texts_with_spans: int = 0
    common_seeds: int = 0
    """Seeds passed over, as common to too many texts."""
    step: str = ""
    """What is under way, for people."""
    share: float = 0.0
    """How much is done, 0 to 1, by guess."""
    held: list[partitions.Held] = field(default_factory=list)
    """Where the postings went, when that is known."""


OverlapProgress = Callable[[OverlapRun], None]
"""Called now and then with what was counted so far."""


@dataclass(frozen=True, eq=False)
class _Columns:
    """Names of columns; None where there is none."""

    text: str
    id: str | None
    model: str | None
    prompt: str | None
    prompt_id: str | None

    @property
    def names(self) -> list[str]:
        every = (self.id, self.text, self.model, self.prompt, self.prompt_id)
        return list(dict.fromkeys(name for name in every if name is not None))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of all frames that are not blank, and what they are in their own frame."""

    frames: list[Side]
    row: NDArray[np.int64]
    """int64[n]: row of its frame."""
    prompts: Texts
    prompt: NDArray[np.int64]
    sides: partitions.Sides

    def ids(self, name: str, frame: int, texts: NDArray[np.int64]) -> pl.Series:
        return self.frames[frame].id_column(name, self.row[texts])


def _codes(values: list[pl.Series]) -> NDArray[np.int32]:
    """A number for each value, -1 for none."""
    every = pl.concat([series.cast(pl.String) for series in values])
    codes = every.cast(pl.Categorical).to_physical().cast(pl.Int32).fill_null(-1)
    return np.ascontiguousarray(codes.to_numpy())


def _hashes(texts: Texts) -> NDArray[np.uint64]:
    """Hashes of normalised texts, uint64[n, 2]."""
    parts = [hashes_of(texts.take(slice(start, start + PIECE))) for start in range(0, len(texts), PIECE)]
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.uint64)


def _column(frame: pl.DataFrame, name: str | None) -> pl.Series:
    return pl.repeat(None, frame.height, dtype=pl.String, eager=True) if name is None else frame[name].cast(pl.String)


def _prompt_codes(ids: list[pl.Series], prompts: Texts) -> NDArray[np.int32]:
    """A number for each prompt: by its id, or else by its text up to case and white space; -1 for none."""
    named = _codes(ids)
    hashes = _hashes(prompts)
    asked = ~is_blank(hashes)
    _, of_text = np.unique(hashes, axis=0, return_inverse=True)
    numbers = of_text.reshape(-1).astype(np.int32) + named.max(initial=-1) + 1
    return np.where(named >= 0, named, np.where(asked, numbers, -1)).astype(np.int32)


def _gathered(frames: list[pl.DataFrame], columns: _Columns, one_set: bool, background: bool) -> _Rows:
    # Rows of the background are in no result, so that their ids say nothing.
    named = len(frames) - int(background)
    sides = [side_of(frame, columns.text, columns.id if k < named else None) for k, frame in enumerate(frames)]
    kept = [np.flatnonzero(~is_blank(_hashes(side.texts))) for side in sides]
    texts = Texts.joined([side.texts.take(rows) for side, rows in zip(sides, kept, strict=True)])
    ends = np.cumsum([len(rows) for rows in kept]).tolist()
    known = Texts(*_nothing(len(texts)), None)
    if columns.prompt is not None:
        # As the texts, they are read where the frames hold them.
        asked = [Texts.from_arrow(frame[columns.prompt].cast(pl.String)) for frame in frames]
        known = Texts.joined([some.take(rows) for some, rows in zip(asked, kept, strict=True)])

    def values(name: str | None) -> list[pl.Series]:
        return [_column(frame, name).gather(rows) for frame, rows in zip(frames, kept, strict=True)]

    return _Rows(
        sides,
        np.concatenate(kept),
        known,
        np.where(known.lengths > 0, np.arange(len(known)), -1),
        partitions.Sides(
            texts,
            0 if one_set else ends[0],
            ends[-2] if background else ends[-1],
            _codes(values(columns.model)),
            _prompt_codes(values(columns.prompt_id), known),
        ),
    )


def _nothing(n: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    return np.zeros(n, np.uint64), np.zeros(n, np.int64)


@dataclass(frozen=True, eq=False)
class _Job:
    """The arguments of `overlap`, checked, and what comes of them."""

    frames: list[pl.DataFrame | pl.LazyFrame]
    columns: _Columns
    one_set: bool
    background: bool
    min_tokens: int
    min_bits: float
    max_texts: int
    every: bool
    unmarked: bool
    memory: int
    progress: OverlapProgress | None
    spool_dir: str | Path | None
    schema: pl.Schema

    @property
    def name(self) -> str:
        return "kinprint.overlap"

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Some columns of the result."""
        names = list(dict.fromkeys(columns))
        in_memory = all(isinstance(frame, pl.DataFrame) for frame in self.frames)
        for found in self._found():
            part = columns_of(found, names)
            yield part if in_memory else detached(part)

    def _found(self) -> Iterator[pl.DataFrame]:
        run = OverlapRun()

        def tell(step: str, share: float) -> None:
            run.step, run.share = step, share
            if self.progress is not None:
                self.progress(replace(run))

        tell("reading", 0.0)
        frames = []
        for k, frame in enumerate(self.frames):
            names = self.columns.names
            if self.background and k == len(self.frames) - 1:
                names = [name for name in names if name != self.columns.id or name == self.columns.text]
            frames.append(spooled(frame, names, self.spool_dir) if isinstance(frame, pl.LazyFrame) else frame)
        every = _gathered(frames, self.columns, self.one_set, self.background)
        sides = every.sides
        run.texts = sides.second or sides.background
        run.against = sides.background if self.one_set else sides.background - sides.second
        run.background = len(sides.texts) - sides.background
        if not self.one_set and sides.second == 0:
            run.texts = 0  # a first side of no text is no single set
        if run.texts and run.against:
            steps = partitions.find(
                sides,
                min_tokens=self.min_tokens,
                max_texts=self.max_texts,
                every=self.every,
                at_once=_AT_ONCE_EVERY if self.every else _AT_ONCE,
                memory=self.memory,
                keep=partial(spilled, directory=self.spool_dir),
                held=run.held,
            )
            for step in steps:
                if isinstance(step, partitions.Step):
                    tell(step.name, 0.3 * step.share)
                    continue
                found = self._frame(every, step)
                run.common_seeds = step.skipped
                run.spans += found.height
                run.texts_with_spans += found["id_a"].n_unique()
                tell(f"comparing ({step.texts:,} of {run.texts:,} texts)", 0.3 + 0.7 * step.texts / run.texts)
                if found.height:
                    yield found
        tell("done", 1.0)

    def _frame(self, every: _Rows, step: partitions.Found) -> pl.DataFrame:
        found, counts, texts = step.passages, step.counts, every.sides.texts
        mark = marks_of(texts, found, every.prompts, every.prompt)
        bits = np.where(mark > 0, 0.0, passages.bits(counts))
        keep = bits >= self.min_bits
        if self.unmarked:
            keep &= mark == 0
        found = passages.Passages(*(column[keep] for column in found))
        start_a, end_a = spans.codepoint_places(texts, found.a, found.start_a, found.bytes)
        start_b, end_b = spans.codepoint_places(texts, found.b, found.start_b, found.bytes_b)
        marked = pl.Series("mark", [MARKS[m] or None for m in mark[keep].tolist()], dtype=pl.String)
        return pl.DataFrame(
            [
                every.ids("id_a", 0, found.a),
                every.ids("id_b", 0 if self.one_set else 1, found.b),
                pl.Series("start_a", start_a),
                pl.Series("end_a", end_a),
                pl.Series("start_b", start_b),
                pl.Series("end_b", end_b),
                pl.Series("length", end_a - start_a),
                pl.Series("tokens", found.tokens),
                pl.Series("bits", bits[keep]),
                pl.Series("texts", found.texts),
                marked,
                pl.Series("differences", [_TOLD[some] for some in found.differences.tolist()], dtype=pl.String),
                *(pl.Series(name, counts[keep, k]) for k, name in enumerate(_COUNTS)),
            ]
        ).cast({name: self.schema[name] for name in self.schema})


def overlap(
    frame: Frame,
    against: pl.DataFrame | pl.LazyFrame | None = None,
    text: str = "response",
    id: str | None = None,
    *,
    model: str | None = None,
    prompt: str | None = None,
    prompt_id: str | None = None,
    background: pl.DataFrame | pl.LazyFrame | None = None,
    min_tokens: int = passages.GUARANTEE,
    min_bits: float = 0.0,
    max_texts: int = passages.MAX_TEXTS,
    every: bool = False,
    unmarked: bool = False,
    memory: int = partitions.MEMORY,
    progress: OverlapProgress | None = None,
    spool_dir: str | Path | None = None,
) -> Frame:
    """Which texts stand, in part, in others, and how rare each shared passage is.

    Of a LazyFrame the result is one too, worked out whenever it is collected; of a DataFrame it is a DataFrame.

    Args:
        frame: the texts.
        against: texts to compare with, under the same columns; None: every text of the frame with all others.
        text: column of text. Blank and null texts are left out.
        id: column of ids, each once in its frame: text, bytes or integers; None: row numbers, from 0.
        model: column of the model that wrote each text. Rarity is counted in texts of models other than the two; where
            no model is known, in all but the two texts.
        prompt: column of the prompt's text. A passage that stands in the prompt of either text is marked.
        prompt_id: column of what names the prompt; without one, prompts that are equal up to case and white space are
            one.
        background: further texts, under the same columns but for the id, that tell how rare a passage is and nothing
            else.
        min_tokens: least words (or code points, in scripts without spaces) of a passage; from 12 on none is missed.
        min_bits: least rarity of a passage.
        max_texts: passages all of whose phrases stand in more texts of the other side are passed over.
        every: list each text that holds a passage, not only the first.
        unmarked: leave out passages that are marked.
        memory: bytes for postings. What is more goes through a file, in parts, with the same result.
        progress: called with an `OverlapRun` now and then, from the thread that does the work.
        spool_dir: directory of what is spooled; None: the directory for temporary files.

    Returns:
        `id_a`, `id_b`, `start_a`, `end_a`, `start_b`, `end_b` (half-open, in code points), `length` (code points in a),
        `tokens`, `bits` (0 where marked), `texts` (of the other side that hold it), `mark` (prompt, code, licence or
        null), `differences` (how the two sides differ: white_space, case, punctuation, unicode_form, separated by ", ",
        or identical), and the counts that bits are made of: `others_with`, `others`, `prompt_others_with`,
        `prompt_others`.

    Raises:
        ValueError: an argument or a column is not what it should be; when collected, an id is missing or comes twice.
    """
    for name, value in (("min_tokens", min_tokens), ("max_texts", max_texts), ("memory", memory)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not np.isfinite(min_bits):
        raise ValueError(f"min_bits must be a finite number, not {min_bits}")
    columns = _Columns(text, id, model, prompt, prompt_id)
    frames: list[pl.DataFrame | pl.LazyFrame] = [frame]
    names = ["the frame"]
    for other, named in ((against, "the frame in against="), (background, "the frame in background=")):
        if other is not None:
            frames.append(other)
            names.append(named)
    if background is not None:
        _known(frames[-1], replace(columns, id=None), names.pop())
    types = [id_type(_known(some, columns, named), id) for some, named in zip(frames, names, strict=False)]
    schema = pl.Schema(
        {
            "id_a": types[0],
            "id_b": types[0] if against is None else types[1],
            **dict.fromkeys(("start_a", "end_a", "start_b", "end_b", "length", "tokens"), pl.Int64()),
            "bits": pl.Float64(),
            "texts": pl.Int64(),
            "mark": pl.String(),
            "differences": pl.String(),
            **dict.fromkeys(_COUNTS, pl.Int64()),
        }
    )
    job = _Job(
        frames,
        columns,
        against is None,
        background is not None,
        min_tokens,
        min_bits,
        max_texts,
        every,
        unmarked,
        memory,
        progress,
        spool_dir,
        schema,
    )
    return eager(job) if isinstance(frame, pl.DataFrame) else lazy(job)


def _known(frame: pl.DataFrame | pl.LazyFrame, columns: _Columns, name: str) -> pl.Schema:
    """The frame's schema; ValueError where a column is missing or is not what it should be."""
    schema = checked(frame, columns.text, columns.id, name)
    for column in (columns.model, columns.prompt, columns.prompt_id):
        if column is not None and column not in schema:
            raise ValueError(f"{name} has no column {column!r}; it has {', '.join(schema)}")
    return schema
