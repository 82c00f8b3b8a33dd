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
    OnnxEmbedder,
    align,
    build_default_model,
    centre,
    default_model_directory,
    embed_sentences,
    load_background,
    sentence_spans,
)
from kinprint.server.embed.background import BackgroundPassage, Unit, background_passages, measure_background
from kinprint.server.embed.build import is_built
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
def test_centred_vectors_are_unit_or_zero(vectors: np.ndarray) -> None:
    norms = np.linalg.norm(centre(vectors, vectors.mean(axis=0)), axis=1)
    assert np.all((np.abs(norms - 1) < 1e-3) | (norms == 0))
    assert not centre(vectors, vectors[0])[0].any()


def test_measures_agree_with_a_plain_computation() -> None:
    rng = np.random.default_rng(3)
    passages = [
        BackgroundPassage(language, topic, "")
        for language, topics in (("aa", "xyz"), ("bb", "xvw"), ("cc", "xuk"))
        for topic in topics
    ]
    shift = {"aa": 0.0, "bb": 0.5, "cc": 1.0}
    offset = rng.normal(size=24)
    vectors = _unit(np.stack([rng.normal(size=24) + 3 + shift[passage.language] * offset for passage in passages]))
    background = measure_background(passages, vectors)
    means = [vectors[i : i + 3].mean(axis=0) for i in (0, 3, 6)]
    np.testing.assert_allclose(background.mean, np.mean(means, axis=0), atol=1e-6)
    centred = background.centre(vectors)
    cosines = [
        float(centred[i] @ centred[j]) for i in range(9) for j in range(i) if passages[i].topic != passages[j].topic
    ]
    assert background.unrelated_mean == pytest.approx(np.mean(cosines), abs=1e-5)
    assert background.unrelated_sd == pytest.approx(np.std(cosines), abs=1e-5)
    np.testing.assert_allclose(background.standardise(np.array(cosines, np.float32)).mean(), 0, atol=1e-4)
    # Without the languages' span, all languages have one mean.
    np.testing.assert_allclose(
        background.language_basis @ background.language_basis.T,
        np.eye(len(background.language_basis)),
        atol=1e-5,
    )
    projected = background.language_basis @ (np.stack(means) - background.mean).T
    full = np.linalg.norm(np.stack(means) - background.mean)
    assert np.linalg.norm(projected) == pytest.approx(full, rel=1e-4)
    neutral = background.remove_language(vectors)
    np.testing.assert_allclose(neutral @ background.language_basis.T, 0, atol=1e-5)
    with pytest.raises(ValueError, match="vectors"):
        measure_background(passages, vectors[:3])
    with pytest.raises(ValueError, match="two topics"):
        measure_background(passages[:1], vectors[:1])


@pytest.mark.parametrize("unit", ["passage", "sentence"])
def test_loaded_background_is_the_measured_one(embedder: OnnxEmbedder, tmp_path: Path, unit: Unit) -> None:
    measured = load_background(embedder, tmp_path, unit=unit)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    loaded = load_background(embedder, tmp_path, unit=unit)
    assert file.stat().st_mtime_ns == written
    np.testing.assert_array_equal(loaded.mean, measured.mean)
    np.testing.assert_array_equal(loaded.language_basis, measured.language_basis)
    assert loaded.language_means.keys() == measured.language_means.keys()
    assert loaded.unrelated_sd == measured.unrelated_sd
    assert loaded.texts == measured.texts
    # A damaged file is measured again.
    file.write_bytes(file.read_bytes()[:200])
    assert load_background(embedder, tmp_path, unit=unit).unrelated_mean == (measured.unrelated_mean)


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


def test_many_sentences_are_grouped_not_dropped(embedder: OnnxEmbedder) -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(50))
    vectors, spans = embed_sentences(embedder, text, max_sentences=7)
    assert vectors.shape == (7, 32)
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))
    assert embed_sentences(embedder, "")[0].shape == (0, 32)
    with pytest.raises(ValueError, match="max_sentences"):
        embed_sentences(embedder, text, max_sentences=0)


def test_alignment_of_a_shuffled_text_is_the_permutation() -> None:
    rng = np.random.default_rng(0)
    left = _unit(rng.normal(size=(9, 40)))
    order = rng.permutation(9)
    result = align(left, left[order])
    assert result.score == pytest.approx(1, abs=1e-6)
    assert [order[pair.right] for pair in result.pairs] == [pair.left for pair in result.pairs]
    half = align(left, left[:3])
    assert half.score == pytest.approx(2 * 3 / 12, abs=1e-6)
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
    background = load_background(embedder, unit="sentence")
    for story in json.loads(NEWS.read_text(encoding="utf-8"))["stories"]:
        texts = [article["text"] for article in story["articles"]]
        texts += [article["translation"]["text"] for article in story["articles"]]
        vectors = [background.remove_language(embed_sentences(embedder, text)[0]) for text in texts]
        for i, mine in enumerate(vectors):
            scores = [align(mine, other).score if j != i else 0.0 for j, other in enumerate(vectors)]
            partner = (i + len(texts) // 2) % len(texts)
            best_other = max(score for j, score in enumerate(scores) if j != partner)
            assert scores[partner] > best_other + 0.1
