"""Values as pandas, NumPy and Arrow give them, and times that Python has none for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from kinprint.client.files.parquet import rows_of
from kinprint.client.files.plain import plain, plain_row
from kinprint.client.files.reader import FileReader
from kinprint.client.files.rows import RowError, transcripts_of_row
from kinprint.client.types import Transcript


class NAType:
    """Stands for the one of pandas, whose comparisons are neither true nor false."""

    def __eq__(self, _other: object) -> Any:
        return self

    def __ne__(self, _other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


NAType.__module__ = "pandas._libs.missing"


class NaTType(datetime):
    """Stands for the one of pandas: a datetime that is unlike itself."""

    def __ne__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


MISSING = [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), NaTType(1, 1, 1), NAType(), pa.scalar(None)]


@pytest.mark.parametrize("value", MISSING, ids=lambda value: type(value).__name__)
def test_what_is_missing_is_none(value: Any) -> None:
    assert plain(value) is None
    columns = ("prompt", "prompt_id", "created_at", "model", "turn", "note", "messages")
    (row,) = transcripts_of_row(plain_row({"response": "a", **dict.fromkeys(columns, value)}))
    assert row == Transcript("a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        (np.array([{"role": "user", "content": np.str_("x")}], dtype=object), [{"role": "user", "content": "x"}]),
        (np.datetime64("2026-03-01T12:00:00.000000005", "ns"), datetime(2026, 3, 1, 12)),
        (np.timedelta64(5, "s"), timedelta(seconds=5)),
        (np.array(["2026-03-01"], "datetime64[D]"), [datetime(2026, 3, 1)]),
        ([np.int64(1), float("nan")], [1, None]),
        ({"a": np.int64(1), "b": [np.float64(2)]}, {"a": 1, "b": [2.0]}),
        ((1, 2), [1, 2]),
        (pa.scalar([1, 2]), [1, 2]),
    ],
    ids=str,
)
def test_scalars_and_arrays_are_pythons(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_row_that_is_plain_stays_as_it_is() -> None:
    row = {"response": "a", "turn": 1, "created_at": datetime(2026, 1, 1), "day": date(2026, 1, 1), "none": None}
    assert plain_row(row) is row


FAR = 300_000_000_000_000_000  # microseconds after 1970: the year 11476


def far(dtype: Any) -> pl.Series:
    return pl.Series("at", [0, FAR, None]).cast(dtype)


def test_a_year_that_python_lacks_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame = pl.DataFrame({"response": ["a", "b", "c"], "at": far(pl.Datetime("us"))})
    frame = frame.with_columns(
        days=pl.col("at").cast(pl.Date),
        zoned=pl.col("at").cast(pl.Datetime("us", "UTC")),
        took=pl.Series([0, 2**61, None]).cast(pl.Duration("ms")),
        nested=pl.struct(list=pl.concat_list("at")),
    )
    frame.write_parquet(path)
    rows = [row.item for row in FileReader([path])]
    assert all(isinstance(row, Transcript) for row in rows)
    first, second, third = (dict(row.metadata) for row in rows if isinstance(row, Transcript))
    assert first["at"] == "1970-01-01 00:00:00"
    assert second["at"].startswith("+11476-08-15 05:20:00")
    assert second["days"] == "+11476-08-15"
    assert second["zoned"].startswith("+11476-08-15")
    assert "took" in second
    assert "+11476-08-15" in second["nested"]
    assert set(third) <= {"nested"}


def test_it_costs_the_row_where_it_is_the_time_of_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"response": ["a", "b", "c"], "created_at": far(pl.Datetime("us"))}).write_parquet(path)
    first, second, third = (row.item for row in FileReader([path]))
    assert isinstance(first, Transcript)
    assert first.created_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert isinstance(second, RowError)
    assert second.reason == "CREATED_AT_INVALID"
    assert isinstance(third, Transcript)


def test_rows_of_a_frame() -> None:
    frame = pl.DataFrame({"a": range(1000), "b": [["x"]] * 1000})
    assert list(rows_of(frame)) == frame.to_dicts()
