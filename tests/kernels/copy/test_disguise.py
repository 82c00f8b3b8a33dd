"""Disguises: each one undone, honest texts left alone, every place mapped back, kernel and definition alike."""

from __future__ import annotations

import numpy as np
import pytest
from copy_texts import PIECES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kinprint.kernels import lookalikes
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import disguise, shingle
from kinprint.kernels.reference import disguise as reference

SENTENCE = "The committee reviewed all of the applications on Tuesday, and didn't fund 3 of them."
LOOKS = str.maketrans("aceopxyijsABEHKMOPT", "асеорхуіјѕАВЕНКМОРТ")
GREEK = str.maketrans("oviAEO", "ονιΑΕΟ")


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


def bold(text: str) -> str:
    return "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text)


def spaced(text: str) -> str:
    return " ".join(text)


def dashed(text: str) -> str:
    return " ".join("-".join(word) for word in text.split())


DISGUISED = {
    "zero-width space": (SENTENCE.replace("t", "t\u200b"), ["zero_width"]),
    "word joiner": (SENTENCE.replace("e", "\u2060e"), ["zero_width"]),
    "direction": (SENTENCE.replace("mm", "m\u202dm"), ["zero_width"]),
    "Cyrillic": (SENTENCE.translate(LOOKS), ["confusable"]),
    "Greek": (SENTENCE.translate(GREEK), ["confusable"]),
    "a word": (SENTENCE.replace("on", "оn").replace(" all", " аll"), ["confusable"]),
    "full width": (full_width(SENTENCE), ["full_width"]),
    "mathematical": (bold(SENTENCE), ["full_width"]),
    "spaces": (spaced(SENTENCE), ["spaced_letters"]),
    "no-break spaces": (spaced(SENTENCE).replace(" ", "\xa0"), ["spaced_letters"]),
    "Cyrillic and spaces": (spaced(SENTENCE.translate(LOOKS)), ["confusable", "spaced_letters"]),
    "full width and zero width": (full_width(SENTENCE).replace("ｔ", "ｔ\u200b"), ["zero_width", "full_width"]),
    "all": (
        spaced(full_width(SENTENCE.translate(LOOKS).replace("e", "e\u200b"))),
        ["confusable", "full_width", "spaced_letters"],
    ),
}
HONEST = (
    SENTENCE,
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία στο γνωστό νησί.",
    "Он купил USB-кабель и ноутбук HP, а потом VPN; PC у него нет, и CD тоже.",
    "The word он means he. «А он и не ел», сказал Иван. It is from a novel by Толстой.",
    "nose — нос, wasp — оса, ditch — ров, cheese — сыр",
    "the α-helix, a β-blocker, 5 μm, 3 kΩ, TGF-β, Δt and π",
    "J. R. R. Tolkien, U.S.S.R., e.g. this, i.e. that, U. S. A., a.k.a. him, F.B.I.",
    "Choose A, B, C or D. x y z are 1 2 3 4 5 6. a + b = c. A B C D E F G",
    "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |",
    "人々は「２つの文」を読みました。３月５日。 東京 大阪",
    "안녕하세요, 세계! 이것은 시험입니다.",
    "می‌خواهم کتاب‌ها را بخوانم",
    "क्‍ष और ज्ञ, हिन्दी में",
    "👩‍👩‍👧 family, ❤️ heart, 🏳️‍🌈 flag",
    "a soft\xadhyphen and a co\xadop",
    "שלום עולם, hello \u200fעולם\u200f",
    "naïve café, Ærø, straße, ǆ, Çeşme, İstanbul'da ısı",
)
PARTS = (
    *PIECES,
    *"аесорху", *"теп", "ΑΒ", "ο", "ρ", "σ", "ё", "пр", "Н", "Ꭺ", "ꓮ", "ս", "ｃ", "𝐚", "ⓒ", "²", "ᵃ",
    "\u200b", "\u2060", "\u200e", "\u202e", "c o p y", "c  o  p  y", "k-e-p-t", "l.o.w.e.r", "a b", " x", "-y", ". ",
    "т е к с т", "word ", "слово ", "λόγος ", "العربية", "ع",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


def cleaned(text: str) -> disguise.Cleaned:
    return disguise.clean(np.frombuffer(text.encode(), np.uint8))


def kinds(bits: int) -> list[str]:
    return [name for name, bit in disguise.KINDS.items() if bits & bit]


def suspect(*texts: str) -> list[bool]:
    return disguise.suspects(Texts.from_offsets(*from_texts(texts))).tolist()


@pytest.mark.parametrize("case", DISGUISED)
def test_each_disguise_is_undone_and_named(case: str) -> None:
    text, expected = DISGUISED[case]
    found = cleaned(text)
    assert found.data.tobytes().decode() == SENTENCE
    assert kinds(found.kinds) == expected
    if found.kinds & disguise.OUTLIVE_FOLDING:
        assert suspect(text, f"{SENTENCE} {text}", f"{text} {SENTENCE}") == [True] * 3


def test_letters_with_marks_between_them() -> None:
    words = "copying is theft"
    for mark in "-_.*·•~":
        text = " ".join(mark.join(word) for word in words.split())
        assert cleaned(text).data.tobytes().decode() == words, mark
        assert suspect(text) == [True]
    assert cleaned(dashed("Wholly new")).data.tobytes() == b"Wholly new"


def test_russian_with_latin_letters() -> None:
    found = cleaned("Cъешь же eщё этиx мягкиx фpaнцузcкиx булoк, дa выпeй чaю, a пoтoм c нeй")
    assert found.data.tobytes().decode() == "Съешь же ещё этих мягких французских булок, да выпей чаю, а потом с ней"


@pytest.mark.parametrize("text", HONEST)
def test_honest_texts_stay_as_they_are(text: str) -> None:
    found = cleaned(text)
    # Full-width digits are letters in another form, as honest as they may be; what they fold to is the same.
    assert kinds(found.kinds) in ([], ["full_width"])
    if not found.kinds:
        assert found.data.tobytes() == text.encode()


def test_a_word_of_look_alikes_is_one_where_the_words_around_it_say_so() -> None:
    assert cleaned("this is а ѕсоре of it").data.tobytes() == b"this is a scope of it"
    kept = "this is «сор и вода» of it"
    assert cleaned(kept).data.tobytes() == kept.encode()
    # A mixed word shows that look-alikes are used here, honest words of their script or not.
    assert cleaned("thе word сор of it, и вода").data.tobytes().decode() == "the word cop of it, и вода"


def places(text: str, found: disguise.Cleaned, begin: int, end: int) -> str:
    first, last = (int(found.places(np.array([p]), ends=e)[0]) for p, e in ((begin, False), (end, True)))
    return text.encode()[first:last].decode()


def test_places_take_in_no_more_than_what_stands_within() -> None:
    text = "big \u200bс\u200bар\u200b tub"
    found = cleaned(text)
    assert found.data.tobytes() == b"big cap tub"
    assert places(text, found, 4, 7) == "с\u200bар"
    assert places(text, found, 0, 4) == "big "
    text = "see c o p y  t h i s now"
    found = cleaned(text)
    assert found.data.tobytes() == b"see copy this now"
    assert places(text, found, 4, 8) == "c o p y"
    assert places(text, found, 9, 13) == "t h i s"
    assert places(text, found, 5, 11) == "o p y  t h"


@settings(deadline=None)
@given(TEXTS)
@example("H e l l o ,   w o r l d .   D o n ' t   p a n i c .")
@example("T.h.i.s i.s m.i.n.e")
@example("".join(text for text, _ in DISGUISED.values()))
def test_kernel_and_definition_agree(text: str) -> None:
    found = cleaned(text)
    points = reference.clean(text)
    assert found.data.tobytes().decode() == "".join(p.now for p in points)
    assert found.edits[:, 4].tolist() == [p.kinds for p in points if p.kinds]
    at = 0
    edits = iter(found.edits.tolist())
    for point in points:
        width = len(point.was.encode())
        if point.kinds:
            begin, end, first, last, _ = next(edits)
            assert (first, last) == (at, at + width)
            assert found.data[begin:end].tobytes().decode() == point.now
        at += width
    outlives = bool(found.kinds & disguise.OUTLIVE_FOLDING)
    assert not outlives or suspect(text) == [True]


@settings(deadline=None)
@given(TEXTS)
def test_what_folding_undoes_makes_no_other_shingles(text: str) -> None:
    found = cleaned(text)
    if found.kinds & disguise.OUTLIVE_FOLDING == 0:
        both = from_texts([text, found.data.tobytes().decode()])
        hashes, indptr, _ = shingle.shingle_sets(*both)
        assert hashes[: indptr[1]].tolist() == hashes[indptr[1] :].tolist()


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_texts_without_disguises(texts: list[str]) -> None:
    made, rows = disguise.without_disguises(Texts.from_offsets(*from_texts(texts)))
    found = [cleaned(text) for text in texts]
    assert rows.tolist() == [i for i, one in enumerate(found) if one.kinds & disguise.OUTLIVE_FOLDING]
    for i, text in enumerate(texts):
        assert made.data(i).tobytes() == (found[i].data.tobytes() if i in rows else text.encode())


def test_suspects_are_found_wherever_they_stand() -> None:
    plain = "No word of this is out of the ordinary, and so it goes on. "
    for hidden in ("с о p у", "c-o-p-y", "оf", "c  o  p  y", "c   o   p   y", "п р и в"):
        for before in range(70):
            text = f"{(plain * 3)[:before]} {hidden} {plain * 2}"
            if cleaned(text).kinds & disguise.OUTLIVE_FOLDING:
                assert suspect(text) == [True], (hidden, before)
    assert suspect(plain, plain * 10, *HONEST[:3]) == [False] * 5


def test_tables_hold_what_they_say() -> None:
    assert lookalikes.LOOK_KEYS.size > 500
    assert (np.diff(lookalikes.LOOK_KEYS) > 0).all()
    assert (np.diff(lookalikes.FORM_KEYS) > 0).all()
    looks = dict(zip(lookalikes.LOOK_KEYS.tolist(), lookalikes.LOOK_VALUES.tolist(), strict=True))
    for letter, (latin, _, cyrillic) in {
        "а": ("a", 0, 0),
        "o": (0, 0, "о"),
        "Ι": ("I", 0, "І"),
        "ё": ("ë", 0, 0),
    }.items():
        assert looks[ord(letter)][0] == (ord(latin) if latin else 0)
        assert looks[ord(letter)][2] == (ord(cyrillic) if cyrillic else 0)


def test_bytes_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous uint8"):
        disguise.clean(np.zeros(3, np.int8))  # type: ignore[arg-type]
