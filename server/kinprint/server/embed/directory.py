"""What a model directory in the sentence-transformers or optimum layout says of its model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinprint.server.embed.protocol import Role

_MODEL_FILES = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
_ROBERTA_TYPES = {"roberta", "xlm-roberta", "camembert", "mpnet"}
_DEFAULT_MAX_TOKENS = 512


class ModelDirectoryError(ValueError):
    """A model directory lacks a file, or asks for something that this loader does not do."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model directory, read but not loaded.

    Attributes:
        name: in `SOURCE.json`, else the directory's.
        model_file: the graph.
        tokenizer_file: `tokenizer.json`.
        pooling_config: the pooling module's `config.json`, empty without one.
        prompts: what precedes a text of either role.
        max_tokens: longest input, prompt and special tokens included.
        first_position: position id of the first token.
    """

    name: str
    model_file: Path
    tokenizer_file: Path
    pooling_config: dict[str, Any]
    prompts: dict[Role, str]
    max_tokens: int
    first_position: int

    @classmethod
    def read(cls, root: Path) -> ModelDirectory:
        """Read the small files of a directory.

        Raises:
            ModelDirectoryError: a file is missing or malformed, or asks for an unsupported module.
        """
        root = Path(root)
        if not root.is_dir():
            raise ModelDirectoryError(f"no model directory at {root}")
        modules = _read_modules(root)
        transformer = root / modules.get("Transformer", "")
        model_file = _first_file([transformer, root], _MODEL_FILES)
        tokenizer_file = _first_file([transformer, root], ("tokenizer.json",))
        config = _read_object(transformer / "config.json")
        roberta = config.get("model_type") in _ROBERTA_TYPES
        return cls(
            name=str(_read_object(root / "SOURCE.json").get("name") or root.resolve().name),
            model_file=model_file,
            tokenizer_file=tokenizer_file,
            pooling_config=_read_object(root / modules.get("Pooling", "1_Pooling") / "config.json"),
            prompts=_prompts(_read_object(root / "config_sentence_transformers.json")),
            max_tokens=_max_tokens(transformer, root, config),
            first_position=int(config.get("pad_token_id", 1)) + 1 if roberta else 0,
        )

    @property
    def pooling(self) -> str:
        """`mean` or `cls`.

        Raises:
            ModelDirectoryError: another pooling is asked for.
        """
        return _pooling_mode(self.pooling_config)

    def digest(self, recipe: dict[str, Any]) -> str:
        """SHA-256 over the model file(s), the tokenizer and `recipe`, hexadecimal."""
        total = hashlib.sha256()
        for path in [self.model_file, *_external_data(self.model_file), self.tokenizer_file]:
            total.update(bytes.fromhex(file_sha256(path)))
        total.update(json.dumps(recipe, sort_keys=True, ensure_ascii=True).encode("ascii"))
        return total.hexdigest()


def _first_file(directories: Sequence[Path], names: Sequence[str]) -> Path:
    for directory in directories:
        for name in names:
            if (directory / name).is_file():
                return directory / name
    raise ModelDirectoryError(f"{directories[-1]} holds none of {', '.join(names)}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelDirectoryError(f"{path} is not valid JSON: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    value = _read_json(path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ModelDirectoryError(f"{path} is not a JSON object")
    return value


def _read_modules(root: Path) -> dict[str, str]:
    """Folder of each module in `modules.json`, by the last part of its type; empty without that file."""
    modules = _read_json(root / "modules.json")
    folders: dict[str, str] = {}
    for module in modules or []:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind not in {"Transformer", "Pooling", "Normalize"}:
            raise ModelDirectoryError(
                f"{root / 'modules.json'} asks for a {kind or 'nameless'} module; only Transformer, Pooling "
                "and Normalize are supported"
            )
        folders[kind] = str(module.get("path", ""))
    return folders


def _pooling_mode(config: dict[str, Any]) -> str:
    """`mean` or `cls`. Without a pooling file it is mean, as in sentence-transformers."""
    if config.get("include_prompt", True) is False:
        raise ModelDirectoryError("pooling without the prompt's tokens (include_prompt: false) is not supported")
    if "pooling_mode" in config:
        wanted = config["pooling_mode"]
        modes = {str(mode) for mode in (wanted if isinstance(wanted, list) else [wanted])}
    else:
        names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = {names.get(key, key) for key, on in config.items() if key.startswith("pooling_mode_") and on is True}
        if not modes:
            modes = {"mean"}
    if modes == {"mean"} or modes == {"cls"}:
        return modes.pop()
    raise ModelDirectoryError(f"pooling {', '.join(sorted(modes))} is not supported; mean or cls is")


def _prompts(config: dict[str, Any]) -> dict[Role, str]:
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise ModelDirectoryError("prompts in config_sentence_transformers.json are not a map of strings")
    default_name = config.get("default_prompt_name")
    if default_name is not None and default_name not in prompts:
        raise ModelDirectoryError(f"default_prompt_name {default_name!r} is not among the prompts")
    default: str = prompts[default_name] if default_name is not None else ""
    query: str = prompts.get("query", default)
    passage: str = next((prompts[key] for key in ("passage", "document", "corpus") if key in prompts), default)
    return {"query": query, "passage": passage}


def _max_tokens(transformer: Path, root: Path, config: dict[str, Any]) -> int:
    """The lowest limit among those that the directory states; 512 if it states none."""
    limits = [
        limit
        for directory in (transformer, root)
        if isinstance(limit := _read_object(directory / "sentence_bert_config.json").get("max_seq_length"), int)
    ]
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        # RoBERTa counts positions from the padding id + 1.
        reserved = int(config.get("pad_token_id", 1)) + 1 if config.get("model_type") in _ROBERTA_TYPES else 0
        limits.append(positions - reserved)
    model_max = _read_object(transformer / "tokenizer_config.json").get("model_max_length")
    # "No limit" is written as 10^30 there.
    if isinstance(model_max, int) and 0 < model_max < 10**9:
        limits.append(model_max)
    return min(limits, default=_DEFAULT_MAX_TOKENS)


def _external_data(model_file: Path) -> list[Path]:
    """Weights that ONNX keeps outside the model file, by the two customary names."""
    names = (model_file.name + "_data", model_file.name + ".data")
    return [model_file.with_name(name) for name in names if model_file.with_name(name).is_file()]


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
