"""What every form of the default model's graph is made of: nodes, constants, the embedding layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from kinprint.server.embed.default_model.pack import Config, Pack
from kinprint.server.embed.prior import WORDS_KEY
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
_OPSET = 23
_IR_VERSION = 11
_BLOCK = 32
#: The tensor that holds the words' own embeddings, float32 [batch, sequence, hidden].
WORDS = "word"


class Graph:
    """Nodes and initialisers in the order in which they are added; names are fixed, so bytes are too."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.config: Config = pack.config
        self.nodes: list[NodeProto] = []
        self.initialisers: list[TensorProto] = []
        self._named: set[str] = set()

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initialiser, added unless one of this name is there. Returns its name."""
        if name not in self._named:
            self._named.add(name)
            # `ascontiguousarray` would make a vector of a scalar.
            self.initialisers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def index(self, *values: int) -> str:
        """An int64 constant [len(values)]. Returns its name."""
        return self.constant("int_" + "_".join(map(str, values)), np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A float32 scalar. Returns its name."""
        return self.constant(f"float_{value!r}", np.array(value, np.float32))

    def add(self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        """A node of one output. Returns the output's name."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output + "_node", domain=domain, **attributes))
        return output

    def once(self, op: str, inputs: Sequence[str], output: str) -> str:
        """A node without attributes, added unless one of this output is there. Returns the output's name."""
        if output not in self._named:
            self._named.add(output)
            self.add(op, inputs, output)
        return output

    def layer_norm(self, source: str, weights: str, output: str, shift: NDArray[np.float32] | None = None) -> str:
        """Layer normalisation by the pack's `weights`, plus `shift` [hidden] if there is one. Returns the output."""
        bias = self.pack.float32(weights + ".b")
        return self.add(
            "LayerNormalization",
            [
                source,
                self.constant(output + "_weight", self.pack.float32(weights + ".w")),
                self.constant(output + "_bias", bias if shift is None else bias + shift),
            ],
            output,
            axis=-1,
            epsilon=self.config.layer_norm_epsilon,
        )

    def embeddings(self) -> str:
        """Word plus position plus type embedding of `input_ids`, not yet normalised. Returns the tensor's name.

        The words lie in the pack's 4-bit blocks and are unpacked here: `GatherBlockQuantized` does the same at
        several times the cost.
        """
        config, blocks = self.config, self.config.hidden // _BLOCK
        scales, nibbles = self.pack.blocks("emb.word")
        nibbles = nibbles.reshape(config.vocabulary, blocks, _BLOCK)
        half = _BLOCK // 2
        self.constant("words", nibbles[..., :half] | (nibbles[..., half:] << 4))
        # The pack's scales are float16 themselves.
        self.constant("word_scales", scales.reshape(config.vocabulary, blocks, 1).astype(np.float16))
        self.add("Gather", ["words", "input_ids"], "word_bytes")
        self.add("BitwiseAnd", ["word_bytes", self.constant("fifteen", np.array(15, np.uint8))], "word_low")
        self.add(
            "BitShift", ["word_bytes", self.constant("four", np.array(4, np.uint8))], "word_high", direction="RIGHT"
        )
        self.add("Concat", ["word_low", "word_high"], "word_nibbles", axis=-1)
        self.add("Cast", ["word_nibbles"], "word_steps_from_0", to=TensorProto.FLOAT)
        self.add("Sub", ["word_steps_from_0", self.number(8.0)], "word_steps")
        self.add("Gather", ["word_scales", "input_ids"], "word_scale_halves")
        self.add("Cast", ["word_scale_halves"], "word_scale", to=TensorProto.FLOAT)
        self.add("Mul", ["word_steps", "word_scale"], "word_blocks")
        self.add("Reshape", ["word_blocks", self.index(0, 0, config.hidden)], WORDS)
        # Single texts: every token has type 0, so that row is added to the positions once and for all.
        types = self.pack.float32("emb.type").reshape(config.token_types, config.hidden)
        positions = self.pack.float32("emb.pos").reshape(config.positions, config.hidden)
        self.constant("positions", positions + types[0])
        self.add("Shape", ["input_ids"], "length", start=1, end=2)
        self.add("Slice", ["positions", self.index(0), "length", self.index(0)], "position")
        return self.add("Add", [WORDS, "position"], "embedding")

    def branch(self, name: str, output: str) -> GraphProto:
        """The graph so far as a branch of an `If`, without inputs of its own."""
        return helper.make_graph(self.nodes, name, [], [self._hidden(output)], self.initialisers)

    def model(
        self,
        outputs: Sequence[str],
        optional: Sequence[ValueInfoProto] = (),
        metadata: dict[str, str] | None = None,
    ) -> ModelProto:
        """The model: `input_ids` [batch, sequence] to `outputs` [batch, sequence, ...].

        Args:
            outputs: names of tensors.
            optional: further inputs, whose values if not given are initialisers.
            metadata: to go with the file.
        """
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
        graph = helper.make_graph(
            self.nodes,
            "multilingual-e5-small",
            [ids, *optional],
            [self._hidden(name) for name in outputs],
            self.initialisers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=_IR_VERSION,
            producer_name="kinprint",
        )
        helper.set_model_props(model, {WORDS_KEY: WORDS, **(metadata or {})})
        return model

    def _hidden(self, name: str) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "sequence", None])
