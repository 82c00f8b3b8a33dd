"""The pack reader and the graph, on a small random model, against a plain NumPy BERT."""

from __future__ import annotations

import struct
from math import erf
from pathlib import Path

import numpy as np
import onnx
import pytest
from kinprint.server.embed.default_model.onnx_graph import build_graph, quantise_columns
from kinprint.server.embed.default_model.pack import Pack, PackError
from kinprint.server.embed.session import open_session

HIDDEN, LAYERS, HEADS, FORWARD, WORDS, POSITIONS = 64, 2, 4, 128, 40, 24
EPSILON = 1e-12


def _blocks(rng: np.random.Generator, rows: int, columns: int) -> bytes:
    count = rows * columns // 32
    raw = np.empty((count, 18), np.uint8)
    scales = rng.uniform(0.01, 0.03, count).astype("<f2")
    raw[:, :2] = scales.view(np.uint8).reshape(-1, 2)
    raw[:, 2:] = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    return raw.tobytes()


def small_pack(seed: int = 0) -> bytes:
    """A packed model's bytes with random weights."""
    rng = np.random.default_rng(seed)
    matrices = {"emb.word": (WORDS, HIDDEN)}
    vectors = {"emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN, "emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    for layer in range(LAYERS):
        at = f"l{layer}."
        for name in ("q", "k", "v", "ao"):
            matrices[at + name + ".w"], vectors[at + name + ".b"] = (HIDDEN, HIDDEN), HIDDEN
        matrices[at + "fi.w"], vectors[at + "fi.b"] = (FORWARD, HIDDEN), FORWARD
        matrices[at + "fo.w"], vectors[at + "fo.b"] = (HIDDEN, FORWARD), HIDDEN
        for name in ("aln", "oln"):
            vectors[at + name + ".w"] = vectors[at + name + ".b"] = HIDDEN
    tensors = {name: (1, rows * columns, _blocks(rng, rows, columns)) for name, (rows, columns) in matrices.items()}
    for name, count in vectors.items():
        base = 1.0 if name.endswith("ln.w") else 0.0
        tensors[name] = (0, count, (base + 0.1 * rng.standard_normal(count)).astype("<f4").tobytes())

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(f"\u2581w{i}" for i in range(WORDS - 5)), "<mask>"]
    blob = "".join(pieces).encode()
    edges = np.cumsum([0, *(len(piece.encode()) for piece in pieces)]).astype("<u4")
    head = b"E5S1" + struct.pack("<i", 1)
    head += struct.pack("<7i", HIDDEN, LAYERS, HEADS, FORWARD, WORDS, POSITIONS, 2)
    head += struct.pack("<fi5iQ", EPSILON, 32, len(pieces), 0, 2, 1, 3, len(blob))
    head += edges.tobytes() + np.linspace(0, -9, len(pieces)).astype("<f4").tobytes() + blob
    character_map = struct.pack("<IB1I", 0xFF21, 1, 0x41)
    head += struct.pack("<iI", 1, len(character_map)) + character_map + struct.pack("<i", len(tensors))
    size = len(head) + sum(2 + len(name) + 21 for name in tensors)
    directory, body = b"", b""
    for name, (kind, count, data) in tensors.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, size + len(body), len(data))
        body += data
    return head + directory + body


