"""Training: what is learnt from answers whose models are known, and how far it can be trusted.

The latter is measured on prompts and families that nothing was learnt from.  Steps, the reasons for them, and figures:
docs/attribution.md.

1. Texts become hashed sparse features (`kinprint.kernels.style.authorship`), weighted by rarity among the training
   texts.
2. One linear classifier a model, against the others and the background, gives each text a margin a model.
3. Margins of texts that were held out with their prompts are turned into log-posteriors (multinomial logistic
   regression); those of a set are added up and tempered, because texts of a set are not independent.
4. Whether a set is by a known model at all is a logistic regression on three figures of its margins.  It is fitted on
   sets of families that were left out of the classifiers, one group of families after the other.
5. Both parts are cross-validated for every size of set; thresholds below which nothing is named come from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from kinprint.kernels.style import authorship
from kinprint.server.authorship.attributor import MIN_TEXTS, Attributor, Known, Power, Size
from kinprint.server.authorship.margins import (
    fit_and_apply,
    learn,
    profiles_of,
    rarity_of,
    stack_of,
    weighted_by,
    width,
)
from kinprint.server.authorship.texts import FOLDS, check_codes, gather
from kinprint.server.authorship.validate import (
    Simulated,
    calibrate,
    feasible,
    groups_of,
    held_posteriors,
    known_sets,
    left_out_sets,
)
from kinprint.server.failures import InvalidField
from kinprint.server.progress import Progress, Stopped, stop_if


def train(
    known: Known,
    *,
    background: Known | None = None,
    seed: int = 0,
    per_model: int = 600,
    per_background: int = 150,
    most_texts: int = 20_000,
    prior_unknown: float = 0.5,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Attributor]:
    """Learn to attribute texts to the known models; the `Attributor` comes last, and never when it is cancelled.

    Parameters
    ----------
    known
        Answers of two models or more.
    background
        Answers of other models, which are never named.  With them it is far clearer what "none of these" means.
    seed
        Every choice at random depends on it alone.
    per_model, per_background
        Most answers used of each known and each background model, chosen at random; what was used is in the result.
    most_texts
        Most answers used in all of the known, and half as many of the background.  Where the two limits above would
        take more, they are lowered, though never below `MIN_TEXTS`; features of 20,000 answers take about a gigabyte.
    prior_unknown
        Prior probability that the author is none of the known models.

    Raises
    ------
    InvalidField
        If the codes do not fit the texts, or fewer than two models have `MIN_TEXTS` usable answers.
    """
    check_codes(known, "known")
    if not 0.0 < prior_unknown < 1.0:
        raise InvalidField("prior_unknown", "prior_unknown must lie between 0 and 1")
    if per_model < MIN_TEXTS or per_background < 1:
        raise InvalidField("per_model", f"at least {MIN_TEXTS} answers a model, and one a background model")
    rng = np.random.default_rng(seed)
    per_model = min(per_model, max(MIN_TEXTS, most_texts // max(len(known.names), 1)))
    if background is not None:
        per_background = min(per_background, max(MIN_TEXTS, most_texts // 2 // max(len(background.names), 1)))
    try:
        yield from _trained(known, background, rng, per_model, per_background, prior_unknown, stop_if(cancelled))
    except Stopped:
        return


def _trained(
    known: Known,
    background: Known | None,
    rng: np.random.Generator,
    per_model: int,
    per_background: int,
    prior_unknown: float,
    check: Callable[[], None],
) -> Iterator[Progress | Attributor]:
    yield Progress("reading texts", 0.0)
    corpus, names, left_out, given, notes = gather(known, background, rng, per_model, per_background, check)
    used = np.bincount(corpus.model, minlength=len(names))[: len(names)].astype(np.int64)
    background_used = int((corpus.model >= corpus.models).sum())
    groups, background_groups = groups_of(corpus, rng)
    steps = FOLDS + len(groups) + 2
    m = corpus.models

    held = np.zeros((len(corpus.model), width(m, corpus.backed)))
    everything = np.arange(m)
    for fold in range(FOLDS):
        check()
        yield Progress("holding out prompts", fold / steps)
        train_on, test = corpus.fold != fold, (corpus.fold == fold) & (corpus.model < m)
        held[test] = fit_and_apply(corpus, corpus.rows(train_on), everything, corpus.rows(test), rng, check)
    rows = corpus.rows(corpus.model < m)
    sizes = feasible(corpus)
    posterior = held_posteriors(corpus, held, rows, check)
    closed_sets = {size: known_sets(corpus, posterior, rows, size, rng) for size in sizes}
    open_sets: dict[int, list[Simulated]] = {size: [] for size in sizes}
    for g, families in enumerate(groups):
        check()
        yield Progress("holding out families", (FOLDS + g) / steps)
        for size, sets in left_out_sets(corpus, families, g % FOLDS, sizes, rng, check).items():
            open_sets[size].append(sets)
    # Sizes for which no sets by unknown authors could be drawn are not validated.
    sizes = tuple(s for s in sizes if not groups or any((g.truth < 0).any() for g in open_sets[s])) or sizes[:1]
    calibrated: list[tuple[Size, Power]] = []
    for size in sizes:
        check()
        limit = calibrated[-1][0].limit if calibrated else 0.0
        calibrated.append(calibrate(size, closed_sets[size], open_sets[size], m, prior_unknown, limit))
    check()
    yield Progress("learning from all texts", (steps - 1) / steps)
    rarity = rarity_of(corpus.counts)
    target = np.where(corpus.model < m, corpus.model, -1).astype(np.int32)
    weights = learn(weighted_by(corpus.counts, rarity), target, m, corpus.backed, rng, check)
    if not groups:
        notes.append("all models are of one family and there is no background: nothing can be named")
    elif not background_groups and len(groups) < 3:
        notes.append("with so few families and no background it is hardly known what an unknown author looks like")
    stack, profiles = stack_of(held[rows], corpus.model[rows], m), profiles_of(held[rows], corpus.model[rows], m)
    yield Progress("done", 1.0)
    yield Attributor(
        names=names,
        left_out=left_out,
        texts_given=given,
        texts_used=used,
        background_used=background_used,
        power=tuple(power for _, power in calibrated),
        prior_unknown=prior_unknown,
        notes=tuple(notes),
        scheme=f"{authorship.SCHEME} {authorship.VERSION}",
        weights=weights,
        rarity=rarity,
        stack=stack,
        profiles=profiles,
        sizes=tuple(size for size, _ in calibrated),
    )
