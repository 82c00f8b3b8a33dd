"""The encoder's layers with exact products: weights as floats, or as the pack's 4-bit blocks."""

from __future__ import annotations

import numpy as np
from kinprint.server.embed.default_model.graph import MICROSOFT, Graph
from numpy.typing import NDArray

_BLOCK = 32
#: MatMulNBits: products in float32.
_FLOAT_PRODUCTS = 1


def quantised_inputs(layers: int) -> list[tuple[str, str]]:
    """Inputs of the matrix products that `add_float_layers` adds: what calibrations call each, and its tensor."""
    hidden = ["embedding_norm", *(f"l{layer}.output" for layer in range(layers))]
    named = []
    for layer in range(layers):
        at = f"l{layer}."
        named += [
            (at + "qkv", hidden[layer]),
            (at + "attended", at + "context"),
            (at + "expanded", at + "attention_norm"),
            (at + "contracted", at + "activated"),
        ]
    return named


def add_float_layers(graph: Graph, source: str, layers: int, output: str, *, packed: bool) -> str:
    """Layers of a BERT encoder (post-norm, exact GELU) on the tensor `source`, not yet normalised.

    Args:
        graph: what they are added to.
        source: name of the embeddings.
        layers: how many, from the first.
        output: name of the last one's output.
        packed: leave the weights in 4-bit blocks, which are unpacked at each use; else as float32.

    Returns:
        `output`.
    """
    hidden = graph.layer_norm(source, "emb.ln", "embedding_norm")
    for layer in range(layers):
        last = layer == layers - 1
        hidden = _layer(graph, f"l{layer}.", hidden, output if last else f"l{layer}.output", packed)
    return hidden


def _layer(graph: Graph, at: str, hidden: str, output: str, packed: bool) -> str:
    config = graph.config
    for name in ("q", "k", "v"):
        _linear(graph, hidden, at + name, config.hidden, at + name, packed)
    graph.add(
        "Attention",
        [at + "q", at + "k", at + "v"],
        at + "context",
        q_num_heads=config.heads,
        kv_num_heads=config.heads,
    )
    _linear(graph, at + "context", at + "ao", config.hidden, at + "attended", packed)
    graph.add("Add", [hidden, at + "attended"], at + "attention_residual")
    inner = graph.layer_norm(at + "attention_residual", at + "aln", at + "attention_norm")
    _linear(graph, inner, at + "fi", config.hidden, at + "expanded", packed)
    graph.add("Gelu", [at + "expanded"], at + "activated")
    _linear(graph, at + "activated", at + "fo", config.feed_forward, at + "contracted", packed)
    graph.add("Add", [inner, at + "contracted"], at + "residual")
    return graph.layer_norm(at + "residual", at + "oln", output)


def _linear(graph: Graph, source: str, name: str, inputs: int, output: str, packed: bool) -> None:
    bias = graph.constant(output + "_bias", graph.pack.float32(name + ".b"))
    if not packed:
        weights = graph.constant(output + "_weight", graph.pack.matrix(name + ".w", inputs).T)
        graph.add("MatMul", [source, weights], output + "_product")
        graph.add("Add", [output + "_product", bias], output)
        return
    scales, nibbles = graph.pack.blocks(name + ".w")
    outputs = len(nibbles) * _BLOCK // inputs
    weights = graph.constant(output + "_weight", pairs(nibbles).reshape(outputs, inputs // _BLOCK, _BLOCK // 2))
    graph.add(
        "MatMulNBits",
        [source, weights, graph.constant(output + "_scale", scales), "", "", bias],
        output,
        domain=MICROSOFT,
        K=inputs,
        N=outputs,
        bits=4,
        block_size=_BLOCK,
        accuracy_level=_FLOAT_PRODUCTS,
    )


def pairs(nibbles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Nibbles uint8 [n, 32] as bytes [n, 16], each holding two neighbours, the earlier in its low half."""
    return np.asarray(nibbles[:, 0::2] | (nibbles[:, 1::2] << 4), np.uint8)
