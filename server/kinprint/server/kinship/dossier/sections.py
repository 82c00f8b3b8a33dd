"""Sections of figures: data, background, distribution, controls, time, meaning, map, tree, and what they rest on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from kinprint.server.kinship import judge, scores
from kinprint.server.kinship.calibration import transform
from kinprint.server.kinship.dossier import keyness
from kinprint.server.kinship.dossier.case import CONTROLS, SEED, Case, dates, fields_of, nearest
from kinprint.server.kinship.panel import prompts_digest, scheme
from kinprint.server.kinship.tree import tree_of
from kinprint.server.search import passages
from numpy.typing import NDArray

_FEATURE_FAMILIES = {
    "characters": "strings of three to five characters",
    "words": "words and pairs of words",
    "phrases": "phrases of three to five words",
    "punctuation": "marks, line ends, lists and headings",
    "openings": "how answers begin",
}


def data(case: Case) -> dict[str, Any]:
    subject, source = case.of(case.i), case.of(case.j)
    languages = Counter(case.value(k, "language") or "unknown" for k in np.concatenate((subject, source)))
    return {
        "models": len(case.answers.models),
        "prompts_shared": case.prompts,
        "answers_subject": len(subject),
        "answers_source": len(source),
        "languages": dict(sorted(languages.items())),
        "left_out": case.answers.left_out,
        "dates": {"subject": dates(case, subject), "source": dates(case, source)},
    }


def background(case: Case) -> dict[str, Any] | None:
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


def distribution(case: Case) -> dict[str, Any] | None:
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


def controls(case: Case) -> list[dict[str, Any]]:
    others = np.array([k for k in range(len(case.answers.models)) if k != case.i])
    row = case.scored.score[case.i, others]
    order = others[np.argsort(np.where(np.isnan(row), np.inf, -row), kind="stable")]
    shown = list(order[:CONTROLS])
    if case.j not in shown:
        shown[-1:] = [case.j]
    index = np.array(shown)
    judged = judge.judge(
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


def families(case: Case) -> list[dict[str, Any]]:
    everyone = np.ones(len(case.answers.models), np.bool_)
    out = []
    for f, (name, what) in enumerate(_FEATURE_FAMILIES.items()):
        z = scores.normalise(case.scored.mean[f : f + 1], case.scored.shared, everyone)
        out.append({"name": name, "score": float(z[case.i, case.j]), "of_subject": what})
    return out


def semantic(case: Case) -> dict[str, Any]:
    """Cosine of embeddings of answers to the same prompts, against other models' answers to them."""
    vectors: dict[int, NDArray[np.float32]] = {}
    lookup = {}
    for number, part in enumerate(case.view.parts):
        for chunk in part.segment.of("semantic"):
            lookup.update({(number, int(row)): (chunk, k) for k, row in enumerate(chunk.rows)})
    for k in range(len(case.answers.model)):
        found = lookup.get(case.row(k))
        if found is not None:
            vectors[k] = found[0].mean_at(found[1])
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
    if len(pair) < judge.LEAST_PROMPTS or len(other) < judge.LEAST_PROMPTS:
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
        "models that are right, and is no sign of kinship by itself.",
    }


def temporal(case: Case) -> dict[str, Any]:
    subject, source = (dates(case, case.of(k)) for k in (case.i, case.j))
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


def map_of_models(case: Case) -> dict[str, Any]:
    """Classical scaling (Torgerson 1952) of the nearest models."""
    chosen = nearest(case)
    x = transform(case.scored.score[np.ix_(chosen, chosen)])
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


def tree(case: Case) -> dict[str, Any]:
    chosen = nearest(case)
    merges, order = tree_of(case.scored.score[np.ix_(chosen, chosen)])
    return {"models": [case.answers.models[k] for k in chosen], "merges": merges, "order": order}


def power_curve(case: Case) -> list[dict[str, Any]]:
    if case.panel is None or case.scored.background.kind == "none":
        return []
    return [
        {"prompts": c.prompts, "tpr_at_1_percent": c.tpr["0.01"], "detected": c.power["derived"]}
        for c in case.panel.sizes
    ]


def parameters(case: Case, also: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "scheme": scheme(),
        "trim": scores.TRIM,
        "prior_models": scores.PRIOR_MODELS,
        "least_prompts": judge.LEAST_PROMPTS,
        "margin": None if case.panel is None else case.panel.parameters["margin"],
        "elsewhere_margin": judge.ELSEWHERE_MARGIN,
        "elsewhere_range": judge.ELSEWHERE_RANGE,
        "feature_sample": {
            "seed": SEED,
            "prompts": keyness.PROMPTS,
            "others": keyness.OTHERS,
            "code_points": keyness.READ,
        },
        "span_tokens": passages.Options().min_tokens,
        "basis": case.judged.basis[0],
        "named_pairs": [[case.subject, case.source], *[list(p) for p in also]],
        "filter": {k: sorted(v) if isinstance(v, frozenset) else v for k, v in fields_of(case.rows).items()},
        "panel": None if case.panel is None else case.panel.parameters,
    }


def digests(case: Case) -> dict[str, Any]:
    def of(model: int) -> str:
        digest = hashlib.sha256()
        for k in case.of(model):
            digest.update(bytes(case.value(int(k), "content_hash")))
        return digest.hexdigest()

    return {
        "panel": None if case.panel is None else case.panel.digest,
        "prompts": prompts_digest(case.answers.prompts),
        "answers_subject": of(case.i),
        "answers_source": of(case.j),
    }
