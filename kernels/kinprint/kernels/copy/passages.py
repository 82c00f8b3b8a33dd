"""Passages: which texts stand, in part, in which others, token for token, and how rare each shared stretch is.

Here a text is a row of folded *tokens* (:mod:`~kinprint.kernels.copy.tokens`): its words and its spaceless code points,
in the order in which they stand, without case, punctuation and Unicode form. Each :data:`GRAM` tokens in a row are
hashed, and of every :data:`WINDOW` such hashes the least is a seed (winnowing, see
:mod:`~kinprint.kernels.copy.seeds`), so that two texts with :data:`GUARANTEE` tokens in a row in common have a seed in
common for certain. Seeds of both sets of texts are sorted once; where texts of both sides meet, the match is extended
to both sides as far as tokens agree, compared themselves and not by their hashes, and cut back to whole graphemes.
What is found is exact; what is shorter than :data:`GUARANTEE` tokens is found by luck and left out.

A seed that stands in very many texts is a common phrase, and every pair of texts that have it would be looked at.
Seeds of more than ``max_texts`` texts of the other side are therefore passed over, and counted; so are those that a
text and the other side repeat so often, as lines of a table or one word over and over, that their places make more
than :data:`REPEATS` times as many pairs. A passage is lost by it only if all the seeds within it are such.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy.matching import by_text, find_in_chunk, runs_of
from kinprint.kernels.copy.postings import GUARANTEE as GUARANTEE
from kinprint.kernels.copy.postings import Postings, postings
from kinprint.kernels.copy.rarity import bits as bits
from kinprint.kernels.copy.rarity import counts_elsewhere
from kinprint.kernels.copy.rarity import looks_like_code as looks_like_code
from kinprint.kernels.copy.rarity import share_within as share_within
from kinprint.kernels.copy.rarity import stretches as stretches
from kinprint.kernels.spread import threads
from numpy.typing import NDArray

T = TypeVar("T")
MAX_TEXTS: Final = 2_000
"""Texts of the other side that a seed may stand in, by default."""
VERSION: Final = 2
"""Raised whenever the seeds of any text change."""


class Passages(NamedTuple):
    """p shared stretches, ordered by text, then place, longest first, then by the other text."""

    a: NDArray[np.int64]
    """Text that holds it, a row of the first side."""
    b: NDArray[np.int64]
    """Text of the other side that holds it as well."""
    start_a: NDArray[np.int64]
    """First byte in a."""
    start_b: NDArray[np.int64]
    """First byte in b."""
    bytes: NDArray[np.int64]
    """Its bytes in a."""
    tokens: NDArray[np.int64]
    """Its words and spaceless code points."""
    texts: NDArray[np.int64]
    """Texts of the other side that were found to hold all of it."""
    seed: NDArray[np.int64]
    """The posting of a that it is weighed by: its rarest seed of those that every text with its tokens has."""
    bytes_b: NDArray[np.int64]
    """Its bytes in b."""
    differences: NDArray[np.int64]
    """How b has it otherwise than a, bits of :data:`~kinprint.kernels.copy.differences.DIFFERENCES`; 0 if identical."""

    @classmethod
    def joined(cls, parts: list[Passages]) -> Passages:
        """Several tables as one."""
        if not parts:
            return cls(*(np.empty(0, np.int64) for _ in cls._fields))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class Found(NamedTuple):
    """One step of :meth:`Index.find`."""

    passages: Passages
    texts: int
    """Texts of the first side looked at so far."""
    skipped: int
    """Seeds passed over so far, as common to too many texts."""


def _ahead(work: Callable[[int], T], arguments: Iterable[int], workers: int) -> Iterator[T]:
    """``map(work, arguments)`` by so many threads, one result ahead of each; by the calling thread if it is one."""
    if workers == 1:
        yield from map(work, arguments)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for argument in arguments:
                waiting.append(pool.submit(work, argument))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Index:
    """Seeds of two sets of texts, or of one, between whose texts passages are sought.

    Parameters
    ----------
    texts
        Those of the first side, then those of the second.
    second
        Number of the first text of the second side; 0 if there is but one set, whose texts are compared with each
        other.
    made
        Postings of the texts, or of those that are looked at and all of others that have their seeds, see
        :mod:`~kinprint.kernels.copy.partitions`; otherwise they are made of the texts.

    Raises
    ------
    ValueError
        If ``second`` is out of range, or there are 2^31 texts or more.
    """

    def __init__(self, texts: Texts, second: int = 0, made: Postings | None = None) -> None:
        if not 0 <= second <= len(texts):
            raise ValueError(f"second must be in 0..{len(texts)}, not {second}")
        self.texts = texts
        self.second = second
        self.postings = postings(texts) if made is None else made
        self._begins = np.empty(self.postings.hashes.size, np.int64)
        self._ends = np.empty(self.postings.hashes.size, np.int64)
        self._texts_from = np.empty(self.postings.hashes.size, np.int32)
        hashes, rows = frozen(self.postings.hashes), frozen(self.postings.texts)
        runs_of(hashes, rows, self._begins, self._ends, self._texts_from)

    def find(
        self,
        *,
        min_tokens: int = GUARANTEE,
        max_texts: int = MAX_TEXTS,
        every: bool = False,
        at_once: int = 1024,
        rows: tuple[int, int] | None = None,
    ) -> Iterator[Found]:
        """Passages of the texts of the first side that stand in others of the second.

        Parameters
        ----------
        min_tokens
            Least tokens of a passage; below :data:`GUARANTEE` more are found, but not all.
        max_texts
            Texts of the other side that a seed may stand in; see the module's text.
        every
            List each text of the other side that holds a passage. Otherwise each passage is listed once, those within
            a longer one left out, with the first text that holds it.
        at_once
            Texts of the first side looked at between two results.
        rows
            Look only at the texts from the first of these numbers to the one before the second.

        Raises
        ------
        ValueError
            If a number is below 1.
        """
        for name, value in (("min_tokens", min_tokens), ("max_texts", max_texts), ("at_once", at_once)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        count = self.second or len(self.texts)
        return self._find(min_tokens, max_texts, every, at_once, *(rows or (0, count)))

    def _find(
        self, min_tokens: int, max_texts: int, every: bool, at_once: int, start: int, end: int
    ) -> Iterator[Found]:
        count = self.second or len(self.texts)
        indptr = np.zeros(count + 1, np.int64)
        order = np.empty(int((self.postings.texts < count).sum()), np.int64)
        by_text(frozen(self.postings.texts), count, indptr, order)
        shared = (
            frozen(self.texts.addresses),
            frozen(self.texts.lengths),
            frozen(self.postings.hashes),
            frozen(self.postings.texts),
            frozen(self.postings.places),
            frozen(self._begins),
            frozen(self._ends),
            frozen(self._texts_from),
            frozen(indptr),
            frozen(order),
        )

        def look(first: int) -> tuple[NDArray[np.int64], int, int]:
            skipped = np.zeros(1, np.int64)
            last = min(end, first + at_once)
            rows = find_in_chunk(*shared, first, last, self.second, max_texts, min_tokens, every, skipped)
            return rows, last, int(skipped[0])

        total = 0
        for rows, last, skipped in _ahead(look, range(start, end, at_once), threads()):
            total += skipped
            yield Found(Passages(*np.ascontiguousarray(rows.T)), last, total)

    @property
    def begins(self) -> NDArray[np.int64]:
        """Where the run of equal hashes of each posting begins, int64[m]."""
        return self._begins

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where it ends, int64[m]."""
        return self._ends

    def counts(self, passages: Passages, models: NDArray[np.int32], prompts: NDArray[np.int32]) -> NDArray[np.int64]:
        """How often each passage occurs in texts of neither of its two models.

        That is counted by a seed of it, and so never too low where a passage has :data:`GUARANTEE` tokens.

        Parameters
        ----------
        models, prompts : int32[n]
            Code of the model and of the prompt of every text; negative where unknown. A text of an unknown model is
            another model's unless it is one of the two texts.

        Returns
        -------
        int64[p, 4]
            Other models' texts that have it and how many there are; the same among answers to the prompt of a.

        Raises
        ------
        ValueError
            If a shape or dtype does not fit.
        """
        for name, codes in (("models", models), ("prompts", prompts)):
            if codes.dtype != np.int32 or codes.shape != (len(self.texts),):
                raise ValueError(f"{name} must be int32[{len(self.texts)}], not {codes.dtype}{list(codes.shape)}")
        sizes = np.bincount(models[models >= 0]).astype(np.int64)
        by_prompt = np.argsort(prompts, kind="stable").astype(np.int64)
        a, b, seed = (frozen(np.ascontiguousarray(c)) for c in (passages.a, passages.b, passages.seed))
        out = np.zeros((len(a), 4), np.int64)
        counts_elsewhere(
            len(a),
            frozen(self.postings.texts),
            frozen(self._begins),
            frozen(self._ends),
            a,
            b,
            seed,
            frozen(models),
            frozen(prompts),
            frozen(sizes),
            frozen(by_prompt),
            frozen(prompts[by_prompt]),
            out,
        )
        return out
