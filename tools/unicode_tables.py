"""Write the Unicode tables of the copy channel from the data in PyPI ``unicodedata2``.

Run by hand when the pinned Unicode version changes::

    python tools/unicode_tables.py

It writes ``kernels/kinprint/kernels/tables/unicode.npz``. Fingerprints depend on every byte of it, so a new
Unicode version is a new sketch version as well.

The tables are two-stage tries over blocks of 128 code points: ``value = blocks[index[cp >> 7], cp & 127]``.

- ``props``: uint16, see :func:`properties` for the bits.
- ``fold``: uint32, ``(length << 16) | start`` into ``fold_sequences`` for the code points that NFKC_Casefold
  changes (length 0: the code point is removed); used only where ``props`` says so.
- ``decomposition``: the same for the full canonical decomposition, Hangul syllables left out (arithmetic).
- ``pair_keys``/``pair_values``: the primary composites, ``(first << 32) | second`` sorted, and what they make.

Case folding is not part of ``unicodedata2``. ``str.casefold`` supplies it for the code points that the running
Python knows, which is the same in every version by Unicode's case-folding stability policy; upper-case letters
that are newer fold to the letter that bears the same name with SMALL for CAPITAL. The tool refuses to run when
such a letter has none, and checks the rule against ``str.casefold`` over all the letters that both know.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import unicodedata2  # type: ignore[import-not-found]

BLOCK = 128
CODE_POINTS = 0x110000
OUT = Path(__file__).resolve().parent.parent / "kernels/kinprint/kernels/tables/unicode.npz"

SPACE, PUNCT, WORD, SPACELESS, IGNORABLE, MARK, SYMBOL, DIGIT, UPPER = range(9)
FOLDS, NOT_BOUNDARY, MAYBE = 1 << 4, 1 << 5, 1 << 6

# PropList.txt, White_Space.
WHITE_SPACE = frozenset(
    [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
)
# DerivedCoreProperties.txt, Default_Ignorable_Code_Point (reserved ranges included).
DEFAULT_IGNORABLE = frozenset(
    cp
    for first, last in (
        (0x00AD, 0x00AD),
        (0x034F, 0x034F),
        (0x061C, 0x061C),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF0, 0xFFF8),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE0FFF),
    )
    for cp in range(first, last + 1)
)
# Scripts written without spaces between words: the names of their letters begin so.
SPACELESS_NAMES = (
    "CJK ",
    "HIRAGANA",
    "HENTAIGANA",
    "KATAKANA",
    "BOPOMOFO",
    "YI SYLLABLE",
    "TANGUT",
    "NUSHU",
    "KHITAN SMALL SCRIPT",
    "JURCHEN",
    "SMALL SEAL CHARACTER",
    "THAI CHARACTER",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
    "TIBETAN ",
    "TAI LE ",
    "NEW TAI LUE ",
    "TAI THAM ",
    "TAI VIET ",
    "TAI YO ",
    "AHOM ",
    "BALINESE ",
    "JAVANESE ",
)
# Han iteration marks, ideographic zero, Hangzhou numerals, vertical kana repeat marks, masu mark.
SPACELESS_OTHERS = frozenset(
    [*range(0x3005, 0x3008), *range(0x3021, 0x302A), *range(0x3031, 0x3036), *range(0x3038, 0x303D)]
)


def casefold(text: str) -> str:
    """Full case folding (CaseFolding.txt, status C and F) at the version of ``unicodedata2``."""
    out = []
    for char in text:
        if unicodedata.category(char) != "Cn" or unicodedata2.category(char) not in ("Lu", "Lt"):
            out.append(char.casefold())
        else:
            out.append(_small(char))
    return "".join(out)


def _small(char: str) -> str:
    name = unicodedata2.name(char)
    if "CAPITAL" not in name:
        raise SystemExit(f"U+{ord(char):04X} {name}: upper case, unknown to this Python, and no rule folds it")
    return str(unicodedata2.lookup(name.replace("CAPITAL", "SMALL")))


def check_name_rule() -> None:
    """The rule for new letters must agree with ``str.casefold`` wherever it applies to known ones."""
    agree = disagree = 0
    for cp in range(CODE_POINTS):
        char = chr(cp)
        if unicodedata.decomposition(char).startswith("<"):
            continue  # NFKC replaces it before it is folded
        if unicodedata.category(char) == "Lu" and "CAPITAL" in unicodedata.name(char, ""):
            try:
                ours = _small(char)
            except KeyError:
                continue
            if ours == char.casefold():
                agree += 1
            else:
                disagree += 1
                print(f"U+{cp:04X} {unicodedata.name(char)}: named {ours!r}, folds to {char.casefold()!r}")
    print(f"name rule: {agree} agree, {disagree} disagree among letters that str.casefold knows")
    if disagree * 50 > agree:
        raise SystemExit("the name rule cannot be trusted")


def nfkc_casefold(char: str) -> str:
    """NFKC_Casefold of one code point (DerivedNormalizationProps.txt, NFKC_CF): the closure of NFKC, case
    folding and removal of default-ignorable code points."""
    text, previous = char, None
    while text != previous:
        previous = text
        text = "".join(c for c in text if ord(c) not in DEFAULT_IGNORABLE)
        text = unicodedata2.normalize("NFKC", casefold(unicodedata2.normalize("NFKC", text)))
    return text


def code_class(cp: int) -> int:
    """The class of one code point, as ``kinprint.kernels.unicode`` names them."""
    char = chr(cp)
    category = unicodedata2.category(char)
    if cp in DEFAULT_IGNORABLE:
        return IGNORABLE
    if cp in WHITE_SPACE:
        return SPACE
    if category[0] in "PZ" or category in ("Sk", "Sm", "Sc", "Cc"):
        return PUNCT
    if category == "So":
        return SYMBOL
    if category[0] == "M":
        return MARK
    if category == "Nd":
        return DIGIT
    if category in ("Lu", "Lt"):
        return UPPER
    if category[0] in "LN" and (cp in SPACELESS_OTHERS or unicodedata2.name(char, "").startswith(SPACELESS_NAMES)):
        return SPACELESS
    return WORD


def trie(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a table over all code points into (index per block, distinct blocks)."""
    blocks, index = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
    kind = np.uint8 if len(blocks) <= 256 else np.uint16
    return index.reshape(-1).astype(kind), blocks


