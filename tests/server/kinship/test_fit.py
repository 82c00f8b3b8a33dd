"""Fitting a panel: what it holds, what it cautions against, and what cannot carry one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import (
    FEW,
    MANY,
    PROMPTS,
    answers_of_few,
    arranged,
    edges_of,
    few,
    fitted,
    last,
    many,
    members_of,
    related,
    result,
)
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.failures import PanelUnfit
from kinprint.server.kinship import judge
from kinprint.server.kinship.answers import Answers
from kinprint.server.kinship.calibration import transform
from kinprint.server.kinship.fit import fit, fit_answers
from kinprint.server.kinship.labels import ENSEMBLE, Member
from kinprint.server.kinship.panel import Panel
from lineage_corpus import Model, make_models, make_rows


def unfit(models: Sequence[Model] = FEW, answers: Answers | None = None, **options: Any) -> str:
    """The message with which a panel is refused."""
    with pytest.raises(PanelUnfit) as caught:
        fitted(answers_of_few() if answers is None else answers, models, **options)
    assert caught.value.reason == "PANEL_UNFIT"
    return caught.value.message


def test_a_panel_describes_its_background() -> None:
    made = many()
    assert [(m.model, m.family) for m in made.members] == sorted((m.name, m.family) for m in MANY)
    assert (made.families, made.independent_families, made.corpus) == (20, 20, "lab")
    assert made.pairs == {"unrelated": 24 * 23 // 2 - 4, "kin": 4, "derived": 4}
    assert len(made.prompts) == PROMPTS
    assert made.derived_from == "lineage"
    assert [c.prompts for c in made.sizes] == [10, 25, 40]
    assert [c.draws for c in made.sizes] == [4, 1, 1]
    assert made.gives_p
    assert made.bridged is not None
    assert made.bridged.prompts == PROMPTS // 2


def test_the_same_input_and_seed_give_the_same_bytes() -> None:
    again = fitted(answers_of_few(), FEW)
    assert again.to_bytes() == few().to_bytes()
    members = random.Random(1).sample(members_of(FEW), len(FEW))
    rows = random.Random(2).sample(make_rows(FEW, 12), 12 * len(FEW))
    shuffled = fitted(arranged(rows), FEW, members=members, edges=edges_of(reversed(FEW)))
    assert shuffled.to_bytes() == few().to_bytes(), "the order of rows, members and edges says nothing"
    other = fitted(answers_of_few(), FEW, seed=1)
    assert other.digest != few().digest
    assert other.parameters["seed"] == 1


def test_a_cancelled_fit_ends_without_a_panel() -> None:
    for after in (0, 3, 10):
        asked = iter(range(10**6))
        run = fit_answers(
            answers_of_few(), members_of(FEW), cancelled=lambda asked=asked, after=after: next(asked) >= after
        )
        assert result(run) == []


def test_a_panel_of_a_corpus_is_that_of_its_answers(tmp_path: Any) -> None:
    corpus = Corpus.create(tmp_path / "c", "c", "")
    rows = [
        submission(row["response"], id=row["transcript_id"], model=row["model"], prompt_id=row["prompt_id"])
        for row in make_rows(FEW, 12)
    ]
    write(corpus, rows, [])
    made = last(fit(corpus.view, members_of(FEW), edges_of(FEW)))
    assert made.corpus == "c"
    assert made.pairs == few().pairs
    assert made.sizes[-1].prompts == 12
    np.testing.assert_allclose(made.sizes[-1].null, few().sizes[-1].null, atol=2e-4)
    assert result(fit(corpus.view, members_of(FEW), cancelled=lambda: True)) == []
    with pytest.raises(PanelUnfit):
        last(fit(corpus.view, members_of(FEW), rows=Filter(models=frozenset(m.name for m in FEW[:6]))))


def test_closest_pairs_stand_in_where_no_derived_ones_are_named() -> None:
    models = make_models(6, 3, seed=2)
    made = fitted(arranged(make_rows(models, 12)), models, edges=())
    assert made.derived_from == "closest_same_family"
    assert made.pairs == {"unrelated": 135, "kin": 18, "derived": 0}
    assert len(made.sizes[-1].derived) == 12, "two of three pairs of each family"
    assert len(made.sizes[-1].kin) == 6
    assert any("no derived pairs were named" in c for c in made.cautions)


def test_few_families_give_no_p_values() -> None:
    assert not few().gives_p
    assert any("6 families are fewer than 20: no p-values are given" in c for c in few().cautions)
    found = judge.judge(
        np.array([3.0]), np.array([12]), np.zeros(1, np.bool_), few(), judge.reach(answers_of_few(), few())
    )
    assert np.isnan(found.p_value).all()
    assert np.isnan(found.p_floor).all()
    assert np.isfinite(found.log10_lr).all()
    assert not any("p-values" in c for c in many().cautions)


def test_a_list_without_shared_bases_is_told() -> None:
    note = "no member names what it shares"
    assert any(note in c for c in few().cautions)
    tagged = fitted(answers_of_few(), FEW, members=members_of(FEW, {FEW[0].name: ("base",), FEW[2].name: ("base",)}))
    assert not any(note in c for c in tagged.cautions)
    assert tagged.pairs["unrelated"] == few().pairs["unrelated"] - 1
    assert tagged.independent_families == 5


def test_members_without_answers_are_named() -> None:
    missing = [Member(f"missing{k}", "elsewhere") for k in range(7)]
    made = fitted(answers_of_few(), FEW, members=[*members_of(FEW), *missing])
    (caution,) = [c for c in made.cautions if "no answers here" in c]
    assert caution.startswith("7 of the models")
    assert "missing0, missing1" in caution
    assert caution.endswith(", ...")
    assert (made.families, len(made.members)) == (6, 12)


def test_members_with_few_answers_are_left_out_and_told() -> None:
    shy = replace(FEW[0], name="shy", family="shy")
    made = fitted(arranged(make_rows(FEW, 12) + make_rows([shy], 9)), [*FEW, shy])
    assert "shy" not in [m.model for m in made.members]
    assert any(c.startswith("1 members answered fewer than 10 prompts") for c in made.cautions)


def test_ensembles_and_boilerplate_are_told() -> None:
    refusals = [{"model": FEW[0].name, "prompt_id": f"x{k}", "response": "I can't help with that."} for k in range(4)]
    answers = arranged([*make_rows(FEW, 12), *refusals])
    made = fitted(answers, FEW, members=members_of(FEW, {FEW[5].name: (ENSEMBLE,)}))
    assert any("1 members mix several models" in c for c in made.cautions)
    assert any(c.startswith("4 answers that give the same words") for c in made.cautions)
    assert made.pairs["unrelated"] == few().pairs["unrelated"] - 10


def test_hidden_relatives_are_suspected() -> None:
    hidden = replace(FEW[0], name="impostor", family="family9")
    models = [*FEW, hidden]
    answers = arranged(make_rows(models, 30))
    made = fitted(answers, models)
    assert {made.suspects[0][:2]} <= {tuple(sorted(("impostor", m.name))) for m in FEW[:2]}
    assert all("impostor" in (a, b) for a, b, _ in made.suspects), "and nobody else is"
    assert [s for *_, s in made.suspects] == sorted((s for *_, s in made.suspects), reverse=True)
    assert any("listed as unrelated score like kin" in c and "impostor" in c for c in made.cautions)
    honest = fitted(answers, models, members=members_of([*FEW, replace(hidden, family=FEW[0].family)]))
    assert honest.suspects == ()
    assert made.sizes[-1].threshold > honest.sizes[-1].threshold, "they stay in the null and make it cautious"
    assert not any("score like kin" in c for c in few().cautions)


def test_a_model_in_two_families_is_refused() -> None:
    message = unfit(members=[*members_of(FEW), Member(FEW[0].name, "other")])
    assert FEW[0].name in message
    assert "'family0' and 'other'" in message
    twice = fitted(answers_of_few(), FEW, members=[*members_of(FEW), *members_of(FEW)])
    assert twice.digest == few().digest, "named twice alike is no harm"


def test_too_few_models_or_families_are_refused() -> None:
    message = unfit(members=[])
    assert "0 members of 0 families" in message
    assert "at least 8 models of 4 families" in message
    assert "7 members of 4 families" in unfit(members=members_of(FEW[:7]), edges=())
    three = make_models(3, 4)
    assert "12 members of 3 families" in unfit(three, arranged(make_rows(three, 10)))
    strangers = [Member(f"s{k}", f"f{k}") for k in range(9)]
    assert "9 named members have no answers" in unfit(members=strangers)
    assert "0 members" in unfit(answers=arranged([]))


def test_too_few_prompts_are_refused() -> None:
    assert "answered 10 prompts or more" in unfit(answers=arranged(make_rows(FEW, 9)))
    apart = [row for k, m in enumerate(FEW) for row in make_rows([m], 12, first=100 * k)]
    assert "only 0 prompts were answered by a quarter of the members" in unfit(answers=arranged(apart))


def test_nothing_to_compare_is_refused() -> None:
    message = unfit(members=members_of(FEW, {m.name: ("the-web",) for m in FEW}))
    assert "no two members are unrelated" in message
    singles = make_models(9, 1)
    assert "no family has two members" in unfit(singles, arranged(make_rows(singles, 10)))


def test_a_single_derived_pair_is_refused() -> None:
    assert "a single pair is named as derived" in unfit(edges=edges_of(FEW[:2]))


def test_refusals_only_cannot_carry_a_panel() -> None:
    rows = [{**row, "response": "I'm sorry, I can't help with that."} for row in make_rows(FEW, 12)]
    assert "0 members" in unfit(answers=arranged(rows))


def test_the_smallest_panel_has_ten_prompts_and_no_bridge() -> None:
    made = fitted(arranged(make_rows(FEW, 10)), FEW)
    assert [c.prompts for c in made.sizes] == [10]
    assert made.bridged is None
    assert Panel.from_bytes(made.to_bytes()).to_bytes() == made.to_bytes()
    assert made.calibration(9) is None
    assert made.calibration(10) is made.calibration(10**6) is made.sizes[0]


def test_kin_pairs_score_higher_than_others() -> None:
    kin = related(FEW)
    made = last(judge.score_models(answers_of_few(), few()))
    names = made.answers.models
    inside = [made.score[names.index(a), names.index(b)] for a, b in kin]
    others = made.score[np.triu(np.ones(made.score.shape, np.bool_), 1)]
    assert np.mean(inside) > np.mean(others) + 3
    assert transform(0.0) == 0.0
