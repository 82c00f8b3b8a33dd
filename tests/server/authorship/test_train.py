"""Attribution among synthetic authors: right names, abstention, determinism, and input that holds nothing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.server.authorship import train as attribution
from kinprint.server.authorship.train import Attributor, Known, Ranking, attribute, train
from kinprint.server.failures import InvalidField
from numpy.typing import NDArray

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


def texts_of(some: list[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


def known_of(authors: list[int], prompts: range, script: int = 0, families: list[int] | None = None) -> Known:
    some = [written(a, p, script) for a in authors for p in prompts]
    return Known(
        texts_of(some),
        np.repeat(np.arange(len(authors), dtype=np.int32), len(prompts)),
        tuple(f"author-{a}" for a in authors),
        np.tile(np.array(prompts, np.int64), len(authors)),
        None if families is None else np.array(families, np.int32),
    )


def trained(known: Known, **options: object) -> Attributor:
    found = train(known, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


@lru_cache(maxsize=3)
def usual(script: int) -> Attributor:
    background = known_of(list(range(20, 26)), range(PROMPTS), script)
    return trained(known_of([0, 1, 2, 3], range(PROMPTS), script), background=background)


def asked(attributor: Attributor, authors: list[int], size: int, script: int, each: int = 8) -> list[Ranking]:
    """`each` sets of `size` texts of each author, on prompts that nothing was learnt from."""
    some = [written(a, 1000 + s * size + k, script) for a in authors for s in range(each) for k in range(size)]
    return attribute(attributor, texts_of(some), np.repeat(np.arange(len(authors) * each), size).astype(np.int64))


@pytest.mark.parametrize("script", [0, 1, 2])
def test_known_authors_are_found_in_any_script(script: int) -> None:
    answers = asked(usual(script), [0, 1, 2, 3], 5, script)
    right = [a.ranked[0].name == f"author-{k // 8}" for k, a in enumerate(answers)]
    assert np.mean(right) > 0.8
    named = [ok for ok, a in zip(right, answers, strict=True) if not a.abstained]
    assert len(named) > 8
    assert np.mean(named) > 0.9


@pytest.mark.parametrize("script", [0, 1])
def test_an_author_who_is_not_known_is_seldom_named(script: int) -> None:
    # One unknown author may be much like a known one, so that the rate is one over authors, not over sets.
    answers = asked(usual(script), list(range(40, 56)), 5, script, each=4)
    assert np.mean([not a.abstained for a in answers]) < 0.15
    assert all(a.reason in attribution.REASONS for a in answers if a.abstained)


def test_probabilities_sum_to_one_and_ratios_stay_in_their_range() -> None:
    attributor = usual(0)
    for answer in asked(attributor, [0, 40], 2, 0):
        assert sum(r.probability for r in answer.ranked) + answer.none_of_these == pytest.approx(1.0)
        assert [r.probability for r in answer.ranked] == sorted((r.probability for r in answer.ranked), reverse=True)
        limit = attributor._sizes[-1].limit / np.log(10.0) + 1e-9
        assert all(abs(r.log10_lr) <= limit for r in answer.ranked)


def test_power_grows_with_the_set() -> None:
    power = usual(0).power
    assert [p.size for p in power] == sorted({p.size for p in power})
    assert power[-1].accuracy >= power[0].accuracy
    assert all(0.0 <= p.false_names <= attribution.ERROR for p in power)


def test_equal_input_gives_equal_answers() -> None:
    known = known_of([0, 1, 2], range(30))
    first, second = trained(known, seed=5), trained(known, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(first._weights, second._weights, strict=True))
    assert first.power == second.power
    assert asked(first, [0, 9], 2, 0) == asked(second, [0, 9], 2, 0)


def test_swapped_labels_name_nobody() -> None:
    known = known_of([0, 1, 2, 3], range(PROMPTS))
    labels: NDArray[np.int32] = np.random.default_rng(3).permutation(known.model)
    attributor = trained(Known(known.texts, labels, known.names, known.prompt))
    assert attributor.power[0].accuracy < 0.4
    answers = asked(attributor, [0, 1, 2, 3], 5, 0)
    assert np.mean([a.abstained for a in answers]) >= 0.9
    assert max(a.ranked[0].probability for a in answers) < 0.7


def test_texts_that_say_nothing_are_told_and_not_counted() -> None:
    whole = written(0, 999, 0)
    some = ["", " \n", "ok", whole, whole, whole + "  ", whole.replace("\n", " ")]
    (answer,) = attribute(usual(0), texts_of(some), np.full(7, 4, np.int64))
    assert (answer.set, answer.texts, answer.counted, answer.too_short, answer.repeated) == (4, 7, 1, 3, 3)
    (nothing,) = attribute(usual(0), texts_of(["", "no"]), np.zeros(2, np.int64))
    assert nothing.reason == attribution.NO_USABLE_TEXT
    assert nothing.none_of_these == pytest.approx(0.5)
    assert all(r.log10_lr == 0.0 for r in nothing.ranked)
    assert attribute(usual(0), texts_of([]), np.zeros(0, np.int64)) == []


def test_refusals_count_once_and_name_nobody() -> None:
    refusals = [f"I'm sorry, but I can't help with that request, number {k}." for k in range(10)]
    (answer,) = attribute(usual(0), texts_of(refusals), np.zeros(10, np.int64))
    assert answer.counted < 3
    assert answer.abstained


def test_sets_larger_than_validated_are_cut_and_told() -> None:
    largest = usual(0).power[-1].size
    (answer,) = asked(usual(0), [1], largest + 7, 0, each=1)
    assert (answer.counted, answer.beyond) == (largest, 7)


def test_caps_are_told() -> None:
    attributor = trained(known_of([0, 1, 2], range(40)), per_model=25)
    assert attributor.texts_given.tolist() == [40] * 3
    assert attributor.texts_used.tolist() == [25] * 3
    assert any("25" in note for note in attributor.notes)


def test_one_family_alone_is_never_named() -> None:
    attributor = trained(known_of([0, 1], range(30), families=[3, 3]))
    assert all(a.reason == attribution.NO_POWER for a in asked(attributor, [0, 1], 2, 0, each=2))


def test_models_with_few_answers_are_left_out_and_named() -> None:
    whole = known_of([0, 1, 2], range(30))
    rows = np.flatnonzero((whole.model != 1) | (whole.prompt < 10))
    known = Known(whole.texts.take(rows), whole.model[rows], whole.names, whole.prompt[rows])
    attributor = trained(known)
    assert attributor.names == ("author-0", "author-2")
    assert attributor.left_out[0][0] == "author-1"


def test_what_nothing_can_be_learnt_from_is_refused() -> None:
    with pytest.raises(InvalidField, match="two models"):
        train(known_of([0], range(30)))
    with pytest.raises(InvalidField, match="two models"):
        train(Known(texts_of([]), np.zeros(0, np.int32), (), np.zeros(0, np.int64)))
    same = [written(0, 0, 0)] * 60
    with pytest.raises(InvalidField, match="two models"):
        train(Known(texts_of(same), np.repeat([0, 1], 30).astype(np.int32), ("a", "b"), np.full(60, -1, np.int64)))
    with pytest.raises(InvalidField, match="one code a text"):
        train(Known(texts_of(same), np.zeros(2, np.int32), ("a", "b"), np.zeros(60, np.int64)))
    with pytest.raises(InvalidField, match="one code a text"):
        attribute(usual(0), texts_of(["one"]), np.zeros(2, np.int64))


def test_a_cancelled_training_ends() -> None:
    assert train(known_of([0, 1], range(30)), cancelled=lambda: True) is None
