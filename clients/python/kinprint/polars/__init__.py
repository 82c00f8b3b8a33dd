"""Kinprint's kernels as Polars expressions and frames, without a server (extra `kernels`).

    >>> import kinprint.polars
    >>> import polars as pl
    >>> answers = pl.scan_parquet("answers.parquet")
    >>> answers.with_columns(hash=pl.col("response").kinprint.content_hash()).collect()
    >>> answers.kinprint.dedup(id="transcript_id", threshold=0.7).sink_parquet("pairs.parquet")
    >>> answers.kinprint.overlap(pl.scan_parquet("test-set.parquet"), model="model").collect()

Importing this registers the namespace `kinprint` of expressions, Series, LazyFrames and DataFrames. Type checkers do
not see what is registered; the functions here do the same: `sketch("response")` is
`pl.col("response").kinprint.sketch()`, `dedup(frame)` is `frame.kinprint.dedup()`.
"""

from kinprint.polars.columns import SKETCH_BITS, scheme
from kinprint.polars.duplicates import Link, Output, Progress, Run, dedup
from kinprint.polars.expressions import content_hash, shingle_count, similarity, sketch
from kinprint.polars.namespaces import DataFrameNamespace, ExprNamespace, LazyFrameNamespace, SeriesNamespace
from kinprint.polars.overlaps import OverlapProgress, OverlapRun, overlap

__all__ = [
    "SKETCH_BITS",
    "DataFrameNamespace",
    "ExprNamespace",
    "LazyFrameNamespace",
    "Link",
    "Output",
    "OverlapProgress",
    "OverlapRun",
    "Progress",
    "Run",
    "SeriesNamespace",
    "content_hash",
    "dedup",
    "overlap",
    "scheme",
    "shingle_count",
    "similarity",
    "sketch",
]
