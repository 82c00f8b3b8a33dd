"""A corpus of models with habits, for tests of lineage: families, a derived pair in each, answers to common prompts.

Every model draws its phrases from its own distribution. Models of one family share most of it, and the second model
of a family nearly all of the first one's. What an answer is about depends on its prompt alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


def _words(text: str, mark: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(mark))


_TOPICS = _words(
    "river stone market letter window garden engine paper silver winter bridge candle orchard signal "
    "harbour mountain teacher kitchen journey pattern morning library weather council shadow copper "
    "meadow question lantern island thunder village basket ribbon saddle pepper marble anchor barrel "
    "canyon feather glacier hammer insect jungle kettle"
)
_HABITS = (
    _words(
        "Great question!/Certainly./In short:/Well, let us see./Absolutely!/To begin with,/"
        "Here is a view:/Good point./Of course./Consider this:/Sure thing!/As it happens,/Let me explain./"
        "Right away:",
        "/",
    ),
    _words(
        "however/still/yet/even so/nevertheless/that said/on the other hand/though/all the same/"
        "by contrast/in turn/meanwhile",
        "/",
    ),
    _words(
        "perhaps/clearly/arguably/in fact/frankly/notably/of course/surely/typically/as a rule/often/"
        "above all/crucially/essentially",
        "/",
    ),
    _words(
        "It is worth noting that/Remember that/Keep in mind that/One should see that/You will find that/"
        "We know that/Experts agree that/It seems that/The key is that/Note that/Bear in mind that",
        "/",
    ),
    _words(
        "a vital part of/closely tied to/hardly apart from/the heart of/shaped by/at odds with/"
        "a testament to/known for/nothing without/bound up with/richer than",
        "/",
    ),
    _words(
        "robust/delicate/crucial/plain/vivid/intricate/humble/pivotal/steady/curious/profound/modest/seamless/stubborn",
        "/",
    ),
    _words(
        "I hope this helps!/Let me know if you want more./That is all there is to it./"
        "In conclusion, it matters./So it goes./Feel free to ask further./In the end, taste decides./"
        "Happy exploring!/Nothing more is needed./Overall, balance wins.",
        "/",
    ),
)
_MARKS = ("; ", " - ", ", and ", ": ", " (so to speak), ", " — ", ", but ", "... ")


@dataclass(frozen=True)
class Model:
    """A model with its family, its tags, and the model that it was derived from."""

    name: str
    family: str
    parent: str | None
    weights: tuple[tuple[float, ...], ...]


def _drawn(chance: random.Random, size: int) -> tuple[float, ...]:
    """A distribution with a few favourites."""
    raw = [chance.gammavariate(0.35, 1.0) + 1e-6 for _ in range(size)]
    return tuple(value / sum(raw) for value in raw)


def _mixed(a: Sequence[float], b: Sequence[float], share: float) -> tuple[float, ...]:
    return tuple((1 - share) * x + share * y for x, y in zip(a, b, strict=True))


def make_models(families: int = 8, each: int = 3, seed: int = 1) -> list[Model]:
    """Models by family; the second of a family is derived from the first."""
    chance = random.Random(seed)
    sizes = [len(slot) for slot in _HABITS] + [len(_MARKS)]
    models: list[Model] = []
    for f in range(families):
        base = [_drawn(chance, size) for size in sizes]
        first: Model | None = None
        for k in range(each):
            if k == 1 and first is not None:
                start, share, parent = first.weights, 0.08, first.name
            else:
                start, share, parent = tuple(base), 0.45, None
            weights = tuple(_mixed(one, _drawn(chance, len(one)), share) for one in start)
            model = Model(f"family{f}-model{k}", f"family{f}", parent, weights)
            first = first or model
            models.append(model)
    return models


def answer(model: Model, prompt: int, draw: int = 0) -> str:
    """What a model answers to a prompt; another `draw` is another answer."""
    topic = random.Random(1000 + prompt).sample(_TOPICS, 10)
    chance = random.Random(f"{model.name}/{prompt}/{draw}")

    def pick(slot: int) -> str:
        options: Sequence[str] = _MARKS if slot == len(_HABITS) else _HABITS[slot]
        return chance.choices(options, model.weights[slot])[0]

    parts = [pick(0)]
    for k in range(6):
        one, other = topic[(2 * k) % 10], topic[(2 * k + 1 + prompt) % 10]
        parts.append(
            f"{pick(3)} the {one} is {pick(2)} {pick(4)} the {pick(5)} {other}{pick(7)}"
            f"{pick(1)} the {other} {pick(2)} asks for a {pick(5)} {topic[(k + 3) % 10]}."
        )
    return " ".join([*parts, pick(6)])


def make_rows(models: Sequence[Model], prompts: int = 30, first: int = 0, draw: int = 0) -> list[dict[str, str]]:
    """Rows as `upsert` takes them."""
    return [
        {
            "transcript_id": f"{model.name}/{prompt}/{draw}",
            "model": model.name,
            "prompt_id": f"p{prompt}",
            "prompt": f"Tell me about number {prompt}.",
            "response": answer(model, prompt, draw),
            "language": "en",
        }
        for model in models
        for prompt in range(first, first + prompts)
    ]


def load(address: str, corpus: str, rows: Sequence[dict[str, str]]) -> None:
    """Store rows as a corpus of a running server."""
    from kinprint.client import connect

    with connect(address) as client:
        report = client.upsert(corpus, rows)
        assert (report.stored, report.failed) == (len(rows), 0)
