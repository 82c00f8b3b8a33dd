"""Limits on requests; advertised by InfoService and by every upsert stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one request may hold; sizes are bytes of UTF-8."""

    max_text_bytes: int = 1 << 20
    max_message_bytes: int = 4 << 20
    max_batch_items: int = 1000
    max_metadata_bytes: int = 64 << 10
    max_inflight_batches: int = 16
    #: Ids, names of models and accounts, prompt ids.
    max_key_bytes: int = 512
    #: Rows a batch when embeddings are asked for: small enough for visible progress.
    embedding_batch_items: int = 32


LIMITS = Limits()
