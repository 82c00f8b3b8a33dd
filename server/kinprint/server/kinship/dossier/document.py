"""Reports: everything that can be said about two named models, with its uncertainty, as one reproducible document.

The document is canonical JSON: the same corpus, panel and models give the same bytes.  It keeps three hypotheses apart:
that subject and source are the same or a derived model, that the subject was trained on the source's outputs, and that
both resemble what many models resemble.  Only the first can be supported by the score; for the second no method known
to us finds a teacher without false accusations, and the report says so.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import ModelNotFound
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import panel as panels
from kinprint.server.kinship import scores
from kinprint.server.kinship.answers import Answers, gather
from kinprint.server.kinship.dossier import keyness as telling
from kinprint.server.kinship.judge import DERIVED, KIN, NO_BACKGROUND, Judged, Scored
from kinprint.server.kinship.panel import Panel, scheme
from kinprint.server.kinship.tree import tree_of
from kinprint.server.progress import Progress, result_of
from kinprint.server.search import passages
from numpy.typing import NDArray

FORMAT, VERSION = "kinprint-evidence", 1
#: Other models that are listed beside the source, models on the map and in the tree, spans shown.
CONTROLS, MAPPED, SPANS = 20, 40, 12
#: Code points of context on each side of a span, and of a span shown.
CONTEXT, SPAN_TEXT = 80, 600
#: Seed of the sample of prompts and other models whose features are counted.
SEED = 0

#: What only the first hypothesis has.
_UNWEIGHED = dict.fromkeys(("log10_lr", "log10_lr_range", "p_value", "p_floor", "p_holm", "families"))
_FEATURE_FAMILIES = {
    "characters": "strings of three to five characters",
    "words": "words and pairs of words",
    "phrases": "phrases of three to five words",
    "punctuation": "marks, line ends, lists and headings",
    "openings": "how answers begin",
}


@dataclass(frozen=True, eq=False)
class Report:
    """A report; `document` holds JSON types only."""

    document: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Canonical JSON with a newline at the end."""
        text = json.dumps(self.document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
        return text.encode("utf-8", "surrogatepass") + b"\n"


@dataclass(frozen=True, eq=False)
class _Case:
    """What every section needs."""

    view: View
    rows: Filter
    subject: str
    source: str
    panel: Panel | None
    answers: Answers
    places: list[tuple[int, int]]
    scored: Scored
    i: int
    j: int
    #: The pair itself first, then the further pairs named beforehand.
    named: list[tuple[int, int]]
    judged: Judged

    @property
    def score(self) -> float:
        return float(self.scored.score[self.i, self.j])

    @property
    def prompts(self) -> int:
        return int(self.scored.shared[self.i, self.j])

    def calibration(self) -> panels.Calibration | None:
        if self.panel is None or self.scored.background.kind == "none":
            return None
        if self.scored.across[self.i, self.j]:
            return self.panel.bridged
        return self.panel.calibration(self.prompts)

    def row(self, answer: int) -> tuple[int, int]:
        """(part, row) of an answer."""
        return self.places[int(self.answers.place[answer])]

    def value(self, answer: int, column: str) -> Any:
        number, row = self.row(answer)
        return self.view.parts[number].segment.array(column)[row].as_py()

    def of(self, model: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.answers.model == model)


def build(
    view: View,
    subject: str,
    source: str,
    background: Panel | None,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    *,
    also: Sequence[tuple[str, str]] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Report]:
    """Gather the evidence on one pair of models; the `Report` comes last.

    `also` are further pairs that were named beforehand: p-values are corrected for all of them together (Holm 1979).
    Raises ModelNotFound.
    """
    yield Progress("gathering answers", 0.0)
    answers, places = gather(view, rows, cancelled)
    if cancelled():
        return
    for name in {subject, source, *(m for pair in also for m in pair)}:
        if name not in answers.models:
            raise ModelNotFound(
                f"model {name!r} has no answers in corpus {view.corpus!r} that can be compared: they need a model, a "
                "prompt and text that is not the same for many prompts"
            )
    scored = yield from result_of(kinship.score_models(answers, background, cancelled), 0.6)
    if scored is None:
        return
    position = {m: k for k, m in enumerate(answers.models)}
    # A pair has no order: named the other way round it is no further test.
    pairs = [sorted((position[a], position[b])) for a, b in ((subject, source), *also)]
    named = list(dict.fromkeys((a, b) for a, b in pairs))
    a, b = (np.array([pair[k] for pair in named]) for k in (0, 1))
    judged = kinship.judge(scored.score[a, b], scored.shared[a, b], scored.across[a, b], background, scored.background)
    case = _Case(
        view,
        rows,
        subject,
        source,
        background,
        answers,
        places,
        scored,
        position[subject],
        position[source],
        named,
        judged,
    )
    yield Progress("counting features", 0.65)
    features = _features(case)
    yield Progress("looking for shared passages", 0.75)
    spans, spans_summary = _spans(case, cancelled)
    if cancelled():
        return
    yield Progress("writing", 0.95)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "kinprint": importlib.metadata.version("kinprint"),
        "subject": subject,
        "source": source,
        "corpus": view.corpus,
        "statement": _statement(case, spans_summary),
        "data": _data(case),
        "background": _background(case),
        "hypotheses": [_derived(case), _trained_on(case), _convergence(case)],
        "distribution": _distribution(case),
        "controls": _controls(case),
        "families_of_features": _families(case),
        "features": features,
        "spans": spans,
        "spans_summary": spans_summary,
        "semantic": _semantic(case),
        "temporal": _temporal(case),
        "map": _map(case),
        "tree": _tree(case),
        "power_curve": _power_curve(case),
        "confounders": _confounders(case),
        "parameters": _parameters(case, also),
        "digests": _digests(case),
    }
    yield Report(_plain(document))


