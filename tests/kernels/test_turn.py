"""Parallel kernels on all threads in turn, or on the thread that calls them: equal results, and nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels import spread as spreading
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import overlap, seeds, shingle, sketch
from kinprint.kernels.jit import ParallelKernel, parallel_kernel
from kinprint.kernels.spread import set_threads, spread, threads
from kinprint.kernels.style import authorship, residual, stylometry, traits
from kinprint.kernels.turn import calling_thread, on_calling_thread, stay_on_calling_thread, turn

SECONDS = 240.0
SOME = [f"one two three four five {i} {'more and ' * (i % 9)} 你好世界你好世界" for i in range(300)]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """Whatever the cores."""
    set_threads(3)
    yield
    set_threads(None)


def everything(some: list[str]) -> list[Any]:
    """What queries compute of some texts, and some of what only long runs do."""
    data, offsets = from_texts([*some, "the quick brown fox jumps over the lazy dog"])
    read = Texts.from_offsets(data, offsets)
    n = len(read)
    rows = np.arange(n)
    hashes, indptr, flags = shingle.sets_of(read)
    made = sketch.sketch_texts(read)
    vectors = stylometry.style_vectors(data, offsets)
    mean, inverse = stylometry.scaler(stylometry.stats(vectors))
    features = authorship.features_of(read)
    ones = np.ones(authorship.DIM, np.float32), np.ones(len(authorship.FAMILIES), np.float32)
    grams = residual.prompt_grams(read.take(slice(20)), rows[:20], np.array([0, min(n, 20)]), n)
    return [
        hashes,
        indptr,
        flags,
        shingle.hashes_of(read),
        *made[:4],
        sketch.similarity(made.signatures[-1], made.signatures),
        *overlap.query_overlap_of(hashes[indptr[-2] :], read, rows),
        *seeds.query(seeds.build(read), hashes[indptr[-2] :]),
        vectors,
        traits.traits(data, offsets),
        stylometry.scores(vectors[-1], vectors, mean, inverse),
        stylometry.scores_at(vectors[-1], vectors, rows[::-1].copy(), mean, inverse),
        features.indptr,
        features.indices,
        authorship.weigh(features, *ones).data,
        grams.gram,
    ]


def assert_both_forms_agree(some: list[str]) -> None:
    together = everything(some)
    with calling_thread():
        alone = everything(some)
    for one, other in zip(together, alone, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@pytest.mark.timeout(1500)  # a cold cache: this compiles half of the kernels
def test_many_texts_give_the_same_bytes() -> None:
    assert_both_forms_agree(SOME)


@settings(max_examples=25, deadline=None)
@given(st.lists(texts, max_size=40))
def test_any_texts_give_the_same_bytes(some: list[str]) -> None:
    assert_both_forms_agree(some)


def test_scores_of_many_rows_are_the_same_bytes() -> None:
    """Sums of float32 may be regrouped; wherever a run begins, they must be regrouped alike."""
    vectors = np.random.default_rng(3).integers(-60, 60, (20_000, stylometry.DIM)).astype(np.int8)
    mean, inverse = stylometry.scaler(stylometry.stats(vectors))
    together = stylometry.scores(vectors[0], vectors, mean, inverse)
    with calling_thread():
        assert stylometry.scores(vectors[0], vectors, mean, inverse).tobytes() == together.tobytes()


# ---- where a kernel runs ----


def test_the_mode_is_of_a_thread_and_ends_with_its_block() -> None:
    assert not on_calling_thread()
    with calling_thread():
        assert on_calling_thread()
        assert threads() == 1
        with calling_thread():
            pass
        assert on_calling_thread()
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(on_calling_thread).result()
    assert not on_calling_thread()
    assert threads() == 3
    with pytest.raises(RuntimeError), calling_thread():
        raise RuntimeError
    assert not on_calling_thread()
    with ThreadPoolExecutor(2, initializer=stay_on_calling_thread) as pool:
        assert all(pool.map(lambda _: on_calling_thread(), range(8)))


def test_threads_come_from_the_environment_or_are_set() -> None:
    set_threads(None)
    assert threads() == numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    set_threads(5)
    assert threads() == 5
    with pytest.raises(ValueError, match="at least 1"):
        set_threads(0)


def test_the_turn_is_re_entrant() -> None:
    with turn(), turn():
        assert shingle.hashes_of(Texts.from_offsets(*from_texts(SOME))).shape == (len(SOME), 2)


def test_the_calling_thread_waits_for_no_turn() -> None:
    """While a thread has the turn, as for a long run, others answer, and one that needs the turn does not."""
    read = Texts.from_offsets(*from_texts(SOME))
    want = sketch.sketch_texts(read).signatures.tobytes()

    def ask() -> bytes:
        return sketch.sketch_texts(read).signatures.tobytes()

    with ThreadPoolExecutor(2, initializer=stay_on_calling_thread) as queries, ThreadPoolExecutor(1) as others:
        with turn():
            waiting = others.submit(ask)
            assert [asked.result(SECONDS) for asked in [queries.submit(ask) for _ in range(8)]] == [want] * 8
            assert not waiting.done()
        assert waiting.result(SECONDS) == want


def test_queries_run_side_by_side_and_beside_a_parallel_kernel() -> None:
    """Each of four threads holds a kernel's place until all of them have one: nobody waits for another to finish."""
    together = threading.Barrier(4, timeout=SECONDS)
    seen: set[str] = set()

    def meet(first: int, last: int) -> None:
        seen.add(threading.current_thread().name)
        if first == 0:
            together.wait()

    with ThreadPoolExecutor(2, initializer=stay_on_calling_thread) as queries, ThreadPoolExecutor(1) as others:
        asking = [queries.submit(spread, meet, 1), queries.submit(spread, meet, 1), others.submit(spread, meet, 100)]
        together.wait()
        for some in asking:
            some.result(SECONDS)
    assert len(seen) >= 3


