"""The default model's ONNX graph: a BERT encoder with int8 matrices and a 4-bit embedding table.

`input_ids` [batch, sequence], all of one text's length, to `last_hidden_state` [batch, sequence, hidden]; their mean is
the sentence's vector.  There is no attention mask: texts of one length run together.  The output for a text of two
tokens or more (the special ones are two) is the same to the bit in any batch.

An optional input `full_precision`, false unless given, takes the same weights through float32 products instead.  In
windows of very few different tokens ("..........", single characters) a token may or may not become an attention
sink, as rounding will have it, and so it is where nothing but emoji stands between spaces.  The file's metadata says
below how many different tokens, pictographs not counted, a window should run so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from kinprint.server.embed.default_model.calibration import Calibration
from kinprint.server.embed.default_model.float_layers import add_float_layers, quantised_inputs
from kinprint.server.embed.default_model.graph import Graph
from kinprint.server.embed.default_model.int8_layers import add_int8_layers
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.onnx import FEW_TOKENS, FULL_PRECISION, UNCOUNTED_TOKENS
from onnx import TensorProto, helper

#: Windows of fewer different tokens, special ones included and pictographs left out, run at full precision.
FULL_PRECISION_BELOW = 9
#: Arrows, mathematical and technical signs, boxes, dingbats; emoji.
_PICTOGRAPHS = (range(0x2190, 0x2C00), range(0x1F000, 0x1FB00))
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
    metadata = {
        FEW_TOKENS: str(FULL_PRECISION_BELOW),
        UNCOUNTED_TOKENS: " ".join(str(index) for index, piece in enumerate(pack.pieces) if _is_pictograph(piece)),
    }
    model = main.model([_OUTPUT], optional, metadata)
    return bytes(model.SerializeToString(deterministic=True))


def _is_pictograph(piece: str) -> bool:
    # SentencePiece writes a space as a block element.
    text = piece.replace("\u2581", "")
    return any(ord(character) in block for character in text for block in _PICTOGRAPHS)


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
