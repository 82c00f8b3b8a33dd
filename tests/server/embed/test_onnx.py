"""`OnnxEmbedder` over every directory layout that it reads, against what the layout says."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.server.embed import EmbeddingError, ModelDirectoryError, OnnxEmbedder
from kinprint.server.embed.grouping import equal_lengths
from kinprint.server.embed.onnx import _covered, _spans
from tiny_model import write_tiny_model

TEXTS = [
    "The cat sat on the mat in the house.",
    "The cat sat on a mat.",
    "Die Börse fiel heute stark.",
    "猫坐在垫子上。",
    "",
    " ",
    "👩‍👩‍👧 \u0000 </s> <s>",
]
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"pooling": "cls"},
    {"output": "sentence_embedding"},
    {"token_type_ids": True},
    {"position_ids": True},
    {"integer": "int32"},
    {"model_file": "onnx/model.onnx"},
    {"model_file": "model_quantized.onnx"},
    {"model_file": "onnx/model_quantized.onnx"},
    {"prompts": {"query": "query: ", "passage": "passage: "}},
]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> OnnxEmbedder:
    return OnnxEmbedder(write_tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str(layout))
def test_every_layout_gives_unit_vectors_in_order(tmp_path: Path, layout: dict[str, Any]) -> None:
    model = OnnxEmbedder(write_tiny_model(tmp_path / "m", **layout))
    for embed in (model.embed_passages, model.embed_queries):
        vectors = embed(TEXTS)
        assert vectors.shape == (len(TEXTS), model.dim) == (len(TEXTS), 32)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        for text, vector in zip(TEXTS, vectors, strict=True):
            np.testing.assert_array_equal(embed([text])[0], vector)
    assert model.embed_passages([]).shape == (0, 32)
    assert model.max_tokens == 128


@pytest.mark.parametrize("layout", [{"pooling": "cls"}, {"output": "sentence_embedding"}, {"integer": "int32"}])
def test_pooling_here_and_in_the_graph_agree(tmp_path: Path, embedder: OnnxEmbedder, layout: dict[str, Any]) -> None:
    other = OnnxEmbedder(write_tiny_model(tmp_path, **layout))
    np.testing.assert_allclose(other.embed_passages(TEXTS), embedder.embed_passages(TEXTS), atol=1e-5)


def test_similar_texts_have_similar_vectors(embedder: OnnxEmbedder) -> None:
    cosines = embedder.embed_passages(TEXTS[:4]) @ embedder.embed_passages(TEXTS[:1]).T
    assert cosines[1] > 0.5 > max(cosines[2], cosines[3])


def test_prompts_are_put_before_the_text(tmp_path: Path, embedder: OnnxEmbedder) -> None:
    model = OnnxEmbedder(write_tiny_model(tmp_path, prompts={"query": "find: ", "document": "text: "}))
    np.testing.assert_allclose(model.embed_queries(["owl"]), embedder.embed_queries(["find: owl"]), atol=1e-6)
    np.testing.assert_allclose(model.embed_passages(["owl"]), embedder.embed_passages(["text: owl"]), atol=1e-6)


def test_the_default_prompt_serves_roles_without_one(tmp_path: Path) -> None:
    prompts = {"query": "q: ", "other": "o: "}
    model = OnnxEmbedder(write_tiny_model(tmp_path, prompts=prompts, default_prompt_name="other"))
    assert model._prompts == {"query": "q: ", "passage": "o: "}


def test_each_window_carries_prompt_and_special_tokens(tmp_path: Path) -> None:
    model = OnnxEmbedder(write_tiny_model(tmp_path, prompts={"passage": "pass: "}))
    plan = model.plan("word " * 60)
    short = model.plan("word").windows[0]
    assert len(plan.windows) > 1
    for window in plan.windows:
        assert len(window) <= model.max_tokens
        np.testing.assert_array_equal(window[:6], short[:6])
        assert window[-1] == short[-1]
    assert plan.covered == plan.tokens
    assert not plan.cut


def test_a_text_longer_than_all_windows_is_sampled_to_its_end(tmp_path: Path) -> None:
    model = OnnxEmbedder(write_tiny_model(tmp_path), max_windows=3)
    body = "".join(chr(ord("a") + i % 26) for i in range(2000))
    plan = model.plan(body)
    assert len(plan.windows) == 3
    assert plan.cut
    assert plan.covered == 3 * 126
    whole = model._tokenizer.encode(body).ids[1:-1]
    np.testing.assert_array_equal(plan.windows[0][1:-1], whole[:126])
    np.testing.assert_array_equal(plan.windows[-1][1:-1], whole[-126:])


def test_windows_are_pooled_by_their_tokens(embedder: OnnxEmbedder) -> None:
    plan = embedder.plan("some words of a longer text " * 12)
    parts = np.concatenate([embedder._infer([window]) for window in plan.windows])
    expected = plan.weights @ parts
    np.testing.assert_allclose(embedder.run(plan), expected / np.linalg.norm(expected), atol=1e-6)


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(1, 9))
def test_spans_properties(tokens: int, capacity: int, most: int) -> None:
    spans = _spans(tokens, capacity, most)
    assert 1 <= len(spans) <= most
    assert spans[0][0] == 0
    assert all(0 <= stop - start <= capacity for start, stop in spans)
    if tokens <= capacity * most:
        assert _covered(spans) == tokens
        lengths = [stop - start for start, stop in spans]
        assert max(lengths) - min(lengths) <= 1
    else:
        assert _covered(spans) == capacity * len(spans)
        assert most == 1 or spans[-1][1] == tokens
    assert _covered(_spans(tokens, capacity, None)) == tokens


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400))
def test_any_text_embeds_and_its_plan_adds_up(embedder: OnnxEmbedder, text: str) -> None:
    plan = embedder.plan(text)
    assert plan.tokens == int(plan.weights.sum()) == plan.covered
    vector = embedder.run(plan)
    assert np.isfinite(vector).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=40), st.randoms(use_true_random=False))
def test_a_vector_depends_on_its_text_alone(embedder: OnnxEmbedder, texts: list[str], random: Any) -> None:
    texts = [*texts, *texts[:5], "long " * 200]
    random.shuffle(texts)
    together = embedder.embed_passages(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(embedder.run(embedder.plan(text)), vector)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), max_size=60),
    st.integers(0, 40),
)
def test_groups_are_of_one_length_and_bounded(windows: list[tuple[int, int]], most: int) -> None:
    lengths = np.array([length for length, _ in windows], np.int64)
    kinds = np.array([kind for _, kind in windows], np.int64)
    groups = equal_lengths(lengths, kinds, most)
    assert sorted(place for group in groups for place in group.tolist()) == list(range(len(windows)))
    for group in groups:
        assert len({windows[place] for place in group.tolist()}) == 1
        assert len(group) == 1 or lengths[group].sum() <= most
        assert group.tolist() == sorted(group.tolist())
    # None could be joined to another.
    sizes: dict[tuple[int, int], list[int]] = {}
    for group in groups:
        sizes.setdefault(windows[group[0]], []).append(len(group))
    for (length, _), counts in sizes.items():
        assert sum(count < max(1, most // length) for count in counts) <= 1


def test_a_model_whose_vectors_depend_on_company_runs_alone(tmp_path: Path, embedder: OnnxEmbedder) -> None:
    assert embedder.company_is_safe
    windows = [np.arange(5), np.arange(5) + 1, np.arange(4)]
    assert [group.tolist() for group in embedder.groups(windows)] == [[0, 1], [2]]
    # One scale for the whole batch, as dynamic quantisation has it.
    dependent = OnnxEmbedder(write_tiny_model(tmp_path, company=True))
    assert not dependent.company_is_safe
    assert [group.tolist() for group in dependent.groups(windows)] == [[0], [1], [2]]
    vectors = dependent.embed_passages(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_array_equal(dependent.embed_passages([text])[0], vector)


def test_threads_get_what_one_caller_gets(embedder: OnnxEmbedder) -> None:
    texts = [f"text number {i} " * (i % 7 + 1) for i in range(60)]
    alone = embedder.embed_passages(texts)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: embedder.embed_passages([text])[0], texts))
    np.testing.assert_array_equal(np.stack(together), alone)


def test_digest_changes_with_what_changes_vectors(tmp_path: Path) -> None:
    def digest(name: str, window: int = 256, **layout: Any) -> str:
        return OnnxEmbedder(write_tiny_model(tmp_path / name, **layout), window=window).digest

    base = digest("a")
    assert digest("b") == base
    others = {
        digest("c", seed=1),
        digest("d", pooling="cls"),
        digest("e", prompts={"query": "q "}),
        digest("f", window=32),
    }
    assert len(others | {base}) == 5


def _spoil(directory: Path, file: str, value: Any) -> None:
    (directory / file).write_text(json.dumps(value), encoding="utf-8")


def test_unsupported_directories_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelDirectoryError, match="no model directory"):
        OnnxEmbedder(tmp_path / "absent")
    directory = write_tiny_model(tmp_path / "m")
    pooling = directory / "1_Pooling" / "config.json"
    modules = (directory / "modules.json").read_text(encoding="utf-8")

    for config, message in [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls, mean"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode_mean_tokens": True, "include_prompt": False}, "include_prompt"),
    ]:
        pooling.write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(ModelDirectoryError, match=message):
            OnnxEmbedder(directory)
    pooling.write_text(json.dumps({"pooling_mode": "cls"}), encoding="utf-8")
    OnnxEmbedder(directory)

    dense = [
        *json.loads(modules),
        {"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    _spoil(directory, "modules.json", dense)
    with pytest.raises(ModelDirectoryError, match="Dense"):
        OnnxEmbedder(directory)
    (directory / "modules.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelDirectoryError, match="not valid JSON"):
        OnnxEmbedder(directory)
    (directory / "modules.json").unlink()

    _spoil(directory, "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": "x"})
    with pytest.raises(ModelDirectoryError, match="default_prompt_name"):
        OnnxEmbedder(directory)
    (directory / "config_sentence_transformers.json").unlink()

    (directory / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelDirectoryError, match="cannot load"):
        OnnxEmbedder(directory)
    (directory / "model.onnx").unlink()
    with pytest.raises(ModelDirectoryError, match=r"model\.onnx"):
        OnnxEmbedder(directory)


def test_a_prompt_that_fills_the_window_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="no room"):
        OnnxEmbedder(write_tiny_model(tmp_path, prompts={"passage": "p" * 200}))


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"max_windows": 0}, {"window": 0}])
def test_numbers_below_one_are_refused(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        OnnxEmbedder(tmp_path, **arguments)
