"""Ids that are derived: the same on every run, different for different rows."""

from __future__ import annotations

import base64
from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.identity import IdDeriver, OccurrenceCounter, derive_id

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MAYBE = st.none() | TEXT


def test_an_id_is_the_documented_hash() -> None:
    fields = b"".join(
        len(part).to_bytes(4, "little") + part if part is not None else b"\xff\xff\xff\xff"
        for part in (b"news", None, b"Warum?", "朗读".encode())
    )
    digest = blake2b(fields + (3).to_bytes(8, "little"), digest_size=16, person=b"kinprint.id.v1").digest()
    expected = "t-" + base64.b32encode(digest).decode().rstrip("=").lower()
    assert derive_id("news", None, "Warum?", "朗读", 3) == expected
    assert len(expected) == 28


def test_an_id_does_not_change_between_versions() -> None:
    assert derive_id("c", "m", "p", "r") == "t-l3cjd5mhs74ghkjnwapbd6kpc4"


ROW = st.tuples(TEXT, MAYBE, MAYBE, TEXT, st.integers(0, 5))


@given(ROW, ROW)
def test_different_rows_get_different_ids(
    first: tuple[str, str | None, str | None, str, int], second: tuple[str, str | None, str | None, str, int]
) -> None:
    assert (derive_id(*first) == derive_id(*second)) == (first == second)


def test_fields_do_not_run_into_each_other() -> None:
    assert derive_id("a", "b", None, "c") != derive_id("ab", None, None, "c")
    assert derive_id("a", None, "", "c") != derive_id("a", "", None, "c")


@given(st.lists(st.sampled_from("abcdef"), max_size=60))
def test_equal_rows_are_numbered_in_order(responses: list[str]) -> None:
    deriver = IdDeriver("c")
    seen: Counter[str] = Counter()
    for response in responses:
        assert deriver.next_id("m", None, response) == derive_id("c", "m", None, response, seen[response])
        seen[response] += 1


def test_the_counter_grows_past_its_first_table() -> None:
    counter = OccurrenceCounter()
    keys = [str(number).encode() for number in range(5000)]
    assert [counter.next(key) for key in keys] == [0] * 5000
    assert [counter.next(key) for key in keys] == [1] * 5000
    assert counter.next(keys[7]) == 2


def test_a_lone_surrogate_has_no_id() -> None:
    with pytest.raises(UnicodeEncodeError):
        derive_id("c", None, None, "\ud800")