def main() -> None:
    """Build all tables and write the archive."""
    check_name_rule()
    props = np.zeros(CODE_POINTS, np.uint16)
    fold = np.zeros(CODE_POINTS, np.uint32)
    decomposition = np.zeros(CODE_POINTS, np.uint32)
    fold_sequences: list[int] = []
    decomposition_sequences: list[int] = []
    fold_starts: dict[str, int] = {}

    pairs: dict[tuple[int, int], int] = {}
    for cp in range(CODE_POINTS):
        parts = unicodedata2.decomposition(chr(cp)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = int(parts[0], 16), int(parts[1], 16)
            if unicodedata2.normalize("NFC", chr(cp)) == chr(cp):  # leaves composition exclusions out
                pairs[first, second] = cp
    seconds = {second for _, second in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))

    for cp in range(CODE_POINTS):
        char = chr(cp)
        value = code_class(cp)
        ccc = unicodedata2.combining(char)
        surrogate = 0xD800 <= cp <= 0xDFFF
        nfd = char if surrogate else unicodedata2.normalize("NFD", char)
        composes = char if surrogate else unicodedata2.normalize("NFC", char)
        folded = char if surrogate else nfkc_casefold(char)
        maybe = ord(nfd[0]) in seconds
        if maybe:
            value |= MAYBE
        if ccc != 0 or maybe or composes != char:
            value |= NOT_BOUNDARY
        if folded != char:
            value |= FOLDS
            if folded not in fold_starts:
                fold_starts[folded] = len(fold_sequences)
                fold_sequences.extend(map(ord, folded))
            fold[cp] = (len(folded) << 16) | fold_starts[folded]
        if nfd != char and not 0xAC00 <= cp <= 0xD7A3:
            decomposition[cp] = (len(nfd) << 16) | len(decomposition_sequences)
            decomposition_sequences.extend(map(ord, nfd))
        props[cp] = value | (ccc << 8)
    if max(len(fold_sequences), len(decomposition_sequences)) >= 1 << 16:
        raise SystemExit("a sequence table outgrew its 16-bit start")

    keys = np.array([(first << 32) | second for first, second in pairs], np.uint64)
    order = np.argsort(keys)
    arrays: dict[str, np.ndarray] = {
        "version": np.array(unicodedata2.unidata_version),
        "fold_sequences": np.array(fold_sequences, np.int32),
        "decomposition_sequences": np.array(decomposition_sequences, np.int32),
        "pair_keys": keys[order],
        "pair_values": np.array(list(pairs.values()), np.int32)[order],
    }
    for name, table in (("props", props), ("fold", fold), ("decomposition", decomposition)):
        arrays[f"{name}_index"], arrays[f"{name}_blocks"] = trie(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT, **arrays)  # type: ignore[arg-type]
    for name, array in arrays.items():
        print(f"{name:26s} {array.dtype} {array.shape} {array.nbytes} bytes")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, Unicode {unicodedata2.unidata_version}")


if __name__ == "__main__":
    main()
