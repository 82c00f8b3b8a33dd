"""Static tables distilled from the accurate model: `distil_default` from the model alone, `distil_corpus` on a corpus.

Every token has two kinds of features: the accurate model's vector of that token alone (Model2Vec), and its row of the
embedding layer where the graph lets that be read.  One linear map takes their weighted mean over a sentence to the
accurate model's neutral vector of the sentence.  It is fitted on pseudo-sentences and on the background that ships
with the package, so the default table has seen no corpus.  `distil_corpus` goes on from a table: ridge regression
moves each token's vector towards what the accurate vectors of a sample of the corpus ask for.

Everything runs in a fixed order with fixed seeds, in chunks of fixed size and with one thread of linear algebra each,
so the same machine makes the same bits on any number of threads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.embed.background import background_passages, remove_directions
from kinprint.server.embed.default_model.build import cache_directory
from kinprint.server.embed.onnx import _MODEL_FILES, _first_file, _read_modules
from kinprint.server.embed.prior import (
    Unigram,
    embedding_layer,
    inverse_frequency_weights,
    language_scores,
    pseudo_sentences,
    unigram,
)
from kinprint.server.embed.protocol import Embedder, TokenPlan
from kinprint.server.embed.space import EmbeddingSpace, sentences_of
from kinprint.server.embed.static import StaticTable, TableError, read_manifest
from numpy.typing import NDArray

Progress = Callable[[str, float], None]

RECIPE = 1
"""Raised with every change of the default table's bytes; part of its directory's name."""

#: Scale of the inverse frequency weights.
_WEIGHT_SCALE = 1e-4
_PSEUDO_SENTENCES = 16_000
#: Of the pseudo-sentences, every so manieth is held out for the report.
_HELD_OUT = 20
_MAP_PENALTY = 0.03
_TOKENS_AT_ONCE = 512
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """Blocks of token features, float16 [vocabulary, k] each, with what is subtracted and what multiplied."""

    blocks: tuple[NDArray[np.float16], ...]
    means: tuple[NDArray[np.float32], ...]
    factors: tuple[float, ...]

    @classmethod
    def of(cls, blocks: Sequence[NDArray[np.float16]], tokens: Unigram) -> _Features:
        """Each block about its mean over the tokens (weighted by the root of their frequency), rows of norm 1 in
        the mean."""
        common = np.sqrt(tokens.probabilities)
        common[tokens.special] = 0
        common /= common.sum()
        means, factors = [], []
        for block in blocks:
            mean = np.zeros(block.shape[1])
            square = 0.0
            for begin in range(0, len(block), _ROWS_AT_ONCE):
                part = block[begin : begin + _ROWS_AT_ONCE].astype(np.float64)
                mean += common[begin : begin + len(part)] @ part
            for begin in range(0, len(block), _ROWS_AT_ONCE):
                part = block[begin : begin + _ROWS_AT_ONCE].astype(np.float64) - mean
                square += float((part * part).sum())
            means.append(mean.astype(np.float32))
            factors.append(float((square / len(block)) ** -0.5))
        return cls(tuple(blocks), tuple(means), tuple(factors))

    def __len__(self) -> int:
        return len(self.blocks[0])

    def rows(self, ids: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """float32 [n, sum of k]."""
        return np.concatenate(
            [
                (block[ids].astype(np.float32) - mean) * np.float32(factor)
                for block, mean, factor in zip(self.blocks, self.means, self.factors, strict=True)
            ],
            axis=1,
        )


class _Teacher:
    """The accurate model, asked for many short token sequences."""

    def __init__(self, embedder: Embedder, threads: int) -> None:
        self._embedder = embedder
        self._threads = threads
        # The frame is what two texts of one token have in common at both ends.
        one, other = (embedder.plan(text).windows[0].tolist() for text in ("a", "1"))
        before = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), 0)
        after = next((i for i, (x, y) in enumerate(zip(one[::-1], other[::-1], strict=False)) if x != y), 0)
        self._before = np.array(one[:before], np.int64)
        self._after = np.array(one[len(one) - after :], np.int64)
        self._room = max(1, min(embedder.max_tokens, 256) - before - after)

    def vectors(self, sequences: Sequence[NDArray[np.int64]], report: Callable[[float], None]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of token sequences; ones that the model has no vector for are zero."""
        out = np.zeros((len(sequences), self._embedder.dim), np.float32)
        order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
        step = 256
        chunks = [order[begin : begin + step] for begin in range(0, len(order), step)]

        def run(chunk: NDArray[np.int64]) -> None:
            for place in chunk.tolist():
                ids = np.concatenate((self._before, sequences[place][: self._room], self._after))
                plan = TokenPlan((ids,), np.ones(1, np.float32), len(ids), len(ids))
                out[place] = self._embedder.run(plan)

        with ThreadPoolExecutor(self._threads) as pool:
            for done, _ in enumerate(pool.map(run, chunks), 1):
                report(done / len(chunks))
        return out


