"""The cached space of a model: read again by that model alone, and measured anew when it is damaged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kinprint.server.embed import space as spaces
from kinprint.server.embed.space import BackgroundVectors, EmbeddingSpace, load_space


def space_of(digest: str, dim: int = 4) -> EmbeddingSpace:
    unrelated = np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0.3], [0.6, 0.4]])
    background = BackgroundVectors(np.ones((3, 2), np.int8), np.array([0, 1, 3]))
    return EmbeddingSpace(
        digest, np.arange(dim, dtype=np.float32), np.eye(1, dim, dtype=np.float32), unrelated,
        np.eye(2, dim, dtype=np.float32), background,
    )  # fmt: skip


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the models whose spaces were measured."""
    made: list[str] = []

    def measure(embedder: Any, _passages: object) -> EmbeddingSpace:
        made.append(embedder.digest)
        return space_of(embedder.digest, embedder.dim)

    monkeypatch.setattr(spaces, "measure_space", measure)
    return made


def model(digest: str, dim: int = 4) -> Any:
    return SimpleNamespace(digest=digest, dim=dim)


def test_a_space_is_measured_once_a_model(tmp_path: Path, measured: list[str]) -> None:
    first = load_space(model("a" * 64), tmp_path)
    again = load_space(model("a" * 64), tmp_path)
    assert measured == ["a" * 64]
    assert again.digest == first.digest == "a" * 64
    np.testing.assert_array_equal(again.mean, first.mean)
    load_space(model("b" * 64), tmp_path)
    assert measured == ["a" * 64, "b" * 64]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_space_of_another_model_under_the_same_name_is_not_taken(tmp_path: Path, measured: list[str]) -> None:
    """The name of the file has half of the digest; the other half, and the sizes, are in it."""
    one, other = "a" * 64, "a" * 32 + "b" * 32
    load_space(model(one), tmp_path)
    assert load_space(model(other), tmp_path).digest == other
    assert load_space(model(one), tmp_path).digest == one
    assert load_space(model(one, dim=6), tmp_path).dim == 6
    assert measured == [one, other, one, one]


def test_a_damaged_space_is_measured_anew(tmp_path: Path, measured: list[str]) -> None:
    load_space(model("a" * 64), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(content)
        assert load_space(model("a" * 64), tmp_path).digest == "a" * 64
    assert len(measured) == 4
    assert path.read_bytes() != content


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    saved = space_of("d")
    saved.save(tmp_path / "x.npz")
    loaded = EmbeddingSpace.load(tmp_path / "x.npz")
    assert (loaded.digest, loaded.dim, loaded.code_width) == ("d", 4, 2)
    for name in ("mean", "language_basis", "unrelated", "components"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert loaded.background is not None
    np.testing.assert_array_equal(loaded.background.starts, [0, 1, 3])
    with pytest.raises(FileNotFoundError):
        EmbeddingSpace.load(tmp_path / "none.npz")


def test_chance_scores_are_interpolated_over_the_logarithm_of_the_size(tmp_path: Path) -> None:
    found = space_of("d")
    assert spaces.QUERY_SIZES == (1, 2, 4, 8)
    assert found.unrelated_at(0) == found.unrelated_at(1) == pytest.approx((0.1, 0.2))
    assert found.unrelated_at(2) == pytest.approx((0.3, 0.1))
    between = np.log2(3) - 1
    assert found.unrelated_at(3) == pytest.approx((0.3 + 0.2 * between, 0.1 + 0.2 * between))
    assert found.unrelated_at(8) == found.unrelated_at(100) == pytest.approx((0.6, 0.4))
