"""What the semantic channel of a corpus goes by: the vectors of both tiers, and what their scores are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from kinprint.server.channels.calibration import Calibration
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.embed.static import StaticTable

#: `fast`: vectors from a table of tokens; `accurate`: those of the embedding model.
Tier = Literal["fast", "accurate"]


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """Vectors and calibrations of a corpus.

    Attributes:
        space: of the accurate tier; None before its first embedding.
        second: of a model that is filled beside it, to be compared and perhaps to take its place.
        untagged: digest of the model of those embeddings in the record that name none; None: that of `space`.
        table: of the fast tier; None before there is one.
        measured: what scores of each tier are worth in this corpus, where it has enough rows to tell.
    """

    space: EmbeddingSpace | None = None
    second: EmbeddingSpace | None = None
    untagged: str | None = None
    table: StaticTable | None = None
    measured: Mapping[Tier, Calibration] = field(default_factory=dict)

    def digest(self, tier: Tier) -> str | None:
        """Digest of the vectors of a tier."""
        if tier == "fast":
            return None if self.table is None else self.table.digest
        return None if self.space is None else self.space.digest

    def calibration(self, tier: Tier) -> Calibration | None:
        """That of this corpus, made with these vectors; else None."""
        found = self.measured.get(tier)
        return found if found is not None and found.digest == self.digest(tier) else None

    def without_table(self) -> Meaning:
        """For another process, to which the table need not cross."""
        return replace(self, table=None)
