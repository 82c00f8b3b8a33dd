"""Rows of files: columns, types, metadata, and reasons for rows that cannot be read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from kinprint.client.files.rows import RowError, missing_response_hint, transcripts_of_row
from kinprint.client.types import Transcript


def one(**row: Any) -> Transcript:
    (transcript,) = transcripts_of_row(row)
    return transcript


def test_only_the_response_is_required() -> None:
    assert one(response="r") == Transcript("r")
    assert one(response="", model=None) == Transcript("")


def test_known_columns_are_fields_and_others_metadata() -> None:
    row = one(
        response="r",
        transcript_id=7,
        prompt_id=8,
        account_id="a",
        model="m",
        prompt="p",
        corpus="x",
        id="plain",
        score=0.5,
        flag=True,
        nothing=None,
        tags=["ä", 1],
        nested={"k": None},
        when=date(2026, 1, 2),
        price=Decimal("1.10"),
        raw=b"\x00\xff",
    )
    assert (row.id, row.prompt_id, row.account_id) == ("7", "8", "a")
    assert row.metadata == {
        "corpus": "x",
        "id": "plain",
        "score": "0.5",
        "flag": "True",
        "tags": '["ä", 1]',
        "nested": '{"k": null}',
        "when": "2026-01-02",
        "price": "1.10",
        "raw": "00ff",
    }


def test_an_id_stands_for_the_transcript_id_only_when_asked() -> None:
    (row,) = transcripts_of_row({"response": "r", "id": 3}, id_alias=True)
    assert (row.id, dict(row.metadata)) == ("3", {})
    assert one(response="r", id=3).id is None


@pytest.mark.parametrize(
    "given",
    [
        {"a": 1, "b": "x"},
        '{"a": 1, "b": "x"}',
        [{"key": "a", "value": "1"}, {"key": "b", "value": "x"}],
        [("a", 1), ("b", "x")],
    ],
)
def test_a_metadata_column_is_merged(given: Any) -> None:
    assert one(response="r", metadata=given, c=2).metadata == {"a": "1", "b": "x", "c": "2"}


def test_metadata_that_is_no_mapping_is_kept_as_text() -> None:
    assert one(response="r", metadata="plain").metadata == {"metadata": "plain"}
    assert one(response="r", metadata=[1, 2]).metadata == {"metadata": "[1, 2]"}


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        (datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
        ("", None),
        (None, None),
    ],
)
def test_times(given: Any, moment: datetime | None) -> None:
    assert one(response="r", created_at=given).created_at == moment


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "MISSING_RESPONSE"),
        ({"response": None}, "MISSING_RESPONSE"),
        ({"response": 3}, "RESPONSE_NOT_TEXT"),
        ({"response": ["a"]}, "RESPONSE_NOT_TEXT"),
        ({"response": "r", "prompt": 3}, "PROMPT_NOT_TEXT"),
        ({"response": "r", "transcript_id": 1.5}, "TRANSCRIPT_ID_NOT_TEXT"),
        ({"response": "r", "account_id": True}, "ACCOUNT_ID_NOT_TEXT"),
        ({"response": "r", "created_at": 17}, "CREATED_AT_INVALID"),
        ({"response": "r", "created_at": {"year": 2026}}, "CREATED_AT_INVALID"),
        ({"response": "r", "created_at": "yesterday"}, "CREATED_AT_INVALID"),
        ({"response": "r", "turn": "x"}, "TURN_INVALID"),
        ({"response": "r", "turn": 1 << 31}, "TURN_INVALID"),
    ],
)
def test_rows_that_cannot_be_read_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError) as caught:
        transcripts_of_row(row)
    assert caught.value.reason == reason


def test_a_missing_column_comes_with_what_may_have_been_meant() -> None:
    assert "'output'" in missing_response_hint(["instruction", "output"])
    assert "'Respons'" in missing_response_hint(["Respons"])
    told = missing_response_hint(["Prompt", "Response", "model_name"])
    assert "(--rename Response=response --rename Prompt=prompt --rename model_name=model)" in told
    assert "found: a, b" in missing_response_hint(["a", "b"])
