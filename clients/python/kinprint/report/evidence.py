"""An evidence report as a page."""

from __future__ import annotations

from typing import Any

from kinprint.report import excerpts, model_plots, numbers, plots, verbal
from kinprint.report.hypotheses import hypotheses
from kinprint.report.pages import page
from kinprint.report.parts import check_format, figures, number, part, rows, words
from kinprint.report.references import GLOSSARY, REFERENCES
from kinprint.report.sanitise import cleaned, code_points, shortened
from kinprint.report.tree import grow
from markupsafe import Markup

FORMAT = "kinprint-evidence"
VERSION = 1

FEATURES = 20
EXAMPLES = 2
SPANS = 20
"""How many a page shows; the report itself holds all."""

_KINDS = {
    "opening": "Opening",
    "phrase": "Phrase",
    "word": "Word",
    "punctuation": "Punctuation",
    "character": "Character",
}


def render(report: dict[str, Any]) -> bytes:
    """The report as one self-contained HTML file, UTF-8, for the screen and for print.

    Args:
        report: an evidence report as read from its JSON. Any part may be null, empty or missing; the page then says
            that it is not there, and why.

    Returns:
        HTML; equal reports give equal bytes.

    Raises:
        NotAReport: the data says that it is something else, or a report of a newer version.
    """
    data: dict[str, Any] = cleaned(report)
    check_format(data, FORMAT, VERSION)
    subject, source = str(data.get("subject") or "unnamed subject"), str(data.get("source") or "unnamed source")
    background = part(data, "background")
    distribution = part(data, "distribution")
    questions = hypotheses(rows(data, "hypotheses"), background)
    derived = next((question for question in questions if question.id == "derived"), None)
    controls = _controls(data, subject, source, number(distribution.get("score")))
    prompts = number(part(data, "data").get("prompts_shared"))
    features, spans = rows(data, "features"), rows(data, "spans")
    return page(
        "evidence.html",
        report=data,
        subject=subject,
        source=source,
        corpus=data.get("corpus"),
        background=background,
        headline=part(data, "statement").get("headline"),
        may_say=words(part(data, "statement"), "may_say"),
        may_not_say=words(part(data, "statement"), "may_not_say"),
        data=part(data, "data"),
        dates=part(part(data, "data"), "dates"),
        languages=_counted(part(part(data, "data"), "languages")),
        left_out=_counted(part(part(data, "data"), "left_out")),
        questions=questions,
        distribution=distribution,
        distribution_groups=plots.groups(distribution, background),
        distribution_plot=plots.distribution(distribution, background),
        controls=controls,
        controls_place=_place(controls, source),
        controls_plot=plots.controls(controls, source, number(distribution.get("threshold"))),
        map=_map(part(data, "map"), subject, source),
        tree=_tree(part(data, "tree"), subject, source),
        feature_families=rows(data, "families_of_features"),
        features=[_feature(row) for row in features[:FEATURES]],
        features_more=max(0, len(features) - FEATURES),
        spans=[_span(row) for row in spans[:SPANS]],
        spans_more=max(0, len(spans) - SPANS),
        spans_summary=part(data, "spans_summary"),
        semantic=part(data, "semantic"),
        temporal=part(data, "temporal"),
        power=sorted(rows(data, "power_curve"), key=lambda row: number(row.get("prompts")) or 0.0),
        power_plot=plots.power(
            rows(data, "power_curve"), derived.prompts if derived and derived.prompts is not None else prompts
        ),
        confounders=sorted(rows(data, "confounders"), key=lambda row: row.get("excluded") is True),
        carries_over=words(background, "carries_over"),
        does_not=words(background, "does_not"),
        cautions=words(background, "cautions"),
        parameters=numbers.flat(part(data, "parameters")),
        digests=numbers.flat(part(data, "digests")),
        provenance=_provenance(part(data, "provenance")),
        scale=verbal.table(),
        glossary=GLOSSARY,
        references=REFERENCES,
    )