def distil_default(
    embedder: Embedder,
    space: EmbeddingSpace,
    model_directory: Path,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
) -> StaticTable:
    """A static table of a model that has seen no corpus (a minute or two on two cores for the default model).

    Args:
        embedder: the accurate model.
        space: its space.
        model_directory: where it lies; its tokenizer becomes the table's, its graph is looked into.
        progress: called with a step's name and the fraction done of the whole, 0 to 1.
        threads: how many work at once; all that this process may use if None.  The table is the same for any.

    Raises:
        ValueError: the tokenizer names no vocabulary.
        EmbeddingError: the model fails on a token sequence.
    """
    report = progress or _ignore
    workers = threads or _cores()
    model_file, tokenizer_file = _model_files(model_directory)
    tokenizer_json = tokenizer_file.read_bytes()
    with _one_thread_each():
        tokens = unigram(tokenizer_json)
        vocabulary = len(tokens.special)
        teacher = _Teacher(embedder, workers)
        report("reading the embedding layer", 0.0)
        layer = embedding_layer(model_file, vocabulary)
        alone = teacher.vectors(
            [np.array([token]) for token in range(vocabulary)],
            lambda share: report("embedding single tokens", 0.05 + 0.6 * share),
        ).astype(np.float16)
        features = _Features.of([alone] if layer is None else [alone, layer], tokens)
        weights = inverse_frequency_weights(tokens, _WEIGHT_SCALE)
        passages = background_passages()
        split = [(p.language, sentence) for p in passages for sentence in sentences_of(p.text)]
        names = sorted({language for language, _ in split})
        languages = np.array([names.index(language) for language, _ in split])
        library = _tokenizer(tokenizer_json)
        real = [
            np.array(e.ids, np.int64)
            for e in library.encode_batch([sentence for _, sentence in split], add_special_tokens=False)
        ]
        report("writing pseudo-sentences", 0.66)
        everything = np.concatenate(
            [features.rows(slice(b, b + _ROWS_AT_ONCE)) for b in range(0, vocabulary, _ROWS_AT_ONCE)]
        )
        scores = language_scores(everything, weights, real, languages)
        directions = _unit(everything[:, : embedder.dim])
        pseudo = pseudo_sentences(_PSEUDO_SENTENCES, tokens, directions, scores, real, languages)
        del everything, directions
        taught = teacher.vectors(pseudo, lambda share: report("embedding pseudo-sentences", 0.68 + 0.25 * share))
        report("fitting", 0.94)
        # Pseudo-sentences have a common component of their own.
        targets = remove_directions(taught, taught.mean(axis=0), space.language_basis)
        held_out = np.arange(len(pseudo)) % _HELD_OUT == 0
        means = _sentence_means(pseudo, features, weights)
        linear = _fit_map(means[~held_out], targets[~held_out])
        vectors = np.zeros((vocabulary, embedder.dim), np.float32)
        for begin in range(0, vocabulary, _ROWS_AT_ONCE):
            place = slice(begin, begin + _ROWS_AT_ONCE)
            vectors[place] = (features.rows(place) @ linear[:-1] + linear[-1]) * weights[place, np.newaxis]
        table = StaticTable.of(
            vectors,
            tokenizer_json,
            name=f"{embedder.name}-static",
            model_digest=embedder.digest,
            fitted={
                "on": "pseudo-sentences",
                "recipe": RECIPE,
                "sentences": int((~held_out).sum()),
                "embedding_layer": layer is not None,
                "held_out_cosine": round(
                    _agreement(vectors, [pseudo[i] for i in np.flatnonzero(held_out)], targets[held_out]), 4
                ),
            },
        )
    report("ready", 1.0)
    return table


def table_directory(embedder: Embedder, cache: Path | None = None) -> Path:
    """Where the default table of a model lies."""
    return _tables(cache) / f"{embedder.name}-r{RECIPE}-{embedder.digest[:32]}"


