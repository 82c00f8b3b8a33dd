"""Reports: everything that can be said about two named models, with its uncertainty, as one reproducible document.

The document is canonical JSON: the same corpus, panel and models give the same bytes.  It keeps three hypotheses apart:
that subject and source are the same or a derived model, that the subject was trained on the source's outputs, and that
both resemble what many models resemble.  Only the first can be supported by the score; for the second no method known
to us finds a teacher without false accusations, and the report says so.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.failures import ModelNotFound
from kinprint.server.kinship import judge
from kinprint.server.kinship.answers import gather
from kinprint.server.kinship.dossier import excerpts, hypotheses, sections
from kinprint.server.kinship.dossier.case import Case
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress, result_of

FORMAT, VERSION = "kinprint-evidence", 1


@dataclass(frozen=True, eq=False)
class Report:
    """A report; `document` holds JSON types only."""

    document: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Canonical JSON with a newline at the end."""
        text = json.dumps(self.document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
        return text.encode("utf-8", "surrogatepass") + b"\n"


def build(
    view: View,
    subject: str,
    source: str,
    background: Panel | None,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    *,
    also: Sequence[tuple[str, str]] = (),
    provenance: Mapping[str, Any] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Progress | Report]:
    """Gather the evidence on one pair of models; the `Report` comes last.

    `also` are further pairs that were named beforehand: p-values are corrected for all of them together (Holm 1979).
    `provenance` is what the document tells of the record that the view is of, JSON types only; None: nothing.
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
    scored = yield from result_of(judge.score_models(answers, background, cancelled), 0.6)
    if scored is None:
        return
    position = {m: k for k, m in enumerate(answers.models)}
    # A pair has no order: named the other way round it is no further test.
    pairs = [sorted((position[a], position[b])) for a, b in ((subject, source), *also)]
    named = list(dict.fromkeys((a, b) for a, b in pairs))
    a, b = (np.array([pair[k] for pair in named]) for k in (0, 1))
    judged = judge.judge(scored.score[a, b], scored.shared[a, b], scored.across[a, b], background, scored.background)
    case = Case(
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
        judged,
    )
    yield Progress("counting features", 0.65)
    features = excerpts.features(case)
    yield Progress("looking for shared passages", 0.75)
    spans, spans_summary = excerpts.spans(case, cancelled)
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
        "statement": hypotheses.statement(case, spans_summary),
        "data": sections.data(case),
        "background": sections.background(case),
        "hypotheses": [hypotheses.derived(case), hypotheses.trained_on(case), hypotheses.convergence(case)],
        "distribution": sections.distribution(case),
        "controls": sections.controls(case),
        "families_of_features": sections.families(case),
        "features": features,
        "spans": spans,
        "spans_summary": spans_summary,
        "semantic": sections.semantic(case),
        "temporal": sections.temporal(case),
        "map": sections.map_of_models(case),
        "tree": sections.tree(case),
        "power_curve": sections.power_curve(case),
        "confounders": hypotheses.confounders(case),
        "parameters": sections.parameters(case, also),
        "digests": sections.digests(case),
    }
    if provenance is not None:
        document["provenance"] = dict(provenance)
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
