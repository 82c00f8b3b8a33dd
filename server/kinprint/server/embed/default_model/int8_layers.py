"""The encoder's layers with 8-bit matrix products.

Weights are symmetric int8, one scale per output channel.  What they are multiplied with is uint8 around 128:

- Where a channel's values are known to stay within bounds (outputs of layer normalisation, averages of values in
  attention) by a fixed scale and centre per input channel.  Scales are folded into the product's weights; centres into
  the normalisation's bias, the value projection's bias and what is added after the product, so they cost nothing.
- Where they are not (after GELU, where single neurons reach values that no calibration has seen) by one scale per row,
  that is per token, measured as it comes.  GELU gives nothing below -0.17, so most of the 256 steps go to the
  positive side.

Neither depends on other rows, so a text's vector does not depend on its company, and no value is clipped that
calibration has not seen by far.  Per-tensor dynamic quantisation, which ONNX tools offer, fails in both.

Scaling input channels in the weights (as in SmoothQuant, Xiao et al., ICML 2023) lets a few channels dominate the
weights' steps: those on which the first token's huge values lie (Sun et al., Massive Activations in Large Language
Models, COLM 2024).  Such a channel is handed in several times, each time with its share of the weight, as in
outlier channel splitting (Zhao et al., ICML 2019), at the cost of a few more columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from kinprint.server.embed.default_model.calibration import Calibration, Range
from kinprint.server.embed.default_model.graph import MICROSOFT, Graph
from numpy.typing import NDArray

#: Values beyond what calibration has seen by this factor are still represented.
_MARGIN = 1.1
_STEPS = 127
_MIDDLE = 128
#: The least value of GELU is -0.16997.
_GELU_LEAST = 0.17
_AT_ONCE = 4


def quantise_columns(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per column: `weights` [inputs, outputs] is about `q * scales`, with scales [outputs]."""
    scales = np.abs(weights).max(axis=0) / np.float32(127)
    scales[scales == 0] = 1
    quantised = np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)
    return quantised, scales.astype(np.float32)


def add_int8_layers(
    graph: Graph,
    calibration: Calibration,
    source: str,
    layers: int,
    output: str,
    progress: Callable[[float], None] | None = None,
) -> str:
    """Layers of a BERT encoder (post-norm, exact GELU) on the tensor `source`, not yet normalised.

    Args:
        graph: what they are added to.
        calibration: of the encoder.
        source: name of the embeddings.
        layers: how many, from the first.
        output: name of the last one's output.
        progress: called with the fraction done after each layer.

    Returns:
        `output`.
    """
    coder = _Layers(graph, calibration, source)
    hidden = coder.normalised(source, "emb.ln", "embedding_norm", coder.range("l0.qkv"))
    for layer in range(layers):
        last = layer == layers - 1
        following = None if last else coder.range(f"l{layer + 1}.qkv")
        hidden = coder.layer(layer, hidden, output if last else f"l{layer}.output", following)
        if progress is not None:
            progress((layer + 1) / layers)
    return hidden


