"""Teacher attribution: was a model trained on another's outputs, and on whose?  Ideas, and how far each gets.

    .venv/bin/python benchmarks/teacher.py transcripts.parquet --families models.csv --lineage lineage.csv \
        --out docs/benchmarks-teacher.md

DATA needs the columns `model`, `prompt_id`, `prompt`, `response`; the families a CSV with `model`, `family`,
`shares_with` (tags separated by `;`: base, developer, data); the lineage a CSV with `model`, `related_to`, `relation`,
of which `sft_teacher` names students and their teachers, and `no_api_teacher` negative controls.

Candidates are the families of the named teachers, and families with no tag but those of one of them (other versions
by the same developer).  Every idea gives a number for each model and candidate: a share, a weight, a distance, or a
z-score by what the candidate has with models that share no tag with it, one mean per family, the model's own family
left out.  Whatever an idea learns from labels, it learns from other families.  The highest candidate is named; a rule
would speak when its score, or its lead over the runner-up, is above what every wrongly named model has.  A wrong name
is a candidate without a tag in common with the model, or any candidate for a negative control.  Names that share a tag
and are not the teacher are neither right nor counted as false.  Intervals are bootstraps over families of students.

Takes one to two minutes of CPU and 3 GB for 129 models and 805 prompts on two cores.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import residual
from kinprint.kernels.style.imposters import imposters
from kinprint.server.kinship import answers, scores
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import nnls
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TRIM: Final = 0.25
"""Share of the clean families, from the top, left out of a candidate's mean and deviation."""
MARGIN: Final = 0.25
"""How far above wrong names of other families a held-out rule must be, in distances of their median to their top."""
DRAWS: Final = 100
"""Random halves of prompts, features and imposters."""
BOOTSTRAP: Final = 4000
LETTERS: Final = 1500
"""Characters of an answer that are read for phrases and passages."""
WORDS: Final = 100
"""Words of an answer that are read for phrases."""
SPAN: Final = 8
"""Least words of a shared passage."""
FREQUENT: Final = 2000
"""Most frequent words that are counted."""
FEW: Final = 300
"""Of these, as many for distances and imposters."""
BLOCKS: Final = 8
"""Parts that the prompts are dealt into, to see what fewer prompts do."""
ENSEMBLE: Final = "ensemble"


# ---- who is who ----


@dataclass(frozen=True, eq=False)
class People:
    """Models, candidates and labels; n models, c candidates, F families.

    family int64[n]; candidates int64[c] are families; member bool[n, c]; clean bool[n, c], no tag in common;
    relatives bool[n, n], a tag or the family in common; background bool[n, n], a tag in common that no candidate has.
    named and tagged bool[n, c] are true teachers: by the lineage, and also by tags. control bool[n].
    """

    models: tuple[str, ...]
    families: tuple[str, ...]
    family: NDArray[np.int64]
    candidates: NDArray[np.int64]
    member: Bools
    clean: Bools
    relatives: Bools
    background: Bools
    siblings: Bools
    named: Bools
    tagged: Bools
    control: Bools

    @property
    def clean_families(self) -> Bools:
        """Families of which every model is clean, bool[F, c]."""
        out = np.ones((len(self.families), len(self.candidates)), np.bool_)
        np.logical_and.at(out, self.family, self.clean)
        return out


def people(models: Sequence[str], families: Path, lineage: Path) -> People:
    """Read both CSVs; a model that is in neither is a family of its own."""
    rows = {r["model"]: r for r in csv.DictReader(families.open(encoding="utf-8")) if r["model"] in set(models)}
    family_of = {m: rows[m]["family"] if m in rows else m for m in models}
    tags = {m: {t for t in (rows[m]["shares_with"] if m in rows else "").split(";") if t} for m in models}
    names = tuple(sorted(set(family_of.values())))
    family = np.array([names.index(family_of[m]) for m in models])
    teachers: dict[str, set[str]] = {}
    controls = set()
    for r in csv.DictReader(lineage.open(encoding="utf-8")):
        if r["model"] not in family_of:
            continue
        if r["relation"] == "no_api_teacher":
            controls.add(r["model"])
        if r["relation"] == "sft_teacher":
            found = {family_of[t] for t in r["related_to"].split(";") if t in family_of}
            if found:
                teachers.setdefault(r["model"], set()).update(found)
    tags_of = {f: set().union(*(tags[m] for m in models if family_of[m] == f)) for f in names}
    chosen = set().union(*teachers.values()) if teachers else set()
    versions = {
        f
        for f in names
        if tags_of[f]
        and any(tags_of[f] <= tags_of[t] for t in chosen)
        and not any(family_of[m] == f for m in controls | set(teachers))
    }
    order = sorted(chosen | versions)
    n, c = len(models), len(order)
    clean = np.array([[not tags[m] & tags_of[f] and family_of[m] != f for f in order] for m in models], np.bool_)
    clean &= np.array([ENSEMBLE not in tags[m] for m in models])[:, None]
    named = np.array([[f in teachers.get(m, ()) for f in order] for m in models], np.bool_).reshape(n, c)
    # Tags that a named student has in common with its teacher speak of data; those that no student has, of developers.
    data: dict[str, set[str]] = {}
    for m, found in teachers.items():
        for f in found:
            for t in tags[m] & tags_of[f]:
                data.setdefault(t, set()).update(g for g in order if t in tags_of[g])
    developer = set().union(*(tags_of[f] for f in order)) - set(data) if order else set()
    tagged = named.copy()
    for i, m in enumerate(models):
        if not named[i].any() and not tags[m] & developer and family_of[m] not in order and m not in controls:
            meant = [t for t in sorted(tags[m]) if t in data]
            if len(meant) == 1:
                tagged[i] = [f in data[meant[0]] for f in order]
    of_candidates = set().union(*(tags_of[f] for f in order)) if order else set()
    relatives = np.array([[bool(tags[a] & tags[b]) or family_of[a] == family_of[b] for b in models] for a in models])
    background = np.array([[bool((tags[a] & tags[b]) - of_candidates - {ENSEMBLE}) for b in models] for a in models])
    return People(
        tuple(models),
        names,
        family,
        np.array([names.index(f) for f in order], np.int64),
        np.array([[family_of[m] == f for f in order] for m in models], np.bool_).reshape(n, c),
        clean,
        relatives,
        background & (family[:, None] != family[None, :]),
        np.array([[a != b and bool(tags_of[a] & tags_of[b]) for b in order] for a in order], np.bool_),
        named,
        tagged,
        np.array([m in controls for m in models]),
    )


