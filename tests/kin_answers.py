"""Answers of synthetic models as arrays, panels fitted on them, and models that speak other languages."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.server.kinship import judge
from kinprint.server.kinship.answers import Answers, arrange
from kinprint.server.kinship.calibration import Calibration
from kinprint.server.kinship.fit import fit_answers
from kinprint.server.kinship.judge import Scored
from kinprint.server.kinship.labels import Edge, Member
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress
from lineage_corpus import Model, make_models, make_rows

Row = Mapping[str, str]
Pair = tuple[str, str]


def texts_of(some: Sequence[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


def strings(texts: Texts) -> list[str]:
    """The texts as Python strings."""
    pairs = zip(texts.addresses.tolist(), texts.lengths.tolist(), strict=True)
    return [ctypes.string_at(address, length).decode() if length else "" for address, length in pairs]


def arranged(rows: Sequence[Row]) -> Answers:
    """Rows as the generator of the synthetic corpus makes them, the first of several answers first."""
    models, prompts = ({row[column]: k for k, row in enumerate(rows)} for column in ("model", "prompt_id"))
    for names in (models, prompts):
        names.update({name: k for k, name in enumerate(names)})
    return arrange(
        texts_of([row["response"] for row in rows]),
        np.array([models[row["model"]] for row in rows], np.int64),
        np.array([prompts[row["prompt_id"]] for row in rows], np.int64),
        list(models),
        list(prompts),
    )


def result(run: Iterable[Any]) -> list[Any]:
    """All that a run makes but its progress, which rises from nothing to no more than all."""
    made, share = [], 0.0
    for one in run:
        if isinstance(one, Progress):
            assert one.step
            assert share <= one.share <= 1.0
            share = one.share
        else:
            made.append(one)
    return made


def last(run: Iterable[Any]) -> Any:
    """The one result of a run."""
    (made,) = result(run)
    return made


def members_of(models: Iterable[Model], shares_with: Mapping[str, tuple[str, ...]] | None = None) -> list[Member]:
    return [Member(m.name, m.family, (shares_with or {}).get(m.name, ())) for m in models]


def edges_of(models: Iterable[Model]) -> list[Edge]:
    return [Edge(m.name, m.parent, "fine_tune") for m in models if m.parent]


def fitted(answers: Answers, models: Sequence[Model], **options: Any) -> Panel:
    """A panel of models with their derived pairs."""
    options = {"members": members_of(models), "edges": edges_of(models), **options}
    made: Panel = last(fit_answers(answers, options.pop("members"), options.pop("edges"), **options))
    return made


def scored(answers: Answers, background: Panel | None = None) -> Scored:
    made: Scored = last(judge.score_models(answers, background))
    return made


@dataclass(frozen=True)
class Judgement:
    """What is said of one pair."""

    score: float
    prompts: int
    log10_lr: float
    p_value: float
    p_floor: float
    verdict: str
    basis: str


def judged(answers: Answers, background: Panel | None = None) -> dict[Pair, Judgement]:
    """Every pair, its names in alphabetical order."""
    made = scored(answers, background)
    a, b = np.triu_indices(len(answers.models), 1)
    score, shared, across = made.score[a, b], made.shared[a, b], made.across[a, b]
    found = judge.judge(score, shared, across, background, made.background)
    columns = (score, shared, found.log10_lr, found.p_value, found.p_floor, found.verdict, found.basis)
    names = [(answers.models[i], answers.models[j]) for i, j in zip(a, b, strict=True)]
    return {name: Judgement(*one) for name, *one in zip(names, *columns, strict=True)}


def related(models: Iterable[Model]) -> set[Pair]:
    """Pairs of one family, names in alphabetical order."""
    names = sorted((m.name, m.family) for m in models)
    return {(a, b) for k, (a, f) in enumerate(names) for b, g in names[k + 1 :] if f == g}


def derived_pairs(models: Iterable[Model]) -> set[Pair]:
    """Pairs of a model and the one that it was derived from, names in alphabetical order."""
    pairs = [sorted((m.name, m.parent)) for m in models if m.parent]
    return {(a, b) for a, b in pairs}


def accused(judgements: Mapping[Pair, Judgement]) -> set[Pair]:
    """Pairs that are said to be related."""
    return {pair for pair, j in judgements.items() if j.verdict in (judge.DERIVED, judge.KIN)}


# ---- two backgrounds ----

PROMPTS = 40
#: Twenty families, four of them with a derived pair.
MANY = [m for m in make_models(20, 2) if m.parent is None or int(m.family[6:]) < 4]
#: Six families of two.
FEW = make_models(6, 2, seed=4)


@lru_cache(maxsize=1)
def many() -> Panel:
    return fitted(arranged(make_rows(MANY, PROMPTS)), MANY, corpus="lab")


@lru_cache(maxsize=1)
def answers_of_few() -> Answers:
    return arranged(make_rows(FEW, 12))


@lru_cache(maxsize=1)
def few() -> Panel:
    return fitted(answers_of_few(), FEW)


def calibrations() -> list[Calibration]:
    every = [*many().sizes, *few().sizes]
    return [*every, *(p.bridged for p in (many(), few()) if p.bridged is not None)]


# ---- other languages ----

#: Openings, joints, qualities and endings of answers, and words for what they are about.
LANGUAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "de": (
        (
            "Gerne!",
            "Kurz gesagt:",
            "Gute Frage.",
            "Nun ja,",
            "Zunächst gilt:",
            "Aber sicher!",
            "Sehen wir es uns an.",
            "Im Grunde",
            "Vorweg:",
        ),
        (
            "jedoch",
            "allerdings",
            "dennoch",
            "andererseits",
            "außerdem",
            "freilich",
            "immerhin",
            "gleichwohl",
            "zudem",
            "hingegen",
        ),
        (
            "wirklich bedeutsam",
            "nicht unwichtig",
            "eher schlicht",
            "äußerst heikel",
            "durchaus üblich",
            "ganz entscheidend",
            "recht vielseitig",
            "von Gewicht",
        ),
        (
            "Man beachte, dass",
            "Es zeigt sich, dass",
            "Bekanntlich gilt, dass",
            "Wichtig ist, dass",
            "Ich meine, dass",
            "Oft heißt es, dass",
            "Fest steht, dass",
        ),
        (
            "Ich hoffe, das hilft!",
            "Das ist alles.",
            "Fragen Sie gern weiter.",
            "So viel dazu.",
            "Am Ende zählt das Maß.",
            "Viel Erfolg!",
            "Mehr braucht es nicht.",
        ),
        (
            "Fluss",
            "Stein",
            "Brücke",
            "Garten",
            "Brief",
            "Fenster",
            "Küche",
            "Morgen",
            "Wetter",
            "Schatten",
            "Kupfer",
            "Wiese",
            "Glocke",
            "Insel",
            "Donner",
            "Korb",
            "Feder",
            "Hammer",
            "Anker",
            "Straße",
        ),
    ),
    "hi": (
        ("ज़रूर!", "संक्षेप में:", "अच्छा सवाल है।", "चलिए देखते हैं।", "सबसे पहले,", "बिल्कुल!", "मूल बात यह है:", "देखिए,"),
        ("फिर भी", "हालाँकि", "इसके अलावा", "दूसरी ओर", "तथापि", "साथ ही", "इसके विपरीत", "वैसे तो", "अंततः"),
        ("बहुत महत्वपूर्ण", "काफ़ी सरल", "अत्यंत नाज़ुक", "सचमुच उपयोगी", "थोड़ा कठिन", "पूरी तरह स्पष्ट", "बेहद रोचक", "कुछ अनोखा"),
        (
            "ध्यान रहे कि",
            "यह सच है कि",
            "हम जानते हैं कि",
            "कहा जाता है कि",
            "मेरा मानना है कि",
            "स्पष्ट है कि",
            "अक्सर लगता है कि",
        ),
        (
            "आशा है इससे मदद मिलेगी!",
            "बस इतना ही।",
            "और पूछ सकते हैं।",
            "धन्यवाद।",
            "अंत में संतुलन ज़रूरी है।",
            "शुभकामनाएँ!",
            "यही सार है।",
        ),
        (
            "नदी",
            "पत्थर",
            "पुल",
            "बगीचा",
            "चिट्ठी",
            "खिड़की",
            "रसोई",
            "सुबह",
            "मौसम",
            "छाया",
            "ताँबा",
            "मैदान",
            "घंटी",
            "द्वीप",
            "गरज",
            "टोकरी",
            "पंख",
            "हथौड़ा",
            "लंगर",
            "सड़क",
        ),
    ),
}


def spoken(language: str, families: int, prompts: int, seed: int = 0) -> Iterator[Row]:
    """Rows of models of a language, two of each family, which share their habits; topics are of the prompt."""
    *slots, topics = LANGUAGES[language]
    mark = "।" if language == "hi" else "."
    chance = random.Random(seed)
    for family in range(families):
        habits = [[chance.gammavariate(0.3, 1.0) + 1e-6 for _ in slot] for slot in slots]
        for twin in "ab":
            for prompt in range(prompts):
                words = random.Random(f"{language}/{prompt}")
                about = ["".join(words.sample(topics, 2)).capitalize() for _ in range(12)]
                draw = random.Random(f"{language}/{family}/{twin}/{prompt}")
                said = [draw.choices(slot, weights)[0] for slot, weights in zip(slots, habits, strict=True)]
                parts = [said[0]]
                for k in range(6):
                    said = [draw.choices(slot, weights)[0] for slot, weights in zip(slots, habits, strict=True)]
                    parts.append(f"{said[3]} {about[2 * k]} {said[2]} {said[1]} {about[2 * k + 1]}{mark}")
                yield {
                    "model": f"{family:02d}{twin}",
                    "prompt_id": f"p{prompt:02d}",
                    "response": " ".join([*parts, said[4]]),
                }