def _plain(value: Any) -> Any:
    """JSON types only: numbers rounded, NaN as null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if np.isfinite(value) else None
    return value


# ---- hypotheses ----


def _derived(case: _Case) -> dict[str, Any]:
    calibration = case.calibration()
    judged = case.judged
    p = judged.p_value
    holm = _holm(p)[0] if np.isfinite(p[0]) else float("nan")
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
        "log10_lr_range": None if calibration is None else kinship.limits(calibration, case.scored.background),
        "p_value": float(p[0]),
        "p_floor": float(judged.p_floor[0]),
        "p_holm": holm,
        "families": case.panel.families if case.panel is not None and np.isfinite(p[0]) else None,
        "prompts": case.prompts,
        "verdict": verdict,
        "power": power,
        "power_text": _power_text(case, calibration),
        "experimental": False,
        "abstained": verdict not in (DERIVED, KIN),
        "text": _derived_text(case, calibration, verdict, lr),
    }


def _derived_text(case: _Case, calibration: panels.Calibration | None, verdict: str, lr: float) -> str:
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
            f"{case.panel.sizes[0].prompts if case.panel else kinship.LEAST_PROMPTS}, so nothing is claimed."
        )
    bar = float(case.judged.threshold[0])
    assert case.panel is not None
    times = float(case.panel.parameters["margin"]) * (kinship.ELSEWHERE_MARGIN if _elsewhere(case) else 1.0)
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
            f"{10**panels.DERIVED_LR:.1f} times more likely of derived pairs than of other relatives. {ratio}"
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


def _trained_on(case: _Case) -> dict[str, Any]:
    rank, n = _rank(case)
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


def _convergence(case: _Case) -> dict[str, Any]:
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


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values corrected for all named pairs (Holm 1979), in the order given; NaN stay."""
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    running = 0.0
    for rank, k in enumerate(known[np.argsort(p[known], kind="stable")]):
        running = max(running, min(1.0, float((len(known) - rank) * p[k])))
        out[k] = running
    return out


def _power_text(case: _Case, calibration: panels.Calibration | None) -> str:
    if calibration is None:
        return "Without a background that holds here, the power is not known."
    kind = "pairs without common prompts" if case.scored.across[case.i, case.j] else f"{calibration.prompts} prompts"
    assert case.panel is not None
    stand_in = "" if case.panel.derived_from == "lineage" else " (the closest pairs of each family stand in for them)"
    elsewhere = "; on this corpus, which has other prompts, it is not known" if _elsewhere(case) else ""
    return (
        f"With {kind} this finds {100 * calibration.power['derived']:.0f} % of the background's derived "
        f"pairs{stand_in}{elsewhere}."
    )


def _elsewhere(case: _Case) -> bool:
    return case.scored.background.kind == "elsewhere"


