"""Messages of the service for lineage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kinprint.client.chunking import batches
from kinprint.client.convert.base import (
    check_text,
    filter_to_proto,
    invalid,
    matrix_from_proto,
    optional,
    strings,
)
from kinprint.client.convert.provenance import provenance_from_proto
from kinprint.client.convert.server import limits_from_proto
from kinprint.client.types import (
    PANEL_BYTES,
    AttributedSet,
    AttributionModel,
    AttributionPower,
    AttributionSummary,
    Basis,
    Candidate,
    EvidenceFile,
    Filter,
    KinshipPairs,
    KinshipSummary,
    Limits,
    Lineage,
    Matrix,
    PanelEdge,
    PanelFile,
    PanelMember,
    PanelSize,
    PanelSource,
    PanelSummary,
    PanelSuspect,
    UnknownText,
    Verdict,
)
from kinprint.v1 import lineage_pb2, types_pb2

_VERDICTS: dict[int, Verdict] = {
    lineage_pb2.KINSHIP_VERDICT_DERIVED: "derived",
    lineage_pb2.KINSHIP_VERDICT_KIN: "kin",
    lineage_pb2.KINSHIP_VERDICT_UNRESOLVED: "unresolved",
    lineage_pb2.KINSHIP_VERDICT_NO_BACKGROUND: "no_background",
}
_BASES: dict[int, Basis] = {
    lineage_pb2.KINSHIP_BASIS_MATCHED: "matched",
    lineage_pb2.KINSHIP_BASIS_BRIDGED: "bridged",
}


def panel_to_proto(panel: PanelSource | None) -> bytes | None:
    """The bytes of a panel, None for None.

    Raises:
        InvalidArgumentError: they are too many for a panel (reason PANEL_DAMAGED).
        OSError: the file cannot be read.
    """
    if panel is None:
        return None
    if isinstance(panel, (str, Path)):
        panel = PanelFile.load(panel)
    data = panel.data if isinstance(panel, PanelFile) else panel
    if len(data) > PANEL_BYTES:
        raise invalid("panel", f"{len(data)} bytes are too many for a Kinprint panel", "PANEL_DAMAGED")
    return data


def _seed(seed: int) -> int:
    if not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise invalid("seed", "must be a whole number, 0 or more")
    return seed


def fit_panel_request(
    corpus: str, members: Iterable[PanelMember], edges: Iterable[PanelEdge], row_filter: Filter | None, seed: int
) -> lineage_pb2.FitPanelRequest:
    """A `FitPanelRequest`."""
    return lineage_pb2.FitPanelRequest(
        corpus=check_text(corpus, "corpus"),
        members=[
            lineage_pb2.PanelMember(
                model=check_text(member.model, f"members[{i}].model"),
                family=check_text(member.family, f"members[{i}].family"),
                shares_with=strings(member.shares_with, f"members[{i}].shares_with"),
            )
            for i, member in enumerate(members)
        ],
        edges=[
            lineage_pb2.PanelEdge(
                model=check_text(edge.model, f"edges[{i}].model"),
                related_to=check_text(edge.related_to, f"edges[{i}].related_to"),
                relation=check_text(edge.relation, f"edges[{i}].relation"),
            )
            for i, edge in enumerate(edges)
        ],
        filter=filter_to_proto(row_filter),
        seed=_seed(seed),
    )


def inspect_panel_request(panel: PanelSource) -> lineage_pb2.InspectPanelRequest:
    """An `InspectPanelRequest`."""
    return lineage_pb2.InspectPanelRequest(panel=panel_to_proto(panel))


def kinship_request(
    corpus: str, panel: PanelSource | None, models: Iterable[str], row_filter: Filter | None
) -> lineage_pb2.FindKinshipRequest:
    """A `FindKinshipRequest`."""
    return lineage_pb2.FindKinshipRequest(
        corpus=check_text(corpus, "corpus"),
        panel=panel_to_proto(panel),
        models=strings(models, "models"),
        filter=filter_to_proto(row_filter),
    )


def attribute_start(
    corpus: str, panel: PanelSource | None, models: Iterable[str], row_filter: Filter | None, seed: int
) -> lineage_pb2.AttributeRequest:
    """The message that opens a stream of texts."""
    start = lineage_pb2.AttributeStart(
        corpus=check_text(corpus, "corpus"),
        panel=panel_to_proto(panel),
        models=strings(models, "models"),
        filter=filter_to_proto(row_filter),
        seed=_seed(seed),
    )
    return lineage_pb2.AttributeRequest(start=start)


def attribute_batches(items: Iterable[UnknownText | str], limits: Limits) -> Iterator[lineage_pb2.AttributeRequest]:
    """The messages that carry texts.

    Raises:
        InvalidArgumentError: a text is too long (reason TEXT_TOO_LONG) or no text.
    """
    for batch in batches(_sized(items, limits), limits.max_batch_items):
        yield lineage_pb2.AttributeRequest(batch=lineage_pb2.AttributeBatch(texts=batch))


def attribute_stop() -> lineage_pb2.AttributeRequest:
    """The message that ends the texts."""
    return lineage_pb2.AttributeRequest(stop=lineage_pb2.AttributeStop())


def _sized(items: Iterable[UnknownText | str], limits: Limits) -> Iterator[tuple[lineage_pb2.AttributeText, int]]:
    for i, item in enumerate(items):
        given = UnknownText(item, id=str(i)) if isinstance(item, str) else item
        text = check_text(given.text, f"texts[{i}]")
        if len(text.encode()) > limits.max_text_bytes:
            raise invalid(
                f"texts[{i}]", f"the text is longer than {limits.max_text_bytes} bytes of UTF-8", "TEXT_TOO_LONG"
            )
        message = lineage_pb2.AttributeText(text=text, id=check_text(given.id, f"texts[{i}].id"))
        if given.set_id is not None:
            message.set_id = check_text(given.set_id, f"texts[{i}].set_id")
        yield message, message.ByteSize()


def evidence_request(
    corpus: str,
    subject: str,
    source: str,
    panel: PanelSource | None,
    also: Iterable[tuple[str, str]],
    row_filter: Filter | None,
) -> lineage_pb2.BuildEvidenceRequest:
    """A `BuildEvidenceRequest`."""
    return lineage_pb2.BuildEvidenceRequest(
        corpus=check_text(corpus, "corpus"),
        subject=check_text(subject, "subject"),
        source=check_text(source, "source"),
        panel=panel_to_proto(panel),
        filter=filter_to_proto(row_filter),
        also=[
            lineage_pb2.EvidencePair(
                subject=check_text(one, f"also[{i}].subject"), source=check_text(other, f"also[{i}].source")
            )
            for i, (one, other) in enumerate(also)
        ],
    )


def lineage_request(
    corpus: str, panel: PanelSource | None, row_filter: Filter | None
) -> lineage_pb2.FindLineageRequest:
    """A `FindLineageRequest`."""
    return lineage_pb2.FindLineageRequest(
        corpus=check_text(corpus, "corpus"), panel=panel_to_proto(panel), filter=filter_to_proto(row_filter)
    )


def _size_from_proto(message: lineage_pb2.PanelSize) -> PanelSize:
    return PanelSize(
        prompts=message.prompts,
        draws=message.draws,
        null_pairs=message.null_pairs,
        log10_lr_min=message.log10_lr_min,
        log10_lr_max=message.log10_lr_max,
        threshold=message.threshold,
        cllr=message.cllr,
        cllr_min=message.cllr_min,
        power_derived=message.power_derived,
        power_kin=message.power_kin,
        rates={rate.false_alarms: optional(rate, "found") for rate in message.rates},
    )


def panel_summary_from_proto(message: lineage_pb2.PanelSummary) -> PanelSummary:
    """What a panel holds."""
    return PanelSummary(
        digest=message.digest,
        version=message.version,
        kinprint=message.kinprint,
        scheme=message.scheme,
        corpus=message.corpus,
        members=tuple(PanelMember(m.model, m.family, tuple(m.shares_with)) for m in message.members),
        families=message.families,
        independent_families=message.independent_families,
        prompts=message.prompts,
        unrelated_pairs=message.unrelated_pairs,
        kin_pairs=message.kin_pairs,
        derived_pairs=message.derived_pairs,
        derived_from=message.derived_from,
        sizes=tuple(_size_from_proto(size) for size in message.sizes),
        bridged=_size_from_proto(message.bridged) if message.HasField("bridged") else None,
        suspects=tuple(PanelSuspect(pair.model_a, pair.model_b, pair.score) for pair in message.suspects),
        cautions=tuple(message.cautions),
    )


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers of a column; NaN, which stands for none, as None."""
    return [None if math.isnan(value) else value for value in values]


