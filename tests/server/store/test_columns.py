"""Between columns and arrays and back: slices, chunks, nulls, nothing at all."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from kinprint.server.store import columns

TEXTS = ["a", "", "äöü", "the fourth", "五"]


def read(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    return [bytes(data[a:b]).decode() for a, b in pairwise(offsets)]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(TEXTS),
        pl.concat([pl.Series(TEXTS[:2]), pl.Series(TEXTS[2:])], rechunk=False),
        pa.array(TEXTS, pa.string()),
        pa.array(TEXTS, pa.large_string()),
        pa.array(["before", *TEXTS, "after"], pa.large_string())[1:-1],
        pa.chunked_array([TEXTS[:2], TEXTS[2:]]),
        pa.chunked_array([pa.array(["x", *TEXTS], pa.large_string())[1:]]),
    ],
    ids=str,
)
def test_texts_are_read_where_they_are(column: pl.Series | pa.Array | pa.ChunkedArray) -> None:
    data, offsets = columns.text_buffers(column)
    assert (data.dtype, offsets.dtype, len(offsets)) == (np.uint8, np.int64, 6)
    assert read(data, offsets) == TEXTS


def test_no_texts_and_empty_texts() -> None:
    for empty in (pl.Series([], dtype=pl.String), pa.array([], pa.large_string())):
        data, offsets = columns.text_buffers(empty)
        assert (len(data), offsets.tolist()) == (0, [0])
    data, offsets = columns.text_buffers(pl.Series([None, None], dtype=pl.String))
    assert (len(data), offsets.tolist()) == (0, [0, 0, 0])
    assert read(*columns.text_buffers(pl.Series(["a", None, "b"]))) == ["a", "", "b"]
    assert read(*columns.encode_texts(iter(TEXTS))) == TEXTS


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (0, 4)])
def test_rows_as_binary_values_and_back(shape: tuple[int, int]) -> None:
    matrix = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape)
    column = columns.rows_to_binary(matrix)
    assert column.to_list() == [row.tobytes() for row in matrix]
    back = columns.binary_to_rows(column, np.uint32, 4)
    np.testing.assert_array_equal(back, matrix)
    np.testing.assert_array_equal(columns.binary_to_rows(column[1:], np.uint32, 4), matrix[1:])


def test_rows_of_another_length_are_refused() -> None:
    column = pl.Series([bytes(16), bytes(12)])
    with pytest.raises(ValueError, match="expected 16 bytes a row, found 12"):
        columns.binary_to_rows(column, np.uint32, 4)


def test_groups_of_rows_as_binary_values_and_back() -> None:
    matrix, starts = np.arange(20, dtype=np.int8).reshape(5, 4), np.array([0, 2, 2, 5])
    column = columns.ragged_to_binary(matrix, starts)
    assert column.to_list() == [matrix[:2].tobytes(), b"", matrix[2:].tobytes()]
    back, found = columns.binary_to_ragged(column, np.int8, 4)
    np.testing.assert_array_equal(back, matrix)
    assert found.tolist() == [0, 2, 2, 5]
    back, found = columns.binary_to_ragged(column[1:], np.int8, 4)
    np.testing.assert_array_equal(back, matrix[2:])
    assert found.tolist() == [0, 0, 3]
    back, found = columns.binary_to_ragged(column[:0], np.int8, 4)
    assert (back.shape, found.tolist()) == ((0, 4), [0])
    with pytest.raises(ValueError, match="no whole number of rows of 4 bytes"):
        columns.binary_to_ragged(pl.Series([bytes(4), bytes(6)]), np.int8, 4)


def test_metadata_as_maps() -> None:
    column = columns.map_column([{"a": "1", "b": "2"}, {}, {"c": "3"}])
    assert column.dtype == pl.Map(pl.String(), pl.String())
    assert [value and dict(value) for value in column.to_list()] == [{"a": "1", "b": "2"}, None, {"c": "3"}]
    assert len(columns.map_column([])) == 0


def test_hashes_of_ids_are_those_that_were_stored() -> None:
    found = columns.id_hashes(["a", "ü"])
    assert found.dtype == np.uint64
    wanted = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ("a", "ü")]
    assert found.tolist() == [int.from_bytes(digest, "little") for digest in wanted]
    assert len(columns.id_hashes([])) == 0
