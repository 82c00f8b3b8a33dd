"""Fitting a panel: from the answers of models of known families to what the score of a pair means.

`fit` scores every pair of the members as if both were unknown: the families are split into folds, and a pair of two
folds is normalised by members of the other folds alone (`crossfit.py`).  Pairs of families that share nothing give the
null, pairs of one family the positives (`labels.py`).  Done for random subsets of the prompts, this gives for each
number of prompts (`calibration.py`)

- the null distribution of the score, hence empirical p-values, never below 1 / (K + 1) over K clean pairs;
- log-likelihood ratios by ridge logistic regression on asinh(score / 3) with equal weight of both classes (Brummer and
  du Preez 2006), bounded by what so many pairs can show (after Vergeer et al. 2016);
- the score from which a verdict is given, above every clean pair of the background;
- the power: the share of derived and of kin pairs that reach it; and Cllr, the cost of the likelihood ratios.

Tests of a pair by its prompts (t-tests, permutations within prompts) are no alternative: unrelated models are not
exchangeable, and such tests are wrong by an order of magnitude.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.style import residual
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import PanelUnfit
from kinprint.server.kinship import scores
from kinprint.server.kinship.answers import Answers, gather
from kinprint.server.kinship.calibration import MARGIN, SIZES, calibrate
from kinprint.server.kinship.crossfit import cross_fitted, cross_fitted_bridge, folds_of
from kinprint.server.kinship.labels import ENSEMBLE, Edge, Labels, Member, independent, label
from kinprint.server.kinship.panel import P_FAMILIES, Panel
from kinprint.server.progress import Progress, result_of
from numpy.typing import NDArray

#: Independent draws of prompts per size, where there are enough prompts.
DRAWS = 8
LEAST_FAMILIES = 4
LEAST_MODELS = 8
#: Fewer derived pairs than this are pointed out.
FEW_DERIVED = 10
#: Suspect pairs that a panel lists.
SUSPECTS = 50
#: Bytes of inner products that a fit holds.
FIT_BYTES = 3 << 29


def fit(
    view: View,
    members: Sequence[Member],
    edges: Sequence[Edge] = (),
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Panel]:
    """Fit a panel on the answers of a corpus; the `Panel` comes last.  Raises PanelUnfit."""
    yield Progress("gathering answers", 0.0)
    answers, _ = gather(view, rows, cancelled)
    if cancelled():
        return
    yield from fit_answers(answers, members, edges, view.corpus, seed, cancelled)


def fit_answers(
    answers: Answers,
    members: Sequence[Member],
    edges: Sequence[Edge] = (),
    corpus: str = "",
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Panel]:
    """As `fit`, on answers that are gathered already."""
    different: dict[str, Member] = {}
    for member in members:
        known = different.setdefault(member.model, member)
        if known.family != member.family:
            raise PanelUnfit(f"model {member.model!r} is in two families: {known.family!r} and {member.family!r}")
    present = [m for m in answers.models if m in different]
    missing = sorted(set(different) - set(present))
    few = answers.among(present).present.sum(0) if present else np.zeros(0)
    present = [m for m, count in zip(present, few, strict=True) if count >= SIZES[0]]
    thin = len(few) - len(present)
    families = {different[m].family for m in present}
    if len(present) < LEAST_MODELS or len(families) < LEAST_FAMILIES:
        raise PanelUnfit(
            f"{len(present)} members of {len(families)} families answered {SIZES[0]} prompts or more here "
            f"({len(missing)} named members have no answers); a background needs at least {LEAST_MODELS} models of "
            f"{LEAST_FAMILIES} families, and {P_FAMILIES} families before it gives p-values"
        )
    own = answers.among(present)
    asked = np.flatnonzero(np.diff(own.starts) >= max(3, len(present) // 4))
    own = own.subset(asked)
    if len(own.prompts) < SIZES[0]:
        raise PanelUnfit(
            f"only {len(own.prompts)} prompts were answered by a quarter of the members; at least {SIZES[0]} are needed"
        )
    labels = label(own.models, members, edges)
    fold = folds_of(labels.family, seed)
    if not labels.unrelated.any() or not labels.kin.any():
        what = "no two members are unrelated" if labels.kin.any() else "no family has two members"
        raise PanelUnfit(f"{what}: there is nothing to fit; check the columns family and shares_with")
    draws = yield from result_of(draw(own, fold, seed, cancelled))
    if draws is None:
        return
    fitted = tuple(c for s, z in draws.sizes.items() if (c := calibrate(z, labels, s)) is not None)
    if not fitted:
        raise PanelUnfit(
            "too few pairs have scores: the members answered too few prompts in common, or a single pair is named as "
            "derived"
        )
    across = None if draws.bridged is None else calibrate(draws.bridged[None], labels, len(own.prompts) // 2)
    named = bool(labels.derived.any())
    final = draws.sizes[max(draws.sizes)].mean(0)
    suspects = _suspects(own.models, final, labels)
    yield Panel(
        corpus=corpus,
        members=tuple(different[m] for m in own.models),
        families=len(families),
        independent_families=independent(labels.family, labels.unrelated),
        prompts=own.prompts,
        pairs={
            name: int(np.triu(mask, 1).sum())
            for name, mask in (("unrelated", labels.unrelated), ("kin", labels.kin), ("derived", labels.derived))
        },
        derived_from="lineage" if named else "closest_same_family",
        sizes=fitted,
        bridged=across,
        suspects=suspects[:SUSPECTS],
        cautions=_cautions(
            different, missing, thin, labels, own.models, len(families), named, suspects, answers, len(own.prompts)
        ),
        parameters={
            "seed": seed,
            "folds": int(fold.max()) + 1,
            "draws": DRAWS,
            "trim": scores.TRIM,
            "margin": MARGIN,
            "transform": "asinh(score/3)",
            "ridge_c": 10.0,
        },
        kinprint=importlib.metadata.version("kinprint"),
    )


@dataclass(frozen=True, eq=False)
class Draws:
    """Cross-fitted scores of the members' pairs: for each number of prompts, float64[draws, n, n]."""

    sizes: dict[int, NDArray[np.float64]]
    bridged: NDArray[np.float64] | None


