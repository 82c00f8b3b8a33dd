"""What is compiled ahead: all that a server calls, once, by as many processes as there are, and known by a stamp."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinprint.kernels import sources, warm
from kinprint.kernels.arrow import Texts, from_texts, frozen
from kinprint.kernels.copy import (
    automaton,
    dedup,
    disguise,
    lsh,
    matching,
    overlap,
    rarity,
    seeds,
    shingle,
    sketch,
    spans,
)
from kinprint.kernels.embed import align, pool, sentences, tokens, vocabulary
from kinprint.kernels.jit import ParallelKernel
from kinprint.kernels.style import authorship, features, nearest, ngrams, residual, stylometry, traits
from kinprint.kernels.units import Unit


def signatures(kernel: Any) -> int:
    """How many versions of a kernel there are in this process."""
    compiled = kernel.kernel if isinstance(kernel, ParallelKernel) else kernel
    return len(compiled.signatures)


@pytest.mark.timeout(1500)  # a cold cache: this compiles all kernels that a server calls
def test_nothing_is_left_to_compile() -> None:
    warm.load()
    kernels: list[Any] = [shingle._sets, shingle._counts, shingle._text_hashes, sketch._sketch, sketch._similarity]
    kernels += [nearest._lengths, nearest._nearest, seeds._renumber]
    kernels += [seeds._all_seeds, seeds._meet, overlap._query, overlap._pairs, overlap._intersections]
    kernels += [lsh._band_keys, lsh._pairs, lsh._links, dedup._firsts, spans._spans, spans._codepoint_places]
    kernels += [spans._differences, spans._codepoint_offsets, spans._tokens_of, automaton.matches_of]
    kernels += [matching.find_in_chunk, rarity.counts_elsewhere, stylometry._style_vectors, stylometry._stats]
    kernels += [stylometry._scores, stylometry._scores_at, traits._traits, ngrams.inner_products, residual._moments]
    kernels += [residual._add, features._block, features._packed, features._take, features._document_frequencies]
    kernels += [features._weigh, authorship._separate, authorship._margins, authorship._shares]
    kernels += [vocabulary._build, sentences._spans, tokens._encode, tokens._splice, pool._from_texts, pool._dots]
    kernels += [pool._from_tokens, pool._sentence_vectors, pool._quantised, align._scores, align._scores_of]
    kernels += [align._cosines, align._nearest, disguise._suspects, disguise._clean]
    before = [signatures(kernel) for kernel in kernels]
    # A second form in this process: another test called a kernel otherwise than the product does.
    assert [k.__name__ for k, forms in zip(kernels, before, strict=True) if forms != 1] == []
    data, offsets = from_texts(["one two three four", "one two three five"])
    for texts in (data, data.copy()):
        read = Texts.from_offsets(texts, offsets)
        made = sketch.sketch(texts, offsets)
        sketch.similarity(made.signatures[0], made.signatures)
        hashes, indptr, _ = shingle.shingle_sets(texts, offsets)
        shingle.text_hashes(texts, offsets)
        disguise.without_disguises(read)
        seeds.query(seeds.build(read), hashes[: indptr[1]])
        overlap.query_overlap_of(hashes[: indptr[1]], read, np.arange(2))
        overlap.intersections(hashes, indptr, np.array([0]), np.array([1]))
        list(lsh.candidate_pairs(made.signatures, 32, 4))
        dedup.clusters(read)
        spans.differences(texts, texts, spans.shared_spans(texts, texts))
        vectors = stylometry.style_vectors(texts, offsets)
        scale = stylometry.scaler(stylometry.stats(vectors))
        stylometry.scores(vectors[0], vectors, *scale)
        stylometry.scores_at(frozen(vectors[0]), vectors, frozen(np.arange(2)), *scale)
        traits.traits(texts, offsets)
        characters = vocabulary.characters(np.zeros(0x110000, np.uint8), {}, {})
        pieces = vocabulary.vocabulary([b"?", b"one"], np.zeros(2), 0, 10.0, [b"two"], characters)
        caches, table = tokens.Caches(), pool.Table.of(np.ones((2, 8), np.float32))
        pool.row_vectors(read, pieces, caches, table)
        cut = sentences.sentences(read)
        found = tokens.encode(cut.texts(read), pieces, caches)
        ids, places = tokens.splice(found, np.zeros(2, np.int32), np.arange(3))
        meanings = pool.vectors_of_tokens(ids, places, cut.starts, table)
        asked = align.query(pool.sentence_vectors(ids, places, table))
        pool.dots(meanings, np.arange(2), np.ones((1, 8), np.float32))
        align.scores(asked, meanings, np.arange(2), np.arange(1, 3))
        align.pairs_of(align.cosines(asked, meanings, 0, 2))
        align.scores_of(align.cosines(asked, meanings, 0, 2), np.arange(3))
        made_features = features.features_of(read)
        features.document_frequencies(made_features)
        ones = np.ones(features.DIM, np.float32), np.ones(len(features.FAMILIES), np.float32)
        rows = features.weigh(made_features, *ones).take(np.arange(2))
        classifiers = authorship.separate(rows, np.zeros(2, np.int32), 1, 1, np.array([[1, 0]]))
        authorship.margins(rows, classifiers, 1)
        authorship.shares(rows, classifiers, 1)
        who = np.arange(2)
        for some in (who, frozen(who)):
            grams = residual.prompt_grams(read, some, np.array([0, 2]), 2)
            sums, panel = residual.accumulate(grams, some < 2)
            spread = residual.Grams(frozen(np.repeat(grams.gram, 2, axis=0))[::2], grams.present)
            residual.accumulate(spread, frozen(some < 2), sums, rows=some > 0)
            old = panel._replace(mean=panel.mean[..., :1], norm=panel.norm[..., :1])
            residual.accumulate(grams, some < 1, sums, joined=(old, 1))
    assert [signatures(kernel) for kernel in kernels] == before


def test_units_come_after_units_of_an_earlier_or_the_same_group() -> None:
    for unit in warm.UNITS.values():
        assert unit.group in warm.GROUPS
        for name in unit.after:
            assert warm.GROUPS.index(warm.UNITS[name].group) <= warm.GROUPS.index(unit.group)
    assert {unit.group for unit in warm.UNITS.values()} == set(warm.GROUPS)
    for call in (warm.compiled, warm.load, warm.compile):
        with pytest.raises(ValueError, match="groups are load, search"):
            call(["nothing"])


# ---- compiling in processes ----


@pytest.fixture
def trivial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and units that take next to no time."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    units = {
        "first": Unit("load", lambda: None, 2),
        "second": Unit("load", lambda: None, 3, ("first",)),
        "third": Unit("search", lambda: None, 1, ("first",)),
        "alone": Unit("load", lambda: None, 9),
    }
    monkeypatch.setattr(warm, "UNITS", units)
    monkeypatch.setattr(warm, "_COMMAND", [sys.executable, "-c", WORKER])
    return tmp_path


WORKER = """
import os, sys
from kinprint.kernels import warm
for name in map(str.strip, sys.stdin):
    if os.environ.get("FAIL") == name:
        sys.exit("no room left")
    open(os.environ["NUMBA_CACHE_DIR"] + "/log", "a").write(f"{name} {os.nice(0)}\\n")
    warm._set_stamp(name)
    print(name, flush=True)
