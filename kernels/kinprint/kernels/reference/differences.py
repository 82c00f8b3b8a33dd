"""Differences of stretches of equal tokens by definition."""

from __future__ import annotations

from collections.abc import Sequence

import unicodedata2  # type: ignore[import-not-found]
from kinprint.kernels import unicode
from kinprint.kernels.copy.differences import CASE, PUNCTUATION, UNICODE_FORM, WHITE_SPACE
from kinprint.kernels.reference.shingle import code_class
from kinprint.kernels.reference.tokens import Token, mapped

#: Capitals whose small letter folds to something else.
_OF_COMPATIBILITY = {
    *range(0xFF21, 0xFF3B),
    *range(0x1D400, 0x1D800),
    *range(0x2100, 0x2150),
    *range(0x01C4, 0x01CD),
    *range(0x01F1, 0x01F4),
    0x1E9E,
    0x03F4,
    0x03F9,
}


def _is_capital(char: str) -> bool:
    return code_class(ord(char)) == unicode.UPPER


def _without_case(token: str) -> str:
    return "".join("".join(mapped(c)) if _is_capital(c) and ord(c) not in _OF_COMPATIBILITY else c for c in token)


def _capitals(token: str) -> list[int]:
    """Before how many letters of the decomposed token each capital stands."""
    found, letters = [], 0
    for char in token:
        if _is_capital(char):
            found.append(letters)
        letters += sum(
            code_class(ord(c)) != unicode.MARK for piece in mapped(char) for c in unicodedata2.normalize("NFD", piece)
        )
    return found


def _of_tokens(a: str, b: str) -> int:
    if a == b:
        return 0
    return (CASE if _capitals(a) != _capitals(b) else 0) | (UNICODE_FORM if _without_case(a) != _without_case(b) else 0)


def _of_gaps(a: str, b: str) -> int:
    if a == b:
        return 0
    spaces = [[c for c in gap if code_class(ord(c)) == unicode.SPACE] for gap in (a, b)]
    ignorable = [[c for c in gap if code_class(ord(c)) == unicode.IGNORABLE] for gap in (a, b)]
    others = [[c for c in gap if code_class(ord(c)) not in (unicode.SPACE, unicode.IGNORABLE)] for gap in (a, b)]
    folded = [[p for c in some for p in mapped(c) if code_class(ord(p)) != unicode.SPACE] for some in others]
    found = 0
    if spaces[0] != spaces[1]:
        found |= WHITE_SPACE
    if ignorable[0] != ignorable[1]:
        found |= UNICODE_FORM
    if others[0] != others[1]:
        found |= PUNCTUATION if folded[0] != folded[1] else UNICODE_FORM
    return found or WHITE_SPACE


def differences(a: str, x: Sequence[Token], b: str, y: Sequence[Token]) -> int:
    """How the tokens x of text a differ from the equal ones y of text b, and what stands between them."""
    data, other = a.encode(), b.encode()
    found = 0
    for k, (t, u) in enumerate(zip(x, y, strict=True)):
        found |= _of_tokens(data[t.begin : t.end].decode(), other[u.begin : u.end].decode())
        if k + 1 < len(x):
            gaps = data[t.end : max(t.end, x[k + 1].begin)], other[u.end : max(u.end, y[k + 1].begin)]
            found |= _of_gaps(gaps[0].decode(), gaps[1].decode())
    return found
