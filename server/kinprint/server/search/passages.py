"""Passages: which answers of some corpora stand, in part, in others, and how rare each shared stretch is.

`kinprint.kernels.copy.passages` finds the stretches and counts how often each stands in other models' answers; here
they get their ids, offsets in code points, and a mark where they are no evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import passages, spans
from kinprint.server.batches import Columns
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.progress import Progress
from numpy.typing import NDArray

#: Share of a stretch that the prompt or a licence must hold for it to be marked.
QUOTED = 0.5
#: Answers that are looked at between two messages; fewer where each may have `max_texts` matches or more.
AT_ONCE, AT_ONCE_EVERY = 1024, 64
#: Marks of stretches that are no evidence, by their number in proto/.
MARKS = ("", "prompt", "code", "licence")


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


@dataclass(frozen=True, eq=False)
class _Side:
    """Rows of some corpora that are not blank."""

    corpus: NDArray[np.int32]
    ids: pa.Array
    texts: Texts
    prompts: Texts
    #: Row of `prompts`, -1 where there is none.
    prompt: NDArray[np.int64]
    model: list[str | None]
    prompt_key: list[str | None]

    def __len__(self) -> int:
        return len(self.corpus)


def _side(views: Sequence[View], rows: Filter, first: int, but: Filter | None = None) -> _Side:
    corpora, ids, texts, prompts, has_prompt, model, prompt_key = [], [], [], [], [], [], []
    for number, view in enumerate(views):
        for part in view.parts:
            segment = part.segment
            mask = rows.mask(part) & ~segment.blank
            if but is not None:
                mask &= ~but.mask(part)
            chosen = np.flatnonzero(mask)
            taken = pa.array(chosen)
            corpora.append(np.full(len(chosen), first + number, np.int32))
            ids.append(segment.array("id").take(taken))
            texts.append(segment.texts.take(chosen))
            prompts.append(segment.prompts.take(chosen))
            has_prompt.append(segment.prompts.lengths[chosen] > 0)
            model += segment.array("model").take(taken).to_pylist()
            prompt_key += segment.array("prompt_key").take(taken).to_pylist()
    known = np.concatenate(has_prompt) if has_prompt else np.zeros(0, bool)
    return _Side(
        np.concatenate(corpora) if corpora else np.zeros(0, np.int32),
        pa.concat_arrays(ids) if ids else pa.array([], pa.large_string()),
        Texts.joined(texts),
        Texts.joined(prompts),
        np.where(known, np.arange(len(known)), -1),
        model,
        prompt_key,
    )


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
    that pass the first are on the first side alone.
    """
    yield Progress("gathering texts", 0.0)
    same_corpora = [v.corpus for v in views] == [v.corpus for v in against]
    same = same_corpora and rows == against_rows
    a = _side(views, rows, 0)
    b = a if same else _side(against, against_rows, len(views), rows if same_corpora else None)
    both = a.texts if same else Texts.joined([a.texts, b.texts])
    second = 0 if same else len(a)
    total = marked_texts = 0
    skipped = 0
    if len(a) and len(b):
        yield Progress("cutting all texts into seeds", 0.05)
        index = passages.Index(both, second)
        models = _codes([*a.model] if same else [*a.model, *b.model])
        prompts = _codes([*a.prompt_key] if same else [*a.prompt_key, *b.prompt_key])
        steps = index.find(
            min_tokens=options.min_tokens,
            max_texts=options.max_texts,
            every=options.every,
            at_once=AT_ONCE_EVERY if options.every else AT_ONCE,
        )
        for found in steps:
            if cancelled():
                steps.close()  # type: ignore[attr-defined]
                return
            skipped = found.skipped
            spans_found = _weighed(index, found.passages, a, b, second, models, prompts, options)
            total += len(spans_found.id_a)
            marked_texts += len(set(zip(spans_found.corpus_a.tolist(), spans_found.id_a, strict=True)))
            if spans_found.id_a:
                yield spans_found
            yield Progress(f"comparing ({found.texts:,} of {len(a):,} texts)", 0.3 + 0.7 * found.texts / len(a))
    yield Totals(total, len(a), marked_texts, len(b), skipped)


def _codes(values: Sequence[str | None]) -> NDArray[np.int32]:
    encoded = pa.array(values, pa.large_string()).dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int32)


def _weighed(
    index: passages.Index,
    found: passages.Passages,
    a: _Side,
    b: _Side,
    second: int,
    models: NDArray[np.int32],
    prompts: NDArray[np.int32],
    options: Options,
) -> Spans:
    counts = index.counts(found, models, prompts)
    bits = passages.bits(counts)
    stretch = passages.stretches(index.texts, found)
    mark = np.zeros(len(found.a), np.int32)
    mark[_share_in_licences(stretch) >= QUOTED] = MARKS.index("licence")
    mark[passages.looks_like_code(index.texts, found)] = MARKS.index("code")
    other = found.b - second
    quoted = np.maximum(
        passages.share_within(stretch, a.prompts, a.prompt[found.a]),
        passages.share_within(stretch, b.prompts, b.prompt[other]),
    )
    mark[quoted >= QUOTED] = MARKS.index("prompt")
    bits = np.where(mark > 0, 0.0, bits)
    keep = bits >= options.min_bits
    if options.unmarked:
        keep &= mark == 0
    found = passages.Passages(*(column[keep] for column in found))
    other = other[keep]
    start_a, end_a = spans.codepoint_places(index.texts, found.a, found.start_a, found.bytes)
    start_b, end_b = spans.codepoint_places(index.texts, found.b, found.start_b, found.bytes_b)
    return Spans(
        a.corpus[found.a],
        a.ids.take(pa.array(found.a)).to_pylist(),
        b.corpus[other],
        b.ids.take(pa.array(other)).to_pylist(),
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


@cache
def _licences() -> Texts:
    """Well-known licence notices, as one text."""
    text = Path(__file__).with_name("licences.txt").read_text(encoding="utf-8")
    return Texts.from_offsets(*from_texts([text]))


def _share_in_licences(stretch: Texts) -> NDArray[np.float64]:
    return passages.share_within(stretch, _licences(), np.zeros(len(stretch), np.int64))
