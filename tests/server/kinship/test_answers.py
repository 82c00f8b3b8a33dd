"""Answers: which count, which are left out and why, whatever the order they come in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus_rows import submission, write
from kin_answers import strings, texts_of
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.kinship.answers import BOILERPLATE_PROMPTS, COMMON_PROMPTS, SHORT_BYTES, Answers, arrange, gather
from lineage_corpus import answer, make_models

MODELS = make_models(3, 2)
NOTHING = {"no_model": 0, "no_prompt": 0, "blank": 0, "boilerplate": 0, "repeated": 0}

Given = tuple[str | None, str | None, str]


def given(rows: Sequence[Given], order: Sequence[int] | None = None) -> Answers:
    """Arrange (model, prompt, text)."""
    models, prompts = (list(dict.fromkeys(row[k] for row in rows if row[k] is not None)) for k in (0, 1))
    model = [-1 if m is None else models.index(m) for m, _, _ in rows]
    prompt = [-1 if p is None else prompts.index(p) for _, p, _ in rows]
    return arrange(
        texts_of([text for _, _, text in rows]),
        np.array(model, np.int64),
        np.array(prompt, np.int64),
        [str(m) for m in models],
        [str(p) for p in prompts],
        None if order is None else np.array(order, np.int64),
    )


def told(answers: Answers) -> dict[tuple[str, str], str]:
    """Text by (model, prompt); checks what holds of all Answers."""
    models, prompts = (np.array(names) for names in (answers.models, answers.prompts))
    assert answers.starts[0] == 0
    assert answers.starts[-1] == len(answers.texts) == len(answers.model) == len(answers.prompt) == len(answers.place)
    assert answers.starts.tolist() == np.searchsorted(answers.prompt, np.arange(len(prompts) + 1)).tolist()
    keys = list(zip(answers.prompt.tolist(), answers.model.tolist(), strict=True))
    assert keys == sorted(set(keys)), "ordered by prompt, then model, none twice"
    assert answers.present.sum() == len(answers.texts)
    texts = strings(answers.texts)
    return {(str(models[m]), str(prompts[p])): text for (p, m), text in zip(keys, texts, strict=True)}


def some(prompts: int = 4) -> list[Given]:
    return [(m.name, f"p{p}", answer(m, p)) for m in MODELS for p in range(prompts)]


def test_answers_are_ordered_by_prompt_and_model() -> None:
    rows = some()
    answers = given(rows)
    assert told(answers) == {(m, p): text for m, p, text in rows}
    assert answers.models == tuple(sorted(m.name for m in MODELS))
    assert answers.prompts == ("p0", "p1", "p2", "p3")
    assert answers.left_out == NOTHING
    assert [rows[k][2] for k in answers.place] == strings(answers.texts)


def test_rows_without_model_prompt_or_text_are_left_out_and_counted() -> None:
    rows = some()
    useless: list[Given] = [
        (None, "p0", "Something to say about the river."),
        (None, None, ""),
        ("family0-model0", None, "Something else to say."),
        ("family0-model0", "p9", ""),
        ("family1-model0", "p9", " \n\t\u3000\u200b"),
    ]
    answers = given([*useless, *rows])
    assert told(answers) == {(m, p): text for m, p, text in rows}
    assert answers.left_out == {**NOTHING, "no_model": 2, "no_prompt": 1, "blank": 2}
    assert "p9" not in answers.prompts


def test_nobody_who_said_nothing_is_a_model() -> None:
    answers = given([*some(), ("mute", "p0", ""), ("mute", "p1", " ")])
    assert "mute" not in answers.models


def test_one_of_several_answers_counts_the_least() -> None:
    rows = some()
    again: list[Given] = [(m, p, text + " Once more.") for m, p, text in rows[:5]]
    answers = given([*again, *rows], order=[*range(100, 105), *range(len(rows))])
    assert told(answers) == {(m, p): text for m, p, text in rows}
    assert answers.left_out == {**NOTHING, "repeated": 5}
    first = told(given([*again, *rows]))
    assert first == {(m, p): text for m, p, text in [*rows, *again]}, "as they come without an order"


def test_a_blank_answer_does_not_stand_before_one_with_text() -> None:
    rows: list[Given] = [("a", "p", ""), ("a", "p", "The second try says something."), ("b", "p", "Another answer.")]
    assert told(given(rows))["a", "p"] == rows[1][2]


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [*some(8), ("a", "p0", "Once."), ("a", "p0", "Twice."), ("a", None, "No prompt."), (None, "p1", "Nobody.")]
    rows += [("b", f"p{k}", "I cannot help with that.") for k in range(5)]
    whole = given(rows, range(len(rows)))
    chance = random.Random(5)
    for _ in range(5):
        shuffled = chance.sample(range(len(rows)), len(rows))
        other = given([rows[k] for k in shuffled], shuffled)
        assert told(other) == told(whole)
        assert other.left_out == whole.left_out
        assert (other.models, other.prompts) == (whole.models, whole.prompts)
        assert [shuffled[k] for k in other.place] == whole.place.tolist()


# ---- boilerplate ----


def test_the_same_words_to_several_prompts_are_boilerplate() -> None:
    rows = some(8)
    refusal = "I'm sorry, but I can't help with that."
    forms = [refusal, refusal.upper(), "  " + refusal.replace(" ", "\n"), refusal]
    repeated: list[Given] = [("refuser", f"p{k}", form) for k, form in enumerate(forms)]
    answers = given([*rows, *repeated])
    assert told(answers) == {(m, p): text for m, p, text in rows}
    assert answers.left_out == {**NOTHING, "boilerplate": len(forms)}


def test_the_same_words_to_few_prompts_are_not() -> None:
    text = "Both of these are about the river and the stone."
    rows: list[Given] = [("a", f"p{k}", text) for k in range(BOILERPLATE_PROMPTS - 1)]
    rows += [(name, "p0", text) for name in "bcdefaa"]
    answers = given(rows)
    assert answers.left_out == {**NOTHING, "repeated": 2}, "many models and repeats are one prompt all the same"
    assert len(answers.models) == 6


def test_refusals_by_several_models_are_boilerplate_together() -> None:
    text = "As an AI, I have no opinion on it."
    answers = given([*some(), *[(f"r{k}", f"p{k}", text) for k in range(3)]])
    assert answers.left_out["boilerplate"] == 3
    assert not any(m.startswith("r") for m in answers.models)


def test_short_refusals_with_small_variations_are_boilerplate() -> None:
    topics = ("rivers", "bridges", "letters", "gardens", "engines", "candles", "kettles")
    refusals: list[Given] = [
        ("refuser", f"p{k}", f"I'm sorry, but I can't help with questions about {topic} at this time.")
        for k, topic in enumerate(topics)
    ]
    answers = given([*some(len(topics)), *refusals])
    assert answers.left_out == {**NOTHING, "boilerplate": len(topics)}
    few = given([*some(len(topics)), *refusals[:COMMON_PROMPTS]])
    assert few.left_out == NOTHING, "the words must stand under more prompts than that"


def test_long_answers_are_no_boilerplate_for_a_common_opening() -> None:
    start = "I'm sorry, but I can't help with that exactly as it was asked. What I can say is this: "
    long: list[Given] = []
    for k in range(8):
        text = start + " ".join(answer(MODELS[0], 10 * k + j) for j in range(3))
        assert len(text) > SHORT_BYTES
        long.append(("longwinded", f"p{k}", text))
    assert given([*some(8), *long]).left_out == NOTHING


@pytest.mark.parametrize(
    "text", ["抱歉，我无法回答这个问题。", "क्षमा करें, मैं इसमें मदद नहीं कर सकता।", "عذرًا، لا أستطيع المساعدة", "42", "🙂"]
)
def test_boilerplate_of_any_script(text: str) -> None:
    rows = [*some(3), *[("x", f"p{k}", text) for k in range(3)]]
    assert given(rows).left_out == {**NOTHING, "boilerplate": 3}


# ---- parts ----


def test_some_prompts_in_the_order_given() -> None:
    rows = some(6)
    rows.remove(rows[3])
    answers = given(rows)
    part = answers.subset(np.array([4, 0, 3]))
    assert part.prompts == ("p4", "p0", "p3")
    assert part.models == answers.models
    assert told(part) == {(m, p): text for m, p, text in rows if p in part.prompts}
    assert [rows[k][2] for k in part.place] == strings(part.texts)
    none = answers.subset(np.zeros(0, np.int64))
    assert told(none) == {}
    assert none.prompts == ()


def test_some_models_keep_all_prompts() -> None:
    rows = [*some(), ("alone", "p7", "Nobody else was asked this.")]
    answers = given(rows)
    part = answers.among(["family1-model0", "family0-model1", "nobody", "family1-model0"])
    assert part.models == ("family0-model1", "family1-model0")
    assert part.prompts == answers.prompts
    assert told(part) == {(m, p): text for m, p, text in rows if m in part.models}
    assert part.present[-1].tolist() == [False, False]
    nobody = answers.among([])
    assert (nobody.models, told(nobody)) == ((), {})


def test_nothing_at_all() -> None:
    for answers in (given([]), given([("a", "p", "")]), given([(None, None, "text")])):
        assert told(answers) == {}
        assert (answers.models, answers.prompts) == ((), ())
        assert answers.present.shape == (0, 0)
        assert told(answers.subset(np.zeros(0, np.int64))) == told(answers.among(["a"])) == {}


# ---- of a corpus ----


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Parts on disk and in memory; rows deleted, replaced, repeated, and of no use."""
    corpus = Corpus.create(tmp_path_factory.mktemp("answers") / "c", "c", "")
    rows = [
        submission(answer(m, p), id=f"{m.name}/{p}", model=m.name, prompt_id=f"p{p}", language="en" if p < 3 else "de")
        for m in MODELS
        for p in range(5)
    ]
    later = submission("A later answer, which does not count.", id="z", model="family0-model0", prompt_id="p0")
    write(corpus, [*rows[:20], later])
    corpus.publish()
    earlier = submission("An earlier id counts, though written later.", id="a", model="family0-model1", prompt_id="p1")
    write(
        corpus, [*rows[20:], earlier, submission("No model.", id="m"), submission("", id="b", model="family0-model0")]
    )
    corpus.delete(["family2-model1/4"])
    replaced = submission(
        "Replaced by something new.", id="family2-model0/0", model="family2-model0", prompt_id="p0", language="en"
    )
    write(corpus, [replaced])
    return corpus


