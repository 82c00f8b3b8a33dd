"""What a model knows of its tokens before any corpus is seen; `distil` makes the static table from it.

How frequent a token is (by its tokenizer), what the embedding layer holds of it (where the graph lets that be read),
which language it belongs to, and pseudo-sentences: the package's background sentences with their rarer tokens replaced
by others of the same language.  Each is the same on every run: fixed seeds, fixed order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Under this key a graph's metadata may name the tensor that holds the words' own embeddings.
WORDS_KEY = "kinprint.word_embeddings"
_READABLE = {"Gather", "GatherBlockQuantized"}
#: What may stand between the lookup of a quantised table and its numbers.
_BETWEEN = {"Cast", "DequantizeLinear", "Identity"}
_IDS_AT_ONCE = 8192
#: Tokens that pseudo-sentences draw from, for each language.
_POOL = 8000
#: A token's nearest in its pool, among which a pseudo-sentence finds its subject.
_NEAR = 60
_SUBJECT_SHARE = 0.45
_REPLACED_SHARE = 0.5
#: Tokens more frequent than this are the frame of a sentence and stay.
_FRAME_PROBABILITY = 2e-3
_SHORTEST_FRAME = 4


@dataclass(frozen=True, slots=True, eq=False)
class Unigram:
    """How frequent tokens are.

    Attributes:
        probabilities: float64 [vocabulary].
        special: bool [vocabulary], tokens that are no text.
    """

    probabilities: NDArray[np.float64]
    special: NDArray[np.bool_]

    @property
    def ranked(self) -> NDArray[np.int64]:
        """Ordinary tokens, the most frequent first; equal ones by id."""
        order = np.argsort(-self.probabilities, kind="stable")
        return order[~self.special[order]]


def unigram(tokenizer_json: bytes) -> Unigram:
    """Token frequencies as a tokenizer states them.

    A SentencePiece unigram model has log-probabilities.  The vocabularies of others (WordPiece, BPE) are ordered
    roughly by frequency, so Zipf's law takes the place of counts.

    Raises:
        ValueError: the file names no vocabulary.
    """
    document = json.loads(tokenizer_json)
    model = document.get("model") or {}
    vocabulary = model.get("vocab")
    if not vocabulary:
        raise ValueError("the tokenizer names no vocabulary")
    added = {int(token["id"]): bool(token.get("special")) for token in document.get("added_tokens") or []}
    if isinstance(vocabulary, list):
        size = max(len(vocabulary), max(added, default=-1) + 1)
        probabilities = np.zeros(size)
        probabilities[: len(vocabulary)] = np.exp([float(score) for _, score in vocabulary])
    else:
        size = max(max(int(index) for index in vocabulary.values()), max(added, default=-1)) + 1
        probabilities = 1 / (np.arange(size) + 2.7) / np.log(max(size, 3))
    special = np.zeros(size, bool)
    special[[index for index, is_special in added.items() if is_special]] = True
    ordinary = ~special
    most = float(probabilities[ordinary].max()) if ordinary.any() else 1.0
    if isinstance(vocabulary, list) and model.get("unk_id") is not None:
        # What stands for anything says nothing; its score is a placeholder.
        probabilities[int(model["unk_id"])] = most
    probabilities[special] = most
    return Unigram(np.minimum(probabilities, most), special)


def inverse_frequency_weights(tokens: Unigram, scale: float) -> NDArray[np.float32]:
    """`scale / (scale + p)` for each token (SIF, Arora, Liang and Ma 2017); 0 for special ones."""
    weights = scale / (scale + tokens.probabilities)
    weights[tokens.special] = 0
    return weights.astype(np.float32)


def embedding_layer(model_file: Path, vocabulary: int) -> NDArray[np.float16] | None:
    """What the word embedding of an ONNX graph gives each token, standardised, float16 [vocabulary, hidden].

    The part of the graph from `input_ids` to the lookup is run alone.  Each row gets mean 0 and variance 1, as the
    layer norm that follows in most encoders makes it (that norm's own weights fold into the linear map fitted later).

    Returns:
        None where no lookup by `input_ids` is found that gives floats.
    """
    import onnx
    from onnx import TensorProto, helper
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    model = onnx.load(str(model_file), load_external_data=False)
    graph = model.graph
    stated = {entry.key: entry.value for entry in model.metadata_props}
    found = stated.get(WORDS_KEY) or _lookup_output(graph)
    if found is None:
        return None
    nodes, initialisers = _ancestors(graph, found)
    if any(value.name != "input_ids" for value in graph.input if any(value.name in node.input for node in nodes)):
        return None
    for tensor in initialisers:
        if uses_external_data(tensor):
            load_external_data_for_tensor(tensor, str(model_file.parent))
            # Loaded, but still marked: ONNX Runtime would look for the file.
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    inputs = [value for value in graph.input if value.name == "input_ids"]
    integer = np.int32 if inputs[0].type.tensor_type.elem_type == TensorProto.INT32 else np.int64
    part = helper.make_model(
        helper.make_graph(nodes, "lookup", inputs, [onnx.ValueInfoProto(name=found)], initialisers),
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    return _run_lookup(part, found, vocabulary, integer)


def _run_lookup(part: Any, output: str, vocabulary: int, integer: type) -> NDArray[np.float16] | None:
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime's exceptions share no base class: a graph of an unknown kind
        return None
    table: NDArray[np.float16] | None = None
    for begin in range(0, vocabulary, _IDS_AT_ONCE):
        ids: NDArray[Any] = np.arange(begin, min(begin + _IDS_AT_ONCE, vocabulary), dtype=integer)
        try:
            rows: NDArray[Any] = session.run([output], {"input_ids": ids[:, np.newaxis]})[0]
        except Exception:  # as above; also a tokenizer with more tokens than the table
            return None
        if not np.issubdtype(rows.dtype, np.floating) or rows.ndim != 3:
            return None
        rows = rows[:, 0].astype(np.float32)
        rows -= rows.mean(axis=1, keepdims=True)
        rows /= np.sqrt((rows * rows).mean(axis=1, keepdims=True) + np.float32(1e-12))
        if table is None:
            table = np.empty((vocabulary, rows.shape[1]), np.float16)
        table[begin : begin + len(ids)] = rows
    return table


def _lookup_output(graph: Any) -> str | None:
    """The tensor that a lookup by `input_ids` gives, past what turns it into floats."""
    by_input: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            by_input.setdefault(name, []).append(node)
    names = ["input_ids"]
    for name in names:
        for node in by_input.get(name, []):
            if node.op_type in _READABLE and node.input[1] == name:
                output = str(node.output[0])
                while len(after := by_input.get(output, [])) == 1 and after[0].op_type in _BETWEEN:
                    output = str(after[0].output[0])
                return output
            if node.op_type in {"Cast", "Identity"}:
                names.append(node.output[0])
    return None


def _ancestors(graph: Any, output: str) -> tuple[list[Any], list[Any]]:
    """Nodes and initialisers that `output` depends on, in the graph's order."""
    wanted = {output}
    nodes = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            nodes.append(node)
            wanted.update(name for name in node.input if name)
    return nodes[::-1], [tensor for tensor in graph.initializer if tensor.name in wanted]


def language_scores(
    features: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    weights: NDArray[np.float32],
    sentences: Sequence[NDArray[np.int64]],
    languages: NDArray[np.int64],
) -> NDArray[np.float32]:
    """How well each token fits each language, by ridge regression on the tokens of sentences of known languages.

    Args:
        features: of tokens int64 [n], float32 [n, k].
        weights: float32 [vocabulary], so that punctuation does not count.
        sentences: token ids of each sentence.
        languages: int64 [len(sentences)], 0 to L - 1.

    Returns:
        float32 [vocabulary, L].
    """
    ids = np.concatenate(sentences)
    labels = np.repeat(languages, [len(sentence) for sentence in sentences])
    used, place = np.unique(ids, return_inverse=True)
    x = features(used).astype(np.float64)[place]
    y = np.eye(int(languages.max()) + 1)[labels]
    y -= y.mean(axis=0)
    weighted = x * weights[ids, np.newaxis].astype(np.float64)
    gram = weighted.T @ x
    gram[np.diag_indices_from(gram)] += 0.3 * np.trace(gram) / len(gram)
    linear = np.linalg.solve(gram, weighted.T @ y).astype(np.float32)
    tokens = np.arange(len(weights))
    parts = [features(tokens[begin : begin + _IDS_AT_ONCE]) @ linear for begin in range(0, len(tokens), _IDS_AT_ONCE)]
    return np.concatenate(parts)


def pseudo_sentences(
    count: int,
    tokens: Unigram,
    directions: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    scores: NDArray[np.float32],
    frames: Sequence[NDArray[np.int64]],
    languages: NDArray[np.int64],
    *,
    seed: int = 0,
) -> list[NDArray[np.int64]]:
    """Sentences as far as a bag of tokens can tell: frames with half of their rarer tokens replaced.

    Those come from the frame's language, by frequency, a part of them near one token, so that the sentence has a
    subject.  A model's vectors of such sentences show how its vectors depend on the tokens in them.

    Args:
        count: how many; the languages get equal shares.
        directions: of tokens int64 [n], unit vectors float32 [n, k] that tell which mean something similar.
        scores: as `language_scores` gives them.
        frames: token ids of real sentences.
        languages: int64 [len(frames)], the language of each.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    kinds = scores.shape[1]
    label = scores.argmax(axis=1)
    drawable = tokens.ranked[: max(1, int(0.8 * len(tokens.ranked)))]
    logarithms = np.log(np.maximum(tokens.probabilities, 1e-30))
    sentences = []
    for language in range(kinds):
        own = [
            f for f, of in zip(frames, languages.tolist(), strict=True) if of == language and len(f) >= _SHORTEST_FRAME
        ]
        pool = drawable[label[drawable] == language]
        pool = pool[np.argsort(-(logarithms[pool] + 8 * scores[pool, language]), kind="stable")][:_POOL]
        if not own or not len(pool):
            continue
        common = tokens.probabilities[pool] ** 0.75
        subjects = tokens.probabilities[pool] ** 0.5
        share = count * (language + 1) // kinds - count * language // kinds
        seeds = random.choice(len(pool), share, p=subjects / subjects.sum())
        common /= common.sum()
        meanings = directions(pool)
        for begin in range(0, share, 256):
            nearness = meanings[seeds[begin : begin + 256]] @ meanings.T
            for row in nearness:
                near = np.argpartition(-row, min(_NEAR, len(pool) - 1))[:_NEAR]
                sentence = own[int(random.integers(len(own)))].copy()
                replaced = (tokens.probabilities[sentence] < _FRAME_PROBABILITY) & (
                    random.random(len(sentence)) < _REPLACED_SHARE
                )
                drawn = int(replaced.sum())
                on_subject = random.random(drawn) < _SUBJECT_SHARE
                others = random.choice(len(pool), drawn, p=common)
                sentence[replaced] = pool[np.where(on_subject, random.choice(near, drawn), others)]
                sentences.append(sentence)
    return sentences
