"""Evidence reports and family trees as pages: safe, deterministic, whole, whatever is missing."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.report import NotAReport, render, render_lineage
from kinprint.report.excerpts import end_of, marked, middle_out, start_of
from kinprint.report.numbers import MISSING, decimal, flat, p_value, percent, times, whole
from kinprint.report.pages import css_string
from kinprint.report.sanitise import cleaned, code_points, columns, legible, shortened
from kinprint.report.tree import grow
from kinprint.report.verbal import EVEN, SCALE, support, table
from page_checks import checked
from report_samples import HOSTILE, evidence, hostile, lineage, replaced

TESTS = Path(__file__).parents[1]
SMALL = evidence(5)
PLAIN = {**SMALL, "map": None, "tree": None, "controls": []}
"""Without most of the plots, which take nearly all of the time."""

DIGESTS = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from report_samples import evidence, hostile, lineage
from kinprint.report import render, render_lineage
for page in (render(evidence()), render(hostile()), render_lineage(lineage(30, missing=0.2))):
    print(hashlib.sha256(page).hexdigest())
assert not [name for name in sys.modules if name.startswith(("kinprint.server", "matplotlib.pyplot"))]
"""


def _digests(seed: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", DIGESTS, str(TESTS)],
        env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "UTC" if seed == "1" else "Asia/Kathmandu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout.split()


def test_two_processes_give_the_same_bytes() -> None:
    first = _digests("1")
    assert len(first) == 3
    assert first == _digests("2")


def test_order_of_keys_and_rendering_again_change_nothing() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    report = copy.deepcopy(SMALL)
    page = render(report)
    assert report == SMALL
    assert render(turned(report)) == page


def test_matplotlib_settings_of_the_caller_do_not_matter() -> None:
    import matplotlib

    page = render(SMALL)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red", "text.usetex": True}):
        assert render(SMALL) == page
        assert matplotlib.rcParams["font.size"] == 30


def test_a_whole_report_says_everything() -> None:
    page = checked(render(evidence()))
    words = page.words
    for title in ("1. In short", "2. Three questions", "7. Passages", "11. Method", "Glossary", "References"):
        assert title in words
    assert page.tags["svg"] == 5
    assert "about 560 times more probable" in words
    assert "edge of what was validated" in words
    assert "moderately strong support" in words
    assert "14 independent families" in words
    assert "experimental: a lead, not evidence" in words
    assert "abstained: no statement made" in words
    assert "The source is the model most like the subject: first of the 20 models shown" in words
    assert "U+202F NARROW NO-BREAK SPACE" in words
    assert "None of 22 answers by other models holds it." in words
    assert "1 of 22 answers by other models holds it too." in words
    assert page.tags["mark"] >= 12


def test_families_are_called_independent_only_where_they_are() -> None:
    report = copy.deepcopy(SMALL)
    report["hypotheses"][0]["families"] = 53
    assert "53 families, 14 independent" in checked(render(report)).words
    report["background"]["independent_families"] = None
    assert "53 families, number of independent ones not stated" in checked(render(report)).words


def test_a_p_value_says_where_it_stands_to_the_least_there_can_be() -> None:
    def remark(p: float, floor: float | None) -> str:
        report = copy.deepcopy(PLAIN)
        report["hypotheses"][0].update(p_value=p, p_floor=floor)
        return checked(render(report)).words

    least, told, unknown = (
        "the smallest that this background can give",
        "smallest that this background can give: 0.01",
        "the smallest possible value is not stated",
    )
    others = remark(0.02, 0.01).count(least)  # of the other questions
    assert told in remark(0.02, 0.01)
    for p in (0.01, 0.01 * (1 + 1e-12)):  # as it comes out of a division
        words = remark(p, 0.01)
        assert told not in words
        assert words.count(least) == others + 1
    assert told in remark(0.0101, 0.01)
    assert unknown in remark(0.02, None)
    assert unknown not in remark(0.02, 0.01)


def test_no_verbal_level_where_the_method_abstains() -> None:
    report = copy.deepcopy(SMALL)
    report["hypotheses"][0].update(abstained=True, verdict="unresolved")
    words = checked(render(report)).words
    assert "2.75 for completeness only: no statement is made" in words
    assert "On ENFSI’s verbal scale" not in words
    assert "times more probable if the subject" not in words


def test_rarity_of_a_passage_needs_other_models() -> None:
    report = copy.deepcopy(SMALL)
    report["spans"][0].update(models_with=0, models=0)
    words = checked(render(report)).words
    assert "16 words. No answers by other models were searched" in words


def test_histograms_may_hold_shares() -> None:
    report = copy.deepcopy(SMALL)
    for key in ("null", "kin", "derived"):
        counts = report["distribution"][key]["counts"]
        report["distribution"][key]["counts"] = [count / sum(counts) for count in counts]
    words = checked(render(report)).words
    assert "Unrelated models, 1,128 pairs: scores between" in words
    assert "Unrelated models 1,128 −2.50" in words
    report["background"]["kin_pairs"] = None
    assert "Related models not available" in checked(render(report)).words


def test_a_source_that_does_not_stand_out_is_said_so() -> None:
    report = copy.deepcopy(SMALL)
    report["controls"][1]["score"] = 9.0
    assert "The source is not the model most like the subject: 1 of the 4 models shown scores higher." in (
        checked(render(report)).words
    )


def test_the_source_is_among_the_controls_even_where_the_report_lists_only_others() -> None:
    report = copy.deepcopy(SMALL)
    report["controls"] = [row for row in report["controls"] if row["model"] != report["source"]]
    assert "aurora-7b (source) 3.41 2.75" in checked(render(report)).words


@pytest.mark.parametrize("seed", range(4))
def test_hostile_text_is_text(seed: int) -> None:
    page = checked(render(hostile(seed)))
    words = page.words
    for text in ("<script>alert(1)</script>", "[U+202E]gnp.exe[U+202C]", "NUL ␀ bell ␇ escape ␛[31m", "[U+D800]"):
        assert text in words
    assert "{{ 7 * 7 }} {% raw %}" in words
    assert "النموذج يجيب عن السؤال" in words
    assert "qz0000zq &amp; &#x3C;script&#x3E;" in words


def test_hostile_names_in_a_family_tree() -> None:
    data = lineage(len(HOSTILE))
    data["models"] = list(HOSTILE)
    data["cautions"] = list(HOSTILE)
    data["corpus"] = HOSTILE[1]
    data["newick"] = HOSTILE[2] * 50
    assert "</style><img src=x onerror=alert(1)>" in checked(render_lineage(data)).words


@pytest.mark.parametrize("key", sorted(SMALL))
def test_any_part_may_be_missing(key: str) -> None:
    kind = SMALL[key]
    nothing = replaced(kind, lambda leaf: None)
    variants = [None, nothing] + ([type(kind)()] if isinstance(kind, dict | list) else [])
    for at, variant in enumerate(variants):
        if key in ("format", "version") and at:
            continue
        report = {**PLAIN, key: variant}
        if key in ("format", "version"):
            del report[key]
        words = checked(render(report)).words
        assert not re.search(r"\bNone\b(?! (of \d|is given))", words)
        assert "nan" not in words.split()


def test_a_report_of_nothing() -> None:
    words = checked(render({})).words
    assert "There is no background" in words
    assert "The report tests no hypothesis" in words
    empty = replaced(SMALL, lambda leaf: None)
    assert "There is no background" not in checked(render({**empty, "format": SMALL["format"], "version": 1})).words


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "text", True, [], {}])
def test_a_value_of_another_kind_is_missing(value: Any) -> None:
    swapped = replaced(PLAIN, lambda leaf: value if isinstance(leaf, float) else leaf)
    words = checked(render(swapped)).words
    assert MISSING in words


