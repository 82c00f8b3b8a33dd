"""Rows that runs yield: the same columns after a way through Arrow."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from kinprint.server.batches import Columns
from kinprint.server.kinship.judge import Pairs as KinPairs
from kinprint.server.search.duplicates import Clusters, Pairs
from kinprint.server.search.passages import Spans
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rows(Columns):
    name: list[str]
    number: NDArray[np.int32]
    share: NDArray[np.float64]
    known: NDArray[np.bool_]
    counts: NDArray[np.int64]


def rows(n: int) -> Rows:
    return Rows(
        [f"r{k}\u00e9\x00" for k in range(n)],
        np.arange(n, dtype=np.int32),
        np.where(np.arange(n) % 2, np.nan, 0.1),
        np.arange(n) % 3 == 0,
        np.arange(4 * n, dtype=np.int64).reshape(n, 4),
    )


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_columns_come_back_as_they_were(n: int) -> None:
    made = rows(n)
    buffers: list[pickle.PickleBuffer] = []
    again = pickle.loads(pickle.dumps(made, protocol=5, buffer_callback=buffers.append), buffers=buffers)
    assert isinstance(again, Rows)
    assert again.name == made.name
    for column in ("number", "share", "known", "counts"):
        before, after = getattr(made, column), getattr(again, column)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)
    assert made.to_arrow().schema.field("counts").type == pa.list_(pa.int64(), 4)


@pytest.mark.parametrize("kind", [Pairs, Clusters, Spans, KinPairs])
def test_rows_of_every_run_are_columns(kind: type) -> None:
    assert issubclass(kind, Columns)
