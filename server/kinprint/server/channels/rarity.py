"""How rare a stretch of text is among stored texts, by their seeds.

A text that holds the stretch has every seed that a window within the stretch chose (`kernels.copy.seeds`), so the
rarest of these is in as many texts or more.  Counted are texts of models other than the two that share the stretch; of
c among n such texts the rarity is -log2((c + 1/2) / (n + 1)), as in `kernels.copy.rarity`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy.certain import certain_seeds
from kinprint.kernels.unicode import DIGIT, MARK, PROPS_BLOCKS, PROPS_INDEX, UPPER, WORD
from kinprint.server.channels.protocol import Background, Living
from kinprint.server.store.segment import Segment
from numpy.typing import NDArray

#: Classes of code points that go on a word.
_WORDY = (WORD, UPPER, DIGIT, MARK)
#: Living rows of each model by segment, with the array of living rows that they were counted of.
_COUNTED: WeakKeyDictionary[Segment, tuple[Any, dict[str | None, int]]] = WeakKeyDictionary()


def whole_words(text: str, begin: int, end: int) -> str:
    """``text[begin:end]`` without the words that it cuts."""
    while begin < end and _in_word(text, begin):
        begin += 1
    while begin < end and _in_word(text, end):
        end -= 1
    return text[begin:end]


def _in_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and all(_class(ord(c)) in _WORDY for c in text[place - 1 : place + 1])


def _class(cp: int) -> int:
    """The class of a code point, without a kernel: it is looked up twice a stretch."""
    return int(PROPS_BLOCKS[PROPS_INDEX[cp >> 7], cp & 127]) & 15


def bits_of(stretches: Sequence[str], background: Background, channel: str) -> list[float | None]:
    """Rarity of each stretch; None where it has no seed for certain, or there is no text to count in."""
    total = sum(
        n
        for part in background.parts
        for model, n in _by_model(part, channel).items()
        if model is None or model not in background.models
    )
    total -= sum(background.parts[part].segment.array("model")[row].as_py() is None for part, row in background.own)
    if not stretches or total <= 0:
        return [None] * len(stretches)
    keys, indptr = certain_seeds(Texts.from_offsets(*from_texts(stretches)))
    wanted, back = np.unique(keys, return_inverse=True)
    chunks = [(k, chunk) for k, part in enumerate(background.parts) for chunk in part.segment.of(channel)]
    places = [
        tuple(np.searchsorted(chunk.seeds.keys, wanted, side) for side in ("left", "right")) for _, chunk in chunks
    ]
    postings = sum((end - begin for begin, end in places), np.zeros(len(wanted), np.int64))
    made: list[float | None] = []
    known: dict[int, int] = {}
    for first, last in pairwise(indptr.tolist()):
        if first == last:
            made.append(None)
            continue
        some = back[first:last]
        rarest = int(some[np.argmin(postings[some])])
        if rarest not in known:
            known[rarest] = sum(
                _texts_with(background, k, chunk, chunk.seeds.ids[begin[rarest] : end[rarest]])
                for (k, chunk), (begin, end) in zip(chunks, places, strict=True)
                if end[rarest] > begin[rarest]
            )
        made.append(-math.log2((min(known[rarest], total) + 0.5) / (total + 1)))
    return made


def _texts_with(background: Background, k: int, chunk: Any, groups: NDArray[np.int32]) -> int:
    """Living rows of groups of equal texts that are of neither text's model, nor one of the two."""
    part = background.parts[k]
    begin = chunk.starts[groups]
    sizes = chunk.starts[groups + 1] - begin
    firsts = np.cumsum(sizes) - sizes
    rows = chunk.rows[chunk.order[np.arange(sizes.sum()) + np.repeat(begin - firsts, sizes)]]
    kept = np.ones(len(rows), np.bool_) if part.alive is None else part.alive[rows].copy()
    codes, known = part.segment.codes("model")
    kept &= ~np.isin(codes[rows], [known[model] for model in background.models if model in known])
    own = [row for which, row in background.own if which == k]
    return int(np.count_nonzero(kept & ~np.isin(rows, own)))


def _by_model(part: Living, channel: str) -> dict[str | None, int]:
    known = _COUNTED.get(part.segment)
    if known is not None and known[0] is part.alive:
        return known[1]
    codes, models = part.segment.codes("model")
    counts: dict[str | None, int] = {}
    for chunk in part.segment.of(channel):
        rows = chunk.rows if part.alive is None else chunk.rows[part.alive[chunk.rows]]
        sizes = np.bincount(codes[rows] + 1, minlength=len(models) + 1)
        for model, code in ((None, -1), *models.items()):
            counts[model] = counts.get(model, 0) + int(sizes[code + 1])
    _COUNTED[part.segment] = (part.alive, counts)
    return counts
