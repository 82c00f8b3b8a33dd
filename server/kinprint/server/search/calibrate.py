"""Calibrating a corpus: how its own unrelated answers score against each other, and the best of them in a search.

Nothing here knows what is true: *unrelated* means answers to different prompts, neither a copy of the other.  Where
prompts are not known, every other row counts as unrelated, which makes p-values too high rather than too low.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from kinprint.server.channels import CHANNELS, FAST
from kinprint.server.channels.calibration import SIZES, Calibration, Pairs, extremes_of, primary
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.channels.protocol import Limits, Query
from kinprint.server.channels.semantic import SemanticMatch
from kinprint.server.corpus.filter import EVERYTHING
from kinprint.server.corpus.view import View
from kinprint.server.embed.alignment import alignments
from kinprint.server.embed.space import grouped_spans
from kinprint.server.search.targets import targets
from kinprint.server.store.columns import encode_texts
from numpy.typing import NDArray

#: Rows of the tier without which a corpus is not calibrated.
LEAST_ROWS = 300
#: Rows sampled; those that are queries for pairs, and searches for each class of sizes.
SAMPLED, QUERIES, SEARCHES = 1_200, 400, 100
#: Hits of a search that are looked through for the best unrelated one.
LOOKED_THROUGH = 50


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A sampled row: its text, and its sentence vectors unit float32[k, d]."""

    id: str
    text: str
    text_hash: bytes
    prompt: str | None
    language: str
    vectors: NDArray[np.float32]


def calibrated(view: View, tier: Tier, cancelled: Callable[[], bool] = lambda: False) -> Calibration | None:
    """What scores of a tier are worth in a corpus; None where it has too few rows.  Raises Cancelled.

    Deterministic: the same rows give the same calibration.
    """
    digest = view.meaning.digest(tier)
    filled = view.filled(FAST.name if tier == "fast" else "semantic")
    if digest is None or filled < LEAST_ROWS:
        return None
    limits = Limits(cancelled=cancelled)
    random = np.random.default_rng(0)
    rows = _sampled(view, tier, random, limits)
    if len(rows) < LEAST_ROWS:
        return None
    pairs, same_prompt = _pairs(rows, random, limits)
    strata = pairs.strata()
    first = Calibration(digest, "corpus", filled, strata)
    # The searches order hits by standing, so they go by the strata that were just measured.
    meaning = replace(view.meaning, measured={**view.meaning.measured, tier: first})
    extremes = _extremes(replace(view, meaning=meaning), tier, rows, random, cancelled)
    return replace(first, extremes=extremes_of(extremes), same_prompt=same_prompt)


