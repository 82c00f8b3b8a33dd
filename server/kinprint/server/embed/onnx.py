"""`OnnxEmbedder`: any sentence-transformers or optimum ONNX directory.

Texts of equal token length run together, without padding, where the model gives a text the same vector in any
company.  Many do not: dynamic int8 quantisation with one scale per tensor gives a text a vector that depends on its
neighbours in the batch.  Which kind a model is gets measured, and such models run one text at a time.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from kinprint.server.embed.directory import ModelDirectory, ModelDirectoryError, file_sha256
from kinprint.server.embed.grouping import POOL_TEXTS, Pool, equal_lengths, mean_of
from kinprint.server.embed.protocol import Role, TokenPlan
from kinprint.server.embed.session import ProviderError, configured_providers, open_session
from kinprint.server.threads import contained
from numpy.typing import NDArray

T = TypeVar("T")

__all__ = ["EmbeddingError", "ModelDirectoryError", "OnnxEmbedder", "ProviderError", "file_sha256"]

_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
_INTEGER_TYPES: dict[str, np.dtype[np.signedinteger[Any]]] = {
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
}
#: Tokens that run together at most.  More gain little, and whoever searches waits for at most one group.
GROUP_TOKENS = 256
#: The same where nobody waits for a single group: short windows cost less together.
_ROUGH_TOKENS = 1024
#: Texts and characters that are tokenised at a time: the interpreter lock is free meanwhile, not in between.
_TOKENISE_TEXTS = 64
_TOKENISE_CHARACTERS = 1 << 16
#: Lengths at which a model is asked whether company changes its vectors.
_COMPANY_LENGTHS = (4, 17)
#: An optional input of a graph, false unless given: run without 8-bit products.  The graph's metadata states under
#: `FEW_TOKENS` for how few different tokens in a window that is needed, and under `UNCOUNTED_TOKENS` which tokens
#: do not count; see `default_model.onnx_graph`.
FULL_PRECISION = "full_precision"
FEW_TOKENS = "kinprint.full_precision_below"
UNCOUNTED_TOKENS = "kinprint.full_precision_uncounted"


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
        providers: ONNX Runtime's execution providers, the preferred first; if None, those named in the environment
            (`session.configured_providers`), and without any the CPU.

    Raises:
        ModelDirectoryError: a file is missing, or the model needs a Dense module, a pooling other than mean
            or cls, an unknown input, or has no usable output.
        ProviderError: the installed ONNX Runtime lacks an execution provider.
        ValueError: `threads`, `max_windows` or `window` below 1.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        threads: int = 1,
        max_windows: int = 8,
        window: int = 256,
        providers: Sequence[str] | None = None,
    ) -> None:
        if threads < 1 or max_windows < 1 or window < 1:
            raise ValueError("threads, max_windows and window must be at least 1")
        directory = ModelDirectory.read(model_dir)
        self._name = directory.name
        chosen = configured_providers() if providers is None else providers
        self._session = _open(directory.model_file, threads, chosen)
        self._inputs = _check_inputs(self._session, directory.model_file)
        self._few_tokens, self._uncounted = _few_tokens(self._session)
        outputs = [output.name for output in self._session.get_outputs()]
        if "sentence_embedding" in outputs:
            self._output, self._pooling = "sentence_embedding", "graph"
        else:
            self._output = "last_hidden_state" if "last_hidden_state" in outputs else outputs[0]
            self._pooling = directory.pooling
        self._prompts = directory.prompts
        self._max_tokens = directory.max_tokens
        self._window = min(window, self._max_tokens)
        self._max_windows = max_windows
        self._first_position = directory.first_position
        self._company = threading.Lock()

        from tokenizers import Tokenizer  # a server without a model need not wait for it

        self._tokenizer = _told(directory.tokenizer_file, lambda: Tokenizer.from_file(str(directory.tokenizer_file)))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._digest = directory.digest(
            {
                "pooling": self._pooling,
                "output": self._output,
                "prompts": self._prompts,
                "window": self._window,
            },
        )
        self._dim = int(_told(directory.model_file, lambda: self._infer([self._probe()])).shape[1])

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
        (plan,) = self.plan_many([text], role)
        return plan

    def plan_many(self, texts: Sequence[str], role: Role = "passage") -> list[TokenPlan]:
        """`plan` of each text; the interpreter lock is released while some are tokenised. Raises as `plan`."""
        prompt = self._prompts[role]
        plans: list[TokenPlan] = []
        for chunk in _chunks(texts):
            # As a batch, even of one: that releases the interpreter lock, which a megabyte would hold for a second.
            # Only a prompt's end is looked for by places in the text.
            encode = self._tokenizer.encode_batch if prompt else self._tokenizer.encode_batch_fast
            encodings = encode([prompt + text for text in chunk])
            plans.extend(self._cut(encoding, prompt, role) for encoding in encodings)
        return plans

    def groups(self, windows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Places of windows that run together: of one length, and no more than `GROUP_TOKENS` tokens.

        One window each where the model's vectors depend on a window's company.
        """
        lengths = np.array([len(window) for window in windows], np.int64)
        kinds = np.array([self._needs_full_precision(window) for window in windows], np.int64)
        return equal_lengths(lengths, kinds, GROUP_TOKENS if self.company_is_safe else 0)

    def run_windows(self, windows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of a group's windows.

        Raises:
            EmbeddingError: the model returned a zero or non-finite vector.
        """
        return self._infer(windows)

    def run(self, plan: TokenPlan) -> NDArray[np.float32]:
        """Unit vector float32 [dim]: the windows' unit vectors averaged by `plan.weights`.

        Raises:
            EmbeddingError: the model returned a zero or non-finite vector.
        """
        vectors = np.concatenate([self._infer([window]) for window in plan.windows])
        return vectors[0] if len(vectors) == 1 else _mean_of(plan, vectors)

    def run_many(self, plans: Sequence[TokenPlan]) -> NDArray[np.float32]:
        """`run` of each plan, float32 [n, dim]; windows of equal length together, equal ones once."""
        pool = Pool(self, plans)
        for group in pool.groups:
            pool.put(group, self._infer(pool.windows_of(group)))
        return _vectors_of(pool)

    def run_roughly(self, windows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Vectors of windows of token ids, float32 [n, dim], in eight bits also where `run` takes full precision.

        For fits that average over very many: three times as quick for windows of one token.

        Raises:
            EmbeddingError: the model returned a zero or non-finite vector.
        """
        out = np.empty((len(windows), self.dim), np.float32)
        lengths = np.array([len(window) for window in windows], np.int64)
        for group in equal_lengths(lengths, np.zeros_like(lengths), _ROUGH_TOKENS if self.company_is_safe else 0):
            out[group] = self._infer([windows[place] for place in group.tolist()], False)
        return out

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of stored texts. Raises `EmbeddingError` as `plan` and `run` do."""
        return self._embed(texts, "passage")

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of search texts. Raises `EmbeddingError` as `plan` and `run` do."""
        return self._embed(texts, "query")

    @property
    def company_is_safe(self) -> bool:
        """Whether a window has the same vector, to the bit, alone and in a group; measured at the first call."""
        with self._company:
            return self._measured_company

    @functools.cached_property
    def _measured_company(self) -> bool:
        random = np.random.default_rng(0)
        vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=False)
        for length in _COMPANY_LENGTHS:
            windows = list(random.integers(0, vocabulary, (GROUP_TOKENS // length, length)))
            try:
                together = self._infer(windows, False)
                alone = np.concatenate([self._infer([window], False) for window in windows])
            except Exception:  # a graph of batch size 1, in ONNX Runtime's own exceptions; it stays with that
                return False
            if not np.array_equal(together, alone):
                return False
        return True

    def _embed(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._dim), dtype=np.float32)
        for begin in range(0, len(texts), POOL_TEXTS):
            plans = self.plan_many(texts[begin : begin + POOL_TEXTS], role)
            vectors[begin : begin + len(plans)] = self.run_many(plans)
        return vectors

    def _cut(self, encoding: Any, prompt: str, role: Role) -> TokenPlan:
        before, ids, after = self._parts(encoding, prompt)
        capacity = self._window - len(before) - len(after)
        if capacity < 1:
            raise EmbeddingError(
                f"a window of {self._window} tokens has no room beside the {role} prompt's "
                f"{len(before) + len(after)} tokens"
            )
        spans = _spans(len(ids), capacity, self._max_windows)
        windows = tuple(np.concatenate((before, ids[start:stop], after)) for start, stop in spans)
        if len(windows[0]) == 0:
            raise EmbeddingError("the text has no tokens and the model adds none")
        return TokenPlan(
            windows=windows,
            weights=np.array([stop - start for start, stop in spans], dtype=np.float32),
            tokens=len(ids),
            covered=_covered(spans),
        )

    def _parts(self, encoding: Any, prompt: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of what precedes the text (special tokens, prompt), of the text, and of what follows."""
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

    def _needs_full_precision(self, window: NDArray[np.int64]) -> bool:
        return self._few_tokens > 0 and len(set(window.tolist()) - self._uncounted) < self._few_tokens

    def _infer(self, windows: Sequence[NDArray[np.int64]], full_precision: bool | None = None) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of windows of one length that need the same precision.

        Args:
            windows: token ids.
            full_precision: whether they do; found out if None.
        """
        ids = np.stack(windows)
        feeds: dict[str, NDArray[Any]] = {}
        for name, dtype in self._inputs.items():
            if name == "input_ids":
                rows = ids
            elif name == "attention_mask":
                rows = np.ones_like(ids)
            elif name == "token_type_ids":
                rows = np.zeros_like(ids)
            else:
                last = self._first_position + ids.shape[1]
                rows = np.broadcast_to(np.arange(self._first_position, last), ids.shape)
            feeds[name] = np.ascontiguousarray(rows, dtype)
        if full_precision is None:
            full_precision = self._needs_full_precision(windows[0])
        if full_precision:
            feeds[FULL_PRECISION] = np.array(True)
        output: NDArray[Any] = self._session.run([self._output], feeds)[0]
        if output.ndim == 3:
            if self._pooling == "graph":
                raise EmbeddingError("the output sentence_embedding has one vector per token")
            # Added up token after token, whatever the number of windows: a reduction inside a graph is not.
            vectors = output[:, 0] if self._pooling == "cls" else output.mean(axis=1, dtype=np.float32)
        elif output.ndim == 2:
            vectors = output
        else:
            raise EmbeddingError(f"the output {self._output} has {output.ndim} dimensions, not 2 or 3")
        if len(vectors) != len(windows):
            raise EmbeddingError(f"the output {self._output} has {len(vectors)} vectors for {len(windows)} texts")
        return np.stack([_unit(vector) for vector in vectors.astype(np.float32, copy=False)])


def _open(model_file: Path, threads: int, providers: Sequence[str]) -> Any:
    try:
        return open_session(model_file, threads, providers)
    except ProviderError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own.
        raise ModelDirectoryError(f"ONNX Runtime cannot load {model_file}: {error}") from error


def _told(file: Path, work: Callable[[], T]) -> T:
    """What `work` makes of a file.

    Raises ModelDirectoryError, which names it, for whatever a library raises of a damaged one, its Rust's panics too.
    """
    try:
        return contained(work)
    except (ModelDirectoryError, EmbeddingError):
        raise
    except Exception as error:
        raise ModelDirectoryError(f"{file} cannot be used, it may be damaged: {error}") from error


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


def _few_tokens(session: Any) -> tuple[int, frozenset[int]]:
    """Below how many different tokens a window runs at full precision, 0 where the graph has no such way; and which
    tokens do not count.
    """
    stated = session.get_modelmeta().custom_metadata_map
    few = stated.get(FEW_TOKENS, "")
    if not few.isdecimal() or FULL_PRECISION not in {node.name for node in session.get_overridable_initializers()}:
        return 0, frozenset()
    return int(few), frozenset(int(token) for token in stated.get(UNCOUNTED_TOKENS, "").split())


def _chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """Parts of `texts` in order, each small enough to be tokenised at a time."""
    chunks = []
    begin = characters = 0
    for end, text in enumerate(texts):
        if end > begin and (end - begin == _TOKENISE_TEXTS or characters + len(text) > _TOKENISE_CHARACTERS):
            chunks.append(texts[begin:end])
            begin, characters = end, 0
        characters += len(text)
    if begin < len(texts):
        chunks.append(texts[begin:])
    return chunks


def _end(encoding: Any, token: int) -> int:
    """Where a token ends in the text, in code points."""
    span = encoding.token_to_chars(token)
    return span[1] if span is not None else 0


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0.0:
        raise EmbeddingError("the model returned a zero or non-finite vector")
    return np.asarray(vector / np.float32(norm), dtype=np.float32)


def _mean_of(plan: TokenPlan, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        return mean_of(plan, vectors)
    except ValueError as error:
        raise EmbeddingError(str(error)) from error


def _vectors_of(pool: Pool) -> NDArray[np.float32]:
    try:
        return pool.vectors()
    except ValueError as error:
        raise EmbeddingError(str(error)) from error


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
