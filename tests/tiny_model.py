"""A tiny deterministic ONNX sentence-embedding model, for tests that need an embedder but not a good one.

The tokenizer knows the 256 byte values only (byte-level, every text in every language has tokens). The graph
hashes each token together with its two predecessors into an embedding table, so texts that share words share
rows of the table and their vectors are similar. A few hundred kilobytes at most, milliseconds to load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_BUCKETS = 1021
_SPECIAL = ("<s>", "</s>")


def write_tiny_model(
    directory: Path,
    *,
    dim: int = 32,
    pooling: Literal["mean", "cls"] = "mean",
    prompts: Mapping[str, str] | None = None,
    default_prompt_name: str | None = None,
    output: Literal["last_hidden_state", "sentence_embedding"] = "last_hidden_state",
    token_type_ids: bool = False,
    position_ids: bool = False,
    integer: Literal["int64", "int32"] = "int64",
    model_file: str = "model.onnx",
    max_seq_length: int | None = 128,
    company: bool = False,
    seed: int = 0,
) -> Path:
    """Write the model into `directory` in the sentence-transformers layout and return `directory`.

    Args:
        directory: created if missing.
        dim: dimension of the vectors.
        pooling: written to `1_Pooling/config.json`; with `cls` the graph puts the text's mean on token 0.
        prompts: written to `config_sentence_transformers.json` when given.
        default_prompt_name: written beside them.
        output: per-token vectors to be pooled by the loader, or a vector pooled in the graph.
        token_type_ids: the graph takes this input too.
        position_ids: the graph takes this input too.
        integer: type of the inputs.
        model_file: path of the graph inside the directory.
        max_seq_length: written to `sentence_bert_config.json`; None writes no such file.
        company: round to steps of the whole batch's range, so that a text's vector depends on its company.
        seed: of the embedding table; other seeds give other models.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / model_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_graph(dim, pooling, output, token_type_ids, position_ids, integer, company, seed))
    _write_json(directory / "tokenizer.json", _tokenizer())
    _write_json(
        directory / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": dim,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
    )
    _write_json(
        directory / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
    )
    if max_seq_length is not None:
        _write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_seq_length})
    if prompts is not None:
        _write_json(
            directory / "config_sentence_transformers.json",
            {"prompts": dict(prompts), "default_prompt_name": default_prompt_name},
        )
    return directory


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _byte_alphabet() -> list[str]:
    """The 256 printable characters by which byte-level tokenizers write the byte values (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + rank) for rank, byte in enumerate(others)}
    return [characters[byte] for byte in range(256)]


def _tokenizer() -> dict[str, Any]:
    vocabulary = {token: index for index, token in enumerate([*_SPECIAL, *_byte_alphabet()])}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, token in enumerate(_SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {
                token: {"id": token, "ids": [index], "tokens": [token]} for index, token in enumerate(_SPECIAL)
            },
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": None, "fuse_unk": False},
    }


def _graph(
    dim: int,
    pooling: str,
    output: str,
    token_type_ids: bool,
    position_ids: bool,
    integer: str,
    company: bool,
    seed: int,
) -> bytes:
    integer_type = TensorProto.INT64 if integer == "int64" else TensorProto.INT32
    names = ["input_ids", "attention_mask"]
    names += ["token_type_ids"] * token_type_ids + ["position_ids"] * position_ids
    table = np.random.default_rng(seed).standard_normal((_BUCKETS, dim), dtype=np.float32)
    constants = {
        "table": table,
        "buckets": np.array(_BUCKETS, np.int64),
        "p1": np.array(31, np.int64),
        "p2": np.array(961, np.int64),
        "pads1": np.array([0, 1, 0, 0], np.int64),
        "pads2": np.array([0, 2, 0, 0], np.int64),
        "zero1": np.array([0], np.int64),
        "one1": np.array([1], np.int64),
        "minus1": np.array([-1], np.int64),
        "tiny": np.array(1e-3, np.float32),
    }
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], result: str, others: Sequence[str] = (), **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [result, *others], **attributes))
        return result

    add("Cast", ["input_ids"], "ids", to=TensorProto.INT64)
    add("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    add("Shape", ["ids"], "length", start=1, end=2)
    for shift in (1, 2):
        add("Pad", ["ids", f"pads{shift}"], f"padded{shift}")
        add("Slice", [f"padded{shift}", "zero1", "length", "one1"], f"before{shift}")
        add("Mul", [f"before{shift}", f"p{shift}"], f"term{shift}")
    add("Add", ["ids", "term1"], "sum1")
    add("Add", ["sum1", "term2"], "sum2")
    add("Mod", ["sum2", "buckets"], "bucket")
    hidden = add("Gather", ["table", "bucket"], "hidden0")
    for name in names[2:]:
        # Shifts the vectors a little, so that a loader which feeds other values is seen.
        add("Cast", [name], f"{name}_f", to=TensorProto.FLOAT)
        add("Mul", [f"{name}_f", "tiny"], f"{name}_small")
        add("Unsqueeze", [f"{name}_small", "minus1"], f"{name}_column")
        hidden = add("Add", [hidden, f"{name}_column"], f"hidden_{name}")
    if company:
        add("DynamicQuantizeLinear", [hidden], "codes", others=["code_scale", "code_zero"])
        hidden = add("DequantizeLinear", ["codes", "code_scale", "code_zero"], "coarse")
    add("Unsqueeze", ["mask", "minus1"], "mask_column")
    add("Mul", [hidden, "mask_column"], "masked")
    add("ReduceSum", ["masked", "one1"], "total", keepdims=0)
    add("ReduceSum", ["mask", "one1"], "count", keepdims=1)
    add("Div", ["total", "count"], "mean")
    if output == "sentence_embedding":
        add("LpNormalization", ["mean"], "sentence_embedding", axis=1, p=2)
        result = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dim])
    else:
        if pooling == "cls":
            # Token 0 carries the mean, every other token its own row: only cls pooling gives the mean.
            add("Unsqueeze", ["mean", "one1"], "first")
            add("Slice", [hidden, "one1", "length", "one1"], "rest")
            add("Concat", ["first", "rest"], "last_hidden_state", axis=1)
        else:
            add("Identity", [hidden], "last_hidden_state")
        result = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", dim])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, integer_type, ["batch", "sequence"]) for name in names],
        [result],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="kinprint-tests"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