"""


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_units_are_compiled_once_and_in_order(trivial: Path, processes: int) -> None:
    told: list[tuple[int, int, str]] = []
    assert not warm.compiled(["load"])
    warm.compile(["load"], processes=processes, progress=lambda *step: told.append(step), nice=3)
    assert warm.compiled(["load"])
    assert not warm.compiled(["search"])
    log = (trivial / "cache" / "log").read_text().split("\n")[:-1]
    niceness = os.nice(0) + 3
    assert sorted(log) == [f"{name} {niceness}" for name in ("alone", "first", "second")]
    assert log.index(f"first {niceness}") < log.index(f"second {niceness}")
    assert {whole for _, whole, _ in told} == {140}
    done = [part for part, _, _ in told]
    assert done == sorted(done)
    assert done[-1] == 140
    warm.compile(["load"], progress=lambda *step: pytest.fail("there is nothing to do"))
    warm.compile(processes=processes)
    assert warm.compiled()
    assert len((trivial / "cache" / "log").read_text().split("\n")) == 5


def test_a_process_that_fails_says_why(trivial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "first")
    with pytest.raises(RuntimeError, match="compiling first: no room left"):
        warm.compile(processes=2)
    assert not warm.compiled(["load"])
    monkeypatch.setenv("FAIL", "")
    warm.compile(processes=2)
    assert warm.compiled()


def test_what_the_progress_raises_ends_the_work(trivial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_COMMAND", [sys.executable, "-c", "import time; time.sleep(600)"])

    def leave(done: int, whole: int, what: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        warm.compile(processes=2, progress=leave)
    assert not warm.compiled(["load"])


def test_a_stamp_is_of_sources_numba_and_variables(trivial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warm.compile(processes=2)
    with monkeypatch.context() as other:
        other.setattr(warm, "_numba_version", lambda: "0.1")
        assert not warm.compiled()
    with monkeypatch.context() as other:
        other.setattr(warm, "digest_of_all", lambda: "0")
        assert not warm.compiled()
    with monkeypatch.context() as other:
        other.setenv("NUMBA_CPU_NAME", "generic")
        assert not warm.compiled()
    with monkeypatch.context() as other:
        other.setenv("NUMBA_CACHE_DIR", str(trivial / "elsewhere"))
        assert not warm.compiled()
    assert warm.compiled()
    shutil.rmtree(trivial / "cache")
    assert not warm.compiled()


def test_nowhere_to_write(trivial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (trivial / "file").write_text("not a folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(trivial / "file" / "cache"))
    assert not warm.compiled()
    warm.compile()  # in vain, so nothing is begun
    warm._set_stamp("first")


def test_the_version_of_numba_is_read_without_it() -> None:
    import numba

    assert warm._numba_version() == numba.__version__


def test_asking_imports_no_numba() -> None:
    code = "import sys; from kinprint.kernels import warm; warm.compiled(); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.timeout(1500)
def test_a_unit_is_compiled_by_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(warm, "UNITS", {"classifiers": warm.UNITS["classifiers"]._replace(after=())})
    warm.compile(["jobs"])
    assert warm.compiled(["jobs"])
    indexes = {path.name.partition("-")[0] for path in tmp_path.rglob("*.nbi")}
    assert indexes >= {"authorship._separate", "authorship._margins", "authorship._shares"}
    began = time.time()
    warm.compile(["jobs"])
    assert not [path for path in tmp_path.rglob("*.nbc") if path.stat().st_mtime > began]
    assert sources.HERE not in tmp_path.parents
