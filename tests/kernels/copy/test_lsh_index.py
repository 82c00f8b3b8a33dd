"""The online LSH index against a dictionary, through inserts, deletions and restarts."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kinprint.kernels.copy import lsh, lsh_index
from kinprint.kernels.copy.lsh_index import FORMAT, LshIndex
from kinprint.kernels.copy.sketch import EMPTY
from kinprint.kernels.reference import lsh_index as reference


def random_signatures(n: int, seed: int, values: int = 2**32 - 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, (n, 128)).astype(np.uint32)


def restarted(index: LshIndex, folder: str | Path) -> LshIndex:
    """The index written to files and mapped again, read-only."""
    for name, array in index.arrays().items():
        np.save(f"{folder}/{name}.npy", array)
    return mapped(folder)


def mapped(folder: str | Path) -> LshIndex:
    return LshIndex.from_arrays({path.stem: np.load(path, mmap_mode="r") for path in Path(folder).glob("*.npy")})


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def found(index: LshIndex, signature: np.ndarray, least: int = 1) -> list[tuple[int, int]]:
    ids, agreements = index.query(signature, least)
    assert (ids.dtype, agreements.dtype) == (np.int64, np.int32)
    return list(zip(ids.tolist(), agreements.tolist(), strict=True))


class Machine(RuleBasedStateMachine):
    """Few ids and few values of slots, so that rows are replaced and bands collide."""

    ids = st.integers(-3, 30)

    @initialize(banding=st.sampled_from([*lsh.BANDINGS, (3, 2)]), values=st.integers(1, 4))
    def start(self, banding: tuple[int, int], values: int) -> None:
        self.index = LshIndex(*banding)
        self.plain = reference.LshIndex(*banding)
        self.values = values

    def signatures(self, n: int, seed: int) -> np.ndarray:
        """Some near each other, some with few values, some blank."""
        generator = np.random.default_rng(seed)
        out = random_signatures(n, seed, self.values)
        near = generator.random(n) < 0.4
        out[near] = np.where(generator.random((near.sum(), 128)) < 0.1, 7, 1)
        out[generator.random(n) < 0.1] = EMPTY
        return out

    @rule(ids=st.lists(ids, max_size=12), seed=st.integers(0, 999))
    def insert(self, ids: list[int], seed: int) -> None:
        signatures = self.signatures(len(ids), seed)
        self.index.insert(np.array(ids, np.int64), signatures)
        self.plain.insert(ids, signatures.tolist())
        signatures[:] = 0  # what was given may be used again

    @rule(ids=st.lists(ids, max_size=8))
    def delete(self, ids: list[int]) -> None:
        assert self.index.delete(np.array(ids, np.int64)) == self.plain.delete(ids)

    @rule(seed=st.integers(0, 999), least=st.integers(1, 128))
    def query(self, seed: int, least: int) -> None:
        for signature in self.signatures(3, seed):
            assert found(self.index, signature, least) == self.plain.query(signature.tolist(), least)

    @rule(least=st.sampled_from([1, 60, 128]))
    def query_what_is_there(self, least: int) -> None:
        for signature in list(self.plain.signatures.values())[:5]:
            assert found(self.index, np.array(signature, np.uint32), least) == self.plain.query(signature, least)

    @rule()
    def restart(self) -> None:
        # The files may go: what is mapped stays.
        with tempfile.TemporaryDirectory() as folder:
            self.index = restarted(self.index, folder)

    @invariant()
    def same_ids(self) -> None:
        assert len(self.index) == len(self.plain.signatures)
        assert [id_ in self.index for id_ in range(-3, 31)] == [id_ in self.plain.signatures for id_ in range(-3, 31)]

    @invariant()
    def few_segments(self) -> None:
        sizes = [segment.live for segment in self.index._state.segments]
        assert all(size > sum(sizes[k + 1 :]) for k, size in enumerate(sizes))
        assert all(2 * s.live >= len(s.ids) == len(s.removed) for s in self.index._state.segments)
        assert all((s.ids[1:] > s.ids[:-1]).all() for s in self.index._state.segments)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_last_of_a_repeated_id_counts() -> None:
    index = LshIndex(32, 4)
    signatures = random_signatures(3, 0)
    index.insert(np.array([5, 5, 5]), signatures)
    assert len(index) == 1
    assert [found(index, row) for row in signatures] == [[], [], [(5, 128)]]
    index.insert(np.array([5]), signatures[:1])
    assert [found(index, row) for row in signatures] == [[(5, 128)], [], []]


def test_blank_rows_are_known_but_never_found() -> None:
    index = LshIndex(32, 4)
    blank = np.full((1, 128), EMPTY, np.uint32)
    index.insert(np.array([3]), blank)
    assert 3 in index
    assert len(index) == 1
    assert found(index, blank[0]) == []
    # A row that is replaced by a blank one is not found any more.
    row = random_signatures(1, 0)
    index.insert(np.array([4]), row)
    index.insert(np.array([4]), blank)
    assert found(index, row[0]) == []
    assert index.delete(np.array([3, 4, 5, 3])) == 2
    assert len(index) == 0


def test_no_rows() -> None:
    index = LshIndex(16, 8)
    index.insert(np.empty(0, np.int64), np.empty((0, 128), np.uint32))
    assert found(index, np.zeros(128, np.uint32)) == []
    assert index.delete(np.array([1])) == 0
    assert len(LshIndex.from_arrays(index.arrays())) == 0


def test_order_of_insertion_makes_no_difference() -> None:
    signatures = random_signatures(1500, 1)
    signatures[500:1000] = np.where(np.random.default_rng(2).random((500, 128)) < 0.1, 9, signatures[:500])
    ids = np.random.default_rng(3).permutation(1500) - 500
    expected = None
    for seed, batch in ((0, 1500), (1, 100), (2, 7), (3, 1)):
        order = np.random.default_rng(seed).permutation(1500)
        index = LshIndex(32, 4)
        for start in range(0, 1500, batch):
            some = order[start : start + batch]
            index.insert(ids[some], signatures[some])
        results = [found(index, signatures[i]) for i in range(0, 1500, 15)]
        expected = expected or results
        assert results == expected
    assert expected is not None
    assert max(map(len, expected)) == 2


def test_many_equal_signatures() -> None:
    """A bucket of thousands, in every band, of which some go and come again."""
    row = random_signatures(1, 0)
    index = LshIndex(32, 4)
    ids = np.arange(5000)
    for start in range(0, 5000, 500):
        index.insert(ids[start : start + 500], np.repeat(row, 500, 0))
    assert found(index, row[0]) == [(i, 128) for i in range(5000)]
    assert index.delete(np.arange(0, 6000, 2)) == 2500
    assert found(index, row[0], 128) == [(i, 128) for i in range(1, 5000, 2)]
    near = row[0].copy()
    near[::3] += 1
    assert found(index, near) == []
    near[:4] = row[0, :4]
    assert found(index, near) == [(i, 87) for i in range(1, 5000, 2)]
    assert found(index, near, 88) == []
    index.insert(ids[::2], np.repeat(near[None], 2500, 0))
    assert found(index, near) == [(i, 128) for i in range(0, 5000, 2)] + [(i, 87) for i in range(1, 5000, 2)]


def test_threads_make_no_difference(tmp_path: Path) -> None:
    signatures = random_signatures(2000, 4, 3)
    results = []
    for count in (1, 2):
        with threads(count):
            index = LshIndex(32, 4)
            for start in range(0, 2000, 150):
                index.insert(np.arange(start, min(2000, start + 150)), signatures[start : start + 150])
            index.delete(np.arange(0, 2000, 3))
            folder = tmp_path / str(count)
            folder.mkdir()
            results.append((index.arrays(), [found(index, row) for row in signatures[:50]]))
            assert [found(restarted(index, folder), row) for row in signatures[:50]] == results[-1][1]
    assert results[0][1] == results[1][1]
    assert results[0][0].keys() == results[1][0].keys()
    for name, array in results[0][0].items():
        assert np.array_equal(array, results[1][0][name]), name


def test_queries_beside_a_writer_see_one_state() -> None:
    """Two rows that are always moved together, and one that is always replaced, are seen together, and once."""
    row = random_signatures(1, 0)
    index = LshIndex(16, 8)
    index.insert(np.array([0, 1, 2]), np.repeat(row, 3, 0))
    stop = threading.Event()
    wrong: list[list[int]] = []

    def read() -> None:
        while not stop.is_set():
            ids = index.query(row[0])[0].tolist()
            if ids not in ([0, 1, 2], [2]):
                wrong.append(ids)

    readers = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for reader in readers:
        reader.start()
    try:
        for k in range(500):
            index.insert(np.arange(10, 40), random_signatures(30, 1 + k))
            index.delete(np.array([0, 1]))
            index.insert(np.array([2, 1, 0]), np.repeat(row, 3, 0))
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        for reader in readers:
            reader.join()
    assert wrong == []


def test_a_change_comes_into_sight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    row = random_signatures(1, 0)
    index = LshIndex(16, 8)
    index.insert(np.arange(3), np.repeat(row, 3, 0))
    seen: list[list[int]] = []
    for name in ("_remove", "_settled"):
        step: Callable[..., Any] = getattr(lsh_index, name)

        def watched(*args: Any, step: Callable[..., Any] = step) -> Any:
            out = step(*args)
            seen.append(index.query(row[0])[0].tolist())
            return out

        monkeypatch.setattr(lsh_index, name, watched)
    index.insert(np.array([2, 0, 3]), np.repeat(row, 3, 0))
    assert seen == [[0, 1, 2], [0, 1, 2, 3]]
    seen.clear()
    index.delete(np.array([0, 3, 1]))
    assert seen == [[0, 1, 2, 3], [2]]


def test_saved_segments_stay_where_they_are(tmp_path: Path) -> None:
    """What is mapped is not copied, and a restart can go on from it."""
    signatures = random_signatures(1000, 5)
    index = LshIndex(32, 4)
    index.insert(np.arange(1000), signatures)
    again = restarted(index, tmp_path)
    (segment,) = again._state.segments
    for array in (segment.ids, segment.signatures, segment.keys, segment.rows):
        base = array
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base  # type: ignore[assignment]
        assert isinstance(base, np.memmap)
        assert not array.flags.writeable
    assert again.delete(np.array([7])) == 1
    again.insert(np.array([2000]), signatures[7:8])
    assert found(again, signatures[7]) == [(2000, 128)]
    # The change is in none of the files.
    assert found(mapped(tmp_path), signatures[7]) == [(7, 128)]


def test_deleted_rows_give_their_memory_back() -> None:
    index = LshIndex(32, 4)
    index.insert(np.arange(1000), random_signatures(1000, 6))
    index.delete(np.arange(400))
    assert [len(segment.ids) for segment in index._state.segments] == [1000]
    index.delete(np.arange(400, 600))
    assert [len(segment.ids) for segment in index._state.segments] == [400]
    index.delete(np.arange(1000))
    assert index._state.segments == ()


def test_refuses() -> None:
    index = LshIndex(32, 4)
    signatures = random_signatures(2, 0)
    with pytest.raises(ValueError, match="do not fit 128"):
        LshIndex(33, 4)
    with pytest.raises(ValueError, match="ids must be int64"):
        index.insert(np.zeros(2, np.int32), signatures)
    with pytest.raises(ValueError, match="2 ids do not fit 1 signatures"):
        index.insert(np.zeros(2, np.int64), signatures[:1])
    with pytest.raises(ValueError, match="uint32"):
        index.insert(np.zeros(2, np.int64), signatures.astype(np.int64))
    with pytest.raises(ValueError, match="ids must be int64"):
        index.delete(np.zeros((2, 1), np.int64))
    with pytest.raises(ValueError, match="a signature must be"):
        index.query(signatures)
    assert len(index) == 0
    index.insert(np.arange(2), signatures)
    good = index.arrays()
    assert len(LshIndex.from_arrays(good)) == 2
    for name, value, message in (
        ("format", np.array(FORMAT + 1), f"is of format {FORMAT + 1}, this Kinprint knows up to {FORMAT}"),
        ("scheme", np.array("fss128-c5/2/6b696e7072696e74"), "is of sketches fss128-c5"),
        ("banding", np.array([33, 4]), "do not fit 128"),
        ("banding", np.array([16, 8]), "0.keys"),
        ("0.rows", good["0.rows"][:, :1], "0.rows"),
        ("0.alive", good["0.alive"].astype(np.int8), "0.alive"),
        ("0.signatures", good["0.signatures"][:, :64], "0.signatures"),
    ):
        with pytest.raises(ValueError, match=message):
            LshIndex.from_arrays(good | {name: value})
    with pytest.raises(ValueError, match="no 'format'"):
        LshIndex.from_arrays({})
    with pytest.raises(ValueError, match="no 'scheme'"):
        LshIndex.from_arrays({"format": good["format"]})
