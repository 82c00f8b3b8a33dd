"""`StaticTable`: the fast tier of meaning, one int8 vector for every token of the accurate model's tokenizer.

A sentence is the mean of its tokens' vectors at unit norm, a text the mean of its sentences at unit norm (Model2Vec;
Arora, Liang and Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings, ICLR 2017, for the weights that are
part of the vectors).  The vectors lie in the accurate model's *neutral* space (`EmbeddingSpace.neutral`), so that those
of both tiers can be compared.  `distil` makes such tables.

A table is a directory that is also a model for ONNX Runtime::

    model.onnx        Gather, weighted sum over the tokens, unit norm; its weights are external data:
    model.onnx.data   int8 [vocabulary, dim], zeros up to a multiple of 4096 bytes, float32 [vocabulary]
    tokenizer.json    the accurate model's, byte for byte
    lessons.npz       what it was fitted on (`Lessons`), where later fits go on from it
    table.json        digests, sizes, how good the fit is

NumPy maps the bytes that ONNX Runtime reads.  Special tokens have zero vectors, so whether they are in makes no
difference.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.embed import pool
from kinprint.kernels.embed.sentences import sentences
from kinprint.server.embed.onnx import file_sha256
from kinprint.server.embed.space import MAX_SENTENCES
from kinprint.server.embed.tokens import FastTokenizer
from kinprint.server.store import files
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = 1
_MODEL = "model.onnx"
_DATA = "model.onnx.data"
_TOKENIZER = "tokenizer.json"
#: What the kernels read of it; made when it is first wanted, and made anew when it is missing.
_VOCABULARY = "vocabulary.npz"
_LESSONS = "lessons.npz"
_MANIFEST = "table.json"
_PAGE = 4096
_OPSET = 21
_IR_VERSION = 10


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Token sequences and the vectors that a table is to give them.

    Attributes:
        ids: int32 [t].
        firsts: int64 [s + 1]; sequence i has `ids[firsts[i]:firsts[i + 1]]`.
        targets: float16 [s, dim], unit vectors.
    """

    ids: NDArray[np.int32]
    firsts: NDArray[np.int64]
    targets: NDArray[np.float16]

    def sentences(self) -> list[NDArray[np.int32]]:
        """The sequences one by one."""
        return np.split(self.ids, self.firsts[1:-1])


class TableError(ValueError):
    """A directory holds no static table, a damaged one, or one that this version cannot read."""


