"""Attribution: which of some known models wrote a text, or a set of texts by one author, or none of them.

`train` learns from answers whose models are known and measures, on prompts and families that it did not learn from,
how far its answers can be trusted; `attribute` answers.  Steps, the reasons for them, and figures: docs/attribution.md.

1. Texts become hashed sparse features (`kinprint.kernels.style.authorship`), weighted by rarity among the training
texts. 2. One linear classifier a model, against the others and the background, gives each text a margin a model.
3. Margins of texts that were held out with their prompts are turned into log-posteriors (multinomial logistic
   regression); those of a set are added up and tempered, because texts of a set are not independent.
4. Whether a set is by a known model at all is a logistic regression on three figures of its margins.  It is fitted on
   sets of families that were left out of the classifiers, one group of families after the other.
5. Both parts are cross-validated for every size of set; thresholds below which nothing is named come from there.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import authorship
from kinprint.kernels.style.authorship import Features
from kinprint.server.failures import InvalidField
from kinprint.server.progress import Progress
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

#: Sizes of sets that are validated, as far as the corpus has texts for them.
SIZES: Final = (1, 2, 5, 10, 25, 50)
#: Fewest usable, distinct answers that a model needs.
MIN_TEXTS: Final = 20
#: A text with fewer different character features (about so many code points) says nothing of its author.
MIN_FEATURES: Final = 60
#: Two texts of one set whose weighted features have this cosine count once.
NEAR_COPY: Final = 0.8
#: Largest share of sets by unknown authors, and of wrong names among the given ones, that may be named.
ERROR: Final = 0.05
#: Share of the simulated unknown sets that the threshold lets through: less than `ERROR`, because families are few.
_PASSING: Final = 0.03

NO_USABLE_TEXT: Final = "NO_USABLE_TEXT"
MAY_BE_UNKNOWN: Final = "MAY_BE_UNKNOWN"
TOO_CLOSE: Final = "TOO_CLOSE"
NO_POWER: Final = "NO_POWER"
#: Why nothing is named, for a person.
REASONS: Final = {
    NO_USABLE_TEXT: "no text of the set is long enough to tell an author",
    MAY_BE_UNKNOWN: "a model that is not among the known ones could have written this",
    TOO_CLOSE: "two or more of the known models could have written this",
    NO_POWER: "the known texts do not tell these models apart, or from others, in sets of this size",
}

_SCALE = np.array([1.0, 1.0, 1.0, 1.0, 0.7, 0.5], np.float32)
_SCALE /= np.float32(np.linalg.norm(_SCALE))
_PENALTY = 2.0
_EPOCHS = 6
_FOLDS = 3
_GROUPS = 5
_SETS = 100
_BINS = 10
_AT_ONCE = 2048
_MOST_SHARED = 16

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """Answers whose models are known."""

    texts: Texts
    """n answers."""
    model: NDArray[np.int32]
    """int32[n]: the model of each, as a place in `names`."""
    names: tuple[str, ...]
    """Names of the models."""
    prompt: NDArray[np.int64]
    """int64[n]: code of the prompt of each; -1 where it is not known, and the answer then counts as one of its own."""
    family: NDArray[np.int32] | None = None
    """int32[len(names)]: code of the family of each model; None: each model is a family of its own."""


@dataclass(frozen=True, slots=True)
class Power:
    """What sets of one size can tell, cross-validated on the user's own texts."""

    size: int
    sets: int
    """Sets by known models that were simulated."""
    accuracy: float
    """Share of them whose most probable model is right, without the answer "none of these"."""
    named: float
    """Share of them that get named, rightly or wrongly."""
    correct: float
    """Share of the named that are named rightly; nan where none is named."""
    unknown_sets: int
    """Sets by families that were left out."""
    false_names: float
    """Share of those that get named all the same; nan where no family could be left out."""
    auc: float
    """Chance that a set by a known model looks more known than one by a family left out."""
    cllr: float
    """Cost of the log-likelihood ratios in bits (Brummer and du Preez 2006): 0 is perfect, 1 says nothing."""
    calibration_error: float
    """Mean difference between stated and observed probability of the most probable answer."""


@dataclass(frozen=True, slots=True)
class _Size:
    """Calibration of sets of one size."""

    size: int
    temperature: float
    detector: Floats
    """float64[4]: weights of the three figures, and the intercept; natural log of the likelihood ratio of "known"."""
    least_known: float
    """Least likelihood ratio of "known", natural log, at which a set gets named."""
    least_posterior: float
    """Least posterior among the known models at which a set gets named."""
    known_limit: float
    """Largest natural-log likelihood ratio of "known" that the validation supports."""
    limit: float
    """Largest natural-log likelihood ratio of any answer that the validation supports."""


@dataclass(frozen=True, eq=False, slots=True)
class _Profiles:
    """How the margins of texts of each model are distributed."""

    mean: Floats
    """float64[m, w], of w margins a text."""
    precision: Floats
    """float64[m, w, w]."""


