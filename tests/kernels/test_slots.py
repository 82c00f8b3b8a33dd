"""The inverted slot index against comparing everything with everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels import sketch, slots
from kinprint.kernels.arrow import from_texts
from kinprint.kernels.reference import slots as reference

WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12), WORDS, st.integers(1, 128))
def test_query_equals_reference(texts: list[str], wanted: str, least: int) -> None:
    signatures = sketch.sketch(*from_texts(texts)).signatures
    signature = sketch.sketch(*from_texts([wanted])).signatures[0]
    found = slots.query(slots.build(signatures), signature, least)
    assert found.tolist() == reference.query(signatures.tolist(), signature.tolist(), least)


def test_equal_values_keep_ids_ascending_and_maps_are_taken() -> None:
    signatures = np.tile(sketch.sketch(*from_texts(["the same text over again"])).signatures, (500, 1))
    index = slots.build(signatures)
    assert (np.diff(index.ids, axis=1) == 1).all()
    for array in index:
        array.flags.writeable = False
    assert slots.query(index, signatures[0], 128).tolist() == list(range(500))


def test_nothing_to_search() -> None:
    empty = slots.build(np.empty((0, sketch.SLOTS), np.uint32))
    assert slots.query(empty, np.zeros(sketch.SLOTS, np.uint32), 1).tolist() == []


@pytest.mark.parametrize("least", [0, 129])
def test_least_out_of_range(least: int) -> None:
    with pytest.raises(ValueError, match="least"):
        slots.query(slots.build(np.zeros((1, sketch.SLOTS), np.uint32)), np.zeros(sketch.SLOTS, np.uint32), least)
