"""Panels: what is fitted, what is refused and said, and that the numbers of a panel are those of its definition."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import arranged, edges_of, fitted, last, members_of, related, result
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.failures import Failure, PanelUnfit
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import panel
from kinprint.server.kinship.answers import Answers
from kinprint.server.kinship.panel import (
    NULL_TAIL,
    NULL_VALUES,
    Calibration,
    Edge,
    Labels,
    Member,
    Panel,
    calibrate,
    cllr,
    cllr_min,
    folds_of,
    independent,
    label,
    transform,
)
from lineage_corpus import Model, make_models, make_rows
from numpy.typing import NDArray

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


def unfit(models: Sequence[Model] = FEW, answers: Answers | None = None, **options: Any) -> str:
    """The message with which a panel is refused."""
    with pytest.raises(PanelUnfit) as caught:
        fitted(answers_of_few() if answers is None else answers, models, **options)
    assert caught.value.reason == "PANEL_UNFIT"
    return caught.value.message


# ---- what a panel holds ----


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


def test_derived_pairs_stand_out_and_power_grows_with_prompts() -> None:
    for calibration in many().sizes[1:]:
        assert np.median(calibration.derived) > calibration.null.max()
        assert calibration.cllr < 0.3
        assert calibration.cllr_min <= calibration.cllr + 1e-9
        assert calibration.power["derived"] >= 0.5
    assert many().sizes[-1].power["derived"] >= many().sizes[0].power["derived"]


def test_the_threshold_is_above_every_clean_pair() -> None:
    for calibration in calibrations():
        assert calibration.threshold >= panel.MARGIN * calibration.null.max() - 1e-3
        assert calibration.threshold >= panel.MARGIN
        assert calibration.power["derived"] == np.mean(calibration.derived >= calibration.threshold)


def test_nothing_in_a_panel_is_infinite_or_missing() -> None:
    json.loads(many().to_bytes(), parse_constant=lambda name: pytest.fail(name))
    for calibration in calibrations():
        for values in (calibration.null, calibration.derived, calibration.kin, calibration.null_weight):
            assert np.isfinite(values).all()
            assert np.all(np.diff(values) >= 0) or values is calibration.null_weight
        assert calibration.null_weight.sum() == pytest.approx(1.0)


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
        run = panel.fit_answers(
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
    made = last(panel.fit(corpus.view, members_of(FEW), edges_of(FEW)))
    assert made.corpus == "c"
    assert made.pairs == few().pairs
    assert made.sizes[-1].prompts == 12
    np.testing.assert_allclose(made.sizes[-1].null, few().sizes[-1].null, atol=2e-4)
    assert result(panel.fit(corpus.view, members_of(FEW), cancelled=lambda: True)) == []
    with pytest.raises(PanelUnfit):
        last(panel.fit(corpus.view, members_of(FEW), rows=Filter(models=frozenset(m.name for m in FEW[:6]))))


# ---- bytes ----


def resigned(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A panel that was changed by somebody who computes digests."""
    document = json.loads(few().to_bytes())
    del document["digest"]
    change(document)
    return panel._canonical({**document, "digest": panel._digest(document)})


