"""Write the tables by which disguised letters are seen through.

The data are those of PyPI ``confusable_homoglyphs`` and ``unicodedata2``.

Run by hand when either changes::

    python tools/disguise_tables.py

It writes ``kernels/kinprint/kernels/tables/disguises.npz``. Both packages are needed by this tool alone: the first
ships confusables.txt (UTS #39) and Scripts.txt of :data:`CONFUSABLES_VERSION`, the second decompositions. What is
seen through decides the seeds of disguised texts, so new tables are a new version of the seeds as well.

- ``letter_index``/``letter_blocks``: a two-stage trie over blocks of 128 code points, uint8: in bits 0 to 2 the script,
  :data:`NONE` and on, then :data:`LIKE_LATIN` and on. Other forms of a letter have its bits.
- ``look_keys`` int32[k], ``look_values`` int32[k, 3]: letters, ascending, and what each looks like in Latin, Greek
  and Cyrillic; 0 where nothing there does, and in the letter's own script.
- ``form_keys``, ``form_values`` int32[m]: letters and digits that Unicode encodes once more in another form (full
  width, mathematical, circled, squared, superscript), and the letter itself.
"""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from pathlib import Path

import confusable_homoglyphs  # type: ignore[import-not-found]
import numpy as np
import unicodedata2  # type: ignore[import-not-found]
from unicode_tables import CODE_POINTS, DIGIT, IGNORABLE, MARK, UPPER, WORD, code_class, trie

OUT = Path(__file__).resolve().parent.parent / "kernels/kinprint/kernels/tables/disguises.npz"
CONFUSABLES_VERSION = "15.1.0"
#: First code point of the newest block of that version, and one that only the next has.
NEWEST, NOT_YET = 0x2EBF0, 0x10D50

NONE, LATIN, GREEK, CYRILLIC, OTHER, EAST_ASIAN = range(6)
LIKE_LATIN, LIKE_ANY, IN_WORD, UNSEEN = 8, 16, 32, 64
TARGETS = (LATIN, GREEK, CYRILLIC)
SCRIPTS = {
    "LATIN": LATIN,
    "GREEK": GREEK,
    "CYRILLIC": CYRILLIC,
    "HAN": EAST_ASIAN,
    "HIRAGANA": EAST_ASIAN,
    "KATAKANA": EAST_ASIAN,
    "HANGUL": EAST_ASIAN,
    "BOPOMOFO": EAST_ASIAN,
}
#: Alphabets written from left to right some letters of which look like Latin, Greek or Cyrillic ones.
OTHERS = (
    "ARMENIAN",
    "CHEROKEE",
    "COPTIC",
    "LISU",
    "DESERET",
    "OSAGE",
    "WARANG_CITI",
    "GEORGIAN",
    "CANADIAN_ABORIGINAL",
    "TIFINAGH",
    "GLAGOLITIC",
    "OLD_ITALIC",
    "GOTHIC",
    "CARIAN",
    "LYCIAN",
    "LYDIAN",
    "ELBASAN",
    "CAUCASIAN_ALBANIAN",
    "RUNIC",
    "VITHKUQI",
    "MIAO",
    "BAMUM",
    "VAI",
    "MEDEFAIDRIN",
    "OLD_PERMIC",
)
#: Letters that stand for a script: what a word is turned into is written with these, and marks.
USUAL = {
    LATIN: [*range(0x41, 0x5B), *range(0x61, 0x7B)],
    GREEK: [*range(0x391, 0x3AA), *range(0x3B1, 0x3CA)],
    CYRILLIC: [*range(0x410, 0x450), *range(0x400, 0x410), *range(0x450, 0x460)],
}
FORMS = ("<wide>", "<font>", "<circle>", "<square>", "<super>", "<sub>")


def scripts(categories: dict[str, list]) -> np.ndarray:
    """Script code of every letter, uint8; :data:`NONE` for all else."""
    table = np.zeros(CODE_POINTS, np.uint8)
    names = categories["iso_15924_aliases"]
    ranges = categories["code_points_ranges"]
    last = max(end for _, end, _, _ in ranges)
    covered = {cp for first, end, _, _ in ranges if end >= NEWEST for cp in (first,)}
    if NEWEST not in covered or any(first <= NOT_YET <= end for first, end, _, _ in ranges):
        raise SystemExit(f"the data are not of Unicode {CONFUSABLES_VERSION} (the last range ends at U+{last:X})")
    for first, end, script, _ in ranges:
        code = SCRIPTS.get(names[script], OTHER if names[script] in OTHERS else NONE)
        for cp in range(first, end + 1):
            if code and unicodedata2.category(chr(cp))[0] == "L":
                table[cp] = code
    return table


