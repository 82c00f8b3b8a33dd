"""Attribution among five models of different families, and "none of these", on prompts and families held out.

    .venv/bin/python benchmarks/attribution.py transcripts.parquet --families models.csv

The transcripts need the columns `model`, `prompt_id`, `response`; the families a CSV with `model` and `family`.
Families are split in two halves by a fixed seed: the method was chosen on one half, and the figures are from the other.
A draw takes five families and one model of each, and 70 % of the prompts for training.  For the open set eight more
families of the same half are unknown: they are used in neither training nor calibration.  The background is one model
of each remaining family.  The peer is scikit-learn's TfidfVectorizer (char_wb 3-5, sublinear) with LinearSVC.  It all
takes about twenty minutes on one core; `--draws`, `--peer-draws` and `--open-draws` shorten it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import authorship
from kinprint.server.authorship.attribute import attribute
from kinprint.server.authorship.attributor import SIZES, Attributor, Known
from kinprint.server.authorship.margins import (
    fit_and_apply,
    learn,
    margins_of,
    rarity_of,
    stack_of,
    weighted_by,
    width,
)
from kinprint.server.authorship.texts import FOLDS, gather
from kinprint.server.authorship.train import train
from kinprint.server.authorship.validate import cost_of
from kinprint.server.statistics import auc, calibration_error
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

SPLIT = 20
"""Seed of the split of families into those for choosing and those for reporting."""
MODELS, UNKNOWN = 5, 8
SETS = 40


class Corpus:
    """Answers by model, and the models of each family."""

    def __init__(self, data: Path, families: Path) -> None:
        frame = pl.read_parquet(data, columns=["model", "prompt_id", "response"])
        frame = frame.filter(pl.col("response").str.strip_chars() != "").sort("model", "prompt_id")
        frame = frame.with_columns(prompt=pl.col("prompt_id").rank("dense").cast(pl.Int64) - 1)
        self.prompts = int(frame["prompt"].max()) + 1  # type: ignore[arg-type]
        table = pl.read_csv(families).unique("model")
        family = dict(zip(table["model"], table["family"], strict=True))
        self.parts = {key[0]: part for key, part in frame.partition_by("model", as_dict=True).items()}
        self.family: dict[str, list[str]] = defaultdict(list)
        for model in sorted(self.parts):
            self.family[family.get(model, model)].append(model)
        order = np.random.default_rng(SPLIT).permutation(sorted(self.family)).tolist()
        self.choosing, self.reporting = order[: len(order) // 2], order[len(order) // 2 :]

    def read(self, models: Sequence[str]) -> tuple[Texts, NDArray[np.int32], NDArray[np.int64], list[str]]:
        """Texts, model codes, prompt codes and Python strings."""
        frame = pl.concat([self.parts[model].select("model", "prompt", "response") for model in models])
        place = {model: code for code, model in enumerate(models)}
        codes = np.array([place[model] for model in frame["model"]], np.int32)
        return Texts.from_arrow(frame["response"]), codes, frame["prompt"].to_numpy(), frame["response"].to_list()


def sets_of(
    rows: NDArray[np.int64], codes: NDArray[np.int32], size: int, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`count` sets of each code, without repetition within a set: rows int64[s, size] and the code of each set."""
    sets, truth = [], []
    for code in np.unique(codes[rows]):
        own = rows[codes[rows] == code]
        sets += [rng.choice(own, size, replace=False) for _ in range(count)]
        truth += [int(code)] * count
    return np.stack(sets), np.array(truth)


