"""Messages of SemanticService."""

from __future__ import annotations

from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.distilling import Distilled
from kinprint.server.corpus.filling import FillState
from kinprint.server.corpus.filling import Progress as Filled
from kinprint.server.progress import Progress
from kinprint.server.search.models import Comparison
from kinprint.server.search.run import coverages
from kinprint.server.services.messages.types import coverage
from kinprint.v1 import semantic_pb2

_STATES: dict[FillState, semantic_pb2.FillState] = {
    "off": semantic_pb2.FILL_STATE_OFF,
    "waiting": semantic_pb2.FILL_STATE_WAITING,
    "running": semantic_pb2.FILL_STATE_RUNNING,
    "paused": semantic_pb2.FILL_STATE_PAUSED,
    "complete": semantic_pb2.FILL_STATE_COMPLETE,
    "failed": semantic_pb2.FILL_STATE_FAILED,
}


def fill_message(corpus: Corpus, filled: Filled, waiting: str) -> semantic_pb2.Fill:
    """How far a corpus is filled; `waiting` says what its fast tier waits for."""
    covers = coverages([corpus.view], "semantic")
    incomplete = covers[1].filled < covers[1].fillable
    return semantic_pb2.Fill(
        corpus=corpus.name,
        state=_STATES[filled.state],
        coverage=[coverage(cover) for cover in covers],
        rows_per_second=filled.rows_per_second,
        seconds_left=filled.seconds_left,
        most_rows_per_second=filled.wish.most_rows_per_second,
        problem=filled.problem or (waiting if incomplete else ""),
        second_model=corpus.meaning.second.digest if corpus.meaning.second is not None else "",
        second_filled=corpus.view.filled("second"),
    )


def comparison_message(made: Comparison) -> semantic_pb2.CompareModelsResponse:
    """How two models differ."""
    first, second = (
        semantic_pb2.ModelQuality(
            digest=one.digest,
            filled=one.filled,
            same_prompt_auc=one.same_prompt_auc,
            same_prompt_share=one.same_prompt_share,
        )
        for one in (made.first, made.second)
    )
    return semantic_pb2.CompareModelsResponse(
        first=first, second=second, queries=made.queries, agreement=made.agreement
    )


def distil_message(made: Progress | Distilled) -> semantic_pb2.DistilResponse:
    """What a run of distilling yields."""
    if isinstance(made, Progress):
        return semantic_pb2.DistilResponse(progress=semantic_pb2.DistilProgress(step=made.step, share=made.share))
    return semantic_pb2.DistilResponse(
        finished=semantic_pb2.DistilReport(
            table_digest=made.digest,
            sentences=made.sentences,
            held_out=made.held_out,
            cosine_before=made.cosine_before,
            cosine_after=made.cosine_after,
            recall_before=made.recall_before,
            recall_after=made.recall_after,
        )
    )