@dataclass(frozen=True, eq=False, slots=True)
class Attributor:
    """What `train` has learnt; give it to `attribute`."""

    names: tuple[str, ...]
    """Models that can be named, in the order of `Known.names`."""
    left_out: tuple[tuple[str, str], ...]
    """Models that cannot, each with the reason."""
    texts_given: NDArray[np.int64]
    """int64[models]: answers of each of `names` that were given."""
    texts_used: NDArray[np.int64]
    """int64[models]: answers used: neither too short nor repeated, and at most `per_model`."""
    background_used: int
    """Answers of other models that were used."""
    power: tuple[Power, ...]
    prior_unknown: float
    """Prior probability of "none of these"; the known models share the rest equally."""
    notes: tuple[str, ...]
    """What a reader of the results should know."""
    scheme: str
    """Features and their version."""
    _weights: tuple[NDArray[np.float32], ...]
    _rarity: NDArray[np.float32]
    _stack: _Stack
    _profiles: _Profiles
    _sizes: tuple[_Size, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One known model as the author of a set."""

    name: str
    log10_lr: float
    """log10 of P(texts | this model) / P(texts | the others, known and unknown, by their priors)."""
    probability: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The known models as authors of one set."""

    set: int
    """The set, as in `sets`."""
    texts: int
    """Texts given."""
    counted: int
    """Texts that counted."""
    too_short: int
    """Texts that did not, because they are blank or too short."""
    repeated: int
    """Texts that did not, because they are equal or nearly equal to another of the set."""
    beyond: int
    """Texts that did not, because the set is larger than any that was validated."""
    ranked: tuple[Ranked, ...]
    """All models, most probable first."""
    none_of_these: float
    """Probability that none of them is the author; with theirs it sums to one."""
    none_log10_lr: float
    abstained: bool
    reason: str
    """One of `REASONS`; empty where a model is named."""


@dataclass(frozen=True, eq=False, slots=True)
class _Stack:
    """Multinomial logistic regression from margins, by family of features, to log-posteriors."""

    weights: Floats
    intercept: Floats

    def log_posteriors(self, margins: Floats) -> Floats:
        """float64[..., m] of margins float64[..., w]."""
        return _log_softmax(_told(margins, len(self.weights)) @ self.weights.T + self.intercept)


def _log_softmax(x: Floats) -> Floats:
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


# ---- training ----


@dataclass(frozen=True, eq=False, slots=True)
class _Corpus:
    """Answers that training reads: the known models first, then the background, as classes from `models` on."""

    counts: Features
    model: NDArray[np.int32]
    """int32[n], class of each text."""
    fold: NDArray[np.int64]
    """int64[n]; every answer to one prompt is in one fold."""
    half: NDArray[np.bool_]
    """bool[n]; every answer to one prompt is in one half of its fold."""
    family: NDArray[np.int64]
    """int64[classes]."""
    models: int

    @property
    def backed(self) -> bool:
        """Whether there is a background."""
        return bool((self.model >= self.models).any())

    def rows(self, mask: NDArray[np.bool_]) -> Ints:
        return np.flatnonzero(mask).astype(np.int64)


def _check(known: Known, field: str) -> None:
    n = len(known.texts)
    for name, codes in (("model", known.model), ("prompt", known.prompt)):
        if codes.shape != (n,):
            raise InvalidField(field, f"{name} must give one code a text: {n}, not {codes.size}")
    if n and not (int(known.model.min()) >= 0 and int(known.model.max()) < len(known.names)):
        raise InvalidField(field, f"model codes must lie in 0..{len(known.names) - 1}")
    if known.family is not None and known.family.shape != (len(known.names),):
        raise InvalidField(field, f"family must give one code a model: {len(known.names)}, not {known.family.size}")


def _distinct(texts: Texts, group: NDArray[np.int32]) -> NDArray[np.bool_]:
    """True for the first of equal texts within a group."""
    keys = [(int(g), _bytes(texts, i)) for i, g in enumerate(group)]
    seen: set[tuple[int, bytes]] = set()
    first = np.zeros(len(texts), np.bool_)
    for i, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            first[i] = True
    return first


def _bytes(texts: Texts, i: int) -> bytes:
    raw = ctypes.string_at(int(texts.addresses[i]), int(texts.lengths[i])) if texts.lengths[i] else b""
    return hashlib.blake2b(b" ".join(raw.split()), digest_size=16).digest()


def _usable(counts: Features) -> NDArray[np.bool_]:
    """Texts with enough features to tell an author."""
    low, high = authorship.BOUNDS[0], authorship.BOUNDS[1]
    inside = (counts.indices >= low) & (counts.indices < high)
    running = np.concatenate([[0], np.cumsum(inside)])
    return np.asarray(running[counts.indptr[1:]] - running[counts.indptr[:-1]] >= MIN_FEATURES)


def _choose(known: Known, most: int, rng: np.random.Generator) -> Ints:
    """Rows of at most `most` distinct texts of each model, in ascending order."""
    distinct = _distinct(known.texts, known.model)
    chosen = []
    for code in range(len(known.names)):
        rows = np.flatnonzero(distinct & (known.model == code))
        chosen.append(np.sort(rng.permutation(rows)[:most]))
    return np.concatenate(chosen).astype(np.int64) if chosen else np.zeros(0, np.int64)


def _features(texts: Texts) -> Features:
    return authorship.features_of(texts)


def train(
    known: Known,
    *,
    background: Known | None = None,
    seed: int = 0,
    per_model: int = 600,
    per_background: int = 150,
    most_texts: int = 20_000,
    prior_unknown: float = 0.5,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Attributor | None:
    """Learn to attribute texts to the known models; None when it was cancelled.

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
    _check(known, "known")
    if not 0.0 < prior_unknown < 1.0:
        raise InvalidField("prior_unknown", "prior_unknown must lie between 0 and 1")
    if per_model < MIN_TEXTS or per_background < 1:
        raise InvalidField("per_model", f"at least {MIN_TEXTS} answers a model, and one a background model")
    rng = np.random.default_rng(seed)
    per_model = min(per_model, max(MIN_TEXTS, most_texts // max(len(known.names), 1)))
    if background is not None:
        per_background = min(per_background, max(MIN_TEXTS, most_texts // 2 // max(len(background.names), 1)))
    progress(Progress("reading texts", 0.0))
    corpus, names, left_out, given, notes = _gather(known, background, rng, per_model, per_background)
    used = np.bincount(corpus.model, minlength=len(names))[: len(names)].astype(np.int64)
    background_used = int((corpus.model >= corpus.models).sum())
    groups, background_groups = _groups(corpus, rng)
    steps = _FOLDS + len(groups) + 2
    m = corpus.models

    held = np.zeros((len(corpus.model), _width(m, corpus.backed)))
    everything = np.arange(m)
    for fold in range(_FOLDS):
        if cancelled():
            return None
        progress(Progress("holding out prompts", fold / steps))
        learn, test = corpus.fold != fold, (corpus.fold == fold) & (corpus.model < m)
        held[test] = _fit_and_apply(corpus, corpus.rows(learn), everything, corpus.rows(test), rng)
    rows = corpus.rows(corpus.model < m)
    sizes = _feasible(corpus)
    known_sets = {size: _known_sets(corpus, held, rows, size, rng) for size in sizes}
    open_sets: dict[int, list[_Sets]] = {size: [] for size in sizes}
    for g, families in enumerate(groups):
        if cancelled():
            return None
        progress(Progress("holding out families", (_FOLDS + g) / steps))
        for size, sets in _left_out(corpus, families, g % _FOLDS, sizes, rng).items():
            open_sets[size].append(sets)
    # Sizes for which no sets by unknown authors could be drawn are not validated.
    sizes = tuple(s for s in sizes if not groups or any((g.truth < 0).any() for g in open_sets[s])) or sizes[:1]
    calibrated: list[tuple[_Size, Power]] = []
    for size in sizes:
        limit = calibrated[-1][0].limit if calibrated else 0.0
        calibrated.append(_calibrate(size, known_sets[size], open_sets[size], m, prior_unknown, limit))
    if cancelled():
        return None
    progress(Progress("learning from all texts", (steps - 1) / steps))
    rarity = _rarity(corpus.counts, corpus.rows(np.ones(len(corpus.model), np.bool_)))
    target = np.where(corpus.model < m, corpus.model, -1).astype(np.int32)
    weights = _learn(_weighted(corpus.counts, rarity), target, m, corpus.backed, rng)
    if not groups:
        notes.append("all models are of one family and there is no background: nothing can be named")
    elif not background_groups and len(groups) < 3:
        notes.append("with so few families and no background it is hardly known what an unknown author looks like")
    progress(Progress("done", 1.0))
    return Attributor(
        names=names,
        left_out=left_out,
        texts_given=given,
        texts_used=used,
        background_used=background_used,
        power=tuple(power for _, power in calibrated),
        prior_unknown=prior_unknown,
        notes=tuple(notes),
        scheme=f"{authorship.SCHEME} {authorship.VERSION}",
        _weights=weights,
        _rarity=rarity,
        _stack=_stack(held[rows], corpus.model[rows], m),
        _profiles=_profiles(held[rows], corpus.model[rows], m),
        _sizes=tuple(size for size, _ in calibrated),
    )


def _gather(
    known: Known, background: Known | None, rng: np.random.Generator, per_model: int, per_background: int
) -> tuple[_Corpus, tuple[str, ...], tuple[tuple[str, str], ...], Ints, list[str]]:
    # Some more than are used, because some may be too short.
    chosen = _choose(known, per_model + per_model // 2, rng)
    counts = _features(known.texts.take(chosen))
    usable = np.flatnonzero(_usable(counts))
    counts, chosen = counts.take(usable), chosen[usable]
    model = known.model[chosen]
    tally = np.bincount(model, minlength=len(known.names))
    kept = np.flatnonzero(tally >= MIN_TEXTS)
    left_out = tuple(
        (known.names[c], f"{tally[c]} usable, distinct answers; {MIN_TEXTS} are needed")
        for c in range(len(known.names))
        if tally[c] < MIN_TEXTS
    )
    if len(kept) < 2:
        raise InvalidField(
            "known",
            f"two models with {MIN_TEXTS} usable, distinct answers are needed, but there are {len(kept)}",
            "TOO_FEW_TEXTS",
        )
    notes = []
    place = np.full(len(known.names), -1, np.int32)
    place[kept] = np.arange(len(kept))
    capped = [np.sort(rng.permutation(np.flatnonzero(model == c))[:per_model]) for c in kept]
    given = np.bincount(known.model, minlength=len(known.names))
    if any(given[c] > per_model for c in kept):
        notes.append(f"at most {per_model} answers of a model were used, chosen at random")
    some = np.concatenate(capped).astype(np.int64)
    counts, chosen, model = counts.take(some), chosen[some], place[model[some]]
    prompt = known.prompt[chosen].astype(np.int64)
    family = known.family.astype(np.int64) if known.family is not None else np.arange(len(known.names))
    family = family[kept]
    if background is not None and len(background.texts):
        _check(background, "background")
        theirs = _choose(background, per_background, rng)
        their_counts = _features(background.texts.take(theirs))
        fine = np.flatnonzero(_usable(their_counts))
        counts = _stacked(counts, their_counts.take(fine))
        theirs = theirs[fine]
        model = np.concatenate([model, background.model[theirs] + len(kept)]).astype(np.int32)
        prompt = np.concatenate([prompt, background.prompt[theirs]])
        both = known.family is not None and background.family is not None
        own = int(family.max()) + 1 + np.arange(len(background.names))
        family = np.concatenate([family, background.family if both and background.family is not None else own])
    if np.any(prompt < 0):
        notes.append("answers without a prompt were taken for answers to prompts of their own")
        unknown = np.flatnonzero(prompt < 0)
        prompt[unknown] = int(prompt.max()) + 1 + np.arange(len(unknown))
    _, prompt = np.unique(prompt, return_inverse=True)
    order = rng.permutation(int(prompt.max()) + 1)
    part = order[prompt]
    corpus = _Corpus(
        counts,
        model.astype(np.int32),
        (part % _FOLDS).astype(np.int64),
        np.asarray((part // _FOLDS) % 2 == 1),
        family.astype(np.int64),
        len(kept),
    )
    return corpus, tuple(known.names[c] for c in kept), left_out, given[kept].astype(np.int64), notes


def _stacked(a: Features, b: Features) -> Features:
    return Features(
        np.concatenate([a.indptr, b.indptr[1:] + a.indptr[-1]]),
        np.concatenate([a.indices, b.indices]),
        np.concatenate([a.data, b.data]),
    )


def _groups(corpus: _Corpus, rng: np.random.Generator) -> tuple[list[Ints], bool]:
    """Families that are left out together, and whether they are those of the background.

    With enough of a background no known model needs to be left out.  Families of both sorts are never among them then.
    """
    known = np.unique(corpus.family[: corpus.models])
    others = np.setdiff1d(np.unique(corpus.family[corpus.models :]), known)
    enough = len(others) >= _GROUPS
    families = rng.permutation(others if enough else known)
    if not enough and len(families) < 2:
        return [], False
    return [np.sort(part) for part in np.array_split(families, min(_GROUPS, len(families)))], enough


def _rarity(counts: Features, rows: Ints) -> NDArray[np.float32]:
    """Inverse document frequencies, float32[DIM]; what occurs once is left out."""
    found = authorship.document_frequencies(counts.take(rows))
    return np.where(found >= 2, np.log(len(rows) / np.maximum(found, 1)) + 1.0, 0.0).astype(np.float32)


def _weighted(counts: Features, rarity: NDArray[np.float32]) -> Features:
    return authorship.weigh(counts, rarity, _SCALE)


def _fit(weighted: Features, target: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    orders = np.stack([rng.permutation(len(target)) for _ in range(_EPOCHS)]).astype(np.int64)
    return authorship.separate(weighted, np.ascontiguousarray(target, np.int32), count, _PENALTY, orders)


def _fit_and_apply(corpus: _Corpus, learn: Ints, classes: Ints, test: Ints, rng: np.random.Generator) -> Floats:
    """Margins of the texts `test` for `classes`, learnt from the texts `learn`, as `_learn` orders them."""
    place = np.full(len(corpus.family), -1, np.int32)
    place[classes] = np.arange(len(classes))
    rarity = _rarity(corpus.counts, learn)
    weights = _learn(
        _weighted(corpus.counts.take(learn), rarity), place[corpus.model[learn]], len(classes), corpus.backed, rng
    )
    return _apply(_weighted(corpus.counts.take(test), rarity), weights, len(classes))


def _learn(
    weighted: Features, target: NDArray[np.int32], count: int, backed: bool, rng: np.random.Generator
) -> tuple[NDArray[np.float32], ...]:
    """Classifiers of the models against each other, and, if they are `backed`, against the background (-1) as well.

    A background model may be much like a known one.  That must weigh in what is known, but not in which model it is.
    """
    own = np.flatnonzero(target >= 0).astype(np.int64)
    among = _fit(weighted.take(own) if backed else weighted, target[own], count, rng)
    return (among, _fit(weighted, target, count, rng)) if backed else (among,)


def _apply(weighted: Features, weights: tuple[NDArray[np.float32], ...], count: int) -> Floats:
    """Margins, float64[n, w]: `m` among the models; with a background `m` more against it; shares of families last.

    Shares are those of the margins among the models, and are left out where there are many models.
    """
    parts = [authorship.margins(weighted, w, count) for w in weights]
    if count <= _MOST_SHARED:
        parts.append(authorship.shares(weighted, weights[0], count).reshape(len(parts[0]), -1))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _width(count: int, backed: bool) -> int:
    """Columns of margins (see `_apply`)."""
    return count * (1 + backed + (len(authorship.FAMILIES) if count <= _MOST_SHARED else 0))


def _told(margins: Floats, count: int) -> Floats:
    """The columns from which posteriors are made: shares of families, or margins where there are none."""
    return margins[..., -len(authorship.FAMILIES) * count :] if count <= _MOST_SHARED else margins[..., :count]


def _whole(margins: Floats, count: int) -> Floats:
    """The columns that are margins and no shares."""
    return margins[..., : -len(authorship.FAMILIES) * count] if count <= _MOST_SHARED else margins


def _stack(margins: Floats, model: NDArray[Any], count: int) -> _Stack:
    if count == 1:
        return _Stack(np.zeros((1, _told(margins, 1).shape[1])), np.zeros(1))
    fitted = LogisticRegression(C=1.0, max_iter=500).fit(_told(margins, count), model)
    weights, intercept = np.asarray(fitted.coef_, np.float64), np.asarray(fitted.intercept_, np.float64)
    if count == 2:
        weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
    return _Stack(weights, intercept)


def _profiles(margins: Floats, model: NDArray[Any], count: int) -> _Profiles:
    """Mean and inverse covariance of the margins of each model's texts, shrunk to the diagonal."""
    margins = _whole(margins, count)
    width = margins.shape[1]
    mean, precision = np.zeros((count, width)), np.zeros((count, width, width))
    for c in range(count):
        own = margins[model == c]
        mean[c] = own.mean(axis=0)
        spread = (own - mean[c]).T @ (own - mean[c]) / max(len(own) - 1, 1)
        shrink = max(0.05, width / (width + len(own)))
        spread = (1.0 - shrink) * spread + np.diag(shrink * np.diag(spread) + 1e-4)
        precision[c] = np.linalg.inv(spread)
    return _Profiles(mean, precision)


def _figures(mean: Floats, total: Floats, profiles: _Profiles) -> Floats:
    """Three figures of sets, float64[s, 3], of mean margins float64[s, w] and summed log-posteriors float64[s, m].

    The margin of the most probable model, its lead over the next, and how far the margins are from what they are for
    the model that they are nearest to (log of the Mahalanobis distance).
    """
    top = total.argmax(axis=1)
    mean = _whole(mean, total.shape[1])
    rest = mean[:, -total.shape[1] :].copy()  # those against the background, if there is one
    own = rest[np.arange(len(mean)), top]
    rest[np.arange(len(mean)), top] = -np.inf
    lead = own - rest.max(axis=1) if total.shape[1] > 1 else np.zeros(len(mean))
    distance = np.full(len(mean), np.inf)
    for centre, precision in zip(profiles.mean, profiles.precision, strict=True):
        away = mean - centre
        np.minimum(distance, ((away @ precision) * away).sum(axis=1), out=distance)
    return np.stack([own, lead, -np.log(np.maximum(distance, 1e-9))], axis=1)


def _feasible(corpus: _Corpus) -> tuple[int, ...]:
    """Sizes of which most models have enough texts in half a fold."""
    own = np.bincount(corpus.model[corpus.model < corpus.models], minlength=corpus.models)
    room = float(np.median(own)) / (2 * _FOLDS)
    return tuple(size for size in SIZES if size <= room * 0.8) or SIZES[:1]


def _sets_a_model(models: int) -> int:
    """Sets to simulate of each model and size: fewer where there are many models."""
    return max(8, min(_SETS, 20 * _SETS // models))


def _draws(rows: Ints, size: int, count: int, rng: np.random.Generator) -> Ints:
    """Sets of `size` rows without repetition, int64[at most count, size]; fewer where there are few rows."""
    if len(rows) < size:
        return np.zeros((0, size), np.int64)
    if size == 1:
        return rng.permutation(rows)[:count, None]
    return np.stack([rng.choice(rows, size, replace=False) for _ in range(count)])


@dataclass(frozen=True, eq=False, slots=True)
class _Sets:
    """Simulated sets."""

    figures: Floats
    """float64[s, 3]; empty where only the closed set is asked for."""
    total: Floats
    """float64[s, classes]: summed log-posteriors."""
    truth: Ints
    """int64[s]: class, -1 for a family left out."""
    strangers: int
    """Models of families left out that the sets are by."""


def _known_sets(corpus: _Corpus, held: Floats, rows: Ints, size: int, rng: np.random.Generator) -> _Sets:
    """Sets of known models; the log-posteriors of a text never come from a fit on its own prompt."""
    m = corpus.models
    posterior = np.zeros((len(held), m))
    for fold in range(_FOLDS):
        learn, test = rows[corpus.fold[rows] != fold], rows[corpus.fold[rows] == fold]
        posterior[test] = _stack(held[learn], corpus.model[learn], m).log_posteriors(held[test])
    total, truth = [], []
    for c in range(m):
        sets = _draws(rows[corpus.model[rows] == c], size, (4 if size == 1 else 1) * _sets_a_model(m), rng)
        total.append(posterior[sets].sum(axis=1))
        truth.append(np.full(len(sets), c, np.int64))
    return _Sets(np.zeros((0, 3)), np.concatenate(total), np.concatenate(truth), 0)


def _left_out(
    corpus: _Corpus, families: Ints, fold: int, sizes: tuple[int, ...], rng: np.random.Generator
) -> dict[int, _Sets]:
    """Sets by the remaining known models and by families that nothing was learnt from, all of one fold of prompts.

    Distributions are taken from one half of the fold and sets from the other, and the other way round.
    """
    out = np.isin(corpus.family, families)
    classes = np.flatnonzero(~out[: corpus.models]).astype(np.int64)
    learn = corpus.rows((corpus.fold != fold) & ~out[corpus.model])
    asked = (corpus.model < corpus.models) | out[corpus.model]
    test = corpus.rows((corpus.fold == fold) & asked)
    margins = _fit_and_apply(corpus, learn, classes, test, rng)
    place = np.full(len(corpus.family), -1, np.int64)
    place[classes] = np.arange(len(classes))
    truth, half = place[corpus.model[test]], corpus.half[test]
    most = _sets_a_model(len(classes))
    found: dict[int, _Sets] = {}
    parts: dict[int, list[_Sets]] = {size: [] for size in sizes}
    for side in (False, True):
        base = np.flatnonzero((half != side) & (truth >= 0))
        if len(np.unique(truth[base])) < len(classes):
            continue
        stack = _stack(margins[base], truth[base], len(classes))
        profiles = _profiles(margins[base], truth[base], len(classes))
        posterior = stack.log_posteriors(margins)
        strangers = np.unique(corpus.model[test[truth < 0]])
        for size in sizes:
            sets, labels, strange = [], [], 0
            for c in range(len(classes)):
                drawn = _draws(np.flatnonzero((half == side) & (truth == c)), size, most, rng)
                sets.append(drawn)
                labels.append(np.full(len(drawn), c, np.int64))
            each = max(_SETS // 4, most * len(classes) // (2 * max(len(strangers), 1)))
            for code in strangers:
                own = np.flatnonzero(corpus.model[test] == code)
                drawn = _draws(own, size, each, rng)
                strange += len(drawn) > 0
                sets.append(drawn)
                labels.append(np.full(len(drawn), -1, np.int64))
            drawn = np.concatenate(sets)
            if len(drawn) == 0:
                continue
            mean, total = margins[drawn].mean(axis=1), posterior[drawn].sum(axis=1)
            parts[size].append(_Sets(_figures(mean, total, profiles), total, np.concatenate(labels), strange))
    for size, some in parts.items():
        if some:
            found[size] = _Sets(
                np.concatenate([s.figures for s in some]),
                np.concatenate([s.total for s in some]),
                np.concatenate([s.truth for s in some]),
                max(s.strangers for s in some),
            )
    return found


# ---- calibration ----


def _temperature(total: Floats, truth: Ints) -> float:
    """Power of the posteriors that makes the truth most likely."""
    grid = np.exp(np.linspace(math.log(0.01), math.log(2.0), 60))
    at = np.arange(len(truth))
    losses = [-float(_log_softmax(total * t)[at, truth].mean()) for t in grid]
    return float(grid[int(np.argmin(losses))])


def _detector(sets: list[_Sets]) -> Floats:
    """Logistic regression of "by a known model" on the figures, both sorts weighing alike: float64[4]."""
    figures = np.concatenate([s.figures for s in sets])
    known = np.concatenate([s.truth for s in sets]) >= 0
    if known.all() or not known.any():
        return np.zeros(4)
    mean, deviation = figures.mean(axis=0), np.maximum(figures.std(axis=0), 1e-6)
    fitted = LogisticRegression(C=1.0, class_weight="balanced", max_iter=500).fit((figures - mean) / deviation, known)
    weights = np.asarray(fitted.coef_[0], np.float64) / deviation
    return np.append(weights, float(fitted.intercept_[0]) - float(weights @ mean))


def _auc(known: Floats, unknown: Floats) -> float:
    if len(known) == 0 or len(unknown) == 0:
        return math.nan
    ordered = np.sort(unknown)
    below = (np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")) / 2
    return float(below.mean() / len(ordered))


def _probabilities(posterior: Floats, known: Floats, prior_unknown: float) -> Floats:
    """float64[s, m + 1] that sum to one; the last column is "none of these"."""
    odds = math.log((1.0 - prior_unknown) / prior_unknown) + known
    share = 1.0 / (1.0 + np.exp(-odds))
    return np.concatenate([posterior * share[:, None], 1.0 - share[:, None]], axis=1)


def _log_ratios(probabilities: Floats, prior_unknown: float) -> Floats:
    """Natural-log likelihood ratio of each answer against all others."""
    m = probabilities.shape[1] - 1
    prior = np.append(np.full(m, (1.0 - prior_unknown) / m), prior_unknown)
    p = np.clip(probabilities, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(p / (1.0 - p)) - np.log(prior / (1.0 - prior)))


def _cost(ratios: Floats, truth: Ints) -> float:
    """Cllr over the known models' columns."""
    same = truth[:, None] == np.arange(ratios.shape[1])[None]
    if not same.any() or same.all():
        return math.nan
    hit = np.logaddexp(0.0, -ratios[same]).mean()
    miss = np.logaddexp(0.0, ratios[~same]).mean()
    return float((hit + miss) / 2 / math.log(2.0))


def _calibration_error(probabilities: Floats, truth: Ints, weight: Floats) -> float:
    best = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    right = np.where(truth < 0, best == probabilities.shape[1] - 1, best == truth)
    bins = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
    share = np.bincount(bins, weight, _BINS)
    gap = np.abs(np.bincount(bins, weight * sure, _BINS) - np.bincount(bins, weight * right, _BINS))
    return float(gap.sum() / share.sum())


def _calibrate(
    size: int, closed: _Sets, groups: list[_Sets], m: int, prior_unknown: float, limit: float
) -> tuple[_Size, Power]:
    """Calibration for sets of one size, and what it achieves where the families were left out of it too.

    The ratio of "known" is supported up to one more than the number of models that were left out: their sets are not
    independent of each other.  Other ratios are supported up to one more than the number of sets that share no text, or
    up to `limit`, that of smaller sets, if it is larger.
    """
    temperature = _temperature(closed.total, closed.truth)
    posterior = np.exp(_log_softmax(closed.total * temperature))
    right = posterior.argmax(axis=1) == closed.truth
    accuracy = float(right.mean())
    # Chance, plus three deviations of the mean over sets that share no text.
    independent = max(len(closed.truth) / size, m)
    powerless = accuracy <= 1.0 / m + 3.0 * math.sqrt((1.0 / m) * (1.0 - 1.0 / m) / independent)
    least_posterior = math.inf if powerless else _least(posterior.max(axis=1), right)

    detector = _detector(groups) if groups else np.zeros(4)
    ratios, probabilities, truths, costs, errors = [], [], [], [], []
    known_limit = math.log(1.0 + sum(s.strangers for s in groups))
    limit = max(limit, math.log(1.0 + independent))
    for g, sets in enumerate(groups):
        others = [s for k, s in enumerate(groups) if k != g]
        fitted = _detector(others) if others else np.zeros(4)
        ratio = sets.figures @ fitted[:3] + fitted[3]
        within = np.exp(_log_softmax(sets.total * temperature))
        probability = _probabilities(within, np.clip(ratio, -known_limit, known_limit), prior_unknown)
        weight = np.where(sets.truth < 0, prior_unknown, 1.0 - prior_unknown)
        for side in (True, False):
            weight[(sets.truth < 0) == side] /= max(int(((sets.truth < 0) == side).sum()), 1)
        ratios.append(ratio)
        truths.append(sets.truth)
        probabilities.append(probability.max(axis=1))
        costs.append(_cost(np.clip(_log_ratios(probability, prior_unknown)[:, :-1], -limit, limit), sets.truth))
        errors.append(_calibration_error(probability, sets.truth, weight))
    known = np.concatenate([r[t >= 0] for r, t in zip(ratios, truths, strict=True)] or [np.zeros(0)])
    unknown = np.concatenate([r[t < 0] for r, t in zip(ratios, truths, strict=True)] or [np.zeros(0)])
    auc = _auc(known, unknown)
    blind = not len(unknown) or not auc > 0.5
    least_known = math.inf if blind else float(np.quantile(unknown, 1.0 - _PASSING)) + 1e-9
    passed, hit = [], []
    for sets, ratio in zip(groups, ratios, strict=True):
        own = sets.truth >= 0
        within = np.exp(_log_softmax(sets.total[own] * temperature))
        enough = (ratio[own] >= least_known) & (within.max(axis=1) >= least_posterior)
        passed.append(enough)
        hit.append((within.argmax(axis=1) == sets.truth[own])[enough])
    named = np.concatenate(passed) if passed else np.zeros(1, np.bool_)
    hits = np.concatenate(hit) if hit else np.zeros(0, np.bool_)
    power = Power(
        size=size,
        sets=len(closed.truth),
        accuracy=accuracy,
        named=float(named.mean()),
        correct=float(hits.mean()) if len(hits) else math.nan,
        unknown_sets=len(unknown),
        false_names=float((unknown >= least_known).mean()) if len(unknown) else math.nan,
        auc=auc,
        cllr=float(np.mean(costs)) if costs else math.nan,
        calibration_error=float(np.mean(errors)) if errors else math.nan,
    )
    return _Size(size, temperature, detector, least_known, least_posterior, known_limit, limit), power


def _least(sure: Floats, right: NDArray[np.bool_]) -> float:
    """Least posterior, at least one half, from which on no more than `ERROR` of the answers are wrong."""
    order = np.argsort(-sure, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    fine = np.flatnonzero(wrong <= ERROR)
    return max(0.5, float(sure[order[fine[-1]]])) if len(fine) else math.inf


# ---- answering ----


def attribute(attributor: Attributor, texts: Texts, sets: NDArray[np.int64]) -> list[Ranking]:
    """Rank the known models as authors of sets of texts, each set by one author.

    Parameters
    ----------
    attributor
        From `train`.
    texts
        n texts.
    sets
        int64[n]: the set of each.

    Returns
    -------
    One ranking a set, by ascending code.
    """
    if sets.shape != (len(texts),):
        raise InvalidField("sets", f"sets must give one code a text: {len(texts)}, not {sets.size}")
    rankings: list[Ranking] = []
    order = np.argsort(sets, kind="stable").astype(np.int64)
    codes, starts = np.unique(sets[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    first = 0
    while first < len(codes):  # features of many texts are large: so many sets at once as have `_AT_ONCE` texts
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _AT_ONCE, "right")))
        rows = order[starts[first] : ends[last - 1]]
        rankings += _rankings(attributor, texts.take(rows), codes[first:last], starts[first:last] - starts[first])
        first = last
    return rankings


def _rankings(attributor: Attributor, texts: Texts, codes: Ints, starts: Ints) -> list[Ranking]:
    """Rankings of sets whose texts stand one set after the other, each from its start on."""
    counts = _features(texts)
    usable = _usable(counts)
    weighted = _weighted(counts, attributor._rarity)
    margins = _apply(weighted, attributor._weights, len(attributor.names))
    posterior = attributor._stack.log_posteriors(margins)
    rankings = []
    largest = attributor._sizes[-1].size
    for code, given in zip(codes, np.split(np.arange(len(texts)), starts[1:]), strict=True):
        rows = given[usable[given]].astype(np.int64)
        kept = rows[_distinct(texts.take(rows), np.zeros(len(rows), np.int32))].astype(np.int64)
        kept, beyond = _apart(weighted, kept, largest)
        short = len(given) - len(rows)
        tally = (len(given), len(kept), short, len(rows) - len(kept) - beyond, beyond)
        rankings.append(_ranking(attributor, int(code), tally, margins[kept], posterior[kept]))
    return rankings


def _apart(weighted: Features, rows: Ints, largest: int) -> tuple[Ints, int]:
    """The first `largest` of the rows that are no near copies of one before, and how many were not looked at.

    No more than four times as many rows as can be kept are compared with each other.
    """
    looked = rows[: 4 * largest]
    some = weighted.take(looked)
    matrix = csr_matrix((some.data, some.indices, some.indptr), (len(looked), authorship.DIM))
    products = np.asarray((matrix @ matrix.T).todense(), np.float64)
    length = np.sqrt(np.maximum(np.diag(products), 1e-12))
    near = products >= NEAR_COPY * length[:, None] * length[None]
    kept: list[int] = []
    for place in range(len(looked)):
        if len(kept) == largest:
            return rows[kept], len(rows) - place
        if not near[place, kept].any():
            kept.append(place)
    return rows[kept], len(rows) - len(looked)


def _between(sizes: tuple[_Size, ...], n: int) -> _Size:
    """Calibration of sets of `n` texts, between the two validated sizes around it, in the logarithm of the size.

    Thresholds are those of the smaller size or of the larger, whichever is stricter.
    """
    if n <= sizes[0].size:
        return sizes[0]
    if n >= sizes[-1].size:
        return sizes[-1]
    k = next(i for i in range(len(sizes)) if sizes[i].size > n)
    low, high = sizes[k - 1], sizes[k]
    if low.size == n:
        return low
    w = math.log(n / low.size) / math.log(high.size / low.size)
    return _Size(
        n,
        math.exp((1 - w) * math.log(low.temperature) + w * math.log(high.temperature)),
        (1 - w) * low.detector + w * high.detector,
        max(low.least_known, high.least_known),
        max(low.least_posterior, high.least_posterior),
        min(low.known_limit, high.known_limit),
        min(low.limit, high.limit),
    )


def _ranking(
    attributor: Attributor, code: int, tally: tuple[int, int, int, int, int], margins: Floats, posterior: Floats
) -> Ranking:
    names = attributor.names
    m = len(names)
    prior = attributor.prior_unknown
    given, counted, short, repeated, beyond = tally
    if counted == 0:
        probabilities, ratios = np.append(np.full(m, (1.0 - prior) / m), prior), np.zeros(m + 1)
        reason = NO_USABLE_TEXT
    else:
        size = _between(attributor._sizes, counted)
        total = posterior.sum(axis=0)[None]
        figures = _figures(margins.mean(axis=0)[None], total, attributor._profiles)
        known = figures @ size.detector[:3] + size.detector[3]
        within = np.exp(_log_softmax(total * size.temperature))
        probabilities = _probabilities(within, np.clip(known, -size.known_limit, size.known_limit), prior)[0]
        ratios = np.clip(_log_ratios(probabilities[None], prior)[0], -size.limit, size.limit) / math.log(10.0)
        if math.isinf(size.least_known) or math.isinf(size.least_posterior):
            reason = NO_POWER
        elif float(known[0]) < size.least_known:
            reason = MAY_BE_UNKNOWN
        elif float(within.max()) < size.least_posterior:
            reason = TOO_CLOSE
        else:
            reason = ""
    order = np.argsort(-probabilities[:m], kind="stable")
    return Ranking(
        set=code,
        texts=given,
        counted=counted,
        too_short=short,
        repeated=repeated,
        beyond=beyond,
        ranked=tuple(Ranked(names[c], float(ratios[c]), float(probabilities[c])) for c in order),
        none_of_these=float(probabilities[m]),
        none_log10_lr=float(ratios[m]),
        abstained=bool(reason),
        reason=reason,
    )
