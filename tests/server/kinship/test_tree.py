"""Trees of models: who is joined first, the format, and degenerate corpora."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import arranged, derived_pairs, fitted, last, result, scored
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.kinship import tree as lineage
from kinprint.server.kinship.tree import Lineage, lineage_of, newick, tree_of
from lineage_corpus import make_models, make_rows

MODELS = make_models(8, 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus.create(tmp_path_factory.mktemp("lineage") / "c", "c", "")
    rows = [
        submission(row["response"], id=row["transcript_id"], model=row["model"], prompt_id=row["prompt_id"])
        for row in make_rows(MODELS, 20)
    ]
    write(made, rows, [])
    return made


def check(made: Lineage) -> None:
    """What holds of every tree."""
    n = len(made.models)
    assert made.scores.shape == (n, n)
    assert made.merges.shape == (max(0, n - 1), 4)
    assert sorted(made.order) == list(range(n))
    assert np.isfinite(made.merges).all()
    assert np.all(np.diff(made.merges[:, 2]) >= -1e-12)
    assert made.tree.endswith(";")
    assert made.tree.count("(") == made.tree.count(")") == len(made.merges)
    assert all(float(x) >= 0 for x in re.findall(r":([^,()]+)", made.tree))
    assert lineage.CAUTION in made.cautions


def test_derived_pairs_are_joined_first(corpus: Corpus) -> None:
    made = last(lineage.find_lineage(corpus.view))
    check(made)
    assert made.models == sorted(m.name for m in MODELS)
    first = {(made.models[int(a)], made.models[int(b)]) for a, b, _, size in made.merges if size == 2}
    assert {tuple(sorted(pair)) for pair in first} >= derived_pairs(MODELS)
    places = {name: made.order.index(k) for k, name in enumerate(made.models)}
    assert all(abs(places[a] - places[b]) == 1 for a, b in derived_pairs(MODELS))
    for name in made.models:
        assert f"'{name}':" in made.tree


def test_a_tree_with_a_panel_has_its_scores_and_cautions(corpus: Corpus) -> None:
    answers = arranged(make_rows(MODELS, 20))
    background = fitted(answers, MODELS)
    made = lineage_of(scored(answers, background))
    check(made)
    assert set(background.cautions) <= set(made.cautions)
    np.testing.assert_array_equal(made.scores, scored(answers, background).score)


def test_the_same_corpus_gives_the_same_tree(corpus: Corpus) -> None:
    one, other = (last(lineage.find_lineage(corpus.view)) for _ in range(2))
    assert (one.tree, one.order) == (other.tree, other.order)


def test_few_models(corpus: Corpus, tmp_path: Path) -> None:
    for count in (1, 2, 3):
        names = frozenset(m.name for m in MODELS[:count])
        made = last(lineage.find_lineage(corpus.view, rows=Filter(models=names)))
        check(made)
        assert len(made.models) == count
    assert last(lineage.find_lineage(corpus.view, rows=Filter(models=frozenset({MODELS[0].name})))).tree == (
        f"'{MODELS[0].name}';"
    )
    empty = last(lineage.find_lineage(Corpus.create(tmp_path / "e", "e", "").view))
    check(empty)
    assert (empty.models, empty.tree, empty.order) == ([], ";", [])
    assert result(lineage.find_lineage(corpus.view, cancelled=lambda: True)) == []


def test_models_without_common_prompts_are_joined_last() -> None:
    apart = make_rows(MODELS[:6], 10) + make_rows(MODELS[6:7], 10, first=100)
    made = lineage_of(scored(arranged(apart)))
    check(made)
    lone = made.models.index(MODELS[6].name)
    assert lone in made.merges[-1, :2].astype(int)
    nobody = np.full((4, 4), np.nan)
    merges, order = tree_of(nobody)
    assert np.isfinite(merges).all()
    assert sorted(order) == [0, 1, 2, 3]


def test_names_are_quoted_as_newick_asks() -> None:
    names = ["it's", "a,b:(c);", "名前 [x]", ""]
    merges, _ = tree_of(np.array([[np.nan, 5, 1, 0], [5, np.nan, 1, 0], [1, 1, np.nan, 0], [0, 0, 0, np.nan]]))
    tree = newick(names, merges)
    for quoted in ("'it''s':", "'a,b:(c);':", "'名前 [x]':", "'':"):
        assert quoted in tree
    heights = merges[:, 2]
    assert tree.startswith("(")
    assert heights[0] < heights[1] < heights[2]
    # Every leaf is as far from the root: half of the last height.
    assert f"'':{heights[2] / 2:.6g}" in tree
