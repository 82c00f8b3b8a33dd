"""How well the kinship of models is found from their answers to the same prompts.

    .venv/bin/python benchmarks/kinship.py transcripts.parquet --families models.csv --lineage lineage.csv \\
        --second others.parquet --out docs/benchmarks-kinship.md

Transcripts need the columns `corpus`, `model`, `prompt_id`, `response`, `language`.  The families are a CSV with
`corpus,model,family,shares_with` (tags of whatever a model may share with models of other families, separated by `;`),
the lineage one with `corpus,model,related_to,relation`.  Of the second set every language is measured by itself.

Beside Kinprint run the hashed baseline (`hashed_baseline.py`), cross-fitted in the same way, and the methods of
`kinship_peers.py`, which do not match prompts.  Families are put into folds by a fixed seed.  The score of a pair is
normalised by a cohort without both models' folds; what is said of a score (likelihood ratio, p-value, verdict) was
fitted on pairs that touch neither fold.  Intervals are by resampling of families.
"""

from __future__ import annotations

import os

os.environ.setdefault("NUMBA_NUM_THREADS", str(len(os.sched_getaffinity(0))))
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
# Threads over prompts use the cores; the products of one prompt are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import dataclasses
import importlib.metadata
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hashed_baseline
import joblib
import kinship_peers as peers
import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import residual
from kinprint.server.kinship import answers as gathering
from kinprint.server.kinship import crossfit, scores
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship.answers import Answers
from kinprint.server.kinship.calibration import calibrate
from kinprint.server.kinship.labels import ENSEMBLE, Edge, Labels, Member, independent, label
from kinprint.server.kinship.panel import Panel
from numpy.typing import NDArray

CORES = len(os.sched_getaffinity(0))
SPLIT = 7
"""Seed of the folds and of the order in which prompts are drawn."""
SIZES = (10, 25, 50, 100, 200, 400)
JUDGED = (10, 50, 100, 200)
"""Sizes at which verdicts are tried, besides all prompts."""
DRAWS = 8
PEERS: dict[str, Callable[[Sequence[str], NDArray[np.int64], int], NDArray[np.float64]]] = {
    "TF-IDF cosine, words": peers.tfidf_words,
    "TF-IDF cosine, characters": peers.tfidf_characters,
    "Burrows's Delta": peers.burrows,
    "Cosine Delta": peers.cosine_delta,
    "over-used words and phrases, Jaccard": peers.lexical_tree,
}
SLOW_PEER, SLOW_PROMPTS = "TF-IDF cosine, characters", 100
NAMES = {"en": "English", "zh": "Chinese"}
Z = NDArray[np.float64]
Mask = NDArray[np.bool_]


def say(line: str) -> None:
    """Progress, on the other stream than the report."""
    print(f"{time.perf_counter() - STARTED:6.1f} s  {line}", file=sys.stderr, flush=True)


STARTED = time.perf_counter()


# ---- data ----


@dataclass(frozen=True, eq=False)
class Corpus:
    """Answers of models of known families.

    named bool[n, n]: pairs joined by an edge `kin`; common int64[n, n]: tags that both models have; ensemble bool[n].
    `raw` is what `arrange` was given.
    """

    name: str
    answers: Answers
    strings: list[str]
    members: list[Member]
    labels: Labels
    named: Mask
    common: NDArray[np.int64]
    ensemble: Mask
    fold: NDArray[np.int64]
    raw: tuple[Any, ...]

    @property
    def kin_not_derived(self) -> Mask:
        """Kin that is not derived."""
        return self.labels.kin & ~self.labels.derived


