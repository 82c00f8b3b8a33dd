"""Duplicates: all near-duplicate pairs of a set of texts, or the clusters that they make.

The order of the steps is the same for every caller, so that a server and a frame without one give the same answers:

1. sketch and hash every text (:func:`rows_of`), the only pass over all of the text;
2. collapse identical normalised answers; blank texts match nothing;
3. candidates: bands of the sketches (:mod:`~kinprint.kernels.copy.lsh`), or, in exact mode, the prefix join of the
   shingle sets (:mod:`~kinprint.kernels.copy.join`), which misses nothing;
4. verify each candidate by the exact Jaccard similarity of the shingle sets, read from the texts again.

Rows are numbers; whoever calls puts them in the order of their ids, so that of identical texts the first row is the
one with the smallest id. With ``sides`` only pairs between two sets of texts are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from kinprint.kernels.arrow import Texts, frozen
from kinprint.kernels.copy import disguise, join, lsh, stars
from kinprint.kernels.copy.overlap import pair_overlap
from kinprint.kernels.copy.shingle import Shingling, sets_of
from kinprint.kernels.copy.sketch import Sketches, new_sketches, sketch_texts
from kinprint.kernels.jit import kernel
from numpy.typing import NDArray

Link = Literal["component", "star"]
"""What a cluster is: see :func:`find_clusters`."""

CHUNK: Final = 65_536
"""Pairs that are verified at once."""
SMALL: Final = 64
"""Distinct texts of a cluster up to which all of its pairs are compared for the least similarity."""
SAMPLE: Final = 1024
"""Pairs that are drawn from a larger one, and as many of its texts that are compared with its first."""
SKETCHED_AT_ONCE: Final = 65_536
"""Texts that are sketched between two calls of ``progress``."""


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """n texts with their fingerprints."""

    texts: Texts
    signatures: NDArray[np.uint32]
    """uint32[n, 128]."""
    text_hashes: NDArray[np.uint64]
    """uint64[n, 2]."""
    blank: NDArray[np.bool_]
    """bool[n]: texts that match nothing."""
    shingles: Shingling = "w3c5"

    def __len__(self) -> int:
        return len(self.texts)


class Pairs(NamedTuple):
    """p pairs of rows, a before b, with what was counted."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    shared: NDArray[np.int64]
    """Distinct shingles that both have."""
    size_a: NDArray[np.int64]
    size_b: NDArray[np.int64]

    @property
    def jaccard(self) -> NDArray[np.float64]:
        """|A and B| / |A or B|, float64[p]."""
        return _share(self.shared, self.size_a + self.size_b - self.shared)

    @property
    def containment_a(self) -> NDArray[np.float64]:
        """|A and B| / |A|, float64[p]."""
        return _share(self.shared, self.size_a)

    @property
    def containment_b(self) -> NDArray[np.float64]:
        """|A and B| / |B|, float64[p]."""
        return _share(self.shared, self.size_b)

    @classmethod
    def none(cls) -> Pairs:
        """No pairs."""
        return cls(*(np.empty(0, np.int64) for _ in range(5)))

    @classmethod
    def joined(cls, parts: list[Pairs]) -> Pairs:
        """Several tables as one."""
        return cls(*map(np.concatenate, zip(*parts, strict=True))) if parts else cls.none()


