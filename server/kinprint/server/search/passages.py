"""Passages: which answers of some corpora stand, in part, in others, and how rare each shared stretch is.

`kinprint.kernels.copy.passages` finds the stretches and counts how often each stands in other models' answers; here
they get their ids, offsets in code points, and a mark where they are no evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import partitions, passages, spans
from kinprint.kernels.copy.marks import MARKS as MARKS
from kinprint.kernels.copy.marks import marks_of
from kinprint.server.batches import Columns
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import Part, View
from kinprint.server.progress import Progress
from kinprint.server.store import files
from numpy.typing import NDArray

#: Answers that are looked at between two messages; fewer where each may have `max_texts` matches or more.
AT_ONCE, AT_ONCE_EVERY = 1024, 64


@dataclass(frozen=True, slots=True)
class Spans(Columns):
    """Shared stretches, column by column; corpora as positions among those asked for, offsets in code points."""

    corpus_a: NDArray[np.int32]
    id_a: list[str]
    corpus_b: NDArray[np.int32]
    id_b: list[str]
    start_a: NDArray[np.int64]
    end_a: NDArray[np.int64]
    start_b: NDArray[np.int64]
    end_b: NDArray[np.int64]
    tokens: NDArray[np.int64]
    #: Answers of the other side that hold the whole stretch.
    texts: NDArray[np.int64]
    #: Rarity; 0 where marked.
    bits: NDArray[np.float64]
    #: Position in `MARKS`.
    mark: NDArray[np.int32]
    #: int64[p, 4], see `kinprint.kernels.copy.passages.Index.counts`.
    counts: NDArray[np.int64]
    #: Bits of `kinprint.kernels.copy.differences.DIFFERENCES`.
    differences: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a run; see OverlapsFinished in proto/."""

    spans: int
    texts: int
    texts_with_spans: int
    against: int
    common_seeds: int
    #: Answers on neither side, which say how rare a stretch is as the others do.
    background: int


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as a passage; see FindOverlapsRequest in proto/."""

    min_tokens: int = passages.GUARANTEE
    max_texts: int = passages.MAX_TEXTS
    min_bits: float = 0.0
    #: List every answer of the other side that holds a stretch.
    every: bool = False
    #: Leave out the stretches that are marked.
    unmarked: bool = False
    #: Bytes for postings; beyond, they go through a file in parts.
    memory: int = partitions.MEMORY


#: Which rows of a part of the view with some number are meant.
Mask = Callable[[int, Part], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of some corpora that are not blank: those of side A, of side B, and the background, one after the other."""

    corpus: NDArray[np.int32]
    ids: pa.Array
    prompts: Texts
    #: Row of `prompts`, -1 where there is none.
    prompt: NDArray[np.int64]
    sides: partitions.Sides


def _gathered(views: Sequence[View], masks: Sequence[tuple[Mask, int]], second: bool) -> _Rows:
    """Rows that pass the masks, those of one mask after those of another; the last mask's are the background.

    Corpora are numbered from the number beside a mask on. `second`: whether the second mask is that of side B.
    """
    corpora, ids, texts, prompts, models, prompt_keys, ends = [], [], [], [], [], [], [0]
    for mask, begin in masks:
        for number, view in enumerate(views):
            for part in view.parts:
                segment = part.segment
                chosen = np.flatnonzero(mask(number, part) & ~segment.blank)
                taken = pa.array(chosen)
                corpora.append(np.full(len(chosen), begin + number, np.int32))
                ids.append(segment.array("id").take(taken))
                texts.append(segment.texts.take(chosen))
                prompts.append(segment.prompts.take(chosen))
                models.append(segment.array("model").take(taken).cast(pa.large_string()))
                prompt_keys.append(segment.array("prompt_key").take(taken).cast(pa.large_string()))
        ends.append(sum(map(len, corpora)))
    every = Texts.joined(prompts)
    sides = partitions.Sides(
        Texts.joined(texts), ends[1] if second else 0, ends[-2], _codes(models), _codes(prompt_keys)
    )
    return _Rows(
        np.concatenate(corpora) if corpora else np.zeros(0, np.int32),
        pa.concat_arrays(ids) if ids else pa.array([], pa.large_string()),
        every,
        np.where(every.lengths > 0, np.arange(len(every)), -1),
        sides,
    )