def test_missing_figures_are_never_zero() -> None:
    report = copy.deepcopy(SMALL)
    report["background"] = None
    for row in report["hypotheses"]:
        row.update(
            score=None, log10_lr=None, log10_lr_range=None, p_value=None, p_floor=None, p_holm=None, families=None
        )
    words = checked(render(report)).words
    assert "Likelihood ratio, log10 not available there is no background to compare with" in words
    assert "p-value not available there is no background to compare with" in words


def test_a_ratio_outside_the_validated_range_is_brought_back() -> None:
    report = copy.deepcopy(SMALL)
    report["hypotheses"][0].update(log10_lr=9.0, log10_lr_range=[-1.0, 1.5])
    words = checked(render(report)).words
    assert "about 32 times more probable" in words
    assert "this is moderate support" in words
    assert "9.00" not in words


@pytest.mark.parametrize("count", [2, 3, 12, 13, 42, 43, 150])
def test_trees_of_any_size(count: int) -> None:
    data = lineage(count, missing=0.1 if count > 3 else 0)
    page = render_lineage(data)
    reader = checked(page)
    assert reader.tags["svg"] == -(-count // 42) + 1
    names = {
        text.text
        for plot in page.decode().split("<svg")[1:-1]
        for text in ElementTree.fromstring("<svg" + plot.split("</svg>")[0] + "</svg>").iter(
            "{http://www.w3.org/2000/svg}text"
        )
    }
    assert set(data["models"]) <= names


@pytest.mark.parametrize("count", [2, 150])
def test_reports_of_any_size(count: int) -> None:
    page = checked(render(evidence(count)))
    assert page.tags["svg"] == (5 if count == 2 else 8)


def test_a_family_tree_without_scores_or_merges() -> None:
    for change in (
        {"merges": None},
        {"scores": None},
        {"order": None},
        {"newick": None},
        {"cautions": None},
        {"corpus": None},
    ):
        checked(render_lineage({**lineage(6), **change}))
    nothing = lineage(3)
    nothing["scores"] = [[None] * 3] * 3
    words = checked(render_lineage(nothing)).words
    assert "no two models share enough prompts" in words
    assert "There is no tree" in checked(render_lineage({})).words
    assert (
        "There is no tree"
        in checked(render_lineage({"models": ["one"], "scores": [[1.0]], "merges": [], "order": [0]})).words
    )


def test_other_formats_are_refused() -> None:
    with pytest.raises(NotAReport, match="kinprint-panel"):
        render({"format": "kinprint-panel"})
    with pytest.raises(NotAReport, match="version 2"):
        render({"format": "kinprint-evidence", "version": 2})
    with pytest.raises(NotAReport):
        render_lineage({"format": "kinprint-evidence"})


@given(st.text(st.characters()))
def test_legible_text_is_legal_everywhere(text: str) -> None:
    shown = legible(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert legible(shown) == shown
    escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert ElementTree.fromstring(f"<a>{escaped}</a>").text == (shown or None)


@given(st.text(st.characters(), max_size=200))
def test_css_strings_cannot_be_left(text: str) -> None:
    inside = css_string(legible(text))
    assert inside[0] == inside[-1] == '"'
    assert not set(inside[1:-1]) & set("\"'<>{};/*()\n ")


@given(st.text(max_size=80), st.integers(3, 40))
def test_shortened_text_fits(text: str, limit: int) -> None:
    assert columns(shortened(text, limit)) <= limit


def test_what_is_shown_of_text() -> None:
    assert legible("a\r\nb\tc\x1b") == "a\nb\tc␛"
    assert cleaned({1: [float("nan"), 2, True, None, (1.5, "\x00")]}) == {"1": [None, 2, True, None, [1.5, "␀"]]}
    assert shortened("a" * 50, 9) == "aaaa…aaaa"
    assert shortened("模型" * 10, 9) == "模型…模型"
    assert code_points("—\u200b") == "U+2014 EM DASH, U+200B ZERO WIDTH SPACE"
    assert code_points("abcdef").endswith("and 2 more")
    assert start_of("नमस्ते", 3) == "नमस्ते"[:4] + " …"
    assert end_of("abc def", 3) == "… def"
    assert middle_out("a" * 300, 90).count("a") == 92
    assert flat({"b": {"d": 1, "c": [2, "é"]}, "a": None}) == [("a", "none"), ("b.c", '[2, "é"]'), ("b.d", "1")]


def test_shared_parts_are_marked() -> None:
    assert marked("As AN  AI, an aide", "an ai", "phrase") == [("As ", False), ("AN  AI", True), (", an aide", False)]
    assert marked("nothing", "absent", "word") == [("nothing", False)]
    assert marked("text", "", "word") == [("text", False)]
    assert [piece for piece, shared in marked("a — b — c", "—", "punctuation") if shared] == ["—", "—"]
    far = marked("x " * 2_000 + "here it is" + " y" * 2_000, "here it is", "phrase")
    assert ("here it is", True) in far
    assert sum(len(piece) for piece, _ in far) < 500
    assert marked("押金应当退还", "应当", "phrase") == [("押金", False), ("应当", True), ("退还", False)]
    assert marked("Well. Great question! Let’s go", "great question let's", "opening")[1] == (
        "Great question! Let’s",
        True,
    )
    assert marked("是的，模型 好", "的模型好", "phrase")[1] == ("的，模型 好", True)
    assert marked("a\n- b\n  - c", "line: list items (-)", "punctuation")[1::2] == [("-", True), ("  -", True)]
    assert marked("1. a\n2) b", "line: numbered items", "punctuation")[0] == ("1.", True)
    assert marked("so so", "so", "opening") == [("so", True), (" so", False)]
    assert marked("thermal", "the", "word") == [("thermal", False)]
    assert marked("a\u3000b", "\u3000", "word") == [("a", False), ("\u3000", True), ("b", False)]


def test_figures_in_words() -> None:
    assert decimal(None) == whole(float("nan") if False else None) == percent("x") == p_value(None) == MISSING
    assert decimal(-1234.567) == "−1,234.57"
    assert decimal(0.0001) == "1.0e−04"
    assert percent(0.00004) == "under 0.1 %"
    assert percent(0.0) == "0 %"
    assert percent(0.9999) == "over 99.9 %"
    assert p_value(0.00002) == "2.0e−5"
    assert [times(value) for value in (0.5, 2.75, 3.0, 6.0)] == ["3.2", "560", "1,000", "1,000,000"]


def test_the_verbal_scale() -> None:
    def words(log10: float, validated: tuple[float, float] | None = (-7.0, 7.0)) -> str:
        return support(log10, validated, "if so", "if not").words

    for bound, level in SCALE:
        assert words(bound) == level
        assert words(-bound) == f"{level} for the opposite"
        assert words(bound - 1e-6) != level
    assert words(0.0) == words(0.3) == words(-0.3) == EVEN
    assert words(5.0, None) == ""
    capped = support(5.0, (-2.0, 1.2), "if so", "if not")
    assert (capped.log10, capped.words, capped.at_edge) == (1.2, "moderate support", True)
    assert "16 times more probable if so than if not" in capped.sentence
    assert len(table()) == len(SCALE) + 1


def test_trees_from_merges() -> None:
    merges = [[0, 1, 1.0, 2], [3, 2, 2.0, 3]]
    tree = grow(3, merges, [2, 0, 1])
    assert tree is not None
    assert tree.order == (2, 0, 1)
    assert tree.branches[1].lower == (0.0, 0.0)
    assert tree.branches[1].upper == (1.5, 1.0)
    replaced_order = grow(3, merges, [0, 0, 1])
    assert replaced_order is not None
    assert replaced_order.order == (0, 1, 2)
    last = [3, 2, 2.0, 3]
    first_rows = ([0, 0, 1.0, 2], [0, 1, None, 2], [0, 4, 1.0, 2], "ab", [0, 1], [-1, 1, 1.0, 2])
    for damaged in (None, [], [merges[0]], [merges[0], [0, 2, 2.0, 3]], *([first, last] for first in first_rows)):
        assert grow(3, damaged, [0, 1, 2]) is None


def test_a_tree_may_join_at_heights_below_zero() -> None:
    data = lineage(5)
    data["merges"] = [[left, right, height - 9.0, size] for left, right, height, size in data["merges"]]
    checked(render_lineage(data))
    data["merges"] = [[left, right, 0.0, size] for left, right, _, size in data["merges"]]
    data["scores"] = np.ones((5, 5)).tolist()
    checked(render_lineage(data))
