"""`OnnxEmbedder`: any sentence-transformers or optimum ONNX directory, on the CPU.

Texts run one at a time. On a CPU a batch pads to its longest member and gains nothing, and a model with
dynamic int8 quantisation (one scale per tensor) gives a text a vector that depends on its neighbours in the
batch; at batch 1 a text's vector depends on that text alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.embed.protocol import Role, TokenPlan
from numpy.typing import NDArray

_MODEL_FILES = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
_ROBERTA_TYPES = {"roberta", "xlm-roberta", "camembert", "mpnet"}
_INTEGER_TYPES: dict[str, np.dtype[np.signedinteger[Any]]] = {
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
}
_DEFAULT_MAX_TOKENS = 512


class ModelDirectoryError(ValueError):
    """A model directory lacks a file, or asks for something that this loader does not do."""


class EmbeddingError(RuntimeError):
    """A text could not be embedded: it has no tokens, or the model returned no finite vector."""


class OnnxEmbedder:
    """Sentence embeddings from an ONNX directory; implements `kinprint.server.embed.protocol.Embedder`.

    The directory holds `tokenizer.json` and one of `model.onnx`, `onnx/model.onnx`, `model_quantized.onnx`,
    `onnx/model_quantized.onnx`. Read where present: `modules.json`, the pooling module's `config.json` (mean
    or cls; mean when there is none), `config_sentence_transformers.json` (prompts),
    `sentence_bert_config.json` (`max_seq_length`), `config.json`. Inputs: `input_ids` and optionally
    `attention_mask`, `token_type_ids`, `position_ids`, int64 or int32. Output: `sentence_embedding` when the
    graph has it, else `last_hidden_state` or the first output, pooled here.

    A text of more than `window` tokens is cut into windows of nearly equal length, each of which gets the
    prompt and special tokens; the vectors are averaged, weighted by their tokens, and normalised again. A
    text that needs more than `max_windows` is sampled by that many full windows spread evenly from its first
    token to its last; `plan(text).cut` says so.

    Args:
        model_dir: the directory.
        threads: threads of one inference (intra-op). One serves many concurrent callers best.
        max_windows: most windows of a text, at least 1.
        window: most tokens of a window, prompt and special tokens included; the model's own limit if lower.

    Raises:
        ModelDirectoryError: a file is missing, or the model needs a Dense module, a pooling other than mean
            or cls, an unknown input, or has no usable output.
        ValueError: `threads`, `max_windows` or `window` below 1.
    """

    def __init__(self, model_dir: Path, *, threads: int = 1, max_windows: int = 8, window: int = 256) -> None:
        if threads < 1 or max_windows < 1 or window < 1:
            raise ValueError("threads, max_windows and window must be at least 1")
        root = Path(model_dir)
        if not root.is_dir():
            raise ModelDirectoryError(f"no model directory at {root}")
        modules = _read_modules(root)
        transformer = root / modules.get("Transformer", "")
        model_file = _first_file([transformer, root], _MODEL_FILES)
        tokenizer_file = _first_file([transformer, root], ("tokenizer.json",))
        pooling_dir = modules.get("Pooling", "1_Pooling")
        pooling_config = _read_object(root / pooling_dir / "config.json")
        config = _read_object(transformer / "config.json")
        prompts_config = _read_object(root / "config_sentence_transformers.json")

        self._name = str(_read_object(root / "SOURCE.json").get("name") or root.resolve().name)
        self._session = open_session(model_file, threads)
        self._inputs = _check_inputs(self._session, model_file)
        outputs = [output.name for output in self._session.get_outputs()]
        if "sentence_embedding" in outputs:
            self._output, self._pooling = "sentence_embedding", "graph"
        else:
            self._output = "last_hidden_state" if "last_hidden_state" in outputs else outputs[0]
            self._pooling = _pooling_mode(pooling_config)
        self._prompts = _prompts(prompts_config)
        self._max_tokens = _max_tokens(transformer, root, config)
        self._window = min(window, self._max_tokens)
        self._max_windows = max_windows
        roberta = config.get("model_type") in _ROBERTA_TYPES
        self._first_position = int(config.get("pad_token_id", 1)) + 1 if roberta else 0

        from tokenizers import Tokenizer  # a server without a model need not wait for it

        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._digest = _digest(
            [model_file, *_external_data(model_file), tokenizer_file],
            {
                "pooling": self._pooling,
                "output": self._output,
                "prompts": self._prompts,
                "window": self._window,
            },
        )
        self._dim = int(self._infer(self._probe()).shape[0])

    @property
    def name(self) -> str:
        """The name in `SOURCE.json`, else the directory's name."""
        return self._name

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._dim

    @property
    def digest(self) -> str:
        """SHA-256 over model file(s), tokenizer, pooling, prompts and window length, hexadecimal.

        `max_windows` is left out: it changes the vectors of very long texts only, and keeps them comparable.
        """
        return self._digest

    @property
    def max_tokens(self) -> int:
        """Longest input of the model in tokens, prompt and special tokens included."""
        return self._max_tokens

    def plan(self, text: str, role: Role = "passage") -> TokenPlan:
        """Tokenise `text` and cut it into windows.

        Raises:
            EmbeddingError: the text has no tokens and the model adds none.
        """
        return self._plan(text, role, self._window, self._max_windows)

    def run(self, plan: TokenPlan) -> NDArray[np.float32]:
        """Unit vector float32 [dim]: the windows' unit vectors averaged by `plan.weights`.

        Raises:
            EmbeddingError: the model returned a zero or non-finite vector.
        """
        if len(plan.windows) == 1:
            return self._infer(plan.windows[0])
        vectors = np.stack([self._infer(ids) for ids in plan.windows])
        return _unit(plan.weights @ vectors)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of stored texts. Raises `EmbeddingError` as `plan` and `run` do."""
        return self._embed(texts, "passage")

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of search texts. Raises `EmbeddingError` as `plan` and `run` do."""
        return self._embed(texts, "query")

    def _embed(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._dim), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.run(self.plan(text, role))
        return vectors

    def _plan(self, text: str, role: Role, window: int, max_windows: int | None) -> TokenPlan:
        before, ids, after = self._tokenise(text, role)
        capacity = window - len(before) - len(after)
        if capacity < 1:
            raise EmbeddingError(
                f"a window of {window} tokens has no room beside the {role} prompt's {len(before) + len(after)} tokens"
            )
        spans = _spans(len(ids), capacity, max_windows)
        windows = tuple(np.concatenate((before, ids[start:stop], after)) for start, stop in spans)
        if len(windows[0]) == 0:
            raise EmbeddingError("the text has no tokens and the model adds none")
        return TokenPlan(
            windows=windows,
            weights=np.array([stop - start for start, stop in spans], dtype=np.float32),
            tokens=len(ids),
            covered=_covered(spans),
        )

    def _tokenise(self, text: str, role: Role) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of what precedes the text (special tokens, prompt), of the text, and of what follows."""
        prompt = self._prompts[role]
        # As a batch of one: that releases the interpreter lock, which a megabyte would hold for a second.
        (encoding,) = self._tokenizer.encode_batch([prompt + text])
        ids = np.array(encoding.ids, dtype=np.int64)
        special = np.array(encoding.special_tokens_mask, dtype=bool)
        # Special tokens that the text itself spells out stay inside it: only the outer runs are the frame.
        ordinary = np.flatnonzero(~special)
        if len(ordinary) == 0:
            frame = self._tokenizer.num_special_tokens_to_add(False)
            start = stop = len(ids) if frame == 0 else (frame + 1) // 2
        else:
            start, stop = int(ordinary[0]), int(ordinary[-1]) + 1
        prompt_end = len(prompt.rstrip())
        while start < stop and prompt_end > 0 and _end(encoding, start) <= prompt_end:
            start += 1
        return ids[:start], ids[start:stop], ids[stop:]

    def _probe(self) -> NDArray[np.int64]:
        return self.plan("a", "passage").windows[0]

    def _infer(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit vector float32 [dim] of one window of token ids."""
        feeds: dict[str, NDArray[Any]] = {}
        for name, dtype in self._inputs.items():
            if name == "input_ids":
                row = ids
            elif name == "attention_mask":
                row = np.ones_like(ids)
            elif name == "token_type_ids":
                row = np.zeros_like(ids)
            else:
                row = np.arange(self._first_position, self._first_position + len(ids))
            feeds[name] = row.astype(dtype, copy=False)[np.newaxis, :]
        output: NDArray[Any] = self._session.run([self._output], feeds)[0]
        if output.ndim == 3:
            if self._pooling == "graph":
                raise EmbeddingError("the output sentence_embedding has one vector per token")
            vector = output[0, 0] if self._pooling == "cls" else output[0].mean(axis=0, dtype=np.float32)
        elif output.ndim == 2:
            vector = output[0]
        else:
            raise EmbeddingError(f"the output {self._output} has {output.ndim} dimensions, not 2 or 3")
        return _unit(vector.astype(np.float32, copy=False))


