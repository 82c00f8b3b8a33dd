"""Content hashes: their bits are in every record that was ever written, so they never change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl
import pytest
from kinprint.server.store import content
from kinprint.server.store.record import SCHEMA

ROW = ("m", None, "p", "r", "en", None, None, None, None)
MADE = 1_700_000_000_000_000


def by_hand(texts: tuple[str | None, ...], numbers: tuple[str | None, ...], metadata: Mapping[str, str]) -> str:
    """The definition: BLAKE2b over fields, each with its length, little-endian; four 0xFF stand for none."""
    fields = [*texts, *numbers, *(part for pair in metadata.items() for part in pair)]
    data = b"".join(
        b"\xff\xff\xff\xff" if field is None else len(field.encode()).to_bytes(4, "little") + field.encode()
        for field in fields
    )
    return hashlib.blake2b(data, digest_size=16, person=b"kinprint.content").hexdigest()


def test_golden_bits() -> None:
    assert content.HASHED == (
        "model", "prompt_id", "prompt", "response", "language", "account_id", "system_prompt", "conversation_id",
        "reasoning",
    )  # fmt: skip
    assert content.content_hash(ROW, MADE, 3, {"k": "v"}).hex() == "ab5e227b94b718d353959fe511111dd7"


@pytest.mark.parametrize("created", [None, 0, MADE])
@pytest.mark.parametrize("turn", [None, 0, 3])
@pytest.mark.parametrize("metadata", [{}, {"k": "v"}, {"k": "v", "l": ""}])
def test_a_hash_is_that_of_its_definition(created: int | None, turn: int | None, metadata: dict[str, str]) -> None:
    numbers = tuple(None if number is None else str(number) for number in (created, turn))
    assert content.content_hash(ROW, created, turn, metadata).hex() == by_hand(ROW, numbers, metadata)


def frame(count: int) -> pl.DataFrame:
    """Rows with every field, and their hashes."""
    rows = []
    for number in range(count):
        texts = {name: f"{name} {number}" for name in content.HASHED}
        digest = content.content_hash(list(texts.values()), MADE + number, number, {"k": str(number)})
        created = datetime.fromtimestamp(MADE / 1e6, UTC).replace(microsecond=number)
        rows.append(
            texts | {"created_at": created, "turn": number, "metadata": {"k": str(number)}, "content_hash": digest}
        )
    return pl.DataFrame(rows, schema={name: SCHEMA[name] for name in content.COLUMNS})


def test_rows_that_differ_in_any_field_are_wrong() -> None:
    puts = frame(4)
    assert content.wrong_rows(puts) == []
    third = pl.when(pl.col("turn") == 2)
    changes = [
        *(third.then(pl.lit("other")).otherwise(pl.col(name)).alias(name) for name in content.HASHED),
        *(third.then(None).otherwise(pl.col(name)).alias(name) for name in content.COLUMNS),
        third.then(9).otherwise(pl.col("turn")).cast(pl.Int32).alias("turn"),
    ]
    for change in changes:
        assert content.wrong_rows(puts.with_columns(change)) == [2], change