def _rounded_product(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`x @ weights` by ONNX's dynamic quantisation: uint8 per tensor times int8 per column."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    step = (high - low) / 255
    zero = np.rint(-low / step)
    activations = np.clip(np.rint(x / step) + zero, 0, 255) - zero
    scales = np.abs(weights).max(axis=0) / 127
    return (activations * step) @ (np.rint(weights / scales) * scales)


def _plain_bert(pack: Pack, ids: list[int], *, rounded: bool) -> np.ndarray:
    """BERT in float64, straight from the formulas, with exact or 8-bit products."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * pack.float32(name + ".w") + pack.float32(name + ".b")

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        weights = pack.matrix(name + ".w", x.shape[-1]).T.astype(np.float64)
        product = _rounded_product(x, weights) if rounded else x @ weights
        return product + pack.float32(name + ".b")

    x = pack.matrix("emb.word", HIDDEN)[ids].astype(np.float64)
    x = x + pack.float32("emb.pos").reshape(-1, HIDDEN)[: len(ids)] + pack.float32("emb.type")[:HIDDEN]
    x = norm(x, "emb.ln")
    for layer in range(LAYERS):
        at = f"l{layer}."
        q, k, v = (linear(x, at + name).reshape(len(ids), HEADS, -1).swapaxes(0, 1) for name in "qkv")
        logits = q @ k.swapaxes(1, 2) / np.sqrt(HIDDEN / HEADS)
        attention = np.exp(logits - logits.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        context = (attention @ v).swapaxes(0, 1).reshape(len(ids), HIDDEN)
        x = norm(x + linear(context, at + "ao"), at + "aln")
        inner = linear(x, at + "fi")
        inner = inner * 0.5 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = norm(x + linear(inner, at + "fo"), at + "oln")
    return x


def test_graph_computes_bert(tmp_path: Path) -> None:
    pack = Pack(small_pack())
    fractions: list[float] = []
    model = build_graph(pack, fractions.append)
    assert fractions == [0.5, 1.0]
    assert model == build_graph(Pack(small_pack()))
    onnx.checker.check_model(onnx.load_from_string(model))
    (tmp_path / "model.onnx").write_bytes(model)
    session = open_session(tmp_path / "model.onnx", threads=1)
    ids = [0, 5, 17, 38, 9, 9, 21, 2]
    feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    hidden, sentence = session.run(["last_hidden_state", "sentence_embedding"], feeds)
    for rounded, least in ((True, 0.9995), (False, 0.95)):
        expected = _plain_bert(pack, ids, rounded=rounded)
        cosines = (hidden[0] * expected).sum(-1)
        cosines /= np.linalg.norm(hidden[0], axis=-1) * np.linalg.norm(expected, axis=-1)
        assert cosines.min() > least
        mean = expected.mean(0)
        assert float(sentence[0] @ mean) / np.linalg.norm(mean) > least
    # Padding changes nothing but that rounding's scale.
    feeds = {
        "input_ids": np.array([[*ids, 1, 1]]),
        "attention_mask": np.array([[1] * len(ids) + [0, 0]]),
    }
    padded = session.run(["sentence_embedding"], feeds)[0]
    assert float(padded[0] @ sentence[0]) > 0.999


def test_quantised_columns_are_within_half_a_step() -> None:
    weights = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32)
    weights[:, 3] = 0
    quantised, scales = quantise_columns(weights)
    assert np.abs(quantised * scales - weights).max() <= 0.5001 * scales.max()
    assert not quantised[:, 3].any()


def test_pack_is_read_as_written() -> None:
    pack = Pack(small_pack())
    assert pack.config.hidden == HIDDEN
    assert pack.pieces[4] == "\u2581w0"
    assert pack.scores.shape == (WORDS,)
    assert pack.character_map == {0xFF21: (0x41,)}
    scales, nibbles = pack.blocks("l0.q.w")
    assert nibbles.shape == (HIDDEN * HIDDEN // 32, 32)
    np.testing.assert_allclose(
        pack.matrix("l0.q.w", HIDDEN).ravel()[:32], (nibbles[0].astype(float) - 8) * scales[0], rtol=1e-6
    )
    with pytest.raises(PackError, match="no tensor"):
        pack.float32("l0.q.w")


@pytest.mark.parametrize("length", [0, 3, 30, 80, 200, 700, 1500])
def test_a_truncated_pack_is_refused(length: int) -> None:
    with pytest.raises(PackError):
        Pack(small_pack()[:length]).float32("emb.ln.w")