def table(path: Path, corpus: str) -> list[dict[str, str]]:
    """Rows of a CSV that are about one corpus."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["corpus"] == corpus]


def load(frame: pl.DataFrame, families: Path, lineage: Path) -> Corpus:
    """Arrange the answers of models whose families are known; what a model thought aloud is no answer."""
    corpus = str(frame["corpus"][0])
    response = pl.col("response").fill_null("").str.replace_all(r"(?s)<think>.*?</think>", "")
    frame = frame.with_columns(response.str.replace(r"(?s)^.*</think>", ""))
    models, prompts = (sorted(frame[c].unique()) for c in ("model", "prompt_id"))
    codes = [
        frame[c].replace_strict({v: k for k, v in enumerate(values)}, return_dtype=pl.Int64).to_numpy()
        for c, values in (("model", models), ("prompt_id", prompts))
    ]
    raw: tuple[Any, ...] = (Texts.from_arrow(frame["response"]), *codes, models, prompts)
    found = gathering.arrange(*raw)
    known = {
        row["model"]: Member(row["model"], row["family"], tuple(t for t in row["shares_with"].split(";") if t))
        for row in table(families, corpus)
    }
    counts = found.present.sum(0)
    found = found.among([m for m, c in zip(found.models, counts, strict=True) if m in known and c >= SIZES[0]])
    found = found.subset(np.flatnonzero(np.diff(found.starts) >= max(3, len(found.models) // 4)))
    members = [known[m] for m in found.models]
    rows = table(lineage, corpus)
    edges = [Edge(row["model"], row["related_to"], row["relation"]) for row in rows]
    labels = label(found.models, members, edges)
    place = {m: k for k, m in enumerate(found.models)}
    named = np.zeros_like(labels.kin)
    for edge in edges:
        for other in edge.related_to.split(";"):
            if edge.relation == "kin" and edge.model in place and other.strip() in place:
                i, j = place[edge.model], place[other.strip()]
                named[i, j] = named[j, i] = i != j
    tags = [set(m.shares_with) for m in members]
    return Corpus(
        name=corpus,
        answers=found,
        strings=frame["response"].gather(found.place).to_list(),
        members=members,
        labels=dataclasses.replace(labels, unrelated=labels.unrelated & ~named),
        named=named,
        common=np.array([[len(a & b) for b in tags] for a in tags]),
        ensemble=np.array([ENSEMBLE in t for t in tags]),
        fold=crossfit.folds_of(labels.family, SPLIT),
        raw=raw,
    )


# ---- figures ----


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval."""

    value: float
    low: float = math.nan
    high: float = math.nan
    text: str = ""

    @classmethod
    def of(cls, values: Z) -> Figure:
        """The first value is of the families as they are, the others are of resampled ones."""
        rest = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(rest, [0.025, 0.975]) if len(rest) else (math.nan, math.nan)
        return cls(float(values[0]), float(low), float(high))

    def show(self, digits: int = 3) -> str:
        """As a cell of a table."""
        if self.text or not math.isfinite(self.value):
            return self.text or "-"
        if not math.isfinite(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


class Bootstrap:
    """Families drawn with replacement: a pair of two families counts as often as both were drawn, multiplied."""

    def __init__(self, family: NDArray[np.int64], times: int) -> None:
        count = int(family.max()) + 1
        drawn = np.random.default_rng(SPLIT).multinomial(count, np.full(count, 1 / count), size=times)
        self.times = np.concatenate((np.ones((1, count)), drawn)).astype(np.float32)
        self.family = family

    def weights(self, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[1 + times, pairs], the first row all ones."""
        a, b = (self.family[pairs[:, k]] for k in (0, 1))
        return np.where(a == b, self.times[:, a], self.times[:, a] * self.times[:, b])

    def _pairs(self, z: Z, mask: Mask) -> tuple[Z, NDArray[np.float32]]:
        pairs = np.argwhere(np.triu(mask & np.isfinite(z), 1))
        return z[pairs[:, 0], pairs[:, 1]], self.weights(pairs)

    def tpr(self, z: Z, positive: Mask, negative: Mask, rate: float) -> Figure:
        """Share of positives above the score that a share `rate` of the negatives exceeds, mean over draws."""
        draws = []
        for one in z:
            hit, hit_weight = self._pairs(one, positive)
            null, null_weight = self._pairs(one, negative)
            order = np.argsort(-null)
            above = np.cumsum(null_weight[:, order], axis=1)
            bar = null[order][(above > rate * above[:, -1:]).argmax(axis=1)]
            draws.append(_ratio(hit_weight * (hit[None, :] > bar[:, None]), hit_weight))
        return Figure.of(np.mean(draws, axis=0))

    def auc(self, z: Z, positive: Mask, negative: Mask) -> Figure:
        """Chance that a positive scores above a negative, mean over draws."""
        draws = []
        for one in z:
            hit, hit_weight = self._pairs(one, positive)
            null, null_weight = self._pairs(one, negative)
            order = np.argsort(null)
            below = np.pad(np.cumsum(null_weight[:, order], axis=1), ((0, 0), (1, 0)))
            left, right = (np.searchsorted(null[order], hit, side) for side in ("left", "right"))  # type: ignore[call-overload]
            share = (below[:, left] + below[:, right]) / 2 / below[:, -1:]
            draws.append(_ratio(hit_weight * share, hit_weight))
        return Figure.of(np.mean(draws, axis=0))

    def mean(self, values: Z, mask: Mask) -> Figure:
        """Mean of something over pairs and draws; NaN counts for nothing."""
        return Figure.of(self._mean(values, mask))

    def _mean(self, values: Z, mask: Mask) -> Z:
        known = np.isfinite(values).sum(axis=0)
        of_pair = np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), np.nan)
        x, weight = self._pairs(of_pair, mask)
        return _ratio(weight * x, weight)

    def cllr(self, log10_lr: Z, positive: Mask, negative: Mask) -> Figure:
        """Cost of likelihood ratios in bits (Brummer and du Preez 2006)."""
        raw = log10_lr * math.log(10)
        with np.errstate(invalid="ignore"):
            hit, null = np.logaddexp(0, -raw) / math.log(2), np.logaddexp(0, raw) / math.log(2)
        return Figure.of(0.5 * (self._mean(hit, positive) + self._mean(null, negative)))


def _ratio(values: NDArray[Any], weight: NDArray[Any]) -> Z:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values.sum(axis=1, dtype=np.float64) / weight.sum(axis=1, dtype=np.float64))


def count(values: Z, mask: Mask) -> Figure:
    """How many of the pairs, all draws together."""
    some = values[:, np.triu(mask, 1)]
    some = some[np.isfinite(some)]
    draws = f", {len(values)} draws" if len(values) > 1 else ""
    return Figure(float(some.sum()), text=f"{int(some.sum()):,} of {some.size:,}{draws}")


# ---- scores, and what is said of them ----


@dataclass(frozen=True, eq=False)
class Scored:
    """Cross-fitted scores float64[draws, n, n] for each number of prompts.

    `across` are of disjoint halves of the prompts; `plain` of all prompts with all models as the cohort, as the server
    scores models that no panel knows.
    """

    sizes: dict[int, Z]
    plain: Z
    across: Z | None = None
    seconds: tuple[float, float] = (0.0, 0.0)


def plan(prompts: int) -> Iterator[tuple[int, list[slice]]]:
    """Numbers of prompts, each with disjoint draws of so many; the last is all of them."""
    for size in (*[s for s in SIZES if s < prompts], prompts):
        yield size, [slice(k * size, (k + 1) * size) for k in range(min(DRAWS, prompts // size))]


def joined(answers: Answers) -> residual.Grams:
    """Inner products for all prompts."""
    parts = [grams for _, grams in scores.blocks(answers)]
    return residual.Grams(np.concatenate([p.gram for p in parts]), np.concatenate([p.present for p in parts]))


def cut(grams: residual.Grams, prompts: slice) -> residual.Grams:
    """Some of the prompts."""
    return residual.Grams(grams.gram[prompts], grams.present[prompts])


def score_ours(grams: residual.Grams, fold: NDArray[np.int64], whole: bool = False) -> Scored:
    """Cross-fitted scores of Kinprint; `whole` for all prompts only."""
    prompts = len(grams.gram)
    sizes = {}
    for size, draws in plan(prompts):
        if not whole or size == prompts:
            sizes[size] = np.stack([crossfit.cross_fitted(cut(grams, d), fold) for d in draws])
            say(f"Kinprint, {size} prompts")
    everyone = np.ones(len(fold), np.bool_)
    sums, _ = residual.accumulate(grams, everyone)
    plain = scores.normalise(sums.mean(), sums.shared, everyone)[None]
    if whole:
        return Scored(sizes, plain)
    half = prompts // 2
    across = crossfit.cross_fitted_bridge(cut(grams, slice(half)), cut(grams, slice(half, 2 * half)), fold)
    say("Kinprint, no prompt in common")
    return Scored(sizes, plain, across[None])


def score_baseline(corpus: Corpus, answers: Answers, strings: Sequence[str], whole: bool = False) -> Scored:
    """Cross-fitted scores of the hashed baseline."""
    prompts, n = len(answers.prompts), len(answers.models)
    few = answers.starts[:3]
    hashed_baseline.products(strings[: few[-1]], answers.model[: few[-1]], few, n, CORES)  # compiles
    started = time.perf_counter(), time.process_time()
    found = hashed_baseline.products(strings, answers.model, answers.starts, n, CORES)
    seconds = time.perf_counter() - started[0], time.process_time() - started[1]

    def place(out: Z, z: Z, a: int, b: int) -> None:
        crossfit.place(out, z, corpus.fold, a, b)

    sizes = {}
    for size, draws in plan(prompts):
        if not whole or size == prompts:
            sizes[size] = np.stack(
                [
                    hashed_baseline.cross_fitted(found.subset(d), crossfit.configurations(corpus.fold), place)
                    for d in draws
                ]
            )
            say(f"hashed baseline, {size} prompts")
    across = hashed_baseline.cross_fitted_profiles(found, crossfit.configurations(corpus.fold), place)
    return Scored(sizes, hashed_baseline.plain(found)[None], across[None], seconds)


def swap(grams: residual.Grams) -> residual.Grams:
    """The same with the models of each prompt's answers swapped at random."""
    rng = np.random.default_rng(SPLIT)
    gram, present = grams.gram.copy(), grams.present.copy()
    for p in range(len(gram)):
        order = rng.permutation(gram.shape[-1])
        gram[p] = gram[p][:, order][:, :, order]
        present[p] = present[p][order]
    return residual.Grams(gram, present)


@dataclass(frozen=True, eq=False)
class Judged:
    """What is said of pairs by calibrations that touch neither model's fold, float64[draws, n, n] each."""

    log10_lr: Z
    p_value: Z
    over: Z
    derived: Z
    thresholds: tuple[float, float]


def judge(z: Z, labels: Labels, fold: NDArray[np.int64], size: int) -> Judged:
    """Calibrate on the pairs of all other folds, for every two folds; over is 1 from the threshold on, else 0."""
    made = [np.full(z.shape, np.nan) for _ in range(4)]
    bars = []
    for a, b, others, _ in crossfit.configurations(fold):
        calibration = calibrate(z, labels, size, use=others[:, None] & others[None, :])
        if calibration is None:
            continue
        bars.append(calibration.threshold)
        over = np.where(np.isfinite(z), z >= calibration.threshold, np.nan)
        said = (
            calibration.log10_lr(z),
            calibration.p_value(z),
            over,
            over * calibration.is_derived(z),
        )
        for out, values in zip(made, said, strict=True):
            for k in range(len(z)):
                crossfit.place(out[k], values[k], fold, a, b)
    return Judged(made[0], made[1], made[2], made[3], (min(bars), max(bars)))


def panel_of(corpus: Corpus, scored: Scored) -> Panel:
    """A panel from all pairs of a corpus, as fitting one makes it."""
    fitted = [c for s, z in sorted(scored.sizes.items()) if (c := calibrate(z, corpus.labels, s))]
    across = None
    if scored.across is not None:
        across = calibrate(scored.across, corpus.labels, len(corpus.answers.prompts) // 2)
    return Panel(
        corpus=corpus.name,
        members=tuple(corpus.members),
        families=int(corpus.labels.family.max()) + 1,
        independent_families=independent(corpus.labels.family, corpus.labels.unrelated),
        prompts=corpus.answers.prompts,
        pairs={},
        derived_from="lineage",
        sizes=tuple(fitted),
        bridged=across,
        suspects=(),
        cautions=(),
        parameters={"seed": SPLIT, "folds": crossfit.FOLDS},
    )


# ---- the report ----


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what, how many pairs, figures by method, what is wanted."""

    what: str
    pairs: str
    figures: dict[str, Figure]
    target: str = ""
    digits: int = 3


@dataclass
class Report:
    """Tables under their headings."""

    sections: dict[str, list[Row]] = field(default_factory=dict)
    prose: dict[str, list[str]] = field(default_factory=dict)

    def add(self, section: str, row: Row) -> None:
        """Put a row at the end of a section."""
        self.sections.setdefault(section, []).append(row)

    def markdown(self, head: Sequence[str]) -> str:
        """The document."""
        lines = list(head)
        for section, rows in self.sections.items():
            methods = list(dict.fromkeys(m for row in rows for m in row.figures))
            lines += ["", f"## {section}", ""]
            if section in self.prose:
                lines += [*self.prose[section], ""]
            wanted = any(row.target for row in rows)
            cells = ["what", "pairs", *methods, *(["target"] if wanted else [])]
            lines += ["| " + " | ".join(cells) + " |", "| --- | " + " | ".join(["---:"] * (len(cells) - 1)) + " |"]
            for row in rows:
                shown = [row.figures[m].show(row.digits) if m in row.figures else "" for m in methods]
                cells = [row.what, row.pairs, *shown, *([row.target] if wanted else [])]
                lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def json(self) -> dict[str, Any]:
        """All figures, by section and row."""
        return {
            section: [
                {
                    "what": row.what,
                    "pairs": row.pairs,
                    "target": row.target,
                    "figures": {
                        m: {k: v for k, v in dataclasses.asdict(f).items() if v == v and v != ""}
                        for m, f in row.figures.items()
                    },
                }
                for row in rows
            ]
            for section, rows in self.sections.items()
        }


OURS, BASELINE = "Kinprint", "hashed baseline"
FOUND, SAID, ELSEWHERE = "Pairs found", "What is said of a pair", "A panel on another set"
ROBUST, PEER, COST = "What must not be found", "Beside methods that do not match prompts", "Cost"


def pairs_of(mask: Mask) -> str:
    """How many pairs."""
    return f"{int(np.triu(mask, 1).sum()):,}"


@dataclass(frozen=True)
class Bench:
    """What the command line asks for."""

    quick: bool
    resamples: int
    rounds: int
    peer_prompts: int
    report: Report

    def found(self, corpus: Corpus, by: dict[str, Scored]) -> None:
        """Shares of related pairs found on the first set."""
        labels, boot = corpus.labels, Bootstrap(corpus.labels.family, self.resamples)

        def row(what: str, mask: Mask, make: Callable[[Scored], Figure], target: str = "") -> None:
            self.report.add(FOUND, Row(what, pairs_of(mask), {m: make(s) for m, s in by.items()}, target))
            say(what)

        def tpr(mask: Mask, size: int, rate: float) -> Callable[[Scored], Figure]:
            return lambda s: boot.tpr(s.sizes[size], mask, labels.unrelated, rate)

        def across(mask: Mask) -> Callable[[Scored], Figure]:
            return lambda s: boot.tpr(s.across, mask, labels.unrelated, 0.01)  # type: ignore[arg-type]

        everything = len(corpus.answers.prompts)
        derived, kin = labels.derived, labels.kin
        row(f"derived, all {everything} prompts, at 1 %", derived, tpr(derived, everything, 0.01), ".97")
        row("derived, all prompts, at .1 %", derived, tpr(derived, everything, 0.001), ".88")
        row("derived, all prompts, AUC", derived, lambda s: boot.auc(s.sizes[everything], derived, labels.unrelated))
        targets = {50: ".93", 100: ".95"}
        for size, draws in plan(everything):
            if size < everything:
                of = f" ({len(draws)} draws)" if len(draws) > 1 else ""
                what = f"derived, {size} prompts{of}, at 1 %"
                row(what, derived, tpr(derived, size, 0.01), targets.get(size, ""))
        row("kin, all prompts, at 1 %", kin, tpr(kin, everything, 0.01), ".88")
        row("kin, all prompts, at .1 %", kin, tpr(kin, everything, 0.001))
        row("kin, all prompts, AUC", kin, lambda s: boot.auc(s.sizes[everything], kin, labels.unrelated))
        row(f"derived, no prompt in common, {everything // 2} each, at 1 %", derived, across(derived), ".60")
        row(f"kin, no prompt in common, {everything // 2} each, at 1 %", kin, across(kin), ".60")

    def found_elsewhere(self, corpus: Corpus, by: dict[str, Scored], language: str) -> None:
        """Shares of kin found on a second set."""
        boot = Bootstrap(corpus.labels.family, self.resamples)
        size = len(corpus.answers.prompts)
        negative = corpus.labels.unrelated
        for how in ("plain", "cross-fitted"):
            z = {m: s.plain if how == "plain" else s.sizes[size] for m, s in by.items()}
            for what, mask in (("named edges", corpus.named), ("all pairs of a family", corpus.labels.kin)):
                text = f"second set, {language}, {size} prompts, {how}: kin ({what})"
                figures = {m: boot.tpr(x, mask, negative, 0.01) for m, x in z.items()}
                self.report.add(FOUND, Row(f"{text}, at 1 %", pairs_of(mask), figures, ".85"))
                figures = {m: boot.auc(x, mask, negative) for m, x in z.items()}
                self.report.add(FOUND, Row(f"{text}, AUC", pairs_of(mask), figures))

    def said(self, corpus: Corpus, by: dict[str, Scored]) -> dict[int, Judged]:
        """Likelihood ratios, p-values and verdicts, fitted on other folds; returns ours by size."""
        labels, boot = corpus.labels, Bootstrap(corpus.labels.family, self.resamples)
        everything = len(corpus.answers.prompts)
        found: dict[str, dict[int, Judged]] = {}
        for method, scored in by.items():
            sizes = (*[s for s in JUDGED if s in scored.sizes and s < everything], everything)
            found[method] = {}
            for size in sizes:
                found[method][size] = judge(scored.sizes[size], labels, corpus.fold, size)
                low, high = found[method][size].thresholds
                say(f"{method}: calibrated for {size} prompts, thresholds {low:.2f} to {high:.2f}")
                over = (found[method][size].over == 1).any(axis=0) & labels.unrelated
                for i, j in np.argwhere(np.triu(over, 1)):
                    names = corpus.answers.models
                    say(f"  accused: {names[i]} and {names[j]}, scores {scored.sizes[size][:, i, j].round(1)}")

        def row(
            what: str,
            mask: Mask,
            size: int,
            make: Callable[[Judged], Figure],
            target: str = "",
            digits: int = 3,
        ) -> None:
            figures = {m: make(judged[size]) for m, judged in found.items()}
            self.report.add(SAID, Row(what, pairs_of(mask), figures, target, digits))

        negative = labels.unrelated
        either = labels.derived | negative
        largest_first = sorted(found[OURS], reverse=True)
        for size in largest_first:
            wanted = ".10" if size == everything else ""
            row(
                f"Cllr, derived, {size} prompts", either, size,
                lambda j: boot.cllr(j.log10_lr, labels.derived, negative), wanted,
            )  # fmt: skip
        for size in (everything, *[s for s in (50,) if s in found[OURS] and s != everything]):
            for nominal in (0.05, 0.01, 0.001):
                row(
                    f"p at most {nominal:g}, {size} prompts: actual / nominal", negative, size,
                    lambda j, nominal=nominal: boot.mean(  # type: ignore[misc]
                        np.where(np.isfinite(j.p_value), (j.p_value <= nominal) / nominal, np.nan), negative
                    ),
                    ".77 to 1.3", 2,
                )  # fmt: skip
        for size in largest_first:
            row(f"unrelated pairs accused, {size} prompts", negative, size, lambda j: count(j.over, negative), "0")
            row(
                f"derived pairs with a verdict, {size} prompts", labels.derived, size,
                lambda j: boot.mean(j.over, labels.derived), ".80",
            )  # fmt: skip
            row(
                f"derived pairs with the verdict `derived`, {size} prompts", labels.derived, size,
                lambda j: boot.mean(j.derived, labels.derived),
            )  # fmt: skip
            row(
                f"other kin with a verdict, {size} prompts", corpus.kin_not_derived, size,
                lambda j: boot.mean(j.over, corpus.kin_not_derived),
            )  # fmt: skip
        across = {
            m: judge(s.across, labels, corpus.fold, everything // 2) for m, s in by.items() if s.across is not None
        }
        for what, mask, make, target in (
            ("unrelated pairs accused, no prompt in common", negative, lambda j: count(j.over, negative), "0"),
            (
                "derived pairs with a verdict, no prompt in common",
                labels.derived,
                lambda j: boot.mean(j.over, labels.derived),
                "",
            ),
        ):
            self.report.add(SAID, Row(what, pairs_of(mask), {m: make(j) for m, j in across.items()}, target))
        return found[OURS]

    def elsewhere(self, panel: Panel, corpus: Corpus, language: str) -> None:
        """The first set's panel on the second set, with the second set's models as cohort."""
        scored = None
        for made in kinship.score_models(corpus.answers, panel):
            if isinstance(made, kinship.Scored):
                scored = made
        assert scored is not None
        i, j = np.triu_indices(len(corpus.answers.models), 1)
        said = kinship.judge(scored.score[i, j], scored.shared[i, j], scored.across[i, j], panel, scored.background)
        verdict = np.array(said.verdict)
        reached = np.isin(verdict, (kinship.DERIVED, kinship.KIN))
        bare = scored.score[i, j] >= said.threshold / kinship.ELSEWHERE_MARGIN
        boot = Bootstrap(corpus.labels.family, self.resamples)
        columns = {"as the server judges": reached, "at the panel's own threshold": bare}
        prompts = len(corpus.answers.prompts)
        for what, mask, target in (
            ("unrelated pairs accused", corpus.labels.unrelated, "0"),
            ("kin (named edges) with a verdict", corpus.named, ""),
            ("kin (all pairs of a family) with a verdict", corpus.labels.kin, ""),
        ):
            figures = {}
            for column, over in columns.items():
                square = np.full(corpus.labels.kin.shape, np.nan)
                square[i, j] = over
                figures[column] = count(square[None], mask) if target else boot.mean(square[None], mask)
            self.report.add(ELSEWHERE, Row(f"{language}, {prompts} prompts: {what}", pairs_of(mask), figures, target))

    def robust(self, corpus: Corpus, grams: residual.Grams, judged: dict[int, Judged], panel: Panel) -> None:
        """What only a base in common, swapped labels and few prompts do."""
        labels, boot = corpus.labels, Bootstrap(corpus.labels.family, self.resamples)
        everything = len(corpus.answers.prompts)
        clean = ~(corpus.ensemble[:, None] | corpus.ensemble[None, :])
        apart = (labels.family[:, None] != labels.family[None, :]) & ~labels.kin & ~corpus.named & clean
        method = OURS
        rows = [("unrelated", labels.unrelated)]
        for low, high in ((1, 1), (2, 2), (3, 99)):
            mask = apart & (corpus.common >= low) & (corpus.common <= high)
            tags = f"{low} tag" if high == 1 else (f"{low} tags" if low == high else f"{low} tags or more")
            rows.append((f"two families with {tags} in common", mask))
        mixed = ~clean & ~labels.kin & (labels.family[:, None] != labels.family[None, :])
        rows.append(("a model that mixes several, with one of another family", mixed))
        for what, mask in rows:
            if np.triu(mask, 1).any():
                figure = boot.mean(judged[everything].over, mask)
                self.report.add(ROBUST, Row(f"{what}, all prompts: over", pairs_of(mask), {method: figure}))
        size = max(s for s in judged if s <= min(200, everything))
        swapped = crossfit.cross_fitted(swap(cut(grams, slice(size))), corpus.fold)[None]
        calibration = panel.calibration(size)
        assert calibration is not None
        over = np.where(np.isfinite(swapped), swapped >= calibration.threshold, np.nan)
        everyone = labels.kin | labels.unrelated | apart
        text = f"labels swapped at random among the answers to each of {size} prompts"
        self.report.add(ROBUST, Row(f"{text}: all pairs, over", pairs_of(everyone), {method: count(over, everyone)}))
        figure = boot.tpr(swapped, labels.kin, labels.unrelated, 0.01)
        self.report.add(ROBUST, Row(f"{text}: kin found at 1 %", pairs_of(labels.kin), {method: figure}, ".01"))
        self.swapped(swapped, corpus, text)
        least = min(judged)
        figure = count(judged[least].over, labels.unrelated)
        self.report.add(
            ROBUST, Row(f"unrelated, {least} prompts only: over", pairs_of(labels.unrelated), {method: figure})
        )
        figure = boot.mean(judged[least].over, labels.derived)
        self.report.add(ROBUST, Row(f"derived, {least} prompts only: over", pairs_of(labels.derived), {method: figure}))

    def swapped(self, z: Z, corpus: Corpus, text: str) -> None:
        """Mean score of pairs whose labels were swapped: nothing should set the pairs of one fold apart."""
        boot = Bootstrap(corpus.labels.family, self.resamples)
        same = corpus.fold[:, None] == corpus.fold[None, :]
        for what, mask in (("of one fold", same), ("of two folds", ~same)):
            row = Row(f"{text}: mean score of pairs {what}", pairs_of(mask), {OURS: boot.mean(z, mask)}, digits=2)
            self.report.add(ROBUST, row)

    def peers(self, corpora: list[tuple[str, Corpus, dict[str, Scored]]]) -> None:
        """Similarities of models over all their answers."""
        first = corpora[0][1]
        for name in (OURS, BASELINE, *PEERS):
            figures: dict[str, Figure] = {}
            for title, corpus, by in corpora:
                boot = Bootstrap(corpus.labels.family, self.resamples)
                prompts = len(corpus.answers.prompts)
                if name in by:
                    z = by[name].sizes[prompts] if corpus is first else by[name].plain
                else:
                    some = min(prompts, SLOW_PROMPTS if name == SLOW_PEER else self.peer_prompts)
                    end = int(corpus.answers.starts[some])
                    windows = [t[: residual.WINDOW] for t in corpus.strings[:end]]
                    started = time.perf_counter()
                    z = PEERS[name](windows, corpus.answers.model[:end], len(corpus.answers.models))[None]
                    say(f"{name}{title}, {some} prompts: {time.perf_counter() - started:.1f} s")
                negative = corpus.labels.unrelated
                if corpus is first:
                    figures["derived at 1 %"] = boot.tpr(z, corpus.labels.derived, negative, 0.01)
                    figures["derived at .1 %"] = boot.tpr(z, corpus.labels.derived, negative, 0.001)
                    figures["derived, AUC"] = boot.auc(z, corpus.labels.derived, negative)
                figures[f"kin at 1 %{title}"] = boot.tpr(z, corpus.labels.kin, negative, 0.01)
            prompts = len(first.answers.prompts)
            some = min(prompts, SLOW_PROMPTS if name == SLOW_PEER else self.peer_prompts)
            label = name if name in (OURS, BASELINE) or some == prompts else f"{name} ({some} prompts)"
            self.report.add(PEER, Row(label, "", figures))

    def cost(self, corpus: Corpus, baseline: tuple[float, float]) -> None:
        """Seconds for all pairs and prompts, in turns with scikit-learn on some of the prompts."""
        n, prompts = len(corpus.answers.models), len(corpus.answers.prompts)
        some = min(prompts, 40)
        cuts = corpus.answers.starts[[0, some // 2, some]]
        windows = [t[: residual.WINDOW] for t in corpus.strings[: cuts[-1]]]
        jobs = [
            (windows[a:b], corpus.answers.model[a:b], corpus.answers.starts[first : last + 1] - a, n)
            for a, b, first, last in ((cuts[0], cuts[1], 0, some // 2), (cuts[1], cuts[2], some // 2, some))
        ]
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        everyone = np.ones(n, np.bool_)
        with joblib.Parallel(n_jobs=2) as pool:
            pool(joblib.delayed(peers.seconds_of)(texts, model, starts[:2], n) for texts, model, starts, _ in jobs)
            for _ in range(self.rounds):
                marks, cpu = [time.perf_counter()], time.process_time()
                gathering.arrange(*corpus.raw)
                marks.append(time.perf_counter())
                compared = None
                for made in scores.compare(corpus.answers, everyone):
                    compared = made if isinstance(made, scores.Compared) else None
                assert compared is not None
                marks.append(time.perf_counter())
                scores.normalise(compared.mean, compared.shared, everyone)
                marks.append(time.perf_counter())
                ours.append([*np.diff(marks), marks[-1] - marks[0], time.process_time() - cpu])
                started = time.perf_counter()
                cpu = sum(pool(joblib.delayed(peers.seconds_of)(*job) for job in jobs))
                theirs.append([(time.perf_counter() - started) * prompts / some, cpu * prompts / some])
                say(f"cost: {ours[-1][3]:.1f} s; scikit-learn, for as many prompts, {theirs[-1][0]:.0f} s")
        least, middle = np.min(ours, axis=0), np.median(ours, axis=0)
        their_least, their_middle = np.min(theirs, axis=0), np.median(theirs, axis=0)
        pairs = f"{n * (n - 1) // 2:,}"
        used = max(run[4] / run[3] for run in ours)
        self.report.prose[COST] = [
            *PROSE[COST],
            f"Kinprint had {used:.1f} of {CORES} cores at most; where that is fewer than all, other programs may have "
            "had",
            "the others, wall times are too long for all three, and CPU seconds compare them.",
        ]

        def row(what: str, wall: tuple[float, float], cpu: tuple[float, float] | None = None, target: str = "") -> None:
            figures = {"wall s, least": Figure(wall[0]), "median": Figure(wall[1])}
            if cpu is not None:
                figures |= {"CPU s, least": Figure(cpu[0]), "CPU, times ours": Figure(cpu[0] / least[4])}
            self.report.add(COST, Row(what, pairs, figures, target, 1))

        row(f"Kinprint, {prompts} prompts", (least[3], middle[3]), (least[4], middle[4]), "10 wall")
        for k, part in enumerate(("answers put in order", "compared", "normalised")):
            row(f"of it: {part}", (least[k], middle[k]))
        row("hashed baseline, one run, inner products alone", (baseline[0],) * 2, (baseline[1],) * 2)
        what = f"scikit-learn, measured on {some} prompts, times {prompts / some:g}"
        row(what, (their_least[0], their_middle[0]), (their_least[1], their_middle[1]))


PROSE = {
    FOUND: [
        "Share of related pairs that score above all but 1 % (.1 %) of the unrelated ones, with its 95 % interval.",
        "*Derived*: fine-tuned, given another instruction, best of n, or rewritten by the other model. *Kin* adds all",
        "pairs of one family. Draws of prompts are disjoint. Without a prompt in common, one model is seen on one half",
        "of the prompts and the other on the other half. The second set has few families, and without those of two",
        "models a cohort can be small; so it is also scored *plain*, with all its models as the cohort, as the server",
        "scores a set that no panel knows. That uses no labels.",
    ],
    SAID: [
        "Every statement about a pair comes from calibrations that touch neither model's fold. *Accused*: an unrelated",
        "pair over the threshold of verdicts; *with a verdict*: `derived` or `kin`. Where nothing was counted,",
        "resampling cannot show how rare it is.",
    ],
    ELSEWHERE: [
        "Fitted on all pairs of the first set, applied to the second: other models, prompts and, in part, another",
        "language. The second set's own models are the cohort. The server asks for more before it gives a verdict",
        "under a panel from elsewhere.",
    ],
    ROBUST: [
        "Share or number of pairs over the threshold of verdicts. Tags name what models of different families may",
        "share: a base, a developer, the data of a teacher. With the labels of the answers to each prompt swapped at",
        "random there is nothing to find: pairs of one fold and of two must then score alike, and on average about .6,",
        "because the top quarter of a cohort is left out of its mean and deviation.",
    ],
    PEER: [
        "Each model's answers as one text; the peers read the same first code points of each answer as Kinprint does.",
        "Kinprint and the baseline are cross-fitted on the first set and plain on the second; the peers use all the",
        "models.",
    ],
    COST: [
        "Runs taken in turns, compiled before. scikit-learn: TF-IDF of characters and words for each prompt, cosines,",
        "centred, averaged, in two processes.",
    ],
}


def machine() -> list[str]:
    """What this was measured on."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("kinprint", "numpy", "numba", "polars", "pyarrow", "scikit-learn")
    return [
        f"{CORES} cores, {model}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()};",
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names) + ".",
    ]


def described(corpus: Corpus) -> str:
    """A corpus in a sentence."""
    labels = corpus.labels
    families = int(labels.family.max()) + 1
    apart = independent(labels.family, labels.unrelated)
    left_out = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in corpus.answers.left_out.items() if v)
    return (
        f"{len(corpus.answers.models)} models of {families} families ({apart} share nothing with one another), "
        f"{len(corpus.answers.prompts)} prompts, {len(corpus.strings):,} answers"
        f"{f' (left out: {left_out})' if left_out else ''}"
    )


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a Parquet file of transcripts")
    parser.add_argument("--families", type=Path, required=True)
    parser.add_argument("--lineage", type=Path, required=True)
    parser.add_argument("--second", type=Path, help="transcripts of other models on other prompts")
    parser.add_argument("--out", type=Path, help="write the report here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="120 prompts, 100 resamples: to try the program")
    arguments = parser.parse_args()
    bench = Bench(
        quick=arguments.quick,
        resamples=100 if arguments.quick else 500,
        rounds=1 if arguments.quick else 3,
        peer_prompts=60 if arguments.quick else 10**6,
        report=Report(prose=dict(PROSE)),
    )
    if os.getloadavg()[0] > 0.5:
        say("others are at work on this machine: times will be theirs as well")
    columns = ["corpus", "model", "prompt_id", "response", "language"]
    first = load(pl.read_parquet(arguments.data, columns=columns), arguments.families, arguments.lineage)
    order = np.random.default_rng(SPLIT).permutation(len(first.answers.prompts))
    first = reordered(first, order[:120] if bench.quick else order)
    say(described(first))
    grams = joined(first.answers)
    by = {OURS: score_ours(grams, first.fold)}
    by[BASELINE] = score_baseline(first, first.answers, first.strings)
    bench.found(first, by)
    corpora = [("", first, by)]
    second = []
    if arguments.second:
        frame = pl.read_parquet(arguments.second, columns=columns)
        for language in frame["language"].unique().sort():
            other = load(frame.filter(pl.col("language") == language), arguments.families, arguments.lineage)
            name = NAMES.get(language, language)
            theirs = {
                OURS: score_ours(joined(other.answers), other.fold, whole=True),
                BASELINE: score_baseline(other, other.answers, other.strings, whole=True),
            }
            bench.found_elsewhere(other, theirs, name)
            corpora.append((f", second set, {name}", other, theirs))
            second.append((name, other))
    judged = bench.said(first, by)
    panel = panel_of(first, by[OURS])
    for name, other in second:
        bench.elsewhere(panel, other, name)
    bench.robust(first, grams, judged, panel)
    for name, other in second:
        z = crossfit.cross_fitted(swap(joined(other.answers)), other.fold)[None]
        bench.swapped(z, other, f"second set, {name}, labels swapped")
    say("robustness")
    del grams
    bench.peers(corpora)
    bench.cost(first, by[BASELINE].seconds)
    head = [
        "# Kinship of models: figures",
        "",
        "Written by `benchmarks/kinship.py`, which says how it measures:",
        "",
        "    python benchmarks/kinship.py DATA --families CSV --lineage CSV --second DATA" + " --quick" * bench.quick,
        "",
        *machine(),
        "",
        f"First set: {described(first)}.",
        *(f"Second set, {name}: {described(other)}." for name, other in second),
        "",
        f"Features {residual.SCHEME} {residual.VERSION}. Families are in {crossfit.FOLDS} folds. All models make what",
        "the answers to a prompt have in common, which uses no labels; a pair is normalised by a cohort from the folds",
        f"of neither model. In brackets 95 % intervals, by resampling families {bench.resamples} times.",
        "The hashed baseline is the first prototype of the method, run here on the same answers and folds.",
    ]
    text = bench.report.markdown(head)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.report.json(), indent=1) + "\n", encoding="utf-8")
    say("done")
    return 0


def reordered(corpus: Corpus, prompts: NDArray[np.int64]) -> Corpus:
    """The same with some prompts, in another order."""
    found = corpus.answers.subset(prompts)
    back = {int(p): k for k, p in enumerate(corpus.answers.place)}
    strings = [corpus.strings[back[int(p)]] for p in found.place]
    return dataclasses.replace(corpus, answers=found, strings=strings)


if __name__ == "__main__":
    sys.exit(main())