def _rank(case: _Case) -> tuple[int, int]:
    row = np.delete(case.scored.score[case.i], case.i)
    row = row[np.isfinite(row)]
    return 1 + int((row > case.score).sum()), len(row)


# ---- statement ----


def _statement(case: _Case, spans: dict[str, Any]) -> dict[str, Any]:
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
    if verdict in (DERIVED, KIN) and _elsewhere(case):
        may_not.append("A p-value: the background was measured on other prompts.")
    return {"headline": headline, "may_say": may, "may_not_say": may_not}


# ---- data and background ----


def _data(case: _Case) -> dict[str, Any]:
    subject, source = case.of(case.i), case.of(case.j)
    languages = Counter(case.value(k, "language") or "unknown" for k in np.concatenate((subject, source)))
    return {
        "models": len(case.answers.models),
        "prompts_shared": case.prompts,
        "answers_subject": len(subject),
        "answers_source": len(source),
        "languages": dict(sorted(languages.items())),
        "left_out": case.answers.left_out,
        "dates": {"subject": _dates(case, subject), "source": _dates(case, source)},
    }


def _dates(case: _Case, answers: NDArray[np.int64]) -> dict[str, str] | None:
    times = []
    for k in answers:
        number, row = case.row(k)
        micros, known = case.view.parts[number].segment.created_us
        if known[row]:
            times.append(int(micros[row]))
    if not times:
        return None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = (epoch + timedelta(microseconds=t) for t in (min(times), max(times)))
    return {"first": first.isoformat(timespec="seconds"), "last": last.isoformat(timespec="seconds")}


def _background(case: _Case) -> dict[str, Any] | None:
    if case.panel is None:
        return None
    reach = case.scored.background
    return {
        "digest": case.panel.digest,
        "corpus": case.panel.corpus,
        "models": len(case.panel.members),
        "families": case.panel.families,
        "independent_families": case.panel.independent_families,
        "unrelated_pairs": case.panel.pairs["unrelated"],
        "kin_pairs": case.panel.pairs["kin"],
        "derived_pairs": case.panel.pairs["derived"],
        "derived_from": case.panel.derived_from,
        "reach": reach.kind,
        "carries_over": reach.carries_over,
        "does_not": reach.does_not,
        "cautions": reach.cautions,
    }