@dataclass(slots=True)
class Run:
    """What a run has counted; filled in while it goes on."""

    rows: int = 0
    """Rows that are not blank."""
    distinct: int = 0
    """Rows left after identical answers were collapsed."""
    candidates: int = 0
    """Pairs that were verified exactly."""
    pairs: int = 0
    """Pairs found."""
    expected_recall: float = 1.0
    """Expected recall of pairs exactly at the threshold; 1 in exact mode."""
    clusters: int = 0
    """Clusters found, those of one row included, without blank rows."""
    largest: int = 0
    """Rows of the largest cluster, identical ones included; of equals the first is meant."""
    least_similarity: float | None = None
    """Least Jaccard similarity of two of its texts; None where it has one row."""
    least_is_exact: bool = True
    """Whether all its pairs were compared: up to :data:`SMALL` distinct texts. Otherwise it is that of a sample."""
    step: str = ""
    """What is under way, for people."""
    share: float = 0.0
    """How much is done, 0 to 1, by guess."""


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Rows with identical answers, group after group, in the order of their first rows; blank rows are in none."""

    order: NDArray[np.int64]
    """int64[m]: the rows, ascending within a group."""
    starts: NDArray[np.int64]
    """int64[g + 1]: where each group begins in ``order``."""

    @property
    def first(self) -> NDArray[np.int64]:
        """The first row of each group, int64[g], ascending."""
        return self.order[self.starts[:-1]]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def rows_of(texts: Texts, shingles: Shingling = "w3c5", progress: Callable[[float], None] = lambda share: None) -> Rows:
    """Fingerprint texts; ``progress`` gets the share done."""
    n = len(texts)
    made = new_sketches(n, shingles)
    for start in range(0, n, SKETCHED_AT_ONCE):
        part = slice(start, start + SKETCHED_AT_ONCE)
        out = Sketches(made.signatures[part], made.text_hashes[part], made.sizes[part], made.flags[part], made.scheme)
        sketch_texts(texts.take(part), shingles, out=out)
        progress(min(1.0, (start + SKETCHED_AT_ONCE) / n))
    return Rows(texts, made.signatures, made.text_hashes, made.sizes == 0, shingles)


def without_disguises(rows: Rows) -> Rows:
    """Rows with the fingerprints of what their texts are without disguises (:mod:`~kinprint.kernels.copy.disguise`)."""
    texts, changed = disguise.without_disguises(rows.texts)
    if not changed.size:
        return rows
    made = rows_of(texts.take(changed), rows.shingles)
    signatures, text_hashes = rows.signatures.copy(), rows.text_hashes.copy()
    signatures[changed], text_hashes[changed] = made.signatures, made.text_hashes
    return Rows(texts, signatures, text_hashes, rows.blank, rows.shingles)


@kernel
def _firsts(text_hashes: NDArray[np.uint64], blank: NDArray[np.bool_], sides: NDArray[np.int32]) -> NDArray[np.int32]:
    """The first row with the same hash (and side) of every row, int32[n]; -1 where it is blank."""
    n = blank.size
    bits = 4
    while (1 << bits) < 2 * n:
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    table = np.full(1 << bits, -1, np.int32)
    firsts = np.full(n, -1, np.int32)
    for i in range(n):
        if blank[i]:
            continue
        place = (text_hashes[i, 0] ^ (text_hashes[i, 1] >> np.uint64(32))) & mask
        while True:
            j = table[place]
            if j < 0:
                table[place] = i
                firsts[i] = i
                break
            same = text_hashes[i, 0] == text_hashes[j, 0] and text_hashes[i, 1] == text_hashes[j, 1]
            if same and (sides.size == 0 or sides[i] == sides[j]):
                firsts[i] = j
                break
            place = (place + np.uint64(1)) & mask
    return firsts


@kernel
def _grouped(firsts: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows group after group, in the order of first rows, and where each group begins."""
    n = firsts.size
    sizes = np.zeros(n, np.int64)
    groups = 0
    for i in range(n):
        if firsts[i] >= 0:
            sizes[firsts[i]] += 1
            groups += 1 if firsts[i] == i else 0
    starts = np.zeros(groups + 1, np.int64)
    g = 0
    total = 0
    for i in range(n):
        if sizes[i] > 0:
            starts[g] = total
            total += sizes[i]
            sizes[i] = starts[g]  # from here on: where its next member goes
            g += 1
    starts[groups] = total
    order = np.empty(total, np.int64)
    for i in range(n):
        if firsts[i] >= 0:
            order[sizes[firsts[i]]] = i
            sizes[firsts[i]] += 1
    return order, starts


def groups_of(rows: Rows, sides: NDArray[np.int32] | None = None) -> Groups:
    """Collapse identical answers, of each side by itself."""
    known = np.empty(0, np.int32) if sides is None else sides
    return Groups(*_grouped(_firsts(frozen(rows.text_hashes), frozen(rows.blank), frozen(known))))