def kinship_from_proto(message: lineage_pb2.KinshipPairs) -> KinshipPairs:
    """A batch of pairs; a verdict or basis of a newer server reads as the one that says least."""
    return KinshipPairs(
        model_a=list(message.model_a),
        model_b=list(message.model_b),
        prompts=list(message.prompts),
        score=_numbers(message.score),
        log10_lr=_numbers(message.log10_lr),
        p_value=_numbers(message.p_value),
        p_floor=_numbers(message.p_floor),
        verdict=[_VERDICTS.get(verdict, "no_background") for verdict in message.verdict],
        basis=[_BASES.get(basis, "none") for basis in message.basis],
    )


def kinship_summary_from_proto(message: lineage_pb2.KinshipFinished) -> KinshipSummary:
    """Totals of a search for kinship."""
    return KinshipSummary(
        models=message.models,
        prompts=message.prompts,
        pairs=message.pairs,
        answers=message.answers,
        left_out=dict(sorted(message.left_out.items())),
        families=message.families,
        panel_digest=message.panel_digest,
        carries_over=tuple(message.carries_over),
        does_not_carry_over=tuple(message.does_not_carry_over),
        cautions=tuple(message.cautions),
        provenance=provenance_from_proto(message),
    )


def started_limits(message: lineage_pb2.AttributeStarted) -> Limits:
    """Limits of texts and batches."""
    return limits_from_proto(message.limits)