class _Layers:
    def __init__(self, graph: Graph, calibration: Calibration, source: str) -> None:
        self._graph = graph
        self._calibration = calibration
        self._step = graph.number(1 / _STEPS)
        self._middle = graph.constant("middle", np.array(_MIDDLE, np.uint8))
        self._zero = graph.constant("weight_zero", np.array(0, np.int8))
        self._shape = graph.once("Shape", [source], "shape")

    def range(self, name: str) -> Range:
        """Where the named product's input lies, the margin added."""
        found = self._calibration.ranges[name]
        return Range(found.centre, found.radius * np.float32(_MARGIN), found.copies)

    def normalised(self, source: str, weights: str, output: str, centred: Range | None) -> str:
        """Layer normalisation whose output is less by the centre of `centred`, if there is one."""
        return self._graph.layer_norm(source, weights, output, None if centred is None else -centred.centre)

    def layer(self, index: int, hidden: str, output: str, following: Range | None) -> str:
        """One layer; `hidden` comes centred for it, its output is centred for the `following` product."""
        graph, at = self._graph, f"l{index}."
        size = graph.config.hidden
        incoming, context, inner = (self.range(at + name) for name in ("qkv", "attended", "expanded"))

        codes = self._scaled_codes(hidden, incoming, at + "qkv")
        for name in ("q", "k", "v"):
            weights, bias = self._weights(at + name, size)
            bias = bias + _product(incoming.centre, weights)
            if name == "v":
                # Attention averages values: what is done to every value is done to the averages.
                weights = weights / context.radius
                bias = (bias - context.centre) / context.radius
            self._product(codes, _spread(weights, incoming), bias, at + name)
        graph.add(
            "Attention",
            [at + "q", at + "k", at + "v"],
            at + "context",
            q_num_heads=graph.config.heads,
            kv_num_heads=graph.config.heads,
        )

        codes = self._codes(at + "context", context, at + "attended")
        weights, bias = self._weights(at + "ao", size)
        # `hidden` came without its centre.
        bias = bias + _product(context.centre, weights) + incoming.centre
        self._product(codes, _spread(weights, context), bias, at + "attended")
        graph.add("Add", [hidden, at + "attended"], at + "attention_residual")
        normal = self.normalised(at + "attention_residual", at + "aln", at + "attention_norm", inner)

        codes = self._scaled_codes(normal, inner, at + "expanded")
        weights, bias = self._weights(at + "fi", size)
        bias = bias + _product(inner.centre, weights)
        self._product(codes, _spread(weights, inner), bias, at + "expanded")
        graph.add("Gelu", [at + "expanded"], at + "activated")

        weights, bias = self._weights(at + "fo", graph.config.feed_forward)
        self._row_product(at + "activated", weights, float(self._calibration.floors[index]), at + "contracted")
        shift = graph.constant(at + "contracted_bias", bias + inner.centre)
        graph.add("Add", [at + "contracted", shift], at + "contracted_shifted")
        graph.add("Add", [normal, at + "contracted_shifted"], at + "residual")
        return self.normalised(at + "residual", at + "oln", output, following)

    def _weights(self, name: str, inputs: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A linear layer's weights [inputs, outputs] and bias [outputs]."""
        pack = self._graph.pack
        return pack.matrix(name + ".w", inputs).T, pack.float32(name + ".b")

    def _scaled_codes(self, source: str, within: Range, name: str) -> str:
        """Codes of values that come centred but not scaled."""
        factors = self._graph.constant(name + "_factors", np.float32(1) / within.radius)
        return self._codes(self._graph.add("Mul", [source, factors], name + "_scaled"), within, name)

    def _codes(self, scaled: str, within: Range, name: str) -> str:
        """Codes uint8 [.., channels and copies] of values that come centred and scaled, within +-1."""
        graph = self._graph
        graph.add("QuantizeLinear", [scaled, self._step, self._middle], name + "_codes")
        extra = np.repeat(np.arange(len(within.copies)), within.copies - 1)
        if not len(extra):
            return name + "_codes"
        places = graph.constant(name + "_copied", extra.astype(np.int64))
        graph.add("Gather", [name + "_codes", places], name + "_copies", axis=2)
        return graph.add("Concat", [name + "_codes", name + "_copies"], name + "_all_codes", axis=2)

    def _product(self, codes: str, weights: NDArray[np.float32], bias: NDArray[np.float32], output: str) -> None:
        """Codes of scaled values times `weights`, plus `bias`."""
        graph = self._graph
        quantised, scales = quantise_columns(weights)
        inputs = [
            codes,
            graph.constant(output + "_weight", quantised),
            self._step,
            graph.constant(output + "_scale", scales),
            self._middle,
            self._zero,
            graph.constant(output + "_bias", bias),
        ]
        graph.add("MatMulIntegerToFloat", inputs, output, domain=MICROSOFT)

    def _row_product(self, source: str, weights: NDArray[np.float32], floor: float, output: str) -> None:
        """Outputs of GELU times `weights`, by one scale per row."""
        graph = self._graph
        # A row's largest value, at least `floor`, is 255 and -0.17 is 0 or more.
        zero = int(np.ceil(255 * _GELU_LEAST / (floor + _GELU_LEAST)))
        middle = graph.constant(f"uint8_{zero}", np.array(zero, np.uint8))
        rows = output + "_rows"
        graph.add("Reshape", [source, graph.index(-1, len(weights))], rows)
        graph.add("ReduceMax", [rows, graph.index(-1)], output + "_largest", keepdims=0)
        graph.add("Max", [output + "_largest", graph.number(floor)], output + "_reach")
        graph.add("Mul", [output + "_reach", graph.number(1 / (255 - zero))], output + "_steps")
        # A scale for each row: `axis` is that of the rows, so no pass over the values is needed to scale them.
        zeros = graph.once("Expand", [middle, self._row_count(output + "_steps")], f"zeros_{zero}")
        graph.add("QuantizeLinear", [rows, output + "_steps", zeros], output + "_codes", axis=0)
        quantised, scales = quantise_columns(weights)
        inputs = [
            output + "_codes",
            graph.constant(output + "_weight", quantised),
            graph.number(1.0),
            graph.constant(output + "_scale", scales),
            middle,
            self._zero,
        ]
        graph.add("MatMulIntegerToFloat", inputs, output + "_in_steps", domain=MICROSOFT)
        graph.add("Unsqueeze", [output + "_steps", graph.index(1)], output + "_step_column")
        graph.add("Mul", [output + "_in_steps", output + "_step_column"], output + "_product")
        graph.add("Reshape", [output + "_product", self._shape], output)

    def _row_count(self, row_values: str) -> str:
        """How many rows there are, int64 [1]; `row_values` has one number for each."""
        return self._graph.once("Shape", [row_values], "row_count")


def _product(row: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """`row @ weights` to the same bits on every machine: a BLAS library adds in an order of its own."""
    terms = row.astype(np.float64)[:, np.newaxis] * weights
    return np.asarray(np.add.reduce(terms, axis=0), np.float32)


def _spread(weights: NDArray[np.float32], within: Range) -> NDArray[np.float32]:
    """Weights for codes of values scaled by the radius, with rows for copies below: each bears its share."""
    shares = weights * (within.radius / within.copies.astype(np.float32))[:, np.newaxis]
    return np.concatenate((shares, np.repeat(shares, within.copies - 1, axis=0)))


def choose_copies(weights: NDArray[np.float32], radius: NDArray[np.float32], most: float) -> NDArray[np.int64]:
    """By how many columns each channel is to be represented.

    Args:
        weights: float32 [inputs, outputs] of the product that takes the channels in.
        radius: float32 [inputs].
        most: a column's weights, scaled by the radius, are at most this many times as strong as the median channel's.

    Returns:
        int64 [inputs], at least 1.  The sum is a multiple of 4, which is how many columns a processor multiplies at
        once; what is left over goes to the strongest.
    """
    scaled = weights * radius[:, np.newaxis]
    strength = np.sqrt((scaled.astype(np.float64) ** 2).sum(axis=1))
    copies: NDArray[np.int64] = np.maximum(1, np.ceil(strength / (most * np.median(strength)))).astype(np.int64)
    while copies.sum() % _AT_ONCE:
        copies[np.argmax(strength / copies)] += 1
    return copies
