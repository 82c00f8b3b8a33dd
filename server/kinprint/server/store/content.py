"""Content hashes: what a stored transcript says, in 16 bytes of its row.

BLAKE2b over the fields that make up its content, each with its length before it, so that no two rows that differ have
one.  Rows that are read from the record are compared with theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

#: Text fields that the hash is over, in its order; time, turn and metadata follow.
HASHED = (
    "model",
    "prompt_id",
    "prompt",
    "response",
    "language",
    "account_id",
    "system_prompt",
    "conversation_id",
    "reasoning",
)
COLUMNS = (*HASHED, "created_at", "turn", "metadata", "content_hash")
"""Columns of a record that `wrong_rows` reads."""


def fields_digest(size: int, person: bytes, texts: Sequence[str | None], tail: bytes = b"") -> bytes:
    """BLAKE2b over length-prefixed UTF-8 fields; length 0xFFFFFFFF stands for an absent field."""
    parts: list[bytes] = []
    for text in texts:
        if text is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            data = text.encode()
            parts += (len(data).to_bytes(4, "little"), data)
    parts.append(tail)
    return hashlib.blake2b(b"".join(parts), digest_size=size, person=person).digest()


def content_hash(
    texts: Sequence[str | None], created_us: int | None, turn: int | None, metadata: Mapping[str, str]
) -> bytes:
    """Hash of a row: `texts` are its fields `HASHED`, `created_us` microseconds since 1970 UTC."""
    pairs = [x for pair in metadata.items() for x in pair]
    numbers = (str(created_us) if created_us is not None else None, str(turn) if turn is not None else None)
    return fields_digest(16, b"kinprint.content", [*texts, *numbers, *pairs])


def wrong_rows(puts: pl.DataFrame) -> list[int]:
    """Rows of a frame of puts, with `COLUMNS`, whose content is not that of their hash."""
    texts = [puts[name].to_list() for name in HASHED]
    times = puts["created_at"].cast(pl.Int64).to_list()
    turns, metadata, hashes = (puts[name].to_list() for name in ("turn", "metadata", "content_hash"))
    return [
        i
        for i, (fields, created, turn, pairs, found) in enumerate(
            zip(zip(*texts, strict=True), times, turns, metadata, hashes, strict=True)
        )
        if content_hash(fields, created, turn, pairs or {}) != found
    ]