# ---- what is measured ----


def arranged(data: Path) -> tuple[answers.Answers, pl.DataFrame]:
    """The answers that count, and the rows they stand in; a reasoning block is no part of an answer."""
    frame = pl.read_parquet(data, columns=["model", "prompt_id", "prompt", "response"]).with_columns(
        pl.col("response")
        .fill_null("")
        .str.replace_all(r"(?s)<think>.*?</think>", "")
        .str.replace(r"(?s)^.*</think>", "")
    )
    codes = []
    for column in ("model", "prompt_id"):
        values = sorted(frame[column].unique())
        place = {v: k for k, v in enumerate(values)}
        codes.append((values, frame[column].replace_strict(place, return_dtype=pl.Int64).to_numpy()))
    (models, model), (prompts, prompt) = codes
    found = answers.arrange(Texts.from_arrow(frame["response"]), model, prompt, models, prompts)
    return found, frame


def residuals(found: answers.Answers, who: People) -> tuple[NDArray[np.float32], Bools]:
    """Bounded residual cosines float32[prompts, 5, n, n], and who answered; each family has one model as reference."""
    reference = np.zeros(len(who.models), np.bool_)
    reference[np.unique(who.family, return_index=True)[1]] = True
    parts, present = [], []
    for _, grams in scores.blocks(found):
        _, r = residual.accumulate(grams, reference)
        x = grams.gram - r.mean[:, :, :, None] - r.mean[:, :, None, :] + r.centre[:, :, None, None]
        x *= r.norm[:, :, :, None] * r.norm[:, :, None, :] * r.scale[:, :, None, None]
        x /= np.sqrt(1 + (x / residual.BOUND) ** 2)
        parts.append(x)
        present.append(grams.present)
    return np.concatenate(parts), np.concatenate(present)


class Grams(NamedTuple):
    """Word n-grams of the answers to one prompt: keys, and the answer and place of each."""

    keys: NDArray[np.uint64]
    answer: NDArray[np.int64]
    place: NDArray[np.int64]


def ngrams(tokens: NDArray[np.uint64], starts: NDArray[np.int64], sizes: Iterable[int], most: int) -> Grams:
    """All n-grams of some sizes within the first `most` tokens of each text."""
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    place = np.arange(len(tokens)) - starts[owner]
    length = np.minimum(np.diff(starts), most)[owner]
    h = np.full(len(tokens), 7, np.uint64)
    out = []
    size = 0
    for size_wanted in sorted(sizes):
        while size < size_wanted:
            ahead = np.zeros(len(tokens), np.uint64)
            ahead[: len(tokens) - size] = tokens[size:]
            h = (h ^ ahead) * np.uint64(0x9E3779B97F4A7C15)
            h ^= h >> np.uint64(29)
            size += 1
        fits = np.flatnonzero(place + size <= length)
        out.append((h[fits] + np.uint64(size), owner[fits], fits))
    keys, owners, places = (np.concatenate(x) for x in zip(*out, strict=True))
    return Grams(keys, owners, places)


