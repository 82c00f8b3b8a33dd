"""Texts that training reads: distinct, long enough, at most so many a model, with their folds of prompts."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.style import authorship
from kinprint.kernels.style.authorship import Features
from kinprint.server.authorship.attributor import MIN_FEATURES, MIN_TEXTS, Known
from kinprint.server.failures import InvalidField
from kinprint.server.statistics import Ints
from numpy.typing import NDArray

#: Folds of prompts.
FOLDS = 3
#: Texts whose features are made before it is asked whether to go on.
AT_ONCE = 2048


@dataclass(frozen=True, eq=False, slots=True)
class Corpus:
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
        """Where a mask is true."""
        return np.flatnonzero(mask).astype(np.int64)


def check_codes(known: Known, field: str) -> None:
    """Raise InvalidField where codes do not fit the texts."""
    n = len(known.texts)
    for name, codes in (("model", known.model), ("prompt", known.prompt)):
        if codes.shape != (n,):
            raise InvalidField(field, f"{name} must give one code a text: {n}, not {codes.size}")
    if n and not (int(known.model.min()) >= 0 and int(known.model.max()) < len(known.names)):
        raise InvalidField(field, f"model codes must lie in 0..{len(known.names) - 1}")
    if known.family is not None and known.family.shape != (len(known.names),):
        raise InvalidField(field, f"family must give one code a model: {len(known.names)}, not {known.family.size}")


def distinct(texts: Texts, group: NDArray[np.int32], check: Callable[[], None] = lambda: None) -> NDArray[np.bool_]:
    """True for the first of equal texts within a group, bool[n]; white space does not count."""
    seen: set[tuple[int, bytes]] = set()
    first = np.zeros(len(texts), np.bool_)
    for i, code in enumerate(group):
        if i % AT_ONCE == 0:
            check()
        key = int(code), _bytes(texts, i)
        if key not in seen:
            seen.add(key)
            first[i] = True
    return first


def _bytes(texts: Texts, i: int) -> bytes:
    raw = ctypes.string_at(int(texts.addresses[i]), int(texts.lengths[i])) if texts.lengths[i] else b""
    return hashlib.blake2b(b" ".join(raw.split()), digest_size=16).digest()


def usable(counts: Features) -> NDArray[np.bool_]:
    """Texts with enough features to tell an author."""
    low, high = authorship.BOUNDS[0], authorship.BOUNDS[1]
    inside = (counts.indices >= low) & (counts.indices < high)
    running = np.concatenate([[0], np.cumsum(inside)])
    return np.asarray(running[counts.indptr[1:]] - running[counts.indptr[:-1]] >= MIN_FEATURES)


def _choose(known: Known, most: int, rng: np.random.Generator, check: Callable[[], None]) -> Ints:
    """Rows of at most `most` distinct texts of each model, in ascending order."""
    first = distinct(known.texts, known.model, check)
    chosen = []
    for code in range(len(known.names)):
        rows = np.flatnonzero(first & (known.model == code))
        chosen.append(np.sort(rng.permutation(rows)[:most]))
    return np.concatenate(chosen).astype(np.int64) if chosen else np.zeros(0, np.int64)


def features(texts: Texts, check: Callable[[], None] = lambda: None) -> Features:
    """Counts of the features of texts; `check` is called now and then, and may raise."""
    parts = []
    for start in range(0, max(len(texts), 1), AT_ONCE):
        check()
        parts.append(authorship.features_of(texts.take(slice(start, start + AT_ONCE))))
    return _stacked(parts)


def gather(
    known: Known,
    background: Known | None,
    rng: np.random.Generator,
    per_model: int,
    per_background: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[Corpus, tuple[str, ...], tuple[tuple[str, str], ...], Ints, list[str]]:
    """The texts to learn from, names of the models, those left out with the reason, texts given of each, and notes.

    `check` is called now and then, and may raise.  Raises InvalidField.
    """
    # Some more than are used, because some may be too short.
    chosen = _choose(known, per_model + per_model // 2, rng, check)
    counts = features(known.texts.take(chosen), check)
    fine = np.flatnonzero(usable(counts))
    counts, chosen = counts.take(fine), chosen[fine]
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
        check_codes(background, "background")
        theirs = _choose(background, per_background, rng, check)
        their_counts = features(background.texts.take(theirs), check)
        fine = np.flatnonzero(usable(their_counts))
        counts = _stacked([counts, their_counts.take(fine)])
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
    corpus = Corpus(
        counts,
        model.astype(np.int32),
        (part % FOLDS).astype(np.int64),
        np.asarray((part // FOLDS) % 2 == 1),
        family.astype(np.int64),
        len(kept),
    )
    return corpus, tuple(known.names[c] for c in kept), left_out, given[kept].astype(np.int64), notes


def _stacked(parts: Sequence[Features]) -> Features:
    """The rows of several, one after the other."""
    if len(parts) == 1:
        return parts[0]
    indptr = np.zeros(1 + sum(len(part.indptr) - 1 for part in parts), np.int64)
    np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]), out=indptr[1:])
    return Features(indptr, np.concatenate([p.indices for p in parts]), np.concatenate([p.data for p in parts]))