def refused(data: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        Panel.from_bytes(data)
    assert caught.value.message
    return caught.value


@pytest.mark.parametrize("made", [many, few])
def test_bytes_give_back_the_panel(made: Callable[[], Panel]) -> None:
    data = made().to_bytes()
    read = Panel.from_bytes(data)
    assert data.endswith(b"\n")
    assert len(data) < 2 << 20
    assert read.to_bytes() == data
    assert read.digest == made().digest == json.loads(data)["digest"]
    assert read.summary() == made().summary()
    some = np.linspace(-5, 30, 200)
    for mine, theirs in zip(made().sizes, read.sizes, strict=True):
        np.testing.assert_array_equal(mine.p_value(some), theirs.p_value(some))
        np.testing.assert_array_equal(mine.log10_lr(some), theirs.log10_lr(some))
        np.testing.assert_array_equal(mine.is_derived(some), theirs.is_derived(some))
        assert mine.threshold == theirs.threshold
    names = [m.name for m in MANY] + ["stranger"]
    np.testing.assert_array_equal(read.folds(names), made().folds(names))


def test_the_bytes_are_canonical_json_with_the_keys_of_the_format() -> None:
    data = few().to_bytes()
    document = json.loads(data)
    assert data == json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    expected = "format version digest kinprint scheme corpus members families independent_families prompts pairs"
    assert set(expected.split()) | {"derived_from", "sizes", "bridged", "cautions", "suspects", "parameters"} == set(
        document
    )
    assert (document["format"], document["version"]) == ("kinprint-panel", 1)
    assert document["prompts"]["count"] == len(document["prompts"]["keys"]) == 12


def test_a_summary_holds_no_lists_of_scores() -> None:
    summary = many().summary()
    assert (summary["members"], summary["digest"]) == (24, many().digest)
    assert "keys" not in summary["prompts"]
    assert not {"null", "null_weight", "derived", "kin"} & set(summary["sizes"][0])
    assert len(json.dumps(summary)) < 20_000


def test_damaged_bytes_are_refused() -> None:
    data = few().to_bytes()
    chance = random.Random(1)
    for place in [0, len(data) - 2, *chance.sample(range(len(data)), 60)]:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(7)
        try:
            read = Panel.from_bytes(bytes(changed)).digest
        except Failure as failure:
            read = failure.reason
        # White space, or a digit beyond what a float holds, may leave the panel as it was.
        assert read in ("PANEL_DAMAGED", "FORMAT_TOO_NEW", few().digest)
    for cut in (1, 2, 100, len(data) // 2, len(data) - 2):
        assert refused(data[:cut]).reason == "PANEL_DAMAGED"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"12",
        b'"kinprint-panel"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format":"kinprint-evidence","version":1}',
        b'{"format":"kinprint-panel"}',
        b'{"format":"kinprint-panel","version":1}',
        b'{"format":"kinprint-panel","version":null}',
        b'{"format":"kinprint-panel","version":1e999}',
        b'{"format":"kinprint-panel","version":NaN}',
        b'{"format":"kinprint-panel","version":1,"digest":"","scheme":[]}',
    ],
)
def test_what_is_no_panel_is_refused(data: bytes) -> None:
    assert refused(data).reason == "PANEL_DAMAGED"


def test_a_changed_panel_is_refused_without_its_digest() -> None:
    document = json.loads(few().to_bytes())
    document["sizes"][0]["threshold"] = 0.0
    assert refused(json.dumps(document).encode()).reason == "PANEL_DAMAGED"


def test_newer_versions_and_other_schemes_are_refused_as_such() -> None:
    newer = refused(resigned(lambda d: d.update(version=2)))
    assert newer.reason == "FORMAT_TOO_NEW"
    assert "update" in newer.message
    # Whatever a newer version holds, this one cannot know its digest.
    assert refused(b'{"format":"kinprint-panel","version":7}').reason == "FORMAT_TOO_NEW"
    for change in ({"version": 99}, {"name": "other"}, {"window": 601}, {"families": ["words"]}):
        other = refused(resigned(lambda d, change=change: d["scheme"].update(change)))  # type: ignore[misc]
        assert other.reason == "PIPELINE_MISMATCH"
        assert "fit the panel again" in other.message


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(scheme=[]),
        lambda d: d.update(scheme="residual"),
        lambda d: d.update(members=[1]),
        lambda d: d.update(sizes=[{}]),
        lambda d: d.update(sizes=3),
        lambda d: d["sizes"][0].update(null=[]),
        lambda d: d["sizes"][0].update(null=["x"]),
        lambda d: d.update(prompts=None),
        lambda d: d.pop("parameters"),
    ],
)
def test_crafted_panels_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    assert refused(resigned(change)).reason in ("PANEL_DAMAGED", "PIPELINE_MISMATCH")


# ---- what a score means ----


SCORES = np.unique(np.concatenate((np.linspace(-50, 50, 400), [-1e9, 0.0, 1e9])))


def test_p_values_fall_and_never_below_their_floor() -> None:
    for c in calibrations():
        p = c.p_value(SCORES)
        assert np.all(np.diff(p) <= 0)
        assert p[-1] == pytest.approx(c.p_floor)
        assert np.all(p >= 1 / (c.null_count + 1) - 1e-15)
        assert p[0] == pytest.approx(1.0)
        assert np.all(p <= 1.0)
        assert np.isnan(c.p_value(np.array([np.nan]))).all()


def test_a_p_value_is_the_share_of_clean_pairs_that_score_as_high() -> None:
    c = many().sizes[-1]
    assert len(c.null) == c.null_count == 24 * 23 // 2 - 4
    for score in (-1.0, 0.0, 2.5, float(c.null[-1]), float(c.null[5])):
        expected = (1 + sum(x >= score for x in c.null.tolist())) / (1 + c.null_count)
        assert c.p_value(np.array([score]))[0] == pytest.approx(expected)


def test_likelihood_ratios_rise_within_their_range() -> None:
    for c in calibrations():
        lr = c.log10_lr(SCORES)
        assert np.all(np.diff(lr) >= 0)
        assert np.all((c.log10_lr_min <= lr) & (lr <= c.log10_lr_max))
        assert c.log10_lr_min < 0 < c.log10_lr_max <= np.log10(c.null_count + 1) + 1e-12
        assert np.isnan(c.log10_lr(np.array([np.nan]))).all()
        assert c.log10_lr(np.array([c.threshold]))[0] > 0


