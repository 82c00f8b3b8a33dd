"""Messages of TranscriptService."""

from __future__ import annotations

from collections import Counter

from kinprint.server.corpus.normalise import Normalised
from kinprint.server.corpus.writer import Stored
from kinprint.server.edge.errors import status_of
from kinprint.v1 import transcript_pb2

_OUTCOMES = {
    "CREATED": transcript_pb2.UPSERT_OUTCOME_CREATED,
    "REPLACED": transcript_pb2.UPSERT_OUTCOME_REPLACED,
    "UNCHANGED": transcript_pb2.UPSERT_OUTCOME_UNCHANGED,
    "FILLED": transcript_pb2.UPSERT_OUTCOME_FILLED,
    "SUPERSEDED": transcript_pb2.UPSERT_OUTCOME_SUPERSEDED,
}


def upsert_result(
    sequence: int, size: int, rows: Normalised, stored: Stored | None
) -> tuple[transcript_pb2.UpsertResult, Counter[str]]:
    """What became of a batch of `size` transcripts, and its counts by the names of UpsertFinished.

    stored: None when no row of the batch was accepted.
    """
    result = transcript_pb2.UpsertResult(sequence=sequence)
    totals: Counter[str] = Counter(failed=len(rows.refused))
    items = [result.items.add() for _ in range(size)]
    for position, failure in rows.refused:
        items[position].error.CopyFrom(status_of(failure))
    if stored is not None:
        outcome = stored.outcome
        for position, identifier, name in zip(
            rows.items.tolist(), rows.frame["id"].to_list(), outcome.outcomes, strict=True
        ):
            item = items[position].item
            item.id = identifier
            item.outcome = _OUTCOMES[name]
        totals.update(name.lower() for name in outcome.outcomes)
        totals["repeated_ids"] += outcome.repeated_ids
        totals["blank"] += rows.frame["text_hash"].null_count()
        totals["truncated"] += stored.truncated
    return result, totals
