"""Texts read where Arrow holds them, in every layout, against the Python strings that they are."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, check_texts, from_texts, frozen, memory
from kinprint.kernels.copy import shingle

ARROW_TYPES = [pa.string(), pa.large_string(), pa.string_view()]
SAMPLE = [
    "a",
    None,
    "",
    "twelve bytes",
    "thirteen byte",
    "",
    "привет",
    None,
    "a long text " * 40,
    "你好世界" * 9,
    "\x00",
]
"""Short and long of a view's 12 bytes, and nulls."""

chunks = st.lists(st.lists(st.one_of(st.none(), texts, st.text(max_size=16)), max_size=6), min_size=1, max_size=4)


def read(found: Texts) -> list[str]:
    assert found.addresses.dtype == np.uint64
    assert found.lengths.dtype == np.int64
    assert found.addresses.shape == found.lengths.shape == (len(found),)
    both = zip(found.addresses.tolist(), found.lengths.tolist(), strict=True)
    return [ctypes.string_at(address, length).decode() for address, length in both]


def plain(column: Sequence[str | None]) -> list[str]:
    return [text or "" for text in column]


# ---- offsets ----


@given(st.lists(texts, max_size=6), st.integers(0, 3))
def test_offsets(many: list[str], first: int) -> None:
    data, offsets = from_texts(many)
    assert read(Texts.from_offsets(data, offsets)) == many
    first = min(first, len(many))
    assert read(Texts.from_offsets(frozen(data), offsets[first:])) == many[first:]


