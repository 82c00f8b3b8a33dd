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

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.embed.background import background_passages, remove_directions
from kinprint.server.embed.default_model.build import cache_directory
from kinprint.server.embed.directory import ModelDirectory
from kinprint.server.embed.one_builder import only_builder
from kinprint.server.embed.prior import (
    Unigram,
    embedding_layer,
    inverse_frequency_weights,
    language_scores,
    pseudo_sentences,
    unigram,
)
from kinprint.server.embed.protocol import Embedder
from kinprint.server.embed.ridge import fit_map, fit_tokens, one_thread_each, rescale, token_shares
from kinprint.server.embed.space import EmbeddingSpace, sentences_of
from kinprint.server.embed.static import Lessons, StaticTable, TableError, read_manifest
from kinprint.server.embed.teacher import Teacher, sentence_vectors
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
_TOKEN_PENALTY = 0.3
_CORPUS_PENALTY = 0.1
#: Sentences of a corpus by default: some two minutes of the default model on two cores.
CORPUS_SENTENCES = 40_000
#: Of a corpus's sentences, every so manieth is held out, and so many of them are compared with each other.
_CORPUS_HELD_OUT = 10
_COMPARED = 2000
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

    def directions(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The first block of some tokens at unit norm, float32 [n, k]."""
        return _unit(self.blocks[0][ids].astype(np.float32) - self.means[0])

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, sum of k]."""
        return np.concatenate(
            [
                (block[ids].astype(np.float32) - mean) * np.float32(factor)
                for block, mean, factor in zip(self.blocks, self.means, self.factors, strict=True)
            ],
            axis=1,
        )


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
    with one_thread_each():
        tokens = unigram(tokenizer_json)
        vocabulary = len(tokens.special)
        teacher = Teacher(embedder, workers)
        report("reading the embedding layer", 0.0)
        layer = embedding_layer(model_file, vocabulary)
        alone = teacher.vectors(
            [np.array([token]) for token in range(vocabulary)],
            lambda share: report("embedding single tokens", 0.05 + 0.6 * share),
        ).astype(np.float16)
        layered = layer is not None
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
        scores = language_scores(features.rows, weights, real, languages)
        pseudo = pseudo_sentences(_PSEUDO_SENTENCES, tokens, features.directions, scores, real, languages)
        taught = teacher.vectors(pseudo, lambda share: report("embedding pseudo-sentences", 0.68 + 0.25 * share))
        report("fitting", 0.94)
        # Pseudo-sentences have a common component of their own.
        targets = remove_directions(taught, taught.mean(axis=0), space.language_basis)
        held_out = np.arange(len(pseudo)) % _HELD_OUT == 0
        learned, asked = ([pseudo[i] for i in np.flatnonzero(which)] for which in (~held_out, held_out))
        linear = fit_map(_sentence_means(learned, features, weights), targets[~held_out], _MAP_PENALTY)
        vectors = np.zeros((vocabulary, embedder.dim), np.float32)
        for begin in range(0, vocabulary, _ROWS_AT_ONCE):
            place = np.arange(begin, min(begin + _ROWS_AT_ONCE, vocabulary))
            vectors[place] = (features.rows(place) @ linear[:-1] + linear[-1]) * weights[place, np.newaxis]
        del features, alone, layer
        shares = token_shares(learned, vocabulary)
        rescale(vectors, shares, targets[~held_out])
        before = _agreement(vectors, asked, targets[held_out])
        report("fitting", 0.96)
        fit_tokens(vectors, shares, targets[~held_out], _TOKEN_PENALTY, workers)
        table = StaticTable.of(
            vectors,
            tokenizer_json,
            name=f"{embedder.name}-static",
            model_digest=embedder.digest,
            fitted={
                "on": "pseudo-sentences",
                "recipe": RECIPE,
                "sentences": len(learned),
                "embedding_layer": layered,
                "held_out": {
                    "sentences": len(asked),
                    "cosine_of_the_map": round(before, 4),
                    "cosine": round(_agreement(vectors, asked, targets[held_out]), 4),
                },
            },
            lessons=_lessons(learned, targets[~held_out]),
        )
    report("ready", 1.0)
    return table


def distil_corpus(
    table: StaticTable,
    texts: Sequence[str],
    embedder: Embedder,
    space: EmbeddingSpace,
    progress: Progress | None,
    checkpoints: Path,
    *,
    sentences: int = CORPUS_SENTENCES,
    threads: int | None = None,
) -> StaticTable:
    """A table fitted to a corpus, from one that is not.

    The table's own lessons are learned again beside the corpus, so that languages and subjects which are not in it
    stay where they were.  A fit that was killed goes on where it stood and ends in the same bits, as long as table,
    texts and model are the same.

    Args:
        table: where to start.
        texts: sentences of the corpus, in an order that does not favour any; ones that came before are left out.
        embedder: the accurate model, the one that the table was distilled from.
        space: its space.
        progress: called with a step's name and the fraction done of the whole, 0 to 1.
        checkpoints: a folder for what takes long, the accurate vectors; the caller removes it afterwards.
        sentences: how many are taken at most.  One in ten is held out for the report.
        threads: how many work at once; all that this process may use if None.  The table is the same for any.

    Returns:
        A table in memory; its `fitted` says how good it is on the sentences held out, before and after:
        `cosine` to their accurate vectors, and `found`, the share of the accurate ten nearest among the fast hundred
        nearest (None for fewer than 200).

    Raises:
        ValueError: the table is of another model, or there are fewer than 20 sentences.
        EmbeddingError: a sentence cannot be embedded.
        OSError: a checkpoint cannot be written.
    """
    if table.model_digest != embedder.digest:
        raise ValueError("the table was distilled from another model")
    report = progress or _ignore
    workers = threads or _cores()
    distinct = [text for text in dict.fromkeys(texts) if text.strip()][:sentences]
    if len(distinct) < 2 * _CORPUS_HELD_OUT:
        raise ValueError(f"{len(distinct)} distinct sentences are too few for a fit; {2 * _CORPUS_HELD_OUT} are needed")
    encoded = [text.encode("utf-8", "replace") for text in distinct]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    ids, firsts = table.tokens(np.frombuffer(b"".join(encoded), np.uint8), offsets)
    report("embedding sentences", 0.0)
    accurate = sentence_vectors(
        embedder, distinct, checkpoints, lambda share: report("embedding sentences", 0.9 * share), workers
    )
    report("fitting", 0.9)
    with one_thread_each():
        targets = space.neutral(accurate)
        split = np.split(ids, firsts[1:-1])
        asked = np.arange(len(distinct)) % _CORPUS_HELD_OUT == 0
        held_out = ([split[i] for i in np.flatnonzero(asked)], targets[asked])
        learned, wanted = [split[i] for i in np.flatnonzero(~asked)], targets[~asked]
        if table.lessons is not None:
            learned = [*table.lessons.sentences(), *learned]
            wanted = np.concatenate([table.lessons.targets.astype(np.float32), wanted])
        vectors = table.vectors * table.scales[:, np.newaxis]
        before = _report(vectors, *held_out)
        shares = token_shares(learned, table.vocabulary)
        rescale(vectors, shares, wanted)
        fit_tokens(vectors, shares, wanted, _CORPUS_PENALTY, workers)
        # Special tokens are no text, whoever writes them.
        vectors[table.scales == 0] = 0
        fitted = StaticTable.of(
            vectors,
            table.tokenizer_json,
            name=table.name,
            model_digest=embedder.digest,
            fitted={
                "on": "corpus",
                "recipe": RECIPE,
                "base": table.digest,
                "sentences": int((~asked).sum()),
                "held_out": {"sentences": int(asked.sum()), "before": before, "after": _report(vectors, *held_out)},
            },
            lessons=table.lessons,
        )
    report("ready", 1.0)
    return fitted


def _report(
    vectors: NDArray[np.float32], sentences: Sequence[NDArray[np.integer[Any]]], targets: NDArray[np.float32]
) -> dict[str, float | None]:
    """`cosine` and `found` of `distil_corpus`."""
    fast = _sentences(vectors, sentences)
    near, wide = 10, 100
    found = None
    if len(fast) >= 2 * wide:
        few, few_targets = fast[:_COMPARED], targets[:_COMPARED]
        both = []
        for made, count in ((few_targets, near), (few, wide)):
            cosines = made @ made.T
            np.fill_diagonal(cosines, -2)
            both.append(np.argpartition(-cosines, count, axis=1)[:, :count])
        shared = [np.isin(best, candidates).mean() for best, candidates in zip(*both, strict=True)]
        found = round(float(np.mean(shared)), 4)
    return {"cosine": round(float((fast * targets).sum(axis=1).mean()), 4), "found": found}


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
    report = progress or _ignore
    directory = table_directory(embedder, cache)
    table = _usable(directory, embedder)
    if table is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with only_builder(directory, report):
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
    directory = ModelDirectory.read(root)
    return directory.model_file, directory.tokenizer_file


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


def _sentences(vectors: NDArray[np.float32], sentences: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.float32]:
    """A table's unit vectors of token sequences, float32 [n, dim]."""
    return _unit(np.stack([vectors[sentence].sum(axis=0) for sentence in sentences]))


def _agreement(
    vectors: NDArray[np.float32], sentences: Sequence[NDArray[np.int64]], targets: NDArray[np.float32]
) -> float:
    """Mean cosine of a table's vectors of token sequences with the accurate ones."""
    return float((_sentences(vectors, sentences) * targets).sum(axis=1).mean())


def _lessons(sentences: Sequence[NDArray[np.int64]], targets: NDArray[np.float32]) -> Lessons:
    firsts = np.zeros(len(sentences) + 1, np.int64)
    np.cumsum([len(sentence) for sentence in sentences], out=firsts[1:])
    return Lessons(np.concatenate(sentences).astype(np.int32), firsts, targets.astype(np.float16))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignore(step: str, fraction: float) -> None:
    """Progress that nobody asked for."""
