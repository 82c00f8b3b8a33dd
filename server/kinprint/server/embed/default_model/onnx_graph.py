"""The default model's ONNX graph: a BERT encoder with int8 matrices and a 4-bit embedding table.

Matrix products run as dynamic quantisation does them: symmetric int8 weights with one scale per output
channel, uint8 activations with one scale per tensor, int32 sums. Attention is ONNX Runtime's fused
`MultiHeadAttention`, the embedding lookup its `GatherBlockQuantized`, which reads the pack's 4-bit blocks as
they are. Outputs: `last_hidden_state` [batch, sequence, hidden] and `sentence_embedding` [batch, hidden], the
mean over the attention mask at unit norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from kinprint.server.embed.default_model.pack import Config, Pack
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_OPSET = 21
_IR_VERSION = 10
_MICROSOFT = "com.microsoft"
_BLOCK = 32


def quantise_columns(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per column: `weights` [inputs, outputs] is about `q * scales`, with scales [outputs]."""
    scales = np.abs(weights).max(axis=0) / np.float32(127)
    scales[scales == 0] = 1
    quantised = np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)
    return quantised, scales.astype(np.float32)


def build_graph(pack: Pack, progress: Callable[[float], None] | None = None) -> bytes:
    """The model file's bytes, the same on every machine.

    Args:
        pack: the weights.
        progress: called with the fraction done, 0 to 1, after each layer.
    """
    graph = _Graph(pack)
    hidden = graph.embeddings()
    for layer in range(pack.config.layers):
        hidden = graph.layer(layer, hidden)
        if progress is not None:
            progress((layer + 1) / pack.config.layers)
    graph.pool(hidden)
    return bytes(graph.model().SerializeToString(deterministic=True))


