"""The default model's ONNX graph: a BERT encoder with int8 matrices and a 4-bit embedding table.

`input_ids` [batch, sequence], all of one text's length, to `last_hidden_state` [batch, sequence, hidden]; their mean is
the sentence's vector.  There is no attention mask: texts of one length run together.  The output for a text of two
tokens or more (the special ones are two) is the same to the bit in any batch.

An optional input `full_precision`, false unless given, takes the same weights through float32 products instead.  In
windows of very few different tokens ("..........", single characters) a token may or may not become an attention
sink, as rounding will have it; the file's metadata says below how many different tokens a window should run so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from kinprint.server.embed.default_model.calibration import Calibration
from kinprint.server.embed.default_model.float_layers import add_float_layers, quantised_inputs
from kinprint.server.embed.default_model.graph import Graph
from kinprint.server.embed.default_model.int8_layers import add_int8_layers
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.onnx import FEW_TOKENS, FULL_PRECISION
from onnx import TensorProto, helper

#: Windows of fewer different tokens, special ones included, run at full precision.
FULL_PRECISION_BELOW = 9
_OUTPUT = "last_hidden_state"


def build_graph(
    pack: Pack,
    calibration: Calibration,
    *,
    layers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> bytes:
    """The model file's bytes, the same on every machine.

    Args:
        pack: the weights.
        calibration: of the same model.
        layers: how many to run, from the first; all if None.
        progress: called with the fraction done, 0 to 1, after each layer.
    """
    count = layers or pack.config.layers
    main, exact, quick = Graph(pack), Graph(pack), Graph(pack)
    embedded = main.embeddings()
    add_float_layers(exact, embedded, count, "exact", packed=True)
    add_int8_layers(quick, calibration, embedded, count, "quick", progress)
    main.constant(FULL_PRECISION, np.array(False))
    main.add(
        "If",
        [FULL_PRECISION],
        _OUTPUT,
        then_branch=exact.branch("exact_layers", "exact"),
        else_branch=quick.branch("int8_layers", "quick"),
    )
    optional = [helper.make_tensor_value_info(FULL_PRECISION, TensorProto.BOOL, [])]
    model = main.model([_OUTPUT], optional, {FEW_TOKENS: str(FULL_PRECISION_BELOW)})
    return bytes(model.SerializeToString(deterministic=True))


def build_float_graph(pack: Pack, *, layers: int | None = None, tapped: bool = False) -> bytes:
    """The same encoder in float32 throughout, to compare with.

    Args:
        pack: the weights.
        layers: as for `build_graph`.
        tapped: also give out what goes into matrix products, the tensors of `float_layers.quantised_inputs`.
    """
    count = layers or pack.config.layers
    graph = Graph(pack)
    add_float_layers(graph, graph.embeddings(), count, _OUTPUT, packed=False)
    taps = [tensor for _, tensor in quantised_inputs(count)] if tapped else []
    return bytes(graph.model([_OUTPUT, *dict.fromkeys(taps)]).SerializeToString(deterministic=True))
