"""What is read from a model before any corpus is seen: frequencies, the embedding layer, pseudo-sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from kinprint.server.embed.prior import (
    Unigram,
    embedding_layer,
    inverse_frequency_weights,
    language_scores,
    pseudo_sentences,
    unigram,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny_model import write_tiny_model

VOCABULARY, HIDDEN = 50, 8


def graph_file(path: Path, kind: str) -> NDArray[np.float32]:
    """A graph that looks `input_ids` up in a table of one kind, and the table."""
    table = np.random.default_rng(0).normal(size=(VOCABULARY, HIDDEN)).astype(np.float32)
    initialisers = [numpy_helper.from_array(table, "table")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["word"])]
    if kind == "quantised":
        rows = np.rint(table * 20).astype(np.int8)
        table = rows.astype(np.float32) / 20
        initialisers = [
            numpy_helper.from_array(rows, "table"),
            numpy_helper.from_array(np.array(0.05, np.float32), "step"),
        ]
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["looked_up"]),
            helper.make_node("DequantizeLinear", ["looked_up", "step"], ["word"]),
        ]
    nodes.append(helper.make_node("ReduceMean", ["word", "axis"], ["sentence_embedding"], keepdims=0))
    initialisers.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    integer = TensorProto.INT32 if kind == "int32" else TensorProto.INT64
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("input_ids", integer, ["batch", "sequence"])],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", HIDDEN])],
        initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, str(path), save_as_external_data=kind == "external", size_threshold=0, location="weights")
    return table


@pytest.mark.parametrize("kind", ["float", "int32", "quantised", "external"])
def test_the_embedding_layer_is_read(tmp_path: Path, kind: str) -> None:
    table = graph_file(tmp_path / "model.onnx", kind)
    read = embedding_layer(tmp_path / "model.onnx", VOCABULARY)
    assert read is not None
    expected = (table - table.mean(axis=1, keepdims=True)) / table.std(axis=1, keepdims=True)
    np.testing.assert_allclose(read, expected, atol=2e-3)


def test_graphs_without_one_are_left_alone(tmp_path: Path) -> None:
    assert embedding_layer(write_tiny_model(tmp_path / "tiny") / "model.onnx", 258) is None
    # A tokenizer with more tokens than the table has rows.
    graph_file(tmp_path / "model.onnx", "float")
    assert embedding_layer(tmp_path / "model.onnx", VOCABULARY + 1) is None


def test_frequencies_are_those_that_the_tokenizer_states() -> None:
    document = {
        "added_tokens": [{"id": 0, "special": True}, {"id": 4, "special": True}],
        "model": {"type": "Unigram", "unk_id": 1, "vocab": [["<s>", 0], ["<unk>", 0], ["the", -2.0], ["owl", -9.0]]},
    }
    found = unigram(json.dumps(document).encode())
    np.testing.assert_array_equal(found.special, [True, False, False, False, True])
    np.testing.assert_allclose(found.probabilities[[2, 3]], np.exp([-2.0, -9.0]))
    weights = inverse_frequency_weights(found, 1e-4)
    assert weights[0] == weights[4] == 0
    assert weights[3] > weights[2] > 0
    assert found.ranked[-1] == 3


def test_other_tokenizers_are_taken_to_be_in_order() -> None:
    found = unigram(json.dumps({"model": {"type": "WordPiece", "vocab": {"[CLS]": 0, "the": 1, "owl": 2}}}).encode())
    assert found.probabilities[1] > found.probabilities[2] > 0
    with pytest.raises(ValueError, match="vocabulary"):
        unigram(b"{}")


def test_pseudo_sentences_keep_their_frame_and_language() -> None:
    random = np.random.default_rng(1)
    probabilities = np.full(400, 1e-4)
    probabilities[:10] = 0.01
    tokens = Unigram(probabilities, np.arange(400) == 399)
    # Tokens of even and of odd ids are two languages.
    features = random.normal(size=(400, 16)).astype(np.float32)
    features[:, 0] = np.where(np.arange(400) % 2, 3, -3)
    frames = [np.array([0, 2, 100, 102, 104, 106]), np.array([1, 3, 101, 103, 105, 107])]
    languages = np.array([0, 1])
    scores = language_scores(lambda ids: features[ids], np.ones(400, np.float32), frames, languages)
    args = (tokens, lambda ids: features[ids], scores, frames, languages)
    sentences = pseudo_sentences(200, *args)
    assert len(sentences) == 200
    for i, sentence in enumerate(sentences):
        np.testing.assert_array_equal(sentence[:2], frames[i // 100][:2])
        assert 399 not in sentence
    own = np.mean([np.mean(s % 2 == i // 100) for i, s in enumerate(sentences)])
    assert own > 0.95
    assert all(np.array_equal(a, b) for a, b in zip(sentences, pseudo_sentences(200, *args), strict=True))