def interval(values: Sequence[float]) -> str:
    """Mean over draws, and its 95 % bootstrap interval."""
    kept = np.array([v for v in values if np.isfinite(v)])
    if not len(kept):
        return "-"
    means = np.random.default_rng(0).choice(kept, (2000, len(kept))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{kept.mean():.3f} ({low:.3f} to {high:.3f})"


def draw(corpus: Corpus, seed: int) -> tuple[list[str], list[str], list[str], NDArray[np.bool_]]:
    """Known, unknown and background models, and which prompts are for training."""
    rng = np.random.default_rng(seed)
    families = rng.permutation(corpus.reporting).tolist()
    chosen, strangers = families[:MODELS], families[MODELS : MODELS + UNKNOWN]
    rest = sorted(set(corpus.family) - set(chosen) - set(strangers))
    pick = [[str(rng.choice(corpus.family[f])) for f in some] for some in (chosen, strangers, rest)]
    training = np.zeros(corpus.prompts, np.bool_)
    training[rng.permutation(corpus.prompts)[: int(0.7 * corpus.prompts)]] = True
    return pick[0], pick[1], pick[2], training


def closed(corpus: Corpus, seed: int, peer: bool, found: dict[str, list[float]]) -> None:
    """Accuracy of classifiers and posteriors, texts of any length counted, without the parts for "none of these"."""
    models, _, _, training = draw(corpus, seed)
    texts, codes, prompts, strings = corpus.read(models)
    training_rows, test = np.flatnonzero(training[prompts]), np.flatnonzero(~training[prompts])
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    known = Known(texts.take(training_rows), codes[training_rows], tuple(models), prompts[training_rows])
    data, *_ = gather(known, None, rng, 600, 1)
    held = np.zeros((len(data.model), width(MODELS, False)))
    for fold in range(FOLDS):
        some, rest = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
        held[rest] = fit_and_apply(data, some, np.arange(MODELS), rest, rng)
    rarity = rarity_of(data.counts)
    weights = learn(weighted_by(data.counts, rarity), data.model, MODELS, False, rng)
    asked = weighted_by(authorship.features_of(texts.take(test)), rarity)
    ours = np.zeros((len(texts), MODELS))
    stack = stack_of(held, data.model, MODELS)
    ours[test] = stack.log_posteriors(margins_of(asked, weights, MODELS))
    found["seconds, ours"].append(time.perf_counter() - started)
    both = {"ours": ours}
    if peer:
        started = time.perf_counter()
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
        matrix = vectorizer.fit_transform([strings[i] for i in training_rows])
        fitted = LinearSVC().fit(matrix, codes[training_rows])
        theirs = np.zeros_like(ours)
        theirs[test] = fitted.decision_function(vectorizer.transform([strings[i] for i in test]))
        found["seconds, peer"].append(time.perf_counter() - started)
        both["peer"] = theirs
    sets, truth = sets_of(test, codes, 10, SETS, np.random.default_rng(seed))
    suffix = ", same draws" if peer else ""
    for name, margins in both.items():
        one = float((margins[test].argmax(axis=1) == codes[test]).mean())
        ten = float((margins[sets].mean(axis=1).argmax(axis=1) == truth).mean())
        for tail in {"", suffix} if name == "ours" else {suffix}:
            found[f"accuracy 1, {name}{tail}"].append(one)
            found[f"accuracy 10, {name}{tail}"].append(ten)


def opened(corpus: Corpus, seed: int, found: dict[str, list[float]]) -> None:
    """The whole pipeline, with a background and without, asked about sets by known and by unknown models."""
    models, strangers, rest, training = draw(corpus, seed)
    everybody = models + strangers
    texts, codes, prompts, _ = corpus.read(everybody)
    known_rows = np.flatnonzero(training[prompts] & (codes < MODELS))
    known = Known(texts.take(known_rows), codes[known_rows], tuple(models), prompts[known_rows])
    their_texts, their_codes, their_prompts, _ = corpus.read(rest)
    theirs = np.flatnonzero(training[their_prompts])
    background = Known(their_texts.take(theirs), their_codes[theirs], tuple(rest), their_prompts[theirs])
    test = np.flatnonzero(~training[prompts])
    for tail, behind in ((" without background", None), (" with background", background)):
        started = time.perf_counter()
        *_, learned = train(known, background=behind, seed=seed)
        found[f"training, seconds{tail}"].append(time.perf_counter() - started)
        assert isinstance(learned, Attributor)
        for size in SIZES:
            if size > learned.power[-1].size:
                continue
            sets, truth = sets_of(test, codes, size, max(8, min(SETS, 400 // size)), np.random.default_rng(seed))
            answers = attribute(
                learned, texts.take(sets.ravel()), np.repeat(np.arange(len(sets)), size).astype(np.int64)
            )
            none = np.array([a.none_of_these for a in answers])
            best = np.array([models.index(a.ranked[0].name) for a in answers])
            named = np.array([not a.abstained for a in answers])
            own = truth < MODELS
            right = best == truth
            probability = np.stack(
                [[next(r.probability for r in a.ranked if r.name == model) for model in models] for a in answers]
            )
            ratios = np.stack(
                [[next(r.log10_lr for r in a.ranked if r.name == model) for model in models] for a in answers]
            )
            label = np.where(own, truth, -1)
            weight = np.where(own, 0.5 / own.sum(), 0.5 / (~own).sum())
            every = np.column_stack([probability, none])
            cell = f"{tail} {size}"
            found["accuracy" + cell].append(float(right[own].mean()))
            found["auc" + cell].append(auc(-none[own], -none[~own]))
            found["named" + cell].append(float(named[own].mean()))
            found["wrong" + cell].append(float((~right[own & named]).mean()) if (own & named).any() else np.nan)
            found["false" + cell].append(float(named[~own].mean()))
            found["cllr" + cell].append(cost_of(ratios * np.log(10.0), label))
            found["ece" + cell].append(calibration_error(every, label, weight))


def table(found: dict[str, list[float]]) -> list[str]:
    """The figures as one markdown table."""
    lines = ["| what | texts a set | draws | mean (95 % interval over draws) |", "|---|---|---|---|"]
    for key, values in found.items():
        if key.startswith("accuracy ") and "," in key:
            size, rest = key.removeprefix("accuracy ").split(", ", 1)
            lines.append(f"| five models, right: {rest} | {size} | {len(values)} | {interval(values)} |")
    names = {
        "accuracy": "most probable model is right",
        "auc": "known over unknown, AUC",
        "named": "sets by known models that get named",
        "wrong": "of these, wrongly",
        "false": "sets by unknown models that get named",
        "cllr": "Cllr, bits",
        "ece": "expected calibration error",
    }
    for tail in (" with background", " without background"):
        for name, text in names.items():
            for size in SIZES:
                values = found.get(f"{name}{tail} {size}", [])
                if values:
                    lines.append(f"| {text},{tail} | {size} | {len(values)} | {interval(values)} |")
    for key, values in found.items():
        if "seconds" in key:
            lines.append(f"| {key} | | {len(values)} | {interval(values)} |")
    return lines


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--families", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100, help="draws of five models for the closed set")
    parser.add_argument("--peer-draws", type=int, default=10, help="of these, draws on which the peer runs too")
    parser.add_argument("--open-draws", type=int, default=8, help="draws for the open set")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    authorship.warm()
    corpus = Corpus(arguments.data, arguments.families)
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(arguments.draws):
        closed(corpus, seed, seed < arguments.peer_draws, found)
        print(f"\rclosed set, draw {seed + 1}", end="", file=sys.stderr)
    for seed in range(arguments.open_draws):
        opened(corpus, seed, found)
        print(f"\ropen set, draw {seed + 1}  ", end="", file=sys.stderr)
    print(file=sys.stderr)
    lines = table(found)
    print("\n".join(lines))
    if arguments.out:
        head = [
            "# Attribution: figures",
            "",
            f"Written by `benchmarks/attribution.py` on {len(corpus.parts)} models of {len(corpus.family)} families and"
            f" {corpus.prompts} prompts, features {authorship.SCHEME} {authorship.VERSION}. Families:"
            f" {len(corpus.choosing)} for choosing the method, {len(corpus.reporting)} for these figures. Five known"
            f" models of five families a draw, {UNKNOWN} unknown families, 70 % of the prompts for training.",
            "The peer is TfidfVectorizer (char_wb 3-5, sublinear) with LinearSVC. One thread.",
            "",
        ]
        arguments.out.write_text("\n".join(head + lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