class StaticTable:
    """A vector for every token.  Thread-safe.

    Attributes:
        directory: where it lies; None while it is only in memory.
        name: for people.
        version: its format, at most `FORMAT`.
        digest: hexadecimal SHA-256 of its content (not its name): tables of one digest give the same vectors.
        model_digest: of the accurate model whose space the vectors lie in.
        tokenizer_digest: SHA-256 of `tokenizer_json`.
        vectors: int8 [vocabulary, dim].
        scales: float32 [vocabulary]; token `t` has the vector `vectors[t] * scales[t]`.
        fitted: what it was fitted on and how good it was on what was held out, as JSON.
        lessons: what a fit on a corpus has to keep in mind; None where there is nothing.
    """

    def __init__(
        self,
        vectors: NDArray[np.int8],
        scales: NDArray[np.float32],
        tokenizer_json: bytes,
        *,
        name: str,
        model_digest: str,
        fitted: Mapping[str, Any] | None = None,
        lessons: Lessons | None = None,
        directory: Path | None = None,
        data_sha256: str | None = None,
    ) -> None:
        if vectors.ndim != 2 or vectors.dtype != np.int8 or scales.dtype != np.float32:
            raise ValueError("vectors are int8 [vocabulary, dim], scales float32 [vocabulary]")
        if scales.shape != vectors.shape[:1]:
            raise ValueError(f"{len(vectors)} vectors but {len(scales)} scales")
        self.directory = directory
        self.name = name
        self.version = FORMAT
        self.model_digest = model_digest
        self.vectors = vectors
        self.scales = scales
        self.fitted = dict(fitted or {})
        self.lessons = lessons
        self.tokenizer_json = tokenizer_json
        self.tokenizer_digest = hashlib.sha256(tokenizer_json).hexdigest()
        self._table = pool.Table(vectors, scales)
        self._tokenizers = _Tokenizers(tokenizer_json, None if directory is None else directory / _VOCABULARY)
        self.data_sha256 = data_sha256 or _data_sha256(vectors, scales)
        self.digest = hashlib.sha256(
            json.dumps(
                [FORMAT, *vectors.shape, self.data_sha256, self.tokenizer_digest, model_digest], sort_keys=True
            ).encode("ascii")
        ).hexdigest()

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        tokenizer_json: bytes,
        *,
        name: str,
        model_digest: str,
        fitted: Mapping[str, Any] | None = None,
        lessons: Lessons | None = None,
    ) -> StaticTable:
        """A table in memory of float32 [vocabulary, dim] vectors, which become int8, each with a scale of its own."""
        return cls(
            *pool.quantised(vectors),
            tokenizer_json,
            name=name,
            model_digest=model_digest,
            fitted=fitted,
            lessons=lessons,
        )

    @property
    def dim(self) -> int:
        """Columns of a vector."""
        return int(self.vectors.shape[1])

    @property
    def vocabulary(self) -> int:
        """Tokens with a vector."""
        return int(self.vectors.shape[0])

    def rows(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """One vector for each text: the mean of its sentences at unit norm, then int8.

        Args:
            data: uint8, UTF-8 of all texts.
            offsets: int64 [n + 1]; text i is `data[offsets[i]:offsets[i + 1]]`.

        Returns:
            int8 [n, dim] and float32 [n]: text i has the vector `rows[i] * scales[i]`.  One without tokens has zeros
            and the scale 0.

        Raises:
            ValueError: the arrays are no texts.
        """
        fast = self._tokenizers.fast
        if fast is None:
            ids, firsts, starts = self._sentence_tokens(data, offsets)
            made = pool.vectors_of_tokens(ids, firsts, starts, self._table)
            return made.rows, made.scale
        texts = Texts.from_offsets(data, offsets)
        made, left = pool.row_vectors(texts, fast.vocabulary, fast.caches, self._table, MAX_SENTENCES)
        if len(left):
            # Characters that only the library knows how to normalise.
            ids, firsts, starts = self._sentence_tokens(*_gathered(data, offsets[left], offsets[left + 1]))
            made.rows[left], made.scale[left] = pool.vectors_of_tokens(ids, firsts, starts, self._table)
        return made.rows, made.scale

    def sentences(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The vectors of all sentences (`space.grouped_spans`) of some texts.

        Args:
            data: uint8, UTF-8 of all texts.
            offsets: int64 [n + 1]; text i is `data[offsets[i]:offsets[i + 1]]`.

        Returns:
            float32 [s, dim], unit vectors, zeros for a sentence without tokens; and int64 [n + 1]: text i has the
            sentences `starts[i]:starts[i + 1]`.

        Raises:
            ValueError: the arrays are no texts.
        """
        ids, firsts, starts = self._sentence_tokens(data, offsets)
        return pool.sentence_vectors(ids, firsts, self._table), starts

    def tokens(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Token ids of some texts, each as it stands, int32 [t], and where those of each begin, int64 [n + 1]."""
        fast = self._tokenizers.fast
        if fast is not None:
            return fast.encode(data, offsets)
        buffer = data.tobytes()
        bounds = offsets.tolist()
        texts = [buffer[begin:end].decode("utf-8", "replace") for begin, end in pairwise(bounds)]
        encoded = [e.ids for e in self._tokenizers.library.encode_batch(texts, add_special_tokens=False)]
        firsts = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(ids) for ids in encoded], out=firsts[1:])
        return np.fromiter((token for ids in encoded for token in ids), np.int32, int(firsts[-1])), firsts

    def _sentence_tokens(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Token ids, where each sentence begins in them, and where each text begins among the sentences."""
        texts = Texts.from_offsets(data, offsets)
        cut = sentences(texts, MAX_SENTENCES)
        if (fast := self._tokenizers.fast) is not None:
            ids, firsts = fast.encode_texts(cut.texts(texts))
            return ids, firsts, cut.starts
        begins = np.repeat(offsets[:-1], np.diff(cut.starts))
        ids, firsts = self.tokens(*_gathered(data, begins + cut.spans[:, 0], begins + cut.spans[:, 1]))
        return ids, firsts, cut.starts

    def save(self, directory: Path) -> StaticTable:
        """Write it to `directory` by one rename, durably, in the place of a table that is there.

        Returns:
            The table as read from there.

        Raises:
            FileExistsError: `directory` holds something else.
            OSError: it cannot be written.
        """
        directory = Path(directory)
        if directory.exists() and not (directory / _MANIFEST).is_file() and any(directory.iterdir()):
            raise FileExistsError(f"{directory} exists and is no static table; it is left alone")
        directory.parent.mkdir(parents=True, exist_ok=True)
        unfinished = directory.with_name(f".{directory.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            self._write_files(unfinished)
            files.fsync_directory(unfinished)
            if directory.exists():
                shutil.rmtree(directory)
            unfinished.rename(directory)
            files.fsync_directory(directory.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return StaticTable.load(directory)

    def _write_files(self, directory: Path) -> None:
        with files.replacing(directory / _DATA) as out:
            out.write(np.ascontiguousarray(self.vectors).data)
            out.write(bytes(_scales_at(*self.vectors.shape) - self.vectors.size))
            out.write(np.ascontiguousarray(self.scales).data)
        with files.replacing(directory / _MODEL) as out:
            out.write(_graph(*self.vectors.shape))
        with files.replacing(directory / _TOKENIZER) as out:
            out.write(self.tokenizer_json)
        names = [_MODEL, _DATA, _TOKENIZER]
        if self.lessons is not None:
            kept: dict[str, NDArray[Any]] = {
                "ids": self.lessons.ids,
                "firsts": self.lessons.firsts,
                "targets": self.lessons.targets,
            }
            files.save_arrays(directory / _LESSONS, kept)
            names.append(_LESSONS)
        files.write_json(
            directory / _MANIFEST,
            {
                "format": FORMAT,
                "name": self.name,
                "digest": self.digest,
                "model_digest": self.model_digest,
                "vocabulary": self.vocabulary,
                "dim": self.dim,
                "files": {name: file_sha256(directory / name) for name in names},
                "fitted": self.fitted,
            },
        )

    @classmethod
    def load(cls, directory: Path, *, verify: bool = True) -> StaticTable:
        """Map what `save` wrote.

        Args:
            directory: the table.
            verify: compare the files with their digests (reads them: some 0.2 s for 250,000 tokens).

        Raises:
            FileNotFoundError: there is no table.
            TableError: it is damaged, or of a newer format.
        """
        directory = Path(directory)
        manifest = read_manifest(directory)
        try:
            vocabulary, dim = int(manifest["vocabulary"]), int(manifest["dim"])
            digests = {str(name): str(digest) for name, digest in manifest["files"].items()}
            missing = {_MODEL, _DATA, _TOKENIZER} - digests.keys()
            if missing:
                raise KeyError(*missing)
            name, model_digest = str(manifest["name"]), str(manifest["model_digest"])
            digest, fitted = str(manifest["digest"]), dict(manifest["fitted"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TableError(f"{directory / _MANIFEST} is damaged: {error!r}") from error
        if vocabulary < 1 or dim < 1:
            raise TableError(f"{directory / _MANIFEST} is damaged: a table of {vocabulary} x {dim}")
        scales_at = _scales_at(vocabulary, dim)
        try:
            size = (directory / _DATA).stat().st_size
            if size != scales_at + 4 * vocabulary:
                raise TableError(
                    f"{directory / _DATA} has {size} bytes, {scales_at + 4 * vocabulary} are expected of a table of "
                    f"{vocabulary} x {dim}"
                )
            if verify:
                for file, expected in digests.items():
                    if file_sha256(directory / file) != expected:
                        raise TableError(f"{directory / file} is damaged: it has another digest than table.json says")
            mapped = np.memmap(directory / _DATA, np.uint8, mode="c")
            tokenizer_json = (directory / _TOKENIZER).read_bytes()
            lessons = _read_lessons(directory / _LESSONS, dim) if _LESSONS in digests else None
        except FileNotFoundError as error:
            raise TableError(f"{directory} is damaged: {error.filename} is missing") from error
        raw = np.asarray(mapped)
        table = cls(
            raw[: vocabulary * dim].view(np.int8).reshape(vocabulary, dim),
            raw[scales_at:].view(np.float32),
            tokenizer_json,
            name=name,
            model_digest=model_digest,
            fitted=fitted,
            lessons=lessons,
            directory=directory,
            data_sha256=digests[_DATA],
        )
        if table.digest != digest:
            raise TableError(f"{directory / _MANIFEST} is damaged: its digest is not that of its content")
        return table


def read_manifest(directory: Path) -> dict[str, Any]:
    """`table.json` of a directory, without the table itself.

    Raises:
        FileNotFoundError: there is no table.
        TableError: it is damaged, or of a newer format.
    """
    path = Path(directory) / _MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        version = int(manifest["format"])
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "no static table", str(path)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path} is damaged: {error!r}") from error
    if version > FORMAT:
        raise TableError(f"{directory} was written by a newer Kinprint (format {version}); upgrade")
    return dict(manifest)


def _read_lessons(path: Path, dim: int) -> Lessons:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            lessons = Lessons(arrays["ids"], arrays["firsts"], arrays["targets"])
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path} is damaged: {error}") from error
    if len(lessons.firsts) != len(lessons.targets) + 1 or lessons.targets.shape[1:] != (dim,):
        raise TableError(f"{path} is damaged: {lessons.targets.shape} vectors of {len(lessons.firsts) - 1} sequences")
    return lessons


class _Tokenizers:
    """A tokenizer twice: the library's, and the kernels' where they can do it; each read when it is first wanted."""

    def __init__(self, tokenizer_json: bytes, cache: Path | None) -> None:
        self._json = tokenizer_json
        self._cache = cache
        self._lock = threading.Lock()
        self._library: Tokenizer | None = None
        self._fast: FastTokenizer | None = None
        self._tried = False

    @property
    def library(self) -> Tokenizer:
        """Without padding and truncation."""
        with self._lock:
            if self._library is None:
                from tokenizers import Tokenizer

                self._library = Tokenizer.from_str(self._json.decode("utf-8"))
                self._library.no_padding()
                self._library.no_truncation()
            return self._library

    @property
    def fast(self) -> FastTokenizer | None:
        """None for kinds that only the library can do."""
        with self._lock:
            if not self._tried:
                self._fast = FastTokenizer.of(self._json, self._cache)
            self._tried = True
            return self._fast


def _gathered(
    data: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pieces `data[begins[i]:ends[i]]` one after another, and where each begins, int64 [n + 1]."""
    offsets = np.zeros(len(begins) + 1, np.int64)
    np.cumsum(ends - begins, out=offsets[1:])
    moved = np.repeat(begins - offsets[:-1], ends - begins)
    return data[np.arange(offsets[-1]) + moved], offsets


def _scales_at(vocabulary: int, dim: int) -> int:
    """Where the scales begin in the data file: whole pages after the vectors, as ONNX asks of mapped data."""
    return -(-vocabulary * dim // _PAGE) * _PAGE


def _data_sha256(vectors: NDArray[np.int8], scales: NDArray[np.float32]) -> str:
    total = hashlib.sha256(np.ascontiguousarray(vectors).data)
    total.update(bytes(_scales_at(*vectors.shape) - vectors.size))
    total.update(np.ascontiguousarray(scales).data)
    return total.hexdigest()


def _graph(vocabulary: int, dim: int) -> bytes:
    """`model.onnx`: ids and mask [batch, sequence] to `sentence_embedding` [batch, dim], the same bytes everywhere."""
    from onnx import StringStringEntryProto, TensorProto, helper

    def external(name: str, kind: int, shape: list[int], offset: int, length: int) -> TensorProto:
        tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", _DATA), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.append(StringStringEntryProto(key=key, value=value))
        return tensor

    initialisers = [
        external("vectors", TensorProto.INT8, [vocabulary, dim], 0, vocabulary * dim),
        external("scales", TensorProto.FLOAT, [vocabulary], _scales_at(vocabulary, dim), 4 * vocabulary),
        helper.make_tensor("axis_1", TensorProto.INT64, [1], [1]),
        helper.make_tensor("axis_-1", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["looked_up"], axis=0),
        helper.make_node("Cast", ["looked_up"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["scales", "input_ids"], ["row_scales"], axis=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["row_scales", "mask"], ["weights"]),
        helper.make_node("Unsqueeze", ["weights", "axis_-1"], ["weight_column"]),
        helper.make_node("Mul", ["rows", "weight_column"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis_1"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis_1"], ["tokens"], keepdims=1),
        helper.make_node("Max", ["tokens", "one"], ["divisor"]),
        helper.make_node("Div", ["total", "divisor"], ["mean"]),
        helper.make_node("LpNormalization", ["mean"], ["sentence_embedding"], axis=1, p=2),
    ]
    for node in nodes:
        node.name = node.output[0] + "_node"
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dim])]
    model = helper.make_model(
        helper.make_graph(nodes, "static-table", inputs, outputs, initialisers),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="kinprint",
    )
    return bytes(model.SerializeToString(deterministic=True))
