"""Shared spans by definition: every place of both texts is tried, with ``bytes.find`` for the first occurrence."""

from __future__ import annotations

from kinprint.kernels import unicode
from kinprint.kernels.reference.shingle import _WORD_CLASSES, code_class


def _maximal(text: bytes, other: bytes) -> list[tuple[int, int, int]]:
    """Stretches of ``text`` that occur in ``other`` and lie within no longer one that does."""
    found = []
    start = 0
    for end in range(1, len(text) + 1):
        while start < end and other.find(text[start:end]) < 0:
            start += 1
        longer = end < len(text) and other.find(text[start : end + 1]) >= 0
        if start < end and not longer:
            found.append((start, end, other.find(text[start:end])))
    return found


def _trim(text: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] & 0xC0 == 0x80:
        start += 1
    while start < end and end < len(text) and text[end] & 0xC0 == 0x80:
        end -= 1
    chars = text[start:end].decode()
    spaces = {c for c in chars if code_class(ord(c)) == unicode.SPACE}
    kept = chars.lstrip("".join(spaces)) if spaces else chars
    start += len(chars.encode()) - len(kept.encode())
    kept = kept.rstrip("".join(spaces)) if spaces else kept
    return start, start + len(kept.encode())


def _kinds(text: str) -> list[str]:
    """Kind of every code point of a text; a mark has the kind of what it follows."""
    kinds: list[str] = []
    for char in text:
        cls = code_class(ord(char))
        if cls == unicode.MARK:
            kinds.append(kinds[-1] if kinds else "separator")
        elif cls in _WORD_CLASSES:
            kinds.append("word")
        else:
            kinds.append("spaceless" if cls in (unicode.SPACELESS, unicode.SYMBOL) else "separator")
    return kinds


def shared_spans(a: str, b: str, min_weight: int = 24) -> list[tuple[int, int, int, int]]:
    """Byte-exact stretches shared by two texts, longest first."""
    x, y = a.encode(), b.encode()
    raw = {(s, e, o) for s, e, o in _maximal(x, y)} | {(o, o + e - s, s) for s, e, o in _maximal(y, x)}
    kinds = _kinds(a)
    spans = set()
    for start, end, other in raw:
        first, last = _trim(x, start, end)
        if first >= last:
            continue
        inner = kinds[len(x[:first].decode()) : len(x[:last].decode())]
        spaceless = inner.count("spaceless")
        weight = len(inner) + 2 * spaceless
        words = sum(k == "word" and (i == 0 or inner[i - 1] != "word") for i, k in enumerate(inner))
        if weight >= min_weight and (words >= 3 or spaceless >= 5):
            spans.add((first, last, other + first - start, other + last - start))
    kept = [
        s
        for s in spans
        if not any(t != s and t[0] <= s[0] and s[1] <= t[1] and t[2] <= s[2] and s[3] <= t[3] for t in spans)
    ]
    return sorted(kept, key=lambda s: (s[0] - s[1], s[0], s[2]))
