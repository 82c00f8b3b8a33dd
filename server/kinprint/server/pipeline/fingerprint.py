"""Fingerprint: from stored text to sketch, style vector and embedding, in the record's columns."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
from kinprint.kernels import sketch, stylometry
from kinprint.server.store.columns import rows_to_binary, text_buffers
from kinprint.server.threads import kernels

#: Channels by the name used in files and on the command line; the record's column of each.
CHANNEL_COLUMNS = {"copy": "sketch", "style": "style", "semantic": "embedding"}
#: What a load fills when it names no channel.
DEFAULT_CHANNELS = ("copy", "style")
SKETCH_SCHEME = f"{sketch.SCHEME}/{sketch.VERSION}"
STYLE_SCHEME = f"{stylometry.SCHEME}/{stylometry.VERSION}"


def fingerprint(responses: pl.Series, channels: Collection[str]) -> dict[str, pl.Series]:
    """Record columns of the cheap channels asked for: sketch, shingles, style.

    `responses` holds no blank text.  Embeddings come from `kinprint.server.embed`, not from here: they
    take a thousand times longer and must never hold these back.
    """
    data, offsets = text_buffers(responses)
    columns: dict[str, pl.Series] = {}
    if "copy" in channels:
        with kernels():
            made = sketch.sketch(data, offsets)
        columns["sketch"] = rows_to_binary(made.signatures)
        columns["shingles"] = pl.Series(made.sizes, dtype=pl.Int32)
    if "style" in channels:
        with kernels():
            vectors = stylometry.style_vectors(data, offsets)
        columns["style"] = rows_to_binary(vectors)
    return columns