def _end(encoding: Any, token: int) -> int:
    """Where a token ends in the text, in code points."""
    span = encoding.token_to_chars(token)
    return span[1] if span is not None else 0


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0.0:
        raise EmbeddingError("the model returned a zero or non-finite vector")
    return np.asarray(vector / np.float32(norm), dtype=np.float32)


def _spans(tokens: int, capacity: int, max_windows: int | None) -> list[tuple[int, int]]:
    """Half-open token spans: nearly equal ones that cover all, or `max_windows` full ones spread evenly."""
    count = max(1, -(-tokens // capacity))
    if max_windows is None or count <= max_windows:
        edges = [tokens * i // count for i in range(count + 1)]
        return list(itertools.pairwise(edges))
    if max_windows == 1:
        return [(0, capacity)]
    starts = [(tokens - capacity) * i // (max_windows - 1) for i in range(max_windows)]
    return [(start, start + capacity) for start in starts]


def _covered(spans: list[tuple[int, int]]) -> int:
    covered = end = 0
    for start, stop in spans:
        covered += stop - max(start, end)
        end = stop
    return covered


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


def open_session(model_file: Path, threads: int) -> Any:
    """An ONNX Runtime CPU session with this package's settings.

    Raises:
        ModelDirectoryError: ONNX Runtime cannot load the file.
    """
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]  # as with the tokenizer

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers burn the cores that other requests need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Without VNNI instructions, x86-64 adds pairs of uint8 x int8 products in 16 bits, which saturate: int8
    # models would give other, worse vectors there. With this, weights are turned to uint8 on such machines.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return ort.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own.
        raise ModelDirectoryError(f"ONNX Runtime cannot load {model_file}: {error}") from error


def _check_inputs(session: Any, model_file: Path) -> dict[str, np.dtype[np.signedinteger[Any]]]:
    inputs: dict[str, np.dtype[np.signedinteger[Any]]] = {}
    for node in session.get_inputs():
        if node.name not in _KNOWN_INPUTS:
            raise ModelDirectoryError(f"{model_file} has an input {node.name!r} that is not supported")
        if node.type not in _INTEGER_TYPES:
            raise ModelDirectoryError(f"{model_file}: input {node.name} is {node.type}, not int64 or int32")
        inputs[node.name] = _INTEGER_TYPES[node.type]
    if "input_ids" not in inputs:
        raise ModelDirectoryError(f"{model_file} has no input input_ids")
    return inputs


def _external_data(model_file: Path) -> list[Path]:
    """Weights that ONNX keeps outside the model file, by the two customary names."""
    names = (model_file.name + "_data", model_file.name + ".data")
    return [model_file.with_name(name) for name in names if model_file.with_name(name).is_file()]


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(files: Sequence[Path], recipe: dict[str, Any]) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(bytes.fromhex(file_sha256(path)))
    total.update(json.dumps(recipe, sort_keys=True, ensure_ascii=True).encode("ascii"))
    return total.hexdigest()