def test_offsets_of_a_memory_map(tmp_path: object) -> None:
    many = ["one two", "", "three"]
    data, offsets = from_texts(many)
    np.save(f"{tmp_path}/data.npy", data)
    found = Texts.from_offsets(np.load(f"{tmp_path}/data.npy", mmap_mode="r"), offsets)
    gc.collect()
    assert read(found) == many


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        (np.array([0, 4]), "stay within"),
        (np.array([-1, 2]), "stay within"),
        (np.array([0, 2, 1]), "not decrease"),
        (np.array([0, 2], np.int32), "offsets must be"),
        (np.array([0, 1, 2, 3])[::2], "offsets must be"),
        (np.empty(0, np.int64), "offsets must be"),
        (np.zeros((1, 2), np.int64), "offsets must be"),
    ],
)
def test_refuses_offsets(offsets: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Texts.from_offsets(np.zeros(3, np.uint8), offsets)


@pytest.mark.parametrize("data", [np.zeros(3, np.int8), np.zeros((1, 3), np.uint8), np.zeros(6, np.uint8)[::2]])
def test_refuses_data(data: np.ndarray) -> None:
    with pytest.raises(ValueError, match="data must be"):
        check_texts(data, np.array([0, 1]))


def test_memory() -> None:
    data = np.frombuffer(b"some bytes", np.uint8)
    assert memory(np.uint64(data.ctypes.data + 5), 5).tobytes() == b"bytes"
    assert memory(np.uint64(0), 0).size == 0


def test_take() -> None:
    many = ["one", "two", "three", "four"]
    found = Texts.from_offsets(*from_texts(many))
    assert read(found.take(slice(1, 3))) == many[1:3]
    assert read(found.take(slice(None, None, -1))) == many[::-1]
    assert read(found.take(slice(0, 0))) == []
    some = found.take(np.array([3, 0, 3]))
    assert read(some) == ["four", "one", "four"]
    assert some.addresses.flags.c_contiguous
    assert some.lengths.flags.c_contiguous
    assert read(some.take(np.array([1]))) == ["one"]
    del found
    gc.collect()
    assert read(some) == ["four", "one", "four"]
    with pytest.raises(IndexError):
        some.take(np.array([3]))


# ---- Polars ----


@settings(max_examples=150, deadline=None)
@given(chunks, st.integers(0, 8), st.integers(0, 12))
def test_polars(parts: list[list[str | None]], start: int, length: int) -> None:
    series = pl.concat([pl.Series(part, dtype=pl.String) for part in parts], rechunk=False)
    expected = [text for part in parts for text in part]
    assert read(Texts.from_arrow(series)) == plain(expected)
    assert read(Texts.from_arrow(series.rechunk())) == plain(expected)
    assert read(Texts.from_arrow(series.slice(start, length))) == plain(expected[start : start + length])
    assert read(Texts.from_arrow(series.rechunk().slice(start, length))) == plain(expected[start : start + length])
    assert read(Texts.from_arrow(series.reverse())) == plain(expected[::-1])
    assert read(Texts.from_arrow(series.drop_nulls())) == [text for text in expected if text is not None]


CHANGES: dict[str, Callable[[pl.Series], pl.Series]] = {
    "as it is": lambda s: s,
    "no rows": lambda s: s.clear(),
    "one row": lambda s: s.head(1),
    "nulls only": lambda s: pl.Series([None] * 40, dtype=pl.String),
    "gathered": lambda s: s.gather([8, 1, 8, 3, 0, 9] * 20),
    "filtered": lambda s: s.filter(s.str.len_bytes() > 11),
    "many buffers": lambda s: pl.concat([s + f" number {k}" for k in range(50)], rechunk=True),
    "many chunks": lambda s: pl.concat([s + f" number {k}" for k in range(50)], rechunk=False),
    "past a byte of nulls": lambda s: pl.concat([s] * 9, rechunk=True).slice(13, 70),
    "sliced twice": lambda s: pl.concat([s] * 9, rechunk=True)[5:][3:-2],
    "parts of longer texts": lambda s: (s + s + s).str.slice(2, 40),
    "masked": lambda s: pl.select(pl.when(pl.Series(range(len(s))) % 2 == 0).then(s)).to_series(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_polars_makes(change: str) -> None:
    series = CHANGES[change](pl.Series(SAMPLE))
    found = Texts.from_arrow(series)
    expected = plain(series.to_list())
    assert read(found) == expected
    assert np.array_equal(shingle.hashes_of(found), shingle.text_hashes(*from_texts(expected)))


def test_a_column_of_a_frame_and_of_a_file(tmp_path: object) -> None:
    frame = pl.DataFrame({"number": range(len(SAMPLE)), "answer": SAMPLE})
    assert read(Texts.from_arrow(frame["answer"])) == plain(SAMPLE)
    frame.write_parquet(f"{tmp_path}/frame.parquet")
    assert read(Texts.from_arrow(pl.read_parquet(f"{tmp_path}/frame.parquet")["answer"])) == plain(SAMPLE)
    frame.write_ipc(f"{tmp_path}/frame.arrow", compression="uncompressed")
    mapped = pl.scan_ipc(f"{tmp_path}/frame.arrow").collect()["answer"]
    assert read(Texts.from_arrow(mapped)) == plain(SAMPLE)


# ---- PyArrow ----


@pytest.mark.parametrize("kind", ARROW_TYPES, ids=str)
@settings(max_examples=60, deadline=None)
@given(parts=chunks, start=st.integers(0, 8), length=st.integers(0, 12))
def test_pyarrow(kind: pa.DataType, parts: list[list[str | None]], start: int, length: int) -> None:
    arrays = [pa.array(part, kind) for part in parts]
    for array, part in zip(arrays, parts, strict=True):
        assert read(Texts.from_arrow(array)) == plain(part)
        assert read(Texts.from_arrow(array.slice(min(start, len(part)), length))) == plain(part[start : start + length])
    chunked = pa.chunked_array(arrays, kind)
    expected = [text for part in parts for text in part]
    assert read(Texts.from_arrow(chunked)) == plain(expected)
    assert read(Texts.from_arrow(chunked.slice(start, length))) == plain(expected[start : start + length])


@pytest.mark.parametrize("kind", ARROW_TYPES, ids=str)
def test_no_chunks_and_no_rows(kind: pa.DataType) -> None:
    assert read(Texts.from_arrow(pa.chunked_array([], kind))) == []
    assert read(Texts.from_arrow(pa.array([], kind))) == []
    assert read(Texts.from_arrow(pa.nulls(20, kind))) == [""] * 20
    assert read(Texts.from_arrow(pa.array(SAMPLE * 5, kind)[17:40])) == plain((SAMPLE * 5)[17:40])


@pytest.mark.parametrize("kind", ARROW_TYPES[:2], ids=str)
def test_bytes_behind_a_null_are_not_read(kind: pa.DataType) -> None:
    offsets = pa.array([0, 3, 6, 9], pa.int32() if kind == pa.string() else pa.int64()).buffers()[1]
    buffers = [pa.py_buffer(bytes([0b101])), offsets, pa.py_buffer(b"onetwosix")]
    assert read(Texts.from_arrow(pa.Array.from_buffers(kind, 3, buffers))) == ["one", "", "six"]
    sliced = pa.Array.from_buffers(kind, 2, buffers, offset=1)
    assert read(Texts.from_arrow(sliced)) == ["", "six"]


def test_bytes_behind_a_null_view_are_not_read() -> None:
    array = pa.array(["one", "a text of more than twelve bytes", "six", "another text of more bytes"], pa.string_view())
    _, views, data = array.buffers()
    hidden = pa.Array.from_buffers(array.type, 4, [pa.py_buffer(bytes([0b1001])), views, data])
    assert read(Texts.from_arrow(hidden)) == ["one", "", "", "another text of more bytes"]
    assert read(Texts.from_arrow(hidden[1:])) == ["", "", "another text of more bytes"]


# ---- who owns what ----


def disturb() -> list[Any]:
    """Collect garbage, then write over what was freed."""
    gc.collect()
    return [bytes([65]) * size for size in range(0, 200_000, 4000)] + [pl.Series(["overwritten " * 50] * 200)]


@pytest.mark.parametrize("change", CHANGES)
def test_texts_outlive_their_series(change: str) -> None:
    series = CHANGES[change](pl.Series([None if text is None else text + " " + "x" * 300 for text in SAMPLE]))
    expected = plain(series.to_list())
    found = Texts.from_arrow(series)
    part = found.take(slice(0, 5))
    del series
    keep = disturb()
    assert read(found) == expected
    del found
    keep += disturb()
    assert read(part) == expected[:5]


@pytest.mark.parametrize("kind", ARROW_TYPES, ids=str)
@pytest.mark.parametrize("chunked", [False, True])
def test_memory_lives_as_long_as_the_texts(kind: pa.DataType, chunked: bool) -> None:
    gc.collect()
    before = pa.total_allocated_bytes()
    array: Any = pa.array(["a text of some length " * 50] * 1000, kind)
    if chunked:
        array = pa.chunked_array([array, array.slice(3, 500), pa.array(["more of it"] * 10, kind)])
    taken = pa.total_allocated_bytes() - before
    expected = array.to_pylist()
    found = Texts.from_arrow(array)
    del array
    keep = disturb()
    assert pa.total_allocated_bytes() - before >= taken > 20_000
    assert read(found) == expected
    part = found.take(np.array([1]))
    del found, keep
    gc.collect()
    assert read(part) == expected[1:2]
    del part
    gc.collect()
    assert pa.total_allocated_bytes() == before


def test_what_is_refused_is_released() -> None:
    gc.collect()
    before = pa.total_allocated_bytes()
    for column in (pa.array(range(10_000)), pa.chunked_array([list(range(10_000))])):
        with pytest.raises(TypeError, match="not text"):
            Texts.from_arrow(column)
    del column
    gc.collect()
    assert pa.total_allocated_bytes() == before


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1, 2]),
        pl.Series(["a", "b"], dtype=pl.Categorical),
        pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        pl.Series([b"a"]),
        pl.Series([["a"]]),
        pl.Series([None]),
        pl.DataFrame({"a": ["b"]}),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.chunked_array([], pa.int8()),
        pa.array([b"a"]),
        pa.table({"a": ["b"]}),
    ],
    ids=lambda column: f"{type(column).__module__.partition('.')[0]} {getattr(column, 'dtype', type(column).__name__)}",
)
def test_refuses_what_is_not_text(column: object) -> None:
    with pytest.raises(TypeError, match=r"the column holds '.+' \(Arrow format\), not text"):
        Texts.from_arrow(column)


@pytest.mark.parametrize("column", [["a"], "a", np.array(["a"]), None])
def test_refuses_what_is_no_column(column: object) -> None:
    with pytest.raises(TypeError, match=f"a {type(column).__name__} is no Arrow column"):
        Texts.from_arrow(column)
