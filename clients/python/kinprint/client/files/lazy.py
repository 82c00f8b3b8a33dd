"""LazyFrames of batches that are made when they are collected (extra `polars`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
from polars.io.plugins import register_io_source


def lazy_frame(
    schema: pl.Schema, batches: Callable[[], Iterator[pl.DataFrame]], *, is_pure: bool = False
) -> pl.LazyFrame:
    """A LazyFrame of what `batches` gives, called anew for each collection; no more is taken of it than is asked for.

    Args:
        schema: columns of the batches.
        batches: gives frames of these columns.
        is_pure: whether two scans of it give the same, so that Polars may take one for both.
    """

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for batch in batches():
            frame = batch if left is None else batch.head(left)
            if left is not None:
                left -= frame.height
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame if with_columns is None else frame.select(with_columns)
            if left is not None and left <= 0:
                return

    return register_io_source(source, schema=schema, is_pure=is_pure)
