"""What is known, what was learnt from it, and what is answered: the types of attribution and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import authorship
from kinprint.server.statistics import Floats, log_softmax
from numpy.typing import NDArray

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
PASSING: Final = 0.03

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

#: Models up to which shares of families are looked at, and not whole margins alone.
MOST_SHARED = 16


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
class Size:
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
class Profiles:
    """How the margins of texts of each model are distributed."""

    mean: Floats
    """float64[m, w], of w margins a text."""
    precision: Floats
    """float64[m, w, w]."""


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    """Multinomial logistic regression from margins, by family of features, to log-posteriors."""

    weights: Floats
    intercept: Floats

    def log_posteriors(self, margins: Floats) -> Floats:
        """float64[..., m] of margins float64[..., w]."""
        return log_softmax(columns_told(margins, len(self.weights)) @ self.weights.T + self.intercept)


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
    weights: tuple[NDArray[np.float32], ...]
    """Classifiers of the models among each other and, with a background, against it (see `margins.learn`)."""
    rarity: NDArray[np.float32]
    """float32[DIM]: weight of each feature."""
    stack: Stack
    profiles: Profiles
    sizes: tuple[Size, ...]
    """Calibrations, by ascending size of the sets."""


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


def columns_told(margins: Floats, count: int) -> Floats:
    """The columns from which posteriors are made: shares of families, or margins where there are none."""
    return margins[..., -len(authorship.FAMILIES) * count :] if count <= MOST_SHARED else margins[..., :count]
