"""The three hypotheses, kept apart, each with what can be said for it, and the statement that follows.

That subject and source are the same or a derived model; that the subject was trained on the source's outputs; that both
resemble what many models resemble.  Only the first can be supported by the score; for the second no method known to us
finds a teacher without false accusations, and the text says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from kinprint.server.kinship import judge, scores
from kinprint.server.kinship.calibration import DERIVED_LR, Calibration
from kinprint.server.kinship.dossier.case import Case, rank_of_source
from kinprint.server.kinship.judge import DERIVED, KIN, NO_BACKGROUND
from kinprint.server.kinship.labels import ENSEMBLE
from kinprint.server.statistics import holm

#: What only the first hypothesis has.
_UNWEIGHED = dict.fromkeys(("log10_lr", "log10_lr_range", "p_value", "p_floor", "p_holm", "families"))


def derived(case: Case) -> dict[str, Any]:
    calibration = case.calibration()
    judged = case.judged
    p = judged.p_value
    corrected = holm(p)[0] if np.isfinite(p[0]) else float("nan")
    verdict = judged.verdict[0]
    lr = float(judged.log10_lr[0])
    power = None if calibration is None else calibration.power["derived"]
    return {
        "id": "derived",
        "title": "Same or derived model",
        "question": f"Is {case.subject} the same model as {case.source}, a fine-tune or variant of it, or do its "
        "answers copy it?",
        "score": case.score,
        "log10_lr": lr,
        "log10_lr_range": None if calibration is None else judge.limits(calibration, case.scored.background),
        "p_value": float(p[0]),
        "p_floor": float(judged.p_floor[0]),
        "p_holm": corrected,
        "families": case.panel.families if case.panel is not None and np.isfinite(p[0]) else None,
        "prompts": case.prompts,
        "verdict": verdict,
        "power": power,
        "power_text": _power_text(case, calibration),
        "experimental": False,
        "abstained": verdict not in (DERIVED, KIN),
        "text": _derived_text(case, calibration, verdict, lr),
    }


def _derived_text(case: Case, calibration: Calibration | None, verdict: str, lr: float) -> str:
    if np.isnan(case.score):
        if case.prompts >= scores.MIN_PROMPTS:
            return f"The two models answered {case.prompts} common prompts, but too few of those of other models."
        return f"The two models answered {case.prompts} common prompts, too few for a score."
    if verdict == NO_BACKGROUND:
        return (
            f"The score is {case.score:.2f}. There is no background population that it could be held against, so "
            "nothing is claimed: a score alone says who resembles whom within this corpus, not how unusual that is."
        )
    if calibration is None:
        return (
            f"The two models share {case.prompts} prompts; no calibration holds below "
            f"{case.panel.sizes[0].prompts if case.panel else judge.LEAST_PROMPTS}, so nothing is claimed."
        )
    bar = float(case.judged.threshold[0])
    assert case.panel is not None
    times = float(case.panel.parameters["margin"]) * (judge.ELSEWHERE_MARGIN if case.elsewhere else 1.0)
    pairs = calibration.null_count
    size = f"10^{abs(lr):.2f}"
    ratio = (
        f"The likelihood ratio is 10^{lr:.2f}: a score like this is {size} times "
        + ("more" if lr >= 0 else "less")
        + " often seen with derived pairs of the background than with unrelated ones."
    )
    if verdict == DERIVED:
        return (
            f"The score {case.score:.2f} is above {bar:.2f}, {times:g} times the "
            f"largest score among {pairs:,} pairs of unrelated models of the background, and it is at least "
            f"{10**DERIVED_LR:.1f} times more likely of derived pairs than of other relatives. {ratio}"
        )
    if verdict == KIN:
        return (
            f"The score {case.score:.2f} is above {bar:.2f}, {times:g} times the "
            f"largest score among {pairs:,} pairs of unrelated models of the background, but it does not tell derived "
            f"pairs from other relatives. {ratio}"
        )
    return (
        f"The score {case.score:.2f} is below {bar:.2f}, from which a verdict is given. This neither shows nor rules "
        f"out a relation. {ratio}"
    )


def _power_text(case: Case, calibration: Calibration | None) -> str:
    if calibration is None:
        return "Without a background that holds here, the power is not known."
    kind = "pairs without common prompts" if case.scored.across[case.i, case.j] else f"{calibration.prompts} prompts"
    assert case.panel is not None
    stand_in = "" if case.panel.derived_from == "lineage" else " (the closest pairs of each family stand in for them)"
    elsewhere = "; on this corpus, which has other prompts, it is not known" if case.elsewhere else ""
    return (
        f"With {kind} this finds {100 * calibration.power['derived']:.0f} % of the background's derived "
        f"pairs{stand_in}{elsewhere}."
    )


def trained_on(case: Case) -> dict[str, Any]:
    rank, n = rank_of_source(case)
    described = "There is no score to rank the two models by."
    if np.isfinite(case.score):
        described = (
            f"As a description only: of the {n} other models compared, {case.source} is number {rank} in resemblance "
            f"to {case.subject}. Models resemble popular models whether or not they were trained on their outputs, so "
            "that a high rank is no evidence of training."
        )
    return {
        "id": "trained_on",
        "title": "Trained on the other's outputs",
        "question": f"Was {case.subject} trained on outputs of {case.source}?",
        "score": case.score,
        **_UNWEIGHED,
        "prompts": case.prompts,
        "verdict": "abstained",
        "power": None,
        "power_text": "No method tried has found teachers without false accusations on families not used in fitting, "
        "so no power can be stated.",
        "experimental": True,
        "abstained": True,
        "text": "No claim is made. " + described,
    }


def convergence(case: Case) -> dict[str, Any]:
    calibration = case.calibration()
    # Convergence is called unlikely only where a verdict says what else it is.
    supported = case.judged.verdict[0] in (DERIVED, KIN)
    if calibration is None or np.isnan(case.score):
        text = "Without a background it cannot be said how alike unrelated models are on these prompts."
        if calibration is not None:
            text = "Without a score it cannot be said whether unrelated models are as alike."
        share = None
    elif not np.isfinite(case.judged.p_value[0]):
        text = (
            "Not assessed: the background has too few families, or was measured on other prompts, so that no share of "
            "unrelated pairs is given."
        )
        share = None
    else:
        share = float(calibration.p_value(np.array([case.score]))[0])
        text = (
            f"{100 * share:.2g} % of unrelated pairs of the background score at least as high (never less than "
            f"{100 * calibration.p_floor:.2g} % can be said). Convergence of unrelated models "
            + ("seldom goes so far in this background." if supported else "is not excluded: no verdict is given above.")
        )
    return {
        "id": "convergence",
        "title": "Generic convergence",
        "question": "Are the two alike only as all capable models are alike, by common data, tuning and subject?",
        "score": case.score,
        **_UNWEIGHED,
        "prompts": case.prompts,
        "verdict": "not assessed" if share is None else ("unlikely" if supported else "not excluded"),
        "power": None,
        "power_text": "",
        "experimental": False,
        "abstained": share is None,
        "text": text,
    }


def statement(case: Case, spans: dict[str, Any]) -> dict[str, Any]:
    verdict = case.judged.verdict[0]
    a, b = case.subject, case.source
    may: list[str] = []
    may_not = [
        f"That {a} was trained on outputs of {b}: nothing here can show that.",
        "Who came from whom: resemblance has no direction.",
        "A share or percentage of one model in the other.",
    ]
    if verdict == DERIVED:
        headline = (
            f"{a} and {b} resemble each other as derived models do, and as no unrelated pair of the background does."
        )
        may.append(
            f"On {case.prompts} prompts the two resemble each other more than any unrelated pair of the background."
        )
        may.append("The resemblance is of the size seen between a model and its fine-tunes or variants.")
        may_not.append(
            "That this proves derivation: copied answers, a common unlisted base or a mislabelled model look alike."
        )
    elif verdict == KIN:
        headline = f"{a} and {b} resemble each other as relatives do; whether one derives from the other is open."
        may.append(
            f"On {case.prompts} prompts the two resemble each other more than any unrelated pair of the background."
        )
        may_not.append("That one derives from the other: models of one family reach such scores without it.")
    elif verdict == NO_BACKGROUND:
        headline = f"No claim about {a} and {b}: there is no background population to compare with."
        may.append("How the two rank in resemblance among the models of this corpus.")
        may_not.append("How unusual their resemblance is, or any likelihood, probability or verdict.")
    else:
        headline = f"The evidence does not settle whether {a} and {b} are related."
        may.append("That the data at hand neither show nor rule out a relation.")
        may_not.append("That the two are unrelated: the power below says how many derived pairs stay undetected.")
    if spans["spans"]:
        may.append(f"{spans['spans']} stretches of text stand word for word in answers of both; the rarest are listed.")
    if verdict in (DERIVED, KIN) and case.elsewhere:
        may_not.append("A p-value: the background was measured on other prompts.")
    return {"headline": headline, "may_say": may, "may_not_say": may_not}


def confounders(case: Case) -> list[dict[str, Any]]:
    """What else could make two models alike, or hide it; none of it can be excluded, some is reduced."""
    topic = "reduced: answers are compared with other models' answers to the same prompt"
    if case.scored.across[case.i, case.j]:
        topic = "the two answered different prompts and are compared through other models"
    found = {
        "Length of answers": "reduced: only the first 600 characters of an answer are compared",
        "Topic": topic,
        "Reasoning blocks": "reduced: marked reasoning is split off before comparison",
        "Standard refusals": "reduced: answers that give the same words to several prompts are left out",
        "Common base model": "models fine-tuned apart from one base resemble each other; the score cannot tell",
        "Common training data": "models trained on the same published sets resemble each other",
        "A common teacher": "two models trained on the outputs of a third resemble each other and it",
        "System prompt and settings": "instructions and sampling change style; they may make or hide resemblance",
        "Copied or cached answers": "answers served by one model under another's name look like derivation",
        "Mislabelled models": "the names in the corpus are taken as given",
        "Contaminated background": "unlisted relations among the background's models widen the null and hide weaker "
        "relations",
        "Choice of the pair": "p-values hold for pairs named before looking; others are triage only",
    }
    if case.scored.background.kind == "elsewhere":
        found["Other prompts than the background's"] = "the background was measured on other prompts"
    members = {m.model: m for m in case.panel.members} if case.panel is not None else {}
    pair = [members[m] for m in (case.subject, case.source) if m in members]
    if case.scored.background.kind == "here" and len(pair) == 2:
        found["The pair is part of the background"] = (
            "both models are members of the panel: the pair itself is among those that its figures come from"
        )
    mixed = " and ".join(m.model for m in pair if ENSEMBLE in m.shares_with)
    if mixed:
        found["Mixed models"] = f"{mixed} is listed as a mixture of several models, which may resemble any of them"
    if case.scored.background.kind == "here" and len(pair) < 2:
        found["Kind of models"] = "the pair may differ from the background's models in age, size or purpose"
    return [{"name": name, "text": text, "excluded": False} for name, text in found.items()]
