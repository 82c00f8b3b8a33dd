"""Kinship among synthetic models: what is found, what is not claimed, and what must not change either."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import (
    Judgement,
    Pair,
    Row,
    accused,
    arranged,
    derived_pairs,
    edges_of,
    fitted,
    judged,
    last,
    members_of,
    related,
    result,
    scored,
    spoken,
)
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.failures import ModelNotFound
from kinprint.server.kinship import judge
from kinprint.server.kinship.fit import fit
from kinprint.server.kinship.judge import DERIVED, NO_BACKGROUND, UNRESOLVED, Pairs, Totals, find_kinship, reach
from kinprint.server.kinship.labels import Member, label
from kinprint.server.kinship.panel import Panel
from lineage_corpus import Model, make_models, make_rows

PROMPTS = 40
#: Eight families of two are the background, three more families are strangers to it.
MODELS = make_models(11, 2)
MEMBERS, STRANGERS = MODELS[:16], MODELS[16:]
#: Twelve families that the background does not know, and prompts that it was not asked.
OTHERS = [
    replace(m, name=f"other-{m.name}", family=f"other-{m.family}", parent=m.parent and f"other-{m.parent}")
    for m in make_models(12, 2, seed=51)
]
FIRST_OTHER = 500
#: Families enough for p-values.
MANY = [m for m in make_models(20, 2, seed=3) if m.parent is None or int(m.family[6:]) < 3]


def renamed(model: Model, name: str, slots: Sequence[int] = (), like: Model | None = None) -> Model:
    """A model under another name; some of its habits are those of another."""
    weights = list(model.weights)
    for slot in slots:
        assert like is not None
        weights[slot] = like.weights[slot]
    return replace(model, name=name, weights=tuple(weights))


@lru_cache(maxsize=1)
def background() -> Panel:
    return fitted(arranged(make_rows(MEMBERS, PROMPTS)), MEMBERS)


@lru_cache(maxsize=1)
def whole() -> dict[Pair, Judgement]:
    """Members and strangers on the panel's prompts."""
    return judged(arranged(make_rows(MODELS, PROMPTS)), background())


@lru_cache(maxsize=1)
def elsewhere() -> dict[Pair, Judgement]:
    """Other models on other prompts."""
    return judged(arranged(make_rows(OTHERS, PROMPTS, first=FIRST_OTHER)), background())


def check(judgements: dict[Pair, Judgement]) -> None:
    """What holds of every judgement."""
    for j in judgements.values():
        assert not np.isinf([j.score, j.log10_lr, j.p_value, j.p_floor]).any()
        assert (j.basis == "none") == bool(np.isnan(j.score))
        if j.verdict == NO_BACKGROUND or j.basis == "none":
            assert np.isnan([j.log10_lr, j.p_value, j.p_floor]).all()
            assert j.verdict in (NO_BACKGROUND, UNRESOLVED)
        if not np.isnan(j.p_value):
            assert 0 < j.p_floor <= j.p_value <= 1


# ---- how far a panel reaches ----


def test_without_a_panel_there_are_scores_and_nothing_else() -> None:
    answers = arranged(make_rows(MODELS, 20))
    found = judged(answers)
    check(found)
    assert {j.verdict for j in found.values()} == {NO_BACKGROUND}
    assert all(np.isfinite(j.score) for j in found.values())
    best = sorted(found, key=lambda pair: -found[pair].score)[: len(related(MODELS))]
    assert len(set(best) & related(MODELS)) >= 10, "the order is still that of resemblance"
    made = reach(answers, None)
    assert made.kind == "none"
    assert (made.carries_over, made.does_not) == ([], [])
    assert "no likelihood ratio, no p-value, no verdict" in made.cautions[0]


def test_derived_pairs_are_found_and_nobody_else_is_accused() -> None:
    check(whole())
    found = accused(whole())
    assert found <= related(MODELS)
    assert len(found & derived_pairs(STRANGERS)) >= 2, "also those that the panel does not know"
    assert len(found) >= 9
    assert all(whole()[pair].verdict == DERIVED for pair in found & derived_pairs(MODELS))
    assert all(j.log10_lr > 0 for pair, j in whole().items() if pair in found)
    unrelated = [j.log10_lr for pair, j in whole().items() if pair not in related(MODELS)]
    assert np.mean(np.array(unrelated) < 0) > 0.95


