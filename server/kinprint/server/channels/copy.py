"""The copy channel: rows that hold stretches of the query, word for word.

A row's sketch is kept for finding duplicates; a search goes through the seeds of the texts (`kernels.copy.seeds`), and
what it finds is verified exactly from the texts themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import disguise, overlap, seeds, shingle, sketch
from kinprint.kernels.copy.seeds import SeedIndex
from kinprint.server.channels import rarity
from kinprint.server.channels.protocol import (
    Background,
    Channel,
    Comparison,
    Found,
    Limits,
    Living,
    Match,
    Query,
    Target,
)
from kinprint.server.channels.ranking import Scored, best
from kinprint.server.channels.seeing import Sight
from kinprint.server.channels.shared import SPAN_TEXT, Span, shared_spans
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.store import files
from kinprint.server.store.columns import binary_to_rows, encode_texts, rows_to_binary
from kinprint.server.store.segment import Merging, check_places, check_rows, check_starts
from numpy.typing import NDArray

WIDTH = 128
#: Candidates that are verified where the best are worth little, those with most shared seeds first; more when more
#: hits are asked for.
VERIFIED = 128
#: Shingles of a query up to which it is a fragment, whose few seeds say little: eight times as many are verified.
FRAGMENT = 64
#: Candidates that are verified at once, and how many to begin with: often the best are among them.
AT_ONCE, AT_FIRST = 128, 32
#: Standard errors that a candidate is given the benefit of where the best score `CERTAIN` or more; fewer below, and
#: none where they score `WORTH`, from which on hits matter at all.
BENEFIT, CERTAIN, WORTH = 3.0, 0.35, 0.2


#: Seeds of some texts, and which of these are disguised.
_SeenThrough = tuple[SeedIndex, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class CopyChunk:
    """Sketches and seeds of some rows.

    rows int64[m] ascending, signatures uint32[m, 128], text_hashes uint64[m, 2].
    Equal texts form a *group*; `order` int64[m] lists the chunk's positions group by group, `starts` int64[groups + 1]
    where each group begins, so that a million equal answers are one candidate.  `seeds` has a text a group.
    """

    rows: NDArray[np.int64]
    signatures: NDArray[np.uint32]
    text_hashes: NDArray[np.uint64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    seeds: SeedIndex
    #: Version of `kernels.copy.disguise` by which disguised texts have the seeds of what they pretend to be as well.
    disguises: int = 0
    #: Which texts these are, int64[d], ascending.
    disguised: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _late: list[_SeenThrough] = field(default_factory=list)

    def seen_through(self, texts: Texts) -> _SeenThrough:
        """Seeds with those of disguised texts; made when first asked for where the chunk was written without.

        `texts` are the answers of the whole segment.
        """
        if self.disguises == disguise.VERSION:
            return self.seeds, self.disguised
        if not self._late:
            self._late.append(_seen_through(self.seeds, texts.take(self.rows[self.representatives])))
        return self._late[0]

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """Position of the first member of each group, int64[groups]."""
        return self.order[self.starts[:-1]]


def _grouped(rows: NDArray[np.int64], text_hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(order, starts) of a chunk; groups ascend by their hash."""
    order = np.lexsort((rows, text_hashes[:, 1], text_hashes[:, 0]))
    hashes = text_hashes[order]
    first = np.ones(len(order), bool)
    first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
    return order, np.append(np.flatnonzero(first), len(order))


