"""Reports: every section of the document, what it claims and does not, and that it is the same every time."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_rows import content_hashes, embed, submission, write
from kin_answers import arranged, edges_of, fitted, last, members_of, result
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import Submission
from kinprint.server.corpus.view import View
from kinprint.server.failures import ModelNotFound
from kinprint.server.kinship import judge
from kinprint.server.kinship.answers import gather
from kinprint.server.kinship.calibration import MARGIN
from kinprint.server.kinship.dossier import case
from kinprint.server.kinship.dossier import document as report
from kinprint.server.kinship.fit import fit
from kinprint.server.kinship.panel import Panel, prompts_digest, scheme
from lineage_corpus import make_models, make_rows

PROMPTS = 24
#: Twenty families, two of them with a derived pair; and a stranger with its twin.
MEMBERS = [m for m in make_models(20, 2, seed=3) if m.parent is None or int(m.family[6:]) < 2]
SUBJECT, SOURCE = "stranger <b>", 'it\'s "twin" & 名'
STRANGERS = [replace(make_models(1, 1, seed=77)[0], name=name, family="strangers") for name in (SUBJECT, SOURCE)]
SINGLE, OTHER = MEMBERS[5].name, MEMBERS[9].name

COPIED = (
    "Seven amber lighthouses hummed beneath the velvet estuary while nobody counted the brass herons drifting past "
    "the ninth unlit jetty."
)
HOSTILE = (
    "</script><script>alert(1)</script> \x00\x07\x1b[31m \u202egnp.exe\u202c {{ 7 * 7 }} $\\frac{1}{2}$ \ufffe "
    "Z\u0351\u036b\u0343\u036a\u0302 \U0001ffff \U0001f469\u200d\U0001f469\u200d\U0001f467 "
)
KEYS = (
    "format version kinprint subject source corpus statement data background hypotheses distribution controls "
    "families_of_features features spans spans_summary semantic temporal map tree power_curve confounders parameters "
    "digests"
)
DAY = 86_400_000_000
EVERY = Filter()


def submissions() -> list[Submission]:
    rows = []
    for row in make_rows([*MEMBERS, *STRANGERS], PROMPTS):
        prompt = int(row["prompt_id"][1:])
        response, text, created = row["response"], row["prompt"], None
        if row["model"] in (SUBJECT, SOURCE):
            start = 20_000 if row["model"] == SUBJECT else 19_000
            created = (start + prompt) * DAY
            if prompt == 3:
                response = f"{response} {COPIED} {response[:60]}"
            if prompt == 4:
                response, text = HOSTILE + response + HOSTILE, HOSTILE
        rows.append(
            submission(
                response,
                id=row["transcript_id"],
                model=row["model"],
                prompt_id=row["prompt_id"],
                prompt=text,
                created_us=created,
                language="de" if prompt == 5 else "en",
            )
        )
    return rows


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = Corpus.create(tmp_path_factory.mktemp("report") / "lab", "lab", "")
    rows = submissions()
    write(made, rows[:300], ["copy"])
    made.publish()
    write(made, rows[300:], ["copy"])
    hashes = content_hashes(rows, "lab")
    some = [
        (r.id, h, r.response) for r, h in zip(rows, hashes, strict=True) if r.prompt_id in {f"p{k}" for k in range(14)}
    ]
    embed(made, some)
    return made


@pytest.fixture(scope="module")
def background(corpus: Corpus) -> Panel:
    made: Panel = last(fit(corpus.view, members_of(MEMBERS), edges_of(MEMBERS)))
    assert made.gives_p
    return made


@pytest.fixture(scope="module")
def elsewhere() -> Panel:
    """A panel on other prompts."""
    return fitted(arranged(make_rows(MEMBERS, PROMPTS, first=600)), MEMBERS, corpus="other")


def built(
    view: View, subject: str, source: str, made: Panel | None = None, *rest: Any, **options: Any
) -> dict[str, Any]:
    """A report; checks what holds of every one."""
    document = last(report.build(view, subject, source, made, *rest, **options))
    data = document.to_bytes()
    assert data.endswith(b"\n")
    read: dict[str, Any] = json.loads(data, parse_constant=lambda name: pytest.fail(name))
    assert set(read) == set(KEYS.split())
    for number in numbers(read):
        assert math.isfinite(number)
    derived, trained, convergence = read["hypotheses"]
    assert [h["id"] for h in (derived, trained, convergence)] == ["derived", "trained_on", "convergence"]
    assert trained["abstained"]
    assert trained["experimental"]
    assert [trained[k] for k in ("log10_lr", "p_value", "p_holm", "power")] == [None] * 4
    assert not derived["experimental"]
    assert derived["abstained"] == (derived["verdict"] not in ("derived", "kin"))
    if derived["log10_lr"] is not None:
        low, high = derived["log10_lr_range"]
        assert low <= derived["log10_lr"] <= high
    for line in sentences(read):
        assert line
        assert " nan" not in line.lower(), line
        assert "None" not in line
    assert any("trained on outputs" in line for line in read["statement"]["may_not_say"])
    assert read["controls"][0]["score"] is None or read["controls"][0]["score"] == max(
        c["score"] for c in read["controls"] if c["score"] is not None
    )
    assert source in [c["model"] for c in read["controls"]]
    assert len(read["map"]["x"]) == len(read["map"]["y"]) == len(read["map"]["models"])
    assert sorted(read["tree"]["order"]) == list(range(len(read["tree"]["models"])))
    assert {subject, source} <= set(read["map"]["models"])
    return read


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def sentences(read: dict[str, Any]) -> list[str]:
    statement = read["statement"]
    return [
        statement["headline"],
        *statement["may_say"],
        *statement["may_not_say"],
        *(h["text"] for h in read["hypotheses"]),
        read["semantic"]["text"],
        read["temporal"]["text"],
        *(f["plain"] for f in read["features"]),
        *(c["text"] for c in read["confounders"]),
    ]


@pytest.fixture(scope="module")
def full(corpus: Corpus, background: Panel) -> dict[str, Any]:
    """The stranger and its twin, with everything that is known of them."""
    return built(corpus.view, SUBJECT, SOURCE, background)


# ---- the document ----


def test_the_same_input_gives_the_same_bytes(corpus: Corpus, background: Panel, full: dict[str, Any]) -> None:
    one, other = (last(report.build(corpus.view, SUBJECT, SOURCE, background)).to_bytes() for _ in range(2))
    assert one == other
    read = json.loads(one)
    assert one == json.dumps(read, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8") + b"\n"
    assert read == full
    assert str(corpus.folder).encode() not in one


def test_a_panel_that_was_stored_gives_the_same_bytes(corpus: Corpus, background: Panel, full: dict[str, Any]) -> None:
    assert built(corpus.view, SUBJECT, SOURCE, Panel.from_bytes(background.to_bytes())) == full


def test_a_restart_gives_the_same_numbers(corpus: Corpus, background: Panel, full: dict[str, Any]) -> None:
    reopened = built(Corpus.open(corpus.folder).view, SUBJECT, SOURCE, background)
    assert reopened == full


def test_a_report_names_its_format_and_input(full: dict[str, Any], background: Panel) -> None:
    assert (full["format"], full["version"], full["corpus"]) == ("kinprint-evidence", 1, "lab")
    assert (full["subject"], full["source"]) == (SUBJECT, SOURCE)
    assert full["data"]["models"] == len(MEMBERS) + 2
    assert full["data"]["prompts_shared"] == full["data"]["answers_subject"] == PROMPTS
    assert full["data"]["languages"] == {"de": 2, "en": 2 * PROMPTS - 2}
    assert full["parameters"]["named_pairs"] == [[SUBJECT, SOURCE]]
    assert full["parameters"]["margin"] == MARGIN
    assert full["digests"]["panel"] == background.digest


def test_digests_are_of_what_was_compared(corpus: Corpus, full: dict[str, Any]) -> None:
    view = corpus.view
    answers, places = gather(view)
    model = answers.models.index(SUBJECT)
    digest = hashlib.sha256()
    for k in np.flatnonzero(answers.model == model):
        number, row = places[answers.place[k]]
        digest.update(view.parts[number].segment.array("content_hash")[row].as_py())
    assert full["digests"]["answers_subject"] == digest.hexdigest()
    assert full["digests"]["answers_subject"] != full["digests"]["answers_source"]
    assert full["digests"]["prompts"] == prompts_digest(answers.prompts)


# ---- hypotheses ----


def test_a_twin_is_said_to_be_one(full: dict[str, Any], background: Panel) -> None:
    derived, trained, convergence = full["hypotheses"]
    assert derived["verdict"] == "derived"
    assert derived["p_value"] == derived["p_holm"] == pytest.approx(derived["p_floor"])
    assert derived["p_floor"] == pytest.approx(1 / (1 + background.sizes[-1].null_count), abs=1e-6)
    assert (derived["families"], derived["prompts"]) == (20, PROMPTS)
    assert derived["log10_lr"] > 0
    assert 0 <= derived["power"] <= 1
    assert convergence["verdict"] == "unlikely"
    assert "derived models do" in full["statement"]["headline"]
    assert any("proves derivation" in line for line in full["statement"]["may_not_say"])
    assert full["controls"][0]["model"] == SOURCE
    assert full["controls"][0]["why"] == "the source"
    assert {c["why"] for c in full["controls"][1:]} == {"member of the background"}
    assert len(full["controls"]) == case.CONTROLS
    assert f"{SOURCE} is number 1" in trained["text"]
    assert full["background"]["reach"] == "here"
    assert full["distribution"]["score"] == derived["score"] > full["distribution"]["threshold"]


def test_strangers_are_not_accused(corpus: Corpus, background: Panel) -> None:
    read = built(corpus.view, SUBJECT, OTHER, background)
    derived, _, convergence = read["hypotheses"]
    assert derived["verdict"] == "unresolved"
    assert derived["p_value"] > 0.01
    assert convergence["verdict"] == "not excluded"
    assert "does not settle" in read["statement"]["headline"]
    assert any("neither show nor rule out" in line for line in read["statement"]["may_say"])
    assert any("That the two are unrelated" in line for line in read["statement"]["may_not_say"])
    assert not any(COPIED[:40] in s["text"] for s in read["spans"])


def test_without_a_panel_the_statement_abstains(corpus: Corpus) -> None:
    read = built(corpus.view, SUBJECT, SOURCE)
    derived, _, convergence = read["hypotheses"]
    assert "No claim" in read["statement"]["headline"]
    assert derived["verdict"] == "no_background"
    assert all(h["abstained"] for h in read["hypotheses"])
    assert [derived[k] for k in ("log10_lr", "log10_lr_range", "p_value", "p_floor", "p_holm", "power")] == [None] * 6
    assert convergence["verdict"] == "not assessed"
    assert (read["background"], read["distribution"], read["power_curve"]) == (None, None, [])
    assert read["map"]["family"] is None
    assert read["digests"]["panel"] is None
    assert any("likelihood, probability or verdict" in line for line in read["statement"]["may_not_say"])


def test_a_panel_from_elsewhere_gives_no_p_value(corpus: Corpus, elsewhere: Panel) -> None:
    read = built(corpus.view, SUBJECT, SOURCE, elsewhere)
    derived = read["hypotheses"][0]
    assert read["background"]["reach"] == "elsewhere"
    assert derived["p_value"] is derived["p_holm"] is derived["families"] is None
    size = elsewhere.sizes[-1]
    assert derived["log10_lr_range"][1] == pytest.approx(size.log10_lr_max * judge.ELSEWHERE_RANGE, abs=1e-6)
    assert "Other prompts than the background's" in [c["name"] for c in read["confounders"]]
    assert "not known" in derived["power_text"]


def test_holms_correction_over_all_pairs_named_beforehand(corpus: Corpus, background: Panel) -> None:
    also = [(SUBJECT, OTHER), (SINGLE, OTHER), (SUBJECT, SOURCE)]
    read = built(corpus.view, SUBJECT, SOURCE, background, also=also)
    derived = read["hypotheses"][0]
    assert derived["p_value"] == pytest.approx(derived["p_floor"])
    assert derived["p_holm"] == pytest.approx(3 * derived["p_value"], abs=2e-6), "named twice is one pair"
    assert read["parameters"]["named_pairs"] == [[SUBJECT, SOURCE], *(list(p) for p in also)]
    other = built(corpus.view, SUBJECT, OTHER, background, also=[(SUBJECT, SOURCE)])["hypotheses"][0]
    assert other["p_holm"] == pytest.approx(max(other["p_value"], 2 * derived["p_value"]), abs=2e-6)
    mirrored = built(corpus.view, SUBJECT, SOURCE, background, also=[(SOURCE, SUBJECT)])["hypotheses"][0]
    assert mirrored["p_holm"] == pytest.approx(derived["p_value"]), "a pair has no order"


def test_kin_of_the_panel_are_named_in_the_controls(corpus: Corpus, background: Panel) -> None:
    child = next(m for m in MEMBERS if m.parent)
    read = built(corpus.view, child.name, SUBJECT, background)
    why = {c["model"]: c["why"] for c in read["controls"]}
    assert child.parent is not None
    assert why[child.parent] == "listed in the subject's family"
    assert why[SUBJECT] == "the source"
    assert why.get(SOURCE, "other model of this corpus") == "other model of this corpus"


def test_distributions_are_shares(full: dict[str, Any], background: Panel) -> None:
    for name in ("null", "derived"):
        histogram = full["distribution"][name]
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
        assert sum(histogram["counts"]) == pytest.approx(1.0, abs=1e-4)
    edges = full["distribution"]["null"]["edges"]
    assert edges[0] <= full["distribution"]["score"] <= edges[-1]
    assert [p["prompts"] for p in full["power_curve"]] == [c.prompts for c in background.sizes]


# ---- what it looks like ----


def test_a_copied_sentence_is_shown_with_its_bits(full: dict[str, Any]) -> None:
    spans = [s for s in full["spans"] if COPIED[:-1] in s["text"]]
    (span,) = spans
    assert span["bits"] > 10
    assert span["tokens"] >= 20
    assert (span["subject_id"], span["source_id"]) == (f"{SUBJECT}/3/0", f"{SOURCE}/3/0")
    assert span["prompt"] == "Tell me about number 3."
    for side in ("subject_context", "source_context"):
        assert COPIED[:-1] in span[side]["span"]
        assert span[side]["before"]
    assert span["models_with"] <= span["models"]
    summary = full["spans_summary"]
    assert summary["pairs_compared"] == PROMPTS**2
    assert summary["spans"] >= 1
    assert any("word for word" in line for line in full["statement"]["may_say"])


def test_hostile_texts_survive(full: dict[str, Any]) -> None:
    data = json.dumps(full, ensure_ascii=False)
    assert "alert(1)" in data
    spans = [s for s in full["spans"] if "alert(1)" in s["text"]]
    for span in spans:
        assert HOSTILE.startswith(span["prompt"][: len(HOSTILE)])
    assert full["subject"] == SUBJECT


def test_features_of_a_pair(full: dict[str, Any]) -> None:
    assert full["features"]
    for feature in full["features"]:
        assert feature["kind"] in ("opening", "phrase", "word", "punctuation")
        assert 3 <= feature["subject_prompts"] <= PROMPTS
        assert feature["subject_rate"] == pytest.approx(feature["subject_prompts"] / PROMPTS, abs=1e-5)
        assert feature["source_rate"] > feature["background_rate"]
        assert all(set(e) == {"prompt", "subject", "source"} for e in feature["examples"])
    assert [f["name"] for f in full["families_of_features"]] == list(scheme()["families"])
    assert max(f["score"] for f in full["families_of_features"]) > 2


def test_direction_in_time(corpus: Corpus, background: Panel, full: dict[str, Any]) -> None:
    temporal = full["temporal"]
    assert temporal["available"]
    assert "the source could have been used" in temporal["text"]
    first = datetime.fromtimestamp(20_000 * 86_400, UTC).isoformat(timespec="seconds")
    assert temporal["subject_first"] == full["data"]["dates"]["subject"]["first"] == first
    assert temporal["source_first"] < temporal["subject_first"]
    other = built(corpus.view, SOURCE, SUBJECT, background)["temporal"]
    assert "cannot have been used" in other["text"]
    none = built(corpus.view, SUBJECT, OTHER, background)["temporal"]
    assert not none["available"]
    assert (none["subject_first"], none["source_first"]) == (first, None)


def test_dates_that_overlap_give_no_direction(tmp_path: Path) -> None:
    made = Corpus.create(tmp_path / "c", "c", "")
    rows = [
        submission(
            row["response"], model=row["model"], prompt_id=row["prompt_id"], created_us=int(row["prompt_id"][1:]) * DAY
        )
        for row in make_rows(MEMBERS[:3], 6)
    ]
    write(made, rows, [])
    temporal = built(made.view, MEMBERS[0].name, MEMBERS[1].name)["temporal"]
    assert temporal["available"]
    assert "overlap" in temporal["text"]


def test_the_meaning_of_answers(full: dict[str, Any], corpus: Corpus) -> None:
    semantic = full["semantic"]
    assert semantic["available"]
    assert semantic["pairs"] == 14
    assert all(-1 <= semantic[k] <= 1 for k in ("mean", "background_mean"))
    assert semantic["background_sd"] > 0
    few = built(corpus.view, SUBJECT, SOURCE, None, Filter(models=frozenset({SUBJECT, SOURCE})))["semantic"]
    assert not few["available"]
    assert few["mean"] is None


def test_the_map_is_of_the_nearest_models(full: dict[str, Any], background: Panel) -> None:
    names = full["map"]["models"]
    assert names == sorted(names)
    assert len(names) == len(MEMBERS) + 2
    families = {m.model: m.family for m in background.members}
    assert full["map"]["family"] == [families.get(n) for n in names]
    place = {n: np.array([x, y]) for n, x, y in zip(names, full["map"]["x"], full["map"]["y"], strict=True)}
    apart = np.linalg.norm(place[SUBJECT] - place[SOURCE])
    assert apart < np.median([np.linalg.norm(place[SUBJECT] - place[n]) for n in names if n != SUBJECT])


# ---- the edges ----


def test_subject_and_source_have_to_be_there(corpus: Corpus) -> None:
    for subject, source, also in (
        ("nobody", SOURCE, ()),
        (SUBJECT, "nobody", ()),
        (SUBJECT, SOURCE, (("x", SUBJECT),)),
    ):
        with pytest.raises(ModelNotFound, match="lab") as caught:
            last(report.build(corpus.view, subject, source, None, also=also))
        assert caught.value.reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_cancelled_report_is_none(corpus: Corpus, background: Panel, after: int) -> None:
    asked = iter(range(10**6))
    run = report.build(corpus.view, SUBJECT, SOURCE, background, cancelled=lambda: next(asked) >= after)
    assert result(run) == []


def test_a_report_under_a_filter(corpus: Corpus, background: Panel) -> None:
    english = built(corpus.view, SUBJECT, SOURCE, background, Filter(languages=frozenset({"en"})))
    assert english["data"]["prompts_shared"] == PROMPTS - 1
    assert english["data"]["languages"] == {"en": 2 * PROMPTS - 2}
    assert english["parameters"]["filter"]["languages"] == ["en"]


@pytest.mark.parametrize("models", [2, 3, 6])
@pytest.mark.parametrize("prompts", [1, 3, 12])
def test_small_corpora(tmp_path: Path, models: int, prompts: int, background: Panel) -> None:
    made = Corpus.create(tmp_path / "c", "c", "")
    rows = [
        submission(row["response"], model=row["model"], prompt_id=row["prompt_id"])
        for row in make_rows(MEMBERS[:models], prompts)
    ]
    write(made, rows, [])
    for some in (None, background):
        read = built(made.view, MEMBERS[0].name, MEMBERS[1].name, some)
        assert read["hypotheses"][0]["verdict"] == "no_background"
        assert read["data"]["prompts_shared"] == prompts
        if models == 2:
            assert read["features"] == []


def corpus_of(folder: Path, rows: Sequence[dict[str, str]]) -> View:
    made = Corpus.create(folder, "c", "")
    write(
        made,
        [
            submission(row["response"], id=row["transcript_id"], model=row["model"], prompt_id=row["prompt_id"])
            for row in rows
        ],
        [],
    )
    return made.view


def test_a_pair_without_a_score(tmp_path: Path) -> None:
    """Both answered only each other's prompts, or no common ones."""
    lone = [replace(STRANGERS[0], name=name) for name in ("lone", "lost", "late")]
    rows = make_rows(MEMBERS, PROMPTS) + make_rows(lone[:2], 15, first=500) + make_rows(lone[2:], 15, first=600)
    view = corpus_of(tmp_path / "c", rows)
    made = last(fit(view, members_of(MEMBERS), edges_of(MEMBERS)))
    for source, shared in (("lost", 15), ("late", 0), (MEMBERS[0].name, 0)):
        for some in (made, None):
            read = built(view, "lone", source, some)
            derived, trained, convergence = read["hypotheses"]
            if some is None and shared:
                continue  # with everybody as cohort each is the other's only measure
            assert derived["score"] is None
            assert derived["abstained"]
            assert convergence["abstained"]
            assert read["distribution"] is None
            assert "number" not in trained["text"], "no rank without a score"
            assert read["data"]["prompts_shared"] == shared


