"""Any text made safe to show: what is invisible, illegal in HTML or SVG, or turns the line around becomes visible."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, other than tab and line feed
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates of direction
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ud800-\udfff"  # surrogates, which no encoding of Unicode has
    "\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"  # noncharacters and interlinear marks
    + "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)


def _shown(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x20:
        return chr(0x2400 + point)
    if point == 0x7F:
        return "\u2421"
    return f"[U+{point:04X}]"


def legible(text: str) -> str:
    """The text with CR LF as LF, C0 controls as control pictures, and other unsafe code points as `[U+XXXX]`.

    What is returned can be encoded as UTF-8 and is legal in HTML and in XML 1.0. Joiners, marks of direction (U+200E,
    U+200F) and combining marks stay, since scripts need them.
    """
    return _UNSAFE.sub(_shown, text.replace("\r\n", "\n").replace("\u0085", "\n"))


def cleaned(value: object) -> Any:
    """A copy of JSON-like data in which every string is `legible` and every number finite (or None)."""
    if isinstance(value, str):
        return legible(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {legible(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return legible(str(value))


def columns(text: str) -> int:
    """How many columns of a Latin letter's width the text takes, roughly."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1 for char in text
    )


def shortened(text: str, limit: int) -> str:
    """The text on one line in at most `limit` columns; of a longer one the middle is left out."""
    line = " ".join(text.split())
    if columns(line) <= limit:
        return line
    head, tail, room = "", "", limit - 1
    for left, right in zip(line, reversed(line), strict=True):
        if columns(head) + columns(tail) + columns(left) > room:
            break
        head += left
        if columns(head) + columns(tail) + columns(right) > room:
            break
        tail = right + tail
    return f"{head}…{tail}"


def code_points(text: str, limit: int = 4) -> str:
    """Names of the first code points: `U+2014 EM DASH`."""
    names = [f"U+{ord(char):04X} {unicodedata.name(char, 'unnamed')}" for char in text[:limit]]
    more = len(text) - limit
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
