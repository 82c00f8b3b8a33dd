"""Keyness: which turns of phrase two models share that others do not use, with examples, for people to read.

Counted is in how many answers a feature stands, not how often: openings (first words), phrases of two to four words,
single words, and marks with the way lines start.  A feature is key when both models have it far more often than the
answers of other models to the same prompts; how much more is told as a log ratio (Hardie 2014).  This is for
understanding a score, never evidence by itself: out of many thousand features the most striking are shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

#: Code points of an answer that are read, prompts that are looked at, and other models per prompt.
READ, PROMPTS, OTHERS = 2_000, 300, 8
#: Features that are shown, of each kind and in all.
PER_KIND, SHOWN = 5, 16
#: A feature must be in so many answers of each model, and in this share of them.
LEAST, LEAST_SHARE = 3, 0.02

_SPACELESS = "぀-ヿㇰ-ㇿ㐀-䶿一-鿿豈-﫿฀-๿຀-໿ក-៿က-႟"
#: Vowel signs and accents, which are parts of words though Python's \w leaves them out.
_SIGNS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c) in ("Mn", "Mc"))
_LETTERS = rf"[^\W_{_SPACELESS}]+(?:[{_SIGNS}]+[^\W_{_SPACELESS}]*)*"
_WORD = re.compile(rf"[{_SPACELESS}]|{_LETTERS}(?:['’]{_LETTERS})*")
_MARKS = re.compile(rf"\*\*|```|[^\w\s{_SIGNS}]")
_LINE = re.compile(r"^[ \t]*(#{1,6} |[-*+•] |\d{1,3}[.)] |> |\|)", re.MULTILINE)
_PLAIN_MARKS = {
    "**": "bold text in Markdown (**)",
    "```": "fenced code (```)",
    "—": "em dashes (—)",
    "–": "en dashes (–)",
    "…": "ellipses (…)",
    "!": "exclamation marks (!)",
    "?": "question marks (?)",
    ";": "semicolons (;)",
    ":": "colons (:)",
    "(": "round brackets",
    ")": "round brackets",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """One prompt with the answers of subject and source, and of some others."""

    prompt: str
    subject: str
    source: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyFeature:
    """A feature; rates are shares of answers that have it."""

    kind: str
    text: str
    subject_rate: float
    source_rate: float
    background_rate: float
    subject_prompts: int
    source_prompts: int
    log10_ratio: float
    examples: tuple[tuple[str, str, str], ...]


def find(answered: Sequence[Answered]) -> list[KeyFeature]:
    """The key features, the strongest first."""
    counts = {side: Counter[tuple[str, str]]() for side in ("subject", "source", "others")}
    others = 0
    for one in answered:
        counts["subject"].update(features(one.subject))
        counts["source"].update(features(one.source))
        for other in one.others:
            counts["others"].update(features(other))
            others += 1
    n = len(answered)
    if n == 0 or others == 0:  # without other models nothing is key
        return []
    scored = []
    for feature, count in counts["subject"].items():
        back = counts["source"][feature]
        if min(count, back) < max(LEAST, LEAST_SHARE * n):
            continue
        rate = (counts["others"][feature] + 0.5) / (others + 1.0)
        strength = min(_z(count / n, rate, n), _z(back / n, rate, n))
        if strength > 2.0 and min(count, back) / n > 1.5 * rate:
            scored.append((strength, feature, rate))
    scored.sort(key=lambda s: (-s[0], -len(s[1][1]), s[1]))  # of parts that stand as often, the whole
    chosen: list[tuple[str, str]] = []
    out: list[KeyFeature] = []
    for _, (kind, text), rate in scored:
        if len(out) == SHOWN:
            break
        if sum(k == kind for k, _ in chosen) == PER_KIND or any(
            _overlap(text, other) for k, other in chosen if k == kind
        ):
            continue
        chosen.append((kind, text))
        a, b = counts["subject"][kind, text], counts["source"][kind, text]
        out.append(
            KeyFeature(
                kind,
                text,
                a / n,
                b / n,
                counts["others"][kind, text] / others,
                a,
                b,
                float(np.log10(min(a, b) / n / rate)),
                tuple(islice(_examples(answered, kind, text), 2)),
            )
        )
    return out


def features(answer: str) -> set[tuple[str, str]]:
    """The features of one answer, as (kind, text)."""
    text = answer[:READ]
    words = [w.lower().replace("’", "'") for w in _WORD.findall(text)]
    found = {("word", w) for w in words if len(w) > 1 and not w.isdigit()}
    for size in (2, 3, 4):
        found |= {("phrase", _join(words[i : i + size])) for i in range(len(words) - size + 1)}
    if words:
        found |= {("opening", _join(words[:size])) for size in (1, 2, 3, 4) if len(words) >= size}
    found |= {("punctuation", mark) for mark in _MARKS.findall(text)}
    found |= {("punctuation", "line: " + _line_kind(start)) for start in _LINE.findall(text)}
    return found


def plain(feature: KeyFeature) -> str:
    """What the feature is, in a sentence."""
    rates = (
        f"in {_percent(feature.subject_rate)} of the subject's and {_percent(feature.source_rate)} of the source's "
        f"answers, against {_percent(feature.background_rate)} of other models' answers to the same prompts"
    )
    if feature.kind == "opening":
        return f"Answers that begin with “{feature.text}”: {rates}."
    if feature.kind == "punctuation":
        mark = feature.text
        what = (
            f"Lines that start as {mark[6:]}" if mark.startswith("line: ") else f"Use of {_PLAIN_MARKS.get(mark, mark)}"
        )
        return f"{what}: {rates}."
    return f"The {feature.kind} “{feature.text}”: {rates}."


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %" if rate >= 0.0095 or rate == 0 else "under 1 %"


def _z(rate: float, background: float, n: int) -> float:
    return float((rate - background) / np.sqrt(background * (1 - min(background, 0.999)) / n + 0.25 / n**2))


def _join(words: Sequence[str]) -> str:
    out = words[0]
    for before, word in pairwise(words):
        out += word if len(word) == 1 and len(before) == 1 and not word.isascii() else " " + word
    return out


def _overlap(a: str, b: str) -> bool:
    """Whether one says what the other said already: a part of it, or two words in common."""
    one, other = (set(_WORD.findall(text)) or {text} for text in (a, b))
    return one <= other or other <= one or len(one & other) >= 2


def _line_kind(start: str) -> str:
    if start[0] == "#":
        return f"headings ({start.strip()})"
    if start[0].isdigit():
        return "numbered items"
    return {">": "quotations (>)", "|": "tables (|)"}.get(start[0], f"list items ({start.strip()})")


def _examples(answered: Sequence[Answered], kind: str, text: str) -> Iterator[tuple[str, str, str]]:
    for one in answered:
        if (kind, text) in features(one.subject) and (kind, text) in features(one.source):
            yield one.prompt[:200], _excerpt(one.subject, kind, text), _excerpt(one.source, kind, text)


def _excerpt(answer: str, kind: str, text: str) -> str:
    """The surroundings of a feature, at most 220 code points."""
    if kind == "opening":
        return answer.strip()[:160]
    if text.startswith("line: "):
        found = _LINE.search(answer)
        place = found.start() if found else 0
    else:
        pattern = (
            r"[\W_]*".join("['’]" if part == "'" else re.escape(part) for part in re.findall(r"\S", text))
            if kind != "punctuation"
            else re.escape(text)
        )
        hit = re.search(pattern, answer[:READ], re.IGNORECASE)
        place = hit.start() if hit else 0
    begin = max(0, place - 70)
    return ("… " if begin else "") + answer[begin : place + 150].strip() + (" …" if len(answer) > place + 150 else "")
