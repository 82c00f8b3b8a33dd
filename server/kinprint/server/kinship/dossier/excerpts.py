"""Excerpts: what the resemblance looks like, in key features with examples and in stretches that stand in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from kinprint.kernels.copy.differences import DIFFERENCES
from kinprint.server.corpus.filter import Filter
from kinprint.server.kinship.dossier import keyness
from kinprint.server.kinship.dossier.case import CONTEXT, SEED, SPAN_TEXT, SPANS, Case, fields_of
from kinprint.server.search import passages


def features(case: Case) -> list[dict[str, Any]]:
    present = case.answers.present
    both = np.flatnonzero(present[:, case.i] & present[:, case.j])
    rng = np.random.default_rng(SEED)
    if len(both) > keyness.PROMPTS:
        both = np.sort(rng.choice(both, keyness.PROMPTS, replace=False))
    answered = []
    for prompt in both:
        first, last = case.answers.starts[prompt], case.answers.starts[prompt + 1]
        at = {int(case.answers.model[k]): int(k) for k in range(first, last)}
        others = [k for m, k in at.items() if m not in (case.i, case.j)]
        if len(others) > keyness.OTHERS:
            others = [others[int(x)] for x in np.sort(rng.choice(len(others), keyness.OTHERS, replace=False))]
        answered.append(
            keyness.Answered(
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
            "plain": keyness.plain(f),
            "subject_rate": f.subject_rate,
            "source_rate": f.source_rate,
            "background_rate": f.background_rate,
            "subject_prompts": f.subject_prompts,
            "source_prompts": f.source_prompts,
            "log10_ratio": f.log10_ratio,
            "examples": [{"prompt": p, "subject": a, "source": b} for p, a, b in f.examples],
        }
        for f in keyness.find(answered)
    ]


def spans(case: Case, cancelled: Callable[[], bool]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    # All other models are on the other side, so that rarity is counted among them; listed are passages of the source.
    fields = fields_of(case.rows)
    own = Filter(**{**fields, "models": frozenset([case.subject])})
    others = Filter(**{**fields, "exclude_models": case.rows.exclude_models | {case.subject}})
    ids = {case.view.parts[p].segment.array("id")[r].as_py(): k for k, (p, r) in _rows_of_pair(case)}
    theirs = {case.value(int(k), "id") for k in case.of(case.j)}
    found: list[tuple[float, str, str, int, int, int, int, int, int, int, int]] = []
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
                        int(made.differences[k]),
                    )
                )
            found = sorted(found, key=lambda f: (-f[0], f[1:]))[: 4 * SPANS]
    shown = []
    for bits, id_a, id_b, start_a, end_a, start_b, end_b, tokens, having, answers, differs in found[:SPANS]:
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
                "differences": [name for bit, name in enumerate(DIFFERENCES) if differs >> bit & 1],
            }
        )
    return shown, {
        "pairs_compared": len(case.of(case.i)) * len(case.of(case.j)),
        "spans": count,
        "longest_tokens": longest,
        "expected_note": "Stretches of twelve words or more, whatever their white space, case, punctuation and "
        "Unicode form; those that quote the prompt, code or licences, or stand in more than "
        f"{passages.Options().max_texts:,} answers, are left out. Bits say how rare a stretch is among other models' "
        "answers, no rarer than so many answers can show; they must not be added up, since models trained on the same "
        "texts quote the same texts.",
    }


def _rows_of_pair(case: Case) -> Iterator[tuple[int, tuple[int, int]]]:
    """(answer, (part, row)) of the subject's and the source's answers."""
    for k in np.concatenate((case.of(case.i), case.of(case.j))):
        yield int(k), case.row(int(k))


def _response(case: Case, name: str, ids: dict[str, int]) -> str:
    if name in ids:
        return str(case.value(ids[name], "response"))
    place = case.view.locate([name])[0]
    return "" if place is None else str(case.view.parts[place.part].segment.array("response")[place.row].as_py())
