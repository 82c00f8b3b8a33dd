"""The static table: one directory for ONNX Runtime and NumPy, refused when damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from kinprint.server.embed import OnnxEmbedder, load_space
from kinprint.server.embed.distil import distil_corpus, distil_default, find_table, load_table
from kinprint.server.embed.space import sentences_of
from kinprint.server.embed.static import StaticTable, TableError
from numpy.typing import NDArray
from tiny_model import write_tiny_model

TEXTS = [
    "The tide comes in twice a day. The moon pulls the water.",
    "Die Flut kommt zweimal am Tag. Der Mond zieht das Wasser an.",
    "   \n ",
    "",
    "one",
    "🙂🙂 \u0000 x\u0301",
]


def buffers(texts: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0] + [len(text) for text in encoded])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def table(model: Path, tmp_path_factory: pytest.TempPathFactory) -> StaticTable:
    embedder = OnnxEmbedder(model)
    space = load_space(embedder, tmp_path_factory.mktemp("spaces"))
    made = distil_default(embedder, space, model)
    return made.save(tmp_path_factory.mktemp("tables") / "t")


def test_a_saved_table_is_the_same_table(table: StaticTable, model: Path) -> None:
    assert table.directory is not None
    again = StaticTable.load(table.directory)
    assert again.digest == table.digest
    assert again.model_digest == OnnxEmbedder(model).digest
    assert again.tokenizer_json == (model / "tokenizer.json").read_bytes()
    np.testing.assert_array_equal(again.vectors, table.vectors)
    np.testing.assert_array_equal(again.scales, table.scales)


def test_onnx_runtime_gives_the_same_sentence_vectors(table: StaticTable) -> None:
    assert table.directory is not None
    embedder = OnnxEmbedder(table.directory)
    sentences = [s for text in TEXTS for s in sentences_of(text)]
    ours, _ = table.sentences(*buffers(TEXTS))
    assert np.linalg.norm(ours, axis=1).max() == pytest.approx(1, abs=1e-6)
    with_tokens = np.flatnonzero(np.abs(ours).sum(axis=1))
    theirs = np.stack([embedder.run(embedder.plan(sentences[i])) for i in with_tokens])
    np.testing.assert_allclose(ours[with_tokens], theirs, atol=1e-6)


def test_text_vectors_are_unit_means_of_sentences(table: StaticTable) -> None:
    sentences, starts = table.sentences(*buffers(TEXTS))
    rows, scales = table.rows(*buffers(TEXTS))
    assert rows.dtype == np.int8
    assert rows.shape == (len(TEXTS), table.dim)
    for i, text in enumerate(TEXTS):
        assert starts[i + 1] - starts[i] == len(sentences_of(text))
        mean = sentences[starts[i] : starts[i + 1]].sum(axis=0)
        norm = np.linalg.norm(mean)
        np.testing.assert_allclose(rows[i] * scales[i], mean / norm if norm else mean, atol=0.51 * scales[i] + 1e-6)
    assert scales[2] == scales[3] == 0


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json"])
def test_a_damaged_file_is_refused(table: StaticTable, tmp_path: Path, name: str) -> None:
    assert table.directory is not None
    copy = shutil.copytree(table.directory, tmp_path / "copy")
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(TableError, match="damaged"):
        StaticTable.load(copy)
    (copy / name).unlink()
    with pytest.raises(TableError, match="missing"):
        StaticTable.load(copy)


def test_wrong_sizes_newer_formats_and_strangers_are_refused(table: StaticTable, tmp_path: Path) -> None:
    assert table.directory is not None
    with pytest.raises(FileNotFoundError):
        StaticTable.load(tmp_path)
    copy = shutil.copytree(table.directory, tmp_path / "copy")
    with open(copy / "model.onnx.data", "ab") as out:
        out.write(b"more")
    with pytest.raises(TableError, match="bytes"):
        StaticTable.load(copy)
    manifest = json.loads((copy / "table.json").read_text())
    (copy / "table.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(TableError, match="newer"):
        StaticTable.load(copy)
    for broken in ("{", "{}", json.dumps(manifest | {"dim": "x"}), json.dumps(manifest | {"digest": "0"})):
        (copy / "table.json").write_text(broken)
        with pytest.raises(TableError):
            StaticTable.load(copy)


def test_a_table_is_replaced_whole_and_nothing_else_is(table: StaticTable, tmp_path: Path) -> None:
    place = tmp_path / "t"
    table.save(place)
    assert table.save(place).digest == table.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t"]
    stranger = tmp_path / "s"
    stranger.mkdir()
    (stranger / "letter").touch()
    with pytest.raises(FileExistsError):
        table.save(stranger)


def test_the_default_table_is_made_once(model: Path, table: StaticTable, tmp_path: Path) -> None:
    embedder = OnnxEmbedder(model)
    space = load_space(embedder, tmp_path / "spaces")
    assert find_table(embedder.name, tmp_path / "tables") is None
    steps: list[float] = []
    first = load_table(
        embedder, space, model, lambda _, share: steps.append(share), cache=tmp_path / "tables", threads=2
    )
    assert steps == sorted(steps)
    assert steps[-1] == 1
    # Another number of threads, the same bits.
    assert first.digest == table.digest
    assert find_table(embedder.name, tmp_path / "tables") == first.directory
    steps.clear()
    assert (
        load_table(embedder, space, model, lambda _, share: steps.append(share), cache=tmp_path / "tables").digest
        == first.digest
    )
    assert steps == [1.0]
    assert first.directory is not None
    (first.directory / "model.onnx").write_bytes(b"")
    assert load_table(embedder, space, model, cache=tmp_path / "tables").digest == first.digest


CORPUS = [
    f"{subject} {verb} {thing}."
    for subject in ("The tide", "A dike", "My aunt", "The court", "Our boat")
    for verb in ("carries", "never sees", "asks for", "paints", "is afraid of")
    for thing in ("the harbour", "three kettles", "a letter from Kyiv", "<s> in brackets", "old bread", "the owl")
]


def test_a_killed_fit_goes_on_and_ends_in_the_same_bits(model: Path, table: StaticTable, tmp_path: Path) -> None:
    embedder = OnnxEmbedder(model)
    space = load_space(embedder, tmp_path / "spaces")
    whole = distil_corpus(table, CORPUS, embedder, space, None, tmp_path / "one", threads=2)
    assert whole.fitted["base"] == table.digest
    assert whole.fitted["held_out"]["after"]["cosine"] > whole.fitted["held_out"]["before"]["cosine"]

    class Killed(Exception):  # noqa: N818  (not an error)
        pass

    def die(step: str, share: float) -> None:
        if share > 0.2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kinprint.server.embed.teacher.BLOCK", 16)
        with pytest.raises(Killed):
            distil_corpus(table, CORPUS, embedder, space, die, tmp_path / "two", threads=1)
        blocks = sorted((tmp_path / "two").rglob("*.npy"))
        assert 1 < len(blocks) < len(CORPUS) // 16
        blocks[0].write_bytes(b"damaged")
        kept = blocks[1].stat().st_mtime_ns
        again = distil_corpus(table, [*CORPUS, CORPUS[0], " "], embedder, space, None, tmp_path / "two", threads=1)
        assert blocks[1].stat().st_mtime_ns == kept
    assert again.digest == whole.digest
    # What no sentence says stays where it was, special tokens too.
    saved = again.save(tmp_path / "fitted")
    assert saved.digest == again.digest
    assert saved.fitted == again.fitted
    assert not saved.scales[:2].any()


def test_fits_that_make_no_sense_are_refused(model: Path, table: StaticTable, tmp_path: Path) -> None:
    embedder = OnnxEmbedder(model)
    space = load_space(embedder, tmp_path / "spaces")
    with pytest.raises(ValueError, match="too few"):
        distil_corpus(table, ["one", "two", "one"] * 10, embedder, space, None, tmp_path)
    other = OnnxEmbedder(write_tiny_model(tmp_path / "other", seed=1))
    with pytest.raises(ValueError, match="another model"):
        distil_corpus(table, CORPUS, other, space, None, tmp_path)
