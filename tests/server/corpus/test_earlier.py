"""Ids of earlier rules: rows that are stored under one are not stored again, and rows that differ stay."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from corpus_rows import batch_of, write
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import Submission, derive_id

HELLO = "Hello! How can I help you today?"
ONE = Submission(HELLO, model="m", prompt="hi", account_id="one", created_us=1, language="en")
TWO = replace(ONE, account_id="two", created_us=2)
THREE = replace(ONE, account_id="three", created_us=3)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "c", "c", "")


def by_rule_1(rows: list[Submission]) -> list[Submission]:
    """The rows with the ids that they had when there was rule 1 alone."""
    seen: Counter[tuple[str | None, str | None, str]] = Counter()
    made = []
    for row in rows:
        key = (row.model, row.prompt, row.response)
        made.append(replace(row, id=derive_id("c", *key, seen[key])))
        seen[key] += 1
    return made


def ids(corpus: Corpus) -> list[str]:
    return sorted(corpus.record.read(columns=["id"]).collect()["id"].unique().to_list())


def test_rows_keep_ids_of_rule_1(corpus: Corpus) -> None:
    write(corpus, by_rule_1([ONE, TWO]))
    before = ids(corpus)
    batch = batch_of(corpus, [TWO, ONE])
    (outcome,) = corpus.write([batch])
    assert outcome.outcomes == ["UNCHANGED", "UNCHANGED"]
    # Whoever sent them is told the ids that they have.
    assert batch.rows.frame["id"].to_list() == [by_rule_1([ONE, TWO])[1].id, by_rule_1([ONE])[0].id]
    assert ids(corpus) == before


def test_a_row_that_differs_stays_beside(corpus: Corpus) -> None:
    write(corpus, by_rule_1([ONE]))
    assert write(corpus, [THREE]).outcomes == ["CREATED"]
    assert write(corpus, [ONE, THREE]).outcomes == ["UNCHANGED", "UNCHANGED"]
    assert corpus.view.rows == 2


def test_day_by_day_and_at_once_are_the_same(corpus: Corpus, tmp_path: Path) -> None:
    for row in (ONE, TWO, THREE):
        assert write(corpus, [row]).outcomes == ["CREATED"]
    together = Corpus.create(tmp_path / "together", "c", "")
    write(together, [THREE, ONE, TWO])
    assert ids(corpus) == ids(together)


def test_equal_rows_keep_as_many_ids_as_they_have(corpus: Corpus) -> None:
    noted = replace(ONE, metadata={"note": "again"})
    write(corpus, by_rule_1([ONE, noted]))
    assert write(corpus, [ONE, noted]).outcomes == ["UNCHANGED", "UNCHANGED"]
    third = replace(ONE, metadata={"note": "a third time"})
    assert write(corpus, [ONE, noted, third]).outcomes == ["UNCHANGED", "UNCHANGED", "CREATED"]
    assert corpus.view.rows == 3


def test_chat_rows_keep_the_ids_of_their_turns(corpus: Corpus) -> None:
    turn = Submission(HELLO, model="m", prompt="hi", conversation_id="q1", turn=0, language="en")
    other = replace(turn, model="n")
    write(corpus, [replace(turn, id="q1#0")])
    assert write(corpus, [turn]).outcomes == ["UNCHANGED"]
    # The answer of another model to the same prompt is another row.
    assert write(corpus, [other]).outcomes == ["CREATED"]
    assert write(corpus, [turn, other]).outcomes == ["UNCHANGED", "UNCHANGED"]
    assert corpus.view.rows == 2


def test_answers_with_reasoning_keep_theirs(corpus: Corpus) -> None:
    thought = replace(ONE, response=f"<think>hm</think>{HELLO}")
    write(corpus, by_rule_1([thought]))
    assert write(corpus, [thought]).outcomes == ["UNCHANGED"]


def test_deleted_rows_leave_gaps_that_are_looked_past(corpus: Corpus) -> None:
    first, second = by_rule_1([ONE, TWO])
    write(corpus, [first, second])
    corpus.delete([first.id])
    assert write(corpus, [TWO]).outcomes == ["UNCHANGED"]
    assert write(corpus, [ONE]).outcomes == ["CREATED"]