def test_queries_and_parallel_kernels_at_once() -> None:
    read = Texts.from_offsets(*from_texts(SOME * 5))
    stop = threading.Event()

    def ask() -> set[bytes]:
        found: set[bytes] = set()
        while not stop.is_set() or not found:
            found.add(shingle.hashes_of(read).tobytes())
        return found

    with ThreadPoolExecutor(2, initializer=stay_on_calling_thread) as queries, ThreadPoolExecutor(2) as others:
        asking = [queries.submit(ask), queries.submit(ask), others.submit(ask)]
        for _ in range(30):
            others.submit(shingle.hashes_of, read).result(SECONDS)
        stop.set()
        assert len(set.union(*(some.result(SECONDS) for some in asking))) == 1


# ---- runs ----


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 500), st.integers(1, 70), st.integers(1, 6))
def test_runs_are_whole_grains_and_make_up_all_items(count: int, grain: int, workers: int) -> None:
    set_threads(workers)
    lock = threading.Lock()
    taken: list[tuple[int, int]] = []

    def work(first: int, last: int) -> None:
        with lock:
            taken.append((first, last))

    spread(work, count, grain)
    taken.sort()
    assert [first for first, _ in taken] == [0, *(last for _, last in taken)][: len(taken)]
    assert sum(last - first for first, last in taken) == count
    assert all(first % grain == 0 and first < last for first, last in taken)
    if workers == 1 or count <= grain:
        assert len(taken) <= 1


@pytest.mark.parametrize("at", [0, 40, 99])
def test_a_failure_is_raised_once_everybody_has_stopped(at: int) -> None:
    running = threading.Semaphore(0)

    def work(first: int, last: int) -> None:
        if first <= at < last:
            raise MemoryError(f"at {at}")
        running.release()

    with pytest.raises(MemoryError, match=f"at {at}"):
        spread(work, 100)
    spread(lambda first, last: running.release(), 100)  # the pool lives on


def test_few_items_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading._Pool, "of", lambda *_: pytest.fail("a thread was asked for"))
    seen = []
    spread(lambda first, last: seen.append(threading.current_thread()), 64, 64)
    assert seen == [threading.current_thread()]
    spread(lambda first, last: pytest.fail("there is nothing to do"), 0)


def test_a_parallel_kernel_takes_the_number_of_items() -> None:
    @parallel_kernel(2)
    def doubled(first: int, last: int, values: np.ndarray, out: np.ndarray) -> None:
        """Twice the values."""
        for i in range(first, last):
            out[i] = 2 * values[i]

    values, out = np.arange(1001), np.zeros(1001, np.int64)
    doubled(len(values), values, out)
    assert np.array_equal(out, 2 * values)
    assert doubled.__doc__ == "Twice the values."
    out[:] = 0
    doubled.kernel(10, 20, values, out)
    assert np.flatnonzero(out).tolist() == list(range(10, 20))


def test_no_kernel_is_parallel_by_itself() -> None:
    """Numba's own parallel loops would end the process when two threads enter them."""
    found = 0
    for module in (overlap, seeds, shingle, sketch, authorship, residual, stylometry, traits):
        for value in vars(module).values():
            found += isinstance(value, ParallelKernel)
            assert not getattr(value, "targetoptions", {}).get("parallel")
    assert found > 10
