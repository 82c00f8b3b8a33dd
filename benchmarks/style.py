"""How often the nearest style neighbour of an answer, among other prompts, is by the same model.

    .venv/bin/python benchmarks/style.py transcripts.parquet --models 20 --prompts 100 --seeds 1 2

Needs the columns `model`, `prompt_id`, `response`; `--language` keeps one value of `language`.  The peer is the plain
cosine of the same vectors, without scaling.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
from kinprint.kernels.arrow import from_texts
from kinprint.kernels.style import stylometry
from kinprint.server.statistics import auc
from numpy.typing import NDArray


def draw(frame: pl.DataFrame, models: int, prompts: int, seed: int) -> pl.DataFrame:
    """Answers of some models to some prompts, both drawn with `seed`."""
    rng = np.random.default_rng(seed)
    chosen = {}
    for column, count in (("model", models), ("prompt_id", prompts)):
        values = frame[column].unique().sort().to_list()
        chosen[column] = rng.choice(values, min(count, len(values)), replace=False).tolist()
    return frame.filter(*(pl.col(c).is_in(v) for c, v in chosen.items())).sort("prompt_id", "model")


def scaled_scores(vectors: NDArray[np.int8]) -> NDArray[np.float32]:
    """Cosine Delta of all with all, float32[n, n]."""
    mean, inverse = stylometry.scaler(stylometry.stats(vectors))
    return np.stack([stylometry.scores(vector, vectors, mean, inverse) for vector in vectors])


def plain_scores(vectors: NDArray[np.int8]) -> NDArray[np.float32]:
    """Cosine of all with all without scaling, float32[n, n]."""
    floats = vectors.astype(np.float32)
    floats /= np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-9)
    return floats @ floats.T


def measure(scores: NDArray[np.float32], models: NDArray, prompts: NDArray) -> tuple[float, float]:
    """(share of nearest neighbours by the same model among other prompts, pair AUC).

    Pair AUC: chance that one model on two prompts scores above two models on one prompt.
    """
    other_prompt = prompts[:, None] != prompts[None, :]
    same_model = models[:, None] == models[None, :]
    nearest = np.where(other_prompt, scores, -np.inf).argmax(axis=1)
    above = auc(scores[other_prompt & same_model], scores[~other_prompt & ~same_model])
    return float((models[nearest] == models).mean()), above


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--language")
    arguments = parser.parse_args()
    frame = pl.read_parquet(arguments.data, columns=["model", "prompt_id", "response", "language"])
    frame = frame.filter(pl.col("response").str.strip_chars() != "")
    if arguments.language:
        frame = frame.filter(pl.col("language") == arguments.language)
    print("| seed | answers | chance | same model | plain cosine | pair AUC |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for seed in arguments.seeds:
        some = draw(frame, arguments.models, arguments.prompts, seed)
        vectors = stylometry.style_vectors(*from_texts(some["response"]))
        models, prompts = some["model"].to_numpy(), some["prompt_id"].to_numpy()
        share, above = measure(scaled_scores(vectors), models, prompts)
        plain, _ = measure(plain_scores(vectors), models, prompts)
        chance = 1 / some["model"].n_unique()
        print(f"| {seed} | {some.height:,} | {chance:.3f} | {share:.3f} | {plain:.3f} | {above:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