def drawn(seed: int, n: int, draws: int) -> tuple[NDArray[np.float64], Labels]:
    """Scores of n models in families of two, kin a little higher."""
    chance = np.random.default_rng(seed)
    members = [Member(f"m{k:02d}", f"f{k // 2:02d}") for k in range(n)]
    labels = label([m.model for m in members], members)
    z = chance.normal(size=(draws, n, n)) + 3.0 * labels.kin
    z = np.round(z, 4)
    return np.triu(z, 1) + np.swapaxes(np.triu(z, 1), 1, 2), labels


def test_a_thinned_null_never_makes_a_p_value_smaller() -> None:
    z, labels = drawn(1, 26, 30)
    thinned = calibrate(z, labels, 10)
    assert thinned is not None
    upper = np.triu(labels.unrelated, 1)
    whole = np.sort(z[:, upper].ravel())
    assert len(whole) > 2 * NULL_VALUES
    assert len(thinned.null) == NULL_VALUES
    assert thinned.null_count == upper.sum()
    scores = np.concatenate((whole[::37], whole[-NULL_TAIL::10], np.linspace(-6, 6, 500)))
    share = (len(whole) - np.searchsorted(whole, scores, "left")) / len(whole)
    exact = (1 + thinned.null_count * share) / (1 + thinned.null_count)
    p = thinned.p_value(scores)
    assert np.all(p >= exact - 1e-9)
    assert np.all(p <= exact + 1e-3), "and little larger"
    tail = scores >= whole[-NULL_TAIL]
    np.testing.assert_allclose(p[tail], exact[tail], rtol=1e-9)


def test_a_calibration_can_be_restricted_to_some_pairs() -> None:
    z, labels = drawn(2, 20, 3)
    inside = labels.family < 5
    use = inside[:, None] & inside[None, :]
    part = calibrate(z, labels, 10, use=use)
    masks = (labels.unrelated, labels.kin, labels.derived)
    cut = Labels(*(m[np.ix_(inside, inside)] for m in masks), labels.family[inside])
    alone = calibrate(z[:, inside][:, :, inside], cut, 10)
    assert part is not None
    assert alone is not None
    assert part.null_count == alone.null_count == 40
    np.testing.assert_array_equal(part.null, alone.null)
    np.testing.assert_array_equal(part.derived, alone.derived)
    assert part.curve == alone.curve
    assert part.threshold == alone.threshold
    assert calibrate(z, labels, 10, use=np.zeros_like(use)) is None
    assert calibrate(z, labels, 10, use=labels.unrelated) is None, "no positives"


def test_scores_that_are_missing_are_left_out() -> None:
    z, labels = drawn(3, 20, 2)
    holes = z.copy()
    holes[0, 0, :] = holes[0, :, 0] = np.nan
    found = calibrate(holes, labels, 10)
    whole = calibrate(z, labels, 10)
    assert found is not None
    assert whole is not None
    assert found.null_count == whole.null_count - 18
    assert np.isfinite(found.null).all()
    assert calibrate(np.full_like(z, np.nan), labels, 10) is None


def test_rates_below_the_floor_are_not_stated() -> None:
    tpr = {c.null_count: c.tpr for c in calibrations()}
    for count, rates in tpr.items():
        assert (rates["0.001"] is None) == (count < 999)
        assert (rates["0.01"] is None) == (count < 99)
        assert all(0.0 <= rate <= 1.0 for rate in rates.values() if rate is not None)


def test_a_rate_is_the_share_of_derived_pairs_above_so_many_clean_ones() -> None:
    c = many().sizes[-1]
    bar = sorted(c.null.tolist())[-1 - int(0.01 * len(c.null))]
    assert c.tpr["0.01"] == pytest.approx(np.mean(c.derived > bar), abs=1 / len(c.derived) + 1e-9)


