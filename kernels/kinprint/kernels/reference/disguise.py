"""Disguises by definition: one pass a rule, over lists of code points."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from kinprint.kernels import lookalikes, unicode
from kinprint.kernels.copy import disguise, scripts, spacing
from kinprint.kernels.reference.shingle import code_class

_WORD = (unicode.WORD, unicode.UPPER, unicode.DIGIT)
_SCRIPTS = (lookalikes.LATIN, lookalikes.GREEK, lookalikes.CYRILLIC)
_FORMS = dict(zip(lookalikes.FORM_KEYS.tolist(), lookalikes.FORM_VALUES.tolist(), strict=True))
_LOOKS = dict(zip(lookalikes.LOOK_KEYS.tolist(), lookalikes.LOOK_VALUES.tolist(), strict=True))
_HONEST = re.compile("[\xad\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass
class Point:
    """A code point of the text, what it becomes ("": nothing), and the bits of what was undone."""

    was: str
    now: str
    kinds: int = 0

    @property
    def cls(self) -> int:
        """Class of what it becomes."""
        return code_class(ord(self.now))

    @property
    def script(self) -> int:
        """Script of what it becomes."""
        cp = ord(self.now)
        return int(lookalikes.LETTER_BLOCKS[lookalikes.LETTER_INDEX[cp >> 7], cp & 127]) & 7

    def becomes(self, now: str, kind: int) -> None:
        """Note a change."""
        self.now = now
        self.kinds |= kind


def clean(text: str) -> list[Point]:
    """Every code point of a text with what it becomes."""
    points = [Point(char, char) for char in text]
    for point in points:
        if ord(point.was) in _FORMS:
            point.becomes(chr(_FORMS[ord(point.was)]), disguise.FULL_WIDTH)
    _drop_invisible(points)
    _join_letters([p for p in points if p.now])
    _one_script([p for p in points if p.now])
    return points


def _drop_invisible(points: list[Point]) -> None:
    def drawn(point: Point | None) -> bool:
        return point is not None and (point.script != lookalikes.NONE or point.cls == unicode.DIGIT)

    visible = [p if p.cls != unicode.IGNORABLE else None for p in points]
    for i, point in enumerate(points):
        if visible[i] is not None or _HONEST.match(point.was):
            continue
        left = drawn(next((p for p in reversed(visible[:i]) if p is not None), None))
        right = drawn(next((p for p in visible[i:] if p is not None), None))
        if (left and right) if _DIRECTION.match(point.was) else (left or right):
            point.becomes("", disguise.ZERO_WIDTH)


# ---- letters set apart ----


@dataclass
class Unit:
    """A word, or another code point, with the white space before it."""

    kind: str
    points: list[Point]
    white: list[Point]

    @property
    def gap(self) -> int:
        """Code points of white space before it; -1 where there is a line end."""
        ends = any(unicode.is_line_end(ord(p.now)) for p in self.white)
        return -1 if ends else len(self.white)


def _units(points: list[Point]) -> list[Unit]:
    units: list[Unit] = []
    white: list[Point] = []
    for point in points:
        if point.cls == unicode.SPACE:
            white.append(point)
            continue
        within = not white and units and units[-1].kind in ("letter", "digit", "long")
        if within and point.cls in (*_WORD, unicode.MARK, unicode.IGNORABLE):
            units[-1].points.append(point)
            if point.cls in _WORD:
                units[-1].kind = "long"
            continue
        kind = "break"
        if point.cls in _WORD:
            kind = "digit" if point.cls == unicode.DIGIT else "letter"
        elif point.cls == unicode.PUNCT:
            kind = "punct"
        units.append(Unit(kind, [point], white))
        white = []
    return units


def _join_letters(points: list[Point]) -> None:
    stretch: list[Unit] = []
    for unit in [*_units(points), Unit("break", [], [])]:
        if unit.kind in ("letter", "digit") or (stretch and unit.kind == "punct"):
            stretch.append(unit)
            continue
        if len(stretch) >= spacing.LEAST and not _join_spaced(stretch):
            _join_marked(stretch)
        stretch = []


def _is_word(units: list[Unit], least: int) -> bool:
    letters = "".join(u.points[0].now if u.kind == "letter" else " " for u in units)
    count = len(letters.replace(" ", ""))
    follow = sum(ord(b) == ord(a) + 1 for a, b in pairwise(letters) if " " not in (a, b))
    return count >= least and _different(letters.replace(" ", "")) >= 3 and follow < count - 1


def _different(letters: str) -> int:
    """Letters unlike the last two different ones before them."""
    last: list[str] = []
    count = 0
    for letter in letters:
        if letter not in last:
            count += 1
            last = [letter, *last[:1]]
    return count


def _join_spaced(stretch: list[Unit]) -> bool:
    letters = sum(u.kind == "letter" for u in stretch)
    pairs = list(pairwise(stretch))
    gaps = [b.gap for a, b in pairs if a.kind == b.kind == "letter" and b.gap > 0]
    gap = min(gaps, default=spacing.WIDEST + 1)
    if gap > spacing.WIDEST or 5 * letters < 3 * len(stretch):
        return False
    groups = [[stretch[0]]]
    for a, b in pairs:
        if b.gap == gap and {a.kind, b.kind} <= {"letter", "digit"}:
            groups[-1].append(b)
        else:
            groups.append([b])
    if not any(_is_word(group, spacing.LEAST) for group in groups):
        return False
    for unit in stretch[1:]:
        if unit.gap < gap:
            continue
        first, *rest = unit.white
        if unit.gap == gap:
            first.becomes("", disguise.SPACED_LETTERS)
        elif first.now != " ":
            first.becomes(" ", disguise.SPACED_LETTERS)
        for point in rest:
            point.becomes("", disguise.SPACED_LETTERS)
    return True


def _chains(stretch: list[Unit]) -> list[list[Unit]]:
    """Letters and the marks between them, in turn."""
    chains: list[list[Unit]] = []
    i = 0
    while i < len(stretch):
        chain = [stretch[i]]
        while (
            stretch[i].kind in ("letter", "digit")
            and i + len(chain) + 1 < len(stretch)
            and (mark := stretch[i + len(chain)]).kind == "punct"
            and ord(mark.points[0].now) in spacing.MARKS
            and mark.points[0].now == stretch[i + 1].points[0].now
            and (following := stretch[i + len(chain) + 1]).kind in ("letter", "digit")
            and mark.gap == following.gap == 0
        ):
            chain += [mark, following]
        if len(chain) > 1:
            chains.append(chain)
        i += len(chain)
    return chains


def _join_marked(stretch: list[Unit]) -> None:
    for chain in _chains(stretch):
        mark = chain[1].points[0].now
        least = spacing.LEAST_DOTTED if mark == "." else spacing.LEAST
        if mark == "." and all(u.points[0].cls == unicode.UPPER for u in chain[::2] if u.kind == "letter"):
            least += 2
        if _is_word(chain[::2], least):
            break
    else:
        return
    for chain in _chains(stretch):
        if chain[1].points[0].now == mark:
            for unit in chain[1::2]:
                unit.points[0].becomes("", disguise.SPACED_LETTERS)


# ---- look-alikes ----


@dataclass
class Word:
    """A word, with what it is: a script, None where it cannot be told yet, or 0."""

    points: list[Point]
    script: int | None = None
    letters: list[Point] = field(default_factory=list)

    def count(self, script: int) -> int:
        """Letters of a script."""
        return sum(p.script == script for p in self.letters)

    @property
    def scripts(self) -> set[int]:
        """Scripts of its letters."""
        return {p.script for p in self.letters if lookalikes.NONE < p.script <= lookalikes.OTHER}

    def can_be(self, target: int) -> bool:
        """Whether all letters have a script, or look like one that does."""
        return all(p.script == target or _like(p, target) for p in self.letters)

    @property
    def is_symbol(self) -> bool:
        """Whether it is so short that its Greek letters rather are symbols."""
        letters = [p for p in self.letters if lookalikes.NONE < p.script <= lookalikes.OTHER]
        return self.count(lookalikes.GREEK) > 0 and len(letters) < scripts.LEAST_GREEK

    def write(self, target: int) -> None:
        """Exchange the look-alikes."""
        for point in self.letters:
            if point.script != target:
                point.becomes(chr(_like(point, target)), disguise.CONFUSABLE)


def _like(point: Point, target: int) -> int:
    if not lookalikes.NONE < point.script <= lookalikes.OTHER:
        return 0
    values: list[int] = _LOOKS.get(ord(point.now), [0, 0, 0])
    return values[target - 1]


def _words(points: list[Point]) -> list[Word]:
    words: list[Word] = []
    within = False
    for point in points:
        if point.cls in _WORD or (within and point.cls in (unicode.MARK, unicode.IGNORABLE)):
            if not within:
                words.append(Word([]))
            words[-1].points.append(point)
            within = True
        else:
            within = False
    for word in words:
        word.letters = [p for p in word.points if p.cls in (unicode.WORD, unicode.UPPER)]
    return [word for word in words if word.letters]


def _one_script(points: list[Point]) -> None:
    words = _words(points)
    own = {
        s: sum(p.script == s and not any(_like(p, t) for t in _SCRIPTS if t != s) for w in words for p in w.letters)
        for s in _SCRIPTS
    }
    main = max(_SCRIPTS, key=lambda s: own[s])
    main = main if own[main] else lookalikes.NONE
    mixed = 0
    honest: set[int] = set()
    pretending: dict[int, Word] = {}
    for place, word in enumerate(words):
        found = word.scripts
        if len(found) > 1 and not word.is_symbol:
            target = _target(word, main)
            word.script = target or None
            if target:
                word.write(target)
                mixed += target == main
        elif found:
            word.script = max(found - {main}, default=main) if len(found) == 1 else None
            if main and found != {main}:
                if word.can_be(main):
                    pretending[place] = word
                elif len(found) == 1:
                    honest |= found
    for place, word in pretending.items():
        before = [w for k, w in enumerate(words[:place]) if k not in pretending][-1:]
        after = [w for k, w in enumerate(words) if k > place and k not in pretending][:1]
        if any(w.script != main for w in before + after):
            continue
        if not mixed and (word.script in honest or main != lookalikes.LATIN or word.is_symbol):
            continue
        if main != lookalikes.LATIN and all(p.cls == unicode.UPPER for p in word.letters):
            continue
        word.write(main)


def _target(word: Word, main: int) -> int:
    if main and word.count(main) and word.can_be(main):
        return main
    possible = [t for t in _SCRIPTS if word.count(t) and word.can_be(t)]
    return max(possible, key=word.count, default=lookalikes.NONE)
