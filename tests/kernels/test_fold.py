"""NFKC_Casefold against its definition, and the equivalences that it promises."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import unicodedata2  # type: ignore[import-not-found]
from copy_texts import PIECES, texts
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kinprint.kernels import fold
from kinprint.kernels.arrow import from_texts
from kinprint.kernels.reference import fold as reference


def folded(*given_texts: str) -> list[str]:
    data, offsets = fold.fold(*from_texts(given_texts))
    return [data[a:b].tobytes().decode() for a, b in pairwise(offsets)]


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_equals_reference(many: list[str]) -> None:
    assert folded(*many) == [reference.fold(text) for text in many]


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_normalised_answer_equals_reference(many: list[str]) -> None:
    data, offsets = from_texts(many)
    scratch = np.empty(fold.SEGMENT, np.int32)
    for i, text in enumerate(many):
        start, end = int(offsets[i]), int(offsets[i + 1])
        buffer, length = fold.folded(data, start, end, np.empty(1, np.uint8), scratch, True)
        assert buffer[:length].tobytes().decode() == reference.normalised_answer(text)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_normalisation_forms_fold_alike(text: str) -> None:
    forms = [unicodedata2.normalize(form, text) for form in ("NFC", "NFD")]
    # The exception that docs/copy.md names: a composed iota subscript with a mark behind it.
    behind = zip(forms[0], forms[0][1:], strict=False)
    iota = [b for a, b in behind if "\u0345" in unicodedata2.normalize("NFD", a)]
    assume(not any(unicodedata2.combining(b) for b in iota))
    assert len(set(folded(*forms))) == 1


@settings(max_examples=200, deadline=None)
@given(texts)
def test_folded_text_is_nfc_and_stays(text: str) -> None:
    (once,) = folded(text)
    assert unicodedata2.normalize("NFC", once) == once
    assert folded(once) == [once]


def test_every_code_point_by_itself_and_between_letters() -> None:
    chars = [chr(cp) for cp in range(0x110000) if unicodedata2.category(chr(cp)) not in ("Cn", "Co", "Cs")]
    sample = [c for c in chars if not (0xAC00 <= ord(c) <= 0xD7A3 or unicodedata2.name(c, "").startswith("CJK"))]
    given_texts = [f"e{c}\u0323" for c in sample]
    assert folded(*given_texts) == [reference.fold(text) for text in given_texts]


def test_marks_in_any_number_and_order() -> None:
    marks = ["\u0301", "\u0327", "\u0323", "\u0345", "\u05b0", "\u3099"]
    generator = random.Random(7)
    for count in (1, 15, 16, 17, 40, 400, 5000):
        text = "e" + "".join(generator.choices(marks, k=count)) + "f"
        assert folded(text) == [reference.fold(text)]


def test_expansion_beyond_the_first_buffer() -> None:
    text = "ﷺ" * 5000
    assert folded(text, "a", text) == [reference.fold(text), "a", reference.fold(text)]


@pytest.mark.parametrize("length", [*range(40), 4080, 4096, 5000])
def test_every_alignment(length: int) -> None:
    generator = random.Random(length)
    for insert in ("", "É", "e\u0301", "\n\n", "  ", "，"):
        text = "".join(generator.choices("aZ 9.\n", k=length))
        at = generator.randint(0, length)
        text = text[:at] + insert + text[at:]
        assert folded(text) == [reference.fold(text)]


def test_layouts() -> None:
    data, offsets = from_texts(["skip", "Éa", "B"])
    part, part_offsets = fold.fold(data, offsets[1:])
    assert part.tobytes().decode() == "éab"
    assert part_offsets.tolist() == [0, 3, 4]
    writable = data.copy()
    assert fold.fold(writable, offsets.copy())[0].tobytes() == fold.fold(data, offsets)[0].tobytes()
    empty, empty_offsets = fold.fold(np.empty(0, np.uint8), np.zeros(1, np.int64))
    assert empty.size == 0
    assert empty_offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("data", "offsets"),
    [
        (np.zeros(4, np.int8), np.array([0, 4])),
        (np.zeros(4, np.uint8), np.array([0, 5])),
        (np.zeros(4, np.uint8), np.array([0, 3, 2])),
        (np.zeros(4, np.uint8), np.array([-1, 3])),
        (np.zeros(4, np.uint8), np.array([], np.int64)),
        (np.zeros(4, np.uint8), np.array([0, 4], np.int32)),
        (np.zeros(8, np.uint8)[::2], np.array([0, 4])),
    ],
)
def test_refuses_other_layouts(data: np.ndarray, offsets: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must"):
        fold.fold(data, offsets)


def test_pieces_cover_every_class() -> None:
    from kinprint.kernels.reference.shingle import code_class

    assert {code_class(ord(c)) for piece in PIECES for c in piece} == set(range(9))
