"""Runs of kinship: what they take and what they yield crosses the border of a process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import FEW, edges_of, few, last, members_of
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.kinship.dossier.document import build
from kinprint.server.kinship.fit import fit
from kinprint.server.kinship.judge import find_kinship
from kinprint.server.kinship.tree import find_lineage
from lineage_corpus import make_rows

A, B = FEW[0].name, FEW[1].name
RUNS: dict[str, Callable[[View, Any], Iterator[Any]]] = {
    "fit": lambda view, given: fit(view, *given),
    "find_kinship": lambda view, given: find_kinship(view, *given),
    "find_lineage": lambda view, given: find_lineage(view, *given),
    "build": lambda view, given: build(view, *given),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus.create(tmp_path_factory.mktemp("runs") / "c", "c", "")
    rows = [
        submission(row["response"], id=row["transcript_id"], model=row["model"], prompt_id=row["prompt_id"])
        for row in make_rows(FEW, 12)
    ]
    write(made, rows, [])
    return made


def same(a: Any, b: Any) -> bool:
    """Equal, array by array and field by field."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_crosses_a_process(corpus: Corpus, name: str) -> None:
    made = {
        "fit": (members_of(FEW), edges_of(FEW), Filter(), 3),
        "find_kinship": (few(), Filter(), [A, B]),
        "find_lineage": (few(), Filter(exclude_models=frozenset({B}))),
        "build": (A, B, few()),
    }[name]
    given = pickle.loads(pickle.dumps(made))
    run = partial(RUNS[name], corpus.view)
    found = list(run(given))
    assert same(pickle.loads(pickle.dumps(found)), found)
    assert same(found, list(run(made)))


def test_a_panel_crosses_a_process(corpus: Corpus) -> None:
    panel = last(fit(corpus.view, members_of(FEW), edges_of(FEW)))
    assert pickle.loads(pickle.dumps(panel)).to_bytes() == panel.to_bytes()
