"""Batches: nothing lost, nothing reordered, limits kept."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.chunking import ITEM_OVERHEAD, MESSAGE_OVERHEAD, Batcher, batches

SIZES = st.lists(st.integers(0, 5000), max_size=200)


@given(SIZES, st.integers(1, 20), st.integers(1, 8000))
def test_batches_keep_order_and_limits(sizes: list[int], max_items: int, max_bytes: int) -> None:
    made = list(batches(((place, size) for place, size in enumerate(sizes)), max_items, max_bytes))
    assert [place for batch in made for place in batch] == list(range(len(sizes)))
    for batch in made:
        assert 1 <= len(batch) <= max_items
        total = MESSAGE_OVERHEAD + sum(sizes[place] + ITEM_OVERHEAD for place in batch)
        assert total <= max_bytes or len(batch) == 1


@given(SIZES)
def test_batches_are_as_large_as_they_may_be(sizes: list[int]) -> None:
    made = list(batches(enumerate(sizes), 7, 6000))
    for batch, following in itertools.pairwise(made):
        joined = MESSAGE_OVERHEAD + sum(sizes[place] + ITEM_OVERHEAD for place in [*batch, following[0]])
        assert len(batch) == 7 or joined > 6000


def test_the_number_of_items_may_be_lowered_while_it_runs() -> None:
    batcher: Batcher[int] = Batcher(100, 1 << 20)
    assert all(batcher.add(place, 10) is None for place in range(5))
    batcher.max_items = 2
    assert batcher.add(5, 10) == [0, 1, 2, 3, 4]
    assert batcher.add(6, 10) is None
    assert batcher.add(7, 10) == [5, 6]
    assert batcher.flush() == [7]
    assert batcher.flush() is None


@pytest.mark.parametrize(("items", "size"), [(0, 1), (1, 0)])
def test_limits_below_one_are_refused(items: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(items, size)
