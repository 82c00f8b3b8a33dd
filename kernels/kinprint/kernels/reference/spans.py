"""Shared spans by definition: every place of both texts is tried for the first occurrence in the other."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.kernels.reference.tokens import shrunk, tokens


def _find(text: Sequence[str], stretch: Sequence[str]) -> int:
    places = range(len(text) - len(stretch) + 1)
    return next((k for k in places if text[k : k + len(stretch)] == stretch), -1)


def _maximal(text: Sequence[str], other: Sequence[str]) -> list[tuple[int, int, int]]:
    """Stretches of ``text`` that occur in ``other`` and lie within no longer one that does."""
    found = []
    start = 0
    for end in range(1, len(text) + 1):
        while start < end and _find(other, text[start:end]) < 0:
            start += 1
        longer = end < len(text) and _find(other, text[start : end + 1]) >= 0
        if start < end and not longer:
            found.append((start, end, _find(other, text[start:end])))
    return found


def shared_spans(a: str, b: str, min_weight: int = 24) -> list[tuple[int, int, int, int]]:
    """Stretches of equal folded tokens shared by two texts, longest first."""
    x, y = tokens(a), tokens(b)
    ours, theirs = [t.text for t in x], [t.text for t in y]
    raw = {(s, o, e - s) for s, e, o in _maximal(ours, theirs)} | {(o, s, e - s) for s, e, o in _maximal(theirs, ours)}
    spans = set()
    for run in raw:
        i, j, n = shrunk(x, run[0], y, run[1], run[2])
        some = x[i : i + n]
        spaceless = sum(t.spaceless for t in some)
        weight = 3 * spaceless + sum(len(t.text) + 1 for t in some if not t.spaceless)
        if weight >= min_weight and (n - spaceless >= 3 or spaceless >= 5):
            spans.add((x[i].begin, x[i + n - 1].end, y[j].begin, y[j + n - 1].end))
    kept = [
        s
        for s in spans
        if not any(t != s and t[0] <= s[0] and s[1] <= t[1] and t[2] <= s[2] and s[3] <= t[3] for t in spans)
    ]
    return sorted(kept, key=lambda s: (s[0] - s[1], s[0], s[2]))
