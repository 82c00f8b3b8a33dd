"""Messages of LineageService."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from kinprint.server.authorship import attribute
from kinprint.server.authorship.attributor import Ranking
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import panel as panels
from kinprint.server.kinship import tree as lineage
from kinprint.server.kinship.calibration import Calibration
from kinprint.server.kinship.dossier import document as report
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress
from kinprint.server.services.messages.types import matrix
from kinprint.v1 import lineage_pb2

#: Bytes of a document or a matrix in one message.
_CHUNK_BYTES = 1 << 20
#: Rows of a message: two names of 512 bytes and seven numbers each stay below the limit.
_MESSAGE_ROWS = 2500


def step(name: str, share: float) -> lineage_pb2.LineageProgress:
    return lineage_pb2.LineageProgress(step=name, share=share)


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def panel_messages(made: Progress | Panel) -> Iterator[lineage_pb2.FitPanelResponse]:
    if isinstance(made, Progress):
        yield lineage_pb2.FitPanelResponse(progress=step(made.step, made.share))
        return
    for chunk in _chunks(made.to_bytes()):
        yield lineage_pb2.FitPanelResponse(chunk=chunk)
    yield lineage_pb2.FitPanelResponse(finished=summary(made))


def summary(panel: Panel) -> lineage_pb2.PanelSummary:
    """What a panel holds."""
    features = panels.scheme()
    message = lineage_pb2.PanelSummary(
        digest=panel.digest,
        version=panels.VERSION,
        kinprint=panel.kinprint,
        scheme=f"{features['name']}/{features['version']}",
        corpus=panel.corpus,
        members=[
            lineage_pb2.PanelMember(model=member.model, family=member.family, shares_with=member.shares_with)
            for member in panel.members
        ],
        families=panel.families,
        independent_families=panel.independent_families,
        prompts=len(panel.prompts),
        unrelated_pairs=panel.pairs["unrelated"],
        kin_pairs=panel.pairs["kin"],
        derived_pairs=panel.pairs["derived"],
        derived_from=panel.derived_from,
        sizes=[_size(size) for size in panel.sizes],
        cautions=panel.cautions,
        suspects=[lineage_pb2.PanelSuspect(model_a=a, model_b=b, score=score) for a, b, score in panel.suspects],
    )
    if panel.bridged is not None:
        message.bridged.CopyFrom(_size(panel.bridged))
    return message


def _size(size: Calibration) -> lineage_pb2.PanelSize:
    rates = sorted((float(rate), found) for rate, found in size.tpr.items())
    return lineage_pb2.PanelSize(
        prompts=size.prompts,
        draws=size.draws,
        null_pairs=size.null_count,
        log10_lr_min=size.log10_lr_min,
        log10_lr_max=size.log10_lr_max,
        threshold=size.threshold,
        cllr=size.cllr,
        cllr_min=size.cllr_min,
        power_derived=size.power["derived"],
        power_kin=size.power["kin"],
        rates=[lineage_pb2.PanelRate(false_alarms=rate, found=found) for rate, found in rates],
    )


_VERDICTS = {
    "derived": lineage_pb2.KINSHIP_VERDICT_DERIVED,
    "kin": lineage_pb2.KINSHIP_VERDICT_KIN,
    "unresolved": lineage_pb2.KINSHIP_VERDICT_UNRESOLVED,
    "no_background": lineage_pb2.KINSHIP_VERDICT_NO_BACKGROUND,
}
_BASES = {
    "matched": lineage_pb2.KINSHIP_BASIS_MATCHED,
    "bridged": lineage_pb2.KINSHIP_BASIS_BRIDGED,
    "none": lineage_pb2.KINSHIP_BASIS_UNSPECIFIED,
}


def kinship_messages(made: Progress | kinship.Pairs | kinship.Totals) -> Iterator[lineage_pb2.FindKinshipResponse]:
    if isinstance(made, Progress):
        yield lineage_pb2.FindKinshipResponse(progress=step(made.step, made.share))
        return
    if isinstance(made, kinship.Totals):
        finished = lineage_pb2.KinshipFinished(
            models=made.models,
            prompts=made.prompts,
            pairs=made.pairs,
            answers=made.answers,
            left_out=made.left_out,
            families=made.families,
            panel_digest=made.panel_digest,
            carries_over=made.carries_over,
            does_not_carry_over=made.does_not,
            cautions=made.cautions,
        )
        yield lineage_pb2.FindKinshipResponse(finished=finished)
        return
    for start in range(0, len(made.model_a), _MESSAGE_ROWS):
        some = slice(start, start + _MESSAGE_ROWS)
        pairs = lineage_pb2.KinshipPairs(
            model_a=made.model_a[some],
            model_b=made.model_b[some],
            prompts=made.prompts[some],
            score=made.score[some],
            log10_lr=made.log10_lr[some],
            p_value=made.p_value[some],
            p_floor=made.p_floor[some],
            verdict=[_VERDICTS[verdict] for verdict in made.verdict[some]],
            basis=[_BASES[basis] for basis in made.basis[some]],
        )
        yield lineage_pb2.FindKinshipResponse(pairs=pairs)


def lineage_messages(made: Progress | lineage.Lineage) -> Iterator[lineage_pb2.FindLineageResponse]:
    if isinstance(made, Progress):
        yield lineage_pb2.FindLineageResponse(progress=step(made.step, made.share))
        return
    scores = np.asarray(made.scores, np.float64)
    height = max(1, _CHUNK_BYTES // (8 * max(1, scores.shape[1])))
    for start in range(0, scores.shape[0], height):
        yield lineage_pb2.FindLineageResponse(scores=matrix(scores[start : start + height]))
    finished = lineage_pb2.LineageFinished(
        models=made.models,
        newick=made.tree,
        order=made.order,
        merges=matrix(np.asarray(made.merges, np.float64).reshape(-1, 4)),
        cautions=made.cautions,
    )
    yield lineage_pb2.FindLineageResponse(finished=finished)


def evidence_messages(made: Progress | report.Report) -> Iterator[lineage_pb2.BuildEvidenceResponse]:
    if isinstance(made, Progress):
        yield lineage_pb2.BuildEvidenceResponse(progress=step(made.step, made.share))
        return
    data = made.to_bytes()
    for chunk in _chunks(data):
        yield lineage_pb2.BuildEvidenceResponse(chunk=chunk)
    finished = lineage_pb2.EvidenceFinished(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    yield lineage_pb2.BuildEvidenceResponse(finished=finished)


def attribute_messages(
    made: Progress | list[Ranking] | attribute.Totals, ids: Sequence[tuple[str | None, str]]
) -> Iterator[lineage_pb2.AttributeResponse]:
    """What a run of attribution yields; `ids` are set_id and id of each set by its code."""
    if isinstance(made, Progress):
        yield lineage_pb2.AttributeResponse(progress=step(made.step, made.share))
    elif isinstance(made, attribute.Totals):
        yield lineage_pb2.AttributeResponse(finished=_finished(made))
    else:
        yield from _set_messages(made, ids)


def _set_messages(
    rankings: Iterable[Ranking], ids: Sequence[tuple[str | None, str]]
) -> Iterator[lineage_pb2.AttributeResponse]:
    sets: list[lineage_pb2.AttributedSet] = []
    rows = 0
    for ranking in rankings:
        candidates = [
            lineage_pb2.Candidate(model=found.name, log10_lr=found.log10_lr, probability=found.probability)
            for found in ranking.ranked
        ]
        place = sum(found.probability >= ranking.none_of_these for found in ranking.ranked)
        candidates.insert(
            place, lineage_pb2.Candidate(log10_lr=ranking.none_log10_lr, probability=ranking.none_of_these)
        )
        set_id, name = ids[ranking.set]
        if sets and rows + len(candidates) > _MESSAGE_ROWS:
            yield lineage_pb2.AttributeResponse(sets=lineage_pb2.AttributedSets(sets=sets))
            sets, rows = [], 0
        sets.append(
            lineage_pb2.AttributedSet(
                set_id=set_id,
                id=name,
                texts=ranking.texts,
                counted=ranking.counted,
                too_short=ranking.too_short,
                repeated_texts=ranking.repeated,
                beyond=ranking.beyond,
                abstained=ranking.abstained,
                reason=ranking.reason,
                candidates=candidates,
            )
        )
        rows += len(candidates)
    if sets:
        yield lineage_pb2.AttributeResponse(sets=lineage_pb2.AttributedSets(sets=sets))


def _finished(made: attribute.Totals) -> lineage_pb2.AttributeFinished:
    """Totals of an attribution."""
    return lineage_pb2.AttributeFinished(
        sets=made.sets,
        named=made.named,
        texts=made.texts,
        models=[
            lineage_pb2.AttributionModel(model=name, texts_used=used, texts_given=given)
            for name, used, given in zip(made.names, made.texts_used, made.texts_given, strict=True)
        ],
        left_out=[lineage_pb2.AttributionLeftOut(model=name, why=why) for name, why in made.left_out],
        power=[
            lineage_pb2.AttributionPower(
                size=power.size,
                sets=power.sets,
                accuracy=power.accuracy,
                named=power.named,
                correct=_number(power.correct),
                unknown_sets=power.unknown_sets,
                false_names=_number(power.false_names),
                auc=_number(power.auc),
                cllr=_number(power.cllr),
                calibration_error=_number(power.calibration_error),
            )
            for power in made.power
        ],
        prior_unknown=made.prior_unknown,
        notes=made.notes,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
