"""Nearest vectors: a scan is exact, an inverted file is measured, filters are heeded by both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kinprint.kernels.embed.pool import RowVectors
from kinprint.server.channels import nearest
from numpy.typing import NDArray


def codes(count: int, width: int = 32, seed: int = 0) -> NDArray[np.int8]:
    """Vectors around some centres, as those of sentences are."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(count // 20, 1), width))
    made = centres[chance.integers(0, len(centres), count)] + 0.5 * chance.standard_normal((count, width))
    made *= 127 / np.abs(made).max(axis=1, keepdims=True)
    return np.rint(made).astype(np.int8)


def vectors(of: NDArray[np.int8]) -> RowVectors:
    return RowVectors(of, nearest.scales_of(of))


def queries(count: int, width: int = 32) -> NDArray[np.float32]:
    return nearest.directions(codes(count, width, 9))


def exact(query: NDArray[np.float32], of: NDArray[np.int8], passing: NDArray[np.int64], top: int) -> list[int]:
    cosines = nearest.directions(of[passing]) @ query
    return sorted(passing[np.argsort(-cosines, kind="stable")[:top]].tolist())


def test_scales_make_unit_vectors() -> None:
    some = codes(100)
    some[3] = 0
    made = some * nearest.scales_of(some)[:, None]
    norms = np.linalg.norm(made, axis=1)
    assert norms[3] == 0
    np.testing.assert_allclose(np.delete(norms, 3), 1, atol=1e-6)
    np.testing.assert_allclose(made, nearest.directions(some), atol=1e-6)


@pytest.mark.parametrize("filtered", [False, True])
def test_a_scan_is_exact(filtered: bool) -> None:
    some = codes(700)
    passing = np.arange(0, 700, 3) if filtered else None
    asked = queries(5)
    for query, (positions, cosines) in zip(
        asked, nearest.nearest(asked, vectors(some), None, passing, 12), strict=True
    ):
        everyone = np.arange(700) if passing is None else passing
        assert sorted(positions.tolist()) == exact(query, some, everyone, 12)
        assert (np.diff(cosines) <= 0).all()


def test_equal_vectors_come_in_their_order() -> None:
    some = np.tile(codes(1), (50, 1))
    ((positions, _),) = nearest.nearest(queries(1), vectors(some), None, None, 7)
    assert positions.tolist() == list(range(7))


def test_of_nothing_nothing_is_near() -> None:
    none = np.zeros((0, 32), np.int8)
    ((positions, cosines),) = nearest.nearest(queries(1), vectors(none), None, None, 7)
    assert (len(positions), len(cosines)) == (0, 0)
    ((positions, _),) = nearest.nearest(queries(1), vectors(codes(5)), None, np.zeros(0, np.int64), 7)
    assert len(positions) == 0


def test_an_inverted_file_finds_nearly_all_and_says_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "INDEX_FROM", 3000)
    some = codes(5000)
    assert nearest.build(some[:2999]) is None
    built = nearest.build(some)
    assert built is not None
    assert built.measured.vectors == 5000
    assert built.measured.recall >= 0.95
    nearest.save(tmp_path, "fast", built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast-index.json", "fast.faiss"]
    loaded = nearest.load(tmp_path, "fast")
    assert loaded is not None
    assert loaded.measured == built.measured
    (tmp_path / "fast.faiss").unlink()  # as when its generation is replaced
    # Near the vectors, as what is searched for is: some of them, moved.
    moved = some[::170].astype(np.float32) + np.random.default_rng(5).normal(0, 20, some[::170].shape)
    asked = np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)
    passing = np.arange(0, 5000, 2)
    for few, rows in ((0, passing), (nearest.FEW, passing), (nearest.FEW, None)):
        monkeypatch.setattr(nearest, "FEW", few)
        everyone = np.arange(5000) if rows is None else rows
        found = nearest.nearest(asked, vectors(some), loaded, rows, 10)
        hits = []
        for query, (positions, _) in zip(asked, found, strict=True):
            assert set(positions.tolist()) <= set(everyone.tolist())
            hits.append(len(set(positions.tolist()) & set(exact(query, some, everyone, 10))) / 10)
        assert np.mean(hits) >= 0.95
    assert nearest.load(tmp_path, "fast") is None


def test_the_same_vectors_give_the_same_index() -> None:
    some = codes(2500)
    one, other = (nearest.build(some) for _ in range(2)) if nearest.INDEX_FROM <= 2500 else (None, None)
    assert one == other
