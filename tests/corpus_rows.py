"""Corpora for tests of the pipeline: a few rows with little ceremony, embeddings without a model."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import unigram_tokenizer
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import Submission, normalise
from kinprint.server.corpus.plan import Batch, BatchOutcome
from kinprint.server.embed import EmbeddingSpace
from kinprint.server.embed.static import StaticTable
from numpy.typing import NDArray

DIM = 8
CHEAP = ("copy", "style")

_WORDS = (
    "river stone market evening letter window garden engine paper silver winter bridge candle orchard signal harbour "
    "mountain teacher kitchen journey pattern morning library weather council shadow copper meadow question answer "
    "quiet narrow sudden gentle bitter ancient hollow broken distant patient"
)
WORDS = tuple(_WORDS.split())


def submission(text: str, **fields: Any) -> Submission:
    """A transcript as sent, in English unless told otherwise, so that nothing has to be detected."""
    return Submission(**{"response": text, "language": "en", **fields})


def batch_of(
    corpus: Corpus, rows: Iterable[Submission], channels: Iterable[str] = CHEAP, started: int = 2**62
) -> Batch:
    """One batch; `started` far ahead means that every stored row was there before the stream."""
    made = normalise(corpus.name, list(rows), Counter())
    assert not made.refused
    return Batch(made, frozenset(channels), started)


def write(corpus: Corpus, rows: Iterable[Submission], channels: Iterable[str] = CHEAP) -> BatchOutcome:
    """Store rows as one batch."""
    (outcome,) = corpus.write([batch_of(corpus, rows, channels)])
    return outcome


def space(seed: int = 0) -> EmbeddingSpace:
    """An embedding space as a model of `DIM` dimensions would have it."""
    chance = np.random.default_rng(seed)
    basis = np.linalg.qr(chance.standard_normal((DIM, 1)))[0].T.astype(np.float32)
    mean = (0.1 * chance.standard_normal(DIM)).astype(np.float32)
    unrelated = np.tile([0.2, 0.1], (4, 1))
    components = np.linalg.qr(chance.standard_normal((DIM, DIM)))[0].astype(np.float32)
    return EmbeddingSpace(f"{seed:064x}", mean, basis, unrelated, components)


def sentence_vectors(text: str, sentences: int | None = None) -> NDArray[np.float32]:
    """Unit vectors that depend on the text alone, one to three of them unless told otherwise."""
    chance = np.random.default_rng(list(text.encode()))
    count = int(chance.integers(1, 4)) if sentences is None else sentences
    vectors = chance.standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def embed(corpus: Corpus, rows: Sequence[tuple[str, bytes, str]], into: EmbeddingSpace | None = None) -> None:
    """Fill the embeddings of (id, content hash, text), as the writer does once the model has made them."""
    vectors = [sentence_vectors(text) for _id, _hash, text in rows]
    starts = np.concatenate(([0], np.cumsum([len(v) for v in vectors]))).astype(np.int64)
    corpus.fill_embeddings(
        [i for i, _hash, _text in rows],
        [h for _id, h, _text in rows],
        np.concatenate(vectors),
        starts,
        space() if into is None else into,
    )


def content_hashes(rows: Iterable[Submission], corpus: str) -> list[bytes]:
    """Content hashes that the rows get when they are stored."""
    found: list[bytes] = normalise(corpus, list(rows), Counter()).frame["content_hash"].to_list()
    return found


def stored(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Every living row by id, with the channels it has as `channels`; ids must be distinct."""
    rows: dict[str, dict[str, Any]] = {}
    view = corpus.view
    for part in view.parts:
        table = part.segment.table.to_pylist()
        for k, row in enumerate(table):
            if part.alive[k]:
                assert row["id"] not in rows, "two living rows of one id"
                filled = [name for name in ("copy", "style", "semantic") if part.segment.filled(name)[k]]
                rows[row["id"]] = {**row, "channels": set(filled)}
    return rows


def family(chance: random.Random, texts: int, length: int = 60, kept: float = 0.85) -> list[str]:
    """Texts that share words in a row: each is an edit of one before it, now and then an equal one."""
    made = [" ".join(chance.choices(WORDS, k=length))]
    while len(made) < texts:
        kind = chance.random()
        base = chance.choice(made).split()
        if kind < 0.15:
            made.append(chance.choice(made))
        elif kind < 0.3:
            # The same to the copy channel, another text to everyone else.
            made.append("  ".join(base).upper())
        elif kind < 0.45:
            start = chance.randrange(len(base) // 2)
            made.append(" ".join(base[start : start + len(base) // 2]))
        elif kind < 0.6:
            made.append(" ".join(chance.choices(WORDS, k=length)))
        else:
            changed = (1 - kept) * chance.choice((1, 0.5, 0.1))
            made.append(" ".join(chance.choice(WORDS) if chance.random() < changed else w for w in base))
    return made


def table(seed: int = 0) -> StaticTable:
    """A static table over a small Unigram vocabulary, with vectors of DIM dimensions by chance."""
    document = unigram_tokenizer.document()
    vectors = np.random.default_rng(seed).standard_normal((len(document["model"]["vocab"]), DIM)).astype(np.float32)
    return StaticTable.of(vectors, json.dumps(document).encode(), name=f"table-{seed}", model_digest=space(seed).digest)