def _provenance(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what the report was made with and from; each corpus by its name."""
    plain = {key: value for key, value in told.items() if key != "corpora" and value not in (None, "")}
    for state in rows(told, "corpora"):
        name = str(state.get("corpus") or "unnamed")
        plain[f"corpus {name}"] = {key: value for key, value in state.items() if key != "corpus" and value != ""}
    return numbers.flat(plain)


def _counted(counts: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names with their counts, the most first; those of zero left out."""
    return sorted(
        ((name, count) for name, count in counts.items() if number(count)),
        key=lambda item: (-(number(item[1]) or 0.0), item[0]),
    )


def _controls(data: dict[str, Any], subject: str, source: str, score: float | None) -> list[dict[str, Any]]:
    """The other models, the best first, and the source among them even where the report lists only the others."""
    found = [row for row in plots.same_scale(data) if row.get("model") != subject]
    if found and score is not None and all(row.get("model") != source for row in found):
        mine = {"model": source, "score": score, "log10_lr": None, "why": "the pair of this report"}
        for row in rows(data, "hypotheses"):
            if row.get("id") == "derived":
                mine["log10_lr"] = row.get("log10_lr")
        found = plots.same_scale({"controls": [*found, mine]})
    return found


def _place(controls: list[dict[str, Any]], source: str) -> str:
    """Where the source stands among the controls, in a sentence."""
    scored = [row for row in controls if number(row.get("score")) is not None]
    at = next((place for place, row in enumerate(scored) if row.get("model") == source), None)
    if at is None or len(scored) < 2:
        return ""
    mine = number(scored[at]["score"]) or 0.0
    if at == 0:
        gap = mine - (number(scored[1]["score"]) or 0.0)
        return (
            f"The source is the model most like the subject: first of the {len(scored)} models shown, "
            f"{numbers.decimal(gap)} above the next."
        )
    return (
        f"The source is not the model most like the subject: {at} of the {len(scored)} models shown "
        f"{'scores' if at == 1 else 'score'} higher."
    )


def _map(data: dict[str, Any], subject: str, source: str) -> dict[str, Any]:
    families = data.get("family")
    drawn = model_plots.similarity_map(
        words(data, "models"), figures(data, "x"), figures(data, "y"),
        [None if item is None else str(item) for item in families] if isinstance(families, list) else None,
        subject, source,
    )  # fmt: skip
    if drawn is None:
        return {}
    plot, points, named = drawn
    return {"plot": plot, "points": points, "named": named, "families": isinstance(families, list)}


def _tree(data: dict[str, Any], subject: str, source: str) -> list[Markup]:
    models = words(data, "models")
    tree = grow(len(models), data.get("merges"), data.get("order"))
    return model_plots.family_tree(models, tree, {subject: "subject", source: "source"}) if tree else []


def _feature(row: dict[str, Any]) -> dict[str, Any]:
    kind, text = str(row.get("kind") or ""), str(row.get("text") or "")
    rates = [number(row.get(key)) for key in ("subject_rate", "source_rate", "background_rate")]
    highest = max((rate for rate in rates if rate is not None), default=0.0)
    examples = rows(row, "examples")
    line = kind == "punctuation" and text.startswith("line: ")
    return {
        "kind": "Lines that start as" if line else _KINDS.get(kind, kind.replace("_", " ").capitalize() or "Feature"),
        "text": shortened(text.removeprefix("line: ") if line else text, 160),
        "code_points": code_points(text) if kind in ("punctuation", "character") and text and not line else "",
        "plain": row.get("plain"),
        "log10_ratio": row.get("log10_ratio"),
        "rates": [
            {"who": who, "rate": rate, "width": round(100 * rate / highest, 1) if rate and highest > 0 else 0}
            for who, rate in zip(("subject", "source", "background"), rates, strict=True)
        ],
        "subject_prompts": row.get("subject_prompts"),
        "source_prompts": row.get("source_prompts"),
        "examples": [
            {
                "prompt": example.get("prompt"),
                "sides": [
                    excerpts.marked(str(example.get(side) or ""), text, kind) if example.get(side) else None
                    for side in ("subject", "source")
                ],
            }
            for example in examples[:EXAMPLES]
        ],
        "examples_more": max(0, len(examples) - EXAMPLES),
    }


def _span(row: dict[str, Any]) -> dict[str, Any]:
    sides = []
    for who in ("subject", "source"):
        context = part(row, f"{who}_context")
        sides.append(
            {
                "id": row.get(f"{who}_id"),
                "before": excerpts.end_of(str(context.get("before") or ""), excerpts.CONTEXT),
                "span": excerpts.middle_out(str(context.get("span") or row.get("text") or ""), excerpts.SPAN),
                "after": excerpts.start_of(str(context.get("after") or ""), excerpts.CONTEXT),
            }
        )
    return {**row, "sides": sides}