def test_cost_of_likelihood_ratios() -> None:
    zeros = np.zeros(5)
    assert cllr(zeros, zeros) == pytest.approx(1.0)
    assert cllr(np.full(5, 30.0), np.full(5, -30.0)) == pytest.approx(0.0, abs=1e-9)
    assert cllr(np.full(5, -5.0), np.full(5, 5.0)) > 5
    assert cllr_min(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == pytest.approx(0.0, abs=1e-5)
    assert cllr_min(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(1.0, abs=0.2)


def test_closest_pairs_stand_in_where_no_derived_ones_are_named() -> None:
    models = make_models(6, 3, seed=2)
    made = fitted(arranged(make_rows(models, 12)), models, edges=())
    assert made.derived_from == "closest_same_family"
    assert made.pairs == {"unrelated": 135, "kin": 18, "derived": 0}
    assert len(made.sizes[-1].derived) == 12, "two of three pairs of each family"
    assert len(made.sizes[-1].kin) == 6
    assert any("no derived pairs were named" in c for c in made.cautions)


# ---- labels, folds, families ----


def pairs_in(mask: NDArray[np.bool_]) -> set[tuple[int, int]]:
    assert np.array_equal(mask, mask.T)
    assert not mask.diagonal().any()
    return {(int(i), int(j)) for i, j in np.argwhere(np.triu(mask))}


def test_labels_of_pairs() -> None:
    members = [
        Member("a1", "a", ("base",)),
        Member("a2", "a"),
        Member("b1", "b", ("base", "data")),
        Member("c1", "c", ("data",)),
        Member("d1", "d", (panel.ENSEMBLE,)),
        Member("e1", "e"),
    ]
    edges = [
        Edge("e1", "c1; a2 ;unknown", "fine_tune"),
        Edge("b1", "b1", "rewriter"),
        Edge("a1", "e1", "friend_of"),
        Edge("nobody", "a1", "fine_tune"),
        Edge("b1", "e1", "kin"),
    ]
    names = [m.model for m in members]
    labels = label(names, members, edges)
    assert pairs_in(labels.derived) == {(3, 5), (1, 5)}
    assert pairs_in(labels.kin) == {(0, 1), (3, 5), (1, 5), (2, 5)}
    # Not a1 b1 (base), b1 c1 (data), anything with d1, what is kin, nor a1 e1, which are related in some way.
    assert pairs_in(labels.unrelated) == {(0, 3), (1, 2), (1, 3)}
    assert labels.family.tolist() == [0, 0, 1, 2, 3, 4]
    assert [pairs_in(label(names, members, [Edge("c1", "e1", r)]).derived) for r in panel.DERIVED] == [{(3, 5)}] * 4


def test_folds_keep_families_together() -> None:
    family = np.array([0] * 9 + [1] * 2 + list(range(2, 30)) + [5, 7, 7])
    fold = folds_of(family, 3)
    assert all(len(set(fold[family == f])) == 1 for f in range(30))
    assert set(fold) == set(range(panel.FOLDS))
    sizes = np.bincount(fold)
    assert sizes.max() == 9, "the largest family alone"
    assert sorted(sizes)[-2] - sizes.min() <= 2
    assert np.array_equal(fold, folds_of(family, 3))
    assert not np.array_equal(fold, folds_of(family, 4))
    assert sorted(folds_of(np.arange(4), 0).tolist()) == [0, 1, 2, 3]


def test_a_panel_knows_the_folds_of_its_fit() -> None:
    names = [m.model for m in many().members]
    labels = label(names, many().members)
    np.testing.assert_array_equal(many().folds(names), folds_of(labels.family, 0))
    assert many().folds(["stranger", names[0]])[0] == many().parameters["folds"]


def test_independent_families_are_clean_of_each_other() -> None:
    def count(*tags: tuple[str, ...]) -> int:
        members = [Member(f"m{k}", f"f{k}", t) for k, t in enumerate(tags)]
        labels = label([m.model for m in members], members)
        return independent(labels.family, labels.unrelated)

    assert count((), (), ()) == 3
    assert count(("x",), ("x",), ("x",)) == 1
    assert count(("x",), ("x",), ("y",), ("y",), ()) == 3
    # A hub shares with each of three that share nothing with each other: these three are taken.
    assert count(("x", "y", "z"), ("x",), ("y",), ("z",)) == 3
    assert count() == 0


# ---- cautions ----


def test_few_families_give_no_p_values() -> None:
    assert not few().gives_p
    assert any("6 families are fewer than 20: no p-values are given" in c for c in few().cautions)
    found = kinship.judge(
        np.array([3.0]), np.array([12]), np.zeros(1, np.bool_), few(), kinship.reach(answers_of_few(), few())
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
    made = fitted(answers, FEW, members=members_of(FEW, {FEW[5].name: (panel.ENSEMBLE,)}))
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


# ---- what cannot carry a panel ----


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
    made = last(kinship.score_models(answers_of_few(), few()))
    names = made.answers.models
    inside = [made.score[names.index(a), names.index(b)] for a, b in kin]
    others = made.score[np.triu(np.ones(made.score.shape, np.bool_), 1)]
    assert np.mean(inside) > np.mean(others) + 3
    assert transform(0.0) == 0.0
