"""Duplicates by definition: sets of shingles, compared pair by pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from kinprint.kernels.copy.dedup import Link
from kinprint.kernels.copy.shingle import Shingling
from kinprint.kernels.reference.fold import normalised_answer
from kinprint.kernels.reference.shingle import code_point_shingles, shingles

Counts = tuple[int, int, int]
"""|A and B|, |A|, |B| in distinct shingles."""


def sets_of(texts: Sequence[str], scheme: Shingling = "w3c5") -> list[set[int]]:
    """The distinct shingles of each text."""
    cut = shingles if scheme == "w3c5" else code_point_shingles
    return [set(cut(text)[0]) for text in texts]


def first_rows(texts: Sequence[str], sides: Sequence[int] | None = None) -> list[int | None]:
    """The first row with each row's normalised answer (on its side); None for a blank one."""
    first: dict[tuple[str, int], int] = {}
    out: list[int | None] = []
    for i, text in enumerate(texts):
        answer = normalised_answer(text)
        out.append(first.setdefault((answer, sides[i] if sides else 0), i) if answer else None)
    return out


def pairs(
    texts: Sequence[str],
    threshold: float,
    *,
    expand: bool = False,
    sides: Sequence[int] | None = None,
    candidates: Iterable[tuple[int, int]] | None = None,
    scheme: Shingling = "w3c5",
) -> dict[tuple[int, int], Counts]:
    """All pairs of rows ``i < j`` with a Jaccard similarity of at least ``threshold``, with what was counted.

    Of identical answers only the first is compared, and every later one is paired with it; with ``expand``, all with
    all. With ``sides`` only rows of different sides make a pair. ``candidates`` are the only pairs of first rows to be
    looked at; all are by default.
    """
    sets = sets_of(texts, scheme)
    firsts = first_rows(texts, sides)
    looked_at = None if candidates is None else set(candidates)
    out = {}
    for i, j in combinations(range(len(texts)), 2):
        a, b = firsts[i], firsts[j]
        if a is None or b is None or (sides and sides[i] == sides[j]):
            continue
        if not expand and (a, b) not in {(i, j), (i, i)}:
            continue
        if a != b and looked_at is not None and (min(a, b), max(a, b)) not in looked_at:
            continue
        shared = len(sets[i] & sets[j])
        if shared / len(sets[i] | sets[j]) >= threshold:
            out[i, j] = (shared, len(sets[i]), len(sets[j]))
    return out


def components(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The first row of the connected component of each of n rows."""
    first = list(range(n))
    for a, b in pairs:
        low, high = sorted((first[a], first[b]))
        first = [low if x == high else x for x in first]
    return first


def stars(n: int, pairs: Mapping[tuple[int, int], float]) -> list[int]:
    """The representative of each of n rows: the most similar of those before it that it makes a pair with, or itself.

    ``pairs``: similarity of each pair ``i < j`` that is over the threshold.
    """
    first: list[int] = []
    for j in range(n):
        near = [(-pairs[i, j], i) for i in range(j) if first[i] == i and (i, j) in pairs]
        first.append(min(near)[1] if near else j)
    return first


def clusters(
    texts: Sequence[str],
    threshold: float,
    *,
    candidates: Iterable[tuple[int, int]] | None = None,
    scheme: Shingling = "w3c5",
    link: Link = "component",
) -> list[int]:
    """The first row of each row's cluster."""
    found = pairs(texts, threshold, candidates=candidates, scheme=scheme)
    if link == "component":
        return components(len(texts), found)
    first = first_rows(texts)
    distinct = {
        (i, j): shared / (a + b - shared) for (i, j), (shared, a, b) in found.items() if first[i] == i and first[j] == j
    }
    leaders = stars(len(texts), distinct)
    return [i if row is None else leaders[row] for i, row in enumerate(first)]


def least_similarity(texts: Sequence[str], members: Sequence[int], scheme: Shingling = "w3c5") -> float:
    """The least Jaccard similarity of two of the texts ``members``."""
    sets = sets_of([texts[i] for i in members], scheme)
    return min(len(a & b) / len(a | b) for a, b in combinations(sets, 2))