def sets_from_proto(message: lineage_pb2.AttributedSets) -> list[AttributedSet]:
    """A batch of sets with their possible authors."""
    return [
        AttributedSet(
            set_id=optional(found, "set_id"),
            id=found.id,
            texts=found.texts,
            counted=found.counted,
            too_short=found.too_short,
            repeated=found.repeated_texts,
            beyond=found.beyond,
            abstained=found.abstained,
            reason=found.reason,
            candidates=tuple(Candidate(optional(c, "model"), c.log10_lr, c.probability) for c in found.candidates),
        )
        for found in message.sets
    ]


def attribution_summary_from_proto(message: lineage_pb2.AttributeFinished) -> AttributionSummary:
    """Totals of an attribution."""
    return AttributionSummary(
        sets=message.sets,
        named=message.named,
        texts=message.texts,
        models=tuple(AttributionModel(m.model, m.texts_used, m.texts_given) for m in message.models),
        left_out={item.model: item.why for item in message.left_out},
        power=tuple(
            AttributionPower(
                size=power.size,
                sets=power.sets,
                accuracy=power.accuracy,
                named=power.named,
                correct=optional(power, "correct"),
                unknown_sets=power.unknown_sets,
                false_names=optional(power, "false_names"),
                auc=optional(power, "auc"),
                cllr=optional(power, "cllr"),
                calibration_error=optional(power, "calibration_error"),
            )
            for power in message.power
        ),
        prior_unknown=message.prior_unknown,
        notes=tuple(message.notes),
        provenance=provenance_from_proto(message),
    )


def evidence_from_proto(chunks: Sequence[bytes]) -> EvidenceFile:
    """A document of its pieces."""
    return EvidenceFile(b"".join(chunks))


def lineage_from_proto(scores: Sequence[types_pb2.Matrix], finished: lineage_pb2.LineageFinished) -> Lineage:
    """A tree, from the rows of the matrix of scores and the last message."""
    models = tuple(finished.models)
    data = b"".join(rows.data for rows in scores)
    return Lineage(
        models=models,
        scores=Matrix(data, "float64", len(models), len(models)),
        newick=finished.newick,
        order=tuple(finished.order),
        merges=matrix_from_proto(finished.merges),
        cautions=tuple(finished.cautions),
        provenance=provenance_from_proto(finished),
    )