def test_a_panel_that_is_here_gives_what_it_can() -> None:
    made = reach(arranged(make_rows(MODELS, PROMPTS)), background())
    assert made.kind == "here"
    assert "16 of the panel's 16 models and 40 of its 40 prompts" in made.carries_over[0]
    assert "trusted" in made.does_not[0]
    assert made.does_not[1:] == ["no p-values: 8 families are too few"]
    assert all(np.isnan(j.p_value) for j in whole().values())
    # Four fifths of the members and half of the prompts are enough, less is not.
    assert reach(arranged(make_rows(MEMBERS[:13], 20)), background()).kind == "here"
    assert reach(arranged(make_rows(MEMBERS[:12], 20)), background()).kind == "none"
    assert reach(arranged(make_rows(MEMBERS, 19)), background()).kind == "none"


def test_members_score_as_in_fitting() -> None:
    rows = make_rows(MEMBERS, PROMPTS)
    made = scored(arranged(rows), background())
    upper = np.triu_indices(len(MEMBERS), 1)
    unrelated = label(made.answers.models, background().members, edges_of(MEMBERS)).unrelated[upper]
    np.testing.assert_allclose(np.sort(made.score[upper][unrelated]), background().sizes[-1].null, atol=1e-4)


def test_families_enough_give_p_values() -> None:
    answers = arranged(make_rows(MANY, 20) + make_rows(OTHERS[:2], 20))
    made = fitted(answers, MANY)
    assert made.gives_p
    found = judged(answers, made)
    check(found)
    assert all(np.isfinite(j.p_value) for j in found.values())
    floor = 1 / (1 + made.pairs["unrelated"])
    assert all(j.p_floor == pytest.approx(floor) for j in found.values())
    assert found[OTHERS[0].name, OTHERS[1].name].p_value == pytest.approx(floor)
    clean = [j.p_value for pair, j in found.items() if pair not in related([*MANY, *OTHERS])]
    assert 0.4 < np.mean(clean) < 0.65
    assert "the null carries over: p-values hold" in reach(answers, made).carries_over


def test_elsewhere_ratios_are_cut_and_there_are_no_p_values() -> None:
    check(elsewhere())
    found = accused(elsewhere())
    assert found <= derived_pairs(OTHERS)
    assert len(found) >= 6
    assert all(np.isnan(j.p_value) for j in elsewhere().values())
    size = background().sizes[-1]
    ratios = np.array([j.log10_lr for j in elsewhere().values()])
    assert ratios.max() <= size.log10_lr_max * judge.ELSEWHERE_RANGE + 1e-12
    assert ratios.min() >= size.log10_lr_min * judge.ELSEWHERE_RANGE - 1e-12
    bar = size.threshold * judge.ELSEWHERE_MARGIN
    assert {pair for pair, j in elsewhere().items() if j.score >= bar} == found
    made = reach(arranged(make_rows(OTHERS, 12, first=FIRST_OTHER)), background())
    assert made.kind == "elsewhere"
    assert "0 of the panel's 16 models and 0 of its 40 prompts" in made.does_not[0]


def test_few_models_elsewhere_are_no_background() -> None:
    few = arranged(make_rows(OTHERS[:6], PROMPTS, first=FIRST_OTHER))
    found = judged(few, background())
    check(found)
    assert {j.verdict for j in found.values()} == {NO_BACKGROUND}
    made = reach(few, background())
    assert made.kind == "none"
    assert "6 models are no background" in made.cautions[0]
    assert reach(arranged(make_rows(OTHERS[:19], 10, first=FIRST_OTHER)), background()).kind == "none"
    assert reach(arranged(make_rows(OTHERS[:20], 10, first=FIRST_OTHER)), background()).kind == "elsewhere"


def test_strangers_in_the_majority_are_told() -> None:
    crowd = [renamed(OTHERS[0], f"crowd{k:02d}") for k in range(17)]
    made = reach(arranged(make_rows([*MEMBERS, *crowd], 20)), background())
    assert any("17 models here are no members" in c for c in made.cautions)
    assert not any("no members" in c for c in reach(arranged(make_rows(MODELS, 20)), background()).cautions)