def fitted_prompts(models: int) -> int:
    """Most prompts that a fit on so many models uses; of more, some are drawn."""
    return max(1, FIT_BYTES // (len(residual.FAMILIES) * models * models * 4))


def draw(
    answers: Answers, fold: NDArray[np.int64], seed: int, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Progress | Draws]:
    """Score all pairs of the members on random subsets of the prompts."""
    n, prompts = len(answers.models), len(answers.prompts)
    order = np.random.default_rng(seed).permutation(prompts)
    chosen = answers.subset(order[: fitted_prompts(n)])
    grams, present = [], []
    for share, block in scores.blocks(chosen):
        if cancelled():
            return
        grams.append(block.gram)
        present.append(block.present)
        yield Progress("comparing answers", 0.3 * share)
    everything = residual.Grams(np.concatenate(grams), np.concatenate(present))
    prompts = len(chosen.prompts)
    # A size close to all prompts would be fitted on nearly the same scores twice.
    smaller = [s for s in SIZES if s < prompts and (s == SIZES[0] or 1.25 * s <= prompts)]
    plan = [(s, k) for s in (*smaller, prompts) for k in range(min(DRAWS, prompts // s))]
    work = sum(s for s, _ in plan) + 2 * prompts
    done = 0
    sizes: dict[int, list[NDArray[np.float64]]] = {}
    for size, k in plan:
        some = slice(k * size, (k + 1) * size)
        part = residual.Grams(everything.gram[some], everything.present[some])
        sizes.setdefault(size, []).append(cross_fitted(part, fold, cancelled))
        if cancelled():
            return
        done += size
        yield Progress(f"cross-fitting the background, {size} prompts", 0.3 + 0.7 * done / work)
    half = prompts // 2
    across = None
    if half >= SIZES[0] and n >= LEAST_MODELS:
        left, right = (
            residual.Grams(everything.gram[s], everything.present[s]) for s in (slice(half), slice(half, 2 * half))
        )
        across = cross_fitted_bridge(left, right, fold, cancelled)
        if cancelled():
            return
    yield Progress("fitting", 1.0)
    yield Draws({size: np.stack(found) for size, found in sizes.items()}, across)


def _suspects(models: Sequence[str], z: NDArray[np.float64], labels: Labels) -> tuple[tuple[str, str, float], ...]:
    """Clean pairs that score like the middle of the kin pairs: the list of families may miss what they share."""
    upper = np.triu(np.ones(z.shape, np.bool_), 1)
    kin = z[upper & labels.kin & np.isfinite(z)]
    if len(kin) == 0:
        return ()
    bar = max(float(np.median(kin)), 4.0)
    found = [
        (models[i], models[j], round(float(z[i, j]), 4)) for i, j in np.argwhere(upper & labels.unrelated & (z > bar))
    ]
    return tuple(sorted(found, key=lambda s: (-s[2], s[0], s[1])))


def _cautions(
    named_members: dict[str, Member],
    missing: Sequence[str],
    thin: int,
    labels: Labels,
    models: Sequence[str],
    families: int,
    named: bool,
    suspects: Sequence[tuple[str, str, float]],
    answers: Answers,
    prompts: int,
) -> tuple[str, ...]:
    out = []
    if families < P_FAMILIES:
        out.append(f"{families} families are fewer than {P_FAMILIES}: no p-values are given")
    if not any(m.shares_with for m in named_members.values()):
        out.append(
            "no member names what it shares with others: every two families count as unrelated, though they may share "
            "a base model or training data"
        )
    if not named:
        out.append(
            "no derived pairs were named: the closer half of each family's pairs stands in for them, so a likelihood "
            "ratio weighs closest family members, not proven derivation, against unrelated models"
        )
    count = int(np.triu(labels.derived, 1).sum())
    if named and count < FEW_DERIVED:
        out.append(
            f"only {count} derived pairs were named: likelihood ratios rest on so few, and some sizes may be missing"
        )
    if missing:
        out.append(f"{len(missing)} of the models in the list of families have no answers here: {_some(missing)}")
    if thin:
        out.append(f"{thin} members answered fewer than {SIZES[0]} prompts and were left out")
    if suspects:
        pairs = ", ".join(f"{a} and {b}" for a, b, _ in suspects[:3])
        more = ", ..." if len(suspects) > 3 else ""
        out.append(
            f"{len(suspects)} pairs listed as unrelated score like kin ({pairs}{more}): "
            "they may share a base or data that the list does not name. They stay in the null, which makes p-values "
            "and thresholds cautious"
        )
    if prompts > fitted_prompts(len(models)):
        out.append(f"the fit used {fitted_prompts(len(models)):,} of {prompts:,} prompts, drawn at random")
    mixed = [m for m in models if ENSEMBLE in named_members[m].shares_with]
    if mixed:
        out.append(f"{len(mixed)} members mix several models and make no clean pairs")
    boilerplate = answers.left_out.get("boilerplate", 0)
    if boilerplate:
        out.append(
            f"{boilerplate} answers that give the same words to several prompts (refusals, greetings) were left out"
        )
    return tuple(out)


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