def _sampled(view: View, tier: Tier, random: np.random.Generator, limits: Limits) -> list[_Row]:
    """Rows with the tier, each language with a part; the sample of a corpus does not depend on how it is cut."""
    name = FAST.name if tier == "fast" else "semantic"
    places: dict[str, list[tuple[bytes, int, int]]] = {}
    for number, part in enumerate(view.parts):
        limits.check()
        codes, values = part.segment.codes("language")
        names = {code: primary(value) for value, code in values.items()}
        live = np.flatnonzero(part.alive & part.segment.filled(name))
        hashes = part.segment.array("content_hash")
        chosen = live if len(live) <= 20 * SAMPLED else np.sort(random.choice(live, 20 * SAMPLED, replace=False))
        for row in chosen.tolist():
            places.setdefault(names.get(int(codes[row]), ""), []).append((hashes[row].as_py(), number, row))
    share = max(SAMPLED // max(len(places), 1), 30)
    picked: list[tuple[bytes, int, int]] = []
    rest: list[tuple[bytes, int, int]] = []
    for found in places.values():
        found.sort()  # by content hash: a sample by chance that is always the same
        picked += found[:share]
        rest += found[share:]
    rest.sort()
    picked += rest[: max(SAMPLED - len(picked), 0)]
    picked.sort()
    rows = []
    for _, number, row in picked:
        limits.check()
        if (made := _row(view, tier, number, row)) is not None:
            rows.append(made)
    return rows


def _row(view: View, tier: Tier, number: int, row: int) -> _Row | None:
    segment = view.parts[number].segment

    def value(column: str) -> object:
        return segment.array(column)[row].as_py()

    text = str(value("response"))
    meaning = view.meaning
    if tier == "fast":
        assert meaning.table is not None
        vectors = meaning.table.sentences(*encode_texts([text]))[0]
    else:
        assert meaning.space is not None
        found = CHANNELS["semantic"].stored_sentences(segment, row, meaning.space)  # type: ignore[attr-defined]
        if found is None:
            return None
        vectors = meaning.space.project(found)
    if len(vectors) == 0:
        return None
    prompt, text_hash = value("prompt_key"), value("text_hash")
    assert isinstance(text_hash, bytes)
    language = segment.array("language")[row].as_py()
    return _Row(str(value("id")), text, text_hash, None if prompt is None else str(prompt), primary(language), vectors)


def _window(row: _Row, size: int, random: np.random.Generator) -> slice:
    """So many neighbouring sentences of a row, anywhere."""
    start = int(random.integers(0, len(row.vectors) - size + 1))
    return slice(start, start + size)


def _sizes(row: _Row, random: np.random.Generator) -> list[int]:
    """Numbers of sentences for a row's queries, one of each class that it is long enough for."""
    bounds = (0, *SIZES, 64)
    return [
        int(random.integers(low + 1, min(high, len(row.vectors)) + 1))
        for low, high in itertools.pairwise(bounds)
        if low < len(row.vectors)
    ]


def _pairs(
    rows: list[_Row], random: np.random.Generator, limits: Limits
) -> tuple[Pairs, dict[str, NDArray[np.float32]]]:
    """Scores of unrelated pairs by stratum, and of different answers to one prompt."""
    starts = np.concatenate(([0], np.cumsum([len(r.vectors) for r in rows]))).astype(np.int64)
    everything = np.concatenate([r.vectors for r in rows])
    languages = np.array([r.language for r in rows])
    prompts = {key: k for k, key in enumerate(dict.fromkeys(r.prompt for r in rows if r.prompt is not None))}
    prompt = np.array([prompts.get(r.prompt, -1) if r.prompt is not None else -1 for r in rows])
    copies = {text: k for k, text in enumerate(dict.fromkeys(r.text_hash for r in rows))}
    copy = np.array([copies[r.text_hash] for r in rows])
    pairs = Pairs()
    same: dict[str, list[NDArray[np.float32]]] = {"same": [], "cross": []}
    queries = random.choice(len(rows), min(QUERIES, len(rows)), replace=False)
    for i in queries.tolist():
        limits.check()
        row = rows[i]
        itself = copy == copy[i]
        answers = (prompt == prompt[i]) & (prompt[i] >= 0) & ~itself
        unrelated = ~itself & ~answers
        for size in _sizes(row, random):
            scores = alignments(row.vectors[_window(row, size, random)], everything, starts)
            pairs.add(size, row.language, languages[unrelated], scores[unrelated])
        if answers.any():
            scores = alignments(row.vectors, everything, starts)
            for kind, chosen in (("same", languages == row.language), ("cross", languages != row.language)):
                same[kind].append(scores[answers & chosen])
    prompted = {kind: np.sort(np.concatenate(found)) for kind, found in same.items() if found}
    return pairs, {kind: scores for kind, scores in prompted.items() if len(scores)}


def _extremes(
    view: View, tier: Tier, rows: list[_Row], random: np.random.Generator, cancelled: Callable[[], bool]
) -> list[tuple[int, float]]:
    """Number of sentences and best standing of an unrelated row, of searches of the corpus for parts of its rows."""
    bounds = (0, *SIZES, 64)
    channel = CHANNELS["semantic"]
    limits = Limits(top=LOOKED_THROUGH, min_score=-1.0, cancelled=cancelled)
    found: list[tuple[int, float]] = []
    for low, high in itertools.pairwise(bounds):
        able = [row for row in rows if len(row.vectors) > low]
        order = np.sort(random.permutation(len(able))[:SEARCHES])
        for row in (able[i] for i in order.tolist()):
            spans = grouped_spans(row.text)
            size = int(random.integers(low + 1, min(high, len(spans)) + 1))
            window = _window(row, size, random)
            text = row.text[spans[window.start][0] : spans[window.stop - 1][1]]
            query = Query(text, row.language or None, (view.corpus, row.id), tier=tier)
            if tier == "accurate":
                assert view.meaning.space is not None
                query = replace(query, sentences=_back(view.meaning, row.vectors[window]))
            hits = channel.search(query, targets(query, [view], EVERYTHING), limits).matches
            standing = next((hit.worth.standing for hit in hits if not _may_be_related(row, hit)), None)
            if standing is not None:
                found.append((size, standing))
    return found


def _back(meaning: Meaning, projected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Neutral vectors of projected ones."""
    space = meaning.space
    assert space is not None
    return projected if space.components is None else np.asarray(projected @ space.components, np.float32)


def _may_be_related(row: _Row, hit: SemanticMatch) -> bool:
    segment = hit.target.segment
    prompt = segment.array("prompt_key")[hit.row].as_py()
    text_hash = segment.array("text_hash")[hit.row].as_py()
    return bool((row.prompt is not None and prompt == row.prompt) or text_hash == row.text_hash)
