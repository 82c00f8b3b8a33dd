"""Attribution among synthetic authors: right names, abstention, and texts that say nothing; and the whole run."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from authors import PROMPTS, asked, texts_of, trained, usual, written
from corpus_rows import submission, write
from kin_answers import result
from kinprint.server.authorship import attribute as attributing
from kinprint.server.authorship.attribute import attribute, run
from kinprint.server.authorship.attributor import (
    MAY_BE_UNKNOWN,
    NO_POWER,
    NO_USABLE_TEXT,
    REASONS,
    TOO_CLOSE,
    Profiles,
    Ranking,
    Size,
)
from kinprint.server.authorship.labelled import known_answers
from kinprint.server.authorship.sets import Sent, Sets, Submitted
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter


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
    assert all(a.reason in REASONS for a in answers if a.abstained)


def test_probabilities_sum_to_one_and_ratios_stay_in_their_range() -> None:
    attributor = usual(0)
    for answer in asked(attributor, [0, 40], 2, 0):
        assert sum(r.probability for r in answer.ranked) + answer.none_of_these == pytest.approx(1.0)
        assert [r.probability for r in answer.ranked] == sorted((r.probability for r in answer.ranked), reverse=True)
        limit = attributor.sizes[-1].limit / np.log(10.0) + 1e-9
        assert all(abs(r.log10_lr) <= limit for r in answer.ranked)


def test_texts_that_say_nothing_are_told_and_not_counted() -> None:
    whole = written(0, 999, 0)
    some = ["", " \n", "ok", whole, whole, whole + "  ", whole.replace("\n", " ")]
    (answer,) = attribute(usual(0), texts_of(some), np.full(7, 4, np.int64))
    assert (answer.set, answer.texts, answer.counted, answer.too_short, answer.repeated) == (4, 7, 1, 3, 3)
    (nothing,) = attribute(usual(0), texts_of(["", "no"]), np.zeros(2, np.int64))
    assert nothing.reason == NO_USABLE_TEXT
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


# ---- limits and thresholds, of figures that are given ----

#: Two models, and sets whose figures are (margin, lead, distance); the detector takes the lead for itself.
SIZE = Size(
    size=5,
    temperature=0.5,
    detector=np.array([0.0, 1.0, 0.0, 0.25]),
    least_known=1.25,
    least_posterior=0.8,
    known_limit=1.5,
    limit=1.0,
)


def judged(lead: float, total: float, size: Size = SIZE, prior: float = 0.5) -> Ranking:
    """The ranking of a set of five texts whose margins lead by `lead`, and log-posteriors by `total`."""
    attributor: Any = SimpleNamespace(
        names=("a", "b"),
        prior_unknown=prior,
        sizes=(size,),
        profiles=Profiles(np.zeros((2, 2)), np.stack([np.eye(2)] * 2)),
    )
    shares = np.zeros((5, 2 * len(attributing.authorship.FAMILIES)))
    margins = np.concatenate([np.tile([lead, 0.0], (5, 1)), shares], axis=1)
    posterior = np.tile([total / 5, 0.0], (5, 1))
    return attributing._ranking(attributor, 0, (5, 5, 0, 0, 0), margins, posterior)


def test_a_set_is_named_from_its_thresholds_on() -> None:
    log_odds = 2 * math.log(0.8 / 0.2)  # at a temperature of one half: 0.8 to 0.2
    assert judged(1.0, log_odds + 1e-9).reason == ""  # 1.0 and the intercept are the least that is known
    assert judged(1.0 - 1e-9, log_odds + 1e-9).reason == MAY_BE_UNKNOWN
    assert judged(1.0, log_odds - 1e-9).reason == TOO_CLOSE
    assert judged(0.0, 0.0).reason == MAY_BE_UNKNOWN  # before how close they are
    for field in ("least_known", "least_posterior"):
        assert judged(9.0, 90.0, replace(SIZE, **{field: math.inf})).reason == NO_POWER
    for answer in (judged(1.0, log_odds + 1e-9), judged(0.0, 0.0)):
        assert answer.abstained == bool(answer.reason)


@pytest.mark.parametrize("lead", [100.0, -100.0])
def test_nothing_is_claimed_beyond_what_was_validated(lead: float) -> None:
    answer = judged(lead, 1000.0)
    # Of "known" 1.5 and of any answer 1.0, in natural logarithms, are supported.
    known = 1 / (1 + math.exp(-math.copysign(1.5, lead)))
    assert answer.none_of_these == pytest.approx(1 - known)
    assert answer.none_log10_lr == pytest.approx(-math.copysign(1.0, lead) / math.log(10))
    assert [ranked.name for ranked in answer.ranked] == ["a", "b"]
    assert answer.ranked[0].probability == pytest.approx(known)
    assert answer.ranked[1].log10_lr == pytest.approx(-1.0 / math.log(10))
    within = judged(0.1, 0.2)
    assert 0 < abs(within.none_log10_lr) < 1.0 / math.log(10)
    none = 1 / (1 + math.exp(0.35))
    assert within.none_of_these == pytest.approx(none)
    assert within.none_log10_lr == pytest.approx(math.log10(none / (1 - none)))
    first = 1 / (1 + math.exp(-0.1))
    assert within.ranked[0].probability == pytest.approx((1 - none) * first)


def test_the_prior_of_unknown_authors_counts() -> None:
    answer = judged(0.1, 0.2, prior=0.9)
    odds = math.exp(0.35) * 0.1 / 0.9
    assert answer.none_of_these == pytest.approx(1 / (1 + odds))
    assert answer.none_log10_lr == pytest.approx(-0.35 / math.log(10))


def test_sizes_between_two_take_the_stricter_thresholds() -> None:
    low, high = (
        replace(SIZE, size=2, temperature=1.0),
        replace(
            SIZE,
            size=8,
            temperature=0.25,
            detector=np.zeros(4),
            least_known=2.0,
            least_posterior=0.7,
            known_limit=1.0,
            limit=3.0,
        ),
    )
    between = attributing._between((low, high), 4)
    assert (between.size, between.temperature) == (4, pytest.approx(0.5))
    np.testing.assert_allclose(between.detector, [0.0, 0.5, 0.0, 0.125])
    assert (between.least_known, between.least_posterior) == (2.0, 0.8)
    assert (between.known_limit, between.limit) == (1.0, 1.0)
    assert attributing._between((low, high), 1) is low
    assert attributing._between((low, high), 2) is low
    assert attributing._between((low, high), 8) is high
    assert attributing._between((low, high), 99) is high
    middle = replace(SIZE, size=4)
    assert attributing._between((low, middle, high), 4) is middle


# ---- the whole run ----

AUTHORS, OTHERS = [0, 1, 2, 3], list(range(20, 26))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus.create(tmp_path_factory.mktemp("authors") / "c", "c", "")
    rows = [
        submission(written(a, p, 0), id=f"{a}-{p}", model=f"author-{a}", prompt_id=f"p{p}")
        for a in [*AUTHORS, *OTHERS]
        for p in range(PROMPTS)
    ]
    write(made, rows, [])
    return made


def submitted() -> Submitted:
    """Four sets of five texts, and a blank one."""
    sets = Sets()
    sets.add([Sent(written(a, 2000 + k, 0), f"by {a}") for k in range(5) for a in AUTHORS])
    sets.add([Sent(" ")])
    return sets.submitted()


NAMED = [f"author-{a}" for a in AUTHORS]


def test_a_run_is_training_and_then_attributing(corpus: Corpus) -> None:
    *rankings, totals = result(run(corpus.view, Filter(), submitted(), NAMED, seed=4))
    (rankings,) = rankings
    known, background = known_answers(corpus.view, Filter(), NAMED)
    attributor = trained(known, background=background, seed=4)
    ((texts, codes),) = submitted().parts()
    assert rankings == attribute(attributor, texts, codes)
    assert (totals.sets, totals.texts) == (5, 21)
    assert totals.named == sum(not ranking.abstained for ranking in rankings)
    assert totals.names == attributor.names == tuple(NAMED)
    assert totals.power == attributor.power
    assert totals.background_used == attributor.background_used > 0


def test_what_a_run_takes_and_makes_crosses_a_process(corpus: Corpus) -> None:
    given = pickle.loads(pickle.dumps((Filter(), submitted(), NAMED, {NAMED[0]: "x"})))
    rows, sets, models, families = given
    made = list(run(corpus.view, rows, sets, models, families))
    back = pickle.loads(pickle.dumps(made))
    assert [type(one) for one in back] == [type(one) for one in made]
    assert back[:-1] == made[:-1]
    assert back[-1].power == made[-1].power
    np.testing.assert_array_equal(back[-1].texts_used, made[-1].texts_used)


def test_a_run_ends_at_whatever_moment_it_is_cancelled(corpus: Corpus) -> None:
    asked_for = 0

    def counted() -> bool:
        nonlocal asked_for
        asked_for += 1
        return False

    assert len(result(run(corpus.view, Filter(), submitted(), NAMED, cancelled=counted))) == 2
    assert asked_for > 40
    for after in (0, 1, asked_for // 4, asked_for // 2, asked_for - 1):
        left = iter(range(10**6))
        made = result(
            run(corpus.view, Filter(), submitted(), NAMED, cancelled=lambda left=left, after=after: next(left) >= after)
        )
        assert made == []