class Tally:
    """Counts over prompts of rare features that a model has in common with a candidate, float64[n, c] each."""

    def __init__(self, who: People) -> None:
        n, c, f = len(who.models), len(who.candidates), len(who.families)
        self.who = who
        self.clean = who.clean_families
        self.sizes = np.bincount(who.family, minlength=f)
        self.alone = np.zeros((n, c))  # no third family has it
        self.unseen = np.zeros((n, c))  # no family unrelated to the candidate has it
        self.own = np.zeros(n)  # features of the model
        self.stable = np.zeros((n, c))  # habits of the candidate, reproduced
        self.stable_all = np.zeros((n, c))
        self.reverse = np.zeros((f, c))  # habits of the model's family that the candidate has
        self.reverse_all = np.zeros((f, c))

    def incidence(
        self, keys: NDArray[np.uint64], model: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(feature of each key, feature and model of each distinct pair, models of each family that have it)."""
        n, f = len(self.who.models), len(self.who.families)
        distinct, feature = np.unique(keys, return_inverse=True)
        pairs = np.unique(feature * n + model)
        g, m = pairs // n, pairs % n
        count = np.bincount(g * f + self.who.family[m], minlength=len(distinct) * f).reshape(-1, f)
        return feature, g, m, count

    def add(self, keys: NDArray[np.uint64], model: NDArray[np.int64], answered: Bools, habits: bool) -> None:
        """Add the features of one prompt."""
        if not len(keys):
            return
        who = self.who
        _, g, m, count = self.incidence(keys, model)
        has = count > 0
        families = has.sum(1)
        held = has[:, who.candidates]
        unrelated = has.astype(np.float32) @ self.clean.astype(np.float32)
        matrix = sparse.csr_matrix((np.ones(len(m), np.float32), (m, g)), shape=(len(who.models), len(count)))
        own_clean = self.clean[who.family]
        self.own += np.bincount(m, minlength=len(who.models))
        self.alone += matrix @ (held & (families == 2)[:, None]).astype(np.float32)
        without = matrix @ (held & (unrelated == 0)).astype(np.float32)
        with_own = matrix @ (held & (unrelated == 1)).astype(np.float32)
        self.unseen += np.where(own_clean, with_own, without)
        if not habits:
            return
        habit = count >= np.minimum(2, self.sizes)
        of_candidate = habit[:, who.candidates]
        few = of_candidate & (unrelated <= 1)
        few_own = of_candidate & (unrelated <= 2)
        hit = np.where(own_clean, matrix @ few_own.astype(np.float32), matrix @ few.astype(np.float32))
        total = np.where(own_clean, few_own.sum(0), few.sum(0))
        self.stable += hit
        self.stable_all += total * answered[:, None]
        # A family's habit is rare if at most one other family has it, the candidate aside.
        for k in range(len(who.candidates)):
            rare = habit & ((families - held[:, k]) <= 2)[:, None]
            self.reverse[:, k] += (rare & held[:, k, None]).sum(0)
            self.reverse_all[:, k] += rare.sum(0)


@dataclass(eq=False)
class Measured:
    """Everything the ideas are made of."""

    who: People
    cosines: NDArray[np.float32]
    present: Bools
    phrases: Tally
    openings: Tally
    names: Tally
    span_bits: Floats
    span_words: Floats
    formulae: Floats
    frequencies: Floats  # [BLOCKS, n, FREQUENT]: counts of words, and words in all
    words: Floats  # [BLOCKS, n]
    length: Floats


def measure(found: answers.Answers, frame: pl.DataFrame, who: People) -> Measured:
    """Read every answer once."""
    n = len(who.models)
    rows = frame[found.place]
    word = r"\p{Han}|[\p{L}\p{N}']+"
    length = np.zeros(n)
    np.add.at(length, found.model, rows["response"].str.len_chars().to_numpy())
    length = np.log(length / np.bincount(found.model, minlength=n))
    cosines, present = residuals(found, who)
    tallies = {name: Tally(who) for name in ("phrases", "openings", "names")}
    clean = who.clean_families
    clean_count = clean.sum(0)
    bits, words = np.zeros((n, len(who.candidates))), np.zeros((BLOCKS, n))
    block = np.random.default_rng(0).permutation(len(found.prompts)) % BLOCKS
    formula_keys, formula_models = [], []
    frequent: NDArray[np.uint64] | None = None
    frequencies = np.zeros((BLOCKS, n, FREQUENT))
    own_clean = clean[who.family]
    for p in range(len(found.prompts)):
        a, b = found.starts[p], found.starts[p + 1]
        model = found.model[a:b]
        text = pl.concat([rows["response"][a:b], rows["prompt"][a : a + 1].fill_null("")]).str.slice(0, LETTERS)
        lists = text.str.to_lowercase().str.extract_all(word)
        starts = np.concatenate(([0], np.cumsum(lists.list.len().to_numpy()))).astype(np.int64)
        tokens = lists.explode(empty_as_null=False).hash(seed=1).to_numpy()
        asked = b - a  # the prompt stands behind the answers
        everybody = np.append(model, n)

        def kept(grams: Grams, asked: int = asked, everybody: NDArray[np.int64] = everybody) -> tuple[Grams, Any]:
            """Without what the prompt says, and the model of each."""
            said = grams.keys[grams.answer == asked]
            use = (grams.answer < asked) & ~np.isin(grams.keys, said)
            grams = Grams(*(x[use] for x in grams))
            return grams, everybody[grams.answer]

        phrases, m = kept(ngrams(tokens, starts, (3, 4, 5), WORDS))
        tallies["phrases"].add(phrases.keys, m, present[p], habits=True)
        some = phrases.keys % np.uint64(4) == 0
        pairs = np.unique(np.stack((phrases.keys[some], m[some].astype(np.uint64))), axis=1)
        formula_keys.append(pairs[0])
        formula_models.append(pairs[1].astype(np.int64))
        first = ngrams(tokens, starts, range(2, 9), WORDS)
        first = Grams(*(x[first.place == starts[first.answer]] for x in first))
        first, m = kept(first)
        tallies["openings"].add(first.keys, m, present[p], habits=False)
        inside = text.str.extract_all(r"[\p{Ll},] (\p{Lu}[\p{L}']+|\p{N}+)")
        counts = inside.list.len().to_numpy()
        keys = inside.explode(empty_as_null=False).str.slice(2).hash(seed=2).to_numpy()
        named, m = kept(Grams(keys, np.repeat(np.arange(len(counts)), counts), np.zeros(len(keys), np.int64)))
        tallies["names"].add(named.keys, m, present[p], habits=False)
        # Passages: runs of shared n-grams, each weighed once, by its rarest.
        spans, m = kept(ngrams(tokens, starts, (SPAN,), 1 << 30))
        if len(spans.keys):
            feature, _, _, count = tallies["phrases"].incidence(spans.keys, m)
            has = count > 0
            unrelated = has.astype(np.float32) @ clean.astype(np.float32)
            run_on = np.concatenate(([False], (np.diff(spans.place) == 1) & (np.diff(spans.answer) == 0)))
            for k, f in enumerate(who.candidates):
                shared = has[feature, f]
                others = unrelated[feature, k] - own_clean[m, k]
                rarity = np.where(shared, -np.log2((others + 0.5) / (clean_count[k] + 1.0)), 0.0)
                begins = np.flatnonzero(shared & ~(run_on & np.concatenate(([False], shared[:-1]))))
                if len(begins):
                    best = np.maximum.reduceat(rarity, begins)
                    bits[:, k] += np.bincount(m[begins], weights=best, minlength=n)
        words[block[p]] += np.bincount(model, weights=np.diff(starts)[:asked], minlength=n)
        if frequent is None:
            sample = rows["response"][: int(found.starts[min(50, len(found.prompts))])].str.slice(0, LETTERS)
            seen = sample.str.to_lowercase().str.extract_all(word).explode(empty_as_null=False).value_counts(sort=True)
            frequent = np.sort(seen["response"].head(FREQUENT).hash(seed=1).to_numpy())
        at = np.minimum(np.searchsorted(frequent, tokens), len(frequent) - 1)
        hit = (frequent[at] == tokens) & (np.repeat(everybody, np.diff(starts)) < n)
        owner = np.repeat(everybody, np.diff(starts))[hit]
        frequencies[block[p]] += np.bincount(owner * FREQUENT + at[hit], minlength=n * FREQUENT).reshape(n, FREQUENT)
        if p % 20 == 0:
            print(f"\rprompt {p + 1} of {len(found.prompts)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return Measured(
        who, cosines, present, **tallies, span_bits=bits, span_words=words.sum(0),
        formulae=formula_scores(np.concatenate(formula_keys), np.concatenate(formula_models), present, who),
        frequencies=frequencies, words=words, length=length,
    )  # fmt: skip


def formula_scores(keys: NDArray[np.uint64], model: NDArray[np.int64], present: Bools, who: People) -> Floats:
    """Cosine of how much more often than others two models use phrases that come back under many prompts."""
    distinct, feature, count = np.unique(keys, return_inverse=True, return_counts=True)
    n = len(who.models)
    table = sparse.csr_matrix((np.ones(len(keys)), (model, feature)), shape=(n, len(distinct)))
    spread = np.asarray((table > 0).sum(0)).ravel()
    x = np.asarray(table[:, (count >= 10) & (spread >= 2)].todense()) / present.sum(0)[:, None]
    x = np.sqrt(x)
    x -= family_means(x, who.family).mean(0)
    x /= x.std(0) + 0.25 * x.std()
    of = np.stack([x[who.member[:, k]].mean(0) for k in range(len(who.candidates))])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    of /= np.linalg.norm(of, axis=1, keepdims=True)
    return np.asarray(x @ of.T)


# ---- ideas ----


def family_means(x: Floats, family: NDArray[np.int64], use: Bools | None = None) -> Floats:
    """Mean of the rows of each family, NaN where none is used."""
    mask = np.ones(x.shape, np.bool_) if use is None else use
    total, count = (np.zeros((int(family.max()) + 1, x.shape[1])) for _ in range(2))
    np.add.at(total, family, np.where(mask, x, 0.0))
    np.add.at(count, family, mask)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def standardised(x: Floats, who: People, *covariates: Floats) -> Floats:
    """z-scores by the clean families of each candidate, the model's own family left out.

    With covariates float64[n, c] what is standardised is what they do not explain (ridge, fitted on the same families).
    """
    means = [family_means(v, who.family, who.clean) for v in (x, *covariates)]
    out = np.zeros_like(x)
    for f in np.unique(who.family):
        rows = who.family == f
        for k in range(x.shape[1]):
            use = np.isfinite(means[0][:, k])
            use[f] = False
            y, value = means[0][use, k], x[rows, k]
            if covariates:
                design = np.stack([v[use, k] for v in means[1:]], 1)
                mu, sd = design.mean(0), design.std(0) + 1e-9
                design = (design - mu) / sd
                slope = np.linalg.solve(design.T @ design + np.eye(len(mu)), design.T @ (y - y.mean()))
                y = y - design @ slope
                value = value - (np.stack([v[rows, k] for v in covariates], 1) - mu) / sd @ slope
            y = np.sort(y)[: len(y) - int(TRIM * len(y))]
            out[rows, k] = (value - y.mean()) / (y.std(ddof=1) + 1e-9)
    return out


def best_member(x: Floats, who: People) -> Floats:
    """The highest of each candidate's models, float64[n, c], of float64[n, n]."""
    return np.stack([x[:, who.member[:, k]].max(1) for k in range(len(who.candidates))], 1)


def mates(who: People, model: int, candidate: int) -> Bools:
    """Models on the same base as one, not known to be trained on the candidate; all such models if there are none."""
    usable = who.clean[:, candidate] & (who.family != who.family[model]) & ~who.member.any(1)
    own = usable & who.background[model]
    return own if own.any() else usable


def same_base(made: Measured) -> tuple[Floats, Floats]:
    """Nearness to a candidate less that of models on the same base: difference of means, and its t over prompts."""
    who = made.who
    n, c = len(who.models), len(who.candidates)
    shape = (len(made.present), n, c)
    near = np.zeros(shape, np.float32)
    for k in range(c):
        near[:, :, k] = made.cosines[:, :, :, who.member[:, k]].mean((1, 3))
    near[~made.present] = np.nan
    plain, steady = np.zeros((n, c)), np.zeros((n, c))
    for k in range(c):
        for i in range(n):
            others = np.nan_to_num(near[:, mates(who, i, k), k]).sum(1)
            others = others / np.maximum(made.present[:, mates(who, i, k)].sum(1), 1)
            d = near[:, i, k] - others
            d = d[np.isfinite(d)]
            plain[i, k] = d.mean()
            steady[i, k] = d.mean() / (d.std(ddof=1) / np.sqrt(len(d)))
    return plain, steady


def imposters_by_prompts(made: Measured, seed: int) -> tuple[Floats, Floats]:
    """Shares of draws (half the prompts, three families of n-grams) that a candidate wins: (among candidates, after
    standardising; against half of all unrelated models).
    """
    who = made.who
    rng = np.random.default_rng(seed)
    prompts, kinds, n, _ = made.cosines.shape
    c = len(who.candidates)
    both = (made.present[:, :, None] & made.present[:, None, :]).reshape(prompts, n * n).astype(np.float32)
    closed, opened = np.zeros((n, c)), np.zeros((n, c))
    for _ in range(DRAWS):
        chosen = rng.permutation(prompts)[: prompts // 2]
        some = rng.permutation(kinds)[:3]
        total = sum(made.cosines[chosen, f].sum(0, dtype=np.float64) for f in some)
        x = total / 3 / np.maximum(both[chosen].sum(0).reshape(n, n), 1)
        near = best_member(x, who)
        closed[np.arange(n), standardised(near, who).argmax(1)] += 1 / DRAWS
        for i in range(n):
            pool = np.flatnonzero(~who.relatives[i])
            drawn = rng.permutation(pool)[: max(1, len(pool) // 2)]
            for k in range(c):
                rival = drawn[~who.member[drawn, k]]
                opened[i, k] += (near[i, k] > x[i, rival].max()) / DRAWS if len(rival) else 0.0
    return closed, opened


def profiles(made: Measured, words: int, blocks: Sequence[int] = range(BLOCKS), *, plain: bool = False) -> Floats:
    """Frequencies of the most frequent words, float64[n, words], as z-scores over families, most frequent first.

    Of square roots, whose noise does not depend on how frequent a word is, with small deviations drawn towards the
    usual one; `plain` takes frequencies and deviations as they are.
    """
    chosen = list(blocks)
    order = np.argsort(-made.frequencies.sum((0, 1)), kind="stable")[:words]
    x = made.frequencies[chosen].sum(0)[:, order] / np.maximum(made.words[chosen].sum(0), 1)[:, None]
    x = x if plain else np.sqrt(x)
    panel = family_means(x, made.who.family)
    sd = panel.std(0) + (1e-12 if plain else 0.25 * panel.std())
    return np.asarray((x - panel.mean(0)) / sd)


def imposters_by_words(x: Floats, who: People, seed: int) -> Floats:
    """General Imposters on frequencies of words, a model as one text."""
    texts = np.flatnonzero(who.member.any(1))
    authors = who.member[texts].argmax(1).astype(np.int64)
    zero, one = np.zeros(x.shape[1]), np.ones(x.shape[1])
    out = np.zeros((len(who.models), len(who.candidates)))
    for i in range(len(x)):
        own = texts != i
        if len(np.unique(authors[own])) < len(who.candidates):
            continue
        others = np.flatnonzero(~who.relatives[i] & ~who.member.any(1))
        whose = np.concatenate((authors[own], np.full(len(others), -1))).astype(np.int64)
        out[i] = imposters(
            x[i : i + 1], x[texts[own]], x[np.concatenate((texts[own], others))], zero, one,
            authors=authors[own], pool_authors=whose, iterations=DRAWS, seed=seed,
        )[0]  # fmt: skip
    return out


def same_base_words(x: Floats, who: People) -> Floats:
    """Cosine of what sets a model and what sets a candidate apart from models on the model's base."""
    out = np.zeros((len(who.models), len(who.candidates)))
    for k in range(len(who.candidates)):
        for i in range(len(x)):
            base = x[mates(who, i, k)].mean(0)
            own, theirs = x[i] - base, x[who.member[:, k]] - base
            cosines = theirs @ own / np.maximum(np.linalg.norm(theirs, axis=1) * np.linalg.norm(own), 1e-12)
            out[i, k] = cosines.max()
    return out


def explained(x: Floats, who: People) -> Floats:
    """A model as a non-negative mixture of candidates and of models that share no tag with any: weights of candidates.

    What a base, or any instructed model, explains as well is explained away (Lawson and Hanson 1974, NNLS).
    """
    candidate = who.member.any(1)
    usable = candidate | who.clean.all(1)
    out = np.zeros((len(who.models), len(who.candidates)))
    for i in range(len(x)):
        columns = np.flatnonzero(usable & (who.family != who.family[i]))
        weights, _ = nnls(x[columns].T, x[i])
        np.add.at(out[i], who.member[columns].argmax(1), np.where(candidate[columns], weights, 0.0))
    return out


def as_points(cosines: Floats) -> Floats:
    """Points float64[n, n] whose inner products are the cosines, on a diagonal as large as that needs."""
    x = (cosines + cosines.T) / 2
    np.fill_diagonal(x, 0.0)
    values, vectors = np.linalg.eigh(x)
    return np.asarray(vectors * np.sqrt(values - min(values[0], 0.0) + 1e-9))


def log_rate(count: Floats, exposure: Floats) -> Floats:
    return np.asarray(np.log((count + 0.5) / np.maximum(exposure, 1)))


def combined(ideas: dict[str, Floats], who: People) -> Floats:
    """Ridge logistic regression on what all ideas say, fitted on the other families."""
    x = np.tanh(np.stack(list(ideas.values()), -1) / 4)
    weight = 1 / np.bincount(who.family)[who.family]
    positive = who.named
    negative = who.clean & ~who.member.any(1)[:, None]
    out = np.zeros(positive.shape)
    for f in np.unique(who.family):
        other = (who.family != f)[:, None]
        a, b = np.nonzero(positive & other), np.nonzero(negative & other)
        features = np.concatenate((x[a], x[b]))
        truth = np.concatenate((np.ones(len(a[0])), np.zeros(len(b[0]))))
        w = np.concatenate((weight[a[0]] / weight[a[0]].sum(), weight[b[0]] / weight[b[0]].sum())) * 100
        fitted = LogisticRegression(C=0.1, max_iter=1000).fit(features, truth, sample_weight=w)
        rows = np.flatnonzero(who.family == f)
        for i in rows:
            out[i] = fitted.decision_function(x[i])
    return out


def ideas_of(made: Measured, seed: int) -> dict[str, Floats]:
    """Every idea's z-scores (or shares), by name."""
    who = made.who
    shared = np.maximum(made.present.T.astype(np.int64) @ made.present.astype(np.int64), 1)
    by_kind = made.cosines.sum(0, dtype=np.float64) / shared
    near = best_member(by_kind.mean(0), who)
    length = np.repeat(made.length[:, None], len(who.candidates), 1)

    def quality(x: Floats) -> Floats:
        """How near a model is to the other candidates that the candidate shares no tag with."""
        apart = ~who.siblings & ~np.eye(len(who.candidates), dtype=np.bool_)
        return np.asarray((x @ apart) / np.maximum(apart.sum(0), 1))

    far = np.stack(
        [np.abs(made.length[:, None] - made.length[who.member[:, k]]).min(1) for k in range(len(who.candidates))], 1
    )
    gap = np.abs(length - np.array([made.length[who.member[:, k]].mean() for k in range(len(who.candidates))]))
    out: dict[str, Floats] = {"0a nearest in length (confounder)": -far}
    out["0b kinship score of the product"] = np.nan_to_num(
        best_member(np.nan_to_num(scores.normalise(by_kind, shared, np.ones(len(who.models), np.bool_)), nan=-9.0), who)
    )
    plain = standardised(near, who)
    out["0c residual cosine"] = plain
    out["0d residual cosine, given length and nearness to others"] = standardised(near, who, gap, quality(near))
    distance = np.abs(profiles(made, FEW)[:, None, :] - profiles(made, FEW)[None]).mean(2)
    out["0e Burrows's Delta"] = best_member(-distance, who)
    contrast, steady = same_base(made)
    out["1a less models on the same base"] = standardised(contrast, who)
    out["1b the same, t over prompts"] = standardised(steady, who)
    words = same_base_words(profiles(made, FEW), who)
    out["1c word frequencies less the same base, cosine"] = words
    out["1d the same, standardised"] = standardised(words, who)
    alone = log_rate(made.phrases.alone, made.phrases.own[:, None])
    unseen = log_rate(made.phrases.unseen, made.phrases.own[:, None])
    out["2a phrases that no third family has"] = standardised(alone, who)
    out["2b phrases that no unrelated family has"] = standardised(unseen, who)
    out["2c the same, given length and nearness to others"] = standardised(unseen, who, gap, quality(unseen))
    out["2d openings that no unrelated family has"] = standardised(
        log_rate(made.openings.unseen, made.openings.own[:, None]), who
    )
    out["2e names and numbers that no unrelated family has"] = standardised(
        log_rate(made.names.unseen, made.names.own[:, None]), who
    )
    spans = log_rate(made.span_bits, made.span_words[:, None])
    out["3a passages of 8 words and more, in bits"] = standardised(spans, who)
    out["3b the same, given length and nearness to others"] = standardised(spans, who, gap, quality(spans))
    closed, opened = imposters_by_prompts(made, seed)
    out["4a imposters: residuals, other candidates"] = closed
    out["4b imposters: residuals, unrelated models"] = opened
    out["4c imposters: word frequencies"] = imposters_by_words(profiles(made, FEW, plain=True), who, seed)
    out["4d the same, square roots"] = imposters_by_words(profiles(made, FEW), who, seed)
    for name, z in (("5a", plain), ("5b", out["2b phrases that no unrelated family has"])):
        versions = (z @ who.siblings.T) / np.maximum(who.siblings.sum(1), 1)
        what = "residuals" if name == "5a" else "phrases"
        out[f"{name} less other versions of the developer, {what}"] = z - versions
    habit = log_rate(made.phrases.stable, made.phrases.stable_all)
    back = log_rate(made.phrases.reverse, made.phrases.reverse_all)[who.family]
    out["6a the candidate's habits reproduced"] = standardised(habit, who)
    out["6b the same, less the reverse"] = standardised(habit - back, who)
    out["7 formulae used under many prompts"] = standardised(made.formulae, who)
    for size in (FEW, 1000, FREQUENT):
        out[f"8 explained away, {size} words"] = explained(profiles(made, size), who)
    out["8 explained away, residual cosines"] = explained(as_points(by_kind.mean(0)), who)
    out["9 all together, logistic"] = combined({k: v for k, v in out.items() if k[0] != "0" or k[1] in "cd"}, who)
    return out


# ---- how far they get ----


class Result(NamedTuple):
    """Of one idea, one set of students and one way to decide; per student bool but for the counts."""

    right: Bools
    clear: tuple[Bools, Bools, Bools]
    """Right, and above every wrong name of students and controls; of all clean models; of the developers' versions."""
    held_out: Bools
    false: int
    false_families: int


def named(z: Floats, lead: bool, who: People) -> tuple[NDArray[np.int64], Floats]:
    """The top candidate of every model but its own family, and the score it is named by."""
    n = len(z)
    z = np.where(who.member, -np.inf, z)
    top = z.argmax(1)
    score = z[np.arange(n), top]
    if lead:
        rest = z.copy()
        rest[np.arange(n), top] = -np.inf
        score = score - rest.max(1)
    return top, score


def decide(z: Floats, lead: bool, truth: Bools, who: People) -> Result:
    """Name the top candidate of every model, and see who is named at no false accusation."""
    top, score = named(z, lead, who)
    each = np.arange(len(z))
    student = truth.any(1)
    right = truth[each, top]
    wrong = (who.clean[each, top] | who.control) & ~right
    version = who.member.any(1) & ~wrong
    masks = (wrong & (student | who.control), wrong, wrong | version)
    clear = [right & (score > (score[mask].max() if mask.any() else -np.inf)) for mask in masks]
    held, false = np.zeros(len(z), np.bool_), np.zeros(len(z), np.bool_)
    for f in np.unique(who.family):
        rows = who.family == f
        known = score[wrong & ~rows]
        bar = known.max() + MARGIN * (known.max() - np.median(known))
        held[rows] = right[rows] & (score[rows] > bar)
        false[rows] = wrong[rows] & (score[rows] > bar)
    return Result(
        right[student],
        (clear[0][student], clear[1][student], clear[2][student]),
        held[student],
        int(false.sum()),
        len(np.unique(who.family[false])),
    )


def interval(values: Floats, family: NDArray[np.int64], balanced: bool = False) -> tuple[float, float, float]:
    """Mean over students (or over families) and its 95 % bootstrap interval over families of students."""
    groups = [values[family == f] for f in np.unique(family)]
    total, size = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups], float)
    if balanced:
        total, size = total / size, np.ones(len(groups))
    drawn = np.random.default_rng(0).integers(len(groups), size=(BOOTSTRAP, len(groups)))
    means = total[drawn].sum(1) / size[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(total.sum() / size.sum()), float(low), float(high)


def trivial(truth: Bools, who: People) -> Bools:
    """Right or not, for each student: the most common teacher among the students of other families."""
    rows = np.flatnonzero(truth.any(1))
    out = np.zeros(len(rows), np.bool_)
    for j, i in enumerate(rows):
        others = truth[rows[who.family[rows] != who.family[i]]]
        out[j] = truth[i, others.sum(0).argmax()]
    return out


def table(ideas: dict[str, Floats], truth: Bools, who: People) -> list[str]:
    """One Markdown table: two lines for each idea, by its score and by its lead."""
    rows = np.flatnonzero(truth.any(1))
    family = who.family[rows]
    base = trivial(truth, who)
    usual = truth.sum(0).argmax()
    untaught = who.clean[:, usual] & ~who.tagged.any(1) & ~who.member.any(1)

    def cell(values: Bools) -> str:
        mean, low, high = interval(values.astype(float), family, balanced=True)
        return f"{int(values.sum())} | {mean:.2f} ({low:.2f} to {high:.2f})"

    def against(values: Bools) -> str:
        mean, low, high = interval(values.astype(float) - base, family, balanced=True)
        return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"

    def count(mask: Bools) -> str:
        return f"{int(mask.sum())} / {len(np.unique(family[mask]))}" if mask.any() else "0"

    lines = [
        f"| idea | right, of {len(rows)} | right, mean over families | less the trivial rule | untaught |"
        " by | clear of controls | clear of all | of versions too | held out | false |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"| always the most common teacher | {cell(base)} | | 1.00 | | 0 | 0 | 0 | 0 | |",
    ]
    for name, z in ideas.items():
        for lead in (False, True):
            r = decide(z, lead, truth, who)
            top, ahead = named(z, True, who)
            share = (top == usual)[untaught & (ahead > 0)].mean()
            front = f"{name} | {cell(r.right)} | {against(r.right)} | {share:.2f}" if not lead else " | | | | "
            false = f"{r.false} / {r.false_families}" if r.false else "0"
            covered = " | ".join(count(mask) for mask in (*r.clear, r.held_out))
            lines.append(f"| {front} | {'lead' if lead else 'score'} | {covered} | {false} |")
    return lines


def by_chance(ideas: dict[str, Floats], truth: Bools, who: People, draws: int = 2000) -> tuple[float, float, str]:
    """Teachers dealt anew to the families of students: how often the best of all ideas is as good as it was.

    Returns that share, the mean of the best by chance, and the best idea, all by the mean over families.
    """
    rows = np.flatnonzero(truth.any(1))
    families = np.unique(who.family[rows])
    share = np.zeros((len(ideas), len(families), truth.shape[1]))
    for j, z in enumerate(ideas.values()):
        top, _ = named(z, False, who)
        for k, f in enumerate(families):
            own = rows[who.family[rows] == f]
            share[j, k] = np.bincount(top[own], minlength=truth.shape[1]) / len(own)
    taught = np.stack([truth[rows[who.family[rows] == f]].any(0) for f in families])
    observed = (share * taught).sum(2).mean(1)
    rng = np.random.default_rng(0)
    best = np.array([(share * taught[rng.permutation(len(families))]).sum(2).mean(1).max() for _ in range(draws)])
    p = (1 + (best >= observed.max() - 1e-9).sum()) / (1 + draws)
    return float(p), float(best.mean()), list(ideas)[int(observed.argmax())]


def fewer_prompts(made: Measured, prompts: int) -> list[str]:
    """The idea that goes furthest, on parts of the prompts: means over the parts."""
    who = made.who
    lines = [
        "| prompts | parts | right, mean over families | clear of all | of versions too | held out | false |",
        "|---|---|---|---|---|---|---|",
    ]
    family = who.family[who.named.any(1)]
    for parts in (1, 2, 4, 8):
        found = []
        for part in range(parts):
            blocks = range(part * BLOCKS // parts, (part + 1) * BLOCKS // parts)
            r = decide(explained(profiles(made, FEW, blocks), who), False, who.named, who)
            right, _, _ = interval(r.right.astype(float), family, balanced=True)
            found.append((right, r.clear[1].sum(), r.clear[2].sum(), r.held_out.sum(), r.false))
        cells = " | ".join(f"{v:.2f}" for v in np.mean(found, axis=0))
        lines.append(f"| {prompts // parts} | {parts} | {cells} |")
    return lines


def report(made: Measured, ideas: dict[str, Floats], prompts: int) -> list[str]:
    """The document."""
    who = made.who
    apart = who.clean.any(1) & ~who.tagged.any(1) & ~who.member.any(1)
    lines = [
        "# Teacher attribution: figures",
        "",
        f"Written by `benchmarks/teacher.py` on {len(who.models)} models of {len(who.families)} families and {prompts} "
        f"prompts, features {residual.SCHEME} {residual.VERSION}. {len(who.candidates)} candidate teachers (families),"
        f" {int(who.control.sum())} negative controls; {int(apart.sum())} models of"
        f" {len(np.unique(who.family[apart]))} families are neither students nor candidates and clean of a candidate.",
        "",
        "- **right**: the top candidate is a true teacher, students counted; then one mean per family of students, its"
        " 95 % bootstrap interval over families, and the difference from always naming the most common teacher of the"
        " other families.",
        "- **untaught**: how often the idea names the most common teacher for models that share no tag with it"
        " (ties aside).",
        "- **clear of**: students / families rightly named above *every* wrong name, by score or by lead over the"
        " runner-up: of students and negative controls; of all clean models; of other versions by the developers too.",
        f"- **held out**: the same with a bar from the clean models of other families, {MARGIN} of the way from their"
        " median to their top above it; **false**: clean models / families wrongly named over that bar.",
    ]
    for title, truth in (("Students named in the lineage", who.named), ("And students by tag", who.tagged)):
        rows = truth.any(1)
        taught = Counter(who.families[f] for f in who.candidates[np.nonzero(truth)[1]])
        teachers = ", ".join(f"{name} {count}" for name, count in taught.most_common())
        p, chance, best = by_chance(ideas, truth, who)
        lines += ["", f"## {title}", ""]
        lines += [f"{int(rows.sum())} students of {len(np.unique(who.family[rows]))} families; taught by: {teachers}."]
        lines += [
            f"Best by the mean over families: {best}. With the teachers dealt anew to the families of students, the"
            f" best of all ideas is as good in {100 * p:.1f} % of draws, and gets {chance:.2f} in the mean."
        ]
        lines += ["", *table(ideas, truth, who)]
    lines += ["", f"## Explaining away ({FEW} words) with fewer prompts", "", *fewer_prompts(made, prompts)]
    return lines


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--families", type=Path, required=True)
    parser.add_argument("--lineage", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    found, frame = arranged(arguments.data)
    who = people(found.models, arguments.families, arguments.lineage)
    if who.named.any(1).sum() < 2 or len(who.candidates) < 2:
        print("the lineage names fewer than two students or candidates among these models", file=sys.stderr)
        return 1
    made = measure(found, frame, who)
    ideas = ideas_of(made, arguments.seed)
    lines = report(made, ideas, len(found.prompts))
    print("\n".join(lines))
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
