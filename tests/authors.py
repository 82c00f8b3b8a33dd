"""Synthetic authors with habits of their own, in three scripts, and what is learnt from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from kin_answers import last, texts_of
from kinprint.server.authorship.attribute import attribute
from kinprint.server.authorship.attributor import Attributor, Known, Ranking
from kinprint.server.authorship.train import train

#: Letters of the topics, marks that end sentences, and the joint of words, by script.
SCRIPTS = (
    ("abcdefghijklmnopqrstuvwxyz", (". ", "! ", "; "), " "),
    ("的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年", ("。", "！", "；"), ""),
    ("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", (". ", "؟ ", "؛ "), " "),
)
PROMPTS = 60


def words_of(seed: int, script: int, count: int) -> list[str]:
    rng = np.random.default_rng(seed)
    letters, _, joint = SCRIPTS[script]
    longest = 8 if joint else 2
    return ["".join(rng.choice(list(letters), rng.integers(1, longest + 1))) for _ in range(count)]


def written(author: int, prompt: int, script: int) -> str:
    """A text on the topic of its prompt with the habits of its author: favourite words, marks, lines, an opening."""
    habits = np.random.default_rng(1000 + author)
    _, marks, joint = SCRIPTS[script]
    shared = words_of(7, script, 30)
    taste = habits.dirichlet(np.full(len(shared), 0.4))
    ends = habits.dirichlet(np.ones(len(marks)))
    share, line = habits.uniform(0.35, 0.6), habits.uniform(0.1, 0.6)
    rng = np.random.default_rng([author, prompt, script])
    topic = words_of(50_000 + prompt, script, 25)
    out = []
    for _ in range(int(rng.integers(6, 12))):
        some = [
            str(rng.choice(shared, p=taste)) if rng.random() < share else str(rng.choice(topic))
            for _ in range(int(rng.integers(5, 14)))
        ]
        out.append(joint.join(some) + str(rng.choice(marks, p=ends)) + ("\n" if rng.random() < line else ""))
    return "".join(out)


def known_of(authors: list[int], prompts: range, script: int = 0, families: list[int] | None = None) -> Known:
    some = [written(a, p, script) for a in authors for p in prompts]
    return Known(
        texts_of(some),
        np.repeat(np.arange(len(authors), dtype=np.int32), len(prompts)),
        tuple(f"author-{a}" for a in authors),
        np.tile(np.array(prompts, np.int64), len(authors)),
        None if families is None else np.array(families, np.int32),
    )


def trained(known: Known, **options: Any) -> Attributor:
    found: Attributor = last(train(known, **options))
    return found


@lru_cache(maxsize=3)
def usual(script: int) -> Attributor:
    background = known_of(list(range(20, 26)), range(PROMPTS), script)
    return trained(known_of([0, 1, 2, 3], range(PROMPTS), script), background=background)


def asked(attributor: Attributor, authors: list[int], size: int, script: int, each: int = 8) -> list[Ranking]:
    """`each` sets of `size` texts of each author, on prompts that nothing was learnt from."""
    some = [written(a, 1000 + s * size + k, script) for a in authors for s in range(each) for k in range(size)]
    return attribute(attributor, texts_of(some), np.repeat(np.arange(len(authors) * each), size).astype(np.int64))