# ---- who is found and who is not ----


def test_one_model_under_two_names_is_found() -> None:
    twin, clone = renamed(STRANGERS[0], "twin"), renamed(MEMBERS[0], "clone")
    found = judged(arranged(make_rows([*MODELS, twin, clone], PROMPTS)), background())
    check(found)
    for a, b in ((STRANGERS[0].name, "twin"), ("clone", MEMBERS[0].name)):
        assert found[a, b].verdict == DERIVED
    allowed = related([*MODELS, twin, clone])
    assert accused(found) <= allowed


def test_two_system_prompts_of_one_model_score_high() -> None:
    # Another opening, another ending and other marks, as an instruction would make them.
    polite = renamed(STRANGERS[0], "polite", (0, 6, 7), like=OTHERS[2])
    terse = renamed(STRANGERS[0], "terse", (0, 6), like=OTHERS[4])
    found = judged(arranged(make_rows([*MEMBERS, polite, terse], PROMPTS)), background())
    unrelated = [j.score for pair, j in found.items() if pair not in related([*MEMBERS, polite, terse])]
    assert found["polite", "terse"].score > max(unrelated)
    assert found["polite", "terse"].log10_lr > 0
    assert accused(found) <= related([*MEMBERS, polite, terse])


def test_models_of_one_base_score_between_strangers_and_derived_ones() -> None:
    models = make_models(7, 3, seed=8)
    answers = arranged(make_rows(models, PROMPTS))
    found = judged(answers, fitted(answers, models))
    siblings = related(models) - derived_pairs(models)
    means = [
        np.mean([found[pair].score for pair in pairs])
        for pairs in (found.keys() - related(models), siblings, derived_pairs(models))
    ]
    assert means[0] + 1 < means[1] < means[2]
    assert accused(found) <= related(models)


@pytest.mark.parametrize("language", ["de", "hi"])
def test_other_languages_and_scripts(language: str) -> None:
    rows = list(spoken(language, 8, 24))
    names = sorted({row["model"] for row in rows})
    answers = arranged(rows)
    assert answers.left_out["boilerplate"] < len(rows) / 20
    members = [Member(name, name[:2]) for name in names[:12]]
    known = arranged([row for row in rows if row["model"] in names[:12]])
    found = judged(answers, fitted(known, (), members=members))
    check(found)
    assert all(a[:2] == b[:2] for a, b in accused(found))
    assert {names[12], names[14]} & {a for a, _ in accused(found)}, "strangers are found as well"
    for a in names:
        best = max((pair for pair in found if a in pair), key=lambda pair: found[pair].score)
        assert best[0][:2] == best[1][:2]


def test_swapped_names_are_nobody() -> None:
    rows = make_rows(MODELS, PROMPTS)
    chance = random.Random(6)
    swapped: list[Row] = []
    for prompt in range(PROMPTS):
        own = [row for row in rows if row["prompt_id"] == f"p{prompt}"]
        names = chance.sample([row["model"] for row in own], len(own))
        swapped += [{**row, "model": name} for row, name in zip(own, names, strict=True)]
    found = judged(arranged(swapped), background())
    check(found)
    assert accused(found) == set()
    inside, outside = ([found[p].score for p in found if (p in related(MODELS)) == kin] for kin in (True, False))
    assert abs(np.mean(inside) - np.mean(outside)) < 1.0


def test_refusals_only_are_nothing() -> None:
    rows = [{**row, "response": "I'm sorry, but I can't help with that."} for row in make_rows(MODELS, 12)]
    answers = arranged(rows)
    assert answers.left_out["boilerplate"] == len(rows)
    for made in (None, background()):
        assert judged(answers, made) == {}
        assert scored(answers, made).background.kind == "none"


