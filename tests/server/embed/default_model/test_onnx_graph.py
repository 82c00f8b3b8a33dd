"""The pack reader and the graph, on a small random model, against a plain NumPy BERT."""

from __future__ import annotations

import struct
from math import erf
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.server.embed.default_model.calibrating import calibrate
from kinprint.server.embed.default_model.calibration import Calibration, Range
from kinprint.server.embed.default_model.int8_layers import choose_copies, quantise_columns
from kinprint.server.embed.default_model.onnx_graph import build_float_graph, build_graph
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


def _plain_bert(pack: Pack, ids: list[int], layers: int = LAYERS) -> np.ndarray:
    """BERT in float64, straight from the formulas."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * pack.float32(name + ".w") + pack.float32(name + ".b")

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ pack.matrix(name + ".w", x.shape[-1]).T.astype(np.float64) + pack.float32(name + ".b")

    x = pack.matrix("emb.word", HIDDEN)[ids].astype(np.float64)
    x = x + pack.float32("emb.pos").reshape(-1, HIDDEN)[: len(ids)] + pack.float32("emb.type")[:HIDDEN]
    x = norm(x, "emb.ln")
    for layer in range(layers):
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


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1))


@pytest.fixture(scope="module")
def pack() -> Pack:
    return Pack(small_pack())


@pytest.fixture(scope="module")
def calibration(pack: Pack) -> Calibration:
    return calibrate(pack, list(np.random.default_rng(5).integers(0, WORDS, (60, 12))))


IDS = [0, 5, 17, 38, 9, 9, 21, 2]


@pytest.mark.parametrize("layers", [LAYERS, 1])
def test_the_float_graph_computes_bert(pack: Pack, layers: int) -> None:
    model = build_float_graph(pack, layers=layers)
    (hidden,) = open_session(model, threads=1).run(["last_hidden_state"], {"input_ids": np.array([IDS])})
    np.testing.assert_allclose(hidden[0], _plain_bert(pack, IDS, layers), atol=2e-5)


@pytest.mark.parametrize("layers", [None, 1])
def test_the_graph_computes_bert(pack: Pack, calibration: Calibration, layers: int | None) -> None:
    fractions: list[float] = []
    model = build_graph(pack, calibration, layers=layers, progress=fractions.append)
    assert fractions == ([0.5, 1.0] if layers is None else [1.0])
    assert model == build_graph(Pack(small_pack()), calibration, layers=layers)
    onnx.checker.check_model(onnx.load_from_string(model))
    session = open_session(model, threads=1)
    expected = _plain_bert(pack, IDS, layers or LAYERS)
    (hidden,) = session.run(["last_hidden_state"], {"input_ids": np.array([IDS])})
    assert _cosines(hidden[0], expected).min() > 0.9995
    assert _cosines(hidden[0].mean(0), expected.mean(0)) > 0.9998
    # Without 8-bit products it is exact.
    feeds = {"input_ids": np.array([IDS]), "full_precision": np.array(True)}
    (exact,) = session.run(["last_hidden_state"], feeds)
    np.testing.assert_allclose(exact[0], expected, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, POSITIONS), st.integers(2, 12), st.booleans())
def test_company_changes_no_bit(
    pack: Pack, calibration: Calibration, seed: int, length: int, count: int, exact: bool
) -> None:
    session = open_session(build_graph(pack, calibration), threads=1)
    batch = np.random.default_rng(seed).integers(0, WORDS, (count, length))
    mode = {"full_precision": np.array(exact)}
    (together,) = session.run(None, {"input_ids": batch, **mode})
    for ids, hidden in zip(batch, together, strict=True):
        np.testing.assert_array_equal(session.run(None, {"input_ids": ids[None], **mode})[0][0], hidden)


def test_a_channel_far_stronger_than_the_others_is_split(pack: Pack, calibration: Calibration) -> None:
    strong = Range(
        calibration.ranges["l1.expanded"].centre.copy(),
        calibration.ranges["l1.expanded"].radius.copy(),
        np.ones(HIDDEN, np.int64),
    )
    strong.radius[7] *= 40
    copies = choose_copies(pack.matrix("l1.fi.w", HIDDEN).T, strong.radius, 3.0)
    assert copies[7] > 10
    assert copies.sum() % 4 == 0
    assert np.delete(copies, 7).max() == 1
    expected = _plain_bert(pack, IDS)
    errors = []
    for chosen in (strong.copies, copies):
        ranges = {**calibration.ranges, "l1.expanded": Range(strong.centre, strong.radius, chosen)}
        model = build_graph(pack, Calibration(ranges, calibration.floors))
        (hidden,) = open_session(model, threads=1).run(None, {"input_ids": np.array([IDS])})
        errors.append(1 - _cosines(hidden[0], expected).min())
    assert errors[1] < errors[0] / 3


def test_the_shipped_calibration_fits_the_model() -> None:
    shipped = Calibration.load()
    assert shipped.floors.shape == (12,)
    assert (shipped.floors > 0).all()
    assert set(shipped.ranges) == {f"l{n}.{kind}" for n in range(12) for kind in ("qkv", "attended", "expanded")}
    for found in shipped.ranges.values():
        assert found.centre.shape == found.radius.shape == found.copies.shape == (384,)
        assert (found.radius > 0).all()
        assert (found.copies >= 1).all()
        assert found.copies.sum() % 4 == 0


def test_a_calibration_is_read_as_saved(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(str(tmp_path / "c.npz"))
    again = Calibration.read((tmp_path / "c.npz").read_bytes())
    np.testing.assert_array_equal(again.floors, calibration.floors)
    for name, found in calibration.ranges.items():
        np.testing.assert_array_equal(again.ranges[name].centre, found.centre)
        np.testing.assert_array_equal(again.ranges[name].radius, found.radius)
        np.testing.assert_array_equal(again.ranges[name].copies, found.copies)


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
