"""Intersections by definition."""

from __future__ import annotations


def intersection(a: set[int], b: set[int]) -> int:
    """Number of common elements."""
    return len(a & b)
