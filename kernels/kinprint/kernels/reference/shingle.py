"""Shingles by definition."""

from __future__ import annotations

from kinprint.kernels import hashing, unicode
from kinprint.kernels.shingle import BLANK, WHOLE_TEXT

from .fold import normalised_answer

_U64 = (1 << 64) - 1
_WORD_CLASSES = (unicode.WORD, unicode.DIGIT, unicode.UPPER)


def multiply_fold(x: int, y: int) -> int:
    """Low xor high half of the 128-bit product."""
    product = x * y
    return (product >> 64) ^ (product & _U64)


def finalise(x: int) -> int:
    """Last mixing step."""
    x ^= x >> 32
    x = (x * int(hashing.MULTIPLIER_3)) & _U64
    return x ^ (x >> 29)


def code_class(cp: int) -> int:
    """Class of a code point, from the tables."""
    return int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127]) & 15


def tokens(text: str) -> tuple[list[str], list[str]]:
    """The words and the spaceless code points of a folded text, each in order."""
    words: list[str] = []
    spaceless: list[str] = []
    kind = "separator"
    for char in text:
        cls = code_class(ord(char))
        if cls == unicode.MARK:
            if kind == "word":
                words[-1] += char
            elif kind == "spaceless":
                spaceless.append(char)
        elif cls in _WORD_CLASSES:
            if kind == "word":
                words[-1] += char
            else:
                words.append(char)
            kind = "word"
        elif cls in (unicode.SPACELESS, unicode.SYMBOL):
            spaceless.append(char)
            kind = "spaceless"
        else:
            kind = "separator"
    return words, spaceless


def word_hash(word: str) -> int:
    """64-bit hash of a word's UTF-8 bytes, eight at a time, little-endian, the last padded with zeros."""
    data = word.encode()
    h = int(hashing.WORD_SEED)
    for i in range(0, len(data), 8):
        h = multiply_fold(h ^ int.from_bytes(data[i : i + 8], "little"), int(hashing.MULTIPLIER_1))
    return h ^ ((len(data) * int(hashing.MULTIPLIER_2)) & _U64)


def _window(points: list[int]) -> int:
    """Mixed hash of up to five code points: the last three in one word, the two before in another."""
    tail = head = 0
    for cp in points[-3:]:
        tail = (tail << 21) | cp
    for cp in points[-5:-3]:
        head = (head << 21) | cp
    return multiply_fold(tail ^ int(hashing.CODE_POINT_SHINGLE_1), head ^ int(hashing.CODE_POINT_SHINGLE_2))


def text_hash(text: str) -> tuple[int, int]:
    """128-bit hash of the normalised answer."""
    return _text_hash(normalised_answer(text))


def _text_hash(answer: str) -> tuple[int, int]:
    data = answer.encode()
    a = int(hashing.TEXT_SEED_1) ^ len(data)
    b = (int(hashing.TEXT_SEED_2) + len(data)) & _U64
    for i in range(0, len(data), 8):
        x = int.from_bytes(data[i : i + 8], "little")
        a = multiply_fold(a ^ x, int(hashing.MULTIPLIER_1))
        b = (multiply_fold((b + x) & _U64, int(hashing.MULTIPLIER_2)) + a) & _U64
    return finalise(a), finalise(b ^ int(hashing.MULTIPLIER_1))


def shingles(text: str) -> tuple[list[int], int]:
    """All shingle hashes of a text, repeats kept, and its flags."""
    answer = normalised_answer(text)
    if not answer:
        return [], BLANK
    words, spaceless = tokens(answer)
    hashes = [word_hash(word) for word in words]
    points = [ord(char) for char in spaceless]
    out = []
    for before, previous, last in zip(hashes, hashes[1:], hashes[2:], strict=False):
        v = multiply_fold(before ^ int(hashing.WORD_SHINGLE_1), previous ^ int(hashing.WORD_SHINGLE_2))
        out.append(finalise((multiply_fold(v ^ last, int(hashing.WORD_SHINGLE_3)) + last) & _U64))
    out.extend(finalise(_window(points[i : i + 5])) for i in range(len(points) - 4))
    if out:
        return out, 0
    whole = int(hashing.WHOLE_TEXT)
    if not words and not points:
        first, second = _text_hash(answer)
        return [finalise(multiply_fold(first ^ whole, second ^ int(hashing.MULTIPLIER_1)))], WHOLE_TEXT
    before, previous = ([0, 0, *hashes])[-2:]
    v = multiply_fold(before ^ whole, previous ^ int(hashing.WORD_SHINGLE_2))
    return [finalise(multiply_fold(v ^ len(words), _window(points) ^ whole))], WHOLE_TEXT


def shingle_set(text: str) -> tuple[set[int], int]:
    """The distinct shingle hashes of a text, and its flags."""
    out, flags = shingles(text)
    return set(out), flags
