"""Disguised copies are found from both sides, at once and after the index was saved, merged and made anew."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_rows import family, submission, write
from kinprint.kernels.copy import disguise, seeds
from kinprint.server.channels import CHANNELS
from kinprint.server.channels.copy import CopyEvidence
from kinprint.server.channels.protocol import Comparison, Limits, Target
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.search.duplicates import Pairs, find_clusters, find_duplicates
from kinprint.server.search.query import Query
from kinprint.server.search.run import find

LOOKS = str.maketrans("aceopxyAEO", "асеорхуАЕО")
DISGUISES = {
    "zero_width": lambda text: text.replace("t", "t\u200b"),
    "confusable": lambda text: text.translate(LOOKS),
    "full_width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text),
    "spaced_letters": lambda text: " ".join(text),
}
CASES = {
    **{name: (name,) for name in DISGUISES},
    "look-alikes, set apart": ("confusable", "spaced_letters"),
    "invisible and full width": ("zero_width", "full_width"),
}


def disguised(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        text = DISGUISES[name](text)
    return text


def answers() -> list[str]:
    """Texts of some words, with nothing in them that joins when letters are set apart."""
    return [text.replace("\n", " ") for text in family(random.Random(5), 30)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Each text once as it is, and once in each disguise, in two segments, one of them mapped."""
    corpus = Corpus.create(tmp_path_factory.mktemp("disguises") / "c", "c", "")
    texts = answers()
    write(corpus, [submission(text, id=f"plain {n:02d}") for n, text in enumerate(texts)])
    for names in CASES.values():
        rows = [submission(disguised(t, names), id=f"{'+'.join(names)} {n:02d}") for n, t in enumerate(texts)]
        write(corpus, rows)
        corpus.publish()
    return Corpus.open(corpus.folder)


def ids_with_all_of(corpus: Corpus, query: Query) -> set[str]:
    found = find("copy", query, [corpus.view], limits=Limits(top=40)).matches
    return {match.id for match in found if match.score == 1.0}


@pytest.mark.parametrize("case", CASES)
def test_disguised_copies_are_found_from_both_sides(stored: Corpus, case: str) -> None:
    for n, text in list(enumerate(answers()))[::7]:
        expected = {f"plain {n:02d}", *(f"{'+'.join(names)} {n:02d}" for names in CASES.values())}
        for query in (text, disguised(text, CASES[case])):
            assert ids_with_all_of(stored, Query(query)) >= expected


def test_without_seeing_through_only_what_folds_alike_is_found(stored: Corpus) -> None:
    (text, *_) = answers()
    alike = {"plain 00", "zero_width 00", "full_width 00", "zero_width+full_width 00"}
    assert ids_with_all_of(stored, Query(text, see_through=False)) == alike
    hidden = disguised(text, ("confusable",))
    assert ids_with_all_of(stored, Query(hidden, see_through=False)) == {"confusable 00"}


def test_texts_that_fold_alike_are_told_apart_by_what_they_pretend_to_be(tmp_path: Path) -> None:
    (text, *_) = answers()
    apart = {"spaces": " ".join(text), "lines": "\n".join(text)}  # the same letters, of which only one is words
    corpus = Corpus.create(tmp_path / "c", "c", "")
    write(corpus, [submission(made, id=name) for name, made in apart.items()])
    assert ids_with_all_of(corpus, Query(text)) == {"spaces"}


def compared(a: str, b: str, **fields: Any) -> CopyEvidence:
    found: CopyEvidence = CHANNELS["copy"].compare(Query(a, **fields), Query(b, **fields), Comparison())
    return found


@pytest.mark.parametrize("names", CASES.values(), ids=CASES)
def test_evidence_names_what_was_undone_and_quotes_what_stands_there(names: tuple[str, ...]) -> None:
    for text in answers()[::7]:
        other = disguised(text, names)
        for a, b in ((text, other), (other, text)):
            found = compared(f"Before. {a}", f"{b} Behind.")
            assert found.disguises == tuple(name for name in DISGUISES if name in names)
            span = found.spans[0]
            assert f"Before. {a}"[span.query_start : span.query_end] == a
            assert f"{b} Behind."[span.match_start : span.match_end] == b
            assert found.shared == found.query_size - 1
        plain = compared(text, other, see_through=False)
        assert plain.disguises == ()


