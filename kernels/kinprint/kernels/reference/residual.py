"""Prompt-wise residuals by definition: residual vectors are formed, where the kernels only know inner products.

A vector is a dict from n-grams to weights. One prompt is a dict from models to answers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kinprint.kernels.reference.fold import fold
from kinprint.kernels.reference.stylometry import ATTACHED, LINE_ENDS, mix, read
from kinprint.kernels.style.residual import BOUND, FAMILIES, OPENING, WINDOW
from kinprint.kernels.unicode import DIGIT, MARK, PUNCT, SPACE, SYMBOL, UPPER, WORD

Item = tuple[int, ...]
"""What n-grams are made of: a code point, a token or a symbol. Its hash is its first number, mixed with the others."""
Gram = tuple[Item, ...]
Vector = dict[Gram, float]
Matrix = list[list[float]]

WORD_SEED, MARK_SEED, SPACELESS_SEED = 7, 3, 5
LINE_END, BLANK_LINE = (905,), (906,)
LOWER_CASE, CAPITAL, NUMBER = (1,), (2,), (3,)
SEEDS = {"characters": 11, "words": 21, "phrases": 51, "punctuation": 41, "openings": 61}
SMALLEST = 1e-6
"""Squared length below which there is no residual."""


class Token(NamedTuple):
    kind: str
    key: Item


# ---- n-grams ----


def word_token(chars: Sequence[tuple[int, int]]) -> Token:
    """A word: upper case is folded, the apostrophe is U+0027, and it begins as what it is."""
    first = chars[0][1]
    kind = "number" if first == DIGIT else "capital" if first == UPPER else "word"
    folded: list[int] = []
    for cp, cls in chars:
        if cls == UPPER:
            folded += map(ord, fold(chr(cp)))
        else:
            folded.append(0x27 if cp == 0x2019 else cp)
    return Token(kind, (WORD_SEED, *folded))


def tokens(chars: Sequence[tuple[int, int]]) -> list[Token]:
    """Tokens of code points and their classes, without white space at the end."""
    out: list[Token] = []
    i = 0
    while i < len(chars):
        cp, cls = chars[i]
        j = i + 1
        if cls == SPACE:
            while chars[j][1] == SPACE:
                j += 1
            ends = sum(blank in LINE_ENDS for blank, _ in chars[i:j])
            if ends:
                out.append(Token("line", LINE_END if ends == 1 else BLANK_LINE))
        elif cls in (WORD, UPPER, DIGIT, MARK):
            while j < len(chars):
                after = chars[j + 1][1] if j + 1 < len(chars) else SPACE
                apostrophe = chars[j][0] in (0x27, 0x2019) and after in (WORD, UPPER, MARK)
                if chars[j][1] not in (WORD, UPPER, DIGIT, MARK) and not apostrophe:
                    break
                j += 1
            out.append(word_token(chars[i:j]))
        elif cls in (PUNCT, SYMBOL):
            out.append(Token("mark", (MARK_SEED, cp)))
        else:
            while j < len(chars) and chars[j][1] == ATTACHED:
                j += 1
            out.append(Token("spaceless", (SPACELESS_SEED, *(x for x, _ in chars[i:j]))))
        i = j
    return out


def spans(items: Sequence[Item], low: int, high: int) -> list[Gram]:
    """Every ``low`` to ``high`` items in a row."""
    return [tuple(items[i : i + n]) for n in range(low, high + 1) for i in range(len(items) - n + 1)]


def symbols(some: Sequence[Token]) -> list[Item]:
    """What is left of tokens when words are taken away: a stretch in lower case is one symbol."""
    out: list[Item] = []
    for token in some:
        if token.kind in ("word", "spaceless"):
            if out[-1:] != [LOWER_CASE]:
                out.append(LOWER_CASE)
        else:
            out.append({"capital": CAPITAL, "number": NUMBER}.get(token.kind, token.key))
    return out


def ngrams(text: str) -> dict[str, list[Gram]]:
    """The n-grams of each family, repeats kept."""
    chars, _ = read(text, WINDOW)
    while chars and chars[-1][1] == SPACE:
        chars.pop()
    line: list[Item] = []
    for i, (cp, cls) in enumerate(chars):
        if cls != SPACE:
            line.append((cp,))
        elif chars[i - 1][1] != SPACE:
            line.append((0x20,))
    some = tokens(chars)
    words = [token.key for token in some if token.kind in ("word", "capital", "number", "spaceless")]
    opening = [token.key for token in some[:OPENING]]
    return {
        "characters": spans(line, 3, 5),
        "words": spans(words, 1, 2),
        "phrases": spans(words, 3, 5),
        "punctuation": spans(symbols(some), 1, 4),
        "openings": [tuple(opening[: n + 1]) for n in range(len(opening))],
    }


def gram_hash(family: str, gram: Gram) -> int:
    """The hash that stands for an n-gram in the kernel."""
    return mix(SEEDS[family], *(mix(item[0], *item[1:]) for item in gram))


# ---- vectors and their products ----


def product(a: Vector, b: Vector) -> float:
    return math.fsum(x * b[gram] for gram, x in a.items() if gram in b)


def unit(vector: Vector, smallest: float = 0.0) -> Vector:
    """Scaled to length 1; empty when the squared length is not above ``smallest``."""
    squares = math.fsum(x * x for x in vector.values())
    return {gram: x / math.sqrt(squares) for gram, x in vector.items()} if squares > smallest else {}


def vectors(answers: Mapping[int, str], family: str, joined: Collection[int] = ()) -> dict[int, Vector]:
    """Unit vectors of the answers to one prompt.

    Those of ``joined`` models do not count for the rarity of an n-gram, but in their own vectors.
    """
    counts = {model: Counter(ngrams(text)[family]) for model, text in answers.items()}
    out = {}
    for model, mine in counts.items():
        counted = [counts[other] for other in answers if other not in joined or other == model]
        weights = {}
        for gram, tf in mine.items():
            df = sum(gram in one for one in counted)
            weights[gram] = math.log(1.0 + tf) * math.log((1.5 + len(counted)) / (1.0 + df))
        out[model] = unit(weights)
    return out


def products(of: Mapping[int, Vector], models: int) -> Matrix:
    """Inner products of all pairs; 0 where a model has no answer."""
    return [[product(of.get(i, {}), of.get(j, {})) for j in range(models)] for i in range(models)]


# ---- residuals ----


def mean_vector(of: Mapping[int, Vector], reference: Collection[int]) -> Vector:
    """Mean over the reference models that have a vector; empty when these are fewer than three."""
    members = [of[model] for model in reference if of.get(model)]
    total: Vector = {}
    if len(members) >= 3:
        for vector in members:
            for gram, x in vector.items():
                total[gram] = total.get(gram, 0.0) + x / len(members)
    return total


def residuals(of: Mapping[int, Vector], mean: Vector) -> dict[int, Vector]:
    """Unit vectors of what is left without the mean; a model with an empty vector, or nothing left, has none."""
    out = {}
    for model, vector in of.items():
        if vector:
            left = {gram: vector.get(gram, 0.0) - mean.get(gram, 0.0) for gram in {**vector, **mean}}
            out[model] = unit(left, SMALLEST)
    return out


def scale(of: Mapping[int, Vector], reference: Collection[int]) -> float:
    """Inverse root mean square of the cosines of the reference's residuals, ten pairs of 0.15 added."""
    members = [of[model] for model in reference if of.get(model)]
    cosines = [product(a, b) for i, a in enumerate(members) for b in members[:i]]
    return 1.0 / math.sqrt((math.fsum(x * x for x in cosines) + 10 * 0.15**2) / (len(cosines) + 10))


