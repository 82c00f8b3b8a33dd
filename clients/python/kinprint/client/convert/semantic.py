"""Messages of the service for the semantic channel."""

from __future__ import annotations

import math

from kinprint.client.convert.base import check_text, count, invalid, optional
from kinprint.client.convert.server import coverage_from_proto, fast_coverage
from kinprint.client.types import DistilReport, Fill, FillState, ModelComparison, ModelQuality
from kinprint.v1 import semantic_pb2, types_pb2

_STATES: dict[int, FillState] = {
    semantic_pb2.FILL_STATE_OFF: "off",
    semantic_pb2.FILL_STATE_WAITING: "waiting",
    semantic_pb2.FILL_STATE_RUNNING: "running",
    semantic_pb2.FILL_STATE_PAUSED: "paused",
    semantic_pb2.FILL_STATE_COMPLETE: "complete",
    semantic_pb2.FILL_STATE_FAILED: "failed",
}


def start_fill_request(
    corpus: str, most_rows_per_second: float, model: str | None = None
) -> semantic_pb2.StartFillRequest:
    """A `StartFillRequest`.

    Raises:
        InvalidArgumentError: a rate that is none.
    """
    rate = most_rows_per_second
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not math.isfinite(rate) or rate < 0:
        raise invalid("most_rows_per_second", "must be a finite number, 0 or more")
    return semantic_pb2.StartFillRequest(
        corpus=check_text(corpus, "corpus"),
        most_rows_per_second=rate,
        model=None if model is None else check_text(model, "model"),
    )


def pause_fill_request(corpus: str) -> semantic_pb2.PauseFillRequest:
    """A `PauseFillRequest`."""
    return semantic_pb2.PauseFillRequest(corpus=check_text(corpus, "corpus"))


def get_fill_request(corpus: str) -> semantic_pb2.GetFillRequest:
    """A `GetFillRequest`."""
    return semantic_pb2.GetFillRequest(corpus=check_text(corpus, "corpus"))


def fill_from_proto(message: semantic_pb2.Fill) -> Fill:
    """How far a corpus is filled; a state of a newer server reads as unknown."""
    accurate = [item for item in message.coverage if item.tier == types_pb2.TIER_ACCURATE]
    return Fill(
        corpus=message.corpus,
        state=_STATES.get(message.state, "unknown"),
        accurate=coverage_from_proto(accurate[0]) if accurate else None,
        fast=fast_coverage(message.coverage),
        rows_per_second=message.rows_per_second,
        seconds_left=optional(message, "seconds_left"),
        most_rows_per_second=message.most_rows_per_second,
        problem=message.problem,
        second_model=message.second_model,
        second_filled=message.second_filled,
    )


def compare_models_request(corpus: str, queries: int) -> semantic_pb2.CompareModelsRequest:
    """A `CompareModelsRequest`."""
    return semantic_pb2.CompareModelsRequest(corpus=check_text(corpus, "corpus"), queries=count(queries, "queries"))


def switch_model_request(corpus: str) -> semantic_pb2.SwitchModelRequest:
    """A `SwitchModelRequest`."""
    return semantic_pb2.SwitchModelRequest(corpus=check_text(corpus, "corpus"))


def drop_model_request(corpus: str) -> semantic_pb2.DropModelRequest:
    """A `DropModelRequest`."""
    return semantic_pb2.DropModelRequest(corpus=check_text(corpus, "corpus"))


def _quality(message: semantic_pb2.ModelQuality) -> ModelQuality:
    return ModelQuality(
        digest=message.digest,
        filled=message.filled,
        same_prompt_auc=optional(message, "same_prompt_auc"),
        same_prompt_share=optional(message, "same_prompt_share"),
    )


def model_comparison_from_proto(message: semantic_pb2.CompareModelsResponse) -> ModelComparison:
    """How two models of a corpus differ."""
    return ModelComparison(_quality(message.first), _quality(message.second), message.queries, message.agreement)


def distil_request(corpus: str, sentences: int) -> semantic_pb2.DistilRequest:
    """A `DistilRequest`."""
    return semantic_pb2.DistilRequest(corpus=check_text(corpus, "corpus"), sentences=count(sentences, "sentences"))


def distil_report_from_proto(message: semantic_pb2.DistilReport) -> DistilReport:
    """What a fit is worth."""
    return DistilReport(
        table_digest=message.table_digest,
        sentences=message.sentences,
        held_out=message.held_out,
        cosine_before=message.cosine_before,
        cosine_after=message.cosine_after,
        recall_before=optional(message, "recall_before"),
        recall_after=optional(message, "recall_after"),
    )