def find_pairs(
    rows: Rows,
    threshold: float,
    *,
    exact: bool = False,
    expand: bool = False,
    sides: NDArray[np.int32] | None = None,
    run: Run | None = None,
) -> Iterator[Pairs]:
    """All pairs with Jaccard >= ``threshold``, each once, in tables of bounded size and no set order.

    Parameters
    ----------
    rows
        Fingerprinted texts, in the order of their ids.
    threshold
        In (0, 1].
    exact
        Miss nothing: 8 bytes a shingle of memory, where otherwise sketches are all that is held.
    expand
        List every pair of identical answers and every pair of their copies. Otherwise each identical answer is paired
        once, with the first of its group, and only that one with others.
    sides : int32[n]
        Only pairs of rows with different sides, of which there are two, 0 and 1. Identical answers are then collapsed
        within a side.
    run
        Filled in as it goes on.

    Raises
    ------
    ValueError
        If the threshold is not in (0, 1], or ``sides`` does not fit.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if sides is not None and (sides.dtype != np.int32 or sides.shape != (len(rows),)):
        raise ValueError(f"sides must be int32[{len(rows)}], not {sides.dtype}{list(sides.shape)}")
    if sides is not None and bool(np.any(sides & ~1)):
        raise ValueError("sides must be 0 and 1")
    return _find_pairs(rows, threshold, exact, expand, sides, run or Run())


def _find_pairs(
    rows: Rows, threshold: float, exact: bool, expand: bool, sides: NDArray[np.int32] | None, run: Run
) -> Iterator[Pairs]:
    groups = groups_of(rows, sides)
    run.rows, run.distinct = len(groups.order), len(groups.first)
    if sides is None:
        for identical in _identical(rows, groups, expand):
            run.pairs += len(identical.a)
            yield identical
    for found in _between(rows, groups.first, threshold, exact, sides, run):
        for table in _expanded(groups, found) if expand else (found,):
            run.pairs += len(table.a)
            yield table
    run.step, run.share = "done", 1.0


def _between(
    rows: Rows,
    first: NDArray[np.int64],
    threshold: float,
    exact: bool,
    sides: NDArray[np.int32] | None,
    run: Run,
) -> Iterator[Pairs]:
    """Verified pairs among the first rows of groups."""
    if exact:
        run.step, run.share = "cutting all texts into shingles", 0.2
        yield from _joined(rows, first, threshold, sides, run)
        return
    bands, band_rows = lsh.choose_bands(threshold)
    run.expected_recall = lsh.recall(threshold, bands, band_rows)
    least = lsh.least_agreements(threshold)
    candidates = lsh.candidate_pairs(rows.signatures, bands, band_rows, CHUNK, least=least, labels=sides, only=first)
    run.step, run.share = "looking for candidates", 0.1
    for pairs in candidates:
        run.candidates += len(pairs)
        run.step = f"verifying ({run.candidates:,} candidate pairs so far)"
        run.share = min(0.95, run.share + (0.95 - run.share) / bands)
        yield _verified(rows.texts, pairs, threshold, rows.shingles)


def _verified(texts: Texts, pairs: NDArray[np.int64], threshold: float, shingles: Shingling) -> Pairs:
    """Those of the candidate pairs whose Jaccard similarity reaches the threshold."""
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    counts = pair_overlap(texts, pairs[:, 0], pairs[:, 1], shingles)
    found = Pairs(pairs[:, 0], pairs[:, 1], counts[:, 0], counts[:, 1], counts[:, 2])
    keep = found.jaccard >= threshold
    return Pairs(*(column[keep] for column in found))


def _joined(
    rows: Rows, first: NDArray[np.int64], threshold: float, sides: NDArray[np.int32] | None, run: Run
) -> Iterator[Pairs]:
    if sides is None:
        hashes, indptr, _ = sets_of(rows.texts.take(first), rows.shingles)
        sizes = np.diff(indptr)
        run.step, run.share = "joining", 0.4
        for part in join.self_join(hashes, indptr, threshold):
            yield Pairs(first[part.a], first[part.b], part.shared, sizes[part.a], sizes[part.b])
        return
    left, right = first[sides[first] == 0], first[sides[first] != 0]
    hashes_a, indptr_a, _ = sets_of(rows.texts.take(left), rows.shingles)
    hashes_b, indptr_b, _ = sets_of(rows.texts.take(right), rows.shingles)
    sizes_a, sizes_b = np.diff(indptr_a), np.diff(indptr_b)
    run.step, run.share = "joining", 0.4
    for part in join.join(hashes_a, indptr_a, hashes_b, indptr_b, threshold):
        yield _in_order(left[part.a], right[part.b], part.shared, sizes_a[part.a], sizes_b[part.b])


def _in_order(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    shared: NDArray[np.int64],
    size_a: NDArray[np.int64],
    size_b: NDArray[np.int64],
) -> Pairs:
    """Pairs with the smaller row first."""
    swap = a > b
    return Pairs(
        np.where(swap, b, a),
        np.where(swap, a, b),
        shared,
        np.where(swap, size_b, size_a),
        np.where(swap, size_a, size_b),
    )


def _numbered(counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(i, k) for every k below ``counts[i]``, in arrays of at most :data:`CHUNK`."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, total))
        i = np.searchsorted(ends, numbers, side="right")
        yield i, numbers - (ends[i] - counts[i])


def _identical(rows: Rows, groups: Groups, expand: bool) -> Iterator[Pairs]:
    """Pairs of identical answers: each with the first of its group, or all with all."""
    sizes = np.diff(groups.starts)
    order = groups.order[np.repeat(sizes > 1, sizes)]  # a copy of the few that are not alone
    sizes = sizes[sizes > 1]
    begin = np.repeat(np.cumsum(sizes) - sizes, sizes)
    before = np.arange(len(order)) - begin
    for later, k in _numbered(before if expand else np.minimum(before, 1)):
        # One count serves the whole group.
        distinct, back = np.unique(order[begin[later]], return_inverse=True)
        size = pair_overlap(rows.texts, distinct, distinct, rows.shingles)[back, 0]
        yield Pairs(order[begin[later] + k], order[later], size, size, size)


def _expanded(groups: Groups, found: Pairs) -> Iterator[Pairs]:
    """Every pair of members of the groups whose first rows are found."""
    order, starts, sizes = groups.order, groups.starts, np.diff(groups.starts)
    first = groups.first
    group_a, group_b = np.searchsorted(first, found.a), np.searchsorted(first, found.b)
    for pair, k in _numbered(sizes[group_a] * sizes[group_b]):
        a, b = group_a[pair], group_b[pair]
        x, y = order[starts[a] + k // sizes[b]], order[starts[b] + k % sizes[b]]
        yield _in_order(x, y, found.shared[pair], found.size_a[pair], found.size_b[pair])


def pairs(texts: Texts, threshold: float = 0.7, *, exact: bool = False, shingles: Shingling = "w3c5") -> Pairs:
    """All near-duplicate pairs of some texts as one table; see :func:`find_pairs`."""
    return Pairs.joined(list(find_pairs(rows_of(texts, shingles), threshold, exact=exact)))


# ---- clusters ----


@kernel
def _root(parents: NDArray[np.int32], i: int) -> int:
    """Root of a row, the paths to it halved on the way (Tarjan, van Leeuwen 1984)."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@kernel