def bounded(x: float) -> float:
    return BOUND * x / math.sqrt(BOUND**2 + x * x)


class Frozen(NamedTuple):
    """The reference of one prompt and family."""

    mean: Vector
    scale: float


def frozen(of: Mapping[int, Vector], reference: Collection[int]) -> Frozen:
    mean = mean_vector(of, reference)
    return Frozen(mean, scale(residuals(of, mean), reference))


def contributions(of: Mapping[int, Vector], models: int, panel: Frozen) -> Matrix:
    """What one prompt adds to each pair; 0 on the diagonal."""
    left = residuals(of, panel.mean)
    out = [[0.0] * models for _ in range(models)]
    for i in left:
        for j in left:
            if i != j:
                out[i][j] = bounded(product(left[i], left[j]) * panel.scale)
    return out


def sums(
    prompts: Sequence[Mapping[int, str]], models: int, reference: Collection[int], joined: Collection[int] = ()
) -> tuple[list[Matrix], list[list[int]]]:
    """Sums over prompts of each family, and prompts that both answered.

    The reference never has a joined model. Pairs without a joined model get the numbers that they have without those.
    """
    total = [[[0.0] * models for _ in range(models)] for _ in FAMILIES]
    for answers in prompts:
        for f, family in enumerate(FAMILIES):
            of = vectors(answers, family, joined)
            here = contributions(of, models, frozen(of, reference))
            total[f] = [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(total[f], here, strict=True)]
    shared = [[sum(i in p and j in p for p in prompts) for j in range(models)] for i in range(models)]
    return total, shared
