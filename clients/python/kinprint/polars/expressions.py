"""Fingerprints as Polars expressions: elementwise, so that they stream and stand in `group_by` and `over`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl
from kinprint.kernels.copy.shingle import Shingling, scheme_number
from kinprint.polars.columns import (
    check_scheme,
    check_sketch,
    content_hash_column,
    shingle_count_column,
    similarity_column,
    sketch_column,
)

Column = str | pl.Expr
"""Name of a column, or an expression."""


def _elementwise(column: Column, function: Callable[[pl.Series], pl.Series], dtype: pl.DataType) -> pl.Expr:
    expression = pl.col(column) if isinstance(column, str) else column
    return expression.map_batches(function, return_dtype=dtype, is_elementwise=True)


def sketch(text: Column, *, bits: int = 32, shingles: Shingling = "w3c5") -> pl.Expr:
    """Sketches of texts as Binary: 128 slots a text, whose share of equal ones estimates Jaccard similarity.

    Store the label of `scheme` beside the column. Null where the text is null. A blank text has a sketch too, all ones,
    which is similar to nothing.

    Args:
        text: column of text.
        bits: bits kept of a slot. 32: 512 bytes a text, uint32[128] little-endian, as `Client.fingerprint` gives them.
            16, 8, 4, 2 or 1: 16 bytes a bit, packed as `kinprint.kernels.copy.sketch.pack` does.
        shingles: "w3c5" (word 3-shingles, code-point 5-shingles where a script has no spaces) or "c5" (code-point
            5-shingles throughout).

    Raises:
        ValueError: `bits` or `shingles` is not on offer; when evaluated, the column holds no text.
    """
    check_scheme(bits, shingles)
    return _elementwise(text, partial(sketch_column, bits=bits, shingles=shingles), pl.Binary())


def content_hash(text: Column) -> pl.Expr:
    """128-bit hashes of the normalised answers as Binary of 16 bytes, two little-endian uint64.

    Equal for texts that are the same up to case, white space and Unicode form. These are the bytes that a server
    stores. Null where the text is null or blank, so that blank texts are identical with nothing.

    Raises:
        ValueError: when evaluated, the column holds no text.
    """
    return _elementwise(text, content_hash_column, pl.Binary())


def shingle_count(text: Column, *, distinct: bool = True, shingles: Shingling = "w3c5") -> pl.Expr:
    """Number of shingles of texts as Int64, distinct ones or all; 0 for a blank text, null for null.

    Raises:
        ValueError: `shingles` is not on offer; when evaluated, the column holds no text.
    """
    scheme_number(shingles)
    function = partial(shingle_count_column, distinct=distinct, shingles=shingles)
    return _elementwise(text, function, pl.Int64())


def similarity(sketches: Column, other: bytes) -> pl.Expr:
    """Estimated Jaccard similarity of sketches with one other sketch as Float32; 0 with a blank one, null for null.

    The standard error is about sqrt(J (1 - J) / 128), and more where few bits were kept.

    Args:
        sketches: column of sketches, all of the scheme of `other`.
        other: a sketch, for example `frame["sketch"][0]`.

    Raises:
        ValueError: `other` has not the length of a sketch; when evaluated, a value has another length.
    """
    check_sketch(other)
    return _elementwise(sketches, partial(similarity_column, other=other), pl.Float32())