@dataclass(frozen=True, slots=True, eq=False)
class CopyMatch(Match):
    """Adds the sizes behind the score: |A and B|, |A|, |B| in distinct shingles.

    `identical`: the normalised texts are equal.  `one_shingle`: the query is shorter than one shingle and was
    compared as a whole.
    """

    shared: int
    query_size: int
    match_size: int
    identical: bool
    one_shingle: bool


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Shared shingles, exact, and shared spans, longest first."""

    shared: int
    query_size: int
    match_size: int
    identical: bool
    query_is_one_shingle: bool
    spans: list[Span]
    spans_omitted: int
    #: Names of the disguises (`kernels.copy.disguise`) that were undone where the texts match.
    disguises: tuple[str, ...] = ()

    @property
    def jaccard(self) -> float:
        """|A and B| / |A or B|; 0 when both are empty."""
        union = self.query_size + self.match_size - self.shared
        return self.shared / union if union else 0.0

    @property
    def containment_query(self) -> float:
        """|A and B| / |A|."""
        return self.shared / self.query_size if self.query_size else 0.0

    @property
    def containment_match(self) -> float:
        """|A and B| / |B|."""
        return self.shared / self.match_size if self.match_size else 0.0


class CopyChannel(Channel[CopyChunk, CopyMatch, CopyEvidence]):
    """See the module's text."""

    name: ClassVar[str] = "copy"
    number: ClassVar[int] = 1
    column: ClassVar[str] = "sketch"
    since: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("sketch", "text_hash")
    scheme: ClassVar[str] = str(sketch.Scheme())

    @property
    def schemes(self) -> dict[str, str]:
        """See Channel."""
        return {"sketch": self.scheme, "seeds": str(seeds.VERSION)}

    def fingerprint(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> dict[str, pl.Series]:
        """Columns sketch and shingles."""
        made = sketch.sketch(data, offsets)
        return {"sketch": rows_to_binary(made.signatures), "shingles": pl.Series(made.sizes, dtype=pl.Int32)}

    def build(
        self, rows: NDArray[np.int64], columns: pl.DataFrame, texts: Texts, space: EmbeddingSpace | None
    ) -> CopyChunk:
        """See Channel."""
        text_hashes = binary_to_rows(columns["text_hash"], np.uint64, 2)
        order, starts = _grouped(rows, text_hashes)
        some = texts.take(rows[order[starts[:-1]]])
        index, disguised = _seen_through(seeds.build(some), some)
        signatures = binary_to_rows(columns["sketch"], np.uint32, WIDTH)
        return CopyChunk(rows, signatures, text_hashes, order, starts, index, disguise.VERSION, disguised)

    def merge(self, chunks: Sequence[CopyChunk], merging: Merging) -> CopyChunk:
        """See Channel."""
        text_hashes = merging.gather(c.text_hashes for c in chunks)
        order, starts = _grouped(merging.rows, text_hashes)
        # The group, in the merged chunk, of every row of the old ones; -1 for those that are dropped.
        of_merged = np.empty(len(order), np.int32)
        of_merged[order] = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
        group = of_merged
        if merging.sources is not None:
            group = np.full(sum(len(c.rows) for c in chunks), -1, np.int32)
            group[merging.sources] = of_merged
        names, end = [], 0
        for chunk in chunks:
            begin, end = end, end + len(chunk.rows)
            names.append(np.maximum.reduceat(group[begin:end][chunk.order], chunk.starts[:-1]))
        index = seeds.merge([c.seeds for c in chunks], names, len(starts) - 1)
        signatures = merging.gather(c.signatures for c in chunks)
        version = min(chunk.disguises for chunk in chunks)
        disguised = np.unique(np.concatenate([some[c.disguised] for some, c in zip(names, chunks, strict=True)]))
        disguised = disguised[disguised >= 0].astype(np.int64)
        return CopyChunk(merging.rows, signatures, text_hashes, order, starts, index, version, disguised)

    def save(self, folder: Path, chunk: CopyChunk) -> None:
        """See Channel."""
        arrays: dict[str, NDArray] = {
            "rows": chunk.rows,
            "signatures": chunk.signatures,
            "hashes": chunk.text_hashes,
            "order": chunk.order,
            "starts": chunk.starts,
            "seed-keys": chunk.seeds.keys,
            "seed-ids": chunk.seeds.ids,
            "seed-starts": chunk.seeds.starts,
            "disguises": np.concatenate(([chunk.disguises], chunk.disguised)).astype(np.int64),
        }
        for name, array in arrays.items():
            files.save_array(folder / f"copy-{name}.npy", array)

    def load(self, folder: Path) -> CopyChunk | None:
        """See Channel."""
        if not (folder / "copy-rows.npy").exists():
            return None
        rows, signatures, hashes, order, starts = (
            files.map_array(folder / f"copy-{name}.npy") for name in ("rows", "signatures", "hashes", "order", "starts")
        )
        keys, ids, places = (files.map_array(folder / f"copy-seed-{name}.npy") for name in ("keys", "ids", "starts"))
        check_rows("copy", rows, signatures, hashes, order)
        check_places("copy-order.npy", order, len(rows))
        check_starts("copy-starts.npy", starts, len(starts) - 1, len(rows))
        check_places("copy-seed-ids.npy", ids, len(starts) - 1)
        check_starts("copy-seed-starts.npy", places, len(places) - 1, len(keys))
        if len(ids) != len(keys):
            raise ValueError("copy-seed-keys.npy and copy-seed-ids.npy differ in length")
        version, disguised = 0, np.zeros(0, np.int64)
        if (folder / "copy-disguises.npy").exists():  # not there in what was written before there was any
            known = files.map_array(folder / "copy-disguises.npy")
            version, disguised = int(known[0]), known[1:]
            check_places("copy-disguises.npy", disguised, len(starts) - 1)
        index = seeds.SeedIndex(keys, ids, places, len(starts) - 1)
        return CopyChunk(rows, signatures, hashes, order, starts, index, version, disguised)

    def prepare(self, parts: Sequence[Living]) -> None:
        """See Channel."""
        for part in parts:
            for chunk in part.segment.of(self.name):
                chunk.seen_through(part.segment.texts)

    def search(self, query: Query, targets: Sequence[Target], limits: Limits) -> Found[CopyMatch]:
        """Rows that share text with the query; score = max(Jaccard, containment of the query), both exact.

        Candidates share a seed with the query, so a row that holds eight words of it in a row is one for certain.
        They are compared exactly in the order of their shared seeds, until none is left that could, by the seeds that
        it shares, be among the best: `BENEFIT` standard errors more than expected, a mistake in about a thousand where
        the best share `CERTAIN` of the query or more, in more where they share less.  Where not even the best `top`
        share a fifth of it, `VERIFIED` are looked at and no more.

        No score is above 1.  Once `top` rows have it, another can only take the place of one of these by its corpus
        and id; from then on candidates go in that order, and those that come after the last of the `top` are passed
        over unread, however many there are.
        """
        asked = Texts.from_offsets(*query.buffers)
        if query.see_through:
            asked, _ = disguise.without_disguises(asked)
        shingles, _indptr, flags = shingle.sets_of(asked)
        if len(shingles) == 0:
            return Found([], {"shingles": 0, "copy_candidates": 0, "copy_verified": 0})
        found = _Found(limits, shingles)
        sources = [c for c in _candidates(shingles, targets, query.see_through) if len(c.groups)]
        source = np.repeat(np.arange(len(sources)), [len(c.groups) for c in sources])
        counts = np.concatenate([c.counts for c in sources]) if sources else np.zeros(0, np.uint32)
        groups = np.concatenate([c.groups for c in sources]) if sources else np.zeros(0, np.int64)
        order = np.argsort(-counts.astype(np.int64), kind="stable") if len(sources) > 1 else np.arange(len(counts))

        def parts(batch: NDArray[np.int64]) -> list[tuple[_Candidates, NDArray[np.int64]]]:
            return [(sources[k], groups[batch[source[batch] == k]]) for k in np.unique(source[batch])]

        verified = 0
        budget = max(VERIFIED if len(shingles) > FRAGMENT else 8 * VERIFIED, 8 * limits.top)
        while verified < len(order) and not found.settled:
            if verified and not found.may_improve(int(counts[order[verified]]), verified >= budget):
                break
            limits.check()
            batch = order[verified : verified + (AT_ONCE - verified % AT_ONCE if verified else AT_FIRST)]
            verified += len(batch)
            found.verify(parts(batch))
        if found.settled:
            rest = order[verified:]
            rest = rest[: np.count_nonzero(seeds.estimated_shared(counts[rest], BENEFIT) >= len(shingles))]
            ahead = _Ahead.of(parts(rest)) if len(rest) else None
            while ahead is not None and (some := ahead.take(found.last_key(), AT_FIRST)):
                limits.check()
                verified += sum(len(g) for _, g in some)
                found.verify(some)
        matches = found.matches(query, bool(flags[0] & shingle.WHOLE_TEXT))
        return Found(matches, {"shingles": len(shingles), "copy_candidates": len(order), "copy_verified": verified})

    def explain(self, query: Query, match: CopyMatch, spans: int) -> CopyEvidence:
        """The exact sizes behind a score, and the shared spans."""
        shared = shared_spans(Sight(query.text, query.see_through), Sight(match.response, query.see_through), spans)
        return CopyEvidence(
            match.shared, match.query_size, match.match_size, match.identical, match.one_shingle, *shared
        )

    def weighed(self, evidence: CopyEvidence, query: Query, background: Background) -> CopyEvidence:
        """See Channel."""
        places = [(s.query_start, min(s.query_end, s.query_start + SPAN_TEXT)) for s in evidence.spans]
        stretches = [rarity.whole_words(query.text, *place) for place in places]
        bits = rarity.bits_of(stretches, background, self.name)
        spans = [replace(span, bits=some) for span, some in zip(evidence.spans, bits, strict=True)]
        return replace(evidence, spans=spans)

    def compare(self, a: Query, b: Query, comparison: Comparison) -> CopyEvidence:
        """See Channel."""
        seen = Sight(a.text, a.see_through), Sight(b.text, b.see_through)
        hashes, indptr, flags = shingle.shingle_sets(*encode_texts([side.text for side in seen]))
        shared = overlap.intersections(hashes, indptr, np.array([0]), np.array([1]))
        text_hashes = shingle.text_hashes(*encode_texts([a.text, b.text]))
        sizes = np.diff(indptr)
        listed, omitted, disguises = shared_spans(*seen, comparison.spans)
        found = CopyEvidence(
            shared=int(shared[0]),
            query_size=int(sizes[0]),
            match_size=int(sizes[1]),
            identical=bool((text_hashes[0] == text_hashes[1]).all()),
            query_is_one_shingle=bool(flags[0] & shingle.WHOLE_TEXT),
            spans=listed,
            spans_omitted=omitted,
            disguises=disguises,
        )
        return self.weighed(found, a, comparison.background)


def _seen_through(index: SeedIndex, texts: Texts) -> _SeenThrough:
    """The seeds of texts with, for those that are disguised, the seeds of what they pretend to be."""
    plain, rows = disguise.without_disguises(texts)
    if not len(rows):
        return index, rows
    names = [np.arange(len(texts), dtype=np.int32), rows.astype(np.int32)]
    return seeds.merge([index, seeds.build(plain.take(rows))], names, len(texts)), rows


@dataclass(frozen=True, eq=False, slots=True)
class _Candidates:
    """Groups of identical texts of one chunk that share seeds with the query, most first."""

    target: Target
    chunk: CopyChunk
    groups: NDArray[np.int64]
    counts: NDArray[np.uint32]
    #: Groups of the chunk whose texts are to be cleaned before they are compared, ascending.
    disguised: NDArray[np.int64]

    def first(self, group: int, most: int) -> NDArray[np.int64]:
        """Rows of a group that may be returned; of very many equal ones those with the smallest ids."""
        rows = self.chunk.rows[self.chunk.order[self.chunk.starts[group] : self.chunk.starts[group + 1]]]
        passing = self.target.passing(rows)
        rows = rows if passing is None else rows[passing]
        if len(rows) <= most:
            return rows
        ids = pa.table({"id": self.target.segment.array("id").take(pa.array(rows))})
        smallest = np.asarray(pc.select_k_unstable(ids, most, sort_keys=[("id", "ascending")]))
        return np.asarray(rows[smallest])


def _candidates(shingles: NDArray[np.uint64], targets: Sequence[Target], see_through: bool) -> Iterator[_Candidates]:
    for target in targets:
        for chunk in target.segment.of(CopyChannel.name):
            index, disguised = chunk.seeds, np.zeros(0, np.int64)
            if see_through:
                index, disguised = chunk.seen_through(target.segment.texts)
            found, counts = seeds.query(index, shingles)
            groups = found.astype(np.int64)
            if target.mask is not None:
                some = _some_pass(target.mask, chunk, groups)
                groups, counts = groups[some], counts[some]
            yield _Candidates(target, chunk, groups, counts, disguised)


def _some_pass(mask: NDArray[np.bool_], chunk: CopyChunk, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Groups of which a row passes."""
    if len(groups) == 0:
        return np.zeros(0, np.bool_)
    rows, firsts = _rows_of(chunk, groups)
    passing: NDArray[np.bool_] = np.logical_or.reduceat(mask[rows], firsts)
    return passing


def _rows_of(chunk: CopyChunk, groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of some groups, one group after another, and where each begins; costs what these groups hold."""
    begin = chunk.starts[groups]
    sizes = chunk.starts[groups + 1] - begin
    firsts = np.cumsum(sizes) - sizes
    return chunk.rows[chunk.order[np.arange(sizes.sum()) + np.repeat(begin - firsts, sizes)]], firsts


@dataclass(frozen=True, eq=False, slots=True)
class _Ahead:
    """Candidates in the order of the first (corpus, id) of their rows."""

    sources: list[_Candidates]
    #: (corpus, id, which of the sources, group), the first one last.
    waiting: list[tuple[str, str, int, int]]

    @classmethod
    def of(cls, parts: Sequence[tuple[_Candidates, NDArray[np.int64]]]) -> _Ahead:
        """Of some groups of some chunks."""
        waiting = []
        for k, (candidates, groups) in enumerate(parts):
            target = candidates.target
            rows, firsts = _rows_of(candidates.chunk, groups)
            group = np.repeat(groups, np.diff(np.append(firsts, len(rows))))
            passing = target.passing(rows)
            if passing is not None:
                rows, group = rows[passing], group[passing]
            names = target.segment.array("id").take(pa.array(rows)).to_pylist()
            least: dict[int, str] = {}
            for g, name in zip(group.tolist(), names, strict=True):
                if g not in least or name < least[g]:
                    least[g] = name
            waiting += [(target.corpus, name, k, g) for g, name in least.items()]
        return cls([candidates for candidates, _ in parts], sorted(waiting, reverse=True))

    def take(self, before: tuple[str, str], most: int) -> list[tuple[_Candidates, NDArray[np.int64]]]:
        """The next candidates of which a row comes before a (corpus, id), out of this; none when there is no more."""
        taken: dict[int, list[int]] = {}
        while self.waiting and most and self.waiting[-1][:2] < before:
            _corpus, _name, k, group = self.waiting.pop()
            taken.setdefault(k, []).append(group)
            most -= 1
        return [(self.sources[k], np.array(groups, np.int64)) for k, groups in taken.items()]


class _Found:
    """Rows found so far, and what it takes to be among the best."""

    def __init__(self, limits: Limits, shingles: NDArray[np.uint64]) -> None:
        self._top, self._floor = limits.top, max(limits.min_score or 0.0, 0.0)
        self._shingles, self._size = shingles, len(shingles)
        self._rows: list[Scored] = []
        self._details: list[tuple[int, int, NDArray[np.uint64]]] = []
        self._scores = np.zeros(0)
        self._bar = self._floor

    @property
    def settled(self) -> bool:
        """Whether `top` rows have the largest score that there is."""
        return len(self._scores) >= self._top and bool(self._scores.min() >= 1.0)

    def last_key(self) -> tuple[str, str]:
        """(corpus, id) of the last of the `top` best."""
        self._rows = [row for row, _ in best(self._rows, self._top)]
        last, name = best(self._rows, self._top)[-1]
        return last.target.corpus, name

    def may_improve(self, count: int, enough: bool) -> bool:
        """Whether a candidate with so many shared seeds could be among the best; where none of these is worth much,
        until `enough` were looked at.
        """
        if self._bar < WORTH:
            return not enough
        errors = BENEFIT * min(1.0, (self._bar - WORTH) / (CERTAIN - WORTH))
        return bool(seeds.estimated_shared(count, errors) >= self._bar * self._size)

    def verify(self, parts: Sequence[tuple[_Candidates, NDArray[np.int64]]]) -> None:
        """Compare some candidates with the query exactly."""
        named: list[tuple[_Candidates, NDArray[np.int64], NDArray[np.int64] | None]] = []
        texts = []
        for candidates, groups in parts:
            chunk, stored = candidates.chunk, candidates.target.segment.texts
            hidden = groups[np.isin(groups, candidates.disguised)] if len(candidates.disguised) else groups[:0]
            if len(hidden):
                # Texts that are equal once folded may differ without their disguises: each is looked at.
                members = [candidates.first(group, self._top) for group in hidden.tolist()]
                rows = np.concatenate(members)
                named.append((candidates, np.repeat(hidden, [len(some) for some in members]), rows))
                texts.append(disguise.without_disguises(stored.take(rows))[0])
                groups = np.setdiff1d(groups, hidden)
            named.append((candidates, groups, None))
            texts.append(stored.take(chunk.rows[chunk.order[chunk.starts[groups]]]))
        joined = Texts.joined(texts)
        shared, sizes = overlap.query_overlap_of(self._shingles, joined, np.arange(len(joined)))
        end = 0
        for candidates, groups, apart in named:
            begin, end = end, end + len(groups)
            self._add(candidates, groups, shared[begin:end], sizes[begin:end], apart)

    def _add(
        self,
        candidates: _Candidates,
        groups: NDArray[np.int64],
        shared: NDArray[np.int64],
        sizes: NDArray[np.int64],
        rows: NDArray[np.int64] | None,
    ) -> None:
        """Note verified groups, or one row of each that `rows` names.

        Of a score that cannot be among the best no more rows than are asked for.
        """
        scores = np.maximum(shared / (self._size + sizes - shared), shared / self._size)
        good = np.flatnonzero((scores > 0) & (scores >= self._bar))
        good = good[np.argsort(-scores[good], kind="stable")]
        room = self._top
        last_score = -1.0
        kept = []
        for g in good:
            score = float(scores[g])
            if room <= 0 and score < last_score:
                break
            members = candidates.first(int(groups[g]), self._top) if rows is None else rows[g : g + 1]
            self._rows += [Scored(candidates.target, int(row), score, len(self._details)) for row in members]
            chunk = candidates.chunk
            text_hash = chunk.text_hashes[chunk.order[chunk.starts[groups[g]]]]
            self._details.append((int(shared[g]), int(sizes[g]), text_hash))
            room -= len(members)
            last_score = score
            kept += [score] * len(members)
        self._scores = np.concatenate((self._scores, kept))
        if len(self._scores) >= self._top:
            self._scores = np.partition(self._scores, -self._top)[-self._top :]
            self._bar = max(self._floor, float(self._scores[0]))

    def matches(self, query: Query, one_shingle: bool) -> list[CopyMatch]:
        """The best of all that was verified."""
        chosen = best(self._rows, self._top)
        text_hash = None
        if any(self._details[row.tag][:2] == (self._size, self._size) for row, _ in chosen):
            text_hash = shingle.text_hashes(*query.buffers)[0]
        made = []
        for row, name in chosen:
            shared, size, other = self._details[row.tag]
            identical = text_hash is not None and bool((other == text_hash).all())
            made.append(
                CopyMatch(row.target, row.row, name, row.score, shared, self._size, size, identical, one_shingle)
            )
        return made