def test_answers_of_a_corpus(corpus: Corpus) -> None:
    view = corpus.view
    assert len(view.parts) > 1
    answers, places = gather(view)
    expected = {(m.name, p): answer(m, p) for m in MODELS for p in range(5)}
    del expected["family2-model1", 4]
    expected["family2-model0", 0] = "Replaced by something new."
    expected["family0-model1", 1] = "An earlier id counts, though written later."
    by_model: dict[str, list[str]] = {}
    for (model, _), text in told(answers).items():
        by_model.setdefault(model, []).append(text)
    assert {m: sorted(t) for m, t in by_model.items()} == {
        m.name: sorted(t for (name, _), t in expected.items() if name == m.name) for m in MODELS
    }
    assert answers.left_out == {**NOTHING, "no_model": 1, "no_prompt": 1, "repeated": 2}
    for k, text in enumerate(strings(answers.texts)):
        number, row = places[answers.place[k]]
        segment = view.parts[number].segment
        assert segment.array("response")[row].as_py() == text
        assert segment.array("model")[row].as_py() == answers.models[answers.model[k]]
        assert segment.array("prompt_key")[row].as_py() == answers.prompts[answers.prompt[k]]


def test_answers_that_pass_a_filter(corpus: Corpus) -> None:
    answers, _ = gather(corpus.view, Filter(models=frozenset({"family1-model0", "family1-model1"})))
    assert answers.models == ("family1-model0", "family1-model1")
    german, _ = gather(corpus.view, Filter(languages=frozenset({"de"})))
    assert len(german.prompts) == 2
    nobody, places = gather(corpus.view, Filter(models=frozenset({"nobody"})))
    assert (nobody.models, nobody.prompts, places) == ((), (), [])


def test_an_empty_corpus_has_no_answers(tmp_path: Path) -> None:
    answers, places = gather(Corpus.create(tmp_path / "c", "c", "").view)
    assert (answers.models, answers.prompts, len(answers.texts), places) == ((), (), 0, [])
