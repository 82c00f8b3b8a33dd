"""How rare a stretch is by stored texts: never rarer than it is, by the definition of its count."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from corpus_rows import WORDS, submission, write
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import seeds
from kinprint.kernels.copy.certain import certain_seeds
from kinprint.server.channels import rarity
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.search.query import given
from kinprint.server.search.run import SearchRequest, background_of, run_search

MODELS = ("anna", "bert", "carl", None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Rows on disk and in memory, some dead, some equal, of models known and not."""
    chance = random.Random(5)
    stretches = [" ".join(chance.sample(WORDS, 14)) for _ in range(4)]
    made = Corpus.create(tmp_path_factory.mktemp("rarity") / "c", "c", "")
    rows = []
    for n in range(60):
        text = " ".join(chance.sample(WORDS, 10)) + ", " + chance.choice(stretches) + ". " + chance.choice(WORDS)
        rows.append(submission(rows[-1].response if n % 9 == 8 else text, id=f"{n:02d}", model=chance.choice(MODELS)))
    write(made, rows[:40])
    made.publish()
    write(made, rows[40:])
    made.delete(["03", "50"])
    return made


def living(corpus: Corpus) -> list[tuple[str, str, str | None]]:
    """(id, answer, model) of living rows."""
    return [
        row
        for part in corpus.view.parts
        for row, alive in zip(
            zip(*(part.segment.array(name).to_pylist() for name in ("id", "response", "model")), strict=True),
            part.alive,
            strict=True,
        )
        if alive
    ]


def test_spans_of_a_search_tell_how_rare_they_are(corpus: Corpus) -> None:
    rows = living(corpus)
    text = rows[0][1]
    query, info = given(text, "query", None)
    found = run_search(SearchRequest(query, info, [corpus.view], ["copy"], top=30, max_evidence=30))
    told = 0
    for hit in found.hits:
        others = [r for r in rows if r[0] != hit.id and (r[2] is None or r[2] != hit.model)]
        for span in hit.evidence.spans:
            stretch = rarity.whole_words(text, span.query_start, span.query_end)
            if len(stretch.split()) < 8:
                assert span.bits is None
                continue
            holding = sum(stretch in answer for _, answer, _ in others)
            most = -math.log2((holding + 0.5) / (len(others) + 1))
            assert span.bits is not None
            # By a seed of it, which others may have as well; here hardly any has.
            assert span.bits <= most + 1e-9
            told += span.bits == pytest.approx(most)
    assert told > 10


def test_what_tells_nothing_is_undefined(corpus: Corpus, tmp_path: Path) -> None:
    empty = Corpus.create(tmp_path / "empty", "empty", "")
    stretch = " ".join(WORDS[:20])
    assert rarity.bits_of([stretch], background_of([empty.view]), "copy") == [None]
    assert rarity.bits_of([stretch], background_of([]), "copy") == [None]
    background = background_of([corpus.view])
    assert rarity.bits_of([], background, "copy") == []
    n = len(living(corpus))
    assert rarity.bits_of([" ".join(WORDS[:7]), ""], background, "copy") == [None, None]
    unseen = "nobody has ever said quite such a thing before in here, I should think"
    assert rarity.bits_of([unseen], background, "copy") == pytest.approx([math.log2(2 * (n + 1))])


def test_words_that_a_stretch_cuts_are_left_out() -> None:
    text = "the dough went up, 你好世界 again"
    assert rarity.whole_words(text, 1, 13) == " dough "
    assert rarity.whole_words(text, 4, 14) == text[4:14]
    assert rarity.whole_words(text, 0, len(text)) == text
    assert rarity.whole_words(text, 20, 22) == "好世"
    assert rarity.whole_words(text, 5, 8) == ""


def test_certain_seeds_are_those_of_every_text_with_the_stretch() -> None:
    chance = random.Random(3)
    for _ in range(40):
        stretch = " ".join(chance.sample(WORDS, chance.randrange(1, 30)))
        around = f"{' '.join(chance.sample(WORDS, 9))} {stretch} {' '.join(chance.sample(WORDS, 9))}"
        keys, indptr = certain_seeds(Texts.from_offsets(*from_texts([stretch, around])))
        assert indptr[-1] == len(keys)
        there = seeds.build(Texts.from_offsets(*from_texts([around]))).keys
        assert np.isin(keys[: indptr[1]], there).all()
        assert (indptr[1] > 0) == (len(stretch.split()) >= 8)