def classes(confusables: dict[str, list]) -> dict[str, set[str]]:
    """Code points that look alike, by each of them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for source, others in confusables.items():
        for other in (entry["c"] for entry in others):
            if len(source) == len(other) == 1:
                found[source] |= {other}
                found[other] |= {source}
    # What looks like the same third one looks alike: confusables.txt names one prototype for all of a class.
    return {char: {char} | near | {c for n in near for c in found[n]} for char, near in found.items()}


def look_alike(char: str, target: int, alike: dict[str, set[str]]) -> int:
    """The usual letter of a script that a letter looks like; 0 when there is none."""
    decomposed = unicodedata2.normalize("NFD", char)
    base, marks = decomposed[0], decomposed[1:]
    near = alike.get(base, set())
    upper = unicodedata2.category(base) != "Ll"
    found = [cp for cp in USUAL[target] if chr(cp) in near]
    # Of the letters that look alike in both cases the one of the same case; letters without case look like capitals.
    found.sort(key=lambda cp: (unicodedata2.category(chr(cp)) == "Lu") != upper)
    if not found:
        return 0
    whole = unicodedata2.normalize("NFC", chr(found[0]) + marks)
    return ord(whole) if len(whole) == 1 else 0


def forms() -> dict[int, int]:
    """Letters and digits in other forms, and themselves."""
    made = {}
    for cp in range(0x80, CODE_POINTS):
        parts = unicodedata2.decomposition(chr(cp)).split()
        if not parts or parts[0] not in FORMS:
            continue
        plain = unicodedata2.normalize("NFKC", chr(cp))
        if len(plain) != 1:
            continue
        category = unicodedata2.category(plain)
        any_letter = parts[0] in FORMS[:2]  # circled and raised letters of other alphabets are symbols, or sounds
        if (category[0] == "L" and (any_letter or plain.isascii())) or (category == "Nd" and any_letter):
            made[cp] = ord(plain)
    return made


def main() -> None:
    """Build all tables and write the archive."""
    folder = Path(confusable_homoglyphs.__file__).parent
    script = scripts(json.loads((folder / "categories.json").read_text("utf-8")))
    alike = classes(json.loads((folder / "confusables.json").read_text("utf-8")))
    looks: dict[int, list[int]] = {}
    for cp in np.flatnonzero((script > NONE) & (script < EAST_ASIAN)).tolist():
        if unicodedata2.decomposition(chr(cp)).startswith("<"):
            continue  # another form of a letter, which is turned into that first
        values = [0 if script[cp] == target else look_alike(chr(cp), target, alike) for target in TARGETS]
        if any(values):
            looks[cp] = values
    plain = forms()
    letter = script.copy()
    for cp in range(CODE_POINTS):
        kind = code_class(cp)
        letter[cp] |= (IN_WORD if kind in (WORD, UPPER, DIGIT) else 0) | (UNSEEN if kind in (IGNORABLE, MARK) else 0)
    for cp, values in looks.items():
        letter[cp] |= LIKE_ANY | (LIKE_LATIN if values[TARGETS.index(LATIN)] else 0)
    for cp, value in plain.items():
        letter[cp] = letter[value]
    arrays: dict[str, np.ndarray] = {
        "version": np.array(CONFUSABLES_VERSION),
        "look_keys": np.array(sorted(looks), np.int32),
        "look_values": np.array([looks[cp] for cp in sorted(looks)], np.int32),
        "form_keys": np.array(sorted(plain), np.int32),
        "form_values": np.array([plain[cp] for cp in sorted(plain)], np.int32),
    }
    arrays["letter_index"], arrays["letter_blocks"] = trie(letter)
    np.savez_compressed(OUT, **arrays)  # type: ignore[arg-type]
    for name, array in arrays.items():
        print(f"{name:16s} {array.dtype} {array.shape} {array.nbytes} bytes")
    for target, name in enumerate(("Latin", "Greek", "Cyrillic")):
        letters = "".join(chr(cp) for cp in sorted(looks) if looks[cp][target] and cp < 0x530)
        print(f"{name:9s}{sum(bool(v[target]) for v in looks.values()):5d}  {letters}")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, Unicode {CONFUSABLES_VERSION} ({unicodedata.unidata_version} here)")


if __name__ == "__main__":
    main()
