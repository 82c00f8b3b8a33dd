"""The shipped tables against the Unicode data that they were made from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import unicodedata2  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels import unicode

TOOL = Path(__file__).resolve().parents[2] / "tools/unicode_tables.py"
ASSIGNED = [cp for cp in range(0x110000) if unicodedata2.category(chr(cp)) not in ("Cn", "Co", "Cs")]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unicode_tables", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_is_the_pinned_one() -> None:
    assert unicodedata2.unidata_version == unicode.UNICODE_VERSION


def test_class_of_every_code_point(tool: ModuleType) -> None:
    for cp in range(0x110000):
        if cp > 0x40000 and cp & 0xFF:  # planes without letters: a sample
            continue
        assert int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127]) & 15 == tool.code_class(cp), hex(cp)


def test_kernel_reads_the_tables() -> None:
    for cp in (0, 0x20, 0x41, 0x61, 0xE9, 0x301, 0x4E00, 0xAC00, 0x1F600, 0xE0041, 0x10FFFF):
        bits = int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127])
        assert unicode.properties(cp) == bits
        assert unicode.code_class(cp) == bits & 15
        assert unicode.combining_class(cp) == unicodedata2.combining(chr(cp))


def test_fold_of_every_assigned_code_point(tool: ModuleType) -> None:
    for cp in ASSIGNED:
        if 0xAC00 < cp < 0xD7A3 and cp % 97:
            continue
        folds = int(unicode.PROPS_BLOCKS[unicode.PROPS_INDEX[cp >> 7], cp & 127]) & unicode.FOLDS
        mapped = chr(cp)
        if folds:
            start, length = unicode.fold_entry(cp)
            mapped = "".join(map(chr, unicode.FOLD_SEQUENCES[start : start + length]))
        assert mapped == tool.nfkc_casefold(chr(cp)), hex(cp)


@pytest.mark.parametrize(
    ("char", "expected"),
    [
        (" ", unicode.SPACE),
        ("\u3000", unicode.SPACE),
        ("\x1f", unicode.PUNCT),
        ("_", unicode.PUNCT),
        ("+", unicode.PUNCT),
        ("$", unicode.PUNCT),
        ("。", unicode.PUNCT),
        ("a", unicode.WORD),
        ("ß", unicode.WORD),
        ("ع", unicode.WORD),
        ("각", unicode.WORD),
        ("你", unicode.SPACELESS),
        ("ー", unicode.SPACELESS),
        ("々", unicode.SPACELESS),
        ("〇", unicode.SPACELESS),
        ("ก", unicode.SPACELESS),
        ("ཀ", unicode.SPACELESS),
        ("\u200d", unicode.IGNORABLE),
        ("\u115f", unicode.IGNORABLE),
        ("\u0301", unicode.MARK),
        ("ิ", unicode.MARK),
        ("😀", unicode.SYMBOL),
        ("©", unicode.SYMBOL),
        ("7", unicode.DIGIT),
        ("७", unicode.DIGIT),
        ("A", unicode.UPPER),
        ("ǅ", unicode.UPPER),
    ],
)
def test_class(char: str, expected: int) -> None:
    assert unicode.code_class(ord(char)) == expected


@settings(deadline=None)
@given(st.characters(codec="utf-8"), st.binary(max_size=3))
def test_decode_and_encode(char: str, before: bytes) -> None:
    data = np.frombuffer(before + char.encode(), np.uint8)
    assert unicode.decode(data, len(before), data.size) == (ord(char), data.size - len(before))
    out = np.zeros(4, np.uint8)
    width = unicode.encode(ord(char), out, 0)
    assert out[:width].tobytes() == char.encode()


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=6))
def test_decode_stays_within_any_bytes(raw: bytes) -> None:
    data = np.frombuffer(raw, np.uint8)
    i = 0
    while i < data.size:
        cp, width = unicode.decode(data, i, data.size)
        assert 0 <= cp <= 0x10FFFF
        assert 1 <= width <= data.size - i
        i += width


def test_every_composite() -> None:
    for key, value in zip(unicode.PAIR_KEYS.tolist(), unicode.PAIR_VALUES.tolist(), strict=True):
        first, second = key >> 32, key & 0xFFFFFFFF
        assert unicode.composite(first, second) == value
        assert unicodedata2.normalize("NFC", chr(first) + chr(second)) == chr(value)
    assert unicode.composite(0x1112, 0x1175) == ord("히")
    assert unicode.composite(ord("히"), 0x11C2) == ord("힣")
    assert unicode.composite(ord("a"), ord("b")) == -1
