"""Language of answers that name none, by lingua (Rust): n-gram models over 75 languages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua import LanguageDetector

#: The beginning is enough to tell, and keeps bulk loads quick.
_HEAD = 300
#: Texts a call: the detector holds the interpreter lock throughout, which a thousand would do for half a second.
_AT_ONCE = 16
#: Shorter answers are left without a language: a guess would be worse than none.
_LEAST_CODE_POINTS, _LEAST_WIDE_CODE_POINTS = 20, 6


@cache
def _detector() -> LanguageDetector:
    from lingua import LanguageDetectorBuilder  # a server that nobody gives a text without a language has no use for it

    builder = LanguageDetectorBuilder.from_all_languages()
    return builder.with_low_accuracy_mode().with_minimum_relative_distance(0.1).build()


def _long_enough(text: str) -> bool:
    head = text[:_HEAD].strip()
    if len(head) >= _LEAST_CODE_POINTS:
        return True
    return sum(ord(c) >= 0x0E00 for c in head) >= _LEAST_WIDE_CODE_POINTS


def detect_languages(texts: Sequence[str]) -> list[str | None]:
    """ISO 639-1 code of each text, None where it cannot be told."""
    places = [i for i, text in enumerate(texts) if _long_enough(text)]
    found: list[str | None] = [None] * len(texts)
    if not places:
        return found
    detector = _detector()
    for start in range(0, len(places), _AT_ONCE):
        some = places[start : start + _AT_ONCE]
        results = detector.detect_languages_in_parallel_of([texts[i][:_HEAD] for i in some])
        for i, language in zip(some, results, strict=True):
            if language is not None:
                found[i] = language.iso_code_639_1.name.lower()
    return found