def find_table(model_name: str, cache: Path | None = None) -> Path | None:
    """The default table of a model of that name, without loading the model or the table; the newest of several.

    Whether it belongs to the model that is there, its `model_digest` says when that is loaded.
    """
    found = []
    for directory in _tables(cache).glob(f"{model_name}-r{RECIPE}-*"):
        try:
            read_manifest(directory)
            found.append((directory.stat().st_mtime_ns, directory))
        except (OSError, TableError):
            continue
    return max(found)[1] if found else None


def load_table(
    embedder: Embedder,
    space: EmbeddingSpace,
    model_directory: Path,
    progress: Progress | None = None,
    *,
    cache: Path | None = None,
    threads: int | None = None,
) -> StaticTable:
    """The default table of a model: made once on a machine, then mapped.

    Safe to call from several processes: the second waits for the first.

    Args:
        embedder: the accurate model.
        space: its space.
        model_directory: where the model lies.
        progress: called with a step's name and the fraction done of the whole, 0 to 1.
        cache: directory for tables; `tables` in Kinprint's cache if None.
        threads: as for `distil_default`.

    Raises:
        OSError: the cache cannot be written.
        ValueError, EmbeddingError: as `distil_default`.
    """
    from filelock import FileLock

    report = progress or _ignore
    directory = table_directory(embedder, cache)
    table = _usable(directory, embedder)
    if table is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        report("waiting for the lock", 0.0)
        with FileLock(directory.parent / f".{directory.name}.lock"):
            table = _usable(directory, embedder)
            if table is None:
                made = distil_default(embedder, space, model_directory, report, threads=threads)
                table = made.save(directory)
    report("ready", 1.0)
    return table


def _usable(directory: Path, embedder: Embedder) -> StaticTable | None:
    try:
        table = StaticTable.load(directory)
    except (OSError, TableError):
        return None  # none yet, or damaged: made again
    return table if table.model_digest == embedder.digest else None


def _tables(cache: Path | None) -> Path:
    return cache_directory() / "tables" if cache is None else Path(cache)


def _model_files(root: Path) -> tuple[Path, Path]:
    """Model and tokenizer of a directory, as `OnnxEmbedder` chooses them."""
    root = Path(root)
    folders = [root / _read_modules(root).get("Transformer", ""), root]
    return _first_file(folders, _MODEL_FILES), _first_file(folders, ("tokenizer.json",))


def _tokenizer(tokenizer_json: bytes) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _sentence_means(
    sentences: Sequence[NDArray[np.int64]], features: _Features, weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted mean of the features of each sentence's tokens, float32 [n, k]."""
    out = []
    for begin in range(0, len(sentences), 1024):
        part = sentences[begin : begin + 1024]
        ids = np.concatenate(part)
        starts = np.cumsum([0] + [len(sentence) for sentence in part])[:-1]
        used, inverse = np.unique(ids, return_inverse=True)
        rows = features.rows(used)[inverse] * weights[ids, np.newaxis]
        total = np.add.reduceat(weights[ids], starts)
        out.append(np.add.reduceat(rows, starts, axis=0) / np.maximum(total, np.float32(1e-9))[:, np.newaxis])
    return np.concatenate(out)


def _fit_map(means: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ridge regression of targets [n, dim] on means [n, k] and a constant (not penalised): float32 [k + 1, dim]."""
    k = means.shape[1]
    gram = np.zeros((k + 1, k + 1))
    right = np.zeros((k + 1, targets.shape[1]))
    for begin in range(0, len(means), 4096):
        x = np.ones((len(means[begin : begin + 4096]), k + 1))
        x[:, :k] = means[begin : begin + 4096]
        gram += x.T @ x
        right += x.T @ targets[begin : begin + 4096].astype(np.float64)
    gram[np.arange(k), np.arange(k)] += _MAP_PENALTY * np.trace(gram[:k, :k]) / k
    return np.linalg.solve(gram, right).astype(np.float32)


def _agreement(
    vectors: NDArray[np.float32], sentences: Sequence[NDArray[np.int64]], targets: NDArray[np.float32]
) -> float:
    """Mean cosine of the table's sentence vectors with the accurate ones."""
    fast = _unit(np.stack([vectors[sentence].sum(axis=0) for sentence in sentences]))
    return float((fast * targets).sum(axis=1).mean())


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Linear algebra on one thread: how sums are split decides their last bits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignore(step: str, fraction: float) -> None:
    """Progress that nobody asked for."""
