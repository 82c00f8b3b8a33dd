"""What the rest of the server needs from an embedding model.

`Embedder` is the seam: `kinprint.server.embed.onnx.OnnxEmbedder` implements it, and whatever else
implements it must pass the same contract (unit vectors, one vector per text, order kept, thread-safe).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Role = Literal["query", "passage"]
"""Which prompt precedes the text. Symmetric models give both roles the same prompt or none."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlan:
    """How one text is cut into windows before inference.

    Attributes:
        windows: the model's input, one int64 array [tokens] per window, prompt and special tokens included.
        weights: float32 [windows], the number of text tokens in each window; they weigh the pooled mean.
        tokens: number of tokens of the whole text, prompt and special tokens not counted.
        covered: how many of those lie in at least one window.
    """

    windows: tuple[NDArray[np.int64], ...]
    weights: NDArray[np.float32]
    tokens: int
    covered: int

    @property
    def cut(self) -> bool:
        """True when some tokens of the text lie in no window, so the vector does not reflect them."""
        return self.covered < self.tokens


class Embedder(Protocol):
    """Maps texts to unit vectors; cosine is the dot product. Implementations are thread-safe."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256; two embedders with one digest give comparable vectors."""

    @property
    def max_tokens(self) -> int:
        """Longest input of the model in tokens, prompt and special tokens included."""

    def plan(self, text: str, role: Role = "passage") -> TokenPlan:
        """Tokenise `text` and cut it into windows, without inference."""

    def plan_many(self, texts: Sequence[str], role: Role = "passage") -> list[TokenPlan]:
        """`plan` of each text, at less cost."""

    def groups(self, windows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Which windows `run_windows` takes together: places int64, each in one group.

        A window's vector is the same whatever else is in its group.
        """

    def run_windows(self, windows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of the windows of a group."""

    def run(self, plan: TokenPlan) -> NDArray[np.float32]:
        """Unit vector float32 [dim] of a planned text."""

    def run_roughly(self, windows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of windows of token ids, as quickly as the model can."""

    def run_many(self, plans: Sequence[TokenPlan]) -> NDArray[np.float32]:
        """`run` of each plan, float32 [n, dim], at less cost."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of stored texts, in the order given."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of search texts, in the order given."""
