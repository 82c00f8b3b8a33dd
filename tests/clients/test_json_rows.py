"""Rows cut out of JSON texts: what a parser of the whole text would give, in pieces of any size."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.files import json_rows
from kinprint.client.files.json_rows import JsonRows, form_of
from kinprint.client.files.rows import RowError

TEXT = st.text(st.characters() | st.sampled_from('"\\{}[],:\n'), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(TEXT, VALUE, min_size=1, max_size=4), min_size=1, max_size=5)


class Slow(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    step = 1

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.step)


def rows(text: bytes, step: int = 1 << 20) -> list[Any]:
    """Rows, or why one cannot be read; "cut" where the text ends too early."""
    stream = Slow(text)
    stream.step = step
    found: list[Any] = []
    try:
        for number, row in JsonRows(stream):
            assert number == len(found) + 1
            found.append(row.reason if isinstance(row, RowError) else row)
    except EOFError:
        found.append("cut")
    return found


@given(ROWS, st.sampled_from([None, 0, 2]), st.booleans(), st.sampled_from([1, 2, 7, 1 << 20]))
def test_an_array_gives_its_rows(values: list[Any], indent: int | None, ascii_only: bool, step: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert form_of(text, True) == "values"
    try:
        text.decode()
    except UnicodeDecodeError:
        assert len(rows(text, step)) == len(values)
        return
    assert rows(text, step) == values
    assert rows(b'{"more": [1], "rows": ' + text + b', "next": null}', step) == values


@given(st.text('{}[]",:\\ \na1', max_size=40), st.sampled_from([1, 3, 1 << 20]))
def test_every_text_ends(text: str, step: int) -> None:
    found = rows(text.encode(), step)
    assert found == rows(text.encode())
    assert len(found) <= len(text) + 1


def test_what_stands_behind_a_mark_that_is_never_closed_is_read_however_it_comes() -> None:
    for step in (1, 2, 1 << 20):
        assert rows(b'1"[{"a": 1}', step) == rows(b'1"[{"a": 1}')
        assert rows(b'1"[[', step) == ["NOT_AN_OBJECT", "cut"]


def test_a_string_that_is_too_long_ends_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_LINE_BYTES", 1000)
    for end in (b"\n", b"\\\n"):
        text = b'[{"a": "' + b"x" * 5000 + end + b'}, {"a": 2}]'
        assert rows(text, 64) == ["LINE_TOO_LONG", {"a": 2}]


def test_a_row_that_is_too_long_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_LINE_BYTES", 1000)
    text = json.dumps([{"a": 1}, {"a": "x" * 5000}, {"a": ["y" * 100] * 50}, {"a": 2}]).encode()
    assert rows(text, 64) == [{"a": 1}, "LINE_TOO_LONG", "LINE_TOO_LONG", {"a": 2}]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (b"", "lines"),
        (b" \n[", "values"),
        (b'{"a": 1}\n{"a": 2}\n', "lines"),
        (b'{"a": 1}\n', "values"),
        (b'{"a": 1\n{"a": 2}\n', "lines"),
        (b'{\n "a": 1\n}', "values"),
        (b'{"a":\n{"b": 1}\n}', "lines"),  # as a row that is cut short
        (b"no JSON", "lines"),
    ],
)
def test_forms(text: bytes, form: str) -> None:
    assert form_of(text, True) == form


def test_a_first_line_of_many_megabytes_is_told_by_how_it_begins() -> None:
    assert form_of(b'{"object": "list", "data": [{"response": "a', False) == "values"
    assert form_of(b'{"response": "a", "data": [{"page": 1}], "b": "', False) == "lines"
    assert form_of(b'{"messages": [{"role": "user", "content": "', False) == "lines"
