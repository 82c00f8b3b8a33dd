"""Fingerprint: from stored text to the record's channel columns, now and whenever the pipeline has changed since."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl
from kinprint.server.channels import CHANNELS, Channel
from kinprint.server.corpus.normalise import PIPELINE, is_blank, prompt_keys, text_hashes
from kinprint.server.store.columns import rows_to_binary, text_buffers


def fingerprint(responses: pl.Series, channels: Collection[str]) -> dict[str, pl.Series]:
    """Record columns of those of the channels that are not embedded.

    `responses` holds no blank text.  Embeddings come from `kinprint.server.embed`, not from here: they
    take a thousand times longer and must never hold these back.
    """
    columns: dict[str, pl.Series] = {}
    buffers = text_buffers(responses)
    for name, channel in CHANNELS.items():
        if name in channels and not channel.embedded:
            columns |= channel.fingerprint(*buffers)
    return columns


def refreshed(puts: pl.DataFrame) -> pl.DataFrame:
    """Put rows of the record with everything that an older pipeline made from their texts made anew.

    Fingerprints and hashes of different versions must not meet, and the record keeps what it was given; so rows of
    older pipelines are fingerprinted again whenever the index is built from them.
    """
    old = puts["pipeline"] < PIPELINE
    if not old.any():
        return puts
    stale = puts.filter(old)
    hashes = text_hashes(stale["response"])
    keys = pl.Series(prompt_keys(stale["prompt"].to_list()), dtype=pl.String)
    anew = stale.with_columns(
        pl.when(pl.Series(~is_blank(hashes))).then(rows_to_binary(hashes)).alias("text_hash"),
        pl.when(pl.col("prompt_id").is_null()).then(keys).otherwise(pl.col("prompt_key")).alias("prompt_key"),
        pl.lit(PIPELINE, pl.Int32).alias("pipeline"),
    )
    for channel in CHANNELS.values():
        outdated = (stale["pipeline"] < channel.since) & stale[channel.column].is_not_null()
        if outdated.any():
            made = channel.fingerprint(*text_buffers(stale["response"]))
            anew = anew.with_columns(
                pl.when(outdated).then(series).otherwise(pl.col(name)).alias(name) for name, series in made.items()
            )
    return pl.concat([puts.filter(~old), anew])


def refreshed_fill(channel: Channel[Any, Any, Any], fill: pl.DataFrame, responses: pl.Series) -> pl.DataFrame:
    """Fill rows of a channel, all of an older pipeline, made anew from the answers of their transcripts."""
    made = channel.fingerprint(*text_buffers(responses))[channel.column]
    return fill.with_columns(made.alias(channel.column), rows_to_binary(text_hashes(responses)).alias("text_hash"))
