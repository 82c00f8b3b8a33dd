"""What an answer was made with and from."""

from __future__ import annotations

from typing import Any

from kinprint.client.convert.base import optional
from kinprint.client.types import CorpusState, Provenance


def provenance_from_proto(message: Any) -> Provenance | None:
    """What an answer with a field `provenance` was made with and from; None of servers before it was told."""
    if not message.HasField("provenance"):
        return None
    told = message.provenance
    return Provenance(
        kinprint=told.kinprint,
        pipeline=told.pipeline,
        sketch_scheme=told.sketch_scheme,
        style_scheme=told.style_scheme,
        corpora=tuple(
            CorpusState(
                corpus=state.corpus,
                record_version=state.record_version,
                record_entry=state.record_entry,
                transcripts=state.transcripts,
                model_digest=state.model_digest,
                table_digest=state.table_digest,
            )
            for state in told.corpora
        ),
        kinship_scheme=told.kinship_scheme,
        panel_digest=told.panel_digest,
        seed=optional(told, "seed"),
        parameters=told.parameters,
    )