def _distribution(case: _Case) -> dict[str, Any] | None:
    c = case.calibration()
    if c is None or np.isnan(case.score):
        return None
    everything = np.concatenate((c.null, c.derived, c.kin, [case.score]))
    edges = np.linspace(np.floor(everything.min()), np.ceil(everything.max()), 61)

    def histogram(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> dict[str, Any] | None:
        if len(values) == 0:
            return None
        counts = np.histogram(values, edges, weights=weights)[0]
        return {"edges": edges, "counts": counts / counts.sum()}

    return {
        "null": histogram(c.null, c.null_weight),
        "kin": histogram(c.kin),
        "derived": histogram(c.derived),
        "score": case.score,
        "threshold": float(case.judged.threshold[0]),
        "prompts": c.prompts,
    }


def _controls(case: _Case) -> list[dict[str, Any]]:
    others = np.array([k for k in range(len(case.answers.models)) if k != case.i])
    row = case.scored.score[case.i, others]
    order = others[np.argsort(np.where(np.isnan(row), np.inf, -row), kind="stable")]
    shown = list(order[:CONTROLS])
    if case.j not in shown:
        shown[-1:] = [case.j]
    index = np.array(shown)
    judged = kinship.judge(
        case.scored.score[case.i, index],
        case.scored.shared[case.i, index],
        case.scored.across[case.i, index],
        case.panel,
        case.scored.background,
    )
    members = {m.model: m for m in case.panel.members} if case.panel is not None else {}
    own = members.get(case.subject)
    out = []
    for k, lr in zip(shown, judged.log10_lr, strict=True):
        member = members.get(case.answers.models[k])
        if k == case.j:
            why = "the source"
        elif own is not None and member is not None and member.family == own.family:
            why = "listed in the subject's family"
        elif own is not None and member is not None and set(member.shares_with) & set(own.shares_with):
            why = "listed as sharing a base or data with the subject"
        elif member is not None:
            why = "member of the background"
        else:
            why = "other model of this corpus"
        score = float(case.scored.score[case.i, k])
        out.append({"model": case.answers.models[k], "score": score, "log10_lr": float(lr), "why": why})
    return out


def _families(case: _Case) -> list[dict[str, Any]]:
    everyone = np.ones(len(case.answers.models), np.bool_)
    out = []
    for f, (name, what) in enumerate(_FEATURE_FAMILIES.items()):
        z = scores.normalise(case.scored.mean[f : f + 1], case.scored.shared, everyone)
        out.append({"name": name, "score": float(z[case.i, case.j]), "of_subject": what})
    return out


# ---- what it looks like ----


def _features(case: _Case) -> list[dict[str, Any]]:
    present = case.answers.present
    both = np.flatnonzero(present[:, case.i] & present[:, case.j])
    rng = np.random.default_rng(SEED)
    if len(both) > telling.PROMPTS:
        both = np.sort(rng.choice(both, telling.PROMPTS, replace=False))
    answered = []
    for prompt in both:
        first, last = case.answers.starts[prompt], case.answers.starts[prompt + 1]
        at = {int(case.answers.model[k]): int(k) for k in range(first, last)}
        others = [k for m, k in at.items() if m not in (case.i, case.j)]
        if len(others) > telling.OTHERS:
            others = [others[int(x)] for x in np.sort(rng.choice(len(others), telling.OTHERS, replace=False))]
        answered.append(
            telling.Answered(
                case.value(at[case.i], "prompt") or "",
                case.value(at[case.i], "response"),
                case.value(at[case.j], "response"),
                tuple(case.value(k, "response") for k in others),
            )
        )
    return [
        {
            "kind": f.kind,
            "text": f.text,
            "plain": telling.plain(f),
            "subject_rate": f.subject_rate,
            "source_rate": f.source_rate,
            "background_rate": f.background_rate,
            "subject_prompts": f.subject_prompts,
            "source_prompts": f.source_prompts,
            "log10_ratio": f.log10_ratio,
            "examples": [{"prompt": p, "subject": a, "source": b} for p, a, b in f.examples],
        }
        for f in telling.find(answered)
    ]


def _spans(case: _Case, cancelled: Callable[[], bool]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    # All other models are on the other side, so that rarity is counted among them; listed are passages of the source.
    fields = _fields(case.rows)
    own = Filter(**{**fields, "models": frozenset([case.subject])})
    others = Filter(**{**fields, "exclude_models": case.rows.exclude_models | {case.subject}})
    ids = {case.view.parts[p].segment.array("id")[r].as_py(): k for k, (p, r) in _rows_of_pair(case)}
    theirs = {case.value(int(k), "id") for k in case.of(case.j)}
    found: list[tuple[float, str, str, int, int, int, int, int, int, int]] = []
    longest = count = 0
    for made in passages.find_overlaps(
        [case.view], [case.view], passages.Options(unmarked=True, every=True), own, others, cancelled
    ):
        if isinstance(made, passages.Spans):
            for k in range(len(made.id_a)):
                if made.bits[k] <= 0 or made.id_b[k] not in theirs:
                    continue
                count += 1
                longest = max(longest, int(made.tokens[k]))
                found.append(
                    (
                        float(made.bits[k]),
                        made.id_a[k],
                        made.id_b[k],
                        int(made.start_a[k]),
                        int(made.end_a[k]),
                        int(made.start_b[k]),
                        int(made.end_b[k]),
                        int(made.tokens[k]),
                        int(made.counts[k, 0]),
                        int(made.counts[k, 1]),
                    )
                )
            found = sorted(found, key=lambda f: (-f[0], f[1:]))[: 4 * SPANS]
    shown = []
    for bits, id_a, id_b, start_a, end_a, start_b, end_b, tokens, having, answers in found[:SPANS]:
        sides = []
        for name, start, end in ((id_a, start_a, end_a), (id_b, start_b, end_b)):
            answer = _response(case, name, ids)
            sides.append(
                {
                    "before": ("… " if start > CONTEXT else "") + answer[max(0, start - CONTEXT) : start],
                    "span": answer[start : min(end, start + SPAN_TEXT)],
                    "after": answer[end : end + CONTEXT] + (" …" if len(answer) > end + CONTEXT else ""),
                }
            )
        place = case.view.locate([id_a])[0]
        prompt = None if place is None else case.view.parts[place.part].segment.array("prompt")[place.row].as_py()
        shown.append(
            {
                "text": sides[0]["span"],
                "bits": bits,
                "tokens": tokens,
                "prompt": (prompt or "")[:200],
                "subject_id": id_a,
                "source_id": id_b,
                "subject_context": sides[0],
                "source_context": sides[1],
                "models_with": having,
                "models": answers,
            }
        )
    return shown, {
        "pairs_compared": len(case.of(case.i)) * len(case.of(case.j)),
        "spans": count,
        "longest_tokens": longest,
        "expected_note": "Stretches of twelve words or more, byte for byte; those that quote the prompt, code or "
        "licences, or stand in more than "
        f"{passages.Options().max_texts:,} answers, are left out. Bits say how rare a stretch is among other models' "
        "answers, no rarer than so many answers can show; they must not be added up, since models trained on the same "
        "texts quote the same texts.",
    }


def _rows_of_pair(case: _Case) -> Iterator[tuple[int, tuple[int, int]]]:
    """(answer, (part, row)) of the subject's and the source's answers."""
    for k in np.concatenate((case.of(case.i), case.of(case.j))):
        yield int(k), case.row(int(k))


def _response(case: _Case, name: str, ids: dict[str, int]) -> str:
    if name in ids:
        return str(case.value(ids[name], "response"))
    place = case.view.locate([name])[0]
    return "" if place is None else str(case.view.parts[place.part].segment.array("response")[place.row].as_py())


def _fields(rows: Filter) -> dict[str, Any]:
    return {name: getattr(rows, name) for name in rows.__dataclass_fields__}


def _semantic(case: _Case) -> dict[str, Any]:
    """Cosine of embeddings of answers to the same prompts, against other models' answers to them."""
    vectors: dict[int, NDArray[np.float32]] = {}
    lookup = {}
    for number, part in enumerate(case.view.parts):
        for chunk in part.segment.of("semantic"):
            lookup.update({(number, int(row)): (chunk, k) for k, row in enumerate(chunk.rows)})
    for k in range(len(case.answers.model)):
        found = lookup.get(case.row(k))
        if found is not None:
            vectors[k] = found[0].vectors[found[1]]
    present = case.answers.present
    pair, other = [], []
    for prompt in np.flatnonzero(present[:, case.i] & present[:, case.j]):
        at = {
            int(case.answers.model[k]): vectors[k]
            for k in range(case.answers.starts[prompt], case.answers.starts[prompt + 1])
            if k in vectors
        }
        if case.i in at and case.j in at:
            pair.append(float(at[case.i] @ at[case.j]))
            other += [float(at[case.i] @ v) for m, v in at.items() if m not in (case.i, case.j)]
    if len(pair) < kinship.LEAST_PROMPTS or len(other) < kinship.LEAST_PROMPTS:
        return {
            "available": False,
            "mean": None,
            "background_mean": None,
            "background_sd": None,
            "z": None,
            "pairs": len(pair),
            "text": "Not assessed: too few answers to common prompts are embedded (channel semantic).",
        }
    mean, back, sd = float(np.mean(pair)), float(np.mean(other)), float(np.std(other))
    return {
        "available": True,
        "mean": mean,
        "background_mean": back,
        "background_sd": sd,
        "z": (mean - back) / (sd / np.sqrt(len(pair))) if sd > 0 else None,
        "pairs": len(pair),
        "text": f"On {len(pair)} prompts the two answers mean the same to a cosine of {mean:.3f} on average; the "
        f"subject's and other models' answers to these prompts to {back:.3f}. Agreement in content is expected of "
        "models that are right, and is no sign of kinship by itself; z treats prompts as independent and is a "
        "description.",
    }


def _temporal(case: _Case) -> dict[str, Any]:
    subject, source = (_dates(case, case.of(k)) for k in (case.i, case.j))
    if subject is None or source is None:
        return {
            "available": False,
            "text": "No direction in time: the answers carry no dates for both models.",
            "subject_first": None if subject is None else subject["first"],
            "source_first": None if source is None else source["first"],
        }
    if subject["first"] > source["last"]:
        text = "All dated answers of the source are older than those of the subject: the source could have been used."
    elif source["first"] > subject["last"]:
        text = (
            "All dated answers of the subject are older than those of the source: these answers cannot have been used."
        )
    else:
        text = "The dates of the two models' answers overlap: they give no direction."
    return {"available": True, "text": text, "subject_first": subject["first"], "source_first": source["first"]}


def _nearest(case: _Case) -> list[int]:
    """Subject, source and the models nearest to either, by name."""
    best = np.fmax(case.scored.score[case.i], case.scored.score[case.j])
    best[[case.i, case.j]] = np.inf
    order = np.argsort(np.where(np.isnan(best), np.inf, -best), kind="stable")
    return sorted(int(k) for k in order[:MAPPED])


def _map(case: _Case) -> dict[str, Any]:
    """Classical scaling (Torgerson 1952) of the nearest models."""
    chosen = _nearest(case)
    x = np.arcsinh(case.scored.score[np.ix_(chosen, chosen)] / 3.0)
    known = x[~np.isnan(x)]
    high = float(known.max()) if len(known) else 0.0
    distance = high - np.where(np.isnan(x), float(known.min()) if len(known) else 0.0, x)
    np.fill_diagonal(distance, 0.0)
    middle = np.eye(len(chosen)) - 1.0 / len(chosen)
    values, vectors = np.linalg.eigh(-0.5 * middle @ (distance**2) @ middle)
    axes = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    if axes.shape[1] < 2:
        axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    for k in range(2):  # the sign of an axis is arbitrary; fix it
        largest = int(np.argmax(np.abs(np.round(axes[:, k], 9))))
        if axes[largest, k] < 0:
            axes[:, k] = -axes[:, k]
    members = {m.model: m.family for m in case.panel.members} if case.panel is not None else {}
    names = [case.answers.models[k] for k in chosen]
    return {
        "models": names,
        "x": np.round(axes[:, 0], 4),
        "y": np.round(axes[:, 1], 4),
        "family": [members.get(n) for n in names] if members else None,
    }


def _tree(case: _Case) -> dict[str, Any]:
    chosen = _nearest(case)
    merges, order = tree_of(case.scored.score[np.ix_(chosen, chosen)])
    return {"models": [case.answers.models[k] for k in chosen], "merges": merges, "order": order}


def _power_curve(case: _Case) -> list[dict[str, Any]]:
    if case.panel is None or case.scored.background.kind == "none":
        return []
    return [
        {"prompts": c.prompts, "tpr_at_1_percent": c.tpr["0.01"], "detected": c.power["derived"]}
        for c in case.panel.sizes
    ]


def _confounders(case: _Case) -> list[dict[str, Any]]:
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
    mixed = " and ".join(m.model for m in pair if panels.ENSEMBLE in m.shares_with)
    if mixed:
        found["Mixed models"] = f"{mixed} is listed as a mixture of several models, which may resemble any of them"
    if case.scored.background.kind == "here" and len(pair) < 2:
        found["Kind of models"] = "the pair may differ from the background's models in age, size or purpose"
    return [{"name": name, "text": text, "excluded": False} for name, text in found.items()]


def _parameters(case: _Case, also: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "scheme": scheme(),
        "trim": scores.TRIM,
        "prior_models": scores.PRIOR_MODELS,
        "least_prompts": kinship.LEAST_PROMPTS,
        "margin": None if case.panel is None else case.panel.parameters["margin"],
        "elsewhere_margin": kinship.ELSEWHERE_MARGIN,
        "elsewhere_range": kinship.ELSEWHERE_RANGE,
        "feature_sample": {
            "seed": SEED,
            "prompts": telling.PROMPTS,
            "others": telling.OTHERS,
            "code_points": telling.READ,
        },
        "span_tokens": passages.Options().min_tokens,
        "basis": case.judged.basis[0],
        "named_pairs": [[case.subject, case.source], *[list(p) for p in also]],
        "filter": {k: sorted(v) if isinstance(v, frozenset) else v for k, v in _fields(case.rows).items()},
        "panel": None if case.panel is None else case.panel.parameters,
    }


def _digests(case: _Case) -> dict[str, Any]:
    def of(model: int) -> str:
        digest = hashlib.sha256()
        for k in case.of(model):
            digest.update(bytes(case.value(int(k), "content_hash")))
        return digest.hexdigest()

    return {
        "panel": None if case.panel is None else case.panel.digest,
        "prompts": panels.prompts_digest(case.answers.prompts),
        "answers_subject": of(case.i),
        "answers_source": of(case.j),
    }