def _unite(parents: NDArray[np.int32], a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """Join the components of each pair; the smaller root stays, so that it is the first row of its component."""
    for k in range(a.size):
        x = _root(parents, a[k])
        y = _root(parents, b[k])
        if x < y:
            parents[y] = x
        elif y < x:
            parents[x] = y


@kernel
def _roots(parents: NDArray[np.int32]) -> None:
    for i in range(parents.size):
        parents[i] = _root(parents, i)


def find_clusters(
    rows: Rows, threshold: float, *, exact: bool = False, link: Link = "component", run: Run | None = None
) -> Iterator[NDArray[np.int64]]:
    """Clusters of the texts of which pairs have Jaccard >= ``threshold``.

    ``link="component"``: the connected components of the pairs. A row may be in one cluster with another through
    others, without being alike; of many texts such chains make clusters that mean nothing. ``link="star"``: every row
    is over the threshold to the first row of its cluster, see :mod:`~kinprint.kernels.copy.stars`.

    Yields empty arrays while it works, so that progress can be shown and the work be left, and at the end int64[n]: the
    first row of every row's cluster, which is the row itself where it is alone, as a blank one always is. What the
    largest cluster is like is left in ``run``.

    Arguments and errors are otherwise those of :func:`find_pairs`. Many texts that are all alike cost no more than
    their number; but with ``exact``, whose join lists all pairs, of which stars hold 40 bytes each.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    if link not in ("component", "star"):
        raise ValueError(f"link must be component or star, not {link!r}")
    return _find_clusters(rows, threshold, exact, link, run or Run())


def _find_clusters(rows: Rows, threshold: float, exact: bool, link: Link, run: Run) -> Iterator[NDArray[np.int64]]:
    groups = groups_of(rows)
    first = groups.first
    run.rows, run.distinct = len(groups.order), len(first)
    parents = np.arange(len(rows), dtype=np.int32)
    nothing = np.empty(0, np.int64)
    held: list[Pairs] = []

    def roots() -> NDArray[np.int32]:
        _roots(parents)
        return parents.copy()

    if exact:
        for found in _between(rows, first, threshold, True, None, run):
            if link == "star":
                held.append(found)
            else:
                _unite(parents, found.a, found.b)
            yield nothing
    else:
        bands, band_rows = lsh.choose_bands(threshold)
        run.expected_recall = lsh.recall(threshold, bands, band_rows)
        least = lsh.least_agreements(threshold)
        candidates = lsh.linking_pairs(rows.signatures, bands, band_rows, roots, CHUNK, least=least, only=first)
        for pairs in candidates:
            run.candidates += len(pairs)
            run.step = f"verifying ({run.candidates:,} candidate pairs so far)"
            run.share = min(0.9, run.share + (0.9 - run.share) / (2 * bands))
            found = _verified(rows.texts, pairs, threshold, rows.shingles)
            _unite(parents, found.a, found.b)
            yield nothing
    leaders = roots().astype(np.int64)
    if link == "star" and exact:
        every = Pairs.joined(held)
        leaders = stars.of_pairs(len(rows), every.a, every.b, every.jaccard).first
    elif link == "star":
        cut = stars.Bands(bands, band_rows, least)
        steps = stars.of_components(
            rows.signatures, leaders, cut, threshold, lambda a, b: similarities(rows, a, b), only=first
        )
        for looked_at, made in steps:
            run.candidates += looked_at
            run.step, run.share = "choosing representatives", 0.95
            if made is not None:
                leaders = made.first
            yield nothing
    out = np.arange(len(rows), dtype=np.int64)
    out[groups.order] = np.repeat(leaders[first], np.diff(groups.starts))
    _measure(rows, groups, out, run)
    run.step, run.share = "done", 1.0
    yield out


def similarities(rows: Rows, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact Jaccard similarities of pairs of rows, float64[p]."""
    order = np.argsort(a, kind="stable")  # a text is cut once for the pairs that follow each other
    counts = pair_overlap(rows.texts, a[order], b[order], rows.shingles)
    out = np.empty(len(a))
    out[order] = Pairs(a, b, counts[:, 0], counts[:, 1], counts[:, 2]).jaccard
    return out


def _measure(rows: Rows, groups: Groups, leaders: NDArray[np.int64], run: Run) -> None:
    """Size of the largest cluster, and the least similarity within it, to ``run``."""
    sizes = np.bincount(leaders[groups.order], minlength=1)
    run.clusters = int((sizes > 0).sum())
    run.largest, run.least_similarity, run.least_is_exact = int(sizes.max()), None, True
    if run.largest < 2:
        return
    first = groups.first
    members = first[leaders[first] == int(sizes.argmax())]
    m = len(members)
    if m <= SMALL:
        a, b = np.triu_indices(m, 1)
    else:
        run.least_is_exact = False
        drawn = np.random.default_rng(0).integers(0, m, (2, SAMPLE))
        others = np.linspace(1, m - 1, min(SAMPLE, m - 1)).astype(np.int64)
        a, b = np.concatenate((drawn[0], np.zeros_like(others))), np.concatenate((drawn[1], others))
    found = similarities(rows, members[a], members[b])
    run.least_similarity = float(found.min(initial=1.0))


def clusters(
    texts: Texts,
    threshold: float = 0.7,
    *,
    exact: bool = False,
    link: Link = "component",
    shingles: Shingling = "w3c5",
) -> NDArray[np.int64]:
    """First row of every text's cluster, int64[n]; see :func:`find_clusters`."""
    *_, out = find_clusters(rows_of(texts, shingles), threshold, exact=exact, link=link)
    return out
