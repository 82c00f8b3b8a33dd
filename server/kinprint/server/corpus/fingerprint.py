"""Fingerprint: from stored text to sketch, style vector and embedding, in the record's columns."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
from kinprint.kernels.copy import sketch
from kinprint.kernels.style import stylometry
from kinprint.server.corpus.normalise import PIPELINE, is_blank, prompt_keys, text_hashes
from kinprint.server.store.columns import rows_to_binary, text_buffers

#: Channels by the name used in files and on the command line; the record's column of each.
CHANNEL_COLUMNS = {"copy": "sketch", "style": "style", "semantic": "embedding"}
#: What a load fills when it names no channel.
DEFAULT_CHANNELS = ("copy", "style")
SKETCH_SCHEME = str(sketch.Scheme())
STYLE_SCHEME = f"{stylometry.SCHEME}/{stylometry.VERSION}"


def fingerprint(responses: pl.Series, channels: Collection[str]) -> dict[str, pl.Series]:
    """Record columns of the cheap channels asked for: sketch, shingles, style.

    `responses` holds no blank text.  Embeddings come from `kinprint.server.embed`, not from here: they
    take a thousand times longer and must never hold these back.
    """
    data, offsets = text_buffers(responses)
    columns: dict[str, pl.Series] = {}
    if "copy" in channels:
        made = sketch.sketch(data, offsets)
        columns["sketch"] = rows_to_binary(made.signatures)
        columns["shingles"] = pl.Series(made.sizes, dtype=pl.Int32)
    if "style" in channels:
        vectors = stylometry.style_vectors(data, offsets)
        columns["style"] = rows_to_binary(vectors)
    return columns


def refreshed(puts: pl.DataFrame) -> pl.DataFrame:
    """Put rows of the record with everything that an older pipeline made from their texts made anew.

    Sketches and hashes of different versions must not meet, and the record keeps what it was given; so rows of older
    pipelines are fingerprinted again whenever the index is built from them.
    """
    old = puts["pipeline"] < PIPELINE
    if not old.any():
        return puts
    stale = puts.filter(old)
    hashes = text_hashes(stale["response"])
    made = fingerprint(stale["response"], ("copy",))
    keys = pl.Series(prompt_keys(stale["prompt"].to_list()), dtype=pl.String)
    sketched = stale["sketch"].is_not_null()
    anew = stale.with_columns(
        pl.when(pl.Series(~is_blank(hashes))).then(rows_to_binary(hashes)).alias("text_hash"),
        pl.when(sketched).then(made["sketch"]).alias("sketch"),
        pl.when(sketched).then(made["shingles"]).alias("shingles"),
        pl.when(pl.col("prompt_id").is_null()).then(keys).otherwise(pl.col("prompt_key")).alias("prompt_key"),
        pl.lit(PIPELINE, pl.Int32).alias("pipeline"),
    )
    return pl.concat([puts.filter(~old), anew])


def refreshed_fill(fill: pl.DataFrame, responses: pl.Series) -> pl.DataFrame:
    """Fill rows with sketches, all of an older pipeline, made anew from the answers of their transcripts."""
    made = fingerprint(responses, ("copy",))
    return fill.with_columns(made["sketch"].alias("sketch"), rows_to_binary(text_hashes(responses)).alias("text_hash"))