def _rows_of(
    views: Sequence[View], against: Sequence[View], rows: Filter, against_rows: Filter
) -> tuple[_Rows, int, int]:
    """(rows, answers of side A, answers of side B)."""
    same_corpora = [v.corpus for v in views] == [v.corpus for v in against]
    first = len(views)
    every = views if same_corpora else [*views, *against]

    def of_a(number: int, part: Part) -> NDArray[np.bool_]:
        return rows.mask(part) if number < first else np.zeros(len(part.segment), np.bool_)

    def of_b(number: int, part: Part) -> NDArray[np.bool_]:
        if same_corpora:
            return against_rows.mask(part) & ~rows.mask(part)
        return against_rows.mask(part) if number >= first else np.zeros(len(part.segment), np.bool_)

    def of_neither(number: int, part: Part) -> NDArray[np.bool_]:
        return Filter().mask(part) & ~of_a(number, part) & ~of_b(number, part)

    if same_corpora and rows == against_rows:
        gathered = _gathered(every, ((of_a, 0), (of_neither, 0)), False)
        return gathered, gathered.sides.background, gathered.sides.background
    # Where both sides are of the same corpora, those of side B are told apart by their numbers.
    gathered = _gathered(every, ((of_a, 0), (of_b, first if same_corpora else 0), (of_neither, 0)), True)
    second = gathered.sides.second
    return gathered, second, gathered.sides.background - second


def find_overlaps(
    views: Sequence[View],
    against: Sequence[View],
    options: Options,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    against_rows: Filter = Filter(),  # noqa: B008
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Spans | Totals]:
    """Stretches of the answers of `views` that stand in answers of `against`, too; `Totals` comes last.

    Where both are the same corpora, an answer is compared with all others but itself; with different filters those
    that pass the first are on the first side alone.  How rare a stretch is says the whole of the corpora, whatever the
    filters.
    """
    yield Progress("gathering texts", 0.0)
    every, of_a, of_b = _rows_of(views, against, rows, against_rows)
    total = marked_texts = skipped = 0
    if of_a and of_b:
        steps = partitions.find(
            every.sides,
            min_tokens=options.min_tokens,
            max_texts=options.max_texts,
            every=options.every,
            at_once=AT_ONCE_EVERY if options.every else AT_ONCE,
            memory=options.memory,
            keep=files.spilled,
        )
        for found in steps:
            if cancelled():
                steps.close()  # type: ignore[attr-defined]
                return
            if isinstance(found, partitions.Step):
                yield Progress(found.name, 0.05 + 0.25 * found.share)
                continue
            skipped = found.skipped
            spans_found = _weighed(every, found, options)
            total += len(spans_found.id_a)
            marked_texts += len(set(zip(spans_found.corpus_a.tolist(), spans_found.id_a, strict=True)))
            if spans_found.id_a:
                yield spans_found
            yield Progress(f"comparing ({found.texts:,} of {of_a:,} texts)", 0.3 + 0.7 * found.texts / of_a)
    yield Totals(total, of_a, marked_texts, of_b, skipped, len(every.corpus) - every.sides.background)


def _codes(values: Sequence[pa.Array]) -> NDArray[np.int32]:
    """A number for each text that is there, -1 for none."""
    every = pa.chunked_array(values, pa.large_string()).combine_chunks().dictionary_encode()
    return np.asarray(every.indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int32)


def _weighed(every: _Rows, step: partitions.Found, options: Options) -> Spans:
    found, counts, texts = step.passages, step.counts, every.sides.texts
    bits = passages.bits(counts)
    mark = marks_of(texts, found, every.prompts, every.prompt)
    bits = np.where(mark > 0, 0.0, bits)
    keep = bits >= options.min_bits
    if options.unmarked:
        keep &= mark == 0
    found = passages.Passages(*(column[keep] for column in found))
    start_a, end_a = spans.codepoint_places(texts, found.a, found.start_a, found.bytes)
    start_b, end_b = spans.codepoint_places(texts, found.b, found.start_b, found.bytes_b)
    return Spans(
        every.corpus[found.a],
        every.ids.take(pa.array(found.a)).to_pylist(),
        every.corpus[found.b],
        every.ids.take(pa.array(found.b)).to_pylist(),
        start_a,
        end_a,
        start_b,
        end_b,
        found.tokens,
        found.texts,
        bits[keep],
        mark[keep],
        counts[keep],
        found.differences,
    )
