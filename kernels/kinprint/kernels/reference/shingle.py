"""Shingles by definition."""

from __future__ import annotations

from kinprint.kernels import hashing, unicode
from kinprint.kernels.copy.shingle import BLANK, WHOLE_TEXT
from kinprint.kernels.reference.fold import normalised_answer

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


def _halves(data: bytes) -> list[tuple[int, int]]:
    """Each 16 bytes as two little-endian words, the last padded with zeros."""
    padded = data + bytes(-len(data) % 16)
    words = [int.from_bytes(padded[i : i + 8], "little") for i in range(0, len(padded), 8)]
    return list(zip(words[0::2], words[1::2], strict=True))


def word_hash(word: str) -> int:
    """64-bit hash of a word's UTF-8 bytes, 16 at a time."""
    data = word.encode()
    h = int(hashing.WORD_SEED_1)
    k = int(hashing.WORD_SEED_2) ^ len(data)
    for x, y in _halves(data):
        h = multiply_fold(h ^ x, k ^ y)
        k = int(hashing.WORD_SEED_2)
    return h


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
    seed_a, seed_b = int(hashing.TEXT_SEED_1), int(hashing.TEXT_SEED_2)
    a, b = seed_a ^ len(data), seed_b ^ len(data)
    for x, y in _halves(data):
        a = multiply_fold(a ^ x, y ^ seed_b)
        b = multiply_fold(b ^ y, x ^ seed_a)
    return finalise(a), finalise(b ^ int(hashing.MULTIPLIER_1))


def _rotated(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & _U64


def word_shingles(text: str) -> list[int]:
    """Hashes of each three words in a row of a folded text."""
    hashes = [word_hash(word) for word in tokens(text)[0]]
    threes = zip(hashes, hashes[1:], hashes[2:], strict=False)
    return [finalise((_rotated(a, 23) + _rotated(b, 46) + c) & _U64) for a, b, c in threes]


def point_shingles(text: str) -> list[int]:
    """Hashes of each five spaceless code points in a row of a folded text."""
    points = [ord(char) for char in tokens(text)[1]]
    return [finalise(_window(points[i : i + 5])) for i in range(len(points) - 4)]


def shingles(text: str) -> tuple[list[int], int]:
    """Scheme ``w3c5``: all shingle hashes of a text, those of words first, repeats kept, and its flags."""
    answer = normalised_answer(text)
    if not answer:
        return [], BLANK
    out = word_shingles(answer) + point_shingles(answer)
    if out:
        return out, 0
    whole = int(hashing.WHOLE_TEXT)
    words, spaceless = tokens(answer)
    hashes, points = [word_hash(word) for word in words], [ord(char) for char in spaceless]
    if not words and not points:
        return [_whole_answer(answer)], WHOLE_TEXT
    before, previous = ([0, 0, *hashes])[-2:]
    v = multiply_fold(before ^ int(hashing.WHOLE_WORDS_1), previous ^ int(hashing.WHOLE_WORDS_2))
    return [finalise(multiply_fold(v ^ len(words), _window(points) ^ whole))], WHOLE_TEXT


def _whole_answer(answer: str) -> int:
    first, second = _text_hash(answer)
    return finalise(multiply_fold(first ^ int(hashing.WHOLE_TEXT), second ^ int(hashing.MULTIPLIER_1)))


def code_point_shingles(text: str) -> tuple[list[int], int]:
    """Scheme ``c5``: hashes of each five code points in a row of the normalised answer, and its flags."""
    answer = normalised_answer(text)
    if not answer:
        return [], BLANK
    out = []
    for i in range(len(answer) - 4):
        five = answer[i : i + 5]
        if five.isascii():
            x = int.from_bytes(five.encode(), "little")
            out.append(finalise((x * int(hashing.MULTIPLIER_1)) & _U64))
        else:
            out.append(finalise(_window([ord(char) for char in five])))
    return (out, 0) if out else ([_whole_answer(answer)], WHOLE_TEXT)


def shingle_set(text: str) -> tuple[set[int], int]:
    """The distinct shingle hashes of a text, and its flags."""
    out, flags = shingles(text)
    return set(out), flags
