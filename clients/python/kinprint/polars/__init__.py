"""Kinprint's kernels as Polars expressions and frames, without a server (extra `kernels`).

    >>> import kinprint.polars
    >>> import polars as pl
    >>> answers = pl.scan_parquet("answers.parquet")
    >>> answers.with_columns(hash=pl.col("response").kinprint.content_hash()).collect()
    >>> answers.kinprint.dedup(id="transcript_id", threshold=0.7).sink_parquet("pairs.parquet")
    >>> kinprint.polars.scan_transcripts("chats.jsonl").collect()
    >>> answers.kinprint.overlap(pl.scan_parquet("test-set.parquet"), model="model").collect()

Importing this registers the namespace `kinprint` of expressions, Series, LazyFrames and DataFrames. Type checkers do
not see what is registered; the functions here do the same: `sketch("response")` is
`pl.col("response").kinprint.sketch()`, `dedup(frame)` is `frame.kinprint.dedup()`.
"""

from kinprint.installed import importing as _importing
from kinprint.installed import version as _version

with _importing("kinprint.polars", "kernels"):
    from kinprint.polars.columns import SKETCH_BITS, scheme
    from kinprint.polars.duplicates import Link, Output, Progress, Run, dedup
    from kinprint.polars.expressions import content_hash, shingle_count, similarity, sketch
    from kinprint.polars.files import Noted, Skipped, scan_files, scan_source
    from kinprint.polars.namespaces import DataFrameNamespace, ExprNamespace, LazyFrameNamespace, SeriesNamespace
    from kinprint.polars.overlaps import OverlapProgress, OverlapRun, overlap
    from kinprint.polars.transcripts import SkippedRowsWarning, scan_transcripts

__version__ = _version()

__all__ = [
    "SKETCH_BITS",
    "DataFrameNamespace",
    "ExprNamespace",
    "LazyFrameNamespace",
    "Link",
    "Noted",
    "Output",
    "OverlapProgress",
    "OverlapRun",
    "Progress",
    "Run",
    "SeriesNamespace",
    "Skipped",
    "SkippedRowsWarning",
    "content_hash",
    "dedup",
    "overlap",
    "scan_files",
    "scan_source",
    "scan_transcripts",
    "scheme",
    "shingle_count",
    "similarity",
    "sketch",
]
