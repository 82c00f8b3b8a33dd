"""What a score of the semantic channel is worth: the scores of unrelated texts, as they are in a corpus.

Chance makes short queries, long answers and pairs of some languages score higher than others, so unrelated pairs -
answers to different prompts, neither a copy of the other - are kept by *stratum*: the languages of query and match, and
the number of sentences of the query.  From them follow

* the *percentile* of a score, and the chance `pair_p` that one unrelated pair scores as high;
* its *standing*: the score in units of its stratum's spread above its middle, by which hits of different languages and
  tiers are ordered;
* `p_value`, the chance that the best of all unrelated rows stands as high: measured, not modelled, by searching with
  answers of the corpus and taking the best standing among the rows that have another prompt (the distribution of the
  extreme, as in Westfall and Young, Resampling-Based Multiple Testing, 1993);
* `same_prompt_p`, the chance that another answer to the *same* prompt scores as high.

Each p-value counts its own observation, (1 + as high) / (1 + all) (Phipson and Smyth, 2010), so it never falls below a
floor that says how much was measured.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from kinprint.server.store import files
from numpy.typing import NDArray

FORMAT = 1
#: Most sentences of a query in each class of sizes; the last has no limit.
SIZES = (1, 2, 4, 8, 16)
CLASSES = len(SIZES) + 1
#: Pairs without which a stratum is not told apart from wider ones.
LEAST_PAIRS = 400
#: Pairs of answers to one prompt without which nothing is said of them.
LEAST_SAME_PROMPT = 50
#: Searches without which the extreme is bounded by the number of rows instead of measured.
LEAST_SEARCHES = 50

Source = Literal["corpus", "background"]


def size_class(sentences: int) -> int:
    """Class of a query of so many sentences, 0 to `CLASSES` - 1."""
    return int(np.searchsorted(SIZES, sentences))


def primary(language: str | None) -> str:
    """Language without region or script; "" when it is not known."""
    return (language or "").split("-", 1)[0]


@dataclass(frozen=True, slots=True)
class Worth:
    """How a score stands among those of unrelated texts; see the module's text."""

    standing: float
    percentile: float
    p_value: float
    p_floor: float
    same_prompt_p: float | None
    same_prompt_floor: float | None
    source: Source


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Scores of unrelated texts under one set of vectors.

    Attributes:
        digest: of the model or table whose vectors were compared.
        source: whose texts they were.
        rows: rows of the corpus that had such vectors when it was measured; 0 for the background.
        strata: float32 ascending a stratum; its name is "class/language/language", "class/same", "class/cross" or
            "class".
        extremes: float32 ascending for each class: the best standing of an unrelated row in each search.
        same_prompt: float32 ascending for "same" and "cross" language.
        moments: mean and standard deviation of unrelated scores by class of size, where no more is known: scores are
            ordered by them, and nothing is claimed of them.
    """

    digest: str
    source: Source
    rows: int
    strata: Mapping[str, NDArray[np.float32]]
    extremes: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    same_prompt: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    moments: Sequence[tuple[float, float]] = ()

    @property
    def pairs(self) -> int:
        """Unrelated pairs in all."""
        return sum(len(self.strata[str(k)]) for k in range(CLASSES) if str(k) in self.strata)

    def stratum(self, sentences: int, query: str | None, match: str | None) -> NDArray[np.float32]:
        """Scores of the narrowest stratum with enough pairs; empty where nothing was measured."""
        size, q, m = size_class(sentences), primary(query), primary(match)
        names = [f"{size}/{'same' if q == m else 'cross'}", str(size)]
        if q and m:
            names.insert(0, f"{size}/{q}/{m}")
        for name in names[:-1]:
            found = self.strata.get(name)
            if found is not None and len(found) >= LEAST_PAIRS:
                return found
        return self.strata.get(names[-1], np.zeros(0, np.float32))

    def standing(self, score: float, sentences: int, query: str | None, match: str | None) -> float:
        """The score above the middle of its stratum, in units of the distance to its 99th percentile over 2.33."""
        scores = self.stratum(sentences, query, match)
        if len(scores) == 0 and self.moments:
            mean, spread = self.moments[size_class(sentences)]
            return (score - mean) / spread
        return _standing(score, scores)

    def worth(
        self, score: float, sentences: int, query: str | None, match: str | None, rows: int, corpora: int = 1
    ) -> Worth:
        """What a score is worth that is the best among `rows` of this corpus, one of `corpora` searched.

        One row, as in a comparison of two texts: the p-value is that of a pair.
        """
        scores = self.stratum(sentences, query, match)
        if len(scores) == 0:
            standing = self.standing(score, sentences, query, match)
            return Worth(standing, 0.0, 1.0, 1.0, None, None, self.source)
        as_high = len(scores) - int(np.searchsorted(scores, np.float32(score), "left"))
        pair, pair_floor = (1 + as_high) / (1 + len(scores)), 1 / (1 + len(scores))
        standing = _standing(score, scores)
        if rows <= 1:
            p, floor = pair, pair_floor
        else:
            p, floor = self._of_best(standing, sentences, rows) or (pair * rows, pair_floor * rows)
        kind = "same" if primary(query) == primary(match) else "cross"
        prompt = self.same_prompt.get(kind, np.zeros(0, np.float32))
        same_p = same_floor = None
        if len(prompt) >= LEAST_SAME_PROMPT:
            same_floor = 1 / (1 + len(prompt))
            same_p = same_floor * (1 + len(prompt) - int(np.searchsorted(prompt, np.float32(score), "left")))
        return Worth(
            standing,
            1 - as_high / len(scores),
            min(1.0, p * corpora),
            min(1.0, floor * corpora),
            same_p,
            same_floor,
            self.source,
        )

    def _of_best(self, standing: float, sentences: int, rows: int) -> tuple[float, float] | None:
        """Chance that the best of so many unrelated rows stands as high, and its floor; None where it is not measured.

        More rows than were searched when it was measured raise it in proportion (Bonferroni); fewer leave it as it is.
        """
        extremes = self.extremes.get(size_class(sentences))
        if extremes is None or len(extremes) < LEAST_SEARCHES:
            return None
        as_high = len(extremes) - int(np.searchsorted(extremes, np.float32(standing), "left"))
        grown = max(1.0, rows / max(self.rows, 1))
        return (1 + as_high) / (1 + len(extremes)) * grown, grown / (1 + len(extremes))

    def save(self, path: Path) -> None:
        """Write to `path` (.npz), atomically and durably."""
        arrays: dict[str, NDArray] = {
            "format": np.array(FORMAT, np.int64),
            "digest": np.array(self.digest),
            "source": np.array(self.source),
            "rows": np.array(self.rows, np.int64),
        }
        arrays |= {f"stratum:{name}": scores for name, scores in self.strata.items()}
        arrays |= {f"extreme:{size}": standings for size, standings in self.extremes.items()}
        arrays |= {f"prompt:{kind}": scores for kind, scores in self.same_prompt.items()}
        files.save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.  Raises OSError; ValueError when it is damaged or of another format."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if int(arrays["format"]) != FORMAT:
                    raise ValueError(f"{path} has format {int(arrays['format'])}")
                by: dict[str, dict[str, NDArray[np.float32]]] = {"stratum": {}, "extreme": {}, "prompt": {}}
                for name in arrays.files:
                    kind, _, key = name.partition(":")
                    if kind in by:
                        by[kind][key] = arrays[name]
                source: Source = "corpus" if str(arrays["source"]) == "corpus" else "background"
                return cls(
                    str(arrays["digest"]),
                    source,
                    int(arrays["rows"]),
                    by["stratum"],
                    {int(size): standings for size, standings in by["extreme"].items()},
                    by["prompt"],
                )
        except (KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


@dataclass
class Pairs:
    """Collects scores of unrelated pairs by stratum."""

    _scores: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def add(self, sentences: int, query: str, matches: NDArray[np.str_], scores: NDArray[np.float32]) -> None:
        """Scores float32 [n] of one query of so many sentences with texts in the languages `matches` [n]."""
        size = size_class(sentences)
        same = matches == query
        groups = [(str(size), np.ones(len(scores), bool)), (f"{size}/same", same), (f"{size}/cross", ~same)]
        groups += [(f"{size}/{query}/{other}", matches == other) for other in np.unique(matches) if query and other]
        for name, chosen in groups:
            if chosen.any():
                self._scores.setdefault(name, []).append(scores[chosen])

    def strata(self) -> dict[str, NDArray[np.float32]]:
        """Everything that was added, ascending; classes without a pair get those of the nearest one."""
        made = {name: np.sort(np.concatenate(parts)) for name, parts in self._scores.items()}
        known = [k for k in range(CLASSES) if str(k) in made]
        for size in range(CLASSES):
            if str(size) not in made and known:
                made[str(size)] = made[str(min(known, key=lambda k: abs(k - size)))]
        return made


def extremes_of(standings: Iterable[tuple[int, float]]) -> dict[int, NDArray[np.float32]]:
    """Best standings of unrelated rows by class of size, ascending, from (sentences, standing) of each search."""
    by: dict[int, list[float]] = {}
    for sentences, standing in standings:
        by.setdefault(size_class(sentences), []).append(standing)
    return {size: np.sort(np.array(values, np.float32)) for size, values in by.items()}


def _standing(score: float, scores: NDArray[np.float32]) -> float:
    if len(scores) == 0:
        return score
    middle, high = float(scores[len(scores) // 2]), float(scores[int(0.99 * (len(scores) - 1))])
    return (score - middle) / max((high - middle) / 2.33, 1e-6)


__all__ = ["CLASSES", "SIZES", "Calibration", "Pairs", "Source", "Worth", "extremes_of", "primary", "size_class"]
