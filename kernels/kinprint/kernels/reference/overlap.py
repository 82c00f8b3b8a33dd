"""Plain-Python counterpart of :mod:`kinprint.kernels.copy.overlap`: sets, made by the reference shingling."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.kernels.reference.shingle import shingles


def query_overlap(query: str, texts: Sequence[str], rows: Sequence[int]) -> list[tuple[int, int]]:
    """(|A and B|, |B|) of the query A with each text B of ``rows``, over distinct shingles."""
    wanted = set(shingles(query)[0])
    return [(len(wanted & set(found)), len(set(found))) for found in (shingles(texts[i])[0] for i in rows)]


def intersection(a: set[int], b: set[int]) -> int:
    """Number of common elements."""
    return len(a & b)