def test_what_both_texts_have_alike_is_not_named() -> None:
    text = disguised(answers()[0], ("confusable",))
    assert compared(text, text).disguises == ()
    assert compared(text, text).identical
    assert compared(text, text.replace("t", "t\u200b")).disguises == ("zero_width",)
    assert compared(f"{text} And a word with zero\u200bwidth.", f"{text} Something else is here.").disguises == ()


def test_explained_as_compared(stored: Corpus) -> None:
    query = Query(answers()[0])
    for match in find("copy", query, [stored.view], limits=Limits(top=7)).matches:
        explained = CHANNELS["copy"].explain(query, match, 100)
        assert explained == replace(compared(query.text, match.response), identical=explained.identical)
        assert explained.disguises == tuple(name for name in DISGUISES if name in match.id.split()[0].split("+"))


def test_seeds_of_disguised_rows_are_those_of_both_texts(stored: Corpus) -> None:
    for part in stored.view.parts:
        for chunk in part.segment.of("copy"):
            texts = part.segment.texts.take(chunk.rows[chunk.representatives])
            _plain, rows = disguise.without_disguises(texts)
            counts = np.bincount(chunk.seeds.ids, minlength=len(texts))
            assert len(rows)
            assert counts[rows].min() > 0
            np.testing.assert_array_equal(rows, chunk.disguised)
            built = CHANNELS["copy"].build(chunk.rows, _columns(part.segment, chunk), part.segment.texts, None).seeds
            for one, other in zip(chunk.seeds, built, strict=True):
                np.testing.assert_array_equal(one, other)


def _columns(segment: Any, chunk: Any) -> Any:
    import polars as pl
    from kinprint.server.store.columns import rows_to_binary

    return pl.DataFrame(
        {"sketch": rows_to_binary(chunk.signatures), "text_hash": rows_to_binary(chunk.text_hashes)},
    )


def test_duplicates_go_by_the_texts_themselves_unless_told_otherwise(stored: Corpus) -> None:
    def pairs(**named: Any) -> set[tuple[str, str]]:
        found = find_duplicates([stored.view], 0.95, expand=True, **named)
        return {
            pair for batch in found if isinstance(batch, Pairs) for pair in zip(batch.id_a, batch.id_b, strict=True)
        }

    names = sorted(f"{'+'.join(names)} 03" for names in (*CASES.values(), ("plain",)))
    everyone = {(a, b) for a in names for b in names if a < b}
    for exact in (False, True):
        assert everyone <= pairs(see_through=True, exact=exact)
        assert not any("confusable" in f"{a}{b}" and "plain" in f"{a}{b}" for a, b in pairs(exact=exact))
    (totals,) = [found for found in find_clusters([stored.view], 0.95, see_through=True) if hasattr(found, "clusters")]
    assert totals.clusters <= len(answers())


def test_rows_that_an_older_version_indexed_are_found_all_the_same(stored: Corpus) -> None:
    channel = CHANNELS["copy"]
    (text, *_) = answers()
    for part in stored.view.parts:
        for chunk in part.segment.of("copy"):
            texts = part.segment.texts.take(chunk.rows[chunk.representatives])
            old = replace(chunk, seeds=seeds.build(texts), disguises=0, disguised=np.zeros(0, np.int64), _late=[])
            made, disguised = old.seen_through(part.segment.texts)
            np.testing.assert_array_equal(disguised, chunk.disguised)
            for one, other in zip(made, chunk.seeds, strict=True):
                np.testing.assert_array_equal(one, other)
            segment = part.segment.with_index("copy", old)
            found = channel.search(Query(text), [Target("c", 0, 0, segment)], Limits(40)).matches
            assert {match.id for match in found if match.score == 1.0} >= {
                f"{'+'.join(names)} 00"
                for names in CASES.values()
                if f"{'+'.join(names)} 00" in segment.array("id").to_pylist()
            }


def test_the_version_of_the_seeds_is_kept(stored: Corpus, tmp_path: Path) -> None:
    channel = CHANNELS["copy"]
    (chunk, *_) = (chunk for part in stored.view.parts for chunk in part.segment.of("copy"))
    assert chunk.disguises == disguise.VERSION
    channel.save(tmp_path, replace(chunk, disguises=0))
    assert channel.load(tmp_path).disguises == 0
    (tmp_path / "copy-disguises.npy").unlink()
    assert channel.load(tmp_path).disguises == 0
