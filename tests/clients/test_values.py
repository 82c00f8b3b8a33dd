"""Values of files and frames: absent ones, times of every usual form, names of languages."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kinprint.client.files.languages import UnknownLanguageError, language_code
from kinprint.client.files.rows import RowError, transcripts_of_row
from kinprint.client.files.values import plain, read_time, structured

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    "absent", [None, math.nan, np.float32("nan"), np.float64("nan"), pd.NaT, pd.NA, np.datetime64("NaT")]
)
def test_absent_values_are_none(absent: Any) -> None:
    assert plain(absent) is None
    (row,) = transcripts_of_row({"response": "r", "prompt": absent, "created_at": absent, "turn": absent, "x": absent})
    assert (row.prompt, row.created_at, row.turn, row.metadata) == (None, None, None, {})


def test_numbers_of_numpy_and_pandas_are_numbers() -> None:
    (row,) = transcripts_of_row(
        {
            "response": "r",
            "prompt_id": np.int64(7),
            "account_id": 8.0,
            "turn": np.float64(2.0),
            "score": np.float32(0.5),
            "flag": np.bool_(True),
            "sizes": np.array([1, 2]),
            "created_at": pd.Timestamp("2026-01-02T03:04:05.000000001Z"),
        }
    )
    assert (row.prompt_id, row.account_id, row.turn, row.created_at) == ("7", "8", 2, MOMENT)
    assert row.metadata == {"score": "0.5", "flag": "True", "sizes": "[1, 2]"}
    with pytest.raises(RowError):
        transcripts_of_row({"response": "r", "prompt_id": 7.5})


@pytest.mark.parametrize(
    "told",
    [
        MOMENT,
        MOMENT.replace(tzinfo=None),
        np.datetime64("2026-01-02T03:04:05", "ns"),
        SECONDS,
        float(SECONDS),
        SECONDS * 1000,
        SECONDS * 1_000_000,
        SECONDS * 1_000_000_000,
        str(SECONDS),
        f"{SECONDS}000",
        "2026-01-02T03:04:05Z",
        "2026-01-02 03:04:05",
        "2026-01-02T03:04:05.000000000Z",
        "2026-01-02 03:04:05 UTC",
        "2026-01-02 03:04:05.000000 UTC",
        "2026-01-02 03:04:05+00",
        "20260102T030405Z",
        "2026/01/02 03:04:05",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "2 Jan 2026 05:04:05 +0200",
        "Fri Jan  2 03:04:05 2026",
        "Fri Jan 02 03:04:05 +0000 2026",
        "Jan 2, 2026, 3:04:05 AM",
        "02/Jan/2026:03:04:05 +0000",
        {"$date": "2026-01-02T03:04:05Z"},
        {"$date": {"$numberLong": str(SECONDS * 1000)}},
        {"$date": SECONDS * 1000},
        [SECONDS, 500],
        {"seconds": SECONDS, "nanos": 0},
        {"_seconds": SECONDS, "_nanoseconds": 0},
    ],
    ids=str,
)
def test_times_of_usual_forms(told: Any) -> None:
    assert read_time(told) == MOMENT


def test_parts_of_seconds_are_kept() -> None:
    assert read_time(SECONDS * 1_000_000_000 + 123_456_789) == MOMENT.replace(microsecond=123_456)
    assert read_time(SECONDS + 0.25) == MOMENT.replace(microsecond=250_000)
    assert read_time(date(2026, 1, 2)) == datetime(2026, 1, 2, tzinfo=UTC)
    assert read_time("20260102") == datetime(2026, 1, 2, tzinfo=UTC)
    assert read_time("") is None


@pytest.mark.parametrize("told", ["soon", "01/02/2026", 12, -1, True, [1], {"year": 2026}, 10**30, "11476-01-01"])
def test_what_tells_no_time_is_refused(told: Any) -> None:
    with pytest.raises(ValueError, match="is "):
        read_time(told)


def test_lists_in_cells_are_opened() -> None:
    assert structured('[{"a": 1}]') == [{"a": 1}]
    assert structured("[{'a': None}]") == [{"a": None}]
    assert structured("{no} list}") == "{no} list}"
    assert structured("[" * 50_000 + "]" * 50_000).startswith("[")


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("English", "en"),
        ("english", "en"),
        ("PORTUGUESE", "pt"),
        ("en", "en"),
        ("EN", "en"),
        ("eng", "en"),
        ("zh-cn", "zh-cn"),
        ("zh-Hant", "zh-Hant"),
        ("pt_BR", "pt-BR"),
        ("pt_BR.UTF-8", "pt-BR"),
        ("eng_Latn", "en-Latn"),
        ("Chinese (Simplified)", "zh-Hans"),
        ("Chinese (Traditional)", "zh-Hant"),
        ("Chinese", "zh"),
        ("Norwegian Bokmål", "nb"),
        ("Spanish; Castilian", "es"),
        ("Greek, Modern (1453-)", "el"),
        ("Deutsch", "de"),
        ("日本語", "ja"),
        ("unknown", None),
        ("und", None),
        ("", None),
        (" ", None),
    ],
)
def test_names_of_languages_become_codes(told: str, code: str | None) -> None:
    assert language_code(told) == code


def test_names_that_are_not_known_are_kept_and_told() -> None:
    with pytest.raises(UnknownLanguageError):
        language_code("Klingonese")
    (row,) = transcripts_of_row({"response": "r", "language": "Klingonese"})
    assert (row.language, row.metadata) == (None, {"language": "Klingonese"})