def test_a_pair_with_few_common_prompts_says_so(tmp_path: Path) -> None:
    rows = make_rows(MEMBERS, 12) + make_rows(STRANGERS, 7)
    view = corpus_of(tmp_path / "c", rows)
    made = last(fit(view, members_of(MEMBERS), edges_of(MEMBERS)))
    least = made.sizes[0].prompts
    read = built(view, SUBJECT, SOURCE, made)
    derived = read["hypotheses"][0]
    assert derived["verdict"] == "unresolved"
    assert derived["log10_lr"] is None
    assert "share 7 prompts" in derived["text"]
    assert f"below {least}" in derived["text"]


def test_a_pair_without_common_prompts_is_compared_through_the_panel(tmp_path: Path) -> None:
    rows = make_rows(MEMBERS, PROMPTS) + make_rows(STRANGERS[:1], 12) + make_rows(STRANGERS[1:], 12, first=12)
    view = corpus_of(tmp_path / "c", rows)
    made = last(fit(view, members_of(MEMBERS), edges_of(MEMBERS)))
    read = built(view, SUBJECT, SOURCE, made)
    derived = read["hypotheses"][0]
    assert (read["parameters"]["basis"], derived["prompts"]) == ("bridged", 0)
    assert derived["score"] is not None
    assert "pairs without common prompts" in derived["power_text"]
    assert read["features"] == []
    topic = next(c for c in read["confounders"] if c["name"] == "Topic")
    assert not topic["excluded"]
