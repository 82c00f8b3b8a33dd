"""Peers of `kinship.py`: how alike models are by methods that do not match prompts, and scikit-learn doing what we do.

All read the same answers and the same first code points of each.  None has a reference or a cohort to leave anybody
out of; deviations and rarities are over all models.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.style import burrows as delta
from kinprint.kernels.style import words
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

#: Words; letters of scripts without spaces are words by themselves.
_SPACELESS = r"\u3040-\u30ff\u3400-\u9fff"
_WORDS = rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+"
_WORDS_IN_POLARS = r"[\p{Hiragana}\p{Katakana}\p{Han}]|[\p{L}\p{M}\p{N}_&&[^\p{Hiragana}\p{Katakana}\p{Han}]]+"
#: Words of Burrows's Delta, the most frequent ones.
FREQUENT = 1000
#: N-grams of each length that a model over-uses most, and how often it must use one.
OVERUSED, LEAST_USES = 500, 5


def _joined(texts: Sequence[str], model: NDArray[np.int64], models: int) -> list[str]:
    """All answers of each model in one text."""
    parts: list[list[str]] = [[] for _ in range(models)]
    for text, m in zip(texts, model, strict=True):
        parts[m].append(text)
    return ["\n".join(part) for part in parts]


def tfidf_characters(texts: Sequence[str], model: NDArray[np.int64], models: int) -> NDArray[np.float64]:
    """Cosine of TF-IDF vectors of character 3- to 5-grams within words."""
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    return _cosines(vectorizer, _joined(texts, model, models))


def tfidf_words(texts: Sequence[str], model: NDArray[np.int64], models: int) -> NDArray[np.float64]:
    """Cosine of TF-IDF vectors of words."""
    vectorizer = TfidfVectorizer(token_pattern=_WORDS, sublinear_tf=True, min_df=2)
    return _cosines(vectorizer, _joined(texts, model, models))


def _cosines(vectorizer: TfidfVectorizer, documents: Sequence[str]) -> NDArray[np.float64]:
    matrix = vectorizer.fit_transform(documents)
    return np.asarray((matrix @ matrix.T).toarray(), np.float64)


def burrows(texts: Sequence[str], model: NDArray[np.int64], models: int) -> NDArray[np.float64]:
    """Burrows's Delta of the most frequent words, its sign changed."""
    return _delta(texts, model, "burrows")


def cosine_delta(texts: Sequence[str], model: NDArray[np.int64], models: int) -> NDArray[np.float64]:
    """Cosine Delta of the most frequent words, its sign changed."""
    return _delta(texts, model, "cosine")


def _delta(texts: Sequence[str], model: NDArray[np.int64], kind: delta.Kind) -> NDArray[np.float64]:
    packed = Texts.from_offsets(*from_texts(texts))
    vocabulary, _ = words.most_frequent(packed, FREQUENT)
    table = delta.frequencies(packed, vocabulary, model)
    return -delta.delta(table, table, *delta.mean_and_sd(table), kind)


def lexical_tree(texts: Sequence[str], model: NDArray[np.int64], models: int) -> NDArray[np.float64]:
    """Jaccard similarity of the words, 2- and 3-grams that each model over-uses most, beside all others.

    The presence and absence of over-used n-grams is what the lexical trees of the Slop Forensics Toolkit (S. Paech) are
    built from, there beside a list of how people use words.
    """
    frame = pl.DataFrame({"answer": np.arange(len(texts)), "model": model, "text": pl.Series(texts, dtype=pl.String)})
    words = frame.select(
        "answer", "model", word=pl.col("text").str.to_lowercase().str.extract_all(_WORDS_IN_POLARS)
    ).explode("word", empty_as_null=False)
    code = words["word"].cast(pl.Categorical).to_physical().cast(pl.UInt64).to_numpy()
    answer, by = words["answer"].to_numpy(), words["model"].to_numpy()
    alike, sizes = np.zeros((models, models)), np.zeros(models)
    gram = code.copy()
    for length in (1, 2, 3):
        if length > 1:  # the n-gram that begins here, and the next word
            gram = gram[:-1] * np.uint64(0x9E3779B97F4A7C15) + code[length - 1 :] + np.uint64(1)
        whole = answer[length - 1 :] == answer[: len(answer) - length + 1]
        presence = _overused(gram[whole], by[: len(whole)][whole], models)
        alike += presence @ presence.T
        sizes += presence.sum(axis=1)
    return alike / np.maximum(sizes[:, None] + sizes[None, :] - alike, 1)


def _overused(gram: NDArray[np.uint64], model: NDArray[np.int64], models: int) -> NDArray[np.float32]:
    """Whether an n-gram is among those a model over-uses most, float32[models, n-grams that any over-uses]."""
    counts = (
        pl.DataFrame({"gram": gram, "model": model})
        .group_by("gram", "model")
        .agg(own=pl.len())
        .with_columns(everywhere=pl.col("own").sum().over("gram"))
        .filter(pl.col("own") >= LEAST_USES)
    )
    total = np.bincount(model, minlength=models)
    m, own, everywhere = (counts[c].to_numpy() for c in ("model", "own", "everywhere"))
    ratio = own / total[m] / ((everywhere - own + 1) / (total.sum() - total[m]))
    best = (
        counts.with_columns(ratio=ratio)
        .sort("model", "ratio", "gram", descending=[False, True, False])
        .group_by("model", maintain_order=True)
        .head(OVERUSED)
    )
    distinct, column = np.unique(best["gram"].to_numpy(), return_inverse=True)
    presence = np.zeros((models, len(distinct)), np.float32)
    presence[best["model"].to_numpy(), column] = 1
    return presence


def one_prompt(texts: Sequence[str]) -> NDArray[np.float64]:
    """Residual cosines of the answers to one prompt by scikit-learn's TF-IDF, mean of characters and words."""
    total = np.zeros((len(texts), len(texts)))
    for vectorizer in (
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
        TfidfVectorizer(token_pattern=_WORDS, ngram_range=(1, 2), sublinear_tf=True),
    ):
        x = _cosines(vectorizer, texts)
        x = x - x.mean(axis=0) - x.mean(axis=1)[:, None] + x.mean()
        length = np.sqrt(np.maximum(x.diagonal(), 1e-9))
        total += x / length[:, None] / length[None, :]
    return total / 2


def mean_of_prompts(
    texts: Sequence[str], model: NDArray[np.int64], starts: NDArray[np.int64], models: int
) -> NDArray[np.float64]:
    """Mean over prompts of `one_prompt`, float64[models, models]; `texts` are prompt by prompt."""
    total, shared = np.zeros((models, models)), np.zeros((models, models))
    for begin, end in pairwise(starts):
        own = model[begin:end]
        total[np.ix_(own, own)] += one_prompt(texts[begin:end])
        shared[np.ix_(own, own)] += 1
    return total / np.maximum(shared, 1)


def seconds_of(texts: Sequence[str], model: NDArray[np.int64], starts: NDArray[np.int64], models: int) -> float:
    """CPU seconds of `mean_of_prompts`."""
    started = time.process_time()
    mean_of_prompts(texts, model, starts, models)
    return time.process_time() - started
