"""Passages of any number of texts, and their rarity against all others, in bounded memory.

:class:`~kinprint.kernels.copy.passages.Index` holds the postings of all texts between which passages are sought. Where
they are too many for that, they go through three steps, none of which holds them all:

1. *Cut*: texts are cut into seeds some ten thousand at a time, and the postings of each chunk, sorted by hash, are
   given to ``keep``, which may put them into a file: 16 bytes a seed, about 850 an answer of 165 words.
2. *Met*: postings of one range of hashes after another are put together. Only seeds that stand on both sides can lead
   to a passage; those are kept for matching (16 bytes a seed), with at most :data:`CROWD` times ``max_texts`` texts of
   a side. For counting are kept the texts, of either side or none, that share a seed with a text of the first (12
   bytes).
3. *Blocks* of the first side, as many texts as there is memory for with all that their seeds meet, make an index of
   their own.

Which passages are found does not depend on it. Nor does how often they occur elsewhere, unless a passage has fewer than
12 whole tokens, or the first side has a seed of it in more than :data:`CROWD` times ``max_texts`` texts: another seed
of the passage may then be the one that is counted.

The *background* are texts of neither side, which say how rare a passage is, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.passages import GUARANTEE, MAX_TEXTS, Index, Passages
from kinprint.kernels.copy.postings import Postings, postings
from kinprint.kernels.copy.rarity import counts_elsewhere
from numpy.typing import NDArray

MEMORY: Final = 2 << 30
"""Bytes for postings, by default."""
CUT_AT_ONCE: Final = 32_768
"""Texts that are cut into seeds at once."""
CROWD: Final = 8
"""Texts of the first side that are kept of a seed for matching, by ``max_texts``."""
_SEED_BYTES: Final = 16
"""Bytes of text that have a seed, or more of them: prose has one in 19."""
_HELD: Final = 80
"""Bytes a posting takes in an index and while it is made."""
_FEW: Final = 256
"""Postings of a range of hashes that are never divided."""

Keep = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes an array and gives it back, as it is or mapped from a file."""


class Sides(NamedTuple):
    """Texts of the first side, of the second, and of the background, one after the other."""

    texts: Texts
    second: int
    """Number of the first text of the second side; 0: one set, whose texts are compared with each other."""
    background: int
    """Number of the first text of the background."""
    models: NDArray[np.int32]
    """int32[n]: code of each text's model, negative where it is unknown."""
    prompts: NDArray[np.int32]
    """int32[n]: code of each text's prompt, likewise."""


class Step(NamedTuple):
    """What :func:`find` is about to do before there are results."""

    name: str
    share: float
    """How much of that is done, 0 to 1."""


class Found(NamedTuple):
    """One result of :func:`find`."""

    passages: Passages
    counts: NDArray[np.int64]
    """int64[p, 4], see :meth:`~kinprint.kernels.copy.passages.Index.counts`, with the background."""
    texts: int
    """Texts of the first side looked at so far."""
    skipped: int
    """Seeds passed over so far, as common to too many texts."""


class Held(NamedTuple):
    """Where the postings went; filled in by :func:`find`."""

    in_memory: bool
    postings: int
    """Seeds of all texts."""
    kept: int
    """Bytes that were given to ``keep``."""
    blocks: int


class _Part(NamedTuple):
    """Postings of a range of hashes, sorted."""

    hashes: NDArray[np.uint64]
    refs: NDArray[np.uint64]
    """uint64[m]: text << 32 | place."""


class _Seen(NamedTuple):
    """Texts that have the seeds of a range of hashes, sorted by seed, then text."""

    hashes: NDArray[np.uint64]
    texts: NDArray[np.int32]


def _same(array: NDArray[Any]) -> NDArray[Any]:
    return array