class _Graph:
    """Nodes and initialisers in the order in which they are added; names are fixed, so bytes are too."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._config: Config = pack.config
        self._nodes: list[NodeProto] = []
        self._initialisers: list[TensorProto] = []
        for index in (0, 1, -1):
            self._constant(f"axis_{index}", np.array([index], np.int64))
        self._constant("thirds", np.array([self._config.hidden] * 3, np.int64))
        self._constant("one", np.array(1, np.float32))

    def embeddings(self) -> str:
        """Word plus position plus type embedding, normalised. Returns the tensor's name."""
        config = self._config
        scales, nibbles = self._pack.blocks("emb.word")
        signed = nibbles ^ 8  # nibble - 8 in four-bit two's complement
        packed = (signed[:, 0::2] | (signed[:, 1::2] << 4)).astype(np.uint8)
        self._initialisers.append(
            helper.make_tensor(
                "words", TensorProto.INT4, [config.vocabulary, config.hidden], packed.tobytes(), raw=True
            )
        )
        self._constant("word_scales", scales.reshape(config.vocabulary, -1))
        self._add(
            "GatherBlockQuantized",
            ["words", "input_ids", "word_scales"],
            "word",
            domain=_MICROSOFT,
            block_size=_BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )
        # Single texts: every token has type 0, so that row is added to the positions once and for all.
        types = self._pack.float32("emb.type").reshape(config.token_types, config.hidden)
        positions = self._pack.float32("emb.pos").reshape(config.positions, config.hidden)
        self._constant("positions", positions + types[0])
        self._add("Shape", ["input_ids"], "length", start=1, end=2)
        self._add("Slice", ["positions", "axis_0", "length", "axis_0"], "position")
        self._add("Add", ["word", "position"], "embedding")
        self._add("Cast", ["attention_mask"], "mask_int32", to=TensorProto.INT32)
        self._add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
        return self._layer_norm("embedding", "emb.ln", "embedding_norm")

    def layer(self, index: int, hidden: str) -> str:
        """One transformer layer (post-norm, exact GELU). Returns its output's name."""
        config, at = self._config, f"l{index}."
        self._linear(hidden, [at + "q", at + "k", at + "v"], config.hidden, at + "qkv")
        self._split(at + "qkv", [at + "query", at + "key", at + "value"])
        self._add(
            "MultiHeadAttention",
            [at + "query", at + "key", at + "value", "", "mask_int32"],
            at + "context",
            domain=_MICROSOFT,
            num_heads=config.heads,
        )
        self._linear(at + "context", [at + "ao"], config.hidden, at + "attended")
        self._add("Add", [hidden, at + "attended"], at + "attention_residual")
        inner = self._layer_norm(at + "attention_residual", at + "aln", at + "attention_norm")
        self._linear(inner, [at + "fi"], config.hidden, at + "expanded")
        self._add("Gelu", [at + "expanded"], at + "activated")
        self._linear(at + "activated", [at + "fo"], config.feed_forward, at + "contracted")
        self._add("Add", [inner, at + "contracted"], at + "residual")
        last = index == config.layers - 1
        return self._layer_norm(at + "residual", at + "oln", "last_hidden_state" if last else at + "output")

    def pool(self, hidden: str) -> None:
        """Mean over the attention mask, then unit norm."""
        self._add("Unsqueeze", ["mask_float", "axis_-1"], "mask_column")
        self._add("Mul", [hidden, "mask_column"], "masked")
        self._add("ReduceSum", ["masked", "axis_1"], "total", keepdims=0)
        self._add("ReduceSum", ["mask_float", "axis_1"], "tokens", keepdims=1)
        self._add("Max", ["tokens", "one"], "divisor")
        self._add("Div", ["total", "divisor"], "mean")
        self._add("LpNormalization", ["mean"], "sentence_embedding", axis=1, p=2)

    def model(self) -> ModelProto:
        hidden = self._config.hidden
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ]
        outputs = [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden]),
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden]),
        ]
        graph = helper.make_graph(self._nodes, "multilingual-e5-small", inputs, outputs, self._initialisers)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)],
            ir_version=_IR_VERSION,
            producer_name="kinprint",
        )

    def _constant(self, name: str, value: NDArray[Any]) -> None:
        self._initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))

    def _add(self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], name=output + "_node", domain=domain, **attributes))

    def _split(self, source: str, outputs: Sequence[str]) -> None:
        self._nodes.append(helper.make_node("Split", [source, "thirds"], outputs, name=source + "_split", axis=-1))

    def _layer_norm(self, source: str, weights: str, output: str) -> str:
        self._constant(output + "_weight", self._pack.float32(weights + ".w"))
        self._constant(output + "_bias", self._pack.float32(weights + ".b"))
        self._add(
            "LayerNormalization",
            [source, output + "_weight", output + "_bias"],
            output,
            axis=-1,
            epsilon=self._config.layer_norm_epsilon,
        )
        return output

    def _linear(self, source: str, layers: Sequence[str], inputs: int, output: str) -> None:
        """`source` times the layers' weights side by side, plus their biases."""
        weights = np.concatenate([self._pack.matrix(layer + ".w", inputs) for layer in layers]).T
        quantised, scales = quantise_columns(weights)
        self._constant(output + "_weight", quantised)
        self._constant(output + "_scale", scales)
        self._constant(output + "_zero", np.zeros(len(scales), np.int8))
        self._constant(output + "_bias", np.concatenate([self._pack.float32(layer + ".b") for layer in layers]))
        self._nodes.append(
            helper.make_node(
                "DynamicQuantizeLinear",
                [source],
                [output + "_input", output + "_input_scale", output + "_input_zero"],
                name=output + "_quantise",
            )
        )
        self._add(
            "MatMulInteger",
            [output + "_input", output + "_weight", output + "_input_zero", output + "_zero"],
            output + "_sum",
        )
        self._add("Cast", [output + "_sum"], output + "_float", to=TensorProto.FLOAT)
        self._add("Mul", [output + "_input_scale", output + "_scale"], output + "_rescale")
        self._add("Mul", [output + "_float", output + "_rescale"], output + "_product")
        self._add("Add", [output + "_product", output + "_bias"], output)
