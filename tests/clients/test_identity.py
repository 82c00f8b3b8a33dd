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


def test_an_id_of_rule_2_is_the_documented_hash() -> None:
    def prefixed(text: str | None) -> bytes:
        return b"\xff\xff\xff\xff" if text is None else len(text.encode()).to_bytes(4, "little") + text.encode()

    data = b"".join(map(prefixed, ("news", "m", None, "Hello!", None, "acct", "c-1")))
    data += (3).to_bytes(8, "little", signed=True) + (-5).to_bytes(8, "little", signed=True)
    digest = blake2b(data, digest_size=16, person=b"kinprint.id.v2").digest()
    expected = "t2-" + base64.b32encode(digest).decode().rstrip("=").lower()
    further = {"account_id": "acct", "conversation_id": "c-1", "turn": 3, "created_us": -5}
    assert derive_id("news", "m", None, "Hello!", **further) == expected
    assert derive_id("news", "m", None, "Hello!", 2, **further, prompt_id="") == expected + "-2"


def test_an_id_of_rule_2_does_not_change_between_versions() -> None:
    assert derive_id("c", "m", "p", "r", account_id="a", created_us=1) == "t2-nffk5hrxwykwuefwznnla6fhe4"


@pytest.mark.parametrize("name", ["prompt_id", "account_id", "conversation_id"])
def test_rows_that_differ_in_what_rule_2_goes_by_have_ids_of_their_own(name: str) -> None:
    one, two = (IdDeriver("c").next_id("m", "p", "r", **{name: value}) for value in "xy")
    assert len({one, two, derive_id("c", "m", "p", "r")}) == 3
    deriver = IdDeriver("c")
    assert deriver.next_id("m", "p", "r", **{name: "x"}) == one
    assert deriver.next_id("m", "p", "r", **{name: "y"}) == two
    assert deriver.next_id("m", "p", "r", **{name: "x"}) == one + "-1"


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