class _Counter:
    """Counts texts elsewhere, see :meth:`~kinprint.kernels.copy.passages.Index.counts`."""

    def __init__(self, sides: Sides) -> None:
        self._models, self._prompts = frozen(sides.models), frozen(sides.prompts)
        self._sizes = frozen(np.bincount(sides.models[sides.models >= 0]).astype(np.int64))
        by_prompt = np.argsort(sides.prompts, kind="stable").astype(np.int64)
        self._by_prompt, self._sorted = frozen(by_prompt), frozen(sides.prompts[by_prompt])

    def count(
        self,
        texts: NDArray[np.int32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        found: Passages,
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """int64[p, 4] of the passages ``found``, whose seeds' texts are ``texts[begins[row]:ends[row]]``."""
        out = np.zeros((len(rows), 4), np.int64)
        a, b = (frozen(np.ascontiguousarray(c)) for c in (found.a, found.b))
        counts_elsewhere(
            len(rows),
            frozen(texts),
            frozen(begins),
            frozen(ends),
            a,
            b,
            frozen(np.ascontiguousarray(rows)),
            self._models,
            self._prompts,
            self._sizes,
            self._by_prompt,
            self._sorted,
            out,
        )
        return out

    def seen(self, parts: list[_Seen], bounds: NDArray[np.uint64], found: Passages, hashes: NDArray[np.uint64]) -> Any:
        """The same by the texts that have each passage's seed, the hash of which is given."""
        out = np.zeros((len(hashes), 4), np.int64)
        of = np.searchsorted(bounds, hashes, "right")
        for k in np.unique(of):
            some = np.flatnonzero(of == k)
            begins = np.searchsorted(parts[k].hashes, hashes[some], "left").astype(np.int64)
            ends = np.searchsorted(parts[k].hashes, hashes[some], "right").astype(np.int64)
            few = Passages(*(column[some] for column in found))
            out[some] = self.count(parts[k].texts, begins, ends, few, np.arange(len(some)))
        return out


def find(
    sides: Sides,
    *,
    min_tokens: int = GUARANTEE,
    max_texts: int = MAX_TEXTS,
    every: bool = False,
    at_once: int = 1024,
    memory: int = MEMORY,
    keep: Keep = _same,
    held: list[Held] | None = None,
) -> Iterator[Step | Found]:
    """Passages of the texts of the first side that stand in others of the second, and how rare they are.

    Parameters
    ----------
    sides
        See there.
    min_tokens, max_texts, every, at_once
        See :meth:`~kinprint.kernels.copy.passages.Index.find`.
    memory
        Bytes for postings; a text of the first side with all that it meets is held whatever it says.
    keep
        Where postings go that are not looked at now.
    held
        Gets one entry: where the postings went.

    Yields
    ------
    Step, then Found
        What is under way, for people, and then what is found, text by text of the first side.

    Raises
    ------
    ValueError
        If a number does not fit.
    """
    n = len(sides.texts)
    if not 0 <= sides.second <= sides.background <= n:
        raise ValueError(f"second and background must be in order and in 0..{n}")
    for name, codes in (("models", sides.models), ("prompts", sides.prompts)):
        if codes.dtype != np.int32 or codes.shape != (n,):
            raise ValueError(f"{name} must be int32[{n}], not {codes.dtype}{list(codes.shape)}")
    if memory < 1:
        raise ValueError(f"memory must be at least 1, not {memory}")
    compared = sides.texts.take(slice(0, sides.background))
    options = {"min_tokens": min_tokens, "max_texts": max_texts, "every": every, "at_once": at_once}
    report = held if held is not None else []
    if int(compared.lengths.sum()) // _SEED_BYTES * _HELD <= memory:
        return _find_at_once(sides, compared, options, keep, report)
    return _find_in_blocks(sides, compared, options, memory, keep, report)


def _find_at_once(
    sides: Sides, compared: Texts, options: dict[str, Any], keep: Keep, report: list[Held]
) -> Iterator[Step | Found]:
    yield Step("cutting all texts into seeds", 0.0)
    index = Index(compared, sides.second)
    made = index.postings
    firsts = sides.second or sides.background
    seen = yield from _background(sides, np.unique(made.hashes[made.texts < firsts]), keep)
    counter = _Counter(sides)
    report.append(Held(True, made.hashes.size, seen.hashes.nbytes + seen.texts.nbytes, 1))
    none = np.empty(0, np.uint64)
    for found in index.find(**options):
        counts = counter.count(made.texts, index.begins, index.ends, found.passages, found.passages.seed)
        more = counter.seen([seen], none, found.passages, made.hashes[found.passages.seed])
        counts[:, [0, 2]] += more[:, [0, 2]]
        yield Found(found.passages, counts, found.texts, found.skipped)


def _background(sides: Sides, wanted: NDArray[np.uint64], keep: Keep) -> Generator[Step, None, _Seen]:
    """Texts of the background that have the seeds ``wanted``, which are sorted."""
    n = len(sides.texts)
    hashes, texts = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]
    for start in range(sides.background, n if wanted.size else 0, CUT_AT_ONCE):
        yield Step("cutting the background into seeds", 0.5 + 0.5 * (start - sides.background) / (n - sides.background))
        made = postings(sides.texts.take(slice(start, start + CUT_AT_ONCE)))
        place = np.minimum(np.searchsorted(wanted, made.hashes), wanted.size - 1)
        known = wanted[place] == made.hashes
        hashes.append(made.hashes[known])
        texts.append(made.texts[known] + np.int32(start))
    every, of = np.concatenate(hashes), np.concatenate(texts)
    order = np.argsort(every, kind="stable")
    return _Seen(keep(every[order]), keep(of[order]))


def _find_in_blocks(
    sides: Sides, compared: Texts, options: dict[str, Any], memory: int, keep: Keep, report: list[Held]
) -> Iterator[Step | Found]:
    kept = 0

    def put(array: NDArray[Any]) -> NDArray[Any]:
        nonlocal kept
        kept += array.nbytes
        return keep(array)

    n = len(sides.texts)
    chunks: list[_Part] = []
    for start in range(0, n, CUT_AT_ONCE):
        yield Step("cutting all texts into seeds", 0.6 * start / n)
        made = postings(sides.texts.take(slice(start, start + CUT_AT_ONCE)))
        refs = (made.texts.astype(np.uint64) + np.uint64(start)) << np.uint64(32) | made.places.astype(np.uint64)
        chunks.append(_Part(put(made.hashes), put(refs)))
    total = sum(chunk.hashes.size for chunk in chunks)
    count = max(1, min(total // _FEW, -(-2 * total * _HELD // memory)))
    bounds = (np.arange(1, count, dtype=np.float64) * (2.0**64 / count)).astype(np.uint64)
    parts: list[_Part] = []
    seen: list[_Seen] = []
    firsts = sides.second or sides.background
    cost = np.zeros(firsts + 1, np.int64)
    for k in range(count):
        yield Step("looking for seeds on both sides", 0.6 + 0.4 * k / count)
        part, all_of = _reduced(_gathered(chunks, bounds, k), sides, options["max_texts"], cost[1:])
        parts.append(_Part(put(part.hashes), put(part.refs)))
        seen.append(_Seen(put(all_of.hashes), put(all_of.texts)))
    del chunks
    counter = _Counter(sides)
    np.cumsum(cost, out=cost)
    skipped, first, blocks = 0, 0, 0
    while first < firsts:
        last = int(np.searchsorted(cost, cost[first] + memory // _HELD, "right")) - 1
        last = min(firsts, max(last, first + 1))
        made = _block(sides, parts, bounds, first, last)
        index = Index(compared, sides.second, made=made)
        before, blocks = skipped, blocks + 1
        for found in index.find(**options, rows=(first, last)):
            skipped = before + found.skipped
            counts = counter.seen(seen, bounds, found.passages, made.hashes[found.passages.seed])
            yield Found(found.passages, counts, found.texts, skipped)
        first = last
    report.append(Held(False, total, kept, blocks))


def _gathered(chunks: list[_Part], bounds: NDArray[np.uint64], k: int) -> _Part:
    """Postings of the k-th range of hashes, sorted by hash, then text, then place."""
    hashes, refs = [], []
    for chunk in chunks:
        low = int(np.searchsorted(chunk.hashes, bounds[k - 1])) if k else 0
        high = int(np.searchsorted(chunk.hashes, bounds[k])) if k < len(bounds) else chunk.hashes.size
        hashes.append(chunk.hashes[low:high])
        refs.append(chunk.refs[low:high])
    every, of = np.concatenate(hashes), np.concatenate(refs)
    order = np.argsort(every, kind="stable")  # chunks follow each other by text
    return _Part(every[order], of[order])


def _reduced(part: _Part, sides: Sides, max_texts: int, cost: NDArray[np.int64]) -> tuple[_Part, _Seen]:
    """(Postings of seeds on both sides, texts of all seeds that the first side and another text have).

    ``cost`` gets the postings that each text of the first side has and would meet.
    """
    hashes, refs = part
    texts = (refs >> np.uint64(32)).astype(np.int32)
    if hashes.size == 0:
        return part, _Seen(hashes, texts)
    new = np.concatenate(([True], hashes[1:] != hashes[:-1]))
    run = np.cumsum(new) - 1
    first = new | np.concatenate(([True], texts[1:] != texts[:-1]))
    runs = int(run[-1]) + 1
    of_a = np.bincount(run[first & (texts < len(cost))], minlength=runs)
    cost += np.bincount(texts[texts < len(cost)], minlength=len(cost))
    some = ((of_a > 0) & (np.bincount(run[first], minlength=runs) > 1))[run]
    seen = _Seen(hashes[some & first], texts[some & first])
    if sides.second:
        other = (texts >= sides.second) & (texts < sides.background)
        met = ((of_a > 0) & (np.bincount(run[first & other], minlength=runs) > 0))[run]
    else:
        met = (of_a > 1)[run]
    hashes, refs, texts, run, first = hashes[met], refs[met], texts[met], run[met], first[met]
    if hashes.size == 0:
        return _Part(hashes, refs), seen
    kept = texts < sides.background
    for low, high, most in (
        (0, sides.second, CROWD * max_texts),
        (sides.second, sides.background, max_texts + 1 if sides.second else CROWD * max_texts),
    ):
        of_side = (texts >= low) & (texts < high)
        rank = np.cumsum(first & of_side)
        begin = np.concatenate(([True], run[1:] != run[:-1]))
        before = (rank - (first & of_side))[begin]
        kept &= ~of_side | (rank - before[np.cumsum(begin) - 1] <= most)
    sizes = np.bincount(run[kept], minlength=runs)
    of_first = texts < len(cost)
    cost += np.bincount(texts[of_first], weights=sizes[run[of_first]], minlength=len(cost)).astype(np.int64)
    return _Part(hashes[kept], refs[kept]), seen


def _block(sides: Sides, parts: list[_Part], bounds: NDArray[np.uint64], first: int, last: int) -> Postings:
    """Postings of the texts first .. last-1, and of all others that have their seeds."""
    own = postings(sides.texts.take(slice(first, last)))
    hashes = [own.hashes]
    refs = [(own.texts.astype(np.uint64) + np.uint64(first)) << np.uint64(32) | own.places.astype(np.uint64)]
    wanted = np.unique(own.hashes)
    cuts = np.concatenate(([0], np.searchsorted(wanted, bounds), [wanted.size]))
    for k, part in enumerate(parts):
        some = wanted[cuts[k] : cuts[k + 1]]
        begin, end = (np.searchsorted(part.hashes, some, side) for side in ("left", "right"))
        sizes = end - begin
        at = np.arange(int(sizes.sum())) + np.repeat(begin - np.cumsum(sizes) + sizes, sizes)
        found = part.refs[at]
        texts = found >> np.uint64(32)
        others = (texts < first) | (texts >= last)
        hashes.append(part.hashes[at][others])
        refs.append(found[others])
    every, of = np.concatenate(hashes), np.concatenate(refs)
    order = np.lexsort((of, every))
    every, of = every[order], of[order]
    return Postings(every, (of >> np.uint64(32)).astype(np.int32), (of & np.uint64(0xFFFFFFFF)).astype(np.int32))