def test_those_who_refuse_alike_are_not_kin_for_it() -> None:
    refused = {OTHERS[0].name, OTHERS[3].name}
    rows = [
        {**row, "response": "I'm sorry, but I can't help with that."}
        if row["model"] in refused and int(row["prompt_id"][1:]) % 2
        else row
        for row in make_rows(MEMBERS, PROMPTS) + make_rows([OTHERS[0], OTHERS[3]], PROMPTS)
    ]
    found = judged(arranged(rows), background())
    pair = found[OTHERS[0].name, OTHERS[3].name]
    assert (pair.prompts, pair.verdict) == (PROMPTS // 2, UNRESOLVED)


def test_one_family_under_many_names_is_nothing_without_a_panel() -> None:
    names = [renamed(MODELS[0], f"name{k:02d}") for k in range(22)]
    answers = arranged(make_rows(names, 20, first=FIRST_OTHER))
    found = judged(answers)
    check(found)
    assert {j.verdict for j in found.values()} == {NO_BACKGROUND}
    # With a panel from elsewhere they are each other's cohort: scores are too low, as the report of its reach says.
    found = judged(answers, background())
    assert accused(found) == set()
    assert max(j.score for j in found.values()) < 5
    assert any("if most are kin, scores are too low" in line for line in reach(answers, background()).does_not)


def test_one_family_beside_the_members_is_found_as_one() -> None:
    names = [renamed(STRANGERS[0], f"name{k}") for k in range(6)]
    models = [*MEMBERS, *names]
    found = judged(arranged(make_rows(models, PROMPTS)), background())
    assert accused(found) <= related(models)
    assert len(accused(found) & related(names)) >= 10


# ---- few prompts, few models ----


def test_ragged_prompts() -> None:
    chance = random.Random(4)
    rows = [row for row in make_rows(MODELS, PROMPTS) if chance.random() < 0.5]
    found = judged(arranged(rows), background())
    check(found)
    prompts = [j.prompts for j in found.values()]
    assert (min(prompts), max(prompts)) < (10, 20)
    assert accused(found) <= related(MODELS)
    matched = {pair: j for pair, j in found.items() if j.basis == "matched"}
    assert np.mean([j.score for p, j in matched.items() if p in related(MODELS)]) > 2 + np.mean(
        [j.score for p, j in matched.items() if p not in related(MODELS)]
    )
    few = [j for j in found.values() if j.prompts < judge.LEAST_PROMPTS]
    assert "bridged" in {j.basis for j in few}
    assert all(np.isnan(j.log10_lr) and j.verdict == UNRESOLVED for j in few if j.basis != "bridged")


def test_disjoint_halves_are_compared_through_the_panel() -> None:
    twin, other = renamed(STRANGERS[0], "twin"), OTHERS[0]
    half = PROMPTS // 2
    rows = make_rows(MEMBERS, PROMPTS) + make_rows([STRANGERS[0]], half)
    rows += make_rows([twin], half, first=half) + make_rows([replace(other, name="other")], half, first=half)
    answers = arranged(rows)
    found = judged(answers, background())
    check(found)
    kin, not_kin = found[STRANGERS[0].name, "twin"], found[STRANGERS[0].name, "other"]
    for pair in (kin, not_kin):
        assert (pair.basis, pair.prompts) == ("bridged", 0)
        assert np.isfinite(pair.log10_lr)
    assert kin.score > not_kin.score
    assert kin.log10_lr > 0
    assert not_kin.verdict == UNRESOLVED
    assert accused(found) <= related([*MODELS, twin])
    assert {j.basis for pair, j in found.items() if STRANGERS[0].name not in pair} == {"matched"}
    # Without a panel nothing bridges them.
    alone = judged(answers)[STRANGERS[0].name, "twin"]
    assert (alone.basis, alone.verdict) == ("none", NO_BACKGROUND)


def test_a_pair_that_only_answered_each_others_prompts_has_no_score() -> None:
    lone = [renamed(STRANGERS[0], "lone"), renamed(STRANGERS[0], "lost")]
    rows = make_rows(MEMBERS, PROMPTS) + make_rows(lone, 15, first=FIRST_OTHER)
    found = judged(arranged(rows), background())
    check(found)
    assert (found["lone", "lost"].basis, found["lone", "lost"].prompts) == ("none", 15)
    assert found["lone", "lost"].verdict == UNRESOLVED


def test_ten_prompts() -> None:
    rows = make_rows(MEMBERS, PROMPTS) + make_rows(STRANGERS, 10)
    found = judged(arranged(rows), background())
    check(found)
    pair = found[STRANGERS[0].name, STRANGERS[1].name]
    assert (pair.prompts, pair.basis) == (10, "matched")
    size = background().calibration(10)
    assert size is not None
    assert size.prompts == 10
    assert pair.log10_lr == pytest.approx(size.log10_lr(np.array([pair.score]))[0])
    assert accused(found) <= related(MODELS)
    # One fewer, and they are compared through the panel, which needs ten prompts of each with the members, too.
    found = judged(arranged(make_rows(MEMBERS, PROMPTS) + make_rows(STRANGERS, 9)), background())
    pair = found[STRANGERS[0].name, STRANGERS[1].name]
    assert (pair.prompts, pair.verdict) == (9, UNRESOLVED)
    assert np.isnan(pair.log10_lr)


@pytest.mark.parametrize("prompts", [1, 2, 3, 12])
def test_two_models(prompts: int) -> None:
    answers = arranged(make_rows(MODELS[:2], prompts))
    for made in (None, background()):
        found = judged(answers, made)
        check(found)
        (pair,) = found.values()
        assert pair.verdict == NO_BACKGROUND
        assert (pair.score == 0.0) == (prompts >= 3)


def test_one_model_and_none() -> None:
    for rows in (make_rows(MODELS[:1], 12), []):
        for made in (None, background()):
            answers = arranged(rows)
            assert judged(answers, made) == {}
            assert scored(answers, made).score.shape == (len(answers.models),) * 2


def test_the_order_of_models_and_prompts_changes_nothing() -> None:
    rows = make_rows(MODELS, 20)
    names = {m.name: f"x{k:02d}" for k, m in enumerate(random.Random(3).sample(MODELS, len(MODELS)))}
    other = [
        {**row, "model": names[row["model"]], "prompt_id": row["prompt_id"][::-1]}
        for row in random.Random(1).sample(rows, len(rows))
    ]
    mine, theirs = judged(arranged(rows)), judged(arranged(other))
    for (a, b), j in mine.items():
        same = theirs[tuple(sorted((names[a], names[b])))]  # type: ignore[index]
        assert same.score == pytest.approx(j.score, abs=1e-4)


def test_cancelled_runs_end_without_a_result() -> None:
    answers = arranged(make_rows(MODELS, 12))
    assert result(judge.score_models(answers, background(), lambda: True)) == []


# ---- of a corpus ----


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Members and strangers on the panel's prompts, in two parts, with reasoning in some answers."""
    made = Corpus.create(tmp_path_factory.mktemp("kinship") / "lab", "lab", "")
    rows = []
    for row in make_rows(MODELS, 20):
        response = row["response"]
        if row["model"] in (MODELS[0].name, MODELS[5].name):
            response = f"<think>The same thoughts about {row['prompt_id']}, at some length.</think>\n\n{response}"
        rows.append(submission(response, id=row["transcript_id"], model=row["model"], prompt_id=row["prompt_id"]))
    refusals = [submission("No.", id=f"r{k}", model="refuser", prompt_id=f"p{k}") for k in range(200)]
    write(made, rows[:200], [])
    made.publish()
    write(made, [*rows[200:], *refusals], [])
    return made


@pytest.fixture(scope="module")
def of_corpus(corpus: Corpus) -> Panel:
    made: Panel = last(fit(corpus.view, members_of(MEMBERS), edges_of(MEMBERS)))
    return made


def listed(made: Sequence[object]) -> tuple[dict[Pair, float], Totals]:
    """Scores by pair, and the totals; checks what holds of every run."""
    *batches, totals = made
    assert isinstance(totals, Totals)
    found: dict[Pair, float] = {}
    scores: list[float] = []
    for pairs in batches:
        assert isinstance(pairs, Pairs)
        columns = [pairs.prompts, pairs.score, pairs.log10_lr, pairs.p_value, pairs.p_floor, pairs.verdict, pairs.basis]
        assert {len(column) for column in columns} == {len(pairs.model_a)} == {len(pairs.model_b)}
        found.update(zip(zip(pairs.model_a, pairs.model_b, strict=True), pairs.score.tolist(), strict=True))
        scores += pairs.score.tolist()
    assert len(found) == len(scores) == totals.pairs
    known = [s for s in scores if not np.isnan(s)]
    assert known == sorted(known, reverse=True)
    assert scores[: len(known)] == known, "pairs without a score come last"
    return found, totals


def test_kinship_of_a_corpus(corpus: Corpus, of_corpus: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    made = result(find_kinship(corpus.view, of_corpus))
    found, totals = listed(made)
    assert len(made) == 2
    assert (totals.models, totals.prompts, totals.pairs, totals.answers) == (22, 20, 231, 440)
    assert totals.left_out["boilerplate"] == 200
    assert (totals.families, totals.panel_digest) == (8, of_corpus.digest)
    assert totals.matrix_models == sorted(m.name for m in MODELS)
    assert any("200 of 640 answers give the same words" in c for c in totals.cautions)
    # Reasoning is split off before: the scores are those of the answers alone.
    expected = judged(arranged(make_rows(MODELS, 20)), of_corpus)
    for pair, score in found.items():
        assert score == pytest.approx(expected[pair].score, abs=1e-3)
    monkeypatch.setattr(judge, "BATCH", 50)
    batches = result(find_kinship(corpus.view, of_corpus))
    assert len(batches) == 6
    assert listed(batches)[0] == found


def test_reasoning_makes_nobody_kin(corpus: Corpus, of_corpus: Panel) -> None:
    (pairs, _) = result(find_kinship(corpus.view, of_corpus, models=[MODELS[0].name, MODELS[5].name]))
    assert pairs.verdict == [UNRESOLVED]


def test_kinship_among_some_models(corpus: Corpus, of_corpus: Panel) -> None:
    everything, _ = listed(result(find_kinship(corpus.view, of_corpus)))
    names = [STRANGERS[1].name, MEMBERS[3].name, STRANGERS[0].name, STRANGERS[0].name]
    found, totals = listed(result(find_kinship(corpus.view, of_corpus, models=names)))
    assert found == {pair: score for pair, score in everything.items() if set(pair) <= set(names)}
    assert (len(found), totals.pairs, totals.models) == (3, 3, 22)
    alone, totals = listed(result(find_kinship(corpus.view, None, models=[names[0]])))
    assert (alone, totals.pairs, totals.families, totals.panel_digest) == ({}, 0, 0, "")
    assert "no likelihood ratio, no p-value, no verdict" in totals.cautions[0]


@pytest.mark.parametrize("name", ["nobody", "", "refuser", "FAMILY0-MODEL0"])
def test_models_without_answers_are_not_found(corpus: Corpus, name: str) -> None:
    with pytest.raises(ModelNotFound, match="lab") as caught:
        result(find_kinship(corpus.view, None, models=[MODELS[0].name, name]))
    assert caught.value.reason == "MODEL_NOT_FOUND"


def test_kinship_under_a_filter(corpus: Corpus, of_corpus: Panel) -> None:
    some = Filter(models=frozenset(m.name for m in MODELS[:4]))
    found, totals = listed(result(find_kinship(corpus.view, of_corpus, some)))
    assert (len(found), totals.models, totals.families) == (6, 4, 0)
    none, totals = listed(result(find_kinship(corpus.view, of_corpus, Filter(models=frozenset({"nobody"})))))
    assert (none, totals.models, totals.pairs, totals.answers) == ({}, 0, 0, 0)


def test_an_empty_corpus(tmp_path: Path) -> None:
    view = Corpus.create(tmp_path / "c", "c", "").view
    for made in (None, background()):
        found, totals = listed(result(find_kinship(view, made)))
        assert (found, totals.models, totals.prompts, totals.matrix_models) == ({}, 0, 0, [])


def test_a_cancelled_run_lists_nothing(corpus: Corpus, of_corpus: Panel) -> None:
    assert result(find_kinship(corpus.view, of_corpus, cancelled=lambda: True)) == []


def test_scores_do_not_depend_on_the_panels_place(corpus: Corpus, of_corpus: Panel) -> None:
    read = Panel.from_bytes(of_corpus.to_bytes())
    mine, theirs = (result(find_kinship(corpus.view, p)) for p in (of_corpus, read))
    for a, b in zip(mine[0].__dict__.values(), theirs[0].__dict__.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert mine[1] == theirs[1]
