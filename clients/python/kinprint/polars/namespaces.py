"""The namespace `kinprint` of expressions, Series, LazyFrames and DataFrames; importing this registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from kinprint.kernels.copy.shingle import Shingling
from kinprint.polars import columns, duplicates, expressions, overlaps
from kinprint.polars.duplicates import Link, Output, Progress


@pl.api.register_expr_namespace("kinprint")
class ExprNamespace:
    """`pl.col("response").kinprint`."""

    def __init__(self, expression: pl.Expr) -> None:
        self._expression = expression

    def sketch(self, bits: int = 32, shingles: Shingling = "w3c5") -> pl.Expr:
        """See `kinprint.polars.sketch`."""
        return expressions.sketch(self._expression, bits=bits, shingles=shingles)

    def content_hash(self) -> pl.Expr:
        """See `kinprint.polars.content_hash`."""
        return expressions.content_hash(self._expression)

    def shingle_count(self, distinct: bool = True, shingles: Shingling = "w3c5") -> pl.Expr:
        """See `kinprint.polars.shingle_count`."""
        return expressions.shingle_count(self._expression, distinct=distinct, shingles=shingles)

    def similarity(self, other: bytes) -> pl.Expr:
        """See `kinprint.polars.similarity`."""
        return expressions.similarity(self._expression, other)


@pl.api.register_series_namespace("kinprint")
class SeriesNamespace:
    """`frame["response"].kinprint`."""

    def __init__(self, series: pl.Series) -> None:
        self._series = series

    def sketch(self, bits: int = 32, shingles: Shingling = "w3c5") -> pl.Series:
        """See `kinprint.polars.sketch`."""
        return columns.sketch_column(self._series, bits, shingles)

    def content_hash(self) -> pl.Series:
        """See `kinprint.polars.content_hash`."""
        return columns.content_hash_column(self._series)

    def shingle_count(self, distinct: bool = True, shingles: Shingling = "w3c5") -> pl.Series:
        """See `kinprint.polars.shingle_count`."""
        return columns.shingle_count_column(self._series, distinct, shingles)

    def similarity(self, other: bytes) -> pl.Series:
        """See `kinprint.polars.similarity`."""
        return columns.similarity_column(self._series, other)


@pl.api.register_lazyframe_namespace("kinprint")
class LazyFrameNamespace:
    """`pl.scan_parquet("answers.parquet").kinprint`."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    def dedup(
        self,
        text: str = "response",
        id: str | None = None,
        *,
        threshold: float = 0.7,
        exact: bool = False,
        see_through: bool = False,
        expand: bool = False,
        output: Output = "pairs",
        link: Link | None = None,
        against: pl.DataFrame | pl.LazyFrame | None = None,
        shingles: Shingling = "w3c5",
        progress: Progress | None = None,
        spool_dir: str | Path | None = None,
    ) -> pl.LazyFrame:
        """See `kinprint.polars.dedup`."""
        return duplicates.dedup(
            self._frame,
            text,
            id,
            threshold=threshold,
            exact=exact,
            see_through=see_through,
            expand=expand,
            output=output,
            link=link,
            against=against,
            shingles=shingles,
            progress=progress,
            spool_dir=spool_dir,
        )

    def overlap(self, against: pl.DataFrame | pl.LazyFrame | None = None, **options: Any) -> pl.LazyFrame:
        """See `kinprint.polars.overlap`; options are its named arguments."""
        return overlaps.overlap(self._frame, against, **options)


@pl.api.register_dataframe_namespace("kinprint")
class DataFrameNamespace:
    """`pl.read_parquet("answers.parquet").kinprint`."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def dedup(
        self,
        text: str = "response",
        id: str | None = None,
        *,
        threshold: float = 0.7,
        exact: bool = False,
        see_through: bool = False,
        expand: bool = False,
        output: Output = "pairs",
        link: Link | None = None,
        against: pl.DataFrame | pl.LazyFrame | None = None,
        shingles: Shingling = "w3c5",
        progress: Progress | None = None,
        spool_dir: str | Path | None = None,
    ) -> pl.DataFrame:
        """See `kinprint.polars.dedup`."""
        return duplicates.dedup(
            self._frame,
            text,
            id,
            threshold=threshold,
            exact=exact,
            see_through=see_through,
            expand=expand,
            output=output,
            link=link,
            against=against,
            shingles=shingles,
            progress=progress,
            spool_dir=spool_dir,
        )

    def overlap(self, against: pl.DataFrame | pl.LazyFrame | None = None, **options: Any) -> pl.DataFrame:
        """See `kinprint.polars.overlap`; options are its named arguments."""
        return overlaps.overlap(self._frame, against, **options)
