"""Stretches of text cut to a readable length, with the shared part marked."""

from __future__ import annotations

import re
import unicodedata

Marked = list[tuple[str, bool]]
"""Text in pieces; True for a piece that is marked."""

CONTEXT = 220
SPAN = 1_500
PROMPT = 300
EXAMPLE = 420
JOINERS = "\u200c\u200d"


def _whole_from(text: str, at: int) -> int:
    """The next place, from `at` on, that does not cut a letter from its marks."""
    while 0 < at < len(text) and (
        unicodedata.category(text[at]).startswith("M") or text[at] in JOINERS or text[at - 1] in JOINERS
    ):
        at += 1
    return at


def start_of(text: str, limit: int) -> str:
    """The first `limit` code points or so, with an ellipsis when more follows."""
    cut = _whole_from(text, limit)
    return text if cut >= len(text) else text[:cut].rstrip() + " …"


def end_of(text: str, limit: int) -> str:
    """The last `limit` code points or so, with an ellipsis when more precedes."""
    if len(text) <= limit:
        return text
    return "… " + text[_whole_from(text, len(text) - limit) :].lstrip()


def middle_out(text: str, limit: int) -> str:
    """The text, or its two ends with the number of code points left out between them."""
    if len(text) <= limit:
        return text
    head, tail = _whole_from(text, limit * 2 // 3), _whole_from(text, len(text) - limit // 3)
    return f"{text[:head]} [… {tail - head:,} characters left out …] {text[tail:]}"


def _without_spaces(char: str) -> bool:
    """The character is of a script that sets no spaces between words: Han, kana, Thai, Lao, Burmese, Khmer."""
    point = ord(char)
    return (
        unicodedata.east_asian_width(char) in "WF"
        or 0x0E00 <= point < 0x0F00
        or 0x1000 <= point < 0x10A0
        or 0x1780 <= point < 0x1800
    )


def _pattern(shared: str, kind: str) -> str:
    """A regular expression that finds a feature where it stands; "" for one that cannot be found.

    Words, phrases and openings are known without the marks between their words. A punctuation feature `line: ...`
    stands for what a line begins with.
    """
    if kind == "punctuation" and shared.startswith("line: "):
        example = re.search(r"\((\S+)\)$", shared)
        return rf"^[ \t]*{re.escape(example[1])}" if example else r"^[ \t]*\d{1,3}[.)]"
    pieces = shared.split()
    if kind not in ("word", "phrase", "opening") or not pieces:
        return r"\s+".join(map(re.escape, pieces)) if pieces else re.escape(shared)
    pattern = "" if _without_spaces(pieces[0][0]) else r"(?<!\w)"
    before = ""
    for piece in pieces:
        for char in piece if any(map(_without_spaces, piece)) else [piece]:
            if before:
                pattern += r"[\W_]*" if _without_spaces(before) or _without_spaces(char[0]) else r"[\W_]+"
            pattern += re.escape(char).replace("'", "['’]")
            before = char[-1]
    return pattern + ("" if _without_spaces(before) else r"(?!\w)")


def marked(text: str, shared: str, kind: str, limit: int = EXAMPLE) -> Marked:
    """The stretch of `text` around the first occurrence of a feature, every occurrence in it marked.

    Upper and lower case are alike, and so is white space of any length; a word or phrase is matched whole, whatever
    marks stand between its words, and an opening once. Nothing is marked when the feature is not found.
    """
    pattern = _pattern(shared, kind)
    found = re.compile(pattern, re.IGNORECASE | re.MULTILINE) if pattern else None
    first = found.search(text) if found else None
    if found is None or first is None:
        return [(start_of(text, limit), False)]
    start = max(0, first.start() - limit // 3) if len(text) > limit else 0
    stretch = text[_whole_from(text, start) :]
    if start:
        stretch = "… " + stretch
    stretch = start_of(stretch, max(limit, first.end() - first.start()))
    pieces: Marked = []
    last = 0
    for match in found.finditer(stretch):
        if match.end() == match.start() or (pieces and kind == "opening"):
            continue
        if match.start() > last:
            pieces.append((stretch[last : match.start()], False))
        pieces.append((match[0], True))
        last = match.end()
    if last < len(stretch):
        pieces.append((stretch[last:], False))
    return pieces
