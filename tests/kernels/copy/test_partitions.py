"""Passages in parts against those of one index, and their counts against those of an index of all texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import partitions, passages
from numpy.typing import NDArray

WORDS = [f"word{k}" for k in range(400)]


def made_texts(count: int, seed: int) -> list[str]:
    """Texts that quote each other, one sentence of which many have, and some of few words."""
    chance = np.random.default_rng(seed)
    common = " ".join(chance.choice(WORDS, 20))
    out: list[str] = []
    for k in range(count):
        text = " ".join(chance.choice(WORDS, int(chance.integers(5, 60))))
        if out and k % 2:
            words = out[int(chance.integers(len(out)))].split()
            begin = int(chance.integers(max(1, len(words) - 10)))
            text += " " + " ".join(words[begin : begin + int(chance.integers(8, 40))])
        out.append(f"{text} {common}" if k % 5 == 0 else text)
    return out


def sides_of(strings: list[str], second: int, background: int, seed: int) -> partitions.Sides:
    chance = np.random.default_rng(seed)
    models, prompts = (chance.integers(-1, 5, len(strings)).astype(np.int32) for _ in range(2))
    return partitions.Sides(Texts.from_offsets(*from_texts(strings)), second, background, models, prompts)


def found_by(sides: partitions.Sides, **options: Any) -> list[partitions.Found]:
    """Results, without what is said before them."""
    return [step for step in partitions.find(sides, **options) if isinstance(step, partitions.Found)]


def rows(found: list[partitions.Found]) -> list[tuple[Any, ...]]:
    """Passages with their counts; the posting that each is weighed by has another number in each index."""
    out = []
    for step in found:
        columns = [column.tolist() for column in step.passages._replace(seed=step.passages.texts)]
        out += list(zip(*columns, map(tuple, step.counts.tolist()), strict=True))
    return out


def expected(sides: partitions.Sides, **options: Any) -> tuple[list[tuple[Any, ...]], int]:
    """By one index of the texts that are compared, counted in one of all texts."""
    whole = passages.Index(sides.texts)
    of = {
        key: k
        for k, key in enumerate(
            zip(
                *(c.tolist() for c in (whole.postings.hashes, whole.postings.texts, whole.postings.places)), strict=True
            )
        )
    }
    index = passages.Index(sides.texts.take(slice(0, sides.background)), sides.second)
    out: list[tuple[Any, ...]] = []
    skipped = 0
    for step in index.find(**options):
        skipped = step.skipped
        made = index.postings
        seeds = [of[int(made.hashes[k]), int(made.texts[k]), int(made.places[k])] for k in step.passages.seed.tolist()]
        there = step.passages._replace(seed=np.array(seeds, np.int64))
        counts = whole.counts(there, sides.models, sides.prompts)
        out += rows([partitions.Found(step.passages, counts, step.texts, step.skipped)])
    return out, skipped


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(0, 10_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 3_000, 40_000]),
)
def test_parts_make_no_difference(
    count: int, seed: int, share_a: float, share_b: float, one_set: bool, every: bool, memory: int
) -> None:
    strings = made_texts(count, seed)
    background = round(count * (1 - share_b / 2))
    second = 0 if one_set else round(background * share_a)
    sides = sides_of(strings, second, background, seed)
    options: dict[str, Any] = {"every": every, "at_once": 7, "max_texts": 6}
    wanted, skipped = expected(sides, **options)
    held: list[partitions.Held] = []
    for bytes_of in (1 << 30, memory):
        found = found_by(sides, memory=bytes_of, held=held, **options)
        assert rows(found) == wanted
        assert (found[-1].skipped if found else 0) == skipped
    assert held[0].in_memory


def test_memory_is_a_matter_of_parts() -> None:
    """What is kept is what was said, and every array that is held is put where it was told."""
    strings = made_texts(3000, 1)
    sides = sides_of(strings, 1500, 2600, 1)
    kept: list[int] = []

    def keep(array: NDArray[Any]) -> NDArray[Any]:
        kept.append(array.nbytes)
        return array.copy()

    held: list[partitions.Held] = []
    every = list(partitions.find(sides, memory=400_000, keep=keep, held=held, max_texts=50))
    steps = [step.share for step in every if isinstance(step, partitions.Step)]
    found = [step for step in every if isinstance(step, partitions.Found)]
    assert rows(found) == rows(found_by(sides, max_texts=50))
    assert len(rows(found)) > 500
    (where,) = held
    assert not where.in_memory
    assert where.blocks > 3
    assert where.kept == sum(kept)
    assert where.postings == passages.Index(sides.texts).postings.hashes.size
    assert steps == sorted(steps)
    assert 0.0 <= steps[0] <= steps[-1] <= 1.0


def test_refuses() -> None:
    sides = sides_of(["a b", "c d", "e f"], 1, 2, 0)
    with pytest.raises(ValueError, match="in order"):
        partitions.find(sides._replace(background=0))
    with pytest.raises(ValueError, match="in order"):
        partitions.find(sides._replace(background=4))
    with pytest.raises(ValueError, match=r"models must be int32\[3\]"):
        partitions.find(sides._replace(models=np.zeros(2, np.int32)))
    with pytest.raises(ValueError, match="memory must be"):
        partitions.find(sides, memory=0)
