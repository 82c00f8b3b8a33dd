"""The LSH index by definition: a dictionary, and a look at every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kinprint.kernels.reference.lsh import agreements, shares_a_band


class LshIndex:
    """Sketches by id."""

    def __init__(self, bands: int, rows: int) -> None:
        self.bands = bands
        self.rows = rows
        self.signatures: dict[int, list[int]] = {}

    def insert(self, ids: Iterable[int], signatures: Iterable[list[int]]) -> None:
        """Add or replace, one after the other."""
        self.signatures.update(zip(ids, signatures, strict=True))

    def delete(self, ids: Sequence[int]) -> int:
        """Remove; how many were there."""
        return sum(self.signatures.pop(id_, None) is not None for id_ in ids)

    def query(self, signature: list[int], least: int) -> list[tuple[int, int]]:
        """(id, agreements) of the rows that share a band and agree in enough slots, best first, then by id."""
        found = [
            (id_, agreements(signature, other))
            for id_, other in self.signatures.items()
            if shares_a_band(signature, other, self.bands, self.rows)
        ]
        return sorted((pair for pair in found if pair[1] >= least), key=lambda pair: (-pair[1], pair[0]))
