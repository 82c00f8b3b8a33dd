"""The fast tier of the semantic channel: one int8 vector a row, from a static table of tokens.

It is made of the text alone whenever a row comes into an index and the corpus has a table; the record does not keep it.
So a table may be exchanged: chunks made with another are told apart by its digest, and made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from kinprint.kernels.embed.pool import RowVectors
from kinprint.server.channels import nearest
from kinprint.server.embed.static import StaticTable
from kinprint.server.store import files
from kinprint.server.store.columns import text_buffers
from kinprint.server.store.segment import Merging, check_rows
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FastChunk:
    """Directions of some rows: rows int64[m] ascending; codes int8[m, dim] and scales float32[m] that make them unit
    vectors, zero where a text has no token.

    `table` is the digest of the table that they were made with; `inverted` only what was published has, and only where
    there are enough rows.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    table: str
    inverted: nearest.Inverted | None = None

    def candidates(
        self, query: NDArray[np.float32], passing: NDArray[np.int64] | None, top: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions of about the `top` rows nearest to a unit vector that pass (None: all do), and their cosines."""
        vectors = RowVectors(self.codes, self.scales)
        return nearest.nearest(query[None], vectors, self.inverted, passing, top)[0]


class FastTier:
    """Makes, merges, saves and loads chunks of the fast tier; see `kinprint.server.store.segment.ChunkFormat`."""

    name: ClassVar[str] = "fast"

    def build(self, rows: NDArray[np.int64], responses: pa.Array, table: StaticTable) -> FastChunk:
        """Chunk of some rows int64[m], ascending, of a segment that has these answers."""
        codes, _ = table.rows(
            *text_buffers(responses if len(rows) == len(responses) else responses.take(pa.array(rows)))
        )
        return FastChunk(rows, codes, nearest.scales_of(codes), table.digest)

    def merge(self, chunks: Sequence[FastChunk], merging: Merging) -> FastChunk:
        """One chunk out of several of one table.  Raises ValueError for several tables."""
        tables = {chunk.table for chunk in chunks}
        if len(tables) > 1:
            raise ValueError("fast vectors of different tables do not mix")
        return FastChunk(
            merging.rows,
            merging.gather(c.codes for c in chunks),
            merging.gather(c.scales for c in chunks),
            tables.pop(),
        )

    def save(self, folder: Path, chunk: FastChunk) -> None:
        """Write a chunk, and its inverted file where it has one."""
        files.save_array(folder / "fast-rows.npy", chunk.rows)
        files.save_array(folder / "fast-codes.npy", chunk.codes)
        files.save_array(folder / "fast-scales.npy", chunk.scales)
        files.write_json(folder / "fast.json", {"table": chunk.table})
        nearest.save(folder, "fast", chunk.inverted)

    def load(self, folder: Path) -> FastChunk | None:
        """Map what `save` wrote; None where there is none."""
        if not (folder / "fast-rows.npy").exists():
            return None
        rows, codes, scales = (files.map_array(folder / f"fast-{name}.npy") for name in ("rows", "codes", "scales"))
        check_rows("fast", rows, codes, scales)
        return FastChunk(
            rows,
            codes,
            scales,
            str(files.read_json(folder / "fast.json")["table"]),
            nearest.load(folder, "fast", codes),
        )
