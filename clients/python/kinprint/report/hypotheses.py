"""The hypotheses of a report, each apart from the others, with words for its figures and reasons for missing ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinprint.report.numbers import MISSING, decimal, p_value, whole
from kinprint.report.parts import number
from kinprint.report.verbal import Support, support

_CLAUSES = {
    "derived": "if the subject is the source, or was derived from it,",
    "trained_on": "if the subject was trained on outputs of the source",
    "convergence": "if the two merely grew alike, as models trained on similar text do,",
}
_OTHERWISE = {
    "convergence": "if there is a link between them",
}
_VERDICTS = {
    "derived": "Points to derivation",
    "trained_on": "Points to training on outputs",
    "kin": "Points to kinship, not to derivation in particular",
    "unresolved": "Unresolved",
    "no_background": "Not assessed: no background",
    "unlikely": "Unlikely to explain the likeness",
    "not_excluded": "Not excluded: may explain the likeness",
    "not_assessed": "Not assessed",
    "abstained": "No statement",
    "experimental": "Experimental",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure with its name and a remark."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a reader is told about one hypothesis."""

    id: str
    title: str
    question: str
    verdict: str
    experimental: bool
    abstained: bool
    text: str
    power: str
    support: Support | None
    log10_lr: float | None
    p_value: float | None
    prompts: float | None
    facts: list[Fact]


def hypotheses(rows: list[dict[str, Any]], background: dict[str, Any]) -> list[Hypothesis]:
    """The hypotheses in the order of the report, with the report's background (empty: there is none)."""
    return [_hypothesis(row, background) for row in rows]


def _hypothesis(row: dict[str, Any], background: dict[str, Any]) -> Hypothesis:
    experimental, abstained = bool(row.get("experimental")), bool(row.get("abstained"))
    why = (
        "the method abstained"
        if abstained
        else "there is no background to compare with"
        if not background
        else "the method for this question is experimental and not calibrated"
        if experimental
        else "the background gives none for this question"
    )
    key = str(row.get("id") or "")
    log10, validated = number(row.get("log10_lr")), _range(row.get("log10_lr_range"))
    found = None
    if log10 is not None:
        clause = _CLAUSES.get(key, "if this hypothesis is true")
        found = support(log10, validated, clause, _OTHERWISE.get(key, "if the two are unrelated"))
    verdict = str(row.get("verdict") or "")
    return Hypothesis(
        id=key,
        title=str(row.get("title") or key.replace("_", " ").capitalize() or "Unnamed hypothesis"),
        question=str(row.get("question") or ""),
        verdict=_VERDICTS.get(verdict.replace(" ", "_"), verdict.replace("_", " ").capitalize()) or "No verdict",
        experimental=experimental,
        abstained=abstained,
        text=str(row.get("text") or ""),
        power=str(row.get("power_text") or ""),
        support=found,
        log10_lr=log10,
        p_value=number(row.get("p_value")),
        prompts=number(row.get("prompts")),
        facts=_facts(row, found, validated, why, number(background.get("independent_families"))),
    )


def _range(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return (low, high) if low is not None and high is not None and low <= high else None


def _facts(
    row: dict[str, Any],
    found: Support | None,
    validated: tuple[float, float] | None,
    why: str,
    independent: float | None,
) -> list[Fact]:
    p, floor, holm = number(row.get("p_value")), number(row.get("p_floor")), number(row.get("p_holm"))
    families, prompts = number(row.get("families")), number(row.get("prompts"))
    facts = [
        Fact("Score", decimal(row.get("score")), "" if number(row.get("score")) is not None else why),
        Fact(
            "Likelihood ratio, log10",
            decimal(found.log10) if found else MISSING,
            why if not found else _lr_remark(found, bool(row.get("abstained"))),
        ),
        Fact(
            "Validated range of log10",
            f"{decimal(validated[0])} to {decimal(validated[1])}" if validated else MISSING,
            "nothing is claimed outside it" if validated else why,
        ),
        Fact("p-value", p_value(p), _p_remark(p, floor, families, independent, why)),
        Fact(
            "p-value, Holm-adjusted",
            p_value(holm),
            "allows for all the questions asked at once" if holm is not None else "no adjusted value was computed",
        ),
        Fact(
            "Prompts compared",
            whole(prompts),
            "answered by both models" if prompts is not None else "the report does not say how many",
        ),
    ]
    if number(row.get("power")) is not None:
        facts.append(Fact("Power", f"{100 * float(row['power']):.0f} %", "share of true cases that would be found"))
    return facts


def _lr_remark(found: Support, abstained: bool) -> str:
    if abstained:
        return "for completeness only: no statement is made, so no level of the verbal scale is given"
    edge = "at the edge of the validated range" if found.at_edge else ""
    return ", ".join(filter(None, (found.words, edge)))


def _p_remark(p: float | None, floor: float | None, families: float | None, independent: float | None, why: str) -> str:
    if p is None:
        return why
    if floor is None:
        remarks = ["the smallest possible value is not stated"]
    elif p <= floor * (1 + 1e-9):
        remarks = ["the smallest that this background can give"]
    else:
        remarks = [f"smallest that this background can give: {p_value(floor)}"]
    if families is None and independent is None:
        remarks.append("number of independent families not stated")
    elif families is None or families == independent:
        remarks.append(f"{whole(independent)} independent {_families(independent)}")
    else:
        how_many = (
            "number of independent ones not stated" if independent is None else f"{whole(independent)} independent"
        )
        remarks.append(f"{whole(families)} {_families(families)}, {how_many}")
    return "; ".join(remarks)


def _families(count: float | None) -> str:
    return "family" if count == 1 else "families"
