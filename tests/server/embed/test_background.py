"""Background statistics, sentence cutting and alignment."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from kinprint.server.embed import (
    EmbeddingSpace,
    OnnxEmbedder,
    align,
    build_default_model,
    default_model_directory,
    grouped_spans,
    load_space,
    sentences_of,
)
from kinprint.server.embed.background import background_passages, language_directions, remove_directions
from kinprint.server.embed.default_model.build import is_built
from kinprint.server.embed.sentences import sentence_spans
from tiny_model import write_tiny_model

NEWS = Path(__file__).parents[2] / "data" / "news.json"


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEmbedder:
    return OnnxEmbedder(write_tiny_model(tmp_path_factory.mktemp("tiny")))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_passages_are_balanced_and_of_one_length() -> None:
    passages = background_passages()
    languages = Counter(passage.language for passage in passages)
    assert len(languages) >= 14
    assert set(languages.values()) == {10}
    assert len({(passage.language, passage.topic) for passage in passages}) == len(passages)
    assert all(40 <= len(passage.text) <= 400 for passage in passages)


@given(arrays.arrays(np.float32, (5, 6), elements=st.floats(-10, 10, width=32)))
def test_what_remains_is_unit_or_zero_and_off_the_basis(vectors: np.ndarray) -> None:
    basis = np.eye(6, dtype=np.float32)[:2]
    rest = remove_directions(vectors, vectors.mean(axis=0), basis)
    norms = np.linalg.norm(rest, axis=1)
    assert np.all((np.abs(norms - 1) < 1e-3) | (norms == 0))
    assert np.all(np.abs(rest @ basis.T) < 1e-3)
    assert not remove_directions(vectors, vectors[0], basis)[0].any()


def test_directions_agree_with_a_plain_computation() -> None:
    rng = np.random.default_rng(3)
    languages = ["aa"] * 3 + ["bb"] * 3 + ["cc"] * 3
    offset = rng.normal(size=24)
    shift = {"aa": 0.0, "bb": 0.5, "cc": 1.0}
    vectors = _unit(np.stack([rng.normal(size=24) + 3 + shift[name] * offset for name in languages]))
    mean, basis = language_directions(languages, vectors)
    means = np.stack([vectors[i : i + 3].mean(axis=0) for i in (0, 3, 6)])
    np.testing.assert_allclose(mean, means.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-5)
    # Without the languages' span, all languages have one mean.
    assert np.linalg.norm(basis @ (means - mean).T) == pytest.approx(np.linalg.norm(means - mean), rel=1e-4)
    with pytest.raises(ValueError, match="vectors"):
        language_directions(languages, vectors[:3])


def test_loaded_space_is_the_measured_one(embedder: OnnxEmbedder, tmp_path: Path) -> None:
    measured = load_space(embedder, tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    loaded = load_space(embedder, tmp_path)
    assert file.stat().st_mtime_ns == written
    assert loaded.digest == embedder.digest
    np.testing.assert_array_equal(loaded.mean, measured.mean)
    np.testing.assert_array_equal(loaded.language_basis, measured.language_basis)
    np.testing.assert_array_equal(loaded.unrelated, measured.unrelated)
    # A damaged file is measured again.
    file.write_bytes(file.read_bytes()[:200])
    np.testing.assert_array_equal(load_space(embedder, tmp_path).unrelated, measured.unrelated)


def test_a_newer_space_is_refused(embedder: OnnxEmbedder, tmp_path: Path) -> None:
    path = tmp_path / "space.npz"
    load_space(embedder, tmp_path / "cache").save(path)
    with np.load(path) as arrays_of:
        np.savez(path, **{**arrays_of, "format": np.int64(99)})
    with pytest.raises(ValueError, match="newer"):
        EmbeddingSpace.load(path)


def test_chance_scores_are_read_between_the_sizes_measured() -> None:
    unrelated = np.array([[0.4, 0.2], [0.3, 0.15], [0.2, 0.1], [0.1, 0.05]])
    space = EmbeddingSpace("d", np.zeros(3, np.float32), np.zeros((0, 3), np.float32), unrelated)
    assert space.unrelated_at(1) == pytest.approx((0.4, 0.2))
    assert space.unrelated_at(3)[0] == pytest.approx(0.3 - 0.1 * (np.log2(3) - 1))
    assert space.unrelated_at(64) == pytest.approx((0.1, 0.05))


def test_pooling_means_the_sentences_of_each_text() -> None:
    rng = np.random.default_rng(1)
    sentences = _unit(rng.normal(size=(6, 8)))
    space = EmbeddingSpace("d", np.zeros(8, np.float32), np.zeros((0, 8), np.float32), np.zeros((4, 2)))
    pooled = space.pool(sentences, np.array([0, 1, 4, 6]))
    np.testing.assert_allclose(pooled[0], sentences[0], atol=1e-6)
    np.testing.assert_allclose(pooled[1], _unit(sentences[1:4].mean(axis=0)), atol=1e-6)
    assert space.pool(sentences[:0], np.array([0])).shape == (0, 8)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n ", []),
        ("One sentence without an end", ["One sentence without an end"]),
        ("First one. Second one! Third one?", ["First one.", "Second one!", "Third one?"]),
        ('He said "Never again." Then he left.', ['He said "Never again."', "Then he left."]),
        ("It costs 3.50 euros, e.g. today. Not more.", ["It costs 3.50 euros, e.g. today.", "Not more."]),
        ("今天天气很好。我们去公园吧!好。", ["今天天气很好。", "我们去公园吧!好。"]),
        ("यह पहला वाक्य है। यह दूसरा है।", ["यह पहला वाक्य है।", "यह दूसरा है।"]),
        ("1. Boil the water\n2. Add the salt", ["1. Boil the water", "2. Add the salt"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:stop] for start, stop in sentence_spans(text)] == sentences


@given(st.text(alphabet=st.sampled_from("ab .!?\n。！“” A1\u00a0"), max_size=120))
def test_sentence_spans_hold_every_visible_character_once(text: str) -> None:
    spans = sentence_spans(text)
    held = [position for start, stop in spans for position in range(start, stop)]
    assert held == sorted(set(held))
    assert {i for i, character in enumerate(text) if not character.isspace()} <= set(held)


def test_many_sentences_are_grouped_not_dropped() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(50))
    spans = grouped_spans(text, most=7)
    assert len(spans) == 7
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))
    assert sentences_of("") == []


def test_alignment_of_a_shuffled_text_is_the_permutation() -> None:
    rng = np.random.default_rng(0)
    left = _unit(rng.normal(size=(9, 40)))
    order = rng.permutation(9)
    result = align(left, left[order])
    assert result.score == pytest.approx(1, abs=1e-6)
    assert [order[pair.right] for pair in result.pairs] == [pair.left for pair in result.pairs]
    half = align(left, left[:3])
    assert half.score == pytest.approx(2 * 3 / 12, abs=1e-6)
    # A long text counts at most twice the query.
    assert align(left[:3], left).score == pytest.approx(2 * 3 / 9, abs=1e-6)
    assert align(left, left[:0]).score == 0


@given(
    arrays.arrays(np.float32, (4, 5), elements=st.floats(0.125, 1, width=32)),
    arrays.arrays(np.float32, (6, 5), elements=st.floats(0.125, 1, width=32)),
)
def test_alignment_pairs_each_sentence_once(left: np.ndarray, right: np.ndarray) -> None:
    result = align(_unit(left), _unit(right))
    assert len({pair.left for pair in result.pairs}) == len(result.pairs)
    assert len({pair.right for pair in result.pairs}) == len(result.pairs)
    assert 0 <= result.score <= 1.0001


@pytest.mark.model
def test_translations_lead_other_reports_of_the_event() -> None:
    if not is_built(default_model_directory()):
        pytest.skip("the default model is not built")
    embedder = OnnxEmbedder(build_default_model())
    space = load_space(embedder)
    for story in json.loads(NEWS.read_text(encoding="utf-8"))["stories"]:
        texts = [article["text"] for article in story["articles"]]
        texts += [article["translation"]["text"] for article in story["articles"]]
        vectors = [space.neutral(embedder.embed_passages(sentences_of(text))) for text in texts]
        for i, mine in enumerate(vectors):
            scores = [align(mine, other).score if j != i else 0.0 for j, other in enumerate(vectors)]
            partner = (i + len(texts) // 2) % len(texts)
            best_other = max(score for j, score in enumerate(scores) if j != partner)
            assert scores[partner] > best_other + 0.1
